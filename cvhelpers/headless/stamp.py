"""What a section's run depends on besides other sections, noted where times can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import cvhelpers
from cvhelpers import manifest, runtime
from cvhelpers import results as result_files
from cvhelpers.headless.execute import notebook_files, run_folder
from cvhelpers.manifest import Section

FILE_NAME = "stamp.txt"
_PACKAGE = Path(cvhelpers.__file__).resolve().parent
# These carry a section's numbers about, and make none.
_CARRIERS = ("headless", "coursework", "__main__.py", "doctor.py")


def write_stamps(
    name: str | None, *, profile: str, source: str, seed: int | None, args: str
) -> str:
    """Write every section's `runs/<name>/<section id>/stamp.txt`; return `NAME=... PROFILE=...`.

    A stamp holds the resolved profile and source, the seed, the arguments, and the fingerprints of
    the section's notebook, of the package and of the section's data. One that says the same already
    is left alone: what is older than its stamp has to run. `after.mk` tells make which sections
    come after which.
    """
    from cvhelpers import data

    profile, source = runtime.resolve_profile(profile), runtime.resolve_source(source)
    run, course = run_folder(name, profile), manifest.load()
    prints: dict[str, str] = {}
    package = _hash(_package_files())
    for section in course.sections.values():
        lines = [f"profile {profile}", f"source {source}", f"seed {seed}", f"args {args}"]
        notebook = manifest.repository_root() / "notebooks" / f"{section.id}.ipynb"
        lines += [f"notebook {_hash([notebook])}", f"package {package}"]
        for one in section.data:
            prints[one] = prints.get(one) or data.fingerprint(one, source, profile)
            lines.append(f"data {prints[one]}")
        _write(run / section.id / FILE_NAME, "\n".join(lines) + "\n")
    # make compares names: relative to the working directory, as its own rules have them
    text = "".join(
        f"{_finished(run, section)}: {_finished(run, course.sections[other])}\n"
        for section in course.sections.values()
        for other in section.after
    )
    _write(run / "after.mk", text)
    return f"NAME={run.name} PROFILE={profile}"


def up_to_date(section: Section, run: Path, course: manifest.Manifest) -> bool:
    """Whether a section was finished after its stamp and after the sections that it builds on."""
    finished = notebook_files(run / section.id)[-1]
    needs = [run / section.id / FILE_NAME]
    needs += [notebook_files(run / other)[-1] for other in section.after]
    if not finished.exists() or not all(path.exists() for path in needs):
        return False
    return all(path.stat().st_mtime <= finished.stat().st_mtime for path in needs)


def _finished(run: Path, section: Section) -> str:
    return f"runs/{run.name}/{section.id}/{section.id.rpartition('/')[2]}.ipynb"


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        result_files.atomic_write(path, text)


def _package_files() -> Iterator[Path]:
    for path in sorted(_PACKAGE.rglob("*")):
        own = path.relative_to(_PACKAGE).parts[0] not in _CARRIERS
        if own and path.suffix in (".py", ".txt", ".mplstyle"):
            yield path


def _hash(paths: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for path in paths:
        if path.is_file():
            content.update(path.read_bytes())
    return content.hexdigest()[:16]
