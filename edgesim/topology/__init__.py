"""The topology of a scenario: nodes in tiers, the links between them, and the paths that messages take."""

from edgesim.topology.build import build
from edgesim.topology.graph import Topology
from edgesim.topology.links import LinkSpec, link_specs
from edgesim.topology.nodes import Group, node_groups, tiers
from edgesim.topology.paths import Path, PathTable

__all__ = [
    "Group",
    "LinkSpec",
    "Path",
    "PathTable",
    "Topology",
    "build",
    "link_specs",
    "node_groups",
    "tiers",
]
