"""The tables of the teachers' pages, `notebooks/<assignment>/TEACHING.md`: points and outcomes."""

from __future__ import annotations

import re
from pathlib import Path

from cvhelpers import manifest
from cvhelpers import results as result_files
from cvhelpers.coursework.points import graded_parts, is_answer, points_of
from cvhelpers.headless.evidence import write_evidence
from cvhelpers.headless.outcome import Outcome
from cvhelpers.headless.parameters import read_notebook
from cvhelpers.manifest import Manifest, Section
from cvhelpers.results import atomic_write

BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"
_BLOCK = re.compile(rf"{BEGIN}.*?{END}", re.DOTALL)


def write_tables() -> str:
    """Rewrite all tables that are made from manifest and results; return what was done.

    They stand in README.md, results/README.md, the index notebook and every TEACHING.md.

    Raises:
        ValueError: a page without the marks.
    """
    course, root = manifest.load(), manifest.repository_root()
    write_evidence()
    pages = sorted((root / "notebooks").glob("*/TEACHING.md"))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if not _BLOCK.search(text):
            raise ValueError(f"{page}: the table stands between {BEGIN} and {END}; add both")
        table = table_of(course, page.parent.name)
        atomic_write(page, _BLOCK.sub(lambda _, t=table: f"{BEGIN}\n{t}\n{END}", text))  # type: ignore[misc]
    return f"README.md, results/README.md, the index and {len(pages)} teachers' pages written"


def table_of(course: Manifest, assignment: str) -> str:
    """Markdown: for each section its points, what is graded, and the committed outcomes."""
    lines = [
        "| section | points | of these: checks, answers, scale | what came out on real data |",
        "|---|---|---|---|",
    ]
    for section in course.sections_of(assignment):
        source = read_notebook(manifest.repository_root() / "notebooks" / f"{section.id}.ipynb")
        shares = points_of(source.cells, section.points - section.scale)
        words = sum(p for i, p in shares.items() if is_answer(source.cells[i]))
        checks = sum(shares.values()) - words
        parts = graded_parts(source.cells)
        answers = sum(is_answer(source.cells[part[0]]) for part in parts)
        graded = f"{checks:.2f} ({len(parts) - answers} parts), {words:.2f} ({answers})"
        graded += f", {section.scale:g}"
        name = section.id.rpartition("/")[2] + (", optional" if section.optional else "")
        lines.append(f"| {name} | {section.points:g} | {graded} | {_outcomes(section)} |")
    sections = course.sections_of(assignment)
    required = sum(one.points for one in sections if not one.optional)
    lines.append(f"| required, together | {required:g} | | |")
    by = course.assignment(assignment).points_by
    return "\n".join([*lines, "", f"The sections' points are those of {by}."])


def _outcomes(section: Section) -> str:
    """The committed numbers, each with its label; where there are none, that."""
    folder = manifest.repository_root() / "results" / section.id
    try:
        results = result_files.read_results(folder)
    except ValueError:
        return "no evidence committed"
    numbers = Outcome(section, Path(folder), "ok", "", results).numbers
    told = [f"{n.label}: {n.value}" for n in numbers if n.name in section.metrics]
    kinds = ", ".join(f"{name} ({e['kind']})" for name, e in results["provenance"].items())
    where = f"{kinds}, profile {results['profile']}"
    return "; ".join(told) + f" [{where}]"
