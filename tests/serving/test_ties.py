"""What happens at one instant comes in order: boundaries by replica, also those that a long plan runs through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim import simulation
from edgesim.arena.compile import JIT
from edgesim.scenario import load
from edgesim.verify import random_systems
from edgesim.verify.check import Kept

from . import storms

if TYPE_CHECKING:
    from collections.abc import Iterator

MS = 10**9

# Prompts take 20 ms, a token after the first 10 ms, and nothing is far: boundaries of both replicas meet all the time.
SCENARIO: dict[str, Any] = {
    "scenario": {"name": "ties", "seed": 5, "duration": "20 s"},
    "topology": {
        "nodes": {"site": {"tier": "cloud", "accelerator": "nvidia-a100-80gb-sxm", "accelerators": 2}}
    },
    "deployments": [
        {
            "llm": "llama-3.1-8b", "on": "site", "replicas": 2, "max_num_seqs": 8, "block_size": 1,
            "costs": {"kind": "linear", "prefill": {"base": "20 ms"}, "decode": {"base": "10 ms"}},
        }
    ],
    "workloads": {
        "chat": {
            "from": "site", "arrivals": {"kind": "poisson", "rate": "0.000001/s"},
            "prompt_tokens": 10, "output_tokens": 10,
        }
    },
}  # fmt: skip


@pytest.fixture(params=["kernel", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which engine runs."""
    return str(request.param)


@pytest.mark.parametrize(("steady", "other", "past"), [(0, 1, True), (1, 0, False)])
def test_a_boundary_within_a_plan_has_its_turn_at_its_instant(
    engine: str, steady: int, other: int, past: bool
) -> None:
    """A reply ends at 120 ms, where another replica has a boundary within a long reply: past if its number is less.

    Then the step that it ends is seen to be over, and a question asked at that instant joins the batch at the next one.
    """
    held: list[int] = []
    begun: list[int] = []

    def lasting(sim: simulation.Simulation) -> Iterator[Any]:
        yield sim.generate(steady, 10, 200)

    def ending(sim: simulation.Simulation) -> Iterator[Any]:
        free = sim.engine.load(steady)[2]
        yield sim.generate(other, 10, 11)
        assert sim.clock.now == 120 * MS
        held.append(free - sim.engine.load(steady)[2])
        assert sim.engine.loads()[2][steady] == free - held[0]
        record = yield sim.generate(steady, 10, 1)
        begun.append(int(record["first_scheduled"]))

    simulation.Simulation(load({**SCENARIO, "engine": engine}), processes=[lasting, ending]).run(Kept())
    # From 20 ms on a step begins every 10 ms and takes a block for its token; the one that begins at 120 ms is the 11th.
    assert held == [10 + 10 + past]
    assert begun == [(130 if past else 120) * MS]


def test_a_call_out_of_idleness_takes_no_boundary_back(engine: str) -> None:
    """Who gets in line after a later replica's boundary waits for the holder's next one: this instant's is past."""
    costs = SCENARIO["deployments"][0]["costs"]
    shared = {"weights": "int4", "on": "phone", "memory_utilisation": "45 %", "costs": costs}
    scenario = {
        **SCENARIO,
        "engine": engine,
        "accelerators": {"npu": {"like": "snapdragon-8-elite", "switch_time": "100 ms"}},
        "topology": {
            "nodes": {
                "phone": {"tier": "device", "accelerator": "npu", "quantum": "300 ms"},
                **SCENARIO["topology"]["nodes"],
            }
        },
        "deployments": [
            {"llm": "llama-3.2-1b", **shared},
            {"llm": "qwen2.5-0.5b", **shared},
            {"llm": "llama-3.2-1b", "on": "site", "costs": costs},
        ],
        "workloads": {"chat": {**SCENARIO["workloads"]["chat"], "llm": "llama-3.2-1b"}},
    }
    caller, holder, last = range(3)
    begun: list[int] = []

    def lasting(sim: simulation.Simulation) -> Iterator[Any]:
        yield sim.generate(holder, 10, 200)

    def ending(sim: simulation.Simulation) -> Iterator[Any]:
        yield sim.generate(last, 10, 40)
        assert sim.clock.now == (20 + 39 * 10) * MS
        record = yield sim.generate(caller, 10, 1)
        begun.append(int(record["first_scheduled"]))

    simulation.Simulation(load(scenario), processes=[lasting, ending]).run(Kept())
    # The holder switched at 0, has had its 300 ms, and has boundaries at 120, 130, ... 410, 420.
    assert begun == [420 * MS]


def test_compiled_policies_see_what_others_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users who ask again at once are decided for at instants at which everything happens, in each tier alike."""
    if not JIT:
        pytest.skip("the compiled tier needs the compiler")
    users = {"kind": "closed-loop", "users": 7, "think_time": "0 s"}
    lengths = {"kind": "uniform", "low": 1, "high": 30}
    chat = {"from": "site", "arrivals": users, "prompt_tokens": 10, "output_tokens": lengths}
    scenario = {**SCENARIO, "workloads": {"chat": chat}, "policies": {"router": "least-outstanding-tokens"}}

    def records(engine: str, worth: int) -> Any:
        monkeypatch.setattr(simulation, "WORTH_COMPILING", worth)
        kept = Kept()
        run = simulation.Simulation(load({**scenario, "engine": engine}))
        run.run(kept)
        if engine == "kernel":
            assert bool(run.engine.control["router"]) == (worth == 0)
        return kept.records

    twin = np.sort(records("reference", 10**9), order="request")
    assert len(twin) > 500
    assert len(set(twin["replica"].tolist())) == 2
    for worth in (0, 10**9):
        kernel = np.sort(records("kernel", worth), order="request")
        for name in ("request", "replica", "arrived", "first_scheduled", "finished", "compute_nj"):
            assert kernel[name].tolist() == twin[name].tolist(), (worth, name)


@pytest.mark.parametrize("seed", [345, 2246, 2609])
def test_storms_that_met_within_plans(seed: int) -> None:
    """Random systems in which kernel and twin once saw different boundaries of one instant."""
    with storms.brewing(random_systems):
        twin = random_systems.run_reference(seed)
        assert random_systems.differences(twin, random_systems.run_kernel(seed)) == []


def test_who_is_lost_at_once_is_sent_nowhere_else_but_tried_again() -> None:
    """A request that is sent to two replicas, the first of them down, waits once: its phases add up, in both engines."""
    with storms.brewing(random_systems, storms.crowded):
        twin = random_systems.run_reference(10_418)
        kernel = random_systems.run_kernel(10_418)
    assert random_systems.unbalanced(twin) == random_systems.unbalanced(kernel) == []
    assert random_systems.differences(twin, kernel) == []
