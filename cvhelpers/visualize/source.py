"""Code, shown in a notebook."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from IPython.display import Code


def show_source(thing: Any) -> Code:
    """Show the source of a function or class of the pack in the notebook, highlighted."""
    return Code(inspect.getsource(thing), language="python")


def show_changes(before: Any, after: Any) -> Code:
    """Show what changed between two functions or classes as a diff, without the solution marks."""
    old, new = (
        [line for line in inspect.getsource(thing).splitlines() if "### " not in line]
        for thing in (before, after)
    )
    changes = difflib.unified_diff(old, new, before.__name__, after.__name__, lineterm="")
    return Code("\n".join(changes), language="diff")
