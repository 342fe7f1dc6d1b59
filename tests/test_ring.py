"""Ring all-reduce between real processes (start-up of a rank costs a few tenths of a second)."""

import numpy as np
import pytest

from aistack.layers.networking import ring_all_reduce_bytes, ring_all_reduce_steps
from aistack.ring import ring_all_reduce


def test_processes_sum_and_bytes_match_plain_sum_and_law():
    # chunks above a pipe's buffer, so a rank that sends must wait for its reader
    vectors = np.random.default_rng(4).integers(-1000, 1000, size=(3, 3 * 40_000)).astype(float)
    run = ring_all_reduce(vectors)
    assert np.array_equal(run.sums, np.tile(vectors.sum(axis=0), (3, 1)))
    assert run.sent_bytes.tolist() == [ring_all_reduce_bytes(vectors[0].nbytes, 3)] * 3
    assert run.seconds > 0


def test_processes_uneven_chunks_send_what_the_steps_say():
    vectors = np.arange(14.0).reshape(2, 7)
    *_, last = ring_all_reduce_steps(vectors)
    run = ring_all_reduce(vectors)
    assert run.sent_bytes.tolist() == list(last.sent_bytes)
    assert np.array_equal(run.sums, np.array(last.vectors))


def test_processes_out_of_time_raise_and_end():
    with pytest.raises(RuntimeError, match="2 of 2 ranks not done after 0 s; raise timeout_s"):
        ring_all_reduce(np.ones((2, 2)), timeout_s=0)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones(4), r"shape \(ranks, n\), got \(4,\)"),
        (np.ones((1, 4)), "at least 2 rows, one a rank, got 1"),
        (np.ones((4, 3)), "at least one column a rank, got 3 for 4 ranks"),
    ],
)
def test_processes_refuse_bad_vectors(vectors, message):
    with pytest.raises(ValueError, match=message):
        ring_all_reduce(vectors)
