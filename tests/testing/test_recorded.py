"""Decisions are recorded as they were taken, and a replay of them is the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import edgesim
from edgesim import registry, simulation
from edgesim.arena.compile import JIT
from edgesim.errors import EdgesimError, PolicyError, ResultsError
from edgesim.testing import tiny_scenario

TABLES = {"output": {"tables": ["requests", "legs", "decisions"]}}
RETRY = {"retry": {"attempts": 3, "backoff": "50 ms"}}

MOODS = '''
from edgesim.policies import Decision, DecisionCost, Defer, Hedge, Reject, Router, register

@register("moody-for-tests")
class Moody(Router):
    """Do everything a router may do, by the number of the request."""

    def setup(self, system, random):
        self._asked = {}

    def route(self, request, candidates, view):
        asked = self._asked[request.id] = self._asked.get(request.id, 0) + 1
        match request.id % 5:
            case 0:
                return Reject("mood")
            case 1 if asked == 1:
                return Defer(view.now + 0.0123456789)
            case 2 if len(candidates) > 1:
                return Hedge([candidates[-1], candidates[0]])
        return candidates[int(self.random(request) * len(candidates))]

    def decision_cost(self, request, candidates, view):
        return DecisionCost(0.001 * (request.id % 3), 0.5)
'''


def outages(sim: Any) -> Any:
    """Let replicas fail and come back."""
    for replica in range(len(sim.fleet.names)):
        yield sim.after("1 s")
        sim.fail_replica(replica)
        yield sim.after("500 ms")
        sim.start_replica(replica)


def record(out: Path | None, router: object, **changes: Any) -> Any:
    """Run a small system in trouble, with decisions kept."""
    policies = {"router": router, **RETRY, **changes.pop("policies", {})}
    scenario = (
        tiny_scenario(rate="15/s", requests=120, workload={"patience": "4 s"}, policies=policies) | TABLES
    )
    scenario["scenario"] |= changes.pop("scenario", {})
    return edgesim.simulate(scenario, processes=[outages], out=out, force=True, **changes)


def same(one: Path, other: Path, *tables: str) -> bool:
    """Are these tables of two runs the same bytes?"""
    return all(
        (one / f"{name}.parquet").read_bytes() == (other / f"{name}.parquet").read_bytes() for name in tables
    )


@pytest.fixture(scope="module")
def moody(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A router that gives all answers there are."""
    path = tmp_path_factory.mktemp("plugin") / "moody.py"
    path.write_text(MOODS)
    registry.load_plugin(path)
    return "moody-for-tests"


def test_a_replay_is_the_same_run(moody: str, tmp_path: Path) -> None:
    """Rejections, deferrals, hedges, retries and what deciding took: everything comes again, to the byte."""
    first = record(tmp_path / "first", moody)
    answers = first.decisions.answer.value_counts()
    assert (answers[["send", "hedge", "reject", "defer"]] > 5).all()
    assert first.decisions.attempt.max() > 0
    assert first.decisions.decision_time.nunique() == 3
    record(tmp_path / "again", {"kind": "recorded", "path": str(tmp_path / "first")})
    assert same(tmp_path / "first", tmp_path / "again", "requests", "legs", "decisions")


def test_the_log_says_what_the_tables_say(moody: str, tmp_path: Path) -> None:
    """Every leg was decided on, and every refusal has its reason."""
    run = record(tmp_path / "run", moody)
    sent = run.decisions[run.decisions.answer.isin(["send", "hedge"])]
    legs = run.legs.sort_values(["request", "leg"])
    assert len(sent) >= len(legs) > 100
    decided = sent.groupby("request").replica.agg(lambda names: sorted(map(str, names)))
    went = legs.groupby("request").replica.agg(lambda names: sorted(map(str, names)))
    alike = decided.loc[went.index] == went
    assert alike.mean() > 0.95  # copies of a hedge need not be sent when the first has failed at once
    refused = run.decisions[run.decisions.answer == "reject"]
    assert set(refused.reason) == {"mood"}
    assert set(refused.request) == set(run.requests[run.requests.reason == "mood"].request)
    first = run.decisions.drop_duplicates("request").set_index("request")
    arrived = run.requests.set_index("request").arrived_at
    assert np.allclose(first["at"], arrived.loc[first.index], atol=1e-12)
    assert run.decisions.candidates.between(1, 4).all()
    deferred = run.decisions[run.decisions.answer == "defer"]
    assert np.allclose(deferred.until - deferred["at"], 0.0123456789)


def test_admission_and_scheduler_are_recorded_too(tmp_path: Path) -> None:
    """Each of their answers has a row, about the replica that the router chose; memory and disk say the same."""
    policies = {"admission": {"kind": "queue-limit", "max_queue": 3}, "scheduler": "shortest-predicted-first"}
    stored = record(tmp_path / "run", "random", policies=policies)
    kept = record(None, "random", policies=policies)
    pd.testing.assert_frame_equal(
        stored.decisions.astype({"role": str, "answer": str, "replica": str, "reason": str}),
        kept.decisions.astype({"role": str, "answer": str, "replica": str, "reason": str}),
    )
    rows = stored.decisions
    let_in = rows[rows.answer == "accept"]
    turned_away = rows[(rows.role == "admission") & (rows.answer == "reject")]
    assert len(turned_away) > 3
    assert set(turned_away.reason) == {"queue-full"}
    assert len(let_in) + len(turned_away) == (rows.role == "router").sum()
    ranks = rows[rows.role == "scheduler"]
    assert len(ranks) == len(let_in)
    assert (ranks["rank"] > 0).all()
    assert rows[rows.role == "router"]["rank"].isna().all()


def test_both_engines_record_the_same(moody: str, tmp_path: Path) -> None:
    """The readable twin asks the same questions at the same times."""
    record(tmp_path / "kernel", moody)
    record(tmp_path / "twin", moody, engine="reference")
    kernel, twin = (edgesim.load(tmp_path / name).decisions for name in ("kernel", "twin"))
    columns = ["request", "attempt", "copy"]
    pd.testing.assert_frame_equal(
        kernel.sort_values(columns, kind="stable").reset_index(drop=True).astype(str),
        twin.sort_values(columns, kind="stable").reset_index(drop=True).astype(str),
    )


def test_recording_changes_nothing(moody: str, tmp_path: Path) -> None:
    """The same run without the log gives the same requests."""
    record(tmp_path / "with", moody)
    policies = {"router": moody, **RETRY}
    plain = tiny_scenario(rate="15/s", requests=120, workload={"patience": "4 s"}, policies=policies)
    edgesim.simulate(plain, processes=[outages], out=tmp_path / "without")
    assert same(tmp_path / "with", tmp_path / "without", "requests", "legs")
    assert not (tmp_path / "without" / "decisions.parquet").exists()


@pytest.mark.skipif(not JIT, reason="the compiled tier needs the compiler")
@pytest.mark.parametrize(
    "router", ["power-of-two", {"kind": "random", "decision_time": "5 ms", "decision_energy": "1 J"}]
)
def test_compiled_routers_are_recorded_from_their_legs(
    router: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel decided by itself, and what Python decided while a replica was down, replays to the same run."""
    scenario = {"duration": "7 s"}
    monkeypatch.setattr(simulation, "WORTH_COMPILING", 0)
    first = record(tmp_path / "compiled", router, scenario=scenario)
    kernel = first.decisions.candidates.isna()
    assert 10 < kernel.sum() < len(first.decisions)
    monkeypatch.undo()
    record(tmp_path / "python", router, scenario=scenario)
    assert same(tmp_path / "compiled", tmp_path / "python", "requests", "legs")
    columns = ["request", "attempt", "at", "replica", "decision_time", "decision_energy_j"]
    one, other = (
        edgesim.load(tmp_path / name).decisions[columns].sort_values(columns[:2]).reset_index(drop=True)
        for name in ("compiled", "python")
    )
    unsent = one.replica.isna()
    assert unsent.sum() <= 3  # decisions that had no effect before the run ended
    other.loc[unsent, "replica"] = np.nan
    assert np.allclose(one["at"], other["at"], atol=1e-12)
    pd.testing.assert_frame_equal(one.drop(columns="at").astype(str), other.drop(columns="at").astype(str))
    record(tmp_path / "again", {"kind": "recorded", "path": str(tmp_path / "compiled")}, scenario=scenario)
    assert same(tmp_path / "compiled", tmp_path / "again", "requests", "legs")


@pytest.mark.skipif(not JIT, reason="the compiled tier needs the compiler")
def test_a_compiled_refusal_replays(tmp_path: Path, plugin: Any) -> None:
    """Routers and admissions that refuse inside the kernel are read from how the requests end."""
    registry.load_plugin(
        plugin(
            """
from edgesim.policies import Admission, Reject, Router, compiled, register

@compiled
def odd(view, request, candidates, parameters, key):
    return -1 if request.request % 2 else 0

@compiled
def few(view, request, candidate, parameters, key):
    return 0 if request.request % 3 == 0 else 1

@register("odd-for-tests")
class Odd(Router):
    compiled_route = odd
    def route(self, request, candidates, view):
        return Reject("no-replica") if request.id % 2 else candidates[0]

@register("few-for-tests")
class Few(Admission):
    compiled_admit = few
    def admit(self, request, replica, view):
        return Reject("not-admitted") if request.id % 3 == 0 else True
"""
        )
    )
    policies = {"router": "odd-for-tests", "admission": "few-for-tests"}
    scenario = tiny_scenario(rate="10/s", policies=policies) | TABLES
    first = edgesim.simulate(scenario, out=tmp_path / "compiled")
    assert first.decisions.candidates.isna().all()
    refused = (
        first.decisions[first.decisions.answer == "reject"]
        .groupby("role", observed=True)
        .reason.value_counts()
    )
    assert refused["router", "no-replica"] == 30
    assert refused["admission", "not-admitted"] == 10
    policies["router"] = {"kind": "recorded", "path": str(tmp_path / "compiled"), "otherwise": "nearest"}  # type: ignore[assignment]
    edgesim.simulate(tiny_scenario(rate="10/s", policies=policies) | TABLES, out=tmp_path / "again")
    assert same(tmp_path / "compiled", tmp_path / "again", "requests", "legs")


def test_replications_replay_their_own(tmp_path: Path) -> None:
    """Of several replications each finds its own decisions; one too many is told."""
    record(tmp_path / "first", "random", replications=2)
    replay = {"kind": "recorded", "path": str(tmp_path / "first")}
    record(tmp_path / "again", replay, replications=2)
    for rep in ("rep-000", "rep-001"):
        assert same(tmp_path / "first" / rep, tmp_path / "again" / rep, "requests", "legs", "decisions")
    assert not same(tmp_path / "first" / "rep-000", tmp_path / "first" / "rep-001", "requests")
    with pytest.raises(EdgesimError, match="no replication 2 to replay; record as many as you replay"):
        record(tmp_path / "more", replay, replications=3)


def test_a_run_that_diverges_says_so_or_falls_back(tmp_path: Path) -> None:
    """Requests that were not recorded, and replicas that are gone, end the run, or another router decides."""
    record(tmp_path / "first", "random")
    replay = {"kind": "recorded", "path": str(tmp_path / "first")}
    with pytest.raises(
        PolicyError, match=r"the run diverges from the recording .* is not in it; replay the same"
    ):
        record(None, replay, scenario={"requests": 130})
    smaller = tiny_scenario(rate="15/s", requests=120, cloud=1, policies={"router": replay}) | TABLES
    with pytest.raises(PolicyError, match=r"went to 'cloud/llama-3.1-8b\[\d\]', now no candidate"):
        edgesim.simulate(smaller)
    more = record(None, replay | {"otherwise": "nearest"}, scenario={"requests": 130})
    assert more.summary["requests"]["arrived"] == 130


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda folder: None, "is no folder; give `path` the folder of a run"),
        (lambda folder: folder.mkdir(), "holds no run"),
        (
            lambda folder: record(folder, "nearest", sets=["output.tables=[requests]"]),
            "has no decisions; run it again",
        ),
        (
            lambda folder: (record(folder, "nearest"), (folder / "decisions.parquet").write_bytes(b"PAR1")),
            "cannot read",
        ),
    ],
)
def test_recordings_that_cannot_be_read(prepare: Any, told: str, tmp_path: Path) -> None:
    """The error says what is missing and what to do."""
    prepare(tmp_path / "run")
    with pytest.raises(EdgesimError, match=told):
        record(None, {"kind": "recorded", "path": str(tmp_path / "run")})


def test_a_run_without_decisions_says_how_to_keep_them(tmp_path: Path) -> None:
    """Asking for a table that was not recorded is no empty answer."""
    run = record(tmp_path / "run", "nearest", sets=["output.tables=[requests]"])
    kept = record(None, "nearest", sets=["output.tables=[requests]"])
    for each in (run, kept):
        with pytest.raises(ResultsError, match="has no table 'decisions'"):
            _ = each.decisions
