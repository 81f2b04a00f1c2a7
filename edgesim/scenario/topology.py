"""Where things run: tiers, groups of nodes, and the links between them."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from edgesim.scenario.base import Count, Name, Section, WholeNumber, fault, real, short, whole
from edgesim.scenario.thermal import Heat
from edgesim.units import (
    Bytes,
    BytesPerSecond,
    GramsPerKwh,
    JoulesPerByte,
    PositiveSeconds,
    Seconds,
    Share,
    UsdPerByte,
    UsdPerHour,
    UsdPerKwh,
    Watts,
    shown,
)

T = TypeVar("T")

MOST_NODES = 10_000_000
"""Nodes, or replicas, that a scenario may have: more do not fit into the memory of one machine."""

TIERS = ("device", "edge", "metro", "cloud")
"""The levels of the hierarchy unless a scenario names its own, nearest to the user first."""


class Node(Section):
    """A machine at a place, or a group of equal ones."""

    tier: Name = Field(description="Level of the hierarchy it belongs to.")
    count: Annotated[int, *whole(1, MOST_NODES)] = Field(
        default=1, description="Number of equal nodes in this group."
    )
    accelerator: str | None = Field(
        default=None, description="What runs LLMs on it; a node without one only asks or forwards."
    )
    accelerators: Count = Field(default=1, description="Accelerators of each node.")
    quantum: PositiveSeconds = Field(
        default=1.0,
        description="How long one of several deployments keeps an accelerator that others wait for.",
    )
    power_mode: Name | None = Field(
        default=None,
        description="Power mode of its accelerators, as the catalogue lists them; by default none.",
        examples=["15W"],
    )
    frequency: Share = Field(
        default=1.0, description="Share of their frequency at which its accelerators are clocked."
    )
    available_memory: Bytes | None = Field(
        default=None,
        description="Memory of each accelerator that may be used at all; by default the catalogue's.",
    )
    reserved_memory: Bytes | None = Field(
        default=None,
        description="What drivers, system and other programs keep of it; by default the catalogue's figure.",
    )
    storage_bandwidth: BytesPerSecond | None = Field(
        default=None,
        description="Rate at which paged weights are read from storage; by default the catalogue's.",
    )
    thermal: Heat = Field(
        default=None,
        description="Whether its accelerators warm up and slow down; true, or figures of your own.",
        examples=[True],
    )
    price: UsdPerHour | None = Field(
        default=None, description="Price of an accelerator; by default the catalogue's."
    )
    grid: str | None = Field(
        default=None,
        description="Electricity grid of the catalogue, for the carbon intensity.",
        examples=["germany"],
    )
    carbon: GramsPerKwh | None = Field(
        default=None, description="Carbon intensity of its electricity, instead of a grid."
    )
    electricity: UsdPerKwh = Field(
        default=0.0, description="Price of its electricity, on top of the hourly price."
    )
    pue: Annotated[float, *real(1.0)] = Field(
        default=1.0, description="Energy of the whole site over that of its machines."
    )
    host_power: Watts = Field(
        default=0.0, description="Constant power of the machine around its accelerators."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 0 < self.frequency <= 1:
            raise fault("'frequency' must be more than 0 % and at most 100 %", key="frequency")
        if self.available_memory is not None and (self.reserved_memory or 0) >= self.available_memory:
            raise fault("'reserved_memory' leaves nothing of 'available_memory'", key="reserved_memory")
        if self.grid is not None and self.carbon is not None:
            raise fault("give either 'grid' or 'carbon'", key="carbon")
        return self


class UpDown(Section, Generic[T]):
    """A figure for each direction: up runs from the first end of a link to the second."""

    up: T = Field(description="From the first end to the second.")
    down: T = Field(description="From the second end to the first.")


class Bandwidth(UpDown[BytesPerSecond]):
    """Capacity in each direction [B/s]."""


class TransferEnergy(UpDown[JoulesPerByte]):
    """Energy of moving data in each direction [J/B]."""


def _ends(value: Any) -> Any:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise fault(f"{shown(value)} does not name two node groups; write e.g. [phone, edge]")
    return tuple(value)


class Link(Section):
    """A connection between two groups of nodes."""

    between: Annotated[tuple[Name, Name], BeforeValidator(_ends)] = Field(
        description="The two groups; up is from first to second."
    )
    kind: str | None = Field(
        default=None, description="Link kind of the catalogue that fills missing figures."
    )
    latency: Seconds | None = Field(default=None, description="One-way propagation delay.")
    bandwidth: (
        Annotated[Bandwidth, *short({"type": "string", "examples": ["1 Gbps"]}, "up", "down")] | None
    ) = Field(default=None, description="Capacity, one figure or {up: ..., down: ...}.")
    shared: bool | None = Field(
        default=None,
        description="Whether all partners of one node share one medium.",
        examples=[True],
        strict=True,
    )
    half_duplex: bool | None = Field(
        default=None, description="Whether both directions share the medium.", examples=[True], strict=True
    )
    energy: (
        Annotated[TransferEnergy, *short({"type": "string", "examples": ["0.3 uJ/bit"]}, "up", "down")] | None
    ) = Field(default=None, description="Energy of moving data, one figure or {up: ..., down: ...}.")
    overhead: WholeNumber | None = Field(
        default=None, description="Bytes that each message pays on top.", examples=[78]
    )
    pattern: Literal["spread", "ring", "mesh"] = Field(
        default="spread",
        description="Who meets whom: contiguous blocks, or within one group a ring or everybody.",
    )
    sharing: Literal["fair", "fifo", "priority"] = Field(
        default="fair",
        description="How its flows share it: max-min fairly, one after the other, or urgent requests first.",
    )
    egress: UsdPerByte = Field(default=0.0, description="Price of data that leaves the second group.")

    @model_validator(mode="after")
    def _specified(self) -> Self:
        if self.kind is None and (self.latency is None or self.bandwidth is None):
            missing = " and ".join(key for key in ("latency", "bandwidth") if getattr(self, key) is None)
            raise fault(f"a link without a 'kind' needs {missing}")
        if self.pattern == "spread" and self.between[0] == self.between[1]:
            raise fault(
                "a group is linked with itself; say how: 'pattern: ring' or 'pattern: mesh'", key="between"
            )
        return self


class Topology(Section):
    """Tiers, nodes and links."""

    tiers: tuple[Name, ...] = Field(
        default=TIERS, description="Levels of the hierarchy, nearest to the user first.", min_length=1
    )
    nodes: dict[Name, Node] = Field(description="Groups of equal nodes by name.", min_length=1)
    links: tuple[Link, ...] = Field(default=(), description="Connections between groups.")
