"""Nodes and their numbers: the groups of a scenario, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesim.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that one entry of the scenario stands for; their numbers are consecutive."""

    name: str
    first: int
    count: int
    tier: str
    level: int
    """Position of the tier, from the devices upward."""

    def node(self, i: int) -> str:
        """Name of the i-th node of the group."""
        return self.name if self.count == 1 else f"{self.name}[{i}]"


def tiers(scenario: Scenario) -> tuple[str, ...]:
    """Names of the tiers of a scenario, from the devices upward."""
    return tuple(scenario.topology.tiers)


def node_groups(scenario: Scenario) -> tuple[Group, ...]:
    """List the groups of nodes of a scenario with their node numbers."""
    order = tiers(scenario)
    groups: list[Group] = []
    first = 0
    for name, node in scenario.topology.nodes.items():
        groups.append(Group(name, first, node.count, node.tier, order.index(node.tier)))
        first += node.count
    return tuple(groups)
