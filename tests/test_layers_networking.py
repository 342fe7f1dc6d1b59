"""Layer 4 against published figures, closed forms and its own simulations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistack.layers import networking as net
from aistack.trace import trace

ALL_REDUCES = [
    net.ring_all_reduce_time,
    net.tree_all_reduce_time,
    net.double_tree_all_reduce_time,
    net.halving_doubling_all_reduce_time,
    net.server_all_reduce_time,
    net.in_network_all_reduce_time,
]
ranks_ = st.integers(2, 4096)
sizes = st.floats(1.0, 1e12)
speeds = st.floats(1e6, 1e13)
latencies = st.floats(0.0, 1e-3)


# Links


@pytest.mark.parametrize(
    ("lanes", "lane_gbit", "code", "gbit"),
    [  # infiniband.jp's table for 4x links; HDR and NDR with their real code, forward error correction included
        (4, 2.5, 8 / 10, 8),
        (4, 5, 8 / 10, 16),
        (4, 10, 8 / 10, 32),
        (4, 14.0625, 64 / 66, 54.55),
        (4, 25.78125, 64 / 66, 100),
        (4, 53.125, 256 / 257 * 514 / 544, 200),
        (4, 106.25, 256 / 257 * 514 / 544, 400),
        (16, 8, 128 / 130, 8 * 15.75),  # PCIe 3.0 x16
        (16, 32, 128 / 130, 8 * 63.0),  # PCIe 5.0 x16
        (8, 20, 1, 160),  # NVLink 1: 20 GB/s each way
    ],
)
def test_link_data_rate_matches_published(lanes, lane_gbit, code, gbit):
    assert net.link_data_rate(lanes, lane_gbit * 1e9, code) / 1e9 == pytest.approx(gbit, rel=5e-4)


def test_path_latency_counts_switches_and_fibre():
    assert net.path_latency(5, 150e-9, 0) == pytest.approx(750e-9)
    assert net.path_latency(0, 0, 1000) == pytest.approx(4.9e-6, rel=1e-2)


def test_bandwidth_delay_is_bytes_in_flight():
    assert net.bandwidth_delay_bytes(50e9, 1e-6) == pytest.approx(50e3)


# Collectives


def test_ring_time_8_ranks_1_gb_is_3_89_ms():
    assert net.ring_all_reduce_time(1e9, 8, 450e9) == pytest.approx(3.889e-3, rel=1e-4)
    assert net.ring_all_reduce_time(0, 8, 450e9, 1e-6) == pytest.approx(14e-6)


@given(sizes, ranks_, speeds, latencies)
def test_ring_is_reduce_scatter_then_all_gather(size, ranks, speed, latency):
    parts = net.reduce_scatter_time(size, ranks, speed, latency) + net.all_gather_time(size, ranks, speed, latency)
    assert net.ring_all_reduce_time(size, ranks, speed, latency) == pytest.approx(parts)
    free = net.ring_all_reduce_time(size, ranks, speed)
    assert free == pytest.approx(net.ring_all_reduce_bytes(size, ranks) / speed)


@given(sizes, ranks_)
def test_ring_bytes_lie_between_one_and_two_messages(size, ranks):
    assert size <= net.ring_all_reduce_bytes(size, ranks) < 2 * size


@given(sizes, ranks_, speeds, latencies)
def test_two_ranks_exchange_one_message_however_arranged(size, ranks, speed, latency):
    assert net.ring_all_reduce_time(size, 2, speed, latency) == pytest.approx(2 * latency + size / speed)
    assert net.halving_doubling_all_reduce_time(size, 2, speed, latency) == pytest.approx(2 * latency + size / speed)
    assert net.halving_doubling_all_reduce_time(size, ranks, speed, latency) <= net.ring_all_reduce_time(
        size, ranks, speed, latency
    ) * (1 + 1e-12)


@pytest.mark.parametrize("time", ALL_REDUCES)
@given(size=sizes, ranks=ranks_, speed=speeds, latency=latencies)
def test_all_reduce_time_scales_and_grows(time, size, ranks, speed, latency):
    base = time(size, ranks, speed, latency)
    assert time(size, ranks, speed, latency + 1e-6) > base  # more latency
    assert time(2 * size, ranks, speed, 2 * latency) == pytest.approx(2 * base)  # dimension: seconds
    assert time(size, ranks, 2 * speed, latency) <= base  # more bandwidth
    assert time(2 * size, ranks, 2 * speed, latency) == pytest.approx(base)


@given(ranks=st.integers(2, 12).map(lambda k: 2**k), speed=speeds, latency=st.floats(1e-8, 1e-3))
def test_crossover_is_where_ring_and_double_tree_meet(ranks, speed, latency):
    size = net.ring_tree_crossover_bytes(ranks, speed, latency)
    ring, tree = (f(size, ranks, speed, latency) for f in (net.ring_all_reduce_time, net.double_tree_all_reduce_time))
    assert ring == pytest.approx(tree)


def test_hierarchy_of_equal_links_moves_the_rings_bytes():
    flat = net.ring_all_reduce_time(1e9, 64, 50e9)
    assert net.hierarchical_all_reduce_time(1e9, 8, 8, 50e9, 50e9) == pytest.approx(flat)


def test_hierarchy_with_infinite_inside_is_one_rail():
    rail = net.ring_all_reduce_time(1e9 / 8, 16, 50e9)
    assert net.hierarchical_all_reduce_time(1e9, 8, 16, 1e30, 50e9) == pytest.approx(rail)


def test_bus_bandwidth_matches_nccl_printout():
    assert net.bus_bandwidth(275e9, 8, 1.0) == pytest.approx(480e9, rel=3e-3)  # nccl-tests issue 212
    assert net.bus_bandwidth(1e9, 8, net.ring_all_reduce_time(1e9, 8, 450e9)) == pytest.approx(450e9)


@given(ranks_)
def test_in_network_gain_over_ring_is_2n_minus_2_over_n_plus_1(ranks):
    gain = net.ring_all_reduce_time(1e9, ranks, 1e9) / net.in_network_all_reduce_time(1e9, ranks, 1e9)
    assert gain == pytest.approx(2 * (ranks - 1) / (ranks + 1))


def test_all_to_all_feels_oversubscription_in_full():
    assert net.all_to_all_time(1e9, 8, 50e9, oversubscription=7) == pytest.approx(7 * 7 / 8 * 0.02)


@given(st.floats(1e-6, 10), st.floats(0, 10), st.floats(0, 1))
def test_step_efficiency_is_bounded_and_overlap_helps(compute, communication, overlap):
    plain = net.step_efficiency(compute, communication)
    assert 0 < plain <= net.step_efficiency(compute, communication, overlap) <= 1
    assert plain == pytest.approx(compute / (compute + communication))


def test_step_efficiency_cannot_hide_more_than_the_compute():
    assert net.step_efficiency(1.0, 3.0, 1.0) == pytest.approx(1 / 3)
    assert net.step_efficiency(1.0, 1.0, 1.0) == 1


# Fabrics


@pytest.mark.parametrize(
    ("ports", "tiers", "endpoints", "switches"),
    [(64, 1, 64, 1), (64, 2, 2048, 96), (64, 3, 65_536, 5120), (48, 3, 27_648, 2880), (4, 3, 16, 20)],
)
def test_fat_tree_matches_al_fares(ports, tiers, endpoints, switches):
    assert net.fat_tree_endpoints(ports, tiers) == endpoints
    assert net.fat_tree_switches(ports, tiers) == switches


@given(st.integers(2, 128).map(lambda k: 2 * k), st.integers(1, 4))
def test_full_clos_needs_the_fat_trees_switches_and_ports_add_up(ports, tiers):
    endpoints, switches = net.fat_tree_endpoints(ports, tiers), net.fat_tree_switches(ports, tiers)
    assert net.clos_switches(endpoints, ports, tiers) == switches
    assert switches * ports == endpoints + 2 * endpoints * (tiers - 1)  # endpoint ports plus two for each switch link


@given(st.integers(1, 200_000), st.sampled_from([32, 64, 128, 144]))
def test_fabric_tiers_is_the_least_that_fits(endpoints, ports):
    tiers = int(net.fabric_tiers(endpoints, ports))
    assert net.fat_tree_endpoints(ports, tiers) >= endpoints
    assert tiers == 1 or net.fat_tree_endpoints(ports, tiers - 1) < endpoints


def test_clos_switches_8000_gpus_cannot_hang_on_8_switches():
    assert net.clos_switches(8000, 64, 3) == 625
    assert 8 * net.clos_switches(1000, 64, 2) == 384
    with pytest.raises(ValueError, match="add a tier or ports"):
        net.clos_switches(1000, 144, 1)


def test_bisection_matches_dgx_h100_nvlink_system():
    assert net.bisection_b_per_s(256, 450e9) == pytest.approx(57.6e12)
    assert net.bisection_b_per_s(256, 450e9, 2) == pytest.approx(28.8e12)


def test_fabric_adds_up():
    plan = net.fabric(64, 2, 8, 1000, 17, 30_000, 1000, 100, copper_fraction=1.0)
    assert (plan.endpoints, plan.switches, plan.links) == (16_384, 768, 32_768)  # the eight planes of DeepSeek's MPFT
    assert plan.transceivers == 2 * 16_384  # switch to switch only
    assert plan.longest_path_switches == 3
    assert plan.power_w == 768 * 1000 + 32_768 * 17
    assert plan.cost_usd == 768 * 30_000 + 32_768 * 1000 + 32_768 * 100


@given(st.sampled_from([16, 32, 64, 128]), st.integers(1, 4))
def test_optics_per_endpoint_are_two_a_tier(ports, tiers):
    plan = net.fabric(ports, tiers, 1, 1, 1, 1, 1, 1)
    assert plan.transceivers / plan.endpoints == pytest.approx(2 * tiers)


def test_transceiver_power_of_a_million_gpus_is_180_mw():
    assert net.transceiver_power(1e6, 6, 30) == pytest.approx(180e6)


# Hashing


def test_collision_probability_is_the_birthday_problem():
    assert net.collision_probability(23, 365) == pytest.approx(0.507297, abs=1e-6)
    assert net.collision_probability(1, 8) == pytest.approx(0)
    assert net.collision_probability(9, 8) == pytest.approx(1)


@pytest.mark.parametrize(("flows", "paths"), [(1, 1), (5, 1), (2, 2), (8, 32), (64, 16), (300, 128)])
def test_worst_link_distribution_sums_to_one(flows, paths):
    chance = net.worst_link_distribution(flows, paths)
    assert chance.sum() == pytest.approx(1, abs=1e-12)
    assert (chance >= -1e-15).all()
    assert chance[: -(-flows // paths)].sum() == pytest.approx(0, abs=1e-12)  # pigeonhole


def test_worst_link_distribution_small_case_is_exact():
    # three flows on two paths: 3-0 in 2 of 8 ways, 2-1 in 6 of 8
    assert net.worst_link_distribution(3, 2) == pytest.approx([0, 0, 0.75, 0.25])


@pytest.mark.parametrize(("flows", "paths"), [(8, 32), (16, 16), (23, 365)])
def test_worst_link_above_one_is_a_collision(flows, paths):
    collision = 1 - net.worst_link_distribution(flows, paths)[1]
    assert collision == pytest.approx(net.collision_probability(flows, paths))


def test_ecmp_loads_agree_with_exact_distribution():
    trials, rng = 20_000, np.random.default_rng(20260104)
    worst = np.array([net.ecmp_loads(64, 16, rng).max() for _ in range(trials)])
    chance = net.worst_link_distribution(64, 16)
    for load in range(6, 12):
        seen = np.mean(worst == load)
        error = np.sqrt(chance[load] * (1 - chance[load]) / trials)
        assert abs(seen - chance[load]) < 4 * error


@pytest.mark.parametrize(
    ("flows", "paths", "busiest", "speed"),
    [(8, 32, 1, 1), (8, 32, 2, 0.5), (8, 32, 0.5, 1), (16, 16, 3, 1 / 3), (64, 16, 8, 0.5), (64, 16, 4, 1)],
)
def test_hashed_job_is_as_fast_as_its_card_at_most(flows, paths, busiest, speed):
    assert net.hashed_job_speed(flows, paths, busiest) == pytest.approx(speed)


# The ring, step by step


@given(st.integers(2, 6), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_ring_steps_end_in_the_plain_sum(ranks, length, seed):
    vectors = np.random.default_rng(seed).integers(-99, 99, size=(ranks, length)).astype(float)
    before = vectors.copy()
    steps = list(net.ring_all_reduce_steps(vectors))
    assert len(steps) == 2 * (ranks - 1)
    assert all(np.array_equal(vector, before.sum(axis=0)) for vector in steps[-1].vectors)
    assert np.array_equal(vectors, before)


def test_ring_steps_send_the_laws_bytes():
    vectors = np.ones((4, 1000))
    *_, last = net.ring_all_reduce_steps(vectors)
    assert last.sent_bytes == (net.ring_all_reduce_bytes(8000, 4),) * 4


def test_ring_steps_first_phase_leaves_one_full_chunk_each():
    steps = [s for s in net.ring_all_reduce_steps(np.ones((4, 4))) if s.phase == "reduce-scatter"]
    assert [int(np.flatnonzero(vector == 4)[0]) for vector in steps[-1].vectors] == [1, 2, 3, 0]


# Bad input, and what an explorer may do


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: net.ring_all_reduce_time(1e9, 1, 450e9), "ranks must be at least 2 .* got 1"),
        (lambda: net.ring_all_reduce_time(-1, 8, 450e9), "message_bytes must not be negative, got -1"),
        (lambda: net.tree_all_reduce_time(1, 8, 0), "bandwidth_b_per_s must be positive, got 0"),
        (lambda: net.transfer_time(1, 1, -1), "latency_s must not be negative, got -1"),
        (lambda: net.bus_bandwidth(1, 8, 0), "time_s must be positive, got 0"),
        (lambda: net.fat_tree_endpoints(63, 2), "ports must be an even number, at least 2, got 63"),
        (lambda: net.fat_tree_switches(64, 0), "tiers must be at least 1, got 0"),
        (lambda: net.fabric(64, 2, 0, 1, 1, 1, 1, 1), "rails must be at least 1, got 0"),
        (lambda: net.fabric(64, 2, 1, 1, -1, 1, 1, 1), "transceiver_w must not be negative, got -1"),
        (lambda: net.all_to_all_time(1, 8, 1, oversubscription=0.5), "oversubscription must be at least 1"),
        (lambda: net.link_data_rate(4, 1e9, 66 / 64), r"code_rate must lie in \(0, 1\]"),
        (lambda: net.step_efficiency(1, 1, 2), "overlap_fraction must lie in 0 to 1, got 2"),
        (lambda: net.collision_probability(2000, 8), "flows must lie in 1 to 1024, got 2000"),
        (lambda: net.worst_link_distribution(0, 8), "at least 1, got 0 and 8"),
        (lambda: net.hashed_job_speed(8, 0, 1), "at least 1, got 8 and 0"),
        (lambda: net.hashed_job_speed(8, 8, -1), "busiest must not be negative, got -1"),
        (lambda: next(net.ring_all_reduce_steps([np.ones(3)])), "at least 2 ranks' vectors, got 1"),
        (lambda: next(net.ring_all_reduce_steps([np.ones(3), np.ones(4)])), "one shape"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("function", "state"),
    [
        *[(f, {"message_bytes": 1e8, "ranks": 16, "bandwidth_b_per_s": 9e11, "latency_s": 1e-6}) for f in ALL_REDUCES],
        (net.ring_tree_crossover_bytes, {"ranks": 16, "bandwidth_b_per_s": 9e11, "latency_s": 1e-6}),
        (net.collision_probability, {"flows": 12, "paths": 32}),
        (
            lambda **plan: net.fabric(**plan).cost_usd + net.fabric(**plan).power_w,
            {"ports": 64, "tiers": 3, "rails": 8, "switch_w": 1000, "transceiver_w": 17, "switch_usd": 3e4,
             "transceiver_usd": 1e3, "cable_usd": 1e2, "copper_fraction": 0.5},
        ),
        (net.fabric_tiers, {"endpoints": 5000, "ports": 64}),
        (net.clos_switches, {"endpoints": 5000, "ports": 64, "tiers": 3}),
    ],
)  # fmt: skip
def test_explorer_functions_can_be_traced(function, state):
    graph = trace(lambda **arguments: {"result": function(**arguments)}, state)
    assert {node[1] for node in graph["nodes"] if node[0] == "i"} == set(state)
