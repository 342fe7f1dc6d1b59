"""Explorers: one pure Python function, two lives.

With a kernel, ipywidgets drive the function itself. In the static book the function is traced once into an expression graph
(:mod:`aistack.trace`) that the page evaluates under native controls; what cannot be traced is computed for every stop of
every control beforehand (``mode="grid"``) and looked up.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from aistack import charts
from aistack.formats import fill, number_text
from aistack.trace import trace

__all__ = ["Choice", "Explorer", "Slider", "choice", "explore", "slider"]

GRID_BUDGET = 150_000  #: characters of JSON that a grid may take


@dataclass(frozen=True)
class Slider:
    """A number between two ends; made by :func:`slider`."""

    low: float
    high: float
    step: float
    start: float
    label: str
    unit: str
    log: bool
    spec: str

    def stops(self) -> list[float]:
        """Return the values the slider can stand at, both ends included."""
        count = self.count()
        if self.log:
            return [self.low * (self.high / self.low) ** (i / count) for i in range(count)] + [self.high]
        return [min(self.low + i * self.step, self.high) for i in range(count + 1)]

    def count(self) -> int:
        """Return the number of steps between the ends."""
        return round(self.step if self.log else (self.high - self.low) / self.step)

    def position(self, value: float) -> int:
        """Return the stop nearest to `value`."""
        share = (
            math.log(value / self.low) / math.log(self.high / self.low)
            if self.log
            else (value - self.low) / (self.high - self.low)
        )
        return round(min(max(share, 0), 1) * self.count())

    def text(self, value: float) -> str:
        """Return the value with its unit, as the reader sees it."""
        return number_text(value, self.spec) + (f" {self.unit}" if self.unit else "")


@dataclass(frozen=True)
class Choice:
    """One of several named options; made by :func:`choice`."""

    options: dict
    start: str
    label: str

    def values(self) -> list:
        """Return what the function gets for each option."""
        return list(self.options.values())


def slider(low, high, step=None, *, start, label, unit="", spec=None, log=False) -> Slider:
    """Return a slider control.

    Parameters
    ----------
    low, high : float
        Ends, both reachable.
    step : float, optional
        Distance of two stops; with ``log=True`` the number of stops between the ends (default 100).
    start : float
        Default value; must be a stop on a linear slider.
    label, unit : str
        Name and unit, shown and announced.
    spec : str, optional
        How to print the value (:func:`aistack.formats.number_text`); default by step.
    log : bool
        Equal ratios instead of equal steps.

    Raises
    ------
    ValueError
        If the ends, step or start do not fit together.
    """
    if not low < high:
        raise ValueError(f"slider {label!r}: low {low} must be below high {high}")
    if not low <= start <= high:
        raise ValueError(f"slider {label!r}: start {start} is outside {low}..{high}")
    if log and low <= 0:
        raise ValueError(f"slider {label!r}: a log slider needs low > 0, not {low}")
    step = (100 if log else (high - low) / 100) if step is None else step
    if step <= 0 or (log and step != int(step)):
        raise ValueError(f"slider {label!r}: step {step} must be {'a whole number of stops' if log else 'positive'}")
    if not log:
        for what, value in (("high", high), ("start", start)):
            if abs((value - low) / step - round((value - low) / step)) > 1e-6:
                raise ValueError(
                    f"slider {label!r}: {what} {value} is not low {low} plus a whole number of steps of {step}"
                )
        spec = spec or f".{_decimals(low, step)}f"
    control = Slider(float(low), float(high), float(step), float(start), label, unit, log, spec or ".3s")
    return control if not log else Slider(**{**control.__dict__, "start": control.stops()[control.position(start)]})


def _decimals(low: float, step: float) -> int:
    """Return the decimals that show every stop as it is; for endless ones those of the step's size."""
    exact = (n for n in range(7) if all(math.isclose(v * 10**n, round(v * 10**n), abs_tol=1e-9) for v in (low, step)))
    return next(exact, max(0, -math.floor(math.log10(step) + 1e-9)))


def choice(options: dict, *, label: str, start: str | None = None) -> Choice:
    """Return a choice control.

    Parameters
    ----------
    options : dict
        Name -> number, or name -> dict of numbers and equally long arrays, the same fields for each option.
    label : str
        Name of the control.
    start : str, optional
        Default option; the first when left out.

    Raises
    ------
    ValueError
        If there is nothing to choose, or options have different fields.
    """
    if len(options) < 2:
        raise ValueError(f"choice {label!r}: needs at least two options, not {list(options)}")
    fields = {tuple(v) if isinstance(v, dict) else None for v in options.values()}
    if len(fields) > 1:
        raise ValueError(
            f"choice {label!r}: all options need the same fields in the same order, not {sorted(map(str, fields))}"
        )
    start = next(iter(options)) if start is None else start
    if start not in options:
        raise ValueError(f"choice {label!r}: start {start!r} is not one of {list(options)}")
    return Choice(options, start, label)


def substitute(template, results: dict, words: dict):
    """Fill a chart template: ``"$name"`` becomes the named result, ``{name:spec}`` inside text is filled in."""
    if isinstance(template, dict):
        return {k: substitute(v, results, words) for k, v in template.items()}
    if isinstance(template, list | tuple):
        return [substitute(v, results, words) for v in template]
    if isinstance(template, str):
        if template.startswith("$"):
            if template[1:] not in results:
                raise KeyError(f"{template!r} in the chart: no such result; known: {', '.join(results)}")
            return results[template[1:]]
        return fill(template, words) if "{" in template and "%{" not in template else template
    return template


@dataclass
class Explorer:
    """A function under controls; shows itself at the end of a cell."""

    function: object
    controls: dict
    name: str
    title: str
    question: str
    chart: dict
    says: str
    numbers: dict
    sources: list[dict]
    mode: str
    emitted: dict | None = None

    def default(self) -> dict:
        """Return the state of the controls before anyone moves them: name -> value, or option name."""
        return {name: c.start for name, c in self.controls.items()}

    def evaluate(self, state: dict) -> dict:
        """Return the function's named results at `state`."""
        unknown = set(state) - set(self.controls)
        if unknown:
            raise ValueError(f"explorer {self.name!r} has no control {sorted(unknown)}; it has {list(self.controls)}")
        given = self.default() | state
        arguments = {
            n: dict(c.options[given[n]]) if isinstance(c, Choice) and isinstance(c.options[given[n]], dict)
            else c.options[given[n]] if isinstance(c, Choice) else given[n]
            for n, c in self.controls.items()
        }  # fmt: skip
        arguments = {n: _arrays(a) for n, a in arguments.items()}
        with np.errstate(all="ignore"):
            return {k: np.asarray(v, dtype=float) for k, v in self.function(**arguments).items()}

    def words(self, state: dict, results: dict) -> dict:
        """Return what text templates may name: scalar results, slider values, option names."""
        numbers = {k: float(v) for k, v in results.items() if np.ndim(v) == 0}
        return numbers | (self.default() | state)

    def figure(self, state: dict) -> dict:
        """Return the chart at `state` as plain plotly data and layout."""
        results = self.evaluate(state)
        return charts.plain(substitute(self.chart, results, self.words(state, results)))

    def sentence(self, state: dict) -> str:
        """Return in words what the chart shows at `state`."""
        return fill(self.says, self.words(state, self.evaluate(state)))

    def payload(self) -> dict:
        """Return what the page needs: controls, graph or grid, template, default figure."""
        state = self.default()
        results = self.evaluate(state)
        words = self.words(state, results)
        self._check(results)
        spec = {
            "name": self.name, "controls": [_control(n, c) for n, c in self.controls.items()], "chart": charts.plain(self.chart),
            "says": self.says, "numbers": [[k, *v] for k, v in self.numbers.items()],
        }  # fmt: skip
        spec |= {"graph": self.graph()} if self.mode == "trace" else {"grid": self._grid()}
        return {
            "kind": "explorer", "name": self.name, "title": self.title, "question": self.question, "spec": spec,
            "figure": self.figure(state), "says": fill(self.says, words),
            "table": {"columns": [["quantity", None], ["value", None]],
                      "rows": [[label, fill(f"{{{k}:{fmt}}}", words) + (f" {unit}" if unit else "")] for k, (label, unit, fmt) in self.numbers.items()]},
            "state": [_shown(c) for c in self.controls.values()], "sources": self.sources,
        }  # fmt: skip

    def graph(self) -> dict:
        """Return the function as an expression graph (see :func:`aistack.trace.trace`)."""
        inputs = {
            n: (list(c.options).index(c.start), [_arrays(v) for v in c.values()]) if isinstance(c, Choice) else c.start
            for n, c in self.controls.items()
        }
        return charts.plain_exact(trace(self.function, inputs))

    def _grid(self) -> dict:
        stops = {n: list(c.options) if isinstance(c, Choice) else c.stops() for n, c in self.controls.items()}
        columns: dict[str, list] = {}
        size = 0
        for state in itertools.product(*stops.values()):
            for key, value in self.evaluate(dict(zip(stops, state, strict=True))).items():
                columns.setdefault(key, []).append(charts.plain(value))
                size += value.size * 8
            if size > 4 * GRID_BUDGET:
                break
        grid = {"counts": [len(s) for s in stops.values()], "outputs": columns}
        if size > 4 * GRID_BUDGET or len(charts.dumps(grid)) > GRID_BUDGET:
            widest = max(stops, key=lambda n: len(stops[n]))
            raise ValueError(
                f"explorer {self.name!r}: the grid of {'x'.join(str(c) for c in grid['counts'])} stops passes {GRID_BUDGET} characters; "
                f"coarsen {widest!r} ({len(stops[widest])} stops), return shorter arrays, or make the function traceable"
            )
        return grid

    def _check(self, results: dict) -> None:
        bad = [k for k, v in results.items() if np.ndim(v) == 0 and not np.isfinite(v)]
        if bad:
            raise ValueError(f"explorer {self.name!r}: {bad} not finite at the default state")
        for name, (_, _, spec) in self.numbers.items():
            if name not in results:
                raise ValueError(f"explorer {self.name!r}: numbers name {name!r}, the function returns {list(results)}")
            number_text(0.0, spec)

    def _ipython_display_(self):
        from IPython.display import display

        if charts.in_book():
            display({charts.MIME: self.emitted, "text/plain": f"{self.title}. {self.sentence({})}"}, raw=True)
        else:
            display(self.widget())

    def widget(self):
        """Return the explorer as ipywidgets, for a notebook with a kernel."""
        import ipywidgets as w
        from IPython.display import HTML, display

        wide = {"style": {"description_width": "14em"}, "layout": w.Layout(width="min(100%, 44em)")}
        made, reads = {}, {}
        for name, control in self.controls.items():
            if isinstance(control, Choice):
                made[name] = w.Dropdown(
                    options=list(control.options), value=control.start, description=control.label, **wide
                )
                reads[name] = lambda box: box.value
            else:
                stops = control.stops()
                made[name] = w.SelectionSlider(
                    options=[(control.text(s), s) for s in stops], value=stops[control.position(control.start)],
                    description=control.label, continuous_update=True, **wide,
                )  # fmt: skip
                reads[name] = lambda box: box.value
        reset, out = w.Button(description="Reset"), w.Output()

        def draw(_=None):
            state = {name: reads[name](box) for name, box in made.items()}
            with out:
                out.clear_output(wait=True)
                display(charts._plotly(self.figure(state)), HTML(f"<p>{self.sentence(state)}</p>"))

        def restore(_):
            for name, control in self.controls.items():
                made[name].value = (
                    control.start if isinstance(control, Choice) else control.stops()[control.position(control.start)]
                )

        for box in made.values():
            box.observe(draw, names="value")
        reset.on_click(restore)
        draw()
        head = w.HTML(f"<b>{self.title}</b><br>{self.question}")
        return w.VBox([head, *made.values(), reset, out])


def _arrays(value):
    if isinstance(value, dict):
        return {k: np.asarray(v, dtype=float) if np.ndim(v) else float(v) for k, v in value.items()}
    return value


def _control(name: str, control) -> dict:
    if isinstance(control, Choice):
        return {
            "name": name,
            "kind": "choice",
            "label": control.label,
            "options": list(control.options),
            "start": list(control.options).index(control.start),
        }
    return {
        "name": name, "kind": "slider", "label": control.label, "unit": control.unit, "low": control.low, "high": control.high,
        "step": control.step, "count": control.count(), "log": control.log, "spec": control.spec, "start": control.position(control.start),
    }  # fmt: skip


def _shown(control) -> str:
    return control.start if isinstance(control, Choice) else control.text(control.start)


def explore(
    function,
    controls: dict,
    *,
    name: str,
    title: str,
    question: str,
    chart: dict,
    says: str,
    numbers: dict,
    sources,
    mode: str = "trace",
) -> Explorer:
    """Return an explorer of a pure function.

    Parameters
    ----------
    function : callable
        Takes one keyword argument a control, returns a dict of named numbers and arrays (bools count as 0 and 1).
    controls : dict
        Argument -> :func:`slider` or :func:`choice`.
    name : str
        Kebab-case id, unique in the page.
    title, question : str
        What it is, and what moving it answers.
    chart : dict
        A plotly figure (``data``, ``layout``) in which ``"$name"`` stands for a result and ``{name:spec}`` in text for a formatted number.
    says : str
        The result in words, with ``{name:spec}`` fields.
    numbers : dict
        Scalar result -> ``(label, unit, spec)``: the table of numbers under the chart.
    sources : list of str
        Ids in ``data/sources.csv`` of the data behind it.
    mode : {"trace", "grid"}
        How the static page answers.

    Raises
    ------
    ValueError
        If a part does not fit the others: it names the explorer and the part.
    TraceError
        When built for the page, if the function cannot be traced: it shows the line.
    """
    if mode not in ("trace", "grid"):
        raise ValueError(f"explorer {name!r}: mode {mode!r} is neither 'trace' nor 'grid'")
    if not question.rstrip().endswith("?"):
        raise ValueError(f"explorer {name!r}: the question {question!r} is not a question")
    chart = chart.to_plotly_json() if hasattr(chart, "to_plotly_json") else chart
    explorer = Explorer(
        function, controls, name, title, question, chart, says, numbers, charts.source_lines(sources), mode
    )
    explorer.figure({})
    explorer.sentence({})
    if charts.in_book():  # here, because an error in IPython's display hook would not stop the build
        explorer.emitted = explorer.payload()
    return explorer
