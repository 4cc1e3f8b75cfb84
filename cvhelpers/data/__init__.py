"""Data sets: a catalog, and `load`, which finds, downloads or draws one and splits it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from cvhelpers.data import caltech101, cifar, store
from cvhelpers.data.cache import cached_arrays
from cvhelpers.data.store import DataSet, Provenance

if TYPE_CHECKING:  # `load` alone imports torch: the command line starts fast
    import torch

    from cvhelpers.data.images import Splits

CATALOG: dict[str, DataSet] = {
    entry.name: entry for entry in (caltech101.CALTECH101, cifar.CIFAR10, cifar.CIFAR100)
}


def load(
    name: str,
    *,
    source: str = "auto",
    profile: str = "quick",
    device: torch.device | str = "cpu",
    size: int | None = None,
) -> Splits:
    """The splits of data set `name` on `device`, at `size` pixels (default: the assignment's).

    What `source` and `profile` mean, and when anything is downloaded: see `store.locate`.
    """
    from cvhelpers.data.images import Splits

    entry = describe(name)
    size = entry.image_size if size is None else size
    if size < 1:
        raise ValueError(f"size is a number of pixels, at least 1, got {size!r}")
    folder = store.locate(entry, source=source, profile=profile)
    provenance = store.read_provenance(entry, folder)
    key = f"{size}px-{store.fingerprint(folder)}-v{entry.version}"
    arrays = cached_arrays(folder, key, functools.partial(entry.read, folder, size))
    return Splits.from_arrays(arrays, provenance).to(device)


def describe(name: str) -> DataSet:
    """The catalog's entry for `name`."""
    if name not in CATALOG:
        raise ValueError(f"unknown data set {name!r}; choose one of: {', '.join(CATALOG)}")
    return CATALOG[name]


def provenance_of(name: str, source: str = "auto", profile: str = "quick") -> Provenance:
    """What `load` would use, found out without drawing, downloading or decoding anything."""
    entry = describe(name)
    chosen = store.plan(entry, source=source, profile=profile)
    if chosen == "folder":
        return store.read_provenance(entry, entry.path)
    if chosen == "download":
        return Provenance("real", "to be downloaded")
    return Provenance("sample", f"synthetic shapes, version {entry.version}")


def fingerprint(name: str, source: str = "auto", profile: str = "quick") -> str:
    """A cheap key of what `load` would use, for deciding whether a run is up to date.

    Real data has the same key before and after its download.
    """
    entry = describe(name)
    kind = provenance_of(name, source, profile).kind
    key = f"{name} {kind} v{entry.version}"
    if kind in ("real", "sample"):
        return key
    return f"{key} {store.fingerprint(entry.path)}"
