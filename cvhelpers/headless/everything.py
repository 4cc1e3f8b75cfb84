"""Run every section that is not up to date, without make: the same stamps, the same order."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor

from cvhelpers import manifest
from cvhelpers.headless.execute import run_folder
from cvhelpers.headless.report import write_report
from cvhelpers.headless.stamp import up_to_date, write_stamps
from cvhelpers.manifest import Section, near


def run_all(
    *,
    profile: str = "auto",
    source: str = "auto",
    seed: int = 0,
    name: str | None = None,
    only: str = "",
    jobs: int = 1,
    arguments: str = "",
) -> int:
    """Run what has to run, then write the report; 0 if all is well, 1 if a section failed.

    Every section is a process of its own, `python -m cvhelpers run`. One that fails stops those
    that build on it, and no others.

    Args:
        seed: of every notebook.
        name: the run's folder under `runs/`; None is the resolved profile.
        only: an assignment's or a section's id; "" for all.
        jobs: how many sections run at once.
        arguments: more arguments for `run`, as one text, such as "-p epochs 3".

    Raises:
        ValueError: `only` selects nothing, or fewer than one job.
    """
    if jobs < 1:
        raise ValueError(f"jobs = {jobs}: at least 1 section runs at once")
    course = manifest.load()
    ids = {one.id for one in course.sections.values() if only in ("", one.id, one.assignment)}
    for one in reversed(course.sections.values()):  # and what these build on
        ids |= {*one.after} if one.id in ids else set()
    chosen = [one for one in course.sections.values() if one.id in ids]
    if not chosen:
        raise ValueError(f"--only {only}: {near(only, [*course.assignments, *course.sections])}")
    stamped = write_stamps(name, profile=profile, source=source, seed=seed, args=arguments)
    run, profile = (part.partition("=")[2] for part in stamped.split())
    command = [sys.executable, "-m", "cvhelpers", "run", "--source", source, "--name", run]
    command += ["--profile", profile, "--seed", str(seed), *shlex.split(arguments)]
    folder, ran = run_folder(run), 0
    started: dict[str, Future[bool]] = {}

    def work(section: Section) -> bool:
        """Whether the section is there in the end."""
        nonlocal ran
        if not all(started[other].result() for other in section.after if other in started):
            print(f"[{section.id}] not run: what it builds on failed", flush=True)
            return False
        if up_to_date(section, folder, course):
            return True
        ran += 1
        return subprocess.run([*command, section.id], env=os.environ, check=False).returncode == 0

    with ThreadPoolExecutor(jobs) as pool:
        for section in chosen:  # a section stands behind those that it builds on
            started[section.id] = pool.submit(work, section)
        fine = all([done.result() for done in started.values()])
    if not ran and fine:
        print(f"runs/{run}: everything is up to date")
    print(write_report(run))
    return 0 if fine else 1
