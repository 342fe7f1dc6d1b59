"""Layer 2, fabrication: how many chips a wafer gives, how many of them work, and what one costs.

Areas are mm2, defect densities defects per cm2 (as foundries quote them), money USD. Functions whose docstring
says *traceable* use numpy ufuncs only, so an explorer can evaluate them in the page; they broadcast over arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import constants

from aistack.checks import at_least_zero, positive, positive_fraction, require
from aistack.units import HOUR, MM2_PER_CM2

__all__ = [
    "YIELD_MODELS",
    "AssembledCost",
    "DieSites",
    "PlacedDies",
    "WaferMap",
    "assembled_cost",
    "capital_cost_per_wafer",
    "defect_density_after",
    "depth_of_focus_nm",
    "die_cost",
    "die_yield",
    "dies_per_wafer",
    "exposure_passes",
    "field_area_mm2",
    "gross_margin",
    "half_pitch_nm",
    "implied_defect_density",
    "mirror_transmission",
    "months_to_defect_density",
    "murphy_yield",
    "negative_binomial_yield",
    "photons_per_nm2",
    "place_dies",
    "poisson_yield",
    "power_density_ratio",
    "price_per_billion_transistors",
    "seeds_yield",
    "simulate_wafer",
    "site_uniforms",
    "throughput_at_dose",
    "wafer_area_mm2",
    "wafer_map",
    "yield_with_spares",
]

YIELD_MODELS = ("Poisson", "Murphy", "Seeds", "negative binomial")  #: in the order that `die_yield` counts them


# --- how many dies stand on a wafer -------------------------------------------------------------------------------


def wafer_area_mm2(diameter_mm=300.0):
    """Return the area of a round wafer in mm2.

    Parameters
    ----------
    diameter_mm : float or array
        Wafer diameter in mm.

    Returns
    -------
    float or array
        Area in mm2. Traceable.

    Raises
    ------
    ValueError
        If the diameter is not positive.

    Examples
    --------
    >>> round(wafer_area_mm2())
    70686
    """
    positive(diameter_mm=diameter_mm)
    return np.pi / 4 * diameter_mm * diameter_mm


def dies_per_wafer(area_mm2, diameter_mm=300.0):
    """Return the usual estimate of the whole dies on a wafer: area of the wafer over area of the die, less a rim.

    Parameters
    ----------
    area_mm2 : float or array
        Area of a die with its scribe line, mm2.
    diameter_mm : float or array
        Usable wafer diameter, mm.

    Returns
    -------
    float or array
        Dies, not rounded; 0 where the die is too large for the wafer. Traceable.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Notes
    -----
    ``pi d^2 / (4 A) - pi d / sqrt(2 A)``: the second term removes a rim of half a die's diagonal, where dies are
    cut by the edge [1]_. :func:`place_dies` counts exactly.

    References
    ----------
    .. [1] J. L. Hennessy and D. A. Patterson, Computer Architecture: A Quantitative Approach, 6th ed., section 1.6.

    Examples
    --------
    An H100 has 814 mm2:

    >>> round(float(dies_per_wafer(814.0)), 1)
    63.5
    """
    positive(area_mm2=area_mm2, diameter_mm=diameter_mm)
    return np.maximum(wafer_area_mm2(diameter_mm) / area_mm2 - np.pi * diameter_mm / np.sqrt(2 * area_mm2), 0.0)


@dataclass(frozen=True)
class PlacedDies:
    """The best grid of whole dies on a wafer: how many, and the offset in mm of a die corner from the centre."""

    count: int
    offset_x_mm: float
    offset_y_mm: float


def _dies_on_grid(width_mm, height_mm, radius_mm, offset_x, offset_y):
    """Count whole cells of a grid inside a circle, row by row; offsets are arrays of one shape."""
    rows = np.arange(-int(radius_mm / height_mm) - 2, int(radius_mm / height_mm) + 2)[:, None]
    low = rows * height_mm + offset_y
    reach = np.maximum(np.abs(low), np.abs(low + height_mm))  # the corner of the row farthest from the centre
    half_chord = np.sqrt(np.maximum(radius_mm**2 - reach**2, 0.0))
    slack = 1e-8  # a corner that lies on the circle is inside
    in_row = np.floor((half_chord - offset_x) / width_mm + slack) + np.floor((half_chord + offset_x) / width_mm + slack)
    return np.where(reach <= radius_mm * (1 + slack), np.maximum(in_row, 0), 0).sum(axis=0).astype(int)


def place_dies(
    width_mm: float, height_mm: float, diameter_mm: float = 300.0, edge_mm: float = 0.0, scribe_mm: float = 0.0
) -> PlacedDies:
    """Return the largest number of whole dies that a rectangular grid can have inside the usable circle.

    Parameters
    ----------
    width_mm, height_mm : float
        Sides of the die, mm.
    diameter_mm : float
        Wafer diameter, mm.
    edge_mm : float
        Width of the unusable rim, mm.
    scribe_mm : float
        Width of the saw street between dies, mm.

    Returns
    -------
    PlacedDies
        The count and the offset that reaches it.

    Raises
    ------
    ValueError
        If a side or the diameter is not positive, or an edge or street negative.

    Notes
    -----
    Exact. The offsets that keep given dies inside form a region bounded by arcs, one for each corner; each such region
    has a vertex, where two corners of the grid lie on the circle. Up to whole steps of the grid, a vertex depends only
    on the step between its two corners, so a few hundred offsets hold a best one, and all are tried.

    Examples
    --------
    An H100 die as wide as the scanner field (26 mm) with its 814 mm2:

    >>> place_dies(26.0, 814 / 26).count
    69
    """
    positive(width_mm=width_mm, height_mm=height_mm, diameter_mm=diameter_mm)
    at_least_zero(edge_mm=edge_mm, scribe_mm=scribe_mm)
    radius = diameter_mm / 2 - edge_mm
    positive(usable_radius_mm=radius)
    w, h = width_mm + scribe_mm, height_mm + scribe_mm
    steps = np.array(list(product(np.arange(int(2 * radius / w) + 1) * w, np.arange(int(2 * radius / h) + 1) * h)))[1:]
    apart = np.hypot(*steps.T)[:, None]
    steps, apart = steps[apart[:, 0] <= 2 * radius], apart[apart <= 2 * radius][:, None]
    across = np.sqrt(radius**2 - apart**2 / 4) * np.stack([-steps[:, 1], steps[:, 0]], axis=1) / apart
    offsets = np.concatenate([steps / 2 + across, steps / 2 - across, [[0.0, 0.0]]]) % [w, h]
    best, at = -1, None
    for part in np.array_split(offsets, len(offsets) // 20_000 + 1):
        counts = _dies_on_grid(w, h, radius, part[:, 0], part[:, 1])
        if counts.max() > best:
            best, at = int(counts.max()), part[counts.argmax()]
    return PlacedDies(best, float(at[0]), float(at[1]))


@dataclass(frozen=True)
class DieSites:
    """Sites of a candidate grid: centres (NaN outside the usable circle), whether inside, whether the die works."""

    x_mm: np.ndarray
    y_mm: np.ndarray
    inside: np.ndarray
    good: np.ndarray


def site_uniforms(rows: int, columns: int, seed: int) -> np.ndarray:
    """Return one fixed uniform number a site, shape (rows, columns), for :func:`wafer_map`.

    Parameters
    ----------
    rows, columns : int
        Size of the candidate grid.
    seed : int
        Seed of the generator; the same wafer comes back each time.

    Returns
    -------
    ndarray of shape (rows, columns)
        Numbers in [0, 1).

    Raises
    ------
    ValueError
        If there is not at least one row and one column.

    Examples
    --------
    >>> site_uniforms(2, 3, seed=0).shape
    (2, 3)
    """
    positive(rows=rows, columns=columns)
    return np.random.default_rng(seed).random((rows, columns))


def wafer_map(width_mm, height_mm, uniforms, yield_fraction, diameter_mm=300.0, edge_mm=0.0) -> DieSites:
    """Return which sites of a fixed, centred grid are whole dies, and which of those work.

    Parameters
    ----------
    width_mm, height_mm : float
        Sides of the die with its scribe line, mm.
    uniforms : ndarray of shape (rows, columns)
        A number in [0, 1) for each candidate site, from :func:`site_uniforms`. An odd side puts a die on the
        wafer's centre, an even side a street.
    yield_fraction : float
        Chance that a die works; a site works where its uniform is below it.
    diameter_mm, edge_mm : float
        Wafer diameter and width of its unusable rim, mm.

    Returns
    -------
    DieSites
        Arrays of shape (rows, columns). Traceable in every argument but `uniforms`.

    Raises
    ------
    ValueError
        If a side is not positive, the yield no fraction, or the grid does not reach the edge of the wafer.

    Notes
    -----
    As the uniforms stay the same, a die that works at one yield works at every higher one: moving a slider
    turns sites on or off and never reshuffles them.

    Examples
    --------
    >>> sites = wafer_map(26.0, 814 / 26, site_uniforms(11, 13, seed=1), 0.5)
    >>> int(sites.inside.sum()), bool(np.isnan(sites.x_mm[~sites.inside]).all())
    (67, True)
    """
    positive(width_mm=width_mm, height_mm=height_mm, diameter_mm=diameter_mm)
    at_least_zero(edge_mm=edge_mm)
    positive_fraction(yield_fraction=yield_fraction)
    rows, columns = uniforms.shape
    radius = diameter_mm / 2 - edge_mm
    enough = "uniforms must cover the wafer: give more"
    require(np.greater_equal(width_mm * columns, 2 * radius - 2 * width_mm), f"{enough} columns than {columns}")
    require(np.greater_equal(height_mm * rows, 2 * radius - 2 * height_mm), f"{enough} rows than {rows}")
    steps_x = np.arange(columns)[None, :] - (columns - 1) / 2 + np.zeros((rows, 1))
    steps_y = np.arange(rows)[:, None] - (rows - 1) / 2 + np.zeros((1, columns))
    x, y = steps_x * width_mm, steps_y * height_mm
    inside = np.less_equal(np.hypot(np.abs(x) + width_mm / 2, np.abs(y) + height_mm / 2), radius * (1 + 1e-12))
    good = np.logical_and(inside, uniforms < yield_fraction)
    return DieSites(np.where(inside, x, np.nan), np.where(inside, y, np.nan), inside, good)


# --- how many of them work ----------------------------------------------------------------------------------------


def _defects_per_die(area_mm2, defect_density_per_cm2):
    positive(area_mm2=area_mm2)
    at_least_zero(defect_density_per_cm2=defect_density_per_cm2)
    return area_mm2 / MM2_PER_CM2 * defect_density_per_cm2


def poisson_yield(area_mm2, defect_density_per_cm2):
    """Return the yield when defects fall independently: ``exp(-A D0)``.

    Parameters
    ----------
    area_mm2 : float or array
        Die area, mm2.
    defect_density_per_cm2 : float or array
        Killing defects per cm2.

    Returns
    -------
    float or array
        Fraction of dies that work. Traceable.

    Raises
    ------
    ValueError
        If the area is not positive or the density negative.

    Examples
    --------
    >>> round(float(poisson_yield(814.0, 0.1)), 3)
    0.443
    """
    return np.exp(-_defects_per_die(area_mm2, defect_density_per_cm2))


def murphy_yield(area_mm2, defect_density_per_cm2):
    """Return Murphy's yield, whose defect density varies by a triangular law: ``((1 - exp(-A D0)) / (A D0))^2``.

    Parameters
    ----------
    area_mm2, defect_density_per_cm2 : float or array
        As in :func:`poisson_yield`.

    Returns
    -------
    float or array
        Fraction of dies that work. Traceable.

    Raises
    ------
    ValueError
        As :func:`poisson_yield`.

    References
    ----------
    .. [1] B. T. Murphy, Cost-size optima of monolithic integrated circuits, Proc. IEEE 52 (1964) 1537-1545.

    Examples
    --------
    >>> round(float(murphy_yield(814.0, 0.1)), 3)
    0.468
    """
    defects = np.maximum(_defects_per_die(area_mm2, defect_density_per_cm2), 1e-12)  # the limit at no defects is 1
    return np.square(-np.expm1(-defects) / defects)


def seeds_yield(area_mm2, defect_density_per_cm2):
    """Return Seeds' yield, whose defect density varies by an exponential law: ``1 / (1 + A D0)``.

    Parameters
    ----------
    area_mm2, defect_density_per_cm2 : float or array
        As in :func:`poisson_yield`.

    Returns
    -------
    float or array
        Fraction of dies that work. Traceable.

    Raises
    ------
    ValueError
        As :func:`poisson_yield`.

    Notes
    -----
    The negative binomial at a clustering of 1. Calculators also call ``exp(-sqrt(A D0))`` by this name; that is
    Moore's formula.

    References
    ----------
    .. [1] R. B. Seeds, Yield, economic, and logistic models for complex digital arrays, IEEE International
       Convention Record, part 6, 1967.

    Examples
    --------
    >>> round(float(seeds_yield(814.0, 0.1)), 3)
    0.551
    """
    return 1 / (1 + _defects_per_die(area_mm2, defect_density_per_cm2))


def negative_binomial_yield(area_mm2, defect_density_per_cm2, clustering=3.0):
    """Return the yield when defects cluster: ``(1 + A D0 / alpha)^-alpha``.

    Parameters
    ----------
    area_mm2, defect_density_per_cm2 : float or array
        As in :func:`poisson_yield`.
    clustering : float or array
        The parameter alpha: small is strongly clustered, infinite is Poisson. Foundry practice is about 2 to 3.

    Returns
    -------
    float or array
        Fraction of dies that work. Traceable.

    Raises
    ------
    ValueError
        As :func:`poisson_yield`, or if `clustering` is not positive.

    Notes
    -----
    The Poisson yield averaged over a gamma-distributed density with mean D0 and shape alpha [1]_.

    References
    ----------
    .. [1] C. H. Stapper, Defect density distribution for LSI yield calculations, IEEE Trans. Electron Devices 20
       (1973) 655-657.

    Examples
    --------
    >>> round(float(negative_binomial_yield(814.0, 0.1, 3.0)), 3)
    0.487
    """
    positive(clustering=clustering)
    return np.exp(-clustering * np.log1p(_defects_per_die(area_mm2, defect_density_per_cm2) / clustering))


def die_yield(area_mm2, defect_density_per_cm2, model=3, clustering=3.0):
    """Return the yield by one of the four models, chosen by number.

    Parameters
    ----------
    area_mm2, defect_density_per_cm2 : float or array
        As in :func:`poisson_yield`.
    model : int
        Position in :data:`YIELD_MODELS`: 0 Poisson, 1 Murphy, 2 Seeds, 3 negative binomial.
    clustering : float
        Alpha of the negative binomial; the others do without.

    Returns
    -------
    float or array
        Fraction of dies that work. Traceable, the model too.

    Raises
    ------
    ValueError
        If the model has no such number, or as the models do.

    Examples
    --------
    >>> [round(float(die_yield(814.0, 0.1, model)), 3) for model in range(4)]
    [0.443, 0.468, 0.551, 0.487]
    """
    early, late = (np.logical_or(np.equal(model, n), np.equal(model, n + 1)) for n in (0, 2))
    require(np.logical_or(early, late), f"model must be 0 to 3 ({', '.join(YIELD_MODELS)}), not {model!r}")
    arguments = (area_mm2, defect_density_per_cm2)
    simple = np.where(np.equal(model, 0), poisson_yield(*arguments), murphy_yield(*arguments))
    mixed = np.where(np.equal(model, 2), seeds_yield(*arguments), negative_binomial_yield(*arguments, clustering))
    return np.where(np.less(model, 2), simple, mixed)


def implied_defect_density(yield_fraction, area_mm2, clustering=3.0):
    """Return the defects per cm2 that a reported yield means for a die of this area.

    Parameters
    ----------
    yield_fraction : float or array
        Fraction of dies that work.
    area_mm2 : float or array
        Area of those dies, mm2.
    clustering : float
        Alpha of the negative binomial.

    Returns
    -------
    float or array
        Defects per cm2. Traceable.

    Raises
    ------
    ValueError
        If the yield is no fraction or another argument not positive.

    Examples
    --------
    "55 % yield" is 0.66 defects per cm2 if the die has 100 mm2, a tenth of that if it has 1,000 mm2:

    >>> [round(float(implied_defect_density(0.55, area)), 3) for area in (100.0, 1000.0)]
    [0.662, 0.066]
    """
    positive_fraction(yield_fraction=yield_fraction)
    positive(area_mm2=area_mm2, clustering=clustering)
    return clustering * np.expm1(-np.log(yield_fraction) / clustering) / (area_mm2 / MM2_PER_CM2)


def yield_with_spares(area_mm2, defect_density_per_cm2, units: int, needed: int, unit_share):
    """Return the sellable fraction of dies made of equal units of which some may be dead.

    Parameters
    ----------
    area_mm2, defect_density_per_cm2 : float or array
        As in :func:`poisson_yield`.
    units, needed : int
        Units on the die, and units a product needs.
    unit_share : float or array
        Share of the die's area that the units take; a defect in the rest kills the die.

    Returns
    -------
    float or array
        Fraction of dies with enough live units. Traceable but for `units` and `needed`.

    Raises
    ------
    ValueError
        If `needed` is not between 0 and `units`, or `unit_share` is no fraction.

    Notes
    -----
    Poisson defects: the rest must be clean, and at least `needed` of `units` independent units.

    Examples
    --------
    A GPU with 144 processors of which 132 must work, on half of its area: 0.67 instead of 0.44.

    >>> round(float(yield_with_spares(814.0, 0.1, 144, 132, 0.5)), 2)
    0.67
    """
    require(0 <= needed <= units, f"needed must be between 0 and units ({units}), not {needed!r}")
    positive_fraction(unit_share=unit_share)
    defects = _defects_per_die(area_mm2, defect_density_per_cm2)
    dead_chance = -np.expm1(-defects * unit_share / units)
    enough = 0.0
    for dead in range(units - needed + 1):
        enough = enough + math.comb(units, dead) * dead_chance**dead * (1 - dead_chance) ** (units - dead)
    return np.exp(-defects * (1 - unit_share)) * enough


@dataclass(frozen=True)
class WaferMap:
    """A simulated wafer: lower left corners of its whole dies, defects on each, and where the defects fell."""

    width_mm: float
    height_mm: float
    x_mm: np.ndarray
    y_mm: np.ndarray
    defects: np.ndarray
    defect_x_mm: np.ndarray
    defect_y_mm: np.ndarray

    @property
    def yield_fraction(self) -> float:
        """Fraction of the dies without a defect."""
        return float(np.mean(self.defects == 0))


def simulate_wafer(
    width_mm: float,
    height_mm: float,
    defect_density_per_cm2: float,
    rng: np.random.Generator,
    clustering: float = np.inf,
    diameter_mm: float = 300.0,
    edge_mm: float = 0.0,
    offset_x_mm: float = 0.0,
    offset_y_mm: float = 0.0,
) -> WaferMap:
    """Throw random defects on a wafer and count them die by die.

    Parameters
    ----------
    width_mm, height_mm : float
        Sides of the die with its scribe line, mm.
    defect_density_per_cm2 : float
        Mean number of killing defects per cm2.
    rng : numpy.random.Generator
        Source of randomness; seed it for a wafer that comes back.
    clustering : float
        Infinite: every wafer has the same mean density (Poisson). Finite: the density of each wafer is drawn from
        a gamma law of this shape, so that dies of a wafer fail together and the mean yield is negative binomial.
    diameter_mm, edge_mm : float
        Wafer diameter and width of its unusable rim, mm.
    offset_x_mm, offset_y_mm : float
        Where a die corner stands from the centre, for example from :func:`place_dies`.

    Returns
    -------
    WaferMap
        Dies and defects.

    Raises
    ------
    ValueError
        If a side, the diameter or `clustering` is not positive, or the density negative.

    Examples
    --------
    >>> wafer = simulate_wafer(26.0, 814 / 26, 0.1, np.random.default_rng(7))
    >>> len(wafer.defects), round(wafer.yield_fraction, 2)
    (68, 0.4)
    """
    positive(width_mm=width_mm, height_mm=height_mm, diameter_mm=diameter_mm, clustering=clustering)
    at_least_zero(defect_density_per_cm2=defect_density_per_cm2, edge_mm=edge_mm)
    radius = diameter_mm / 2 - edge_mm
    positive(usable_radius_mm=radius)
    columns, rows = int(radius / width_mm) + 2, int(radius / height_mm) + 2
    x = (np.arange(-columns, columns + 1) * width_mm + offset_x_mm % width_mm)[None, :]
    y = (np.arange(-rows, rows + 1) * height_mm + offset_y_mm % height_mm)[:, None]
    far = np.hypot(np.maximum(np.abs(x), np.abs(x + width_mm)), np.maximum(np.abs(y), np.abs(y + height_mm)))
    whole = far <= radius

    density = defect_density_per_cm2
    if np.isfinite(clustering):
        density = rng.gamma(clustering, density / clustering)
    count = rng.poisson(density * np.pi * radius**2 / MM2_PER_CM2)
    distance, angle = radius * np.sqrt(rng.random(count)), 2 * np.pi * rng.random(count)
    defect_x, defect_y = distance * np.cos(angle), distance * np.sin(angle)

    hits = np.zeros(whole.shape, dtype=int)
    column, row = np.floor((defect_x - x[0, 0]) / width_mm), np.floor((defect_y - y[0, 0]) / height_mm)
    np.add.at(hits, (row.astype(int), column.astype(int)), 1)
    at_row, at_column = np.nonzero(whole)
    return WaferMap(width_mm, height_mm, x[0, at_column], y[at_row, 0], hits[whole], defect_x, defect_y)


def defect_density_after(months, start_per_cm2, floor_per_cm2, time_constant_months):
    """Return the defect density of a ramping process: it falls towards a floor, by the same share each month.

    Parameters
    ----------
    months : float or array
        Time since the start of the ramp.
    start_per_cm2, floor_per_cm2 : float
        Defects per cm2 at the start and in maturity.
    time_constant_months : float
        Time in which the excess over the floor shrinks to 1/e.

    Returns
    -------
    float or array
        Defects per cm2. Traceable.

    Raises
    ------
    ValueError
        If months or a density is negative or the time constant not positive.

    Examples
    --------
    >>> round(float(defect_density_after(6.0, 0.5, 0.1, 6.0)), 3)
    0.247
    """
    at_least_zero(months=months, start_per_cm2=start_per_cm2, floor_per_cm2=floor_per_cm2)
    positive(time_constant_months=time_constant_months)
    return floor_per_cm2 + (start_per_cm2 - floor_per_cm2) * np.exp(-months / time_constant_months)


def months_to_defect_density(target_per_cm2, start_per_cm2, floor_per_cm2, time_constant_months):
    """Return the months a ramp needs to reach a defect density; the inverse of :func:`defect_density_after`.

    Parameters
    ----------
    target_per_cm2 : float or array
        Defects per cm2 to reach, above the floor and at most the start.
    start_per_cm2, floor_per_cm2, time_constant_months : float
        As in :func:`defect_density_after`.

    Returns
    -------
    float or array
        Months. Traceable.

    Raises
    ------
    ValueError
        If the target is not between the floor and the start.

    Examples
    --------
    >>> round(float(months_to_defect_density(0.2, 0.5, 0.1, 6.0)), 1)
    8.3
    """
    positive(time_constant_months=time_constant_months)
    require(
        np.greater(target_per_cm2, floor_per_cm2),
        f"target_per_cm2 must be above the floor {floor_per_cm2!r}, not {target_per_cm2!r}",
    )
    require(
        np.less_equal(target_per_cm2, start_per_cm2),
        f"target_per_cm2 must be at most the start {start_per_cm2!r}, not {target_per_cm2!r}",
    )
    return time_constant_months * np.log((start_per_cm2 - floor_per_cm2) / (target_per_cm2 - floor_per_cm2))


# --- what one costs -----------------------------------------------------------------------------------------------


def die_cost(wafer_price_usd, dies, yield_fraction):
    """Return the cost of a working die: the wafer's price over its good dies.

    Parameters
    ----------
    wafer_price_usd : float or array
        Price of a processed wafer, USD.
    dies : float or array
        Whole dies on it.
    yield_fraction : float or array
        Fraction of them that work.

    Returns
    -------
    float or array
        USD for each good die. Traceable.

    Raises
    ------
    ValueError
        If the price is negative, there is no die, or the yield is no fraction.

    Examples
    --------
    An H100-sized die on a $16,000 wafer at 0.1 defects per cm2:

    >>> round(float(die_cost(16_000.0, dies_per_wafer(814.0), negative_binomial_yield(814.0, 0.1))))
    518
    """
    at_least_zero(wafer_price_usd=wafer_price_usd)
    positive(dies=dies)
    positive_fraction(yield_fraction=yield_fraction)
    return wafer_price_usd / (dies * yield_fraction)


def price_per_billion_transistors(price_usd, area_mm2, density_mtr_per_mm2):
    """Return USD per billion transistors of a piece of silicon: a whole wafer, or a good die.

    Parameters
    ----------
    price_usd : float or array
        Price of the piece, USD.
    area_mm2 : float or array
        Its area, mm2.
    density_mtr_per_mm2 : float or array
        Million transistors per mm2.

    Returns
    -------
    float or array
        USD per 1e9 transistors. Traceable.

    Raises
    ------
    ValueError
        If the price is negative or another argument not positive.

    Examples
    --------
    A $16,000 wafer at the 137.6 million per mm2 measured on N5:

    >>> round(price_per_billion_transistors(16_000.0, wafer_area_mm2(), 137.6), 2)
    1.65
    """
    at_least_zero(price_usd=price_usd)
    positive(area_mm2=area_mm2, density_mtr_per_mm2=density_mtr_per_mm2)
    return price_usd / (area_mm2 * density_mtr_per_mm2 / 1e3)


@dataclass(frozen=True)
class AssembledCost:
    """What a packaged part costs, USD: its silicon, its package, what failed assembly wastes, and the sum."""

    part_area_mm2: float
    part_yield: float
    silicon_usd: float
    package_usd: float
    lost_usd: float
    total_usd: float


def assembled_cost(
    area_mm2,
    parts,
    wafer_price_usd,
    defect_density_per_cm2,
    bonding_yield,
    package_usd,
    overhead_fraction=0.1,
    model=3,
    clustering=3.0,
    diameter_mm=300.0,
) -> AssembledCost:
    """Return the cost of a chip made as one die or cut into equal chiplets.

    Parameters
    ----------
    area_mm2 : float or array
        Area that the functions of the chip need, mm2, as one die.
    parts : int or array
        Number of dies it is cut into; 1 for one die.
    wafer_price_usd, defect_density_per_cm2 : float or array
        As in :func:`die_cost` and :func:`poisson_yield`.
    bonding_yield : float or array
        Chance that one die is attached without loss; one failure wastes the whole package.
    package_usd : float or array
        Interposer or substrate, and assembly, USD.
    overhead_fraction : float or array
        Area that links between chiplets add to each, if there are several.
    model, clustering : int, float
        As in :func:`die_yield`.
    diameter_mm : float
        Usable wafer diameter, mm.

    Returns
    -------
    AssembledCost
        The parts of the cost. Traceable.

    Raises
    ------
    ValueError
        If there is less than one part, or as the functions it uses.

    Notes
    -----
    Dies are tested before assembly (known good dies). The cost of design and of masks is left out, and so is the
    scanner's field: see :func:`field_area_mm2`. The structure follows [1]_.

    References
    ----------
    .. [1] Y. Feng and K. Ma, Chiplet Actuary: a quantitative cost model and multi-chiplet architecture
       exploration, Proc. 59th ACM/IEEE Design Automation Conference, 2022, arXiv:2203.12268.

    Examples
    --------
    >>> one, four = (assembled_cost(800.0, n, 16_000.0, 0.1, 0.99, 100.0) for n in (1, 4))
    >>> round(float(one.total_usd)), round(float(four.total_usd))
    (608, 402)
    """
    require(np.greater_equal(parts, 1), f"parts must be 1 or more, not {parts!r}")
    at_least_zero(package_usd=package_usd, overhead_fraction=overhead_fraction)
    positive_fraction(bonding_yield=bonding_yield)
    part_area = area_mm2 / parts * np.where(np.greater(parts, 1), 1 + overhead_fraction, 1.0)
    part_yield = die_yield(part_area, defect_density_per_cm2, model, clustering)
    silicon = parts * die_cost(wafer_price_usd, dies_per_wafer(part_area, diameter_mm), part_yield)
    total = (silicon + package_usd) / np.power(bonding_yield, parts)
    return AssembledCost(part_area, part_yield, silicon, package_usd, total - silicon - package_usd, total)


def gross_margin(price_usd, cost_usd):
    """Return the share of a price that is left after the cost of making the thing.

    Parameters
    ----------
    price_usd, cost_usd : float or array
        Selling price and cost, USD.

    Returns
    -------
    float or array
        Fraction of the price; negative when sold at a loss. Traceable.

    Raises
    ------
    ValueError
        If the price is not positive or the cost negative.

    Examples
    --------
    A module that costs $3,320 and sells at $28,000:

    >>> round(gross_margin(28_000.0, 3_320.0), 3)
    0.881
    """
    positive(price_usd=price_usd)
    at_least_zero(cost_usd=cost_usd)
    return (price_usd - cost_usd) / price_usd


def capital_cost_per_wafer(capex_usd, wafers_per_month, years=5.0, utilisation=1.0):
    """Return the share of a fab's price that each wafer carries, written off evenly.

    Parameters
    ----------
    capex_usd : float or array
        Price of building and tools, USD.
    wafers_per_month : float or array
        Capacity, wafers started a month.
    years : float or array
        Time of the write-off.
    utilisation : float or array
        Fraction of the capacity in use.

    Returns
    -------
    float or array
        USD per wafer. Traceable.

    Raises
    ------
    ValueError
        If an argument is not positive, or `utilisation` is above 1.

    Examples
    --------
    A $25 billion fab of 40,000 wafers a month:

    >>> round(capital_cost_per_wafer(25e9, 40_000))
    10417
    """
    positive(capex_usd=capex_usd, wafers_per_month=wafers_per_month, years=years)
    positive_fraction(utilisation=utilisation)
    return capex_usd / (wafers_per_month * utilisation * 12 * years)


# --- how fine light can draw --------------------------------------------------------------------------------------


def half_pitch_nm(k1, wavelength_nm, numerical_aperture):
    """Return Rayleigh's smallest half pitch, ``k1 lambda / NA``.

    Parameters
    ----------
    k1 : float or array
        Process factor; 0.25 is the limit of one exposure.
    wavelength_nm : float or array
        Wavelength of the light, nm.
    numerical_aperture : float or array
        NA of the lens.

    Returns
    -------
    float or array
        Half of the period of the densest lines, nm. Traceable.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    EUV at 0.33 and at 0.55:

    >>> [round(half_pitch_nm(0.32, 13.5, na), 1) for na in (0.33, 0.55)]
    [13.1, 7.9]
    """
    positive(k1=k1, wavelength_nm=wavelength_nm, numerical_aperture=numerical_aperture)
    return k1 * wavelength_nm / numerical_aperture


def depth_of_focus_nm(k2, wavelength_nm, numerical_aperture):
    """Return the depth in which the image stays sharp, ``k2 lambda / NA^2`` (for small apertures).

    Parameters
    ----------
    k2 : float or array
        Process factor.
    wavelength_nm, numerical_aperture : float or array
        As in :func:`half_pitch_nm`.

    Returns
    -------
    float or array
        Depth, nm. Traceable.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    The price of a larger aperture: 0.55 keeps 36 % of the focus of 0.33.

    >>> round(depth_of_focus_nm(1.0, 13.5, 0.55) / depth_of_focus_nm(1.0, 13.5, 0.33), 2)
    0.36
    """
    positive(k2=k2, wavelength_nm=wavelength_nm, numerical_aperture=numerical_aperture)
    return k2 * wavelength_nm / numerical_aperture**2


def exposure_passes(target_half_pitch_nm, single_half_pitch_nm):
    """Return the exposures that one layer needs when each draws every n-th line.

    Parameters
    ----------
    target_half_pitch_nm : float or array
        Half pitch of the pattern, nm.
    single_half_pitch_nm : float or array
        Half pitch that one exposure resolves, nm; see :func:`half_pitch_nm`.

    Returns
    -------
    float or array
        Passes, a whole number from 1. Traceable.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    Lines of 18 nm by immersion DUV (38 nm) and by EUV (13 nm):

    >>> [int(exposure_passes(18.0, single)) for single in (38.0, 13.0)]
    [3, 1]
    """
    positive(target_half_pitch_nm=target_half_pitch_nm, single_half_pitch_nm=single_half_pitch_nm)
    return np.maximum(np.ceil(single_half_pitch_nm / target_half_pitch_nm - 1e-9), 1.0)


def field_area_mm2(mask_width_mm, mask_height_mm, reduction_x=4.0, reduction_y=4.0):
    """Return the largest area that one exposure draws: the reticle limit.

    Parameters
    ----------
    mask_width_mm, mask_height_mm : float or array
        Sides of the pattern on the mask, mm.
    reduction_x, reduction_y : float or array
        Demagnification in each direction.

    Returns
    -------
    float or array
        Area on the wafer, mm2. Traceable.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    Today's scanners, and High-NA with its anamorphic optics:

    >>> field_area_mm2(104.0, 132.0), field_area_mm2(104.0, 132.0, 4.0, 8.0)
    (858.0, 429.0)
    """
    positive(mask_width_mm=mask_width_mm, mask_height_mm=mask_height_mm)
    positive(reduction_x=reduction_x, reduction_y=reduction_y)
    return mask_width_mm / reduction_x * (mask_height_mm / reduction_y)


def mirror_transmission(reflectivity, mirrors):
    """Return the light left after a row of mirrors.

    Parameters
    ----------
    reflectivity : float or array
        Fraction that one mirror reflects.
    mirrors : int or array
        Mirrors in the path.

    Returns
    -------
    float or array
        Fraction of the light. Traceable.

    Raises
    ------
    ValueError
        If `reflectivity` is no fraction or `mirrors` negative.

    Examples
    --------
    >>> round(float(mirror_transmission(0.7, 10)), 3)
    0.028
    """
    positive_fraction(reflectivity=reflectivity)
    at_least_zero(mirrors=mirrors)
    return np.power(reflectivity, mirrors)


def photons_per_nm2(dose_mj_per_cm2, wavelength_nm):
    """Return the photons that a dose puts on each square nanometre.

    Parameters
    ----------
    dose_mj_per_cm2 : float or array
        Exposure dose, mJ/cm2.
    wavelength_nm : float or array
        Wavelength, nm.

    Returns
    -------
    float or array
        Photons per nm2. Traceable.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    The same 30 mJ/cm2 is 20 EUV photons or 291 DUV photons: few photons, uneven lines.

    >>> [round(photons_per_nm2(30.0, wavelength)) for wavelength in (13.5, 193.0)]
    [20, 291]
    """
    positive(dose_mj_per_cm2=dose_mj_per_cm2, wavelength_nm=wavelength_nm)
    joule_per_nm2 = dose_mj_per_cm2 * 1e-3 / 1e14
    return joule_per_nm2 * wavelength_nm * 1e-9 / (constants.h * constants.c)


def throughput_at_dose(wafers_per_h, dose_mj_per_cm2, other_dose_mj_per_cm2, overhead_s=0.0):
    """Return a scanner's wafers per hour at another dose than the one it is quoted at.

    Parameters
    ----------
    wafers_per_h : float or array
        Quoted throughput.
    dose_mj_per_cm2, other_dose_mj_per_cm2 : float or array
        Dose of the quotation, and the wanted one, mJ/cm2.
    overhead_s : float or array
        Seconds a wafer takes whatever the dose (loading, alignment, stage moves); 0 gives the steepest answer.

    Returns
    -------
    float or array
        Wafers per hour. Traceable.

    Raises
    ------
    ValueError
        If a throughput or dose is not positive, or the overhead is negative or all of the wafer's time.

    Examples
    --------
    220 an hour at 30 mJ/cm2 is at least 132 at 50:

    >>> round(throughput_at_dose(220.0, 30.0, 50.0))
    132
    """
    positive(wafers_per_h=wafers_per_h, dose_mj_per_cm2=dose_mj_per_cm2, other_dose_mj_per_cm2=other_dose_mj_per_cm2)
    at_least_zero(overhead_s=overhead_s)
    exposing_s = HOUR / wafers_per_h - overhead_s
    require(np.greater(exposing_s, 0), f"overhead_s must be below the time of a wafer, not {overhead_s!r}")
    return HOUR / (overhead_s + exposing_s * other_dose_mj_per_cm2 / dose_mj_per_cm2)


def power_density_ratio(shrink, voltage_ratio):
    """Return how power per area changes when a chip is shrunk and clocked up as far as it goes.

    Parameters
    ----------
    shrink : float or array
        Factor by which every length falls (1.4 is one classic node).
    voltage_ratio : float or array
        New supply voltage over the old.

    Returns
    -------
    float or array
        New power density over the old. Traceable.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Notes
    -----
    Switching power is ``C V^2 f``: capacitance falls by the shrink, frequency rises by it, transistors per area
    rise by its square. Dennard's voltage, ``1 / shrink``, keeps the product at 1 [1]_.

    References
    ----------
    .. [1] R. H. Dennard et al., Design of ion-implanted MOSFET's with very small physical dimensions, IEEE J.
       Solid-State Circuits 9 (1974) 256-268.

    Examples
    --------
    With Dennard's voltage, and with one that no longer falls:

    >>> round(power_density_ratio(1.4, 1 / 1.4), 2), round(power_density_ratio(1.4, 1.0), 2)
    (1.0, 1.96)
    """
    positive(shrink=shrink, voltage_ratio=voltage_ratio)
    return (1 / shrink) * (voltage_ratio * voltage_ratio) * shrink * (shrink * shrink)
