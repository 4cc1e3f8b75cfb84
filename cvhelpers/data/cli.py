"""`python -m cvhelpers data [NAME ...]`: list the data sets, or download some."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cvhelpers.data import CATALOG, describe
from cvhelpers.data.download import download
from cvhelpers.data.store import DataSet, data_dir, read_provenance


def main(names: Sequence[str] = ()) -> int:
    """List the catalog, or download `names` ("all": every set); 1 if one of them failed."""
    if not names:
        print(f"data folder: {data_dir()}\n{'name':12}{'download':>10}  {'licence':14}state")
        for entry in CATALOG.values():
            size = f"{entry.size_bytes / 1e6:.0f} MB"
            print(f"{entry.name:12}{size:>10}  {entry.licence:14}{state(entry)}")
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
    if not entry.present():
        return "not here"
    try:
        provenance = read_provenance(entry, entry.path)
    except ValueError as error:
        return f"broken: {error}"
    return f"{provenance.kind}: {provenance.note}"
