"""One deterministic, stratified choice of positions: every split of the pack is made by it."""

from __future__ import annotations

import hashlib

import numpy as np


def stratified(labels: np.ndarray, held_out: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of (the rest, the held-out part), each ascending; classes keep their shares.

    `labels` is int (N,); `held_out` a fraction in (0, 1) or a count in 1..N-1. The held-out part
    has exactly round(fraction * N) members, dealt to the classes by largest remainder. A hash of
    seed, class and position within the class ranks the members: no library's random stream, which
    may change between versions, decides who is in a validation set.
    """
    total = len(labels)
    count = held_out if isinstance(held_out, int) else round(held_out * total)
    if not 0 < count < total:
        raise ValueError(
            f"held_out={held_out!r} of {total} images leaves one part empty; "
            f"give a fraction between 0 and 1, or a count of at least 1 and below {total}"
        )
    classes, sizes = np.unique(labels, return_counts=True)
    quota, remainder = np.divmod(sizes * count, total)
    quota[np.argsort(-remainder, kind="stable")[: count - quota.sum()]] += 1
    held = np.zeros(total, dtype=bool)
    for label, size, wanted in zip(classes, sizes, quota, strict=True):
        ranks = [hashlib.sha256(f"{seed}/{label}/{k}".encode()).digest() for k in range(size)]
        order = sorted(range(size), key=ranks.__getitem__)
        held[np.flatnonzero(labels == label)[order[:wanted]]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
