"""Pretrained weights: every way in which a file can fail, against a server on this machine."""

import hashlib
import io
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import get_model, get_model_weights
from web_server import serving

from cvhelpers.models.weights import load_pretrained, weights_file, weights_provenance

NAME = "squeezenet1_1"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving(tmp_path / "web") as running:
        yield running


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A function that gives torchvision's entry another address; it returns the file's place."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    entry: Any = get_model_weights(NAME)["IMAGENET1K_V1"].value

    def change(url: str) -> Path:
        monkeypatch.setattr(entry, "url", url)
        return tmp_path / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]

    return change


def state_of(name: str = NAME, value: float = 1.0) -> dict[str, Tensor]:
    """A state dict that fits, of tensors that share one number: its file is small."""
    with torch.device("meta"):
        state = get_model(name).state_dict()
    return OrderedDict(
        (key, torch.tensor(value, dtype=old.dtype).expand(old.shape)) for key, old in state.items()
    )


def file_of(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


GOOD = file_of(state_of())
PREFIX = hashlib.sha256(GOOD).hexdigest()[:8]
FILE = f"net-{PREFIX}.pth"  # as torchvision names its files


def place(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def is_good(state: dict[str, Tensor]) -> bool:
    expected = state_of()
    return state.keys() == expected.keys() and all(
        torch.equal(value, expected[key]) for key, value in state.items()
    )


def left(path: Path) -> list[str]:
    """What lies in the weights' folder, but for the lock."""
    return sorted(one.name for one in path.parent.glob("*") if one.suffix != ".lock")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mobilenet_v2", "mobilenet_v2-b0353104.pth"),
        ("vgg16", "vgg16-397923af.pth"),
        ("efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc.pth"),
    ],
)
def test_the_file_lies_where_torchvision_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert weights_file(name) == tmp_path / "hub" / "checkpoints" / file


def test_a_missing_file_is_fetched_once_and_verified(
    server: Any, offer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = offer(f"{server.url}/{FILE}")
    (server.web / FILE).write_bytes(GOOD)
    assert is_good(load_pretrained(NAME))
    assert is_good(load_pretrained(NAME))
    assert server.seen == [f"/{FILE}"]
    assert path.read_bytes() == GOOD
    assert left(path) == [FILE]
    assert weights_provenance(NAME) == {"kind": "real", "note": f"{FILE}, checksum verified"}
    assert capsys.readouterr().out == ""


def test_parallel_processes_fetch_once(server: Any, offer: Any) -> None:
    offer(f"{server.url}/{FILE}")
    (server.web / FILE).write_bytes(GOOD)
    threads = [threading.Thread(target=load_pretrained, args=(NAME,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.seen == [f"/{FILE}"]


def test_what_a_killed_download_left_does_no_harm(server: Any, offer: Any) -> None:
    path = offer(f"{server.url}/{FILE}")
    (server.web / FILE).write_bytes(GOOD)
    place(path.with_name(f"{FILE}.partial"), b"half" * 10**5)  # longer than the whole
    assert is_good(load_pretrained(NAME))
    assert left(path) == [FILE]


@pytest.mark.parametrize(
    "content",
    [file_of(state_of(value=2.0)), GOOD[:-30], b"<!DOCTYPE html><title>Log in</title>", b""],
    ids=["other weights", "cut off", "web page", "empty"],
)
def test_a_wrong_checksum_is_an_error_and_leaves_nothing(
    server: Any, offer: Any, content: bytes
) -> None:
    path = offer(f"{server.url}/{FILE}")
    (server.web / FILE).write_bytes(content)
    found = hashlib.sha256(content).hexdigest()[:8]
    mend = re.escape(f"put it into {path.parent}")
    with pytest.raises(
        ValueError, match=rf"{FILE}: what came has sha256 {found}..., not {PREFIX}(.|\n)*{mend}"
    ):
        load_pretrained(NAME)
    assert left(path) == []


@pytest.mark.parametrize(
    ("page", "reason"),
    [(f"missing/{FILE}", "404"), (f"cut/{FILE}", "Connection broken|1000 bytes read")],
    ids=["not found", "cut half way"],
)
def test_a_failing_server_is_named_and_leaves_nothing(
    server: Any, offer: Any, page: str, reason: str
) -> None:
    path = offer(f"{server.url}/{page}")
    with pytest.raises(OSError, match=rf"/{page}: no download (.|\n)*({reason})"):
        load_pretrained(NAME)
    assert left(path) == []


def test_offline_is_an_error_that_says_what_to_do(
    offer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    path = offer(f"http://127.0.0.1:9/{FILE}")  # nobody listens on the discard port
    mend = re.escape(f"there is a network, or fetch it elsewhere and put it into {path.parent}")
    with pytest.raises(OSError, match=rf"127.0.0.1:9/{FILE}: no download(.|\n)*{mend}"):
        load_pretrained(NAME)
    assert left(path) == []


@pytest.mark.parametrize(
    "content",
    [GOOD[:-30], GOOD[:100], b"", b"<html></html>", b"\x80\x02not a pickle"],
    ids=["end cut off", "start only", "empty", "web page", "noise"],
)
def test_a_broken_file_that_lies_there_is_named_and_kept(
    server: Any, offer: Any, content: bytes
) -> None:
    path = place(offer(f"{server.url}/{FILE}"), content)
    mend = f"delete it, and the next run downloads it from {server.url}"
    with pytest.raises(ValueError, match=rf"{FILE}: cut off, or no file of weights(.|\n)*{mend}"):
        load_pretrained(NAME)
    assert path.read_bytes() == content
    assert server.seen == []


def test_a_file_with_code_in_it_is_refused(offer: Any) -> None:
    place(offer(f"http://127.0.0.1:9/{FILE}"), file_of({"a": Path("x")}))
    with pytest.raises(ValueError, match="no file of weights"):
        load_pretrained(NAME)


def without_last(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(list(state.items())[:-1])


@pytest.mark.parametrize(
    "content",
    [
        state_of("shufflenet_v2_x0_5"),
        state_of("squeezenet1_0"),  # mostly the same names, other shapes
        without_last(state_of()),
        {**state_of(), "more": torch.zeros(1)},
        {"model": state_of()},
        [torch.zeros(1)],
        dict.fromkeys(state_of(), 1.0),
    ],
    ids=["other net", "other version", "one short", "one more", "nested", "a list", "numbers"],
)
def test_weights_of_another_architecture_are_refused(offer: Any, content: Any) -> None:
    place(offer(f"http://127.0.0.1:9/{FILE}"), file_of(content))
    with pytest.raises(ValueError, match=rf"{FILE}: not the weights of {NAME} \(.*delete it, and"):
        load_pretrained(NAME)


def test_files_from_before_batch_norm_counted_batches_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    state = {k: v for k, v in state_of("resnet18").items() if "num_batches" not in k}
    assert len(state) == 102  # as resnet18-f37072fd.pth has
    place(weights_file("resnet18"), file_of(state))
    assert load_pretrained("resnet18").keys() == state.keys()


def test_a_file_placed_by_hand_is_taken_with_a_banner(
    server: Any, offer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    content = file_of(state_of(value=2.0))
    path = place(offer(f"{server.url}/{FILE}"), content)
    state = load_pretrained(NAME)
    assert all((value == 2).all() for value in state.values())
    banner = f"*** UNVERIFIED WEIGHTS: {FILE} is not torchvision's own file: results are not comp"
    assert capsys.readouterr().out.startswith(banner)
    found = hashlib.sha256(content).hexdigest()[:8]
    assert weights_provenance(NAME) == {
        "kind": "unverified",
        "note": f"{FILE} has sha256 {found}..., torchvision's own {PREFIX}...",
    }
    assert path.read_bytes() == content
    assert server.seen == []


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_the_nearest_note_is_part_of_the_provenance(
    offer: Any, tmp_path: Path, levels: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place(offer(f"http://127.0.0.1:9/{FILE}"), file_of(state_of(value=2.0)))
    stated = {"kind": "real", "note": "converted"}  # a text cannot make a file torchvision's own
    (path.parents[levels] / "provenance.json").write_text(json.dumps(stated))
    (tmp_path / "provenance.json").write_text(json.dumps({"kind": "real", "note": "of pictures"}))
    provenance = weights_provenance(NAME)
    assert provenance["kind"] == "unverified"
    assert provenance["note"].endswith(f"torchvision's own {PREFIX}...; converted")
    load_pretrained(NAME)
    assert "converted" in capsys.readouterr().out


def test_notes_further_up_are_about_something_else(offer: Any, tmp_path: Path) -> None:
    place(offer(f"http://127.0.0.1:9/{FILE}"), file_of(state_of(value=2.0)))
    (tmp_path / "provenance.json").write_text(json.dumps({"kind": "real", "note": "of pictures"}))
    assert "pictures" not in weights_provenance(NAME)["note"]


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_broken_note_is_named(offer: Any, text: str) -> None:
    path = place(offer(f"http://127.0.0.1:9/{FILE}"), file_of(state_of(value=2.0)))
    (path.parent / "provenance.json").write_text(text)
    with pytest.raises(ValueError, match=r"provenance.json must hold .* mend or remove it"):
        load_pretrained(NAME)


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet-18", "resnet18"), ("mobilenetv2", "mobilenet_v2"), ("", "mobilenet_v2")],
)
def test_an_unknown_model_is_named_with_near_ones(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=rf"no ImageNet weights .* for '{name}'; try: .*{near}"):
        load_pretrained(name)
