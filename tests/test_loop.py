"""The training loop against loops written out by hand, and all it refuses."""

import copy
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import linear, net, pictures, sgd
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from cvhelpers.augment import MixUp, OneHot, RandomAffine
from cvhelpers.data.images import Images
from cvhelpers.models import Normalize
from cvhelpers.training import (
    EarlyStopping,
    FeatureBatches,
    evaluate,
    fit,
    one_cycle,
    predict,
)
from cvhelpers.training.loop import train_epoch
from cvhelpers.training.precision import Policy

FLOAT32 = Policy(torch.device("cpu"), torch.float32)
Batches = list[tuple[Tensor, Tensor]]


def batches(images: Images, size: int = 5) -> Batches:
    return list(images.batches(size))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def interrupt(model: nn.Module, *, after: int) -> None:
    """Press Ctrl-C in the training step after this many."""
    steps = iter(range(after))

    def count(module: nn.Module, _: Any) -> None:
        if module.training and next(steps, None) is None:
            raise KeyboardInterrupt

    model.register_forward_pre_hook(count)


# What it computes


def test_fit_is_the_loop_that_everybody_writes() -> None:
    train, val = batches(pictures(12)), pictures(7, seed=1)
    model, twin = net(), net()
    history = fit(model, train, val, epochs=2, optimizer=sgd(model))
    optimizer = sgd(twin)
    for epoch in (1, 2):
        loss = hits = 0.0
        for images, labels in train:
            logits = twin(images)
            value = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            loss += value.item() * len(labels)
            hits += (logits.argmax(1) == labels).sum().item()
        row = history.rows[epoch - 1]
        assert row["epoch"] == epoch
        assert row["train_loss"] == pytest.approx(loss / 12)
        assert row["train_accuracy"] == pytest.approx(hits / 12)
    torch.testing.assert_close(weights(model), weights(twin))
    logits = twin.eval()(val.images)
    assert row["val_loss"] == pytest.approx(F.cross_entropy(logits, val.labels).item())
    assert row["val_accuracy"] == pytest.approx((logits.argmax(1) == val.labels).sum().item() / 7)
    assert row["learning_rate"] == 0.05
    assert row["seconds"] > 0
    assert (history.finished, history.precision, len(history)) == (True, "float32", 2)


class Stream:
    """Batches read as they are needed, as from files: no length, and again in every epoch."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from batches(pictures(12), 6)


class Named(Stream):
    """Batches of one's own, whose `labels` are anything but what the pack means by it."""

    labels = ("red", "green", "blue")


def test_any_iterable_of_batches_trains() -> None:
    images = pictures(12)
    loader = DataLoader(TensorDataset(images.images, images.labels), batch_size=6)
    results = []
    for train in (batches(images, 6), tuple(batches(images, 6)), Stream(), Named(), loader):
        model = net()
        history = fit(model, train, train, epochs=2, optimizer=sgd(model))
        results.append((weights(model), history.column("val_loss")))
    for found in results[1:]:
        assert torch.equal(found[0], results[0][0])
        assert found[1] == results[0][1]


def test_a_net_learns() -> None:
    model, images = net(), pictures(60)
    before = evaluate(model, images)["loss"]
    optimizer = sgd(model, 0.2)
    history = fit(model, images, images, epochs=15, optimizer=optimizer, batch_size=15)
    assert history.rows[-1]["val_loss"] < 0.7 * before
    assert history.rows[-1]["val_accuracy"] > 0.8  # chance is a third


def test_training_images_are_shuffled_anew_and_validation_images_are_not() -> None:
    train, val = pictures(10), pictures(6, seed=1)
    model = linear()
    seen: dict[bool, list[list[float]]] = {True: [], False: []}
    model.register_forward_pre_hook(
        lambda module, inputs: seen[module.training].append(inputs[0].sum((1, 2, 3)).tolist())
    )
    fit(model, train, val, epochs=3, optimizer=sgd(model), batch_size=4)
    in_order = train.images.sum((1, 2, 3)).tolist()
    epochs = [[pixels for batch in seen[True][i : i + 3] for pixels in batch] for i in (0, 3, 6)]
    assert [len(batch) for batch in seen[True]] == [4, 4, 2] * 3
    assert all(sorted(epoch) == sorted(in_order) for epoch in epochs)
    assert len({tuple(epoch) for epoch in [*epochs, in_order]}) == 4
    assert seen[False] == [val.images.sum((1, 2, 3)).tolist()] * 3


def test_a_single_last_image_is_left_out_of_training_but_not_of_validation() -> None:
    """Batch normalisation cannot train on one image."""
    model, images = nn.Sequential(linear(), nn.BatchNorm1d(3)), pictures(9)
    sizes: dict[bool, list[int]] = {True: [], False: []}
    model.register_forward_pre_hook(
        lambda module, inputs: sizes[module.training].append(len(inputs[0]))
    )
    fit(model, images, images, epochs=1, optimizer=sgd(model), batch_size=4)
    assert sizes == {True: [4, 4], False: [9]}
    model = linear()  # one image is all there is
    history = fit(model, images[:1], images, epochs=1, optimizer=sgd(model), batch_size=4)
    assert len(history) == 1


def test_an_equal_seed_gives_equal_bits() -> None:
    def train(seed: int) -> tuple[Tensor, list[float]]:
        model = net(dropout=0.3)
        torch.manual_seed(seed)
        history = fit(model, pictures(), pictures(6), epochs=2, optimizer=sgd(model), batch_size=5)
        return weights(model), history.column("train_loss")

    first, again, other = train(1), train(1), train(2)
    assert torch.equal(first[0], again[0])
    assert first[1] == again[1]
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("as_features", [False, True])
def test_an_equal_seed_gives_every_variant_the_same_order_in_every_epoch(
    as_features: bool,
) -> None:
    """Other random numbers, of a wider net or of augmentation, do not touch the order."""
    images = pictures(10)
    inputs = images.images.flatten(1).float()
    train: Any = FeatureBatches(inputs, images.labels, 4, shuffle=True) if as_features else images

    def orders(seed: int, *, width: int = 3, dropout: float = 0.0, augment: Any = None) -> Any:
        torch.manual_seed(seed)
        layers = [nn.Linear(192, width), nn.Dropout(dropout), nn.Linear(width, 3)]
        model = nn.Sequential(Normalize(), nn.Flatten(), *layers)
        if as_features:
            model = nn.Sequential(*layers)
        seen: list[list[float]] = []

        def watch(module: nn.Module, given: tuple[Tensor]) -> None:
            if module.training:
                seen.append(given[0].flatten(1).float().sum(1).tolist())

        model.register_forward_pre_hook(watch)
        options = {"epochs": 3, "batch_size": 4, "augment": augment}
        fit(model, train, train, optimizer=sgd(model, 1e-6), **options)
        return seen

    class Draws(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            torch.rand(5)
            return batch

    plain = orders(1)
    assert orders(1, width=13, dropout=0.5) == orders(1, augment=Draws()) == plain
    assert orders(2) != plain
    assert plain[:3] != plain[3:6]


# Means over uneven batches


def test_an_uneven_last_batch_does_not_bias_the_training_loss() -> None:
    model, images = linear(), pictures(10)
    whole = F.cross_entropy(model(images.images), images.labels).item()
    parts = [F.cross_entropy(model(x), y).item() for x, y in batches(images, 8)]
    assert abs(sum(parts) / 2 - whole) > 1e-3  # the mean of the means is another number
    history = fit(model, images, images, epochs=1, optimizer=sgd(model, 0.0), batch_size=8)
    assert history.rows[0]["train_loss"] == pytest.approx(whole, rel=1e-6)
    assert history.rows[0]["val_loss"] == pytest.approx(whole, rel=1e-6)


def test_evaluation_does_not_depend_on_the_batch_size() -> None:
    model, images = net().eval(), pictures(10)
    logits = model(images.images)
    loss = F.cross_entropy(logits, images.labels).item()
    accuracy = (logits.argmax(1) == images.labels).sum().item() / 10
    for size in (1, 3, 9, 10, 512):
        expected = {"loss": pytest.approx(loss), "accuracy": pytest.approx(accuracy)}
        assert evaluate(model, images, batch_size=size) == expected
        assert evaluate(model, batches(images, size)) == expected


# Evaluation leaves no trace


def test_evaluation_leaves_modes_statistics_and_random_numbers_alone() -> None:
    model, images = net(dropout=0.5), pictures(8)
    model.train()
    model[2].eval()  # a frozen part
    modes = [module.training for module in model.modules()]
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    first = evaluate(model, images)
    assert evaluate(model, images) == first  # dropout is off
    assert predict(model, images).shape == (8, 3)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_modes_come_back_after_an_error() -> None:
    model = net()
    model[2].eval()
    modes = [module.training for module in model.modules()]
    for function in (evaluate, predict):
        with pytest.raises(RuntimeError):
            function(model, pictures(4, size=2))  # too small for the convolution
        assert [module.training for module in model.modules()] == modes


def test_predictions_are_the_logits_in_order() -> None:
    model, images = net(dropout=0.5), pictures(10)
    logits = predict(model, images, batch_size=3)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, model.eval()(images.images), check_stride=False)


def test_training_updates_batch_statistics_although_the_model_came_in_eval_mode() -> None:
    model = net().eval()
    before = model[2].running_mean.clone()
    fit(model, pictures(), pictures(), epochs=1, optimizer=sgd(model))
    assert not torch.equal(model[2].running_mean, before)


# Soft targets


def soft(images: Images, size: int = 5) -> Batches:
    return [OneHot(3)(*batch) for batch in images.batches(size)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_hot_targets_train_as_indices_do(smoothing: float) -> None:
    loss = functools.partial(F.cross_entropy, label_smoothing=smoothing)
    results = []
    for mix in (None, OneHot(3)):
        model = net()
        torch.manual_seed(1)
        options: dict[str, Any] = {"optimizer": sgd(model), "batch_size": 5, "loss": loss}
        history = fit(model, pictures(13), pictures(6), epochs=2, mix=mix, **options)
        gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
        results.append((weights(model), gradients, rows))
    index, one_hot = results
    torch.testing.assert_close(one_hot[0], index[0])
    torch.testing.assert_close(one_hot[1], index[1])
    for mine, its in zip(one_hot[2], index[2], strict=True):
        assert mine == pytest.approx(its)


def test_one_hot_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # probabilities there: 1/4 and 4/5
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    nn.init.eye_(model[1].weight)
    found = evaluate(model, [(logits.view(2, 2, 1, 1), targets)])
    assert found["loss"] == pytest.approx((math.log(4) + math.log(5 / 4)) / 2)
    assert found["accuracy"] == 0.5


def test_evaluation_of_one_hot_targets_equals_that_of_indices() -> None:
    model, images = net(), pictures(13)
    assert evaluate(model, soft(images)) == pytest.approx(evaluate(model, batches(images)))


# What touches training batches only


class Brighten(nn.Module):
    """Adds 1000 while training, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, images: Tensor) -> Tensor:
        self.count += len(images)
        assert self.training
        return images + 1000.0


def test_augmentation_touches_training_batches_only() -> None:
    model, augment = linear(), Brighten().eval()
    seen: dict[bool, float] = {}
    model.register_forward_pre_hook(
        lambda module, inputs: seen.update({module.training: inputs[0].float().mean().item()})
    )
    train, val = pictures(9), pictures(6, seed=1)
    optimizer = sgd(model, 1e-6)
    history = fit(model, train, val, epochs=2, optimizer=optimizer, augment=augment)
    assert augment.count == 2 * 9
    assert seen[True] > 1000
    assert seen[False] == pytest.approx(val.images.float().mean().item())
    assert history.rows[-1]["val_loss"] == evaluate(model, val)["loss"]


def test_mixing_touches_training_batches_only_and_comes_after_augmentation() -> None:
    class Mix(OneHot):
        def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            assert self.training
            calls.append((images.min().item(), list(targets.shape)))
            return super().forward(images + 5000.0, targets)

    calls: list[tuple[float, list[int]]] = []
    shown: dict[bool, float] = {}
    model, val = net(), pictures(6, seed=1)
    model.register_forward_pre_hook(
        lambda module, inputs: shown.update({module.training: inputs[0].min().item()})
    )
    options: dict[str, Any] = {"optimizer": sgd(model), "mix": Mix(3).eval(), "batch_size": 5}
    history = fit(model, pictures(9), val, epochs=1, augment=Brighten(), **options)
    assert [shape for _, shape in calls] == [[5], [4]]
    assert all(1000 <= lowest < 5000 for lowest, _ in calls)
    assert shown[True] >= 6000  # the net sees what came out
    assert shown[False] < 256
    assert history.rows[0]["val_loss"] == evaluate(model, val)["loss"]


def test_validation_uses_the_plain_loss() -> None:
    model, images = net(), pictures(9)

    def double(logits: Tensor, targets: Tensor) -> Tensor:
        return 2 * F.cross_entropy(logits, targets)

    optimizer = sgd(model, 0.0, momentum=0)
    history = fit(model, images, images, epochs=1, optimizer=optimizer, loss=double)
    assert history.rows[0]["val_loss"] == evaluate(model, images)["loss"]
    logits = copy.deepcopy(model).train()(images.images)
    twice = 2 * F.cross_entropy(logits, images.labels).item()
    assert history.rows[0]["train_loss"] == pytest.approx(twice, rel=1e-5)


def test_a_penalty_enters_the_gradient_but_not_the_reported_loss() -> None:
    data, rate = batches(pictures(6), 6), 0.1
    plain, punished = linear(), linear()
    start = weights(plain)
    without = train_epoch(plain, data, FLOAT32, optimizer=sgd(plain, rate))

    def l1(model: nn.Module) -> Tensor:
        return 0.01 * sum(parameter.abs().sum() for parameter in model.parameters())

    loaded = train_epoch(punished, data, FLOAT32, optimizer=sgd(punished, rate), penalty=l1)
    assert loaded == without
    # One step: the penalty's gradient is 0.01 times the sign of each weight.
    expected = weights(plain) - rate * 0.01 * start.sign()
    torch.testing.assert_close(weights(punished), expected)


# Schedules and early stopping


def test_plateau_is_stepped_once_an_epoch_with_the_validation_loss() -> None:
    class Recorded(ReduceLROnPlateau):
        def step(self, metrics: Any, epoch: Any = None) -> None:
            seen.append(metrics)
            super().step(metrics)

    seen: list[float] = []
    model = net()
    optimizer = sgd(model, 0.5, momentum=0)
    schedule = Recorded(optimizer, factor=0.1, patience=0, threshold=10, threshold_mode="abs")
    options: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule, "batch_size": 4}
    history = fit(model, pictures(12), pictures(6), epochs=3, **options)
    assert seen == history.column("val_loss")
    # Nothing is 10 better than the first epoch: the rate falls after the second.
    assert history.column("learning_rate") == pytest.approx([0.5, 0.5, 0.05])


def test_one_cycle_is_stepped_once_a_batch_and_ends_with_the_training() -> None:
    model = net()
    optimizer = sgd(model, 0.2)
    schedule = one_cycle(optimizer, epochs=3, samples=14, batch_size=4)
    rates: list[float] = []
    optimizer.register_step_pre_hook(
        lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"])
    )
    options: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule, "batch_size": 4}
    fit(model, pictures(14), pictures(6), epochs=3, **options)
    assert len(rates) == schedule.last_epoch == schedule.total_steps == 3 * 4
    assert rates.index(max(rates)) == 2
    assert max(rates) == pytest.approx(0.2)
    assert rates[-1] == pytest.approx(0.2 / 25 / 1e4)


def spoil(model: nn.Module, *, after: int) -> None:
    """Ruin the linear layer before every training step from this one on."""
    steps = iter(range(after))

    def ruin(module: nn.Module, _: Any) -> None:
        if module.training and next(steps, None) is None:
            with torch.no_grad():
                module[-1].bias.copy_(torch.tensor([50.0, -50, 0]))

    model.register_forward_pre_hook(ruin)


def test_early_stopping_ends_with_the_best_weights() -> None:
    model, val = net(), pictures(9, seed=1)
    spoil(model, after=3)  # epochs of one step: the third is the last good one
    stopping = EarlyStopping(2)
    optimizer = sgd(model, 0.05, momentum=0)
    options: dict[str, Any] = {"optimizer": optimizer, "early_stopping": stopping}
    history = fit(model, pictures(12), val, epochs=9, **options)
    losses = history.column("val_loss")
    assert len(losses) == 5
    assert history.finished
    assert stopping.best_epoch == losses.index(min(losses)) + 1 == 3
    assert evaluate(model, val)["loss"] == losses[2] < losses[4]


def test_the_best_weights_come_back_also_when_the_epochs_run_out() -> None:
    model, val = net(), pictures(9, seed=1)
    spoil(model, after=2)
    optimizer = sgd(model, 0.05, momentum=0)
    options: dict[str, Any] = {"optimizer": optimizer, "early_stopping": EarlyStopping(9)}
    history = fit(model, pictures(12), val, epochs=4, **options)
    losses = history.column("val_loss")
    assert len(losses) == 4
    assert evaluate(model, val)["loss"] == min(losses) < losses[-1]


def test_without_early_stopping_the_last_weights_stay() -> None:
    model, val = net(), pictures(9, seed=1)
    spoil(model, after=2)
    history = fit(model, pictures(12), val, epochs=4, optimizer=sgd(model, 0.05, momentum=0))
    losses = history.column("val_loss")
    assert evaluate(model, val)["loss"] == losses[-1] > min(losses)


# Precision


def test_bfloat16_is_for_training_steps_only() -> None:
    model, images = net(), pictures(6)
    found: dict[bool, torch.dtype] = {}
    model[1].register_forward_hook(
        lambda module, _, output: found.update({module.training: output.dtype})
    )
    optimizer = sgd(model)
    history = fit(model, images, images, epochs=1, optimizer=optimizer, precision="bfloat16")
    assert found == {True: torch.bfloat16, False: torch.float32}
    assert history.precision == "bfloat16"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


# What it refuses


def test_an_unknown_precision_is_refused() -> None:
    model = net()
    options: dict[str, Any] = {"optimizer": sgd(model), "precision": "float16"}
    with pytest.raises(ValueError, match="unknown precision 'float16'; choose one of: auto, float"):
        fit(model, pictures(), pictures(), epochs=1, **options)


@pytest.mark.parametrize(
    ("once", "name"),
    [
        (lambda data: iter(data), "list_iterator"),
        (lambda data: (batch for batch in data), "generator"),
        (lambda data: pictures().batches(4), "generator"),
        (lambda data: map(tuple, data), "map"),
    ],
)
def test_an_iterator_that_one_epoch_uses_up_is_refused(once: Any, name: str) -> None:
    model, data = net(), batches(pictures())
    with pytest.raises(ValueError, match=f"train is a {name}, which is empty after one epoch; giv"):
        fit(model, once(data), data, epochs=2, optimizer=sgd(model))


def test_a_validation_iterator_is_noticed_when_it_is_used_up() -> None:
    model, data = net(), batches(pictures())
    with pytest.raises(ValueError, match=r"no batches: .* an iterator was used up before"):
        fit(model, data, iter(data), epochs=2, optimizer=sgd(model))


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("empty", [pictures()[:0], [], DataLoader([])], ids=type)
def test_empty_data_is_refused(part: str, empty: Any) -> None:
    model = net()
    parts = {"train": pictures(), "val": pictures()} | {part: empty}
    with pytest.raises(ValueError, match="no batches: the data set is empty"):
        fit(model, **parts, epochs=1, optimizer=sgd(model))


def test_a_training_that_runs_away_says_what_to_lower() -> None:
    model = linear()
    message = r"loss became nan.*: lower the learning rate \(now 1e\+38\), or train in float32"
    with pytest.raises(FloatingPointError, match=message):
        fit(model, pictures(), pictures(), epochs=9, optimizer=sgd(model, 1e38), batch_size=4)


def test_an_infinite_loss_stops_too() -> None:
    model = linear()

    def infinite(logits: Tensor, targets: Tensor) -> Tensor:
        return logits.sum() + math.inf

    with pytest.raises(
        FloatingPointError, match=r"became inf.*: lower the learning rate \(now 0.05"
    ):
        fit(model, pictures(), pictures(), epochs=1, optimizer=sgd(model), loss=infinite)


def test_an_interrupt_returns_the_history_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    model = net()
    interrupt(model, after=2 * 3 + 1)  # in the second of the three steps of epoch 3
    options: dict[str, Any] = {"optimizer": sgd(model), "batch_size": 4, "label": "lenet"}
    history = fit(model, pictures(12), pictures(6), epochs=9, **options)
    assert history.column("epoch") == [1, 2]
    assert not history.finished
    assert capsys.readouterr().out.splitlines()[-1].startswith("lenet: interrupted; the history so")


def test_an_interrupt_in_the_first_epoch_returns_an_empty_history() -> None:
    model = net()
    interrupt(model, after=0)
    history = fit(model, pictures(), pictures(), epochs=2, optimizer=sgd(model))
    assert len(history) == 0
    with pytest.raises(ValueError, match="the history is empty"):
        history.last()


def test_random_transforms_of_the_pack_fit_in() -> None:
    model = net()
    options: dict[str, Any] = {"augment": RandomAffine(degrees=10), "mix": MixUp(3)}
    history = fit(model, pictures(), pictures(), epochs=1, optimizer=sgd(model), **options)
    assert math.isfinite(history.rows[0]["train_loss"])


def test_a_last_batch_of_one_image_is_left_out_of_training_only() -> None:
    train = pictures(13)  # 3 batches of 4, and a single image
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.BatchNorm1d(3))
    seen: list[tuple[bool, int]] = []
    model.register_forward_pre_hook(lambda module, x: seen.append((module.training, len(x[0]))))
    images = Images(train.images, train.labels, train.classes, train.provenance)
    floats = nn.Sequential(Float(), model)
    fit(floats, images, images, epochs=1, optimizer=sgd(floats), batch_size=4, precision="float32")
    assert [size for training, size in seen if training] == [4, 4, 4]
    assert sum(size for training, size in seen if not training) == 13


class Float(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float() / 255


def rates_of(schedule: Callable[[torch.optim.Optimizer], Any], **options: Any) -> list[float]:
    model, images = linear(), pictures(12)
    optimizer = sgd(model, 1e-3)
    made = schedule(optimizer)
    history = fit(
        model, images, images, optimizer=optimizer, schedule=made, batch_size=4, **options
    )
    return history.column("learning_rate")


def test_a_schedule_of_epochs_is_stepped_once_an_epoch() -> None:
    """Three steps an epoch: stepped by batch, these would be at their end in the first epoch."""
    rates = rates_of(lambda o: torch.optim.lr_scheduler.StepLR(o, 2, gamma=0.1), epochs=4)
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    cosine = rates_of(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=4), epochs=4)
    expected = [1e-3 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert cosine == pytest.approx(expected)


def test_a_caller_may_say_when_a_schedule_is_stepped() -> None:
    def halving(optimizer: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)

    assert rates_of(halving, epochs=2) == pytest.approx([1e-3, 5e-4])
    # the learning rate of a row is that after the epoch's last step
    by_batch = rates_of(halving, epochs=2, schedule_every="batch")
    assert by_batch == pytest.approx([1e-3 / 8, 1e-3 / 64])


def refused(message: str, model: nn.Module, **options: Any) -> None:
    before = weights(model).clone()
    images = pictures(12)
    options = {"epochs": 1, "batch_size": 4, "optimizer": sgd(model), **options}
    train, val = options.pop("train", images), options.pop("val", images)
    with pytest.raises(ValueError, match=message):
        fit(model, train, val, **options)
    assert torch.equal(weights(model), before)


def test_an_optimizer_of_another_model_is_refused() -> None:
    """The commonest slip of a re-run cell: the model is built anew, the optimizer is not."""
    refused("holds none of the parameters.*Make it after the model", linear(), optimizer=sgd(net()))


def test_an_optimizer_of_a_part_of_the_model_is_refused_unless_the_rest_is_frozen() -> None:
    model, images = net(), pictures(12)
    head = torch.optim.SGD(model[-1].parameters(), lr=0.1)
    refused(
        r"lacks 4 of 6 trainable parameters \(1.weight, 1.bias, 2.weight, ...\)",
        model,
        optimizer=head,
    )
    model[:-1].requires_grad_(False)
    assert len(fit(model, images, images, epochs=1, optimizer=head)) == 1


def test_a_wholly_frozen_model_is_refused() -> None:
    model = linear()
    optimizer = sgd(model)
    refused(
        "every parameter of Sequential is frozen", model.requires_grad_(False), optimizer=optimizer
    )


def test_a_schedule_of_another_optimizer_is_refused() -> None:
    model = linear()
    schedule = torch.optim.lr_scheduler.StepLR(sgd(model), 1)
    refused("StepLR belongs to another optimizer", model, schedule=schedule)


@pytest.mark.parametrize("epochs", [2.5, 0, -3, True, "3", None])
def test_epochs_are_whole_numbers(epochs: Any) -> None:
    refused(f"epochs must be 1 or more, not {epochs!r}: a whole number", linear(), epochs=epochs)


def test_numpys_whole_numbers_are_fine() -> None:
    model, images = linear(), pictures(4)
    assert len(fit(model, images, images, epochs=np.int64(2), optimizer=sgd(model))) == 2


@pytest.mark.parametrize(("label", "found"), [(3, "0 to 3"), (-1, "-1 to 2")])
def test_labels_that_the_logits_have_no_place_for_are_refused(label: int, found: str) -> None:
    """On CUDA such a label is a device-side assert, which kills the kernel."""
    images = pictures(12)
    labels = images.labels.clone()
    labels[-1] = label  # in the last batch: seen before the first step all the same
    wrong = dataclasses.replace(images, labels=labels)
    message = f"labels go from {found}, but the net has 3 logits, for labels 0 to 2"
    refused(message, linear(), train=wrong)
    refused(message, linear(), train=list(batches(wrong, 12)))
    with pytest.raises(ValueError, match=message):
        evaluate(linear(), wrong)
