"""The machine: profile, device, seeds, front end, Colab.

torch is imported where it is needed, so that the command line starts fast.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import random
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PROFILES = ("smoke", "quick", "full")
SOURCES = ("auto", "real", "sample")
# glibc maps every large block anew and gives it back at once, so each activation of each step
# is paid for in page faults. These variables make it keep the memory; read at process start.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30),
    "THP_MEM_ALLOC_ENABLE": "1",  # torch: ask for huge pages
}
_VERSIONED = ("torch", "torchvision", "numpy", "pandas", "scipy", "matplotlib", "cvhelpers")


def _checked(kind: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"unknown {kind} {value!r}; choose one of: {', '.join(allowed)}")
    return value


def resolve_profile(profile: str = "auto") -> str:
    """Turn `auto` into `smoke`, `quick` or `full`: the one place that decides.

    A profile named by the caller stands. `auto` asks the environment first
    (`CVHELPERS_PROFILE`), then the machine: `full` with a CUDA GPU, else `quick`.
    """
    _checked("profile", profile, ("auto", *PROFILES))
    if profile == "auto":
        profile = os.environ.get("CVHELPERS_PROFILE") or "auto"
        _checked("profile (from CVHELPERS_PROFILE)", profile, ("auto", *PROFILES))
    if profile == "auto":
        import torch

        profile = "full" if torch.cuda.is_available() else "quick"
    return profile


def resolve_source(source: str = "auto") -> str:
    """Turn `auto` into what the environment says (`CVHELPERS_SOURCE`); it may stay `auto`.

    What `auto` means for a data set depends on what lies on the disk; `cvhelpers.data` decides.
    """
    _checked("source", source, SOURCES)
    if source == "auto":
        source = os.environ.get("CVHELPERS_SOURCE") or "auto"
        _checked("source (from CVHELPERS_SOURCE)", source, SOURCES)
    return source


def pick_device() -> torch.device:
    """Return the best device: cuda, else mps, else cpu; `CVHELPERS_DEVICE` overrides."""
    import torch

    if wanted := os.environ.get("CVHELPERS_DEVICE"):
        try:
            device = torch.device(wanted)
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"CVHELPERS_DEVICE={wanted!r} cannot be used here ({str(error).splitlines()[0]}); "
                "unset it, or name a device of this machine, e.g. cpu or cuda:0"
            ) from None
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def device_name(device: torch.device) -> str:
    """Name the hardware, e.g. `NVIDIA H200` or `CPU (x86_64, 2 threads)`."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU ({platform.machine()})"
    threads = torch.get_num_threads()
    return f"CPU ({platform.machine()}, {threads} thread{'s' * (threads > 1)})"


def seed_everything(seed: int, *, deterministic: bool = False) -> None:
    """Seed Python, NumPy and torch (all devices).

    On the CPU equal seeds give equal results. On a GPU some kernels add in any order;
    `deterministic=True` asks torch for kernels that do not, and for an error where there is
    none: slower, and meant for hunting differences.
    """
    import numpy as np
    import torch

    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, not {seed!r}")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that draw from NumPy's global state
    torch.manual_seed(seed)
    if deterministic:
        # cuBLAS reads this when it starts; torch refuses deterministic mode without it.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def in_colab() -> bool:
    """Say whether this is Google Colab."""
    return "google.colab" in sys.modules


def is_headless() -> bool:
    """Say whether nobody is there: the launcher and the tests set `CVHELPERS_HEADLESS=1`."""
    return os.environ.get("CVHELPERS_HEADLESS") == "1"


def has_front_end() -> bool:
    """Say whether somebody watches: a live notebook, or a terminal.

    False in headless runs: there a progress bar would print thousands of lines, and a widget could
    not be moved.
    """
    return not is_headless() and ("ipykernel" in sys.modules or sys.stderr.isatty())


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide a result."""
    versions = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
