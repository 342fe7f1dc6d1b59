"""The process in which a student's cells run: it reads requests, runs code, answers with plain data.

``main`` takes over standard input (requests) and one more descriptor (answers); what the student's code prints goes to
standard output, which the judge reads up to a limit. Nothing here is trusted: the student's code lives in this
process and may answer whatever it likes in the place of this loop. It can learn no more than what it is asked, one
question at a time, and say no more than an answer.
"""

import builtins
import contextlib
import linecache
import os
import re
import sys
import traceback

from aistack.grading import plain, seccomp

__all__ = ["main"]

_CELL = "answer"
_MAGIC = re.compile(r"([ \t]*)[%!].*")


def _limit(seconds: int, memory_mb: int, file_mb: int) -> None:
    """Let the kernel hold this process to its limits."""
    import resource

    barred = seccomp.bar()
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: memory_mb << 20,
        resource.RLIMIT_FSIZE: file_mb << 20,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 256,
    }
    if not barred:  # with the filter no process can be started; without it, hold down their number
        limits[resource.RLIMIT_NPROC] = 64
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # a system that lacks this one
            resource.setrlimit(kind, (most, most))


def _lines_of(error: BaseException, cell: str) -> str:
    """What went wrong, with the lines of the student's own cell."""
    try:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == f"<{cell}>"]
        where = "".join(f"line {f.lineno}: {f.line or ''}\n" for f in frames[-5:])
        if isinstance(error, SyntaxError) and error.filename == f"<{cell}>":
            where = f"line {error.lineno}: {(error.text or '').strip()}\n"
        return f"{where}{type(error).__name__}: {error}"[:2000]
    except BaseException:
        return "an error that cannot be shown"


def _kind_of(error: BaseException) -> str:
    """The builtin exception that an error is one of; the judge raises that one."""
    for kind in type(error).__mro__:
        if getattr(builtins, kind.__name__, None) is kind:
            return kind.__name__
    return "Exception"


def _compiled(code: str, name: str):
    """Code of a cell; lines with magics, which only a notebook knows, do nothing."""
    while True:
        try:
            compiled = compile(code, name, "exec", dont_inherit=True)
            break
        except SyntaxError as error:
            lines = code.split("\n")
            at = (error.lineno or 0) - 1
            if not (0 <= at < len(lines) and _MAGIC.fullmatch(lines[at])):
                raise
            lines[at] = _MAGIC.sub(r"\1pass", lines[at])
            code = "\n".join(lines)
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)  # for the lines of a traceback
    return compiled


def _serve(request: dict, space: dict) -> dict:
    what = request["do"]
    if what == "run":
        cell = request["cell"]
        exec(_compiled(request["code"], f"<{cell}>"), space)
        return {}
    name = request["name"]
    if name not in space:
        raise NameError(f"{name} is not defined")
    if what == "look":
        value = space[name]
        return {"callable": True} if callable(value) else {"value": plain.encode(value)}
    args, kwargs = plain.decode(request["args"]), plain.decode(request["kwargs"])
    return {"value": plain.encode(space[name](*args, **kwargs))}


def main() -> None:
    """Serve requests until there are none left."""
    seconds, memory_mb, file_mb, answers = (int(word) for word in sys.argv[1:5])
    requests = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.environ["MPLBACKEND"] = "agg"
    _limit(seconds, memory_mb, file_mb)
    space = {"__name__": "__main__", "__builtins__": builtins, "display": lambda *args, **kwargs: None}
    while line := requests.readline():
        request = plain.read(line)
        try:
            answer = _serve(request, space)
        except BaseException as error:
            cell = request.get("cell") or _CELL
            answer = {"error": _kind_of(error), "says": _lines_of(error, cell)}
        try:
            message = plain.write({"id": request["id"]} | answer)
        except Exception:
            message = plain.write({"id": request["id"], "error": "TypeError", "says": "a value that is no plain data"})
        while message:
            message = message[os.write(answers, message) :]
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                continue


if __name__ == "__main__":
    main()
