"""torchvision's pretrained weights: fetched once, verified, and never replaced by random ones."""

from __future__ import annotations

import hashlib
import json
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten

import pooch
import torch
from torch import Tensor
from torchvision.models import WeightsEnum, get_model, get_model_weights, list_models

from cvhelpers.places import shared_lock, writable

TIMEOUT = 30  # seconds without an answer until a download is given up


def load_pretrained(name: str) -> dict[str, Tensor]:
    """The ImageNet weights of a torchvision model, on the CPU: a state dict that fits the model.

    A missing file is downloaded and its checksum compared; it stays where torchvision would put
    it (see `weights_file`). A file placed there by hand is taken if it fits, whatever its
    checksum, but a banner says so: see `weights_provenance`.

    Args:
        name: torchvision's name of the model, e.g. "efficientnet_b0", "mobilenet_v2", "vgg16".

    Raises:
        ValueError: unknown name; download with a wrong checksum; a file that is truncated, or
            holds another architecture. The message names the file and the mend.
        OSError: no download (offline, server error); nothing is left behind.
    """
    path, url = weights_file(name), weights_entry(name).url
    if not path.exists():
        _download(url, path)
    again = f"delete it, and the next run downloads it from {url}"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the broken bytes happen to lead to
        reason = shorten(str(error), 120) or type(error).__name__
        raise ValueError(f"{path}: cut off, or no file of weights ({reason}); {again}") from error
    try:
        with torch.device("meta"):  # only names and shapes: nothing is drawn or stored
            model = get_model(name, weights=None)
        model.load_state_dict(state, assign=True)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{path}: not the weights of {name} ({shorten(str(error), 240)}); "
            f"name the model that they belong to, or {again}"
        ) from error
    stated = weights_provenance(name)
    if stated["kind"] != "real":
        print(
            f"*** UNVERIFIED WEIGHTS: {path.name} is not torchvision's own file: results are "
            f"not comparable *** ({stated['note']})",
            flush=True,
        )
    return state


def weights_provenance(name: str) -> dict[str, str]:
    """How far the weights file of a model can be trusted: `{"kind": ..., "note": ...}`.

    The kind is "real" if the file's sha256 begins as torchvision's own does, which its name says
    (vgg16-397923af.pth), else "unverified"; then the note of a `provenance.json` beside the
    file, or up to two folders above it (in TORCH_HOME), is part of the note.
    """
    path = weights_file(name)
    if (found := _sha256(path)).startswith(_checksum(path)):
        return {"kind": "real", "note": f"{path.name}, checksum verified"}
    note = f"{path.name} has sha256 {found[:8]}..., torchvision's own {_checksum(path)}..."
    places = [folder / "provenance.json" for folder in list(path.parents)[:3]]
    for place in [place for place in places if place.exists()][:1]:
        try:
            note += f"; {json.loads(place.read_text(encoding='utf-8'))['note']}"
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{place} must hold {{"kind": "...", "note": "..."}}; mend or remove it ({error!r})'
            ) from error
    return {"kind": "unverified", "note": note}


def weights_file(name: str) -> Path:
    """Where the weights of a model lie, or will: torch's own cache, which TORCH_HOME moves."""
    return Path(torch.hub.get_dir()) / "checkpoints" / weights_entry(name).url.rpartition("/")[2]


def weights_entry(name: str) -> WeightsEnum:
    """torchvision's entry of a model's ImageNet weights (V1): address, transforms, licence."""
    try:
        return get_model_weights(name)["IMAGENET1K_V1"]
    except (ValueError, KeyError):
        near = get_close_matches(name, list_models(), n=3) or ["mobilenet_v2", "resnet18"]
        raise ValueError(
            f"torchvision has no ImageNet weights (IMAGENET1K_V1) for {name!r}; "
            f"try: {', '.join(near)}"
        ) from None


def _download(url: str, path: Path) -> None:
    """Fetch a file under its name only once it is whole; parallel processes fetch it once."""
    if not writable(path.parent):
        raise OSError(
            f"{path.parent} may not be written; set TORCH_HOME to a folder of your own, or ask its "
            f"owner to put {path.name} there"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    by_hand = f"fetch it elsewhere and put it into {path.parent}"
    with shared_lock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            return
        try:
            pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)(url, str(partial), None)
            if not (found := _sha256(partial)).startswith(_checksum(path)):
                raise ValueError(
                    f"{url}: what came has sha256 {found[:8]}..., not {_checksum(path)}...: cut "
                    f"off, or a login page; removed. Run again, or {by_hand}"
                )
            partial.replace(path)
        except OSError as error:  # an error of requests is an OSError
            raise OSError(
                f"{url}: no download ({shorten(str(error), 200)}). Run again where there is a "
                f"network, or {by_hand}"
            ) from error
        finally:
            partial.unlink(missing_ok=True)


def _checksum(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
