"""Every test runs headless, on one thread, from one seed, and in folders of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from matplotlib import pyplot as plt

mpl.use("Agg")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for the whole session: each synthetic sample is drawn there once.

    A test that places data of its own sets CVHELPERS_DATA_DIR to its own folder.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # common to all workers; the package's locks keep them in order
    return folder / "data"


@pytest.fixture(autouse=True)
def _surroundings(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("CVHELPERS_")]:
        monkeypatch.delenv(name)  # what the tester's shell says is no part of a test
    monkeypatch.setenv("CVHELPERS_HEADLESS", "1")
    if "course" not in request.fixturenames:  # the launcher's tests see what it leaves behind
        monkeypatch.setenv("CVHELPERS_RUN_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(data_folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for the processes that a test starts
    torch.manual_seed(0)
    with mpl.rc_context():
        yield
    plt.close("all")
    torch.set_deterministic_debug_mode("default")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured and did not judge: `record_property("measured", ...)`."""
    for report in terminalreporter.getreports("passed"):
        for name, what in getattr(report, "user_properties", []):
            if name == "measured":
                terminalreporter.write_line(f"measured: {what}")
