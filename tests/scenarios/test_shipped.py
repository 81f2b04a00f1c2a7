"""The shipped scenarios validate, run, and show what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import edgesim
from edgesim.cli import main
from edgesim.scenario import load
from edgesim.scenario.template import packaged
from edgesim.simulation import Simulation
from edgesim.verify.check import Kept

SCENARIOS = Path(__file__).parents[2] / "scenarios"
NAMES = sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def records(name: str, *sets: str) -> np.ndarray:
    kept = Kept()
    Simulation(load(str(SCENARIOS / f"{name}.yaml"), sets)).run(kept)
    return kept.records


def test_the_scenarios_are_those_the_readme_lists() -> None:
    """Eight of them, also as packaged ones."""
    assert NAMES == [
        "campus-2000",
        "edge-vs-cloud",
        "hot-phones",
        "peer-edges",
        "quickstart",
        "rate-sweep",
        "sensor-overload",
        "trace-replay",
    ]
    assert set(NAMES) <= set(packaged())


@pytest.mark.parametrize("name", NAMES)
def test_each_opens_with_what_it_shows_and_a_drawing(name: str) -> None:
    """The first lines are a comment with the topology in it."""
    lines = (SCENARIOS / f"{name}.yaml").read_text().splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    assert len(head) >= 4
    assert any("-->" in line for line in head)


@pytest.mark.parametrize("name", NAMES)
def test_each_runs_from_the_command_line(name: str, tmp_path: Path) -> None:
    """Shortened, with all files written and every request accounted for."""
    sets = [] if name == "trace-replay" else ["-s", "scenario.duration=20 s", "-s", "scenario.warmup=0 s"]
    done = CliRunner().invoke(
        main, ["run", str(SCENARIOS / f"{name}.yaml"), *sets, "-o", str(tmp_path / "run")]
    )
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    counts = summary["requests"]
    assert counts["arrived"] == sum(count for end, count in counts.items() if end != "arrived") > 0


def test_quickstart_uses_all_three_tiers() -> None:
    """Phones keep most, the edge box and the cloud take the rest."""
    loaded = load(str(SCENARIOS / "quickstart.yaml"), ["scenario.duration=2 min"])
    simulation, kept = Simulation(loaded), Kept()
    simulation.run(kept)
    done = kept.records[kept.records["status"] == 0]
    tiers = [simulation.fleet.tiers[replica] for replica in done["replica"]]
    assert set(tiers) == {"device", "edge", "cloud"}
    assert tiers.count("device") > len(tiers) / 2


def test_phones_slow_down_and_the_edge_helps() -> None:
    """Later answers come at two thirds of the first ones' pace; with the edge's help a first token takes a tenth."""
    alone = records("hot-phones", "scenario.duration=10 min")
    helped = records(
        "hot-phones", "scenario.duration=10 min", "policies.router={kind: threshold-offload, max_queue: 0}"
    )
    done = alone[(alone["status"] == 0) & (alone["output"] > 20)]
    pace = done["output"] / (done["finished"] - done["first_token"])
    early, late = done["finished"] < 60 * 10**12, done["arrived"] > 400 * 10**12
    assert 0.6 < np.median(pace[late]) / np.median(pace[early]) < 0.8
    waits = [
        float(np.median((found["first_token"] - found["arrived"])[found["status"] == 0]))
        for found in (alone, helped)
    ]
    assert waits[1] < 0.2 * waits[0]


def test_the_edge_leads_at_light_load_and_loses_its_lead() -> None:
    """The median TTFT crosses over between 0.2 and 8 requests a second."""

    def median(router: str, rate: str) -> float:
        found = records("edge-vs-cloud", f"policies.router={router}", f"workloads.chat.arrivals.rate={rate}")
        done = found[found["status"] == 0]
        return float(np.median(done["first_token"] - done["arrived"]))

    assert median("edge-only", "0.2/s") < median("cloud-only", "0.2/s")
    assert median("edge-only", "8/s") > median("cloud-only", "8/s")


def test_neighbours_help_a_busy_edge() -> None:
    """With peers the 95th percentile of TTFT is a fraction of what it is without."""

    def tail(router: str) -> float:
        found = records("peer-edges", f"policies.router={router}", "scenario.duration=8 min")
        seen = found[found["first_token"] >= 0]
        return float(np.percentile(seen["first_token"] - seen["arrived"], 95))

    assert tail("join-shortest-queue") < tail("nearest") / 2


def test_a_router_that_looks_keeps_the_objective_at_a_higher_rate() -> None:
    """At 8 requests a second, with the same requests: join-shortest-queue does, random does not."""
    found = edgesim.sweep(
        SCENARIOS / "rate-sweep.yaml",
        {
            "policies.router": ["random", "join-shortest-queue"],
            "workloads.chat.arrivals.rate": ["4/s", "8/s"],
        },
    ).table.set_index(["policies.router", "workloads.chat.arrivals.rate"])
    assert found.slo_met.to_dict() == {
        ("random", 4.0): True,
        ("random", 8.0): False,
        ("join-shortest-queue", 4.0): True,
        ("join-shortest-queue", 8.0): True,
    }
    assert found.ttft_p95["random", 8.0] > 2 * found.ttft_p95["join-shortest-queue", 8.0]
    assert found.arrived["random", 8.0] == found.arrived["join-shortest-queue", 8.0]


def test_sensors_at_twice_the_capacity_get_half_of_it() -> None:
    """500 items a second leave, 1,000 arrive, whatever the time."""
    found = records("sensor-overload", "scenario.duration=20 s")
    assert len(found) == 20_000
    assert 9_990 <= (found["status"] == 0).sum() <= 10_000


def test_a_fiftieth_of_the_campus_is_the_same_on_both_engines() -> None:
    """All integer columns, to the bit."""
    small = [
        "topology.nodes.device.count=40",
        "topology.nodes.building.count=2",
        "workloads.questions.arrivals.rate=0.9/s",
        "workloads.photos.arrivals.rate=0.9/s",
        "topology.links.2.bandwidth=3 Mbps",
        "scenario.duration=6 min",
        "scenario.warmup=0 s",
    ]
    kernel, twin = records("campus-2000", *small), records("campus-2000", *small, "engine=reference")
    assert len(kernel) > 500
    for name in kernel.dtype.names or ():
        if kernel.dtype[name].kind == "i":
            assert np.array_equal(kernel[name], twin[name]), name
        else:
            assert np.allclose(kernel[name], twin[name], rtol=1e-12, atol=0), name


def test_the_azure_trace_replays_whole(reference_data: Path) -> None:
    """All 8,819 requests of the code trace complete."""
    trace = reference_data / "traces" / "azure2023_code.csv"
    found = records("trace-replay", f"workloads.trace.path={trace}")
    assert len(found) == 8_819
    assert (found["status"] == 0).all()


@pytest.mark.verification
def test_the_campus_is_busy_for_an_hour() -> None:
    """At least 300,000 requests, three links above 80 % for ten minutes, fifty transfers at a time on average."""
    flows, carried = [], []

    def watch(simulation: Simulation):
        while True:
            yield simulation.after(10)
            tables, now = simulation.engine.arena.tables, simulation.engine.now
            links = tables["links"]
            carried.append(links["carried"] + links["allotted"] * (now - links["settled_at"]) * 1e-15)
            flows.append(int((tables["flows"]["used"] * (tables["flows"]["kind"] != 1)).sum()))

    kept = Kept()
    simulation = Simulation(load(str(SCENARIOS / "campus-2000.yaml")), processes=[watch])
    simulation.run(kept)
    assert sum(map(len, kept.chunks)) >= 300_000
    moved = np.array(carried)
    busy = (moved[60:] - moved[:-60]) / (simulation.topology.capacity * 600)
    assert (busy.max(axis=0) > 0.8).sum() >= 3
    assert np.mean(flows) >= 50
