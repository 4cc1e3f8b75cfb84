"""Occlusion and saliency against models whose answer is known."""

import pytest
import torch
from torch import Tensor, nn

from cvhelpers.visualize import occlusion_map, saliency_map


class Spot(nn.Module):
    """Class 1 scores the green value of one pixel (row 5, column 9); class 0 scores 0."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.02))
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        score = self.factor * images[:, 1, 5, 9].float()
        return torch.stack([torch.zeros_like(score), score], dim=1)


IMAGE = torch.full((3, 12, 16), 200, dtype=torch.uint8)


def test_occlusion_by_hand() -> None:
    # Squares of 4 pixels at centres 2, 6, 10 (rows) and 2, 6, 10, 14 (columns): the spot lies
    # under the one at row 1 (pixels 4..7) and column 2 (pixels 8..11), and under no other.
    heat = occlusion_map(Spot(), IMAGE, 1, patch=4, stride=4, fill=0)
    expected = torch.full((3, 4), torch.tensor(4.0).sigmoid().item())
    expected[1, 2] = 0.5
    assert torch.allclose(heat, expected)


def test_occlusion_with_overlapping_squares() -> None:
    heat = occlusion_map(Spot(), IMAGE, 1, patch=6, stride=2, fill=0)
    assert heat.shape == (6, 8)
    rows, columns = (heat < 0.6).nonzero(as_tuple=True)
    # Centres 1, 3, 5, ... reach 3 pixels down and 2 up: rows 3 to 8 hold the pixel at 5.5.
    assert sorted(set(rows.tolist())) == [1, 2, 3]
    assert sorted(set(columns.tolist())) == [3, 4, 5]


@pytest.mark.parametrize("patch", [3, 4])
def test_occlusion_hides_squares_of_the_given_side(patch: int) -> None:
    class Total(nn.Module):  # class 1 scores the number of pixels that can be seen
        def forward(self, images: Tensor) -> Tensor:
            seen = images[:, 0].sum((1, 2)) / 200 - 180
            return torch.stack([torch.zeros_like(seen), seen], dim=1)

    inner = occlusion_map(Total(), IMAGE, 1, patch=patch, fill=0)[1, 1]
    assert inner == pytest.approx(torch.tensor(12.0 * 16 - patch**2 - 180).sigmoid().item())


def test_occlusion_runs_in_batches_and_keeps_image_and_mode() -> None:
    model, image = Spot().train(), IMAGE.clone()
    small = occlusion_map(model, image, 1, stride=2, batch_size=20)
    assert max(model.batches) == 20
    assert torch.equal(small, occlusion_map(model, image, 1, stride=2))
    assert torch.equal(image, IMAGE)
    assert model.training


def test_occlusion_of_uneven_sides_covers_the_whole_image() -> None:
    heat = occlusion_map(Spot(), IMAGE[:, :11, :15], 0, patch=5, stride=4)
    assert heat.shape == (2, 3)


def test_saliency_by_hand() -> None:
    model = Spot()
    with torch.no_grad():  # it must work in here too
        heat = saliency_map(model, IMAGE, 1)
    expected = torch.zeros(12, 16)
    expected[5, 9] = 0.02
    assert torch.allclose(heat, expected)
    assert model.factor.grad is None


def test_bad_input_is_quoted() -> None:
    with pytest.raises(ValueError, match="label=2 is out of range; the model has classes 0 to 1"):
        occlusion_map(Spot(), IMAGE, 2)
    with pytest.raises(ValueError, match="label=-1"):
        saliency_map(Spot(), IMAGE, -1)
    with pytest.raises(ValueError, match=r"one image \(C, H, W\), got shape \(1, 3, 12, 16\)"):
        saliency_map(Spot(), IMAGE[None], 1)
    with pytest.raises(ValueError, match="patch=0 and stride=4"):
        occlusion_map(Spot(), IMAGE, 1, patch=0)
    with pytest.raises(ValueError, match="stride=13"):
        occlusion_map(Spot(), IMAGE, 1, stride=13)
