"""A notebook as a page to read: HTML, PDF, LaTeX, Markdown; everything in it, no network needed."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from cvhelpers.headless.parameters import tags

SHOW_CODE = "show-code"  # the tag of cells whose code a report shows
_CAPTION = re.compile(r"^(Figure|Table): (.*?)(?: \[tables/.*\])?$")
_FORMULA = re.compile(
    r"(?<![\\$])(\$\$?)(?![\s$])(.+?)(?<![\\\s])\1(?!\$)"
    r"|\\begin\{(equation|align)\*?\}(?P<inner>.+?)\\end\{\3\*?\}",
    re.DOTALL,
)
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
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
_BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("msedge", "microsoft-edge"),
)
_USUAL = (  # where they are on Windows and macOS, which have them on no PATH
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def to_html(notebook: Any, *, title: str, report: bool = False) -> str:
    """One HTML page with pictures inside and formulas as MathML; it loads nothing.

    With `report` only the results stand in it, and the code of cells tagged `show-code`.
    """
    from nbconvert import HTMLExporter

    ready = as_report(notebook) if report else copy.deepcopy(notebook)
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
    page = re.sub(r"<[^>]*>", lambda tag: re.sub(r"xFORMULA\d+x", "", tag[0]), page)  # a title's id
    return re.sub("xFORMULA(\\d+)x", lambda match: formulas[int(match[1])], page)


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


def as_report(notebook: Any) -> Any:
    """A copy with results alone: no code but of cells tagged `show-code`, numbered captions."""
    import nbformat

    notebook = copy.deepcopy(notebook)
    kept, numbers = [], {"Figure": 0, "Table": 0}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _captioned(cell.outputs, numbers)
            if SHOW_CODE in tags(cell):
                text = f"```python\n{cell.source.strip()}\n```"
                kept.append(nbformat.v4.new_markdown_cell(text))
            cell.source, cell.execution_count = "", None
            if not cell.outputs:
                continue
            cell.metadata["jupyter"] = {"source_hidden": True}
            cell.metadata["transient"] = {"remove_source": True}  # nbconvert's templates ask for it
        kept.append(cell)
    notebook.cells = kept
    return notebook


def uncaptioned(cell: Any) -> list[str]:
    """What of a code cell's pictures and tables has no caption: "Figure", "Table", or both."""
    shown = {
        "Figure": sum(any(k.startswith("image/") for k in o.get("data", {})) for o in cell.outputs),
        "Table": sum("<table" in o.get("data", {}).get("text/html", "") for o in cell.outputs),
    }
    captions = [match[1] for match in _captions(cell.outputs)]
    return [kind for kind, count in shown.items() if captions.count(kind) < count]


def to_latex(notebook: Any, target: Path, *, title: str) -> Path:
    """Write a report as `target` (.tex) and its pictures beside it; pandoc turns the words.

    Raises:
        ValueError: no pandoc.
    """
    from nbconvert import LatexExporter

    _find_pandoc()
    exporter = LatexExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    report = _with_tables(as_report(notebook), "latex")
    return _written(exporter, report, target, title=title)


def to_markdown(notebook: Any, target: Path) -> Path:
    """Write a report as `target` (.md) and its pictures beside it.

    Raises:
        ValueError: no pandoc, which makes the tables.
    """
    from nbconvert import MarkdownExporter

    _find_pandoc()
    report = _with_tables(as_report(notebook), "markdown")
    return _written(MarkdownExporter(), report, target, title=target.stem)


def _written(exporter: Any, report: Any, target: Path, *, title: str) -> Path:
    resources = {"metadata": {"name": title}, "output_files_dir": f"{target.stem}_files"}
    text, made = exporter.from_notebook_node(report, resources=resources)
    # pandoc's tables name a counter that nbconvert's own preamble does not make.
    text = text.replace("\\begin{document}", "\\newcounter{none}\n\\begin{document}", 1)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    for name, content in made.get("outputs", {}).items():
        path = target.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return target


def _with_tables(report: Any, kind: str) -> Any:
    """Outputs that are tables in HTML, as LaTeX or Markdown; pandoc turns them."""
    from nbconvert.utils.pandoc import pandoc

    for cell in report.cells:
        for output in cell.get("outputs", []):
            table = output.get("data", {}).get("text/html", "")
            table = re.sub(r"<style.*?</style>", "", table, flags=re.DOTALL)
            if "<table" not in table:
                if table:
                    output.data["text/html"] = table
                continue
            turned = pandoc(table, "html", "latex" if kind == "latex" else "gfm")
            output.data = {f"text/{kind}": turned}
    return report


def to_pdf(page: Path, target: Path, *, tex: Path | None = None) -> Path:
    """Print an HTML page to PDF with the system's browser, or else typeset `tex`.

    Raises:
        ValueError: neither a browser nor LaTeX, or they made no file: what to install.
    """
    browser, latex = find_browser(), shutil.which("xelatex")
    if browser:
        with tempfile.TemporaryDirectory() as profile:
            command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu"]
            command += [f"--user-data-dir={profile}", "--no-pdf-header-footer"]
            command += ["--run-all-compositor-stages-before-draw", "--virtual-time-budget=20000"]
            command += [f"--print-to-pdf={target.resolve()}", page.resolve().as_uri()]
            said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    elif tex and latex:
        command = [
            latex,
            "-interaction=nonstopmode",
            f"-output-directory={target.parent.resolve()}",
            tex.name,
        ]
        said = subprocess.run(
            command, cwd=tex.parent, capture_output=True, text=True, timeout=600, check=False
        )
    else:
        raise ValueError(
            "no PDF: neither a browser nor LaTeX is here. Install Chromium or Chrome (or name one "
            "with CVHELPERS_BROWSER), or open the HTML page and print it to PDF yourself"
        )
    if not target.is_file():
        told = (said.stderr.strip() or said.stdout.strip())[-500:]
        raise ValueError(f"no PDF came from {command[0]}: {told}")
    return target


def find_browser() -> str | None:
    """The browser to print with: CVHELPERS_BROWSER, else a Chromium or Chrome; None without one."""
    if named := os.environ.get("CVHELPERS_BROWSER"):
        return named
    found = [path for name in _BROWSERS if (path := shutil.which(name))]
    return next(iter([*found, *(path for path in _USUAL if Path(path).is_file())]), None)


def _captioned(outputs: list[Any], numbers: dict[str, int]) -> list[Any]:
    """The outputs with their caption lines numbered; a table's only where the cell shows one."""
    import nbformat

    has_table = any("text/html" in one.get("data", {}) for one in outputs)
    new = []
    for one in outputs:
        if one.output_type != "stream":
            new.append(one)
            continue
        rest: list[str] = []
        for line in [*one.text.splitlines(), None]:
            match = _CAPTION.match(line) if line is not None else None
            if line is None or match:
                if text := "\n".join(rest).strip("\n"):
                    new.append(nbformat.v4.new_output("stream", name=one.name, text=text + "\n"))
                rest = []
            else:
                rest.append(line)
            if match and (match[1] == "Figure" or has_table):
                numbers[match[1]] += 1
                caption = f"**{match[1]} {numbers[match[1]]}.** {match[2]}"
                data = {"text/markdown": caption, "text/plain": caption}
                new.append(nbformat.v4.new_output("display_data", data=data))
    return new


def _captions(outputs: list[Any]) -> list[re.Match[str]]:
    lines = [line for o in outputs if o.output_type == "stream" for line in o.text.splitlines()]
    return [match for line in lines if (match := _CAPTION.match(line))]


def _find_pandoc() -> None:
    """Put pypandoc's pandoc on the PATH where the system has none."""
    if shutil.which("pandoc"):
        return
    try:
        import pypandoc

        folder = str(Path(pypandoc.get_pandoc_path()).parent)
    except (ImportError, OSError):
        raise ValueError('no pandoc for LaTeX; pip install "cvhelpers[submit]" brings it') from None
    os.environ["PATH"] = folder + os.pathsep + os.environ.get("PATH", "")
