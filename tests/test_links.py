"""coursework.links: one command points badges and setup cells at another repository."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from cvhelpers.coursework.links import set_repository

ROOT = Path(__file__).parents[1]
ADDRESS = re.search(r"github.com/(.+)\"", (ROOT / "pyproject.toml").read_text())[1]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_link_moves_and_back_again(tree: Path) -> None:
    notebooks = sorted((tree / "notebooks").glob("[0-9]*/[0-9]*.ipynb"))
    before = [path.read_text() for path in (tree / "README.md", *notebooks)]
    told = set_repository("ada/vision-course")
    assert f"{len(notebooks) + 1} files now point at ada/vision-course" in told
    assert (
        'Repository = "https://github.com/ada/vision-course"'
        in (tree / "pyproject.toml").read_text()
    )
    for path in notebooks:
        text = path.read_text()
        assert "colab/github" not in text
        assert ADDRESS not in text
        assert text.count("ada/vision-course") == 2  # badge and setup cell
    front = (tree / "README.md").read_text()
    assert front.count("/github/ada/vision-course/blob/") == len(notebooks)  # a badge each
    assert ADDRESS not in front
    set_repository(ADDRESS)
    assert [path.read_text() for path in (tree / "README.md", *notebooks)] == before


@pytest.mark.parametrize(
    "wrong", ["https://github.com/a/b", "a", "a/b/c", "a b/c", "../..", "a/b.git"]
)
def test_another_form_is_refused(tree: Path, wrong: str) -> None:
    with pytest.raises(ValueError, match="write OWNER/NAME"):
        set_repository(wrong)


def test_no_address_to_change(tree: Path) -> None:
    (tree / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(ValueError, match="has no line Repository"):
        set_repository("a/b")
