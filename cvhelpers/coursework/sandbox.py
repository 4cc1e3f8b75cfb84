"""A student's cells run one by one, within limits of time and memory; nothing stops the rest.

The kernel is a process of its own, with your rights: what it does to files it does. For a container
see `notebooks/TEACHERS.md`.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

_LEAVES = re.compile(r"\b(exit|quit)\b")


def run_cells(
    cells: list[Any],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    minutes: float,
    gigabytes: float,
    seconds_a_cell: float = 120,
) -> list[str]:
    """Execute code cells in order, errors or not; their outputs are left in them.

    A cell that takes too long or too much memory, or ends the kernel, is left out, and all others
    run again without it, while there is time. Returns what was found, in words.
    """
    deadline, notes = time.monotonic() + 60 * minutes, []
    left_out: set[int] = set()
    with mock.patch.dict(os.environ, environment), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jupyter's deprecations are no teacher's business
        while True:
            for cell in cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
            one_try = _Try(cells, left_out, cwd, deadline, seconds_a_cell, gigabytes * 1e9)
            asyncio.run(one_try.run())
            if one_try.culprit is None:
                break
            left_out.add(one_try.culprit)
            first = cells[one_try.culprit].source.strip().partition("\n")[0][:40]
            notes.append(f"cell {one_try.culprit + 1} ({first!r}) {one_try.reason}")
            if time.monotonic() > deadline:
                notes.append(f"stopped after {minutes:g} minutes in all")
                break
    return notes


class _Try:
    """One kernel and one pass over the cells; `culprit` is the cell that ended it, if one did."""

    def __init__(
        self,
        cells: list[Any],
        left_out: set[int],
        cwd: Path,
        deadline: float,
        seconds: float,
        memory: float,
    ) -> None:
        self.cells, self.left_out, self.cwd = cells, left_out, cwd
        self.deadline, self.seconds, self.memory = deadline, seconds, memory
        self.culprit: int | None = None
        self.reason = ""

    async def run(self) -> None:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellTimeoutError, DeadKernelError

        notebook = nbformat.v4.new_notebook(cells=self.cells)
        client: Any = NotebookClient(
            notebook,
            timeout=None,
            allow_errors=True,
            kernel_name="python3",
            resources={"metadata": {"path": str(self.cwd)}},
            extra_arguments=["--log-level=CRITICAL"],
            shutdown_kernel="immediate",  # an endless loop does not listen
        )
        async with client.async_setup_kernel():
            watch = asyncio.create_task(self._watch(client.km))
            leaver: int | None = None
            for index, cell in enumerate(self.cells):
                if cell.cell_type != "code" or index in self.left_out or not cell.source.strip():
                    continue
                left = min(self.seconds, self.deadline - time.monotonic())
                client.timeout = max(1, int(left))
                try:
                    await client.async_execute_cell(cell, index)
                    if _LEAVES.search(cell.source):
                        leaver = index
                except CellTimeoutError:
                    self.reason = f"took longer than {client.timeout} s: left out"
                except DeadKernelError:
                    self.reason = self.reason or "ended the kernel: left out"
                if self.reason:
                    # `exit()` ends the kernel a moment later, while another cell runs.
                    left = leaver is not None and self.reason.startswith("ended")
                    self.culprit = leaver if left else index
                    break
            watch.cancel()

    async def _watch(self, manager: Any) -> None:
        """End a kernel that takes more memory than it may; its children count."""
        import psutil

        while True:
            await asyncio.sleep(0.3)
            try:
                kernel = psutil.Process(manager.provisioner.pid)
                family = [kernel, *kernel.children(recursive=True)]
                used = sum(one.memory_info().rss for one in family)
            except (psutil.Error, AttributeError):
                continue
            if used > self.memory:
                self.reason = f"took more than {self.memory / 1e9:g} GB of memory: left out"
                kernel.kill()
