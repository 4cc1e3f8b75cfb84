"""The Makefile: what it runs again and what it leaves alone, with a fake `cvhelpers`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LENET, ACTIVATIONS = "2_caltech101/1_lenet5", "2_caltech101/2_layer_activations"
RESNET = "2_caltech101/3_resnet18"

# Stands in for the package: quick, and says what it was asked.
FAKE = """
import os, pathlib, sys
command, *words = sys.argv[1:]
def option(name, default=""):
    return words[words.index(name) + 1] if name in words else default
profile = option("--profile", "auto").replace("auto", "quick")
name = option("--name", profile)
with open("log", "a") as log:
    print(command, *words, file=log)
if command == "stamp":
    for notebook in sorted(pathlib.Path("notebooks").glob("*/*.ipynb")):
        stamp = pathlib.Path("runs", name, notebook.parent.name, notebook.stem, "stamp.txt")
        stamp.parent.mkdir(parents=True, exist_ok=True)
        text = " ".join(word for word in words) + notebook.read_text()
        if not stamp.exists() or stamp.read_text() != text:
            stamp.write_text(text)
    lenet, others = "2_caltech101/1_lenet5", ("2_layer_activations", "3_resnet18")
    with open(f"runs/{name}/after.mk", "w") as rules:
        for other in others:
            first = f"runs/{name}/{lenet}/1_lenet5.ipynb"
            print(f"runs/{name}/2_caltech101/{other}/{other}.ipynb: {first}", file=rules)
    print(f"NAME={name} PROFILE={profile}")
if command == "run":
    section = words[-1]
    if section == os.environ.get("FAIL"):
        sys.exit(1)
    pathlib.Path("runs", name, section, pathlib.Path(section).name + ".ipynb").write_text("done")
if command == "report":
    pathlib.Path("runs", name, "report.html").write_text("report")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "cvhelpers").mkdir()
    (tmp_path / "cvhelpers" / "__main__.py").write_text(FAKE)
    (tmp_path / "cvhelpers" / "lenet.py").write_text("")
    for room in ("headless", "coursework"):
        (tmp_path / "cvhelpers" / room).mkdir()
        (tmp_path / "cvhelpers" / room / "report.py").write_text("")
    for section in (LENET, ACTIVATIONS, RESNET, "5_cifar10/1_augmentation"):
        path = tmp_path / "notebooks" / f"{section}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return tmp_path


def _make(tree: Path, *words: str, python: bool = True, **environment: str) -> tuple[int, str]:
    """Run make; return its exit code and all it printed."""
    # What `make test` itself was told stands in the environment, too.
    told = {"PYTHON", "CONSTRAINTS", "BASE_PYTHON", "PIP_ARGS", "JOBS", "ARGS"}
    clean = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("MAKE", "MFLAGS", "CVHELPERS_")) and k not in told
    }
    command = ["make", *words, *([f"PYTHON={sys.executable} -S"] if python else [])]
    done = subprocess.run(
        command,
        cwd=tree,
        env={**clean, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout


def _ran(tree: Path) -> list[str]:
    """Return the sections run since the last look, in order, and forget them."""
    log = tree / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [line.split()[-1] for line in lines if line.startswith("run ")]


def test_help_is_the_default(tree: Path) -> None:
    code, told = _make(tree)
    assert (code, _make(tree, "help")) == (0, (0, told))
    targets = re.search(
        r"^\.PHONY: (.*?[^\\])$", (tree / "Makefile").read_text(), re.MULTILINE | re.DOTALL
    )
    assert targets is not None
    for target in set(targets[1].split()) - {"help", "sections", "\\"}:
        assert f"make {target} " in told


def test_everything_runs_once(tree: Path) -> None:
    code, told = _make(tree, "run-all")
    assert code == 0
    assert _ran(tree) == [LENET, ACTIVATIONS, RESNET, "5_cifar10/1_augmentation"]
    assert (tree / "runs/quick/report.html").exists()
    (tree / "runs/quick/report.html").write_text("untouched")
    code, told = _make(tree, "run-all")
    assert (code, _ran(tree)) == (0, [])
    assert told == "runs/quick: everything is up to date\n"
    assert (tree / "runs/quick/report.html").read_text() == "untouched"


@pytest.mark.parametrize("changed", ["SOURCE=sample", "SEED=1", "ARGS=-p epochs 3"])
def test_a_changed_parameter_runs_everything_again(tree: Path, changed: str) -> None:
    _make(tree, "run-all")
    _ran(tree)
    assert _make(tree, "run-all", changed)[0] == 0
    assert len(_ran(tree)) == 4
    _make(tree, "run-all", changed)
    assert _ran(tree) == []


def test_what_a_changed_file_touches_runs_again(tree: Path) -> None:
    def touched(path: str) -> list[str]:
        _make(tree, "run-all")
        _ran(tree)
        time.sleep(0.05)  # what is made next is newer
        (tree / path).write_text((tree / path).read_text() + " ")
        assert _make(tree, "run-all", "-n")[0] == 0
        _ran(tree)
        _make(tree, "run-all")
        return _ran(tree)

    assert touched(f"notebooks/{ACTIVATIONS}.ipynb") == [ACTIVATIONS]
    assert touched(f"notebooks/{LENET}.ipynb") == [LENET, ACTIVATIONS, RESNET]


def test_it_goes_on_after_a_failure_and_says_so_at_the_end(tree: Path) -> None:
    code, _ = _make(tree, "run-all", FAIL=RESNET)
    assert code != 0
    assert _ran(tree) == [LENET, ACTIVATIONS, RESNET, "5_cifar10/1_augmentation"]
    assert (tree / "runs/quick/report.html").exists()
    assert _make(tree, "run-all")[0] == 0
    assert _ran(tree) == [RESNET]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("5_cifar10", ["5_cifar10/1_augmentation"]),
        (LENET, [LENET]),
        (f"notebooks/{LENET}.ipynb", [LENET]),
        ("2_caltech101/", [LENET, ACTIVATIONS, RESNET]),
        (RESNET, [LENET, RESNET]),  # with what it builds on
    ],
)
def test_only(tree: Path, only: str, expected: list[str]) -> None:
    assert _make(tree, "run-all", f"ONLY={only}")[0] == 0
    assert _ran(tree) == expected


def test_only_of_nothing_is_an_error_at_once(tree: Path) -> None:
    code, told = _make(tree, "run-all", "ONLY=caltech", python=False)
    assert code != 0
    assert "ONLY=caltech selects nothing" in told
    assert not (tree / ".venv").exists()


def test_name_profile_and_arguments_arrive(tree: Path) -> None:
    given = ["NAME=mine", "PROFILE=smoke", "SEED=3", "SOURCE=real", "ARGS=-p label 'a b'"]
    assert _make(tree, "run-all", *given, f"ONLY={LENET}", "-j2")[0] == 0
    log = (tree / "log").read_text().splitlines()
    assert log[1] == (
        f"run --source real --seed 3 --name mine -p label a b --profile smoke {LENET}"
    )
    assert (tree / "runs/mine" / LENET / "1_lenet5.ipynb").exists()


def test_the_environments_name_does_not_count(tree: Path) -> None:
    _make(tree, "run-all", NAME="some-computer")
    assert (tree / "runs/quick").exists()


def test_launch(tree: Path) -> None:
    code, told = _make(tree, "run-all", "LAUNCH=env FAIL=" + RESNET)
    assert code != 0
    assert "name the profile" in told
    code, told = _make(tree, "run-all", "LAUNCH=env FAIL=" + RESNET, "PROFILE=full")
    assert code != 0
    assert (tree / "runs/full" / LENET / "1_lenet5.ipynb").exists()
    assert not (tree / "runs/full" / RESNET / "3_resnet18.ipynb").exists()


def test_run_needs_a_section(tree: Path) -> None:
    code, told = _make(tree, "run")
    assert code != 0
    assert "make run SECTION=" in told


def test_an_old_python_is_refused_with_a_mend(tree: Path) -> None:
    old = tree / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.1\nexit 1\n')
    old.chmod(0o755)
    code, told = _make(tree, "setup", "BASE_PYTHON=./old-python", python=False)
    assert code != 0
    assert "Python 3.10 or newer is needed, but ./old-python is: Python 3.8.1" in told
    assert "BASE_PYTHON=" in told


def test_an_interrupted_installation_does_not_count(tree: Path) -> None:
    """A stand-in python whose first `pip install` breaks off."""
    fake = tree / "fake-python"
    fake.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        "  *venv*) mkdir -p .venv/bin; cp fake-python .venv/bin/python;;\n"
        "  *pip*) echo install >> log; echo many lines\n"
        "  test -e second || { touch second; exit 1; };;\n"
        "esac\n"
    )
    fake.chmod(0o755)
    setup = ("setup", "BASE_PYTHON=./fake-python")
    code, told = _make(tree, *setup, python=False)
    assert code != 0
    assert "many lines" in told, "the log of a failed installation is shown"
    assert ".venv/install.log" in told
    code, told = _make(tree, *setup, python=False)
    assert code == 0
    assert "Setting up .venv, once" in told
    assert "many lines" not in told
    code, told = _make(tree, *setup, python=False)
    assert (code, "Setting up" in told) == (0, False)
    later = (tree / ".venv/.ready").stat().st_mtime + 5
    os.utime(tree / "pyproject.toml", (later, later))
    _make(tree, *setup, python=False)
    assert (tree / "log").read_text().count("install") == 3


def test_constraints_get_an_environment_of_their_own(tree: Path) -> None:
    fake = tree / "fake-python"
    fake.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        "  *-m\\ venv*) mkdir -p $3/bin; cp fake-python $3/bin/python;;\n"
        '  *pip*) echo "$@" >> log;;\n'
        '  *pytest*) echo "$@";;\n'
        "esac\n"
    )
    fake.chmod(0o755)
    (tree / "constraints-oldest.txt").write_text("torch==2.6.0\n")
    options = ("BASE_PYTHON=./fake-python", "CONSTRAINTS=constraints-oldest.txt")
    code, told = _make(tree, "test", *options, python=False)
    assert code == 0
    assert (tree / ".venv-constraints-oldest/.ready").exists()
    assert not (tree / ".venv").exists()
    assert "-c constraints-oldest.txt" in (tree / "log").read_text()
    assert told.count("-m pytest -W default") == 2  # old libraries' warnings are no errors
