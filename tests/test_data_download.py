import gzip
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from dataclasses import replace

import fake_data
import pytest
from web_server import serving

from cvhelpers.data import store
from cvhelpers.data.download import download, extract

VALUES = json.dumps([5] * 4).encode()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine, and the data folder that downloads go to."""
    monkeypatch.setenv("CVHELPERS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "*")
    with serving(tmp_path / "web") as running:
        running.data = tmp_path / "data"
        yield running


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as pack:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            pack.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as pack:
        for name, content in members.items():
            pack.writestr(name, content)
    return buffer.getvalue()


GOOD = tar({"pictures/values.json": VALUES})


def serve(server, name: str, content: bytes, *, md5: str | None = None) -> tuple[str, str]:
    (server.web / name).write_bytes(content)
    return f"{server.url}/{name}", md5 or hashlib.md5(content).hexdigest()


def nothing_left(server) -> bool:
    files = [path for path in server.data.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return not files and not list(server.data.glob(".unpack*"))


@pytest.mark.parametrize("pack", [tar, zipped])
def test_an_archive_is_fetched_verified_unpacked_and_stated_real(server, pack):
    url, md5 = serve(server, "good", pack({"pictures/values.json": VALUES, "other": b""}))
    entry = fake_data.fake((url, md5))
    folder = download(entry)
    assert folder == server.data / "fake"
    assert (folder / "values.json").read_bytes() == VALUES
    assert not (folder / "other").exists()
    assert store.read_provenance(entry, folder) == store.Provenance(
        "real", f"{url}, checksum verified"
    )
    assert not list((server.data / "downloads").iterdir())
    assert not list(server.data.glob(".unpack*"))


def test_mirrors_are_tried_in_order(server, capsys):
    broken = (f"{server.url}/missing.tar.gz", "0" * 32)
    good = serve(server, "good.tar.gz", GOOD)
    unused = (f"{server.url}/unused.tar.gz", good[1])
    folder = download(fake_data.fake(broken, good, unused))
    assert server.seen == ["/missing.tar.gz", "/good.tar.gz"]
    assert good[0] in json.loads((folder / "provenance.json").read_text())["note"]
    assert "404" in capsys.readouterr().out


def test_a_set_of_several_archives_needs_all_of_them(server):
    pictures = serve(server, "good.tar.gz", GOOD)
    labels = serve(server, "labels.zip", zipped({"pictures/labels.csv": b"1"}))
    entry = replace(fake_data.fake(), archives=((pictures,), (labels,)))
    folder = download(entry)
    assert {path.name for path in folder.iterdir()} == {
        "values.json",
        "labels.csv",
        "provenance.json",
    }
    assert not list((server.data / "downloads").iterdir())
    lacking = replace(entry, name="other", folder="other", archives=((pictures,), ()))
    with pytest.raises(ValueError, match="No mirror of other worked"):
        download(lacking)
    assert not (server.data / "other").exists()


def test_a_wrong_checksum_is_an_error_and_leaves_nothing(server):
    bad = serve(server, "good.tar.gz", GOOD, md5="0" * 32)
    with pytest.raises(ValueError, match=r"No mirror of fake worked(.|\n)*MD5 hash"):
        download(fake_data.fake(bad))
    assert nothing_left(server)


def test_a_web_page_posing_as_an_archive_is_named(server):
    page = serve(server, "page.tar.gz", b"\n<!DOCTYPE html><title>Please log in</title>")
    with pytest.raises(ValueError, match=r"page\.tar\.gz: the server sent a web page"):
        download(fake_data.fake(page))
    assert nothing_left(server)


def test_a_connection_cut_half_way_leaves_nothing(server):
    with pytest.raises(ValueError, match=r"No mirror(.|\n)*/cut\.tar\.gz"):
        download(fake_data.fake((f"{server.url}/cut.tar.gz", "0" * 32)))
    assert nothing_left(server)


@pytest.mark.parametrize(
    "content",
    [GOOD[:-30], gzip.compress(b"no tar in here" * 100), zipped({"a": b"b" * 99})[:-30], b"text"],
    ids=["tar cut short", "gzip without tar", "zip cut short", "text"],
)
def test_a_damaged_archive_is_removed_and_named(server, content):
    with pytest.raises(ValueError, match=r"downloads/bad was cut off or is no archive; removed"):
        download(fake_data.fake(serve(server, "bad", content)))
    assert nothing_left(server)


@pytest.mark.parametrize("name", ["../evil", "pictures/../../evil"])
@pytest.mark.parametrize("filtered", [True, False])
@pytest.mark.parametrize("pack", [tar, zipped])
def test_an_archive_cannot_write_outside_its_folder(tmp_path, monkeypatch, pack, name, filtered):
    if not filtered:  # an older Python
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    archive = tmp_path / "archive"
    archive.write_bytes(pack({"pictures/values.json": VALUES, name: b"boo"}))
    with pytest.raises(ValueError, match="would write outside its folder"):
        extract(archive, tmp_path / "into" / "here")
    assert not [*tmp_path.glob("evil"), *tmp_path.glob("into/evil")]


def test_an_archive_of_the_whole_folder_unpacks(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "values.json").write_bytes(VALUES)
    with tarfile.open(tmp_path / "archive", "w:gz") as pack:
        pack.add(tmp_path / "pictures", arcname=".")
    extract(tmp_path / "archive", tmp_path / "into")
    assert (tmp_path / "into" / "values.json").read_bytes() == VALUES


@pytest.mark.parametrize("filtered", [True, False])
def test_a_link_to_the_outside_is_refused(tmp_path, monkeypatch, filtered):
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as pack:
        link = tarfile.TarInfo("pictures")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        pack.addfile(link)
    (tmp_path / "archive").write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="would write outside its folder"):
        extract(tmp_path / "archive", tmp_path / "into")


def test_an_archive_placed_by_hand_needs_no_network(server):
    (server.data / "downloads").mkdir(parents=True)
    (server.data / "downloads" / "pictures.tar.gz").write_bytes(GOOD)
    url = f"{server.url}/pictures.tar.gz"
    folder = download(fake_data.fake((url, hashlib.md5(GOOD).hexdigest())))
    assert (folder / "values.json").read_bytes() == VALUES
    assert server.seen == []


def test_an_archive_cut_off_by_hand_is_fetched_again(server):
    (server.data / "downloads").mkdir(parents=True)
    (server.data / "downloads" / "good.tar.gz").write_bytes(GOOD[:-30])
    download(fake_data.fake(serve(server, "good.tar.gz", GOOD)))
    assert server.seen == ["/good.tar.gz"]


def test_what_a_killed_download_left_is_removed(server):
    (server.data / "downloads").mkdir(parents=True)
    (server.data / "downloads" / "tmpabc123").write_bytes(b"half")
    (server.data / ".unpack-fake" / "pictures").mkdir(parents=True)
    (server.data / ".unpack-fake" / "pictures" / "old.json").write_bytes(b"half")
    folder = download(fake_data.fake(serve(server, "good.tar.gz", GOOD)))
    assert sorted(path.name for path in folder.iterdir()) == ["provenance.json", "values.json"]
    assert not list((server.data / "downloads").iterdir())


def test_data_that_lies_there_is_not_fetched_again(server):
    entry = fake_data.fake(serve(server, "good.tar.gz", GOOD))
    download(entry)
    download(entry)
    assert server.seen == ["/good.tar.gz"]


def test_a_folder_with_other_contents_is_not_touched(server):
    (server.data / "fake").mkdir(parents=True)
    (server.data / "fake" / "thesis.txt").write_text("mine")
    with pytest.raises(
        ValueError, match="exists but does not hold Fake pictures that you may read; move it away"
    ):
        download(fake_data.fake(serve(server, "good.tar.gz", GOOD)))
    assert (server.data / "fake" / "thesis.txt").read_text() == "mine"
    assert server.seen == []


def test_parallel_downloads_fetch_once(server):
    entry = fake_data.fake(serve(server, "good.tar.gz", GOOD))
    threads = [threading.Thread(target=download, args=(entry,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.seen == ["/good.tar.gz"]
    assert (server.data / "fake" / "values.json").read_bytes() == VALUES
