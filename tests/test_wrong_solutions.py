"""Typical wrong solutions fail at their own check, with a sentence that helps; right ones pass."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import nbformat
import pytest
from try_solutions import Cell, tomllib, try_all_in

from cvhelpers import manifest
from cvhelpers.coursework.template import BEGIN, END

HERE = Path(__file__).resolve().parent
SECTIONS = list(manifest.load().sections)
# What every notebook imports: read once, before the processes part.
HEAVY = ["torchvision.models", "torchinfo", "scipy.stats", "pandas", "matplotlib.pyplot"]
HEAVY += ["cvhelpers.run", "cvhelpers.checks", "cvhelpers.models", "cvhelpers.visualize"]


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Processes of their own, one a section, since the code of a notebook is `__main__`."""
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in ways else "spawn")
    if hasattr(context, "set_forkserver_preload"):
        context.set_forkserver_preload(HEAVY)
    with context.Pool(1, maxtasksperchild=1) as processes:
        yield processes


@pytest.mark.parametrize("section", SECTIONS)
def test_checks_catch_typical_slips(
    section: str, pool: Pool, tmp_path: Path, data_folder: Path
) -> None:
    """A wrong solution fails with the words that its entry names, or with a sentence of a check."""
    places = {"CVHELPERS_RUN_DIR": f"{tmp_path / 'runs'}", "CVHELPERS_DATA_DIR": f"{data_folder}"}
    results = pool.apply(try_all_in, (section, tmp_path, places))
    surprises = [
        f"{tried['stub']}, {tried['name']}: {tried['kind'] or 'passed'}: {tried['message']}"
        for tried in results
        if not as_expected(tried)
    ]
    assert not surprises, "\n".join(surprises)


def as_expected(tried: dict[str, Any]) -> bool:
    """A right solution passes; a wrong one meets the words of its entry, or else a sentence."""
    if tried.get("right"):
        return not tried["kind"]
    if says := tried.get("says"):
        return says in tried["message"]
    return tried["kind"] == "AssertionError" and " " in tried["message"]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_stub_is_tried(section: str) -> None:
    """At least three wrong solutions each; two where a stub is a line or two."""
    notebook = nbformat.read(HERE.parent / "notebooks" / f"{section}.ipynb", as_version=4)
    tried = tomllib.loads((HERE / "wrong_solutions" / f"{section}.toml").read_text("utf-8"))
    few = {}
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and BEGIN in cell.source:
            name = Cell(number, frozenset(), cell.source).defines
            wrong = [entry for entry in tried.get(name, []) if not entry.get("right")]
            short = len(cell.source.partition(BEGIN)[2].partition(END)[0].splitlines()) <= 4
            if len(wrong) < (2 if short else 3):
                few[name] = len(wrong)
    assert not few, f"wrong solutions tried: {few}"
