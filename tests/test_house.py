"""The floors of the package: who may import whom, and what starts without torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "cvhelpers"
# From the ground up; a room may import the floors below it, and of its own floor only without
# going round in a circle.
FLOORS = [
    {"runtime", "results", "manifest", "evidence", "fingerprint", "places", "masks", "augment"},
    {"data", "models"},
    {"training", "experiments", "visualize", "headless"},
    {"run", "checks", "coursework", "doctor"},
    {"__main__"},
]
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
AUGMENT_IS_USED_BY = {"models"}


def modules() -> dict[str, Path]:
    """`data.store` and the like, with their files; a package by its own name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: set[str]) -> Iterator[tuple[str, bool]]:
    """The modules of the package that a file names, and whether they are imported at its start."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if not name.startswith("cvhelpers") or id(node) in typing:
                continue
            inner = name.removeprefix("cvhelpers").removeprefix(".")
            while inner and inner not in known:
                inner = inner.rpartition(".")[0]
            if inner:
                yield inner, id(node) in top


def arrows() -> set[tuple[str, str]]:
    known = modules()
    return {
        (name, other)
        for name, path in known.items()
        if name
        for other, _ in imports(path, set(known))
    }


def test_every_room_has_a_floor() -> None:
    assert {name.split(".")[0] for name in modules() if name} == set(FLOOR) & {
        name.split(".")[0] for name in modules()
    }


def test_nothing_imports_what_stands_above_it() -> None:
    up = [(a, b) for a, b in arrows() if FLOOR[a.split(".")[0]] < FLOOR[b.split(".")[0]]]
    assert not up, f"arrows up: {sorted(up)}"


def test_there_is_no_circle() -> None:
    """Between rooms, and between the modules of a room."""
    fine = {(a, b) for a, b in arrows() if not a.startswith(f"{b}.") and a != b}
    rooms = {(a.split(".")[0], b.split(".")[0]) for a, b in fine}
    for graph in (fine, {(a, b) for a, b in rooms if a != b}):
        left = {end for arrow in graph for end in arrow}
        while ends := {one for one in left if not any(a == one and b in left for a, b in graph)}:
            left -= ends
        assert not left, f"a circle among {sorted(left)}"


def test_only_models_carry_augmentation() -> None:
    users = {a.split(".")[0] for a, b in arrows() if b.split(".")[0] == "augment"}
    assert users - {"augment"} <= AUGMENT_IS_USED_BY


@pytest.mark.parametrize(
    "room", ["manifest", "headless", "coursework", "__main__", "results", "evidence"]
)
def test_starts_without_torch(room: str) -> None:
    names = [name for name in modules() if name.split(".")[0] == room]
    slow = ("torch", "papermill", "nbformat", "pandas", "matplotlib")
    code = (
        f"import sys, importlib\nfor name in {names}: importlib.import_module('cvhelpers.' + name)"
        f"\nsys.exit(' '.join(n for n in {slow} if n in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_readme_tells_who_imports_whom() -> None:
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    told: dict[str, set[str]] = {}
    for line in readme.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rooms = re.findall(r"`(\w+)`", cells[1]) if len(cells) == 4 else []
        if set(rooms) & set(FLOOR) and cells[3] != "any":
            told |= {room: set(re.findall(r"`(\w+)`", cells[3])) for room in rooms}
    found: dict[str, set[str]] = {room: set() for room in told}
    for a, b in arrows():
        room, other = a.split(".")[0], b.split(".")[0]
        if room in told and room != other:
            found[room].add(other)
    assert told == found
    assert set(told) == set(FLOOR) - {"doctor", "__main__"}
