"""Results on the disk: never torn, read with clear errors."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cvhelpers.results import atomic_write, missing, read_results, write_results


def complete(**changes: Any) -> dict[str, Any]:
    return {
        "section": "1_zoo/1_lions",
        "profile": "quick",
        "provenance": {},
        "device": "CPU",
        "seed": 0,
        "seconds": 1.5,
        "metrics": {"accuracy": {"value": 0.5}},
        "figures": {"curve": {"file": "figures/curve.png", "caption": "é"}},
    } | changes


def test_text_and_bytes_are_written_into_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    assert atomic_write(path, "é\n") == path
    assert path.read_bytes() == "é\n".encode()
    atomic_write(str(path), b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644  # others may read a shared results folder


@pytest.mark.parametrize("where", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException
) -> None:
    path = atomic_write(tmp_path / "file", "old")

    def fail(*_: object) -> None:
        assert path.read_text() == "old"
        raise error

    monkeypatch.setattr(os, where, fail)
    with pytest.raises(type(error)):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = atomic_write(tmp_path / "file", "old")
    code = (
        "import os, signal, sys, cvhelpers.results as r\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "r.atomic_write(sys.argv[1], 'new' * 100_000)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_results_are_read_from_the_folder_or_the_file(tmp_path: Path) -> None:
    path = write_results(tmp_path, complete())
    assert path == tmp_path / "results.json"
    assert read_results(tmp_path) == read_results(str(path)) == {"schema": 1, **complete()}


def test_numbers_that_json_has_not_are_refused(tmp_path: Path) -> None:
    write_results(tmp_path, complete())
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(tmp_path, complete(seconds=float("nan")))
    assert read_results(tmp_path)["seconds"] == 1.5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no results here"),
        (b"", "not readable as JSON"),
        (b'{"schema": 1, "sec', "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"[]", "schema None, this version reads 1"),
        (b'{"schema": 2}', "schema 2, this version reads 1"),
        (b'{"section": "1_zoo/1_lions"}', "schema None"),
    ],
)
def test_unreadable_results_are_named_with_the_mend(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"results.json: .*{message}.*; run the section again"):
        read_results(tmp_path)


@pytest.mark.parametrize("key", complete())
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    content = {"schema": 1, **complete()}
    del content[key]
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"results.json: lacks {key}; run the section again"):
        read_results(tmp_path)


def test_what_the_manifest_demands_and_is_missing() -> None:
    results = complete()
    assert missing(results, metrics=["accuracy"], figures=["curve"]) == []
    found = missing(results, metrics=["loss", "accuracy"], figures=["curve", "map"])
    assert found == ["metric loss", "figure map"]
    assert missing(results, metrics=["curve"], figures=["accuracy"]) == [
        "metric curve",
        "figure accuracy",
    ]
