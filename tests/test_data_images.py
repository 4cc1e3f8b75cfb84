import numpy as np
import pytest
import torch

from cvhelpers.data import load
from cvhelpers.data.images import Images, Splits
from cvhelpers.data.store import Provenance
from cvhelpers.data.stratify import stratified

SAMPLE = Provenance("sample")


def make(sizes: tuple[int, ...] = (10, 20, 5)) -> Images:
    labels = torch.cat([torch.full((size,), k) for k, size in enumerate(sizes)])
    total = len(labels)
    pixels = torch.arange(total * 12, dtype=torch.int64).remainder(251).to(torch.uint8)
    names = tuple(f"class{k}/image_{i:04d}" for i, k in enumerate(labels.tolist()))
    classes = tuple(f"class{k}" for k in range(len(sizes)))
    return Images(pixels.reshape(total, 3, 2, 2), labels, classes, SAMPLE, names)


def masked() -> Images:
    pixels, masks = torch.zeros(4, 3, 2, 2), torch.ones(4, 2, 2)
    return Images(pixels.byte(), masks.byte(), ("background", "object"), SAMPLE)


def test_subsets_keep_pixels_labels_and_names_together():
    images = make()
    chosen = images[[12, 3]]
    assert len(chosen) == 2
    assert torch.equal(chosen.images, torch.stack([images.images[12], images.images[3]]))
    assert chosen.labels.tolist() == [1, 0]
    assert chosen.names == ("class1/image_0012", "class0/image_0003")
    assert images[torch.tensor([12, 3])].names == chosen.names
    assert images[images.labels == 2].labels.tolist() == [2] * 5
    assert images[-2:].names == images.names[-2:]


def test_a_slice_shares_memory_and_a_list_does_not():
    images = make()
    assert images[5:].images.data_ptr() == images.images[5].data_ptr()
    assert images[[5, 6]].images.data_ptr() != images.images[5].data_ptr()


def test_one_index_is_refused_with_the_mend():
    with pytest.raises(ValueError, match=r"images\[3\] is one picture; use images\[3 : 4\]"):
        make()[3]  # type: ignore[index]


@pytest.mark.parametrize(
    ("pixels", "labels"),
    [
        (torch.zeros(2, 3, 4, 4), torch.zeros(2).long()),  # float pixels
        (torch.zeros(2, 4, 4).byte(), torch.zeros(2).long()),  # no channels
        (torch.zeros(2, 3, 4, 4).byte(), torch.zeros(3).long()),  # a label too many
        (torch.zeros(2, 3, 4, 4).byte(), torch.zeros(2)),  # float labels
        (torch.zeros(2, 3, 4, 4).byte(), torch.zeros(2, 4, 5).byte()),  # masks of another size
        (torch.zeros(2, 3, 4, 4).byte(), torch.zeros(2, 4, 4).long()),  # masks of another type
    ],
)
def test_wrong_shapes_and_types_are_refused(pixels, labels):
    with pytest.raises(ValueError, match=r"give uint8 \(N, C, H, W\)"):
        Images(pixels, labels, ("a",), SAMPLE)


def test_moving_to_the_same_device_is_free():
    images = make()
    assert images.to("cpu") is images
    moved = images.to("meta")
    assert moved.images.device.type == moved.labels.device.type == "meta"
    assert moved.names == images.names


def test_batches_come_in_order_with_a_smaller_last_one():
    images = make()
    batches = list(images.batches(8))
    assert [len(labels) for _, labels in batches] == [8, 8, 8, 8, 3]
    assert torch.equal(torch.cat([pixels for pixels, _ in batches]), images.images)
    assert torch.equal(torch.cat([labels for _, labels in batches]), images.labels)
    assert [len(labels) for _, labels in images.batches(8, drop_last=True)] == [8, 8, 8, 8]


def test_shuffled_batches_visit_everything_once_and_follow_the_generator():
    images = make()

    def order(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        pixels = [x for x, _ in images.batches(8, shuffle=True, generator=generator)]
        return torch.cat(pixels)[:, 0, 0, 0].tolist()

    assert sorted(order(0)) == sorted(images.images[:, 0, 0, 0].tolist())
    assert order(0) == order(0)
    assert order(0) != order(1)


def test_shuffled_pixels_keep_their_labels():
    images = make()
    for pixels, labels in images.batches(4, shuffle=True):
        for picture, label in zip(pixels, labels, strict=True):
            where = (images.images == picture).flatten(1).all(1).nonzero().item()
            assert images.labels[where] == label


def test_batch_size_zero_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        next(make().batches(0))


def test_counts_include_empty_classes():
    assert make((3, 0, 2, 0)).counts().tolist() == [3, 0, 2, 0]
    with pytest.raises(ValueError, match="have masks"):
        masked().counts()


def test_find_gives_the_position_or_near_names():
    images = make()
    assert images.find("class1/image_0012") == 12
    with pytest.raises(
        ValueError, match=r"'class1/image_12' here; near names: .*class1/image_0012"
    ):
        images.find("class1/image_12")
    with pytest.raises(ValueError, match="near names: none"):
        masked().find("anything")


def test_split_keeps_the_shares_exactly():
    rest, held = make().split(0.2, seed=3)  # 20 % of 10, 20 and 5
    assert held.counts().tolist() == [2, 4, 1]
    assert rest.counts().tolist() == [8, 16, 4]
    assert not set(rest.names) & set(held.names)
    assert set(rest.names) | set(held.names) == set(make().names)
    assert list(rest.names) == sorted(rest.names, key=make().names.index)


def test_split_deals_leftovers_by_largest_remainder():
    # 7 of 35: 10 * 7 / 35 = 2, 20 -> 4, 5 -> 1; 8 of 35: 2.29, 4.57, 1.14 -> one more for class 1
    assert make().split(8)[1].counts().tolist() == [2, 5, 1]
    assert len(make((33, 33, 35)).split(0.1)[1]) == round(0.1 * 101)


def test_split_is_pinned_for_good():
    # Validation sets are made by this: a change here changes every published number.
    labels = np.repeat([0, 1, 2], [10, 20, 5])
    rest, held = stratified(labels, 0.2, seed=101)
    assert held.tolist() == [4, 6, 22, 23, 26, 29, 34]
    assert sorted([*rest, *held]) == list(range(35))


def test_split_of_a_class_does_not_depend_on_other_classes():
    both = stratified(np.repeat([0, 1], [20, 20]), 0.5, seed=1)[1]
    alone = stratified(np.repeat([0, 2], [20, 20]), 0.5, seed=1)[1]
    assert both[both < 20].tolist() == alone[alone < 20].tolist()


def test_split_follows_the_seed():
    assert make().split(0.3, seed=0)[1].names == make().split(0.3, seed=0)[1].names
    assert make().split(0.3, seed=0)[1].names != make().split(0.3, seed=1)[1].names


@pytest.mark.parametrize("held_out", [0, 0.0, 1.0, 35, -2, 0.001])
def test_a_split_with_an_empty_part_is_refused(held_out):
    with pytest.raises(ValueError, match="leaves one part empty"):
        make().split(held_out)


def test_images_with_masks_split_too():
    rest, held = masked().split(0.25)
    assert (len(rest), len(held)) == (3, 1)
    assert held.labels.shape == (1, 2, 2)


def test_subset_is_stratified_or_the_whole():
    images = make()
    assert images.subset(7).counts().tolist() == [2, 4, 1]
    assert images.subset(None) is images
    assert images.subset(35) is images
    assert images.subset(1000) is images


def test_fingerprint_follows_contents_and_not_memory_layout():
    images = make()
    same = Images(
        images.images.contiguous(memory_format=torch.channels_last),
        images.labels.clone(),
        images.classes,
        Provenance("real"),
    )
    assert same.fingerprint() == images.fingerprint()
    pixels, labels = images.images.clone(), images.labels.clone()
    pixels[0, 0, 0, 0] += 1
    labels[0] = 1
    others = [
        Images(pixels, images.labels, images.classes, SAMPLE),
        Images(images.images, labels, images.classes, SAMPLE),
        Images(images.images, images.labels, ("x", *images.classes[1:]), SAMPLE),
        images[1:],
    ]
    assert len({other.fingerprint() for other in [images, *others]}) == 5


def test_splits_share_the_readers_memory():
    pixels = np.zeros((2, 3, 4, 4), dtype=np.uint8)
    arrays = {"classes": np.array(["a", "b"])}
    for part in ("train", "val"):
        arrays |= {f"{part}_images": pixels, f"{part}_labels": np.array([0, 1])}
    splits = Splits.from_arrays(arrays, SAMPLE)
    assert splits.test is None
    assert splits.classes == ("a", "b")
    assert splits.provenance == SAMPLE
    assert splits.train.names == ()
    pixels[0, 0, 0, 0] = 9
    assert splits.train.images[0, 0, 0, 0] == 9
    assert splits.to("cpu").train is splits.train


def test_splits_fingerprint_covers_every_part():
    train, val = make().split(0.2)
    plain = Splits(train, val)
    assert plain.fingerprint() == Splits(train, val).fingerprint()
    assert plain.fingerprint() != Splits(val, train).fingerprint()
    assert plain.fingerprint() != Splits(train, val, val).fingerprint()


@pytest.mark.parametrize("name", ["gtsrb", "caltech101", "flowers"])
def test_samples_are_sorted_by_class_as_the_official_sets_are(name: str) -> None:
    """So the first images of a sample miss classes, as those of a real set do: tests see it."""
    train = load(name, source="sample").train
    assert train.labels.tolist() == sorted(train.labels.tolist())
    half = len(train) // 2
    everything = set(range(len(train.classes)))
    assert set(train[:half].labels.tolist()) < everything
    assert set(train.subset(half).labels.tolist()) == everything
