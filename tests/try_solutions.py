"""Try other solutions of one section's stubs against its checks: `try_solutions.py SECTION`.

Prints a JSON list with a line for each solution in `wrong_solutions/SECTION.toml`. A process of its
own, since the code of a notebook is `__main__`, and in profile `smoke`, as checks run everywhere.

The file has an array of tables for each stub, named like the function, class or variable that the
stub defines:

    [[make_net]]
    name = "padding forgotten"      # what a student did
    old = "padding=1"               # in the solution ...
    new = "padding=0"               # ... becomes this
    says = "same height and width"  # what the check must answer; `right = true`: it must pass

`body` in the place of `old` and `new` replaces all that stands between the solution's marks. A
table `[parameters]` at the beginning gives parameters of the notebook other values.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import linecache
import os
import re
import sys
import textwrap
import types
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
import torch
from notebook_code import global_names
from torch import nn

from cvhelpers.coursework.template import BEGIN, END

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS = Path(__file__).resolve().parent / "wrong_solutions"
_BODY = re.compile(rf"^([ \t]*){BEGIN}[ \t]*\n(.*?)^[ \t]*{END}", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """A code cell: where it stands, what it is for, what it says."""

    number: int
    tags: frozenset[str]
    source: str

    @property
    def defines(self) -> str:
        """The first name that the cell defines by a function, a class or an assignment."""
        found = re.search(r"^(?:def|class) (\w+)|^(\w+)(?:, \w+)* = ", self.source, re.MULTILINE)
        return "" if found is None else found[1] or found[2]


def needed(cells: list[Cell]) -> list[Cell]:
    """Those up to the last stub's checks that stubs and checks need: no figures, no long tables."""
    last = max(n for n, cell in enumerate(cells) if cell.tags & {"solution", "check"})
    cells, own, read = cells[: last + 1], {}, {}
    for cell in cells:
        tree = ast.parse(cell.source)
        own[cell], read[cell] = global_names(tree)
        changed = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
        own[cell] |= {n.value.id for n in changed if isinstance(n.value, ast.Name)}
    kept = {c for c in cells if c.tags & {"solution", "check", "parameters"} or not own[c]}
    while more := {c for c in cells if own[c] & set().union(*map(read.get, kept))} - kept:
        kept |= more
    return [cell for cell in cells if cell in kept]


class Notebook:
    """A section's code, run cell by cell as `__main__`, with a way back."""

    def __init__(self, section: str) -> None:
        notebook = nbformat.read(ROOT / "notebooks" / f"{section}.ipynb", as_version=4)
        cells = [
            Cell(number, frozenset(cell.metadata.get("tags", [])), cell.source)
            for number, cell in enumerate(notebook.cells)
            if cell.cell_type == "code"
        ]
        self.cells = needed([cell for cell in cells if not cell.tags & {"setup", "evidence"}])
        self.module = types.ModuleType("__main__")
        self.module.__dict__["display"] = lambda *shown, **options: None
        sys.modules["__main__"] = self.module

    def execute(self, cell: Cell, source: str) -> None:
        """Run the source in the cell's place; what it prints is nobody's business."""
        name = f"<cell {cell.number}, {len(linecache.cache)}>"
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(source, name, "exec"), self.module.__dict__)

    def followers(self, place: int) -> list[Cell]:
        """The cells from a stub's on up to the last of the checks that come next."""
        found: list[Cell] = []
        for cell in self.cells[place + 1 :]:
            checked = any("check" in one.tags for one in found)
            if checked and "check" not in cell.tags and not _only_defines(cell.source):
                break
            found.append(cell)
        while found and "check" not in found[-1].tags:
            found.pop()
        return found

    def attempt(self, place: int, source: str) -> dict[str, Any]:
        """Run another source in the place of a stub, then its checks; leave no trace."""
        before = dict(self.module.__dict__)
        nets = [one for one in before.values() if isinstance(one, nn.Module)]
        hooks = [(m, dict(m._forward_hooks)) for net in nets for m in net.modules()]
        try:
            for cell in [self.cells[place], *self.followers(place)]:
                try:
                    self.execute(cell, source if cell is self.cells[place] else cell.source)
                except Exception as error:
                    kind = type(error).__name__
                    return {"cell": cell.number, "kind": kind, "message": str(error)[:500]}
        finally:
            self.module.__dict__.clear()
            self.module.__dict__.update(before)
            for module, own in hooks:  # a wrong solution may have left one
                module._forward_hooks.clear()
                module._forward_hooks.update(own)
        return {"kind": "", "message": ""}


def _only_defines(source: str) -> bool:
    """Whether a cell holds functions, classes and imports alone."""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return all(isinstance(statement, kinds) for statement in ast.parse(source).body)


def other_source(source: str, change: dict[str, Any]) -> str:
    """The solution with a change in it; ValueError where what is to change is not there."""
    if "body" in change:
        body = textwrap.dedent(change["body"]).rstrip() + "\n"
        return _BODY.sub(lambda m: textwrap.indent(body, m[1]), source, count=1)
    if change["old"] not in source:
        raise ValueError(f"{change['name']}: the solution has no {change['old']!r} to change")
    return source.replace(change["old"], change["new"])


def try_all(section: str) -> list[dict[str, Any]]:
    """What became of every solution in the section's file, in the order of the notebook."""
    changes = tomllib.loads((SOLUTIONS / f"{section}.toml").read_text(encoding="utf-8"))
    notebook, results = Notebook(section), []
    parameters = changes.pop("parameters", {})
    last = max(n for n, cell in enumerate(notebook.cells) if "solution" in cell.tags)
    for place, cell in enumerate(notebook.cells[: last + 1]):
        for change in changes.pop(cell.defines, []) if "solution" in cell.tags else []:
            result = notebook.attempt(place, other_source(cell.source, change))
            results.append({"stub": cell.defines, **change, **result})
        notebook.execute(cell, cell.source)
        if "parameters" in cell.tags:
            notebook.module.__dict__.update(parameters)
    if changes:
        raise ValueError(f"{section} has no stubs called {', '.join(changes)}")
    return results


def try_all_in(section: str, folder: Path, places: dict[str, str]) -> list[dict[str, Any]]:
    """`try_all` in a process that ends with it: in profile smoke, on the sample, in `folder`."""
    os.chdir(folder)
    os.environ |= places | {"CVHELPERS_PROFILE": "smoke", "CVHELPERS_SOURCE": "sample"}
    os.environ |= {"CVHELPERS_HEADLESS": "1", "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    mpl.use("Agg")
    warnings.simplefilter("ignore")  # of wrong solutions
    with contextlib.redirect_stdout(io.StringIO()):
        return try_all(section)


if __name__ == "__main__":
    mpl.use("Agg")
    print(json.dumps(try_all(sys.argv[1]), indent=1))
