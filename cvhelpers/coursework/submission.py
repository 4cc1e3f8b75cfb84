"""From a student's notebook to the files that the course asks for, or a list of what is missing."""

from __future__ import annotations

import base64
import io
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cvhelpers import manifest
from cvhelpers.coursework import printing, reports
from cvhelpers.coursework.archive import write_archive
from cvhelpers.coursework.gaps import Gap, find_gaps
from cvhelpers.coursework.hand_ins import LARGE, HandIn, read_hand_in
from cvhelpers.coursework.template import student_cells
from cvhelpers.headless.page import to_html
from cvhelpers.manifest import Assignment, Manifest

_WIDTH = 900  # pixels that a shrunk picture keeps


def submit(
    notebooks: Iterable[str | Path],
    *,
    anyway: bool = False,
    shrink: bool = False,
    out_dir: str | Path = "submissions",
) -> Path:
    """Write what the course of a student's notebook asks for; return the folder.

    The manifest says what that is: the notebook itself, a PDF, a zip, results alone or the code as
    well. An HTML page to look at is always there. Nothing is written while something is missing.

    Args:
        notebooks: one, or several of one assignment, where the course takes several.
        anyway: hand in what there is, for partial credit; what is missing is listed all the same.
        shrink: make pictures in the outputs smaller.

    Raises:
        ValueError: not a hand-in of this course, or every gap with its cell and its mend; an
            optional section is never one.
    """
    course = manifest.load()
    handed = [read_hand_in(Path(path), course) for path in notebooks]
    if not handed:
        raise ValueError("name the notebook to hand in")
    assignment = handed[0].assignment
    if any(one.assignment != assignment for one in handed):
        raise ValueError("these notebooks are of different assignments: hand them in one by one")
    if len(handed) > 1 and not assignment.several:
        raise ValueError(f"{assignment.id} is handed in as one notebook, not as {len(handed)}")
    if len({one.path.name for one in handed}) < len(handed):
        raise ValueError("two of these notebooks have the same file name: rename one")
    if len(students := {one.student for one in handed if one.student}) > 1:
        raise ValueError(f"these notebooks are of {' and '.join(sorted(students))}: one at a time")
    gaps = [line for one in handed for line in _told(one, len(handed) > 1)]
    gaps += _left_out(course, assignment, handed)
    if gaps and not anyway:
        listed = "\n  ".join(gaps)
        raise ValueError(
            f"this would lose points:\n  {listed}\n"
            "(Cells are counted from 1, those with words, too.)\n"
            "Mend it, or hand in what there is, for partial credit, with ANYWAY=1 (--anyway)"
        )
    folder = Path(out_dir) / handed[0].path.stem
    with tempfile.TemporaryDirectory() as made:  # what is there stays until all of the new is
        for one in handed:
            if shrink:
                _shrink(one.notebook)
            _write(one, Path(made), assignment)
        if "zip" in assignment.formats:
            main = {one.path.name: one.notebook for one in handed}
            title = f"{assignment.title}\n{handed[0].student}"
            pages = (
                [] if assignment.report else [Path(made, f"{one.path.stem}.html") for one in handed]
            )
            write_archive(Path(made, f"{handed[0].path.stem}.zip"), main, title=title, pages=pages)
        shutil.copytree(made, folder, dirs_exist_ok=True)
        size = sum(file.stat().st_size for file in Path(made).rglob("*") if file.is_file())
    for gap in gaps:
        print(f"handed in all the same: {gap}")
    if size > LARGE:
        mend = "" if shrink else "; SHRINK=1 (--shrink) makes pictures smaller"
        print(f"{size / 1e6:.0f} MB: an upload form may refuse more than {LARGE / 1e6:.0f}{mend}")
    return folder


def _told(one: HandIn, several: bool) -> list[str]:
    """The gaps that cost points, those of one kind in one section together."""
    kinds: dict[tuple[str, str], list[int]] = {}
    for gap in gaps_of(one):
        if not gap.optional:
            kinds.setdefault((gap.section, gap.what), []).append(gap.cell)
    lines = []
    for (section, what), found in kinds.items():
        cells = [str(cell) for cell in found if cell]
        place = f"cell{'s' * (len(cells) > 1)} {', '.join(cells)}" if cells else ""
        parts = [one.path.name * several, section, place]
        lines.append(": ".join(filter(None, [", ".join(filter(None, parts)), what])))
    return lines


def gaps_of(hand_in: HandIn) -> list[Gap]:
    """All gaps of one notebook: in its cells, its headings, its name."""
    ids = [section.id for section in hand_in.sections]
    given = student_cells(hand_in.assignment, hand_in.student or "?", ids)
    captions = hand_in.assignment.report
    found = find_gaps(hand_in.notebook.cells, given[1:], hand_in.sections, captions=captions)
    if not hand_in.student:
        found.insert(0, Gap(1, "", "your name is missing, below the title"))
    before, _, after = hand_in.assignment.template.partition("{student}")
    name = unicodedata.normalize("NFC", hand_in.path.name)  # macOS takes letters and accents apart
    if not re.fullmatch(f"{re.escape(before)}\\w[\\w-]*{re.escape(after)}", name):
        wanted = hand_in.assignment.template.replace("{student}", "First_Surname")
        found.insert(0, Gap(0, "", f"the file is to be called {wanted}, with your name"))
    return found


def _left_out(course: Manifest, assignment: Assignment, handed: list[HandIn]) -> list[str]:
    """Required sections that are in no notebook; an optional one may be handed in by itself."""
    there = {section.id for one in handed for section in one.sections}
    if all(section.optional for one in handed for section in one.sections):
        return []
    required = [one for one in course.sections_of(assignment.id) if not one.optional]
    return [f"section {one.id} is left out" for one in required if one.id not in there]


def _write(hand_in: HandIn, folder: Path, assignment: Assignment) -> None:
    """The notebook's own files: ipynb, page, and what else the course wants of it."""
    import nbformat

    stem, notebook = hand_in.path.stem, hand_in.notebook
    alone = all(section.optional for section in hand_in.sections)  # a challenge: as it is
    if "ipynb" in assignment.formats or alone:
        nbformat.write(notebook, folder / f"{stem}.ipynb")
    page = folder / f"{stem}.html"
    shown = reports.as_report(notebook) if assignment.report else notebook
    html = to_html(shown, title=stem)
    page.write_text(html, encoding="utf-8")
    tex = None
    if "pdf" in assignment.formats and assignment.report:
        tex = reports.to_latex(notebook, folder / "latex" / f"{stem}.tex", title=stem)
    if "pdf" in assignment.formats:
        printing.to_pdf(page, folder / f"{stem}.pdf", tex=tex)
    if "md" in assignment.formats:
        reports.to_markdown(notebook, folder / f"{stem}_report.md")


def _shrink(notebook: Any) -> None:
    """Bring the pictures in the outputs to at most 900 pixels' width and 128 colours."""
    from PIL import Image

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" not in data:
                continue
            content = base64.b64decode("".join(data["image/png"]))
            picture = Image.open(io.BytesIO(content)).convert("RGB")
            if picture.width > _WIDTH:
                height = round(picture.height * _WIDTH / picture.width)
                picture = picture.resize((_WIDTH, height), Image.Resampling.LANCZOS)
            smaller = io.BytesIO()
            picture.quantize(128).save(smaller, "PNG", optimize=True)
            if smaller.tell() < len(content):
                data["image/png"] = base64.b64encode(smaller.getvalue()).decode("ascii")
                output.get("metadata", {}).pop("image/png", None)  # it tells the old size
