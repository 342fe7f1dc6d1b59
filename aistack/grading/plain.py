"""Plain data as JSON: all that crosses between the judge and a student's process.

Numbers, strings, ``None``, lists, tuples, dicts and numeric arrays are written in a form that says which they are;
anything else is refused. Reading builds fresh builtin objects and arrays, so nothing of the sender's own making
arrives: no class, no method, no code.
"""

import json
import math

__all__ = ["MAX_ITEMS", "NotPlain", "decode", "encode", "read", "write"]

MAX_ITEMS = 1_000_000
"""Elements that one message may hold."""

_MAX_DEPTH = 20


class NotPlain(TypeError):
    """A value that is not plain data, or a message that does not hold any."""


def _float(value: float):
    return value if math.isfinite(value) else {"float": str(value)}


def encode(value, depth: int = 0):
    """Return `value` as objects that JSON has.

    Parameters
    ----------
    value : object
        None, bool, int, float, str, list, tuple, dict with string or number keys, or a numeric, boolean or text
        array (also a pandas Series or Index) of numpy.
    depth : int
        How deep in lists it stands.

    Returns
    -------
    object
        What :func:`decode` makes the same value from.

    Raises
    ------
    NotPlain
        Naming the type that cannot cross.

    Examples
    --------
    >>> encode([1, (2.5, float("nan"))])
    [1, {'tuple': [2.5, {'float': 'nan'}]}]
    """
    if depth > _MAX_DEPTH:
        raise NotPlain(f"data nested more than {_MAX_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return "".join(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, list):
        return [encode(v, depth + 1) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(v, depth + 1) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in value.items()]}
    if type(value).__module__.partition(".")[0] == "pandas" and type(value).__name__ in ("Series", "Index"):
        value = value.to_numpy()
    if type(value).__module__ == "numpy":
        import numpy as np

        if isinstance(value, np.generic):
            return encode(value.item(), depth + 1)
        if isinstance(value, np.ndarray):
            if value.dtype == object:
                value = np.array(value.tolist())
            if value.dtype.kind in "biufU":
                cells = value.ravel().tolist()
                if value.dtype.kind == "f":
                    cells = [_float(v) for v in cells]
                return {"array": cells, "shape": list(value.shape), "kind": value.dtype.kind}
            raise NotPlain(f"an array of {value.dtype} (numbers, bool and text can cross)")
    raise NotPlain(f"a value of type {type(value).__name__} (a number, str, list, tuple, dict or array can cross)")


def _array(message: dict):
    import numpy as np

    cells, shape, kind = message["array"], message["shape"], message["kind"]
    types = {"b": bool, "i": int, "u": int, "f": float, "U": str}
    if kind not in types or not isinstance(cells, list) or not isinstance(shape, list):
        raise NotPlain("an array that is none")
    if not all(type(n) is int and 0 <= n <= MAX_ITEMS for n in shape) or len(shape) > 8:
        raise NotPlain("an array of impossible shape")
    if math.prod(shape) != len(cells):
        raise NotPlain("an array whose shape and length differ")
    cells = [_decode(v) for v in cells]
    if not all(type(v) is types[kind] for v in cells):
        raise NotPlain("an array of mixed types")
    try:
        return np.array(cells, dtype=types[kind]).reshape(shape)
    except OverflowError:
        raise NotPlain("an array with a number too large") from None


def _decode(message):
    if message is None or isinstance(message, bool | str | int | float):
        return message
    if isinstance(message, list):
        return [_decode(v) for v in message]
    if isinstance(message, dict):
        if message.keys() == {"float"} and message["float"] in ("nan", "inf", "-inf"):
            return float(message["float"])
        if message.keys() == {"tuple"} and isinstance(message["tuple"], list):
            return tuple(_decode(v) for v in message["tuple"])
        if message.keys() == {"dict"} and isinstance(message["dict"], list):
            pairs = message["dict"]
            if all(isinstance(p, list) and len(p) == 2 for p in pairs):
                decoded = [(_decode(k), _decode(v)) for k, v in pairs]
                if all(isinstance(k, str | int | float | tuple) for k, _ in decoded):
                    return _dict(decoded)
        if message.keys() == {"array", "shape", "kind"}:
            return _array(message)
    raise NotPlain("a message that is no plain data")


def _dict(pairs) -> dict:
    try:
        return dict(pairs)
    except TypeError:
        raise NotPlain("a dict with keys that cannot be keys") from None


def _count(message) -> int:
    """Elements of parsed JSON, without recursion."""
    left, count = [message], 0
    while left:
        item = left.pop()
        count += 1
        if isinstance(item, list):
            left += item
        elif isinstance(item, dict):
            left += item.values()
    return count


def decode(message):
    """Return the value that :func:`encode` wrote, built anew.

    Parameters
    ----------
    message : object
        Parsed JSON, from a sender who may be lying.

    Returns
    -------
    object
        Builtin objects and arrays.

    Raises
    ------
    NotPlain
        If it is not what :func:`encode` writes, or too large.

    Examples
    --------
    >>> decode(encode({"a": (1, 2.5)}))
    {'a': (1, 2.5)}
    >>> decode({"array": ["x"], "shape": [1], "kind": "f"})
    Traceback (most recent call last):
    aistack.grading.plain.NotPlain: an array of mixed types
    """
    if _count(message) > 2 * MAX_ITEMS:
        raise NotPlain(f"more than {MAX_ITEMS} elements")
    return _decode(message)


def _refuse_constant(name: str):
    raise NotPlain(f"{name} where a number should be")


def write(message: dict) -> bytes:
    """Return a message as one line of JSON."""
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def read(line: bytes) -> dict:
    """Return the message in one line; NotPlain if it holds none, whatever it does hold."""
    try:
        message = json.loads(line.decode("ascii"), parse_constant=_refuse_constant)
    except NotPlain:
        raise
    except (ValueError, RecursionError):
        raise NotPlain("a line that is no message") from None
    if not isinstance(message, dict):
        raise NotPlain("a line that is no message")
    return message
