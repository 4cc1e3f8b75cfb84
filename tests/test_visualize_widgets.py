"""Widgets: a still figure always, controls only where somebody looks, pictures that follow them."""

import re
from collections.abc import Callable, Iterator

import ipywidgets
import matplotlib as mpl
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor, nn

from cvhelpers.augment import ColourJitter
from cvhelpers.training import History
from cvhelpers.visualize import (
    LiveCurves,
    controls,
    explore_activations,
    explore_augmentation,
    explore_filters,
    explore_paths,
    explore_predictions,
    explore_receptive_field,
    explore_threshold,
)

MODEL = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 9, 3, stride=2))
IMAGES = torch.randint(0, 256, (3, 3, 9, 9)).float()
PROBABILITIES = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
LABELS = torch.tensor([0, 0, 1])
MASKS = torch.zeros(2, 9, 9, dtype=torch.uint8)
MASKS[:, :4] = 1


def bowl(point: Tensor) -> Tensor:
    return point[0] ** 2 + 4 * point[1] ** 2


def walk(surface: str, optimizer: str, rate: float) -> Tensor:
    slope = torch.tensor([2.0, 8.0])
    return torch.stack([torch.tensor([2.0, 2.0]) * (1 - rate * slope) ** k for k in range(6)])


EXPLORERS: dict[str, Callable[[], Figure]] = {
    "activations": lambda: explore_activations(MODEL, IMAGES, ["1", "2"], ["ant", "bee", "cat"]),
    "filters": lambda: explore_filters(MODEL, ["0", "2"]),
    "augmentation": lambda: explore_augmentation({"colour": ColourJitter}, IMAGES[0]),
    "predictions": lambda: explore_predictions(IMAGES, PROBABILITIES, LABELS, ["ant", "bee"]),
    "threshold": lambda: explore_threshold(IMAGES[:2], torch.rand(2, 9, 9), MASKS),
    "receptive field": lambda: explore_receptive_field(MODEL, ["0", "2"], IMAGES[0]),
    "paths": lambda: explore_paths(walk, {"bowl": bowl}, ["SGD", "Adam"], [0.01, 0.1, 0.2]),
}


@pytest.fixture(autouse=True)
def _figures() -> Iterator[None]:
    mpl.use("Agg")
    yield
    plt.close("all")


class FrontEnd:
    """Somebody who looks: keeps what is shown, and every figure that became a picture."""

    def __init__(self) -> None:
        self.shown: list[ipywidgets.Widget] = []
        self.drawn: list[Figure] = []

    @property
    def controls(self) -> dict[str, ipywidgets.Widget]:
        (box,) = self.shown
        return {control.description: control for control in box.children[0].children}

    @property
    def html(self) -> str:
        box = self.shown[-1]
        return str(box.value if isinstance(box, ipywidgets.HTML) else box.children[1].value)

    @property
    def title(self) -> str:
        return " ".join(ax.get_title() + ax.get_title("left") for ax in self.drawn[-1].axes)


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> FrontEnd:
    end, make = FrontEnd(), controls.picture_html

    def kept(figure: Figure, description: str) -> str:
        end.drawn.append(figure)
        return make(figure, description)

    monkeypatch.setattr(controls, "has_front_end", lambda: True)
    monkeypatch.setattr(controls, "display", end.shown.append)
    monkeypatch.setattr(controls, "picture_html", kept)
    return end


@pytest.mark.parametrize("name", EXPLORERS)
def test_without_a_front_end_there_is_the_still_figure_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "has_front_end", lambda: False)
    monkeypatch.setattr(controls, "display", lambda item: pytest.fail(f"displayed {item}"))
    still = EXPLORERS[name]()
    assert any(ax.images or ax.lines for ax in still.axes)
    assert plt.get_fignums() == [still.number]


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_control_changes_the_picture_and_says_what_it_is(name: str, front: FrontEnd) -> None:
    still = EXPLORERS[name]()
    before = front.html
    assert re.match(r'<img src="data:image/png;base64,[^"]+" alt="[^"]+"', before)
    for control in front.controls.values():
        assert control.tooltip.endswith(f": {control.description}")  # read to the blind
        if hasattr(control, "options"):
            choices = [value for _, value in control._options_full]
        else:
            choices = [control.min, control.max]
        moved = next((value for value in choices if value != control.value), None)
        if moved is None:
            continue  # a list or a range of one
        pictures = len(front.drawn)
        control.value = moved
        assert front.html != before, f"{control.description} changed nothing"
        assert len(front.drawn) == pictures + 1, "drawn more than once for one move"
        before = front.html
    assert "role='alert'" not in before
    assert plt.get_fignums() == [still.number]  # what the sliders drew is closed again


def test_another_layer_brings_the_sliders_into_its_range(front: FrontEnd) -> None:
    explore_activations(MODEL, IMAGES, ["2", "1"], ["ant", "bee", "cat"])
    controls = front.controls
    assert controls["map"].max == 8
    controls["map"].value = 8
    controls["layer"].value = "1"
    assert (controls["map"].value, controls["map"].max) == (5, 5)
    assert "1: ant" in front.title
    assert "map 5" in front.title
    assert "layer 1, image ant, map 5" in front.html


def test_a_place_keeps_its_share_of_another_layer(front: FrontEnd) -> None:
    explore_receptive_field(MODEL, ["0", "2"], torch.zeros(3, 21, 21))
    controls = front.controls
    assert (controls["row"].value, controls["row"].max) == (9, 18)
    controls["row"].value = 18
    controls["layer"].value = "2"
    assert (controls["row"].value, controls["row"].max) == (8, 8)
    assert "2: 5 x 5 pixels" in front.title


def test_behind_a_layer_of_one_value_the_place_is_the_middle(front: FrontEnd) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(7))
    explore_receptive_field(net, ["1", "0"], IMAGES[0])
    controls = front.controls
    assert controls["row"].max == 0
    controls["layer"].value = "0"
    assert (controls["row"].value, controls["column"].value) == (3, 3)


def test_nothing_to_look_at_is_said() -> None:
    with pytest.raises(ValueError, match="give one layer at least"):
        explore_activations(MODEL, IMAGES, [])
    with pytest.raises(ValueError, match="give one image at least"):
        explore_threshold([], [], [])


def test_a_failing_picture_is_said_below_the_controls(front: FrontEnd) -> None:
    explore_threshold(IMAGES[:2], [torch.rand(9, 9), torch.rand(4, 4)], MASKS)
    front.controls["image"].value = 1
    assert "give both at one size" in front.html
    assert "role='alert'" in front.html
    front.controls["image"].value = 0
    assert "<img" in front.html


def test_a_threshold_gives_the_scores_of_its_mask(front: FrontEnd) -> None:
    probability = torch.where(MASKS[:1] == 1, 0.6, 0.3)
    explore_threshold(IMAGES[:1], probability, MASKS[:1])
    assert "IoU 1.000, precision 1.000, recall 1.000" in front.title
    front.controls["threshold"].value = 0.2  # all of it is foreground: 36 of 81 pixels are right
    assert "IoU 0.444, precision 0.444, recall 1.000" in front.title
    front.controls["threshold"].value = 0.9
    assert "IoU 0.000, precision undefined, recall 0.000" in front.title


def test_predictions_are_paged(front: FrontEnd) -> None:
    images = torch.arange(30)[:, None, None, None].expand(30, 1, 2, 2).byte()
    sure = torch.linspace(0.6, 0.95, 30)
    labels = torch.ones(30, dtype=torch.int64)
    labels[:5] = 0
    explore_predictions(images, torch.stack([sure, 1 - sure], 1), labels, ["ant", "bee"])
    controls = front.controls
    assert controls["page"].max == 2  # 25 mistakes, 12 on a page
    controls["page"].value = 2
    (only,) = front.drawn[-1].axes[0].images
    assert only.get_array()[0, 0, 0] == 5  # the least sure mistake
    controls["first"].value = False
    assert (controls["page"].value, controls["page"].max) == (0, 2)  # from its beginning
    controls["predictions"].value = "right"
    assert (controls["page"].value, controls["page"].max) == (0, 0)
    controls["true class"].value = 1
    assert front.drawn[-1].axes[0].texts[0].get_text() == "No such image among 30."


def test_augmentation_leaves_the_random_state(front: FrontEnd) -> None:
    state = torch.get_rng_state()
    explore_augmentation({"colour": ColourJitter}, IMAGES[0])
    front.controls["strength"].value = 0.0
    assert torch.equal(torch.get_rng_state(), state)  # looking does not change a later training
    images = front.drawn[-1].axes[0].images
    assert len(images) == 16
    assert (images[3].get_array() == IMAGES[0].permute(1, 2, 0).numpy()).all()


def test_live_curves_grow(front: FrontEnd) -> None:
    curves, history = LiveCurves("small net"), History()
    for epoch in (1, 2, 3):
        numbers = {f"{part}_{m}": 0.5 for part in ("train", "val") for m in ("loss", "accuracy")}
        history.rows.append({"epoch": epoch, **numbers})
        curves(history)
    assert len(front.shown) == 1  # one picture, which changes
    assert "small net: after epoch 3, validation accuracy 0.500" in front.html
    lines = [line for line in front.drawn[-1].axes[0].lines if len(line.get_xdata())]
    assert {len(line.get_xdata()) for line in lines} == {3}


def test_live_curves_of_masks_show_their_score(front: FrontEnd) -> None:
    numbers = {f"{part}_{m}": 0.5 for part in ("train", "val") for m in ("loss", "iou", "accuracy")}
    history = History()
    history.rows.append({"epoch": 1, **numbers})
    LiveCurves()(history)
    assert "after epoch 1, validation iou 0.500" in front.html


def test_live_curves_draw_nothing_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "has_front_end", lambda: False)
    monkeypatch.setattr(controls, "display", lambda item: pytest.fail(f"displayed {item}"))
    LiveCurves()(History())
    assert not plt.get_fignums()
