"""What a node says about heat: that its accelerators warm up and slow down, and in which air."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from edgesim.scenario.base import Section, fault, switch
from edgesim.units import Celsius, JoulesPerKelvin, KelvinPerWatt, Share

if TYPE_CHECKING:
    from edgesim.catalog import Accelerator
    from edgesim.catalog import Thermal as Figures

BAND = 10.0
"""Kelvin from the first throttling to the slowest clock, unless the scenario or the catalogue says."""

SLOWEST = 0.3
"""Share of the frequency that is left there, likewise."""


class Thermal(Section):
    """How accelerators warm up and when they slow down; what is not given comes from the catalogue."""

    ambient: Celsius = Field(default=25.0, description="Temperature of the air around.")
    start: Celsius | None = Field(default=None, description="Temperature at the start; by default ambient.")
    resistance: KelvinPerWatt | None = Field(
        default=None, description="Thermal resistance from an accelerator to the air."
    )
    capacity: JoulesPerKelvin | None = Field(
        default=None, description="Heat capacity of what an accelerator heats."
    )
    throttle_at: Celsius | None = Field(
        default=None, description="Temperature above which the clock goes down.", examples=["75 degC"]
    )
    slowest_at: Celsius | None = Field(
        default=None, description="Temperature at which the clock is at its slowest.", examples=["95 degC"]
    )
    slowest: Share | None = Field(
        default=None, description="Share of the frequency that the clock never goes below."
    )

    @model_validator(mode="after")
    def _runs(self) -> Self:
        if self.slowest is not None and not 0 < self.slowest <= 1:
            raise fault("'slowest' must be more than 0 % and at most 100 %", key="slowest")
        return self

    def merged(self, accelerator: Accelerator) -> dict[str, float | None]:
        """What it says, over what the catalogue has of an accelerator; None where neither says anything."""
        from edgesim.catalog import Thermal as Figures  # noqa: PLC0415 - brings the catalogue's files

        known = accelerator.thermal
        found = {
            item.name: getattr(known, item.name, None)
            if getattr(self, item.name) is None
            else getattr(self, item.name)
            for item in fields(Figures)
        }
        if found["slowest"] is None:
            found["slowest"] = SLOWEST
        own_start = self.throttle_at is not None and self.slowest_at is None
        if found["throttle_at"] is not None and (found["slowest_at"] is None or own_start):
            band = BAND if known is None else known.slowest_at - known.throttle_at
            found["slowest_at"] = found["throttle_at"] + band
        return found

    def figures(self, accelerator: Accelerator) -> Figures:
        """The figures that hold, once they were found complete."""
        from edgesim.catalog import Thermal as Figures  # noqa: PLC0415

        return Figures(**{key: float(value or 0.0) for key, value in self.merged(accelerator).items()})


Heat = Annotated[Thermal | None, *switch()]
"""`true` for the catalogue's figures, or a mapping with figures of one's own."""
