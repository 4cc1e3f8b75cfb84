"""coursework.teaching: the teachers' pages tell what manifest and results say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fake_course import make_front_page

from cvhelpers import manifest
from cvhelpers.coursework.teaching import BEGIN, END, table_of, write_tables

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("assignment", manifest.load().assignments)
def test_the_pages_are_up_to_date(assignment: str) -> None:
    page = (ROOT / "notebooks" / assignment / "TEACHING.md").read_text(encoding="utf-8")
    table = table_of(manifest.load(), assignment)
    assert f"{BEGIN}\n{table}\n{END}" in page, "write them again: python -m cvhelpers tables"
    assert len(re.findall(r"^\d\. \*\*.*\?.*\*\*$", page, re.MULTILINE)) == 5, "five questions"


def test_a_page_without_marks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks/1_flowers").mkdir(parents=True)
    (tmp_path / "notebooks/course.toml").write_text((ROOT / "notebooks/course.toml").read_text())
    (tmp_path / "notebooks/1_flowers/TEACHING.md").write_text("words")
    make_front_page(tmp_path)
    (tmp_path / "results").mkdir()
    marks = "<!-- results:begin --><!-- results:end -->"
    (tmp_path / "results/README.md").write_text(marks)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="the table stands between"):
        write_tables()
