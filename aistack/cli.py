"""``aistack``: the course's commands, ``release`` and ``grade``."""

import argparse
import re
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


def _grade(options) -> int:
    from aistack.grading.exercise import find_exercise, read_exercise
    from aistack.grading.feedback import write_feedback
    from aistack.grading.grade import Grader, marks_csv, show_progress, totals_csv
    from aistack.grading.gradebook import read_manual, write_autograded, write_gradebook
    from aistack.grading.release import write_whole
    from aistack.grading.sandbox import Limits

    root = course_root()
    exercise = read_exercise(find_exercise(options.exercise, root))
    out = options.out.absolute()
    if out.parent.resolve() == options.submissions.resolve():
        raise ValueError(f"{out}: keep the marks out of the folder of submissions, such as in grades/{out.name}")
    limits = Limits(
        question_s=options.seconds, total_s=30 + options.seconds * len(exercise.questions), memory_mb=options.memory
    )
    state = out.parent / ".graded" / f"{out.stem}-{exercise.name}"
    grader = Grader(exercise, state, limits, not options.no_sandbox, options.fresh, show_progress)
    try:
        graded = grader.grade(options.submissions, options.scheduler, options.workers)
    except KeyboardInterrupt:
        print("stopped; what is graded is kept, the same command goes on from here", file=sys.stderr)
        return 130
    url = options.gradebook or f"sqlite:///{out.parent / 'gradebook.db'}"
    write_gradebook(graded, exercise, root, url)
    write_autograded(graded, exercise, root, out.parent / "autograded")
    manual = read_manual(exercise, url)
    results = [entry.result for entry in graded]
    for result in results:
        for question in result.questions:
            if question.status == "pending" and (result.student, question.ident) in manual:
                question.points, question.status = manual[result.student, question.ident], "marked"
    if options.feedback:
        write_feedback(results, exercise, options.feedback)
    totals = out.with_name(f"{out.stem}-totals{out.suffix}")
    write_whole(totals, totals_csv(results))
    write_whole(out, marks_csv(results))
    shown = re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)
    print(f"{len(results)} submissions: marks in {out}, totals in {totals}, gradebook {shown}")
    if pending := sum(r.pending > 0 for r in results):
        print(
            f"{pending} have written answers to read: mark them in nbgrader's formgrader in {out.parent}, then run this again"
        )
    failed = [entry.result.student for entry in graded if entry.failed]
    if failed:
        print(f"not graded, run this again: {', '.join(failed[:10])}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aistack", description="Sand to Tokens: release and grade the exercises.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    release = commands.add_parser("release", help="make the students' notebooks from the sources")
    release.add_argument("names", nargs="*", metavar="EXERCISE", help="such as 02-fabrication; all if none is named")
    release.add_argument(
        "--check", action="store_true", help="write nothing; fail if a released notebook is out of date"
    )
    release.set_defaults(run=_release)
    grade = commands.add_parser("grade", help="grade a folder of submissions")
    grade.add_argument("exercise", metavar="EXERCISE", help="such as 02-fabrication")
    grade.add_argument(
        "submissions", metavar="SUBMISSIONS", type=Path, help="folder of STUDENT/EXERCISE/x.ipynb or STUDENT.ipynb"
    )
    grade.add_argument("--out", metavar="CSV", type=Path, required=True, help="marks by question; totals go beside it")
    grade.add_argument("--feedback", metavar="DIR", type=Path, help="write a page for each student")
    grade.add_argument(
        "--gradebook", metavar="URL", help="nbgrader's database; a gradebook.db beside the marks by default"
    )
    grade.add_argument("--scheduler", metavar="URL", help="a Dask scheduler such as tcp://host:8786; local by default")
    grade.add_argument("--workers", metavar="N", type=_count, help="submissions at a time on this machine")
    grade.add_argument("--seconds", metavar="S", type=float, default=10.0, help="for a question (default: 10)")
    grade.add_argument("--memory", metavar="MB", type=_count, default=2048, help="for a submission (default: 2048)")
    grade.add_argument("--fresh", action="store_true", help="take over nothing from an earlier run")
    grade.add_argument(
        "--no-sandbox", action="store_true", help="run students' code with your files and network in its reach"
    )
    grade.set_defaults(run=_grade)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1, not {text!r}")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors that a person can mend are one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"aistack {options.command}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"aistack {options.command}: {error.name} is missing; pip install 'aistack[grading]'", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
