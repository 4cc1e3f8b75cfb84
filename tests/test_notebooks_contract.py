"""What every notebook of the course promises (the order, the tags, the marks, no outputs)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from notebook_code import code_of, global_names

from cvhelpers import manifest

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = manifest.load(ROOT / "notebooks" / "course.toml")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*/[0-9]*.ipynb"))
TAGS = {
    "setup",
    "parameters",
    "task",
    "solution",
    "check",
    "answer",
    "break-it",
    "results",
    "evidence",
}
LONGEST_CELL = 26  # lines; fifteen is the aim, and a formatted class may need more


def section_id(path: Path) -> str:
    return path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()


def tags(cell: nbformat.NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


@pytest.fixture(params=NOTEBOOKS, ids=section_id)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def sources(notebook: nbformat.NotebookNode, tag: str) -> list[str]:
    return [cell.source for cell in notebook.cells if tag in tags(cell)]


def test_manifest_and_folder_name_the_same_sections() -> None:
    assert [section_id(path) for path in NOTEBOOKS] == sorted(MANIFEST.sections)


def test_is_committed_clean(notebook: nbformat.NotebookNode, path: Path) -> None:
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        assert cell.id
        assert cell.cell_type != "code" or (not cell.outputs and cell.execution_count is None)
        assert not re.search(r"(?<![\w.:/])/(home|root|Users|tmp|content|mnt)/", cell.source)


def test_begins_in_the_agreed_order(notebook: nbformat.NotebookNode, path: Path) -> None:
    title, setup, parameters, start = notebook.cells[:4]
    for promise in ("What you learn", "How long it takes", "What it needs", "colab"):
        assert promise in title.source
    assert f"notebooks/{section_id(path)}.ipynb" in title.source, "the badge opens another notebook"
    assert tags(setup) == {"setup"}
    assert tags(parameters) == {"parameters"}
    assert f'"{section_id(path)}"' in start.source
    assert "start_run(" in start.source


def test_every_address_is_the_projects(notebook: nbformat.NotebookNode) -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    repository = re.search(r'^Repository = "https://github.com/(.+)"$', pyproject, re.MULTILINE)
    version = re.search(r'^version = "(.+)"$', pyproject, re.MULTILINE)
    assert repository
    assert version
    title, setup = notebook.cells[0].source, notebook.cells[1].source
    assert f"/github/{repository[1]}/blob/v{version[1]}/" in title
    assert f"github.com/{repository[1]}@v{version[1]}" in setup
    assert "torch" not in re.findall(r"pip install (.+)", setup)[0], "Colab's own torch is kept"


def test_parameters_are_commented_literals(notebook: nbformat.NotebookNode) -> None:
    (cell,) = sources(notebook, "parameters")
    for statement in ast.parse(cell).body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)
    for line in cell.splitlines():
        assert re.match(r"\w+ = .+  # \w", line), f"no comment: {line}"
    names = re.findall(r"^(\w+) =", cell, re.MULTILINE)
    assert names[:3] == ["profile", "source", "seed"]


def test_has_every_kind_of_cell(notebook: nbformat.NotebookNode) -> None:
    used = set().union(*(tags(cell) for cell in notebook.cells))
    assert used - {"show-code"} == TAGS  # its code is to be seen in a report
    for cell in notebook.cells:
        wanted = {"task": "markdown", "answer": "markdown"}
        wanted |= {"solution": "code", "check": "code", "show-code": "code"}
        for tag in tags(cell) & wanted.keys():
            assert cell.cell_type == wanted[tag], f"a {tag} cell is {cell.cell_type}"


def test_answers_begin_with_their_question(notebook: nbformat.NotebookNode) -> None:
    for source in sources(notebook, "answer"):
        assert re.match(r"\*\*Question\.\*\* .+\?\n", source), source[:60]


def test_answers_type_no_measured_numbers(notebook: nbformat.NotebookNode) -> None:
    for source in sources(notebook, "answer"):
        assert not re.search(r"\d+[.]\d+ ?%", source), "measured numbers are computed, not typed"


def test_solutions_are_marked(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        marks = re.findall(r"^ *### (BEGIN|END) SOLUTION$", cell.source, re.MULTILINE)
        assert marks == ["BEGIN", "END"] * (len(marks) // 2)
        assert bool(marks) == ("solution" in tags(cell)), f"{marks} in {cell.source[:60]!r}"


def test_no_first_images_stand_for_a_set(path: Path) -> None:
    """Most sets are sorted by class: the first thousand show four classes. `subset` draws all."""
    for _, tree in code_of(section_id(path)):
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)):
                continue
            sliced = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
            end = node.slice.upper
            few = isinstance(end, ast.Constant) and isinstance(end.value, int) and end.value <= 64
            if sliced & {"train", "val", "test", "everything", "part"}:
                assert few or end is None, f"{ast.unparse(node)}: write .subset(count)"


def test_cells_are_short(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            lines = [line for line in cell.source.splitlines() if "### " not in line]
            assert len(lines) <= LONGEST_CELL, f"{len(lines)} lines: {cell.source[:60]!r}"


def test_delivers_what_the_manifest_asks_for(notebook: nbformat.NotebookNode, path: Path) -> None:
    section = MANIFEST.section(section_id(path))
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    recorded = re.findall(r'run\.record\(\s*"(\w+)"', code)
    drawn = re.findall(r'run\.save_figure\(\s*"(\w+)"', code)
    assert set(section.metrics) <= set(recorded)
    assert set(section.figures) <= set(drawn)
    assert set(section.pictures) <= set(drawn), "a name mistyped keeps no picture back"
    assert len(recorded) == len(set(recorded))
    for name in section.data:
        assert f'"{name}"' in code


def test_what_shows_images_is_held_back(notebook: nbformat.NotebookNode, path: Path) -> None:
    """A gallery shows every named figure that the manifest does not list among the pictures."""
    section = MANIFEST.section(section_id(path))
    draws = r"(_grid|show_image|worst_mistakes|overlay|show_mask|show_errors|imshow|explore_\w+)\("
    harmless = {"first_layer_filters", "preferred_pictures", "errors", "blocks", "confusion"}
    harmless |= {"explorer_filters", "explorer_paths", "class_means"}  # none of images
    for cell in notebook.cells:
        if cell.cell_type == "code" and re.search(draws, cell.source):
            named = re.findall(r'run\.save_figure\(\s*"(\w+)"', cell.source)
            assert set(named) <= {*section.pictures, *harmless}, "add it to the manifest's pictures"


def test_quick_is_tested_against_chance(notebook: nbformat.NotebookNode) -> None:
    checks = "\n".join(sources(notebook, "check"))
    # Of masks: calling everything foreground. Of a hundred classes, a share beats chance by far.
    chance = r"(majority|all_foreground) \+ 0\.05|3 \* majority"
    assert re.search(chance, checks), "no check that something was learnt"


def test_no_cell_needs_what_a_check_left(path: Path) -> None:
    """A check that fails takes nothing else with it, or one slip would cost two stubs their points.

    Checks of one stub may share names, and so may those without an `assert` outside of functions.
    """
    common: set[str] = set()
    left: dict[str, int] = {}
    others = 0  # cells that are no checks
    for tags_, tree in code_of(section_id(path)):
        is_check = "check" in tags_
        if "evidence" in tags_:
            continue
        others += not is_check
        own, read = global_names(tree)
        wanting = [n for n in read & left.keys() - common if not is_check or left[n] != others]
        assert not wanting, f"left by a check: {wanting}, needed by: {ast.unparse(tree)[:80]}"
        parts = [one for one in tree.body if not isinstance(one, (ast.FunctionDef, ast.ClassDef))]
        if is_check and any(isinstance(n, ast.Assert) for one in parts for n in ast.walk(one)):
            left |= dict.fromkeys(own - common, others)
        else:
            common |= own


def test_no_check_takes_a_name_from_others(path: Path) -> None:
    """What a check calls its own may not stand for something in a later cell, or in a function."""
    bound: set[str] = set()
    in_functions: set[str] = set()
    taken: dict[str, str] = {}
    for tags_, tree in code_of(section_id(path)):
        own, read = global_names(tree)
        if {"check", "evidence"} & set(tags_):
            imports = [one for one in tree.body if isinstance(one, (ast.Import, ast.ImportFrom))]
            own -= {name.asname or name.name for one in imports for name in one.names}
            inside = own & bound & in_functions
            assert not inside, f"{inside}: functions above read it; in: {ast.unparse(tree)[:80]}"
            taken |= dict.fromkeys(own & bound, ast.unparse(tree)[:80])
            continue
        lost = {name: taken[name] for name in read & taken.keys()}
        assert not lost, f"taken by a check: {lost}, needed by: {ast.unparse(tree)[:80]}"
        bound |= own
        taken = {name: cell for name, cell in taken.items() if name not in own}
        for one in ast.walk(tree):
            if isinstance(one, (ast.FunctionDef, ast.Lambda)):
                module = ast.Module([one if isinstance(one, ast.stmt) else ast.Expr(one)], [])
                in_functions |= global_names(ast.fix_missing_locations(module))[1]
