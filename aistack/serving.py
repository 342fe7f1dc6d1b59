"""A server of a language model, simulated pass by pass: requests arrive, wait, share passes and hold memory.

Nothing is drawn at random here; who wants chance gives requests drawn by chance (:func:`poisson_requests`). The time
of a pass is that of :mod:`aistack.layers.inference`; the memory is handed out for real, block by block or stretch by
stretch, so that what is wasted can be counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from aistack.checks import at_least_one, positive, positive_fraction, require

__all__ = ["ContiguousCache", "Machine", "PagedCache", "Request", "Served", "poisson_requests", "serve"]


@dataclass(frozen=True)
class Request:
    """What a user asks for; the server learns `output_tokens` only by reaching them."""

    arrival_s: float
    prompt_tokens: int
    output_tokens: int

    @property
    def final_tokens(self) -> int:
        """Tokens in the cache when the last one has been generated."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True)
class Machine:
    """The chips that hold one copy of a model, as :func:`aistack.layers.inference.decode_step_time_s` sees them."""

    weight_bytes: float
    kv_bytes_per_token: float
    active_params: float
    bandwidth_b_per_s: float
    flop_per_s: float
    flop_efficiency: float = 1.0
    bandwidth_efficiency: float = 1.0

    def pass_s(self, new_tokens: int, cached_tokens: int) -> float:
        """Return the seconds of a pass over `new_tokens` of prompts and answers that reads `cached_tokens`."""
        read = (self.weight_bytes + self.kv_bytes_per_token * cached_tokens) / self._read_b_per_s
        return max(read, 2 * self.active_params * new_tokens / self._multiply_flop_per_s)

    def __post_init__(self):
        positive_fraction(flop_efficiency=self.flop_efficiency, bandwidth_efficiency=self.bandwidth_efficiency)
        positive(weight_bytes=self.weight_bytes, active_params=self.active_params)
        positive(bandwidth_b_per_s=self.bandwidth_b_per_s, flop_per_s=self.flop_per_s)
        object.__setattr__(self, "_read_b_per_s", self.bandwidth_b_per_s * self.bandwidth_efficiency)
        object.__setattr__(self, "_multiply_flop_per_s", self.flop_per_s * self.flop_efficiency)


class PagedCache:
    """Memory cut into equal blocks; a request's table lists the blocks it holds, which may lie anywhere.

    Parameters
    ----------
    capacity_tokens : int
        Tokens that fit; rounded down to whole blocks.
    block_tokens : int
        Tokens of a block.

    Examples
    --------
    >>> cache = PagedCache(capacity_tokens=64, block_tokens=16)
    >>> cache.admit("a", Request(0.0, 20, 13), tokens=20), cache.grow("a", 33), cache.tables["a"]
    (True, True, [0, 1, 2])
    >>> cache.admit("b", Request(0.0, 17, 1), tokens=17), len(cache.free)
    (False, 1)
    """

    def __init__(self, capacity_tokens: int, block_tokens: int = 16):
        at_least_one(capacity_tokens=capacity_tokens, block_tokens=block_tokens)
        self.block_tokens = block_tokens
        self.capacity_tokens = capacity_tokens // block_tokens * block_tokens
        self.free = list(range(self.capacity_tokens // block_tokens))[::-1]
        self.tables: dict = {}

    def admit(self, key, request: Request, tokens: int) -> bool:
        """Take blocks for the prompt alone; False, and nothing taken, if there are too few."""
        return self.grow(key, tokens)

    def grow(self, key, tokens: int) -> bool:
        """Take blocks until the table of `key` holds `tokens`; False, and nothing taken, if there are too few."""
        table = self.tables.get(key, [])
        if tokens <= len(table) * self.block_tokens:
            return True
        missing = -(-tokens // self.block_tokens) - len(table)
        if missing > len(self.free):
            return False
        self.tables[key] = table + [self.free.pop() for _ in range(missing)]
        return True

    def release(self, key) -> None:
        """Give the blocks of `key` back."""
        self.free += reversed(self.tables.pop(key))

    def reserved_for(self, key) -> int:
        """Tokens that the blocks of `key` could hold."""
        return len(self.tables[key]) * self.block_tokens


class ContiguousCache:
    """One unbroken stretch of memory for each request, all of it reserved on arrival.

    Parameters
    ----------
    capacity_tokens : int
        Tokens that fit.
    stretch : callable
        ``stretch(request)`` is the tokens to reserve: ``lambda request: 2048`` reserves for the longest. One that uses
        ``request.output_tokens`` knows the future.
    buddy : bool
        Hand out pieces of a power of two, each at a multiple of its size, as a buddy allocator does; otherwise the
        first hole that is large enough.

    Examples
    --------
    >>> cache = ContiguousCache(100, stretch=lambda request: 40)
    >>> [cache.admit(key, Request(0.0, 5, 4), tokens=5) for key in "abc"]
    [True, True, False]
    """

    def __init__(self, capacity_tokens: int, stretch, buddy: bool = False):
        at_least_one(capacity_tokens=capacity_tokens)
        self.capacity_tokens, self.stretch, self.buddy = capacity_tokens, stretch, buddy
        self.pieces: dict = {}  # key -> (start, size of the piece, tokens reserved in it)

    def admit(self, key, request: Request, tokens: int) -> bool:
        """Reserve a stretch; False, and nothing taken, if no hole is large enough."""
        length = int(self.stretch(request))
        require(
            length >= request.final_tokens,
            f"stretch gives {length} tokens to one that ends with {request.final_tokens}",
        )
        size = 1 << (length - 1).bit_length() if self.buddy else length
        step, start = (size if self.buddy else 1), 0
        for taken, other, _ in sorted(self.pieces.values()):
            if taken - start >= size:
                break
            start = -(-(taken + other) // step) * step
        if start + size > self.capacity_tokens:
            return False
        self.pieces[key] = (start, size, length)
        return True

    def grow(self, key, tokens: int) -> bool:
        """Return whether the stretch, reserved in full, holds `tokens`."""
        return tokens <= self.pieces[key][2]

    def release(self, key) -> None:
        """Give the stretch of `key` back."""
        del self.pieces[key]

    def reserved_for(self, key) -> int:
        """Tokens reserved for `key`."""
        return self.pieces[key][2]


@dataclass(eq=False, slots=True)
class _Running:
    """A request in the batch, and how far it is."""

    number: int
    request: Request
    to_read: int  # tokens of prompt (and, after an eviction, of answer) still to pass through the model
    to_write: int  # tokens of the answer still to come
    ends_with: int  # tokens of prompt and answer
    reserved: int = 0  # tokens that its share of the cache could hold
    cached: int = 0
    generated: int = 0
    last_s: float = 0.0


@dataclass(frozen=True)
class Served:
    """What came of serving; one entry a request, in the order given, unless it says a pass."""

    arrival_s: np.ndarray
    first_token_s: np.ndarray  #: clock when the first token left the model
    finish_s: np.ndarray  #: clock when the last token was handed over
    output_tokens: np.ndarray
    gaps_s: np.ndarray  #: seconds between two tokens of a request, all requests together
    pass_s: np.ndarray  #: length of each pass
    batch: np.ndarray  #: requests in each pass
    new_tokens: np.ndarray  #: tokens of prompts and answers in each pass
    queue: np.ndarray  #: requests waiting during each pass
    #: shares of the cache in each pass: ``states`` of tokens; ``future`` ones, reserved; ``never`` used though reserved; the
    #: ``rest``, free or lost between pieces
    memory: dict = field(repr=False)
    evictions: int = 0  #: requests thrown out for want of memory, to be read again

    @property
    def seconds(self) -> float:
        """From the first arrival to the last finish."""
        return float(self.finish_s.max() - self.arrival_s.min())

    @property
    def tokens_per_s(self) -> float:
        """Answered tokens a second over the whole run."""
        return float(self.output_tokens.sum() / self.seconds)

    @property
    def wait_s(self) -> np.ndarray:
        """Time to first token of each request."""
        return self.first_token_s - self.arrival_s

    @property
    def latency_s(self) -> np.ndarray:
        """Time to the last token of each request."""
        return self.finish_s - self.arrival_s

    def memory_share(self, queued_only: bool = True) -> dict:
        """Return the mean shares of the cache over time; where `queued_only`, only while someone waits."""
        counts = self.queue > 0 if queued_only else np.ones(len(self.queue), dtype=bool)
        require(counts.any(), "nobody ever waited: take queued_only=False or more load")
        return {k: float(np.average(v[counts], weights=self.pass_s[counts])) for k, v in self.memory.items()}


def poisson_requests(rng, count, per_s, prompt_mean, output_mean, longest, spread=0.8):
    """Return requests that arrive by chance, with lengths of a log-normal law cut at half of `longest` each.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    count : int
        Requests.
    per_s : float
        Mean arrivals a second; ``numpy.inf`` lets all come at once.
    prompt_mean, output_mean : float
        Mean tokens of prompt and answer before the cut.
    longest : int
        Most tokens of both together.
    spread : float
        Standard deviation of the lengths' logarithm.

    Examples
    --------
    >>> requests = poisson_requests(np.random.default_rng(1), 3, 2.0, 100, 50, 2048)
    >>> [(round(r.arrival_s, 2), r.prompt_tokens, r.output_tokens) for r in requests]
    [(0.54, 150, 58), (0.69, 104, 49), (3.38, 47, 46)]
    """
    at_least_one(count=count, prompt_mean=prompt_mean, output_mean=output_mean)
    positive(per_s=per_s, spread=spread)
    arrivals = np.cumsum(rng.exponential(1 / per_s, size=count)) if np.isfinite(per_s) else np.zeros(count)
    draw = lambda mean: np.exp(rng.normal(np.log(mean) - spread**2 / 2, spread, size=count))
    lengths = [np.clip(np.rint(draw(mean)), 1, longest // 2).astype(int) for mean in (prompt_mean, output_mean)]
    return [Request(float(a), int(p), int(o)) for a, p, o in zip(arrivals, *lengths, strict=True)]


def serve(requests, machine, cache, batching="continuous", batch_limit=256, chunk_tokens=None) -> Served:
    """Serve requests until all are answered.

    Parameters
    ----------
    requests : list of Request
        In any order; served first come, first served.
    machine : Machine
        Sets the time of a pass.
    cache : PagedCache or ContiguousCache
        Empty; handed out and given back as requests come and go.
    batching : {"continuous", "static"}
        ``continuous``: whoever is done leaves after its pass, and who waits joins the next one. ``static``: a batch
        is filled from the queue, computed until its longest answer ends, places of the finished included, and
        handed over together.
    batch_limit : int
        Most requests in a pass.
    chunk_tokens : int, optional
        Most prompt tokens in a pass, so that a long prompt is read over several passes.

    Returns
    -------
    Served

    Raises
    ------
    ValueError
        If `batching` is unknown, or a request alone does not fit into the cache.
    """
    require(batching in ("continuous", "static"), f"batching must be 'continuous' or 'static', not {batching!r}")
    at_least_one(batch_limit=batch_limit, chunk_tokens=chunk_tokens or 1)
    require(len(requests) > 0, "requests must not be empty")
    order = sorted(range(len(requests)), key=lambda i: (requests[i].arrival_s, i))
    to_come = deque(
        _Running(i, r, r.prompt_tokens, r.output_tokens, r.final_tokens) for i, r in ((i, requests[i]) for i in order)
    )
    queue, running = deque(), []
    first, finish = np.full(len(requests), np.nan), np.full(len(requests), np.nan)
    gaps, passes, evictions, clock = [], [], 0, 0.0

    while to_come or queue or running:
        while to_come and to_come[0].request.arrival_s <= clock:
            queue.append(to_come.popleft())
        if batching == "continuous" or not running:
            while queue and len(running) < batch_limit:
                one = queue[0]
                if not cache.admit(one.number, one.request, one.to_read):
                    require(len(running) > 0, f"request {one.number} alone does not fit into the cache")
                    break
                one.reserved = cache.reserved_for(one.number)
                running.append(queue.popleft())
        if not running:
            clock = to_come[0].request.arrival_s
            continue

        # who takes part: one token for each answer under way, and prompts as far as the chunk allows
        room = chunk_tokens or np.inf
        reading, decoding, cached, place = {}, 0, 0, 0
        while place < len(running):  # the last ones may be evicted on the way
            one = running[place]
            place += 1
            if one.to_read:
                reading[one.number] = int(min(one.to_read, room))
                room -= reading[one.number]
                cached += one.cached
                continue
            while one.to_write and one.cached >= one.reserved and not cache.grow(one.number, one.cached + 1):
                last = running.pop()
                cache.release(last.number)
                require(last is not one or running, f"request {one.number} alone does not fit into the cache")
                if not last.to_write:  # of a static batch: its memory is needed, its answer complete
                    finish[last.number] = clock
                else:
                    evictions += 1
                    last.to_read, last.cached = last.request.prompt_tokens + last.generated, 0
                    queue.appendleft(last)
                if last is one:
                    break
            else:  # in a static batch the places of the finished take part too
                if one.cached >= one.reserved:
                    one.reserved = cache.reserved_for(one.number)
                decoding += 1
                cached += one.cached

        new = sum(reading.values()) + decoding
        seconds = machine.pass_s(new, cached)
        clock += seconds
        states = future = never = finished = 0
        for one in running:
            if one.to_read:
                read = reading[one.number]
                one.cached += read
                one.to_read -= read
                writes = read and not one.to_read
            else:
                one.cached += one.to_write > 0
                writes = one.to_write
            if writes:
                if one.generated:
                    gaps.append(clock - one.last_s)
                else:
                    first[one.number] = clock
                one.generated += 1
                one.to_write -= 1
                one.last_s = clock
            coming = max(min(one.ends_with, one.reserved) - one.cached, 0)
            states += one.cached
            future += coming
            never += one.reserved - one.cached - coming
            finished += not one.to_write
        passes.append((seconds, len(running), new, len(queue), states, future, never))
        if not finished or (batching == "static" and finished < len(running)):
            continue
        for one in running:
            if not one.to_write:
                cache.release(one.number)
                finish[one.number] = clock
        running = [one for one in running if one.to_write]

    columns = np.array(passes).T
    shares = columns[4:] / cache.capacity_tokens
    return Served(
        arrival_s=np.array([r.arrival_s for r in requests]),
        first_token_s=first,
        finish_s=finish,
        output_tokens=np.array([r.output_tokens for r in requests]),
        gaps_s=np.array(gaps),
        pass_s=columns[0],
        batch=columns[1].astype(int),
        new_tokens=columns[2].astype(int),
        queue=columns[3].astype(int),
        memory=dict(zip(("states", "future", "never"), shares, strict=True)) | {"rest": 1 - shares.sum(axis=0)},
        evictions=evictions,
    )
