"""Stands in for a GPU: refuses what Apple's lacks, and counts what the host would wait for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

# Draws that mps lacks in torch 2.6, the oldest admitted, and has no fallback for by default:
# pytorch/pytorch#141287 asks for them; the gamma distribution came with 2.12.
ABSENT_ON_MPS = {
    "aten::_standard_gamma",
    "aten::_sample_dirichlet",
    "aten::poisson",
    "aten::binomial",
}
# The host waits for the device: its value decides, a number is read, or a list is sent over.
SYNCHRONISING = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::is_nonzero",
    "aten::equal",
    "aten::lift_fresh",  # torch.tensor([...], device=...): a copy from the host that is waited for
    "aten::bincount",
}


class DeviceGuard(TorchDispatchMode):
    """While it is active every operation, forward and backward, is held against the lists.

    What an Apple GPU cannot do is an error at once: float64, an operation it lacks, grid_sample
    with another padding than zeros (border came with 2.13: pytorch/pytorch#125098), adaptive
    pooling to sizes that do not divide. What makes the host wait is collected in `waits`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = func.name().partition(".")[0]
        assert name not in ABSENT_ON_MPS, f"{name} is absent on mps"
        if name in ("aten::grid_sampler_2d", "aten::grid_sampler_2d_backward"):
            padding = args[3 if name == "aten::grid_sampler_2d" else 4]
            assert padding == 0, "grid_sample with padding other than zeros is absent on mps"
        if name == "aten::_adaptive_avg_pool2d":
            sides = zip(args[0].shape[-2:], args[1], strict=True)
            assert all(side % size == 0 for side, size in sides), "sizes must divide on mps"
        if name in SYNCHRONISING or (name == "aten::index" and _has_mask(args[1])):
            self.waits.append(name)
        result = func(*args, **(kwargs or {}))
        for tensor in tree_flatten((args, result))[0]:
            if isinstance(tensor, Tensor):
                assert tensor.dtype != torch.float64, f"{name}: float64 is absent on mps"
        return result


def _has_mask(indices: Any) -> bool:
    """Whether images[mask] is asked for: the number of its results is known to the device alone."""
    return any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in indices)
