"""The command line: what it passes on, what it prints, its exit codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fake_course import make_course, make_front_page, record, results, write_notebook, write_run

from cvhelpers import __main__ as command_line
from cvhelpers.__main__ import main
from cvhelpers.headless import execute

LIONS = "1_zoo/1_lions"
COMMANDS = ("doctor", "data", "run", "run-all", "template", "report", "results", "stamp")
COMMANDS += ("submit", "nbgrader", "grade", "links", "tables", "gallery")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_course(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CVHELPERS_PROFILE", raising=False)
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def test_help_lists_every_command_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    for command in COMMANDS:
        assert f"\n    {command} " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"cvhelpers {command}" in capsys.readouterr().out


def test_run_passes_everything_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        execute, "run_section", lambda *args, **options: calls.append((args, options)) or 0
    )
    given = "run 1_zoo/1_lions --profile smoke --source real --seed 3 --name x --timeout 9"
    assert main([*given.split(), "-p", "rate", "-0.5", "-p", "label", "a b"]) == 0
    asked = {"profile": "smoke", "source": "real", "seed": 3, "name": "x", "timeout": 9.0}
    parameters = [["rate", "-0.5"], ["label", "a b"]]
    assert calls == [((), {"section_id": LIONS, **asked, "parameters": parameters})]


def test_exit_codes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["run", LIONS, "--profile", "smoke"]
    assert main(run) == 0
    assert main([*run, "-p", "epoch", "3"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: unknown parameter 'epoch'")
    write_notebook(root / f"notebooks/{LIONS}.ipynb", "1 / 0")
    assert main(run) == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "Traceback (most recent call last)\n  File" not in told  # ours


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "run_section", interrupted)
    assert main(["run", LIONS]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_our_own_defects_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(execute, "run_section", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        main(["run", LIONS])


def test_report_results_and_template(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--name", "full"]) == 2
    assert "there is no such run" in capsys.readouterr().err
    write_run(root / "runs" / "full" / LIONS, results())
    assert main(["report", "--name", "full"]) == 0
    assert (root / "runs/full/report.html").exists()
    make_front_page(root)
    (root / "results").mkdir()
    (root / "results/README.md").write_text("<!-- results:begin -->\n<!-- results:end -->\n")
    assert main(["results", "--name", "full"]) == 0
    assert "65.0 %" in (root / "results/README.md").read_text()
    assert "65.0 %" in (root / "README.md").read_text()
    assert main(["gallery", "--name", "full", "--out", str(root / "site")]) == 0
    assert (root / "site" / "index.html").exists()
    write_notebook(root / "notebooks/1_zoo/2_tigers.ipynb")
    assert main(["template", "1_zoo", "--student", "Ada Lovelace"]) == 0
    assert (root / "templates" / "zoo_Ada_Lovelace.ipynb").exists()


def test_the_profile_is_the_default_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVHELPERS_PROFILE", "smoke")
    write_run(root / "runs" / "smoke" / LIONS, results())
    assert main(["report"]) == 0


def test_a_stamp_changes_only_with_what_it_says(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stamp = root / "runs" / "smoke" / LIONS / "stamp.txt"

    def write(*more: str) -> tuple[str, int]:
        assert (
            main(["stamp", "--profile", "smoke", "--seed", "0", "--source", "sample", *more]) == 0
        )
        return stamp.read_text(), stamp.stat().st_mtime_ns

    first = write()
    assert capsys.readouterr().out == "NAME=smoke PROFILE=smoke\n"
    assert re.fullmatch(
        r"profile smoke\nsource sample\nseed 0\nargs \nnotebook \w{16}\npackage \w{16}\n"
        r"data caltech101 sample.*\n",
        first[0],
    )
    assert write() == first
    for more in (["--seed", "1"], ["--args=-p epochs 3"], ["--source", "auto"]):
        assert write(*more)[0] != first[0]
    assert (root / "runs/smoke/1_zoo/2_tigers/stamp.txt").read_text().count("data") == 0
    write_notebook(root / f"notebooks/{LIONS}.ipynb", "1 + 1")
    assert write()[0] != first[0]
    rules = (root / "runs/smoke/after.mk").read_text()
    tigers, lions = (f"runs/smoke/1_zoo/{one}/{one}.ipynb" for one in ("2_tigers", "1_lions"))
    assert rules == f"{tigers}: {lions}\n"


def test_new_images_change_the_stamp(root: Path) -> None:
    def write() -> str:
        assert main(["stamp", "--profile", "smoke"]) == 0
        return (root / "runs" / "smoke" / LIONS / "stamp.txt").read_text()

    before = write()
    folder = root / "data" / "caltech101" / "101_ObjectCategories" / "accordion"
    folder.mkdir(parents=True)
    (folder / "image_0001.jpg").write_bytes(b"jpg")
    assert write() != before


def test_data_lists(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    assert "caltech101" in capsys.readouterr().out
    assert command_line.__doc__


def test_the_record_of_the_fake_course_is_complete() -> None:
    assert "accuracy" in record()
