"""Run the book's notebooks in parallel into a cache that also depends on the data and the package.

Jupyter Book takes outputs from the cache, so that a notebook runs again only when its code, ``data/``, ``aistack/`` (apart from
the site's own code) or the locked environment changed.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

import yaml

__all__ = ["cache_folder", "execute", "executed", "explorers_file", "notebooks", "picture_folder"]

INPUTS = ("aistack", "data", "requirements.lock")
APART = (
    "aistack/book/",
    "aistack/grading/",
    "aistack/cli.py",
    "aistack/launch.py",
    "aistack/bundle.py",
    "/__pycache__/",
)


def notebooks(root: Path) -> list[Path]:
    """Return the notebooks that ``_toc.yml`` names, relative to `root`, in its order."""
    found: list[Path] = []

    def walk(node):
        if isinstance(node, dict):
            for key in ("root", "file"):
                path = Path(f"{node.get(key)}.ipynb")
                if node.get(key) and (root / path).is_file():
                    found.append(path)
            node = list(node.values())
        if isinstance(node, list):
            for part in node:
                walk(part)

    walk(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
    return found


def cache_folder(root: Path) -> Path:
    """Return the cache that belongs to the present data, package and lock: ``_build/.executed/<digest>``."""
    digest = hashlib.sha256(sys.version.encode())
    for name in INPUTS:
        start = root / name
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            relative = path.relative_to(root).as_posix()
            if path.is_file() and not any(part in relative for part in APART):
                digest.update(relative.encode() + b"\0" + path.read_bytes())
    return root / "_build" / ".executed" / digest.hexdigest()[:16]


def picture_folder(root: Path) -> Path:
    """Return the folder that keeps the static pictures of charts."""
    return root / "_build" / ".pictures"


def explorers_file(root: Path, path: Path) -> Path:
    """Return the file in the cache that keeps the explorers of the notebook at `path` as Python objects.

    :mod:`pickle` reads them, in a process of its own where libraries matter; tests hold the page against them without another run.
    """
    import nbformat

    cells = nbformat.read(root / path, as_version=4).cells
    code = "\0".join(cell.source for cell in cells if cell.cell_type == "code")
    return cache_folder(root) / "explorers" / f"{path.stem}-{hashlib.sha256(code.encode()).hexdigest()[:16]}.pickle"


KEEP = """
import dataclasses, gc, pathlib, cloudpickle, aistack.explore
kept = [e for e in gc.get_objects() if type(e) is aistack.explore.Explorer]
pathlib.Path({place!r}).write_bytes(cloudpickle.dumps({{e.name: dataclasses.replace(e, emitted=None) for e in kept}}))
"""


def _draw(root: Path, notebook) -> None:
    """Draw the charts of an executed notebook, so that the build finds their pictures ready."""
    from aistack import charts
    from aistack.book.picture import kept_picture

    for output in (o for cell in notebook.cells for o in cell.get("outputs", [])):
        payload = output.get("data", {}).get(charts.MIME, {})
        if payload.get("figure") and not payload.get("svg"):
            kept_picture(picture_folder(root), payload["figure"])


def _run(root: Path, path: Path, timeout: int):
    """Execute one notebook in its own kernel and draw its charts; return (notebook, seconds, peak MB)."""
    import nbformat
    import psutil
    from nbclient import NotebookClient

    os.environ["AISTACK_BOOK"] = "1"
    notebook = nbformat.read(root / path, as_version=4)
    explorers = explorers_file(root, path)
    explorers.parent.mkdir(parents=True, exist_ok=True)
    notebook.cells.append(nbformat.v4.new_code_cell(KEEP.format(place=str(explorers))))
    memory = {}

    def measure(**_):
        pid = client.km.provisioner.pid
        status = Path(f"/proc/{pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        peak = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)
        memory["mb"] = (peak or psutil.Process(pid).memory_info().rss) / 1e6

    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str((root / path).parent)}},
        on_cell_complete=measure, record_timing=False,  # times in the cells' metadata would part the outputs from their source
    )  # fmt: skip
    began = time.perf_counter()
    client.execute()
    notebook.cells.pop()
    meant = {"raises-exception"}  # an error in a display hook stops nothing by itself
    for output in (
        o for c in notebook.cells if not meant & set(c.metadata.get("tags", [])) for o in c.get("outputs", [])
    ):
        if output["output_type"] == "error":
            raise RuntimeError("\n".join(output["traceback"]))
        if output.get("name") == "stderr" and "Traceback" in output["text"]:
            raise RuntimeError(output["text"].strip())
    seconds = time.perf_counter() - began
    _draw(root, notebook)
    return notebook, seconds, memory.get("mb", 0.0)


def execute(root: Path, timeout: int = 180) -> int:
    """Execute every notebook that is not in the cache; return how many ran.

    Raises
    ------
    RuntimeError
        If notebooks fail; the message names each and shows its error. Those that ran are kept.
    """
    import nbformat
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    folder = cache_folder(root)
    for old in folder.parent.iterdir() if folder.parent.is_dir() else ():
        if old != folder:
            shutil.rmtree(old)
    cache = get_cache(folder)
    todo = []
    for path in notebooks(root):
        with suppress(KeyError):
            cache.match_cache_notebook(nbformat.read(root / path, as_version=4))
            if explorers_file(root, path).exists():
                continue
        todo.append(path)
    failed, record = [], folder / "runs.json"
    runs = json.loads(record.read_text()) if record.exists() else {}
    with ProcessPoolExecutor(max_workers=min(len(todo), os.cpu_count() or 1) or 1) as pool:
        jobs = {pool.submit(_run, root, path, timeout): path for path in todo}
        for count, job in enumerate(as_completed(jobs), start=1):
            path = jobs[job]
            try:
                notebook, seconds, megabytes = job.result()
            except Exception as error:
                failed.append(f"{path}: {error}")
                print(f"[{count}/{len(todo)}] {path}: FAILED", flush=True)
                continue
            bundle = CacheBundleIn(notebook, str(root / path), data={"execution_seconds": seconds})
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            runs[path.as_posix()] = {"seconds": round(seconds, 2), "peak_mb": round(megabytes)}
            record.write_text(json.dumps(runs, indent=1) + "\n")
            print(f"[{count}/{len(todo)}] {path}: {seconds:.1f} s, {megabytes:.0f} MB", flush=True)
    if failed:
        raise RuntimeError("notebooks failed:\n" + "\n".join(failed))
    return len(todo)


def executed(root: Path, path: Path):
    """Return the notebook at `path` (relative to `root`) with the outputs of its last run.

    Raises
    ------
    KeyError
        If it has not been executed with the present data and package: ``make book`` does.
    """
    import nbformat
    from jupyter_cache import get_cache

    cache = get_cache(cache_folder(root))
    try:
        _, notebook = cache.merge_match_into_notebook(nbformat.read(root / path, as_version=4))
    except KeyError:
        raise KeyError(f"{path} has not been executed with the present data and package; run 'make book'") from None
    return notebook
