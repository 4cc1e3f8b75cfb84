"""`python -m cvhelpers doctor`: what a bug report should say, and what to do about each lack."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from cvhelpers import runtime
from cvhelpers.manifest import repository_root
from cvhelpers.places import data_dir, user_cache, writable

_GIGABYTE = 1e9
_LITTLE = 5  # GB of disk or memory below which work gets stuck
Finding = tuple[str, str, str]  # what it is about, what is so (BROKEN ...), what to do or ""


def main() -> int:
    """Print the findings; 1 if something is broken, 0 also where things are merely absent."""
    broken = False
    for about, what, mend in [*_software(), *_room(), *_data()]:
        print(f"{about:<12}{what}" + (f"\n{'':<12}-> {mend}" if mend else ""))
        broken |= what.startswith("BROKEN")
    return int(broken)


def _software() -> Iterator[Finding]:
    yield "python", f"{platform.python_version()} on {platform.platform()}", ""
    versions = runtime.library_versions()
    yield "libraries", ", ".join(f"{name} {version}" for name, version in versions.items()), ""
    if importlib.util.find_spec("jupyterlab") is None:
        yield "jupyterlab", "absent", "for work in a browser: pip install jupyterlab"
    for name in ("torch", "torchvision"):
        try:
            importlib.import_module(name)  # for real: a version number proves nothing
        except Exception as error:  # whatever a broken binary raises
            mend = "in one command: pip install --force-reinstall torch torchvision"
            yield name, f"BROKEN: {str(error).strip().splitlines()[0]}", mend
            return
    import torch

    for index in range(torch.cuda.device_count()):
        free, total = (size / _GIGABYTE for size in torch.cuda.mem_get_info(index))
        yield "gpu", f"{torch.cuda.get_device_name(index)}, {free:.0f} of {total:.0f} GB free", ""
    if torch.version.cuda and not torch.cuda.is_available():
        yield "gpu", "none found", "with an NVIDIA GPU: see whether nvidia-smi lists it"
    yield "runs on", runtime.device_name(runtime.pick_device()), ""


def _room() -> Iterator[Finding]:
    import psutil

    free = psutil.virtual_memory().available / _GIGABYTE
    mend = "close other programs, or use profile quick" if free < _LITTLE else ""
    yield "memory", f"{free:.1f} GB free; {os.cpu_count()} processors", mend
    shared = data_dir()
    places = [
        ("data", shared, "downloads need one: CVHELPERS_DATA_DIR moves it"),
        ("samples", shared / "sample", "they and decoded images go into the next folder"),
        ("own cache", user_cache(), "CVHELPERS_CACHE_DIR moves it"),
        ("runs", repository_root() / "runs", "runs are kept beside the notebook instead"),
    ]
    for about, folder, otherwise in places:
        there = next(one for one in (folder, *folder.parents) if os.path.exists(one))
        free = shutil.disk_usage(there).free / _GIGABYTE
        can = "writable" if writable(folder) else "read-only"
        mend = otherwise if can == "read-only" else ""
        mend = "make room; CVHELPERS_DATA_DIR moves the data" if free < _LITTLE else mend
        yield about, f"{folder}: {can}, {free:.0f} GB free", mend
    for name in sorted(name for name in os.environ if name.startswith(("CVHELPERS_", "TORCH_"))):
        yield "set", f"{name}={os.environ[name]}", ""


def _data() -> Iterator[Finding]:
    from cvhelpers.data import CATALOG
    from cvhelpers.data.cli import state

    for entry in CATALOG.values():
        here = entry.present() and not entry.stranger()
        mend = (
            "" if here else f"python -m cvhelpers data {entry.name}; without it: synthetic images"
        )
        yield entry.name, state(entry), mend
    home = Path(os.environ.get("TORCH_HOME") or Path.home() / ".cache" / "torch")
    weights = sorted(path.name for path in (home / "hub" / "checkpoints").glob("*.pth"))
    mend = "" if weights else "profile full downloads what it needs"
    yield "weights", f"{home}: {', '.join(weights) or 'none'}", mend
