"""Receptive fields: which pixels of the image one value of a layer can depend on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from cvhelpers.models.modes import evaluating, module_named
from cvhelpers.models.traffic_signs import CentreCrop

Span = tuple[int, int]  # first and last row (or column), both inside


@dataclass(frozen=True)
class ReceptiveField:
    """Rows and columns, first and last, that one value depends on; they may lie outside the image.

    The padding that a convolution adds counts as pixels, as in the theory: the part that lies
    inside the image is `clipped`.
    """

    rows: Span
    columns: Span

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rows[1] - self.rows[0] + 1, self.columns[1] - self.columns[0] + 1

    def clipped(self, height: int, width: int) -> ReceptiveField:
        """The part inside an image of this size."""
        (top, bottom), (left, right) = self.rows, self.columns
        return ReceptiveField(
            (max(0, top), min(height - 1, bottom)), (max(0, left), min(width - 1, right))
        )


def receptive_field(
    model: nn.Module, layer: str, image: Tensor, *, place: tuple[int, int] | None = None
) -> ReceptiveField:
    """Calculate the receptive field of one value in the output of `layer`.

    From the value it goes back through the net, layer by layer: a kernel of size k, dilation d,
    stride s and padding p that makes output i reads the inputs i s - p to i s - p + d (k - 1).
    Where ways meet (a skip, a residual) the field spans all of them.

    Args:
        model: any net that `torch.fx` can trace: no branching on the values of tensors.
        layer: its name in `model.named_modules()`; "" for the output of the whole model.
        image: one raw image `(C, H, W)`; only its shape counts.
        place: (row, column) in the layer's output, default the middle. In nets that pool and
            upsample, neighbours may differ.

    Raises:
        ValueError: no such layer, a place outside, or a layer that mixes pixels in a way unknown
            here.
    """
    return ReceptiveFields(model, image).of(layer, place)


def gradient_footprint(
    model: nn.Module, layer: str, images: Tensor, *, place: tuple[int, int] | None = None
) -> Tensor:
    """How much one value of `layer` reacts to each pixel: the mean |gradient|, `(H, W)`.

    What is not 0 lies in the receptive field; where it is large is the *effective* one. In
    evaluation mode, summed over the layer's channels and over colours, averaged over the images.

    Args:
        model: any model.
        layer: as for `receptive_field`.
        images: raw `(B, C, H, W)`.
        place: as for `receptive_field`.

    Source: Luo, Li, Urtasun, Zemel: "Understanding the effective receptive field in deep
    convolutional neural networks", NeurIPS 2016.
    """
    found: list[Tensor] = []
    hook = module_named(model, layer).register_forward_hook(lambda _m, _i, out: found.append(out))
    try:
        with evaluating(model), torch.enable_grad():
            some = next(model.parameters(), images.float())
            pixels = images.detach().to(some.device, some.dtype).requires_grad_(True)
            model(pixels)
    finally:
        hook.remove()
    maps = found[-1]
    row, column = place or (maps.shape[2] // 2, maps.shape[3] // 2)
    (gradient,) = torch.autograd.grad(maps[:, :, row, column].sum(), pixels)
    return gradient.abs().sum(1).mean(0)


class _Tracer(fx.Tracer):
    """Keeps layers of torch whole, as usual, and the one of ours that moves pixels."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, CentreCrop) or super().is_leaf_module(m, module_qualified_name)


class ReceptiveFields(fx.Interpreter):
    """Many fields of one model: it is traced once, with the sizes that one image gives.

    Arguments and errors are those of `receptive_field`.
    """

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        try:
            graph = _Tracer().trace(model)
        except Exception as error:  # whatever the code of a model does to a stand-in for a tensor
            raise ValueError(
                f"torch.fx cannot trace {type(model).__name__} ({type(error).__name__}: {error}); "
                "look at gradient_footprint instead"
            ) from error
        super().__init__(fx.GraphModule(model, graph), garbage_collect_values=False)
        self.steps = list(graph.nodes)
        self.model = model
        some = next(model.parameters(), image.float())
        with evaluating(self.module), torch.no_grad():
            self.run(image[None].to(some.device, some.dtype))
        self.values: dict[fx.Node, Any] = self.env

    def of(self, layer: str, place: tuple[int, int] | None = None) -> ReceptiveField:
        """The field of one value in the output of `layer`; see `receptive_field`."""
        node = self.output_of(layer)
        height, width = self.values[node].shape[2:]
        row, column = place or (height // 2, width // 2)
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(
                f"place={place} lies outside of {layer!r}, which is {height} x {width}"
            )
        return ReceptiveField(self.back(node, row, axis=0), self.back(node, column, axis=1))

    def output_of(self, layer: str) -> fx.Node:
        """The step that puts out what `layer` does: of a container, its last one."""
        if not layer:
            return self.steps[-1].all_input_nodes[0]
        module_named(self.model, layer)  # a ValueError names those that there are
        inside = [n for n in self.steps if layer in n.meta.get("nn_module_stack", {})]
        maps = [n for n in inside if getattr(self.values.get(n), "ndim", 0) == 4]
        if not maps:
            raise ValueError(f"{layer!r} puts out no maps (B, C, H, W)")
        return maps[-1]

    def back(self, node: fx.Node, index: int, *, axis: int) -> Span:
        """The span of the image along `axis` (0 rows, 1 columns) behind `node`'s `index`."""
        spans: dict[fx.Node, Span] = {node: (index, index)}
        for step in reversed(self.steps):
            if step not in spans:
                continue
            low, high = spans[step]
            if step.op == "placeholder":
                return low, high
            for source in step.all_input_nodes:
                if source.op == "get_attr" or getattr(self.values[source], "ndim", 0) != 4:
                    continue  # a constant, a size
                ends = [self._inputs_of(step, source, axis, end) for end in (low, high)]
                ends.append(spans.get(source, ends[0]))  # where ways meet: all of them
                spans[source] = min(a for a, _ in ends), max(b for _, b in ends)
        raise ValueError("this layer does not depend on the image")

    def _inputs_of(self, step: fx.Node, source: fx.Node, axis: int, index: int) -> Span:
        """The inputs that output `index` of one step reads."""
        before, after = (self.values[n].shape[2 + axis] for n in (source, step))
        if step.op == "call_module":
            return _of_layer(self.fetch_attr(str(step.target)), axis, index, before, after)
        name = getattr(step.target, "__name__", str(step.target))
        if name == "pad":
            pads: Any = self.map_nodes_to_values(step.args[1], step)
            left = pads[2 * (1 - axis)] if len(pads) > 2 * (1 - axis) else 0
            return index - left, index - left
        if name == "interpolate":
            return _interpolated(str(step.kwargs.get("mode", "nearest")), index, before, after)
        if before == after:  # element by element: adding, multiplying, laying side by side
            return index, index
        raise ValueError(f"{name} goes from {before} to {after} pixels in a way unknown here")


def _of_layer(layer: nn.Module, axis: int, index: int, before: int, after: int) -> Span:
    """The inputs, of `before`, that output `index`, of `after`, of one layer reads."""

    def of_axis(value: Any) -> int:
        return value if isinstance(value, int) else value[axis]

    if isinstance(layer, nn.Upsample):
        return _interpolated(layer.mode, index, before, after)
    if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.ConvTranspose2d)):
        kernel, stride = of_axis(layer.kernel_size), of_axis(layer.stride)
        dilation = of_axis(getattr(layer, "dilation", 1))
        reach = dilation * (kernel - 1)
        if layer.padding == "same":  # the odd one of an even kernel goes to the right
            return index - reach // 2, index - reach // 2 + reach
        padding = of_axis(0 if layer.padding == "valid" else layer.padding)
        if isinstance(layer, nn.ConvTranspose2d):  # input i makes outputs i s - p and further
            return math.ceil((index + padding - reach) / stride), (index + padding) // stride
        return index * stride - padding, index * stride - padding + reach
    if isinstance(layer, CentreCrop):
        cut = round((before - after) / 2)
        return index + cut, index + cut
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return index * before // after, -(-(index + 1) * before // after) - 1
    if before == after:
        return index, index
    raise ValueError(f"{layer} goes from {before} to {after} pixels in a way unknown here")


def _interpolated(mode: str, index: int, before: int, after: int) -> Span:
    if mode == "nearest":
        return index * before // after, index * before // after
    if mode == "bilinear":
        place = (index + 0.5) * before / after
        return math.floor(place - 0.5), math.floor(place + 0.5)
    raise ValueError(f"interpolation {mode!r} is unknown here; nearest and bilinear are known")
