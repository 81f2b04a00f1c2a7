"""Each request takes the score of what answered it: of the LLM as it is deployed."""

from __future__ import annotations

from typing import Any

import pytest

from edgesim import simulate
from edgesim.policies import Router, register
from edgesim.registry import registries
from edgesim.scenario import load
from edgesim.simulation import Simulation

SCENARIO: dict[str, Any] = {
    "scenario": {"name": "quality", "duration": "60 s"},
    "topology": {
        "nodes": {
            "phone": {"tier": "device", "count": 3, "accelerator": "snapdragon-8-gen3"},
            "box": {"tier": "edge", "accelerator": "nvidia-l4", "accelerators": 3},
        },
        "links": [{"between": ["phone", "box"], "latency": "3 ms", "bandwidth": "50 Mbps"}],
    },
    "deployments": [
        {"llm": "llama-3.2-1b", "weights": "int4", "on": "phone"},
        {"llm": "llama-3.1-8b", "on": "box"},
        {"llm": "llama-3.1-8b", "on": "box", "variant": "pruned-2-4", "weights": "int8", "adapter": "lora-8"},
        {"llm": "tiny", "on": "box"},
    ],
    "llms": {"tiny": {
        "layers": 4, "hidden": 512, "heads": 8, "kv_heads": 8, "head_dim": 64, "ffn": 2048, "vocab": 32000,
        "params": 33_000_000, "context": 4096,
    }},
    "workloads": {
        "chat": {
            "from": "phone",
            "arrivals": {"kind": "poisson", "rate": "3/s"},
            "prompt_tokens": 100,
            "output_tokens": 30,
            "patience": "300 ms",
        }
    },
    "policies": {"router": "random"},
}  # fmt: skip
SCORES = {
    "phone[0]/llama-3.2-1b": 0.493 * 0.994,
    "phone[1]/llama-3.2-1b": 0.493 * 0.994,
    "phone[2]/llama-3.2-1b": 0.493 * 0.994,
    "box/llama-3.1-8b": 0.694,
    "box/llama-3.1-8b:pruned-2-4:lora-8": 0.694 * 0.606 * 1.0,
    "box/tiny": 1.0,
}


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_requests_take_the_score_of_what_answered(engine: str) -> None:
    """Of every deployment by its name; 1 where nothing is known, missing where nothing answered."""
    requests = simulate(SCENARIO, engine=engine).requests
    answered = requests[requests["status"] == "completed"]
    assert set(answered["replica"]) == set(SCORES)
    for replica, score in SCORES.items():
        assert answered.loc[answered["replica"] == replica, "quality"].to_numpy() == pytest.approx(score)
    others = requests[requests["status"] != "completed"]
    assert len(others) > 0
    assert others["quality"].isna().all()


def test_a_variant_is_faster_or_smaller_than_what_it_is_made_from() -> None:
    """Its bytes reach the step costs: 2:4 weights in 8 bits decode faster and leave more room for KV."""
    fleet = Simulation(load(SCENARIO)).fleet
    plain, pruned = fleet.system.costs[1], fleet.system.costs[2]
    assert pruned.decode_ps(1, 500) < 0.5 * plain.decode_ps(1, 500)
    assert pruned.kv_blocks > 1.5 * plain.kv_blocks
    assert pruned.weights_bytes < 0.4 * plain.weights_bytes
    assert fleet.llms[3:5] == ["llama-3.1-8b", "llama-3.1-8b"]


def test_policies_see_the_score() -> None:
    """A router may choose by it: here the best known, and nothing else answers."""

    class Best(Router):
        """Asks whatever scores best."""

        def route(self, request: Any, candidates: Any, view: Any) -> Any:
            return max(candidates, key=lambda replica: replica.quality * (replica.quality < 1))

    register("best-for-this-test")(Best)
    try:
        requests = simulate({**SCENARIO, "policies": {"router": "best-for-this-test"}}).requests
    finally:
        registries["router"].forget(__name__)
    assert set(requests["replica"].dropna()) == {"box/llama-3.1-8b"}
