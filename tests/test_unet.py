"""U-Nets: sizes, counts, variants; receptive fields by hand and by gradient."""

import pytest
import torch
from torch import Tensor, nn

from cvhelpers.models import (
    CentreCrop,
    DoubleConv,
    TrafficSignCNN,
    TransferUNet,
    UNet,
    UpBlock,
    gradient_footprint,
    receptive_field,
)
from cvhelpers.visualize import capture

UPSAMPLING = ("transposed", "nearest", "bilinear")


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def raw(count: int = 2, channels: int = 3, height: int = 32, width: int = 32) -> Tensor:
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8)


# U-Net


def by_hand(width: int, depth: int, channels: int, classes: int, *, kernel: int) -> int:
    """Weights and biases; `kernel` is the side of what halves the channels on the way up."""

    def double(a: int, b: int) -> int:
        return 9 * a * b + b + 9 * b * b + b + 4 * b  # and two batch normalisations

    widths = [width * 2**level for level in range(depth)]
    down = sum(double(a, b) for a, b in zip([channels, *widths[:-1]], widths, strict=True))
    up = sum(2 * w * w * kernel**2 + w + double(2 * w, w) for w in widths[:-1])
    return down + up + width * classes + classes


@pytest.mark.parametrize("upsampling", UPSAMPLING)
def test_parameters_by_hand(upsampling: str) -> None:
    kernel = 2 if upsampling == "transposed" else 1
    small = UNet(3, channels=1, depth=3, width=4, upsampling=upsampling)
    assert parameters(small) == by_hand(4, 3, 1, 3, kernel=kernel)


def test_the_papers_width_and_depth_are_the_default() -> None:
    with torch.device("meta"):
        net = UNet(channels=1)
    assert [block[0].out_channels for block in net.down] == [64, 128, 256, 512, 1024]
    assert parameters(net) == by_hand(64, 5, 1, 1, kernel=2) == 31_042_369


@pytest.mark.parametrize("upsampling", UPSAMPLING)
@pytest.mark.parametrize("activation", ["relu", "elu"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_every_variant_gives_the_inputs_size(
    upsampling: str, activation: str, batch_norm: bool
) -> None:
    options = {"activation": activation, "upsampling": upsampling, "batch_norm": batch_norm}
    net = UNet(2, depth=3, width=4, **options).eval()
    for height, width in ((32, 32), (37, 50), (5, 4), (23, 31)):
        assert net(raw(2, 3, height, width)).shape == (2, 2, height, width)
    kinds = {type(module) for module in net.modules()}
    assert (nn.ReLU in kinds) == (activation == "relu")
    assert (nn.ELU in kinds) == (activation == "elu")
    assert (nn.ConvTranspose2d in kinds) == (upsampling == "transposed")
    assert (nn.BatchNorm2d in kinds) == batch_norm


def test_an_activation_follows_every_batch_normalisation() -> None:
    kinds = [type(layer) for layer in DoubleConv(3, 4)]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2


def test_the_skip_reaches_the_output_pixel_by_pixel() -> None:
    """With the way through the depths cut, what is left is the skip at its own place."""
    block = UpBlock(4, 2, 2, batch_norm=False)
    nn.init.zeros_(block.upsample.weight)
    nn.init.zeros_(block.upsample.bias)
    skip = torch.zeros(1, 2, 9, 7)
    skip[0, 1, 4, 3] = 100.0
    with torch.no_grad():
        moved = block(torch.randn(1, 4, 5, 4), skip) - block(torch.randn(1, 4, 5, 4), 0 * skip)
    rows, columns = moved[0].any(0).nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 6, 1, 5)  # 5x5 about it


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 1}, "depth=1.*2 levels or more"),
        ({"channels": 2}, r"channels=2.*1 \(grey\) or 3"),
        ({"activation": "gelu"}, "'gelu' is unknown; choose one of: relu, elu"),
        ({"upsampling": "bicubic"}, "'bicubic' is unknown.*transposed, nearest, bilinear"),
    ],
)
def test_unknown_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UNet(width=4, **options)


# On a pretrained backbone


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet18", "vgg16", "efficientnet_b0"])
def test_a_backbone_of_any_build_gets_a_decoder(backbone: str) -> None:
    with torch.device("cpu"):
        net = TransferUNet(backbone, 2, pretrained=False, width=4).eval()
    assert len(net.taps) == 5  # five halvings: 32 in all
    with torch.no_grad():
        assert net(raw(1, 3, 70, 45)).shape == (1, 2, 70, 45)


def test_the_last_skip_is_the_normalised_image() -> None:
    net = TransferUNet("mobilenet_v2", pretrained=False)
    assert net.taps[0] == 0
    assert net.decoder[-1].convs[0].in_channels == 32 + 3


def test_a_frozen_encoder_stays_and_the_decoder_learns() -> None:
    net = TransferUNet("mobilenet_v2", pretrained=False).freeze().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD(net.trainable(), lr=0.1)
    net(raw()).square().mean().backward()
    optimizer.step()
    moved = {n.split(".")[0] for n, v in net.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {"decoder", "head"}


# Receptive fields


def two_convolutions() -> nn.Sequential:
    """3x3, then 2x2 pooling, then 3x3: 3, then 4, then 4 + 2 * 2 = 8 pixels."""
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(2, 1, 3))


def test_a_field_by_hand() -> None:
    net, image = two_convolutions(), torch.zeros(1, 20, 30)
    first = receptive_field(net, "0", image, place=(5, 7))
    assert (first.rows, first.columns) == ((4, 6), (6, 8))
    pooled = receptive_field(net, "1", image, place=(5, 7))
    assert (pooled.rows, pooled.columns) == ((9, 12), (13, 16))
    last = receptive_field(net, "2", image, place=(0, 7))
    assert (last.rows, last.columns) == ((-1, 6), (13, 20))  # a row of padding above the image
    assert last.size == (8, 8)
    assert last.clipped(20, 30).rows == (0, 6)
    assert receptive_field(net, "", image, place=(0, 7)) == last


def footprint(net: nn.Module, layer: str, images: Tensor, place: tuple[int, int]) -> tuple:
    seen = gradient_footprint(net, layer, images, place=place)
    rows, columns = seen.any(1).nonzero()[:, 0], seen.any(0).nonzero()[:, 0]
    return (rows[0].item(), rows[-1].item()), (columns[0].item(), columns[-1].item())


torch.manual_seed(0)
# With ELUs, since a ReLU that is silent at the place looked at passes no gradient on.
NETS = {
    "plain": (two_convolutions(), "2"),
    "signs": (TrafficSignCNN(5), "pool2"),
    "transposed": (UNet(channels=1, depth=3, width=4, activation="elu"), ""),
    "nearest": (UNet(channels=1, depth=3, width=4, activation="elu", upsampling="nearest"), ""),
    "bilinear": (UNet(channels=1, depth=3, width=4, activation="elu", upsampling="bilinear"), ""),
    "bottom": (UNet(channels=1, depth=3, width=4, activation="elu"), "down.2"),
    "residual": (TransferUNet("mobilenet_v2", pretrained=False, width=4), "backbone.features.6"),
    "dilated": (nn.Sequential(nn.Conv2d(1, 2, 3, dilation=3, padding=3), nn.AvgPool2d(3)), ""),
    "strided": (nn.Sequential(nn.Conv2d(1, 2, 5, 2, 2), nn.ConvTranspose2d(2, 1, 3, 2, 1)), ""),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_the_gradients_footprint_is_the_calculated_field(name: str, shift: int) -> None:
    net, layer = NETS[name]
    net = net.double()
    channels = next(net.parameters()).shape[1]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, channels, 75, 90), generator=generator)
    with capture(net, layer) as maps, torch.no_grad():
        net(images.double())
    height, width = maps[layer].shape[2:]
    place = (height // 2 - 1 + shift, width // 2 - 1 + shift)
    field = receptive_field(net, layer, images[0], place=place).clipped(75, 90)
    assert (field.rows, field.columns) == footprint(net, layer, images, place)


def test_what_is_unknown_is_refused_with_the_names_there_are() -> None:
    net, image = two_convolutions(), torch.zeros(1, 20, 30)
    with pytest.raises(ValueError, match="Sequential has no module 'conv9'; it has: 0, 1, 2"):
        receptive_field(net, "conv9", image)
    with pytest.raises(ValueError, match=r"place=\(0, 99\) lies outside of '1', which is 10 x 15"):
        receptive_field(net, "1", image, place=(0, 99))
    with pytest.raises(ValueError, match="has no module 'conv9'"):
        gradient_footprint(net, "conv9", image[None])
    with pytest.raises(ValueError, match="in a way unknown here"):
        receptive_field(nn.Sequential(nn.PixelShuffle(2)), "", torch.zeros(4, 6, 6))

    class Branching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images if images.sum() > 0 else -images

    with pytest.raises(ValueError, match=r"cannot trace Branching.*gradient_footprint"):
        receptive_field(Branching(), "", image)


def test_a_footprint_leaves_no_hook_behind_even_after_an_error() -> None:
    net = two_convolutions()
    with pytest.raises(RuntimeError):
        gradient_footprint(net, "0", torch.zeros(1, 3, 20, 30))  # three channels, not one
    assert not any(module._forward_hooks for module in net.modules())
    assert all(module.training for module in net.modules())


def test_a_crop_shifts_the_field() -> None:
    field = receptive_field(nn.Sequential(CentreCrop(10)), "", torch.zeros(1, 20, 14), place=(0, 0))
    assert (field.rows, field.columns) == ((5, 5), (2, 2))
