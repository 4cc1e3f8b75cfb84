"""Capturing activations: true copies, hooks gone, modes as they were."""

import pytest
import torch
from torch import Tensor, nn

from cvhelpers.visualize import activations_of, capture


class Net(nn.Module):
    """x -> 2x - 6 -> in-place ReLU -> BatchNorm -> mean: small enough to do by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm2d(1)
        self.pair = Pair()
        nn.init.constant_(self.conv.weight, 2)
        nn.init.constant_(self.conv.bias, -6)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 1:
            raise RuntimeError("broken on purpose")
        x = self.norm(self.relu(self.conv(x)))
        return self.pair(x)[0].mean((2, 3))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


IMAGES = torch.tensor([[[[0.0, 2.0, 4.0]]]])


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_an_in_place_relu_does_not_change_what_was_captured() -> None:
    model = Net()
    with capture(model, ["conv", "relu"]) as maps:
        model(IMAGES)
    assert maps["conv"].tolist() == [[[[-6, -2, 2]]]]
    assert maps["relu"].tolist() == [[[[0, 0, 2]]]]
    assert not maps["conv"].requires_grad


def test_hooks_and_modes_are_restored() -> None:
    model = Net().train()
    model.norm.eval()  # a frozen part in a net that trains
    with capture(model, "norm", cpu=True) as maps:
        assert not model.training
        assert hooks(model) == 1
        model(IMAGES)
    assert list(maps) == ["norm"]
    assert hooks(model) == 0
    assert model.training
    assert model.relu.training
    assert not model.norm.training


def test_hooks_and_modes_are_restored_after_an_error() -> None:
    model = Net().train()
    with pytest.raises(RuntimeError, match="on purpose"), capture(model, ["conv", "norm"]):
        model(torch.zeros(1, 2, 1, 1))
    assert hooks(model) == 0
    assert model.training
    assert model.norm.training


def test_batch_norm_is_not_updated_by_looking() -> None:
    model = Net().train()
    activations_of(model, ["norm"], IMAGES)
    assert model.norm.num_batches_tracked == 0
    assert model.norm.running_mean == 0


def test_unknown_module_lists_the_names() -> None:
    model = Net().train()
    message = "Net has no module 'conv9'; it has: conv, relu, norm, pair"
    with pytest.raises(ValueError, match=message), capture(model, ["conv", "conv9"]):
        pass
    assert hooks(model) == 0
    assert model.training


def test_a_module_without_a_tensor_is_named() -> None:
    with pytest.raises(ValueError, match="'pair' returns tuple"):
        activations_of(Net(), "pair", IMAGES)


def test_activations_of() -> None:
    maps = activations_of(Net(), ["conv", "norm"], IMAGES)
    assert maps["conv"].shape == (1, 1, 1, 3)
    assert torch.allclose(maps["norm"], torch.tensor([[[[0.0, 0.0, 2.0]]]]), atol=1e-4)
