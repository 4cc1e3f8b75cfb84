"""What would lose points in a student's notebook: every gap with its cell and the mend."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cvhelpers.coursework.points import is_answer
from cvhelpers.coursework.reports import uncaptioned
from cvhelpers.coursework.restore import matches, rising
from cvhelpers.coursework.template import PROMPT, STUB
from cvhelpers.manifest import Section

_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_STUBS = re.compile(re.escape(STUB) + r"|^\s*raise NotImplementedError\b", re.MULTILINE)


@dataclass(frozen=True)
class Gap:
    """One gap. `cell` counts from 1, 0 for the notebook as a whole; `optional`: costs nothing."""

    cell: int
    section: str
    what: str
    optional: bool = False

    def __str__(self) -> str:
        place = ", ".join(
            part for part in (self.cell and f"cell {self.cell}", self.section) if part
        )
        return f"{place}: {self.what}" if place else self.what


def find_gaps(
    cells: Sequence[Any], given: Sequence[Any], sections: Sequence[Section], *, captions: bool
) -> list[Gap]:
    """Hold a student's cells against the template's, `given`, of the same sections.

    With `captions` every picture needs one: the course asks for them.
    """
    places = _places(cells, given, sections)
    optional = {_title(given, section): section.optional for section in sections}
    gaps = [_gap(number, places, optional, what) for number, what in _cell_gaps(cells, captions)]
    there = {_plain(title) for cell in cells for title in _headings(cell)}
    match, section, gone = matches(cells, given), "", set()
    for index, cell in enumerate(given):
        for title in _headings(cell):
            section = title if title in optional else section
            if _plain(title) not in there and section not in gone:
                whole = title == section
                what = "it is left out" if whole else f"the heading {title!r} is missing"
                gaps.append(Gap(0, section, what, optional.get(section, False)))
                gone |= {section} if whole else set()
        if index not in match and section not in gone:
            gaps += [Gap(0, section, what, optional.get(section, False)) for what in _missing(cell)]
    if not any(cell.get("outputs") for cell in cells):
        gaps.append(Gap(0, "", "no cell has an output: run the notebook, then save it"))
    return gaps


def _missing(cell: Any) -> Iterator[str]:
    """What it costs that a cell of the template is gone."""
    first = cell.source.strip().partition("\n")[0]
    if is_answer(cell):
        yield f"the question is gone: {first.removeprefix('**Question.** ')!r}"
    elif {"solution", "check"} & set(cell.metadata.get("tags", [])):
        yield f"a cell is gone that began with {first!r}"


def _cell_gaps(cells: Sequence[Any], captions: bool) -> Iterator[tuple[int, str]]:
    counts = [cell.get("execution_count") or 0 for cell in cells if cell.cell_type == "code"]
    in_order = set(rising([count for count in counts if count]))
    for number, cell in enumerate(cells, 1):
        question = cell.cell_type == "markdown" and cell.source.startswith("**Question.**")
        if is_answer(cell) or question or PROMPT in cell.source:
            _, _, words = cell.source.partition("\n")
            if PROMPT in cell.source or not words.strip():
                yield number, "the question is unanswered"
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if _STUBS.search(cell.source):
            yield number, "a stub is left: your code is missing"
        count = cell.get("execution_count")
        if not count:
            yield number, "was never run"
        elif count not in in_order:
            yield number, "ran out of order: restart the kernel and run all"
        errors = [one for one in cell.outputs if one.output_type == "error"]
        if errors and "break-it" not in cell.metadata.get("tags", []):
            yield number, f"shows an error, {errors[0].get('ename', 'of some kind')}"
        for kind in uncaptioned(cell) if captions else ():
            mend = f'print("{kind}: ...") beside it, or run.save_{kind.lower()}(...)'
            yield number, f"a {kind.lower()} without a caption: {mend}"


def _gap(number: int, places: Sequence[str], optional: dict[str, bool], what: str) -> Gap:
    section = places[number - 1]
    return Gap(number, section, what, optional.get(section, False))


def _places(cells: Sequence[Any], given: Sequence[Any], sections: Sequence[Section]) -> list[str]:
    """For every cell the title of the section it stands in; the nearest above counts."""
    titles = {_title(given, section) for section in sections}
    place, places = "", []
    for cell in cells:
        place = next((title for title in _headings(cell) if title in titles), place)
        if "## Sources and tools" in cell.source:
            place = "Sources and tools"
        places.append(place)
    return places


def _title(given: Sequence[Any], section: Section) -> str:
    """The heading that a section begins with."""
    prefix = section.id.rpartition("/")[2].partition("_")[0] + "-"
    first = next(cell for cell in given if cell.id.startswith(prefix))
    return next(_headings(first), section.title)


def _headings(cell: Any) -> Iterator[str]:
    if cell.cell_type == "markdown":
        text = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
        yield from _HEADING.findall(text)


def _plain(title: str) -> str:
    """A heading without what students change harmlessly: case, dashes, points, spaces."""
    return re.sub(r"[\W_]+", " ", re.sub(r"\[.*?\]", "", title)).strip().lower()
