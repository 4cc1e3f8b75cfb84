"""Code shown in a notebook: whole, and as a diff."""

import fake_data

from cvhelpers.visualize import show_changes, show_source


def test_the_packages_source_is_shown() -> None:
    shown = show_source(fake_data.read)
    assert shown.data.startswith("def read(folder: Path, size: int)")
    assert "<span" in shown._repr_html_()  # highlighted


def one_step(rate: float) -> float:
    ### BEGIN SOLUTION
    return rate * 2
    ### END SOLUTION


def two_steps(rate: float) -> float:
    return rate * 2 * 2


def test_changes_are_shown_as_a_diff() -> None:
    lines = show_changes(one_step, two_steps).data.splitlines()
    assert lines[:2] == ["--- one_step", "+++ two_steps"]
    removed = [line for line in lines[2:] if line.startswith("-")]
    added = [line for line in lines[2:] if line.startswith("+")]
    assert removed == ["-def one_step(rate: float) -> float:", "-    return rate * 2"]
    assert added == ["+def two_steps(rate: float) -> float:", "+    return rate * 2 * 2"]
    assert show_changes(one_step, one_step).data == ""
