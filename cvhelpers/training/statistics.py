"""Comparing trained variants: exact tests for a few trials, and what they allow us to say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import permutation_test, rankdata

_MOST = 200_000  # arrangements counted in about two seconds: 10 against 10 trials


@dataclass(frozen=True)
class Comparison:
    """What the trials of two variants, a and b, say about their difference.

    `difference` is median(a) - median(b); for pairs, the median of their differences. `p` is
    two-sided and exact, `p_floor` the smallest p that so many trials can give. `effect`, -1..1 and
    positive where a is larger, is Cliff's delta, P(a > b) - P(a < b); for pairs, the matched-pairs
    rank-biserial correlation. Where this is one of several `comparisons`, `p_holm` is p after
    Holm's correction, and conclusions are drawn from it.
    """

    names: tuple[str, str]
    n: tuple[int, int]
    medians: tuple[float, float]
    difference: float
    test: str
    p: float
    p_floor: float
    effect_name: str
    effect: float
    better: str
    alpha: float
    p_holm: float
    comparisons: int = 1

    @property
    def sentence(self) -> str:
        """What may be concluded and what not, in plain English."""
        several = self.comparisons > 1
        floor = min(1.0, self.comparisons * self.p_floor)
        holm = (
            f", {self.p_holm:.2g} after Holm for {self.comparisons} comparisons" if several else ""
        )
        a_leads = (self.effect > 0) == (self.better == "higher")
        first, second = self.names if a_leads else self.names[::-1]
        level, trials = f"{100 * self.alpha:g} %", f"{self.n[0]} against {self.n[1]} trials"
        seen = (
            f"median {self.medians[0]:.4g} for {self.names[0]} and {self.medians[1]:.4g} for "
            f"{self.names[1]}, difference {self.difference:+.3g}; {trials}, {self.test}, "
            f"p = {self.p:.2g}{holm}, {self.effect_name} {self.effect:+.2f}"
        )
        if self.p_holm <= self.alpha:
            return f"{first} is better than {second} at the {level} level ({seen})."
        if floor > self.alpha:
            asked = f" in each of {self.comparisons} comparisons" if several else ""
            return (
                f"No conclusion at the {level} level: {trials}{asked} cannot give less than "
                f"p = {floor:.2g} in this test, whatever their values ({seen})."
            )
        return (
            f"No difference between {self.names[0]} and {self.names[1]} is shown at the {level} "
            f"level, which does not prove them equal ({seen})."
        )


def compare(
    a: Sequence[float],
    b: Sequence[float],
    *,
    names: tuple[str, str] = ("a", "b"),
    paired: bool = False,
    better: str = "higher",
    alpha: float = 0.05,
) -> Comparison:
    """Compare the trials of two variants by ranks: exact, two-sided, ties allowed.

    Unpaired: the rank-sum test of Mann & Whitney (1947), effect size after Cliff (1993).
    `paired=True` (a[i] and b[i] belong together, as by the same seed): the signed-rank test of
    Wilcoxon (1945), pairs without a difference left out, effect size after Kerby (2014).

    Raises:
        ValueError: fewer than two trials, or more than can be counted out; a value that is not
            finite; pairs that do not match.
    """
    first, second = (_values(name, values) for name, values in zip(names, (a, b), strict=True))
    if better not in ("higher", "lower") or not 0 < alpha < 1:
        raise ValueError(f"better={better!r}, alpha={alpha!r}: use higher or lower, and 0 to 1")
    if paired and len(first) != len(second):
        raise ValueError(
            f"{len(first)} trials of {names[0]} and {len(second)} of {names[1]} make no pairs; "
            "run the same seeds for both, or use paired=False"
        )
    ways = 2 ** len(first) if paired else math.comb(len(first) + len(second), len(first))
    if ways > _MOST:
        raise ValueError(
            f"{len(first)} against {len(second)} trials can fall out in {ways:.0e} ways, too many "
            "to count; use scipy.stats.mannwhitneyu or scipy.stats.wilcoxon"
        )
    p, effect = _signed_rank(first, second) if paired else _rank_sum(first, second)
    between = np.median(first - second) if paired else np.median(first) - np.median(second)
    return Comparison(
        names=names,
        n=(len(first), len(second)),
        medians=(float(np.median(first)), float(np.median(second))),
        difference=float(between),
        test="exact Wilcoxon signed-rank test" if paired else "exact Mann-Whitney test",
        p=p,
        p_floor=2 / ways,
        effect_name="matched-pairs rank-biserial" if paired else "Cliff's delta",
        effect=effect,
        better=better,
        alpha=alpha,
        p_holm=p,
    )


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
    first, second = _values("a", a), _values("b", b)
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


def _values(name: str, values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be a list of finite numbers, got {values!r}")
    if len(array) < 2:
        raise ValueError(f"{name} has {len(array)} trials; one says nothing of the spread, run 2+")
    return array


def _rank_sum(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(p, Cliff's delta): how many ways to deal the ranks part the two at least as far."""
    ranks = rankdata([*a, *b])
    dealt = (ranks[: len(a)], ranks[len(a) :])
    p = _exact(dealt, lambda x, y, axis: abs(x.mean(axis) - y.mean(axis)), "independent")
    return p, float(np.sign(a[:, None] - b).mean())


def _signed_rank(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(p, rank-biserial): how many ways to set the signs lean at least as far to one side."""
    # 0.8 - 0.7 and 0.9 - 0.8 differ in the last bit; as ranks they must tie.
    steps = np.round((a - b) / (np.abs([a, b]).max() or 1.0), 12)
    ranks = np.sign(steps[steps != 0]) * rankdata(np.abs(steps[steps != 0]))
    if len(ranks) < 2:  # nothing left, or one pair, which both arrangements show as clearly
        return 1.0, float(ranks.sum())
    p = _exact((ranks,), lambda x, axis: abs(x.sum(axis)), "samples")
    return p, float(ranks.sum() / abs(ranks).sum())


def _exact(ranks: tuple[np.ndarray, ...], statistic: Callable[..., Any], kind: str) -> float:
    """The share of all arrangements whose statistic is at least as large as the one seen."""
    result = permutation_test(
        ranks, statistic, permutation_type=kind, alternative="greater", n_resamples=math.inf
    )
    return float(result.pvalue)
