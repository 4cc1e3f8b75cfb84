"""A notebook as a report: results without code, numbered captions; as LaTeX and Markdown, too."""

from __future__ import annotations

import copy
import os
import re
import shutil
from pathlib import Path
from typing import Any

from cvhelpers.headless.parameters import tags

SHOW_CODE = "show-code"  # the tag of cells whose code a report shows
_CAPTION = re.compile(r"^(Figure|Table): (.*?)(?: \[tables/.*\])?$")


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
