"""Which cells of a section are graded, and how its points are shared among them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from typing import Any

from cvhelpers.headless.parameters import tags

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
_OFF = 'run.profile == "smoke" or'


def is_solution(cell: Any) -> bool:
    """Whether a cell of a section's notebook holds what students are to write."""
    return cell.cell_type == "code" and ("solution" in tags(cell) or BEGIN in cell.source)


def is_answer(cell: Any) -> bool:
    """Whether a cell is a question and its answer, in words."""
    return cell.cell_type == "markdown" and "answer" in tags(cell)


def graded_parts(cells: Sequence[Any]) -> list[list[int]]:
    """The parts of a section that are graded, each a list of cell indices, in order.

    A part is an answer, or the checks of one piece of code: those between a solution and the next
    one that use what the student's code has made. Other checks look at what is handed out, and
    pass whatever a student does; and one that profile smoke switches off, since nothing is learnt
    in an epoch, says nothing there.
    """
    parts: list[list[int]] = []
    theirs: set[str] = set()  # names that are there only if the student's code works
    begins = False
    for index, cell in enumerate(cells):
        if is_answer(cell):
            parts.append([index])
        begins = begins or is_answer(cell) or is_solution(cell)
        if cell.cell_type != "code" or "evidence" in tags(cell):
            continue
        judges = "check" in tags(cell) and _OFF not in cell.source
        if judges and needed(cell.source, inside=False) & theirs:
            if begins:
                parts.append([])
            parts[-1].append(index)
            begins = False
        makes = is_solution(cell) or needed(cell.source) & theirs
        theirs = theirs | defined(cell.source) if makes else theirs - defined(cell.source)
    return parts


def points_of(cells: Sequence[Any], points: float) -> dict[int, float]:
    """Share `points` among the graded cells: every part alike, its checks alike, in hundredths.

    What rounding leaves over goes to the last cells, so that the sum is `points`.
    """
    parts = graded_parts(cells)
    exact = {i: points / len(parts) / len(part) for part in parts for i in part}
    done, shares, given = 0.0, {}, 0
    for index, share in sorted(exact.items()):
        done += share
        shares[index] = (round(100 * done) - given) / 100
        given = round(100 * done)
    return shares


def defined(source: str) -> set[str]:
    """Names that a cell binds at its top level; none where it is no Python."""
    tree = parsed(source)
    made: set[str] = set()
    for node in tree.body if tree else ():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            made.add(node.name)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            made |= _names(ast.walk(node), ast.Store)
    return made


def needed(source: str, *, inside: bool = True) -> set[str]:
    """Names that a cell reads and does not bind; none where it is no Python.

    With `inside` False only what is read when it runs counts, not what is in functions' bodies.
    """
    tree = parsed(source)
    nodes: list[ast.AST] = list(tree.body if tree else ())
    bound = {name for node in nodes for name in _names(ast.walk(node), ast.Store)}
    if not inside:
        nodes = [n for n in nodes if not isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    read = {name for node in nodes for name in _names(ast.walk(node), ast.Load)}
    return read - bound - defined(source)


def _names(nodes: Iterable[ast.AST], context: type[ast.expr_context]) -> set[str]:
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, context)}


def parsed(source: str) -> ast.Module | None:
    """The syntax tree of a cell, its magics left out."""
    try:
        return ast.parse(re.sub(r"^([ \t]*)[%!].*$", r"\1pass", source, flags=re.MULTILINE))
    except SyntaxError:
        return None
