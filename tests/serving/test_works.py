"""Works on the devices of replicas: who gets how much of a device, when works are done, and who owns their joules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import edgesim
from edgesim.arena import rows
from edgesim.errors import SimulationError
from edgesim.outcome import Outcome
from edgesim.scenario import load
from edgesim.simulation import Simulation
from edgesim.verify import books

from .test_doors import QUIET, SCENARIO, Kept

MS = 10**9


@pytest.fixture(params=["kernel", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which engine runs."""
    return str(request.param)


def run(
    engine: str, *processes: Callable[[Simulation], Iterator[Any]], quiet: bool = True, **more: Any
) -> tuple[Kept, Outcome]:
    """Rows and outcome of a run, in which requests come only if it is not quiet."""
    data = {**SCENARIO, "engine": engine, **more}
    if quiet:
        data["workloads"] = {"chat": {**SCENARIO["workloads"]["chat"], **QUIET}}
    kept = Kept()
    return kept, Simulation(load(data), processes=processes).run(kept)


def test_a_work_beside_an_idle_replica_takes_twice_as_long(engine: str) -> None:
    """The replica's part is set aside; the work gets the other half, from its start to its end."""
    seen: list[Any] = []

    def process(sim: Simulation) -> Iterator[Any]:
        yield sim.after(1)
        work = yield sim.use("box", "30 ms")
        seen.append((sim.now, work))

    run(engine, process)
    ((now, work),) = seen
    assert now == work.finished_at == pytest.approx(1.06, abs=1e-12)
    assert (work.started_at, work.work_s, work.done_s) == (1.0, 0.03, 0.03)
    assert work.replica == "box/llama-3.1-8b"


def test_a_work_slows_the_replica_while_it_lasts(engine: str) -> None:
    """40 ms of prefill from 0; from 10 ms on at half speed until 70 ms, as the work of 30 ms; then 2 x 10 ms."""
    seen: dict[str, float] = {}

    def ask(sim: Simulation) -> Iterator[Any]:
        yield sim.generate(0, 10, 3)
        seen["answered"] = sim.now

    def train(sim: Simulation) -> Iterator[Any]:
        yield sim.after("10 ms")
        yield sim.use(0, 0.03)
        seen["trained"] = sim.now

    run(engine, ask, train)
    assert seen == {"trained": pytest.approx(0.07, abs=1e-12), "answered": pytest.approx(0.09, abs=1e-12)}


def test_parts_are_by_weight(engine: str) -> None:
    """Two works of 1 leave a third each; one of 0.25 leaves 80 % to the replica; those that end leave theirs."""
    seen: dict[str, float] = {}

    def use(sim: Simulation, name: str, work: float, weight: float) -> Iterator[Any]:
        yield sim.use(0, work, weight)
        seen[name] = sim.now

    def process(sim: Simulation) -> Iterator[Any]:
        sim.process(use(sim, "short", 1.0, 1.0))
        sim.process(use(sim, "long", 2.0, 1.0))  # a third until 3 s, then a half of the second that is left
        yield sim.after(10)
        sim.process(use(sim, "light", 0.1, 0.25))
        yield sim.after(0)
        yield sim.generate(0, 10, 2)  # 50 ms at 80 %
        seen["answered"] = sim.now

    run(engine, process)
    assert seen == pytest.approx({"short": 3.0, "long": 5.0, "answered": 10.0625, "light": 10.5}, abs=1e-9)


def test_speeds_and_parts_compose(engine: str) -> None:
    """At half speed a work takes twice as long again, and the replica runs at a quarter; after it at a half."""
    seen: dict[str, float] = {}

    def use(sim: Simulation) -> Iterator[Any]:
        yield sim.use(0, "50 ms")
        seen["done"] = sim.now

    def process(sim: Simulation) -> Iterator[Any]:
        sim.set_speed(0, 0.5)
        sim.process(use(sim))
        yield sim.after(0)
        yield sim.generate(0, 10, 1)  # 40 ms at a quarter
        seen["first"] = sim.now
        yield sim.after("1 s")
        yield sim.generate(0, 10, 1)  # 40 ms at a half
        seen["second"] = sim.now
        use_again = sim.use(0, "50 ms")
        yield sim.after("20 ms")
        sim.set_speed(0, 1)  # 5 of 50 ms are done; the others take 90 ms
        yield use_again
        seen["again"] = sim.now

    run(engine, process)
    assert seen == pytest.approx(
        {"first": 0.16, "done": 0.2, "second": 0.16 + 1.08, "again": 0.16 + 1.08 + 0.11}, abs=1e-9
    )


def test_a_replica_that_has_failed_leaves_its_part(engine: str) -> None:
    """And takes it again when it is back."""
    seen: list[float] = []

    def process(sim: Simulation) -> Iterator[Any]:
        work = sim.use(0, "1 s")
        yield sim.after("500 ms")  # 250 ms are done
        sim.fail_replica(0)
        yield sim.after("500 ms")  # 750 ms
        sim.start_replica(0)
        yield work
        seen.append(sim.now)

    run(engine, process)
    assert seen == [pytest.approx(1.5, abs=1e-9)]


def test_joules_have_an_owner_and_are_in_the_totals(engine: str) -> None:
    """Energy is power above idle times work, however long it takes; unfinished works have drawn what they did."""
    works: list[Any] = []

    def process(sim: Simulation) -> Iterator[Any]:
        yield sim.after(2)
        works.append((yield sim.use("box", "3 s", power="70 W")))
        works.append((yield sim.use("box", "2 s", weight=0.5)))
        sim.use("site/llama-3.1-8b[1]", "100 s", weight=3, power=400)

    kept, outcome = run(engine, process, quiet=False)
    records, totals = kept.rows("requests"), outcome.totals.replicas
    sim = Simulation(load({**SCENARIO, "engine": engine}))
    cost = sim.fleet.system.costs[0]
    assert cost.cap_mw > cost.idle_mw > 0
    assert works[0].energy_j == pytest.approx(3 * (70 - cost.idle_mw / 1000), rel=1e-12)
    assert works[1].energy_j == pytest.approx(2 * (cost.cap_mw - cost.idle_mw) / 1000, rel=1e-12)
    assert totals["work_nj"][0] == pytest.approx(1e9 * (works[0].energy_j + works[1].energy_j), abs=2)
    left = 20.0 - works[1].finished_at
    site = sim.fleet.system.costs[1].idle_mw / 1000
    assert totals["work_nj"][2] == pytest.approx(1e9 * (400 - site) * left * 0.75, rel=1e-9)
    assert totals["work_nj"][1] == 0
    assert all(check.passed for check in books.audit(records, outcome))


def test_the_summary_adds_works_up(engine: str) -> None:
    """Total energy and money close, with works in them."""

    def process(sim: Simulation) -> Iterator[Any]:
        yield sim.use("box", "3 s")

    nodes = {**SCENARIO["topology"]["nodes"]}
    nodes["box"] = {**nodes["box"], "electricity": "0.3 $/kWh", "price": "1 $/h", "carbon": "100 gCO2/kWh"}
    topology = {**SCENARIO["topology"], "nodes": nodes}
    data = {**SCENARIO, "engine": engine, "topology": topology}
    plain, beside = edgesim.simulate(data).summary, edgesim.simulate(data, processes=[process]).summary
    energy = beside["energy_j"]
    assert energy["works"] > 20
    parts = sum(energy[part] for part in ("idle", "dynamic", "decisions", "works", "network"))
    assert energy["total"] == pytest.approx(parts, rel=1e-12)
    assert beside["of_requests"]["energy_j"] + energy["idle"] + energy["works"] == pytest.approx(
        energy["total"], rel=1e-9
    )
    assert beside["carbon_g"] > plain["carbon_g"]
    sim, kept = Simulation(load(data), processes=[process]), Kept()
    outcome = sim.run(kept)
    assert books.money(sim, kept.rows("requests"), outcome).passed


def test_a_run_without_an_end_lasts_until_its_works_are_done(engine: str) -> None:
    """Not only until the last request's end, on both engines."""

    def process(sim: Simulation) -> Iterator[Any]:
        yield sim.use("box", "30 s")

    _, outcome = run(engine, process, quiet=False, scenario={"name": "w", "requests": 10})
    assert outcome.info.duration_s == pytest.approx(60, abs=1e-9)


def test_both_engines_give_the_same_rows_and_ends() -> None:
    """With works of all weights, speeds, crashes and requests in between, kernel and twin agree to the bit."""

    def workers(sim: Simulation, seed: int, ends: list[Any]) -> Iterator[Any]:
        random = np.random.default_rng(seed)
        for _ in range(12):
            yield sim.after(float(random.exponential(0.4)))
            replica = int(random.integers(0, 3))
            ends.append(
                (yield sim.use(replica, float(random.exponential(0.5)), float(random.choice([0.25, 1, 2]))))
            )
            sim.set_speed(replica, float(random.choice([0.7, 1, 1.2])))
            if random.random() < 0.15:
                sim.fail_replica(replica)
                yield sim.after(0.3)
                sim.start_replica(replica)

    found = []
    for engine in ("kernel", "reference"):
        ends: list[Any] = []
        stories = [lambda sim, seed=seed, ends=ends: workers(sim, seed, ends) for seed in range(4)]
        kept, outcome = run(engine, *stories, quiet=False)
        found.append((kept, outcome, [(work.replica, work.finished_at) for work in ends]))
    (kernel, one, left), (twin, other, right) = found
    assert left == right
    assert len(left) > 30
    for table in ("requests", "legs"):
        a, b = kernel.rows(table), twin.rows(table)
        for name in a.dtype.names:
            if a.dtype[name].kind == "i":
                assert np.array_equal(a[name], b[name]), (table, name)
    assert (kernel.rows("legs")["outcome"] == rows.LOST).any()
    assert np.array_equal(one.totals.replicas["work_nj"], other.totals.replicas["work_nj"])
    assert np.array_equal(one.totals.replicas["busy_ps"], other.totals.replicas["busy_ps"])


def test_what_cannot_be_is_refused(engine: str) -> None:
    """Unknown places with a suggestion, nodes with several devices, works that are none, power below idle."""
    cases = [
        (("boxx", 1.0), "no replica, and no node with one, named 'boxx'; did you mean 'box'?"),
        (("users[0]", 1.0), "no replica, and no node with one, named 'users[0]'"),
        (
            ("site", 1.0),
            "node 'site' has 2 devices; name a replica: 'site/llama-3.1-8b[0]' or 'site/llama-3.1-8b[1]'",
        ),
        (("box", 0.0), "a work of 0.0 s; it is a number above 0"),
        (("box", "1 s", -1.0), "a weight of -1.0; it is a number above 0"),
        (("box", float("nan")), "a work of nan s; it is a number above 0"),
        (("box", 1.0, 1.0, True), "a power of True W; it is a number above 0"),
        ((7, 1.0), "no replica 7; there are 3, counted from 0"),
        (("box", 1.0, 1.0, "1 W"), "a work that draws 1 W on a device whose idle power is "),
    ]

    def process(sim: Simulation) -> Iterator[Any]:
        for arguments, message in cases:
            with pytest.raises(SimulationError) as caught:
                sim.use(*arguments)
            assert str(caught.value).startswith(message)
        yield sim.after(0)

    run(engine, process)
