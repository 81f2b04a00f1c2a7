"""Tests of objectives and verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim.outcome import Totals
from edgesim.results.combine import combine
from edgesim.results.slo import kept, limits
from edgesim.results.source import MemorySource
from edgesim.results.summary import summarise

if TYPE_CHECKING:
    from types import ModuleType


def summary(fakes: ModuleType, slo: dict[str, dict[str, float]], turned_away: int = 0) -> dict[str, Any]:
    """Ten requests with times to first token of 0.1 s, 0.2 s ... 1 s; the last one is never completed.

    The first `turned_away` of them are rejected, failed, abandoned in turn.
    """
    rows = fakes.requests(10)
    rows["status"] = 0
    rows["arrived"] = np.arange(10) * fakes.S
    rows["first_token"] = rows["arrived"] + (np.arange(10) + 1) * fakes.S // 10
    rows["finished"] = rows["first_token"] + fakes.S
    rows["output"] = 1
    rows["status"][9], rows["finished"][9] = 4, -1
    rows["status"][:turned_away] = [1 + each % 3 for each in range(turned_away)]
    info = fakes.info(slo=slo, duration_s=20.0)
    return summarise(MemorySource([rows], info), info, Totals())


def judged(fakes: ModuleType, slo: dict[str, dict[str, float]], turned_away: int = 0) -> list[dict[str, Any]]:
    """Verdicts on these."""
    found: list[dict[str, Any]] = summary(fakes, slo, turned_away)["slo"]
    return found


def test_bounds_are_kept_up_to_equality(fakes: ModuleType) -> None:
    """The mean of 0.1 ... 0.9 s is 0.5 s, the largest 0.9 s."""
    met, missed = judged(fakes, {"ttft": {"max": 0.9, "mean": 0.49}})
    assert (met["statistic"], met["value"], met["met"]) == ("max", pytest.approx(0.9), True)
    assert (missed["statistic"], missed["value"], missed["met"]) == ("mean", pytest.approx(0.5), False)
    assert met["target"] == 0.9
    assert kept([met])
    assert not kept([met, missed])


def test_attainment_counts_requests_that_were_never_answered(fakes: ModuleType) -> None:
    """Six of ten were answered within 0.6 s; the unfinished one counts among the ten."""
    (row,) = judged(fakes, {"ttft": {"within": 0.65, "attainment": 0.6}})
    assert (row["statistic"], row["value"], row["met"]) == ("attainment", 0.6, True)
    (row,) = judged(fakes, {"ttft": {"within": 0.65, "attainment": 0.61}})
    assert row["met"] is False


def test_a_limit_alone_sets_goodput_and_no_verdict(fakes: ModuleType) -> None:
    """`within` without `attainment` demands nothing of the run."""
    (row,) = judged(fakes, {"ttft": {"within": 0.35}})
    assert (row["met"], row["value"]) == (None, 0.3)
    assert kept([row])


def test_an_objective_without_measurements_is_missed(fakes: ModuleType) -> None:
    """No reply had two tokens, so nothing is known of the time per token."""
    (row,) = judged(fakes, {"tpot": {"p95": 0.1}})
    assert (row["value"], row["met"]) == (None, False)


@pytest.mark.parametrize(
    ("statistic", "turned_away", "met"),
    [
        ("p50", 0, True),
        ("p50", 4, True),
        ("p50", 5, False),
        ("p90", 0, True),
        ("p90", 1, False),
        ("mean", 4, True),
        ("mean", 5, False),
        ("max", 4, True),
        ("max", 5, False),
    ],
)
def test_turning_requests_away_meets_no_objective(
    fakes: ModuleType, statistic: str, turned_away: int, met: bool
) -> None:
    """Nine requests end. A percentile needs its share of them within the target, a mean or maximum half."""
    (row,) = judged(fakes, {"ttft": {statistic: 0.9}}, turned_away)
    assert row["value"] < 0.9 + 1e-9
    assert row["turned_away"] == pytest.approx(turned_away / 9)
    assert row["met"] is met


def test_replications_that_turn_nobody_away_count_as_well(fakes: ModuleType) -> None:
    """One of nine requests is turned away in one of four replications: 97 % are within the target, and p90 is met."""
    slo = {"ttft": {"p90": 0.9}}
    parts = [summary(fakes, slo, turned_away) for turned_away in (0, 1, 0, 0)]
    assert [part["slo"][0]["met"] for part in parts] == [True, False, True, True]
    row = combine(parts, slo)["slo"][0]
    assert row["within_target"] == pytest.approx((3 + 8 / 9) / 4)
    assert row["met"] is True


def test_limits_of_single_requests() -> None:
    """`within` wins, then the widest percentile; a mean sets none."""
    assert limits({"ttft": {"p50": 0.2, "p99": 1.0}, "e2e": {"mean": 1.0}}) == {"ttft": 1.0}
    assert limits({"ttft": {"p99": 1.0, "within": 0.5}}) == {"ttft": 0.5}
