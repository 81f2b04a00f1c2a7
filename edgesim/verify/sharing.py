"""Links: max-min rates against exact water-filling, propagation, and the conservation of bytes."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.arena import rows
from edgesim.serving.engine import KernelEngine
from edgesim.serving.system import System
from edgesim.verify.check import Check, close, run
from edgesim.verify.random_systems import step_cost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def exact_shares(capacities: Sequence[int], paths: Sequence[Sequence[int]]) -> list[Fraction]:
    """Max-min fair rates by progressive filling in fractions (Bertsekas and Gallager, Data Networks, 6.5.2)."""
    rates = [Fraction(0)] * len(paths)
    active = set(range(len(paths)))
    left = [Fraction(c) for c in capacities]
    while active:
        crossing = [sum(link in paths[f] for f in active) for link in range(len(capacities))]
        level = min(left[link] / n for link, n in enumerate(crossing) if n)
        full = {link for link, n in enumerate(crossing) if n and left[link] / n == level}
        frozen = [f for f in active if full & set(paths[f])]
        for flow in frozen:
            rates[flow] = level
            active.discard(flow)
            for link in paths[flow]:
                left[link] -= level
    return rates


def kernel_rates(capacities: Sequence[int], paths: Sequence[Sequence[int]]) -> list[int]:
    """Rates that the kernel gives to flows which start at the same instant."""
    random = np.random.default_rng(0)
    count = len(paths)
    links = np.zeros(len(capacities), rows.LINK)
    links["capacity"] = capacities
    replicas = np.zeros(1, rows.REPLICA)
    for name, value in (("max_num_seqs", 1), ("max_tokens", 8), ("block_size", 16), ("total_blocks", 100)):
        replicas[name] = value
    replicas["context_limit"], replicas["state"], replicas["speed"] = 10**6, rows.ON, rows.FULL_SPEED
    candidates = np.zeros(count, rows.CANDIDATE)
    pool: list[int] = []
    for candidate, path in zip(candidates, paths, strict=True):
        candidate["up"], candidate["up_hops"], candidate["up_narrow"] = len(pool), len(path), 1
        candidate["down_narrow"] = 1
        pool += path
    places = np.stack([np.arange(count), np.ones(count)], axis=1).astype(np.int64)
    system = System(
        links=links, replicas=replicas, costs=[step_cost(random, 1, 8, 0)], candidates=candidates, places=places,
        classes=1, paths=np.array(pool, np.int64), workloads=np.zeros(1, rows.WORKLOAD), windows=[0],
    )  # fmt: skip
    engine = KernelEngine(system, First(), lambda _: None, ranked=False)
    arrivals = np.zeros(count, rows.ARRIVAL)
    arrivals["origin"], arrivals["prompt"], arrivals["output"] = np.arange(count), 1, 1
    arrivals["bytes_up"] = 10**12
    engine.feed(iter([arrivals]))
    engine.advance(1000)
    flows = engine.arena.tables["flows"]
    used = flows[flows["used"] == 1]
    return [int(rate) for rate in used["rate"][np.argsort(used["key"])]]


class First:
    """Sends everything to the first candidate."""

    def decide(self, cells: Sequence[int], base: int, board: Sequence[int], now: int) -> int:
        """Answer the first candidate."""
        return 0

    def ended(self, record: Any) -> None:
        """Nobody listens."""


def checks(graphs: int = 1000) -> Iterator[Check]:
    """All of them."""
    random = np.random.default_rng(5)
    worst = Fraction(0)
    for _ in range(graphs):
        links = int(random.integers(1, 9))
        capacities = random.integers(10**6, 10**10, links).tolist()
        paths = [
            random.permutation(links)[: random.integers(1, links + 1)].tolist()
            for _ in range(random.integers(1, 15))
        ]
        for got, want in zip(kernel_rates(capacities, paths), exact_shares(capacities, paths), strict=True):
            worst = max(worst, abs(got - want))
    yield Check(
        f"max-min on {graphs:,} graphs",
        "exact water-filling",
        f"off by {float(worst):.3g} mB/s",
        "20 mB/s",
        worst < 20,
    )
    yield from pipe()


def pipe() -> Iterator[Check]:
    """A long fat link: transfers overlap in flight, and every byte is counted."""
    messages, nbytes, latency, bandwidth = 50, 1_000_000, 0.5, 10e6
    arrived: list[float] = []

    def sender(simulation: Any) -> Iterator[Any]:
        for _ in range(messages):
            event = simulation.transfer(0, nbytes)
            event.callbacks.append(lambda _: arrived.append(simulation.now))
            yield simulation.after(nbytes / bandwidth)

    scenario = {
        "scenario": {"name": "pipe", "duration": "20 s"},
        "topology": {
            "nodes": {"user": {"tier": "device"}, "box": {"tier": "edge", "accelerator": "nvidia-l4"}},
            "links": [{"between": ["user", "box"], "latency": "500 ms", "bandwidth": "80 Mbps"}],
        },
        "deployments": [{"llm": "llama-3.2-1b", "on": "box"}],
        "workloads": {
            "idle": {
                "from": "user",
                "arrivals": {"kind": "periodic", "period": "19 s", "phase": "spread"},
                "prompt_tokens": 10,
                "output_tokens": 1,
            }
        },
    }
    records, outcome = run(scenario, [sender])
    expected = messages * nbytes / bandwidth + latency
    yield close("propagation does not block a link", expected, max(arrived), 2e-3, "s", "one other message")
    packets = int(records["bytes_up"][records["bytes_up"] > rows.PACKET].sum())
    carried = float(outcome.totals.links["bytes"][0])
    yield close("bytes on the link", messages * nbytes + packets, carried, 1e-9 * carried, "B", "1e-9")
