"""The chain from wafer to token couples the layers without losing a cent, and every input stands on a source."""

import numpy as np
import pytest

from aistack import data, stack
from aistack.layers import data_centers, fabrication

PAIRS = sorted(stack.pairs())


@pytest.mark.parametrize("pair", PAIRS)
def test_parts_add_up_to_the_price_of_output(pair):
    result = stack.price(pair)
    assert sum(result[part] for part in stack.PARTS) == pytest.approx(result["output_usd"], rel=1e-12)
    assert all(result[part] > 0 for part in stack.PARTS)


@pytest.mark.parametrize("pair", PAIRS)
def test_parts_add_up_in_every_draw(pair):
    _, result = stack.sample(pair, 500, seed=1)
    total = np.sum([result[part] for part in stack.PARTS], axis=0)
    np.testing.assert_allclose(total, result["output_usd"], rtol=1e-9)
    assert (result["output_usd"] > 0).all() and np.isfinite(result["output_usd"]).all()


def test_chip_cost_is_fabrication_s_own():
    known = {name: one.value for name, one in stack.inputs("H100").items()}
    dies = fabrication.dies_per_wafer(known["die_area_mm2"])
    good = fabrication.negative_binomial_yield(known["die_area_mm2"], known["defects_per_cm2"])
    die = known["wafer_usd"] / (dies * good)
    wanted = die + known["hbm_gb"] * known["hbm_usd_per_gb"] + known["package_usd"]
    assert stack.price("Llama 3.1 70B on H100")["chip_cost_usd"] == pytest.approx(wanted)


def test_gpu_hour_is_the_data_center_s_own():
    known = {name: one.value for name, one in stack.inputs("B200").items()}
    result = stack.price("Llama 3.1 70B on B200")
    names = ("pue", "building_usd_per_w", "usd_per_kwh", "rate", "life_years", "building_life_years", "utilisation")
    machine = result["chip_price_usd"] + known["host_usd"] + known["network_usd"]
    hour = data_centers.gpu_hour_cost(machine, known["tdp_w"] * known["host_power"], *(known[n] for n in names))
    assert result["gpu_hour_usd"] == pytest.approx(hour)


def test_gpu_hour_lies_among_the_rents_that_are_asked():
    asked = data.load("gpu_rental_prices")
    asked = asked[asked["date"].astype(str) >= "2025-06"]
    low = asked[["price_usd_per_gpu_hour_low", "price_usd_per_gpu_hour"]].min().min()
    high = asked[["price_usd_per_gpu_hour", "price_usd_per_gpu_hour_high"]].max().max()
    assert low < stack.price("Llama 3.1 70B on H100")["gpu_hour_usd"] < high


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("wafer_usd", 1), ("defects_per_cm2", 1), ("hbm_usd_per_gb", 1), ("chip_margin", 1), ("pue", 1), ("usd_per_kwh", 1),
        ("rate", 1), ("life_years", -1), ("utilisation", -1), ("bandwidth_efficiency", -1), ("context_tokens", 1),
        ("user_tokens_per_s", 1), ("provider_margin", 1),
    ],
)  # fmt: skip
def test_price_moves_the_way_it_should(name, sign):
    one = stack.inputs("H100")[name]
    low, high = (stack.price("Llama 3.1 70B on H100", **{name: x})["output_usd"] for x in (one.low, one.high))
    assert sign * (high - low) > 0


def test_unreachable_speed_serves_one_user():
    result = stack.price("Llama 3.1 405B on H200", user_tokens_per_s=1000)
    assert result["batch"] == 1
    assert result["output_usd"] > stack.price("Llama 3.1 405B on H200")["output_usd"]


def test_every_input_has_a_source_or_is_ours():
    for chip in ("H100", "H200", "B200"):
        for one in stack.inputs(chip).values():
            assert one.low <= one.value <= one.high
            assert one.sources or one.name == "dies", one.name


def test_sample_repeats_with_its_seed_and_stays_in_range():
    first, again = (stack.sample(PAIRS[0], 50, seed=7) for _ in range(2))
    for name, drawn in first[0].items():
        np.testing.assert_array_equal(drawn, again[0][name])
        one = stack.inputs(stack.pairs()[PAIRS[0]].chip)[name]
        assert (drawn >= one.low).all() and (drawn <= one.high).all()


def test_tornado_is_sorted_and_moves_one_input_at_a_time():
    bars = stack.tornado("Llama 3.1 70B on H100")
    widths = [abs(high - low) for _, low, high in bars]
    assert widths == sorted(widths, reverse=True)
    one, low, _ = bars[0]
    assert low == stack.price("Llama 3.1 70B on H100", **{one.name: one.low})["output_usd"]


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(data.DataError, match=r"no pair 'GPT'.*Llama"):
        stack.price("GPT")
    with pytest.raises(data.DataError, match=r"no chip 'X'.*H100"):
        stack.inputs("X")
    with pytest.raises(ValueError, match=r"no input 'wafer'.*wafer_usd"):
        stack.price("Llama 3.1 70B on H100", wafer=3)
