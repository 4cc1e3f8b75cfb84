"""`start_run`: what it says, what it stores, what it refuses."""

import json
import os
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_data
import pandas as pd
import pytest
import tiny
import torch
from matplotlib.figure import Figure

from cvhelpers import data, places, runtime
from cvhelpers.data.store import Provenance
from cvhelpers.results import missing, read_results
from cvhelpers.run import Run, start_run
from cvhelpers.training import History, fit

MANIFEST = """
[assignments.1_zoo]
title = "The zoo"
template = "zoo_{student}.ipynb"

[[sections]]
id = "1_zoo/1_lions"
title = "Counting lions"
main_figure = "curve"
figures = ["curve"]
[sections.metrics.accuracy]
label = "lions, accuracy"
better = "higher"
target = 0.7
target_provenance = ["real", "reduced"]
points = [[0.6, 5], [0.7, 8]]
[sections.metrics.error]
label = "lions, error"
better = "lower"
target = 0.2
target_provenance = ["real", "reduced"]
[sections.metrics.speed]
label = "lions, speed"

[[sections]]
id = "1_zoo/2_tigers"
title = "Counting tigers"
main_figure = "curve"
figures = ["curve"]
"""
LIONS, TIGERS = "1_zoo/1_lions", "1_zoo/2_tigers"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of two sections, entered, with an empty data folder and two tiny data sets."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "course.toml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CVHELPERS_DEVICE", "cpu")
    for name in ("savannah", "jungle"):
        entry = fake_data.fake()
        object.__setattr__(entry, "name", name)
        object.__setattr__(entry, "folder", name)
        monkeypatch.setitem(data.CATALOG, name, entry)
    return tmp_path


def place(name: str, kind: str) -> None:
    """Put pictures into the data folder, with what they are."""
    folder = data.store.data_dir() / name
    folder.mkdir(parents=True)
    fake_data.write(folder)
    if kind != "unverified":
        content = {"kind": kind, "note": "by hand", "files": data.store.fingerprint(folder)}
        if kind == "real":
            content["files"] = data.store.fingerprint(folder, times=False)
        (folder / "provenance.json").write_text(json.dumps(content))


def start(section: str = LIONS, **options: Any) -> Run:
    options = {"data": ("savannah",), "profile": "smoke"} | options
    return start_run(section, **options)


def stored(run: Run) -> dict[str, Any]:
    return read_results(run.folder)


def test_the_status_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    place("savannah", "real")
    run = start(seed=3)
    (line,) = capsys.readouterr().out.splitlines()
    versions = runtime.library_versions()
    assert line == run.status()
    assert line == (
        f"{runtime.device_name(torch.device('cpu'))} | profile smoke | seed 3 | data: savannah "
        f"(real) | torch {versions['torch']}, cvhelpers {versions['cvhelpers']}"
    )


@pytest.mark.parametrize(
    ("kind", "banner"),
    [
        ("sample", r"*** SYNTHETIC IMAGES"),
        ("reduced", r"*** REDUCED DATA"),
        ("unverified", "*** UNVERIFIED DATA"),
    ],
)
def test_data_that_is_not_real_is_announced(
    kind: str, banner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind != "sample":
        place("savannah", kind)
    start()
    status, announced = capsys.readouterr().out.splitlines()
    assert f"| data: savannah ({kind}) |" in status
    assert announced.startswith(banner)
    assert "(savannah: " in announced


def test_without_data_nothing_is_announced(capsys: pytest.CaptureFixture[str]) -> None:
    start(data=())
    (line,) = capsys.readouterr().out.splitlines()
    assert "| data: none |" in line


def test_the_first_results_are_complete(tmp_path: Path) -> None:
    run = start(seed=7, source="sample")
    assert run.folder == tmp_path / "runs" / LIONS
    assert (run.profile, run.source, run.seed) == ("smoke", "sample", 7)
    assert run.device == torch.device("cpu")
    results = stored(run)
    assert results.pop("seconds") >= 0
    assert pd.Timestamp(results.pop("started")).tzinfo is not None
    assert results == {
        "schema": 1,
        "section": LIONS,
        "profile": "smoke",
        "source": "sample",
        "seed": 7,
        "provenance": {"savannah": {"kind": "sample", "note": "synthetic shapes, version 1"}},
        "device": runtime.device_name(run.device),
        "versions": runtime.library_versions(),
        "metrics": {},
        "test_evaluations": 0,
        "figures": {},
        "tables": {},
    }


def test_profile_and_source_come_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVHELPERS_PROFILE", "full")
    monkeypatch.setenv("CVHELPERS_SOURCE", "sample")
    run = start(profile="auto")
    assert (run.profile, run.source) == ("full", "sample")
    assert run.kinds() == {"savannah": "sample"}
    assert stored(run)["profile"] == "full"


def test_work_by_hand_goes_to_runs_lab(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CVHELPERS_RUN_DIR")
    (root / "notebooks" / "1_zoo").mkdir()
    monkeypatch.chdir(root / "notebooks" / "1_zoo")  # where JupyterLab runs a notebook
    assert start().folder == root / "runs" / "lab" / LIONS


def test_the_seed_is_set() -> None:
    start(seed=1)
    first = torch.rand(3)
    start(seed=1)
    assert torch.equal(torch.rand(3), first)
    start(seed=2)
    assert not torch.equal(torch.rand(3), first)
    start(deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("section", "options", "message"),
    [
        ("1_zoo/1_loins", {}, "section '1_zoo/1_loins'; did you mean '1_zoo/1_lions'[?] .*tigers"),
        (LIONS, {"profile": "fast"}, "unknown profile 'fast'; choose one of"),
        (LIONS, {"source": "fake"}, "unknown source 'fake'; choose one of"),
        (LIONS, {"data": ("savanna",)}, "unknown data set 'savanna'; choose one of.*savannah"),
        (LIONS, {"seed": -1}, "seed must be a whole number"),
    ],
)
def test_what_is_unknown_is_refused_before_anything_is_written(
    tmp_path: Path, section: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        start(section, **options)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("profile", "picked"), [("smoke", 1), ("quick", 2), ("full", 3)])
def test_pick_follows_the_profile(profile: str, picked: int) -> None:
    assert start(profile=profile, source="sample").pick(smoke=1, quick=2, full=3) == picked


@pytest.mark.parametrize(("asked", "taken"), [(None, 2), (1, 1), (50, 50)])
def test_a_number_asked_for_stands_before_the_profiles_own(asked: int | None, taken: int) -> None:
    assert start(profile="quick").count(asked, smoke=1, quick=2, full=3) == taken


@pytest.mark.parametrize("asked", [0, -1, 2.5, True])
def test_a_number_that_trains_nothing_is_refused(asked: int) -> None:
    with pytest.raises(ValueError, match=f"{asked} is no whole number of 1 or more"):
        start().count(asked, smoke=1, quick=2, full=3)


def test_trials_depend_on_profile_and_device_not_on_the_seed() -> None:
    one = start(seed=1).fingerprint()
    assert start(seed=2).fingerprint() == one
    assert start(profile="quick").fingerprint() != one


def test_only_announced_data_is_loaded() -> None:
    run = start()
    splits = run.load("savannah", size=6)
    assert splits.train.images.shape == (2, 3, 6, 6)
    assert splits.provenance.kind == "sample"
    with pytest.raises(ValueError, match=r"'jungle' was not announced; .*data=\('jungle',\)"):
        run.load("jungle")


def test_loading_uses_the_runs_source_and_corrects_the_provenance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = start(source="real", profile="quick")  # real data is to be downloaded
    assert run.kinds() == {"savannah": "real"}
    run.record("accuracy", 0.5)
    assert stored(run)["metrics"]["accuracy"]["target"] == 0.7
    asked = {}

    class Loaded:
        provenance = Provenance("unverified", "another checksum")

    def load(name: str, **options: Any) -> Loaded:
        asked.update(options, name=name)
        return Loaded()

    monkeypatch.setattr(data, "load", load)
    run.load("savannah")
    wanted = {"source": "real", "profile": "quick", "device": run.device, "name": "savannah"}
    assert asked == wanted
    assert run.kinds() == {"savannah": "unverified"}
    run.record("accuracy", 0.5)
    results = stored(run)
    assert results["provenance"]["savannah"]["note"] == "another checksum"
    assert results["metrics"]["accuracy"]["target"] is None


@pytest.mark.parametrize(
    ("kind", "target"), [("real", 0.7), ("reduced", 0.7), ("unverified", None), ("sample", None)]
)
def test_a_target_holds_for_the_data_it_was_set_for(kind: str, target: float | None) -> None:
    if kind != "sample":
        place("savannah", kind)
    run = start()
    run.record("accuracy", torch.tensor(0.65), trials=torch.tensor([0.5, 0.75]), note="last epoch")
    run.record("speed", 3)
    assert stored(run)["metrics"] == {
        "accuracy": {
            "value": pytest.approx(0.65),
            "better": "higher",
            "target": target,
            "note": "last epoch",
            "weights": "",
            "trials": [0.5, 0.75],
        },
        "speed": {
            "value": 3.0,
            "better": "higher",
            "target": None,
            "note": "",
            "weights": "",
            "trials": [],
        },
    }


def test_a_target_may_need_named_weights(monkeypatch) -> None:
    place("savannah", "real")
    run = start()
    metric = replace(run._manifest.metrics["accuracy"], target_weights=("lion_net",))
    monkeypatch.setitem(run._manifest.metrics, "accuracy", metric)
    for weights, target in (("", None), ("tiger_net", None), ("lion_net", 0.7)):
        run.record("accuracy", 0.8, weights=weights)
        entry = stored(run)["metrics"]["accuracy"]
        assert (entry["weights"], entry["target"]) == (weights, target)
        assert run.summary()["reached"].tolist() == ["" if target is None else True]


def test_one_synthetic_data_set_of_two_takes_the_target_away() -> None:
    place("savannah", "real")
    run = start(data=("savannah", "jungle"))
    assert run.kinds() == {"savannah": "real", "jungle": "sample"}
    run.record("accuracy", 0.9)
    assert stored(run)["metrics"]["accuracy"]["target"] is None
    without_data = start(data=())
    without_data.record("accuracy", 0.9)
    assert stored(without_data)["metrics"]["accuracy"]["target"] is None


def test_the_manifest_says_which_way_is_better() -> None:
    run = start()
    run.record("error", 0.1, better="higher")
    run.record("seconds", 5, better="lower")
    run.record("anything", 5)
    better = {name: entry["better"] for name, entry in stored(run)["metrics"].items()}
    assert better == {"error": "lower", "seconds": "lower", "anything": "higher"}


def test_figures_and_tables_are_written_and_listed() -> None:
    run = start()
    figure = Figure()
    figure.subplots().plot([1, 2])
    run.save_figure("curve", figure, "Accuracy by epoch.")
    run.save_table("steps", pd.DataFrame({"step": ["a", "b"], "value": [0.5, 1]}), "All steps.")
    results = stored(run)
    assert results["figures"] == {
        "curve": {"file": "figures/curve.png", "caption": "Accuracy by epoch."}
    }
    assert (run.folder / "figures/curve.png").read_bytes().startswith(b"\x89PNG")
    assert results["tables"] == {"steps": {"file": "tables/steps.csv", "caption": "All steps."}}
    assert (run.folder / "tables/steps.csv").read_text() == "step,value\na,0.5\nb,1.0\n"
    assert missing(results, metrics=["accuracy"], figures=["curve"]) == ["metric accuracy"]


def test_looks_at_a_test_set_are_counted() -> None:
    run = start()
    run.count_test_evaluation()
    run.count_test_evaluation()
    assert stored(run)["test_evaluations"] == 2


def test_results_are_readable_at_every_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    run = start()
    seen: list[list[str]] = []
    replace = os.replace

    def watched(source: Any, target: Any) -> None:
        seen.append(list(stored(run)["metrics"]))  # the old file, while the new one lies beside it
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    for name in ("a", "b", "c"):
        run.record(name, 1)
        assert list(stored(run)["metrics"])[-1] == name
    assert seen == [[], ["a"], ["a", "b"]]

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        run.record("d", 1)
    assert list(stored(run)["metrics"]) == ["a", "b", "c"]
    assert [path.name for path in run.folder.iterdir()] == ["results.json"]


def leave(section: str, **options: Any) -> Run:
    """Run another section that leaves a checkpoint and a table."""
    run = start(section, **options)
    run.checkpoint("net").parent.mkdir()
    run.checkpoint("net").touch()
    run.save_table("steps", pd.DataFrame({"value": [0.5]}), "All steps.")
    return run


def test_what_another_section_made_in_the_same_way_is_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = start(TIGERS)
    assert run.find_checkpoint(LIONS, "net") is None
    assert "1_zoo/1_lions left no net.pt in runs" in capsys.readouterr().out
    assert run.find_table(LIONS, "steps") is None
    assert "1_zoo/1_lions left no steps.csv in runs" in capsys.readouterr().out
    lions = leave(LIONS)
    assert lions.checkpoint("net") == lions.folder / "checkpoints" / "net.pt"
    capsys.readouterr()
    assert run.find_checkpoint(LIONS, "net") == lions.checkpoint("net")
    started = stored(lions)["started"]
    assert capsys.readouterr().out == f"using net.pt of 1_zoo/1_lions, {started}, from run runs\n"
    table = run.find_table(LIONS, "steps")
    assert table is not None
    assert table.to_dict("list") == {"value": [0.5]}
    assert run.find_checkpoint(LIONS, "other") is None


@pytest.mark.parametrize(
    ("maker", "finder"),
    [
        ({"profile": "quick"}, {}),
        ({"source": "sample"}, {}),
        ({}, {"source": "sample"}),
        ({"data": ("jungle",)}, {}),
    ],
)
def test_what_was_made_in_another_profile_or_of_other_data_is_not_used(
    maker: dict[str, Any], finder: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    place("savannah", "real")
    made = leave(LIONS, **maker)
    run = start(TIGERS, **finder)
    capsys.readouterr()
    assert run.find_checkpoint(LIONS, "net") is None
    assert run.find_table(LIONS, "steps") is None
    for message in capsys.readouterr().out.splitlines():
        assert message.startswith(f"1_zoo/1_lions was run in profile {made.profile} on {{'")
        assert message.endswith(": not used here (run runs)")


def test_work_by_hand_finds_what_the_newest_run_like_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make lab` after `make run-all`: runs/quick and runs/lab; a headless run sees only itself."""
    made = {}
    for age, name in enumerate(("newest", "older", "full")):
        monkeypatch.setenv("CVHELPERS_RUN_DIR", str(tmp_path / "all" / name))
        made[name] = leave(LIONS, profile="quick" if name == "full" else "smoke")
        when = 1_700_000_000 - 100 * age + 1000 * (name == "full")
        os.utime(made[name].folder / "results.json", (when, when))
    monkeypatch.setenv("CVHELPERS_RUN_DIR", str(tmp_path / "all" / "lab"))
    run = start(TIGERS)
    assert run.find_checkpoint(LIONS, "net") is None
    monkeypatch.setenv("CVHELPERS_HEADLESS", "0")
    capsys.readouterr()
    assert run.find_checkpoint(LIONS, "net") == made["newest"].checkpoint("net")
    assert "from run newest" in capsys.readouterr().out
    assert run.find_table(LIONS, "steps") is not None
    mine = leave(LIONS)
    assert run.find_checkpoint(LIONS, "net") == mine.checkpoint("net")  # this run's come first


def test_a_checkpoint_that_nothing_is_known_of_is_not_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, made = start(TIGERS), leave(LIONS)
    (made.folder / "results.json").unlink()
    assert run.find_checkpoint(LIONS, "net") is None
    (made.folder / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results.json: not readable as JSON .*; run the section"):
        run.find_checkpoint(LIONS, "net")


def test_the_summary_judges_real_data() -> None:
    place("savannah", "reduced")
    run = start()
    run.record("accuracy", 0.65, note="last epoch")
    run.record("error", 0.1)
    run.record("extra", 7)
    summary = run.summary()
    assert list(summary.columns) == ["metric", "value", "target", "reached", "points", "note"]
    assert summary.to_numpy().tolist() == [
        ["lions, accuracy", 0.65, 0.7, False, 5, "last epoch"],
        ["lions, error", 0.1, 0.2, True, "", ""],
        ["extra", 7.0, "", "", "", ""],
    ]


def test_the_summary_judges_no_synthetic_data() -> None:
    run = start()
    assert run.summary().empty
    run.record("accuracy", 0.99)
    assert run.summary().to_numpy().tolist() == [["lions, accuracy", 0.99, "", "", "", ""]]


def test_original_masks_come_from_where_the_run_loads(monkeypatch) -> None:
    asked = {}
    monkeypatch.setattr(
        data, "original_masks", lambda *names, **how: asked.update(how, names=names)
    )
    start(source="sample").original_masks("savannah", "some images")
    assert asked == {"names": ("savannah", "some images"), "source": "sample", "profile": "smoke"}


# Google Drive, in Colab


@pytest.fixture
def drive(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Colab machine with a user's Drive, which is there only once it is mounted."""
    mounted = root / "content" / "drive"
    colab = types.ModuleType("google.colab")
    colab.drive = types.SimpleNamespace(mount=lambda place: (Path(place) / "MyDrive").mkdir())
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(places, "DRIVE", mounted)
    monkeypatch.setenv("CVHELPERS_RUN_DIR", "")  # given back after the test, whatever it becomes
    mounted.mkdir(parents=True)
    return mounted


def train_on_drive(epochs: int) -> History:
    """What a notebook with `drive=True` does in a new session: everything but the Drive is new."""
    run = start_run(LIONS, drive=True)
    images, net = tiny.pictures(), tiny.net()
    torch.manual_seed(0)
    file = run.checkpoint("net")
    return fit(net, images, images, epochs=epochs, optimizer=tiny.sgd(net), checkpoint=file)


def test_the_next_session_goes_on_from_the_drive(
    drive: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = train_on_drive(2)
    where = drive / "MyDrive" / "cvhelpers" / "runs" / "lab" / LIONS
    assert (where / "checkpoints" / "net.pt").is_file()
    assert "this run is kept on Google Drive, in " in capsys.readouterr().out
    monkeypatch.setenv("CVHELPERS_RUN_DIR", "")  # the next machine knows nothing of it
    sys.modules["google.colab"].drive.mount = lambda place: None  # the same Drive
    after = train_on_drive(3)
    assert after.rows[:2] == before.rows, "trained again instead of gone on"
    assert len(after) == 3


def test_a_drive_is_for_colab() -> None:
    with pytest.raises(ValueError, match="for Colab; here runs stay on the disk anyway"):
        start_run(LIONS, drive=True)
