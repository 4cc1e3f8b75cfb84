"""What became of the sections of a run: status, results, numbers as people read them."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvhelpers import results as result_files
from cvhelpers.headless.execute import FAILURE, notebook_files
from cvhelpers.manifest import Metric, Section


@dataclass(frozen=True)
class Number:
    """One metric, ready to print; `judgement`: reached, missed, not judged on this data, or ''."""

    name: str
    label: str
    value: str
    target: str
    judgement: str
    points: float | None
    note: str
    spread: str = ""


@dataclass(frozen=True)
class Outcome:
    """One section of a run: ok, failed, unfinished (running or killed) or not run."""

    section: Section
    folder: Path
    status: str
    reason: str
    results: dict[str, Any]  # empty where there are none

    @property
    def kinds(self) -> list[str]:
        """Provenance kinds of the data used."""
        return sorted({entry["kind"] for entry in self.results.get("provenance", {}).values()})

    @property
    def numbers(self) -> list[Number]:
        """The manifest's metrics, then those that the notebook recorded beyond them."""
        recorded = self.results.get("metrics", {})
        beyond = {
            name: Metric(name, name.replace("_", " "), better=entry["better"])
            for name, entry in recorded.items()
            if name not in self.section.metrics
        }
        metrics = (self.section.metrics | beyond).values()
        return [self._number(m, **recorded[m.name]) for m in metrics if m.name in recorded]

    @property
    def points(self) -> float | None:
        """Points that the assignment's scales give in all; None where no scale applies."""
        given = [number.points for number in self.numbers if number.points is not None]
        return sum(given) if given else None

    def _number(
        self,
        metric: Metric,
        value: float,
        note: str = "",
        weights: str = "",
        trials: Sequence[float | None] = (),
        **_: Any,
    ) -> Number:
        target, judgement = f"{metric.better} is better", ""
        if metric.target is not None:
            sign = "≥" if metric.better == "higher" else "≤"
            target = f"{sign} {shown(metric.name, metric.target)}"
            met = metric.reached(value, self.kinds, weights)
            judgement = {True: "reached", False: "missed", None: "not judged on this data"}[met]
            if met is None and metric.target_weights:
                judgement = "not judged on this data, or without these weights"
        points = metric.points_for(value) if metric.counts(self.kinds, weights) else None
        text = shown(metric.name, value)
        return Number(
            metric.name, metric.label, text, target, judgement, points, note,
            spread_of(metric.name, trials),
        )  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One metric in two runs; `unlike` says why the two numbers do not compare, or is empty."""

    section: Section
    label: str
    before: str
    after: str
    by: str
    unlike: str


def changes(before: Sequence[Outcome], after: Sequence[Outcome]) -> list[Change]:
    """What the metrics of a run are beside those of an earlier one, where both have them."""
    earlier = {one.section.id: one for one in before}
    found = []
    for now in after:
        then = earlier.get(now.section.id)
        if then is None or not (then.results and now.results):
            continue
        pairs = zip(_conditions(then), _conditions(now), strict=True)
        unlike = [f"{what}: {a} and {b}" for (what, a), (_, b) in pairs if a != b]
        old, new = then.results["metrics"], now.results["metrics"]
        for number in now.numbers:
            if number.name in old:
                was, by = old[number.name]["value"], new[number.name]["value"]
                found.append(
                    Change(now.section, number.label, shown(number.name, was), number.value,
                           _step(number.name, by - was), "; ".join(unlike))
                )  # fmt: skip
    return found


def _conditions(one: Outcome) -> list[tuple[str, str]]:
    """What two runs must have in common if their numbers are to compare."""
    results, words = one.results, shlex.split(one.results.get("command", ""))
    given = [f"{a} {b}" for flag, a, b in zip(words, words[1:], words[2:], strict=False)
             if flag == "-p"]  # fmt: skip
    return [
        ("profile", results["profile"]),
        ("data", ", ".join(one.kinds)),
        ("seed", str(results["seed"])),
        ("parameters", ", ".join(given) or "the notebook's own"),
    ]


def _step(name: str, by: float) -> str:
    """A difference with its sign; of percentages, in points."""
    text = shown(name, abs(by))
    sign = "+" if by > 0 else "−" if by < 0 else "±"
    return f"{sign}{_points(text)}"


def _points(text: str) -> str:
    """A difference of percentages is in points."""
    return text.replace(" %", " points")


def outcome(section: Section, folder: Path) -> Outcome:
    """Look at what a section left in its folder of a run."""
    running, failed, final = notebook_files(folder)
    results = {}
    try:
        results = result_files.read_results(folder)
        lacks = result_files.missing(results, metrics=section.metrics, figures=section.figures)
    except ValueError as error:
        lacks = [str(error)]
    status, reason = "not run", ""
    if failed.exists():
        notebook = json.loads(failed.read_text(encoding="utf-8"))
        status, reason = "failed", notebook["metadata"].get(FAILURE, "")
    elif running.exists():
        status, reason = "unfinished", "still running, or killed: the same command goes on"
    elif final.exists():
        status, reason = ("failed", f"results lack {', '.join(lacks)}") if lacks else ("ok", "")
    return Outcome(section, folder, status, reason, results)


def shown(name: str, value: float) -> str:
    """Write a number for people: accuracies and the like in percent, counts with separators."""
    if any(word in name for word in ("accuracy", "iou", "dice", "share")):
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.4g}"


def spread_of(name: str, trials: Sequence[float | None]) -> str:
    """Sum up the trials behind a number: how many, mean and standard deviation, the range.

    None stands for a trial without a finite value; it is counted.
    """
    finite = [one for one in trials if one is not None]
    if len(finite) < 2:
        return ""
    lost = "" if len(finite) == len(trials) else f" ({len(trials) - len(finite)} not finite)"
    mean, deviation = shown(name, statistics.mean(finite)), shown(name, statistics.stdev(finite))
    low, high, sd = shown(name, min(finite)), shown(name, max(finite)), _points(deviation)
    return f"{len(trials)} trials{lost}: mean {mean}, sd {sd}, {low} to {high}"


def duration(seconds: float) -> str:
    """Write seconds as `41 s`, `3 min` or `2 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
