"""Notebooks in a real JupyterLab and a real browser: they run, and their sliders move pictures.

Three notebooks and the index; all of them with `make test-browser`. What is measured is printed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cvhelpers import manifest

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECTIONS = (
    list(manifest.load().sections)
    if os.environ.get("CVHELPERS_ALL_BROWSER")
    else ["2_caltech101/2_layer_activations", "3_traffic_signs/3_optimizers",
          "1_flowers/2_small_convnet"]
)  # fmt: skip
TOKEN = "kept"
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine; .ci/run installs it"
)
# JupyterLab asks for files that need not be there, and says so.
HARMLESS = ("Failed to load resource", "/lab/api/workspaces", "favicon")
# Runs the open notebook; gives its errors.
RUN = """async () => {
  const panel = jupyterapp.shell.currentWidget
  await panel.context.ready
  await panel.sessionContext.ready
  await jupyterapp.commands.execute("notebook:run-all-cells")
  const cells = [...panel.content.model.sharedModel.cells].map(cell => cell.toJSON())
  const code = cells.filter(cell => cell.cell_type === "code")
  const errors = code.flatMap(cell => cell.outputs).filter(o => o.output_type === "error")
  return {
    run: code.filter(cell => cell.execution_count).length, of: code.length,
    errors: errors.map(o => o.ename + ": " + o.evalue),
    explorers: cells.map((cell, i) => [i, cell])
      .filter(([, cell]) => (cell.outputs ?? []).some(o => JSON.stringify(o.data ?? {})
        .includes("widget-view")) && cell.source.includes("explore_")).map(([i]) => i),
  }
}"""
# Brings a cell into view, and gives its output the name of the explorer under test.
SHOW = """async index => {
  const panel = jupyterapp.shell.currentWidget
  panel.content.activeCellIndex = index
  await panel.content.scrollToItem(index, "start")
  const cell = panel.content.widgets[index]
  const box = cell.node.querySelector(".jp-OutputArea .widget-vbox")
  box?.setAttribute("data-test", "explorer")
  return box !== null
}"""
# From a key on the slider to the new picture, decoded, in milliseconds.
WATCH = """() => {
  const box = document.querySelector("[data-test=explorer]")
  window.moved = null
  let began = null
  box.addEventListener("keydown", () => { began ??= performance.now() }, true)
  const old = box.querySelector("img").src
  const observer = new MutationObserver(async () => {
    const picture = box.querySelector("img")
    if (!picture || picture.src === old || window.moved !== null) return
    await picture.decode()
    window.moved = performance.now() - began
    observer.disconnect()
  })
  observer.observe(box, {childList: true, subtree: true, attributes: true})
}"""
OVERFLOW = """() => {
  const box = document.querySelector("[data-test=explorer]")
  const room = box.closest(".jp-OutputArea-output").getBoundingClientRect()
  const parts = [...box.querySelectorAll(".widget-inline-hbox, img")]
  return parts.map(part => part.getBoundingClientRect())
    .filter(one => one.right > room.right + 1 || one.width === 0).map(one => one.toJSON())
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, data_folder: Path) -> Iterator[str]:
    """The address of a JupyterLab over a copy of the course: opening a notebook may save it."""
    root = tmp_path_factory.mktemp("course")
    for name in ("notebooks", "results"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copy(ROOT / "pyproject.toml", root)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "CVHELPERS_PROFILE": "smoke", "CVHELPERS_SOURCE": "sample",
        "CVHELPERS_RUN_DIR": str(root / "runs" / "lab"), "OMP_NUM_THREADS": "1",
        "CVHELPERS_DATA_DIR": str(data_folder),
        "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
    }  # fmt: skip
    environment.pop("CVHELPERS_HEADLESS", None)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}"]
    command += [f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class="
                "jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    log = (root / "lab.log").open("w")
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            time.sleep(0.5)
            try:
                urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=2)
                break
            except OSError:
                assert server.poll() is None, (root / "lab.log").read_text()
        else:
            pytest.fail((root / "lab.log").read_text())
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        options = ["--no-sandbox", "--disable-gpu"]
        window = play.chromium.launch(executable_path=CHROMIUM, args=options)
        yield window
        window.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    sheet = context.new_page()
    sheet.said = []
    sheet.on("console", lambda m: sheet.said.append(m.text) if m.type == "error" else None)
    sheet.on("pageerror", lambda error: sheet.said.append(str(error)))
    yield sheet
    context.close()


def open_notebook(page: Any, lab: str, path: str) -> None:
    page.goto(f"{lab}/lab/tree/notebooks/{path}?reset&token={TOKEN}")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
    page.wait_for_function("() => jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel")


@pytest.mark.parametrize("section", SECTIONS)
def test_it_runs_and_its_sliders_move(
    section: str, lab: str, page: Any, record_property: Callable[[str, object], None]
) -> None:
    open_notebook(page, lab, f"{section}.ipynb")
    started = time.monotonic()
    done = page.evaluate(RUN)
    took = time.monotonic() - started
    record_property("measured", f"{section}: {done['run']} cells in {took:.0f} s")
    assert not done["errors"]
    assert done["run"] == done["of"]
    for index in done["explorers"]:
        assert page.evaluate(SHOW, index), f"cell {index} shows no controls"
        page.wait_for_selector("[data-test=explorer] img")
        for name, took in moved_by_key(page, f"{section}, cell {index}").items():
            told = f"{section}, slider {name}: {took:.0f} ms from the key to the picture"
            record_property("measured", told)
        check_layout(page)
        page.evaluate("document.querySelector('[data-test=explorer]').removeAttribute('data-test')")
    said = [text for text in page.said if not any(word in text for word in HARMLESS)]
    assert not said, "errors in the console"


def moved_by_key(page: Any, where: str) -> dict[str, float]:
    """Move every slider a step with an arrow key; its name and the milliseconds that it took."""
    times = {}
    handles = page.locator("[data-test=explorer] [role=slider]")
    assert handles.count(), f"{where}: no slider"
    for number in range(handles.count()):
        handle = handles.nth(number)
        low, now, high = (
            float(handle.get_attribute(f"aria-value{end}") or 0) for end in ("min", "now", "max")
        )
        if low == high:
            continue  # one page of one
        name = page.evaluate(
            "node => node.closest('.widget-inline-hbox').querySelector('.widget-label').innerText",
            handle.element_handle(),
        )
        page.evaluate(WATCH)
        handle.focus()
        page.keyboard.press("ArrowLeft" if now >= high else "ArrowRight")
        page.wait_for_function("() => window.moved !== null", timeout=10_000)
        times[name] = page.evaluate("window.moved")
        described = page.locator("[data-test=explorer] img").get_attribute("alt")
        assert name in (described or ""), f"{where}: the picture of {name!r} says {described!r}"
    return times


def check_layout(page: Any) -> None:
    """Nothing sticks out of its cell on a small and a large screen, in either theme."""
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: '{theme}'}})")
        for width in (1024, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(300)
            assert page.evaluate(OVERFLOW) == [], f"{theme}, {width} pixels"


def test_the_index_leads_to_every_notebook(lab: str, page: Any) -> None:
    open_notebook(page, lab, "index.ipynb")
    done = page.evaluate(RUN)
    assert not done["errors"]
    links = page.locator(".jp-MarkdownCell a[href*='.ipynb']")
    assert links.count() == len(manifest.load().sections)
    links.first.click()
    page.wait_for_function(
        "() => jupyterapp.shell.currentWidget?.context?.path.endsWith('1_data_pipeline.ipynb')",
        timeout=30_000,
    )


def test_nobody_gets_in_without_the_token(lab: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{lab}/api/contents", timeout=10)
    with urllib.request.urlopen(f"{lab}/api/contents?token={TOKEN}", timeout=10) as answer:
        assert json.load(answer)["type"] == "directory"
