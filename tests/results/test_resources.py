"""Tests of the time series of replicas and links: exact, complete, and without effect on anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import edgesim
from edgesim.errors import ResultsError, ScenarioError
from edgesim.results.series import series

if TYPE_CHECKING:
    from pathlib import Path

    from edgesim.results import MemoryRun, Run

BUSY = {
    "scenario": {"name": "busy", "seed": 3, "duration": "30 s"},
    "topology": {
        "nodes": {
            "phone": {"tier": "device", "count": 3, "accelerator": "snapdragon-8-gen3", "thermal": True},
            "edge": {"tier": "edge", "accelerator": "nvidia-l4"},
        },
        "links": [{"between": ["phone", "edge"], "latency": "5 ms", "bandwidth": "200 kbps"}],
    },
    "deployments": [
        {"llm": "llama-3.2-1b", "weights": "int4", "on": "phone"},
        {"llm": "llama-3.1-8b", "weights": "int8", "on": "edge", "max_num_seqs": 4, "kv_tokens": 2000},
    ],
    "workloads": {
        "chat": {
            "from": "phone",
            "arrivals": {"kind": "poisson", "rate": "3/s"},
            "prompt_tokens": {"kind": "uniform", "low": 10, "high": 400},
            "output_tokens": {"kind": "uniform", "low": 5, "high": 120},
        }
    },
    "policies": {"router": {"kind": "threshold-offload", "max_queue": 1}},
}
"""Phones that warm up, a thin link, an edge box whose KV cache is too small: everything moves."""

SAMPLED = ["output.tables=[requests, resources]", "output.sample=0.3 s"]


def run(*sets: str, engine: str = "kernel", **more: Any) -> Any:
    """Simulate the busy system."""
    return edgesim.simulate(BUSY, sets=[*SAMPLED, *sets], engine=engine, **more)


def outage(sim: Any) -> Any:
    """The edge box crashes, comes back, trains on the side, and its link carries something else."""
    yield sim.after("6.6 s")
    sim.fail_replica("edge/llama-3.1-8b")
    yield sim.after("3 s")
    sim.start_replica("edge/llama-3.1-8b")
    sim.use("edge/llama-3.1-8b", "4 s")
    yield sim.transfer("edge->phone[0]", 40_000)


def assert_same_rows(one: MemoryRun, other: MemoryRun) -> None:
    """Every field of every row is the same, to the bit."""
    a, b = one.records("resources"), other.records("resources")
    assert len(a) == len(b) > 100
    for name in a.dtype.names or ():
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize(
    ("sets", "processes"),
    [
        ((), ()),
        ((), (outage,)),
        (("scenario.duration=null", "scenario.requests=80"), ()),
        (("scenario.duration=null", "scenario.requests=80"), (outage,)),
    ],
    ids=["plain", "outage", "no duration", "no duration, outage"],
)
def test_both_engines_give_the_same_rows(sets: tuple[str, ...], processes: tuple[Any, ...]) -> None:
    """Kernel and readable twin agree to the bit, also about a run that ends with its last request."""
    kernel, twin = (run(*sets, engine=engine, processes=processes) for engine in ("kernel", "reference"))
    assert kernel.summary["engine"]["engine"] != twin.summary["engine"]["engine"]
    assert_same_rows(kernel, twin)
    edge = kernel.resources[kernel.resources.name == "edge/llama-3.1-8b"]
    assert edge.waiting.max() > 0
    assert edge.kv_share.max() > 0.5
    assert kernel.resources.t.max() == kernel.summary["engine"]["simulated_s"]


def test_replicas_that_take_turns_have_the_same_rows() -> None:
    """The idle time of an accelerator that several replicas share is counted once."""
    scenario = BUSY | {
        "topology": {
            "nodes": {
                "phone": {"tier": "device", "count": 2},
                "edge": {"tier": "edge", "accelerator": "alveo-u280"},
            },
            "links": BUSY["topology"]["links"],  # type: ignore[index]
        },
        "deployments": [
            {"llm": llm, "weights": "int4", "on": "edge", "memory_utilisation": "45 %"}
            for llm in ("llama-3.2-1b", "qwen2.5-1.5b")
        ],
        "policies": {"router": "random"},
    }
    kernel, twin = (edgesim.simulate(scenario, sets=SAMPLED, engine=e) for e in ("kernel", "reference"))
    assert sum(g["fleet"]["switches"] for g in kernel.summary["by"]["replica"].values()) > 2
    assert_same_rows(kernel, twin)  # type: ignore[arg-type]
    assert energy(kernel) == pytest.approx(drawn(kernel), rel=1e-6)  # type: ignore[arg-type]


def test_recording_changes_no_request(tmp_path: Path) -> None:
    """The other tables have the same bytes, and the summary the same numbers."""
    folders = [tmp_path / name for name in ("without", "with")]
    for folder, sets in zip(
        folders,
        (
            ["output.tables=[requests, legs]"],
            ["output.tables=[requests, legs, resources]", "output.sample=70 ms"],
        ),
        strict=True,
    ):
        edgesim.simulate(BUSY, sets=sets, out=folder, processes=[outage])
    for table in ("requests", "legs"):
        without, recorded = ((folder / f"{table}.parquet").read_bytes() for folder in folders)
        assert without == recorded
    one, other = (edgesim.load(folder).summary for folder in folders)
    assert {**one, "engine": None} == {**other, "engine": None}
    assert not (folders[0] / "resources.parquet").exists()


def energy(run: Run) -> float:
    """Watts times seconds of all samples [J]."""
    power = series(run.resources, "power_w")
    return float((power.to_numpy() * np.diff(power.index, prepend=0.0)[:, None]).sum())


def drawn(run: Run) -> float:
    """What replicas drew, as the summary has it [J]."""
    found = run.summary["energy_j"]
    return found["total"] - found["network"] - found["decisions"]


@pytest.mark.parametrize("ends", [(), ("scenario.duration=null", "scenario.requests=80")])
def test_samples_add_up_to_the_totals(ends: tuple[str, ...]) -> None:
    """Joules, bytes and busy seconds over all samples are those of the run."""
    found = run(*ends, processes=[outage])
    assert energy(found) == pytest.approx(drawn(found), rel=1e-6)
    carried = series(found.resources, "bytes", "link").sum()
    assert len(carried) == 6
    for link, numbers in found.summary["links"].items():
        assert carried[link] == pytest.approx(numbers["bytes"], rel=1e-9)
    busy = series(found.resources, "utilisation")
    seconds = (busy.to_numpy() * np.diff(busy.index, prepend=0.0)[:, None]).sum()
    told = sum(group["fleet"]["busy_s"] for group in found.summary["by"]["tier"].values())
    assert seconds == pytest.approx(told, rel=1e-9)


def test_heat_is_in_the_samples() -> None:
    """Phones that work get warmer than the room; the edge box, which does not warm up, has no temperature."""
    found = run()
    warm = series(found.resources, "temperature_c")
    assert warm.filter(like="phone").iloc[-1].max() > warm.filter(like="phone").iloc[0].min()
    assert warm["edge/llama-3.1-8b"].isna().all()
    assert (series(found.resources, "clock").filter(like="phone") <= 1).all(axis=None)


def test_rows_that_repeat_are_left_out() -> None:
    """Two hundred devices that stand by cost a row each, however long the run."""
    few = ["topology.nodes.phone={tier: device, count: 200, accelerator: snapdragon-8-gen3}"]
    long = run(*few, "workloads.chat.arrivals.rate=0.2/s")
    samples = len(np.unique(long.resources.t))
    assert samples == 100
    assert len(long.resources) < 0.1 * samples * 600
    filled = series(long.resources, "power_w")
    assert filled.shape == (samples, 201)
    assert filled.notna().all(axis=None)


def test_a_stored_run_has_the_same_table(tmp_path: Path) -> None:
    """Parquet and memory give the same frame, units and missing values included."""
    kept, stored = run(), run(out=tmp_path / "run")
    table = edgesim.load(tmp_path / "run").resources  # type: ignore[union-attr]
    for name in kept.resources:
        left, right = (
            frame[name].astype(object).where(frame[name].notna(), None) for frame in (kept.resources, table)
        )
        assert left.tolist() == right.tolist(), name
    assert stored.resources.name.nunique() == 10
    assert table.tier.isna().sum() == (table.kind == "link").sum() > 0


def test_the_beat_has_a_default() -> None:
    """Two hundred samples of a run with a duration, one a second without."""
    found = run("output.sample=null")
    assert np.unique(found.resources.t) == pytest.approx(np.arange(1, 201) * 0.15)
    found = run("output.sample=null", "scenario.duration=null", "scenario.requests=20")
    assert np.unique(found.resources.t)[:3].tolist() == [1.0, 2.0, 3.0]


def test_a_beat_without_a_table_is_told() -> None:
    """Both the setting without effect and the missing table end in a sentence with the next step."""
    with pytest.raises(ScenarioError, match="add it to 'tables'"):
        edgesim.load_scenario(BUSY, ["output.sample=1 s"])


def test_a_run_without_the_table_says_how_to_get_it(tmp_path: Path) -> None:
    """The same for one in a folder and one in memory."""
    for out in (None, tmp_path / "run"):
        found = edgesim.simulate(BUSY, sets=["scenario.duration=1 s"], out=out)
        with pytest.raises(ResultsError, match=r"resources.*output"):
            found.resources  # type: ignore[union-attr]  # noqa: B018
