"""coursework.nbgrader: one whole assignment through nbgrader itself, solved and untouched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from cvhelpers import manifest
from cvhelpers.coursework.nbgrader import make_nbgrader
from cvhelpers.coursework.template import PROMPT, STUB

ASSIGNMENT = "1_flowers"


def test_every_assignment_becomes_a_valid_source(tmp_path: Path) -> None:
    course = manifest.load()
    for assignment in course.assignments:
        root = make_nbgrader(assignment, out_dir=tmp_path / assignment)
        points = 0.0
        for section in course.sections_of(assignment):
            name = section.id.rpartition("/")[2] + ".ipynb"
            notebook = nbformat.read(root / "source" / assignment / name, as_version=4)
            nbformat.validate(notebook)
            marks = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
            ids = [mark["grade_id"] for mark in marks if mark]
            assert len(ids) == len(set(ids))
            assert all("evidence" not in cell.metadata.get("tags", []) for cell in notebook.cells)
            worth = sum(mark.get("points", 0) for mark in marks)
            assert worth == pytest.approx(section.points)
            points += worth
        assert points == pytest.approx(sum(s.points for s in course.sections_of(assignment)))


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    make_nbgrader(ASSIGNMENT, out_dir=tmp_path)
    with pytest.raises(ValueError, match="exists, and may have been changed"):
        make_nbgrader(ASSIGNMENT, out_dir=tmp_path)
    with pytest.raises(ValueError, match="did you mean '1_flowers'"):
        make_nbgrader("1_flower", out_dir=tmp_path)


def test_the_round_trip(tmp_path: Path) -> None:
    """The solved notebooks get all points of their checks, the untouched release none."""
    root = make_nbgrader(ASSIGNMENT, out_dir=tmp_path / "course")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CVHELPERS_PROFILE": "smoke",
        "CVHELPERS_SOURCE": "sample",
        "CVHELPERS_HEADLESS": "1",
        "CVHELPERS_RUN_DIR": str(tmp_path / "runs"),
    }

    def nbgrader(*words: str) -> None:
        command = [sys.executable, "-m", "nbgrader", *words]
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]

    nbgrader("generate_assignment", ASSIGNMENT)
    released = [path.read_text() for path in (root / "release" / ASSIGNMENT).glob("*.ipynb")]
    assert len(released) == 4
    for text in released:
        assert "BEGIN SOLUTION" not in text
        assert STUB.replace('"', '\\"') in text
        assert PROMPT in text
    for student, kind in (("solved", "source"), ("untouched", "release")):
        shutil.copytree(root / kind / ASSIGNMENT, root / "submitted" / student / ASSIGNMENT)
    nbgrader("autograde", ASSIGNMENT)
    nbgrader("generate_feedback", ASSIGNMENT)
    assert len(list((root / "feedback").rglob("*.html"))) == 8
    nbgrader("export", "--to", str(tmp_path / "grades.csv"))

    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        for student in ("solved", "untouched"):
            submission = book.find_submission(ASSIGNMENT, student)
            assert submission.max_score == pytest.approx(20)
            for notebook in submission.notebooks:
                checks = [one for one in notebook.grades if one.cell.cell_type == "code"]
                assert checks
                for one in checks:
                    wanted = one.max_score if student == "solved" else 0
                    assert one.auto_score == wanted, f"{student}, {notebook.name}: {one.name}"
