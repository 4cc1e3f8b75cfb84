"""A data set of two grey pictures a part, for the tests of the data folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cvhelpers.data.store import DataSet


def write(folder: Path, value: int = 7) -> None:
    (folder / "values.json").write_text(json.dumps([value] * 4))


def read(folder: Path, size: int) -> dict[str, np.ndarray]:
    values = json.loads((folder / "values.json").read_text())
    arrays = {"classes": np.array(["even", "odd"])}
    for part in ("train", "val"):
        arrays[f"{part}_images"] = np.full((2, 3, size, size), values[0], dtype=np.uint8)
        arrays[f"{part}_labels"] = np.array([0, 1])
    return arrays


def fake(*mirrors: tuple[str, str], version: int = 1, md5: str = "") -> DataSet:
    return DataSet(
        name="fake",
        title="Fake pictures",
        folder="fake",
        archives=(mirrors,),
        size_bytes=1000,
        licence="none",
        citation="",
        homepage="",
        image_size=4,
        classes=2,
        files={"values.json": md5},
        version=version,
        unpack=lambda scratch: scratch / "pictures",
        write_sample=write,
        read=read,
    )
