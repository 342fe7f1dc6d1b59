"""Find a Chromium for browser tests and benchmarks; ``python tests/browser.py`` installs one where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def find_browser():
    """Return the path of a Chromium: ``CHROMIUM`` if set, the system's, Playwright's own, or None.

    Raises
    ------
    FileNotFoundError
        If ``CHROMIUM`` names no program.
    """
    wanted = os.environ.get("CHROMIUM")
    if wanted:
        found = shutil.which(wanted)
        if not found:
            raise FileNotFoundError(f"CHROMIUM={wanted}: no such program; unset it or name a Chromium")
        return found
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def launch(playwright):
    """Return a Chromium started without a screen and without requests of its own."""
    path = find_browser()
    if path is None:
        raise FileNotFoundError("no Chromium found; run python tests/browser.py, or set CHROMIUM to one")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return playwright.chromium.launch(executable_path=path, args=[*FLAGS, *(["--no-sandbox"] if root else [])])


def install():
    """Install Debian's Chromium when root on such a system, Playwright's otherwise; return whether a command failed."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        commands = [["apt-get", "update"], ["apt-get", "install", "-y", "chromium"]]
    else:
        commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    for command in commands:
        print("running", " ".join(command), file=sys.stderr, flush=True)
        if subprocess.run(command, stdout=sys.stderr).returncode:
            return " ".join(command)
    return None


def main():
    """Print the path of a Chromium, after installing one if need be."""
    try:
        path, failed = find_browser(), None
        if path is None:
            failed = install()
            path = find_browser()
    except FileNotFoundError as error:
        path, failed = None, str(error)
    if path is None:
        why = f" ({failed} failed)" if failed else ""
        print(f"no Chromium{why}: install one, or set CHROMIUM to the path of one", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
