"""TensorFlow's flower photos: 5 classes, 3,670 photographs of many sizes.

The course's own flowers, which its `utils.download_dataset()` fetches, are not public; this set
stands in for them, so numbers reached on the two are not comparable.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cvhelpers.data import shapes
from cvhelpers.data.folders import read_folders
from cvhelpers.data.store import DataSet
from cvhelpers.data.stratify import stratified

COUNTS = {"daisy": 633, "dandelion": 898, "roses": 641, "sunflowers": 699, "tulips": 799}
CLASSES = tuple(COUNTS)  # alphabetical, as Keras numbers folders; tensorflow_datasets does not
IMAGES = "flower_photos"
# Six photographs lie in the archive twice, one of them as a rose and as a tulip: copy -> original.
COPIES = {
    "daisy/10993818044_4c19b86c82": "daisy/10993710036_2033222c91",
    "daisy/10994032453_ac7f8d9e2e": "daisy/10466290366_cc72e33532",
    "roses/2093263381_afd51358a3": "roses/1775233884_12ff5a124f",
    "sunflowers/15066430311_fb57fa92b0_m": "sunflowers/14889392928_9742aed45b_m",
    "sunflowers/15072973261_73e2912ef2_n": "sunflowers/15069459615_7e0fd61914_n",
    "tulips/15922772266_1167a06620": "roses/15922772266_1167a06620",
}


def read(folder: Path, size: int) -> dict[str, np.ndarray]:
    """All images squeezed to `size` x `size`, split 80/10/10 into train, val and test.

    Names are "class/file" ("daisy/100080576_f52e8ee070_n"). The split is by photograph: a copy
    goes where its original goes, so no test image is known from training. Series of one flower,
    and one shot edited twice (at least fifteen pairs), are split like any other images.
    """
    images, labels, names = read_folders(folder / IMAGES, CLASSES, size, data_set="flowers")
    _, first, photo_of = np.unique(
        [COPIES.get(name, name) for name in names.tolist()], return_index=True, return_inverse=True
    )
    arrays = {"classes": np.array(CLASSES)}
    for part, chosen in _split(labels[first]).items():
        inside = np.isin(photo_of, chosen)
        arrays |= {f"{part}_images": images[inside], f"{part}_labels": labels[inside]}
        arrays[f"{part}_names"] = names[inside]
    return arrays


def _split(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Positions of the parts: a tenth each for val and test, of the same size."""
    rest, test = stratified(labels, 0.1, seed=5)
    train, val = stratified(labels[rest], len(test), seed=6)
    return {"train": rest[train], "val": rest[val], "test": test}


def write_sample(folder: Path) -> None:
    """A twelfth of each class's count; sides of 120 to 240 pixels, in any ratio."""
    for label, (name, count) in enumerate(COUNTS.items()):
        kind = label + 8 * (label % 2)  # every other shape is striped: colour alone is not enough
        place = folder / IMAGES / name
        place.mkdir(parents=True)
        for number in range(1, round(count / 12) + 1):
            rng = np.random.default_rng([label, number])
            height, width = rng.integers(120, 241, 2).tolist()
            pixels, _ = shapes.draw(rng, kind, height=height, width=width)
            Image.fromarray(pixels).save(place / f"sample_{number:04d}.jpg", quality=90)
    (folder / IMAGES / "LICENSE.txt").write_text(
        "Synthetic shapes, drawn here: no photographs.\n", encoding="utf-8"
    )


_ADDRESS = "download.tensorflow.org/example_images/flower_photos.tgz"
_MD5 = "6f87fb78e9cc9ab41eff2015b380011d"

FLOWERS = DataSet(
    name="flowers",
    title="TensorFlow's flower photos",
    folder="flowers",
    archives=(
        ((f"https://storage.googleapis.com/{_ADDRESS}", _MD5), (f"http://{_ADDRESS}", _MD5)),
    ),
    size_bytes=228_813_984,
    licence="CC BY 2.0",
    citation="The TensorFlow Team: Flowers, 2019",
    homepage="https://www.tensorflow.org/datasets/catalog/tf_flowers",
    image_size=128,
    classes=len(CLASSES),
    files={IMAGES: ""},
    version=2,
    unpack=lambda scratch: scratch,
    write_sample=write_sample,
    read=read,
)
