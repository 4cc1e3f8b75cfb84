"""Masks over pictures: every pixel in the colour of what it is."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from cvhelpers.masks import IGNORE
from cvhelpers.visualize import learning_curves, segmentation_grid, show_errors, show_mask
from cvhelpers.visualize.masks import ERRORS, class_colour

PICTURE = torch.full((1, 4, 4), 100, dtype=torch.uint8)
TRUTH = torch.tensor([[1, 1, 0, 0], [1, 0, 0, IGNORE]], dtype=torch.uint8)
SAID = torch.tensor([[1, 0, 1, 0], [1, 0, 0, 1]], dtype=torch.uint8)


def painted(ax) -> np.ndarray:
    """RGB where something was painted, NaN where the picture shows through."""
    layers = [np.asarray(image.get_array()) for image in ax.images[1:]]
    colours = np.full((*layers[0].shape[:2], 3), np.nan)
    for layer in layers:
        there = layer[..., 3] > 0
        colours[there] = layer[there][:, :3]
    return colours


def test_errors_by_hand() -> None:
    before = SAID.clone()
    colours = painted(show_errors(PICTURE, SAID, TRUTH, title="one"))
    hit, missed, false, ignored = (to_rgb(colour) for colour in ERRORS.values())
    clear = (np.nan,) * 3
    expected = [[hit, missed, false, clear], [hit, clear, clear, ignored]]
    np.testing.assert_array_equal(colours, np.array(expected))
    assert torch.equal(SAID, before)
    with pytest.raises(ValueError, match=r"a mask \(2, 4\) and a truth \(2, 3\)"):
        show_errors(PICTURE, SAID, TRUTH[:, :3])


def test_classes_have_colours_of_their_own_and_a_legend() -> None:
    ax = show_mask(PICTURE, torch.tensor([[0, 2], [3, IGNORE]]), classes=("sky", "a", "b", "c"))
    colours = painted(ax)
    assert np.isnan(colours[0, 0]).all()
    np.testing.assert_allclose(colours[0, 1], to_rgb(class_colour(2)))
    np.testing.assert_allclose(colours[1, 0], to_rgb(class_colour(3)))
    np.testing.assert_allclose(colours[1, 1], 1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b", "c"]
    assert len({class_colour(label) for label in range(1, 21)}) == 20
    with pytest.raises(ValueError, match=r"mask \(H, W\), got shape \(1, 2, 2\); pass masks\[i\]"):
        show_mask(PICTURE, torch.zeros(1, 2, 2))


def test_the_picture_covers_the_mask() -> None:
    ax = show_mask(PICTURE, TRUTH)
    assert ax.images[0].get_extent() == [-0.5, 3.5, 1.5, -0.5]


def test_a_grid_has_a_row_a_prediction() -> None:
    fig, axes = segmentation_grid(
        [PICTURE] * 3, [TRUTH] * 3, {"first": [SAID] * 3, "second": [TRUTH] * 3}, ["a", "b", "c"]
    )
    assert [len(row) for row in axes] == [3] * 4
    assert [row[0].get_ylabel() for row in axes] == ["picture", "truth", "first", "second"]
    assert [ax.get_title() for ax in axes[0]] == ["a", "b", "c"]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == list(ERRORS)
    with pytest.raises(ValueError, match=r"2 images and masks .*'first': 1"):
        segmentation_grid([PICTURE] * 2, [TRUTH] * 2, {"first": [SAID]})


def test_curves_of_overlap_are_named() -> None:
    import pandas as pd

    frame = pd.DataFrame({"epoch": [1, 2], "train_iou": [0.1, 0.2], "val_iou": [0.2, 0.3]})
    ax = learning_curves({"net": frame}, "iou")
    assert ax.get_ylabel() == "IoU"
    assert ax.lines[0].get_ydata().tolist() == [0.2, 0.3]
