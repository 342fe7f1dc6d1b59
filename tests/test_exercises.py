"""The exercises: one source each, and for every question full marks for the solution, none for the starter, fewer for a wrong answer."""

import contextlib
import copy
import json
import re
from pathlib import Path

import pytest

from aistack.exercises import close, raises
from aistack.grading import plain
from aistack.grading.exercise import ExerciseError, exercise_names, read_exercise
from aistack.grading.judge import judge_answers, run_check, setup_space
from aistack.grading.release import release_text

ROOT = Path(__file__).resolve().parent.parent
NAMES = exercise_names(ROOT)
each_exercise = pytest.mark.parametrize("name", NAMES)


def source_of(name):
    return read_exercise(ROOT / "exercises" / "source" / name / f"{name}.ipynb")


class Here:
    """An answer run in this process instead of a sandbox: quicker, and this repository's own answers need none."""

    def __init__(self, exercise, code):
        self.space = dict(setup_space(exercise.setup))
        with contextlib.suppress(Exception):  # an answer may fail; then its name is missing, as in the sandbox
            exec(compile(code, "<answer>", "exec"), self.space)

    def look(self, question, name):
        value = self.space[name]
        if not callable(value):
            return crossed(value)
        return lambda *args, **kwargs: crossed(value(*crossed(args), **crossed(kwargs)))


def crossed(value):
    return plain.decode(plain.read(plain.write({"value": plain.encode(value)}))["value"])


def points(exercise, question, code):
    """Points that an answer gets."""
    here = Here(exercise, code)
    return sum(run_check(check, question, here, exercise.setup).points for check in question.checks)


@each_exercise
def test_release_is_what_the_source_gives(name):
    path = ROOT / "exercises" / "release" / name / f"{name}.ipynb"
    assert path.is_file() and path.read_bytes() == release_text(source_of(name), ROOT), "run: make release"


@each_exercise
def test_release_gives_nothing_away(name):
    exercise = source_of(name)
    text = release_text(exercise, ROOT).decode()
    cells = json.loads(text)["cells"]
    shown = "\n".join("".join(cell["source"]) for cell in cells)
    assert not re.search("BEGIN (SOLUTION|HIDDEN)", shown) and not [c for c in cells if c.get("outputs")]
    assert {cell["cell_type"] for cell in cells} <= {"markdown", "code"}
    tags = [set(cell["metadata"].get("tags", [])) for cell in cells]
    assert "bootstrap" in tags[1] and not set().union(*tags) & {"wrong", "rubric"}
    for question in exercise.questions:
        assert question.starter in shown
        kept = set(question.starter.split("\n"))
        for line in question.solution.split("\n"):
            if line not in kept and len(line.strip()) > 25:
                assert line not in shown, f"{question.ident}: {line!r} is in the release"
        for check in (c for c in question.checks if c.hidden):
            assert check.code.split("### BEGIN HIDDEN TESTS")[1].strip() not in shown


@each_exercise
def test_exercise_is_of_the_agreed_size(name):
    exercise = source_of(name)
    assert 18 <= exercise.points <= 22, f"{exercise.points} points"
    low, *_, high = (*re.findall(r"\d+", exercise.minutes), *re.findall(r"\d+", exercise.minutes))
    assert 45 <= int(low) <= int(high) <= 120, exercise.minutes
    assert sum(q.written for q in exercise.questions) >= 1
    assert f"{exercise.points:g} points" in "".join(exercise.notebook["cells"][0]["source"])


@each_exercise
def test_prompts_state_points(name):
    exercise = source_of(name)
    prompts = {
        c["metadata"].get("nbgrader", {}).get("grade_id"): "".join(c["source"]) for c in exercise.notebook["cells"]
    }
    for number, question in enumerate(exercise.questions, 1):
        prompt = prompts.get(f"{question.ident}-prompt", "")
        unit = "point" if question.points == 1 else "points"
        assert f"**{number} ({question.points:g} {unit}).**" in prompt, (
            f"{question.ident}: its prompt lacks its number and points"
        )


@each_exercise
def test_visible_tests_have_messages(name):
    import ast

    for question in source_of(name).questions:
        for check in (c for c in question.checks if not c.hidden):
            for node in ast.walk(ast.parse(check.code)):
                assert not isinstance(node, ast.Assert) or node.msg, f"{check.grade_id}: an assert without a message"


@each_exercise
def test_solution_gets_full_marks(name):
    exercise = source_of(name)
    answers = {q.ident: q.solution for q in exercise.questions if not q.written}
    results, errors, _ = judge_answers(exercise, answers, guarded=False)
    assert not errors
    got = {ident: sum(check.points for check in checks) for ident, checks in results.items()}
    for question in (q for q in exercise.questions if not q.written):
        messages = [c.message or c.grade_id for c in results[question.ident] if not c.points]
        assert got[question.ident] == question.points, f"{question.ident}: {messages}"


@each_exercise
def test_starter_gets_nothing(name):
    exercise = source_of(name)
    for question in (q for q in exercise.questions if not q.written):
        assert points(exercise, question, question.starter) == 0, question.ident


@each_exercise
def test_wrong_answers_lose_points(name):
    exercise = source_of(name)
    convincing = 0
    for question in exercise.questions:
        for wrong in question.wrong:
            got = points(exercise, question, wrong.code)
            assert got < question.points, f"{question.ident}: an answer that {wrong.why} gets full marks"
            convincing += got > 0
    assert convincing, "no wrong answer passes any visible test; the hidden ones prove nothing"


@each_exercise
def test_source_runs_from_top_to_bottom(name):
    space = {"__name__": "__main__", "display": lambda *args, **kwargs: None}
    for number, cell in enumerate(source_of(name).notebook["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"<{name}, cell {number}>", "exec"), space)


def tagged(cells, ident):
    """The cell with this grade_id."""
    return next(c for c in cells if c["metadata"].get("nbgrader", {}).get("grade_id") == ident)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda cells: tagged(cells, "widest-node")["metadata"]["nbgrader"].pop("locked"), "lacks locked"),
        (lambda cells: tagged(cells, "widest-node")["metadata"]["nbgrader"].update(grade_id="A_b"), "lower case words"),
        (lambda cells: tagged(cells, "widest-node").update(source=["widest_node = 1"]), "BEGIN SOLUTION"),
        (
            lambda cells: tagged(cells, "widest-node").update(source=["### BEGIN SOLUTION\nx = 1\n### END SOLUTION"]),
            "must define widest_node",
        ),
        (
            lambda cells: tagged(cells, "cost-band").update(
                source=["### BEGIN SOLUTION\ncost_band = widest_node\n### END SOLUTION"]
            ),
            "no answer may depend",
        ),
        (lambda cells: [c["metadata"].update(tags=[]) for c in cells if c["cell_type"] == "raw"], "tagged wrong"),
        (lambda cells: tagged(cells, "widest-node-form").update(source=["assert widest_node"]), "begin a test cell"),
        (lambda cells: tagged(cells, "widest-node-form")["metadata"]["nbgrader"].update(points=0), "points above 0"),
        (lambda cells: tagged(cells, "widest-node-hidden").update(source=["# a\n### BEGIN HIDDEN TESTS\n"]), "END HIDDEN"),
        (lambda cells: cells.remove(tagged(cells, "widest-node-hidden")), "one hidden test cell"),
        (lambda cells: cells[0].update(source=["# Title"]), "the time it takes"),
    ],
)  # fmt: skip
def test_broken_source_is_refused_with_the_way_out(damage, message, tmp_path):
    notebook = copy.deepcopy(source_of("02-fabrication").notebook)
    damage(notebook["cells"])
    path = tmp_path / "02-fabrication.ipynb"
    path.write_text(json.dumps(notebook))
    with pytest.raises(ExerciseError, match=message):
        read_exercise(path)


def test_helpers_never_raise():
    class Odd:
        __array__ = __float__ = None

    assert not any(close(v, 1.0) for v in (None, "1", [1, 2], {}, Odd(), float("nan"), 10**400, True, 1j))
    assert close([1, 2], [1, 2]) and not raises(ValueError, lambda: 1 / 0) and raises(ArithmeticError, lambda: 1 / 0)
