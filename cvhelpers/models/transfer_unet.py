"""An encoder-decoder on a pretrained backbone: what it learnt from classes, used for masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvhelpers.models.modes import evaluating
from cvhelpers.models.transfer import TransferNet
from cvhelpers.models.unet import DoubleConv


class DecoderBlock(nn.Module):
    """Resize the maps to the skip's size, bilinearly; lay the skip beside them; convolve twice.

    Shape: `(B, inputs, h, w)` and a skip `(B, S, H, W)` -> `(B, outputs, H, W)`.
    """

    def __init__(self, inputs: int, skipped: int, outputs: int) -> None:
        super().__init__()
        self.convs = DoubleConv(inputs + skipped, outputs)

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        larger = F.interpolate(maps, size=skip.shape[2:], mode="bilinear")
        return self.convs(torch.cat([skip, larger], dim=1))


class TransferUNet(TransferNet):
    """A U-Net whose way down is a pretrained backbone; the decoder is new.

    The maps of every size on the way down, the last ones before each halving, are the skips; where
    the first block halves, as MobileNetV2's does, the last skip is the normalised image. `freeze`
    and `unfreeze` mean what they mean in `TransferNet`, with the decoder in the place of the head.

    Shape: `(B, 3, H, W)` raw pixels 0..255, H and W of 32 or more -> `(B, num_classes, H, W)`
    logits.

    Args:
        backbone: torchvision's name of a classifier, as for `TransferNet`.
        num_classes: logits a pixel; 1 for foreground against background.
        pretrained: ImageNet's weights, or random ones.
        width: channels of the decoder at full size; twice as many at every halving, 256 at most.
        dropout: before the last convolution.
    """

    def __init__(
        self, backbone: str, num_classes: int = 1, *, pretrained: bool = True, width: int = 16,
        dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__(backbone, num_classes, pretrained=pretrained, dropout=dropout)
        shapes = [(3, 64)]
        with evaluating(self.backbone), torch.no_grad():
            maps = torch.zeros(1, 3, 64, 64)
            for block in self.blocks:
                maps = block(maps)
                shapes.append((maps.shape[1], maps.shape[2]))
        # Where the next block halves the size; 0 stands for the normalised image.
        self.taps = [i for i in range(len(self.blocks)) if shapes[i + 1][1] < shapes[i][1]]
        skips = [shapes[tap][0] for tap in self.taps]
        widths = [min(256, width * 2**level) for level in range(len(skips))]
        inputs = [*widths[1:], shapes[-1][0]]
        levels = list(zip(inputs, skips, widths, strict=True))
        self.decoder = nn.ModuleList(DecoderBlock(*channels) for channels in levels[::-1])
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(width, num_classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        maps = self.normalize(images)
        skips = []
        for number, block in enumerate(self.blocks):
            if number in self.taps:
                skips.append(maps)
            maps = block(maps)
        for block in self.decoder:
            maps = block(maps, skips.pop())
        return self.head(maps)
