"""Transforms of whole batches, images and targets: what `fit` takes as `mix`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from cvhelpers.augment.draws import Layer, beta, boxes, check, uniform


class FlipClasses(Layer):
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
        # One comparison a class: a list sent to a GPU at every step would make the host wait.
        chosen = [targets == label for label in self.classes] or [torch.zeros_like(targets).bool()]
        flip = torch.stack(chosen).any(0) & (uniform(images, 0, 1) < 0.5)
        return torch.where(flip[:, None, None, None], images.flip(-1), images), targets


class OneHot(Layer):
    """Batch transform: int64 labels `(B,)` to one-hot float32 `(B, classes)`, in eval mode too.

    Targets that are soft already, `(B, classes)`, pass.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = int(check("classes", classes, 2))

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if targets.ndim == 1 and targets.dtype == torch.int64:
            self._refuse_strangers(targets)
            kinds = torch.arange(self.classes, device=targets.device)
            return images, (targets[:, None] == kinds).float()
        if targets.ndim != 2 or targets.shape[1] != self.classes:
            found = f"{targets.dtype} {tuple(targets.shape)}"
            raise ValueError(f"targets must be int64 (B,) or soft (B, {self.classes}), got {found}")
        return images, targets.float()

    def _refuse_strangers(self, targets: Tensor) -> None:
        """Look at the labels' values: on a CPU alone, since it would make a GPU's host wait."""
        for label in (targets.min(), targets.max()) if targets.device.type == "cpu" else ():
            check("label", int(label), 0, self.classes - 1)


class MixUp(OneHot):
    """Batch transform: blend each image and its target with another's (Zhang et al. 2018).

    The share that stays is drawn per sample from Beta(alpha, alpha); targets are one-hot in eval.
    """

    def __init__(self, classes: int, alpha: float = 0.2) -> None:
        super().__init__(classes)
        self.alpha = check("alpha", alpha, 1e-3)

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        images, targets = super().forward(images, targets)
        if not self.training:
            return images, targets
        partner = torch.randperm(len(images), device=images.device)
        kept = beta(images, self.alpha)
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
        box = boxes(images, height, width)
        # A box may stick out of the image: the label counts the pixels that were pasted.
        return torch.where(box, others, images), 1 - box.float().mean(dim=(1, 2, 3))
