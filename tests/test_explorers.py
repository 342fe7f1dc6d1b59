"""The page computes what Python computes: every explorer, every operation, every number as text."""

import base64
import itertools
import json
import pickle
import random
from functools import cache

import numpy as np
import pytest
from site_server import ROOT, soup

from aistack import charts, explore
from aistack.book.execute import explorers_file, notebooks
from aistack.explore import Choice, substitute
from aistack.formats import fill, number_text
from aistack.trace import BINARY, FOLDS, UNARY, take, trace

pytestmark = pytest.mark.browser

BATCH, RTOL = 100, 1e-9
FEW, MANY = 100, 1000  # settings of an explorer that are compared in `make test` and in `make test-deep`
NOTEBOOKS = [p for p in notebooks(ROOT) if "explore(" in (ROOT / p).read_text(encoding="utf-8")] or [None]

# In the page: results as one row of floats and the texts, for a batch of positions.
ANSWER = """async ([spec, batch]) => {
  await import("/_static/explore.js"); const { model } = globalThis.sand;
  const answer = (window.answers ??= {})[spec.name] ??= model(spec);
  const flat = (v) => Array.isArray(v) ? v.flatMap(flat) : [v === null ? NaN : v];
  const shape = (v) => Array.isArray(v) ? [v.length, ...shape(v[0])] : [];
  const words = (v) => typeof v === "string" ? [v] : Array.isArray(v) ? v.flatMap(words)
    : v && typeof v === "object" ? Object.keys(v).sort().flatMap((k) => words(v[k])) : [];
  const rows = [], texts = [];
  let shapes;
  for (const positions of batch) {
    const now = answer(positions);
    shapes = Object.fromEntries(Object.entries(now.results).map(([k, v]) => [k, shape(v)]));
    rows.push(Object.values(now.results).flatMap(flat));
    texts.push([now.says, ...words(now.figure)]);
  }
  const bytes = new Uint8Array(Float64Array.from(rows.flat()).buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return [shapes, rows.length, btoa(text), texts];
}"""


FIGURE = "async ([spec, at]) => (await import('/_static/explore.js'), globalThis.sand.model(spec)(at).figure)"


@pytest.fixture(scope="module")
def module_page(browser, address):
    """A page of the site's own host that imports explore.js."""
    page = browser.new_page()
    page.goto(address + "search.html")
    yield page
    page.close()


@cache
def built(path):
    """Specs that the built page of a notebook carries: name -> spec."""
    page = path.with_suffix(".html").as_posix()
    tags = soup(page).select(".explorer script.chart-spec")
    return {spec["name"]: spec for spec in (json.loads(tag.string) for tag in tags)}


def made(path):
    """Explorers that a notebook made when the book was built: name -> Explorer."""
    return pickle.loads(explorers_file(ROOT, path).read_bytes())


def ask(page, spec, positions):
    """Results (name -> array over positions) and texts that the page gives."""
    columns, texts = [], []
    for start in range(0, len(positions), BATCH):
        shapes, count, packed, said = page.evaluate(ANSWER, [spec, positions[start : start + BATCH]])
        columns.append(np.frombuffer(base64.b64decode(packed)).reshape(count, -1))
        texts += said
    table, results, at = np.concatenate(columns), {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        results[name] = table[:, at : at + size].reshape(len(table), *shape)
        at += size
    return results, texts


def strings(value):
    """Every string of a figure, keys in the order of the alphabet."""
    if isinstance(value, dict):
        return [s for k in sorted(value) for s in strings(value[k])]
    if isinstance(value, list):
        return [s for v in value for s in strings(v)]
    return [value] if isinstance(value, str) else []


def state_at(explorer, positions):
    """What the controls say in Python at the page's positions."""
    return {
        name: list(control.options)[at] if isinstance(control, Choice) else control.stops()[at]
        for (name, control), at in zip(explorer.controls.items(), positions, strict=True)
    }


def positions_of(spec, few=FEW):
    """Every stop of a grid; for a graph corners and random points, three times as many with eight controls or more."""
    tops = [c["count"] if c["kind"] == "slider" else len(c["options"]) - 1 for c in spec["controls"]]
    if "grid" in spec:
        return [list(p) for p in itertools.product(*(range(t + 1) for t in tops))]
    rng, points = random.Random(spec["name"]), few if len(tops) < 8 else 3 * few
    corners = list(itertools.product(*({0, t} for t in tops)))
    chosen = [[c["start"] for c in spec["controls"]], *rng.sample(corners, min(len(corners), points // 4))]
    start = chosen[0]
    for i, control in enumerate(spec["controls"]):
        if control["kind"] == "choice":
            chosen += [[*start[:i], at, *start[i + 1 :]] for at in range(tops[i] + 1)]
    chosen = [list(p) for p in chosen]
    return chosen + [[rng.randint(0, t) for t in tops] for _ in range(points - len(chosen))]


def nudged(explorer, state):
    """The state, then the same with sliders a hair up or down: together, then one by one."""
    yield state
    sliders = {name: control for name, control in explorer.controls.items() if not isinstance(control, Choice)}
    for names in [list(sliders), *([name] for name in sliders)]:
        for factor in (1 + 1e-12, 1 - 1e-12):
            yield state | {n: min(max(state[n] * factor, sliders[n].low), sliders[n].high) for n in names}


def difference(explorer, spec, state, got, said):
    """Where page and Python part at one state, in words; None where they agree.

    Values agree to nine digits, with the same places missing. Only where a function jumps (a floor, a threshold) and
    the state stands on the very jump may the page give what Python gives a hair beside it.
    """
    agree, first, heard = {}, {}, False
    for near in nudged(explorer, state):
        wanted = explorer.evaluate(near)
        if set(got) != set(wanted):
            return f"page gives {list(got)}, Python {list(wanted)}"
        if "grid" in spec:  # a grid ships seven digits
            wanted = {k: np.array(charts.plain(v), dtype=float) for k, v in wanted.items()}
        for name, value in wanted.items():
            if got[name].shape != value.shape:
                return f"{name}: page has shape {got[name].shape}, Python {value.shape}"
            finite = np.abs(value[np.isfinite(value)])
            scale = finite.max() if finite.size else 0.0
            same = np.isclose(got[name], value, rtol=RTOL, atol=RTOL * scale, equal_nan=True)
            agree[name] = agree.get(name, False) | same
        words = explorer.words(state, wanted)
        texts = [fill(explorer.says, words), *strings(substitute(explorer.chart, wanted, words))]
        heard = heard or texts == said
        first = first or {"wanted": wanted, "texts": texts}
        if heard and all(np.all(a) for a in agree.values()):
            return None
    for name, same in agree.items():
        if not np.all(same):
            page, python = (np.atleast_1d(v)[~np.atleast_1d(same)] for v in (got[name], first["wanted"][name]))
            return f"{name} at {state}: page {page[:3]}, Python {python[:3]} ({page.size} of {np.size(same)} values)"
    pair = next(((a, b) for a, b in zip(said, first["texts"], strict=False) if a != b), (said, first["texts"]))
    return f"at {state}: page says {pair[0]!r}, Python {pair[1]!r}"


def compare(explorer, spec, results, texts, positions):
    """Every difference between page and Python at `positions`, in words."""
    found = (
        difference(explorer, spec, state_at(explorer, at), {k: v[row] for k, v in results.items()}, texts[row])
        for row, at in enumerate(positions)
    )
    return [words for words in found if words]


def part(path, answers):
    """Where the explorers of a notebook differ from what the page answered, in words."""
    python = made(path)
    if set(answers) != set(python):
        return ["the built page has other explorers than the notebook: run make book"]
    wrong = []
    for name, explorer in python.items():
        spec, positions, results, texts, figures = answers[name]
        assert [c["name"] for c in spec["controls"]] == list(explorer.controls)
        wrong += [f"{name}: {words}" for words in compare(explorer, spec, results, texts, positions)]
        for at, figure in figures:
            assert_same(charts.plain(figure), explorer.figure(state_at(explorer, at)), f"{path}, {name} at {at}")
    return wrong


@pytest.mark.parametrize("few", [FEW, pytest.param(MANY, marks=pytest.mark.deep)])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_page_and_python_agree(site, module_page, path, few):
    answers = {}
    for name, spec in built(path).items():
        positions = positions_of(spec, few)
        some = positions[:: max(len(positions) // 8, 1)]
        figures = [(at, module_page.evaluate(FIGURE, [spec, at])) for at in some]
        answers[name] = spec, positions, *ask(module_page, spec, positions), figures
    wrong = part(path, answers)
    assert not wrong, f"{path}: {len(wrong)} differences\n" + "\n".join(wrong[:10])


def assert_same(got, wanted, where):
    """Fail where two pieces of plain data differ by more than rounding to seven digits."""
    if isinstance(wanted, dict):
        assert set(got) == set(wanted), where
        for key in wanted:
            assert_same(got[key], wanted[key], f"{where}, {key}")
    elif isinstance(wanted, list):
        assert len(got) == len(wanted), where
        for at, (a, b) in enumerate(zip(got, wanted, strict=True)):
            assert_same(a, b, f"{where}[{at}]")
    elif isinstance(wanted, float) and isinstance(got, int | float):
        assert got == pytest.approx(wanted, rel=1e-6, abs=1e-9), where
    else:
        assert got == wanted, where


# ---- the parts ----------------------------------------------------------------------------------------------------

ODD = [0.0, 1.0, -1.0, 0.1, 0.3, 2.5, -2.5, 3.5, 7.0, -7.0, 1e-9, 1e300, np.inf, -np.inf, np.nan]


def run_graph(page, graph, inputs):
    """The outputs of a graph as the page computes them."""
    call = """async ([graph, inputs]) => { await import("/_static/explore.js"); const { compile } = globalThis.sand;
      const all = compile(graph)(inputs), flat = (v) => Array.isArray(v) ? v.map(flat) : v;
      return Object.fromEntries(Object.entries(all).map(([k, v]) => [k, flat(v)])); }"""
    return page.evaluate(call, [charts.plain_exact(graph), inputs])


def agree(page, function, inputs):
    """Fail unless the page and numpy agree on `function` at `inputs`, NaN and infinities included."""
    with np.errstate(all="ignore"):
        graph, wanted = trace(function, inputs), function(**inputs)
    got = run_graph(page, graph, inputs)
    for name, value in wanted.items():
        np.testing.assert_allclose(
            np.array(got[name], dtype=float), np.asarray(value, dtype=float), rtol=1e-12, atol=1e-300, err_msg=name
        )


@pytest.mark.parametrize("name", sorted(UNARY))
def test_unary_operation_equals_numpy(module_page, name):
    values = np.array(ODD)
    with np.errstate(all="ignore"):
        agree(module_page, lambda x: {name: getattr(np, name)(values * x)}, {"x": 1.0})


PAIRS = [(a, b) for a, b in itertools.product(ODD, ODD) if np.isfinite(b) or not np.isfinite(a) or a == b]


@pytest.mark.parametrize("name", sorted(BINARY))
def test_binary_operation_equals_numpy(module_page, name):
    left, right = (np.array(side) for side in zip(*PAIRS, strict=True))
    agree(module_page, lambda x: {name: getattr(np, name)(left * x, right * x)}, {"x": 1.0})


@pytest.mark.parametrize("name", sorted(FOLDS))
def test_fold_equals_numpy_along_every_axis(module_page, name):
    values = np.random.default_rng(5).normal(size=(3, 4, 5))

    def function(x):
        traced = values * x
        return {f"{name}{axis}": getattr(np, name)(traced, axis=axis) for axis in (0, 1, 2, None)}

    agree(module_page, function, {"x": 1.5})


def test_shapes_picks_and_lookups_equal_numpy(module_page):
    grid = np.arange(12.0).reshape(3, 4)
    wide = np.arange(20.0)

    def function(x, y):
        table = grid * x + wide[:3, None]
        row, column = np.linspace(0.0, x, 4), grid[:, 0] * y
        return {
            "table": table, "turned": np.transpose(table), "part": table[1:, ::2], "mean": np.mean(table, axis=1),
            "outer": column[:, None] + row, "stack": np.stack([row, row * 2]), "one": x + y,
            "joined": np.concatenate([row, column]),
            "taken": take(wide, np.floor(x) + np.arange(3)), "end": take(wide, x * 100),
            "clipped": np.clip(row, 0.5, y),
            "where": np.where(table > y, table, np.nan), "log": np.geomspace(1.0, 1.0 + x, 5),
            "bent": np.interp(row, [0.0, 1.0, 2.0, 5.0], [0.0, 3.0, 1.0, 4.0]),
        }  # fmt: skip

    for x, y in ((2.3, 1.1), (0.4, 3.0), (7.0, -2.0)):
        agree(module_page, function, {"x": x, "y": y})


def test_numbers_as_text_equal_python(module_page):
    rng = random.Random(11)
    specs = [".0f", ".1f", ".2f", ".4f", ".0%", ".1%", ".1s", ".2s", ".3s", ".4s"]
    values = [0.0, -0.0, 0.5, 1.5, 2.5, 12.25, -12.25, 0.125, 1250.0, 999.5, 0.9996, -0.0004, 1e-7, 123456.789]
    values += [1e21, 6.02e23]
    values += [s * rng.uniform(1, 10) * 10 ** rng.randint(-9, 15) for _ in range(1500) for s in (1, -1)]
    values += [rng.randint(-4000, 4000) / 2 ** rng.randint(0, 5) for _ in range(1500)]
    print_all = """async ([values, specs]) => { await import("/_static/explore.js"); const { formatNumber } = globalThis.sand;
      return values.map((v) => specs.map((s) => formatNumber(v, s))); }"""
    got = module_page.evaluate(print_all, [values, specs])
    wrong = [
        f"{v!r} as {s}: page {a!r}, Python {number_text(v, s)!r}"
        for v, row in zip(values, got, strict=True) for s, a in zip(specs, row, strict=True) if a != number_text(v, s)
    ]  # fmt: skip
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong[:10])
    words = module_page.evaluate(print_all, [[-1.0, 0.0, 1.0, 2.0, 9.0], ["no|yes", "a|b|c"]])
    assert words == [[number_text(v, s) for s in ("no|yes", "a|b|c")] for v in (-1.0, 0.0, 1.0, 2.0, 9.0)]


def test_slider_stops_and_texts_equal_python(module_page):
    sliders = [
        explore.slider(50, 858, 1, start=814, label="Area", unit="mm²"),
        explore.slider(0, 1, 0.05, start=0.3, label="Share", spec=".0%"),
        explore.slider(0.01, 1, label="Density", log=True, start=0.1),
        explore.slider(8, 65536, 13, label="Chips", log=True, start=8),
    ]
    stops = """async (c) => { await import("/_static/explore.js"); const { slid, formatNumber } = globalThis.sand;
      return Array.from({ length: c.count + 1 }, (_, i) => [slid(c, i), formatNumber(slid(c, i), c.spec)]); }"""
    for slider in sliders:
        got = module_page.evaluate(stops, explore._control("x", slider))
        assert [v for v, _ in got] == pytest.approx(slider.stops(), rel=1e-14)
        assert [t for _, t in got] == [number_text(v, slider.spec) for v in slider.stops()]


def simulated():
    """An explorer of a function with a branch, which only a grid can answer."""
    controls = {
        "n": explore.slider(1, 4, 1, start=2, label="n"),
        "kind": explore.choice({"up": 1.0, "down": -1.0}, label="kind"),
        "x": explore.slider(0, 1, 0.5, start=0, label="x"),
    }

    def function(n, kind, x):
        steps = np.arange(3.0) * kind if n > 2 else np.full(3, np.nan)
        return {"line": steps + n + x, "total": n * kind + x}

    return explore.explore(
        function, controls, name="grid", title="A grid", question="Does it look up?", sources=["survey"], mode="grid",
        chart={"data": [{"y": "$line"}], "layout": {}}, says="{kind}: {total:.1f}",
        numbers={"total": ("Total", "", ".1f")},
    )  # fmt: skip


def test_grid_is_looked_up_stop_by_stop(module_page):
    explorer = simulated()
    spec = explorer.payload()["spec"]
    positions = positions_of(spec)
    assert len(positions) == 4 * 2 * 3
    assert compare(explorer, spec, *ask(module_page, spec, positions), positions) == []


def test_comparison_notices_a_wrong_number_a_missing_one_and_a_wrong_word(module_page):
    explorer = simulated()
    spec = explorer.payload()["spec"]
    positions = positions_of(spec)
    results, texts = ask(module_page, spec, positions)
    assert len(compare(explorer, spec, {k: v * (1 + 1e-7) for k, v in results.items()}, texts, positions)) >= 20
    missing = results | {"line": np.where(results["line"] == 3.0, np.nan, results["line"])}
    assert compare(explorer, spec, missing, texts, positions)
    assert len(compare(explorer, spec, results, [[t[0] + "!", *t[1:]] for t in texts], positions)) == len(positions)
