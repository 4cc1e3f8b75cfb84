"""What was handed to `fit`, held against what was asked for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import EllipsisType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from cvhelpers.checks.nets import agree
from cvhelpers.checks.parts import alike, check_augmentation, check_optimizer, settings
from cvhelpers.masks import IGNORE
from cvhelpers.training import cross_entropy, one_cycle
from cvhelpers.training.schedules import steps_each_batch


def check_fit(
    given: Mapping[str, Any],
    *,
    train: Any,
    val: Any,
    epochs: int,
    optimizer: tuple[type[Optimizer], Mapping[str, Any]],
    batch_size: int = 128,
    net: Callable[[], nn.Module] | None = None,
    seed: int | None = None,
    learning: Iterable[nn.Parameter] | None = None,
    outputs: int | None = None,
    soft: bool = False,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    augment: nn.Module | Mapping[str, Any] | None = None,
    mix: nn.Module | None = None,
    cycle: bool | EllipsisType = False,
    plateau: tuple[float, int] | None = None,
    stopping: tuple[int, str] | None = None,
    penalty: bool = False,
    precision: str = "auto",
    checkpoint: str | Path | EllipsisType | None = ...,
) -> None:
    """Hold what `fit` was handed against what was asked for; what is not named must be usual.

    Args:
        given: from `handed_to_fit`.
        train: the very images or features that are to be trained on.
        val: the very ones that validate.
        epochs: how many.
        optimizer: its kind, and those of its options that are not the kind's defaults; an option
            may be a function of the parameter, where parts of the net have values of their own.
            `lr` is the peak where a one-cycle schedule has one.
        batch_size: `fit`'s own unless another was asked for.
        net: builds the net that is wanted; with `seed`, its first weights must be these.
        seed: what torch was to be seeded with.
        learning: the parameters that may learn, None for all. The optimizer holds them all.
        outputs: logits a sample, for the comparison of losses; None for a logit each class.
        soft: whether targets are one-hot rows, as behind a `mix`.
        loss: of logits and targets, whose value and gradient are wanted.
        augment: None; the very layer that was passed on; or the settings of the pack's layers, by
            the names of their options, `flip` being the share of mirror images.
        mix: one with the settings that are wanted.
        cycle: whether `one_cycle` is wanted, over all steps; `...` for another schedule, which is
            for the caller to look at.
        plateau: factor and patience of the rate's fall.
        stopping: patience and monitored column of early stopping.
        penalty: whether there is to be one; which is for the caller to look at.
        precision: as for `fit`.
        checkpoint: the file, or None; `...` where it does not matter.

    Raises:
        AssertionError: the first thing that differs, with what was wanted and what came.
    """
    model = given["model"]
    for what, part, does in (("train", train, "trains on"), ("val", val, "is validated by")):
        kind = type(given[what]).__name__
        assert given[what] is part, (
            f"fit {does} other images than those it was to be given ({kind})"
        )
    for what, wanted in (("epochs", epochs), ("batch_size", batch_size)):
        assert given[what] == wanted, f"{what}: {wanted} was asked for, not {given[what]}"
    exact = precision == "auto" and given["precision"] == "float32"  # nobody minds more digits
    told = f"precision: {precision} was asked for, not {given['precision']}"
    assert given["precision"] == precision or exact, told
    if seed is not None:
        assert given["seed"] == seed, f"torch is to be seeded with {seed}, not {given['seed']}"
    if net is not None:
        _same_start(model, net, seed)
    may = {id(p) for p in (model.parameters() if learning is None else learning)}
    _learns(model, may)
    _same_schedule(given, cycle, plateau, -(-len(train.labels) // batch_size) * epochs)
    check_optimizer(given["optimizer"], *optimizer)
    held = {id(p) for group in given["optimizer"].param_groups for p in group["params"]}
    assert may <= held, "the optimizer holds other weights, or a part of them: not all that learn"
    _same_loss(
        given["loss"],
        loss,
        outputs or len(train.classes),
        train.labels.dtype == torch.uint8,
        soft,
        model,
    )
    check_augmentation(given["augment"], augment)
    _same_layer("mix", given["mix"], mix)
    stops = given["early_stopping"]
    found = None if stops is None else (stops.patience, stops.monitor)
    assert found == stopping, f"early stopping: {stopping} was asked for, not {found}"
    assert (given["penalty"] is not None) == penalty, (
        f"a penalty was {'' if penalty else 'not '}asked for: {given['penalty']}"
    )
    if checkpoint is not ...:
        files = [None if one is None else Path(one) for one in (checkpoint, given["checkpoint"])]
        assert files[0] == files[1], f"checkpoint: {files[0]} was asked for, not {files[1]}"


def _same_start(model: nn.Module, net: Callable[[], nn.Module], seed: int | None) -> None:
    """The net that is wanted, and if it was seeded, with the first weights of that seed."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        if seed is not None:
            torch.manual_seed(seed)
        wanted = net()
    kinds = [f"{type(one).__module__}.{type(one).__name__}" for one in (wanted, model)]
    assert type(model) is type(wanted), f"{kinds[0]} is to be trained, not {kinds[1]}"
    # By their order: names of layers play no part, but in the message.
    states = [list(one.state_dict().items()) for one in (wanted, model)]
    shapes = [[tuple(value.shape) for _, value in one] for one in states]
    pairs = itertools.zip_longest(*states, fillvalue=("nothing", torch.zeros(0)))
    told = [
        f"{n} {tuple(v.shape)}, wanted: {m} {tuple(w.shape)}"
        for (m, w), (n, v) in pairs
        if v.shape != w.shape
    ]
    assert shapes[0] == shapes[1], f"another net than was asked for: {told[0]}"
    lines = [re.sub(r"[(]\w+[)]: ", "", repr(one)).splitlines() for one in (wanted, model)]
    differ = next(("\n".join(two) for two in zip(*lines, strict=False) if two[0] != two[1]), "")
    options = "the net is built with other options: this was asked for, and that came"
    assert lines[0] == lines[1], f"{options}\n{differ}"
    assert wanted is not model, "every training is to build a net of its own"
    if seed is not None:
        for (_, value), (name, first) in zip(*states, strict=True):
            assert torch.equal(value.cpu(), first.cpu()), (
                f"{name}: not the first weights of seed {seed}: is torch seeded before the net "
                "is built, and is no step of its making left out?"
            )


def _learns(model: nn.Module, may: set[int]) -> None:
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (id(parameter) in may), (
            f"{name} is {'not ' if parameter.requires_grad else ''}to learn"
        )


def _same_loss(
    got: Callable[[Tensor, Tensor], Tensor],
    wanted: Callable[[Tensor, Tensor], Tensor],
    outputs: int,
    masks: bool,
    soft: bool,
    model: nn.Module,
) -> None:
    """Value and gradient for drawn logits; typical slips are named."""
    draw, device = torch.Generator().manual_seed(0), next(model.parameters()).device
    shape = (4, outputs, 6, 5) if masks else (12, outputs)
    logits = (2 * torch.randn(shape, generator=draw)).to(device).requires_grad_()
    kinds = max(2, outputs) if masks else outputs
    targets = torch.randint(kinds, (shape[0], *shape[2:]), generator=draw).to(device)
    if masks:
        targets = targets.byte()
        targets[:, 0] = IGNORE
    elif soft:
        targets = F.one_hot(targets, outputs).float()
    values = [one(logits, targets) for one in (got, wanted)]
    shares = logits.sigmoid() if outputs == 1 else logits.softmax(dim=1)
    squashed = "sigmoid" if outputs == 1 else "softmax"
    slips = {f"behind a {squashed}: the loss has its own": wanted(shares, targets)}
    counted = int((targets != IGNORE).sum()) if masks else len(logits)
    slips["where the batch is added up, not averaged"] = values[1] * counted
    if not masks:
        slips["from plain cross-entropy"] = F.cross_entropy(logits, targets)
        slips["from smoothed labels"] = F.cross_entropy(logits, targets, label_smoothing=0.1)
    else:
        slips["from cross-entropy alone"] = cross_entropy(logits, targets)
    agree(values[0], values[1], "the loss of some logits", slips=slips)
    assert values[0].requires_grad, "the loss has no gradient: nothing would be learnt"
    slopes = [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in values]
    agree(slopes[0], slopes[1], "the loss's gradient")


def _same_layer(what: str, got: nn.Module | None, wanted: nn.Module | None) -> None:
    if wanted is not None and got is not None and _same_rows(got, wanted):
        return
    told = [
        "none" if one is None else f"{type(one).__name__} {settings(one)}" for one in (got, wanted)
    ]
    assert told[0] == told[1], f"{what}: {told[1]} was asked for, not {told[0]}"


def _same_rows(got: Callable[..., Any], wanted: nn.Module) -> bool:
    """Whether both make the same rows of labels, and leave the images alone, as `OneHot` does."""
    labels = torch.arange(64) % 2  # so many that what mixes them at random shows
    images = torch.arange(64.0)[:, None, None, None].expand(-1, 3, 4, 4)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        rows = wanted(images, labels)[1]
        if rows.ndim != 2 or isinstance(got, type):
            return False
        made = got(images.clone(), labels)
    return bool(torch.equal(made[0], images) and torch.equal(made[1], rows))


def _same_schedule(
    given: Mapping[str, Any],
    cycle: bool | EllipsisType,
    plateau: tuple[float, int] | None,
    steps: int,
) -> None:
    schedule, every = given["schedule"], given["schedule_every"]
    if cycle is ...:
        return
    usual = steps_each_batch(schedule)
    assert schedule is None or steps_each_batch(schedule, every) == usual, (
        f"the schedule is to be stepped every {'batch' if usual else 'epoch'}, not {every}"
    )
    if schedule is not None:
        assert schedule.optimizer is given["optimizer"], "the schedule of another optimizer"
    if cycle:
        assert isinstance(schedule, OneCycleLR), f"a one-cycle schedule, not {schedule}"
        told = "its momentum is to stay: `one_cycle`, or torch's own with cycle_momentum=False"
        assert not schedule.cycle_momentum, told
        total = schedule.total_steps
        assert total == steps, f"the cycle is to last {steps} steps (all), not {total}"
        any_optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        right = one_cycle(any_optimizer, epochs=steps, samples=1, batch_size=1)
        rises = [int(one._schedule_phases[0]["end_step"]) for one in (schedule, right)]
        assert rises[0] == rises[1], f"the rate is to rise for {rises[1]} steps, not {rises[0]}"
    elif plateau is not None:
        kind = type(schedule).__name__
        assert isinstance(schedule, ReduceLROnPlateau), (
            f"a rate that falls at a plateau, not {kind}"
        )
        told = f"mode {schedule.mode}, min_lr {schedule.min_lrs}"
        assert (schedule.mode, max(schedule.min_lrs)) == ("min", 0), f"of the loss, to 0: {told}"
        assert alike(schedule.factor, plateau[0]), (
            f"the rate is to fall to {plateau[0]} of itself, not {schedule.factor}"
        )
        assert schedule.patience in (plateau[1] - 1, plateau[1]), (
            f"after {plateau[1]} epochs, for which torch's own patience is {plateau[1] - 1}: "
            f"{schedule.patience}"
        )
    else:
        assert schedule is None, f"no schedule was asked for: {type(schedule).__name__}"
