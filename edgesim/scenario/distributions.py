"""Distributions as a scenario writes them: a plain value, or a mapping with a `kind`."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from edgesim.scenario.base import NonNegative, Section, Tokens, WholeNumber, fault, real, short
from edgesim.units import PositiveSeconds, Seconds

V = TypeVar("V")
"""A value: tokens, a count, or a time."""

M = TypeVar("M")
"""A mean or a median: positive, and not whole even where the values are."""


class _Law(Section, Generic[V]):
    """A distribution over values of one dimension."""

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Name the models of the JSON schema after the dimension: `LognormalTokens`."""
        return f"{cls.__name__}{_DIMENSIONS.get(params[0], 'Value')}"


class Constant(_Law[V]):
    """Always the same value."""

    kind: Literal["constant"] = Field(default="constant", description="Always the same value.")
    value: V = Field(description="The value.")


class Uniform(_Law[V]):
    """Every value from `low` to `high` is as likely."""

    kind: Literal["uniform"] = Field(description="Every value from low to high is as likely.")
    low: V = Field(description="Smallest value.")
    high: V = Field(description="Largest value.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:  # type: ignore[operator]  # values are numbers
            raise fault("'high' is less than 'low'", key="high")
        return self


class _Cut(_Law[V], Generic[V]):
    """A law whose draws are cut at both ends."""

    min: V | None = Field(default=None, description="Smaller draws count as this.")
    max: V | None = Field(default=None, description="Larger draws count as this.")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is not None and self.max is not None and self.max < self.min:  # type: ignore[operator]
            raise fault("'max' is less than 'min'", key="max")
        return self


class Lognormal(_Cut[V], Generic[V, M]):
    """Skewed with a long tail, as lengths of texts are."""

    kind: Literal["lognormal"] = Field(description="Skewed with a long tail, as lengths of texts are.")
    median: M = Field(description="Half of the draws are smaller.")
    p95: M = Field(description="95 % of the draws are smaller.")

    @model_validator(mode="after")
    def _skewed(self) -> Self:
        if self.p95 < self.median:  # type: ignore[operator]
            raise fault("'p95' is less than 'median'", key="p95")
        return self


class Exponential(_Cut[V], Generic[V, M]):
    """Memoryless."""

    kind: Literal["exponential"] = Field(description="Memoryless.")
    mean: M = Field(description="Mean of the draws before they are cut.")


class Geometric(_Cut[V], Generic[V]):
    """The memoryless whole number: 1, 2, 3 ..."""

    kind: Literal["geometric"] = Field(description="The memoryless whole number: 1, 2, 3 ...")
    mean: Annotated[float, *real(1.0)] = Field(
        description="Mean of the draws before they are cut, at least 1."
    )


class Empirical(_Law[V]):
    """One of the values that were measured."""

    kind: Literal["empirical"] = Field(description="One of the values that were measured.")
    values: tuple[V, ...] | None = Field(default=None, description="The values.")
    weights: tuple[NonNegative, ...] | None = Field(
        default=None, description="How often each value comes, in the same order."
    )
    path: str | None = Field(
        default=None, description="CSV with a value a row, and its weight in a second column if it has one."
    )

    @model_validator(mode="after")
    def _from_one_source(self) -> Self:
        if bool(self.values) == bool(self.path):
            raise fault("give either 'values' or a 'path'")
        if self.weights is not None and len(self.weights) != len(self.values or ()):
            raise fault(f"{len(self.weights)} weights for {len(self.values or ())} values", key="weights")
        if self.weights is not None and not any(self.weights):
            raise fault("one of the weights must be more than 0", key="weights")
        return self


_Mean = Annotated[float, *real(0.0, strict=True)]

_DIMENSIONS: dict[Any, str] = {Tokens: "Tokens", WholeNumber: "Count", Seconds: "Seconds"}

TokenDistribution = Annotated[
    Constant[Tokens]
    | Uniform[Tokens]
    | Lognormal[Tokens, _Mean]
    | Exponential[Tokens, _Mean]
    | Geometric[Tokens]
    | Empirical[Tokens],
    Field(discriminator="kind"),
    *short({"type": "integer", "minimum": 1}, "value", kind="constant"),
]
"""Lengths in tokens, at least 1."""

CountDistribution = Annotated[
    Constant[WholeNumber]
    | Uniform[WholeNumber]
    | Lognormal[WholeNumber, _Mean]
    | Exponential[WholeNumber, _Mean]
    | Geometric[WholeNumber]
    | Empirical[WholeNumber],
    Field(discriminator="kind"),
    *short({"type": "integer", "minimum": 0}, "value", kind="constant"),
]
"""Whole numbers: images of a request, turns of a session."""

TimeDistribution = Annotated[
    Constant[Seconds]
    | Uniform[Seconds]
    | Lognormal[Seconds, PositiveSeconds]
    | Exponential[Seconds, PositiveSeconds]
    | Empirical[Seconds],
    Field(discriminator="kind"),
    *short({"type": "string", "examples": ["10 s"]}, "value", kind="constant"),
]
"""Times: think time, patience."""
