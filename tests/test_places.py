"""A course folder that one may read and not write, and one that several people write into."""

from __future__ import annotations

import os
import resource  # noqa: F401 - psutil's, which nobody might not find
from collections.abc import Iterator
from pathlib import Path

import fake_data
import numpy as np
import pytest
from somebody import open_folder, read_only, somebody_else

from cvhelpers import data, doctor, places
from cvhelpers.data import locate
from cvhelpers.data.cache import cached_arrays
from cvhelpers.models.weights import load_pretrained
from cvhelpers.run import start_run


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A course's data folder with one set in it; home of one's own beside it."""
    monkeypatch.setitem(data.CATALOG, "fake", fake_data.fake())
    with open_folder() as folder:
        (folder / "data" / "fake").mkdir(parents=True)
        fake_data.write(folder / "data" / "fake", value=3)
        (folder / "home").mkdir()
        (folder / "home").chmod(0o777)
        monkeypatch.setenv("CVHELPERS_DATA_DIR", str(folder / "data"))
        monkeypatch.setenv("CVHELPERS_CACHE_DIR", str(folder / "home" / "cache"))
        monkeypatch.setenv("CVHELPERS_RUN_DIR", str(folder / "home" / "runs"))
        monkeypatch.setattr(places, "_told", set())
        yield folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("source", ["auto", "sample"])
def test_a_course_folder_may_be_read_only(
    shared: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    read_only(shared / "data")
    before = files(shared / "data")
    with somebody_else():
        first = data.load("fake", source=source)
        told = capsys.readouterr().out
        again = data.load("fake", source=source)
    assert first.fingerprint() == again.fingerprint()
    assert first.train.images.unique().tolist() == [3 if source == "auto" else 7]
    assert files(shared / "data") == before
    assert str(shared / "home" / "cache") in told, "a line tells where"
    assert "again" not in capsys.readouterr().out


def test_what_another_user_decoded_is_used(shared: Path) -> None:
    data.load("fake")
    read_only(shared / "data")
    with somebody_else():
        splits = data.load("fake")
    assert splits.train.images.unique().tolist() == [3]
    assert not files(shared / "home"), "nothing had to be made again"


def test_what_others_keep_private_is_made_again_elsewhere(shared: Path) -> None:
    """Their umask is 077, in a folder that all may write into."""
    data.load("fake")
    data.load("fake", source="sample")
    for where, folders, names in os.walk(shared / "data"):
        for name in folders:
            Path(where, name).chmod(
                0o777 if name in ("fake", ".cache", ".locks", "sample") else 0o700
            )
        for name in names:
            private = name.endswith((".lock", ".npy")) or "sample" in where
            Path(where, name).chmod(0o600 if private else 0o644)
    (shared / "data" / "sample" / "fake").chmod(0o700)
    with somebody_else():
        assert data.load("fake").train.images.unique().tolist() == [3]
        assert data.load("fake", source="sample").train.images.unique().tolist() == [7]
    assert files(shared / "home")


def test_a_data_set_that_one_may_not_read_is_absent(shared: Path) -> None:
    (shared / "data" / "fake").chmod(0o700)
    with somebody_else():
        entry = data.describe("fake")
        if os.access(shared / "data" / "fake", os.X_OK, effective_ids=True):
            pytest.fail("the folder can be read: the test shows nothing")
        assert not entry.present()
        assert entry.stranger() == ""
        assert locate.plan(entry, source="auto", profile="quick") == "sample"


def test_a_lock_of_somebody_else_is_no_crash(shared: Path) -> None:
    lock = shared / "data" / ".locks" / "one.lock"
    lock.parent.mkdir()
    lock.touch()
    lock.chmod(0o600)
    with somebody_else(), places.shared_lock(lock):
        pass
    assert files(shared / "home")


def test_a_download_into_a_read_only_folder_says_what_to_do(shared: Path) -> None:
    (shared / "data" / "fake" / "values.json").unlink()
    (shared / "data" / "fake").rmdir()
    read_only(shared / "data")
    with somebody_else(), pytest.raises(ValueError, match="may not be written; set CVHELPERS_DATA"):
        locate.locate(fake_data.fake(("http://127.0.0.1:9/a.zip", "0" * 32)), source="real")


def test_nowhere_to_write_names_the_variable(shared: Path) -> None:
    (shared / "home").chmod(0o555)
    read_only(shared / "data")
    with somebody_else():
        with pytest.raises(ValueError, match="set CVHELPERS_CACHE_DIR"):
            cached_arrays(shared / "data" / "fake", "4px-k", lambda: {"a": np.ones(1)})
        with pytest.raises(ValueError, match="set CVHELPERS_CACHE_DIR"):
            data.load("fake", source="sample")


def test_runs_lie_beside_the_notebook_where_the_course_is_read_only(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CVHELPERS_RUN_DIR")
    monkeypatch.chdir(shared / "home")
    course = shared / "course"
    (course / "notebooks").mkdir(parents=True)
    monkeypatch.setattr("cvhelpers.places.repository_root", lambda: course)
    monkeypatch.setattr("cvhelpers.manifest.repository_root", lambda: course)
    monkeypatch.setattr("cvhelpers.manifest._PACKAGE", Path(data.__file__).parents[1])
    text = Path(data.__file__).parents[2] / "notebooks" / "course.toml"
    (course / "notebooks" / "course.toml").write_text(text.read_text(encoding="utf-8"))
    assert places.runs_dir() == course / "runs"
    read_only(course)
    with somebody_else():
        assert places.runs_dir() == shared / "home" / "runs"
        run = start_run("5_cifar10/5_review_questions", profile="smoke", source="sample")
    assert run.folder == shared / "home" / "runs" / "lab" / "5_cifar10/5_review_questions"
    assert (run.folder / "results.json").exists()
    assert f"this run is kept in {run.folder}" in capsys.readouterr().out
    (shared / "home").chmod(0o555)
    monkeypatch.chdir(course)
    with somebody_else(), pytest.raises(ValueError, match="Set CVHELPERS_RUN_DIR"):
        places.runs_dir()


def test_doctor_shows_the_places_and_whether_they_can_be_written(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read_only(shared / "data")
    with somebody_else():
        found = [what for about, what, _ in doctor._room() if about in ("data", "own cache")]
    assert found[0].startswith(f"{shared / 'data'}: read-only")
    assert found[1].startswith(f"{shared / 'home' / 'cache'}: writable")


def test_the_users_cache_follows_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CVHELPERS_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert "cvhelpers" in places.user_cache().parts


def test_weights_for_a_read_only_folder_say_what_to_do(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(shared / "data"))
    read_only(shared / "data")
    with somebody_else(), pytest.raises(OSError, match="may not be written; set TORCH_HOME"):
        load_pretrained("resnet18")
