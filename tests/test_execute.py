"""headless.execute, .kernel, .parameters: every guard of a headless run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import filelock
import nbformat
import pytest
from fake_course import PARAMETERS, make_course, record, write_notebook

from cvhelpers.headless import parameters
from cvhelpers.headless.execute import FAILURE, run_folder, run_section
from cvhelpers.headless.kernel import RunFailed, _Live

SECTION = "1_zoo/1_lions"


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that writes a course with these cells and enters it."""

    def make(*sources: str) -> Path:
        make_course(tmp_path, *sources)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return make


def _failed(message: str, **options: Any) -> dict[str, Any]:
    """Run the section, expect it to fail, and return what is kept of its notebook."""
    with pytest.raises(RunFailed, match=message):
        run_section(SECTION, profile="smoke", **options)
    folder = Path("runs/smoke") / SECTION
    assert [path.name for path in folder.glob("*.ipynb")] == ["1_lions.failed.ipynb"]
    notebook: dict[str, Any] = json.loads((folder / "1_lions.failed.ipynb").read_text())
    assert notebook["metadata"][FAILURE]
    return notebook


def test_a_good_run(course: Any, capfd: pytest.CaptureFixture[str]) -> None:
    show = "import os\nprint('shown', [os.getcwd(), profile, source, seed, epochs, rate, flag])"
    environment = "print({k: v for k, v in os.environ.items() if k.startswith('CVHELPERS_')})"
    root = course(show, environment, record())
    given = {"epochs": "3", "rate": "1", "flag": "false"}
    path = run_section(SECTION, profile="smoke", source="sample", seed=7, parameters=given)
    assert path == root / "runs/smoke/1_zoo/1_lions/1_lions.ipynb"
    assert not list(path.parent.glob("*.running.ipynb"))
    printed = capfd.readouterr().out
    cwd = root / "notebooks" / "1_zoo"
    assert f"[{SECTION}] shown ['{cwd}', 'smoke', 'sample', 7, 3, 1.0, False]" in printed
    for expected in (
        f"'CVHELPERS_RUN_DIR': '{root / 'runs/smoke'}'",
        "'CVHELPERS_HEADLESS': '1'",
        "'CVHELPERS_PROFILE': 'smoke'",
        "'CVHELPERS_SOURCE': 'sample'",
    ):
        assert expected in printed
    assert "CVHELPERS_RUN_DIR" not in os.environ
    command = json.loads((path.parent / "results.json").read_text())["command"]
    assert command == (
        "python -m cvhelpers run 1_zoo/1_lions --profile smoke --source sample --seed 7 "
        "-p epochs 3 -p rate 1 -p flag false"
    )


def test_an_error_in_a_cell(course: Any, capsys: pytest.CaptureFixture[str]) -> None:
    course("def f(x):\n    return 1 / x\nf(0)", "print('never')")
    notebook = _failed(r"(?s)In \[3\]: ZeroDivisionError.*return 1 / x.*1_lions.failed.ipynb")
    assert "ZeroDivisionError" in notebook["metadata"][FAILURE]
    assert "never" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%nosuchmagic", r"In \[3\]: UsageError: Line magic function `%nosuchmagic` not found"),
        ("%%nosuchmagic\n1", r"In \[3\]: UsageError: Cell magic `%%nosuchmagic` not found"),
    ],
)
def test_a_bad_magic_says_what_was_printed(course: Any, cell: str, message: str) -> None:
    course(cell, record())
    _failed(message)


def test_a_killed_kernel(course: Any) -> None:
    course("import os; os.kill(os.getpid(), 9)", record())
    _failed(r"killed \(signal 9\).*out of memory")


def test_a_kernel_that_leaves(course: Any) -> None:
    course("import os; os._exit(0)", record())
    _failed("dead kernel: it exited with 0")


def test_gpu_memory(course: Any) -> None:
    course("raise RuntimeError('CUDA out of memory. Tried to allocate 20 GiB')", record())
    _failed("out of memory on the GPU .*batch size")


@pytest.mark.parametrize("cells", [("import sys; sys.exit(0)", "1"), (record(), "exit_()")])
def test_sys_exit_is_no_success(course: Any, cells: tuple[str, str]) -> None:
    course(*(cell.replace("exit_", "import sys; sys.exit") for cell in cells))
    _failed("stopped early")


def test_the_timeout_is_the_whole_notebooks(course: Any) -> None:
    course(*["import time; time.sleep(0.9)"] * 4, record())  # each cell alone is short enough
    _failed("timeout: the notebook took longer than 2 s", timeout=2)


def test_the_manifests_timeout(course: Any) -> None:
    root = course("import time; time.sleep(5)")
    path = root / "notebooks" / "course.toml"
    path.write_text(path.read_text().replace("smoke = 100", "smoke = 1"))
    _failed("longer than 1 s")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1", "all cells ran, but .*no results here"),
        (record(metrics={}), "lacks metric accuracy"),
        (record(figures={}), "lacks figure curve"),
        (record(figures={"curve": {"file": "no.png", "caption": ""}}), "lacks file no.png"),
        (record(section="1_zoo/2_tigers"), "is of section '1_zoo/2_tigers'"),
        (record() + "\n(folder / 'results.json').write_text('{')", "not readable"),
        (record().replace("= profile", "= 'full'"), "is of profile 'full', expected 'smoke'"),
    ],
)
def test_results_are_held_against_the_manifest(course: Any, cell: str, message: str) -> None:
    course(cell)
    _failed(message)


def test_nothing_of_an_earlier_run_passes_for_this_ones(course: Any) -> None:
    root = course()
    path = run_section(SECTION, profile="smoke")
    checkpoint = path.parent / "checkpoints" / "net.pt"
    checkpoint.parent.mkdir()
    checkpoint.write_text("weights")
    write_notebook(root / "notebooks/1_zoo/1_lions.ipynb", "1")
    _failed("no results here")
    assert checkpoint.exists()  # a killed training resumes from it


def test_a_failed_notebook_goes_when_the_next_run_succeeds(course: Any) -> None:
    root = course("1")
    _failed("no results here")
    write_notebook(root / "notebooks/1_zoo/1_lions.ipynb", record())
    path = run_section(SECTION, profile="smoke")
    assert [path] == list(path.parent.glob("*.ipynb"))


def test_one_run_at_a_time_in_a_folder(course: Any) -> None:
    course()
    folder = run_folder("smoke") / SECTION
    folder.mkdir(parents=True)
    with (
        filelock.FileLock(folder / ".lock"),
        pytest.raises(ValueError, match="in use by another run"),
    ):
        run_section(SECTION, profile="smoke")


def test_an_interrupted_run_is_kept_as_failed(course: Any) -> None:
    course("import os, signal, time\nos.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(60)")
    with pytest.raises(KeyboardInterrupt):
        run_section(SECTION, profile="smoke")
    kept = json.loads((run_folder("smoke") / SECTION / "1_lions.failed.ipynb").read_text())
    assert kept["metadata"][FAILURE] == "interrupted"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": {"epoch": "3"}}, "unknown parameter 'epoch'; did you mean 'epochs'.*rate"),
        ({"parameters": {"rate": "abc"}}, "parameter rate: 'abc' is no float.*0.1"),
        ({"parameters": {"seed": "3"}}, "parameter seed: give it as --seed 3"),
        ({"profile": "fast"}, "unknown profile 'fast'"),
        ({"source": "fake"}, "unknown source 'fake'"),
        ({"name": "a/b"}, "name 'a/b'"),
        ({"name": ".."}, "name '..'"),
    ],
)
def test_wrong_requests_are_refused_before_anything_runs(
    course: Any, options: dict[str, Any], message: str
) -> None:
    root = course("raise SystemError")
    with pytest.raises(ValueError, match=message):
        run_section(SECTION, **{"profile": "smoke", **options})
    assert not (root / "runs").exists()


def test_a_broken_or_absent_notebook_is_named(course: Any) -> None:
    root = course()
    with pytest.raises(ValueError, match=r"2_tigers\.ipynb: there is no such notebook"):
        run_section("1_zoo/2_tigers", profile="smoke")
    (root / "notebooks/1_zoo/2_tigers.ipynb").write_text("{")
    with pytest.raises(ValueError, match=r"2_tigers\.ipynb: not readable"):
        run_section("1_zoo/2_tigers", profile="smoke")


@pytest.mark.parametrize(
    ("text", "default", "expected"),
    [
        ("3", 1, 3),
        (" 3 ", 1, 3),
        ("-3", 1, -3),
        ("3", 0.5, 3.0),
        ("1e-3", 0.5, 0.001),
        ("false", True, False),
        ("True", False, True),
        ("3", "text", "3"),
        (" a b ", "text", " a b "),
        ("[1, 2]", [3], [1, 2]),
        ("(1, 2)", (3,), [1, 2]),
        ("[1, 2]", (3,), [1, 2]),
        ("3", None, 3),
        ("0.5", None, 0.5),
        ("None", None, None),
        ("adam", None, "adam"),
    ],
)
def test_values_take_the_type_of_their_default(text: str, default: Any, expected: Any) -> None:
    value = parameters.typed("p", text, default)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "default", "kind"),
    [
        ("abc", 1, "int"),
        ("1.5", 1, "int"),
        ("True", 1, "int"),
        ("None", 1, "int"),
        ("x", 0.5, "float"),
        ("1", True, "bool"),
        ("no", True, "bool"),
        ("3", [1], "list"),
        ("3", (1,), "list"),
    ],
)
def test_values_of_another_type_are_refused(text: str, default: Any, kind: str) -> None:
    with pytest.raises(ValueError, match=f"parameter p: '{text}' is no {kind}"):
        parameters.typed("p", text, default)


def test_the_parameters_cell(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb")
    assert parameters.defaults(parameters.read_notebook(path)) == {
        "profile": "auto",
        "source": "auto",
        "seed": 0,
        "epochs": None,
        "rate": 0.1,
        "flag": True,
        "sizes": (1, 2),
        "label": "plain",
    }


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("import os", "`import os` is not `name = plain value`"),
        ("steps = 3 * n", "steps = 3 "),
        ("a.b = 3", "a.b = 3"),
        ("a: int", "a: int"),
    ],
)
def test_only_plain_values_stand_in_the_parameters_cell(
    tmp_path: Path, cell: str, message: str
) -> None:
    path = write_notebook(tmp_path / "n.ipynb", parameters=cell)
    with pytest.raises(ValueError, match=message):
        parameters.defaults(parameters.read_notebook(path))


def test_exactly_one_parameters_cell(tmp_path: Path) -> None:
    notebook = parameters.read_notebook(write_notebook(tmp_path / "n.ipynb"))
    notebook.cells.append(nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}))
    with pytest.raises(ValueError, match="2 cells are tagged"):
        parameters.defaults(notebook)


def test_only_parameters_that_the_notebook_has_are_injected(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", parameters='profile = "auto"\nepochs: int = 2')
    notebook = parameters.read_notebook(path)
    given = parameters.resolve(notebook, {"epochs": "3"}, profile="smoke", source="x", seed=None)
    assert given == {"profile": "smoke", "epochs": 3}


def test_lines_are_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    live = _Live("a", sys.stdout)
    for piece in ("epoch 1", " loss 2\nepoch", " 2\r\n10%\r100%\n", "rest"):
        live.write(piece)
    live.close()
    assert capsys.readouterr().out == "[a] epoch 1 loss 2\n[a] epoch 2\n[a] 100%\n[a] rest\n"
