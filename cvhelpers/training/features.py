"""A frozen backbone's features, computed once: the head then trains in seconds."""

from __future__ import annotations

import io
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cvhelpers.data.features import FeatureBatches
from cvhelpers.data.images import Images
from cvhelpers.fingerprint import fingerprint_of
from cvhelpers.models.modes import evaluating
from cvhelpers.results import atomic_write
from cvhelpers.training.batches import batches_of
from cvhelpers.training.precision import Policy


def frozen_features(
    model: nn.Module,
    images: Images,
    *,
    batch_size: int = 128,
    shuffle: bool = False,
    cache: str | Path | None = None,
) -> FeatureBatches:
    """Run every image through a frozen backbone once; train the head on what comes out.

        train = frozen_features(model, splits.train, shuffle=True)
        fit(model.head, train, frozen_features(model, splits.val), ...)

    gives what `fit(model, splits.train, splits.val, ...)` with a frozen backbone gives, as long
    as nothing is augmented: random transforms would need features of their own in every epoch.

    Args:
        model: has `features(images) -> (B, F)` and a part `head` behind it, as `TransferNet`.
        images: with one label an image.
        batch_size: of the pass through the backbone, and of the batches returned.
        shuffle: a new order in every epoch, for training.
        cache: a file to keep the features in, one for each set of images. It is taken only for
            the same pixels, labels, backbone weights, code, versions and kind of device; a stale
            or broken one is written anew, saying so.

    Raises:
        ValueError: images with masks.
    """
    if images.has_masks:
        raise ValueError("pooled features need one label an image; these images have masks")
    device = next(model.parameters()).device
    key = _key(model, images, device) if cache else ""
    features = _read(Path(cache), key) if cache else None
    if features is None:
        with evaluating(model), torch.inference_mode():
            lay_out, compute = Policy(device, torch.float32).lay_out, model.features
            batches = batches_of(images, device, batch_size)
            parts = [compute(lay_out(batch)).float() for batch, _ in batches]  # type: ignore[operator]
        features = torch.cat(parts)  # outside of inference mode: training may use it
        if cache:
            buffer = io.BytesIO()
            torch.save({"key": key, "features": features.cpu()}, buffer)
            atomic_write(cache, buffer.getvalue())
    return FeatureBatches(features.to(device), images.labels.to(device), batch_size, shuffle)


def _key(model: nn.Module, images: Images, device: torch.device) -> str:
    """A hash of all that the features depend on; the head is no part of it."""
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith("head.")}
    parts = {k: repr(v) for k, v in model.named_children() if k != "head"}
    return fingerprint_of(
        weights=weights,
        parts=parts,
        code=type(model).features,  # type: ignore[attr-defined]
        images=images,
        device=device.type,
        versions=[version(name) for name in ("torch", "torchvision")],
    )


def _read(path: Path, key: str) -> Tensor | None:
    """The features in a cache file, or None where they must be computed."""
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found, features = content["key"], content["features"]
    except Exception as error:  # torch raises whatever the broken bytes happen to lead to
        print(f"{path} is broken ({type(error).__name__}): computing the features again")
        return None
    if found != key:
        print(f"{path} is of another backbone or other images: computing the features again")
        return None
    return features
