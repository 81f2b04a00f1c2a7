"""Stated coefficients are met to the picosecond."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgesim import catalog, costs
from edgesim.costs.memory import UNLIMITED_BLOCKS
from edgesim.costs.step import PS
from edgesim.errors import ScenarioError

LLM = catalog.llm("llama-3-8b")
A100 = catalog.accelerator("nvidia-a100-80gb-sxm")
MS = PS // 1000


def test_a_constant_decode_step_ignores_the_batch():
    """10 ms whatever the batch and context, and a prompt that costs nothing takes one picosecond."""
    cost = costs.linear_step_cost(A100, LLM, costs.Coefficients(decode_base=0.01))
    assert {cost.decode_ps(batch, batch * 5000) for batch in (1, 17, 256)} == {10 * MS}
    assert cost.prefill_ps(1) == cost.prefill_ps(2000) == 1
    assert cost.decode(0, 0).ps == 0


def test_a_step_proportional_to_the_batch():
    """Processor sharing: 3 ms for each sequence."""
    cost = costs.linear_step_cost(A100, LLM, costs.Coefficients(decode_per_sequence=0.003))
    assert [cost.decode_ps(batch, 10) for batch in (1, 2, 100)] == [3 * MS, 6 * MS, 300 * MS]


def test_published_coefficients_of_an_a100():
    """DistServe's OPT-13B fit, every term exact, whole or in chunks."""
    given = costs.Coefficients(18.10e-3, 0.1019e-3, 7.12e-9, 19.93e-3, 0.0385e-3, 6.27e-7)
    cost = costs.linear_step_cost(A100, catalog.llm("opt-13b"), given, max_batched_tokens=4096)
    assert cost.prefill(1000).ps == 18_100_000_000 + 1000 * 101_900_000 + 1000**2 * 7_120
    assert cost.decode(32, 20_000).ps == 19_930_000_000 + 32 * 38_500_000 + 20_000 * 627_000
    split = cost.prefill(600).ps + cost.prefill(400, cached=600).ps
    assert split - 18_100_000_000 == cost.prefill(1000).ps
    mixed = cost.mixed(
        1002, prefill_pairs=cost.pairs(1000)[0], prefill_read=1000, decode_context=700, sampled=3
    )
    assert mixed.ps == cost.prefill(1000).ps + 2 * (101_900_000 - 7_120) + 700 * 627_000


def test_a_square_without_a_line_is_refused():
    """The first token of a prompt costs both, so the square cannot be larger."""
    with pytest.raises(ScenarioError, match="per_token must be at least"):
        costs.linear_step_cost(A100, LLM, costs.Coefficients(prefill_per_token_squared=1e-6))


def test_energy_is_power_times_time():
    """Stated watts, PUE and host share, for as long as the step takes."""
    cost = costs.linear_step_cost(
        A100,
        LLM,
        costs.Coefficients(decode_base=0.01),
        power=250.0,
        tensor_parallel=2,
        pue=1.2,
        host_power=100.0,
    )
    assert cost.base_mw == 720_000
    assert cost.decode(9, 100).nj == 7_200_000_000
    assert cost.idle_mw == round(1.2 * (2 * 60 + 100) * 1e3)
    assert (cost.decode(9, 100).work, cost.decode(9, 100).kib) == (0, 0)


def test_without_stated_watts_the_accelerator_draws_between_base_and_limit():
    """Neither idle nor TDP."""
    cost = costs.linear_step_cost(A100, LLM, costs.Coefficients(decode_base=0.01))
    assert A100.base_power * A100.tdp_w * 1e3 < cost.base_mw < A100.tdp_w * 1e3


def test_a_node_without_an_accelerator_has_room_and_draws_nothing():
    """Queueing studies need no hardware."""
    cost = costs.linear_step_cost(None, LLM, costs.Coefficients(decode_base=0.01))
    assert (cost.kv_blocks, cost.base_mw, cost.idle_mw, cost.swap_ps_per_block) == (UNLIMITED_BLOCKS, 0, 0, 0)
    assert cost.decode(1, 1).nj == 0


def _deployment(**values):
    defaults = {
        "weights": None,
        "kv": "fp16",
        "tensor_parallel": 2,
        "expert_parallel": 1,
        "max_num_seqs": 16,
        "max_batched_tokens": 512,
        "block_size": 32,
        "memory_utilisation": 0.8,
        "context": None,
        "paging": False,
        "kv_tokens": None,
    }
    return SimpleNamespace(**(defaults | values))


def test_a_deployment_becomes_step_costs():
    """Every setting of the scenario arrives, and the host's power is shared by accelerators."""
    roofline = SimpleNamespace(
        kind="roofline",
        compute_efficiency=0.5,
        memory_efficiency=None,
        attention_efficiency=None,
        layer_overhead=None,
        step_overhead=0.0,
    )
    node = SimpleNamespace(accelerators=8, pue=1.5, host_power=800.0)
    cost = costs.build(A100, LLM, _deployment(costs=roofline), node)
    expected = costs.step_cost(
        A100,
        LLM,
        tensor_parallel=2,
        max_num_seqs=16,
        max_batched_tokens=512,
        block_size=32,
        memory_utilisation=0.8,
        pue=1.5,
        host_power=200.0,
        efficiency=costs.Efficiency(compute_efficiency=0.5, step_overhead=0.0),
    )
    assert (cost.mixed_table == expected.mixed_table).all()
    assert (cost.mixed_coef == expected.mixed_coef).all()
    assert (cost.idle_mw, cost.kv_blocks, cost.kv_block_bytes) == (
        480_000,
        expected.kv_blocks,
        expected.kv_block_bytes,
    )
    with pytest.raises(ScenarioError, match="need an accelerator"):
        costs.build(None, LLM, _deployment(costs=roofline), node)


def test_linear_costs_of_a_deployment():
    """Coefficients and watts are taken over by name."""
    linear = SimpleNamespace(
        kind="linear",
        prefill=SimpleNamespace(base=0.001, per_token=0.002, per_token_squared=0.0),
        decode=SimpleNamespace(base=0.004, per_sequence=0.005, per_context_token=0.006),
        power=100.0,
    )
    node = SimpleNamespace(accelerators=2, pue=1.0, host_power=0.0)
    cost = costs.build(A100, LLM, _deployment(costs=linear), node)
    assert cost.prefill_ps(3) == 7 * MS
    assert cost.decode_ps(2, 3) == (4 + 10 + 18) * MS
    assert cost.base_mw == 200_000
    assert (cost.max_num_seqs, cost.max_batched_tokens) == (16, 512)
