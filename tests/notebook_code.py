"""The code of the course's notebooks, for tests that look at what is written."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def code_of(section: str) -> Iterator[tuple[list[str], ast.Module]]:
    """Tags and syntax tree of every code cell; a line of IPython's own counts as nothing."""
    for cell in nbformat.read(NOTEBOOKS / f"{section}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            lines = [
                line[: len(line) - len(line.lstrip())] + "pass"
                if line.strip()[:1] in "%!"
                else line
                for line in cell.source.splitlines()
                if line.strip()
            ]
            yield cell.metadata.get("tags", []), ast.parse("\n".join(lines))


def global_names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Names that a cell gives a value, and those of other cells that it reads."""
    top = symtable.symtable(ast.unparse(tree), "cell", "exec")
    own = {name.get_name() for name in top.get_symbols() if name.is_assigned()}
    own |= {name.get_name() for name in top.get_symbols() if name.is_imported()}
    read = {name.get_name() for name in top.get_symbols() if name.is_referenced()}
    tables = list(top.get_children())
    while tables:
        table = tables.pop()
        read |= {name.get_name() for name in table.get_symbols() if name.is_global()}
        tables += table.get_children()
    return own, read - own
