"""Evidence for the repository: a run's results copied to `results/`, and the table of all."""

from __future__ import annotations

import shutil
from pathlib import Path

from cvhelpers import manifest
from cvhelpers import results as result_files
from cvhelpers.headless.contents import put, write_contents
from cvhelpers.headless.execute import run_folder
from cvhelpers.headless.outcome import Outcome, outcome
from cvhelpers.manifest import Manifest

_FIGURES = 2  # of a section: the main one and at most one other
_HEAD = "| Section | What | Value | Target | Data | Profile | Device | Seed | Date | Note |"


def update(name: str | None = None, beside: str | None = None) -> int:
    """Copy the evidence of `runs/<name>`, rewrite the tables that tell it, and say what was done.

    With `beside` it goes to a folder of that name within the section's own evidence, which stays:
    a small run that answers one question, beside the large one that it cannot replace.

    Returns 1 where a section was refused: what synthetic images gave is no evidence.
    """
    if beside and (not beside.isidentifier() or beside in ("figures", "tables")):
        raise ValueError(f"beside={beside!r}: one word, e.g. control, to name a folder")
    root, course, run = manifest.repository_root(), manifest.load(), run_folder(name)
    refused = 0
    for section in course.sections.values():
        found = outcome(section, run / section.id)
        if found.status != "ok":
            print(f"{section.id}: {found.status}, nothing copied")
        elif "sample" in found.kinds:
            refused = 1
            print(f"{section.id}: refused, it ran on the synthetic sample; give it real images")
        else:
            target = root / "results" / section.id / (beside or "")
            _copy(found, target)
            print(f"{section.id}: copied to {target.relative_to(root)}")
    write_evidence()
    return refused


def write_evidence() -> None:
    """Rewrite the tables that tell what lies under `results/`: there and on the front page."""
    root = manifest.repository_root()
    table = results_table(root / "results", manifest.load())
    put(root / "results" / "README.md", "results", table)
    write_contents()


def results_table(results_dir: Path, course: Manifest) -> str:
    """Make the table of `results/README.md`, in Markdown, from what lies under `results_dir`.

    Raises:
        ValueError: a section's results are broken, or came from the synthetic sample.
    """
    rows, commands = [_HEAD, "|" + " --- |" * (_HEAD.count("|") - 1)], []
    for section in course.sections.values():
        own = results_dir / section.id
        files = own.rglob(result_files.FILE_NAME)
        for folder in sorted((file.parent for file in files), key=lambda one: (one != own, one)):
            title = section.id if folder == own else f"{section.id}, {folder.name}"
            found = Outcome(section, folder, "ok", "", result_files.read_results(folder))
            if "sample" in found.kinds:
                raise ValueError(f"{folder}: from the synthetic sample, so no evidence; remove it")
            rows += _rows(found, title)
            commands.append(f"- {title}: `{found.results.get('command', 'by hand')}`")
    if not commands:
        return "No results yet."
    return "\n".join([*rows, "", "Made by:", "", *commands])


def _rows(found: Outcome, title: str) -> list[str]:
    """One row for each metric of the manifest."""
    r = found.results
    data = ", ".join(f"{name} ({entry['kind']})" for name, entry in r["provenance"].items())
    run = [data, r["profile"], r["device"], str(r["seed"]), r["started"][:10]]
    rows = []
    for number in found.numbers:
        if number.name in found.section.metrics:
            # A small run beside the section's own answers another question than the target asks.
            judged = number.judgement and title == found.section.id
            target = f"{number.target} ({number.judgement})" if judged else ""
            cells = [title, number.label, number.value, target, *run]
            cells = [cell.replace("|", "/") for cell in [*cells, number.note]]
            rows.append(f"| {' | '.join(cells)} |")
    return rows


def _copy(found: Outcome, target: Path) -> None:
    """Replace a section's evidence: results.json, its tables, the main and one other figure."""
    r, section = found.results, found.section
    plots = [name for name in r["figures"] if name not in section.pictures]
    names = sorted(plots, key=lambda name: name != section.main_figure)[:_FIGURES]
    kept = r | {"figures": {name: r["figures"][name] for name in names}}
    for part in ("figures", "tables"):  # what lies beside them stays
        shutil.rmtree(target / part, ignore_errors=True)
    for entry in [*kept["figures"].values(), *r.get("tables", {}).values()]:
        (target / entry["file"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found.folder / entry["file"], target / entry["file"])
    result_files.write_results(target, kept)
