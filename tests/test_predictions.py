"""Saved predictions: the mean of several nets', and what makes no ensemble."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from cvhelpers.data.images import Images
from cvhelpers.training import ensemble, predict, save_predictions


@pytest.fixture
def named() -> Images:
    images = tiny.pictures(8)
    return replace(images, names=tuple(f"image_{k}" for k in range(8)))


def test_an_ensemble_is_the_mean_of_the_nets_probabilities(named: Images, tmp_path: Path) -> None:
    nets = [tiny.net(seed=seed) for seed in range(3)]
    files = [save_predictions(tmp_path / f"{k}.pt", net, named) for k, net in enumerate(nets)]
    by_hand = sum(predict(net, named).softmax(1) for net in nets) / 3
    torch.testing.assert_close(ensemble(files), by_hand)
    torch.testing.assert_close(ensemble(files[:1]), predict(nets[0], named).softmax(1))


def test_the_mean_of_two_known_answers(named: Images, tmp_path: Path) -> None:
    for name, row in (("a", [0.9, 0.1]), ("b", [0.2, 0.8])):
        torch.save({"probabilities": torch.tensor([row]), "names": ["x"]}, tmp_path / f"{name}.pt")
    both = ensemble([tmp_path / "a.pt", tmp_path / "b.pt"])
    torch.testing.assert_close(both, torch.tensor([[0.55, 0.45]]))


def test_what_makes_no_ensemble(named: Images, tmp_path: Path) -> None:
    net = tiny.net()
    first = save_predictions(tmp_path / "first.pt", net, named)
    turned = save_predictions(tmp_path / "turned.pt", net, named[list(range(7, -1, -1))])
    with pytest.raises(ValueError, match=r"turned.pt .* in another order .* number 0 is image_7"):
        ensemble([first, turned])
    fewer = save_predictions(tmp_path / "fewer.pt", net, named[:5])
    with pytest.raises(ValueError, match=r"fewer.pt has predictions \(5, 3\), first.pt \(8, 3\)"):
        ensemble([first, fewer])
    strangers = replace(named, names=("stranger", *named.names[1:]))
    others = save_predictions(tmp_path / "others.pt", net, strangers)
    with pytest.raises(ValueError, match=r"others.pt .* of other images .* is stranger there"):
        ensemble([first, others])
    with pytest.raises(ValueError, match="at least one net"):
        ensemble([])


def test_images_without_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="have no names"):
        save_predictions(tmp_path / "x.pt", tiny.net(), tiny.pictures())


@pytest.mark.parametrize("content", [None, b"", b"<html>", b"PK\x03\x04"])
def test_a_file_that_holds_no_predictions(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken.pt: no predictions that can be read .*save them"):
        ensemble([path])
