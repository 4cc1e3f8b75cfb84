"""Synthetic chest X-rays: two dark lungs between ribs, spine, heart and diaphragm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Film:
    """A picture, uint8 (H, W), and its lungs, bool (H, W): the patient's left is on the right."""

    picture: np.ndarray
    left: np.ndarray
    right: np.ndarray


def draw(rng: np.random.Generator, *, body: np.random.Generator, lacking: str = "") -> Film:
    """One X-ray. `body` draws the patient, `rng` the position and the exposure of this film.

    Lungs are dark, behind bright ribs and collar bones; the heart, which bulges to the left, hides
    a part of one of them and is no lung. `lacking`, "left" or "right": that lung is as white as
    the tissue around it, and its mask is empty.
    """
    from scipy import ndimage  # for drawing alone: who only reads starts faster

    height, width = int(body.integers(150, 200)), int(body.integers(150, 200))
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    turn, right, down = rng.normal(0, [0.04, 0.04, 0.04])
    u, v = u + turn * v - right, v - turn * u - down
    build = body.uniform(0.85, 1.1)  # of slender people and broad ones
    u = u / build
    trunk = _soft(1.15 - np.hypot(u * 1.1, v * 0.75), 0.15)
    picture = 30 + 150 * trunk
    lungs = {
        side: _lung(u * sign, v, body) for side, sign in (("right", -1), ("left", 1))
    }  # the patient's right lung lies on the left of the picture
    heart = _soft(1 - np.hypot((u - 0.14) / 0.34, (v - 0.3) / 0.36), 0.12)
    drawn = {}
    for side, inside in lungs.items():
        shade = 1.0 if side != lacking else 0.0
        picture -= shade * body.uniform(85, 115) * _soft(inside, 0.06) * (1 - heart)
        drawn[side] = (inside > 0) & (heart < 0.5) & (side != lacking)
    picture += 35 * heart + 45 * _soft(0.07 - abs(u), 0.04)  # heart and spine
    picture += _ribs(u, v, body)
    haze = ndimage.gaussian_filter(rng.standard_normal(u.shape), 12) * 12  # soft tissue, unevenly
    noise = ndimage.gaussian_filter(rng.standard_normal(u.shape), 0.6)
    lit = (picture + 12 * haze + 6 * noise) / 255
    exposed = np.clip(lit, 0, 1) ** rng.uniform(0.7, 1.5) * rng.uniform(0.8, 1.1)
    return Film((255 * np.clip(exposed, 0, 1)).astype(np.uint8), drawn["left"], drawn["right"])


def _soft(inside: np.ndarray, blur: float) -> np.ndarray:
    """0 outside, 1 inside, and a border of the width `blur` around the zero of `inside`."""
    return 1 / (1 + np.exp(-np.clip(4 * inside / blur, -30, 30)))


def _lung(u: np.ndarray, v: np.ndarray, body: np.random.Generator) -> np.ndarray:
    """Above 0 inside: an egg, pointed at the top, cut off below by the dome of the diaphragm."""
    top, bottom = body.uniform(-0.78, -0.68), body.uniform(0.45, 0.62)
    middle, half = body.uniform(0.42, 0.46), body.uniform(0.27, 0.32)
    along = np.clip((v - top) / (bottom - top), 0, 1)
    wide = half * np.sqrt(along) * (1 - 0.12 * along)
    side = (wide - abs(u - middle - 0.05 * along)) / half
    dome = bottom - v - 0.16 * (1 - ((u - middle) / half) ** 2) + 0.1
    return np.minimum(np.minimum(side * half, v - top), dome)


def _ribs(u: np.ndarray, v: np.ndarray, body: np.random.Generator) -> np.ndarray:
    """Bright arcs falling outwards, about nine a side, and the two collar bones."""
    step = body.uniform(0.15, 0.18)
    arc = v - 0.35 * u**2 + 0.25 * abs(u)
    ribs = np.clip(np.cos(2 * np.pi * arc / step) - 0.55, 0, None) * 2.2
    inside = _soft(0.95 - np.hypot(u * 1.15, v * 0.95), 0.1)
    collar = _soft(0.035 - abs(v + 0.62 - 0.18 * abs(u)), 0.02) * _soft(0.75 - abs(u), 0.1)
    return 22 * ribs * inside + 40 * collar
