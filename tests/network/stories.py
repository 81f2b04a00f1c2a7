"""Random networks with transfers that start and stop, told by the kernel's flows and by plain water-filling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import simpy

from edgesim.arena import rows
from edgesim.network.fluid import FluidNetwork
from edgesim.serving.system import System

MS = 10**9
SIZES = (1, 1501, 40_000, 2_000_000)
CAPACITIES = (10**6, 10**6, 2 * 10**6, 3 * 10**6 + 1, 10**7, 10**9)


@dataclass
class Deed:
    """A transfer begins, or a stream that was begun is stopped, unless all of it was sent before."""

    at: int
    key: int
    path: tuple[int, ...] = ()
    nbytes: int = 0
    demand: int = 0
    latency: int = 0
    priority: int = 0
    stops: bool = False


@dataclass
class Account:
    """What happened: rates after each deed, when transfers came, what stopped streams had sent, bytes of links."""

    rates: list[dict[int, int]] = field(default_factory=list)
    came: list[tuple[int, int]] = field(default_factory=list)
    sent: list[tuple[int, float]] = field(default_factory=list)
    carried: list[float] = field(default_factory=list)


def network(capacities: list[int], sharing: list[int], paths: list[int]) -> System:
    """Links and nothing else worth mentioning: an engine needs one replica."""
    from edgesim.verify.random_systems import step_cost

    links = np.zeros(len(capacities), rows.LINK)
    links["capacity"], links["sharing"] = capacities, sharing
    replicas = np.zeros(1, rows.REPLICA)
    replicas["max_num_seqs"] = replicas["max_tokens"] = replicas["block_size"] = replicas["total_blocks"] = 1
    replicas["state"], replicas["speed"] = rows.ON, rows.FULL_SPEED
    return System(
        links=links, replicas=replicas, costs=[step_cost(np.random.default_rng(0), 1, 1, 0)],
        candidates=np.zeros(1, rows.CANDIDATE), places=np.array([[0, 1]]), classes=1,
        paths=np.array([*paths, *range(len(capacities))], np.int64), workloads=np.zeros(1, rows.WORKLOAD),
        windows=[0],
    )  # fmt: skip


def story(seed: int, *, streams: bool) -> tuple[list[int], list[Deed]]:
    """Capacities of a random multi-hop graph and what happens on it; many things at the same instant."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 8))
    capacities = [int(c) for c in random.choice(CAPACITIES, count)]
    deeds: list[Deed] = []
    span = int(random.choice([1, 20, 200, 3000]))
    crowd = int(random.choice([5, 12, 40]))
    for key in range(int(random.integers(2, crowd))):
        path = tuple(int(x) for x in random.permutation(count)[: random.integers(1, min(count, 5) + 1)])
        at = int(random.integers(0, span + 1)) * 10 * MS
        if random.random() < 0.3:
            at += int(random.integers(0, 10 * MS))
        size = int(random.choice(SIZES)) if crowd == 40 else int(random.integers(5000, 200_000))
        deed = Deed(at, key, path, size, latency=int(random.integers(0, 3)) * 5 * MS)
        if streams and random.random() < 0.5:
            deed.demand = int(random.choice([500, 90_000, 400_000, 10**6]))
            deeds.append(Deed(at + int(random.integers(0, 20_000)) * MS, key, stops=True))
        deeds.append(deed)
    deeds.sort(key=lambda deed: (deed.at, deed.stops, deed.key))
    return capacities, deeds


def ordered_story(seed: int, *, streams: bool) -> tuple[list[int], list[int], list[Deed]]:
    """A story with links that serve in order, transfers of several classes, and paths that use a medium twice."""
    capacities, deeds = story(seed, streams=streams)
    random = np.random.default_rng(seed + 10**6)
    kinds = [[rows.FIFO], [rows.PRIORITY], [rows.FAIR, rows.FIFO], [rows.FAIR, rows.PRIORITY], range(3)][
        seed % 5
    ]
    sharing = [int(kind) for kind in random.choice(kinds, len(capacities))]
    sharing[0] = sharing[0] or int(kinds[-1])
    for deed in deeds:
        deed.priority = int(random.integers(-1, 3))
        if deed.path and random.random() < 0.1:
            deed.path += deed.path[:1]
    return capacities, sharing, deeds


def tell_by_twin(
    capacities: list[int], deeds: list[Deed], until: int, sharing: Sequence[int] = ()
) -> Account:
    """The account of exact water-filling over all flows under SimPy."""
    env = simpy.Environment(0)
    net = FluidNetwork(env, capacities, sharing)
    account, flows = Account(), {}

    def do(deed: Deed) -> None:
        if deed.stops:
            account.sent.append((deed.key, net.stop(flows.pop(deed.key))))
        else:
            flows[deed.key] = net.start(
                deed.path,
                float(deed.nbytes),
                deed.key,
                None if deed.demand else lambda: come(deed),
                deed.demand,
                deed.priority,
            )

    def come(deed: Deed) -> None:
        flows.pop(deed.key)
        account.came.append((int(env.now) + deed.latency, deed.key))

    def look() -> None:
        here = {key: flow for key, flow in flows.items() if flow in net.flows}
        account.rates.append({key: flow.rate for key, flow in here.items()})
        assert account.rates[-1] == dict(zip(here, net.rates(list(here.values())), strict=True))

    for deed in deeds:
        env.timeout(deed.at).callbacks.append(lambda _, deed=deed: do(deed))
    for at in sorted({deed.at for deed in deeds}):
        env.timeout(at + 1).callbacks.append(lambda _: look())
    env.run(until=until)
    account.carried = net.carried_until(until)
    return account


def tell_by_kernel(
    capacities: list[int], deeds: list[Deed], until: int, sharing: Sequence[int] = ()
) -> Account:
    """The account of the arena; streams need a kernel in plain Python, since only its loop has a door."""
    from edgesim.serving import loop
    from edgesim.serving.engine import KernelEngine

    pool: list[int] = []
    starts: dict[int, int] = {}
    for deed in deeds:
        if not deed.stops:
            starts[deed.key] = len(pool)
            pool += deed.path
    system = network(capacities, [*sharing] or [rows.FAIR] * len(capacities), pool)
    engine = KernelEngine(system, SimpleNamespace(), print)  # type: ignore[arg-type]
    engine.feed(iter(()))
    engine.control["max_demand"] = max([0, *(deed.demand for deed in deeds)])
    account, streams = Account(), {}
    sizes = {deed.key: deed.nbytes for deed in deeds if not deed.stops}
    engine.arrived = lambda owner: account.came.append((engine.now, owner))
    moments = sorted({deed.at for deed in deeds})
    for at in moments:
        engine.advance(at)
        for deed in (deed for deed in deeds if deed.at == at):
            if deed.stops:
                row = streams.pop(deed.key)
                flow = engine.arena.tables["flows"][row]
                there = flow["used"] and flow["kind"] == rows.STREAM and flow["key"] == deed.key
                sent = plain().stop_flow(state_of(engine), row) if there else float(sizes[deed.key])
                account.sent.append((deed.key, sent))
            elif deed.demand:
                streams[deed.key] = plain().start_flow(
                    state_of(engine), rows.STREAM, 0, deed.key, starts[deed.key], len(deed.path), 0,
                    float(deed.nbytes), deed.demand, deed.priority,
                )  # fmt: skip
            else:
                engine.arena.tables["listed"][0] = deed.priority
                loop.run(
                    engine.arena.address, deed.nbytes, loop.TRANSFER, deed.key, starts[deed.key], len(deed.path),
                    deed.latency,
                )  # fmt: skip
        engine.advance(at + 1)
        table = engine.arena.tables["flows"]
        account.rates.append(
            {
                int(table[i]["key" if table[i]["kind"] == rows.STREAM else "owner"]): int(table[i]["rate"])
                for i in np.flatnonzero(table["used"])
            }
        )
    engine.advance(until)
    account.carried = [
        float(link["carried"]) + float(link["allotted"]) * float(until - int(link["settled_at"])) * 1e-15
        for link in engine.arena.tables["links"]
    ]
    return account


def plain() -> Any:
    """The kernel's flows as plain Python functions."""
    from edgesim.arena.compile import JIT
    from edgesim.network import flows

    assert not JIT
    return flows


def state_of(engine: Any) -> Any:
    """An engine's tables as the kernel sees them."""
    from edgesim.arena.tables import unpack

    return unpack(engine.arena.address)


def differences(seed: int, *, streams: bool, ordered: bool = False) -> list[str]:
    """What differs between the two accounts of a story, in words."""
    sharing: Sequence[int] = ()
    if ordered:
        capacities, sharing, deeds = ordered_story(seed, streams=streams)
    else:
        capacities, deeds = story(seed, streams=streams)
    until = max(deed.at for deed in deeds) + 10**14
    left = tell_by_twin(capacities, deeds, until, sharing)
    right = tell_by_kernel(capacities, deeds, until, sharing)
    found = []
    for i, (a, b) in enumerate(zip(left.rates, right.rates, strict=True)):
        if a != b:
            found.append(f"rates after deed {i}: {a} != {b}")
            break
    if sorted(left.came) != sorted(right.came):
        found.append(f"transfers came: {left.came} != {right.came}")
    if left.sent != right.sent:
        found.append(f"streams sent: {left.sent} != {right.sent}")
    if not np.allclose(left.carried, right.carried, rtol=1e-9, atol=1e-9):
        found.append(f"carried: {left.carried} != {right.carried}")
    return found
