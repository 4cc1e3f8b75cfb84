"""Notebooks that students hand in: whose they are, of which assignment, as editors leave them."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvhelpers.coursework.template import student_cells
from cvhelpers.headless.parameters import read_notebook
from cvhelpers.manifest import Assignment, Manifest, Section

LARGE = 20_000_000  # bytes; what many upload forms take


@dataclass(frozen=True)
class HandIn:
    """One notebook of a hand-in: whose, of which assignment and sections."""

    path: Path
    notebook: Any
    assignment: Assignment
    sections: list[Section]
    student: str


def read_hand_in(path: Path, course: Manifest) -> HandIn:
    """Read a student's notebook and find out whose it is, and of which assignment.

    The notebook says so where an editor has kept what the template noted in it; else its file name.

    Raises:
        ValueError: no notebook, or nothing tells the assignment.
    """
    notebook = read_notebook(path)
    noted = notebook.metadata.get("cvhelpers", {})
    for assignment in course.assignments.values():
        before, _, after = assignment.template.partition("{student}")
        named = re.fullmatch(
            f"{re.escape(before)}(.*?){re.escape(after)}", path.name, re.IGNORECASE
        )
        if noted.get("assignment", assignment.id if named else "") != assignment.id:
            continue
        sections = course.sections_of(assignment.id)
        chosen = [one for one in sections if one.id in noted.get("sections", [])]
        if not chosen and named:  # the editor lost the note; a section's file has its name behind
            ends = [one for one in sections if path.stem.endswith("_" + one.id.rpartition("/")[2])]
            chosen = ends or sections
        student = _student(notebook, assignment)
        return HandIn(path, notebook, assignment, chosen or sections, student)
    names = ", ".join(one.template for one in course.assignments.values())
    raise ValueError(f"{path.name}: nothing tells the assignment; call it as one of {names}")


def _student(notebook: Any, assignment: Assignment) -> str:
    """The line below the title; "" where either is missing."""
    first = notebook.cells[0].source.strip() if notebook.cells else ""
    title, _, rest = first.partition("\n")
    return rest.strip().partition("\n")[0] if title.strip() == f"# {assignment.title}" else ""


def notebooks_in(entry: Path, unpacked: Path) -> Iterator[tuple[Path, str]]:
    """The notebooks of one entry, each with a problem in words, or ""."""
    if entry.suffix.lower() == ".zip":
        target = unpacked / entry.stem
        try:
            with zipfile.ZipFile(entry) as archive:
                archive.extractall(target)  # it keeps members inside of the folder
        except (zipfile.BadZipFile, OSError) as error:
            yield entry, f"no zip: {error}"
            return
        entry = target
    if entry.is_file():
        yield entry, "" if entry.suffix == ".ipynb" else "no notebook: its name ends otherwise"
        return
    hidden = (".", "__MACOSX")  # what editors and systems leave beside the work
    inside = [
        path
        for path in sorted(entry.rglob("*.ipynb"))
        if not any(part.startswith(hidden) for part in path.relative_to(entry).parts)
    ]
    for path in inside:
        yield path, ""
    if not inside:
        yield entry, "no notebook in it"


def read_leniently(path: Path) -> tuple[Any, list[str], list[str]]:
    """Read a notebook as editors leave it: itself, what is odd about it, the numbers it shows.

    Raises:
        ValueError: no notebook.
    """
    import nbformat

    size, shown = path.stat().st_size, list[str]()
    found = [f"a file of {size / 1e6:.0f} MB"] if size > LARGE else []
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        notebook = nbformat.from_dict(content)
        if int(notebook.get("nbformat", 0)) < 4:
            notebook = nbformat.convert(notebook, 4)
        for cell in notebook.cells:
            cell.source = "".join(cell.source) if isinstance(cell.source, list) else cell.source
            cell.setdefault("metadata", nbformat.from_dict({}))
            if "id" not in cell and cell.metadata.get("id"):  # where Colab keeps it
                cell["id"] = cell.metadata["id"]
            if cell.cell_type == "code":
                if "run.summary()" in cell.source:
                    shown += _claimed(cell)
                cell.outputs, cell.execution_count = [], None
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"no notebook: {error}") from None
    made_by = [name for name in ("colab", "vscode") if name in notebook.get("metadata", {})]
    found += [f"saved by {name.replace('colab', 'Colab')}" for name in made_by]
    return notebook, found, shown


def _claimed(cell: Any) -> list[str]:
    """The numbers of a run as the student's own table shows them, with target and points."""
    from bs4 import BeautifulSoup

    found = []
    for output in cell.get("outputs", []):
        page = BeautifulSoup("".join(output.get("data", {}).get("text/html", "")), "html.parser")
        names = [head.get_text(strip=True) for head in page.select("thead th")]
        for line in page.select("tbody tr"):
            values = [one.get_text(strip=True) for one in line.find_all("td")]
            row = dict(zip(names, values, strict=False))
            more = [f"{name} {row[name]}" for name in ("target", "points") if row.get(name)]
            told = f"{row.get('metric', '?')} {row.get('value', '?')}"
            found.append(told + f" ({', '.join(more)})" * bool(more))
    return found


def recognised(
    path: Path, cells: Sequence[Any], course: Manifest
) -> tuple[Assignment, list[Section]]:
    """Which assignment and sections: by the template's note, the file's name, or the cells."""
    try:
        known = read_hand_in(path, course)
        return known.assignment, known.sections
    except ValueError:
        pass
    texts = {cell.source.strip() for cell in cells if len(cell.source) > 20}
    best, shared = None, 0
    for assignment in course.assignments.values():
        sections = []
        count = 0
        for section in course.sections_of(assignment.id):
            number = section.id.rpartition("/")[2].partition("_")[0]
            given = student_cells(assignment, "?", [section.id])
            own = [cell for cell in given if cell.id.startswith(f"{number}-")]
            found = sum(cell.source.strip() in texts for cell in own)
            sections += [section] if found > len(own) / 4 else []
            count += found
        if sections and count > shared:
            best, shared = (assignment, sections), count
    if best is None:
        raise ValueError("no hand-in of this course: none of its cells is one of a template")
    return best
