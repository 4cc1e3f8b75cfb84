"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 photographs of 32 x 32 in 10 or 100 classes, pickled."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cvhelpers.data import shapes
from cvhelpers.data.store import DataSet
from cvhelpers.data.stratify import stratified

SIZE = 32
ARRAY_PARTS = {
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "_codecs.encode",
}


def read_10(names: list[str], folder: Path, size: int) -> dict[str, np.ndarray]:
    """CIFAR-10, see `_read`."""
    return _read(names, folder, size, split_by="", named_by="")


def read_100(
    names: list[str], folder: Path, size: int, *, coarse: bool = False
) -> dict[str, np.ndarray]:
    """CIFAR-100 by its 100 fine classes, or the very same splits by their 20 coarse ones."""
    named_by = "coarse_" if coarse else "fine_"
    return _read(names, folder, size, split_by="fine_", named_by=named_by)


def _read(
    names: list[str], folder: Path, size: int, *, split_by: str, named_by: str
) -> dict[str, np.ndarray]:
    """Training batches split 90/10 into train and validation once and for all; test stays test.

    `names`: files, the training batches first, then test batch and meta file. `named_by` begins
    the keys of the labels that are given, `split_by` of those that stratify the split. Images are
    called by their place in the official order: "X_train[12]", "X_test[0]".
    """
    if size != SIZE:
        raise ValueError(f"CIFAR images are {SIZE} x {SIZE}, not {size}; resize on the device")
    *train, test, meta = (folder / name for name in names)
    classes, deciding = _unpickle(meta, f"{named_by}label_names", f"{split_by}label_names")
    batches = [_batch(path, f"{named_by}labels", len(classes)) for path in train]
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    strata = np.concatenate([_batch(path, f"{split_by}labels", len(deciding))[1] for path in train])
    arrays = {"classes": np.array(classes)}
    for part, chosen in zip(("train", "val"), stratified(strata, 0.1, seed=10), strict=True):
        arrays[f"{part}_images"], arrays[f"{part}_labels"] = images[chosen], labels[chosen]
        arrays[f"{part}_names"] = np.array([f"X_train[{row}]" for row in chosen])
    tests = _batch(test, f"{named_by}labels", len(classes))
    arrays["test_images"], arrays["test_labels"] = tests
    arrays["test_names"] = np.array([f"X_test[{row}]" for row in range(len(tests[1]))])
    return arrays


def _batch(path: Path, key: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    data, labels = map(np.asarray, _unpickle(path, "data", key))
    fits = data.dtype == np.uint8 and data.shape == (len(labels), 3 * SIZE * SIZE)
    if not fits or not set(labels.tolist()) <= set(range(classes)):
        raise ValueError(
            f"{path} holds {data.dtype} {data.shape} and {len(labels)} labels, no batch of "
            f"{classes} classes; remove {path.parent} and run `python -m cvhelpers data`"
        )
    return data.reshape(-1, 3, SIZE, SIZE), labels.astype(np.int64)


def _unpickle(path: Path, *keys: str) -> list[Any]:
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="latin1").load()
        return [content[key] for key in keys]
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(
            f"{path} is no intact CIFAR pickle ({type(error).__name__}: {error}); "
            f"remove {path.parent} and run `python -m cvhelpers data`"
        ) from error


class _ArraysOnly(pickle.Unpickler):
    """Builds arrays and plain containers, nothing else: a pickle from anywhere could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" == "numpy.dtype":
            # The official files pass align=0 for False, which numpy 2.4 warns about.
            return lambda code, *_: np.dtype(code)
        if f"{module}.{name}" not in ARRAY_PARTS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return super().find_class(module, name)


def write_sample(
    names: list[str], prefix: str, classes: list[str], first: int, folder: Path, *,
    train: int = 2400,
) -> None:  # fmt: skip
    """Pickles as the official ones, with `train` training rows and a quarter as many for test.

    The classes are drawn as `shapes.draw` draws its kinds `first`, `first + 1`, and so on.
    """
    *batches, test, meta = names
    rows = {**dict.fromkeys(batches, train // len(batches)), test: train // 4}
    for number, (name, count) in enumerate(rows.items()):
        rng = np.random.default_rng([len(classes), number])
        labels = rng.permutation(np.arange(count) % len(classes)).tolist()
        drawn = [shapes.draw(rng, first + k, height=SIZE, width=SIZE, clutter=2) for k in labels]
        batch = {
            "batch_label": name,
            "data": np.stack([image for image, _ in drawn])
            .transpose(0, 3, 1, 2)
            .reshape(count, -1),
            "filenames": [f"{classes[k]}_s_{row:06d}.png" for row, k in enumerate(labels)],
            f"{prefix}labels": labels,
        }
        if prefix:
            batch["coarse_labels"] = [k // 5 for k in labels]
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    contents = {f"{prefix}label_names": classes}
    if prefix:
        contents["coarse_label_names"] = [f"group_{k:02d}" for k in range(len(classes) // 5)]
    (folder / meta).write_bytes(pickle.dumps(contents, protocol=2))


def _entry(
    title: str, folder: str, classes: list[str], *, prefix: str, files: dict[str, str], md5: str,
    read: Callable[..., dict[str, np.ndarray]], first: int, version: int,
) -> DataSet:  # fmt: skip
    archive = f"{title.lower()}-python.tar.gz"
    return DataSet(
        name=title.lower().replace("-", ""),
        title=title,
        folder=folder,
        archives=(
            (
                (f"https://www.cs.toronto.edu/~kriz/{archive}", md5),
                (f"https://dataset.bj.bcebos.com/cifar/{archive}", md5),
            ),
        ),
        size_bytes=170_000_000,
        licence="none stated",
        citation="Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        image_size=SIZE,
        classes=len(classes),
        files=files,
        version=version,
        unpack=lambda scratch: scratch / folder,
        write_sample=partial(write_sample, list(files), prefix, classes, first),
        read=partial(read, list(files)),
    )


CIFAR10 = _entry(
    "CIFAR-10",
    "cifar-10-batches-py",
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    prefix="",
    files={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    md5="c58f30108f718f92721af3b95e74349a",
    read=read_10,
    first=100,  # behind CIFAR-100's: the two samples have no class in common
    version=3,
)
CIFAR100 = _entry(
    "CIFAR-100",
    "cifar-100-python",
    [f"shape_{k:02d}" for k in range(100)],  # the sample's; the official ones are in the data
    prefix="fine_",
    files={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    read=read_100,
    first=0,
    version=2,
)
