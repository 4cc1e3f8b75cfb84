"""What the course holds: the front page's tables, the index notebook, and what was run so far."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cvhelpers
from cvhelpers import manifest
from cvhelpers import results as result_files
from cvhelpers.headless.outcome import Outcome, outcome
from cvhelpers.manifest import Manifest, Section
from cvhelpers.places import runs_with

_MARKS = "<!-- {}:begin -->", "<!-- {}:end -->"
INDEX = "notebooks/index.ipynb"
REPOSITORY = re.compile(r'^(Repository = "https://github\.com/)([^"]+)"$', re.MULTILINE)
_COLAB = "https://colab.research.google.com"


def write_contents() -> str:
    """Rewrite the tables of README.md and of the index notebook from manifest and results."""
    root, course = manifest.repository_root(), manifest.load()
    table = sections_table(course, repository_address(root), root / "results")
    put(root / "README.md", "sections", table)
    path = root / INDEX
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["cells"][1]["source"] = index_table(course).splitlines(keepends=True)
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    result_files.atomic_write(path, text + "\n")
    return "README.md and notebooks/index.ipynb say what the manifest and results/ say"


def put(path: Path, name: str, text: str) -> None:
    """Put `text` between the marks called `name` in a file; ValueError where they are missing."""
    begin, end = (mark.format(name) for mark in _MARKS)
    head, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{path}: put `{begin}` and `{end}` where the table belongs")
    result_files.atomic_write(path, f"{head}{begin}\n{text}\n{end}{tail}")


def repository_address(root: Path) -> str:
    """OWNER/NAME on GitHub, from its one place in pyproject.toml."""
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    if (found := REPOSITORY.search(project)) is None:
        raise ValueError(
            f'{root / "pyproject.toml"} has no line Repository = "https://github.com/..."'
        )
    return found[2]


def sections_table(course: Manifest, repository: str, results_dir: Path) -> str:
    """A row an assignment, in Markdown: its notebooks with Colab badges, and what was reached."""
    rows = ["| assignment | notebooks | results on real images |", "| --- | --- | --- |"]
    for assignment in course.assignments.values():
        sections = course.sections_of(assignment.id)
        links = "<br>".join(_link(section, repository) for section in sections)
        name = assignment.title.partition(":")[0]
        rows.append(f"| {name} | {links} | {_reached(sections, results_dir)} |")
    return "\n".join(rows)


def _link(section: Section, repository: str) -> str:
    path = f"notebooks/{section.id}.ipynb"
    colab = f"{_COLAB}/github/{repository}/blob/v{cvhelpers.__version__}/{path}"
    badge = f"[![Open in Colab]({_COLAB}/assets/colab-badge.svg)]({colab})"
    name = section.id.partition("/")[2].replace("_", "&nbsp;")  # a line each, on a narrow page, too
    return f"[{name}]({path})&nbsp;{badge}"


def _reached(sections: Sequence[Section], results_dir: Path) -> str:
    """Every judged number beside its target, then data and device."""
    told: list[str] = []
    data: list[str] = []
    devices: list[str] = []
    for section in sections:
        folder = results_dir / section.id
        if not (folder / result_files.FILE_NAME).is_file():
            continue
        found = Outcome(section, folder, "ok", "", result_files.read_results(folder))
        for number in found.numbers:
            if number.judgement in ("reached", "missed"):
                weights = found.results["metrics"][number.name].get("weights")
                with_weights = f" with {weights}" if weights else ""
                target = f"target {number.target}: {number.judgement}"
                told.append(f"{number.label}{with_weights}: **{number.value}** ({target})")
        data += [f"{name} ({kind['kind']})" for name, kind in found.results["provenance"].items()]
        devices.append(found.results["device"].partition(" (")[0])
    where = [*dict.fromkeys(data), *dict.fromkeys(devices)]
    return "<br>".join([*told, f"*{', '.join(where)}*"] if where else told)


def index_table(course: Manifest) -> str:
    """A row a section, in Markdown, with links that work from the folder of notebooks."""
    rows = ["| notebook | what it does |", "| --- | --- |"]
    for section in course.sections.values():
        optional = " (optional)" if section.optional else ""
        rows.append(f"| [{section.id}]({section.id}.ipynb) | {section.about}{optional} |")
    return "\n".join(rows)


def course_overview() -> Any:
    """What was run here so far: of every section the newest run, as a table for a notebook."""
    from IPython.display import Markdown

    rows = ["| section | run | result |", "| --- | --- | --- |"]
    for section in manifest.load().sections.values():
        if not (places := runs_with(section.id, result_files.FILE_NAME)):
            continue
        name, folder = max(places, key=lambda place: _made(place[1]))
        found = outcome(section, folder)
        if not found.results:
            rows.append(f"| [{section.title}]({section.id}.ipynb) | {name}: unreadable | |")
            continue
        kinds = ", ".join(found.kinds)
        status = "by hand" if found.status == "not run" else found.status
        started = found.results.get("started", "")
        run = f"{name}: {status}, {found.results['profile']}, {kinds}, {started}"
        page = folder / f"{folder.name}.html"
        if page.exists():
            run += f" ([read]({Path(os.path.relpath(page)).as_posix()}))"
        judged = [number for number in found.numbers if number.judgement] or found.numbers[:1]
        told = (
            f"{n.label}: {n.value}" + (f" ({n.target}, {n.judgement})" if n.judgement else "")
            for n in judged
        )
        rows.append(f"| [{section.title}]({section.id}.ipynb) | {run} | {'<br>'.join(told)} |")
    if len(rows) == 2:
        return Markdown("Nothing was run here so far.")
    return Markdown("\n".join(rows))


def _made(folder: Path) -> float:
    return (folder / result_files.FILE_NAME).stat().st_mtime
