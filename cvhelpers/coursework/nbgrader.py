"""An assignment as a course folder of nbgrader: our marks and tags become its cell metadata.

nbgrader (https://nbgrader.readthedocs.io) makes the release version, collects, grades and returns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cvhelpers import manifest
from cvhelpers.coursework.points import is_answer, is_solution, points_of
from cvhelpers.coursework.template import PROMPT, STUB
from cvhelpers.headless.parameters import read_notebook, tags
from cvhelpers.manifest import Section

_CONFIG = """# Written by `python -m cvhelpers nbgrader`; change it as the course needs.
c = get_config()
c.CourseDirectory.course_id = {course!r}
c.CourseDirectory.root = {root!r}
# Stubs and prompts as in the pack's own templates.
c.ClearSolutions.code_stub = {{"python": {stub!r}}}
c.ClearSolutions.text_stub = {prompt!r}
c.ClearSolutions.enforce_metadata = False
# Seconds a cell may take; the profile (smoke, quick, full) comes from CVHELPERS_PROFILE.
c.ExecutePreprocessor.timeout = 600
"""
_FREE = ("parameters", "section-parameters", "break-it")  # what a student may change


def make_nbgrader(assignment_id: str, *, out_dir: str | Path) -> Path:
    """Write a course folder for nbgrader with the assignment's sections under `source/`.

    Solutions keep their marks, checks are locked and carry points, answers are graded by hand, and
    the points of a section are the manifest's. A scale of points for an accuracy, such as that of
    LeNet-5, becomes a task graded by hand: an automatic run has no time for such a training. Cells
    tagged `evidence` stay out, they tell the answers. The folder is then nbgrader's: `nbgrader
    generate_assignment ASSIGNMENT` in it makes the release version.

    Raises:
        ValueError: unknown assignment, or the folder holds this assignment already.
    """
    import nbformat

    course = manifest.load()
    sections = course.sections_of(course.assignment(assignment_id).id)
    root = Path(out_dir).resolve()
    source = root / "source" / assignment_id
    if source.exists():
        raise ValueError(f"{source} exists, and may have been changed: move it away first")
    source.mkdir(parents=True)
    for section in sections:
        name = f"{section.id}.ipynb"
        notebook = read_notebook(manifest.repository_root() / "notebooks" / name)
        notebook.cells = _graded_cells(notebook.cells, section)
        nbformat.write(notebook, source / Path(name).name)
    config = root / "nbgrader_config.py"
    if not config.exists():
        names = {"course": "cnn-course-pack", "root": str(root), "stub": STUB, "prompt": PROMPT}
        config.write_text(_CONFIG.format(**names), encoding="utf-8")
    return root


def _graded_cells(cells: list[Any], section: Section) -> list[Any]:
    """A section's cells as nbgrader wants them; `evidence` is left out."""
    import nbformat

    scales = [metric for metric in section.metrics.values() if metric.points]
    shares = points_of(cells, section.points - section.scale)
    kept = []
    for index, cell in enumerate(cells):
        if "evidence" in tags(cell):
            continue
        if cell.cell_type == "markdown":  # the badge opens the solution
            lines = cell.source.splitlines()
            cell.source = "\n".join(line for line in lines if "colab-badge" not in line)
        points, free = shares.get(index), set(_FREE) & set(tags(cell))
        if is_answer(cell):
            question, _, answer = cell.source.partition("\n\n")
            marks = "<!-- BEGIN SOLUTION -->", "<!-- END SOLUTION -->"
            cell.source = "\n".join([question, "", marks[0], answer, marks[1]])
            _mark(cell, solution=True, grade=True, points=points)
        elif is_solution(cell):
            _mark(cell, solution=True)
        elif points is not None:
            _mark(cell, grade=True, locked=True, points=points)
        elif cell.cell_type == "code" and not free:
            _mark(cell, locked=True)
        kept.append(cell)
    for metric in scales:
        bars = ", ".join(f"{bar:.0%}: {points:g}" for bar, points in metric.points)
        text = f"**{metric.label}**, in points, from the table above: {bars}."
        task = nbformat.v4.new_markdown_cell(text, id=f"scale-{metric.name}".replace("_", "-"))
        _mark(task, task=True, locked=True, points=metric.points[-1][1])
        kept.append(task)
    return kept


def _mark(cell: Any, *, points: float | None = None, **kinds: bool) -> None:
    own: dict[str, Any] = {
        "grade": False,
        "solution": False,
        "locked": False,
        "task": False,
    } | kinds
    own |= {"schema_version": 3, "grade_id": cell.id, "cell_type": cell.cell_type}
    cell.metadata["nbgrader"] = own if points is None else own | {"points": points}
