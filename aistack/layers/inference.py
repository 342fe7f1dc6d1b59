"""Layer 12: what it takes, in time, memory and money, to answer with a trained model.

Sizes are bytes, times seconds, rates per second. The bounds count two things a chip must do in a pass: read the
weights and the cached keys and values, and multiply; whichever takes longer sets the time. Attention's own
arithmetic, links between chips and the program around the model are left out unless an efficiency below one stands
for them.
"""

from __future__ import annotations

import numpy as np

from aistack.checks import at_least_one, at_least_zero, fraction, positive, positive_fraction, require

__all__ = [
    "batch_at_speed",
    "best_draft_length",
    "blocks_needed",
    "bytes_read_per_step",
    "compute_bound_batch",
    "cost_usd_per_million_tokens",
    "decode_step_time_s",
    "decode_tokens_per_s",
    "decode_utilisation",
    "gptq",
    "gpus_needed",
    "max_batch",
    "prefill_time_s",
    "price_usd_per_million_tokens",
    "quantise",
    "round_to_grid",
    "signal_to_noise_db",
    "smoothing_scales",
    "speculative_speedup",
    "stored_bits",
    "tokens_per_pass",
]


# Time of a pass


def decode_step_time_s(
    weight_bytes,
    kv_bytes_per_token,
    context_tokens,
    batch,
    active_params,
    bandwidth_b_per_s,
    flop_per_s,
    flop_efficiency=1.0,
    bandwidth_efficiency=1.0,
):
    """Return the seconds of one decoding step, in which each request of a batch gets one token.

    The longer of reading (the weights once, the cache of every request) and multiplying (two operations for each
    weight and request). With both efficiencies 1 it is a bound that no machine beats.

    Parameters
    ----------
    weight_bytes : float or array
        Weights read in a step; for a mixture of experts see :func:`bytes_read_per_step`.
    kv_bytes_per_token : float or array
        Keys and values of one cached token.
    context_tokens : float or array
        Cached tokens of each request.
    batch : float or array
        Requests in the step.
    active_params : float or array
        Weights that take part in one token.
    bandwidth_b_per_s, flop_per_s : float or array
        Of all chips together that hold the model.
    flop_efficiency, bandwidth_efficiency : float or array
        Share of the two peaks that is reached, above 0 and at most 1.

    Raises
    ------
    ValueError
        If a size or rate is not positive, the batch is below one, or an efficiency is not above 0 and at most 1.

    Examples
    --------
    A model of 70 billion weights in 16 bits on 3.35 TB/s.

    >>> round(float(decode_step_time_s(140e9, 0, 0, 1, 70e9, 3.35e12, 989e12)) * 1e3, 1)
    41.8
    """
    positive(weight_bytes=weight_bytes, active_params=active_params)
    positive(bandwidth_b_per_s=bandwidth_b_per_s, flop_per_s=flop_per_s)
    at_least_zero(kv_bytes_per_token=kv_bytes_per_token, context_tokens=context_tokens)
    at_least_one(batch=batch)
    positive_fraction(flop_efficiency=flop_efficiency, bandwidth_efficiency=bandwidth_efficiency)
    read = (weight_bytes + batch * context_tokens * kv_bytes_per_token) / (bandwidth_b_per_s * bandwidth_efficiency)
    multiply = 2 * active_params * batch / (flop_per_s * flop_efficiency)
    return np.maximum(read, multiply)


def decode_tokens_per_s(
    weight_bytes,
    kv_bytes_per_token,
    context_tokens,
    batch,
    active_params,
    bandwidth_b_per_s,
    flop_per_s,
    flop_efficiency=1.0,
    bandwidth_efficiency=1.0,
):
    """Return the tokens a second of a whole batch while it decodes; arguments as :func:`decode_step_time_s`.

    Raises
    ------
    ValueError
        As :func:`decode_step_time_s`.

    Examples
    --------
    >>> round(float(decode_tokens_per_s(140e9, 0, 0, 1, 70e9, 3.35e12, 989e12)), 1)
    23.9
    """
    step_s = decode_step_time_s(
        weight_bytes,
        kv_bytes_per_token,
        context_tokens,
        batch,
        active_params,
        bandwidth_b_per_s,
        flop_per_s,
        flop_efficiency,
        bandwidth_efficiency,
    )
    return batch / step_s


def prefill_time_s(
    prompt_tokens,
    weight_bytes,
    active_params,
    bandwidth_b_per_s,
    flop_per_s,
    flop_efficiency=1.0,
    bandwidth_efficiency=1.0,
):
    """Return the seconds in which a whole prompt passes through the model at once.

    Parameters
    ----------
    prompt_tokens : float or array
        Tokens of the prompt, or of all prompts processed together.
    weight_bytes, active_params, bandwidth_b_per_s, flop_per_s, flop_efficiency, bandwidth_efficiency : float or array
        As :func:`decode_step_time_s`.

    Raises
    ------
    ValueError
        If a size or rate is not positive or an efficiency is not above 0 and at most 1.

    Examples
    --------
    Two thousand tokens through 70 billion weights on eight chips of 989 TFLOP/s, half of it reached.

    >>> round(float(prefill_time_s(2000, 140e9, 70e9, 8 * 3.35e12, 8 * 989e12, flop_efficiency=0.5)), 3)
    0.071
    """
    positive(prompt_tokens=prompt_tokens, weight_bytes=weight_bytes, active_params=active_params)
    positive(bandwidth_b_per_s=bandwidth_b_per_s, flop_per_s=flop_per_s)
    positive_fraction(flop_efficiency=flop_efficiency, bandwidth_efficiency=bandwidth_efficiency)
    multiply = 2 * active_params * prompt_tokens / (flop_per_s * flop_efficiency)
    return np.maximum(multiply, weight_bytes / (bandwidth_b_per_s * bandwidth_efficiency))


def compute_bound_batch(weight_bytes, active_params, bandwidth_b_per_s, flop_per_s):
    """Return the batch from which on multiplying takes longer than reading the weights, the cache left aside.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    16-bit weights on an H100: its peak over its bandwidth.

    >>> round(compute_bound_batch(140e9, 70e9, 3.35e12, 989e12))
    295
    """
    positive(weight_bytes=weight_bytes, active_params=active_params)
    positive(bandwidth_b_per_s=bandwidth_b_per_s, flop_per_s=flop_per_s)
    return weight_bytes * flop_per_s / (2 * active_params * bandwidth_b_per_s)


def bytes_read_per_step(total_bytes, active_bytes, experts, experts_per_token, batch):
    """Return the bytes of weights that one decoding step of a mixture of experts reads.

    Each token visits `experts_per_token` of `experts`, here taken as drawn evenly and independently, so a batch
    touches the share ``1 - (1 - experts_per_token / experts) ** batch`` of them. What is not an expert is read always.

    Parameters
    ----------
    total_bytes, active_bytes : float or array
        All weights, and those that one token visits.
    experts, experts_per_token : float or array
        Routed experts of a layer, and visited ones. Equal for a dense model.
    batch : float or array
        Tokens in the step.

    Raises
    ------
    ValueError
        If a token visits more experts than there are, or `active_bytes` exceeds `total_bytes`.

    Examples
    --------
    Mixtral 8x7B in 16 bits: one token, and a batch of sixteen, in GB.

    >>> [round(float(bytes_read_per_step(93.4e9, 25.8e9, 8, 2, b)) / 1e9, 1) for b in (1, 16)]
    [25.8, 92.5]
    """
    positive(total_bytes=total_bytes, active_bytes=active_bytes)
    at_least_one(experts=experts, experts_per_token=experts_per_token, batch=batch)
    require(np.less_equal(experts_per_token, experts), "experts_per_token cannot exceed experts")
    require(np.less_equal(active_bytes, total_bytes), "active_bytes cannot exceed total_bytes")
    share = experts_per_token / experts
    untouched = (1 - share) ** batch
    # total = fixed + all experts; active = fixed + share of the experts
    expert_bytes = (total_bytes - active_bytes) / np.where(np.less(share, 1), 1 - share, 1)
    return total_bytes - expert_bytes * untouched


def decode_utilisation(active_params, tokens_per_s, flop_per_s):
    """Return the share of the peak that a model's own arithmetic uses in inference: two operations a weight and token.

    Examples
    --------
    >>> round(decode_utilisation(70e9, 23.9, 989e12), 4)
    0.0034
    """
    at_least_zero(tokens_per_s=tokens_per_s)
    positive(active_params=active_params, flop_per_s=flop_per_s)
    return 2 * active_params * tokens_per_s / flop_per_s


# Memory


def gpus_needed(memory_bytes, weight_bytes, cache_bytes=0.0, usable_fraction=0.9):
    """Return the chips whose memory holds weights and cache.

    Parameters
    ----------
    memory_bytes : float or array
        Of one chip.
    weight_bytes, cache_bytes : float or array
        To be held together.
    usable_fraction : float or array
        Share of a chip's memory for the two; vLLM takes 0.9 unless told otherwise.

    Raises
    ------
    ValueError
        If a size is not positive (the cache: below zero).

    Examples
    --------
    >>> int(gpus_needed(80e9, 140e9))
    2
    """
    positive(memory_bytes=memory_bytes, weight_bytes=weight_bytes)
    at_least_zero(cache_bytes=cache_bytes)
    positive_fraction(usable_fraction=usable_fraction)
    return np.ceil((weight_bytes + cache_bytes) / (memory_bytes * usable_fraction))


def max_batch(memory_bytes, weight_bytes, kv_bytes_per_token, context_tokens):
    """Return how many requests of `context_tokens` fit beside the weights, 0 if none does.

    Parameters
    ----------
    memory_bytes : float or array
        Memory for weights and cache, of all chips together.
    weight_bytes, kv_bytes_per_token, context_tokens : float or array
        As :func:`decode_step_time_s`; all positive.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    Eight chips of 80 GB, a 70-billion-weight model in 16 bits, 8,192 tokens each.

    >>> int(max_batch(640e9, 140e9, 327_680, 8192))
    186
    """
    positive(memory_bytes=memory_bytes, weight_bytes=weight_bytes)
    positive(kv_bytes_per_token=kv_bytes_per_token, context_tokens=context_tokens)
    return np.floor(np.maximum(memory_bytes - weight_bytes, 0) / (kv_bytes_per_token * context_tokens))


def batch_at_speed(
    weight_bytes,
    kv_bytes_per_token,
    context_tokens,
    active_params,
    bandwidth_b_per_s,
    flop_per_s,
    memory_bytes,
    user_tokens_per_s,
    flop_efficiency=1.0,
    bandwidth_efficiency=1.0,
):
    """Return the largest batch, as a real number, in which every user still gets a wanted speed.

    The least of three limits: what the memory holds, what can be read and what can be multiplied in the time of one
    token. Below one, the speed is out of reach even for a single user.

    Parameters
    ----------
    weight_bytes, kv_bytes_per_token, context_tokens, active_params, bandwidth_b_per_s, flop_per_s : float or array
        As :func:`decode_step_time_s`; the first three positive.
    memory_bytes : float or array
        Memory for weights and cache, of all chips together.
    user_tokens_per_s : float or array
        Tokens a second that each user gets.
    flop_efficiency, bandwidth_efficiency : float or array
        As :func:`decode_step_time_s`.

    Raises
    ------
    ValueError
        If a size or rate is not positive or an efficiency is not above 0 and at most 1.

    Examples
    --------
    >>> round(float(batch_at_speed(70e9, 327_680, 4096, 70e9, 4 * 3.35e12, 4 * 1979e12, 320e9, 40)), 1)
    186.3

    At that batch the step takes exactly as long as a token may, unless the memory binds.

    >>> round(float(1 / decode_step_time_s(70e9, 327_680, 4096, 186.26, 70e9, 4 * 3.35e12, 4 * 1979e12)))
    42
    """
    positive(weight_bytes=weight_bytes, kv_bytes_per_token=kv_bytes_per_token, context_tokens=context_tokens)
    positive(active_params=active_params, bandwidth_b_per_s=bandwidth_b_per_s, flop_per_s=flop_per_s)
    positive(memory_bytes=memory_bytes, user_tokens_per_s=user_tokens_per_s)
    positive_fraction(flop_efficiency=flop_efficiency, bandwidth_efficiency=bandwidth_efficiency)
    cache_bytes = kv_bytes_per_token * context_tokens
    read_bytes = bandwidth_b_per_s * bandwidth_efficiency / user_tokens_per_s
    room_bytes = np.maximum(np.minimum(memory_bytes, read_bytes) - weight_bytes, 0)
    return np.minimum(room_bytes / cache_bytes, flop_per_s * flop_efficiency / (2 * active_params * user_tokens_per_s))


def blocks_needed(tokens, block_tokens):
    """Return the blocks that hold `tokens`; all but the last are full.

    Examples
    --------
    >>> int(blocks_needed(100, 16))
    7
    """
    at_least_zero(tokens=tokens)
    at_least_one(block_tokens=block_tokens)
    return np.ceil(np.divide(tokens, block_tokens))


# Drafts


def tokens_per_pass(accept, drafts):
    """Return the tokens that one checked pass of speculative decoding yields on average.

    A pass keeps drafts up to the first refusal and adds one token of its own: the sum of ``accept**i`` for i from 0
    to `drafts`. Leviathan and others 2022, arXiv 2211.17192, equation 1, with acceptances independent and equal.

    Parameters
    ----------
    accept : float or array
        Chance that a draft is accepted, from 0 to 1.
    drafts : float or array
        Draft tokens a pass, zero or more.

    Raises
    ------
    ValueError
        If `accept` is not from 0 to 1 or `drafts` is negative.

    Examples
    --------
    >>> round(float(tokens_per_pass(0.7, 5)), 2)
    2.94
    """
    fraction(accept=accept)
    at_least_zero(drafts=drafts)
    refuse = 1 - accept
    return np.where(
        np.greater(refuse, 0), (1 - accept ** (drafts + 1)) / np.where(np.greater(refuse, 0), refuse, 1), drafts + 1
    )


def speculative_speedup(accept, drafts, draft_cost, check_cost=1.0):
    """Return how many times sooner speculative decoding gives the same text.

    Leviathan and others 2022, arXiv 2211.17192, theorem 3.8, with the price of the checked pass added.

    Parameters
    ----------
    accept, drafts : float or array
        As :func:`tokens_per_pass`.
    draft_cost : float or array
        Time of one draft over time of one ordinary pass.
    check_cost : float or array
        Time of the pass that checks over that of an ordinary one: 1 while the weights' reading sets the time, up to
        ``drafts + 1`` where arithmetic does.

    Raises
    ------
    ValueError
        If a cost is negative, or as :func:`tokens_per_pass`.

    Examples
    --------
    >>> round(float(speculative_speedup(0.7, 5, 0.05)), 2)
    2.35
    """
    at_least_zero(draft_cost=draft_cost)
    positive(check_cost=check_cost)
    return tokens_per_pass(accept, drafts) / (drafts * draft_cost + check_cost)


def best_draft_length(accept, draft_cost, longest=32):
    """Return the draft length with the greatest speedup, 0 if drafting only costs.

    Examples
    --------
    >>> best_draft_length(0.7, 0.05), best_draft_length(0.3, 0.5)
    (6, 0)
    """
    lengths = np.arange(longest + 1)
    return int(np.argmax(speculative_speedup(accept, lengths, draft_cost)))


# Money


def cost_usd_per_million_tokens(usd_per_gpu_hour, gpus, tokens_per_s, utilisation):
    """Return what a million tokens cost in rented GPUs.

    Parameters
    ----------
    usd_per_gpu_hour : float or array
        Rent or full cost of one GPU for an hour.
    gpus : float or array
        GPUs that give `tokens_per_s` together.
    tokens_per_s : float or array
        While they work.
    utilisation : float or array
        Share of the hours paid in which they work, above 0 and at most 1.

    Raises
    ------
    ValueError
        If a rate is not positive, the rent is negative or the utilisation is out of range.

    Examples
    --------
    >>> round(float(cost_usd_per_million_tokens(2.5, 8, 6000, 0.5)), 2)
    1.85
    """
    at_least_zero(usd_per_gpu_hour=usd_per_gpu_hour)
    positive(gpus=gpus, tokens_per_s=tokens_per_s)
    positive_fraction(utilisation=utilisation)
    return usd_per_gpu_hour * gpus / (tokens_per_s * utilisation * 3600) * 1e6


def price_usd_per_million_tokens(cost_usd, gross_margin):
    """Return the price that leaves `gross_margin` of itself after the cost.

    Parameters
    ----------
    cost_usd : float or array
        Cost of a million tokens.
    gross_margin : float or array
        Share of the price that is not cost, below 1; negative if sold below cost.

    Raises
    ------
    ValueError
        If the cost is negative or the margin is 1 or more.

    Examples
    --------
    >>> price_usd_per_million_tokens(1.2, 0.4)
    2.0
    """
    at_least_zero(cost_usd=cost_usd)
    require(np.less(gross_margin, 1), f"gross_margin must be below 1, not {gross_margin!r}; give 0.4 for 40 %")
    return cost_usd / (1 - gross_margin)


# Fewer bits


def quantise(values, bits, group=None):
    """Return whole-number codes and the scales that turn them back, each group's largest value on the last code.

    Symmetric rounding to nearest: codes run from ``-(2**(bits-1) - 1)`` to ``2**(bits-1) - 1``.

    Parameters
    ----------
    values : array of float, shape (..., n)
        Grouped along the last axis.
    bits : int
        Of a code, 2 to 16.
    group : int, optional
        Values that share a scale; must divide n. The whole last axis if not given.

    Returns
    -------
    codes : array of int, the shape of `values`
    scales : array of float, shape (..., n / group)

    Raises
    ------
    ValueError
        If `bits` is out of range or `group` does not divide the last axis.

    Examples
    --------
    >>> codes, scales = quantise([0.1, -0.7, 0.32, 0.04], bits=4)
    >>> codes.tolist(), scales.round(3).tolist()
    ([1, -7, 3, 0], [0.1])
    """
    values = np.asarray(values, dtype=float)
    require(2 <= bits <= 16, f"bits must be from 2 to 16, not {bits!r}")
    group = group or values.shape[-1]
    require(values.shape[-1] % group == 0, f"group {group} must divide the last axis, {values.shape[-1]}")
    blocks = values.reshape(*values.shape[:-1], -1, group)
    top = 2 ** (bits - 1) - 1
    largest = np.abs(blocks).max(axis=-1)
    scales = np.where(largest > 0, largest, 1) / top
    codes = np.clip(np.rint(blocks / scales[..., None]), -top, top)
    return codes.reshape(values.shape).astype(int), scales


def round_to_grid(values, bits, group=None):
    """Return values as they come back from :func:`quantise`, same shape.

    Examples
    --------
    >>> round_to_grid([0.1, -0.7, 0.32, 0.04], bits=4).round(3).tolist()
    [0.1, -0.7, 0.3, 0.0]
    """
    codes, scales = quantise(values, bits, group)
    return codes * np.repeat(scales, codes.shape[-1] // scales.shape[-1], axis=-1)


def stored_bits(bits, group, scale_bits=16):
    """Return the bits a weight takes with its part of the group's scale.

    Examples
    --------
    A Q4_0 block of llama.cpp: 32 weights of four bits and one 16-bit scale.

    >>> stored_bits(4, 32)
    4.5
    """
    positive(bits=bits, group=group)
    at_least_zero(scale_bits=scale_bits)
    return bits + scale_bits / group


def signal_to_noise_db(values, approximation):
    """Return the mean square of values over that of their error, in decibel; infinite without error.

    Examples
    --------
    >>> round(float(signal_to_noise_db(np.array([1.0, -1.0]), np.array([1.1, -0.9]))), 1)
    20.0
    """
    error = np.mean(np.square(np.subtract(values, approximation)))
    signal = np.mean(np.square(values))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.divide(signal, error))


def smoothing_scales(input_largest, weight_largest, strength=0.5):
    """Return the factor by which each input channel is divided, and its weights multiplied, before rounding.

    SmoothQuant: Xiao and others 2022, arXiv 2211.10438, equation 4.

    Parameters
    ----------
    input_largest, weight_largest : array of float, shape (inputs,)
        Largest magnitude of each input channel, and of the weights it meets; positive.
    strength : float
        Share of the difficulty moved to the weights, from 0 to 1.

    Raises
    ------
    ValueError
        If a magnitude is not positive or `strength` is out of range.

    Examples
    --------
    >>> smoothing_scales(np.array([64.0, 1.0]), np.array([1.0, 1.0])).tolist()
    [8.0, 1.0]
    """
    positive(input_largest=input_largest, weight_largest=weight_largest)
    fraction(strength=strength)
    return np.power(input_largest, strength) / np.power(weight_largest, 1 - strength)


def gptq(weights, inputs, bits, damping=0.01):
    """Return weights rounded one input at a time, each rounding's error made good by the inputs still to come.

    Each output keeps the scale that :func:`quantise` gives its row. Frantar and others 2022, arXiv 2210.17323; the
    Hessian of a layer's squared error is the inputs' second moments, and its inverse's Cholesky factor says how the
    later weights take over.

    Parameters
    ----------
    weights : array of float, shape (outputs, inputs)
        Of a layer that computes ``inputs @ weights.T``.
    inputs : array of float, shape (samples, inputs)
        Calibration data: what the layer is given in use.
    bits : int
        Of a code, 2 to 16.
    damping : float
        Added to the Hessian's diagonal, as a share of its mean.

    Returns
    -------
    array of float, shape (outputs, inputs)

    Raises
    ------
    ValueError
        If the shapes do not fit or `damping` is not positive.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 8)) @ rng.normal(size=(8, 8))
    >>> w = rng.normal(size=(3, 8))
    >>> plain, clever = round_to_grid(w, 3), gptq(w, x, 3)
    >>> bool(np.square(x @ (w - clever).T).sum() < np.square(x @ (w - plain).T).sum())
    True
    """
    weights, inputs = np.array(weights, dtype=float), np.asarray(inputs, dtype=float)
    require(
        weights.ndim == inputs.ndim == 2 and weights.shape[1] == inputs.shape[1],
        f"weights {weights.shape} and inputs {inputs.shape} must be matrices with the same number of columns",
    )
    positive(damping=damping)
    _, scales = quantise(weights, bits)
    scale, top = scales[:, 0], 2 ** (bits - 1) - 1
    hessian = inputs.T @ inputs
    hessian[np.diag_indices_from(hessian)] += damping * np.mean(np.diag(hessian))
    factor = np.linalg.cholesky(np.linalg.inv(hessian)).T  # upper triangular
    columns = np.ascontiguousarray(weights.T)  # one input after the other
    for start in range(0, len(columns), 64):  # what later blocks take over, they take over from the whole block at once
        stop = min(start + 64, len(columns))
        errors = np.empty((stop - start, len(scale)))
        for i in range(start, stop):
            kept = np.clip(np.rint(columns[i] / scale), -top, top) * scale
            errors[i - start] = error = (columns[i] - kept) / factor[i, i]
            columns[i + 1 : stop] -= np.outer(factor[i, i + 1 : stop], error)
            columns[i] = kept
        columns[stop:] -= factor[start:stop, stop:].T @ errors
    return np.ascontiguousarray(columns.T)
