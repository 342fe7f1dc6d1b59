"""Run the book's notebooks in parallel into a cache that also depends on the data and the package.

Jupyter Book takes outputs from the cache, so that a notebook runs again only when its code, ``data/``, ``aistack/`` (apart from
the site's own code) or the locked environment changed.

A few cells measure the machine. So that the same commit gives the same pages, the build plays back to them what ``make measure``
recorded of the clock and of memory in ``reference/measured.json``; anywhere else a notebook measures for real.
"""

import hashlib
import json
import multiprocessing
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import yaml

from aistack.book.build import BuildError, end_with_parent, no_room, one_line, reason

__all__ = [
    "cache_folder",
    "execute",
    "executed",
    "explorers_file",
    "measure",
    "measured",
    "notebooks",
    "picture_folder",
]

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
import dataclasses, gc, json, os, pathlib, time, cloudpickle, aistack.explore
kept = [e for e in gc.get_objects() if type(e) is aistack.explore.Explorer]
place = pathlib.Path({place!r})
part = place.with_suffix(f".{{os.getpid()}}")
part.write_bytes(cloudpickle.dumps({{e.name: dataclasses.replace(e, emitted=None) for e in kept}}))
part.replace(place)
pathlib.Path({heard!r}).write_text(json.dumps(globals().get("_heard", {{}})))
"""

#: What a notebook measures with.
GAUGES = ("time.perf_counter", "tracemalloc.get_traced_memory")

# In the kernel: what the notebook's own cells read from a gauge is what was recorded, while that lasts; libraries read the real one.
PLAY = """
def _play(recorded):
    import importlib, sys
    heard = dict()
    def play(name, ticks):
        module, function = name.split(".")
        module = importlib.import_module(module)
        real, mine = getattr(module, function), heard.setdefault(name, [])
        def read():
            if sys._getframe(1).f_globals.get("__name__") != "__main__":
                return real()
            now = ticks[len(mine)] if len(mine) < len(ticks) else real()
            mine.append(now)
            return tuple(now) if isinstance(now, list) else now
        setattr(module, function, read)
    for name, ticks in recorded.items():
        play(name, ticks)
    return heard
_heard = _play({recorded})
del _play
"""


def _record(root: Path) -> Path:
    return root / "reference" / "measured.json"


def measured(root: Path) -> dict:
    """Return what ``make measure`` recorded: ``machine``, ``date``, ``notebooks`` (processor seconds, peak MB), ``readings``."""
    try:
        return json.loads(_record(root).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"machine": "", "date": "", "notebooks": {}, "readings": {}}
    except ValueError as error:
        raise BuildError(
            f"{_record(root)}: not valid JSON ({error}); restore it from git or run make measure"
        ) from None


def _readings(root: Path, path: Path) -> dict[str, list]:
    return measured(root)["readings"].get(path.as_posix(), {})


def _digest(readings: dict[str, list]) -> str:
    return hashlib.sha256(json.dumps(readings).encode()).hexdigest()[:16] if readings else ""


def _draw(root: Path, notebook) -> None:
    """Draw the charts of an executed notebook, so that the build finds their pictures ready."""
    from aistack import charts
    from aistack.book.picture import kept_picture

    for output in (o for cell in notebook.cells for o in cell.get("outputs", [])):
        payload = output.get("data", {}).get(charts.MIME, {})
        if payload.get("figure") and not payload.get("svg"):
            kept_picture(picture_folder(root), payload["figure"])


def _fail(root: Path, path: Path, at: int, name: str, value: str, traceback: str):
    """Raise the error of a code cell in one line; the whole of it goes into a file."""
    log = root / "_build" / "failed" / f"{path.stem}.txt"
    with suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(re.sub(r"\x1b\[[\d;]*m", "", traceback), encoding="utf-8")
    raise RuntimeError(f"code cell {at}: {one_line(name, value)} (more in {log})")


def _run(root: Path, path: Path, timeout: int, record: Path | None = None):
    """Execute one notebook in its own kernel and draw its charts; return (notebook, seconds, peak MB and processor seconds).

    With `record`, the gauges are read and their readings are written there.
    """
    import nbformat
    import psutil
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    os.environ |= {"AISTACK_BOOK": "1", "PYTHONHASHSEED": "0"}  # a set's order is the same in every kernel
    notebook = nbformat.read(root / path, as_version=4)
    explorers = explorers_file(root, path)
    explorers.parent.mkdir(parents=True, exist_ok=True)
    keep = KEEP.format(place=str(explorers), heard=str(record or os.devnull))
    notebook.cells.append(nbformat.v4.new_code_cell(keep))
    memory, at = {}, [0]

    def measure(**_):
        pid = client.km.provisioner.pid
        status = Path(f"/proc/{pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        peak = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)
        memory["mb"] = (peak or psutil.Process(pid).memory_info().rss) / 1e6
        memory["cpu"] = sum(psutil.Process(pid).cpu_times()[:4])  # with the processes that it started and saw end

    def count(**_):
        at[0] += 1

    def wind(**_):
        code = "\n".join(cell.source for cell in notebook.cells[:-1] if cell.cell_type == "code")
        used = [gauge for gauge in GAUGES if gauge.split(".")[1] in code]
        recorded = {} if record else _readings(root, path)
        client.kc.execute(PLAY.format(recorded={gauge: recorded.get(gauge, []) for gauge in used}), silent=True)

    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str((root / path).parent)}},
        on_notebook_start=wind, on_cell_execute=count, on_cell_complete=measure,
        coalesce_streams=True,  # what is printed in one go may arrive in parts
        record_timing=False,  # times in the cells' metadata would part the outputs from their source
    )  # fmt: skip
    began = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
            client.create_kernel_manager()
            if os.name == "posix":  # over TCP, two kernels that look for free ports at once may find the same
                client.km.transport, client.km.ip = "ipc", f"{sockets}/kernel"
            client.execute()
    except CellExecutionError as error:
        _fail(root, path, at[0], error.ename, error.evalue, str(error))
    except CellTimeoutError as error:
        _fail(root, path, at[0], "took too long", f"more than {timeout} s", str(error))
    except DeadKernelError as error:
        _fail(root, path, at[0], "its kernel died", "out of memory, or ended by its own code", str(error))
    notebook.cells.pop()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):  # an error in a display hook stops nothing by itself
        if "raises-exception" in cell.metadata.get("tags", []):
            continue
        for output in cell.outputs:
            if output["output_type"] == "error":
                _fail(root, path, count, output["ename"], output["evalue"], "\n".join(output["traceback"]))
            if output.get("name") == "stderr" and "Traceback" in output["text"]:
                name, _, value = output["text"].strip().splitlines()[-1].partition(": ")
                _fail(root, path, count, name, value, output["text"])
    seconds = time.perf_counter() - began
    _draw(root, notebook)
    return notebook, seconds, memory


def _end(processes) -> None:
    """End processes and all that they started."""
    import psutil

    for process in processes:
        with suppress(psutil.Error):
            for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                with suppress(psutil.Error):
                    one.kill()


def _attend() -> None:
    """Begin the work of a process of the pool: an interruption is for the build to hear, and no kernel outlives it."""
    import psutil

    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent(lambda: _end(psutil.Process().children()))


def _open_cache(folder: Path):
    """Return the cache in `folder`, a new one if what is there cannot be read."""
    from jupyter_cache import get_cache

    cache = get_cache(folder)
    try:
        cache.list_cache_records()
    except Exception as error:
        if no_room(f"{error} {error.__cause__}"):
            raise
        print(f"{folder}: the cache of executed notebooks is damaged; they run again", flush=True)
        cache.db.dispose()
        shutil.rmtree(folder)
        cache = get_cache(folder)
        cache.list_cache_records()
    return cache


def _sound(root: Path, cache, path: Path) -> bool:
    """Tell whether the cache holds a whole run of a notebook: its outputs and its explorers."""
    import nbformat

    try:
        record = cache.match_cache_notebook(nbformat.read(root / path, as_version=4))
    except KeyError:
        return False
    place = cache.path / "executed" / record.hashkey
    try:
        json.loads((place / "base.ipynb").read_bytes())
    except (OSError, ValueError):
        shutil.rmtree(place, ignore_errors=True)  # the cache takes no notebook where a folder is
        return False
    try:
        return explorers_file(root, path).read_bytes()[-1:] == b"."  # a pickle ends in a full stop
    except OSError:
        return False


def _read_runs(record: Path) -> dict:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def execute(root: Path, timeout: int = 180) -> int:
    """Execute every notebook that is not in the cache; return how many ran.

    Raises
    ------
    BuildError
        If a notebook cannot be read, a table of the data is broken, or notebooks fail; the message names each in one line and where
        its whole error stands. Those that ran are kept.
    """
    import nbformat
    from jupyter_cache.base import CacheBundleIn

    folder = cache_folder(root)
    cache = _open_cache(folder)
    record = folder / "runs.json"
    runs, todo = _read_runs(record), []
    for path in notebooks(root):
        try:
            nbformat.read(root / path, as_version=4)
        except Exception as error:
            raise BuildError(f"{path}: not a notebook ({reason(error)}); restore it from git") from None
        told = runs.get(path.as_posix(), {})
        if not _sound(root, cache, path) or told.get("readings", "") != _digest(_readings(root, path)):
            todo.append(path)
    if todo:
        _check_data()
    failed = []
    with ProcessPoolExecutor(max_workers=min(len(todo), os.cpu_count() or 1) or 1, initializer=_attend) as pool:
        jobs = {pool.submit(_run, root, path, timeout): path for path in todo}
        try:
            for count, job in enumerate(as_completed(jobs), start=1):
                path = jobs[job]
                try:
                    notebook, seconds, took = job.result()
                except Exception as error:
                    ended = isinstance(error, BrokenProcessPool)
                    what = (
                        "not run: a process of the build was ended, out of memory or from outside" if ended else error
                    )
                    what = what if ended or type(error) is RuntimeError else reason(error)
                    failed.append(f"{path}: {what}")
                    print(f"[{count}/{len(todo)}] {path}: FAILED", flush=True)
                    continue
                bundle = CacheBundleIn(notebook, str(root / path), data={"execution_seconds": seconds})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
                runs[path.as_posix()] = {"seconds": round(seconds, 2), "peak_mb": round(took.get("mb", 0))}
                if readings := _readings(root, path):
                    runs[path.as_posix()]["readings"] = _digest(readings)
                _write(record, runs)
                print(f"[{count}/{len(todo)}] {path}: {seconds:.1f} s, {took.get('mb', 0):.0f} MB", flush=True)
        except BaseException:
            _end(multiprocessing.active_children())
            raise
    if failed:
        raise BuildError("notebooks failed:\n" + "\n".join(failed))
    for old in folder.parent.iterdir():  # only now: whoever takes a change back finds its outputs
        if old != folder:
            shutil.rmtree(old)
    return len(todo)


def _write(file: Path, value) -> None:
    """Write JSON so that a reader finds the old file or the new one."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    part.replace(file)


def _check_data() -> None:
    """Read every table, so that a broken one is named once and not by each notebook."""
    from aistack import data

    try:
        for name in data.table_names():
            data.load(name)
    except data.DataError as error:
        raise BuildError(" ".join(str(error).split())) from None


def measure(root: Path, only: tuple[str, ...] = (), timeout: int = 600) -> Path:
    """Run every notebook, record what it took and what its cells measured; return the record.

    With `only`, names of some, the record of the others stays. Seconds are the processor's, so that other work on the machine hardly counts.

    Raises
    ------
    BuildError
        If a notebook fails.
    """
    every = [path.as_posix() for path in notebooks(root)]
    if unknown := set(only) - set(every):
        raise BuildError(f"{', '.join(sorted(unknown))}: not in _toc.yml, which has {', '.join(every)}")
    before = measured(root)
    took, readings = ({k: v for k, v in before[part].items() if k in every} for part in ("notebooks", "readings"))
    with tempfile.TemporaryDirectory() as place:
        heard = Path(place) / "heard.json"
        for path in map(Path, only or every):
            try:
                _, seconds, used = _run(root, path, timeout, heard)
            except RuntimeError as error:
                raise BuildError(f"{path}: {error}") from None
            took[path.as_posix()] = {"processor_s": round(used["cpu"], 1), "peak_mb": round(used["mb"])}
            read = {gauge: ticks for gauge, ticks in json.loads(heard.read_text()).items() if ticks}
            if ticks := read.get("time.perf_counter"):
                read["time.perf_counter"] = [round(t - ticks[0], 7) for t in ticks]
            readings[path.as_posix()] = read
            print(f"{path}: {seconds:.1f} s, {used['cpu']:.1f} s of processor, {used['mb']:.0f} MB", flush=True)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    today = datetime.now(UTC).date().isoformat()
    lines = ",\n".join(
        f'  "{path}": {json.dumps(read, separators=(",", ":"))}' for path, read in readings.items() if read
    )
    head = json.dumps({"machine": machine, "date": today, "notebooks": took}, indent=1)[:-2]
    _record(root).write_text(f'{head},\n "readings": {{\n{lines}\n }}\n}}\n', encoding="utf-8")
    return _record(root)


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
