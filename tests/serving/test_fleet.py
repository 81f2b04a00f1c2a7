"""The fleet offers each origin the replicas that its router may choose from."""

from __future__ import annotations

import pytest

from edgesim import simulate
from edgesim.scenario import load
from edgesim.simulation import Simulation

SCENARIO = {
    "scenario": {"name": "candidates", "requests": 10},
    "topology": {
        "nodes": {
            "users": {"tier": "device"},
            "box": {"tier": "edge", "accelerator": "nvidia-l4", "accelerators": 2},
            "servers": {"tier": "cloud", "accelerator": "nvidia-l4", "accelerators": 5},
            "far": {"tier": "cloud", "accelerator": "nvidia-l4"},
        },
        "links": [
            {"between": ["users", "box"], "latency": "3 ms", "bandwidth": "50 Mbps"},
            {"between": ["box", "servers"], "latency": "10 ms", "bandwidth": "1 Gbps"},
            {"between": ["servers", "far"], "latency": "10 ms", "bandwidth": "1 Gbps"},
        ],
    },
    "deployments": [
        {"llm": "qwen2.5-1.5b", "on": "box", "replicas": 2},
        {"llm": "qwen2.5-1.5b", "on": "servers", "replicas": 5},
        {"llm": "qwen2.5-1.5b", "on": "far"},
    ],
    "workloads": {
        "chat": {
            "from": "users",
            "arrivals": {"kind": "poisson", "rate": "1/s"},
            "prompt_tokens": 100,
            "output_tokens": 10,
        }
    },
}


@pytest.mark.parametrize(("limit", "kept"), [(1, 2), (2, 2), (3, 7), (7, 7), (8, 8), (64, 8)])
def test_a_limit_keeps_all_replicas_that_are_as_near_as_its_last(limit: int, kept: int) -> None:
    """Equals are not told apart by their number: leaving some out would overload the others."""
    system = Simulation(load(SCENARIO | {"policies": {"candidates": limit}})).fleet.system
    users, chat = 0, 1
    assert system.places[users * system.classes + chat, 1] == kept


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_a_limit_on_requests_counts_those_of_all_workloads(engine: str) -> None:
    """Open workloads and users share it: the first so many in order of time are asked."""
    users = {
        **SCENARIO["workloads"]["chat"],
        "arrivals": {"kind": "closed-loop", "users": 3, "think_time": "1 s"},
    }
    asked = {"chat": SCENARIO["workloads"]["chat"], "users": users}
    found = simulate(
        SCENARIO | {"scenario": {"name": "shared", "requests": 60}, "workloads": asked}, engine=engine
    )
    counts = found.requests["workload"].value_counts()
    assert counts.sum() == 60
    assert min(counts["chat"], counts["users"]) > 10


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["", "", ""], ["qwen2.5-1.5b", "qwen2.5-1.5b#2", "qwen2.5-1.5b#3"]),
        (["big", "small", ""], ["big", "small", "qwen2.5-1.5b"]),
        (["", "qwen2.5-1.5b", ""], ["qwen2.5-1.5b#2", "qwen2.5-1.5b", "qwen2.5-1.5b#3"]),
    ],
)
def test_every_replica_has_its_own_name(names: list[str], expected: list[str]) -> None:
    """Deployments of one LLM on one node are told apart, by the names that they were given."""
    common = {"llm": "qwen2.5-1.5b", "on": "servers"}
    scenario = load(SCENARIO | {"deployments": [common | ({"name": name} if name else {}) for name in names]})
    found = Simulation(scenario).fleet.names
    assert found == [f"servers/{name}" for name in expected]


def test_a_name_given_to_a_deployment_names_its_replicas_in_the_summary() -> None:
    """Each deployment is judged by itself."""
    big = {"llm": "qwen2.5-1.5b", "on": "servers", "name": "big", "replicas": 2}
    small = {"llm": "qwen2.5-1.5b", "on": "servers", "name": "small", "weights": "int4"}
    run = simulate(SCENARIO | {"deployments": [big, small], "policies": {"router": "round-robin"}})
    assert set(run.summary["by"]["replica"]) == {"servers/big[0]", "servers/big[1]", "servers/small"}
    assert all(group["fleet"]["replicas"] == 1 for group in run.summary["by"]["replica"].values())


@pytest.mark.parametrize("limit", [1, 2, 64])
def test_candidates_are_those_of_the_definition(limit: int) -> None:
    """For each origin and LLM: its own replicas, then others by latency, hops and index, up to the limit and its equals."""
    llms = ("qwen2.5-1.5b", "qwen2.5-0.5b")
    data = {
        **SCENARIO,
        "deployments": [
            {"llm": llms[0], "on": "box", "serves": "own"},
            {"llm": llms[1], "on": "box"},
            {"llm": llms[1], "on": "servers", "replicas": 5, "serves": "own"},
            {"llm": llms[0], "on": "far"},
        ],
        "workloads": {
            name: {**SCENARIO["workloads"]["chat"], "from": origin, **({"llm": llm} if llm else {})}
            for name, origin, llm in (("a", "users", None), ("b", "box", llms[1]), ("c", "servers", None))
        },
        "policies": {"candidates": limit},
    }
    built = Simulation(load(data))
    fleet, system, topology = built.fleet, built.fleet.system, built.topology
    own = [load(data).deployments[d].serves == "own" for d in fleet.deployments]
    for origin in range(3):
        mine = [r for r in range(len(own)) if fleet.nodes[r] == origin]
        offset, length = system.places[origin * system.classes]
        assert system.candidates["replica"][offset : offset + length].tolist() == mine
        for klass, llm in enumerate((None, llms[1]), start=1):
            wanted = [r for r in range(len(own)) if llm in (None, fleet.llms[r])]
            first = [r for r in wanted if own[r] and r in mine]
            far = {r: topology.path(origin, fleet.nodes[r]) for r in wanted if not own[r]}
            order = sorted(far, key=lambda r: (far[r].latency_ps, len(far[r].up), r))
            room = limit - len(first)
            last = far[order[room - 1]] if 0 < room <= len(order) else None
            kept = [
                r
                for place, r in enumerate(order)
                if place < room
                or (last and (far[r].latency_ps, len(far[r].up)) == (last.latency_ps, len(last.up)))
            ]
            offset, length = system.places[origin * system.classes + klass]
            found = system.candidates[offset : offset + length]
            assert found["replica"].tolist() == first + kept
            assert found["up_hops"].tolist() == [0] * len(first) + [len(far[r].up) for r in kept]
