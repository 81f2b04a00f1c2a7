"""Who asks, what, when and for how long they wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgesim.scenario.arrivals import Arrivals
from edgesim.scenario.base import Count, Name, Positive, Section, WholeNumber, fault
from edgesim.scenario.distributions import Constant, CountDistribution, TimeDistribution, TokenDistribution
from edgesim.units import Bytes, PositiveSeconds, Seconds, Share, SignedShare

if TYPE_CHECKING:
    from collections.abc import Mapping


TRACE_KEYS: Final = ("format", "time_scale", "start", "stop", "limit", "origins")
"""Keys of a workload that only a trace can have."""


class Session(Section):
    """A conversation: several requests of one user that build on each other."""

    turns: CountDistribution = Field(
        description="Requests of a session, at least 1.", examples=[{"kind": "geometric", "mean": 5}]
    )
    think_time: TimeDistribution = Field(
        description="From an answer to the next question.", examples=["10 s"]
    )
    carry_history: bool = Field(
        default=True, description="Whether prompts hold the earlier turns.", strict=True
    )


class Prediction(Section):
    """What policies are told about the length of an answer before it exists."""

    error: Share = Field(default=0.0, description="Coefficient of variation of the prediction.")
    bias: SignedShare = Field(
        default=0.0, description="How much longer than true predictions are on average."
    )


class Workload(Section):
    """A stream of requests from the nodes of one group."""

    from_: Name = Field(alias="from", description="Node group that asks.")
    llm: str | None = Field(
        default=None,
        description="Only this LLM may answer; by default any deployed one.",
        examples=["llama-3.1-8b"],
    )
    template: str | None = Field(
        default=None,
        description="Workload template of the catalogue that fills missing keys.",
        examples=["short-chat"],
    )
    arrivals: Arrivals | None = Field(
        default=None, description="When requests come; required unless a trace says it."
    )
    prompt_tokens: TokenDistribution | None = Field(
        default=None, description="Prompt length; required unless a trace says it."
    )
    output_tokens: TokenDistribution | None = Field(
        default=None, description="Answer length; required unless a trace says it."
    )
    path: str | None = Field(
        default=None, description="Trace to replay, relative to this file.", examples=["trace.csv"]
    )
    format: Literal["auto", "azure", "mooncake", "csv"] = Field(
        default="auto", description="Format of the trace."
    )
    time_scale: Positive = Field(
        default=1.0, description="Times of the trace are multiplied by this; 0.5 doubles the load."
    )
    start: Seconds = Field(default=0.0, description="Skip what the trace holds before this time.")
    stop: PositiveSeconds | None = Field(
        default=None, description="Skip what the trace holds from this time on."
    )
    limit: Count | None = Field(default=None, description="Replay at most so many requests.", examples=[1000])
    origins: Literal["spread", "random", "round-robin"] = Field(
        default="spread", description="How requests of the trace are dealt to the nodes of the group."
    )
    session: Session | None = Field(
        default=None, description="Each arrival opens a conversation of several turns."
    )
    shared_prefix: WholeNumber = Field(
        default=0, description="Tokens with which all prompts of the workload begin, such as a system prompt."
    )
    images: CountDistribution = Field(
        default=Constant(value=0), description="Images of a request.", validate_default=True
    )
    image_bytes: Bytes = Field(default=200_000, description="Size of an image on the wire.")
    bytes_per_token: Positive = Field(default=4.0, description="Size of a token on the wire, in bytes.")
    patience: TimeDistribution | None = Field(
        default=None, description="Users leave without a first token after this.", examples=["30 s"]
    )
    deadline: PositiveSeconds | None = Field(
        default=None, description="When an answer stops being useful; policies see it."
    )
    priority: WholeNumber = Field(
        default=0, description="Smaller is more urgent, to schedulers and on links shared by priority."
    )
    tenant: Name = Field(default="default", description="Who is billed for the requests.")
    privacy: Literal["public", "personal", "regulated"] = Field(
        default="public", description="How private the prompts are."
    )
    stream: bool = Field(default=True, description="Whether tokens are sent as they appear.", strict=True)
    prediction: Prediction = Field(
        default=Prediction(), description="What policies know about answer lengths."
    )

    @property
    def origin(self) -> str:
        """The node group that asks."""
        return self.from_

    @property
    def is_trace(self) -> bool:
        """Whether it replays a recorded trace."""
        return self.path is not None

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what may not be written without a trace."""
        written: dict[str, Any] = handler(self)
        return (
            written
            if self.is_trace
            else {key: value for key, value in written.items() if key not in TRACE_KEYS}
        )

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, value: Any) -> Any:
        return filled(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.path is None:
            for key in ("arrivals", "prompt_tokens", "output_tokens"):
                if getattr(self, key) is None:
                    help_ = f"{key}: {type(self).model_fields[key].description}"
                    raise fault(f"the key '{key}' is missing", help_)
            for key in TRACE_KEYS:
                if key in self.model_fields_set:
                    raise fault(f"'{key}' belongs to a trace, but there is no 'path'", key=key)
            return self
        if self.arrivals is not None:
            raise fault(
                "a trace says itself when requests come; drop either 'arrivals' or 'path'", key="arrivals"
            )
        if self.stop is not None and self.stop <= self.start:
            raise fault("'stop' is not after 'start'", key="stop")
        return self


def filled(workload: Mapping[str, Any]) -> dict[str, Any]:
    """Write out what a workload inherits from its template."""
    result = dict(workload)
    if isinstance(result.get("template"), str):
        from edgesim import catalog  # noqa: PLC0415 - most scenarios use no template
        from edgesim.registry import UnknownNameError  # noqa: PLC0415

        try:
            inherited = dict(catalog.template(result["template"]).workload)
        except UnknownNameError as error:
            raise fault(str(error), error.help, key="template") from None
        if result.get("path") is not None:
            inherited.pop("arrivals", None)
        result = inherited | result
    return result
