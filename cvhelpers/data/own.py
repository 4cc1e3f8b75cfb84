"""A folder of your own pictures, one subfolder a class, as splits like all others."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cvhelpers.data.folders import PICTURES
from cvhelpers.data.pictures import read_picture
from cvhelpers.data.store import Provenance
from cvhelpers.data.stratify import stratified

if TYPE_CHECKING:
    import torch

    from cvhelpers.data.images import Splits


def load_folder(
    folder: str | Path,
    *,
    size: int = 64,
    held_out: float = 0.15,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Splits:
    """Read `folder`/CLASS/PICTURE and split each class: validation, test, and training the rest.

    Every class has at least one picture in each part.

    JPEG, PNG, GIF, BMP, TIFF, WebP and PPM files are read; what is grey, CMYK or has a palette
    becomes RGB, and a photograph is turned as its camera noted (EXIF). Hidden files are passed
    over, files with other endings as well, and counted in a line.

    Args:
        folder: holds a folder for each class, whose name is the class's.
        size: pictures are squeezed to size x size pixels, uint8 `(3, size, size)`.
        held_out: the share of each class in validation, and once more in test.
        seed: who is held out.
        device: where the images go.

    Raises:
        ValueError: no such folder, fewer than two classes, a class with too few pictures, a broken
            one, or two that are the same at this size (in training and test they would be a leak).
    """
    from cvhelpers.data.images import Splits

    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    classes = sorted(
        one.name for one in folder.glob("*/") if one.is_dir() and not one.name.startswith(".")
    )
    if len(classes) < 2:
        raise ValueError(
            f"{folder} holds {len(classes)} folders; give each class one, two at least"
        )
    files = []
    for name in classes:
        inside = [one for one in sorted((folder / name).iterdir()) if not one.name.startswith(".")]
        found = [one for one in inside if one.suffix.lower() in PICTURES]
        if len(found) < 3:
            raise ValueError(
                f"{folder / name}: {len(found)} pictures; a class needs three at least"
            )
        if len(found) < len(inside):
            print(f"{folder / name}: {len(inside) - len(found)} files are no pictures; passed over")
        files += found
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = np.stack(list(pool.map(lambda file: _squeezed(file, size), files)))
    seen: dict[bytes, Path] = {}
    for file, image in zip(files, images, strict=True):
        other = seen.setdefault(image.tobytes(), file)
        if other != file:
            raise ValueError(f"{file} shows the same picture as {other}; keep one of them")
    labels = np.array([classes.index(file.parent.name) for file in files], dtype=np.int64)
    names = np.array([f"{file.parent.name}/{file.name}" for file in files])
    arrays = {"classes": np.array(classes)}
    for part, chosen in _split(labels, classes, held_out, seed).items():
        arrays |= {f"{part}_images": images[chosen], f"{part}_labels": labels[chosen]}
        arrays[f"{part}_names"] = names[chosen]
    return Splits.from_arrays(arrays, Provenance("unverified", f"pictures in {folder}")).to(device)


def _split(
    labels: np.ndarray, classes: list[str], held_out: float, seed: int
) -> dict[str, np.ndarray]:
    """Positions of the parts, class by class."""
    parts: dict[str, list[np.ndarray]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(classes):
        own = np.flatnonzero(labels == label)
        count = max(1, round(held_out * len(own)))
        if len(own) <= 2 * count:
            raise ValueError(
                f"held_out={held_out} of {len(own)} pictures of {name!r}, twice, leaves none to "
                "train on; hold out less"
            )
        rest, test = stratified(labels[own], count, seed=seed)
        train, val = stratified(labels[own[rest]], count, seed=seed + 1)
        for part, chosen in (("train", rest[train]), ("val", rest[val]), ("test", test)):
            parts[part].append(own[chosen])
    return {part: np.sort(np.concatenate(chosen)) for part, chosen in parts.items()}


def _squeezed(file: Path, size: int) -> np.ndarray:
    picture = read_picture(file).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(picture).transpose(2, 0, 1)
