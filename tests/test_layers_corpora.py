"""Layer 9 against published figures and its own limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistack.layers import corpora
from aistack.trace import trace

similarities = st.floats(0.0, 1.0)
counts = st.integers(1, 64)
sizes = st.lists(st.floats(1e3, 1e13), min_size=2, max_size=8)


# Demand and supply


def test_tokens_needed_is_chinchillas():
    assert corpora.tokens_needed(70e9) == 1.4e12
    assert corpora.tokens_needed(8e9, 1875) == pytest.approx(15e12)  # Llama 3 8B


def test_four_epochs_are_nearly_four_fresh_ones():
    assert corpora.repeat_value(1) == 1
    assert corpora.repeat_value(4) == pytest.approx(3.73, abs=0.005)
    assert corpora.repeat_value(1e6) == pytest.approx(1 + corpora.REPEAT_DECAY)


def test_effective_tokens_scale_with_the_text():
    assert corpora.effective_tokens(2e12, 4) == pytest.approx(2 * corpora.effective_tokens(1e12, 4))


@given(epochs=st.floats(1, 200), more=st.floats(0.01, 50))
def test_a_further_epoch_adds_and_adds_less_than_itself(epochs, more):
    gain = corpora.repeat_value(epochs + more) - corpora.repeat_value(epochs)
    assert 0 <= gain <= more + 1e-9


def test_crossing_is_where_demand_meets_stock():
    t = corpora.crossing_years(300e12, 36e12, 3.7, 1.05)
    assert 36e12 * 3.7**t == pytest.approx(300e12 * 1.05**t)
    assert corpora.crossing_years(10e12, 36e12, 3.7) == 0


def test_demand_that_does_not_outgrow_the_stock_is_refused():
    with pytest.raises(ValueError, match="demand_growth"):
        corpora.crossing_years(1e12, 1e10, 1.05, 1.05)


def test_lognormal_quantile_returns_its_ends():
    z = 1.6448536269514722
    assert corpora.lognormal_quantile(100, 1000, z) == pytest.approx(1000)
    assert corpora.lognormal_quantile(100, 1000, -z) == pytest.approx(100)
    with pytest.raises(ValueError, match="high"):
        corpora.lognormal_quantile(10, 10, 0)


# Near-duplicates


def test_jaccard_counts_shared_over_all():
    assert corpora.jaccard("abc", "bcd") == 0.5
    assert corpora.jaccard([], []) == 1
    assert corpora.jaccard("ab", "") == 0


@given(s=similarities, more=similarities, bands=counts, rows=counts)
def test_detection_rises_with_similarity_and_bands_and_falls_with_rows(s, more, bands, rows):
    at = corpora.detection_probability
    assert 0 <= at(s, bands, rows) <= 1
    assert at(max(s, more), bands, rows) >= at(min(s, more), bands, rows) - 1e-12
    assert at(s, bands + 1, rows) >= at(s, bands, rows) - 1e-12
    assert at(s, bands, rows + 1) <= at(s, bands, rows) + 1e-12


def test_detection_ends():
    assert corpora.detection_probability(0, 14, 8) == 0 and corpora.detection_probability(1, 14, 8) == 1
    assert corpora.detection_probability(0.3, 1, 1) == pytest.approx(0.3)


@given(bands=counts, rows=counts, chance=st.floats(0.01, 0.99))
def test_threshold_inverts_detection(bands, rows, chance):
    s = corpora.lsh_threshold(bands, rows, chance)
    assert corpora.detection_probability(s, bands, rows) == pytest.approx(chance, rel=1e-6)


def test_detection_agrees_with_a_simulation():
    random = np.random.default_rng(9)
    agree = random.random((20_000, 14, 8)) < 0.7  # each hash value agrees with probability s
    seen = agree.all(axis=2).any(axis=1).mean()
    assert seen == pytest.approx(corpora.detection_probability(0.7, 14, 8), abs=4 * np.sqrt(0.25 / 20_000))


# Mixtures


@given(sizes=sizes, temperature=st.floats(0.5, 20))
def test_weights_add_to_one_and_keep_the_order(sizes, temperature):
    weights = corpora.mixing_weights(sizes, temperature)
    assert weights.sum() == pytest.approx(1)
    order = np.argsort(sizes, kind="stable")
    assert (np.diff(weights[order]) >= -1e-12).all()


def test_weights_have_their_limits():
    assert corpora.mixing_weights([1, 3]).tolist() == [0.25, 0.75]
    assert corpora.mixing_weights([1, 3], 1e9) == pytest.approx([0.5, 0.5])


@given(sizes=sizes, temperature=st.floats(0.5, 20), budget=st.floats(1e3, 1e13))
def test_source_epochs_spend_the_budget(sizes, temperature, budget):
    epochs = corpora.source_epochs(corpora.mixing_weights(sizes, temperature), budget, sizes)
    assert epochs @ np.array(sizes) == pytest.approx(budget)


def test_weights_that_do_not_add_to_one_are_refused():
    with pytest.raises(ValueError, match="add to 1"):
        corpora.source_epochs([0.5, 0.4], 10, [1, 1])


# Tokenizers


def test_published_counts_of_flores_come_out():  # Petrov et al. 2023, cl100k_base
    assert corpora.fertility(52_835, 42_855) == pytest.approx(1.23, abs=0.005)
    assert corpora.token_premium(231_995, 52_835) == pytest.approx(4.39, abs=0.005)


def test_context_shrinks_by_the_premium():
    assert corpora.effective_context(128e3, 1) == 128e3
    assert corpora.effective_context(128e3, 8.88) == pytest.approx(14_414, abs=1)


def test_embedding_bytes_of_llama_3_8b():
    assert corpora.embedding_bytes(128_256, 4096) == 2 * 2 * 128_256 * 4096
    assert corpora.embedding_bytes(100, 10, tables=1) == corpora.embedding_bytes(100, 10) / 2


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: corpora.tokens_needed(0), "parameters"),
        (lambda: corpora.repeat_value(0.5), "epochs"),
        (lambda: corpora.effective_tokens(-1, 2), "unique_tokens"),
        (lambda: corpora.detection_probability(1.2, 3, 3), "similarity"),
        (lambda: corpora.lsh_threshold(0, 3), "bands"),
        (lambda: corpora.mixing_weights([1, 0]), "sizes"),
        (lambda: corpora.fertility(3, 0), "words"),
        (lambda: corpora.token_premium(0, 3), "tokens"),
        (lambda: corpora.effective_context(1, 0), "premium"),
        (lambda: corpora.embedding_bytes(1, -1), "width"),
    ],
)
def test_bad_arguments_are_named(call, word):
    with pytest.raises(ValueError, match=word):
        call()


def test_models_of_the_explorers_trace():
    def runway(stock, growth):
        return {"years": corpora.crossing_years(stock * corpora.repeat_value(4), 36.0, growth)}

    assert trace(runway, {"stock": 100.0, "growth": 3.7})
    assert trace(lambda s, b, r: {"p": corpora.detection_probability(s, b, r)}, {"s": 0.7, "b": 14.0, "r": 8.0})
