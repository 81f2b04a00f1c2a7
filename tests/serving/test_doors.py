"""What SimPy processes may do in a run, and that those that do nothing change nothing."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim import registry
from edgesim.arena import rows
from edgesim.errors import SimulationError
from edgesim.scenario import load
from edgesim.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

S = 10**12
MS = 10**9

# A prompt of 10 tokens takes 20 ms + 10 x 2 ms, an output token after the first 10 ms; the link carries 1 MB/s.
COSTS = {
    "kind": "linear",
    "prefill": {"base": "20 ms", "per_token": "2 ms"},
    "decode": {"base": "10 ms"},
}
SCENARIO: dict[str, Any] = {
    "scenario": {"name": "doors", "seed": 5, "duration": "20 s"},
    "topology": {
        "nodes": {
            "users": {"tier": "device", "count": 4},
            "box": {"tier": "edge", "accelerator": "nvidia-l4"},
            "site": {"tier": "cloud", "accelerator": "nvidia-a100-80gb-sxm", "accelerators": 2},
        },
        "links": [
            {"between": ["users", "box"], "latency": "5 ms", "bandwidth": "8 Mbps", "shared": True},
            {"between": ["box", "site"], "latency": "10 ms", "bandwidth": "1 Gbps"},
        ],
    },
    "deployments": [
        {"llm": "llama-3.1-8b", "weights": "int8", "on": "box", "costs": COSTS, "max_num_seqs": 8},
        {"llm": "llama-3.1-8b", "on": "site", "replicas": 2, "costs": COSTS, "max_num_seqs": 8},
    ],
    "workloads": {
        "chat": {
            "from": "users",
            "arrivals": {"kind": "poisson", "rate": "30/s"},
            "prompt_tokens": {"kind": "exponential", "mean": 60, "max": 400},
            "output_tokens": {"kind": "exponential", "mean": 20, "max": 100},
        }
    },
    "policies": {"router": "join-shortest-queue", "retry": {"attempts": 1, "backoff": "10 ms"}},
}
QUIET = {"arrivals": {"kind": "poisson", "rate": "0.001/s"}}
"""So rarely that nobody comes within the run."""


class Kept:
    """A sink that keeps all rows."""

    def __init__(self) -> None:
        self.chunks: dict[str, list[Any]] = {"requests": [], "legs": []}

    def take(self, table: str, chunk: Any) -> None:
        self.chunks[table].append(chunk.copy())

    def rows(self, table: str) -> Any:
        keys = ["request"] if table == "requests" else ["request", "leg"]
        return np.sort(np.concatenate(self.chunks[table]), order=keys)


@pytest.fixture(params=["kernel", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which engine runs."""
    return str(request.param)


def scenario(engine: str, *, quiet: bool = False, **more: Any) -> Any:
    """The scenario of this file."""
    data = {**SCENARIO, "engine": engine, **more}
    if quiet:
        data["workloads"] = {"chat": {**SCENARIO["workloads"]["chat"], **QUIET}}
    return load(data)


def run(built: Any, *processes: Callable[[Simulation], Iterator[Any]]) -> Kept:
    """The rows of a run."""
    kept = Kept()
    Simulation(built, processes=processes).run(kept)
    return kept


def test_after(engine: str) -> None:
    """`after` takes seconds or a quantity; a float handed to SimPy's own timeout raises with that advice."""
    seen: list[float] = []

    def process(sim: Simulation) -> Iterator[Any]:
        yield sim.after(0.5)
        seen.append(sim.now)
        yield sim.after("500 ms")
        seen.append(sim.now)
        with pytest.raises(SimulationError, match=r"use sim\.after\(0\.5\) or sim\.after\('500 ms'\)"):
            sim.clock.timeout(0.5)
        with pytest.raises(SimulationError, match="out of range"):
            sim.after("-1 s")
        seen.append(sim.now)

    run(scenario(engine, quiet=True), process)
    assert seen == [0.5, 1.0, 1.0]


def test_transfer(engine: str) -> None:
    """1 MB over 1 MB/s and 5 ms takes 1.005 s; two at once share the link; a name may stand for the number."""
    seen: dict[str, float] = {}

    def one(sim: Simulation) -> Iterator[Any]:
        name = sim.topology.link_name(0)
        yield sim.transfer(name, 1_000_000)
        seen["alone"] = sim.now
        yield sim.transfer(0, 1_000_000) & sim.transfer(name, 500_000)
        seen["together"] = sim.now
        with pytest.raises(SimulationError, match="no link named 'ether'"):
            sim.transfer("ether", 5)
        with pytest.raises(SimulationError, match="a whole number from 1"):
            sim.transfer(0, 0)

    run(scenario(engine, quiet=True), one)
    assert seen == {
        "alone": pytest.approx(1.005, abs=1e-12),
        "together": pytest.approx(1.005 + 1.505, abs=1e-12),
    }


def shared(engine: str, sharing: str, **more: Any) -> Any:
    """The scenario with a link to the box that is shared in some way."""
    links = SCENARIO["topology"]["links"]
    topology = {**SCENARIO["topology"], "links": [{**links[0], "sharing": sharing}, links[1]]}
    return scenario(engine, topology=topology, **more)


@pytest.mark.parametrize(
    ("sharing", "bulk", "urgent"),
    [("fair", 1.505, 1.255), ("fifo", 1.005, 1.505), ("priority", 1.505, 0.755)],
)
def test_transfers_over_links_that_serve_in_order(
    engine: str, sharing: str, bulk: float, urgent: float
) -> None:
    """1 MB over 1 MB/s, and after 0.25 s another 500 kB that are urgent."""
    # fair: 250 kB of the first, then half each: the second at 1.25 s, the first at 1.5 s. FIFO: one after the other.
    # By priority: the second at 0.75 s, then the first.
    seen: dict[str, float] = {}

    def first(sim: Simulation) -> Iterator[Any]:
        yield sim.transfer(0, 1_000_000, priority=1)
        seen["bulk"] = sim.now

    def second(sim: Simulation) -> Iterator[Any]:
        yield sim.after(0.25)
        with pytest.raises(SimulationError, match="priority 'high'; it is a whole number"):
            sim.transfer(0, 1, priority="high")  # type: ignore[arg-type]
        with pytest.raises(SimulationError, match="priority True; it is a whole number"):
            sim.transfer(0, 1, priority=True)
        yield sim.transfer(0, 500_000, priority=np.int64(0))  # type: ignore[arg-type]
        seen["urgent"] = sim.now

    run(shared(engine, sharing, quiet=True), first, second)
    assert seen == {"bulk": pytest.approx(bulk, abs=1e-12), "urgent": pytest.approx(urgent, abs=1e-12)}


def test_requests_carry_their_priority_over_links(engine: str) -> None:
    """Urgent prompts with images overtake others on a priority link that both fill; on a fair one they do not."""
    chat = {**SCENARIO["workloads"]["chat"], "arrivals": {"kind": "poisson", "rate": "3/s"}, "images": 1}
    loads = {
        "urgent": {**chat, "image_bytes": "150 kB"},
        "others": {**chat, "image_bytes": "150 kB", "priority": 3},
    }
    uplink: dict[tuple[str, int], float] = {}
    seeing = [{**one, "llm": "llava-1.5-7b"} for one in SCENARIO["deployments"]]
    for sharing in ("fair", "priority"):
        built = shared(engine, sharing, workloads=loads, deployments=seeing)
        records = run(built).rows("requests")
        done = records[records["status"] == 0]
        for workload in (0, 1):
            uplink[sharing, workload] = float(done["uplink"][done["workload"] == workload].mean()) / S
    alone = 0.155  # 150 kB at 1 MB/s and 5 ms
    assert 0.7 < uplink["fair", 0] / uplink["fair", 1] < 1.4
    assert alone < uplink["priority", 0] < uplink["fair", 0] / 1.5
    assert uplink["priority", 1] > uplink["fair", 1]


def test_generate(engine: str) -> None:
    """A replica answers: 10 prompt tokens, 40 ms, and two more tokens, 20 ms; its record is the event's value."""
    seen: list[Any] = []

    def process(sim: Simulation) -> Iterator[Any]:
        yield sim.after(1)
        record = yield sim.generate(sim.fleet.names[0], 10, 3)
        seen.append((sim.now, record))
        with pytest.raises(SimulationError, match="no replica named 'boxx'"):
            sim.generate("boxx", 1, 1)
        with pytest.raises(SimulationError, match="a whole number from 1"):
            sim.generate(0, 10, 0)

    kept = run(scenario(engine, quiet=True), process)
    ((now, record),) = seen
    assert now == pytest.approx(1.06, abs=1e-12)
    assert record["status"] == rows.R_COMPLETED
    assert (int(record["arrived"]), int(record["finished"])) == (S, S + 60 * MS)
    assert kept.rows("requests")["request"].tolist() == [int(record["request"])]


def test_fail_replica(engine: str) -> None:
    """A crash loses what runs there; who waits for it hears of it, and a failed replica answers no more."""
    seen: list[Any] = []

    def process(sim: Simulation) -> Iterator[Any]:
        work = sim.generate(0, 10, 30)
        yield sim.after("50 ms")
        sim.fail_replica(0)
        record = yield work
        seen.append((sim.now, int(record["status"])))

    run(scenario(engine, quiet=True, policies={"router": "join-shortest-queue"}), process)
    assert seen == [(0.05, rows.R_FAILED)]


def test_failure_sends_requests_elsewhere(engine: str) -> None:
    """Requests whose replica crashes are retried on one that is up; nothing new goes to the one that is not."""

    def process(sim: Simulation) -> Iterator[Any]:
        sim.fail_replica(0, at="5 s")
        yield sim.after(0)

    legs = run(scenario(engine), process).rows("legs")
    lost = legs[legs["outcome"] == rows.LOST]
    assert len(lost)
    assert set(lost["replica"]) == {0}
    late = legs[(legs["dispatched"] > 5 * S)]
    assert len(late) > 100
    assert 0 not in late["replica"]
    again = legs[legs["kind"] == rows.RETRY]
    assert set(lost["request"]) <= set(again["request"])


def test_set_speed(engine: str) -> None:
    """At half speed from 10 ms on, 30 ms of prefill become 60, and decodes take 20 ms."""
    seen: list[float] = []

    def process(sim: Simulation) -> Iterator[Any]:
        work = sim.generate(0, 10, 3)
        yield sim.after("10 ms")
        sim.set_speed(0, 0.5)
        yield work
        seen.append(sim.now)

    run(scenario(engine, quiet=True), process)
    assert seen == [pytest.approx(0.01 + 0.06 + 0.04, abs=1e-12)]


def test_drain_replica(engine: str) -> None:
    """A draining replica finishes what it holds and takes nothing new."""
    seen: list[Any] = []

    def process(sim: Simulation) -> Iterator[Any]:
        work = sim.generate(0, 10, 3)
        yield sim.after("10 ms")
        sim.drain_replica(0)
        record = yield work
        seen.append((sim.now, int(record["status"])))

    kept = run(scenario(engine), process)
    assert seen[0][1] == rows.R_COMPLETED
    legs = kept.rows("legs")
    assert 0 not in legs["replica"][legs["dispatched"] > 10 * MS]
    assert not (legs["outcome"] == rows.LOST).any()


def test_start_replica(engine: str) -> None:
    """One that failed can be brought back, and serves again."""

    def process(sim: Simulation) -> Iterator[Any]:
        sim.fail_replica(0)
        yield sim.after(5)
        sim.start_replica(0)

    legs = run(scenario(engine), process).rows("legs")
    first = int(legs["dispatched"][legs["replica"] == 0].min())
    assert 5 * S <= first < 6 * S


def test_idle_process_changes_no_row(engine: str) -> None:
    """A process that only ticks, ten times a second, leaves every row as it was."""

    def idle(sim: Simulation) -> Iterator[Any]:
        while True:
            yield sim.after(0.1)

    calm, ticking = run(scenario(engine)), run(scenario(engine), idle)
    for table in ("requests", "legs"):
        assert len(calm.rows(table)) > 300
        assert np.array_equal(calm.rows(table), ticking.rows(table))


PLUGIN = '''
"""Routers that decide as built-in ones do."""

from edgesim.policies import Router, register


@register("identity-for-tests")
class Identity(Router):
    """Send each request where the fewest are, by asking every view."""

    def route(self, request, candidates, view):
        return min(candidates, key=lambda replica: (replica.queue_length + replica.running, candidates.index(replica)))
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    """A file with a router, forgotten afterwards."""
    path = tmp_path / "identity.py"
    path.write_text(PLUGIN, encoding="utf-8")
    yield path
    for module in [name for name in sys.modules if name.startswith("edgesim_plugin_")]:
        for one in registry.registries.values():
            one.forget(module)
        del sys.modules[module]


def test_identity_plugin_changes_no_row(engine: str, plugin: Path) -> None:
    """A router of one's own in plain Python that decides as the built-in one gives the same rows."""
    built_in = run(scenario(engine))
    policies = {**SCENARIO["policies"], "router": "identity-for-tests"}
    own = run(scenario(engine, policies=policies, plugins=[str(plugin)]))
    for table in ("requests", "legs"):
        assert np.array_equal(built_in.rows(table), own.rows(table))


@pytest.mark.parametrize("sharing", ["fair", "fifo", "priority"])
def test_both_engines_give_the_same_rows(sharing: str) -> None:
    """With processes that transfer, ask, fail, drain and change speeds, kernel and twin agree to the bit."""

    def story(sim: Simulation) -> Iterator[Any]:
        yield sim.after(1)
        for turn in range(6):
            yield sim.transfer(turn % 2, 300_000 * (turn + 1), priority=turn % 3)
            yield sim.generate(turn % 3, 50, 10 + turn)
            sim.set_speed(turn % 3, 0.8 + 0.1 * turn)
        sim.fail_replica(1)
        yield sim.after(2)
        sim.start_replica(1)
        sim.drain_replica(2)

    kernel, twin = (run(shared(engine, sharing), story) for engine in ("kernel", "reference"))
    for table in ("requests", "legs"):
        left, right = kernel.rows(table), twin.rows(table)
        for name in left.dtype.names:
            if left.dtype[name].kind == "i":
                assert np.array_equal(left[name], right[name]), (table, name)
            else:
                assert left[name] == pytest.approx(right[name], rel=1e-12)


def test_load_is_as_of_the_last_boundary_on_both_engines() -> None:
    """In the middle of long plans, too, both see the same running and waiting requests and the same KV share."""
    looks: dict[str, list[Any]] = {"kernel": [], "reference": []}

    for engine, seen in looks.items():

        def look(sim: Simulation, seen: list[Any] = seen) -> Iterator[Any]:
            for turn in range(400):
                yield sim.after(0.0173 + 0.001 * (turn % 7))
                seen.append([sim.load(replica) for replica in range(3)])
                if turn == 200:
                    sim.set_speed(1, 0.7)

        run(scenario(engine), look)
    assert looks["kernel"] == looks["reference"]
    assert len({look[0] for look in looks["kernel"]}) > 50


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda sim: sim.fail_replica(-1), "no replica -1; there are 3, counted from 0"),
        (lambda sim: sim.fail_replica(999), "no replica 999; there are 3"),
        (lambda sim: sim.drain_replica(1.5), "1.5 is no replica; give its name, or a number from 0 to 2"),
        (lambda sim: sim.fail_replica(0, at=float("nan")), "a time of nan never comes"),
        (lambda sim: sim.load(-1), "no replica -1"),
        (lambda sim: sim.set_state(3, rows.ON), "no replica 3"),
        (lambda sim: sim.set_state(0, 99), "99 is no state of a replica"),
        (
            lambda sim: sim.set_speed(0, 0),
            "a speed of 0; it is a multiple of the nominal one, from 0.001 to 1,000",
        ),
        (lambda sim: sim.set_speed(0, -2), "a speed of -2"),
        (lambda sim: sim.set_speed(0, float("nan")), "a speed of nan"),
        (lambda sim: sim.set_speed(0, 1e12), "a speed of 1000000000000.0"),
        (lambda sim: sim.set_speed(0, "half"), "a speed of 'half'"),
        (lambda sim: sim.transfer(-1, 1000), "no link -1; there are"),
        (lambda sim: sim.transfer(999, 1000), "no link 999"),
        (
            lambda sim: sim.transfer(0, 1500.5),
            "a transfer of 1500.5 bytes; it takes a whole number from 1 to",
        ),
        (lambda sim: sim.transfer(0, 10**30), "a transfer of 1000"),
        (lambda sim: sim.generate(-1, 10, 10), "no replica -1"),
        (lambda sim: sim.generate(0, 10.5, 10), "a request of 10.5 prompt tokens"),
        (lambda sim: sim.generate(0, 10, 2**40), "a request of 1099511627776 output tokens"),
        (lambda sim: sim.after(float("nan")), "a time of nan never comes"),
    ],
)
def test_what_makes_no_sense_is_refused(engine: str, call: Callable[[Simulation], Any], text: str) -> None:
    """With a sentence, at the call, before anything has happened."""

    def process(sim: Simulation) -> Iterator[Any]:
        yield sim.after(1)
        with pytest.raises(SimulationError, match=re.escape(text)):
            call(sim)

    run(scenario(engine, quiet=True), process)


def test_a_draining_replica_takes_nothing_from_processes_either(engine: str) -> None:
    """It is turned away, as it is by one that is off; one that serves again answers."""
    seen: list[int] = []

    def process(sim: Simulation) -> Iterator[Any]:
        for state in (rows.DRAINING, rows.OFF, rows.ON):
            sim.set_state(0, state)
            record = yield sim.generate(0, 10, 3)
            seen.append(int(record["status"]))
            yield sim.after(0.1)

    run(scenario(engine, quiet=True), process)
    assert seen == [rows.R_REJECTED, rows.R_REJECTED, rows.R_COMPLETED]


@pytest.mark.parametrize("duration", [None, "40 s"])
def test_both_engines_end_at_the_same_time(duration: str | None) -> None:
    """With the last request, not with the last timer that nobody needs; or when the scenario says, idle or not."""
    ends = []
    for engine in ("kernel", "reference"):
        settings: dict[str, Any] = {"name": "ends", "seed": 1, "requests": 20}
        data = {
            **SCENARIO,
            "engine": engine,
            "scenario": settings | ({"duration": duration} if duration else {}),
        }
        data["workloads"] = {"chat": {**SCENARIO["workloads"]["chat"], "patience": "30 s"}}
        kept = Kept()
        outcome = Simulation(load(data)).run(kept)
        last = int(kept.rows("requests")["finished"].max()) / S
        assert outcome.info.duration_s == (40.0 if duration else last)
        ends.append(outcome.totals.replicas["idle_nj"].tolist())
    assert ends[0] == ends[1]
