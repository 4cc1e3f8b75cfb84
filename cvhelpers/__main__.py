"""The command line, `python -m cvhelpers COMMAND`: it imports what a command needs, no more."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from cvhelpers.headless.kernel import RunFailed

_COMMANDS = {  # command: its function, which takes the options by their names; what it does
    "doctor": ("doctor:main", "say what is installed, present and missing: for bug reports"),
    "data": ("data.cli:main", "list the data sets; with names, or `all`: download them"),
    "run": ("headless.execute:run_section", "execute one section's notebook, guarded"),
    "run-all": ("headless.everything:run_all", "run every section that is not up to date"),
    "report": ("headless.report:write_report", "write runs/NAME/report.html"),
    "gallery": ("headless.report:write_gallery", "write a run as a small site for a web host"),
    "template": ("coursework.template:make_template", "write a notebook without the solutions"),
    "submit": ("coursework.submission:submit", "write the files that a student's course asks for"),
    "nbgrader": ("coursework.nbgrader:make_nbgrader", "write an assignment as nbgrader's folder"),
    "grade": ("coursework.grading:grade", "run a folder of hand-ins and write one table"),
    "tables": ("coursework.teaching:write_tables", "rewrite the tables in READMEs and index"),
    "links": ("coursework.links:set_repository", "point badges and setup cells at a repository"),
    "results": ("headless.evidence:update", "copy a run's evidence to results/ and its tables"),
    "stamp": ("headless.stamp:write_stamps", "note what runs depend on, for make to compare"),
}
_EXAMPLES = """examples:
  python -m cvhelpers doctor
  python -m cvhelpers data caltech101
  python -m cvhelpers run 2_caltech101/1_lenet5 --profile quick -p epochs 3
  python -m cvhelpers report --name quick
  python -m cvhelpers template 2_caltech101 --student "Ada Lovelace"
  python -m cvhelpers submit templates/caltech101_Ada_Lovelace.ipynb
"""


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m cvhelpers", epilog=_EXAMPLES, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = {
        name: commands.add_parser(name, help=text, description=text).add_argument
        for name, (_, text) in _COMMANDS.items()
    }
    add["data"]("names", nargs="*", metavar="NAME")
    add["run"]("section_id", metavar="SECTION", help="e.g. 2_caltech101/1_lenet5")
    add["run"](
        "-p",
        dest="parameters",
        nargs=2,
        metavar=("NAME", "VALUE"),
        action="append",
        help="set a name of the notebook's parameters cell; repeatable",
    )
    add["run"]("--timeout", type=float, help="seconds for the whole notebook; 0: no limit")
    add["run-all"]("--only", default="", help="an assignment or a section")
    add["run-all"]("--jobs", "-j", type=int, default=1, help="sections that run at once")
    add["run-all"]("--args", dest="arguments", default="", help='more for run, e.g. "-p epochs 3"')
    add["template"]("assignment_id", metavar="ASSIGNMENT", help="e.g. 2_caltech101")
    add["template"]("--student", required=True, help='e.g. "Ada Lovelace"')
    add["template"](
        "--section", metavar="SECTION", help="only this one, e.g. 2_caltech101/1_lenet5"
    )
    add["template"](
        "--out", dest="out_dir", type=Path, default=Path("templates"), help="folder (%(default)s)"
    )
    add["submit"]("notebooks", nargs="+", metavar="NOTEBOOK", help="what to hand in")
    add["submit"]("--anyway", action="store_true", help="for partial credit, whatever is missing")
    add["submit"]("--shrink", action="store_true", help="make pictures smaller")
    add["submit"](
        "--out", dest="out_dir", type=Path, default=Path("submissions"), help="folder (%(default)s)"
    )
    add["nbgrader"]("assignment_id", metavar="ASSIGNMENT", help="e.g. 2_caltech101")
    add["nbgrader"](
        "--out", dest="out_dir", type=Path, default=Path("nbgrader"), help="folder (%(default)s)"
    )
    add["grade"]("submissions", metavar="FOLDER", type=Path, help="of notebooks and zips")
    add["grade"](
        "--out", dest="out_dir", type=Path, default=Path("grades"), help="folder (%(default)s)"
    )
    add["grade"]("--minutes", type=float, default=20, help="for each hand-in (%(default)s)")
    add["grade"]("--gigabytes", type=float, default=6, help="of memory for each (%(default)s)")
    add["grade"]("--seconds", type=float, default=120, help="for each cell (%(default)s)")
    add["links"]("repository", metavar="OWNER/NAME", help="on GitHub")
    add["stamp"]("--args", default="", help="the further arguments of `run`, as one text")
    for name in ("run", "run-all", "stamp"):
        add[name]("--profile", default="auto", help="smoke, quick, full or auto (default)")
        add[name]("--source", default="auto", help="images: real, sample or auto (default)")
    for name in ("run", "stamp"):
        add[name]("--seed", type=int, help="default: the notebook's own")
    add["run-all"]("--seed", type=int, default=0, help="of every notebook; default: 0")
    add["grade"]("--profile", default="smoke", help="smoke (default), quick or full")
    add["grade"]("--source", default="sample", help="images: sample (default), real or auto")
    add["report"]("--compare", metavar="NAME", help="another run: show what changed since")
    add["gallery"]("--out", dest="out_dir", type=Path, help="folder (default: runs/NAME/gallery)")
    for name in ("run", "run-all", "stamp", "report", "gallery", "results"):
        add[name]("--name", help="folder under runs/; default: the profile")
    add["results"]("--beside", help="keep it in a folder of this name beside the section's own")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 the work failed, 2 the request was wrong, 130 interrupted."""
    options = vars(_parser().parse_args(arguments))
    module, function = _COMMANDS[options.pop("command")][0].split(":")
    try:
        done = getattr(importlib.import_module(f"cvhelpers.{module}"), function)(**options)
    except RunFailed as error:
        print(error, file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; checkpoints are kept: the same command goes on", file=sys.stderr)
        return 130
    if isinstance(done, int):
        return done
    print(done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
