"""Comparing trained variants: exact tests for a few trials, and what they allow us to say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
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
    first, second = (
        checked_values(name, values) for name, values in zip(names, (a, b), strict=True)
    )
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


def verdict(a: float, b: float, *, n: int, margin: float = 0.01) -> str:
    """Say how accuracy `a` stands to accuracy `b`, fractions measured on `n` images each.

    By the interval of two standard errors around a - b, which is sqrt((a(1 - a) + b(1 - b)) / n):
    wholly above 0 is "better", wholly below "worse", wholly within `margin` "tied", anything else
    "undecided". The error is that of independent images; on the same ones the true one is
    usually smaller, so this is careful. It knows the chance of which images were drawn, and
    nothing of the chance of another seed: for that, repeat and `compare`.

    Raises:
        ValueError: an accuracy outside 0..1, or no images.
    """
    if not (0 <= a <= 1 and 0 <= b <= 1 and n >= 1):
        raise ValueError(f"accuracies {a!r} and {b!r} of {n!r} images: give fractions and n >= 1")
    error = 2 * math.sqrt((a * (1 - a) + b * (1 - b)) / n)
    low, high = a - b - error, a - b + error
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "tied" if -margin <= low and high <= margin else "undecided"


def checked_values(name: str, values: Sequence[float]) -> np.ndarray:
    """The trials as a float array; ValueError where they are not two finite numbers or more."""
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
