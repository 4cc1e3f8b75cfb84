"""doctor: absent is fine, broken is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from cvhelpers import doctor


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def test_an_empty_machine_is_sound(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert doctor.main() == 0
    told = capsys.readouterr().out
    for expected in (
        "python      3.",
        "torch 2.",
        "processors",
        f"data        {tmp_path}: ",
        "-> python -m cvhelpers data caltech101",
        f"weights     {tmp_path / 'torch'}: none\n            -> profile full",
        f"set         CVHELPERS_DATA_DIR={tmp_path}",
    ):
        assert expected in told


def test_weights_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "vgg16-397923af.pth").touch()
    assert doctor.main() == 0
    assert f"{tmp_path / 'torch'}: vgg16-397923af.pth\n" in capsys.readouterr().out


@pytest.mark.parametrize("library", ["torch", "torchvision"])
def test_a_library_that_does_not_load_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], library: str
) -> None:
    real = importlib.import_module

    def load(name: str, *args: Any) -> Any:
        if name == library:
            raise RuntimeError("operator torchvision::nms does not exist\nand more")
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", load)
    assert doctor.main() == 1
    told = capsys.readouterr().out
    assert f"{library:<12}BROKEN: operator torchvision::nms does not exist\n" in told
    assert "-> in one command: pip install" in told


def test_little_room_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_LITTLE", 1e9)
    assert doctor.main() == 0
    told = capsys.readouterr().out
    assert "-> close other programs" in told
    assert told.count("-> make room") == 4


def test_jupyterlab_may_be_absent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert doctor.main() == 0
    assert "jupyterlab  absent" in capsys.readouterr().out
