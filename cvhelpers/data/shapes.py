"""The one generator of synthetic pictures: textured shapes in front of clutter.

A class is a shape with a texture and a family of colours. Place, size, rotation, slant, colours,
light, background and noise vary from picture to picture. Every data set's sample is drawn by it.
"""

from __future__ import annotations

import colorsys
import math

import numpy as np
from PIL import Image

SHAPES = ("disc", "ring", "triangle", "square", "star", "flower", "cross", "crescent")
TEXTURES = ("plain", "stripes", "checks", "dots", "rings")


def draw(
    rng: np.random.Generator, kind: int, *, height: int, width: int, clutter: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """One picture of class `kind` (0, 1, ...): uint8 (height, width, 3), and its mask of 0 and 1.

    Shape and texture repeat after 40 classes, the hue does not. `clutter` small objects of random
    classes lie behind the object.
    """
    image, side = background(rng, height=height, width=width), min(height, width)
    for _ in range(clutter):
        centre = rng.uniform(0, 1, 2) * (height, width)
        place(rng, image, int(rng.integers(40)), centre=centre, radius=0.11 * side)
    centre = rng.uniform(0.38, 0.62, 2) * (height, width)
    mask = place(rng, image, kind, centre=centre, radius=rng.uniform(0.22, 0.36) * side)
    return finish(rng, image), mask


def background(rng: np.random.Generator, *, height: int, width: int) -> np.ndarray:
    """Smooth coloured clouds: float32 (height, width, 3), 0..255."""
    coarse = Image.fromarray(rng.integers(40, 215, (5, 5, 3), dtype=np.uint8))
    return np.array(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def place(
    rng: np.random.Generator, image: np.ndarray, kind: int, *, centre: np.ndarray, radius: float
) -> np.ndarray:
    """Paint an object of class `kind` onto a float `image` in place; its mask, uint8 (H, W).

    `centre` is (row, column) and `radius` the object's size, in pixels.
    """
    low = np.maximum(centre - 2 * radius, 0).astype(int)  # twice: stretched and slanted
    high = np.minimum(centre + 2 * radius + 1, image.shape[:2]).astype(int)
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    rows, columns = (np.arange(*ends, dtype=np.float32) for ends in zip(low, high, strict=True))
    y = (rows[:, None] - float(centre[0])) / radius
    x = (columns[None, :] - float(centre[1])) / radius
    angle, stretch, slant = rng.uniform(-0.6, 0.6), rng.uniform(0.8, 1.25), rng.uniform(-0.25, 0.25)
    cos, sin = math.cos(angle), math.sin(angle)
    u, v = x * cos + y * sin, y * cos - x * sin
    u, v = (u + slant * v) * stretch, v / stretch
    cover = np.clip((1 - outline(SHAPES[kind % 8], u, v)) * radius + 0.5, 0, 1)
    share = pattern(TEXTURES[kind // 8 % 5], u, v)[..., None]
    first, second = _colours(rng, kind)
    painted = share * first + (1 - share) * second
    image[window] += cover[..., None] * (painted - image[window])
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    mask[window] = cover > 0.5
    return mask


def finish(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Uneven light and sensor noise; float in, uint8 (H, W, 3) out."""
    height, width = image.shape[:2]
    down, right = rng.uniform(-0.3, 0.3, 2)
    slope = np.linspace(-down, down, height)[:, None] + np.linspace(-right, right, width)
    light = (rng.uniform(0.7, 1.15) + slope).astype(np.float32)[..., None]
    noise = 10 * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image * light + noise, 0, 255).astype(np.uint8)


def outline(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A function below 1 inside the shape, growing by about 1 a radius across its border."""
    r, (far, near) = np.hypot(u, v), (np.maximum(abs(u), abs(v)), np.minimum(abs(u), abs(v)))
    return {
        "disc": lambda: r,
        "ring": lambda: np.maximum(r, 1.55 - r),
        "triangle": lambda: np.maximum(v + 0.4, 0.87 * abs(u) - 0.5 * v + 0.4),
        "square": lambda: far + 0.15,
        "star": lambda: r + 0.28 * (1 - np.cos(5 * np.arctan2(u, -v))),
        "flower": lambda: r + 0.12 * (1 - np.cos(7 * np.arctan2(u, -v))),
        "cross": lambda: np.maximum(far, near + 0.7),
        "crescent": lambda: np.maximum(r, 1.75 - np.hypot(u - 0.55, v)),
    }[shape]()


def pattern(texture: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The first colour's share of each pixel, 0..1."""
    wave = {
        "plain": lambda: np.ones_like(u * v),
        "stripes": lambda: np.sin(9 * u),
        "checks": lambda: 2 * np.sin(6 * u) * np.sin(6 * v),
        "dots": lambda: 1.5 * (np.cos(9 * u) + np.cos(9 * v)) - 1,
        "rings": lambda: np.cos(13 * np.hypot(u, v)),
    }[texture]()
    return np.clip(0.5 + 2 * wave, 0, 1)


def _colours(rng: np.random.Generator, kind: int) -> tuple[np.ndarray, np.ndarray]:
    """Two colours, 0..255: a bright one of the class's family and a dark one of any hue."""
    hue = kind * 0.381966 + rng.normal(0, 0.06)  # the golden angle keeps neighbours far apart
    value = rng.uniform(0.6, 1)
    first = colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.35, 0.9), value)
    dark = value * rng.uniform(0.2, 0.5)
    second = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.1, 0.5), dark)
    colours = 255 * np.array([first, second], dtype=np.float32)
    return colours[0], colours[1]
