"""A folder of hand-ins, run and summarised: who, which checks passed, metrics, points, findings."""

from __future__ import annotations

import csv
import html
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvhelpers import manifest, runtime
from cvhelpers.coursework.hand_ins import notebooks_in, read_leniently, recognised
from cvhelpers.coursework.points import is_answer, points_of
from cvhelpers.coursework.restore import ORIGINAL, restored
from cvhelpers.coursework.sandbox import run_cells
from cvhelpers.coursework.template import PROMPT, student_cells, template_id
from cvhelpers.headless.outcome import outcome
from cvhelpers.headless.parameters import read_notebook, tags
from cvhelpers.manifest import Manifest, Section
from cvhelpers.results import atomic_write

_COLUMNS = ("who", "file", "assignment", "checks", "points", "answers", "metrics", "found")


@dataclass
class Grade:
    """What one hand-in is worth as far as a machine can say."""

    who: str
    file: str
    assignment: str = ""
    passed: int = 0
    checks: int = 0
    points: float = 0
    possible: float = 0  # points of all checks; answers and scales are for a person
    extra: float = 0  # points of optional sections, not among those above
    extra_possible: float = 0
    answered: int = 0
    answers: int = 0
    metrics: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def row(self) -> dict[str, str]:
        """The table's line."""
        return {
            "who": self.who,
            "file": self.file,
            "assignment": self.assignment,
            "checks": f"{self.passed} of {self.checks}",
            "points": f"{self.points:.2f} of {self.possible:.2f}"
            + f", optional {self.extra:.2f} of {self.extra_possible:.2f}"
            * bool(self.extra_possible),
            "answers": f"{self.answered} of {self.answers} given",
            "metrics": "\n".join(self.metrics),
            "found": "; ".join(self.found) or "nothing unusual",
        }


def grade(
    submissions: str | Path,
    *,
    out_dir: str | Path = "grades",
    profile: str = "smoke",
    source: str = "sample",
    minutes: float = 20,
    gigabytes: float = 6,
    seconds: float = 120,
) -> Path:
    """Run every hand-in in a folder, one after the other; return the table, `grades.html`.

    A hand-in is a notebook, a zip with notebooks, or a folder with either; its name is the
    student's. Each notebook runs in a kernel of its own, with every check replaced by the
    original, and goes on after errors. `grades.csv` has the same lines as the table, and each
    student's folder the notebook as it ran and what it left. Points are those of the checks;
    answers and a scale for an accuracy are for a person.

    Students' code runs with your rights: see `notebooks/TEACHERS.md` for a container.

    Args:
        profile: smoke by default: checks say as much there as in any other.
        source: images to run on.
        minutes: for each notebook.
        gigabytes: of memory for each.
        seconds: for each cell.

    Raises:
        ValueError: no such folder, or nothing in it.
    """
    folder, out = Path(submissions), Path(out_dir)
    if not folder.is_dir():
        raise ValueError(f"{folder}: this is no folder; name one with the hand-ins in it")
    if min(minutes, gigabytes, seconds) <= 0:
        raise ValueError("minutes, gigabytes and seconds are to be above 0")
    profile, source = runtime.resolve_profile(profile), runtime.resolve_source(source)
    entries = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    if not entries:
        raise ValueError(f"{folder} is empty: put one notebook, zip or folder a student there")
    course, grades = manifest.load(), []
    limits = {"minutes": minutes, "gigabytes": gigabytes, "seconds_a_cell": seconds}
    environment = {"CVHELPERS_PROFILE": profile, "CVHELPERS_SOURCE": source}
    with tempfile.TemporaryDirectory() as unpacked:
        for entry in entries:
            for path, problem in notebooks_in(entry, Path(unpacked)):
                print(f"[{entry.name}] {path.name}", flush=True)
                who = entry.name if entry.is_dir() else entry.stem
                one = Grade(who, path.name)
                grades.append(one)
                try:
                    if problem:
                        raise ValueError(problem)
                    place = out / entry.name.replace(".", "_")
                    _grade_one(one, path, course, place, environment, limits)
                except Exception as error:  # none may stop the others
                    one.found.append(f"could not be graded: {type(error).__name__}: {error}")
                print(f"[{entry.name}] {one.row()['checks']} checks; {one.row()['found']}")
    rows = [one.row() for one in grades]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "grades.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    atomic_write(out / "grades.html", _page(rows, profile, source))
    return out / "grades.html"


def _grade_one(
    one: Grade,
    path: Path,
    course: Manifest,
    out: Path,
    environment: dict[str, str],
    limits: dict[str, float],
) -> None:
    """Read, mend, run and count one notebook; `one` is filled as far as it goes."""
    import nbformat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ids missing or twice: said in our own words
        notebook, one.found, shown = read_leniently(path)
        cells = notebook.cells
        one.metrics = [f"handed in: {line}" for line in shown]
        assignment, sections = recognised(path, cells, course)
        one.assignment = assignment.id
        given = student_cells(assignment, one.who, [section.id for section in sections])
        cells, notes = restored(cells, given)
        one.found += notes
        run, work = (out / name for name in ("run", "work"))
        for old in (run, work):  # what an earlier grading left is not this hand-in's
            shutil.rmtree(old, ignore_errors=True)
        work.mkdir(parents=True)
        limited = [*_parameters(cells, environment)]
        environment = environment | {
            "CVHELPERS_HEADLESS": "1",
            "CVHELPERS_RUN_DIR": str(run.resolve()),
            "JUPYTER_PREFER_ENV_PATH": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        one.found += run_cells(limited, cwd=work, environment=environment, **limits)
        for number, cell in enumerate(limited, 1):
            cell["id"] = f"cell-{number}"
        target = out / path.name
        atomic_write(target, nbformat.writes(nbformat.v4.new_notebook(cells=limited)))
    _count(one, limited, sections)
    questions = [cell.source.partition("\n")[0] for cell in given if is_answer(cell)]
    one.answers = len(questions)
    one.answered = sum(_is_answered(question, cells) for question in questions)
    one.found += _errors(limited)
    for section in sections:
        if (run / section.id).is_dir():
            numbers = outcome(section, run / section.id).numbers
            one.metrics += [f"run here: {n.label} {n.value} {n.judgement}".strip() for n in numbers]


def _parameters(cells: Sequence[Any], environment: dict[str, str]) -> list[Any]:
    """The cells, and behind each cell of parameters one that sets the run's profile and images."""
    import nbformat

    profile, source = environment["CVHELPERS_PROFILE"], environment["CVHELPERS_SOURCE"]
    new = []
    for cell in cells:
        new.append(cell)
        lines = cell.source.splitlines() if cell.cell_type == "code" else []
        if any(line.replace(" ", "").startswith("profile=") for line in lines):
            text = f"profile, source = {profile!r}, {source!r}  # the grading's"
            new.append(nbformat.v4.new_code_cell(text))
    return new


def _count(one: Grade, cells: Sequence[Any], sections: Sequence[Section]) -> None:
    """Count the checks that passed, with the points of `points_of`."""
    worth: dict[str, tuple[float, bool]] = {}
    for section in sections:
        source = read_notebook(manifest.repository_root() / "notebooks" / f"{section.id}.ipynb")
        for index, points in points_of(source.cells, section.points - section.scale).items():
            if "check" in tags(source.cells[index]):
                worth[template_id(section.id, source.cells[index])] = points, section.optional
    one.checks = len(worth)
    one.possible = sum(points for points, optional in worth.values() if not optional)
    one.extra_possible = sum(points for points, optional in worth.values() if optional)
    for cell in cells:
        original = cell.metadata.get(ORIGINAL)
        errors = [output for output in cell.get("outputs", []) if output.output_type == "error"]
        if original in worth and cell.get("execution_count") and not errors:
            points, optional = worth[original]
            one.passed += 1
            one.points += 0 if optional else points
            one.extra += points if optional else 0


def _is_answered(question: str, cells: Sequence[Any]) -> bool:
    """Whether words stand below a question, wherever it is and whatever tags were lost."""
    texts = [cell.source.strip() for cell in cells if cell.cell_type == "markdown"]
    own = [text.removeprefix(question).strip() for text in texts if text.startswith(question)]
    return any(answer and PROMPT not in answer for answer in own)


def _errors(cells: Sequence[Any]) -> list[str]:
    """The first errors in the student's own cells, as far as they were to run without one."""
    found = []
    for number, cell in enumerate(cells, 1):
        for output in cell.get("outputs", []):
            meant = {"break-it", "check"} & set(tags(cell)) or "NotImplemented" in output.get(
                "ename", ""
            )
            if output.output_type == "error" and not meant:
                found.append(f"cell {number} raises {output.ename}: {output.evalue[:80]}")
    return found[:3] + ([f"and {len(found) - 3} more errors"] if len(found) > 3 else [])


def _page(rows: Sequence[dict[str, str]], profile: str, source: str) -> str:
    """The table as a page."""
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(row[name])}</td>" for name in _COLUMNS) + "</tr>\n"
        for row in rows
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Grades</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 2rem; color-scheme: light dark }}
table {{ border-collapse: collapse }}
th, td {{ border: 1px solid #8888; padding: .4rem .6rem; vertical-align: top; text-align: left }}
td:nth-child(2) {{ overflow-wrap: anywhere; min-width: 12rem }}
td {{ white-space: pre-line }}
td:nth-child(7) {{ min-width: 18rem }}
td:nth-child(5), td:nth-child(6) {{ white-space: nowrap }}
</style>
<h1>Grades</h1>
<p>Run here in profile {profile}, images: {source}. Points are those of the checks; answers, and a
scale of points for an accuracy, are for a person to give, who has the numbers as handed in.</p>
<table><thead><tr>{head}</tr></thead><tbody>
{body}</tbody></table></html>
"""
