"""The student's notebook of every real assignment: it fails at its first stub, nowhere before."""

from __future__ import annotations

import re
from pathlib import Path

import nbclient
import nbformat
import pytest

from cvhelpers import manifest
from cvhelpers.coursework.template import make_template

ROOT = Path(__file__).resolve().parents[1]
STUB = "raise NotImplementedError"


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


@pytest.mark.parametrize("section", manifest.load().sections)
def test_a_count_of_zero_is_refused_by_every_notebook(section: str) -> None:
    """`epochs = 0` must not silently become the profile's own number."""
    cells = nbformat.read(ROOT / "notebooks" / f"{section}.ipynb", as_version=4).cells
    names = re.findall(r"^(\w+) = None", cells[2].source, re.MULTILINE)
    assert names
    for name in names:
        counted = re.search(rf"run\.count\(\s*{name},", cells[3].source)
        assert counted, f"{name} = 0 would pass"
