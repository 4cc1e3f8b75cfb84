"""Random image transforms as layers: batched, on the device, one draw for every sample.

All take raw batches, uint8 or float `(B, C, H, W)` in 0..255, and return float32 in that range; an
optional mask batch, uint8 `(B, H, W)`, moves exactly as its images do. They act in training mode
only: after `eval()` a batch passes unchanged. Random numbers come from the default generator of the
images' device, so one `torch.manual_seed` repeats them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _check(name: str, value: float, low: float, high: float = math.inf) -> float:
    if not low <= value <= high:
        raise ValueError(f"{name}={value!r} is out of range; choose {low:g} to {high:g}")
    return value


def _uniform(like: Tensor, low: float, high: float) -> Tensor:
    """One number per sample, uniform in low..high: float32 `(B,)` on the device of `like`."""
    return torch.rand(len(like), device=like.device) * (high - low) + low


def _boxes(images: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Bool `(B, 1, H, W)`: a box per sample, centred anywhere, cut off at the image's border."""
    inside = []
    for side, length in ((images.shape[2], height), (images.shape[3], width)):
        first = _uniform(images, 0, side).floor() - length // 2
        pixel = torch.arange(side, device=images.device)
        inside.append((pixel >= first[:, None]) & (pixel < (first + length)[:, None]))
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]


class _Layer(nn.Module):
    def extra_repr(self) -> str:  # so that a printed layer shows its settings
        settings = {k: v for k, v in vars(self).items() if k[0] != "_" and k != "training"}
        return ", ".join(f"{name}={value!r}" for name, value in settings.items())


class RandomTransform(_Layer):
    """What the transforms share: checks, and the rule for training mode. Write `transform`."""

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return float32 images and their masks, moved; the inputs stay as they are."""
        raise NotImplementedError

    def forward(self, images: Tensor, masks: Tensor | None = None) -> Any:
        """Return the new images, or `(images, masks)` where masks were given."""
        if images.ndim != 4:
            shape = tuple(images.shape)
            raise ValueError(
                f"expected a batch (B, C, H, W), got {shape}; pass image[None] for one"
            )
        if masks is not None and (masks.shape != images[:, 0].shape or masks.dtype != torch.uint8):
            found, needed = tuple(masks.shape), tuple(images[:, 0].shape)
            raise ValueError(f"masks must be uint8 {needed}, got {masks.dtype} {found}")
        if self.training:
            images, masks = self.transform(images.float(), masks)
        return images if masks is None else (images, masks)


class Augment(RandomTransform):
    """Several transforms one after the other; masks go through all of them."""

    def __init__(self, *layers: RandomTransform) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for layer in self.layers:
            images, masks = layer(images, masks) if masks is not None else (layer(images), None)
        return images, masks


def affine(
    images: Tensor, masks: Tensor | None, angle: Tensor, scale: Tensor, shift: Tensor, flip: Tensor,
    fill: float | str = "border",
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Flip, rotate, zoom, then shift every sample by its own numbers, in one resampling.

    images: float `(B, C, H, W)`; masks: uint8 `(B, H, W)`. angle `(B,)`: degrees anticlockwise;
    scale `(B,)`: 2 doubles the picture about its centre; shift `(B, 2)`: pixels right and down;
    flip: bool `(B,)`, left to right. What comes in from outside is the nearest border pixel
    (fill="border") or the number `fill` (in masks: 0). Images are bilinear, masks nearest.
    """
    height, width = images.shape[-2:]
    # grid_sample asks where each *output* pixel comes from, so this is the motion's inverse, in
    # pixels from the centre: source = flip(rotate(-angle)((target - shift) / scale)).
    cos, sin = torch.cos(torch.deg2rad(angle)) / scale, torch.sin(torch.deg2rad(angle)) / scale
    mirror = 1 - 2 * flip.to(cos.dtype)
    linear = torch.stack([cos * mirror, -sin * mirror, sin, cos], dim=1).view(-1, 2, 2)
    offset = -linear @ shift[:, :, None]
    # grid_sample counts -1..1 along each side; without this ratio a rotation would shear images
    # that are not square.
    half = torch.tensor([width / 2, height / 2], device=images.device)
    theta = torch.cat([linear * half, offset], dim=2) / half[:, None]
    grid = F.affine_grid(theta, [len(images), 1, height, width], align_corners=False)

    padding = "border" if fill == "border" else "zeros"
    value = 0.0 if isinstance(fill, str) else fill
    source = images - value if value else images  # grid_sample fills with 0: count from `value`
    moved = F.grid_sample(source, grid, padding_mode=padding, align_corners=False) + value
    if masks is not None:
        masks = F.grid_sample(masks[:, None].float(), grid, "nearest", padding, False)[:, 0].byte()
    return moved.clamp_(0, 255), masks  # rounding may pass the ends by a hair


class RandomAffine(RandomTransform):
    """Random rotation, zoom, translation and flip, fused into one resampling.

    degrees: turn up to this far either way; zoom: 0.2 scales by 0.8 to 1.2; translate: shift by up
    to this fraction of each side; flip: mirror half of the images; fill: "border" or 0..255.
    """

    def __init__(
        self, degrees: float = 0, zoom: float = 0, translate: float = 0, flip: bool = False,
        fill: float | str = "border",
    ) -> None:  # fmt: skip
        super().__init__()
        self.degrees = _check("degrees", degrees, 0, 180)
        self.zoom = _check("zoom", zoom, 0, 0.99)
        self.translate = _check("translate", translate, 0, 1)
        self.flip = flip
        if isinstance(fill, str) and fill != "border":
            raise ValueError(f"fill={fill!r} is unknown; choose 'border' or a number 0 to 255")
        self.fill = fill if isinstance(fill, str) else _check("fill", fill, 0, 255)

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        angle = _uniform(images, -self.degrees, self.degrees)
        scale = _uniform(images, 1 - self.zoom, 1 + self.zoom)
        right = _uniform(images, -self.translate, self.translate) * images.shape[3]
        down = _uniform(images, -self.translate, self.translate) * images.shape[2]
        flip = _uniform(images, 0, 1) < 0.5 * self.flip
        return affine(images, masks, angle, scale, torch.stack([right, down], 1), flip, self.fill)


class HorizontalFlip(RandomTransform):
    """Mirror each image left to right with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = _check("p", p, 0, 1)

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        flip = _uniform(images, 0, 1) < self.p
        if masks is not None:
            masks = torch.where(flip[:, None, None], masks.flip(-1), masks)
        return torch.where(flip[:, None, None, None], images.flip(-1), images), masks


class RandomCrop(RandomTransform):
    """Pad every side by `padding` pixels, then cut a window at a random place per sample.

    size: side of the square window in pixels, None keeps the image's; mode: "reflect" or "zeros".
    """

    def __init__(self, padding: int, size: int | None = None, mode: str = "reflect") -> None:
        super().__init__()
        if mode not in ("reflect", "zeros"):
            raise ValueError(f"mode={mode!r} is unknown; choose 'reflect' or 'zeros'")
        self.padding, self.size, self.mode = int(_check("padding", padding, 0)), size, mode
        _check("size", 1 if size is None else size, 1)

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        height, width = self.size or images.shape[2], self.size or images.shape[3]
        rows = images.shape[2] + 2 * self.padding - height + 1  # places where a window may start
        columns = images.shape[3] + 2 * self.padding - width + 1
        if min(rows, columns) < 1:
            raise ValueError(
                f"size={self.size} does not fit {tuple(images.shape)}; choose a smaller"
            )
        top = torch.randint(rows, (len(images),), device=images.device)
        left = torch.randint(columns, (len(images),), device=images.device)

        def cut(batch: Tensor) -> Tensor:
            mode = "constant" if self.mode == "zeros" else "reflect"
            padded = F.pad(batch, (self.padding,) * 4, mode=mode)
            # A view of all windows (B, C, rows, columns, h, w) and one index: no gather, no loop.
            windows = padded.unfold(2, height, 1).unfold(3, width, 1)
            return windows[torch.arange(len(batch), device=batch.device), :, top, left]

        return cut(images), None if masks is None else cut(masks[:, None].float())[:, 0].byte()


class Cutout(RandomTransform):
    """Cover a square of `size` pixels, centred anywhere, with grey (DeVries & Taylor 2017)."""

    def __init__(self, size: int, fill: float = 127.5) -> None:
        super().__init__()
        self.size, self.fill = int(_check("size", size, 1)), _check("fill", fill, 0, 255)

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        side = torch.full((len(images),), self.size, device=images.device)
        return images.masked_fill(_boxes(images, side, side), self.fill), masks


class ColourJitter(RandomTransform):
    """Random brightness, contrast and saturation, in this order; 0.4 means a factor 0.6 to 1.4.

    Contrast moves values away from the image's mean grey, saturation away from each pixel's grey.
    """

    def __init__(self, brightness: float = 0, contrast: float = 0, saturation: float = 0) -> None:
        super().__init__()
        self.brightness = _check("brightness", brightness, 0)
        self.contrast = _check("contrast", contrast, 0)
        self.saturation = _check("saturation", saturation, 0)

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        def factor(strength: float) -> Tensor:
            return _uniform(images, max(0.0, 1 - strength), 1 + strength)[:, None, None, None]

        images = images * factor(self.brightness)
        grey = images.mean(dim=(1, 2, 3), keepdim=True)
        images = grey + (images - grey) * factor(self.contrast)
        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * factor(self.saturation)
        return images.clamp(0, 255), masks


class FlipClasses(_Layer):
    """Batch transform: mirror half of the images of some classes left to right, in training mode.

    For classes that mean the same in a mirror, such as a "no entry" sign; a "turn left" does not.
    Targets are int64 `(B,)` and stay.
    """

    def __init__(self, classes: Iterable[int]) -> None:
        super().__init__()
        self.classes = tuple(sorted(classes))

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training:
            return images, targets
        symmetric = torch.isin(targets, torch.tensor(self.classes, device=targets.device))
        flip = symmetric & (_uniform(images, 0, 1) < 0.5)
        return torch.where(flip[:, None, None, None], images.flip(-1), images), targets


class OneHot(_Layer):
    """Batch transform: int64 labels `(B,)` to one-hot float32 `(B, classes)`, in eval mode too.

    Targets that are soft already, `(B, classes)`, pass.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = int(_check("classes", classes, 2))

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if targets.ndim == 1 and targets.dtype == torch.int64:
            # Looking at the values would stall a GPU, which reports a wrong label by itself.
            for label in (targets.min(), targets.max()) if targets.device.type == "cpu" else ():
                _check("label", int(label), 0, self.classes - 1)
            return images, F.one_hot(targets, self.classes).float()
        if targets.ndim != 2 or targets.shape[1] != self.classes:
            found = f"{targets.dtype} {tuple(targets.shape)}"
            raise ValueError(f"targets must be int64 (B,) or soft (B, {self.classes}), got {found}")
        return images, targets.float()


class MixUp(OneHot):
    """Batch transform: blend each image and its target with another's (Zhang et al. 2018).

    The share that stays is drawn per sample from Beta(alpha, alpha); targets are one-hot in eval.
    """

    def __init__(self, classes: int, alpha: float = 0.2) -> None:
        super().__init__(classes)
        self.alpha = _check("alpha", alpha, 1e-3)

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        images, targets = super().forward(images, targets)
        if not self.training:
            return images, targets
        partner = torch.randperm(len(images), device=images.device)
        alpha = torch.full((len(images),), self.alpha, device=images.device)
        kept = torch.distributions.Beta(alpha, alpha, validate_args=False).sample()
        images, kept = self.mix(images.float(), images.float()[partner], kept)
        return images, kept[:, None] * targets + (1 - kept[:, None]) * targets[partner]

    def mix(self, images: Tensor, others: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixed images and the share `(B,)` of the first that is truly in them."""
        return others.lerp(images, kept[:, None, None, None]), kept


class CutMix(MixUp):
    """Batch transform: paste a box of another image; targets follow the area (Yun et al. 2019)."""

    def __init__(self, classes: int, alpha: float = 1.0) -> None:
        super().__init__(classes, alpha)

    def mix(self, images: Tensor, others: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        height, width = ((1 - kept).sqrt() * side // 1 for side in images.shape[2:])
        box = _boxes(images, height, width)
        # A box may stick out of the image: the label counts the pixels that were pasted.
        return torch.where(box, others, images), 1 - box.float().mean(dim=(1, 2, 3))
