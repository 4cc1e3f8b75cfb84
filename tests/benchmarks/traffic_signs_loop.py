"""One epoch of the traffic-sign template: batches on the device against PIL and a DataLoader.

    python tests/benchmarks/traffic_signs_loop.py [--epochs 2] [--workers 0 1 2 4] [--source auto]

Both loops train the net of 3_traffic_signs/1_basic_cnn with the template's augmentation and Adam
on all training images, in batches of 128, from the same weights. The template's way transforms one
PIL image at a time in the workers of a DataLoader; the images are decoded in memory beforehand, so
no file is opened. The number of workers is the fastest one on 4,000 images, of those tried. The
pack's way is `train_epoch`. It prints seconds an epoch (without evaluation), the ratio of the
fastest ones (the first epoch also starts the workers), and the test accuracy of both nets, which
must be alike. Run it on an idle machine; `step_profile.py --net signs --augment template` shows
where the pack's time goes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from cvhelpers import data
from cvhelpers.augment import FlipClasses
from cvhelpers.data.images import Images, Splits
from cvhelpers.models import MIRROR_CLASSES, TrafficSignCNN, template_augmentation
from cvhelpers.runtime import ALLOCATOR, device_name, pick_device, seed_everything
from cvhelpers.training import evaluate
from cvhelpers.training.batches import batches_of
from cvhelpers.training.loop import train_epoch
from cvhelpers.training.precision import device_policy

BATCH = 128


class TemplateImages(Dataset[tuple[Tensor, int]]):
    """One image at a time, as the template has it: PIL transforms, then a tensor in 0..1."""

    def __init__(self, images: Images) -> None:
        pixels = images.images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        self.pictures = [Image.fromarray(one) for one in pixels]
        self.labels = images.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.Resize((32, 32)),
                transforms.RandomRotation(5),
                transforms.RandomCrop(28),
                transforms.ColorJitter(brightness=0.8, contrast=0.4),
                transforms.ToTensor(),
            ]
        )
        self.flip = transforms.RandomHorizontalFlip()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.transform(self.pictures[index])
        label = self.labels[index]
        return (self.flip(image) if label in MIRROR_CLASSES else image), label


def new_net(device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer]:
    seed_everything(0)
    model = TrafficSignCNN(43).to(device)
    return model, torch.optim.Adam(model.parameters(), lr=1e-3, eps=0.1)


def template_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader, device: torch.device
) -> None:
    model.train()
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        loss = F.cross_entropy(model(255 * images), labels)  # the net takes raw pixels
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def template_loader(images: Images, workers: int) -> DataLoader:
    keep = {"persistent_workers": True} if workers else {}
    pinned = torch.cuda.is_available()
    return DataLoader(
        TemplateImages(images), BATCH, shuffle=True, num_workers=workers, pin_memory=pinned, **keep
    )


def pack_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, images: Images) -> None:
    policy = device_policy(model, images.images[:BATCH], precision="float32", steps=1)
    train_epoch(
        model,
        batches_of(images, policy.device, BATCH, shuffle=True),
        policy,
        optimizer=optimizer,
        augment=template_augmentation(),
        mix=FlipClasses(MIRROR_CLASSES),
    )


def seconds(epoch: Callable[[], None], epochs: int, device: torch.device) -> list[float]:
    taken = []
    for _ in range(epochs):
        started = time.perf_counter()
        epoch()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return taken


def measure(splits: Splits, epochs: int, workers: list[int]) -> None:
    device, train = splits.train.images.device, splits.train
    tried = {}
    for count in workers:
        model, optimizer = new_net(device)
        loader = template_loader(train.subset(4000), count)
        # The first epoch starts the workers; the second one counts.
        tried[count] = seconds(
            lambda m=model, o=optimizer, b=loader: template_epoch(m, o, b, device), 2, device
        )[1]
        print(f"template, {count} workers: {tried[count]:.2f} s for 4,000 images", flush=True)
    best = min(tried, key=lambda count: tried[count])

    found = {}
    for name in ("pack", "template"):
        model, optimizer = new_net(device)
        if name == "pack":
            taken = seconds(lambda m=model, o=optimizer: pack_epoch(m, o, train), epochs, device)
        else:
            loader = template_loader(train, best)
            taken = seconds(
                lambda m=model, o=optimizer, b=loader: template_epoch(m, o, b, device),
                epochs, device,
            )  # fmt: skip
        found[name] = min(taken)
        assert splits.test is not None
        accuracy = evaluate(model, splits.test)["accuracy"]
        listed = ", ".join(f"{one:.1f}" for one in taken)
        print(f"{name}: {listed} s an epoch; test accuracy {accuracy:.1%}", flush=True)
    print(f"template with {best} workers / pack: {found['template'] / found['pack']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--source", default="auto", help="auto, real or sample")
    options = parser.parse_args()
    if os.environ.get("MALLOC_MMAP_MAX_") is None:  # as the launcher sets it, for both loops
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR)
    device = pick_device()
    splits = data.load("gtsrb", source=options.source, device=device)
    whole = {
        key: torch.cat([getattr(splits.train, key), getattr(splits.val, key)])
        for key in ("images", "labels")
    }
    everything = Images(**whole, classes=splits.classes, provenance=splits.provenance)
    splits = Splits(train=everything, val=splits.val, test=splits.test)
    print(f"{device_name(device)}, {torch.get_num_threads()} threads; {len(everything)} images")
    measure(splits, options.epochs, options.workers)


if __name__ == "__main__":
    main()
