"""Tests of intervals and transients of one run, on queues and series whose means are known."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from edgesim.stats import (
    Batches,
    batch_means,
    mser5,
    quantile_interval,
    rounds,
    run_interval,
    section_interval,
    t_interval,
    transient,
)


def sojourns(seed: int, load: float, count: int, *, start: bool = False) -> np.ndarray:
    """Sojourn times of M/M/1 with a mean service of 1 (Lindley's recursion); without the start unless asked for."""
    draw = np.random.default_rng(seed)
    gaps, services = draw.exponential(1 / load, count), draw.exponential(1.0, count)
    walk = np.concatenate([[0.0], np.cumsum(services[:-1] - gaps[1:])])
    return (walk - np.minimum.accumulate(walk) + services)[0 if start else count // 20 :]


def wandering(count: int, keep: float = 0.95, seed: int = 1) -> np.ndarray:
    """A first-order autoregression around 0."""
    series = np.random.default_rng(seed).normal(size=count)
    for place in range(1, count):
        series[place] += keep * series[place - 1]
    return series


def test_batch_means_widen_the_interval_of_a_correlated_series() -> None:
    """Neighbours that resemble each other carry less information than their number suggests."""
    series = wandering(20_000)
    assert batch_means(series).half_width > 3 * t_interval(series).half_width
    with pytest.raises(ValueError, match="3 values do not fill 20 batches"):
        batch_means([1.0, 2.0, 3.0])


def test_the_interval_of_one_run_holds_the_mean_of_a_queue() -> None:
    """95 % intervals of M/M/1 at a load of 0.5: a sojourn of 2."""
    found = [run_interval(sojourns(seed, 0.5, 5000), delete=False) for seed in range(600)]
    assert 0.92 <= sum(each.low <= 2.0 <= each.high for each in found) / 600 <= 0.98
    assert {each.count for each in found if not math.isnan(each.half_width)} <= {10, 20}


def test_plain_intervals_would_not() -> None:
    """The same series, taken for independent values, claims far too much."""
    found = [t_interval(sojourns(seed, 0.5, 5000)) for seed in range(200)]
    assert sum(each.low <= 2.0 <= each.high for each in found) / 200 < 0.75


def test_batches_that_resemble_each_other_give_no_interval() -> None:
    """A drift over the whole run is no steady state, however it is cut."""
    series = np.arange(2000.0) + wandering(2000)
    found = run_interval(series, delete=False)
    assert math.isnan(found.half_width)
    assert re.fullmatch(
        r"none: too short, it went from calm to busy and back only \d times, 9 are needed", found.kind
    )
    assert run_interval(series[::-1]).kind == "none: not steady, it drifts"
    assert run_interval([1.0] * 99).kind == "none: fewer than 100 values"


def test_blocks_do_not_matter() -> None:
    """A series that comes in pieces, with gaps, has the batches of the whole."""
    series = wandering(12_345)
    series[100:130] = series[7000] = math.nan
    whole, pieces = Batches(len(series)), Batches(len(series))
    whole.add(series, 0)
    for start in range(0, len(series), 777):
        pieces.add(series[start : start + 777], start)
    assert pieces.sums == pytest.approx(whole.sums)
    assert (pieces.counts == whole.counts).all()
    assert whole.counts.sum() == len(series) - 31
    assert whole.interval().mean == pytest.approx(np.nanmean(series))


def test_mser5_cuts_the_initial_transient() -> None:
    """A start far from the steady state is cut about where it ends, and a steady series hardly at all."""
    draw = np.random.default_rng(3)
    steady = draw.normal(10.0, 1.0, 2000)
    biased = steady.copy()
    biased[:200] += np.linspace(30.0, 0.0, 200)
    assert 150 <= mser5(biased) <= 300
    assert mser5(steady) < 200
    assert mser5([1.0, 2.0]) == 0
    assert transient(biased).settled
    assert not transient(np.linspace(30.0, 0.0, 500)).settled


def test_deletion_removes_the_bias_of_the_start() -> None:
    """The mean after deletion is that of the steady state; the mean of everything is not."""
    series = np.random.default_rng(3).normal(10.0, 1.0, 2000)
    series[:200] += 30.0
    found = run_interval(series)
    assert found.low <= 10.0 <= found.high
    assert "the first 200 values left out" in found.kind
    assert run_interval(series, delete=False).mean > 12.5


@pytest.mark.parametrize(("load", "count"), [(0.5, 4000), (0.8, 5000), (0.9, 20_000)])
def test_few_steady_runs_are_called_unsettled(load: float, count: int) -> None:
    """A queue in its steady state, or on its way there from an empty start, is rarely taken for one that is not."""
    for start in (False, True):
        wrong = sum(not transient(sojourns(seed, load, count, start=start)).settled for seed in range(200))
        assert wrong / 200 < 0.03


@pytest.mark.parametrize("course", ["rises", "falls", "a day", "a step"])
def test_a_drift_is_seen_through_the_noise(course: str) -> None:
    """Each of 2,000 values is as likely twice its mean as half of it, and yet a change by half is seen."""
    along = np.linspace(0.0, 1.0, 2000)
    mean = {
        "rises": 1 + along,
        "falls": 2 - along,
        "a day": 2 + np.sin(2 * np.pi * along),
        "a step": 1 + 0.7 * (along > 0.67),
    }[course]
    seen = [
        not transient(mean * np.random.default_rng(seed).exponential(size=2000)).settled for seed in range(50)
    ]
    assert np.mean(seen) > 0.8


def test_quantiles_of_one_run_by_sections() -> None:
    """The 90th percentile of M/M/1 sojourns at a load of 0.5 is 2 ln 10 (they are exponential with mean 2)."""
    truth = 2 * math.log(10)
    found = [quantile_interval(sojourns(seed, 0.5, 6000), 0.9, kind="sections") for seed in range(300)]
    assert 0.91 <= sum(each.low <= truth <= each.high for each in found) / 300 <= 0.985
    assert found[0].mean == np.quantile(sojourns(0, 0.5, 6000), 0.9)
    assert section_interval(np.arange(50.0), np.median).kind == "none: fewer than 100 values"  # type: ignore[arg-type]


def test_rounds_by_hand() -> None:
    """From the lowest quarter to the highest and back; values between do not matter, nor do equal ones."""
    calm, busy = [0.0] * 5, [9.0] * 5
    assert rounds([*calm, *busy, *calm, *busy, *calm]) == pytest.approx(2 * math.sqrt(5))
    assert rounds([*calm, *busy, *[4.0] * 5, *busy, *calm]) == pytest.approx(math.sqrt(5))
    assert rounds([*busy, *calm] * 6) == pytest.approx(6 * math.sqrt(5))
    assert rounds([1.0] * 100) == 20
    assert rounds([*[1.0] * 95, *[0.0] * 5] * 4) == pytest.approx(4 * math.sqrt(5))  # rare ones go round, too
    assert rounds([]) == rounds([1.0, 2.0]) == 0
    assert rounds(np.repeat([*calm, *busy], 1000)) == 0


def test_rounds_tell_how_long_a_run_is_whatever_the_load() -> None:
    """Of queues that last equally many relaxation times, much the same; independent values go round more often."""
    for load, remembers in ((0.7, 31), (0.8, 82), (0.9, 362)):
        found = [rounds(sojourns(seed, load, 100 * remembers, start=True)) for seed in range(40)]
        assert np.mean(found) == pytest.approx(49, rel=0.12)
        assert np.std(found) < 9
    assert rounds(np.random.default_rng(2).normal(size=5000)) == pytest.approx(125, rel=0.15)


@pytest.mark.parametrize(
    ("load", "count"), [(0.5, 1000), (0.5, 4000), (0.8, 2000), (0.8, 20_000), (0.9, 10_000), (0.9, 50_000)]
)
@pytest.mark.parametrize(("share", "delete"), [(None, False), (None, True), (0.95, False)])
def test_intervals_hold_in_short_and_long_runs(
    load: float, count: int, share: float | None, delete: bool
) -> None:
    """From an empty start, means and 95th percentiles of M/M/1 lie in 90 to 99 of 100, and most runs get one."""
    mean = 1 / (1 - load)
    truth, given, held = mean * (-math.log(1 - share) if share else 1), 0, 0
    for seed in range(300):
        series = sojourns(seed, load, count, start=True)
        each = (
            quantile_interval(series, share, kind="sections")
            if share
            else run_interval(series, delete=delete)
        )
        if not math.isnan(each.half_width):
            given += 1
            held += each.low <= truth <= each.high
    assert 0.9 <= held / given <= 0.985
    assert given / 300 >= (0.85 if delete else 0.95)


@pytest.mark.parametrize(("load", "count"), [(0.8, 150), (0.9, 200)])
def test_runs_that_are_too_short_get_no_interval(load: float, count: int) -> None:
    """Queues that remember 80 and 360 requests, seen for about that long; of longer runs some get a wide one."""
    given = 0
    for seed in range(100):
        series = sojourns(seed, load, count, start=True)
        for each in (run_interval(series), quantile_interval(series, 0.95, kind="sections")):
            given += not math.isnan(each.half_width)
    assert given <= 4
    assert (
        sum(not math.isnan(run_interval(wandering(200, 0.98, seed)).half_width) for seed in range(100)) <= 2
    )


def test_intervals_are_factors_where_the_estimate_is_positive() -> None:
    """The true value may be as many times larger as smaller; what may be negative has symmetric ends."""
    found = run_interval(sojourns(1, 0.8, 5000))
    assert found.low * found.high == pytest.approx(found.mean**2)
    assert found.half_width == pytest.approx((found.high - found.low) / 2)
    below = run_interval(-sojourns(1, 0.8, 5000))
    assert (below.low + below.high) / 2 == pytest.approx(below.mean)


def test_a_busy_stretch_at_the_start_is_not_cut() -> None:
    """A steady queue loses its start in few runs, whatever chance puts there."""
    assert sum(mser5(sojourns(seed, 0.5, 4000)) > 0 for seed in range(200)) <= 6


def test_the_cut_counts_places_that_are_empty() -> None:
    """Nothing was measured of the first 100 requests, and the next 200 were slow: 300 places are left out."""
    series = np.random.default_rng(3).normal(10.0, 1.0, 900)
    series[:100], series[100:300] = math.nan, series[100:300] + 30.0
    assert 295 <= int(run_interval(series).kind.split("first ")[1].split()[0]) <= 330
