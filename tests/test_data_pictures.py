"""One picture file, as people have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvhelpers.data.folders import read_folders
from cvhelpers.data.pictures import read_picture


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    levels = np.array([[0, 257, 25700, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    pixels = np.asarray(read_picture(tmp_path / "deep.png"))
    assert pixels.shape == (1, 4, 3)
    assert pixels[0, :, 0].tolist() == [0, 1, 100, 255]


def test_more_than_sixteen_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.5]], dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ValueError, match=r"float\.tif \(more than 16 bits a pixel; save it with 8"):
        read_picture(tmp_path / "float.tif")


def test_a_camera_that_was_turned_gives_an_upright_picture(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = image.getexif()
    exif[0x0112] = 6  # the top of the scene is at the right of the stored rows
    image.save(tmp_path / "turned.png", exif=exif)
    upright = read_picture(tmp_path / "turned.png")
    assert upright.size == (2, 4)
    assert upright.getpixel((1, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "LA"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    ending = "tif" if mode == "CMYK" else "png"
    Image.new(mode, (3, 2)).save(tmp_path / f"a.{ending}")
    assert read_picture(tmp_path / f"a.{ending}").mode == "RGB"


def test_hidden_files_are_no_images_and_other_endings_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (5, 5)).save(tmp_path / name / "image_0001.jpg")
        (tmp_path / name / "._image_0001.jpg").write_bytes(b"\x00\x05\x16\x07")  # from macOS
        (tmp_path / name / ".DS_Store").write_bytes(b"Bud1")
        (tmp_path / name / "notes.txt").write_text("no picture")
    for name in ("a.JPG", "b.jpeg", "c.png", "d.png"):
        (tmp_path / "dog" / name).write_bytes(b"")
    images, labels, names = read_folders(tmp_path, ["cat", "dog"], 4, data_set="x")
    assert names.tolist() == ["cat/image_0001", "dog/image_0001"]
    assert (images.shape, labels.tolist()) == ((2, 3, 4, 4), [0, 1])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{tmp_path}: skipped for their ending")
    for count in ("1 .JPG", "1 .jpeg", "2 .png"):
        assert count in line
    (tmp_path / "dog" / "image_0001.jpg").unlink()
    with pytest.raises(ValueError, match=r"dog holds no \.jpg"):
        read_folders(tmp_path, ["cat", "dog"], 4, data_set="x")
