"""Grade a folder of submissions on many cores or machines; whatever was done is kept, and one that fails stops no other."""

import csv
import hashlib
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from aistack.grading.exercise import Exercise
from aistack.grading.judge import Result, judge, unreadable
from aistack.grading.release import write_whole
from aistack.grading.sandbox import Limits, NoSandbox, check_sandbox, visible_folders
from aistack.grading.submission import Found, Unreadable, find_submissions, read_bytes

__all__ = ["Graded", "Grader", "judge_one", "marks_csv", "totals_csv", "workers"]


@dataclass
class Graded:
    """One student's result, and how it came about."""

    result: Result
    fresh: bool
    """Judged in this run, not taken over from an earlier one."""
    failed: str = ""
    """Why the grading itself failed; such a submission is tried again in the next run."""


def judge_one(exercise: Exercise, student: str, content: bytes, limits: Limits, guarded: bool) -> tuple[dict, str]:
    """Judge one submission on whatever machine this runs; a failure of the grading is returned, not raised."""
    try:
        if guarded:
            check_sandbox()
        return judge(exercise, student, content, limits, guarded).as_dict(), ""
    except Exception as error:
        reason = str(error) if isinstance(error, NoSandbox) else f"{type(error).__name__}: {error}"
        result = unreadable(
            exercise, student, "the grading of this submission failed; it is tried again in the next run"
        )
        return result.as_dict(), reason[:1000]


@lru_cache
def _version() -> str:
    """A digest of the code that grades: results of other code are not taken over."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def workers(scheduler: str | None, count: int | None) -> Iterator:
    """Give a Dask client: of a cluster, or of this machine's cores.

    Parameters
    ----------
    scheduler : str, optional
        Address such as ``tcp://host:8786``; its workers need this package and bubblewrap.
    count : int, optional
        Submissions at a time on this machine; as many as it has cores by default.
    """
    import dask
    from distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout="15s")
        except (OSError, TimeoutError, ValueError) as error:
            raise ValueError(f"no Dask scheduler answers at {scheduler} ({error})") from None
        with client:
            yield client
        return
    cores = count or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    processes = -(
        -cores // 8
    )  # the work is in the students' processes: threads will do, in one process for every eight
    local = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    if processes > 1:  # they talk over a port, which others on this machine must not use
        try:
            from distributed.security import Security

            local["security"] = Security.temporary()
        except ImportError:  # without the cryptography package
            processes = 1
    if processes == 1:
        del local["host"]
    quiet = {f"distributed.worker.memory.{step}": False for step in ("target", "spill", "pause", "terminate")}
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=processes,
            threads_per_worker=-(-cores // processes),
            processes=processes > 1,
            silence_logs=logging.ERROR,
            **local,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@dataclass
class Grader:
    """Grades the submissions of one exercise.

    ``state`` is a folder that keeps every finished result, so that a run that was stopped goes on where it was.
    """

    exercise: Exercise
    state: Path
    limits: Limits = field(default_factory=Limits)
    guarded: bool = True
    fresh: bool = False
    progress: Callable[[int, int, Graded], None] = lambda done, count, graded: None

    def __post_init__(self):
        source = self.exercise.path.resolve()
        for folder in visible_folders():
            if self.guarded and source.is_relative_to(folder):
                raise ValueError(
                    f"{source} lies in {folder}, which students' code can read; keep the course outside of Python's folder"
                )

    def _key(self, digest: str) -> str:
        source = self.exercise.path.read_bytes()
        parts = [source, digest.encode(), _version().encode(), repr(self.limits).encode()]
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    def _file(self, student: str) -> Path:
        return self.state / f"{hashlib.sha256(student.encode('utf-8', 'surrogateescape')).hexdigest()[:24]}.json"

    def _kept(self, student: str, digest: str) -> Result | None:
        if self.fresh:
            return None
        try:
            kept = json.loads(self._file(student).read_text(encoding="utf-8"))
            if kept["key"] == self._key(digest) and kept["result"]["student"] == student:
                return Result.from_dict(kept["result"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def _keep(self, result: Result, digest: str) -> None:
        kept = {"key": self._key(digest), "result": result.as_dict()}
        write_whole(self._file(result.student), json.dumps(kept).encode())

    def _read(self, found: Found) -> tuple[bytes, str]:
        try:
            return read_bytes(found.path), ""
        except Unreadable as error:
            return b"", found.remark if found.path is None else str(error)

    def grade(self, folder: Path, scheduler: str | None = None, count: int | None = None) -> list[Graded]:
        """Grade all submissions under a folder.

        Parameters
        ----------
        folder : Path
            See :func:`aistack.grading.submission.find_submissions`.
        scheduler, count :
            See :func:`workers`.

        Returns
        -------
        list of Graded
            Sorted by student.

        Raises
        ------
        NoSandbox
            If students' code cannot be shut in on this machine and no scheduler is named.
        ValueError
            If the folder holds no submissions.
        """
        found = find_submissions(Path(folder), self.exercise.name)
        if self.guarded and not scheduler:
            check_sandbox()
        done: dict[str, Graded] = {}
        left = [entry for entry in found if not self._settle(entry, done, len(found))]
        if left:
            with workers(scheduler, count) as client:
                self._map(client, left, done, len(found))
        return [done[entry.student] for entry in found]

    def _report(self, done, graded: Graded, remark: str, count: int) -> None:
        if remark and remark not in graded.result.remarks:
            graded.result.remarks.append(remark)
        done[graded.result.student] = graded
        self.progress(len(done), count, graded)

    def _settle(self, entry: Found, done: dict, count: int) -> bool:
        """Deal with what needs no sandbox: what was judged before, and what cannot be read."""
        content, reason = self._read(entry)
        if reason:
            self._report(done, Graded(unreadable(self.exercise, entry.student, reason), True), "", count)
            return True
        kept = self._kept(entry.student, hashlib.sha256(content).hexdigest())
        if kept:
            self._report(done, Graded(kept, False), entry.remark, count)
        return kept is not None

    def _map(self, client, left: list[Found], done: dict, count: int) -> None:
        """Keep the workers busy without holding every submission in memory."""
        from distributed import as_completed

        exercise = client.scatter(self.exercise, broadcast=True)
        waiting, running, queue = iter(left), {}, as_completed()

        def send() -> bool:
            entry = next(waiting, None)
            if entry is None:
                return False
            content, _ = self._read(entry)
            future = client.submit(
                judge_one, exercise, entry.student, content, self.limits, self.guarded, pure=False, retries=0
            )
            running[future.key] = (entry, hashlib.sha256(content).hexdigest())
            queue.add(future)
            return True

        ahead = 3 * max(sum(client.nthreads().values()), 1)
        for _ in range(ahead):
            send()
        for future in queue:
            entry, digest = running.pop(future.key)
            if future.status == "finished":
                data, failed = future.result()
                result = Result.from_dict(data)
            else:
                failed = f"a worker was lost: {future.exception()}"[:1000]
                reason = "the grading of this submission failed; it is tried again in the next run"
                result = unreadable(self.exercise, entry.student, reason)
            if not failed:
                self._keep(result, digest)
            self._report(done, Graded(result, True, failed), entry.remark, count)
            future.release()
            send()


# --- tables -------------------------------------------------------------------------------------------------------


def _safe(cell):
    """A text that a spreadsheet takes for a text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell


def _table(head: list[str], rows) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", errors="replace")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def marks_csv(results: list[Result]) -> bytes:
    """Return the marks by question: one row for each student and question; what is pending has no points yet."""
    rows = (
        [r.student, r.assignment, q.ident, _number(q.points), _number(q.max_points), q.status, "; ".join(r.remarks)]
        for r in results
        for q in r.questions
    )
    return _table(["student", "assignment", "question", "points", "max_points", "status", "remarks"], rows)


def totals_csv(results: list[Result]) -> bytes:
    """Return one row for each student: points so far, points that a person still has to give, points to be had."""
    rows = (
        [
            r.student,
            r.assignment,
            _number(r.points),
            _number(r.pending),
            _number(sum(q.max_points for q in r.questions)),
        ]
        for r in results
    )
    return _table(["student", "assignment", "points", "pending_points", "max_points"], rows)


def show_progress(done: int, count: int, graded: Graded) -> None:
    """Write one line on standard error."""
    result = graded.result
    pending = f" + {result.pending:g} by hand" if result.pending else ""
    how = "failed: " + graded.failed if graded.failed else result.unreadable or ("" if graded.fresh else "as before")
    name = result.student.encode("utf-8", "replace").decode()
    print(f"{done}/{count} {name}: {result.points:g}{pending}{f' ({how})' if how else ''}", file=sys.stderr, flush=True)
