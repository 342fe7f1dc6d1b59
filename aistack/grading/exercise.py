"""Read an exercise's source notebook: the questions, their tests, the solutions and the wrong answers kept beside them."""

import ast
import difflib
import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

__all__ = [
    "Check",
    "Exercise",
    "ExerciseError",
    "Question",
    "Wrong",
    "exercise_names",
    "find_exercise",
    "read_exercise",
]

BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"


class ExerciseError(ValueError):
    """A source notebook that breaks the format; the message names the cell and the way out."""


@dataclass(frozen=True)
class Check:
    """One test cell: its points are given together or not at all."""

    grade_id: str
    points: float
    code: str
    hidden: bool
    says: str


@dataclass(frozen=True)
class Wrong:
    """A plausible wrong answer, and what is wrong with it."""

    why: str
    code: str


@dataclass(frozen=True)
class Question:
    """One question: a cell that defines one name and the test cells for it, or a written answer."""

    ident: str
    title: str
    solution: str
    starter: str
    written_points: float | None = None
    checks: tuple[Check, ...] = ()
    wrong: tuple[Wrong, ...] = ()
    rubric: str = ""

    @property
    def defines(self) -> str:
        """The name that the answer has to define."""
        return self.ident.replace("-", "_")

    @property
    def written(self) -> bool:
        """Whether a person marks it."""
        return self.written_points is not None

    @property
    def points(self) -> float:
        """Points to be had."""
        return self.written_points if self.written else sum(check.points for check in self.checks)


@dataclass(frozen=True)
class Exercise:
    """An exercise as its source notebook has it."""

    name: str
    title: str
    path: Path
    minutes: str
    setup: str
    questions: tuple[Question, ...]
    notebook: dict = field(repr=False, compare=False, default_factory=dict)

    @property
    def points(self) -> float:
        """Points to be had."""
        return sum(question.points for question in self.questions)


def exercise_names(root: Path) -> list[str]:
    """Return the names of the exercises under ``exercises/source`` of the course's folder `root`."""
    return sorted(path.parent.name for path in root.glob("exercises/source/*/*.ipynb") if path.stem == path.parent.name)


def find_exercise(name: str, root: Path) -> Path:
    """Return the source notebook of an exercise.

    Raises
    ------
    ExerciseError
        If there is none of that name; the nearest one is named.
    """
    path = root / "exercises" / "source" / name / f"{name}.ipynb"
    if re.fullmatch(r"[\w-]+", name) and path.is_file():
        return path
    names = exercise_names(root)
    near = difflib.get_close_matches(name, names, 1) or [n for n in names if name and name in n][:1]
    hint = (
        f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none here: run this in the course'}"
    )
    raise ExerciseError(f"no exercise {name!r}; {hint}")


def starter_of(source: str, written: bool = False) -> str:
    """Return what the students get in the place of a solution cell's source."""
    stub = ["YOUR ANSWER HERE"] if written else ["# YOUR CODE HERE", "raise NotImplementedError()"]
    kept, inside = [], False
    for line in source.split("\n"):
        if "BEGIN SOLUTION" in line:
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + part for part in stub]
            inside = True
        elif "END SOLUTION" in line:
            inside = False
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def _names_defined(code: str) -> set[str]:
    names = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


def _comment(code: str) -> str:
    """The comment lines that begin a cell, as a sentence."""
    lines = []
    for line in code.split("\n"):
        if not line.startswith("#") or line.startswith("###"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return " ".join(lines)


class _Reader:
    """Goes through the cells once and collects the questions."""

    def __init__(self, path: Path, cells: list):
        self.path, self.cells = path, cells
        self.questions: list[dict] = []
        self.setup: list[str] = []
        self.ids: set[str] = set()
        self.title = ""

    def fail(self, where: str, what: str):
        raise ExerciseError(f"{self.path.name}, {where}: {what}")

    def read(self) -> tuple[Question, ...]:
        for number, cell in enumerate(self.cells):
            text = "".join(cell.get("source", ""))
            tags = cell["metadata"].get("tags", [])
            meta = cell["metadata"].get("nbgrader")
            if cell["cell_type"] == "markdown" and (heads := re.findall(r"^## +(.+)$", text, re.M)):
                self.title = heads[-1].strip()
            if meta:
                self._graded(number, cell, text, meta)
            elif "BEGIN SOLUTION" in text or "BEGIN HIDDEN TESTS" in text:
                self.fail(
                    f"cell {number}", "a solution or hidden test without nbgrader metadata; see exercises/README.md"
                )
            elif "setup" in tags:
                self.setup.append(text)
            elif cell["cell_type"] == "raw":
                self._aside(number, text, tags)
        for question in self.questions:
            self._whole(question)
        return tuple(Question(**q) for q in self.questions)

    def _graded(self, number, cell, text, meta):
        ident = meta.get("grade_id", "")
        missing = {"grade", "solution", "locked", "schema_version", "grade_id"} - meta.keys()
        if missing:
            self.fail(f"cell {number} {ident!r}", f"nbgrader metadata lacks {', '.join(sorted(missing))}")
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", ident):
            self.fail(
                f"cell {number}", f"grade_id {ident!r} must be lower case words joined by hyphens, such as edge-loss"
            )
        if ident in self.ids:
            self.fail(f"cell {number}", f"grade_id {ident!r} occurs twice; give each cell its own")
        self.ids.add(ident)
        if meta["solution"]:
            if "BEGIN SOLUTION" not in text or "END SOLUTION" not in text:
                self.fail(ident, f"put the solution between {BEGIN_SOLUTION} and {END_SOLUTION}")
            written = cell["cell_type"] == "markdown"
            if written and not (meta["grade"] and meta.get("points")):
                self.fail(ident, 'a written question needs "grade": true and its points')
            self.questions.append({
                "ident": ident, "title": self.title or ident, "solution": text, "starter": starter_of(text, written),
                "written_points": float(meta["points"]) if written else None,
                "checks": (), "wrong": (), "rubric": "",
            })  # fmt: skip
        elif meta["grade"]:
            self._check(cell, ident, text, meta)

    def _check(self, cell, ident, text, meta):
        question = self.questions[-1] if self.questions else None
        if question is None or not ident.startswith(question["ident"] + "-"):
            self.fail(ident, "a test cell follows the solution cell it tests; its grade_id begins with that one's")
        if cell["cell_type"] != "code" or not meta["locked"] or not float(meta.get("points", 0)) > 0:
            self.fail(ident, 'a test cell is a code cell with "locked": true and points above 0')
        hidden = "BEGIN HIDDEN TESTS" in text
        if hidden:
            outside, inside = text.split(BEGIN_HIDDEN, 1)
            inside, after = inside.split(END_HIDDEN, 1) if END_HIDDEN in inside else (inside, None)
            if after is None:
                self.fail(ident, f"{END_HIDDEN} is missing")
            if [n for n in ast.parse(outside + after).body if not isinstance(n, ast.Pass)]:
                self.fail(ident, "a hidden test cell holds nothing but a comment outside the hidden block")
        says = _comment(text)
        if not says:
            self.fail(ident, "begin a test cell with a comment that says what it checks; the feedback shows it")
        check = Check(ident, float(meta["points"]), text, hidden, says)
        question["checks"] += (check,)

    def _aside(self, number, text, tags):
        if not {"wrong", "rubric"} & set(tags):
            self.fail(f"cell {number}", "a raw cell is tagged wrong (a wrong answer) or rubric")
        if not self.questions:
            self.fail(f"cell {number}", "a wrong answer or rubric follows its solution cell")
        if "rubric" in tags:
            self.questions[-1]["rubric"] = text
            return
        if not _comment(text):
            self.fail(f"cell {number}", "a wrong answer begins with a comment that says what is wrong")
        self.questions[-1]["wrong"] += (Wrong(_comment(text), text),)

    def _whole(self, q):
        if q["written_points"] is not None:
            if not q["rubric"].strip():
                self.fail(q["ident"], "a written question needs a raw cell tagged rubric after it")
            return
        name = q["ident"].replace("-", "_")
        if name not in _names_defined(q["solution"]):
            self.fail(q["ident"], f"the solution must define {name}, as its grade_id says")
        if {check.hidden for check in q["checks"]} != {True, False}:
            self.fail(q["ident"], "needs at least one visible and one hidden test cell")
        if not q["wrong"]:
            self.fail(q["ident"], "needs at least one raw cell tagged wrong: a plausible answer that must lose points")
        for others in (o for o in self.questions if o is not q and o["written_points"] is None):
            other = others["ident"].replace("-", "_")
            if other in {n.id for n in ast.walk(ast.parse(q["solution"])) if isinstance(n, ast.Name)}:
                self.fail(q["ident"], f"its solution uses {other}; no answer may depend on another question's")


def read_exercise(path: Path) -> Exercise:
    """Read and check a source notebook.

    Parameters
    ----------
    path : Path
        ``exercises/source/NN-slug/NN-slug.ipynb``.

    Returns
    -------
    Exercise
        Its questions in order.

    Raises
    ------
    ExerciseError
        If it breaks the format that ``exercises/README.md`` describes.
    """
    path = Path(path)
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        raise ExerciseError(f"{path}: no such notebook") from None
    return _read(path, stamp)


@lru_cache(maxsize=32)
def _read(path: Path, _stamp: int) -> Exercise:
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = notebook["cells"]
    except (ValueError, KeyError, TypeError):
        raise ExerciseError(f"{path}: not a notebook") from None
    first = "".join(cells[0]["source"]) if cells else ""
    title = re.search(r"^# +(.+)$", first, re.M)
    minutes = re.search(r"\d+ (?:to \d+ )?minutes", first)
    if not title or not minutes:
        raise ExerciseError(f"{path.name}: the first cell has a '# Title' and the time it takes, such as '90 minutes'")
    reader = _Reader(path, cells)
    try:
        questions = reader.read()
    except SyntaxError as error:
        raise ExerciseError(f"{path.name}: a cell is no Python: {error}") from None
    if not 5 <= len(questions) <= 8:
        raise ExerciseError(f"{path.name}: has {len(questions)} questions; an exercise has 5 to 8")
    return Exercise(path.stem, title[1].strip(), path, minutes[0], "\n".join(reader.setup), questions, notebook)
