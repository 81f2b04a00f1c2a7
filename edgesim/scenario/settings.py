"""How a scenario is run and judged: policies, objectives, energy accounting, output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edgesim.scenario.base import Count, Name, Section, WholeNumber, fault, short
from edgesim.units import Joules, PositiveSeconds, Seconds, Share, Usd, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

LONGEST = 50 * 86400.0
"""Longest run [s]: times are counted in 64-bit picoseconds."""


ONCE: Final = ("throughput_rps", "goodput_rps", "energy_j", "cost_usd", "carbon_g")
"""Numbers of a whole run that replications can be added for; beside them the statistics of metrics."""


def _estimate(text: str) -> str:
    """Check the name of a number: "ttft p95", "cost_usd"."""
    metric, _, statistic = text.partition(" ")
    if text in ONCE or (metric in Slo.model_fields and statistic in ("mean", "p50", "p90", "p95", "p99")):
        return text
    raise fault(
        f"{shown(text)} is no number of a run",
        f"write a metric and a statistic such as 'ttft p95' (metrics: {', '.join(Slo.model_fields)}),"
        f" or one of {', '.join(ONCE)}",
    )


class Precision(Section):
    """How near the truth the replications shall come; they are added until then."""

    within: Share = Field(description="Largest relative error, at 95 % confidence.", examples=["2 %"])
    of: Annotated[tuple[Annotated[str, AfterValidator(_estimate)], ...], Field(min_length=1)] = Field(
        default=("ttft mean", "e2e mean"), description="Numbers that must come so near."
    )
    at_least: Count = Field(
        default=10, description="Replications before the first look; few show too little of the spread."
    )
    at_most: Count = Field(default=100, description="Replications after which it is given up.")

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if not self.within:
            raise fault("no number of replications gives an error of 0; write e.g. 2 %", key="within")
        if self.at_least < 2:
            raise fault("one replication shows no spread; write at least 2", key="at_least")
        if self.at_most < self.at_least:
            raise fault("'at_most' is less than 'at_least'", key="at_most")
        return self


class _OrAuto:
    """Tells editors that `auto` may stand for a time."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["auto"]}, handler(schema)]}


class Settings(Section):
    """What is run: name, seed, length, repetitions."""

    name: Name = Field(description="Name of the scenario; results are stored under it.")
    seed: WholeNumber = Field(default=0, description="Seed of all randomness.")
    duration: PositiveSeconds | None = Field(
        default=None, description="Simulated time after which the run ends."
    )
    requests: Count | None = Field(
        default=None,
        description="Number of requests, of all workloads together, after which no more are asked.",
        examples=[10_000],
    )
    warmup: Annotated[Seconds, _OrAuto()] = Field(
        default=0.0,
        description="Requests that arrive before this are left out of the metrics; 'auto' finds the time (MSER-5).",
    )
    find_warmup: bool | None = Field(
        default=None,
        description="Find the end of the initial transient after the run, not before 'warmup'; what 'auto' stands for.",
        examples=[True],
    )
    replications: Count = Field(default=1, description="Repetitions with other random numbers.")
    precision: Annotated[Precision, *short({"type": "string", "examples": ["2 %"]}, "within")] | None = Field(
        default=None, description="Adds replications until intervals are narrow enough."
    )

    @model_validator(mode="before")
    @classmethod
    def _auto(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("warmup") == "auto":
            return {"find_warmup": True} | data | {"warmup": "0 s"}
        return data

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        if self.duration is not None and self.duration > LONGEST:
            raise fault("a run lasts at most 50 days", key="duration")
        if self.duration is not None and self.warmup >= self.duration:
            raise fault("the warm-up is not shorter than the run", key="warmup")
        if self.warmup > LONGEST:
            raise fault("a run lasts at most 50 days", key="warmup")
        if self.precision is not None and self.replications > 1:
            raise fault(
                "'precision' decides how many replications there are",
                "leave 'replications' out; {at_least: 20, at_most: 50} in 'precision' bounds their number",
                key="replications",
            )
        return self

    @property
    def most_replications(self) -> int:
        """How many there may be."""
        return self.replications if self.precision is None else self.precision.at_most


def _policy(value: Any) -> Any:
    """Bring a policy to its long form; the registry checks what it says."""
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, dict) and isinstance(value.get("kind"), str):
        return value
    raise fault(f"{shown(value)} is no policy; write its name, or a mapping with its name as 'kind'")


Policy = Annotated[dict[str, Any], BeforeValidator(_policy)]
"""A policy's name (`kind`) and parameters."""


class Retry(Section):
    """What happens when a replica fails and an attempt is lost."""

    attempts: WholeNumber = Field(default=0, description="Further attempts after the first.")
    backoff: Seconds = Field(default=0.0, description="Pause before a further attempt; doubles each time.")


class Policies(Section):
    """Who decides."""

    router: Policy = Field(default={"kind": "nearest"}, description="Chooses the replica of each request.")
    scheduler: Policy = Field(
        default={"kind": "fcfs"},
        description="Orders the requests that wait at a replica, or forms its steps.",
    )
    admission: Policy = Field(
        default={"kind": "accept-all"}, description="Lets requests in, or refuses them."
    )
    cache: Policy = Field(
        default={"kind": "lru"}, description="Chooses which cached prefixes are forgotten first."
    )
    candidates: int = Field(
        default=64,
        ge=1,
        description="Replicas that a router may choose from: so many of the nearest, and all as near as the last.",
    )
    retry: Retry = Field(
        default=Retry(), description="What happens when a replica fails and an attempt is lost."
    )


class Target(Section, Generic[T]):
    """Upper bounds of a metric."""

    mean: T | None = Field(default=None, description="Mean over all requests.")
    p50: T | None = Field(default=None, description="Median.")
    p90: T | None = Field(default=None, description="90th percentile.")
    p95: T | None = Field(default=None, description="95th percentile.")
    p99: T | None = Field(default=None, description="99th percentile.")
    max: T | None = Field(default=None, description="Largest value.")
    within: T | None = Field(
        default=None, description="Limit for a single request; goodput counts those that keep it."
    )
    attainment: Share | None = Field(default=None, description="Share of requests that must keep 'within'.")

    @model_validator(mode="after")
    def _demands_something(self) -> Self:
        if self.attainment is not None and self.within is None:
            raise fault("'attainment' needs 'within', the limit for a single request", key="attainment")
        if not dict(self.bounds()):
            raise fault("this objective demands nothing; write e.g. {p95: 1 s}")
        return self

    def bounds(self) -> Iterator[tuple[str, T]]:
        """Yield every statistic that is bounded, with its bound in SI."""
        for name, value in self:
            if value is not None and name != "attainment":
                yield name, value


class TimeTarget(Target[Seconds]):
    """Upper bounds of a time [s]."""


class EnergyTarget(Target[Joules]):
    """Upper bounds of an energy [J]."""


class CostTarget(Target[Usd]):
    """Upper bounds of an amount of money [USD]."""


class Slo(Section):
    """Service-level objectives by metric."""

    ttft: TimeTarget | None = Field(default=None, description="Time to first token.")
    tpot: TimeTarget | None = Field(default=None, description="Time per output token after the first.")
    e2e: TimeTarget | None = Field(default=None, description="End-to-end latency.")
    queue_time: TimeTarget | None = Field(default=None, description="Time in a replica's queue.")
    network_time: TimeTarget | None = Field(default=None, description="Time on the network.")
    prefill_time: TimeTarget | None = Field(default=None, description="Time in prefill.")
    decode_time: TimeTarget | None = Field(default=None, description="Time in decode.")
    energy: EnergyTarget | None = Field(default=None, description="Energy of a request.")
    cost: CostTarget | None = Field(default=None, description="Money spent on a request.")

    def targets(self) -> Iterator[tuple[str, Target[float]]]:
        """Yield every metric that has an objective."""
        for name, target in self:
            if target is not None:
                yield name, target


class Energy(Section):
    """How energy is accounted."""

    network: Literal["marginal", "attributional", "off"] = Field(
        default="marginal",
        description="What bytes cost: what they add, their share of the network's total, or nothing.",
    )
    tick: PositiveSeconds = Field(
        default=1.0, description="Step of what changes with time, such as the temperatures of devices."
    )


class Output(Section):
    """What is written, and where."""

    dir: str = Field(default="results", description="Folder of all results.")
    tables: tuple[Literal["requests", "legs", "resources", "decisions", "steps"], ...] = Field(
        default=("requests", "legs"), description="Tables that are written."
    )
    sample: PositiveSeconds | None = Field(
        default=None,
        description="Time between samples of 'resources': by default a 200th of the duration, or 1 s without one.",
        examples=["1 s"],
    )

    @model_validator(mode="after")
    def _samples_something(self) -> Self:
        if self.sample is not None and "resources" not in self.tables:
            raise fault("samples make up the table 'resources'; add it to 'tables'", key="sample")
        return self
