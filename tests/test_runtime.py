"""Profiles, sources, devices, seeds, front ends."""

import importlib.metadata
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from cvhelpers import runtime


def has_cuda(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("asked", "environment", "cuda", "resolved"),
    [
        ("auto", None, False, "quick"),
        ("auto", None, True, "full"),
        ("auto", "", True, "full"),
        ("auto", "auto", False, "quick"),
        ("auto", "smoke", True, "smoke"),
        ("smoke", "full", True, "smoke"),
        ("full", None, False, "full"),
        ("quick", "smoke", True, "quick"),
    ],
)
def test_the_profile_is_the_callers_then_the_environments_then_the_machines(
    asked: str,
    environment: str | None,
    cuda: bool,
    resolved: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_cuda(monkeypatch, cuda)
    if environment is not None:
        monkeypatch.setenv("CVHELPERS_PROFILE", environment)
    assert runtime.resolve_profile(asked) == resolved


def test_an_unknown_profile_is_named_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="profile 'fast'; choose one of: auto, smoke, quick, full"):
        runtime.resolve_profile("fast")
    monkeypatch.setenv("CVHELPERS_PROFILE", "ful")
    with pytest.raises(ValueError, match=r"CVHELPERS_PROFILE\) 'ful'; choose one of: auto, smoke"):
        runtime.resolve_profile()
    assert runtime.resolve_profile("full") == "full"


@pytest.mark.parametrize(
    ("asked", "environment", "resolved"),
    [
        ("auto", None, "auto"),
        ("auto", "", "auto"),
        ("auto", "sample", "sample"),
        ("real", "sample", "real"),
        ("sample", None, "sample"),
    ],
)
def test_the_source_is_the_callers_then_the_environments(
    asked: str, environment: str | None, resolved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environment is not None:
        monkeypatch.setenv("CVHELPERS_SOURCE", environment)
    assert runtime.resolve_source(asked) == resolved


def test_an_unknown_source_is_named_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="unknown source 'fake'; choose one of: auto, real, samp"):
        runtime.resolve_source("fake")
    monkeypatch.setenv("CVHELPERS_SOURCE", "reel")
    with pytest.raises(ValueError, match=r"CVHELPERS_SOURCE\) 'reel'; choose one of: auto, real"):
        runtime.resolve_source()


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_best_device_is_picked(
    cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_cuda(monkeypatch, cuda, mps)
    assert runtime.pick_device() == torch.device(expected)
    monkeypatch.setenv("CVHELPERS_DEVICE", "cpu")
    assert runtime.pick_device() == torch.device("cpu")


@pytest.mark.parametrize("wanted", ["toaster", "cuda:99"])
def test_a_device_that_cannot_be_used_is_named_with_the_mend(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVHELPERS_DEVICE", wanted)
    with pytest.raises(ValueError, match=f"CVHELPERS_DEVICE='{wanted}' cannot .*; unset it, or"):
        runtime.pick_device()


def test_devices_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Big GPU {device.index}")
    assert runtime.device_name(torch.device("cpu")) == "CPU (abacus, 3 threads)"
    assert runtime.device_name(torch.device("cuda", 1)) == "Big GPU 1"
    assert runtime.device_name(torch.device("mps")) == "Apple GPU (abacus)"


def draws(seed: int) -> tuple[float, float, float]:
    runtime.seed_everything(seed)
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002


def test_one_seed_repeats_python_numpy_and_torch() -> None:
    first = draws(5)
    assert draws(5) == first
    assert all(a != b for a, b in zip(draws(6), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "0"])
def test_a_seed_is_a_whole_number_that_numpy_takes(seed: int) -> None:
    with pytest.raises(ValueError, match="seed must be a whole number from 0 to"):
        runtime.seed_everything(seed)


def test_deterministic_is_switched_on_and_off_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
    runtime.seed_everything(0, deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    runtime.seed_everything(0)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark


def test_colab_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not runtime.in_colab()
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    assert runtime.in_colab()


@pytest.mark.parametrize(
    ("headless", "kernel", "terminal", "watched"),
    [
        ("1", True, True, False),
        ("", True, False, True),
        ("", False, True, True),
        ("", False, False, False),
    ],
)
def test_who_watches(
    headless: str, kernel: bool, terminal: bool, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVHELPERS_HEADLESS", headless)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    if kernel:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert runtime.has_front_end() is watched


def test_versions_are_those_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = runtime.library_versions()
    assert versions["python"] == sys.version.split()[0]
    assert versions["torch"] == importlib.metadata.version("torch")
    assert {"torchvision", "numpy", "cvhelpers"} < set(versions)
    installed = importlib.metadata.version

    def without_scipy(name: str) -> str:
        if name == "scipy":
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(importlib.metadata, "version", without_scipy)
    assert runtime.library_versions() == {**versions, "scipy": "not installed"}


def test_the_command_line_starts_without_torch() -> None:
    code = (
        "import sys, cvhelpers.runtime as r, cvhelpers.results; r.resolve_profile('quick');"
        "r.library_versions(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
