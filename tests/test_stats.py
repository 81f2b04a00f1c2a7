"""Tests of the output statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgesim.stats import Moments, batch_means, describe, mser5, percentiles, t_interval

samples = arrays(float, st.integers(1, 60), elements=st.floats(-1e6, 1e6, allow_subnormal=False))


@given(samples)
def test_percentiles_are_those_of_numpy(values: np.ndarray) -> None:
    """Exact percentiles agree with numpy's linear interpolation."""
    expected = np.percentile(values, [0, 50, 90, 95, 99, 100])
    assert percentiles(values.copy(), [0, 50, 90, 95, 99, 100]) == pytest.approx(
        expected, rel=1e-12, abs=1e-9
    )


@given(samples, st.integers(0, 5))
def test_description_leaves_missing_values_out(values: np.ndarray, missing: int) -> None:
    """Moments and percentiles are those of the values that exist."""
    found = describe(np.concatenate([values, np.full(missing, np.nan)]))
    assert found.count == len(values)
    assert (found.min, found.max) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-9)
    if len(values) > 1:
        assert found.std == pytest.approx(values.std(ddof=1), rel=1e-6, abs=1e-6)


def test_nothing_to_describe_is_missing_not_zero() -> None:
    """Of no values, and of missing ones alone, everything but the count is missing."""
    for values in (np.empty(0), np.full(3, np.nan)):
        found = describe(values)
        assert (found.count, found.mean, found.std, found.p99, found.max) == (0, None, None, None, None)


def test_one_value_has_no_spread() -> None:
    """A standard deviation needs two values."""
    found = describe(np.array([2.0]))
    assert (found.count, found.mean, found.std, found.p50) == (1, 2.0, None, 2.0)


def test_t_interval_of_three_values() -> None:
    """Of 1, 2, 3 the half-width is t(0.975, 2) / sqrt(3), with t = 4.302653 from the tables."""
    found = t_interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert (found.low, found.high) == (2.0 - found.half_width, 2.0 + found.half_width)


def test_t_interval_of_one_value_has_no_width() -> None:
    """A single replication says nothing about the spread."""
    found = t_interval([5.0])
    assert found.mean == 5.0
    assert math.isnan(found.half_width)


def test_t_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Of 2000 intervals at 90 %, about 90 % contain the true mean."""
    draw = np.random.default_rng(7)
    covered = 0
    for _ in range(2000):
        found = t_interval(draw.normal(3.0, 2.0, 5), confidence=0.9)
        covered += found.low <= 3.0 <= found.high
    assert covered / 2000 == pytest.approx(0.9, abs=0.02)


@given(samples)
def test_running_moments_are_those_of_the_whole(values: np.ndarray) -> None:
    """One value at a time gives the mean and variance of all."""
    found = Moments(values.tolist())
    assert found.count == len(values)
    assert found.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-6)
    if len(values) > 1:
        assert found.variance == pytest.approx(values.var(ddof=1), rel=1e-6, abs=1e-3)
    else:
        assert math.isnan(found.variance)


def test_batch_means_widen_the_interval_of_a_correlated_series() -> None:
    """Neighbours that resemble each other carry less information than their number suggests."""
    noise = np.random.default_rng(1).normal(size=20_000)
    series = np.empty_like(noise)
    level = 0.0
    for place, step in enumerate(noise):
        level = 0.95 * level + step
        series[place] = level
    assert batch_means(series).half_width > 3 * t_interval(series).half_width
    with pytest.raises(ValueError, match="3 values do not fill 20 batches"):
        batch_means([1.0, 2.0, 3.0])


def test_mser5_cuts_the_initial_transient() -> None:
    """A start far from the steady state is cut about where it ends, and a steady series hardly at all."""
    draw = np.random.default_rng(3)
    steady = draw.normal(10.0, 1.0, 2000)
    biased = steady.copy()
    biased[:200] += np.linspace(30.0, 0.0, 200)
    assert 150 <= mser5(biased) <= 300
    assert mser5(steady) < 200
    assert mser5([1.0, 2.0]) == 0
