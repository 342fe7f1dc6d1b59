"""Layer 10: what a network's shape costs in parameters, arithmetic and memory, and what size is worth training.

Counts are of weights (parameters), of floating-point operations (a multiply and an add are two) and of bytes.
A configuration is a :class:`Transformer`; sizes are token counts unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aistack.checks import at_least_one, at_least_zero, positive, require

__all__ = [
    "Transformer",
    "active_parameter_count",
    "attended_pairs",
    "cache_bytes_per_token",
    "cached_tokens",
    "compute_optimal_size",
    "dropped_fraction",
    "expert_capacity",
    "expert_load",
    "forward_flop_count",
    "linear_scan",
    "minimum_gpus",
    "parameter_budget",
    "parameter_count",
    "parametric_loss",
    "power_law_size",
    "training_flop_count",
]


@dataclass(frozen=True)
class Transformer:
    """Shape of a decoder-only transformer, as its configuration file gives it.

    Attributes
    ----------
    layers, d_model, heads, kv_heads, head_dim : int
        Blocks, width of a token's vector, query heads, key-value heads, width of a head.
    d_ff, ffn_matrices : int
        Width of the feed-forward part and its matrices: 2, or 3 if gated (SwiGLU).
    vocabulary : int
        Tokens known.
    tied : bool
        Whether the output uses the input's table of token vectors.
    experts, experts_active, shared_experts, expert_d_ff, dense_layers : int
        Routed experts a layer (0: dense), how many a token visits, experts that every token visits, width of
        one, and how many layers stay dense.
    q_rank, kv_rank, rope_dim, value_dim : int
        Latent attention: ranks of the compressed query and key-value, width of the separate rotary key, and of
        a value head; 0 without latent attention.
    positions : int
        Learned position vectors; 0 for rotary positions.
    """

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    head_dim: int
    d_ff: int
    vocabulary: int
    ffn_matrices: int = 3
    tied: bool = False
    experts: int = 0
    experts_active: int = 0
    shared_experts: int = 0
    expert_d_ff: int = 0
    dense_layers: int = 0
    q_rank: int = 0
    kv_rank: int = 0
    rope_dim: int = 0
    value_dim: int = 0
    positions: int = 0

    def __post_init__(self):
        at_least_one(layers=self.layers, d_model=self.d_model, heads=self.heads, head_dim=self.head_dim)
        require(self.heads % max(self.kv_heads, 1) == 0, f"kv_heads {self.kv_heads} must divide heads {self.heads}")
        require(
            self.experts_active <= self.experts,
            f"experts_active {self.experts_active} cannot exceed experts {self.experts}",
        )


# Parameters and arithmetic


def _attention_parameters(model: Transformer) -> int:
    """Return the weights of one attention block."""
    m = model
    if m.kv_rank:  # down to the latent, and up from it; DeepSeek-V2, arXiv 2405.04434
        query = m.d_model * m.q_rank + m.q_rank * m.heads * (m.head_dim + m.rope_dim)
        key_value = m.d_model * (m.kv_rank + m.rope_dim) + m.kv_rank * m.heads * (m.head_dim + m.value_dim)
        return query + key_value + m.heads * m.value_dim * m.d_model
    return m.d_model * m.head_dim * (2 * m.heads + 2 * m.kv_heads)


def _ffn_parameters(model: Transformer, active: bool) -> tuple[int, int]:
    """Return the feed-forward and the router weights of all layers."""
    m = model
    dense = m.ffn_matrices * m.d_model * m.d_ff
    if not m.experts:
        return m.layers * dense, 0
    expert = m.ffn_matrices * m.d_model * m.expert_d_ff
    visited = (m.experts_active if active else m.experts) + m.shared_experts
    sparse_layers = m.layers - m.dense_layers
    return m.dense_layers * dense + sparse_layers * visited * expert, sparse_layers * m.d_model * m.experts


def parameter_budget(model: Transformer, active: bool = False) -> dict:
    """Return how many weights each part of the model holds.

    Norm gains and biases, under 0.1 % in models of this kind, are left out.

    Parameters
    ----------
    model : Transformer
        The configuration.
    active : bool
        Count only the experts that one token visits.

    Returns
    -------
    dict of str to int
        ``embedding`` (both tables, and learned positions), ``attention``, ``ffn``, ``router``.

    Examples
    --------
    >>> llama = Transformer(layers=80, d_model=8192, heads=64, kv_heads=8, head_dim=128, d_ff=28672, vocabulary=32000)
    >>> {part: round(count / 1e9, 2) for part, count in parameter_budget(llama).items()}
    {'embedding': 0.52, 'attention': 12.08, 'ffn': 56.37, 'router': 0.0}
    """
    tables = 1 if model.tied else 2
    ffn, router = _ffn_parameters(model, active)
    return {
        "embedding": (tables * model.vocabulary + model.positions) * model.d_model,
        "attention": model.layers * _attention_parameters(model),
        "ffn": ffn,
        "router": router,
    }


def parameter_count(model: Transformer) -> int:
    """Return all weights of the model.

    Examples
    --------
    >>> gpt3 = Transformer(96, 12288, 96, 96, 128, 49152, 50257, ffn_matrices=2, tied=True, positions=2048)
    >>> round(parameter_count(gpt3) / 1e9, 1)
    174.6
    """
    return sum(parameter_budget(model).values())


def active_parameter_count(model: Transformer) -> int:
    """Return the weights that take part in one token's pass, both token tables counted.

    Examples
    --------
    >>> mixtral = Transformer(32, 4096, 32, 8, 128, 0, 32000, experts=8, experts_active=2, expert_d_ff=14336)
    >>> round(parameter_count(mixtral) / 1e9, 1), round(active_parameter_count(mixtral) / 1e9, 1)
    (46.7, 12.9)
    """
    return sum(parameter_budget(model, active=True).values())


def forward_flop_count(model: Transformer, context):
    """Return the operations of one token's forward pass with `context` tokens before it.

    Two for each weight that multiplies (the input table is only looked up), and for each cached token two
    for its score and two for its value, over all heads and layers.

    Parameters
    ----------
    model : Transformer
        The configuration.
    context : float or array
        Tokens attended to.

    Examples
    --------
    >>> llama = Transformer(layers=80, d_model=8192, heads=64, kv_heads=8, head_dim=128, d_ff=28672, vocabulary=32000)
    >>> round(forward_flop_count(llama, 0) / 1e9), round(forward_flop_count(llama, 131072) / 1e9)
    (137, 481)
    """
    at_least_zero(context=context)
    budget = parameter_budget(model, active=True)
    weights = budget["attention"] + budget["ffn"] + budget["router"] + model.vocabulary * model.d_model
    score_dim = model.head_dim + model.rope_dim
    value_dim = model.value_dim or model.head_dim
    return 2 * weights + 2 * model.layers * model.heads * (score_dim + value_dim) * context


def training_flop_count(parameters, tokens):
    """Return the operations of a training run, six for each weight and token.

    Two forward and four backward; attention's own products are left out. Kaplan et al. 2020, arXiv 2001.08361.

    Examples
    --------
    >>> f"{training_flop_count(70e9, 1.4e12):.2e}"
    '5.88e+23'
    """
    positive(parameters=parameters, tokens=tokens)
    return 6 * np.multiply(parameters, tokens)


# The cache


def cache_bytes_per_token(layers, kv_heads, head_dim, bytes_per_value=2):
    """Return the bytes of keys and values that one token leaves in the cache.

    Parameters
    ----------
    layers, kv_heads, head_dim : float
        Blocks, key-value heads of one, width of a head.
    bytes_per_value : float
        2 for BF16, 1 for FP8.

    Examples
    --------
    >>> cache_bytes_per_token(80, 8, 128)
    327680
    """
    positive(layers=layers, kv_heads=kv_heads, head_dim=head_dim, bytes_per_value=bytes_per_value)
    return 2 * layers * kv_heads * head_dim * bytes_per_value


def cached_tokens(context, window=np.inf):
    """Return how many tokens a layer must remember: the context, or the window if that is shorter.

    Examples
    --------
    >>> float(cached_tokens(131072, 4096))
    4096.0
    """
    at_least_zero(context=context)
    positive(window=window)
    return np.minimum(context, window)


def minimum_gpus(weight_bytes, cache_bytes, gpu_bytes):
    """Return the fewest GPUs whose memory holds weights and cache, with nothing left over for anything else.

    Examples
    --------
    >>> int(minimum_gpus(810e9, 0, 80e9))
    11
    """
    at_least_zero(weight_bytes=weight_bytes, cache_bytes=cache_bytes)
    positive(gpu_bytes=gpu_bytes)
    return np.maximum(1, np.ceil((weight_bytes + cache_bytes) / gpu_bytes))


def attended_pairs(tokens, window=np.inf):
    """Return the query-key pairs of one head in causal attention, each token seeing itself and `window` - 1 before it.

    Examples
    --------
    >>> float(attended_pairs(4)), float(attended_pairs(4, 2))
    (10.0, 7.0)
    """
    at_least_one(tokens=tokens, window=window)
    seen = np.minimum(tokens, window)
    return seen * (seen + 1) / 2 + (tokens - seen) * seen


# Experts


def expert_capacity(tokens, experts, top_k, capacity_factor):
    """Return the slots of an expert for one batch: its fair share of the choices times the capacity factor.

    Examples
    --------
    >>> expert_capacity(4096, 64, 2, 1.25)
    160.0
    """
    positive(tokens=tokens, experts=experts, top_k=top_k, capacity_factor=capacity_factor)
    return tokens * top_k / experts * capacity_factor


def expert_load(tokens, experts, top_k, popularity_ratio, position, luck):
    """Return the choices that land on an expert, in the normal approximation.

    Popularity falls from the first expert to the last by `popularity_ratio`, by equal factors; the counts
    then scatter as those of independent tokens do.

    Parameters
    ----------
    tokens, experts, top_k : float
        Tokens of the batch, experts, experts a token visits.
    popularity_ratio : float
        Popularity of the first expert over that of the last; 1 is a balanced router.
    position : array
        Where the expert stands, 0 the first, 1 the last.
    luck : array, shape of `position`
        Standard normal numbers.

    Examples
    --------
    >>> expert_load(4096, 64, 2, 1.0, np.array([0.0, 1.0]), np.array([0.0, 1.0])).round(1)
    array([128. , 139.1])
    """
    at_least_one(popularity_ratio=popularity_ratio)
    positive(tokens=tokens, experts=experts, top_k=top_k)
    fall = np.maximum(np.log(popularity_ratio) / (experts - 1), 1e-12)  # of the logarithm, from one expert to the next
    whole = np.expm1(-experts * fall) / np.expm1(-1 * fall)  # the sum of all popularities, the first being 1
    chosen = np.minimum(1, top_k * np.power(popularity_ratio, -1 * position) / whole)  # chance that a token visits it
    mean = tokens * chosen
    return np.clip(mean + luck * np.sqrt(mean * (1 - chosen)), 0, tokens)


def dropped_fraction(load, capacity):
    """Return the share of choices that find their expert full.

    Parameters
    ----------
    load : array
        Choices for each expert, over the last axis.
    capacity : float
        Slots of one expert.

    Examples
    --------
    >>> float(dropped_fraction([10, 30], 20))
    0.25
    """
    load = load if hasattr(load, "__trace__") else np.asarray(load, dtype=float)
    at_least_zero(load=load)
    return np.sum(np.maximum(load - capacity, 0)) / np.sum(load)


# A recurrence instead of attention


def linear_scan(decay, drive):
    """Return the states of ``state[t] = decay[t] * state[t - 1] + drive[t]``, from a zero state, in parallel.

    Two steps of the recurrence combine into one of the same form, so that log2(T) rounds of whole-array operations
    do what T sequential ones do (Hillis and Steele's scan; Mamba, arXiv 2312.00752, section 3.3, uses a scan of this family).

    Parameters
    ----------
    decay, drive : array, shape (T, ...)
        Time on the first axis.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> linear_scan(np.full(4, 0.5), np.ones(4))
    array([1.   , 1.5  , 1.75 , 1.875])
    """
    decay, state = np.array(decay, dtype=float), np.array(drive, dtype=float)
    require(decay.shape == state.shape, f"decay {decay.shape} and drive {state.shape} must have one shape")
    reach = 1
    while reach < len(state):
        state[reach:] = state[reach:] + decay[reach:] * state[:-reach]
        decay[reach:] = decay[reach:] * decay[:-reach]
        reach *= 2
    return state


# Scaling laws


def parametric_loss(parameters, tokens, floor, a, b, alpha, beta):
    """Return the loss in nats a token, floor + a / N^alpha + b / D^beta.

    Hoffmann et al. 2022, arXiv 2203.15556, equation 2.

    Examples
    --------
    >>> round(float(parametric_loss(70e9, 1.4e12, 1.69, 406.4, 410.7, 0.34, 0.28)), 2)
    1.94
    """
    positive(parameters=parameters, tokens=tokens)
    return floor + a * np.power(parameters, -alpha) + b * np.power(tokens, -beta)


def compute_optimal_size(compute_flop, a, b, alpha, beta):
    """Return the parameters that minimise :func:`parametric_loss` when 6 N D is fixed.

    Setting the derivative to zero gives N = G (C / 6)^(beta / (alpha + beta)) with
    G = (alpha a / (beta b))^(1 / (alpha + beta)); Hoffmann et al. 2022, equation 4.

    Examples
    --------
    >>> refit = dict(a=482.00572, b=2085.4342, alpha=0.34781, beta=0.36585)
    >>> round(float(compute_optimal_size(5.88e23, **refit)) / 1e9)
    73
    """
    positive(compute_flop=compute_flop, a=a, b=b, alpha=alpha, beta=beta)
    shape = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    return shape * np.power(np.divide(compute_flop, 6), beta / (alpha + beta))


def power_law_size(compute_flop, anchor_flop, anchor_parameters, exponent):
    """Return the parameters on a power law of compute through an anchor.

    Examples
    --------
    >>> round(float(power_law_size(1e24, 1e23, 10e9, 0.73)) / 1e9, 1)
    53.7
    """
    positive(compute_flop=compute_flop, anchor_flop=anchor_flop, anchor_parameters=anchor_parameters)
    return anchor_parameters * np.power(np.divide(compute_flop, anchor_flop), exponent)
