"""Small runs with every table, and sweeps made up from formulas, for tests of pictures and timelines."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import pandas as pd

import edgesim

SCENARIO: dict[str, Any] = {
    "scenario": {"name": "recorded", "seed": 4, "duration": "40 s", "warmup": "2 s"},
    "topology": {
        "nodes": {
            "phone": {"tier": "device", "count": 4, "accelerator": "snapdragon-8-gen3", "thermal": True},
            "edge": {"tier": "edge", "accelerator": "nvidia-l4"},
            "cloud": {"tier": "cloud", "accelerator": "nvidia-h100-sxm", "accelerators": 2},
        },
        "links": [
            {"between": ["phone", "edge"], "kind": "wifi-6"},
            {"between": ["edge", "cloud"], "latency": "10 ms", "bandwidth": "1 Mbps"},
            {"between": ["phone", "cloud"], "latency": "40 ms", "bandwidth": "500 kbps"},
        ],
    },
    "deployments": [
        {"llm": "llama-3.2-1b", "weights": "int4", "on": "phone"},
        {"llm": "llama-3.1-8b", "weights": "int8", "on": "edge", "prefix_cache": True, "max_num_seqs": 4},
        {"llm": "llama-3.1-8b", "weights": "fp8", "on": "cloud", "replicas": 2},
    ],
    "workloads": {
        "chat": {
            "from": "phone",
            "arrivals": {"kind": "poisson", "rate": "5/s"},
            "prompt_tokens": {"kind": "uniform", "low": 80, "high": 900},
            "output_tokens": {"kind": "uniform", "low": 5, "high": 150},
            "shared_prefix": 64,
        }
    },
    "policies": {
        "router": {"kind": "threshold-offload", "max_queue": 1},
        "retry": {"attempts": 2, "backoff": "100 ms"},
    },
    "slo": {"ttft": {"p95": "300 ms"}, "tpot": {"p95": "100 ms"}},
}
ALL = "output.tables=[requests, legs, resources, steps]"
RATE, ROUTER = "workloads.chat.arrivals.rate", "policies.router"
ROUTERS = ("nearest", "threshold-offload", "greedy-latency")
LIMITS = dict(zip(ROUTERS, (9.0, 17.0, 21.0), strict=True))


def crash(sim: Any) -> Any:
    """The edge box is away for a while, so that some requests have a second leg."""
    yield sim.after("10 s")
    sim.fail_replica("edge/llama-3.1-8b")
    yield sim.after("5 s")
    sim.start_replica("edge/llama-3.1-8b")


@cache
def run(*sets: str) -> Any:
    """A run in memory with everything recorded, unless the sets say otherwise."""
    return edgesim.simulate(SCENARIO, sets=[ALL, "output.sample=0.5 s", *sets], processes=[crash])


def sweep(
    replications: int = 3, rates: tuple[float, ...] = (2.0, 6.0, 10.0, 14.0, 18.0, 22.0)
) -> SimpleNamespace:
    """A sweep over a rate and a router, with columns of known values."""
    rows = []
    for p, (router, rate) in enumerate((router, rate) for router in ROUTERS for rate in rates):
        for r in range(replications):
            limit = LIMITS[router]
            done = min(rate, limit)
            rows.append(
                {
                    "point": p, RATE: rate, ROUTER: router, "replication": r, "status": "finished", "error": "",
                    "throughput_rps": done + 0.1 * (r - (replications - 1) / 2), "goodput_rps": 0.8 * done,
                    "ttft_p95": 0.2 / max(0.05, 1 - rate / limit) + 0.01 * r, "completed": int(600 * done),
                    "energy_j": 600 * done * (90 - limit) + 1e4, "cost_usd": 0.01 * limit + 1e-5 * done,
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    return SimpleNamespace(table=table, keys=[RATE, ROUTER], units={RATE: "1/s", ROUTER: ""})
