"""Decisions that take time and energy: later by so much, paid by the request, and in the totals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import edgesim
from edgesim import registry, simulation
from edgesim.arena import rows
from edgesim.arena.compile import JIT
from edgesim.errors import PolicyError, ScenarioError
from edgesim.outcome import Outcome
from edgesim.policies import DecisionCost, Defer, Hedge, Reject, Router, register
from edgesim.scenario import load
from edgesim.simulation import Simulation
from edgesim.verify import books

from .test_doors import SCENARIO, Kept

MS = 10**9
LASTING: dict[str, Any] = {"kind": "nearest", "decision_time": "40 ms", "decision_energy": "3 J"}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Leave no policy of this file behind for other tests."""
    yield
    registry.registries["router"].forget(__name__)


@pytest.fixture(params=["kernel", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which engine runs."""
    return str(request.param)


def run(
    engine: str,
    router: object,
    *processes: Callable[[Simulation], Iterator[Any]],
    chat: dict[str, Any] | None = None,
    **more: Any,
) -> tuple[Any, Outcome]:
    """Records and outcome of a run whose router is this one."""
    data = {**SCENARIO, "engine": engine, **more}
    data["policies"] = {**SCENARIO["policies"], "router": router}
    data["workloads"] = {"chat": {**SCENARIO["workloads"]["chat"], **(chat or {})}}
    kept = Kept()
    outcome = Simulation(load(data), processes=processes).run(kept)
    assert np.array_equal(kept.rows("requests")["legs"], counted(kept))
    return kept.rows("requests"), outcome


def counted(kept: Kept) -> Any:
    """Legs of each request, in their order."""
    requests = len(kept.rows("requests"))
    return (
        np.bincount(kept.rows("legs")["request"], minlength=requests)
        if kept.chunks["legs"]
        else np.zeros(requests)
    )


def test_no_cost_changes_nothing(engine: str) -> None:
    """A decision that takes 0 s and 0 J is the one that says nothing of either."""
    said, _ = run(engine, {"kind": "nearest", "decision_time": "0 s", "decision_energy": "0 J"})
    plain, outcome = run(engine, "nearest")
    assert np.array_equal(said, plain)
    assert outcome.totals.decided_nj == 0


def test_every_decision_is_late_and_paid_for(engine: str) -> None:
    """Each attempt takes 40 ms and 3 J; the books close, and the summary has a line for it."""

    def crash(sim: Simulation) -> Iterator[Any]:
        yield sim.after(5)
        sim.fail_replica(0)
        yield sim.after(5)
        sim.start_replica(0)

    records, outcome = run(engine, LASTING, crash)
    ended = records[records["finished"] >= 0]
    retried = ended["backoff"] > 0
    assert 0 < retried.sum() < len(ended)
    assert (ended["decision"] == np.where(retried, 80 * MS, 40 * MS)).all()
    started = records[records["first_scheduled"] >= 0]
    assert (started["first_scheduled"] - started["arrived"] >= 40 * MS).all()
    assert all(check.passed for check in books.audit(records, outcome))
    totals = outcome.totals
    assert totals.decided_nj >= 3 * 10**9 * len(ended)
    fleet = int(totals.replicas["compute_nj"].sum())
    assert int(records["compute_nj"].sum()) == fleet + totals.decided_nj


def test_the_summary_adds_decisions_up() -> None:
    """Total energy is idle, steps, decisions and network."""
    data = {**SCENARIO, "policies": {**SCENARIO["policies"], "router": LASTING}}
    found = edgesim.simulate(data).summary
    energy = found["energy_j"]
    assert energy["decisions"] > 1000
    parts = energy["idle"] + energy["dynamic"] + energy["decisions"] + energy["network"]
    assert energy["total"] == pytest.approx(parts, rel=1e-12)
    owned = found["of_requests"]["energy_j"]
    assert owned + energy["idle"] == pytest.approx(energy["total"], rel=1e-9)


def test_energy_alone_shifts_nothing(engine: str) -> None:
    """Energy without time: the same times, and 3 J more a request."""
    plain, _ = run(engine, "nearest")
    paid, outcome = run(engine, {"kind": "nearest", "decision_energy": "3 J"})
    assert np.array_equal(plain["finished"], paid["finished"])
    assert (paid["compute_nj"] - plain["compute_nj"] == 3 * 10**9).all()
    assert outcome.totals.decided_nj == 3 * 10**9 * len(paid)


def test_who_leaves_meanwhile_pays_for_the_part(engine: str) -> None:
    """Patience of 25 ms ends within the 40 ms: nothing is sent, 25 ms and 25/40 of the energy are booked."""
    records, outcome = run(engine, LASTING, chat={"patience": "25 ms"})
    arrived_early = records[records["arrived"] + 25 * MS < 20_000 * MS]
    assert set(arrived_early["status"]) == {rows.R_ABANDONED}
    assert set(records["legs"]) == {0}
    assert (arrived_early["decision"] == 25 * MS).all()
    assert (arrived_early["compute_nj"] == 3 * 10**9 * 25 // 40).all()
    assert outcome.totals.decided_nj == int(records["compute_nj"].sum())


def test_the_end_of_the_run_cuts_a_decision(engine: str) -> None:
    """What is under way at the horizon is booked as far as it got."""
    lasting = {**LASTING, "decision_time": "60 s"}
    records, outcome = run(engine, lasting)
    assert set(records["status"]) == {rows.R_UNFINISHED}
    assert (records["decision"] == 20_000 * MS - records["arrived"]).all()
    share = records["decision"] / (60_000 * MS)
    assert records["compute_nj"] == pytest.approx(3e9 * share, abs=1)
    assert outcome.totals.decided_nj == int(records["compute_nj"].sum())


def test_every_kind_of_answer_takes_its_time(engine: str) -> None:
    """Refusals, deferrals and hedges, too, are there when the decision is over, not before."""

    @register("of-all-kinds")
    class OfAllKinds(Router):
        """Refuse, defer, hedge or send, in turn; dearer the more there are to choose from."""

        def route(self, request: Any, candidates: Any, view: Any) -> Any:
            kind = request.id % 4
            if kind == 0:
                return Reject("no-reason")
            if kind == 1 and view.now < request.arrived_at + 0.1:
                return Defer(view.now + (0.01 if request.id % 8 == 1 else 0.2))
            return Hedge(candidates[:2]) if kind == 2 else candidates[0]

        def decision_cost(self, request: Any, candidates: Any, view: Any) -> DecisionCost:
            return DecisionCost(0.01 * len(candidates), 0.5 * len(candidates))

    records, outcome = run(engine, "of-all-kinds")
    ended = records[records["finished"] >= 0]
    assert all(check.passed for check in books.audit(records, outcome))
    turned_away = ended[ended["request"] % 4 == 0]
    assert (turned_away["finished"] - turned_away["arrived"] == 30 * MS).all()
    assert (turned_away["status"] == rows.R_REJECTED).all()
    # a deferral until before the decision is over asks again at its end: 4 x 30 ms, then it is sent; else 200 ms
    soon, late = (ended[ended["request"] % 8 == rest] for rest in (1, 5))
    assert (soon["decision"] == 150 * MS).all()
    assert (soon["backoff"] == 0).all()
    assert (late["decision"] == 60 * MS).all()
    assert (late["backoff"] == (200 - 30) * MS).all()
    hedged = ended[ended["request"] % 4 == 2]
    assert (hedged["legs"] == 2).all()
    assert (hedged["decision"] == 30 * MS).all()
    assert (ended["compute_nj"] >= ended["decision"] // (10 * MS) * 5 * 10**8).all()


def test_both_engines_agree() -> None:
    """To the bit, with retries and patience."""

    def crash(sim: Simulation) -> Iterator[Any]:
        yield sim.after(5)
        sim.fail_replica(0)
        yield sim.after(5)
        sim.start_replica(0)

    chat = {"patience": "150 ms"}
    (kernel, one), (twin, other) = (run(e, LASTING, crash, chat=chat) for e in ("kernel", "reference"))
    for name in kernel.dtype.names:
        if kernel.dtype[name].kind == "i":
            assert np.array_equal(kernel[name], twin[name]), name
    assert one.totals.decided_nj == other.totals.decided_nj
    assert len(set(kernel["status"])) > 2


@pytest.mark.skipif(not JIT, reason="the compiled tier needs the compiler")
@pytest.mark.parametrize("time", ["40 ms", "0 s"])
def test_compiled_routers_take_their_time(time: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel decides by itself, late and paid, as the Python tier does."""
    router = {"kind": "power-of-two", "decision_time": time, "decision_energy": "3 J"}
    found = []
    for worth in (0, 10**9):
        monkeypatch.setattr(simulation, "WORTH_COMPILING", worth)
        found.append(run("kernel", router, chat={"patience": "100 ms"}))
    (compiled, one), (python, other) = found
    assert np.array_equal(compiled, python)
    assert one.totals.decided_nj == other.totals.decided_nj > 10**12


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decision_time": 0.5}, "0.5 has no unit; write e.g. '10 ms'"),
        ({"decision_time": "-1 s"}, "'-1 s' is negative, which a time cannot be"),
        ({"decision_time": "2 d"}, "should be less than or equal to 86400; not '2 d'"),
        ({"decision_energy": "2 W"}, "is not an energy"),
    ],
)
def test_wrong_costs_are_refused(given: dict[str, Any], message: str) -> None:
    """They are parameters of every router, checked like others."""
    (problem,) = registry.check("router", {"kind": "nearest", **given})
    assert message in problem.text
    assert problem.path == (next(iter(given)),)
    with pytest.raises(ScenarioError):
        registry.build("router", {"kind": "nearest", **given})


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        (0.5, "0.5"),
        (DecisionCost(-1.0), "DecisionCost(time_s=-1.0, energy_j=0.0)"),
        (DecisionCost(1e6), "DecisionCost(time_s=1000000.0, energy_j=0.0)"),
        (DecisionCost(float("nan")), "DecisionCost(time_s=nan, energy_j=0.0)"),
        (DecisionCost(1.0, "2 J"), "DecisionCost(time_s=1.0, energy_j='2 J')"),  # type: ignore[arg-type]
    ],
)
def test_nonsense_is_refused(cost: Any, shown: str) -> None:
    """The message names policy, answer, moment, request, rule and line."""

    @register("mispriced")
    class Mispriced(Router):
        """Cost what cannot be."""

        def route(self, request: Any, candidates: Any, view: Any) -> Any:
            return candidates[0]

        def decision_cost(self, request: Any, candidates: Any, view: Any) -> Any:
            return cost

    with pytest.raises(PolicyError) as caught:
        run("kernel", "mispriced")
    text = str(caught.value)
    assert text.startswith(f"router 'mispriced' returned {shown} at t=")
    assert (
        " for request r0; decision_cost() must return DecisionCost(time_s, energy_j), from 0 to a day" in text
    )


def test_an_error_is_blamed_on_the_hook() -> None:
    """An exception in `decision_cost` names it, and its line."""

    @register("broken-price")
    class BrokenPrice(Router):
        """Fail."""

        def route(self, request: Any, candidates: Any, view: Any) -> Any:
            return candidates[0]

        def decision_cost(self, request: Any, candidates: Any, view: Any) -> Any:
            return candidates["x"]

    with pytest.raises(
        PolicyError, match=r"raised TypeError in decision_cost\(\) at t=.* for request r0: .*\.py:\d+\)"
    ):
        run("kernel", "broken-price")
