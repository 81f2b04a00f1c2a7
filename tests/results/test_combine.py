"""Tests of the summary over replications."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim.results.combine import combine
from edgesim.results.source import MemorySource
from edgesim.results.summary import Effort, summarise

if TYPE_CHECKING:
    from types import ModuleType


def summaries(fakes: ModuleType, count: int, **changes: Any) -> list[dict[str, Any]]:
    """Summaries of different random records."""
    found = []
    for seed in range(count):
        rows = fakes.requests(500, seed)
        info = fakes.info(**changes)
        found.append(
            summarise(MemorySource([rows], info), info, fakes.totals(rows), Effort(2.0, 1.0, 100.0 + seed))
        )
    return found


def test_means_and_t_intervals(fakes: ModuleType) -> None:
    """Each statistic is the mean over the replications, with the interval of Student's t."""
    parts = summaries(fakes, 3)
    found = combine(parts, {})
    values = [part["metrics"]["ttft"]["p95"] for part in parts]
    mean = sum(values) / 3
    std = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert found["metrics"]["ttft"]["p95"] == pytest.approx(mean)
    interval = found["replications"]["metrics"]["ttft"]["p95"]
    assert interval["mean"] == pytest.approx(mean)
    assert interval["half_width"] == pytest.approx(4.302653 * std / math.sqrt(3), rel=1e-6)
    assert interval["low"] < mean < interval["high"]
    assert found["replications"]["count"] == 3
    assert found["replications"]["energy_j"]["idle"]["half_width"] == 0.0


def test_counts_are_added_up(fakes: ModuleType) -> None:
    """Requests of all replications are counted, and their efforts added."""
    found = combine(summaries(fakes, 3), {})
    assert found["requests"]["arrived"] == 1500
    assert found["metrics"]["ttft"]["count"] == found["requests"]["completed"]
    assert sum(group["requests"]["arrived"] for group in found["by"]["workload"].values()) == 1500
    assert found["engine"]["wall_s"] == 6.0
    assert found["engine"]["events"] == 126
    assert found["engine"]["requests_per_s"] == 500.0
    assert found["engine"]["peak_rss_mib"] == 102.0
    assert found["energy_j"]["idle"] == 6.0
    replicas = found["by"]["tier"]["cloud"]["fleet"]["replicas"]
    assert (replicas, type(replicas)) == (2, int)


def test_what_is_listed_stays_whole(fakes: ModuleType) -> None:
    """Of how many replicas and links the lists are is a number of things, no mean."""
    found = combine(summaries(fakes, 2), {})["listed"]
    assert found == {"replicas": 3, "of_replicas": 3, "links": 2, "of_links": 2}
    assert {type(count) for count in found.values()} == {int}


def test_objectives_are_judged_by_the_means(fakes: ModuleType) -> None:
    """Whether one replication missed an objective does not decide."""
    values = [part["metrics"]["e2e"]["mean"] for part in summaries(fakes, 2)]
    slo = {"e2e": {"mean": sum(values) / 2 + 1e-6}}
    assert max(values) > slo["e2e"]["mean"]
    found = combine(summaries(fakes, 2, slo=slo), slo)
    assert found["slo"][0]["met"] is True
    assert found["slo"][0]["value"] == pytest.approx(sum(values) / 2)


def test_one_replication_has_no_interval(fakes: ModuleType) -> None:
    """If only one replication was finished, its numbers stand alone."""
    found = combine(summaries(fakes, 1), {})
    assert found["replications"]["metrics"]["ttft"]["mean"]["half_width"] is None


def test_a_group_that_only_some_replications_have(fakes: ModuleType) -> None:
    """A tier that was used once is the mean over the replications that used it."""
    first, second = summaries(fakes, 2)
    del second["by"]["tier"]["edge"]
    found = combine([first, second], {})
    assert found["by"]["tier"]["edge"]["metrics"]["ttft"] == pytest.approx(
        first["by"]["tier"]["edge"]["metrics"]["ttft"]
    )


def test_one_unstable_replication_is_enough(fakes: ModuleType) -> None:
    """A run is stable only if all its replications are."""
    parts = summaries(fakes, 2)
    parts[1] |= {"stable": False, "stability": "unstable: too much"}
    found = combine(parts, {})
    assert (found["stable"], found["stability"]) == (False, "unstable: too much")


def test_extremes_and_spread_are_those_of_all_requests(fakes: ModuleType) -> None:
    """The least, the greatest and the deviation equal those over all requests of all replications."""
    rows = [fakes.requests(size, seed) for seed, size in enumerate((50, 500, 300))]
    parts = [summarise(MemorySource([each], i := fakes.info()), i, fakes.totals(each)) for each in rows]
    whole = np.concatenate(
        [(each["finished"] - each["arrived"])[each["status"] == 0] / 1e12 for each in rows]
    )
    found = combine(parts, {})["metrics"]["e2e"]
    assert found["count"] == len(whole)
    assert (found["min"], found["max"]) == pytest.approx((whole.min(), whole.max()))
    assert found["std"] == pytest.approx(whole.std(ddof=1))
    assert found["max"] > parts[0]["metrics"]["e2e"]["max"]


def test_the_spread_of_two_single_values(fakes: ModuleType) -> None:
    """Each alone has none, together they have; one value altogether has none."""
    parts = summaries(fakes, 2)
    for part, value in zip(parts, (1.0, 3.0), strict=True):
        part["metrics"]["e2e"] |= {"count": 1, "mean": value, "std": None}
    assert combine(parts, {})["metrics"]["e2e"]["std"] == pytest.approx(math.sqrt(2))
    assert combine(parts[:1], {})["metrics"]["e2e"]["std"] is None


def test_an_objective_on_a_maximum_is_judged_by_the_greatest(fakes: ModuleType) -> None:
    """No replication may exceed it."""
    values = [part["metrics"]["e2e"]["max"] for part in summaries(fakes, 2)]
    slo = {"e2e": {"max": sum(values) / 2}}
    assert max(values) > slo["e2e"]["max"] * 1.0001
    row = combine(summaries(fakes, 2, slo=slo), slo)["slo"][0]
    assert (row["value"], row["met"]) == (max(values), False)
