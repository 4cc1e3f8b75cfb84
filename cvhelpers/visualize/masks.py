"""Draw masks over their pictures: classes, hits and misses. Draws only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from cvhelpers.masks import IGNORE
from cvhelpers.visualize.pictures import WIDTH, bare_figure, hide_axes, own_axes, pixels_of

ERRORS = {"hit": "#56B4E9", "missed": "#E69F00", "false alarm": "#AA3377", "ignored": "#FFFFFF"}


def _canvas(image: Tensor, shape: tuple[int, ...], ax: Axes, *, grey: bool = True) -> None:
    """The picture stretched over the mask's pixels; grey, so that colours on it mean the mask's."""
    pixels = pixels_of(image)
    area = (-0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5)
    ax.imshow(pixels.mean(axis=2) if grey else pixels, "gray", vmin=-80, vmax=300, extent=area)
    hide_axes(ax)


def _paint(ax: Axes, parts: Mapping[str, np.ndarray], alpha: float = 0.55) -> None:
    """Lay colours over bool masks `(H, W)`; what is in none of them stays clear."""
    shape = next(iter(parts.values())).shape
    layer = np.zeros((*shape, 4))
    for colour, inside in parts.items():
        layer[inside] = (*to_rgb(colour), alpha)
    ax.imshow(layer, interpolation="nearest")


def _mask(mask: Tensor) -> np.ndarray:
    array = torch.as_tensor(mask).detach().cpu().numpy()
    if array.ndim != 2:
        raise ValueError(f"expected a mask (H, W), got shape {array.shape}; pass masks[i] for one")
    return array


def class_colour(label: int) -> str:
    """The colour of a class above 0 in every figure of masks, as "#rrggbb"."""
    if label == 1:
        return ERRORS["hit"]
    # Twenty of matplotlib's, without the greys, which a grey picture would swallow.
    cycle = [to_hex(plt.get_cmap("tab20")(k)) for k in (*range(0, 20, 2), *range(1, 20, 2))]
    cycle[cycle.index("#7f7f7f")], cycle[cycle.index("#c7c7c7")] = "#ff2090", "#00ff99"
    return cycle[3 * label % 20]  # so that person, horse, cow and sheep differ clearly


def show_mask(
    image: Tensor,
    mask: Tensor,
    ax: Axes | None = None,
    title: str | None = None,
    *,
    classes: Sequence[str] = (),
) -> Axes:
    """Show a mask `(H, W)` in colours over its raw picture `(C, h, w)`, which is stretched to fit.

    Class 0 stays clear, ignored pixels are white. classes: names; those that appear get a legend.
    """
    ax, found = own_axes(ax, 3, 3), _mask(mask)
    _canvas(image, found.shape, ax)
    there = [int(label) for label in np.unique(found) if label not in (0, IGNORE)]
    for label in there:
        _paint(ax, {class_colour(label): found == label})
    _paint(ax, {ERRORS["ignored"]: found == IGNORE}, alpha=0.9)
    if classes and there:
        patches = [Patch(color=class_colour(label), label=classes[label]) for label in there]
        ax.legend(handles=patches, fontsize=7, loc="lower left", handlelength=1, frameon=True,
                  facecolor="white", framealpha=0.7, borderpad=0.2, labelspacing=0.2)  # fmt: skip
    if title:
        ax.set_title(title)
    return ax


def show_errors(
    image: Tensor,
    predicted: Tensor,
    truth: Tensor,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Show where a predicted foreground hits, misses and raises a false alarm.

    image: raw `(C, h, w)`; predicted and truth: masks `(H, W)`, class 1 against the rest; ignored
    pixels are white, whatever was predicted there. Colours: `ERRORS`.
    """
    ax = own_axes(ax, 3, 3)
    said, true = _mask(predicted) == 1, _mask(truth)
    if said.shape != true.shape:
        raise ValueError(f"a mask {said.shape} and a truth {true.shape}; give both at one size")
    _canvas(image, true.shape, ax)
    known = true != IGNORE
    _paint(
        ax,
        {
            ERRORS["hit"]: said & (true == 1),
            ERRORS["missed"]: ~said & (true == 1),
            ERRORS["false alarm"]: said & (true != 1) & known,
            ERRORS["ignored"]: ~known,
        },
    )
    if title:
        ax.set_title(title)
    return ax


def threshold_view(
    image: Tensor, probability: Tensor, truth: Tensor, threshold: float
) -> tuple[Figure, list[Axes]]:
    """Show what a threshold makes of a foreground's probability, beside the probability itself.

    image: raw `(C, h, w)`; probability: float `(H, W)`, 0 to 1; truth: a mask `(H, W)`. The title
    says IoU, precision and recall of the pixels that count.
    """
    if probability.shape != truth.shape:
        found = f"a probability {tuple(probability.shape)} and a truth {tuple(truth.shape)}"
        raise ValueError(f"{found}; give both at one size")
    said, known = _mask(probability) > threshold, _mask(truth) != IGNORE
    true = _mask(truth) == 1
    hits, either = (said & true & known).sum(), ((said | true) & known).sum()
    ofs = (either, (said & known).sum(), true.sum())
    iou, precision, recall = (f"{hits / of:.3f}" if of else "undefined" for of in ofs)
    fig = bare_figure(WIDTH, 4.3)
    left, right = fig.add_axes((0, 0.08, 0.44, 0.82)), fig.add_axes((0.48, 0.08, 0.44, 0.82))
    found = f"IoU {iou}, precision {precision}, recall {recall}"
    show_errors(image, torch.from_numpy(said).byte(), truth, left, found)
    drawn = right.imshow(_mask(probability), vmin=0, vmax=1, interpolation="nearest")
    if said.any() and not said.all():
        right.contour(_mask(probability), [threshold], colors="#D55E00", linewidths=1.2)
    hide_axes(right)
    right.set_title(f"probability; line: threshold {threshold:.2f}")
    fig.colorbar(drawn, cax=fig.add_axes((0.925, 0.08, 0.015, 0.82)), label="probability")
    fig.legend(handles=_legend(), loc="lower left", ncols=4, fontsize=8)
    return fig, [left, right]


def _legend() -> list[Patch]:
    return [Patch(fc=colour, ec="0.6", label=name) for name, colour in ERRORS.items()]


def segmentation_grid(
    images: Sequence[Tensor] | Tensor,
    truths: Sequence[Tensor],
    predictions: Mapping[str, Sequence[Tensor]],
    titles: Sequence[str] | None = None,
) -> tuple[Figure, list[list[Axes]]]:
    """Show pictures, their true masks, and below them how each prediction differs; a column each.

    images: raw `(C, h, w)`; truths: masks `(H, W)`; predictions: name -> masks of the same sizes;
    titles: one a picture. Returns the figure and its axes, row by row.
    """
    rows = {"picture": truths, "truth": truths, **predictions}
    lengths = {name: len(masks) for name, masks in rows.items()}
    if not len(images) or set(lengths.values()) != {len(images)}:
        raise ValueError(f"{len(images)} images and masks {lengths}: give as many of each")
    side = min(WIDTH / len(images), 2.4)
    shape = (len(rows), len(images))
    tall = max(one.shape[0] / one.shape[1] for one in map(_mask, truths))  # no gaps between rows
    size = (side * len(images), side * min(tall, 1.3) * len(rows) + 0.5)
    fig, grid = plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False)
    for column, (image, truth) in enumerate(zip(images, truths, strict=True)):
        _canvas(image, _mask(truth).shape, grid[0, column], grey=False)
        show_mask(image, truth, grid[1, column])
        for row, masks in enumerate(predictions.values(), 2):
            show_errors(image, masks[column], truth, grid[row, column])
        if titles is not None:
            grid[0, column].set_title(titles[column], fontsize=8, fontweight="normal", loc="center")
    for axes, name in zip(grid[:, 0], rows, strict=True):
        axes.set_axis_on()  # for its label alone
        axes.set(xticks=[], yticks=[], frame_on=False)
        axes.set_ylabel(name, fontsize=9)
    if predictions:
        fig.legend(handles=_legend(), loc="outside lower center", ncols=4, fontsize=8)
    return fig, [list(axes) for axes in grid]
