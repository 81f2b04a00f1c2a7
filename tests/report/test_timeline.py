"""Tests of timelines: they obey the trace event format, and say what the tables say."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgesim.errors import ResultsError
from edgesim.report import timeline

Event = dict[str, Any]


def traced(run: Any, folder: Path, **more: Any) -> list[Event]:
    """The events of a run's timeline."""
    path = folder / "trace.json"
    told = timeline.write(run, path, **more)
    content = json.loads(path.read_text())
    assert set(content) == {"displayTimeUnit", "otherData", "traceEvents"}
    assert len(content["traceEvents"]) == told.events
    return content["traceEvents"]  # type: ignore[no-any-return]


def of(events: list[Event], *phases: str) -> list[Event]:
    """The events of some kinds."""
    return [event for event in events if event["ph"] in phases]


def named(events: list[Event]) -> tuple[dict[int, str], dict[tuple[int, int], str]]:
    """Node of each process, and node and name of each thread: "edge/llama-3.1-8b steps"."""
    nodes = {e["pid"]: e["args"]["name"] for e in of(events, "M") if e["name"] == "process_name"}
    threads = {
        (e["pid"], e["tid"]): f"{nodes[e['pid']]}/{e['args']['name']}"
        for e in of(events, "M")
        if e["name"] == "thread_name"
    }
    return nodes, threads


def check_format(events: list[Event]) -> None:
    """What the trace event format asks for, and what Perfetto needs to show it."""
    assert {event["ph"] for event in events} <= {"b", "e", "X", "s", "f", "C", "M"}
    for event in of(events, "b", "e", "X", "s", "f", "C"):
        assert event["ts"] >= 0
        assert isinstance(event["pid"], int)
        assert event["name"]
    told = {(e["pid"], e["name"]) for e in of(events, "M")}
    threads = {(e["pid"], e["tid"]) for e in of(events, "M") if e["name"] == "thread_name"}
    for event in of(events, "b", "e", "X", "s", "f", "C"):
        assert (event["pid"], "process_name") in told
    assert {(e["pid"], e["tid"]) for e in of(events, "X", "s", "f")} <= threads
    check_slices(of(events, "X"))
    check_asynchronous(of(events, "b", "e"))
    check_flows(of(events, "s", "f"), of(events, "X"))


def check_slices(slices: list[Event]) -> None:
    """Slices of a thread follow one another; none overlaps."""
    ends: dict[tuple[int, int], float] = defaultdict(float)
    for one in slices:
        track = one["pid"], one["tid"]
        assert one["dur"] >= 0
        assert one["ts"] >= ends[track] - 1e-6
        ends[track] = one["ts"] + one["dur"]


def check_asynchronous(events: list[Event]) -> None:
    """Begins and ends of each id are balanced, nested by name, and in the order of time."""
    open_: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    last: dict[tuple[str, str, int], float] = defaultdict(float)
    for event in events:
        track = event["cat"], event["id2"]["local"], event["pid"]
        assert event["ts"] >= last[track]
        last[track] = event["ts"]
        if event["ph"] == "b":
            open_[track].append(event["name"])
        else:
            assert open_[track].pop() == event["name"]
    assert not any(open_.values())


def check_flows(flows: list[Event], slices: list[Event]) -> None:
    """Each arrow has one begin and, not before it, one end, both within slices of their threads."""
    begins = {event["id"]: event for event in flows if event["ph"] == "s"}
    ends = {event["id"]: event for event in flows if event["ph"] == "f"}
    assert begins.keys() == ends.keys()
    assert len(flows) == 2 * len(begins)
    spans = defaultdict(list)
    for one in slices:
        spans[one["pid"], one["tid"]].append((one["ts"], one["ts"] + one["dur"]))
    for event in flows:
        assert any(low <= event["ts"] <= high for low, high in spans[event["pid"], event["tid"]])
    for number, end in ends.items():
        assert end["bp"] == "e"
        assert end["ts"] >= begins[number]["ts"]


TABLES = {
    "all": (),
    "requests and legs": ("output.tables=[requests, legs]", "output.sample=null"),
    "requests": ("output.tables=[requests]", "output.sample=null"),
}


@pytest.mark.parametrize("tables", TABLES)
def test_a_timeline_is_valid(tables: str, recorded: ModuleType, tmp_path: Path) -> None:
    """Whatever was recorded; with crashes, retries and unfinished requests."""
    run = recorded.run(*TABLES[tables])
    assert (run.requests.status == "unfinished").any()
    assert (run.requests.legs > 1).any()
    events = traced(run, tmp_path)
    check_format(events)
    kinds = Counter(event["ph"] for event in events)
    assert bool(kinds["C"]) == (tables == "all")
    assert kinds["s"] > 50


def test_it_says_what_the_tables_say(recorded: ModuleType, tmp_path: Path) -> None:
    """Requests span their latency with their phases; replicas' slices are those of the legs, transfers too."""
    run = recorded.run()
    events = traced(run, tmp_path)
    requests = run.requests.set_index("request")
    begins = {e["args"]["request"]: e for e in of(events, "b") if "args" in e}
    assert begins.keys() == set(requests.index)
    spans: dict[int, dict[str, float]] = defaultdict(dict)
    started: dict[tuple[str, str], float] = {}
    for event in of(events, "b", "e"):
        key = event["id2"]["local"], event["name"]
        if event["ph"] == "b":
            started[key] = event["ts"]
        else:
            spans[int(event["id2"]["local"])][event["name"]] = event["ts"] - started[key]
    for number, row in requests[requests.status == "completed"].iterrows():
        assert begins[number]["ts"] == pytest.approx(row.arrived_at * 1e6, abs=1e-2)
        assert spans[number]["chat"] == pytest.approx((row.finished_at - row.arrived_at) * 1e6, abs=0.01)
        for phase in ("uplink", "queue", "prefill", "decode", "backoff"):
            assert spans[number].get(phase, 0.0) == pytest.approx(row[phase] * 1e6, abs=0.01)
    legs = run.legs
    served = legs[legs.first_scheduled_at.notna()]
    slices = {(e["args"]["request"], e["args"]["leg"]): e for e in of(events, "X") if e["name"] == "prefill"}
    assert len(slices) == len(served)
    for leg in served.itertuples():
        assert slices[leg.request, leg.leg]["ts"] == pytest.approx(leg.first_scheduled_at * 1e6, abs=1e-2)
        assert slices[leg.request, leg.leg]["args"]["outcome"] == leg.outcome
    away = legs[legs.delivered_at > legs.dispatched_at]
    assert len([e for e in of(events, "X") if e["cat"] == "transfer"]) == len(away)


def test_places_of_a_replica_are_as_many_as_its_largest_batch(recorded: ModuleType, tmp_path: Path) -> None:
    """No more threads than requests that were there at once."""
    run = recorded.run()
    events = traced(run, tmp_path)
    threads = Counter(name.partition(" #")[0] for name in named(events)[1].values())
    for replica, legs in run.legs[run.legs.first_scheduled_at.notna()].groupby("replica", observed=True):
        begins = np.sort(legs.first_scheduled_at.to_numpy())
        ends = np.sort(legs.finished_at.fillna(40.0).to_numpy())
        there = np.arange(1, len(begins) + 1) - np.searchsorted(ends, begins, side="right")
        assert threads[replica] == there.max()


def test_steps_are_those_of_the_engine(recorded: ModuleType, tmp_path: Path) -> None:
    """A thread a replica, a slice a step; requests are served within steps, and the crash breaks one off."""
    run = recorded.run()
    events = traced(run, tmp_path)
    threads = named(events)[1]
    slices = [e for e in of(events, "X") if e["cat"] == "step"]
    assert Counter(threads[e["pid"], e["tid"]] for e in slices) == {
        f"{name} steps": count for name, count in run.steps.replica.value_counts().items() if count
    }
    assert {e["name"] for e in slices} == {"prefill step", "mixed step", "decode step"}
    broke_off = [e for e in slices if "broke_off" in e["args"]]
    assert "edge/llama-3.1-8b steps" in {threads[e["pid"], e["tid"]] for e in broke_off}
    steps = run.steps[run.steps.replica == "edge/llama-3.1-8b"]
    first = next(e for e in slices if threads[e["pid"], e["tid"]] == "edge/llama-3.1-8b steps")
    assert first["args"]["prefill_tokens"] == steps.prefill_tokens.iloc[0]
    assert first["ts"] == pytest.approx(steps.began_at.iloc[0] * 1e6, abs=1e-2)


def test_counters_are_the_samples(recorded: ModuleType, tmp_path: Path) -> None:
    """Each row of `resources` is there, with the process of its node."""
    run = recorded.run()
    events = traced(run, tmp_path)
    node = named(events)[0]
    watts = [
        (node[e["pid"]], e["ts"], e["args"]["W"])
        for e in of(events, "C")
        if (node[e["pid"]], e["name"]) == ("edge", "llama-3.1-8b power")
    ]
    rows = run.resources[run.resources.name == "edge/llama-3.1-8b"]
    assert watts == [
        ("edge", pytest.approx(t * 1e6), power) for t, power in zip(rows.t, rows.power_w, strict=True)
    ]
    full = [e for e in of(events, "C") if e["name"] == "edge->cloud"]
    assert {node[e["pid"]] for e in full} == {"links"}
    assert len(full) == (run.resources.name == "edge->cloud").sum()


def test_a_window_leaves_the_rest_out(recorded: ModuleType, tmp_path: Path) -> None:
    """Only requests that were about then, and the samples of that time."""
    run = recorded.run()
    events = traced(run, tmp_path, window=(20.0, 25.0))
    check_format(events)
    seen = {int(e["id2"]["local"]) for e in of(events, "b")}
    rows = run.requests
    about = rows[(rows.arrived_at <= 25.0) & ~(rows.finished_at < 20.0)]
    assert seen == set(about.request)
    assert 0 < len(seen) < len(rows) / 2
    assert all(20e6 <= e["ts"] <= 25e6 for e in of(events, "C"))
    steps = [e for e in of(events, "X") if e["cat"] == "step"]
    assert 0 < len(steps) < len(run.steps) / 2
    assert all(e["ts"] <= 25e6 and e["ts"] + e["dur"] >= 20e6 - 1e-2 for e in steps)


def test_a_window_beyond_the_end_is_refused(recorded: ModuleType, tmp_path: Path) -> None:
    """What was unfinished when the run ended is not under way for ever; a late window without steps is no lack."""
    run = recorded.run()
    last = run.summary["engine"]["simulated_s"]
    path = tmp_path / "late.json"
    with pytest.raises(ResultsError, match="would be empty: the run ended at"):
        timeline.write(run, path, (last + 1.0, last + 2.0))
    assert not path.exists()
    told = timeline.write(run, path, (0.0, 0.0))
    assert (told.steps, told.recorded) == (0, True)
    assert not timeline.write(recorded.run("output.tables=[requests]", "output.sample=null"), path).recorded


def test_threads_stand_in_the_order_of_their_places(recorded: ModuleType, tmp_path: Path) -> None:
    """A viewer that sorts by name would put place 10 before place 2."""
    events = of(traced(recorded.run(), tmp_path), "M")
    order = {
        (e["pid"], e["tid"]): e["args"]["sort_index"] for e in events if e["name"] == "thread_sort_index"
    }
    places: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for e in events:
        if e["name"] == "thread_name" and " #" in e["args"]["name"]:
            name, number = e["args"]["name"].split(" #")
            places.setdefault((e["pid"], name), []).append((int(number), order[e["pid"], e["tid"]]))
    assert max(map(len, places.values())) > 2
    for found in places.values():
        assert [index for _, index in sorted(found)] == sorted({index for _, index in found})


def test_compressed_is_the_same(recorded: ModuleType, tmp_path: Path) -> None:
    """A name that ends in .gz gives the same events in fewer bytes; a stored run the same as one in memory."""
    plain = traced(recorded.run(), tmp_path)
    timeline.write(recorded.run(), tmp_path / "trace.json.gz")
    with gzip.open(tmp_path / "trace.json.gz") as file:
        assert json.load(file)["traceEvents"] == plain
    assert (tmp_path / "trace.json.gz").stat().st_size < 0.2 * (tmp_path / "trace.json").stat().st_size


def test_what_cannot_be_traced_is_told(recorded: ModuleType, tmp_path: Path) -> None:
    """Endings, folders, and results that are no runs."""
    with pytest.raises(ResultsError, match=r"must end in \.json or \.json\.gz"):
        timeline.write(recorded.run(), tmp_path / "trace.txt")
    with pytest.raises(ResultsError, match="cannot write"):
        timeline.write(recorded.run(), tmp_path / "no" / "trace.json")
    with pytest.raises(ResultsError, match="a timeline is of a run"):
        timeline.write(recorded.sweep(), tmp_path / "trace.json")
