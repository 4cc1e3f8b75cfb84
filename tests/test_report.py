"""headless.report and .outcome: one self-contained page."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_course import MANIFEST, PNG, make_course, results, write_notebook, write_run

from cvhelpers import manifest
from cvhelpers.headless.execute import FAILURE
from cvhelpers.headless.outcome import Outcome, duration, outcome, shown
from cvhelpers.headless.report import write_report

LIONS = "1_zoo/1_lions"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_course(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "quick").mkdir(parents=True)
    return tmp_path / "runs" / "quick"


def _outcome(run: Path) -> Outcome:
    return outcome(manifest.load().section(LIONS), run / LIONS)


class _Addresses(HTMLParser):
    """Collects what a browser would fetch or follow, and whether tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone(run: Path) -> None:
    write_run(run / LIONS, results())
    page = write_report("quick").read_text()
    parser = _Addresses()
    parser.feed(page)
    assert parser.open == []
    picture = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    inside = {picture, f"#{LIONS}", "#1_zoo/2_tigers"}
    beside = {f"{LIONS}/1_lions.ipynb", f"{LIONS}/figures/curve.png"}
    assert set(parser.found) == inside | beside
    assert all((run / address).exists() for address in beside)
    assert not re.search(r"https?:|url\(|@import|<script|<link", page)


def test_the_page_says_what_was_measured(run: Path) -> None:
    write_run(run / LIONS, results())
    page = re.sub(r"<[^>]+>|\s+", " ", write_report("quick").read_text())
    page = re.sub(r"\s+", " ", page)
    for expected in (
        "Counting lions",
        "CPU (2 threads) · profile smoke · seed 0 · 41 s · test set evaluated 0 times",
        "lions, accuracy 65.0 % ≥ 70.0 % missed 5 points",
        "A curve.",
        "Counting tigers 1_zoo/2_tigers, optional not run",
    ):
        assert expected in page
    assert "synthetic" not in page


@pytest.mark.parametrize(
    ("kind", "word"), [("sample", "synthetic sample data"), ("reduced", "reduced data")]
)
def test_data_that_is_not_the_real_thing_is_marked_loudly(run: Path, kind: str, word: str) -> None:
    write_run(run / LIONS, results(provenance={"savannah": {"kind": kind, "note": "small"}}))
    page = write_report("quick").read_text()
    assert re.search(f'class="banner (bad|warn)">1 section used {word}', page)
    assert f"savannah: {kind} (small)" in page


def test_what_a_notebook_wrote_is_text_not_html(run: Path) -> None:
    caption = {"curve": {"file": "figures/curve.png", "caption": "a < b <script>"}}
    write_run(run / LIONS, results(figures=caption))
    assert "a &lt; b &lt;script&gt;" in write_report("quick").read_text()


def test_other_figures_and_tables_fold_away(run: Path) -> None:
    figures = {
        "other": {"file": "figures/curve.png", "caption": "Second."},
        "curve": {"file": "figures/curve.png", "caption": "First."},
    }
    tables = {"steps": {"file": "tables/steps.csv", "caption": ""}}
    write_run(run / LIONS, results(figures=figures, tables=tables))
    page = write_report("quick").read_text()
    assert page.index("First.") < page.index("<details>") < page.index("Second.")
    assert f'href="{LIONS}/tables/steps.csv"' in page


def test_a_failure_gives_its_reason(run: Path) -> None:
    path = write_notebook(run / LIONS / "1_lions.failed.ipynb")
    notebook = json.loads(path.read_text())
    notebook["metadata"][FAILURE] = "the kernel was killed"
    path.write_text(json.dumps(notebook))
    assert (_outcome(run).status, _outcome(run).reason) == ("failed", "the kernel was killed")
    page = write_report("quick").read_text()
    assert "the kernel was killed" in page
    assert f'href="{LIONS}/1_lions.failed.ipynb"' in page


def test_status(run: Path) -> None:
    assert _outcome(run).status == "not run"
    write_notebook(run / LIONS / "1_lions.running.ipynb")
    assert _outcome(run).status == "unfinished"
    (run / LIONS / "1_lions.running.ipynb").unlink()
    write_run(run / LIONS, results())
    assert _outcome(run).status == "ok"
    write_run(run / LIONS, results(metrics={}))
    assert (_outcome(run).status, _outcome(run).reason) == (
        "failed",
        "results lack metric accuracy",
    )
    (run / LIONS / "results.json").write_text("{")
    assert _outcome(run).status == "failed"
    write_report("quick")


def test_targets_and_points_are_judged_on_their_data_alone(run: Path) -> None:
    write_run(run / LIONS, results())
    assert (_outcome(run).numbers[0].judgement, _outcome(run).points) == ("missed", 5)
    write_run(run / LIONS, results(provenance={"savannah": {"kind": "sample", "note": ""}}))
    number = _outcome(run).numbers[0]
    assert (number.judgement, number.points) == ("not judged on this data", None)
    assert _outcome(run).points is None


def test_numbers_beyond_the_manifest_come_last(run: Path) -> None:
    extra = {"better": "lower", "target": None, "note": ""}
    metrics = {"net_size": {"value": 1198321.0, **extra}, **results()["metrics"]}
    write_run(run / LIONS, results(metrics=metrics))
    numbers = _outcome(run).numbers
    assert [number.name for number in numbers] == ["accuracy", "net_size"]
    assert (numbers[1].label, numbers[1].value) == ("net size", "1,198,321")
    assert (numbers[1].target, numbers[1].judgement) == ("lower is better", "")


def test_a_run_that_is_not_there(run: Path) -> None:
    with pytest.raises(ValueError, match="there is no such run"):
        write_report("none")


def test_numbers_for_people() -> None:
    assert shown("val_accuracy", 0.7096) == "71.0 %"
    assert shown("mean_iou", 1.0) == "100.0 %"
    assert shown("val_loss", 1.23456) == "1.235"
    assert shown("parameters", 1198321) == "1,198,321"
    assert shown("files_per_second", 25859.4) == "25,859"
    assert [duration(s) for s in (41.2, 99.4, 119, 7541)] == ["41 s", "99 s", "2 min", "2 h 06 min"]


def test_every_assignment_has_its_heading(run: Path) -> None:
    assert MANIFEST.count("[assignments.") == write_report("quick").read_text().count("<h2>") == 1
