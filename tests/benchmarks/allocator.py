"""How much the memory allocator's settings matter for training on a CPU; one run, both settings.

    python tests/benchmarks/allocator.py

Each setting gets processes of its own, in turn, because glibc reads them at the start. It prints
images per second (best of the rounds) of a training step, and the ratio.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

ROUNDS, STEPS, BATCH = 3, 6, 128


def measure() -> None:
    import torch
    import torch.nn.functional as F

    from cvhelpers.models import LeNet5, ResNet18

    images = torch.randint(0, 256, (BATCH, 3, 64, 64), dtype=torch.uint8)
    labels = torch.randint(0, 101, (BATCH,))
    for model in (LeNet5(101), LeNet5(101, batch_norm=True), ResNet18(101)):
        model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        times = []
        for _ in range(STEPS):
            started = time.perf_counter()
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            times.append(time.perf_counter() - started)
        print(BATCH / min(times[1:]))


def main() -> None:
    from cvhelpers.runtime import ALLOCATOR

    names = ("LeNet-5", "LeNet-5 with batch norm", "ResNet-18")
    best: dict[str, list[float]] = {}
    plain = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
    for _ in range(ROUNDS):
        for setting, environment in {"default": plain, "ours": plain | ALLOCATOR}.items():
            command = [sys.executable, __file__, "--measure"]
            output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            found = [float(line) for line in output.stdout.split()]
            earlier = best.get(setting, [0.0] * len(names))
            best[setting] = [max(pair) for pair in zip(found, earlier, strict=True)]
    for name, default, ours in zip(names, best["default"], best["ours"], strict=True):
        print(f"{name:24} {default:6.0f} -> {ours:6.0f} images/s, {ours / default:.2f} times")


if __name__ == "__main__":
    measure() if "--measure" in sys.argv else main()
