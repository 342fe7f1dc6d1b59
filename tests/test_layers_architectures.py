"""Layer 10 against published model sizes, closed forms and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from aistack import load
from aistack.layers import architectures as arch
from aistack.trace import trace

LLAMA = arch.Transformer(layers=80, d_model=8192, heads=64, kv_heads=8, head_dim=128, d_ff=28672, vocabulary=32000)
REFIT = {"a": 482.00572, "b": 2085.4342, "alpha": 0.34781, "beta": 0.36585}


def published():
    fields = arch.Transformer.__dataclass_fields__
    return [
        (
            r["model"],
            arch.Transformer(**{k: int(r[k]) for k in fields}),
            r["stated_parameters_bn"],
            r["stated_active_bn"],
        )
        for r in load("model_configurations").to_dict("records")
    ]


# Parameters and arithmetic


@pytest.mark.parametrize(("name", "model", "stated_bn", "active_bn"), published())
def test_parameter_count_matches_published_model(name, model, stated_bn, active_bn):
    assert arch.parameter_count(model) / 1e9 == pytest.approx(stated_bn, rel=0.04)
    if active_bn == active_bn and name != "gpt-oss-120b":  # its makers leave out the input table
        assert arch.active_parameter_count(model) / 1e9 == pytest.approx(active_bn, rel=0.02)


def test_active_parameter_count_of_a_dense_model_is_all():
    assert arch.active_parameter_count(LLAMA) == arch.parameter_count(LLAMA)


def test_forward_flop_count_is_two_a_parameter_plus_attention():
    multiplying = arch.parameter_count(LLAMA) - LLAMA.vocabulary * LLAMA.d_model
    assert arch.forward_flop_count(LLAMA, 0) == 2 * multiplying
    assert arch.forward_flop_count(LLAMA, 1) - 2 * multiplying == 4 * 80 * 64 * 128


@pytest.mark.parametrize("change", [{"kv_heads": 7}, {"experts_active": 1}, {"layers": 0}])
def test_impossible_shape_is_refused(change):
    with pytest.raises(ValueError):
        arch.Transformer(**{**LLAMA.__dict__, **change})


def test_training_flop_count_of_chinchilla_is_5_88e23():
    assert arch.training_flop_count(70e9, 1.4e12) == pytest.approx(5.88e23)


# The cache


def test_cache_of_70b_with_groups_is_327680_bytes_a_token():
    assert arch.cache_bytes_per_token(80, 8, 128) == 327_680
    assert arch.cache_bytes_per_token(80, 8, 128) * 131_072 / 1e9 == pytest.approx(42.95, abs=0.01)
    assert arch.cache_bytes_per_token(80, 64, 128) == 8 * 327_680


def test_cached_tokens_stop_at_the_window():
    assert arch.cached_tokens(np.array([10, 5000]), 4096).tolist() == [10, 4096]


@given(st.integers(1, 60), st.integers(1, 60))
def test_attended_pairs_counts_the_mask(tokens, window):
    row, column = np.indices((tokens, tokens))
    assert arch.attended_pairs(tokens, window) == ((column <= row) & (column > row - window)).sum()


def test_minimum_gpus_rounds_up():
    assert arch.minimum_gpus(np.array([80e9, 80.1e9]), 0, 80e9).tolist() == [1, 2]
    with pytest.raises(ValueError):
        arch.minimum_gpus(-1, 0, 80e9)


# Experts


@given(st.integers(2, 256), st.floats(1, 4))
def test_expert_load_conserves_choices(experts, ratio):
    load_ = arch.expert_load(4096, experts, 1, ratio, np.arange(experts) / (experts - 1), np.zeros(experts))
    assert load_.sum() == pytest.approx(4096, rel=1e-6)
    assert load_[0] == pytest.approx(ratio * load_[-1])


def test_fair_router_drops_what_a_simulation_drops():
    rng = np.random.default_rng(0)
    counts = rng.multinomial(4096, np.full(64, 1 / 64), size=200)
    simulated = np.mean([arch.dropped_fraction(c, arch.expert_capacity(4096, 64, 1, 1.0)) for c in counts])
    assert simulated == pytest.approx(np.sqrt(64 / 4096 / (2 * np.pi)), rel=0.05)


@given(st.lists(st.floats(1, 100), min_size=1, max_size=20), st.floats(0, 200))
def test_dropped_fraction_is_a_share_and_falls_with_room(load_, room):
    dropped = arch.dropped_fraction(load_, room)
    assert 0 <= arch.dropped_fraction(load_, room + 1) <= dropped <= 1


# A recurrence


@given(st.integers(1, 70), st.integers(0, 1000))
def test_linear_scan_equals_the_loop(tokens, seed):
    rng = np.random.default_rng(seed)
    decay, drive = rng.random((tokens, 3)), rng.normal(size=(tokens, 3))
    state, expected = np.zeros(3), []
    for a, b in zip(decay, drive, strict=True):
        state = a * state + b
        expected.append(state)
    assert np.allclose(arch.linear_scan(decay, drive), expected)


def test_linear_scan_refuses_unequal_shapes():
    with pytest.raises(ValueError):
        arch.linear_scan(np.ones(3), np.ones(4))


# Scaling laws


@pytest.mark.parametrize("compute", [1e19, 1e22, 1e25])
def test_compute_optimal_size_is_where_a_search_finds_it(compute):
    found = minimize_scalar(
        lambda x: arch.parametric_loss(10**x, compute / 6 / 10**x, 1.8, **REFIT), bounds=(6, 14), method="bounded"
    )
    assert np.log10(arch.compute_optimal_size(compute, **REFIT)) == pytest.approx(found.x, abs=1e-3)


def test_parametric_loss_tends_to_its_floor():
    assert arch.parametric_loss(1e60, 1e60, 1.8, **REFIT) == pytest.approx(1.8)
    with pytest.raises(ValueError):
        arch.parametric_loss(0, 1e9, 1.8, **REFIT)


def test_power_law_size_passes_through_its_anchor():
    assert arch.power_law_size(8.64e19, 8.64e19, 1.3e9, 0.73) == 1.3e9


def test_expert_load_can_be_traced():
    place, luck = np.linspace(0, 1, 8), np.zeros(8)
    trace(lambda ratio: {"load": arch.expert_load(512, 8, 2, ratio, place, luck)}, {"ratio": 2.0})
