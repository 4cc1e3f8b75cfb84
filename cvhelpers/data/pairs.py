"""Pictures with masks: read together, refused together, resized each in its own way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from cvhelpers.data.pictures import read_picture
from cvhelpers.masks import IGNORE

Reader = Callable[[str], np.ndarray]


def read_pairs(
    names: Sequence[str], picture: Reader, mask: Reader, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """All pictures and masks, squeezed: uint8 (N, C, size, size) and (N, size, size).

    Pictures are resized with antialiasing; masks by nearest neighbour, so that no class appears
    that was not there.

    Args:
        names: of the pictures.
        picture: name -> uint8 (H, W) or (H, W, 3).
        mask: name -> uint8 (H, W), of the picture's size.

    Raises:
        ValueError: a mask of another size than its picture, or what a reader refuses.
    """

    def one(name: str) -> tuple[np.ndarray, np.ndarray]:
        pixels, classes = picture(name), mask(name)
        if pixels.shape[:2] != classes.shape:
            raise ValueError(
                f"{name}: the picture has {_size(pixels)} pixels, its mask {_size(classes)}; put "
                "back the mask that was drawn on this picture"
            )
        squeezed = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
        nearest = Image.fromarray(classes).resize((size, size), Image.Resampling.NEAREST)
        channels = np.atleast_3d(np.asarray(squeezed)).transpose(2, 0, 1)
        return channels, np.asarray(nearest)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures, masks = zip(*pool.map(one, names), strict=True)
    return np.stack(pictures), np.stack(masks)


def read_grey(file: Path) -> np.ndarray:
    """A picture's grey values, uint8 (H, W): the mean of its colours, if it has any."""
    return np.asarray(read_picture(file).convert("L"))


def read_mask(file: Path, values: Iterable[int], *, palette: bool = False) -> np.ndarray:
    """The values of a mask file, uint8 (H, W).

    Args:
        file: a picture of one bit, of grey values, or of palette entries.
        values: those that may stand there.
        palette: the file must have a palette, whose entries are the values.

    Raises:
        ValueError: no such file, a broken one, one in colours, or with another value.
    """
    if not file.exists():
        raise ValueError(f"{file} is missing: an image without a mask; put it back, or both away")
    try:
        with Image.open(file) as image:
            modes = ("P",) if palette else ("1", "L", "P")
            if image.mode not in modes:
                wanted = "a palette, one entry a class (mode P)" if palette else "one bit or grey"
                raise ValueError(f"it is of mode {image.mode}, but a mask has {wanted}")
            mask = np.asarray(image).astype(np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"broken mask {file} ({error}); put an intact copy there") from error
    known = sorted(set(values))
    if strange := sorted(set(np.unique(mask).tolist()) - set(known)):
        told = known if len(known) < 5 else f"{known[0]} to {known[-2]} and {known[-1]}"
        raise ValueError(
            f"{file} has the value {strange[0]}, but a mask holds {told}; was it saved as JPEG, or "
            "resized with smoothing? Put the original there"
        )
    return mask


def foreground(mask: np.ndarray) -> np.ndarray:
    """Every class above 0 becomes 1; `IGNORE` stays."""
    return np.where(mask == IGNORE, IGNORE, np.minimum(mask, 1)).astype(np.uint8)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
