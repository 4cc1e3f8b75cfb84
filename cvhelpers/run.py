"""`start_run`: the first line of every notebook."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
from matplotlib.figure import Figure

from cvhelpers import data, manifest, runtime, visualize
from cvhelpers.places import in_checkout, keep_on_drive, runs_with, this_run
from cvhelpers.results import atomic_write, read_results, write_results

if TYPE_CHECKING:
    from torch import Tensor

    from cvhelpers.data.images import Images, Splits

T = TypeVar("T")


def start_run(
    section: str,
    *,
    data: Sequence[str] = (),
    profile: str = "auto",
    source: str = "auto",
    seed: int = 0,
    deterministic: bool = False,
    drive: bool = False,
) -> Run:
    """Seed everything, pick the device, prepare the section's folder, and say so in one line.

    Args:
        section: the notebook's id, `"2_caltech101/1_lenet5"`.
        data: names of the data sets that the section loads.
        profile: `smoke`, `quick`, `full`, or `auto`: see `runtime.resolve_profile`.
        source: `real`, `sample`, or `auto`: see `data.load`.
        seed: of Python, NumPy and torch.
        deterministic: repeatable GPU kernels too, at a cost in speed.
        drive: in Colab, mount the user's Google Drive and keep the run there, so that the next
            machine goes on where this one stopped.

    Raises:
        ValueError: unknown section, profile, source or data set; a drive outside of Colab.
    """
    if drive:
        keep_on_drive()
    run = Run(section, tuple(data), profile, source, seed)
    runtime.seed_everything(seed, deterministic=deterministic)
    visualize.use_style()
    run.save()
    print(run.status())
    if "CVHELPERS_RUN_DIR" not in os.environ and not in_checkout(run.folder):
        print(f"this run is kept in {run.folder}: the course's own folder may only be read")
    if drive:
        print(f"this run is kept on Google Drive, in {run.folder}")
    for name, kind in run.kinds().items():
        if kind != "real":
            print(f"{_BANNERS[kind]} ({name}: {run.provenance[name]['note']})")
    return run


_BANNERS = {
    "sample": "*** SYNTHETIC IMAGES: numbers below say that the code runs, no more ***",
    "reduced": "*** REDUCED DATA: real images, but not the official pixels ***",
    "unverified": "*** UNVERIFIED DATA: placed by hand, no checksum was compared ***",
}


class Run:
    """One execution of one notebook: where it runs, where its files go, what it measured.

    Attributes:
        section: the notebook's id.
        profile: `smoke`, `quick` or `full`, never `auto`.
        source: `real`, `sample` or `auto`.
        seed: what everything was seeded with.
        device: where models and images belong.
        folder: this section's own folder, `runs/<name>/<section>`.
        provenance: data set name to `{"kind": ..., "note": ...}`.
    """

    def __init__(
        self, section: str, data_sets: tuple[str, ...], profile: str, source: str, seed: int
    ) -> None:
        self._manifest = manifest.load().section(section)
        self.section = section
        self.profile = runtime.resolve_profile(profile)
        self.source = runtime.resolve_source(source)
        self.seed = seed
        self.device = runtime.pick_device()
        self.folder = this_run() / section
        self.provenance = {
            name: vars(data.provenance_of(name, self.source, self.profile)) for name in data_sets
        }
        self._started = time.perf_counter()
        self._results: dict[str, Any] = {
            "section": section,
            "profile": self.profile,
            "source": self.source,
            "seed": seed,
            "provenance": self.provenance,
            "device": runtime.device_name(self.device),
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "versions": runtime.library_versions(),
            "metrics": {},
            "test_evaluations": 0,
            "figures": {},
            "tables": {},
        }

    def status(self) -> str:
        """Return one line: device, profile, seed, data and versions."""
        kinds = ", ".join(f"{name} ({kind})" for name, kind in self.kinds().items()) or "none"
        versions = self._results["versions"]
        return (
            f"{self._results['device']} | profile {self.profile} | seed {self.seed} | "
            f"data: {kinds} | torch {versions['torch']}, cvhelpers {versions['cvhelpers']}"
        )

    def kinds(self) -> dict[str, str]:
        """Return the provenance kind of each data set."""
        return {name: entry["kind"] for name, entry in self.provenance.items()}

    def fingerprint(self) -> str:
        """Return what trials may depend on: the profile and the kind of device, not the seed."""
        return f"{self.profile} {self.device.type}"

    def pick(self, *, smoke: T, quick: T, full: T) -> T:
        """Return the value for this run's profile."""
        return {"smoke": smoke, "quick": quick, "full": full}[self.profile]

    def count(self, asked: int | None, **profiles: int | None) -> int | None:
        """Return `asked`, a parameter such as a number of epochs; None means the profile's own.

        Raises:
            ValueError: no whole number of 1 or more: nothing would be trained, or half an epoch.
        """
        if asked is not None and (type(asked) is not int or asked < 1):
            raise ValueError(
                f"{asked!r} is no whole number of 1 or more; None takes the profile's own"
            )
        return self.pick(**profiles) if asked is None else asked

    def load(self, name: str, **options: Any) -> Splits:
        """Load a data set that `start_run` was told of, on this run's device."""
        if name not in self.provenance:
            raise ValueError(
                f"data set {name!r} was not announced; write start_run(..., data=({name!r},))"
            )
        splits = data.load(
            name, source=self.source, profile=self.profile, device=self.device, **options
        )
        self.provenance[name] = vars(splits.provenance)  # a download is verified by now
        return splits

    def original_masks(self, name: str, images: Images) -> list[Tensor]:
        """The masks of `images`, a part of what `load(name)` gave, at their original sizes."""
        return data.original_masks(name, images, source=self.source, profile=self.profile)

    def record(
        self,
        name: str,
        value: float,
        *,
        trials: Iterable[float] = (),
        note: str = "",
        better: str = "",
        weights: str = "",
    ) -> None:
        """Store one number under a name; the manifest says its target and which way is better.

        `trials` are the values, one a seed or fold, that `value` sums up: the report shows how
        they spread, and counts those that are not finite.
        `weights` names the backbone whose pretrained weights the net had: a target may hold for
        some backbones alone, and never for one with random weights.
        """
        entry, kinds = self._manifest.metrics.get(name), self.kinds().values()
        self._results["metrics"][name] = {
            "value": float(value),
            "better": entry.better if entry else better or "higher",
            "target": entry.target if entry and entry.counts(kinds, weights) else None,
            "note": note,
            "weights": weights,
            "trials": [float(one) if math.isfinite(one) else None for one in trials],
        }
        self.save()

    def count_test_evaluation(self) -> None:
        """Count one look at a test set; `results.json` says how many there were."""
        self._results["test_evaluations"] += 1
        self.save()

    def save_figure(self, name: str, figure: Figure, caption: str) -> None:
        """Write a figure to `figures/<name>.png`; show it and, below, its caption."""
        path = self.folder / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        self._results["figures"][name] = {"file": f"figures/{name}.png", "caption": caption}
        self.save()
        visualize.show_figure(figure, caption, name)

    def save_table(self, name: str, frame: pd.DataFrame, caption: str) -> None:
        """Write a table to `tables/<name>.csv` and say its caption: the cell shows the table."""
        atomic_write(self.folder / "tables" / f"{name}.csv", frame.to_csv(index=False))
        self._results["tables"][name] = {"file": f"tables/{name}.csv", "caption": caption}
        self.save()
        print(f"Table: {caption} [tables/{name}.csv]")

    def checkpoint(self, name: str) -> Path:
        """Return where this section keeps the checkpoint called `name`."""
        return self.folder / "checkpoints" / f"{name}.pt"

    def find_checkpoint(self, section: str, name: str) -> Path | None:
        """Return another section's checkpoint, made in this profile on this kind of data, or None.

        It says in one line what was found, or why nothing was.
        """
        return self._made_alike(section, f"checkpoints/{name}.pt")

    def find_table(self, section: str, name: str) -> pd.DataFrame | None:
        """Return a table that another section saved, by the same rule as `find_checkpoint`."""
        path = self._made_alike(section, f"tables/{name}.csv")
        return None if path is None else pd.read_csv(path)

    def _made_alike(self, section: str, file: str) -> Path | None:
        """A file that a section left: in this run, or, for work by hand, in the newest like it."""
        places = runs_with(section, file)
        if not places:
            print(f"{section} left no {Path(file).name} in runs/{this_run().name}")
        for name, folder in places:
            made = read_results(folder)
            kinds = {key: entry["kind"] for key, entry in made["provenance"].items()}
            if (made["profile"], kinds) == (self.profile, self.kinds()):
                print(f"using {Path(file).name} of {section}, {made['started']}, from run {name}")
                return folder / file
            print(
                f"{section} was run in profile {made['profile']} on {kinds}: not used here "
                f"(run {name})"
            )
        return None

    def summary(self) -> pd.DataFrame:
        """Return the recorded metrics beside the manifest's targets and the assignment's points.

        A target or points scale is shown only where the data's provenance counts for it.
        """
        print("Table: What this run measured, beside the targets.")
        rows = []
        kinds = list(self.kinds().values())
        for name, entry in self._results["metrics"].items():
            known = self._manifest.metrics.get(name)
            weights = entry["weights"]
            judged = known is not None and known.counts(kinds, weights)
            rows.append(
                {
                    "metric": known.label if known else name,
                    "value": entry["value"],
                    "target": entry["target"],
                    "reached": known.reached(entry["value"], kinds, weights) if known else None,
                    "points": known.points_for(entry["value"]) if known and judged else None,
                    "note": entry["note"],
                }
            )
        return pd.DataFrame(rows).astype(object).where(lambda frame: frame.notna(), "")

    def save(self) -> None:
        """Write `results.json`; every method that records does it by itself."""
        self._results["seconds"] = round(time.perf_counter() - self._started, 1)
        write_results(self.folder, self._results)
