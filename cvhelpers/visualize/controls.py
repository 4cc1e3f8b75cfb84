"""Controls and a picture that follows them, in a notebook that somebody looks at."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from cvhelpers.runtime import has_front_end
from cvhelpers.visualize.plots import loss_and_accuracy

_DPI = 90  # on a screen; a sharper picture takes longer
_SPAN = ipywidgets.Layout(width="20rem")


class LiveCurves:
    """Learning curves that grow while a training runs: `fit(..., on_epoch=LiveCurves())`.

    Loss and accuracy after every epoch, of masks the IoU; where nobody looks it draws nothing. The
    finished history is drawn by `loss_and_accuracy`.
    """

    def __init__(self, label: str = "") -> None:
        self.label = label
        self._picture: ipywidgets.HTML | None = None

    def __call__(self, history: Any) -> None:
        """Draw the `History` so far."""
        if not has_front_end():
            return
        table = pd.DataFrame(history.rows)
        score = "iou" if "val_iou" in table else "accuracy"
        title = f"{self.label}: after epoch {len(table)}".removeprefix(": ")
        fig, _ = loss_and_accuracy({self.label or "training": table}, title, score=score)
        last = table.iloc[-1][f"val_{score}"]
        if self._picture is None:
            self._picture = ipywidgets.HTML()
            display(self._picture)
        self._picture.value = picture_html(fig, f"{title}, validation {score} {last:.3f}")


def choice(description: str, options: Sequence[Any]) -> ipywidgets.Dropdown:
    """A list to choose from; options are values, or pairs of a name and a value."""
    if not len(options):
        raise ValueError(f"nothing to choose from: give one {description} at least")
    return ipywidgets.Dropdown(options=list(options), description=description, layout=_SPAN)


def slider(description: str, count: int) -> ipywidgets.IntSlider:
    """A slider over the numbers from 0 that many things have."""
    if count < 1:
        raise ValueError(f"nothing to look at: give one {description} at least")
    return ipywidgets.IntSlider(0, min=0, max=count - 1, description=description, layout=_SPAN)


def explore(
    what: str,
    draw: Callable[..., Figure],
    fit: Callable[[], None] = lambda: None,
    /,
    **controls: Any,
) -> None:
    """Show controls and, below them, what `draw` makes of their values; only where one can look.

    fit: brings the controls' ranges into line with the values of the others.
    """
    if not has_front_end():
        return
    picture = ipywidgets.HTML()
    busy = False

    def redraw(_: object = None) -> None:
        nonlocal busy
        if busy:  # it was `fit` that moved a control
            return
        busy = True
        try:
            fit()
            values = {name: control.value for name, control in controls.items()}
            shown = ", ".join(f"{c.description} {_said(c)}" for c in controls.values())
            picture.value = picture_html(draw(**values), f"{what}: {shown}")
        except Exception as error:  # outside of a cell nobody else would show it
            picture.value = f"<pre role='alert'>{html.escape(f'{error!r}')}</pre>"
        finally:
            busy = False

    for control in controls.values():
        control.style.description_width = "initial"
        control.tooltip = f"{what}: {control.description}"
        control.observe(redraw, "value")
    redraw()
    row = ipywidgets.HBox(list(controls.values()), layout=ipywidgets.Layout(flex_flow="row wrap"))
    display(ipywidgets.VBox([row, picture]))


def _said(control: Any) -> str:
    """A control's value in words."""
    value = getattr(control, "label", control.value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def picture_html(figure: Figure, description: str) -> str:
    """A figure as an `<img>`, described for those who cannot see it; the figure is closed."""
    figure.set_dpi(_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # `savefig` would lay it out and draw it twice
    content = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(
        content, "png", compress_level=1
    )
    plt.close(figure)
    data = base64.b64encode(content.getvalue()).decode()
    text = html.escape(description)
    picture = f'<img src="data:image/png;base64,{data}" alt="{text}" style="max-width: 100%">'
    return f"{picture}<p role='status'>{text}</p>"
