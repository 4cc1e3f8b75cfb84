"""Transfer learning: what trains and what stays, layer by layer, and torchvision's own numbers."""

import copy
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import pictures
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from cvhelpers.models import Normalize, TransferNet, evaluating
from cvhelpers.training import evaluate, fit

NAMES = ("mobilenet_v2", "resnet18")
BATCH_NORMS = (nn.BatchNorm2d,)


def small(name: str = "mobilenet_v2", classes: int = 3, **options: Any) -> TransferNet:
    torch.manual_seed(0)
    return TransferNet(name, classes, pretrained=False, **options)


def raw(count: int = 4, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def below(model: nn.Module, *prefixes: str) -> set[str]:
    return {name for name, _ in model.named_parameters() if name.startswith(prefixes)}


def in_training(model: nn.Module) -> set[str]:
    """The names of the modules that are in training mode and behave differently for it."""
    kinds = (nn.BatchNorm2d, nn.Dropout)
    return {name for name, one in model.named_modules() if isinstance(one, kinds) and one.training}


def train_two_steps(model: TransferNet, *, decay: float = 0.1) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=decay)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.train()(raw()), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()


def changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}


# What it computes


def test_small_images_are_brought_to_a_size_first() -> None:
    model, plain = small("resnet18", size=64), small("resnet18")
    plain.load_state_dict(model.state_dict())
    images = raw(2)
    larger = nn.functional.interpolate(plain.normalize(images), size=(64, 64), mode="bilinear")
    with evaluating(model), evaluating(plain), torch.inference_mode():
        torch.testing.assert_close(model.features(images), plain.backbone(larger))
        assert not torch.allclose(model.features(images), plain.features(images), rtol=0.01)


def own_net(name: str, model: TransferNet) -> nn.Module:
    """torchvision's own net with the backbone of `model`, its classifier taken off."""
    net = get_model(name)
    if name == "resnet18":
        net.fc = nn.Identity()
        net.load_state_dict(model.blocks.state_dict())
    else:
        net.classifier = nn.Identity()
        net.features.load_state_dict(model.blocks.state_dict())
    return net.eval()


@pytest.mark.parametrize("name", [*NAMES, "efficientnet_b0"])
def test_logits_are_torchvisions_features_and_a_linear_layer(name: str) -> None:
    model = small(name)
    with torch.no_grad():
        model.train()(raw())  # batch statistics that are not those of a new net
    model.eval()
    net = own_net(name, model)
    with torch.inference_mode():
        features = net(Normalize()(raw(size=48)))
        assert features.std() > 0.001
        assert torch.equal(model.features(raw(size=48)), features)
        assert torch.equal(model(raw(size=48)), model.head[1](features))
        assert torch.equal(model(raw(size=48).float()), model(raw(size=48)))


def test_vgg16_is_pooled_to_512_features() -> None:
    model = small("vgg16", 100).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == 14_714_688 + 513 * 100
    assert len(model.blocks) == 31
    with torch.inference_mode():
        maps = model.blocks(model.normalize(raw(2, 64)))
        assert maps.shape == (2, 512, 2, 2)
        torch.testing.assert_close(model.features(raw(2, 64)), maps.mean((2, 3)))
    model.freeze().unfreeze(last=7)  # the fifth group of convolutions
    upper = {f"backbone.features.{i}.{kind}" for i in (24, 26, 28) for kind in ("weight", "bias")}
    assert trained(model) == upper | {"head.1.weight", "head.1.bias"}


def test_the_head_is_dropout_and_a_linear_layer() -> None:
    model = small(classes=7, dropout=0.4)
    assert [type(layer) for layer in model.head] == [nn.Dropout, nn.Linear]
    assert model.head[0].p == 0.4
    assert model.head[1].weight.shape == (7, 1280)
    assert small().head[0].p == 0.2


def test_the_constants_are_those_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    entry: Any = get_model_weights("resnet18")["IMAGENET1K_V1"].value
    assert small("resnet18").normalize.mean.flatten().tolist() == pytest.approx(
        [0.485, 0.456, 0.406]
    )
    preset = entry.transforms
    monkeypatch.setattr(entry, "transforms", lambda: preset(mean=(0.1, 0.2, 0.3), crop_size=8))
    assert small("resnet18").normalize.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])


# What trains


def test_a_new_model_trains_everything() -> None:
    model = small()
    assert model.frozen_blocks == 0
    assert trained(model) == below(model, "backbone.features.", "head.")
    before = copy.deepcopy(model.state_dict())
    train_two_steps(model)
    assert changed(model, before) == set(before) - {"normalize.mean", "normalize.std"}


@pytest.mark.parametrize("name", NAMES)
def test_freezing_leaves_the_head_alone_to_train(name: str) -> None:
    model = small(name)
    before = copy.deepcopy(model.state_dict())
    assert model.freeze() is model
    assert trained(model) == {"head.1.weight", "head.1.bias"}
    assert [id(p) for p in model.trainable()] == [id(p) for p in model.head.parameters()]
    train_two_steps(model)  # with weight decay, over all parameters
    # Not a bit of the backbone moves: no weight, and no BatchNorm statistic.
    assert changed(model, before) == {"head.1.weight", "head.1.bias"}
    assert all(parameter.grad is None for parameter in model.backbone.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_backbone_stays_in_evaluation_mode(name: str) -> None:
    model = small(name).train()
    assert len(in_training(model)) > 20
    model.freeze()  # at once, not only at the next train()
    assert in_training(model) == {"head.0"}
    assert model.train().training
    assert not model.backbone.training
    assert in_training(model) == {"head.0"}
    assert in_training(model.train(False)) == set()
    with evaluating(model.train()):
        assert in_training(model) == set()
    assert in_training(model) == {"head.0"}
    assert torch.equal(model.train().features(raw()), model.eval().features(raw()))


@pytest.mark.parametrize(
    ("name", "last", "blocks"),
    [
        ("mobilenet_v2", 1, ("18",)),
        ("mobilenet_v2", 3, ("16", "17", "18")),
        ("resnet18", 1, ("layer4",)),
        ("resnet18", 2, ("layer3", "layer4")),
    ],
)
def test_unfreezing_some_blocks_trains_exactly_those(
    name: str, last: int, blocks: tuple[str, ...]
) -> None:
    model = small(name).freeze()
    before = copy.deepcopy(model.state_dict())
    assert model.train().unfreeze(last) is model
    prefixes = tuple(f"backbone.features.{block}." for block in blocks)
    assert trained(model) == below(model, *prefixes, "head.")
    assert len(model.trainable()) == len(trained(model))
    for again in (model, model.eval().train()):
        moving = {one for one in in_training(again) if one.startswith("backbone")}
        norms = {k for k, m in model.named_modules() if isinstance(m, BATCH_NORMS)}
        assert moving == {one for one in norms if one.startswith(prefixes)}
    train_two_steps(model)
    expected = {key for key in before if key.startswith((*prefixes, "head."))}
    assert changed(model, before) == expected


def test_unfreezing_all_and_freezing_again() -> None:
    model = small().freeze().train()
    model.unfreeze()
    assert trained(model) == below(model, "backbone.features.", "head.")
    assert len(in_training(model)) == 53  # 52 BatchNorms of MobileNetV2 and the dropout
    model.unfreeze(last=2)
    assert trained(model) == below(model, "backbone.features.17", "backbone.features.18", "head.")
    model.unfreeze(last=19)
    assert trained(model) == below(model, "backbone.features.", "head.")
    model.freeze()
    assert trained(model) == below(model, "head.")
    assert in_training(model) == {"head.0"}


def test_copies_and_texts_know_what_is_frozen() -> None:
    twin = copy.deepcopy(small().freeze()).train()
    assert trained(twin) == below(twin, "head.")
    assert in_training(twin) == {"head.0"}
    # A training resumed from a checkpoint compares the texts.
    assert "frozen_blocks=19" in repr(twin)
    assert "frozen_blocks=17" in repr(twin.unfreeze(last=2))


@pytest.mark.parametrize("last", [0, -1, 20])
def test_blocks_that_are_not_there(last: int) -> None:
    with pytest.raises(ValueError, match=f"last={last}, but the backbone has 19 blocks; give 1 to"):
        small().unfreeze(last)


def test_fit_keeps_a_frozen_backbone_as_it_is() -> None:
    model = small().freeze()
    before = copy.deepcopy(model.state_dict())
    train = pictures(12, size=32)
    optimizer = torch.optim.Adam(model.trainable(), lr=0.01)
    fit(model, train, train, epochs=2, optimizer=optimizer, precision="float32")
    assert changed(model, before) == {"head.1.weight", "head.1.bias"}
    evaluate(model, train)
    assert changed(model, before) == {"head.1.weight", "head.1.bias"}


# Which weights


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for weights, without a network behind it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    entry: Any = get_model_weights("mobilenet_v2")["IMAGENET1K_V1"].value
    monkeypatch.setattr(entry, "url", "http://127.0.0.1:9/net-00000000.pth")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def test_pretrained_weights_are_those_of_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(5)
    theirs, buffer = get_model("mobilenet_v2"), io.BytesIO()
    torch.save(theirs.half().state_dict(), buffer)  # stored in half precision, used in float32
    checksum = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    entry: Any = get_model_weights("mobilenet_v2")["IMAGENET1K_V1"].value
    monkeypatch.setattr(entry, "url", f"http://127.0.0.1:9/net-{checksum}.pth")
    (home / f"net-{checksum}.pth").write_bytes(buffer.getvalue())
    model = TransferNet("mobilenet_v2", 3)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert {value.device.type for value in model.state_dict().values()} == {"cpu"}
    own = model.blocks.state_dict()
    expected = theirs.float().features.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[key], expected[key]) for key in own)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.provenance == {
        "kind": "real",
        "note": f"net-{checksum}.pth, checksum verified",
    }
    assert capsys.readouterr().out == ""
    train_two_steps(model.freeze())


def test_unverified_weights_are_used_and_said(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(get_model("mobilenet_v2").state_dict(), home / "net-00000000.pth")
    assert TransferNet("mobilenet_v2", 3).provenance["kind"] == "unverified"
    assert "*** UNVERIFIED WEIGHTS" in capsys.readouterr().out


def test_random_weights_never_stand_in_for_pretrained_ones(home: Path) -> None:
    with pytest.raises(OSError, match="no download"):
        TransferNet("mobilenet_v2", 3)
    model = TransferNet("mobilenet_v2", 3, pretrained=False)
    assert model.provenance == {"kind": "untrained", "note": "mobilenet_v2 with random weights"}


@pytest.mark.parametrize("name", ["mnasnet0_5", "densenet121"])
def test_backbones_built_otherwise_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is not built as features and classifier; take"):
        TransferNet(name, 3, pretrained=False)


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"for 'mobilenet'; try: .*mobilenet_v2"):
        TransferNet("mobilenet", 3, pretrained=False)
