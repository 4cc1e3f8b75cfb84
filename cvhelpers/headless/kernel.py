"""One fresh kernel for one notebook: papermill, and why it failed in plain words."""

from __future__ import annotations

import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

_MEMORY = re.compile(r"OutOfMemory|out of memory|MemoryError|can't allocate memory", re.IGNORECASE)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_TRACEBACK_LINES = 20


class RunFailed(RuntimeError):
    """A notebook did not deliver; the message says why and where to look."""


def execute_notebook(
    notebook: Any, target: Path, *, cwd: Path, values: dict[str, Any], timeout: float, label: str
) -> None:
    """Run all cells of `notebook`, saving to `target` cell by cell; what they print is shown live.

    Args:
        values: parameters to inject.
        timeout: seconds for the whole notebook; 0 is no limit.
        label: marks each line shown.

    Raises:
        RunFailed: an error, a dead kernel, the timeout, or a cell that was not executed.
    """
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import CellTimeoutError

    exits: list[int | None] = []

    class Kernel(AsyncKernelManager):
        async def cleanup_resources(self, restart: bool = False) -> None:  # type: ignore[override]
            exits.append(await self.provisioner.poll() if self.provisioner else None)
            await super().cleanup_resources(restart)

    out, err = _Live(label, sys.stdout), _Live(label, sys.stderr)
    deadline = time.monotonic() + timeout
    try:
        done = papermill.execute_notebook(
            notebook,
            str(target).replace("{", "{{").replace("}", "}}"),  # papermill formats its paths
            parameters=values,
            kernel_name="python3",
            language="python",
            cwd=cwd,
            progress_bar=False,
            stdout_file=out,
            stderr_file=err,
            start_timeout=300,
            iopub_timeout=60,
            kernel_manager_class=Kernel,
            extra_arguments=["--log-level=CRITICAL"],  # the kernel speaks of its own sockets
            # nbclient's limit is for a cell, ours for the notebook: each cell gets what is left.
            timeout_func=(lambda _: max(deadline - time.monotonic(), 0.01)) if timeout else None,
        )
    except papermill.PapermillExecutionError as error:
        raise RunFailed(_cell_failure(error, said=err.last)) from error
    except CellTimeoutError as error:
        mend = "allow more with --timeout SECONDS (0: no limit)"
        raise RunFailed(f"timeout: the notebook took longer than {timeout:g} s; {mend}") from error
    except (RuntimeError, NoSuchKernel) as error:  # it died, or never started
        raise RunFailed(_kernel_failure(exits[-1] if exits else None, error)) from error
    finally:
        out.close()
        err.close()
    for number, cell in enumerate(done.cells, 1):
        # papermill takes sys.exit(0) for success and marks the cells after it as completed.
        stopped = any(output.output_type == "error" for output in cell.get("outputs", []))
        if stopped or (cell.cell_type == "code" and cell.source and not cell.execution_count):
            raise RunFailed(f"stopped early: cell {number} called sys.exit, or was never executed")


def _cell_failure(error: Any, *, said: str) -> str:
    """Describe papermill's error: the cell, what it raised, the traceback's end.

    A usage error, such as of an unknown magic, raises nothing: `said`, the last line that the
    notebook printed as an error, tells it.
    """
    what = f"{error.ename}: {error.evalue}".splitlines()[0]
    if not error.evalue:
        what = said or f"{what} (it printed nothing)"
    if _MEMORY.search(what):
        place = "the GPU" if "cuda" in what.lower() else "this machine"
        mend = "close other programs, or lower the batch size or the profile"
        what = f"out of memory on {place} ({what}); {mend}"
    lines = _ANSI.sub("", "\n".join(error.traceback)).splitlines()
    if len(lines) > _TRACEBACK_LINES:
        lines = ["...", *lines[-_TRACEBACK_LINES:]]
    return "\n    ".join([f"In [{error.exec_count}]: {what}", *lines])


def _kernel_failure(status: int | None, error: BaseException) -> str:
    """Describe a kernel that ended with this exit status, below 0 for a signal."""
    if status is None:
        return f"the kernel did not start or answer: {error}"
    if status == -9:
        return (
            "the kernel was killed (signal 9), most often because the machine ran out of memory; "
            "close other programs, run fewer at once, or lower the batch size or the profile"
        )
    ended = f"crashed ({signal.Signals(-status).name})" if status < 0 else f"exited with {status}"
    return f"dead kernel: it {ended} before the notebook was finished"


class _Live:
    """Shows a kernel's output line by line as it comes, marked with a label."""

    def __init__(self, label: str, stream: TextIO) -> None:
        self.label, self.stream, self.rest, self.last = label, stream, "", ""

    def write(self, text: str) -> None:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            # of a bar redrawn with carriage returns, the last state is enough
            shown = line.rstrip("\r").split("\r")[-1]
            self.last = shown.strip() or self.last
            print(f"[{self.label}] {shown}", file=self.stream)

    def flush(self) -> None:
        self.stream.flush()

    def close(self) -> None:
        if self.rest:
            self.write("\n")
        self.flush()
