"""A notebook as one HTML page: everything in it, formulas as MathML, no network needed."""

from __future__ import annotations

import copy
import html
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cvhelpers.results import atomic_write

_FORMULA = re.compile(
    r"(?<![\\$])(\$\$?)(?![\s$])(.+?)(?<![\\\s])\1(?!\$)"
    r"|\\begin\{(equation|align)\*?\}(?P<inner>.+?)\\end\{\3\*?\}",
    re.DOTALL,
)
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_HELD_BACK = "[Not shown here: a picture of the data set's images, or one without a name.]"
# For paper, and for narrow screens: lines wrap, pictures and tables stay whole.
_STYLE = """<style>
.jp-Notebook { max-width: 62rem; margin: auto }
.jp-Notebook img { max-width: 100% }
.jp-InputPrompt, .jp-OutputPrompt { min-width: 3.5rem; flex-basis: 3.5rem }
@media print {
  @page { size: A4; margin: 16mm 14mm }
  .jp-Notebook { max-width: none }
  .jp-InputPrompt, .jp-OutputPrompt { display: none }
  .highlight pre, .jp-OutputArea-output pre {
    white-space: pre-wrap !important; overflow-wrap: anywhere; font-size: 8pt !important }
  .jp-RenderedHTMLCommon { font-size: 10.5pt !important }
  .jp-InputArea-editor { overflow: visible !important }
  .jp-OutputArea-output, .jp-RenderedHTMLCommon { overflow: visible !important }
  .jp-RenderedHTMLCommon table { font-size: 7.5pt !important; max-width: 100% }
  .jp-RenderedHTMLCommon td, .jp-RenderedHTMLCommon th {
    padding: 1mm 1.5mm !important; max-width: none !important; overflow-wrap: break-word;
    white-space: normal !important }
  img, tr, math { break-inside: avoid }
  h1, h2, h3, h4 { break-after: avoid }
}
</style>"""


def write_page(notebook: Path) -> Path:
    """Write an executed notebook (.ipynb) as a page of the same name (.html) beside it."""
    import nbformat

    content = nbformat.read(notebook, as_version=4)
    page = to_html(content, title=notebook.stem)
    return atomic_write(notebook.with_suffix(".html"), page)


def headings(page: str) -> list[tuple[str, str]]:
    """The headings of the second and third level in a page: (anchor, text)."""
    found = re.findall(r'<h[23][^>]*\bid="([^"]+)"[^>]*>(.*?)</h[23]>', page, re.DOTALL)
    texts = (
        (anchor, re.sub(r'<a class="anchor-link".*', "", inside, flags=re.S))
        for anchor, inside in found
    )
    return [
        (html.unescape(anchor), html.unescape(re.sub(r"<[^>]+>", "", text)).strip())
        for anchor, text in texts
    ]


def without_pictures(notebook: Any, kept: Collection[str]) -> Any:
    """A copy in which only the figures that `run.save_figure` showed under a name in `kept` stand.

    Beside them stay texts and tables; in the place of everything else, which could hold a picture,
    stands a line that says so.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.pop("attachments", None)
        for output in cell.get("outputs", []):
            if "data" not in output or output.metadata.get("figure") in kept:
                continue
            table = output.data.get("text/html", "")
            plain = not re.search(r"<img|<svg|<object|<iframe|url\(|data:", table, re.IGNORECASE)
            if set(output.data) <= {"text/plain", "text/html"} and plain:
                continue
            output.data, output.metadata = {"text/plain": _HELD_BACK}, {}
    return notebook


def to_html(notebook: Any, *, title: str) -> str:
    """One HTML page with pictures inside and formulas as MathML; it loads nothing."""
    from nbconvert import HTMLExporter

    ready = copy.deepcopy(notebook)
    formulas: list[str] = []
    for cell in ready.cells:
        if cell.cell_type == "markdown":
            cell.source = _set_aside(cell.source, formulas)
    options = {"embed_images": True, "mathjax_url": "", "require_js_url": "", "jquery_url": ""}
    exporter = HTMLExporter(template_name="lab", **options)
    page, _ = exporter.from_notebook_node(ready, resources={"metadata": {"name": title}})
    # What is left of scripts would be fetched; widgets show their static twins.
    page = page.replace("</head>", f"{_STYLE}</head>", 1)
    page = re.sub(r'<script[^>]*src="http[^>]*>\s*</script>', "", page)
    fetching = "(MathJax|mermaid|addWidgetsRenderer)"  # these load a library when they are shown
    page = re.sub(rf"<script[^>]*>(?:(?!</script>).)*{fetching}.*?</script>", "", page, flags=re.S)
    page = page.replace('<script src=""></script>', "")
    page = _described(page, ready)
    # A badge that only a network would show becomes its words.
    page = re.sub(r'<img[^>]*?alt="([^"]*)"[^>]*?src="https?:[^>]*>', r"\1", page)
    page = re.sub(r"<[^>]*>", lambda tag: re.sub(r"xFORMULA\d+x", "", tag[0]), page)  # a title's id
    return re.sub("xFORMULA(\\d+)x", lambda match: formulas[int(match[1])], page)


def _described(page: str, notebook: Any) -> str:
    """Give each picture its caption as text alternative, which nbconvert's template leaves out."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    captions = {
        output.data["image/png"].strip(): output.metadata["image/png"]["alt"]
        for output in outputs
        if "image/png" in output.get("data", {})
        and output.get("metadata", {}).get("image/png", {}).get("alt")
    }

    def one(match: re.Match[str]) -> str:
        caption = captions.get(match[1].strip())
        alternative = f'alt="{html.escape(caption or "")}"'
        return re.sub('alt="[^"]*"', lambda _: alternative, match[0]) if caption else match[0]

    return re.sub(r'<img[^>]*?src="data:image/png;base64,([^"]*)"[^>]*>', one, page)


def to_mathml(formula: str, *, display: bool = False) -> str:
    """A formula of LaTeX as MathML, which browsers draw by themselves.

    Raises:
        ValueError: a formula that cannot be read.
    """
    from latex2mathml.converter import convert

    try:
        return str(convert(formula.strip(), display="block" if display else "inline"))
    except Exception as error:  # its errors have no base class of their own
        raise ValueError(f"the formula {formula} cannot be read: {error!r}") from error


def _set_aside(markdown: str, formulas: list[str]) -> str:
    """Replace formulas by marks, and add their MathML to `formulas`; code stays.

    What turns Markdown into HTML would take the MathML apart, so it is put in afterwards.
    """

    def one(match: re.Match[str]) -> str:
        try:
            made = to_mathml(match[2] or match["inner"], display=match[1] != "$")
        except ValueError as error:
            print(f"{error}: it is shown as it stands")
            return match[0]
        formulas.append(made)
        return f"xFORMULA{len(formulas) - 1}x"

    parts = _CODE.split(markdown)  # code stands at odd places
    return "".join(part if i % 2 else _FORMULA.sub(one, part) for i, part in enumerate(parts))
