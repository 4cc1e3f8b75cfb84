"""Decode once: a reader's arrays as memory-mapped files beside the data, shared by all runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

Arrays = dict[str, np.ndarray]


def cached_arrays(folder: Path, key: str, build: Callable[[], Arrays]) -> Arrays:
    """The arrays `build` returns, decoded once and then mapped from `folder`/.cache/`key`.

    Mapped copy-on-write: processes share the pages and nobody can change the files. A broken cache
    is built again; parallel processes wait for the one that builds. Keys with the same first part
    (before "-") are stale by then and go.
    """
    place = folder / ".cache" / key
    found = _open(place)
    if found is None:
        place.parent.mkdir(exist_ok=True)
        with FileLock(place.with_name(f"{key}.lock")):
            found = _open(place)  # another process may have built it meanwhile
            if found is None:
                _write(place, build())
                found = _open(place)
    assert found is not None, f"unreadable right after writing: {place}"
    return found


def _write(place: Path, arrays: Arrays) -> None:
    for old in place.parent.glob(f"{place.name.split('-')[0]}-*"):
        if old.is_dir():
            shutil.rmtree(old)
    scratch = place.with_name(f"{place.name}.partial")
    scratch.mkdir()
    for name, array in arrays.items():
        np.save(scratch / f"{name}.npy", array, allow_pickle=False)
    (scratch / "index.json").write_text(json.dumps(list(arrays)))
    scratch.rename(place)


def _open(place: Path) -> Arrays | None:
    """The cached arrays, or None where there are none or they are broken."""
    try:
        names = json.loads((place / "index.json").read_text())
        return {name: np.load(place / f"{name}.npy", mmap_mode="c") for name in names}
    except (OSError, ValueError, EOFError):
        return None
