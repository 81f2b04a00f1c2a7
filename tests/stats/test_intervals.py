"""Tests of intervals of independent values: worked examples, and how often they hold the truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgesim.stats import Interval, narrow_enough, quantile_interval, ratio_interval, t_interval


def coverage(
    truth: float, make: Callable[[np.random.Generator], Interval], trials: int = 2000, seed: int = 7
) -> float:
    """Share of intervals that contain the truth."""
    draw = np.random.default_rng(seed)
    found = [make(draw) for _ in range(trials)]
    return sum(each.low <= truth <= each.high for each in found) / trials


def test_t_interval_of_three_values() -> None:
    """Of 1, 2, 3 the half-width is t(0.975, 2) / sqrt(3), with t = 4.302653 from the tables."""
    found = t_interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert (found.low, found.high) == (2.0 - found.half_width, 2.0 + found.half_width)
    assert found.relative == pytest.approx(4.302653 / math.sqrt(3) / 2, rel=1e-6)


def test_t_interval_of_one_value_has_no_width() -> None:
    """A single replication says nothing about the spread."""
    found = t_interval([5.0])
    assert found.mean == 5.0
    assert math.isnan(found.half_width)


def test_t_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Of 2000 intervals at 90 %, about 90 % contain the true mean."""
    assert coverage(3.0, lambda draw: t_interval(draw.normal(3.0, 2.0, 5), 0.9)) == pytest.approx(
        0.9, abs=0.02
    )


def test_ranks_of_an_interval_on_the_median_of_ten() -> None:
    """Of ten values the second and the ninth enclose the median with 97.9 % (Conover 1999, table A3)."""
    found = quantile_interval(np.arange(1.0, 11.0), 0.5)
    assert (found.low, found.high, found.mean) == (2.0, 9.0, 5.5)
    assert found.kind == "order statistics"


@pytest.mark.parametrize(("share", "count"), [(0.5, 25), (0.95, 200), (0.99, 1000)])
def test_ranks_cover_a_quantile_whatever_the_distribution(share: float, count: int) -> None:
    """At least 95 %, and no more than the steps between ranks cost."""
    truth = -math.log(1 - share)
    found = coverage(truth, lambda draw: quantile_interval(draw.exponential(1.0, count), share))
    assert 0.94 <= found <= 0.985


def test_too_few_values_leave_an_end_open() -> None:
    """The largest of twenty values need not exceed the 99th percentile."""
    found = quantile_interval(np.arange(20.0), 0.99)
    assert found.high == math.inf
    assert found.half_width == math.inf
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile_interval([1.0], 1.0)


def test_quantiles_of_replications() -> None:
    """Student's t over one quantile of each."""
    parts = [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [3.0, 4.0, 5.0]]
    found = quantile_interval(parts, 0.5, kind="replications")
    assert (found.mean, found.count) == (3.0, 3)
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


@pytest.mark.parametrize("kind", ["jackknife", "fieller"])
def test_a_ratio_is_covered_as_often_as_it_says(kind: str) -> None:
    """Correlated numerators and denominators; the ratio of their means is 2."""

    def make(draw: np.random.Generator) -> Interval:
        below = draw.normal(10.0, 2.0, 20)
        return ratio_interval(2 * below + draw.normal(0.0, 3.0, 20), below, kind=kind)  # type: ignore[arg-type]

    assert coverage(2.0, make) == pytest.approx(0.95, abs=0.015)


def test_a_ratio_by_hand() -> None:
    """Pseudo-values of (1, 3) over (1, 1): 2 * 2 - 3 = 1 and 2 * 2 - 1 = 3, so 2 +- t(0.975, 1) * 1."""
    found = ratio_interval([1.0, 3.0], [1.0, 1.0])
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(12.7062, rel=1e-4)
    certain = ratio_interval([20.0, 22.0, 24.0], [10.0, 11.0, 12.0], kind="fieller")
    assert (certain.low, certain.high) == pytest.approx((2.0, 2.0))
    assert math.isinf(ratio_interval([1.0, 1.0], [-1.0, 2.0], kind="fieller").half_width)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["jackknife", "fieller"])
def test_no_ratio_to_nothing(kind: Any) -> None:
    found = ratio_interval([1.0, 2.0], [0.0, 0.0], kind=kind)
    assert math.isnan(found.mean)
    assert math.isnan(found.half_width)
    assert found.kind == f"{kind}: the denominators add up to 0"


@pytest.mark.filterwarnings("error")
def test_a_ratio_that_hangs_on_one_pair_has_no_jackknife() -> None:
    found = ratio_interval([1.0, 2.0, 3.0], [0.0, 4.0, 0.0])
    assert found.mean == 1.5
    assert math.isnan(found.half_width)
    assert "all denominators but one" in found.kind


def test_a_mean_is_known_well_enough() -> None:
    """A half-width of 4.3 % of the estimate is within 5 % of the true mean, but not within 4 %."""
    values = [1.0 - 0.03 / 1.7321, 1.0, 1.0 + 0.03 / 1.7321]
    found = narrow_enough(values, 0.05)
    assert found.reached == pytest.approx(4.302653 * 0.03 / 3, rel=1e-3)
    assert found.enough
    assert not narrow_enough(values, 0.04).enough
    assert not narrow_enough([1.0, None], 0.5).enough
    assert narrow_enough([2.0, 2.0], 0.01).enough


def test_stopping_costs_little_coverage() -> None:
    """Replications are added until 20 % is reached: still close to 95 % of the means are within."""
    draw = np.random.default_rng(5)
    right = 0
    for _ in range(300):
        values = draw.exponential(1.0, 10).tolist()
        while not narrow_enough(values, 0.2).enough:
            values.append(draw.exponential(1.0))
        right += abs(sum(values) / len(values) - 1.0) <= 0.2
    assert right / 300 >= 0.92
