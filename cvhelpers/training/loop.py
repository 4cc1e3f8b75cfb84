"""The training loop: plain functions, one screen each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cvhelpers.models.modes import evaluating
from cvhelpers.training.batches import Data, batches_of, labels_of, look_ahead
from cvhelpers.training.checkpoints import TrainingCheckpoint
from cvhelpers.training.history import History
from cvhelpers.training.losses import cross_entropy
from cvhelpers.training.metrics import Totals
from cvhelpers.training.precision import Policy, device_policy
from cvhelpers.training.preflight import check_labels, check_setup
from cvhelpers.training.progress import Progress
from cvhelpers.training.schedules import EarlyStopping, step_schedule, steps_each_batch

Loss = Callable[[Tensor, Tensor], Tensor]


def fit(
    model: nn.Module,
    train: Data,
    val: Data,
    *,
    epochs: int,
    optimizer: Optimizer,
    batch_size: int = 128,
    loss: Loss = cross_entropy,
    augment: nn.Module | None = None,
    mix: nn.Module | None = None,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    schedule: LRScheduler | None = None,
    schedule_every: str = "auto",
    early_stopping: EarlyStopping | None = None,
    precision: str = "auto",
    checkpoint: str | Path | None = None,
    label: str = "",
    on_epoch: Callable[[History], object] | None = None,
) -> History:
    """Train `model`, look at `val` after every epoch, and return the history.

    The order of batches has a generator of its own, seeded with what `torch.manual_seed` (or
    `seed_everything`) was last given. So trainings of one seed see their images in the same order
    in every epoch, whatever net is initialised before or augmentation drawn between: variants
    differ in what is compared alone.

    Args:
        model: takes raw batches `(B, C, H, W)` in 0..255, returns logits `(B, K)`, or for masks
            `(B, K, H, W)`; on its device already.
        train: training images, or batches of your own.
        val: validation images, or batches of your own. Never a test set.
        epochs: how many times to go through `train`, at least 1.
        optimizer: over all parameters of the model that are not frozen.
        batch_size: for `Images`; batches of your own have theirs.
        loss: of float32 logits and targets, a mean over the batch. Validation always uses plain
            cross-entropy, so that curves can be compared.
        augment: layers applied to training images only; masks move with their images.
        mix: a batch transform of (images, targets), e.g. `OneHot` or `CutMix`.
        penalty: a function of the model, added to the loss, e.g. an L1 norm of the weights.
        schedule: any schedule of torch, made from `optimizer`.
        schedule_every: when it is stepped: `auto` follows PyTorch's convention, once an epoch but
            for the schedules made for batches, such as one-cycle; or `batch`, or `epoch`.
        early_stopping: stops, and restores the best weights at the end.
        precision: `auto`, `float32` or `bfloat16` for training steps; evaluation is float32.
        checkpoint: file to save to after every epoch and to resume from, usually
            `run.checkpoint(name)`; asked for more epochs than before, a training goes on. See
            `TrainingCheckpoint`.
        label: stands before the progress.
        on_epoch: is given the history after every epoch, to look at: `visualize.LiveCurves`.

    Returns:
        One row an epoch. A keyboard interrupt returns what there is so far.

    Raises:
        ValueError: epochs that are no whole number of 1 or more, no batches, an optimizer that
            does not hold the model's parameters, labels or masks that do not fit the logits,
            unknown precision, a broken checkpoint.
        FloatingPointError: the loss became NaN or infinite.
    """
    check_setup(model, optimizer, schedule, epochs=epochs, batch_size=batch_size)
    each_batch = steps_each_batch(schedule, schedule_every)
    step: dict[str, Any] = {"optimizer": optimizer, "loss": loss, "augment": augment}
    step |= {"mix": mix, "penalty": penalty, "schedule": schedule if each_batch else None}
    order = torch.Generator().manual_seed(torch.initial_seed())
    history, saved = History(), TrainingCheckpoint(checkpoint, order) if checkpoint else None
    if saved:
        settings = {**step, "early stopping": early_stopping, "precision": precision}
        settings |= {"train": train, "val": val, "batch size": batch_size, "schedule": schedule}
        settings |= {"schedule every": schedule_every, "code": (train_epoch, batches_of)}
        history = saved.resume(model, settings, epochs=epochs)
    images, steps = look_ahead(train, batch_size, epochs)
    precision = history.precision or precision
    policy = device_policy(model, images, precision=precision, steps=steps)
    history.precision = str(policy.dtype).removeprefix("torch.")
    with Progress(label, epochs, history) as progress:
        while not history.finished:
            started = time.perf_counter()
            batches = batches_of(train, policy.device, batch_size, shuffle=True, generator=order)
            row: dict[str, float] = {"epoch": len(history) + 1}
            row |= _prefixed(
                "train", train_epoch(model, batches, policy, labels=labels_of(train), **step)
            )
            row |= _prefixed("val", evaluate(model, val))
            row["learning_rate"] = optimizer.param_groups[0]["lr"]
            row["seconds"] = time.perf_counter() - started
            if not each_batch:
                step_schedule(schedule, val_loss=row["val_loss"])
            history.rows.append(row)
            history.stopped = early_stopping is not None and early_stopping.should_stop(row, model)
            history.finished = history.stopped or len(history) >= epochs
            if saved:
                saved.save(model, history)
            if history.finished and early_stopping:
                early_stopping.restore(model)
            progress.show(row)
            if on_epoch:
                on_epoch(history)
    return history


def train_epoch(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    policy: Policy,
    *,
    optimizer: Optimizer,
    loss: Loss = cross_entropy,
    augment: nn.Module | None = None,
    mix: nn.Module | None = None,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    schedule: LRScheduler | None = None,
    labels: Tensor | None = None,
) -> dict[str, float]:
    """Go once through `batches`; return the mean loss (without penalty) and what `Totals` counts.

    `schedule` is one that is stepped every batch. `labels`, all of them, are held against the
    logits at the first step; without them the first batch's are.
    """
    for module in (model, augment, mix):
        if module is not None:
            module.train()
    totals = Totals(policy.device)
    for images, targets in batches:
        if augment is not None and targets.dtype == torch.uint8:  # masks move with their images
            images, targets = augment(images, targets)
        elif augment is not None:
            images = augment(images)
        if mix is not None:
            images, targets = mix(images, targets)
        with policy.autocast():
            logits = model(policy.lay_out(images)).float()
        if not totals.samples:
            check_labels(targets if labels is None else labels, logits)
        value = loss(logits, targets)
        optimizer.zero_grad(set_to_none=True)
        (value if penalty is None else value + penalty(model)).backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        totals.add(value, logits, targets)
    averages = totals.averages()
    if not math.isfinite(averages["loss"]):
        raise FloatingPointError(
            f"the training loss became {averages['loss']}: lower the learning rate (now "
            f"{optimizer.param_groups[0]['lr']:.2g}), or train in float32 if this was bfloat16"
        )
    return averages


def predict(model: nn.Module, data: Data, *, batch_size: int | None = None) -> Tensor:
    """Return the logits of all images, in order, float32 `(N, K, ...)` on the model's device."""
    device = next(model.parameters()).device
    with evaluating(model), torch.inference_mode():
        batches = batches_of(data, device, batch_size)
        return torch.cat([model(images).float() for images, _ in batches])


def evaluate(model: nn.Module, data: Data, *, batch_size: int | None = None) -> dict[str, float]:
    """Return `{"loss": ..., "accuracy": ...}` of `model` on `data`, without augmentation.

    Loss is the mean cross-entropy; accuracy a fraction. Of masks there are `iou` and `dice`, too:
    see `mask_scores`. BatchNorm and dropout are in evaluation mode, the forward pass in float32,
    and the model's mode is restored. `batch_size` None: 512 images, fewer if they are large.
    """
    device = next(model.parameters()).device
    totals = Totals(device)
    with evaluating(model), torch.inference_mode():
        for images, targets in batches_of(data, device, batch_size):
            logits = model(images).float()
            if not totals.samples:
                labels = labels_of(data)
                check_labels(targets if labels is None else labels, logits)
            totals.add(cross_entropy(logits, targets), logits, targets)
    return totals.averages()


def _prefixed(prefix: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in values.items()}
