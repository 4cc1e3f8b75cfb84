"""The student's notebook of every real assignment: it fails at its first stub, nowhere before."""

from __future__ import annotations

import re
from pathlib import Path

import nbclient
import nbformat
import pytest

from cvhelpers import manifest
from cvhelpers.coursework.template import BEGIN, END, make_template

ROOT = Path(__file__).resolve().parents[1]
STUB = "raise NotImplementedError"
SOLUTION = rf"{BEGIN}\n(.*?){END}"


@pytest.mark.parametrize("assignment", manifest.load().assignments)
def test_fails_at_its_first_stub_and_nowhere_before(
    assignment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVHELPERS_PROFILE", "smoke")
    monkeypatch.setenv("CVHELPERS_SOURCE", "sample")
    path = make_template(assignment, "Ada Lovelace", out_dir=tmp_path)
    notebook = nbformat.read(path, as_version=4)
    stubs = [number for number, cell in enumerate(notebook.cells) if STUB in cell.source]
    text = path.read_text(encoding="utf-8")
    assert "### BEGIN SOLUTION" not in text
    assert ".claim(" not in text, "the committed evidence tells the answer"

    where = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources=where, allow_errors=False
    )
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="NotImplementedError"):
        client.execute()

    ran = [n for n, cell in enumerate(notebook.cells) if cell.get("execution_count")]
    failed = ran[-1]
    (error,) = [out for out in notebook.cells[failed].outputs if out.output_type == "error"]
    # A stub inside a function raises when it is called, by the check that follows it.
    first = notebook.cells[stubs[0]].source
    called = re.search(r"(?:def|class) (\w+)", first)
    assert failed >= stubs[0]
    assert called is None or called[1] in "\n".join(error.traceback)


@pytest.mark.parametrize("assignment", manifest.load().assignments)
def test_no_solution_and_no_answer_stands_in_the_template(assignment: str, tmp_path: Path) -> None:
    """No answer's line; of a solution no cell holds more than three lines, or a third of them.

    Lines may be alike, such as an argument of `fit` that a later training has as well: what tells
    a solution is that many of them come together. Lines of fewer than 20 characters say nothing.
    """
    cells = nbformat.read(make_template(assignment, "Ada", out_dir=tmp_path), as_version=4).cells
    given = [{line.strip() for line in cell.source.splitlines()} for cell in cells]
    leaks = []
    for section in manifest.load().sections.values():
        if section.assignment != assignment:
            continue
        notebook = nbformat.read(ROOT / "notebooks" / f"{section.id}.ipynb", as_version=4)
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                for solution in re.findall(SOLUTION, cell.source, re.DOTALL):
                    lines = {line.strip() for line in solution.splitlines()}
                    lines = {line for line in lines if len(line) >= 20}
                    worst = max(len(lines & held) for held in given)
                    if worst > max(3, len(lines) / 3):
                        leaks.append(f"{section.id}, cell {number}: {worst} of {len(lines)} lines")
            elif "answer" in cell.metadata.get("tags", []):
                answer = {line.strip() for line in cell.source.splitlines()[1:] if len(line) >= 20}
                told = set().union(*(answer & held for held in given))
                leaks += [f"{section.id}, cell {number}: {line}" for line in told]
    assert not leaks, "\n".join(leaks)


@pytest.mark.parametrize("section", manifest.load().sections)
def test_a_count_of_zero_is_refused_by_every_notebook(section: str) -> None:
    """`epochs = 0` must not silently become the profile's own number."""
    cells = nbformat.read(ROOT / "notebooks" / f"{section}.ipynb", as_version=4).cells
    names = re.findall(r"^(\w+) = None", cells[2].source, re.MULTILINE)
    assert names
    for name in names:
        counted = re.search(rf"run\.count\(\s*{name},", cells[3].source)
        assert counted, f"{name} = 0 would pass"
