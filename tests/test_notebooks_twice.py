"""Running a cell again, the commonest thing anybody does in a notebook, changes nothing."""

from __future__ import annotations

import ast
import copy
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from cvhelpers import manifest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SECTIONS = list(manifest.load().sections)
# `make test-twice` runs all of them, which takes several minutes.
FEW = ["1_flowers/1_data_pipeline", "2_caltech101/1_lenet5", "3_traffic_signs/2_batch_norm"]
RUN = SECTIONS if os.environ.get("CVHELPERS_ALL_TWICE") == "1" else FEW
MEASURES_TIME = "per_second"


def code_of(section: str) -> Iterator[tuple[list[str], ast.Module]]:
    """Tags and syntax tree of every code cell; a line of IPython's own counts as nothing."""
    for cell in nbformat.read(NOTEBOOKS / f"{section}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            lines = [
                line[: len(line) - len(line.lstrip())] + "pass"
                if line.strip()[:1] in "%!"
                else line
                for line in cell.source.splitlines()
                if line.strip()
            ]
            yield cell.metadata.get("tags", []), ast.parse("\n".join(lines))


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


def run_doubled(section: str, run_folder: Path) -> list[str]:
    """Run every code cell twice in a row; what the second time changed of the recorded numbers."""
    notebook = nbformat.read(NOTEBOOKS / f"{section}.ipynb", as_version=4)
    doubled = []
    for cell in notebook.cells:
        doubled.append(cell)
        if cell.cell_type == "code":
            doubled.append(copy.deepcopy(cell))
            doubled[-1].id = f"{cell.id}-again"[:64]
    notebook.cells = doubled
    before: dict[str, Any] = {}
    changed: list[str] = []

    def look(cell: Any, cell_index: int, execute_reply: Any) -> None:
        results = run_folder / section / "results.json"
        if not results.exists():
            return
        metrics = json.loads(results.read_text(encoding="utf-8"))["metrics"]
        if cell.id.endswith("-again"):
            for name, value in before.items():
                now = metrics.get(name, {"value": math.nan})["value"]
                if MEASURES_TIME not in name and not math.isclose(now, value, rel_tol=1e-6):
                    changed.append(f"{name}: {value} then {now}, by {cell.source[:60]!r}")
        before.clear()
        before.update({name: entry["value"] for name, entry in metrics.items()})

    place = {"metadata": {"path": str((NOTEBOOKS / section).parent)}}
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=place, on_cell_executed=look
    )
    client.execute()
    assert before, "nothing was recorded: the test would show nothing"
    return changed


@pytest.mark.parametrize("section", RUN)
def test_every_cell_can_be_run_twice(
    section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVHELPERS_PROFILE", "smoke")
    monkeypatch.setenv("CVHELPERS_SOURCE", "sample")
    monkeypatch.setenv("CVHELPERS_RUN_DIR", str(tmp_path / "runs"))
    assert run_doubled(section, tmp_path / "runs") == []
