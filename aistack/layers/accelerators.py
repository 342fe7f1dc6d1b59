"""Layer 3: chips that multiply matrices, and the memory that feeds them.

Rooflines, the arithmetic intensity of matrix products and attention, the time of a decoding step, and a systolic array counted in
cycles. Rates are operations a second (a multiplication and an addition are two), dense unless a name says sparse; bandwidths are
bytes a second of the whole package.
"""

from __future__ import annotations

import numpy as np

from aistack.checks import at_least_one, at_least_zero, positive, require

__all__ = [
    "attainable_flop_per_s",
    "attention_intensity",
    "core_ceilings",
    "decode_step_time",
    "decode_tokens_per_s",
    "energy_per_token_j",
    "gemm_bytes",
    "gemm_flop_count",
    "gemm_intensity",
    "kv_bytes_per_token",
    "model_flop_utilisation",
    "ridge_point",
    "sparse_decode_speedup",
    "systolic_cycles",
    "systolic_tiles",
    "systolic_utilisation",
]


def ridge_point(peak_flop_per_s, bandwidth_b_per_s):
    """Return the intensity at which memory and arithmetic take equally long, FLOP/B.

    Source: Williams, Waterman and Patterson, Roofline, CACM 52(4), 2009.

    Raises
    ------
    ValueError
        If a rate is not positive.

    Examples
    --------
    H100 SXM, dense BF16.

    >>> round(ridge_point(989e12, 3.35e12))
    295
    """
    positive(peak_flop_per_s=peak_flop_per_s, bandwidth_b_per_s=bandwidth_b_per_s)
    return peak_flop_per_s / bandwidth_b_per_s


def attainable_flop_per_s(intensity_flop_per_b, peak_flop_per_s, bandwidth_b_per_s):
    """Return the roofline: the lower of the peak and intensity times bandwidth, FLOP/s. Traceable.

    Raises
    ------
    ValueError
        If the intensity is negative or a rate is not positive.

    Examples
    --------
    >>> float(attainable_flop_per_s(1, 989e12, 3.35e12)) / 1e12
    3.35
    """
    at_least_zero(intensity_flop_per_b=intensity_flop_per_b)
    positive(peak_flop_per_s=peak_flop_per_s, bandwidth_b_per_s=bandwidth_b_per_s)
    return np.minimum(peak_flop_per_s, intensity_flop_per_b * bandwidth_b_per_s)


def gemm_flop_count(m, k, n):
    """Return the operations of an (m, k) by (k, n) product: a multiplication and an addition for each of mkn.

    Raises
    ------
    ValueError
        If a size is below one.

    Examples
    --------
    >>> gemm_flop_count(2, 3, 4)
    48
    """
    at_least_one(m=m, k=k, n=n)
    return 2 * m * k * n


def gemm_bytes(m, k, n, bytes_per_value=2):
    """Return the least bytes a product moves: each operand read once, the result written once.

    Raises
    ------
    ValueError
        If a size is below one or the bytes are not positive.

    Examples
    --------
    >>> gemm_bytes(2, 3, 4)
    52
    """
    at_least_one(m=m, k=k, n=n)
    positive(bytes_per_value=bytes_per_value)
    return bytes_per_value * (m * k + k * n + m * n)


def gemm_intensity(m, k, n, bytes_per_value=2):
    """Return operations for each byte of a product, FLOP/B; n/3 for square matrices of 2-byte values.

    Raises
    ------
    ValueError
        As :func:`gemm_bytes`.

    Examples
    --------
    >>> gemm_intensity(3000, 3000, 3000)
    1000.0
    >>> round(gemm_intensity(1, 8192, 8192), 3)
    1.0
    """
    return gemm_flop_count(m, k, n) / gemm_bytes(m, k, n, bytes_per_value)


def attention_intensity(query_tokens, context_tokens, head_dim, queries_per_kv_head=1, bytes_per_value=2):
    """Return operations for each byte of attention for one key-value head, the scores kept on chip, FLOP/B.

    Two products of 2 * q * L * d operations for each query head; keys and values are read once, queries read and results written.

    Raises
    ------
    ValueError
        If a size is below one or the bytes are not positive.

    Examples
    --------
    Decoding with eight query heads a key-value head cannot exceed eight.

    >>> round(float(attention_intensity(1, 8192, 128, 8)), 2)
    7.99
    """
    at_least_one(query_tokens=query_tokens, context_tokens=context_tokens, head_dim=head_dim)
    at_least_one(queries_per_kv_head=queries_per_kv_head)
    positive(bytes_per_value=bytes_per_value)
    rows = query_tokens * queries_per_kv_head
    return 4 * rows * context_tokens * head_dim / (bytes_per_value * 2 * head_dim * (context_tokens + rows))


def decode_tokens_per_s(model_bytes, bandwidth_b_per_s):
    """Return the upper bound of tokens a second for one user: every weight is read once a token.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    70 billion BF16 weights on 3.35 TB/s.

    >>> round(decode_tokens_per_s(140e9, 3.35e12), 1)
    23.9
    """
    positive(model_bytes=model_bytes, bandwidth_b_per_s=bandwidth_b_per_s)
    return bandwidth_b_per_s / model_bytes


def kv_bytes_per_token(layers, kv_heads, head_dim, bytes_per_value=2):
    """Return the bytes of keys and values that one token leaves behind.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> kv_bytes_per_token(80, 8, 128)
    327680
    """
    positive(layers=layers, kv_heads=kv_heads, head_dim=head_dim, bytes_per_value=bytes_per_value)
    return 2 * layers * kv_heads * head_dim * bytes_per_value


def decode_step_time(
    batch, parameters, bytes_per_parameter, context_tokens, kv_bytes, peak_flop_per_s, bandwidth_b_per_s
):
    """Return the least seconds of one decoding step for `batch` requests: the longer of arithmetic and memory.

    Parameters
    ----------
    batch : number
        Requests that get one token each.
    parameters, bytes_per_parameter : number
        Weights, read once for the whole batch.
    context_tokens, kv_bytes : number
        Tokens so far of each request, and bytes of keys and values for each of them.
    peak_flop_per_s, bandwidth_b_per_s : number
        Of the chip. Attention's own operations are left out; they are few beside its bytes.

    Raises
    ------
    ValueError
        If batch is below one, or a size or rate is out of range.

    Examples
    --------
    >>> round(float(decode_step_time(1, 70e9, 2, 0, 0, 989e12, 3.35e12)) * 1e3, 1)
    41.8
    """
    at_least_one(batch=batch)
    at_least_zero(context_tokens=context_tokens, kv_bytes=kv_bytes)
    positive(parameters=parameters, bytes_per_parameter=bytes_per_parameter)
    positive(peak_flop_per_s=peak_flop_per_s, bandwidth_b_per_s=bandwidth_b_per_s)
    moved = parameters * bytes_per_parameter + batch * context_tokens * kv_bytes
    return np.maximum(2 * parameters * batch / peak_flop_per_s, moved / bandwidth_b_per_s)


def sparse_decode_speedup(bytes_per_value=2, index_bits=2):
    """Return the gain of 2:4 sparsity where memory binds: half of the values stay, each with the bits of its position.

    Examples
    --------
    >>> round(sparse_decode_speedup(2), 2)
    1.78
    """
    positive(bytes_per_value=bytes_per_value)
    return 8 * bytes_per_value / (0.5 * (8 * bytes_per_value + index_bits))


def energy_per_token_j(power_w, tokens_per_s):
    """Return the energy of a token, J.

    Examples
    --------
    >>> energy_per_token_j(700, 20)
    35.0
    """
    at_least_zero(power_w=power_w)
    positive(tokens_per_s=tokens_per_s)
    return power_w / tokens_per_s


def model_flop_utilisation(parameters, tokens_per_s, chips, peak_flop_per_s):
    """Return the share of the peak that the model's own arithmetic uses in training: six operations a parameter and token.

    Source: PaLM, arXiv:2204.02311, appendix B, without attention.

    Examples
    --------
    >>> round(model_flop_utilisation(405e9, 2.6e6, 16384, 989e12), 2)
    0.39
    """
    at_least_zero(tokens_per_s=tokens_per_s)
    positive(parameters=parameters, chips=chips, peak_flop_per_s=peak_flop_per_s)
    return 6 * parameters * tokens_per_s / (chips * peak_flop_per_s)


def core_ceilings(cores, clock_hz=6e9, vector_bytes=64, fma_units=2, value_bytes=4):
    """Return what no program can exceed on ordinary cores: (FLOP/s, B/s) of their registers' ports.

    Each core is granted `fma_units` multiply-add units and two loads and a store of `vector_bytes` a cycle; 6 GHz is faster than
    server processors run.

    Examples
    --------
    >>> core_ceilings(1, 1e9)
    (64000000000.0, 192000000000.0)
    """
    positive(cores=cores, clock_hz=clock_hz, vector_bytes=vector_bytes, fma_units=fma_units, value_bytes=value_bytes)
    return cores * clock_hz * fma_units * 2 * vector_bytes / value_bytes, cores * clock_hz * 3 * vector_bytes


def systolic_tiles(rows, columns, k, n):
    """Return how many tiles of `rows` by `columns` cover a matrix of `k` by `n`.

    Sizes are counts: one that arrives as 4096.000000000001 from a slider of equal ratios is 4096, and not a row of tiles more.

    Raises
    ------
    ValueError
        If a size is below one.

    Examples
    --------
    >>> int(systolic_tiles(128, 128, 4096, 4096))
    1024
    """
    at_least_one(rows=rows, columns=columns, k=k, n=n)
    return np.ceil(np.rint(k) / rows) * np.ceil(np.rint(n) / columns)


def systolic_cycles(rows, columns, m, k, n, overlap=0):
    """Return the cycles of an (m, k) by (k, n) product on a weight-stationary array of `rows` by `columns`.

    A tile takes `rows` cycles to load its weights and m + rows + columns - 2 to stream (Samajdar et al., SCALE-Sim,
    arXiv:1811.02883: 2R + C + T - 2). With ``overlap=1`` the next weights load behind the stream, so that each tile but the last takes the longer of the two.

    Raises
    ------
    ValueError
        If a size is below one or overlap is neither 0 nor 1.

    Examples
    --------
    >>> int(systolic_cycles(4, 4, 4, 4, 4))
    14
    """
    at_least_one(m=m)
    require(np.logical_or(np.equal(overlap, 0), np.equal(overlap, 1)), f"overlap must be 0 or 1, got {overlap}")
    tiles = systolic_tiles(rows, columns, k, n)
    m = np.rint(m)
    drain = rows + columns - 2
    one_by_one = tiles * (rows + m + drain)
    return np.where(np.equal(overlap, 1), rows + (tiles - 1) * np.maximum(m, rows) + m + drain, one_by_one)


def systolic_utilisation(rows, columns, m, k, n, overlap=0):
    """Return the share of cells and cycles that do a wanted multiplication, 0 to 1.

    Examples
    --------
    >>> round(float(systolic_utilisation(4, 4, 4, 4, 4)), 3)
    0.286
    """
    wanted = np.rint(m) * np.rint(k) * np.rint(n)
    return wanted / (rows * columns * systolic_cycles(rows, columns, m, k, n, overlap))
