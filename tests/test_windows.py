"""What Windows lacks is not used: signals, forks, and the replacing of a file that is open."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_course import make_course, record, write_notebook
from student import saved, solved, template, write_zoo

from cvhelpers.__main__ import main
from cvhelpers.coursework.grading import grade
from cvhelpers.coursework.submission import submit

PACKAGE = Path(__file__).parents[1] / "cvhelpers"
FILES = sorted(PACKAGE.rglob("*.py"))
LACKING = {
    *("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGSTOP", "SIGCONT", "alarm"),
    *("fork", "forkpty", "killpg", "setsid", "getuid", "geteuid", "getpgid", "wait", "mkfifo"),
    *("chown", "sysconf", "uname", "statvfs", "nice", "preexec_fn"),
}
MODULES = {"fcntl", "pwd", "grp", "resource", "termios", "pty", "tty", "posix", "syslog"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_package_names_nothing_that_windows_lacks(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            system = node.value.id in ("os", "signal", "subprocess")
            assert not (system and node.attr in LACKING), f"{where}: {ast.unparse(node)}"
        if isinstance(node, ast.keyword):
            assert node.arg not in ("preexec_fn", "start_new_session"), where
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & MODULES, f"{where}: {ast.unparse(node)}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not re.match(r"/(tmp|dev|proc|etc)/", node.value), f"{where}: {node.value}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_text_has_its_encoding(path: Path) -> None:
    """Windows' own is another one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        binary = any(isinstance(text, str) and "b" in text for text in texts[:2])
        if name in ("read_text", "write_text") or (name == "open" and not binary):
            image = isinstance(node.func, ast.Attribute) and "Image" in ast.unparse(node.func)
            keywords = {keyword.arg for keyword in node.keywords}
            fine = "encoding" in keywords or image or (name == "open" and not texts)
            assert fine, f"{path.name}:{node.lineno}: {ast.unparse(node)}"


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, a file that this process has open cannot be replaced, renamed or removed."""
    me = psutil.Process()

    def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
        def move(*paths: Any, **options: Any) -> Any:
            opened = {Path(one.path).resolve() for one in me.open_files()}
            for path in paths:
                if isinstance(path, (str, Path)) and Path(path).resolve() in opened:
                    raise PermissionError(32, "in use by this very process", str(path))
            return real(*paths, **options)

        return move

    for name in ("replace", "rename", "unlink", "remove"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


@pytest.mark.usefixtures("guarded")
def test_the_guard_refuses(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with (tmp_path / "b").open("w"), pytest.raises(PermissionError, match="in use"):
        os.replace(tmp_path / "a", tmp_path / "b")


@pytest.mark.usefixtures("guarded")
def test_runs_without_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`run-all` in the manifest's order; what failed stops what builds on it."""
    other = record(section="1_zoo/2_tigers").replace("1_zoo/1_lions", "1_zoo/2_tigers")
    root = make_course(tmp_path, "print(seed)\n1 / 0")
    write_notebook(root / "notebooks/1_zoo/2_tigers.ipynb", other)
    monkeypatch.chdir(root)
    run_all = ["run-all", "--profile", "smoke", "--source", "sample", "--jobs", "2", "--seed", "3"]
    assert main(run_all) == 1
    told = capfd.readouterr().out
    assert "[1_zoo/1_lions] FAILED" in told
    assert "[1_zoo/2_tigers] not run: what it builds on failed" in told
    write_notebook(root / "notebooks/1_zoo/1_lions.ipynb", "print(seed)", record())
    assert main(run_all) == 0
    told = capfd.readouterr().out
    assert told.index("[1_zoo/1_lions] done") < told.index("[1_zoo/2_tigers] start")
    assert "[1_zoo/1_lions] 3\n" in told
    assert (root / "runs/smoke/report.html").is_file()
    assert main(run_all) == 0
    assert "runs/smoke: everything is up to date" in capfd.readouterr().out
    write_notebook(root / "notebooks/1_zoo/2_tigers.ipynb", other, "1 + 1")
    assert main([*run_all, "--only", "1_zoo/2_tigers"]) == 0
    told = capfd.readouterr().out
    assert "1_lions] start" not in told
    assert "2_tigers] done" in told
    assert main(["run-all", "--only", "zoo"]) == 2
    assert "did you mean '1_zoo'" in capfd.readouterr().err
    names = [part for path in root.rglob("*") for part in path.relative_to(root).parts]
    assert not [name for name in names if re.search(r'[<>:"|?*\\]|[. ]$', name)]


@pytest.mark.usefixtures("guarded")
def test_a_hand_in_from_template_to_grade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_zoo(tmp_path)
    monkeypatch.chdir(tmp_path)
    path, notebook = template(tmp_path)
    saved(solved(notebook), path)
    for _ in range(2):  # the second time it replaces what is there
        submit([path])
        saved(solved(notebook), tmp_path / "in/ada.ipynb")
        assert "4 of 4" in grade(tmp_path / "in").read_text(encoding="utf-8")
