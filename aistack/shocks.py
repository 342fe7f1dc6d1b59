"""What happens to everything above when one layer's supply fails: stages, stocks, and the compute that is in service.

The graph of ``data/supply_links.csv`` runs from the mine to accelerators that work. Each stage makes its part from the
parts of others in fixed proportions, keeps a stock, and catches up afterwards if it has capacity to spare. All amounts
are in accelerators: what one of them needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import networkx as nx
import numpy as np

from aistack import claims, data
from aistack.checks import at_least_zero, fraction, positive, require

__all__ = ["SERVICE", "Run", "Stage", "graph", "scenarios", "simulate", "stages", "static_limits"]

SERVICE = "service"  #: the accelerator that works: where all links end
REFILL_MONTHS = 3.0  #: months over which a stage fills a stock that is too small, or works off one that is too large
CATCH_UP_MONTHS = 12.0  #: months over which lost deliveries are made up, where there is room


@dataclass(frozen=True)
class Stage:
    """One stage of supply.

    Attributes
    ----------
    name, label, unit : str
        Name in the graph, what it is, unit of its amounts.
    layer : int
        Layer of the stack.
    per_accelerator : float or None
        Amount in one accelerator like the B200; None where no figure was found.
    low, capacity, high : float or None
        What the world makes a month, in `unit`.
    stock_months : float
        How long the stock after this stage lasts.
    note : str
        Caveats.
    """

    name: str
    label: str
    unit: str
    layer: int
    per_accelerator: float | None
    low: float | None
    capacity: float | None
    high: float | None
    stock_months: float
    note: str

    def accelerators(self) -> tuple[float, float] | None:
        """Return the accelerators a month that the capacity allows, low and high end; None where that is not known."""
        if self.capacity is None or self.per_accelerator is None:
            return None
        ends = [x for x in (self.low, self.capacity, self.high) if x is not None]
        return min(ends) / self.per_accelerator, max(ends) / self.per_accelerator


def _value(text) -> float | None:
    return claims.evaluate(text)[0] if isinstance(text, str) else None


@cache
def stages() -> dict[str, Stage]:
    """Return the stages of ``data/supply_stages.csv`` by name, givers before takers.

    Examples
    --------
    >>> list(stages())[-1]
    'hall'
    >>> round(stages()["package"].accelerators()[0], -3)
    933000.0
    """
    rows = data.load("supply_stages").set_index("stage", drop=False).to_dict("index")
    order = [n for n in nx.lexicographical_topological_sort(graph(), key=list([*rows, SERVICE]).index) if n != SERVICE]
    return {
        name: Stage(
            name,
            row["label"],
            row["unit"],
            int(row["layer"]),
            _value(row["per_accelerator"]),
            _value(row["makes_from"]),
            _value(row["makes"]),
            _value(row["makes_up_to"]),
            float(row["stock_months"]),
            row["note"],
        )
        for name in order
        for row in [rows[name]]
    }


@cache
def graph() -> nx.DiGraph:
    """Return the graph of supply; an edge carries ``share``, the part of what the giver makes that goes this way.

    Raises
    ------
    DataError
        If the links run in a circle, or the shares of a giver do not add up to one.
    """
    links = nx.DiGraph()
    for row in data.load("supply_links").to_dict("records"):
        links.add_edge(row["giver"], row["taker"], share=float(row["share"]))
    if not nx.is_directed_acyclic_graph(links):
        raise data.DataError("supply_links.csv: the links run in a circle")
    for giver in links:
        given = sum(d["share"] for _, _, d in links.out_edges(giver, data=True))
        if giver != SERVICE and abs(given - 1) > 1e-9:
            raise data.DataError(f"supply_links.csv: the shares of {giver!r} add up to {given}, not 1")
    return links


@cache
def scenarios() -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return the named shocks: scenario -> stage -> (share lost, months, months of recovery).

    Examples
    --------
    >>> scenarios()["Gallium embargo"]["gallium"][0]
    0.99
    """
    found: dict = {}
    for row in data.load("shock_scenarios").to_dict("records"):
        lost, months, recovery = (_value(row[k]) for k in ("lost_percent", "months", "recovery_months"))
        found.setdefault(row["scenario"], {})[row["stage"]] = (lost / 100, months, recovery)
    return found


def static_limits(relief: dict | None = None) -> list[tuple[str, float]]:
    """Return the stages whose capacity is known, with the accelerators a month it allows, tightest first.

    Parameters
    ----------
    relief : dict of str to float, optional
        Factors on the capacity of stages.

    Notes
    -----
    The mean of low and high end stands for a range.
    """
    relief = relief or {}
    limits = [
        (name, float(np.mean(ends)) * relief.get(name, 1.0))
        for name, stage in stages().items()
        if (ends := stage.accelerators())
    ]
    return sorted(limits, key=lambda pair: pair[1])


@dataclass(frozen=True)
class Run:
    """What :func:`simulate` gives; lists run over the months.

    Attributes
    ----------
    made, stock : dict of str to list
        What each stage makes, and what is left of it at the end of the month, in accelerators.
    delivered, demand : list
        Accelerators put to work in the month, and those wanted.
    in_service, undisturbed : list
        Accelerators at work, with the shock and without.
    """

    made: dict
    stock: dict
    delivered: list
    demand: list
    in_service: list
    undisturbed: list


def simulate(
    shocks: dict,
    months: int = 60,
    growth=0.5,
    spare=0.1,
    stock_factor=1.0,
    life_years=5.5,
    stock_months: dict | None = None,
) -> Run:
    """Follow supply, stocks and compute in service month by month after a shock. Traceable in all numbers.

    Parameters
    ----------
    shocks : dict of str to (share lost, months, recovery months)
        What is lost at which stage from the first month on. After `months` the loss shrinks to nothing in a straight
        line over the recovery.
    months : int
        How long to look.
    growth : float
        Yearly growth of demand and of every capacity.
    spare : float
        Capacity over demand that every stage has for catching up.
    stock_factor : float
        Factor on all stocks.
    life_years : float
        Years an accelerator works.
    stock_months : dict, optional
        Stock of each stage; default: the data's.

    Returns
    -------
    Run
        Amounts in accelerators, with one a month as the demand at the start.

    Raises
    ------
    ValueError
        If a stage is unknown or a number is out of its range.

    Notes
    -----
    What a stage makes is the least of its capacity, what is wanted (demand, a share of what is overdue, and a share of
    what its stock lacks, or less by what it has too much), and for each input what is there. Of what a giver has, each taker is entitled to its
    share of need, so two takers that need the same input run short together. A delivery needs one of everything that
    leads to service.

    Examples
    --------
    Nothing lost, nothing missing.

    >>> run = simulate({})
    >>> all(abs(a - b) < 1e-9 for a, b in zip(run.in_service, run.undisturbed))
    True
    """
    names, links = list(stages()), graph()
    for stage in shocks:
        require(stage in names, f"no stage {stage!r}; there are {', '.join(names)}")
    for lost, length, recovery in shocks.values():
        fraction(lost=lost)
        at_least_zero(months=length, recovery_months=recovery)
    at_least_zero(growth=growth, spare=spare, stock_factor=stock_factor)
    positive(life_years=life_years)
    keep = stock_months or {n: s.stock_months for n, s in stages().items()}
    monthly = np.power(1.0 + growth, 1 / 12)
    retired = 1 / (12 * life_years)
    stock = {n: keep[n] * stock_factor * 1.0 for n in names}
    calm = in_service = 1 / (monthly - 1 + retired)
    overdue = 0.0
    run = Run({n: [] for n in names}, {n: [] for n in names}, [], [], [], [])
    for month in range(months):
        demand = np.power(monthly, float(month))
        want_out = demand + overdue / CATCH_UP_MONTHS
        there = {}
        for n in names:
            room = demand * (1 + spare)
            if n in shocks:
                lost, length, recovery = shocks[n]
                room = room * (1 - lost * np.clip(1 - (month - length) / np.maximum(recovery, 1e-9), 0, 1))
            missing = keep[n] * stock_factor * demand - stock[n]  # below zero: more than enough, so less is made
            made = np.minimum(room, np.maximum(want_out + missing / REFILL_MONTHS, 0))
            for giver in links.predecessors(n):
                made = np.minimum(made, there[giver])
            there[n] = stock[n] + made
            run.made[n].append(made)
        delivered = want_out
        for giver in links.predecessors(SERVICE):
            delivered = np.minimum(delivered, there[giver])
        for n in names:
            taken = sum(
                d["share"] * (delivered if taker == SERVICE else run.made[taker][month])
                for _, taker, d in links.out_edges(n, data=True)
            )
            stock[n] = there[n] - taken
            run.stock[n].append(stock[n])
        overdue = np.maximum(overdue + demand - delivered, 0)
        in_service = in_service * (1 - retired) + delivered
        calm = calm * (1 - retired) + demand
        for series, value in zip(
            (run.delivered, run.demand, run.in_service, run.undisturbed),
            (delivered, demand, in_service, calm),
            strict=True,
        ):
            series.append(value)
    return run
