"""Layer 9: the text a model learns from, and the pieces it is cut into.

Supply and demand of tokens, what repeated text is still worth, near-duplicates found by hashing, mixtures, and what a tokenizer
costs in context and in embedding tables. Sizes are decimal (1 TB is 1e12 bytes) unless a name says GiB; tokens of different
tokenizers are different units, so counts may only be compared where the tokenizer is named.
"""

from __future__ import annotations

import numpy as np

from aistack.checks import at_least_one, at_least_zero, fraction, positive, positive_fraction, require

__all__ = [
    "REPEAT_DECAY",
    "crossing_years",
    "detection_probability",
    "effective_context",
    "effective_tokens",
    "embedding_bytes",
    "fertility",
    "jaccard",
    "lognormal_quantile",
    "lsh_threshold",
    "mixing_weights",
    "repeat_value",
    "source_epochs",
    "token_premium",
    "tokens_needed",
]

#: Repetitions after which a further one is worth 1/e of a fresh pass (Muennighoff et al. 2023, fitted ``rd_star``).
REPEAT_DECAY = 15.387756


# Demand and supply


def tokens_needed(parameters, tokens_per_parameter=20.0):
    """Return the tokens a model of `parameters` weights is trained on.

    Parameters
    ----------
    parameters : number
        Weights of the model.
    tokens_per_parameter : number
        About 20 for the least loss at a given amount of arithmetic (Hoffmann et al. 2022); far more where a
        smaller model is wanted for its cheap use.

    Returns
    -------
    number, tokens

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    Chinchilla: 70 billion weights, 1.4 trillion tokens.

    >>> tokens_needed(70e9) / 1e12
    1.4
    """
    positive(parameters=parameters, tokens_per_parameter=tokens_per_parameter)
    return parameters * tokens_per_parameter


def repeat_value(epochs, decay=REPEAT_DECAY):
    """Return what `epochs` passes over a text are worth, in passes over fresh text of the same length.

    The first pass counts 1. With R = `epochs` - 1 repetitions the value is ``1 + R* (1 - exp(-R / R*))``: early
    repetitions are nearly as good as new, and all of them together never exceed R* passes
    (Muennighoff et al. 2023, equation 5).

    Parameters
    ----------
    epochs : number
        Passes over the text, 1 or more.
    decay : number
        R*, repetitions after which a further one is worth 1/e of a fresh pass.

    Raises
    ------
    ValueError
        If `epochs` is below 1 or `decay` not positive.

    Examples
    --------
    Four passes are worth 3.73, forty no more than 15.2.

    >>> round(float(repeat_value(4)), 2), round(float(repeat_value(40)), 1)
    (3.73, 15.2)
    """
    at_least_one(epochs=epochs)
    positive(decay=decay)
    return 1 + decay * (1 - np.exp(-(epochs - 1) / decay))


def effective_tokens(unique_tokens, epochs, decay=REPEAT_DECAY):
    """Return the fresh tokens that `epochs` passes over `unique_tokens` are worth (see :func:`repeat_value`).

    Raises
    ------
    ValueError
        If tokens or decay are not positive or `epochs` is below 1.

    Examples
    --------
    >>> round(float(effective_tokens(100e12, 4)) / 1e12)
    373
    """
    positive(unique_tokens=unique_tokens)
    return unique_tokens * repeat_value(epochs, decay)


def crossing_years(stock_tokens, demand_tokens, demand_growth, stock_growth=1.0):
    """Return the years until a growing demand for training text equals the stock.

    Solves ``demand * demand_growth^t = stock * stock_growth^t``. Zero where demand has passed the stock already.

    Parameters
    ----------
    stock_tokens, demand_tokens : number, tokens
        Both today; the stock as it counts, repetitions and quality included.
    demand_growth, stock_growth : number, factor a year
        3.7 is demand's growth in Epoch AI's data of 2024. Demand has to grow faster than the stock.

    Returns
    -------
    number, years

    Raises
    ------
    ValueError
        If an amount or a factor is not positive, or demand does not outgrow the stock.

    Examples
    --------
    >>> round(float(crossing_years(300e12, 36e12, 3.7)), 2)
    1.62
    """
    positive(
        stock_tokens=stock_tokens, demand_tokens=demand_tokens, demand_growth=demand_growth, stock_growth=stock_growth
    )
    require(demand_growth > stock_growth, "demand_growth must be above stock_growth: else the two never meet")
    return np.maximum(0.0, np.log(stock_tokens / demand_tokens) / np.log(demand_growth / stock_growth))


def lognormal_quantile(low, high, z, coverage_z=1.6448536269514722):
    """Return a quantile of the lognormal whose central interval runs from `low` to `high`.

    Parameters
    ----------
    low, high : number
        Ends of the interval, both positive.
    z : number
        Standard normal deviate of the quantile wanted: 0 is the median.
    coverage_z : number
        Deviate of the interval's upper end: 1.645 for 90 %, 1.960 for 95 %.

    Raises
    ------
    ValueError
        If `low` is not positive or `high` not above it.

    Examples
    --------
    100 to 1,000 with 90 %: the median is the geometric mean.

    >>> round(float(lognormal_quantile(100, 1000, 0)))
    316
    """
    positive(low=low, coverage_z=coverage_z)
    require(high > low, f"high must be above low, not {high!r} against {low!r}")
    middle, half = np.log(low * high) / 2, np.log(high / low) / 2
    return np.exp(middle + half * z / coverage_z)


# Near-duplicates


def jaccard(a, b):
    """Return the share of the union of two sets that both hold, from 0 to 1; 1 for two empty sets.

    Examples
    --------
    >>> jaccard({1, 2, 3}, {2, 3, 4})
    0.5
    """
    a, b = set(a), set(b)
    return len(a & b) / len(a | b) if a | b else 1.0


def detection_probability(similarity, bands, rows):
    """Return the chance that MinHash with banding proposes a pair: ``1 - (1 - s^r)^b``.

    One MinHash value of two sets agrees with probability s, their Jaccard similarity (Broder 1997). A band of r values agrees
    with s^r, and a pair is proposed if any of b bands agrees.

    Parameters
    ----------
    similarity : number, 0 to 1
        Jaccard similarity of the two sets of shingles.
    bands, rows : number
        Bands of the signature, and hash values in a band.

    Raises
    ------
    ValueError
        If the similarity is outside 0 to 1 or bands or rows are below 1.

    Examples
    --------
    FineWeb's 14 bands of 8 rows:

    >>> [round(float(detection_probability(s, 14, 8)), 2) for s in (0.5, 0.7, 0.8, 0.9)]
    [0.05, 0.56, 0.92, 1.0]
    """
    fraction(similarity=similarity)
    at_least_one(bands=bands, rows=rows)
    return 1 - (1 - similarity**rows) ** bands


def lsh_threshold(bands, rows, chance=0.5):
    """Return the similarity at which a pair is proposed with probability `chance`.

    The rule of thumb ``(1/b)^(1/r)`` is the similarity at which the chance is 1 - (1 - 1/b)^b, about 64 %.

    Raises
    ------
    ValueError
        If bands or rows are below 1 or `chance` is not above 0 and at most 1.

    Examples
    --------
    >>> round(float(lsh_threshold(14, 8)), 3), round((1 / 14) ** (1 / 8), 3)
    (0.685, 0.719)
    """
    at_least_one(bands=bands, rows=rows)
    positive_fraction(chance=chance)
    return (1 - (1 - chance) ** (1 / bands)) ** (1 / rows)


# Mixtures


def mixing_weights(sizes, temperature=1.0):
    """Return the share of the training tokens that each source gets: proportional to ``size^(1/temperature)``.

    Parameters
    ----------
    sizes : array_like, shape (n,)
        Tokens of each source.
    temperature : number
        1 keeps the natural shares, large values make them equal.

    Returns
    -------
    ndarray, shape (n,)
        Shares that add to 1.

    Raises
    ------
    ValueError
        If a size or the temperature is not positive.

    Examples
    --------
    >>> mixing_weights([900, 100]).tolist(), mixing_weights([900, 100], 2).tolist()
    ([0.9, 0.1], [0.75, 0.25])
    """
    sizes = np.asarray(sizes, dtype=float)
    positive(sizes=sizes, temperature=temperature)
    raised = sizes ** (1 / temperature)
    return raised / raised.sum()


def source_epochs(weights, training_tokens, sizes):
    """Return how often each source is read: its share of the training tokens over its size.

    Raises
    ------
    ValueError
        If a size or `training_tokens` is not positive, a weight is outside 0 to 1, or the weights do not add to 1.

    Examples
    --------
    >>> source_epochs([0.75, 0.25], 1000, [900, 100]).round(2).tolist()
    [0.83, 2.5]
    """
    weights, sizes = np.asarray(weights, dtype=float), np.asarray(sizes, dtype=float)
    positive(sizes=sizes, training_tokens=training_tokens)
    fraction(weights=weights)
    require(abs(weights.sum() - 1) < 1e-9, f"weights must add to 1, not {weights.sum():g}")
    return weights * training_tokens / sizes


# Tokenizers


def fertility(tokens, words):
    """Return tokens a word.

    Raises
    ------
    ValueError
        If `tokens` is negative or `words` not positive.

    Examples
    --------
    English in GPT-4's tokenizer, FLORES-200:

    >>> round(fertility(52_835, 42_855), 2)
    1.23
    """
    at_least_zero(tokens=tokens)
    positive(words=words)
    return tokens / words


def token_premium(tokens, reference_tokens):
    """Return how many times the tokens of the reference language the same text takes (Petrov et al. 2023).

    Raises
    ------
    ValueError
        If a count is not positive.

    Examples
    --------
    Khmer against English in GPT-4's tokenizer:

    >>> round(token_premium(469_026, 52_835), 2)
    8.88
    """
    positive(tokens=tokens, reference_tokens=reference_tokens)
    return tokens / reference_tokens


def effective_context(context_tokens, premium):
    """Return the context window in tokens of the reference language: how much of *its* text would say as much.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> round(effective_context(128_000, 4.39))
    29157
    """
    positive(context_tokens=context_tokens, premium=premium)
    return context_tokens / premium


def embedding_bytes(vocabulary, width, bytes_per_weight=2, tables=2):
    """Return the memory of a model's token tables.

    Parameters
    ----------
    vocabulary : number
        Tokens in the vocabulary.
    width : number
        Numbers in the vector of one token (the model's hidden size).
    bytes_per_weight : number
        2 for BF16.
    tables : number
        2 where input embedding and output layer are apart, 1 where they share one table.

    Returns
    -------
    number, bytes

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    Llama 3 8B: 128,256 tokens of 4,096 numbers, twice.

    >>> embedding_bytes(128_256, 4096) / 1e9
    2.101346304
    """
    positive(vocabulary=vocabulary, width=width, bytes_per_weight=bytes_per_weight, tables=tables)
    return vocabulary * width * bytes_per_weight * tables
