"""The small ConvNet of the flowers assignment."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from cvhelpers.augment import Augment, ColourJitter, RandomAffine
from cvhelpers.models.normalize import Normalize


class ConvNet(nn.Sequential):
    """Blocks of convolution, batch normalisation, ReLU and pooling under a small head.

    Each block halves height and width and, from the second on, doubles the filters. The
    convolutions have no bias: the batch normalisation behind them would take it away again. The
    net returns logits: softmax belongs to the loss.

    Shape: `(B, 3, H, W)` raw pixels 0..255, H and W of `2 ** num_blocks` or more -> logits
    `(B, num_classes)`.

    Args:
        num_classes: number of classes.
        augment: begin with random flip, rotation, zoom and contrast, active in training mode only.
        num_blocks: number of blocks, at least 1.
        num_filters: filters of the first block.
        size_filter: side of the filters, odd, so that padding can keep the size.
        dropout: share of the features dropped before the last layer.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        augment: bool = False,
        num_blocks: int = 3,
        num_filters: int = 32,
        size_filter: int = 3,
        dropout: float = 0.3,
    ) -> None:
        if num_blocks < 1 or size_filter % 2 == 0:
            raise ValueError(
                f"num_blocks={num_blocks} and size_filter={size_filter}: use one block or more, "
                "and an odd filter size, which alone can keep height and width"
            )
        layers: dict[str, nn.Module] = {}
        if augment:
            moves = RandomAffine(degrees=36, zoom=0.2, flip=True)
            layers["augment"] = Augment(moves, ColourJitter(contrast=0.2))
        layers["rescale"] = Normalize(mean=(0, 0, 0), std=(1, 1, 1))  # 0..255 -> 0..1
        channels = 3
        for block in range(1, num_blocks + 1):
            filters = num_filters * 2 ** (block - 1)
            layers[f"conv{block}"] = nn.Conv2d(
                channels, filters, size_filter, padding="same", bias=False
            )
            layers[f"norm{block}"] = nn.BatchNorm2d(filters)
            layers[f"relu{block}"] = nn.ReLU()
            layers[f"pool{block}"] = nn.MaxPool2d(kernel_size=2)
            channels = filters
        layers["average"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["dropout"] = nn.Dropout(dropout)
        layers["fc"] = nn.Linear(channels, num_classes)
        super().__init__(OrderedDict(layers))
