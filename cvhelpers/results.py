"""What a run measured: the schema of `results.json`, its atomic writing, its reading."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

SCHEMA = 1
FILE_NAME = "results.json"
KINDS = ("real", "unverified", "reduced", "sample")  # provenance of data, best first
_REQUIRED = ("section", "profile", "provenance", "device", "seed", "seconds", "metrics", "figures")


def atomic_write(path: str | Path, content: str | bytes) -> Path:
    """Write `content` so that `path` holds either the old file or the whole new one.

    The text goes to a temporary file in the same folder, reaches the disk, and takes the
    name in one step: a reader, or a process killed half-way, never sees a torn file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; results are for everyone who may read the folder.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def write_results(folder: str | Path, results: dict[str, Any]) -> Path:
    """Write one section's results as `folder/results.json`, atomically."""
    text = json.dumps({"schema": SCHEMA, **results}, indent=1, allow_nan=False)
    return atomic_write(Path(folder) / FILE_NAME, text + "\n")


def read_results(path: str | Path) -> dict[str, Any]:
    """Read one section's results from its folder, or from the file itself.

    Raises:
        ValueError: no such file, broken JSON, another schema, or a missing key; the message
            names the file and what to do.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    mend = "run the section again"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no results here; {mend}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error}); {mend}") from None
    found = results.get("schema") if isinstance(results, dict) else None
    if found != SCHEMA:
        raise ValueError(f"{path}: schema {found!r}, this version reads {SCHEMA}; {mend}")
    absent = [key for key in _REQUIRED if key not in results]
    if absent:
        raise ValueError(f"{path}: lacks {', '.join(absent)}; {mend}")
    return results


def missing(
    results: dict[str, Any], *, metrics: Collection[str], figures: Collection[str]
) -> list[str]:
    """Name what the manifest demands and `results` lack, e.g. `["metric val_accuracy"]`."""
    return [f"metric {name}" for name in metrics if name not in results["metrics"]] + [
        f"figure {name}" for name in figures if name not in results["figures"]
    ]
