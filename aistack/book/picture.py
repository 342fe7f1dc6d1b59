"""Draw a plotly figure as a static picture, for readers without a script, for print, and until the live chart comes.

It covers what the course's charts use: scatter, bar and heatmap traces, linear, log and category axes, error bars,
fills, lines, boxes, annotations.
"""

import hashlib
import json
import os
import re
from functools import cache
from pathlib import Path

import numpy as np

from aistack import charts

_DASH = {
    "solid": "-",
    "dash": (0, (5, 3)),
    "dot": (0, (1, 2)),
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
    "longdashdot": (0, (8, 3, 1, 3)),
}
_MARK = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "x": "x", "star": "*", "cross": "P",
    "circle-open": "o", "square-open": "s", "line-ew": "_", "line-ns": "|",
}  # fmt: skip


LEVELS = 64  # colours of a heatmap's picture


@cache
def _hand() -> bytes:
    """The code that draws: a picture kept from other code is drawn again."""
    return b"".join(Path(file).read_bytes() for file in (__file__, charts.__file__))


def kept_picture(folder: Path, figure: dict) -> str:
    """Return :func:`picture` of `figure`, drawn once and kept in `folder`."""
    told = json.dumps(figure, sort_keys=True).encode()
    file = folder / f"{hashlib.sha256(told + _hand()).hexdigest()[:24]}.svg"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")  # another process may be drawing the same
        height = 5.0 if figure.get("layout", {}).get("height", 0) > 430 else 4.0
        part.write_text(picture(figure, height=height), encoding="utf-8")
        part.replace(file)
    return file.read_text(encoding="utf-8")


def picture(figure: dict, width: float = 6.4, height: float = 4.0) -> str:
    """Return a plotly figure as themed SVG.

    Parameters
    ----------
    figure : dict
        Plain plotly ``data`` and ``layout`` (:func:`aistack.charts.plain`).
    width, height : float
        Inches.

    Raises
    ------
    ValueError
        If a trace type is not covered: the message names it.
    """
    figure = _hex_colors(figure)
    canvas, axes = charts.canvas(width, height)
    layout = figure.get("layout", {})
    _axis(axes, "x", layout.get("xaxis", {}))
    _axis(axes, "y", layout.get("yaxis", {}))
    bars = _Bars(figure["data"], layout)
    for at, trace in enumerate(figure["data"]):
        if trace.get("visible") in (False, "legendonly"):
            continue
        kind = trace.get("type", "scatter")
        if kind in ("scatter", "scattergl"):
            _scatter(axes, trace | {which: bars.places(trace.get(which)) for which in "xy"}, at)
        elif kind == "bar":
            bars.draw(axes, trace, at)
        elif kind == "heatmap":
            _heatmap(axes, trace)
        else:
            raise ValueError(
                f"no static picture of a {kind!r} trace: use scatter, bar or heatmap, or add it to aistack.book.picture"
            )
    _marks(axes, layout)
    _limits(axes, layout, figure["data"])
    handles, names = axes.get_legend_handles_labels()
    if names and layout.get("showlegend", True) and (len(names) > 1 or layout.get("showlegend")):
        axes.legend(
            handles,
            [_words(n) for n in names],
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=3,
            frameon=False,
            labelcolor=charts.INK,
            fontsize=8.5,
            handlelength=1.6,
            columnspacing=1.2,
        )
    return charts.svg_text(canvas)


def _hex_colors(value):
    """Write plotly's ``rgba(…)`` and ``rgb(…)`` colours as ``#rrggbbaa``, which matplotlib knows."""
    if isinstance(value, dict):
        return {k: _hex_colors(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_hex_colors(v) for v in value]
    parts = re.fullmatch(r"rgba?\(([^)]+)\)", value) if isinstance(value, str) else None
    if not parts:
        return value
    *rgb, alpha = [*map(float, parts[1].split(",")), 1.0][:4]
    return "#" + "".join(f"{round(v):02x}" for v in (*rgb, 255 * alpha))


def _words(text) -> str:
    """Plotly's little HTML as plain text that matplotlib prints as it stands."""
    return re.sub(r"<[^>]+>", "", re.sub(r"<br\s*/?>", "\n", str(text))).replace("$", r"\$")


def _axis(axes, which: str, options: dict) -> None:
    title = options.get("title", "")
    getattr(axes, f"set_{which}label")(_words(title.get("text", "") if isinstance(title, dict) else title))
    if options.get("type") == "log":
        getattr(axes, f"set_{which}scale")("log")
    if options.get("showgrid") is False:
        axes.grid(False, axis=which)
    if options.get("visible") is False:
        getattr(axes, f"{which}axis").set_visible(False)
        axes.spines["bottom" if which == "x" else "left"].set_visible(False)
    if options.get("scaleanchor"):
        axes.set_aspect("equal", adjustable="box")


def _limits(axes, layout: dict, data: list) -> None:
    for which in "xy":
        options = layout.get(f"{which}axis", {})
        span = options.get("range")
        if span and None not in span and not isinstance(span[0], str):
            ends = [10.0**v for v in span] if options.get("type") == "log" else span
            getattr(axes, f"set_{which}lim")(*ends)
        elif options.get("rangemode") == "tozero":
            getattr(axes, f"set_{which}lim")(**{"left" if which == "x" else "bottom": 0})
        if options.get("autorange") == "reversed":
            getattr(axes, f"invert_{which}axis")()
        if options.get("tickvals") is not None:
            labels = options.get("ticktext") or options["tickvals"]
            getattr(axes, f"set_{which}ticks")(options["tickvals"], [_words(t) for t in labels], minor=False)
            getattr(axes, f"set_{which}ticks")([], minor=True)
        elif options.get("type") == "log":
            from matplotlib.ticker import FuncFormatter, NullFormatter

            shown = getattr(axes, f"{which}axis")
            shown.set_major_formatter(FuncFormatter(_tick))
            shown.set_minor_formatter(NullFormatter())
        else:
            texts = [t for trace in data for t in (trace.get(which) or []) if isinstance(t, str)]
            if which == "x" and len(set(texts)) > 5 and sum(map(len, set(texts))) > 60:
                axes.tick_params(axis="x", labelrotation=40)
                for label in axes.get_xticklabels():
                    label.set_horizontalalignment("right")


def _tick(value, _=None) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _numbers(values):
    """None becomes nan; texts (categories, dates) stay."""
    values = [] if values is None else values
    return (
        list(values)
        if any(isinstance(v, str) for v in values)
        else np.array([np.nan if v is None else v for v in values], float)
    )


def _first(value, default):
    return default if value is None else value


def _scatter(axes, trace: dict, at: int) -> None:
    x, y = _numbers(trace.get("x")), _numbers(trace.get("y"))
    mode, line, marker = trace.get("mode", "lines"), trace.get("line", {}), trace.get("marker", {})
    color = (
        line.get("color") or (marker.get("color") if isinstance(marker.get("color"), str) else None) or charts.color(at)
    )
    name = trace.get("name") if trace.get("name") and trace.get("showlegend", True) else None
    if trace.get("fill") in ("toself", "tozeroy", "tonexty"):
        shade = dict(
            color=trace.get("fillcolor") if str(trace.get("fillcolor", "")).startswith("#") else color,
            alpha=0.2,
            linewidth=0,
        )
        if trace["fill"] == "toself":
            axes.fill(x, y, label=name if "lines" not in mode else None, **shade)
        elif trace["fill"] == "tozeroy":
            axes.fill_between(x, y, 0, **shade)
        elif axes.lines:
            below = axes.lines[-1]
            axes.fill_between(x, y, np.interp(x, below.get_xdata(), below.get_ydata()), **shade)
    drawn = {"lines": "lines" in mode and line.get("width", 2) > 0, "markers": "markers" in mode}
    sizes, colors = marker.get("size", 7), marker.get("color")
    symbol = marker.get("symbol", "circle")
    if drawn["markers"] and (isinstance(sizes, list) or isinstance(colors, list)):
        axes.scatter(
            x,
            y,
            s=np.square(np.asarray(sizes, float)) * 0.5,
            c=colors if colors is not None else color,
            marker=_MARK.get(symbol, "o"),
            label=name,
            zorder=3,
        )
    elif drawn["lines"] or drawn["markers"]:
        steps = {"hv": "steps-post", "vh": "steps-pre"}.get(line.get("shape"), "default")
        face = "none" if str(symbol).endswith("-open") else color
        axes.plot(
            x, y, color=color, label=name, drawstyle=steps, linewidth=line.get("width", 2) * 0.8 if drawn["lines"] else 0,
            linestyle=_DASH.get(line.get("dash", "solid"), "-") if drawn["lines"] else "none", markerfacecolor=face,
            marker=_MARK.get(symbol, "o") if drawn["markers"] else None, markersize=_first(sizes, 7) * 0.65, alpha=trace.get("opacity", 1),
        )  # fmt: skip
    else:
        axes.plot(x, y, linewidth=0, alpha=0)
    for which, error in (("y", trace.get("error_y")), ("x", trace.get("error_x"))):
        if error and error.get("visible", True) and error.get("array") is not None:
            up = _numbers(error["array"])
            down = _numbers(error["arrayminus"]) if error.get("arrayminus") is not None else up
            spread = np.nan_to_num(np.vstack([down, up]))
            axes.errorbar(
                x,
                y,
                **{f"{which}err": spread},
                fmt="none",
                ecolor=error.get("color", color),
                capsize=2.5,
                linewidth=1.1,
            )
    if "text" in mode and trace.get("text") is not None:
        texts = trace["text"] if isinstance(trace["text"], list) else [trace["text"]] * len(x)
        places = trace.get("textposition", "top center")
        for one, left, top, place in zip(
            texts, x, y, places if isinstance(places, list) else [places] * len(x), strict=False
        ):
            dy = 5 if "top" in place else -11 if "bottom" in place else -3
            align = "left" if "right" in place else "right" if "left" in place else "center"
            if top == top and one:
                axes.annotate(
                    _words(one),
                    (left, top),
                    textcoords="offset points",
                    xytext=(5 if align == "left" else -5 if align == "right" else 0, dy),
                    ha=align,
                    fontsize=8,
                )


class _Bars:
    """Places grouped and stacked bars as plotly does."""

    def __init__(self, data: list, layout: dict):
        self.bars = [t for t in data if t.get("type") == "bar" and t.get("visible") not in (False, "legendonly")]
        self.stacked = layout.get("barmode") in ("stack", "relative")
        self.over = layout.get("barmode") == "overlay"
        self.base: dict = {}
        self.order: list = []
        for trace in self.bars:
            along = trace.get("y" if trace.get("orientation") == "h" else "x") or []
            self.order += [v for v in along if v not in self.order]
        self.text = any(isinstance(v, str) for v in self.order)

    def places(self, values):
        """Categories that bars stand at as the bars' positions; other values as they are."""
        return (
            [self.order.index(v) for v in values] if self.text and values and set(values) <= set(self.order) else values
        )

    def draw(self, axes, trace: dict, at: int) -> None:
        flat = trace.get("orientation") == "h"
        along, tall = (trace["y"], trace["x"]) if flat else (trace["x"], trace["y"])
        where = np.array([self.order.index(v) if self.text else v for v in along], float)
        tall = np.nan_to_num(_numbers(tall))
        gaps = np.diff(np.sort(np.unique(where)))
        width = 0.8 * (gaps.min() if len(gaps) else 1)
        base = np.zeros(len(tall))
        if isinstance(trace.get("base"), list):
            base = _numbers(trace["base"])
        elif self.stacked:
            signs = [(v, t >= 0) for v, t in zip(along, tall, strict=True)]
            base = np.array([self.base.get(key, 0.0) for key in signs])
            for key, t in zip(signs, tall, strict=True):
                self.base[key] = self.base.get(key, 0.0) + t
        elif not self.over and len(self.bars) > 1:
            width /= len(self.bars)
            where = where + (self.bars.index(trace) - (len(self.bars) - 1) / 2) * width
        marker = trace.get("marker", {})
        style = dict(
            color=marker.get("color") or charts.color(at),
            label=trace.get("name") if trace.get("showlegend", True) else None,
            alpha=trace.get("opacity", 1),
        )
        if marker.get("pattern", {}).get("shape"):
            style |= {"hatch": "//", "edgecolor": charts.GROUND, "linewidth": 0}
        (axes.barh if flat else axes.bar)(where, tall, width, base, **style)
        for which in ("error_x" if flat else "error_y",):
            error = trace.get(which)
            if error and error.get("array") is not None:
                up = np.nan_to_num(_numbers(error["array"]))
                down = np.nan_to_num(_numbers(error["arrayminus"])) if error.get("arrayminus") is not None else up
                ends = dict(fmt="none", ecolor=charts.INK, capsize=2.5, linewidth=1.1)
                (axes.errorbar)(
                    *((tall + base, where) if flat else (where, tall + base)),
                    **{"xerr" if flat else "yerr": np.vstack([down, up])},
                    **ends,
                )
        texts = trace.get("text")
        if isinstance(texts, list) and trace.get("textposition") != "none":
            for one, place, end in zip(texts, where, tall + base, strict=False):
                spot, offset = ((end, place), (3, -3)) if flat else ((place, end), (0, 3))
                axes.annotate(
                    _words(one or ""),
                    spot,
                    textcoords="offset points",
                    xytext=offset,
                    ha="left" if flat else "center",
                    fontsize=8,
                )
        if self.text:
            (axes.set_yticks if flat else axes.set_xticks)(range(len(self.order)), [_words(v) for v in self.order])


def _boxes(x, y, chosen, gap: float):
    """One path around all chosen cells between the edges `x` and `y`, drawn a little apart."""
    from matplotlib.path import Path

    rows, columns = np.nonzero(chosen)
    dx, dy = gap * (x[1] - x[0]), gap * (y[1] - y[0])
    left, right, low, high = x[columns] + dx, x[columns + 1] - dx, y[rows] + dy, y[rows + 1] - dy
    corners = np.stack(
        [np.stack(c, -1) for c in ((left, low), (left, high), (right, high), (right, low), (left, low))], 1
    )
    return Path(corners.reshape(-1, 2), np.tile([Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY], len(rows)))


def _heatmap(axes, trace: dict) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap as plt_colors
    from matplotlib.colors import Normalize
    from matplotlib.patches import PathPatch

    z = np.array([[np.nan if v is None else v for v in row] for row in trace["z"]], float)
    edges = []
    for which, count in (("x", z.shape[1]), ("y", z.shape[0])):
        middle = trace.get(which)
        middle = (
            np.arange(count, dtype=float) if middle is None or isinstance(middle[0], str) else np.asarray(middle, float)
        )
        step = (middle[1] - middle[0]) if count > 1 else 1.0
        edges.append(np.concatenate([middle - step / 2, [middle[-1] + step / 2]]) if len(middle) == count else middle)
    scale = trace.get("colorscale")
    colors = (
        plt_colors.from_list("scale", [tuple(s) for s in scale]) if isinstance(scale, list) else colormaps["cividis"]
    )
    axes.grid(False)
    low, high = trace.get("zmin", np.nanmin(z)), trace.get("zmax", np.nanmax(z))
    levels = plt_colors.from_list("levels", colors(np.linspace(0, 1, LEVELS)), LEVELS)
    index = np.floor((z - low) / ((high - low) or 1) * (LEVELS - 1) + 0.5)
    gap = 0.04 if trace.get("xgap") else 0.0
    for level in np.unique(index[np.isfinite(index)]):
        axes.add_patch(
            PathPatch(
                _boxes(*edges, index == level, gap), color=levels(int(np.clip(level, 0, LEVELS - 1))), linewidth=0
            )
        )
    axes.set(xlim=(edges[0][0], edges[0][-1]), ylim=(edges[1][0], edges[1][-1]))
    if trace.get("showscale", True):
        axes.figure.colorbar(ScalarMappable(Normalize(low, high), levels), ax=axes, shrink=0.85)
    for which in "xy":
        middle = trace.get(which)
        if middle is not None and isinstance(middle[0], str):
            getattr(axes, f"set_{which}ticks")(range(len(middle)), [_words(m) for m in middle])


def _marks(axes, layout: dict) -> None:
    for shape in layout.get("shapes", []):
        line = shape.get("line", {})
        style = dict(
            color=line.get("color", charts.INK),
            linewidth=line.get("width", 1.5) * 0.8,
            linestyle=_DASH.get(line.get("dash", "solid"), "-"),
        )
        if shape.get("type") == "line" and shape.get("xref") == "paper":
            axes.axhline(shape["y0"], **style)
        elif shape.get("type") == "line" and shape.get("yref") == "paper":
            axes.axvline(shape["x0"], **style)
        elif shape.get("type") == "line":
            axes.plot([shape["x0"], shape["x1"]], [shape["y0"], shape["y1"]], **style)
        elif shape.get("type") == "circle":
            from matplotlib.patches import Ellipse

            center = ((shape["x0"] + shape["x1"]) / 2, (shape["y0"] + shape["y1"]) / 2)
            axes.add_patch(
                Ellipse(
                    center,
                    abs(shape["x1"] - shape["x0"]),
                    abs(shape["y1"] - shape["y0"]),
                    fill=False,
                    edgecolor=style["color"],
                    linewidth=style["linewidth"],
                )
            )
        else:
            fill = dict(alpha=shape.get("opacity", 0.15), color=shape.get("fillcolor", charts.FAINT), linewidth=0)
            if shape.get("yref") == "paper":
                axes.axvspan(shape["x0"], shape["x1"], **fill)
            elif shape.get("xref") == "paper":
                axes.axhspan(shape["y0"], shape["y1"], **fill)
            else:
                axes.fill(
                    [shape["x0"], shape["x1"], shape["x1"], shape["x0"]],
                    [shape["y0"], shape["y0"], shape["y1"], shape["y1"]],
                    **fill,
                )
    for note in layout.get("annotations", []):
        logs = [layout.get(f"{w}axis", {}).get("type") == "log" for w in "xy"]
        x, y = (
            10 ** note[w] if log and note.get(f"{w}ref", w) != "paper" else note[w]
            for w, log in zip("xy", logs, strict=True)
        )
        frame = {
            (True, True): "axes fraction",
            (True, False): axes.get_yaxis_transform(),
            (False, True): axes.get_xaxis_transform(),
        }.get((note.get("xref") == "paper", note.get("yref") == "paper"), "data")
        shift = (
            (note.get("ax", 0) * 0.7, -note.get("ay", -14) * 0.7)
            if note.get("showarrow", True)
            else (note.get("xshift", 0), note.get("yshift", 0))
        )
        arrow = dict(arrowstyle="-", color=charts.INK, linewidth=0.7) if note.get("showarrow", True) else None
        align = {"left": "left", "right": "right"}.get(note.get("xanchor"), "center")
        axes.annotate(_words(note.get("text", "")), (x, y), xycoords=frame, textcoords="offset points", xytext=shift, ha=align,
                      fontsize=8, arrowprops=arrow)  # fmt: skip
