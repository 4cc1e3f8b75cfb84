import csv
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from cvhelpers import data
from cvhelpers.data import gtsrb


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The sample, drawn once for this file: its folder and its splits."""
    folder = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVHELPERS_DATA_DIR", str(folder))
        splits = data.load("gtsrb", source="sample")
    return folder / "sample" / "gtsrb", splits


def write_csv(path: Path, rows: list[list[object]], columns: tuple[str, ...] = gtsrb.COLUMNS):
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([columns, *rows])


@pytest.fixture
def official(tmp_path, monkeypatch):
    """Ten tracks of two frames a class, placed by hand; colours tell class, track and frame."""
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    folder = tmp_path / "gtsrb"
    for label in range(43):
        place, rows = folder / gtsrb.TRAINING / f"{label:05d}", []
        place.mkdir(parents=True)
        for track in range(10):
            for frame in range(2):
                name = f"{track:05d}_{frame:05d}.ppm"
                Image.new("RGB", (20, 10), (label, track, frame)).save(place / name)
                rows.append([name, 40, 20, 10, 5, 29, 14, label])
        write_csv(place / f"GT-{label:05d}.csv", rows)
    (folder / gtsrb.TEST).mkdir(parents=True)
    rows = []
    for number, label in enumerate((7, 42, 0)):
        image = Image.new("RGB", (20, 10), (label, 200, 200))
        image.paste((255, 0, 0), (5, 2, 15, 7))  # the sign: the region below, at half its size
        image.save(folder / gtsrb.TEST / f"{number:05d}.ppm")
        rows.append([f"{number:05d}.ppm", 40, 20, 10, 4, 29, 13, label])
    write_csv(folder / gtsrb.TEST_LABELS, rows)
    return folder


def tracks(names: tuple[str, ...]) -> set[str]:
    return {name.rsplit("_", 1)[0] for name in names}


def test_the_classes():
    assert len(set(gtsrb.CLASSES)) == 43
    # The template mirrors these classes: they are the ones that look alike in a mirror.
    symmetric = [gtsrb.CLASSES[k] for k in (11, 12, 13, 17, 18, 26, 30, 35)]
    assert symmetric[1:4] == ["priority road", "give way", "no entry"]
    assert symmetric[7] == "ahead only"
    assert (gtsrb.CLASSES[33], gtsrb.CLASSES[40]) == ("turn right ahead", "roundabout")


def test_the_split_is_by_track(official):
    splits = data.load("gtsrb")
    assert (len(splits.train), len(splits.val), len(splits.test)) == (774, 86, 3)
    assert tracks(splits.train.names).isdisjoint(tracks(splits.val.names))
    assert set(splits.val.counts().tolist()) == {2}  # one of ten tracks of each class, whole
    for part in (splits.train, splits.val):
        for name, label, image in zip(part.names, part.labels, part.images, strict=True):
            place, stem = name.split("/")
            track, frame = map(int, stem.split("_"))
            assert int(place) == label
            assert image[:, 0, 0].tolist() == [label, track, frame]


def test_test_images_follow_the_csv(official):
    test = data.load("gtsrb").test
    assert test.labels.tolist() == [7, 42, 0]
    assert test.names == ("00000", "00001", "00002")
    assert test.images[:, 0, 0, 0].tolist() == [7, 42, 0]


def test_crop_takes_the_region_in_the_images_own_pixels(official):
    whole, cropped = data.load("gtsrb").test, data.load("gtsrb", crop=True).test
    assert whole.images.float().mean() != cropped.images.float().mean()
    assert (cropped.images == np.array([255, 0, 0], dtype=np.uint8)[:, None, None]).all()


def test_an_unknown_option_is_refused(official):
    with pytest.raises(ValueError, match=r"gtsrb has no option \['corp'\].*\['crop'\]"):
        data.load("gtsrb", corp=True)


def first_csv(official: Path) -> Path:
    return official / gtsrb.TRAINING / "00000" / "GT-00000.csv"


def test_a_missing_csv_is_named(official):
    first_csv(official).unlink()
    with pytest.raises(ValueError, match=r"GT-00000\.csv is missing; put an intact copy"):
        data.load("gtsrb")


def test_a_missing_column_is_named(official):
    write_csv(first_csv(official), [["00000_00000.ppm", 40]], gtsrb.COLUMNS[:2])
    with pytest.raises(ValueError, match=r"GT-00000\.csv lacks Height, .*ClassId"):
        data.load("gtsrb")


def test_a_csv_without_rows_is_named(official):
    write_csv(official / gtsrb.TEST_LABELS, [])
    with pytest.raises(ValueError, match=r"GT-final_test\.csv .*has no rows"):
        data.load("gtsrb")


def test_an_unknown_class_is_named(official):
    rows = [["00000.ppm", 40, 20, 10, 4, 29, 13, 43]]
    write_csv(official / gtsrb.TEST_LABELS, rows)
    with pytest.raises(ValueError, match=r"Final_Test.*ClassId \[43\] is not in 0\.\.42"):
        data.load("gtsrb")


@pytest.mark.parametrize("content", [b"P6 20 10 255\nshort", b"<html>", None])
def test_a_broken_image_is_named(official, content):
    path = official / gtsrb.TEST / "00001.ppm"
    path.write_bytes(content) if content else path.unlink()
    with pytest.raises(ValueError, match=r"broken image .*00001\.ppm .*cvhelpers data gtsrb"):
        data.load("gtsrb")


def test_the_sample_is_unbalanced_and_small(drawn):
    counts = drawn[1].train.counts() + drawn[1].val.counts()
    assert counts.min() >= 10
    assert counts.max() == 4 * counts.min()
    assert drawn[1].test.counts().tolist() == [6] * 43
    assert drawn[1].provenance.kind == "sample"


def test_frames_of_a_sample_track_are_near_duplicates(drawn):
    train = drawn[1].train
    pixels, near, far = train.images.float(), [], []
    for index, name in enumerate(train.names[:-1]):
        if train.labels[index] == train.labels[index + 1]:
            distance = (pixels[index] - pixels[index + 1]).abs().mean().item()
            same = name.rsplit("_", 1)[0] == train.names[index + 1].rsplit("_", 1)[0]
            (near if same else far).append(distance)
    assert np.median(near) < 0.6 * np.median(far)


def test_torchvision_reads_the_sample_alike(drawn):
    theirs = torchvision.datasets.GTSRB(drawn[0].parent, split="test")
    ours = drawn[1].test
    assert [label for _, label in theirs] == ours.labels.tolist()
    image = np.asarray(theirs[5][0].resize((32, 32), Image.Resampling.BILINEAR))
    assert np.array_equal(image.transpose(2, 0, 1), ours.images[5].numpy())


def test_a_csv_with_a_byte_order_mark_is_read(official):
    before = data.load("gtsrb").fingerprint()
    for path in official.rglob("*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert data.load("gtsrb").fingerprint() == before


def test_a_csv_with_commas_is_named_as_such(official):
    path = official / gtsrb.TEST_LABELS
    path.write_text(path.read_text().replace(";", ","))
    with pytest.raises(ValueError, match=r"GT-final_test.csv is separated by commas, the official"):
        data.load("gtsrb")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Train.csv", "gtsrb holds a re-packaging.*Move it away and run `python -m cvhelpers data"),
        ("GTSRB/Training/00000/GT-00000.csv", "torchvision's split `train`: 26,640 of the 39,209"),
        ("images/1.png", "gtsrb holds images, but not GTSRB/Final_Training.*data/README.md"),
    ],
)
@pytest.mark.parametrize("half", [True, False])
def test_another_packaging_is_named_for_what_it_is(tmp_path, monkeypatch, name, message, half):
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    path = tmp_path / "gtsrb" / name
    path.parent.mkdir(parents=True)
    path.touch()
    if half and name.startswith("GTSRB"):  # torchvision lays the labels of the test set beside it
        (tmp_path / "gtsrb" / gtsrb.TEST_LABELS).touch()
    with pytest.raises(ValueError, match=message):
        data.load("gtsrb")
    assert data.load("gtsrb", source="sample").provenance.kind == "sample"


def test_what_a_file_manager_leaves_is_no_other_packaging(tmp_path, monkeypatch):
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    (tmp_path / "gtsrb").mkdir()
    (tmp_path / "gtsrb" / ".DS_Store").touch()
    assert data.provenance_of("gtsrb").kind == "sample"
