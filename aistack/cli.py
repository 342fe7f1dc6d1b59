"""``aistack``: the course's commands, ``release`` and ``grade``."""

import argparse
import sys
from pathlib import Path

__all__ = ["course_root", "main"]


def course_root(start: Path | None = None) -> Path:
    """Return the course's folder: the nearest one above `start` that has exercises, or else the checkout of this package."""
    start = (start or Path.cwd()).resolve()
    here = Path(__file__).resolve().parent.parent
    for folder in (start, *start.parents, here):
        if (folder / "exercises" / "source").is_dir():
            return folder
    return start


def _release(options) -> int:
    from aistack.grading.release import release

    stale = 0
    for path, changed in release(course_root(), options.names, options.check):
        stale += changed
        if changed or not options.check:
            print(f"{'out of date' if options.check else 'written' if changed else 'unchanged'}: {path}")
    if options.check and stale:
        print("run: aistack release", file=sys.stderr)
    return 1 if options.check and stale else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aistack", description="Sand to Tokens: release and grade the exercises.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    release = commands.add_parser("release", help="make the students' notebooks from the sources")
    release.add_argument("names", nargs="*", metavar="EXERCISE", help="such as 02-fabrication; all if none is named")
    release.add_argument(
        "--check", action="store_true", help="write nothing; fail if a released notebook is out of date"
    )
    release.set_defaults(run=_release)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors that a person can mend are one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        print(f"aistack {options.command}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"aistack {options.command}: {error.name} is missing; pip install 'aistack[grading]'", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
