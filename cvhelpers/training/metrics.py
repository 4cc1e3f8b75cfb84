"""Counting what a classifier gets right, without waiting for the device at every step."""

from __future__ import annotations

import torch
from torch import Tensor


def sum_dtype(device: torch.device) -> torch.dtype:
    """What sums are kept in: float64, but for Apple's GPUs (mps), which have none."""
    return torch.float32 if device.type == "mps" else torch.float64


class Totals:
    """Sums of loss and hits over an epoch, kept on the device, divided once at the end.

    Dividing once is what makes an uneven last batch count by its size; summing on the device
    is what keeps a GPU busy: `.item()` would make it wait at every step.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=sum_dtype(device), device=device)
        self.hits = torch.zeros((), dtype=torch.int64, device=device)
        self.samples = 0
        self.targets = 0

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Add one batch.

        Args:
            loss: mean loss of the batch, a scalar.
            logits: `(B, K)`, or `(B, K, H, W)` for masks.
            targets: class indices `(B,)` or `(B, H, W)`, or soft targets shaped like `logits`,
                whose most probable class then counts as the right one.
        """
        if targets.is_floating_point() and targets.shape == logits.shape:
            targets = targets.argmax(1)
        self.loss += loss.detach() * len(logits)
        self.hits += (logits.argmax(1) == targets).sum()
        self.samples += len(logits)
        self.targets += targets.numel()

    def averages(self) -> dict[str, float]:
        """Return `{"loss": ..., "accuracy": ...}`, accuracy as a fraction of all targets.

        Raises:
            ValueError: no batch was added.
        """
        if not self.samples:
            raise ValueError("no batches: the data set is empty, or an iterator was used up before")
        loss = self.loss.item() / self.samples
        return {"loss": loss, "accuracy": self.hits.item() / self.targets}


def confusion_counts(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Count `(true class, predicted class)` pairs.

    Args:
        predicted: class indices, int64 `(N,)`.
        labels: true class indices, int64 `(N,)`.
        num_classes: number of classes K.

    Returns:
        int64 `(K, K)`, rows are true classes; rows sum to the classes' sizes.
    """
    if predicted.shape != labels.shape:
        raise ValueError(f"{tuple(predicted.shape)} predictions for {tuple(labels.shape)} labels")
    pairs = labels * num_classes + predicted
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)
