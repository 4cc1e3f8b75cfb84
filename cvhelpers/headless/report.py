"""One self-contained HTML page about a run, and a small site of it that a web host can show."""

from __future__ import annotations

import base64
import datetime
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cvhelpers import manifest
from cvhelpers import results as result_files
from cvhelpers.headless.execute import notebook_files, run_folder
from cvhelpers.headless.outcome import Outcome, changes, duration, outcome
from cvhelpers.headless.page import headings, to_html, without_pictures

_THUMBNAIL = (240, 150)  # pixels: twice what is shown, for sharp screens


def write_report(name: str | None = None, compare: str | None = None) -> Path:
    """Write `runs/<name>/report.html`; every section of the manifest stands in it.

    With `compare`, another run's name, it also shows what changed from that one, and by how much.
    The page is `report.html` beside this file, filled in: CSS inside, figures embedded.
    """
    run, outcomes = _read(name)
    before = _read(compare)[1] if compare else []
    sections = [_section(one) for one in outcomes]
    page = _render(run.name, sections, other=compare, changes=changes(before, outcomes))
    return result_files.atomic_write(run / "report.html", page)


def write_gallery(name: str | None = None, out_dir: Path | None = None) -> Path:
    """Write a static site of a run: its report, and every executed notebook as a page.

    It goes to `runs/<name>/gallery/`, or a folder of your choice that must be new or a gallery.
    Pictures of the data set's images stay out, as their licences ask, unless they are synthetic:
    those that the manifest names, and those without a name.

    Raises:
        ValueError: no such run, nothing in it that came to its end, or a folder of something else.
    """
    import nbformat

    run, outcomes = _read(name)
    done = [one for one in outcomes if one.status == "ok"]
    if not done:
        raise ValueError(f"{run}: no section came to its end; there is nothing to show")
    site = out_dir or run / "gallery"
    if site.is_file() or (site.is_dir() and any(site.iterdir()) and not (site / _MARK).exists()):
        raise ValueError(f"{site} holds something else; name a new folder")
    shutil.rmtree(site, ignore_errors=True)
    result_files.atomic_write(site / _MARK, "")
    sections = []
    for one in done:
        folder = site / one.section.id
        final = notebook_files(one.folder)[-1]
        notebook = nbformat.read(final, as_version=4)
        if not set(one.kinds) <= {"sample"}:
            named = one.results.get("figures", {})
            notebook = without_pictures(notebook, set(named) - set(one.section.pictures))
        page = to_html(notebook, title=one.section.title)
        result_files.atomic_write(folder / f"{folder.name}.html", page)
        for table in one.results.get("tables", {}).values():
            target = folder / table["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one.folder / table["file"], target)
        sections.append(_section(one, published=page))
    return result_files.atomic_write(site / "index.html", _render(run.name, sections))


_MARK = ".gallery"  # a folder with this file is a gallery's own, and may be written anew


def _read(name: str | None) -> tuple[Path, list[Outcome]]:
    """A run's folder, and what became of every section in it."""
    run = run_folder(name)
    if not run.is_dir():
        raise ValueError(f"{run}: there is no such run; begin with `make run-all`")
    sections = manifest.load().sections.values()
    return run, [outcome(section, run / section.id) for section in sections]


def _render(name: str, sections: Sequence[dict[str, Any]], **more: Any) -> str:
    import jinja2

    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    page = jinja2.Environment(loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page.filters["duration"] = duration
    there = {one["outcome"].section.assignment for one in sections}
    return page.get_template("report.html").render(
        name=name,
        now=f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M}",
        assignments=[a for a in manifest.load().assignments.values() if a.id in there],
        sections=sections,
        kinds={
            kind: sum(kind in one["outcome"].kinds for one in sections)
            for kind in result_files.KINDS
        },
        **more,
    )


def _section(one: Outcome, published: str = "") -> dict[str, Any]:
    """What the page shows of a section: its outcome, figures, tasks and files beside the page.

    published: the section's page in a gallery, which shows no pictures of images and links to what
    the gallery holds.
    """
    figures = _figures(one)
    if published and not set(one.kinds) <= {"sample"}:
        figures = [figure for figure in figures if figure["name"] not in one.section.pictures]
    page = notebook_files(one.folder)[-1].with_suffix(".html")
    text = published or (page.read_text(encoding="utf-8") if page.exists() else "")
    files = [f"{page.name}"] if text else []
    if not published:
        files += [path.name for path in notebook_files(one.folder) if path.exists()]
    files += [table["file"] for table in one.results.get("tables", {}).values()]
    return {
        "outcome": one,
        "figures": figures,
        "page": page.name if text else "",
        "tasks": headings(text),
        "files": files,
        "published": bool(published),
    }


def _figures(one: Outcome) -> list[dict[str, Any]]:
    """The section's figures, the main one first, each with its PNG as a data address."""
    found = []
    for name, figure in one.results.get("figures", {}).items():
        if (path := one.folder / figure["file"]).is_file():
            content = path.read_bytes()
            found.append(
                {"name": name, "src": _address(content), "small": _thumbnail(content), **figure}
            )
    return sorted(found, key=lambda figure: figure["name"] != one.section.main_figure)


def _thumbnail(content: bytes) -> str:
    from PIL import Image

    small = io.BytesIO()
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture = picture.convert("RGB")
            picture.thumbnail(_THUMBNAIL)
            picture.save(small, "PNG")
    except OSError:  # a run that was killed may leave half of one
        return ""
    return _address(small.getvalue())


def _address(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
