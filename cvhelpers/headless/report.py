"""One self-contained HTML page about a run: status, numbers beside targets, figures."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path
from typing import Any

from cvhelpers import manifest
from cvhelpers import results as result_files
from cvhelpers.headless.execute import notebook_files, run_folder
from cvhelpers.headless.outcome import Outcome, duration, outcome


def write_report(name: str | None = None) -> Path:
    """Write `runs/<name>/report.html`; every section of the manifest stands in it.

    The page is `report.html` beside this file, filled in: CSS inside, figures embedded.
    """
    import jinja2

    run = run_folder(name)
    if not run.is_dir():
        raise ValueError(f"{run}: there is no such run; begin with `make run-all`")
    course = manifest.load()
    outcomes = [outcome(section, run / section.id) for section in course.sections.values()]
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    page = jinja2.Environment(loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {"duration": duration, "figures": _figures, "notebooks": _notebooks}
    text = page.get_template("report.html").render(
        name=run.name,
        now=f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M}",
        assignments=course.assignments.values(),
        outcomes=outcomes,
        kinds={kind: sum(kind in o.kinds for o in outcomes) for kind in result_files.KINDS},
    )
    return result_files.atomic_write(run / "report.html", text)


def _figures(o: Outcome) -> list[dict[str, Any]]:
    """The section's figures, the main one first, each with its PNG as a data address."""
    found = []
    for name, figure in o.results.get("figures", {}).items():
        if (path := o.folder / figure["file"]).is_file():
            picture = base64.b64encode(path.read_bytes()).decode()
            found.append({"name": name, "src": f"data:image/png;base64,{picture}", **figure})
    return sorted(found, key=lambda figure: figure["name"] != o.section.main_figure)


def _notebooks(o: Outcome) -> list[str]:
    """Names of the executed notebook and, where it was made, its HTML form."""
    files = [*notebook_files(o.folder), o.folder / f"{o.folder.name}.html"]
    return [path.name for path in files if path.exists()]
