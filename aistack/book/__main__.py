"""``python -m aistack.book``: execute the notebooks that need it, then build the site; ``--list`` names the notebooks, ``--measure`` measures them."""

import signal
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from aistack import shelf
from aistack.book.build import BuildError, build, reason, stamp
from aistack.book.execute import measure, notebooks

STOPPED = []  # signals that asked to stop: libraries turn the interruption into errors of their own


def _stop(number, _frame):
    STOPPED.append(number)
    raise KeyboardInterrupt


def main() -> int:
    """Build the book of the present folder with warnings as errors; say where it is, or in one line why not."""
    root = Path.cwd()
    if not (root / "_toc.yml").is_file():
        print(f"{root}: no _toc.yml here; run this in the folder of the book", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    site = root / "_build" / "html"
    try:
        if sys.argv[1:] == ["--list"]:
            print(*(path.as_posix() for path in notebooks(root)))
            return 0
        if sys.argv[1:2] == ["--measure"]:
            print(f"{measure(root, tuple(sys.argv[2:]))} is written")
            return 0
        build(root)
    except BaseException as error:
        told = str(error) if isinstance(error, BuildError) else reason(error)
        if STOPPED:
            told = "stopped; notebooks that ran are kept"
        elif not isinstance(error, BuildError):  # nobody thought of it
            log = site.parent / "failed" / "build.txt"
            with suppress(OSError):
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_text(traceback.format_exc(), encoding="utf-8")
                told += f" (more in {log})"
        print(f"the book was not built: {told}", file=sys.stderr)
        if site.is_dir():
            print(f"the last good site is still in {site}", file=sys.stderr)
        return 128 + STOPPED[0] if STOPPED else 1
    if old := shelf.due(datetime.fromtimestamp(stamp(root), UTC).date()):
        named = ", ".join(s["source_id"] for s in old[:10]) + (" …" if len(old) > 10 else "")
        print(f"{len(old)} sources are due for review, last looked at over a year ago: {named}")
    print(f"\nThe book is in {site}\nOpen {(site / 'index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
