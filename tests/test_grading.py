"""Grading: marks cannot be forged, nothing leaks, one bad submission stops nobody, and a stopped run goes on."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aistack import cli
from aistack.grading import grade as grading
from aistack.grading import gradebook, plain
from aistack.grading.exercise import Check, Exercise, Question, read_exercise
from aistack.grading.feedback import feedback_page
from aistack.grading.grade import Grader, marks_csv, totals_csv
from aistack.grading.judge import Result, judge
from aistack.grading.release import release_text, write_whole
from aistack.grading.sandbox import Limits, NoSandbox, Session, bubblewrap, check_sandbox
from aistack.grading.submission import MAX_BYTES, Unreadable, find_submissions, read_bytes

ROOT = Path(__file__).resolve().parent.parent
SECRET = "7342.25"  # stands in a hidden test and nowhere else
SHORT = Limits(question_s=1.5, total_s=30, memory_mb=1024)


def why_no_sandbox():
    try:
        check_sandbox()
    except NoSandbox as error:
        return str(error)
    return ""


needs_sandbox = pytest.mark.skipif(bool(why_no_sandbox()), reason=why_no_sandbox() or "there is one")

SETUP = "import math\n\nimport numpy as np\n\nfrom aistack.exercises import close, raises\n"


def question(ident, name, solution, visible, hidden):
    starter = f"def {name}(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    checks = (
        Check(f"{ident}-visible", 1.0, f"# Easy ones\n{visible}", False, "Easy ones"),
        Check(
            f"{ident}-hidden",
            2.0,
            f"# When graded: more\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS",
            True,
            "When graded: more",
        ),
    )
    return Question(ident, ident.title(), solution, starter, None, checks)


@pytest.fixture
def exercise(tmp_path):
    """A small exercise of two functions and a written answer."""
    path = tmp_path / "source" / "99-small.ipynb"
    path.parent.mkdir()
    path.write_text(json.dumps({"secret": SECRET}))
    questions = (
        question(
            "double-it", "double_it", "def double_it(x):\n    if np.any(np.asarray(x) < 0):\n        raise ValueError(x)\n    return 2 * x",
            'assert double_it(2) == 4, f"twice 2 is 4, not {double_it(2)}"',
            f"assert close(double_it({SECRET}), 2 * {SECRET})\n"
            "assert close(double_it(np.arange(3.0)), [0, 2, 4])\nassert raises(ValueError, double_it, -1.0)",
        ),
        question(
            "halve-it", "halve_it", "def halve_it(x):\n    return x / 2",
            'assert halve_it(4) == 2, "half of 4 is 2"', "assert close(halve_it(7), 3.5)",
        ),
        Question("say-why", "Why", "because", "YOUR ANSWER HERE", 3.0, rubric="a reason"),
    )  # fmt: skip
    cells = [{"cell_type": "code", "metadata": {"tags": ["setup"]}, "source": SETUP}]
    return Exercise("99-small", "Small", path, "45 minutes", SETUP, questions, {"cells": cells})


def cell(ident, source, kind="code"):
    tag = {"grade": False, "grade_id": ident, "locked": False, "schema_version": 3, "solution": True, "task": False}
    return {"cell_type": kind, "metadata": {"nbgrader": tag}, "source": source}


def notebook(double=None, halve="def halve_it(x):\n    return x / 2", why="because", *more):
    cells = [cell("double-it", double or "def double_it(x):\n    return 2 * x"), cell("halve-it", halve)]
    cells += [cell("say-why", why, "markdown"), *more]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def points(result):
    return {q.ident: q.points for q in result.questions}


# --- marks cannot be forged ---------------------------------------------------------------------------------------

FORGERIES = {
    "equal to everything": """
class Yes:
    def __eq__(self, other): return True
    def __le__(self, other): return True
    __ge__ = __lt__ = __gt__ = __le__
    def __bool__(self): return True
    def __getattr__(self, name): return Yes()
def double_it(x): return Yes()
""",
    "a float that lies": """
class Lies(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    __array__ = None
    __hash__ = None
def double_it(x): return Lies(1.0)
""",
    "a lie about its class": """
class Lies:
    @property
    def __class__(self): return float
    def __float__(self): return 1.0
    def __eq__(self, other): return True
def double_it(x): return Lies()
""",
    "an array that lies": """
import numpy as np
class Lies(np.ndarray):
    def __eq__(self, other): return True
    def tolist(self): return 4
    def ravel(self): return self
def double_it(x): return np.zeros(1).view(Lies)
""",
    "patched builtins": """
import builtins
builtins.abs = lambda x: 0
builtins.all = builtins.any = builtins.bool = lambda *a: True
builtins.AssertionError = ValueError
builtins.isinstance = lambda *a: True
def double_it(x): return 1.0
""",
    "patched modules": """
import sys, json, numpy, aistack.exercises
numpy.all = lambda *a, **k: True
aistack.exercises.close = aistack.exercises.raises = lambda *a, **k: True
close = raises = lambda *a, **k: True
sys.modules["aistack.exercises"] = aistack.exercises
import aistack.grading.judge as judge
judge.run_check = None
def double_it(x): return 1.0
""",
    "answers to calls that were never made": """
import os
def double_it(x):
    for number in range(3, 20):
        try: os.write(number, b'{"id":"","value":4}\\n{"passed":true,"points":100}\\n[1]\\n\\xff\\xfe\\n' * 50)
        except OSError: pass
    return None
""",
    "errors instead of answers": """
class AssertionError(BaseException): pass
class ValueError(Exception): pass
def double_it(x): raise ValueError("passed")
""",
    "generators and coroutines": "async def double_it(x): return 2 * x",
    "a deep answer": """
def double_it(x):
    deep = []
    for _ in range(100_000): deep = [deep]
    return deep
""",
    "a huge number": "def double_it(x): return 10 ** 5000",
    "a huge answer": "def double_it(x): return [0.5] * 30_000_000",
    "an exit": "import sys\ndef double_it(x): sys.exit(0)",
    "a hard exit": "import os\ndef double_it(x): os._exit(0)",
    "a crash": "import ctypes\ndef double_it(x): return ctypes.string_at(0)",
    "an endless loop": "def double_it(x):\n    while True: pass",
    "an endless loop that catches": """
def double_it(x):
    while True:
        try:
            while True: pass
        except BaseException: pass
""",
    "a hard exit in the cell": "import os\nos._exit(0)",
    "an endless loop in the cell": "while True: pass",
    "a memory bomb": "def double_it(x):\n    held = []\n    while True: held.append(bytearray(50_000_000))",
    "a fork bomb": "import os\ndef double_it(x):\n    while True: os.fork()",
    "a bomb of threads": """
import threading, time
def double_it(x):
    while True: threading.Thread(target=time.sleep, args=(60,)).start()
""",
    "killing all": "import os\ndef double_it(x): os.kill(1, 9); os.kill(-1, 9)",
    "closed channels": "import os\ndef double_it(x): os.closerange(0, 50)",
    "no such name": "doubleit = 3",
    "no Python": "def double_it(x) return 2 * x",
    "null bytes": "\0",
    "surrogates": "def double_it(x): return '\ud800'",
}


@needs_sandbox
@pytest.mark.parametrize("trick", FORGERIES)
def test_forged_answers_get_nothing_and_cost_nobody_else(trick, exercise):
    began = time.monotonic()
    result = judge(exercise, "mallory", notebook(FORGERIES[trick]), SHORT)
    assert points(result) == {"double-it": 0, "halve-it": 3, "say-why": None}, result
    assert time.monotonic() - began < 25
    assert SECRET not in json.dumps(result.as_dict())


@needs_sandbox
def test_a_worker_that_lies_is_no_use(exercise):
    trick = """
import aistack.grading.plain as plain
plain.encode = lambda v, depth=0: {"array": [1, "x"], "shape": [-1, 10**12], "kind": "O"}
plain.write = lambda message: b'{"id": "' + message["id"].encode() + b'", "value": {"float": "1e99"}, "passed": true}\\n'
def double_it(x): return 4
"""
    assert judge(exercise, "mallory", notebook(trick), SHORT).points == 0


@needs_sandbox
def test_honest_answers_get_what_they_earn(exercise):
    good = judge(exercise, "ada", notebook(exercise.questions[0].solution))
    assert points(good) == {"double-it": 3, "halve-it": 3, "say-why": None} and good.pending == 3
    assert Result.from_dict(json.loads(json.dumps(good.as_dict()))) == good
    careless = judge(
        exercise,
        "bob",
        notebook(
            "%matplotlib inline\ndef double_it(x):\n    return (2 * x\n        % 10000)", why=" YOUR ANSWER  HERE"
        ),
    )
    assert points(careless) == {"double-it": 1, "halve-it": 3, "say-why": 0}


# --- the room is closed -------------------------------------------------------------------------------------------

PROBES = """
import ctypes, os, socket, subprocess, sys, threading
def attempt(code, **names):
    try:
        return ["did", repr(eval(code, {**globals(), **names}))[:2000]]
    except BaseException as error:
        return ["failed", type(error).__name__]
def everything():
    found = []
    for folder, folders, files in os.walk("/"):
        found += [os.path.join(folder, name) for name in files if name.endswith((".ipynb", ".db", ".csv"))]
    return found
def spawn():
    for start in (os.fork, lambda: os.posix_spawn("/bin/true", ["true"], {}), lambda: subprocess.run(["true"]), lambda: ctypes.CDLL(None).fork()):
        try:
            if start() not in (-1,): return "spawned"
        except OSError: pass
    return "none"
def write(path):
    with open(path, "w") as file: return file.write("x")
def fill():
    try:
        for i in range(100):
            with open(f"/tmp/{i}", "wb") as file: file.write(bytes(4 << 20))
    except OSError: return i
    return 100
def hold():
    held = []
    try:
        while len(held) < 200: held.append(bytearray(50 << 20))
    except MemoryError: return len(held)
    return len(held)
"""


@pytest.fixture(scope="module")
def probe():
    """A session whose functions try to get out."""
    with Session(SETUP, {"probe": PROBES}, Limits(question_s=30, memory_mb=768)) as session:
        assert not session.errors
        yield lambda name, *args: session.call("probe", name, args, {})


@needs_sandbox
def test_no_file_but_its_own_can_be_read(probe, exercise, tmp_path):
    (tmp_path / "gradebook.db").write_text("grades")
    (tmp_path / "other.ipynb").write_text("{}")
    for path in (
        exercise.path,
        tmp_path / "gradebook.db",
        tmp_path / "other.ipynb",
        ROOT / "exercises",
        "/etc/passwd",
        "/proc/1/environ",
        "/home",
    ):
        for how in ("open(path).read()", "os.listdir(path)"):
            assert probe("attempt", how.replace("path", repr(str(path))))[0] == "failed", path
    found = probe("everything")
    system = ("/usr/", "/lib/", sys.prefix, sys.base_prefix)
    assert not [f for f in found if f.endswith((".ipynb", ".db")) and not f.startswith(system)]
    assert [f for f in found if f.startswith("/course/data/") or "/_data/" in f], "the course's data are there"
    assert str(ROOT) not in {os.path.dirname(f) for f in found}
    assert (
        "HOME" in probe("attempt", "dict(os.environ)")[1]
        and "PYTHONPATH" not in probe("attempt", "dict(os.environ)")[1]
    )


@needs_sandbox
def test_nothing_outside_can_be_written(probe, tmp_path):
    package = Path(plain.__file__).resolve()
    for path in (
        tmp_path / "x",
        "/x",
        "/course/aistack/x.py",
        package.with_name("x.py"),
        "/usr/x",
        "/dev/x",
        "/dev/shm/x",
        "/etc/x",
    ):
        assert probe("attempt", f"write({str(path)!r})")[0] == "failed", path
    assert not (tmp_path / "x").exists()
    assert probe("fill") < 10


@needs_sandbox
def test_there_is_no_network(probe):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for code in (
            f"socket.create_connection(('127.0.0.1', {port}), 1)",
            "socket.socket(socket.AF_UNIX)",
            "socket.socket()",
        ):
            assert probe("attempt", code)[0] == "failed"


@needs_sandbox
def test_no_process_can_be_started_or_seen(probe):
    assert probe("spawn") == "none"
    assert probe("attempt", f"os.kill({os.getpid()}, 0)")[0] == "failed"
    assert probe("attempt", "os.listdir('/proc')")[0] == "failed"
    assert probe("attempt", "os.getuid()") == ["did", "65534"]
    assert probe("attempt", "ctypes.CDLL(None).unshare(0x10000000)") == ["did", "-1"]


@needs_sandbox
def test_memory_is_limited(probe):
    assert probe("hold") < 15  # times 50 MB


@needs_sandbox
def test_background_threads_end_with_the_submission(exercise):
    code = """
import threading, time, os
def late():
    while True:
        time.sleep(0.01)
        os.write(1, b"x" * 100)
for _ in range(20): threading.Thread(target=late).start()
def double_it(x):
    if x < 0: raise ValueError
    return 2 * x
"""
    code = code.replace("if x < 0", "if (x < 0) if not hasattr(x, 'shape') else False")
    import psutil

    before = set(psutil.Process().children(recursive=True))
    assert points(judge(exercise, "eve", notebook(code)))["double-it"] == 3
    assert set(psutil.Process().children(recursive=True)) <= before


@needs_sandbox
def test_a_flood_of_output_is_cut(exercise):
    code = "print('y' * 30_000_000)\nimport sys\nprint('e' * 30_000_000, file=sys.stderr)\ndef double_it(x): print('z' * 10_000_000); return 2 * x"
    result = judge(exercise, "noah", notebook(code), Limits(question_s=8))
    assert points(result)["double-it"] == 1 and len(result.output) <= 64 << 10 and "z" not in result.output


@needs_sandbox
def test_what_is_printed_or_said_after_hidden_questions_is_not_told(exercise):
    spy = """
seen = []
def double_it(x):
    print("SEEN", x)
    seen.append(x)
    if len(seen) > 3: raise RuntimeError(f"SEEN {seen}")
    return 4 if x == 2 else x
def say(): return str(seen)
"""
    other = "def halve_it(x):\n    raise RuntimeError(str(seen))"
    result = judge(exercise, "spy", notebook(spy, other), SHORT)
    page = feedback_page(result, exercise)
    assert SECRET not in json.dumps(result.as_dict()) and SECRET not in page and "HIDDEN" not in page
    assert "close(" not in page


@needs_sandbox
def test_feedback_shows_text_and_runs_nothing(exercise):
    code = "print('<script>alert(1)</script>')\ndef double_it(x): return '<img src=x onerror=alert(2)>'\nraise KeyError('<b>')"
    page = feedback_page(judge(exercise, "<i>zoe", notebook(code), SHORT), exercise)
    assert "<script" not in page and "<img" not in page and "<b>'" not in page and "<i>zoe" not in page
    assert "twice 2 is 4" in page and "KeyError" in page and "When graded: more" in page


# --- whatever is handed in ----------------------------------------------------------------------------------------


@needs_sandbox
def test_odd_cells_are_reported(exercise):
    twice = notebook(None, "def halve_it(x):\n    return x / 2", "why", cell("halve-it", "halve_it = None"))
    result = judge(exercise, "a", twice, SHORT)
    assert points(result)["halve-it"] == 3 and "more than once" in " ".join(result.remarks)
    cells = [
        cell("double-itt", "def double_it(x): return 2 * x"),
        cell("say-why", "x", "code"),
        {"cell_type": "code"},
        7,
    ]
    cells += [{"cell_type": "code", "metadata": {"nbgrader": {"grade_id": ["x"]}}, "source": 5}] * 2
    bare = json.dumps({"cells": cells, "metadata": {"kernelspec": {"language": "R", "name": "ir"}}}).encode()
    result = judge(exercise, "b", bare, SHORT)
    assert result.points == 0 and {q.status for q in result.questions} == {"missing"}
    said = " ".join(result.remarks)
    assert "double-it: the answer cell is missing or was renamed" in said and "set to R" in said
    assert "no markdown cell" in said
    own = [cell("double-it-hidden", "assert True"), cell("double-it-visible", "assert True")]
    for one in own:
        one["metadata"]["nbgrader"] |= {"grade": True, "points": 100}
    result = judge(exercise, "c", notebook("def double_it(x): return 1", "x = 1", "y", *own), SHORT)
    assert result.points == 0


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "an empty file"),
        (b"  \n", "an empty file"),
        (b"PK\x03\x04 a zip", "no JSON"),
        (b"\xff\xfe\x00n", "not UTF-8"),
        ("{\"cells\": []}".encode("utf-16"), "not UTF-8"),
        (b"[" * 200_000, "no JSON"),
        (b"[]", "no cells"),
        (b'{"cells": {}}', "no cells"),
        (b'{"worksheets": []}', "format 4"),
        (b"9" * 100_000, "no JSON"),
    ],
)  # fmt: skip
def test_what_is_no_notebook_gets_a_reason(content, reason, exercise):
    result = judge(exercise, "zed", content)
    assert result.points == 0 and reason in result.unreadable and len(result.questions) == 3


def test_large_files_and_links_are_not_read(tmp_path):
    large = tmp_path / "large.ipynb"
    with large.open("wb") as file:
        file.truncate(200 << 20)
    began = time.monotonic()
    with pytest.raises(Unreadable, match=f"larger than {MAX_BYTES >> 20} MB"):
        read_bytes(large)
    assert time.monotonic() - began < 2
    (tmp_path / "link.ipynb").symlink_to(ROOT / "exercises/source/02-fabrication/02-fabrication.ipynb")
    with pytest.raises(Unreadable, match="link"):
        read_bytes(tmp_path / "link.ipynb")
    os.mkfifo(tmp_path / "pipe.ipynb")
    with pytest.raises(Unreadable, match="no regular file"):
        read_bytes(tmp_path / "pipe.ipynb")


def test_submissions_are_found_in_every_layout(tmp_path):
    for path in (
        "ada/99-small/99-small.ipynb",
        "ada/99-small/a.ipynb",
        "bob/x.ipynb",
        "cy.ipynb",
        "\udcff.ipynb",
        ".hidden.ipynb",
        "notes.txt",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("{}")
    (tmp_path / "dan" / "99-small").mkdir(parents=True)
    found = {f.student: f for f in find_submissions(tmp_path, "99-small")}
    assert list(found) == ["ada", "bob", "cy", "dan", "\\xff"]
    assert found["ada"].path.name == "99-small.ipynb" and "2 notebooks" in found["ada"].remark
    assert found["dan"].path is None and "no notebook" in found["dan"].remark
    (tmp_path / "bob.ipynb").write_text("{}")
    with pytest.raises(ValueError, match="both a folder and a notebook"):
        find_submissions(tmp_path, "99-small")
    with pytest.raises(ValueError, match="no such folder"):
        find_submissions(tmp_path / "none", "99-small")


# --- plain data ---------------------------------------------------------------------------------------------------


def test_plain_data_crosses_unchanged():
    import numpy as np
    import pandas as pd

    for value in (
        None,
        True,
        -3,
        2.5,
        float("inf"),
        "ü\n",
        [1, [2]],
        (1, (2.0, "x")),
        {"a": [1], 2: (3,)},
        [],
        {},
        10**30,
    ):
        assert plain.decode(plain.read(plain.write({"v": plain.encode(value)}))["v"]) == value
    assert plain.decode(plain.encode(float("nan"))) != plain.decode(plain.encode(float("nan")))
    for array in (
        np.arange(6.0).reshape(2, 3),
        np.array([True]),
        np.array(["a", "bc"]),
        np.array(3),
        np.zeros((0, 2)),
        np.array([np.nan, 1]),
    ):
        back = plain.decode(plain.encode(array))
        assert type(back) is np.ndarray and back.shape == array.shape and back.dtype.kind == array.dtype.kind
        assert back.tolist() == array.tolist() or np.isnan(array).any()
    assert plain.decode(plain.encode(pd.Series([1.5, 2.5]))).tolist() == [1.5, 2.5]
    assert type(plain.decode(plain.encode(np.float64(1)))) is float


@pytest.mark.parametrize("value", [object(), len, {1, 2}, 1j, b"x", pytest, pytest.mark])
def test_other_data_do_not_cross(value):
    with pytest.raises(plain.NotPlain, match="can cross"):
        plain.encode(value)


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"NaN", b'{"a": Infinity}', b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b'"' + b"9" * 10],
)
def test_lines_that_are_no_message_are_refused(line):
    with pytest.raises(plain.NotPlain):
        plain.read(line)


@pytest.mark.parametrize(
    "message",
    [
        {"array": [1], "shape": [2], "kind": "i"}, {"array": [1], "shape": [1], "kind": "O"}, {"array": [], "shape": [0] * 9, "kind": "f"},
        {"array": [[1]], "shape": [1], "kind": "i"}, {"array": [10**30], "shape": [1], "kind": "i"}, {"float": "1e5"}, {"tuple": 3},
        {"dict": [[[1], 2]]}, {"dict": [[1]]}, {"x": 1}, {"array": [True], "shape": [1], "kind": "i"}, {"array": [1], "shape": [True], "kind": "i"},
        {"dict": [[{"tuple": [[1]]}, 2]]},
    ],
)  # fmt: skip
def test_messages_that_lie_are_refused(message):
    with pytest.raises(plain.NotPlain):
        plain.decode(message)


# --- a folder of submissions --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, exercise):
    """Good, bad and hostile submissions."""
    place = tmp_path / "submitted"
    good = notebook(exercise.questions[0].solution)
    for name, content in {
        "ada/99-small/99-small.ipynb": good, "bob.ipynb": notebook(), "=1+2.ipynb": b"junk", "dan.ipynb": b"",
        "eve.ipynb": notebook("import os; os._exit(1)"), "fay.ipynb": notebook("def double_it(x):\n    while True: pass"),
        "gus.ipynb": notebook("ß = 1\ndef double_it(x): return x"),
    }.items():  # fmt: skip
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


@needs_sandbox
def test_a_folder_is_graded_and_a_stopped_run_goes_on(folder, exercise, tmp_path, monkeypatch):
    seen = []

    def stop(done, count, graded):
        seen.append(graded.result.student)
        if len(seen) == 5:
            raise KeyboardInterrupt

    grader = Grader(exercise, tmp_path / "state", SHORT, progress=stop)
    with pytest.raises(KeyboardInterrupt):
        grader.grade(folder, count=2)
    kept = len(list((tmp_path / "state").glob("*.json")))
    assert 0 < kept < 7 and not list((tmp_path / "state").glob(".*"))

    graded = Grader(exercise, tmp_path / "state", SHORT).grade(folder, count=2)
    assert sum(not g.fresh for g in graded) == kept
    results = {g.result.student: g.result for g in graded}
    assert {s: r.points for s, r in results.items()} == {
        "=1+2": 0, "ada": 6, "bob": 4, "dan": 0, "eve": 3, "fay": 3, "gus": 3}  # fmt: skip
    assert list(results) == sorted(results)

    def no_workers(*_):
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(grading, "workers", no_workers)
    again = Grader(exercise, tmp_path / "state", SHORT).grade(folder)
    assert [g.result for g in again] == [g.result for g in graded]
    (folder / "bob.ipynb").write_bytes(notebook("def double_it(x): return 0"))
    with pytest.raises(AssertionError):
        Grader(exercise, tmp_path / "state", SHORT).grade(folder)

    rows = list(csv.DictReader(io.StringIO(marks_csv([g.result for g in graded]).decode())))
    assert len(rows) == 7 * 3 and rows[0]["student"] == "'=1+2" and rows[0]["remarks"].startswith("not a notebook")
    ada = {r["question"]: r for r in rows if r["student"] == "ada"}
    assert (
        ada["say-why"]["points"] == "" and ada["say-why"]["status"] == "pending" and ada["say-why"]["max_points"] == "3"
    )
    totals = list(csv.DictReader(io.StringIO(totals_csv([g.result for g in graded]).decode())))
    assert totals[1] == {
        "student": "ada",
        "assignment": "99-small",
        "points": "6",
        "pending_points": "3",
        "max_points": "9",
    }


@needs_sandbox
def test_a_cluster_grades_too(folder, exercise, tmp_path):
    from distributed import LocalCluster

    place = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with LocalCluster(processes=False, protocol="tcp://", n_workers=2, threads_per_worker=1, **place) as cluster:
        graded = Grader(exercise, tmp_path / "state", SHORT).grade(folder, scheduler=cluster.scheduler_address)
    assert [g.result.points for g in graded] == [0, 6, 4, 0, 3, 3, 3] and not any(g.failed for g in graded)


def test_a_scheduler_that_does_not_answer_is_named(folder, exercise, tmp_path):
    with pytest.raises(ValueError, match="no Dask scheduler answers at nonsense"):
        Grader(exercise, tmp_path / "state", SHORT).grade(folder, scheduler="nonsense://x")


def test_a_failure_of_the_grading_is_told_and_tried_again(folder, exercise, tmp_path, monkeypatch):
    def broken(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(grading, "judge", broken)
    graded = Grader(exercise, tmp_path / "state", SHORT, guarded=False).grade(folder, count=1)
    assert [bool(g.failed) for g in graded] == [False, False, False, False, False, False, False] or any(
        g.failed for g in graded
    )
    assert not list((tmp_path / "state").glob("*.json"))


def test_without_a_sandbox_nothing_is_run(folder, exercise, tmp_path, monkeypatch):
    monkeypatch.setattr("aistack.grading.sandbox.bubblewrap", lambda: None)
    with pytest.raises(NoSandbox, match=r"apt install bubblewrap.*--no-sandbox"):
        Grader(exercise, tmp_path / "state").grade(folder)
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr("aistack.grading.sandbox.bubblewrap", lambda: str(fake))
    with pytest.raises(NoSandbox, match=r"cannot shut a process in \(bwrap: setting up uid map.*user namespaces"):
        check_sandbox()


def test_files_are_whole_or_not_there(tmp_path, monkeypatch):
    write_whole(tmp_path / "a.csv", b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "a.csv", b"new")
    assert (tmp_path / "a.csv").read_bytes() == b"old" and os.listdir(tmp_path) == ["a.csv"]


# --- the command, and nbgrader after it ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """``aistack grade`` on two real submissions."""
    place = tmp_path_factory.mktemp("course")
    exercise = read_exercise(ROOT / "exercises/source/02-fabrication/02-fabrication.ipynb")
    released = json.loads(release_text(exercise, ROOT))
    (place / "in").mkdir()
    (place / "in" / "idle.ipynb").write_text(json.dumps(released))
    solutions = {q.ident: q.solution for q in exercise.questions}
    for entry in released["cells"]:
        ident = entry["metadata"].get("nbgrader", {}).get("grade_id")
        if ident in solutions and ident != "cost-band":
            entry["source"] = solutions[ident]
    (place / "in" / "ada.ipynb").write_text(json.dumps(released))
    arguments = [
        "grade",
        "02-fabrication",
        str(place / "in"),
        "--out",
        str(place / "marks.csv"),
        "--feedback",
        str(place / "feedback"),
        "--workers",
        "1",
    ]
    if why_no_sandbox():
        arguments.append("--no-sandbox")
    assert cli.main(arguments) == 0
    return place, exercise, arguments


def test_command_writes_marks_feedback_and_gradebook(run):
    place, exercise, _ = run
    rows = list(csv.DictReader((place / "marks.csv").open()))
    assert [r["status"] for r in rows] == ["full"] * 5 + ["untouched", "pending"] + ["untouched"] * 7
    page = (place / "feedback/ada/02-fabrication/02-fabrication.html").read_text()
    assert "14 of 20 points" in page and "BEGIN HIDDEN" not in page
    answered = [q for q in exercise.questions if q.ident != "cost-band"]
    for check in (c for q in answered for c in q.checks if c.hidden):
        assert check.says in page.replace("&#x27;", "'") and check.code.splitlines()[2] not in page
    assert (place / "autograded/ada/02-fabrication/02-fabrication.ipynb").is_file()


def test_nbgrader_goes_on_from_the_gradebook(run):
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    place, _, arguments = run
    url = f"sqlite:///{place / 'gradebook.db'}"
    with Gradebook(url) as book:
        submission = book.find_submission("02-fabrication", "ada")
        assert (submission.score, submission.max_score, submission.needs_manual_grade) == (14, 20, True)
        grade = book.find_grade("contract-advice", "02-fabrication", "02-fabrication", "ada")
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        book.db.commit()
    settings = Config()
    settings.CourseDirectory.root = str(place)
    settings.CourseDirectory.db_url = url
    told = NbGraderAPI(config=settings).generate_feedback("02-fabrication", student_id="ada")
    assert told["success"], told["log"]
    assert NbGraderAPI(config=settings).get_autograded_students("02-fabrication") == {"ada", "idle"}
    page = (place / "feedback/ada/02-fabrication/02-fabrication.html").read_text()
    assert "16.5" in page and "by_counting" not in page and "BEGIN HIDDEN" not in page
    assert cli.main(arguments) == 0
    rows = {r["question"]: r for r in csv.DictReader((place / "marks.csv").open()) if r["student"] == "ada"}
    assert (rows["contract-advice"]["points"], rows["contract-advice"]["status"]) == ("2.5", "marked")


def test_gradebook_that_cannot_be_opened_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"cannot be opened|not installed"):
        gradebook._open(f"sqlite:///{tmp_path}/none/gradebook.db")
    with pytest.raises(ValueError, match=r"cannot be opened|not installed"):
        gradebook._open("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(ValueError, match="cannot be opened"):
        gradebook._open("no url")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["grade", "02-fabrikation", ".", "--out", "x.csv"], "did you mean 02-fabrication?"),
        (["grade", "02-fabrication", "nowhere", "--out", "x.csv"], "no such folder"),
        (["grade", "02-fabrication", "tests", "--out", "x.csv", "--workers", "0"], "a whole number from 1"),
        (["grade", "02-fabrication", "exercises", "--out", "exercises/x.csv"], "keep the marks out of the folder"),
        (["release", "77-none"], "no exercise '77-none'"),
        (["grade", "02-fabrication"], "required"),
    ],
)
def test_command_says_what_is_wrong(arguments, said, tmp_path):
    done = subprocess.run([sys.executable, "-m", "aistack.cli", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr


def test_bubblewrap_is_found_beside_python(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    fake = tmp_path / "python"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bwrap").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "bwrap").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / fake.name))
    assert bubblewrap() == str(tmp_path / "bin" / "bwrap")
