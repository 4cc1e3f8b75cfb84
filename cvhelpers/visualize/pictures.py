"""Draw images, feature maps and filters. Draws only: no computing, no `plt.show()`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

WIDTH = 9.5  # inches: the text width of a notebook page


def pixels_of(image: Tensor) -> np.ndarray:
    """Raw `(C, H, W)`, grey or RGB, 0..255 -> uint8 `(H, W, 3)` for matplotlib."""
    image = torch.as_tensor(image).detach().float().cpu()
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"expected an image (1 or 3, H, W), got shape {tuple(image.shape)}")
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 255:
        raise ValueError(f"pixels run from {low:g} to {high:g}; show the raw image, 0 to 255")
    return image.round().byte().expand(3, -1, -1).permute(1, 2, 0).numpy()


def own_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """The axes given, or those of a new figure of this size in inches."""
    return ax or plt.subplots(figsize=(width, height), layout="constrained")[1]


def show_figure(figure: Figure, caption: str) -> None:
    """Put a finished figure into the cell's output, its caption below; in a script do nothing.

    It is closed, or the notebook would show it once more at the end of the cell.
    """
    if "inline" not in plt.get_backend():
        return
    from IPython.display import display

    display(figure)
    plt.close(figure)
    print(f"Figure: {caption}")


def show_image(image: Tensor, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Show one raw image `(C, H, W)`, grey or RGB, 0..255."""
    ax = own_axes(ax, 3, 3)
    ax.imshow(pixels_of(image))
    ax.set_axis_off()
    if title:
        ax.set_title(title)
    return ax


def image_grid(
    images: Tensor | Sequence[Tensor], titles: Sequence[str] | None = None, columns: int = 8
) -> tuple[Figure, list[Axes]]:
    """Show raw images in rows of `columns`, each under its title; long title lines are cut."""
    if not len(images) or (titles is not None and len(titles) != len(images)):
        found = "no titles" if titles is None else f"{len(titles)} titles"
        raise ValueError(f"{len(images)} images and {found}: pass some images, a title for each")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    side = min(WIDTH / columns, 2.4)
    lines = max((title.count("\n") + 1 for title in titles), default=0) if titles else 0
    size = (columns * side, rows * (side + 0.15 * lines))
    fig, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    axes = list(grid.flat)
    for spare in axes[len(images) :]:
        spare.remove()
    for i, image in enumerate(images):
        show_image(image, axes[i])
        if titles is not None:
            cut = int(side * 14)  # about 14 letters of this size fit on an inch
            text = [t if len(t) <= cut else t[: cut - 1] + "…" for t in titles[i].split("\n")]
            axes[i].set_title("\n".join(text), fontsize=8, fontweight="normal", loc="center", pad=3)
    return fig, axes[: len(images)]


def worst_mistakes(
    images: Tensor, probabilities: Tensor, labels: Tensor, classes: Sequence[str], count: int = 12
) -> tuple[Figure, list[Axes]]:
    """Show the wrongly classified images that the model was surest of, the surest first.

    images: raw `(N, C, H, W)`; probabilities: `(N, K)`, rows sum to 1; labels: int64 `(N,)`.
    """
    if probabilities.shape != (len(images), len(classes)) or len(labels) != len(images):
        shapes = [tuple(t.shape) for t in (images, probabilities, labels)]
        raise ValueError(f"shapes {shapes} do not fit each other and {len(classes)} classes")
    probabilities, labels = probabilities.detach().float().cpu(), labels.cpu()
    if not torch.allclose(probabilities.sum(dim=1), torch.ones(1), atol=1e-2):
        raise ValueError("rows of probabilities must sum to 1; pass logits.softmax(dim=1)")
    sure, predicted = probabilities.max(dim=1)
    wrong = (predicted != labels).nonzero()[:, 0]
    worst = wrong[sure[wrong].argsort(descending=True)][:count]
    if not len(worst):
        fig, ax = plt.subplots(figsize=(5, 0.6), layout="constrained")
        ax.set_axis_off()
        ax.text(0, 0.5, f"No mistake among {len(images)} images.")
        return fig, [ax]
    titles = [
        f"{classes[int(predicted[i])]} {100 * sure[i]:.0f} %\ntrue: {classes[int(labels[i])]}"
        for i in worst
    ]
    return image_grid(images[worst.to(images.device)], titles, columns=6)


def _tiles(ax: Axes, tiles: Sequence[np.ndarray], columns: int, norm: Normalize, cmap: str) -> None:
    """Draw numbered tiles on one axes, all on one colour scale; all-zero ones are marked."""
    for i, tile in enumerate(tiles):
        x, y = i % columns * 1.06, i // columns * 1.2
        ax.imshow(tile, extent=(x, x + 1, y + 1, y), norm=norm, cmap=cmap)
        ax.text(x, y - 0.01, str(i), fontsize=7, va="bottom", color="#333333")
        if not tile.any():
            frame = Rectangle((x, y), 1, 1, facecolor="#DDDDDD", edgecolor="#AAAAAA", hatch="///")
            ax.add_patch(frame)
            ax.text(x + 1, y - 0.01, "all 0", fontsize=7, va="bottom", ha="right", color="#D55E00")
    ax.set_xlim(-0.02, min(columns, len(tiles)) * 1.06 - 0.04)
    ax.set_ylim(math.ceil(len(tiles) / columns) * 1.2 - 0.18, -0.18)
    ax.set_axis_off()


def _tile_axes(ax: Axes | None, count: int, columns: int) -> Axes:
    rows = math.ceil(count / columns)
    return own_axes(ax, WIDTH, (WIDTH - 1) / columns * 1.1 * rows + 0.4)


def _colour_bar(ax: Axes, norm: Normalize, cmap: str, label: str, beyond: bool = False) -> None:
    bar = ax.figure.colorbar(
        ScalarMappable(norm, cmap), ax=ax, label=label, fraction=0.03, pad=0.01, aspect=40,
        extend="max" if beyond else "neither", format="{x:.3g}",
    )  # fmt: skip
    bar.set_ticks(list(norm.inverse(np.linspace(0, 1, 5))))
    bar.ax.grid(False)


def activation_grid(
    maps: Tensor,
    title: str | None = None,
    ax: Axes | None = None,
    *,
    columns: int = 8,
    limit: float | None = None,
) -> Axes:
    """Show all maps `(C, H, W)` of a layer, numbered, on one colour scale, all-zero ones marked.

    Colours follow the square root, so that weak maps can be seen beside strong ones; a map that is
    zero here is silent for this image, and a dead unit only if it is for every image.
    limit: the value of the last colour, to compare pictures on one scale; default: the largest.
    Maps with negative values (before the ReLU) get a linear scale from -limit to limit.
    """
    if maps.ndim != 3:
        raise ValueError(f"expected the maps of one image (C, H, W), got {tuple(maps.shape)}")
    values = maps.detach().float().cpu().numpy()
    signed, top = values.min() < 0, float(np.abs(values).max())
    limit = limit or top or 1.0
    norm = Normalize(-limit, limit) if signed else PowerNorm(0.5, 0, limit)
    cmap = "RdBu_r" if signed else "viridis"
    ax = _tile_axes(ax, len(values), columns)
    _tiles(ax, list(values), columns, norm, cmap)
    _colour_bar(ax, norm, cmap, "activation", beyond=top > limit)
    if title:
        ax.set_title(title)
    return ax


def filter_grid(
    weights: Tensor, title: str | None = None, ax: Axes | None = None, *, columns: int = 8
) -> Axes:
    """Show the filters `(O, C, h, w)` of a convolution, numbered, on one scale symmetric about 0.

    Three input channels are shown as red, green and blue (mid-grey is 0); otherwise each filter's
    mean over its input channels is shown. The title says which.
    """
    if weights.ndim != 4:
        raise ValueError(f"expected weights (O, C, h, w), got shape {tuple(weights.shape)}")
    values = weights.detach().float().cpu().numpy()
    coloured, inputs = values.shape[1] == 3, values.shape[1]
    values = values.transpose(0, 2, 3, 1) if coloured else values.mean(axis=1)
    limit = float(np.abs(values).max()) or 1.0
    norm = Normalize(-limit, limit)
    ax = _tile_axes(ax, len(values), columns)
    tiles = (values / limit + 1) / 2 if coloured else values
    _tiles(ax, list(tiles), columns, norm, "RdBu_r")
    said = f"RGB, mid-grey = 0, ends = ±{limit:.2g}" if coloured else f"mean of {inputs} inputs"
    if not coloured:
        _colour_bar(ax, norm, "RdBu_r", "weight")
    ax.set_title(f"{title or 'filters'} ({said})")
    return ax


def overlay(image: Tensor, heat: Tensor, ax: Axes | None = None, label: str = "") -> Axes:
    """Lay a heat map `(h, w)` over its raw image `(C, H, W)`; both cover the same area.

    label: what the colours mean, with the unit; it stands at the colour bar.
    """
    ax = own_axes(ax, 4.2, 3.4)
    grey = pixels_of(image).mean(axis=2)
    height, width = grey.shape
    area = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(grey, cmap="gray", vmin=-400, vmax=255, extent=area)  # pale: the colours must be read
    drawn = ax.imshow(heat.detach().float().cpu().numpy(), cmap="viridis", alpha=0.65, extent=area)
    bar = ax.figure.colorbar(drawn, ax=ax, label=label, shrink=0.9)
    bar.ax.ticklabel_format(axis="y", scilimits=(-2, 4))
    bar.ax.grid(False)
    ax.set_axis_off()
    return ax
