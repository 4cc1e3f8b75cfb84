"""Nets seen from outside: their numbers, and what the numbers of typical slips would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn


def shaken(net: nn.Module, seed: int = 0) -> nn.Module:
    """The net in evaluation mode, its batch normalisations with drawn weights and averages.

    Freshly built, they let everything through (nearly) as it comes, and a missing or misplaced one
    would not show. Weights of both signs tell one in front of a max pooling from one behind it.
    """
    draw = torch.Generator().manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                if tensor is not None:
                    drawn = torch.rand(tensor.shape, generator=draw) + 0.5
                    signs = torch.randint(2, tensor.shape, generator=draw) * 2 - 1
                    tensor.data.copy_(drawn if tensor is layer.running_var else drawn * signs)
    return net.eval()


def agree(
    got: Tensor,
    wanted: Tensor,
    what: str,
    *,
    slips: Mapping[str, Tensor] | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Hold a result against the right one; `slips` are what typical mistakes lead to.

    Values may differ by `tolerance` times the largest one wanted.

    Raises:
        AssertionError: another shape, or other values; where they are those of a slip, its name.
    """
    shapes = tuple(got.shape), tuple(wanted.shape)
    assert shapes[0] == shapes[1], f"{what}: shape {shapes[0]}, and {shapes[1]} is wanted"
    got, wanted = got.detach().cpu().float(), wanted.detach().cpu().float()
    bound = tolerance * max(1e-6, wanted.abs().max().item())
    if (off := (got - wanted).abs().max().item()) <= bound:
        return
    for name, value in (slips or {}).items():
        other = value.detach().cpu().float()
        if other.shape == got.shape and (got - other).abs().max() <= bound:
            raise AssertionError(f"{what}: these are the numbers that come {name}")
    raise AssertionError(f"{what}: off by {off:.3g}, where the largest is {wanted.abs().max():.3g}")


def with_weights(net: nn.Module, other: nn.Module) -> nn.Module:
    """`net` with the weights of `other` and its batch normalisations' averages.

    They are taken layer by layer, in their order: names of layers play no part.

    Raises:
        AssertionError: layers with other weights; the first that differs is named.
    """
    mine, theirs = _learnt(net), _learnt(other)
    for (_, wanted), (name, given) in zip(mine, theirs, strict=False):
        told = [
            ", ".join(f"{key} {tuple(value.shape)}" for key, value in one.items())
            for one in (given, wanted)
        ]
        assert told[0] == told[1], f"{name} has {told[0]}; wanted here: {told[1]}"
    assert len(theirs) == len(mine), (
        f"{len(theirs)} layers with weights, and {len(mine)} are wanted; the first "
        f"{min(len(mine), len(theirs))} fit"
    )
    with torch.no_grad():
        for (_, wanted), (_, given) in zip(mine, theirs, strict=True):
            for key, value in wanted.items():
                value.copy_(given[key])
    return net


def _learnt(net: nn.Module) -> list[tuple[str, dict[str, Tensor]]]:
    """Of each layer with parameters: name and kind, its tensors with what batch norm counted."""
    found = []
    for name, layer in net.named_modules():
        own: dict[str, Tensor] = dict(layer.named_parameters(recurse=False))
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            own |= dict(layer.named_buffers(recurse=False))
        if own:
            found.append((f"{name or 'the net'} ({type(layer).__name__})", own))
    return found


def swapped(net: nn.Module, kind: type[nn.Module], make: Callable[[], nn.Module]) -> nn.Module:
    """A copy of `net` in which another layer stands in the place of each one of this kind."""
    copy = deepcopy(net)
    for name, layer in list(copy.named_modules()):
        if isinstance(layer, kind) and name:
            parent, _, own = name.rpartition(".")
            setattr(copy.get_submodule(parent), own, make())
    return copy
