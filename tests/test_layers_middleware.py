"""Layer 13 against published figures, SQLite's own BM25, closed forms and simulations."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistack import load
from aistack.book import course_glossary
from aistack.layers import middleware as mw
from aistack.trace import trace

chances = st.floats(0.0, 1.0)
inner = st.floats(0.02, 0.98)
lengths = st.integers(1, 400)


# Finding text

TEXTS = [
    "the wafer is cut into dies",
    "a die is tested before it is packaged",
    "the package holds the die and its memory",
    "memory is slower than arithmetic and the bus is slower than memory",
    "tokens leave the rack as text",
    "a rack draws power and gives off heat as warm water",
]


def counts(query):
    return np.array([[text.split().count(word) for word in query.split()] for text in TEXTS])


@pytest.mark.parametrize("query", ["memory", "die memory", "the rack", "warm", "slower memory bus", "absent"])
def test_bm25_equals_sqlite_fts5(query):
    apsw = pytest.importorskip("apsw")
    base = apsw.Connection(":memory:")
    base.execute("create virtual table t using fts5(body)")
    base.executemany("insert into t(body) values (?)", [(t,) for t in TEXTS])
    match = " OR ".join(query.split())
    theirs = dict(base.execute("select rowid - 1, -bm25(t) from t where t match ?", (match,)))
    ours = mw.bm25_scores(counts(query), [len(t.split()) for t in TEXTS])
    assert np.flatnonzero(ours).tolist() == sorted(theirs)
    for at, score in theirs.items():
        assert ours[at] == pytest.approx(score, rel=1e-9)


def test_bm25_grows_with_the_word_and_falls_with_length():
    score = mw.bm25_scores([[1], [2], [1], [0], [0], [0], [0]], [10, 10, 20, 10, 10, 10, 10])
    assert score[1] > score[0] > score[2] > 0 == score[3]


def test_bm25_without_saturation_asks_only_whether_the_word_is_there():
    score = mw.bm25_scores([[1], [7], [0], [0], [0]], [10, 30, 10, 10, 10], k1=0)
    assert score[0] == pytest.approx(score[1])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([1, 2], [3]), "term_counts"),
        (([[1], [2]], [3, 0]), "lengths"),
        (([[1], [-2]], [3, 1]), "term_counts"),
        (([[1], [2]], [3, 1], -1), "k1"),
        (([[1], [2]], [3, 1], 1, 2), "b must"),
    ],
)
def test_bm25_names_what_is_wrong(arguments, name):
    with pytest.raises(ValueError, match=name):
        mw.bm25_scores(*arguments)


def test_cosine_ignores_length_and_takes_zeros():
    assert mw.cosine_similarity([3, 4], [[6, 8], [-3, -4], [0, 0]]).tolist() == pytest.approx([1, -1, 0])
    assert mw.cosine_similarity([0, 0], [[1, 0]]).tolist() == [0]
    with pytest.raises(ValueError, match="dimensions"):
        mw.cosine_similarity([1, 2, 3], [[1, 2]])


@given(st.permutations(range(1, 9)), st.floats(0, 100))
def test_fusing_one_list_keeps_its_order(ranks, constant):
    fused = mw.reciprocal_rank_fusion([ranks], constant)
    assert np.argsort(-fused).tolist() == np.argsort(ranks).tolist()


def test_fusion_at_rank_one_of_two_lists_is_two_sixty_firsts():
    assert mw.reciprocal_rank_fusion([[1], [1]])[0] == pytest.approx(2 / 61)
    assert mw.reciprocal_rank_fusion([[math.inf], [math.inf]])[0] == 0
    with pytest.raises(ValueError, match="ranks"):
        mw.reciprocal_rank_fusion([[0, 1]])


@given(st.lists(st.integers(1, 50) | st.just(math.inf), min_size=1, max_size=30), st.integers(1, 60))
def test_recall_grows_with_k_and_bounds_the_other_measures(ranks, k):
    assert mw.recall_at_k(ranks, k) <= mw.recall_at_k(ranks, k + 1) <= 1
    assert mw.recall_at_k(ranks, 1) <= mw.discounted_gain(ranks, k) <= mw.recall_at_k(ranks, k)
    assert mw.recall_at_k(ranks, 1) <= mw.reciprocal_rank(ranks) <= 1


def test_retrieval_metrics_refuse_rank_zero():
    for measure in (lambda r: mw.recall_at_k(r, 1), mw.reciprocal_rank, mw.discounted_gain):
        with pytest.raises(ValueError, match="rank"):
            measure([0, 1])


def test_retrieval_metrics_refuse_no_questions():
    with pytest.raises(ValueError, match="rank"):
        mw.reciprocal_rank([])


def test_index_of_a_million_ada_vectors_is_six_gigabytes():
    assert mw.vector_index_bytes(1e6, 1536) == 6.144e9
    assert mw.vector_index_bytes(1e6, 1536, 1 / 8) == mw.vector_index_bytes(1e6, 1536) / 32


def test_the_shipped_glossary_is_the_page():
    root = Path(__file__).resolve().parents[1]
    page = (root / "reference" / "glossary.md").read_text(encoding="utf-8")
    shipped = (root / "data" / "course_glossary.csv").read_text(encoding="utf-8")
    assert shipped == course_glossary.table(page), "run python -m aistack.book.course_glossary"


def test_every_question_has_its_answer_in_the_corpus():
    terms = set(load("course_glossary")["term"])
    text = load("course_text")
    paragraphs = {f"paragraph {n}" for n in text[text["page"] != "glossary"]["paragraph"]}
    questions = load("course_questions")
    assert set(questions["answer"]) <= terms | paragraphs and len(questions) >= 40


def test_paraphrased_questions_hardly_share_words_with_their_answers():
    entries = load("course_glossary").set_index("term")["text"]
    asked = load("course_questions")
    for row in asked[asked["kind"] == "paraphrase"].itertuples():
        name = {w for w in re.findall(r"[a-z]{5,}", row.answer.lower())}
        assert not name & set(re.findall(r"[a-z]{5,}", row.question.lower())), row.question
        assert entries[row.answer]


# Chunks


@given(lengths, st.integers(1, 80), st.integers(0, 79))
def test_chunks_cover_the_text_and_share_the_overlap(length, size, overlap):
    overlap = min(overlap, size - 1)
    spans = mw.chunk_spans(length, size, overlap)
    assert spans[0][0] == 0 and spans[-1][1] == length
    assert all(0 < b - a <= size for a, b in spans)
    for (a, b), (c, d) in itertools.pairwise(spans):
        assert b - c == overlap and a < c and b < d


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 59))
def test_answer_kept_whole_equals_counting(answer, chunk, overlap):
    overlap = min(overlap, chunk - 1)
    step = chunk - overlap
    starts = range(600, 600 + step)  # one period, far from the ends
    spans = mw.chunk_spans(2000, chunk, overlap)
    whole = np.mean([any(a <= s and s + answer <= b for a, b in spans) for s in starts])
    assert mw.answer_kept_whole(answer, chunk, overlap) == pytest.approx(whole)


def test_chunks_refuse_an_overlap_that_never_moves_on():
    with pytest.raises(ValueError, match="overlap"):
        mw.chunk_spans(10, 4, 4)
    with pytest.raises(ValueError, match="overlap_tokens"):
        mw.answer_kept_whole(3, 4, 4)


# Tokens and prices


@given(
    st.integers(1, 30), st.integers(0, 200), st.integers(0, 500), st.integers(0, 3000), st.floats(0, 1), st.floats(0, 2)
)
def test_conversation_equals_adding_up_the_calls(turns, user, answer, system, read, write):
    sent, paid, cached = 0, 0.0, 0
    for turn in range(turns):
        prompt = system + (turn + 1) * user + turn * answer
        sent += prompt
        paid += (prompt - cached) * write + cached * read
        cached = prompt
    assert mw.conversation_tokens(turns, user, answer, system) == sent
    cost = mw.conversation_cost(turns, user, answer, system, 3, 15, read, write)
    assert cost == pytest.approx((paid * 3 + turns * answer * 15) / 1e6, abs=1e-12)


def test_conversation_grows_with_the_square_of_its_turns():
    assert mw.conversation_tokens(2000, 50, 200) / mw.conversation_tokens(1000, 50, 200) == pytest.approx(4, rel=1e-3)


def test_cache_pays_from_the_second_call_on():
    plain = [mw.cached_prefix_cost(n, 1000, 0, 3, 1, 1) for n in (1, 2)]
    cached = [mw.cached_prefix_cost(n, 1000, 0, 3) for n in (1, 2)]
    assert cached[0] == pytest.approx(1.25 * plain[0])
    assert cached[1] < plain[1]


def test_cache_saves_at_most_ninety_percent():
    saved = [
        1 - mw.cached_prefix_cost(n, 1000, 0, 3) / mw.cached_prefix_cost(n, 1000, 0, 3, 1, 1) for n in (10, 1e3, 1e6)
    ]
    assert saved == sorted(saved) and saved[-1] < 0.9 and saved[-1] == pytest.approx(0.9, abs=1e-5)


def test_price_of_gpt3_quality_fell_tenfold_a_year():
    assert mw.annual_factor(60, 0.06, 3) == pytest.approx(10)  # Andreessen Horowitz, November 2021 to November 2024


def test_rag_cost_counts_chunks_once():
    one, two = (mw.rag_question_cost(k, 300, 0, 0, 2, 8) for k in (1, 2))
    assert two == pytest.approx(2 * one)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mw.conversation_tokens(0, 1, 1),
        lambda: mw.conversation_cost(2, 1, 1, 1, -3, 15),
        lambda: mw.cached_prefix_cost(0, 1, 1, 1),
        lambda: mw.rag_question_cost(-1, 1, 1, 1, 1, 1),
        lambda: mw.annual_factor(0, 1, 1),
        lambda: mw.vector_index_bytes(0, 1),
        lambda: mw.task_success(1.1, 2),
        lambda: mw.steps_within(1, 0.5),
        lambda: mw.required_step_success(0.9, 0),
        lambda: mw.step_outcome(95),
        lambda: mw.step_outcome(0.9, -1),
        lambda: mw.task_outcome(0, 0.9),
        lambda: mw.all_trials_succeed(5, 4, 1),
        lambda: mw.all_trials_succeed(3, 4, 5),
        lambda: mw.repeat_correlation(0.5, 0.2),
        lambda: mw.repeat_correlation(0.5, 0.6),
        lambda: mw.repeat_correlation(1, 1),
        lambda: mw.repeat_success(0.5, 2, 1),
        lambda: mw.points_gap(1),
        lambda: mw.votes_to_separate(0),
        lambda: mw.expected_ratings([1], 100),
        lambda: mw.expected_ratings([1, 2], 0),
    ],
)
def test_out_of_range_is_an_error(call):
    with pytest.raises(ValueError):
        call()


# Agents


def test_ninety_five_percent_a_step_is_77_at_5_and_60_at_10():
    assert round(100 * mw.task_success(0.95, 5)) == 77
    assert round(100 * mw.task_success(0.95, 10)) == 60


@given(st.floats(0.5, 0.999), st.floats(0.01, 0.99))
def test_steps_and_required_success_undo_one_another(p, target):
    n = mw.steps_within(p, target)
    assert mw.task_success(p, n) == pytest.approx(target)
    if n >= 1:
        assert mw.required_step_success(target, n) == pytest.approx(p)


@given(chances, st.integers(0, 6), chances, chances)
def test_step_outcomes_sum_to_one(p, retries, caught, alarm):
    out = mw.step_outcome(p, retries, caught, alarm)
    assert out.right + out.wrong + out.stopped == pytest.approx(1)
    assert 1 <= out.attempts <= retries + 1 + 1e-9


@given(st.integers(1, 40), st.floats(0.3, 1), st.integers(0, 5), chances, st.floats(0, 0.5))
def test_task_outcomes_sum_to_one_and_lose_with_length(steps, p, retries, caught, alarm):
    out, longer = (mw.task_outcome(n, p, retries, caught, alarm) for n in (steps, steps + 1))
    assert out.done + out.faulty + out.stopped == pytest.approx(1)
    assert longer.done <= out.done + 1e-12
    assert 1 - 1e-9 <= out.attempts <= steps * (retries + 1) + 1e-9


def test_without_a_verifier_retries_change_nothing():
    assert mw.task_outcome(12, 0.9, retries=5).done == pytest.approx(0.9**12)
    assert mw.task_outcome(12, 0.9, retries=5).attempts == pytest.approx(12)


def test_a_perfect_verifier_fails_only_when_all_attempts_do():
    assert mw.step_outcome(0.9, 2, caught=1).right == pytest.approx(1 - 0.1**3)


def test_a_verifier_that_rejects_everything_uses_every_attempt():
    out = mw.step_outcome(0.9, 3, caught=1, false_alarm=1)
    assert (out.right, out.wrong, out.stopped, out.attempts) == (0, 0, 1, 4)


def test_task_outcome_equals_a_simulation():
    rng, steps, p, retries, caught, alarm, n = np.random.default_rng(0), 8, 0.85, 2, 0.7, 0.1, 40_000
    state, used = np.zeros(n, int), np.zeros(n)  # 0 right so far, 1 faulty, 2 stopped
    for _ in range(steps):
        open_ = state < 2
        for _ in range(retries + 1):
            right = rng.random(n) < p
            rejected = rng.random(n) < np.where(right, alarm, caught)
            used += open_
            state[open_ & ~rejected & ~right] = 1
            open_ = open_ & rejected
        state[open_] = 2
    out = mw.task_outcome(steps, p, retries, caught, alarm)
    found = [np.mean(state == s) for s in (0, 1, 2)]
    assert found == pytest.approx([out.done, out.faulty, out.stopped], abs=0.008)
    assert used.mean() == pytest.approx(out.attempts, rel=0.01)


def test_pass_hat_k_is_the_share_of_drawn_sets_that_all_succeed():
    rng = np.random.default_rng(1)
    trials = np.array([1, 1, 1, 0, 0])
    drawn = np.mean([rng.choice(trials, 2, replace=False).all() for _ in range(20_000)])
    assert mw.all_trials_succeed(3, 5, 2) == pytest.approx(drawn, abs=0.01)
    assert mw.all_trials_succeed([4, 0], [4, 4], 4).tolist() == [1, 0]


def test_tau_bench_gpt_4o_retail_is_met_from_its_first_two():
    alike = mw.repeat_correlation(0.604, 0.491)  # README of tau-bench, October 2024: 0.604, 0.491, 0.430, 0.383
    assert mw.repeat_success(0.604, alike, 2) == pytest.approx(0.491)
    assert mw.repeat_success(0.604, alike, 3) == pytest.approx(0.430, abs=0.005)
    assert mw.repeat_success(0.604, alike, 4) == pytest.approx(0.383, abs=0.01)


@given(inner, chances, st.integers(1, 8))
def test_repeats_lie_between_independent_and_all_or_nothing(once, alike, k):
    assert once**k - 1e-9 <= mw.repeat_success(once, alike, k) <= once + 1e-9
    assert mw.repeat_success(once, 0, k) == pytest.approx(once**k)
    assert mw.repeat_success(once, 1, k) == pytest.approx(once)


# Ratings from votes


def test_a_hundred_points_win_64_percent():
    assert mw.win_probability(100) == pytest.approx(0.640, abs=5e-4)
    assert mw.win_probability(0) == 0.5


@given(st.floats(-800, 800))
def test_win_probability_is_symmetric_and_undone_by_points(gap):
    assert mw.win_probability(gap) + mw.win_probability(-gap) == pytest.approx(1)
    assert mw.points_gap(mw.win_probability(gap)) == pytest.approx(gap, abs=1e-6)


def test_bradley_terry_of_two_is_the_log_odds():
    found = mw.bradley_terry([[0, 150], [50, 0]])
    assert found.points[0] - found.points[1] == pytest.approx(mw.points_gap(0.75))
    assert found.gap_error(0, 1) == pytest.approx(mw.POINTS_PER_LOGIT / math.sqrt(200 * 0.75 * 0.25))


def test_bradley_terry_finds_the_ratings_behind_expected_votes():
    true = np.array([60.0, 20.0, -10.0, -70.0])
    chance = mw.win_probability(true[:, None] - true[None, :])
    found = mw.bradley_terry(500 * chance)
    assert found.points == pytest.approx(true)
    assert found.covariance == pytest.approx(mw.expected_ratings(true, 500).covariance)


@pytest.mark.parametrize("seed", range(20))
def test_bradley_terry_makes_expected_wins_the_counted_ones(seed):
    rng, true = np.random.default_rng(seed), 12.0 * np.arange(9, -10, -2) / 2
    won = np.triu(rng.binomial(131, mw.win_probability(true[:, None] - true[None, :])), 1)
    wins = won + np.tril(131 - won.T, -1)
    found = mw.bradley_terry(wins)
    chance = mw.win_probability(found.points[:, None] - found.points[None, :])
    np.fill_diagonal(chance, 0)
    assert 131 * chance.sum(axis=1) == pytest.approx(wins.sum(axis=1))
    assert found.points.sum() == pytest.approx(0, abs=1e-9) and np.isfinite(found.errors).all()
    assert found.covariance.sum(axis=0) == pytest.approx(np.zeros(10), abs=1e-6)


def test_intervals_of_bradley_terry_cover_as_often_as_they_say():
    rng, true = np.random.default_rng(2), np.array([40.0, 0.0, -40.0])
    chance, inside = mw.win_probability(true[:, None] - true[None, :]), 0
    for _ in range(400):
        won = np.triu(rng.binomial(200, chance), 1)
        found = mw.bradley_terry(won + np.tril(200 - won.T, -1))
        inside += np.sum(np.abs(found.points - true) < 1.96 * found.errors)
    assert inside / 1200 == pytest.approx(0.95, abs=0.02)


def test_four_times_the_votes_halve_the_interval():
    few, many = (mw.expected_ratings([30, 0, -30], n).errors for n in (100, 400))
    assert few == pytest.approx(2 * many)


def test_votes_to_separate_make_the_gap_as_wide_as_its_interval():
    votes = mw.votes_to_separate(35)
    assert 1.96 * mw.expected_ratings([35, 0], votes).gap_error(0, 1) == pytest.approx(35)


def test_bradley_terry_refuses_a_model_that_never_lost():
    with pytest.raises(ValueError, match="every model must have won"):
        mw.bradley_terry([[0, 5, 5], [0, 0, 3], [0, 2, 0]])
    with pytest.raises(ValueError, match="square"):
        mw.bradley_terry([[0, 1, 2], [1, 0, 2]])


def test_upper_tail_of_zero_is_a_half():
    assert mw.normal_upper_tail([0, 1.959964]).tolist() == pytest.approx([0.5, 0.025])


# The page


def test_task_outcome_traces():
    steps = np.arange(1.0, 31.0)
    graph = trace(
        lambda p, r, d, f: {"done": mw.task_outcome(steps, p, r, d, f).done},
        {"p": 0.95, "r": 2.0, "d": 0.8, "f": 0.0},
    )
    assert "done" in graph["outputs"]
