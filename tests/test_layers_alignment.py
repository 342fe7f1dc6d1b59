"""Layer 11 against published values, closed forms, optimisers and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from aistack.layers import alignment as al
from aistack.trace import trace

rewards = st.lists(st.floats(-5, 5), min_size=2, max_size=8)
betas = st.floats(0.05, 20)

# Pre-training


def test_cosine_schedule_rises_turns_at_the_warmup_and_ends_at_the_floor():
    rate = al.cosine_schedule(np.arange(1001), 1000, 3e-4, 100, 3e-5)
    assert rate[0] == 0 and rate[100] == pytest.approx(3e-4) and rate[-1] == pytest.approx(3e-5)
    assert (np.diff(rate[:101]) > 0).all() and (np.diff(rate[100:]) < 0).all()
    assert rate[550] == pytest.approx((3e-4 + 3e-5) / 2)


def test_cosine_schedule_without_warmup_starts_at_the_peak():
    assert al.cosine_schedule(0, 10, 1.0) == 1


@pytest.mark.parametrize("change", [{"warmup_steps": 10}, {"floor": 2.0}, {"peak": 0.0}])
def test_cosine_schedule_refuses_impossible_settings(change):
    with pytest.raises(ValueError):
        al.cosine_schedule(**({"step": 1, "total_steps": 10, "peak": 1.0} | change))


# Memory


def test_training_state_of_a_70b_model_is_1120_gb_and_560_is_half():
    assert al.training_state_bytes(70e9) == 1120e9
    assert al.training_state_bytes(70e9, master_bytes=0, optimizer_bytes=4) == 560e9


def test_lora_checkpoint_of_gpt3_is_the_published_35_mb():
    # arXiv 2106.09685, section 4.2: rank 4 on the query and value matrices of 96 layers, two bytes each
    assert 2 * al.lora_parameter_count(12288, 12288, 4, 2 * 96) / 1e6 == pytest.approx(35, rel=0.1)
    # table 2 there: rank 1 on four matrices, or rank 2 on two, has as many
    assert al.lora_parameter_count(12288, 12288, 1, 4) == al.lora_parameter_count(12288, 12288, 2, 2)


def test_lora_on_roberta_base_is_0_3_million_beside_the_head():
    # rank 8 on query and value of 12 layers of width 768: 0.3 million in the paper's table 2
    assert al.lora_parameter_count(768, 768, 8, 24) / 1e6 == pytest.approx(0.3, abs=0.01)


def test_lora_counts_the_two_factors_of_a_real_product():
    b, a = np.zeros((7, 3)), np.zeros((3, 5))
    assert al.lora_parameter_count(5, 7, 3) == b.size + a.size and (b @ a).shape == (7, 5)


def test_lora_refuses_a_rank_above_the_matrix():
    with pytest.raises(ValueError, match="rank"):
        al.lora_parameter_count(8, 4, 5)


def test_double_quantization_saves_the_published_0_373_bits():
    assert al.quantization_bits(4) - al.quantization_bits(4, second_block=256) == pytest.approx(0.373, abs=5e-4)


def test_adapter_memory_splits_into_frozen_and_trained():
    assert al.adapter_memory_bytes(1e9, 1e6, 16) == 2e9 + 16e6
    assert al.adapter_memory_bytes(0, 1e6) == al.training_state_bytes(1e6)


def test_normal_float_levels_are_those_of_the_paper():
    published = [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
        -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
        0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ]  # fmt: skip
    assert np.allclose(al.normal_float_levels(), published, atol=1e-6)


def test_normal_float_levels_refuse_an_offset_outside():
    with pytest.raises(ValueError):
        al.normal_float_levels(1.0)


# Preferences


@given(st.floats(-30, 30))
def test_preference_probability_is_symmetric_and_logistic(margin):
    p = al.preference_probability(margin)
    assert p + al.preference_probability(-margin) == pytest.approx(1)
    assert p == pytest.approx(1 / (1 + np.exp(-margin)), abs=1e-12)


def test_bradley_terry_recovers_the_rewards_that_made_the_comparisons():
    rng = np.random.default_rng(11)
    truth = np.array([1.0, 0.4, 0.0, -0.5, -0.9])
    chance = al.preference_probability(truth[:, None] - truth)
    wins = np.triu(rng.binomial(4000, chance), 1)
    wins = wins + np.tril(4000 - wins.T, -1)
    assert np.allclose(al.bradley_terry_strengths(wins), truth, atol=0.08)


def test_bradley_terry_is_the_maximum_of_the_likelihood():
    wins = np.array([[0, 7, 9, 4], [3, 0, 6, 5], [2, 4, 0, 8], [1, 3, 2, 0]])

    def negative(s):
        return (wins * np.log1p(np.exp(s[None, :] - s[:, None]))).sum()

    best = minimize(negative, np.zeros(4)).x
    assert np.allclose(al.bradley_terry_strengths(wins), best - best.mean(), atol=1e-4)


@pytest.mark.parametrize("wins", [[[0, 3], [0, 0]], [[0, 1, 2], [1, 0, 2]], [[0, -1], [1, 0]]])
def test_bradley_terry_refuses_what_has_no_answer(wins):
    with pytest.raises(ValueError):
        al.bradley_terry_strengths(wins)


@given(st.floats(0.5, 1))
def test_agreement_and_accuracy_invert_each_other(accuracy):
    agreement = accuracy**2 + (1 - accuracy) ** 2
    assert al.agreement_to_accuracy(agreement) == pytest.approx(accuracy, abs=1e-6)


def test_agreement_below_chance_is_refused():
    with pytest.raises(ValueError):
        al.agreement_to_accuracy(0.4)


def test_majority_accuracy_rises_with_judges_only_above_a_half():
    votes = [1, 3, 5, 11, 101]
    assert (np.diff([al.majority_accuracy(0.6, n) for n in votes]) > 0).all()
    assert (np.diff([al.majority_accuracy(0.4, n) for n in votes]) < 0).all()
    assert al.majority_accuracy(0.5, 9) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="odd"):
        al.majority_accuracy(0.7, 4)


def test_label_cost_is_a_product():
    assert al.label_cost_usd(1000, 5.0, 3) == 15000
    with pytest.raises(ValueError):
        al.label_cost_usd(-1, 5.0)


# Optimising


@given(st.floats(-50, 50), betas)
def test_dpo_gradient_is_the_derivative_of_the_loss(margin, beta):
    h = 1e-5
    numeric = (al.dpo_loss(margin + h, beta) - al.dpo_loss(margin - h, beta)) / (2 * h)
    assert al.dpo_gradient(margin, beta) == pytest.approx(numeric, abs=1e-4)


def test_dpo_loss_is_log_2_untrained_and_never_overflows():
    assert al.dpo_loss(0.0, 0.3) == pytest.approx(np.log(2))
    assert al.dpo_loss(-1e6, 1.0) == 1e6 and al.dpo_loss(1e6, 1.0) == 0
    with pytest.raises(ValueError):
        al.dpo_loss(1.0, 0.0)


@given(rewards, betas)
def test_kl_optimum_beats_every_other_policy(reward, beta):
    reward = np.array(reward)
    reference = np.arange(1, len(reward) + 1) / np.arange(1, len(reward) + 1).sum()

    def score(p):
        return p @ reward - beta * al.kl_divergence(p, reference)

    best = al.kl_optimum(reference, reward, beta)
    assert best.sum() == pytest.approx(1)
    for other in np.random.default_rng(0).dirichlet(np.ones(len(reward)), 20):
        assert score(best) >= score(other) - 1e-9
    # its value is beta times the log of the mean of exp(reward / beta)
    top = reward.max()
    assert score(best) == pytest.approx(top + beta * np.log(reference @ np.exp((reward - top) / beta)))


def test_kl_optimum_hides_the_reward_in_the_ratio():
    # the step that makes DPO possible: differences of beta * log(policy / reference) are differences of reward
    reference, reward = np.array([0.2, 0.5, 0.3]), np.array([0.3, -1.0, 2.0])
    implied = 0.7 * np.log(al.kl_optimum(reference, reward, 0.7) / reference)
    assert np.allclose(implied - implied[0], reward - reward[0])


def test_kl_optimum_limits_are_the_reference_and_the_best_answer():
    reference, reward = np.array([0.7, 0.2, 0.1]), np.array([0.0, 1.0, 3.0])
    assert np.allclose(al.kl_optimum(reference, reward, 1e9), reference)
    assert np.allclose(al.kl_optimum(reference, reward, 1e-3), [0, 0, 1])
    assert al.kl_optimum(reference, reward, np.array([[0.5], [2.0]])).shape == (2, 3)


def test_kl_divergence_is_zero_for_equals_and_refuses_impossible_mass():
    assert al.kl_divergence([0.3, 0.7], [0.3, 0.7]) == 0
    assert al.kl_divergence([0.0, 1.0], [0.5, 0.5]) == pytest.approx(np.log(2))
    with pytest.raises(ValueError):
        al.kl_divergence([0.5, 0.5], [1.0, 0.0])


@pytest.mark.parametrize("n", [1, 2, 4, 16])
def test_best_of_n_kl_is_that_of_the_best_of_many_equal_answers(n):
    m = 20000  # ranked answers, all equally likely: the best of n is the k-th with ((k + 1)^n - k^n) / m^n
    k = np.arange(m)
    best = ((k + 1) / m) ** n - (k / m) ** n
    assert al.best_of_n_kl(n) == pytest.approx(al.kl_divergence(best, np.full(m, 1 / m)), abs=2e-3)


def test_best_of_n_kl_bounds_what_ties_allow():
    for n in (2, 8, 64):  # two answers, one preferred: the divergence cannot pass log 2
        best = np.array([0.5**n, 1 - 0.5**n])
        assert al.kl_divergence(best, [0.5, 0.5]) <= al.best_of_n_kl(n)


def test_models_of_the_explorers_trace():
    lengths = np.linspace(0, 1, 11)

    def model(beta, rank):
        policy = al.kl_optimum(np.ones(11) / 11, lengths, beta)
        return {
            "mean": np.sum(policy * lengths), "kl": al.kl_divergence(policy, np.ones(11) / 11), "loss": al.dpo_loss(lengths, beta), "slope": al.dpo_gradient(lengths, beta),
            "memory": al.adapter_memory_bytes(7e10, al.lora_parameter_count(8192, 8192, rank, 320), 4),
            "rate": al.cosine_schedule(lengths, 1, beta),
        }  # fmt: skip

    assert trace(model, {"beta": 1.0, "rank": 8.0})
