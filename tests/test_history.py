"""A history: rows, columns, the best epoch."""

import pytest

from cvhelpers.training import History

ROWS = [
    {"epoch": 1, "val_loss": 0.9, "val_accuracy": 0.5, "seconds": 1.5},
    {"epoch": 2, "val_loss": 0.7, "val_accuracy": 0.8, "seconds": 2.0},
    {"epoch": 3, "val_loss": 0.6, "val_accuracy": 0.8, "seconds": 0.5},
]


def test_rows_columns_and_the_table() -> None:
    history = History(ROWS)
    assert len(history) == 3
    assert history.column("val_loss") == [0.9, 0.7, 0.6]
    assert history.last() == ROWS[2]
    assert history.seconds() == 4.0
    assert history.frame().to_dict("records") == ROWS
    assert history.frame().index.tolist() == [0, 1, 2]


def test_the_best_epoch_has_the_lowest_loss_or_the_highest_accuracy() -> None:
    history = History(ROWS)
    assert history.best("val_loss")["epoch"] == 3
    assert history.best()["epoch"] == 2  # the first of two equals
    assert history.best("epoch")["epoch"] == 3


def test_an_empty_history_says_so() -> None:
    history = History()
    assert len(history) == 0
    assert (history.finished, history.precision) == (False, "")
    assert history.frame().empty
    assert history.column("val_loss") == []
    for ask in (history.last, history.best):
        with pytest.raises(ValueError, match="the history is empty: train for at least one epoch"):
            ask()


def test_histories_do_not_share_rows() -> None:
    one, other = History(), History()
    one.rows.append(ROWS[0])
    assert len(other) == 0
