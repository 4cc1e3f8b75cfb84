"""Sliders over the plots. A still figure is always drawn: it survives headless runs and export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import ipywidgets
import torch
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor, nn

from cvhelpers.runtime import has_front_end
from cvhelpers.visualize.activations import activations_of
from cvhelpers.visualize.pictures import activation_grid, image_grid


def _explore(draw: Callable[..., Figure], **controls: ipywidgets.Widget) -> None:
    """Show controls and, below them, what `draw` makes of their values; only where one can look."""
    if not has_front_end():
        return

    def redraw(**values: object) -> None:
        fig = draw(**values)
        display(fig)
        plt.close(fig)  # else the notebook shows it a second time

    shown = ipywidgets.interactive_output(redraw, controls)
    display(ipywidgets.VBox([ipywidgets.HBox(list(controls.values())), shown]))


def explore_activations(
    model: nn.Module, images: Tensor, layers: Sequence[str], names: Sequence[str] | None = None
) -> Figure:
    """Choose a layer and an image and see all maps; returns the still figure of the first ones.

    images: raw `(N, C, H, W)`; layers: module names whose output is `(B, C, H, W)`; names: one per
    image, for the list. Assign the result, or the notebook shows the figure twice.
    """
    titles = list(names) if names is not None else [f"image {i}" for i in range(len(images))]

    def draw(layer: str, image: int) -> Figure:
        maps = activations_of(model, layer, images[image][None])[layer][0]
        return cast(Figure, activation_grid(maps, f"{layer}: {titles[image]}").figure)

    still = draw(layers[0], 0)
    _explore(
        draw,
        layer=ipywidgets.Dropdown(options=list(layers), description="layer"),
        image=ipywidgets.Dropdown(
            options=[(title, i) for i, title in enumerate(titles)], description="image"
        ),
    )
    return still


def explore_augmentation(augment_factory: Callable[[float], nn.Module], image: Tensor) -> Figure:
    """Move a strength from 0 to 1 and see 16 draws; returns the still figure of three strengths.

    augment_factory: strength -> augmentation layer; image: raw `(C, H, W)`. The draws are always
    the same, and the random state outside is left as it was. Assign the result.
    """

    def augmented(strength: float, count: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):  # on the CPU: its random state can be put back
            torch.manual_seed(0)
            return augment_factory(strength).train()(image.cpu()[None].repeat(count, 1, 1, 1))

    steps = (0.2, 0.5, 1.0)
    still, _ = image_grid(
        torch.cat([augmented(strength, 8) for strength in steps]),
        [title for strength in steps for title in (f"strength {strength}", *[""] * 7)],
    )
    _explore(
        lambda strength: image_grid(augmented(strength, 16))[0],
        strength=ipywidgets.FloatSlider(
            value=0.5, min=0, max=1, step=0.05, description="strength", continuous_update=False
        ),
    )
    return still
