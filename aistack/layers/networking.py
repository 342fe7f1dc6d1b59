"""Layer 4: moving bytes between accelerators.

Collectives in the latency-bandwidth ("alpha-beta") model, the size and price of Clos fabrics, the
luck of hashing flows onto paths, and a ring all-reduce that can be followed step by step.

Bandwidths are bytes per second **in one direction** unless a name says otherwise; the "900 GB/s" of NVLink 4's data
sheet counts both directions and enters here as 450e9. Times are seconds, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from aistack.checks import require

__all__ = [
    "Fabric",
    "RingStep",
    "all_gather_time",
    "all_to_all_time",
    "bandwidth_delay_bytes",
    "bisection_b_per_s",
    "bus_bandwidth",
    "clos_switches",
    "collision_probability",
    "double_tree_all_reduce_time",
    "ecmp_loads",
    "fabric",
    "fabric_tiers",
    "fat_tree_endpoints",
    "fat_tree_switches",
    "halving_doubling_all_reduce_time",
    "hashed_job_speed",
    "hierarchical_all_reduce_time",
    "in_network_all_reduce_time",
    "link_data_rate",
    "path_latency",
    "reduce_scatter_time",
    "ring_all_reduce_bytes",
    "ring_all_reduce_steps",
    "ring_all_reduce_time",
    "ring_tree_crossover_bytes",
    "server_all_reduce_time",
    "step_efficiency",
    "transceiver_power",
    "transfer_time",
    "tree_all_reduce_time",
    "worst_link_distribution",
]


# Links


def link_data_rate(lanes, lane_bit_per_s, code_rate):
    """Return the bits a second that a link carries in one direction, after line coding.

    Parameters
    ----------
    lanes : number
        Lanes (differential pairs or wavelengths) in this direction.
    lane_bit_per_s : number, bit/s
        Signalling rate of a lane, the coding overhead included.
    code_rate : number, 0 to 1
        Payload bits per transmitted bit: 8/10 up to InfiniBand QDR, 64/66 for FDR and EDR, 128/130 for PCIe 3 to 5,
        (256/257) x (514/544) where forward error correction is part of the code.

    Returns
    -------
    number, bit/s

    Raises
    ------
    ValueError
        If lanes or rate are negative or `code_rate` is not in (0, 1].

    Examples
    --------
    InfiniBand SDR is sold as 10 Gb/s and carries 8; a PCIe 5.0 x16 slot carries 63 GB/s each way.

    >>> link_data_rate(4, 2.5e9, 8 / 10) / 1e9
    8.0
    >>> round(link_data_rate(16, 32e9, 128 / 130) / 8e9, 1)
    63.0
    """
    require(lanes >= 0, f"lanes must not be negative, got {lanes}")
    require(lane_bit_per_s >= 0, f"lane_bit_per_s must not be negative, got {lane_bit_per_s}")
    require(np.logical_and(code_rate > 0, code_rate <= 1), f"code_rate must lie in (0, 1], got {code_rate}")
    return lanes * lane_bit_per_s * code_rate


def path_latency(switches, switch_latency_s, distance_m, refractive_index=1.468):
    """Return the time the first byte needs through `switches` switches and `distance_m` of fibre.

    Parameters
    ----------
    switches : number
        Switches on the way: 1 in the same leaf, 3 through a spine, 5 through a core.
    switch_latency_s : number, s
        Port-to-port latency of one switch.
    distance_m : number, m
        Length of the whole path.
    refractive_index : number
        Group index of the fibre; 1.468 is silica at 1,310 to 1,550 nm.

    Returns
    -------
    number, s

    Raises
    ------
    ValueError
        If an argument is negative.

    Examples
    --------
    Light needs about five nanoseconds a metre of fibre, five milliseconds for 1,000 km.

    >>> round(path_latency(0, 0, 1.0) * 1e9, 2)
    4.9
    >>> round(path_latency(0, 0, 1_000_000) * 1e3, 2)
    4.9
    """
    require(switches >= 0, f"switches must not be negative, got {switches}")
    require(switch_latency_s >= 0, f"switch_latency_s must not be negative, got {switch_latency_s}")
    require(distance_m >= 0, f"distance_m must not be negative, got {distance_m}")
    speed_of_light_m_per_s = 299_792_458.0
    return switches * switch_latency_s + distance_m * refractive_index / speed_of_light_m_per_s


def bandwidth_delay_bytes(bandwidth_b_per_s, round_trip_s):
    """Return the bytes in flight on a link: the buffer that lossless flow control must reserve.

    A receiver that says "stop" still gets everything sent in the round trip before the sender hears it.
    Credits (InfiniBand) and pause headroom (Ethernet with PFC) both have to cover that.

    Examples
    --------
    A 400 Gb/s link to a switch 100 m away: 49 kB a port and priority.

    >>> round(bandwidth_delay_bytes(50e9, 2 * path_latency(0, 0, 100)) / 1e3)
    49
    """
    require(bandwidth_b_per_s >= 0, f"bandwidth_b_per_s must not be negative, got {bandwidth_b_per_s}")
    require(round_trip_s >= 0, f"round_trip_s must not be negative, got {round_trip_s}")
    return bandwidth_b_per_s * round_trip_s


def transfer_time(message_bytes, bandwidth_b_per_s, latency_s=0.0):
    """Return latency plus size over bandwidth: the alpha-beta model of one message.

    References
    ----------
    R. W. Hockney, "The communication challenge for MPP", Parallel Computing 20 (1994) 389-398.

    Examples
    --------
    >>> transfer_time(1e9, 50e9)
    0.02
    """
    _check(message_bytes, bandwidth_b_per_s, latency_s)
    return latency_s + message_bytes / bandwidth_b_per_s


def _check(message_bytes, bandwidth_b_per_s, latency_s, ranks=2):
    require(message_bytes >= 0, f"message_bytes must not be negative, got {message_bytes}")
    require(bandwidth_b_per_s > 0, f"bandwidth_b_per_s must be positive, got {bandwidth_b_per_s}")
    require(latency_s >= 0, f"latency_s must not be negative, got {latency_s}")
    require(ranks >= 2, f"ranks must be at least 2 (one rank has nobody to talk to), got {ranks}")


# Collectives


def ring_all_reduce_bytes(message_bytes, ranks):
    """Return the bytes each rank sends (and receives) in a ring all-reduce: 2 (N - 1) / N times the message.

    Parameters
    ----------
    message_bytes : number, B
        Size of the vector to be summed; every rank holds one of that size.
    ranks : number
        Participants N, at least 2.

    Returns
    -------
    number, B

    Raises
    ------
    ValueError
        If the message is negative or there are fewer than two ranks.

    Notes
    -----
    No algorithm that only sends and receives can do with less [1]_.

    References
    ----------
    .. [1] P. Patarasuk, X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations",
       J. Parallel Distrib. Comput. 69 (2009) 117-124.

    Examples
    --------
    >>> [ring_all_reduce_bytes(1.0, n) for n in (2, 8, 64)]
    [1.0, 1.75, 1.96875]
    """
    require(message_bytes >= 0, f"message_bytes must not be negative, got {message_bytes}")
    require(ranks >= 2, f"ranks must be at least 2 (one rank has nobody to talk to), got {ranks}")
    return 2 * (ranks - 1) / ranks * message_bytes


def reduce_scatter_time(message_bytes, ranks, bandwidth_b_per_s, latency_s=0.0):
    """Return the time of a ring reduce-scatter: N - 1 steps, each moving one N-th of the message.

    Parameters
    ----------
    message_bytes : number, B
        Size of the whole vector that every rank starts with; each ends with one N-th of the sum.
    ranks : number
        Participants N, at least 2.
    bandwidth_b_per_s : number, B/s
        What a rank can send in one direction while it receives as much.
    latency_s : number, s
        Fixed cost of a step.

    Returns
    -------
    number, s

    Raises
    ------
    ValueError
        If sizes are negative, the bandwidth is not positive, or there are fewer than two ranks.

    Examples
    --------
    >>> round(reduce_scatter_time(1e9, 8, 450e9) * 1e3, 3)
    1.944
    """
    _check(message_bytes, bandwidth_b_per_s, latency_s, ranks)
    return (ranks - 1) * (latency_s + message_bytes / ranks / bandwidth_b_per_s)


def all_gather_time(message_bytes, ranks, bandwidth_b_per_s, latency_s=0.0):
    """Return the time of a ring all-gather: a reduce-scatter run backwards, without the sums.

    Parameters, errors and result as in :func:`reduce_scatter_time`; `message_bytes` is the size of
    the whole vector that every rank ends with.

    Examples
    --------
    >>> all_gather_time(1e9, 8, 450e9) == reduce_scatter_time(1e9, 8, 450e9)
    True
    """
    return reduce_scatter_time(message_bytes, ranks, bandwidth_b_per_s, latency_s)


def ring_all_reduce_time(message_bytes, ranks, bandwidth_b_per_s, latency_s=0.0):
    """Return the time of a ring all-reduce: a reduce-scatter, then an all-gather.

    Parameters and errors as in :func:`reduce_scatter_time`.

    Returns
    -------
    number, s
        2 (N - 1) (latency + message / (N bandwidth)).

    References
    ----------
    R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of collective communication operations in MPICH",
    Int. J. High Perform. Comput. Appl. 19 (2005) 49-66; NVIDIA nccl-tests, doc/PERFORMANCE.md.

    Examples
    --------
    Eight H100 sum one gigabyte over NVLink 4, 450 GB/s each way:

    >>> round(ring_all_reduce_time(1e9, 8, 450e9) * 1e3, 2)
    3.89
    """
    half = reduce_scatter_time(message_bytes, ranks, bandwidth_b_per_s, latency_s)
    return half + all_gather_time(message_bytes, ranks, bandwidth_b_per_s, latency_s)


def tree_all_reduce_time(message_bytes, ranks, bandwidth_b_per_s, latency_s=0.0):
    """Return the time of a plain binomial-tree all-reduce: reduce to a root, then broadcast.

    Every one of the 2 ceil(log2 N) levels moves the whole message: few steps, many bytes.
    Parameters and errors as in :func:`reduce_scatter_time`.

    Examples
    --------
    >>> round(float(tree_all_reduce_time(1e9, 8, 450e9)) * 1e3, 2)
    13.33
    """
    _check(message_bytes, bandwidth_b_per_s, latency_s, ranks)
    return 2 * np.ceil(np.log2(ranks)) * (latency_s + message_bytes / bandwidth_b_per_s)


def double_tree_all_reduce_time(message_bytes, ranks, bandwidth_b_per_s, latency_s=0.0):
    """Return the time of an all-reduce over two pipelined binary trees, each carrying half of the message.

    A rank is a leaf in one tree and an inner node in the other, so its link is busy both ways all the time.
    Parameters and errors as in :func:`reduce_scatter_time`.

    Returns
    -------
    number, s
        2 ceil(log2 N) latency + 2 message / bandwidth; filling the pipeline is left out, so this is a lower bound.

    References
    ----------
    P. Sanders, J. Speck, J. L. Traeff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan",
    Parallel Computing 35 (2009) 581-594. It is the "tree" of NCCL since version 2.4.

    Examples
    --------
    >>> round(float(double_tree_all_reduce_time(1e9, 8, 450e9)) * 1e3, 2)
    4.44
    """
    _check(message_bytes, bandwidth_b_per_s, latency_s, ranks)
    return 2 * np.ceil(np.log2(ranks)) * latency_s + 2 * message_bytes / bandwidth_b_per_s


def halving_doubling_all_reduce_time(message_bytes, ranks, bandwidth_b_per_s, latency_s=0.0):
    """Return the time of recursive halving and doubling: the ring's bytes in a tree's number of steps.

    It needs partners at distance N/2, N/4 ..., so a fabric that is fast between any two ranks, and N a power of two.
    Parameters and errors as in :func:`reduce_scatter_time`; other N are rounded up in the number of steps.

    References
    ----------
    R. Thakur, R. Rabenseifner, W. Gropp (2005), section 4.5 (Rabenseifner's algorithm).

    Examples
    --------
    >>> ring, fast = (f(1e3, 1024, 50e9, 1e-6) for f in (ring_all_reduce_time, halving_doubling_all_reduce_time))
    >>> round(ring * 1e6), round(fast * 1e6)
    (2046, 20)
    """
    _check(message_bytes, bandwidth_b_per_s, latency_s, ranks)
    volume = ring_all_reduce_bytes(message_bytes, ranks)
    return 2 * np.ceil(np.log2(ranks)) * latency_s + volume / bandwidth_b_per_s


def server_all_reduce_time(message_bytes, ranks, bandwidth_b_per_s, latency_s=0.0):
    """Return the time when rank 0 collects every vector and sends the sum back: the naive parameter server.

    Its one link carries N - 1 messages in and N - 1 out. Parameters and errors as in :func:`reduce_scatter_time`.

    Examples
    --------
    >>> server_all_reduce_time(1e9, 1000, 50e9) / ring_all_reduce_time(1e9, 1000, 50e9)
    1000.0
    """
    _check(message_bytes, bandwidth_b_per_s, latency_s, ranks)
    return 2 * (latency_s + (ranks - 1) * message_bytes / bandwidth_b_per_s)


def in_network_all_reduce_time(message_bytes, ranks, bandwidth_b_per_s, latency_s=0.0):
    """Return the time when the switch does the sums (NVLink SHARP): each rank sends 1 + 1/N messages.

    Every rank lets the switch read its whole vector, gets one N-th of the sum, and writes that N-th
    once for the switch to copy to all. Parameters and errors as in :func:`reduce_scatter_time`.

    Returns
    -------
    number, s
        2 latency + (N + 1) / N x message / bandwidth.

    Notes
    -----
    Against the ring it saves the factor 2 (N - 1) / (N + 1), 1.56 for eight ranks. Benchmarks that divide by the
    ring's bytes whatever ran therefore print a "bus bandwidth" above the line rate.

    References
    ----------
    B. Klenk et al., "An in-network architecture for accelerating shared-memory multiprocessor collectives", ISCA 2020;
    NVIDIA nccl-tests, doc/PERFORMANCE.md (factor (n - 1)/(n + 1)).

    Examples
    --------
    >>> seconds = in_network_all_reduce_time(1e9, 8, 450e9)
    >>> round(bus_bandwidth(1e9, 8, seconds) / 1e9)
    700
    """
    _check(message_bytes, bandwidth_b_per_s, latency_s, ranks)
    return 2 * latency_s + (ranks + 1) / ranks * message_bytes / bandwidth_b_per_s


def hierarchical_all_reduce_time(
    message_bytes, ranks_per_node, nodes, inside_b_per_s, outside_b_per_s, inside_latency_s=0.0, outside_latency_s=0.0
):
    """Return the time of an all-reduce that keeps most bytes inside the node.

    Reduce-scatter inside each node; ring all-reduce of every shard among the ranks with the same place in their
    node (a rail); all-gather inside.

    Parameters
    ----------
    message_bytes : number, B
        Size of the vector.
    ranks_per_node, nodes : number
        Both at least 2.
    inside_b_per_s, outside_b_per_s : number, B/s
        One-way bandwidth of a rank to its own node (NVLink) and to its rail (network card).
    inside_latency_s, outside_latency_s : number, s
        Fixed cost of a step in each.

    Returns
    -------
    number, s

    Raises
    ------
    ValueError
        As :func:`reduce_scatter_time`.

    Examples
    --------
    128 nodes of eight GPUs, one gigabyte: the flat ring is held up by its slowest link.

    >>> flat = ring_all_reduce_time(1e9, 1024, 50e9, 5e-6)
    >>> by_node = hierarchical_all_reduce_time(1e9, 8, 128, 450e9, 50e9, 1e-6, 5e-6)
    >>> round(flat * 1e3, 1), round(by_node * 1e3, 1)
    (50.2, 10.1)
    """
    inside = reduce_scatter_time(message_bytes, ranks_per_node, inside_b_per_s, inside_latency_s)
    shard = message_bytes / ranks_per_node
    return 2 * inside + ring_all_reduce_time(shard, nodes, outside_b_per_s, outside_latency_s)


def all_to_all_time(message_bytes, ranks, bandwidth_b_per_s, latency_s=0.0, oversubscription=1.0):
    """Return the time in which every rank sends a different N-th of its message to every other rank.

    Parameters
    ----------
    message_bytes, ranks, bandwidth_b_per_s, latency_s
        As in :func:`reduce_scatter_time`.
    oversubscription : number, at least 1
        How many times the ranks' bandwidth exceeds what the upper tiers carry. An all-to-all feels it in full; a ring,
        which crosses any cut of the fabric twice only, hardly does.

    Returns
    -------
    number, s

    Raises
    ------
    ValueError
        As :func:`reduce_scatter_time`, and for an oversubscription below 1.

    Examples
    --------
    >>> all_to_all_time(1e9, 64, 50e9, oversubscription=7) / all_to_all_time(1e9, 64, 50e9)
    7.0
    """
    require(oversubscription >= 1, f"oversubscription must be at least 1 (non-blocking), got {oversubscription}")
    return reduce_scatter_time(message_bytes, ranks, bandwidth_b_per_s / oversubscription, latency_s)


def bus_bandwidth(message_bytes, ranks, time_s):
    """Return the link speed that a ring would have needed to all-reduce in `time_s` (the "busbw" of nccl-tests).

    Parameters
    ----------
    message_bytes : number, B
    ranks : number
        At least 2.
    time_s : number, s
        Measured time, positive.

    Returns
    -------
    number, B/s

    Raises
    ------
    ValueError
        For a time that is not positive, or as :func:`ring_all_reduce_bytes`.

    Examples
    --------
    275 GB/s of algorithm bandwidth over eight ranks is 481 GB/s of bus bandwidth.

    >>> bus_bandwidth(275e9, 8, 1.0) / 1e9
    481.25
    """
    require(time_s > 0, f"time_s must be positive, got {time_s}")
    return ring_all_reduce_bytes(message_bytes, ranks) / time_s


def ring_tree_crossover_bytes(ranks, bandwidth_b_per_s, latency_s):
    """Return the message size above which a ring beats the double tree.

    The ring saves 2 S / (N B) of transfer and pays 2 (N - 1 - ceil(log2 N)) more latencies.

    Parameters
    ----------
    ranks : number
        At least 2.
    bandwidth_b_per_s : number, B/s
        One way.
    latency_s : number, s

    Returns
    -------
    number, B

    Examples
    --------
    Eight GPUs on NVLink 4: 14 MB. A thousand on 400 Gb/s: 259 GB, so never.

    >>> float(ring_tree_crossover_bytes(8, 450e9, 1e-6) / 1e6)
    14.4
    >>> round(ring_tree_crossover_bytes(1024, 50e9, 5e-6) / 1e9)
    259
    """
    _check(0.0, bandwidth_b_per_s, latency_s, ranks)
    return ranks * bandwidth_b_per_s * latency_s * (ranks - 1 - np.ceil(np.log2(ranks)))


def step_efficiency(compute_s, communication_s, overlap_fraction=0.0):
    """Return the share of a training step that is spent computing.

    Parameters
    ----------
    compute_s, communication_s : number, s
        Time of each if it ran alone.
    overlap_fraction : number, 0 to 1
        Share of the communication that could run while the chip computes; it hides at most `compute_s`.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        For a negative time, no compute at all, or an overlap outside 0 to 1.

    Examples
    --------
    Chips get four times faster, the network does not: communication grows from 20 to 50 % of the step.

    >>> float(step_efficiency(0.8, 0.2)), float(step_efficiency(0.2, 0.2))
    (0.8, 0.5)
    """
    require(compute_s > 0, f"compute_s must be positive, got {compute_s}")
    require(communication_s >= 0, f"communication_s must not be negative, got {communication_s}")
    require(
        np.logical_and(overlap_fraction >= 0, overlap_fraction <= 1),
        f"overlap_fraction must lie in 0 to 1, got {overlap_fraction}",
    )
    exposed_s = communication_s - np.minimum(overlap_fraction * communication_s, compute_s)
    return compute_s / (compute_s + exposed_s)


# Fabrics


def fat_tree_endpoints(ports, tiers):
    """Return how many endpoints a full non-blocking fat tree of identical switches serves: 2 (k/2)^tiers.

    Parameters
    ----------
    ports : number
        Ports k of a switch, even.
    tiers : number
        Levels of switches, 1 (a single switch) to 4.

    Returns
    -------
    number

    Raises
    ------
    ValueError
        If `ports` is not an even number of at least 2, or `tiers` is below 1.

    References
    ----------
    C. Clos (1953); C. E. Leiserson, "Fat-trees", IEEE Trans. Comput. C-34 (1985) 892-901;
    M. Al-Fares, A. Loukissas, A. Vahdat, "A scalable, commodity data center network architecture", SIGCOMM 2008
    (k = 48: 27,648).

    Examples
    --------
    >>> fat_tree_endpoints(64, 2), fat_tree_endpoints(64, 3), fat_tree_endpoints(48, 3)
    (2048.0, 65536.0, 27648.0)
    """
    _check_switch(ports, tiers)
    return 2 * (ports / 2) ** tiers


def fat_tree_switches(ports, tiers):
    """Return the switches of a full fat tree: (2 tiers - 1) (k/2)^(tiers - 1).

    Parameters and errors as in :func:`fat_tree_endpoints`.

    Examples
    --------
    >>> fat_tree_switches(64, 2), fat_tree_switches(64, 3)
    (96.0, 5120.0)
    """
    _check_switch(ports, tiers)
    return (2 * tiers - 1) * (ports / 2) ** (tiers - 1)


def _check_switch(ports, tiers=1):
    require(np.logical_and(ports >= 2, ports % 2 == 0), f"ports must be an even number, at least 2, got {ports}")
    require(tiers >= 1, f"tiers must be at least 1, got {tiers}")


def fabric_tiers(endpoints, ports):
    """Return the fewest tiers (1 to 5) of non-blocking fat tree that reach `endpoints`.

    Examples
    --------
    >>> [int(fabric_tiers(n, 64)) for n in (64, 65, 2048, 100_000)]
    [1, 2, 2, 4]
    """
    _check_switch(ports)
    require(endpoints >= 1, f"endpoints must be at least 1, got {endpoints}")
    tiers = 1
    for full in range(1, 5):
        tiers = tiers + np.where(endpoints > fat_tree_endpoints(ports, full), 1, 0)
    return tiers


def clos_switches(endpoints, ports, tiers):
    """Return the switches of a non-blocking fabric with `tiers` tiers that is not filled.

    Every tier but the top needs ceil(2 E / k) switches (half their ports face down), the top ceil(E / k).

    Parameters
    ----------
    endpoints : number
        Endpoints E to connect; at most :func:`fat_tree_endpoints` of them fit.
    ports, tiers
        As in :func:`fat_tree_endpoints`.

    Returns
    -------
    number
        A lower bound: real cabling also has to spread the links of a tier evenly.

    Raises
    ------
    ValueError
        If the endpoints do not fit, or as :func:`fat_tree_endpoints`.

    Examples
    --------
    8,000 GPUs on 64-port switches: one fabric in three tiers, or eight rails of 1,000 in two.

    >>> int(clos_switches(8000, 64, 3)), int(8 * clos_switches(1000, 64, 2))
    (625, 384)
    """
    full = fat_tree_endpoints(ports, tiers)
    require(
        np.logical_and(endpoints >= 1, endpoints <= full),
        f"endpoints must lie in 1 to {full}, got {endpoints}: add a tier or ports",
    )
    return (tiers - 1) * np.ceil(2 * endpoints / ports) + np.ceil(endpoints / ports)


def bisection_b_per_s(endpoints, bandwidth_b_per_s, oversubscription=1.0):
    """Return the one-way bandwidth between the two halves of a fabric.

    Parameters
    ----------
    endpoints : number
    bandwidth_b_per_s : number, B/s
        One way, of an endpoint.
    oversubscription : number, at least 1
        1 is full bisection bandwidth.

    Returns
    -------
    number, B/s

    Examples
    --------
    256 H100 at 450 GB/s each way: 57.6 TB/s, the figure printed for the DGX H100 NVLink system.

    >>> bisection_b_per_s(256, 450e9) / 1e12
    57.6
    """
    require(endpoints >= 1, f"endpoints must be at least 1, got {endpoints}")
    require(bandwidth_b_per_s >= 0, f"bandwidth_b_per_s must not be negative, got {bandwidth_b_per_s}")
    require(oversubscription >= 1, f"oversubscription must be at least 1 (non-blocking), got {oversubscription}")
    return endpoints / 2 * bandwidth_b_per_s / oversubscription


@dataclass(frozen=True)
class Fabric:
    """What a fabric consists of; see :func:`fabric`."""

    endpoints: float  #: network ports of accelerators that it serves, all rails together
    switches: float
    links: float  #: cables, endpoint to leaf and switch to switch
    transceivers: float  #: optical modules, two on each optical cable
    longest_path_switches: float  #: switches between the two most distant endpoints of a rail
    power_w: float
    cost_usd: float


def fabric(
    ports, tiers, rails, switch_w, transceiver_w, switch_usd, transceiver_usd, cable_usd, copper_fraction=0.0
) -> Fabric:
    """Design the largest non-blocking fabric of `rails` separate fat trees.

    Parameters
    ----------
    ports, tiers
        As in :func:`fat_tree_endpoints`; ports run at the endpoints' speed.
    rails : number
        Separate copies of the fat tree, at least 1. With eight, GPU i of every server plugs into tree i, and traffic
        that changes rail crosses the server's own NVLink.
    switch_w, transceiver_w : number, W
        Power of a switch without optics, and of one optical module.
    switch_usd, transceiver_usd, cable_usd : number, USD
        Price of a switch, a module, and a cable (fibre or copper alike).
    copper_fraction : number, 0 to 1
        Share of the endpoint links that are passive copper and need no modules.

    Returns
    -------
    Fabric

    Raises
    ------
    ValueError
        For `rails` below 1, a fraction outside 0 to 1, a negative power or price, or as :func:`fat_tree_endpoints`.

    Examples
    --------
    Three tiers mean three cables and six transceivers for every GPU.

    >>> plan = fabric(64, 3, 1, 1000, 17, 30_000, 1000, 100)
    >>> plan.endpoints, plan.switches, plan.transceivers / plan.endpoints
    (65536.0, 5120.0, 6.0)
    """
    require(rails >= 1, f"rails must be at least 1, got {rails}")
    require(
        np.logical_and(copper_fraction >= 0, copper_fraction <= 1),
        f"copper_fraction must lie in 0 to 1, got {copper_fraction}",
    )
    priced = {
        "switch_w": switch_w, "transceiver_w": transceiver_w, "switch_usd": switch_usd,
        "transceiver_usd": transceiver_usd, "cable_usd": cable_usd,
    }  # fmt: skip
    for name, value in priced.items():
        require(value >= 0, f"{name} must not be negative, got {value}")
    endpoints = rails * fat_tree_endpoints(ports, tiers)
    switches = rails * fat_tree_switches(ports, tiers)
    links = endpoints * tiers
    transceivers = 2 * (links - copper_fraction * endpoints)
    return Fabric(
        endpoints=endpoints,
        switches=switches,
        links=links,
        transceivers=transceivers,
        longest_path_switches=2 * tiers - 1,
        power_w=switches * switch_w + transceivers * transceiver_w,
        cost_usd=switches * switch_usd + transceivers * transceiver_usd + links * cable_usd,
    )


def transceiver_power(accelerators, transceivers_per_accelerator, transceiver_w):
    """Return the power of all optical modules of a cluster.

    Examples
    --------
    A million GPUs, six modules each, 30 W a module: 180 MW.

    >>> transceiver_power(1e6, 6, 30) / 1e6
    180.0
    """
    require(accelerators >= 0, f"accelerators must not be negative, got {accelerators}")
    require(
        transceivers_per_accelerator >= 0,
        f"transceivers_per_accelerator must not be negative, got {transceivers_per_accelerator}",
    )
    require(transceiver_w >= 0, f"transceiver_w must not be negative, got {transceiver_w}")
    return accelerators * transceivers_per_accelerator * transceiver_w


# Hashing flows onto paths

MOST_FLOWS = 1024  #: largest number of flows in :func:`collision_probability`


def collision_probability(flows, paths):
    """Return the chance that at least two flows share a path when each is hashed onto one at random.

    The birthday problem: 1 - (1 - 1/m)(1 - 2/m) ... (1 - (n - 1)/m).

    Parameters
    ----------
    flows : number
        Flows n, 1 to 1,024.
    paths : number
        Equal-cost paths m, at least 1.

    Returns
    -------
    number, 0 to 1

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> float(collision_probability(23, 365).round(4)), float(collision_probability(8, 32).round(3))
    (0.5073, 0.614)
    """
    require(np.logical_and(flows >= 1, flows <= MOST_FLOWS), f"flows must lie in 1 to {MOST_FLOWS}, got {flows}")
    require(paths >= 1, f"paths must be at least 1, got {paths}")
    earlier = np.arange(MOST_FLOWS)
    free = np.maximum(1 - earlier / paths, 1e-300)
    return 1 - np.exp(np.sum(np.where(earlier < flows, np.log(free), 0.0)))


def ecmp_loads(flows: int, paths: int, rng: np.random.Generator) -> np.ndarray:
    """Hash `flows` equal flows onto `paths` paths once and count the flows on each.

    Parameters
    ----------
    flows, paths : int
        At least 1.
    rng : numpy.random.Generator
        Stands in for the hash.

    Returns
    -------
    numpy.ndarray of int, shape (paths,)

    Examples
    --------
    >>> loads = ecmp_loads(32, 32, np.random.default_rng(4))
    >>> int(loads.sum()), int(loads.max()) > 1
    (32, True)
    """
    require(np.logical_and(flows >= 1, paths >= 1), f"flows and paths must be at least 1, got {flows} and {paths}")
    return np.bincount(rng.integers(paths, size=flows), minlength=paths)


def worst_link_distribution(flows: int, paths: int) -> np.ndarray:
    """Return the exact probability of every load of the busiest path, for flows hashed uniformly onto paths.

    Parameters
    ----------
    flows, paths : int
        Flows n and equal-cost paths m, at least 1.

    Returns
    -------
    numpy.ndarray, shape (flows + 1,)
        Entry L is the chance that the busiest path carries exactly L flows.

    Raises
    ------
    ValueError
        If an argument is below 1.

    Notes
    -----
    n flows on m paths are m independent Poisson counts given that they sum to n. So
    P(busiest <= L) is the coefficient of x^n in (sum of p_j x^j, j <= L)^m over that of the full Poisson law, with
    p_j the Poisson probabilities of mean n/m: all terms positive, no cancellation, no factorial out of range.

    Examples
    --------
    Sixteen flows on sixteen paths: the busiest carries three or so, and a perfect spread has one chance in 882,000.

    >>> chance = worst_link_distribution(16, 16)
    >>> round(float(np.arange(17) @ chance), 2), int(round(1 / chance[1], -3))
    (3.08, 882000)
    """
    require(np.logical_and(flows >= 1, paths >= 1), f"flows and paths must be at least 1, got {flows} and {paths}")
    load = np.arange(flows + 1)
    mean = flows / paths
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(load[1:]))])
    poisson = np.exp(load * np.log(mean) - mean - log_factorial)
    total = np.exp(flows * np.log(flows) - flows - log_factorial[flows])
    at_most = np.ones(flows + 1)
    for limit in range(flows):
        at_most[limit] = _power(np.where(load <= limit, poisson, 0.0), paths)[flows] / total
        if at_most[limit] > 1 - 1e-15:
            break
    at_most = np.minimum(at_most, 1.0)
    return np.diff(at_most, prepend=0.0)


def hashed_job_speed(flows, paths, busiest):
    """Return the speed of a job whose slowest flow shares the busiest path, as a share of what a perfect spread gives.

    Every flow is as fast as its card, and a path as fast as a card. A perfect spread puts flows / paths on each path, but
    with more paths than flows a flow still goes no faster than its card.

    Parameters
    ----------
    flows, paths : number
        Flows n and equal-cost paths m, at least 1.
    busiest : number or array, flows
        Load of the busiest path; below 1 where flows were cut and their pieces spread well.

    Returns
    -------
    number, 0 to 1
        max(1, n / m) / max(1, busiest), at most 1.

    Raises
    ------
    ValueError
        If flows or paths are below 1 or the load is negative.

    Examples
    --------
    Two of eight flows on 32 paths meet: half speed. None meet: full speed.

    >>> float(hashed_job_speed(8, 32, 2)), float(hashed_job_speed(8, 32, 1)), float(hashed_job_speed(16, 8, 4))
    (0.5, 1.0, 0.5)
    """
    require(np.logical_and(flows >= 1, paths >= 1), f"flows and paths must be at least 1, got {flows} and {paths}")
    require(busiest >= 0, f"busiest must not be negative, got {busiest}")
    return np.minimum(1.0, np.maximum(1.0, flows / paths) / np.maximum(1.0, busiest))


def _power(series: np.ndarray, exponent: int) -> np.ndarray:
    """Raise a power series to an integer exponent, keeping its length."""
    result = np.zeros_like(series)
    result[0] = 1.0
    while exponent:
        if exponent & 1:
            result = np.convolve(result, series)[: len(series)]
        series = np.convolve(series, series)[: len(series)]
        exponent >>= 1
    return result


# The ring, step by step


@dataclass(frozen=True)
class RingStep:
    """One step of a ring all-reduce, after it was done."""

    phase: str  #: "reduce-scatter" or "all-gather"
    step: int  #: 1 to N - 1 in each phase
    sent_chunk: tuple[int, ...]  #: the chunk that each rank passed to its right neighbour
    sent_bytes: tuple[int, ...]  #: the bytes each rank has sent so far
    vectors: tuple[np.ndarray, ...]  #: what each rank holds now


def ring_all_reduce_steps(vectors) -> Iterator[RingStep]:
    """Run a ring all-reduce in one process, one step at a time, with nothing hidden.

    Parameters
    ----------
    vectors : sequence of arrays, all of one shape (n,)
        The vector of each rank, at least two; they are copied, not changed.

    Yields
    ------
    RingStep
        2 (N - 1) of them; after the last every rank holds the sum.

    Raises
    ------
    ValueError
        For fewer than two vectors, or vectors of different shapes or more than one dimension.

    Notes
    -----
    In step s of the first phase rank r passes chunk r - s to its right neighbour, which adds it to its own; so after
    N - 1 steps rank r holds the whole sum of chunk r + 1, and passes it on in the second phase.

    Examples
    --------
    Start with ones: then every number counts the ranks whose share it already holds.

    >>> for step in ring_all_reduce_steps([np.ones(3)] * 3):
    ...     print(step.phase, step.vectors[0])
    reduce-scatter [1. 1. 2.]
    reduce-scatter [1. 3. 2.]
    all-gather [3. 3. 2.]
    all-gather [3. 3. 3.]
    """
    held = [np.array(vector) for vector in vectors]
    ranks = len(held)
    require(ranks >= 2, f"vectors must hold at least 2 ranks' vectors, got {ranks}")
    shapes = {vector.shape for vector in held}
    require(len(shapes) == 1 and held[0].ndim == 1, f"vectors must all have one shape (n,), got {sorted(shapes)}")
    chunks = [np.array_split(vector, ranks) for vector in held]  # views: writing to a chunk writes to the vector
    sent = [0] * ranks
    for phase, first in (("reduce-scatter", 0), ("all-gather", 1)):
        for step in range(ranks - 1):
            moving = [(rank + first - step) % ranks for rank in range(ranks)]
            parcels = [chunks[rank][chunk].copy() for rank, chunk in enumerate(moving)]
            for rank, (chunk, parcel) in enumerate(zip(moving, parcels, strict=True)):
                right = (rank + 1) % ranks
                sent[rank] += parcel.nbytes
                if phase == "reduce-scatter":
                    chunks[right][chunk] += parcel
                else:
                    chunks[right][chunk][:] = parcel
            yield RingStep(phase, step + 1, tuple(moving), tuple(sent), tuple(vector.copy() for vector in held))
