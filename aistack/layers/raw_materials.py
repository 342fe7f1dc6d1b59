"""Layer 1: what the stack is dug, refined and rinsed from, and how much of it stands in one place.

Concentration of suppliers, what a lost supplier leaves, how long a stock bridges an embargo, the odds that some input of a
chip fails, and the silicon and water behind a wafer. Shares are percent of a market unless a name says fraction; supply
and use are counted in days of normal use, so that one formula serves tonnes, litres and square inches.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from aistack.checks import at_least_zero, fraction, positive, positive_fraction, require
from aistack.units import INCH

__all__ = [
    "RunDown",
    "annual_growth",
    "any_fails",
    "chokepoint_score",
    "days_of_cover",
    "days_until_empty",
    "fab_water_m3_per_day",
    "herfindahl",
    "herfindahl_bounds",
    "impurity_atoms_per_cm3",
    "output_lost_days",
    "run_down",
    "shortage_after_loss",
    "shortage_probability",
    "silicon_mass_t",
    "stock_to_bridge_days",
    "wafer_mass_g",
    "water_per_good_die_l",
]

SILICON_DENSITY_G_PER_CM3 = 2.329  #: at room temperature
SILICON_ATOMS_PER_CM3 = 8 / 5.431e-8**3  #: eight atoms in a cube of 5.431 angstrom


# Concentration


def herfindahl(shares_percent):
    """Return the Herfindahl-Hirschman index: the sum of the squared shares.

    Parameters
    ----------
    shares_percent : array_like, shape (n,), percent
        Shares of suppliers, each its own row; suppliers left out count as infinitely small.

    Returns
    -------
    number
        From nearly 0 (many small suppliers) to 10,000 (one supplier).

    Raises
    ------
    ValueError
        If a share is negative or they sum to more than 100.5 (half a point is allowed for rounding).

    References
    ----------
    US Department of Justice and Federal Trade Commission, Merger Guidelines (2023), guideline 1.

    Examples
    --------
    Five wafer makers by the survey's table:

    >>> float(herfindahl([18, 17, 15, 12, 10]))
    1082.0
    >>> float(herfindahl([100]))
    10000.0
    """
    shares = np.asarray(shares_percent) if isinstance(shares_percent, list | tuple) else shares_percent
    at_least_zero(shares_percent=shares)
    require(np.sum(shares) <= 100.5, "shares_percent must not sum to more than 100")
    return np.sum(shares**2)


def herfindahl_bounds(shares_percent):
    """Return the lowest and highest index that the unlisted rest of a market allows.

    The rest may be crumbs, which add nothing, or suppliers as large as the smallest one listed (a larger one would have
    been listed).

    Parameters
    ----------
    shares_percent : array_like, shape (n,), percent
        The largest suppliers of the market.

    Returns
    -------
    (float, float)

    Raises
    ------
    ValueError
        If there is no share, one is not positive, or they sum to more than 100.5.

    Examples
    --------
    The survey's five leave 28 percent, at most two makers of 10 and one of 8:

    >>> herfindahl_bounds([18, 17, 15, 12, 10])
    (1082.0, 1346.0)
    """
    shares = np.asarray(shares_percent, dtype=float)
    require(shares.size > 0, "shares_percent must hold at least one share")
    positive(shares_percent=shares)
    low, smallest = float(herfindahl(shares)), float(shares.min())
    rest = max(0.0, 100.0 - float(shares.sum()))
    whole = rest // smallest
    return low, low + whole * smallest**2 + (rest - whole * smallest) ** 2


def shortage_after_loss(lost_fraction, spare_fraction):
    """Return the fraction of demand that stays unserved when a supplier goes and the others use their spare capacity.

    Parameters
    ----------
    lost_fraction : number, 0 to 1
        Share of the market that the lost supplier had.
    spare_fraction : number
        How much more the others can make, as a fraction of what they make now.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If the share is not from 0 to 1 or the spare capacity is negative.

    Examples
    --------
    A supplier of 30 percent goes; others who can make a tenth more replace 7 of the 30 points.

    >>> round(float(shortage_after_loss(0.30, 0.10)), 2)
    0.23
    """
    fraction(lost_fraction=lost_fraction)
    at_least_zero(spare_fraction=spare_fraction)
    return np.maximum(0.0, lost_fraction - spare_fraction * (1 - lost_fraction))


def chokepoint_score(share_fraction, substitutable_fraction, lead_time_years):
    """Return share times what cannot be substituted times the years until others can supply.

    It has a meaning: if the holder of `share_fraction` stopped today, nobody had a stock, and new supply grew evenly over
    the lead time, half of the score would be the years of output lost (see :func:`output_lost_days`).

    Parameters
    ----------
    share_fraction : number, 0 to 1
        Share of the largest holder.
    substitutable_fraction : number, 0 to 1
        Part of the lost supply that another material, thrift or scrap replaces at once.
    lead_time_years : number, years
        Until new suppliers are qualified and fill the gap.

    Returns
    -------
    number, years

    Raises
    ------
    ValueError
        If a fraction is not from 0 to 1 or the time is negative.

    Examples
    --------
    >>> round(chokepoint_score(0.99, 0.2, 3), 2)
    2.38
    """
    fraction(share_fraction=share_fraction, substitutable_fraction=substitutable_fraction)
    at_least_zero(lead_time_years=lead_time_years)
    return share_fraction * (1 - substitutable_fraction) * lead_time_years


def annual_growth(first, last, years):
    """Return the constant yearly growth that leads from `first` to `last`, as a fraction.

    Examples
    --------
    The survey's wafer market, 14.5 to 17.85 billion dollars from 2025 to 2031:

    >>> round(100 * annual_growth(14.5, 17.85, 6), 2)
    3.52
    """
    positive(first=first, last=last, years=years)
    return (last / first) ** (1 / years) - 1


# Stocks and embargoes


def days_of_cover(stock, use_per_year):
    """Return the days that a stock lasts at the usual rate of use, stock and use in the same unit.

    Examples
    --------
    American gallium at the end of 2024: 3,410 kg in stock, 18,700 kg used in the year.

    >>> round(days_of_cover(3410, 18700), 1)
    66.6
    """
    at_least_zero(stock=stock)
    positive(use_per_year=use_per_year)
    return stock / use_per_year * 365.25


@dataclass(frozen=True)
class RunDown:
    """What is left on a day of an embargo: the stock in days of use, and output as a fraction of normal."""

    stock_days: np.ndarray
    output_fraction: np.ndarray


def _gap(cut_fraction, recycled_fraction, rerouting_days):
    fraction(cut_fraction=cut_fraction, recycled_fraction=recycled_fraction)
    positive(rerouting_days=rerouting_days)
    return cut_fraction * (1 - recycled_fraction)


def run_down(cover_days, cut_fraction, rerouting_days, recycled_fraction, day):
    """Return stock and output on given days after a supply is cut off.

    A part of need is met from scrap. Of the rest, `cut_fraction` stops on day 0 and comes back from elsewhere in even steps
    over `rerouting_days`. Makers run at full output from stock until it is gone, then at what still arrives.

    Parameters
    ----------
    cover_days : number, days
        Stock on day 0 in days of normal use.
    cut_fraction : number, 0 to 1
        Part of the primary supply that stops.
    rerouting_days : number, days
        Until other suppliers deliver all of it.
    recycled_fraction : number, 0 to 1
        Part of the need met from scrap, before and after.
    day : array_like, days
        Days after the cut.

    Returns
    -------
    RunDown

    Raises
    ------
    ValueError
        If a fraction is not from 0 to 1, the stock or a day is negative, or the rerouting takes no time.

    Examples
    --------
    Two months of stock, everything cut, two years to reroute: full output for a while, then a third of normal supply.

    >>> state = run_down(60, 1.0, 730, 0.0, np.array([0.0, 30.0, 240.0]))
    >>> state.stock_days.round(1).tolist(), state.output_fraction.round(2).tolist()
    ([60.0, 30.6, 0.0], [1.0, 1.0, 0.33])
    """
    gap = _gap(cut_fraction, recycled_fraction, rerouting_days)
    at_least_zero(cover_days=cover_days, day=day)
    closing = np.minimum(day, rerouting_days)
    used = gap * (closing - closing**2 / (2 * rerouting_days))
    stock = np.maximum(cover_days - used, 0.0)
    missing = gap * (1 - closing / rerouting_days)
    return RunDown(stock, np.where(stock > 0, 1.0, 1 - missing))


def stock_to_bridge_days(cut_fraction, rerouting_days, recycled_fraction=0.0):
    """Return the stock, in days of normal use, that bridges a cut without any loss: the area of the closing gap.

    Parameters and errors as in :func:`run_down`.

    Examples
    --------
    >>> stock_to_bridge_days(1.0, 730)
    365.0
    """
    return _gap(cut_fraction, recycled_fraction, rerouting_days) * rerouting_days / 2


def output_lost_days(cover_days, cut_fraction, rerouting_days, recycled_fraction=0.0):
    """Return the days of normal output lost over the whole embargo: what the stock does not bridge.

    Parameters and errors as in :func:`run_down`.

    Examples
    --------
    >>> float(output_lost_days(60, 1.0, 730))
    305.0
    >>> float(output_lost_days(400, 1.0, 730))
    0.0
    """
    at_least_zero(cover_days=cover_days)
    return np.maximum(0.0, stock_to_bridge_days(cut_fraction, rerouting_days, recycled_fraction) - cover_days)


def days_until_empty(cover_days, cut_fraction, rerouting_days, recycled_fraction=0.0):
    """Return the day on which the stock is gone; infinite where it bridges the whole cut.

    Parameters and errors as in :func:`run_down`. The stock falls slower and slower, since the gap closes: solving
    ``gap (t - t^2 / 2R) = cover`` for t gives ``R (1 - sqrt(1 - cover / bridge))``.

    Examples
    --------
    >>> round(float(days_until_empty(67, 0.99, 730)), 1)
    71.1
    >>> float(days_until_empty(400, 0.99, 730))
    inf
    """
    at_least_zero(cover_days=cover_days)
    bridge = stock_to_bridge_days(cut_fraction, rerouting_days, recycled_fraction)
    left = 1 - cover_days / np.maximum(bridge, 1e-12)
    return np.where(left > 0, rerouting_days * (1 - np.sqrt(np.maximum(left, 0.0))), np.inf)


# The odds of an outage


def any_fails(probabilities):
    """Return the probability that at least one of several independent inputs fails.

    Examples
    --------
    Three hundred materials, each of which fails one year in a thousand:

    >>> round(float(any_fails(np.full(300, 0.001))), 3)
    0.259
    """
    chances = np.asarray(probabilities, dtype=float)
    fraction(probabilities=chances)
    return 1 - np.prod(1 - chances)


def shortage_probability(shares_fraction, outage_probabilities, needed_fraction):
    """Return the exact probability that the suppliers left deliver less than is needed.

    All 2^n combinations of n independent suppliers up or down are weighed.

    Parameters
    ----------
    shares_fraction : array_like, shape (n,), 0 to 1
        Shares of the suppliers, at most 16 of them.
    outage_probabilities : array_like, shape (n,) or number
        Probability that each is out.
    needed_fraction : number, above 0 to 1
        Share of normal supply below which the users of the material stop.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there are more than 16 suppliers, or a fraction or probability is not from 0 to 1.

    Examples
    --------
    With half of supply needed, one supplier of 80 percent is the whole risk; two of 50 must both be out.

    >>> round(shortage_probability([0.8, 0.2], 0.02, 0.5), 4)
    0.02
    >>> round(shortage_probability([0.5, 0.5], 0.02, 0.5), 4)
    0.0004
    """
    shares = np.asarray(shares_fraction, dtype=float)
    outs = np.broadcast_to(np.asarray(outage_probabilities, dtype=float), shares.shape)
    require(shares.size <= 16, f"shares_fraction must hold at most 16 suppliers, not {shares.size}")
    fraction(shares_fraction=shares, outage_probabilities=outs)
    positive_fraction(needed_fraction=needed_fraction)
    up = np.array(list(itertools.product([True, False], repeat=shares.size)))
    weight = np.prod(np.where(up, 1 - outs, outs), axis=1)
    return float(weight[(up * shares).sum(axis=1) < needed_fraction - 1e-9].sum())


# Silicon and water


def wafer_mass_g(diameter_mm=300.0, thickness_um=775.0):
    """Return the mass of a bare silicon wafer in grams; 775 micrometres is the standard thickness at 300 mm.

    Examples
    --------
    >>> round(wafer_mass_g(), 1)
    127.6
    """
    positive(diameter_mm=diameter_mm, thickness_um=thickness_um)
    return np.pi / 4 * (diameter_mm / 10) ** 2 * thickness_um / 1e4 * SILICON_DENSITY_G_PER_CM3


def silicon_mass_t(area_msi, thickness_um=775.0):
    """Return the tonnes of silicon in an area of wafers given in million square inches, the trade's unit.

    Examples
    --------
    The 12,973 million square inches of 2025, had all been 775 micrometres thick:

    >>> round(silicon_mass_t(12973))
    15107
    """
    at_least_zero(area_msi=area_msi)
    positive(thickness_um=thickness_um)
    area_cm2 = area_msi * 1e6 * (INCH * 100) ** 2
    return area_cm2 * thickness_um / 1e4 * SILICON_DENSITY_G_PER_CM3 / 1e6


def impurity_atoms_per_cm3(nines):
    """Return the foreign atoms in a cubic centimetre of silicon of a purity given as a number of nines.

    Examples
    --------
    Eleven nines leave one foreign atom in a hundred billion, and still half a million million of them:

    >>> print(f"{impurity_atoms_per_cm3(11):.1e}")
    5.0e+11
    """
    at_least_zero(nines=nines)
    return SILICON_ATOMS_PER_CM3 * 10.0 ** (-nines)


def fab_water_m3_per_day(water_per_wafer_l, wafers_per_month):
    """Return the cubic metres a fab takes in a day, from the water for each wafer and the wafers it starts in a month.

    Examples
    --------
    >>> round(fab_water_m3_per_day(8328, 100_000))
    27361
    """
    at_least_zero(water_per_wafer_l=water_per_wafer_l, wafers_per_month=wafers_per_month)
    return water_per_wafer_l * wafers_per_month * 12 / 365.25 / 1e3


def water_per_good_die_l(water_per_wafer_l, dies_per_wafer, yield_fraction):
    """Return the litres behind one working die: bad dies were rinsed too.

    Examples
    --------
    >>> round(water_per_good_die_l(8328, 63, 0.487))
    271
    """
    at_least_zero(water_per_wafer_l=water_per_wafer_l)
    positive(dies_per_wafer=dies_per_wafer)
    positive_fraction(yield_fraction=yield_fraction)
    return water_per_wafer_l / (dies_per_wafer * yield_fraction)
