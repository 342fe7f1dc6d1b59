"""Build the book beside the last good site and put it in its place only when it is whole.

Sphinx writes into ``_build/.work``, which keeps its state from build to build. A finished site is copied beside ``_build/html``
and takes its place by renaming, so that a failure, an interruption or a full disk leaves the last good site as it was. What
an earlier build left half done is cleared away by the next.
"""

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["BuildError", "build", "end_with_parent", "no_room", "one_line", "reason", "stamp"]

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BuildError(RuntimeError):
    """The book cannot be built; the message is for the reader: what is wrong, and the way out."""


def _causes(error: BaseException):
    """Yield `error` and what led to it, as far as it is told."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "orig_exc", None) or getattr(error, "orig", None) or error.__cause__ or error.__context__


def no_room(text: str) -> bool:
    """Tell whether a message is about a full disk."""
    codes = "|".join(str(code) for code in NO_ROOM)
    return bool(re.search(rf"(?:\[Errno |OSError\()(?:{codes})\b|disk is full|No space left on device", text))


def reason(error: BaseException) -> str:
    """Return in one line what went wrong, and the way out where it is known.

    Parameters
    ----------
    error : BaseException
        Its causes are looked through for a full disk or a bad table, which tell more than what they led to.
    """
    from aistack.data import DataError

    causes = list(_causes(error))
    for cause in causes:
        if no_room(str(cause)) or getattr(cause, "errno", None) in NO_ROOM:
            where = getattr(cause, "filename", None)
            return f"no room on the disk{f' for {where}' if where else ''}; free some, then build again"
        if isinstance(cause, DataError):
            return " ".join(str(cause).split())
    inner = [
        cause.orig_exc for cause in causes if getattr(cause, "orig_exc", None)
    ]  # what a handler of Sphinx's raised
    return one_line(type(inner[-1] if inner else error).__name__, str(inner[-1] if inner else error))


def one_line(name: str, message: str, limit: int = 300) -> str:
    """Return an error's name and message on one line."""
    text = " ".join(message.split()) or "no message"
    return f"{name}: {text if len(text) <= limit else text[:limit] + ' …'}"


def stamp(root: Path) -> int:
    """Return the time of the commit that is built, in seconds since 1970, and hand it to all that the build starts.

    ``SOURCE_DATE_EPOCH`` comes first where it is set (https://reproducible-builds.org/specs/source-date-epoch); without
    either, as in an unpacked archive, the time is now.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not given.isdecimal():
        with suppress(OSError):
            shown = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=root, capture_output=True, text=True)
            given = shown.stdout.strip()
    epoch = int(given) if given.isdecimal() else int(time.time())
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    return epoch


def end_with_parent(first=lambda: None) -> None:
    """End this process, after calling `first`, when the one that started it is gone, even if that was killed."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(0.3)
        first()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _alone(folder: Path):
    """Hold the folder of the build for one build at a time; the lock goes with the processes that hold it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            import fcntl
        except ImportError:  # Windows
            yield file
            return
        for _ in range(50):  # what a killed build started may need a moment to end
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            file.seek(0)
            owner = file.read().strip()
            if _running(owner):
                raise BuildError(f"another build runs in this folder (process {owner}); wait until it is done")
            time.sleep(0.1)
        else:
            raise BuildError(f"{file.name} is held by what a killed build left running; end that, then build again")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _made_of(root: Path) -> str:
    """Return a digest of what decides which pages there are: pages that go would stay in Sphinx's folder."""
    return hashlib.sha256(b"".join((root / name).read_bytes() for name in ("_toc.yml", "_config.yml"))).hexdigest()


def _recover(folder: Path) -> None:
    """Put back or clear away what an interrupted build left."""
    site, new, old = folder / "html", folder / ".html-new", folder / ".html-old"
    if old.exists() and not site.exists():  # killed between two renames
        old.rename(site)
    _remove(new)
    _remove(old)


def _publish(folder: Path) -> None:
    """Copy the finished site beside the last one, then let it take its place."""
    site, new, old = folder / "html", folder / ".html-new", folder / ".html-old"
    try:
        shutil.copytree(folder / ".work" / "html", new, ignore=shutil.ignore_patterns(".buildinfo"))
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if site.exists():
        site.rename(old)
    try:
        new.rename(site)
    except BaseException:
        if old.exists():
            old.rename(site)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _render(root: Path, lock) -> None:
    """Run Sphinx in a process of its own."""
    folder = root / "_build"
    work, log = folder / ".work", folder / "failed" / "site.txt"
    unfinished, made_of = work / "unfinished", work / "made-of"
    for fresh in (False, True):
        kept = made_of.exists() and not unfinished.exists() and made_of.read_text() == _made_of(root)
        if fresh or not kept:
            _remove(work)
        work.mkdir(exist_ok=True)
        unfinished.touch()
        done = subprocess.run(
            [sys.executable, "-c", "import sys, aistack.book.build as b; sys.exit(b.make_pages())"], cwd=root,
            env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True, errors="replace", pass_fds=(lock.fileno(),) if os.name == "posix" else (),
        )  # fmt: skip
        if done.returncode == 0:
            made_of.write_text(_made_of(root))
            unfinished.unlink()
            return
        if fresh or not kept or done.returncode == 1 or no_room(done.stdout + done.stderr):
            break
        print("what earlier builds left of the pages cannot be used: all pages are made again", flush=True)
    with suppress(OSError):
        log.parent.mkdir(exist_ok=True)
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if no_room(done.stdout + done.stderr):
        raise BuildError("no room on the disk for the pages; free some, then build again")
    if done.returncode == 1:
        shown = re.sub(r"\x1b\[[\d;]*m", "", done.stderr)
        warned = list(dict.fromkeys(line for line in shown.splitlines() if re.search(r"\b(WARNING|ERROR)\b", line)))
        print(*warned, sep="\n", file=sys.stderr)
        raise BuildError(f"{len(warned)} warnings, and none is allowed: mend what they name (more in {log})")
    told = done.stdout.strip().splitlines()
    ended = f"the process that makes the pages was ended ({done.returncode})"
    raise BuildError(f"{told[-1] if told else ended} (more in {log})")


def build(root: Path) -> int:
    """Execute what needs it, make the pages, put the site in its place; return how many notebooks ran.

    Raises
    ------
    BuildError
        If the site was not made: the last good one is as it was.
    """
    from aistack.book.execute import execute

    folder = root / "_build"
    try:
        with _alone(folder) as lock:
            _recover(folder)
            stamp(root)
            ran = execute(root)
            print(
                f"{ran} notebooks executed" if ran else "nothing to execute: every notebook is in the cache", flush=True
            )
            _render(root, lock)
            _publish(folder)
            _remove(folder / "failed")
    except OSError as error:
        raise BuildError(reason(error)) from error
    return ran


def make_pages() -> int:
    """Make the pages of the present folder; return 1 after warnings, 2 when Sphinx gave up, with one line why."""
    end_with_parent()
    from jupyter_book.sphinx import build_sphinx

    root = Path.cwd()
    work = root / "_build" / ".work"
    overrides = {"external_toc_path": "_toc.yml", "latex_individualpages": False, "nitpicky": True}
    try:
        result = build_sphinx(
            root, work / "html", path_config=root / "_config.yml", noconfig=True, confoverrides=overrides,
            doctreedir=work / "doctrees", warningiserror=True, keep_going=True, quiet=True,
        )  # fmt: skip
    except Exception as error:
        result = error
    if isinstance(result, BaseException):
        print(reason(result))
        return 2
    return int(bool(result))
