"""What runs on the device runs on an Apple GPU, too, and never makes the host wait in a step."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from device_guard import DeviceGuard
from tiny import net, pictures, sgd
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from cvhelpers import augment as layers
from cvhelpers.augment import affine, batches
from cvhelpers.augment.draws import beta
from cvhelpers.masks import IGNORE
from cvhelpers.models import (
    ConvNet,
    LeNet5,
    ResNet18,
    SmallCNN,
    TrafficSignCNN,
    TransferNet,
    template_augmentation,
)
from cvhelpers.training import evaluate, metrics
from cvhelpers.training.loop import train_epoch
from cvhelpers.training.metrics import sum_dtype
from cvhelpers.training.precision import Policy, device_policy
from cvhelpers.visualize import activations_of, occlusion_map, saliency_map

FLOAT32 = Policy(torch.device("cpu"), torch.float32)


@pytest.fixture(autouse=True)
def _as_on_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package decides by the kind of device is decided as for an Apple GPU."""
    assert sum_dtype(torch.device("mps")) == torch.float32
    monkeypatch.setattr(metrics, "sum_dtype", lambda _: torch.float32)
    monkeypatch.setattr(
        layers.OneHot, "_refuse_strangers", lambda *_: None
    )  # it looks on CPUs alone

    def on_the_host(like: Tensor, alpha: float) -> Tensor:
        with _disable_current_modes():
            return beta(like, alpha)

    monkeypatch.setattr(batches, "beta", on_the_host)


def test_what_is_drawn_on_the_host_arrives_on_the_device() -> None:
    assert beta(torch.empty(3, device="meta"), 0.5).device.type == "meta"


AUGMENTATIONS: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "affine": (layers.RandomAffine(20, 0.2, 0.1, flip=True), None),
    "affine with a colour outside": (layers.RandomAffine(20, fill=127.5), None),
    "crop": (layers.RandomCrop(2), None),
    "crop with zeros": (layers.RandomCrop(2, mode="zeros"), None),
    "flip": (layers.HorizontalFlip(), None),
    "cutout": (layers.Cutout(4), None),
    "colours": (layers.ColourJitter(0.2, 0.2, 0.2), None),
    "one-hot": (None, layers.OneHot(3)),
    "mixup": (None, layers.MixUp(3)),
    "cutmix": (None, layers.CutMix(3)),
    "cutmix of another alpha": (None, layers.CutMix(3, alpha=0.5)),
    "mirror classes": (None, layers.FlipClasses([0, 2])),
    "the traffic signs' own": (template_augmentation(), None),
}


def waits_in(steps: int, **options: Any) -> list[str]:
    """What the host waits for in an epoch of so many steps."""
    images, model = pictures(4 * steps, size=32), net()
    parts = list(images.batches(4))
    with DeviceGuard() as guard:
        train_epoch(model, parts, FLOAT32, optimizer=sgd(model, 1e-3), **options)
    return guard.waits


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_training_step_waits_for_nothing_and_needs_nothing_that_mps_lacks(name: str) -> None:
    """An epoch reads its sums once, whatever the number of its steps."""
    augment, mix = AUGMENTATIONS[name]
    images = pictures(8, size=32)
    few = waits_in(2, augment=augment, mix=mix, labels=images.labels)
    many = waits_in(6, augment=augment, mix=mix, labels=images.labels)
    assert sorted(few) == sorted(many)


MODELS: dict[str, tuple[nn.Module, int]] = {
    "SmallCNN": (SmallCNN(3), 32),
    "LeNet5": (LeNet5(3), 64),
    "ResNet18": (ResNet18(3), 64),
    "TrafficSignCNN": (TrafficSignCNN(num_classes=3), 32),
    "ConvNet": (ConvNet(3, augment=True), 32),
    "TransferNet": (TransferNet("mobilenet_v2", 3, pretrained=False), 64),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_and_is_looked_at_without_what_mps_lacks(name: str) -> None:
    model, size = MODELS[name]
    images = pictures(6, size=size)
    with DeviceGuard():
        train_epoch(model, list(images.batches(3)), FLOAT32, optimizer=sgd(model, 1e-4))
        evaluate(model, images)
        saliency_map(model, images.images[0], 0)
        occlusion_map(model, images.images[0], 0, stride=size // 2)


def test_masks_move_without_what_mps_lacks() -> None:
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    masks = images[:, 0] % 2
    with DeviceGuard():
        layers.Augment(layers.RandomAffine(20, flip=True), layers.RandomCrop(2))(images, masks)


@pytest.mark.parametrize("size", [(16, 16), (9, 21), (64, 48)])
def test_a_clamped_grid_with_zeros_outside_is_the_border_mode(size: tuple[int, int]) -> None:
    """torch before 2.13 has no border padding on mps; proved on the CPU, which has both."""
    generator = torch.Generator().manual_seed(0)
    images = 255 * torch.rand(8, 3, *size, generator=generator)
    masks = torch.randint(0, 3, (8, *size), generator=generator, dtype=torch.uint8)
    angle = 360 * torch.rand(8, generator=generator)
    scale = 0.4 + torch.rand(8, generator=generator)
    shift = 20 * torch.rand(8, 2, generator=generator) - 10
    flip = torch.arange(8) % 2 == 0
    moved, moved_masks = affine(images, masks, angle, scale, shift, flip)
    grid = _grid_of(angle, scale, shift, flip, size)
    expected = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(moved, expected, atol=2e-2, rtol=0)
    above = F.grid_sample(masks[:, None].float() + 1, grid, "nearest", "zeros", False)[:, 0]
    nearest = torch.where(above == 0, IGNORE, above - 1).byte()  # outside the picture: ignored
    assert (moved_masks == nearest).float().mean() > 0.999  # but for ties by rounding


def _grid_of(angle: Any, scale: Any, shift: Any, flip: Any, size: tuple[int, int]) -> torch.Tensor:
    """Where each pixel comes from, written out pixel by pixel."""
    height, width = size
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = columns + 0.5 - width / 2, rows + 0.5 - height / 2
    grids = []
    for a, s, (right, down), mirrored in zip(angle, scale, shift, flip, strict=True):
        cos, sin = math.cos(math.radians(a)) / s, math.sin(math.radians(a)) / s
        u, v = x - right, y - down
        across, along = cos * u - sin * v, sin * u + cos * v
        across = -across if mirrored else across
        grids.append(torch.stack([across / (width / 2), along / (height / 2)], -1))
    return torch.stack(grids).float()


def test_the_guard_sees_what_it_is_there_for() -> None:
    images = torch.rand(2, 3, 8, 8)
    grid = torch.zeros(2, 8, 8, 2)
    with DeviceGuard(), pytest.raises(AssertionError, match="padding other than zeros"):
        F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    with DeviceGuard(), pytest.raises(AssertionError, match="float64"):
        images.double()
    with DeviceGuard(), pytest.raises(AssertionError, match=r"_sample_dirichlet|_standard_gamma"):
        torch.distributions.Beta(torch.ones(2), torch.ones(2), validate_args=False).sample()
    with DeviceGuard() as guard:
        images.sum().item()
        images[images > 0.5]
        torch.tensor([1.0, 2.0])
    assert [name.removeprefix("aten::") for name in guard.waits] == [
        "_local_scalar_dense", "index", "lift_fresh",
    ]  # fmt: skip


def test_bfloat16_is_refused_where_the_device_has_none() -> None:
    model = net().to("meta")
    with pytest.raises(ValueError, match=r"bfloat16.*meta.*float32"):
        device_policy(model, pictures().images, precision="bfloat16", steps=1)


def test_activations_are_taken_on_the_device() -> None:
    with DeviceGuard():
        assert activations_of(net(), "3", pictures().images)["3"].shape == (12, 4, 6, 6)
