"""Layer 5: published check values, properties, simulations against closed forms, bad input, tracing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistack import trace, units
from aistack.layers import data_centers as dc

positive = st.floats(1e-3, 1e6)
share = st.floats(0, 1)
quick = settings(max_examples=40)


def test_it_power_100k_h100_70_mw():
    assert dc.it_power(100_000, 700) == pytest.approx(70e6)


def test_facility_power_100k_b200_at_pue_115_gives_survey_range():
    assert dc.facility_power(dc.it_power(100_000, np.array([1000, 1200])), 1.15) / 1e6 == pytest.approx([115, 138])


def test_rack_power_100k_gpus_exceeds_chip_power():
    rack_view = dc.it_power(100_000, 1200, host_fraction=140e3 / 72 / 1200 - 1)  # 140 kW for 72 of them
    assert rack_view / 1e6 == pytest.approx(194.4, abs=0.1)


def test_annual_energy_of_a_gigawatt_is_8_766_twh():
    assert dc.annual_energy(1e9) / 1e9 == pytest.approx(8.766)


@quick
@given(positive, positive, st.floats(1, 3), share, share)
def test_cluster_power_energy_is_power_times_hours(chips, tdp_w, pue, utilisation, idle):
    year = dc.cluster_power(chips, tdp_w, pue, utilisation, 0.07, 350, idle_fraction=idle)
    assert year.facility_power_w == pytest.approx(year.it_power_w * pue)
    assert year.energy_kwh <= year.facility_power_w / 1e3 * units.HOURS_PER_YEAR * (1 + 1e-12)
    assert year.co2_t == pytest.approx(year.cost_usd / 0.07 * 350 / 1e6)


def test_mean_power_matches_simulated_duty_cycle():
    rng = np.random.default_rng(5)
    busy = rng.random(200_000) < 0.6
    simulated = np.where(busy, 100.0, 30.0)
    error = simulated.std() / np.sqrt(len(simulated))
    assert dc.mean_power(100.0, 0.6, 0.3) == pytest.approx(simulated.mean(), abs=4 * error)


@quick
@given(st.floats(1, 100), st.floats(0.01, 50), st.floats(0.01, 0.99))
def test_pue_rises_when_load_is_consolidated_although_energy_falls(it_w, fixed_w, left):
    before, after = dc.power_usage_effectiveness(it_w, fixed_w), dc.power_usage_effectiveness(it_w * left, fixed_w)
    assert after > before
    assert after * it_w * left < before * it_w


def test_cue_clean_grid_beats_good_building():
    assert dc.carbon_usage_effectiveness(2.0, 28) < dc.carbon_usage_effectiveness(1.06, 670)


def test_query_carbon_gemini_on_us_grid_three_times_the_market_based_figure():
    assert dc.query_carbon(0.24, 350) == pytest.approx(0.084)
    assert dc.query_carbon(0.24, 350) / 0.03 == pytest.approx(2.8, abs=0.1)


def test_query_water_counts_overhead_once():
    assert dc.query_water(1000, 1.25, 0, 4.0) == pytest.approx(4000)  # the plant makes every kWh at the wall
    assert dc.query_water(1000, 1.25, 1.0) == pytest.approx(800)  # the site's water is for IT energy


def test_air_flow_published_120_kw_at_12_k():
    assert dc.air_flow(120e3, 12) == pytest.approx(8.4, abs=0.05)


def test_air_flow_rule_of_thumb_cfm_is_3160_per_kw_per_fahrenheit():
    # ASHRAE's rule: cfm = 3.16 W / (degrees F), at sea level
    assert dc.to_cfm(dc.air_flow(1e3, 1 / 1.8)) == pytest.approx(3160, rel=0.02)


def test_water_flow_published_120_kw_at_10_k():
    assert dc.water_flow(120e3, 10) == pytest.approx(172, rel=0.01)


def test_water_carries_about_3500_times_more_than_air_by_volume():
    ratio = dc.air_flow(1e3, 10) * 60e3 / dc.water_flow(1e3, 10)
    assert ratio == pytest.approx(3500, rel=0.02)


@quick
@given(positive, st.floats(1, 60), st.floats(0.1, 5))
def test_heat_carried_by_air_inverts_air_flow(heat_w, delta_t_k, area_m2):
    speed = dc.air_speed(dc.air_flow(heat_w, delta_t_k), area_m2)
    assert dc.heat_carried_by_air(area_m2, speed, delta_t_k) == pytest.approx(heat_w)


def test_fan_power_grows_with_cube_of_flow_in_a_given_rack():
    pressure = lambda flow: 40 * flow**2
    assert dc.fan_power(6, pressure(6)) / dc.fan_power(3, pressure(3)) == pytest.approx(8)


def test_evaporation_five_million_gallons_a_day_carries_half_a_gigawatt():
    litres_per_hour = 5e6 * units.GALLON * 1e3 / 24
    assert dc.heat_carried_by_evaporation(litres_per_hour) / 1e6 == pytest.approx(533, abs=2)


@quick
@given(positive)
def test_evaporation_is_inverted(heat_w):
    assert dc.heat_carried_by_evaporation(dc.evaporation(heat_w)) == pytest.approx(heat_w)


def test_growth_rate_iea_base_case_15_percent():
    assert dc.growth_rate(415, 945, 6) == pytest.approx(0.147, abs=0.001)


def test_growth_rate_demand_60_to_219_gw_is_about_20_percent_a_year():
    assert dc.growth_rate(60, np.array([171, 219]), 7) == pytest.approx([0.161, 0.203], abs=0.001)


@quick
@given(st.lists(positive, min_size=1, max_size=8), st.floats(-0.5, 1), st.integers(0, 10))
def test_capex_path_keeps_filings_and_grows_after(filed, growth, more):
    path = dc.capex_path(filed, growth, len(filed) + more)
    assert path[: len(filed)].tolist() == filed
    assert path[-1] == pytest.approx(filed[-1] * (1 + growth) ** more)


def test_installed_base_whole_life_is_cumulative_sum():
    bought = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    assert dc.installed_base(bought, 5).tolist() == bought.cumsum().tolist()
    assert dc.installed_base(bought, 1).tolist() == bought.tolist()


@quick
@given(st.floats(0, 1), st.floats(0.1, 1), st.floats(1, 8))
def test_capex_to_fleet_scales_with_money_and_price(growth, ai_share, life):
    fleet = dc.capex_to_fleet([1e9, 2e9], growth, 5, ai_share, 0.5, 30_000, 1400, 1.2, life)
    double = dc.capex_to_fleet([2e9, 4e9], growth, 5, ai_share, 0.5, 30_000, 1400, 1.2, life)
    dear = dc.capex_to_fleet([1e9, 2e9], growth, 5, ai_share, 0.5, 60_000, 1400, 1.2, life)
    assert double.facility_power_w == pytest.approx(2 * fleet.facility_power_w)
    assert dear.chips_in_use == pytest.approx(fleet.chips_in_use / 2)
    assert (fleet.chips_in_use >= fleet.chips_bought - 1e-9).all()


def test_gigawatt_buys_abilene_400k_superchips():
    site = dc.gigawatt_buys(1.2e9, 1.0, 3000, 100_000, 11.7, 0.07, 350)  # announced: 1.2 GW, 400,000 at $100,000
    assert site.chips == pytest.approx(400_000)
    assert site.chip_cost_usd == pytest.approx(40e9)


def test_annuity_repays_the_loan():
    debt = 1.0
    for _ in range(7):
        debt = debt * 1.09 - dc.annuity(0.09, 7)
    assert debt == pytest.approx(0, abs=1e-12)


@quick
@given(st.floats(0.1, 1), st.floats(0.02, 0.2), st.floats(2, 8))
def test_gpu_hour_cost_falls_with_utilisation_and_life(utilisation, rate, life):
    cost = lambda u, n: dc.gpu_hour_cost(40_000, 1300, 1.2, 11.7, 0.07, rate, n, 20, u)
    assert cost(utilisation, life) >= cost(1.0, life)
    assert cost(utilisation, life) > cost(utilisation, life + 1)


@pytest.mark.parametrize(
    ("percent", "hours"), [(99.671, 28.8), (99.741, 22.7), (99.749, 22.0), (99.982, 1.6), (99.995, 0.438)]
)
def test_downtime_hours_of_tiers_as_printed(percent, hours):
    assert dc.downtime_hours(percent / 100) == pytest.approx(hours, abs=0.05)


def test_chain_availability_is_below_its_weakest_part():
    assert dc.chain_availability(0.999, 0.99, 0.9999) < 0.99


def test_available_units_matches_simulated_generators():
    rng, n = np.random.default_rng(7), 200_000
    alive = (rng.random((n, 6)) < 0.95).sum(axis=1) >= 5
    p = dc.available_units(0.95, 6, 5)
    assert alive.mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / n))


@quick
@given(share, st.integers(1, 6))
def test_available_units_limits_are_series_and_parallel(p, n):
    assert dc.available_units(p, n, n) == pytest.approx(dc.chain_availability(*[p] * n))
    assert dc.available_units(p, n, 1) == pytest.approx(1 - (1 - p) ** n)


def test_ride_through_megapack_bank_holds_150_mw_about_two_hours():
    assert dc.ride_through(3900 * 75, 150e6) / 3600 == pytest.approx(1.95)


def test_outage_cost_minutes_times_rate():
    assert dc.outage_cost(dc.downtime_hours(0.99982), 9000) == pytest.approx(851_472)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: dc.it_power(-1, 700), "chips"),
        (lambda: dc.facility_power(1e6, 0.9), "pue"),
        (lambda: dc.mean_power(1e6, 80), "utilisation"),
        (lambda: dc.air_flow(1e3, 0), "delta_t_k"),
        (lambda: dc.capex_path([], 0.1, 5), "filed_usd"),
        (lambda: dc.capex_path([1, 2, 3], 0.1, 2), "years"),
        (lambda: dc.capex_path([1], -1.5, 2), "growth"),
        (lambda: dc.capex_intensity(1, 0), "operating_cash_flow_usd"),
        (lambda: dc.downtime_hours(99.9), "availability"),
        (lambda: dc.available_units(0.9, 3, 4), "needed"),
        (lambda: dc.annuity(0, 5), "rate"),
        (lambda: dc.gpu_hour_cost(1, 1, 1.2, 1, 1, 0.1, 5, 20, 0), "utilisation"),
    ],
)
def test_bad_input_raises_error_naming_the_argument(call, word):
    with pytest.raises(ValueError, match=word):
        call()


FILED = [20e9, 40e9, 80e9]


def cooling(heat_w, delta_t_k):
    flow = dc.air_flow(heat_w, delta_t_k)
    return {
        "air": flow,
        "cfm": dc.to_cfm(flow),
        "speed": dc.air_speed(flow, 1.2),
        "fan": dc.fan_power(flow, 300),
        "water": dc.water_flow(heat_w, delta_t_k),
    }


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (
            lambda **k: vars(dc.cluster_power(**k)),
            dict(
                chips=1e5,
                tdp_w=700.0,
                pue=1.15,
                utilisation=0.8,
                price_usd_per_kwh=0.07,
                carbon_g_per_kwh=350.0,
                host_fraction=0.3,
                idle_fraction=0.2,
            ),
        ),
        (
            lambda **k: vars(dc.capex_to_fleet(FILED, years=6, **k)),
            dict(
                growth=0.3, ai_share=0.75, chip_share=0.5, price_usd=3e4, chip_power_w=1400.0, pue=1.2, life_years=5.0
            ),
        ),
        (cooling, dict(heat_w=140e3, delta_t_k=12.0)),
        (
            lambda **k: {"usd": dc.gpu_hour_cost(**k)},
            dict(
                price_usd=4e4,
                chip_power_w=1300.0,
                pue=1.2,
                building_usd_per_w=11.7,
                price_usd_per_kwh=0.07,
                rate=0.1,
                life_years=5.0,
                building_life_years=20.0,
                utilisation=0.8,
            ),
        ),
        (
            lambda availability: {
                "up": dc.available_units(availability, 5, 4),
                "down": dc.downtime_hours(availability),
            },
            dict(availability=0.97),
        ),
        (
            lambda **k: vars(dc.gigawatt_buys(**k)),
            dict(
                facility_power_w=1e9,
                pue=1.2,
                chip_power_w=2e3,
                price_usd=4e4,
                building_usd_per_w=11.7,
                price_usd_per_kwh=0.07,
                carbon_g_per_kwh=350.0,
            ),
        ),
    ],
    ids=["cluster", "fleet", "cooling", "gpu-hour", "availability", "gigawatt"],
)
def test_explorer_functions_trace(function, inputs):
    assert trace.trace(function, inputs)["nodes"]
