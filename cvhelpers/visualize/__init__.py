"""Looking into networks: activations, attributions, and the plots of the pack."""

# ruff: noqa: F401 (what stands here is the package's face)
from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot as plt

from cvhelpers.visualize.activations import activations_of, capture
from cvhelpers.visualize.attribution import occlusion_map, saliency_map
from cvhelpers.visualize.controls import LiveCurves
from cvhelpers.visualize.maps import activation_grid, filter_grid
from cvhelpers.visualize.masks import segmentation_grid, show_errors, show_mask
from cvhelpers.visualize.pictures import (
    image_grid,
    overlay,
    show_figure,
    show_image,
    worst_mistakes,
)
from cvhelpers.visualize.plots import (
    confusion_matrix,
    label_points,
    learning_curves,
    loss_and_accuracy,
    surface_paths,
    trial_points,
)
from cvhelpers.visualize.source import show_changes, show_source
from cvhelpers.visualize.widgets import (
    explore_activations,
    explore_augmentation,
    explore_filters,
    explore_paths,
    explore_predictions,
    explore_receptive_field,
    explore_threshold,
)


def use_style() -> None:
    """Make `pack.mplstyle` matplotlib's style from here on; `start_run` calls it."""
    plt.style.use(Path(__file__).with_name("pack.mplstyle"))
