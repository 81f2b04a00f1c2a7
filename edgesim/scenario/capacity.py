"""What a capacity search looks for, unless the command line says it."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from edgesim.scenario.base import Count, Name, Section, fault
from edgesim.units import Share


class Offer(Section):
    """What a node group may be made of."""

    accelerators: tuple[str, ...] = Field(
        description="Accelerators to choose from.", min_length=1, examples=[["nvidia-l4", "nvidia-a10"]]
    )
    least: Count = Field(default=1, description="Fewest nodes.")
    most: Count = Field(default=1, description="Most nodes.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.most < self.least:
            raise fault("'most' is less than 'least'", key="most")
        return self


class CapacitySection(Section):
    """The question of `edgesim capacity`."""

    replicas: Name | None = Field(
        default=None,
        description="Find the fewest replicas of this deployment, or nodes of this group; by default the largest rate.",
        examples=["edge"],
    )
    mix: dict[Name, Offer] | None = Field(
        default=None,
        description="Find the cheapest hardware among these, by node group.",
        examples=[{"edge": {"accelerators": ["nvidia-l4", "nvidia-a10"], "least": 1, "most": 4}}],
    )
    objective: Literal["cost", "energy"] = Field(
        default="cost", description="What a mix should need least of: price per hour, or mean power."
    )
    attainment: Share | None = Field(
        default=None,
        description="Share of requests that must keep all limits of 'slo'; by default each bound as it is written.",
    )
    confidence: Share = Field(default=0.95, description="With which confidence the objectives must be met.")
    tolerance: Share = Field(default=0.01, description="Relative width at which the search for a rate ends.")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if self.replicas is not None and self.mix is not None:
            raise fault("either 'replicas' or 'mix' can be searched for, not both", key="mix")
        if self.mix is not None and not self.mix:
            raise fault("'mix' offers nothing to choose", key="mix")
        return self

    def settings(self) -> dict[str, Any]:
        """The question as settings of a search."""
        names = ("objective", "attainment", "confidence", "tolerance")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.replicas is not None:
            found |= {"search": "replicas", "of": self.replicas}
        elif self.mix is not None:
            parts = [
                f"{group}: {'|'.join(one.accelerators)} x {one.least}..{one.most}"
                for group, one in self.mix.items()
            ]
            found |= {"search": "mix", "of": "; ".join(parts)}
        return found
