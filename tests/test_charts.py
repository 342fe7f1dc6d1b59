"""Charts: words and sources are required, colours can be seen and told apart, pictures are clean and repeatable."""

import itertools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aistack
from aistack import DataError, charts, load
from aistack.book import picture as module
from aistack.book.picture import picture
from aistack.charts import LAYERS, PALETTE, VENDORS, axis, chart, color, layout, plain

SUMMARY = "NVLink went from 160 to 1,800 GB/s in a decade, both directions counted."


@pytest.fixture
def frame():
    return load("nvlink_generations")


def made(frame, **changes):
    figure = {"data": [{"type": "bar", "x": ["a"], "y": [1.0]}], "layout": layout("what", "GB/s")}
    usual = dict(figure=figure, name="nvlink", title="NVLink", summary=SUMMARY, data=frame)
    return chart(**{**usual, **changes})


# ---- what stands under a chart ------------------------------------------------------------------------------------


def test_chart_payload_is_json_and_complete(frame):
    payload = made(frame).payload()
    assert list(payload) == ["kind", "name", "title", "summary", "figure", "svg", "table", "sources"]
    assert payload["kind"] == "chart" and payload["svg"] is None and payload["summary"] == SUMMARY
    assert json.loads(charts.dumps(payload)) == payload
    columns = payload["table"]["columns"]
    assert [c for c, _ in columns] == list(frame.columns) and dict(columns)["bandwidth_gb_per_s"] == "GB/s"
    assert len(payload["table"]["rows"]) == len(frame)


def test_chart_table_keeps_values_and_leaves_missing_empty():
    frame = pd.DataFrame({"a": [1.5, np.nan], "b": ["x", None], "n": pd.array([1, None], "Int64"), "t": [True, False]})
    frame.attrs["sources"] = ["survey"]
    assert made(frame).payload()["table"]["rows"] == [[1.5, "x", 1, True], [None, None, None, False]]


def test_chart_table_starts_anew_after_a_selection(frame):
    rows = made(frame[frame["source_id"] == "survey"].iloc[::-1]).payload()["table"]["rows"]
    assert rows[0][0] == frame[frame["source_id"] == "survey"].iloc[-1, 0]


def test_chart_takes_the_sources_of_its_rows(frame):
    part = frame[frame["source_id"] == "survey"]
    assert [s["source_id"] for s in made(part).sources] == ["survey"]
    bare = part.drop(columns="source_id")
    assert [s["source_id"] for s in made(bare).sources] == part.attrs["sources"]
    assert [s["source_id"] for s in made(bare, sources=["survey", "survey"]).sources] == ["survey"]


def test_chart_sources_say_the_dates_of_the_figures():
    frame = pd.DataFrame({"source_id": ["survey"] * 3, "as_of": ["2024", "2020-05", None]})
    assert made(frame).sources[0]["as_of"] == "2020-05 to 2024"
    assert made(frame.iloc[:1]).sources[0]["as_of"] == "2024"
    assert "as_of" not in made(frame.iloc[2:]).sources[0]


def test_source_text_leaves_out_what_is_unknown():
    assert charts.source_text({"publisher": "A", "title": "B"}) == "A, B"
    assert charts.source_text({"publisher": "A", "title": "B", "as_of": "2024"}) == "A, B (figures of 2024)"


def test_chart_without_data_is_refused(frame):
    with pytest.raises(ValueError, match="chart 'nvlink': data is empty"):
        made(frame.iloc[:0])


@pytest.mark.parametrize("summary", ["", "NVLink grows.", "one two three four five six seven"])
def test_chart_with_too_short_a_summary_is_refused(frame, summary):
    with pytest.raises(ValueError, match=r"chart 'nvlink': summary .* says too little"):
        made(frame, summary=summary)


def test_chart_without_sources_is_refused():
    with pytest.raises(ValueError, match="chart 'nvlink': no sources; pass sources="):
        made(pd.DataFrame({"a": [1]}))


def test_chart_with_an_unknown_source_is_refused(frame):
    with pytest.raises(DataError, match=r"no source 'survy' in sources.csv; did you mean 'survey'\?"):
        made(frame, sources=["survy"])


def test_chart_shows_the_figure_and_its_words_with_a_kernel(frame, monkeypatch):
    shown = []
    monkeypatch.delenv("AISTACK_BOOK", raising=False)
    monkeypatch.setattr("IPython.display.display", lambda *x, **_: shown.extend(x))
    made(frame, title="A < B")._ipython_display_()
    assert type(shown[0]).__name__ == "Figure" and shown[0].data[0].y == (1.0,)
    assert "<b>A &lt; B</b>" in shown[1].data and SUMMARY in shown[1].data and "Sources: " in shown[1].data


def test_chart_emits_its_payload_in_the_book(frame, monkeypatch):
    shown = []
    monkeypatch.setenv("AISTACK_BOOK", "1")
    monkeypatch.setattr("IPython.display.display", lambda *x, **_: shown.extend(x))
    made(frame)._ipython_display_()
    assert shown == [{charts.MIME: made(frame).payload(), "text/plain": f"NVLink. {SUMMARY}"}]


def test_chart_of_plotly_figure_keeps_data_and_drops_the_template(frame):
    go = pytest.importorskip("plotly.graph_objects")
    figure = go.Figure(go.Scatter(x=np.arange(3), y=np.array([0.1, np.nan, 3])), layout={"title": {"text": "t"}})
    found = made(frame, figure=figure).payload()["figure"]
    assert found["data"][0]["x"] == [0, 1, 2] and found["data"][0]["y"] == [0.1, None, 3]
    assert found["layout"] == {"title": {"text": "t"}}


def test_chart_of_matplotlib_figure_is_a_picture(frame):
    figure, axes = charts.canvas()
    axes.plot([1, 2], [3, 4])
    payload = made(frame, figure=figure).payload()
    assert payload["figure"] is None and payload["svg"].startswith('<svg class="chart-static"')


# ---- plain data ---------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(value=values)
def test_plain_is_json_ready_and_final(value):
    once = plain(value)
    assert json.loads(charts.dumps(once)) == once == plain(once)


@given(value=st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x == 0 or abs(x) > 1e-300))
def test_plain_rounds_to_seven_digits(value):
    assert plain(value) == pytest.approx(value, rel=5e-7, abs=0)
    assert plain(np.array([value, np.nan, np.inf])) == [plain(value), None, None]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ((1, None), [1, None]),
        ({1: np.nan}, {"1": None}),
        (pd.NA, None),
        (pd.NaT, None),
        (pd.Timestamp("2024-05-01"), "2024-05-01 00:00:00"),
        (pd.Series([1.5, np.nan]), [1.5, None]),
        ({"dtype": "f8", "bdata": "AAAAAAAA+D8AAAAAAAAAQA=="}, [1.5, 2.0]),
        ({"dtype": "i1", "bdata": "AQIDBAUG", "shape": "2, 3"}, [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_plain_reads_numpy_pandas_and_packed_arrays(value, found):
    assert plain(value) == found


def test_dumps_cannot_end_a_script_and_has_no_nan():
    assert charts.dumps({"a": "</script>"}) == '{"a":"<\\/script>"}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        charts.dumps(float("nan"))


# ---- colours ------------------------------------------------------------------------------------------------------

CSS = (Path(aistack.__file__).parent / "book" / "theme" / "static" / "book.css").read_text(encoding="utf-8")
#: The grounds that charts stand on: a card (--surface) and the page (--bg), light and dark.
GROUNDS = sorted({c for name in ("bg", "surface") for c in re.findall(rf"--{name}: (#[0-9a-f]{{6}});", CSS)})

# Severity 1.0 of G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A Physiologically-based Model for Simulation of
# Color Vision Deficiency", IEEE Trans. Visualization and Computer Graphics 15(6), 2009; they act on linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def test_no_style_sheet_asks_what_an_element_holds():
    """With ``:has()`` the browser restyles the page for each label that plotly measures: 2 ms of 18 a movement."""
    book = Path(aistack.__file__).parent / "book"
    sheets = {p.name: p.read_text(encoding="utf-8") for p in book.rglob("*.css")}
    assert {"book.css", "charts.css"} <= set(sheets)
    assert not [name for name, sheet in sheets.items() if ":has(" in sheet]


def linear(code):
    """Linear RGB of a ``#rrggbb`` colour (IEC 61966-2-1)."""
    value = np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one, two):
    """Contrast ratio of WCAG 2.2."""
    dark, light = sorted(linear(c) @ TO_XYZ[1] for c in (one, two))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb):
    """CIE L*a*b* of linear RGB."""
    share = TO_XYZ @ np.clip(rgb, 0, 1) / TO_XYZ.sum(axis=1)
    root = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def test_contrast_of_black_and_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)


def test_theme_has_light_and_dark_grounds():
    assert len(GROUNDS) == 4 and contrast(GROUNDS[0], GROUNDS[-1]) > 12


@pytest.mark.parametrize("ground", GROUNDS)
def test_colours_stand_out_on_the_ground(ground):
    codes = {*PALETTE, *LAYERS.values(), *VENDORS.values()}
    assert {c: round(contrast(c, ground), 2) for c in codes if contrast(c, ground) < 3} == {}


@pytest.mark.parametrize(
    ("vision", "least"), [("usual", 24), ("protanopia", 12), ("deuteranopia", 12), ("tritanopia", 12)]
)
def test_palette_is_told_apart(vision, least):
    seen = {c: lab(np.array(VISION[vision]) @ linear(c)) for c in PALETTE}
    near = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in itertools.combinations(PALETTE, 2)}
    assert {pair: round(d, 1) for pair, d in near.items() if d < least} == {}


def test_palette_has_a_dash_and_a_symbol_for_each_colour():
    assert (
        len(PALETTE) == len(set(PALETTE)) == len(charts.DASHES) == len(charts.SYMBOLS) == len(set(charts.SYMBOLS)) == 8
    )
    assert len(set(charts.DASHES)) >= 6 and sorted(LAYERS) == list(range(1, 15)) and len(set(LAYERS.values())) == 14


def test_color_of_a_vendor_or_a_position():
    assert color("NVIDIA") == VENDORS["NVIDIA"] and color(1) == PALETTE[1] and color(9) == PALETTE[1]
    with pytest.raises(
        KeyError, match=r"'Nvidia' has no colour yet; did you mean 'NVIDIA'\?; add it to aistack.charts"
    ):
        color("Nvidia")


def test_layout_gives_titled_axes_and_takes_changes():
    look = layout("year", axis("GB/s", type="log", range=[0, 3]), barmode="stack", hovermode="x")
    assert look["xaxis"]["title"] == {"text": "year"} and look["barmode"] == "stack" and look["hovermode"] == "x"
    assert (
        look["yaxis"]["type"] == "log" and look["yaxis"]["range"] == [0, 3] and look["yaxis"]["exponentformat"] == "SI"
    )
    assert "dtick" not in look["xaxis"]


# ---- static pictures ----------------------------------------------------------------------------------------------

X, Y = [1, 2, 3, 4], [1.0, 4.0, 2.0, 3.0]
WORDS = ["one", "two", "three", "four"]
ERROR = {"array": [0.2, None, 0.4, 0.1], "arrayminus": [0.1, 0.1, 0.1, 0.1]}
TRACES = {
    "lines": [{"x": X, "y": Y}],
    "dashes": [{"x": X, "y": Y, "line": {"dash": d, "width": 3, "color": "#10915b"}} for d in charts.DASHES],
    "symbols": [{"x": X, "y": Y, "mode": "markers", "marker": {"symbol": s}} for s in [*charts.SYMBOLS, "circle-open"]],
    "scattergl": [{"type": "scattergl", "x": X, "y": Y, "mode": "markers"}],
    "sizes": [{"x": X, "y": Y, "mode": "markers", "marker": {"size": [4, 6, 8, 9], "color": [1, 2, 3, 4]}}],
    "texts": [{"x": X, "y": Y, "mode": "markers+text", "text": WORDS, "textposition": "bottom right"}],
    "only texts": [{"x": X, "y": Y, "mode": "text", "text": WORDS}],
    "gaps": [{"x": X, "y": [1.0, None, 2.0, 3.0], "mode": "lines+markers", "name": "a"}, {"x": X, "y": Y, "name": "b"}],
    "steps": [{"x": X, "y": Y, "line": {"shape": "hv"}}, {"x": X, "y": Y, "line": {"shape": "vh"}}],
    "errors": [{"x": X, "y": Y, "mode": "markers", "error_y": ERROR, "error_x": {"array": [0.1] * 4}}],
    "fills": [{"x": X, "y": Y, "fill": "tozeroy"}, {"x": X, "y": Y[::-1], "fill": "tonexty", "fillcolor": "#10915b"}],
    "ring": [{"x": [1, 2, 3], "y": [1, 3, 1], "fill": "toself", "mode": "lines"}],
    "categories": [{"x": WORDS, "y": Y, "mode": "lines+markers"}],
    "bars": [{"type": "bar", "x": WORDS, "y": Y, "text": ["a", None, "c", "d"], "error_y": ERROR}],
    "grouped bars": [{"type": "bar", "x": X, "y": Y, "name": n} for n in ("a", "b")],
    "flat bars": [{"type": "bar", "y": WORDS, "x": Y, "orientation": "h", "text": WORDS, "error_x": ERROR}],
    "hatched bars": [{"type": "bar", "x": WORDS, "y": Y, "marker": {"color": "#10915b", "pattern": {"shape": "/"}}}],
    "floating bars": [{"type": "bar", "x": WORDS, "y": Y, "base": [1, 2, 3, 4], "opacity": 0.5}],
    "coloured bars": [{"type": "bar", "x": WORDS, "y": Y, "marker": {"color": list(PALETTE[:4])}}],
    "heatmap": [{"type": "heatmap", "z": [[1, 2, None], [3, 4, 5]]}],
    "named heatmap": [{"type": "heatmap", "z": [[1, 2], [3, 4]], "x": ["a", "b"], "xgap": 1, "showscale": False}],
    "scaled heatmap": [{"type": "heatmap", "z": [[1, 2]], "x": [1, 2], "colorscale": [[0, "#000000"], [1, "#ffffff"]]}],
    "hidden": [{"x": X, "y": Y}, {"type": "pie", "visible": False}, {"x": X, "y": Y, "visible": "legendonly"}],
}  # fmt: skip
LAYOUTS = {
    "plain": layout("what (unit)", "how much (GB/s)"),
    "marked": layout(
        axis("x", range=[0, 6]), axis("y", rangemode="tozero"), barmode="stack", showlegend=True,
        shapes=[
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 2, "y1": 2, "line": {"dash": "dot"}},
            {"type": "line", "yref": "paper", "x0": 2, "x1": 2, "y0": 0, "y1": 1},
            {"type": "line", "x0": 1, "x1": 2, "y0": 1, "y1": 2},
            {"type": "circle", "x0": 1, "x1": 2, "y0": 1, "y1": 2},
            {"type": "rect", "x0": 1, "x1": 2, "y0": 1, "y1": 2, "fillcolor": "#258bd6"},
            {"type": "rect", "yref": "paper", "x0": 1, "x1": 2, "y0": 0, "y1": 1},
            {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 2},
        ],
        annotations=[
            {"x": 2, "y": 3, "text": "a <b>word</b> of $5", "ax": 20, "ay": -20},
            {"x": 0.5, "y": 1, "xref": "paper", "yref": "paper", "text": "above", "showarrow": False},
        ],
    ),
}  # fmt: skip


def svg_of(data, look=LAYOUTS["plain"]):
    return picture(plain({"data": data, "layout": look}))


def texts(svg):
    return ["".join(t.itertext()) for t in ElementTree.fromstring(svg).iter("text")]


@pytest.mark.parametrize(
    ("kind", "look"), [*((k, "plain") for k in TRACES), *((k, "marked") for k in ("lines", "grouped bars", "heatmap"))]
)
def test_picture_is_clean_xml_and_repeatable(kind, look):
    svg = svg_of(TRACES[kind], LAYOUTS[look])
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg" and root.attrib["class"] == "chart-static" and root.attrib["aria-hidden"] == "true"
    kinds = {e.tag for e in root.iter()}
    assert kinds <= {"svg", "g", "path", "text", "tspan", "defs", "use", "clipPath", "rect", "image", "pattern"}
    attributes = [(k, v) for e in root.iter() for k, v in e.attrib.items()]
    assert not [k for k, _ in attributes if k == "style" or k.startswith("on")]
    ids = [v for k, v in attributes if k == "id"]
    used = {m for _, v in attributes for m in re.findall(r"url\(#([^)]+)\)|^#([\w-]{8,})$", v)}
    assert len(ids) == len(set(ids)) and {a or b for a, b in used} == set(ids)
    assert "nan" not in svg.lower().replace("dominant", "") and charts.INK not in svg and charts.FAINT not in svg
    assert svg_of(TRACES[kind], LAYOUTS[look]) == svg


def test_pictures_share_no_ids():
    ids = [set(re.findall(r' id="([^"]+)"', svg_of(TRACES[kind]))) for kind in ("lines", "errors", "bars", "heatmap")]
    assert all(ids) and all(not (one & two) for one, two in itertools.combinations(ids, 2))


def test_picture_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="no static picture of a 'pie' trace: use scatter, bar or heatmap"):
        picture({"data": [{"type": "pie"}], "layout": {}})


def test_picture_shows_titles_names_and_notes():
    found = texts(svg_of(TRACES["grouped bars"], LAYOUTS["marked"]))
    assert {"x", "y", "a", "b", "a word of $5", "above"} <= set(found)
    assert {"what (unit)", "how much (GB/s)", *WORDS} <= set(texts(svg_of(TRACES["texts"])))


def test_picture_legend_stands_when_there_is_something_to_tell_apart():
    one, two = [{"x": X, "y": Y, "name": "first"}], [{"x": X, "y": Y, "name": n} for n in ("first", "second")]
    assert "first" not in texts(svg_of(one)) and {"first", "second"} <= set(texts(svg_of(two)))
    assert "first" in texts(svg_of(one, layout("x", "y", showlegend=True)))
    assert "second" not in texts(svg_of(two, layout("x", "y", showlegend=False)))


def test_picture_ticks_keep_their_digits():
    look = layout(axis("x", type="log"), axis("y", tickvals=[1, 3.125], ticktext=["1.0625", "3.125"]))
    found = texts(svg_of([{"x": [0.0005, 0.002, 2e4], "y": [1, 2, 3]}], look))
    assert {"0.001", "10k", "1.0625", "3.125"} <= set(found)


def heights(svg, fill):
    """Top and bottom of the bars of one colour, from left to right, in the picture's own units."""
    paths = [p for p in ElementTree.fromstring(svg).iter("path") if p.get("fill") == fill and p.get("clip-path")]
    ys = [[float(y) for _, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", p.get("d"))] for p in paths]
    return [(min(y), max(y)) for y in ys]


def test_picture_bars_are_as_high_as_their_values():
    sizes = [b - t for t, b in heights(svg_of([{"type": "bar", "x": WORDS, "y": Y}]), PALETTE[0])]
    assert np.array(sizes) / sizes[0] == pytest.approx(Y, rel=0.01)


def test_picture_stacked_bars_stand_on_each_other():
    data = [
        {"type": "bar", "x": WORDS, "y": y, "marker": {"color": c}} for y, c in ((Y, "#258bd6"), (Y[::-1], "#d66f12"))
    ]
    svg = svg_of(data, layout("x", "y", barmode="stack"))
    below, above = heights(svg, "#258bd6"), heights(svg, "#d66f12")
    assert [t for t, _ in below] == pytest.approx([b for _, b in above], abs=0.2)
    assert [b - t for t, b in above] == pytest.approx([b - t for t, b in below][::-1], abs=0.3)


def test_picture_follows_the_theme():
    svg = svg_of(TRACES["lines"])
    assert 'fill="var(--fg)"' in svg and 'stroke="var(--line)"' in svg and f'stroke="{PALETTE[0]}"' in svg


def test_picture_draws_a_gap_as_a_gap():
    line = [
        p.get("d")
        for p in ElementTree.fromstring(svg_of([{"x": X, "y": [1, None, 2, 3]}])).iter("path")
        if p.get("stroke") == PALETTE[0]
    ]
    assert len(line) == 1 and line[0].count("L") == 1


def test_picture_is_drawn_once_and_kept(tmp_path, monkeypatch):
    figure = plain({"data": [{"type": "bar", "x": ["a", "b"], "y": [1, 2]}], "layout": {}})
    first = module.kept_picture(tmp_path, figure)
    assert first == picture(figure) and [p.read_text() for p in tmp_path.iterdir()] == [first]
    monkeypatch.setattr(module, "picture", None)  # a second drawing would fail
    assert module.kept_picture(tmp_path, dict(reversed(figure.items()))) == first
