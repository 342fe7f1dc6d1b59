"""The models of the fourteen layers as tools of a Model Context Protocol server, over standard input and output.

``python -m aistack.mcp`` serves; a host such as an editor or a chat program starts it and talks to it. Nobody writes the tools
down: every public function of :mod:`aistack.layers` whose arguments JSON can carry is one, described by its signature and its
docstring. Three more look things up in the course: a claim of the ledger, a fact with its source, a term of the glossary.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import math
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from aistack import __version__, data, layers
from aistack.claims import claims

__all__ = ["ToolError", "call", "describe", "serve", "server", "tools"]

MOST = 10  #: findings that a look-up returns
#: What the last parts of an argument's name say about its unit; the longest that fits counts.
UNITS = {
    "b_per_s": "bytes per second", "bit_per_s": "bits per second", "flop_per_s": "operations per second", "flop_per_b": "operations per byte",
    "tokens_per_s": "tokens per second", "flop": "operations", "bytes": "bytes", "gb": "GB", "bits": "bits", "s": "seconds", "ms": "milliseconds", "h": "hours", "days": "days",
    "months": "months", "years": "years", "w": "watts", "mw": "megawatts", "kwh": "kWh", "j": "joules", "usd": "US dollars", "mm": "millimetres", "mm2": "mm2", "um": "micrometres",
    "nm": "nanometres", "m": "metres", "m2": "m2", "hz": "hertz", "fraction": "0 to 1", "percent": "percent", "tokens": "tokens", "points": "rating points",
}  # fmt: skip


class ToolError(ValueError):
    """A call that cannot be answered; the message names the argument and what it must be."""


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of a tool, as its function's signature and docstring give it."""

    name: str
    kind: str  # "integer", "number", "boolean", "string", "array", or "number or array"
    unit: str
    text: str
    required: bool
    default: object = None

    @property
    def about(self) -> str:
        """Unit and explanation."""
        return ": ".join(part for part in (self.unit, self.text) if part)

    def schema(self) -> dict:
        """Return the argument as JSON Schema."""
        numbers = {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "array"}]}}
        shape = {"array": numbers, "number or array": {"anyOf": [{"type": "number"}, numbers]}}
        shape = dict(shape.get(self.kind, {"type": self.kind}))
        if self.about:
            shape["description"] = self.about
        if not self.required and isinstance(self.default, bool | int | float | str) and _finite(self.default):
            shape["default"] = self.default
        return shape

    def checked(self, value):
        """Return `value` as the function takes it.

        Raises
        ------
        ToolError
            If it is of another kind.
        """
        fits = {
            "boolean": isinstance(value, bool),
            "string": isinstance(value, str),
            "integer": _is_number(value) and value != "inf" and value == int(value),
            "number": _is_number(value),
            "array": isinstance(value, list) and _all_numbers(value),
            "number or array": _is_number(value) or (isinstance(value, list) and _all_numbers(value)),
        }
        if not fits[self.kind]:
            unit = f" ({self.unit})" if self.unit else ""
            raise ToolError(f"argument {self.name!r}{unit} must be {_a(self.kind)}, not {json.dumps(value)[:60]}")
        if self.kind == "integer":
            return int(value)
        if isinstance(value, list):
            try:
                return np.array(value, dtype=float)
            except ValueError:
                raise ToolError(f"argument {self.name!r} must have rows of equal length") from None
        return math.inf if value == "inf" and self.kind != "string" else value


@dataclasses.dataclass(frozen=True)
class Tool:
    """A function that is offered, with its arguments."""

    name: str
    function: Callable
    about: str
    arguments: tuple[Argument, ...]
    unit: str

    def schema(self) -> dict:
        """Return the arguments as JSON Schema."""
        return {
            "type": "object",
            "properties": {a.name: a.schema() for a in self.arguments},
            "required": [a.name for a in self.arguments if a.required],
            "additionalProperties": False,
        }


def _is_number(value) -> bool:
    """A number, or the word that stands for infinity, which JSON has no number for."""
    return value == "inf" or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))


def _all_numbers(values: list) -> bool:
    return all(_is_number(v) or (isinstance(v, list) and _all_numbers(v)) for v in values)


def _finite(value) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _a(kind: str) -> str:
    names = {"integer": "an integer", "array": "a list of numbers", "number or array": "a number or a list of numbers"}
    return names.get(kind, f"a {kind}")


# From docstrings to tools


def _sections(function) -> dict[str, list[str]]:
    """Return the sections of a numpydoc docstring, the text before the first under ``""``."""
    lines, found, at = (inspect.getdoc(function) or "").split("\n"), {"": []}, ""
    for line, under in zip(lines, [*lines[1:], ""], strict=True):
        if re.fullmatch(r"-{3,}", under) and line.strip():
            at = line.strip()
            found[at] = []
        elif not re.fullmatch(r"-{3,}", line):
            found[at].append(line)
    return found


def _documented(function) -> dict[str, tuple[str, str]]:
    """Return name -> (kind and unit, explanation) from the section Parameters."""
    found, names = {}, []
    for line in _sections(function).get("Parameters", []):
        if line and not line[0].isspace():
            head, _, kind = line.partition(" : ")
            names = [name.strip() for name in head.split(",")]
            found |= {name: (kind.strip(), "") for name in names}
        elif line.strip():
            for name in names:
                found[name] = (found[name][0], f"{found[name][1]} {line.strip()}".strip())
    return found


def _unit(name: str) -> str:
    """Return the unit that an argument's name ends in; nothing for ``wafers_per_month``, whose unit is no month."""
    parts = name.split("_")
    tails = ("_".join(parts[i:]) for i in range(len(parts)) if i or len(name) > 1)
    return next((UNITS[tail] for tail in tails if tail in UNITS and f"per_{tail}" not in name), "")


def _words(text: str) -> str:
    """Return docstring text without its markup."""
    return re.sub(r"`+", "", re.sub(r":\w+:(?=`)", "", text))


def _argument(parameter: inspect.Parameter, kind: str, text: str) -> Argument | None:
    """Return the argument, or None where JSON cannot carry it."""
    said, annotation = kind.lower(), str(parameter.annotation).strip("'\"")
    named = annotation if parameter.annotation is not inspect.Parameter.empty else ""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return None
    if re.search(r"generator|callable|transformer|dict|set of", said) or re.search(r"[A-Z]", named):
        return None
    lists = re.search(r"array|sequence|list", said)
    if "bool" in said or isinstance(parameter.default, bool):
        shape = "boolean"
    elif re.match(r"str\b|\{", said) or isinstance(parameter.default, str):
        shape = "string"
    elif lists:
        shape = (
            "number or array" if re.search(r"(int|float|number|^array_like.*) or |or (number|array)", said) else "array"
        )
    elif re.match(r"int\b(?!, float)", said):
        shape = "integer"
    else:
        shape = "number" if said and "number" not in said and "float" not in said else "number or array"
        shape = "number" if re.match(r"(float|number)\b", said) else shape
    after = kind.split(", ", 1)[1] if ", " in kind and not lists else ""
    unit = (
        after
        if after and not after.startswith("optional")
        else ""
        if shape in ("boolean", "string")
        else _unit(parameter.name)
    )
    empty = parameter.default is inspect.Parameter.empty
    return Argument(parameter.name, shape, unit, _words(text).rstrip("."), empty, None if empty else parameter.default)


def _tool(name: str, function: Callable) -> Tool | None:
    """Return the function as a tool, or None where JSON cannot carry its arguments."""
    documented = _documented(function)
    parameters = inspect.signature(function).parameters.values()
    arguments = [_argument(p, *documented.get(p.name, ("", ""))) for p in parameters]
    if None in arguments:
        return None
    sections = _sections(function)
    returned = next((line for line in sections.get("Returns", []) if line.strip()), "")
    unit = re.match(r"(?:int|float|number)(?: or array)?, (.+)", returned)
    about = _words(" ".join(line.strip() for line in sections[""] if line.strip()))
    about += f" Returns: {_words(returned)}." if returned else ""
    return Tool(name, function, about, tuple(arguments), unit.group(1) if unit else "")


# What looks things up


def _found(words: str, texts) -> list[int]:
    wanted = re.findall(r"[\w.%-]+", words.lower())
    if not wanted:
        raise ToolError("argument 'words' must hold at least one word to look for")
    share = [sum(w in text.lower() for w in wanted) for text in texts]
    best = max(share, default=0)
    return [i for i, hits in enumerate(share) if hits == best and hits * 2 >= len(wanted)][:MOST]


def course_claims(words):
    """Look up published statements about AI that the course has checked, with the verdict and the reason.

    Parameters
    ----------
    words : str
        What the statement is about; the claims that hold most of the words are returned.
    """
    ledger = claims()
    return [
        {
            "claim": one.claim_id, "layer": one.layer, "says": one.paraphrase, "stated": list(one.stated_range or ()), "unit": one.unit or "",
            "verdict": one.verdict, "why": one.why, "source": one.source_id or "",
        }
        for one in (ledger[i] for i in _found(words, [f"{c.claim_id} {c.paraphrase}" for c in ledger]))
    ]  # fmt: skip


def course_facts(words):
    """Look up figures that the course holds, each with its date and its source.

    Parameters
    ----------
    words : str
        Whose figure, and which; the facts that hold most of the words are returned.
    """
    rows = data.load("facts").astype(object).to_dict("records")
    texts = [f"{r['fact_id']} {r['entity']} {r['quantity']} {r['topic']}" for r in rows]
    wanted = ("fact_id", "entity", "quantity", "value_low", "value", "value_high", "unit", "as_of", "source_id")
    return [{key: rows[i][key] for key in wanted if _given(rows[i][key])} for i in _found(words, texts)]


def course_terms(words):
    """Look up terms of the course's glossary.

    Parameters
    ----------
    words : str
        The term; the entries that hold most of the words are returned, those that hold them in their name first.
    """
    rows = data.load("course_glossary").to_dict("records")
    hits = _found(words, [r["term"] for r in rows]) or _found(words, [f"{r['term']} {r['text']}" for r in rows])
    return [{"term": rows[i]["term"], "chapter": rows[i]["chapter"], "text": rows[i]["text"]} for i in hits]


def _given(value) -> bool:
    return value is not None and value == value and str(value) not in ("", "<NA>")


# Tools and calls


@cache
def tools() -> dict[str, Tool]:
    """Return every tool by name: ``<module>-<function>`` for the models, ``course-<what>`` for the look-ups."""
    found = {}
    for module in pkgutil.iter_modules(layers.__path__):
        loaded = importlib.import_module(f"{layers.__name__}.{module.name}")
        for name in loaded.__all__:
            function = getattr(loaded, name)
            if inspect.isfunction(function) and (tool := _tool(f"{module.name}-{name}", function)):
                found[tool.name] = tool
    for function in (course_claims, course_facts, course_terms):
        name = function.__name__.replace("_", "-")
        found[name] = _tool(name, function)
    return found


def plain(value):
    """Return a result as JSON can carry it: arrays and tuples as lists, records as objects, what is not finite as a word."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple | set | frozenset | Iterator):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def call(name: str, arguments: dict | None = None) -> dict:
    """Return ``{"result": ..., "unit": ...}`` of a tool.

    Parameters
    ----------
    name : str
        One of :func:`tools`.
    arguments : dict
        As its schema says.

    Raises
    ------
    ToolError
        If there is no such tool, or an argument is missing, unknown, of another kind or out of range; the message names it.

    Examples
    --------
    >>> call("middleware-task_success", {"step_success": 0.95, "steps": 10})
    {'result': 0.5987369392383787, 'unit': '0 to 1'}
    """
    arguments = arguments or {}
    if name not in tools():
        raise ToolError(f"no tool {name!r}{data._nearest(name, tools())}")
    tool = tools()[name]
    known = {a.name: a for a in tool.arguments}
    for given in arguments:
        if given not in known:
            takes = ", ".join(known)
            raise ToolError(f"argument {given!r} is unknown{data._nearest(given, known)}; {name} takes {takes}")
    for argument in tool.arguments:
        if argument.required and argument.name not in arguments:
            unit = f" ({argument.unit})" if argument.unit else ""
            raise ToolError(f"argument {argument.name!r}{unit} is missing")
    checked = {key: known[key].checked(value) for key, value in arguments.items()}
    try:
        with np.errstate(all="ignore"):
            return {"result": plain(tool.function(**checked)), "unit": tool.unit}
    except ToolError:
        raise
    except ValueError as error:
        text = str(error)
        named = any(re.search(rf"\b{re.escape(key)}\b", text) for key in known)
        raise ToolError(text if named else f"{text} (arguments: {', '.join(known)})") from error
    except (ArithmeticError, IndexError, TypeError, np.linalg.LinAlgError) as error:
        raise ToolError(f"{name} cannot be computed from {json.dumps(arguments)[:200]}: {error}") from error


def describe(name: str) -> str:
    """Return a tool as a line of text, its arguments with their units."""
    units = {a.name: a.unit for a in tools()[name].arguments}
    return f"{name}({', '.join(f'{a} [{unit}]' if unit else a for a, unit in units.items())})"


# The server


def server():
    """Return the MCP server, not yet running.

    Raises
    ------
    ImportError
        If the package ``mcp`` is missing or older than version 2.
    """
    from mcp import types
    from mcp.server.lowlevel import Server

    if hasattr(Server, "call_tool"):  # mcp 1.x registers by decorators
        raise ImportError("aistack.mcp needs version 2 of the package mcp: pip install 'mcp>=2'")

    async def list_tools(_context, _params):
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=tool.name,
                    description=tool.about,
                    input_schema=tool.schema(),
                    annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
                )
                for tool in tools().values()
            ]
        )

    async def call_tool(_context, params):
        try:
            answer = call(params.name, params.arguments)
        except ToolError as error:
            text = types.TextContent(type="text", text=str(error))
            return types.CallToolResult(content=[text], is_error=True)
        text = types.TextContent(type="text", text=json.dumps(answer, ensure_ascii=False))
        return types.CallToolResult(content=[text], structured_content=answer)

    return Server("aistack", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


async def serve() -> None:
    """Serve over standard input and output until the client hangs up."""
    from mcp.server.stdio import stdio_server

    made = server()
    async with stdio_server() as (reading, writing):
        await made.run(reading, writing, made.create_initialization_options())


if __name__ == "__main__":
    import anyio

    anyio.run(serve)
