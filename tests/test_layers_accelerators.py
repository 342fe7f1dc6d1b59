"""Layer 3 against published figures, closed forms and limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistack.layers import accelerators as acc
from aistack.trace import trace

sizes = st.integers(1, 4096)


def test_ridge_of_h100_is_295():
    assert acc.ridge_point(989e12, 3.35e12) == pytest.approx(295.2, abs=0.1)


def test_roofline_bends_at_the_ridge():
    ridge = acc.ridge_point(989e12, 3.35e12)
    assert acc.attainable_flop_per_s(ridge, 989e12, 3.35e12) == pytest.approx(989e12)
    assert acc.attainable_flop_per_s(ridge / 2, 989e12, 3.35e12) == pytest.approx(989e12 / 2)
    assert acc.attainable_flop_per_s(10 * ridge, 989e12, 3.35e12) == 989e12


@given(sizes, sizes, sizes)
def test_gemm_is_symmetric_under_transposition(m, k, n):
    assert acc.gemm_intensity(m, k, n) == pytest.approx(acc.gemm_intensity(n, k, m))


@given(sizes)
def test_square_gemm_is_a_third_of_its_side(n):
    assert acc.gemm_intensity(n, n, n) == pytest.approx(n / 3)


@given(sizes, sizes)
def test_gemv_never_exceeds_one(k, n):
    assert acc.gemm_intensity(1, k, n) < 1


@given(st.integers(1, 1 << 20), st.integers(1, 16))
def test_decoding_attention_is_bounded_by_its_group(context, group):
    assert acc.attention_intensity(1, context, 128, group) < group


def test_70b_on_h100_is_23_9():
    assert acc.decode_tokens_per_s(140e9, 3.35e12) == pytest.approx(23.9, abs=0.05)
    assert 1 / acc.decode_step_time(1, 70e9, 2, 0, 0, 989e12, 3.35e12) == pytest.approx(23.9, abs=0.05)


def test_decode_step_becomes_arithmetic_at_the_ridge():
    slow = acc.decode_step_time(296, 70e9, 2, 0, 0, 989e12, 3.35e12)
    assert slow > acc.decode_step_time(295, 70e9, 2, 0, 0, 989e12, 3.35e12) == pytest.approx(140e9 / 3.35e12)


def test_kv_bytes_of_70b_is_327680():
    assert acc.kv_bytes_per_token(80, 8, 128) == 327_680


def test_sparsity_gains_less_than_two_from_memory():
    assert acc.sparse_decode_speedup(1) < acc.sparse_decode_speedup(2) < 2
    assert acc.sparse_decode_speedup(2, 0) == 2


def test_mfu_scales_down_with_chips():
    assert acc.model_flop_utilisation(1e9, 1e6, 2, 1e15) == acc.model_flop_utilisation(1e9, 1e6, 1, 1e15) / 2


def test_energy_per_token():
    assert acc.energy_per_token_j(700, 23.9) == pytest.approx(29.3, abs=0.05)


@pytest.mark.parametrize("side", [1, 4, 128])
def test_systolic_matches_scale_sim(side):
    assert acc.systolic_cycles(side, side, 10, side, side) == 2 * side + side + 10 - 2


@given(st.integers(1, 256), st.integers(1, 256), sizes, sizes, sizes, st.sampled_from([0, 1]))
def test_systolic_utilisation_is_a_share(rows, columns, m, k, n, overlap):
    assert 0 < acc.systolic_utilisation(rows, columns, m, k, n, overlap) <= 1


@given(st.integers(1, 256), sizes, sizes)
def test_overlap_never_costs(side, m, k):
    assert acc.systolic_cycles(side, side, m, k, k, 1) <= acc.systolic_cycles(side, side, m, k, k, 0)


@pytest.mark.parametrize("side", [4096, 4096 * (1 + 1e-15), 4 * (16384 / 4) ** (10 / 12)])
def test_a_rounding_error_adds_no_row_of_tiles(side):
    assert acc.systolic_tiles(128, 128, side, side) == 1024
    assert acc.systolic_cycles(128, 128, 1, side, side) == 1024 * 383
    assert acc.systolic_utilisation(128, 128, 4096, side, side) == pytest.approx(4096 / (4096 + 3 * 128 - 2))


@given(sizes, st.integers(1, 256), st.integers(1, 256))
def test_tiles_cover_the_matrix_and_none_is_empty(k, rows, columns):
    tiles = acc.systolic_tiles(rows, columns, k, k)
    assert k * k <= tiles * rows * columns < (k + rows) * (k + columns)


def test_systolic_traces():
    graph = trace(lambda m: {"u": acc.systolic_utilisation(128, 128, m, 4096, 4096)}, {"m": 64})
    assert graph["outputs"]


def test_core_ceilings_scale_with_cores():
    assert np.allclose(np.array(acc.core_ceilings(4)), 4 * np.array(acc.core_ceilings(1)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: acc.ridge_point(0, 1),
        lambda: acc.attainable_flop_per_s(-1, 1, 1),
        lambda: acc.gemm_flop_count(0, 1, 1),
        lambda: acc.decode_step_time(0, 1, 1, 0, 0, 1, 1),
        lambda: acc.systolic_cycles(4, 4, 1, 1, 1, 2),
        lambda: acc.energy_per_token_j(1, 0),
    ],
)
def test_bad_arguments_are_refused(call):
    with pytest.raises(ValueError):
        call()
