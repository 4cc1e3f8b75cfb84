"""Decode once: a reader's arrays as memory-mapped files beside the data, shared by all runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cvhelpers.places import OWN_CACHE, own, shared_lock, tell, writable

Arrays = dict[str, np.ndarray]


def cached_arrays(folder: Path, key: str, build: Callable[[], Arrays]) -> Arrays:
    """The arrays `build` returns, decoded once and then mapped from `folder`/.cache/`key`.

    Mapped copy-on-write: processes share the pages and nobody can change the files. A broken cache
    is built again; parallel processes wait for the one that builds. Keys with the same first part
    (before "-") are stale by then and go. Where the folder may only be read, or holds what another
    user keeps private, the user's own cache takes its place.
    """
    shared, private = folder / ".cache", own(folder)
    for parent in (shared, private):
        if (found := _open(parent / key)) is not None:
            return found
    arrays: Arrays | None = None
    for parent in (shared, private):
        if not writable(parent):
            continue
        with shared_lock(parent / f"{key}.lock"):
            if (found := _open(parent / key)) is not None:
                return found  # another process has built it meanwhile
            arrays = build() if arrays is None else arrays
            if _write(parent / key, arrays) and (found := _open(parent / key)) is not None:
                if parent == private:
                    tell(f"{folder.name}: decoded images are kept", parent)
                return found
    raise ValueError(f"neither {shared} nor {private} may be written; {OWN_CACHE}")


def _write(place: Path, arrays: Arrays) -> bool:
    """Write the arrays, named once whole; False where another user's files are in the way."""
    for old in place.parent.glob(f"{place.name.split('-')[0]}-*"):
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
    if os.path.lexists(place):
        return False
    scratch = place.with_name(f"{place.name}.{os.getpid()}.partial")
    scratch.mkdir()
    for name, array in arrays.items():
        np.save(scratch / f"{name}.npy", array, allow_pickle=False)
    (scratch / "index.json").write_text(json.dumps(list(arrays)), encoding="utf-8")
    scratch.rename(place)
    return True


def _open(place: Path) -> Arrays | None:
    """The cached arrays, or None where there are none or they are broken."""
    try:
        names = json.loads((place / "index.json").read_text(encoding="utf-8"))
        return {name: np.load(place / f"{name}.npy", mmap_mode="c") for name in names}
    except (OSError, ValueError, EOFError):
        return None
