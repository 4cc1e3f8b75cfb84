"""Losses and metrics of masks against values worked out by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial import distance
from torch import Tensor, nn

from cvhelpers.data.images import Images
from cvhelpers.data.store import Provenance
from cvhelpers.masks import IGNORE
from cvhelpers.training import (
    boundary_f,
    confusion_counts,
    cross_entropy,
    cross_entropy_and_dice,
    mask_scores,
    overlaps,
    pooled_scores,
    predict_masks,
    score_masks,
    soft_dice_loss,
)
from cvhelpers.training.metrics import Totals, predicted_classes

CPU = torch.device("cpu")
NAN = pytest.approx(math.nan, nan_ok=True)


def mask(*rows: list[int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.uint8)


def scores(predicted: Tensor, truth: Tensor) -> dict[str, float]:
    return mask_scores(confusion_counts(predicted, truth, 2))


# Overlap


def test_overlap_by_hand() -> None:
    truth = mask([1, 1, 0, 0], [1, 1, 0, IGNORE])
    predicted = mask([1, 0, 1, 0], [1, 1, 0, 1])  # 3 of 4 hit, 1 false alarm, the last ignored
    found = scores(predicted, truth)
    assert found == pytest.approx({"accuracy": 5 / 7, "iou": 3 / 5, "dice": 6 / 8})
    assert found["dice"] == pytest.approx(2 * found["iou"] / (1 + found["iou"]))


@pytest.mark.parametrize(
    ("predicted", "truth", "iou"),
    [
        (mask([0, 0]), mask([0, 0]), 1.0),  # nothing to find, nothing said
        (mask([0, 0]), mask([1, 0]), 0.0),
        (mask([0, 1]), mask([0, 0]), 0.0),
        (mask([0, 1]), mask([0, IGNORE]), 1.0),  # a false alarm where nobody knows
    ],
)
def test_empty_masks(predicted: Tensor, truth: Tensor, iou: float) -> None:
    found = scores(predicted, truth)
    assert found["iou"] == found["dice"] == iou


def test_where_every_pixel_is_ignored_nothing_is_judged() -> None:
    found = scores(mask([0, 1]), mask([IGNORE, IGNORE]))
    assert found == {"accuracy": NAN, "iou": NAN, "dice": NAN}
    assert math.isnan(boundary_f(mask([0, 1]), mask([IGNORE, IGNORE])))


def test_overlap_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = rng.integers(0, 2, (2, 40)).astype(np.uint8)
        found = scores(torch.from_numpy(first), torch.from_numpy(second))
        assert found["dice"] == pytest.approx(1 - distance.dice(first == 1, second == 1))
        assert found["iou"] == pytest.approx(1 - distance.jaccard(first == 1, second == 1))
        assert found["accuracy"] == pytest.approx(1 - distance.hamming(first, second))


def test_of_several_classes_the_mean_counts_those_that_appear() -> None:
    truth, predicted = mask([0, 0, 1, 1]), mask([0, 1, 1, 1])
    counts = confusion_counts(predicted, truth, 4)  # nobody saw classes 2 and 3
    assert overlaps(counts)[0].tolist() == pytest.approx(
        [1 / 2, 2 / 3, math.nan, math.nan], nan_ok=True
    )
    assert mask_scores(counts)["iou"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_pooled_pixels_weigh_images_by_size_and_the_table_does_not() -> None:
    small, large = mask([1, 0]), torch.ones(4, 4, dtype=torch.uint8)
    predicted = [mask([0, 0]), large]
    assert pooled_scores(predicted, [small, large])["iou"] == pytest.approx(16 / 17)
    table = score_masks(predicted, [small, large])
    assert table["iou"].tolist() == [0, 1]
    assert list(table) == ["accuracy", "iou", "dice", "boundary_f"]
    with pytest.raises(ValueError, match="no masks"):
        pooled_scores([], [])


def test_one_logit_is_the_foregrounds() -> None:
    logits = torch.tensor([[-1.0, 2.0], [0.0, 0.1]])
    assert predicted_classes(logits[None, None])[0].tolist() == [[0, 1], [0, 1]]
    assert predicted_classes(torch.stack([0 * logits, logits])[None])[0].tolist() == [
        [0, 1],
        [0, 1],
    ]


def test_totals_weigh_batches_by_the_pixels_that_count() -> None:
    totals = Totals(CPU)
    yes, no = torch.full((1, 1, 1, 4), 1.0), torch.full((1, 1, 1, 4), -1.0)
    totals.add(torch.tensor(1.0), yes, mask([1, 1, 0, IGNORE])[None])
    totals.add(torch.tensor(5.0), no, mask([IGNORE, IGNORE, IGNORE, 1])[None])
    expected = {"loss": (3 * 1.0 + 5.0) / 4, "accuracy": 2 / 4, "iou": 2 / 4, "dice": 4 / 6}
    assert totals.averages() == pytest.approx(expected)


def test_totals_of_ignored_pixels_alone_are_an_error() -> None:
    totals = Totals(CPU)
    totals.add(torch.tensor(0.0), torch.zeros(1, 1, 1, 2), mask([IGNORE, IGNORE])[None])
    with pytest.raises(ValueError, match=r"every pixel of the masks is 255, to be ignored"):
        totals.averages()


# Losses


def test_cross_entropy_of_one_logit_by_hand() -> None:
    logits = torch.tensor([[[[0.0, 2.0, -3.0]]]])
    truth = mask([1, 0, IGNORE])[None]
    by_hand = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert cross_entropy(logits, truth).item() == pytest.approx(by_hand)


def test_one_logit_means_what_two_do() -> None:
    """A logit against the background's 0: the same loss, the same gradient."""
    logit = torch.randn(2, 1, 5, 5, requires_grad=True)
    truth = torch.randint(0, 2, (2, 5, 5)).byte()
    truth[0, 0] = IGNORE
    two = torch.cat([torch.zeros_like(logit), logit], dim=1)
    torch.testing.assert_close(cross_entropy(logit, truth), cross_entropy(two, truth))
    first, second = (torch.autograd.grad(cross_entropy(x, truth), logit)[0] for x in (logit, two))
    torch.testing.assert_close(first, second)
    assert not first[0, :, 0].any()  # an ignored pixel pulls at nothing


def test_cross_entropy_of_labels_is_torchs_own() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    assert torch.equal(cross_entropy(logits, labels), F.cross_entropy(logits, labels))
    soft = logits.softmax(1)
    assert torch.equal(cross_entropy(logits, soft), F.cross_entropy(logits, soft))


def test_a_batch_of_ignored_pixels_costs_nothing() -> None:
    logits = torch.randn(1, 1, 2, 2, requires_grad=True)
    nothing = torch.full((1, 2, 2), IGNORE, dtype=torch.uint8)
    for loss in (cross_entropy, soft_dice_loss, cross_entropy_and_dice):
        value = loss(logits, nothing)
        assert value.item() == pytest.approx(0)
        assert not torch.autograd.grad(value, logits)[0].any()


def test_soft_dice_by_hand() -> None:
    logits = torch.tensor([[[[0.0, 0.0, 50.0, 50.0]]]])  # shares 1/2, 1/2, 1, 1
    truth = mask([1, 0, 1, IGNORE])[None]
    dice = (2 * 1.5 + 1) / (2.0 + 2 + 1)
    assert soft_dice_loss(logits, truth).item() == pytest.approx(1 - dice)
    both = cross_entropy(logits, truth) + soft_dice_loss(logits, truth)
    torch.testing.assert_close(cross_entropy_and_dice(logits, truth), both)


def test_soft_dice_of_sure_and_right_masks_is_nothing() -> None:
    truth = torch.randint(0, 3, (2, 8, 8)).byte()
    sure = 100 * F.one_hot(truth.long(), 3).permute(0, 3, 1, 2).float()
    assert soft_dice_loss(sure, truth).item() == pytest.approx(0, abs=1e-6)
    none = torch.zeros(1, 4, 4, dtype=torch.uint8)  # no foreground, and none predicted
    assert soft_dice_loss(torch.full((1, 1, 4, 4), -100.0), none).item() == pytest.approx(0)


# Outlines


def square(top: int, left: int, side: int, size: int = 40) -> Tensor:
    found = torch.zeros(size, size, dtype=torch.uint8)
    found[top : top + side, left : left + side] = 1
    return found


def test_boundary_by_hand() -> None:
    truth = square(10, 10, 20)  # its outline: 76 pixels
    assert boundary_f(truth, truth) == 1
    moved = square(10, 13, 20)  # three pixels to the right
    # Of its 76 pixels lie within 1.5 of the true outline: of either long edge the 17 shared ones
    # and one beyond, and of its left side the upper and lower end. The truth's see the same.
    near = 1.5 / math.hypot(40, 40)
    assert boundary_f(moved, truth, tolerance=near) == (2 * 18 + 2) / 76
    assert boundary_f(moved, truth, tolerance=3 / math.hypot(40, 40)) == 1


def test_boundary_of_empty_masks() -> None:
    nothing, some = torch.zeros(8, 8, dtype=torch.uint8), square(2, 2, 3, 8)
    assert boundary_f(nothing, nothing) == 1
    assert boundary_f(some, nothing) == boundary_f(nothing, some) == 0
    whole = torch.ones(8, 8, dtype=torch.uint8)
    assert boundary_f(whole, whole) == 1  # the picture's frame is no outline: neither has one


def test_a_band_of_ignored_pixels_hides_where_the_border_is() -> None:
    truth = square(10, 10, 20)
    outer, inner = square(8, 8, 24), square(12, 12, 16)
    truth[(outer == 1) & (inner == 0)] = IGNORE
    near = 2.9 / math.hypot(40, 40)
    for said in (outer, inner, square(10, 10, 20)):  # anywhere in the band is right
        assert boundary_f(said, truth, tolerance=near) == 1
    assert boundary_f(square(4, 4, 32), truth, tolerance=near) < 0.1


def test_outlines_deep_in_an_ignored_region_count_nowhere() -> None:
    truth = torch.cat([square(5, 5, 10), torch.full((40, 40), IGNORE, dtype=torch.uint8)], dim=1)
    said = torch.cat([square(5, 5, 10), square(15, 15, 10)], dim=1)
    assert boundary_f(said, truth) == 1


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\) and a truth \(1, 3\)"):
        boundary_f(mask([0, 1]), mask([0, 1, 0]))


# Predicting at another size


class Ramp(nn.Module):
    """Logits that rise from left to right and cross 0 in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        ramp = torch.linspace(-1, 1, images.shape[3]) * self.scale
        return ramp.expand(len(images), 1, images.shape[2], -1)


def few(count: int = 3) -> Images:
    pixels = torch.zeros(count, 1, 4, 4, dtype=torch.uint8)
    return Images(pixels, pixels[:, 0], ("background", "object"), Provenance("sample"))


def test_masks_are_predicted_at_the_size_asked_for() -> None:
    sizes = [(6, 10), (3, 20), (4, 4)]
    found = predict_masks(Ramp(), few(), sizes)
    for one, (height, width) in zip(found, sizes, strict=True):
        assert one.dtype == torch.uint8
        expected = (torch.arange(width) >= width / 2).byte().expand(height, -1)
        assert torch.equal(one, expected)  # the logits are resized: no stairs of four pixels
    assert [tuple(one.shape) for one in predict_masks(Ramp(), few())] == [(4, 4)] * 3
    with pytest.raises(ValueError, match="2 sizes for 3 images"):
        predict_masks(Ramp(), few(), sizes[:2])
