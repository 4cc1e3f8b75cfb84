"""GTSRB: German traffic signs, 43 classes, 39,209 + 12,630 photographs of 15 to 250 pixels."""

from __future__ import annotations

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from cvhelpers.data import shapes
from cvhelpers.data.pictures import read_picture
from cvhelpers.data.store import DataSet
from cvhelpers.data.stratify import stratified

SIZE = 32
CLASSES = tuple(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines())
TRAINING = "GTSRB/Final_Training/Images"
TEST = "GTSRB/Final_Test/Images"
TEST_LABELS = "GT-final_test.csv"
COLUMNS = ("Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")
MEND = (
    "put an intact copy there, or remove the folder gtsrb and run `python -m cvhelpers data gtsrb`"
)
Row = dict[str, str]


def read(folder: Path, size: int, *, crop: bool = False) -> dict[str, np.ndarray]:
    """The official test set, and the final training set split 90/10 by *track*.

    The 30 frames of a track show one sign from a car that drives up to it: near-duplicates. A
    split by image would put copies of the training images into the validation set. Names are
    "class/track_frame" ("00007/00012_00029"), of test images their number. `crop` cuts out the
    region of interest, the sign without its border, before the image is squeezed.
    """
    rows = [
        (folder / TRAINING / f"{label:05d}", row)
        for label in range(len(CLASSES))
        for row in _rows(folder / TRAINING / f"{label:05d}" / f"GT-{label:05d}.csv")
    ]
    names = [f"{place.name}/{Path(row['Filename']).stem}" for place, row in rows]
    images, labels = _decode(rows, size, crop)
    _, first, track_of = np.unique(
        [name.rsplit("_", 1)[0] for name in names], return_index=True, return_inverse=True
    )
    arrays = {"classes": np.array(CLASSES)}
    parts = stratified(labels[first], 0.1, seed=43)
    for part, chosen in zip(("train", "val"), parts, strict=True):
        inside = np.isin(track_of, chosen)
        arrays |= {f"{part}_images": images[inside], f"{part}_labels": labels[inside]}
        arrays[f"{part}_names"] = np.array(names)[inside]
    tests = [(folder / TEST, row) for row in _rows(folder / TEST_LABELS)]
    arrays["test_images"], arrays["test_labels"] = _decode(tests, size, crop)
    arrays["test_names"] = np.array([Path(row["Filename"]).stem for _, row in tests])
    return arrays


def _rows(path: Path) -> list[Row]:
    """The rows of one of the official csv files."""
    if not path.exists():
        raise ValueError(f"{path} is missing; {MEND}")
    with path.open(newline="", encoding="utf-8-sig") as file:  # with a byte order mark or without
        rows = list(csv.DictReader(file, delimiter=";"))
    if rows and len(rows[0]) == 1 and "," in next(iter(rows[0])):
        raise ValueError(f"{path} is separated by commas, the official file by semicolons; {MEND}")
    lacking = [name for name in COLUMNS if not rows or rows[0].get(name) is None]
    if lacking:
        raise ValueError(f"{path} lacks {', '.join(lacking)} or has no rows; {MEND}")
    return rows


def _decode(rows: list[tuple[Path, Row]], size: int, crop: bool) -> tuple[np.ndarray, np.ndarray]:
    def one(place_and_row: tuple[Path, Row]) -> np.ndarray:
        place, row = place_and_row
        file = place / row["Filename"]
        try:
            image = read_picture(file)
        except ValueError as error:
            raise ValueError(f"{error}; {MEND}") from error
        whole = image.crop(_region(image, row)) if crop else image
        squeezed = whole.resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(squeezed).transpose(2, 0, 1)

    labels = np.array([int(row["ClassId"]) for _, row in rows], dtype=np.int64)
    if outside := sorted(set(labels.tolist()) - set(range(len(CLASSES)))):
        raise ValueError(f"{rows[0][0]}: ClassId {outside} is not in 0..{len(CLASSES) - 1}; {MEND}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(one, rows))), labels


def _region(image: Image.Image, row: Row) -> tuple[int, int, int, int]:
    """The region of interest in the image's own pixels: a resized copy keeps the original's csv."""
    across, down = image.width / int(row["Width"]), image.height / int(row["Height"])
    left, top, right, bottom = (int(row[name]) for name in COLUMNS[3:7])
    return (
        round(left * across), round(top * down),
        round((right + 1) * across), round((bottom + 1) * down),
    )  # fmt: skip


def write_sample(folder: Path) -> None:
    """Tracks of five near-duplicates, two to eight tracks a class; six test images a class."""
    for label in range(len(CLASSES)):
        place, rows = folder / TRAINING / f"{label:05d}", []
        place.mkdir(parents=True)
        for track in range(2 + label * 5 % 7):
            for frame, image in enumerate(_drive([label, track], label, frames=5)):
                rows.append(_save(image, place / f"{track:05d}_{frame:05d}.ppm", label))
        _write_rows(place / f"GT-{label:05d}.csv", rows)
    (folder / TEST).mkdir(parents=True)
    rows = []
    for number, label in enumerate(np.random.default_rng(43).permutation(6 * len(CLASSES))):
        label = int(label) % len(CLASSES)
        (image,) = _drive([1000, number], label, frames=1)
        rows.append(_save(image, folder / TEST / f"{number:05d}.ppm", label))
    _write_rows(folder / TEST_LABELS, rows)


def _drive(seed: list[int], label: int, *, frames: int) -> list[Image.Image]:
    """One sign from further and further near: the same picture, larger, in changing light."""
    rng = np.random.default_rng(seed)
    pixels, _ = shapes.draw(rng, label, height=64, width=64, clutter=1)
    images = []
    for frame in range(frames):
        side = int(rng.integers(28, 36)) + 6 * frame
        margin = 6 + rng.integers(-3, 4, 4)
        box = (margin[0], margin[1], 64 - margin[2], 64 - margin[3])
        lit = np.clip(pixels * rng.uniform(0.85, 1.15), 0, 255).astype(np.uint8)
        images.append(Image.fromarray(lit).resize((side, side), Image.Resampling.BILINEAR, box))
    return images


def _save(image: Image.Image, path: Path, label: int) -> list[object]:
    image.save(path)
    border = round(0.1 * image.width)
    region = [border, border, image.width - 1 - border, image.height - 1 - border]
    return [path.name, image.width, image.height, *region, label]


def _write_rows(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";").writerows([COLUMNS, *rows])


def _mirrors(name: str, md5: str) -> tuple[tuple[str, str], ...]:
    return (
        (f"https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/{name}", md5),
        (f"http://benchmark.ini.rub.de/Dataset/{name}", md5),
    )


GTSRB = DataSet(
    name="gtsrb",
    title="GTSRB traffic signs",
    folder="gtsrb",
    archives=(
        _mirrors("GTSRB_Final_Training_Images.zip", "f33fd80ac59bff73c82d25ab499e03a3"),
        _mirrors("GTSRB_Final_Test_Images.zip", "c7e4e6327067d32654124b0fe9e82185"),
        _mirrors("GTSRB_Final_Test_GT.zip", "fe31e9c9270bbcd7b84b7f21a9d9d9e5"),
    ),
    size_bytes=365_000_000,
    licence="free to use, citation asked for",
    citation="Stallkamp, Schlipsing, Salmen, Igel: Man vs. computer, Neural Networks 32, 2012",
    homepage="https://benchmark.ini.rub.de",
    image_size=SIZE,
    classes=len(CLASSES),
    files={TRAINING: "", TEST_LABELS: ""},
    version=2,
    unpack=lambda scratch: scratch,
    write_sample=write_sample,
    read=read,
    look_alikes={
        "Train.csv": "a re-packaging (Train/, Test/, Train.csv with commas), not the official set",
        "GTSRB/Training": "torchvision's split `train`: 26,640 of the 39,209 training images",
    },
)
