"""The loop with masks: the same one, with another loss and more that it counts."""

import pytest
import torch
from torch import Tensor, nn

from cvhelpers.augment import Augment, ColourJitter, RandomAffine
from cvhelpers.data.images import Images
from cvhelpers.data.store import Provenance
from cvhelpers.masks import IGNORE
from cvhelpers.models import Normalize, UNet
from cvhelpers.training import (
    EarlyStopping,
    cross_entropy_and_dice,
    evaluate,
    fit,
    mask_scores,
    predict,
)
from cvhelpers.training.metrics import confusion_counts, predicted_classes


def scenes(count: int = 12, *, size: int = 16, seed: int = 0) -> Images:
    """A bright square on noise, in a border of ignored pixels: learnable."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 120, (count, 1, size, size), generator=generator)
    masks = torch.zeros(count, size, size, dtype=torch.uint8)
    for number, (top, left) in enumerate(
        torch.randint(1, size - 7, (count, 2), generator=generator)
    ):
        masks[number, top - 1 : top + 7, left - 1 : left + 7] = IGNORE
        masks[number, top : top + 6, left : left + 6] = 1
    images[(masks == 1)[:, None]] += 120
    return Images(images.byte(), masks, ("background", "square"), Provenance("sample"))


def net(classes: int = 1) -> UNet:
    torch.manual_seed(0)
    return UNet(classes, channels=1, depth=2, width=4)


def adam(model: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=0.02)


@pytest.mark.parametrize("classes", [1, 2])
def test_a_unet_learns_masks_and_the_history_has_their_scores(classes: int) -> None:
    train, val, model = scenes(), scenes(6, seed=1), net(classes)
    stop = EarlyStopping(patience=20, monitor="val_iou")
    history = fit(
        model, train, val, epochs=12, optimizer=adam(model), batch_size=4,
        loss=cross_entropy_and_dice, early_stopping=stop,
        augment=Augment(RandomAffine(translate=0.1, flip=True), ColourJitter(0.1)),
    )  # fmt: skip
    row = history.best("val_iou")
    assert set(row) == {
        "epoch", "learning_rate", "seconds",
        *(f"{part}_{name}" for part in ("train", "val") for name in
          ("loss", "accuracy", "iou", "dice")),
    }  # fmt: skip
    assert row["val_iou"] > 0.8
    found = evaluate(model, val)
    assert found["iou"] == pytest.approx(row["val_iou"])
    counts = confusion_counts(predicted_classes(predict(model, val)), val.labels, 2)
    assert found == pytest.approx({"loss": found["loss"], **mask_scores(counts)})


def test_what_is_ignored_changes_no_weight() -> None:
    """Two sets that differ only under the ignored border train the same net."""
    first = scenes()
    masks = first.labels.clone()
    weights = []
    for border in (0, 255):
        images = first.images.clone()
        images[(masks == IGNORE)[:, None]] = border
        torch.manual_seed(0)
        # One pixel at a time: what is ignored has no neighbour to speak through.
        model = nn.Sequential(Normalize((0.5,), (0.5,)), nn.Conv2d(1, 1, 1))
        data = Images(images, masks, first.classes, first.provenance)
        fit(model, data, data, epochs=2, optimizer=adam(model), batch_size=4)
        weights.append(model[1].weight.item())
    assert weights[0] == weights[1]


class Noting(nn.Module):
    """Notes what it was given, and marks the first row of every mask as ignored."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(tuple(masks.shape))
        return images.float(), masks.clone().index_fill_(1, torch.tensor([0]), IGNORE)


def test_augmentation_is_given_images_and_masks() -> None:
    model, augment = net(), Noting()
    fit(model, scenes(8), scenes(4), epochs=1, optimizer=adam(model), batch_size=4, augment=augment)
    assert augment.seen == [(4, 16, 16)] * 2


@pytest.mark.parametrize("value", [2, 37])
def test_a_class_that_the_net_has_no_logit_for(value: int) -> None:
    train, model = scenes(8), net()
    train.labels[5, 3, 3] = value
    with pytest.raises(
        ValueError, match=f"from 0 to {value}, but the net has 1 logits, for labels"
    ):
        fit(model, train, scenes(4), epochs=1, optimizer=adam(model), batch_size=4)


def test_a_net_that_gives_no_mask_is_told() -> None:
    flat = nn.Sequential(Normalize((0.5,), (0.5,)), nn.Flatten(), nn.Linear(256, 2))
    message = r"masks \(4, 16, 16\) need logits \(B, K, 16, 16\), but the net gives \(4, 2\)"
    with pytest.raises(ValueError, match=message):
        evaluate(flat, scenes(4))
    half = nn.Sequential(Normalize((0.5,), (0.5,)), nn.Conv2d(1, 1, 2, stride=2))
    with pytest.raises(ValueError, match=r"the net gives \(4, 1, 8, 8\)"):
        fit(half, scenes(4), scenes(4), epochs=1, optimizer=adam(half), batch_size=4)


def test_large_images_are_evaluated_few_at_a_time() -> None:
    sizes = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.zero = nn.Parameter(torch.zeros(()))

        def forward(self, images: Tensor) -> Tensor:
            sizes.append(len(images))
            return images.float() * self.zero

    images = torch.zeros(5, 1, 1024, 1024, dtype=torch.uint8)
    evaluate(Counting(), Images(images, images[:, 0], ("a", "b"), Provenance("sample")))
    assert sizes == [2, 2, 1]
    small = torch.zeros(600, 1, 8, 8, dtype=torch.uint8)
    predict(Counting(), Images(small, small[:, 0], ("a", "b"), Provenance("sample")))
    assert sizes[3:] == [512, 88]


def test_an_interrupted_training_of_masks_goes_on_exactly(tmp_path) -> None:
    def run(*epochs: int, file: str) -> dict[str, Tensor]:
        for count in epochs:
            model = net()
            fit(model, scenes(8), scenes(4), epochs=count, optimizer=adam(model), batch_size=4,
                augment=RandomAffine(degrees=10), checkpoint=tmp_path / file)  # fmt: skip
        return model.state_dict()

    at_once, resumed = run(3, file="a.pt"), run(1, 3, file="b.pt")
    assert all(torch.equal(at_once[name], resumed[name]) for name in at_once)
