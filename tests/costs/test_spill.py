"""Weights that do not fit the fastest memory: where they lie, how fast they stream, and the cliffs in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim import catalog, costs
from edgesim.costs import llm as work
from edgesim.costs.memory import residence, working_bytes
from edgesim.costs.step import PS
from edgesim.errors import SimulationError

PHONE = catalog.accelerator("snapdragon-8-gen3")
CORAL = catalog.accelerator("coral-edge-tpu")
GROQ = catalog.accelerator("groq-lpu")
LLAMA = catalog.llm("llama-3.1-8b")
ALONE = {"max_num_seqs": 1, "max_batched_tokens": 256}


def tiny(layers):
    """A transformer of about 0.8 MB a layer in int8."""
    return catalog.llm_from(
        "tiny",
        {"layers": layers, "hidden": 256, "heads": 4, "kv_heads": 1, "head_dim": 64, "ffn": 1024, "vocab": 512,
         "params": 1e6 * layers, "context": 128, "tied_embeddings": True, "gated": False},
    )  # fmt: skip


def decode_s(accelerator, llm, **options):
    """Time of a lone decode step [s]."""
    return costs.step_cost(accelerator, llm, **(ALONE | options)).decode_ps(1, 64) / PS


def test_what_fits_on_the_chip_runs_at_its_rate_and_the_rest_at_the_links():
    """The cliff of an Edge TPU: beyond 8 MB each further layer takes a hundred times as long as before."""
    free = replace(CORAL, unsupported={})
    times = [decode_s(free, tiny(layers), weights="int8", max_batched_tokens=8) for layers in range(6, 17)]
    slopes = np.diff(times)
    layer = work.weights_bytes(tiny(7), "int8") - work.weights_bytes(tiny(6), "int8")
    eff = CORAL.memory_efficiency * CORAL.quantised_efficiency
    above = layer / (eff * CORAL.sram_bandwidth) + CORAL.layer_overhead
    below = layer / (eff * CORAL.memory_bandwidth) + CORAL.layer_overhead
    assert slopes[0] == pytest.approx(above, rel=0.15)
    assert slopes[-1] == pytest.approx(below, rel=0.03)
    assert below > 30 * above


def test_an_llm_over_usb_takes_seconds_a_token():
    """Half a gigabyte over USB 3 at 300 MB/s: what the Coral's 8 MB mean for an LLM."""
    llm = catalog.llm("qwen2.5-0.5b")
    assert costs.fit(CORAL, llm, weights="int8", **ALONE).fits
    cost = costs.step_cost(CORAL, llm, weights="int8", **ALONE)
    assert cost.decode_ps(1, 64) / PS > (work.weights_bytes(llm, "int8") - 8e6) / 0.3e9 * 0.7
    (note,) = cost.notes
    assert note == "8 MB of qwen2.5-0.5b's 0.5 GB of weights lie on the chip of coral-edge-tpu"


def test_a_replica_that_fits_on_its_chips_keeps_its_cache_there():
    """Sixteen cards hold a small LLM and its cache; one card streams a large one from the host."""
    llm = catalog.llm("qwen2.5-0.5b")
    options = {"weights": "int8", "tensor_parallel": 16}
    placed = residence(GROQ, llm, **options, **ALONE)
    assert placed.cache_on_chip
    assert placed.in_memory == placed.in_storage == 0
    working = working_bytes(llm, 256, 1)
    assert placed.kv_room == int(16 * 0.23e9) - work.weights_bytes(llm, "int8") - working
    cost = costs.step_cost(GROQ, llm, **options, **ALONE)
    assert cost.kv_blocks == placed.kv_room // cost.kv_block_bytes
    assert cost.notes == ()
    streamed = costs.step_cost(GROQ, LLAMA, weights="int8", **ALONE)
    rest = work.weights_bytes(LLAMA, "int8") - 0.23e9
    eff = GROQ.memory_efficiency * GROQ.quantised_efficiency
    # Embeddings are stored, but not read.
    read = 1 - work.shape(LLAMA).embedding / work.shape(LLAMA).stored
    assert streamed.decode_ps(1, 64) / PS == pytest.approx(read * rest / (eff * 25e9), rel=0.03)
    assert streamed.decode_ps(1, 64) > 100 * cost.decode_ps(1, 64)


def test_weights_beyond_memory_are_refused_and_paging_is_offered_last():
    """16 GB of weights on a 12 GB phone: the message names paging, after everything that is better."""
    result = costs.fit(PHONE, LLAMA, **ALONE)
    assert not result.fits
    assert result.suggestion.startswith("weights: int4 (4.3 GB) or tensor_parallel: 4")
    assert result.suggestion.endswith("or paging: true (the rest is then read from storage in each step)")
    assert costs.fit(PHONE, LLAMA, paging=True, **ALONE).fits
    assert "paging" not in costs.fit(replace(PHONE, storage_bandwidth=0.0), LLAMA, **ALONE).suggestion


def test_paged_weights_are_read_at_the_rate_of_storage():
    """What exceeds memory comes from storage in every step; memory keeps room for a sequence."""
    placed = residence(PHONE, LLAMA, paging=True, **ALONE)
    usable = int(PHONE.memory * 0.9 - PHONE.runtime_memory)
    assert placed.in_memory + placed.kv_least + working_bytes(LLAMA, 256, 1) == usable
    assert placed.in_memory + placed.in_storage == work.weights_bytes(LLAMA)
    cost = costs.step_cost(PHONE, LLAMA, paging=True, **ALONE)
    assert cost.kv_blocks * cost.kv_block_bytes == placed.kv_least
    read = 1 - work.shape(LLAMA).embedding / work.shape(LLAMA).stored
    memory_s = placed.in_memory / (PHONE.memory_efficiency * PHONE.memory_bandwidth)
    expected = read * (placed.in_storage / PHONE.storage_bandwidth + memory_s)
    assert cost.decode_ps(1, 64) / PS == pytest.approx(expected, rel=0.02)
    assert cost.notes == (
        "snapdragon-8-gen3 reads 8.6 GB of llama-3.1-8b's 16.1 GB of weights from storage in each step",
    )
    faster = replace(PHONE, storage_bandwidth=4e9)
    assert decode_s(faster, LLAMA, paging=True) < 0.6 * decode_s(PHONE, LLAMA, paging=True)


def test_the_paging_cliff():
    """Time grows without a jump as memory shrinks, by what storage is slower than memory for each byte."""
    sizes = np.arange(12e9, 26e9, 1e9)
    times = np.array([decode_s(replace(PHONE, memory=size), LLAMA, paging=True) for size in sizes])
    lost = 0.9e9 * (1 - work.shape(LLAMA).embedding / work.shape(LLAMA).stored)
    per_gigabyte = lost * (
        1 / PHONE.storage_bandwidth - 1 / (PHONE.memory_efficiency * PHONE.memory_bandwidth)
    )
    steps = -np.diff(times)
    assert steps[0] == pytest.approx(per_gigabyte, rel=0.01)
    assert steps[-1] == 0
    assert ((steps <= per_gigabyte * 1.01) & (steps >= 0)).all()


def test_paging_that_is_not_needed_changes_nothing():
    """Weights that fit are priced as ever, to the bit, and have all of memory's rest for their cache."""
    one, other = (
        costs.step_cost(PHONE, LLAMA, weights="int4", paging=paging, **ALONE) for paging in (False, True)
    )
    assert np.array_equal(one.mixed_table, other.mixed_table)
    assert np.array_equal(one.decode_table, other.decode_table)
    assert (one.kv_blocks, one.notes) == (other.kv_blocks, other.notes)


def test_the_cache_that_is_asked_for_comes_first():
    """`kv_tokens` are kept free in memory, and for several sequences some for each, up to half of it."""
    stated = residence(PHONE, LLAMA, paging=True, kv_tokens=8192, **ALONE)
    assert stated.kv_room == 8192 * work.kv_bytes_per_token(LLAMA)
    many = residence(PHONE, LLAMA, paging=True, max_num_seqs=1000, max_batched_tokens=1000)
    free = int(PHONE.memory * 0.9 - PHONE.runtime_memory) - working_bytes(LLAMA, 1000, 1000)
    assert many.kv_room == free - free // 2 or many.kv_room == free // 2


def test_storage_of_unknown_rate_pages_nothing():
    with pytest.raises(SimulationError, match="not known how fast nvidia-l4 reads its storage"):
        costs.step_cost(catalog.accelerator("nvidia-l4"), catalog.llm("llama-3.1-70b"), paging=True)


@given(
    sram=st.sampled_from([0.0, 1e8, 1e9, 1e10, 1e12]),
    memory=st.floats(5e9, 4e10),
    storage=st.floats(1e8, 1e12),
    parallel=st.sampled_from([1, 2, 4]),
    weights=st.sampled_from(["fp16", "int4"]),
)
@settings(max_examples=40, deadline=None)
def test_no_place_beats_the_peaks(sram, memory, storage, parallel, weights):
    """Wherever weights lie: every byte lies somewhere once, memory holds what it is given, utilisation is at most 1."""
    device = replace(PHONE, sram=sram, sram_bandwidth=1e13, memory=memory, storage_bandwidth=storage)
    options = {"weights": weights, "tensor_parallel": parallel, "paging": True, **ALONE}
    placed = residence(device, LLAMA, **options)
    assert placed.weights == work.weights_bytes(LLAMA, weights)
    assert min(placed.on_chip, placed.in_memory, placed.in_storage) >= 0
    usable = parallel * (0.9 * memory - device.runtime_memory)
    if not placed.cache_on_chip and placed.fits:
        assert placed.in_memory + placed.kv_room + working_bytes(LLAMA, 256, 1) <= usable + 1
    assert placed.on_chip <= parallel * sram
    cost = costs.step_cost(device, LLAMA, **options)
    for table in (cost.decode_table, cost.mixed_table):
        rows = table[1:].astype(float)
        seconds = rows[:, 0] / PS
        assert (rows[:, 6] * cost.work_unit <= seconds * cost.peak_flops).all()
        assert (rows[:, 7] * 1024 <= seconds * cost.peak_bandwidth).all()
        assert (np.diff(table, axis=0) >= 0).all()
    coef = cost.mixed_coef.astype(float)
    assert (coef[:, 7] * 1024 <= coef[:, 0] / PS * cost.peak_bandwidth).all()
