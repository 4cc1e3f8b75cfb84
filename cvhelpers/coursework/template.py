"""A student's notebook: an assignment's sections in order, its solutions replaced by stubs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cvhelpers import manifest
from cvhelpers.coursework.points import BEGIN, END, is_answer, is_solution
from cvhelpers.headless.parameters import read_notebook, tags
from cvhelpers.manifest import Assignment, near

_MARKED = re.compile(rf"^([ \t]*){BEGIN}[ \t]*$.*?^[ \t]*{END}[ \t]*$", re.DOTALL | re.MULTILINE)
STUB = 'raise NotImplementedError("Your code goes here: replace this line.")'
PROMPT = "*Your answer goes here: replace this line.*"
_COMMON = re.compile(r"(profile|source|seed|drive)\b")  # parameters that every section has


def make_template(
    assignment_id: str, student: str, *, out_dir: str | Path, section: str | None = None
) -> Path:
    """Write `assignment_id`'s notebook without solutions into `out_dir`; return the file.

    The manifest says what it is called, and what is asked at its end. With a `section`, an id such
    as 1_flowers/2_small_convnet, it holds that one alone, and its name says so. A file that is
    there stays: it may hold a student's work.

    Raises:
        ValueError: unknown assignment or section, a section of another one, no name, the file
            exists, or a solution without marks.
    """
    import nbformat

    course = manifest.load()
    assignment = course.assignment(assignment_id)
    wanted = [one.id for one in course.sections_of(assignment_id)]
    path = Path(out_dir) / file_name(assignment, student)
    if section is not None:
        if section not in wanted:
            raise ValueError(f"{assignment_id} has no section {section!r}; {near(section, wanted)}")
        wanted = [section]
        path = path.with_stem(f"{path.stem}_{section.rpartition('/')[2]}")
    if path.exists():
        raise ValueError(f"{path} exists, and may hold work: move it away first")
    cells = student_cells(assignment, student, wanted)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    notebook.metadata["cvhelpers"] = {"assignment": assignment.id, "sections": wanted}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def student_cells(assignment: Assignment, student: str, sections: Sequence[str]) -> list[Any]:
    """The cells of a student's notebook: a title, the sections, the course's closing questions.

    A cell of a section keeps its id behind the section's number: `3-ab12cd34`.
    """
    import nbformat

    cells = [
        nbformat.v4.new_markdown_cell(f"# {assignment.title}\n\n{student.strip()}", id="title")
    ]
    for name in sections:
        source = manifest.repository_root() / "notebooks" / f"{name}.ipynb"
        cells += _student_cells(source, seen=cells)
    if assignment.closing:
        cells.append(nbformat.v4.new_markdown_cell("## Sources and tools", id="closing"))
    for number, question in enumerate(assignment.closing, 1):
        text, own = "\n".join(_question([f"**Question.** {question}"])), {"tags": ["answer"]}
        cells.append(nbformat.v4.new_markdown_cell(text, metadata=own, id=f"closing-{number}"))
    return cells


def template_id(section: str, cell: Any) -> str:
    """The id that a cell of a section's notebook has in a template: `3-ab12cd34`."""
    return f"{section.rpartition('/')[2].partition('_')[0]}-{cell.id}"


def file_name(assignment: Assignment, student: str) -> str:
    """Fill the manifest's file name; what no file name should hold becomes an underscore."""
    name = re.sub(r"[^\w-]+", "_", student).strip("_")
    if not name:
        raise ValueError(f'student {student!r}: give the name, e.g. "Ada Lovelace"')
    return assignment.template.replace("{student}", name)


def stubbed(source: str) -> str:
    """Replace what stands between solution marks by a stub; ValueError where marks do not pair."""
    stubs, count = _MARKED.subn(rf"\1{STUB}", source)
    if not count or {source.count(BEGIN), source.count(END)} != {count}:
        raise ValueError(f"solutions stand between `{BEGIN}` and `{END}`, in pairs; mend the marks")
    return stubs


def _student_cells(path: Path, *, seen: list[Any]) -> list[Any]:
    """What a student gets of one notebook; setup and the tag `parameters` come once."""
    import nbformat

    setups = [cell.source for cell in seen if "setup" in tags(cell)]
    first = not any("parameters" in tags(cell) for cell in seen)
    section = f"{path.parent.name}/{path.stem}"
    cells = []
    for number, cell in enumerate(read_notebook(path).cells, 1):
        own, lines = tags(cell), cell.source.strip().split("\n")
        code = cell.cell_type == "code"
        if ("setup" in own and cell.source in setups) or "evidence" in own:
            continue  # evidence answers the question
        if "parameters" in own and not first:
            # The first cell speaks for all: papermill knows only one. What is this section's stays.
            own = ["section-parameters"]
            lines = [line for line in lines if not _COMMON.match(line)]
        if not code:
            lines = [line for line in lines if "colab-badge" not in line]  # it opens the solution
        try:
            if is_answer(cell):
                lines = _question(lines)
            elif is_solution(cell):
                lines = [stubbed("\n".join(lines))]
        except ValueError as error:
            raise ValueError(f"{path}: cell {number}: {error}") from None
        new = nbformat.v4.new_code_cell if code else nbformat.v4.new_markdown_cell
        cells.append(
            new(
                "\n".join(lines),
                metadata={"tags": own} if own else {},
                id=template_id(section, cell),
            )
        )
    return cells


def _question(lines: list[str]) -> list[str]:
    """Keep the first line of an answer, the question, and ask for one's own."""
    if lines[1:] and lines[1].strip():
        raise ValueError("an answer cell is the question on one line, an empty line, the answer")
    return [lines[0], "", PROMPT]
