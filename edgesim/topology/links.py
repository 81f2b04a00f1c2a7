"""Links as the scenario means them: what it says, and for the rest what their kind says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgesim.catalog import LinkKind
    from edgesim.scenario import Scenario


class LinkSpec(NamedTuple):
    """One entry under `links:` with everything filled in; "up" runs from `first` to `second`."""

    first: str
    second: str
    kind: str
    """Name of the kind; empty if the scenario names none."""
    latency: float
    """One way [s]."""
    bandwidth: tuple[float, float]
    """Up and down [B/s]."""
    energy: tuple[float, float]
    """Up and down [J/B]."""
    overhead: int
    """Added to each message [B]."""
    egress: float
    """Price of what leaves the second group, that is of the way down [USD/B]."""
    shared: bool
    half_duplex: bool
    pattern: str
    sharing: str
    """How its flows share a medium: "fair", "fifo" or "priority"."""


def link_specs(scenario: Scenario) -> Iterator[LinkSpec]:
    """Answer the links of a scenario with the figures of their kinds filled in."""
    from edgesim import catalog  # noqa: PLC0415 - a topology without kinds needs none

    for i, link in enumerate(scenario.topology.links):
        kind = catalog.link(link.kind) if link.kind else None
        if kind is None and (link.latency is None or link.bandwidth is None):
            text = "a link needs a kind, or latency and bandwidth"
            raise ScenarioError([Problem(("topology", "links", i), text)])
        first, second = link.between
        bandwidth = (kind.bandwidth_up, kind.bandwidth_down) if kind else (0.0, 0.0)
        yield LinkSpec(
            first,
            second,
            link.kind or "",
            _given(link.latency, kind.latency if kind else 0.0),
            _both_ways(link.bandwidth, bandwidth),
            _energy(link.energy, kind, scenario.energy.network),
            _given(link.overhead, kind.overhead if kind else 0),
            link.egress,
            _given(link.shared, kind.shared if kind else False),
            _given(link.half_duplex, kind.half_duplex if kind else False),
            link.pattern,
            link.sharing,
        )


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _both_ways(value: Any, otherwise: tuple[float, float]) -> tuple[float, float]:
    """Read one figure for both directions, or one of each."""
    if value is None:
        return otherwise
    if isinstance(value, int | float):
        return float(value), float(value)
    return _given(value.up, otherwise[0]), _given(value.down, otherwise[1])


def _energy(value: Any, kind: LinkKind | None, mode: str) -> tuple[float, float]:
    """Energy up and down [J/B] in the scenario's way of counting it."""
    if mode == "off":
        return 0.0, 0.0
    if kind is None:
        return _both_ways(value, (0.0, 0.0))
    if mode == "attributional":
        return _both_ways(value, (kind.attributional, kind.attributional))
    return _both_ways(value, (kind.energy_up, kind.energy_down))
