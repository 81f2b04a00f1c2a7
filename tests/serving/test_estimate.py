"""What `view.estimate` says of an idle system is what then happens."""

from __future__ import annotations

import pytest

import edgesim
from edgesim.policies import Router, register
from edgesim.registry import registries

SEEN: list[object] = []


@pytest.fixture
def asking():
    """A router that writes down what it expects."""

    @register("asks-first")
    class AsksFirst(Router):
        """Estimate, then send there."""

        oracle = True

        def route(self, request, candidates, view):
            SEEN.append(view.estimate(request, candidates[0]))
            return candidates[0]

    SEEN.clear()
    yield
    registries["router"].forget(__name__)


@pytest.mark.parametrize(
    ("accelerator", "llm", "prompt", "output", "images"),
    [
        ("rtx-4090", "llava-1.5-7b", 60, 80, 3),
        ("rtx-4090", "llama-3.1-8b", 700, 90, 0),
        ("nvidia-l4", "bert-base", 100, 1, 0),
    ],
)
def test_an_idle_system_does_what_was_estimated(asking, accelerator, llm, prompt, output, images):
    """Images and their encoder, encoders without replies, energy and dollars: within 3 %."""
    run = edgesim.simulate(
        {
            "scenario": {"name": "idle", "requests": 1},
            "topology": {"nodes": {"box": {"tier": "edge", "accelerator": accelerator}}},
            "deployments": [{"llm": llm, "on": "box", "weights": "fp16"}],
            "workloads": {
                "one": {
                    "from": "box",
                    "arrivals": {"kind": "periodic", "period": "1 s", "phase": "aligned"},
                    "prompt_tokens": prompt,
                    "output_tokens": output,
                    "images": images,
                }
            },
            "policies": {"router": "asks-first"},
        }
    )
    row, (expected,) = run.requests.iloc[0], SEEN
    assert expected.ttft_s == pytest.approx(row.first_token_at - row.arrived_at, rel=0.03)
    assert expected.latency_s == pytest.approx(row.finished_at - row.arrived_at, rel=0.03)
    assert expected.energy_j == pytest.approx(row.energy_j, rel=0.03)
    assert expected.cost_usd == pytest.approx(row.cost_usd, rel=0.03, abs=1e-12)
