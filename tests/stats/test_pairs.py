"""Tests of differences: worked examples, common random numbers, and errors over many comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from edgesim.stats import Difference, holm, paired, welch
from edgesim.stats.pairs import ALIKE


def test_paired_and_welch_agree_with_scipy() -> None:
    """p-values and intervals are those of the textbook tests."""
    draw = np.random.default_rng(2)
    a, b = draw.normal(1.0, 1.0, 12), draw.normal(1.5, 3.0, 12)
    for ours, theirs in (
        (paired(a, b), stats.ttest_rel(b, a)),
        (welch(a, b), stats.ttest_ind(b, a, equal_var=False)),
    ):
        low, high = theirs.confidence_interval(0.95)
        assert (ours.low, ours.high, ours.p) == pytest.approx((low, high, theirs.pvalue), rel=1e-9)
        assert ours.mean == pytest.approx(b.mean() - a.mean())


def test_common_random_numbers_make_differences_visible() -> None:
    """What both systems share cancels out, pair by pair."""
    draw = np.random.default_rng(1)
    shared = draw.normal(100.0, 20.0, 10)
    a, b = shared + draw.normal(0.0, 1.0, 10), shared + 3.0 + draw.normal(0.0, 1.0, 10)
    assert paired(a, b).p < 0.001
    assert welch(a, b).p > 0.5


def test_equal_values_and_constant_shifts() -> None:
    """No difference at all is certain, and so is one that is always the same but for rounding."""
    a = [0.1, 0.7, 12.3]
    assert (paired(a, a).p, paired(a, a).half_width) == (1.0, 0.0)
    a += [4.5, 6.0]
    shifted = paired(a, [x + 0.1 for x in a])
    assert (shifted.p, shifted.half_width) == (0.0, 0.0)
    assert (paired([0.1, 0.1], [0.1 + 1e-17, 0.1 + 1.5e-17]).p) == 1.0
    assert paired(a, [x * (1 + 2e-16) for x in a]).mean == 0.0
    assert (welch([1.0, 1.0], [1.0, 1.0]).p, welch([1.0] * 5, [2.0] * 5).p) == (1.0, 0.0)


@pytest.mark.parametrize("test", [paired, welch])
def test_few_values_without_spread_leave_a_difference_open(test: Callable[..., Difference]) -> None:
    """Two counts that agree by chance are no proof; five are, and equal ones always are."""
    few = test([100.0] * 4, [101.0] * 4)
    assert few.mean == 1.0
    assert math.isnan(few.p)
    assert math.isnan(few.half_width)
    assert few.kind.startswith(ALIKE)
    assert test([100.0] * 5, [101.0] * 5).p == 0.0
    assert test([100.0] * 2, [100.0] * 2).p == 1.0


def test_one_replication_shows_no_spread() -> None:
    """The difference is known, what it is worth is not."""
    for found in (paired([1.0], [3.0]), welch([1.0], [3.0, 3.5])):
        assert math.isnan(found.half_width)
        assert math.isnan(found.p)
    assert paired([1.0], [3.0]).mean == 2.0
    with pytest.raises(ValueError, match="1 values cannot be paired with 2"):
        paired([1.0], [1.0, 2.0])


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.03, 0.04 times 3, 2, 1, never falling; one that is missing does not count."""
    assert holm([0.04, 0.01, math.nan, 0.03])[:2] == pytest.approx([0.06, 0.03])
    assert holm([0.04, 0.01, math.nan, 0.03])[3] == pytest.approx(0.06)
    assert math.isnan(holm([0.04, math.nan])[1])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_error_of_the_family() -> None:
    """Twenty comparisons of equals: one in twenty families errs, where plain p-values err in two of three."""
    draw = np.random.default_rng(4)
    plain = adjusted = 0
    for _ in range(1000):
        p = [paired(*draw.normal(size=(2, 8))).p for _ in range(20)]
        plain += min(p) < 0.05
        adjusted += min(holm(p)) < 0.05
    assert plain / 1000 > 0.55
    assert 0.03 < adjusted / 1000 < 0.07
