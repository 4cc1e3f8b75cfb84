"""Chest X-rays: both collections, both lungs, patients that stay together, and bad files."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from web_server import serving

from cvhelpers import data
from cvhelpers.data import lungs, xrays
from cvhelpers.data.download import download
from cvhelpers.data.lungs import patient_of

SIDES = ("left", "right")


@pytest.fixture
def montgomery(tmp_path, monkeypatch):
    """Twelve X-rays placed by hand: the left lung is a row, the right one a column."""
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    folder = tmp_path / "lungs" / "MontgomerySet"
    for place in ("CXR_png", "ManualMask/leftMask", "ManualMask/rightMask"):
        (folder / place).mkdir(parents=True)
    for number in range(12):
        name = f"MCUCXR_{number:04d}_{number % 2}.png"
        Image.fromarray(np.full((8, 8), 10 * number, np.uint8)).save(folder / "CXR_png" / name)
        for side in SIDES:
            mask = np.zeros((8, 8), bool)
            mask[(2,) if side == "left" else (slice(None), 5)] = True
            Image.fromarray(mask).save(folder / f"ManualMask/{side}Mask" / name)
    return folder


def load(**options):
    return data.load("lungs", source="auto", size=8, **options)


def test_left_and_right_lung_are_united(montgomery) -> None:
    splits = load()
    parts = (splits.train, splits.val, splits.test)
    assert [len(part) for part in parts] == [9, 1, 2]
    expected = torch.zeros(8, 8, dtype=torch.uint8)
    expected[2], expected[:, 5] = 1, 1
    for part in parts:
        assert part.images.shape[1:] == (1, 8, 8)  # grey
        assert part.classes == ("background", "lung")
        assert (part.labels == expected).all()
        shades = [10 * int(name[7:11]) for name in part.names]
        assert part.images[:, 0, 0, 0].tolist() == shades  # each name with its own pixels
    assert splits.provenance.kind == "unverified"


def test_an_empty_mask_is_read(montgomery) -> None:
    for side, number in (("left", 3), ("right", 4)):
        name = f"MCUCXR_{number:04d}_{number % 2}.png"
        empty = Image.fromarray(np.zeros((8, 8), bool))
        empty.save(montgomery / f"ManualMask/{side}Mask" / name)
    splits = load()
    names = [name for part in (splits.train, splits.val, splits.test) for name in part.names]
    assert len(names) == 12
    one = [name for name in names if name.startswith("MCUCXR_0003")]
    assert lungs.read_lungs(montgomery.parent, one[0]).sum() == 8  # the right one alone


def test_original_masks_keep_their_size(montgomery) -> None:
    splits = data.load("lungs", size=4)
    found = data.original_masks("lungs", splits.test)
    assert [tuple(mask.shape) for mask in found] == [(8, 8)] * 2
    assert all(mask.sum() == 15 for mask in found)
    with pytest.raises(ValueError, match="no X-ray 'MCUCXR_9999_0'"):
        lungs.read_lungs(montgomery.parent, "MCUCXR_9999_0")
    with pytest.raises(ValueError, match="caltech101: masks are read by the images' names"):
        data.original_masks("caltech101", splits.test)


@pytest.mark.parametrize("side", SIDES)
def test_whatever_is_unpaired_is_named(montgomery, side) -> None:
    name = "MCUCXR_0005_1.png"
    mask, film = montgomery / f"ManualMask/{side}Mask" / name, montgomery / "CXR_png" / name
    kept = mask.read_bytes()
    mask.unlink()
    with pytest.raises(ValueError, match=f"{name} has no {side} mask; put it back"):
        load()
    mask.write_bytes(kept)
    film.unlink()
    with pytest.raises(ValueError, match=f"leftMask/{name} has no X-ray; put it back, or the mask"):
        load()


def test_bad_files_are_named(montgomery) -> None:
    name = "MCUCXR_0005_1.png"
    mask = montgomery / "ManualMask/leftMask" / name
    kept = mask.read_bytes()
    Image.fromarray(np.full((8, 8), 37, np.uint8)).save(mask)
    with pytest.raises(ValueError, match=rf"leftMask/{name} has the value 37"):
        load()
    Image.fromarray(np.zeros((8, 9), bool)).save(mask)
    with pytest.raises(
        ValueError, match=r"MCUCXR_0005_1: the left mask is \(8, 9\), the right one"
    ):
        load()
    mask.write_bytes(kept)
    Image.fromarray(np.zeros((16, 8), np.uint8)).save(montgomery / "CXR_png" / name)
    with pytest.raises(
        ValueError, match="MCUCXR_0005_1: the picture has 8 x 16 pixels, its mask 8"
    ):
        load()
    (montgomery / "CXR_png" / name).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=rf"broken image .*CXR_png/{name}"):
        load()


def test_hidden_files_are_no_xrays(montgomery) -> None:
    (montgomery / "CXR_png" / "._MCUCXR_0001_1.png").write_bytes(b"as macOS leaves them")
    assert len(load().train) == 9


# Patients


def test_a_patient_is_in_one_part_alone() -> None:
    splits = data.load("lungs", source="sample", size=16)
    parts = [{patient_of(n) for n in p.names} for p in (splits.train, splits.val, splits.test)]
    assert sum(map(len, parts)) == 64 == len(set.union(*parts))
    assert sum(len(p) for p in (splits.train, splits.val, splits.test)) == 70  # six came twice


@pytest.mark.parametrize("count", [3, 8])
def test_folds_keep_patients_together_and_test_every_image_once(count) -> None:
    splits = data.load("lungs", source="sample", size=16)
    tested: list[str] = []
    for number in range(count):
        fold = splits.fold(number, count, group=patient_of)
        parts = [{patient_of(n) for n in p.names} for p in (fold.train, fold.val, fold.test)]
        assert sum(map(len, parts)) == 64 == len(set.union(*parts))
        assert abs(len(parts[2]) - 64 / count) < 1
        tested += fold.test.names
        after = splits.fold((number + 1) % count, count, group=patient_of)
        assert fold.val.names == after.test.names  # the next fold validates
        shown = fold.test.images[0]
        whole = {n: i for p in (splits.train, splits.val, splits.test)
                 for n, i in zip(p.names, p.images, strict=True)}  # fmt: skip
        assert torch.equal(shown, whole[fold.test.names[0]])
    assert len(tested) == 70 == len(set(tested))


def test_impossible_folds_are_refused() -> None:
    splits = data.load("lungs", source="sample", size=16)
    for number, count in ((0, 2), (3, 3), (-1, 3), (0, 65)):
        with pytest.raises(ValueError, match=f"fold {number} of {count}, with 64 groups"):
            splits.fold(number, count, group=patient_of)


# The sample


def test_the_sample_is_the_official_layout(data_folder) -> None:
    splits = data.load("lungs", source="sample", size=64)
    folder = data_folder / "sample" / "lungs" / "MontgomerySet"
    assert sorted(p.name for p in folder.iterdir()) == ["CXR_png", "ManualMask"]
    assert splits.provenance.kind == "sample"
    area = (splits.train.labels == 1).float().mean().item()
    assert 0.1 < area < 0.35
    dark = splits.train.images[:, 0].float()
    inside, outside = dark[splits.train.labels == 1].mean(), dark[splits.train.labels == 0].mean()
    assert inside < outside  # air is dark
    for name, side in zip(("MCUCXR_0017_0", "MCUCXR_0042_0"), SIDES, strict=True):
        with Image.open(folder / f"ManualMask/{side}Mask/{name}.png") as mask:
            assert not np.asarray(mask).any()


def test_a_lung_that_cannot_be_seen_has_no_mask() -> None:
    films = [xrays.draw(np.random.default_rng(0), body=np.random.default_rng(1), lacking=lacking)
             for lacking in ("", "left")]  # fmt: skip
    assert films[0].left.any()
    assert not films[1].left.any()
    assert np.array_equal(films[0].right, films[1].right)
    there = films[0].left
    assert films[1].picture[there].mean() > films[0].picture[there].mean() + 30


# JSRT


@pytest.fixture
def jsrt(tmp_path, monkeypatch):
    """One film of 2048 x 2048 with twelve bits, dark above and bright below, and its masks."""
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path))
    folder = tmp_path / "lungs" / "JSRT"
    (folder / "All247images").mkdir(parents=True)
    film = np.zeros((2048, 2048), dtype=">u2")
    film[:1024] = 4095  # high values are dark
    for number in range(6):
        film.tofile(folder / "All247images" / f"JPCLN{number:03d}.IMG")
        for side in SIDES:
            place = folder / f"scratch/fold{1 + number % 2}/masks/{side} lung"
            place.mkdir(parents=True, exist_ok=True)
            mask = np.zeros((1024, 1024), np.uint8)
            mask[100:200, 0 : 512 if side == "right" else 100] = 255
            Image.fromarray(mask).save(place / f"JPCLN{number:03d}.gif")
    return folder


def test_jsrt_placed_by_hand(jsrt) -> None:
    splits = data.load("lungs", source="auto", size=16, collection="jsrt")
    assert (len(splits.train), len(splits.val), len(splits.test)) == (4, 1, 1)
    shown = splits.train.images[0, 0]
    assert shown[:7].max() == 0
    assert shown[9:].min() == 255
    assert data.original_masks("lungs", splits.test)[0].shape == (1024, 1024)
    alone = data.load("lungs", source="auto", size=16)  # all that lie there
    assert len(alone.train) == 4
    with pytest.raises(
        ValueError, match="MontgomerySet holds no X-rays; arrange it as data/README"
    ):
        data.load("lungs", source="auto", size=16, collection="montgomery")
    with pytest.raises(ValueError, match="collection='shenzhen' is unknown; choose one of: mont"):
        data.load("lungs", source="auto", size=16, collection="shenzhen")


def test_a_cut_off_film_is_named(jsrt) -> None:
    (jsrt / "All247images" / "JPCLN002.IMG").write_bytes(b"12" * 50)
    with pytest.raises(ValueError, match=r"broken image .*JPCLN002.IMG \(50 values, not 2048²\)"):
        data.load("lungs", source="auto", size=16)


# The download


def test_an_archive_without_a_published_checksum_is_unverified(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path / "made"))
    data.load("lungs", source="sample", size=8)
    buffer = io.BytesIO()
    source = tmp_path / "made" / "sample" / "lungs"
    with zipfile.ZipFile(buffer, "w") as pack:
        for file in sorted(source.rglob("*.png")):
            pack.write(file, f"MontgomeryCXR/{file.relative_to(source)}")
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "*")
    with serving(tmp_path / "web") as server:
        (server.web / "set.zip").write_bytes(buffer.getvalue())
        entry = replace(lungs.LUNGS, archives=(((f"{server.url}/set.zip", ""),),))
        folder = download(entry)
    assert (folder / "MontgomerySet" / "CXR_png" / "MCUCXR_0001_0.png").exists()
    splits = data.load("lungs", source="real", size=8)
    assert splits.provenance.kind == "unverified"
    assert "for which no checksum is published" in splits.provenance.note
