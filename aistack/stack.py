"""The chain from a wafer to the price of a token, each term from a layer's module, each input from the data.

:func:`inputs` reads ``data/stack_inputs.csv``, whose cells are expressions over the data: a low end, a middle and a
high end with their sources. :func:`token_price` couples the layers. It is one pure function of numbers or arrays, so the
same code gives a single price, ten thousand sampled ones, and the graph that the page evaluates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from aistack import claims, data
from aistack.layers import architectures, data_centers, fabrication, inference
from aistack.units import GB, HOUR, HOURS_PER_YEAR, TB

__all__ = ["PARTS", "Input", "Pair", "inputs", "pairs", "price", "sample", "token_price", "tornado"]

#: The parts of the price of a million output tokens, bottom of the stack first, with the layer that each belongs to.
PARTS = {
    "die": ("Silicon", 2),
    "memory": ("Stacked memory", 2),
    "package": ("Package and test", 2),
    "chip_maker": ("Chip maker's margin", 3),
    "host": ("Host", 5),
    "network": ("Network", 4),
    "building": ("Building", 5),
    "capital": ("Cost of capital", 5),
    "electricity": ("Electricity", 5),
    "idle": ("Hours not sold", 12),
    "provider": ("API margin", 14),
}


@dataclass(frozen=True)
class Input:
    """One input of the chain: its ends and middle, in `unit`, and the sources it stands on.

    Attributes
    ----------
    name, label, unit : str
        Argument of :func:`token_price`, what it is, and the unit of the three values.
    layer : int
        Layer it comes from.
    low, value, high : float
        Ends and middle; all equal where the data give no range.
    sources : tuple of (str, str)
        Pairs of source_id and as_of.
    note : str
        What the ends are.
    """

    name: str
    label: str
    unit: str
    layer: int
    low: float
    value: float
    high: float
    sources: tuple
    note: str


@dataclass(frozen=True)
class Pair:
    """A model on chips: what :func:`token_price` needs to know of it.

    Attributes
    ----------
    name, model, chip : str
        Name of the pair, of the model in ``model_configurations`` and of the chip in ``stack_inputs``.
    gpus : int
        Chips that share one copy of the model.
    weight_bytes : float
        All weights, B.
    active_parameters : float
        Weights that take part in one token.
    cache_bytes_per_token : float
        Keys and values of a token, B.
    """

    name: str
    model: str
    chip: str
    gpus: int
    weight_bytes: float
    active_parameters: float
    cache_bytes_per_token: float

    def numbers(self) -> dict:
        """Return the arguments of :func:`token_price` that the pair fixes."""
        return {k: getattr(self, k) for k in ("gpus", "weight_bytes", "active_parameters", "cache_bytes_per_token")}


def _number(expression: str) -> float:
    return claims.evaluate(expression)[0]


@cache
def inputs(chip: str) -> dict[str, Input]:
    """Return the inputs of the chain for a chip, by name.

    Parameters
    ----------
    chip : str
        A chip of ``data/stack_inputs.csv``.

    Raises
    ------
    DataError
        If the chip is unknown or an expression fails.

    Examples
    --------
    >>> inputs("H100")["wafer_usd"].value
    16000.0
    """
    table = data.load("stack_inputs")
    chips = sorted(table["chip"].dropna().unique())
    if chip not in chips:
        raise data.DataError(f"no chip {chip!r} in stack_inputs.csv; it has {', '.join(chips)}")
    found = {}
    for row in table[table["chip"].isna() | (table["chip"] == chip)].to_dict("records"):
        given = {k: row[k] for k in ("low", "value", "high") if isinstance(row[k], str)}
        low, value, high = (_number(given.get(k, row["value"])) for k in ("low", "value", "high"))
        if not low <= value <= high:
            raise data.DataError(f"stack_inputs.csv: {row['name']}: {low}, {value}, {high} are not in order")
        sources = sorted({pair for text in given.values() for pair in claims.evidence(text)})
        note = row["note"] if isinstance(row["note"], str) else ""
        found[row["name"]] = Input(
            row["name"], row["label"], row["unit"], int(row["layer"]), low, value, high, tuple(sources), note
        )
    return found


def _transformer(row: dict) -> architectures.Transformer:
    """Return the configuration that a row of ``model_configurations`` holds."""
    fields = architectures.Transformer.__dataclass_fields__
    return architectures.Transformer(**{k: int(row[k]) for k in fields})


@cache
def pairs() -> dict[str, Pair]:
    """Return the models on chips of ``data/stack_pairs.csv``, by name.

    Examples
    --------
    >>> round(pairs()["Llama 3.1 70B on H100"].cache_bytes_per_token)
    327680
    """
    models = data.load("model_configurations").set_index("model", drop=False).to_dict("index")
    found = {}
    for row in data.load("stack_pairs").to_dict("records"):
        model = _transformer(models[row["model"]])
        cache_bytes = (
            model.layers * (model.kv_rank + model.rope_dim) * row["cache_bytes"]
            if model.kv_rank
            else architectures.cache_bytes_per_token(model.layers, model.kv_heads, model.head_dim, row["cache_bytes"])
        )
        found[row["pair"]] = Pair(
            row["pair"],
            row["model"],
            row["chip"],
            int(row["gpus"]),
            architectures.parameter_count(model) * row["weight_bytes"],
            architectures.active_parameter_count(model),
            float(cache_bytes),
        )
    return found


def token_price(
    *,
    wafer_usd,
    defects_per_cm2,
    die_area_mm2,
    dies,
    hbm_gb,
    hbm_usd_per_gb,
    package_usd,
    chip_margin,
    host_usd,
    network_usd,
    tdp_w,
    host_power,
    pue,
    building_usd_per_w,
    usd_per_kwh,
    rate,
    life_years,
    building_life_years,
    utilisation,
    memory_gb,
    bandwidth_tb_per_s,
    fp8_tflop_per_s,
    flop_efficiency,
    bandwidth_efficiency,
    context_tokens,
    user_tokens_per_s,
    input_per_output,
    provider_margin,
    gpus,
    weight_bytes,
    active_parameters,
    cache_bytes_per_token,
) -> dict:
    """Return the price of a million tokens and every step on the way to it. Traceable.

    Parameters
    ----------
    wafer_usd, defects_per_cm2, die_area_mm2, dies, hbm_gb, hbm_usd_per_gb, package_usd, chip_margin
        What a chip is made of: :mod:`aistack.layers.fabrication`.
    host_usd, network_usd, tdp_w, host_power, pue, building_usd_per_w, usd_per_kwh, rate, life_years, building_life_years
        What runs it: :func:`aistack.layers.data_centers.gpu_hour_cost`.
    utilisation
        Share of the hours that are sold.
    memory_gb, bandwidth_tb_per_s, fp8_tflop_per_s, flop_efficiency, bandwidth_efficiency
        What it computes.
    context_tokens, user_tokens_per_s, input_per_output
        What is asked of it.
    provider_margin
        Gross margin of the API.
    gpus, weight_bytes, active_parameters, cache_bytes_per_token
        From a :class:`Pair`.

    Returns
    -------
    dict
        ``chip_cost_usd``, ``chip_price_usd``, ``gpu_hour_usd``, ``batch``, ``output_tokens_per_s`` and
        ``input_tokens_per_s`` (a GPU), ``output_usd``, ``input_usd`` and ``blended_usd`` (prices of a million tokens),
        and the eleven :data:`PARTS` of ``output_usd``, which add up to it.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    Left out: staff, software, the training of the model, land, links between chips while decoding, and taxes. An hour
    not sold costs its capital and no electricity. The batch is the largest at which every user still gets
    `user_tokens_per_s`; where one user alone cannot have that, he gets what the machine gives.
    """
    good = fabrication.negative_binomial_yield(die_area_mm2, defects_per_cm2)
    one_die = fabrication.die_cost(wafer_usd, fabrication.dies_per_wafer(die_area_mm2), good)
    bill = {"die": dies * one_die, "memory": hbm_gb * hbm_usd_per_gb, "package": package_usd + 0 * one_die}
    chip_cost = bill["die"] + bill["memory"] + bill["package"]
    chip_price = inference.price_usd_per_million_tokens(chip_cost, chip_margin)
    bill |= {"chip_maker": chip_price - chip_cost, "host": host_usd, "network": network_usd}

    power_w = tdp_w * host_power
    machine = chip_price + host_usd + network_usd
    building = power_w * building_usd_per_w
    hour = {k: v / (life_years * HOURS_PER_YEAR) for k, v in bill.items()}
    hour["building"] = building / (building_life_years * HOURS_PER_YEAR)
    costs = (power_w, pue, building_usd_per_w, usd_per_kwh, rate, life_years, building_life_years)
    full = data_centers.gpu_hour_cost(machine, *costs, 1.0)
    sold = data_centers.gpu_hour_cost(machine, *costs, utilisation)
    hour["electricity"] = data_centers.facility_power(power_w, pue) / 1e3 * usd_per_kwh
    hour["capital"] = full - hour["electricity"] - machine / (life_years * HOURS_PER_YEAR) - hour["building"]
    hour["idle"] = sold - full

    flop_per_s, bandwidth = gpus * fp8_tflop_per_s * 1e12, gpus * bandwidth_tb_per_s * TB
    model = (weight_bytes, cache_bytes_per_token, context_tokens)
    speeds = (active_parameters, bandwidth, flop_per_s)
    reached = {"flop_efficiency": flop_efficiency, "bandwidth_efficiency": bandwidth_efficiency}
    batch = np.maximum(
        inference.batch_at_speed(*model, *speeds, gpus * memory_gb * GB, user_tokens_per_s, **reached), 1
    )
    output_rate = inference.decode_tokens_per_s(*model, batch, *speeds, **reached) / gpus
    input_rate = context_tokens / inference.prefill_time_s(context_tokens, weight_bytes, *speeds, **reached) / gpus

    parts = {k: v * 1e6 / (HOUR * output_rate) for k, v in hour.items()}
    cost = inference.cost_usd_per_million_tokens(sold, 1, output_rate, 1.0)
    output = inference.price_usd_per_million_tokens(cost, provider_margin)
    read = inference.cost_usd_per_million_tokens(sold, 1, input_rate, 1.0)
    parts["provider"] = output - cost
    input_price = inference.price_usd_per_million_tokens(read, provider_margin)
    return {
        "chip_cost_usd": chip_cost,
        "chip_price_usd": chip_price,
        "gpu_hour_usd": sold,
        "batch": batch,
        "output_tokens_per_s": output_rate,
        "input_tokens_per_s": input_rate,
        "output_usd": output,
        "input_usd": input_price,
        "blended_usd": (input_per_output * input_price + output) / (input_per_output + 1),
        **{k: parts[k] for k in PARTS},
    }


def _arguments(pair: Pair, changed: dict) -> dict:
    """Return the middle of every input of a pair, with some of them changed."""
    known = {name: one.value for name, one in inputs(pair.chip).items()} | pair.numbers()
    for name in changed:
        if name not in known:
            raise ValueError(f"no input {name!r}; there are {', '.join(sorted(known))}")
    return known | changed


def price(pair: str, **changed) -> dict:
    """Return :func:`token_price` of a pair at the middle of its inputs, some of them changed.

    Raises
    ------
    DataError
        If the pair is unknown.
    ValueError
        If a changed input is unknown.

    Examples
    --------
    Twice the hours sold, less than twice as cheap: electricity stays.

    >>> half, full = (price("Llama 3.1 70B on H100", utilisation=u)["output_usd"] for u in (0.5, 1.0))
    >>> bool(1.8 < half / full < 2)
    True
    """
    if pair not in pairs():
        raise data.DataError(f"no pair {pair!r} in stack_pairs.csv; it has {', '.join(pairs())}")
    return token_price(**_arguments(pairs()[pair], changed))


def sample(pair: str, draws: int, seed: int, **changed) -> tuple[dict, dict]:
    """Draw every input with a range from a triangle over it, and return (inputs drawn, what the chain gives).

    Parameters
    ----------
    pair : str
        Name of a pair.
    draws : int
        How many.
    seed : int
        Of numpy's default generator.
    **changed
        Inputs held at a value.

    Returns
    -------
    (dict of str to array, dict of str to array)
        Arrays of shape (draws,). The inputs are drawn independently, which real ones are not.
    """
    rng = np.random.default_rng(seed)
    drawn = {
        name: rng.triangular(one.low, one.value, one.high, draws)
        for name, one in inputs(pairs()[pair].chip).items()
        if one.low < one.high and name not in changed
    }
    return drawn, token_price(**_arguments(pairs()[pair], changed | drawn))


def tornado(pair: str, of: str = "output_usd") -> list[tuple[Input, float, float]]:
    """Return, for each input with a range, what the chain gives at its low and its high end, widest first.

    Parameters
    ----------
    pair : str
        Name of a pair.
    of : str
        A key of :func:`token_price`'s result.
    """
    bars = [
        (one, float(price(pair, **{name: one.low})[of]), float(price(pair, **{name: one.high})[of]))
        for name, one in inputs(pairs()[pair].chip).items()
        if one.low < one.high
    ]
    return sorted(bars, key=lambda bar: -abs(bar[2] - bar[1]))
