"""Distributions have the moments that they state, and both ways to draw follow one law."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim.errors import ScenarioError
from edgesim.workload.distributions import (
    FOREVER,
    MOST,
    Constant,
    counts,
    picoseconds,
    read_values,
    times,
    whole,
    whole_number,
)

if TYPE_CHECKING:
    from pathlib import Path

SPECS = {
    "constant": {"kind": "constant", "value": 7},
    "lognormal": {"kind": "lognormal", "median": 300, "p95": 2000},
    "lognormal-cut": {"kind": "lognormal", "median": 300, "p95": 2000, "min": 50, "max": 1000},
    "exponential": {"kind": "exponential", "mean": 80},
    "exponential-cut": {"kind": "exponential", "mean": 80, "min": 30, "max": 120},
    "geometric": {"kind": "geometric", "mean": 5},
    "geometric-one": {"kind": "geometric", "mean": 1},
    "geometric-cut": {"kind": "geometric", "mean": 5, "min": 2, "max": 9},
    "uniform": {"kind": "uniform", "low": 3, "high": 8},
    "empirical": {"kind": "empirical", "values": (10, 20, 40)},
    "empirical-weighted": {"kind": "empirical", "values": (10, 20, 40, 99), "weights": (1, 2, 1, 0)},
}


def spec(keys: dict[str, Any]) -> Any:
    return SimpleNamespace(**{"min": None, "max": None, "values": None, "weights": None, **keys})


@pytest.mark.parametrize("name", SPECS)
class TestEveryDistribution:
    def test_mean_is_that_of_the_draws(self, name: str) -> None:
        """The stated mean lies within five standard errors of the mean of many draws."""
        law = counts(spec(SPECS[name]))
        draws = law.draw(np.random.default_rng(5), 200_000)
        assert law.mean() == pytest.approx(draws.mean(), abs=5 * draws.std() / math.sqrt(draws.size) + 1e-9)

    def test_quantiles_follow_the_same_law_as_draws(self, name: str) -> None:
        """Evenly spaced uniform numbers give the deciles of many draws."""
        law = counts(spec(SPECS[name]))
        draws = whole(law.draw(np.random.default_rng(6), 200_000))
        for u in (0.1, 0.25, 0.55, 0.9, 0.99):
            value = whole_number(law.quantile(u))
            assert (draws <= value).mean() >= u - 0.005
            assert (draws < value).mean() <= u + 0.005

    def test_quantiles_exist_at_both_ends(self, name: str) -> None:
        """Neither the smallest nor the largest uniform number breaks a draw."""
        law = counts(spec(SPECS[name]))
        assert whole_number(law.quantile(0.0)) >= 1
        assert whole_number(law.quantile(1 - 2.0**-53)) <= MOST

    def test_tokens_are_whole_and_at_least_one(self, name: str) -> None:
        """Rounding leaves no empty prompt."""
        tokens = whole(counts(spec(SPECS[name])).draw(np.random.default_rng(7), 10_000))
        assert tokens.dtype == np.int64
        assert tokens.min() >= 1


def test_lognormal_has_its_median_and_p95() -> None:
    """The two figures that the scenario states come out."""
    draws = counts(spec(SPECS["lognormal"])).draw(np.random.default_rng(1), 400_000)
    assert np.median(draws) == pytest.approx(300, rel=0.02)
    assert np.percentile(draws, 95) == pytest.approx(2000, rel=0.02)


def test_lognormal_without_spread_is_constant() -> None:
    """A p95 equal to the median gives the median."""
    law = counts(spec({"kind": "lognormal", "median": 12, "p95": 12}))
    assert set(whole(law.draw(np.random.default_rng(1), 100)).tolist()) == {12}
    assert law.mean() == 12


def test_uniform_counts_reach_both_bounds_equally() -> None:
    """Every whole number from low to high is as likely."""
    tokens = whole(counts(spec(SPECS["uniform"])).draw(np.random.default_rng(2), 60_000))
    values, number = np.unique(tokens, return_counts=True)
    assert values.tolist() == [3, 4, 5, 6, 7, 8]
    assert number == pytest.approx(np.full(6, 10_000), rel=0.05)


def test_counts_may_be_zero_where_the_least_is_zero() -> None:
    """A request may hold no image."""
    law = counts(spec({"kind": "uniform", "low": 0, "high": 1}), least=0)
    assert set(whole(law.draw(np.random.default_rng(3), 100), least=0).tolist()) == {0, 1}
    assert counts(0, least=0) == Constant(0.0)


def test_draws_round_to_the_nearest_count() -> None:
    """Single draws and arrays of draws round alike, and never below the least."""
    draws = [0.2, 1.4, 1.6, 2.5, 3.5, 7.0]
    assert whole(np.array(draws)).tolist() == [1, 1, 2, 2, 4, 7]
    assert [whole_number(draw) for draw in draws] == [1, 1, 2, 2, 4, 7]


def test_extreme_draws_are_cut() -> None:
    """A tail beyond all lengths is cut instead of overflowing."""
    assert whole(np.array([1e300])).tolist() == [MOST]
    assert picoseconds(np.array([1e300, -1.0, 0.5])).tolist() == [FOREVER, 0, 500_000_000_000]


def test_times_round_to_the_nearest_picosecond() -> None:
    """A tenth of a second is exactly 10^11 ps although the float is not exact."""
    law = times(spec({"kind": "constant", "value": 0.1}))
    assert picoseconds(law.draw(np.random.default_rng(1), 2)).tolist() == [10**11, 10**11]


class TestFilesOfValues:
    def test_values_and_weights(self, tmp_path: Path) -> None:
        """A header is skipped, blank lines are, and the second column weighs."""
        path = tmp_path / "lengths.csv"
        path.write_text("tokens,share\n10,0.25\n\n30,0.75\n")
        law = counts(spec({"kind": "empirical", "path": str(path)}))
        assert law.mean() == pytest.approx(25)
        assert law.quantile(0.2) == 10
        assert law.quantile(0.3) == 30

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("10\nmany\n", "'many' is not a number, or a number and its weight"),
            ("10\n-4\n", "'-4': values and weights are 0 or more"),
            ("10,1\n20,nan\n", "'20,nan': values and weights are 0 or more"),
            ("tokens\n", "the file holds no value"),
        ],
    )
    def test_malformed_files_are_named(self, tmp_path: Path, text: str, message: str) -> None:
        """The problem says the file, the row and what is wrong."""
        path = tmp_path / "lengths.csv"
        path.write_text(text)
        with pytest.raises(ScenarioError) as caught:
            read_values(str(path))
        (problem,) = caught.value.problems
        assert (problem.text, problem.file) == (message, str(path))
        assert problem.line == (None if text == "tokens\n" else 2)
