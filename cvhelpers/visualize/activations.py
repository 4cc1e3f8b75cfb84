"""Record what the layers of a network put out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cvhelpers.models.modes import evaluating, module_named


@contextmanager
def capture(
    model: nn.Module, names: str | Sequence[str], *, cpu: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of named modules during forward passes, the model in eval mode.

        with capture(model, ["conv1", "relu1"]) as maps:
            model(images)
        maps["relu1"]  # (B, 32, 64, 64)

    Each output is detached and cloned (a later in-place ReLU would overwrite it), and moved to the
    CPU if asked. A module that runs several times keeps its last output. Hooks and modes are put
    back even after an error. Unknown name: ValueError with the model's names.
    """
    names = [names] if isinstance(names, str) else list(names)
    modules = {name: module_named(model, name) for name in names}
    maps: dict[str, Tensor] = {}

    def record(name: str, output: object) -> None:
        if not isinstance(output, Tensor):
            raise ValueError(f"{name!r} returns {type(output).__name__}, no tensor; pick its parts")
        maps[name] = output.detach().clone().cpu() if cpu else output.detach().clone()

    hooks = []
    try:
        for name in names:
            hooks.append(
                modules[name].register_forward_hook(
                    lambda _m, _i, out, name=name: record(name, out)
                )
            )
        with evaluating(model):
            yield maps
    finally:
        for hook in hooks:
            hook.remove()


def activations_of(
    model: nn.Module, names: str | Sequence[str], images: Tensor
) -> dict[str, Tensor]:
    """Return the activations of `images`, raw `(B, C, H, W)`, on the CPU, one tensor per name."""
    device = next((p.device for p in model.parameters()), images.device)
    with capture(model, names, cpu=True) as maps, torch.inference_mode():
        model(images.to(device))
    return maps
