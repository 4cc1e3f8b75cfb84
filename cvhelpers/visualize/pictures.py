"""Draw images and predictions. Draws only: no computing, no `plt.show()`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
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


def bare_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches whose axes stay where they are put: laid out by hand.

    `layout="none"` does not last: a figure that is saved takes the style's layout afterwards.
    """
    engine = PlaceHolderLayoutEngine(adjust_compatible=True, colorbar_gridspec=False)
    return plt.figure(figsize=(width, height), layout=engine)


def hide_axes(ax: Axes) -> None:
    """Leave the drawing alone of some axes: no ticks either, which cost time although unseen."""
    ax.set(xticks=[], yticks=[])
    ax.set_axis_off()


def show_figure(figure: Figure, caption: str, name: str = "") -> None:
    """Put a finished figure into the cell's output, its caption below; in a script do nothing.

    The caption is the picture's text alternative, too, and `name` stands in its metadata. The
    figure is closed, or the notebook would show it once more at the end of the cell.
    """
    if "inline" not in plt.get_backend():
        return
    from IPython.display import display

    display(figure, metadata={"image/png": {"alt": caption}, "figure": name})
    plt.close(figure)
    print(f"Figure: {caption}")


def show_image(image: Tensor, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Show one raw image `(C, H, W)`, grey or RGB, 0..255."""
    ax = own_axes(ax, 3, 3)
    ax.imshow(pixels_of(image))
    hide_axes(ax)
    if title:
        ax.set_title(title)
    return ax


def image_grid(
    images: Tensor | Sequence[Tensor], titles: Sequence[str] | None = None, columns: int = 8
) -> tuple[Figure, Axes]:
    """Show raw images in rows of `columns`, each under its title; long title lines are cut.

    All stand on one axes, each in a square of side 1: an axes apiece takes five times as long.
    """
    if not len(images) or (titles is not None and len(titles) != len(images)):
        found = "no titles" if titles is None else f"{len(titles)} titles"
        raise ValueError(f"{len(images)} images and {found}: pass some images, a title for each")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    side = min(WIDTH / columns, 2.4)  # inches, gaps included
    lines = max((title.count("\n") + 1 for title in titles), default=0) if titles else 0
    above = 0.15 * lines / side
    fig = bare_figure(columns * side, rows * side * (1 + above))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, columns), ylim=(rows * (1 + above), 0))
    hide_axes(ax)
    cut = int(side * 14)  # about 14 letters of this size fit on an inch
    for i, image in enumerate(images):
        x, y = i % columns, i // columns * (1 + above) + above
        pixels = pixels_of(image)
        high, wide = (0.96 * length / max(pixels.shape[:2]) for length in pixels.shape[:2])
        left, top = x + (1 - wide) / 2, y + (1 - high) / 2
        smooth = "nearest" if max(pixels.shape[:2]) <= 100 * side else "antialiased"
        extent = (left, left + wide, top + high, top)
        ax.imshow(pixels, extent=extent, aspect="auto", interpolation=smooth)
        if titles is not None:
            text = [t if len(t) <= cut else t[: cut - 1] + "…" for t in titles[i].split("\n")]
            ax.text(x + 0.5, top - 0.02, "\n".join(text), fontsize=8, ha="center", va="bottom")
    ax.set(xlim=(0, columns), ylim=(rows * (1 + above), 0))
    return fig, ax


def pick_predictions(
    probabilities: Tensor, labels: Tensor, *, which: str = "wrong", surest_first: bool = True
) -> Tensor:
    """Order predictions by how sure the model was: places int64 `(n,)` of the wrong, right or all.

    probabilities: `(N, K)`, rows sum to 1; labels: int64 `(N,)`; which: "wrong", "right" or "all".
    """
    probabilities, labels = probabilities.detach().float().cpu(), labels.cpu()
    if not torch.allclose(probabilities.sum(dim=1), torch.ones(1), atol=1e-2):
        raise ValueError("rows of probabilities must sum to 1; pass logits.softmax(dim=1)")
    sure, predicted = probabilities.max(dim=1)
    right = predicted == labels
    wanted = {"wrong": ~right, "right": right, "all": torch.ones_like(right)}
    if which not in wanted:
        raise ValueError(f"which={which!r}; choose one of: {', '.join(wanted)}")
    places = wanted[which].nonzero()[:, 0]
    return places[sure[places].argsort(descending=surest_first, stable=True)]


def prediction_grid(
    images: Tensor, probabilities: Tensor, labels: Tensor, classes: Sequence[str], places: Tensor
) -> tuple[Figure, Axes]:
    """Show the images at `places`, each with the class predicted, how surely, and the true one.

    images: raw `(N, C, H, W)`; probabilities: `(N, K)`; labels: int64 `(N,)`.
    """
    if not len(places):
        fig = bare_figure(5, 0.6)
        ax = fig.add_axes((0, 0, 1, 1))
        hide_axes(ax)
        ax.text(0, 0.5, f"No such image among {len(images)}.")
        return fig, ax
    sure, predicted = probabilities.detach().float().cpu().max(dim=1)
    titles = [
        f"{classes[int(predicted[i])]} {100 * sure[i]:.0f} %\ntrue: {classes[int(labels[i])]}"
        for i in places
    ]
    return image_grid(images[places.to(images.device)], titles, columns=6)


def worst_mistakes(
    images: Tensor, probabilities: Tensor, labels: Tensor, classes: Sequence[str], count: int = 12
) -> tuple[Figure, Axes]:
    """Show the wrongly classified images that the model was surest of, the surest first.

    images: raw `(N, C, H, W)`; probabilities: `(N, K)`, rows sum to 1; labels: int64 `(N,)`.
    """
    check_predictions(images, probabilities, labels, classes)
    places = pick_predictions(probabilities, labels)[:count]
    return prediction_grid(images, probabilities, labels, classes, places)


def check_predictions(
    images: Tensor, probabilities: Tensor, labels: Tensor, classes: Sequence[str]
) -> None:
    """ValueError where the shapes of images, predictions and labels do not fit each other."""
    if probabilities.shape != (len(images), len(classes)) or len(labels) != len(images):
        shapes = [tuple(t.shape) for t in (images, probabilities, labels)]
        raise ValueError(f"shapes {shapes} do not fit each other and {len(classes)} classes")


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
    hide_axes(ax)
    return ax
