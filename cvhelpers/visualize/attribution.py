"""Which pixels made the network decide: occlusion and saliency."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cvhelpers.models.modes import evaluating


def _prepare(model: nn.Module, image: Tensor, label: int) -> Tensor:
    if image.ndim != 3:
        raise ValueError(f"expected one image (C, H, W), got shape {tuple(image.shape)}")
    image = image.to(next((p.device for p in model.parameters()), image.device))
    with evaluating(model), torch.inference_mode():
        classes = model(image[None]).shape[1]
    if not 0 <= label < classes:
        raise ValueError(f"label={label} is out of range; the model has classes 0 to {classes - 1}")
    return image


def occlusion_map(
    model: nn.Module,
    image: Tensor,
    label: int,
    *,
    patch: int = 8,
    stride: int = 4,
    fill: float = 127.5,
    batch_size: int = 128,
) -> Tensor:
    """Return the probability of `label` while a grey square covers each place of the image.

    Where it falls, the covered part mattered (Zeiler & Fergus 2014, section 4.2). The square of
    `patch` pixels is centred on an even grid of about every `stride` pixels over the whole image
    and cut off at its border. image: raw `(C, H, W)`; model: raw batches to logits. Returns float32
    `(H // stride, W // stride)` on the CPU, values 0..1.
    """
    if patch < 1 or not 1 <= stride <= min(image.shape[-2:]):
        raise ValueError(f"patch={patch} and stride={stride} must be 1 to the image's side")
    image = _prepare(model, image, label).float()
    covers = []  # per axis, bool (places, pixels): which pixels a square at this place hides
    for side in image.shape[1:]:
        places = (torch.arange(side // stride) + 0.5) * side / (side // stride)
        distance = torch.arange(side) + 0.5 - places[:, None]
        covers.append((distance >= -patch / 2) & (distance < patch / 2))
    rows, columns = (cover.to(image.device) for cover in covers)
    squares = (rows[:, None, :, None] & columns[None, :, None, :]).flatten(0, 1)  # (places, H, W)
    with evaluating(model), torch.inference_mode():
        probabilities = [
            model(torch.where(some[:, None], fill, image)).softmax(dim=1)[:, label]
            for some in squares.split(batch_size)
        ]
    return torch.cat(probabilities).view(len(rows), len(columns)).float().cpu()


def saliency_map(model: nn.Module, image: Tensor, label: int) -> Tensor:
    """Return how strongly each pixel moves the score of `label`: gradient size, largest channel.

    Simonyan, Vedaldi & Zisserman 2014. image: raw `(C, H, W)`; returns float32 `(H, W)` >= 0 on the
    CPU, in logits per grey level. The gradients of the model's parameters stay as they are.
    """
    pixels = _prepare(model, image, label).float().clone().requires_grad_()
    with evaluating(model), torch.enable_grad():
        (gradient,) = torch.autograd.grad(model(pixels[None])[0, label], pixels)
    return gradient.abs().amax(dim=0).cpu()
