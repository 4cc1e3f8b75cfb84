"""Features that a frozen backbone computed, with their labels: data for a head's training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cvhelpers.fingerprint import fingerprint_of


@dataclass(frozen=True, eq=False)
class FeatureBatches:
    """Features and labels as batches: data for `fit`, `evaluate` and `predict`.

    `features` is float32 (N, F), `labels` int64 (N,), on one device. Every iteration begins
    anew; with `shuffle` (training) in a new order, drawn on the CPU as that of `Images` is:
    `fit` draws it from its own generator.
    """

    features: Tensor
    labels: Tensor
    batch_size: int = 128
    shuffle: bool = False

    def __post_init__(self) -> None:
        features, labels = tuple(self.features.shape), tuple(self.labels.shape)
        if len(features) != 2 or labels != features[:1]:
            raise ValueError(f"features are {features}, labels {labels}; give (N, F) and (N,)")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")

    def __len__(self) -> int:
        """The number of batches; the last one may be smaller."""
        return math.ceil(len(self.features) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.batches()

    def batches(
        self, *, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches (features, labels); `generator` draws the order, torch's default one if None."""
        count = len(self.features)
        order = torch.arange(count)
        if self.shuffle:
            order = torch.randperm(count, generator=generator)
        for chosen in order.to(self.features.device).split(self.batch_size):
            yield self.features[chosen], self.labels[chosen]

    def fingerprint(self) -> str:
        """sha256 of everything that training on them depends on."""
        return fingerprint_of(**vars(self))
