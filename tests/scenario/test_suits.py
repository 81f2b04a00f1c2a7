"""Requests go only to LLMs that can read what they bring and write what they want."""

from __future__ import annotations

from typing import Any

import pytest

from edgesim import topology
from edgesim.errors import ScenarioError
from edgesim.scenario import load
from edgesim.serving import fleet


def scenario(*llms: str, **workload: Any) -> dict[str, Any]:
    """Some LLMs on a box, and one workload that asks there."""
    return {
        "scenario": {"name": "suits", "duration": "1 s"},
        "topology": {
            "nodes": {"box": {"tier": "edge", "accelerator": "nvidia-a100-80gb-sxm", "accelerators": 4}}
        },
        "deployments": [{"llm": llm, "on": "box"} for llm in llms],
        "workloads": {
            "asks": {
                "from": "box",
                "arrivals": {"kind": "poisson", "rate": "1/s"},
                "prompt_tokens": 100,
                "output_tokens": 50,
                **workload,
            }
        },
    }


def served_by(*llms: str, **workload: Any) -> set[str]:
    """LLMs that requests may be sent to."""
    loaded = load(scenario(*llms, **workload))
    built = fleet.build(loaded, topology.build(loaded))
    offset, length = built.system.candidate_range(0, 0)
    return {built.llms[int(row["replica"])] for row in built.system.candidates[offset : offset + length]}


ALL = ("bert-base", "llama-3.2-1b", "llava-1.5-7b")


@pytest.mark.parametrize(
    ("workload", "llms"),
    [
        ({}, {"llama-3.2-1b", "llava-1.5-7b"}),
        ({"output_tokens": 1}, set(ALL)),
        ({"output_tokens": {"kind": "uniform", "low": 1, "high": 2}}, {"llama-3.2-1b", "llava-1.5-7b"}),
        ({"output_tokens": {"kind": "geometric", "mean": 5}}, {"llama-3.2-1b", "llava-1.5-7b"}),
        ({"output_tokens": {"kind": "empirical", "values": [1]}}, set(ALL)),
        ({"images": 1}, {"llava-1.5-7b"}),
        ({"images": 1, "output_tokens": 1}, {"llava-1.5-7b"}),
        ({"images": {"kind": "uniform", "low": 0, "high": 2}}, {"llava-1.5-7b"}),
        ({"llm": "bert-base", "output_tokens": 1}, {"bert-base"}),
        ({"llm": "llama-3.2-1b"}, {"llama-3.2-1b"}),
    ],
)
def test_who_may_serve(workload: dict[str, Any], llms: set[str]) -> None:
    """Images go to LLMs that see, replies are written by those that write."""
    assert served_by(*ALL, **workload) == llms


@pytest.mark.parametrize(
    ("llms", "workload", "place", "text"),
    [
        (ALL, {"llm": "bert-base"}, "workloads.asks.output_tokens", "bert-base is an encoder"),
        (("bert-base",), {}, "workloads.asks.output_tokens", "nothing is deployed that writes"),
        (ALL[:2], {"images": 1}, "workloads.asks.images", "llava-1.5-7b"),
        (ALL, {"images": 1, "llm": "llama-3.2-1b"}, "workloads.asks.llm", "llama-3.2-1b reads text only"),
    ],
)
def test_what_nobody_can_serve_is_refused(
    llms: tuple[str, ...], workload: dict[str, Any], place: str, text: str
) -> None:
    """With the place, what is wrong, and what would do: the LLMs of the catalogue that see."""
    with pytest.raises(ScenarioError) as caught:
        load(scenario(*llms, **workload))
    (problem,) = caught.value.problems
    assert ".".join(map(str, problem.path)) == place
    assert text in f"{problem.text} {problem.help}"
