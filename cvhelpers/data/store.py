"""The data folder: what a data set is, where it lies, how far it can be trusted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock

from cvhelpers.places import allowed, data_dir, shared_lock
from cvhelpers.results import KINDS


@dataclass(frozen=True)
class Provenance:
    """How far the pixels can be trusted, and why.

    `kind`: "real" (checksum verified), "unverified", "reduced" (real, but resized or re-encoded)
    or "sample" (synthetic).
    """

    kind: str
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; choose one of: {', '.join(KINDS)}")


@dataclass(frozen=True)
class DataSet:
    """One entry of the catalog; it lies in `folder` below the data folder.

    `archives`: for each archive its mirrors in order, (address, md5), or "" for the md5 where none
    is published: what comes from there is unverified. `files`: what tells that the
    set is there, with the md5 of each file, or "" where none is published. `version` counts changes
    of `write_sample` and `read`. `look_alikes`: files of another packaging of the set, and what
    that is.

    unpack(scratch): arrange the archives extracted into `scratch`; returns the folder to keep.
    write_sample(folder): write the synthetic sample in the official layout.
    read(folder, size): the arrays `classes` (str), and for train, val and (if any) test
    `train_images` uint8 (N, C, H, W), `train_labels` int64 (N,) or uint8 (N, H, W), `train_names`
    (str, optional). Keywords are the data set's own options (see `load`). Raises ValueError naming
    the file and the mend.
    read_mask(folder, name): for sets with masks, the mask of one image at its original size.
    """

    name: str
    title: str
    folder: str
    archives: tuple[tuple[tuple[str, str], ...], ...]
    size_bytes: int
    licence: str
    citation: str
    homepage: str
    image_size: int
    classes: int
    files: dict[str, str]
    version: int
    unpack: Callable[[Path], Path]
    write_sample: Callable[[Path], None]
    read: Callable[..., dict[str, np.ndarray]]
    look_alikes: dict[str, str] = field(default_factory=dict)
    read_mask: Callable[[Path, str], np.ndarray] | None = None

    @property
    def path(self) -> Path:
        return data_dir() / self.folder

    def present(self) -> bool:
        """Does it lie in the data folder, even if damaged? What one may not read does not."""
        return any(allowed(self.path / name, os.R_OK) for name in self.files)

    def stranger(self) -> str:
        """What lies in the data set's folder instead of it, or beside a part of it; "" if nothing.

        Found out by names alone; files that begin with a dot, and `provenance.json`, say nothing.
        """
        if all(allowed(self.path / name, os.R_OK) for name in self.files):
            return ""
        for name, what in self.look_alikes.items():
            if os.path.exists(self.path / name):
                return what
        if self.present() or not allowed(self.path, os.R_OK | os.X_OK):
            return ""
        names = sorted(os.listdir(self.path)) if self.path.is_dir() else []
        found = [name for name in names if name[0] != "." and name != "provenance.json"]
        needed = ", ".join(self.files)
        return f"{', '.join(found[:3])}, but not {needed}" if found else ""


def lock(name: str) -> FileLock:
    """A lock in the data folder that parallel runs share; the user's own where that is no use."""
    return shared_lock(data_dir() / ".locks" / f"{name}.lock")


def read_provenance(entry: DataSet, folder: Path) -> Provenance:
    """What `provenance.json` beside the data says; without one, what the files' own sums say."""
    path = folder / "provenance.json"
    if not path.exists():
        if all(md5 and _md5(folder / name) == md5 for name, md5 in entry.files.items()):
            return Provenance("real", "every file has the official checksum")
        return Provenance("unverified", "placed by hand, without a provenance.json")
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        provenance = Provenance(stated["kind"], stated.get("note", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path} must hold {{"kind": "...", "note": "..."}} with a kind of '
            f"{', '.join(KINDS)}; mend or remove it ({type(error).__name__}: {error})"
        ) from error
    if provenance.kind == "real" and stated.get("files") != fingerprint(folder, times=False):
        return Provenance("unverified", "files differ from those whose checksum was verified")
    return provenance


def fingerprint(folder: Path, *, times: bool = True) -> str:
    """A hash of names, sizes and (if `times`) dates of all files below `folder`; reads none."""
    digest = hashlib.sha256()
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))  # no caches
        own = {"provenance.json", *(name for name in files if name.startswith("."))}
        for name in sorted(set(files) - own):  # nor what a file manager leaves (.DS_Store)
            path = os.path.join(where, name)
            stat = os.stat(path)
            date = stat.st_mtime_ns if times else ""
            digest.update(f"{os.path.relpath(path, folder)}/{stat.st_size}/{date}\n".encode())
    return digest.hexdigest()[:16]


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest() if path.exists() else ""
