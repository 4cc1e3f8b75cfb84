"""A hand-in brought back to where its checks can be run: the originals, at their places."""

from __future__ import annotations

import copy
import re
from bisect import bisect_left
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from cvhelpers.coursework.points import defined, parsed
from cvhelpers.headless.parameters import tags

ORIGINAL = "cvhelpers_check"  # metadata key of a check that was put in: its id in the template
_ALIKE = 0.6  # of two texts' characters, in order: an edited cell is still the same one


def restored(cells: Sequence[Any], given: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """The student's cells with every check replaced by the template's own; and what was found.

    Cells are recognised by their text, their id, the names they define or their question, so
    that it does not matter which of these an editor has lost. All checks of the student's notebook
    are taken out, and every check of the template is put where it belongs: edited, deleted, copied
    or moved ones are thereby mended. A solution that stands out of order goes to its place as well,
    and one that was code and now is text is code again.
    """
    cells, notes = [copy.deepcopy(cell) for cell in cells], []
    match = matches(cells, given)
    ids = {cell.get("id") for cell in cells}
    if match and not ids & {one.id for one in given}:
        notes.append("cell ids are lost, as some editors lose them")
    for index, place in match.items():
        was, now = given[index], cells[place]
        if was.cell_type == "code" != now.cell_type and parsed(now.source) is not None:
            notes.append(f"cell {place + 1} had become {now.cell_type}: run as code again")
            now.cell_type, now.outputs, now.execution_count = "code", [], None
    checks = [index for index, one in enumerate(given) if "check" in tags(one)]
    notes += _changes(cells, given, checks, match)
    anchors = [index for index in sorted(match) if index not in checks]
    kept = set(rising([match[index] for index in anchors]))
    steady = [index for index in anchors if match[index] in kept]
    astray = [i for i in anchors if i not in steady and "solution" in tags(given[i])]
    notes += [f"cell {match[i] + 1}, a solution, stood elsewhere: run at its place" for i in astray]
    originals = {given[index].source.strip() for index in checks}
    out = {match[index] for index in [*checks, *astray] if index in match}
    out |= {place for place, cell in enumerate(cells) if cell.source.strip() in originals}
    behind: dict[int, list[Any]] = {}
    for index in sorted([*checks, *astray]):
        cell = copy.deepcopy(cells[match[index]] if index in astray else given[index])
        if index in checks:
            cell.metadata[ORIGINAL] = cell.id
        place = max((match[i] for i in steady if i < index), default=-1)
        behind.setdefault(place, []).append(cell)
        if index in checks and index in match and match[index] < place:
            notes.append(f"cell {match[index] + 1}, a check, stood before its code: put behind it")
    new = list(behind.get(-1, []))
    for place, cell in enumerate(cells):
        new += [] if place in out else [cell]
        new += behind.get(place, [])
    return new, notes


def matches(cells: Sequence[Any], given: Sequence[Any]) -> dict[int, int]:
    """For cells of the template the student's: by text, id, names, question, likeness."""
    found: dict[int, int] = {}
    free = dict(enumerate(cells))

    def same_text(one: Any, cell: Any) -> bool:
        return bool(cell.source.strip() == one.source.strip())

    def same_id(one: Any, cell: Any) -> bool:
        return bool(cell.get("id") == one.id)

    def same_purpose(one: Any, cell: Any) -> bool:
        if one.cell_type == "markdown":
            line = one.source.partition("\n")[0].strip()
            return len(line) > 12 and cell.source.strip().startswith(line)
        names = defined(one.source) or _functions(one.source)
        return bool(names) and names <= (defined(cell.source) | _functions(cell.source))

    def take(index: int, place: int | None) -> None:
        if place is not None:
            found[index] = place
            del free[place]

    for index, one in enumerate(given):
        take(index, next((p for p, cell in free.items() if same_text(one, cell)), None))
    for index, one in enumerate(given):  # a solution by its names: its parts may have parted
        if index not in found and "solution" in tags(one):
            names = _functions(one.source)
            parts = [p for p, cell in free.items() if names & _functions(cell.source)]
            take(index, max(parts, default=None))
    for same in (same_id, same_purpose):
        for index, one in enumerate(given):
            if index not in found:
                take(index, next((p for p, cell in free.items() if same(one, cell)), None))
    for index, one in enumerate(given):
        if index not in found and "check" in tags(one):
            take(index, _nearest(one.source, free))
    return found


def _nearest(source: str, free: dict[int, Any]) -> int | None:
    """The place of the text most like this one, if it is alike enough."""
    best, place = _ALIKE, None
    for at, cell in free.items():
        matcher = SequenceMatcher(None, source, cell.source, autojunk=False)
        if matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
            best, place = ratio, at
    return place


def _functions(source: str) -> set[str]:
    """Names of functions and classes, also where the cell is no Python (yet)."""
    return set(re.findall(r"^(?:def|class) (\w+)", source, re.MULTILINE))


def _changes(
    cells: Sequence[Any], given: Sequence[Any], checks: list[int], match: dict[int, int]
) -> list[str]:
    """What became of the checks, in words."""
    notes = []
    counts: dict[str, int] = {}
    for cell in cells:
        counts[cell.source.strip()] = counts.get(cell.source.strip(), 0) + 1
    for index in checks:
        text = given[index].source.strip()
        if index not in match:
            notes.append(f"check {given[index].id} was deleted: the original is put back")
            continue
        place = match[index]
        if cells[place].source.strip() != text:
            notes.append(f"cell {place + 1}, a check, was edited: the original is put back")
        if counts.get(text, 0) > 1:
            notes.append(f"cell {place + 1}, a check, is there {counts[text]} times: run once")
    ids = [cell.get("id") for cell in cells if cell.get("id")]
    if len(ids) > len(set(ids)):
        notes.append("cells were copied with their ids")
    return notes


def rising(places: list[int]) -> list[int]:
    """The longest rising part of a sequence; what is out of order is left out (patience)."""
    tops: list[int] = []
    piles: list[list[int]] = []
    for place in places:
        at = bisect_left(tops, place)
        chain = [*(piles[at - 1] if at else []), place]
        tops[at : at + 1], piles[at : at + 1] = [place], [chain]
    return piles[-1] if piles else []
