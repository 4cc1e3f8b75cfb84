"""Checkpoints: interrupted equals uninterrupted, finished is not repeated, foreign is refused."""

import functools
import os
import pickle
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny import linear, net, pictures, sgd
from torch import Tensor, nn

from cvhelpers.augment import Augment, ColourJitter, CutMix, OneHot, RandomAffine
from cvhelpers.training import (
    EarlyStopping,
    History,
    fit,
    load_weights,
    one_cycle,
    plateau,
    precision,
    read_checkpoint,
    save_checkpoint,
)

EPOCHS, SAMPLES, BATCH = 5, 14, 4  # four steps an epoch, the last one of two samples
AFFINE = RandomAffine(degrees=20, translate=0.2, flip=True)


def same(one: Any, other: Any) -> bool:
    """Whether two checkpoints hold the same bits; times of day and settings may differ."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        keys = one.keys() - {"seconds", "settings"}
        return keys == other.keys() - {"seconds", "settings"} and all(
            same(one[key], other[key]) for key in keys
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def cycle(optimizer: torch.optim.Optimizer) -> Any:
    return one_cycle(optimizer, epochs=EPOCHS, samples=SAMPLES, batch_size=BATCH)


def train(
    path: Path,
    *,
    seed: int = 0,
    rate: float = 0.1,
    samples: int = SAMPLES,
    pixels: int = 0,
    kill_after: int | None = None,
    augment: nn.Module | None = AFFINE,
    schedule: Callable[..., Any] | None = cycle,
    stopping: EarlyStopping | None = None,
    adam: bool = False,
    model: nn.Module | None = None,
    **options: Any,
) -> tuple[History, nn.Module, list[int]]:
    """Train as one command would from its start: seed, build, fit; count the steps trained."""
    model = model or net(seed=seed, dropout=0.3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate) if adam else sgd(model, rate)
    steps: list[int] = []

    def count(module: nn.Module, _: Any) -> None:
        if module.training:
            if len(steps) == kill_after:
                raise KeyboardInterrupt
            steps.append(1)

    hook = model.register_forward_pre_hook(count)
    history = fit(
        model,
        pictures(samples, seed=pixels),
        pictures(6, seed=1),
        optimizer=optimizer,
        augment=augment,
        schedule=schedule(optimizer) if schedule else None,
        early_stopping=stopping,
        checkpoint=path,
        **{"epochs": EPOCHS, "batch_size": BATCH, **options},
    )
    hook.remove()
    return history, model, steps


VARIANTS: dict[str, dict[str, Any]] = {
    "one cycle": {},
    "plateau, one-hot CutMix": {"schedule": plateau, "mix": CutMix(3)},
    "AdamW": {"adam": True, "rate": 0.01, "schedule": None},
    "bfloat16": {"precision": "bfloat16"},
}


@pytest.mark.parametrize("kill_after", [4, 6, 15])
@pytest.mark.parametrize("variant", VARIANTS)
def test_interrupted_equals_uninterrupted(tmp_path: Path, variant: str, kill_after: int) -> None:
    options = VARIANTS[variant]
    whole, model, _ = train(tmp_path / "whole.pt", **options)
    state = torch.get_rng_state()
    path = tmp_path / "parts.pt"
    first, _, _ = train(path, kill_after=kill_after, **options)
    assert len(first) == kill_after // 4
    torch.manual_seed(99)
    history, resumed, steps = train(path, **options)
    assert len(steps) == 4 * (EPOCHS - len(first))  # finished epochs are not repeated
    assert same(resumed.state_dict(), model.state_dict())
    assert same(history.rows, whole.rows)
    assert torch.equal(torch.get_rng_state(), state)  # the next training draws the same, too
    assert same(read_checkpoint(path), read_checkpoint(tmp_path / "whole.pt"))


def test_a_resumed_training_keeps_its_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe is timed: another day it might decide otherwise."""
    decisions = iter([torch.bfloat16, torch.float32])
    monkeypatch.setattr(precision, "_decision", lambda *_: [])  # nothing is remembered
    monkeypatch.setattr(precision, "_faster_dtype", lambda *_: next(decisions))
    path, options = tmp_path / "net.pt", {"epochs": 8, "batch_size": 1, "schedule": None}
    first, _, _ = train(path, kill_after=20, **options)
    again, _, steps = train(path, **options)
    assert len(steps) == 7 * 14
    assert first.precision == again.precision == "bfloat16"


def test_the_test_of_equality_can_fail(tmp_path: Path) -> None:
    train(tmp_path / "one.pt", rate=0.1)
    train(tmp_path / "other.pt", rate=0.11)
    one, other = (read_checkpoint(tmp_path / name) for name in ("one.pt", "other.pt"))
    assert not same(one, other)
    assert not same(one["model"], other["model"])
    assert not same(one["rows"], other["rows"])


def spoiled(model: nn.Module, *, after: int) -> nn.Module:
    """A model whose every step from this one on makes it worse, in a resumed training too."""

    def ruin(module: nn.Module, _: Any) -> None:
        if module.training and module[2].num_batches_tracked >= after:
            with torch.no_grad():
                module[-1].bias.copy_(torch.tensor([50.0, -50, 0]))

    model.register_forward_pre_hook(ruin)
    return model


def test_early_stopping_goes_on_where_it_was(tmp_path: Path) -> None:
    def run(name: str, **options: Any) -> tuple[History, nn.Module, int]:
        model = spoiled(net(), after=8)  # the second epoch is the last good one
        stopping = EarlyStopping(3)
        options |= {"stopping": stopping, "model": model, "schedule": plateau, "epochs": 9}
        history, model, _ = train(tmp_path / name, rate=0.02, **options)
        return history, model, stopping.best_epoch

    whole, model, best = run("whole.pt")
    assert (len(whole), best) == (5, 2)
    run("parts.pt", kill_after=4 * 3 + 1)  # after the best epoch and one bad one
    history, resumed, again = run("parts.pt")
    assert (len(history), again) == (5, 2)
    assert same(resumed.state_dict(), model.state_dict())
    assert resumed[-1].bias.abs().max() < 50  # the best weights came from the file
    assert same(read_checkpoint(tmp_path / "parts.pt"), read_checkpoint(tmp_path / "whole.pt"))


def test_a_finished_training_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.pt"
    first, model, _ = train(path)
    state, written = torch.get_rng_state(), path.read_bytes()
    capsys.readouterr()
    history, again, steps = train(path, label="lenet")
    assert steps == []
    assert history.finished
    assert history.rows == first.rows
    assert same(again.state_dict(), model.state_dict())
    assert torch.equal(torch.get_rng_state(), state)
    assert path.read_bytes() == written
    out = capsys.readouterr().out
    assert out == "lenet: finished before, after epoch 5; nothing to train\n"


def test_a_training_stopped_early_is_finished(tmp_path: Path) -> None:
    def run() -> tuple[History, list[int]]:
        model = spoiled(net(), after=0)
        options: dict[str, Any] = {"stopping": EarlyStopping(1), "epochs": 9, "schedule": plateau}
        history, _, steps = train(tmp_path / "net.pt", model=model, **options)
        return history, steps

    history, _ = run()
    assert len(history) < 9
    again, repeated = run()
    assert repeated == []
    assert again.rows == history.rows


def smooth(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, label_smoothing=0.1)


# What another training changes, and the settings that are named then.
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 1}, "random state, initial weights"),
    "rate": ({"rate": 0.2}, "optimizer, schedule"),
    "optimizer": ({"adam": True}, "optimizer"),
    "fewer pictures": ({"samples": 13}, "train"),
    "other pixels": ({"pixels": 1}, "train"),
    "no augmentation": ({"augment": None}, "augment"),
    "a degree more": ({"augment": RandomAffine(21, translate=0.2, flip=True)}, "augment"),
    "colours too": ({"augment": Augment(AFFINE, ColourJitter(0.2))}, "augment"),
    "one-hot targets": ({"mix": OneHot(3)}, "mix"),
    "another loss": ({"loss": smooth}, "loss"),
    "smoothed": ({"loss": functools.partial(F.cross_entropy, label_smoothing=0.1)}, "loss"),
    "a penalty": ({"penalty": lambda model: 0 * model[1].weight.sum()}, "penalty"),
    "no schedule": ({"schedule": None}, "optimizer, schedule"),
    "another schedule": ({"schedule": plateau}, "optimizer, schedule"),
    "early stopping": ({"stopping": EarlyStopping(3)}, "early stopping"),
    "batch size": ({"batch_size": 5}, "batch size"),
    "precision": ({"precision": "bfloat16"}, "precision"),
    "a layer's setting": ({"model": lambda: net(dropout=0.4)}, "model"),
    "a mended net": ({"model": lambda: nn.Sequential(*net(), nn.ReLU())}, "model"),
    "other layers": (
        {"model": linear},
        "model, optimizer, random state, initial weights",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_training_sets_the_file_aside_and_says_what_differs(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, differing = CHANGES[change]
    path, previous = tmp_path / "net.v1.pt", tmp_path / "net.v1.previous.pt"
    train(path, kill_after=4)
    old = path.read_bytes()
    capsys.readouterr()
    changes = dict(changes)
    if "model" in changes:
        changes["model"] = changes["model"]()
    history, _, steps = train(path, **changes)
    (message,) = [line for line in capsys.readouterr().out.splitlines() if "differs" in line]
    named = message.removeprefix("net.v1.pt: an earlier training differs in ").partition(";")[0]
    assert set(named.split(", ")) == set(differing.split(", "))
    assert message.endswith("; kept as net.v1.previous.pt, starting afresh")
    assert previous.read_bytes() == old
    assert len(history) == changes.get("epochs", EPOCHS)
    assert len(steps) >= 4 * 3
    assert read_checkpoint(path)["finished"]


LONGER: dict[str, dict[str, Any]] = {
    "no schedule": {"schedule": None},
    "plateau": {"schedule": plateau},
    "steps of epochs": {"schedule": lambda o: torch.optim.lr_scheduler.StepLR(o, 2)},
    "early stopping": {"schedule": None, "stopping": True},
    "AdamW, bfloat16": {"schedule": None, "adam": True, "precision": "bfloat16"},
}


@pytest.mark.parametrize("variant", LONGER)
@pytest.mark.parametrize("asked_before", [2, 4])
def test_more_epochs_go_on_with_the_bits_of_all_at_once(
    tmp_path: Path, variant: str, asked_before: int
) -> None:
    def options() -> dict[str, Any]:
        stopping = EarlyStopping(9, "val_accuracy") if LONGER[variant].get("stopping") else None
        return {**LONGER[variant], "stopping": stopping}

    whole, model, _ = train(tmp_path / "whole.pt", epochs=5, **options())
    train(tmp_path / "parts.pt", epochs=asked_before, **options())
    history, longer, steps = train(tmp_path / "parts.pt", epochs=5, **options())
    assert len(steps) == 4 * (5 - asked_before)
    assert same(longer.state_dict(), model.state_dict())
    assert same(history.rows, whole.rows)
    assert same(read_checkpoint(tmp_path / "parts.pt"), read_checkpoint(tmp_path / "whole.pt"))


def test_a_training_that_stopped_early_is_not_taken_up_by_more_epochs(tmp_path: Path) -> None:
    def options() -> dict[str, Any]:
        return {"stopping": EarlyStopping(1, "val_accuracy"), "schedule": None, "rate": 1e-9}

    first, model, _ = train(tmp_path / "net.pt", epochs=4, **options())
    assert len(first) == 2  # no better than the first epoch
    history, again, steps = train(tmp_path / "net.pt", epochs=9, **options())
    assert (len(history), steps, history.stopped) == (2, [], True)
    assert same(again.state_dict(), model.state_dict())


def test_the_file_of_a_finished_training_holds_the_best_weights(tmp_path: Path) -> None:
    stopping = EarlyStopping(9, "val_accuracy")  # the first of equals is the best
    _, model, _ = train(tmp_path / "net.pt", epochs=4, rate=1e-6, schedule=None, stopping=stopping)
    content = read_checkpoint(tmp_path / "net.pt")
    assert stopping.best_epoch < 4
    assert same(content["model"], stopping.best_weights)
    assert same(content["model"], model.state_dict())
    assert not same(content["last"], model.state_dict())


@pytest.mark.parametrize(
    ("before", "after", "differing"),
    [
        ({"epochs": 4}, {"epochs": 2}, "epochs (4 are done, 2 were asked for)"),
        ({"epochs": 2}, {"epochs": 4}, "schedule"),  # one-cycle and lambda: made for two epochs
    ],
)
def test_what_forbids_going_on_is_said(
    tmp_path: Path,
    before: dict[str, int],
    after: dict[str, int],
    differing: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def falling(epochs: int) -> Any:
        return lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 1 - epoch / epochs)

    def cycle_of(epochs: int) -> Any:
        return lambda o: one_cycle(o, epochs=epochs, samples=SAMPLES, batch_size=BATCH)

    makers = [lambda _: None] if differing != "schedule" else [falling, cycle_of]
    for number, make in enumerate(makers):
        path = tmp_path / f"{number}.pt"
        train(path, schedule=make(before["epochs"]), **before)
        capsys.readouterr()
        history, _, steps = train(path, schedule=make(after["epochs"]), **after)
        (message,) = [line for line in capsys.readouterr().out.splitlines() if "differs" in line]
        found = message.partition("differs in ")[2].partition("; kept")[0]
        assert found in (differing, f"optimizer, {differing}")  # its first rate differs, too
        assert len(steps) == 4 * after["epochs"]
        assert len(history) == after["epochs"]


class Scaled(nn.Sequential):
    """A net whose code a test changes."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * 1.0


def test_changed_code_of_the_model_is_another_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "net.pt", model=Scaled(*net()))
    assert train(tmp_path / "net.pt", model=Scaled(*net()))[2] == []

    def forward(self: nn.Sequential, images: Tensor) -> Tensor:
        return nn.Sequential.forward(self, images) * 2.0

    monkeypatch.setattr(Scaled, "forward", forward)
    assert len(train(tmp_path / "net.pt", model=Scaled(*net()))[2]) == 4 * EPOCHS
    assert "differs in model; kept as" in capsys.readouterr().out


# The real thing: kill -9

SCRIPT = """
import sys, time
from pathlib import Path

import torch
from torch import nn

from cvhelpers.augment import CutMix, RandomAffine
from cvhelpers.runtime import seed_everything
from cvhelpers.training import EarlyStopping, fit, one_cycle
from tiny import net, pictures, sgd

folder = Path(sys.argv[1])
torch.set_num_threads(1)


class Hold(nn.Module):
    '''Stands still in the second step of the third epoch while the file `hold` is there.'''

    calls = 0

    def forward(self, images):
        self.calls += 1
        if self.calls == 10 and (folder / "hold").exists():
            (folder / "waiting").touch()
            time.sleep(300)
        return images


seed_everything(3)
model = net(seed=3, dropout=0.3)
optimizer = sgd(model, 0.2)
history = fit(
    model,
    pictures(14),
    pictures(6, seed=1),
    epochs=6,
    batch_size=4,
    optimizer=optimizer,
    augment=nn.Sequential(RandomAffine(degrees=20, flip=True), Hold()),
    mix=CutMix(3),
    schedule=one_cycle(optimizer, epochs=6, samples=14, batch_size=4),
    early_stopping=EarlyStopping(5),
    checkpoint=folder / "net.pt",
    label="net",
)
torch.save([model.state_dict(), torch.rand(3)], folder / "final.pt")
"""


def start(script: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", str(script), str(folder)]
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=here)


def test_kill_9_in_mid_training_then_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, whole, parts = (tmp_path / name for name in ("script.py", "whole", "parts"))
    script.write_text(SCRIPT)
    for folder in (whole, parts):
        folder.mkdir()
    (parts / "hold").touch()
    killed = start(script, parts)
    deadline = time.monotonic() + 300
    try:
        monkeypatch.setattr(sys, "argv", [str(script), str(whole)])
        runpy.run_path(str(script), run_name="__main__")  # uninterrupted, meanwhile
        while not (parts / "waiting").exists():
            assert killed.poll() is None, killed.communicate()[0]
            assert time.monotonic() < deadline, "the training never came to its third epoch"
            time.sleep(0.02)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    left = read_checkpoint(parts / "net.pt")
    assert (len(left["rows"]), left["finished"]) == (2, False)
    assert not (parts / "final.pt").exists()

    (parts / "hold").unlink()
    resumed = start(script, parts)
    said, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0
    assert said.splitlines()[0] == "net: resumed after epoch 2 of 6"
    assert said.splitlines()[1].startswith("net epoch 3/6 ")
    one, other = (torch.load(folder / "final.pt") for folder in (whole, parts))
    assert same(one, other)  # final weights, and the random numbers that come next
    one, other = (read_checkpoint(folder / "net.pt") for folder in (whole, parts))
    assert len(one["rows"]) == 6
    assert same(one, other)
    assert not same(one["parts"]["optimizer"], left["parts"]["optimizer"])


# Files


def test_extra_content_comes_back(tmp_path: Path) -> None:
    model = net()
    extra = {"accuracy": 0.5, "names": ["a", "b"], "tensor": torch.arange(3)}
    path = save_checkpoint(tmp_path / "folder" / "net.pt", model, **extra)
    content = read_checkpoint(path)
    assert same({key: content[key] for key in extra}, extra)
    assert content["class"] == "Sequential"
    other = net(seed=1)
    assert same(load_weights(path, other)["names"], ["a", "b"])
    assert same(other.state_dict(), model.state_dict())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            nn.Sequential(nn.Linear(2, 3)),
            r"\(Sequential, here LeNet\): 0\.bias is not in the model; 0\.weight is not in the "
            r"model; fc\.bias is not in the checkpoint\.",
        ),
        ("wider", r"fc\.weight is \(3, 4\) there, \(3, 2\) here\. Build the same model, or give a"),
        ("bare", r"\(LeNet, here LeNet\): fc\.bias is not in the checkpoint\. Build the same mod"),
    ],
    ids=["foreign", "wider", "bare"],
)
def test_a_checkpoint_of_another_model_is_refused_and_the_model_stays(
    tmp_path: Path, other: Any, message: str
) -> None:
    class LeNet(nn.Module):
        def __init__(self, width: int = 2, bias: bool = True) -> None:
            super().__init__()
            self.fc = nn.Linear(width, 3, bias=bias)

        def forward(self, images: Tensor) -> Tensor:
            return self.fc(images.float().mean((2, 3))[:, :2])

    if isinstance(other, str):
        other = LeNet(width=4) if other == "wider" else LeNet(bias=False)
    path, model = save_checkpoint(tmp_path / "net.pt", other), LeNet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    written = path.read_bytes()
    with pytest.raises(ValueError, match=message) as error:
        load_weights(path, model)
    assert str(error.value).startswith(f"{path}: checkpoint of another model (")
    assert same(model.state_dict(), before)
    assert path.read_bytes() == written
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_named_with_the_mend(tmp_path: Path, share: float) -> None:
    path = tmp_path / "net.pt"
    train(path, kill_after=4)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    for read in (read_checkpoint, train):
        with pytest.raises(ValueError, match=r"net\.pt: not readable \(.*; delete it and train ag"):
            read(path)


@pytest.mark.parametrize("content", [torch.zeros(2), {"model": {}}, {"format": 2}, [1]], ids=str)
def test_a_file_of_another_kind_is_named_with_the_mend(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"net\.pt: not a checkpoint of this pack; delete it and"):
        read_checkpoint(tmp_path / "net.pt")


def test_a_missing_checkpoint_is_named_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"net\.pt: no checkpoint here; train first, or give ano"):
        read_checkpoint(tmp_path / "net.pt")


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch executed",)


@pytest.mark.parametrize("write", [torch.save, pickle.dump])
def test_a_checkpoint_cannot_run_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with Path("net.pt").open("wb") as file:
        write({"format": 1, "model": Evil()}, file)
    with pytest.raises(ValueError, match=r"net\.pt: not readable"):
        read_checkpoint("net.pt")
    assert not Path("executed").exists()


def test_a_full_disk_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_checkpoint(tmp_path / "net.pt", net(seed=1))

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, net(seed=2))
    model = net()
    load_weights(path, model)
    assert same(model.state_dict(), net(seed=1).state_dict())
    assert list(tmp_path.iterdir()) == [path]
