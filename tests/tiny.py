"""Pictures and a net so small that a test trains them in milliseconds."""

from __future__ import annotations

import torch
from torch import nn

from cvhelpers.data.images import Images
from cvhelpers.data.store import Provenance
from cvhelpers.models import Normalize


def pictures(count: int = 12, *, size: int = 8, seed: int = 0) -> Images:
    """Noise of three classes, each a little brighter in a channel of its own: learnable."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.randint(0, 200, (count, 3, size, size), generator=generator)
    images[torch.arange(count), labels] += 55
    return Images(images.byte(), labels, ("red", "green", "blue"), Provenance("sample"))


def net(*, seed: int = 0, dropout: float = 0.0) -> nn.Sequential:
    """A convolution, batch normalisation, and a linear layer, from a fixed seed."""
    torch.manual_seed(seed)
    return nn.Sequential(
        Normalize(),
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(16, 3),
    )


def linear(size: int = 8) -> nn.Sequential:
    """One linear layer on the pixels: without batch statistics, so every value can be checked."""
    torch.manual_seed(0)
    return nn.Sequential(Normalize(), nn.Flatten(), nn.Linear(3 * size * size, 3))


def sgd(model: nn.Module, rate: float = 0.05, momentum: float = 0.9) -> torch.optim.SGD:
    """Plain stochastic gradient descent."""
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
