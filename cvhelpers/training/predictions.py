"""Predictions kept in files, and several nets' predictions put together."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cvhelpers.data.images import Images
from cvhelpers.results import atomic_write
from cvhelpers.training.loop import predict


def save_predictions(path: str | Path, model: nn.Module, images: Images) -> Path:
    """Write the model's probabilities for `images`, with their names, atomically; return the path.

    Raises:
        ValueError: images without names: what is predicted for whom could not be told later.
    """
    if not images.names:
        raise ValueError("these images have no names, so that nobody could tell their order later")
    buffer = io.BytesIO()
    probabilities = predict(model, images).softmax(dim=1).cpu()
    torch.save({"probabilities": probabilities, "names": list(images.names)}, buffer)
    return atomic_write(path, buffer.getvalue())


def ensemble(paths: Sequence[str | Path]) -> Tensor:
    """The mean of several nets' saved probabilities: float32 `(N, K)` on the CPU.

    Every net counts alike. Source: Lakshminarayanan et al., "Simple and scalable predictive
    uncertainty estimation using deep ensembles", 2017.

    Raises:
        ValueError: no files; one that is missing or broken; predictions for other images or
            classes than the first file's, or in another order.
    """
    if not paths:
        raise ValueError("an ensemble needs the predictions of at least one net")
    first, *others = [_read(path) for path in paths]
    for path, other in zip(paths[1:], others, strict=True):
        _compare(Path(paths[0]), first, Path(path), other)
    return torch.stack([one["probabilities"] for one in (first, *others)]).mean(dim=0)


def _read(path: str | Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return {key: content[key] for key in ("probabilities", "names")}
    except Exception as error:  # torch raises whatever the broken bytes happen to lead to
        raise ValueError(
            f"{path}: no predictions that can be read ({type(error).__name__}); save them again "
            "with save_predictions"
        ) from error


def _compare(first: Path, one: dict[str, Any], path: Path, other: dict[str, Any]) -> None:
    shapes = [tuple(content["probabilities"].shape) for content in (one, other)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{path.name} has predictions {shapes[1]}, {first.name} {shapes[0]}: (images, classes) "
            "must be the same; predict the same images with both nets"
        )
    if one["names"] == other["names"]:
        return
    place = next(
        i
        for i, pair in enumerate(zip(one["names"], other["names"], strict=True))
        if len(set(pair)) > 1
    )
    same = (
        "in another order" if sorted(one["names"]) == sorted(other["names"]) else "of other images"
    )
    raise ValueError(
        f"{path.name} has predictions {same} than {first.name}: number {place} is "
        f"{other['names'][place]} there and {one['names'][place]} here; predict the same images, "
        "unshuffled, with both nets"
    )
