"""LeNet-5, widened for 64x64 colour photographs."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from cvhelpers.models.normalize import Normalize


class LeNet5(nn.Sequential):
    """LeNet-5 with 32 and 64 filters of 5x5, 4x4 pooling and 1021-84-K fully connected units.

    The convolutions keep the size ("same" padding), so a 64x64 picture leaves the second
    pooling as 64 maps of 4x4 = 1024 numbers. The net returns logits: softmax belongs to the
    loss. Without batch normalisation and dropout it is the plain net.

    Shape: `(B, 3, 64, 64)` raw pixels 0..255 -> `(B, num_classes)` logits.

    Args:
        num_classes: number of classes K.
        batch_norm: batch normalisation before each hidden ReLU (Ioffe & Szegedy 2015).
        dropout: share of units dropped before each fully connected layer (Srivastava et al. 2014).

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
    recognition", 1998, section II.B.
    """

    def __init__(self, num_classes: int, *, batch_norm: bool = False, dropout: float = 0.0) -> None:
        def norm(kind: type[nn.Module], size: int) -> nn.Module:
            return kind(size) if batch_norm else nn.Identity()

        layers: dict[str, nn.Module] = {
            "normalize": Normalize(),
            "conv1": nn.Conv2d(3, 32, kernel_size=5, padding=2),  # (B, 32, 64, 64)
            "norm1": norm(nn.BatchNorm2d, 32),
            "relu1": nn.ReLU(),
            "pool1": nn.MaxPool2d(kernel_size=4, stride=4),  # (B, 32, 16, 16)
            "conv2": nn.Conv2d(32, 64, kernel_size=5, padding=2),  # (B, 64, 16, 16)
            "norm2": norm(nn.BatchNorm2d, 64),
            "relu2": nn.ReLU(),
            "pool2": nn.MaxPool2d(kernel_size=4, stride=4),  # (B, 64, 4, 4)
            "flatten": nn.Flatten(),  # (B, 1024)
            "drop1": nn.Dropout(dropout),
            "fc1": nn.Linear(64 * 4 * 4, 1021),
            "norm3": norm(nn.BatchNorm1d, 1021),
            "relu3": nn.ReLU(),
            "drop2": nn.Dropout(dropout),
            "fc2": nn.Linear(1021, 84),
            "norm4": norm(nn.BatchNorm1d, 84),
            "relu4": nn.ReLU(),
            "drop3": nn.Dropout(dropout),
            "fc3": nn.Linear(84, num_classes),
        }
        super().__init__(OrderedDict(layers))
