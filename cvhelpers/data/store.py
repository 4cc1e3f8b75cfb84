"""The data folder: what a data set is, where it lies, how far it can be trusted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

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

    `archives`: for each archive its mirrors in order, (address, md5). `files`: what tells that the
    set is there, with the md5 of each file, or "" where none is published. `version` counts changes
    of `write_sample` and `read`.

    unpack(scratch): arrange the archives extracted into `scratch`; returns the folder to keep.
    write_sample(folder): write the synthetic sample in the official layout.
    read(folder, size): the arrays `classes` (str), and for train, val and (if any) test
    `train_images` uint8 (N, C, H, W), `train_labels` int64 (N,) or uint8 (N, H, W), `train_names`
    (str, optional). Keywords are the data set's own options (see `load`). Raises ValueError naming
    the file and the mend.
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

    @property
    def path(self) -> Path:
        return data_dir() / self.folder

    def present(self) -> bool:
        """Does it lie in the data folder, even if damaged?"""
        return any((self.path / name).exists() for name in self.files)


def data_dir() -> Path:
    """The data folder: CVHELPERS_DATA_DIR, else `data` in the checkout or the working folder."""
    if chosen := os.environ.get("CVHELPERS_DATA_DIR"):
        return Path(chosen).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / "data"


def lock(name: str) -> FileLock:
    """A lock in the data folder that parallel runs share."""
    folder = data_dir() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock")


def read_provenance(entry: DataSet, folder: Path) -> Provenance:
    """What `provenance.json` beside the data says; without one, what the files' own sums say."""
    path = folder / "provenance.json"
    if not path.exists():
        if all(md5 and _md5(folder / name) == md5 for name, md5 in entry.files.items()):
            return Provenance("real", "every file has the official checksum")
        return Provenance("unverified", "placed by hand, without a provenance.json")
    try:
        stated = json.loads(path.read_text())
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
        for name in sorted(set(files) - {"provenance.json"}):
            path = os.path.join(where, name)
            stat = os.stat(path)
            date = stat.st_mtime_ns if times else ""
            digest.update(f"{os.path.relpath(path, folder)}/{stat.st_size}/{date}\n".encode())
    return digest.hexdigest()[:16]


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest() if path.exists() else ""
