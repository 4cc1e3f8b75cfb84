"""Parts of what was handed to `fit`: what it returned, its optimizer, its augmentation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

# What an option of an augmentation is when it is not used, or its default.
_UNUSED = (0, None, "border", "reflect")

# Options of an optimizer that say how it computes, not what.
_HOW = {"params", "foreach", "fused", "capturable", "differentiable"}


def check_returned(given: Mapping[str, Any], *, frame: bool = False) -> None:
    """Hold what a training returned against (model, history), or (model, history's frame).

    Args:
        given: from `handed_to_fit`.
        frame: whether the history's frame is wanted.

    Raises:
        AssertionError: no pair, another net, or another history.
    """
    got, what = given["returned"], "history.frame()" if frame else "history"
    pair = isinstance(got, (tuple, list)) and len(got) == 2
    assert pair, f"returns (model, {what}), a pair, not a {type(got).__name__}"
    net = type(got[0]).__name__
    assert got[0] is given["model"], f"returns (model, {what}): first the trained net, not a {net}"
    history, second = given["history"], type(got[1]).__name__
    same = history.frame().equals(got[1]) if frame else got[1] is history
    assert same, f"returns (model, {what}): second fit's {what}, not this {second}"


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
                assert alike(value, wanted), (
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
    kind = getattr(got, "__name__", type(got).__name__)
    assert got is None or isinstance(got, nn.Module), f"augmentation: layers, not {kind} (no call?)"
    containers = (nn.ModuleList, nn.Sequential, nn.Identity)
    for layer in [] if got is None else got.modules():
        if not list(layer.children()) and not isinstance(layer, containers):
            home = type(layer).__module__
            assert home.startswith("cvhelpers."), (
                f"augmentation: layers of cvhelpers.augment are asked for, not {home}'s "
                f"{type(layer).__name__}"
            )
            twice = found.keys() & settings(layer).keys() - {"fill", "mode"}
            assert not twice, f"augmentation: {sorted(twice)} twice"
            free = {"fill", "mode"} - (wanted or {}).keys()  # whatever suits, if not asked for
            found |= {key: one for key, one in settings(layer).items() if key not in free}
    assert bool(found) == bool(wanted), (
        f"augmentation: {wanted or 'none'} was asked for, not {found or 'none'}"
    )
    for key in sorted(found.keys() | (wanted or {}).keys()):
        one, other = found.get(key, 0), (wanted or {}).get(key, 0)
        assert alike(one, other), f"augmentation: {key} of {other} was asked for, not {one}"


def alike(one: Any, other: Any) -> bool:
    """Whether two settings are equal; numbers, alone or in pairs, up to rounding."""
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(alike, one, other))
    numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
    return math.isclose(one, other, rel_tol=1e-6) if numbers else bool(one == other)


def settings(layer: nn.Module) -> dict[str, Any]:
    """The options of a layer of this pack, those at 0 left out; `flip` is a share."""
    options = {key: value for key, value in vars(layer).items() if key[0] != "_"}
    if "p" in options:  # HorizontalFlip's
        options["flip"] = options.pop("p")
    if isinstance(options.get("flip"), bool):  # RandomAffine's
        options["flip"] *= 0.5
    return {k: v for k, v in options.items() if k != "training" and v not in _UNUSED}
