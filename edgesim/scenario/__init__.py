"""Scenarios: the YAML file as a frozen, validated object."""

from __future__ import annotations

from typing import Any

from edgesim.scenario.load import load
from edgesim.scenario.schema import Scenario


def json_schema() -> dict[str, Any]:
    """Describe scenario files to editors, as JSON schema."""
    from edgesim.scenario.outline import json_schema as describe  # noqa: PLC0415 - only `edgesim schema` asks

    return describe()


__all__ = ["Scenario", "json_schema", "load"]
