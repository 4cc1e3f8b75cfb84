"""Chest X-rays with lung masks: Montgomery County, and JSRT where it was placed by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from cvhelpers.data import xrays
from cvhelpers.data.pairs import read_grey, read_mask, read_pairs
from cvhelpers.data.store import DataSet
from cvhelpers.data.stratify import stratified

CLASSES = ("background", "lung")
MONTGOMERY, JSRT = "MontgomerySet", "JSRT"
SIDES = ("left", "right")
JSRT_SIDE, SCR_SIDE = 2048, 1024  # pixels of a film, and of the masks drawn on it
COLLECTIONS = {"montgomery": MONTGOMERY, "jsrt": JSRT}
_FILMS = {MONTGOMERY: "CXR_png/{name}.png", JSRT: "All247images/{name}.IMG"}
_MASKS = {
    MONTGOMERY: "ManualMask/{side}Mask/{name}.png",
    JSRT: "scratch/fold*/masks/{side} lung/{name}.gif",
}


def read(folder: Path, size: int, *, collection: str = "all") -> dict[str, np.ndarray]:
    """X-rays, grey, squeezed to `size` x `size`; left and right lung united in one mask.

    A fifth of the patients tests and a tenth validates, once and for all; all X-rays of a patient
    stay together. Names are those of the files ("MCUCXR_0001_0", "JPCLN001"). A lung that cannot
    be seen has an empty mask.

    Args:
        folder: of the data set.
        size: side in pixels.
        collection: `montgomery`, `jsrt`, or `all` that lie there.

    Raises:
        ValueError: an X-ray without both masks, a mask without its X-ray, a broken file, a mask of
            another size or with other values than two.
    """
    if collection not in (*COLLECTIONS, "all"):
        known = ", ".join((*COLLECTIONS, "all"))
        raise ValueError(f"collection={collection!r} is unknown; choose one of: {known}")
    parts = []
    for key, place in COLLECTIONS.items():
        if collection == key or (collection == "all" and (folder / place).is_dir()):
            names = _names(folder / place)
            readers = partial(_film, folder / place), partial(_lungs, folder / place)
            parts.append((names, *read_pairs(names, *readers, size)))
    names = [name for part in parts for name in part[0]]
    images, masks = (np.concatenate([part[k] for part in parts]) for k in (1, 2))
    strata = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    arrays = {"classes": np.array(CLASSES)}
    for part, inside in _split(names, strata).items():
        arrays |= {f"{part}_images": images[inside], f"{part}_labels": masks[inside]}
        arrays[f"{part}_names"] = np.array(names)[inside]
    return arrays


def patient_of(name: str) -> str:
    """The patient that an X-ray shows: "MCUCXR_0001_0" -> "MCUCXR_0001"; JSRT has one film each."""
    return name.rsplit("_", 1)[0]


def _split(names: list[str], strata: np.ndarray) -> dict[str, np.ndarray]:
    """Which X-rays are in each part: drawn by patient, each collection in its share."""
    _, first, patient = np.unique(
        [patient_of(name) for name in names], return_index=True, return_inverse=True
    )
    rest, test = stratified(strata[first], 0.2, seed=7)
    train, val = stratified(strata[first][rest], round(0.1 * len(first)), seed=8)
    parts = {"train": rest[train], "val": rest[val], "test": test}
    return {part: np.isin(patient, chosen) for part, chosen in parts.items()}


def _films(place: Path, name: str = "*") -> dict[str, Path]:
    """The X-rays of a collection, or one of them, by name."""
    return _found(place, _FILMS[place.name].format(name=name))


def _masks(place: Path, side: str, name: str = "*") -> dict[str, Path]:
    """The masks of one side, or one of them, by the X-ray's name."""
    return _found(place, _MASKS[place.name].format(side=side, name=name))


def _found(place: Path, pattern: str) -> dict[str, Path]:
    return {f.stem: f for f in sorted(place.glob(pattern)) if not f.name.startswith(".")}


def _names(place: Path) -> list[str]:
    """Names of X-rays that have both masks; anything unpaired is an error."""
    films = _films(place)
    if not films:
        raise ValueError(f"{place} holds no X-rays; arrange it as data/README.md says")
    for side in SIDES:
        drawn = _masks(place, side)
        if absent := sorted(set(films) - set(drawn)):
            raise ValueError(
                f"{films[absent[0]]} has no {side} mask; put it back, or the X-ray away"
            )
        if alone := sorted(set(drawn) - set(films)):
            raise ValueError(f"{drawn[alone[0]]} has no X-ray; put it back, or the mask away")
    return list(films)


def _film(place: Path, name: str) -> np.ndarray:
    """One X-ray, uint8 (H, W), bones bright."""
    path = _films(place, name)[name]
    if place.name == MONTGOMERY:
        return read_grey(path)
    raw = np.fromfile(path, dtype=">u2")
    if raw.size != JSRT_SIDE**2:
        raise ValueError(
            f"broken image {path} ({raw.size} values, not {JSRT_SIDE}²); put an intact copy there"
        )
    # 12 bits, dark where the film is bright; the masks were drawn at half the size.
    halves = raw.reshape(SCR_SIDE, 2, SCR_SIDE, 2).mean(axis=(1, 3))
    return np.clip(255 - halves * (255 / 4095), 0, 255).round().astype(np.uint8)


def _lungs(place: Path, name: str) -> np.ndarray:
    """Both lungs of one X-ray at its own size, uint8 (H, W) of 0 and 1."""
    left, right = (read_mask(_masks(place, side, name)[name], (0, 1, 255)) > 0 for side in SIDES)
    if left.shape != right.shape:
        raise ValueError(f"{name}: the left mask is {left.shape}, the right one {right.shape}")
    return (left | right).astype(np.uint8)


def read_lungs(folder: Path, name: str) -> np.ndarray:
    """The original mask of an X-ray of any collection."""
    places = [folder / place for place in COLLECTIONS.values() if _films(folder / place, name)]
    if not places:
        raise ValueError(f"no X-ray {name!r} in {folder}")
    return _lungs(places[0], name)


def _unpack(scratch: Path) -> Path:
    keep = scratch / "keep"
    keep.mkdir()
    next(path.parent for path in scratch.rglob("CXR_png")).rename(keep / MONTGOMERY)
    return keep


def write_sample(folder: Path) -> None:
    """70 X-rays of 64 patients in the Montgomery layout; two of them lack a lung."""
    place = folder / MONTGOMERY
    writers: list[tuple[str, Callable[[xrays.Film], np.ndarray]]] = [
        ("CXR_png", lambda film: film.picture),
        ("ManualMask/leftMask", lambda film: 255 * film.left),
        ("ManualMask/rightMask", lambda film: 255 * film.right),
    ]
    for name, _ in writers:
        (place / name).mkdir(parents=True)
    for patient in range(1, 65):
        for visit in range(2 if patient % 10 == 0 else 1):
            rng = np.random.default_rng([patient, visit])
            lacking = {17: "left", 42: "right"}.get(patient, "")
            film = xrays.draw(rng, body=np.random.default_rng(patient), lacking=lacking)
            for name, pixels in writers:
                file = place / name / f"MCUCXR_{patient:04d}_{visit}.png"
                Image.fromarray(pixels(film).astype(np.uint8)).save(file)


LUNGS = DataSet(
    name="lungs",
    title="chest X-rays with lung masks (Montgomery County)",
    folder="lungs",
    archives=(
        (
            ("https://openi.nlm.nih.gov/imgs/collections/NLM-MontgomeryCXRSet.zip", ""),
            ("http://openi.nlm.nih.gov/imgs/collections/NLM-MontgomeryCXRSet.zip", ""),
        ),
    ),
    size_bytes=617_000_000,
    licence="for research and teaching, citation asked for",
    citation="Jaeger et al.: Two public chest X-ray datasets, Quant. Imaging Med. Surg. 4, 2014",
    homepage="https://lhncbc.nlm.nih.gov/LHC-downloads/downloads.html",
    image_size=256,
    classes=len(CLASSES),
    files={f"{MONTGOMERY}/CXR_png": "", f"{JSRT}/All247images": ""},
    version=1,
    unpack=_unpack,
    write_sample=write_sample,
    read=read,
    read_mask=read_lungs,
)
