"""Download a data set: mirrors in order, checksums, and archives that cannot leave their folder."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from gzip import BadGzipFile
from pathlib import Path

import pooch

from cvhelpers.data.store import DataSet, fingerprint, lock
from cvhelpers.places import data_dir, writable

TIMEOUT = 30  # seconds without an answer until the next mirror is tried


def download(entry: DataSet) -> Path:
    """Download, verify and unpack `entry` into the data folder, unless it lies there already.

    An archive placed by hand in `downloads` there is taken if its checksum is right. Returns the
    data set's folder. Raises ValueError saying what went wrong with each mirror.
    """
    target, scratch = entry.path, data_dir() / f".unpack-{entry.name}"
    with lock(f"download-{entry.name}"):
        if entry.present():  # also where a parallel process was here first
            return target
        if os.path.lexists(target):
            raise ValueError(
                f"{target} exists but does not hold {entry.title} that you may read; move it away"
            )
        if not writable(data_dir()):
            raise ValueError(
                f"{data_dir()} may not be written; set CVHELPERS_DATA_DIR to a folder of your own, "
                "or ask its owner to run this command"
            )
        fetched = [_fetch(entry, mirrors) for mirrors in entry.archives]
        shutil.rmtree(scratch, ignore_errors=True)  # left by a killed process
        try:
            for _, path in fetched:
                extract(path, scratch)
            folder = entry.unpack(scratch)
            files = fingerprint(folder, times=False)
            known = all(md5 for mirrors in entry.archives for _, md5 in mirrors)
            said = "checksum verified" if known else "for which no checksum is published"
            note = f"{', '.join(url for url, _ in fetched)}, {said}"
            stated = {"kind": "real" if known else "unverified", "note": note, "files": files}
            (folder / "provenance.json").write_text(json.dumps(stated), encoding="utf-8")
            folder.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        for _, path in fetched:
            path.unlink()
    return target


def _fetch(entry: DataSet, mirrors: Iterable[tuple[str, str]]) -> tuple[str, Path]:
    """Address and file of one archive, from the first mirror with the right checksum."""
    folder, failures = data_dir() / "downloads", ""
    for partial in folder.glob("tmp*"):  # pooch's, left by a killed process
        partial.unlink()
    for url, md5 in mirrors:
        try:
            name = url.rsplit("/", 1)[-1]
            known = f"md5:{md5}" if md5 else None
            return url, Path(pooch.retrieve(url, known, name, folder, downloader=_get))
        except (OSError, ValueError) as error:  # an error of requests is an OSError
            print(f"{url}: {error}", flush=True)
            failures += f"\n- {url}: {error}"
    raise ValueError(
        f"No mirror of {entry.name} worked; check the network, or put the archive into {folder}:"
        f"{failures}"
    )


def _get(url: str, path: str, _: object) -> None:
    """Fetch `url` with a progress bar; a web page posing as an archive is named as such."""
    pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16, timeout=TIMEOUT)(url, path, None)
    with open(path, "rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise ValueError("the server sent a web page (HTML), not the archive")


def extract(archive: Path, into: Path) -> None:
    """Unpack a zip or tar file below `into`; one that would write elsewhere is refused."""
    into.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                _refuse_strays(archive, into, zipped.namelist())
                zipped.extractall(into)
        else:
            with tarfile.open(archive) as tarred:
                links = [one.name for one in tarred.getmembers() if one.islnk() or one.issym()]
                _refuse_strays(archive, into, tarred.getnames(), links)
                if hasattr(tarfile, "data_filter"):  # not in Python 3.11.3 and older
                    tarred.extraction_filter = tarfile.data_filter
                tarred.extractall(into)
    except (tarfile.TarError, zipfile.BadZipFile, BadGzipFile, EOFError, zlib.error) as error:
        archive.unlink()
        raise ValueError(f"{archive} was cut off or is no archive; removed ({error})") from error


def _refuse_strays(
    archive: Path, into: Path, names: Iterable[str], links: Iterable[str] = ()
) -> None:
    outside = [name for name in names if not (into / name).resolve().is_relative_to(into.resolve())]
    for name in [*outside, *links]:
        raise ValueError(f"{archive} would write outside its folder: {name!r}")
