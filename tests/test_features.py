"""Features computed once: the same training as through the backbone, and a cache never stale."""

import copy
import math
from pathlib import Path

import pytest
import torch
from tiny import pictures
from torch import Tensor, nn

from cvhelpers.data.images import Images
from cvhelpers.data.store import Provenance
from cvhelpers.fingerprint import fingerprint_of
from cvhelpers.models import Normalize
from cvhelpers.training import FeatureBatches, evaluate, fit, frozen_features, predict


class Net(nn.Module):
    """A backbone with everything that training could move, and a head."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.passes = 0
        self.normalize = Normalize()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.backbone[1].running_mean += 0.1
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(6, 3))
        self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> "Net":
        super().train(mode)
        self.backbone.eval()
        return self

    def features(self, images: Tensor) -> Tensor:
        self.passes += len(images)
        return self.backbone(self.normalize(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def adam(model: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=0.05)


# Batches


def test_batches_by_hand() -> None:
    features, labels = torch.arange(10.0).view(5, 2), torch.tensor([0, 1, 2, 0, 1])
    data = FeatureBatches(features, labels, batch_size=2)
    assert len(data) == 3
    for _ in range(2):  # it can be gone through again
        parts = list(data)
        assert [part[1].tolist() for part in parts] == [[0, 1], [2, 0], [1]]
        assert parts[1][0].tolist() == [[4, 5], [6, 7]]
    assert len(FeatureBatches(features, labels, batch_size=5)) == 1


def test_shuffling_draws_a_new_order_and_keeps_pairs_together() -> None:
    numbers = torch.arange(50)
    data = FeatureBatches(numbers.float().view(50, 1), numbers, batch_size=7, shuffle=True)
    orders = []
    for _ in range(2):
        parts = list(data)
        assert len(parts) == len(data) == 8
        assert all(torch.equal(features.flatten(), labels.float()) for features, labels in parts)
        orders.append(torch.cat([labels for _, labels in parts]).tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50))
    assert orders[0] != orders[1] != list(range(50))
    torch.manual_seed(3)
    first = next(iter(data))[1]
    torch.manual_seed(3)
    assert torch.equal(first, torch.randperm(50)[:7])


@pytest.mark.parametrize(
    ("shapes", "size", "message"),
    [
        (((5, 2), (4,)), 2, r"features are \(5, 2\), labels \(4,\); give \(N, F\) and \(N,\)"),
        (((5, 2, 1), (5,)), 2, r"features are \(5, 2, 1\)"),
        (((5, 2), (5,)), 0, "batch_size must be at least 1, got 0"),
    ],
    ids=["lengths", "maps", "empty batches"],
)
def test_batches_that_cannot_be(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], size: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureBatches(torch.zeros(shapes[0]), torch.zeros(shapes[1]), batch_size=size)


def test_the_fingerprint_covers_all_that_training_depends_on() -> None:
    features, labels = torch.rand(4, 2), torch.arange(4)
    variants = [
        FeatureBatches(features, labels),
        FeatureBatches(features + 1, labels),
        FeatureBatches(features, labels + 1),
        FeatureBatches(features, labels, batch_size=2),
        FeatureBatches(features, labels, shuffle=True),
    ]
    prints = [one.fingerprint() for one in variants]
    assert len(set(prints)) == 5
    assert FeatureBatches(features.clone(), labels.clone()).fingerprint() == prints[0]
    assert fingerprint_of(data=variants[0]) != fingerprint_of(data=variants[1])  # for trials


# Features


def test_features_are_the_backbones_in_order() -> None:
    model, images = Net().train(), pictures(10)
    state, before = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    data = frozen_features(model, images, batch_size=4)
    with torch.no_grad():
        expected = model.backbone.eval()(model.normalize(images.images))
    torch.testing.assert_close(data.features, expected)
    assert data.features.dtype == torch.float32
    assert torch.equal(data.labels, images.labels)
    assert (data.batch_size, data.shuffle) == (4, False)
    assert not data.features.requires_grad
    assert not data.features.is_inference()  # autograd may save it
    assert [m.training for m in model.modules()] == before
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_backbone_in_training_mode_is_evaluated_all_the_same() -> None:
    model, images = Net(), pictures(10)
    expected = frozen_features(model.eval(), images).features
    nn.Module.train(model)
    nn.Module.train(model.backbone)
    mean = model.backbone[1].running_mean.clone()
    assert torch.equal(frozen_features(model, images).features, expected)
    assert torch.equal(model.backbone[1].running_mean, mean)
    assert model.backbone.training


@pytest.mark.parametrize("batch_size", [4, 12])
def test_training_on_features_is_training_through_the_backbone(batch_size: int) -> None:
    train, val = pictures(12), pictures(7, seed=1)
    model = Net()
    twin = copy.deepcopy(model)
    settings = {"epochs": 3, "precision": "float32", "batch_size": batch_size}
    inputs = frozen_features(model, train, batch_size=batch_size, shuffle=True)
    outputs = frozen_features(model, val)
    torch.manual_seed(0)
    history = fit(model.head, inputs, outputs, optimizer=adam(model.head), **settings)
    torch.manual_seed(0)
    expected = fit(twin, train, val, optimizer=adam(twin.head), **settings)
    for row, other in zip(history.rows, expected.rows, strict=True):
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
            assert row[name] == pytest.approx(other[name], rel=1e-4)
    assert history.rows[0]["train_loss"] > history.rows[-1]["train_loss"]
    assert model.passes == 12 + 7
    assert twin.passes == 3 * (12 + 7)
    # The head was trained in place: the whole model has it.
    assert evaluate(model, val) == pytest.approx(evaluate(model.head, outputs), rel=1e-5)
    torch.testing.assert_close(predict(model, val), predict(model.head, outputs))


def test_fit_probes_the_precision_of_a_head(tmp_path: Path) -> None:
    data = frozen_features(Net(), pictures(12), batch_size=4, shuffle=True)
    head = nn.Linear(6, 3)
    history = fit(
        head, data, data, epochs=40, optimizer=adam(head), checkpoint=tmp_path / "head.pt"
    )
    assert len(history) == 40  # 120 steps: enough for the probe
    assert math.isfinite(history.rows[-1]["val_loss"])


def test_a_checkpoint_notices_other_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = torch.tensor([0, 1] * 4)

    def train(features: Tensor) -> list[dict[str, float]]:
        torch.manual_seed(0)
        head, data = nn.Linear(2, 2), FeatureBatches(features, labels, batch_size=4)
        file = tmp_path / "head.pt"
        return fit(head, data, data, epochs=1, optimizer=adam(head), checkpoint=file).rows

    first = train(torch.ones(8, 2))
    assert train(torch.ones(8, 2)) == first  # resumed, seconds and all: nothing is trained again
    capsys.readouterr()
    assert train(torch.zeros(8, 2))[0]["val_loss"] != first[0]["val_loss"]
    assert "an earlier training differs in train, val" in capsys.readouterr().out


def test_masks_are_refused() -> None:
    masks = Images(
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 8, 8, dtype=torch.uint8),
        ("a", "b"),
        Provenance("sample"),
    )
    with pytest.raises(ValueError, match="one label an image; these images have masks"):
        frozen_features(Net(), masks)


# The cache


def test_the_cache_spares_the_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, images, cache = Net(), pictures(10), tmp_path / "new" / "train.pt"
    first = frozen_features(model, images, cache=cache)
    assert model.passes == 10
    assert [path.name for path in cache.parent.iterdir()] == ["train.pt"]  # nothing half-written
    # Neither the head nor how batches are cut is part of the features.
    nn.init.zeros_(model.head[1].weight)
    second = frozen_features(model, images, batch_size=3, shuffle=True, cache=cache)
    assert model.passes == 10
    assert torch.equal(first.features, second.features)
    assert torch.equal(first.labels, second.labels)
    assert (second.batch_size, second.shuffle) == (3, True)
    assert capsys.readouterr().out == ""


def change_weights(model: Net) -> Net:
    with torch.no_grad():
        model.backbone[0].weight[0, 0, 0, 0] += 1e-3
    return model


def change_statistics(model: Net) -> Net:
    model.backbone[1].running_var[0] *= 1.01
    return model


def change_constants(model: Net) -> Net:
    model.normalize = Normalize((0.5,) * 3, (0.5,) * 3)
    return model


def change_layer(model: Net) -> Net:
    model.backbone[2] = nn.SiLU()  # has no weights
    return model


class OtherNet(Net):
    def features(self, images: Tensor) -> Tensor:
        return 2 * super().features(images)


CHANGES = [change_weights, change_statistics, change_constants, change_layer]


@pytest.mark.parametrize(
    "change", [*CHANGES, lambda model: OtherNet()], ids=lambda one: one.__name__
)
def test_features_of_another_backbone_are_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: object
) -> None:
    cache, images = tmp_path / "train.pt", pictures(10)
    old = frozen_features(Net(), images, cache=cache)
    model = change(Net())  # type: ignore[operator]
    new = frozen_features(model, images, cache=cache)
    assert model.passes == 10
    assert not torch.equal(new.features, old.features)
    assert "train.pt is of another backbone or other images: computing" in capsys.readouterr().out
    assert torch.equal(frozen_features(model, images, cache=cache).features, new.features)
    assert model.passes == 10


def test_features_of_other_images_are_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, model = tmp_path / "train.pt", Net()
    frozen_features(model, pictures(10), cache=cache)
    for count, images in enumerate((pictures(10, seed=1), pictures(10, seed=1)[:9]), start=1):
        data = frozen_features(model, images, cache=cache)
        assert len(data.features) == len(data.labels) == len(images)
        assert capsys.readouterr().out.count("other images") == 1, count
    assert model.passes == 29


@pytest.mark.parametrize("how", ["cut off", "empty", "noise", "another content"])
def test_a_broken_cache_is_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    cache, model, images = tmp_path / "train.pt", Net(), pictures(10)
    expected = frozen_features(model, images, cache=str(cache))
    whole = cache.read_bytes()
    if how == "another content":
        torch.save([1, 2], cache)
    else:
        cache.write_bytes({"cut off": whole[:-20], "noise": b"x" * 100}.get(how, b""))
    data = frozen_features(model, images, cache=str(cache))
    assert torch.equal(data.features, expected.features)
    assert model.passes == 20
    assert "train.pt is broken (" in capsys.readouterr().out
    frozen_features(model, images, cache=cache)
    assert model.passes == 20
