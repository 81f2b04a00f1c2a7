"""Names and what they stand for: the policies of each role, found by name, checked, built, listed.

A role (router, scheduler, admission ...) is a base class below `edgesim.policies`; defining one opens its
`Registry`. A policy is a class that `register` puts there: built in, from a plugin file of the user, or from
another package through the entry-point group `edgesim.policies`.
"""

from edgesim.registry.listing import (
    Parameter,
    Row,
    common_parameters,
    describe,
    json_schema,
    prose_of,
    roles,
    summary_of,
)
from edgesim.registry.names import UnknownNameError, suggestion
from edgesim.registry.places import BrokenPolicyError, Place, place_of, raised_at
from edgesim.registry.plugins import load_plugin
from edgesim.registry.register import Registry, register, registries, source_of
from edgesim.registry.specs import build, check, lookup

__all__ = [
    "BrokenPolicyError",
    "Parameter",
    "Place",
    "Registry",
    "Row",
    "UnknownNameError",
    "build",
    "check",
    "common_parameters",
    "describe",
    "json_schema",
    "load_plugin",
    "lookup",
    "place_of",
    "prose_of",
    "raised_at",
    "register",
    "registries",
    "roles",
    "source_of",
    "suggestion",
    "summary_of",
]
