"""Layer 5, data centers: what a cluster draws, how its heat leaves, what the money buys, how often it stands still.

Powers are watts, energies kWh or MWh as the name says, money USD, carbon intensities grams of CO2 a kWh. All functions
but :func:`available_units` use numpy operators only, so that an explorer can trace them; they broadcast over arrays.
The hour-by-hour year of a campus is in :mod:`aistack.campus`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from aistack.checks import at_least_one, at_least_zero, fraction, positive, require
from aistack.units import HOURS_PER_YEAR, KWH

__all__ = [
    "AIR_DENSITY_KG_PER_M3",
    "AIR_HEAT_J_PER_KG_K",
    "CFM_PER_M3_PER_S",
    "WATER_HEAT_J_PER_KG_K",
    "WATER_LATENT_J_PER_KG",
    "ClusterPower",
    "Fleet",
    "GigawattBuys",
    "air_flow",
    "air_speed",
    "annual_energy",
    "annuity",
    "available_units",
    "capex_intensity",
    "capex_path",
    "capex_to_fleet",
    "carbon_usage_effectiveness",
    "chain_availability",
    "cluster_power",
    "downtime_hours",
    "evaporation",
    "facility_power",
    "fan_power",
    "gigawatt_buys",
    "gpu_hour_cost",
    "growth_rate",
    "heat_carried_by_air",
    "heat_carried_by_evaporation",
    "installed_base",
    "it_power",
    "mean_power",
    "outage_cost",
    "power_usage_effectiveness",
    "query_carbon",
    "query_water",
    "ride_through",
    "to_cfm",
    "water_flow",
    "water_use",
]

AIR_HEAT_J_PER_KG_K = 1005.0  #: dry air near 25 C at constant pressure
AIR_DENSITY_KG_PER_M3 = 1.184  #: dry air, 25 C, 101,325 Pa
WATER_HEAT_J_PER_KG_K = 4180.0  #: liquid water near 25 C
WATER_LATENT_J_PER_KG = 2.44e6  #: to evaporate water at 25 C
WATER_KG_PER_L = 0.997  #: liquid water at 25 C
CFM_PER_M3_PER_S = 60 / 0.3048**3  #: cubic feet a minute in a cubic metre a second (exact: a foot is 0.3048 m)


# --- power --------------------------------------------------------------------------------------------------------


def it_power(chips, tdp_w, host_fraction=0.0):
    """Return the IT power of a cluster at full load, in W.

    Parameters
    ----------
    chips : float or array
        Accelerators.
    tdp_w : float or array
        Thermal design power of one, W.
    host_fraction : float or array
        Power of CPUs, memory, network and storage as a fraction of the accelerators' (0: chips alone).

    Returns
    -------
    float or array
        W. Traceable.

    Raises
    ------
    ValueError
        If an argument is negative.

    Examples
    --------
    100,000 H100 draw 70 MW before anything else is counted:

    >>> it_power(100_000, 700) / 1e6
    70.0
    """
    at_least_zero(chips=chips, tdp_w=tdp_w, host_fraction=host_fraction)
    return chips * tdp_w * (1 + host_fraction)


def facility_power(it_power_w, pue):
    """Return what the grid must deliver for an IT power, in W: the IT power times the PUE.

    Parameters
    ----------
    it_power_w : float or array
        Power of the IT equipment, W.
    pue : float or array
        Power usage effectiveness, 1 or more.

    Returns
    -------
    float or array
        W. Traceable.

    Raises
    ------
    ValueError
        If the power is negative or the PUE is below 1.

    References
    ----------
    ISO/IEC 30134-2:2016, Power usage effectiveness.

    Examples
    --------
    >>> round(facility_power(70e6, 1.15) / 1e6, 1)
    80.5
    """
    at_least_zero(it_power_w=it_power_w)
    at_least_one(pue=pue)
    return it_power_w * pue


def mean_power(peak_power_w, utilisation, idle_fraction=0.0):
    """Return the mean power of equipment that is busy part of the time, in W.

    Parameters
    ----------
    peak_power_w : float or array
        Power at full load, W.
    utilisation : float or array
        Share of the time at full load, 0 to 1.
    idle_fraction : float or array
        Power at idle as a share of full power, 0 to 1.

    Returns
    -------
    float or array
        W. Traceable.

    Raises
    ------
    ValueError
        If the power is negative or a share is outside 0 to 1.

    Examples
    --------
    >>> round(mean_power(100e6, 0.8, idle_fraction=0.25) / 1e6, 1)
    85.0
    """
    at_least_zero(peak_power_w=peak_power_w)
    fraction(utilisation=utilisation, idle_fraction=idle_fraction)
    return peak_power_w * (idle_fraction + (1 - idle_fraction) * utilisation)


def annual_energy(power_w):
    """Return the energy of a steady power over a mean year of 8,766 hours, in kWh. Traceable.

    Parameters
    ----------
    power_w : float or array
        Mean power, W.

    Returns
    -------
    float or array
        kWh.

    Raises
    ------
    ValueError
        If the power is negative.

    Examples
    --------
    A gigawatt all year is 8.77 TWh:

    >>> annual_energy(1e9) / 1e9
    8.766
    """
    at_least_zero(power_w=power_w)
    return power_w * HOURS_PER_YEAR / 1e3


@dataclass(frozen=True)
class ClusterPower:
    """What a cluster draws and what that costs in a year."""

    it_power_w: Any
    facility_power_w: Any
    energy_kwh: Any
    cost_usd: Any
    co2_t: Any


def cluster_power(
    chips, tdp_w, pue, utilisation, price_usd_per_kwh, carbon_g_per_kwh, host_fraction=0.0, idle_fraction=0.0
) -> ClusterPower:
    """Return power, yearly energy, electricity bill and emissions of a cluster.

    Parameters
    ----------
    chips, tdp_w, host_fraction
        As in :func:`it_power`.
    pue : float or array
        Power usage effectiveness.
    utilisation, idle_fraction
        As in :func:`mean_power`; they reduce the energy, not the connection that has to be built.
    price_usd_per_kwh : float or array
        Electricity price, USD a kWh.
    carbon_g_per_kwh : float or array
        Carbon intensity of the electricity, g CO2 a kWh.

    Returns
    -------
    ClusterPower
        Powers at full load in W; energy in kWh, cost in USD and emissions in tonnes, each for a year. Traceable.

    Raises
    ------
    ValueError
        If an argument is negative, a share is above 1, or the PUE is below 1.

    Examples
    --------
    >>> year = cluster_power(100_000, 700, 1.15, 1.0, 0.07, 350)
    >>> round(year.facility_power_w / 1e6, 1), round(year.cost_usd / 1e6, 1), round(year.co2_t)
    (80.5, 49.4, 246982)
    """
    at_least_zero(price_usd_per_kwh=price_usd_per_kwh, carbon_g_per_kwh=carbon_g_per_kwh)
    it_w = it_power(chips, tdp_w, host_fraction)
    facility_w = facility_power(it_w, pue)
    energy_kwh = annual_energy(mean_power(facility_w, utilisation, idle_fraction))
    cost_usd, co2_t = energy_kwh * price_usd_per_kwh, energy_kwh * carbon_g_per_kwh / 1e6
    return ClusterPower(it_w, facility_w, energy_kwh, cost_usd, co2_t)


# --- PUE and its kin ----------------------------------------------------------------------------------------------


def power_usage_effectiveness(it_power_w, fixed_overhead_w, proportional_overhead=0.0):
    """Return the PUE of a site whose overhead is partly fixed and partly grows with the load.

    Parameters
    ----------
    it_power_w : float or array
        IT power, W.
    fixed_overhead_w : float or array
        Overhead that is there at any load (lights, idle losses, minimum fan speed), W.
    proportional_overhead : float or array
        Overhead in W for each W of IT power.

    Returns
    -------
    float or array
        PUE. Traceable.

    Raises
    ------
    ValueError
        If the IT power is not positive or an overhead is negative.

    Notes
    -----
    Because part of the overhead is fixed, removing idle servers saves energy and yet raises the PUE.

    Examples
    --------
    Halving a 10 MW load under 2 MW of fixed overhead saves 5 MW and looks worse:

    >>> [round(power_usage_effectiveness(p, 2e6), 2) for p in (10e6, 5e6)]
    [1.2, 1.4]
    """
    positive(it_power_w=it_power_w)
    at_least_zero(fixed_overhead_w=fixed_overhead_w, proportional_overhead=proportional_overhead)
    return 1 + proportional_overhead + fixed_overhead_w / it_power_w


def carbon_usage_effectiveness(pue, carbon_g_per_kwh):
    """Return grams of CO2 for a kWh of IT energy: the grid's intensity times the PUE. Traceable.

    Parameters
    ----------
    pue : float or array
        Power usage effectiveness, 1 or more.
    carbon_g_per_kwh : float or array
        Carbon intensity of the electricity, g a kWh.

    Returns
    -------
    float or array
        g CO2 a kWh of IT energy.

    Raises
    ------
    ValueError
        If the PUE is below 1 or the intensity is negative.

    Examples
    --------
    A poor building on a clean grid beats the best building on a dirty one (Norway 28 g, India 670 g):

    >>> carbon_usage_effectiveness(2.0, 28) < carbon_usage_effectiveness(1.06, 670)
    True
    """
    at_least_one(pue=pue)
    at_least_zero(carbon_g_per_kwh=carbon_g_per_kwh)
    return pue * carbon_g_per_kwh


def water_use(it_energy_kwh, on_site_l_per_kwh, off_site_l_per_kwh=0.0, pue=1.0):
    """Return the water behind an IT energy, in litres: evaporated on site, and used up where power is made.

    Parameters
    ----------
    it_energy_kwh : float or array
        Energy of the IT equipment, kWh.
    on_site_l_per_kwh : float or array
        Water usage effectiveness: litres on site for a kWh of IT energy.
    off_site_l_per_kwh : float or array
        Litres for a kWh of electricity at the power plant.
    pue : float or array
        Power usage effectiveness: the plant also makes the overhead's energy.

    Returns
    -------
    float or array
        Litres. Traceable.

    Raises
    ------
    ValueError
        If an argument is negative or the PUE is below 1.

    Examples
    --------
    The power plant's share is by far the larger (figures of the 2016 study of Lawrence Berkeley Laboratory):

    >>> round(water_use(1, 1.8), 2), round(water_use(1, 0, 7.6), 2)
    (1.8, 7.6)
    """
    at_least_zero(
        it_energy_kwh=it_energy_kwh, on_site_l_per_kwh=on_site_l_per_kwh, off_site_l_per_kwh=off_site_l_per_kwh
    )
    at_least_one(pue=pue)
    return it_energy_kwh * (on_site_l_per_kwh + off_site_l_per_kwh * pue)


def query_water(energy_wh, pue, on_site_l_per_kwh, off_site_l_per_kwh=0.0):
    """Return the water of one answer, in mL. Traceable.

    Parameters
    ----------
    energy_wh : float or array
        Energy of the answer at the wall, overhead included, Wh.
    pue, on_site_l_per_kwh, off_site_l_per_kwh
        As in :func:`water_use`.

    Returns
    -------
    float or array
        mL.

    Raises
    ------
    ValueError
        If an argument is negative or the PUE is below 1.

    Examples
    --------
    0.24 Wh and 0.26 mL an answer mean about 1.2 litres a kWh of IT energy:

    >>> round(query_water(0.24, 1.09, 1.18), 2)
    0.26
    """
    at_least_zero(energy_wh=energy_wh)
    return water_use(energy_wh / pue, on_site_l_per_kwh, off_site_l_per_kwh, pue)


def query_carbon(energy_wh, carbon_g_per_kwh):
    """Return the emissions of one answer, in g CO2. Traceable.

    Parameters
    ----------
    energy_wh : float or array
        Energy of the answer at the wall, overhead included, Wh.
    carbon_g_per_kwh : float or array
        Carbon intensity, g a kWh.

    Returns
    -------
    float or array
        g CO2.

    Raises
    ------
    ValueError
        If an argument is negative.

    Examples
    --------
    >>> round(query_carbon(0.24, 350), 3)
    0.084
    """
    at_least_zero(energy_wh=energy_wh, carbon_g_per_kwh=carbon_g_per_kwh)
    return energy_wh / 1e3 * carbon_g_per_kwh


# --- cooling ------------------------------------------------------------------------------------------------------


def air_flow(heat_w, delta_t_k):
    """Return the air needed to carry a heat away, in m3/s.

    Parameters
    ----------
    heat_w : float or array
        Heat to carry, W.
    delta_t_k : float or array
        How much warmer the air leaves than it came, K.

    Returns
    -------
    float or array
        m3/s of air at 25 C. Traceable.

    Raises
    ------
    ValueError
        If the heat is negative or the temperature rise is not positive.

    Notes
    -----
    Heat = density x heat capacity x flow x temperature rise.

    Examples
    --------
    A 140 kW rack with a 12 K rise needs ten cubic metres a second, over 20,000 cfm:

    >>> round(air_flow(140e3, 12), 1), round(float(to_cfm(air_flow(140e3, 12))), -2)
    (9.8, 20800.0)
    """
    at_least_zero(heat_w=heat_w)
    positive(delta_t_k=delta_t_k)
    return heat_w / (AIR_DENSITY_KG_PER_M3 * AIR_HEAT_J_PER_KG_K * delta_t_k)


def to_cfm(flow_m3_per_s):
    """Return a flow in cubic feet a minute. Traceable.

    Parameters
    ----------
    flow_m3_per_s : float or array
        Flow, m3/s.

    Returns
    -------
    float or array
        Cubic feet a minute.

    Examples
    --------
    >>> round(to_cfm(1.0), 1)
    2118.9
    """
    return flow_m3_per_s * CFM_PER_M3_PER_S


def air_speed(flow_m3_per_s, area_m2):
    """Return the mean speed of air through an opening, in m/s. Traceable.

    Parameters
    ----------
    flow_m3_per_s : float or array
        Flow, m3/s.
    area_m2 : float or array
        Free area, m2.

    Returns
    -------
    float or array
        m/s.

    Raises
    ------
    ValueError
        If the flow is negative or the area is not positive.

    Examples
    --------
    >>> round(air_speed(9.8, 1.4), 1)
    7.0
    """
    at_least_zero(flow_m3_per_s=flow_m3_per_s)
    positive(area_m2=area_m2)
    return flow_m3_per_s / area_m2


def heat_carried_by_air(area_m2, speed_m_per_s, delta_t_k):
    """Return the heat that air of a given speed carries out of a rack, in W: the inverse of the three above. Traceable.

    Parameters
    ----------
    area_m2 : float or array
        Free area of the rack's face, m2.
    speed_m_per_s : float or array
        Mean speed, m/s.
    delta_t_k : float or array
        Temperature rise, K.

    Returns
    -------
    float or array
        W.

    Raises
    ------
    ValueError
        If an argument is negative.

    Examples
    --------
    A face of 1.2 m2, half of it open, at a brisk 2 m/s and 15 K:

    >>> round(heat_carried_by_air(0.6, 2, 15) / 1e3)
    21
    """
    at_least_zero(area_m2=area_m2, speed_m_per_s=speed_m_per_s, delta_t_k=delta_t_k)
    return AIR_DENSITY_KG_PER_M3 * AIR_HEAT_J_PER_KG_K * area_m2 * speed_m_per_s * delta_t_k


def fan_power(flow_m3_per_s, pressure_pa, efficiency=0.5):
    """Return the power of the fans, in W: flow times pressure over efficiency.

    Parameters
    ----------
    flow_m3_per_s : float or array
        Flow, m3/s.
    pressure_pa : float or array
        Pressure that the fans raise at this flow, Pa.
    efficiency : float or array
        From shaft or plug to air, above 0 and at most 1.

    Returns
    -------
    float or array
        W. Traceable.

    Raises
    ------
    ValueError
        If flow or pressure is negative, or the efficiency is not above 0 and at most 1.

    Notes
    -----
    In a given rack the pressure grows with the square of the flow, so the power grows with its cube.

    Examples
    --------
    >>> round(fan_power(9.8, 400) / 1e3, 2)
    7.84
    """
    at_least_zero(flow_m3_per_s=flow_m3_per_s, pressure_pa=pressure_pa)
    positive(efficiency=efficiency)
    fraction(efficiency=efficiency)
    return flow_m3_per_s * pressure_pa / efficiency


def water_flow(heat_w, delta_t_k):
    """Return the water needed to carry a heat away, in litres a minute.

    Parameters
    ----------
    heat_w : float or array
        Heat to carry, W.
    delta_t_k : float or array
        How much warmer the water leaves than it came, K.

    Returns
    -------
    float or array
        L/min. Traceable.

    Raises
    ------
    ValueError
        If the heat is negative or the temperature rise is not positive.

    Examples
    --------
    The same 140 kW fit into a hose:

    >>> round(water_flow(140e3, 10))
    202
    """
    at_least_zero(heat_w=heat_w)
    positive(delta_t_k=delta_t_k)
    return heat_w / (WATER_HEAT_J_PER_KG_K * WATER_KG_PER_L * delta_t_k) * 60


def evaporation(heat_w):
    """Return the water that must evaporate to reject a heat, in litres an hour, when nothing else cools. Traceable.

    Parameters
    ----------
    heat_w : float or array
        Heat to reject, W.

    Returns
    -------
    float or array
        L/h.

    Raises
    ------
    ValueError
        If the heat is negative.

    Examples
    --------
    A kilowatt takes a litre and a half an hour:

    >>> round(evaporation(1e3), 2)
    1.48
    """
    at_least_zero(heat_w=heat_w)
    return heat_w / WATER_LATENT_J_PER_KG / WATER_KG_PER_L * 3600


def heat_carried_by_evaporation(flow_l_per_h):
    """Return the heat that evaporating water carries away, in W: the inverse of :func:`evaporation`. Traceable.

    Parameters
    ----------
    flow_l_per_h : float or array
        Water evaporated, L/h.

    Returns
    -------
    float or array
        W.

    Raises
    ------
    ValueError
        If the flow is negative.

    Examples
    --------
    >>> round(heat_carried_by_evaporation(evaporation(5e6)))
    5000000
    """
    at_least_zero(flow_l_per_h=flow_l_per_h)
    return flow_l_per_h / 3600 * WATER_KG_PER_L * WATER_LATENT_J_PER_KG


# --- money --------------------------------------------------------------------------------------------------------


def growth_rate(first, last, years):
    """Return the yearly rate that leads from one value to another. Traceable.

    Parameters
    ----------
    first, last : float or array
        Values at the two ends, positive.
    years : float or array
        Years between them, positive.

    Returns
    -------
    float or array
        Rate a year; 0.15 is 15 %.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    415 TWh in 2024 and 945 TWh in 2030:

    >>> round(float(growth_rate(415, 945, 6)), 3)
    0.147
    """
    positive(first=first, last=last, years=years)
    return np.power(last / first, 1 / years) - 1


def capex_path(filed_usd, growth, years):
    """Return a series that follows the filings and then grows at a steady rate.

    Parameters
    ----------
    filed_usd : array of shape (m,)
        Yearly figures, oldest first.
    growth : float
        Yearly growth after the last of them; may be traced.
    years : int
        Length of the series, at least m.

    Returns
    -------
    array of shape (years,)
        USD in each year. Traceable in `growth`.

    Raises
    ------
    ValueError
        If there is no figure, one is negative, `years` is too small, or the growth is -1 or less.

    Examples
    --------
    >>> capex_path([100.0, 200.0], 0.5, 4).tolist()
    [100.0, 200.0, 300.0, 450.0]
    """
    filed_usd = np.asarray(filed_usd, dtype=float)
    require(filed_usd.ndim == 1 and len(filed_usd) > 0, "filed_usd must be a list of yearly figures, oldest first")
    require(years >= len(filed_usd), f"years must be {len(filed_usd)} or more, the figures given, not {years!r}")
    at_least_zero(filed_usd=filed_usd)
    require(np.greater(growth, -1), f"growth must be above -1, not {growth!r}; give 0.3 for 30 % a year")
    known = np.minimum(np.arange(years), len(filed_usd) - 1)
    return filed_usd[known] * np.power(1 + growth, np.maximum(np.arange(years) - known, 0.0))


def capex_intensity(capex_usd, operating_cash_flow_usd):
    """Return the share of operating cash flow that capital spending takes. Traceable.

    Parameters
    ----------
    capex_usd : float or array
        Capital expenditure, USD.
    operating_cash_flow_usd : float or array
        Net cash from operating activities over the same period, USD.

    Returns
    -------
    float or array
        Ratio; above 1 the spending is borrowed or drawn from reserves.

    Raises
    ------
    ValueError
        If the spending is negative or the cash flow is not positive.

    Examples
    --------
    Amazon in 2025 (USD million):

    >>> round(capex_intensity(131_819, 139_514), 3)
    0.945
    """
    at_least_zero(capex_usd=capex_usd)
    positive(operating_cash_flow_usd=operating_cash_flow_usd)
    return capex_usd / operating_cash_flow_usd


def installed_base(bought, life_years):
    """Return how many of the units bought so far are still in use, year by year.

    Parameters
    ----------
    bought : array of shape (n,)
        Units bought in each year.
    life_years : float
        Years a unit stays in use, counted from the year it was bought; may be traced.

    Returns
    -------
    array of shape (n,)
        Units in use in each year. Traceable.

    Raises
    ------
    ValueError
        If the life is not positive.

    Examples
    --------
    >>> installed_base(np.array([1.0, 1.0, 1.0, 1.0]), 3).tolist()
    [1.0, 2.0, 3.0, 3.0]
    """
    positive(life_years=life_years)
    age = np.arange(len(bought))[:, None] - np.arange(len(bought))[None, :]
    in_use = np.where(np.logical_and(age >= 0, np.less(age, life_years)), 1.0, 0.0)
    return np.sum(in_use * bought, axis=1)


@dataclass(frozen=True)
class Fleet:
    """What a stream of capital spending buys, year by year."""

    capex_usd: Any
    chips_bought: Any
    chips_in_use: Any
    facility_power_w: Any


def capex_to_fleet(filed_usd, growth, years, ai_share, chip_share, price_usd, chip_power_w, pue, life_years) -> Fleet:
    """Return accelerators and power that capital spending pays for.

    Parameters
    ----------
    filed_usd, growth, years
        As in :func:`capex_path`.
    ai_share : float or array of shape (years,)
        Share of the spending that goes to AI, 0 to 1; an array where it differs by year (0 before the boom).
    chip_share : float
        Share of the AI spending that goes to accelerators (the rest: buildings, power, hosts, network), 0 to 1.
    price_usd : float
        Price of one accelerator, USD.
    chip_power_w : float
        IT power for one accelerator, its share of host and network included, W.
    pue : float
        Power usage effectiveness.
    life_years : float
        Years that an accelerator stays in use.

    Returns
    -------
    Fleet
        Arrays of shape (years,): USD, accelerators bought, accelerators in use, and W for those in use.
        Traceable in all but `filed_usd` and `years`.

    Raises
    ------
    ValueError
        If a share is outside 0 to 1, a price, power or life is not positive, or the PUE is below 1.

    Examples
    --------
    $450bn a year, half of it for chips at $35,000 and 1.4 kW each:

    >>> fleet = capex_to_fleet([450e9], 0.0, 1, 1.0, 0.5, 35_000, 1400, 1.15, 5)
    >>> [round(float(x), 1) for x in (fleet.chips_bought[0] / 1e6, fleet.facility_power_w[0] / 1e9)]
    [6.4, 10.3]
    """
    fraction(ai_share=ai_share, chip_share=chip_share)
    positive(price_usd=price_usd, chip_power_w=chip_power_w)
    capex_usd = capex_path(filed_usd, growth, years)
    bought = capex_usd * ai_share * chip_share / price_usd
    in_use = installed_base(bought, life_years)
    return Fleet(capex_usd, bought, in_use, facility_power(in_use * chip_power_w, pue))


@dataclass(frozen=True)
class GigawattBuys:
    """What a connection of a given power holds and costs."""

    chips: Any
    chip_cost_usd: Any
    building_cost_usd: Any
    energy_cost_usd_per_year: Any
    co2_t_per_year: Any


def gigawatt_buys(
    facility_power_w,
    pue,
    chip_power_w,
    price_usd,
    building_usd_per_w,
    price_usd_per_kwh,
    carbon_g_per_kwh,
    utilisation=1.0,
) -> GigawattBuys:
    """Return the chips that fit under a grid connection, and what they, the building and a year of power cost.

    Parameters
    ----------
    facility_power_w : float or array
        Power of the connection, W.
    pue : float or array
        Power usage effectiveness.
    chip_power_w : float or array
        IT power for one accelerator, its share of host and network included, W.
    price_usd : float or array
        Price for one accelerator, its share of host and network included, USD.
    building_usd_per_w : float or array
        Cost of the building for a W of IT load, USD.
    price_usd_per_kwh, carbon_g_per_kwh, utilisation
        As in :func:`cluster_power`.

    Returns
    -------
    GigawattBuys
        Traceable.

    Raises
    ------
    ValueError
        If an argument is negative, the chip's power is zero, or the PUE is below 1.

    Examples
    --------
    >>> site = gigawatt_buys(1e9, 1.2, 2000, 45_000, 11.7, 0.07, 350)
    >>> round(site.chips), round((site.chip_cost_usd + site.building_cost_usd) / 1e9, 1)
    (416667, 28.5)
    """
    positive(chip_power_w=chip_power_w)
    at_least_zero(
        facility_power_w=facility_power_w,
        price_usd=price_usd,
        building_usd_per_w=building_usd_per_w,
        price_usd_per_kwh=price_usd_per_kwh,
        carbon_g_per_kwh=carbon_g_per_kwh,
    )
    at_least_one(pue=pue)
    it_w = facility_power_w / pue
    chips = it_w / chip_power_w
    energy_kwh = annual_energy(mean_power(facility_power_w, utilisation))
    return GigawattBuys(
        chips,
        chips * price_usd,
        it_w * building_usd_per_w,
        energy_kwh * price_usd_per_kwh,
        energy_kwh * carbon_g_per_kwh / 1e6,
    )


def annuity(rate, life_years):
    """Return the yearly payment for each dollar borrowed, over a life. Traceable.

    Parameters
    ----------
    rate : float or array
        Interest a year, above 0 (0.08 for 8 %).
    life_years : float or array
        Years.

    Returns
    -------
    float or array
        USD a year for each USD.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> round(float(annuity(0.08, 5)), 4)
    0.2505
    """
    positive(rate=rate, life_years=life_years)
    return rate / (1 - np.power(1 + rate, -1.0 * life_years))


def gpu_hour_cost(
    price_usd,
    chip_power_w,
    pue,
    building_usd_per_w,
    price_usd_per_kwh,
    rate,
    life_years,
    building_life_years,
    utilisation,
):
    """Return what an hour of work on one accelerator costs its owner, in USD: chip, building and electricity.

    Parameters
    ----------
    price_usd : float or array
        Price for one accelerator, its share of host and network included, USD.
    chip_power_w : float or array
        IT power for one accelerator, its share of host and network included, W.
    pue : float or array
        Power usage effectiveness.
    building_usd_per_w : float or array
        Cost of the building for a W of IT load, USD.
    price_usd_per_kwh : float or array
        Electricity price, USD a kWh.
    rate : float or array
        Cost of capital a year.
    life_years, building_life_years : float or array
        Years over which chip and building are paid off.
    utilisation : float or array
        Share of the hours that are sold, above 0 and at most 1.

    Returns
    -------
    float or array
        USD for an hour sold. Traceable. Staff, software and profit are not in it.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> cost = gpu_hour_cost(40_000, 1_300, 1.2, 11.7, 0.07, 0.10, 5, 20, 0.8)
    >>> round(float(cost), 2)
    1.87
    """
    at_least_zero(price_usd=price_usd, building_usd_per_w=building_usd_per_w, price_usd_per_kwh=price_usd_per_kwh)
    positive(chip_power_w=chip_power_w, utilisation=utilisation)
    fraction(utilisation=utilisation)
    capital_usd_per_year = price_usd * annuity(rate, life_years) + chip_power_w * building_usd_per_w * annuity(
        rate, building_life_years
    )
    energy_usd_per_hour = facility_power(chip_power_w, pue) / 1e3 * price_usd_per_kwh
    return capital_usd_per_year / HOURS_PER_YEAR / utilisation + energy_usd_per_hour


# --- staying up ---------------------------------------------------------------------------------------------------


def downtime_hours(availability):
    """Return the hours a year that a site of this availability is down, out of 8,760. Traceable.

    Parameters
    ----------
    availability : float or array
        Share of the time that the site is up, 0 to 1.

    Returns
    -------
    float or array
        Hours in a year of 365 days, as the tier tables count.

    Raises
    ------
    ValueError
        If the availability is outside 0 to 1.

    Examples
    --------
    Tier I, 99.671 %:

    >>> round(downtime_hours(0.99671), 1)
    28.8
    """
    fraction(availability=availability)
    return 8760 * (1 - availability)


def chain_availability(*availabilities):
    """Return the availability of parts that must all work: the product. Traceable.

    Parameters
    ----------
    *availabilities : float or array
        Availability of each part, 0 to 1.

    Returns
    -------
    float or array
        Availability of the whole, if the parts fail independently.

    Raises
    ------
    ValueError
        If one is outside 0 to 1.

    Examples
    --------
    >>> round(chain_availability(0.999, 0.999, 0.999), 6)
    0.997003
    """
    whole = 1.0
    for part in availabilities:
        fraction(availability=part)
        whole = whole * part
    return whole


def available_units(availability, units, needed):
    """Return the probability that at least `needed` of `units` equal parts work.

    Parameters
    ----------
    availability : float or array
        Availability of one part, 0 to 1; may be traced.
    units : int
        Parts installed: N for no redundancy, N+1, 2N and so on.
    needed : int
        Parts that the load needs.

    Returns
    -------
    float or array
        Probability, if the parts fail independently.

    Raises
    ------
    ValueError
        If `needed` is not from 0 to `units`, or the availability is outside 0 to 1.

    Examples
    --------
    Four generators that each start 97 times in 100; one spare cuts the risk of falling short by more than ten:

    >>> [round(float(1 - available_units(0.97, n, 4)), 4) for n in (4, 5)]
    [0.1147, 0.0085]
    """
    fraction(availability=availability)
    require(0 <= needed <= units, f"needed must be from 0 to units ({units}), not {needed!r}")
    return sum(
        comb(units, up) * np.power(availability, up) * np.power(1 - availability, units - up)
        for up in range(needed, units + 1)
    )


def ride_through(energy_kwh, load_w, usable_fraction=1.0):
    """Return how long a battery carries a load, in seconds. Traceable.

    Parameters
    ----------
    energy_kwh : float or array
        Energy of the battery, kWh.
    load_w : float or array
        Load, W.
    usable_fraction : float or array
        Share of the energy that reaches the load, 0 to 1.

    Returns
    -------
    float or array
        Seconds.

    Raises
    ------
    ValueError
        If the energy is negative, the load is not positive, or the share is outside 0 to 1.

    Examples
    --------
    A megawatt-hour holds ten megawatts for six minutes:

    >>> ride_through(1000, 10e6) / 60
    6.0
    """
    at_least_zero(energy_kwh=energy_kwh)
    positive(load_w=load_w)
    fraction(usable_fraction=usable_fraction)
    return energy_kwh * KWH * usable_fraction / load_w


def outage_cost(downtime_h, usd_per_minute):
    """Return the cost of a downtime, in USD. Traceable.

    Parameters
    ----------
    downtime_h : float or array
        Hours down.
    usd_per_minute : float or array
        Cost of a minute, USD.

    Returns
    -------
    float or array
        USD.

    Raises
    ------
    ValueError
        If an argument is negative.

    Examples
    --------
    >>> outage_cost(1.6, 9000)
    864000.0
    """
    at_least_zero(downtime_h=downtime_h, usd_per_minute=usd_per_minute)
    return downtime_h * 60 * usd_per_minute
