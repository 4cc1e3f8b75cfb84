"""Sums over an epoch and confusion counts, computed by hand."""

import pytest
import torch

from cvhelpers.training import confusion_counts
from cvhelpers.training.metrics import Totals

CPU = torch.device("cpu")


def test_an_uneven_last_batch_counts_by_its_size() -> None:
    totals = Totals(CPU)
    four = torch.tensor([[2.0, 1], [2, 1], [2, 1], [1, 2]])
    totals.add(torch.tensor(1.0), four, torch.tensor([0, 0, 1, 1]))
    totals.add(torch.tensor(6.0), torch.tensor([[0.0, 1]]), torch.tensor([0]))
    # The mean of the two batch losses would be 3.5, of the two accuracies 3/8.
    assert totals.averages() == {"loss": (4 * 1.0 + 6.0) / 5, "accuracy": 3 / 5}


def test_soft_targets_count_their_most_probable_class() -> None:
    totals = Totals(CPU)
    logits = torch.tensor([[0.0, 3, 1], [0, 3, 1], [0, 3, 1]])
    soft = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.4, 0.1], [0.0, 1.0, 0.0]])
    totals.add(torch.tensor(1.0), logits, soft)
    assert totals.averages()["accuracy"] == pytest.approx(2 / 3)


def test_masks_count_by_pixel() -> None:
    totals = Totals(CPU)
    logits = torch.zeros(2, 3, 2, 2)
    logits[:, 1] = 1
    masks = torch.tensor([[[1, 1], [1, 0]], [[2, 2], [2, 1]]], dtype=torch.uint8)
    totals.add(torch.tensor(0.5), logits, masks)
    # Class 0: 1 pixel, none hit; class 1: 4 of 4 hit, 8 named; class 2: 3 pixels, none hit.
    expected = {"loss": 0.5, "accuracy": 4 / 8, "iou": (4 / 8) / 3, "dice": (8 / 12) / 3}
    assert totals.averages() == pytest.approx(expected)


def test_sums_stay_exact_and_out_of_the_graph() -> None:
    totals = Totals(CPU)
    loss = torch.tensor(0.1, requires_grad=True)
    for _ in range(10_000):
        totals.add(loss, torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
    assert not totals.loss.requires_grad
    assert totals.averages()["loss"] == pytest.approx(0.1, rel=1e-6)


def test_no_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="no batches: the data set is empty, or an iterator"):
        Totals(CPU).averages()


def test_confusion_by_hand() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    predicted = torch.tensor([0, 2, 2, 1, 0, 2])
    counts = confusion_counts(predicted, labels, 4)
    assert counts.tolist() == [[1, 0, 2, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert counts.sum(1).tolist() == torch.bincount(labels, minlength=4).tolist()


def test_predictions_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) predictions for \(2,\) labels"):
        confusion_counts(torch.zeros(3).long(), torch.zeros(2).long(), 2)
