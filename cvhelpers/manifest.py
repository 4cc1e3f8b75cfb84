"""The manifest `notebooks/course.toml`: sections, required metrics and figures, targets, points."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cvhelpers.results import KINDS
from cvhelpers.runtime import PROFILES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FILE = Path("notebooks") / "course.toml"
_PACKAGE = Path(__file__).resolve().parent
_Built = TypeVar("_Built")


@dataclass(frozen=True)
class Metric:
    """A number that a section must report, and the target on the data it holds for.

    Accuracies and their targets are fractions, 0..1. `points` is a scale of (bar, points).
    `target_weights` are backbones: where there are any, the target holds for a net whose pretrained
    weights are one's of them, and for no other.
    """

    name: str
    label: str
    better: str = "higher"
    target: float | None = None
    target_provenance: tuple[str, ...] = ("real",)
    target_weights: tuple[str, ...] = ()
    points: tuple[tuple[float, float], ...] = ()

    def counts(self, kinds: Iterable[str], weights: str = "") -> bool:
        """Whether target and points hold for a result: its data's kinds, its pretrained weights."""
        named = not self.target_weights or weights in self.target_weights
        return bool(kinds := set(kinds)) and kinds <= set(self.target_provenance) and named

    def reached(self, value: float, kinds: Iterable[str], weights: str = "") -> bool | None:
        """Whether the target is met; None without one, or where data or weights do not count."""
        if self.target is None or not self.counts(kinds, weights):
            return None
        return self._reaches(value, self.target)

    def points_for(self, value: float) -> float | None:
        """Points of the assignment's scale: 0 below its first bar, None without a scale."""
        if not self.points:
            return None
        return max((points for bar, points in self.points if self._reaches(value, bar)), default=0)

    def _reaches(self, value: float, bar: float) -> bool:
        return value >= bar if self.better == "higher" else value <= bar


@dataclass(frozen=True)
class Section:
    """One notebook: what it must deliver, and how many seconds a profile may take.

    `about`: in a line, what the notebook does. `pictures` are the figures that show images of the
    data set, or what is left of them in a net's maps: they stay in the run, since the repository
    holds nobody else's images.
    """

    id: str
    title: str
    main_figure: str
    figures: tuple[str, ...]
    about: str = ""
    pictures: tuple[str, ...] = ()
    optional: bool = False
    points: float = 0
    data: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    timeout: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)

    @property
    def assignment(self) -> str:
        """The folder in the id: `2_caltech101`."""
        return self.id.split("/")[0]

    @property
    def scale(self) -> float:
        """How many of the section's points its metrics' scales give at most."""
        return sum(metric.points[-1][1] for metric in self.metrics.values() if metric.points)


@dataclass(frozen=True)
class Assignment:
    """One assignment: what its hand-in is called and made of.

    `points_by`: who gives the sections their points, the assignment or this pack. `report`: what
    is read shows results, and code only where a cell is tagged `show-code`. `several`: more than
    one notebook may be handed in. `closing`: questions about sources and tools that the course
    wants answered at the end.
    """

    id: str
    title: str
    template: str
    points_by: str = "the assignment"
    formats: tuple[str, ...] = ("ipynb",)
    report: bool = False
    several: bool = False
    closing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The whole course, in the file's order."""

    assignments: dict[str, Assignment]
    sections: dict[str, Section]

    def section(self, wanted: str) -> Section:
        """Return a section by its id or its notebook's path. ValueError names near ids."""
        wanted = wanted.removeprefix("notebooks/").removesuffix(".ipynb")
        if wanted not in self.sections:
            raise ValueError(f"unknown section {wanted!r}; {near(wanted, self.sections)}")
        return self.sections[wanted]

    def assignment(self, wanted: str) -> Assignment:
        """Return an assignment by its id. ValueError names near ids."""
        if wanted not in self.assignments:
            raise ValueError(f"unknown assignment {wanted!r}; {near(wanted, self.assignments)}")
        return self.assignments[wanted]

    def sections_of(self, assignment: str) -> list[Section]:
        """The sections of an assignment, in the file's order."""
        return [one for one in self.sections.values() if one.assignment == assignment]


def near(wanted: str, known: Iterable[str]) -> str:
    """Say what `wanted` may have meant, then all there is: the end of an error message."""
    known = list(known)
    close = difflib.get_close_matches(wanted, known, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}choose from: {', '.join(known) or 'none there'}"


def repository_root() -> Path:
    """The course's checkout: above the working directory, else the package's, else the cwd."""
    cwd = Path.cwd()
    above = (cwd, *cwd.parents, _PACKAGE.parent)
    return next((folder for folder in above if (folder / _FILE).is_file()), cwd)


def load(path: str | Path | None = None) -> Manifest:
    """Read and check the manifest: `path`, else the checkout's, else the package's own copy.

    Raises:
        ValueError: names the file, the entry and the mend, for anything that does not fit.
    """
    path = Path(path or repository_root() / _FILE)
    if not path.is_file():
        path = _PACKAGE / "course.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        _known(content, ("assignments", "sections"), "the file")
        assignments = {
            name: _assignment({"id": name, **table}, f"assignments.{name}")
            for name, table in content.get("assignments", {}).items()
        }
        sections: dict[str, Section] = {}
        for table in content.get("sections", []):
            section = _section(table, assignments, sections)
            sections[section.id] = section
    except (OSError, ValueError) as error:  # a TOML error is a ValueError
        raise ValueError(f"{path}: {error}") from None
    return Manifest(assignments, sections)


FORMATS = ("ipynb", "html", "pdf", "md", "zip")
_TOML = {"str": (str,), "bool": (bool,), "float": (float, int), "tuple": (list,), "dict": (dict,)}


def _need(fine: bool, message: str) -> None:
    if not fine:
        raise ValueError(message)


def _known(table: dict[str, Any], keys: Iterable[str], where: str) -> None:
    for key in table:
        _need(key in keys, f"{where}: unknown key {key!r}; {near(key, keys)}")


def _build(kind: type[_Built], table: dict[str, Any], where: str) -> _Built:
    """Make a dataclass of a TOML table: every key known and of its type, none missing."""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    _known(table, fields, where)
    for name, f in fields.items():
        required = f.default is f.default_factory is dataclasses.MISSING
        _need(name in table or not required, f"{where}: {name} is missing; add it")
        annotation = str(f.type).partition("[")[0].partition(" ")[0]
        types, value = _TOML[annotation], table.get(name)
        # type(), because True is an int as well
        fits = value is None or type(value) in types
        _need(fits, f"{where}: {name} = {value!r} must be of type {types[0].__name__}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})


def _assignment(table: dict[str, Any], where: str) -> Assignment:
    assignment = _build(Assignment, table, where)
    for one in assignment.formats:
        _need(one in FORMATS, f"{where}: formats names {one!r}; {near(one, FORMATS)}")
    return assignment


def _section(
    table: dict[str, Any], assignments: Iterable[str], earlier: dict[str, Section]
) -> Section:
    where = f"section {table.get('id', 'without id')}"
    metrics = {
        name: _metric({"name": name, **entry}, f"{where}: metric {name}")
        for name, entry in table.get("metrics", {}).items()
    }
    section = _build(Section, {**table, "metrics": metrics}, where)
    _known(section.timeout, PROFILES, f"{where}: timeout")
    fine = section.id.count("/") == 1 and section.assignment in assignments
    _need(fine, f"{where}: id must be ASSIGNMENT/NOTEBOOK; {near('', assignments)}")
    _need(section.id not in earlier, f"{where}: duplicate id; rename or remove one")
    main = section.main_figure
    _need(main in section.figures, f"{where}: main_figure {main!r} is not in figures; add it there")
    for other in section.after:
        _need(other in earlier, f"{where}: after names {other!r}; {near(other, earlier)}")
    return section


def _metric(table: dict[str, Any], where: str) -> Metric:
    metric = _build(Metric, table, where)
    better, scale = metric.better, metric.points
    _need(better in ("higher", "lower"), f"{where}: better = {better!r}; write higher or lower")
    judged = metric.target is not None or bool(scale)
    _need("better" in table or not judged, f"{where}: a target without better; add higher or lower")
    for kind in metric.target_provenance:
        _need(kind in KINDS, f"{where}: target_provenance {kind!r}; {near(kind, KINDS)}")
    pairs = all(isinstance(step, list) and len(step) == 2 for step in scale)
    _need(pairs, f"{where}: points = {list(scale)!r}; write [[bar, points], ...]")
    bars, given = [bar for bar, _ in scale], [points for _, points in scale]
    fine = bars == sorted(bars, reverse=better == "lower") and given == sorted(given)
    _need(fine, f"{where}: points are not sorted; begin with the easiest bar")
    return metric
