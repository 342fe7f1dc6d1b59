"""A ring all-reduce between real processes on this machine, every byte counted.

The steps are those of :func:`aistack.layers.networking.ring_all_reduce_steps`; here each rank is a process of
the operating system with its own memory, and pipes to its two neighbours are the only way in or out.
"""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import wait

import numpy as np

from aistack.checks import require

__all__ = ["RingRun", "ring_all_reduce"]


@dataclass(frozen=True)
class RingRun:
    """What came of a ring all-reduce."""

    sums: np.ndarray  #: the vector each rank ended with, shape (ranks, n)
    sent_bytes: np.ndarray  #: payload bytes each rank wrote to its pipe, shape (ranks,)
    seconds: float  #: of the slowest rank, start-up of the processes not counted


def _rank(rank, ranks, vector, from_left, to_right, ready, report):
    """Run one rank: N - 1 steps of reduce-scatter, N - 1 of all-gather, then report."""
    chunks = np.array_split(vector, ranks)
    sent = 0

    def exchange(outgoing, incoming):
        nonlocal sent
        turns = [lambda: to_right.send_bytes(outgoing), lambda: from_left.recv_bytes_into(incoming)]
        for turn in turns if rank % 2 == 0 else reversed(turns):  # were all to send first, all would wait for a reader
            turn()
        sent += outgoing.nbytes

    ready.wait()
    start = time.perf_counter()
    for step in range(ranks - 1):
        here, there = chunks[(rank - step) % ranks], chunks[(rank - step - 1) % ranks]
        arrived = np.empty_like(there)
        exchange(here, arrived)
        there += arrived
    for step in range(ranks - 1):
        exchange(chunks[(rank + 1 - step) % ranks], chunks[(rank - step) % ranks])
    report.send((sent, time.perf_counter() - start, vector))


def ring_all_reduce(vectors, timeout_s: float = 60.0) -> RingRun:
    """Sum vectors with one process a rank, passing chunks round a ring of pipes.

    Parameters
    ----------
    vectors : array_like of float, shape (ranks, n)
        One row a rank; at least two ranks, and at least one number for each rank's chunk.
    timeout_s : float
        How long to wait for the slowest rank, start-up included.

    Returns
    -------
    RingRun

    Raises
    ------
    ValueError
        If `vectors` has another shape.
    RuntimeError
        If a rank dies or is not done in time; the processes are ended.

    Notes
    -----
    Processes are spawned, not forked, so that it works the same in a notebook on Linux, macOS and Windows. From a
    script, call it under ``if __name__ == "__main__":``.

    Examples
    --------
    >>> run = ring_all_reduce([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    >>> run.sums.tolist()
    [[11.0, 22.0, 33.0], [11.0, 22.0, 33.0]]
    >>> run.sent_bytes.tolist()
    [24, 24]
    """
    vectors = np.array(vectors, dtype=float)
    require(vectors.ndim == 2, f"vectors must have the shape (ranks, n), got {vectors.shape}")
    ranks, length = vectors.shape
    require(ranks >= 2, f"vectors must have at least 2 rows, one a rank, got {ranks}")
    require(length >= ranks, f"vectors must have at least one column a rank, got {length} for {ranks} ranks")
    context = multiprocessing.get_context("spawn")
    ring = [context.Pipe(duplex=False) for _ in range(ranks)]  # pipe r: its reader is rank r, its writer rank r - 1
    reports = [context.Pipe(duplex=False) for _ in range(ranks)]
    ready = context.Barrier(ranks)
    processes = [
        context.Process(
            target=_rank,
            args=(rank, ranks, vectors[rank], ring[rank][0], ring[(rank + 1) % ranks][1], ready, reports[rank][1]),
            daemon=True,
        )
        for rank in range(ranks)
    ]
    readers = [reader for reader, _ in reports]
    results: dict[int, tuple] = {}
    deadline = time.monotonic() + timeout_s
    try:
        for process in processes:
            process.start()
        for end in [*(end for pipe in ring for end in pipe), *(writer for _, writer in reports)]:
            end.close()  # with no end left open here, the death of a rank ends its pipes
        while len(results) < ranks:
            waiting = [reader for rank, reader in enumerate(readers) if rank not in results]
            heard = wait(waiting, max(0.0, deadline - time.monotonic()))
            if not heard:
                raise RuntimeError(f"{len(waiting)} of {ranks} ranks not done after {timeout_s} s; raise timeout_s")
            for reader in heard:
                rank = readers.index(reader)
                try:
                    results[rank] = reader.recv()
                except EOFError:
                    raise RuntimeError(f"rank {rank} died before it was done; its error stands above") from None
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for reader in readers:
            reader.close()
    sent, seconds, sums = zip(*(results[rank] for rank in range(ranks)), strict=True)
    return RingRun(np.stack(sums), np.array(sent), max(seconds))
