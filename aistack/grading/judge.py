"""Judge one submission: the source's tests run here, the student's functions in the sandbox."""

import hashlib
from dataclasses import asdict, dataclass, field
from functools import lru_cache

from aistack.grading.exercise import Check, Exercise, Question
from aistack.grading.sandbox import Gone, Limits, Session
from aistack.grading.submission import Submission, Unreadable, read_submission

__all__ = [
    "CheckResult",
    "QuestionResult",
    "Result",
    "judge",
    "judge_answers",
    "run_check",
    "setup_space",
    "unreadable",
]


@dataclass
class CheckResult:
    """One test cell: its points, and what a student may read about it."""

    grade_id: str
    points: float
    max_points: float
    hidden: bool
    says: str
    message: str = ""


@dataclass
class QuestionResult:
    """One question: points, and why."""

    ident: str
    title: str
    max_points: float
    status: str
    """``full``, ``part``, ``none``, ``untouched``, ``missing``, or for written questions ``pending``, ``untouched``, ``missing``."""
    points: float | None = None
    checks: list[CheckResult] = field(default_factory=list)
    error: str = ""
    answer: str = ""


@dataclass
class Result:
    """A submission, judged."""

    student: str
    assignment: str
    questions: list[QuestionResult]
    remarks: list[str] = field(default_factory=list)
    output: str = ""
    unreadable: str = ""
    digest: str = ""

    @property
    def points(self) -> float:
        """Points so far, without what is pending."""
        return sum(q.points or 0 for q in self.questions)

    @property
    def pending(self) -> float:
        """Points that a person still has to give or not."""
        return sum(q.max_points for q in self.questions if q.status == "pending")

    def as_dict(self) -> dict:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> "Result":
        """Return what :meth:`as_dict` was made from."""
        questions = [
            QuestionResult(**{**q, "checks": [CheckResult(**c) for c in q["checks"]]}) for q in data["questions"]
        ]
        return cls(**{**data, "questions": questions})


@lru_cache(maxsize=32)
def setup_space(setup: str) -> dict:
    """What the setup cell defines, in this process; the setup comes from the source and is trusted."""
    space = {"__name__": "judge"}
    exec(compile(setup, "<setup>", "exec"), space)
    return space


def run_check(check: Check, question: Question, session: Session, setup: str) -> CheckResult:
    """Run a test cell of the source, with the answer's name standing for the student's."""
    result = CheckResult(check.grade_id, 0.0, check.points, check.hidden, check.says)
    try:
        space = dict(setup_space(setup))
        space[question.defines] = session.look(question.ident, question.defines)
        exec(compile(check.code, f"<{check.grade_id}>", "exec"), space)
    except Gone as gone:
        result.message = f"your code {gone}"
    except AssertionError as error:
        result.message = str(error)[:1000]
    except Exception as error:
        result.message = f"{type(error).__name__}: {error}"[:2000]
    else:
        result.points = check.points
    if check.hidden:  # what it says could tell what was asked
        result.message = ""
    return result


def _same(one: str, other: str) -> bool:
    return one.split() == other.split()


def judge_answers(exercise: Exercise, answers: dict[str, str], limits=None, guarded=True) -> tuple[dict, dict, str]:
    """Run answers and the tests for them.

    Parameters
    ----------
    exercise : Exercise
        The source; its tests and nothing else decide.
    answers : dict of str
        Code by question.
    limits : Limits, optional
        What they may use.
    guarded : bool
        In the sandbox. Without it the limits hold but files can be read.

    Returns
    -------
    tuple of dict, dict and str
        Check results by question, errors of the cells by question, and what the cells printed.
    """
    asked = [q for q in exercise.questions if not q.written and q.ident in answers]
    results: dict[str, list[CheckResult]] = {q.ident: [] for q in asked}
    if not asked:
        return results, {}, ""
    cells = {q.ident: answers[q.ident] for q in asked}
    with Session(exercise.setup, cells, limits or Limits(), guarded) as session:
        for hidden in (
            False,
            True,
        ):  # all visible tests come first: what they say was said before anything hidden was asked
            for question in asked:
                for check in question.checks:
                    if check.hidden is hidden:
                        done = run_check(check, question, session, exercise.setup)
                        results[question.ident].append(done)
    order = {c.grade_id: at for q in asked for at, c in enumerate(q.checks)}
    for checks in results.values():
        checks.sort(key=lambda c: order[c.grade_id])
    return results, dict(session.errors), session.output


def _none_of(question: Question, status: str, answer: str = "") -> QuestionResult:
    checks = [CheckResult(c.grade_id, 0.0, c.points, c.hidden, c.says) for c in question.checks]
    return QuestionResult(question.ident, question.title, question.points, status, 0.0, checks, "", answer)


def judge(exercise: Exercise, student: str, content: bytes, limits=None, guarded=True) -> Result:
    """Judge the bytes that a student handed in.

    Parameters
    ----------
    exercise : Exercise
        The source.
    student : str
        Name.
    content : bytes
        The notebook, or whatever it is.
    limits, guarded :
        As in :func:`judge_answers`.

    Returns
    -------
    Result
        Marks, messages and remarks; a submission that cannot be read has no points and says why.
    """
    digest = hashlib.sha256(content).hexdigest()
    try:
        submission = read_submission(content, exercise)
    except Unreadable as error:
        return unreadable(exercise, student, str(error), digest)
    changed = {
        q.ident: submission.answers[q.ident]
        for q in exercise.questions
        if q.ident in submission.answers and not _same(submission.answers[q.ident], q.starter)
    }
    checks, errors, output = judge_answers(exercise, changed, limits, guarded)
    questions = [_of_question(q, submission, changed, checks, errors) for q in exercise.questions]
    return Result(student, exercise.name, questions, submission.remarks, output, digest=digest)


def _of_question(question: Question, submission: Submission, changed, checks, errors) -> QuestionResult:
    ident = question.ident
    if ident not in submission.answers:
        return _none_of(question, "missing")
    answer = submission.answers[ident]
    if ident not in changed or not answer.strip():
        return _none_of(question, "untouched", answer)
    if question.written:
        return QuestionResult(ident, question.title, question.points, "pending", None, [], "", answer)
    points = sum(c.points for c in checks[ident])
    status = "full" if points == question.points else "part" if points else "none"
    return QuestionResult(
        ident, question.title, question.points, status, points, checks[ident], errors.get(ident, ""), answer
    )


def unreadable(exercise: Exercise, student: str, reason: str, digest: str = "") -> Result:
    """Return the result of a submission that nothing can be graded of."""
    questions = [_none_of(q, "missing") for q in exercise.questions]
    return Result(student, exercise.name, questions, [reason], unreadable=reason, digest=digest)
