"""The simulated server against the analytic bound, a published experiment, and what must be conserved."""

import numpy as np
import pytest

from aistack.layers import inference as inf
from aistack.serving import ContiguousCache, Machine, PagedCache, Request, poisson_requests, serve

LLAMA = Machine(140e9, 327_680, 70e9, 4 * 3.35e12, 4 * 989e12)
OPT = Machine(26e9, 819_200, 13e9, 1.56e12, 312e12, 0.5, 0.5)  # OPT-13B on an A100 of 40 GB


def some(count=60, per_s=np.inf, seed=12, **lengths):
    lengths = {"prompt_mean": 160, "output_mean": 120, "longest": 1024} | lengths
    return poisson_requests(np.random.default_rng(seed), count, per_s, **lengths)


def caches():
    return [
        PagedCache(8192),
        ContiguousCache(8192, lambda r: 1024),
        ContiguousCache(8192, lambda r: r.final_tokens, True),
    ]


@pytest.mark.parametrize(("new", "cached"), [(1, 0), (64, 60_000), (5000, 0), (300, 200_000)])
def test_pass_takes_what_the_layer_says(new, cached):
    rest = (LLAMA.active_params, LLAMA.bandwidth_b_per_s, LLAMA.flop_per_s)
    read = inf.decode_step_time_s(LLAMA.weight_bytes, LLAMA.kv_bytes_per_token, cached, 1, *rest)
    multiply = inf.prefill_time_s(new, LLAMA.weight_bytes, *rest)
    assert LLAMA.pass_s(new, cached) == pytest.approx(max(read, multiply))


@pytest.mark.parametrize("batch", [1, 4, 16, 64])
def test_throughput_with_short_prompts_is_the_bound_within_three_percent(batch):
    served = serve([Request(0.0, 32, 256)] * (4 * batch), LLAMA, PagedCache(100_000), batch_limit=batch)
    bound = inf.decode_tokens_per_s(140e9, 327_680, 32 + 128, batch, 70e9, LLAMA.bandwidth_b_per_s, LLAMA.flop_per_s)
    assert served.tokens_per_s == pytest.approx(bound, rel=0.03)


def test_throughput_with_long_prompts_falls_short_of_the_decode_bound():
    served = serve([Request(0.0, 4096, 64)] * 128, LLAMA, PagedCache(200_000), batch_limit=32)
    bound = inf.decode_tokens_per_s(140e9, 327_680, 4128, 32, 70e9, LLAMA.bandwidth_b_per_s, LLAMA.flop_per_s)
    assert served.tokens_per_s < 0.5 * bound


@pytest.mark.parametrize("batching", ["continuous", "static"])
@pytest.mark.parametrize("which", range(3))
def test_all_are_answered_and_all_memory_comes_back(which, batching):
    requests, cache = some(per_s=5.0), caches()[which]
    served = serve(requests, OPT, cache, batching)
    assert len(served.gaps_s) == sum(r.output_tokens - 1 for r in requests)
    assert (served.first_token_s > served.arrival_s).all() and (served.finish_s >= served.first_token_s).all()
    assert (served.gaps_s > 0).all()
    assert np.allclose(sum(served.memory.values()), 1) and min(v.min() for v in served.memory.values()) > -1e-12
    if which == 0:
        assert sorted(cache.free) == list(range(8192 // 16)) and not cache.tables
    else:
        assert not cache.pieces


def test_served_times_of_one_request_are_sums_of_passes():
    served = serve([Request(1.0, 100, 3)], OPT, PagedCache(1024))
    assert served.wait_s[0] == pytest.approx(OPT.pass_s(100, 0))
    assert served.latency_s[0] == pytest.approx(served.pass_s.sum()) and len(served.pass_s) == 3


def test_continuous_beats_static_and_paged_beats_contiguous():
    requests = some(120)
    rate = lambda cache, batching: serve(requests, OPT, cache, batching).tokens_per_s
    static, joined = (rate(ContiguousCache(8192, lambda r: 1024), b) for b in ("static", "continuous"))
    assert static < joined < rate(PagedCache(8192), "continuous")


def test_memory_shares_are_those_of_the_paged_attention_paper():
    requests = poisson_requests(np.random.default_rng(12), 300, 2.0, 161.31, 337.99, 2048)
    longest = serve(requests, OPT, ContiguousCache(15_700, lambda r: 2048, buddy=True)).memory_share()
    paged = serve(requests, OPT, PagedCache(15_700)).memory_share()
    for part, published in {"states": 0.204, "future": 0.133, "never": 0.573, "rest": 0.089}.items():
        assert longest[part] == pytest.approx(published, abs=0.05)
    assert paged["states"] == pytest.approx(0.963, abs=0.03)


def test_paged_waste_is_less_than_a_block_a_request():
    served = serve(some(per_s=5.0), OPT, PagedCache(8192))
    assert ((served.memory["future"] + served.memory["never"]) * 8192 < 16 * served.batch).all()


def test_full_memory_evicts_and_still_answers():
    served = serve([Request(0.0, 64, 200)] * 4, OPT, PagedCache(640))
    assert served.evictions > 0 and np.isfinite(served.finish_s).all()
    assert len(served.gaps_s) == 4 * 199


def test_chunks_shorten_the_longest_gap():
    requests = [Request(0.0, 32, 400)] * 8 + [Request(1.0, 8000, 8)]
    longest = lambda chunk: serve(requests, LLAMA, PagedCache(60_000), chunk_tokens=chunk).gaps_s.max()
    assert longest(512) < 0.3 * longest(None)


def test_static_batch_hands_over_together():
    served = serve([Request(0.0, 10, 5), Request(0.0, 10, 50)], OPT, PagedCache(1024), "static")
    assert served.finish_s[0] == served.finish_s[1] and served.first_token_s[0] < served.finish_s[0]


def test_buddy_pieces_stand_at_multiples_of_their_size():
    cache = ContiguousCache(1000, lambda r: r.final_tokens, buddy=True)
    for key, output in enumerate((90, 30, 200, 10)):
        assert cache.admit(key, Request(0.0, 1, output), 1)
    assert all(start % size == 0 and size >= length for start, size, length in cache.pieces.values())
    assert not cache.grow(0, 92) and cache.grow(0, 91)


def test_nobody_waiting_has_no_share_of_waiting_time():
    served = serve([Request(0.0, 10, 5)], OPT, PagedCache(1024))
    with pytest.raises(ValueError, match="nobody ever waited"):
        served.memory_share()
    assert served.memory_share(queued_only=False)["states"] > 0


@pytest.mark.parametrize(
    ("requests", "cache", "kwargs", "message"),
    [
        ([], PagedCache(64), {}, "requests must not be empty"),
        ([Request(0.0, 100, 1)], PagedCache(64), {}, "alone does not fit"),
        ([Request(0.0, 20, 100)], PagedCache(64), {}, "alone does not fit"),
        ([Request(0.0, 20, 1)], PagedCache(64), {"batching": "dynamic"}, "'continuous' or 'static'"),
        ([Request(0.0, 20, 9)], ContiguousCache(64, lambda r: 16), {}, "stretch gives 16 tokens"),
    ],
)
def test_serve_refuses_the_impossible(requests, cache, kwargs, message):
    with pytest.raises(ValueError, match=message):
        serve(requests, OPT, cache, **kwargs)
