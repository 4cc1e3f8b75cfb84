"""PASCAL VOC 2012, segmentation: 1,464 + 1,449 photographs with a class for every pixel."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from cvhelpers.data import shapes
from cvhelpers.data.pairs import foreground as as_foreground
from cvhelpers.data.pairs import read_mask, read_pairs
from cvhelpers.data.pictures import read_picture
from cvhelpers.data.store import DataSet
from cvhelpers.data.stratify import stratified
from cvhelpers.masks import IGNORE

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
ROOT = "VOCdevkit/VOC2012"
LISTS = f"{ROOT}/ImageSets/Segmentation"
MEND = "arrange it as data/README.md says, or run `python -m cvhelpers data voc2012`"


def read(folder: Path, size: int, *, foreground: bool = False) -> dict[str, np.ndarray]:
    """Photographs and masks squeezed to `size` x `size`.

    The official val list is the test set: the official test set's masks are not public. A tenth of
    the official train list validates, drawn by the class that fills most of the picture. Names are
    the official ones ("2007_000032").

    Args:
        folder: of the data set.
        size: side in pixels.
        foreground: two classes, any object against the background; else all 21.

    Raises:
        ValueError: a list, photograph or mask that is missing or broken, a mask without a palette,
            of another size, or with a value that is neither a class nor the border's 255.
    """
    arrays = {"classes": np.array((CLASSES[0], "foreground") if foreground else CLASSES)}
    for part, names in (("train", _listed(folder, "train")), ("test", _listed(folder, "val"))):
        readers = partial(_photograph, folder), partial(read_classes, folder)
        images, masks = read_pairs(names, *readers, size)
        chosen = {part: np.arange(len(names))}
        if part == "train":
            chosen["train"], chosen["val"] = stratified(_largest(masks), 0.1, seed=12)
        masks = as_foreground(masks) if foreground else masks
        for key, rows in chosen.items():
            arrays |= {f"{key}_images": images[rows], f"{key}_labels": masks[rows]}
            arrays[f"{key}_names"] = np.array(names)[rows]
    return arrays


def _largest(masks: np.ndarray) -> np.ndarray:
    """The class of most pixels in each mask, background aside (0 where there is nothing else)."""
    pixels = np.stack([(masks == label).sum((1, 2)) for label in range(1, len(CLASSES))], axis=1)
    return np.where(pixels.any(1), pixels.argmax(1) + 1, 0)


def _listed(folder: Path, part: str) -> list[str]:
    path = folder / LISTS / f"{part}.txt"
    if not path.exists():
        raise ValueError(f"{path} is missing; {MEND}")
    names = path.read_text(encoding="utf-8").split()
    if not names:
        raise ValueError(f"{path} lists no image; {MEND}")
    return names


def _photograph(folder: Path, name: str) -> np.ndarray:
    path = folder / ROOT / "JPEGImages" / f"{name}.jpg"
    if not path.exists():
        raise ValueError(f"{path} is missing, but a list has its mask; {MEND}")
    return np.asarray(read_picture(path))


def read_classes(folder: Path, name: str) -> np.ndarray:
    """The mask of one photograph at its own size: uint8 (H, W), 0 to 20 and 255 for the border."""
    path = folder / ROOT / "SegmentationClass" / f"{name}.png"
    return read_mask(path, [*range(len(CLASSES)), IGNORE], palette=True)


def write_sample(folder: Path) -> None:
    """150 + 60 scenes of one to three objects; four kinds are common, each other one is rare."""
    for name in ("JPEGImages", "SegmentationClass"):
        (folder / ROOT / name).mkdir(parents=True)
    (folder / LISTS).mkdir(parents=True)
    for part, count in (("train", 150), ("val", 60)):
        names = [f"2012_{part == 'val':d}{number:05d}" for number in range(count)]
        (folder / LISTS / f"{part}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        for name in names:
            pixels, mask = _scene(np.random.default_rng(int(name.replace("_", ""))))
            Image.fromarray(pixels).save(folder / ROOT / "JPEGImages" / f"{name}.jpg", quality=90)
            image = Image.fromarray(mask, mode="P")
            image.putpalette(palette())
            image.save(folder / ROOT / "SegmentationClass" / f"{name}.png")


def _scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A photograph's stand-in and its mask: objects of any size, a border of 255 around each."""
    from scipy import ndimage  # for drawing alone: who only reads starts faster

    height, width = rng.integers(100, 161, 2).tolist()
    image = shapes.background(rng, height=height, width=width)
    mask = np.zeros((height, width), dtype=np.uint8)
    common = [CLASSES.index(name) for name in ("cat", "dog", "person", "sheep")]
    for _ in range(int(rng.integers(1, 4))):
        label = int(rng.choice(common)) if rng.uniform() < 0.7 else int(rng.integers(1, 21))
        centre = rng.uniform(0.15, 0.85, 2) * (height, width)
        radius = rng.uniform(0.14, 0.34) * min(height, width)
        inside = shapes.place(rng, image, label - 1, centre=centre, radius=radius) == 1
        mask[ndimage.binary_dilation(inside, iterations=2)] = IGNORE
        mask[ndimage.binary_erosion(inside)] = label
    return shapes.finish(rng, image), mask


def palette() -> list[int]:
    """VOC's colours, 256 times red, green, blue: the bits of a class's number, highest first."""
    colours = np.zeros((256, 3), dtype=int)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (np.arange(256) >> (3 * bit + channel) & 1) << (7 - bit)
    return colours.ravel().tolist()


_ADDRESS = "VOCtrainval_11-May-2012.tar"
_MD5 = "6cd6e144f989b92b3379bac3b3de84fd"

VOC2012 = DataSet(
    name="voc2012",
    title="PASCAL VOC 2012, segmentation",
    folder="voc2012",
    archives=(
        (
            (f"http://host.robots.ox.ac.uk/pascal/VOC/voc2012/{_ADDRESS}", _MD5),
            (f"https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/{_ADDRESS}", _MD5),
            (f"https://pjreddie.com/media/files/{_ADDRESS}", _MD5),
        ),
    ),
    size_bytes=1_999_639_040,
    licence="Flickr's terms of use; for research",
    citation="Everingham et al.: The PASCAL Visual Object Classes Challenge 2012, 2012",
    homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    image_size=160,
    classes=len(CLASSES),
    files={f"{LISTS}/train.txt": "", f"{LISTS}/val.txt": ""},
    version=1,
    unpack=lambda scratch: scratch,
    write_sample=write_sample,
    read=read,
    read_mask=read_classes,
)
