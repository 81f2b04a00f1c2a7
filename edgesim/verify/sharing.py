"""Links: rates against exact sharing in three ways, queueing laws, propagation, and the conservation of bytes."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.arena import rows
from edgesim.serving.engine import KernelEngine
from edgesim.serving.system import System
from edgesim.stats import batch_means
from edgesim.verify.check import Check, close, run
from edgesim.verify.random_systems import step_cost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Paths = Sequence[Sequence[int]]


def exact_shares(capacities: Sequence[int | Fraction], paths: Paths) -> list[Fraction]:
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


def in_turn(capacities: Sequence[int], paths: Paths, classes: Sequence[int]) -> list[Fraction]:
    """Exact rates where each class shares max-min what the smaller ones leave, on every link."""
    rates = [Fraction(0)] * len(paths)
    left = [Fraction(c) for c in capacities]
    for klass in sorted(set(classes)):
        those = [f for f, other in enumerate(classes) if other == klass]
        for flow, rate in zip(those, exact_shares(left, [paths[f] for f in those]), strict=True):
            rates[flow] = rate
            for link in paths[flow]:
                left[link] -= rate
    return rates


def kernel_rates(
    capacities: Sequence[int], paths: Paths, sharing: int = rows.FAIR, classes: Sequence[int] = ()
) -> list[int]:
    """Rates that the kernel gives to flows which start at the same instant, one after the other."""
    random = np.random.default_rng(0)
    count = len(paths)
    links = np.zeros(len(capacities), rows.LINK)
    links["capacity"], links["sharing"] = capacities, sharing
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
    arrivals["priority"] = classes or 0
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
    yield against_theory("max-min", "exact water-filling", rows.FAIR, random, graphs)
    yield against_theory("first come, first served", "exact, one by one", rows.FIFO, random, graphs)
    yield against_theory("priorities", "exact, class by class", rows.PRIORITY, random, graphs)
    yield from pipe()
    yield from queues()


def against_theory(name: str, how: str, sharing: int, random: np.random.Generator, graphs: int) -> Check:
    """Rates on random multi-hop graphs whose links are all shared in one way."""
    worst = Fraction(0)
    for _ in range(graphs):
        links = int(random.integers(1, 9))
        capacities = random.integers(10**6, 10**10, links).tolist()
        paths = [
            random.permutation(links)[: random.integers(1, links + 1)].tolist()
            for _ in range(random.integers(1, 15))
        ]
        classes = [0] * len(paths)
        if sharing == rows.FIFO:
            classes = list(range(len(paths)))
        elif sharing == rows.PRIORITY:
            classes = random.integers(0, 3, len(paths)).tolist()
        got, want = kernel_rates(capacities, paths, sharing, classes), in_turn(capacities, paths, classes)
        worst = max(worst, *(abs(a - b) for a, b in zip(got, want, strict=True)))
    return Check(
        f"{name} on {graphs:,} graphs", how, f"off by {float(worst):.3g} mB/s", "20 mB/s", worst < 20
    )


def wire(name: str, duration: str, **link: str) -> dict[str, Any]:
    """A user and a box with one link between them, on which next to nothing happens by itself."""
    return {
        "scenario": {"name": name, "duration": duration},
        "topology": {
            "nodes": {"user": {"tier": "device"}, "box": {"tier": "edge", "accelerator": "nvidia-l4"}},
            "links": [{"between": ["user", "box"], **link}],
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


def pipe() -> Iterator[Check]:
    """A long fat link: transfers overlap in flight, and every byte is counted."""
    messages, nbytes, latency, bandwidth = 50, 1_000_000, 0.5, 10e6
    arrived: list[float] = []

    def sender(simulation: Any) -> Iterator[Any]:
        for _ in range(messages):
            event = simulation.transfer(0, nbytes)
            event.callbacks.append(lambda _: arrived.append(simulation.now))
            yield simulation.after(nbytes / bandwidth)

    records, outcome = run(wire("pipe", "20 s", latency="500 ms", bandwidth="80 Mbps"), [sender])
    expected = messages * nbytes / bandwidth + latency
    yield close("propagation does not block a link", expected, max(arrived), 2e-3, "s", "one other message")
    sent = int(records["bytes_up"].sum())
    carried = float(outcome.totals.links["bytes"][0])
    yield close("bytes on the link", messages * nbytes + sent, carried, 1e-9 * carried, "B", "1e-9")


BANDWIDTH = 10e6
"""Of the link on which transfers queue [B/s]."""
SIZE = 10_000
"""Mean size of these transfers [B]."""


def queues(messages: int = 40_000) -> Iterator[Check]:
    """Transfers that come by Poisson over a FIFO link, and in two classes over one shared by priority."""
    service, rho = SIZE / BANDWIDTH, 0.8
    (times,) = sojourns("fifo", [rho / service], messages, exponential=False)
    # Pollaczek and Khinchine, for a constant service time
    yield _mean("M/D/1 transfers on a FIFO link", service + rho * service / (2 * (1 - rho)), times)
    first, second = 0.35, 0.35
    urgent, others = sojourns(
        "priority", [first / service, second / service], messages // 2, exponential=True
    )
    # Preemptive priority with exponential service (Kleinrock, Queueing Systems II, 3.6); how a class shares what it
    # has among its own does not change their number.
    yield _mean("urgent transfers on a priority link", service / (1 - first), urgent)
    yield _mean("less urgent ones", service / ((1 - first) * (1 - first - second)), others)


def sojourns(
    sharing: str, rates: Sequence[float], messages: int, *, exponential: bool
) -> list[NDArray[np.float64]]:
    """How long transfers of each class take, in the order in which they begin [s].

    Args:
        sharing: How the link is shared.
        rates: Transfers a second, class by class.
        messages: How many of each class.
        exponential: Whether their sizes vary.
    """
    latency = 1e-6
    found = [np.zeros(messages) for _ in rates]

    def sender(klass: int) -> Any:
        random = np.random.default_rng(klass)
        gaps = random.exponential(1 / rates[klass], messages)
        sizes = random.exponential(SIZE, messages) if exponential else np.full(messages, SIZE)

        def process(simulation: Any) -> Iterator[Any]:
            for i in range(messages):
                yield simulation.after(gaps[i])
                event = simulation.transfer(0, max(1, round(sizes[i])), priority=klass)
                event.callbacks.append(
                    lambda _, i=i, began=simulation.now: found[klass].__setitem__(
                        i, simulation.now - began - latency
                    )
                )

        return process

    duration = f"{1.2 * messages / min(rates)} s"
    scenario = wire("queue", duration, latency="1 us", bandwidth="80 Mbps", sharing=sharing)
    run(scenario, [sender(klass) for klass in range(len(rates))])
    return found


def _mean(name: str, expected: float, times: NDArray[np.float64]) -> Check:
    """The mean of times against theory."""
    interval = batch_means(times[len(times) // 20 :], 20, 0.99)
    return close(name, expected, interval.mean, interval.half_width, "s", "99 %")
