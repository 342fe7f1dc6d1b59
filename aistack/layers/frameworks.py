"""Layer 7: what a derivative costs, what a training step has to remember, and what a compiler saves.

Costs of the two modes of automatic differentiation, activation memory of a transformer layer, checkpointing, bytes of
training state, and the memory traffic of elementwise operations before and after fusion. Sizes are bytes and seconds.
"""

from __future__ import annotations

import numpy as np

from aistack.checks import at_least_one, at_least_zero, positive

__all__ = [
    "activation_bytes_per_layer",
    "attention_flop_share",
    "best_segment",
    "central_difference_error",
    "checkpoint_extra_forward",
    "checkpoint_memory_bytes",
    "forward_mode_cost",
    "fused_traffic_bytes",
    "linear_step_flop_count",
    "memory_bound_time",
    "reverse_mode_cost",
    "selective_recompute_overhead",
    "training_state_bytes",
    "unfused_traffic_bytes",
]

JVP_COST = 2.5  #: at most, in evaluations of the function: Griewank and Walther (2008), chapter 4
VJP_COST = 4.0  #: at most, in evaluations of the function: Griewank and Walther (2008), chapter 4
MATRIX_BYTES, SCORE_BYTES = 34.0, 5.0  #: per token and hidden unit; per score: Korthikanti et al. (2022), equation 1


# Derivatives


def central_difference_error(step, third_derivative, value, precision):
    """Return the error bound of a central difference: what the step cuts off plus what rounding adds.

    Parameters
    ----------
    step : number or array
        Distance h to either side, in units of the input.
    third_derivative : number
        Size of the third derivative near the point.
    value : number
        Size of the function near the point.
    precision : number
        Relative rounding error of one evaluation, such as 1.1e-16.

    Returns
    -------
    number or array
        ``h^2/6 |f'''| + precision |f| / h``.

    Raises
    ------
    ValueError
        If the step or precision is not positive, or a size is negative.

    References
    ----------
    Press et al., Numerical Recipes (2007), section 5.7.

    Examples
    --------
    The best step for sizes of one is near the cube root of the precision, and the error near its two-thirds power:

    >>> float(central_difference_error(1e-5, 1.0, 1.0, 1e-16)) < 1e-10
    True
    """
    positive(step=step, precision=precision)
    at_least_zero(third_derivative=third_derivative, value=value)
    return step**2 / 6 * third_derivative + precision * value / step


def forward_mode_cost(inputs, jvp_cost=JVP_COST):
    """Return the cost of a whole gradient in forward mode, in evaluations of the function: one pass an input.

    Parameters
    ----------
    inputs : number
        Inputs to differentiate by.
    jvp_cost : number
        Cost of one Jacobian-vector product; at most 2.5.

    Raises
    ------
    ValueError
        If a number is below one.

    References
    ----------
    Griewank and Walther, Evaluating Derivatives (2008), chapter 4.

    Examples
    --------
    >>> forward_mode_cost(1000)
    2500.0
    """
    at_least_one(inputs=inputs, jvp_cost=jvp_cost)
    return inputs * jvp_cost


def reverse_mode_cost(outputs=1, vjp_cost=VJP_COST):
    """Return the cost of a whole gradient in reverse mode, in evaluations of the function: one pass an output.

    Parameters
    ----------
    outputs : number
        Outputs to differentiate; a loss is one.
    vjp_cost : number
        Cost of one vector-Jacobian product with its forward pass; at most 4, and 3 for matrix products.

    Raises
    ------
    ValueError
        If a number is below one.

    References
    ----------
    Griewank and Walther, Evaluating Derivatives (2008), chapter 4: the cheap gradient principle.

    Examples
    --------
    Whatever the number of inputs:

    >>> reverse_mode_cost()
    4.0
    """
    at_least_one(outputs=outputs, vjp_cost=vjp_cost)
    return outputs * vjp_cost


def linear_step_flop_count(rows, inner, columns):
    """Return the floating-point operations of a linear layer in one training step: forward, and two products back.

    Parameters
    ----------
    rows, inner, columns : number
        ``Y[rows, columns] = X[rows, inner] W[inner, columns]``; an addition and a multiplication count as two.

    Raises
    ------
    ValueError
        If a size is not positive.

    Examples
    --------
    Forward 2mkn, then as much for the gradient of X and again for that of W:

    >>> linear_step_flop_count(2, 3, 4) / (2 * 2 * 3 * 4)
    3.0
    """
    positive(rows=rows, inner=inner, columns=columns)
    return 6 * rows * inner * columns


# What a step has to remember


def activation_bytes_per_layer(tokens, hidden, heads, sequence, keep_scores=True):
    """Return the bytes that one transformer layer keeps for its backward pass, in 16 bits and without parallelism.

    Parameters
    ----------
    tokens : number
        Tokens in the batch: batch times sequence.
    hidden, heads : number
        Width and attention heads.
    sequence : number
        Tokens of one sequence.
    keep_scores : bool
        Keep the attention scores too, ``5 a s / h`` bytes a token and hidden unit; recomputing them saves that part.

    Returns
    -------
    number, bytes

    Raises
    ------
    ValueError
        If a size is not positive.

    References
    ----------
    Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models (2022), equation 1, for GELU,
    dropout and no fused attention.

    Examples
    --------
    GPT-3 175B, one sequence of 2,048: 2.87 GB a layer, of which 80 parts in 114 are scores.

    >>> round(activation_bytes_per_layer(2048, 12288, 96, 2048) / 1e9, 2)
    2.87
    >>> round(1 - activation_bytes_per_layer(2048, 12288, 96, 2048, False) / activation_bytes_per_layer(2048, 12288, 96, 2048), 3)
    0.702
    """
    positive(tokens=tokens, hidden=hidden, heads=heads, sequence=sequence)
    scores = SCORE_BYTES * heads * sequence / hidden if keep_scores else 0.0
    return tokens * hidden * (MATRIX_BYTES + scores)


def attention_flop_share(hidden, sequence):
    """Return the share of a layer's arithmetic that is in the two products of attention, ``s / (6h + s)``.

    A layer of width h spends 24 h^2 operations a token in its weights and 4 s h in the scores and their use, forward.

    Raises
    ------
    ValueError
        If a size is not positive.

    Examples
    --------
    >>> round(100 * attention_flop_share(12288, 2048), 1)
    2.7
    """
    positive(hidden=hidden, sequence=sequence)
    return sequence / (6 * hidden + sequence)


def selective_recompute_overhead(hidden, sequence):
    """Return the extra arithmetic of recomputing only the attention products once, as a fraction of a training step.

    One forward pass of them against three passes (forward, and twice that backward) of everything.

    Raises
    ------
    ValueError
        If a size is not positive.

    Examples
    --------
    >>> round(100 * selective_recompute_overhead(12288, 2048), 1)
    0.9
    """
    return attention_flop_share(hidden, sequence) / 3


def checkpoint_memory_bytes(layers, segment, layer_bytes, boundary_bytes):
    """Return the peak activation memory when only the input of every segment is kept and one segment lives at a time.

    Parameters
    ----------
    layers, segment : number
        Layers of the network, and of a segment.
    layer_bytes : number
        What one layer keeps for its backward pass.
    boundary_bytes : number
        What stands between two layers.

    Returns
    -------
    number, bytes
        ``layers / segment * boundary_bytes + segment * layer_bytes``.

    Raises
    ------
    ValueError
        If a number of layers is below one or a size is not positive.

    References
    ----------
    Chen et al., Training Deep Nets with Sublinear Memory Cost (2016).

    Examples
    --------
    A hundred layers whose boundary is as large as what a layer keeps, in segments of ten: a fifth.

    >>> checkpoint_memory_bytes(100, 10, 1.0, 1.0)
    20.0
    """
    at_least_one(layers=layers, segment=segment)
    positive(layer_bytes=layer_bytes, boundary_bytes=boundary_bytes)
    return layers / segment * boundary_bytes + segment * layer_bytes


def best_segment(layers, layer_bytes, boundary_bytes):
    """Return the length of a segment that needs the least memory, where both parts of it are equal.

    Parameters and errors as in :func:`checkpoint_memory_bytes`.

    Examples
    --------
    >>> float(best_segment(100, 1.0, 1.0))
    10.0
    """
    at_least_one(layers=layers)
    positive(layer_bytes=layer_bytes, boundary_bytes=boundary_bytes)
    return np.sqrt(layers * boundary_bytes / layer_bytes)


def checkpoint_extra_forward(layers, segment):
    """Return the forward work done a second time, as a fraction of one forward pass.

    All segments but the last are run again; the last is still in memory when the backward pass begins.

    Raises
    ------
    ValueError
        If a number of layers is below one.

    Examples
    --------
    >>> float(checkpoint_extra_forward(100, 10))
    0.9
    """
    at_least_one(layers=layers, segment=segment)
    return np.maximum(1 - segment / layers, 0.0)


def training_state_bytes(parameters, weight_bytes, gradient_bytes, master_bytes, optimizer_bytes):
    """Return the bytes of weights, gradients, master copy and optimizer state of a model in training.

    Parameters
    ----------
    parameters : number
    weight_bytes, gradient_bytes, master_bytes, optimizer_bytes : number
        Bytes a parameter of each.

    Raises
    ------
    ValueError
        If a number is negative.

    Examples
    --------
    Seven billion parameters with AdamW in mixed precision, 16 bytes each:

    >>> training_state_bytes(7e9, 2, 2, 4, 8) / 1e9
    112.0
    """
    parts = {"weight_bytes": weight_bytes, "gradient_bytes": gradient_bytes, "master_bytes": master_bytes, "optimizer_bytes": optimizer_bytes}  # fmt: skip
    at_least_zero(parameters=parameters, **parts)
    return parameters * sum(parts.values())


# Fusion


def unfused_traffic_bytes(operations, elements, bytes_per_element):
    """Return the bytes that a chain of elementwise operations moves when each reads and writes memory.

    Raises
    ------
    ValueError
        If there is no operation, or a size is not positive.

    Examples
    --------
    >>> unfused_traffic_bytes(10, 1e6, 4) / 1e6
    80.0
    """
    at_least_one(operations=operations)
    positive(elements=elements, bytes_per_element=bytes_per_element)
    return 2 * operations * elements * bytes_per_element


def fused_traffic_bytes(elements, bytes_per_element):
    """Return the bytes of the same chain as one kernel: read once, written once.

    Raises
    ------
    ValueError
        If a size is not positive.

    Examples
    --------
    >>> fused_traffic_bytes(1e6, 4) / 1e6
    8.0
    """
    positive(elements=elements, bytes_per_element=bytes_per_element)
    return 2 * elements * bytes_per_element


def memory_bound_time(traffic_bytes, kernels, bandwidth_b_per_s, launch_s=0.0):
    """Return the time of kernels that wait for memory: bytes over bandwidth, and a start for each kernel.

    Parameters
    ----------
    traffic_bytes : number
    kernels : number
        Kernels started one after the other.
    bandwidth_b_per_s : number
    launch_s : number
        What starting one kernel costs.

    Returns
    -------
    number, seconds

    Raises
    ------
    ValueError
        If the bandwidth is not positive or another number is negative.

    Examples
    --------
    >>> round(memory_bound_time(80e6, 10, 3.35e12, 5e-6) * 1e6, 1)
    73.9
    """
    at_least_zero(traffic_bytes=traffic_bytes, kernels=kernels, launch_s=launch_s)
    positive(bandwidth_b_per_s=bandwidth_b_per_s)
    return traffic_bytes / bandwidth_b_per_s + kernels * launch_s
