"""Numbers as words, the same in Python and in the page (``formatNumber`` of explore.js)."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal

__all__ = ["fill", "number_text"]

_WIDE = Context(prec=800)  # every digit of any float
_FIELD = re.compile(r"\{(\w+)(?::([^{}]*))?\}")


def number_text(value: float, spec: str = ".3s") -> str:
    """Return `value` as text.

    Parameters
    ----------
    value : float
    spec : str
        ``.2f`` two decimals, ``.1%`` percent, ``.3s`` three significant digits, all with thousands commas; ``no|yes`` picks a
        word by the value 0, 1, 2 …

    Examples
    --------
    >>> number_text(20000, ".0f"), number_text(0.8725, ".1%"), number_text(0.0012345, ".3s"), number_text(1, "no|yes")
    ('20,000', '87.3%', '0.00123', 'yes')

    Raises
    ------
    ValueError
        If the spec is none of these.
    """
    value = float(value)
    if "|" in spec:
        if not math.isfinite(value):
            return "no value"
        words = spec.split("|")
        return words[min(max(int(value), 0), len(words) - 1)]
    match = re.fullmatch(r"\.(?!0+s)([0-9]+)([fs%])", spec)
    if not match:
        raise ValueError(f"format {spec!r} is none of .Nf, .N%, .Ns, word|word")
    if not math.isfinite(value):
        return "no value"
    digits, kind = int(match[1]), match[2]
    if kind == "%":
        return _fixed(value * 100, digits) + "%"
    if kind == "f":
        return _fixed(value, digits)
    if value == 0:
        return "0"
    exact = Decimal(value)
    rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), ROUND_HALF_UP, _WIDE)
    return _fixed(rounded, min(max(digits - 1 - rounded.adjusted(), 0), 100))


def _fixed(value: float | Decimal, decimals: int) -> str:
    text = f"{Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, _WIDE):,f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def fill(text: str, values: dict) -> str:
    """Replace ``{name:spec}`` in `text` by the named number, ``{name}`` by the named text or number.

    Raises
    ------
    KeyError
        If a name is unknown.
    """

    def one(match):
        name, spec = match[1], match[2]
        if name not in values:
            raise KeyError(f"{{{name}}} in {text!r}: no such result or control; known: {', '.join(values)}")
        value = values[name]
        return value if isinstance(value, str) else number_text(value, spec or ".3s")

    return _FIELD.sub(one, text)
