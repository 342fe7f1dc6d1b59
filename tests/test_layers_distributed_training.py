"""Layer 8 against published figures, closed forms and its own simulations."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistack.layers import distributed_training as dt
from aistack.trace import trace

H100 = dict(peak_flop_per_s=989e12, kernel_efficiency=0.5, near_b_per_s=450e9, far_b_per_s=50e9)
LLAMA = dict(parameters=405e9, layers=126, width=16384)


# Memory


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.88)])
def test_zero_figure_one_is_reproduced(stage, gigabytes):
    assert dt.model_state_bytes(7.5e9, 64, stage) / 1e9 == pytest.approx(gigabytes, rel=3e-3)


@given(st.floats(1, 1e13), st.integers(1, 100_000))
def test_state_bytes_fall_with_each_stage_and_not_below_an_even_share(parameters, ranks):
    bytes_ = [dt.model_state_bytes(parameters, ranks, stage) for stage in range(4)]
    assert bytes_ == sorted(bytes_, reverse=True)
    assert bytes_[0] == pytest.approx(16 * parameters)
    assert bytes_[3] * ranks == pytest.approx(bytes_[0])


def test_full_precision_and_mixed_precision_keep_the_same_state():
    assert dt.model_state_bytes(1.0, 1, 0, 4, 4, 8) == dt.model_state_bytes(1.0) == 16


def test_parameters_are_conserved_by_cutting():
    whole = dt.parameters_per_device(10e9, experts=90e9)
    assert whole == 100e9
    assert dt.parameters_per_device(10e9, 2, 4, 90e9, 8) * 8 == pytest.approx(10e9 + 90e9 / 8)


@pytest.mark.parametrize(
    ("width", "heads", "saved"),
    [(12288, 96, 0.70), (20480, 128, 0.65)],  # Korthikanti et al.: GPT-3 and MT-NLG
)
def test_selective_recomputation_spares_what_its_paper_says(width, heads, saved):
    whole, less = (dt.activation_bytes(2048, width, heads, 2048, recompute=r) for r in (0, 1))
    assert 1 - less / whole == pytest.approx(saved, abs=0.01)


def test_activation_bytes_match_the_paper_s_table():
    t, h, a, s = 2048, 12288, 96, 2048
    unit = t * h
    assert dt.activation_bytes(t, h, a, s) == pytest.approx(unit * (34 + 5 * a * s / h))
    assert dt.activation_bytes(t, h, a, s, 8) == pytest.approx(unit * (10 + 24 / 8 + 5 * a * s / h / 8))
    assert dt.activation_bytes(t, h, a, s, 8, 1) == pytest.approx(unit / 8 * (34 + 5 * a * s / h))
    assert dt.activation_bytes(t, h, a, s, 8, 1, 1) == pytest.approx(unit * 34 / 8)
    assert dt.activation_bytes(t, h, a, s, 1, 0, 2) == 2 * unit


# Communication


@given(st.floats(0, 1e15), st.integers(1, 10_000))
def test_all_reduce_is_a_scatter_and_a_gather(size, ranks):
    parts = dt.sent_bytes("reduce-scatter", size, ranks) + dt.sent_bytes("all-gather", size, ranks)
    assert dt.sent_bytes("all-reduce", size, ranks) == pytest.approx(parts)
    assert dt.sent_bytes("all-to-all", size, 1) == 0


def test_zero_three_sends_half_as_much_again():
    sent = [dt.zero_sent_bytes(7.5e9, 64, stage) for stage in range(4)]
    assert sent[0] == sent[1] == sent[2] == pytest.approx(dt.sent_bytes("all-reduce", 15e9, 64))
    assert sent[3] / sent[0] == pytest.approx(1.5)
    assert dt.zero_sent_bytes(7.5e9, 64, 3, micro_batches=4) / sent[0] == pytest.approx(4.5)


HLO = """
  %ar = (f32[], f32[128,64]{1,0}) all-reduce(%a, %b), channel_id=1, replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %ag = bf16[8,16]{1,0} all-gather(%c), channel_id=2, replica_groups=[1,4]<=[4], dimensions={0}
  %rs = f32[2,16]{1,0} reduce-scatter(%d), replica_groups={{0,1,2,3}}, dimensions={0}, to_apply=%add
  %rt = f32[2,16]{1,0} reduce-scatter(%d), replica_groups=[2,8]<=[16], dimensions={0}, to_apply=%add
  %as = (f32[2,4]{1,0}, f32[8,4]{1,0}) all-gather-start(%e), replica_groups={{0,1,2,3}}, dimensions={0}
  %ad = f32[8,4]{1,0} all-gather-done(%as)
  %gte = f32[128,64]{1,0} get-tuple-element(%ar), index=1
"""


def test_hlo_collectives_are_counted_with_their_whole_message():
    found = [(c.operation, c.message_bytes) for c in dt.hlo_collectives(HLO)]
    assert found == [
        ("all-reduce", 4 + 128 * 64 * 4),
        ("all-gather", 8 * 16 * 2),
        ("reduce-scatter", 4 * 2 * 16 * 4),
        ("reduce-scatter", 8 * 2 * 16 * 4),
        ("all-gather", 8 * 4 * 4),
    ]
    assert dt.hlo_collectives("nothing here") == []


@pytest.mark.parametrize(
    ("groups", "devices"),
    [
        ("{{0,1,2,3},{4,5,6,7}}", 4),
        ("[2,4]<=[8]", 4),
        ("mesh['gpu'=8] {'gpu'}", 8),
        ("mesh['a'=2,'b'=4] {'b'}", 4),
        ("mesh['a'=2,'b'=4] {'a','b'}", 8),
    ],
)
def test_hlo_reduce_scatter_counts_its_group_in_every_form(groups, devices):
    line = f"%r = f32[8,4]{{1,0}} reduce-scatter(%p), channel_id=1, replica_groups={groups}, dimensions={{0}}"
    assert dt.hlo_collectives(line) == [dt.Collective("reduce-scatter", 8 * 4 * 4 * devices)]
    for unknown in ("?", "mesh['a'=4] {'a':(1)2}"):  # the second names a part of an axis
        with pytest.raises(ValueError, match="no replica_groups that are known in"):
            dt.hlo_collectives(line.replace(groups, unknown))


# Pipelines


def test_bubble_of_8_stages_and_32_micro_batches_is_17_9_percent():
    assert dt.pipeline_bubble(8, 32) == pytest.approx(7 / 39)
    share = dt.pipeline_bubble(8, 32)
    assert share / (1 - share) == pytest.approx(
        0.219, abs=5e-4
    )  # idle over busy, as the Ultra-Scale Playbook prints it
    share = dt.pipeline_bubble(8, 32, 4)
    assert share / (1 - share) == pytest.approx(0.055, abs=5e-4)


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.floats(0.1, 3))
def test_schedules_idle_as_the_closed_form_says(stages, rounds, chunks, backward):
    m = stages * rounds
    for kind, v in (("gpipe", 1), ("1f1b", 1), ("interleaved", chunks)):
        slots = dt.pipeline_schedule(stages, m, kind, v, 1.0, backward)
        assert dt.schedule_bubble(slots) == pytest.approx(dt.pipeline_bubble(stages, m, v), abs=1e-9)


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 12), st.sampled_from(["gpipe", "1f1b"]))
def test_schedule_runs_everything_once_in_an_order_that_is_possible(stages, micro, kind):
    slots = dt.pipeline_schedule(stages, micro, kind)
    ends = {(s.backward, s.micro_batch, s.stage): s.end for s in slots}
    assert len(ends) == len(slots) == 2 * stages * micro
    for s in slots:
        if s.backward:
            before = (False, s.micro_batch, s.stage) if s.stage == stages - 1 else (True, s.micro_batch, s.stage + 1)
            assert ends[before] <= s.start
        elif s.stage:
            assert ends[False, s.micro_batch, s.stage - 1] <= s.start
    for stage in range(stages):
        row = [s for s in slots if s.stage == stage]
        assert all(a.end <= b.start for a, b in pairwise(row))


@pytest.mark.parametrize(("stages", "micro"), [(4, 8), (8, 32), (8, 4)])
def test_1f1b_holds_fewer_micro_batches_than_gpipe(stages, micro):
    assert dt.peak_in_flight(dt.pipeline_schedule(stages, micro, "gpipe")) == [micro] * stages
    held = dt.peak_in_flight(dt.pipeline_schedule(stages, micro))
    assert held == [min(stages - s, micro) for s in range(stages)]


def test_interleaving_holds_more_than_1f1b_and_less_than_gpipe():
    held = max(dt.peak_in_flight(dt.pipeline_schedule(4, 8, "interleaved", 2)))
    assert 4 < held < 8


# A step


def test_planner_gives_llama_3_its_measured_speed():
    """Kernels fitted once, to 8,192 GPUs (430 TFLOP/s); 16,384 then measured 400."""
    at = dict(tensor=8, pipeline=16, chunks=8, sequence=8192, **LLAMA, **{**H100, "kernel_efficiency": 0.53})
    speed = {n: 989 * float(dt.step_time(batch=2048, data=n, **at)["mfu"]) for n in (64, 128)}
    assert speed[64] == pytest.approx(430, rel=0.03)
    assert speed[128] == pytest.approx(400, rel=0.03)


def test_step_parts_add_up_and_bubble_is_the_closed_form():
    step = dt.step_time(**LLAMA, sequence=8192, batch=2048, tensor=8, pipeline=16, data=64, chunks=2, **H100)
    parts = sum(step[k] for k in ("compute", "tensor", "pipeline", "bubble", "data"))
    assert step["total"] == pytest.approx(parts)
    busy = step["compute"] + step["tensor"] + step["pipeline"]
    assert step["bubble"] / (busy + step["bubble"]) == pytest.approx(dt.pipeline_bubble(16, 32, 2))


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_mfu_never_exceeds_the_kernels(stage):
    for tensor, pipeline, data in [(1, 1, 1), (8, 1, 64), (16, 4, 8), (1, 16, 512)]:
        step = dt.step_time(
            **LLAMA, sequence=8192, batch=2048, tensor=tensor, pipeline=pipeline, data=data, stage=stage, **H100
        )
        assert 0 < step["mfu"] <= 0.5 * (1 + 1e-9)


def test_full_recomputation_costs_a_third_more_work():
    at = dict(sequence=8192, batch=64, tensor=1, pipeline=1, data=1, **LLAMA, **H100)
    assert dt.step_time(**at, recompute=2)["total"] / dt.step_time(**at)["total"] == pytest.approx(4 / 3)


def test_tensor_parallelism_over_the_network_is_slower():
    slow, fast = (
        dt.step_time(**LLAMA, sequence=8192, batch=64, tensor=t, pipeline=1, data=1, **H100)["mfu"] for t in (16, 8)
    )
    assert slow < fast / 2


def test_step_and_memory_trace():
    def model(tensor, data, stage):
        step = dt.step_time(
            **LLAMA, sequence=8192, batch=2048, tensor=tensor, pipeline=16, data=data, stage=stage, **H100
        )
        held = dt.parameters_per_device(405e9, tensor, 16)
        memory = dt.model_state_bytes(held, data, stage) + dt.activation_bytes(8192, 16384, 128, 8192, tensor, 1, 1)
        return {"mfu": step["mfu"], "memory": memory}

    assert trace(model, {"tensor": 8.0, "data": 64.0, "stage": 1.0})["nodes"]
    assert trace(lambda t, c: {"g": dt.checkpoint_goodput(t, c, 11e3, 600)}, {"t": 1800.0, "c": 30.0})["nodes"]


# A run


def test_llama_405b_ran_at_342_tflop_per_s():
    assert dt.model_flop_utilisation(3.8e25, 30.84e6, 1e12) == pytest.approx(342, abs=0.5)
    assert dt.training_flop_count(405e9, 15.6e12) == pytest.approx(3.8e25, rel=3e-3)


def test_hours_and_utilisation_are_inverse():
    hours = dt.gpu_hours(1e24, 312e12, 0.4, 0.9)
    assert dt.model_flop_utilisation(1e24, hours, 312e12) == pytest.approx(0.36)


# Failures


def test_failures_add_up():
    assert dt.job_mtbf(7.9 * 1024, 16_384) == pytest.approx(0.49, abs=0.01)
    assert dt.no_failure_probability(3.0, 3.0) == pytest.approx(np.exp(-1))
    assert dt.no_failure_probability(0, 1) == 1


def test_bloom_s_interval_is_1_93_hours():
    assert dt.young_daly_interval(40, 7 * 86400) / 3600 == pytest.approx(1.93, abs=0.005)


@given(st.floats(0.1, 1e4), st.floats(1e3, 1e7))
def test_exact_interval_is_the_best_and_young_s_root_its_limit(write, mtbf):
    best = dt.optimal_checkpoint_interval(write, mtbf)
    top = dt.checkpoint_goodput(best, write, mtbf)
    assert all(dt.checkpoint_goodput(best * f, write, mtbf) <= top * (1 + 1e-9) for f in (0.5, 0.9, 1.1, 2))
    if write < mtbf / 1e4:
        assert best == pytest.approx(dt.young_daly_interval(write, mtbf), rel=0.01)


@given(st.floats(1, 1e5), st.floats(0, 1e3), st.floats(1e3, 1e8), st.floats(0, 3600))
def test_goodput_is_a_share_and_below_its_failure_free_limit(interval, write, mtbf, restart):
    share = dt.checkpoint_goodput(interval, write, mtbf, restart)
    assert 0 <= share <= interval / (interval + write) * (1 + 1e-6)


def test_simulated_runs_have_the_expected_goodput():
    generator = np.random.default_rng(8)
    interval, write, mtbf, restart = 1800.0, 60.0, 3.1 * 3600, 600.0
    work = interval * 4000
    elapsed, failures = dt.simulate_run(work, interval, write, mtbf, restart, generator)
    assert work / elapsed == pytest.approx(dt.checkpoint_goodput(interval, write, mtbf, restart), rel=0.01)
    assert failures == pytest.approx(elapsed / mtbf, rel=0.06)


def test_simulated_run_without_failures_takes_its_work_and_its_writes():
    assert dt.simulate_run(100.0, 30.0, 1.0, 1e15, 5.0, np.random.default_rng(0)) == (104.0, 0)


# Errors


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: dt.model_state_bytes(1e9, 8, 4), "stage must be 0, 1, 2 or 3"),
        (lambda: dt.model_state_bytes(1e9, 0), "ranks must be 1 or more"),
        (lambda: dt.zero_sent_bytes(1e9, 8, -1), "stage must be"),
        (lambda: dt.activation_bytes(1, 1, 1, 1, recompute=3), "recompute must be"),
        (lambda: dt.sent_bytes("broadcast", 1, 2), "operation must be one of"),
        (lambda: dt.pipeline_bubble(0, 1), "stages must be 1 or more"),
        (lambda: dt.pipeline_schedule(2, 2, "zigzag"), "kind must be"),
        (lambda: dt.pipeline_schedule(4, 6, "interleaved", 2), "multiple of stages"),
        (lambda: dt.pipeline_schedule(4, 8, "1f1b", 2), "multiple of stages"),
        (lambda: dt.schedule_bubble([]), "at least one slot"),
        (lambda: dt.peak_in_flight([]), "at least one slot"),
        (lambda: dt.model_flop_utilisation(1, 0, 1), "device_hours must be positive"),
        (lambda: dt.checkpoint_goodput(0, 1, 1), "interval_s must be positive"),
        (lambda: dt.simulate_run(0, 1, 1, 1, 1, None), "work_s must be positive"),
        (lambda: dt.parameters_per_device(1, tensor=0), "tensor must be 1 or more"),
    ],
)
def test_impossible_arguments_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
