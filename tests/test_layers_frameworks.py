"""Frameworks: costs of derivatives, activation memory, checkpointing, training state, fusion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistack.layers import frameworks as fw

LAYERS = st.integers(1, 200)
BYTES = st.floats(1.0, 1e12)


def test_scores_are_seventy_percent_of_what_gpt3_keeps():
    whole = fw.activation_bytes_per_layer(2048, 12288, 96, 2048)
    rest = fw.activation_bytes_per_layer(2048, 12288, 96, 2048, keep_scores=False)
    assert whole / (2048 * 12288) == 34 + 80
    assert 1 - rest / whole == pytest.approx(0.70, abs=0.005)  # Korthikanti et al.: 70 %


def test_attention_share_is_the_printed_overhead_and_one_more_pass_is_a_third_of_it():
    assert fw.attention_flop_share(12288, 2048) == pytest.approx(0.027, abs=5e-4)
    assert fw.selective_recompute_overhead(12288, 2048) * 3 == pytest.approx(fw.attention_flop_share(12288, 2048))


def test_attention_share_counts_the_products():
    h, s = 4096, 8192
    weights, scores = 24 * h**2, 4 * s * h
    assert fw.attention_flop_share(h, s) == pytest.approx(scores / (weights + scores))


@given(LAYERS, BYTES, BYTES)
def test_best_segment_needs_least_memory(layers, layer_bytes, boundary_bytes):
    best = max(float(fw.best_segment(layers, layer_bytes, boundary_bytes)), 1.0)
    least = fw.checkpoint_memory_bytes(layers, best, layer_bytes, boundary_bytes)
    for other in (best * 1.3, best * 3):
        assert fw.checkpoint_memory_bytes(layers, other, layer_bytes, boundary_bytes) >= least * (1 - 1e-12)


@given(LAYERS)
def test_checkpointing_repeats_less_than_one_forward_pass_and_nothing_in_one_segment(layers):
    assert fw.checkpoint_extra_forward(layers, layers) == 0
    repeated = [float(fw.checkpoint_extra_forward(layers, k)) for k in range(1, layers + 1)]
    assert all(0 <= r < 1 for r in repeated) and repeated == sorted(repeated, reverse=True)


def test_full_recomputation_costs_a_third_of_a_step():
    forward, backward = 1.0, 2.0  # a linear layer: two products back for one forward
    extra = float(fw.checkpoint_extra_forward(96, 1)) / (forward + backward)
    assert extra == pytest.approx(1 / 3, abs=0.005)


def test_training_state_is_sixteen_bytes_with_adamw():
    assert fw.training_state_bytes(1, 2, 2, 4, 8) == 16
    assert fw.training_state_bytes(7e9, 2, 2, 4, 8) == 112e9


@given(st.integers(1, 50), st.integers(1, 10**9), st.sampled_from([1, 2, 4]))
def test_fusion_divides_traffic_by_the_number_of_operations(operations, elements, size):
    apart, fused = fw.unfused_traffic_bytes(operations, elements, size), fw.fused_traffic_bytes(elements, size)
    assert apart == pytest.approx(operations * fused)
    assert fw.memory_bound_time(apart, operations, 1e12, 1e-6) >= fw.memory_bound_time(fused, 1, 1e12, 1e-6)


def test_reverse_mode_wins_from_a_few_inputs_on():
    assert fw.forward_mode_cost(1) < fw.reverse_mode_cost(1)
    assert fw.forward_mode_cost(2) > fw.reverse_mode_cost(1)
    assert fw.reverse_mode_cost(1000) > fw.forward_mode_cost(10)


def test_error_of_central_difference_has_its_least_near_the_cube_root_of_the_precision():
    steps = np.geomspace(1e-12, 1e-1, 1101)
    best = steps[np.argmin(fw.central_difference_error(steps, 1.0, 1.0, 1.1e-16))]
    assert best == pytest.approx((3 * 1.1e-16) ** (1 / 3), rel=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fw.forward_mode_cost(0), "inputs must be 1 or more"),
        (lambda: fw.reverse_mode_cost(0), "outputs must be 1 or more"),
        (lambda: fw.central_difference_error(0, 1, 1, 1e-16), "step must be positive"),
        (lambda: fw.linear_step_flop_count(1, 0, 1), "inner must be positive"),
        (lambda: fw.activation_bytes_per_layer(1, 1, 0, 1), "heads must be positive"),
        (lambda: fw.attention_flop_share(-1, 1), "hidden must be positive"),
        (lambda: fw.checkpoint_memory_bytes(10, 0, 1, 1), "segment must be 1 or more"),
        (lambda: fw.best_segment(10, 0, 1), "layer_bytes must be positive"),
        (lambda: fw.training_state_bytes(1, 2, -2, 4, 8), "gradient_bytes must be zero or more"),
        (lambda: fw.unfused_traffic_bytes(0, 1, 4), "operations must be 1 or more"),
        (lambda: fw.fused_traffic_bytes(1, 0), "bytes_per_element must be positive"),
        (lambda: fw.memory_bound_time(1, 1, 0), "bandwidth_b_per_s must be positive"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
