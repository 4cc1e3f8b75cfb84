"""A user without rights to what others own: real permissions, also where the tests run as root."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that every user may reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="cvhelpers-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for where, folders, _ in os.walk(folder):
            for name in folders:
                Path(where, name).chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Whom the block runs as: root becomes nobody; anybody else has no special rights anyway."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def read_only(folder: Path) -> None:
    """Take the right to write from a whole tree."""
    for where, _, files in os.walk(folder, topdown=False):
        for name in files:
            Path(where, name).chmod(0o444)
        Path(where).chmod(0o555)
