"""``python -m aistack.book``: execute the notebooks that need it, then build the site; ``--list`` names the notebooks."""

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

from aistack import shelf
from aistack.book.execute import execute, notebooks


def main() -> int:
    """Build the book of the present folder with warnings as errors; say where it is."""
    root = Path.cwd()
    if not (root / "_toc.yml").is_file():
        print(f"{root}: no _toc.yml here; run this in the folder of the book", file=sys.stderr)
        return 1
    if sys.argv[1:] == ["--list"]:
        print(*(path.as_posix() for path in notebooks(root)))
        return 0
    try:
        ran = execute(root)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{ran} notebooks executed" if ran else "nothing to execute: every notebook is in the cache", flush=True)
    build = [str(Path(sys.executable).with_name("jupyter-book")), "build", ".", "-W", "-n", "--keep-going", "-q"]
    finished = subprocess.run(build, cwd=root, stdout=subprocess.PIPE, text=True)
    if finished.returncode:
        shutil.rmtree(root / "_build" / ".doctrees", ignore_errors=True)  # or the next build would not see the warnings
        print(finished.stdout)
        print("the book was not built: see the warnings above", file=sys.stderr)
        return finished.returncode
    if old := shelf.due(date.today()):
        named = ", ".join(s["source_id"] for s in old[:10]) + (" …" if len(old) > 10 else "")
        print(f"{len(old)} sources are due for review, last looked at over a year ago: {named}")
    print(f"\nThe book is in {root / '_build/html'}\nOpen {(root / '_build/html/index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
