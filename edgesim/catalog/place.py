"""What surrounds accelerators: kinds of links, electricity grids, workload templates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgesim.catalog.figures import Figure


@dataclass(frozen=True)
class LinkKind:
    """A kind of network link; "up" runs from the first end a scenario names to the second.

    Args:
        name: Key in the catalogue.
        title: Full name for people.
        latency: One-way propagation and processing delay [s].
        bandwidth_up: [B/s].
        bandwidth_down: [B/s].
        shared: Whether all partners of one node contend on one medium.
        half_duplex: Whether both directions contend, too.
        overhead: Framing that each message pays [B].
        energy_up: Marginal energy of sending up [J/B].
        energy_down: Marginal energy of sending down [J/B].
        attributional: Average energy of the networks' whole consumption [J/B].
        figures: Source and confidence by field name.
    """

    name: str
    title: str
    latency: float
    bandwidth_up: float
    bandwidth_down: float
    shared: bool
    half_duplex: bool
    overhead: int
    energy_up: float
    energy_down: float
    attributional: float
    figures: Mapping[str, Figure] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Grid:
    """An electricity grid: `carbon` in gCO2 per kWh."""

    name: str
    title: str
    carbon: float
    figures: Mapping[str, Figure] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Template:
    """A workload template: `workload` holds keys as a scenario's workload section has them."""

    name: str
    title: str
    workload: Mapping[str, Any]
    figures: Mapping[str, Figure] = field(default_factory=dict, compare=False, repr=False)
