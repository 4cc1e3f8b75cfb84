"""A student's notebook of the tiny course in `fake_course`, for tests of what is handed in."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import nbformat
from fake_course import make_course

from cvhelpers.coursework.template import make_template
from cvhelpers.headless.parameters import read_notebook, tags

PARAMETERS = 'profile = "auto"\nsource = "auto"\nseed = 0\n'
STUB = 'raise NotImplementedError("Your code goes here: replace this line.")'


def write_zoo(root: Path) -> None:
    """The course with two sections: doubling (required), halving (optional)."""
    make_course(root)
    for stem, name, sign in (("1_lions", "double", "2 *"), ("2_tigers", "halve", "0.5 *")):
        code, words = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
        solution = (
            f"def {name}(x):\n    ### BEGIN SOLUTION\n    return {sign} x\n    ### END SOLUTION"
        )
        cells = [
            words(f"# The zoo: {name}"),
            code("import sys", metadata={"tags": ["setup"]}),
            code(PARAMETERS, metadata={"tags": ["parameters"]}),
            words(f"## Task: {name}\n\nWrite it.", metadata={"tags": ["task"]}),
            code(solution, metadata={"tags": ["solution"]}),
            code(f"assert {name}(4) == {sign} 4", metadata={"tags": ["check"]}),
            code(f"assert {name}(0) == 0, 'nothing'", metadata={"tags": ["check"]}),
            words(f"**Question.** Why {name}?\n\nBecause.", metadata={"tags": ["answer"]}),
            code(f"print({name}(21))"),
        ]
        for number, cell in enumerate(cells):
            cell.id = f"{name}-{number}"
        notebook = nbformat.v4.new_notebook(cells=cells)
        (root / f"notebooks/1_zoo/{stem}.ipynb").write_text(nbformat.writes(notebook))


def template(root: Path, **options: Any) -> tuple[Path, Any]:
    """Ada's template and its content."""
    path = make_template("1_zoo", "Ada Lovelace", out_dir=root / "templates", **options)
    return path, read_notebook(path)


def solved(notebook: Any) -> Any:
    """A copy with every stub and prompt replaced, as if run from the top."""
    notebook, count = copy.deepcopy(notebook), 0
    for cell in notebook.cells:
        if "solution" in tags(cell):
            sign = "2 *" if "double" in cell.source else "0.5 *"
            cell.source = cell.source.replace(STUB, f"return {sign} x")
        if "answer" in tags(cell):
            cell.source = cell.source.split("\n")[0] + "\n\nIt is known."
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            if cell.source.startswith("print"):
                cell.outputs = [nbformat.v4.new_output("stream", text="42\n")]
    return notebook


def saved(notebook: Any, path: Path) -> Path:
    """Write a notebook, whatever its state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path
