"""Explorers: controls that fit, one function for kernel and page, and refusals that name the part."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aistack import DataError, charts, explore
from aistack.explore import choice, slider, substitute
from aistack.trace import TraceError
from aistack.trace import take as pick

YEARS = np.arange(5.0)
NODES = {"N7": {"price": 10.0, "share": [0.5, 0.25]}, "N5": {"price": 16.0, "share": [0.25, 0.5]}}


def cost(wafers, node, region):
    yearly = wafers * node["price"] * (1 + region) ** YEARS
    return {
        "years": YEARS,
        "cost": yearly,
        "total": np.sum(yearly),
        "dear": np.sum(yearly) > 1000,
        "first": pick(yearly, 0),
    }


CHART = {
    "data": [{"type": "bar", "x": "$years", "y": "$cost", "name": "{node}: {total:.0f}"}],
    "layout": charts.layout("year", "cost (USD)"),
}


def made(function=cost, **changes):
    usual = dict(
        controls={
            "wafers": slider(10, 100, 10, start=20, label="Wafers", unit="a month"),
            "node": choice(NODES, label="Node", start="N5"),
            "region": choice({"Taiwan": 0.0, "Arizona": 0.25}, label="Region"),
        },
        name="wafer-cost", title="Wafer cost", question="What does it cost?", chart=CHART,
        says="{wafers:.0f} wafers of {node} in {region} cost {total:.0f} USD.",
        numbers={"total": ("Total", "USD", ".0f"), "dear": ("Dear", "", "no|yes")}, sources=["survey"],
    )  # fmt: skip
    return explore.explore(function, **{**usual, **changes})


# ---- sliders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "options", "message"),
    [
        (5, 5, {"start": 5}, "low 5 must be below high 5"),
        (6, 5, {"start": 5}, "low 6 must be below high 5"),
        (0, 5, {"start": 6}, "start 6 is outside 0..5"),
        (0, 5, {"start": -1}, "start -1 is outside 0..5"),
        (0, 5, {"start": 1, "log": True}, "a log slider needs low > 0, not 0"),
        (0, 5, {"start": 1, "step": 2}, "high 5 is not low 0 plus a whole number of steps of 2"),
        (0, 4, {"start": 1, "step": 2}, "start 1 is not low 0 plus a whole number of steps of 2"),
        (0, 4, {"start": 1, "step": -1}, "step -1 must be positive"),
        (0, 4, {"start": 1, "step": 0}, "step 0 must be positive"),
        (1, 4, {"start": 1, "step": 2.5, "log": True}, "step 2.5 must be a whole number of stops"),
    ],
)
def test_slider_that_does_not_fit_is_refused(low, high, options, message):
    with pytest.raises(ValueError, match=re.escape(f"slider 'Price': {message}")):
        slider(low, high, label="Price", **options)


def test_slider_prints_by_its_step():
    assert slider(0, 10, 2, start=2, label="x", unit="GB").text(4) == "4 GB"
    assert slider(0, 1, 0.25, start=0, label="x").text(0.75) == "0.75"
    assert slider(0.5, 3.5, 1, start=0.5, label="x").text(1.5) == "1.5"
    assert slider(0, 1, 1 / 3, start=0, label="x").text(1 / 3) == "0.3"
    assert slider(0, 1, 0.05, start=0, label="x").text(0.15) == "0.15"
    assert slider(0, 1, 0.05, start=0, label="x", spec=".0%").text(0.15) == "15%"
    assert slider(1, 1e6, start=1000, label="x", log=True).text(1234.5) == "1,230"


def test_slider_without_step_has_a_hundred():
    assert slider(0, 50, start=25, label="x").count() == 100
    assert slider(1, 1000, start=10, label="x", log=True).count() == 100


@given(low=st.integers(-1000, 1000), step=st.sampled_from([0.01, 0.05, 0.1, 0.25, 1, 7, 1000]), data=st.data())
def test_slider_stops_are_even_and_reach_both_ends(low, step, data):
    count = data.draw(st.integers(1, 300))
    at = data.draw(st.integers(0, count))
    control = slider(low, low + count * step, step, start=low + at * step, label="x")
    stops = control.stops()
    assert len(stops) == count + 1 and stops[0] == low and stops[-1] == pytest.approx(control.high, abs=step * 1e-9)
    assert np.diff(stops) == pytest.approx(step)
    assert [control.position(s) for s in stops] == list(range(count + 1))
    assert control.position(control.start) == at
    assert control.position(low - 1) == 0 and control.position(control.high + 1) == count


@given(low=st.floats(1e-6, 1e3), ratio=st.floats(1.5, 1e6), share=st.floats(0, 1), count=st.integers(1, 200))
def test_log_slider_stops_keep_one_ratio(low, ratio, share, count):
    high = low * ratio
    assume(low <= low * ratio**share <= high)
    control = slider(low, high, count, start=low * ratio**share, label="x", log=True)
    stops = control.stops()
    assert len(stops) == count + 1 and stops[0] == low and stops[-1] == high
    assert np.diff(np.log(stops)) == pytest.approx(math.log(ratio) / count, rel=1e-6)
    assert control.start in stops and [control.position(s) for s in stops] == list(range(count + 1))


# ---- choices ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "start", "message"),
    [
        ({}, None, "needs at least two options, not []"),
        ({"a": 1}, None, "needs at least two options, not ['a']"),
        ({"a": {"x": 1}, "b": {"y": 1}}, None, "all options need the same fields in the same order"),
        ({"a": {"x": 1, "y": 2}, "b": {"y": 1, "x": 2}}, None, "all options need the same fields in the same order"),
        ({"a": {"x": 1}, "b": 1}, None, "all options need the same fields in the same order"),
        ({"a": 1, "b": 2}, "c", "start 'c' is not one of ['a', 'b']"),
    ],
)
def test_choice_that_does_not_fit_is_refused(options, start, message):
    with pytest.raises(ValueError, match=re.escape(f"choice 'Node': {message}")):
        choice(options, label="Node", start=start)


def test_choice_starts_with_the_first():
    assert choice({"a": 1, "b": 2}, label="x").start == "a" and choice({"a": 1, "b": 2}, label="x").values() == [1, 2]


# ---- templates ----------------------------------------------------------------------------------------------------


def test_substitute_fills_results_and_texts_at_any_depth():
    template = {"data": [{"y": "$cost", "text": ["{n:.1f} of {what}", "%{y}"], "x": (1, None, True)}], "width": 5}
    filled = substitute(template, {"cost": [1, 2]}, {"n": 2.25, "what": "all"})
    assert filled == {"data": [{"y": [1, 2], "text": ["2.3 of all", "%{y}"], "x": [1, None, True]}], "width": 5}


def test_substitute_leaves_the_template_alone():
    template = {"a": ["$x"]}
    substitute(template, {"x": 1}, {})
    assert template == {"a": ["$x"]}


def test_substitute_unknown_result_says_what_is_known():
    with pytest.raises(KeyError, match=r"'\$costs' in the chart: no such result; known: years, cost"):
        substitute({"y": "$costs"}, {"years": 1, "cost": 2}, {})


def test_substitute_unknown_word_says_what_is_known():
    with pytest.raises(KeyError, match=r"\{totl\} in 'a \{totl\}': no such result or control; known: total"):
        substitute(["a {totl}"], {}, {"total": 1.0})


# ---- explorers ----------------------------------------------------------------------------------------------------


def test_explorer_starts_at_its_defaults():
    assert made().default() == {"wafers": 20, "node": "N5", "region": "Taiwan"}
    assert made().sentence({}) == "20 wafers of N5 in Taiwan cost 1,600 USD."


def test_explorer_evaluates_any_state():
    results = made().evaluate({"wafers": 10.0, "node": "N7", "region": "Arizona"})
    assert results["cost"] == pytest.approx(100 * 1.25**YEARS) and results["dear"] == 0
    assert all(v.dtype == float for v in results.values())


def test_explorer_figure_fills_the_template():
    figure = made().figure({"node": "N7", "wafers": 50})
    bar = figure["data"][0]
    assert bar["y"] == [500] * 5 and bar["x"] == [0, 1, 2, 3, 4] and bar["name"] == "N7: 2,500"


def test_explorer_unknown_control_is_named():
    with pytest.raises(ValueError, match=r"explorer 'wafer-cost' has no control \['wafer'\]; it has \['wafers', "):
        made().evaluate({"wafer": 10})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"mode": "page"}, ValueError, "explorer 'wafer-cost': mode 'page' is neither 'trace' nor 'grid'"),
        ({"question": "Costs."}, ValueError, "explorer 'wafer-cost': the question 'Costs.' is not a question"),
        ({"says": "{tota:.0f}"}, KeyError, "{tota} in '{tota:.0f}': no such result or control; known: total, dear"),
        ({"says": "{total:.2g}"}, ValueError, "format '.2g' is none of"),
        ({"chart": {"data": [{"y": "$costs"}], "layout": {}}}, KeyError, "'$costs' in the chart: no such result"),
        ({"sources": ["survy"]}, DataError, "did you mean 'survey'?"),
    ],
)
def test_explore_refuses_what_does_not_fit(changes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        made(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"numbers": {"tota": ("Total", "USD", ".0f")}},
            "explorer 'wafer-cost': numbers name 'tota', the function returns",
        ),
        ({"numbers": {"total": ("Total", "USD", ".2g")}}, "format '.2g' is none of"),
    ],
)
def test_payload_refuses_numbers_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        made(**changes).payload()


def test_payload_refuses_a_default_that_is_not_finite():
    function = lambda wafers, node, region: {**cost(wafers, node, region), "ratio": wafers / region}
    with pytest.raises(ValueError, match=r"explorer 'wafer-cost': \['ratio'\] not finite at the default state"):
        made(lambda **given_: {**function(**{**given_, "region": np.float64(given_["region"])})}).payload()


@pytest.mark.parametrize("mode", ["trace", "grid"])
def test_payload_is_json_and_complete(mode):
    payload = made(mode=mode).payload()
    assert json.loads(charts.dumps(payload)) == payload
    assert list(payload) == ["kind", "name", "title", "question", "spec", "figure", "says", "table", "state", "sources"]
    assert payload["kind"] == "explorer" and payload["says"] == made().sentence({})
    assert payload["figure"] == made().figure({}) and payload["state"] == ["20 a month", "N5", "Taiwan"]
    assert payload["table"]["rows"] == [["Total", "1,600 USD"], ["Dear", "yes"]]
    assert [s["source_id"] for s in payload["sources"]] == ["survey"]
    wafers, node, region = payload["spec"]["controls"]
    assert (wafers["kind"], wafers["low"], wafers["high"], wafers["count"], wafers["start"]) == (
        "slider",
        10,
        100,
        9,
        1,
    )
    assert (node["kind"], node["options"], node["start"], region["start"]) == ("choice", ["N7", "N5"], 1, 0)
    assert ("graph" in payload["spec"]) == (mode == "trace") and ("grid" in payload["spec"]) == (mode == "grid")


def test_payload_writes_what_is_missing_as_null():
    function = lambda wafers, node, region: {**cost(wafers, node, region), "cost": np.where(YEARS > 1, wafers, np.nan)}
    for mode in ("trace", "grid"):
        payload = made(function, mode=mode).payload()
        assert payload["figure"]["data"][0]["y"] == [None, None, 20, 20, 20]
        assert "NaN" not in charts.dumps(payload)


def test_grid_holds_every_stop_in_the_order_of_the_controls():
    explorer = made(mode="grid")
    grid = explorer.payload()["spec"]["grid"]
    assert grid["counts"] == [10, 2, 2] and {len(v) for v in grid["outputs"].values()} == {40}
    for at, state in ((0, (10, "N7", "Taiwan")), (13, (40, "N7", "Arizona")), (39, (100, "N5", "Arizona"))):
        wanted = explorer.evaluate(dict(zip(explorer.controls, state, strict=True)))
        assert all(grid["outputs"][name][at] == charts.plain(value) for name, value in wanted.items())


@pytest.mark.parametrize("points", [1, 400])
def test_grid_past_its_budget_names_the_control_to_coarsen(points):
    controls = {
        "x": slider(0, 100, 0.25, start=0, label="X"),
        "y": slider(0, 100, 1, start=0, label="Y"),
    }
    function = lambda x, y: {"z": (x + y / 7) * np.ones(points)}
    explorer = made(
        function, controls=controls, mode="grid", chart={"data": [{"y": "$z"}], "layout": {}}, says="{x}", numbers={}
    )
    message = r"explorer 'wafer-cost': the grid of 401x101 stops passes \d+ characters; coarsen 'x' \(401 stops\), "
    with pytest.raises(ValueError, match=message):
        explorer.payload()


def branching(wafers, node, region):
    if wafers > 50:
        return {"total": wafers, "cost": YEARS, "years": YEARS}
    return {"total": 2 * wafers, "cost": YEARS, "years": YEARS}


def test_function_that_cannot_be_traced_is_refused_with_its_line():
    with pytest.raises(TraceError, match=r"test_explore.py, line \d+: if wafers > 50:\n  a branch .* mode='grid'"):
        made(branching, numbers={}).payload()
    assert made(branching, numbers={}, mode="grid").payload()["spec"]["grid"]["outputs"]["total"][::4] == [
        *(2.0 * n for n in range(10, 60, 10)), *range(60, 110, 10),
    ]  # fmt: skip


def test_explorer_emits_its_payload_in_the_book(monkeypatch):
    shown = []
    monkeypatch.setenv("AISTACK_BOOK", "1")
    monkeypatch.setattr("IPython.display.display", lambda *x, **_: shown.extend(x))
    made()._ipython_display_()
    assert shown == [{charts.MIME: made().payload(), "text/plain": f"Wafer cost. {made().sentence({})}"}]


# ---- widgets ------------------------------------------------------------------------------------------------------


@pytest.fixture
def widget(monkeypatch):
    """An explorer's widget, and what it displays."""
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *x, **_: shown.append(x))
    return made().widget(), shown


def test_widget_has_the_controls_at_their_defaults(widget):
    head, wafers, node, region, reset, _ = widget[0].children
    assert "Wafer cost" in head.value and "What does it cost?" in head.value and reset.description == "Reset"
    assert [wafers.description, node.description, region.description] == ["Wafers", "Node", "Region"]
    assert [wafers.value, node.value, region.value] == [20.0, "N5", "Taiwan"]
    assert wafers.options[0] == ("10 a month", 10.0) and len(wafers.options) == 10
    assert node.options == ("N7", "N5")


def test_widget_draws_the_function_at_the_moved_state(widget):
    box, shown = widget
    assert [len(shown), list(shown[-1][0].data[0].y)] == [1, [320] * 5]
    box.children[1].value = 50.0
    assert list(shown[-1][0].data[0].y) == [800] * 5 and "50 wafers of N5" in shown[-1][1].data
    box.children[2].value = "N7"
    box.children[3].value = "Arizona"
    assert list(shown[-1][0].data[0].y) == pytest.approx(list(500 * 1.25**YEARS)) and len(shown) == 4
    assert shown[-1][0].data[0].name == "N7: 4,104"


def test_widget_reset_returns_to_the_defaults(widget):
    box, shown = widget
    box.children[1].value, box.children[2].value = 50.0, "N7"
    box.children[4].click()
    assert [c.value for c in box.children[1:4]] == [20.0, "N5", "Taiwan"] and list(shown[-1][0].data[0].y) == [320] * 5


def test_explorer_shows_its_widget_with_a_kernel(monkeypatch):
    shown = []
    monkeypatch.delenv("AISTACK_BOOK", raising=False)
    monkeypatch.setattr("IPython.display.display", lambda *x, **_: shown.append(x))
    made()._ipython_display_()
    assert type(shown[-1][0]).__name__ == "VBox"
