"""coursework.points: what is graded, and what it is worth."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest

from cvhelpers import manifest
from cvhelpers.coursework.points import defined, graded_parts, needed, points_of
from cvhelpers.headless.parameters import read_notebook, tags

SOLUTION = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"


def code(source: str, *own: str) -> Any:
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(own)})


def answer() -> Any:
    return nbformat.v4.new_markdown_cell("**Question.** Why?\n\nSo.", metadata={"tags": ["answer"]})


def test_checks_of_what_is_handed_out_are_worth_nothing() -> None:
    cells = [
        code("train = [1, 2]"),
        code("assert len(train) == 2", "check"),
        code(SOLUTION, "solution"),
        code("assert double(3) == 6", "check"),
        code("assert double(4) == 8", "check"),
        answer(),
        code("made = [double(x) for x in train]"),
        code("assert made == [2, 4]", "check"),  # only there if `double` works
        code("made = [1]"),
        code("assert made == [1]", "check"),  # no more the student's
        code("def told(x):\n    return double(x)", "check"),  # asserts nothing
        code("assert told(1) == 2", "check"),
        code('assert run.profile == "smoke" or double(1) > 1', "check"),
        code("real.claim(double(2))", "evidence"),
    ]
    assert graded_parts(cells) == [[3, 4], [5], [7, 11]]
    assert points_of(cells, 10) == pytest.approx(
        {3: 1.67, 4: 1.66, 5: 3.34, 7: 1.66, 11: 1.67}, abs=0.011
    )
    assert sum(points_of(cells, 10).values()) == pytest.approx(10, abs=1e-9)


def test_names() -> None:
    assert defined("import os\nx, (y, z) = 1, (2, 3)\ndef f(a): b = 1\nclass C: pass") == {
        *("x", "y", "z", "f", "C")
    }
    assert needed("x = y\nprint(x, [k for k in z])") == {"y", "z", "print"}
    assert needed("def f():\n    return inner\nf()", inside=False) == set()
    assert needed("%pip install x\na + b") == {"a", "b"}
    assert needed("what are those?") == defined("what are those?") == set()


def test_no_graded_part_gives_no_points() -> None:
    assert points_of([code("1 + 1")], 5) == {}


@pytest.mark.parametrize("section", manifest.load().sections)
def test_every_section_has_points_for_checks_and_answers(section: str) -> None:
    entry = manifest.load().sections[section]
    cells = read_notebook(manifest.repository_root() / f"notebooks/{section}.ipynb").cells
    shares = points_of(cells, entry.points)
    assert sum(shares.values()) == pytest.approx(entry.points)
    assert entry.points > 0
    for kind in ("check", "answer"):
        assert any(kind in tags(cells[index]) for index in shares)


def test_each_assignments_required_points() -> None:
    course = manifest.load()
    given = {"1_flowers": 20, "2_caltech101": 100}
    for assignment in course.assignments.values():
        required = [s.points for s in course.sections_of(assignment.id) if not s.optional]
        assert sum(required) == given.get(assignment.id, 100)
        assert (assignment.points_by == "the assignment") == (assignment.id in given)
