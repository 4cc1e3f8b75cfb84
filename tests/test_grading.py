"""coursework.grading: hand-ins as students make them are graded for what is there."""

from __future__ import annotations

import copy
import csv
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from student import saved, solved, template, write_zoo

from cvhelpers.coursework.grading import grade
from cvhelpers.coursework.restore import ORIGINAL, restored
from cvhelpers.coursework.sandbox import run_cells
from cvhelpers.headless.parameters import tags

CODE = nbformat.v4.new_code_cell


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_zoo(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _where(cells: list[Any], text: str) -> int:
    return next(number for number, cell in enumerate(cells) if text in cell.source)


def _order(cells: list[Any]) -> list[str]:
    """What matters of the order: solutions and the original checks."""
    kept = [
        c for c in cells if c.cell_type == "code" and ("def " in c.source or ORIGINAL in c.metadata)
    ]
    return [cell.source.split("(")[0].split("\n")[0] for cell in kept]


ORDER = [
    "def double",
    "assert double",
    "assert double",
    "def halve",
    "assert halve",
    "assert halve",
]


def _copied(cells: list[Any]) -> None:
    cells.insert(8, copy.deepcopy(cells[6]))


def _split(cells: list[Any]) -> None:
    at = _where(cells, "def double")
    cells[at].source = "import math\n\n\ndef helper(x):\n    return x"
    cells.insert(at + 1, CODE("def double(x):\n    return 2 * helper(x)"))


def _merged(cells: list[Any]) -> None:
    at = _where(cells, "def double")
    cells[at].source += "\n\n" + cells[at + 1].source
    del cells[at + 1]


def _moved_check(cells: list[Any]) -> None:
    cells.insert(2, cells.pop(_where(cells, "assert double(4)")))


def _moved_solution(cells: list[Any]) -> None:
    cells.append(cells.pop(_where(cells, "def double")))


def _changed_type(cells: list[Any]) -> None:
    at = _where(cells, "def double")
    cells[at] = nbformat.v4.new_markdown_cell(cells[at].source, id=cells[at].id)


def _edited(cells: list[Any]) -> None:
    cells[_where(cells, "assert double(4)")].source = "assert double(4) == 2 * 4 or True"


def _deleted(cells: list[Any]) -> None:
    del cells[_where(cells, "assert double(4)")]


def _lost(cells: list[Any]) -> None:
    for cell in cells:
        cell.pop("id", None)
        cell["metadata"] = nbformat.from_dict({})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_copied, "2 times: run once"),
        (_split, ""),
        (_merged, "was deleted: the original is put back"),
        (_moved_check, "stood before its code"),
        (_moved_solution, "a solution, stood elsewhere: run at its place"),
        (_changed_type, "had become markdown: run as code again"),
        (_edited, "was edited: the original is put back"),
        (_deleted, "was deleted: the original is put back"),
        (_lost, "cell ids are lost"),
    ],
)
def test_what_students_and_editors_do_is_mended_and_told(
    root: Path, change: Any, told: str
) -> None:
    _, notebook = template(root)
    cells = solved(notebook).cells
    change(cells)
    new, notes = restored(cells, notebook.cells)
    own = [name for name in _order(new) if name != "def helper" and not name.startswith("import")]
    assert own == ORDER
    assert told in "; ".join(notes)
    originals = {cell.source for cell in notebook.cells if "check" in tags(cell)}
    assert {cell.source for cell in new if ORIGINAL in cell.metadata} == originals


def test_an_untouched_template_has_nothing_to_tell(root: Path) -> None:
    _, notebook = template(root)
    new, notes = restored(notebook.cells, notebook.cells)
    assert notes == []
    assert [cell.source for cell in new] == [cell.source for cell in notebook.cells]


def test_nothing_stops_the_rest(tmp_path: Path) -> None:
    sources = [
        "a = 1",
        "while True:\n    try:\n        pass\n    except BaseException:\n        pass",
        "exit()",
        "hog = [bytearray(50_000_000) for _ in range(100)]",
        "import os\nos._exit(3)",
        "b = a + 1",
        "1 / 0",
        "print(b)",
    ]
    cells = [CODE(source) for source in sources]
    notes = run_cells(cells, cwd=tmp_path, environment={}, minutes=2, gigabytes=1, seconds_a_cell=3)
    assert cells[-1].outputs[0].text == "2\n"
    assert cells[-2].outputs[0].ename == "ZeroDivisionError"
    found = {re.sub(r"^cell (\d+) \(.*?'\) ", r"\1 ", note) for note in notes}  # in either order
    assert found == {
        "2 took longer than 3 s: left out",
        "3 ended the kernel: left out",
        "4 took more than 1 GB of memory: left out",
        "5 ended the kernel: left out",
    }


def test_time_in_all(tmp_path: Path) -> None:
    cells = [CODE("import time\ntime.sleep(60)") for _ in range(3)]
    notes = run_cells(cells, cwd=tmp_path, environment={}, minutes=0.05, gigabytes=4)
    assert notes[-1] == "stopped after 0.05 minutes in all"


def _rows(page: Path) -> dict[str, dict[str, str]]:
    with (page.parent / "grades.csv").open(encoding="utf-8") as file:
        return {row["who"]: row for row in csv.DictReader(file)}


def test_a_folder_of_hand_ins(root: Path) -> None:
    path, notebook = template(root)
    done = solved(notebook)
    table = "<table><thead><tr><th>metric</th><th>value</th><th>target</th><th>points</th></tr>"
    table += "</thead><tbody><tr><td>lions</td><td>0.7</td><td>0.6</td><td>8</td></tr></tbody>"
    shown = nbformat.v4.new_output("execute_result", data={"text/html": table + "</table>"})
    done.cells.append(CODE("'run.summary() of somebody'", outputs=[shown]))
    wrong = solved(notebook)
    wrong.cells[_where(wrong.cells, "def halve")].source = "def halve(x):\n    return x"
    anonymous = solved(notebook)
    _lost(anonymous.cells)
    anonymous["metadata"] = nbformat.from_dict({"colab": {}})
    folder = root / "in"
    saved(done, folder / "ada" / path.name)
    saved(notebook, folder / "bob" / path.name)
    saved(wrong, folder / "cem.ipynb")
    (folder / "dan.ipynb").write_text(json.dumps(anonymous))
    (folder / "eva.ipynb").write_text("a letter")
    (folder / "fay.docx").write_text("a letter")
    (folder / "gus").mkdir()
    with zipfile.ZipFile(folder / "hal.zip", "w") as archive:
        archive.writestr(f"hand in/{path.name}", nbformat.writes(done))
        archive.writestr(f"__MACOSX/hand in/._{path.name}", "what a Mac leaves")
    page = grade(folder, out_dir=root / "out")
    rows = _rows(page)
    assert list(rows) == ["ada", "bob", "cem", "dan", "eva", "fay", "gus", "hal"]
    assert {who: row["checks"] for who, row in rows.items()} == {
        "ada": "4 of 4",
        "bob": "0 of 4",
        "cem": "3 of 4",  # halving nothing is right
        "dan": "4 of 4",
        "eva": "0 of 0",
        "fay": "0 of 0",
        "gus": "0 of 0",
        "hal": "4 of 4",
    }
    # 20 points less the scale's 8, two parts: the checks are one of them, two cells.
    assert rows["ada"]["points"] == "6.00 of 6.00"
    assert (rows["ada"]["answers"], rows["bob"]["answers"]) == ("2 of 2 given", "0 of 2 given")
    assert rows["ada"]["found"] == "nothing unusual"
    assert rows["ada"]["metrics"] == "handed in: lions 0.7 (target 0.6, points 8)"
    assert "saved by Colab" in rows["dan"]["found"]
    for who, told in {
        "eva": "no notebook",
        "fay": "its name ends",
        "gus": "no notebook in it",
    }.items():
        assert told in rows[who]["found"]
    assert "<td>ada</td>" in page.read_text()
    left = json.loads((root / "out/ada" / path.name).read_text())
    assert any(
        "42" in "".join(o.get("text", "")) for c in left["cells"] for o in c.get("outputs", [])
    )


def test_a_wrong_profile_or_limit_grades_nobody(root: Path) -> None:
    path, notebook = template(root)
    saved(notebook, root / "in" / path.name)
    with pytest.raises(ValueError, match="smok"):
        grade(root / "in", profile="smok")
    with pytest.raises(ValueError, match="are to be above 0"):
        grade(root / "in", minutes=-1)
    with pytest.raises(ValueError, match="this is no folder"):
        grade(root / "in" / path.name)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is empty: put one notebook, zip or folder a student"):
        grade(tmp_path)
