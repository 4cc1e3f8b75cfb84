"""The repository's address, in its one place and in every notebook's badge and setup cell."""

from __future__ import annotations

import re

from cvhelpers import manifest
from cvhelpers.headless.contents import REPOSITORY
from cvhelpers.results import atomic_write


def set_repository(repository: str) -> str:
    """Point pyproject.toml, badges and setup cells at `repository`, OWNER/NAME on GitHub.

    Raises:
        ValueError: no such name, or pyproject.toml has no line `Repository = "https://..."`.
    """
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*(?<!\.git)", repository):
        raise ValueError(
            f"repository {repository!r}: write OWNER/NAME, as in its address on GitHub"
        )
    root = manifest.repository_root()
    project = root / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    if (old := REPOSITORY.search(text)) is None:
        raise ValueError(f'{project} has no line Repository = "https://github.com/OWNER/NAME"')
    atomic_write(project, REPOSITORY.sub(rf'\g<1>{repository}"', text))
    changed = 0
    for path in [root / "README.md", *sorted((root / "notebooks").glob("[0-9]*/[0-9]*.ipynb"))]:
        before = path.read_text(encoding="utf-8")
        after = re.sub(
            rf"(github(?:\.com)?/){re.escape(old[2])}(?=[/@.\"\\])", rf"\g<1>{repository}", before
        )
        if after != before:
            atomic_write(path, after)
            changed += 1
    return (
        f"{project.name} and {changed} files now point at {repository}; it was {old[2]}. "
        "Badges and setup cells name a tag, v and the package's version: make it there, too"
    )
