"""Layer 1 against published figures, closed forms and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistack.layers import raw_materials as raw
from aistack.trace import trace

share_lists = st.lists(st.floats(0.5, 20.0), min_size=1, max_size=5)
fractions = st.floats(0.0, 1.0)
days = st.floats(0.0, 2000.0)
spans = st.floats(1.0, 2000.0)


# Concentration


def test_herfindahl_of_the_five_wafer_makers_is_1082():
    assert raw.herfindahl([18, 17, 15, 12, 10]) == 1082
    assert raw.herfindahl([31.4, 24.4, 17.8, 13.5, 9.5]) == pytest.approx(2170.66)


@given(st.integers(1, 50))
def test_herfindahl_of_equals_is_10000_over_n(count):
    assert raw.herfindahl(np.full(count, 100 / count)) == pytest.approx(10_000 / count)


@given(share_lists)
def test_herfindahl_rises_by_twice_the_product_when_two_merge(shares):
    shares = [*shares, 0.0]
    merged = [shares[0] + shares[1], *shares[2:]]
    assert raw.herfindahl(merged) == pytest.approx(raw.herfindahl(shares) + 2 * shares[0] * shares[1])


@given(share_lists)
def test_herfindahl_bounds_enclose_crumbs_and_stay_below_one_rival(shares):
    low, high = raw.herfindahl_bounds(shares)
    rest = 100 - sum(shares)
    assert low == pytest.approx(raw.herfindahl(shares)) and low <= high <= low + rest * min(shares) + 1e-6


def test_herfindahl_bounds_of_a_full_market_are_one_number():
    assert raw.herfindahl_bounds([60, 40]) == (5200, 5200)


def test_shortage_is_what_the_others_cannot_make():
    assert raw.shortage_after_loss(0.99, 0.5) == pytest.approx(0.985)
    assert raw.shortage_after_loss(0.2, 0.25) == 0
    assert raw.shortage_after_loss(0.3, 0) == 0.3


@given(fractions, st.floats(0, 2))
def test_shortage_never_exceeds_the_loss(lost, spare):
    assert 0 <= raw.shortage_after_loss(lost, spare) <= lost


@given(fractions, fractions, st.floats(0.1, 20))
def test_half_the_chokepoint_score_is_the_years_lost_without_a_stock(share, substitutable, years):
    lost = raw.output_lost_days(0, share, years * 365.25, substitutable) / 365.25
    assert raw.chokepoint_score(share, substitutable, years) / 2 == pytest.approx(lost)


def test_annual_growth_of_the_wafer_market_is_3_52_percent():
    assert 100 * raw.annual_growth(14.5, 17.85, 6) == pytest.approx(3.525, abs=1e-3)
    assert raw.annual_growth(1, 1, 3) == 0


# Stocks and embargoes


def test_days_of_cover_of_american_gallium_2024():
    assert raw.days_of_cover(3410, 18700) == pytest.approx(66.6, abs=0.05)


@given(days, fractions, spans, fractions)
def test_run_down_loses_what_the_closed_form_says(cover, cut, rerouting, recycled):
    day = np.linspace(0, rerouting, 20_001)
    state = raw.run_down(cover, cut, rerouting, recycled, day)
    lost = np.trapezoid(1 - state.output_fraction, day)
    assert lost == pytest.approx(raw.output_lost_days(cover, cut, rerouting, recycled), abs=2e-4 * rerouting)
    assert np.all(np.diff(state.stock_days) <= 1e-9) and np.all(state.stock_days >= 0)


@given(st.floats(1, 500), st.floats(0.1, 1), spans)
def test_stock_is_gone_on_the_day_that_is_said(cover, cut, rerouting):
    empty = float(raw.days_until_empty(cover, cut, rerouting))
    if np.isfinite(empty):
        assert raw.run_down(cover, cut, rerouting, 0, empty * (1 + 1e-6)).stock_days == pytest.approx(0, abs=1e-3)
        assert empty >= cover / cut * (1 - 1e-9)
    else:
        assert raw.output_lost_days(cover, cut, rerouting) == 0


def test_no_cut_loses_nothing():
    assert raw.output_lost_days(0, 0, 100) == 0
    assert np.all(raw.run_down(5, 0, 100, 0, np.arange(9.0)).stock_days == 5)


def test_after_rerouting_output_is_normal_again():
    assert raw.run_down(0, 1, 100, 0, np.array([100.0, 500.0])).output_fraction.tolist() == [1, 1]


def test_embargo_and_concentration_can_be_traced():
    def model(cover, cut, months, recycled):
        span = months * 30.44
        state = raw.run_down(cover, cut, span, recycled, np.linspace(0, 900, 7))
        empty = raw.days_until_empty(cover, cut, span, recycled)
        return {
            "s": state.stock_days,
            "o": state.output_fraction,
            "l": raw.output_lost_days(cover, cut, span, recycled),
            "e": empty,
        }

    assert trace(model, {"cover": 67.0, "cut": 0.99, "months": 24.0, "recycled": 0.1})["nodes"]
    trace(
        lambda a, b: {"h": raw.herfindahl(np.array([1.0, 2.0]) * a), "x": raw.shortage_after_loss(b, a)},
        {"a": 1.0, "b": 0.2},
    )


# Odds


@given(st.lists(st.floats(0.02, 0.3), min_size=1, max_size=3), st.floats(0.05, 0.95))
def test_shortage_probability_agrees_with_a_draw(shares, needed):
    rng = np.random.default_rng(1)
    outs = np.linspace(0.1, 0.4, len(shares))
    up = rng.random((40_000, len(shares))) > outs
    seen = ((up * shares).sum(axis=1) < needed - 1e-9).mean()
    assert raw.shortage_probability(shares, outs, needed) == pytest.approx(seen, abs=0.015)


def test_shortage_probability_of_one_supplier_is_its_own():
    assert raw.shortage_probability([1.0], 0.07, 0.5) == pytest.approx(0.07)
    assert raw.shortage_probability([0.3], 0.07, 0.5) == pytest.approx(1)


@given(st.lists(fractions, min_size=1, max_size=9))
def test_any_fails_is_at_least_the_worst_and_at_most_the_sum(chances):
    assert max(chances) - 1e-12 <= raw.any_fails(chances) <= min(1, sum(chances)) + 1e-12


# Silicon and water


def test_wafer_weighs_128_grams_and_agrees_with_its_area():
    area_msi = np.pi / 4 * (300 / 25.4) ** 2 / 1e6
    assert raw.wafer_mass_g() == pytest.approx(127.6, abs=0.1)
    assert raw.silicon_mass_t(area_msi) * 1e6 == pytest.approx(raw.wafer_mass_g())


def test_silicon_holds_5e22_atoms():
    assert raw.impurity_atoms_per_cm3(0) == pytest.approx(4.994e22, rel=1e-3)
    assert raw.impurity_atoms_per_cm3(9) / raw.impurity_atoms_per_cm3(11) == pytest.approx(100)


def test_water_of_a_fab_and_of_a_die():
    litres = 2200 * 3.785411784
    assert raw.fab_water_m3_per_day(litres, 100_000) == pytest.approx(27_361, rel=1e-3)
    assert raw.water_per_good_die_l(litres, 60, 0.5) * 30 == pytest.approx(litres)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: raw.herfindahl([60, 60]), "shares_percent must not sum to more than 100"),
        (lambda: raw.herfindahl([-1, 5]), "shares_percent must be zero or more"),
        (lambda: raw.herfindahl_bounds([]), "at least one share"),
        (lambda: raw.shortage_after_loss(1.2, 0), "lost_fraction must be from 0 to 1"),
        (lambda: raw.chokepoint_score(0.5, 2, 1), "substitutable_fraction must be from 0 to 1"),
        (lambda: raw.annual_growth(0, 1, 1), "first must be positive"),
        (lambda: raw.days_of_cover(1, 0), "use_per_year must be positive"),
        (lambda: raw.run_down(-1, 1, 10, 0, 0), "cover_days must be zero or more"),
        (lambda: raw.output_lost_days(1, 1, 0), "rerouting_days must be positive"),
        (lambda: raw.shortage_probability([0.1] * 17, 0.1, 0.5), "at most 16 suppliers"),
        (lambda: raw.shortage_probability([0.1], 0.1, 0), "needed_fraction must be above 0"),
        (lambda: raw.water_per_good_die_l(1, 1, 0), "yield_fraction must be above 0"),
    ],
)
def test_arguments_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
