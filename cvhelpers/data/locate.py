"""What to load: data that lies in the data folder, a download, or the synthetic sample."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from cvhelpers.data.download import download
from cvhelpers.data.store import DataSet, lock
from cvhelpers.places import OWN_CACHE, data_dir, own, tell, writable
from cvhelpers.runtime import PROFILES, SOURCES


def plan(entry: DataSet, *, source: str, profile: str) -> str:
    """What `load` would use: "folder" (data that lies there), "download" or "sample"."""
    for kind, value, known in (("source", source, SOURCES), ("profile", profile, PROFILES)):
        if value not in known:
            raise ValueError(f"unknown {kind} {value!r}; choose one of: {', '.join(known)}")
    if source == "sample":
        return "sample"
    if what := entry.stranger():
        raise ValueError(
            f"{entry.path} holds {what}. Move it away and run `python -m cvhelpers data "
            f"{entry.name}`, arrange it as data/README.md says, or take source='sample'"
        )
    if entry.present():
        return "folder"
    return "download" if source == "real" or profile == "full" else "sample"


def locate(entry: DataSet, *, source: str = "auto", profile: str = "quick") -> Path:
    """The folder to read: data that lies there, else downloaded, else the sample, drawn once.

    Downloads only for source "real", or "auto" in profile "full".
    """
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
    """The synthetic sample of `entry`; drawn on first use and when its version has changed.

    It lies in the data folder, or in the user's own cache where that may only be read.
    """
    stamp = json.dumps({"kind": "sample", "note": f"synthetic shapes, version {entry.version}"})
    shared = data_dir() / "sample"
    folders = [place / entry.folder for place in (shared, own(shared))]
    with lock(f"sample-{entry.name}"):
        for folder in folders:
            if _stamp_of(folder) == stamp:
                return folder
        for folder in folders:
            if writable(folder.parent) and _draw_sample(entry, folder, stamp):
                if folder.parent != shared:
                    tell("the synthetic samples lie", folder.parent)
                return folder
    raise ValueError(f"neither {folders[0]} nor {folders[1]} may be written; {OWN_CACHE}")


def _stamp_of(folder: Path) -> str:
    try:
        return (folder / "provenance.json").read_text(encoding="utf-8")
    except OSError:  # absent, or somebody else's
        return ""


def _draw_sample(entry: DataSet, folder: Path, stamp: str) -> bool:
    """Draw the sample into `folder`; False where somebody else's stands there and stays."""
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        return False
    print(f"{entry.name}: drawing the synthetic sample once ...", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in folder.parent.glob(f".{folder.name}.*.partial"):
        shutil.rmtree(old, ignore_errors=True)  # left by a killed process
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    scratch.mkdir()
    entry.write_sample(scratch)
    (scratch / "provenance.json").write_text(stamp, encoding="utf-8")
    scratch.rename(folder)
    return True
