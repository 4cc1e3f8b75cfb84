"""The report in a real browser: nothing sticks out on a narrow screen, all figures show."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fake_course import make_course, results, write_run

from cvhelpers.headless.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
# The page itself has no script; a copy for this test says what the browser made of it.
ASK = """<script>onload = () => {
  const loaded = [...document.images].filter(image => image.naturalWidth).length
  const width = document.documentElement.scrollWidth
  document.title = [width, innerWidth, loaded, document.images.length].join(" ")
}</script></head>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; .ci/run installs it")
@pytest.mark.parametrize("width", [500, 1200])
def test_fits_the_screen_and_shows_its_figures(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_course(tmp_path)
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "quick" / "1_zoo" / "1_lions", results())
    page = tmp_path / "page.html"
    page.write_text(write_report("quick").read_text(encoding="utf-8").replace("</head>", ASK))
    command = [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={tmp_path / 'browser'}"]
    command += [f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120)
    answer = re.search(r"<title>(\d+) (\d+) (\d+) (\d+)</title>", done.stdout)
    assert answer, done.stderr
    needed, there, loaded, images = map(int, answer.groups())
    assert needed <= there, f"{needed} pixels wide on a screen of {there}"
    assert loaded == images > 0
