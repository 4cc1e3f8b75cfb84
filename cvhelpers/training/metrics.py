"""Counting what a net gets right, without waiting for the device at every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cvhelpers.masks import IGNORE


def sum_dtype(device: torch.device) -> torch.dtype:
    """What sums are kept in: float64, but for Apple's GPUs (mps), which have none."""
    return torch.float32 if device.type == "mps" else torch.float64


class Totals:
    """Sums of loss and hits over an epoch, kept on the device, divided once at the end.

    Dividing once is what makes an uneven last batch count by its size (and a mask by its pixels
    that count); summing on the device is what keeps a GPU busy: `.item()` would make it wait at
    every step.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=sum_dtype(device), device=device)
        self.hits = torch.zeros((), dtype=torch.int64, device=device)
        self.targets = torch.zeros((), dtype=torch.int64, device=device)
        self.pixels: Tensor | None = None  # (true class, predicted class) of masks
        self.samples = 0

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Add one batch.

        Args:
            loss: mean loss of the batch, a scalar.
            logits: `(B, K)`, or `(B, K, H, W)` for masks.
            targets: class indices `(B,)`, masks `(B, H, W)` with `IGNORE` where a pixel counts
                nowhere, or soft targets shaped like `logits`, whose most probable class then
                counts as the right one.
        """
        if targets.dtype == torch.uint8:
            counts = confusion_counts(predicted_classes(logits), targets, max(2, logits.shape[1]))
            self.pixels = counts if self.pixels is None else self.pixels + counts
            count: Tensor | int = counts.sum()
        else:
            if targets.is_floating_point() and targets.shape == logits.shape:
                targets = targets.argmax(1)
            self.hits += (predicted_classes(logits) == targets).sum()
            count = targets.numel()
        self.loss += loss.detach() * count
        self.targets += count
        self.samples += len(logits)

    def averages(self) -> dict[str, float]:
        """Return `{"loss": ..., "accuracy": ...}`, and of masks all of `mask_scores`.

        Raises:
            ValueError: no batch was added, or masks in which no pixel counts.
        """
        if not self.samples:
            raise ValueError("no batches: the data set is empty, or an iterator was used up before")
        count = int(self.targets.item())
        if not count:
            raise ValueError(f"every pixel of the masks is {IGNORE}, to be ignored: nothing counts")
        loss = self.loss.item() / count
        if self.pixels is not None:
            return {"loss": loss, **mask_scores(self.pixels)}
        return {"loss": loss, "accuracy": self.hits.item() / count}


def predicted_classes(logits: Tensor) -> Tensor:
    """The class that logits favour: int64 `(B,)` for `(B, K)`; `(B, H, W)` for `(B, K, H, W)`.

    One logit alone, K = 1, favours class 1 where it is above 0, that is, where its sigmoid is
    above one half.
    """
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def confusion_counts(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Count `(true class, predicted class)` pairs.

    Args:
        predicted: class indices of any shape.
        labels: true class indices, int64, or uint8 masks, whose `IGNORE` pixels are left out; of
            the same shape.
        num_classes: number of classes K.

    Returns:
        int64 `(K, K)`, rows are true classes; rows sum to the classes' sizes.
    """
    if predicted.shape != labels.shape:
        raise ValueError(f"{tuple(predicted.shape)} predictions for {tuple(labels.shape)} labels")
    pairs = labels.long() * num_classes + predicted.long()
    if labels.dtype == torch.uint8:  # one bin more, for what counts nowhere
        pairs = pairs.where(labels != IGNORE, num_classes**2)
    pairs = pairs.flatten()
    counts = torch.zeros(num_classes**2 + 1, dtype=torch.int64, device=pairs.device)
    counts.scatter_add_(0, pairs, torch.ones_like(pairs))  # bincount would make a GPU's host wait
    return counts[:-1].view(num_classes, num_classes)


def mask_scores(counts: Tensor) -> dict[str, float]:
    """How well masks overlap: `{"accuracy": ..., "iou": ..., "dice": ...}`, fractions.

    With A the pixels of a class in the truth and B those in the prediction, IoU (Jaccard's index)
    is |A and B| / |A or B|, and Dice 2 |A and B| / (|A| + |B|) = 2 IoU / (1 + IoU). Of two classes
    the second one, the foreground, is judged, and where neither mask has any, both are 1. Of more
    classes the mean counts, background included, over those that appear in truth or prediction,
    as PASCAL VOC has it. Accuracy is the share of all pixels. Where no pixel counts, all are NaN.

    Args:
        counts: `confusion_counts` of one image, or summed over many ("pooled pixels").
    """
    ious, dices = overlaps(counts)
    pixels = counts.sum().item()
    if not pixels:
        return dict.fromkeys(("accuracy", "iou", "dice"), math.nan)
    if len(counts) == 2:
        means = [values[1].nan_to_num(1.0) for values in (ious, dices)]
    else:
        means = [values.nanmean() for values in (ious, dices)]
    accuracy = counts.diagonal().sum().item() / pixels
    return {"accuracy": accuracy, "iou": means[0].item(), "dice": means[1].item()}


def overlaps(counts: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and Dice of every class, `(K,)` each; NaN for a class that appears nowhere."""
    hits = counts.diagonal().to(sum_dtype(counts.device))
    sizes = counts.sum(0) + counts.sum(1)
    return hits / (sizes - hits), 2 * hits / sizes
