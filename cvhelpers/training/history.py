"""One row an epoch."""

from __future__ import annotations

import pandas as pd


class History:
    """What a training measured, one row an epoch.

    Columns: `epoch` (from 1), `train_loss`, `train_accuracy`, `val_loss`, `val_accuracy`,
    `learning_rate` (of the first parameter group, at the epoch's last step) and `seconds`.
    Accuracies are fractions. Masks have `train_iou`, `train_dice`, `val_iou` and `val_dice`, too.
    The training columns are averages over the epoch while the weights moved, in training mode and
    with augmentation: `evaluate` says what the finished net does.

    Attributes:
        rows: one dict an epoch.
        finished: whether the training came to its end.
        stopped: whether early stopping ended it.
        precision: `float32` or `bfloat16`, what the training steps ran in.
    """

    def __init__(
        self,
        rows: list[dict[str, float]] | None = None,
        *,
        finished: bool = False,
        stopped: bool = False,
        precision: str = "",
    ) -> None:
        self.rows = rows or []
        self.finished = finished
        self.stopped = stopped
        self.precision = precision

    def __len__(self) -> int:
        return len(self.rows)

    def frame(self) -> pd.DataFrame:
        """Return the table, indexed from 0."""
        return pd.DataFrame(self.rows)

    def column(self, name: str) -> list[float]:
        """Return one column, one value per epoch."""
        return [row[name] for row in self.rows]

    def last(self) -> dict[str, float]:
        """Return the last epoch's row."""
        if not self.rows:
            raise ValueError("the history is empty: train for at least one epoch")
        return self.rows[-1]

    def best(self, monitor: str = "val_accuracy") -> dict[str, float]:
        """Return the row of the best epoch: lowest for losses, highest for everything else."""
        self.last()
        sign = -1 if monitor.endswith("loss") else 1
        return max(self.rows, key=lambda row: sign * row[monitor])

    def seconds(self) -> float:
        """Return the seconds spent in all epochs together."""
        return sum(self.column("seconds"))
