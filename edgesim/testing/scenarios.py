"""Tiny scenarios: each runs in a fraction of a second and brings a policy into one kind of trouble."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from edgesim.policies import Hedge, Router

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.policies import ReplicaView, RequestView, SystemView
    from edgesim.scenario import Scenario
    from edgesim.simulation import Simulation

Process = Callable[["Simulation"], Generator[Any, Any, Any]]
Json = dict[str, Any]


class Story(NamedTuple):
    """A tiny scenario, what happens in it, and why it is there."""

    name: str
    text: str
    changes: Mapping[str, Any]
    """What differs from the plain tiny scenario, section by section."""
    processes: tuple[Process, ...] = ()
    hedges: bool = False
    """Whether requests are sent to two replicas, where the router is not the policy under test."""
    requests: int = 60


def tiny_scenario(
    *,
    boxes: int = 2,
    cloud: int = 2,
    rate: str = "4/s",
    requests: int = 60,
    seed: int = 1,
    policies: Mapping[str, Any] | None = None,
    deployment: Mapping[str, Any] | None = None,
    workload: Mapping[str, Any] | None = None,
    bandwidth: str = "100 Mbps",
) -> Json:
    """A small system as `edgesim.simulate` and `edgesim.load_scenario` take it.

    Five phones without an LLM ask; edge boxes (L4) and a cloud (A100) serve an 8-billion-parameter Llama.

    Args:
        boxes: Edge boxes with a replica each.
        cloud: Replicas in the cloud; none if 0.
        rate: Requests per second of all phones together, with unit.
        requests: Requests after which no more are asked.
        seed: Seed of all randomness.
        policies: The section `policies`.
        deployment: Further keys of both deployments.
        workload: Further keys of the workload, or others instead.
        bandwidth: Of the link between phones and boxes, which they share.
    """
    more = dict(deployment or {})
    nodes: Json = {
        "phone": {"tier": "device", "count": 5},
        "box": {"tier": "edge", "count": boxes, "accelerator": "nvidia-l4"},
    }
    links: list[Json] = [
        {"between": ["phone", "box"], "latency": "3 ms", "bandwidth": bandwidth, "shared": True}
    ]
    deployments = [{"llm": "llama-3.1-8b", "weights": "int8", "on": "box", "max_num_seqs": 8, **more}]
    if cloud:
        nodes["cloud"] = {"tier": "cloud", "accelerator": "nvidia-a100-80gb-sxm", "accelerators": cloud}
        links.append({"between": ["box", "cloud"], "latency": "15 ms", "bandwidth": "1 Gbps"})
        deployments.append({"llm": "llama-3.1-8b", "on": "cloud", "replicas": cloud, **more})
    chat = {
        "from": "phone",
        "arrivals": {"kind": "poisson", "rate": rate},
        "prompt_tokens": {"kind": "exponential", "mean": 300, "max": 2000},
        "output_tokens": {"kind": "exponential", "mean": 60, "max": 300},
        "prediction": {"error": "30 %"},
        **(workload or {}),
    }
    return {
        "scenario": {"name": "tiny", "seed": seed, "requests": requests},
        "topology": {"nodes": nodes, "links": links},
        "deployments": deployments,
        "workloads": {"chat": chat},
        "policies": dict(policies or {}),
    }


def _outages(sim: Simulation) -> Generator[Any, Any, None]:
    """Let each replica fail in turn, and come back."""
    for replica in range(len(sim.fleet.names)):
        yield sim.after("1 s")
        sim.fail_replica(replica)
        yield sim.after("1 s")
        sim.start_replica(replica)


def _flicker(sim: Simulation) -> Generator[Any, Any, None]:
    """Let all replicas fail together, again and again and then for longer than anybody tries; then each in turn."""
    yield sim.after("2 s")
    for pause in ("50 ms",) * 6 + ("1 s",):
        for replica in range(len(sim.fleet.names)):
            sim.fail_replica(replica)
        yield sim.after(pause)
        for replica in range(len(sim.fleet.names)):
            sim.start_replica(replica)
        yield sim.after("250 ms")
    yield from _outages(sim)


def _jam(sim: Simulation) -> Generator[Any, Any, None]:
    """Fill every link for some seconds, twice."""
    for _ in range(2):
        yield sim.after("2 s")
        sent = [sim.transfer(link, 5_000_000) for link in range(sim.topology.link_count)]
        yield from sent


STORIES = (
    Story("idle", "few requests, nothing waits", {"rate": "1/s"}, requests=30),
    Story(
        "overloaded",
        "many replicas, far more requests than they can serve, impatient clients",
        {"boxes": 7, "rate": "300/s", "workload": {"patience": "3 s", "deadline": "6 s", "priority": 1}},
        requests=250,
    ),
    Story("one-candidate", "a single replica", {"boxes": 1, "cloud": 0, "rate": "3/s"}),
    Story(
        "failing",
        "replicas fail and come back, alone and together; what is lost is tried again, or lost for good",
        {"rate": "15/s", "policies": {"retry": {"attempts": 3, "backoff": "100 ms"}}},
        (_flicker,),
        requests=180,
    ),
    Story(
        "sessions",
        "conversations, with prefixes cached in little memory",
        {
            "workload": {
                "session": {"turns": {"kind": "geometric", "mean": 4}, "think_time": "500 ms"},
                "shared_prefix": 64,
            },
            "deployment": {"prefix_cache": True, "kv_tokens": 6000},
        },
        requests=100,
    ),
    Story(
        "hedges",
        "requests go to two replicas, and to others when these fail",
        {"rate": "12/s", "policies": {"retry": {"attempts": 2}}},
        (_outages,),
        hedges=True,
        requests=100,
    ),
    Story(
        "full-links",
        "links that others fill",
        {"bandwidth": "4 Mbps", "rate": "10/s", "workload": {"bytes_per_token": 400}},
        (_jam,),
    ),
    Story(
        "little-memory",
        "requests that are preempted for want of memory",
        {
            "boxes": 1,
            "cloud": 1,
            "rate": "20/s",
            "deployment": {"kv_tokens": 3000, "preemption": "swap", "swap_space": "1 GB"},
        },
        requests=80,
    ),
)
"""What policies are checked in."""


class HedgeTwo(Router):
    """Send each request to the two replicas that have the least to do."""

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Any:  # noqa: ARG002
        """Answer the two of them, or the only one there is."""
        best = sorted(candidates, key=lambda replica: replica.outstanding_requests)[:2]
        return best[0] if len(best) == 1 else Hedge(best)


@cache
def loaded(name: str) -> Scenario:
    """A story's scenario; policies take their place in a copy of it."""
    from edgesim.scenario import load  # noqa: PLC0415 - yaml and pydantic, for who runs it

    story = next(story for story in STORIES if story.name == name)
    return load(tiny_scenario(requests=story.requests, **deepcopy(dict(story.changes))))
