"""Caltech-101: 101 object classes, 31 to 800 photographs each, sizes about 300 x 200."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cvhelpers.data import shapes
from cvhelpers.data.download import extract
from cvhelpers.data.folders import read_folders
from cvhelpers.data.store import DataSet, read_provenance
from cvhelpers.data.stratify import stratified

CLASSES = tuple(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").split())
SAMPLE_CLASSES = (*CLASSES[:17], "camera", "starfish", "watch")
BACKGROUND = "BACKGROUND_Google"  # clutter, no object class
IMAGES = "101_ObjectCategories"


def read(folder: Path, size: int) -> dict[str, np.ndarray]:
    """All object images squeezed to `size` x `size`, split 90/10 once and for all."""
    classes = CLASSES
    if read_provenance(CALTECH101, folder).kind == "sample":
        classes = SAMPLE_CLASSES
    images, labels, names = read_folders(folder / IMAGES, classes, size, data_set="caltech101")
    arrays = {"classes": np.array(classes)}
    for part, chosen in zip(("train", "val"), stratified(labels, 0.1, seed=101), strict=True):
        arrays[f"{part}_images"] = images[chosen]
        arrays[f"{part}_labels"] = labels[chosen]
        arrays[f"{part}_names"] = names[chosen]
    return arrays


def _unpack(scratch: Path) -> Path:
    """The official zip holds the images in a tar.gz of their own; the mirror is that tar.gz."""
    for inner in list(scratch.rglob(f"{IMAGES}.tar.gz")):
        extract(inner, scratch)
    keep = scratch / "keep"
    keep.mkdir()
    next(path for path in scratch.rglob(IMAGES) if path.is_dir()).rename(keep / IMAGES)
    return keep


def write_sample(folder: Path) -> None:
    """Twenty classes and the background, 25 to 70 pictures each, all sizes, one in twenty grey."""
    for kind, name in enumerate((*SAMPLE_CLASSES, BACKGROUND)):
        place = folder / IMAGES / name
        place.mkdir(parents=True)
        count = 70 if name in ("Faces", "Motorbikes", "airplanes") else 25 + 7 * kind % 23
        for number in range(1, count + 1):
            rng = np.random.default_rng([kind, number])
            height, width = rng.integers(90, 141, 2).tolist()
            shown = int(rng.integers(40)) if name == BACKGROUND else kind
            pixels, _ = shapes.draw(rng, shown, height=height, width=width)
            image = Image.fromarray(pixels).convert("L" if number % 20 == 0 else "RGB")
            image.save(place / f"image_{number:04d}.jpg", quality=90)


CALTECH101 = DataSet(
    name="caltech101",
    title="Caltech-101",
    folder="caltech101",
    archives=(
        (
            (
                "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
                "3138e1922a9193bfa496528edbbc45d0",
            ),
            (
                "https://s3.amazonaws.com/fast-ai-imageclas/caltech_101.tgz",
                "b224c7392d521a49829488ab0f1120d9",  # of the tar.gz in the official zip
            ),
        ),
    ),
    size_bytes=137_414_764,
    licence="CC BY 4.0",
    citation="Li, Andreeto, Ranzato, Perona: Caltech 101, CaltechDATA, 2022",
    homepage="https://doi.org/10.22002/D1.20086",
    image_size=64,
    classes=len(CLASSES),
    files={IMAGES: ""},
    version=2,
    unpack=_unpack,
    write_sample=write_sample,
    read=read,
)
