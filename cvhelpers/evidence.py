"""What the course's own runs showed: the evidence under `results/`, to read and to hold prose to.

A discussion states outcomes; the tables that they came from lie in the repository, and travel with
the installed package. A claim ties the two: a sentence and the condition under which it is true.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvhelpers import manifest
from cvhelpers import results as result_files

if TYPE_CHECKING:
    import pandas as pd

_INSTALLED = Path(__file__).resolve().parent / "_results"  # where the wheel has them


@dataclass
class Evidence:
    """One section's committed results: numbers, tables, and where they came from.

    Used in a `with` block, it shows itself at the end: provenance of the images, profile and
    parameters, device, date, metrics, and the block's claims, each with a mark that says whether
    these results show it. Where they lack a table, a row or a column that the block asks for, that
    becomes a claim not shown, and the notebook goes on: the run under way may be the one that
    makes it.
    """

    section: str
    folder: Path
    results: dict[str, Any]
    claims: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, float]:
        """The section's numbers by name; accuracies are fractions, 0..1.

        Raises:
            ValueError: nothing is committed.
        """
        if not self.results:
            raise ValueError(f"{self.folder}: nothing there yet; run the section, `make results`")
        return {name: entry["value"] for name, entry in self.results["metrics"].items()}

    @property
    def made_by(self) -> str:
        """One line: images and their provenance, profile and parameters, device, seed, date."""
        r = self.results
        if not r:
            return "nothing is committed yet"
        given = r.get("command", "").split(" -p ")[1:]
        data = ", ".join(f"{name} ({entry['kind']})" for name, entry in r["provenance"].items())
        parts = [data or "no images", f"profile {r['profile']}", *given, f"seed {r['seed']}"]
        return "; ".join([*parts, r["device"], r["started"][:10]])

    def table(self, name: str, index: str | None = None) -> pd.DataFrame:
        """A committed table; `index` names the column that becomes its index.

        Raises:
            ValueError: no such table; it names those that there are.
        """
        import pandas as pd

        tables = self.results.get("tables", {}) if self.metrics else {}
        if name not in tables:
            raise ValueError(f"{self.folder}: no table {name!r}; {manifest.near(name, tables)}")
        table = pd.read_csv(self.folder / tables[name]["file"])
        return table.set_index(index) if index else table

    def claim(self, sentence: str, holds: bool) -> None:
        """Note a sentence of the discussion, and whether these results show it.

        A claim that does not hold stops nothing, since a run of your own may have replaced the
        evidence; it fails the course's tests.
        """
        self.claims.append((sentence, bool(holds)))

    def __enter__(self) -> Evidence:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, traceback: Any) -> bool:
        lacks = isinstance(error, (ValueError, KeyError, AttributeError))
        if lacks:
            self.claim(f"what the block asks for ({kind.__name__ if kind else ''}: {error})", False)
        if lacks or error is None:
            from IPython.display import display

            display(self)
        return lacks

    def __repr__(self) -> str:
        lines = [f"evidence of {self.section}", self.made_by, ""]
        lines += [": ".join(row[:2]) + (f" ({row[2]})" if row[2] else "") for row in self._rows()]
        lines += [f"{_mark(holds)} {sentence}" for sentence, holds in self.claims]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr>"
            + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in row)
            + "</tr>"
            for row in self._rows()
        )
        said = "".join(
            f"<li>{_mark(holds)} {html.escape(sentence)}</li>" for sentence, holds in self.claims
        )
        head = f"<b>Committed evidence of {html.escape(self.section)}</b>"
        return (
            f"<p>{head}<br>{html.escape(self.made_by)}</p><table>{rows}</table>"
            f'<ul style="list-style:none;padding-left:0">{said}</ul>'
        )

    def _rows(self) -> list[tuple[str, str, str]]:
        entries = self.results.get("metrics", {}).items()
        return [(name, f"{entry['value']:.4g}", entry.get("note", "")) for name, entry in entries]


def evidence(section: str, part: str = "") -> Evidence:
    """Read a section's committed evidence: from the checkout, else from the installed package.

    `part` names a smaller run that is kept beside the section's own, to answer one question. Where
    nothing is committed yet, the first claims of a new section are all not shown.

    Raises:
        ValueError: no such section, or evidence that is broken.
    """
    wanted = f"{section}/{part}".strip("/")
    manifest.load().section(section)  # a ValueError names sections like a misspelt one
    for root in (manifest.repository_root() / "results", _INSTALLED):
        if (root / wanted / result_files.FILE_NAME).is_file():
            return Evidence(wanted, root / wanted, result_files.read_results(root / wanted))
    return Evidence(wanted, Path("results") / wanted, {})


def _mark(holds: bool) -> str:
    return "✓" if holds else "✗ NOT SHOWN by this evidence:"
