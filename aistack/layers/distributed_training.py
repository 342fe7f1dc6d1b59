"""Layer 8: training one model on many accelerators.

What each way of splitting leaves in a GPU's memory and puts on its links, pipeline schedules that can be followed slot by
slot, the arithmetic of a run (FLOP, utilisation, hours, dollars), and failures with the checkpoints that answer them.

Sizes are bytes, times seconds, bandwidths bytes per second **in one direction**. A *device* is one accelerator.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from scipy.special import lambertw

from aistack.checks import at_least_one, at_least_zero, fraction, positive, positive_fraction, require

__all__ = [
    "Collective",
    "Slot",
    "activation_bytes",
    "checkpoint_goodput",
    "gpu_hours",
    "hlo_collectives",
    "job_mtbf",
    "model_flop_utilisation",
    "model_state_bytes",
    "no_failure_probability",
    "optimal_checkpoint_interval",
    "parameters_per_device",
    "peak_in_flight",
    "pipeline_bubble",
    "pipeline_schedule",
    "schedule_bubble",
    "sent_bytes",
    "simulate_run",
    "step_time",
    "training_flop_count",
    "young_daly_interval",
    "zero_sent_bytes",
]

# Memory


def parameters_per_device(dense, tensor=1, pipeline=1, experts=0, expert=1):
    """Return the parameters that one device holds when a model is split by tensor, pipeline and expert.

    Parameters
    ----------
    dense : number
        Parameters outside the experts.
    tensor, pipeline : number
        Ways in which every layer, and the stack of layers, is cut.
    experts : number
        Parameters inside the experts of a mixture.
    expert : number
        Ways in which the experts are dealt out.

    Returns
    -------
    number

    Notes
    -----
    An even cut: embeddings are spread like layers. Data parallelism cuts nothing; see :func:`model_state_bytes`.

    Examples
    --------
    Llama 3.1 405B on eight by sixteen devices.

    >>> round(parameters_per_device(405e9, tensor=8, pipeline=16) / 1e9, 2)
    3.16
    """
    at_least_zero(dense=dense, experts=experts)
    at_least_one(tensor=tensor, pipeline=pipeline, expert=expert)
    return (dense + experts / expert) / (tensor * pipeline)


def model_state_bytes(parameters, ranks=1, stage=0, weight_bytes=2, gradient_bytes=2, optimizer_bytes=12):
    """Return the bytes of weights, gradients and optimizer state on each of `ranks` data-parallel devices.

    Parameters
    ----------
    parameters : number
        Parameters that this group of devices shares.
    ranks : number
        Data-parallel devices N.
    stage : number
        ZeRO stage: 0 plain data parallelism, 1 optimizer state cut into N, 2 gradients too, 3 weights too (as FSDP does).
    weight_bytes, gradient_bytes, optimizer_bytes : number, B
        Bytes a parameter. The default is mixed precision with Adam: 2 + 2 + (4 master copy + 4 + 4 moments).

    Returns
    -------
    number, B

    Raises
    ------
    ValueError
        If a size is negative, `ranks` is below one or `stage` is not from 0 to 3.

    References
    ----------
    S. Rajbhandari, J. Rasley, O. Ruwase, Y. He, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models",
    arXiv:1910.02054, figure 1.

    Examples
    --------
    >>> [round(float(model_state_bytes(7.5e9, 64, stage)) / 1e9, 2) for stage in range(4)]
    [120.0, 31.41, 16.64, 1.88]
    """
    at_least_zero(
        parameters=parameters, weight_bytes=weight_bytes, gradient_bytes=gradient_bytes, optimizer_bytes=optimizer_bytes
    )
    at_least_one(ranks=ranks)
    require(np.logical_and(stage >= 0, stage <= 3), f"stage must be 0, 1, 2 or 3, not {stage!r}")
    optimizer = np.where(stage >= 1, optimizer_bytes / ranks, optimizer_bytes)
    gradient = np.where(stage >= 2, gradient_bytes / ranks, gradient_bytes)
    weight = np.where(stage >= 3, weight_bytes / ranks, weight_bytes)
    return parameters * (optimizer + gradient + weight)


def activation_bytes(tokens, width, heads, sequence, tensor=1, sequence_parallel=0, recompute=0):
    """Return the bytes of activations that one Transformer layer keeps on a device for the backward pass.

    Parameters
    ----------
    tokens : number
        Tokens of the micro-batch on this device: sequences times tokens in each.
    width : number
        Width of the model.
    heads : number
        Attention heads.
    sequence : number
        Tokens that attend to one another.
    tensor : number
        Ways of tensor parallelism.
    sequence_parallel : number
        1 if the parts that tensor parallelism repeats (norms, dropout) are cut along the sequence as well, else 0.
    recompute : number
        0 keep all; 1 *selective*: recompute the scores of attention; 2 *full*: keep the layer's input alone.

    Returns
    -------
    number, B

    Raises
    ------
    ValueError
        If a size is not positive or a switch is out of its range.

    Notes
    -----
    Counts 16-bit values and dropout masks of a GPT layer whose feed-forward part is four times as wide and ungated. Attention
    kernels that never store the scores (chapter 10) behave as `recompute` 1. Full recomputation keeps two bytes
    a token and unit of width, whole on every device unless cut along the sequence.

    References
    ----------
    V. Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models", arXiv:2205.05198, table 2.

    Examples
    --------
    Selective recomputation spares 70 % in GPT-3.

    >>> whole, less = (activation_bytes(2048, 12288, 96, 2048, recompute=r) for r in (0, 1))
    >>> round(float(1 - less / whole), 2)
    0.7
    """
    positive(tokens=tokens, width=width, heads=heads, sequence=sequence)
    at_least_one(tensor=tensor)
    fraction(sequence_parallel=sequence_parallel)
    require(np.logical_and(recompute >= 0, recompute <= 2), f"recompute must be 0, 1 or 2, not {recompute!r}")
    unit = tokens * width
    shared = np.where(sequence_parallel > 0, tensor, 1)
    scores = np.where(recompute >= 1, 0, 5 * heads * sequence / width)
    return unit * np.where(recompute >= 2, 2 / shared, 10 / shared + (24 + scores) / tensor)


# Communication

_SHARE = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1, "all-to-all": 1}


def sent_bytes(operation, message_bytes, ranks):
    """Return the bytes that each rank sends in a collective that wastes none.

    Parameters
    ----------
    operation : {"all-reduce", "all-gather", "reduce-scatter", "all-to-all"}
        What is done.
    message_bytes : number, B
        The whole vector: what is summed, what comes out of a gather, what goes into a scatter.
    ranks : number
        Participants N.

    Returns
    -------
    number, B
        (N - 1) / N of the message, twice that for an all-reduce, which is a reduce-scatter and an all-gather.

    Raises
    ------
    ValueError
        If the operation is unknown, the message negative or there is no rank.

    Examples
    --------
    >>> sent_bytes("all-reduce", 8.0, 8), sent_bytes("all-gather", 8.0, 8)
    (14.0, 7.0)
    """
    require(operation in _SHARE, f"operation must be one of {', '.join(_SHARE)}, not {operation!r}")
    at_least_zero(message_bytes=message_bytes)
    at_least_one(ranks=ranks)
    return _SHARE[operation] * (ranks - 1) / ranks * message_bytes


def zero_sent_bytes(parameters, ranks, stage=0, value_bytes=2, micro_batches=1):
    """Return the bytes each device sends in a step of data parallelism at a ZeRO stage.

    Parameters
    ----------
    parameters : number
        Parameters that this group of devices shares.
    ranks : number
        Data-parallel devices.
    stage : number
        ZeRO stage, 0 to 3.
    value_bytes : number, B
        Bytes of a weight or gradient on the wire.
    micro_batches : number
        Micro-batches a step. Up to stage 2 gradients are sent once, after the last; stage 3 gathers the weights twice in each.

    Returns
    -------
    number, B

    Notes
    -----
    Up to stage 1 an all-reduce, or the reduce-scatter and all-gather it is made of. Stage 2 sends the same if each gradient
    travels once. Stage 3: an all-gather for the forward pass, one for the backward, and a reduce-scatter, 1.5 times as much.

    References
    ----------
    Rajbhandari et al., arXiv:1910.02054, section 7.

    Examples
    --------
    >>> float(zero_sent_bytes(7.5e9, 64, 3) / zero_sent_bytes(7.5e9, 64, 0))
    1.5
    """
    positive(value_bytes=value_bytes)
    at_least_one(micro_batches=micro_batches)
    require(np.logical_and(stage >= 0, stage <= 3), f"stage must be 0, 1, 2 or 3, not {stage!r}")
    once = sent_bytes("all-gather", parameters * value_bytes, ranks)
    return once * np.where(stage >= 3, 2 * micro_batches + 1, 2)


@dataclass(frozen=True)
class Collective:
    """One collective operation of a compiled program: what it is, and its whole message in bytes."""

    operation: str
    message_bytes: int


_WIDTH = {"pred": 1, "s8": 1, "u8": 1, "f8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4, "u32": 4,
          "f64": 8, "s64": 8, "u64": 8}  # fmt: skip
_OPERATION = re.compile(r"= (\(.*?\)|\S+) (all-reduce|all-gather|reduce-scatter|all-to-all)(-start)?\(")
_ARRAY = re.compile(r"([a-z]+\d*)\w*\[([\d,]*)\]")
_GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\]|mesh\[(.*?)\] \{([^:}]*)\})")


def _group_size(line):
    """How many devices take part in an operation, by the ``replica_groups`` of its line: listed, counted, or axes of a mesh."""
    found = _GROUPS.search(line)
    if not found:
        raise ValueError(f"no replica_groups that are known in: {line.strip()[:200]}")
    listed, counted, mesh, axes = found.groups()
    if axes:
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'([^']+)'", axes))
    return len(listed.split(",")) if listed else int(counted)


def hlo_collectives(text):
    """Return the collectives in a compiled HLO module's text, in order.

    Parameters
    ----------
    text : str
        What ``jax.jit(f).lower(…).compile().as_text()`` gives.

    Returns
    -------
    list of Collective
        An operation that the compiler combined from several counts as one, with the sum of their bytes.

    Raises
    ------
    ValueError
        If a reduce-scatter does not say among how many devices, in a form known here.

    Examples
    --------
    >>> hlo_collectives("a = f32[4,8]{1,0} all-gather(b), replica_groups={{0,1}}, dimensions={0}")
    [Collective(operation='all-gather', message_bytes=128)]
    """
    found = []
    for line in text.splitlines():
        match = _OPERATION.search(line)
        if not match:
            continue
        result, operation, started = match.groups()
        sizes = [
            _WIDTH[kind] * int(np.prod([int(n) for n in shape.split(",") if n]))
            for kind, shape in _ARRAY.findall(result)
        ]
        if started and operation == "all-gather":  # (operands, results)
            sizes = sizes[len(sizes) // 2 :]
        size = sum(sizes)
        if operation == "reduce-scatter":  # the text shows what comes out
            size *= _group_size(line)
        found.append(Collective(operation, size))
    return found


# Pipelines


def pipeline_bubble(stages, micro_batches, chunks=1):
    """Return the idle share of a pipeline's time, (p - 1) / (v m + p - 1).

    Parameters
    ----------
    stages : number
        Stages p.
    micro_batches : number
        Micro-batches m in a step.
    chunks : number
        Chunks v of layers on each stage; 1 for GPipe and 1F1B, more when interleaved.

    Returns
    -------
    number, 0 to 1
        Idle time over *total* time. Papers often print (p - 1) / (v m), idle over *busy* time.

    Raises
    ------
    ValueError
        If an argument is below one.

    References
    ----------
    Y. Huang et al., "GPipe", arXiv:1811.06965. D. Narayanan et al., "Efficient Large-Scale Language Model Training on GPU
    Clusters Using Megatron-LM", arXiv:2104.04473, section 2.2.

    Examples
    --------
    >>> round(pipeline_bubble(8, 32), 3)
    0.179
    """
    at_least_one(stages=stages, micro_batches=micro_batches, chunks=chunks)
    return (stages - 1) / (chunks * micro_batches + stages - 1)


@dataclass(frozen=True)
class Slot:
    """One piece of work of a pipeline: forward or backward of one micro-batch through one chunk of layers."""

    stage: int
    chunk: int
    micro_batch: int
    backward: bool
    start: float
    end: float


def _order(stage, stages, micro_batches, chunks, kind):
    """Return what a stage does, in order: (backward, micro-batch, chunk)."""
    count = micro_batches * chunks

    def work(k, backward):
        group, inside = divmod(k, stages * chunks)
        chunk, position = divmod(inside, stages)
        if chunks == 1:
            return backward, k, 0
        return backward, group * stages + position, chunks - 1 - chunk if backward else chunk

    if kind == "gpipe":
        warm = count
    elif chunks == 1:
        warm = min(stages - stage - 1, count)
    else:
        warm = min(2 * (stages - stage - 1) + (chunks - 1) * stages, count)
    order = [work(k, False) for k in range(warm)]
    for k in range(count - warm):
        order += [work(warm + k, False), work(k, True)]
    return order + [work(k, True) for k in range(count - warm, count)]


def pipeline_schedule(stages, micro_batches, kind="1f1b", chunks=1, forward_s=1.0, backward_s=2.0):
    """Return when each stage does what, by running the schedule with its dependencies.

    Parameters
    ----------
    stages, micro_batches : int
        Stages p and micro-batches m.
    kind : {"gpipe", "1f1b", "interleaved"}
        *gpipe*: all forwards, then all backwards. *1f1b*: after a warm-up, one forward and one backward in turn.
        *interleaved*: 1f1b with `chunks` chunks of layers on every stage, dealt round robin.
    chunks : int
        Chunks v on each stage; above 1 for *interleaved* alone, and then m must be a multiple of p.
    forward_s, backward_s : number, s
        Time of a micro-batch through all of a stage's layers, forward and backward. Sending takes none.

    Returns
    -------
    list of Slot
        By stage, then in time.

    Raises
    ------
    ValueError
        If the kind is unknown or the numbers do not fit it.

    Notes
    -----
    A stage takes its work in the fixed order of its schedule and waits for what it needs: a forward for the same
    micro-batch in the chunk before, a backward for the one in the chunk after (the last for its own forward). Nothing
    of the closed form is built in.

    References
    ----------
    Narayanan et al., arXiv:2104.04473, figures 3 and 4.

    Examples
    --------
    >>> slots = pipeline_schedule(2, 2)
    >>> [(s.start, s.end) for s in slots if s.stage == 0]
    [(0.0, 1.0), (1.0, 2.0), (4.0, 6.0), (7.0, 9.0)]
    """
    at_least_one(stages=stages, micro_batches=micro_batches, chunks=chunks)
    positive(forward_s=forward_s, backward_s=backward_s)
    require(kind in ("gpipe", "1f1b", "interleaved"), f"kind must be gpipe, 1f1b or interleaved, not {kind!r}")
    require(
        chunks == 1 or (kind == "interleaved" and micro_batches % stages == 0),
        "several chunks need kind 'interleaved' and micro_batches that are a multiple of stages",
    )
    orders = [_order(s, stages, micro_batches, chunks, kind) for s in range(stages)]
    last = stages * chunks - 1
    done, free, at, slots = {}, [0.0] * stages, [0] * stages, [[] for _ in range(stages)]
    left = sum(map(len, orders))
    while left:
        before = left
        for stage, order in enumerate(orders):
            while at[stage] < len(order):
                backward, micro, chunk = order[at[stage]]
                place = chunk * stages + stage  # among all chunks of the model
                needs = []
                if backward:
                    needs = [(False, micro, place)] if place == last else [(True, micro, place + 1)]
                elif place:
                    needs = [(False, micro, place - 1)]
                if any(need not in done for need in needs):
                    break
                start = max([free[stage], *(done[need] for need in needs)])
                end = start + (backward_s if backward else forward_s) / chunks
                done[backward, micro, place] = free[stage] = end
                slots[stage].append(Slot(stage, chunk, micro, backward, start, end))
                at[stage] += 1
                left -= 1
        require(left < before, "the schedule waits for itself")
    return [slot for row in slots for slot in row]


def schedule_bubble(slots):
    """Return the idle share of a schedule: one less busy time over stages times the whole duration.

    Examples
    --------
    >>> round(schedule_bubble(pipeline_schedule(8, 32)), 3)
    0.179
    """
    require(len(slots) > 0, "a schedule needs at least one slot")
    busy = sum(slot.end - slot.start for slot in slots)
    stages = 1 + max(slot.stage for slot in slots)
    return 1 - busy / (stages * max(slot.end for slot in slots))


def peak_in_flight(slots):
    """Return, for each stage, the most micro-batches whose activations it holds at once, in whole stages' worth.

    Parameters
    ----------
    slots : list of Slot
        A schedule. A chunk's activations live from the start of its forward to the end of its backward.

    Returns
    -------
    list of float
        One a stage; with v chunks each counts 1 / v.

    Examples
    --------
    GPipe holds all; 1F1B no more than there are stages from here on.

    >>> peak_in_flight(pipeline_schedule(4, 8, "gpipe")), peak_in_flight(pipeline_schedule(4, 8))
    ([8.0, 8.0, 8.0, 8.0], [4.0, 3.0, 2.0, 1.0])
    """
    require(len(slots) > 0, "a schedule needs at least one slot")
    chunks = 1 + max(slot.chunk for slot in slots)
    peaks = []
    for stage in range(1 + max(slot.stage for slot in slots)):
        mine = [slot for slot in slots if slot.stage == stage]
        changes = sorted(
            [(slot.start, 1) for slot in mine if not slot.backward] + [(s.end, -1) for s in mine if s.backward]
        )
        peaks.append(float(max(np.cumsum([change for _, change in changes]))) / chunks)
    return peaks


# A step of a plan


def step_time(
    parameters, layers, width, sequence, batch, tensor, pipeline, data, *,
    chunks=1, stage=0, recompute=0, peak_flop_per_s, kernel_efficiency, near_b_per_s, far_b_per_s, near_devices=8,
):  # fmt: skip
    """Return the parts of one training step of a dense Transformer under tensor, pipeline and data parallelism.

    Parameters
    ----------
    parameters, layers, width, sequence : number
        The model, and the tokens of a sequence.
    batch : number
        Sequences in a step, over all devices. Every micro-batch is one sequence.
    tensor, pipeline, data : number
        Ways of each; their product is the number of devices.
    chunks : number
        Chunks of layers on each pipeline stage.
    stage : number
        ZeRO stage in the data dimension.
    recompute : number
        0 none, 1 selective, 2 full: a second forward pass, a third more work. What 1 costs, about a percent, is left out.
    peak_flop_per_s : number, FLOP/s
        Dense peak of one device in the precision that is used.
    kernel_efficiency : number, 0 to 1
        Share of the peak that a device's own kernels reach when nothing is waited for. Fitted or assumed.
    near_b_per_s, far_b_per_s : number, B/s
        One direction of a device's link inside the group of `near_devices`, and outside it.
    near_devices : number
        Devices that share the near links.

    Returns
    -------
    dict
        ``compute`` (with recomputation), ``tensor`` and ``pipeline`` (waiting for their messages, over the step), ``bubble``, ``data``
        (gradients and weights not hidden behind computation), ``total``, all in seconds; ``micro_batches`` and ``mfu``.

    Notes
    -----
    Tensor parallelism sums ``sequence x width`` values of 2 bytes four times a layer and micro-batch, and hides none of it.
    Tensor parallelism wider than the near group runs on the far links. Gradients are hidden behind the backward pass
    of the last micro-batch, stage 3's weights behind each micro-batch's whole computation. No latency, no stragglers,
    no optimizer step. Fewer sequences than data ranks count as one each.

    References
    ----------
    M. Shoeybi et al., "Megatron-LM", arXiv:1909.08053 (two all-reduces a pass and layer); Narayanan et al., arXiv:2104.04473.

    Examples
    --------
    Nothing to wait for: the kernels' efficiency is the utilisation.

    >>> one = step_time(1e9, 24, 2048, 2048, 8, 1, 1, 1, peak_flop_per_s=989e12, kernel_efficiency=0.5,
    ...                 near_b_per_s=450e9, far_b_per_s=50e9)
    >>> round(float(one["mfu"]), 3)
    0.5
    """
    positive(parameters=parameters, layers=layers, width=width, sequence=sequence, batch=batch)
    positive(peak_flop_per_s=peak_flop_per_s, near_b_per_s=near_b_per_s, far_b_per_s=far_b_per_s)
    positive_fraction(kernel_efficiency=kernel_efficiency)
    at_least_one(tensor=tensor, pipeline=pipeline, data=data, chunks=chunks)
    devices = tensor * pipeline * data
    micro = np.maximum(batch / data, 1)
    model = training_flop_count(parameters, micro * data * sequence)
    work = model * np.where(recompute >= 2, 4 / 3, 1.0)
    compute = work / (devices * peak_flop_per_s * kernel_efficiency)
    message = 2 * sequence * width
    link = np.where(tensor > near_devices, far_b_per_s, near_b_per_s)
    times = np.where(recompute >= 2, 6, 4)  # a second forward pass sums again
    tensor_s = micro * layers / pipeline * times * 2 * (tensor - 1) / tensor * message / link
    pipeline_s = np.where(pipeline > 1, micro * chunks * 2 * message / tensor / far_b_per_s, 0.0)
    bubble = (compute + tensor_s + pipeline_s) * (pipeline - 1) / (chunks * micro)
    held = parameters / (tensor * pipeline)
    far = np.where(tensor * data > near_devices, far_b_per_s, near_b_per_s)
    gradient_s = zero_sent_bytes(held, data, np.minimum(stage, 2)) / far
    weights_s = np.where(stage >= 3, zero_sent_bytes(held, data, 3, micro_batches=micro) / far, 0.0)
    exposed = np.where(
        stage >= 3, np.maximum(weights_s - compute, 0.0), np.maximum(gradient_s - compute / micro * 2 / 3, 0.0)
    )
    total = compute + tensor_s + pipeline_s + bubble + exposed
    return {
        "compute": compute,
        "tensor": tensor_s,
        "pipeline": pipeline_s,
        "bubble": bubble,
        "data": exposed,
        "total": total,
        "micro_batches": micro,
        "mfu": model / (devices * peak_flop_per_s * total),
    }


# A run


def training_flop_count(parameters, tokens):
    """Return the FLOP of training, 6 N D: two for the forward pass and four for the backward, a parameter and token.

    Parameters
    ----------
    parameters : number
        Parameters N that each token uses; the active ones of a mixture.
    tokens : number
        Tokens D seen, repeats counted.

    Returns
    -------
    number, FLOP
        Without attention's pairs, and without recomputation.

    References
    ----------
    J. Kaplan et al., "Scaling Laws for Neural Language Models", arXiv:2001.08361, section 2.1.

    Examples
    --------
    >>> f"{training_flop_count(405e9, 15.6e12):.2e}"
    '3.79e+25'
    """
    at_least_zero(parameters=parameters, tokens=tokens)
    return 6 * parameters * tokens


def model_flop_utilisation(flop_count, device_hours, peak_flop_per_s):
    """Return the model's FLOP over what the devices could have done in their hours at peak (MFU).

    Parameters
    ----------
    flop_count : number, FLOP
        FLOP that the model needs, without recomputation; with it the result is the hardware utilisation (HFU).
    device_hours : number, h
        Devices times hours.
    peak_flop_per_s : number, FLOP/s
        Dense peak of one device in the precision used; say which.

    Returns
    -------
    number

    References
    ----------
    A. Chowdhery et al., "PaLM", arXiv:2204.02311, appendix B.

    Examples
    --------
    Llama 3.1 405B: 342 TFLOP/s of 989.

    >>> round(model_flop_utilisation(3.8e25, 30.84e6, 989e12), 3)
    0.346
    """
    at_least_zero(flop_count=flop_count)
    positive(device_hours=device_hours, peak_flop_per_s=peak_flop_per_s)
    return flop_count / (device_hours * 3600) / peak_flop_per_s


def gpu_hours(flop_count, peak_flop_per_s, utilisation, goodput=1.0):
    """Return the device-hours that a run takes.

    Parameters
    ----------
    flop_count : number, FLOP
        FLOP that the model needs.
    peak_flop_per_s : number, FLOP/s
        Dense peak of one device.
    utilisation : number, above 0 to 1
        MFU while it runs.
    goodput : number, above 0 to 1
        Share of the time in which it makes progress that is kept.

    Returns
    -------
    number, h

    Examples
    --------
    >>> round(gpu_hours(3.8e25, 989e12, 0.41) / 1e6, 1)
    26.0
    """
    at_least_zero(flop_count=flop_count)
    positive(peak_flop_per_s=peak_flop_per_s)
    positive_fraction(utilisation=utilisation, goodput=goodput)
    return flop_count / (peak_flop_per_s * utilisation * goodput) / 3600


# Failures


def job_mtbf(device_mtbf, devices):
    """Return the mean time between failures of a job that any one device stops.

    Parameters
    ----------
    device_mtbf : number
        Mean time between the failures that one device, with its share of host and network, brings upon a job.
    devices : number
        Devices of the job.

    Returns
    -------
    number
        In the unit of `device_mtbf`: independent failures at a constant rate add up.

    Examples
    --------
    >>> round(job_mtbf(50_700, 16_384), 2)
    3.09
    """
    positive(device_mtbf=device_mtbf)
    at_least_one(devices=devices)
    return device_mtbf / devices


def no_failure_probability(duration, mtbf):
    """Return the chance that nothing fails for `duration`, both in one unit: exp(-duration / mtbf)."""
    at_least_zero(duration=duration)
    positive(mtbf=mtbf)
    return np.exp(-duration / mtbf)


def young_daly_interval(write_s, mtbf_s):
    """Return the classic interval between checkpoints, sqrt(2 C M).

    Parameters
    ----------
    write_s : number, s
        Time C for which training stands still while a checkpoint is written.
    mtbf_s : number, s
        Mean time M between failures of the whole job.

    Returns
    -------
    number, s
        Work between two checkpoints that wastes least, if C is much smaller than M.

    References
    ----------
    J. W. Young, "A first order approximation to the optimum checkpoint interval", Communications of the ACM 17 (1974) 530-531.

    Examples
    --------
    BLOOM: 40 seconds to write, a failure a week.

    >>> round(float(young_daly_interval(40, 7 * 86400)) / 3600, 2)
    1.93
    """
    at_least_zero(write_s=write_s)
    positive(mtbf_s=mtbf_s)
    return np.sqrt(2 * write_s * mtbf_s)


def checkpoint_goodput(interval_s, write_s, mtbf_s, restart_s=0.0):
    """Return the expected share of time that becomes kept progress.

    Parameters
    ----------
    interval_s : number, s
        Work between two checkpoints.
    write_s : number, s
        Standstill for each.
    mtbf_s : number, s
        Mean time between failures, which come at a constant rate, also during writing and restarting.
    restart_s : number, s
        From a failure until training runs again.

    Returns
    -------
    number, 0 to 1

    References
    ----------
    J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", Future Generation Computer
    Systems 22 (2006) 303-312, the complete expectation.

    Examples
    --------
    >>> round(float(checkpoint_goodput(1800, 30, 3.1 * 3600, 600)), 3)
    0.858
    """
    positive(interval_s=interval_s, mtbf_s=mtbf_s)
    at_least_zero(write_s=write_s, restart_s=restart_s)
    return interval_s / (mtbf_s * np.exp(restart_s / mtbf_s) * np.expm1((interval_s + write_s) / mtbf_s))


def optimal_checkpoint_interval(write_s, mtbf_s):
    """Return the interval at which :func:`checkpoint_goodput` is largest, by Lambert's W; the restart does not matter.

    Examples
    --------
    Close to Young's root while writing is short, well below it when it is not.

    >>> optimal, root = optimal_checkpoint_interval(600, 3600), young_daly_interval(600, 3600)
    >>> round(float(optimal)), round(float(root))
    (1699, 2078)
    """
    positive(write_s=write_s, mtbf_s=mtbf_s)
    return mtbf_s * (1 + np.real(lambertw(-np.exp(-write_s / mtbf_s - 1))))


def simulate_run(work_s, interval_s, write_s, mtbf_s, restart_s, generator):
    """Return how long a run took that failures, drawn at random, threw back to its last checkpoint.

    Parameters
    ----------
    work_s : number, s
        Work to be done.
    interval_s, write_s, mtbf_s, restart_s : number, s
        As in :func:`checkpoint_goodput`; the last stretch may be shorter than an interval.
    generator : numpy.random.Generator
        Where the failures come from.

    Returns
    -------
    (float, int)
        Elapsed seconds, and the number of failures.

    Examples
    --------
    >>> simulate_run(100, 50, 1, 1e12, 9, np.random.default_rng(0))
    (102.0, 0)
    """
    positive(work_s=work_s, interval_s=interval_s, mtbf_s=mtbf_s)
    at_least_zero(write_s=write_s, restart_s=restart_s)
    now, kept, failures = 0.0, 0.0, 0
    fails_at = generator.exponential(mtbf_s)
    while kept < work_s:
        stretch = min(interval_s, work_s - kept)
        if now + stretch + write_s <= fails_at:
            now += stretch + write_s
            kept += stretch
            continue
        while True:  # failures may strike the restart too
            failures += 1
            now = fails_at + restart_s
            fails_at += generator.exponential(mtbf_s)
            if fails_at >= now:
                break
    return now, failures
