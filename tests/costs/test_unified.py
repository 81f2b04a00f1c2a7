"""Memory that several units of a chip share: what one of them can draw of it, and what others leave."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgesim import catalog, costs
from edgesim.costs.frequency import at_frequency
from edgesim.costs.memory import available_bytes
from edgesim.costs.power import power_of
from edgesim.costs.step import PS

MAX = catalog.accelerator("apple-m3-max")
NANO = catalog.accelerator("jetson-orin-nano")
LLM = catalog.llm("llama-3.1-8b")


def test_a_unit_draws_no_more_than_its_ceiling():
    """Decode slows down by what the ceiling takes, prefill hardly; the memory and its joules a byte stay the same."""
    half = replace(MAX, bandwidth_ceiling=MAX.memory_bandwidth / 2)
    full, limited = (costs.step_cost(item, LLM) for item in (MAX, half))
    assert 1.9 < limited.decode_ps(1, 128) / full.decode_ps(1, 128) < 2
    assert limited.prefill_ps(2048) / full.prefill_ps(2048) < 1.05
    assert limited.peak_bandwidth == full.peak_bandwidth
    assert power_of(half, "fp16") == power_of(MAX, "fp16")
    step = limited.decode(1, 128)
    assert step.kib * 1024 / (step.ps / PS * limited.peak_bandwidth) < 0.5


def test_a_ceiling_above_the_memory_is_none():
    loose = replace(MAX, bandwidth_ceiling=2 * MAX.memory_bandwidth)
    assert costs.step_cost(loose, LLM).decode(3, 500) == costs.step_cost(MAX, LLM).decode(3, 500)
    assert catalog.accelerator_from(
        "cores", {"like": "apple-m3-max", "bandwidth_ceiling": "240 GB/s"}
    ).drawable_bandwidth == pytest.approx(240e9)


def test_clocks_move_the_ceiling():
    """Below the knee of the frequency memory slows down, and what can be drawn of it."""
    half = replace(MAX, bandwidth_ceiling=MAX.memory_bandwidth / 2)
    slow = at_frequency(half, 0.3)
    assert slow.drawable_bandwidth == pytest.approx(half.drawable_bandwidth / 2)


def test_a_board_leaves_what_was_measured():
    """Of an Orin Nano's 8 GB the system leaves 5.2 to an LLM (ericxliu.me); a node can say so."""
    node = replace(NANO, memory=NANO.memory, runtime_memory=0.9 * NANO.memory - 5.2e9)
    assert available_bytes(node) == pytest.approx(5.2e9, abs=1)
    assert costs.fit(node, LLM, weights="int4", max_num_seqs=1).fits
    assert not costs.fit(node, LLM, weights="int8", max_num_seqs=1).fits
