"""What a training goes through: images cut into batches, or batches of the user's own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized

import torch
from torch import Tensor

from cvhelpers.data.features import FeatureBatches
from cvhelpers.data.images import Images

# A set of images, or any iterable of (images, targets) batches that can be gone through again.
Data = Images | Iterable[tuple[Tensor, Tensor]]


def batches_of(
    data: Data,
    device: torch.device,
    batch_size: int | None,
    *,
    shuffle: bool = False,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield `(images, targets)` on `device`, from `Images` or from batches of your own.

    `batch_size` None is for evaluation: 512 images, or as many as have two million pixels.

    `generator`, on the CPU, draws the order of `Images` and `FeatureBatches`; batches of your own
    keep theirs.

    When shuffling (training), a last batch of one single image is left out: batch normalisation
    cannot train on it, and the next epoch leaves out another one.
    """
    if isinstance(data, Images):
        if batch_size is None:
            batch_size = max(1, min(512, 2**21 // math.prod(data.images.shape[2:])))
        lonely = shuffle and len(data) > batch_size and len(data) % batch_size == 1
        yield from data.to(device).batches(
            batch_size, shuffle=shuffle, generator=generator, drop_last=lonely
        )
    else:
        for images, targets in _drawn_by(data, generator):
            yield images.to(device, non_blocking=True), targets.to(device, non_blocking=True)


def look_ahead(train: Data, batch_size: int, epochs: int) -> tuple[Tensor, int]:
    """Return the first batch of images and the number of training steps to come."""
    if isinstance(train, Images):
        return train.images[:batch_size], epochs * math.ceil(len(train) / batch_size)
    if iter(train) is train:
        raise ValueError(
            f"train is a {type(train).__name__}, which is empty after one epoch; "
            "give a list of batches, a DataLoader, or Images"
        )
    length = len(train) if isinstance(train, Sized) else 1
    spare = torch.Generator()  # looking ahead moves no other random number
    return next(iter(_drawn_by(train, spare)), (torch.empty(0),))[0], epochs * length


def _drawn_by(
    data: Iterable[tuple[Tensor, Tensor]], generator: torch.Generator | None
) -> Iterable[tuple[Tensor, Tensor]]:
    """`FeatureBatches` in an order drawn by `generator`; any other iterable as it is."""
    return data.batches(generator=generator) if isinstance(data, FeatureBatches) else data


def labels_of(data: Data) -> Tensor | None:
    """All labels, where the data hold them: `Images` and `FeatureBatches` do."""
    return data.labels if isinstance(data, Images | FeatureBatches) else None
