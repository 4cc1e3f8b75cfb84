import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cvhelpers import data
from cvhelpers.data import caltech101, folders
from cvhelpers.data.download import extract


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The sample, drawn once for this file; copies of it may be damaged."""
    folder = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVHELPERS_DATA_DIR", str(folder))
        splits = data.load("caltech101", source="sample")
    return folder / "sample" / "caltech101", splits


@pytest.fixture
def official(tmp_path, monkeypatch):
    """All 101 class folders with two plain pictures each, as if placed by hand."""
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    folder = tmp_path / "caltech101" / "101_ObjectCategories"
    for k, name in enumerate((*caltech101.CLASSES, caltech101.BACKGROUND)):
        (folder / name).mkdir(parents=True)
        for number in (1, 2):
            image = Image.new("RGB", (30, 20), (k, 2 * k, 100 * number))
            image.save(folder / name / f"image_{number:04d}.jpg", quality=100)
    return folder


def test_the_catalog_knows_the_classes():
    assert len(caltech101.CLASSES) == len(set(caltech101.CLASSES)) == 101
    assert list(caltech101.CLASSES) == sorted(caltech101.CLASSES)
    assert set(caltech101.SAMPLE_CLASSES) < set(caltech101.CLASSES)
    assert caltech101.BACKGROUND not in caltech101.CLASSES


def test_mirrors_are_addresses_with_checksums():
    for entry in data.CATALOG.values():
        for mirrors in entry.archives:
            assert len(mirrors) >= 2
            for url, md5 in mirrors:
                assert re.match("https?://[a-z]", url)
                published = "[0-9a-f]{32}" if entry.name != "lungs" else ""
                assert re.fullmatch(published, md5)


def test_the_sample_has_the_official_layout(drawn):
    images = drawn[0] / "101_ObjectCategories"
    folders = {path.name: sorted(path.iterdir()) for path in images.iterdir()}
    assert len(folders) == 21
    assert {"accordion", "camera", "BACKGROUND_Google"} <= set(folders)
    counts = {name: len(files) for name, files in folders.items()}
    assert max(counts.values()) > 2 * min(counts.values())  # unbalanced
    for files in folders.values():
        assert [file.name for file in files[:2]] == ["image_0001.jpg", "image_0002.jpg"]
    shapes, modes = set(), []
    for file in folders["Faces"]:
        with Image.open(file) as image:
            shapes.add(image.size)
            modes.append(image.mode)
    assert len(shapes) > 30
    assert all(90 <= side <= 140 for size in shapes for side in size)
    assert (modes.count("L"), modes.count("RGB")) == (3, 67)


def test_the_sample_loads_as_a_stratified_split(drawn):
    splits = drawn[1]
    assert splits.classes == caltech101.SAMPLE_CLASSES
    assert splits.test is None
    assert splits.train.images.shape[1:] == (3, 64, 64)
    assert splits.train.images.dtype == torch.uint8
    total = len(splits.train) + len(splits.val)
    assert len(splits.val) == round(0.1 * total)
    assert 700 < total < 900
    assert splits.val.counts().min() >= 2
    assert not set(splits.train.names) & set(splits.val.names)
    assert not any("BACKGROUND" in name for name in (*splits.train.names, *splits.val.names))


def test_names_lead_to_the_right_picture(drawn):
    folder, splits = drawn
    for part in (splits.train, splits.val):
        for position in (0, len(part) // 2, len(part) - 1):
            name = part.names[position]
            file = folder / "101_ObjectCategories" / f"{name}.jpg"
            assert np.array_equal(part.images[position].numpy(), folders.decode(file, 64))
            assert part.classes[part.labels[position]] == name.split("/")[0]


def test_a_nearest_mean_already_beats_chance(drawn):
    # Learnable: chance is 5 % of 20 classes. Not trivial: colours alone are far from enough.
    splits = drawn[1]
    small = [
        torch.nn.functional.avg_pool2d(part.images.float(), 16)
        for part in (splits.train, splits.val)
    ]
    train, val = (pixels.flatten(1) for pixels in small)
    means = torch.stack([train[splits.train.labels == k].mean(0) for k in range(20)])
    accuracy = (torch.cdist(val, means).argmin(1) == splits.val.labels).float().mean().item()
    assert 0.08 < accuracy < 0.6


def test_grey_pictures_get_three_equal_channels(tmp_path):
    Image.linear_gradient("L").save(tmp_path / "grey.jpg")
    pixels = folders.decode(tmp_path / "grey.jpg", 16)
    assert pixels.shape == (3, 16, 16)
    assert np.array_equal(pixels[0], pixels[1])
    assert np.array_equal(pixels[0], pixels[2])
    assert pixels[0, 0].mean() < 20 < 235 < pixels[0, -1].mean()  # top stays top


def test_the_official_folders_load(official):
    splits = data.load("caltech101", source="real", size=8)
    assert splits.classes == caltech101.CLASSES
    assert splits.provenance.kind == "unverified"
    assert (len(splits.train), len(splits.val)) == (182, 20)
    for part in (splits.train, splits.val):
        red = part.images[:, 0].float().mean((1, 2))
        assert torch.allclose(red, part.labels.float(), atol=3)  # red is the class's number


def test_the_split_does_not_depend_on_the_order_of_the_disk(official, monkeypatch):
    folder = official.parent
    before = caltech101.read(folder, 8)
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, what: reversed(list(glob(self, what))))
    after = caltech101.read(folder, 8)
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_a_truncated_picture_is_named(official):
    file = official / "ant" / "image_0002.jpg"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(
        ValueError, match=r"broken image .*ant/image_0002\.jpg .*put an intact copy"
    ):
        data.load("caltech101")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_what_is_no_picture_is_named(official, content):
    (official / "wrench" / "image_0001.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken image .*wrench/image_0001\.jpg"):
        data.load("caltech101")


@pytest.mark.parametrize("name", ["Faces", "camera", "yin_yang"])
def test_a_missing_class_folder_is_named(official, name):
    shutil.rmtree(official / name)
    with pytest.raises(ValueError, match=f"class folder .*/{name} is missing; put it back, or rem"):
        data.load("caltech101")


def test_an_empty_class_folder_is_named(official):
    for file in (official / "crab").iterdir():
        file.rename(file.with_suffix(".png"))
    with pytest.raises(ValueError, match=r"class folder .*/crab holds no \.jpg; put it back"):
        data.load("caltech101")


def test_both_kinds_of_archives_unpack(official, tmp_path):
    inner = tmp_path / "101_ObjectCategories.tar.gz"
    with tarfile.open(inner, "w:gz") as pack:
        pack.add(official, arcname="101_ObjectCategories")
    outer = tmp_path / "caltech-101.zip"
    with zipfile.ZipFile(outer, "w") as pack:
        pack.write(inner, "caltech-101/101_ObjectCategories.tar.gz")
        pack.writestr("caltech-101/Annotations.tar", b"not needed")
        pack.writestr("__MACOSX/caltech-101/._101_ObjectCategories.tar.gz", b"rubbish")
    for archive in (inner, outer):
        scratch = tmp_path / f"scratch-{archive.suffix}"
        extract(archive, scratch)
        kept = caltech101.CALTECH101.unpack(scratch)
        assert [path.name for path in kept.iterdir()] == ["101_ObjectCategories"]
        assert len(list(kept.rglob("*.jpg"))) == 2 * 102
