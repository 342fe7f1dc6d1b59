"""Layer 11: what fine-tuning holds in memory, and what comparing answers teaches a model.

Rewards and log-probabilities are in nats; probabilities and accuracies are fractions; memory is in bytes.
"""

from __future__ import annotations

import numpy as np

from aistack.checks import at_least_one, at_least_zero, fraction, positive, require

__all__ = [
    "adapter_memory_bytes",
    "agreement_to_accuracy",
    "best_of_n_kl",
    "bradley_terry_strengths",
    "cosine_schedule",
    "dpo_gradient",
    "dpo_loss",
    "kl_divergence",
    "kl_optimum",
    "label_cost_usd",
    "lora_parameter_count",
    "majority_accuracy",
    "normal_float_levels",
    "preference_probability",
    "quantization_bits",
    "training_state_bytes",
]


# Pre-training


def cosine_schedule(step, total_steps, peak, warmup_steps=0, floor=0.0):
    """Return the learning rate at a step: a straight rise, then half a cosine down to `floor`.

    Loshchilov and Hutter, SGDR (arXiv 1608.03983), equation 5, with one cycle and a warm-up.

    Parameters
    ----------
    step : int or array
        From 0 to `total_steps`.
    total_steps, warmup_steps : int
        Length of the run and of the rise.
    peak, floor : float
        Highest and last rate.

    Raises
    ------
    ValueError
        If the warm-up is not shorter than the run or the floor above the peak.

    Examples
    --------
    >>> [round(float(cosine_schedule(s, 100, 1.0, 10, 0.1)), 3) for s in (0, 5, 10, 55, 100)]
    [0.0, 0.5, 1.0, 0.55, 0.1]
    """
    positive(peak=peak, total_steps=total_steps)
    at_least_zero(warmup_steps=warmup_steps, floor=floor)
    require(np.less(warmup_steps, total_steps), "warmup_steps must be below total_steps")
    require(np.less_equal(floor, peak), "floor cannot exceed peak")
    rise = step / np.maximum(warmup_steps, 1e-9)
    fall = np.minimum(np.maximum((step - warmup_steps) / (total_steps - warmup_steps), 0), 1)
    return np.where(step < warmup_steps, peak * rise, floor + (peak - floor) * (1 + np.cos(np.pi * fall)) / 2)


# Memory of fine-tuning


def training_state_bytes(parameters, weight_bytes=2, gradient_bytes=2, master_bytes=4, optimizer_bytes=8):
    """Return the bytes that training every parameter holds, without activations.

    The defaults are mixed precision with Adam: 16-bit weights and gradients, a 32-bit copy of the weights and two
    32-bit averages (Rajbhandari et al., ZeRO, arXiv 1910.02054, section 3.1).

    Examples
    --------
    >>> float(training_state_bytes(70e9) / 1e9)
    1120.0
    """
    at_least_zero(parameters=parameters)
    return parameters * 1.0 * (weight_bytes + gradient_bytes + master_bytes + optimizer_bytes)


def lora_parameter_count(width_in, width_out, rank, matrices=1):
    """Return the weights of low-rank adapters: ``rank`` columns and rows beside each adapted matrix.

    Hu et al., LoRA (arXiv 2106.09685), section 4.1.

    Parameters
    ----------
    width_in, width_out : int
        Sides of each adapted matrix.
    rank : int
        Rank of the update, at most the shorter side.
    matrices : int
        Matrices adapted.

    Raises
    ------
    ValueError
        If the rank is below one or above the shorter side.

    Examples
    --------
    >>> int(lora_parameter_count(12288, 12288, 4, matrices=2 * 96))
    18874368
    """
    at_least_one(rank=rank)
    require(np.less_equal(rank, np.minimum(width_in, width_out)), "rank cannot exceed the shorter side of the matrix")
    return matrices * rank * (width_in + width_out)


def quantization_bits(bits, block=64, constant_bits=32, second_block=0, second_bits=8):
    """Return the bits each weight takes once every block's scale is counted.

    With `second_block` the scales are themselves stored in `second_bits` and only every `second_block` of them
    keeps a full constant: double quantization (Dettmers et al., QLoRA, arXiv 2305.14314, section 3).

    Examples
    --------
    >>> quantization_bits(4), round(quantization_bits(4, second_block=256), 3)
    (4.5, 4.127)
    """
    positive(bits=bits, block=block)
    at_least_zero(second_block=second_block)
    if not second_block:
        return bits + constant_bits / block
    return bits + second_bits / block + constant_bits / (block * second_block)


def adapter_memory_bytes(parameters, trainable, weight_bits=16.0, state_bytes=16.0):
    """Return the bytes of a frozen model and its trained adapters, without activations.

    Parameters
    ----------
    parameters : float
        Frozen weights.
    trainable : float
        Adapter weights.
    weight_bits : float
        Bits of a frozen weight, scales included (:func:`quantization_bits`).
    state_bytes : float
        Bytes of weights, gradients and optimizer for each trained weight.

    Examples
    --------
    >>> float(adapter_memory_bytes(65e9, 0, weight_bits=4.0) / 1e9)
    32.5
    """
    at_least_zero(parameters=parameters, trainable=trainable, state_bytes=state_bytes)
    positive(weight_bits=weight_bits)
    return parameters * weight_bits / 8 + trainable * state_bytes


def normal_float_levels(offset=0.9677083):
    """Return the sixteen levels of 4-bit NormalFloat, from -1 to 1.

    Quantiles of a normal distribution, one more above zero than below so that zero itself is a level (Dettmers et al., QLoRA,
    arXiv 2305.14314, appendix E; `offset` as in bitsandbytes).

    Examples
    --------
    >>> normal_float_levels().round(4)[[0, 1, 7, 8, 15]].tolist()
    [-1.0, -0.6962, 0.0, 0.0796, 1.0]
    """
    from scipy.stats import norm

    require(0.5 < offset < 1, f"offset must lie between 0.5 and 1, not {offset!r}")
    above = norm.ppf(np.linspace(offset, 0.5, 9)[:-1])
    below = -norm.ppf(np.linspace(offset, 0.5, 8)[:-1])
    levels = np.sort(np.concatenate([above, [0.0], below]))
    return levels / levels.max()


# Preferences


def preference_probability(margin):
    """Return the probability that the first of two answers is preferred, by Bradley and Terry (1952).

    Parameters
    ----------
    margin : float or array
        Reward of the first less reward of the second.

    Examples
    --------
    >>> float(preference_probability(0.0)), round(float(preference_probability(1.0)), 3)
    (0.5, 0.731)
    """
    small = np.exp(-np.abs(margin))  # never overflows, and keeps its digits far from zero
    return np.where(np.greater_equal(margin, 0), 1, small) / (1 + small)


def bradley_terry_strengths(wins, rounds=1000):
    """Return rewards, mean zero, under which the counted comparisons are most probable.

    Hunter (2004), "MM algorithms for generalized Bradley-Terry models": each strength becomes its wins divided by the sum, over
    opponents, of comparisons over summed strengths.

    Parameters
    ----------
    wins : array, shape (n, n)
        How often row was preferred to column.
    rounds : int
        Passes of the algorithm.

    Returns
    -------
    array, shape (n,)

    Raises
    ------
    ValueError
        If an item never won or never lost, which would put its reward at infinity.

    Examples
    --------
    >>> bradley_terry_strengths([[0, 3], [1, 0]]).round(3).tolist()
    [0.549, -0.549]
    """
    wins = np.asarray(wins, dtype=float)
    require(wins.ndim == 2 and wins.shape[0] == wins.shape[1], "wins must be square")
    at_least_zero(wins=wins)
    wins = wins - np.diag(np.diag(wins))
    won = wins.sum(axis=1)
    require(np.all(won > 0) and np.all(wins.sum(axis=0) > 0), "every item needs a win and a loss")
    met, strength = wins + wins.T, np.ones(len(wins))
    for _ in range(rounds):
        strength = won / (met / (strength[:, None] + strength)).sum(axis=1)
        strength /= np.exp(np.log(strength).mean())
    return np.log(strength)


def agreement_to_accuracy(agreement):
    """Return how often each of two equally good judges is right, given how often they agree.

    Independent judges who are right with probability p on every pair agree with probability p^2 + (1 - p)^2.

    Raises
    ------
    ValueError
        If the agreement lies outside 0.5 to 1.

    Examples
    --------
    >>> round(float(agreement_to_accuracy(0.73)), 3)
    0.839
    """
    require(
        np.logical_and(np.greater_equal(agreement, 0.5), np.less_equal(agreement, 1)),
        "agreement must be from 0.5 to 1",
    )
    return (1 + np.sqrt(2 * agreement - 1)) / 2


def majority_accuracy(accuracy, judges):
    """Return how often the majority of independent judges is right (Condorcet, 1785).

    Parameters
    ----------
    accuracy : float
        How often one judge is right.
    judges : int
        An odd number.

    Raises
    ------
    ValueError
        If the number of judges is even.

    Examples
    --------
    >>> round(float(majority_accuracy(0.7, 3)), 3)
    0.784
    """
    from scipy.stats import binom

    fraction(accuracy=accuracy)
    at_least_one(judges=judges)
    require(judges % 2 == 1, f"judges must be odd, not {judges!r}")
    return binom.sf(judges // 2, judges, accuracy)


def label_cost_usd(comparisons, price_usd, judges=1):
    """Return what labelling comparisons costs, each by so many judges.

    Examples
    --------
    >>> label_cost_usd(160_800, 1.0), label_cost_usd(160_800, 0.01, judges=5)
    (160800.0, 8040.0)
    """
    at_least_zero(comparisons=comparisons, price_usd=price_usd)
    at_least_one(judges=judges)
    return comparisons * price_usd * judges


# Optimising against them


def dpo_loss(margin, beta):
    """Return the DPO loss of one pair in nats.

    Rafailov et al. (arXiv 2305.18290), equation 7.

    Parameters
    ----------
    margin : float or array
        log(policy/reference) of the preferred answer less the same of the other, in nats.
    beta : float
        Strength of the pull towards the reference.

    Examples
    --------
    >>> round(float(dpo_loss(0.0, 0.1)), 4), round(float(dpo_loss(10.0, 0.1)), 4)
    (0.6931, 0.3133)
    """
    positive(beta=beta)
    x = beta * margin
    return np.maximum(-x, 0) + np.log1p(np.exp(-np.abs(x)))


def dpo_gradient(margin, beta):
    """Return the derivative of :func:`dpo_loss` by the margin: minus beta times how wrong the pair still is.

    Examples
    --------
    >>> float(dpo_gradient(0.0, 0.1))
    -0.05
    """
    positive(beta=beta)
    return -beta * preference_probability(-beta * margin)


def kl_divergence(p, q):
    """Return the Kullback-Leibler divergence of p from q in nats, over the last axis.

    Raises
    ------
    ValueError
        If p has mass where q has none.

    Examples
    --------
    >>> round(float(kl_divergence([0.5, 0.5], [0.9, 0.1])), 4)
    0.5108
    """
    there = np.greater(p, 0)
    require(np.logical_or(np.greater(q, 0), np.logical_not(there)), "p has mass where q has none: it is infinite")
    return np.sum(np.multiply(p, np.log(np.where(there, p, 1) / np.where(there, q, 1))), axis=-1)


def kl_optimum(reference, reward, beta):
    """Return the policy that maximises reward less beta times its KL divergence from the reference.

    The reference times exp(reward / beta), normalised (Rafailov et al., arXiv 2305.18290, equation 4).

    Parameters
    ----------
    reference : array, shape (n,)
        Probabilities of the answers before.
    reward : array, shape (n,)
        Reward of each answer.
    beta : float or array, shape (m, 1)
        Weight of the divergence, in units of reward a nat.

    Returns
    -------
    array, shape (n,) or (m, n)

    Examples
    --------
    >>> kl_optimum(np.array([0.5, 0.5]), np.array([1.0, 0.0]), 1.0).round(3).tolist()
    [0.731, 0.269]
    """
    positive(beta=beta)
    tilted = reference * np.exp((reward - np.max(reward)) / beta)
    return tilted / np.sum(tilted, axis=-1)[..., None]


def best_of_n_kl(n):
    """Return how far taking the best of n samples moves a policy, in nats: log n - (n - 1) / n.

    Exact if no two answers tie, else an upper bound (Beirami et al., arXiv 2401.01879).

    Examples
    --------
    >>> [round(float(best_of_n_kl(n)), 3) for n in (1, 2, 16, 1000)]
    [0.0, 0.193, 1.835, 5.909]
    """
    at_least_one(n=n)
    return np.log(n) - (n - 1) / n
