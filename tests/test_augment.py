"""Augmentation: hand-computed moves, masks that follow, one draw per sample, nothing in eval."""

import pytest
import torch
from torch import Tensor

from cvhelpers.augment import (
    Augment,
    ColourJitter,
    CutMix,
    Cutout,
    FlipClasses,
    HorizontalFlip,
    MixUp,
    OneHot,
    RandomAffine,
    RandomCrop,
    affine,
)
from cvhelpers.masks import IGNORE

LAYERS = [
    RandomAffine(degrees=30, zoom=0.3, translate=0.2, flip=True),
    RandomAffine(degrees=30, zoom=0.3, translate=0.2, fill=200),
    HorizontalFlip(),
    RandomCrop(4),
    RandomCrop(2, mode="zeros"),
    Cutout(6),
    ColourJitter(0.8, 0.5, 0.5),
    Augment(RandomCrop(2), ColourJitter(0.3)),
]
GEOMETRIC = [
    RandomAffine(degrees=30, zoom=0.3, translate=0.2, flip=True),
    RandomAffine(degrees=180, zoom=0.5, fill=0),
    HorizontalFlip(),
    RandomCrop(4),
    RandomCrop(2, mode="zeros"),
]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def picture(count: int = 1, channels: int = 3, height: int = 12, width: int = 16) -> Tensor:
    """`count` times the same random image, uint8."""
    one = torch.randint(0, 256, (1, channels, height, width), dtype=torch.uint8)
    return one.repeat(count, 1, 1, 1)


def move(
    image: list[list[int]], *, angle: float = 0, right: float = 0, down: float = 0,
    flip: bool = False, fill: float | str = 0,
) -> list[list[float]]:  # fmt: skip
    batch = torch.tensor(image, dtype=torch.float32)[None, None]
    moved, mask = affine(
        batch, batch[:, 0].byte(), angle=torch.tensor([float(angle)]),
        scale=torch.ones(1), shift=torch.tensor([[float(right), float(down)]]),
        flip=torch.tensor([flip]), fill=fill,
    )  # fmt: skip
    assert mask is not None
    known = mask != IGNORE  # what came from inside the picture is exactly its image
    assert torch.equal(moved[:, 0].round()[known], mask[known].float())
    assert known.all() or right or down or angle
    return moved[0, 0].round(decimals=3).tolist()


def test_affine_by_hand() -> None:
    image = [[1, 2, 3], [4, 5, 6]]
    assert move(image) == image
    assert move(image, flip=True) == [[3, 2, 1], [6, 5, 4]]
    assert move(image, right=1) == [[0, 1, 2], [0, 4, 5]]
    assert move(image, down=1) == [[0, 0, 0], [1, 2, 3]]
    assert move(image, right=-1, fill="border") == [[2, 3, 3], [5, 6, 6]]
    assert move(image, right=1, fill=9) == [[9, 1, 2], [9, 4, 5]]
    assert move(image, flip=True, right=1) == [[0, 3, 2], [0, 6, 5]]  # flip first, then shift


def test_rotation_by_hand() -> None:
    square = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert move(square, angle=90) == [[3, 6, 9], [2, 5, 8], [1, 4, 7]]  # anticlockwise
    assert move(square, angle=180) == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]
    assert move(square, angle=90, flip=True) == [[1, 4, 7], [2, 5, 8], [3, 6, 9]]
    # Not square: still a quarter turn about the centre, the ends fall outside.
    wide = [[0, 1, 2, 3, 0, 0], [0, 4, 5, 6, 7, 0], [0, 8, 9, 1, 2, 0], [0, 0, 3, 4, 5, 0]]
    assert [row[1:5] for row in move(wide, angle=90)] == torch.tensor(wide)[:, 1:5].rot90().tolist()


def test_zoom_by_hand() -> None:
    image = [[1, 1, 1, 1, 1, 1], [1, 8, 8, 1, 1, 1]] * 3
    batch = torch.tensor(image, dtype=torch.float32)[None, None]
    ones = torch.ones(1)
    zoomed, _ = affine(batch, None, 0 * ones, 3 * ones, torch.zeros(1, 2), ones.bool())
    # Three times larger: centre pixel of each 3x3 block is the pixel that was there (mirrored).
    assert torch.equal(zoomed[0, 0, 1::3, 1::3], batch[0, 0, 2:4, 2:4].flip(-1))


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_every_layer_keeps_shape_and_range(layer: torch.nn.Module) -> None:
    images = picture(16)
    before = images.clone()
    layer.train()
    for batch in (images, images.float()):
        new = layer(batch)
        assert new.dtype == torch.float32
        assert new.shape == images.shape
        assert new.min() >= 0
        assert new.max() <= 255
        assert not torch.equal(new, images.float())
        assert torch.equal(batch.byte(), before)  # the input is left alone


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("fill", ["border", 0, 255])
def test_rounding_never_leaves_the_range(value: int, fill: float | str) -> None:
    new = RandomAffine(30, 0.3, 0.2, fill=fill)(torch.full((64, 1, 12, 16), float(value)))
    assert new.min() >= 0
    assert new.max() <= 255


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_samples_of_a_batch_get_their_own_draw(layer: torch.nn.Module) -> None:
    new = layer.train()(picture(16))
    assert len(new.flatten(1).unique(dim=0)) > (1 if isinstance(layer, HorizontalFlip) else 10)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_nothing_happens_in_eval_mode(layer: torch.nn.Module) -> None:
    images, masks = picture(4), picture(4)[:, 0]
    state = torch.get_rng_state()
    assert layer.eval()(images) is images
    assert layer(images, masks) == (images, masks)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_a_seed_repeats_a_layer(layer: torch.nn.Module) -> None:
    images = picture(8)
    layer.train()
    torch.manual_seed(5)
    first = layer(images)
    torch.manual_seed(5)
    assert torch.equal(layer(images), first)


@pytest.mark.parametrize("layer", [*LAYERS, OneHot(4)], ids=repr)
def test_every_device_runs_the_same_code(layer: torch.nn.Module) -> None:
    # The device "meta" computes shapes without values: a copy to the CPU, a look at a value, or a
    # tensor made on the wrong device, which would stall or break a GPU, fails there.
    images = picture(8).to("meta")
    if isinstance(layer, OneHot):
        new, targets = layer.train()(images, torch.zeros(8, dtype=torch.int64, device="meta"))
        assert targets.shape == (8, 4)
        assert targets.device.type == "meta"
    else:
        new = layer.train()(images)
    assert new.shape == images.shape
    assert new.device.type == "meta"


@pytest.mark.parametrize("mix", [MixUp(4), CutMix(4)], ids=repr)
def test_every_device_mixes_by_the_same_code(mix: MixUp) -> None:
    images = picture(8).to("meta").float()
    # The shares are given: torch has no Beta numbers without values.
    new, kept = mix.mix(images, images, torch.rand(8, device="meta"))
    assert new.shape == images.shape
    assert kept.shape == (8,)
    assert new.device.type == kept.device.type == "meta"


@pytest.mark.parametrize("layer", GEOMETRIC, ids=repr)
def test_a_mask_moves_as_its_image(layer: torch.nn.Module) -> None:
    blocks = torch.randint(0, 2, (32, 1, 3, 4)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    masks = (blocks[:, 0] * 200).byte()
    images, moved = layer.train()(masks[:, None], masks)
    assert moved.dtype == torch.uint8
    # nearest: no class is invented; what comes in from outside the picture is ignored
    assert set(moved.unique().tolist()) <= {0, 200, IGNORE}
    # Where bilinear sees one value only (inside the blocks), nearest must see the same.
    sure = ((images[:, 0] == 200) | (images[:, 0] == 0)) & (moved != IGNORE)
    assert sure.float().mean() > 0.35
    assert torch.equal(images[:, 0][sure], moved[sure].float())


@pytest.mark.parametrize("layer", GEOMETRIC, ids=repr)
def test_a_drawn_marker_lands_on_the_same_pixel(layer: torch.nn.Module) -> None:
    """Image and mask carry one square each, at the same place: their centres move alike."""
    images, masks = torch.zeros(64, 1, 41, 61), torch.zeros(64, 41, 61, dtype=torch.uint8)
    images[:, :, 15:26, 25:36], masks[:, 15:26, 25:36] = 255, 7
    moved, shown = layer.train()(images, masks)
    v, u = torch.meshgrid(torch.arange(41.0), torch.arange(61.0), indexing="ij")
    for light, mask in zip(moved[:, 0] / 255, (shown == 7).float(), strict=True):
        assert mask.sum() > 20
        for place in (u, v):
            centres = [(weight * place).sum() / weight.sum() for weight in (light, mask)]
            assert abs(centres[0] - centres[1]) < 0.5


@pytest.mark.parametrize("fill", ["border", 0])
def test_what_comes_in_from_outside_is_ignored_whatever_fills_the_image(fill: object) -> None:
    masks = torch.ones(1, 6, 8, dtype=torch.uint8)
    angle, one = torch.zeros(1), torch.ones(1)
    shift, flip = torch.tensor([[2.0, -1.0]]), torch.tensor([False])
    _, moved = affine(masks[:, None].float(), masks, angle, one, shift, flip, fill)
    expected = torch.ones(6, 8, dtype=torch.uint8)
    expected[:, :2], expected[5:] = IGNORE, IGNORE  # two columns from the left, a row from below
    assert torch.equal(moved[0], expected)


def test_colour_leaves_masks_alone() -> None:
    images, masks = picture(4), picture(4)[:, 0]
    assert Augment(ColourJitter(0.5), Cutout(4))(images, masks)[1] is masks


def test_affine_strengths_are_what_they_say() -> None:
    # A bright dot off the centre tells angle and distance of the move.
    images = torch.zeros(400, 1, 61, 81)
    images[:, :, 30, 60] = 255  # 20 pixels to the right of the centre
    rows, columns = torch.meshgrid(torch.arange(61.0) - 30, torch.arange(81.0) - 40, indexing="ij")

    def where(layer: RandomAffine) -> tuple[Tensor, Tensor]:
        new = layer(images)[:, 0]
        total = new.sum((1, 2))
        return (new * columns).sum((1, 2)) / total, (new * rows).sum((1, 2)) / total

    x, y = where(RandomAffine(degrees=90, fill=0))
    angle = torch.rad2deg(torch.atan2(-y, x))
    assert angle.min() < -80
    assert 80 < angle.max() <= 91
    assert torch.allclose(torch.hypot(x, y), torch.tensor(20.0), atol=0.6)  # round, not an ellipse
    x, y = where(RandomAffine(zoom=0.2, fill=0))
    assert 15.5 < x.min() < 17
    assert 23 < x.max() < 24.5
    x, y = where(RandomAffine(translate=0.1, fill=0))
    assert 7 < (x - 20).abs().max() <= 8.1  # a tenth of 81
    assert 5 < y.abs().max() <= 6.1  # a tenth of 61
    x, y = where(RandomAffine(flip=True, fill=0))
    assert 0.4 < (x < 0).float().mean() < 0.6


@pytest.mark.parametrize("mode", ["reflect", "zeros"])
@pytest.mark.parametrize("size", [None, 5])
def test_random_crop_equals_a_naive_loop(mode: str, size: int | None) -> None:
    images = torch.stack([picture(1)[0] for _ in range(6)])
    torch.manual_seed(3)
    new, masks = RandomCrop(3, size, mode)(images, images[:, 0].contiguous())

    height, width = (size or 12), (size or 16)
    torch.manual_seed(3)  # the same offsets
    top = torch.randint(12 + 6 - height + 1, (6,))
    left = torch.randint(16 + 6 - width + 1, (6,))
    pad = "constant" if mode == "zeros" else "reflect"
    where = torch.nn.functional.pad(images[:, 0], (3, 3, 3, 3), value=IGNORE)
    for i in range(6):
        padded = torch.nn.functional.pad(images[i : i + 1].float(), (3, 3, 3, 3), mode=pad)[0]
        naive = padded[:, top[i] : top[i] + height, left[i] : left[i] + width]
        assert torch.equal(new[i], naive)
        window = where[i, top[i] : top[i] + height, left[i] : left[i] + width]
        assert torch.equal(masks[i], window)


def test_cutout_covers_a_square() -> None:
    new = Cutout(4, fill=7)(torch.zeros(200, 2, 20, 20))
    covered = (new[:, 0] == 7).sum((1, 2))
    assert covered.max() == 16  # whole squares
    assert covered.min() < 16  # and some that stick out of the image
    assert torch.equal(new[:, 0], new[:, 1])


def test_colour_jitter_by_hand() -> None:
    def factors(layer: ColourJitter, images: Tensor) -> Tensor:
        return layer(images)[:, 0, 0, 0] / images[:, 0, 0, 0]

    grey = torch.full((500, 3, 2, 2), 100.0)
    seen = factors(ColourJitter(brightness=0.4), grey)
    assert 0.6 <= seen.min() < 0.63
    assert 1.37 < seen.max() <= 1.4
    assert torch.allclose(ColourJitter(contrast=0.9, saturation=0.9)(grey), grey)  # grey stays grey
    # Contrast keeps an image's mean, saturation keeps each pixel's.
    images = torch.randint(100, 150, (8, 3, 4, 4)).float()
    new = ColourJitter(contrast=0.9)(images)
    assert torch.allclose(new.mean((1, 2, 3)), images.mean((1, 2, 3)))
    assert not torch.allclose(new, images, atol=1)
    new = ColourJitter(saturation=0.9)(images)
    assert torch.allclose(new.mean(1), images.mean(1))
    assert not torch.allclose(new, images, atol=1)
    assert ColourJitter(brightness=9)(images).max() == 255


def test_flip_classes_mirrors_them_alone() -> None:
    images, labels = picture(60), torch.arange(60) % 3
    new, targets = FlipClasses({0, 2})(images, labels)
    assert targets is labels
    mirrored = (new == images.flip(-1)).flatten(1).all(dim=1)
    same = (new == images).flatten(1).all(dim=1)
    assert (mirrored ^ same).all()
    assert not mirrored[labels == 1].any()
    for label in (0, 2):  # half of 20: outside 2..18 once in 50,000
        assert 2 <= mirrored[labels == label].sum() <= 18
    assert FlipClasses([0, 1, 2]).eval()(images, labels)[0] is images


def test_one_hot() -> None:
    images, targets = OneHot(3).eval()(picture(2), torch.tensor([2, 0]))
    assert targets.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert targets.dtype == torch.float32
    assert images.dtype == torch.uint8
    soft = torch.tensor([[0.5, 0.5, 0.0]])
    assert torch.equal(OneHot(3)(images, soft)[1], soft)


def test_mixup_mixes_images_and_targets_alike() -> None:
    labels = torch.arange(8)
    images = (labels * 30).byte()[:, None, None, None].expand(8, 3, 4, 4)
    new, targets = MixUp(8, alpha=1.0)(images, labels)
    assert torch.allclose(targets.sum(1), torch.ones(8))
    # Each image's value is its label times 30, so the soft label must give the same blend.
    assert torch.allclose(new, (targets @ (labels * 30.0))[:, None, None, None].expand_as(new))
    assert len(targets.max(dim=1).values.unique()) > 4  # a share per sample
    once_more = MixUp(8)(new, targets)[1]  # soft targets can be mixed again
    assert torch.allclose(once_more.sum(1), torch.ones(8))


def test_cutmix_label_share_is_the_pasted_area() -> None:
    labels = torch.arange(32)
    images = labels.byte()[:, None, None, None].expand(32, 3, 8, 16)
    new, targets = CutMix(32)(images, labels)
    for i in range(32):
        for k in new[i].unique().int().tolist():
            pasted = int((new[i, 0] == k).sum())
            assert targets[i, k] == pasted / (8 * 16)  # exactly
    assert torch.allclose(targets.sum(1), torch.ones(32))
    assert len(targets.diagonal().unique()) > 10


@pytest.mark.parametrize("mix", [MixUp(5), CutMix(5)], ids=repr)
def test_mixing_rests_in_eval_mode(mix: MixUp) -> None:
    images, labels = picture(4), torch.tensor([0, 1, 2, 4])
    new, targets = mix.eval()(images, labels)
    assert new is images
    assert torch.equal(targets.argmax(1), labels)


def test_settings_are_shown() -> None:
    assert repr(RandomCrop(4)) == "RandomCrop(padding=4, size=None, mode='reflect')"
    assert "alpha=0.3" in repr(MixUp(5, 0.3))


def test_bad_settings_are_quoted() -> None:
    for make, message in [
        (lambda: RandomAffine(degrees=-3), "degrees=-3 is out of range; choose 0 to 180"),
        (lambda: RandomAffine(zoom=1.5), "zoom=1.5"),
        (lambda: RandomAffine(translate=float("nan")), "translate=nan"),
        (lambda: RandomAffine(fill="mirror"), "fill='mirror'"),
        (lambda: RandomAffine(fill=300), "fill=300"),
        (lambda: HorizontalFlip(2), "p=2"),
        (lambda: RandomCrop(-1), "padding=-1"),
        (lambda: RandomCrop(0, 0), "size=0"),
        (lambda: RandomCrop(2, mode="edge"), "mode='edge'"),
        (lambda: Cutout(0), "size=0"),
        (lambda: ColourJitter(brightness=-1), "brightness=-1"),
        (lambda: MixUp(5, alpha=0), "alpha=0"),
        (lambda: OneHot(1), "classes=1"),
    ]:
        with pytest.raises(ValueError, match=message.replace(".", r"\.")):
            make()


def test_bad_batches_are_quoted() -> None:
    with pytest.raises(ValueError, match=r"\(3, 12, 16\); pass image\[None\]"):
        HorizontalFlip()(picture()[0])
    with pytest.raises(ValueError, match=r"uint8 \(2, 12, 16\), got torch.float32 \(2, 12, 16\)"):
        HorizontalFlip()(picture(2), picture(2)[:, 0].float())
    with pytest.raises(ValueError, match=r"got torch.uint8 \(2, 12, 15\)"):
        HorizontalFlip()(picture(2), picture(2)[:, 0, :, 1:])
    with pytest.raises(ValueError, match="size=20 does not fit"):
        RandomCrop(1, 20)(picture())
    with pytest.raises(ValueError, match="label=7 is out of range; choose 0 to 4"):
        OneHot(5)(picture(2), torch.tensor([0, 7]))
    with pytest.raises(ValueError, match=r"soft \(B, 5\), got torch.float32 \(2, 4\)"):
        MixUp(5)(picture(2), torch.ones(2, 4))
