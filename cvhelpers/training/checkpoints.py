"""Checkpoints: finished models to reuse, interrupted trainings to resume exactly."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cvhelpers.fingerprint import fingerprint_of
from cvhelpers.results import atomic_write
from cvhelpers.training.history import History
from cvhelpers.training.schedules import EarlyStopping

FORMAT = 1


def save_checkpoint(path: str | Path, model: nn.Module, **extra: Any) -> Path:
    """Write the model's weights, and `extra` beside them, atomically.

    Args:
        path: the file, usually `run.checkpoint(name)`.
        model: its `state_dict` is stored under "model".
        **extra: tensors, numbers, strings, lists and dicts of them; nothing else is read back.
    """
    content = {"format": FORMAT, "model": model.state_dict(), "class": type(model).__name__}
    return _write(path, content | extra)


def _write(path: str | Path, content: dict[str, Any]) -> Path:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return atomic_write(path, buffer.getvalue())


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint's content to the CPU; only tensors and plain values, never code.

    Raises:
        ValueError: missing, truncated, or not written by `save_checkpoint`.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no checkpoint here; train first, or give another name")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the broken bytes happen to lead to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: not readable ({reason}); delete it and train again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}: not a checkpoint of this pack; delete it and train again")
    return content


def load_weights(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Give `model` the weights of a checkpoint, all of them or none; return the whole content.

    Raises:
        ValueError: unreadable, or a checkpoint of another model: the message names the first
            parameters that do not fit. The model is unchanged then.
    """
    content = read_checkpoint(path)
    saved, own = content["model"], model.state_dict()
    wrong = [f"{name} is not in the checkpoint" for name in own.keys() - saved.keys()]
    wrong += [f"{name} is not in the model" for name in saved.keys() - own.keys()]
    wrong += [
        f"{name} is {tuple(saved[name].shape)} there, {tuple(own[name].shape)} here"
        for name in own.keys() & saved.keys()
        if saved[name].shape != own[name].shape
    ]
    if wrong:
        raise ValueError(
            f"{path}: checkpoint of another model ({content['class']}, here "
            f"{type(model).__name__}): {'; '.join(sorted(wrong)[:3])}. "
            "Build the same model, or give another checkpoint name"
        )
    model.load_state_dict(saved)
    return content


def _random_state(order: torch.Generator) -> dict[str, Any]:
    state: dict[str, Any] = {"cpu": torch.get_rng_state(), "order": order.get_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def _restore_random_state(state: dict[str, Any], order: torch.Generator) -> None:
    torch.set_rng_state(state["cpu"])
    order.set_state(state["order"])
    if "cuda" in state and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


class TrainingCheckpoint:
    """One training's resumable state in one file, tied to the settings it was started with.

    Saved after every epoch: weights, optimizer, schedule, early stopping, history, random states.
    A training that is killed and started again with equal settings goes on after its last
    finished epoch, and on the CPU ends with the very bits of an uninterrupted one; a finished
    one is not repeated. One that is asked for more epochs than before, all else being equal, goes
    on, too, with the bits of one that had been asked for them at once; a schedule made for a
    number of epochs (one-cycle) forbids it, since it is another schedule then. Where the settings
    differ (another seed, rate, data, model, ...) the file belongs to another training: it is kept
    under `*.previous.pt` and training starts afresh, saying what differs.

    Args:
        path: the file, usually `run.checkpoint(name)`.
        order: what draws the order of batches, saved and restored with torch's own states.
    """

    def __init__(self, path: str | Path, order: torch.Generator) -> None:
        self.path = Path(path)
        self.order = order
        self.settings: dict[str, str] = {}
        self.parts: dict[str, Any] = {}

    def resume(self, model: nn.Module, settings: Mapping[str, Any], *, epochs: int) -> History:
        """Restore a training with these settings; an empty history says: start at epoch 1.

        Args:
            model: the freshly built model.
            settings: all that the result depends on besides the model. What has a `state_dict`
                and changes while training (optimizer, schedule, early stopping) is saved and
                restored with the weights.
            epochs: how many there shall be in all.

        Raises:
            ValueError: an unreadable file.
        """
        self.settings = {name: _described(value) for name, value in settings.items()}
        self.settings["model"] = _described(model)
        self.settings["random state"] = _digest(torch.get_rng_state())
        self.settings["initial weights"] = _digest(*model.state_dict().values())
        moving = (Optimizer, LRScheduler, EarlyStopping)
        self.parts = {k: v for k, v in settings.items() if isinstance(v, moving)}
        if not self.path.exists():
            return History()
        content = read_checkpoint(self.path)
        there = content.get("settings", {})
        differing = [k for k in self.settings if self.settings[k] != there.get(k)]
        if epochs < len(content.get("rows", ())):
            differing.append(f"epochs ({len(content['rows'])} are done, {epochs} were asked for)")
        if differing:
            previous = self.path.with_suffix(".previous.pt")
            self.path.replace(previous)
            print(
                f"{self.path.name}: an earlier training differs in {', '.join(differing)}; "
                f"kept as {previous.name}, starting afresh"
            )
            return History()
        finished = content["stopped"] or len(content["rows"]) >= epochs
        model.load_state_dict(content["model"] if finished else content["last"])
        for name, part in self.parts.items():
            part.load_state_dict(content["parts"][name])
        _restore_random_state(content["random"], self.order)
        return History(
            content["rows"],
            finished=finished,
            stopped=content["stopped"],
            precision=content["precision"],
        )

    def save(self, model: nn.Module, history: History) -> None:
        """Write the state after an epoch; a finished training's weights are the best ones.

        Under "last" stand those of the last epoch, from which more epochs would go on.
        """
        stopping = [part for part in self.parts.values() if isinstance(part, EarlyStopping)]
        best = stopping[0].best_weights if stopping and history.finished else model.state_dict()
        content: dict[str, Any] = {"format": FORMAT, "class": type(model).__name__}
        content |= {"model": best, "last": model.state_dict(), "settings": self.settings}
        content["parts"] = {name: part.state_dict() for name, part in self.parts.items()}
        _write(self.path, content | {"random": _random_state(self.order)} | vars(history))


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _described(value: Any) -> str:
    """Write a setting as a text that changes when the training would."""
    if callable(getattr(type(value), "fingerprint", None)):  # Images, FeatureBatches
        return value.fingerprint()
    if isinstance(value, nn.Module):
        kinds = {type(module) for module in value.modules()}
        code = sorted(fingerprint_of(kind=kind) for kind in kinds)
        return f"{value!r} {code}"
    if isinstance(value, (Optimizer, LRScheduler, EarlyStopping)):
        state = value.state_dict()
        plain = {k: v for k, v in state.items() if isinstance(v, (int, float, str, list))}
        rates = fingerprint_of(rates=getattr(value, "lr_lambdas", ()))  # of a LambdaLR: no state
        return f"{type(value).__name__} {plain} {getattr(value, 'defaults', '')} {rates}"
    if isinstance(value, Iterable) and not isinstance(value, (str, Sequence)):
        return type(value).__qualname__  # batches of the user's own: nothing more can be known
    return fingerprint_of(value=value)
