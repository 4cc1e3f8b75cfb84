"""Print how long the package is: it promises to be read in an afternoon.

The aims hold for lines of code; docstrings, comments and blank lines are there for the reader
and are printed beside them.
"""

from __future__ import annotations

import ast
from pathlib import Path

READ = "what a student opens"
TOOLS = {"manifest", "headless", "coursework", "doctor", "__main__"}  # the rest is to be read
AIMS = {READ: 4200, "manifest, headless, coursework, doctor, command line": 1800}
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


def sizes() -> dict[str, tuple[int, int]]:
    """Lines of code and all lines of the two parts of the package, named as in `AIMS`."""
    found = {part: (0, 0) for part in AIMS}
    _, tools = AIMS
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        part = tools if room in TOOLS else READ
        code, lines = count(path.read_text(encoding="utf-8"))
        found[part] = (found[part][0] + code, found[part][1] + lines)
    return found


def main() -> None:
    for part, (code, lines) in sizes().items():
        print(f"{part}: {code:,} lines of code, {lines:,} with prose; the aim is {AIMS[part]:,}")


if __name__ == "__main__":
    main()
