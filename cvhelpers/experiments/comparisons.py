"""Several comparisons at once: what they allow us to say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

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
