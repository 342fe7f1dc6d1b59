"""Builds that go wrong leave the last good site as it was and say why in a line; builds that go well are the same to the byte."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest

from aistack.book import build as building
from aistack.book import execute as running
from aistack.book.build import BuildError, reason, stamp
from aistack.book.execute import cache_folder, execute, measured

ROOT = Path(__file__).resolve().parent.parent
TOC = "format: jb-book\nroot: index\nparts:\n  - chapters:\n      - file: chapters/01-first\n"
DRAW = """\
import pandas as pd, plotly.graph_objects as go
from aistack.charts import axis, chart, layout
from aistack.explore import explore, slider
frame = pd.DataFrame({"x": [1, 2], "y": [3.0, 4.5]})
figure = go.Figure([go.Scatter(x=frame.x, y=frame.y)], layout("x (m)", "y (s)"))
chart(figure, name="line", title="A line", data=frame, sources=["survey"], summary="The line climbs from 3 to 4.5 seconds as x doubles from 1 to 2.")
"""
MOVE = """\
import numpy as np
explore(lambda a: {"x": np.arange(3.0), "y": a * np.arange(3.0)}, {"a": slider(1, 9, 1, start=2, label="A")}, name="square", title="Squares",
        question="When is it 9?", chart={"data": [{"type": "scatter", "x": "$x", "y": "$y"}], "layout": layout("x", "y")},
        says="At {a:.0f} it is {a:.0f} squared.", numbers={}, sources=["survey"])
"""


def write(path, text="", *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    if cells:
        made = [nbformat.v4.new_markdown_cell(text), *map(nbformat.v4.new_code_cell, cells)]
        for at, cell in enumerate(made):
            cell.id = f"cell-{at}"
        nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    else:
        path.write_text(text, encoding="utf-8")


def course(root, *cells):
    """A book of two pages, the second a notebook, with a site from before."""
    write(root / "_toc.yml", TOC)
    write(root / "_config.yml", (ROOT / "_config.yml").read_text(encoding="utf-8"))
    write(root / "references.bib")
    write(root / "pyproject.toml", '[project]\nversion = "1.0"\n')
    write(root / "index.md", "# Front\n\nWords that stand on the front page.\n")
    write(root / "chapters/01-first.ipynb", "# First\n\nWords before the code.", *(cells or ("1 + 1",)))
    write(root / "_build/html/index.html", "<p>the last good site</p>")
    return root


@pytest.fixture
def root(tmp_path):
    return course(tmp_path / "course")


def start(root, **more):
    """Start a build as ``make book`` does."""
    environment = {k: v for k, v in os.environ.items() if k not in ("AISTACK_BOOK", "SOURCE_DATE_EPOCH")}
    environment |= {"PYTHONPATH": str(ROOT), "SOURCE_DATE_EPOCH": "1700000000"} | more.pop("env", {})
    return subprocess.Popen(
        [sys.executable, "-m", "aistack.book"], cwd=root, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True, **more,
    )  # fmt: skip


def files(site):
    return {p.relative_to(site).as_posix(): p.read_bytes() for p in site.rglob("*") if p.is_file()}


def failed(root, process, code=1):
    """What a failed build says on stderr, in lines; the site has to be the last good one."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, out + err
    assert "Traceback" not in out + err
    assert files(root / "_build/html") == {"index.html": b"<p>the last good site</p>"}
    assert not list((root / "_build").glob(".html-*"))
    lines = err.strip().splitlines()
    assert lines[-1] == f"the last good site is still in {root / '_build/html'}"
    return lines[:-1]


# ---- the same to the byte -----------------------------------------------------------------------------------------


def test_two_builds_from_scratch_are_the_same_to_the_byte(tmp_path):
    roots = [course(tmp_path / name, DRAW, MOVE) for name in ("here", "there/and/deeper")]
    started = [start(r, env={"PYTHONHASHSEED": str(n), "TZ": zone}) for n, (r, zone) in enumerate(zip(roots, ("UTC", "Asia/Tokyo"), strict=True))]  # fmt: skip
    for process in started:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0 and not err, out + err
    one, other = (files(r / "_build/html") for r in roots)
    assert set(one) == set(other)
    assert [name for name in one if one[name] != other[name]] == []
    assert {"index.html", "chapters/01-first.html", "_csv/chapters-01-first/line.csv", "searchindex.js"} <= set(one)
    assert b"explorer-square" in one["chapters/01-first.html"] and b"the last good" not in one["index.html"]
    assert str(tmp_path).encode() not in b"".join(one.values())


@pytest.mark.environments
def test_two_builds_of_the_whole_book_are_the_same_to_the_byte(tmp_path):
    """``make twice``: everything executed and built twice from the last commit, in two folders; no file is left out."""
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    epoch = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True)
    sites = []
    for seed, root in enumerate((tmp_path / "here", tmp_path / "there/and/deeper")):
        root.mkdir(parents=True)
        subprocess.run(["tar", "-x"], cwd=root, input=packed, check=True)
        more = {"PYTHONPATH": str(root), "PYTHONHASHSEED": str(seed), "SOURCE_DATE_EPOCH": epoch.stdout.strip()}
        out, err = (process := start(root, env=more)).communicate()
        assert process.returncode == 0, out + err
        sites.append(files(root / "_build/html"))
    one, other = sites
    assert set(one) == set(other) and len(one) > 100
    assert [name for name in one if one[name] != other[name]] == []


def test_a_build_is_dated_by_its_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert stamp(tmp_path) == 86400
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    dated = os.environ | {"GIT_COMMITTER_DATE": "2020-05-01T12:00:00+0000"}
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True, env=dated)
    assert stamp(tmp_path) == 1588334400 and os.environ["SOURCE_DATE_EPOCH"] == "1588334400"


TIMED = "import time\nstart = time.perf_counter()\nprint(time.perf_counter() - start, time.perf_counter() - start)"


def test_cells_that_measure_get_what_was_recorded(tmp_path):
    root = course(tmp_path / "course", TIMED)
    write(root / "reference/measured.json", '{"machine": "", "date": "", "notebooks": {}, "readings": {"chapters/01-first.ipynb": {"time.perf_counter": [1, 1.5]}}}')  # fmt: skip
    assert execute(root, timeout=60) == 1
    (first, then), later = (running.executed(root, Path("chapters/01-first.ipynb")).cells[1].outputs[0].text.split(), measured(root))  # fmt: skip
    assert first == "0.5" and float(then) != 0.5  # after the record's end comes the real clock
    assert later["readings"] and execute(root, timeout=60) == 0
    write(root / "reference/measured.json", '{"machine": "", "date": "", "notebooks": {}, "readings": {}}')
    assert not running._readings(root, Path("chapters/01-first.ipynb"))
    write(root / "reference/measured.json", "{")
    with pytest.raises(BuildError, match=r"measured\.json: not valid JSON .* make measure"):
        execute(root)


# ---- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_broken_row_is_named_once_before_anything_runs(root):
    ignore = shutil.ignore_patterns("__pycache__", "grading")
    shutil.copytree(ROOT / "aistack", root / "aistack", ignore=ignore)
    shutil.copytree(ROOT / "data", root / "data")
    table = root / "data/layers.csv"
    head, row, *rest = table.read_text(encoding="utf-8").splitlines()
    write(table, "\n".join([head, re.sub(r"^\d+", "one", row), *rest]) + "\n")
    said = failed(root, start(root, env={"PYTHONPATH": str(root)}))
    assert len(said) == 1 and "layers.csv" in said[0] and "row 2" in said[0] and "'one'" in said[0], said


def test_a_notebook_that_kills_its_kernel_is_named(tmp_path):
    root = course(tmp_path / "course", "1 + 1", "import os\nos._exit(1)")
    said = failed(root, start(root))
    assert said[0] == "the book was not built: notebooks failed:" and len(said) == 2
    assert said[1].startswith("chapters/01-first.ipynb: code cell 2: its kernel died: out of memory, or ended by its")


BLOCK = "open('started', 'w').close()\nimport threading\nthreading.Event().wait()"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_ends_all_it_started_and_the_next_one_works(tmp_path, how):
    root = course(tmp_path / "course", BLOCK)
    process = start(root)
    while not (root / "chapters/started").exists():
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"ended with {process.wait(0.1)} before the notebook began: {process.communicate()}")
    begun = psutil.Process(process.pid).children(recursive=True)
    assert any("ipykernel" in " ".join(p.cmdline()) for p in begun)
    process.send_signal(how)
    if how == signal.SIGINT:
        said = failed(root, process, code=130)
        assert said == ["the book was not built: stopped; notebooks that ran are kept"]
    else:
        process.communicate(timeout=60)
    assert not psutil.wait_procs(begun, timeout=30)[1]
    assert files(root / "_build/html") == {"index.html": b"<p>the last good site</p>"}
    with building._alone(root / "_build"):
        pass


def test_what_a_killed_build_left_is_cleared_away(root):
    folder = root / "_build"
    (folder / "html").rename(folder / ".html-old")  # killed between two renames
    write(folder / ".html-new/index.html", "half")
    building._recover(folder)
    assert files(folder / "html") == {"index.html": b"<p>the last good site</p>"}
    assert not (folder / ".html-new").exists() and not (folder / ".html-old").exists()


def rendered(root, monkeypatch, *codes):
    """Run the rendering with stand-ins for Sphinx that return `codes`; give what each found in the working folder."""
    found, answers = [], iter(codes)

    def run(command, **_):
        work = root / "_build/.work"
        found.append(sorted(p.name for p in work.iterdir()))
        write(work / "page")
        return subprocess.CompletedProcess(command, next(answers), "the line", "")

    monkeypatch.setattr(building.subprocess, "run", run)
    with building._alone(root / "_build") as lock:
        building._render(root, lock)
    return found


def test_pages_are_made_anew_after_an_interruption_a_damage_or_another_contents(root, monkeypatch):
    work = root / "_build/.work"
    assert rendered(root, monkeypatch, 0) == [["unfinished"]]
    assert rendered(root, monkeypatch, 0) == [["made-of", "page", "unfinished"]]
    (work / "unfinished").touch()  # killed in the middle
    assert rendered(root, monkeypatch, 0) == [["unfinished"]]
    assert rendered(root, monkeypatch, 2, 0) == [["made-of", "page", "unfinished"], ["unfinished"]]  # damaged
    write(root / "_toc.yml", TOC + "      - file: chapters/02-second\n")
    assert rendered(root, monkeypatch, 0) == [["unfinished"]]
    with pytest.raises(BuildError, match=r"the line \(more in .*site\.txt\)"):
        rendered(root, monkeypatch, 2, 2)


@pytest.mark.deep
def test_a_warning_is_shown_and_stops_the_site(root):
    write(root / "_toc.yml", TOC.partition("parts:")[0])
    write(root / "index.md", "# Front\n\nSee {ref}`nothing`.\n")
    said = failed(root, start(root))
    assert re.search(r"index\.md:3: WARNING: .*nothing", said[0])
    assert said[1].startswith("the book was not built: 1 warnings, and none is allowed: mend what they name")


@pytest.mark.deep
def test_a_disk_that_takes_no_more_is_named(root):
    write(root / "_toc.yml", TOC.partition("parts:")[0])
    resource = pytest.importorskip("resource")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # less than the chart library
    said = failed(root, start(root, preexec_fn=limit))
    assert said == ["the book was not built: no room on the disk for the pages; free some, then build again"]


@pytest.mark.parametrize("at", ["copytree", "rename"])
def test_a_full_disk_at_the_last_step_leaves_the_last_site(root, monkeypatch, at):
    write(root / "_build/.work/html/index.html", "new")
    full = OSError(errno.ENOSPC, "No space left on device", "index.html")
    if at == "copytree":
        monkeypatch.setattr(building.shutil, "copytree", lambda *_, **__: (_ for _ in ()).throw(full))
    else:
        rename = Path.rename
        monkeypatch.setattr(
            Path,
            "rename",
            lambda self, to: rename(self, to) if self.name != ".html-new" else (_ for _ in ()).throw(full),
        )
    with pytest.raises(OSError) as caught:
        building._publish(root / "_build")
    assert reason(caught.value) == "no room on the disk for index.html; free some, then build again"
    assert files(root / "_build/html") == {"index.html": b"<p>the last good site</p>"}
    monkeypatch.undo()
    building._recover(root / "_build")
    building._publish(root / "_build")
    assert files(root / "_build/html") == {"index.html": b"new"}


def test_two_builds_at_once_are_refused(root):
    with building._alone(root / "_build"), pytest.raises(BuildError, match=rf"\(process {os.getpid()}\); wait until"):
        building.build(root)


@pytest.fixture
def kept(root, ran, monkeypatch):
    """A function that executes with a stand-in for the run and gives what ran."""
    monkeypatch.setattr(running, "_check_data", lambda: None)

    def call():
        ran.clear()
        execute(root)
        return list(ran)

    return call


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("global.db", lambda b: b[: len(b) // 2]),
        ("global.db", lambda b: b""),
        ("global.db", lambda b: b"x" * len(b)),
        ("executed/*/base.ipynb", lambda b: b[: len(b) // 2]),
        ("executed/*/base.ipynb", None),
        ("explorers/*.pickle", lambda b: b""),
        ("runs.json", lambda b: b[:-3]),
    ],
)
def test_a_damaged_cache_is_made_again(root, kept, pattern, damage):
    assert kept() == ["01-first.ipynb"] and kept() == []
    (file,) = cache_folder(root).glob(pattern)
    if damage:
        file.write_bytes(damage(file.read_bytes()))
    else:
        file.unlink()
    assert kept() == ([] if pattern == "runs.json" else ["01-first.ipynb"])
    assert kept() == []
    running.executed(root, Path("chapters/01-first.ipynb"))


def test_a_notebook_that_is_none_is_named(root):
    write(root / "chapters/01-first.ipynb", '{"cells": [')
    with pytest.raises(BuildError, match=r"chapters/01-first\.ipynb: not a notebook .*restore it from git"):
        execute(root)
