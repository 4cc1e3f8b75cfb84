"""One bar a training where somebody watches; one printed line an epoch where nobody does."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any

from tqdm.auto import tqdm

from cvhelpers.runtime import has_front_end
from cvhelpers.training.history import History

_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


def _keep_in_one_line(bar: Any) -> None:
    """In a notebook: label and numbers keep their width, the bar gets what is left of the line.

    Where nothing is left the numbers stand below, in a line of their own.
    """
    if (container := getattr(bar, "container", None)) is not None:
        label, stripe, numbers = container.children
        label.layout.flex = numbers.layout.flex = "none"
        stripe.layout.flex, stripe.layout.min_width = "1 1 0", "30px"
        container.layout.flex_flow = "row wrap"


class Progress(contextlib.AbstractContextManager["Progress"]):
    """Show a training's epochs. A keyboard interrupt inside ends the block, not the program."""

    def __init__(self, label: str, epochs: int, history: History) -> None:
        self.label, self.epochs = label, epochs
        self.bar = None
        if history.rows and not history.finished:
            print(f"{label}: resumed after epoch {len(history)} of {epochs}")
        elif history.rows:
            print(f"{label}: finished before, after epoch {len(history)}; nothing to train")
        if has_front_end() and not history.finished:
            self.bar = tqdm(
                total=epochs, initial=len(history), desc=label, unit="epoch", bar_format=_FORMAT
            )
            _keep_in_one_line(self.bar)

    def show(self, row: dict[str, float]) -> None:
        """Show one finished epoch."""
        score = "iou" if "val_iou" in row else "accuracy"  # of masks, accuracy misleads
        text = (
            f"loss {row['train_loss']:.3f}/{row['val_loss']:.3f}  "
            f"{score} {row[f'train_{score}']:.1%}/{row[f'val_{score}']:.1%} (train/val)  "
            f"rate {row['learning_rate']:.1e}"
        )
        if self.bar is not None:
            self.bar.set_postfix_str(text)
            self.bar.update()
        else:
            epoch = f"{self.label} epoch {row['epoch']:.0f}/{self.epochs}".strip()
            print(f"{epoch}  {text}  {row['seconds']:.1f} s", flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self.bar is not None:
            self.bar.close()
        if kind is KeyboardInterrupt:
            print(f"{self.label}: interrupted; the history so far is returned")
            return True
        return False
