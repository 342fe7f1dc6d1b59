"""Layer 6: what stands between a matrix and the metal.

How many warps a multiprocessor can hold, how many sectors of memory a warp touches, what a tile saves, how a GPU is shared, and
who waits for a cluster. Sizes are bytes and seconds; a warp is 32 threads, a sector 32 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aistack.checks import at_least_one, at_least_zero, positive, positive_fraction, require

__all__ = [
    "Occupancy",
    "Schedule",
    "coalescing_efficiency",
    "matmul_bytes",
    "matmul_loads",
    "mig_rate",
    "mps_rate",
    "occupancy",
    "poisson_jobs",
    "schedule",
    "sectors_per_warp",
    "time_sliced_rate",
]

WARP, SECTOR_BYTES = 32, 32
REGISTER_UNIT = 256  #: registers are handed to a warp in this number, compute capability 7.0 and later
RESERVED_SHARED_BYTES = 1024  #: shared memory that the driver keeps of each block, compute capability 8.0 and later


# --- one multiprocessor -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Occupancy:
    """Blocks that fit by each limit, the least of them, and the share of the warps that are resident."""

    by_threads: object
    by_blocks: object
    by_registers: object
    by_shared: object
    blocks: object
    fraction: object


def occupancy(
    threads, registers, shared_bytes, sm_threads=2048, sm_blocks=32, sm_registers=65536, sm_shared_bytes=233472
):
    """Return how many blocks a multiprocessor holds at once, and which share of its warps that is.

    Parameters
    ----------
    threads : number
        Threads of a block, 1 to 1,024; part warps count as whole ones.
    registers : number
        32-bit registers of a thread, 1 to 255.
    shared_bytes : number, bytes
        Shared memory that a block asks for.
    sm_threads, sm_blocks, sm_registers : number
        Limits of the multiprocessor; the default is an H100.
    sm_shared_bytes : number, bytes
        Shared memory of the multiprocessor.

    Returns
    -------
    Occupancy

    Raises
    ------
    ValueError
        If threads or registers are below one, shared memory is negative, or a limit is not positive.

    References
    ----------
    Limits: NVIDIA's header ``arch_traits.h``; registers in units of 256 a warp as in NVIDIA's occupancy calculator.

    Examples
    --------
    256 threads of 32 registers fill the multiprocessor; with 64 registers half of it stays empty.

    >>> float(occupancy(256, 32, 0).fraction), float(occupancy(256, 64, 0).fraction)
    (1.0, 0.5)
    """
    at_least_one(threads=threads, registers=registers)
    at_least_zero(shared_bytes=shared_bytes)
    positive(sm_threads=sm_threads, sm_blocks=sm_blocks, sm_registers=sm_registers, sm_shared_bytes=sm_shared_bytes)
    warps = np.ceil(threads / WARP)
    of_warp = np.ceil(registers * WARP / REGISTER_UNIT) * REGISTER_UNIT
    by_threads = np.floor(sm_threads / (warps * WARP))
    by_registers = np.floor(np.floor(sm_registers / of_warp) / warps)
    by_shared = np.floor(sm_shared_bytes / (shared_bytes + RESERVED_SHARED_BYTES))
    blocks = np.minimum(np.minimum(by_threads, sm_blocks), np.minimum(by_registers, by_shared))
    return Occupancy(by_threads, sm_blocks, by_registers, by_shared, blocks, blocks * warps * WARP / sm_threads)


def sectors_per_warp(stride_words, word_bytes=4):
    """Return how many 32-byte sectors a warp touches when neighbouring threads read `stride_words` apart.

    Parameters
    ----------
    stride_words : number
        Distance of two threads' words, 1 or more whole words; the first word starts a sector.
    word_bytes : number
        Size of a word, at most a sector.

    Raises
    ------
    ValueError
        If the stride is below one or the word is not positive.

    Examples
    --------
    >>> [int(sectors_per_warp(s)) for s in (1, 2, 8, 100)]
    [4, 8, 32, 32]
    """
    at_least_one(stride_words=stride_words)
    positive(word_bytes=word_bytes)
    return np.minimum(np.floor((WARP - 1) * stride_words * word_bytes / SECTOR_BYTES) + 1, WARP)


def coalescing_efficiency(stride_words, word_bytes=4):
    """Return the share of the bytes moved that the warp asked for.

    Parameters and errors as in :func:`sectors_per_warp`.

    Examples
    --------
    >>> float(coalescing_efficiency(1)), float(coalescing_efficiency(8))
    (1.0, 0.125)
    """
    return WARP * word_bytes / (sectors_per_warp(stride_words, word_bytes) * SECTOR_BYTES)


# --- a tile --------------------------------------------------------------------------------------------------------


def matmul_loads(n, tile=1):
    """Return the numbers read from memory to multiply two n-by-n matrices with square tiles.

    Every element of the result needs a row and a column, ``2 n^3`` reads. A block that computes a tile reads each number
    once for all of the tile.

    Parameters
    ----------
    n : number
        Rows of the matrices.
    tile : number
        Side of a tile; 1 is the naive kernel.

    Returns
    -------
    number
        ``2 n^2 ceil(n / tile)``.

    Raises
    ------
    ValueError
        If a size is below one.

    Examples
    --------
    >>> int(matmul_loads(1024)), int(matmul_loads(1024, 32))
    (2147483648, 67108864)
    """
    at_least_one(n=n, tile=tile)
    return 2 * n**2 * np.ceil(n / tile)


def matmul_bytes(n, tile, word_bytes, cache_bytes=0.0):
    """Return the bytes that the product moves to and from memory, the result written once.

    Parameters
    ----------
    n, tile : number
        As in :func:`matmul_loads`.
    word_bytes : number
        Bytes of a number.
    cache_bytes : number
        Cache in front of the memory: if it holds both matrices, each number is read once, whatever the tile.

    Raises
    ------
    ValueError
        If a size is below one, a word is not positive or the cache is negative.

    Examples
    --------
    >>> round(float(matmul_bytes(4096, 1, 4)) / 1e9), round(float(matmul_bytes(4096, 128, 4)) / 1e9, 1)
    (550, 4.4)
    """
    positive(word_bytes=word_bytes)
    at_least_zero(cache_bytes=cache_bytes)
    once = 2 * n**2
    loads = np.where(once * word_bytes <= cache_bytes, once, matmul_loads(n, tile))
    return (loads + n**2) * word_bytes


# --- sharing a GPU -------------------------------------------------------------------------------------------------


def time_sliced_rate(jobs):
    """Return the speed of each of several jobs that take turns on a whole GPU, against running alone.

    Examples
    --------
    >>> time_sliced_rate(4)
    0.25
    """
    at_least_one(jobs=jobs)
    return 1 / jobs


def mps_rate(jobs, need_fraction):
    """Return the speed of each of several jobs that run side by side (MPS), against running alone.

    Parameters
    ----------
    jobs : number
    need_fraction : number, above 0 to 1
        Share of the GPU that one job can keep busy alone.

    Raises
    ------
    ValueError
        If there is no job or the share is not above 0 and at most 1.

    Examples
    --------
    Four jobs of a fifth each do not notice one another; eight do.

    >>> float(mps_rate(4, 0.2)), float(mps_rate(8, 0.2))
    (1.0, 0.625)
    """
    at_least_one(jobs=jobs)
    positive_fraction(need_fraction=need_fraction)
    return np.minimum(1.0, 1 / (jobs * need_fraction))


def mig_rate(slice_fraction, need_fraction):
    """Return the speed of a job in its own slice of a GPU (MIG), whatever its neighbours do.

    Examples
    --------
    A seventh of a GPU for a job that could use a fifth:

    >>> round(float(mig_rate(1 / 7, 0.2)), 3)
    0.714
    """
    positive_fraction(slice_fraction=slice_fraction, need_fraction=need_fraction)
    return np.minimum(1.0, slice_fraction / need_fraction)


# --- a queue of gangs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule:
    """When each job started, and what that meant: waits; and, while the last two thirds of the jobs arrive (a cluster
    that begins empty is not yet full before), use of the cluster and idle GPUs beside a queue."""

    start_h: np.ndarray
    wait_h: np.ndarray
    utilisation: float
    idle_beside_queue: float


def poisson_jobs(count, gpus, load, large_share, seed=0):
    """Return made-up jobs: arrival (h), GPUs wanted, duration (h), each of shape (count,).

    Small jobs want 1 to 8 GPUs and large ones an eighth to a half of the cluster, powers of two; durations are exponential with
    a mean of 2 h, and arrivals are random, then stretched so that the jobs ask for exactly `load` of the cluster while they come.

    Raises
    ------
    ValueError
        If a count is below one or a share is not from 0 to 1.
    """
    at_least_one(count=count, gpus=gpus)
    positive_fraction(load=load)
    require(0 <= large_share <= 1, f"large_share must be from 0 to 1, not {large_share!r}")
    rng = np.random.default_rng(seed)
    small = 2 ** rng.integers(0, 4, count)
    large = gpus // 2 ** rng.integers(1, 4, count)
    wanted = np.minimum(np.where(rng.random(count) < large_share, large, small), gpus)
    duration = rng.exponential(2.0, count)
    arrival = np.cumsum(rng.exponential(1.0, count))
    return arrival * (wanted * duration).sum() / (load * gpus * arrival[-1]), wanted, duration


def schedule(arrival_h, wanted, duration_h, gpus, backfill=True):
    """Return when gangs start on a cluster: a job needs all its GPUs at once and keeps them to its end.

    First come, first served. With `backfill` a later job may start early if it ends before the first of the queue can start,
    or leaves enough GPUs for it (EASY backfilling, with durations known).

    Parameters
    ----------
    arrival_h, wanted, duration_h : array, shape (n,)
        Jobs in order of arrival.
    gpus : int
        GPUs of the cluster.
    backfill : bool

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a job wants more GPUs than there are, or none, or arrivals are not in order.

    References
    ----------
    Lifka, The ANL/IBM SP Scheduling System (1995).

    Examples
    --------
    A job of one GPU slips past one that waits for four:

    >>> schedule([0, 0, 0], [3, 4, 1], [2, 1, 1], 4).start_h.tolist()
    [0.0, 2.0, 0.0]
    >>> schedule([0, 0, 0], [3, 4, 1], [2, 1, 1], 4, backfill=False).start_h.tolist()
    [0.0, 2.0, 3.0]
    """
    arrival, want, last = (np.asarray(v, dtype=float) for v in (arrival_h, wanted, duration_h))
    require(np.all(want >= 1) and np.all(want <= gpus), f"wanted must be from 1 to gpus ({gpus})")
    require(np.all(np.diff(arrival) >= 0), "arrival_h must be in order")
    start = np.full(arrival.size, np.nan)
    running: list[tuple[float, float]] = []  # (end, GPUs)
    queue: list[int] = []
    now, come, free, wasted = 0.0, 0, float(gpus), 0.0
    settled = arrival[arrival.size // 3]
    while come < arrival.size or queue:
        ends = [end for end, _ in running]
        coming = [arrival[come]] if come < arrival.size else []
        later = min(ends + coming)
        wasted += (free if queue else 0.0) * max(min(later, arrival[-1]) - max(now, settled), 0.0)
        now = later
        free += sum(n for end, n in running if end <= now)
        running = [(end, n) for end, n in running if end > now]
        while come < arrival.size and arrival[come] <= now:
            queue.append(come)
            come += 1
        for job in _startable(queue, want, last, running, free, now, backfill):
            start[job] = now
            running.append((now + last[job], want[job]))
            free -= want[job]
            queue.remove(job)
    span = float(arrival[-1] - settled) or float(last.max())  # all at once: the longest job
    used = (want * np.clip(np.minimum(start + last, settled + span) - np.maximum(start, settled), 0, None)).sum()
    return Schedule(start, start - arrival, float(used / (gpus * span)), wasted / (gpus * span))


def _startable(queue, want, last, running, free, now, backfill):
    """Jobs of the queue that may start now, in order."""
    chosen, at = [], 0
    while at < len(queue) and want[queue[at]] <= free:
        chosen.append(queue[at])
        free -= want[queue[at]]
        at += 1
    if not backfill or at >= len(queue):
        return chosen
    busy = sorted(running + [(now + last[j], want[j]) for j in chosen])
    reserve, have = now, free
    for end, n in busy:  # when the first of the queue can start, and what is left over then
        reserve, have = end, have + n
        if have >= want[queue[at]]:
            break
    spare = have - want[queue[at]]
    for job in queue[at + 1 :]:
        if want[job] <= free and (now + last[job] <= reserve or want[job] <= spare):
            chosen.append(job)
            free -= want[job]
            spare -= 0 if now + last[job] <= reserve else want[job]
    return chosen
