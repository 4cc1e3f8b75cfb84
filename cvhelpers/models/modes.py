"""A model's modes, and its modules by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode; afterwards every module has its own mode again, errors or not."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode  # not train(mode): a frozen part may differ from its parent


def module_named(model: nn.Module, name: str) -> nn.Module:
    """The module called `name` in `model.named_modules()`; "" is the model itself.

    Raises:
        ValueError: no such module; it names those that there are.
    """
    modules = dict(model.named_modules())
    if name not in modules:
        known = ", ".join(filter(None, modules))
        raise ValueError(f"{type(model).__name__} has no module {name!r}; it has: {known}")
    return modules[name]
