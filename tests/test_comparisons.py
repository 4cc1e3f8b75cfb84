"""Several comparisons together: corrections, bounds and pairs, by hand."""

import numpy as np
import pandas as pd
import pytest

from cvhelpers.experiments import bootstrap_interval, compare_all, holm, mcnemar


def table() -> pd.DataFrame:
    rows = [("plain", seed, 0.6 + seed / 100) for seed in range(5)]
    # Another order of the seeds: pairing must go by seed, not by position.
    rows += [("wide", seed, 0.61 + seed / 100) for seed in (4, 2, 0, 1, 3)]
    rows += [("deep", seed, 0.5 + seed / 100) for seed in range(5)]
    return pd.DataFrame(rows, columns=["variant", "seed", "accuracy"])


def test_compare_all_pairs_by_seed() -> None:
    found = compare_all(table(), "accuracy", baseline="plain").set_index("variant")
    assert list(found.index) == ["wide", "deep"]
    assert found["n"].tolist() == [5, 5]
    assert found["difference"].tolist() == pytest.approx([0.01, -0.1])
    assert found["p"].tolist() == pytest.approx([2 / 32, 2 / 32])
    assert found["p_floor"].tolist() == pytest.approx([2 / 32, 2 / 32])
    assert found["effect"].tolist() == [1.0, -1.0]
    assert "wide" in found.loc["wide", "sentence"]


def test_compare_all_unpaired() -> None:
    found = compare_all(table(), "accuracy", baseline="plain", paired_by=None)
    # Every "deep" trial lies below every "plain" one: 2 of C(10, 5) = 252.
    assert found.set_index("variant").loc["deep", "p"] == pytest.approx(2 / 252)
    assert found["median"].tolist() == pytest.approx([0.63, 0.52])


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.03, 0.04, times 3, 2, 1: 0.03, 0.06, 0.04; the last may not undercut 0.06.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_several_comparisons_are_corrected_together() -> None:
    found = compare_all(table(), "accuracy", baseline="plain", paired_by=None, alpha=0.01)
    assert found["p_holm"].tolist() == pytest.approx(holm(found["p"].tolist()))
    deep = found.set_index("variant").loc["deep"]
    assert deep["p"] < 0.01 < deep["p_holm"]
    assert deep["sentence"].startswith("No conclusion at the 1 % level: 5 against 5 trials in each")
    assert "cannot give less than p = 0.016" in deep["sentence"]
    assert "0.016 after Holm for 2 comparisons" in deep["sentence"]
    two = table().query("variant != 'wide'")
    alone = compare_all(two, "accuracy", baseline="plain", paired_by=None, alpha=0.01)
    assert alone["sentence"][0].startswith("plain is better than deep at the 1 % level")


def test_bootstrap_by_hand() -> None:
    # Resampled means of (0, 1) are 0, 0.5 and 1 with chances 1/4, 1/2, 1/4.
    assert bootstrap_interval([0, 1], [0, 0]) == (0, 1)
    assert bootstrap_interval([0, 1], [0, 0], confidence=0.4) == (0.5, 0.5)
    assert bootstrap_interval([1, 2, 3], [0, 1, 2], paired=True) == (1, 1)  # always one more
    low, high = bootstrap_interval([1, 2, 3], [0, 1, 2])
    assert low < 0 < 1 < high
    many = np.linspace(0, 1, 400)
    low, high = bootstrap_interval(many, np.zeros(400))
    error = many.std() / 20
    assert low == pytest.approx(0.5 - 1.96 * error, abs=error / 10)
    assert high == pytest.approx(0.5 + 1.96 * error, abs=error / 10)
    found = compare_all(table(), "accuracy", baseline="plain").set_index("variant")
    assert found.loc["deep", ["low", "high"]].tolist() == pytest.approx([-0.1, -0.1])


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([1], [1, 2], {}, "a has 1 trials"),
        ([1, 2, 3], [1, 2], {"paired": True}, "pairs must match"),
        ([1, 2], [1, 2], {"confidence": 95}, "confidence=95 must lie in 0..1"),
    ],
)
def test_bootstrap_refusals(a: list, b: list, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(a, b, **options)


def test_compare_all_refusals() -> None:
    with pytest.raises(ValueError, match=r"no variant 'plane'.*plain, wide, deep"):
        compare_all(table(), "accuracy", baseline="plane")
    with pytest.raises(ValueError, match=r"no column 'acc'.*accuracy"):
        compare_all(table(), "acc", baseline="plain")
    with pytest.raises(ValueError, match=r"'wide' has seed \[0, 1, 2, 3\].*paired_by=None"):
        compare_all(table().drop(index=5), "accuracy", baseline="plain")


def answers(*known: range) -> dict[str, np.ndarray]:
    """For each of "abc...": which of ten images it knows."""
    return {chr(97 + i): np.isin(np.arange(10), one) for i, one in enumerate(known)}


def test_mcnemar_by_hand() -> None:
    right = answers(range(8), range(6, 9), range(6, 9))
    found = mcnemar(right, [("a", "b"), ("b", "a"), ("b", "c")])
    # a alone knows 0 to 5, b alone knows 8: at least 6 of seven one way, or the other, 2 * 8 / 128.
    assert found["gained"].tolist() == [6, 1, 0]
    assert found["lost"].tolist() == [1, 6, 0]
    assert found["p"].tolist() == pytest.approx([0.125, 0.125, 1.0])
    assert found["p_holm"].tolist() == pytest.approx(holm(found["p"].tolist()))
    assert found["accuracy a"].tolist() == pytest.approx([0.8, 0.3, 0.3])
    assert found["says"].tolist() == ["undecided"] * 3
    assert mcnemar(right, [("a", "b")], alpha=0.2)["says"].tolist() == ["better"]
    assert mcnemar(right, [("b", "a")], alpha=0.2)["says"].tolist() == ["worse"]


def test_mcnemar_corrects_for_the_number_of_pairs() -> None:
    right = answers(range(7), range(7, 8), range(7))
    assert mcnemar(right, [("a", "b")])["p"].tolist() == pytest.approx([2 * 9 / 256])
    twice = mcnemar(right, [("a", "b"), ("c", "b")])
    assert twice["p_holm"].tolist() == pytest.approx([4 * 9 / 256] * 2)


def test_mcnemar_refuses_what_cannot_be_compared() -> None:
    right = answers(range(7), range(3))
    with pytest.raises(ValueError, match="give pairs of a, b"):
        mcnemar(right, [("a", "z")])
    with pytest.raises(ValueError, match="give pairs of a, b"):
        mcnemar(right, [])
    with pytest.raises(ValueError, match=r"b has answers of shape \(9,\)"):
        mcnemar({"a": right["a"], "b": right["b"][:9]}, [("a", "b")])
    with pytest.raises(ValueError, match="kind int64"):
        mcnemar({"a": right["a"], "b": right["b"].astype(int)}, [("a", "b")])
