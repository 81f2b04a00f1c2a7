"""Tests of descriptions of values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgesim.stats import describe, percentiles

samples = arrays(float, st.integers(1, 60), elements=st.floats(-1e6, 1e6, allow_subnormal=False))


@given(samples)
def test_percentiles_are_those_of_numpy(values: np.ndarray) -> None:
    """Exact percentiles agree with numpy's linear interpolation."""
    expected = np.percentile(values, [0, 50, 90, 95, 99, 100])
    assert percentiles(values.copy(), [0, 50, 90, 95, 99, 100]) == pytest.approx(
        expected,
        rel=1e-12,
        abs=1e-9 + 1e-13 * float(np.abs(values).max()),  # between large values of opposite sign digits cancel
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
