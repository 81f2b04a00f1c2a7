"""How many requests a CPU second simulates, beside the bare compiled loop of the same engine in the same run.

    python -m benchmarks.throughput [--json] [--requests N] [--repeat N] [--scale] [--long]

Every row runs `benchmarks/scenarios/sixteen.yaml` through `edgesim.simulate`: Llama-3-8B on 16 A100s at about 70 %
load, about 1000 prompt and 200 output tokens. CPU seconds are this process's; the median of the warm runs counts.
The peak memory is that of ten million requests with all files and the summary, in a process of their own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import edgesim
from edgesim import simulation as built
from edgesim.arena import rows
from edgesim.costs.profile import Profile
from edgesim.results.folder import peak_rss_mib
from edgesim.results.writer import MemorySink
from edgesim.scenario import load
from edgesim.serving.engine import KernelEngine
from edgesim.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable

SCENARIO = Path(__file__).parent / "scenarios" / "sixteen.yaml"
RATE = 88.0
"""Requests a second that are about 70 % of what its 16 replicas can serve."""

SESSIONS = (
    "workloads.chat.session={turns: 4, think_time: 10 s}",
    f"workloads.chat.arrivals.rate={RATE / 4}/s",
    "workloads.chat.shared_prefix=500",
)
"""As many requests, as turns of sessions that begin alike; Python asks for each later turn when a reply has come."""


def timed(run: Callable[[], int], repeat: int) -> float:
    """Requests per CPU second, median of the warm runs."""
    run()
    rates = []
    for _ in range(repeat):
        started = time.process_time()
        done = run()
        rates.append(done / (time.process_time() - started))
    return statistics.median(rates)


def simulated(requests: int, *sets: str, out: bool = False, scenario: Path = SCENARIO) -> Callable[[], int]:
    """A run through the public API; with `out` all its files are written."""
    loaded = load(str(scenario), [f"scenario.requests={requests}", *sets])

    def run() -> int:
        if not out:
            edgesim.simulate(loaded)
            return requests
        folder = Path(tempfile.mkdtemp(prefix="edgesim-benchmark-"))
        try:
            edgesim.simulate(loaded, out=folder / "run")
        finally:
            shutil.rmtree(folder)
        return requests

    return run


def bare(requests: int) -> Callable[[], int]:
    """The engine alone: arrivals made beforehand, each origin with one replica of its own, records thrown away."""
    loaded = load(str(SCENARIO), [f"scenario.requests={requests}"])
    simulation = Simulation(loaded)
    system = simulation.fleet.system
    chunks = [chunk.copy() for chunk in simulation.workload.chunks()]
    replicas = len(system.replicas)
    candidates = np.zeros(replicas, rows.CANDIDATE)
    candidates["replica"] = np.arange(replicas)
    system.candidates = candidates
    system.places = np.stack([np.arange(replicas), np.ones(replicas)], axis=1).astype(np.int64)
    system.classes = 1
    system.workloads["llm"] = 0
    turn = 0
    for chunk in chunks:
        chunk["origin"] = (turn + np.arange(len(chunk))) % replicas
        turn += len(chunk)
    from edgesim.policies.router import Nearest

    def run() -> int:
        engine = KernelEngine(system, simulation.front, lambda _: None, None, [Nearest()], ranked=False)
        engine.feed(iter(chunks))
        while not engine.idle:
            engine.advance(engine.now + 10**15)
        engine.finish()
        return requests

    return run


def as_profile() -> Profile:
    """The yardstick's roofline costs as if they had been measured, so that only the way of pricing differs."""
    cost = Simulation(load(str(SCENARIO))).fleet.system.costs[0]
    tokens, counts = [1, 64, 256, 1024, 2048], [1, 16, 64, 256]
    contexts, chunks, pasts = (
        [16, 256, 1024, 4096, 16384],
        [16, 64, 256, 512, 1024, 2048],
        [0, 256, 1024, 4096, 16384],
    )

    def seconds(ps: int) -> float:
        return ps * 1e-12

    def attention(chunk: int, past: int, decodes: int, context: int) -> float:
        features = {"prefill_pairs": cost.pairs(chunk, past)[0], "prefill_read": cost.pairs(chunk, past)[1]}
        whole = cost.mixed(chunk, decode_context=decodes * context, **features)
        return seconds(whole.ps - cost.mixed(chunk).ps)

    return Profile(
        accelerator="nvidia-a100-80gb-sxm",
        llm="llama-3-8b",
        weights="fp16",
        engine="roofline",
        source="made of roofline costs",
        tokens=tokens,
        linear=[seconds(cost.mixed(t).ps) for t in tokens],
        sequences=counts,
        head=[seconds(cost.mixed(256, sampled=n).ps - cost.mixed(256).ps) for n in counts],
        decode_sequences=counts,
        decode_contexts=contexts,
        decode=[[seconds(cost.decode(n, n * c).ps - cost.decode(n, 0).ps) for c in contexts] for n in counts],
        chunks=chunks,
        pasts=pasts,
        mixed_sequences=[0, *counts],
        mixed_contexts=contexts,
        mixed=[
            [[[attention(s, p, n, c) for c in contexts] for n in (0, *counts)] for p in pasts] for s in chunks
        ],
    )


def measure(requests: int, repeat: int) -> dict[str, float]:
    """All rows of the table."""
    python = ("policies.router=join-shortest-queue", "output.tables=[]")
    core = ("policies.router=power-of-two", "output.tables=[]")
    started = time.perf_counter()
    simulated(1000)()
    found = {"first_run_s": time.perf_counter() - started}
    found["bare_loop_rps"] = timed(bare(requests), repeat)
    worth, built.WORTH_COMPILING = built.WORTH_COMPILING, 1 << 62  # keep the built-in policy in Python
    found["python_router_rps"] = timed(simulated(requests, *python), repeat)
    built.WORTH_COMPILING = worth
    found["compiled_core_rps"] = timed(simulated(requests, *core), repeat)
    found["compiled_run_rps"] = timed(simulated(requests, *core[:1], out=True), repeat)
    found["prefix_cache_rps"] = timed(simulated(requests, *core, "deployments.0.prefix_cache=true"), repeat)
    for name, on in (("sessions", "false"), ("sessions_prefix_cache", "true")):
        cache = f"deployments.0.prefix_cache={on}"
        found[f"{name}_rps"] = timed(simulated(requests, *core, *SESSIONS, cache), repeat)
    with tempfile.TemporaryDirectory(prefix="edgesim-benchmark-") as folder:
        path = Path(folder) / "profile.json"
        path.write_text(as_profile().text())
        costs = f"deployments.0.costs={{kind: profile, path: {path}}}"
        found["profile_rps"] = timed(simulated(requests, *core, costs), repeat)
    for name in ("python_router", "compiled_core", "compiled_run", "prefix_cache", "profile"):
        found[f"{name}_to_bare"] = found[f"{name}_rps"] / found["bare_loop_rps"]
    found["sessions_cache_on_to_off"] = found["sessions_prefix_cache_rps"] / found["sessions_rps"]
    return found | alone("--long")


def scale(repeat: int) -> dict[str, float]:
    """Cost per request at 1,000 replicas over that at 10: same requests per replica, interleaved, set-up left out."""

    def cost(replicas: int) -> float:
        requests = 1000 * replicas
        sets = [
            f"scenario.requests={requests}",
            f"topology.nodes.servers.accelerators={replicas}",
            f"deployments.0.replicas={replicas}",
            f"workloads.chat.arrivals.rate={RATE / 16 * replicas}/s",
            f"topology.links.0.bandwidth={6.25 * replicas} Gbps",
            "output.tables=[]",
        ]
        simulation = Simulation(load(str(SCENARIO), sets))
        started = time.process_time()
        simulation.run(MemorySink(tables=[]))
        return (time.process_time() - started) / requests

    built.WORTH_COMPILING = 0  # the small fleet's requests are too few to compile a policy for
    ratios = []
    cost(10), cost(1000)
    for _ in range(repeat):
        few = statistics.median(cost(10) for _ in range(5))
        ratios.append(cost(1000) / few)
    return {"cost_ratio_1000_to_10": statistics.median(ratios)}


def alone(*options: str) -> dict[str, float]:
    """Another measurement, in a process of its own, since a process remembers its largest memory."""
    command = [sys.executable, "-m", "benchmarks.throughput", "--json", *options]
    told = subprocess.run(  # noqa: S603 - this file, run once more
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(told.stdout)
    return found


def long_run(requests: int = 10_000_000) -> dict[str, float]:
    """Many requests with all files and the summary."""
    started = time.process_time()
    simulated(requests, "policies.router=power-of-two", "output.tables=[]", out=True)()
    return {"long_rps": requests / (time.process_time() - started), "peak_rss_mib": peak_rss_mib()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--requests", type=int, default=500_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scale", action="store_true", help="also compare 1,000 replicas with 10")
    parser.add_argument(
        "--long", action="store_true", help="only run ten million requests, for the peak memory"
    )
    arguments = parser.parse_args()
    if arguments.long:
        found = long_run()
    else:
        found = measure(arguments.requests, arguments.repeat)
        if arguments.scale:
            found |= scale(arguments.repeat)
    if arguments.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    for name, value in found.items():
        print(f"{name:24} {value:12,.2f}")


if __name__ == "__main__":
    main()
