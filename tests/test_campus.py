"""The campus year: plausible and repeatable weather, a dispatch that balances and is never worse than greedy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistack import campus as cp

WEEK = 168


def plants(**changes):
    usual = dict(
        solar_mw=2000,
        nuclear_mw=0,
        gas_mw=1300,
        battery_mw=500,
        battery_mwh=2000,
        gas_usd_per_mwh=28.0,
        nuclear_usd_per_mwh=6.4,
        gas_t_per_mwh=cp.gas_carbon(7740),
    )
    return cp.Campus(**{**usual, **changes})


@pytest.fixture(scope="module")
def sun():
    return cp.solar_profile(33, np.random.default_rng(5))


def test_sun_height_equinox_noon_is_90_minus_latitude():
    noon = cp.sun_height(50)[24 * 80 : 24 * 81].max()  # about 22 March
    assert np.degrees(np.arcsin(noon)) == pytest.approx(40, abs=0.7)


def test_sun_height_equator_sun_is_up_half_the_year():
    assert (cp.sun_height(0) > 0).mean() == pytest.approx(0.5, abs=0.01)


def test_clear_sky_year_in_phoenix_latitude_is_near_2300_kwh_per_m2():
    assert cp.clear_sky(cp.sun_height(33.4)).sum() / 1e3 == pytest.approx(2300, rel=0.05)


def test_cloud_cover_is_uniform_and_remembers():
    cover = cp.cloud_cover(np.random.default_rng(1), hours=200_000, persistence_h=12)
    assert cover.mean() == pytest.approx(0.5, abs=0.01)  # 200,000 hours hold about 8,000 independent ones
    z = np.corrcoef(cover[:-12], cover[12:])[0, 1]
    assert z == pytest.approx(6 / np.pi * np.arcsin(np.exp(-1) / 2), abs=0.03)  # rank correlation of a Gaussian pair


def test_solar_profile_is_repeatable_and_dark_at_night(sun):
    assert (sun == cp.solar_profile(33, np.random.default_rng(5))).all()
    assert (sun.reshape(365, 24)[:, [0, 1, 2, 22, 23]] == 0).all()
    assert 0.15 < sun.mean() < 0.25


def test_gas_carbon_of_the_us_fleet_is_about_411_kg():
    assert cp.gas_carbon(7740) == pytest.approx(0.411, abs=0.001)


def test_dispatch_full_year_balances_to_a_watt(sun):
    year = cp.dispatch(plants(nuclear_mw=500), cp.load_profile(850, 1.1, 1.3), sun, cp.refuelling(75, 30))
    assert year.balance_error_mw < 1e-6
    assert sum(year.shares().values()) == pytest.approx(1)
    assert year.stored_mwh.max() <= 2000 + 1e-6
    assert year.shares()["unserved"] == pytest.approx(0, abs=1e-9)


def test_dispatch_gas_alone_burns_the_whole_load(sun):
    load = cp.load_profile(850, 1.1, 1.3)
    year = cp.dispatch(plants(solar_mw=0, battery_mwh=0), load, sun, np.zeros(8760))
    assert year.gas_mw == pytest.approx(load)
    assert year.co2_t == pytest.approx(load.sum() * 0.4108, rel=1e-3)


@settings(max_examples=12)
@given(st.floats(0, 5000), st.floats(0, 900), st.floats(0, 1500), st.floats(0, 6000), st.integers(0, 350))
def test_dispatch_looking_ahead_never_costs_more_than_merit_order(sun, solar, nuclear, battery, store, day):
    park = plants(solar_mw=solar, nuclear_mw=nuclear, battery_mw=battery, battery_mwh=store, efficiency=0.9)
    load, hours = np.full(WEEK, 1000.0), slice(24 * day, 24 * day + WEEK)
    ahead = cp.dispatch(park, load, sun[hours], np.ones(WEEK))
    greedy = cp.merit_order(park, load, sun[hours], np.ones(WEEK))
    assert ahead.balance_error_mw < 1e-6
    kept = greedy.stored_mwh[-1] * max(park.gas_usd_per_mwh, 1)  # greedy may end with a fuller battery
    assert ahead.cost_usd <= greedy.cost_usd + kept + 1e-3 * abs(greedy.cost_usd) + 1


def test_dispatch_short_gas_is_saved_for_the_night_and_serves_more_than_merit_order(sun):
    park = plants(solar_mw=1500, gas_mw=650, battery_mw=800, battery_mwh=6000)
    load, hours = np.full(WEEK, 1000.0), slice(24 * 170, 24 * 170 + WEEK)
    ahead, greedy = (f(park, load, sun[hours], np.zeros(WEEK)) for f in (cp.dispatch, cp.merit_order))
    assert ahead.unserved_mw.sum() < greedy.unserved_mw.sum()


def test_dispatch_more_storage_never_costs_more(sun):
    load = np.full(WEEK, 1000.0)
    parks = [plants(solar_mw=4000, battery_mw=1000, battery_mwh=energy) for energy in (0, 1000, 4000, 8000)]
    costs = [cp.dispatch(park, load, sun[:WEEK], np.zeros(WEEK)).cost_usd for park in parks]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: plants(gas_mw=-1), "gas_mw"),
        (lambda: plants(efficiency=1.2), "efficiency"),
        (lambda: cp.dispatch(plants(), np.ones(5), np.ones(4), np.ones(5)), "equally long"),
        (lambda: cp.dispatch(plants(), -np.ones(5), np.ones(5), np.ones(5)), "negative"),
        (lambda: cp.sun_height(100), "latitude_deg"),
        (lambda: cp.load_profile(1000, 0.9, 1.2), "PUE"),
        (lambda: cp.refuelling(350, 30), "outage"),
        (lambda: cp.gas_carbon(2000), "heat_rate"),
        (lambda: cp.cloud_cover(np.random.default_rng(0), persistence_h=0), "persistence_h"),
    ],
)
def test_bad_input_raises_error_naming_the_argument(call, word):
    with pytest.raises(ValueError, match=word):
        call()
