"""What computing a frozen backbone's features once is worth: ten epochs of training a new head.

    python tests/benchmarks/frozen_features.py [--count 512] [--epochs 10] [--threads 1]

Both ways train a linear layer behind the same frozen backbone, on the same pictures of 128x128,
with the same seed and no augmentation, and look at the validation pictures (a quarter as many)
after every epoch: once with the whole net in `fit`, once with `frozen_features` and the head
alone. The second time includes computing the features, which is also listed apart. The last
validation losses and accuracies must agree to rounding; if not, the script fails.

The pictures are noise of three tints. With `--pretrained` the backbone has ImageNet's weights,
downloaded if need be; speed does not depend on it. Without them its BatchNorm measures the
pictures first: with the statistics it is born with, a deep random net maps all pictures to nearly
the same features, and nothing could be compared.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from typing import Any

import torch

from cvhelpers.data.images import Images
from cvhelpers.data.store import Provenance
from cvhelpers.models import TransferNet
from cvhelpers.runtime import ALLOCATOR, device_name, pick_device, seed_everything
from cvhelpers.training import History, evaluate, fit, frozen_features

SIZE, BATCH, SEED = 128, 32, 0


def tinted_noise(count: int, device: torch.device) -> Images:
    """Random pixels of three classes, each brighter in a channel of its own."""
    labels = torch.arange(count) % 3
    images = torch.randint(0, 200, (count, 3, SIZE, SIZE), dtype=torch.uint8)
    images[torch.arange(count), labels] += 55
    provenance = Provenance("sample", "tinted noise")
    return Images(images, labels, ("red", "green", "blue"), provenance).to(device)


def settle(model: torch.nn.Module, images: torch.Tensor) -> None:
    """Give every BatchNorm the statistics of these images."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # a plain average, so that one batch is enough
    with torch.no_grad():
        model.train()(images)


def settings(model: torch.nn.Module, epochs: int) -> dict[str, Any]:
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=3e-3)
    return {"epochs": epochs, "optimizer": optimizer, "batch_size": BATCH, "precision": "float32"}


def seconds(device: torch.device) -> float:
    """The time, after the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def through_backbone(
    model: TransferNet, train: Images, val: Images, epochs: int
) -> tuple[History, float]:
    """The history and the seconds of the whole net's training."""
    seed_everything(SEED)
    start = seconds(train.images.device)
    history = fit(model, train, val, **settings(model, epochs))
    return history, seconds(train.images.device) - start


def on_features(
    model: TransferNet, train: Images, val: Images, epochs: int
) -> tuple[History, float, float]:
    """The history, the seconds of computing the features, and those of the head's training."""
    seed_everything(SEED)
    start = seconds(train.images.device)
    inputs = frozen_features(model, train, batch_size=BATCH, shuffle=True)
    outputs = frozen_features(model, val, batch_size=BATCH)
    middle = seconds(train.images.device)
    history = fit(model.head, inputs, outputs, **settings(model.head, epochs))
    return history, middle - start, seconds(train.images.device) - middle


def measure(backbone: str, count: int, epochs: int, pretrained: bool) -> None:
    seed_everything(SEED)
    device = pick_device()
    train, val = tinted_noise(count, device), tinted_noise(count // 4, device)
    model = TransferNet(backbone, 3, pretrained=pretrained).to(device)
    if not pretrained:
        settle(model, train.images[: 2 * BATCH])
    twin = copy.deepcopy(model.freeze())
    frozen_features(model, val, batch_size=BATCH)  # the first pass warms up
    _, computing, training = on_features(model, train, val, epochs)
    _, whole = through_backbone(twin, train, val, epochs)
    ends = [evaluate(net, val) for net in (model, twin)]

    print(f"{device_name(device)}, {backbone} ({model.provenance['kind']}), batch {BATCH}")
    print(f"{count} + {count // 4} images of {SIZE}x{SIZE}, {epochs} epochs of the head")
    print(f"{'through the backbone':26}{whole:9.2f} s, validation {ends[1]}")
    print(f"{'on features, all in all':26}{computing + training:9.2f} s, validation {ends[0]}")
    print(f"{'  computing the features':26}{computing:9.2f} s\n{'  training':26}{training:9.2f} s")
    print(f"{whole / (computing + training):.1f} times faster")
    losses, hits = ([end[key] for end in ends] for key in ("loss", "accuracy"))
    if abs(losses[0] - losses[1]) > 1e-3 or abs(hits[0] - hits[1]) * len(val) > 1.5:
        sys.exit("the two trainings ended differently: the features are not the backbone's")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", default="mobilenet_v2", help="torchvision's name")
    parser.add_argument("--pretrained", action="store_true", help="with ImageNet's weights")
    parser.add_argument("--count", type=int, default=512, help="training images")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, help="of torch on the CPU; default: torch's own")
    options = parser.parse_args()
    if options.count < 4 or options.count % BATCH == 1:
        parser.error(f"--count must be 4 or more and leave no single image in batches of {BATCH}")
    if os.environ.get("MALLOC_MMAP_MAX_") is None:  # glibc reads its settings at the start
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR)
    if options.threads:
        torch.set_num_threads(options.threads)
    measure(options.backbone, options.count, options.epochs, options.pretrained)


if __name__ == "__main__":
    main()
