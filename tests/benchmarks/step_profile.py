"""Where the time of one training step goes: small CNNs on images of 32x32 pixels.

    python tests/benchmarks/step_profile.py [--threads 1] [--steps 100] [--net cifar|signs]
        [--augment none|crop|affine|template]

The steps are those of `train_epoch` without its running sums, timed part by part, on 45,000
pictures of random pixels; "template" is the augmentation of the traffic signs. It prints the median
of each part in ms, and its share of their sum. On CUDA it waits for the device after every part, so
that a part is charged with its own work only; the sum is then above an unwatched step, whose time
is printed too. "forward" holds the normalising layer and the loss, "optimizer" is Adam.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvhelpers.augment import Augment, FlipClasses, HorizontalFlip, RandomAffine, RandomCrop
from cvhelpers.data.images import Images
from cvhelpers.data.store import Provenance
from cvhelpers.models import MIRROR_CLASSES, SmallCNN, TrafficSignCNN, template_augmentation
from cvhelpers.runtime import ALLOCATOR, device_name, pick_device, seed_everything
from cvhelpers.training.batches import batches_of
from cvhelpers.training.precision import Policy, device_policy

COUNT, BATCH, WARM_UP = 45_000, 128, 10
PARTS = ("indexing", "augmentation", "forward", "backward", "optimizer")
NETS: dict[str, tuple[Callable[[int], nn.Module], int]] = {
    "cifar": (SmallCNN, 10),
    "signs": (TrafficSignCNN, 43),
}
AUGMENTS: dict[str, Callable[[], nn.Module | None]] = {
    "none": lambda: None,
    "template": template_augmentation,
    "crop": lambda: Augment(HorizontalFlip(), RandomCrop(padding=4)),
    "affine": lambda: Augment(RandomAffine(degrees=15, zoom=0.1, translate=0.1, flip=True)),
}


def random_images(device: torch.device, classes: int) -> Images:
    """As many pictures as CIFAR-10's training part, of random pixels: indexing must be real."""
    return Images(
        images=torch.randint(0, 256, (COUNT, 3, 32, 32), dtype=torch.uint8),
        labels=torch.randint(0, classes, (COUNT,)),
        classes=tuple(map(str, range(classes))),
        provenance=Provenance("sample", "random pixels"),
    ).to(device)


def endless(images: Images, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Full batches in random order, epoch after epoch."""
    while True:
        for batch in batches_of(images, device, BATCH, shuffle=True):
            if len(batch[0]) == BATCH:
                yield batch


class Watch:
    """Seconds since the last look, after the device has done its work (if `wait`)."""

    def __init__(self, device: torch.device, *, wait: bool) -> None:
        self.wait = wait and device.type == "cuda"
        self.last = time.perf_counter()

    def lap(self) -> float:
        if self.wait:
            torch.cuda.synchronize()
        now = time.perf_counter()
        passed, self.last = now - self.last, now
        return passed


def one_step(
    batches: Iterator[tuple[Tensor, Tensor]],
    model: nn.Module,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    augment: nn.Module | None,
    mix: nn.Module | None,
    watch: Watch,
) -> list[float]:
    """One step as `train_epoch` does it: the seconds of each of `PARTS`."""
    watch.lap()
    images, targets = next(batches)
    laps = [watch.lap()]
    if augment is not None:
        images = augment(images)
    if mix is not None:
        images, targets = mix(images, targets)
    laps.append(watch.lap())
    with policy.autocast():
        logits = model(policy.lay_out(images)).float()
    loss = F.cross_entropy(logits, targets)
    laps.append(watch.lap())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    laps.append(watch.lap())
    optimizer.step()
    laps.append(watch.lap())
    return laps


def measure(steps: int, net: str, augment_name: str, precision: str) -> None:
    seed_everything(0)
    device = pick_device()
    build, classes = NETS[net]
    images, augment = random_images(device, classes), AUGMENTS[augment_name]()
    mix = FlipClasses(MIRROR_CLASSES) if augment_name == "template" else None
    model = build(classes).to(device).train()
    policy = device_policy(model, images.images[:BATCH], precision=precision, steps=10_000)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = endless(images, device)
    parts = (batches, model, policy, optimizer, augment, mix)
    watched, unwatched = Watch(device, wait=True), Watch(device, wait=False)
    for _ in range(WARM_UP):
        one_step(*parts, watched)
    laps = [one_step(*parts, watched) for _ in range(steps)]
    whole = Watch(device, wait=True)
    whole.lap()
    for _ in range(steps):
        one_step(*parts, unwatched)
    step = whole.lap() / steps

    print(f"{device_name(device)}, {policy.dtype}, batch {BATCH}")
    print(f"net: {net}, augmentation: {augment_name}")
    medians = [statistics.median(column) for column in zip(*laps, strict=True)]
    for name, median in zip(PARTS, medians, strict=True):
        print(f"{name:14} {1e3 * median:8.3f} ms {median / sum(medians):7.1%}")
    print(f"{'sum':14} {1e3 * sum(medians):8.3f} ms, medians of {steps} steps")
    print(f"{'unwatched':14} {1e3 * step:8.3f} ms a step on average, {BATCH / step:,.0f} images/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, help="of torch on the CPU; default: torch's own")
    parser.add_argument("--steps", type=int, default=100, help="steps timed, after a warm-up")
    parser.add_argument("--net", choices=NETS, default="cifar")
    parser.add_argument("--augment", choices=AUGMENTS, default="crop", help="crop: flip and crop")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps must be 1 or more")
    if os.environ.get("MALLOC_MMAP_MAX_") is None:  # glibc reads its settings at the start
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR)
    if options.threads:
        torch.set_num_threads(options.threads)
    measure(options.steps, options.net, options.augment, options.precision)


if __name__ == "__main__":
    main()
