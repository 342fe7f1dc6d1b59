"""Write results to nbgrader's gradebook, with the notebooks that its formgrader shows, so that its tools go on from here."""

import copy
import json
import logging
import os
import sys
from pathlib import Path

from aistack.grading.exercise import Exercise
from aistack.grading.grade import Graded
from aistack.grading.judge import Result
from aistack.grading.release import prepared_cells, released_cells, write_whole

__all__ = ["autograded_notebook", "read_manual", "write_autograded", "write_gradebook"]


def _open(url: str):
    """Open a gradebook; what SQLAlchemy or a driver dislikes becomes one line."""
    beside = str(Path(sys.executable).parent)
    if beside not in os.environ.get("PATH", "").split(os.pathsep):  # nbgrader asks alembic for its version there
        os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", "")])
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return Gradebook(url)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{url.partition('://')[0]}://: its driver {error.name} is not installed; pip install {error.name}"
        ) from None
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ValueError(f"the gradebook cannot be opened: {reason}") from None


def _register(book, url: str, exercise: Exercise, root: Path) -> None:
    """Let nbgrader's own step record the assignment and its cells."""
    from nbgrader.preprocessors import SaveCells

    book.update_or_create_assignment(exercise.name)
    step = SaveCells()
    step.log = logging.getLogger("aistack.grading.gradebook")
    names = {"notebook": exercise.name, "assignment": exercise.name, "db_url": url}
    try:
        step.preprocess(prepared_cells(exercise, root), {"nbgrader": names})
    except RuntimeError as error:
        raise ValueError(
            f"{exercise.name}: its questions have changed since they were graded in this gradebook ({error}); "
            "take another gradebook with --gradebook, or remove the assignment there"
        ) from None


def _scores(result: Result) -> dict[str, float | None]:
    """Points by graded cell; None for what a person has to mark."""
    scores: dict[str, float | None] = {}
    for question in result.questions:
        if question.checks:
            scores |= {check.grade_id: check.points for check in question.checks}
        else:
            scores[question.ident] = question.points
    return scores


def write_gradebook(graded: list[Graded], exercise: Exercise, root: Path, url: str) -> None:
    """Record results in a gradebook; marks that a person gave are left alone.

    Parameters
    ----------
    graded : list of Graded
        Results; those whose grading failed are left out.
    exercise : Exercise
        The source.
    root : Path
        The course's folder.
    url : str
        Of the database, such as ``sqlite:///gradebook.db`` or ``postgresql://host/grades``.

    Raises
    ------
    ValueError
        If the database cannot be opened, its driver is missing, or the assignment in it has other questions.
    """
    import warnings

    with _open(url) as book, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbgrader's own, about objects not yet in its session
        _register(book, url, exercise, root)
        for entry in (g for g in graded if not g.failed):
            student = entry.result.student
            book.update_or_create_student(student)
            submission = book.update_or_create_submission(exercise.name, student)
            scores = _scores(entry.result)
            for notebook in submission.notebooks:
                for grade in notebook.grades:
                    if grade.name not in scores:
                        continue
                    before = grade.auto_score
                    grade.auto_score = scores[grade.name]
                    pending = scores[grade.name] is None and grade.manual_score is None
                    overruled = grade.manual_score is not None and entry.fresh and before != grade.auto_score
                    grade.needs_manual_grade = bool(pending or overruled)
            book.db.commit()


def read_manual(exercise: Exercise, url: str) -> dict[tuple[str, str], float]:
    """Return the marks that people gave to written answers, by student and question."""
    written = {q.ident for q in exercise.questions if q.written}
    marks = {}
    with _open(url) as book:
        for submission in book.assignment_submissions(exercise.name):
            for notebook in submission.notebooks:
                for grade in notebook.grades:
                    if grade.name in written and grade.manual_score is not None and not grade.needs_manual_grade:
                        marks[submission.student_id, grade.name] = grade.manual_score + (grade.extra_credit or 0)
    return marks


def autograded_notebook(result: Result, exercise: Exercise, released) -> bytes:
    """Return the notebook that the formgrader shows: the release with the answers, the tests' verdicts and the rubrics."""
    import nbformat

    notebook = copy.deepcopy(released)
    answers = {q.ident: q for q in result.questions}
    checks = {c.grade_id: c for q in result.questions for c in q.checks}
    rubrics = {q.ident: q.rubric for q in exercise.questions if q.written}
    cells = []
    for cell in notebook.cells:
        ident = cell.metadata.get("nbgrader", {}).get("grade_id")
        if ident in answers and answers[ident].status != "missing":
            cell.source = answers[ident].answer
        if ident in checks and not checks[ident].points:
            said = checks[ident].message or "not passed"
            cell.outputs = [
                nbformat.v4.new_output(
                    "error", ename="AssertionError", evalue=said, traceback=[f"AssertionError: {said}"]
                )
            ]
        cells.append(cell)
        if ident in rubrics:
            rubric = "**Rubric**\n\n" + "\n".join(f"- {line}" for line in rubrics[ident].strip().splitlines())
            cells.append(nbformat.v4.new_markdown_cell(rubric, id=f"rubric-{ident}"[:64]))
    notebook.cells = cells
    return (json.dumps(json.loads(nbformat.writes(notebook)), indent=1, ensure_ascii=False) + "\n").encode(
        "utf-8", "replace"
    )


def write_autograded(graded: list[Graded], exercise: Exercise, root: Path, folder: Path) -> None:
    """Write ``STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb`` under a folder, nbgrader's ``autograded``."""
    released = released_cells(exercise, root)
    for entry in (g for g in graded if not g.failed):
        path = Path(folder) / entry.result.student / exercise.name / f"{exercise.name}.ipynb"
        if entry.fresh or not path.is_file():
            write_whole(path, autograded_notebook(entry.result, exercise, released))
