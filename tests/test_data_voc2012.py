"""VOC 2012: the official tree, its border, its lists as splits, and bad files."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cvhelpers import data
from cvhelpers.data import voc2012
from cvhelpers.masks import IGNORE

ROOT = "VOCdevkit/VOC2012"


@pytest.fixture
def official(tmp_path, monkeypatch):
    """Forty plain photographs placed by hand; the mask is a square of one class in its border."""
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    folder = tmp_path / "voc2012" / ROOT
    for place in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / place).mkdir(parents=True)
    names = {"train": range(30), "val": range(30, 40)}
    for part, numbers in names.items():
        for number in numbers:
            write(folder, f"2007_{number:06d}", label=1 + number % 5, shade=5 * number)
        listed = "".join(f"2007_{number:06d}\n" for number in numbers)
        (folder / f"ImageSets/Segmentation/{part}.txt").write_text(listed)
    write(folder, "2007_999999", label=3, shade=0)  # official folders hold more than the lists
    return folder


def write(folder, name: str, *, label: int, shade: int) -> None:
    Image.new("RGB", (20, 16), (shade, 0, 100)).save(folder / f"JPEGImages/{name}.jpg", quality=100)
    mask = np.zeros((16, 20), np.uint8)
    mask[3:13, 4:16] = IGNORE
    mask[5:11, 6:14] = label
    save(mask, folder / f"SegmentationClass/{name}.png")


def save(mask: np.ndarray, path) -> None:
    image = Image.fromarray(mask, mode="P")
    image.putpalette(voc2012.palette())
    image.save(path)


def test_the_official_lists_are_the_splits(official) -> None:
    splits = data.load("voc2012", size=40)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (27, 3, 10)
    assert {int(name[5:]) for name in splits.test.names} == set(range(30, 40))
    assert {int(n[5:]) for part in (splits.train, splits.val) for n in part.names} == set(range(30))
    assert splits.classes == voc2012.CLASSES
    for part in (splits.train, splits.val, splits.test):
        shades = torch.tensor([5 * int(name[5:]) for name in part.names])
        assert (part.images[:, 0, 0, 0] - shades).abs().max() <= 3  # each name with its own pixels
        for name, mask in zip(part.names, part.labels, strict=True):
            label = 1 + int(name[5:]) % 5
            assert set(mask.unique().tolist()) == {0, label, IGNORE}
            assert mask[20, 20] == label


def test_the_validation_part_is_drawn_by_the_largest_class() -> None:
    masks = np.zeros((3, 4, 4), np.uint8)
    masks[0, 0, :3], masks[0, 1, :2] = 7, 2  # three pixels against two
    masks[1, 0, 0], masks[1, 1:] = 20, IGNORE
    assert voc2012._largest(masks).tolist() == [7, 20, 0]


def test_foreground_is_one_class(official) -> None:
    splits = data.load("voc2012", size=40, foreground=True)
    assert splits.classes == ("background", "foreground")
    assert splits.train.labels.unique().tolist() == [0, 1, IGNORE]
    whole = data.load("voc2012", size=40)
    assert torch.equal(splits.test.labels == 1, (whole.test.labels > 0) & (whole.test.labels < 255))
    found = data.original_masks("voc2012", splits.test)
    assert found[0].shape == (16, 20)
    assert found[0].unique().tolist() == [0, 1, IGNORE]
    assert data.original_masks("voc2012", whole.test)[0].unique().tolist() == [0, 1, IGNORE]
    assert data.original_masks("voc2012", whole.test)[1].unique().tolist() == [0, 2, IGNORE]


def test_a_mask_without_a_photograph_and_one_the_other_way_round(official) -> None:
    photograph = official / "JPEGImages/2007_000005.jpg"
    kept = photograph.read_bytes()
    photograph.unlink()
    with pytest.raises(ValueError, match=r"2007_000005.jpg is missing, but a list has its mask"):
        data.load("voc2012", size=8)
    photograph.write_bytes(kept)
    (official / "SegmentationClass/2007_000031.png").unlink()
    with pytest.raises(ValueError, match=r"2007_000031.png is missing: an image without a mask"):
        data.load("voc2012", size=8)


def test_bad_masks_are_named(official) -> None:
    path = official / "SegmentationClass/2007_000005.png"
    Image.new("RGB", (20, 16)).save(path)
    with pytest.raises(ValueError, match=r"2007_000005.png \(it is of mode RGB, but.*palette"):
        data.load("voc2012", size=8)
    save(np.full((16, 20), 37, np.uint8), path)
    with pytest.raises(ValueError, match=r"2007_000005.png has the value 37, but.*0 to 20 and 255"):
        data.load("voc2012", size=8)
    save(np.zeros((20, 16), np.uint8), path)
    with pytest.raises(
        ValueError, match="2007_000005: the picture has 20 x 16 pixels, its mask 16 x"
    ):
        data.load("voc2012", size=8)


def test_lists_are_needed(official) -> None:
    listed = official / "ImageSets/Segmentation/val.txt"
    listed.write_text("\n")
    with pytest.raises(ValueError, match=r"val.txt lists no image; arrange it"):
        data.load("voc2012", size=8)
    listed.unlink()
    (official / "ImageSets/Segmentation/train.txt").unlink()
    with pytest.raises(ValueError, match="voc2012 holds VOCdevkit, but not"):
        data.load("voc2012", size=8)


def test_what_was_shrunk_says_so(official) -> None:
    stated = {"kind": "reduced", "note": "longest side 256"}
    (official.parents[1] / "provenance.json").write_text(json.dumps(stated))
    assert vars(data.load("voc2012", size=8).provenance) == stated


def test_the_palette_is_vocs() -> None:
    colours = np.array(voc2012.palette()).reshape(256, 3)
    assert colours[0].tolist() == [0, 0, 0]
    assert colours[1].tolist() == [128, 0, 0]  # aeroplane
    assert colours[15].tolist() == [192, 128, 128]  # person
    assert colours[20].tolist() == [0, 64, 128]  # tvmonitor
    assert colours[255].tolist() == [224, 224, 192]  # the border


def test_the_sample_is_the_official_tree(data_folder) -> None:
    splits = data.load("voc2012", source="sample", size=64)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (135, 15, 60)
    name = splits.train.names[0]
    root = data_folder / "sample" / "voc2012" / ROOT
    with Image.open(root / f"SegmentationClass/{name}.png") as mask:
        assert mask.mode == "P"
        assert mask.getpalette() == voc2012.palette()
        values = np.asarray(mask)
    assert IGNORE in values
    # Every object lies in a border of ignored pixels: no class touches background or another one.
    for shift, axis in ((1, 0), (1, 1)):
        beside = np.roll(values, shift, axis)
        both = (values != IGNORE) & (beside != IGNORE)
        inner = both[1:, 1:] & (values != beside)[1:, 1:]
        assert not inner.any()
    counts = [int((splits.train.labels == k).flatten(1).any(1).sum()) for k in range(1, 21)]
    assert min(counts) > 0  # all classes
    assert sorted(counts)[-4] >= 40 > sorted(counts)[-5]  # four of them common
