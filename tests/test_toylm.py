"""The toy language model: its texts, its arithmetic against JAX's own, and that each way of training moves it."""

import os

import numpy as np
import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from aistack import toylm as lm


def text(line):
    tokens = np.full(lm.LENGTH, lm.STOP, dtype=np.int32)
    tokens[: len(line)] = [lm.CHARACTERS.index(c) for c in line]
    return tokens


@pytest.fixture(scope="module")
def models():
    return lm.initial(2, seed=1)


def test_texts_solve_their_tasks_and_end():
    tokens, weight = lm.texts(200, np.random.default_rng(0))
    for row, counted in zip(tokens, weight, strict=True):
        line = lm.decode(row)
        prompt, answer = line.split(">")
        letters = prompt[1:]
        wanted = {"S": "".join(sorted(letters)), "R": letters[::-1], "C": letters}[prompt[0]]
        assert answer.rstrip("!") == wanted and len(set(letters)) == lm.ROW
        assert counted.sum() == len(line) and counted[0] == 0  # every character but the first, and the full stop
    right, marks = lm.answers(tokens)
    assert (right == lm.ROW).all() and set(marks) == {0, 1, 2}


def test_texts_without_command_do_not_name_the_task():
    tokens, _ = lm.texts(50, np.random.default_rng(0), command=False)
    assert (tokens[:, 0] == 0).all()


def test_held_out_prompts_are_never_trained_on():
    rng = np.random.default_rng(0)
    seen = {tuple(t[1 : lm.ANSWER - 1]) for t in lm.texts(4000, rng)[0]}
    kept = {tuple(t[1 : lm.ANSWER - 1]) for t in lm.texts(1000, rng, held_out=True)[0]}
    assert not seen & kept and len(seen | kept) == 8 * 7 * 6


@pytest.mark.parametrize(
    ("line", "right", "marks"),
    [("Sfca>acf!.", 3, 1), ("Sfca>aca.!!", 2, 0), ("Rfca>acf!!", 3, 2), ("Cfca>!!!!!!!!", 0, 8), ("Cfca>.", 0, 0)],
)
def test_answers_counts_letters_and_marks_up_to_the_stop(line, right, marks):
    assert tuple(int(x) for x in lm.answers(text(line))) == (right, marks)


def test_logits_look_only_back(models):
    import jax

    one = jax.tree.map(lambda x: x[0], models)
    a, b = text("Sfca>acf!.")[None], text("Sfca>hhh!.")[None]
    assert np.allclose(lm.logits(one, a)[0, : lm.ANSWER], lm.logits(one, b)[0, : lm.ANSWER], atol=1e-5)
    assert not np.allclose(lm.logits(one, a)[0, lm.ANSWER], lm.logits(one, b)[0, lm.ANSWER], atol=1e-3)


def test_logits_agree_with_the_attention_of_jax(models):
    import jax

    one = jax.tree.map(lambda x: x[0], models)
    tokens = lm.texts(4, np.random.default_rng(0))[0]

    def norm(x):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)

    x = one["token"][tokens] + one["place"]
    for layer in range(lm.LAYERS):
        block = {n: w[layer] for n, w in one["blocks"].items()}
        q, k, v = ((norm(x) @ block[n]).reshape(4, lm.LENGTH, lm.HEADS, -1) for n in "qkv")
        x = x + np.asarray(jax.nn.dot_product_attention(q, k, v, is_causal=True)).reshape(x.shape) @ block["o"]
        x = x + np.maximum(norm(x) @ block["up"], 0) @ block["down"]
    assert np.allclose(lm.logits(one, tokens), norm(x) @ one["out"], atol=1e-4)


def test_log_probability_is_that_of_the_next_character(models):
    import jax

    one = jax.tree.map(lambda x: x[1], models)
    tokens = lm.texts(3, np.random.default_rng(0))[0]
    found = lm.log_probability(one, tokens)
    scores = np.asarray(lm.logits(one, tokens), dtype=float)
    expected = scores[0, 6, tokens[0, 7]] - np.log(np.exp(scores[0, 6]).sum())
    assert found.shape == tokens.shape and found[0, 7] == pytest.approx(expected, abs=1e-4) and found[0, 0] == 0


def test_sample_keeps_prompts_and_stays_stopped(models):
    tokens = np.stack([lm.texts(lm.PORTION, np.random.default_rng(i))[0] for i in range(2)])
    drawn = lm.sample(models, tokens, seed=3)
    assert (drawn[..., : lm.ANSWER] == tokens[..., : lm.ANSWER]).all()
    stops = drawn[..., lm.ANSWER :] == lm.STOP
    assert (np.diff(stops.astype(int), axis=-1) >= 0).all()
    assert (lm.sample(models, tokens, seed=3) == drawn).all()


def test_adapters_change_nothing_until_trained_and_then_a_matrix_of_their_rank(models):
    added = lm.adapters(models, rank=2)
    assert lm.parameter_count(added) == lm.LAYERS * 2 * (4 * 2 * lm.WIDTH + 2 * (lm.WIDTH + lm.HIDDEN))
    same = lm.add_adapters(models, added)
    assert np.array_equal(same["blocks"]["q"], models["blocks"]["q"])
    added["q"]["b"] = added["q"]["b"] + 1.0
    change = lm.add_adapters(models, added)["blocks"]["q"] - models["blocks"]["q"]
    assert np.linalg.matrix_rank(change[0, 0], tol=1e-4) <= 2 and abs(change).max() > 0.1


def surprise(params, batch, _):
    tokens, weight = batch
    return -(lm.log_probability(params, tokens) * weight).sum() / abs(weight).sum().clip(1)


def test_fit_lowers_the_loss_of_every_model_and_repeats_itself(models):
    data = tuple(np.stack([x] * 2) for x in lm.texts(500, np.random.default_rng(0)))
    rates = np.full(50, 1e-2)
    _, losses = lm.fit(surprise, models, data, rates)
    assert losses.shape == (2, 50) and (losses[:, -5:].mean(1) < losses[:, :5].mean(1) - 0.5).all()
    assert np.array_equal(losses, lm.fit(surprise, models, data, rates)[1])


def test_a_step_of_adam_is_the_published_one(models):
    # first step: both averages, corrected, are the gradient and its square, so every weight moves by the rate
    trainer = lm.Trainer(surprise, models)
    data = tuple(np.stack([x] * 2) for x in lm.texts(64, np.random.default_rng(0)))
    trainer.step(data, 1e-3)
    moved = np.asarray(trainer.params["out"] - models["out"])
    assert np.allclose(abs(moved), 1e-3, rtol=0.02)


def only_marks(right, marks):
    return 1.0 * marks


def test_policy_gradient_raises_the_reward_and_beta_holds_it_back(models):
    tokens = np.stack([lm.texts(100, np.random.default_rng(i))[0] for i in range(2)])
    gained, strayed = {}, {}
    for beta in (0.0, 10.0):
        _, drawn, divergence = lm.policy_gradient(surprise, models, tokens, only_marks, beta, steps=12, rate=1e-2)
        marks = lm.answers(drawn)[1].mean(axis=(1, 2))
        gained[beta], strayed[beta] = marks[-1] - marks[0], divergence.mean(axis=1)
    assert gained[0.0] > 1 and gained[0.0] > gained[10.0]
    assert abs(strayed[0.0][0]) < 1e-4 and strayed[0.0][-1] > strayed[10.0][-1]


def test_answer_log_probability_sums_the_answer_and_wants_whole_portions(models):
    import jax

    tokens = np.stack([lm.texts(lm.PORTION, np.random.default_rng(i))[0] for i in range(2)])
    each = lm.log_probability(jax.tree.map(lambda x: x[0], models), tokens[0])
    expected = (np.asarray(each) * lm.written(tokens[0], lm.ANSWER)).sum(axis=1)
    assert np.allclose(lm.answer_log_probability(models, tokens)[0], expected, atol=1e-4)
    with pytest.raises(ValueError, match="whole number of 64"):
        lm.sample(models, tokens[:, :50])
