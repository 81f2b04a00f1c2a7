"""Capacity: answers against theory, answers that do not exist, searches that are interrupted."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import edgesim
from edgesim.cli import main
from edgesim.errors import ResultsError, ScenarioError
from edgesim.results.capacity import Asked, Criterion
from edgesim.results.folder import locked
from edgesim.scenario import load
from edgesim.streams import Streams
from edgesim.studies import capacity as answers
from edgesim.studies import capacity_points
from edgesim.studies.capacity_goal import Goal, criteria, judged, looks_at
from edgesim.studies.capacity_levers import Load, Mix, Replicas, choices
from edgesim.studies.capacity_mix import MixSearch
from edgesim.studies.capacity_points import Point, measure
from edgesim.studies.capacity_search import Found, crossing, largest, reversals, smallest
from edgesim.verify.capacity import SERVICE, checks, rate_of_mean, rate_of_quantile, scenario, wait_below
from edgesim.workload.source import build

LOOKS = (4, 8, 16)
WAIT = {"queue_time": {"mean": "0.4 s"}}
ROW = {"measured": 1000, "stable": True, "stability": "stable"}
TTFT = Criterion("ttft_p95", 1.0)


def small(slo: Mapping[str, Any] = WAIT, requests: int = 1500, **sections: Any) -> dict[str, Any]:
    return scenario(slo, requests, warmup=20.0) | sections


# --- what is demanded


def test_bounds_are_met_or_missed_only_beyond_their_intervals() -> None:
    at_most, at_least = Criterion("ttft_p95", 1.0), Criterion("attainment", 0.9, "", at_least=True)
    error = 0.0125
    assert judged(at_most, [0.89, 0.9, 0.91, 0.9], error, error).verdict == "met"
    assert judged(at_most, [0.5, 1.2, 0.9, 1.1], error, error).verdict == "open"
    assert judged(at_most, [1.2, 1.21, 1.19, 1.2], error, error).verdict == "missed"
    assert judged(at_least, [0.95, 0.951, 0.949, 0.95], error, error).verdict == "met"
    assert judged(at_least, [0.8, 0.81, 0.79, 0.8], error, error).verdict == "missed"
    assert judged(at_most, [0.5], error, error).verdict == "open"
    assert judged(at_most, [0.5, math.inf, 0.5, 0.5], error, error).verdict == "open"
    assert judged(at_most, [0.5, math.inf, math.inf, math.inf], error, error).verdict == "missed"


def test_limits_are_those_of_student() -> None:
    """With four values, the one-sided limit at 97.5 % is 3.182 standard errors away."""
    found = judged(TTFT, [0.4, 0.5, 0.6, 0.5], 0.025, 0.025)
    assert found.high == pytest.approx(0.5 + 3.18245 * np.std([0.4, 0.5, 0.6, 0.5], ddof=1) / 2, rel=1e-4)


def test_a_maximum_is_met_by_every_replication() -> None:
    assert judged(Criterion("ttft_max", 1.0), [0.1] * 30 + [1.01], 0.01, 0.01).verdict != "met"
    assert judged(Criterion("ttft_max", 1.0), [0.1] * 30 + [0.2], 0.01, 0.01).verdict == "met"


def test_attainment_turns_bounds_into_limits_for_single_requests() -> None:
    loaded = load(
        small({"ttft": {"p95": "1 s", "mean": "0.5 s"}, "tpot": {"within": "0.1 s", "attainment": "90 %"}})
    )
    assert {(one.name, one.bound, one.at_least) for one in criteria(loaded)} == {
        ("ttft_p95", 1.0, False),
        ("ttft_mean", 0.5, False),
        ("tpot_attainment", 0.9, True),
    }
    assert {one.name for one in criteria(loaded, 0.99)} == {"ttft_mean", "attainment"}


@pytest.mark.parametrize("slo", [{}, {"ttft": {"within": "1 s"}}])
def test_nothing_to_meet_is_an_error(slo: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="nothing to meet"):
        edgesim.capacity(small(slo))


def test_a_percentile_wants_requests_beyond_it() -> None:
    assert Criterion("ttft_p99", 1.0).needed == 200
    assert Criterion("ttft_mean", 1.0).needed == 20
    assert Criterion("attainment", 0.99, "", at_least=True).needed == 200


# --- what is varied


def test_requests_are_the_same_under_every_load_only_closer_together() -> None:
    loaded = load(small())
    lever = Load(loaded)
    first = next(iter(build(lever.at(1.0), Streams(3)).chunks()))
    twice = next(iter(build(lever.at(2.0), Streams(3)).chunks()))
    assert np.abs(first["at"] - 2 * twice["at"]).max() < 2 * len(first)  # ps, rounded gap by gap
    assert (first["output"] == twice["output"]).all()


@pytest.mark.parametrize(
    ("arrivals", "rate"),
    [
        ({"kind": "gamma", "rate": "3/s", "cv": 2}, 6.0),
        ({"kind": "on-off", "rate_on": "6/s", "rate_off": "1/s", "mean_on": "1 s", "mean_off": "4 s"}, 4.0),
        ({"kind": "diurnal", "rate": "3/s"}, 6.0),
        ({"kind": "periodic", "period": "0.5 s", "jitter": "0.1 s"}, 4.0),
        ({"kind": "poisson", "rate": "3/s", "per": "node"}, 6.0),
    ],
)
def test_all_open_arrivals_are_scaled(arrivals: dict[str, Any], rate: float) -> None:
    made = small()
    made["workloads"]["load"]["arrivals"] = arrivals
    lever = Load(load(made))
    assert lever.rate(2.0) == pytest.approx(rate)
    assert Load(lever.at(2.0)).rate() == pytest.approx(rate)


def test_users_who_wait_have_no_rate() -> None:
    made = small()
    made["workloads"]["load"]["arrivals"] = {"kind": "closed-loop", "users": 3, "think_time": "1 s"}
    with pytest.raises(ScenarioError, match="no rate to vary"):
        edgesim.capacity(made)


def test_traces_are_replayed_faster(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    rows = [f"{2 * i},10,400" for i in range(300)]
    trace.write_text("arrived_at,prompt_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    made = small({"queue_time": {"p95": "0.05 s"}}, workloads={"load": {"from": "box", "path": str(trace)}})
    made["scenario"] = {"name": "trace", "seed": 1}
    found = edgesim.capacity(made, looks=LOOKS, tolerance=0.02)
    assert found.answer == pytest.approx(
        1 / (SERVICE - 0.05 / 300), rel=0.04
    )  # every 0.4 s one, and nobody waits


def test_replicas_keep_accelerators_of_their_own() -> None:
    lever = Replicas(load(small()), "llama-3.2-1b")
    three = lever.at(3)
    assert three.deployments[0].replicas == 3
    assert three.topology.nodes["box"].accelerators == 3
    assert Replicas(load(small()), "box").at(5).topology.nodes["box"].count == 5


def test_unknown_things_are_named_with_what_there_is() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'box'"):
        Replicas(load(small()), "bax")
    with pytest.raises(ScenarioError) as caught:
        choices("bax: nvidia-l4 x 1..2; box: nvidia-l5 x 3..2; nonsense", load(small()))
    assert len(caught.value.problems) == 4


# --- the search


def place(values: Mapping[str, float], verdict: str) -> Point:
    """A point that was measured as if by four quiet replications."""
    rows = [ROW | {name: value * (1 + 1e-6 * i) for name, value in values.items()} for i in range(4)]
    point = Point({"load": 1.0}, rows, Goal((TTFT,), looks=(4,)))
    assert point.verdict == verdict
    return point


def ramp(limit: float) -> Any:
    return lambda x, whole=False: place({"ttft_p95": x / limit}, "met" if x < limit else "missed")


@pytest.mark.parametrize("limit", [0.013, 0.7, 1.3, 97.0])
def test_bisection_finds_the_limit_from_any_side(limit: float) -> None:
    found = largest(ramp(limit), lowest=2**-10, highest=2**10, tolerance=0.01)
    assert found.outcome == "found"
    assert found.place is not None
    assert found.beyond is not None
    assert limit / 1.01 <= found.place <= limit <= found.beyond <= 1.0101 * found.place
    assert crossing(found.points) == pytest.approx(limit, rel=0.01)


def test_the_ends_of_the_line_are_told_apart() -> None:
    assert largest(ramp(1e-9), lowest=0.25, highest=4, tolerance=0.01).outcome == "missed"
    met = largest(ramp(1e9), lowest=0.25, highest=4, tolerance=0.01)
    assert (met.outcome, met.place, met.beyond) == ("met", 4, None)


@pytest.mark.parametrize("needed", [1, 2, 3, 5, 8, 13, 40])
@pytest.mark.parametrize("start", [1, 4, 40])
def test_the_smallest_number_is_found_from_any_start(needed: int, start: int) -> None:
    def at(n: float, *, whole: bool = False) -> Point:
        return place({"ttft_p95": 2.0 if n < needed else 0.5 - n / 1e4}, "missed" if n < needed else "met")

    found = smallest(at, start=start, most=64)
    assert found.place == needed
    assert found.beyond == (None if needed == 1 else needed - 1)


def test_no_number_may_be_enough() -> None:
    found = smallest(lambda n, whole=False: place({"ttft_p95": 2.0}, "missed"), start=1, most=10)
    assert (found.place, found.outcome, max(found.points)) == (None, "missed", 10)


def test_what_measured_too_little_is_no_reversal() -> None:
    """Three requests at the lowest load, one of them slow, say nothing against the loads above."""
    few = dataclasses.replace(
        place({"ttft_p95": 2.0}, "missed"), rows=[ROW | {"ttft_p95": 2.0, "measured": 3}] * 4
    )
    assert few.verdict == "empty"
    points = {0.01: few} | {x: ramp(1.3)(x) for x in (0.5, 1.0, 2.0)}
    assert reversals(points) == []
    assert crossing(points) == pytest.approx(1.3, rel=0.1)


def dent(x: float) -> Point:
    """Good up to 1, bad up to 3, good again up to 5."""
    bad = 1.0 < x < 3.0 or x > 5.0
    return place({"ttft_p95": 2.0 if bad else 0.5}, "missed" if bad else "met")


def test_a_line_that_is_not_monotone_is_said_and_scanned() -> None:
    found: Found = largest(lambda x, whole=False: dent(4 * x), lowest=2**-10, highest=2**10, tolerance=0.01)
    assert any("not monotone" in note for note in found.notes)
    assert any("missed at" in note for note in found.notes)
    assert any("good again" in note for note in found.notes)
    assert found.place == pytest.approx(0.25, rel=0.01)
    assert found.place <= 0.25


def test_numbers_within_their_bounds_may_do_what_they_like() -> None:
    def at(x: float, *, whole: bool = False) -> Point:
        wobble = 0.3 if 0.3 < x < 0.8 else 0.5
        return place({"ttft_p95": wobble if x < 1.3 else 2.0}, "met" if x < 1.3 else "missed")

    assert not largest(at, lowest=0.1, highest=8, tolerance=0.01).notes


# --- the answer is confirmed


@pytest.mark.parametrize("lucky", [1.0, 1.2, 1.29])
def test_an_answer_that_does_not_stand_all_looks_is_stepped_down_from(lucky: float) -> None:
    """Early looks say that everything up to 1.3 is met; with all replications, only what is below `lucky` is."""

    def at(x: float, *, whole: bool = False) -> Point:
        good = x < (lucky if whole else 1.3)
        return place({"ttft_p95": 0.5 if good else 2.0}, "met" if good else "missed")

    found = largest(at, lowest=2**-10, highest=2**10, tolerance=0.01)
    assert found.place is not None
    assert lucky / 1.012 <= found.place < lucky
    assert found.points[found.place].met


def test_a_number_that_does_not_stand_all_looks_is_stepped_up_from() -> None:
    def at(n: float, *, whole: bool = False) -> Point:
        good = n >= (7 if whole else 5)
        return place({"ttft_p95": 0.5 if good else 2.0}, "met" if good else "missed")

    assert smallest(at, start=1, most=64).place == 7
    assert smallest(at, start=1, most=6).place is None


def test_an_answer_rests_on_all_replications() -> None:
    found = edgesim.capacity(small(requests=800), looks=(4, 8), tolerance=0.2)
    answer = found.table[found.table.rate_rps == found.answer]
    assert list(answer.replications) == [8]
    assert found.table.replications.min() == 4  # others need not


def test_percentiles_are_not_judged_by_a_few_replications() -> None:
    assert looks_at((TTFT,), (4, 8, 16)) == (8, 16)
    assert looks_at((TTFT,), (2, 4)) == (4,)
    assert looks_at((Criterion("ttft_mean", 1.0),), (4, 8)) == (4, 8)
    found = edgesim.capacity(small({"queue_time": {"p95": "9 s"}}, 500), looks=(4,), highest=1.0)
    assert any("8 or more (-n)" in note for note in found.notes)


def test_one_unstable_replication_leaves_a_point_undecided() -> None:
    rows = [ROW | {"ttft_p95": 0.5 + 1e-6 * i} for i in range(8)]
    goal = Goal((TTFT,), looks=(8,))
    assert Point({"load": 1.0}, rows, goal).verdict == "met"
    grown = {"stable": False, "stability": "unstable: the backlog grows"}
    point = Point({"load": 1.0}, [rows[0] | grown, *rows[1:]], goal)
    assert point.verdict == "open"
    assert point.reason == "1 of 8 replications unstable"
    assert Point({"load": 1.0}, [row | grown for row in rows[:5]] + rows[5:], goal).verdict == "unstable"
    found = Found(None, None, "missed", {})
    points: Any = SimpleNamespace(goal=goal)
    (note,) = answers._capacity(
        load(small()), Asked(looks=(8,)), points, found, [point], "", answer=None
    ).notes
    assert "1 of 1 points stayed undecided and counts as not met" in note
    assert "longer runs would tell chance from overload, more replications would not" in note


# --- answers against theory


def test_erlangs_distribution_agrees_with_the_mean_wait() -> None:
    rate = 0.7 / SERVICE
    t = np.linspace(0, 12, 4001)
    mean = np.trapezoid([1 - wait_below(float(x), rate) for x in t], t)
    assert mean == pytest.approx(0.7 * SERVICE / (2 * 0.3), rel=1e-3)
    assert rate_of_mean(0.7 * SERVICE / 0.6) == pytest.approx(rate)
    assert wait_below(1.0, rate_of_quantile(1.0, 0.9)) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("slo", "expected"),
    [
        ({"queue_time": {"mean": "0.25 s"}}, rate_of_mean(0.25)),
        ({"queue_time": {"p95": "0.8 s"}}, rate_of_quantile(0.8, 0.95)),
    ],
    ids=["mean", "p95"],
)
def test_the_limit_of_md1_is_found_within_two_percent(slo: dict[str, Any], expected: float) -> None:
    found = edgesim.capacity(scenario(slo, 6000), looks=(4, 8, 16, 24))
    assert found.answer == pytest.approx(expected, rel=0.02)
    assert found.estimate == pytest.approx(expected, rel=0.015)
    assert found.limit is not None
    assert found.answer < expected < found.limit
    assert not any("monotone" in note for note in found.notes)


def test_an_objective_below_the_service_time_has_no_answer() -> None:
    found = edgesim.capacity(small({"e2e": {"p95": "0.39 s"}}, 500), looks=LOOKS, lowest=0.1)
    assert (found.answer, found.outcome) == (None, "missed")
    assert "missed even at the lowest load" in found.sentence
    assert "e2e p95 is 40" in found.sentence
    assert "demanded <= 390 ms" in found.sentence


def test_a_system_may_meet_everything_that_is_tried() -> None:
    found = edgesim.capacity(small({"e2e": {"p95": "1000 s"}}), looks=LOOKS, highest=1.5)
    assert found.outcome == "met"
    assert found.answer == pytest.approx(1.5)
    assert "even at the highest rate tried" in found.sentence


def test_a_growing_backlog_is_no_capacity_however_lenient_the_objective() -> None:
    found = edgesim.capacity(small({"e2e": {"mean": "1 d"}}, 3000), looks=LOOKS, tolerance=0.05)
    assert found.answer == pytest.approx(1 / SERVICE, rel=0.1)
    assert "unstable" in set(found.table["verdict"])
    assert any("unstable" in note for note in found.notes)


def test_a_system_that_never_keeps_up_is_called_unstable() -> None:
    found = edgesim.capacity(small({"e2e": {"mean": "1 d"}}, 1000), looks=LOOKS, lowest=4, highest=8)
    assert found.answer is None
    assert "does not keep up" in found.sentence


def test_too_few_requests_are_no_evidence() -> None:
    found = edgesim.capacity(small({"ttft": {"p99": "1 s"}}, 60), looks=LOOKS)
    assert found.answer is None
    assert "enough requests" in found.sentence
    assert set(found.table["verdict"]) == {"too few"}


def test_an_open_question_stays_open() -> None:
    """An objective at the very mean is neither met nor missed by four short runs."""
    found = edgesim.capacity(small({"queue_time": {"mean": "0.132 s"}}, 400), looks=(4,), lowest=1, highest=1)
    assert found.answer is None
    assert "4 replications do not tell" in found.sentence
    assert any("1 point near the limit stayed undecided" in note for note in found.notes)


def test_requests_that_are_turned_away_took_for_ever() -> None:
    """Where 30 % are refused, the 95th percentile of all is not that of the others."""
    made = small(
        {"ttft": {"p95": "5 s", "p50": "5 s"}},
        4000,
        policies={"admission": {"kind": "queue-limit", "max_queue": 1}},
    )
    made["workloads"]["load"]["arrivals"]["rate"] = f"{1.4 / SERVICE}/s"
    row = measure(load(made), 0)
    share = row["turned_away"] / row["measured"]
    assert 0.05 < share < 0.5
    assert row["ttft_p95"] is None
    assert row["ttft_p50"] is not None


def test_only_so_many_replicas_are_enough() -> None:
    """At 2.4 times what one box can take, three are the least that keep up; brute force agrees."""
    made = small({"queue_time": {"mean": "0.3 s"}}, 3000, policies={"router": "least-outstanding-tokens"})
    made["workloads"]["load"]["arrivals"]["rate"] = f"{2.4 / SERVICE}/s"
    found = edgesim.capacity(made, replicas="llama-3.2-1b", looks=LOOKS)
    met = []
    lever = Replicas(load(made), "box/llama-3.2-1b")
    for number in range(1, 7):
        rows = [measure(lever.at(number), i) for i in range(4)]
        good = np.mean([row["queue_time_mean"] for row in rows]) <= 0.3 and all(row["stable"] for row in rows)
        met += [number] * bool(good)
    assert found.answer == min(met)
    assert found.answer >= 3
    assert str(found.answer) in found.sentence


def test_the_cheapest_mix_is_the_first_good_one_by_price() -> None:
    made = small({"ttft": {"p95": "1 s"}}, 1000)
    made["deployments"] = [{"llm": "llama-3.1-8b", "on": "box"}]
    made["workloads"]["load"] |= {
        "prompt_tokens": 500,
        "output_tokens": 100,
        "arrivals": {"kind": "poisson", "rate": "6/s"},
    }
    found = edgesim.capacity(made, mix="box: nvidia-t4|nvidia-l4|nvidia-a100-80gb-sxm x 1..3", looks=LOOKS)
    table = found.table
    assert isinstance(found.answer, dict)
    best = table[table.verdict == "met"]
    assert len(best) == 1
    assert best.price_usd_per_h.iloc[0] == table.price_usd_per_h[np.isfinite(table.price_usd_per_h)].max()
    assert best[["box", "box x"]].iloc[0].to_dict() == found.answer
    unfit = table[table.verdict == "impossible"]
    assert set(unfit.box) == {"nvidia-t4"}  # 16 GB of weights do not fit
    assert unfit.reason.str.contains("needs").all()


def test_the_most_frugal_mix_is_found_by_running_all() -> None:
    made = small({"ttft": {"p95": "5 s"}}, 200)
    made["deployments"] = [{"llm": "llama-3.2-1b", "on": "box"}]
    found = edgesim.capacity(
        made, mix="box: nvidia-l4|nvidia-h100-sxm x 1..2", looks=(4,), objective="energy"
    )
    assert len(found.table) == 4
    met = found.table[found.table.verdict == "met"]
    assert found.answer == met.loc[met.power_w.idxmin(), ["box", "box x"]].to_dict()
    assert "most frugal" in found.sentence


def test_many_mixes_are_tried_by_optuna_and_the_same_ones_each_time() -> None:
    pytest.importorskip("optuna")
    loaded = load(small())
    mix = Mix(
        loaded, choices("box: nvidia-l4|nvidia-a10|nvidia-a100-80gb-sxm|nvidia-h100-sxm x 1..40", loaded)
    )
    goal = Goal((TTFT,), looks=(4,))

    class Fake:
        """Six L4s, or three of anything else, are enough."""

        def at(self, key: Any, variant: Any, facts: Any, problem: str = "", *, whole: bool = False) -> Point:
            enough = key["box x"] >= (6 if key["box"] == "nvidia-l4" else 3)
            rows = [
                ROW | {"ttft_p95": (0.5 if enough else 2.0) * (1 + 1e-6 * i), "power_w": 1.0}
                for i in range(4)
            ]
            return Point(key, rows, goal, problem, facts)

    def tried() -> tuple[Any, int]:
        search = MixSearch(mix, Fake(), "cost")  # type: ignore[arg-type]
        best = search.optimise(60, seed=5)
        assert best is not None
        assert any("of 160 mixes" in note for note in search.notes)
        return dict(best.key), len(search.tried)

    best, count = tried()
    assert (best, count) == tried()
    price = mix.price(mix.at(best))
    every = [key for key in mix.all() if key["box x"] >= (6 if key["box"] == "nvidia-l4" else 3)]
    assert price <= sorted(mix.price(mix.at(key)) for key in every)[4]  # among the best few of 160
    assert count < 60


@pytest.mark.verification
def test_all_limits_of_md1_are_found() -> None:
    failed = [check for check in checks() if not check.passed]
    assert not failed


# --- interruption, processes


def table_of(folder: Path) -> bytes:
    return (folder / "points.csv").read_bytes() + (folder / "points.parquet").read_bytes()


def test_a_search_that_is_interrupted_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"looks": LOOKS, "tolerance": 0.1}
    edgesim.capacity(small(), out=tmp_path / "whole", **settings)
    done: list[int] = []

    def counted(*given: Any) -> Any:
        if len(done) == 9:
            raise KeyboardInterrupt
        done.append(1)
        return measure(*given)

    monkeypatch.setattr(capacity_points, "measure", counted)
    with pytest.raises(KeyboardInterrupt):
        edgesim.capacity(small(), out=tmp_path / "broken", **settings)
    manifest = json.loads((tmp_path / "broken" / "manifest.json").read_text())
    assert (manifest["kind"], manifest["exit_state"]) == ("capacity", "interrupted")
    with pytest.raises(ResultsError, match="run the same `edgesim capacity` with --resume"):
        edgesim.Capacity.load(tmp_path / "broken")
    journal = tmp_path / "broken" / "replications.jsonl"
    lines = journal.read_text().splitlines()
    assert len(lines) == 10
    journal.write_text("\n".join(lines)[:-20])  # killed while it wrote
    done.clear()
    monkeypatch.setattr(capacity_points, "measure", lambda *given: done.append(1) or measure(*given))
    found = edgesim.capacity(small(), out=tmp_path / "broken", resume=True, **settings)
    whole = len((tmp_path / "whole" / "replications.jsonl").read_text().splitlines()) - 1
    assert len(done) == whole - 8
    assert table_of(tmp_path / "broken") == table_of(tmp_path / "whole")
    again = edgesim.Capacity.load(tmp_path / "broken")
    assert (again.answer, again.sentence, again.asked) == (found.answer, found.sentence, found.asked)
    assert again.points == json.loads(json.dumps(found.as_json()))["points"]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"search": "replica"}, "'search' is 'replica', but must be rate, replicas or mix"),
        ({"search": "replicas"}, "'of' is '', but must say which replicas"),
        ({"confidence": "40 %"}, "'confidence' is 0.4, but must lie between 50 % and 100 %"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], text: str) -> None:
    """No other question is answered in their place; shares may be written as in YAML."""
    with pytest.raises(ScenarioError, match=text):
        edgesim.capacity(small(), **settings)


def test_a_folder_answers_one_question(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"looks": LOOKS, "tolerance": 0.5, "out": tmp_path}
    edgesim.capacity(small(), **settings)
    with pytest.raises(ResultsError, match="--force replaces it"):
        edgesim.capacity(small(), **settings)
    with pytest.raises(ResultsError, match="another question"):
        edgesim.capacity(small({"queue_time": {"mean": "0.5 s"}}), resume=True, **settings)
    edgesim.capacity(small({"queue_time": {"mean": "0.5 s"}}), force=True, **settings)
    (tmp_path / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(ResultsError, match="holds a run, not a capacity search"):
        edgesim.capacity(small(), force=True, **settings)


def test_replicas_of_one_thing_do_not_answer_for_those_of_another(tmp_path: Path) -> None:
    """Their points have the same names: two nodes, or two replicas on each node."""
    settings: dict[str, Any] = {"looks": (4,), "most": 2, "out": tmp_path}
    asked = small(requests=500)
    node, deployment = asked["deployments"][0]["on"], asked["deployments"][0]["llm"]
    edgesim.capacity(asked, replicas=node, **settings)
    edgesim.capacity(asked, replicas=node, resume=True, **settings)
    with pytest.raises(ResultsError, match="another question"):
        edgesim.capacity(asked, replicas=deployment, resume=True, **settings)


def test_a_search_goes_on_with_a_note_if_the_code_has_changed(tmp_path: Path) -> None:
    """Not at all, if its version has; a damaged journal is told."""
    settings: dict[str, Any] = {"looks": (4, 8), "tolerance": 0.5, "out": tmp_path}
    edgesim.capacity(small(requests=500), **settings)
    journal = tmp_path / "replications.jsonl"
    first, *rest = journal.read_text(encoding="utf-8").splitlines()
    head = json.loads(first)

    def pretend(**changes: Any) -> None:
        made_by = [head["made_by"][0] | changes]
        lines = [json.dumps(head | {"made_by": made_by}), *rest]
        journal.write_text("\n".join(lines) + "\n", encoding="utf-8")

    pretend(git_commit=40 * "a")
    notes = edgesim.capacity(small(requests=500), resume=True, **settings).notes
    if head["made_by"][0]["git_commit"] is not None:
        assert any("different commits of edgesim" in note for note in notes)
    pretend(versions={"edgesim": "0.0.1"})
    with pytest.raises(ResultsError, match=r"different versions of edgesim: 0\.0\.1"):
        edgesim.capacity(small(requests=500), resume=True, **settings)
    journal.write_text("{" + first, encoding="utf-8")
    with pytest.raises(ResultsError, match="its beginning is damaged; --force starts anew"):
        edgesim.capacity(small(requests=500), resume=True, **settings)


def test_a_folder_is_written_by_one_search_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ResultsError, match="is being written by"):
        edgesim.capacity(small(), looks=(4,), out=tmp_path)
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_processes_change_nothing() -> None:
    settings: dict[str, Any] = {"looks": (4, 8), "tolerance": 0.5}
    alone = edgesim.capacity(small(requests=500), **settings)
    assert edgesim.capacity(small(requests=500), jobs=2, **settings).as_json() == alone.as_json()


def test_how_often_a_scenario_is_run_is_the_search_to_say() -> None:
    """Replications and precision of the scenario change nothing."""
    settings: dict[str, Any] = {"looks": (4, 8), "tolerance": 0.5, "seed": 4}
    plain = edgesim.capacity(small(requests=500), **settings)
    assert plain.as_json() != edgesim.capacity(small(requests=500), **settings | {"seed": 5}).as_json()
    for more in ({"precision": "5 %"}, {"replications": 3}):
        made = small(requests=500)
        found = edgesim.capacity(made | {"scenario": made["scenario"] | more}, **settings)
        assert found.as_json() == plain.as_json()


def test_wrong_settings_are_told_all_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        edgesim.capacity(small(), confidence=1.2, tolerance=0.0, looks=(1,), lowest=3, highest=2)
    assert len(caught.value.problems) == 4


def test_the_section_of_the_scenario_asks_unless_something_else_is_asked() -> None:
    section = {"replicas": "box", "confidence": "80 %"}
    made = small({"queue_time": {"mean": "2 s"}}, 500, capacity=section)
    found = edgesim.capacity(made, looks=(4,))
    assert (found.asked.search, found.asked.of, found.asked.confidence) == ("replicas", "box", 0.8)
    assert found.answer == 1
    assert edgesim.capacity(made, looks=(4,), search="rate", tolerance=0.9).asked.search == "rate"
    mixed = {"mix": {"box": {"accelerators": ["nvidia-l4", "nvidia-a10"], "least": 1, "most": 2}}}
    assert load(small(capacity=mixed)).capacity.settings()["of"] == "box: nvidia-l4|nvidia-a10 x 1..2"  # type: ignore[union-attr]
    with pytest.raises(ScenarioError, match="not both"):
        load(small(capacity=section | mixed))


# --- what is shown


def test_the_command_prints_stores_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = load(small())
    Path("md1.yaml").write_text(made.resolved_yaml())
    options = ["capacity", "md1.yaml", "-n", "8", "--tolerance", "20%", "-s", "scenario.requests=800"]
    shown = CliRunner().invoke(main, [*options, "-o", "found"], catch_exceptions=False)
    assert shown.exit_code == 0
    said = " ".join(shown.stdout.split())
    assert said.startswith("Up to ")
    assert "at that load the objectives are met with 95 % confidence" in said
    assert "queue time mean" in shown.stdout
    assert {path.name for path in Path("found").iterdir()} >= {
        "curve.svg",
        "curve.png",
        "points.csv",
        "capacity.json",
    }
    told = CliRunner().invoke(main, [*options, "--json"], catch_exceptions=False)
    answer = json.loads(told.stdout)
    assert answer == json.loads(Path("found/capacity.json").read_text())
    assert answer["points"][0]["queue_time_mean_high"] > answer["points"][0]["queue_time_mean"]
    assert answer["units"]["queue_time_mean"] == "s"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--replicas", "box", "--mix", "box: nvidia-l4 x 2"], "different questions"),
        (["--resume"], "belong to -o"),
        (["--duration", "10 s"], "belongs to --preset"),
        (["--attainment", "3"], "--attainment"),
        (["--lowest", "3", "--highest", "2"], "--lowest is greater than --highest"),
        (["--lowest", "nan"], "--lowest is a factor of the load, a positive number, not nan"),
        (["--slo", "ttft.p96=1 s"], "did you mean"),
        (["--replicas", "nobody"], "known: box"),
    ],
)
def test_wrong_options_exit_with_2(options: list[str], text: str, tmp_path: Path) -> None:
    file = tmp_path / "md1.yaml"
    file.write_text(load(small()).resolved_yaml())
    shown = CliRunner().invoke(main, ["capacity", str(file), *options])
    assert shown.exit_code == 2
    assert text in shown.stderr


def test_the_picture_shows_bound_answer_and_every_verdict() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    from edgesim.report.plots.capacity import binding, capacity_curve

    found = edgesim.capacity(small(requests=800), looks=(4, 8), tolerance=0.1)
    figure, ax = plt.subplots()
    try:
        assert capacity_curve(found, ax) is ax
        assert ax.get_xlabel() == "offered load [1/s]"
        assert binding(found).name == "queue_time_mean"
        drawn = {text.get_text() for text in ax.get_legend().get_texts()}
        assert set(found.table.verdict) <= drawn
        assert {"at most 400 ms", f"answer: {found.answer:.4g}/s"} <= drawn
        assert any(line.get_xdata()[0] == found.answer for line in ax.lines)
        assert any(list(line.get_ydata()) == [0.4, 0.4] for line in ax.lines)
    finally:
        plt.close(figure)


def test_no_answer_ends_with_1(tmp_path: Path) -> None:
    file = tmp_path / "md1.yaml"
    file.write_text(load(small({"e2e": {"p95": "0.39 s"}}, 500)).resolved_yaml())
    shown = CliRunner().invoke(main, ["capacity", str(file), "-n", "8", "--lowest", "0.5"])
    assert shown.exit_code == 1
    assert shown.stdout.startswith("No answer")
    assert (
        "Exit code 0 if there is an answer, 1 if" in CliRunner().invoke(main, ["capacity", "--help"]).stdout
    )


def test_the_picture_shows_what_limits_and_ends_above_it() -> None:
    """Near the answer the wait is closer to its bound; it is the whole that is missed at the next point."""
    plt = pytest.importorskip("matplotlib.pyplot")
    from edgesim.report.plots.capacity import binding, capacity_curve

    def point(rate: float, ttft: float, e2e: float, verdict: str, reason: str = "") -> dict[str, Any]:
        values = {"ttft_p95": ttft, "e2e_p95": e2e}
        return {
            "load": rate, "rate_rps": rate, **values, "replications": 8, "verdict": verdict, "reason": reason,
            **{f"{name}_{end}": value for name, value in values.items() for end in ("low", "high")},
        }  # fmt: skip

    points = [
        point(1.0, 0.9, 4.0, "met"),
        point(1.1, 0.95, 4.2, "met"),
        point(1.2, 0.97, 6.0, "missed", "e2e_p95"),
        point(2.0, 3.0, 6.5, "missed", "ttft_p95, e2e_p95"),
    ]
    found = edgesim.Capacity(
        Asked(), "two", 1.1, "", "found", points, (TTFT, Criterion("e2e_p95", 5.0)), limit=1.2
    )
    assert binding(found).name == "e2e_p95"
    figure, ax = plt.subplots()
    try:
        capacity_curve(found, ax)
        assert ax.get_ylabel() == "end-to-end latency, p95 [s]"
        assert 6.5 < ax.get_ylim()[1] < 1.2 * 6.5
    finally:
        plt.close(figure)


def test_a_notebook_shows_the_answer() -> None:
    found = edgesim.capacity(small({"e2e": {"p95": "0.39 s"}}, 500), looks=(4,), lowest=0.5)
    found = dataclasses.replace(found, notes=["a < b"])
    shown = found._repr_html_()
    assert "No answer" in shown
    assert "a &lt; b" in shown
    assert "_low" not in shown
