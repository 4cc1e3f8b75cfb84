"""Trials: cached by what they depend on, safe from kills, shared between processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from cvhelpers.experiments import Trials, run_trials


def train_one(seed: int, rate: float = 1.0, log: str = "", bad: Any = None) -> dict[str, Any]:
    if log:
        with Path(log).open("a") as file:
            file.write(f"{rate} {seed}\n")
    if bad == "crash":
        raise RuntimeError("out of memory")
    if bad == "interrupt":
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:
            pass  # as fit does: it returns the epochs it has
    accuracy = float("nan") if bad == "nan" and seed == 2 else rate + seed
    history = pd.DataFrame({"epoch": [1, 2], "val_loss": [1 / 3, rate]})
    return {"metrics": {"accuracy": accuracy, "loss": rate}, "history": history}


def test_tables_follow_the_order_asked_for(tmp_path: Path) -> None:
    variants = {"zebra": {"rate": 0.5}, "ant": {"rate": 0.1}}
    trials = run_trials(train_one, variants, [3, 1], cache=tmp_path, progress=False)
    assert list(trials.table.columns) == ["variant", "seed", "accuracy", "loss", "seconds"]
    assert trials.table["variant"].tolist() == ["zebra", "zebra", "ant", "ant"]
    assert trials.table["seed"].tolist() == [3, 1, 3, 1]
    assert trials.of("ant", "accuracy") == [3.1, 1.1]
    assert trials.histories.shape == (8, 4)
    assert trials.histories["val_loss"].tolist() == [1 / 3, 0.5] * 2 + [1 / 3, 0.1] * 2
    curves = trials.curves()
    assert list(curves) == ["zebra", "ant"]
    assert [frame["val_loss"].tolist() for frame in curves["ant"]] == [[1 / 3, 0.1]] * 2
    assert list(curves["ant"][0].columns) == ["epoch", "val_loss"]


def test_summary_by_hand() -> None:
    table = pd.DataFrame({"variant": ["b", "b", "b", "a"], "x": [1.0, 2.0, 6.0, 5.0]})
    summary = Trials(table, pd.DataFrame()).summary("x")
    assert summary.columns.tolist() == ["variant", "n", "median", "min", "max", "mean", "sd"]
    assert summary.iloc[0].tolist() == ["b", 3, 2.0, 1.0, 6.0, 3.0, pytest.approx(7**0.5)]
    assert summary.iloc[1].tolist()[:6] == ["a", 1, 5.0, 5.0, 5.0, 5.0]
    assert pd.isna(summary["sd"].iloc[1])


def test_trials_without_a_history(tmp_path: Path) -> None:
    def bare(seed: int) -> dict[str, Any]:
        return {"metrics": {"accuracy": seed}, "history": None}

    trials = run_trials(bare, {"a": {}}, [1], cache=tmp_path, progress=False)
    assert list(trials.histories.columns) == ["variant", "seed"]
    assert trials.curves() == {}


def test_unknown_names_are_listed(tmp_path: Path) -> None:
    trials = run_trials(train_one, {"a": {}}, [0], cache=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"no 'b' among the trials; there are: a"):
        trials.of("b", "accuracy")
    with pytest.raises(ValueError, match=r"no 'acc' .*accuracy"):
        trials.summary("acc")


def test_finished_trials_are_read_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    options = {"rate": 0.5, "log": str(log)}

    def runs(label: str, seeds: list[int], **changes: Any) -> int:
        before = len(log.read_text().splitlines()) if log.exists() else 0
        context = changes.pop("context", {"epochs": 2})
        variants = {label: {**options, **changes}}
        run_trials(train_one, variants, seeds, cache=tmp_path / "cache", context=context)
        return len(log.read_text().splitlines()) - before

    assert runs("a", [0, 1]) == 2
    assert runs("a", [0, 1]) == 0
    assert runs("another label", [1, 0]) == 0
    assert runs("a", [0, 1, 2]) == 1
    assert runs("a", [0], rate=0.6) == 1
    assert runs("a", [0], bad=0) == 1
    assert runs("a", [0], context={"epochs": 3}) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("1/2 variant 'a', seed 0: accuracy 0.5, loss 0.5 (")
    assert "s left)" in out[0]
    assert out[2] == "1/2 variant 'a', seed 0: accuracy 0.5, loss 0.5 (cached)"


def test_versions_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_trials(train_one, {"a": {}}, [0], cache=tmp_path, progress=False)
    monkeypatch.setattr("cvhelpers.experiments.trials.version", lambda name: f"{name} 0.0")
    run_trials(train_one, {"a": {}}, [0], cache=tmp_path, progress=False)
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_equal_variants_train_once_and_are_both_shown(tmp_path: Path) -> None:
    log = tmp_path / "log"
    variants = {"a": {"log": str(log)}, "b": {"log": str(log)}}
    trials = run_trials(train_one, variants, [0], cache=tmp_path / "cache", progress=False)
    assert log.read_text() == "1.0 0\n"
    assert trials.of("a", "accuracy") == trials.of("b", "accuracy") == [1.0]


def test_a_trial_cannot_change_the_next_ones_options(tmp_path: Path) -> None:
    def greedy(seed: int, layers: list[int]) -> dict[str, Any]:
        return {"metrics": {"size": layers.pop()}, "history": None}

    trials = run_trials(greedy, {"a": {"layers": [1, 2]}}, [0, 1], cache=tmp_path, progress=False)
    assert trials.of("a", "size") == [2.0, 2.0]


def test_a_broken_file_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_trials(train_one, {"a": {}}, [0], cache=tmp_path, progress=False)
    (file,) = tmp_path.glob("*.json")
    for content in (file.read_text()[:-20], '{"seed": 0}', "[]", "\0"):
        file.write_text(content)
        trials = run_trials(train_one, {"a": {}}, [0], cache=tmp_path, progress=False)
        assert trials.of("a", "accuracy") == [1.0]
        assert file.with_suffix(".broken").read_text() == content
        assert f"{file} is broken" in capsys.readouterr().out
        assert json.loads(file.read_text())["seed"] == 0


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [("nan", ValueError, "finite numbers.*nan"), ("crash", RuntimeError, "out of memory")],
)
def test_a_failed_trial_is_named_and_not_kept(
    tmp_path: Path, bad: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        run_trials(train_one, {"a": {"bad": bad}}, [1, 2], cache=tmp_path, progress=False)
    seed = 1 if bad == "crash" else 2
    assert caught.value.__notes__ == [f"in the trial: variant 'a', seed {seed}"]
    assert len(list(tmp_path.glob("*.json"))) == seed - 1  # seed 1 is kept if it went well


def test_an_interrupted_trial_is_no_finished_trial(tmp_path: Path) -> None:
    # A shell's background jobs ignore interrupts; at a keyboard they have Python's handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_trials(train_one, {"a": {"bad": "interrupt"}}, [0], cache=tmp_path, progress=False)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    ("variants", "seeds", "message"),
    [
        ({}, [0], r"variants \[\] and seeds \[0\]"),
        ({"a": {}}, [], r"variants \['a'\] and seeds \[\]"),
        ({"a": {}}, [0, 1, 0], r"seeds \[0, 1, 0\]; .*no seed twice"),
        ({"a": {}}, [0.5], r"seeds \[0\.5\]"),
        ({"a": {"net": object}}, [0], "'a' has options .*object.* that JSON cannot hold"),
        ({"a": {"rate": float("inf")}}, [0], "'a' has options .*inf"),
    ],
)
def test_what_cannot_be_planned(
    tmp_path: Path, variants: dict, seeds: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_trials(train_one, variants, seeds, cache=tmp_path, progress=False)


SCRIPT = """
import sys, time
from pathlib import Path
from cvhelpers.experiments import run_trials

def train_one(seed, log, hold):
    log, hold = Path(log), Path(hold)
    with log.open("a") as file:
        file.write(f"start {seed}\\n")
    time.sleep(0.05)
    while seed == 2 and hold.exists():
        time.sleep(0.02)
    with log.open("a") as file:
        file.write(f"end {seed}\\n")
    return {"metrics": {"accuracy": seed / 10}, "history": None}

folder = Path(sys.argv[1])
options = {"log": str(folder / "log"), "hold": str(folder / "hold")}
trials = run_trials(train_one, {"a": options}, range(6), cache=folder / "cache")
print(trials.of("a", "accuracy"))
"""


class Workers:
    """Processes that run the same trials in one folder; trial 2 lasts while `hold` is there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.hold = folder, folder / "log", folder / "hold"
        (folder / "script.py").write_text(SCRIPT)
        self.hold.touch()
        self.started: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", str(self.folder / "script.py"), str(self.folder)]
        with (self.folder / f"out{len(self.started)}").open("w") as out:
            self.started.append(subprocess.Popen(command, stdout=out, stderr=out, text=True))
        return self.started[-1]

    def output(self, number: int) -> str:
        return (self.folder / f"out{number}").read_text()

    def wait_for(self, text: str, *, times: int = 1, file: str = "log") -> None:
        path, deadline = self.folder / file, time.monotonic() + 90
        while not path.exists() or path.read_text().count(text) < times:
            assert time.monotonic() < deadline, f"no {text!r} in {file}"
            assert all(process.poll() in (None, -signal.SIGKILL) for process in self.started)
            time.sleep(0.01)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path)
    yield workers
    for process in workers.started:
        process.kill()
        process.wait()


def test_a_killed_run_goes_on_and_two_processes_share_it(workers: Workers) -> None:
    killed = workers.start()
    workers.wait_for("start 2")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(list((workers.folder / "cache").glob("*.json"))) == 2

    one = workers.start()
    workers.wait_for("start 2", times=2)  # its lock died with the killed process
    other = workers.start()
    workers.wait_for("waiting for another process: variant 'a', seed 2", file="out2")
    log = workers.log.read_text().splitlines()
    assert sorted(log) == sorted(
        [f"{word} {seed}" for seed in (0, 1, 3, 4, 5) for word in ("start", "end")]
        + ["start 2", "start 2"]
    )
    workers.hold.unlink()
    assert (one.wait(), other.wait()) == (0, 0)
    assert workers.log.read_text().splitlines() == [*log, "end 2"]  # each trial ended once
    for number in (1, 2):
        assert "[0.0, 0.1, 0.2, 0.3, 0.4, 0.5]" in workers.output(number)
    assert workers.output(1).count("(cached)") == 5
    assert workers.output(2).count("(cached)") == 3


def test_in_a_notebook_an_edited_cell_trains_again(tmp_path: Path) -> None:
    net = "class Net:\n    size = 3\n    def forward(self):\n        return self.size * {}"
    trained = "print(run_trials(train_one, {'a': {}}, [0], cache=%r, progress=False).of('a', 'x'))"
    run = trained % str(tmp_path / "cache") + "\nprint(open('log').read())"
    cells = [
        "from cvhelpers.experiments import run_trials",
        net.format(1),
        "def train_one(seed):\n    with open('log', 'a') as file:\n        file.write('ran ')\n"
        "    return {'metrics': {'x': Net().forward()}, 'history': None}",
        run,
        net.format(2) + "  # doubled",
        run,
        net.format("2  # only a comment"),
        run,
        net.format(1),
        run,
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": tmp_path}}
    ).execute()
    texts = [
        "".join(output["text"] for output in cell.outputs).split("\n")[:2]
        for cell in notebook.cells
        if cell.outputs
    ]
    assert texts == [
        ["[3.0]", "ran "],
        ["[6.0]", "ran ran "],
        ["[6.0]", "ran ran "],
        ["[3.0]", "ran ran "],
    ]
