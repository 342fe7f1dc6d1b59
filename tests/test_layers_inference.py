"""Layer 12 against published check values, closed forms and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistack.layers import inference as inf
from aistack.trace import trace

H100 = {"bandwidth_b_per_s": 3.35e12, "flop_per_s": 989e12}
LLAMA = {"weight_bytes": 140e9, "kv_bytes_per_token": 327_680, "active_params": 70e9}
accept = st.floats(0, 1)
drafts = st.integers(0, 40)


# Time of a pass


def test_decode_of_140_gb_on_an_h100_is_23_9_tokens_a_second():
    assert inf.decode_tokens_per_s(140e9, 0, 0, 1, 70e9, **H100) == pytest.approx(23.9, abs=0.05)


def test_decode_in_four_bits_is_four_times_as_fast():
    four = inf.decode_tokens_per_s(35e9, 0, 0, 1, 70e9, **H100)
    assert four == pytest.approx(4 * inf.decode_tokens_per_s(140e9, 0, 0, 1, 70e9, **H100))


def test_decode_throughput_grows_with_batch_up_to_the_ridge_and_no_further():
    batch = np.arange(1, 2000)
    throughput = inf.decode_tokens_per_s(140e9, 0, 0, batch, 70e9, **H100)
    ridge = inf.compute_bound_batch(140e9, 70e9, **H100)
    below = batch < ridge
    assert np.allclose(throughput[below], batch[below] * 3.35e12 / 140e9)
    assert np.allclose(throughput[~below], 989e12 / 140e9)


def test_decode_with_cache_has_a_ceiling_of_bandwidth_over_cache():
    ceiling = 3.35e12 / (327_680 * 8192)
    huge = inf.decode_tokens_per_s(**LLAMA, context_tokens=8192, batch=1e9, **H100)
    assert huge == pytest.approx(ceiling, rel=1e-4) and huge < ceiling


@given(st.floats(1, 4096), st.floats(1, 4096), st.floats(0, 1e5))
def test_decode_step_is_no_shorter_for_a_larger_batch(a, b, context):
    small, large = sorted((a, b))
    step = lambda batch: inf.decode_step_time_s(**LLAMA, context_tokens=context, batch=batch, **H100)
    assert step(small) <= step(large)


def test_decode_efficiencies_lengthen_the_part_they_belong_to():
    kwargs = {**LLAMA, "context_tokens": 0, **H100}
    full = inf.decode_step_time_s(batch=1, **kwargs)
    assert inf.decode_step_time_s(batch=1, bandwidth_efficiency=0.5, **kwargs) == pytest.approx(2 * full)
    assert inf.decode_step_time_s(batch=1, flop_efficiency=0.5, **kwargs) == full


def test_decode_throughput_times_step_is_the_batch():
    kwargs = {**LLAMA, "context_tokens": 2048, "batch": 64, **H100}
    assert inf.decode_tokens_per_s(**kwargs) * inf.decode_step_time_s(**kwargs) == pytest.approx(64)


@pytest.mark.parametrize(
    "change",
    [{"batch": 0}, {"weight_bytes": 0}, {"flop_efficiency": 1.1}, {"bandwidth_efficiency": 0}, {"context_tokens": -1}],
)
def test_decode_step_refuses_impossible_arguments(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        inf.decode_step_time_s(**{**LLAMA, "context_tokens": 1, "batch": 1, **H100, **change})


def test_prefill_is_compute_bound_when_long_and_read_bound_when_short():
    time = lambda tokens: inf.prefill_time_s(tokens, 140e9, 70e9, **H100)
    assert time(10_000) == pytest.approx(2 * 70e9 * 10_000 / 989e12)
    assert time(1) == pytest.approx(140e9 / 3.35e12)


def test_prefill_of_one_token_is_a_decoding_step_without_cache():
    assert inf.prefill_time_s(1, 140e9, 70e9, **H100) == inf.decode_step_time_s(140e9, 0, 0, 1, 70e9, **H100)


def test_compute_bound_batch_of_16_bit_weights_is_the_ridge_point():
    assert inf.compute_bound_batch(140e9, 70e9, **H100) == pytest.approx(989 / 3.35)


def test_bytes_read_by_a_mixture_start_at_active_and_end_at_all():
    read = inf.bytes_read_per_step(93.4e9, 25.8e9, 8, 2, np.array([1, 2, 1000]))
    assert read[0] == pytest.approx(25.8e9) and read[2] == pytest.approx(93.4e9) and read[0] < read[1] < read[2]


def test_bytes_read_by_a_dense_model_are_all():
    assert inf.bytes_read_per_step(140e9, 140e9, 1, 1, 5) == 140e9


def test_bytes_read_match_drawn_experts():
    rng = np.random.default_rng(12)
    touched = [len({e for _ in range(6) for e in rng.choice(8, 2, replace=False)}) for _ in range(4000)]
    expert = (93.4 - 25.8) / 6  # GB of one of eight experts
    fixed = 93.4 - 8 * expert
    assert inf.bytes_read_per_step(93.4, 25.8, 8, 2, 6) == pytest.approx(fixed + expert * np.mean(touched), rel=0.01)


def test_bytes_read_refuses_more_active_than_total():
    with pytest.raises(ValueError, match="active_bytes"):
        inf.bytes_read_per_step(1, 2, 8, 2, 1)
    with pytest.raises(ValueError, match="experts_per_token"):
        inf.bytes_read_per_step(2, 1, 2, 8, 1)


def test_decode_utilisation_is_one_at_the_compute_bound():
    batch = 5000
    rate = inf.decode_tokens_per_s(140e9, 0, 0, batch, 70e9, **H100)
    assert inf.decode_utilisation(70e9, rate, 989e12) == pytest.approx(1)


# Memory


def test_gpus_for_70_billion_weights_in_16_bits_are_two():
    assert inf.gpus_needed(80e9, 140e9) == 2 and inf.gpus_needed(80e9, 35e9) == 1
    assert inf.gpus_needed(80e9, 140e9, cache_bytes=100e9) == 4


def test_max_batch_falls_with_context_and_is_zero_without_room():
    assert inf.max_batch(640e9, 140e9, 327_680, 8192) == 186
    assert inf.max_batch(640e9, 140e9, 327_680, 16_384) == 93
    assert inf.max_batch(80e9, 140e9, 327_680, 8192) == 0


@given(st.integers(0, 10_000), st.integers(1, 512))
def test_blocks_hold_the_tokens_with_less_than_one_to_spare(tokens, block):
    spare = inf.blocks_needed(tokens, block) * block - tokens
    assert 0 <= spare < block


# Drafts


def test_tokens_per_pass_of_five_drafts_at_70_percent_is_2_94():
    assert inf.tokens_per_pass(0.7, 5) == pytest.approx(2.94, abs=0.005)


@given(accept, drafts)
def test_tokens_per_pass_is_the_geometric_sum(a, k):
    assert inf.tokens_per_pass(a, k) == pytest.approx(sum(a**i for i in range(k + 1)), rel=1e-6)


def test_tokens_per_pass_limits():
    assert inf.tokens_per_pass(0.0, 5) == 1 and inf.tokens_per_pass(1.0, 5) == 6 and inf.tokens_per_pass(0.9, 0) == 1


def test_tokens_per_pass_matches_simulation():
    rng = np.random.default_rng(5)
    accepted = np.cumprod(rng.random((100_000, 5)) < 0.7, axis=1).sum(axis=1)
    assert accepted.mean() + 1 == pytest.approx(inf.tokens_per_pass(0.7, 5), abs=0.02)


def test_speculative_speedup_is_one_without_drafts_and_below_one_where_drafting_only_costs():
    assert inf.speculative_speedup(0.7, 0, 0.1) == 1
    assert inf.speculative_speedup(0.2, 5, 0.3) < 1
    assert inf.speculative_speedup(0.7, 5, 0.0, check_cost=6) < 1  # arithmetic-bound: six times the work


def test_best_draft_length_beats_its_neighbours():
    best = inf.best_draft_length(0.8, 0.05)
    gain = lambda k: inf.speculative_speedup(0.8, k, 0.05)
    assert gain(best) >= gain(best - 1) and gain(best) >= gain(best + 1)


@pytest.mark.parametrize(("a", "k"), [(1.2, 5), (-0.1, 5), (0.5, -1)])
def test_tokens_per_pass_refuses_impossible_arguments(a, k):
    with pytest.raises(ValueError):
        inf.tokens_per_pass(a, k)


# Money


def test_cost_of_a_million_tokens():
    assert inf.cost_usd_per_million_tokens(3.6, 1, 1000, 1) == pytest.approx(1)
    assert inf.cost_usd_per_million_tokens(3.6, 2, 1000, 0.5) == pytest.approx(4)


def test_price_leaves_the_margin():
    price = inf.price_usd_per_million_tokens(1.0, 0.6)
    assert (price - 1.0) / price == pytest.approx(0.6)
    assert inf.price_usd_per_million_tokens(1.0, -0.5) < 1.0


def test_price_and_cost_refuse_impossible_arguments():
    with pytest.raises(ValueError, match="gross_margin"):
        inf.price_usd_per_million_tokens(1.0, 1.0)
    with pytest.raises(ValueError, match="utilisation"):
        inf.cost_usd_per_million_tokens(3.6, 1, 1000, 0)


# Fewer bits


@given(st.lists(st.floats(-100, 100), min_size=4, max_size=4), st.integers(2, 12))
def test_rounding_error_is_at_most_half_a_step(values, bits):
    codes, scales = inf.quantise(values, bits)
    assert np.abs(np.array(values) - inf.round_to_grid(values, bits)).max() <= scales[0] / 2 * (1 + 1e-9)
    assert np.abs(codes).max() <= 2 ** (bits - 1) - 1


def test_each_bit_more_gives_about_six_decibel():
    values = np.random.default_rng(1).normal(size=(64, 256))
    noise = [inf.signal_to_noise_db(values, inf.round_to_grid(values, bits)) for bits in (4, 5, 6, 7, 8)]
    assert np.allclose(np.diff(noise), 6.02, atol=0.7)


def test_smaller_groups_round_better_and_store_more():
    values = np.random.default_rng(1).standard_t(3, size=(64, 256))
    noise = [inf.signal_to_noise_db(values, inf.round_to_grid(values, 4, group)) for group in (256, 64, 16)]
    assert noise[0] < noise[1] < noise[2]
    assert inf.stored_bits(4, 32) == 4.5 and inf.stored_bits(4, 128) == 4.125


def test_quantise_of_zeros_is_zeros():
    codes, _ = inf.quantise(np.zeros(8), 4)
    assert not codes.any()


@pytest.mark.parametrize(("bits", "group"), [(1, None), (17, None), (4, 3)])
def test_quantise_refuses_impossible_arguments(bits, group):
    with pytest.raises(ValueError):
        inf.quantise(np.ones(8), bits, group)


def test_signal_to_noise_without_error_is_infinite():
    assert inf.signal_to_noise_db(np.ones(3), np.ones(3)) == np.inf


def test_smoothing_leaves_the_product_and_helps_rounding_with_outliers():
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(256, 64)), rng.normal(size=(32, 64))
    x[:, 5] *= 60
    s = inf.smoothing_scales(np.abs(x).max(axis=0), np.abs(w).max(axis=0))
    assert np.allclose((x / s) @ (w * s).T, x @ w.T)
    rounded = lambda x, w: inf.round_to_grid(x, 8) @ inf.round_to_grid(w, 8).T
    assert inf.signal_to_noise_db(x @ w.T, rounded(x / s, w * s)) > inf.signal_to_noise_db(x @ w.T, rounded(x, w))


def test_smoothing_refuses_zero_channels():
    with pytest.raises(ValueError, match="input_largest"):
        inf.smoothing_scales(np.array([0.0]), np.array([1.0]))


def test_gptq_lies_on_the_grid_and_beats_rounding_on_correlated_inputs():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(500, 32)) @ rng.normal(size=(32, 32))
    w = rng.normal(size=(16, 32))
    clever, plain = inf.gptq(w, x, 4), inf.round_to_grid(w, 4)
    _, scales = inf.quantise(w, 4)
    assert np.allclose(clever / scales, np.rint(clever / scales))
    assert inf.signal_to_noise_db(x @ w.T, x @ clever.T) > inf.signal_to_noise_db(x @ w.T, x @ plain.T) + 2


def test_gptq_is_plain_rounding_when_inputs_are_uncorrelated():
    x = np.eye(16) * 3
    w = np.random.default_rng(4).normal(size=(8, 16))
    assert np.allclose(inf.gptq(w, x, 4), inf.round_to_grid(w, 4))


def test_gptq_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="same number of columns"):
        inf.gptq(np.ones((2, 3)), np.ones((5, 4)), 4)


# Explorers need traceable functions


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda b: {"y": inf.decode_tokens_per_s(140e9, 327_680, 2048, b, 70e9, 3.35e12, 989e12)}, {"b": 8.0}),
        (lambda n: {"y": inf.prefill_time_s(n, 140e9, 70e9, 3.35e12, 989e12)}, {"n": 512.0}),
        (lambda m: {"y": inf.max_batch(m, 140e9, 327_680, 2048)}, {"m": 640e9}),
        (lambda a: {"y": inf.speculative_speedup(a, np.arange(9), 0.05)}, {"a": 0.7}),
        (lambda b: {"y": inf.bytes_read_per_step(93.4e9, 25.8e9, 8, 2, b)}, {"b": 4.0}),
        (
            lambda u: {"y": inf.price_usd_per_million_tokens(inf.cost_usd_per_million_tokens(2.5, 8, 6e3, u), 0.4)},
            {"u": 0.5},
        ),
    ],
)
def test_functions_trace(function, inputs):
    trace(function, inputs)
