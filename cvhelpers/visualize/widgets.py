"""Sliders over the plots. A still figure is always drawn: it survives headless runs and export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor, nn

from cvhelpers.models.modes import module_named
from cvhelpers.models.receptive import ReceptiveFields
from cvhelpers.visualize.activations import activations_of
from cvhelpers.visualize.controls import choice, explore, slider
from cvhelpers.visualize.maps import activation_grid, activation_view, field_view, filter_view
from cvhelpers.visualize.masks import threshold_view
from cvhelpers.visualize.pictures import (
    WIDTH,
    bare_figure,
    check_predictions,
    image_grid,
    pick_predictions,
    prediction_grid,
)
from cvhelpers.visualize.plots import surface_paths


def explore_activations(
    model: nn.Module, images: Tensor, layers: Sequence[str], names: Sequence[str] | None = None
) -> Figure:
    """Choose a layer, an image and a map; returns the still figure of the first layer and image.

    images: raw `(N, C, H, W)`; layers: module names whose output is `(B, C, H, W)`; names: one per
    image, for the list.
    """
    titles = list(names) if names is not None else [f"image {i}" for i in range(len(images))]
    layer = choice("layer", layers)
    image = choice("image", [(title, i) for i, title in enumerate(titles)])
    maps = activations_of(model, layers, images)
    channel = slider("map", len(maps[layers[0]][0]))

    def draw(layer: str, image: int, channel: int) -> Figure:
        title = f"{layer}: {titles[image]}"
        return activation_view(images[image], maps[layer][image], channel, title)

    def fit() -> None:
        channel.max = len(maps[layer.value][0]) - 1

    explore("Maps of a layer", draw, fit, layer=layer, image=image, channel=channel)
    still = activation_grid(maps[layers[0]][0], f"{layers[0]}: {titles[0]}").figure
    assert isinstance(still, Figure)
    return still


def explore_filters(model: nn.Module, layers: Sequence[str]) -> Figure:
    """Choose a convolution and a filter, and see its kernels; returns the still first ones."""
    weights = {name: module_named(model, name).get_parameter("weight").detach() for name in layers}
    number = slider("filter", len(weights[layers[0]]))

    def draw(layer: str, number: int) -> Figure:
        return filter_view(weights[layer], number, layer)

    def fit() -> None:
        number.max = len(weights[layer.value]) - 1

    layer = choice("layer", layers)
    explore("Filters of a layer", draw, fit, layer=layer, number=number)
    return draw(layers[0], 0)


def explore_augmentation(
    augmentations: Mapping[str, Callable[[float], nn.Module]], image: Tensor
) -> Figure:
    """Choose an augmentation, its strength from 0 to 1 and a seed, and see 16 draws.

    augmentations: name -> (strength -> augmentation layer); image: raw `(C, H, W)`. The random
    state outside is left as it was. Returns the still figure of the first one at three strengths.
    """

    def augmented(name: str, strength: float, seed: int, count: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):  # on the CPU: its random state can be put back
            torch.manual_seed(seed)
            layer = augmentations[name](strength).train()
            return layer(image.cpu()[None].repeat(count, 1, 1, 1))

    def draw(name: str, strength: float, seed: int) -> Figure:
        return image_grid(augmented(name, strength, seed, 16))[0]

    strength = ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.05, description="strength")
    seed = slider("seed", 20)
    names = choice("augmentation", list(augmentations))
    explore("One image, 16 draws", draw, name=names, strength=strength, seed=seed)
    first, steps = next(iter(augmentations)), (0.2, 0.5, 1.0)
    titles = [title for step in steps for title in (f"strength {step}", *[""] * 7)]
    return image_grid(torch.cat([augmented(first, step, 0, 8) for step in steps]), titles)[0]


def explore_predictions(
    images: Tensor, probabilities: Tensor, labels: Tensor, classes: Sequence[str]
) -> Figure:
    """Page through predictions, wrong, right or all, by how sure the model was, or of one class.

    images: raw `(N, C, H, W)`; probabilities: `(N, K)`, rows sum to 1; labels: int64 `(N,)`.
    Returns the still figure of those named rightly, the least sure first.
    """
    check_predictions(images, probabilities, labels, classes)
    page, on_page, asked = slider("page", 1), 12, None

    def chosen(which: str, order: bool, true_class: int) -> Tensor:
        places = pick_predictions(probabilities, labels, which=which, surest_first=order)
        return places if true_class < 0 else places[labels.cpu()[places] == true_class]

    def draw(which: str, order: bool, true_class: int, page: int) -> Figure:
        places = chosen(which, order, true_class)[page * on_page :][:on_page]
        return prediction_grid(images, probabilities, labels, classes, places)[0]

    controls = {
        "which": choice("predictions", ["wrong", "right", "all"]),
        "order": choice("first", [("surest", True), ("least sure", False)]),
        "true_class": choice("true class", [("any", -1), *((c, i) for i, c in enumerate(classes))]),
    }

    def fit() -> None:
        nonlocal asked
        now = {name: control.value for name, control in controls.items()}
        page.max = max(0, (len(chosen(**now)) - 1) // on_page)
        if now != asked:  # another question begins on its first page
            asked, page.value = now, 0

    explore("Predictions", draw, fit, **controls, page=page)
    return draw("right", False, -1, 0)


def explore_threshold(
    images: Sequence[Tensor] | Tensor,
    probabilities: Sequence[Tensor] | Tensor,
    truths: Sequence[Tensor] | Tensor,
) -> Figure:
    """Move the threshold above which a pixel is foreground; returns the still figure at 0.5.

    images: raw `(C, h, w)` each; probabilities: float `(H, W)`, 0 to 1; truths: masks `(H, W)`.
    """

    def draw(image: int, threshold: float) -> Figure:
        return threshold_view(images[image], probabilities[image], truths[image], threshold)[0]

    threshold = ipywidgets.FloatSlider(0.5, min=0.02, max=0.98, step=0.02, description="threshold")
    image = slider("image", len(images))
    explore("Hits and misses", draw, image=image, threshold=threshold)
    return draw(0, 0.5)


def explore_receptive_field(model: nn.Module, layers: Sequence[str], image: Tensor) -> Figure:
    """Choose a layer and a place in it, and see the part of a raw image `(C, H, W)` it depends on.

    Returns the still figure of the middle of at most four of the layers. See `receptive_field`.
    """
    fields, maps = ReceptiveFields(model, image), activations_of(model, layers, image[None])
    row, column = (slider(name, maps[layers[0]].shape[axis]) for name, axis in
                   (("row", 2), ("column", 3)))  # fmt: skip
    row.value, column.value = row.max // 2, column.max // 2

    def title(layer: str, size: tuple[int, int]) -> str:
        return f"{layer}: {size[0]} x {size[1]} pixels"

    def draw(layer: str, row: int, column: int) -> Figure:
        field = fields.of(layer, (row, column))
        fig = bare_figure(4.6, 4.9)
        ax = fig.add_axes((0.02, 0.02, 0.96, 0.9))
        field_view(image, field, title(layer, field.size), ax)
        return fig

    def fit() -> None:
        """The same place in a layer of another size."""
        for one, length in zip((row, column), maps[layer.value].shape[2:], strict=True):
            if one.max != length - 1:
                share = one.value / one.max if one.max else 0.5
                one.max = length - 1
                one.value = round(share * one.max)

    layer = choice("layer", layers)
    explore("A receptive field", draw, fit, layer=layer, row=row, column=column)
    shown = (
        list(layers) if len(layers) <= 4 else [layers[k * (len(layers) - 1) // 3] for k in range(4)]
    )
    fig, axes = plt.subplots(
        1, len(shown), figsize=(WIDTH, 2.9), squeeze=False, layout="constrained"
    )
    for name, ax in zip(shown, axes[0], strict=True):
        field = fields.of(name)
        field_view(image, field, title(name, field.size).replace(": ", "\n"), ax)
    return fig


def explore_paths(
    walk: Callable[[str, str, float], Tensor],
    surfaces: Mapping[str, Callable[[Tensor], Tensor]],
    optimizers: Sequence[str],
    rates: Sequence[float],
) -> Figure:
    """Choose a surface, an optimizer, its rate and the number of steps, and see its way.

    walk: (surface, optimizer, rate) -> points `(steps + 1, 2)`, the start first. Returns the still
    figure of the first optimizer at four rates on the first surface.
    """

    def draw(surface: str, optimizer: str, rate: float, steps: int) -> Figure:
        path = walk(surface, optimizer, rate)[: steps + 1]
        fig = bare_figure(6.2, 4.6)
        ax = fig.add_axes((0.1, 0.12, 0.88, 0.8), ylabel="second parameter")
        surface_paths(surfaces[surface], {optimizer: path}, ax)
        height = float(surfaces[surface](path[-1]))
        where = f"height {height:.3g}" if height < 1e6 else "far off the map"
        ax.set_title(f"{optimizer} on {surface}: {where} after {steps} steps")
        return fig

    longest = len(walk(next(iter(surfaces)), optimizers[0], rates[0])) - 1
    steps = ipywidgets.IntSlider(longest, min=0, max=longest, description="steps")
    rate = ipywidgets.SelectionSlider(
        options=[(f"{rate:g}", rate) for rate in rates], description="rate"
    )
    rate.value = rates[len(rates) // 3]
    explore(
        "The way of an optimizer", draw, surface=choice("surface", list(surfaces)),
        optimizer=choice("optimizer", optimizers), rate=rate, steps=steps,
    )  # fmt: skip
    first = next(iter(surfaces))
    some = [rates[k * (len(rates) - 1) // 3] for k in range(4)]
    fig, axes = plt.subplots(1, 4, figsize=(WIDTH, 2.8), sharey=True, layout="constrained")
    for ax, value in zip(axes, some, strict=True):
        surface_paths(surfaces[first], {optimizers[0]: walk(first, optimizers[0], value)}, ax)
        ax.set_title(f"rate {value:g}")
    axes[0].set_ylabel("second parameter")
    return fig
