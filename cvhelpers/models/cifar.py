"""The small convolutional net of the CIFAR-10 assignment."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from cvhelpers.models.normalize import Normalize


class SmallCNN(nn.Sequential):
    """Three convolutions with 32 filters of 3x3, two poolings, one fully connected layer.

    CONV-ReLU-CONV-ReLU-MAXP(2)-CONV-ReLU-MAXP(2)-DENSE, all convolutions with "same" padding. The
    net returns logits: softmax belongs to the loss.

    Shape: `(B, 3, 32, 32)` raw pixels 0..255 -> `(B, num_classes)` logits.

    Args:
        num_classes: number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        layers: dict[str, nn.Module] = {
            "normalize": Normalize(),
            "conv1": nn.Conv2d(3, 32, kernel_size=3, padding=1),  # (B, 32, 32, 32)
            "relu1": nn.ReLU(),
            "conv2": nn.Conv2d(32, 32, kernel_size=3, padding=1),  # (B, 32, 32, 32)
            "relu2": nn.ReLU(),
            "pool1": nn.MaxPool2d(kernel_size=2),  # (B, 32, 16, 16)
            "conv3": nn.Conv2d(32, 32, kernel_size=3, padding=1),  # (B, 32, 16, 16)
            "relu3": nn.ReLU(),
            "pool2": nn.MaxPool2d(kernel_size=2),  # (B, 32, 8, 8)
            "flatten": nn.Flatten(),  # (B, 2048)
            "fc": nn.Linear(32 * 8 * 8, num_classes),
        }
        super().__init__(OrderedDict(layers))
