"""Typical wrong solutions fail at their own check, with a sentence that helps; right ones pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FILES = sorted((HERE / "wrong_solutions").glob("*/*.toml"))


@pytest.mark.parametrize("section", [f"{file.parent.name}/{file.stem}" for file in FILES])
def test_checks_catch_typical_slips(section: str, tmp_path: Path) -> None:
    given = {"CVHELPERS_PROFILE": "smoke", "CVHELPERS_SOURCE": "sample"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "try_solutions.py"), section],
        cwd=tmp_path, env=os.environ | given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    wrong = [
        f"{tried['stub']}, {tried['name']}: {tried['kind'] or 'passed'}: {tried['message']}"
        for tried in json.loads(done.stdout)
        if bool(tried["kind"]) == tried.get("right", False)
        or tried.get("says", "") not in tried["message"]
    ]
    assert not wrong, "\n".join(wrong)
