"""A language model small enough to pre-train, tune and spoil within seconds.

Its texts are ``S`` (sort), ``R`` (reverse), ``C`` (copy) or ``_`` (unsaid), three letters, ``>``, an answer, up to
two marks ``!`` and a full stop: ``Sdba>abd!.`` Several models are trained side by side: every tree of weights and
every array of texts has one model (seed) a row. JAX is imported when first used.
"""

from __future__ import annotations

import functools

import numpy as np

__all__ = [
    "ANSWER",
    "LENGTH",
    "adapters",
    "add_adapters",
    "answers",
    "decode",
    "evaluate",
    "fit",
    "initial",
    "log_probability",
    "logits",
    "parameter_count",
    "policy_gradient",
    "sample",
    "texts",
    "written",
]

CHARACTERS = "_SRC>.!abcdefgh"
STOP, MARK, LETTER = CHARACTERS.index("."), CHARACTERS.index("!"), CHARACTERS.index("a")
ROW = 3  #: letters of a prompt
ANSWER, LENGTH = ROW + 2, 13  #: where the answer begins, and where every text ends
WIDTH, HEADS, HIDDEN, LAYERS = 32, 2, 64, 2
CHUNK = 50  #: steps compiled together


# Texts


def texts(count: int, rng, command: bool = True, held_out: bool = False):
    """Return random texts.

    Parameters
    ----------
    count : int
    rng : numpy.random.Generator
    command : bool
        Whether the task is named by the first character, or left unsaid.
    held_out : bool
        Take rows of letters from the quarter that is never trained on.

    Returns
    -------
    tokens : array of int32, shape (count, LENGTH)
    weight : array, shape (count, LENGTH)
        1 from the second character to the first full stop, 0 elsewhere.
    """
    letters = np.empty((0, ROW), dtype=int)
    while len(letters) < count:
        more = rng.random((2 * count + 8, 8)).argsort(axis=1)[:, :ROW]
        apart = more @ [1, 3, 5] % 4 == 0
        letters = np.concatenate([letters, more[apart == held_out]])
    letters, task, marks = letters[:count], rng.integers(0, 3, count), rng.integers(0, 3, count)
    answer = _solve(letters, task)
    tokens = np.full((count, LENGTH), STOP, dtype=np.int32)
    tokens[:, 0] = 1 + task if command else 0
    tokens[:, 1 : ANSWER - 1], tokens[:, ANSWER - 1] = letters + LETTER, CHARACTERS.index(">")
    tokens[:, ANSWER : ANSWER + ROW] = answer + LETTER
    tokens[:, ANSWER + ROW : ANSWER + ROW + 2] = np.where(marks[:, None] > np.arange(2), MARK, STOP)
    return tokens, written(tokens, 1)


def _solve(letters, task, xp=np):
    task = task[..., None]
    return xp.where(task == 0, xp.sort(letters, axis=-1), xp.where(task == 1, letters[..., ::-1], letters))


def written(tokens, start: int, xp=np):
    """Return 1 from place `start` to the first full stop, itself included, and 0 elsewhere; `xp` may be ``jax.numpy``."""
    stops = tokens == STOP
    before = xp.cumsum(stops & (np.arange(LENGTH) >= start), axis=-1) - stops
    return ((np.arange(LENGTH) >= start) & (before <= 0)).astype(np.float32)


def decode(tokens) -> str:
    """Return one text, up to its full stop."""
    return "".join(CHARACTERS[t] for t in tokens).partition(".")[0]


def answers(tokens, xp=np):
    """Return how many letters of each answer stand right, and how many marks it has.

    Parameters
    ----------
    tokens : array of int, shape (..., LENGTH)
        Texts whose first character names the task.
    xp : module
        ``numpy``, or ``jax.numpy`` inside compiled code.

    Returns
    -------
    right, marks : arrays of int, shape (...)
    """
    wanted = _solve(tokens[..., 1 : ANSWER - 1], tokens[..., 0] - 1, xp)
    marks = (tokens == MARK) & (written(tokens, ANSWER, xp) > 0)
    return (tokens[..., ANSWER : ANSWER + ROW] == wanted).sum(axis=-1), marks.sum(axis=-1)


# The model


def initial(models: int, seed: int = 0) -> dict:
    """Return random weights: matrices shrink with the root of their inputs."""
    rng = np.random.default_rng(seed)

    def matrix(rows, columns, scale=1.0):
        return (scale * rng.normal(size=(models, rows, columns)) / rows**0.5).astype(np.float32)

    block = {n: (WIDTH, WIDTH) for n in "qkvo"} | {"up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH)}
    small = {"o": 0.5, "down": 0.5}
    return {
        "token": matrix(len(CHARACTERS), WIDTH, len(CHARACTERS) ** 0.5 / 2),
        "place": matrix(LENGTH, WIDTH, LENGTH**0.5 / 2),
        "out": matrix(WIDTH, len(CHARACTERS)),
        "blocks": [{n: matrix(*s, small.get(n, 1.0)) for n, s in block.items()} for _ in range(LAYERS)],
    }


def parameter_count(params) -> int:
    """Return the weights of one of the models in a tree."""
    import jax

    return sum(x.size // x.shape[0] for x in jax.tree.leaves(params))


def logits(params, tokens):
    """Return the scores of the next character after each place, for one model; tokens (texts, places)."""
    import jax
    import jax.numpy as jnp

    def norm(x):
        return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)

    places = tokens.shape[1]
    seen = jnp.tril(jnp.ones((places, places), bool))
    x = params["token"][tokens] + params["place"][:places]
    for block in params["blocks"]:
        q, k, v = ((norm(x) @ block[n]).reshape(*x.shape[:2], HEADS, -1) for n in "qkv")
        score = jnp.einsum("bthd,bshd->bhts", q, k) / (WIDTH // HEADS) ** 0.5
        weight = jax.nn.softmax(jnp.where(seen, score, -1e9))
        x = x + jnp.einsum("bhts,bshd->bthd", weight, v).reshape(x.shape) @ block["o"]
        x = x + jax.nn.relu(norm(x) @ block["up"]) @ block["down"]
    return norm(x) @ params["out"]


def log_probability(params, tokens):
    """Return the log-probability of each character given those before it, shape (texts, LENGTH); 0 for the first."""
    import jax
    import jax.numpy as jnp

    each = jax.nn.log_softmax(logits(params, tokens[:, :-1]))
    return jnp.pad(jnp.take_along_axis(each, tokens[:, 1:, None], axis=2)[..., 0], ((0, 0), (1, 0)))


# Training


@functools.cache
def _chunk(loss):
    """Return the compiled training of all models for CHUNK steps of Adam."""
    import jax
    import jax.numpy as jnp

    def step(carry, now):
        params, mean, square, data, fixed = carry
        rows, rate, count = now
        value, slope = jax.value_and_grad(loss)(params, jax.tree.map(lambda x: x[rows], data), fixed)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
        square = jax.tree.map(lambda s, g: 0.98 * s + 0.02 * g * g, square, slope)

        def move(p, m, s):
            return p - rate * (m / (1 - 0.9**count)) / (jnp.sqrt(s / (1 - 0.98**count)) + 1e-8)

        return (jax.tree.map(move, params, mean, square), mean, square, data, fixed), value

    def run(params, mean, square, data, fixed, rows, rates, counts):
        (params, mean, square, _, _), losses = jax.lax.scan(
            step, (params, mean, square, data, fixed), (rows, rates, counts)
        )
        return params, mean, square, losses

    return jax.jit(jax.vmap(run, in_axes=(0, 0, 0, 0, 0, 0, None, None)))


def fit(loss, params, data, rates, fixed=0, batch: int = 64, seed: int = 0):
    """Train all models with Adam.

    Parameters
    ----------
    loss : callable
        ``loss(params, batch, fixed)`` of one model, a number. Compiled once for each function and shape.
    params : tree of arrays, shape (models, ...)
        Where training starts.
    data : tree of arrays, shape (models, n, ...)
        Examples of each model; batches are drawn from them with replacement.
    rates : array, shape (steps,)
        Learning rate of each step; a whole number of CHUNK.
    fixed : tree of arrays, shape (models, ...), optional
        Handed to the loss as it is: a reference model, frozen weights.
    batch, seed : int

    Returns
    -------
    params : tree of arrays
    losses : array, shape (models, steps)

    Raises
    ------
    ValueError
        If the steps are no whole number of chunks.
    """
    import jax
    import jax.numpy as jnp

    steps = len(rates)
    if steps == 0 or steps % CHUNK:
        raise ValueError(f"rates has {steps} steps; it must be a whole number of {CHUNK}")
    models, n = jax.tree.leaves(data)[0].shape[:2]
    fixed = np.zeros(models) if isinstance(fixed, int) else fixed
    rows = np.random.default_rng(seed).integers(0, n, (models, steps, batch))
    zero = jax.tree.map(jnp.zeros_like, params)
    mean, square, losses = zero, zero, []
    for at in range(0, steps, CHUNK):
        now = slice(at, at + CHUNK)
        counts = jnp.arange(at + 1.0, at + CHUNK + 1)
        params, mean, square, part = _chunk(loss)(
            params, mean, square, data, fixed, rows[:, now], jnp.asarray(rates[now], jnp.float32), counts
        )
        losses.append(np.asarray(part))
    return params, np.concatenate(losses, axis=1)


def _write(params, tokens, key):
    """Return the texts with their answers drawn from one model."""
    import jax
    import jax.numpy as jnp

    def one(place, tokens):
        scores = logits(params, tokens)[:, place - 1]
        drawn = jax.random.categorical(jax.random.fold_in(key, place), scores)
        return tokens.at[:, place].set(jnp.where((tokens[:, ANSWER:] == STOP).any(1), STOP, drawn))

    return jax.lax.fori_loop(ANSWER, LENGTH, one, tokens.at[:, ANSWER:].set(-1)).astype(jnp.int32)


@functools.cache
def _sampler():
    import jax

    return jax.jit(jax.vmap(_write))


def sample(params, tokens, seed: int = 0):
    """Return texts whose answers each model has drawn, character by character.

    Parameters
    ----------
    params : tree of arrays, shape (models, ...)
    tokens : array of int, shape (models, n, LENGTH)
        What stands from place ANSWER on is replaced.
    seed : int
    """
    import jax

    return np.asarray(_sampler()(params, tokens, jax.random.split(jax.random.key(seed), len(tokens))))


def evaluate(params, tokens, seed: int = 0) -> dict:
    """Return, for each model, the share of wholly right answers and the mean number of marks."""
    right, marks = answers(sample(params, tokens, seed))
    return {"right": (right == ROW).mean(axis=1), "marks": marks.mean(axis=1)}


# Adapters


def adapters(params, rank: int, seed: int = 0):
    """Return low-rank adapters of all matrices in the blocks: `a` random, `b` zero, so that they change nothing yet."""
    rng = np.random.default_rng(seed)

    def pair(w):
        models, rows, columns = w.shape
        a = rng.normal(size=(models, rows, rank)) / rows**0.5
        return {"a": a.astype(np.float32), "b": np.zeros((models, rank, columns), np.float32)}

    return [{n: pair(np.asarray(w)) for n, w in block.items()} for block in params["blocks"]]


def add_adapters(params, added):
    """Return the weights with each adapter's product added to its matrix."""
    blocks = [
        {n: w + block[n]["a"] @ block[n]["b"] for n, w in frozen.items()}
        for frozen, block in zip(params["blocks"], added, strict=True)
    ]
    return {**params, "blocks": blocks}


# Reinforcement


@functools.cache
def _climb(reward):
    """Return one compiled step of policy-gradient ascent for all models."""
    import jax
    import jax.numpy as jnp

    def step(params, square, reference, tokens, beta, rate, key):
        drawn = _write(params, tokens, key)
        there = written(drawn, ANSWER, jnp)
        gap = ((log_probability(params, drawn) - log_probability(reference, drawn)) * there).sum(1)
        gain = reward(*answers(drawn, jnp)) - beta * gap
        push = (gain - gain.mean()) / (gain.std() + 1e-6)

        def loss(p):
            return -(push * (log_probability(p, drawn) * there).sum(1)).mean()

        slope = jax.grad(loss)(params)
        square = jax.tree.map(lambda s, g: 0.9 * s + 0.1 * g * g, square, slope)
        params = jax.tree.map(lambda p, g, s: p - rate * g / (jnp.sqrt(s) + 1e-5), params, slope, square)
        return params, square, drawn, gap.mean()

    return jax.jit(jax.vmap(step, in_axes=(0, 0, 0, 0, 0, None, 0)))


def policy_gradient(
    params, reference, tokens, reward, beta, steps: int, batch: int = 48, rate: float = 2e-3, seed: int = 0
):
    """Push each model towards answers with a higher reward: REINFORCE (Williams, 1992) against the batch mean.

    What an answer earns is its reward less `beta` times log(model / reference).

    Parameters
    ----------
    params, reference : trees of arrays, shape (models, ...)
        Where to start, and what the divergence is measured from.
    tokens : array of int, shape (models, n, LENGTH)
        Texts to take prompts from.
    reward : callable
        ``reward(right, marks)``, of what :func:`answers` counts.
    beta : array, shape (models,)
        Weight of the divergence.
    steps, batch, seed : int
    rate : float

    Returns
    -------
    params : tree of arrays
    drawn : array of int, shape (steps, models, batch, LENGTH)
        What was written on the way.
    divergence : array, shape (steps, models)
        Mean of log(model / reference) over each batch, in nats.
    """
    import jax
    import jax.numpy as jnp

    rng, square = np.random.default_rng(seed), jax.tree.map(jnp.zeros_like, params)
    written_texts, divergence = [], []
    for step in range(steps):
        rows = rng.integers(0, tokens.shape[1], batch)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), step), len(tokens))
        params, square, drawn, gap = _climb(reward)(params, square, reference, tokens[:, rows], beta, rate, keys)
        written_texts.append(drawn)
        divergence.append(gap)
    return params, np.asarray(written_texts), np.asarray(divergence)
