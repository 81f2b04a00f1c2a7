"""Describes scenario files to editors: the JSON schema, with defaults as they are written in YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from edgesim import registry
from edgesim.scenario.schema import ROLES, Scenario
from edgesim.scenario.sweep import SECTION, SweepSection

if TYPE_CHECKING:
    from pydantic_core.core_schema import WithDefaultSchema


class _Written(GenerateJsonSchema):
    """Writes the defaults of quantities with their units."""

    def get_default_value(self, schema: WithDefaultSchema) -> Any:
        """Answer a default as YAML has it."""
        default = super().get_default_value(schema)
        inner: Any = schema["schema"]
        write = inner.get("serialization", {}).get("function")
        return default if write is None or default is None else write(default)


def plain_schema() -> dict[str, Any]:
    """Describe the sections and keys of a scenario, policies left open."""
    schema = Scenario.model_json_schema(by_alias=True, schema_generator=_Written)
    sweep = SweepSection.model_json_schema(by_alias=True, schema_generator=_Written)
    schema["$defs"] |= sweep.pop("$defs", {})
    schema["$defs"]["Sweep"] = sweep | {"title": "Sweep"}
    schema["properties"][SECTION] = {"$ref": "#/$defs/Sweep", "description": sweep.pop("description")}
    return schema


def json_schema() -> dict[str, Any]:
    """Describe scenario files: their keys, and every policy that is known."""
    schema = _readable(plain_schema())
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "Scenario that this one builds on: a path relative to this file, or a shipped one.",
    }
    schema.pop("required", None)  # what is missing may come from the scenario that this one extends
    policies = schema["$defs"]["Policies"]["properties"]
    for role in ROLES:
        policies[role] = {"description": policies[role].get("description", ""), **registry.json_schema(role)}
    return schema


def _readable(schema: dict[str, Any]) -> dict[str, Any]:
    """Rename generic definitions after their titles; pydantic spells their parameters out."""
    titles = {name: part.get("title", name) for name, part in schema["$defs"].items()}

    def renamed(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: renamed(value) for key, value in part.items()}
        if isinstance(part, list):
            return [renamed(item) for item in part]
        if isinstance(part, str) and part.startswith("#/$defs/"):
            name = part.removeprefix("#/$defs/")
            return f"#/$defs/{titles.get(name, name)}"
        return part

    result: dict[str, Any] = renamed(schema)
    result["$defs"] = {titles[name]: part for name, part in result["$defs"].items()}
    return result
