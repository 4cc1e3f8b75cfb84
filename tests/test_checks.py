"""What the notebooks' checks share: a training seen from outside, a net shaken awake."""

import pytest
import torch
from torch import nn

import __main__
from cvhelpers.checks import agree, handed_to_fit, shaken, swapped, with_weights
from cvhelpers.training import fit


@pytest.fixture(autouse=True)
def _notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook has imported `fit`."""
    monkeypatch.setattr(__main__, "fit", fit, raising=False)


def train_it(rate: float, *, times: int = 1) -> float:
    net = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    for _ in range(times):
        history = __main__.fit(net, "train", "val", epochs=3, optimizer=optimizer)
    return history.last()["val_iou"] if times else 0.0


def test_what_fit_is_handed() -> None:
    given = handed_to_fit(train_it, 0.5)
    assert (given["train"], given["val"], given["epochs"]) == ("train", "val", 3)
    assert given["optimizer"].param_groups[0]["lr"] == 0.5
    assert given["batch_size"] == 128, "a default is told as well"
    assert given["returned"] == given["history"].last()["val_iou"] == 0.4
    assert __main__.fit is fit, "put back"


def test_a_function_that_does_not_seed_shows() -> None:
    def weights() -> torch.Tensor:
        torch.manual_seed(1)
        return nn.utils.parameters_to_vector(handed_to_fit(train_it, 0.5)["model"].parameters())

    assert not torch.equal(weights(), weights())

    def seeded() -> float:
        torch.manual_seed(7)
        return train_it(0.5)

    assert handed_to_fit(seeded)["seed"] == 7
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    handed_to_fit(train_it, 0.5)
    assert torch.equal(torch.rand(3), expected), "and no random number is used up"


@pytest.mark.parametrize("times", [0, 2])
def test_fit_is_to_be_called_once(times: int) -> None:
    with pytest.raises(
        AssertionError, match=f"train_it is to call `fit`.* once, not {times} times"
    ):
        handed_to_fit(train_it, 0.5, times=times)


def test_shaken_batch_normalisation_shows() -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    net = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, affine=False))
    quiet = net.eval()(x)
    assert torch.allclose(quiet, x, atol=1e-3)
    assert not torch.allclose(shaken(net.train())(x), quiet, atol=0.1)
    assert not net.training
    assert torch.equal(shaken(net)(x), shaken(net)(x)), "one seed, one shaking"
    assert not torch.equal(shaken(net)(x), shaken(net, seed=1)(x))


def test_agree_names_the_slip() -> None:
    x = torch.tensor([1.0, 2.0])
    agree(x + 1e-5, x, "twice")
    with pytest.raises(AssertionError, match=r"twice: shape \(1, 2\), and \(2,\) is wanted"):
        agree(x[None], x, "twice")
    with pytest.raises(AssertionError, match="the numbers that come without doubling"):
        agree(x, 2 * x, "twice", slips={"with a sign": -x, "without doubling": x})
    with pytest.raises(AssertionError, match="off by 1, where the largest is 4"):
        agree(x + 1, 2 * x, "twice", slips={"of another shape": x[None]})
    with pytest.raises(AssertionError, match="off by nan"):
        agree(x / 0 - x / 0, x, "twice")


def test_weights_go_by_their_order() -> None:
    given = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.BatchNorm2d(2))
    named = nn.Sequential()
    named.add_module("first", nn.Conv2d(1, 2, 3))
    named.add_module("second", nn.BatchNorm2d(2))
    filled = with_weights(named, shaken(given))
    assert torch.equal(filled.first.weight, given[0].weight)
    assert torch.equal(filled.second.running_var, given[2].running_var)
    with pytest.raises(
        AssertionError, match=r"0 \(Conv2d\) has weight .2, 1, 3, 3.*wanted here: w"
    ):
        with_weights(nn.Sequential(nn.Conv2d(1, 3, 3)), given)
    with pytest.raises(AssertionError, match=r"bias \(2,\); wanted here: weight \(2, 1, 3, 3\)$"):
        with_weights(nn.Sequential(nn.Conv2d(1, 2, 3, bias=False)), given)
    with pytest.raises(
        AssertionError, match="2 layers with weights, and 1 are wanted; the first 1"
    ):
        with_weights(nn.Sequential(nn.Conv2d(1, 2, 3)), given)


def test_swapped_copies() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ELU(), nn.ELU()))
    other = swapped(net, nn.ELU, nn.ReLU)
    assert [type(layer) for layer in other[1]] == [nn.ReLU, nn.ReLU]
    assert [type(layer) for layer in net[1]] == [nn.ELU, nn.ELU]
    assert torch.equal(other[0].weight, net[0].weight)
