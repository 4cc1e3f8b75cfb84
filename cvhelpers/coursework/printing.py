"""A page on paper: PDF by the system's browser, or by LaTeX."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("msedge", "microsoft-edge"),
)
_USUAL = (  # where they are on Windows and macOS, which have them on no PATH
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


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
