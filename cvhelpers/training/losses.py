"""Losses of logits and targets: labels, soft targets, or masks with pixels that do not count."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cvhelpers.masks import IGNORE


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy over all targets that count: the loss unless another is named.

    Args:
        logits: `(B, K)`, or `(B, K, H, W)` for masks. One logit a pixel, K = 1, says how much the
            foreground is favoured, and the loss is the binary cross-entropy of its sigmoid.
        targets: int64 labels `(B,)`, soft targets `(B, K)`, or uint8 masks `(B, H, W)`, whose
            `IGNORE` pixels count nowhere.

    Returns:
        A scalar; 0 for a batch of masks in which no pixel counts.
    """
    if targets.dtype != torch.uint8:
        return F.cross_entropy(logits, targets)
    counts = targets != IGNORE
    if logits.shape[1] == 1:
        truth = (targets == 1).to(logits.dtype)
        each = F.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none") * counts
    else:
        each = F.cross_entropy(logits, targets.long(), ignore_index=IGNORE, reduction="none")
    return each.sum() / counts.sum().clamp(min=1)


def soft_dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - Dice of the predicted shares, which unlike 0 and 1 have a gradient; mean over images.

    For each image, Dice is `(2 sum(p t) + 1) / (sum(p) + sum(t) + 1)` over the pixels that count,
    with p the sigmoid of one logit (or the softmax of several; then every class has a Dice of its
    own, and the mean counts) and t 1 or 0. The ones keep an image without foreground defined.
    Background that is rightly called background changes nothing, so a small object weighs as much
    as a large one.

    Args:
        logits: `(B, K, H, W)`.
        masks: uint8 `(B, H, W)`.

    Source: Milletari, Navab, Ahmadi: "V-Net", 2016, who square the terms of the denominator.
    """
    if logits.shape[1] == 1:
        shares, truth = logits.sigmoid(), (masks == 1)[:, None]
    else:
        kinds = torch.arange(logits.shape[1], device=masks.device)[:, None, None]
        shares, truth = logits.softmax(1), masks[:, None] == kinds
    counts = (masks != IGNORE)[:, None]
    shares = shares * counts  # in the truth nothing that is ignored is of any class
    both, sizes = (shares * truth).sum((2, 3)), (shares + truth).sum((2, 3))
    return 1 - ((2 * both + 1) / (sizes + 1)).mean()


def cross_entropy_and_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """`cross_entropy` + `soft_dice_loss`: the first judges pixel by pixel, the second the shape."""
    return cross_entropy(logits, masks) + soft_dice_loss(logits, masks)
