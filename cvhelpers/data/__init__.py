"""Data sets: a catalog, and `load`, which finds, downloads or draws one and splits it."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from cvhelpers.data import caltech101, cifar, flowers, gtsrb, locate, lungs, store, voc2012
from cvhelpers.data.cache import cached_arrays
from cvhelpers.data.own import load_folder as load_folder
from cvhelpers.data.store import DataSet, Provenance

if TYPE_CHECKING:  # `load` alone imports torch: the command line starts fast
    import torch

    from cvhelpers.data.images import Images, Splits

_ENTRIES = (
    caltech101.CALTECH101, gtsrb.GTSRB, lungs.LUNGS, cifar.CIFAR10, cifar.CIFAR100,
    voc2012.VOC2012, flowers.FLOWERS,
)  # fmt: skip
CATALOG: dict[str, DataSet] = {entry.name: entry for entry in _ENTRIES}


def load(
    name: str,
    *,
    source: str = "auto",
    profile: str = "quick",
    device: torch.device | str = "cpu",
    size: int | None = None,
    **options: Any,
) -> Splits:
    """The splits of data set `name` on `device`, at `size` pixels (default: the assignment's).

    What `source` and `profile` mean, and when anything is downloaded: see `locate.locate`. Further
    `options` are those of the data set's reader: `crop=True` for gtsrb.
    """
    from cvhelpers.data.images import Splits

    entry = describe(name)
    size = entry.image_size if size is None else size
    if size < 1:
        raise ValueError(f"size is a number of pixels, at least 1, got {size!r}")
    known = {
        key
        for key, one in inspect.signature(entry.read).parameters.items()
        if one.kind is one.KEYWORD_ONLY
    }
    if unknown := options.keys() - known:
        raise ValueError(f"{name} has no option {sorted(unknown)}; it knows {sorted(known)}")
    folder = locate.locate(entry, source=source, profile=profile)
    provenance = store.read_provenance(entry, folder)
    chosen = "".join(f"_{key}={value}" for key, value in sorted(options.items()))
    key = f"{size}px{chosen}-{store.fingerprint(folder)}-v{entry.version}"
    arrays = cached_arrays(folder, key, functools.partial(entry.read, folder, size, **options))
    return Splits.from_arrays(arrays, provenance).to(device)


def original_masks(
    name: str, images: Images, *, source: str = "auto", profile: str = "quick"
) -> list[torch.Tensor]:
    """The masks of `images` at their original sizes: uint8 `(H, W)` each, on the CPU.

    `images` came from `load(name, ...)`. Of a set that was loaded with two classes, the masks have
    two classes.
    """
    import torch

    from cvhelpers.data.pairs import foreground

    entry = describe(name)
    if entry.read_mask is None or not images.names:
        raise ValueError(f"{name}: masks are read by the images' names; these images have none")
    folder = locate.locate(entry, source=source, profile=profile)
    masks = [entry.read_mask(folder, one) for one in images.names]
    if len(images.classes) < entry.classes:
        masks = [foreground(mask) for mask in masks]
    return [torch.from_numpy(mask) for mask in masks]


def describe(name: str) -> DataSet:
    """The catalog's entry for `name`."""
    if name not in CATALOG:
        raise ValueError(f"unknown data set {name!r}; choose one of: {', '.join(CATALOG)}")
    return CATALOG[name]


def provenance_of(name: str, source: str = "auto", profile: str = "quick") -> Provenance:
    """What `load` would use, found out without drawing, downloading or decoding anything."""
    entry = describe(name)
    chosen = locate.plan(entry, source=source, profile=profile)
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
