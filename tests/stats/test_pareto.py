"""Tests of the Pareto front."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from edgesim.errors import EdgesimError
from edgesim.results.pareto import pareto
from edgesim.stats.pareto import dominators


def test_dominated_points_name_one_on_the_front() -> None:
    """By hand: (1, 4), (2, 2) and (4, 1) are the front; (3, 3) and (5, 5) are beaten by (2, 2)."""
    points = [[1, 4], [3, 3], [2, 2], [4, 1], [5, 5], [1, 4]]
    found = dominators(points)
    assert found.tolist()[:4] == [-1, 2, -1, -1]
    assert found[4] in (0, 2, 3)
    assert found[5] == -1  # an equal is no better
    assert dominators([[1.0, 1.0], [1.0 + 1e-15, 1.0]]).tolist() == [-1, -1]
    assert dominators([[1.0, math.nan], [2.0, 1.0]]).tolist() == [0, -1]


def test_the_front_is_what_a_search_over_all_pairs_finds() -> None:
    """On random points in three dimensions; who beats another one is on the front."""
    points = np.random.default_rng(1).integers(0, 6, (80, 3))
    found = dominators(points)
    for place, row in enumerate(points):
        beaten = any((other <= row).all() and (other < row).any() for other in points)
        assert beaten == (found[place] >= 0)
        if beaten:
            assert found[found[place]] == -1


def test_settings_of_a_sweep() -> None:
    """Replications are averaged; throughput is better if it is higher."""
    table = pd.DataFrame(
        {
            "point": [0, 0, 1, 1, 2, 2],
            "throughput_rps": [9.0, 11.0, 20.0, 20.0, 5.0, 5.0],
            "cost_usd": [1.0, 1.0, 2.0, 4.0, 2.0, 2.0],
        }
    )
    found = pareto(table, ["throughput_rps", "cost_usd"], by="point")
    assert found["front"].tolist() == [True, True, False]
    assert found["cost_usd"].tolist() == [1.0, 3.0, 2.0]
    assert found["dominated_by"].tolist()[2] == 0
    with pytest.raises(EdgesimError, match="no column 'ttft_p95'"):
        pareto(table, ["ttft p95", "cost_usd"])
