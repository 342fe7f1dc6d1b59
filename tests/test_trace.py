"""Tracing: the graph, read by a little evaluator of its own, gives what numpy gives."""

import json
import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistack import trace as tracing
from aistack.charts import plain_exact
from aistack.trace import TraceError, take, trace

finite = math.isfinite
flag = lambda test: lambda *x: float(bool(test(*x)))
whole = lambda function: lambda x: float(function(x)) if finite(x) else x
UNARY = {
    "negative": operator.neg,
    "absolute": abs,
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "arctan": math.atan,
    "tanh": math.tanh,
    "floor": whole(math.floor),
    "ceil": whole(math.ceil),
    "trunc": whole(math.trunc),
    "rint": whole(round),
    "sign": lambda x: x and x / abs(x),
    "logical_not": flag(operator.not_),
    "isfinite": flag(finite),
    "isnan": flag(math.isnan),
    "positive": lambda x: x,
}
BINARY = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "power": operator.pow,
    "hypot": math.hypot,
    "maximum": lambda x, y: x if x != x or x > y else y,
    "minimum": lambda x, y: x if x != x or x < y else y,
    "less": flag(operator.lt),
    "less_equal": flag(operator.le),
    "greater": flag(operator.gt),
    "greater_equal": flag(operator.ge),
    "equal": flag(operator.eq),
    "not_equal": flag(operator.ne),
    "logical_and": flag(lambda x, y: x and y),
    "logical_or": flag(lambda x, y: x or y),
    "arctan2": math.atan2,
}
FOLDS = {
    "sum": operator.add,
    "cumsum": operator.add,
    "prod": operator.mul,
    "max": BINARY["maximum"],
    "min": BINARY["minimum"],
}


def evaluate(graph, inputs):
    """Read a graph as its documentation says: every value a flat list."""
    flat = []
    for op, *rest in graph["nodes"]:
        if op == "i":
            out = [float(inputs[rest[0]])]
        elif op == "c":
            out = rest[0] if isinstance(rest[0], list) else [rest[0]]
        elif op == "b":
            of, stride, length, size = rest
            out = [flat[of][i // stride % length] for i in range(size)]
        elif op == "t":
            values = flat[rest[0]]
            out = [values[int(min(max(at, 0), len(values) - 1))] for at in flat[rest[1]]]
        elif op in FOLDS:
            of, outer, count, inner = rest
            assert len(flat[of]) == outer * count * inner
            out = [0.0] * (len(flat[of]) if op == "cumsum" else outer * inner)
            for o in range(outer):
                for i in range(inner):
                    total = None
                    for j in range(count):
                        at = (o * count + j) * inner + i
                        total = flat[of][at] if total is None else FOLDS[op](total, flat[of][at])
                        if op == "cumsum":
                            out[at] = total
                    if op != "cumsum":
                        out[o * inner + i] = total
        else:
            function = (lambda c, a, b: a if c != 0 else b) if op == "where" else {**UNARY, **BINARY}[op]
            size = max(len(flat[a]) for a in rest)
            assert all(len(flat[a]) in (1, size) for a in rest)
            out = [function(*(flat[a][i if len(flat[a]) > 1 else 0] for a in rest)) for i in range(size)]
        flat.append(out)
    return {name: np.array(flat[node], dtype=float).reshape(shape) for name, (node, shape) in graph["outputs"].items()}


def check(function, **states):
    """The graph traced at the first value of each input gives what numpy gives at all values."""
    graph = trace(function, {name: values[0] for name, values in states.items()})
    for values in zip(*states.values(), strict=True):
        state = dict(zip(states, values, strict=True))
        with np.errstate(all="ignore"):
            wanted = {k: np.asarray(v, dtype=float) for k, v in function(**state).items()}
        found = evaluate(graph, state)
        assert list(found) == list(wanted)
        for name in wanted:
            assert found[name].shape == wanted[name].shape
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12, atol=1e-12)
    return graph


def names(graph):
    return [node[0] for node in graph["nodes"]]


# ---- single operations --------------------------------------------------------------------------------------------


def test_evaluator_knows_every_operation():
    assert set(UNARY) == tracing.UNARY and set(BINARY) == tracing.BINARY and set(FOLDS) == tracing.FOLDS


@pytest.mark.parametrize("name", sorted(tracing.UNARY))
@settings(max_examples=25)
@given(x=st.lists(st.floats(0.01, 20), min_size=2, max_size=2))
def test_unary_function_is_traced(name, x):
    graph = check(lambda x: {"y": getattr(np, name)(x)}, x=x)
    assert names(graph) == ["i", name]


@pytest.mark.parametrize("name", sorted(tracing.BINARY))
@settings(max_examples=25)
@given(x=st.lists(st.floats(0.1, 20), min_size=2, max_size=2), y=st.lists(st.floats(0.1, 9), min_size=2, max_size=2))
def test_binary_function_is_traced(name, x, y):
    graph = check(lambda x, y: {"z": getattr(np, name)(x, y)}, x=x, y=y)
    assert names(graph) == ["i", "i", name]


@pytest.mark.parametrize(
    ("alias", "name"), [("true_divide", "divide"), ("fabs", "absolute"), ("float_power", "power"), ("mod", "remainder")]
)
def test_alias_is_traced_under_one_name(alias, name):
    others = () if alias == "fabs" else (1.5,)
    graph = check(lambda x: {"y": getattr(np, alias)(x, *others)}, x=[2.5, 4.0])
    assert names(graph)[-1] == name


def test_operators_are_traced():
    check(
        lambda x, y: {
            "sum": x + y - 1,
            "quotient": x / y,
            "whole": x // y,
            "rest": x % y,
            "power": x**2 + 2**x,
            "signs": -x + abs(y) + +x,
            "left": 1 - x + 3 / y + 5 % y + 7 // y,
            "tests": (x < y) + 2 * (x >= y) + 4 * (x == y) + 8 * (x != y) + 16 * (x > 1) + 32 * (y <= 2),
        },
        x=[3.0, 1.0, -2.5],
        y=[2.0, 1.0, 0.75],
    )


TABLE = np.arange(1.0, 7.0).reshape(2, 3)
CUBE = np.arange(1.0, 13.0).reshape(2, 3, 2) % 5


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "cumsum"])
def test_fold_over_an_axis_is_numpys(name, axis):
    check(lambda x: {"y": getattr(np, name)(x * CUBE, axis=axis)}, x=[1.0, -2.0])


@pytest.mark.parametrize("name", ["sum", "max", "min", "mean"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_fold_method_is_numpys(name, axis):
    check(lambda x: {"y": getattr(x * TABLE, name)(axis)}, x=[1.0, -2.0])


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "minimum"])
def test_reduce_is_numpys(name):
    reduce = getattr(np, name).reduce
    check(lambda x: {"first": reduce(x * TABLE), "all": reduce(x * TABLE, axis=None)}, x=[1.0, -2.0])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * TABLE.T + TABLE[0, :2],
        lambda x: (x * TABLE)[:, None, :] + np.ones((4, 1)) * x,
        lambda x: (x * TABLE[0])[:, None] * (x + TABLE[0]),
        lambda x: (x * TABLE)[1, ::-1],
        lambda x: (x * TABLE)[:, [2, 0, 0]],
        lambda x: (x * TABLE)[TABLE > 2],
        lambda x: (x * TABLE)[..., -1],
        lambda x: (x * TABLE)[0, 0],
        lambda x: x[None, None] + TABLE,
        lambda x: (x * TABLE).reshape(3, 2) + (x * TABLE).reshape((3, 2)) + (x * TABLE).reshape(-1)[0],
        lambda x: np.reshape(x * TABLE, (3, 2)) + np.ravel(x * TABLE)[0],
        lambda x: np.transpose(x * TABLE) + np.transpose(x * CUBE)[1],
        lambda x: np.broadcast_to(x, (2, 3)) + np.broadcast_to(x * TABLE[0], (2, 3)),
        lambda x: np.zeros_like(x * TABLE) + np.ones_like(x * TABLE) * x + np.full_like(x * TABLE, 7),
        lambda x: np.where(x * TABLE > 3, x, TABLE) + np.where(TABLE > 3, x, 0.0),
        lambda x: np.where(x > 1.5, TABLE, np.nan),
        lambda x: np.clip(x * TABLE, 2, 5) + np.clip(x * TABLE, None, x + 1) + np.clip(TABLE, x, None),
        lambda x: np.clip(x, min=0, max=x * 0.5),
        lambda x: np.stack([x, 2 * x, x * x]),
        lambda x: np.stack([TABLE, x * TABLE, TABLE + x]),
        lambda x: np.stack([x * TABLE]),
        lambda x: np.stack([x]),
        lambda x: np.stack([np.inf * TABLE, x * TABLE]),
        lambda x: np.concatenate([[1.0, 2.0], x * TABLE[0], TABLE[1]]),
        lambda x: np.concatenate([x[None], (2 * x)[None]]),
        lambda x: np.concatenate([x * TABLE[0]]),
        lambda x: np.linspace(0, x, 5) + np.linspace(x, 1, 5),
        lambda x: np.geomspace(1, 1 + x * x, 4),
        lambda x: np.interp(x, [0.0, 1.0, 2.5, 4.0], [5.0, -1.0, 2.0, 2.0]),
        lambda x: np.interp(x * TABLE, [0.0, 1.0, 8.0], [0.0, 1.0, 3.0]),
        lambda x: np.interp([-1.0, 0.0, 0.5, 3.0, 9.0], [0.0, 1.0, 3.0], x * TABLE[0]),
        lambda x: np.interp(x, [1.0, 3.0], [4.0, 8.0]),
        lambda x: take([10.0, 20.0, 30.0], x * TABLE),
        lambda x: take(x * TABLE, np.floor(x)) + take(x * TABLE, [0, 5]).sum(),
        lambda x: take(x * TABLE, [[0, 9], [-3, 2.9]]),
        lambda x: sum(row.sum() * n for n, row in enumerate(x * TABLE)) + len(x * TABLE),
        lambda x: np.shape(x * TABLE)[1] * x + np.size(x * TABLE) + np.ndim(x * TABLE),
        lambda x: 2.5 + 0 * TABLE,
        lambda x: x > 1,
        lambda x: (x > 1) * 1.0 + (x > 2) * 1.0 + (x * TABLE > 3) * (TABLE < 5),
        lambda x: np.where(x * TABLE > 3, x > 1, TABLE > 2) * 2 + np.logical_not(x > 1),
        lambda x: np.sum(x * TABLE > 2) + np.mean(x * TABLE > 2, axis=0) + np.max(x * TABLE > 2),
        lambda x: np.maximum(x > 1, x * TABLE > 2) + 3.0 * np.logical_or(x > 1, TABLE > 2)[1],
        lambda x: ((x > 1) == (x * TABLE > 2)) * x,
    ],
)  # fmt: skip
def test_array_function_is_numpys(function):
    check(lambda x: {"y": function(x)}, x=[np.float64(v) for v in (1.0, 2.5, 0.5, 4.0, -1.5)])


def test_take_of_plain_values_keeps_within_the_ends():
    assert take([[1.0, 2.0], [3.0, 4.0]], [-5, 0, 2.9, 99]).tolist() == [1.0, 1.0, 3.0, 4.0]


def test_choice_of_numbers_gives_the_chosen_one():
    graph = trace(lambda node, x: {"y": node * x}, {"node": (1, [10.0, 20.0, 30.0]), "x": 2.0})
    for at, value in enumerate([10.0, 20.0, 30.0]):
        assert evaluate(graph, {"node": at, "x": 3.0})["y"] == 3 * value


def test_choice_of_tables_gives_the_fields_of_the_chosen_one():
    options = [{"price": p, "years": np.array([p, 2 * p, 3 * p]), "grid": p * TABLE} for p in (1.0, 7.0)]
    function = lambda node: {"a": node["price"] + node["years"].sum(), "b": node["years"] * 2, "c": node["grid"][1]}
    graph = trace(function, {"node": (0, options)})
    for at, option in enumerate(options):
        wanted, found = function(option), evaluate(graph, {"node": at})
        assert all(np.array_equal(found[k], wanted[k]) for k in wanted)


# ---- random programs ----------------------------------------------------------------------------------------------

SHAPES = [(), (1,), (2,), (3,), (2, 3), (3, 1), (1, 2), (2, 1, 3)]
MOST = 7  # elements of a value: numpy adds so few in order, so results must agree to the last bit
quarters = st.integers(-32, 32).map(lambda n: n / 4)
nonzero = lambda y: np.where(y == 0, 4.0, y)
tame = lambda x: np.where(np.isfinite(x), np.clip(x, -9, 9), 0.0)
ONE = {
    "negative": np.negative,
    "absolute": np.absolute,
    "floor": np.floor,
    "ceil": np.ceil,
    "rint": np.rint,
    "square": np.square,
    "root": lambda x: np.sqrt(np.abs(x)),
    "sign": np.sign,
    "not": lambda x: 1.0 * np.logical_not(x),
    "finite": lambda x: 1.0 * np.isfinite(x),
    "flat": lambda x: x.reshape(-1),
    "column": lambda x: x.reshape(-1, 1),
    "turned": lambda x: np.transpose(x),
    "new": lambda x: x[None],
    "single": lambda x: x.reshape(-1)[-1],
    "backwards": lambda x: x.reshape(-1)[::-1],
    "clip": lambda x: np.clip(x, -2, 3),
}
TWO = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": lambda x, y: x / nonzero(y),
    "whole": lambda x, y: tame(x) // nonzero(tame(y)),
    "rest": lambda x, y: tame(x) % nonzero(tame(y)),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "less": lambda x, y: 1.0 * (x < y),
    "equal": lambda x, y: 1.0 * (x == y),
    "and": lambda x, y: 1.0 * np.logical_and(x, y),
    "or": lambda x, y: 1.0 * np.logical_or(x, y),
    "stack": lambda x, y: np.stack([x + 0 * y, y + 0 * x]),
    "concatenate": lambda x, y: np.concatenate([x.reshape(-1), y.reshape(-1)]),
    "take": lambda x, y: take(x, np.floor(tame(y))),
    "where": lambda x, y: np.where(x > y, x, 2 * y),
}


@st.composite
def programs(draw):
    """A function of two numbers and a chosen table, made of random steps; and states to try it at."""
    array = lambda *shape: np.array([draw(quarters) for _ in range(math.prod(shape))]).reshape(shape)
    options = [{"n": draw(quarters), "list": array(3)} for _ in range(2)]
    constants = [array(*shape) for shape in draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=2))]
    states = [(draw(quarters), draw(quarters), draw(st.integers(0, 1))) for _ in range(3)]
    steps = []

    def run(a, b, c):
        values = [np.float64(x) if isinstance(x, float) else x for x in (a, b, c["n"])] + [c["list"], *constants]
        for function, *at in steps:
            values.append(function(*(values[i] for i in at)))
        return values

    for _ in range(draw(st.integers(1, 9))):
        with np.errstate(all="ignore"):
            values = run(*states[0][:2], options[states[0][2]])
        x, y = draw(st.integers(0, len(values) - 1)), draw(st.integers(0, len(values) - 1))
        kind = draw(st.sampled_from(["one", "two", "fold"]))
        if kind == "one":
            step = (ONE[draw(st.sampled_from(sorted(ONE)))], x)
        elif kind == "two":
            step = (TWO[draw(st.sampled_from(sorted(TWO)))], x, y)
        else:
            axis = draw(st.sampled_from([None, *range(np.ndim(values[x]))]))
            fold = draw(st.sampled_from(["sum", "prod", "max", "min", "cumsum", "mean"]))
            step = ((lambda v, fold=fold, axis=axis: getattr(np, fold)(v, axis=axis)), x)
        try:
            with np.errstate(all="ignore"):
                made = np.asarray(step[0](*(np.asarray(values[i], dtype=float) for i in step[1:])), dtype=float)
        except ValueError:
            continue  # shapes that do not broadcast
        if made.size <= MOST and made.ndim <= 4:
            steps.append(step)
    function = lambda a, b, c: {f"v{n}": v for n, v in enumerate(run(a, b, c)) if n not in range(3, 4 + len(constants))}
    return function, options, states


@settings(max_examples=300)
@given(program=programs())
def test_random_program_gives_numpys_numbers_to_the_last_bit(program):
    function, options, states = program
    a, b, c = states[0]
    graph = trace(function, {"a": a, "b": b, "c": (c, options)})
    for a, b, c in states:
        with np.errstate(all="ignore"):
            wanted = function(a=a, b=b, c=options[c])
        found = evaluate(graph, {"a": a, "b": b, "c": c})
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], np.asarray(value, dtype=float), strict=True)


# ---- the graph ----------------------------------------------------------------------------------------------------


def test_graph_leaves_out_what_no_output_needs():
    def function(x, y):
        np.exp(y) * np.arange(50.0)
        return {"z": x + 1}

    nodes = [["i", "x"], ["c", 1.0], ["add", 0, 1]]
    assert trace(function, {"x": 1.0, "y": 2.0}) == {"nodes": nodes, "outputs": {"z": [2, []]}}


def test_graph_shares_equal_parts():
    graph = trace(lambda x: {"a": np.exp(x) * np.exp(x), "b": 1 / np.exp(x), "c": np.exp(x)}, {"x": 1.0})
    assert names(graph).count("exp") == 1
    assert graph["nodes"][graph["outputs"]["c"][0]][0] == "exp"


def test_graph_folds_constants():
    graph = trace(lambda x: {"y": x * np.sqrt(np.arange(4.0) + 5)}, {"x": 1.0})
    assert graph["nodes"] == [["i", "x"], ["c", np.sqrt(np.arange(4.0) + 5).tolist()], ["multiply", 0, 1]]


def test_graph_of_constants_alone_has_no_input():
    graph = trace(lambda x: {"y": 3, "z": np.arange(2), "t": True}, {"x": 1.0})
    assert "i" not in names(graph) and [shape for _, shape in graph["outputs"].values()] == [[], [2], []]
    assert {k: v.tolist() for k, v in evaluate(graph, {}).items()} == {"y": 3.0, "z": [0.0, 1.0], "t": 1.0}


def test_graph_names_nodes_in_the_order_of_evaluation():
    graph = trace(lambda x: {"y": np.interp(np.sum(x * CUBE, axis=1), [0.0, 1.0, 9.0], [1.0, 0.0, 4.0])}, {"x": 1.0})
    for at, node in enumerate(graph["nodes"]):
        assert all(a < at for a in tracing._arguments(node))


def test_reshape_and_whole_slices_add_no_node():
    graph = trace(lambda x: {"y": (x * TABLE).reshape(3, 2)[:, :][None]}, {"x": 1.0})
    assert names(graph) == ["i", "c", "multiply"] and graph["outputs"]["y"][1] == [1, 3, 2]


def test_graph_is_json_without_loss():
    graph = plain_exact(trace(lambda x: {"y": x * np.array([0.1 + 0.2, np.inf, np.nan, 5.0])}, {"x": 1.0}))
    text = json.dumps(graph, allow_nan=False)
    assert json.loads(text)["nodes"][1] == ["c", [0.30000000000000004, "inf", "nan", 5]]


def test_require_lets_traced_values_pass():
    from aistack.checks import require

    def function(x):
        require(x > 5, "x must be above 5")
        return {"y": x}

    assert names(trace(function, {"x": 1.0})) == ["i"]
    with pytest.raises(ValueError, match="x must be above 5"):
        function(1.0)


# ---- refusals -----------------------------------------------------------------------------------------------------

REFUSED = [
    (lambda x: {"y": 1 if x > 2 else 0}, "a branch"),
    (lambda x: {"y": max(x, 2)}, "np.maximum"),
    (lambda x: {"y": x > 1 and x < 2}, "np.logical_and"),
    (lambda x: {"y": 0 < x < 2}, "np.logical_and"),
    (lambda x: {"y": (x > 1) + (x > 2)}, "np.add of conditions alone; multiply them by 1.0"),
    (lambda x: {"y": True - (x * TABLE > 2)}, "np.subtract of conditions alone"),
    (lambda x: {"y": np.exp(x > 1)}, "np.exp of conditions alone"),
    (lambda x: {"y": (x * TABLE > 2) ** (x > 1)}, "np.power of conditions alone"),
    (lambda x: {"y": float(x)}, "float(), int(), range() or math.*"),
    (lambda x: {"y": int(x)}, "float(), int()"),
    (lambda x: {"y": round(x)}, "float(), int()"),
    (lambda x: {"y": math.sqrt(x)}, "math.*"),
    (lambda x: {"y": math.floor(x)}, "math.*"),
    (lambda x: {"y": [n for n in range(x)]}, "range()"),
    (lambda x: {"y": [1, 2, 3][x]}, "float(), int()"),
    (lambda x: {"y": TABLE[x]}, "np.asarray"),
    (lambda x: {"y": (x * TABLE)[x]}, "take(values, index)"),
    (lambda x: {"y": (x * TABLE)[0, x]}, "take(values, index)"),
    (lambda x: {"y": np.array([x, 2.0])}, "np.stack"),
    (lambda x: {"y": np.asarray(x)}, "np.asarray"),
    (lambda x: {"y": np.sum([x, x])}, "np.stack"),
    (lambda x: {"y": np.take(TABLE, x)}, "np.asarray"),
    (lambda x: {"y": np.std(x * TABLE)}, "np.std is not traced"),
    (lambda x: {"y": np.sort(x * TABLE)}, "np.sort is not traced"),
    (lambda x: {"y": (x * TABLE) @ np.ones(3)}, "np.matmul (__call__) is not traced"),
    (lambda x: {"y": np.cbrt(x)}, "np.cbrt (__call__) is not traced"),
    (lambda x: {"y": np.add.accumulate(x * TABLE)}, "np.add (accumulate) is not traced"),
    (lambda x: {"y": np.subtract.reduce(x * TABLE)}, "np.subtract (reduce) is not traced"),
    (lambda x: {"y": np.log(x, out=np.zeros(()))}, "where= or out="),
    (lambda x: {"y": np.add(x, 1, where=[True])}, "where= or out="),
    (lambda x: {"y": np.sum(x * TABLE, keepdims=True)}, "use axis= alone"),
    (lambda x: {"y": np.sum(x * TABLE, axis=(0, 1))}, "fold one axis at a time"),
    (lambda x: {"y": np.max(x * TABLE, initial=3)}, "use axis= alone"),
    (lambda x: {"y": np.where(x > 1)}, "give the values for both cases"),
    (lambda x: {"y": np.stack([x * TABLE, TABLE], axis=1)}, "stack, then transpose"),
    (lambda x: {"y": np.concatenate([x * TABLE, TABLE])}, "concatenate flat arrays"),
    (lambda x: {"y": np.concatenate([x * TABLE[0], TABLE[0]], axis=1)}, "concatenate flat arrays"),
    (lambda x: {"y": np.linspace(0, x, 5, endpoint=False)}, "use start, stop and num"),
    (lambda x: {"y": np.interp(2.0, x * TABLE[0], TABLE[0])}, "trace x (and fp) only"),
    (lambda x: {"y": np.interp(x, [0, 1], [1, 2], left=0)}, "trace x (and fp) only"),
    (lambda x: {"y": np.interp(x, [1.0], [1.0])}, "fewer than two positions"),
    (lambda x: {"y": np.take(x * TABLE, [0], axis=1)}, "take from a flat array"),
    (lambda x: {"y": np.take(x * TABLE, [0], mode="wrap")}, "take from a flat array"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_refusal_shows_the_line_and_the_way_out(function, message):
    with pytest.raises(TraceError) as refused:
        trace(function, {"x": 1.0})
    where, _, what = str(refused.value).partition("\n")
    line = function.__code__.co_firstlineno
    with open(__file__, encoding="utf-8") as stream:
        text = stream.read().splitlines()[line - 1].strip()
    assert where == f"test_trace.py, line {line}: {text}"
    assert message in what and what.endswith("or pass mode='grid'")


def test_refusal_shows_the_line_inside_a_model():
    def price(x):
        if x > 1:
            return 2
        return 3

    with pytest.raises(TraceError, match=r"test_trace.py, line \d+: if x > 1:\n"):
        trace(lambda x: {"y": price(x)}, {"x": 1.0})


@pytest.mark.parametrize("result", [3.0, [1.0], None])
def test_result_that_is_no_dict_is_refused(result):
    def model(x):
        return result

    with pytest.raises(TraceError, match=f"model must return a dict of named results, not {type(result).__name__}"):
        trace(model, {"x": 1.0})


def test_traced_number_has_no_length():
    with pytest.raises(TypeError, match="a traced number has no length"):
        trace(lambda x: {"y": len(x)}, {"x": 1.0})


def test_tracer_shows_its_sample():
    seen = []
    trace(lambda x: {"y": seen.append(repr(x + 1)) or x}, {"x": 1.0})
    assert seen == ["Tracer(array(2.))"]
