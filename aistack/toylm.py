"""A language model small enough to pre-train, tune and spoil within seconds.

Its texts are ``S`` (sort), ``R`` (reverse), ``C`` (copy) or ``_`` (unsaid), three letters, ``>``, an answer, up to
two marks ``!`` and a full stop: ``Sfca>acf!.`` Several models are trained side by side: every tree of weights and
every array of texts has one model (seed) a row. JAX is imported when first used.
"""

from __future__ import annotations

import functools

import numpy as np

__all__ = [
    "ANSWER",
    "LENGTH",
    "Trainer",
    "adapters",
    "add_adapters",
    "answer_log_probability",
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
PORTION = 64  #: texts that are worked on together


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

    def matrix(*shape, scale=1.0):
        return (scale * rng.normal(size=(models, *shape)) / shape[-2] ** 0.5).astype(np.float32)

    block = {n: (WIDTH, WIDTH) for n in "qkvo"} | {"up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH)}
    small = {"o": 0.5, "down": 0.5}
    return {
        "token": matrix(len(CHARACTERS), WIDTH, scale=len(CHARACTERS) ** 0.5 / 2),
        "place": matrix(LENGTH, WIDTH, scale=LENGTH**0.5 / 2),
        "out": matrix(WIDTH, len(CHARACTERS)),
        "blocks": {n: matrix(LAYERS, *s, scale=small.get(n, 1.0)) for n, s in block.items()},
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

    def block(x, w):
        q, k, v = ((norm(x) @ w[n]).reshape(*x.shape[:2], HEADS, -1) for n in "qkv")
        score = jnp.einsum("bthd,bshd->bhts", q, k) / (WIDTH // HEADS) ** 0.5
        weight = jax.nn.softmax(jnp.where(seen, score, -1e9))
        x = x + jnp.einsum("bhts,bshd->bthd", weight, v).reshape(x.shape) @ w["o"]
        return x + jax.nn.relu(norm(x) @ w["up"]) @ w["down"]

    x = params["token"][tokens] + params["place"][:places]
    for layer in range(params["blocks"]["q"].shape[0]):
        x = block(x, jax.tree.map(lambda w, layer=layer: w[layer], params["blocks"]))
    return norm(x) @ params["out"]


def log_probability(params, tokens):
    """Return the log-probability of each character given those before it, shape (texts, LENGTH); 0 for the first."""
    import jax
    import jax.numpy as jnp

    each = jax.nn.log_softmax(logits(params, tokens[:, :-1]))
    return jnp.pad(jnp.take_along_axis(each, tokens[:, 1:, None], axis=2)[..., 0], ((0, 0), (1, 0)))


# Training


@functools.cache
def _step(loss):
    """Return one compiled step of Adam for all models, one after another."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    def step(params, mean, square, batch, fixed, rate, count):
        flat, shaped = ravel_pytree(params)
        value, slope = jax.value_and_grad(lambda w: loss(shaped(w), batch, fixed))(flat)
        mean, square = 0.9 * mean + 0.1 * slope, 0.98 * square + 0.02 * slope**2
        flat = flat - rate * (mean / (1 - 0.9**count)) / (jnp.sqrt(square / (1 - 0.98**count)) + 1e-8)
        return shaped(flat), mean, square, value

    return jax.jit(lambda *each, rate, count: jax.lax.map(lambda one: step(*one, rate, count), each))


class Trainer:
    """Models in training, with Adam's averages.

    Parameters
    ----------
    loss : callable
        ``loss(params, batch, fixed)`` of one model, a number. Compiled once for each function and shape.
    params : tree of arrays, shape (models, ...)
        Where training starts; afterwards where it stands.
    """

    def __init__(self, loss, params):
        import jax

        self.loss, self.params, self.count = loss, params, 0
        self.models = jax.tree.leaves(params)[0].shape[0]
        self._mean = self._square = np.zeros((self.models, parameter_count(params)), np.float32)

    def step(self, batch, rate: float, fixed=None):
        """Take one step on a batch of each model; return the losses, shape (models,)."""
        self.count += 1
        fixed = np.zeros(self.models, np.float32) if fixed is None else fixed
        self.params, self._mean, self._square, value = _step(self.loss)(
            self.params, self._mean, self._square, batch, fixed, rate=np.float32(rate), count=np.float32(self.count)
        )
        return value


def fit(loss, params, data, rates, fixed=None, batch: int = 64, seed: int = 0):
    """Train all models with Adam.

    Parameters
    ----------
    loss, params
        As in :class:`Trainer`.
    data : tree of arrays, shape (models, n, ...)
        Examples of each model; batches are drawn from them with replacement.
    rates : array, shape (steps,)
        Learning rate of each step.
    fixed : tree of arrays, shape (models, ...), optional
        Handed to the loss as it is: frozen weights, a coefficient.
    batch, seed : int

    Returns
    -------
    params : tree of arrays
    losses : array, shape (models, steps)
    """
    import jax

    trainer = Trainer(loss, params)
    n, each = jax.tree.leaves(data)[0].shape[1], np.arange(trainer.models)[:, None]
    rows = np.random.default_rng(seed).integers(0, n, (len(rates), trainer.models, batch))
    losses = [
        trainer.step(jax.tree.map(lambda x, at=at: x[each, at], data), rate, fixed)
        for at, rate in zip(rows, rates, strict=True)
    ]
    return trainer.params, np.asarray(losses).T


def _write(params, tokens, noise):
    """Return the texts with their answers drawn from one model, by the largest sum of score and Gumbel noise."""
    import jax
    import jax.numpy as jnp

    def one(place, tokens):
        drawn = (logits(params, tokens)[:, place - 1] + noise[:, place - ANSWER]).argmax(axis=1)
        return tokens.at[:, place].set(jnp.where((tokens[:, ANSWER:] == STOP).any(1), STOP, drawn))

    return jax.lax.fori_loop(ANSWER, LENGTH, one, tokens.at[:, ANSWER:].set(-1)).astype(jnp.int32)


@functools.cache
def _compiled(function):
    import jax

    return jax.jit(lambda *each: jax.lax.map(lambda one: function(*one), each))


def _in_portions(function, params, tokens, *each):
    """Run a compiled function on PORTION texts of each model at a time, so that one shape is compiled once."""
    n = tokens.shape[1]
    if n % PORTION:
        raise ValueError(f"tokens has {n} texts a model; it must be a whole number of {PORTION}")
    parts = [
        np.asarray(_compiled(function)(params, *(e[:, at : at + PORTION] for e in (tokens, *each))))
        for at in range(0, n, PORTION)
    ]
    return np.concatenate(parts, axis=1)


def sample(params, tokens, seed: int = 0):
    """Return texts whose answers each model has drawn, character by character.

    Parameters
    ----------
    params : tree of arrays, shape (models, ...)
    tokens : array of int, shape (models, n, LENGTH)
        What stands from place ANSWER on is replaced; n a whole number of PORTION.
    seed : int

    Raises
    ------
    ValueError
        If n is no whole number of PORTION.
    """
    shape = (*tokens.shape[:2], LENGTH - ANSWER, len(CHARACTERS))
    return _in_portions(_write, params, tokens, np.random.default_rng(seed).gumbel(size=shape).astype(np.float32))


def _answer(params, tokens):
    import jax.numpy as jnp

    return (log_probability(params, tokens) * written(tokens, ANSWER, jnp)).sum(1)


def answer_log_probability(params, tokens):
    """Return the log-probability of each text's answer under each model, shape (models, n).

    Parameters
    ----------
    params : tree of arrays, shape (models, ...)
    tokens : array of int, shape (models, n, LENGTH)
        n a whole number of PORTION.
    """
    return _in_portions(_answer, params, tokens)


def evaluate(params, tokens, seed: int = 0) -> dict:
    """Return, for each model, the share of wholly right answers and the mean number of marks."""
    right, marks = answers(sample(params, tokens, seed))
    return {"right": (right == ROW).mean(axis=1), "marks": marks.mean(axis=1)}


# Adapters


def adapters(params, rank: int, seed: int = 0):
    """Return low-rank adapters of all matrices in the blocks: `a` random, `b` zero, so that they change nothing yet."""
    rng = np.random.default_rng(seed)

    def pair(w):
        *before, rows, columns = np.shape(w)
        a = rng.normal(size=(*before, rows, rank)) / rows**0.5
        return {"a": a.astype(np.float32), "b": np.zeros((*before, rank, columns), np.float32)}

    return {n: pair(w) for n, w in params["blocks"].items()}


def add_adapters(params, added):
    """Return the weights with each adapter's product added to its matrix."""
    return {**params, "blocks": {n: w + added[n]["a"] @ added[n]["b"] for n, w in params["blocks"].items()}}


# Reinforcement


def policy_gradient(loss, params, tokens, reward, beta: float, steps: int, rate: float = 2e-3, seed: int = 0):
    """Push each model towards answers with a higher reward: REINFORCE (Williams, 1992) against the batch mean.

    What an answer gains is its reward less `beta` times log(model / where it started). Each step draws PORTION answers and
    weighs them by how far their gain lies above the mean, in standard deviations; a weight may be negative.

    Parameters
    ----------
    loss : callable
        Weighted surprise: ``loss(params, (tokens, weight), fixed)``, finite when all weights are zero.
    params : tree of arrays, shape (models, ...)
        Where to start, and what the divergence is measured from.
    tokens : array of int, shape (models, n, LENGTH)
        Texts to take prompts from.
    reward : callable
        ``reward(right, marks)``, of what :func:`answers` counts.
    beta : float
        Weight of the divergence.
    steps, seed : int
    rate : float

    Returns
    -------
    params : tree of arrays
    drawn : array of int, shape (steps, models, PORTION, LENGTH)
        What was written on the way.
    divergence : array, shape (steps, models)
        Mean of log(model / start) over each batch, in nats.
    """
    rng, trainer = np.random.default_rng(seed), Trainer(loss, params)
    texts_drawn, divergence = [], []
    for step in range(steps):
        rows = rng.integers(0, tokens.shape[1], PORTION)
        drawn = sample(trainer.params, tokens[:, rows], seed=1000 * seed + step)
        gap = answer_log_probability(trainer.params, drawn) - answer_log_probability(params, drawn)
        gain = reward(*answers(drawn)) - beta * gap
        push = (gain - gain.mean(axis=1, keepdims=True)) / (gain.std(axis=1, keepdims=True) + 1e-6)
        weight = (push[..., None] * written(drawn, ANSWER)).astype(np.float32)
        trainer.step((drawn, weight), rate)
        texts_drawn.append(drawn)
        divergence.append(gap.mean(axis=1))
    return trainer.params, np.asarray(texts_drawn), np.asarray(divergence)
