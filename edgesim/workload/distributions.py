"""Distributions as a scenario writes them, and their draws as whole tokens and whole picoseconds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.errors import Problem, ScenarioError
from edgesim.workload.laws import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Geometric,
    Lognormal,
    Uniform,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

Z95: Final = 1.6448536269514722
"""The 95th percentile of the standard normal distribution."""

MOST: Final = 2**31 - 1
"""The largest count a draw can give; heavier tails are cut here."""

PS: Final = 10**12
"""Picoseconds per second."""

FOREVER: Final = 50 * 86_400 * PS
"""The longest time a scenario may last [ps]; a duration that is drawn longer counts as this."""


def _bounds(spec: Any, least: float) -> tuple[float, float]:
    low, high = getattr(spec, "min", None), getattr(spec, "max", None)
    return max(least, float(low)) if low is not None else least, math.inf if high is None else float(high)


def _lognormal(spec: Any, least: float) -> Distribution:
    sigma = math.log(float(spec.p95) / float(spec.median)) / Z95
    return Lognormal(float(spec.median), sigma, *_bounds(spec, least))


def _empirical(spec: Any, least: float) -> Distribution:
    values, weights = getattr(spec, "values", None), getattr(spec, "weights", None) or ()
    if not values:
        values, weights = read_values(spec.path)
    if not weights:
        weights = (1.0,) * len(values)
    pairs = [(max(float(value), least), float(weight)) for value, weight in zip(values, weights, strict=True)]
    return Empirical(*zip(*((value, weight) for value, weight in pairs if weight > 0), strict=True))


_KINDS: Final[dict[str, Callable[[Any, float], Distribution]]] = {
    "constant": lambda spec, least: Constant(max(float(spec.value), least)),
    "lognormal": _lognormal,
    "exponential": lambda spec, least: Exponential(float(spec.mean), *_bounds(spec, least)),
    "geometric": lambda spec, least: Geometric(float(spec.mean), *_bounds(spec, max(least, 1.0))),
    "uniform": lambda spec, least: Uniform(max(float(spec.low), least), float(spec.high)),
    "empirical": _empirical,
}


def times(spec: Any) -> Distribution:
    """Return the distribution of a time [s], given as a number or as a section with a `kind`."""
    if isinstance(spec, int | float):
        return Constant(float(spec))
    return _KINDS[spec.kind](spec, 0.0)


def counts(spec: Any, least: int = 1) -> Distribution:
    """Return the distribution of a whole number that is at least `least`."""
    if isinstance(spec, int | float):
        return Constant(float(max(spec, least)))
    if spec.kind == "uniform":
        return Uniform(float(max(spec.low, least)), float(spec.high), whole=True)
    return _KINDS[spec.kind](spec, float(least))


def whole(values: NDArray[np.float64], least: int = 1) -> NDArray[np.int64]:
    """Round draws to the nearest integers that are at least `least`."""
    np.rint(values, out=values)
    return np.clip(values, least, MOST, out=values).astype(np.int64)


def picoseconds(values: NDArray[np.float64], least: int = 0) -> NDArray[np.int64]:
    """Turn times [s] into whole picoseconds, at least `least` and at most `FOREVER`."""
    values = np.minimum(values, FOREVER / PS) * PS
    np.rint(values, out=values)
    return np.maximum(values, least, out=values).astype(np.int64)


def duration(seconds: float) -> int:
    """Turn one time [s] into whole picoseconds, as `picoseconds` turns many."""
    return round(min(max(seconds, 0.0) * PS, FOREVER))


def whole_number(value: float, least: int = 1) -> int:
    """Round one draw as `whole` rounds many."""
    return min(max(round(value), least), MOST)


def read_values(path: str) -> tuple[Sequence[float], Sequence[float]]:
    """Read the values of an empirical distribution: one a row, perhaps with its weight in a second column.

    A first row that is no number is taken as a header.

    Raises:
        ScenarioError: The file cannot be read, holds no value, or has a malformed row.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, f"the file of values cannot be read: {error}") from None
    pairs: list[tuple[float, float]] = []
    for number, line in enumerate(lines, start=1):
        try:
            value, weight = map(float, [*line.split(","), "1"][:2])
        except ValueError:
            if number > 1 and line.strip():
                raise _unusable(
                    path, f"{line!r} is not a number, or a number and its weight", number
                ) from None
            continue
        if not (math.isfinite(value) and value >= 0 and 0 <= weight < math.inf):
            raise _unusable(path, f"{line!r}: values and weights are 0 or more", number)
        pairs.append((value, weight))
    if not any(weight for _, weight in pairs):
        raise _unusable(path, "the file holds no value")
    values, weights = zip(*pairs, strict=True)
    return values, weights


def _unusable(path: str, text: str, line: int | None = None) -> ScenarioError:
    return ScenarioError([Problem((), text, file=path, line=line)])
