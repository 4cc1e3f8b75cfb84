"""One picture file, as people have them: any mode and depth, turned as the camera says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def read_picture(file: str | Path) -> Image.Image:
    """The picture in `file`, upright, 8-bit RGB.

    Grey gives three equal channels; 16-bit grey is scaled to 0..255, not clipped; the orientation
    that a camera wrote beside the pixels (EXIF) is applied.

    Raises:
        ValueError: no picture, a broken one, or one of another kind (32-bit, float).
    """
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "F" or (upright.mode == "I" and np.asarray(upright).max() > 65535):
                raise ValueError("more than 16 bits a pixel; save it with 8")
            if upright.mode.startswith("I"):  # 16 bits, which convert() would clip to 255
                upright = Image.fromarray((np.asarray(upright) / 257).round().astype(np.uint8))
            return upright.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"broken image {file} ({error})") from error
