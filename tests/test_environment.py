"""environment.yml and pyproject.toml ask for the same packages, from the same versions on."""

import importlib.metadata
import sys
from pathlib import Path
from typing import Any

import yaml  # papermill brings it
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text())
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
CONDA_NAMES |= {"pypandoc-binary": "pypandoc", "playwright": "playwright-python"}
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [Requirement(text) for text in sum(EXTRAS.values(), PROJECT["dependencies"])]


def conda_packages() -> dict[str, str]:
    texts = [entry for entry in CONDA["dependencies"] if isinstance(entry, str)]
    asked = [Requirement(text) for text in texts]
    assert len({package.name for package in asked}) == len(texts), "a package stands there twice"
    return {package.name: str(package.specifier) for package in asked}


def test_both_files_ask_for_the_same() -> None:
    wanted = {CONDA_NAMES.get(item.name, item.name): str(item.specifier) for item in WANTED}
    wanted["python"] = PROJECT["requires-python"]
    assert conda_packages() == {**wanted, "pip": ""}


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    """Each constraint begins with its bound: >=2.6 is tried as 2.6.0."""
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    asked = {item.name: item for item in WANTED if item.marker is None or "3.11" not in str(item)}
    assert set(oldest) == {item.name for item in WANTED} - {"tomli"}
    for name, version in oldest.items():
        (bound,) = asked[name].specifier
        assert f"{version}.".startswith(f"{bound.version}."), (name, version, str(bound))


def test_everything_comes_from_conda_forge_and_the_package_from_this_folder() -> None:
    assert CONDA["channels"] == ["conda-forge"]
    nested = [entry for entry in CONDA["dependencies"] if not isinstance(entry, str)]
    assert nested == [{"pip": ["-e ."]}]
    assert CONDA["name"] == PROJECT["name"]


def test_every_dependency_is_open_above() -> None:
    """Colab's own torch is kept, and next year's library can be installed."""
    for item in WANTED:
        assert [part.operator for part in item.specifier] == [">="], item
    versions = {item.name: item.specifier for item in WANTED}
    assert str(versions["torch"]) == ">=2.6"
    assert PROJECT["requires-python"] == ">=3.10"


def test_what_is_installed_here_fits() -> None:
    installed = {
        it.metadata["Name"].lower(): it.version for it in importlib.metadata.distributions()
    }
    assert "torch" in installed
    for item in WANTED:
        if version := installed.get(item.name):  # the extras may be absent
            assert item.specifier.contains(version, prereleases=True), (item, version)
