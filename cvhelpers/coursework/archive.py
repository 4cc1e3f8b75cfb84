"""A zip that runs by itself: notebooks, the parts of this package that they import, libraries."""

from __future__ import annotations

import ast
import platform
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from cvhelpers import manifest

_PACKAGE = Path(manifest.__file__).resolve().parent


def write_archive(
    target: Path, notebooks: Mapping[str, Any], *, title: str, pages: Sequence[Path] = ()
) -> Path:
    """Write notebooks, what they import of this package, README and the list of libraries.

    Unpacked in an empty folder, the notebooks run with the libraries alone. `pages` are HTML files
    to read; a PDF is never among them, since courses cannot open it there.
    """
    import nbformat

    sources = [cell.source for one in notebooks.values() for cell in one.cells]
    modules = needed_modules(sources)
    libraries = _libraries([*sources, *(file.read_text(encoding="utf-8") for file in modules)])
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, notebook in notebooks.items():
            archive.writestr(name, nbformat.writes(notebook))
        for page in pages:
            archive.write(page, page.name)
        for file in modules:
            archive.write(file, file.relative_to(_PACKAGE.parent).as_posix())
        toml = manifest.repository_root() / "notebooks" / "course.toml"
        toml = toml if toml.is_file() else _PACKAGE / "course.toml"
        archive.write(toml, "cvhelpers/course.toml")
        archive.writestr("requirements.txt", "".join(f"{line}\n" for line in libraries))
        archive.writestr("README.txt", _readme(list(notebooks), title, libraries))
    return target


def needed_modules(sources: Iterable[str]) -> list[Path]:
    """Files of this package that code imports, and those that these import, data files with them.

    Magics are left out; a cell that is no Python imports nothing.
    """
    found: dict[Path, None] = {}
    waiting = [name for source in sources for name in _imports(source)]
    while waiting:
        for file in _files(waiting.pop()):
            if file not in found:
                found[file] = None
                waiting += _imports(file.read_text(encoding="utf-8"))
    beside = {data for f in found for data in f.parent.glob("*") if data.suffix in (".mplstyle",)}
    text = {data for f in found for data in f.parent.glob("*.txt")}
    return sorted({*found, *beside, *text})


def _files(module: str) -> list[Path]:
    """The file of a module of this package, and the `__init__` of every package on the way."""
    parts = module.split(".")
    files = []
    for count in range(1, len(parts) + 1):
        place = _PACKAGE.parent.joinpath(*parts[:count])
        files += [p for p in (place / "__init__.py", place.with_suffix(".py")) if p.is_file()]
    return files


def _imports(source: str) -> list[str]:
    """Dotted names of this package that a text imports; `import_module("...")` counts as well."""
    try:
        tree = ast.parse(re.sub(r"^([ \t]*)[%!].*$", r"\1pass", source, flags=re.MULTILINE))
    except SyntaxError:
        return []
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names += [node.value] if node.value.startswith("cvhelpers.") else []
    return [name for name in names if name.split(".")[0] == "cvhelpers"]


def _libraries(sources: Iterable[str]) -> list[str]:
    """`name==version` of every installed distribution that the sources import."""
    tops: set[str] = set()
    for source in sources:
        tops |= {m[1] for m in re.finditer(r"^\s*(?:from|import) (\w+)", source, re.MULTILINE)}
    installed = metadata.packages_distributions()
    names = {name for top in tops for name in installed.get(top, []) if name != "cvhelpers"}
    return sorted(
        f"{name}=={metadata.version(name)}"
        for name in names | {"ipykernel", "jupyter-core", "nbclient"}
    )


def _readme(names: list[str], title: str, libraries: list[str]) -> str:
    files = "\n".join(f"  {name}" for name in names)
    listed = "\n".join(f"  {line}" for line in libraries)
    version = platform.python_version()
    return f"""{title}

Main file(s), with all code in their order; cvhelpers/ holds the parts of the course's package that
they import:
{files}

How to run, with Python {version}, in this folder:
  python -m pip install -r requirements.txt
  jupyter execute --inplace {names[0]}
(or open it in JupyterLab, VS Code or Colab and run all cells). On Linux, macOS and Windows alike.

Libraries, also in requirements.txt:
{listed}
"""
