"""evidence: reading what is committed, claims, and that the notebooks' discussions are held."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from fake_course import make_course, results, write_run

from cvhelpers import evidence as evidence_module
from cvhelpers.evidence import Evidence, evidence

LIONS = "1_zoo/1_lions"
ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*/[0-9]*.ipynb"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_course(tmp_path)
    monkeypatch.chdir(tmp_path)
    commit(tmp_path / "results")
    return tmp_path


def commit(place: Path) -> None:
    tables = {"nets": {"file": "tables/nets.csv", "caption": ""}}
    command = "python -m cvhelpers run x --seed 3 -p seeds 5 -p epochs 30"
    write_run(place / LIONS, results(tables=tables, command=command))
    (place / LIONS / "tables").mkdir()
    (place / LIONS / "tables/nets.csv").write_text("net,accuracy\nplain,0.7\nwide,0.8\n")


def test_reads_numbers_tables_and_where_they_came_from(root: Path) -> None:
    found = evidence(LIONS)
    assert found.metrics == {k: v["value"] for k, v in found.results["metrics"].items()}
    assert found.table("nets", "net").accuracy.to_dict() == {"plain": 0.7, "wide": 0.8}
    assert list(found.table("nets").columns) == ["net", "accuracy"]
    for word in ("seeds 5", "epochs 30", found.results["device"], found.results["started"][:10]):
        assert word in found.made_by
        assert word in repr(found)
        assert word in found._repr_html_()


def test_what_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(ValueError, match=r"section '1_zoo/1_lion'; did you mean '1_zoo/1_lions'"):
        evidence("1_zoo/1_lion")
    with pytest.raises(ValueError, match="no table 'net'; did you mean 'nets'"):
        evidence(LIONS).table("net")


def test_a_part_stands_beside_the_sections_own(root: Path) -> None:
    write_run(root / "results" / LIONS / "control", results(seed=9))
    assert evidence(LIONS, "control").results["seed"] == 9
    assert evidence(LIONS).results["seed"] != 9


@pytest.mark.parametrize("ask", ["real.metrics['accuracy']", "real.table('nets')"])
def test_a_section_without_evidence_claims_nothing_and_stops_nothing(root: Path, ask: str) -> None:
    with evidence("1_zoo/2_tigers") as real:
        eval(ask, {"real": real})
    [(sentence, holds)] = real.claims
    assert "nothing there yet; run the section, `make results`" in sentence
    assert not holds
    assert "nothing is committed yet" in repr(real)


def test_the_wheels_copy_serves_where_there_is_no_checkout(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "results").rename(tmp_path / "installed")
    monkeypatch.setattr(evidence_module, "_INSTALLED", tmp_path / "installed")
    assert evidence(LIONS).folder == tmp_path / "installed" / LIONS


def test_a_claim_is_marked_by_what_the_evidence_shows(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with evidence(LIONS) as real:
        nets = real.table("nets", "net")
        real.claim("Width helped.", nets.accuracy["wide"] > nets.accuracy["plain"])
        real.claim("Width <harmed>.", nets.accuracy["wide"] < nets.accuracy["plain"])
    assert [holds for _, holds in real.claims] == [True, False]
    shown = capsys.readouterr().out
    assert "✓ Width helped." in shown
    assert "✗ NOT SHOWN by this evidence: Width <harmed>." in shown
    assert "Width &lt;harmed&gt;." in real._repr_html_()


@pytest.mark.parametrize("ask", ["real.table('none')", "nets.accuracy['deep']", "nets.depth"])
def test_evidence_that_lacks_something_stops_nothing_and_claims_nothing(
    root: Path, ask: str
) -> None:
    with evidence(LIONS) as real:
        nets = real.table("nets", "net")
        real.claim("Deep nets win.", eval(ask, {"real": real, "nets": nets}) > 0)
    [(sentence, holds)] = real.claims
    assert sentence.startswith("what the block asks for (")
    assert not holds


def test_other_errors_of_a_block_are_not_swallowed(root: Path) -> None:
    with pytest.raises(NameError), evidence(LIONS):
        unknown  # type: ignore[name-defined]  # noqa: B018, F821


# The notebooks


def words(text: str) -> str:
    """Without emphasis, and with one space where a line may break."""
    return " ".join(re.sub(r"[*`_$]", "", text).split())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_discussions_say_what_the_committed_evidence_shows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evidence cell runs on its own; each claim holds, and stands in the prose word for word."""
    monkeypatch.chdir(path.parent)
    notebook = nbformat.read(path, as_version=4)
    prose = words("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"))
    for cell in notebook.cells:
        if "evidence" not in cell.metadata.get("tags", []):
            continue
        names: dict[str, Any] = {}
        exec("from IPython.display import display\n" + cell.source, names)
        made = [one for one in names.values() if isinstance(one, Evidence)]
        assert made, "an evidence cell begins `with evidence(SECTION) as real:`"
        for one in made:
            assert one.claims, f"{one.section}: evidence without a claim"
            for sentence, holds in one.claims:
                assert holds, f"the evidence of {one.section} does not show: {sentence}"
                assert words(sentence) in prose, f"no discussion says: {sentence}"
