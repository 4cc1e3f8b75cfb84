"""Several comparisons at once: what they allow us to say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from cvhelpers.experiments.statistics import checked_values, compare


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of several comparisons, in the order given (Holm 1979).

    The smallest is multiplied by their number m, the next by m - 1, and so on; none may come out
    below a smaller one, nor above 1. Below alpha, the chance of *any* false finding stays there.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(order) - np.arange(len(order))
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    return np.minimum(corrected, 1.0).tolist()


def bootstrap_interval(
    a: Sequence[float],
    b: Sequence[float],
    *,
    paired: bool = False,
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> tuple[float, float]:
    """Bounds for mean(a) - mean(b) by the percentile bootstrap; the same at every call.

    With fewer than about ten trials a side the interval is too narrow, since resampling cannot show
    values that never occurred; read it as a scale, not as a test. Source: Efron & Tibshirani, "An
    introduction to the bootstrap", 1993, chapter 13.

    Raises:
        ValueError: fewer than two trials, pairs that do not match, a confidence outside 0..1.
    """
    first, second = checked_values("a", a), checked_values("b", b)
    if not 0 < confidence < 1 or (paired and len(first) != len(second)):
        raise ValueError(f"confidence={confidence!r} must lie in 0..1, and pairs must match")
    rng = np.random.default_rng(0)

    def means(values: np.ndarray) -> np.ndarray:
        return rng.choice(values, (resamples, len(values))).mean(axis=1)

    differences = means(first - second) if paired else means(first) - means(second)
    low, high = np.quantile(differences, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def compare_all(
    table: pd.DataFrame,
    metric: str,
    *,
    baseline: str,
    variant_column: str = "variant",
    paired_by: str | None = "seed",
    better: str = "higher",
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Compare every other variant of a tidy table with the baseline: a row a variant.

    `paired_by` is the column that pairs the trials; None compares unpaired. `p` stands for itself,
    `p_holm` and the sentences are corrected for the number of comparisons; `low` and `high` are
    `bootstrap_interval` of the difference.

    Raises:
        ValueError: an unknown column or baseline, trials that make no pairs with the baseline's,
            and what `compare` refuses.
    """
    for column in filter(None, (metric, variant_column, paired_by)):
        if column not in table:
            raise ValueError(f"no column {column!r}; the table has {', '.join(table.columns)}")
    arms = {str(name): rows for name, rows in table.groupby(variant_column, sort=False)}
    if baseline not in arms:
        raise ValueError(f"no variant {baseline!r} to compare with; there are {', '.join(arms)}")
    found, bounds = [], []
    base = arms.pop(baseline)
    for name, arm in arms.items():
        if paired_by:
            arm, base = arm.sort_values(paired_by), base.sort_values(paired_by)
            if list(arm[paired_by]) != list(base[paired_by]):
                raise ValueError(
                    f"{name!r} has {paired_by} {list(arm[paired_by])}, {baseline!r} has "
                    f"{list(base[paired_by])}: no pairs; run the same, or use paired_by=None"
                )
        pair = arm[metric].tolist(), base[metric].tolist()
        paired, names = paired_by is not None, (name, baseline)
        found.append(compare(*pair, names=names, paired=paired, better=better, alpha=alpha))
        bounds.append(bootstrap_interval(*pair, paired=paired))
    rows, shown = [], ("difference", "p", "p_holm", "p_floor", "effect", "sentence")
    corrected = holm([one.p for one in found])
    for one, p_holm, (low, high) in zip(found, corrected, bounds, strict=True):
        one = replace(one, p_holm=p_holm, comparisons=len(found))
        row = {"variant": one.names[0], "n": one.n[0], "median": one.medians[0]}
        row |= {key: getattr(one, key) for key in shown}
        rows.append({**row, "low": low, "high": high})
    return pd.DataFrame(rows)


def mcnemar(
    right: Mapping[str, ArrayLike], pairs: Sequence[tuple[str, str]], *, alpha: float = 0.05
) -> pd.DataFrame:
    """Compare classifiers by their answers to the same images: a row for each pair (a, b).

    `right` holds, for each name, which images were classified rightly. `gained` counts the images
    that only a got right, `lost` those that only b did; what both know or neither knows cannot
    tell them apart. `p` is exact and two-sided (McNemar 1947), `p_holm` corrected for the number
    of pairs, and `says` what follows for a: "better", "worse" or "undecided". It knows the chance
    of which images were drawn, and nothing of the chance of another seed: for that, `compare`.

    Raises:
        ValueError: no pairs, a name without answers, answers that are not one True or False for
            each of the same number of images.
    """
    answers = {name: np.asarray(one) for name, one in right.items()}
    first = next(iter(answers.values()), np.empty(0))
    for name, one in answers.items():
        if one.ndim != 1 or one.dtype != bool or not one.size or one.shape != first.shape:
            raise ValueError(
                f"{name} has answers of shape {one.shape} and kind {one.dtype}; give one True or "
                "False an image, of the same images for all"
            )
    unknown = sorted({name for pair in pairs for name in pair} - set(answers))
    if unknown or not pairs:
        raise ValueError(f"pairs={pairs!r}: give pairs of {', '.join(answers)}")
    rows = []
    for a, b in pairs:
        one, other = answers[a], answers[b]
        gained, lost = int((one & ~other).sum()), int((other & ~one).sum())
        p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
        row = {"a": a, "b": b, "accuracy a": one.mean(), "accuracy b": other.mean()}
        rows.append(row | {"gained": gained, "lost": lost, "p": p})
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"].tolist())
    words = np.where(table["gained"] > table["lost"], "better", "worse")
    table["says"] = np.where(table["p_holm"] <= alpha, words, "undecided")
    return table
