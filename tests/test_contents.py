"""headless.contents: the front page and the index tell what manifest and results say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fake_course import make_course, make_front_page, results, write_run

from cvhelpers import manifest
from cvhelpers.headless.contents import (
    course_overview,
    index_table,
    put,
    repository_address,
    sections_table,
    write_contents,
)

ROOT = Path(__file__).resolve().parents[1]
LIONS = "1_zoo/1_lions"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_course(tmp_path)
    make_front_page(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_front_page_and_the_index_are_up_to_date() -> None:
    course = manifest.load()
    table = sections_table(course, repository_address(ROOT), ROOT / "results")
    marks = "<!-- sections:begin -->\n{}\n<!-- sections:end -->"
    told = "write them again: python -m cvhelpers tables"
    assert marks.format(table) in (ROOT / "README.md").read_text(encoding="utf-8"), told
    index = json.loads((ROOT / "notebooks/index.ipynb").read_text(encoding="utf-8"))
    assert "".join(index["cells"][1]["source"]) == index_table(course), told
    assert all(section.about for section in course.sections.values()), "a line for each notebook"


def test_every_link_of_a_page_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("notebooks/*.md"), *ROOT.glob("notebooks/*/*.md")]
    pages += [ROOT / "results/README.md", ROOT / "cvhelpers/README.md", ROOT / "data/README.md"]
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if not link.startswith(("http", "#")):
                assert (page.parent / link.partition("#")[0]).exists(), f"{page}: {link}"
    index = json.loads((ROOT / "notebooks/index.ipynb").read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", "".join(index["cells"][1]["source"]))
    assert len(links) == len(manifest.load().sections)
    assert all((ROOT / "notebooks" / link).exists() for link in links)


def test_the_front_page_fits_on_two_screens() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 80


def test_a_row_has_notebooks_badges_and_what_was_reached(root: Path) -> None:
    folder = root / "results" / LIONS
    write_run(folder, results())
    course = manifest.load()
    table = sections_table(course, "ada/zoo", root / "results")
    (row,) = table.splitlines()[2:]
    assert row.startswith(
        "| The zoo | [1&nbsp;lions](notebooks/1_zoo/1_lions.ipynb)&nbsp;[![Open in Colab]"
    )
    assert "/github/ada/zoo/blob/v" in row
    assert "lions, accuracy: **65.0 %** (target ≥ 70.0 %: missed)<br>*savannah (real), CPU*" in row
    write_contents()
    assert table in (root / "README.md").read_text(encoding="utf-8")
    index = json.loads((root / "notebooks/index.ipynb").read_text(encoding="utf-8"))
    assert "".join(index["cells"][1]["source"]) == index_table(course)
    assert "[1_zoo/2_tigers](1_zoo/2_tigers.ipynb) |  (optional) |" in index_table(course)


def test_what_was_run_so_far(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CVHELPERS_RUN_DIR", raising=False)
    monkeypatch.delenv("CVHELPERS_HEADLESS", raising=False)
    monkeypatch.chdir(root / "notebooks")
    assert course_overview().data == "Nothing was run here so far."
    write_run(root / "runs" / "quick" / LIONS, results())
    (root / "runs/quick" / LIONS / "1_lions.html").touch()
    told = course_overview().data
    assert "[Counting lions](1_zoo/1_lions.ipynb) | quick: ok, smoke, real, 2026-11-21" in told
    assert f"([read](../runs/quick/{LIONS}/1_lions.html))" in told
    assert "lions, accuracy: 65.0 % (≥ 70.0 %, missed)" in told
    assert "tigers" not in told
    (root / "runs/quick" / LIONS / "results.json").write_text("{")
    assert "quick: unreadable" in course_overview().data


def test_what_cannot_be_written_is_named(root: Path) -> None:
    (root / "README.md").write_text("<!-- sections:begin --> only")
    with pytest.raises(ValueError, match=r"README\.md: put `<!-- sections:begin -->` and"):
        put(root / "README.md", "sections", "table")
    assert (root / "README.md").read_text() == "<!-- sections:begin --> only"
    (root / "pyproject.toml").write_text("")
    with pytest.raises(ValueError, match=r"pyproject\.toml has no line Repository"):
        repository_address(root)
