"""What a section's run depends on besides files: noted where make can compare times."""

from __future__ import annotations

from cvhelpers import manifest, runtime
from cvhelpers import results as result_files
from cvhelpers.headless.execute import run_folder

FILE_NAME = "stamp.txt"


def write_stamps(
    name: str | None, *, profile: str, source: str, seed: int | None, args: str
) -> str:
    """Write every section's `runs/<name>/<section id>/stamp.txt`; return `NAME=... PROFILE=...`.

    A stamp holds the resolved profile and source, the seed, the arguments and the fingerprints of
    the section's data. One that says the same already is left alone: make compares times.
    """
    from cvhelpers import data

    profile, source = runtime.resolve_profile(profile), runtime.resolve_source(source)
    run = run_folder(name, profile)
    prints: dict[str, str] = {}
    for section in manifest.load().sections.values():
        lines = [f"profile {profile}", f"source {source}", f"seed {seed}", f"args {args}"]
        for one in section.data:
            prints[one] = prints.get(one) or data.fingerprint(one, source, profile)
            lines.append(f"data {prints[one]}")
        path = run / section.id / FILE_NAME
        text = "\n".join(lines) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            result_files.atomic_write(path, text)
    return f"NAME={run.name} PROFILE={profile}"
