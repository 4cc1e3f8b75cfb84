"""Pictures with masks: what is read, what is refused, and with which words."""

import numpy as np
import pytest
from PIL import Image

from cvhelpers.data.pairs import foreground, read_mask, read_pairs
from cvhelpers.masks import IGNORE


def save(array: np.ndarray, path, mode: str | None = None) -> None:
    image = Image.fromarray(array.astype(np.uint8))
    (image if mode is None else image.convert(mode)).save(path)


def test_masks_are_resized_by_nearest_neighbour_alone(tmp_path) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)
    mask = rng.choice(np.array([0, 3, 17, IGNORE], dtype=np.uint8), (90, 70))
    images, masks = read_pairs(["a"], lambda _: picture, lambda _: mask, 32)
    assert images.shape == (1, 3, 32, 32)
    assert masks.shape == (1, 32, 32)
    assert set(np.unique(masks)) == {0, 3, 17, IGNORE}  # and no 1, 10, 128 between them
    rows, columns = ((np.arange(32) + 0.5) * side / 32 for side in (90, 70))
    assert np.array_equal(masks[0], mask[np.ix_(rows.astype(int), columns.astype(int))])


def test_a_marker_stays_where_it_is_when_both_are_resized() -> None:
    picture, mask = np.zeros((120, 200), dtype=np.uint8), np.zeros((120, 200), dtype=np.uint8)
    picture[30:60, 150:190], mask[30:60, 150:190] = 255, 1
    images, masks = read_pairs(["a"], lambda _: picture, lambda _: mask, 64)
    assert images.shape == (1, 1, 64, 64)  # grey stays one channel
    assert (images[0, 0][masks[0] == 1] > 100).all()
    assert (images[0, 0][masks[0] == 0] < 156).all()


def test_a_mask_of_another_size_is_named() -> None:
    with pytest.raises(
        ValueError, match="a: the picture has 70 x 90 pixels, its mask 70 x 80; put"
    ):
        read_pairs(["a"], lambda _: np.zeros((90, 70), np.uint8),
                   lambda _: np.zeros((80, 70), np.uint8), 8)  # fmt: skip


def test_one_bit_grey_and_palette_masks_are_read(tmp_path) -> None:
    mask = np.array([[0, 1], [1, 0]])
    save(255 * mask, tmp_path / "bits.png", "1")
    save(255 * mask, tmp_path / "grey.png")
    image = Image.fromarray(mask.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0] + 254 * [0, 0, 0])
    image.save(tmp_path / "palette.png")
    for name in ("bits", "grey", "palette"):
        found = read_mask(tmp_path / f"{name}.png", (0, 1, 255))
        assert found.dtype == np.uint8
        assert np.array_equal(found > 0, mask == 1)
    assert np.array_equal(read_mask(tmp_path / "palette.png", (0, 1), palette=True), mask)


def test_what_is_no_mask_is_refused(tmp_path) -> None:
    save(np.full((4, 4), 37), tmp_path / "m.png")
    with pytest.raises(ValueError, match=r"m.png has the value 37, but a mask holds \[0, 1, 255\]"):
        read_mask(tmp_path / "m.png", (0, 1, 255))
    with pytest.raises(
        ValueError, match="value 37, but a mask holds 0 to 20 and 255; was it saved"
    ):
        read_mask(tmp_path / "m.png", [*range(21), 255])
    with pytest.raises(ValueError, match=r"broken mask .*m.png \(it is of mode L, but.*palette"):
        read_mask(tmp_path / "m.png", [37], palette=True)
    save(np.zeros((4, 4, 3)), tmp_path / "m.png")
    with pytest.raises(ValueError, match=r"m.png \(it is of mode RGB, but a mask has a palette"):
        read_mask(tmp_path / "m.png", [0], palette=True)
    with pytest.raises(ValueError, match="mode RGB, but a mask has one bit or grey"):
        read_mask(tmp_path / "m.png", [0])
    (tmp_path / "m.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken mask .*m.png \(.*put an intact copy there"):
        read_mask(tmp_path / "m.png", [0])
    with pytest.raises(
        ValueError, match=r"m2.png is missing: an image without a mask; put it back"
    ):
        read_mask(tmp_path / "m2.png", [0])


def test_foreground_is_any_class_and_the_border_stays() -> None:
    mask = np.array([[0, 1, 20, IGNORE]], dtype=np.uint8)
    assert foreground(mask).tolist() == [[0, 1, 1, IGNORE]]
    assert foreground(mask).dtype == np.uint8
