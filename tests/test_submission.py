"""coursework.submission: what would lose points is refused with its cell; the rest is written."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image
from student import saved, solved, template, write_zoo

from cvhelpers.coursework.archive import needed_modules, write_archive
from cvhelpers.coursework.submission import submit


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_zoo(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _rules(root: Path, **changes: str) -> None:
    path = root / "notebooks/course.toml"
    text = path.read_text()
    for old, new in changes.items():
        text = re.sub(rf"^{old} = .*$", new, text, count=1, flags=re.MULTILINE)
    path.write_text(text)


def test_a_complete_notebook_becomes_the_courses_files(root: Path) -> None:
    path, notebook = template(root)
    folder = submit([saved(solved(notebook), path)])
    assert folder == Path("submissions/zoo_Ada_Lovelace")
    assert {file.name for file in folder.iterdir()} == {
        "zoo_Ada_Lovelace.ipynb",
        "zoo_Ada_Lovelace.html",
    }
    page = (folder / "zoo_Ada_Lovelace.html").read_text()
    assert "It is known." in page
    assert not re.search(r'(src|href)="http[^"]*\.(js|css)', page), "it must load nothing"


def _unrun(notebook: Any) -> None:
    notebook.cells[5].execution_count = None


def _out_of_order(notebook: Any) -> None:
    notebook.cells[5].execution_count = 99


def _error(notebook: Any) -> None:
    out = nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="", traceback=[])
    notebook.cells[6].outputs = [out]


def _stub(notebook: Any) -> None:
    notebook.cells[5].source = "def double(x):\n    raise NotImplementedError"


def _prompt(notebook: Any) -> None:
    notebook.cells[8].source = notebook.cells[8].source.split("\n")[0] + "\n"


def _emptied(notebook: Any) -> None:
    """By an editor that loses tags."""
    _prompt(notebook)
    notebook.cells[8].metadata = nbformat.from_dict({})


def _no_title(notebook: Any) -> None:
    del notebook.cells[0]


def _no_question(notebook: Any) -> None:
    del notebook.cells[8]


def _no_solution(notebook: Any) -> None:
    del notebook.cells[5]


def _no_section(notebook: Any) -> None:
    end = next(i for i, cell in enumerate(notebook.cells) if "zoo: halve" in cell.source)
    del notebook.cells[1:end]
    notebook.cells[0].source = "# The zoo\n\nAda Lovelace"


def _no_name(notebook: Any) -> None:
    notebook.cells[0].source = "# The zoo\n\n"


def _no_heading(notebook: Any) -> None:
    notebook.cells[4].source = "I write on."


def _no_output(notebook: Any) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_unrun, r"The zoo: double, cell 6: was never run"),
        (_out_of_order, r"The zoo: double, cell 6: ran out of order"),
        (_error, r"The zoo: double, cell 7: shows an error, ZeroDivisionError"),
        (_stub, r"The zoo: double, cell 6: a stub is left"),
        (_prompt, r"The zoo: double, cell 9: the question is unanswered"),
        (_emptied, r"The zoo: double, cell 9: the question is unanswered"),
        (_no_name, r"cell 1: your name is missing"),
        (_no_title, r"cell 1: your name is missing"),
        (_no_heading, r"the heading 'Task: double' is missing"),
        (_no_question, r"The zoo: double: the question is gone: 'Why double"),
        (_no_solution, r"The zoo: double: a cell is gone that began with 'def double"),
        (_no_section, r"\n  The zoo: double: it is left out\n\("),
        (_no_output, r"no cell has an output"),
    ],
)
def test_every_gap_is_refused_with_its_cell(root: Path, spoil: Any, told: str) -> None:
    path, notebook = template(root)
    notebook = solved(notebook)
    spoil(notebook)
    with pytest.raises(ValueError, match=told) as caught:
        submit([saved(notebook, path)])
    assert "ANYWAY=1" in str(caught.value)
    assert not Path("submissions").exists(), "nothing is written while something is missing"


def test_partial_credit(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, notebook = template(root)
    notebook = solved(notebook)
    _stub(notebook)
    folder = submit([saved(notebook, path)], anyway=True)
    assert "handed in all the same" in capsys.readouterr().out
    assert (folder / path.name).exists()


def test_an_optional_section_never_blocks(root: Path) -> None:
    path, notebook = template(root)
    notebook = solved(notebook)
    first = next(i for i, cell in enumerate(notebook.cells) if "zoo: halve" in cell.source)
    for cell in notebook.cells[first:]:
        if cell.cell_type == "code":
            cell.source, cell.execution_count = "raise NotImplementedError", None
    submit([saved(notebook, path)])
    notebook.cells = notebook.cells[:first]
    submit([saved(notebook, path)])
    path, notebook = template(root, section="1_zoo/2_tigers")
    _rules(root, formats='formats = ["zip"]')
    folder = submit([saved(solved(notebook), path)])  # a challenge, handed in by itself
    assert (folder / path.name).exists()
    _rules(root, optional="optional = false")
    with pytest.raises(ValueError, match="section 1_zoo/1_lions is left out"):
        submit([path])


def test_the_file_is_called_as_the_course_wants(root: Path) -> None:
    path, notebook = template(root)
    with pytest.raises(ValueError, match=r"is to be called zoo_First_Surname\.ipynb"):
        submit([saved(solved(notebook), root / "homework.ipynb")])
    del notebook.metadata["cvhelpers"]  # an editor lost it: now nothing tells
    with pytest.raises(ValueError, match=r"nothing tells the assignment.*zoo_\{student\}"):
        submit([saved(solved(notebook), root / "homework.ipynb")])
    submit([saved(solved(notebook), path)])  # the name alone is enough


def test_what_is_there_stays_until_the_new_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, notebook = template(root)
    folder = submit([saved(solved(notebook), path)])
    (folder / "own.txt").write_text("mine")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def broken(*_: Any, **__: Any) -> str:
        raise ValueError("no page today")

    monkeypatch.setattr("cvhelpers.coursework.submission.to_html", broken)
    with pytest.raises(ValueError, match="no page today"):
        submit([path])
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_notebooks_of_two_people_are_not_one_hand_in(root: Path) -> None:
    _rules(root, formats='several = true\nformats = ["zip"]')
    path, notebook = template(root)
    notebook = solved(notebook)
    saved(notebook, path)
    notebook.cells[0].source = "# The zoo\n\nBob"
    with pytest.raises(ValueError, match="of Ada Lovelace and Bob: one at a time"):
        submit([path, saved(notebook, root / "zoo_Bob.ipynb")])
    with pytest.raises(ValueError, match="the same file name"):
        submit([path, saved(notebook, root / "b" / path.name)])


def test_several_notebooks_only_where_the_course_takes_them(root: Path) -> None:
    one, first = template(root, section="1_zoo/1_lions")
    two, second = template(root, section="1_zoo/2_tigers")
    paths = [saved(solved(first), one), saved(solved(second), two)]
    with pytest.raises(ValueError, match="handed in as one notebook, not as 2"):
        submit(paths)
    _rules(root, formats='several = true\nformats = ["zip"]')
    folder = submit(paths)
    with zipfile.ZipFile(folder / f"{one.stem}.zip") as archive:
        assert {one.name, two.name} <= set(archive.namelist())


def _picture(width: int) -> str:
    content = io.BytesIO()
    Image.effect_noise((width, width), 90).convert("RGB").save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def test_a_report_has_captions_and_no_code(root: Path) -> None:
    _rules(root, formats='report = true\nformats = ["md", "zip"]')
    path, notebook = template(root)
    notebook = solved(notebook)
    notebook.cells[9].outputs = [
        nbformat.v4.new_output("display_data", data={"image/png": _picture(8)})
    ]
    with pytest.raises(ValueError, match=r"cell 10: a figure without a caption: print"):
        submit([saved(notebook, path)])
    notebook.cells[9].outputs.append(nbformat.v4.new_output("stream", text="Figure: Noise.\n"))
    notebook.cells[5].metadata["tags"].append("show-code")
    folder = submit([saved(notebook, path)])
    page = (folder / "zoo_Ada_Lovelace.html").read_text()
    text = (folder / "zoo_Ada_Lovelace_report.md").read_text()
    for told in (re.sub("<.*?>", "", page), text):
        assert "return 2 * x" in told, "its code is to be seen"
        assert "print(double" not in told
        assert "Figure 1." in told
        assert "Noise." in told
    assert list(folder.glob("*_files/*.png"))
    with zipfile.ZipFile(folder / "zoo_Ada_Lovelace.zip") as archive:
        names = archive.namelist()
    assert {"README.txt", "requirements.txt", "cvhelpers/course.toml"} <= set(names)
    assert not [name for name in names if name.endswith((".pdf", ".html"))]


def test_shrinking(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, notebook = template(root)
    notebook = solved(notebook)
    big = nbformat.v4.new_output("display_data", data={"image/png": _picture(2200)})
    notebook.cells[9].outputs = [big] * 3
    saved(notebook, path)
    submit([path])
    assert re.search(r"\d\d MB: .*SHRINK=1", capsys.readouterr().out)
    folder = submit([path], shrink=True)
    assert "MB" not in capsys.readouterr().out
    data = nbformat.read(folder / path.name, 4).cells[9].outputs[0].data["image/png"]
    assert Image.open(io.BytesIO(base64.b64decode(data))).width == 900


def test_an_archive_runs_by_itself(tmp_path: Path) -> None:
    """Unpacked elsewhere, what the sources import of the package is there, and nothing else is."""
    sources = ["from cvhelpers.augment import RandomCrop\n%matplotlib inline", "not python ("]
    files = {file.name for file in needed_modules(sources)}
    assert {"__init__.py", "transforms.py", "draws.py"} <= files
    assert "loop.py" not in files
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in sources])
    target = write_archive(tmp_path / "a.zip", {"main.ipynb": notebook}, title="A title")
    with zipfile.ZipFile(target) as archive:
        archive.extractall(tmp_path / "out")
        readme = archive.read("README.txt").decode()
        assert re.search(r"^torch==", archive.read("requirements.txt").decode(), re.MULTILINE)
    assert "A title" in readme
    assert "jupyter execute --inplace main.ipynb" in readme
    code = "import cvhelpers, cvhelpers.augment as a; print(cvhelpers.__file__, a.RandomCrop)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path / "out"))
