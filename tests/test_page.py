"""Pages, reports and printing: nothing is loaded, formulas, captions, text alternatives, PDF."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from cvhelpers import manifest
from cvhelpers.coursework import printing, reports
from cvhelpers.headless import page
from cvhelpers.headless.page import headings, to_html, without_pictures, write_page
from cvhelpers.headless.parameters import read_notebook

WORDS = nbformat.v4.new_markdown_cell


def _page(*texts: str) -> str:
    notebook = nbformat.v4.new_notebook(cells=[WORDS(text) for text in texts])
    return to_html(notebook, title="A title")


def test_a_page_loads_nothing() -> None:
    page = _page("# A heading", "[![Open in Colab](https://somewhere.org/a.svg)](https://b.org)")
    assert ">Open in Colab</a>" in page, "a badge is a picture from elsewhere"
    assert not re.search(r"<img[^>]*src=.?https?:", page)
    assert not re.search(r"<(script|link)[^>]*(src|href)=.?https?:", page)
    scripts = re.findall(r"<script.*?</script>", page, re.DOTALL)
    assert not [one for one in scripts if "https:" in one], "not later, either"


def test_formulas_become_mathml_and_code_stays() -> None:
    page = _page(
        "Half: $\\frac{1}{2}$, block $$x^2$$ and `cost $a$ b$`.\n\n```\n$y$\n```\n5 $ and 6 $"
    )
    fractions = re.findall(r"<math[^>]*>.*?</math>", page, re.DOTALL)
    assert [re.findall("<mfrac>|<msup>", one) for one in fractions] == [["<mfrac>"], ["<msup>"]]
    assert "cost $a$ b$" in page
    assert "$y$" in re.sub("<.*?>", "", page)
    assert "5 $ and 6 $" in page
    assert "xFORMULA" not in page


def test_a_formula_in_a_heading() -> None:
    page = _page("## What $\\epsilon$ does")
    heading = re.findall(r"<h2.*?</h2>", page, re.DOTALL)[0]
    assert heading.count("<math") == 1
    assert "<math" not in re.match(r"<h2[^>]*>", heading)[0]


def test_a_formula_that_cannot_be_read_is_shown_as_it_stands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "$\\left( x$" in _page("$\\left( x$")
    assert r"the formula \left( x cannot be read" in capsys.readouterr().out


def test_an_equation() -> None:
    page = _page("\\begin{equation}\nx^2\n\\end{equation}")
    assert 'display="block"' in page
    assert "begin{equation}" not in page


@pytest.mark.parametrize("section", manifest.load().sections)
def test_every_formula_of_the_pack_can_be_read(section: str) -> None:
    path = manifest.repository_root() / f"notebooks/{section}.ipynb"
    for cell in read_notebook(path).cells:
        if cell.cell_type == "markdown":
            left = page._set_aside(cell.source, [])
            prose = "".join(page._CODE.split(left)[::2])
            assert "$" not in prose, prose[max(0, prose.index("$") - 60) :][:120]


def test_a_pdf_by_the_browser(tmp_path: Path) -> None:
    assert printing.find_browser(), "no Chromium here: .ci/run installs it"
    page = tmp_path / "page.html"
    page.write_text(_page("# A heading", "words\n\n" * 100), encoding="utf-8")
    pdf = printing.to_pdf(page, tmp_path / "page.pdf")
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", content)) > 1


def test_without_a_browser_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "find_browser", lambda: None)
    monkeypatch.setattr(printing.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"neither a browser nor LaTeX.*Install Chromium"):
        printing.to_pdf(tmp_path / "page.html", tmp_path / "page.pdf")


def test_a_browser_that_makes_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVHELPERS_BROWSER", "true")  # ends well, and does nothing
    page = tmp_path / "page.html"
    page.write_text("<p>words</p>")
    with pytest.raises(ValueError, match="no PDF came from true"):
        printing.to_pdf(page, tmp_path / "page.pdf")


def test_latex_has_captions_pictures_and_no_hidden_code(tmp_path: Path) -> None:
    png = (  # a pixel
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
        "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    outputs = [
        nbformat.v4.new_output("display_data", data={"image/png": png}),
        nbformat.v4.new_output(
            "stream", text="Figure: A pixel.\nTable: Nets. [tables/a.csv]\nsaid\n"
        ),
    ]
    cells = "<style>td {}</style><table><tr><th>net</th></tr><tr><td>LeNet</td></tr></table>"
    data = {"text/html": cells, "text/plain": "<Styler at 0x7f>"}
    outputs.append(nbformat.v4.new_output("execute_result", data=data, execution_count=3))
    hidden = nbformat.v4.new_code_cell("secret = 1", outputs=outputs)
    shown = nbformat.v4.new_code_cell("shown = 1", metadata={"tags": ["show-code"]})
    notebook = nbformat.v4.new_notebook(cells=[WORDS("# Title"), hidden, shown])
    tex = reports.to_latex(notebook, tmp_path / "a.tex", title="a").read_text()
    assert "Figure 1." in tex
    assert "A pixel." in tex
    assert "Nets." in tex
    assert re.search(r"net.*LeNet", tex[tex.index("longtable}") :], re.DOTALL)
    assert "Styler" not in tex
    assert tex.index("newcounter{none}") < tex.index("begin{document}")
    assert "said" in tex
    assert "secret" not in tex
    assert "shown" in tex
    (picture,) = (tmp_path / "a_files").glob("*.png")
    assert picture.name in tex
    text = reports.to_markdown(notebook, tmp_path / "b.md").read_text()
    assert re.search(r"\| *net *\|\n\|-+\|\n\| *LeNet *\|", text)
    assert "<style" not in text
    hidden.outputs.pop()
    text = reports.to_markdown(notebook, tmp_path / "c.md").read_text()
    assert "Nets." not in text, "no table is there to be called so"


def test_headings_are_anchors_and_words() -> None:
    found = headings(_page("# Title", "## A & B", "### What $\\epsilon$ does", "#### too deep"))
    assert [text for _, text in found] == ["A & B", "What ϵ does"]
    assert found[0][0] == "A-&-B"


def _shown(name: str | None, kind: str = "image/png") -> nbformat.NotebookNode:
    metadata = {"image/png": {"alt": "What to see."}, **({"figure": name} if name else {})}
    output = nbformat.v4.new_output("display_data", {kind: "iVBORw0KGgo="}, metadata=metadata)
    return nbformat.v4.new_code_cell("draw()", outputs=[output])


def test_a_caption_is_the_text_alternative() -> None:
    notebook = nbformat.v4.new_notebook(cells=[_shown("curve")])
    (picture,) = re.findall("<img[^>]*>", to_html(notebook, title="A title"))
    assert 'alt="What to see."' in picture


def test_pictures_of_images_and_without_a_name_are_left_out() -> None:
    inside = nbformat.v4.new_output("display_data", {"text/html": "<img src='data:image/png,'>"})
    cells = [_shown("curve"), _shown("photographs"), _shown(None), _shown(None, "image/jpeg")]
    cells.append(nbformat.v4.new_code_cell("explore()", outputs=[inside]))
    notebook = nbformat.v4.new_notebook(cells=cells)
    left = without_pictures(notebook, {"curve"})
    pictures = [any("image" in kind for kind in cell.outputs[0].data) for cell in left.cells]
    assert pictures == [True, False, False, False, False]
    assert all("Not shown" in cell.outputs[0].data["text/plain"] for cell in left.cells[1:])
    assert "image/png" in notebook.cells[1].outputs[0].data, "the notebook itself stays"
    assert to_html(left, title="A title").count("<img") == 1


@pytest.mark.parametrize(
    "data",
    [
        {"text/markdown": "![](data:image/png;base64,iVBO)"},
        {"text/html": "<IMG src='x.png'>"},
        {"text/html": "<div style='background: url(x.png)'></div>"},
        {"image/svg+xml": "<svg></svg>"},
        {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}},
    ],
)
def test_nothing_that_could_hold_a_picture_stays(data: dict[str, object]) -> None:
    output = nbformat.v4.new_output("display_data", data)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])])
    notebook.metadata.widgets = {"state": {}}
    left = without_pictures(notebook, {"curve"})
    assert list(left.cells[0].outputs[0].data) == ["text/plain"]
    assert "widgets" not in left.metadata


def test_tables_stay() -> None:
    table = nbformat.v4.new_output("display_data", {"text/html": "<table></table>"})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[table])])
    assert without_pictures(notebook, set()).cells[0].outputs[0].data == table.data


def test_a_page_lies_beside_its_notebook(tmp_path: Path) -> None:
    path = tmp_path / "1_lions.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[WORDS("# Lions")]), path)
    assert write_page(path) == tmp_path / "1_lions.html"
    assert "Lions" in (tmp_path / "1_lions.html").read_text(encoding="utf-8")
