"""What the notebooks' checks share: a training seen from outside, a net shaken awake."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import linear, pictures
from torch import nn

import __main__
from cvhelpers.augment import Augment, ColourJitter, HorizontalFlip, MixUp, OneHot, RandomAffine
from cvhelpers.checks import (
    agree,
    check_fit,
    check_returned,
    handed_to_fit,
    shaken,
    swapped,
    with_weights,
)
from cvhelpers.models import Normalize
from cvhelpers.training import (
    EarlyStopping,
    cross_entropy,
    cross_entropy_and_dice,
    fit,
    one_cycle,
    plateau,
)


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
    assert given["history"].best("val_iou")["val_iou"] == 0.45, "the best epoch is not the last"
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


# What was handed to `fit`


ASKED: dict[str, Any] = {
    "epochs": 3,
    "optimizer": (torch.optim.Adam, {"lr": 0.01, "eps": 0.1}),
    "batch_size": 4,
    "seed": 5,
}


def handed(**changes: Any) -> dict[str, Any]:
    """A right training of twelve pictures, with changes in what `fit` is given."""

    def train_it() -> None:
        model = changes.pop("model", None) or linear()
        torch.manual_seed(changes.pop("seed", 5))
        options = {"lr": 0.01, "eps": 0.1} | changes.pop("options", {})
        optimizer = changes.pop("kind", torch.optim.Adam)(model.parameters(), **options)
        schedule = changes.pop("schedule", lambda _: None)(optimizer)
        settings = {"epochs": 3, "batch_size": 4, "schedule": schedule} | changes
        train, val = (settings.pop(name, part) for name, part in (("train", TRAIN), ("val", VAL)))
        __main__.fit(model, train, val, **{"optimizer": optimizer, **settings})

    return handed_to_fit(train_it)


TRAIN, VAL = pictures(12), pictures(6, seed=1)


def frozen() -> nn.Module:
    net = linear()
    net.get_submodule("2").bias.requires_grad_(False)
    return net


SLIPS: dict[str, tuple[dict[str, Any], str]] = {
    "trained on validation": ({"train": VAL}, "trains on other images"),
    "validated by training": ({"val": TRAIN}, "validated by other images"),
    "epochs": ({"epochs": 2}, "epochs: 3 was asked for, not 2"),
    "batch size": ({"batch_size": 128}, "batch_size: 4 was asked for, not 128"),
    "precision": ({"precision": "bfloat16"}, "precision: auto was asked for, not bfloat16"),
    "seed": ({"seed": 0}, "torch is to be seeded with 5, not 0"),
    "another kind": ({"kind": torch.optim.RMSprop}, "is to be Adam, not RMSprop"),
    "rate": ({"options": {"lr": 0.1}}, "Adam: lr of 0.01 was asked for, not 0.1"),
    "default epsilon": ({"options": {"eps": 1e-8}}, "Adam: eps of 0.1 was asked for, not 1e-08"),
    "decay": ({"options": {"weight_decay": 0.1}}, r"weight_decay of 0 .* \(its default\), not 0.1"),
    "betas": ({"options": {"betas": (0.9, 0.99)}}, r"betas of \(0.9, 0.999\) was"),
    "other weights": (
        {"optimizer": torch.optim.Adam(linear().parameters(), lr=0.01, eps=0.1)},
        "holds other weights",
    ),
    "frozen": ({"model": frozen()}, "2.bias is to learn"),
    "softmax": ({"loss": lambda o, t: cross_entropy(o.softmax(1), t)}, "come behind a softmax"),
    "sum": ({"loss": nn.CrossEntropyLoss(reduction="sum")}, "where the batch is added up"),
    "smoothed": ({"loss": nn.CrossEntropyLoss(label_smoothing=0.1)}, "from smoothed labels"),
    "no slope": ({"loss": lambda o, t: cross_entropy(o.detach(), t)}, "has no gradient"),
    "augmented": ({"augment": HorizontalFlip()}, "augmentation: none was asked for, not {'flip'"),
    "mixed": ({"mix": OneHot(3)}, "mix: none was asked for, not OneHot {'classes': 3}"),
    "schedule": (
        {"schedule": lambda o: torch.optim.lr_scheduler.StepLR(o, 2)},
        "no schedule was asked for: StepLR",
    ),
    "stopping": ({"early_stopping": EarlyStopping(2)}, r"None was asked for, not \(2, 'val_loss'"),
    "penalty": ({"penalty": lambda net: 0}, "a penalty was not asked for"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_what_differs_from_what_was_asked_is_named(slip: str) -> None:
    check_fit(handed(), train=TRAIN, val=VAL, **ASKED)
    changes, message = SLIPS[slip]
    with pytest.raises(AssertionError, match=message):
        check_fit(handed(**changes), train=TRAIN, val=VAL, **ASKED)


def test_the_net_is_new_and_begins_with_its_seed() -> None:
    def unseeded() -> nn.Module:
        return nn.Sequential(Normalize(), nn.Flatten(), nn.Linear(192, 3))

    asked = {"train": TRAIN, "val": VAL, "net": unseeded} | ASKED
    torch.manual_seed(5)
    check_fit(handed(model=unseeded()), **asked)
    with pytest.raises(AssertionError, match=r"2.weight: not the first weights of seed 5"):
        check_fit(handed(), **asked)
    wider = nn.Sequential(*unseeded()[:2], nn.Linear(192, 4))
    with pytest.raises(AssertionError, match=r"for: 2.weight .4, 192., wanted: 2.weight .3, 192."):
        check_fit(handed(model=wider), **asked)
    with pytest.raises(AssertionError, match=r"linear.Linear is to be trained, not torch"):
        check_fit(handed(), **asked | {"net": lambda: nn.Linear(192, 3)})
    kept = linear()
    with pytest.raises(AssertionError, match="build a net of its own"):
        check_fit(handed(model=kept), **asked | {"net": lambda: kept})


def test_options_may_differ_from_part_to_part() -> None:
    net = linear()
    halves = [{"params": [p], "lr": rate} for p, rate in zip(net.parameters(), (1, 2), strict=True)]
    given = handed(model=net, optimizer=torch.optim.SGD(halves))
    rates = dict(zip(net.parameters(), (1, 2), strict=True))
    kind = torch.optim.SGD
    check_fit(given, train=TRAIN, val=VAL, **ASKED | {"optimizer": (kind, {"lr": rates.get})})
    with pytest.raises(AssertionError, match="SGD: lr of 1 was asked for, not 2"):
        check_fit(given, train=TRAIN, val=VAL, **ASKED | {"optimizer": (kind, {"lr": 1})})


def test_frozen_layers_are_asked_for() -> None:
    for net, passes in ((frozen(), True), (linear(), False)):
        asked = ASKED | {"learning": [net.get_submodule("2").weight]}
        if passes:
            check_fit(handed(model=net), train=TRAIN, val=VAL, **asked)
            continue
        with pytest.raises(AssertionError, match=r"2.bias is not to learn"):
            check_fit(handed(model=net), train=TRAIN, val=VAL, **asked)


MOVED = Augment(RandomAffine(degrees=15, flip=True), ColourJitter(0.3))
AMOUNTS = {"degrees": 15, "flip": 0.5, "brightness": 0.3}


def test_augmentation_goes_by_its_amounts_or_by_the_layers_passed() -> None:
    def check(layers: nn.Module | None, wanted: Any) -> None:
        check_fit(handed(augment=layers), train=TRAIN, val=VAL, **ASKED, augment=wanted)

    check(MOVED, AMOUNTS)
    check(MOVED, MOVED)
    check(Augment(HorizontalFlip(), ColourJitter(0.3), RandomAffine(degrees=15)), AMOUNTS)
    check(Augment(), None)
    with pytest.raises(AssertionError, match=r"degrees of 15 was asked for, not 0.15"):
        check(Augment(RandomAffine(degrees=0.15, flip=True), ColourJitter(0.3)), AMOUNTS)
    with pytest.raises(AssertionError, match=r"augmentation: {'degrees': 15, .* for, not none"):
        check(None, AMOUNTS)
    with pytest.raises(AssertionError, match=r"layers, not HorizontalFlip .no call"):
        check(HorizontalFlip, AMOUNTS)
    filled = Augment(RandomAffine(degrees=15, flip=True, fill=9), ColourJitter(0.3))
    check(filled, AMOUNTS)
    with pytest.raises(AssertionError, match=r"fill of 0.5 was asked for, not 9"):
        check(filled, AMOUNTS | {"fill": 0.5})
    check(nn.Identity(), None)
    with pytest.raises(AssertionError, match=r"augmentation: \['flip'\] twice"):
        check(Augment(MOVED, HorizontalFlip()), AMOUNTS)
    with pytest.raises(AssertionError, match="given the layers that were passed"):
        check(Augment(*MOVED.layers), MOVED)
    with pytest.raises(AssertionError, match=r"torch.nn.modules.dropout's Dropout"):
        check(nn.Dropout(), AMOUNTS)


def test_schedules_and_what_else_is_asked_for() -> None:
    def check(given: dict[str, Any], **asked: Any) -> None:
        check_fit(given, train=TRAIN, val=VAL, **ASKED, **asked)

    def cycle(**changes: Any) -> Any:
        options = {"epochs": 3, "samples": 12, "batch_size": 4} | changes
        return lambda optimizer: one_cycle(optimizer, **options)

    check(handed(schedule=cycle()), cycle=True)
    with pytest.raises(AssertionError, match=r"to last 9 steps \(all\), not 6"):
        check(handed(schedule=cycle(epochs=2)), cycle=True)
    with pytest.raises(AssertionError, match="the rate is to rise for 1 steps, not 3"):
        check(handed(schedule=cycle(warmup=0.5)), cycle=True)
    with pytest.raises(AssertionError, match="a one-cycle schedule, not None"):
        check(handed(), cycle=True)
    with pytest.raises(AssertionError, match="to be stepped every batch, not epoch"):
        check(handed(schedule=cycle(), schedule_every="epoch"), cycle=True)
    check(handed(schedule=cycle(), schedule_every="batch"), cycle=True)
    kind = torch.optim.lr_scheduler.OneCycleLR
    with pytest.raises(AssertionError, match="its momentum is to stay"):
        check(handed(schedule=lambda o: kind(o, 0.01, total_steps=9)), cycle=True)
    falls = handed(schedule=lambda o: plateau(o, factor=0.2, patience=30))
    check(falls, plateau=(0.2, 30))
    with pytest.raises(AssertionError, match=r"fall to 0.1 of itself, not 0.2"):
        check(falls, plateau=(0.1, 30))
    with pytest.raises(AssertionError, match="own patience is 2: 29"):
        check(falls, plateau=(0.2, 3))
    check(handed(early_stopping=EarlyStopping(6)), stopping=(6, "val_loss"))
    check(handed(mix=OneHot(3)), mix=OneHot(3), soft=True)
    rows = lambda images, labels: (images, torch.eye(3)[labels])  # noqa: E731
    check(handed(mix=rows), mix=OneHot(3), soft=True)
    before = torch.get_rng_state()
    for _ in range(8):
        with pytest.raises(AssertionError, match=r"mix: OneHot .* was asked for, not MixUp"):
            check(handed(mix=MixUp(3)), mix=OneHot(3), soft=True)
    assert torch.equal(torch.get_rng_state(), before), "no random number is used up"
    with pytest.raises(AssertionError, match=r"mix: OneHot .* was asked for, not function"):
        check(handed(mix=lambda images, labels: (images, labels)), mix=OneHot(3), soft=True)
    check(handed(checkpoint="a/b.pt"), checkpoint=Path("a/b.pt"))
    with pytest.raises(AssertionError, match=r"checkpoint: None was asked for, not a.b\.pt"):
        check(handed(checkpoint="a/b.pt"), checkpoint=None)
    check(handed(penalty=lambda net: 0), penalty=True)


def test_a_pair_is_to_be_returned() -> None:
    def returning(*what: Any) -> dict[str, Any]:
        given = handed()
        swap = {"model": given["model"], "history": given["history"]}
        swap["frame"] = given["history"].frame()
        return given | {"returned": tuple(swap.get(one, one) for one in what)}

    check_returned(returning("model", "history"))
    check_returned(returning("model", "frame"), frame=True)
    with pytest.raises(AssertionError, match=r"returns \(model, history\), a pair, not a tuple"):
        check_returned(returning("model"))
    with pytest.raises(AssertionError, match="first the trained net, not a History"):
        check_returned(returning("history", "model"))
    with pytest.raises(AssertionError, match="second fit's history, not this DataFrame"):
        check_returned(returning("model", "frame"))
    with pytest.raises(AssertionError, match=r"second fit's history.frame\(\), not this History"):
        check_returned(returning("model", "history"), frame=True)


def test_fit_may_be_imported_inside_of_the_function() -> None:
    def train_it() -> None:
        from cvhelpers.training import fit as trained

        trained(linear(), TRAIN, VAL, epochs=3, optimizer=None)

    assert handed_to_fit(train_it)["epochs"] == 3


def test_the_loss_of_masks_counts_what_counts() -> None:
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    scenes = replace(TRAIN, images=images, labels=torch.zeros(2, 8, 8, dtype=torch.uint8))

    def check(loss: Any, outputs: int) -> None:
        given = handed(train=scenes, val=scenes, loss=loss)
        wanted = {"loss": cross_entropy_and_dice, "outputs": outputs}
        check_fit(given, train=scenes, val=scenes, **ASKED, **wanted)

    for outputs, squash in ((1, "sigmoid"), (21, "softmax")):
        check(cross_entropy_and_dice, outputs)
        with pytest.raises(AssertionError, match="numbers that come from cross-entropy alone"):
            check(cross_entropy, outputs)
        squashed = torch.sigmoid if outputs == 1 else functools.partial(torch.softmax, dim=1)
        with pytest.raises(AssertionError, match=f"come behind a {squash}"):
            check(lambda o, t, by=squashed: cross_entropy_and_dice(by(o), t), outputs)


# Nets


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
