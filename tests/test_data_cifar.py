import dataclasses
import hashlib
import os
import pickle
import shutil

import numpy as np
import pytest
import torchvision

from cvhelpers import data
from cvhelpers.data import cifar
from cvhelpers.data.store import read_provenance

ENTRIES = {"cifar10": cifar.CIFAR10, "cifar100": cifar.CIFAR100}


@pytest.fixture(scope="module", params=ENTRIES)
def drawn(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    cifar.write_sample(*ENTRIES[request.param].write_sample.args, folder, train=800)
    return ENTRIES[request.param], folder


@pytest.fixture
def placed(drawn, tmp_path, monkeypatch):
    """An entry of the catalog, with a small sample lying where the real data would."""
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    shutil.copytree(drawn[1], drawn[0].path)
    return drawn[0]


def test_the_splits(placed):
    splits = data.load(placed.name)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (720, 80, 200)
    assert len(splits.classes) == placed.classes
    assert splits.train.images.shape == (720, 3, 32, 32)
    if placed.name == "cifar10":
        assert splits.classes[3] == "cat"
        assert splits.train.counts().tolist() == [72] * 10
        assert splits.val.counts().tolist() == [8] * 10
        assert splits.test.counts().tolist() == [20] * 10


def test_validation_comes_from_the_training_batches(placed):
    splits = data.load(placed.name)
    both = np.concatenate([splits.train.images.numpy(), splits.val.images.numpy()])
    stored = []
    for name in list(placed.files)[:-2]:
        stored.append(pickle.loads((placed.path / name).read_bytes())["data"])
    expected = {row.tobytes() for row in np.concatenate(stored)}
    assert {image.tobytes() for image in both} == expected


def test_images_are_called_by_their_official_place(placed, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    official = getattr(torchvision.datasets, placed.name.upper())(tmp_path, train=True)
    splits = data.load(placed.name)
    for part in (splits.train, splits.val):
        for name, image in zip(part.names, part.images.permute(0, 2, 3, 1).numpy(), strict=True):
            row = int(name.removeprefix("X_train[").removesuffix("]"))
            assert np.array_equal(image, official.data[row])
    assert splits.test.names[7] == "X_test[7]"


def test_torchvision_reads_the_sample_alike(placed, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    theirs = getattr(torchvision.datasets, placed.name.upper())(tmp_path, train=False)
    ours = data.load(placed.name).test
    assert np.array_equal(ours.images.permute(0, 2, 3, 1).numpy(), theirs.data)
    assert ours.labels.tolist() == theirs.targets
    assert list(ours.classes) == theirs.classes


def test_the_two_samples_share_no_class():
    kinds = {}
    for name, entry in ENTRIES.items():
        *_, classes, first = entry.write_sample.args
        kinds[name] = set(range(first, first + len(classes)))
    assert kinds["cifar10"].isdisjoint(kinds["cifar100"])


def test_coarse_labels_come_with_the_same_splits(drawn, tmp_path, monkeypatch):
    entry, folder = drawn
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    shutil.copytree(folder, entry.path)
    if entry.name == "cifar10":
        with pytest.raises(ValueError, match="cifar10 has no option"):
            data.load("cifar10", coarse=True)
        return
    fine, coarse = data.load("cifar100"), data.load("cifar100", coarse=True)
    assert coarse.classes[3] == "group_03"
    assert len(coarse.classes) == 20
    for part in ("train", "val", "test"):
        one, other = getattr(fine, part), getattr(coarse, part)
        assert one.names == other.names
        assert one.images.equal(other.images)
        assert (one.labels // 5).equal(other.labels)


def test_only_cifar100_has_coarse_labels(placed):
    batch, meta = (
        pickle.loads((placed.path / list(placed.files)[k]).read_bytes()) for k in (0, -1)
    )
    if placed.name == "cifar10":
        assert set(batch) == {"batch_label", "labels", "data", "filenames"}
        return
    assert set(batch["fine_labels"]) == set(range(100))
    assert [k // 5 for k in batch["fine_labels"]] == batch["coarse_labels"]
    assert (len(meta["fine_label_names"]), len(meta["coarse_label_names"])) == (100, 20)


def test_known_checksums_make_it_real(placed):
    assert read_provenance(placed, placed.path).kind == "unverified"
    sums = {
        name: hashlib.md5((placed.path / name).read_bytes()).hexdigest() for name in placed.files
    }
    known = dataclasses.replace(placed, files=sums)
    assert read_provenance(known, placed.path).kind == "real"
    wrong = dataclasses.replace(placed, files={**sums, next(iter(sums)): "0" * 32})
    assert read_provenance(wrong, placed.path).kind == "unverified"


def test_another_size_is_refused(placed):
    with pytest.raises(ValueError, match="are 32 x 32, not 64; resize on the device"):
        data.load(placed.name, size=64)


def damage(placed, which, content):
    path = placed.path / list(placed.files)[which]
    path.write_bytes(content(path.read_bytes()))
    return path.name


@pytest.mark.parametrize("which", [0, -2, -1])
@pytest.mark.parametrize(
    "content",
    [
        lambda old: old[: len(old) // 2],
        lambda old: b"",
        lambda old: b"<html>not found</html>",
        lambda old: pickle.dumps([1, 2]),
        lambda old: pickle.dumps({"something": "else"}),
    ],
)
def test_a_damaged_pickle_is_named_with_the_mend(placed, which, content):
    name = damage(placed, which, content)
    with pytest.raises(
        ValueError, match=f"{name} is no intact CIFAR pickle .*; remove .*and run `p"
    ):
        data.load(placed.name)


def test_a_missing_batch_is_named(placed):
    name = next(iter(placed.files))
    (placed.path / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is no intact .*FileNotFoundError"):
        data.load(placed.name)


@pytest.mark.parametrize(
    "change",
    [lambda rows: rows[:-1], lambda rows: rows[:, :3000], lambda rows: rows.astype(np.float32)],
)
def test_a_batch_of_another_shape_is_refused(placed, change):
    def rewrite(old):
        batch = pickle.loads(old)
        return pickle.dumps({**batch, "data": change(batch["data"])}, protocol=2)

    name = damage(placed, 0, rewrite)
    with pytest.raises(ValueError, match=f"{name} holds .*no batch of {placed.classes} classes"):
        data.load(placed.name)


def test_a_label_without_a_class_is_refused(placed):
    def relabel(old):
        batch = pickle.loads(old)
        key = "fine_labels" if "fine_labels" in batch else "labels"
        batch[key][0] = placed.classes
        return pickle.dumps(batch)

    damage(placed, 0, relabel)
    with pytest.raises(ValueError, match=f"no batch of {placed.classes} classes"):
        data.load(placed.name)


class Attack:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_pickle_cannot_run_code(placed, tmp_path):
    damage(placed, 0, lambda old: pickle.dumps(Attack(f"touch {tmp_path}/attacked")))
    with pytest.raises(ValueError, match=r"asks for .*system, which is no array"):
        data.load(placed.name)
    assert not (tmp_path / "attacked").exists()


def test_pickles_of_python_2_are_read(tmp_path):
    # {'data': array of uint8 [1, 2]} as Python 2 and its numpy wrote the official files
    text = (
        b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x02\x01\x02tbs."
    )
    (tmp_path / "old").write_bytes(text)
    (array,) = cifar._unpickle(tmp_path / "old", "data")
    assert array.dtype == np.uint8
    assert array.tolist() == [1, 2]
