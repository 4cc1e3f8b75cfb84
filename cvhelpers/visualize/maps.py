"""Draw feature maps and filters. Draws only: no computing, no `plt.show()`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.patches import Rectangle
from torch import Tensor

from cvhelpers.models.receptive import ReceptiveField
from cvhelpers.visualize.pictures import WIDTH, bare_figure, hide_axes, own_axes, show_image


def _pitch(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Height and width of a tile on the common sheet, and how far the next ones are, in pixels."""
    high, wide = (length * max(1, 64 // length) for length in shape[:2])
    return high, wide, high + round(0.2 * high), wide + round(0.06 * wide)


def _tiles(
    ax: Axes,
    tiles: Sequence[np.ndarray],
    columns: int,
    norm: Normalize,
    cmap: str,
    every: int = 1,
) -> None:
    """Draw tiles of side 1 on one axes and one colour scale; all-zero ones are marked.

    They are numbered, or, to be quick, only `every` so many.

    They are laid out as one picture: drawing each by itself takes five times as long.
    """
    high, wide, down, across = _pitch(tiles[0].shape)
    columns = min(columns, len(tiles))
    size = (math.ceil(len(tiles) / columns) * down, columns * across, *tiles[0].shape[2:])
    sheet = np.full(size, 1.0 if tiles[0].ndim == 3 else np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * down, i % columns * across
        large = tile.repeat(high // len(tile), axis=0).repeat(wide // tile.shape[1], axis=1)
        sheet[top : top + high, left : left + wide] = large
        x, y = left / wide, top / high
        if i % every == 0:
            ax.text(x, y - 0.01, str(i), fontsize=7, va="bottom", color="#333333")
        if not tile.any():
            frame = Rectangle((x, y), 1, 1, facecolor="#DDDDDD", edgecolor="#AAAAAA", hatch="///")
            ax.add_patch(frame)
            ax.text(x + 1, y - 0.01, "all 0", fontsize=7, va="bottom", ha="right", color="#D55E00")
    right, bottom = size[1] / wide, size[0] / high
    drawn = np.ma.masked_invalid(sheet)
    # Large maps are shown smaller than they are; smoothing the others would only take time.
    smooth = "antialiased" if max(high, wide) > 128 else "nearest"
    extent = (0, right, bottom, 0)
    ax.imshow(drawn, norm=norm, cmap=cmap, extent=extent, interpolation=smooth)
    ax.set(xlim=(-0.02, right - 0.04), ylim=(bottom - 0.18, -0.18), anchor="NW")
    hide_axes(ax)


def tile(ax: Axes, number: int, shape: Sequence[int], columns: int = 8) -> np.ndarray:
    """What a grid of tiles shows at `number`, each value repeated over the pixels it covers.

    ax: of `activation_grid` or `filter_grid`; shape: height and width of a tile.
    """
    high, wide, down, across = _pitch(shape)
    top, left = number // columns * down, number % columns * across
    return np.asarray(ax.images[0].get_array())[top : top + high, left : left + wide]


def _tile_axes(ax: Axes | None, count: int, columns: int) -> Axes:
    rows = math.ceil(count / columns)
    return own_axes(ax, WIDTH, (WIDTH - 1) / columns * 1.1 * rows + 0.4)


def _colour_bar(ax: Axes, norm: Normalize, cmap: str, label: str, beyond: bool = False) -> None:
    place: dict[str, Any] = {"ax": ax, "fraction": 0.03, "pad": 0.01, "aspect": 40}
    if isinstance(
        ax.figure.get_layout_engine(), PlaceHolderLayoutEngine
    ):  # laid out by hand: as high as what is drawn
        ax.apply_aspect()
        box = ax.get_position()
        cax = cast(Figure, ax.figure).add_axes((box.x1 + 0.008, box.y0, 0.01, box.height))
        place = {"cax": cax}
    bar = ax.figure.colorbar(
        ScalarMappable(norm, cmap), label=label, extend="max" if beyond else "neither",
        format="{x:.3g}", **place,
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
    every: int = 1,
) -> Axes:
    """Show all maps `(C, H, W)` of a layer, numbered, on one colour scale, all-zero ones marked.

    Colours follow the square root, so that weak maps can be seen beside strong ones; a map that is
    zero here is silent for this image, and a dead unit only if it is for every image.
    limit: the value of the last colour, to compare pictures on one scale; default: the largest.
    Maps with negative values (before the ReLU) get a linear scale from -limit to limit.
    every: number only every so many maps, which is quicker.
    """
    if maps.ndim != 3 or not maps.numel():
        raise ValueError(f"expected the maps of one image (C, H, W), got {tuple(maps.shape)}")
    values = maps.detach().float().cpu().numpy()
    top = float(np.abs(values).max())
    limit = limit or top or 1.0
    norm, cmap = _scale(values, limit)
    ax = _tile_axes(ax, len(values), columns)
    _tiles(ax, list(values), columns, norm, cmap, every)
    _colour_bar(ax, norm, cmap, "activation", beyond=top > limit)
    if title:
        ax.set_title(title)
    return ax


def _scale(values: np.ndarray, limit: float) -> tuple[Normalize, str]:
    """The colours of maps: with negative values linear about 0, else by the square root."""
    if values.min() < 0:
        return Normalize(-limit, limit), "RdBu_r"
    return PowerNorm(0.5, 0, limit), "viridis"


def filter_grid(
    weights: Tensor,
    title: str | None = None,
    ax: Axes | None = None,
    *,
    columns: int = 8,
    every: int = 1,
) -> Axes:
    """Show the filters `(O, C, h, w)` of a convolution, numbered, on one scale symmetric about 0.

    Three input channels are shown as red, green and blue (mid-grey is 0); otherwise each filter's
    mean over its input channels is shown. The title says which. every: as in `activation_grid`.
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
    _tiles(ax, list(tiles), columns, norm, "RdBu_r", every)
    said = f"RGB, mid-grey = 0, ends = ±{limit:.2g}" if coloured else f"mean of {inputs} inputs"
    if not coloured:
        _colour_bar(ax, norm, "RdBu_r", "weight")
    ax.set_title(f"{title or 'filters'} ({said})")
    return ax


def activation_view(image: Tensor, maps: Tensor, chosen: int, title: str) -> Figure:
    """Show a raw image `(C, h, w)`, one of its maps `(C, H, W)` large, and all of them, it framed.

    All maps share the colours of `activation_grid`.
    """
    fig = bare_figure(WIDTH, 4.9)
    show_image(image, fig.add_axes((0.0, 0.5, 0.22, 0.42)), "picture")
    large = fig.add_axes((0.0, 0.0, 0.22, 0.42))
    ax, columns = fig.add_axes((0.24, 0.0, 0.66, 0.93)), _columns(len(maps))
    activation_grid(maps, title, ax, columns=columns, every=columns)
    values = maps.detach().float().cpu().numpy()
    norm, cmap = _scale(values, float(np.abs(values).max()) or 1.0)
    large.imshow(values[chosen], norm=norm, cmap=cmap)
    large.set_title(f"map {chosen}")
    hide_axes(large)
    _frame(ax, chosen, columns, maps.shape[1:])
    return fig


def filter_view(weights: Tensor, chosen: int, title: str) -> Figure:
    """Show all filters `(O, C, h, w)` of a layer, one framed, and that one's kernels by input.

    Kernels beyond the 64th input are left out, which the title says.
    """
    fig = bare_figure(WIDTH, 4.9)
    ax, columns = fig.add_axes((0.0, 0.0, 0.5, 0.93)), _columns(len(weights))
    filter_grid(weights, title, ax, columns=columns, every=columns)
    _frame(ax, chosen, columns, weights.shape[2:])
    kernels = weights[chosen].detach().float().cpu().numpy()
    limit = float(np.abs(kernels).max()) or 1.0
    norm, some = Normalize(-limit, limit), kernels[:64]
    part = fig.add_axes((0.62, 0.0, 0.27, 0.93))
    across = math.ceil(math.sqrt(0.8 * len(some)))
    _tiles(part, list(some), across, norm, "RdBu_r", across)
    _colour_bar(part, norm, "RdBu_r", "weight")
    of = f"of {len(kernels)} inputs" if len(some) == len(kernels) else f"of the first {len(some)}"
    part.set_title(f"filter {chosen}: kernels {of}")
    return fig


def field_view(image: Tensor, field: ReceptiveField, title: str, ax: Axes | None = None) -> Axes:
    """Show which part of a raw image `(C, H, W)` one value of a layer can depend on.

    The frame is dashed where the field goes beyond the image, and cut off there.
    """
    ax = show_image(image, own_axes(ax, 4.2, 4.6), title)
    height, width = image.shape[1:]
    inside = field.clipped(height, width)
    corner = (inside.columns[0] - 0.5, inside.rows[0] - 0.5)
    style = "-" if inside == field else "--"
    frame = Rectangle(corner, *inside.size[::-1], fill=False, ec="#D55E00", lw=2.5, ls=style)
    ax.add_patch(frame).set_clip_on(False)
    return ax


def _columns(count: int) -> int:
    """Enough of them that the maps of a layer fill a picture that is wider than high."""
    return max(8, math.ceil(math.sqrt(1.8 * count)))


def _frame(ax: Axes, chosen: int, columns: int, shape: Sequence[int]) -> None:
    """Put a frame around one of the tiles that `_tiles` drew; shape: of one of them."""
    high, wide, down, across = _pitch(shape)
    corner = (chosen % columns * across / wide, chosen // columns * down / high)
    ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="#D55E00", linewidth=2.5))
