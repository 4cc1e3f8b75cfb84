"""Where files go, and the user's own places where a shared folder may only be read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs
from filelock import FileLock

from cvhelpers.manifest import repository_root
from cvhelpers.results import FILE_NAME
from cvhelpers.runtime import in_colab, is_headless

OWN_CACHE = "set CVHELPERS_CACHE_DIR to a folder of your own"
DRIVE = Path("/content/drive")  # where Colab's documentation mounts the user's Google Drive
_told: set[Path] = set()  # folders that the user was told of


def data_dir() -> Path:
    """The data folder: CVHELPERS_DATA_DIR, else `data` in the checkout or the working folder."""
    if chosen := os.environ.get("CVHELPERS_DATA_DIR"):
        return Path(chosen).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[1]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / "data"


def user_cache() -> Path:
    """The user's own cache folder, CVHELPERS_CACHE_DIR if that is set; it need not exist yet."""
    if chosen := os.environ.get("CVHELPERS_CACHE_DIR"):
        return Path(chosen).expanduser().resolve()
    return platformdirs.user_cache_path("cvhelpers")


def allowed(path: Path, mode: int) -> bool:
    """Whether this process may do with an existing `path` what `mode` (os.R_OK, ...) says."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, which may have to be made first."""
    there = next((one for one in (folder, *folder.parents) if os.path.lexists(one)), None)
    return there is not None and there.is_dir() and allowed(there, os.W_OK | os.X_OK)


def own(folder: Path) -> Path:
    """The user's own stand-in for a shared `folder`: one folder in the user's cache for each."""
    return user_cache() / f"{folder.name.strip('.')}-{_short(folder)}"


def tell(what: str, folder: Path) -> None:
    """Say once in one line where something goes that could not go beside the data."""
    if folder not in _told:
        _told.add(folder)
        print(f"{what} in {folder} (CVHELPERS_CACHE_DIR moves it)", flush=True)


def shared_lock(path: Path) -> FileLock:
    """A lock that parallel runs share; the user's own where that of others cannot be used.

    Raises:
        ValueError: no lock can be written anywhere; it names the variable that says where.
    """
    usable = allowed(path, os.W_OK) if os.path.lexists(path) else writable(path.parent)
    if not usable:
        path = user_cache() / "locks" / f"{_short(path.parent)}-{path.name.strip('.')}"
        if not writable(path.parent):
            raise ValueError(f"{path.parent} may not be written; {OWN_CACHE}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, mode=0o666)


def runs_dir() -> Path:
    """The folder of all runs: in the checkout, or beside the notebook where that is read-only.

    Raises:
        ValueError: neither can be written; it names the variable that says where else.
    """
    places = [repository_root().resolve() / "runs", Path.cwd() / "runs"]
    for place in places:
        if writable(place):
            return place
    raise ValueError(
        f"no run can be kept in {places[0]} or {places[1]}: neither may be written. Set "
        "CVHELPERS_RUN_DIR to a folder of your own, or work in one"
    )


def this_run() -> Path:
    """`runs/<name>`: CVHELPERS_RUN_DIR, as the launcher sets it; `runs/lab` for work by hand."""
    if folder := os.environ.get("CVHELPERS_RUN_DIR"):
        return Path(folder)
    return runs_dir() / "lab"


def keep_on_drive() -> None:
    """Mount the user's Google Drive in Colab, and keep this run there: see `this_run`.

    A Colab machine and its disk are gone some time after its notebook is closed; what lies on the
    Drive is found again by the next one, checkpoints and finished trials too.

    Raises:
        ValueError: this is not Colab.
    """
    if not in_colab():
        raise ValueError(
            "drive=True keeps a run on Google Drive, for Colab; here runs stay on the disk anyway: "
            "leave it False"
        )
    from google.colab import drive

    drive.mount(str(DRIVE))
    os.environ["CVHELPERS_RUN_DIR"] = str(DRIVE / "MyDrive" / "cvhelpers" / "runs" / "lab")


def in_checkout(folder: Path) -> bool:
    """Whether `folder` lies in the course's checkout."""
    return folder.resolve().is_relative_to(repository_root().resolve())


def runs_with(section: str, file: str) -> list[tuple[str, Path]]:
    """Runs in which a section left results and this file: the run's name, the section's folder.

    This run comes first, then the newest. A headless run looks into nothing but itself, so that
    what it gives does not depend on what was run before.
    """
    mine = this_run().resolve()
    runs = {mine}
    if not is_headless():
        for root in (mine.parent, repository_root().resolve() / "runs"):
            runs |= {folder.resolve() for folder in root.glob("*/")}
    there = [run for run in runs if (run / section / FILE_NAME).is_file()]
    there.sort(key=lambda run: (run != mine, -(run / section / FILE_NAME).stat().st_mtime))
    return [(run.name, run / section) for run in there if (run / section / file).exists()]


def _short(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
