"""An hour-by-hour year of a data-center campus: load, sun, reactor, gas and a battery, dispatched at least cost.

The weather is synthetic: clear-sky radiation from the position of the sun, and a seeded cloud model. It has the right
daily and yearly shape and a plausible spread, and it is no record of any place.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy import optimize, signal, sparse, special

from aistack.checks import require

__all__ = [
    "Campus",
    "Dispatch",
    "clear_sky",
    "cloud_cover",
    "dispatch",
    "gas_carbon",
    "load_profile",
    "merit_order",
    "refuelling",
    "solar_profile",
    "sun_height",
]

HOURS = 8760  #: hours in a year of 365 days
KG_CO2_PER_MMBTU = 53.07  #: burning natural gas; US Energy Information Administration


def sun_height(latitude_deg: float, hours: int = HOURS) -> np.ndarray:
    """Return the sine of the sun's elevation in the middle of each hour, solar time, from 1 January; shape (hours,).

    Parameters
    ----------
    latitude_deg : float
        Degrees north.
    hours : int
        Hours, from midnight.

    Raises
    ------
    ValueError
        If the latitude is beyond 90 degrees.

    References
    ----------
    P. I. Cooper, "The absorption of radiation in solar stills", Solar Energy 12 (1969): the declination.

    Examples
    --------
    Above the tropic the sun is never in the zenith; at 40 degrees north on 21 June it reaches 73.45 degrees:

    >>> float(np.degrees(np.arcsin(sun_height(40).max())).round(1))
    72.3

    (the middle of the hour is half an hour from noon).
    """
    require(abs(latitude_deg) <= 90, f"latitude_deg must be from -90 to 90, not {latitude_deg!r}")
    hour = np.arange(hours) + 0.5
    day = np.floor(hour / 24) + 1
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day) / 365)
    angle = np.pi / 12 * (hour % 24 - 12)
    latitude = np.radians(latitude_deg)
    return np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(angle)


def clear_sky(height) -> np.ndarray:
    """Return the radiation on level ground under a clear sky, in W/m2, for the sine of the sun's elevation.

    References
    ----------
    B. Haurwitz, "Insolation in relation to cloudiness and cloud density", Journal of Meteorology 2 (1945).

    Examples
    --------
    >>> clear_sky(np.array([-0.2, 1.0])).round().tolist()
    [0.0, 1035.0]
    """
    up = np.maximum(height, 1e-6)
    return np.where(np.asarray(height) > 0, 1098 * up * np.exp(-0.059 / up), 0.0)


def cloud_cover(
    rng: np.random.Generator, hours: int = HOURS, persistence_h: float = 12.0, shift: float = 0.0
) -> np.ndarray:
    """Return a synthetic share of the sky under cloud, hour by hour; shape (hours,), each 0 to 1.

    Parameters
    ----------
    rng : numpy.random.Generator
        Seeded, so that a year can be repeated.
    hours : int
        Hours.
    persistence_h : float
        Hours after which the correlation has fallen to 1/e.
    shift : float
        0 makes every cover equally frequent; below 0 is sunnier, above 0 cloudier.

    Notes
    -----
    A first-order autoregressive Gaussian, mapped to 0-1 through the normal distribution.

    Raises
    ------
    ValueError
        If the persistence is not positive.
    """
    require(persistence_h > 0, f"persistence_h must be positive, not {persistence_h!r}")
    memory = np.exp(-1 / persistence_h)
    noise = rng.standard_normal(hours)
    noise[1:] *= np.sqrt(1 - memory**2)
    return special.ndtr(signal.lfilter([1], [1, -memory], noise) + shift)


def solar_profile(
    latitude_deg: float, rng: np.random.Generator, performance: float = 0.85, shift: float = -0.5
) -> np.ndarray:
    """Return the output of level solar panels for a W of their rating, hour by hour; shape (8760,), synthetic.

    Parameters
    ----------
    latitude_deg : float
        Degrees north.
    rng : numpy.random.Generator
        Seeded.
    performance : float
        Share of the rated output that is left after heat, dirt, wiring and inverters.
    shift : float
        As in :func:`cloud_cover`.

    References
    ----------
    F. Kasten, G. Czeplak, "Solar and terrestrial radiation dependent on the amount and type of cloud",
    Solar Energy 24 (1980): the clear-sky radiation times 1 - 0.75 n**3.4 under a cloud cover n.

    Examples
    --------
    >>> year = solar_profile(33, np.random.default_rng(5))
    >>> len(year), bool(0.15 < year.mean() < 0.25), year[:6].tolist()
    (8760, True, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    """
    cover = cloud_cover(rng, shift=shift)
    return performance * clear_sky(sun_height(latitude_deg)) * (1 - 0.75 * cover**3.4) / 1000


def load_profile(it_mw: float, pue_winter: float, pue_summer: float) -> np.ndarray:
    """Return what the campus draws, hour by hour, in MW; shape (8760,): steady chips, cooling that follows the season.

    Parameters
    ----------
    it_mw : float
        IT power, MW, steady.
    pue_winter, pue_summer : float
        PUE in mid January and mid July; between them a cosine.

    Raises
    ------
    ValueError
        If the power is not positive or a PUE is below 1.

    Examples
    --------
    >>> load = load_profile(800, 1.1, 1.3)
    >>> load.min().round(), load.max().round(), load.mean().round()
    (np.float64(880.0), np.float64(1040.0), np.float64(960.0))
    """
    require(it_mw > 0, f"it_mw must be positive, not {it_mw!r}")
    require(min(pue_winter, pue_summer) >= 1, f"a PUE must be 1 or more, not {min(pue_winter, pue_summer)!r}")
    season = (1 - np.cos(2 * np.pi * (np.arange(HOURS) / 24 - 15) / 365)) / 2
    return it_mw * (pue_winter + (pue_summer - pue_winter) * season)


def refuelling(start_day: int, days: int) -> np.ndarray:
    """Return a reactor's availability: 1, but 0 while it is refuelled; shape (8760,).

    Raises
    ------
    ValueError
        If the outage does not lie within the year.

    Examples
    --------
    >>> float(refuelling(100, 30).mean().round(3))
    0.918
    """
    require(start_day >= 0 and days >= 0 and start_day + days <= 365, "the outage must lie within days 0 to 365")
    running = np.ones(HOURS)
    running[24 * start_day : 24 * (start_day + days)] = 0
    return running


def gas_carbon(heat_rate_btu_per_kwh: float) -> float:
    """Return the tonnes of CO2 for a MWh from gas burnt at this heat rate.

    Raises
    ------
    ValueError
        If the heat rate is below 3,412 Btu a kWh, which is an efficiency of 100 %.

    Examples
    --------
    >>> round(gas_carbon(7740), 3)
    0.411
    """
    require(heat_rate_btu_per_kwh >= 3412, f"heat_rate_btu_per_kwh must be 3412 or more, not {heat_rate_btu_per_kwh!r}")
    return heat_rate_btu_per_kwh * KG_CO2_PER_MMBTU / 1e6


@dataclass(frozen=True)
class Campus:
    """Plants of a campus and what running them costs; powers in MW, energy in MWh."""

    solar_mw: float
    nuclear_mw: float
    gas_mw: float
    battery_mw: float
    battery_mwh: float
    gas_usd_per_mwh: float  #: fuel (and carbon price) for a MWh
    nuclear_usd_per_mwh: float
    gas_t_per_mwh: float  #: tonnes of CO2 for a MWh
    battery_usd_per_mwh: float = 1.0  #: wear, for a MWh discharged
    efficiency: float = 0.85  #: of a round trip
    unserved_usd_per_mwh: float = 10_000.0  #: value of a MWh that the chips do not get

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            require(value >= 0, f"{field.name} must be zero or more, not {value!r}")
        require(0 < self.efficiency <= 1, f"efficiency must be above 0 and at most 1, not {self.efficiency!r}")


@dataclass(frozen=True)
class Dispatch:
    """A year of a campus, hour by hour, in MW; `stored_mwh` stands at the end of each hour."""

    campus: Campus
    load_mw: np.ndarray
    solar_mw: np.ndarray
    nuclear_mw: np.ndarray
    gas_mw: np.ndarray
    charge_mw: np.ndarray
    discharge_mw: np.ndarray
    unserved_mw: np.ndarray
    stored_mwh: np.ndarray
    spilled_mw: np.ndarray  #: sun that nobody could use

    @property
    def balance_error_mw(self) -> float:
        """Largest gap between supply and demand in any hour, and in the battery's books."""
        supply = self.solar_mw + self.nuclear_mw + self.gas_mw + self.discharge_mw + self.unserved_mw
        one_way = np.sqrt(self.campus.efficiency)
        gained = self.charge_mw * one_way - self.discharge_mw / one_way
        return float(
            max(
                np.abs(supply - self.load_mw - self.charge_mw).max(),
                np.abs(self.stored_mwh - np.roll(self.stored_mwh, 1) - gained).max(),
            )
        )

    @property
    def co2_t(self) -> float:
        """Tonnes of CO2 in the year, from burning gas alone."""
        return float(self.gas_mw.sum() * self.campus.gas_t_per_mwh)

    @property
    def cost_usd(self) -> float:
        """Running cost of the year, USD; no capital, and nothing for unserved load."""
        c = self.campus
        return float(
            self.gas_mw.sum() * c.gas_usd_per_mwh
            + self.nuclear_mw.sum() * c.nuclear_usd_per_mwh
            + self.discharge_mw.sum() * c.battery_usd_per_mwh
        )

    def shares(self) -> dict[str, float]:
        """Share of the year's load that each source met; the battery's is what it gave, less what it took."""
        served = {
            "solar": self.solar_mw.sum(), "nuclear": self.nuclear_mw.sum(), "gas": self.gas_mw.sum(),
            "battery": self.discharge_mw.sum() - self.charge_mw.sum(), "unserved": self.unserved_mw.sum(),
        }  # fmt: skip
        return {name: float(energy / self.load_mw.sum()) for name, energy in served.items()}


def _inputs(campus: Campus, load_mw, solar, nuclear):
    load_mw = np.asarray(load_mw, dtype=float)
    sun = campus.solar_mw * np.asarray(solar, dtype=float)
    reactor = campus.nuclear_mw * np.asarray(nuclear, dtype=float)
    shapes = load_mw.shape, sun.shape, reactor.shape
    require(
        len(set(shapes)) == 1 and load_mw.ndim == 1, f"load_mw, solar and nuclear must be equally long, not {shapes}"
    )
    require(np.min([load_mw.min(), sun.min(), reactor.min()]) >= 0, "load_mw, solar and nuclear must not be negative")
    return load_mw, sun, reactor


def dispatch(campus: Campus, load_mw, solar, nuclear) -> Dispatch:
    """Run the campus at the least cost over the whole period, knowing the weather: a sparse linear program (HiGHS).

    Parameters
    ----------
    campus : Campus
        Plants and costs.
    load_mw : array of shape (n,)
        Demand in each hour, MW.
    solar, nuclear : array of shape (n,)
        What the panels and the reactor can give for a MW of their rating in each hour.

    Returns
    -------
    Dispatch
        The battery ends as full as it began.

    Raises
    ------
    ValueError
        If the lists differ in length or hold a negative number.

    Notes
    -----
    For each hour seven unknowns (sun used, reactor, gas, charge, discharge, unserved, stored) and two equations: supply
    equals demand, and what is stored follows from the hour before.

    Examples
    --------
    A night of four hours after a day of four, with a battery for half the night's need:

    >>> campus = Campus(2.5, 0, 1, 1, 2, 30, 10, 0.4, efficiency=1.0)
    >>> day = dispatch(campus, np.ones(8), [1] * 4 + [0] * 4, np.ones(8))
    >>> round(float(day.gas_mw.sum()), 6), round(float(day.discharge_mw.sum()), 6)
    (2.0, 2.0)
    """
    load_mw, sun, reactor = _inputs(campus, load_mw, solar, nuclear)
    n = len(load_mw)
    one, zero = sparse.identity(n, format="csr"), sparse.csr_matrix((n, n))
    before = sparse.csr_matrix((np.ones(n), (np.arange(n), np.arange(n) - 1 + n * (np.arange(n) == 0))), shape=(n, n))
    one_way = np.sqrt(campus.efficiency)
    equations = sparse.bmat(
        [
            [one, one, one, -one, one, one, None],
            [None, None, None, -one_way * one, one / one_way, zero, one - before],
        ],
        format="csr",
    )
    price = [
        0,
        campus.nuclear_usd_per_mwh,
        campus.gas_usd_per_mwh,
        0,
        campus.battery_usd_per_mwh,
        campus.unserved_usd_per_mwh,
        0,
    ]
    most = [
        sun,
        reactor,
        np.full(n, campus.gas_mw),
        np.full(n, campus.battery_mw),
        np.full(n, campus.battery_mw),
        load_mw,
        np.full(n, campus.battery_mwh),
    ]
    found = optimize.linprog(
        np.repeat(np.array(price, dtype=float), n),
        A_eq=equations,
        b_eq=np.concatenate([load_mw, np.zeros(n)]),
        bounds=np.stack([np.zeros(7 * n), np.concatenate(most)], axis=1),
        method="highs",
    )
    require(found.status == 0, f"no dispatch found: {found.message}")
    used, nuclear_mw, gas, charge, discharge, unserved, stored = found.x.reshape(7, n)
    return Dispatch(campus, load_mw, used, nuclear_mw, gas, charge, discharge, unserved, stored, sun - used)


def merit_order(campus: Campus, load_mw, solar, nuclear) -> Dispatch:
    """Run the campus hour by hour without looking ahead: sun, reactor, battery, gas, in this order.

    The battery takes only spare sun and spare nuclear power and gives as soon as there is a gap. The reference that the
    linear program must beat or equal. It begins with the battery empty; `stored_mwh` may end above that, and the first
    hour of the books is then off by as much.

    Parameters
    ----------
    campus, load_mw, solar, nuclear
        As in :func:`dispatch`.

    Returns
    -------
    Dispatch
        The year.

    Raises
    ------
    ValueError
        If the lists differ in length or hold a negative number.

    Examples
    --------
    >>> campus = Campus(2.5, 0, 1, 1, 2, 30, 10, 0.4, efficiency=1.0)
    >>> float(merit_order(campus, np.ones(8), [1] * 4 + [0] * 4, np.ones(8)).gas_mw.sum())
    2.0
    """
    load_mw, sun, reactor = _inputs(campus, load_mw, solar, nuclear)
    one_way = np.sqrt(campus.efficiency)
    rows, stored = [], 0.0
    for need, sunshine, ready in zip(load_mw, sun, reactor, strict=True):
        room = min(campus.battery_mw, (campus.battery_mwh - stored) / one_way)
        used = min(sunshine, need + room)
        running = min(ready, need + room - used)
        charge = max(used + running - need, 0.0)
        gap = need + charge - used - running
        discharge = min(gap, campus.battery_mw, stored * one_way)
        gas = min(gap - discharge, campus.gas_mw)
        stored += charge * one_way - discharge / one_way
        rows.append((used, running, gas, charge, discharge, gap - discharge - gas, stored, sunshine - used))
    return Dispatch(campus, load_mw, *np.array(rows).T)
