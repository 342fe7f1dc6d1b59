"""The layers as MCP tools: what is offered, what is answered, and a real client at the other end of a pipe."""

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from aistack import mcp
from aistack.layers import fabrication, networking

RING = {"message_bytes": 1e9, "ranks": 8, "bandwidth_b_per_s": 450e9}


# What is offered


def test_every_layer_offers_tools_and_names_are_ones_that_hosts_take():
    names = mcp.tools()
    modules = {name.split("-")[0] for name in names}
    assert modules >= {"raw_materials", "fabrication", "networking", "data_centers", "middleware", "course"}
    assert all(len(name) <= 64 and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for name in names)


def test_what_json_cannot_carry_is_not_offered():
    assert "fabrication-simulate_wafer" not in mcp.tools()  # takes a random generator
    assert "architectures-parameter_count" not in mcp.tools()  # takes a record


def test_schema_holds_names_units_defaults_and_what_is_required():
    schema = mcp.tools()["networking-link_data_rate"].schema()
    assert schema["required"] == ["lanes", "lane_bit_per_s", "code_rate"] and not schema["additionalProperties"]
    assert schema["properties"]["lane_bit_per_s"]["type"] == "number"
    assert schema["properties"]["lane_bit_per_s"]["description"].startswith("bit/s: Signalling rate")
    assert mcp.tools()["networking-all_gather_time"].schema()["properties"]["latency_s"]["default"] == 0.0
    assert "bytes per second" in mcp.describe("networking-ring_all_reduce_time")


def test_every_schema_is_json_and_every_tool_says_what_it_does():
    for tool in mcp.tools().values():
        json.dumps(tool.schema(), allow_nan=False)
        assert len(tool.about) > 20 and ":func:" not in tool.about, tool.name


def test_a_unit_is_not_read_out_of_wafers_per_month():
    units = {a.name: a.unit for a in mcp.tools()["fabrication-capital_cost_per_wafer"].arguments}
    assert units["wafers_per_month"] == "" and units["capex_usd"] == "US dollars"


def test_importing_the_course_does_not_import_mcp():
    code = "import aistack, sys; assert 'mcp' not in sys.modules and 'aistack.mcp' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# What is answered


def test_call_gives_what_the_function_gives():
    answer = mcp.call("networking-ring_all_reduce_time", RING)
    assert answer == {"result": float(networking.ring_all_reduce_time(1e9, 8, 450e9)), "unit": "s"}


def test_lists_go_in_and_arrays_come_back_as_lists():
    area = [100, 400, 800]
    answer = mcp.call("fabrication-poisson_yield", {"area_mm2": area, "defect_density_per_cm2": 0.1})["result"]
    assert isinstance(answer, list) and answer == pytest.approx(fabrication.poisson_yield(np.array(area), 0.1).tolist())


def test_records_come_back_by_field_and_tables_by_row():
    out = mcp.call("middleware-task_outcome", {"steps": 10, "step_success": 0.95})["result"]
    assert set(out) == {"done", "faulty", "stopped", "attempts"}
    rated = mcp.call("middleware-bradley_terry", {"wins": [[0, 64], [36, 0]]})["result"]
    assert rated["points"][0] == pytest.approx(50, abs=0.1) and len(rated["covariance"]) == 2


def test_what_is_not_finite_goes_both_ways_as_a_word():
    assert mcp.call("middleware-recall_at_k", {"rank": [1, "inf"], "k": 5})["result"] == 0.5
    assert mcp.plain({"a": float("inf"), "b": (np.float64(1), np.arange(2))}) == {"a": "inf", "b": [1.0, [0, 1]]}


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        (
            "networking-ring_all_reduce_time",
            {"ranks": 8, "bandwidth_b_per_s": 1},
            r"'message_bytes' \(bytes\) is missing",
        ),
        ("networking-ring_all_reduce_time", RING | {"rank": 8}, "'rank' is unknown; did you mean 'ranks'"),
        ("networking-ring_all_reduce_time", RING | {"ranks": "eight"}, "'ranks' must be a number"),
        ("networking-ring_all_reduce_time", RING | {"ranks": True}, "'ranks' must be a number"),
        ("networking-ring_all_reduce_time", RING | {"message_bytes": -1}, "message_bytes"),
        ("networking-ring_all_reduce_tim", RING, "did you mean 'networking-ring_all_reduce_time'"),
        ("middleware-task_success", {"step_success": 95, "steps": 10}, "step_success must be from 0 to 1, not 95"),
        ("middleware-chunk_spans", {"length": 10.5, "size": 3}, "'length' must be an integer"),
        ("middleware-bradley_terry", {"wins": [[0, 1], [1]]}, "'wins' must have rows of equal length"),
        ("course-claims", {"words": "  "}, "'words' must hold"),
        ("course-claims", {"words": 3}, "'words' must be a string"),
    ],
)
def test_a_bad_argument_is_named(name, arguments, says):
    with pytest.raises(mcp.ToolError, match=says):
        mcp.call(name, arguments)


@pytest.mark.parametrize("name", sorted(mcp.tools()))
def test_no_tool_raises_anything_but_a_tool_error(name):
    for value in ("a word", None, -1.0, []):
        try:
            answer = mcp.call(name, {a.name: value for a in mcp.tools()[name].arguments})
        except mcp.ToolError as error:
            assert str(error)
        else:
            json.dumps(answer, allow_nan=False)


def test_look_ups_find_a_claim_a_fact_and_a_term():
    claim = mcp.call("course-claims", {"words": "wafer makers 82"})["result"][0]
    assert claim["verdict"] and claim["why"]
    fact = mcp.call("course-facts", {"words": "GPT-5.2 tau2-bench retail pass^4"})["result"][0]
    assert fact["value"] == 51.75 and fact["source_id"] == "sierra-tau2-bench"
    term = mcp.call("course-terms", {"words": "ring all-reduce"})["result"][0]
    assert term["term"] == "Ring all-reduce" and "chapter" in term
    assert len(mcp.call("course-facts", {"words": "2025"})["result"]) <= mcp.MOST


# A real client, a real server, a real pipe


def talk(*calls):
    """Start the server as a process, call it, and return (its name, tool names, answers)."""
    from mcp import ClientSession, StdioServerParameters, stdio_client

    async def session():
        server = StdioServerParameters(command=sys.executable, args=["-m", "aistack.mcp"], env=dict(os.environ))
        async with stdio_client(server) as pipes, ClientSession(*pipes) as client:
            met = await client.initialize()
            offered = await client.list_tools()
            return met.server_info.name, offered.tools, [await client.call_tool(*one) for one in calls]

    with ThreadPoolExecutor(1) as apart:  # the browser's tests leave a running loop in this thread
        return apart.submit(lambda: asyncio.run(asyncio.wait_for(session(), 60))).result()


def test_client_over_stdio_lists_calls_and_is_told_its_mistakes():
    name, offered, (good, wrong, absent) = talk(
        ("networking-ring_all_reduce_time", RING),
        ("middleware-task_success", {"step_success": 95, "steps": 10}),
        ("middleware-no_such_tool", {}),
    )
    assert name == "aistack" and {t.name for t in offered} == set(mcp.tools())
    assert all(t.annotations.read_only_hint for t in offered)
    assert not good.is_error and good.structured_content == mcp.call("networking-ring_all_reduce_time", RING)
    assert json.loads(good.content[0].text) == good.structured_content
    assert wrong.is_error and "step_success" in wrong.content[0].text
    assert absent.is_error and "no tool" in absent.content[0].text
