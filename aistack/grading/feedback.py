"""Feedback pages: for each student one page of plain HTML, with nothing of the hidden tests but their public line."""

from html import escape
from pathlib import Path

from aistack.grading.exercise import Exercise
from aistack.grading.judge import QuestionResult, Result
from aistack.grading.release import write_whole

__all__ = ["feedback_page", "write_feedback"]

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f23; background: #fff; }
pre { background: #f3f4f6; padding: .75rem; overflow-x: auto; white-space: pre-wrap; }
h2 { margin-top: 2.5rem; border-top: 1px solid #c9ced4; padding-top: 1rem; }
li { margin: .4rem 0; } .message { display: block; margin-left: 1rem; }
@media (prefers-color-scheme: dark) { body { color: #e6e8ea; background: #16191d; } pre { background: #22262b; } }
"""

_STATUS = {
    "full": "all right",
    "part": "partly right",
    "none": "not yet right",
    "untouched": "not answered",
    "missing": "no answer cell",
    "pending": "will be read by a person",
    "marked": "read by a person",
}


def _check(check) -> str:
    sign = "passed" if check.points else "not passed"
    message = f'<span class="message">{escape(check.message)}</span>' if check.message and not check.hidden else ""
    return f"<li>{escape(check.says)}: <b>{sign}</b> ({check.points:g} of {check.max_points:g}){message}</li>"


def _question(question: QuestionResult) -> str:
    points = "–" if question.points is None else f"{question.points:g}"
    parts = [
        f"<h2>{escape(question.title)}</h2>",
        f"<p><b>{points} of {question.max_points:g} points</b>, {_STATUS[question.status]} "
        f"(<code>{escape(question.ident)}</code>)</p>",
    ]
    if question.error:
        parts.append(f"<p>Your cell stopped with an error:</p><pre>{escape(question.error)}</pre>")
        if "NameError" in question.error:
            parts.append("<p>Only answer cells are run: what they need has to stand in them.</p>")
    if question.checks and question.status not in ("untouched", "missing"):
        parts.append("<ul>" + "".join(_check(check) for check in question.checks) + "</ul>")
    if question.answer and question.status != "untouched":
        parts.append(f"<details><summary>Your answer</summary><pre>{escape(question.answer[:20_000])}</pre></details>")
    return "".join(parts)


def feedback_page(result: Result, exercise: Exercise) -> str:
    """Return the page of one student.

    Parameters
    ----------
    result : Result
        What the judge said.
    exercise : Exercise
        For its title.

    Returns
    -------
    str
        HTML that loads nothing and runs nothing.
    """
    total = sum(q.max_points for q in result.questions)
    pending = f"; {result.pending:g} more points wait for a person" if result.pending else ""
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in result.remarks)
    output = f"<h2>Printed by your cells</h2><pre>{escape(result.output[:20_000])}</pre>" if result.output else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(exercise.title)}: {escape(result.student)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(exercise.title)}</h1><p>{escape(result.student)}: <b>{result.points:g} of {total:g} points</b>{pending}.</p>"
        + (f"<ul>{remarks}</ul>" if remarks else "")
        + "".join(_question(question) for question in result.questions)
        + output
        + "</main></body></html>\n"
    )


def write_feedback(results: list[Result], exercise: Exercise, folder: Path) -> None:
    """Write ``STUDENT/ASSIGNMENT/ASSIGNMENT.html`` under a folder, where nbgrader looks for feedback."""
    for result in results:
        path = Path(folder) / result.student / exercise.name / f"{exercise.name}.html"
        write_whole(path, feedback_page(result, exercise).encode("utf-8", errors="replace"))
