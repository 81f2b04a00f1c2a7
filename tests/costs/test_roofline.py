"""Step costs from specifications: never beyond the roofline, monotone, affine, and near published points."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim import catalog, costs
from edgesim.costs import llm as work
from edgesim.costs.roofline import Efficiency
from edgesim.costs.step import LARGEST, LONGEST_RUN, MIXED_FEATURES, PS

FORMATS = ("bf16", "fp8", "int8", "int4")


EACH = 6
"""LLMs that each accelerator is paired with."""


def _fitting():
    """For every accelerator some LLMs that fit on up to 8 of it, in the first format that does; in turns."""
    llms = list(catalog.llms().values())
    for turn, accelerator in enumerate(catalog.accelerators().values()):
        found, first = 0, 5 * turn % len(llms)
        for llm in llms[first:] + llms[:first]:
            for weights in FORMATS:
                parallel = next((p for p in (1, 2, 4, 8) if _fits(accelerator, llm, weights, p)), 0)
                if parallel:
                    yield accelerator.name, llm.name, weights, parallel
                    found += 1
                    break
            if found == EACH:
                break


def _fits(accelerator, llm, weights, parallel):
    if costs.weights_bytes(llm, weights) > parallel * accelerator.memory:
        return False
    return costs.fit(accelerator, llm, weights=weights, tensor_parallel=parallel).fits


@cache
def model(name):
    """An LLM, or one with variants: name:variant:adapter."""
    base, *changes = name.split(":")
    return catalog.varied(catalog.llm(base), *(catalog.variant(change, base) for change in changes))


def _varied():
    """Variants and adapters on accelerators with and without units for sparse products."""
    chosen = (
        "nvidia-a100-80gb-sxm",
        "nvidia-h100-sxm",
        "rtx-4090",
        "quadro-rtx-8000",
        "jetson-agx-orin",
        "apple-m2",
    )
    for base in ("llama-3.1-8b", "mixtral-8x7b", "deepseek-v2-lite", "gemma-2-2b", "mobilellm-125m"):
        reshaping = [one.called for one in catalog.variants(base) if one.reshapes]
        for change in (*reshaping, "pruned-2-4:lora-64", "tied-2:pruned-depth-25"):
            for accelerator in map(catalog.accelerator, chosen):
                if _fits(accelerator, model(f"{base}:{change}"), "int8", 2):
                    yield accelerator.name, f"{base}:{change}", "int8", 2


VARIED = list(_varied())
PAIRS = [*_fitting(), *VARIED]


@cache
def cost_of(accelerator, llm, weights="bf16", parallel=1, **options):
    return costs.step_cost(
        catalog.accelerator(accelerator),
        model(llm),
        weights=weights,
        tensor_parallel=parallel,
        **options,
    )


def test_most_of_the_catalogue_can_be_paired():
    """The invariants below run over hundreds of combinations, not a handful."""
    assert len(PAIRS) > 400
    assert {name for name, *_ in PAIRS} == set(catalog.names("accelerator"))
    assert {name for _, name, *_ in PAIRS if ":" not in name} == set(catalog.names("llm"))
    assert len(VARIED) > 150


@pytest.mark.parametrize(("accelerator", "llm", "weights", "parallel"), PAIRS)
def test_no_row_beats_the_roofline(accelerator, llm, weights, parallel):
    """In every row: MFU and MBU at most 1, energy between idle and cap, nothing shrinks with size."""
    cost = cost_of(accelerator, llm, weights, parallel, max_num_seqs=64, max_batched_tokens=512)
    item = catalog.accelerator(accelerator)
    for table in (cost.decode_table, cost.mixed_table):
        assert not table[0].any()
        rows = table[1:].astype(float)
        seconds = rows[:, :2].min(axis=1) / PS
        assert (rows[:, 0] >= 1).all()
        assert (rows[:, 6] * cost.work_unit <= seconds * cost.peak_flops).all()
        assert (rows[:, 7] * 1024 <= seconds * cost.peak_bandwidth).all()
        joules = np.minimum(rows[:, 2], rows[:, 4]) * 1e-9
        assert (joules >= cost.idle_mw * 1e-3 * seconds - 1e-9).all()
        assert (joules <= parallel * item.tdp_w * max(1.0, item.power_cap) * seconds + 1e-9).all()
        assert (np.diff(table, axis=0) >= 0).all()
    coef = cost.mixed_coef.astype(float)
    seconds = coef[:, 0] / PS
    assert (coef[:, 6] * cost.work_unit <= seconds * cost.peak_flops).all()
    assert (coef[:, 7] * 1024 <= seconds * cost.peak_bandwidth).all()
    assert (cost.mixed_coef >= 0).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    pair=st.sampled_from(PAIRS),
    sequences=st.integers(1, 32),
    context=st.integers(1, 4000),
    prompt=st.integers(1, 480),
    cached=st.integers(0, 3000),
)
def test_a_step_takes_at_least_its_flops_and_bytes(pair, sequences, context, prompt, cached):
    """Independent arithmetic on the architecture bounds every step from below; utilisation stays below 1."""
    accelerator, name, weights, parallel = pair
    cost, llm = (
        cost_of(accelerator, name, weights, parallel, max_num_seqs=64, max_batched_tokens=512),
        model(name),
    )
    gain = catalog.accelerator(accelerator).sparse_gain
    near = 0.1 if catalog.accelerator(accelerator).host else 0.02  # what falls back to the host is its work
    reach = min(llm.window.size, context) if llm.window else context
    local = llm.window.local_layers if llm.window else 0
    decode = cost.decode(sequences, sequences * context, sequences * reach)
    flops = sequences * (
        work.token_flops(llm, gain)
        + work.head_flops(llm)
        + ((llm.layers - local) * context + local * reach) * work.decode_pair_flops(llm)
    )
    kv_layer = work.kv_bytes_per_token(llm) / llm.layers * work.kv_copies(llm, parallel)
    shape = work.shape(llm)
    traffic = sequences * kv_layer * ((llm.layers - local) * context + local * reach)
    traffic += shape.dense * work.layer_weight_bytes(llm, weights) + shape.head * work.weight_bytes(weights)
    traffic += work.adapter_bytes(llm)
    assert decode.ps / PS >= flops / cost.peak_flops
    assert decode.ps / PS >= traffic / cost.peak_bandwidth
    assert decode.work * cost.work_unit == pytest.approx(flops, rel=near)
    assert (
        decode.kib * 1024 >= 0.98 * traffic or catalog.accelerator(accelerator).sram
    )  # what lies on the chip is not read from memory
    pairs, _ = cost.pairs(prompt, cached)
    wide, _ = cost.window_pairs(prompt, cached)
    prefill = cost.prefill(prompt, cached)
    compared = (llm.layers - local) * pairs + local * wide
    flops = (
        prompt * work.token_flops(llm, gain) + work.head_flops(llm) + compared * work.prefill_pair_flops(llm)
    )
    assert prefill.ps / PS >= flops / cost.peak_flops
    assert prefill.work * cost.work_unit == pytest.approx(flops, rel=near)
    for step in (decode, prefill):
        assert step.work * cost.work_unit <= step.ps / PS * cost.peak_flops
        assert step.kib * 1024 <= step.ps / PS * cost.peak_bandwidth
        assert step.nj * 1e-9 >= cost.idle_mw * 1e-3 * step.ps / PS - 1e-7


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    pair=st.sampled_from(PAIRS),
    sequences=st.integers(1, 63),
    context=st.integers(1, 100_000),
    more=st.integers(0, 9999),
)
def test_decode_is_exactly_affine_in_context(pair, sequences, context, more):
    """Each further token of context adds the same integer, in every column."""
    cost = cost_of(*pair, max_num_seqs=64, max_batched_tokens=512)
    base, one, many = (cost.decode(sequences, context + extra, context + extra) for extra in (0, 1, more))
    for column in (0, 2, 3):
        assert many[column] - base[column] == more * (one[column] - base[column])
    assert cost.decode(sequences + 1, context, context).ps >= base.ps
    rates = cost.decode_coef[:, 0]
    assert many.ps - base.ps == more * int(rates.sum())


def test_a_decode_step_is_a_mixed_step_without_prompts():
    """Both tables agree where they describe the same work."""
    cost = cost_of("nvidia-a100-80gb-sxm", "mistral-7b-v0.1")
    for sequences in (1, 7, 256):
        mixed = cost.mixed(sequences, decode_context=900, window_decode_context=500, sampled=sequences)
        assert mixed == cost.decode(sequences, 900, 500)


def test_chunks_of_a_prompt_add_up():
    """Pairs of chunks add up to those of the whole prompt, with and without a window."""
    cost = cost_of("nvidia-a100-80gb-sxm", "mistral-7b-v0.1")
    for count in (cost.pairs, cost.window_pairs):
        whole = count(9000)[0]
        assert sum(count(chunk, done)[0] for chunk, done in ((3000, 0), (2000, 3000), (4000, 5000))) == whole
    assert cost.window_pairs(9000)[0] == sum(min(i, 4096) for i in range(1, 9001))
    assert cost.window_pairs(100, 5000) == (100 * 4096, 4196)


def test_published_points():
    """Llama 3 8B on an A100, bf16: a lone decode step of 10-13 ms, 1000 prompt tokens in 75-100 ms."""
    cost = cost_of("nvidia-a100-80gb-sxm", "llama-3-8b")
    assert 10e-3 < cost.decode_ps(1, 512) / PS < 13e-3
    assert 75e-3 < cost.prefill_ps(1000) / PS < 100e-3
    assert cost.stream_rate / 1000 == pytest.approx(PS / cost.decode_ps(1, 128), rel=0.01)


@pytest.mark.parametrize(
    ("accelerator", "llm", "weights", "decode", "prefill"),
    [
        # XiongjieDai GPU-Benchmarks, llama.cpp, 2024-05: tokens/s at a 1024-token prompt, batch 1.
        ("rtx-4090", "llama-3-8b", "fp16", 54.34, 9056.26),
        ("rtx-3090", "llama-3-8b", "fp16", 46.51, 4239.64),
    ],
)
def test_measured_consumer_gpus(accelerator, llm, weights, decode, prefill):
    """Within the stated error band of measured engines."""
    cost = cost_of(accelerator, llm, weights)
    assert PS / cost.decode_ps(1, 1024) == pytest.approx(decode, rel=cost.error_band)
    assert 1024 * PS / cost.prefill_ps(1024) == pytest.approx(prefill, rel=cost.error_band)


def test_power_follows_utilisation():
    """An A100 decodes at the Splitwise fit 0.304 + 0.719 MBU of its 400 W, and prefills at its limit."""
    cost = cost_of("nvidia-a100-80gb-sxm", "llama-3-8b")
    step = cost.decode(1, 64)
    mbu = step.kib * 1024 / (step.ps / PS * cost.peak_bandwidth)
    assert step.nj * 1e-9 / (step.ps / PS) == pytest.approx(400 * (0.304 + 0.719 * mbu), rel=0.03)
    prompt = cost.prefill(2048)
    assert prompt.nj * 1e-9 / (prompt.ps / PS) == pytest.approx(400 * 1.05, rel=0.001)


def test_pue_and_host_power_count():
    """Twice the PUE is twice the energy; the host's watts last as long as the step."""
    plain = cost_of("nvidia-l4", "llama-3.2-3b")
    double = cost_of("nvidia-l4", "llama-3.2-3b", pue=2.0)
    hosted = cost_of("nvidia-l4", "llama-3.2-3b", host_power=100.0)
    assert double.idle_mw == 2 * plain.idle_mw == 32_000
    assert double.decode(4, 4000).nj == pytest.approx(2 * plain.decode(4, 4000).nj, rel=1e-6)
    step = hosted.decode(4, 4000)
    assert step.nj - plain.decode(4, 4000).nj == pytest.approx(100 * step.ps * 1e-3, rel=1e-6)
    assert hosted.idle_mw == 116_000


def test_tensor_parallelism_helps_less_and_less():
    """Eight ranks are faster than two, but overheads and all-reduces grow."""
    times = [cost_of("nvidia-a100-80gb-sxm", "llama-2-70b", "fp16", p).decode_ps(1, 512) for p in (2, 4, 8)]
    assert times[0] > times[1] > times[2] > times[0] / 4
    slow = cost_of("nvidia-l40s", "llama-2-70b", "fp16", 8)
    fast = cost_of("nvidia-a100-80gb-sxm", "llama-2-70b", "fp16", 8)
    assert slow.prefill_ps(2048) > 2 * fast.prefill_ps(2048)


def test_experts_are_read_as_they_are_touched():
    """A lone token of Mixtral reads 2 of 8 experts a layer, a large batch all of them."""
    cost, llm = cost_of("nvidia-h100-sxm", "mixtral-8x7b", "bf16", 2), catalog.llm("mixtral-8x7b")
    shape = work.shape(llm)
    experts = 2 * shape.expert * shape.expert_layers
    dense = 2 * (shape.dense + shape.head)
    assert int(cost.decode_table[1, 7]) * 1024 == pytest.approx(dense + 2 * experts, rel=0.001)
    two = 8 * (1 - 0.75**2)
    assert int(cost.decode_table[2, 7]) * 1024 == pytest.approx(dense + two * experts, rel=0.001)
    assert int(cost.decode_table[256, 7]) * 1024 == pytest.approx(dense + 8 * experts, rel=0.03)


def test_windows_bound_the_cost_of_context():
    """Beyond its window Mistral's decode gets no slower; Gemma's global layers still do."""
    mistral = cost_of("nvidia-a100-80gb-sxm", "mistral-7b-v0.1")
    assert mistral.decode_ps(1, 30_000) == mistral.decode_ps(1, 4096) > mistral.decode_ps(1, 1000)
    gemma = cost_of("nvidia-a100-80gb-sxm", "gemma-2-9b")
    slopes = [gemma.decode_ps(1, end) - gemma.decode_ps(1, end - 1000) for end in (4000, 8000)]
    assert slopes[1] == pytest.approx(slopes[0] / 2, rel=0.01)


def test_an_encoder_reads_all_pairs_and_caches_nothing():
    """BERT compares each token with all and needs no blocks."""
    cost = cost_of("nvidia-t4", "bert-base")
    assert cost.pairs(100) == (10_000, 100)
    assert cost.kv_block_bytes == 0
    assert int(cost.mixed_coef[MIXED_FEATURES.index("prefill_read"), 0]) == 0
    assert cost.prefill_ps(512) > cost.prefill_ps(128)


def test_images_take_their_time():
    """An image adds its encoder's work; image tokens are counted by whoever builds the prompt."""
    cost = cost_of("nvidia-a10g", "llava-1.5-7b")
    assert cost.tokens_per_image == 576
    added = cost.prefill(600, images=1).work - cost.prefill(600).work
    assert added * cost.work_unit == pytest.approx(work.image_flops(catalog.llm("llava-1.5-7b")), rel=0.001)
    assert cost.prefill(600, images=1).ps > cost.prefill(600).ps


def test_only_sampled_tokens_pay_the_lm_head():
    """A chunk that does not end its prompt is cheaper by one LM head."""
    cost, llm = cost_of("nvidia-l4", "llama-3.2-3b"), catalog.llm("llama-3.2-3b")
    unfinished, finished = cost.prefill(512, last=False), cost.prefill(512)
    added = finished.work - unfinished.work
    assert added * cost.work_unit == pytest.approx(work.head_flops(llm), rel=0.001)
    assert finished.ps > unfinished.ps


def test_quantisation_saves_traffic_at_a_price():
    """int4 decodes faster than fp16 but not four times, and int8 KV halves the price of context."""
    full, light = cost_of("nvidia-l4", "llama-3.2-3b", "fp16"), cost_of("nvidia-l4", "llama-3.2-3b", "int4")
    assert full.decode_ps(1, 100) / 4 < light.decode_ps(1, 100) < full.decode_ps(1, 100) / 1.8
    narrow = cost_of("nvidia-l4", "llama-3.2-3b", "fp16", kv="int8")
    assert int(narrow.decode_coef[0, 0]) == pytest.approx(int(full.decode_coef[0, 0]) / 2, abs=1)


def test_scenarios_override_efficiencies():
    """A stated efficiency or overhead replaces the catalogue's."""
    base = cost_of("nvidia-l4", "llama-3.2-3b")
    better = cost_of("nvidia-l4", "llama-3.2-3b", efficiency=Efficiency(step_overhead=0.0))
    step = catalog.accelerator("nvidia-l4").step_overhead
    assert base.decode_ps(1, 10) - better.decode_ps(1, 10) == pytest.approx(step * PS, abs=2)
    ideal = cost_of("nvidia-l4", "llama-3.2-3b", efficiency=Efficiency(compute_efficiency=1.0))
    assert ideal.prefill_ps(1000) < base.prefill_ps(1000)


def test_counters_cannot_overflow():
    """50 days at the peak rate of eight of the fastest accelerators stay below 2^62 counts of work."""
    cost = cost_of("nvidia-b200-sxm", "deepseek-v3", "fp8", 8)
    assert cost.peak_flops / cost.work_unit * LONGEST_RUN <= LARGEST
    assert cost.peak_flops / (cost.work_unit / 2) * LONGEST_RUN > LARGEST
    slow = cost_of("raspberry-pi-5", "bert-base", max_num_seqs=4, max_batched_tokens=8192)
    assert int(slow.mixed_table[-1].max()) < LARGEST


def test_tables_are_quick_to_build():
    """8192 tokens and 1024 sequences in well under 20 ms."""
    accelerator, llm = catalog.accelerator("nvidia-h100-sxm"), catalog.llm("mixtral-8x7b")
    best = 1.0
    for _ in range(5):
        start = time.process_time()
        costs.step_cost(accelerator, llm, tensor_parallel=2, max_num_seqs=1024, max_batched_tokens=8192)
        best = min(best, time.process_time() - start)
    assert best < 0.02
