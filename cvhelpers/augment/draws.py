"""What all random layers share: one draw a sample, checked settings, a readable print."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def check(name: str, value: float, low: float, high: float = math.inf) -> float:
    """The setting `name`, or a ValueError if it lies outside low..high."""
    if not low <= value <= high:
        raise ValueError(f"{name}={value!r} is out of range; choose {low:g} to {high:g}")
    return value


def uniform(like: Tensor, low: float, high: float) -> Tensor:
    """One number per sample, uniform in low..high: float32 `(B,)` on the device of `like`."""
    return torch.rand(len(like), device=like.device) * (high - low) + low


def beta(like: Tensor, alpha: float) -> Tensor:
    """One number per sample from Beta(alpha, alpha): float32 `(B,)` on the device of `like`.

    Drawn on the CPU, with its default generator: Apple's GPUs cannot. The copy is not waited for.
    """
    either = torch.full((len(like),), alpha)
    drawn = torch.distributions.Beta(either, either, validate_args=False).sample()
    return drawn.to(like.device, non_blocking=True)


def boxes(images: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Bool `(B, 1, H, W)`: a box per sample, centred anywhere, cut off at the image's border."""
    inside = []
    for side, length in ((images.shape[2], height), (images.shape[3], width)):
        first = uniform(images, 0, side).floor() - length // 2
        pixel = torch.arange(side, device=images.device)
        inside.append((pixel >= first[:, None]) & (pixel < (first + length)[:, None]))
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]


class Layer(nn.Module):
    """A module whose print shows its settings."""

    def extra_repr(self) -> str:
        settings = {k: v for k, v in vars(self).items() if k[0] != "_" and k != "training"}
        return ", ".join(f"{name}={value!r}" for name, value in settings.items())
