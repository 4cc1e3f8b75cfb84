"""Curves, confusions and trial points: what is drawn is what was given."""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from cvhelpers.visualize import (
    confusion_matrix,
    label_points,
    learning_curves,
    loss_and_accuracy,
    surface_paths,
    trial_points,
    use_style,
)


@pytest.fixture(autouse=True)
def _figures() -> Iterator[None]:
    mpl.use("Agg")
    with mpl.rc_context():
        use_style()
        yield
    plt.close("all")


def history(*val_accuracy: float) -> pd.DataFrame:
    values = np.array(val_accuracy)
    return pd.DataFrame(
        {
            "epoch": np.arange(1, len(values) + 1),
            "train_loss": 2 - values,
            "train_accuracy": values + 0.1,
            "val_loss": 3 - values,
            "val_accuracy": values,
        }
    )


def test_learning_curves_of_one_run() -> None:
    ax = learning_curves({"net": history(0.2, 0.5)})
    val, train = ax.get_lines()
    assert val.get_xydata().tolist() == [[1, 20], [2, 50]]  # percent
    assert np.allclose(train.get_ydata(), [30, 60])
    assert train.get_linestyle() == "--"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "accuracy (%)")
    assert [t.get_text() for t in ax.get_legend().texts] == ["net", "validation", "training"]


def test_learning_curves_of_seeds_show_each_and_the_median() -> None:
    seeds = [history(0.1, 0.2, 0.3), history(0.3, 0.6), history(0.2, 0.5, 0.9)]
    before = seeds[0].copy()
    ax = learning_curves({"net": seeds}, "loss")
    thin = [line for line in ax.get_lines() if line.get_linewidth() < 1]
    thick = [line for line in ax.get_lines() if line.get_linewidth() > 1]
    assert len(thin) == 6
    # The median goes as far as every seed got: two epochs.
    assert np.allclose(thick[0].get_xydata(), [[1, 2.8], [2, 2.5]])
    assert ax.get_ylabel() == "loss (nats)"
    assert "one seed (thick: median)" in [t.get_text() for t in ax.get_legend().texts]
    pd.testing.assert_frame_equal(seeds[0], before)


def test_learning_curves_use_the_given_axes() -> None:
    _, ax = plt.subplots()
    assert learning_curves({"net": history(0.2)}, ax=ax, legend=False) is ax
    assert ax.get_legend() is None
    assert [tick for tick in ax.get_xticks() if tick != round(tick)] == []


def test_more_labels_than_colours_stay_apart() -> None:
    ax = learning_curves({str(i): history(0.1, 0.2) for i in range(12)})
    assert len({str(line.get_color()) for line in ax.get_lines()}) == 12


def test_loss_and_accuracy_share_one_legend() -> None:
    fig, (left, right) = loss_and_accuracy({"net": history(0.2, 0.5)}, "LeNet-5")
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss (nats)", "accuracy (%)")
    assert left.get_legend() is None
    assert right.get_legend() is not None
    assert fig.get_suptitle() == "LeNet-5"


def test_learning_curves_errors() -> None:
    with pytest.raises(ValueError, match="no column 'val_dice' in the table; it has epoch, train_"):
        learning_curves({"net": history(0.2)}, "dice")
    with pytest.raises(ValueError, match=r"no history for \[\]"):
        learning_curves({})
    with pytest.raises(ValueError, match=r"no history for \['net'\]"):
        learning_curves({"net": []})


def test_confusion_matrix_shows_shares_counts_and_names() -> None:
    counts = np.array([[3, 1, 0], [0, 5, 0], [0, 0, 0]])  # the last class has no sample
    _, (ax,) = confusion_matrix(counts, ["ant", "bass", "crab"])
    assert np.allclose(ax.images[0].get_array(), [[75, 25, 0], [0, 100, 0], [0, 0, 0]])
    assert [t.get_text() for t in ax.texts][:3] == ["3", "1", "0"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ant", "bass", "crab"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")


def test_confusion_matrix_of_many_classes_lists_the_worst_pairs() -> None:
    counts = 9 * np.eye(101, dtype=int)
    counts[4, 7], counts[50, 2] = 3, 6
    _, (_, beside) = confusion_matrix(counts, [f"c{i}" for i in range(101)])
    lines = beside.texts[0].get_text().split("\n")
    assert [line.strip() for line in lines] == ["6 of 15  c50 → c2", "3 of 12  c4 → c7"]


def test_confusion_matrix_errors() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 2\) do not fit 3 classes"):
        confusion_matrix(np.ones((3, 2)), ["a", "b", "c"])


TRIALS = pd.DataFrame(
    {
        "variant": ["plain", "plain", "plain", "better", "better", "better"],
        "seed": [0, 1, 2, 0, 1, 2],
        "val_accuracy": [0.4, 0.5, 0.42, 0.7, float("nan"), 0.6],
    }
)


def test_every_trial_is_a_point() -> None:
    ax = trial_points(TRIALS, "val_accuracy", targets={"goal": 0.71})
    first, second = (c.get_offsets() for c in ax.collections)
    assert sorted(first[:, 0].tolist()) == [40, 42, 50]
    assert sorted(second[:, 0].tolist()) == [60, 70]
    medians = [line.get_xdata()[0] for line in ax.get_lines()[:2]]
    assert medians == [42, 65]
    assert ax.get_lines()[2].get_xdata() == pytest.approx([71, 71])
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == ["plain (n = 3)", "better (n = 3, 1 not finite)"]
    assert ax.get_ylim() == (1.5, -0.5)  # the first variant on top
    assert ax.get_xlabel().startswith("validation accuracy (%)")


def test_trial_points_keep_the_given_order() -> None:
    ax = trial_points(TRIALS, "val_accuracy", order=["better", "plain"])
    assert [t.get_text()[:6] for t in ax.get_yticklabels()] == ["better", "plain "]
    with pytest.raises(ValueError, match="no trial of 'best'; the table has plain, better"):
        trial_points(TRIALS, "val_accuracy", order=["best"])
    with pytest.raises(ValueError, match="no column 'dice'"):
        trial_points(TRIALS, "dice")


def test_style_is_opaque_and_readable() -> None:
    assert plt.rcParams["savefig.transparent"] is False
    assert plt.rcParams["figure.facecolor"] == "white"
    assert plt.rcParams["font.size"] >= 10


def test_a_label_keeps_its_colour_and_others_take_what_is_left() -> None:
    tables = {name: history(0.1, 0.2) for name in ("plain", "mixed", "cut")}
    ax = learning_curves(tables, "loss", colours={"mixed": "C0", "absent": "C5"})
    drawn = [line.get_color() for line in ax.lines]
    cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    names = dict(zip(tables, drawn[::2], strict=True))
    assert to_hex(names["mixed"]) == to_hex(cycle[0])
    assert len({to_hex(colour) for colour in names.values()}) == 3
    assert [to_hex(line.get_color()) for line in ax.get_legend().get_lines()[:3]] == [
        to_hex(colour) for colour in names.values()
    ]


def test_labels_that_would_overlap_stand_together() -> None:
    _, ax = plt.subplots(figsize=(6, 4))
    ax.set(xlim=(0, 100), ylim=(0, 100))
    label_points(ax, [10, 10.5, 60, 11, 10], [0, 0, 0, 0.5, 50], ["3", "7", "9", "12", "40"])
    texts = {text.get_text(): text.xy for text in ax.texts}
    assert set(texts) == {"12, 3, 7", "9", "40"}
    assert texts["12, 3, 7"] == (11, 0.5)  # beside the first of them


def test_paths_are_drawn_over_their_surface() -> None:
    path = torch.tensor([[1.0, 2.0], [0.5, 1.0], [0.0, 0.0]])
    ax = surface_paths(lambda p: p[0] ** 2 + p[1] ** 2, {"SGD": path, "Adam": path * 0.9})
    ways = [line for line in ax.lines if line.get_label() in ("SGD", "Adam")]
    assert np.allclose(ways[0].get_xydata(), path)
    assert [line.get_linestyle() for line in ways] == ["-", "--"]
    assert ax.get_xlabel() == "first parameter"
