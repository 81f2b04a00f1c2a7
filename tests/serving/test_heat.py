"""Heat: temperatures follow the closed form, clocks follow temperatures, and both engines agree on all of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import edgesim
from edgesim.scenario import load
from edgesim.simulation import Simulation

from .test_doors import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

S = 10**12
COSTS = {"kind": "linear", "prefill": {"base": "20 ms"}, "decode": {"base": "10 ms"}, "power": "5 W"}
FIGURES = {
    "resistance": "8 K/W",
    "capacity": "40 J/K",
    "throttle_at": "500 degC",
    "slowest_at": "600 degC",
    "ambient": "20 degC",
}
PHONE = {
    "scenario": {"name": "heat", "seed": 5, "duration": "200 s"},
    "topology": {
        "nodes": {"phone": {"tier": "device", "accelerator": "snapdragon-8-elite", "thermal": FIGURES}}
    },
    "deployments": [{"llm": "llama-3.2-1b", "weights": "int4", "on": "phone", "costs": COSTS}],
    "workloads": {
        "chat": {
            "from": "phone",
            "arrivals": {"kind": "poisson", "rate": "0.000001/s"},
            "prompt_tokens": 10,
            "output_tokens": 10,
        }
    },
}


@pytest.fixture(params=["kernel", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which engine runs."""
    return str(request.param)


def phone(thermal: Any = FIGURES, duration: str = "200 s", **more: Any) -> dict[str, Any]:
    """The scenario of one phone, with other heat."""
    node = {**PHONE["topology"]["nodes"]["phone"], **more.pop("node", {})}
    node = {key: value for key, value in {**node, "thermal": thermal}.items() if value is not None}
    return {
        **PHONE,
        "scenario": {"name": "heat", "seed": 5, "duration": duration},
        "topology": {"nodes": {"phone": node}},
        **more,
    }


def simulate(
    data: dict[str, Any], *processes: Callable[[Simulation], Iterator[Any]]
) -> tuple[Simulation, Any, Kept]:
    """A finished run: the simulation, its outcome, its rows."""
    kept = Kept()
    simulation = Simulation(load(data), processes=processes)
    outcome = simulation.run(kept)
    return simulation, outcome, kept


def busy(sim: Simulation) -> Iterator[Any]:
    """Ask the first replica without a pause."""
    while True:
        yield sim.generate(0, 10, 99)


def rising(power: float, seconds: float, start: float = 20.0) -> float:
    """Temperature under constant power [degC]."""
    settled = 20 + 8 * power
    return settled + (start - settled) * math.exp(-seconds / (8 * 40))


@pytest.mark.parametrize("tick", ["0.5 s", "1 s", "7 s"])
def test_temperature_follows_the_closed_form(engine: str, tick: str) -> None:
    """Under 5 W for 200 s, whatever the tick, the last part of one included."""
    data = phone(engine=engine, energy={"tick": tick})
    _, outcome, _ = simulate(data, busy)
    assert outcome.totals.heat["final_c"][0] == pytest.approx(rising(5.0, 200.0), abs=1e-6)
    assert outcome.totals.heat["hottest_c"][0] == outcome.totals.heat["final_c"][0]
    assert outcome.totals.heat["throttled_ps"][0] == 0


def test_what_idles_cools_down(engine: str) -> None:
    """From 50 degC towards what idling holds."""
    data = phone({**FIGURES, "start": "50 degC"}, engine=engine)
    _, outcome, _ = simulate(data)
    assert outcome.totals.heat["final_c"][0] == pytest.approx(rising(0.6, 200.0, 50.0), abs=1e-6)
    assert outcome.totals.heat["hottest_c"][0] == 50.0


def test_what_is_off_draws_nothing(engine: str) -> None:
    """A crashed device cools towards the air itself."""

    def crash(sim: Simulation) -> Iterator[Any]:
        sim.fail_replica(0)
        yield sim.after(0)

    data = phone({**FIGURES, "start": "50 degC"}, engine=engine)
    _, outcome, _ = simulate(data, crash)
    assert outcome.totals.heat["final_c"][0] == pytest.approx(rising(0.0, 200.0, 50.0), abs=1e-6)


def test_pue_heats_no_chip_and_a_replica_heats_all_its_accelerators() -> None:
    """Two accelerators that share 10 W beside an air conditioner are as hot as one alone at 5 W."""
    one = simulate(phone(), busy)[1].totals.heat
    deployments = [{**PHONE["deployments"][0], "tensor_parallel": 2}]
    both = simulate(phone(node={"accelerators": 2, "pue": 1.5}, deployments=deployments), busy)[1].totals.heat
    assert both["final_c"][0] == pytest.approx(one["final_c"][0], abs=1e-4)


def test_a_phone_under_sustained_load_declines_as_measured() -> None:
    """Of its first rate 90 % after one to two minutes, two thirds after ten (67 % on an iPhone 17 Pro's neural engine)."""
    run = edgesim.simulate(
        phone(True, "10 min", deployments=[{"llm": "llama-3.2-3b", "weights": "int4", "on": "phone"}]),
        processes=[busy],
    )
    ends = run.requests["finished_at"].dropna().to_numpy()
    pace = 1 / np.diff(ends)
    assert pace[0] > pace[-1]
    pace /= pace[0]
    first_minutes = ends[1:][pace < 0.9][0]
    assert 60 < first_minutes < 140
    assert 150 < ends[1:][pace < 0.75][0] < 450
    assert 0.6 < pace[-5:].mean() < 0.75
    thermal = run.summary["thermal"]
    assert (thermal["replicas"], thermal["throttled"]) == (1, 1)
    device = thermal["by"]["phone/llama-3.2-3b"]
    assert 40 < device["hottest_c"] < 48
    assert 500 < device["throttled_s"] < 600
    assert 0.6 < device["slowest_clock"] < 0.75
    note = run.summary["notes"][0]
    assert note.startswith("heat slowed down 1 of 1 replicas that warm up, to 7")
    assert note.endswith("% of their clock on average; phone/llama-3.2-3b reached 44.2 degC")
    assert device["slowest_clock"] < device["mean_clock"] < 0.8


def test_a_throttled_device_draws_what_the_air_carries_away(engine: str) -> None:
    """At rest R times the power is the rise, though the clock is far below the asked one."""
    data = phone(
        {
            "resistance": "8 K/W",
            "capacity": "5 J/K",
            "throttle_at": "35 degC",
            "slowest_at": "40 degC",
            "slowest": "20 %",
        },
        "300 s",
        engine=engine,
        deployments=[{"llm": "llama-3.2-3b", "weights": "int4", "on": "phone"}],
    )
    readings: list[int] = []

    def read(sim: Simulation) -> Iterator[Any]:
        for _ in range(2):
            yield sim.after(150)
            readings.append(int(sim.engine.drawn(np.array([0]))[0][0]))

    data["scenario"]["duration"] = "301 s"
    heat = simulate(data, busy, read)[0].heat
    assert heat is not None
    assert 0.2 < heat.factor[0] < 0.7
    watts = (readings[1] - readings[0]) * 1e-9 / 150
    assert watts == pytest.approx((heat.temperature[0] - 25) / 8, rel=0.01)


def test_a_slow_clock_draws_less_base_power(engine: str) -> None:
    """At a clock f a step takes 1/f of the time, and beyond idle f^beta of the base power."""
    figures = {
        **FIGURES,
        "start": "700 degC",
        "throttle_at": "100 degC",
        "slowest_at": "200 degC",
        "slowest": "50 %",
    }
    figures |= {"capacity": "1 MJ/K"}
    _, outcome, kept = simulate(phone(figures, "31 s", engine=engine, energy={"tick": "1 s"}), busy)
    found = kept.rows("requests")
    late = found[found["arrived"] > 2 * S]
    late = late[late["finished"] > 0][0]
    assert int(late["finished"] - late["arrived"]) == 2 * (20 + 98 * 10) * 10**9
    watts = late["compute_nj"] * 1e3 / (late["finished"] - late["arrived"])
    assert watts == pytest.approx(0.6 + (5 - 0.6) * 0.5**2.5, rel=1e-3)


def test_heat_and_what_processes_ask_for_multiply(engine: str) -> None:
    """A second tenant halves what heat left; when it goes, heat's part stays."""
    figures = {
        **FIGURES,
        "start": "700 degC",
        "throttle_at": "100 degC",
        "slowest_at": "200 degC",
        "slowest": "40 %",
    }
    seen: list[float] = []

    def story(sim: Simulation) -> Iterator[Any]:
        for speed in (1.0, 0.5, 2.5, 1.0):
            yield sim.after("1.5 s")
            sim.set_speed(0, speed)
            record = yield sim.generate(0, 10, 11)
            seen.append((record["finished"] - record["arrived"]) / S)

    simulate(phone({**figures, "capacity": "1 MJ/K"}, engine=engine), story)
    assert seen == pytest.approx([0.12 / 0.4, 0.12 / 0.2, 0.12, 0.12 / 0.4])


def test_clocks_go_up_again(engine: str) -> None:
    """A device that rests cools down and is as fast as before."""
    figures = {**FIGURES, "capacity": "2 J/K", "throttle_at": "40 degC", "slowest_at": "50 degC"}
    seen: list[float] = []

    def story(sim: Simulation) -> Iterator[Any]:
        for _ in range(2):
            for _ in range(60):
                record = yield sim.generate(0, 10, 101)
                seen.append((record["finished"] - record["arrived"]) / S)
            yield sim.after("2 min")

    simulation, outcome, _ = simulate(phone(figures, "10 min", engine=engine), story)
    assert seen[0] == pytest.approx(1.02)
    assert seen[59] > 1.3
    assert seen[60] == seen[0]
    assert simulation.heat is not None
    assert simulation.heat.factor[0] == 1.0
    assert outcome.totals.heat["slowest"][0] < 0.8
    assert 0 < outcome.totals.heat["throttled_ps"][0] < 10 * 60 * S


def test_a_device_that_stays_cool_runs_as_without_heat(engine: str) -> None:
    """Ticks and meters change no row; and where nothing warms up there are none."""
    data = {
        "engine": engine,
        "workloads": {"chat": {**PHONE["workloads"]["chat"], "arrivals": {"kind": "poisson", "rate": "2/s"}}},
    }
    cool, _, with_heat = simulate(phone(**data))
    none, _, without = simulate(phone(None, **data))
    assert cool.heat is not None
    assert none.heat is None
    for table in ("requests", "legs"):
        assert len(without.rows(table)) > 300
        assert np.array_equal(with_heat.rows(table), without.rows(table))


def test_a_run_ends_though_heat_ticks_for_ever() -> None:
    """Without a duration the last request ends it, to the picosecond the same in both engines."""
    ends = []
    for engine in ("kernel", "reference"):
        data = phone(
            engine=engine,
            workloads={
                "chat": {**PHONE["workloads"]["chat"], "arrivals": {"kind": "poisson", "rate": "2/s"}}
            },
        )
        data["scenario"] = {"name": "heat", "requests": 7}
        _, outcome, kept = simulate(data)
        ends.append(outcome.info.duration_s)
        assert outcome.info.duration_s == kept.rows("requests")["finished"].max() / S
    assert ends[0] == ends[1]


@pytest.mark.parametrize("thermal", [FIGURES, None])
def test_a_run_with_a_duration_lasts_that_long(engine: str, thermal: Any) -> None:
    """Whoever asks no more leaves the fleet idle to the end, and warm."""
    data = phone(
        thermal,
        engine=engine,
        workloads={"chat": {**PHONE["workloads"]["chat"], "arrivals": {"kind": "poisson", "rate": "2/s"}}},
    )
    data["scenario"] |= {"requests": 7}
    _, outcome, _ = simulate(data)
    assert outcome.info.duration_s == 200.0
    assert outcome.totals.replicas["on_ps"][0] == 200 * S


FLEET: dict[str, Any] = {
    "scenario": {"name": "fleet", "seed": 3, "duration": "3 min"},
    "topology": {
        "nodes": {
            "phone": {
                "tier": "device", "count": 5, "accelerator": "snapdragon-8-gen3",
                "thermal": {"capacity": "5 J/K", "ambient": "30 degC"},
            },
            "box": {
                "tier": "edge", "accelerator": "jetson-agx-orin", "accelerators": 2, "pue": 1.2, "host_power": "20 W",
                "thermal": {"ambient": "55 degC", "throttle_at": "75 degC", "capacity": "30 J/K"},
            },
            "cloud": {"tier": "cloud", "accelerator": "nvidia-l4"},
        },
        "links": [
            {"between": ["phone", "box"], "kind": "wifi-6"},
            {"between": ["box", "cloud"], "kind": "fibre", "latency": "10 ms", "bandwidth": "1 Gbps"},
        ],
    },
    "deployments": [
        {"llm": "llama-3.2-1b", "weights": "int4", "on": "phone"},
        {"llm": "llama-3.1-8b", "weights": "int8", "on": "box", "replicas": 2, "max_num_seqs": 16},
        {"llm": "llama-3.1-8b", "weights": "int8", "on": "cloud", "max_num_seqs": 16},
    ],
    "workloads": {
        "chat": {
            "from": "phone", "arrivals": {"kind": "poisson", "rate": "2/s"},
            "prompt_tokens": {"kind": "lognormal", "median": 200, "p95": 900},
            "output_tokens": {"kind": "lognormal", "median": 60, "p95": 200},
        }
    },
    "policies": {"router": "join-shortest-queue", "retry": {"attempts": 2, "backoff": "10 ms"}},
    "energy": {"tick": "700 ms"},
}  # fmt: skip


def test_both_engines_agree_on_heat() -> None:
    """Rows, totals and temperatures of a fleet that throttles, crashes and is slowed down by hand are the same."""

    def story(sim: Simulation) -> Iterator[Any]:
        for turn in range(6):
            yield sim.after(20)
            sim.set_speed(turn, 0.7 + 0.1 * turn)
            if turn == 3:
                sim.fail_replica(5)
            if turn == 4:
                sim.start_replica(5)

    runs = [simulate({**FLEET, "engine": engine}, story) for engine in ("kernel", "reference")]
    (a, one, left), (b, other, right) = runs
    assert a.heat is not None
    assert b.heat is not None
    assert (one.totals.heat["throttled_ps"] > 0).sum() >= 4
    assert one.totals.heat.tobytes() == other.totals.heat.tobytes()
    assert a.heat.temperature.tobytes() == b.heat.temperature.tobytes()
    for table in ("requests", "legs"):
        for name in left.rows(table).dtype.names:
            x, y = left.rows(table)[name], right.rows(table)[name]
            if x.dtype.kind == "i":
                assert np.array_equal(x, y), (table, name)
            else:
                assert x == pytest.approx(y, rel=1e-12)
    for name in ("busy_ps", "idle_ps", "compute_nj", "idle_nj", "steps"):
        assert np.array_equal(one.totals.replicas[name], other.totals.replicas[name]), name


def test_works_heat_the_device_and_slow_down_with_it(engine: str) -> None:
    """A work of 5 W alone heats as steps of 5 W do; on a clock of half the speed it takes twice as long."""

    def story(sim: Simulation) -> Iterator[Any]:
        work = yield sim.use(0, "40 s", power="5 W")
        ends.append(work.finished_at)

    ends: list[float] = []
    _, outcome, _ = simulate(phone({**FIGURES, "ambient": "20 degC"}, "81 s", engine=engine), story)
    # The replica has half of the device, busy or idle: the work takes 80 s at half of its power above idle.
    assert ends == [80.0]
    assert outcome.totals.heat["hottest_c"][0] == pytest.approx(rising(0.6 + (5 - 0.6) / 2, 80.0), abs=1e-6)
    hot = {
        **FIGURES,
        "start": "700 degC",
        "throttle_at": "100 degC",
        "slowest_at": "200 degC",
        "slowest": "50 %",
    }
    simulate(phone({**hot, "capacity": "1 MJ/K"}, "300 s", engine=engine), story)
    assert ends[1] == pytest.approx(160.0 - 1.0, abs=0.01)  # the clock fell at the first tick
