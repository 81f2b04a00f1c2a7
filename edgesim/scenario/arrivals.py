"""When requests come: the arrival processes that a workload can name."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgesim.scenario.base import Count, Positive, Section, fault, real
from edgesim.scenario.distributions import TimeDistribution
from edgesim.units import PositiveRate, PositiveSeconds, Rate, Seconds

_PER = "Whether the figure holds for the whole group (total) or for each of its nodes (node)."


class Poisson(Section):
    """Independent requests at a constant rate."""

    kind: Literal["poisson"] = Field(description="Independent requests at a constant rate.")
    rate: PositiveRate = Field(description="Mean rate, e.g. 6/s.")
    per: Literal["total", "node"] = Field(default="total", description=_PER)


class Gamma(Section):
    """Independent gaps that vary more (bursty) or less (regular) than those of a Poisson process."""

    kind: Literal["gamma"] = Field(description="Gaps that vary more (cv > 1, bursts) or less than Poisson's.")
    rate: PositiveRate = Field(description="Mean rate, e.g. 6/s.")
    cv: Positive = Field(description="Coefficient of variation of the gaps; 1 is Poisson.")
    per: Literal["total", "node"] = Field(default="total", description=_PER)


class OnOff(Section):
    """Poisson requests whose rate switches between two values (a Markov-modulated Poisson process)."""

    kind: Literal["mmpp", "on-off"] = Field(
        description="Poisson requests whose rate switches between two values."
    )
    rate_on: PositiveRate = Field(description="Rate during bursts.")
    rate_off: Rate = Field(default=0.0, description="Rate between bursts.")
    mean_on: PositiveSeconds = Field(description="Mean length of a burst.")
    mean_off: PositiveSeconds = Field(description="Mean time between bursts.")
    per: Literal["total", "node"] = Field(default="total", description=_PER)


class Diurnal(Section):
    """Poisson requests whose rate rises and falls with the time of day."""

    kind: Literal["diurnal"] = Field(
        description="Poisson requests whose rate rises and falls with the time of day."
    )
    rate: PositiveRate = Field(description="Mean rate over a day.")
    peak_to_mean: Annotated[float, *real(1.0)] = Field(
        default=2.0, description="Highest rate over mean rate."
    )
    period: PositiveSeconds = Field(default=86400.0, description="Length of a day.")
    peak_at: Seconds = Field(default=0.0, description="Time of the peak, from the start of the run.")
    per: Literal["total", "node"] = Field(default="total", description=_PER)


class Periodic(Section):
    """Sensors: a request a period."""

    kind: Literal["periodic"] = Field(description="Sensors: a request a period.")
    period: PositiveSeconds = Field(description="Time between two requests.")
    jitter: Seconds = Field(default=0.0, description="Each request is late by up to this, uniformly.")
    phase: Literal["random", "aligned", "spread"] = Field(
        default="random",
        description="First requests at random times, all at once, or evenly spread over the period.",
    )
    per: Literal["node", "total"] = Field(
        default="node", description="Whether each node (node) or the group (total) asks once."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.jitter > self.period:
            raise fault("the jitter is longer than the period", key="jitter")
        return self


class ClosedLoop(Section):
    """Users who wait for an answer, think, and ask again."""

    kind: Literal["closed-loop"] = Field(description="Users who wait for an answer, think, and ask again.")
    users: Count = Field(description="Number of users.")
    think_time: TimeDistribution = Field(description="From an answer to the next question.")
    per: Literal["total", "node"] = Field(default="total", description=_PER)


Arrivals = Annotated[Poisson | Gamma | OnOff | Diurnal | Periodic | ClosedLoop, Field(discriminator="kind")]
