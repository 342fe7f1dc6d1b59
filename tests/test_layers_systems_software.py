"""Systems software: occupancy, coalescing, tiles, sharing, gang scheduling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistack.layers import systems_software as sw

KIB = 1024


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "fraction"),
    [
        (256, 32, 0, 1.0),
        (256, 64, 0, 0.5),
        (1024, 33, 0, 0.5),  # 33 registers are handed out as 40: one block of 1,024
        (32, 16, 0, 0.5),  # 32 blocks of one warp
        (128, 32, 56 * KIB, 4 * 128 / 2048),  # 228 KiB hold four blocks of 57
        (128, 32, 227 * KIB, 128 / 2048),
    ],
)
def test_occupancy_of_an_h100_by_hand(threads, registers, shared, fraction):
    assert float(sw.occupancy(threads, registers, shared).fraction) == pytest.approx(fraction)


@given(st.integers(1, 1024), st.integers(1, 255), st.integers(0, 227 * KIB))
def test_occupancy_never_passes_one_and_falls_with_every_demand(threads, registers, shared):
    one = sw.occupancy(threads, registers, shared)
    assert 0 <= one.fraction <= 1 and one.blocks <= 32
    assert sw.occupancy(threads, min(registers + 8, 255), shared).fraction <= one.fraction
    assert sw.occupancy(threads, registers, shared + KIB).fraction <= one.fraction


@given(st.integers(1, 64), st.sampled_from([1, 2, 4, 8, 16]))
def test_sectors_equal_a_count_of_addresses(stride, word):
    touched = {(lane * stride * word) // 32 for lane in range(32)}
    assert sw.sectors_per_warp(stride, word) == len(touched)
    assert 0 < sw.coalescing_efficiency(stride, word) <= 1


def test_naive_product_reads_two_numbers_a_multiplication_and_a_tile_divides_that():
    assert sw.matmul_loads(64) == 2 * 64**3
    assert sw.matmul_loads(64, 16) == 2 * 64**3 / 16
    assert sw.matmul_loads(64, 64) == 2 * 64**2


def test_cache_that_holds_both_matrices_makes_the_tile_irrelevant():
    assert sw.matmul_bytes(512, 1, 4, 2 * 512**2 * 4) == sw.matmul_bytes(512, 512, 4) == 3 * 512**2 * 4
    assert sw.matmul_bytes(512, 1, 4, 2 * 512**2 * 4 - 1) > 100 * 512**2 * 4


def test_sharing_side_by_side_is_never_slower_than_taking_turns():
    for jobs in range(1, 9):
        for need in (0.1, 0.3, 1.0):
            assert sw.mps_rate(jobs, need) >= sw.time_sliced_rate(jobs) - 1e-12
    assert sw.mps_rate(5, 1.0) == pytest.approx(sw.time_sliced_rate(5))
    assert sw.mig_rate(1 / 7, 1.0) == pytest.approx(1 / 7)


def used(start, wanted, duration, at):
    return sum(w for s, w, d in zip(start, wanted, duration, strict=True) if s <= at < s + d)


@pytest.mark.parametrize("backfill", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_no_moment_uses_more_gpus_than_there_are_and_every_job_runs(backfill, seed):
    jobs = sw.poisson_jobs(150, 64, 0.8, 0.2, seed)
    done = sw.schedule(*jobs, 64, backfill)
    assert np.all(np.isfinite(done.start_h)) and np.all(done.wait_h >= 0)
    assert max(used(done.start_h, jobs[1], jobs[2], t + 1e-9) for t in done.start_h) <= 64
    assert 0 < done.utilisation <= 1 and 0 <= done.idle_beside_queue <= 1


@pytest.mark.parametrize("seed", range(4))
def test_without_backfill_jobs_start_in_order(seed):
    start = sw.schedule(*sw.poisson_jobs(150, 64, 0.9, 0.2, seed), 64, False).start_h
    assert np.all(np.diff(start) >= 0)


@pytest.mark.parametrize("seed", range(4))
def test_backfill_fills_idle_gpus(seed):
    jobs = sw.poisson_jobs(300, 64, 0.9, 0.3, seed)
    plain, filled = sw.schedule(*jobs, 64, False), sw.schedule(*jobs, 64, True)
    assert filled.wait_h.mean() < plain.wait_h.mean()
    assert filled.idle_beside_queue < plain.idle_beside_queue


def test_one_gpu_waits_as_the_queue_with_random_arrivals_does():
    load, mean = 0.5, 2.0
    rng = np.random.default_rng(3)
    n = 20_000
    arrival, duration = np.cumsum(rng.exponential(mean / load, n)), rng.exponential(mean, n)
    waits = sw.schedule(arrival, np.ones(n), duration, 1).wait_h
    assert waits.mean() == pytest.approx(load / (1 - load) * mean, rel=0.1)  # M/M/1: rho / (1 - rho) services


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sw.occupancy(0, 32, 0), "threads must be 1 or more"),
        (lambda: sw.occupancy(32, 32, -1), "shared_bytes must be zero or more"),
        (lambda: sw.occupancy(32, 32, 0, sm_blocks=0), "sm_blocks must be positive"),
        (lambda: sw.sectors_per_warp(0), "stride_words must be 1 or more"),
        (lambda: sw.matmul_loads(0), "n must be 1 or more"),
        (lambda: sw.matmul_bytes(4, 1, 0), "word_bytes must be positive"),
        (lambda: sw.time_sliced_rate(0), "jobs must be 1 or more"),
        (lambda: sw.mps_rate(1, 0), "need_fraction must be above 0"),
        (lambda: sw.mig_rate(2, 1), "slice_fraction must be above 0 and at most 1"),
        (lambda: sw.poisson_jobs(5, 8, 0.5, 2), "large_share must be from 0 to 1"),
        (lambda: sw.schedule([0], [9], [1], 8), r"wanted must be from 1 to gpus \(8\)"),
        (lambda: sw.schedule([1, 0], [1, 1], [1, 1], 8), "arrival_h must be in order"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
