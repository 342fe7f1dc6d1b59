"""Layer 14: who pays for a product, how much is left over, and how long the machines take to earn their price.

Money is US dollars, a month is a twelfth of 365.25 days, prices of tokens are dollars for a million tokens. Margins are
fractions of the price and go below zero. Every model here is small enough to argue with: change an argument and see what
it takes to be wrong.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from aistack.checks import at_least_zero, fraction, positive, positive_fraction, require

__all__ = [
    "DAYS_PER_MONTH",
    "absorbing_months",
    "breakeven_tokens_per_day",
    "call_cost_usd",
    "capex_payback_years",
    "catch_up_years",
    "effective_rivals",
    "freemium_transition",
    "freemium_users",
    "gross_margin",
    "halving_years",
    "heavy_user_share",
    "hybrid_bill_usd",
    "lifetime_value_usd",
    "logistic_adoption",
    "logistic_fit",
    "loss_making_share",
    "outcome_bill_usd",
    "relative_growth",
    "required_revenue_usd_per_year",
    "seat_bill_usd",
    "share_path",
    "simulate_freemium",
    "stationary_users",
    "subscription_margin_usd_per_month",
    "token_bill_usd",
    "usage_quantiles",
]

DAYS_PER_MONTH = 365.25 / 12  #: days in a mean month


# Margins


def gross_margin(price_usd, cost_usd):
    """Return the fraction of the price that is left after the cost of serving it; negative when it costs more.

    Parameters
    ----------
    price_usd : number or array, USD
        What the customer pays.
    cost_usd : number or array, USD
        Cost of revenue: inference, hosting, support, payment fees. Research, sales and rent are not in it.

    Returns
    -------
    number or array, at most 1

    Raises
    ------
    ValueError
        If the price is not positive or the cost negative.

    Examples
    --------
    >>> gross_margin(20.0, 8.0)
    0.6
    >>> gross_margin(10.0, 30.0)
    -2.0
    """
    positive(price_usd=price_usd)
    at_least_zero(cost_usd=cost_usd)
    return 1 - cost_usd / price_usd


def call_cost_usd(input_tokens, output_tokens, input_usd_per_million, output_usd_per_million):
    """Return what one call costs at prices for a million tokens of input and of output.

    Examples
    --------
    A thousand tokens in and 500 out at 1.25 and 10 dollars for a million come to 0.6 cents.

    >>> round(call_cost_usd(1000, 500, 1.25, 10.0), 6)
    0.00625
    """
    at_least_zero(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        input_usd_per_million=input_usd_per_million,
        output_usd_per_million=output_usd_per_million,
    )
    return (input_tokens * input_usd_per_million + output_tokens * output_usd_per_million) / 1e6


def subscription_margin_usd_per_month(
    price_usd_per_month,
    tokens_per_day,
    cost_usd_per_million_tokens,
    free_users_per_payer=0.0,
    free_tokens_per_day=0.0,
    fee_share=0.0,
    other_cost_usd_per_month=0.0,
):
    """Return what one subscriber leaves a month, after his own tokens and those of the free users he carries.

    Parameters
    ----------
    price_usd_per_month : number, USD
        Price of the subscription.
    tokens_per_day : number
        Tokens a subscriber uses in a day, input and output together.
    cost_usd_per_million_tokens : number, USD
        What a million of those tokens cost to serve, in the mix in which they are used.
    free_users_per_payer : number
        Users who pay nothing, for each one who pays.
    free_tokens_per_day : number
        Tokens each of them uses in a day.
    fee_share : number, 0 to 1
        Share of the price kept by an app store or a card company.
    other_cost_usd_per_month : number, USD
        Support, hosting and the like, for each subscriber.

    Returns
    -------
    number, USD a month
        Divide by the price for the gross margin.

    Raises
    ------
    ValueError
        If a quantity is negative or the fee is not from 0 to 1.

    Examples
    --------
    Twenty dollars, 100,000 tokens a day at 2 dollars a million: 6.09 of the 20 go into tokens.

    >>> round(subscription_margin_usd_per_month(20.0, 100_000, 2.0), 2)
    13.91

    Seventeen free users with 3,000 tokens a day each take another 3.10.

    >>> round(subscription_margin_usd_per_month(20.0, 100_000, 2.0, 17, 3_000), 2)
    10.81
    """
    at_least_zero(
        price_usd_per_month=price_usd_per_month,
        tokens_per_day=tokens_per_day,
        cost_usd_per_million_tokens=cost_usd_per_million_tokens,
        free_users_per_payer=free_users_per_payer,
        free_tokens_per_day=free_tokens_per_day,
        other_cost_usd_per_month=other_cost_usd_per_month,
    )
    fraction(fee_share=fee_share)
    tokens = DAYS_PER_MONTH * (tokens_per_day + free_users_per_payer * free_tokens_per_day)
    return price_usd_per_month * (1 - fee_share) - tokens * cost_usd_per_million_tokens / 1e6 - other_cost_usd_per_month


def breakeven_tokens_per_day(price_usd_per_month, cost_usd_per_million_tokens):
    """Return the tokens a day at which a flat price is eaten up by the subscriber's own tokens.

    Examples
    --------
    >>> round(breakeven_tokens_per_day(20.0, 2.0))
    328542
    """
    at_least_zero(price_usd_per_month=price_usd_per_month)
    positive(cost_usd_per_million_tokens=cost_usd_per_million_tokens)
    return price_usd_per_month / cost_usd_per_million_tokens * 1e6 / DAYS_PER_MONTH


# Uneven use


def usage_quantiles(mean, sigma, count=100):
    """Return the use of `count` equally many users each, from the lightest to the heaviest, lognormal with a given mean.

    The slices are exact: the mean of the result is `mean` whatever `sigma`.

    Parameters
    ----------
    mean : number
        Mean use of all users, in any unit.
    sigma : number
        Standard deviation of the logarithm of use: 0 is everyone alike, 1 puts half of all use on 16 % of the users.
    count : int
        Number of slices.

    Returns
    -------
    array, shape (count,)
        Mean use within each slice.

    Notes
    -----
    The share of use on the part :math:`p` of lightest users is :math:`\\Phi(\\Phi^{-1}(p) - \\sigma)`, the Lorenz curve
    of the lognormal distribution (Aitchison and Brown, *The Lognormal Distribution*, 1957).

    Examples
    --------
    >>> usage_quantiles(10.0, 1.0, 4).round(1)
    array([ 1.9,  4.5,  8.5, 25.1])
    """
    at_least_zero(mean=mean, sigma=sigma)
    edges = special.ndtri(np.arange(count + 1) / count)
    lorenz = special.ndtr(edges - sigma)
    return mean * count * np.diff(lorenz)


def heavy_user_share(top_fraction, sigma):
    """Return the share of all use that falls on the heaviest `top_fraction` of users, lognormal use.

    Examples
    --------
    >>> round(heavy_user_share(0.1, 1.5), 2)
    0.59
    """
    positive_fraction(top_fraction=top_fraction)
    at_least_zero(sigma=sigma)
    return float(special.ndtr(sigma - special.ndtri(1 - top_fraction)))


def loss_making_share(price, mean_cost, sigma):
    """Return the share of users who cost more than a flat `price`, with lognormal cost of mean `mean_cost`.

    Parameters
    ----------
    price, mean_cost : number
        Both in the same unit, for a user and month.
    sigma : number
        Standard deviation of the logarithm of the cost.

    Examples
    --------
    A price of twice the mean cost leaves one user in nine at a loss.

    >>> round(loss_making_share(20.0, 10.0, 1.0), 3)
    0.116
    """
    positive(price=price, mean_cost=mean_cost, sigma=sigma)
    return float(special.ndtr(-(np.log(price / mean_cost) + sigma**2 / 2) / sigma))


# Ways to charge


def seat_bill_usd(seats, usd_per_seat):
    """Return a month's bill by seats: it does not know how much is done."""
    at_least_zero(seats=seats, usd_per_seat=usd_per_seat)
    return seats * usd_per_seat


def token_bill_usd(tasks, tokens_per_task, usd_per_million_tokens):
    """Return a month's bill by tokens: it grows with every attempt, solved or not.

    Examples
    --------
    >>> token_bill_usd(1000, 200_000, 5.0)
    1000.0
    """
    at_least_zero(tasks=tasks, tokens_per_task=tokens_per_task, usd_per_million_tokens=usd_per_million_tokens)
    return tasks * tokens_per_task * usd_per_million_tokens / 1e6


def outcome_bill_usd(tasks, success_rate, usd_per_outcome):
    """Return a month's bill by outcomes: only what was solved is paid.

    Examples
    --------
    A thousand questions, two thirds of them resolved at 0.99 dollars.

    >>> round(outcome_bill_usd(1000, 2 / 3, 0.99))
    660
    """
    at_least_zero(tasks=tasks, usd_per_outcome=usd_per_outcome)
    fraction(success_rate=success_rate)
    return tasks * success_rate * usd_per_outcome


def hybrid_bill_usd(tasks, base_usd, included_tasks, usd_per_extra_task):
    """Return a month's bill of a base fee with tasks included and a price for each further one.

    Examples
    --------
    5,000 dollars with 1,000 tasks, then 2 dollars each: 1,500 tasks cost 6,000.

    >>> float(hybrid_bill_usd(1500, 5000.0, 1000, 2.0))
    6000.0
    """
    at_least_zero(tasks=tasks, base_usd=base_usd, included_tasks=included_tasks, usd_per_extra_task=usd_per_extra_task)
    return base_usd + np.maximum(tasks - included_tasks, 0) * usd_per_extra_task


# Users through time


def logistic_adoption(years, ceiling, midpoint_years, rate_per_year):
    """Return the S-curve: users at `years`, half of the ceiling at the midpoint.

    Examples
    --------
    >>> float(logistic_adoption(2.0, 1000.0, 2.0, 1.5))
    500.0
    """
    positive(ceiling=ceiling, rate_per_year=rate_per_year)
    return ceiling / (1 + np.exp(-rate_per_year * (years - midpoint_years)))


def logistic_fit(years, users, ceiling):
    """Return midpoint, rate and worst relative miss of the S-curve with a given ceiling through measured users.

    A logistic curve is a straight line in log(users / (ceiling - users)); the line is fitted by least squares.

    Parameters
    ----------
    years, users : array, shape (n,)
        Times and counts, all counts below the ceiling.
    ceiling : number
        Where adoption is to end: an assumption, not a result.

    Returns
    -------
    midpoint_years, rate_per_year, worst : float
        `worst` is the largest relative difference between curve and data.

    Raises
    ------
    ValueError
        If a count is not between zero and the ceiling, or there are fewer than three.

    Examples
    --------
    >>> years = np.arange(5.0)
    >>> [round(v, 6) + 0 for v in logistic_fit(years, logistic_adoption(years, 900, 2, 1.2), 900)]
    [2.0, 1.2, 0.0]
    """
    years, users = np.asarray(years, dtype=float), np.asarray(users, dtype=float)
    require(len(years) >= 3, f"three points or more are needed, got {len(years)}")
    require((users > 0) & (users < ceiling), f"users must lie between 0 and the ceiling of {ceiling}")
    rate, offset = np.polyfit(years, np.log(users / (ceiling - users)), 1)
    fitted = logistic_adoption(years, ceiling, -offset / rate, rate)
    return float(-offset / rate), float(rate), float(np.max(np.abs(fitted / users - 1)))


# Shares


def share_path(shares, growth_per_year, years):
    """Return the shares after `years` when each product grows at its own rate.

    Parameters
    ----------
    shares : array, shape (n,)
        Shares at the start, in any unit.
    growth_per_year : array, shape (n,)
        Growth of each as a rate: 0.7 doubles in a year. Only differences matter for shares.
    years : number

    Returns
    -------
    array, shape (n,)
        Shares of the same total.

    Examples
    --------
    A product that doubles in a year loses share to one that grows sixfold.

    >>> share_path(np.array([90.0, 10.0]), np.log([2.0, 6.0]), 1.0).round(1)
    array([75., 25.])
    """
    at_least_zero(shares=shares)
    grown = shares * np.exp(growth_per_year * years)
    return grown * (np.sum(shares) / np.sum(grown))


def relative_growth(first_a, first_b, last_a, last_b, years):
    """Return by how much the growth rate of `b` exceeds that of `a`, from shares at two times, per year.

    Shares hide the size of the market, but the ratio of two shares does not depend on it.

    Examples
    --------
    >>> round(float(relative_growth(86.7, 5.7, 64.5, 21.5, 1.0)), 2)
    1.62
    """
    positive(first_a=first_a, first_b=first_b, last_a=last_a, last_b=last_b, years=years)
    return np.log(last_b / last_a * first_a / first_b) / years


def effective_rivals(shares):
    """Return the number of equal products that would be as concentrated as these shares.

    It is the inverse of the Herfindahl-Hirschman index.

    Examples
    --------
    >>> float(effective_rivals(np.array([50.0, 50.0])))
    2.0
    """
    at_least_zero(shares=shares)
    return np.sum(shares) ** 2 / np.sum(shares * shares)


def halving_years(first, last, years):
    """Return the time in which a price that fell from `first` to `last` in `years` halved, at an even pace.

    Examples
    --------
    >>> round(float(12 * halving_years(20.0, 0.4, 3.0)), 1)
    6.4
    """
    positive(first=first, last=last, years=years)
    require(last < first, f"the price must have fallen, but {last} is not below {first}")
    return years * np.log(2) / np.log(first / last)


def catch_up_years(years, scores, target):
    """Return the first time at which a series of dated scores reaches `target`; infinite if it never does.

    Examples
    --------
    >>> catch_up_years([2023.1, 2023.6, 2024.6], [63.4, 68.9, 88.6], 86.4)
    2024.6
    """
    reached = [year for year, score in sorted(zip(years, scores, strict=True)) if score >= target]
    return float(reached[0]) if reached else float("inf")


# A freemium assistant


def freemium_transition(upgrade, downgrade, churn_free, churn_paid):
    """Return what a month does to a user: rows and columns are free and paid; what is missing in a row has left.

    Parameters
    ----------
    upgrade : number, 0 to 1
        Chance that a free user starts to pay within the month.
    downgrade : number, 0 to 1
        Chance that a subscriber goes back to the free tier.
    churn_free, churn_paid : number, 0 to 1
        Chance to leave for good.

    Returns
    -------
    array, shape (2, 2)

    Raises
    ------
    ValueError
        If a chance is not from 0 to 1, or those of one state exceed 1 together.

    Examples
    --------
    >>> freemium_transition(0.02, 0.03, 0.1, 0.05).round(2)
    array([[0.88, 0.02],
           [0.03, 0.92]])
    """
    fraction(upgrade=upgrade, downgrade=downgrade, churn_free=churn_free, churn_paid=churn_paid)
    fraction(free_leavers=upgrade + churn_free, paid_leavers=downgrade + churn_paid)
    return np.array([[1 - upgrade - churn_free, upgrade], [downgrade, 1 - downgrade - churn_paid]])


def stationary_users(arrivals_per_month, transition):
    """Return the users in each state once arrivals and departures balance.

    Parameters
    ----------
    arrivals_per_month : array, shape (n,)
        New users a month, by the state in which they begin.
    transition : array, shape (n, n)
        Chances of one month; rows sum to less than one where users leave.

    Returns
    -------
    array, shape (n,)

    Notes
    -----
    From :math:`x = a + xP` follows :math:`x = a (I - P)^{-1}`; the inverse is the fundamental matrix of an absorbing chain
    (Kemeny and Snell, *Finite Markov Chains*, 1960).

    Raises
    ------
    ValueError
        If nobody ever leaves, so that no balance exists.

    Examples
    --------
    >>> stationary_users([100.0, 0.0], freemium_transition(0.02, 0.03, 0.1, 0.05)).round(1)
    array([888.9, 222.2])
    """
    transition = np.asarray(transition, dtype=float)
    require(
        np.max(np.abs(np.linalg.eigvals(transition))) < 1 - 1e-12, "some users never leave: their number grows for ever"
    )
    return np.linalg.solve(np.eye(len(transition)) - transition.T, np.asarray(arrivals_per_month, dtype=float))


def absorbing_months(transition):
    """Return the months a user spends in each state (column) before leaving, by the state of the start (row).

    Examples
    --------
    Who starts free will pay for 2.2 months on average, who has begun to pay for 13.3.

    >>> absorbing_months(freemium_transition(0.02, 0.03, 0.1, 0.05))[:, 1].round(1)
    array([ 2.2, 13.3])
    """
    transition = np.asarray(transition, dtype=float)
    return np.linalg.inv(np.eye(len(transition)) - transition)


def freemium_users(arrivals_per_month, upgrade, downgrade, churn_free, churn_paid):
    """Return the free and the paying users in balance: :func:`stationary_users` for two states, written out.

    Examples
    --------
    >>> [round(v, 1) for v in freemium_users(100.0, 0.02, 0.03, 0.1, 0.05)]
    [888.9, 222.2]
    """
    at_least_zero(arrivals_per_month=arrivals_per_month, upgrade=upgrade, downgrade=downgrade)
    positive(churn_free=churn_free, churn_paid=churn_paid)
    payers_per_free = upgrade / (downgrade + churn_paid)
    free = arrivals_per_month / (churn_free + churn_paid * payers_per_free)
    return free, free * payers_per_free


def lifetime_value_usd(margin_usd_per_month, churn_per_month, discount_per_month=0.0):
    """Return what a subscriber leaves before going: the margin of each month paid, later ones discounted.

    Parameters
    ----------
    margin_usd_per_month : number, USD
        What is left of a month's price (:func:`subscription_margin_usd_per_month`).
    churn_per_month : number, 0 to 1
        Chance that he has stopped paying a month later; the mean life is one over it.
    discount_per_month : number
        Interest, for money that comes later.

    Examples
    --------
    >>> round(lifetime_value_usd(8.0, 0.1), 1)
    80.0
    >>> round(lifetime_value_usd(8.0, 0.1, 0.01), 1)
    73.5
    """
    positive_fraction(churn_per_month=churn_per_month)
    at_least_zero(discount_per_month=discount_per_month)
    return margin_usd_per_month * (1 + discount_per_month) / (churn_per_month + discount_per_month)


def simulate_freemium(generator, months, arrivals_per_month, transition):
    """Return a history of cohorts: how many of each month's newcomers are free and paid in each later month.

    Every user is drawn: newcomers from a Poisson distribution, their moves from the chances in `transition`.

    Parameters
    ----------
    generator : numpy.random.Generator
    months : int
        Length of the history.
    arrivals_per_month : number
        Expected newcomers, all of them free at first.
    transition : array, shape (2, 2)
        From :func:`freemium_transition`.

    Returns
    -------
    array of int, shape (months, months, 2)
        ``[cohort, month, state]``; zero before the cohort arrives.

    Examples
    --------
    >>> history = simulate_freemium(np.random.default_rng(1), 3, 100, freemium_transition(0.1, 0, 0.2, 0.1))
    >>> history.shape, bool((history.sum(axis=2)[0] >= 0).all())
    ((3, 3, 2), True)
    """
    positive(months=months, arrivals_per_month=arrivals_per_month)
    transition = np.asarray(transition, dtype=float)
    chances = np.column_stack([transition, 1 - transition.sum(axis=1)])
    history = np.zeros((months, months, 2), dtype=np.int64)
    now = np.zeros((months, 2), dtype=np.int64)
    for month in range(months):
        moved = sum(generator.multinomial(now[:, state], chances[state])[:, :2] for state in range(2))
        now = moved.astype(np.int64)
        now[month, 0] = generator.poisson(arrivals_per_month)
        history[:, month] = now
    return history


# Capital


def capex_payback_years(capex_usd, revenue_usd_per_year, cash_margin, growth_per_year=0.0, discount_per_year=0.0):
    """Return the years of revenue that repay capital; infinite when it never does.

    Parameters
    ----------
    capex_usd : number, USD
        Paid at the start.
    revenue_usd_per_year : number, USD a year
        Revenue of the first year.
    cash_margin : number, 0 to 1
        What remains of revenue after power, people and the rest, before depreciation.
    growth_per_year : number
        Growth of revenue from year to year, 0.2 for 20 %; may be negative.
    discount_per_year : number
        Cost of capital; 0 asks for the money back and nothing more.

    Returns
    -------
    number, years
        Years counted at year's end, interpolated geometrically between; compare with the life of the machines.

    Raises
    ------
    ValueError
        If an amount is not positive or growth is -1 or less.

    Notes
    -----
    With :math:`q = (1 + g)/(1 + r)` the present value of :math:`n` years is :math:`R m (1 - q^n)/(r - g)`, or
    :math:`R m n/(1 + r)` when :math:`r = g`; set it to the capital and solve for :math:`n`.

    Examples
    --------
    100 invested, 40 of revenue a year at a margin of one half: five years, or 3.8 when revenue grows by 20 %.

    >>> float(capex_payback_years(100.0, 40.0, 0.5))
    5.0
    >>> round(float(capex_payback_years(100.0, 40.0, 0.5, 0.2)), 1)
    3.8
    >>> float(capex_payback_years(100.0, 40.0, 0.5, -0.3))
    inf
    """
    positive(capex_usd=capex_usd, revenue_usd_per_year=revenue_usd_per_year, cash_margin=cash_margin)
    positive(growth_factor=1 + growth_per_year, discount_factor=1 + discount_per_year)
    turns = capex_usd / (revenue_usd_per_year * cash_margin)  # capital, in first years of cash
    spread = discount_per_year - growth_per_year
    level = np.less(np.abs(spread), 1e-9)
    safe = np.where(level, 1e-3, spread)
    factor = np.where(level, 1 / 1.001, (1 + growth_per_year) / (1 + discount_per_year))
    with np.errstate(divide="ignore"):
        years = np.log(np.maximum(1 - turns * safe, 0.0)) / np.log(factor)
    return np.where(level, turns * (1 + discount_per_year), years)


def required_revenue_usd_per_year(capex_usd, life_years, cash_margin, growth_per_year=0.0, discount_per_year=0.0):
    """Return the first year's revenue that repays capital, with interest, just within the life of the machines.

    It is :func:`capex_payback_years` solved for the revenue.

    Parameters
    ----------
    capex_usd : number, USD
    life_years : number, years
    cash_margin : number, 0 to 1
    growth_per_year, discount_per_year : number

    Returns
    -------
    number, USD a year

    Examples
    --------
    100 over five years at half margin take 40 a year, or 52.8 with a tenth of interest.

    >>> float(required_revenue_usd_per_year(100.0, 5.0, 0.5))
    40.0
    >>> round(float(required_revenue_usd_per_year(100.0, 5.0, 0.5, 0.0, 0.1)), 1)
    52.8
    """
    positive(capex_usd=capex_usd, life_years=life_years, cash_margin=cash_margin)
    positive(growth_factor=1 + growth_per_year, discount_factor=1 + discount_per_year)
    spread = discount_per_year - growth_per_year
    level = np.less(np.abs(spread), 1e-9)
    safe = np.where(level, 1.0, spread)
    factor = np.where(level, 0.5, (1 + growth_per_year) / (1 + discount_per_year))
    worth = np.where(level, life_years / (1 + discount_per_year), (1 - factor**life_years) / safe)
    return capex_usd / (cash_margin * worth)
