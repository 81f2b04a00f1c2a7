"""Distributions as scenarios write them."""

# Messages stand whole beside what causes them.

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgesim.scenario.base import Section
from edgesim.scenario.distributions import (
    CountDistribution,
    TimeDistribution,
    TokenDistribution,
)


class Model(Section):
    """A section with a distribution of each dimension."""

    tokens: TokenDistribution | None = None
    count: CountDistribution | None = None
    time: TimeDistribution | None = None


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("tokens", 300, {"kind": "constant", "value": 300}),
        ("tokens", 1e3, {"kind": "constant", "value": 1000}),
        ("count", 0, {"kind": "constant", "value": 0}),
        ("time", "1.5 min", {"kind": "constant", "value": "90 s"}),
        ("tokens", {"kind": "uniform", "low": 1, "high": 9}, {"kind": "uniform", "low": 1, "high": 9}),
        ("tokens", {"kind": "geometric", "mean": 1.5}, {"kind": "geometric", "mean": 1.5}),
        ("time", {"kind": "exponential", "mean": "1 s", "max": "9 s"}, {"kind": "exponential", "mean": "1 s", "max": "9 s"}),
        ("tokens", {"kind": "empirical", "values": [1, 2], "weights": [0, 3]}, {"kind": "empirical", "values": (1, 2), "weights": (0.0, 3.0)}),
    ],
)  # fmt: skip
def test_forms_that_are_understood(key, value, expected):
    """Plain values are constants; what is written comes back."""
    model = Model.model_validate({key: value})
    assert {key: expected} == model.model_dump(exclude_none=True)
    assert model == Model.model_validate(model.model_dump(exclude_none=True))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("tokens", 0, "0 is too small; it must be at least 1"),
        ("tokens", 2.5, "2.5 is not a whole number"),
        ("tokens", 2**31, "2147483648 is too large; it must be at most 2147483647"),
        ("tokens", "many", "'many' is not a whole number"),
        ("time", 5, "5 has no unit; write e.g. '10 ms'"),
        ("tokens", {"kind": "uniform", "low": 9, "high": 1}, "'high' is less than 'low'"),
        ("tokens", {"kind": "lognormal", "median": 9, "p95": 1}, "'p95' is less than 'median'"),
        ("tokens", {"kind": "lognormal", "median": 0, "p95": 1}, "0 is too small; it must be more than 0"),
        (
            "time",
            {"kind": "exponential", "mean": "0 s"},
            "'0 s' is too small; a time must be more than 0 here",
        ),
        ("tokens", {"kind": "exponential", "mean": 5, "min": 9, "max": 3}, "'max' is less than 'min'"),
        ("tokens", {"kind": "geometric", "mean": 0.5}, "0.5 is too small; it must be at least 1"),
        ("tokens", {"kind": "empirical"}, "give either 'values' or a 'path'"),
        ("tokens", {"kind": "empirical", "values": [1], "path": "x"}, "give either 'values' or a 'path'"),
        ("tokens", {"kind": "empirical", "values": [1, 2], "weights": [1]}, "1 weights for 2 values"),
        (
            "tokens",
            {"kind": "empirical", "values": [1], "weights": [0]},
            "one of the weights must be more than 0",
        ),
        ("tokens", {"kind": "constant", "value": 3, "mean": 4}, "unknown key"),
    ],
)
def test_forms_that_are_refused_once(key, value, sentence):
    """A wrong distribution gives a single readable error, although many kinds were possible."""
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({key: value})
    assert [sentence] == [error["msg"] for error in caught.value.errors()]
