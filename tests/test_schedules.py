"""Schedules and early stopping, step by step."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import net, sgd
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    LambdaLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from cvhelpers.training import EarlyStopping, one_cycle, plateau
from cvhelpers.training.schedules import step_schedule, steps_each_batch


def weight(value: float = 0.0) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def rates_of_one_cycle(rate: float, **options: float) -> list[float]:
    optimizer = sgd(weight(), rate)
    schedule = one_cycle(optimizer, **options)
    rates = []
    for _ in range(schedule.total_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_one_cycle_rises_to_the_optimizers_rate_and_falls_to_nearly_zero() -> None:
    rates = rates_of_one_cycle(0.5, epochs=4, samples=50, batch_size=8)
    assert len(rates) == 4 * 7  # the seventh batch of an epoch has two samples
    assert rates[0] == pytest.approx(0.5 / 25)
    top = 28 // 4 - 1  # a quarter of the steps rises
    assert rates[top] == max(rates) == pytest.approx(0.5)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(0.5 / 25 / 1e4)


def test_the_rise_has_the_length_asked_for() -> None:
    rates = rates_of_one_cycle(1.0, epochs=1, samples=20, batch_size=1, warmup=0.5)
    assert rates.index(max(rates)) == 9


@pytest.mark.parametrize("steps", range(2, 10))
def test_short_cycles_end_low_whatever_their_length(steps: int) -> None:
    rates = rates_of_one_cycle(1.0, epochs=1, samples=steps, batch_size=1)
    assert len(rates) == steps
    assert max(rates) > 0.6
    assert rates[-1] == pytest.approx(1 / 25 / 1e4)


def test_the_fall_is_a_cosine() -> None:
    rates = rates_of_one_cycle(1.0, epochs=1, samples=82, batch_size=1, warmup=0.5)
    top, low = rates[40], rates[-1]
    cosine = [low + (top - low) * (1 + math.cos(math.pi * k / 41)) / 2 for k in range(42)]
    assert rates[40:] == pytest.approx(cosine)


def test_one_cycle_leaves_the_momentum_alone_and_keeps_each_groups_rate() -> None:
    first, second = weight(), weight()
    groups = [{"params": first.parameters(), "lr": 0.1}, {"params": second.parameters(), "lr": 1}]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    schedule = one_cycle(optimizer, epochs=1, samples=8, batch_size=1)
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 1])
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9, 0.9]


def test_plateau_waits_and_then_multiplies() -> None:
    optimizer = sgd(weight(), 1.0)
    schedule = plateau(optimizer, factor=0.1, patience=2)
    rates = []
    for loss in (1.0, 0.5, 0.6, 0.7, 0.8, 0.4):
        step_schedule(schedule, val_loss=loss)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1])


def test_plateau_has_the_assignments_defaults() -> None:
    schedule = plateau(sgd(weight()))
    assert (schedule.factor, schedule.mode) == (0.2, "min")
    for _ in range(1 + 9):
        step_schedule(schedule, val_loss=1.0)
    assert schedule.get_last_lr() == [0.05]
    step_schedule(schedule, val_loss=1.0)  # the tenth epoch without a lower loss
    assert schedule.get_last_lr() == pytest.approx([0.01])


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_plateau_and_early_stopping_count_alike(patience: int) -> None:
    losses = [1.0, 0.9, 0.95, 0.8, *[0.85] * 9]
    schedule, stopping = plateau(sgd(weight(), 1.0), patience=patience), EarlyStopping(patience)
    model = weight()
    for epoch, loss in enumerate(losses, 1):
        step_schedule(schedule, val_loss=loss)
        stopped = stopping.should_stop({"epoch": epoch, "val_loss": loss}, model)
        assert (schedule.get_last_lr()[0] < 1) == stopped
        if stopped:
            break
    assert stopped


def test_plateau_needs_an_epoch_to_wait() -> None:
    with pytest.raises(ValueError, match="patience must be 1 epoch or more, not 0"):
        plateau(sgd(weight()), patience=0)


@pytest.mark.parametrize(
    ("make", "each_batch"),
    [
        (lambda o: one_cycle(o, epochs=2, samples=8, batch_size=1), True),
        (lambda o: CyclicLR(o, 0.01, 0.1), True),
        (lambda o: CosineAnnealingWarmRestarts(o, 5), True),
        (lambda o: StepLR(o, 30), False),
        (lambda o: CosineAnnealingLR(o, 10), False),
        (lambda o: LambdaLR(o, lambda step: 1.0), False),
        (lambda o: SequentialLR(o, [StepLR(o, 1), StepLR(o, 2)], [1]), False),
        (plateau, False),
        (lambda o: None, False),
    ],
)
def test_pytorchs_convention_says_when_a_schedule_is_stepped(
    make: Callable[[torch.optim.Optimizer], Any], each_batch: bool
) -> None:
    schedule = make(sgd(weight()))
    assert steps_each_batch(schedule) == each_batch
    assert not steps_each_batch(schedule, "epoch")
    if not isinstance(schedule, ReduceLROnPlateau):
        assert steps_each_batch(schedule, "batch")


def test_plateau_is_not_stepped_by_batch_and_a_third_word_is_refused() -> None:
    with pytest.raises(ValueError, match="validation loss, once an epoch"):
        steps_each_batch(plateau(sgd(weight())), "batch")
    with pytest.raises(ValueError, match="'step' is unknown; choose auto, batch or epoch"):
        steps_each_batch(None, "step")


def stop_after(stopping: EarlyStopping, *values: float) -> list[bool]:
    """Show it epochs with these values; the weight of an epoch is its number."""
    return [
        stopping.should_stop({"epoch": epoch, stopping.monitor: value}, weight(epoch))
        for epoch, value in enumerate(values, start=1)
    ]


def test_a_loss_is_better_lower() -> None:
    stopping = EarlyStopping(2)
    assert stop_after(stopping, 3.0, 2.0, 2.0, 2.5) == [False, False, False, True]
    assert (stopping.best_epoch, stopping.best_value) == (2, 2.0)  # a tie is no improvement
    model = weight(9)
    stopping.restore(model)
    assert model.weight.item() == 2


def test_everything_else_is_better_higher() -> None:
    stopping = EarlyStopping(1, "val_accuracy")
    assert stop_after(stopping, 0.2, 0.3, 0.1) == [False, False, True]
    assert stopping.best_epoch == 2


def test_an_improvement_starts_the_patience_again() -> None:
    assert not any(stop_after(EarlyStopping(2), 5, 6, 4, 5, 3, 4, 2))


def test_kept_weights_are_copies() -> None:
    model, stopping = net(), EarlyStopping(3)
    stopping.should_stop({"epoch": 1, "val_loss": 1.0}, model)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    model[2].running_mean.add_(1)
    stopping.restore(model)
    assert all(torch.equal(model.state_dict()[name], kept[name]) for name in kept)


def test_a_saved_state_goes_on_where_it_was() -> None:
    first, second = EarlyStopping(2), EarlyStopping(2)
    stop_after(first, 2.0, 1.0, 1.5)
    second.load_state_dict(first.state_dict())
    assert second.should_stop({"epoch": 4, "val_loss": 1.2}, weight(4))
    model = weight(9)
    second.restore(model)
    assert model.weight.item() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience must be 1 epoch or more, not 0"),
        ({"patience": 3, "monitor": "train_loss"}, "validation column, e.g. 'val_loss', not 'tr"),
        ({"patience": 3, "monitor": "loss"}, "validation column, .*, not 'loss'"),
    ],
)
def test_what_cannot_be_asked(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**options)
