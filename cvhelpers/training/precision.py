"""How the device is used: memory layout, and bf16 where a timed probe says that it pays."""

from __future__ import annotations

import contextlib
import copy
import functools
import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRECISIONS = ("auto", "float32", "bfloat16")
# bf16 must win clearly: a coin flip between two precisions would cost reproducibility.
_WORTH_IT = 1.15


@functools.cache
def _decision(model: str, parameters: int, shape: torch.Size, device: torch.device) -> list[Any]:
    """The box for one net's decision, empty until it is timed: one probe serves many trials."""
    return []


def layout_for(device: torch.device) -> torch.memory_format:
    """How images and filters lie in memory: channels last, but for Apple's GPUs (mps).

    There the backward pass of batch normalisation fails on it (pytorch/pytorch#188371, of 2026).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


@dataclass(frozen=True)
class Policy:
    """What the training step does for its device."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context for the forward pass; a null context in float32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def lay_out(self, images: Tensor) -> Tensor:
        """Put a batch on the device, images `(B, C, H, W)` as `layout_for` says."""
        layout = layout_for(self.device) if images.ndim == 4 else torch.preserve_format
        return images.to(self.device, memory_format=layout)


def device_policy(model: nn.Module, images: Tensor, *, precision: str, steps: int) -> Policy:
    """Lay the model out for its device and choose the precision of its forward pass.

    Args:
        model: on its device already.
        images: a batch of training images, `(B, C, H, W)`, for the probe.
        precision: `float32`, `bfloat16`, or `auto`: bf16 if a few timed steps of a copy are at
            least 1.15 times faster; always float32 in deterministic mode, on devices without
            bf16, and for trainings too short to repay the probe (under 100 steps).
        steps: length of the training.

    Raises:
        ValueError: unknown precision, or bfloat16 on a device that is neither CPU nor CUDA.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; choose one of: {', '.join(PRECISIONS)}")
    device = next(model.parameters()).device
    if precision == "bfloat16" and device.type not in ("cuda", "cpu"):
        raise ValueError(f"bfloat16 is not for the device {device.type}; use float32, or auto")
    model.to(memory_format=layout_for(device))
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    repays = steps >= 100 and not torch.are_deterministic_algorithms_enabled()
    if precision == "auto" and repays and device.type in ("cuda", "cpu"):
        parameters = sum(p.numel() for p in model.parameters())
        box = _decision(type(model).__qualname__, parameters, images.shape, device)
        if not box:
            box.append(_faster_dtype(model, images, device))
        dtype = box[0]
    return Policy(device, dtype)


def _faster_dtype(model: nn.Module, images: Tensor, device: torch.device) -> torch.dtype:
    """Time float32 and bf16 on a copy of the model; the model and the random state stay as is."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float32
    seconds = {}
    with torch.random.fork_rng():
        for dtype in (torch.float32, torch.bfloat16):
            probe = copy.deepcopy(model).train()
            policy = Policy(device, dtype)
            times = [_one_step(probe, policy.lay_out(images), policy) for _ in range(4)]
            seconds[dtype] = min(times[1:])  # the first one warms up
    paid = seconds[torch.float32] / seconds[torch.bfloat16] >= _WORTH_IT
    return torch.bfloat16 if paid else torch.float32


def _one_step(model: nn.Module, images: Tensor, policy: Policy) -> float:
    started = time.perf_counter()
    with policy.autocast():
        logits = model(images)
    F.mse_loss(logits.float(), torch.zeros_like(logits, dtype=torch.float32)).backward()
    if policy.device.type == "cuda":
        torch.cuda.synchronize(policy.device)
    return time.perf_counter() - started
