"""Exact tests against values counted by hand, and against scipy where it is exact."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, wilcoxon

from cvhelpers.experiments import compare, verdict


def test_three_against_three_fully_apart() -> None:
    found = compare([7, 8, 9], [1, 2, 3])
    assert found.p == pytest.approx(0.1)  # 2 of C(6, 3) = 20
    assert found.p_floor == pytest.approx(0.1)
    assert found.effect == 1.0
    assert found.effect_name == "Cliff's delta"
    assert (found.n, found.medians, found.difference) == ((3, 3), (8.0, 2.0), 6.0)


@pytest.mark.parametrize(
    ("a", "b", "p", "effect"),
    [
        ([1, 2, 3, 4], [5, 6, 7, 8], 2 / 70, -1.0),
        ([1, 2], [3, 4, 5], 2 / 10, -1.0),
        # Rank sums of two of the ranks 1..4: 3, 4, 5, 5, 6, 7. Seen 4, middle 5: four are as far.
        ([1, 3], [2, 4], 4 / 6, -0.5),
        # Ties: midranks 1, 2.5, 2.5, 4; sums 3.5, 3.5, 5, 5, 6.5, 6.5; seen 3.5.
        ([1, 2], [2, 3], 4 / 6, -0.75),
        # Midranks 1.5, 1.5, 3.5, 3.5; sums 3, 5, 5, 5, 5, 7; seen 3.
        ([0.5, 0.5], [0.7, 0.7], 2 / 6, -1.0),
        # Unequal and tied: midranks 1, 2.5, 2.5, 4.5, 4.5; of the ten sums of two, 3.5 (twice) and
        # 9 (once) are as far from the middle, 6, as the one seen, 3.5.
        ([1, 2], [2, 3, 3], 3 / 10, -5 / 6),
        ([4, 4], [4, 4], 1.0, 0.0),
        ([0.7, 0.8, 0.9], [0.7, 0.8, 0.9], 1.0, 0.0),
    ],
)
def test_unpaired_by_hand(a: list[float], b: list[float], p: float, effect: float) -> None:
    found = compare(a, b)
    assert found.p == pytest.approx(p)
    assert found.effect == pytest.approx(effect)
    mirrored = compare(b, a)
    assert mirrored.p == pytest.approx(p)
    assert mirrored.effect == pytest.approx(-effect)


@pytest.mark.parametrize(
    ("differences", "p", "effect"),
    [
        ([1, 2, 3, 4, 5], 2 / 32, 1.0),
        # Signs of ranks 1, 2, 3: sums 6, 4, 2, 0, 0, -2, -4, -6; seen 4.
        ([-1, 2, 3], 4 / 8, 4 / 6),
        # A pair without a difference is left out: ranks 1 and 2, both up.
        ([0, 1, 2], 2 / 4, 1.0),
        # Ties: midranks 1.5, 1.5, 3; sums 6, 3, 3, 0 and the same below; seen 3.
        ([-1, 1, 2], 6 / 8, 0.5),
        ([0, 0], 1.0, 0.0),
    ],
)
def test_paired_by_hand(differences: list[float], p: float, effect: float) -> None:
    base = np.linspace(1, 2, len(differences))
    found = compare(base + differences, base, paired=True)
    assert found.p == pytest.approx(p)
    assert found.effect == pytest.approx(effect)
    assert found.p_floor == 2 / 2 ** len(differences)
    assert found.difference == pytest.approx(np.median(differences))
    assert "rank-biserial" in found.effect_name


def test_equal_steps_tie_in_spite_of_rounding() -> None:
    # In floating point 0.8 - 0.7 > 0.9 - 0.8. Midranks 1.5, 1.5, 3 (see above), seen 3: p = 6/8.
    a, b = [0.8, 0.8, 0.5], [0.7, 0.9, 0.3]
    assert a[0] - b[0] != b[1] - a[1]
    assert compare(a, b, paired=True).p == pytest.approx(6 / 8)


@pytest.mark.parametrize(("second", "effect"), [(1, 0), (2, -1), (0, 1)])
def test_ties_may_leave_one_pair_or_none(second: float, effect: float) -> None:
    found = compare([1, 1], [1, second], paired=True)
    assert (found.p, found.effect) == (1.0, effect)


def test_agrees_with_scipy_where_that_is_exact() -> None:
    generator = np.random.default_rng(0)
    for n, m in product((2, 4, 6), repeat=2):
        a, b = generator.normal(size=n), generator.normal(size=m)
        assert compare(a, b).p == pytest.approx(mannwhitneyu(a, b, method="exact").pvalue)
    for n in (3, 6, 9):
        a, b = generator.normal(size=n), generator.normal(size=n)
        assert compare(a, b, paired=True).p == pytest.approx(wilcoxon(a, b, method="exact").pvalue)


def test_sentence_draws_no_conclusion_that_the_numbers_cannot_give() -> None:
    text = compare([0.71, 0.72, 0.73], [0.6, 0.61, 0.62], names=("batch norm", "plain")).sentence
    assert text.startswith("No conclusion at the 5 % level")
    assert "cannot give less than p = 0.1" in text
    assert "difference +0.11" in text
    assert "better" not in text
    # The same trials do conclude where the level allows it.
    loose = compare([0.71, 0.72, 0.73], [0.6, 0.61, 0.62], names=("bn", "plain"), alpha=0.1)
    assert loose.sentence.startswith("bn is better than plain at the 10 % level")


def test_sentence_names_the_better_one() -> None:
    low, high = [1.0, 1.1, 1.2, 1.3], [2.0, 2.1, 2.2, 2.3]
    for better, winner in (("higher", "high"), ("lower", "low")):
        for values in ((("low", low), ("high", high)), (("high", high), ("low", low))):
            (a, first), (b, second) = values
            text = compare(first, second, names=(a, b), better=better).sentence
            assert text.startswith(f"{winner} is better than")


def test_sentence_without_a_difference() -> None:
    text = compare([1, 3, 5, 7], [2, 4, 6, 8]).sentence
    assert text.startswith("No difference between a and b is shown at the 5 % level")
    assert "does not prove them equal" in text


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1], [1, 2]), {}, "a has 1 trials.*run 2"),
        (([1, 2], []), {}, "b has 0 trials"),
        (([1, float("nan")], [1, 2]), {}, "a must be a list of finite numbers.*nan"),
        (([1, 2], [1, float("inf")]), {"names": ("x", "y")}, "y must be .*inf"),
        (([1, 2, 3], [1, 2]), {"paired": True}, "3 trials of a and 2 of b make no pairs"),
        (([1, 2], [1, 2]), {"better": "bigger"}, "bigger"),
        (([1, 2], [1, 2]), {"alpha": 5}, "alpha=5"),
        ((range(20), range(20)), {}, "too many to count.*mannwhitneyu"),
    ],
)
def test_refusals(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(*arguments, **options)


@pytest.mark.parametrize(
    ("a", "b", "n", "word"),
    [
        (0.80, 0.70, 1000, "better"),  # two errors are sqrt(4 * 0.37 / 1000) = 0.038
        (0.70, 0.80, 1000, "worse"),
        (0.80, 0.79, 1000, "undecided"),
        (0.80, 0.79, 1_000_000, "better"),
        (0.800, 0.801, 1_000_000, "tied"),
        (1.0, 1.0, 10, "tied"),  # without an error, both bounds are the difference
        (0.5, 0.0, 3, "undecided"),
    ],
)
def test_a_verdict_on_two_accuracies(a: float, b: float, n: int, word: str) -> None:
    assert verdict(a, b, n=n) == word


def test_a_margin_says_what_a_tie_is() -> None:
    assert verdict(0.80, 0.79, n=10_000) == "undecided"  # -0.001 to 0.021
    assert verdict(0.80, 0.79, n=10_000, margin=0.03) == "tied"


@pytest.mark.parametrize(("a", "b", "n"), [(80.0, 0.7, 10), (0.8, -0.1, 10), (0.8, 0.7, 0)])
def test_a_verdict_needs_fractions_and_images(a: float, b: float, n: int) -> None:
    with pytest.raises(ValueError, match="give fractions and n >= 1"):
        verdict(a, b, n=n)
