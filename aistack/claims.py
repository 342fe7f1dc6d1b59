"""The claims ledger: what was stated, what the sum says, and a verdict that is computed.

Each row of ``data/claims.csv`` holds a statement in our words, the stated value, and up to two expressions over
the course's data and layer models: ``literal`` recomputes the statement as it stands, ``fair`` what a reader
would take it to mean. The verdict follows from comparing both with the stated value:

- *conflicts*: the literal sum fails;
- *misleading*: the literal sum passes but the fair reading fails;
- *approximate*: a comparison is only near;
- *holds*: all pass;
- *unconfirmed*: no source was found to compare with.
"""

from __future__ import annotations

import ast
import importlib
import math
import sys
from dataclasses import dataclass
from functools import cache
from html import escape

import numpy as np

from aistack import data, units

__all__ = ["Claim", "check", "claim", "claims", "column", "compare", "evaluate", "evidence"]

NEAR = 3  # a difference of up to three tolerances counts as near


def column(table: str, name: str, **where):
    """Return the non-empty numbers in a column of the rows that match ``where``, shape (n,).

    Raises
    ------
    DataError
        If the table or a column is unknown, or nothing is left.
    """
    frame = data.load(table)
    for wanted in [name, *where]:
        if wanted not in frame.columns:
            raise data.DataError(f"{table}: no column {wanted!r}; it has {', '.join(frame.columns)}")
    for key, value in where.items():
        frame = frame[(frame[key] == value).fillna(False)]
    values = frame[name].dropna().to_numpy(dtype=float)
    if not len(values):
        raise data.DataError(f"{table}: no {name!r} where {where}")
    return values


class _Namespace(dict):
    """Names an expression may use; layer modules are imported when first named."""

    def __missing__(self, name):
        try:
            return importlib.import_module(f"aistack.layers.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"aistack.layers.{name}":
                raise
            raise NameError(name) from None


def _namespace() -> _Namespace:
    plain = {f.__name__: f for f in (sum, min, max, len, abs, round, float, sorted, all, any, bool)}
    return _Namespace(
        plain, __builtins__={}, number=data.number, fact=data.fact, column=column, np=np, units=units, math=math
    )


def _value(result):
    """An expression's result as a (low, high) pair or a bool."""
    if isinstance(result, data.Fact):
        return result.range
    if isinstance(result, bool | np.bool_):
        return bool(result)
    pair = tuple(float(x) for x in result) if isinstance(result, tuple | list) else (float(result),) * 2
    if len(pair) != 2 or not all(math.isfinite(x) for x in pair) or pair[0] > pair[1]:
        raise data.DataError(f"an expression must give a number, a (low, high) pair or a bool, not {result!r}")
    return pair


def evaluate(expression: str):
    """Return what an expression over the data gives: a (low, high) pair, equal ends for one number, or a bool.

    An expression may use ``number``, ``fact`` and ``column``, the layer modules by name, and arithmetic.

    Raises
    ------
    DataError
        If it fails; the message shows the expression.

    Examples
    --------
    >>> evaluate('networking.fat_tree_endpoints(64, 3)')
    (65536.0, 65536.0)
    """
    try:
        return _value(eval(expression, _namespace()))
    except Exception as error:
        raise data.DataError(f"{expression!r}: {error}") from error


def evidence(expression: str) -> list[tuple[str, str]]:
    """Return the sources that an expression draws on, as sorted pairs (source_id, as_of).

    Examples
    --------
    >>> evidence('fact("pue-uptime-2025")')
    [('uptime-2025-thefreesheet', '2025')]
    """
    found = set()
    for call in ast.walk(ast.parse(expression, mode="eval")):
        if not isinstance(call, ast.Call) or getattr(call.func, "id", "") not in ("number", "column", "fact"):
            continue
        first, where = ast.literal_eval(call.args[0]), {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        table, where = ("facts", {"fact_id": first}) if call.func.id == "fact" else (first, where)
        frame = data.load(table)
        for key, value in where.items():
            frame = frame[(frame[key] == value).fillna(False)]
        found |= set(zip(frame["source_id"], frame["as_of"], strict=True))
    return sorted(found)


def compare(computed, stated: tuple[float, float] | None, relation: str, tolerance: float) -> str:
    """Return "pass", "near" or "fail".

    Parameters
    ----------
    computed : (float, float) or bool
        What the expression gave; equal ends for a single number.
    stated : (float, float) or None
        What was stated; None for relation ``true``.
    relation : {"about", "at_least", "at_most", "within", "true"}
        How the computed value must stand to the stated one.
    tolerance : float
        Relative difference that passes; three times it is near.

    Examples
    --------
    >>> compare((72, 72), (82, 82), "about", 0.02)
    'fail'
    >>> compare((3.5, 4.5), (4, 4), "about", 0.02)
    'pass'
    """
    if relation == "true":
        return "pass" if computed is True else "fail"
    if isinstance(computed, bool) or stated is None:
        raise data.DataError(f"relation {relation!r} needs a number and a stated value")
    low, high = computed
    if relation == "about":
        gap, edge = (low - stated[1], stated[1]) if low > stated[1] else (stated[0] - high, stated[0])
    elif relation == "at_least":
        gap, edge = stated[0] - low, stated[0]
    elif relation == "at_most":
        gap, edge = high - stated[1], stated[1]
    elif relation == "within":
        gap, edge = max((stated[0] - low, stated[0]), (high - stated[1], stated[1]))
    else:
        raise data.DataError(f"no relation {relation!r}: use about, at_least, at_most, within or true")
    if gap <= 0:
        return "pass"
    difference = gap / abs(edge) if edge else math.inf
    limits = (tolerance, NEAR * tolerance) if relation == "about" else (0, tolerance)
    return "pass" if difference <= limits[0] + 1e-12 else "near" if difference <= limits[1] + 1e-12 else "fail"


@dataclass(frozen=True)
class Claim:
    """One row of the ledger, with the means to check it."""

    claim_id: str
    layer: int
    line: int | None
    kind: str
    paraphrase: str
    stated_low: float | None
    stated: float | None
    stated_high: float | None
    unit: str | None
    relation: str
    tolerance: float
    literal: str | None
    fair: str | None
    verdict: str
    why: str
    source_id: str | None

    @property
    def stated_range(self) -> tuple[float, float] | None:
        """Low and high end of what was stated; None where the statement is a yes or no."""
        known = [x for x in (self.stated_low, self.stated, self.stated_high) if x is not None]
        return (min(known), max(known)) if known else None

    def computed(self, which: str = "literal"):
        """Evaluate the `which` expression: a (low, high) pair, a bool, or None where there is no expression.

        Raises
        ------
        DataError
            If the expression fails; the message names the claim.
        """
        source = getattr(self, which)
        if not source:
            return None
        try:
            return evaluate(source)
        except data.DataError as error:
            raise data.DataError(f"claim {self.claim_id!r}: {which} {error}") from error

    def computed_verdict(self) -> str:
        """Return the verdict that the expressions give now."""
        marks = {
            which: compare(value, self.stated_range, self.relation, self.tolerance)
            for which in ("literal", "fair")
            if (value := self.computed(which)) is not None
        }
        if "literal" not in marks:
            return "unconfirmed"
        if marks["literal"] == "fail":
            return "conflicts"
        if marks.get("fair") == "fail":
            return "misleading"
        return "approximate" if "near" in marks.values() else "holds"

    def _repr_html_(self) -> str:
        from aistack.charts import in_book

        link = f' · <a href="../reference/claims.html#{self.claim_id}">in the ledger</a>' if in_book() else ""
        where = f"survey, line {self.line}" if self.line else "survey"
        return (
            f'<div class="claim claim-{self.verdict}"><p class="claim-head">Check the claim · {where}{link}</p>'
            f"<p>{escape(self.paraphrase)}</p>{self.sums_html()}"
            f'<p><span class="claim-verdict">{self.verdict.capitalize()}.</span> {escape(self.why)}</p>{self._evidence_html()}</div>'
        )

    def ledger_html(self, end: str = "") -> str:
        """Return the claim as an entry of the ledger, with its id as an anchor and `end` as its last line."""
        where = f"survey, line {self.line}" if self.line else "survey"
        return (
            f'<div class="claim claim-{self.verdict}" id="{self.claim_id}" data-layers="{self.layer}" data-verdict="{self.verdict}">'
            f'<p class="claim-head"><code>{self.claim_id}</code> · {where} · {self.kind}</p>'
            f"<p>{escape(self.paraphrase)}</p>{self.sums_html()}"
            f'<p><span class="claim-verdict">{self.verdict.capitalize()}.</span> {escape(self.why)}</p>{self._evidence_html()}{end}</div>'
        )

    def sums_html(self) -> str:
        """Return the expressions with their results, beside what was stated, as HTML."""
        unit = f" {self.unit}" if self.unit and self.unit not in ("1", "year", "ratio") else ""
        show = (lambda value: _shown(value).replace(",", "")) if self.unit == "year" else _shown
        rows = [f"Stated: {show(self.stated_range)}{unit}"] if self.stated_range else []
        code = []
        for label, which in (("Computed", "literal"), ("Like for like", "fair")):
            if getattr(self, which):
                value = self.computed(which)
                rows.append(f"{label}: <strong>{show(value)}</strong>{'' if isinstance(value, bool) else unit}")
                code.append(f"<p>{label}: <code>{escape(getattr(self, which))}</code></p>")
        folded = f"<details><summary>The sum as code</summary>{''.join(code)}</details>" if code else ""
        return (f"<p>{'<br>'.join(rows)}</p>" if rows else "") + folded

    def _evidence_html(self) -> str:
        if not self.source_id:
            return ""
        source = data.sources([self.source_id])[0]
        text = escape(f"{source['publisher']}, {source['title']}")
        return (
            f'<p class="claim-head">Evidence: <a href="{escape(source["locator"])}">{text}</a></p>'
            if source["locator"]
            else f'<p class="claim-head">Evidence: {text}</p>'
        )


def _shown(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    low, high = (_figures(x) for x in value)
    return low if low == high else f"{low} to {high}"


def _figures(x: float) -> str:
    """Return a number as a reader wants it: four digits, all whole ones up to 10¹⁵, and powers of ten beyond."""
    if abs(x) < 1e15:
        return f"{x:,.4g}" if abs(x) < 1e4 else f"{x:,.0f}"
    digits, power = f"{x:.3e}".split("e+")
    return f"{float(digits):g} × 10{power.lstrip('0').translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


@cache
def _ledger() -> dict[str, Claim]:
    rows = data.load("claims").to_dict("records")
    blank = lambda x: None if x is None or x != x else x
    found = {}
    for row in rows:
        row = {k: blank(None if str(v) == "<NA>" else v) for k, v in row.items()}
        row["tolerance"] = 0.02 if row["tolerance"] is None else row["tolerance"]
        found[row["claim_id"]] = Claim(**row)
    return found


def claims(layer: int | None = None) -> list[Claim]:
    """Return all claims, or those of one layer, in the ledger's order."""
    return [c for c in _ledger().values() if layer is None or c.layer == layer]


def claim(claim_id: str) -> Claim:
    """Return the claim with this id.

    Raises
    ------
    DataError
        If ``data/claims.csv`` has no such id.
    """
    try:
        return _ledger()[claim_id]
    except KeyError:
        near = data._nearest(claim_id, _ledger())
        raise data.DataError(f"no claim {claim_id!r} in claims.csv{near}") from None


def check(layer: int | None = None) -> list[tuple[Claim, str]]:
    """Return the claims whose stored verdict is not the computed one, each with the computed verdict or error."""
    wrong = []
    for one in claims(layer):
        try:
            verdict = one.computed_verdict()
        except data.DataError as error:
            verdict = str(error)
        if verdict != one.verdict:
            wrong.append((one, verdict))
    return wrong


def main(arguments: list[str]) -> int:
    """Print the ledger of a layer (or all) with computed values; exit 1 where a stored verdict is not the computed one."""
    layer = int(arguments[0]) if arguments else None
    bad = {one.claim_id: verdict for one, verdict in check(layer)}
    for one in claims(layer):
        mark = f"STORED {one.verdict}, COMPUTED {bad[one.claim_id]}" if one.claim_id in bad else one.verdict
        values = (
            "" if one.claim_id in bad and "claim" in bad[one.claim_id] else f"{one.computed()} {one.computed('fair')}"
        )
        print(f"{one.claim_id:40} stated {one.stated_range} {one.unit or ''}: computed {values}: {mark}")
    print(f"{len(bad)} of {len(claims(layer))} verdicts differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
