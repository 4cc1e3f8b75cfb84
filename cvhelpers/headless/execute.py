"""Run one section's notebook headless into its place under `runs/`; check what it delivered."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from cvhelpers import manifest, runtime
from cvhelpers import results as result_files
from cvhelpers.headless.kernel import RunFailed, execute_notebook
from cvhelpers.headless.page import write_page
from cvhelpers.headless.parameters import read_notebook, resolve
from cvhelpers.manifest import Section
from cvhelpers.places import runs_dir

FAILURE = "cvhelpers_failure"  # metadata key of a failed notebook: why it failed
_ENVIRONMENT = {
    "CVHELPERS_HEADLESS": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",  # this interpreter's kernel, not one in the user's home
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # hushes the debugger's "frozen modules"
}


def run_section(
    section_id: str,
    *,
    profile: str = "auto",
    source: str = "auto",
    seed: int | None = None,
    name: str | None = None,
    parameters: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    timeout: float | None = None,
) -> Path:
    """Execute a section's notebook into `runs/<name>/<section id>/`; return the finished file.

    Args:
        seed: None leaves the notebook's own.
        name: the run's folder under `runs/`; None is the resolved profile.
        parameters: values, as text, for names of the notebook's parameters cell.
        timeout: seconds for the whole notebook; None is the manifest's, 0 is no limit.

    Raises:
        ValueError: before anything runs: unknown section, parameter, profile or wrong type.
        RunFailed: the notebook ran and failed; what it wrote is kept as `*.failed.ipynb`.
    """
    texts = dict(parameters or {})
    section = manifest.load().section(section_id)
    path = manifest.repository_root().resolve() / "notebooks" / f"{section.id}.ipynb"
    notebook = read_notebook(path)
    asked: dict[str, Any] = {
        "profile": runtime.resolve_profile(profile),
        "source": runtime.resolve_source(source),
        "seed": seed,
    }
    values = resolve(notebook, texts, **asked)
    run = run_folder(name, asked["profile"])
    if timeout is None:
        timeout = section.timeout.get(asked["profile"], 0)
    with _kernel_environment(run, asked), _delivery(section, run / section.id, asked) as running:
        execute_notebook(
            notebook, running, cwd=path.parent, values=values, timeout=timeout, label=section.id
        )
        _check_results(section, running.parent, asked, texts)
    return notebook_files(running.parent)[-1]


def notebook_files(folder: Path) -> tuple[Path, Path, Path]:
    """Name the notebook in a section's run folder: while it runs, failed, finished."""
    stem = folder / folder.name
    return Path(f"{stem}.running.ipynb"), Path(f"{stem}.failed.ipynb"), Path(f"{stem}.ipynb")


def run_folder(name: str | None, profile: str = "auto") -> Path:
    """Return `runs/<name>` (see `runs_dir`); without a name, the resolved profile gives it."""
    name = name or runtime.resolve_profile(profile)
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise ValueError(f"name {name!r}: letters, digits and - _ . + only; it names a folder")
    return runs_dir() / name


@contextmanager
def _delivery(section: Section, folder: Path, asked: dict[str, Any]) -> Iterator[Path]:
    """Give the notebook its final name only if the body succeeds; keep it as failed otherwise."""
    import filelock

    running, failed, final = notebook_files(folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with ExitStack() as stack:
        try:
            stack.enter_context(filelock.FileLock(folder / ".lock", timeout=0))
        except filelock.Timeout:
            raise ValueError(f"{folder} is in use by another run; choose another --name") from None
        page, results = final.with_suffix(".html"), folder / result_files.FILE_NAME
        for old in (running, failed, final, page, results):
            old.unlink(missing_ok=True)  # nothing of an earlier run may pass for this one's
        print(
            f"[{section.id}] start: profile {asked['profile']}, source {asked['source']}",
            flush=True,
        )
        try:
            yield running
        except (RunFailed, KeyboardInterrupt) as error:
            if running.exists():
                notebook = json.loads(running.read_text(encoding="utf-8"))
                notebook["metadata"][FAILURE] = str(error) or "interrupted"
                result_files.atomic_write(failed, json.dumps(notebook, indent=1))
                running.unlink()
            print(f"[{section.id}] FAILED after {time.monotonic() - started:.0f} s", flush=True)
            if isinstance(error, KeyboardInterrupt):
                raise
            raise RunFailed(f"{section.id}: {error}\nas far as it came: {failed}") from error
        os.replace(running, final)
        write_page(final)
        print(f"[{section.id}] done in {time.monotonic() - started:.0f} s", flush=True)


def _check_results(
    section: Section, folder: Path, asked: dict[str, Any], texts: dict[str, str]
) -> None:
    """Hold results.json against the manifest, and note the command in it."""
    try:
        results = result_files.read_results(folder)
    except ValueError as error:
        raise RunFailed(f"all cells ran, but {error}") from error
    for key, wanted in (("section", section.id), ("profile", asked["profile"])):
        if results[key] != wanted:
            raise RunFailed(f"results.json is of {key} {results[key]!r}, expected {wanted!r}")
    lacks = result_files.missing(results, metrics=section.metrics, figures=section.figures)
    files = [figure["file"] for figure in results["figures"].values()]
    lacks += [f"file {file}" for file in files if not (folder / file).is_file()]
    if lacks:
        raise RunFailed(f"all cells ran, but results.json lacks {', '.join(lacks)}")
    words = ["python", "-m", "cvhelpers", "run", section.id]
    words += [word for k, v in asked.items() if v is not None for word in (f"--{k}", str(v))]
    words += [word for name, text in texts.items() for word in ("-p", name, text)]
    result_files.write_results(folder, results | {"command": shlex.join(words)})


@contextmanager
def _kernel_environment(run: Path, asked: dict[str, Any]) -> Iterator[None]:
    """Set what the kernel inherits, hush the libraries, and make SIGTERM end us like Ctrl-C."""
    allocator = {name: os.environ.get(name, ours) for name, ours in runtime.ALLOCATOR.items()}
    environment = (
        _ENVIRONMENT
        | allocator
        | {
            "CVHELPERS_RUN_DIR": str(run),
            "CVHELPERS_PROFILE": asked["profile"],
            "CVHELPERS_SOURCE": asked["source"],
        }
    )
    logger, handler = logging.getLogger("papermill"), signal.getsignal(signal.SIGTERM)
    main = threading.current_thread() is threading.main_thread()
    with mock.patch.dict(os.environ, environment), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jupyter's deprecations are no user's business
        logger.setLevel(logging.CRITICAL)  # all it says, we say
        if main:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            yield
        finally:
            if main:
                signal.signal(signal.SIGTERM, handler)
