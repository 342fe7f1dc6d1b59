"""Find the submissions in a folder and read them: of a student's notebook, the answer cells by their grade_id, nothing else."""

import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from aistack.grading.exercise import Exercise

__all__ = ["MAX_BYTES", "Found", "Submission", "Unreadable", "find_submissions", "read_bytes", "read_submission"]

MAX_BYTES = 10 << 20
"""Size of the largest notebook that is read."""


class Unreadable(ValueError):
    """A submission of which nothing can be graded; the message says why."""


@dataclass(frozen=True)
class Found:
    """A student, and the notebook that was found for them."""

    student: str
    path: Path | None
    remark: str = ""


@dataclass
class Submission:
    """The answers in one notebook, and what was odd about it."""

    answers: dict[str, str]
    remarks: list[str] = field(default_factory=list)


def _regular(path: Path) -> bool:
    """Whether a file is one, and no link to something else."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _readable(name: str) -> str:
    """A file's name as text that every table and database takes."""
    return "".join(c if c.isprintable() else "?" for c in os.fsencode(name).decode("utf-8", "backslashreplace"))


def _notebook_in(folder: Path, assignment: str) -> tuple[Path | None, str]:
    inner = folder / assignment
    if inner.is_dir() and not inner.is_symlink():
        folder = inner
    found = sorted(p for p in folder.iterdir() if p.suffix == ".ipynb" and not p.name.startswith("."))
    named = [p for p in found if p.stem == assignment]
    if not found:
        return None, f"no notebook in {folder.name}/"
    chosen = (named or found)[0]
    ignored = f"{len(found)} notebooks; {chosen.name} is graded" if len(found) > 1 else ""
    return chosen, ignored


def find_submissions(folder: Path, assignment: str) -> list[Found]:
    """Return one entry for each student under a folder.

    Parameters
    ----------
    folder : Path
        Holds ``STUDENT/ASSIGNMENT/x.ipynb`` as nbgrader's ``submitted`` does, ``STUDENT/x.ipynb``, or ``STUDENT.ipynb``.
    assignment : str
        Name of the exercise.

    Returns
    -------
    list of Found
        Sorted by student. Links are not followed.

    Raises
    ------
    ValueError
        If the folder is none, or holds nothing of this kind, or two for one student.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of submissions")
    found: dict[str, Found] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            student = _readable(path.name)
            entry = Found(student, *_notebook_in(path, assignment))
        elif path.suffix == ".ipynb":
            student = _readable(path.stem)
            entry = Found(student, path)
        else:
            continue
        if student in found:
            raise ValueError(f"{folder}: both a folder and a notebook for {student!r}; keep one")
        found[student] = entry
    if not found:
        raise ValueError(f"{folder}: holds neither STUDENT/{assignment}/x.ipynb nor STUDENT.ipynb")
    return list(found.values())


def read_bytes(path: Path | None) -> bytes:
    """Return the bytes of a submitted file; Unreadable if there is none, it is a link, or it is too large."""
    if path is None:
        raise Unreadable("no notebook was handed in")
    if path.is_symlink():
        raise Unreadable("a link to another file, which is not followed")
    if not _regular(path):
        raise Unreadable("no regular file")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise Unreadable(f"larger than {MAX_BYTES >> 20} MB; clear the outputs and hand it in again")
    return content


def _parsed(content: bytes) -> dict:
    if not content.strip():
        raise Unreadable("an empty file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8 text; notebooks are") from None
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("not a notebook: it is no JSON") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise Unreadable("not a notebook: it has no cells (format 4 is needed)")
    return notebook


def _source(cell: dict) -> str | None:
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    return source if isinstance(source, str) else None


def _kernel(notebook: dict) -> str:
    metadata = notebook.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    language = spec.get("language", "python") if isinstance(spec, dict) else "python"
    return language if isinstance(language, str) else "python"


def read_submission(content: bytes, exercise: Exercise) -> Submission:
    """Return the answers in the bytes of a notebook.

    Parameters
    ----------
    content : bytes
        Whatever was handed in.
    exercise : Exercise
        Says which cells are answers.

    Returns
    -------
    Submission
        Answers by question; a question whose cell is missing is not in it. Of two cells with one grade_id the first counts.

    Raises
    ------
    Unreadable
        If it is no notebook.
    """
    notebook = _parsed(content)
    wanted = {q.ident: "markdown" if q.written else "code" for q in exercise.questions}
    answers: dict[str, str] = {}
    remarks = []
    extra = 0
    for cell in notebook["cells"]:
        metadata = cell.get("metadata") if isinstance(cell, dict) else None
        tag = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        ident = tag.get("grade_id") if isinstance(tag, dict) else None
        if not isinstance(ident, str):
            extra += isinstance(cell, dict) and cell.get("cell_type") == "code" and bool((_source(cell) or "").strip())
        if not isinstance(ident, str) or ident not in wanted:
            continue
        if ident in answers:
            remarks.append(f"{ident}: the cell is there more than once; the first counts")
        elif cell.get("cell_type") != wanted[ident]:
            remarks.append(f"{ident}: the cell is no {wanted[ident]} cell any more")
        elif (source := _source(cell)) is not None:
            answers[ident] = source.encode("utf-8", errors="replace").decode("utf-8")
    remarks += [f"{ident}: the answer cell is missing or was renamed" for ident in wanted if ident not in answers]
    given = sum(1 for c in exercise.notebook["cells"] if c["cell_type"] == "code" and "nbgrader" not in c["metadata"])
    if extra > given + 1:
        remarks.append("cells were added; only answer cells are graded")
    if _kernel(notebook).lower() != "python":
        name = re.sub(r"[^\w +#.-]", "", _kernel(notebook))[:30]
        remarks.append(f"the notebook is set to {name}; answers are run as Python")
    return Submission(answers, list(dict.fromkeys(remarks)))
