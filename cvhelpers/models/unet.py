"""The U-Net: down to small maps that see much, up again beside large maps that see sharply."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvhelpers.models.normalize import IMAGENET_MEAN, IMAGENET_STD, Normalize


class DoubleConv(nn.Sequential):
    """Twice: 3x3 convolution that keeps the size, batch normalisation, activation."""

    def __init__(
        self, inputs: int, outputs: int, *, activation: str = "relu", batch_norm: bool = True
    ) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers.append(nn.Conv2d(channels, outputs, kernel_size=3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(activation_of(activation))
        super().__init__(*layers)


class UpBlock(nn.Module):
    """Double the size and halve the channels, lay the skip beside it, convolve twice.

    Shape: `(B, inputs, h, w)` and a skip `(B, S, H, W)` of twice the size, or one less or more
    where the size was odd -> `(B, outputs, H, W)`.
    """

    def __init__(
        self, inputs: int, skipped: int, outputs: int, *, upsampling: str = "transposed",
        activation: str = "relu", batch_norm: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.upsample = upsampling_of(upsampling, inputs, inputs // 2)
        self.convs = DoubleConv(
            inputs // 2 + skipped, outputs, activation=activation, batch_norm=batch_norm
        )

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        return self.convs(torch.cat([skip, padded_to(self.upsample(maps), skip)], dim=1))


class UNet(nn.Module):
    """The U-Net of Ronneberger et al., with convolutions that keep the size.

    Every level down halves height and width and doubles the channels; every level up undoes it and
    takes in the maps of the same size from the way down (the skip). The head is a 1x1 convolution.
    Sizes that two does not divide often enough are padded on the way up.

    Shape: `(B, channels, H, W)` raw pixels 0..255, H and W of `2 ** (depth - 1)` or more -> logits
    `(B, num_classes, H, W)`.

    Args:
        num_classes: logits a pixel; 1 for foreground against background.
        channels: of the images: 1 for grey ones, or 3.
        depth: number of levels, at least 2.
        width: channels of the first level.
        activation: `relu` or `elu`.
        upsampling: `transposed` (2x2, stride 2), or `nearest` or `bilinear` interpolation, each
            followed by a 1x1 convolution that halves the channels.
        batch_norm: between every 3x3 convolution and its activation.

    Source: Ronneberger, Fischer, Brox: "U-Net: Convolutional networks for biomedical image
    segmentation", MICCAI 2015. There the convolutions have no padding and no batch normalisation.
    """

    def __init__(
        self, num_classes: int = 1, *, channels: int = 3, depth: int = 5, width: int = 64,
        activation: str = "relu", upsampling: str = "transposed", batch_norm: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if depth < 2 or width < 1 or channels not in (1, 3):
            raise ValueError(
                f"depth={depth}, width={width}, channels={channels}: use 2 levels or more, a width "
                "of 1 or more, and 1 (grey) or 3 channels"
            )
        grey = channels == 1
        self.normalize = (
            Normalize((0.5,), (0.25,)) if grey else Normalize(IMAGENET_MEAN, IMAGENET_STD)
        )
        widths = [width * 2**level for level in range(depth)]
        pairs = zip([channels, *widths[:-1]], widths, strict=True)
        same: dict[str, Any] = {"activation": activation, "batch_norm": batch_norm}
        self.pool = nn.MaxPool2d(kernel_size=2)
        self.down = nn.ModuleList(DoubleConv(a, b, **same) for a, b in pairs)
        self.up = nn.ModuleList(
            UpBlock(2 * w, w, w, upsampling=upsampling, **same) for w in widths[-2::-1]
        )
        self.head = nn.Conv2d(width, num_classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.down[0](self.normalize(images))
        skips = []
        for block in self.down[1:]:
            skips.append(maps)
            maps = block(self.pool(maps))
        for block in self.up:
            maps = block(maps, skips.pop())
        return self.head(maps)


def activation_of(name: str) -> nn.Module:
    """A new layer: `relu` or `elu`."""
    known = {"relu": nn.ReLU, "elu": nn.ELU}
    if name not in known:
        raise ValueError(f"activation={name!r} is unknown; choose one of: {', '.join(known)}")
    return known[name]()


def upsampling_of(name: str, inputs: int, outputs: int) -> nn.Module:
    """A new layer that doubles height and width, from `inputs` to `outputs` channels."""
    if name == "transposed":
        return nn.ConvTranspose2d(inputs, outputs, kernel_size=2, stride=2)
    if name not in ("nearest", "bilinear"):
        known = "transposed, nearest, bilinear"
        raise ValueError(f"upsampling={name!r} is unknown; choose one of: {known}")
    return nn.Sequential(nn.Upsample(scale_factor=2, mode=name), nn.Conv2d(inputs, outputs, 1))


def padded_to(maps: Tensor, like: Tensor) -> Tensor:
    """`maps` in the height and width of `like`: zeros around them, or their border cut off."""
    down, right = like.shape[2] - maps.shape[2], like.shape[3] - maps.shape[3]
    return F.pad(maps, [right // 2, right - right // 2, down // 2, down - down // 2])
