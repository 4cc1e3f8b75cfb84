"""The device policy: when the probe runs, what it decides, that it leaves no trace."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny import net, pictures
from torch import nn

from cvhelpers.training import precision
from cvhelpers.training.precision import Policy, device_policy

IMAGES = pictures(8).images


@pytest.fixture(autouse=True)
def _undecided() -> Iterator[None]:
    precision._decision.cache_clear()
    yield
    precision._decision.cache_clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that sets how long steps take; it returns the list of steps that were timed."""

    def make(float32: Iterator[float], bfloat16: Iterator[float]) -> list[torch.dtype]:
        timed: list[torch.dtype] = []

        def step(model: nn.Module, images: torch.Tensor, policy: Policy) -> float:
            assert model.training  # though the model came in evaluation mode
            timed.append(policy.dtype)
            return next(float32 if policy.dtype == torch.float32 else bfloat16)

        monkeypatch.setattr(precision, "_one_step", step)
        return timed

    return make


def chosen(model: nn.Module | None = None, *, steps: int = 100, asked: str = "auto") -> torch.dtype:
    return device_policy(model or net().eval(), IMAGES, precision=asked, steps=steps).dtype


@pytest.mark.parametrize(
    ("seconds", "dtype"),
    [(0.5, torch.bfloat16), (0.86, torch.bfloat16), (0.88, torch.float32), (2.0, torch.float32)],
)
def test_bfloat16_must_win_clearly(clock: Any, seconds: float, dtype: torch.dtype) -> None:
    clock(iter([9.0, 1.5, 1.0, 1.2]), iter([9.0, 7.0, seconds, 8.0]))
    assert chosen() == dtype


def test_the_step_that_warms_up_does_not_count(clock: Any) -> None:
    clock(iter([1.0] * 4), iter([0.1, 2.0, 2.0, 2.0]))
    assert chosen() == torch.float32


def test_one_kind_of_training_is_probed_once(clock: Any) -> None:
    timed = clock(iter([1.0] * 99), iter([0.5] * 99))
    for seed in (0, 1):
        assert chosen(net(seed=seed)) == torch.bfloat16
    assert len(timed) == 8
    assert chosen(nn.Sequential(nn.Conv2d(3, 4, 3))) == torch.bfloat16
    assert len(timed) == 16


@pytest.mark.parametrize(
    ("steps", "asked", "deterministic"),
    [(99, "auto", False), (100, "auto", True), (100, "float32", False), (100, "bfloat16", False)],
)
def test_what_is_not_probed(clock: Any, steps: int, asked: str, deterministic: bool) -> None:
    timed = clock(iter([1.0] * 4), iter([0.1] * 4))
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    expected = torch.bfloat16 if asked == "bfloat16" else torch.float32
    assert chosen(steps=steps, asked=asked) == expected
    assert timed == []


def test_a_device_that_nothing_is_known_of_trains_in_float32(clock: Any) -> None:
    timed = clock(iter([1.0] * 4), iter([0.1] * 4))
    model = nn.Conv2d(3, 4, 3, device="meta")  # neither cuda nor cpu, as mps
    policy = device_policy(model, IMAGES, precision="auto", steps=1000)
    assert (policy.device.type, policy.dtype) == ("meta", torch.float32)
    assert timed == []


def test_a_gpu_without_bfloat16_is_not_probed(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = clock(iter([1.0] * 4), iter([0.1] * 4))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert precision._faster_dtype(net(), IMAGES, torch.device("cuda")) == torch.float32
    assert timed == []


def test_the_real_probe_leaves_model_and_random_state_as_they_were() -> None:
    model = net(dropout=0.5)
    model(IMAGES).sum().backward()
    model.eval()
    model[2].train()
    before, modes = copy.deepcopy(model), [module.training for module in model.modules()]
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    state = torch.get_rng_state()
    assert chosen(model) in (torch.float32, torch.bfloat16)
    assert precision._decision.cache_info().currsize == 1  # it was probed
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    for name, value in model.state_dict().items():  # parameters and batch statistics
        assert torch.equal(value, before.state_dict()[name])
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_the_probes_step_trains_in_its_precision() -> None:
    dtypes = []
    for dtype in (torch.float32, torch.bfloat16):
        model = net()
        model[1].register_forward_hook(lambda *args: dtypes.append(args[2].dtype))
        assert precision._one_step(model, IMAGES, Policy(torch.device("cpu"), dtype)) > 0
        assert all(parameter.grad is not None for parameter in model.parameters())
    assert dtypes == [torch.float32, torch.bfloat16]


def test_models_and_images_are_laid_out_channels_last() -> None:
    assert precision.layout_for(torch.device("mps")) == torch.contiguous_format
    model = net()
    policy = device_policy(model, IMAGES, precision="float32", steps=1)
    assert model[1].weight.is_contiguous(memory_format=torch.channels_last)
    laid_out = policy.lay_out(IMAGES)
    assert laid_out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(laid_out, IMAGES)
    assert isinstance(policy.autocast(), contextlib.nullcontext)


def test_forced_bfloat16_runs_on_a_cpu() -> None:
    model = net()
    policy = device_policy(model, IMAGES, precision="bfloat16", steps=1)
    assert policy == Policy(torch.device("cpu"), torch.bfloat16)
    with policy.autocast():
        logits = model(policy.lay_out(IMAGES))
    assert logits.dtype == torch.bfloat16
    assert torch.isfinite(logits).all()
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("asked", ["bf16", "", "AUTO"])
def test_an_unknown_precision_is_named_with_the_known_ones(asked: str) -> None:
    with pytest.raises(ValueError, match=f"precision '{asked}'; choose one of: auto, float32, bfl"):
        chosen(asked=asked)
