"""Supply keeps its books: nothing appears, nothing is lost, and a shock moves what it should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistack import shocks

STAGES = list(shocks.stages())
one_shock = st.dictionaries(
    st.sampled_from(STAGES), st.tuples(st.floats(0, 1), st.floats(0, 24), st.floats(0, 36)), min_size=1, max_size=3
)


def taken_from(run, stage):
    """What the takers of a stage took from it, month by month."""
    return sum(
        np.multiply(d["share"], run.delivered if taker == shocks.SERVICE else run.made[taker])
        for _, taker, d in shocks.graph().out_edges(stage, data=True)
    )


@settings(max_examples=25)
@given(hits=one_shock, growth=st.floats(0, 2), spare=st.floats(0, 1), factor=st.floats(0, 3))
def test_stock_is_what_was_made_less_what_was_taken(hits, growth, spare, factor):
    run = shocks.simulate(hits, 48, growth, spare, factor)
    for name, stage in shocks.stages().items():
        balance = stage.stock_months * factor + np.cumsum(run.made[name]) - np.cumsum(taken_from(run, name))
        np.testing.assert_allclose(run.stock[name], balance, rtol=1e-9, atol=1e-9)
        assert min(run.stock[name]) > -1e-9


@settings(max_examples=25)
@given(hits=one_shock, growth=st.floats(0, 2))
def test_service_is_what_was_delivered_less_what_retired(hits, growth):
    run = shocks.simulate(hits, 36, growth)
    kept = 1 - 1 / (12 * 5.5)
    for before, after, new in zip(run.in_service, run.in_service[1:], run.delivered[1:], strict=False):
        assert after == pytest.approx(before * kept + new)


@pytest.mark.parametrize("name", sorted(shocks.scenarios()))
def test_scenario_never_helps_while_it_lasts(name):
    run = shocks.simulate(shocks.scenarios()[name])
    longest = int(max(months for _, months, _ in shocks.scenarios()[name].values()))
    gap = np.array(run.in_service[:longest]) / run.undisturbed[:longest]
    assert (gap <= 1 + 1e-9).all()
    made = {stage: np.array(run.made[stage]) / run.demand for stage in shocks.scenarios()[name]}
    for stage, (lost, months, _) in shocks.scenarios()[name].items():
        assert (made[stage][: int(months)] <= 1.1 * (1 - lost) + 1e-9).all()


def test_no_shock_changes_nothing():
    run = shocks.simulate({}, 24)
    np.testing.assert_allclose(run.delivered, run.demand)
    np.testing.assert_allclose(run.in_service, run.undisturbed)


@pytest.mark.parametrize("stage", STAGES)
def test_losing_all_of_any_stage_stops_deliveries(stage):
    run = shocks.simulate({stage: (1.0, 36.0, 0.0)}, 36)
    assert run.delivered[-1] == pytest.approx(0, abs=1e-9)


def test_more_stock_delays_the_fall():
    months = [
        next(i for i, d in enumerate(run.delivered) if d < 0.5 * run.demand[i])
        for run in (shocks.simulate({"logic": (1.0, 36.0, 0.0)}, 36, stock_factor=f) for f in (0.5, 1, 2))
    ]
    assert months == sorted(set(months))


def test_tightest_limit_moves_when_it_is_relieved():
    first, second = shocks.static_limits()[:2]
    relieved = shocks.static_limits({first[0]: 10.0})
    assert relieved[0] == second
    assert [x for _, x in relieved] == sorted(x for _, x in relieved)


def test_unknown_stage_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no stage 'fab'.*logic"):
        shocks.simulate({"fab": (0.5, 1, 1)})
    with pytest.raises(ValueError, match="lost"):
        shocks.simulate({"logic": (1.5, 1, 1)})
