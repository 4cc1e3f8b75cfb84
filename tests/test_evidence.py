"""headless.evidence: results/ and its table, and that the two agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_course import make_course, make_front_page, results, write_run

from cvhelpers import manifest
from cvhelpers.headless.evidence import results_table, update

LIONS = "1_zoo/1_lions"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_course(tmp_path)
    make_front_page(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _finish(root: Path, **changes: object) -> str:
    write_run(root / "runs" / "full" / LIONS, results(**changes))
    return "full"


def test_a_run_becomes_evidence(root: Path) -> None:
    figures = {
        name: {"file": f"figures/{name}.png", "caption": name} for name in ("b", "a", "curve")
    }
    tables = {"history": {"file": "tables/history.csv", "caption": ""}}
    run = (
        root
        / "runs"
        / _finish(root, figures=figures, tables=tables, command="python -m cvhelpers run x")
    )
    for name in ("a", "b"):
        (run / LIONS / f"figures/{name}.png").write_bytes(b"png")
    (run / LIONS / "tables").mkdir()
    (run / LIONS / "tables/history.csv").write_text("epoch\n1\n")
    stale = root / "results" / LIONS / "figures" / "stale.png"
    stale.parent.mkdir(parents=True)
    stale.touch()

    assert update("full") == 0
    folder = root / "results" / LIONS
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == ["figures/b.png", "figures/curve.png", "results.json", "tables/history.csv"]
    kept = json.loads((folder / "results.json").read_text())
    assert list(kept["figures"]) == ["curve", "b"]
    text = (root / "results/README.md").read_text()
    assert text.startswith(f"before\n{BEGIN}\n| Section")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert (
        "| 1_zoo/1_lions | lions, accuracy | 65.0 % | ≥ 70.0 % (missed) | savannah (real) | smoke "
        "| CPU (2 threads) | 0 | 2026-11-21 |  |"
    ) in text
    assert "- 1_zoo/1_lions: `python -m cvhelpers run x`" in text


def test_the_synthetic_sample_is_no_evidence(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = {"savannah": {"kind": "sample", "note": ""}}
    assert update(_finish(root, provenance=sample)) == 1
    assert "refused" in capsys.readouterr().out
    assert not (root / "results" / LIONS).exists()
    write_run(root / "results" / LIONS, results(provenance=sample))
    with pytest.raises(ValueError, match=r"1_lions: from the synthetic sample"):
        results_table(root / "results", manifest.load())


def test_unfinished_and_failed_sections_are_not_copied(root: Path) -> None:
    run = root / "runs" / _finish(root)
    (run / LIONS / "1_lions.ipynb").rename(run / LIONS / "1_lions.failed.ipynb")
    assert update("full") == 0
    assert not (root / "results" / LIONS).exists()
    assert f"{BEGIN}\nNo results yet.\n{END}" in (root / "results/README.md").read_text()


def test_a_target_shows_only_where_it_is_judged(root: Path) -> None:
    update(_finish(root, provenance={"savannah": {"kind": "unverified", "note": ""}}))
    assert "(not judged on this data)" in (root / "results/README.md").read_text()


def test_text_cannot_break_the_table(root: Path) -> None:
    update(_finish(root, device="a|b"))
    assert "| a/b |" in (root / "results/README.md").read_text()


def test_the_table_says_what_lies_under_results() -> None:
    root = Path(__file__).parents[1]
    course = manifest.load(root / "notebooks" / "course.toml")
    table = results_table(root / "results", course)
    text = (root / "results/README.md").read_text(encoding="utf-8")
    assert f"{BEGIN}\n{table}\n{END}" in text, "run `make results`"


def test_pictures_of_the_data_set_stay_in_the_run(root: Path) -> None:
    toml = root / "notebooks" / "course.toml"
    text = toml.read_text()
    old = 'figures = ["curve"]'
    toml.write_text(text.replace(old, 'figures = ["curve", "photos"]\npictures = ["photos"]', 1))
    figures = {
        name: {"file": f"figures/{name}.png", "caption": name} for name in ("curve", "photos")
    }
    run = root / "runs" / _finish(root, figures=figures)
    (run / LIONS / "figures/photos.png").write_bytes(b"png")
    assert update("full") == 0
    folder = root / "results" / LIONS
    assert [path.name for path in folder.rglob("*.png")] == ["curve.png"]
    assert list(json.loads((folder / "results.json").read_text())["figures"]) == ["curve"]


def test_the_repository_holds_no_pictures_of_a_data_set() -> None:
    course = manifest.load(ROOT / "notebooks" / "course.toml")
    for section in course.sections.values():
        kept = {path.stem for path in (ROOT / "results" / section.id / "figures").glob("*")}
        assert kept.isdisjoint(section.pictures), section.id


def test_a_small_run_stands_beside_the_large_one(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    update(_finish(root, command="python -m cvhelpers run x"))
    update(_finish(root, command="python -m cvhelpers run x -p images 9"), beside="control")
    folder = root / "results" / LIONS
    assert "copied to results/1_zoo/1_lions/control" in capsys.readouterr().out
    assert json.loads((folder / "results.json").read_text())["command"].endswith("run x")
    text = (root / "results/README.md").read_text()
    assert "- 1_zoo/1_lions: `python -m cvhelpers run x`" in text
    assert "- 1_zoo/1_lions, control: `python -m cvhelpers run x -p images 9`" in text
    assert "| 1_zoo/1_lions | lions, accuracy | 65.0 % | ≥ 70.0 % (missed) |" in text
    assert "| 1_zoo/1_lions, control | lions, accuracy | 65.0 % |  |" in text  # not judged
    assert text.index("| 1_zoo/1_lions |") < text.index("| 1_zoo/1_lions, control |")
    update(_finish(root))  # the large one anew: the small one stays
    assert (folder / "control" / "results.json").exists()


@pytest.mark.parametrize("name", ["tables", "../x", "a b"])
def test_what_stands_beside_has_a_name_of_one_word(root: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"one word, e\.g\. control"):
        update("full", beside=name)
