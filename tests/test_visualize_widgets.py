"""Widgets: a still figure always, controls only where somebody looks."""

from collections.abc import Iterator

import ipywidgets
import matplotlib as mpl
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

from cvhelpers.augment import ColourJitter
from cvhelpers.visualize import explore_activations, explore_augmentation, widgets


@pytest.fixture(autouse=True)
def _figures() -> Iterator[None]:
    mpl.use("Agg")
    yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A front end that keeps what it is given."""
    given: list[object] = []
    monkeypatch.setattr(widgets, "has_front_end", lambda: True)
    monkeypatch.setattr(widgets, "display", given.append)
    return given


def controls(shown: list[object]) -> list[ipywidgets.Widget]:
    (box,) = [item for item in shown if isinstance(item, ipywidgets.VBox)]
    return list(box.children[0].children)


MODEL = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 9, 3))
IMAGES = torch.randint(0, 256, (2, 3, 8, 8)).float()


def test_activations_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets, "has_front_end", lambda: False)
    monkeypatch.setattr(widgets, "display", lambda item: pytest.fail(f"displayed {item}"))
    fig = explore_activations(MODEL, IMAGES, ["1", "2"])
    assert len(fig.axes[0].images) == 6
    assert plt.get_fignums() == [fig.number]  # open, so that the notebook shows it


def test_activations_follow_their_controls(shown: list[object]) -> None:
    still = explore_activations(MODEL, IMAGES, ["1", "2"], ["accordion", "camera"])
    layer, image = controls(shown)
    layer.value, image.value = "2", 1
    redrawn = shown[-1]
    assert isinstance(redrawn, plt.Figure)
    assert len(redrawn.axes[0].images) == 9
    assert "2: camera" in redrawn.axes[0].get_title() + redrawn.axes[0].get_title(loc="left")
    assert plt.get_fignums() == [still.number]  # what the slider drew is closed again


def test_augmentation_follows_its_slider(shown: list[object]) -> None:
    state = torch.get_rng_state()
    still = explore_augmentation(lambda strength: ColourJitter(strength), IMAGES[0])
    assert len(still.axes) == 24
    assert torch.equal(torch.get_rng_state(), state)  # looking does not change a later training
    (strength,) = controls(shown)
    strength.value = 0.0
    redrawn = shown[-1]
    assert isinstance(redrawn, plt.Figure)
    assert len(redrawn.axes) == 16
    assert (redrawn.axes[3].images[0].get_array() == IMAGES[0].permute(1, 2, 0).numpy()).all()
