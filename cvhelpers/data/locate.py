"""What to load: data that lies in the data folder, a download, or the synthetic sample."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cvhelpers.data.download import download
from cvhelpers.data.store import DataSet, data_dir, lock
from cvhelpers.runtime import PROFILES, SOURCES


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
