"""Random image transforms as layers: batched, on the device, one draw for every sample.

All take raw batches, uint8 or float `(B, C, H, W)` in 0..255, and return float32 in that range; an
optional mask batch, uint8 `(B, H, W)`, moves exactly as its images do. They act in training mode
only: after `eval()` a batch passes unchanged. Random numbers come from the default generator of the
images' device, so one `torch.manual_seed` repeats them.
"""

from cvhelpers.augment.batches import CutMix, FlipClasses, MixUp, OneHot
from cvhelpers.augment.transforms import (
    Augment,
    ColourJitter,
    Cutout,
    HorizontalFlip,
    RandomAffine,
    RandomCrop,
    RandomTransform,
    affine,
)

__all__ = [
    "Augment",
    "ColourJitter",
    "CutMix",
    "Cutout",
    "FlipClasses",
    "HorizontalFlip",
    "MixUp",
    "OneHot",
    "RandomAffine",
    "RandomCrop",
    "RandomTransform",
    "affine",
]
