"""Transforms of images, and of their masks alike."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvhelpers.augment.draws import Layer, boxes, check, uniform
from cvhelpers.masks import IGNORE


class RandomTransform(Layer):
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
    (fill="border") or the number `fill`; in masks it is `IGNORE`, since nobody knows what stands
    there. Images are bilinear, masks nearest: no class appears that was not there.
    """
    height, width = images.shape[-2:]
    # grid_sample asks where each *output* pixel comes from, so this is the motion's inverse, in
    # pixels from the centre: source = flip(rotate(-angle)((target - shift) / scale)).
    cos, sin = torch.cos(torch.deg2rad(angle)) / scale, torch.sin(torch.deg2rad(angle)) / scale
    mirror = 1 - 2 * flip.to(cos.dtype)
    right, down = shift.unbind(1)
    x0, y0 = mirror * (sin * down - cos * right), -(sin * right + cos * down)
    # It counts -1..1 along each side; without the ratio of the sides a rotation would shear images
    # that are not square.
    ratio = height / width
    theta = [cos * mirror, -sin * mirror * ratio, x0 * (2 / width)]
    theta += [sin / ratio, cos, y0 * (2 / height)]
    size = [len(images), 1, height, width]
    grid = F.affine_grid(torch.stack(theta, dim=1).view(-1, 2, 3), size, align_corners=False)
    if masks is not None:  # grid_sample fills with 0: count from `IGNORE`
        above = masks[:, None].float() - IGNORE
        masks = (F.grid_sample(above, grid, "nearest", "zeros", False) + IGNORE)[:, 0].byte()
    if fill == "border":
        # Up to the outermost pixels' centres: padding_mode="border", which not every device has.
        x, y = grid.unbind(-1)
        x, y = x.clamp(1 / width - 1, 1 - 1 / width), y.clamp(1 / height - 1, 1 - 1 / height)
        grid = torch.stack([x, y], dim=-1)
    value = 0.0 if isinstance(fill, str) else fill
    source = images - value if value else images  # grid_sample fills with 0: count from `value`
    moved = F.grid_sample(source, grid, align_corners=False) + value
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
        self.degrees = check("degrees", degrees, 0, 180)
        self.zoom = check("zoom", zoom, 0, 0.99)
        self.translate = check("translate", translate, 0, 1)
        self.flip = flip
        if isinstance(fill, str) and fill != "border":
            raise ValueError(f"fill={fill!r} is unknown; choose 'border' or a number 0 to 255")
        self.fill = fill if isinstance(fill, str) else check("fill", fill, 0, 255)

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        angle = uniform(images, -self.degrees, self.degrees)
        scale = uniform(images, 1 - self.zoom, 1 + self.zoom)
        right = uniform(images, -self.translate, self.translate) * images.shape[3]
        down = uniform(images, -self.translate, self.translate) * images.shape[2]
        flip = uniform(images, 0, 1) < 0.5 * self.flip
        return affine(images, masks, angle, scale, torch.stack([right, down], 1), flip, self.fill)


class HorizontalFlip(RandomTransform):
    """Mirror each image left to right with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = check("p", p, 0, 1)

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        flip = uniform(images, 0, 1) < self.p
        if masks is not None:
            masks = torch.where(flip[:, None, None], masks.flip(-1), masks)
        return torch.where(flip[:, None, None, None], images.flip(-1), images), masks


class RandomCrop(RandomTransform):
    """Pad every side by `padding` pixels, then cut a window at a random place per sample.

    size: side of the square window in pixels, None keeps the image's; mode: "reflect" or "zeros".
    In masks the padding is `IGNORE`, in either mode.
    """

    def __init__(self, padding: int, size: int | None = None, mode: str = "reflect") -> None:
        super().__init__()
        if mode not in ("reflect", "zeros"):
            raise ValueError(f"mode={mode!r} is unknown; choose 'reflect' or 'zeros'")
        self.padding, self.size, self.mode = int(check("padding", padding, 0)), size, mode
        check("size", 1 if size is None else size, 1)

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

        def cut(batch: Tensor, mode: str, value: float) -> Tensor:
            padded = F.pad(batch, (self.padding,) * 4, mode=mode, value=value)
            # A view of all windows (B, C, rows, columns, h, w) and one index: no gather, no loop.
            windows = padded.unfold(2, height, 1).unfold(3, width, 1)
            return windows[torch.arange(len(batch), device=batch.device), :, top, left]

        if masks is not None:
            masks = cut(masks[:, None], "constant", IGNORE)[:, 0]
        return cut(images, "constant" if self.mode == "zeros" else "reflect", 0), masks


class Cutout(RandomTransform):
    """Cover a square of `size` pixels, centred anywhere, with grey (DeVries & Taylor 2017)."""

    def __init__(self, size: int, fill: float = 127.5) -> None:
        super().__init__()
        self.size, self.fill = int(check("size", size, 1)), check("fill", fill, 0, 255)

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        side = torch.full((len(images),), self.size, device=images.device)
        return images.masked_fill(boxes(images, side, side), self.fill), masks


class ColourJitter(RandomTransform):
    """Random brightness, contrast and saturation, in this order; 0.4 means a factor 0.6 to 1.4.

    Contrast moves values away from the image's mean grey, saturation away from each pixel's grey.
    """

    def __init__(self, brightness: float = 0, contrast: float = 0, saturation: float = 0) -> None:
        super().__init__()
        self.brightness = check("brightness", brightness, 0)
        self.contrast = check("contrast", contrast, 0)
        self.saturation = check("saturation", saturation, 0)

    def transform(self, images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        def factor(strength: float) -> Tensor:
            return uniform(images, max(0.0, 1 - strength), 1 + strength)[:, None, None, None]

        images = images * factor(self.brightness)
        grey = images.mean(dim=(1, 2, 3), keepdim=True)
        images = grey + (images - grey) * factor(self.contrast)
        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * factor(self.saturation)
        return images.clamp(0, 255), masks
