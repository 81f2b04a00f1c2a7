"""What a controller believes about a request's reply length before it is generated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgesim.workload.distributions import whole, whole_number
from edgesim.workload.laws import normal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.scenario.workload import Prediction


class Predictor(Protocol):
    """Says what a controller believes.

    Attributes:
        needs_random: Whether it draws random numbers.
    """

    needs_random: bool

    def many(self, output: NDArray[np.int64], random: np.random.Generator | None) -> NDArray[np.int64]:
        """Return predictions for replies of these lengths [tokens]."""
        ...

    def one(self, output: int, u: float) -> int:
        """Return the prediction for one reply from a uniform number."""
        ...


class MeanPredictor:
    """Expects the mean reply length from everybody: all that a history without features can tell."""

    needs_random = False

    def __init__(self, mean: float) -> None:
        """Remember the mean reply length [tokens]."""
        self._mean = whole_number(mean)

    def many(
        self,
        output: NDArray[np.int64],
        random: np.random.Generator | None,  # noqa: ARG002 - the same for everybody
    ) -> NDArray[np.int64]:
        """Return the mean for each of the replies."""
        return np.full(len(output), self._mean)

    def one(self, output: int, u: float) -> int:  # noqa: ARG002 - the same for everybody
        """Return the mean."""
        return self._mean


class NoisyPredictor:
    """Knows the reply length up to a relative error.

    The prediction is the truth times a lognormal factor whose mean is 1 + `bias` and whose coefficient of
    variation is `error`.
    """

    needs_random = True

    def __init__(self, error: float, bias: float) -> None:
        """Prepare the factor from the coefficient of variation and the relative bias, both as fractions."""
        self._sigma = math.sqrt(math.log1p(error**2))
        self._factor = (1 + bias) * math.exp(-(self._sigma**2) / 2)

    def many(self, output: NDArray[np.int64], random: np.random.Generator | None) -> NDArray[np.int64]:
        """Return a prediction for each of the replies."""
        assert random is not None
        factors = random.standard_normal(len(output))
        factors *= self._sigma
        np.exp(factors, out=factors)
        factors *= self._factor
        factors *= output
        return whole(factors)

    def one(self, output: int, u: float) -> int:
        """Return the prediction for one reply from a uniform number."""
        return whole_number(output * self._factor * math.exp(self._sigma * normal(u)))


def predictor(spec: Prediction, mean: float) -> Predictor:
    """Return the predictor of a `prediction` section.

    Without an error it knows the mean reply length only; who wants the truth itself asks for an oracle.

    Args:
        spec: The section: `error` and `bias`, as fractions.
        mean: Mean reply length [tokens].
    """
    if not spec.error:
        return MeanPredictor(mean * (1 + spec.bias))
    return NoisyPredictor(spec.error, spec.bias)
