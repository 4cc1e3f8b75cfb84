"""What can be seen to be wrong before it does harm: said early, with the mend."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cvhelpers.masks import IGNORE


def check_setup(
    model: nn.Module,
    optimizer: Optimizer,
    schedule: LRScheduler | None,
    **counts: int,
) -> None:
    """Hold what `fit` is given together: does this optimizer train this model, and all of it?

    Args:
        model: with at least one parameter that is not frozen.
        optimizer: holds every parameter of the model that is not frozen.
        schedule: made for this optimizer, or None.
        **counts: `epochs` and the like: whole numbers of 1 or more.

    Raises:
        ValueError: naming what does not fit, and the mend.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not hasattr(count, "__index__") or count < 1:
            raise ValueError(f"{name} must be 1 or more, not {count!r}: a whole number of them")
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not wanted:
        raise ValueError(
            f"every parameter of {type(model).__name__} is frozen: there is nothing to train; "
            "unfreeze a part of it, e.g. model.unfreeze() or part.requires_grad_(True)"
        )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    absent = [name for name, p in wanted.items() if id(p) not in held]
    if len(absent) == len(wanted):
        raise ValueError(
            f"the optimizer holds none of the parameters of this {type(model).__name__}: it was "
            "made for another model, or before this one was built anew. Make it after the model: "
            f"torch.optim.{type(optimizer).__name__}(model.parameters(), ...)"
        )
    if absent:
        raise ValueError(
            f"the optimizer lacks {len(absent)} of {len(wanted)} trainable parameters "
            f"({', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''}): they would stay as "
            "they are. Give it model.parameters(), or freeze on purpose what shall stay: "
            "part.requires_grad_(False)"
        )
    if schedule is not None and getattr(schedule, "optimizer", optimizer) is not optimizer:
        raise ValueError(
            f"the {type(schedule).__name__} belongs to another optimizer: the rate of this one "
            "would never change. Make the schedule after the optimizer, from it"
        )


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """Hold class labels against the shape of the logits: on a GPU a wrong one kills the process.

    Args:
        labels: int64 `(N,)`, or uint8 masks `(N, H, W)`; soft targets pass.
        logits: `(B, K)`, or `(B, K, H, W)` for masks. K = 1 there stands for two classes.

    Raises:
        ValueError: a label below 0, or K and more; masks of another size than the logits.
    """
    if labels.is_floating_point() or not len(labels):
        return
    classes = logits.shape[1]
    if labels.dtype == torch.uint8:
        if logits.ndim != 4 or logits.shape[2:] != labels.shape[1:]:
            raise ValueError(
                f"masks {tuple(labels.shape)} need logits (B, K, {labels.shape[1]}, "
                f"{labels.shape[2]}), but the net gives {tuple(logits.shape)}"
            )
        labels = torch.where(labels == IGNORE, 0, labels)
        classes = max(2, classes)
    low, high = (int(bound) for bound in labels.aminmax())
    if low < 0 or high >= classes:
        raise ValueError(
            f"labels go from {low} to {high}, but the net has {logits.shape[1]} logits, for labels "
            f"0 to {classes - 1}; number the classes from 0, or build the net for {high + 1} "
            "classes"
        )
