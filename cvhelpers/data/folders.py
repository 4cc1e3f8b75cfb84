"""Images in one folder per class, as most small data sets come."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from cvhelpers.data.pictures import read_picture

PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


def read_folders(
    folder: Path, classes: Sequence[str], size: int, *, data_set: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All .jpg files of `folder`/class: images, labels, names, in the order of class and file name.

    Hidden files (`._image_0001.jpg`, as macOS leaves them in archives) are no images; pictures with
    another ending are not read, and counted in a line.

    Images are uint8 `(N, 3, size, size)`, labels int64 `(N,)` the places in `classes`, names
    "class/file". `data_set` is the catalog's name, for the mend.

    Raises:
        ValueError: a class folder missing or empty, an image that is broken or none; the message
            names it and the mend.
    """
    files: list[Path] = []
    skipped: Counter[str] = Counter()
    for name in classes:
        inside = [file for file in (folder / name).glob("*") if not file.name.startswith(".")]
        found = sorted((f for f in inside if f.suffix == ".jpg"), key=lambda file: file.name)
        others = [file.suffix for file in inside if file.suffix != ".jpg"]
        skipped.update(suffix for suffix in others if suffix.lower() in PICTURES)
        if not found:
            what = "holds no .jpg" if (folder / name).is_dir() else "is missing"
            raise ValueError(
                f"class folder {folder / name} {what}; put it back, or remove {folder.parent} and "
                f"run `python -m cvhelpers data {data_set}`"
            )
        files += found
    if skipped:
        endings = ", ".join(f"{count} {suffix}" for suffix, count in skipped.items())
        print(f"{folder}: skipped for their ending, {endings}; only .jpg is read", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = np.stack(list(pool.map(lambda file: decode(file, size), files)))
    labels = np.array([classes.index(file.parent.name) for file in files], dtype=np.int64)
    return images, labels, np.array([f"{file.parent.name}/{file.stem}" for file in files])


def decode(file: Path, size: int) -> np.ndarray:
    """One image file as uint8 (3, size, size), squeezed; a grey one gets three equal channels."""
    try:
        squeezed = read_picture(file).resize((size, size), Image.Resampling.BILINEAR)
    except ValueError as error:
        raise ValueError(
            f"{error}; put an intact copy there, or remove the data set's folder and run "
            "`python -m cvhelpers data`"
        ) from error
    return np.asarray(squeezed).transpose(2, 0, 1)
