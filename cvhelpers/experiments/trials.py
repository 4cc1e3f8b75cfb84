"""Repeated trials: every variant trained with every seed, each finished one kept on disk."""

from __future__ import annotations

import copy
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from statistics import fmean
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from cvhelpers.fingerprint import fingerprint_of
from cvhelpers.results import atomic_write

TrainOne = Callable[..., Mapping[str, Any]]
_RECORD = ("options", "seed", "metrics", "history", "seconds")


@dataclass(frozen=True)
class Trials:
    """What the trials measured, as tidy tables: variants and seeds in the order they were given.

    `table` has a row a trial: variant, seed, a column a metric, seconds. `histories` has a row an
    epoch: variant, seed, then the columns of the trial's history.
    """

    table: pd.DataFrame
    histories: pd.DataFrame

    def of(self, variant: str, metric: str) -> list[float]:
        """One metric of one variant, a value a seed."""
        _known(variant, self.table["variant"].unique())
        _known(metric, self.table.columns)
        return self.table.loc[self.table["variant"] == variant, metric].tolist()

    def summary(self, metric: str) -> pd.DataFrame:
        """A row a variant: n, median, min, max, mean, sd (of a sample; NaN for one trial)."""
        _known(metric, self.table.columns)
        groups = self.table.groupby("variant", sort=False)[metric]
        frame = groups.agg(["count", "median", "min", "max", "mean", "std"]).reset_index()
        return frame.rename(columns={"count": "n", "std": "sd"})

    def curves(self) -> dict[str, list[pd.DataFrame]]:
        """The histories as learning curves: for each variant one frame a seed."""
        found: dict[str, list[pd.DataFrame]] = {}
        for (variant, _), rows in self.histories.groupby(["variant", "seed"], sort=False):
            frame = rows.drop(columns=["variant", "seed"]).dropna(axis="columns", how="all")
            found.setdefault(str(variant), []).append(frame.reset_index(drop=True))
        return found


def run_trials(
    train_one: TrainOne,
    variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    *,
    cache: str | Path,
    context: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Trials:
    """Train every variant with every seed; a trial finished before is read, not repeated.

    `train_one(seed=..., **options)` returns `{"metrics": {name: number}, "history": DataFrame or
    None}`. `variants` maps a label to the options: numbers, strings, lists, dicts, as JSON has
    them. A trial is one file in `cache`, named by a hash of the options, the seed, `context`
    (profile, epochs, device type, ...), `train_one` with all it refers to (see `fingerprint_of`)
    and the versions of Python, torch, torchvision and numpy; a label is free to change. Several
    processes may share a cache: each takes the trials nobody else is running, then waits for the
    others. A process that is killed loses only the trial it was in.

    Raises:
        ValueError: nothing to run, a seed named twice, options that are not JSON, a `train_one`
            that uses what cannot be fingerprinted, a metric that is no finite number. An error
            inside `train_one` comes through with a note that names the trial.
    """
    trials = _plan(train_one, variants, seeds, Path(cache), context or {})
    done: dict[_Trial, dict[str, Any]] = {}
    spent: list[float] = []
    for patience in (0, -1):  # pass over what another process is running; then wait for it
        for trial in [trial for trial in trials if trial not in done]:
            if patience and progress:
                print(f"waiting for another process: {trial}", flush=True)
            if (found := _obtain(train_one, trial, patience)) is None:
                continue
            done[trial], trained = found
            spent += [done[trial]["seconds"]] if trained else []
            if progress:
                ahead = sum(not other.file.exists() for other in trials)
                left = f", about {ahead * fmean(spent):.0f} s left" if spent and ahead else ""
                how = f"{done[trial]['seconds']:.1f} s" if trained else "cached"
                numbers = [f"{name} {value:.4g}" for name, value in done[trial]["metrics"].items()]
                title = f"{len(done)}/{len(trials)} {trial}"
                print(f"{title}: {', '.join(numbers)} ({how}{left})", flush=True)
    return _collect({trial: done[trial] for trial in trials})


@dataclass(frozen=True, eq=False)
class _Trial:
    variant: str
    options: Mapping[str, Any]
    seed: int
    file: Path

    def __str__(self) -> str:
        return f"variant {self.variant!r}, seed {self.seed}"


def _plan(
    train_one: TrainOne,
    variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    cache: Path,
    context: Mapping[str, Any],
) -> list[_Trial]:
    """Check what is asked for, and name each trial's file."""
    whole = [int(seed) for seed in seeds]
    if not variants or not whole or len(set(whole)) < len(whole) or whole != list(seeds):
        raise ValueError(
            f"trials need variants and different whole seeds, got variants {list(variants)} and "
            f"seeds {list(seeds)}; name at least one of each, and no seed twice"
        )
    for label, options in [*variants.items(), ("context", context)]:
        try:
            json.dumps(options, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{label!r} has options {options!r} that JSON cannot hold ({error}); use numbers, "
                "strings, lists and dicts, and build objects inside train_one"
            ) from None
    versions = [python_version(), *map(version, ("torch", "torchvision", "numpy"))]
    known = sorted(context.items())
    shared = fingerprint_of(train_one=train_one, context=known, versions=versions)
    trials = []
    for label, options in variants.items():
        for seed in whole:
            key = fingerprint_of(shared=shared, options=sorted(options.items()), seed=seed)
            trials.append(_Trial(label, options, seed, cache / f"{key[:32]}.json"))
    return trials


def _obtain(
    train_one: TrainOne, trial: _Trial, patience: float
) -> tuple[dict[str, Any], bool] | None:
    """A trial's record, and whether it was trained here; None while another process runs it."""
    trial.file.parent.mkdir(parents=True, exist_ok=True)
    # The system lets go of this lock when its process dies, however it dies.
    lock = FileLock(trial.file.with_suffix(".lock"))
    try:
        held = lock.acquire(timeout=patience)
    except Timeout:
        return None
    with held:
        record = _stored(trial)
        return (_train(train_one, trial), True) if record is None else (record, False)


def _stored(trial: _Trial) -> dict[str, Any] | None:
    """The record of a finished trial; a broken file is set aside, so that the trial runs again."""
    try:
        record = json.loads(trial.file.read_text(encoding="utf-8"))
        return {key: record[key] for key in _RECORD}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        aside = trial.file.replace(trial.file.with_suffix(".broken"))
        print(f"{trial}: {trial.file} is broken ({error!r}); moved to {aside.name}", flush=True)
        return None


def _train(train_one: TrainOne, trial: _Trial) -> dict[str, Any]:
    """Run one trial and write its record."""
    start = time.perf_counter()
    try:
        with _interrupts() as interrupts:
            result = train_one(seed=trial.seed, **copy.deepcopy(dict(trial.options)))
        if interrupts:
            raise KeyboardInterrupt  # fit returned what it had: no finished trial
        metrics = {name: float(value) for name, value in result["metrics"].items()}
        taken = metrics.keys() & {"variant", "seed", "seconds"}
        if not metrics or taken or not all(map(math.isfinite, metrics.values())):
            raise ValueError(f"metrics must be finite numbers with names of their own: {metrics}")
        frame = result.get("history")
        history = [] if frame is None else frame.to_dict("records")
        values = (trial.options, trial.seed, metrics, history, time.perf_counter() - start)
        text = json.dumps(dict(zip(_RECORD, values, strict=True)))
    except BaseException as error:
        # What add_note does; that came with Python 3.11.
        error.__dict__.setdefault("__notes__", []).append(f"in the trial: {trial}")
        raise
    atomic_write(trial.file, text)
    return json.loads(text)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Note keyboard interrupts that the code inside receives and keeps to itself."""
    noted: list[int] = []
    before: Any = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        noted.append(number)
        before(number, frame)

    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield noted
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _collect(records: Mapping[_Trial, dict[str, Any]]) -> Trials:
    rows, epochs = [], []
    for trial, record in records.items():
        key = {"variant": trial.variant, "seed": trial.seed}
        rows.append({**key, **record["metrics"], "seconds": record["seconds"]})
        epochs += [{**key, **epoch} for epoch in record["history"]]
    return Trials(pd.DataFrame(rows), pd.DataFrame(epochs, columns=None if epochs else [*key]))


def _known(name: str, names: Iterable[str]) -> None:
    if name not in set(names):
        raise ValueError(f"no {name!r} among the trials; there are: {', '.join(names)}")
