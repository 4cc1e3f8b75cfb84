"""The small convolutional net of the traffic-sign assignment, and its template's augmentation."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.transforms.v2.functional import center_crop

from cvhelpers.augment import Augment, ColourJitter, RandomAffine, RandomCrop
from cvhelpers.models.normalize import Normalize

# Classes of GTSRB that mean the same in a mirror, as the assignment's template lists them.
MIRROR_CLASSES = (11, 12, 13, 17, 18, 26, 30, 35)


class CentreCrop(nn.Module):
    """Cut out the middle: `(B, C, H, W)` -> `(B, C, size, size)`; what has this size passes.

    In training the augmentation cuts windows of this size at random places, so the layer has
    something to do in evaluation only.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        return center_crop(images, [self.size, self.size])

    def extra_repr(self) -> str:
        return str(self.size)


class TrafficSignCNN(nn.Sequential):
    """Two 5x5 convolutions with ELU and 2x2 pooling, then one linear layer of 512 inputs.

    Each convolution is followed, if asked for, by batch normalisation *before* its ELU, as Ioffe &
    Szegedy (2015) do it. The net returns logits: softmax belongs to the loss.

    Shape: `(B, 3, H, W)` raw pixels 0..255, H and W of 28 or more -> `(B, num_classes)` logits.

    Args:
        num_classes: number of classes.
        batch_norm: batch normalisation between each convolution and its ELU.

    Source of the activation: Clevert, Unterthiner, Hochreiter, "Fast and accurate deep network
    learning by exponential linear units (ELUs)", 2016.
    """

    def __init__(self, num_classes: int, *, batch_norm: bool = False) -> None:
        layers: dict[str, nn.Module] = {
            "crop": CentreCrop(28),
            "normalize": Normalize(),
            "conv1": nn.Conv2d(3, 16, kernel_size=5),  # (B, 16, 24, 24)
            "norm1": nn.BatchNorm2d(16),
            "elu1": nn.ELU(),
            "pool1": nn.MaxPool2d(kernel_size=2),  # (B, 16, 12, 12)
            "conv2": nn.Conv2d(16, 32, kernel_size=5),  # (B, 32, 8, 8)
            "norm2": nn.BatchNorm2d(32),
            "elu2": nn.ELU(),
            "pool2": nn.MaxPool2d(kernel_size=2),  # (B, 32, 4, 4)
            "flatten": nn.Flatten(),  # (B, 512)
            "fc": nn.Linear(32 * 4 * 4, num_classes),
        }
        if not batch_norm:
            layers = {
                name: layer for name, layer in layers.items() if name not in ("norm1", "norm2")
            }
        super().__init__(OrderedDict(layers))


def template_augmentation() -> Augment:
    """The assignment's template for one batch: turn, cut 28x28 out of 32x32, change the light.

    Mirror images are made by `FlipClasses(MIRROR_CLASSES)`, since they depend on the label.
    """
    return Augment(
        RandomAffine(degrees=5),
        RandomCrop(padding=0, size=28),
        ColourJitter(brightness=0.8, contrast=0.4),
    )
