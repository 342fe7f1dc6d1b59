"""Make the students' notebooks from the sources, with nbgrader's own preprocessors; the same source gives the same bytes."""

import copy
import json
import logging
import os
import tempfile
from pathlib import Path

from aistack.grading.exercise import Exercise, exercise_names, find_exercise, read_exercise
from aistack.launch import repository

__all__ = ["prepared_cells", "release", "release_text", "released_cells", "write_whole"]

_PREPARE = ("LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums")
_STRIP = ("ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums", "CheckCellMetadata")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or all of the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _through(notebook, stages):
    """Send a notebook through preprocessors of nbgrader."""
    from nbgrader import preprocessors

    resources: dict = {}
    for stage in stages:
        step = getattr(preprocessors, stage)()
        step.log = logging.getLogger("aistack.grading.release")
        notebook, resources = step.preprocess(notebook, resources)
    return notebook


def prepared_cells(exercise: Exercise, root: Path):
    """Return the notebook without solutions but with the hidden tests: what nbgrader's gradebook keeps of it.

    Parameters
    ----------
    exercise : Exercise
        From :func:`aistack.grading.exercise.read_exercise`.
    root : Path
        The course's folder; its ``_config.yml`` says where the course is installed from.

    Returns
    -------
    nbformat.NotebookNode
        Graded cells are locked and have checksums; wrong answers and rubrics are gone.
    """
    import nbformat

    notebook = nbformat.from_dict(copy.deepcopy(exercise.notebook))
    for cell in notebook.cells:
        cell.source = "".join(cell.source)
    notebook.cells = [c for c in notebook.cells if not {"wrong", "rubric"} & set(c.metadata.get("tags", []))]
    boot = nbformat.v4.new_code_cell(repository(root).bootstrap(), metadata={"tags": ["bootstrap"]}, id="bootstrap")
    notebook.cells.insert(1, boot)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook = _through(notebook, _PREPARE)
    for number, cell in enumerate(notebook.cells):
        named = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell["id"] = (named or f"cell-{number:03d}")[:64]
    return notebook


def released_cells(exercise: Exercise, root: Path):
    """Return the students' notebook: as :func:`prepared_cells`, without the hidden tests."""
    notebook = _through(prepared_cells(exercise, root), _STRIP)
    for cell in notebook.cells:
        cell.source = cell.source.rstrip("\n")
    return notebook


def release_text(exercise: Exercise, root: Path) -> bytes:
    """Return the bytes of the students' notebook of an exercise."""
    import nbformat

    node = released_cells(exercise, root)
    text = json.loads(nbformat.writes(node))
    return (json.dumps(text, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def release(root: Path, names=(), check: bool = False):
    """Write the students' notebooks, or say which are not up to date.

    Parameters
    ----------
    root : Path
        The course's folder.
    names : sequence of str
        Exercises; all if empty.
    check : bool
        Write nothing.

    Yields
    ------
    tuple of Path and bool
        Each released notebook, and whether it had to change.

    Raises
    ------
    ExerciseError
        If a source breaks the format, or a name is unknown.
    """
    for name in names or exercise_names(root):
        exercise = read_exercise(find_exercise(name, root))
        target = root / "exercises" / "release" / name / f"{name}.ipynb"
        content = release_text(exercise, root)
        changed = not target.is_file() or target.read_bytes() != content
        if changed and not check:
            write_whole(target, content)
        yield target, changed
