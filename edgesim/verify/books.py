"""The books: requests, time, energy, money and bytes of a run add up, and nothing beats the roofline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.records import PHASES
from edgesim.verify.check import PS, Check, close, exact, run

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from edgesim.outcome import Outcome

SETS: dict[str, Any] = {
    "scenario": {"name": "books", "seed": 4, "duration": "2 min"},
    "topology": {
        "nodes": {
            "phone": {
                "tier": "device",
                "count": 20,
                "accelerator": "snapdragon-8-gen3",
                "carbon": "100 gCO2/kWh",
            },
            "edge": {
                "tier": "edge",
                "accelerator": "nvidia-l4",
                "price": "0.8 $/h",
                "electricity": "0.2 $/kWh",
            },
            "cloud": {
                "tier": "cloud",
                "accelerator": "nvidia-a100-80gb-sxm",
                "accelerators": 2,
                "grid": "germany",
            },
        },
        "links": [
            {"between": ["phone", "edge"], "kind": "wifi-6"},
            {"between": ["edge", "cloud"], "kind": "fibre", "latency": "10 ms", "bandwidth": "50 Mbps"},
        ],
    },
    "deployments": [
        {"llm": "llama-3.2-1b", "weights": "int4", "on": "phone"},
        {"llm": "llama-3.1-8b", "weights": "int8", "on": "edge"},
        {"llm": "llama-3.1-8b", "on": "cloud", "replicas": 2},
    ],
    "workloads": {
        "chat": {
            "from": "phone",
            "arrivals": {"kind": "poisson", "rate": "8/s"},
            "prompt_tokens": {"kind": "lognormal", "median": 300, "p95": 2000},
            "output_tokens": {"kind": "lognormal", "median": 100, "p95": 400},
            "patience": "3 s",
        }
    },
    "policies": {"router": "random", "retry": {"attempts": 1, "backoff": "100 ms"}},
}
"""A run in which everything occurs: all tiers, abandonment, a crash and retries."""


SCORES = (0.493 * 0.994, 0.694, 0.694)
"""MMLU of what is deployed: Llama-3.2-1B, of which 4-bit weights keep 99.4 %, and Llama-3.1-8B twice."""


def crash(simulation: Any) -> Generator[Any, Any, Any]:
    """Fail a replica for half a minute."""
    yield simulation.after(30)
    simulation.fail_replica("cloud/llama-3.1-8b[0]")
    yield simulation.after(30)
    simulation.start_replica("cloud/llama-3.1-8b[0]")


def audit(records: NDArray[np.void], outcome: Outcome) -> Iterator[Check]:
    """Add everything up, each sum from terms that were measured on their own."""
    totals = outcome.totals
    counted = np.bincount(records["status"], minlength=5)
    yield exact("requests: arrived = sum of the five ends", len(records), int(counted.sum()))
    ended = records[records["finished"] >= 0]
    phases = sum(ended[phase] for phase in PHASES)
    off = int(np.abs(phases - (ended["finished"] - ended["arrived"])).max())
    yield exact("phases add up to end-to-end [ps]", 0, off)
    compute = int(totals.replicas["compute_nj"].sum()) + totals.decided_nj
    booked = int(records["compute_nj"].sum())
    yield exact("joules of requests = joules of the fleet's steps and of decisions [nJ]", compute, booked)
    owned = int(records["share_ps"].sum()) + int(totals.replicas["unattributed_ps"].sum())
    yield exact(
        "busy time = shares of requests + rounding [ps]", int(totals.replicas["busy_ps"].sum()), owned
    )
    on = int(totals.replicas["on_ps"].sum())
    yield exact(
        "time on = busy + idle [ps]", on, int((totals.replicas["busy_ps"] + totals.replicas["idle_ps"]).sum())
    )
    for name in ("mfu", "mbu"):
        most = float(totals.replicas[name].max())
        yield Check(f"{name.upper()} of the busiest replica", "<= 1", f"{most:.3f}", "exact", most <= 1)


def transport(simulation: Any, records: NDArray[np.void]) -> Iterator[Check]:
    """Bytes, network energy, money and carbon of requests with one leg, anew from the scenario and the topology."""
    system, topology = simulation.fleet.system, simulation.topology
    workload = simulation.scenario.workloads["chat"]
    single = records[(records["status"] == 0) & (records["legs"] == 1)]
    wrong = {"bytes_up": 0.0, "bytes_down": 0.0, "network_nj": 0.0, "cost_usd": 0.0, "carbon_g": 0.0}
    for record in single:
        replica = system.replicas[record["replica"]]
        up = down = energy = 0
        egress = 0.0
        if replica["node"] != record["origin"]:
            path = topology.path(int(record["origin"]), int(replica["node"]))
            up = int(record["prompt"]) * workload.bytes_per_token + path.overhead
            down = int(record["output"]) * (workload.bytes_per_token + path.overhead)
            energy = up * path.energy_pj_up // 1000 + down * path.energy_pj_down // 1000
            egress = up * path.egress_usd_up + down * path.egress_usd_down
        usd = (
            record["share_ps"] * replica["usd_per_ps"] + record["compute_nj"] * replica["usd_per_nj"] + egress
        )
        grams = (record["compute_nj"] + energy) * replica["gram_per_nj"]
        for name, expected in (
            ("bytes_up", up), ("bytes_down", down), ("network_nj", energy), ("cost_usd", usd), ("carbon_g", grams),
        ):  # fmt: skip
            wrong[name] = max(
                wrong[name], abs(float(record[name]) - float(expected)) / max(1.0, abs(float(expected)))
            )
    for name, most in wrong.items():
        yield Check(f"{name} of requests, computed anew", "0 off", f"{most:.2g} off", "1e-12", most <= 1e-12)


def money(simulation: Any, records: NDArray[np.void], outcome: Outcome) -> Check:
    """Dollars of requests and of idling against price times time, energy and bytes, computed anew."""
    replicas = simulation.fleet.system.replicas
    totals = outcome.totals.replicas
    hourly = float((totals["on_ps"] * replicas["usd_per_ps"]).sum())
    energy = totals["compute_nj"] + totals["idle_nj"] + totals["work_nj"]
    power = float((energy * replicas["usd_per_nj"]).sum())
    booked = float(records["cost_usd"].sum()) + float(totals["idle_cost_usd"].sum())
    return close("dollars of requests + idle", hourly + power, booked, 1e-9 * booked, "$", "1e-9")


def scores(simulation: Any, records: NDArray[np.void]) -> Check:
    """The quality of every answer is the published score of what gave it; where nothing answered, it is 1."""
    deployment = np.array(simulation.fleet.deployments)[records["replica"]]
    expected = np.where(records["status"] == 0, np.array(SCORES)[deployment], 1.0)
    off = float(np.abs(records["quality"] - expected).max())
    return Check(
        "quality of answers, from published scores", "0 off", f"{off:.2g} off", "1e-12", off <= 1e-12
    )


def fastest_prefill(prompt: NDArray[np.int64]) -> NDArray[np.float64]:
    """Least time to read a prompt on the fastest replica: weights' FLOPs at the peak, from published figures.

    1.24 billion parameters of Llama-3.2-1B on a 45 TOPS phone, 8.03 of Llama-3.1-8B on 624 TOPS (A100, int8 peak).
    """
    least: NDArray[np.float64] = np.minimum(2 * 0.97e9 * prompt / 45e12, 2 * 6.9e9 * prompt / 624e12)
    return least


def checks() -> Iterator[Check]:
    """All of them."""
    from edgesim.scenario import load
    from edgesim.simulation import Simulation
    from edgesim.verify.check import Kept

    kept = Kept()
    simulation = Simulation(load(SETS), processes=[crash])
    outcome = simulation.run(kept)
    records = kept.records
    yield from audit(records, outcome)
    yield money(simulation, records, outcome)
    yield from transport(simulation, records)
    yield scores(simulation, records)
    seen = records[records["first_token"] >= 0]
    slack = (seen["first_token"] - seen["arrived"]) / PS - fastest_prefill(seen["prompt"])
    yield Check(
        "no TTFT beats the roofline", ">= 0 s", f"{slack.min():.4g} s", "exact", bool(slack.min() >= 0)
    )
    yield from carriage()
    yield from overload()
    yield from repeatable()


def carriage() -> Iterator[Check]:
    """Over two hops to one place: every link carried the bytes of its requests, whatever became of them."""
    for name, change in (
        ("streams", {}),
        ("whole replies", {"stream": False}),
        ("small messages", {"prompt_tokens": 20, "output_tokens": {"kind": "geometric", "mean": 3}}),
    ):
        scenario = {
            "scenario": {"name": "carriage", "seed": 2, "duration": "30 s"},
            "topology": {
                "nodes": {
                    "phone": {"tier": "device", "count": 4},
                    "edge": {"tier": "edge"},
                    "cloud": {"tier": "cloud", "accelerator": "nvidia-a100-80gb-sxm", "accelerators": 2},
                },
                "links": [
                    {"between": ["phone", "edge"], "latency": "1 ms", "bandwidth": "2 Mbps"},
                    {"between": ["edge", "cloud"], "latency": "5 ms", "bandwidth": "400 kbps"},
                ],
            },
            "deployments": [{"llm": "llama-3.1-8b", "on": "cloud", "replicas": 2}],
            "workloads": {
                "chat": {
                    "from": "phone",
                    "arrivals": {"kind": "poisson", "rate": "9/s"},
                    "prompt_tokens": {"kind": "uniform", "low": 100, "high": 2000},
                    "output_tokens": {"kind": "geometric", "mean": 50},
                    "patience": "1 s",
                    **change,
                }
            },
            "policies": {"router": "random", "retry": {"attempts": 1, "backoff": "100 ms"}},
        }  # fmt: skip
        records, outcome = run(scenario, [crash_soon])
        yield carried_bytes(name, records, outcome)


def crash_soon(simulation: Any) -> Generator[Any, Any, Any]:
    """Fail a replica for ten seconds."""
    yield simulation.after(10)
    simulation.fail_replica("cloud/llama-3.1-8b[0]")
    yield simulation.after(10)
    simulation.start_replica("cloud/llama-3.1-8b[0]")


def carried_bytes(name: str, records: NDArray[np.void], outcome: Outcome) -> Check:
    """What the worst of the links of `carriage` is off; legs that were cut off count whole bytes."""
    phones = np.unique(records["origin"])
    expected = []
    for way in ("bytes_up", "bytes_down"):
        expected += [int(records[way][records["origin"] == phone].sum()) for phone in phones]
        expected.append(int(records[way].sum()))
    off = np.abs(np.sort(outcome.totals.links["bytes"]) - np.sort(expected)).max()
    cut_off = records["legs"][(records["status"] != 0) | (records["legs"] > 1)]
    allowed = 1 + 2 * int(cut_off.sum())
    return Check(
        f"links carried the bytes of their requests: {name}", f"{sum(expected)} B", f"{off:.2g} B off",
        f"{allowed} B", bool(off <= allowed),
    )  # fmt: skip


def overload() -> Iterator[Check]:
    """Sensors at twice the capacity: at most half is served, and the backlog grows in a straight line."""
    scenario = {
        "scenario": {"name": "overload", "duration": "40 s"},
        "topology": {"nodes": {"box": {"tier": "edge", "count": 1, "accelerator": "nvidia-l4"}}},
        "deployments": [
            {
                "llm": "bert-base", "on": "box", "max_num_seqs": 1, "max_batched_tokens": 64,
                "costs": {"kind": "linear", "prefill": {"base": "2 ms"}, "decode": {"base": "2 ms"}},
            }
        ],
        "workloads": {
            "items": {
                "from": "box", "arrivals": {"kind": "periodic", "period": "1 ms", "phase": "aligned"},
                "prompt_tokens": 10, "output_tokens": 1,
            }
        },
    }  # fmt: skip
    records, _ = run(scenario)
    done = records[records["status"] == 0]
    yield exact("overload at load 2: served of 40,000", 19_999, len(done))
    backlog = [
        int((records["arrived"] < t).sum() - ((done["finished"] <= t) & (done["finished"] >= 0)).sum())
        for t in (10 * 10**12, 20 * 10**12, 30 * 10**12)
    ]
    yield exact("backlog after 10, 20 and 30 s", [5000, 10_000, 15_000], backlog)


def repeatable() -> Iterator[Check]:
    """The same seed gives the same records, and an idle SimPy process changes nothing."""
    short = {**SETS, "scenario": {**SETS["scenario"], "duration": "30 s"}}

    def idle(simulation: Any) -> Generator[Any, Any, Any]:
        while True:
            yield simulation.after(0.1)

    first, again, beside = run(short)[0], run(short)[0], run(short, [idle])[0]
    yield exact("same seed, same records", True, bool(np.array_equal(first, again)))
    yield exact("an idle 10 Hz process changes no row", True, bool(np.array_equal(first, beside)))
    twin = run(short, engine="reference")[0]
    same = all(
        np.array_equal(first[name], twin[name])
        for name in first.dtype.names or ()
        if first.dtype[name].kind == "i"
    )
    yield exact("kernel = twin on a scenario of three tiers", True, same)
