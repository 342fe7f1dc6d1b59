"""Turn a pure numpy function into a small expression graph that the page evaluates.

A :class:`Tracer` stands for an argument. Arithmetic, comparisons and the numpy functions below flow through it and are
written down as nodes; shapes are fixed, so that every node's value is one number or one flat list of known length.
``aistack/book/static/explore.js`` evaluates the same nodes.
"""

from __future__ import annotations

import functools
import linecache
import sys

import numpy as np

__all__ = ["Graph", "TraceError", "Tracer", "take", "trace"]

UNARY = {
    "negative", "absolute", "exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "square", "reciprocal", "sin",
    "cos", "tan", "arctan", "tanh", "floor", "ceil", "trunc", "rint", "sign", "logical_not", "isfinite", "isnan", "positive",
}  # fmt: skip
BINARY = {
    "add", "subtract", "multiply", "divide", "floor_divide", "remainder", "power", "maximum", "minimum", "less",
    "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or", "arctan2", "hypot",
}  # fmt: skip
ALIASES = {"true_divide": "divide", "fabs": "absolute", "float_power": "power", "mod": "remainder"}
FOLDS = {"sum", "prod", "max", "min", "cumsum"}
#: What gives the same for conditions alone in Python, in numpy and in the page; with others True + True is 2, True or an error.
LOGIC = {
    "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or", "logical_not",
    "multiply", "maximum", "minimum", "where", "isfinite", "isnan",
}  # fmt: skip


class TraceError(TypeError):
    """The function did something that cannot be written down; the message shows the line that did it."""


def _line() -> str:
    """Return the source line outside this module and numpy that is being run."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__ and "/numpy/" not in file.replace("\\", "/") and "functools" not in file:
            text = linecache.getline(file, frame.f_lineno).strip()
            return f"{file.rsplit('/', 1)[-1]}, line {frame.f_lineno}: {text}"
        frame = frame.f_back
    return "an unknown line"


def _refuse(what: str, way_out: str):
    raise TraceError(f"{_line()}\n  {what}; {way_out}, or pass mode='grid'")


class Graph:
    """Nodes in the order of evaluation.

    A node is a list: ``["i", name]`` an input, ``["c", value]`` a constant (number or flat list), ``[op, a, b …]`` an operation on
    earlier nodes, ``["b", a, stride, length, size]`` a broadcast, ``["t", a, index]`` a pick of `a` at the flat positions in node `index`,
    ``["sum", a, outer, n, inner]`` and so on a fold over the middle axis.
    """

    def __init__(self):
        self.nodes: list[list] = []
        self._known: dict = {}

    def add(self, *node) -> int:
        """Return the number of `node`, appended unless an equal one exists."""
        key = repr(node)
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(list(node))
        return self._known[key]

    def constant(self, value) -> int:
        """Return the number of a constant node: a number, or a flat list for an array."""
        array = np.asarray(value, dtype=float)
        return self.add("c", float(array) if array.ndim == 0 else array.ravel().tolist())

    def pruned(self, wanted: list[int]) -> tuple[list[list], list[int]]:
        """Return the nodes that `wanted` depend on, renumbered, and the new numbers of `wanted`."""
        needed, stack = set(), list(wanted)
        while stack:
            at = stack.pop()
            if at not in needed:
                needed.add(at)
                stack.extend(_arguments(self.nodes[at]))
        order = {old: new for new, old in enumerate(sorted(needed))}
        return [_renumber(self.nodes[old], order) for old in sorted(needed)], [order[w] for w in wanted]


def _arguments(node: list) -> list[int]:
    op = node[0]
    if op in ("i", "c"):
        return []
    return node[1:2] if op == "b" or op in FOLDS else node[1:]


def _renumber(node: list, order: dict) -> list:
    count = len(_arguments(node))
    return [node[0], *(order[a] for a in node[1 : 1 + count]), *node[1 + count :]]


class Tracer(np.lib.mixins.NDArrayOperatorsMixin):
    """A value that writes down what is done to it.

    Parameters
    ----------
    graph : Graph
        Where nodes are written.
    node : int
        The node this value stands for.
    sample : array_like
        The value at the default state; its shape holds for every state.
    """

    __trace__ = True
    __array_priority__ = 1000
    __hash__ = object.__hash__

    def __init__(self, graph: Graph, node: int, sample):
        self._graph, self._node, self._sample = graph, node, _plain(sample)

    shape = property(lambda self: self._sample.shape)
    ndim = property(lambda self: self._sample.ndim)
    size = property(lambda self: self._sample.size)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        name = ALIASES.get(ufunc.__name__, ufunc.__name__)
        if method == "reduce" and name in ("add", "multiply", "maximum", "minimum"):
            fold = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}[name]
            return _fold(fold, inputs[0], kwargs.get("axis", 0))
        if method != "__call__" or (name not in UNARY and name not in BINARY):
            _refuse(f"np.{ufunc.__name__} ({method}) is not traced", f"use one of {', '.join(sorted(UNARY | BINARY))}")
        if kwargs.get("where", True) is not True or kwargs.get("out") is not None:
            _refuse(f"np.{ufunc.__name__} with where= or out= is not traced", "use np.where")
        return _elementwise(self._graph, name, inputs, ufunc)

    def __array_function__(self, func, types, args, kwargs):
        if func.__name__ not in _FUNCTIONS:
            _refuse(f"np.{func.__name__} is not traced", f"use one of {', '.join(sorted(_FUNCTIONS))} or a ufunc")
        return _FUNCTIONS[func.__name__](*args, **kwargs)

    def __getitem__(self, key):
        if isinstance(key, Tracer) or (isinstance(key, tuple) and any(isinstance(k, Tracer) for k in key)):
            _refuse("indexing by a traced value", "use aistack.trace.take(values, index)")
        return _pick(self, np.arange(self.size).reshape(self.shape)[key])

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __len__(self):
        if not self.shape:
            raise TypeError("a traced number has no length")
        return self.shape[0]

    def reshape(self, *shape):
        """Return the same values in another shape."""
        return Tracer(self._graph, self._node, self._sample.reshape(*shape))

    def sum(self, axis=None):
        """Sum over an axis, or over everything."""
        return _fold("sum", self, axis)

    def max(self, axis=None):
        """Largest value along an axis, or of everything."""
        return _fold("max", self, axis)

    def min(self, axis=None):
        """Smallest value along an axis, or of everything."""
        return _fold("min", self, axis)

    def mean(self, axis=None):
        """Mean over an axis, or over everything."""
        return _mean(self, axis)

    def __bool__(self):
        _refuse(
            "a branch (if, and, or, min, max) on a traced value", "use np.where, np.minimum, np.maximum, np.logical_and"
        )

    def _no_number(self, *_):
        _refuse(
            "float(), int(), range() or math.* on a traced value",
            "keep it an array: numpy's function of the same name is traced",
        )

    __float__ = __int__ = __index__ = __complex__ = __round__ = __floor__ = __ceil__ = _no_number

    def __array__(self, *args, **kwargs):
        _refuse("np.asarray or np.array of a traced value", "leave it as it is, or np.stack a list of them")

    def __repr__(self):
        return f"Tracer({self._sample!r})"


def _plain(value) -> np.ndarray:
    array = np.asarray(value)
    return array if array.dtype == bool else np.asarray(value, dtype=float)


def _sample(value):
    return value._sample if isinstance(value, Tracer) else _plain(value)


def _node(graph: Graph, value) -> int:
    return value._node if isinstance(value, Tracer) else graph.constant(value)


def _broadcast(graph: Graph, value, shape: tuple) -> int:
    """Return a node for `value` that the page can read element by element against `shape`."""
    have, node = _sample(value), _node(graph, value)
    size = int(np.prod(shape))
    if have.size in (1, size):
        return node
    index = np.broadcast_to(np.arange(have.size).reshape(have.shape), shape).ravel()
    stride = int(np.argmax(index != index[0]))
    if not np.array_equal(index, np.arange(size) // stride % have.size):
        return graph.add("t", node, graph.constant(index))
    return graph.add("b", node, stride, have.size, size)


def _elementwise(graph: Graph, name: str, inputs, function):
    samples = [_sample(x) for x in inputs]
    if name not in LOGIC and all(s.dtype == bool for s in samples):
        _refuse(f"np.{name} of conditions alone", "multiply them by 1.0 first, or use np.logical_and, np.logical_or")
    with np.errstate(all="ignore"):
        result = _plain(function(*samples))
    nodes = [_broadcast(graph, x, result.shape) for x in inputs]
    if all(graph.nodes[n][0] == "c" for n in nodes):
        return Tracer(graph, graph.constant(result), result)
    return Tracer(graph, graph.add(name, *nodes), result)


def _graph_of(*values) -> Graph:
    return next(v._graph for v in values if isinstance(v, Tracer))


def _fold(name: str, value, axis=None, **kwargs):
    if any(v not in (None, False) and v is not np._NoValue for v in kwargs.values()):
        _refuse(f"np.{name} with {kwargs}", "use axis= alone")
    if not isinstance(value, Tracer):
        value = _stack(list(value))
    if axis is not None and not isinstance(axis, int | np.integer):
        _refuse(f"np.{name} over the axes {axis!r}", "fold one axis at a time")
    shape = value.shape
    if axis is None:
        outer, n, inner, result = 1, value.size, 1, ()
    else:
        axis = axis % value.ndim
        outer, n, inner = int(np.prod(shape[:axis])), shape[axis], int(np.prod(shape[axis + 1 :]))
        result = shape[:axis] + shape[axis + 1 :]
    if name == "cumsum":
        result = shape if axis is not None else (value.size,)
    with np.errstate(all="ignore"):
        sample = getattr(np, name)(value._sample, axis=axis).reshape(result)
    return Tracer(value._graph, value._graph.add(name, value._node, outer, n, inner), sample)


def _mean(value, axis=None, **kwargs):
    count = value.size if axis is None else value.shape[axis]
    return _fold("sum", value, axis, **kwargs) / count


def _pick(value: Tracer, index: np.ndarray):
    if index.size == value.size and np.array_equal(index.ravel(), np.arange(value.size)):
        return value.reshape(index.shape)
    node = value._graph.add("t", value._node, value._graph.constant(index))
    return Tracer(value._graph, node, value._sample.ravel()[index])


def _where(condition, a=None, b=None):
    if a is None or b is None:
        _refuse("np.where of a condition alone", "give the values for both cases")
    return _elementwise(_graph_of(condition, a, b), "where", (condition, a, b), lambda c, x, y: np.where(c != 0, x, y))


def _clip(a, a_min=None, a_max=None, **kwargs):
    a_min, a_max = kwargs.get("min", a_min), kwargs.get("max", a_max)
    if a_min is not None:
        a = np.maximum(a, a_min)
    return a if a_max is None else np.minimum(a, a_max)


def take(values, index):
    """Return the values (flat) at a traced or plain index; numpy's own ``take`` is blind to a traced index.

    Parameters
    ----------
    values : array_like
        Numbers to pick from, any shape, read flat.
    index : Tracer or array_like of int
        Positions; one out of range gives the nearest end.
    """
    if isinstance(index, Tracer) or isinstance(values, Tracer):
        return _take(values, index)
    flat = np.ravel(values)
    return flat[np.clip(index, 0, flat.size - 1).astype(int)]


def _take(a, indices, axis=None, **kwargs):
    if kwargs or (axis is not None and np.ndim(_sample(a)) > 1):
        _refuse("np.take with these options", "take from a flat array with axis=None")
    graph = _graph_of(a, indices)
    values, index = _sample(a), _sample(indices)
    sample = values.ravel()[np.clip(index, 0, values.size - 1).astype(int)]
    return Tracer(graph, graph.add("t", _node(graph, a), _node(graph, indices)), sample)


def _stack(arrays, axis=0):
    if axis != 0:
        _refuse("np.stack along another axis than 0", "stack, then transpose")
    graph = _graph_of(*arrays)
    shape = np.broadcast_shapes(*(_sample(a).shape for a in arrays))
    rows = np.zeros((len(arrays),) + (1,) * len(shape))
    out = 0.0
    for at, array in enumerate(arrays):
        mask = rows.copy()
        mask[at] = 1
        out = _where(Tracer(graph, graph.constant(mask), mask), array, out)
    return out


def _concatenate(arrays, axis=0):
    graph = _graph_of(*arrays)
    samples = [np.atleast_1d(_sample(a)) for a in arrays]
    if axis not in (0, None) or any(s.ndim > 1 for s in samples):
        _refuse("np.concatenate of tables", "concatenate flat arrays")
    size, out, start = sum(s.size for s in samples), np.zeros(sum(s.size for s in samples)), 0
    for array, sample in zip(arrays, samples, strict=True):
        index = np.clip(np.arange(size) - start, 0, sample.size - 1)
        here = (np.arange(size) >= start) & (np.arange(size) < start + sample.size)
        part = _pick(array.reshape(sample.shape), index) if isinstance(array, Tracer) else sample[index]
        out = _where(Tracer(graph, graph.constant(here), here), part, out)
        start += sample.size
    return out


def _linspace(start, stop, num=50, **kwargs):
    if kwargs:
        _refuse("np.linspace with these options", "use start, stop and num")
    return start + (stop - start) * np.linspace(0.0, 1.0, num)


def _geomspace(start, stop, num=50, **kwargs):
    return np.exp(_linspace(np.log(start), np.log(stop), num, **kwargs))


def _interp(x, xp, fp, **kwargs):
    if kwargs or isinstance(xp, Tracer):
        _refuse("np.interp with traced positions or options", "trace x (and fp) only")
    if len(xp) < 2:
        _refuse("np.interp between fewer than two positions", "give two or more")
    xp = np.asarray(xp, dtype=float)
    graph = _graph_of(x, fp)
    x = x if isinstance(x, Tracer) else Tracer(graph, graph.constant(x), x)
    column = (..., None)
    below = np.sum(x[column] >= xp[1:-1], axis=-1) if len(xp) > 2 else x * 0.0
    left, right = _take(xp, below), _take(xp, below + 1)
    lower, upper = _take(fp, below), _take(fp, below + 1)
    share = np.clip((x - left) / (right - left), 0.0, 1.0)
    return lower + (upper - lower) * share


_FUNCTIONS = {
    **{name: functools.partial(_fold, name) for name in FOLDS},
    "amax": functools.partial(_fold, "max"), "amin": functools.partial(_fold, "min"),
    "mean": _mean, "where": _where, "clip": _clip, "take": _take, "stack": _stack, "concatenate": _concatenate,
    "linspace": _linspace, "geomspace": _geomspace, "interp": _interp,
    "reshape": lambda a, shape=None, newshape=None: a.reshape(shape if newshape is None else newshape),
    "ravel": lambda a: a.reshape(-1),
    "transpose": lambda a: _pick(a, np.arange(a.size).reshape(a.shape).T),
    "broadcast_to": lambda a, shape: a * np.ones(shape),
    "zeros_like": lambda a, **_: np.zeros(a.shape), "ones_like": lambda a, **_: np.ones(a.shape),
    "full_like": lambda a, fill, **_: fill * np.ones(a.shape),
    "shape": lambda a: a.shape, "ndim": lambda a: a.ndim, "size": lambda a: a.size,
}  # fmt: skip


def trace(function, inputs: dict) -> dict:
    """Run `function` once on tracers and return its graph.

    Parameters
    ----------
    function : callable
        Takes keyword arguments, returns a dict of named numbers and arrays.
    inputs : dict
        Name -> default value: a number, or (for a choice) ``(index, options)`` with `options` a list of numbers
        or of dicts of numbers and equally long arrays; the function then gets the chosen number, or a dict with tracers.

    Returns
    -------
    dict
        ``nodes`` (see :class:`Graph`) and ``outputs``: name -> ``[node, shape]``.

    Raises
    ------
    TraceError
        If the function branches on a traced value or uses what is not traced; shows the line.
    """
    graph, arguments = Graph(), {}
    for name, default in inputs.items():
        if isinstance(default, tuple):
            index, options = default
            arguments[name] = _choose(Tracer(graph, graph.add("i", name), index), options)
        else:
            arguments[name] = Tracer(graph, graph.add("i", name), default)
    result = function(**arguments)
    if not isinstance(result, dict):
        raise TraceError(
            f"{getattr(function, '__name__', function)} must return a dict of named results, not {type(result).__name__}"
        )
    numbers = [_node(graph, value) for value in result.values()]
    nodes, numbers = graph.pruned(numbers)
    shapes = [list(_sample(value).shape) for value in result.values()]
    return {"nodes": nodes, "outputs": {k: [n, s] for k, n, s in zip(result, numbers, shapes, strict=True)}}


def _choose(index: Tracer, options: list):
    if not isinstance(options[0], dict):
        return _take(np.array(options, dtype=float), index)
    chosen = {}
    for field in options[0]:
        table = np.array([option[field] for option in options], dtype=float)
        if table.ndim == 1:
            chosen[field] = _take(table, index)
        else:
            width = table[0].size
            chosen[field] = _take(table, index * width + np.arange(width)).reshape(table.shape[1:])
    return chosen
