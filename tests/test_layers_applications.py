"""Layer 14 against published sums, closed forms and its own simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aistack.layers import applications as app
from aistack.trace import trace

money = st.floats(0.01, 1e6)
chances = st.floats(0.001, 0.3)
growths = st.floats(-0.5, 1.5)


# Margins


@pytest.mark.parametrize(
    ("price", "cost", "margin"),
    [(28_000, 2_100, 0.925), (20, 8, 0.6), (10, 30, -2.0), (1, 0, 1.0), (100, 100, 0.0)],
)
def test_gross_margin_of_published_prices(price, cost, margin):
    assert app.gross_margin(price, cost) == pytest.approx(margin)


@given(money, money, st.floats(0.1, 10))
def test_gross_margin_has_no_unit_and_is_at_most_one(price, cost, factor):
    assert app.gross_margin(price, cost) <= 1
    assert app.gross_margin(price * factor, cost * factor) == pytest.approx(app.gross_margin(price, cost))


@pytest.mark.parametrize(("price", "cost"), [(0, 1), (-1, 1), (1, -1)])
def test_gross_margin_refuses_what_is_not_a_price(price, cost):
    with pytest.raises(ValueError, match="must be"):
        app.gross_margin(price, cost)


def test_call_cost_of_gpt_5_at_its_launch():
    assert app.call_cost_usd(1e6, 0, 1.25, 10) == 1.25
    assert app.call_cost_usd(0, 1e6, 1.25, 10) == 10
    assert app.call_cost_usd(3000, 1000, 1.25, 10) == pytest.approx(0.01375)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_call_cost_adds_up_over_calls(first, second):
    both = app.call_cost_usd(first + second, 0, 3, 15)
    assert both == pytest.approx(app.call_cost_usd(first, 0, 3, 15) + app.call_cost_usd(second, 0, 3, 15))


def test_a_month_is_a_twelfth_of_the_mean_year():
    assert pytest.approx(30.4375) == app.DAYS_PER_MONTH


@given(st.floats(1, 500), st.floats(0.01, 50))
def test_breakeven_leaves_nothing(price, cost):
    tokens = app.breakeven_tokens_per_day(price, cost)
    assert app.subscription_margin_usd_per_month(price, tokens, cost) == pytest.approx(0, abs=1e-9 * price + 1e-9)


@given(st.floats(0, 40), st.floats(0, 20_000))
def test_free_users_take_their_tokens_and_no_more(carried, tokens):
    alone = app.subscription_margin_usd_per_month(20, 1e5, 2)
    with_free = app.subscription_margin_usd_per_month(20, 1e5, 2, carried, tokens)
    assert alone - with_free == pytest.approx(carried * tokens * app.DAYS_PER_MONTH * 2e-6, abs=1e-9)


def test_fees_and_other_costs_come_off_the_price():
    assert app.subscription_margin_usd_per_month(20, 0, 0, fee_share=0.3, other_cost_usd_per_month=2) == pytest.approx(
        12
    )


@pytest.mark.parametrize("changes", [{"tokens_per_day": -1}, {"fee_share": 1.5}, {"free_users_per_payer": -0.1}])
def test_subscription_margin_refuses_impossible_arguments(changes):
    usual = {"price_usd_per_month": 20, "tokens_per_day": 1e5, "cost_usd_per_million_tokens": 2}
    with pytest.raises(ValueError, match=next(iter(changes))):
        app.subscription_margin_usd_per_month(**usual | changes)


# Uneven use


@given(st.floats(0.1, 1e6), st.floats(0, 2.5))
def test_usage_quantiles_keep_the_mean_and_rise(mean, sigma):
    use = app.usage_quantiles(mean, sigma)
    assert use.mean() == pytest.approx(mean)
    assert np.all(np.diff(use) >= -1e-6 * mean)


def test_usage_quantiles_agree_with_a_large_sample():
    rng = np.random.default_rng(14)
    drawn = np.sort(rng.lognormal(-0.5 * 1.2**2, 1.2, 200_000)).reshape(20, -1).mean(axis=1)
    assert app.usage_quantiles(1.0, 1.2, 20) == pytest.approx(drawn, rel=0.06)


@pytest.mark.parametrize(
    ("top", "sigma", "share"),
    [(0.1, 0, 0.1), (1.0, 1.3, 1.0), (float(stats.norm.sf(1)), 1.0, 0.5), (0.1, 1.5, 0.586)],
)
def test_heavy_user_share_of_known_curves(top, sigma, share):
    assert app.heavy_user_share(top, sigma) == pytest.approx(share, abs=1e-3)


def test_loss_making_share_agrees_with_scipy():
    cost = stats.lognorm(s=1.1, scale=10 * np.exp(-(1.1**2) / 2))
    assert cost.mean() == pytest.approx(10)
    assert app.loss_making_share(20, 10, 1.1) == pytest.approx(cost.sf(20))


# Ways to charge


def test_bills_of_the_printed_examples():
    assert app.hybrid_bill_usd(1000, 5000, 1000, 2) == app.hybrid_bill_usd(0, 5000, 1000, 2) == 5000
    assert app.hybrid_bill_usd(1500, 5000, 1000, 2) == 6000
    assert app.outcome_bill_usd(100, 1, 0.99) == pytest.approx(99)
    assert app.seat_bill_usd(15, 30) == 450


@given(st.floats(0, 1e5), st.floats(0, 1))
def test_only_the_outcome_bill_knows_whether_the_task_was_solved(tasks, success):
    assert app.outcome_bill_usd(tasks, success, 2.0) <= app.outcome_bill_usd(tasks, 1, 2.0)
    assert app.token_bill_usd(2 * tasks, 1000, 5) == pytest.approx(2 * app.token_bill_usd(tasks, 1000, 5))


def test_outcome_bill_refuses_a_rate_above_one():
    with pytest.raises(ValueError, match="success_rate"):
        app.outcome_bill_usd(10, 90, 0.99)


# Users through time


@given(st.floats(100, 5000), st.floats(-2, 4), st.floats(0.1, 3))
def test_logistic_fit_finds_the_curve_it_was_given(ceiling, midpoint, rate):
    years = np.linspace(midpoint - 1, midpoint + 1, 6)
    users = app.logistic_adoption(years, ceiling, midpoint, rate)
    found = app.logistic_fit(years, users, ceiling)
    assert found == pytest.approx((midpoint, rate, 0), abs=1e-6)


def test_logistic_adoption_has_its_limits():
    assert app.logistic_adoption(-100, 900, 0, 1) == pytest.approx(0, abs=1e-30)
    assert app.logistic_adoption(100, 900, 0, 1) == pytest.approx(900)


@pytest.mark.parametrize(
    ("users", "match"), [([100, 200, 950], "ceiling"), ([0, 200, 300], "between"), ([1, 2], "three")]
)
def test_logistic_fit_refuses_what_no_curve_passes(users, match):
    with pytest.raises(ValueError, match=match):
        app.logistic_fit(np.arange(len(users)), users, 900)


# Shares


@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=6), st.floats(-1, 1), st.floats(0, 3))
def test_shares_keep_their_total_and_ignore_common_growth(shares, common, years):
    shares = np.array(shares)
    growth = np.linspace(0, 1, len(shares))
    after = app.share_path(shares, growth, years)
    assert after.sum() == pytest.approx(shares.sum())
    assert after == pytest.approx(app.share_path(shares, growth + common, years))


def test_relative_growth_is_what_share_path_undoes():
    after = app.share_path(np.array([86.7, 5.7, 7.6]), np.array([0.5, 2.1, 1.0]), 0.7)
    assert app.relative_growth(86.7, 5.7, after[0], after[1], 0.7) == pytest.approx(1.6)


@pytest.mark.parametrize(("shares", "rivals"), [([1], 1), ([25] * 4, 4), ([86.7, 5.7], 1.13)])
def test_effective_rivals_of_known_markets(shares, rivals):
    assert app.effective_rivals(np.array(shares, dtype=float)) == pytest.approx(rivals, abs=0.01)


def test_prices_halve_in_the_published_time():
    assert 12 * app.halving_years(60, 0.06, 3) == pytest.approx(36 / np.log2(1000))
    with pytest.raises(ValueError, match="fallen"):
        app.halving_years(1, 2, 1)


def test_catch_up_is_the_first_date_and_may_never_come():
    assert app.catch_up_years([2024, 2023, 2025], [80, 60, 90], 75) == 2024
    assert app.catch_up_years([2024], [80], 90) == np.inf


# A freemium assistant


@given(chances, chances, chances, chances)
def test_stationary_users_balance_and_agree_with_the_closed_form(upgrade, downgrade, churn_free, churn_paid):
    move = app.freemium_transition(upgrade, downgrade, churn_free, churn_paid)
    users = app.stationary_users([100, 0], move)
    assert users == pytest.approx(app.freemium_users(100, upgrade, downgrade, churn_free, churn_paid))
    assert users == pytest.approx(np.array([100, 0]) + users @ move)
    assert users[0] * churn_free + users[1] * churn_paid == pytest.approx(100)


@given(chances, chances, chances, chances)
def test_users_are_arrivals_times_months(upgrade, downgrade, churn_free, churn_paid):
    move = app.freemium_transition(upgrade, downgrade, churn_free, churn_paid)
    assert 100 * app.absorbing_months(move)[0] == pytest.approx(app.stationary_users([100, 0], move))


def test_a_simulation_settles_at_the_balance():
    move = app.freemium_transition(0.05, 0.05, 0.25, 0.1)
    history = app.simulate_freemium(np.random.default_rng(14), 400, 500, move)
    settled = history.sum(axis=0)[60:]
    assert settled.mean(axis=0) == pytest.approx(app.stationary_users([500, 0], move), rel=0.01)
    assert settled[:, 0].var() / settled[:, 0].mean() == pytest.approx(1, abs=0.35)  # Poisson


def test_cohorts_only_shrink_and_begin_free():
    history = app.simulate_freemium(np.random.default_rng(1), 24, 1000, app.freemium_transition(0.02, 0.03, 0.1, 0.05))
    totals = history.sum(axis=2)
    for cohort in range(24):
        assert not totals[cohort, :cohort].any()
        assert history[cohort, cohort, 1] == 0
        assert np.all(np.diff(totals[cohort, cohort:]) <= 0)


def test_without_leaving_there_is_no_balance():
    with pytest.raises(ValueError, match="for ever"):
        app.stationary_users([1, 0], app.freemium_transition(0.1, 0.1, 0, 0))
    with pytest.raises(ValueError, match="free_leavers"):
        app.freemium_transition(0.6, 0, 0.6, 0)


@given(st.floats(0.01, 1), st.floats(0, 0.05))
def test_lifetime_value_is_the_sum_of_its_months(churn, interest):
    months = np.arange(20_000)
    summed = np.sum(8.0 * ((1 - churn) / (1 + interest)) ** months)
    assert app.lifetime_value_usd(8.0, churn, interest) == pytest.approx(summed, rel=1e-6)


# Capital


@given(st.floats(10, 1000), st.floats(10, 1000), st.floats(0.05, 1), growths, st.floats(0, 0.3), st.floats(1, 20))
def test_payback_and_required_revenue_undo_each_other(capex, _, margin, growth, discount, life):
    revenue = app.required_revenue_usd_per_year(capex, life, margin, growth, discount)
    assert app.capex_payback_years(capex, revenue, margin, growth, discount) == pytest.approx(life, rel=1e-5)


@pytest.mark.parametrize(("growth", "discount"), [(0, 0), (0.2, 0), (0, 0.1), (-0.2, 0.05), (0.1, 0.1), (0.4, 0.1)])
def test_payback_repays_year_by_year(growth, discount):
    years = int(np.ceil(app.capex_payback_years(100.0, 60.0, 0.5, growth, discount)))
    at = np.arange(years)
    worth = np.cumsum(30.0 * (1 + growth) ** at / (1 + discount) ** (at + 1))
    assert worth[-1] >= 100 - 1e-9 and (years == 1 or worth[-2] < 100)


@given(growths, st.floats(0, 0.3))
def test_growth_shortens_and_interest_lengthens(growth, discount):
    usual = app.capex_payback_years(100.0, 80.0, 0.5, growth, discount)
    assert app.capex_payback_years(100.0, 80.0, 0.5, growth + 0.1, discount) <= usual
    assert app.capex_payback_years(100.0, 80.0, 0.5, growth, discount + 0.05) >= usual


def test_shrinking_revenue_may_never_repay():
    assert app.capex_payback_years(100.0, 40.0, 0.5, -0.3) == np.inf
    assert app.capex_payback_years(100.0, 40.0, 0.5, 0.0, 0.25) == np.inf


@pytest.mark.parametrize("arguments", [(0, 1, 0.5), (1, 0, 0.5), (1, 1, 0.0), (1, 1, 0.5, -1.0)])
def test_payback_refuses_what_is_not_an_investment(arguments):
    with pytest.raises(ValueError, match="must be positive"):
        app.capex_payback_years(*arguments)


# Explorers


@pytest.mark.parametrize(
    ("function", "start"),
    [
        (app.gross_margin, {"price_usd": 20.0, "cost_usd": 8.0}),
        (
            app.subscription_margin_usd_per_month,
            {"price_usd_per_month": 20.0, "tokens_per_day": 1e5, "cost_usd_per_million_tokens": 2.0},
        ),
        (
            app.capex_payback_years,
            {
                "capex_usd": 100.0,
                "revenue_usd_per_year": 40.0,
                "cash_margin": 0.5,
                "growth_per_year": 0.1,
                "discount_per_year": 0.1,
            },
        ),
        (app.hybrid_bill_usd, {"tasks": 1500.0, "base_usd": 5e3, "included_tasks": 1e3, "usd_per_extra_task": 2.0}),
        (
            app.freemium_users,
            {"arrivals_per_month": 10.0, "upgrade": 0.02, "downgrade": 0.03, "churn_free": 0.1, "churn_paid": 0.05},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_explorers_use_can_be_traced(function, start):
    def named(**given):
        out = function(**given)
        return {str(i): value for i, value in enumerate(out if isinstance(out, tuple) else (out,))}

    assert trace(named, start)["nodes"]
