"""Layer 13: what stands between a model and a product.

Finding text and measuring how well it was found, cutting it into chunks, the tokens and the price of a conversation, the odds
that an agent finishes a task of many steps, and ratings from votes on pairs.

Prices are US dollars per million tokens, as price lists print them; lengths are tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from aistack.checks import at_least_one, at_least_zero, fraction, positive, positive_fraction, require

__all__ = [
    "Ratings",
    "StepOutcome",
    "TaskOutcome",
    "all_trials_succeed",
    "annual_factor",
    "answer_kept_whole",
    "bm25_scores",
    "bradley_terry",
    "cached_prefix_cost",
    "chunk_spans",
    "conversation_cost",
    "conversation_tokens",
    "cosine_similarity",
    "discounted_gain",
    "expected_ratings",
    "normal_upper_tail",
    "points_gap",
    "rag_question_cost",
    "recall_at_k",
    "reciprocal_rank",
    "reciprocal_rank_fusion",
    "repeat_correlation",
    "repeat_success",
    "required_step_success",
    "step_outcome",
    "steps_within",
    "task_outcome",
    "task_success",
    "vector_index_bytes",
    "votes_to_separate",
    "win_probability",
]

POINTS_PER_LOGIT = 400 / np.log(10)  #: rating points in one unit of log odds, on the scale of chess ratings
PER_MILLION = 1e-6


# Finding text


def bm25_scores(term_counts, lengths, k1=1.2, b=0.75):
    """Return how well each document matches a query, by Okapi BM25.

    The form that SQLite's FTS5 computes (there with the sign turned): a term that stands in more than half of the documents
    weighs next to nothing rather than less than nothing.

    Parameters
    ----------
    term_counts : array_like, shape (documents, terms)
        How often each term of the query stands in each document; a term asked for twice has two columns.
    lengths : array_like, shape (documents,)
        Words of each document.
    k1 : number
        How soon more of the same word stops counting; 0 asks only whether it is there.
    b : number, 0 to 1
        How much a long document is marked down.

    Returns
    -------
    array of shape (documents,)

    Raises
    ------
    ValueError
        If the shapes do not fit, a length is not positive, or `k1` or `b` is out of range.

    Examples
    --------
    >>> bm25_scores([[1, 0], [0, 0], [0, 0], [2, 1], [0, 0]], [5, 5, 5, 5, 5]).round(2).tolist()
    [0.34, 0.0, 0.0, 1.56, 0.0]
    """
    counts, lengths = np.asarray(term_counts, dtype=float), np.asarray(lengths, dtype=float)
    require(
        counts.ndim == 2 and lengths.shape == counts.shape[:1],
        "term_counts must be documents x terms, with one length a document",
    )
    positive(lengths=lengths)
    at_least_zero(term_counts=counts, k1=k1)
    fraction(b=b)
    holding = (counts > 0).sum(axis=0)
    weight = np.maximum(np.log((len(lengths) - holding + 0.5) / (holding + 0.5)), 1e-6)
    long = (1 - b + b * lengths / lengths.mean())[:, None]
    with np.errstate(invalid="ignore"):
        part = np.where(counts > 0, counts * (k1 + 1) / (counts + k1 * long), 0.0)
    return part @ weight


def cosine_similarity(query, documents):
    """Return the cosine of the angle between a query's vector and each document's.

    Parameters
    ----------
    query : array_like, shape (dimensions,)
        An embedding. A vector of zeros is at right angles to all.
    documents : array_like, shape (documents, dimensions)
        One embedding a row.

    Returns
    -------
    array of shape (documents,), -1 to 1

    Raises
    ------
    ValueError
        If the numbers of dimensions differ.

    Examples
    --------
    >>> cosine_similarity([1, 0], [[2, 0], [1, 1], [0, 3]]).round(3).tolist()
    [1.0, 0.707, 0.0]
    """
    query, documents = np.asarray(query, dtype=float), np.asarray(documents, dtype=float)
    require(
        query.ndim == 1 and documents.ndim == 2 and documents.shape[1] == query.shape[0],
        "query and documents must have the same number of dimensions",
    )
    length = np.linalg.norm(documents, axis=1) * np.linalg.norm(query)
    return np.divide(documents @ query, length, out=np.zeros(len(documents)), where=length > 0)


def reciprocal_rank_fusion(ranks, constant=60.0):
    """Return one score a document from its ranks in several lists.

    The score is the sum over the lists of 1 / (constant + rank); Cormack, Clarke and Büttcher (2009) set the constant to 60.

    Parameters
    ----------
    ranks : array_like, shape (lists, documents)
        Rank of each document in each list, 1 for the best; ``inf`` where a list does not hold it.
    constant : number
        Large: a place among the first counts little more than one further down.

    Returns
    -------
    array of shape (documents,)

    Raises
    ------
    ValueError
        If a rank is below 1 or the constant is negative.

    Examples
    --------
    Second in both lists beats first in one and absent from the other:

    >>> reciprocal_rank_fusion([[1, 2, np.inf], [np.inf, 2, 1]]).round(4).tolist()
    [0.0164, 0.0323, 0.0164]
    """
    ranks = np.asarray(ranks, dtype=float)
    require(ranks.ndim == 2, "ranks must be lists x documents")
    at_least_one(ranks=ranks)
    at_least_zero(constant=constant)
    return (1 / (constant + ranks)).sum(axis=0)


def _ranks(rank):
    rank = np.asarray(rank, dtype=float)
    require(rank.size > 0, "rank must hold at least one question")
    return rank


def recall_at_k(rank, k):
    """Return the share of questions whose answer stands among the first `k`.

    With one answer a question, recall and hit rate are the same.

    Parameters
    ----------
    rank : array_like, shape (questions,)
        Rank of the right answer, 1 for the best, ``inf`` where it was not found.
    k : int
        How many results are looked at.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If `k` or a rank is below 1.

    Examples
    --------
    >>> recall_at_k([1, 3, 12, np.inf], 5)
    0.5
    """
    rank = _ranks(rank)
    at_least_one(rank=rank, k=k)
    return float(np.mean(rank <= k))


def reciprocal_rank(rank):
    """Return the mean of 1 / rank over questions (MRR), 0 for an answer that was not found.

    Parameters
    ----------
    rank : array_like, shape (questions,)
        Rank of the right answer, 1 for the best, ``inf`` where it was not found.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If a rank is below 1.

    Examples
    --------
    >>> reciprocal_rank([1, 4, np.inf, np.inf])
    0.3125
    """
    rank = _ranks(rank)
    at_least_one(rank=rank)
    return float(np.mean(1 / rank))


def discounted_gain(rank, k=10):
    """Return nDCG at `k` where every question has one right answer: the mean of 1 / log2(1 + rank).

    Parameters
    ----------
    rank : array_like, shape (questions,)
        Rank of the right answer, 1 for the best, ``inf`` where it was not found.
    k : int
        Answers further down count nothing.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If `k` or a rank is below 1.

    Examples
    --------
    >>> discounted_gain([1, 3, 11])
    0.5
    """
    rank = _ranks(rank)
    at_least_one(rank=rank, k=k)
    return float(np.mean(np.where(rank <= k, 1 / np.log2(1 + rank), 0.0)))


def vector_index_bytes(vectors, dimensions, bytes_per_value=4):
    """Return the bytes that a flat index of embeddings holds, which an exact search reads once a question.

    Parameters
    ----------
    vectors : number
        Chunks in the index.
    dimensions : number
        Length of an embedding.
    bytes_per_value : number, B
        4 for 32-bit numbers, 1 for 8-bit integers, 1/8 for one bit.

    Returns
    -------
    number, B

    Raises
    ------
    ValueError
        If any argument is not positive.

    Examples
    --------
    >>> vector_index_bytes(1e6, 1536) / 1e9
    6.144
    """
    positive(vectors=vectors, dimensions=dimensions, bytes_per_value=bytes_per_value)
    return vectors * dimensions * bytes_per_value


# Chunks


def chunk_spans(length, size, overlap=0):
    """Return where a text is cut: (start, end) of chunks of `size` that share `overlap` with the one before.

    Parameters
    ----------
    length : int
        Words or tokens of the text.
    size : int
        Words or tokens of a chunk; the last may be shorter.
    overlap : int
        What two neighbours share, less than `size`.

    Returns
    -------
    list of (int, int)
        Together they cover the text.

    Raises
    ------
    ValueError
        If the text or the chunk is empty, or the overlap is negative or not below the size.

    Examples
    --------
    >>> chunk_spans(10, 4, 1)
    [(0, 4), (3, 7), (6, 10)]
    """
    at_least_one(length=length, size=size)
    require(0 <= overlap < size, f"overlap must be from 0 to below size, not {overlap!r} of {size!r}")
    step = size - overlap
    return [(start, min(start + size, length)) for start in range(0, max(length - overlap, 1), step)]


def answer_kept_whole(answer_tokens, chunk_tokens, overlap_tokens=0.0):
    """Return the chance that an answer lies whole in at least one chunk of a long text cut at blind places.

    An answer of a tokens fits a chunk of c at c - a + 1 places, and a new chunk begins every c - o tokens, so the chance is
    (c - a + 1) / (c - o), at most 1. From o = a - 1 on, nothing is ever cut.

    Parameters
    ----------
    answer_tokens, chunk_tokens : number, tokens
        Lengths, at least 1.
    overlap_tokens : number, tokens
        What neighbours share, less than a chunk.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If a length is below 1, or the overlap is negative or not below the chunk.

    Examples
    --------
    >>> float(answer_kept_whole(40, 200)), float(answer_kept_whole(40, 200, 39))
    (0.805, 1.0)
    """
    at_least_one(answer_tokens=answer_tokens, chunk_tokens=chunk_tokens)
    at_least_zero(overlap_tokens=overlap_tokens)
    require(overlap_tokens < chunk_tokens, "overlap_tokens must be below chunk_tokens")
    places = np.maximum(chunk_tokens - answer_tokens + 1, 0)
    return np.minimum(places / (chunk_tokens - overlap_tokens), 1.0)


# Tokens and prices


def annual_factor(first, last, years):
    """Return the factor by which a price fell in a year, at an even pace.

    Parameters
    ----------
    first, last : number
        Prices at both ends, in one unit.
    years : number, years
        Between them.

    Returns
    -------
    number
        Above 1 where the price fell.

    Raises
    ------
    ValueError
        If a price or the time is not positive.

    Examples
    --------
    >>> round(float(annual_factor(60, 0.06, 3)), 6)
    10.0
    """
    positive(first=first, last=last, years=years)
    return (first / last) ** (1 / years)


def conversation_tokens(turns, user_tokens, answer_tokens, system_tokens=0.0):
    """Return the input tokens of a whole conversation in which every call sends everything said so far.

    Call t carries the instructions, t messages and t - 1 answers; the sum over n calls is
    n s + u n (n + 1) / 2 + a n (n - 1) / 2.

    Parameters
    ----------
    turns : number
        Calls, at least 1.
    user_tokens, answer_tokens : number, tokens
        Of one message and of one answer.
    system_tokens : number, tokens
        Instructions and tool descriptions, in front of every call.

    Returns
    -------
    number, tokens

    Raises
    ------
    ValueError
        If `turns` is below 1 or a length is negative.

    Examples
    --------
    >>> conversation_tokens(20, 50, 200, 1000)
    68500.0
    """
    at_least_one(turns=turns)
    at_least_zero(user_tokens=user_tokens, answer_tokens=answer_tokens, system_tokens=system_tokens)
    return turns * system_tokens * 1.0 + user_tokens * turns * (turns + 1) / 2 + answer_tokens * turns * (turns - 1) / 2


def conversation_cost(
    turns, user_tokens, answer_tokens, system_tokens, input_price, output_price, read_factor=1.0, write_factor=1.0
):
    """Return the price of a conversation, with or without a cache for the part of the prompt that was sent before.

    Without a cache both factors are 1. With one, every token is written once, at `write_factor` times the input price, and
    read at `read_factor` in every later call.

    Parameters
    ----------
    turns : number
        Calls, at least 1.
    user_tokens, answer_tokens, system_tokens : number, tokens
        As in :func:`conversation_tokens`.
    input_price, output_price : number, USD per million tokens
        List prices.
    read_factor, write_factor : number
        Price of a cached and of a newly cached token over the input price.

    Returns
    -------
    number, USD

    Raises
    ------
    ValueError
        If `turns` is below 1 or anything else is negative.

    Examples
    --------
    >>> round(conversation_cost(20, 50, 200, 1000, 3, 15), 4)
    0.2655
    >>> round(conversation_cost(20, 50, 200, 1000, 3, 15, read_factor=0.1, write_factor=1.25), 4)
    0.1006
    """
    at_least_zero(
        input_price=input_price, output_price=output_price, read_factor=read_factor, write_factor=write_factor
    )
    sent = conversation_tokens(turns, user_tokens, answer_tokens, system_tokens)
    fresh = system_tokens + turns * user_tokens + (turns - 1) * answer_tokens
    paid = fresh * write_factor + (sent - fresh) * read_factor
    return (paid * input_price + turns * answer_tokens * output_price) * PER_MILLION


def cached_prefix_cost(calls, prefix_tokens, rest_tokens, input_price, read_factor=0.1, write_factor=1.25):
    """Return what the input of many calls costs if they begin alike and the common prefix is cached.

    Parameters
    ----------
    calls : number
        Calls while the cache lives, at least 1.
    prefix_tokens, rest_tokens : number, tokens
        What all calls share in front, and what is new in each.
    input_price : number, USD per million tokens
        List price.
    read_factor, write_factor : number
        Price of a cached and of a newly cached token over the input price. The defaults are Anthropic's for a cache that
        lives five minutes.

    Returns
    -------
    number, USD

    Raises
    ------
    ValueError
        If `calls` is below 1 or anything else is negative.

    Examples
    --------
    >>> round(cached_prefix_cost(100, 10_000, 200, 3) / cached_prefix_cost(100, 10_000, 200, 3, 1, 1), 3)
    0.129
    """
    at_least_one(calls=calls)
    at_least_zero(
        prefix_tokens=prefix_tokens,
        rest_tokens=rest_tokens,
        input_price=input_price,
        read_factor=read_factor,
        write_factor=write_factor,
    )
    prefix = prefix_tokens * (write_factor + (calls - 1) * read_factor)
    return (prefix + calls * rest_tokens) * input_price * PER_MILLION


def rag_question_cost(chunks, chunk_tokens, frame_tokens, answer_tokens, input_price, output_price):
    """Return the price of one question that is answered from retrieved chunks.

    Parameters
    ----------
    chunks : number
        Chunks put into the prompt.
    chunk_tokens, frame_tokens, answer_tokens : number, tokens
        Of a chunk; of the instructions and the question together; of the answer.
    input_price, output_price : number, USD per million tokens
        List prices.

    Returns
    -------
    number, USD

    Raises
    ------
    ValueError
        If anything is negative.

    Examples
    --------
    >>> rag_question_cost(5, 300, 500, 250, 2, 8)
    0.006
    """
    at_least_zero(
        chunks=chunks,
        chunk_tokens=chunk_tokens,
        frame_tokens=frame_tokens,
        answer_tokens=answer_tokens,
        input_price=input_price,
        output_price=output_price,
    )
    return ((chunks * chunk_tokens + frame_tokens) * input_price + answer_tokens * output_price) * PER_MILLION


# Agents


def task_success(step_success, steps):
    """Return the chance that all steps succeed, if each succeeds alike and none knows of the others: p to the n.

    Parameters
    ----------
    step_success : number, 0 to 1
        Chance that one step is right.
    steps : number
        Steps of the task.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If the chance is not from 0 to 1 or there are fewer than 0 steps.

    Examples
    --------
    >>> round(task_success(0.95, 5), 3), round(task_success(0.95, 10), 3)
    (0.774, 0.599)
    """
    fraction(step_success=step_success)
    at_least_zero(steps=steps)
    return step_success**steps


def steps_within(step_success, target):
    """Return how many steps can follow one another until the chance of success falls to `target`: ln(target) / ln(p).

    Parameters
    ----------
    step_success : number, above 0 to below 1
        Chance that one step is right.
    target : number, above 0 to 1
        Chance that the task shall keep.

    Returns
    -------
    number, steps

    Raises
    ------
    ValueError
        If either is out of range.

    Examples
    --------
    >>> round(float(steps_within(0.95, 0.5)), 1)
    13.5
    """
    positive_fraction(step_success=step_success, target=target)
    require(step_success < 1, "step_success must be below 1: a certain step can be repeated for ever")
    return np.log(target) / np.log(step_success)


def required_step_success(target, steps):
    """Return the chance that each step needs for the task to reach `target`: the n-th root.

    Parameters
    ----------
    target : number, 0 to 1
        Chance that the task shall have.
    steps : number
        At least 1.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If either is out of range.

    Examples
    --------
    >>> round(required_step_success(0.9, 50), 4)
    0.9979
    """
    fraction(target=target)
    at_least_one(steps=steps)
    return target ** (1 / steps)


@dataclass(frozen=True)
class StepOutcome:
    """How a step ends that a verifier looks at: right, wrong and unnoticed, or given up; and the attempts it took."""

    right: float
    wrong: float
    stopped: float
    attempts: float


def step_outcome(step_success, retries=0, caught=0.0, false_alarm=0.0):
    """Return how one step ends if a verifier may send it back up to `retries` times.

    Every attempt is right with the same chance, whatever went before; the verifier rejects a wrong result with chance `caught`
    and a right one with chance `false_alarm`. After the last attempt a rejected step is given up.

    Parameters
    ----------
    step_success : number, 0 to 1
        Chance that one attempt is right.
    retries : number
        Further attempts allowed.
    caught, false_alarm : number, 0 to 1
        What the verifier rejects of the wrong and of the right.

    Returns
    -------
    StepOutcome
        Chances that sum to 1, and the mean number of attempts.

    Raises
    ------
    ValueError
        If a chance is not from 0 to 1 or `retries` is negative.

    Examples
    --------
    >>> out = step_outcome(0.9, retries=2, caught=0.8)
    >>> [round(float(x), 4) for x in (out.right, out.wrong, out.stopped, out.attempts)]
    [0.9778, 0.0217, 0.0005, 1.0864]
    """
    fraction(step_success=step_success, caught=caught, false_alarm=false_alarm)
    at_least_zero(retries=retries)
    right = step_success * (1 - false_alarm)
    wrong = (1 - step_success) * (1 - caught)
    back = step_success * false_alarm + (1 - step_success) * caught
    stopped = back ** (retries + 1)
    attempts = np.where(back < 1, (1 - stopped) / np.where(back < 1, 1 - back, 1.0), retries + 1.0) * 1.0
    return StepOutcome(right * attempts, wrong * attempts, stopped, attempts)


@dataclass(frozen=True)
class TaskOutcome:
    """How a task of several steps ends: done, finished with a fault nobody saw, or given up; and the attempts it took."""

    done: float
    faulty: float
    stopped: float
    attempts: float


def task_outcome(steps, step_success, retries=0, caught=0.0, false_alarm=0.0):
    """Return how a task ends whose steps go through :func:`step_outcome` one after the other.

    One wrong step spoils the task though it goes on; a step given up ends it.

    Parameters
    ----------
    steps : number
        At least 1.
    step_success, retries, caught, false_alarm : number
        As in :func:`step_outcome`.

    Returns
    -------
    TaskOutcome
        Chances that sum to 1, and the mean number of attempts in all steps.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> out = task_outcome(20, 0.95, retries=2, caught=0.8)
    >>> round(float(out.done), 3), round(float(out.faulty), 3), round(float(out.stopped), 3)
    (0.81, 0.189, 0.001)
    """
    at_least_one(steps=steps)
    step = step_outcome(step_success, retries, caught, false_alarm)
    done = step.right**steps
    through = (1 - step.stopped) ** steps
    ending = np.where(step.stopped > 1e-9, step.stopped, 1.0)
    begun = np.where(step.stopped > 1e-9, (1 - through) / ending, steps * 1.0)
    return TaskOutcome(done, through - done, 1 - through, step.attempts * begun)


def all_trials_succeed(successes, trials, k):
    """Return pass^k: the chance that `k` trials drawn from those made all succeeded, C(c, k) / C(n, k).

    The estimator of tau-bench, to be averaged over tasks. Not pass@k, the chance that at least one of k succeeds.

    Parameters
    ----------
    successes, trials : int or array_like
        c and n of each task.
    k : int
        From 1 to `trials`.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If counts are negative, more succeed than were tried, or `k` is out of range.

    Examples
    --------
    >>> round(float(all_trials_succeed(3, 4, 2)), 3)
    0.5
    """
    successes, trials = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    at_least_zero(successes=successes)
    require(np.all(successes <= trials), "successes must not exceed trials")
    require(k >= 1 and np.all(trials >= k), f"k must be from 1 to the number of trials, not {k!r}")
    return special.binom(successes, k) / special.binom(trials, k)


def repeat_correlation(once, twice):
    """Return how alike two trials of one task are, from the chance that one succeeds and the chance that both do.

    0 if trials are independent (twice = once squared), 1 if a task always succeeds or always fails (twice = once).

    Parameters
    ----------
    once, twice : number, above 0 to below 1
        pass^1 and pass^2; from once squared up to once.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If they are out of range or contradict each other.

    Examples
    --------
    >>> round(repeat_correlation(0.8158, 0.7178), 3)
    0.348
    """
    positive_fraction(once=once, twice=twice)
    require(once < 1, "once must be below 1")
    require(once**2 <= twice + 1e-12, "twice must be at least once squared")
    require(twice <= once, "twice must not exceed once")
    return (twice - once**2) / (once * (1 - once))


def repeat_success(once, correlation, k):
    """Return pass^k if tasks differ in difficulty: the k-th moment of a beta distribution.

    Its mean is `once` and the correlation of two trials of a task `correlation`, so with m = (1 - correlation) / correlation
    the moment is the product over i < k of (once m + i) / (m + i).

    Parameters
    ----------
    once : number, above 0 to 1
        pass^1.
    correlation : number, 0 to 1
        As :func:`repeat_correlation` gives it; 0 makes trials independent.
    k : int
        Trials that must all succeed, at least 1.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> round(float(repeat_success(0.8158, 0, 4)), 3), round(float(repeat_success(0.8158, 0.348, 4)), 3)
    (0.443, 0.608)
    """
    positive_fraction(once=once)
    fraction(correlation=correlation)
    at_least_one(k=k)
    chance = once
    for i in range(1, int(k)):
        chance = chance * (once * (1 - correlation) + i * correlation) / (1 - correlation + i * correlation)
    return chance


# Ratings from votes


def win_probability(gap_points):
    """Return the chance that the higher-rated of two wins a vote: 1 / (1 + 10^(-gap / 400)).

    Parameters
    ----------
    gap_points : number, rating points
        Difference of the two ratings.

    Returns
    -------
    number, 0 to 1

    Examples
    --------
    >>> round(float(win_probability(100)), 3)
    0.64
    """
    return 1 / (1 + np.exp(-gap_points / POINTS_PER_LOGIT))


def points_gap(probability):
    """Return the difference of two ratings at which the higher wins with this chance.

    Parameters
    ----------
    probability : number, above 0 to below 1
        Chance of a win.

    Returns
    -------
    number, rating points

    Raises
    ------
    ValueError
        If the chance is not between 0 and 1.

    Examples
    --------
    >>> round(float(points_gap(0.55)), 1)
    34.9
    """
    positive_fraction(probability=probability)
    require(probability < 1, "probability must be below 1")
    return np.log(probability / (1 - probability)) * POINTS_PER_LOGIT


def votes_to_separate(gap_points, z=1.96):
    """Return the votes between two models after which the interval of their gap leaves out zero.

    One vote tells the log odds with variance 1 / (p (1 - p)); the gap g is told apart when it is z standard errors wide.

    Parameters
    ----------
    gap_points : number, rating points
        True gap, above zero.
    z : number
        1.96 for an interval of 95 %.

    Returns
    -------
    number, votes

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> round(float(votes_to_separate(100))), round(float(votes_to_separate(10)))
    (50, 4641)
    """
    positive(gap_points=gap_points, z=z)
    p = win_probability(gap_points)
    return (z * POINTS_PER_LOGIT / gap_points) ** 2 / (p * (1 - p))


@dataclass(frozen=True)
class Ratings:
    """Ratings in points about a mean of zero, and the covariance of their errors in squared points."""

    points: np.ndarray
    covariance: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Standard error of each rating."""
        return np.sqrt(np.diag(self.covariance))

    def gap_error(self, i: int, j: int) -> float:
        """Return the standard error of the difference of two ratings, which is not the sum of theirs."""
        c = self.covariance
        return float(np.sqrt(c[i, i] + c[j, j] - 2 * c[i, j]))


def _inverse_information(weight):
    """Return the inverse of the Fisher information of logits about a mean of zero, from the weight of each pair.

    The information knows nothing of a common shift; adding it as if known, and taking it away again, inverts the rest.
    """
    shift = np.full_like(weight, 1 / len(weight))
    np.fill_diagonal(weight, 0)
    return np.linalg.inv(np.diag(weight.sum(axis=1)) - weight + shift) - shift


def _covariance(points, votes):
    """Return the covariance of ratings about a mean of zero, in squared points."""
    chance = win_probability(points[:, None] - points[None, :])
    return _inverse_information(votes * chance * (1 - chance)) * POINTS_PER_LOGIT**2


def bradley_terry(wins):
    """Return the ratings that make the votes most likely (Bradley and Terry 1952), by Newton's method.

    Parameters
    ----------
    wins : array_like, shape (models, models)
        ``wins[i, j]``: votes that preferred i to j; half a vote each for a tie. The diagonal is not read.

    Returns
    -------
    Ratings

    Raises
    ------
    ValueError
        If `wins` is not square, a count is negative, or the models fall into two groups of which one never lost to the other:
        then no finite ratings exist.

    Examples
    --------
    >>> found = bradley_terry([[0, 64], [36, 0]])
    >>> round(float(found.points[0] - found.points[1])), round(found.gap_error(0, 1), 1)
    (100, 36.2)
    """
    wins = np.array(wins, dtype=float)
    require(wins.ndim == 2 and wins.shape[0] == wins.shape[1], "wins must be a square table, models x models")
    at_least_zero(wins=wins)
    np.fill_diagonal(wins, 0)
    reach = np.linalg.matrix_power((wins > 0) + np.eye(len(wins)), len(wins)) > 0
    require(reach.all(), "every model must have won, directly or through others, against every other; add votes")
    votes, theta = wins + wins.T, np.zeros(len(wins))
    for _ in range(100):
        chance = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))
        slope = (wins - votes * chance).sum(axis=1)
        step = _inverse_information(votes * chance * (1 - chance)) @ slope
        theta = theta + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-12:
            break
    theta = theta - theta.mean()
    return Ratings(theta * POINTS_PER_LOGIT, _covariance(theta * POINTS_PER_LOGIT, votes))


def expected_ratings(points, votes_per_pair):
    """Return the ratings with the errors to expect if every pair of models gets the same number of votes.

    Parameters
    ----------
    points : array_like, shape (models,), rating points
        True ratings; shifted to a mean of zero.
    votes_per_pair : number
        Votes on each pair.

    Returns
    -------
    Ratings

    Raises
    ------
    ValueError
        If the votes are not positive or there are fewer than two models.

    Examples
    --------
    >>> expected_ratings([100, 0], 100).errors.round(1).tolist()
    [18.1, 18.1]
    """
    points = np.asarray(points, dtype=float)
    positive(votes_per_pair=votes_per_pair)
    require(points.ndim == 1 and len(points) > 1, "points must hold at least two models")
    points = points - points.mean()
    return Ratings(points, _covariance(points, np.full((len(points),) * 2, float(votes_per_pair))))


def normal_upper_tail(z):
    """Return the chance that a standard normal value exceeds `z`.

    Parameters
    ----------
    z : number or array
        In standard deviations.

    Returns
    -------
    number or array, 0 to 1

    Examples
    --------
    >>> round(float(normal_upper_tail(1.96)), 3)
    0.025
    """
    return special.ndtr(-np.asarray(z, dtype=float))
