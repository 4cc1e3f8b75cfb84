"""headless.report and .outcome: one self-contained page."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from fake_course import MANIFEST, PNG, make_course, results, write_notebook, write_run

from cvhelpers import manifest
from cvhelpers.headless.execute import FAILURE
from cvhelpers.headless.outcome import Outcome, changes, duration, outcome, shown, spread_of
from cvhelpers.headless.report import write_gallery, write_report

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
        if tag not in ("meta", "img", "br", "input"):
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
    pictures = {address for address in parser.found if address.startswith("data:image/png;")}
    assert picture in pictures
    assert len(pictures) == 2, "the figure and its thumbnail"
    inside = {f"#{LIONS}", "#1_zoo/2_tigers"}
    assert set(parser.found) - pictures == inside | {f"{LIONS}/1_lions.ipynb"}
    assert (run / LIONS / "1_lions.ipynb").exists()
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
        "1 target missed",
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


def test_trials_are_summed_up(run: Path) -> None:
    assert spread_of("accuracy", [0.9]) == ""
    assert spread_of("accuracy", [0.9, 0.8, 0.7]) == (
        "3 trials: mean 80.0 %, sd 10.0 points, 70.0 % to 90.0 %"
    )
    assert spread_of("accuracy", [0.9, None, 0.7]).startswith(
        "3 trials (1 not finite): mean 80.0 %"
    )
    metrics = results()["metrics"]
    metrics["accuracy"]["trials"] = [0.6, 0.7]
    write_run(run / LIONS, results(metrics=metrics))
    assert "2 trials: mean 65.0 %" in write_report("quick").read_text(encoding="utf-8")


def test_another_run_is_compared(run: Path) -> None:
    write_run(run / LIONS, results())
    metrics = results()["metrics"]
    metrics["accuracy"]["value"] = 0.7
    write_run(run.parent / "before" / LIONS, results(metrics=metrics, profile="quick"))
    page = re.sub(r"<[^>]+>", " ", write_report("quick", "before").read_text(encoding="utf-8"))
    page = re.sub(r"\s+", " ", page)
    assert "What changed since run before" in page
    assert "unlike runs, profile: quick and smoke 70.0 % 65.0 % −5.0 points" in page
    write_run(run.parent / "third" / LIONS, results(seed=1, command="run x -p epochs 3"))
    page = write_report("quick", "third").read_text(encoding="utf-8")
    told = "seed: 1 and 0; parameters: epochs 3 and the notebook&#39;s own"
    assert told in page
    same = changes([_outcome(run)], [_outcome(run)])
    assert next((c.by, c.unlike) for c in same) == ("±0.0 points", "")
    with pytest.raises(ValueError, match="no such run"):
        write_report("quick", "never")


def test_the_tasks_of_an_executed_notebook_are_linked(run: Path) -> None:
    write_run(run / LIONS, results())
    page = '<h2 id="A-&amp;-B">A &amp; B<a class="anchor-link" href="#A">¶</a></h2>'
    (run / LIONS / "1_lions.html").write_text(page, encoding="utf-8")
    report = write_report("quick").read_text(encoding="utf-8")
    assert f'<a href="{LIONS}/1_lions.html#A-%26-B">A &amp; B</a>' in report
    assert f'<a href="{LIONS}/1_lions.html"><b>Read' in report


@pytest.mark.parametrize(("kind", "left_out"), [("reduced", True), ("sample", False)])
def test_a_gallery_holds_pages_and_no_photographs(run: Path, kind: str, left_out: bool) -> None:
    toml = run.parents[1] / "notebooks" / "course.toml"
    text = toml.read_text(encoding="utf-8")
    figures = 'figures = ["curve"]\n'
    toml.write_text(text.replace(figures, figures + 'pictures = ["cats"]\n', 1), encoding="utf-8")
    shown = {
        name: {"file": "figures/curve.png", "caption": f"{name}."} for name in ("curve", "cats")
    }
    tables = {"steps": {"file": "tables/steps.csv", "caption": ""}}
    provenance = {"savannah": {"kind": kind, "note": ""}}
    write_run(run / LIONS, results(figures=shown, tables=tables, provenance=provenance))
    (run / LIONS / "tables").mkdir()
    (run / LIONS / "tables" / "steps.csv").write_text("a,b\n")
    notebook = json.loads((run / LIONS / "1_lions.ipynb").read_text())
    notebook["cells"] = [
        nbformat.v4.new_code_cell("", id=name, outputs=[
            nbformat.v4.new_output(
                "display_data",
                {"image/png": name},
                metadata={"figure": name, "image/png": {"alt": f"{name}."}},
            )
        ])
        for name in ("curve", "cats")
    ]  # fmt: skip
    (run / LIONS / "1_lions.ipynb").write_text(json.dumps(notebook))
    index = write_gallery("quick")
    site = index.parent
    assert index == run / "gallery" / "index.html"
    found = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert found == {
        "index.html", ".gallery", f"{LIONS}/1_lions.html", f"{LIONS}/tables/steps.csv"
    }  # fmt: skip
    page = (site / LIONS / "1_lions.html").read_text(encoding="utf-8")
    assert "base64,curve" in page
    assert ("base64,cats" in page) != left_out
    front = _Addresses()
    front.feed(index.read_text(encoding="utf-8"))
    links = {a for a in front.found if not a.startswith(("#", "data:"))}
    assert links <= found
    assert ("cats." in index.read_text(encoding="utf-8")) != left_out
    assert "Counting tigers" not in index.read_text(encoding="utf-8"), "what was not run stays out"
    assert write_gallery("quick") == index, "its own folder is written anew"
    with pytest.raises(ValueError, match="holds something else"):
        write_gallery("quick", run)


def test_an_empty_run_has_no_gallery(run: Path) -> None:
    with pytest.raises(ValueError, match="no section came to its end"):
        write_gallery("quick")
