"""The package without its checkout, as on Colab, Kaggle or in VS Code: a wheel in a fresh venv."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
TITLE = "3_traffic_signs/1_basic_cnn"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with all that this one has, but for the package itself."""
    folder = tmp_path_factory.mktemp("fresh")
    libraries = folder / "libraries"
    libraries.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        ours = entry.name.lower().startswith(("cvhelpers", "_cvhelpers", "__editable__"))
        if not ours and entry.suffix != ".pth":
            (libraries / entry.name).symlink_to(entry)
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(f"{libraries}\n")
    return folder


def _run(fresh: Path, code: str, cwd: Path, **environment: str) -> str:
    """Run code with the fresh Python; return what it printed."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("CVHELPERS_", "PYTHON", "GIT_"))
    }
    done = subprocess.run(
        [str(fresh / "venv/bin/python"), "-c", code],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def _repository(folder: Path) -> Path:
    """The package's sources as a git repository with the tag that the setup cells name."""
    folder.mkdir()
    for name in ("cvhelpers", "notebooks", "results"):
        ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    me = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*me, "commit", "-qm", "all"], ["tag", "v0.1.0"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder


COLAB = """
import sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
import torch
print("torch was", torch.__version__)
try:
    import cvhelpers
    raise SystemExit("it is there before it was installed")
except ImportError:
    pass
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell(SETUP).raise_error()
import importlib
importlib.invalidate_caches()
import cvhelpers.run, cvhelpers.manifest as manifest
from cvhelpers.evidence import evidence
assert "venv" in cvhelpers.__file__, cvhelpers.__file__
assert len(manifest.load().sections) == 21
with evidence("2_caltech101/1_lenet5") as real:
    assert real.metrics
import os, site
(own,) = site.getsitepackages()
print(sorted(name for name in os.listdir(own) if not name.startswith("_")))
"""


def test_the_setup_cell_installs_the_helpers_and_nothing_else(fresh: Path, tmp_path: Path) -> None:
    """In a faked Colab: pip finds no index, so it would fail if it wanted torch or anything."""
    notebook = nbformat.read(ROOT / f"notebooks/{TITLE}.ipynb", as_version=4)
    setup = notebook.cells[1].source
    address = re.search(r"https://github.com/[^@]+", setup)[0]
    repository = _repository(tmp_path / "repository")
    printed = _run(
        fresh,
        COLAB.replace("SETUP", repr(setup)),
        tmp_path,
        PIP_NO_INDEX="1",
        PIP_NO_BUILD_ISOLATION="0",  # pip reads it the wrong way round: no isolation
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        GIT_CONFIG_COUNT="2",
        GIT_CONFIG_KEY_0=f"url.{repository.as_uri()}.insteadOf",
        GIT_CONFIG_VALUE_0=address,
        GIT_CONFIG_KEY_1="safe.directory",
        GIT_CONFIG_VALUE_1="*",
    )
    # Nothing else came: torch is the one that was there.
    assert "['cvhelpers', 'cvhelpers-0.1.0.dist-info', 'libraries.pth']" in printed


WHEEL = """
import nbformat, cvhelpers
from nbclient import NotebookClient
assert "only" in cvhelpers.__file__, cvhelpers.__file__
notebook = nbformat.read("a copy.ipynb", as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
"""


def test_a_notebook_runs_from_an_empty_folder_with_the_wheel_alone(
    fresh: Path, tmp_path: Path
) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "only", "zip")
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(ROOT / f"notebooks/{TITLE}.ipynb", empty / "a copy.ipynb")
    _run(
        fresh,
        WHEEL,
        empty,
        PYTHONPATH=str(tmp_path / "only"),
        CVHELPERS_PROFILE="smoke",
        CVHELPERS_SOURCE="sample",
        CVHELPERS_HEADLESS="1",
        CVHELPERS_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert list(empty.glob(f"runs/**/{TITLE}/results.json")), list(empty.rglob("*"))
