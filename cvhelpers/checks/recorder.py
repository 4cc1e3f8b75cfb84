"""A training seen from outside: what a function hands to `fit`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch

from cvhelpers.training import History, fit

# What `fit` seems to return: three epochs, the second the best one, and all numbers different.
_FIRST = {"epoch": 1, "train_loss": 1.3, "train_accuracy": 0.51, "val_loss": 1.2}
_FIRST |= {"val_accuracy": 0.55, "val_iou": 0.31, "val_dice": 0.41, "learning_rate": 0.1}
_BEST = {"epoch": 2, "train_loss": 0.95, "train_accuracy": 0.59, "val_loss": 0.7}
_BEST |= {"val_accuracy": 0.75, "val_iou": 0.45, "val_dice": 0.53, "learning_rate": 0.1}
_LAST = {"epoch": 3, "train_loss": 0.9, "train_accuracy": 0.6, "val_loss": 0.8}
_LAST |= {"val_accuracy": 0.7, "val_iou": 0.4, "val_dice": 0.5, "learning_rate": 0.1}


def handed_to_fit(train_it: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
    """Call `train_it` with the notebook's `fit` replaced: nothing is trained.

    torch's random state is another at each call, so that a function that does not seed shows, and
    afterwards what it was before.

    Returns what `fit` was handed, by the names of its parameters, defaults included; under "seed"
    the one that torch was last given before, under "returned" what `train_it` returned, and under
    "history" what `fit` seemed to return: three epochs, of which the second is the best.

    Raises:
        AssertionError: `fit`, as the notebook has imported it, was not called exactly once.
    """
    rows = [{**row, "seconds": 1.0} for row in (_FIRST, _BEST, _LAST)]
    history = History(rows, finished=True)
    seeds: list[int] = []

    def pretend(*handed: Any, **named: Any) -> History:
        seeds.append(torch.initial_seed())
        return history

    gpus = range(torch.cuda.device_count())  # torch.seed() moves their states as well
    with (
        patch("__main__.fit", side_effect=pretend) as seen,
        patch("cvhelpers.training.fit", seen),  # as it may be imported inside of the function
        torch.random.fork_rng(devices=gpus),
    ):
        torch.seed()
        returned = train_it(*arguments, **options)
    name = getattr(train_it, "__name__", "the function")
    assert seen.call_count == 1, (
        f"{name} is to call `fit`, as imported above, once, not {seen.call_count} times"
    )
    call = inspect.signature(fit).bind(*seen.call_args.args, **seen.call_args.kwargs)
    call.apply_defaults()
    return call.arguments | {"seed": seeds[0], "returned": returned, "history": history}
