"""Images, maps and filters: right pixels, one scale, nothing shown or changed."""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from cvhelpers.visualize import (
    activation_grid,
    filter_grid,
    image_grid,
    overlay,
    show_image,
    worst_mistakes,
)


@pytest.fixture(autouse=True)
def _figures() -> Iterator[None]:
    mpl.use("Agg")
    yield
    plt.close("all")


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_show_image_draws_the_pixels() -> None:
    image = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    ax = show_image(image, title="twelve")
    assert np.array_equal(ax.images[0].get_array(), image.permute(1, 2, 0))
    assert ax.get_title(loc="left") + ax.get_title() == "twelve"
    ax = show_image(torch.full((1, 2, 2), 99.6))  # grey, float
    assert ax.images[0].get_array().shape == (2, 2, 3)
    assert (ax.images[0].get_array() == 100).all()


def test_show_image_refuses_what_is_no_raw_image() -> None:
    with pytest.raises(ValueError, match="run from -1 to 0; show the raw image"):
        show_image(torch.tensor([[[-1.0, 0.0]]]))
    with pytest.raises(ValueError, match="to 256"):
        show_image(torch.full((1, 2, 2), 256.0))
    with pytest.raises(ValueError, match=r"shape \(2, 4, 4\)"):
        show_image(torch.zeros(2, 4, 4))
    with pytest.raises(ValueError, match=r"shape \(4, 4\)"):
        show_image(torch.zeros(4, 4))


def test_image_grid() -> None:
    images = torch.zeros(5, 3, 4, 4)
    fig, axes = image_grid(images, ["a" * 50, "b\nc", "", "d", "e"], columns=4)
    assert len(axes) == len(fig.axes) == 5  # no empty panels
    assert axes[0].get_title().endswith("a…")
    assert axes[1].get_title() == "b\nc"
    with pytest.raises(ValueError, match="5 images and 2 titles"):
        image_grid(images, ["a", "b"])
    with pytest.raises(ValueError, match="0 images"):
        image_grid([])


def test_worst_mistakes_come_surest_first() -> None:
    classes = ["ant", "bass"]
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    labels = torch.tensor([0, 0, 0, 1])  # right, wrong by 0.8, wrong by 0.6, right
    images = torch.arange(4)[:, None, None, None].expand(4, 1, 2, 2).byte()
    _, axes = worst_mistakes(images, probabilities, labels, classes)
    assert [ax.get_title() for ax in axes] == ["bass 80 %\ntrue: ant", "bass 60 %\ntrue: ant"]
    assert [int(ax.images[0].get_array()[0, 0, 0]) for ax in axes] == [1, 2]
    assert len(worst_mistakes(images, probabilities, labels, classes, count=1)[1]) == 1
    _, (ax,) = worst_mistakes(images[:1], probabilities[:1], labels[:1], classes)
    assert texts(ax) == ["No mistake among 1 images."]


def test_worst_mistakes_refuses_logits_and_unlike_shapes() -> None:
    images, labels = torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="must sum to 1"):
        worst_mistakes(images, torch.tensor([[3.0, -1.0], [0.0, 2.0]]), labels, ["a", "b"])
    with pytest.raises(ValueError, match=r"\(2, 3\).*2 classes"):
        worst_mistakes(images, torch.ones(2, 3) / 3, labels, ["a", "b"])


def test_activation_grid_shows_every_map_on_one_scale() -> None:
    maps = torch.rand(32, 8, 8)
    maps[5] = 0
    maps[9, 0, 0] = 3
    before = maps.clone()
    ax = activation_grid(maps, "relu1")
    assert len(ax.images) == 32
    assert {image.get_clim() for image in ax.images} == {(0, 3)}
    assert np.array_equal(ax.images[7].get_array(), maps[7])
    assert [text for text in texts(ax) if text != "all 0"] == [str(i) for i in range(32)]
    assert texts(ax)[6] == "all 0"
    assert len(ax.patches) == 1
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "activation"
    assert (min(bar.get_yticks()), max(bar.get_yticks())) == (0, 3)  # the limits are said
    assert torch.equal(maps, before)


def test_activation_grid_with_a_given_limit_or_signed_maps() -> None:
    _, ax = plt.subplots()
    assert activation_grid(torch.rand(3, 4, 4), ax=ax, limit=9) is ax
    assert ax.images[0].get_clim() == (0, 9)
    ax = activation_grid(torch.tensor([[[-2.0, 1.0]]]))
    assert ax.images[0].get_clim() == (-2, 2)
    activation_grid(torch.zeros(2, 4, 4)).figure.canvas.draw()  # nothing but zeros
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 4\)"):
        activation_grid(torch.zeros(1, 3, 4, 4))


def test_filter_grid_shows_colours_around_grey() -> None:
    weights = torch.zeros(2, 3, 1, 1)
    weights[0, :, 0, 0] = torch.tensor([0.5, 0.0, -0.5])
    ax = filter_grid(weights.requires_grad_(), "conv1")
    assert ax.images[0].get_array().tolist() == [[[1, 0.5, 0]]]
    assert ax.images[1].get_array().tolist() == [[[0.5, 0.5, 0.5]]]
    assert "conv1 (RGB, mid-grey = 0, ends = ±0.5)" in (ax.get_title(), ax.get_title(loc="left"))


def test_filter_grid_of_deeper_layers_shows_the_mean() -> None:
    weights = torch.tensor([1.0, -2.0])[None, :, None, None].repeat(3, 1, 2, 2)
    ax = filter_grid(weights)
    assert (ax.images[0].get_array() == -0.5).all()
    assert ax.images[0].get_clim() == (-0.5, 0.5)
    assert "mean of 2 inputs" in ax.get_title() + ax.get_title(loc="left")
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        filter_grid(torch.zeros(3, 2))


def test_overlay_covers_the_image() -> None:
    heat = torch.rand(3, 4)
    ax = overlay(torch.zeros(3, 12, 16), heat, label="probability")
    below, above = ax.images
    assert below.get_extent() == above.get_extent() == [-0.5, 15.5, 11.5, -0.5]
    assert np.array_equal(above.get_array(), heat)
    assert ax.figure.axes[1].get_ylabel() == "probability"


def test_nothing_calls_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("plt.show() was called"))
    show_image(torch.zeros(1, 2, 2))
    activation_grid(torch.rand(2, 4, 4))
