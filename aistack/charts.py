"""One look for every chart, and what stands under it: summary, sources, data table, CSV.

A chart is a plotly (or matplotlib) figure with words and data. With a kernel it is shown as it is; while the book is built
(environment variable ``AISTACK_BOOK``) it is emitted as plain data that :mod:`aistack.book.render` turns into HTML.
"""

from __future__ import annotations

import base64
import html
import json
import math
import os
import re
from dataclasses import dataclass, field

import numpy as np

from aistack import data as _data

__all__ = [
    "DASHES",
    "LAYERS",
    "MIME",
    "PALETTE",
    "SYMBOLS",
    "VENDORS",
    "Chart",
    "axis",
    "chart",
    "color",
    "layout",
    "plain",
]

MIME = "application/vnd.aistack.chart+json"

#: Eight colours told apart with any colour vision, each at least 3:1 against both themes' grounds.
PALETTE = ("#258bd6", "#d66f12", "#10915b", "#c158a8", "#7573ee", "#89671d", "#db4d51", "#6a7d81")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "triangle-down", "star", "cross")

#: One fixed colour a layer of the stack, 1 to 14: the middle of the theme's two tones, at least 3:1 on both grounds.
LAYERS = {
    1: "#ab6c30", 2: "#987528", 3: "#837d2a", 4: "#668437", 5: "#428952", 6: "#278a6f", 7: "#1a8886",
    8: "#1d859a", 9: "#2e82af", 10: "#517bbc", 11: "#7074bd", 12: "#8a6db6", 13: "#9e67a5", 14: "#ad638e",
}  # fmt: skip

#: One fixed colour a company, wherever it appears.
VENDORS = {
    "NVIDIA": "#4f8f00", "AMD": "#d6453d", "Intel": "#0b7ac4", "Google": "#d4660f", "Alphabet": "#d4660f", "Amazon": "#a87b00",
    "Microsoft": "#0f9176", "Meta": "#7a6ae0", "Oracle": "#c2559b", "TSMC": "#c0504d", "Samsung": "#3f6fd0", "Apple": "#5f7d8c",
    "SK hynix": "#d0592c", "Micron": "#0a84a0", "ASML": "#3f7fe0", "Broadcom": "#b0456f", "Arista": "#0a84a0", "Cisco": "#5f7d8c",
    "xAI": "#8a6a55", "OpenAI": "#0f9176", "CoreWeave": "#8b66dc", "total": "#5f7d8c",
}  # fmt: skip


def color(name) -> str:
    """Return the fixed colour of a layer number, a vendor or a position in the palette.

    Examples
    --------
    >>> color("NVIDIA")
    '#4f8f00'

    Raises
    ------
    KeyError
        If a vendor has no colour yet: give it one in ``VENDORS``.
    """
    if isinstance(name, str):
        if name not in VENDORS:
            raise KeyError(
                f"{name!r} has no colour yet{_data._nearest(name, VENDORS)}; add it to aistack.charts.VENDORS"
            )
        return VENDORS[name]
    return PALETTE[name % len(PALETTE)]


def axis(title: str, **options) -> dict:
    """Return a plotly axis with a title that carries its unit, in the course's look."""
    log = {"dtick": "D2", "exponentformat": "SI"} if options.get("type") == "log" else {}
    return {"title": {"text": title}, "automargin": True, "zeroline": False, **log, **options}


def layout(x: str | dict, y: str | dict, **options) -> dict:
    """Return a plotly layout in the course's look.

    Parameters
    ----------
    x, y : str or dict
        Axis title with unit, or a whole axis made by :func:`axis`.
    **options
        Further plotly layout keys, for example ``barmode="stack"``.
    """
    base = {
        "xaxis": axis(x) if isinstance(x, str) else x,
        "yaxis": axis(y) if isinstance(y, str) else y,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0},
        "hovermode": "closest",
    }
    return base | options


def plain(value):
    """Return figures, arrays and missing values as JSON-ready data; numbers rounded to seven digits."""
    if isinstance(value, dict):
        if {"bdata", "dtype"} <= set(value):  # plotly's packed arrays
            flat = np.frombuffer(base64.b64decode(value["bdata"]), np.dtype(value["dtype"]))
            return plain(flat.reshape([int(n) for n in value.get("shape", str(flat.size)).split(",")]))
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if str(value) in ("<NA>", "NaT"):
        return None
    return str(value)


def plain_exact(value):
    """Return a graph as JSON-ready data with every digit kept (integers written short)."""
    if isinstance(value, dict):
        return {k: plain_exact(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain_exact(v) for v in value]
    if isinstance(value, float):
        return (
            int(value) if value.is_integer() and abs(value) < 2**53 else value if math.isfinite(value) else str(value)
        )
    return value


def in_book() -> bool:
    """Tell whether the notebook is being executed for the static book."""
    return bool(os.environ.get("AISTACK_BOOK"))


def source_lines(ids, frame=None) -> list[dict]:
    """Return title, publisher, date, address and (where `frame` has it) the span of dates used, for each source."""
    lines = []
    for record in _data.sources(ids):
        line = {k: record[k] for k in ("source_id", "title", "publisher", "date", "locator")}
        if frame is not None and {"source_id", "as_of"} <= set(frame.columns):
            dates = sorted(frame.loc[frame["source_id"] == record["source_id"], "as_of"].dropna().astype(str))
            line["as_of"] = (
                dates[0] if dates and dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}" if dates else None
            )
        lines.append({k: v for k, v in line.items() if v is not None})
    return lines


def _table(frame, units: dict) -> dict:
    shown = frame.reset_index(drop=True)
    return {"columns": [[str(c), units.get(c)] for c in shown.columns], "rows": plain(shown.astype(object).to_numpy())}


def _figure(figure):
    """A plotly figure (or dict) as plain data without its template; None for matplotlib."""
    if hasattr(figure, "savefig"):
        return None
    raw = figure.to_plotly_json() if hasattr(figure, "to_plotly_json") else figure
    raw = {"data": raw["data"], "layout": {k: v for k, v in raw.get("layout", {}).items() if k != "template"}}
    return plain(raw)


@dataclass
class Chart:
    """A figure with its words and data; shows itself at the end of a cell."""

    figure: object
    name: str
    title: str
    summary: str
    table: dict
    sources: list[dict] = field(default_factory=list)
    svg: str | None = None

    def payload(self) -> dict:
        """Return what the book needs: JSON-ready."""
        return {
            "kind": "chart", "name": self.name, "title": self.title, "summary": self.summary,
            "figure": _figure(self.figure), "svg": self.svg, "table": self.table, "sources": self.sources,
        }  # fmt: skip

    def _ipython_display_(self):
        from IPython.display import HTML, display

        if in_book():
            display({MIME: self.payload(), "text/plain": f"{self.title}. {self.summary}"}, raw=True)
            return
        if self.svg is not None:
            display(HTML(self.svg))
        else:
            display(_plotly(_figure(self.figure)))
        display(
            HTML(f"<p><b>{html.escape(self.title)}</b> {html.escape(self.summary)}</p>{_sources_html(self.sources)}")
        )


def _plotly(figure: dict):
    import plotly.graph_objects as go

    return go.Figure(figure).update_layout(template="plotly_white", height=420)


def _sources_html(lines: list[dict]) -> str:
    return (
        "<p><small>Sources: " + "; ".join(html.escape(source_text(s)) for s in lines) + ".</small></p>" if lines else ""
    )


def source_text(source: dict) -> str:
    """Return one source as words: publisher, title, its date, and the dates of the figures used.

    Examples
    --------
    >>> source_text({"publisher": "SEMI", "title": "Wafer shipments", "date": "2025", "as_of": "2020 to 2024"})
    'SEMI, Wafer shipments (2025; figures of 2020 to 2024)'
    """
    dates = [source.get("date"), f"figures of {source['as_of']}" if source.get("as_of") else None]
    inside = "; ".join(d for d in dates if d)
    return f"{source['publisher']}, {source['title']}" + (f" ({inside})" if inside else "")


def chart(figure, *, name: str, title: str, summary: str, data, sources=None) -> Chart:
    """Return a chart with everything the course puts under one.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure, dict or matplotlib.figure.Figure
        What to draw. A matplotlib figure stays a picture; a plotly one comes alive in the page.
    name : str
        Short kebab-case id, unique in the page: anchor and CSV file name.
    title : str
        What the chart shows, as a title.
    summary : str
        What a sighted reader would take from it, in one to three sentences with numbers.
    data : pandas.DataFrame
        The numbers drawn; shown as a folded table and offered as CSV.
    sources : list of str, optional
        Ids in ``data/sources.csv``; default: those of `data` (its ``.attrs`` or ``source_id`` column).

    Raises
    ------
    ValueError
        If the data are empty, the summary is too short to say anything, or no source is known.
    """
    if not len(data):
        raise ValueError(f"chart {name!r}: data is empty; give the numbers that are drawn")
    if len(summary.split()) < 8:
        raise ValueError(f"chart {name!r}: summary {summary!r} says too little; tell what a sighted reader would see")
    if sources is None:
        sources = list(dict.fromkeys(data["source_id"])) if "source_id" in data else data.attrs.get("sources", [])
    if not sources:
        raise ValueError(f"chart {name!r}: no sources; pass sources=[…] (ids of data/sources.csv)")
    svg = svg_text(figure) if hasattr(figure, "savefig") else None
    return Chart(
        figure, name, title, summary, _table(data, data.attrs.get("units", {})), source_lines(sources, data), svg
    )


INK, FAINT, GROUND = "#010203", "#040506", "#fefdfc"  # stand-ins that the page's theme replaces


def svg_text(figure) -> str:
    """Draw a matplotlib figure as SVG that follows the page's theme, without style attributes or fixed ids."""
    import hashlib
    import io

    import matplotlib as mpl
    import matplotlib.pyplot as plt

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "aistack", "font.family": "sans-serif"}):
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", pad_inches=0.05, transparent=True, metadata={"Date": None}
        )
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.S)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r'\sstyle="([^"]*)"', lambda m: _attributes(m[1]), text)
    salt = hashlib.sha256(text.encode()).hexdigest()[:6]
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', text))
    text = re.sub(r'\sid="([^"]*)"', lambda m: f' id="{salt}{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(url\(#|href="#)([^")]+)', rf"\g<1>{salt}\g<2>", text)
    text = text.replace("xlink:href", "href")  # the prefix is declared in the root that is replaced below
    for stand_in, name in ((INK, "--fg"), (FAINT, "--line"), (GROUND, "--bg")):
        text = text.replace(f'"{stand_in}"', f'"var({name})"')
    text = text.replace('"#000000"', '"currentColor"')
    text = re.sub(r'\s?transform="rotate\(-?0 [^"]*\)"|<path (?:clip-path="[^"]*" )?fill="none"[^>]*/>', "", text)
    text = re.sub(r'<path d="[^"]*" (?:clip-path="[^"]*" )?fill="none"/>', "", text)
    text = re.sub(r'\s(d|x|y|transform|viewBox)="([^"]*)"', lambda m: f' {m[1]}="{_place(m[2])}"', text)
    text = re.sub(
        r'<svg[^>]*?viewBox="([^"]+)"[^>]*>',
        r'<svg class="chart-static" viewBox="\1" aria-hidden="true" focusable="false">',
        text,
        count=1,
    )
    return re.sub(r">\s+<", "><", text).strip()


def _place(value: str) -> str:
    """Write coordinates with one decimal, without line breaks and spare blanks."""
    short = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), " ".join(value.split()))
    return re.sub(r"\s*([MLHVCSQTAZz])\s*", r"\1", short)


def _attributes(style: str) -> str:
    """Turn a style attribute into presentation attributes, which a strict Content-Security-Policy allows."""
    out = []
    for item in style.split(";"):
        key, _, value = item.strip().partition(":")
        value = value.strip().replace('"', "'")
        if key == "font":
            words = value.split("px", 1)
            size = words[0].split()[-1]
            out += [f'font-size="{size}"'] + (
                ['font-weight="bold"'] if "bold" in words[0] or "700" in words[0].split()[:-1] else []
            )
        elif key in ("font-size", "text-anchor", "fill", "stroke", "stroke-width", "stroke-linejoin", "stroke-linecap",
                     "stroke-dasharray", "stroke-dashoffset", "opacity", "fill-opacity", "stroke-opacity", "fill-rule",
                     "clip-path", "font-weight", "stroke-miterlimit"):  # fmt: skip
            out.append(f'{key}="{value.removesuffix("px") if key == "font-size" else value}"')
    return " " + " ".join(out) if out else ""


def canvas(width: float = 6.4, height: float = 3.9):
    """Return a matplotlib (figure, axes) in the course's look, for wafer maps, topologies and other drawings."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_RC):
        figure = Figure(figsize=(width, height))
        return figure, figure.add_subplot()


_RC = {
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK, "ytick.color": INK,
    "axes.facecolor": "none", "figure.facecolor": "none", "grid.color": FAINT, "axes.grid": True, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "font.size": 10, "legend.frameon": False, "grid.linewidth": 0.7,
    "axes.prop_cycle": f"cycler('color', {list(PALETTE)!r})", "legend.labelcolor": INK, "font.family": "sans-serif",
}  # fmt: skip


def dumps(value) -> str:
    """Return compact JSON that may stand inside a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
