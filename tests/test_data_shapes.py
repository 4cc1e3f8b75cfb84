import numpy as np
import pytest

from cvhelpers.data import shapes


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 32), (90, 140), (141, 97)])
def test_a_picture_and_its_mask(height, width):
    image, mask = shapes.draw(rng(0), 3, height=height, width=width)
    assert image.shape == (height, width, 3)
    assert mask.shape == (height, width)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert image.std() > 10


def test_the_same_seed_draws_the_same_picture():
    first, second = (shapes.draw(rng(5), 1, height=40, width=50) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], shapes.draw(rng(6), 1, height=40, width=50)[0])


@pytest.mark.parametrize("seed", range(8))
def test_a_disc_covers_its_area(seed):
    # Turning, stretching and slanting keep areas: pi r^2, whatever the pose.
    image = np.zeros((200, 200, 3), dtype=np.float32)
    mask = shapes.place(rng(seed), image, 0, centre=np.array([100.0, 100.0]), radius=40)
    assert mask.sum() == pytest.approx(np.pi * 40**2, rel=0.02)
    rows, columns = mask.nonzero()
    assert rows.mean() == pytest.approx(100, abs=0.6)
    assert columns.mean() == pytest.approx(100, abs=0.6)


def test_the_object_is_painted_where_the_mask_is():
    before = np.full((80, 80, 3), 300, dtype=np.float32)  # a value no colour has
    image = before.copy()
    mask = shapes.place(rng(1), image, 12, centre=np.array([30.0, 50.0]), radius=20)
    changed = (image != before).any(axis=2)
    assert changed[mask == 1].all()
    # outside, only the softened border: less than a pixel wide
    assert (changed & (mask == 0)).sum() < 0.3 * mask.sum()
    assert (image[mask == 1] <= 300).all()


@pytest.mark.parametrize("centre", [(0, 0), (0, 59), (59, 30), (59.9, 59.9)])
def test_an_object_at_the_border_is_cut_off(centre):
    image = np.zeros((60, 60, 3), dtype=np.float32)
    mask = shapes.place(rng(2), image, 0, centre=np.array(centre), radius=15)
    assert 0 < mask.sum() < np.pi * 15**2


def test_every_shape_lies_in_the_window_and_differs():
    v, u = np.mgrid[-2:2:81j, -2:2:81j]
    inside = {shape: shapes.outline(shape, u, v) < 1 for shape in shapes.SHAPES}
    for cover in inside.values():
        assert cover.sum() > 100
        assert np.hypot(u, v)[cover].max() < 1.5
    assert len({cover.tobytes() for cover in inside.values()}) == len(shapes.SHAPES) == 8


def test_every_texture_is_a_share_and_differs():
    v, u = np.mgrid[-1:1:41j, -1:1:41j]
    shares = [shapes.pattern(texture, u, v) for texture in shapes.TEXTURES]
    for texture, share in zip(shapes.TEXTURES, shares, strict=True):
        assert share.shape == u.shape
        assert share.min() >= 0
        assert share.max() == 1
        assert (share.min() == 0) == (texture != "plain")
    assert len({share.tobytes() for share in shares}) == len(shapes.TEXTURES) == 5


def test_classes_beyond_forty_differ_in_hue():
    def mean_colour(kind: int) -> np.ndarray:
        colours = []
        for seed in range(20):
            image, mask = shapes.draw(rng(seed), kind, height=32, width=32, clutter=0)
            colours.append(image[mask == 1].mean(axis=0))
        return np.mean(colours, axis=0)

    assert np.abs(mean_colour(0) - mean_colour(40)).max() > 30
    assert np.abs(mean_colour(0) - mean_colour(80)).max() > 30
