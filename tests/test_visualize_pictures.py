"""Images, maps and filters: right pixels, one scale, nothing shown or changed."""

import io
from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from cvhelpers.models import ReceptiveField
from cvhelpers.visualize import (
    activation_grid,
    filter_grid,
    image_grid,
    overlay,
    show_image,
    use_style,
    worst_mistakes,
)
from cvhelpers.visualize.maps import activation_view, field_view, filter_view, tile
from cvhelpers.visualize.pictures import pick_predictions


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
    images[4] = 7
    fig, ax = image_grid(
        [*images, torch.zeros(3, 2, 4)], ["a" * 50, "b\nc", "", "d", "e", "wide"], 4
    )
    assert fig.axes == [ax]  # one for all: an axes apiece would take five times as long
    assert texts(ax)[0].endswith("a…")
    assert texts(ax)[1:] == ["b\nc", "", "d", "e", "wide"]
    places = [image.get_extent() for image in ax.images]
    assert (ax.images[4].get_array() == 7).all()
    assert places[4][0] == places[0][0]  # the fifth begins the second row
    assert places[4][3] > places[0][2]
    left, right, bottom, top = places[5]
    assert right - left == pytest.approx(2 * (bottom - top))  # twice as wide as high
    assert all(0 <= x <= 4 for place in places for x in place[:2])
    with pytest.raises(ValueError, match="5 images and 2 titles"):
        image_grid(images, ["a", "b"])
    with pytest.raises(ValueError, match="0 images"):
        image_grid([])


def test_worst_mistakes_come_surest_first() -> None:
    classes = ["ant", "bass"]
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    labels = torch.tensor([0, 0, 0, 1])  # right, wrong by 0.8, wrong by 0.6, right
    images = torch.arange(4)[:, None, None, None].expand(4, 1, 2, 2).byte()
    _, ax = worst_mistakes(images, probabilities, labels, classes)
    assert texts(ax) == ["bass 80 %\ntrue: ant", "bass 60 %\ntrue: ant"]
    assert [int(image.get_array()[0, 0, 0]) for image in ax.images] == [1, 2]
    assert len(worst_mistakes(images, probabilities, labels, classes, count=1)[1].images) == 1
    _, ax = worst_mistakes(images[:1], probabilities[:1], labels[:1], classes)
    assert texts(ax) == ["No such image among 1."]


def test_predictions_are_picked_by_right_and_wrong_and_sureness() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    labels = torch.tensor([0, 0, 0, 1])
    assert pick_predictions(probabilities, labels).tolist() == [1, 2]
    assert pick_predictions(probabilities, labels, surest_first=False).tolist() == [2, 1]
    assert pick_predictions(probabilities, labels, which="right").tolist() == [0, 3]
    assert pick_predictions(probabilities, labels, which="all").tolist() == [0, 1, 3, 2]
    with pytest.raises(ValueError, match="which='none'; choose one of: wrong, right, all"):
        pick_predictions(probabilities, labels, which="none")


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
    (sheet,) = ax.images
    assert sheet.get_clim() == (0, 3)
    shown = sheet.get_array()
    assert shown.shape == (4 * 77, 8 * 68)  # tiles of 64 pixels, a fifth apart down, 6 % across
    for number in (0, 7, 9, 31):
        top, left = number // 8 * 77, number % 8 * 68
        assert np.array_equal(shown[top : top + 64 : 8, left : left + 64 : 8], maps[number])
    assert shown.mask[64:77].all()  # between them there is nothing
    assert shown.mask.mean() == pytest.approx(1 - 64 * 64 / (77 * 68))
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
    shown = ax.images[0].get_array()
    assert (shown[:64, :64] == (1, 0.5, 0)).all()
    assert (shown[:64, 68:132] == (0.5, 0.5, 0.5)).all()
    assert "conv1 (RGB, mid-grey = 0, ends = ±0.5)" in (ax.get_title(), ax.get_title(loc="left"))


def test_filter_grid_of_deeper_layers_shows_the_mean() -> None:
    weights = torch.tensor([1.0, -2.0])[None, :, None, None].repeat(3, 1, 2, 2)
    ax = filter_grid(weights)
    assert (ax.images[0].get_array().compressed() == -0.5).all()
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


def test_the_chosen_map_and_filter_are_framed_and_shown_large() -> None:
    maps = torch.rand(12, 8, 8)
    fig = activation_view(torch.zeros(3, 4, 4), maps, 9, "relu1: cat")
    picture, large, grid = fig.axes[:3]
    assert picture.images[0].get_array().shape == (4, 4, 3)
    assert np.array_equal(large.images[0].get_array(), maps[9])
    assert large.images[0].get_clim() == grid.images[0].get_clim()
    assert grid.patches[0].get_xy() == (68 / 64, 77 / 64)  # second row, second column
    weights = torch.randn(12, 5, 3, 3)
    fig = filter_view(weights, 2, "conv2")
    kernels = fig.axes[2]
    assert "filter 2: kernels of 5 inputs" in kernels.get_title()
    assert np.allclose(kernels.images[0].get_array()[:63:21, :63:21], weights[2, 0])
    wide = filter_view(torch.ones(1, 70, 3, 3), 0, "conv3")
    assert "of the first 64" in wide.axes[2].get_title()
    assert np.array_equal(tile(grid, 9, (8, 8))[::8, ::8], maps[9])


def test_a_field_is_framed_and_dashed_where_it_goes_beyond() -> None:
    image = torch.zeros(1, 8, 10)
    ax = field_view(image, ReceptiveField((2, 4), (3, 7)), "conv2")
    (frame,) = ax.patches
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((2.5, 1.5), 5, 3)
    assert frame.get_linestyle() == "-"
    ax = field_view(image, ReceptiveField((-3, 4), (3, 12)), "conv3")
    (frame,) = ax.patches
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((2.5, -0.5), 7, 5)
    assert frame.get_linestyle() == "--"


@pytest.mark.parametrize("kind", ["grid", "maps", "filters"])
def test_what_is_laid_out_by_hand_stays_so_when_it_is_saved_twice(kind: str) -> None:
    use_style()  # whose own layout a saved figure would take
    draw = {
        "grid": lambda: image_grid(torch.zeros(3, 3, 4, 4))[0],
        "maps": lambda: activation_view(torch.zeros(3, 4, 4), torch.rand(9, 8, 8), 2, "relu1"),
        "filters": lambda: filter_view(torch.rand(9, 2, 3, 3), 2, "conv1"),
    }
    fig = draw[kind]()
    places = [ax.get_position().bounds for ax in fig.axes]
    for _ in range(2):  # a warning would be an error
        fig.savefig(io.BytesIO())
    assert [ax.get_position().bounds for ax in fig.axes] == places


def test_nothing_calls_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("plt.show() was called"))
    show_image(torch.zeros(1, 2, 2))
    activation_grid(torch.rand(2, 4, 4))
