"""Step costs from specifications: what arithmetic, memory traffic, communication and host each take.

A step of T tokens takes

    linear layers   sqrt(arithmetic^2 + weights^2): FLOPs over the reached rate, and weights read over the
                    reached bandwidth; the root lets the two overlap
    LM head         likewise apart: its weights once, its arithmetic for each sampled token
    attention       the larger of arithmetic and cache traffic for each cached token a decode reads;
                    arithmetic for each token pair of a prompt, plus the cache it reads
    small work      activations over the reached bandwidth
    communication   two all-reduces a layer under tensor parallelism
    overheads       a constant for each layer, for the step and for each sampled token

Overlap of arithmetic and weight traffic depends on T alone, so it is resolved when the table is built, and
both time columns hold the same value. Kernel timings of A100, H100, L40S and RTX PRO 6000
(aiconfigurator-core 0.12.0) pass from one bound to the other more gently than their maximum; exponents from
1.6 to 3 describe them, 2 is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, Unpack

import numpy as np

from edgesim.costs import llm as work
from edgesim.costs.fallback import EVERYTHING, fallback_of
from edgesim.costs.memory import UNLIMITED_BLOCKS, block_bytes, residence
from edgesim.costs.power import columns, power_of
from edgesim.costs.stated import Keys, Stated
from edgesim.costs.step import MIXED_FEATURES, PS, StepCost, check_range, up, work_unit
from edgesim.errors import SimulationError
from edgesim.units import format_bytes, format_gigabytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.catalog import Accelerator, Llm
    from edgesim.costs.fallback import Fallback
    from edgesim.costs.power import Power
    from edgesim.costs.spill import Spill

ACTIVATION_BYTES: Final = 2
"""Activations travel between accelerators in 16 bits."""

STREAM_CONTEXT: Final = 128
"""Tokens of context for which the unloaded rate of a reply is stated."""

IMBALANCE: Final = 1.2
"""Load of the busiest accelerator over the mean where experts lie whole: prompts of 2,048 tokens on two to eight
accelerators take 1.13 to 1.3 times as long under a power law as spread evenly (aiconfigurator-core 0.12.0)."""

ERROR_BAND: Final = {"fitted": 0.25, "unverified": 0.5}
"""Relative error to expect of the roofline: 0.2-0.3 on hardware that was not fitted, more for guesses."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What a scenario overrides of an accelerator's efficiencies and overheads."""

    compute_efficiency: float | None = None
    memory_efficiency: float | None = None
    attention_efficiency: float | None = None
    layer_overhead: float | None = None
    step_overhead: float | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """Rates that a replica really reaches, all its accelerators together [FLOP/s, B/s, s].

    `sharers` replicas divide the experts among them, and the busiest accelerator has `imbalance` times its share.
    The three `traffic` are bytes of memory traffic that a byte of weights, of KV cache and of activations counts for.
    """

    accelerator: Accelerator
    weights: str
    tensor_parallel: int
    linear: float
    attention: float
    weight_stream: float
    stream: float
    small_stream: float
    layer_overhead: float
    launch_overhead: float
    step_overhead: float
    sequence_overhead: float
    fallback: Fallback | None = None
    sharers: int = 1
    imbalance: float = 1.0
    weight_traffic: float = 1.0
    cache_traffic: float = 1.0
    small_traffic: float = 1.0


def machine(
    accelerator: Accelerator,
    weights: str,
    tensor_parallel: int,
    given: Efficiency,
    placed: Spill | None = None,
) -> Machine:
    """Work out what a replica reaches of its accelerators' peaks, with weights placed so; by default in memory."""
    full = weights in {"fp16", "bf16"}
    quantised = 1.0 if full else accelerator.quantised_efficiency
    growth = 1.0 + accelerator.parallel_overhead * math.log2(tensor_parallel)
    compute = _first(given.compute_efficiency, accelerator.compute_efficiency) * tensor_parallel
    memory = _first(given.memory_efficiency, accelerator.memory_efficiency) * tensor_parallel
    attention = _first(given.attention_efficiency, accelerator.attention_efficiency) * tensor_parallel
    rate = memory * accelerator.drawable_bandwidth
    reached = Machine(
        accelerator=accelerator,
        weights=weights,
        tensor_parallel=tensor_parallel,
        linear=compute * quantised * accelerator.peak(weights),
        # Attention runs in 16 bits whatever the weights are.
        attention=attention * accelerator.peak("fp16"),
        weight_stream=quantised * rate,
        stream=rate,
        small_stream=accelerator.activation_efficiency * rate,
        layer_overhead=_first(given.layer_overhead, accelerator.layer_overhead * growth),
        launch_overhead=accelerator.launch_overhead,
        step_overhead=_first(given.step_overhead, accelerator.step_overhead * growth),
        sequence_overhead=accelerator.step_overhead_per_sequence,
        fallback=fallback_of(accelerator),
    )
    return reached if placed is None else _spilled(reached, placed, memory, quantised)


def _spilled(speed: Machine, placed: Spill, memory: float, quantised: float) -> Machine:
    """Let weights stream from where they lie, and what the chip holds at the chip's rate."""
    accelerator = speed.accelerator
    chip, share = memory * accelerator.sram_bandwidth, 1.0
    storage = accelerator.storage_bandwidth
    if placed.in_storage and not storage:
        raise SimulationError(f"it is not known how fast {accelerator.name} reads its storage")
    speed = replace(speed, weight_stream=placed.rate(quantised * chip, quantised * speed.stream, storage))
    if accelerator.sram:
        share = accelerator.memory_bandwidth / accelerator.sram_bandwidth
        speed = replace(speed, small_stream=accelerator.activation_efficiency * chip, small_traffic=share)
    if placed.cache_on_chip:
        speed = replace(speed, stream=chip, cache_traffic=share)
    return replace(speed, weight_traffic=placed.traffic(share))


def ideal_machine(accelerator: Accelerator, weights: str, tensor_parallel: int, sharers: int = 1) -> Machine:
    """A replica that reaches all its peaks and adds no overhead: no step takes less."""
    everything = Efficiency(1.0, 1.0, 1.0, 0.0, 0.0)
    free = replace(
        accelerator, host=None, quantised_efficiency=1.0, activation_efficiency=1.0, launch_overhead=0.0
    )
    ideal = machine(free, weights, tensor_parallel, everything)
    return replace(ideal, sequence_overhead=0.0, sharers=sharers)


def _first(given: float | None, default: float) -> float:
    return default if given is None else given


def step_cost(
    accelerator: Accelerator,
    llm: Llm,
    *,
    pue: float = 1.0,
    host_power: float = 0.0,
    efficiency: Efficiency | None = None,
    **stated: Unpack[Keys],
) -> StepCost:
    """Build the step costs of a replica from specifications.

    Args:
        accelerator: What it runs on.
        llm: What it runs.
        pue: Power usage effectiveness of the place.
        host_power: The replica's share of what the host draws [W].
        efficiency: What overrides the accelerator's own figures.
        **stated: See `edgesim.costs.stated.Stated`.
    """
    given = Stated(**stated)
    weights, kv, tensor_parallel = given.weights or llm.weights, given.kv, given.tensor_parallel
    max_num_seqs, max_batched_tokens = given.max_num_seqs, given.max_batched_tokens
    placed = residence(accelerator, llm, **stated)
    speed = machine(accelerator, weights, tensor_parallel, efficiency or Efficiency(), placed)
    if given.expert_parallel > 1:
        speed = replace(speed, sharers=given.sharers, imbalance=IMBALANCE)
    power = power_of(accelerator, weights, tensor_parallel, pue, host_power)
    unit = work_unit(tensor_parallel * accelerator.peak(weights))
    # A decode step is a mixed step without prompts; so both tables come from the same rows.
    tokens = np.arange(max(max_num_seqs, max_batched_tokens) + 1.0)
    rows = _rows(speed, llm, kv, tokens)
    table = columns(up(rows[0] * PS), *rows[1:], power, unit, _host_rows(speed, llm, tokens))
    table[0] = 0
    coef = _coefficients(speed, llm, kv, power, unit)
    decode = (
        table[: max_num_seqs + 1]
        + np.arange(max_num_seqs + 1)[:, None] * coef[MIXED_FEATURES.index("sampled")]
    )
    block = block_bytes(llm, kv, given.block_size, tensor_parallel)
    cost = StepCost(
        decode_table=decode,
        decode_coef=coef[
            [MIXED_FEATURES.index(name) for name in ("decode_context", "window_decode_context")]
        ],
        mixed_table=table[: max_batched_tokens + 1],
        mixed_coef=coef,
        stream_rate=0,
        kv_block_bytes=block,
        kv_blocks=placed.kv_room // block if block else UNLIMITED_BLOCKS,
        swap_ps_per_block=math.ceil(block / (tensor_parallel * accelerator.host_link) * PS),
        base_mw=power.base_mw,
        idle_mw=power.idle_mw,
        cap_mw=int(power.cap_w * 1e3),
        calibration=_calibration(accelerator, efficiency),
        error_band=max(accelerator.prefill_band, accelerator.decode_band)
        or ERROR_BAND[accelerator.confidence],
        window=llm.window.size if llm.window else 0,
        encoder_only=llm.encoder_only,
        tokens_per_image=llm.vision.tokens_per_image if llm.vision else 0,
        work_unit=unit,
        peak_flops=tensor_parallel * accelerator.peak(weights),
        peak_bandwidth=tensor_parallel * accelerator.memory_bandwidth,
        weights_bytes=work.resident_bytes(llm, weights, given.sharers),
        notes=(*_notes(accelerator, llm, placed), *shared_notes(given.sharers)),
    )
    check_range(cost, given.context or llm.context)
    return with_stream_rate(cost)


def _notes(accelerator: Accelerator, llm: Llm, placed: Spill) -> tuple[str, ...]:
    """What a report should say about where the weights lie."""
    notes = []
    whole = format_gigabytes(placed.weights)
    if placed.on_chip and placed.on_chip < placed.weights:
        part = format_bytes(placed.on_chip)
        notes.append(f"{part} of {llm.name}'s {whole} of weights lie on the chip of {accelerator.name}")
    if placed.in_storage:
        part = format_gigabytes(placed.in_storage)
        notes.append(
            f"{accelerator.name} reads {part} of {llm.name}'s {whole} of weights from storage in each step"
        )
    return tuple(notes)


def shared_notes(sharers: int) -> tuple[str, ...]:
    """What a report should say about experts that replicas share."""
    if sharers == 1:
        return ()
    return (f"{sharers} replicas share the experts; each is priced as if the others had batches of its size",)


def _calibration(accelerator: Accelerator, given: Efficiency | None) -> str:
    """Whose efficiencies these are."""
    engine = f" under {accelerator.engine}" if accelerator.engine else ""
    setting = f" at {accelerator.setting}" if accelerator.setting else ""
    stated = [f.name for f in fields(Efficiency) if given and getattr(given, f.name) is not None]
    own = f"; {', '.join(stated)} overridden in the scenario" if stated else ""
    return f"roofline, {accelerator.name}{engine}{setting} ({accelerator.confidence} efficiencies{own})"


def with_stream_rate(cost: StepCost) -> StepCost:
    """Fill in the rate of an unloaded reply."""
    return replace(cost, stream_rate=max(1, 1000 * PS // cost.decode_ps(1, STREAM_CONTEXT)))


def flops_and_bytes(
    speed: Machine, llm: Llm, kv: str, most: int
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """FLOPs of steps of 0 to `most` tokens and of each feature of a step, and the bytes of the same."""
    _, flops, traffic = _rows(speed, llm, kv, np.arange(most + 1.0))
    _, each_flops, each_traffic = _feature_rows(speed, llm, kv)
    return (flops, each_flops), (traffic, each_traffic)


def steps(
    speed: Machine, llm: Llm, kv: str, tokens: NDArray[np.float64], features: NDArray[np.float64]
) -> Rows:
    """Times [s], FLOPs and bytes of single steps, for fits that try many machines.

    Args:
        speed: What runs them.
        llm: What is run.
        kv: Number format of the KV cache.
        tokens: Tokens of each step.
        features: MIXED_FEATURES of each step, a row a step.
    """
    whole, each = _rows(speed, llm, kv, tokens), _feature_rows(speed, llm, kv)
    return tuple(row + features @ unit for row, unit in zip(whole, each, strict=True))  # type: ignore[return-value]


Rows = tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.float64]"]
"""Times [s], FLOPs and bytes of many rows or features."""


def _rows(speed: Machine, llm: Llm, kv: str, tokens: NDArray[np.float64]) -> Rows:
    """Cost steps of so many tokens, without what their contexts and sampled tokens add."""
    flops, layers, head = _matrices(speed, llm, tokens)
    kept = speed.fallback.kept if speed.fallback else EVERYTHING
    flops, layers, head = kept.linear * flops, kept.linear * layers, kept.head * head
    written = work.kv_bytes_per_token(llm, kv) * work.kv_copies(llm, speed.tensor_parallel)
    activations, cache = work.activation_bytes(llm) * tokens, written * tokens
    arithmetic, streaming = flops / speed.linear, layers / speed.weight_stream
    seconds = np.sqrt(arithmetic * arithmetic + streaming * streaming)
    seconds += head / speed.weight_stream + activations / speed.small_stream + cache / speed.stream
    seconds += _all_reduce(speed, llm, tokens) + llm.layers * speed.layer_overhead
    # A host that launches kernels one by one is ahead of a busy device; whoever is slower decides, with a soft corner.
    seconds = np.cbrt(seconds**3 + (llm.layers * speed.launch_overhead) ** 3) + speed.step_overhead
    seconds += _host_rows(speed, llm, tokens)
    traffic = speed.weight_traffic * (layers + head)
    traffic += speed.small_traffic * activations + speed.cache_traffic * cache
    return seconds, flops, traffic


def _matrices(
    speed: Machine, llm: Llm, tokens: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """FLOPs of the layers' matrices in steps of so many tokens, bytes of their weights, bytes of the LM head's."""
    counted = work.shape(llm)
    flops = work.token_flops(llm, speed.accelerator.sparse_gain) * tokens
    if llm.moe:
        flops += (
            (speed.imbalance - 1) * 2 * llm.moe.per_token * counted.expert * counted.expert_layers * tokens
        )
    experts = speed.imbalance / speed.sharers * _expert_weights(llm, speed.sharers * tokens)
    layers = (counted.dense + experts) * work.layer_weight_bytes(llm, speed.weights)
    layers += work.adapter_bytes(llm)
    return flops, layers, counted.head * work.weight_bytes(speed.weights)


def _host_rows(speed: Machine, llm: Llm, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
    """Time of the host in the same steps [s]."""
    if speed.fallback is None:
        return np.zeros_like(tokens)
    return speed.fallback.step_seconds(llm, tokens, *_matrices(speed, llm, tokens))


def _expert_weights(llm: Llm, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count the parameters of the distinct experts that a step touches, all layers together.

    Each of E experts is chosen by a token with probability k/E, so T tokens touch E(1 - (1 - k/E)^T) on
    average.
    """
    moe = llm.moe
    if moe is None:
        return np.zeros_like(tokens)
    counted = work.shape(llm)
    distinct = moe.experts * (1.0 - np.power(1.0 - moe.per_token / moe.experts, tokens))
    return counted.expert * counted.expert_layers * distinct


def _all_reduce(speed: Machine, llm: Llm, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
    """Time of two all-reduces a layer [s].

    Where replicas share the experts, the second one of such a layer gives way to what takes the tokens of all of
    them to their experts and back: together an all-reduce among all accelerators.
    """
    exchanged = work.shape(llm).expert_layers if speed.sharers > 1 else 0
    seconds = (2 * llm.layers - exchanged) * _reduce(speed, llm, tokens, speed.tensor_parallel)
    everywhere = speed.sharers * speed.tensor_parallel
    return seconds + exchanged * _reduce(speed, llm, speed.sharers * tokens, everywhere)


def _reduce(speed: Machine, llm: Llm, tokens: NDArray[np.float64], ranks: int) -> NDArray[np.float64]:
    """Time of an all-reduce by message size [s]: a ring's traffic after a tree's latency."""
    message = tokens * (llm.hidden * ACTIVATION_BYTES)
    moved = 2.0 * (ranks - 1) / ranks * message / speed.accelerator.interconnect
    return speed.accelerator.interconnect_latency * math.log2(ranks) + moved


def _coefficients(speed: Machine, llm: Llm, kv: str, power: Power, unit: int) -> NDArray[np.int64]:
    """Cost one unit of each feature of a mixed step."""
    seconds, flops, traffic = _feature_rows(speed, llm, kv)
    return columns(up(seconds * PS), flops, traffic, power, unit, _host_features(speed, llm, kv))


def _host_features(speed: Machine, llm: Llm, kv: str) -> NDArray[np.float64]:
    """Time of the host for one unit of each feature of a mixed step [s]."""
    if speed.fallback is None:
        return np.zeros(len(MIXED_FEATURES))
    return speed.fallback.feature_seconds(llm, _cached(speed, llm, kv))


def _cached(speed: Machine, llm: Llm, kv: str) -> float:
    """Bytes of KV cache that one token takes in one layer, on all accelerators together."""
    return work.kv_bytes_per_token(llm, kv) * work.kv_copies(llm, speed.tensor_parallel) / llm.layers


def _feature_rows(speed: Machine, llm: Llm, kv: str) -> Rows:
    """Time, FLOPs and bytes of one unit of each feature of a mixed step."""
    kept = speed.fallback.kept if speed.fallback else EVERYTHING
    seconds, flops, traffic = [], [], []
    for layers in work.layers_by_reach(llm):
        decode = kept.attention * layers * work.decode_pair_flops(llm)
        pair = kept.attention * layers * work.prefill_pair_flops(llm)
        read = kept.attention * layers * _cached(speed, llm, kv)
        seconds += [
            max(decode / speed.attention, read / speed.stream),
            pair / speed.attention,
            read / speed.stream,
        ]
        flops += [decode, pair, 0]
        traffic += [speed.cache_traffic * read, 0.0, speed.cache_traffic * read]
    head = kept.head * work.head_flops(llm)
    seconds += [head / speed.linear + speed.sequence_overhead, image_seconds(speed, llm)]
    flops += [head, work.image_flops(llm)]
    traffic += [0.0, speed.weight_traffic * _image_bytes(speed, llm)]
    whole = np.array(seconds) + _host_features(speed, llm, kv)
    return whole, np.array(flops, dtype=np.float64), np.array(traffic, dtype=np.float64)


def _image_bytes(speed: Machine, llm: Llm) -> float:
    return llm.vision.params * work.weight_bytes(speed.weights) if llm.vision else 0.0


def image_seconds(speed: Machine, llm: Llm) -> float:
    """Time to encode one image; encoders run image by image here, as engines mostly do."""
    return max(work.image_flops(llm) / speed.linear, _image_bytes(speed, llm) / speed.weight_stream)
