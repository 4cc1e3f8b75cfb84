"""Running a cell again, the commonest thing anybody does in a notebook, changes nothing."""

from __future__ import annotations

import ast
import copy
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from notebook_code import NOTEBOOKS, code_of

from cvhelpers import manifest

SECTIONS = list(manifest.load().sections)
# `make test-twice` runs all of them, which takes several minutes.
FEW = ["1_flowers/1_data_pipeline", "2_caltech101/1_lenet5", "3_traffic_signs/2_batch_norm"]
RUN = SECTIONS if os.environ.get("CVHELPERS_ALL_TWICE") == "1" else FEW
MEASURES_TIME = "per_second"


def assigned(tree: ast.AST) -> set[str]:
    """Names that a cell gives a value; inside functions and comprehensions they are local."""
    own = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if not isinstance(node, (*own, ast.ClassDef)):
            found |= assigned(node)
    return found


@pytest.mark.parametrize("section", SECTIONS)
def test_a_parameter_keeps_its_name_and_value(section: str) -> None:
    """What is derived from it has another name, or the cell would derive from the derived."""
    (parameters,) = [assigned(tree) for tags, tree in code_of(section) if "parameters" in tags]
    for tags, tree in code_of(section):
        again = assigned(tree) & parameters
        assert "parameters" in tags or not again, f"{again} in: {ast.unparse(tree)[:80]}"


def run_notebook(section: str, run_folder: Path, look: Callable[..., None] | None = None) -> None:
    """Run it in profile smoke; with `look`, every code cell twice in a row, looking after each."""
    notebook = nbformat.read(NOTEBOOKS / f"{section}.ipynb", as_version=4)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if look is not None and cell.cell_type == "code":
            cells.append(copy.deepcopy(cell))
            cells[-1].id = f"{cell.id}-again"[:64]
    notebook.cells = cells
    place = {"metadata": {"path": str((NOTEBOOKS / section).parent)}}
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=place, on_cell_executed=look
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CVHELPERS_PROFILE", "smoke")
        environment.setenv("CVHELPERS_SOURCE", "sample")
        environment.setenv("CVHELPERS_RUN_DIR", str(run_folder))
        client.execute()


def recorded(section: str, run_folder: Path) -> dict[str, float]:
    """What a run has recorded up to now."""
    results = run_folder / section / "results.json"
    if not results.exists():
        return {}
    metrics = json.loads(results.read_text(encoding="utf-8"))["metrics"]
    return {name: entry["value"] for name, entry in metrics.items()}


def differences(before: dict[str, float], now: dict[str, float]) -> list[str]:
    """Numbers that are gone or not what they were; those that measure time may differ."""
    return [
        f"{name}: {value} then {now.get(name)}"
        for name, value in before.items()
        if MEASURES_TIME not in name
        and not math.isclose(now.get(name, math.nan), value, rel_tol=1e-6)
    ]


@pytest.mark.parametrize("section", RUN)
def test_every_cell_can_be_run_twice(section: str, tmp_path: Path) -> None:
    """A second run neither changes what was recorded nor, unseen, what a later cell records."""
    before: dict[str, float] = {}
    changed: list[str] = []

    def look(cell: Any, cell_index: int, execute_reply: Any) -> None:
        now = recorded(section, tmp_path / "twice")
        if cell.id.endswith("-again"):
            changed.extend(f"{one}, by {cell.source[:60]!r}" for one in differences(before, now))
        before.clear()
        before.update(now)

    run_notebook(section, tmp_path / "twice", look)
    assert before, "nothing was recorded: the test would show nothing"
    assert changed == []
    run_notebook(section, tmp_path / "once")
    once = recorded(section, tmp_path / "once")
    assert differences(once, before) == [], "a cell that trains in place trains on, run again"
