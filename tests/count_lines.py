"""Print how long the package is: it promises to be read in an afternoon.

The aim holds for lines of code; docstrings, comments and blank lines are there for the reader
and are printed beside it.
"""

from __future__ import annotations

import ast
from pathlib import Path

AIM = 3500
PACKAGE = Path(__file__).resolve().parents[1] / "cvhelpers"


def count(source: str) -> tuple[int, int]:
    """Return the lines of code and all lines of a Python source."""
    prose: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            prose.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = source.splitlines()
    code = [
        number
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#") and number not in prose
    ]
    return len(code), len(lines)


def main() -> None:
    counts = [count(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]
    code, lines = (sum(column) for column in zip(*counts, strict=True))
    print(f"the package has {code} lines of code, {lines} with docstrings; the aim is {AIM}")


if __name__ == "__main__":
    main()
