"""Masks judged image by image, at the size that the image came in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import ndimage
from scipy.spatial import KDTree
from torch import Tensor, nn

from cvhelpers.data.images import Images
from cvhelpers.masks import IGNORE
from cvhelpers.training.loop import predict
from cvhelpers.training.metrics import confusion_counts, mask_scores, predicted_classes

TOLERANCE = 0.0075  # of the image's diagonal: 4.7 pixels of 500 x 375


def predict_masks(
    model: nn.Module, images: Images, sizes: Sequence[tuple[int, int]] | None = None
) -> list[Tensor]:
    """The predicted masks of all images: uint8 `(H, W)` each, on the CPU.

    Args:
        model: gives logits `(B, K, h, w)`.
        images: as the model takes them, of one size.
        sizes: (height, width) of every mask, usually the original ones; None keeps the net's.
            The *logits* are resized, bilinearly, and then compared: resizing masks would make
            stairs of the net's pixels.
    """
    if sizes is not None and len(sizes) != len(images):
        raise ValueError(f"{len(sizes)} sizes for {len(images)} images; give one for each")
    masks = []
    for start in range(0, len(images), 64):  # the logits of many classes are large
        logits = predict(model, images[start : start + 64]).cpu()
        for number, one in enumerate(logits.split(1), start):
            if sizes is not None:
                one = F.interpolate(one, size=tuple(sizes[number]), mode="bilinear")
            masks.append(predicted_classes(one)[0].byte())
    return masks


def score_masks(
    predicted: Sequence[Tensor], truths: Sequence[Tensor], *, tolerance: float = TOLERANCE
) -> pd.DataFrame:
    """A row an image: accuracy, iou, dice (see `mask_scores`) and `boundary_f`, of class 1.

    Args:
        predicted: masks of 0 and 1, `(H, W)` each.
        truths: masks of 0, 1 and `IGNORE`, of the same sizes.
        tolerance: of `boundary_f`.
    """
    rows = []
    for one, truth in zip(predicted, truths, strict=True):
        row = mask_scores(confusion_counts(one, truth, 2))
        rows.append({**row, "boundary_f": boundary_f(one, truth, tolerance=tolerance)})
    return pd.DataFrame(rows)


def pooled_scores(
    predicted: Sequence[Tensor], truths: Sequence[Tensor], num_classes: int = 2
) -> dict[str, float]:
    """`mask_scores` of the pixels of all images together: a large image counts for more."""
    pairs = zip(predicted, truths, strict=True)
    counts = [confusion_counts(one, truth, num_classes) for one, truth in pairs]
    if not counts:
        raise ValueError("no masks to judge")
    return mask_scores(torch.stack(counts).sum(0))


def boundary_f(predicted: Tensor, truth: Tensor, *, tolerance: float = TOLERANCE) -> float:
    """How well the outline is met: the harmonic mean of two shares of outline pixels.

    Precision is the share of the predicted outline that lies within `tolerance` of the true one,
    recall the share of the true outline that lies within it of the predicted one. The outline is
    the object's pixels with a neighbour outside; the picture's frame is no outline. A band of
    ignored pixels around an object hides where the border is: there its middle line counts, and
    outlines further than the tolerance inside an ignored region count nowhere.

    Args:
        predicted: mask `(H, W)`, class 1 is judged.
        truth: mask `(H, W)`, with `IGNORE` where nobody knows.
        tolerance: in diagonals of the image.

    Returns:
        0 to 1; 1 where neither has an outline, 0 where one has, NaN where every pixel is ignored.

    Source: Csurka, Larlus, Perronnin: "What is a good evaluation measure for semantic
    segmentation?", BMVC 2013.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"a mask {tuple(predicted.shape)} and a truth {tuple(truth.shape)}")
    theirs = truth.cpu().numpy()
    unknown = theirs == IGNORE
    if unknown.all():
        return math.nan
    radius, judged = tolerance * math.hypot(*theirs.shape), ~unknown
    if unknown.any():
        depth, nearest = ndimage.distance_transform_edt(unknown, return_indices=True)
        theirs, judged = theirs[tuple(nearest)], depth <= radius
    lines = [
        np.argwhere(_outline(mask == 1) & judged) for mask in (predicted.cpu().numpy(), theirs)
    ]
    if not (len(lines[0]) and len(lines[1])):
        return float(len(lines[0]) == len(lines[1]))
    precision, recall = (
        (KDTree(other).query(line, distance_upper_bound=radius + 1e-9)[0] <= radius).mean()
        for line, other in (lines, lines[::-1])
    )
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _outline(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask, border_value=1)
