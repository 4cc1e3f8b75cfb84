"""Images in memory: uint8 pictures with labels or masks, and the splits of a data set."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cvhelpers.data.store import Provenance
from cvhelpers.data.stratify import stratified


@dataclass(frozen=True, eq=False)
class Images:
    """A set of images on one device.

    `images` is uint8 (N, C, H, W), 0..255, as stored: models normalise, nobody else. `labels` is
    int64 (N,) with values 0..len(classes)-1, or uint8 masks (N, H, W), in which `masks.IGNORE`
    marks pixels that count nowhere. `names` holds one name an image ("accordion/image_0001") where
    the files have names, else it is ().
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    provenance: Provenance
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pictures, labels = tuple(self.images.shape), tuple(self.labels.shape)
        wanted = pictures[:1] + pictures[2:] if self.has_masks else pictures[:1]
        raw = self.images.dtype == torch.uint8 and len(pictures) == 4
        if not raw or labels != wanted or self.labels.dtype not in (torch.int64, torch.uint8):
            raise ValueError(
                f"images are {self.images.dtype} {pictures}, labels {self.labels.dtype} {labels}; "
                f"give uint8 (N, C, H, W), 0..255 (the model normalises), with int64 labels (N,) "
                f"or uint8 masks (N, H, W)"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor | list[int]) -> Images:
        """A subset on the same device; a slice is a view, anything else a copy."""
        if isinstance(index, int):
            raise ValueError(f"images[{index}] is one picture; use images[{index} : {index + 1}]")
        where = torch.arange(len(self))[index.cpu() if isinstance(index, Tensor) else index]
        chosen = index if isinstance(index, slice) else where.to(self.images.device)
        names = tuple(self.names[i] for i in where.tolist()) if self.names else ()
        return replace(self, images=self.images[chosen], labels=self.labels[chosen], names=names)

    @property
    def has_masks(self) -> bool:
        return self.labels.dtype == torch.uint8

    def to(self, device: torch.device | str) -> Images:
        """The same images on `device`; the very same object if they are there already."""
        images = self.images.to(device)
        if images is self.images:
            return self
        return replace(self, images=images, labels=self.labels.to(device))

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        drop_last: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches (images, labels), cut on the device; the last one is smaller or dropped.

        The order is drawn on the generator's device (the CPU without one), so that a seed gives
        the same batches on every device.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        order = None
        if shuffle:
            where = generator.device if generator else "cpu"
            order = torch.randperm(len(self), generator=generator, device=where)
            order = order.to(self.images.device)
        stop = len(self) - len(self) % batch_size if drop_last else len(self)
        for start in range(0, stop, batch_size):
            part = slice(start, start + batch_size)
            if order is None:
                yield self.images[part], self.labels[part]
            else:  # on a CPU several times faster than images[chosen]
                chosen = order[part]
                yield self.images.index_select(0, chosen), self.labels.index_select(0, chosen)

    def counts(self) -> Tensor:
        """Images per class: int64 (len(classes),), on the CPU."""
        if self.has_masks:
            raise ValueError("counts() needs one label an image; these images have masks")
        return torch.bincount(self.labels.cpu(), minlength=len(self.classes))

    def find(self, name: str) -> int:
        """Position of the image called `name`, such as "accordion/image_0001"."""
        if name not in self.names:
            near = difflib.get_close_matches(name, self.names, n=3, cutoff=0.4)
            raise ValueError(f"no image called {name!r} here; near names: {near or 'none'}")
        return self.names.index(name)

    def split(self, held_out: float = 0.1, *, seed: int = 0) -> tuple[Images, Images]:
        """(the rest, the held-out part): stratified, deterministic; a fraction or a count."""
        strata = torch.zeros(len(self)) if self.has_masks else self.labels.cpu()
        rest, held = stratified(strata.long().numpy(), held_out, seed=seed)
        return self[torch.from_numpy(rest)], self[torch.from_numpy(held)]

    def subset(self, count: int | None, *, seed: int = 0) -> Images:
        """A stratified subset of `count` images; itself if `count` is None or not below N."""
        return self if count is None or count >= len(self) else self.split(count, seed=seed)[1]

    def fingerprint(self) -> str:
        """sha256 of pixels, labels and classes: the same on every machine and device."""
        digest = hashlib.sha256(repr((self.classes, self.images.shape, self.labels.shape)).encode())
        for tensor in (self.images, self.labels):
            digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Splits:
    """Train, validation and (None where the assignment has none) test images of a data set."""

    train: Images
    val: Images
    test: Images | None = None

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], provenance: Provenance) -> Splits:
        """Splits over a reader's arrays (see `store.DataSet`), sharing their memory."""
        parts = {}
        for part in ("train", "val", "test"):
            if f"{part}_images" in arrays:
                parts[part] = Images(
                    images=torch.from_numpy(arrays[f"{part}_images"]),
                    labels=torch.from_numpy(arrays[f"{part}_labels"]),
                    classes=tuple(arrays["classes"].tolist()),
                    provenance=provenance,
                    names=tuple(arrays.get(f"{part}_names", np.array([])).tolist()),
                )
        return cls(**parts)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes

    @property
    def provenance(self) -> Provenance:
        return self.train.provenance

    def fold(self, number: int, count: int, *, group: Callable[[str], str] | None = None) -> Splits:
        """The same images dealt anew, for a cross-validation: fold `number` of `count` tests.

        The images of all parts together are dealt into `count` folds, always the same. Fold
        `number` (0 to `count` - 1) becomes the test set, the next one validates, the others train.

        Args:
            number: which fold tests.
            count: how many there are, at least 3.
            group: of a name: images of one group, such as a patient's, stay together; by default
                every image is its own.

        Raises:
            ValueError: fewer than 3 folds, more than groups, no such fold, images without names.
        """
        parts = [part for part in (self.train, self.val, self.test) if part is not None]
        names = [name for part in parts for name in part.names]
        groups = [group(name) if group else name for name in names]
        if not 0 <= number < count or not 3 <= count <= len(set(groups)):
            raise ValueError(
                f"fold {number} of {count}, with {len(set(groups))} groups of named images: deal "
                "into 3 folds or more, at most one a group, and count them from 0"
            )
        everything = replace(
            self.train,
            images=torch.cat([part.images for part in parts]),
            labels=torch.cat([part.labels for part in parts]),
            names=tuple(names),
        )
        ranks = {one: hashlib.sha256(one.encode()).digest() for one in set(groups)}
        places = {one: k % count for k, one in enumerate(sorted(ranks, key=ranks.__getitem__))}
        dealt = torch.tensor([places[one] for one in groups])
        test, val = dealt == number, dealt == (number + 1) % count
        return Splits(*(everything[part.nonzero()[:, 0]] for part in (~(test | val), val, test)))

    def to(self, device: torch.device | str) -> Splits:
        """The same splits on `device`."""
        test = self.test and self.test.to(device)
        return Splits(self.train.to(device), self.val.to(device), test)

    def fingerprint(self) -> str:
        """sha256 of the parts' fingerprints."""
        parts = [part.fingerprint() for part in (self.train, self.val, self.test) if part]
        return hashlib.sha256("".join(parts).encode()).hexdigest()
