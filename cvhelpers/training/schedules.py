"""Learning-rate schedules and early stopping."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    CyclicLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)


def one_cycle(
    optimizer: Optimizer, *, epochs: int, samples: int, batch_size: int, warmup: float = 0.25
) -> OneCycleLR:
    """One rise to the optimizer's own learning rate and a cosine fall to nearly zero.

    Args:
        optimizer: its learning rate is the peak.
        epochs: how many epochs the cycle lasts; give `fit` the same number.
        samples: size of the training set.
        batch_size: the batch size given to `fit`.
        warmup: share of the steps that rise.

    Source: Smith & Topin, "Super-convergence", 2018.
    """
    steps = epochs * math.ceil(samples / batch_size)
    if warmup * steps == 1:  # the peak at the very first step, where torch divides by 0
        warmup -= 1e-9
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        pct_start=warmup,
        cycle_momentum=False,
    )


def plateau(optimizer: Optimizer, *, factor: float = 0.2, patience: int = 10) -> ReduceLROnPlateau:
    """Multiply the learning rate by `factor` after `patience` epochs without a lower val loss.

    `patience` means what it means in `EarlyStopping`, and in Keras: if epochs 2 to 11 have no
    lower loss than epoch 1, the rate is lower from epoch 12 on. (torch's own patience is one
    less: it allows so many epochs and acts at the next.) A loss counts as lower when it is so by
    0.01 %, torch's default.

    Raises:
        ValueError: a patience below 1.
    """
    if patience < 1:
        raise ValueError(f"patience must be 1 epoch or more, not {patience}")
    return ReduceLROnPlateau(optimizer, factor=factor, patience=patience - 1)


def steps_each_batch(schedule: LRScheduler | None, every: str = "auto") -> bool:
    """Whether a schedule is stepped after every batch; else it is after every epoch.

    PyTorch's convention: one step an epoch, but for the schedules made for batches, which are
    OneCycleLR, CyclicLR and CosineAnnealingWarmRestarts (its `T_0` then counts batches).

    Args:
        schedule: any schedule of torch, or None.
        every: `auto` for the convention; `batch` or `epoch` where the caller knows better, as for
            a LambdaLR that was written to count batches.

    Raises:
        ValueError: another word, or plateau, which needs the epoch's loss, with `batch`.
    """
    if every not in ("auto", "batch", "epoch"):
        raise ValueError(f"schedule_every={every!r} is unknown; choose auto, batch or epoch")
    if every == "batch" and isinstance(schedule, ReduceLROnPlateau):
        raise ValueError("plateau looks at the validation loss, once an epoch; leave out 'batch'")
    made_for_batches = (OneCycleLR, CyclicLR, CosineAnnealingWarmRestarts)
    return every == "batch" or (every == "auto" and isinstance(schedule, made_for_batches))


def step_schedule(schedule: LRScheduler | None, *, val_loss: float) -> None:
    """Advance a schedule by one epoch; plateau looks at `val_loss`."""
    if isinstance(schedule, ReduceLROnPlateau):
        schedule.step(val_loss)
    elif schedule is not None:
        schedule.step()


class EarlyStopping:
    """Stop when `monitor` has not improved for `patience` epochs, and restore the best weights.

    Args:
        patience: epochs without improvement that are allowed.
        monitor: a column of the history; names ending in `loss` are better lower, all others
            higher. It must be a validation column: training's own improve for ever.
    """

    def __init__(self, patience: int, monitor: str = "val_loss") -> None:
        if patience < 1:
            raise ValueError(f"patience must be 1 epoch or more, not {patience}")
        if not monitor.startswith("val_"):
            raise ValueError(f"monitor a validation column, e.g. 'val_loss', not {monitor!r}")
        self.patience = patience
        self.monitor = monitor
        self.best_value: float | None = None
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}

    def should_stop(self, row: dict[str, float], model: nn.Module) -> bool:
        """Look at one finished epoch; keep its weights if it is the best so far."""
        value = row[self.monitor]
        sign = -1 if self.monitor.endswith("loss") else 1
        if self.best_value is None or sign * value > sign * self.best_value:
            self.best_value, self.best_epoch = value, int(row["epoch"])
            self.best_weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
        return row["epoch"] - self.best_epoch >= self.patience

    def restore(self, model: nn.Module) -> None:
        """Give the model the weights of its best epoch."""
        model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what an exact resume needs."""
        return {
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.best_value = state["best_value"]
        self.best_epoch = state["best_epoch"]
        self.best_weights = state["best_weights"]
