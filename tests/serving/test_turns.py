"""Deployments that take turns on one accelerator: who has it when, what a switch costs, and who pays for idling."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

import edgesim
from edgesim.arena import rows
from edgesim.errors import ScenarioError, SimulationError
from edgesim.scenario import load
from edgesim.serving.reference_device import TwinDevice
from edgesim.serving.reference_replica import TwinReplica
from edgesim.simulation import Simulation
from edgesim.verify import random_systems
from edgesim.verify.check import Kept

from . import storms
from .restated import Restated
from .whimsical import Whimsical, forgetting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgesim.policies import Scheduler

S, MS = 10**12, 10**9
COSTS = {"kind": "linear", "prefill": {"base": "20 ms"}, "decode": {"base": "10 ms"}, "power": "5 W"}
NPU = {"like": "snapdragon-8-elite", "switch_time": "100 ms"}
SCENARIO: dict[str, Any] = {
    "scenario": {"name": "turns", "seed": 5, "duration": "20 s"},
    "accelerators": {"npu": NPU},
    "topology": {"nodes": {"phone": {"tier": "device", "accelerator": "npu", "quantum": "300 ms"}}},
    "deployments": [
        {"llm": llm, "weights": "int4", "on": "phone", "costs": COSTS, "memory_utilisation": "45 %"}
        for llm in ("llama-3.2-1b", "qwen2.5-0.5b")
    ],
    "workloads": {
        "chat": {
            "from": "phone", "arrivals": {"kind": "poisson", "rate": "0.000001/s"},
            "prompt_tokens": 10, "output_tokens": 10,
        }
    },
}  # fmt: skip
FIRST, SECOND = "phone/llama-3.2-1b", "phone/qwen2.5-0.5b"


@pytest.fixture(params=["kernel", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which engine runs."""
    return str(request.param)


def run(engine: str, *processes: Callable[[Simulation], Iterator[Any]], **more: Any) -> Any:
    """The outcome of a story."""
    simulation = Simulation(load({**SCENARIO, "engine": engine, **more}), processes=processes)
    return simulation.run(Kept())


def test_switching_takes_its_time_once(engine: str) -> None:
    """The LLM that is loaded answers at once, another one after the switch; the first one was loaded at the start."""
    took: list[float] = []

    def story(sim: Simulation) -> Iterator[Any]:
        for name in (FIRST, FIRST, SECOND, SECOND, FIRST):
            record = yield sim.generate(name, 10, 11)
            took.append(int(record["finished"] - record["arrived"]) / MS)

    outcome = run(engine, story)
    assert took == [120, 120, 220, 120, 220]
    assert outcome.totals.replicas["switches"].tolist() == [1, 1]


def test_who_waits_is_let_in_after_the_quantum(engine: str) -> None:
    """A long answer is interrupted at the first boundary after 300 ms, and goes on when the short one is done."""
    ends: dict[str, float] = {}

    def ask(sim: Simulation, name: str, after: float, tokens: int) -> Iterator[Any]:
        yield sim.after(after)
        record = yield sim.generate(name, 10, tokens)
        ends[name] = int(record["finished"]) / MS

    run(engine, lambda sim: ask(sim, FIRST, 0.0, 101), lambda sim: ask(sim, SECOND, 0.105, 11))
    # 20 ms of prefill, then boundaries every 10 ms: the first not before 300 ms is at 300.
    assert ends[SECOND] == 300 + 100 + 120
    # Its first step after that is priced like one with swaps: as a mixed step, 20 ms, after the switch.
    assert ends[FIRST] == 20 + 100 * 10 + (100 + 120) + 100 + (20 - 10)


def test_who_comes_late_is_let_in_at_once(engine: str) -> None:
    """The quantum counts from when the holder got the accelerator, not from when another one came."""
    ends: dict[str, float] = {}

    def ask(sim: Simulation, name: str, after: float) -> Iterator[Any]:
        yield sim.after(after)
        record = yield sim.generate(name, 10, 101)
        ends[name] = int(record["finished"]) / MS

    run(engine, lambda sim: ask(sim, FIRST, 0.0), lambda sim: ask(sim, SECOND, 0.505))
    # At 510 ms the second one switches (100) and keeps its turn to the boundary at 810: the first then goes on.
    switch, quantum = 100, 300
    assert ends[FIRST] > 1020 + switch + quantum
    assert ends[SECOND] > ends[FIRST]


def test_a_boundary_at_the_same_instant_is_past_if_its_replica_comes_first(engine: str) -> None:
    """Boundaries of one instant come in the order of the replicas, also those that a longer plan runs through."""
    ends: dict[str, float] = {}

    def ask(sim: Simulation, name: str, after: float, tokens: int) -> Iterator[Any]:
        yield sim.after(after)
        record = yield sim.generate(name, 10, tokens)
        ends[name] = int(record["finished"]) / MS

    run(engine, lambda sim: ask(sim, FIRST, 0.0, 101), lambda sim: ask(sim, SECOND, 0.51, 11))
    assert ends[SECOND] == 520 + 100 + 120
    run(engine, lambda sim: ask(sim, SECOND, 0.0, 101), lambda sim: ask(sim, FIRST, 0.61, 11))
    assert ends[FIRST] == 610 + 100 + 120  # the second one had switched first, at 0


def test_without_work_nobody_keeps_the_accelerator(engine: str) -> None:
    """A crash of the holder lets the next in line run, and its own requests are lost."""
    seen: list[Any] = []

    def ask(sim: Simulation, name: str) -> Iterator[Any]:
        record = yield sim.generate(name, 10, 11)
        seen.append((name, int(record["status"]), int(record["finished"]) / MS))

    def crash(sim: Simulation) -> Iterator[Any]:
        yield sim.after("55 ms")
        sim.fail_replica(FIRST)

    run(engine, lambda sim: ask(sim, FIRST), lambda sim: ask(sim, SECOND), crash)
    assert seen == [(FIRST, rows.R_FAILED, 55.0), (SECOND, rows.R_COMPLETED, 55.0 + 100 + 120)]


def test_idling_is_paid_once(engine: str) -> None:
    """Busy and idle times of all that share an accelerator add up to the run."""

    def story(sim: Simulation) -> Iterator[Any]:
        for name in (FIRST, SECOND, SECOND):
            yield sim.generate(name, 10, 101)

    totals = run(engine, story).totals.replicas
    assert totals["busy_ps"].sum() == (3 * 1020 + 100) * MS
    assert totals["idle_ps"].sum() + totals["busy_ps"].sum() == 20 * S
    assert totals["idle_nj"].sum() == pytest.approx(0.6 * 1e9 * totals["idle_ps"].sum() / S, rel=1e-9)


def test_they_heat_one_lump(engine: str) -> None:
    """A phone is as hot as the energy of both says, and both slow down with it."""
    thermal = {
        "resistance": "8 K/W",
        "capacity": "4 J/K",
        "throttle_at": "35 degC",
        "slowest_at": "45 degC",
        "ambient": "20 degC",
    }
    nodes = {"phone": {**SCENARIO["topology"]["nodes"]["phone"], "thermal": thermal}}

    def story(sim: Simulation) -> Iterator[Any]:
        while True:
            for name in (FIRST, SECOND):
                yield sim.generate(name, 10, 101)

    heat = run(engine, story, topology={"nodes": nodes}).totals.heat
    assert heat["final_c"][0] == heat["final_c"][1]
    assert heat["throttled_ps"][0] == heat["throttled_ps"][1] > 0
    assert heat["slowest"][0] == heat["slowest"][1] < 0.9
    alone = run(engine, story, topology={"nodes": nodes}, energy={"tick": "250 ms"}).totals.heat
    assert alone["final_c"][0] == pytest.approx(heat["final_c"][0], abs=1.0)


def test_a_run_tells_how_often_it_switched() -> None:
    """Two LLMs on a phone, asked in turn."""
    workloads = {
        name: {**SCENARIO["workloads"]["chat"], "llm": llm, "arrivals": {"kind": "poisson", "rate": "1/s"}}
        for name, llm in (("a", "llama-3.2-1b"), ("b", "qwen2.5-0.5b"))
    }
    run = edgesim.simulate({**SCENARIO, "workloads": workloads})
    switches = run.summary["by"]["tier"]["device"]["fleet"]["switches"]
    assert 5 < switches < len(run.requests)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"accelerators": {"npu": {"like": "nvidia-l4"}}}, "two replicas cannot share an accelerator"),
        (
            {"deployments": [{**one, "memory_utilisation": "90 %"} for one in SCENARIO["deployments"]]},
            "deployments that take turns on 'phone' may use 180 % of its memory",
        ),
        (
            {"deployments": [{**one, "replicas": 2} for one in SCENARIO["deployments"]]},
            "deployments that take turns on 'phone' need all of its accelerators, and one replica each",
        ),
    ],
)
def test_turns_that_cannot_be(change: dict[str, Any], expected: str) -> None:
    """What cannot switch is not shared; what is shared has room and is whole."""
    with pytest.raises(ScenarioError) as caught:
        load({**SCENARIO, **change})
    assert any(problem.text.startswith(expected) for problem in caught.value.problems)


def test_works_need_a_device_of_their_own(engine: str) -> None:
    """A device on which deployments take turns has no part to give away."""

    def story(sim: Simulation) -> Iterator[Any]:
        with pytest.raises(SimulationError, match="takes turns on its device with another"):
            sim.use(FIRST, 1.0)
        yield sim.after(0)

    run(engine, story)


def test_who_forms_steps_takes_turns_too(engine: str) -> None:
    """A scheduler that would let both go on answers for one at a time; its answer stands when the turn is back."""
    ends: dict[str, float] = {}

    def ask(sim: Simulation, name: str, after: float, tokens: int) -> Iterator[Any]:
        yield sim.after(after)
        record = yield sim.generate(name, 10, tokens)
        ends[name] = int(record["finished"]) / MS

    def first(sim: Simulation) -> Iterator[Any]:
        return ask(sim, FIRST, 0.0, 101)

    def second(sim: Simulation) -> Iterator[Any]:
        return ask(sim, SECOND, 0.105, 11)

    run(engine, first, second, policies={"scheduler": "multilevel-feedback"})
    formed = dict(ends)
    run(engine, first, second)
    assert formed == ends == {SECOND: 520, FIRST: 1350}


@pytest.mark.parametrize(
    ("make", "seeds"),
    [(lambda _: None, 300), (lambda seed: Restated(ranked=bool(seed % 2)), 190), (Whimsical, 190)],
    ids=["own", "restated", "whimsical"],
)
def test_crowds_are_equal_in_both_engines(
    make: Callable[[int], Scheduler | None], seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled and crashed in line, with one accelerator for all: kernel and twin agree, and it was seen to happen.

    So it is where a scheduler forms the steps.
    """
    seen: Counter[str] = Counter()
    drop, abort, leave = TwinReplica._drop_cancelled, TwinReplica.abort, TwinDevice.leave

    def dropped(replica: Any) -> None:
        in_line = replica.device is not None and replica in replica.device.line
        seen["cancelled in the line"] += in_line and any(leg.cancelled for leg in replica.running)
        drop(replica)

    def aborted(replica: Any, state: int) -> None:
        seen["crashed in the line"] += replica in replica.device.line
        seen["crashed with the turn"] += replica is replica.device.holder and bool(replica.device.line)
        abort(replica, state)

    def left(device: Any, replica: Any) -> None:
        seen["left from the middle of the line"] += replica in device.line[1:-1]
        seen["left from the end of the line"] += len(device.line) > 1 and replica is device.line[-1]
        leave(device, replica)

    monkeypatch.setattr(TwinReplica, "_drop_cancelled", dropped)
    monkeypatch.setattr(TwinReplica, "abort", aborted)
    monkeypatch.setattr(TwinDevice, "leave", left)
    differing = {}
    forgets = forgetting(random_systems) if make(0) else nullcontext()
    with storms.brewing(random_systems, storms.crowded), forgets:
        for seed in range(seeds):
            found = random_systems.differences(
                random_systems.run_reference(seed, make(seed)), random_systems.run_kernel(seed, make(seed))
            )
            if found:
                differing[seed] = found
    assert differing == {}
    assert {what for what, count in seen.items() if count} == {
        "cancelled in the line", "crashed in the line", "crashed with the turn", "left from the middle of the line",
        "left from the end of the line",
    }  # fmt: skip
