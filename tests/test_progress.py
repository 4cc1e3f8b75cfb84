"""One bar a training where somebody watches, one line an epoch where nobody does."""

import functools
from typing import Any

import pytest
from tiny import net, pictures, sgd
from tqdm.notebook import tqdm as notebook_bar

from cvhelpers.training import History, fit, progress
from cvhelpers.training.progress import Progress

ROW = {
    "epoch": 2,
    "train_loss": 1.25,
    "train_accuracy": 0.5,
    "val_loss": 2.0,
    "val_accuracy": 0.256,
    "learning_rate": 0.003,
    "seconds": 12.34,
}
TEXT = "loss 1.250/2.000  accuracy 50.0%/25.6% (train/val)  rate 3.0e-03"


class Bar:
    """Stands in for tqdm and keeps what it is told."""

    made: list["Bar"]

    def __init__(self, **options: Any) -> None:
        self.options, self.text, self.steps, self.closed = options, "", 0, False
        self.made.append(self)

    def set_postfix_str(self, text: str) -> None:
        self.text = text

    def update(self) -> None:
        self.steps += 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    Bar.made = []
    monkeypatch.setattr(progress, "has_front_end", lambda: True)
    monkeypatch.setattr(progress, "tqdm", Bar)
    return Bar.made


def test_without_a_front_end_an_epoch_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("lenet", 5, History()) as shown:
        shown.show(ROW)
    captured = capsys.readouterr()
    assert captured.out == f"lenet epoch 2/5  {TEXT}  12.3 s\n"
    assert captured.err == ""
    with Progress("", 5, History()) as shown:
        shown.show(ROW)
    assert capsys.readouterr().out.startswith("epoch 2/5  loss")


def test_with_a_front_end_there_is_one_bar(
    bars: list[Bar], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("lenet", 5, History()) as shown:
        shown.show(ROW)
        shown.show(ROW)
        assert not bars[0].closed
    (bar,) = bars
    wanted = {"total": 5, "initial": 0, "desc": "lenet", "unit": "epoch"}
    assert bar.options == {**wanted, "bar_format": progress._FORMAT}
    assert (bar.text, bar.steps, bar.closed) == (TEXT, 2, True)
    assert capsys.readouterr().out == ""


def test_the_real_bar_says_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "has_front_end", lambda: True)
    model = net()
    fit(model, pictures(), pictures(), epochs=2, optimizer=sgd(model), label="lenet")
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.replace("\n", "\r").split("\r")[-2]
    assert "lenet: 100%" in last
    assert "2/2 [" in last
    assert "(train/val)" in last


def test_a_resumed_training_says_so_and_its_bar_starts_there(
    bars: list[Bar], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("lenet", 5, History([ROW, ROW])):
        pass
    assert bars[0].options["initial"] == 2
    assert capsys.readouterr().out == "lenet: resumed after epoch 2 of 5\n"


def test_a_finished_training_has_no_bar(
    bars: list[Bar], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("lenet", 5, History([ROW, ROW], finished=True)):
        pass
    assert bars == []
    assert capsys.readouterr().out == "lenet: finished before, after epoch 2; nothing to train\n"


def test_an_interrupt_ends_the_block_and_is_told(
    bars: list[Bar], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("lenet", 5, History()):
        raise KeyboardInterrupt
    assert bars[0].closed
    assert capsys.readouterr().out == "lenet: interrupted; the history so far is returned\n"


def test_every_other_error_passes_and_the_bar_is_closed(bars: list[Bar]) -> None:
    def broken() -> None:
        with Progress("lenet", 5, History()):
            raise FloatingPointError("the training loss became nan")

    with pytest.raises(FloatingPointError, match="became nan"):
        broken()
    assert bars[0].closed


def test_in_a_notebook_label_and_numbers_keep_their_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else JupyterLab breaks each of them over two lines."""
    monkeypatch.setattr(progress, "has_front_end", lambda: True)
    monkeypatch.setattr(progress, "tqdm", functools.partial(notebook_bar, display=False))
    with Progress("ResNet-18, seed 0", 5, History()) as shown:
        assert shown.bar is not None
        label, stripe, numbers = shown.bar.container.children
        assert (label.layout.flex, numbers.layout.flex) == ("none", "none")
        assert stripe.layout.flex == "1 1 0"
