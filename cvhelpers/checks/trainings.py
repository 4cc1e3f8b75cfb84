"""What was handed to `fit`, held against what was asked for."""

from __future__ import annotations

import math
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
from cvhelpers.masks import IGNORE
from cvhelpers.training import cross_entropy, one_cycle

# What an option of an augmentation is when it is not used, or its default.
_UNUSED = (0, None, "border", "reflect")

# Options of an optimizer that say how it computes, not what.
_HOW = {"params", "foreach", "fused", "capturable", "differentiable"}


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
    assert given["train"] is train, "fit trains on other images than those it was to be given"
    assert given["val"] is val, "fit is validated by other images than those it was to be given"
    for what, wanted in (("epochs", epochs), ("batch_size", batch_size), ("precision", precision)):
        assert given[what] == wanted, f"{what}: {wanted} was asked for, not {given[what]}"
    if seed is not None:
        assert given["seed"] == seed, f"torch is to be seeded with {seed}, not {given['seed']}"
    if net is not None:
        _same_start(model, net, seed)
    may = {id(p) for p in (model.parameters() if learning is None else learning)}
    _learns(model, may)
    check_optimizer(given["optimizer"], *optimizer)
    held = {id(p) for group in given["optimizer"].param_groups for p in group["params"]}
    assert may <= held, "the optimizer holds other weights, or a part of them: not all that learn"
    _same_loss(given["loss"], loss, outputs or len(train.classes), _masks(train), soft, model)
    check_augmentation(given["augment"], augment)
    _same_layer("mix", given["mix"], mix)
    _same_schedule(given, cycle, plateau, -(-_samples(train) // batch_size) * epochs)
    stops = given["early_stopping"]
    found = None if stops is None else (stops.patience, stops.monitor)
    assert found == stopping, f"early stopping: {stopping} was asked for, not {found}"
    assert (given["penalty"] is not None) == penalty, (
        f"a penalty was {'' if penalty else 'not '}asked for: {given['penalty']}"
    )
    if checkpoint is not ...:
        files = [None if one is None else Path(one) for one in (checkpoint, given["checkpoint"])]
        assert files[0] == files[1], f"checkpoint: {files[0]} was asked for, not {files[1]}"


def check_optimizer(got: Optimizer, kind: type[Optimizer], options: Mapping[str, Any]) -> None:
    """Hold an optimizer's kind and options, of all its groups, against what was asked for.

    Args:
        got: the optimizer.
        kind: its class.
        options: those that are not the kind's defaults; one may be a function of the parameter.

    Raises:
        AssertionError: another kind, or the first option that differs, with both values.
    """
    found = type(got).__name__
    assert type(got) is kind, f"the optimizer is to be {kind.__name__}, not {found}"
    fixed = {key: value for key, value in options.items() if not callable(value)}
    usual = kind([nn.Parameter(torch.zeros(1))], **{"lr": 0.1, **fixed}).param_groups[0]
    for group in got.param_groups:
        for key in usual.keys() - _HOW:
            value = group.get("max_lr", group["lr"]) if key == "lr" else group[key]
            for parameter in group["params"]:
                wanted = options.get(key, usual[key])
                wanted = wanted(parameter) if callable(wanted) else wanted
                assert _alike(value, wanted), (
                    f"{found}: {key} of {wanted} was asked for"
                    f"{'' if key in options else ' (its default)'}, not {value}"
                )


def check_augmentation(got: nn.Module | None, wanted: nn.Module | Mapping[str, Any] | None) -> None:
    """Hold what augments against the very layer that is wanted, or against settings.

    Args:
        got: layers of `cvhelpers.augment`, or None.
        wanted: a layer; or the options that are wanted, by their names, `flip` being the share of
            mirror images. What is not named must be at 0 or its default.

    Raises:
        AssertionError: the first option that differs, with both values.
    """
    if isinstance(wanted, nn.Module):
        assert got is wanted, "augmentation: fit is to be given the layers that were passed"
        return
    found: dict[str, Any] = {}
    for layer in [] if got is None else got.modules():
        if not list(layer.children()) and not isinstance(layer, (nn.ModuleList, nn.Sequential)):
            home = type(layer).__module__
            assert home.startswith("cvhelpers."), (
                f"augmentation: layers of cvhelpers.augment are asked for, not {home}'s "
                f"{type(layer).__name__}"
            )
            twice = found.keys() & _settings(layer).keys() - {"fill", "mode"}
            assert not twice, f"augmentation: {sorted(twice)} twice"
            found |= _settings(layer)
    assert bool(found) == bool(wanted), (
        f"augmentation: {wanted or 'none'} was asked for, not {found or 'none'}"
    )
    for key in sorted(found.keys() | (wanted or {}).keys()):
        one, other = found.get(key, 0), (wanted or {}).get(key, 0)
        assert _alike(one, other), f"augmentation: {key} of {other} was asked for, not {one}"


def _samples(data: Any) -> int:
    return len(data.labels)


def _masks(data: Any) -> bool:
    return bool(data.labels.dtype == torch.uint8)


def _same_start(model: nn.Module, net: Callable[[], nn.Module], seed: int | None) -> None:
    """The net that is wanted, and if it was seeded, with the first weights of that seed."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        if seed is not None:
            torch.manual_seed(seed)
        wanted = net()
    assert type(model) is type(wanted), (
        f"a {type(wanted).__name__} is to be trained, not a {type(model).__name__}"
    )
    shapes = [
        {name: tuple(value.shape) for name, value in one.state_dict().items()}
        for one in (model, wanted)
    ]
    assert shapes[0] == shapes[1], (
        "another net than was asked for: "
        f"{sorted(shapes[0].items() ^ shapes[1].items())[:2]} differ"
    )
    assert repr(model) == repr(wanted), (
        f"the net is built with other options than was asked for:\n{model}"
    )
    assert wanted is not model, "every training is to build a net of its own"
    if seed is not None:
        for name, value in wanted.state_dict().items():
            assert torch.equal(value.cpu(), model.state_dict()[name].cpu()), (
                f"{name}: not the first weights of seed {seed}; is torch seeded before the net "
                "is built?"
            )


def _learns(model: nn.Module, may: set[int]) -> None:
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (id(parameter) in may), (
            f"{name} is {'not ' if parameter.requires_grad else ''}to learn"
        )


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_alike, one, other))
    numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
    return math.isclose(one, other, rel_tol=1e-6) if numbers else bool(one == other)


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


def _settings(layer: nn.Module) -> dict[str, Any]:
    """The options of a layer of this pack, those at 0 left out; `flip` is a share."""
    options = {key: value for key, value in vars(layer).items() if key[0] != "_"}
    if "p" in options:  # HorizontalFlip's
        options["flip"] = options.pop("p")
    if isinstance(options.get("flip"), bool):  # RandomAffine's
        options["flip"] *= 0.5
    return {k: v for k, v in options.items() if k != "training" and v not in _UNUSED}


def _same_layer(what: str, got: nn.Module | None, wanted: nn.Module | None) -> None:
    told = [
        "none" if one is None else f"{type(one).__name__} {_settings(one)}" for one in (got, wanted)
    ]
    assert told[0] == told[1], f"{what}: {told[1]} was asked for, not {told[0]}"


def _same_schedule(
    given: Mapping[str, Any],
    cycle: bool | EllipsisType,
    plateau: tuple[float, int] | None,
    steps: int,
) -> None:
    schedule, every = given["schedule"], given["schedule_every"]
    if cycle is ...:
        return
    assert every == "auto", f"schedule_every is to stay at 'auto', not {every!r}"
    if schedule is not None:
        assert schedule.optimizer is given["optimizer"], "the schedule of another optimizer"
    if cycle:
        assert isinstance(schedule, OneCycleLR), f"a one-cycle schedule, not {schedule}"
        total = schedule.total_steps
        assert total == steps, f"the cycle is to last {steps} steps (all), not {total}"
        right = one_cycle(_any_optimizer(), epochs=steps, samples=1, batch_size=1)
        rises = [int(one._schedule_phases[0]["end_step"]) for one in (schedule, right)]
        assert rises[0] == rises[1], f"the rate is to rise for {rises[1]} steps, not {rises[0]}"
    elif plateau is not None:
        kind = type(schedule).__name__
        assert isinstance(schedule, ReduceLROnPlateau), (
            f"a rate that falls at a plateau, not {kind}"
        )
        told = f"mode {schedule.mode}, min_lr {schedule.min_lrs}"
        assert (schedule.mode, max(schedule.min_lrs)) == ("min", 0), f"of the loss, to 0: {told}"
        assert _alike(schedule.factor, plateau[0]), (
            f"the rate is to fall to {plateau[0]} of itself, not {schedule.factor}"
        )
        assert schedule.patience in (plateau[1] - 1, plateau[1]), (
            f"after {plateau[1]} epochs, not {schedule.patience} (torch's own count is one less)"
        )
    else:
        assert schedule is None, f"no schedule was asked for: {type(schedule).__name__}"


def _any_optimizer() -> Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
