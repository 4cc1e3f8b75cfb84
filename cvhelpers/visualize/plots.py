"""Draw histories, confusions and trials. Draws only: no computing of results, no `plt.show()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from cvhelpers.visualize.pictures import hide_axes

Histories = Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]]
_LOOKS: dict[str, dict[str, Any]] = {
    "val": {"linestyle": "solid", "markersize": 5},
    "train": {"linestyle": (0, (3, 1.5)), "markersize": 5, "markerfacecolor": "white"},
}


def _scale(metric: str) -> tuple[float, str]:
    """Factor and axis label: accuracies are stored as fractions and shown as percent."""
    words = metric.replace("val_", "validation_").replace("_", " ")
    words = words.replace("iou", "IoU").replace("dice", "Dice")
    if "accuracy" in metric:
        return 100.0, f"{words} (%)"
    return 1.0, f"{words} (nats)" if "loss" in metric else words


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table.columns:
        raise ValueError(f"no column {name!r} in the table; it has {', '.join(table.columns)}")
    return table[name]


def _colours(count: int) -> list[str]:
    cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    if count <= len(cycle):
        return cycle[:count]
    return [to_hex(colour) for colour in plt.get_cmap("viridis")(np.linspace(0, 0.9, count))]


def _colours_of(labels: Sequence[str], fixed: Mapping[str, str] | None) -> list[str]:
    """A colour a label: the fixed ones, and for the others what is left of the cycle."""
    kept = {label: to_hex(colour) for label, colour in (fixed or {}).items() if label in labels}
    cycle = [to_hex(colour) for colour in _colours(len(labels) + len(kept))]
    free = iter([colour for colour in cycle if colour not in kept.values()])
    return [kept[label] if label in kept else next(free) for label in labels]


def learning_curves(
    histories: Histories,
    metric: str = "accuracy",
    ax: Axes | None = None,
    *,
    legend: bool = True,
    colours: Mapping[str, str] | None = None,
) -> Axes:
    """Draw a metric over the epochs: validation solid, training dashed, one colour per label.

    histories: label -> history table, or a list of them, one per seed: then each seed is a thin
    line and the thick one their median, as far as all of them got. metric: "accuracy", "loss",
    or of masks "iou" or "dice". colours: label -> colour ("C1" is the second of the cycle), where
    a label has to keep the one that it had in another figure.
    """
    runs = {k: [v] if isinstance(v, pd.DataFrame) else list(v) for k, v in histories.items()}
    if not runs or not all(runs.values()):
        raise ValueError(f"no history for {list(histories)}; pass a label and its history at least")
    ax = ax or plt.subplots(figsize=(7.5, 4), layout="constrained")[1]
    factor, label = _scale(metric)
    longest = max(len(table) for tables in runs.values() for table in tables)
    marker = "o" if longest <= 12 else ""  # few epochs make a line too short to see
    chosen = _colours_of(list(runs), colours)
    for colour, tables in zip(chosen, runs.values(), strict=True):
        for part, look in _LOOKS.items():
            curves = [_column(t, f"{part}_{metric}").set_axis(_column(t, "epoch")) for t in tables]
            for curve in curves if len(curves) > 1 else ():
                ax.plot(curve.index, factor * curve, **look, color=colour, lw=0.7, alpha=0.5)
            median = pd.concat(curves, axis=1, join="inner").median(axis=1, skipna=False)
            ax.plot(median.index, factor * median, **look, color=colour, marker=marker)
    ax.set(xlabel="epoch", ylabel=label, xlim=(0.5, longest + 0.5))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if legend:  # outside the data: the colours, then the line styles
        lines = [Line2D([], [], color=colour) for colour in chosen]
        lines += [Line2D([], [], color="0.3", marker=marker, **look) for look in _LOOKS.values()]
        texts = [*runs, "validation", "training"]
        if max(map(len, runs.values())) > 1:
            lines.append(Line2D([], [], color="0.3", lw=0.7, alpha=0.5))
            texts.append("one seed (thick: median)")
        ax.legend(lines, texts, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    return ax


def loss_and_accuracy(
    histories: Histories,
    title: str | None = None,
    *,
    score: str = "accuracy",
    colours: Mapping[str, str] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw `learning_curves` of loss and accuracy side by side, with one legend.

    score: another metric in the place of accuracy: "iou" or "dice", of masks. colours: as there.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    learning_curves(histories, "loss", left, legend=False, colours=colours)
    learning_curves(histories, score, right, colours=colours)
    if title:
        fig.suptitle(title, x=0.01, ha="left")
    return fig, [left, right]


def confusion_matrix(
    counts: np.ndarray | Tensor, classes: Sequence[str], *, pairs: int = 25
) -> tuple[Figure, list[Axes]]:
    """Draw a confusion matrix: counts `(K, K)`, rows the true class, columns the predicted one.

    Colours show the share of each true class. Up to 12 classes the cells carry their counts, up to
    30 the axes carry names; beyond that the most confused pairs are listed beside the matrix.
    """
    counts, named = torch.as_tensor(counts).cpu().numpy(), len(classes) <= 30
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"counts of shape {counts.shape} do not fit {len(classes)} classes")
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 3.0 + 0.17 * len(classes) if named else 5.2
    fig, axes = plt.subplots(
        1, 1 if named else 2, figsize=(side + 0.8 if named else 9.5, side), squeeze=False,
        layout="constrained", width_ratios=[1] if named else [1.7, 1],
    )  # fmt: skip
    ax = axes[0, 0]
    # The square root keeps rare confusions visible beside a full diagonal.
    drawn = ax.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 100))
    bar = fig.colorbar(drawn, ax=ax, shrink=0.8, label="share of the true class (%)",
                       ticks=[0, 1, 5, 10, 25, 50, 100])  # fmt: skip
    ax.grid(False)
    bar.ax.grid(False)
    ax.set(xlabel="predicted class", ylabel="true class")
    if named:
        ax.set_xticks(range(len(classes)), classes, rotation=90)
        ax.set_yticks(range(len(classes)), classes)
    else:
        _list_pairs(axes[0, 1], counts, classes, pairs)
    for row, column in np.ndindex(counts.shape) if len(classes) <= 12 else ():
        colour = "white" if share[row, column] > 30 else "black"
        ax.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)
    return fig, list(axes[0])


def _list_pairs(ax: Axes, counts: np.ndarray, classes: Sequence[str], pairs: int) -> None:
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, counts)
    lines = []
    for cell in np.argsort(-wrong, axis=None, kind="stable")[:pairs]:
        true, guess = divmod(int(cell), len(classes))
        if wrong[true, guess]:
            of = f"{wrong[true, guess]} of {counts[true].sum()}"
            lines.append(f"{of:>9}  {classes[true]} → {classes[guess]}")
    hide_axes(ax)
    ax.set_title("most confused: true → predicted")
    ax.text(0, 0.98, "\n".join(lines) or "nothing", va="top", family="monospace", fontsize=8)


def trial_points(
    table: pd.DataFrame,
    metric: str,
    *,
    by: str = "variant",
    order: Sequence[str] | None = None,
    targets: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw every trial as a point, one row per variant, with a bar at the variant's median.

    table: one row per trial, columns `by` and `metric`. order: the variants from top to bottom,
    default as they come. targets: name -> value, drawn as dashed lines. A trial without a finite
    value cannot be drawn: its variant's label counts it.
    """
    groups = _column(table, by).astype(str)
    names = list(dict.fromkeys(groups)) if order is None else list(order)
    factor, label = _scale(metric)
    ax = ax or plt.subplots(figsize=(8, 1.2 + 0.42 * len(names)), layout="constrained")[1]
    labels = []
    for row, name in enumerate(names):
        values = _column(table, metric)[groups == name].to_numpy(float) * factor
        if not len(values):
            raise ValueError(f"no trial of {name!r}; the table has {', '.join(groups.unique())}")
        finite = values[np.isfinite(values)]
        spread = np.linspace(-0.16, 0.16, len(finite)) if len(finite) > 1 else np.zeros(len(finite))
        ax.scatter(finite, row + spread, s=26, color=_colours(1)[0], alpha=0.8, zorder=3)
        if len(finite):
            middle = float(np.median(finite))
            ax.plot([middle, middle], [row - 0.32, row + 0.32], color="black", linewidth=2.5)
        lost = "" if len(finite) == len(values) else f", {len(values) - len(finite)} not finite"
        labels.append(f"{name} (n = {len(values)}{lost})")
    for text, value in (targets or {}).items():
        ax.axvline(value * factor, color="#D55E00", linestyle="--", linewidth=1.2)
        ax.annotate(text, (value * factor, 1.01), xycoords=("data", "axes fraction"), ha="center",
                    fontsize=8, color="#D55E00")  # fmt: skip
    ax.set_yticks(range(len(names)), labels)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(f"{label}: each trial, bar at the median")
    ax.grid(axis="y", visible=False)
    return ax


def surface_paths(
    surface: Callable[[Tensor], Tensor],
    paths: Mapping[str, Tensor],
    ax: Axes | None = None,
    *,
    x: tuple[float, float] = (-2.2, 2.2),
    y: tuple[float, float] = (-1.6, 2.6),
) -> Axes:
    """Draw the ways of optimizers over the contours of a surface with two parameters.

    surface: float `(2, ...)` -> heights of at least 0, `(...)`; paths: name -> points `(n, 2)`,
    all from the same start, which is starred. The contours follow log(1 + height). Every other
    way is dashed: where two run on top of each other, both are seen.
    """
    ax = ax or plt.subplots(figsize=(5.4, 4.2), layout="constrained")[1]
    grid = torch.meshgrid(torch.linspace(*x, 120), torch.linspace(*y, 120), indexing="xy")
    heights = surface(torch.stack(grid)).log1p()
    ax.contour(*(part.numpy() for part in (*grid, heights)), 15, colors="0.8", linewidths=0.8)
    for k, (name, path) in enumerate(paths.items()):
        look: dict[str, Any] = {
            "color": _colours(len(paths))[k],
            "ls": ("-", "--")[k % 2],
            "marker": ".",
            "ms": 3,
        }
        ax.plot(*path.T.numpy(), **look, lw=1.2, alpha=0.85, label=name)
        ax.plot(*path[0].numpy(), "k*", ms=10)
    ax.set(xlim=x, ylim=y, xlabel="first parameter")
    return ax


def label_points(ax: Axes, x: Sequence[float], y: Sequence[float], labels: Sequence[str]) -> None:
    """Write each point's label beside it; labels that would overlap stand together, with commas.

    Call it last: limits and scales of the axes decide what lies where.
    """
    places = ax.transData.transform(np.column_stack([x, y])) * 72 / ax.figure.dpi  # in points
    shown: list[tuple[float, float, str, int]] = []
    for k in sorted(range(len(labels)), key=lambda k: (-places[k][1], places[k][0])):
        (left, low), text, anchor = places[k], str(labels[k]), k
        for other in [one for one in shown if abs(one[1] - low) < 9]:
            width = 5.0 * max(len(other[2]), 2) + 4
            if other[0] - 5.0 * len(text) - 4 < left < other[0] + width:
                shown.remove(other)
                left, low, text, anchor = *other[:2], f"{other[2]}, {text}", other[3]
        shown.append((left, low, text, anchor))
    for *_, text, k in shown:
        above = 7 if "," in text else 2  # a list stands clear of the points that it passes
        ax.annotate(text, (x[k], y[k]), (5, above), textcoords="offset points", fontsize=8)
