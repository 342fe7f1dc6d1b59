"""Measure grading: submissions a minute, against plain ``nbgrader autograde``; ``python tests/bench_grading.py`` prints a table."""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aistack.grading.exercise import read_exercise
from aistack.grading.release import prepared_cells, release_text

ROOT = Path(__file__).resolve().parent.parent
NAME = "02-fabrication"


def submissions(count, folder):
    """Write `count` submissions to ``submitted``: mostly right, some wrong answers, some left open."""
    exercise = read_exercise(ROOT / "exercises" / "source" / NAME / f"{NAME}.ipynb")
    released = release_text(exercise, ROOT)
    choose = random.Random(1)
    for number in range(count):
        notebook = json.loads(released)
        for cell in notebook["cells"]:
            ident = cell["metadata"].get("nbgrader", {}).get("grade_id")
            question = next((q for q in exercise.questions if q.ident == ident), None)
            if question:
                answers = [question.solution] * 4 + [w.code for w in question.wrong] + [question.starter]
                cell["source"] = choose.choice(answers) + f"\n# {number}"
        path = folder / "submitted" / f"student{number:04d}" / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook))
    return exercise


def ours(folder):
    """Seconds of ``aistack grade`` with feedback and gradebook, imports included."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "aistack.cli",
        "grade",
        NAME,
        str(folder / "submitted"),
        "--out",
        str(folder / "marks.csv"),
    ]
    began = time.perf_counter()
    subprocess.run(
        [*command, "--feedback", str(folder / "pages")], cwd=ROOT, env=environment, check=True, capture_output=True
    )
    return time.perf_counter() - began


def plain(folder, exercise, count):
    """Seconds of ``nbgrader autograde`` for the first `count`, one after the other as it does them, imports included."""
    import nbformat

    course = folder / "course"
    source = course / "source" / NAME / f"{NAME}.ipynb"
    source.parent.mkdir(parents=True)
    nbformat.write(prepared_cells(exercise, ROOT), source)
    (course / "submitted").mkdir()
    for path in sorted((folder / "submitted").iterdir())[:count]:
        path.rename(course / "submitted" / path.name)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    nbgrader = [sys.executable, "-m", "nbgrader"]
    subprocess.run(
        [*nbgrader, "generate_assignment", NAME, "--force"],
        cwd=course,
        env=environment,
        check=True,
        capture_output=True,
    )
    began = time.perf_counter()
    subprocess.run([*nbgrader, "autograde", NAME], cwd=course, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def grading_rows(count=200, sample=6):
    """Rows of the table: tool, submissions, seconds, submissions a minute."""
    with tempfile.TemporaryDirectory(prefix="aistack-bench-") as place:
        folder = Path(place)
        exercise = submissions(count, folder)
        seconds = ours(folder)
        rate = 60 * count / seconds
        yield ["aistack grade, sandboxed", count, f"{seconds:.1f}", f"{rate:.0f}"]
        if sample:
            seconds = plain(folder, exercise, sample)
            yield ["nbgrader autograde, open (a sample)", sample, f"{seconds:.1f}", f"{60 * sample / seconds:.0f}"]
            yield ["ratio", "", "", f"{rate * seconds / 60 / sample:.1f}"]


HEAD = ["tool", "submissions", "seconds", "submissions a minute"]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="submissions that aistack grades")
    parser.add_argument("--sample", type=int, default=6, help="of these, how many nbgrader grades; 0 for none")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.platform()}\n")
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    for row in grading_rows(options.count, options.sample):
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
