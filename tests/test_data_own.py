"""data.own: a folder of one's own pictures, as cameras and programs leave them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvhelpers.data import load_folder

ROOT = Path(__file__).parents[1]
RED, BLUE = (200, 20, 20), (20, 20, 200)


def paint(path: Path, colour: tuple[int, int, int], mode: str = "RGB", **options: object) -> None:
    """A picture 30 wide and 20 high, its left half in a colour, with a little noise of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.name.encode()))
    pixels = rng.integers(0, 30, (20, 30, 3)).astype(np.uint8)
    pixels[:, :15] += np.array(colour, dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k in range(8):
        paint(tmp_path / "red" / f"{k}.jpg", RED, quality=95)
        paint(tmp_path / "blue" / f"{k}.png", BLUE)
    paint(tmp_path / "red" / "print.jpeg", RED, "CMYK", quality=95)
    paint(tmp_path / "red" / "GREY.JPG", RED, "L")
    paint(tmp_path / "blue" / "palette.gif", BLUE, "P")
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera stood on its side
    paint(tmp_path / "blue" / "phone.jpg", BLUE, quality=95, exif=turned)
    return tmp_path


def test_every_kind_of_file_is_read_and_each_class_split(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "red" / "notes.txt").write_text("no picture")
    (folder / "red" / "._0.jpg").write_text("what macOS leaves")
    splits = load_folder(folder, size=16, held_out=0.2)
    assert "1 files are no pictures" in capsys.readouterr().out
    assert splits.classes == ("blue", "red")
    parts = [splits.train, splits.val, splits.test]
    assert [part.counts().tolist() for part in parts if part] == [[6, 6], [2, 2], [2, 2]]
    names = [name for part in parts if part for name in part.names]
    assert len(set(names)) == 20
    assert splits.provenance.kind == "unverified"
    everything = {
        name: image
        for part in parts
        if part
        for name, image in zip(part.names, part.images, strict=True)
    }
    assert everything["red/0.jpg"].shape == (3, 16, 16)
    left = {name: image[:, 2:14, 2:6].float().mean((1, 2)) for name, image in everything.items()}
    assert left["red/print.jpeg"][0] > 120 > left["red/print.jpeg"][2]  # CMYK is red again
    assert left["red/GREY.JPG"].std() < 1  # three equal channels
    assert left["blue/palette.gif"][2] > 120 > left["blue/palette.gif"][0]
    top = everything["blue/phone.jpg"][2].float()
    assert top[2:6, 2:14].mean() > 120 > top[10:14, 2:14].mean()  # turned upright


def test_the_same_seed_holds_out_the_same(folder: Path) -> None:
    one, same, other = (load_folder(folder, size=8, seed=seed) for seed in (0, 0, 1))
    assert one.val.names == same.val.names
    assert one.val.names != other.val.names


def test_what_cannot_be_used_is_named(folder: Path) -> None:
    paint(folder / "green" / "1.png", (0, 99, 0))
    with pytest.raises(ValueError, match=r"green: 1 pictures; a class needs three"):
        load_folder(folder)
    for k in (2, 3):
        paint(folder / "green" / f"{k}.png", (0, 99, 0))
    (folder / "green" / "4.png").write_bytes((folder / "green" / "3.png").read_bytes())
    with pytest.raises(ValueError, match=r"4\.png shows the same picture as .*3\.png"):
        load_folder(folder)
    (folder / "green" / "4.png").write_bytes(b"\x89PNG, and then nothing")
    with pytest.raises(ValueError, match=r"broken image .*4\.png"):
        load_folder(folder)
    with pytest.raises(ValueError, match="holds 0 folders; give each class one"):
        load_folder(folder / "red")
    with pytest.raises(ValueError, match="there is no such folder"):
        load_folder(folder / "nowhere")
    (folder / "green" / "4.png").unlink()
    with pytest.raises(ValueError, match=r"held_out=0.5 of 10 pictures of 'blue'"):
        load_folder(folder, held_out=0.5)
    small = load_folder(folder, size=8)  # three green ones: one in each part
    assert [part.counts()[1].item() for part in (small.train, small.val, small.test)] == [1, 1, 1]


def test_the_readmes_ten_lines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    (folder / "my_pictures").mkdir()
    for name in ("red", "blue"):
        (folder / name).rename(folder / "my_pictures" / name)
    monkeypatch.chdir(folder)
    scope: dict[str, object] = {}
    exec(code.replace("epochs=20", "epochs=1"), scope)
    assert len(scope["splits"].classes) == 2  # type: ignore[attr-defined]
