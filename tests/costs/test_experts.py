"""Whole experts spread over accelerators: memory, traffic, imbalance, exchange, and what cannot be spread."""

from __future__ import annotations

from dataclasses import replace

import pytest

import edgesim
from edgesim import catalog, costs
from edgesim.costs import llm as work
from edgesim.costs.roofline import IMBALANCE
from edgesim.costs.step import PS
from edgesim.errors import ScenarioError

H100 = catalog.accelerator("nvidia-h100-sxm")
MOE = catalog.llm("qwen3-30b-a3b")
EXPERTS = MOE.moe.experts * work.shape(MOE).expert * work.shape(MOE).expert_layers


def test_replicas_that_share_experts_hold_a_part_of_them():
    """What four replicas do not hold of the experts is free for their KV caches."""
    alone, shared = costs.kv_blocks(H100, MOE), costs.kv_blocks(H100, MOE, expert_parallel=4)
    block = 16 * work.kv_bytes_per_token(MOE)
    assert (shared - alone) * block == pytest.approx(0.75 * EXPERTS * work.weight_bytes("bf16"), rel=1e-3)
    assert work.resident_bytes(MOE, None, 1) == work.weights_bytes(MOE)


def test_within_a_replica_memory_stays_and_the_busiest_accelerator_counts():
    """Two accelerators hold all experts, whole or cut; whole ones wait for the busier of the two."""
    cut = costs.step_cost(H100, MOE, tensor_parallel=2)
    whole = costs.step_cost(H100, MOE, tensor_parallel=2, expert_parallel=2)
    assert whole.kv_blocks == cut.kv_blocks
    for tokens in (64, 2048):
        ratio = whole.mixed(tokens).ps / cut.mixed(tokens).ps
        assert 1.0 < ratio < IMBALANCE


def test_experts_of_one_token_each_are_read_once():
    """With every expert touched, a replica that shares them with three others reads a quarter, busier or not."""
    free = replace(H100, interconnect=1e18, interconnect_latency=0.0)
    alone = costs.step_cost(free, MOE, max_num_seqs=512).decode(512, 512)
    shared = costs.step_cost(free, MOE, expert_parallel=4, max_num_seqs=512).decode(512, 512)
    saved = (1 - IMBALANCE / 4) * EXPERTS * work.weight_bytes("bf16")
    assert (alone.kib - shared.kib) * 1024 == pytest.approx(saved, rel=1e-3)
    assert shared.ps < alone.ps


def test_the_tokens_of_all_replicas_travel():
    """What takes tokens to their experts and back is an all-reduce of all replicas' tokens, once such a layer."""
    slow = replace(H100, interconnect=1e9, interconnect_latency=0.0)
    free = replace(slow, interconnect=1e18)
    added = [costs.step_cost(x, MOE, expert_parallel=4).mixed(1000).ps / PS for x in (slow, free)]
    message = 4 * 1000 * MOE.hidden * 2
    assert added[0] - added[1] == pytest.approx(MOE.layers * 2 * 3 / 4 * message / 1e9, rel=1e-6)


def scenario(**keys):
    return {
        "scenario": {"name": "experts", "duration": "10 s"},
        "topology": {
            "nodes": {"box": {"tier": "cloud", "accelerator": "nvidia-h100-sxm", "accelerators": 8}}
        },
        "deployments": [{"llm": "qwen3-30b-a3b", "on": "box", **keys}],
        "workloads": {
            "chat": {
                "from": "box",
                "arrivals": {"kind": "poisson", "rate": "2/s"},
                "prompt_tokens": 100,
                "output_tokens": 20,
            }
        },
    }


def test_a_deployment_says_so_and_the_run_tells():
    """A note says that replicas are priced alone."""
    run = edgesim.simulate(scenario(replicas=4, expert_parallel=4))
    assert run.summary["requests"]["completed"] > 0
    assert any("share the experts" in note for note in run.summary["notes"])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"expert_parallel": 3, "replicas": 4}, "128 experts cannot be spread over 3"),
        ({"expert_parallel": 8, "replicas": 4}, "of 4 x 1 accelerators"),
        ({"expert_parallel": 2, "tensor_parallel": 4}, "multiple of tensor_parallel"),
        ({"expert_parallel": 2, "replicas": 2, "llm": "qwen3-8b"}, "no experts"),
    ],
)
def test_what_cannot_be_spread_is_told(keys, said):
    """With what to do instead."""
    with pytest.raises(ScenarioError, match=said):
        edgesim.simulate(scenario(**keys))
