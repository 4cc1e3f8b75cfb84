import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import fake_data
import numpy as np
import pytest

from cvhelpers import data
from cvhelpers.data import locate, store
from cvhelpers.data.cache import cached_arrays
from cvhelpers.data.store import Provenance

NOWHERE = ("http://127.0.0.1:9/pictures.zip", "0" * 32)  # nothing listens there


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "data"


@pytest.fixture
def entry(monkeypatch):
    entry = fake_data.fake(NOWHERE)
    monkeypatch.setitem(data.CATALOG, "fake", entry)
    return entry


def place(folder, provenance=None):
    (folder / "fake").mkdir(parents=True)
    fake_data.write(folder / "fake", value=3)
    if provenance is not None:
        (folder / "fake" / "provenance.json").write_text(provenance)


def test_the_data_folder_follows_the_environment(folder, monkeypatch):
    assert store.data_dir() == folder
    monkeypatch.setenv("CVHELPERS_DATA_DIR", "~/elsewhere")
    assert store.data_dir().is_absolute()
    assert store.data_dir().name == "elsewhere"
    monkeypatch.delenv("CVHELPERS_DATA_DIR")
    assert store.data_dir().name == "data"


@pytest.mark.parametrize(
    ("here", "source", "profile", "expected"),
    [
        (True, "auto", "quick", "folder"),
        (True, "auto", "full", "folder"),
        (True, "real", "smoke", "folder"),
        (True, "sample", "full", "sample"),
        (False, "auto", "smoke", "sample"),
        (False, "auto", "quick", "sample"),
        (False, "auto", "full", "download"),
        (False, "real", "quick", "download"),
        (False, "sample", "full", "sample"),
    ],
)
def test_what_is_used(entry, folder, here, source, profile, expected):
    if here:
        place(folder)
    assert locate.plan(entry, source=source, profile=profile) == expected


def test_unknown_names_are_refused_with_the_known_ones(entry):
    with pytest.raises(ValueError, match="unknown data set 'flours'; choose one of: caltech101"):
        data.load("flours")
    with pytest.raises(ValueError, match="unknown source 'rael'; choose one of: auto, real, samp"):
        data.load("fake", source="rael")
    with pytest.raises(ValueError, match="unknown profile 'fast'; choose one of: smoke, quick, f"):
        data.load("fake", profile="fast")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        data.load("fake", size=0)


def test_data_in_the_folder_is_loaded(entry, folder):
    place(folder)
    splits = data.load("fake", size=6)
    assert splits.train.images.shape == (2, 3, 6, 6)
    assert splits.train.images.unique().tolist() == [3]
    assert splits.provenance == Provenance(
        "unverified", "placed by hand, without a provenance.json"
    )


@pytest.mark.parametrize(("source", "profile"), [("auto", "full"), ("real", "quick")])
def test_without_data_and_network_the_error_has_the_command(entry, folder, source, profile):
    with pytest.raises(ValueError, match="`python -m cvhelpers data fake`") as caught:
        data.load("fake", source=source, profile=profile)
    assert str(folder) in str(caught.value)
    assert NOWHERE[0] in str(caught.value)
    assert "source='sample'" in str(caught.value)


def test_the_sample_is_drawn_once(entry, folder, capsys):
    splits = data.load("fake")
    assert splits.provenance.kind == "sample"
    assert "drawing the synthetic sample" in capsys.readouterr().out
    path = folder / "sample" / "fake" / "values.json"
    before = path.stat().st_mtime_ns
    data.load("fake")
    assert path.stat().st_mtime_ns == before
    assert "drawing" not in capsys.readouterr().out
    assert not (folder / "fake").exists()


def test_the_sample_is_drawn_again_after_a_change_of_version(folder):
    path = locate.sample_folder(fake_data.fake()) / "values.json"
    path.write_text("old")
    locate.sample_folder(fake_data.fake(version=1))
    assert path.read_text() == "old"
    locate.sample_folder(fake_data.fake(version=2))
    assert json.loads(path.read_text()) == [7] * 4


def test_a_sample_that_was_killed_half_way_is_drawn_again(folder):
    def killed(place):
        (place / "half").write_text("")
        raise KeyboardInterrupt

    broken = dataclasses.replace(fake_data.fake(), write_sample=killed)
    with pytest.raises(KeyboardInterrupt):
        locate.sample_folder(broken)
    assert not (folder / "sample" / "fake").exists()
    assert not (locate.sample_folder(fake_data.fake()) / "half").exists()


def test_source_sample_never_fetches(entry, folder, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("pooch.retrieve", refuse)
    place(folder)
    for profile in ("smoke", "quick", "full"):
        splits = data.load("fake", source="sample", profile=profile)
        assert splits.provenance.kind == "sample"


def test_provenance_json_is_believed(entry, folder):
    place(folder, '{"kind": "reduced", "note": "halved"}')
    assert store.read_provenance(entry, folder / "fake") == Provenance("reduced", "halved")
    assert data.provenance_of("fake") == Provenance("reduced", "halved")


@pytest.mark.parametrize("text", ['{"kind": "genuine"}', '{"note": ""}', "[]", "{", '"real"'])
def test_an_invalid_provenance_json_is_named_with_the_mend(entry, folder, text):
    place(folder, text)
    with pytest.raises(
        ValueError, match=r"provenance\.json must hold .*reduced, sample; mend or r"
    ):
        data.load("fake")


def test_official_checksums_make_data_real(folder):
    place(folder)
    md5 = hashlib.md5((folder / "fake" / "values.json").read_bytes()).hexdigest()
    entry = fake_data.fake(md5=md5)
    assert store.read_provenance(entry, folder / "fake").kind == "real"
    fake_data.write(folder / "fake", value=4)
    assert store.read_provenance(entry, folder / "fake").kind == "unverified"


def test_real_needs_the_files_that_were_verified(entry, folder):
    place(folder)
    stated = {"kind": "real", "files": store.fingerprint(folder / "fake", times=False)}
    (folder / "fake" / "provenance.json").write_text(json.dumps(stated))
    assert store.read_provenance(entry, folder / "fake").kind == "real"
    os.utime(folder / "fake" / "values.json", (1, 1))  # a copy has other dates
    assert store.read_provenance(entry, folder / "fake").kind == "real"
    (folder / "fake" / "extra.json").write_text("")
    assert store.read_provenance(entry, folder / "fake").kind == "unverified"


def test_a_missing_file_without_a_known_checksum_is_not_real(entry, folder):
    (folder / "fake").mkdir(parents=True)
    assert store.read_provenance(entry, folder / "fake").kind == "unverified"


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown kind 'fake'; choose one of: real, unverified"):
        Provenance("fake")


def test_the_stamp_key_follows_what_load_would_use(entry, folder):
    sample, download = data.fingerprint("fake"), data.fingerprint("fake", "real", "quick")
    assert sample != download
    assert download == data.fingerprint("fake", "auto", "full")
    place(folder)
    placed = data.fingerprint("fake")
    assert placed not in (sample, download)
    assert placed == data.fingerprint("fake")
    fake_data.write(folder / "fake", value=100)
    assert data.fingerprint("fake") != placed
    stated = {"kind": "real", "files": store.fingerprint(folder / "fake", times=False)}
    (folder / "fake" / "provenance.json").write_text(json.dumps(stated))
    assert data.fingerprint("fake") == download  # as before the download: nothing to run again
    assert not (folder / "sample").exists()


def test_the_command_line_starts_without_torch():
    code = "import sys, cvhelpers.data.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The cache of decoded arrays


def test_arrays_are_decoded_once_and_mapped(tmp_path):
    calls = []

    def build():
        calls.append(1)
        return {"a": np.arange(6).reshape(2, 3), "names": np.array(["x", "long name"])}

    first, second = (cached_arrays(tmp_path, "4px-k", build) for _ in range(2))
    assert len(calls) == 1
    assert isinstance(first["a"], np.memmap)
    assert second["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert second["names"].tolist() == ["x", "long name"]
    first["a"][0, 0] = 99  # copy on write: the file stays
    assert cached_arrays(tmp_path, "4px-k", build)["a"][0, 0] == 0


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "gone", "index", "killed"])
def test_a_damaged_cache_is_built_again(tmp_path, damage):
    def build():
        return {"a": np.arange(1000)}

    cached_arrays(tmp_path, "4px-k", build)
    place = tmp_path / ".cache" / "4px-k"
    array = place / "a.npy"
    if damage == "cut":
        array.write_bytes(array.read_bytes()[:-100])
    elif damage == "empty":
        array.write_bytes(b"")
    elif damage == "noise":
        array.write_bytes(b"x" * 8000)
    elif damage == "gone":
        array.unlink()
    elif damage == "index":
        (place / "index.json").write_text("[")
    else:
        place.rename(place.with_name("4px-k.partial"))
    assert cached_arrays(tmp_path, "4px-k", build)["a"].tolist() == list(range(1000))
    assert sorted(path.name for path in place.parent.iterdir() if path.is_dir()) == ["4px-k"]


def test_only_stale_caches_of_the_same_size_go(tmp_path):
    for key in ("4px-old", "8px-old", "4px-new"):
        cached_arrays(tmp_path, key, lambda: {"a": np.zeros(1)})
    kept = sorted(path.name for path in (tmp_path / ".cache").iterdir() if path.is_dir())
    assert kept == ["4px-new", "8px-old"]


def test_changed_files_are_decoded_again(entry, folder):
    place(folder)
    assert data.load("fake").train.images.unique().tolist() == [3]
    fake_data.write(folder / "fake", value=200)
    assert data.load("fake").train.images.unique().tolist() == [200]


def test_a_cache_does_not_count_as_a_change(entry, folder):
    place(folder)
    before = store.fingerprint(folder / "fake")
    data.load("fake")
    assert store.fingerprint(folder / "fake") == before


def test_sizes_are_cached_apart(entry, folder):
    place(folder)
    for size in (4, 6, 4):
        assert data.load("fake", size=size).train.images.shape[-1] == size


def test_a_new_reader_version_decodes_again(entry, folder, monkeypatch):
    place(folder)
    data.load("fake")
    newer = dataclasses.replace(
        entry, version=2, read=lambda *_: fake_data.read(folder / "fake", 9)
    )
    monkeypatch.setitem(data.CATALOG, "fake", newer)
    assert data.load("fake").train.images.shape[-1] == 9


def test_a_built_cache_needs_no_lock(tmp_path, monkeypatch):
    # A shared folder may be read-only for all but the one who filled it.
    cached_arrays(tmp_path, "4px-k", lambda: {"a": np.ones(2)})
    monkeypatch.setattr("cvhelpers.data.cache.shared_lock", None)
    assert cached_arrays(tmp_path, "4px-k", dict)["a"].tolist() == [1, 1]


def test_two_processes_decode_once(tmp_path):
    code = f"""
import pathlib, time
import numpy as np
from cvhelpers.data.cache import cached_arrays
folder = pathlib.Path({str(tmp_path)!r})
def build():
    with open(folder / "calls", "a") as file:
        file.write("x")
    time.sleep(0.5)
    return {{"a": np.arange(10)}}
assert cached_arrays(folder, "4px-k", build)["a"].tolist() == list(range(10))
"""
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert (tmp_path / "calls").read_text() == "x"
