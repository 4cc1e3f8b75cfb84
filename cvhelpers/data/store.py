"""The data folder: what a data set is, where it lies, how far it can be trusted, what to load."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from cvhelpers.runtime import PROFILES, SOURCES

KINDS = ("real", "unverified", "reduced", "sample")


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


def plan(entry: DataSet, *, source: str, profile: str) -> str:
    """What `load` would use: "folder" (data that lies there), "download" or "sample"."""
    for kind, value, known in (("source", source, SOURCES), ("profile", profile, PROFILES)):
        if value not in known:
            raise ValueError(f"unknown {kind} {value!r}; choose one of: {', '.join(known)}")
    if source == "sample":
        return "sample"
    if entry.present():
        return "folder"
    return "download" if source == "real" or profile == "full" else "sample"


def locate(entry: DataSet, *, source: str = "auto", profile: str = "quick") -> Path:
    """The folder to read: data that lies there, else downloaded, else the sample, drawn once.

    Downloads only for source "real", or "auto" in profile "full".
    """
    from cvhelpers.data.download import download

    chosen = plan(entry, source=source, profile=profile)
    if chosen == "sample":
        return sample_folder(entry)
    if chosen == "folder":
        return entry.path
    try:
        return download(entry)
    except ValueError as error:
        raise ValueError(
            f"{entry.name} is not in {data_dir()}; source {source!r} in profile {profile!r} needs "
            f"it. Run `python -m cvhelpers data {entry.name}` where there is a network, or place "
            f"it by hand (data/README.md), or take synthetic images: source='sample'.\n{error}"
        ) from error


def sample_folder(entry: DataSet) -> Path:
    """The synthetic sample of `entry`; drawn on first use and when its version has changed."""
    folder = data_dir() / "sample" / entry.folder
    path = folder / "provenance.json"
    stamp = json.dumps({"kind": "sample", "note": f"synthetic shapes, version {entry.version}"})
    with lock(f"sample-{entry.name}"):
        if not path.exists() or path.read_text() != stamp:
            print(f"{entry.name}: drawing the synthetic sample once ...", flush=True)
            scratch = folder.with_name(f".{folder.name}.partial")
            shutil.rmtree(scratch, ignore_errors=True)  # left by a killed process
            scratch.mkdir(parents=True)
            entry.write_sample(scratch)
            (scratch / "provenance.json").write_text(stamp)
            shutil.rmtree(folder, ignore_errors=True)
            scratch.rename(folder)
    return folder


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
