"""A tiny course in a temporary folder, for tests of `headless` and `coursework`; without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat

MANIFEST = """
[assignments.1_zoo]
title = "The zoo"
template = "zoo_{student}.ipynb"
formats = ["ipynb", "html"]

[[sections]]
id = "1_zoo/1_lions"
title = "Counting lions"
points = 20
data = ["caltech101"]
main_figure = "curve"
figures = ["curve"]
[sections.timeout]
smoke = 100
quick = 200
[sections.metrics.accuracy]
label = "lions, accuracy"
better = "higher"
target = 0.7
target_provenance = ["real", "reduced"]
points = [[0.6, 5], [0.7, 8]]

[[sections]]
id = "1_zoo/2_tigers"
title = "Counting tigers"
optional = true
main_figure = "curve"
figures = ["curve"]
after = ["1_zoo/1_lions"]
"""

PARAMETERS = """profile = "auto"  # smoke, quick or full
source = "auto"
seed = 0
epochs = None
rate = 0.1
flag = True
sizes = (1, 2)
label = "plain"
"""

# One grey pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6364f8"
    "cf500f0003860180"
    "5a347d6b0000000049454e44ae426082"
)

# What `start_run` and `record` do in the real notebooks, without torch.
RECORD = """import json, os, pathlib
folder = pathlib.Path(os.environ["CVHELPERS_RUN_DIR"], "1_zoo/1_lions")
(folder / "figures").mkdir(parents=True, exist_ok=True)
(folder / "figures/curve.png").write_bytes(bytes.fromhex("PNG"))
results = RESULTS
results["profile"] = profile
(folder / "results.json").write_text(json.dumps(results))
"""


def results(**changes: Any) -> dict[str, Any]:
    """Return a complete results.json of `1_zoo/1_lions`, with changes."""
    return {
        "schema": 1,
        "section": "1_zoo/1_lions",
        "profile": "smoke",
        "source": "auto",
        "seed": 0,
        "provenance": {"savannah": {"kind": "real", "note": ""}},
        "device": "CPU (2 threads)",
        "started": "2026-11-21T09:00:00+00:00",
        "seconds": 41.2,
        "versions": {"python": "3.11.7"},
        "metrics": {"accuracy": {"value": 0.65, "better": "higher", "target": 0.7, "note": ""}},
        "test_evaluations": 0,
        "figures": {"curve": {"file": "figures/curve.png", "caption": "A curve."}},
        "tables": {},
    } | changes


def record(**changes: Any) -> str:
    """Return the source of a cell that writes `results(**changes)` and its figure."""
    return RECORD.replace("RESULTS", repr(results(**changes))).replace("PNG", PNG.hex())


def write_notebook(path: Path, *sources: str, parameters: str = PARAMETERS) -> Path:
    """Write a notebook: the parameters cell, then one code cell per source."""
    cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def make_course(root: Path, *sources: str) -> Path:
    """Write the manifest and `1_lions` with these cells; return `root`."""
    (root / "notebooks").mkdir(parents=True)
    (root / "notebooks" / "course.toml").write_text(MANIFEST)
    write_notebook(root / "notebooks/1_zoo/1_lions.ipynb", *(sources or (record(),)))
    return root


def write_run(folder: Path, content: dict[str, Any], *, notebook: str = "1_lions.ipynb") -> Path:
    """Write what a finished run leaves: results.json, figure, executed notebook."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content))
    (folder / "figures" / "curve.png").write_bytes(PNG)
    write_notebook(folder / notebook)
    return folder


def make_front_page(root: Path) -> None:
    """README.md, pyproject.toml and the index notebook, whose tables the commands rewrite."""
    (root / "README.md").write_text(
        "before\n<!-- sections:begin -->\nold\n<!-- sections:end -->\nafter\n", encoding="utf-8"
    )
    (root / "pyproject.toml").write_text(
        '[project.urls]\nRepository = "https://github.com/ada/zoo"\n', encoding="utf-8"
    )
    cells = [nbformat.v4.new_markdown_cell(text) for text in ("# Title", "old")]
    index = root / "notebooks" / "index.ipynb"
    index.write_text(json.dumps(nbformat.v4.new_notebook(cells=cells)), encoding="utf-8")
