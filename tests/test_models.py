"""Models: shapes and parameter counts by hand, values by hand, equality with torchvision."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from cvhelpers.models import (
    MIRROR_CLASSES,
    BasicBlock,
    CentreCrop,
    ConvNet,
    LeNet5,
    Normalize,
    ResNet18,
    SmallCNN,
    TrafficSignCNN,
    evaluating,
    template_augmentation,
)
from cvhelpers.visualize import capture


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def raw(count: int, size: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)


# Normalize


def test_normalize_by_hand() -> None:
    layer = Normalize(mean=(0.5, 0.2), std=(0.5, 0.1))
    pixels = torch.tensor([[0, 255], [51, 255]], dtype=torch.uint8).view(1, 2, 1, 2)
    expected = torch.tensor([[-1.0, 1.0], [0.0, 8.0]]).view(1, 2, 1, 2)
    torch.testing.assert_close(layer(pixels), expected)
    torch.testing.assert_close(layer(pixels.float()), expected)
    assert layer(pixels).dtype == torch.float32
    assert pixels.flatten().tolist() == [0, 255, 51, 255]  # the batch stays as it was


def test_the_usual_constants_are_those_of_imagenet() -> None:
    grey = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255
    torch.testing.assert_close(Normalize()(grey), torch.zeros(1, 3, 1, 1), atol=1e-6, rtol=0)
    one = grey + torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) * 255
    torch.testing.assert_close(Normalize()(one), torch.ones(1, 3, 1, 1))


def test_the_constants_travel_with_the_weights_and_are_not_trained() -> None:
    layer = Normalize((0.5,), (0.25,))
    assert list(layer.parameters()) == []
    other = Normalize((0.0,), (1.0,))
    other.load_state_dict(layer.state_dict())
    assert other(torch.full((1, 1, 1, 1), 255.0)).item() == 2


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5, 0.5), (0.5,), "2 means and 1 deviations; give one per channel"),
        ((0.5, 0.5), (0.5, 0.0), r"std must be above 0, not \(0.5, 0.0\)"),
        ((0.5,), (-1.0,), r"std must be above 0, not \(-1.0,\)"),
    ],
)
def test_constants_that_cannot_be(
    mean: tuple[float, ...], std: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Normalize(mean, std)


# LeNet-5


def test_lenets_parameters_by_hand() -> None:
    convolutions = 32 * (3 * 5 * 5 + 1) + 64 * (32 * 5 * 5 + 1)
    linear = (1024 + 1) * 1021 + (1021 + 1) * 84 + (84 + 1) * 101
    assert convolutions + linear == 1_194_654
    assert parameters(LeNet5(101)) == 1_194_654
    assert parameters(LeNet5(101, dropout=0.5)) == 1_194_654
    # Batch normalisation has a scale and a shift for each map or unit.
    assert parameters(LeNet5(101, batch_norm=True)) == 1_194_654 + 2 * (32 + 64 + 1021 + 84)
    assert parameters(LeNet5(10)) == 1_194_654 - 85 * 91


def test_lenets_maps_have_the_sizes_of_the_assignment() -> None:
    model = LeNet5(101)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in model.named_children():
        layer.register_forward_hook(
            lambda _, inputs, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    model(raw(2, 64))
    expected = {
        "relu1": (32, 64, 64),
        "pool1": (32, 16, 16),
        "relu2": (64, 16, 16),
        "pool2": (64, 4, 4),
        "flatten": (1024,),
        "relu3": (1021,),
        "relu4": (84,),
        "fc3": (101,),
    }
    assert {name: shapes[name] for name in expected} == expected


def test_lenet_returns_logits_not_probabilities() -> None:
    logits = LeNet5(5).eval()(raw(8, 64))
    assert (logits < 0).any()
    assert not torch.allclose(logits.sum(1), torch.ones(8))
    assert not any(isinstance(m, (nn.Softmax, nn.LogSoftmax)) for m in LeNet5(5).modules())


def test_lenet_normalises_raw_pixels_itself() -> None:
    model, images = LeNet5(5).eval(), raw(2, 64)
    assert torch.equal(model(images), model(images.float()))
    rest = nn.Sequential(*list(model)[1:])
    torch.testing.assert_close(model(images), rest(Normalize()(images)))


def test_the_plain_lenet_has_neither_dropout_nor_batch_statistics() -> None:
    model, images = LeNet5(5), raw(4, 64)
    assert torch.equal(model.train()(images), model.eval()(images))
    for options in ({"dropout": 0.5}, {"batch_norm": True}):
        model = LeNet5(5, **options)
        assert not torch.equal(model.train()(images), model.eval()(images))


def test_lenets_options_stand_in_their_places() -> None:
    names = [name for name, _ in LeNet5(5, batch_norm=True, dropout=0.3).named_children()]
    for number, before in enumerate(("conv1", "conv2", "fc1", "fc2"), start=1):
        at = names.index(before)
        assert names[at + 1 : at + 3] == [f"norm{number}", f"relu{number}"]
    for number in (1, 2, 3):
        at = names.index(f"drop{number}")
        assert names[at + 1] == f"fc{number}"
    model = LeNet5(5, dropout=0.3)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.3] * 3
    # A later in-place ReLU would overwrite what the activation view recorded.
    assert not any(m.inplace for m in model.modules() if isinstance(m, nn.ReLU))


# ResNet-18


def randomise(model: nn.Module) -> None:
    """Give every tensor of a model, batch statistics too, values of its own."""
    for name, tensor in model.state_dict().items():
        if "running_var" in name:
            tensor.uniform_(0.5, 1.5)
        elif "running_mean" in name or name.endswith("bias"):
            tensor.normal_(0, 0.1)
        elif "bn" in name or "downsample.1" in name:
            tensor.copy_(torch.empty(tensor.shape).uniform_(0.5, 1.5))


@pytest.mark.parametrize("classes", [3, 101])
def test_resnet18_is_torchvisions(classes: int) -> None:
    ours, theirs = ResNet18(classes).eval(), resnet18(num_classes=classes).eval()
    assert parameters(ours) == parameters(theirs) == 11_176_512 + 513 * classes
    randomise(ours)
    weights = ours.state_dict()
    copied = {k: v for k, v in weights.items() if not k.startswith("normalize.")}
    assert len(copied) == len(weights) - 2
    theirs.load_state_dict(copied, strict=True)
    images = raw(2, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(Normalize()(images)))


def test_torchvisions_weights_fit_into_ours() -> None:
    ours, theirs = ResNet18(3), resnet18(num_classes=3)
    absent = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert absent.missing_keys == ["normalize.mean", "normalize.std"]
    assert absent.unexpected_keys == []


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 48)])
def test_resnet18_takes_any_size_from_32(height: int, width: int) -> None:
    images = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    assert ResNet18(4).eval()(images).shape == (2, 4)


def test_convolutions_start_from_hes_initialisation() -> None:
    model = ResNet18(3)
    for layer, fan_out in ((model.conv1, 64 * 49), (model.layer4[1].conv2, 512 * 9)):
        assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
        assert layer.weight.mean().item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("channels", "stride", "projected"),
    [((8, 8), 1, False), ((8, 16), 1, True), ((8, 8), 2, True), ((8, 16), 2, True)],
)
def test_a_block_projects_only_where_the_shape_changes(
    channels: tuple[int, int], stride: int, projected: bool
) -> None:
    block = BasicBlock(*channels, stride=stride)
    assert isinstance(block.downsample, nn.Identity) is not projected
    own = 9 * channels[0] * channels[1] + 9 * channels[1] ** 2 + 4 * channels[1]
    shortcut = channels[0] * channels[1] + 2 * channels[1]
    assert parameters(block) == own + (shortcut if projected else 0)
    size = (4, 3) if stride == 2 else (7, 6)
    assert block(torch.rand(2, channels[0], 7, 6)).shape == (2, channels[1], *size)


def test_a_block_adds_before_the_last_relu() -> None:
    block = BasicBlock(1, 1).eval()
    nn.init.zeros_(block.bn2.weight)  # the residual is nothing but bn2's bias
    nn.init.constant_(block.bn2.bias, 2)
    x = torch.tensor([-5.0, -1.0, 3.0]).view(1, 1, 1, 3)
    assert block(x).flatten().tolist() == [0.0, 1.0, 5.0]


# Modes


def test_small_cnns_parameters_and_maps_by_hand() -> None:
    model = SmallCNN(10)
    convolutions = (3 * 9 + 1) * 32 + 2 * (32 * 9 + 1) * 32
    assert parameters(model) == convolutions + (32 * 8 * 8 + 1) * 10
    with capture(model, ["conv2", "pool1", "conv3", "pool2"]) as maps:
        assert model(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 10)
    sizes = [tuple(one.shape[1:]) for one in maps.values()]
    assert sizes == [(32, 32, 32), (32, 16, 16), (32, 16, 16), (32, 8, 8)]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_traffic_sign_cnn_has_512_inputs_to_its_last_layer(batch_norm: bool) -> None:
    model = TrafficSignCNN(43, batch_norm=batch_norm)
    convolutions = (3 * 25 + 1) * 16 + (16 * 25 + 1) * 32
    norms = 2 * (16 + 32) * batch_norm
    assert model.fc.in_features == 512
    assert parameters(model) == convolutions + norms + 513 * 43
    names = [name for name, _ in model.named_children()]
    for norm, before, after in (("norm1", "conv1", "elu1"), ("norm2", "conv2", "elu2")):
        place = names.index(before)
        assert names[place : place + 2 + batch_norm] == [before, *[norm] * batch_norm, after]


def test_the_templates_augmentation_gives_the_nets_own_size_and_changes_the_light() -> None:
    torch.manual_seed(0)
    grey = torch.full((400, 3, 32, 32), 100, dtype=torch.uint8)
    out = template_augmentation()(grey)
    assert out.shape == (400, 3, 28, 28)
    light = out.mean(dim=(1, 2, 3))  # a flat image has no contrast: brightness alone is left
    assert light.min() == pytest.approx(20, abs=4)
    assert light.max() == pytest.approx(180, abs=4)
    assert torch.equal(template_augmentation().eval()(grey), grey)
    assert len(MIRROR_CLASSES) == 8
    assert {33, 34, 38, 39}.isdisjoint(MIRROR_CLASSES)  # left and right would change places


@pytest.mark.parametrize(("blocks", "size"), [(1, 7), (3, 3), (4, 5)])
def test_convnets_parameters_and_maps_by_hand(blocks: int, size: int) -> None:
    model = ConvNet(5, num_blocks=blocks, num_filters=4, size_filter=size)
    filters = [3, *(4 * 2**k for k in range(blocks))]
    expected = sum(
        filters[k] * filters[k + 1] * size**2 + 2 * filters[k + 1] for k in range(blocks)
    )
    assert parameters(model) == expected + 5 * (filters[-1] + 1)  # no bias but the last layer's
    with capture(model, [f"pool{blocks}", "rescale"]) as maps:
        assert model(torch.full((2, 3, 32, 48), 255, dtype=torch.uint8)).shape == (2, 5)
    assert maps[f"pool{blocks}"].shape[1:] == (filters[-1], 32 // 2**blocks, 48 // 2**blocks)
    assert (maps["rescale"] == 1).all()


def test_convnet_augments_in_training_mode_only() -> None:
    torch.manual_seed(0)
    model, images = ConvNet(5, augment=True, num_filters=4), raw(6, 32)
    assert torch.equal(model.eval().get_submodule("augment")(images), images)
    assert not torch.equal(model.train().get_submodule("augment")(images), images)
    assert "augment" not in dict(ConvNet(5, num_filters=4).named_children())


@pytest.mark.parametrize("options", [{"num_blocks": 0}, {"size_filter": 4}])
def test_convnet_refuses(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="use one block or more, and an odd filter size"):
        ConvNet(5, **options)


def test_traffic_sign_cnn_cuts_out_the_middle() -> None:
    images = raw(2, 32)
    assert torch.equal(CentreCrop(28)(images), images[:, :, 2:30, 2:30])
    model = TrafficSignCNN(43).eval()
    assert torch.equal(model(images), model(images[:, :, 2:30, 2:30]))


def test_every_module_gets_its_own_mode_back() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(), nn.Sequential(nn.Dropout()))
    model.train()
    model[0].eval()  # a frozen part
    before = [module.training for module in model.modules()]
    assert before == [True, False, True, True, True]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before

    def broken() -> None:
        with evaluating(model):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        broken()
    assert [module.training for module in model.modules()] == before
