"""coursework.template: solutions out, everything else kept."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from fake_course import PARAMETERS, make_course

from cvhelpers.coursework.template import file_name, make_template, stubbed
from cvhelpers.headless.parameters import read_notebook, tags
from cvhelpers.manifest import Assignment

SOLUTION = '''def double(x):
    """Return twice x."""
    ### BEGIN SOLUTION
    secret = 2
    return secret * x
    ### END SOLUTION
'''
CODE, MARKDOWN = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell


def _cell(kind: Any, source: str, tag: str) -> Any:
    return kind(source, metadata={"tags": [tag], "papermill": {"status": "completed"}})


def _write(path: Path, number: int, *extra: Any) -> None:
    cells = [
        MARKDOWN(f"# Section {number}\n\n[![Colab](https://x/colab-badge.svg)](https://x/y.ipynb)"),
        _cell(CODE, "print('setup')", "setup"),
        _cell(CODE, f"{PARAMETERS}number = {number}", "parameters"),
        _cell(MARKDOWN, "**Task.** Double a number.", "task"),
        _cell(CODE, SOLUTION, "solution"),
        _cell(CODE, "assert double(3) == 6", "check"),
        _cell(MARKDOWN, "**Why does it double?**\n\nBecause of secret reasons.", "answer"),
        _cell(CODE, "double('ab')", "break-it"),
        *extra,
    ]
    cells[4].outputs = [nbformat.v4.new_output("stream", text="42")]
    cells[4].execution_count = 7
    for count, cell in enumerate(cells):
        cell.id = f"same-{count}"  # the same in both notebooks
    notebook = nbformat.v4.new_notebook(cells=cells)
    path.write_text(nbformat.writes(notebook))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_course(tmp_path)
    for number, stem in enumerate(("1_lions", "2_tigers"), 1):
        _write(tmp_path / f"notebooks/1_zoo/{stem}.ipynb", number)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _cells(path: Path, tag: str) -> list[Any]:
    return [cell for cell in read_notebook(path).cells if tag in tags(cell)]


def test_the_template(root: Path) -> None:
    path = make_template("1_zoo", "Ada Lovelace", out_dir=root / "out")
    assert path == root / "out" / "zoo_Ada_Lovelace.ipynb"
    notebook = read_notebook(path)
    nbformat.validate(notebook)
    assert "secret" not in path.read_text()
    assert notebook.cells[0].source == "# The zoo\n\nAda Lovelace"
    titles = [c.source for c in notebook.cells if c.source.startswith("# Section")]
    assert [title.strip() for title in titles] == ["# Section 1", "# Section 2"]
    for tag, count in {"task": 2, "check": 2, "break-it": 2, "answer": 2, "solution": 2}.items():
        assert len(_cells(path, tag)) == count
    assert [len(_cells(path, tag)) for tag in ("setup", "parameters", "section-parameters")] == [
        1,
        1,
        1,
    ]
    (later,) = _cells(path, "section-parameters")
    assert "number = 2" in later.source
    assert not re.search("profile|source|seed", later.source)  # the first cell's choice stands
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        assert cell.cell_type == "markdown" or (cell.outputs, cell.execution_count) == ([], None)
    assert notebook.metadata.kernelspec.name == "python3"


def test_a_stub_keeps_signature_and_docstring(root: Path) -> None:
    path = make_template("1_zoo", "Ada", out_dir=root)
    (function,) = ast.parse(_cells(path, "solution")[0].source).body
    assert isinstance(function, ast.FunctionDef)
    assert ast.get_docstring(function) == "Return twice x."
    assert ast.unparse(function.body[1]).startswith("raise NotImplementedError(")
    assert len(function.body) == 2


def test_a_question_stays_and_its_answer_goes(root: Path) -> None:
    path = make_template("1_zoo", "Ada", out_dir=root)
    question, _, prompt = _cells(path, "answer")[0].source.split("\n")
    assert question == "**Why does it double?**"
    assert prompt.startswith("*Your answer")


def test_the_solution_passes_and_the_template_fails_at_its_first_stub_only(root: Path) -> None:
    def run(path: Path) -> str:
        cells = [c for c in read_notebook(path).cells if c.cell_type == "code"]
        code = "\n".join(f"print('cell', {n})\n{c.source}" for n, c in enumerate(cells))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        return done.stdout.decode() + done.stderr.decode()

    assert "Error" not in run(root / "notebooks/1_zoo/1_lions.ipynb")
    told = run(make_template("1_zoo", "Ada", out_dir=root))
    # setup 0, parameters 1, solution 2 (defines only), check 3 calls the stub
    assert "cell 3" in told
    assert "cell 4" not in told
    assert "NotImplementedError: Your code goes here" in told


def test_several_marks_and_code_around_them_stay() -> None:
    source = (
        "a = 1\n### BEGIN SOLUTION\nb = 2\n### END SOLUTION\nif a:\n"
        "\t### BEGIN SOLUTION  \n\tc = 3\n\t### END SOLUTION\nd = 4"
    )
    lines = stubbed(source).split("\n")
    assert [line.split("(")[0] for line in lines] == [
        "a = 1",
        "raise NotImplementedError",
        "if a:",
        "\traise NotImplementedError",
        "d = 4",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "### BEGIN SOLUTION\nx = 1",
        "x = 1\n### END SOLUTION",
        "### END SOLUTION\nx = 1\n### BEGIN SOLUTION",
        "### BEGIN SOLUTION\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION",
        "### BEGIN SOLUTION\nx = 1\n### END SOLUTION\ny = 2\n### END SOLUTION",
        "x = 1  ### BEGIN SOLUTION\nx = 2\n### END SOLUTION",
    ],
)
def test_marks_that_do_not_pair_are_an_error(root: Path, source: str) -> None:
    _write(root / "notebooks/1_zoo/2_tigers.ipynb", 2, _cell(CODE, source, "solution"))
    with pytest.raises(ValueError, match=r"2_tigers\.ipynb: cell 9: solutions stand between"):
        make_template("1_zoo", "Ada", out_dir=root / "out")
    assert not (root / "out").exists()


def test_a_question_of_several_lines_is_an_error(root: Path) -> None:
    extra = _cell(MARKDOWN, "**Why\nnot?** Because.", "answer")
    _write(root / "notebooks/1_zoo/2_tigers.ipynb", 2, extra)
    with pytest.raises(ValueError, match="cell 9: an answer cell is the question on one line"):
        make_template("1_zoo", "Ada", out_dir=root)


def test_marks_count_in_every_code_cell(root: Path) -> None:
    extra = _cell(CODE, SOLUTION, "results")
    _write(root / "notebooks/1_zoo/2_tigers.ipynb", 2, extra)
    assert "secret" not in make_template("1_zoo", "Ada", out_dir=root).read_text()


def test_a_students_work_is_never_overwritten(root: Path) -> None:
    path = make_template("1_zoo", "Ada", out_dir=root)
    path.write_text("weeks of work")
    with pytest.raises(ValueError, match="exists, and may hold work"):
        make_template("1_zoo", "Ada", out_dir=root)
    assert path.read_text() == "weeks of work"


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        ("Ada Lovelace", "x_Ada_Lovelace.ipynb"),
        ("  José  O'Neill-Smith ", "x_José_O_Neill-Smith.ipynb"),
        ("../../etc/passwd", "x_etc_passwd.ipynb"),
    ],
)
def test_file_names(student: str, expected: str) -> None:
    assert file_name(Assignment("a", "A", "x_{student}.ipynb"), student) == expected


def test_one_section_alone(root: Path) -> None:
    path = make_template("1_zoo", "Ada", out_dir=root, section="1_zoo/2_tigers")
    assert path.name == "zoo_Ada_2_tigers.ipynb"
    titles = [c.source for c in read_notebook(path).cells if c.source.startswith("# Section")]
    assert [title.strip() for title in titles] == ["# Section 2"]
    (parameters,) = _cells(path, "parameters")  # the first that there is speaks for all
    assert "number = 2" in parameters.source
    with pytest.raises(ValueError, match="1_zoo has no section 'tigers'; did you mean"):
        make_template("1_zoo", "Ada", out_dir=root, section="tigers")


def test_what_the_course_asks_at_the_end(root: Path) -> None:
    course = root / "notebooks/course.toml"
    assert not re.search("Sources and tools", make_template("1_zoo", "A", out_dir=root).read_text())
    text = course.read_text().replace(
        'template = "', 'closing = ["Where from?", "By what?"]\ntemplate = "', 1
    )
    course.write_text(text)
    cells = read_notebook(make_template("1_zoo", "Ada", out_dir=root)).cells[-3:]
    assert cells[0].source == "## Sources and tools"
    assert [cell.source.split("\n")[0] for cell in cells[1:]] == [
        "**Question.** Where from?",
        "**Question.** By what?",
    ]
    assert all(cell.source.split("\n")[2].startswith("*Your answer goes") for cell in cells[1:])
    assert all(tags(cell) == ["answer"] for cell in cells[1:])


def test_wrong_requests(root: Path) -> None:
    with pytest.raises(ValueError, match="unknown assignment '1_zo'; did you mean '1_zoo'"):
        make_template("1_zo", "Ada", out_dir=root)
    with pytest.raises(ValueError, match="student ' / ': give the name"):
        make_template("1_zoo", " / ", out_dir=root)
