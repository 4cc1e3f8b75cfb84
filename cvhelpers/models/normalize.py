"""The first layer of every model: raw pixels in, centred and scaled numbers out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Channel means and standard deviations of ImageNet, the usual constants for natural photographs.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """Map raw pixels to zero mean and unit variance: `(x / 255 - mean) / std`.

    The constants are buffers: they travel with a checkpoint and to the device, and nobody
    normalises twice.

    Shape: `(B, C, H, W)` uint8 or float in 0..255 -> same shape, float.

    Args:
        mean: one value per channel, in 0..1.
        std: one value per channel, above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
    ) -> None:
        super().__init__()
        if len(mean) != len(std):
            raise ValueError(f"{len(mean)} means and {len(std)} deviations; give one per channel")
        if min(std) <= 0:
            raise ValueError(f"std must be above 0, not {tuple(std)}; a constant channel needs 1")
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images / 255 - self.mean) / self.std
