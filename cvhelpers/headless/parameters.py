"""A notebook's parameters: their defaults, and command-line text turned into their types."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from cvhelpers.manifest import near


def read_notebook(path: Path) -> Any:
    """Read a notebook file; ValueError names the file where there is none or it is broken."""
    import nbformat  # takes a second: not for `--help`

    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such notebook") from None
    except Exception as error:  # what nbformat raises has no base class of its own
        raise ValueError(f"{path}: not readable as a notebook ({error})") from error


def tags(cell: Any) -> list[str]:
    """Return a cell's tags."""
    return list(cell.metadata.get("tags", []))


def defaults(notebook: Any) -> dict[str, Any]:
    """Return names and values from the cell tagged `parameters`, in its order.

    Raises:
        ValueError: no such cell or several, or a line that is not `name = literal`.
    """
    cells = [cell for cell in notebook.cells if "parameters" in tags(cell)]
    if len(cells) != 1:
        raise ValueError(f"{len(cells)} cells are tagged `parameters`; tag exactly one")
    found: dict[str, Any] = {}
    for line in ast.parse(cells[0].source).body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        try:
            if not isinstance(target, ast.Name):
                raise ValueError
            found[target.id] = ast.literal_eval(line.value)
        except ValueError:
            raise ValueError(
                f"parameters cell: `{ast.unparse(line)}` is not `name = plain value`; "
                "move it to the next cell"
            ) from None
    return found


def typed(name: str, text: str, default: Any) -> Any:
    """Turn `text` into the type of the parameter's default.

    `false` becomes False for a bool; a default of None takes a number, None, or else the text;
    a tuple arrives as a list, because papermill writes tuples as strings.

    Raises:
        ValueError: quoting the value and the type it should have.
    """
    if isinstance(default, str):
        return text
    text = text.strip()
    try:
        value = ast.literal_eval(text.title() if isinstance(default, bool) else text)
    except (ValueError, SyntaxError):
        value = text  # right only where the default is None: every other type refuses it
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if isinstance(value, tuple):
        value = list(value)
    wanted = list if isinstance(default, tuple) else type(default)
    if default is not None and type(value) is not wanted:
        raise ValueError(
            f"parameter {name}: {text!r} is no {wanted.__name__}; "
            f"give a value like its default {default!r}"
        )
    return value


def resolve(notebook: Any, texts: dict[str, str], **launcher: Any) -> dict[str, Any]:
    """Type the user's `texts`, and add the launcher's own values where the notebook has the names.

    Raises:
        ValueError: an unknown name (with the list of valid ones), or a value of another type.
    """
    known = defaults(notebook)
    values = {name: v for name, v in launcher.items() if name in known and v is not None}
    for name, text in texts.items():
        if name in launcher:
            raise ValueError(f"parameter {name}: give it as --{name} {text}")
        if name not in known:
            own = [other for other in known if other not in launcher]
            raise ValueError(f"unknown parameter {name!r}; {near(name, own)}")
        values[name] = typed(name, text, known[name])
    return values
