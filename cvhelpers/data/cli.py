"""`python -m cvhelpers data [NAME ...]`: list the data sets, or download some."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cvhelpers.data import CATALOG, describe
from cvhelpers.data.download import download
from cvhelpers.data.store import DataSet, read_provenance
from cvhelpers.places import data_dir


def main(names: Sequence[str] = ()) -> int:
    """List the catalog, or download `names` ("all": every set); 1 if one of them failed."""
    if not names:
        rows = [("name", "download", "licence", "state")]
        rows += [
            (one.name, f"{one.size_bytes / 1e6:.0f} MB", one.licence, state(one))
            for one in CATALOG.values()
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        print(f"data folder: {data_dir()}")
        for name, size, licence, found in rows:
            print(f"{name:{widths[0]}}  {size:>{widths[1]}}  {licence:{widths[2]}}  {found}")
        print("Download: python -m cvhelpers data NAME ... (or: all). By hand: see data/README.md")
    failed = False
    for name in CATALOG if list(names) == ["all"] else names:
        try:
            entry = describe(name)
            print(f"{name}: in {download(entry)}, {state(entry)}", flush=True)
        except (ValueError, OSError) as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr, flush=True)
    return int(failed)


def state(entry: DataSet) -> str:
    """One phrase: is it there, and how far can it be trusted?"""
    if what := entry.stranger():
        return f"not here: its folder holds {what}"
    if not entry.present():
        return "not here"
    try:
        provenance = read_provenance(entry, entry.path)
    except ValueError as error:
        return f"broken: {error}"
    return f"{provenance.kind}: {provenance.note}"
