"""Writes the commented template: a small scenario, and around it every other key with its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.scenario.outline import plain_schema
from edgesim.scenario.text import dump, read

if TYPE_CHECKING:
    from collections.abc import Iterator

_START: Final = """\
scenario: {name: my-scenario, seed: 1, duration: 10 min, warmup: 1 min}
topology:
  nodes:
    phone: {tier: device, count: 200, accelerator: snapdragon-8-gen3}
    edge: {tier: edge, accelerator: nvidia-l4}
  links:
    - {between: [phone, edge], kind: wifi-6, latency: 3 ms, bandwidth: {up: 300 Mbps, down: 600 Mbps}}
deployments:
  - {llm: llama-3.2-1b, on: phone, weights: int4}
  - {llm: llama-3.1-8b, on: edge, weights: int8}
workloads:
  chat:
    from: phone
    arrivals: {kind: poisson, rate: 1/s}
    prompt_tokens: {kind: lognormal, median: 300, p95: 2000}
    output_tokens: 150
policies:
  router: {kind: threshold-offload, max_queue: 4}
slo:
  ttft: {p95: 1 s}
"""

_HEAD: Final = """\
# What this scenario shows, in a line.
#
#   200 phones --WiFi--> edge box (L4)
#
# Every key a scenario may have stands here. Remove a '# ' to use a key, which shows its default or an
# example; '##' only explains. Quantities need units: 10 ms, 5 min, 16 GiB, 100 Mbps, 6/s, 65 W, 90 %.
# `edgesim validate FILE` checks it; `edgesim catalog` and `edgesim policies list` show the names to use.
"""

_WIDTH: Final = 110


def commented() -> str:
    """Write a complete scenario in which every key is explained."""
    schema = plain_schema()
    data = read(_START, "template", Path()).plain()
    head = [
        _HEAD,
        "# extends: quickstart  # Scenario that this one builds on: a path, or a shipped one's name.",
    ]
    return "\n".join([*head, *_Writer(schema["$defs"]).mapping(schema, data, depth=0)]) + "\n"


class _Writer:
    """Walks the JSON schema beside the data."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._explained: set[str] = set()

    def mapping(
        self, schema: dict[str, Any], data: dict[str, Any], depth: int, *, off: bool = False
    ) -> Iterator[str]:
        """Write the keys of a section: those that the data holds, the others commented out."""
        for key, field in schema["properties"].items():
            if depth == 0:
                yield ""
            yield from self._field(key, field, data.get(key), depth, off=off or key not in data)

    def _field(self, key: str, field: dict[str, Any], value: Any, depth: int, *, off: bool) -> Iterator[str]:
        shape = self._shape(field)
        comment = field.get("description", shape.get("description", ""))
        if "properties" in shape:
            if self._seen(shape) and value is None:
                example = _example({}, field)
                value = "{}" if example == "..." else _flow(example)
                yield _line(
                    f"{key}: {value}",
                    comment if value != "{}" else f"{comment} Keys as above.",
                    depth,
                    off=True,
                )
                return
            yield _line(f"{key}:", comment, depth, off=off)
            yield from self.mapping(shape, value or {}, depth + 1, off=off)
        elif isinstance(value, dict) and "properties" in (
            inner := self._shape(shape.get("additionalProperties", {}))
        ):
            yield _line(f"{key}:", comment, depth, off=off)
            for name, item in value.items():
                yield from self._item(f"{name}:", inner, item, depth + 1)
        elif isinstance(value, list) and "properties" in (inner := self._shape(shape.get("items", {}))):
            yield _line(f"{key}:", comment, depth, off=off)
            for item in value:
                yield from self._item("-", inner, item, depth + 1)
        else:
            shown = _example(field, shape) if value is None else value
            yield _line(f"{key}: {_flow(shown)}", comment, depth, off=off)
            yield from self._alternatives(shape, depth)

    def _item(self, start: str, schema: dict[str, Any], item: dict[str, Any], depth: int) -> Iterator[str]:
        """Write the first of several equal things with all its keys, the others in one line."""
        if self._seen(schema):
            yield _line(f"{start} {_flow(item)}", "", depth, off=False)
            return
        if start != "-":
            yield _line(start, "", depth, off=False)
            yield from self.mapping(schema, item, depth + 1)
            return
        first, *rest = schema[
            "properties"
        ]  # the dash stands before the first key, which is always a required one
        yield _line(
            f"- {first}: {_flow(item[first])}",
            schema["properties"][first].get("description", ""),
            depth,
            off=False,
        )
        rest_of = {"properties": {key: schema["properties"][key] for key in rest}}
        yield from self.mapping(rest_of, item, depth + 1)

    def _seen(self, schema: dict[str, Any]) -> bool:
        title = schema.get("title", "")
        known = title in self._explained
        self._explained.add(title)
        return known

    def _shape(self, field: dict[str, Any] | bool) -> dict[str, Any]:
        """Follow references, and look through "or nothing"; a schema may also be just true or false."""
        if isinstance(field, bool):
            return {}
        options = [option for option in field.get("anyOf", ()) if option.get("type") != "null"]
        structured = [option for option in options if option.keys() & {"$ref", "oneOf", "anyOf"}]
        if len(structured) == 1 or len(options) == 1:  # the rest are short forms
            return self._shape((structured or options)[0])
        if "$ref" in field:
            found: dict[str, Any] = self._definitions[field["$ref"].rpartition("/")[2]]
            return found
        return field

    def _alternatives(self, shape: dict[str, Any], depth: int) -> Iterator[str]:
        """List the other kinds that a value may have, once."""
        members = [self._shape(option) for option in shape.get("oneOf", ())]
        names = ", ".join(sorted(member["title"] for member in members))
        if not members or names in self._explained:
            return
        self._explained.add(names)
        for member in members:
            kind = member["properties"]["kind"]
            word = kind.get("const") or " | ".join(kind.get("enum", ()))
            required = member.get("required", ())
            keys = [f"{key}: ..." for key in member["properties"] if key != "kind" and key in required]
            optional = [key for key in member["properties"] if key != "kind" and key not in required]
            tail = f" (also: {', '.join(optional)})" if optional else ""
            mapping = "{" + ", ".join([f"kind: {word}", *keys]) + "}"
            yield f"{'  ' * depth}##   or {mapping}{tail}: {_lowered(kind['description'])}"


def _example(field: dict[str, Any], shape: dict[str, Any]) -> Any:
    """Answer a default, or an example where the default is nothing."""
    default = field.get("default")
    if isinstance(default, dict):
        default = {key: value for key, value in default.items() if value is not None}
    for candidate in (default, *field.get("examples", ())):
        if candidate not in (None, "", [], {}):
            return candidate
    for source in (shape, *(option for option in shape.get("oneOf", ())), *shape.get("anyOf", ())):
        if source.get("examples"):
            return source["examples"][0]
        if source.get("enum"):
            return source["enum"][0]
        if source.get("type") == "integer":
            return source.get("minimum", 0)
    return default if default is not None else "..."


def _lowered(text: str) -> str:
    return text[:1].lower() + (text[1:] if text.endswith("...") else text[1:].removesuffix("."))


def _flow(value: Any) -> str:
    """Write a value in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return dump(value).removesuffix("...\n").strip()


def _line(text: str, comment: str, depth: int, *, off: bool) -> str:
    """Write a line with its comment, or above it where it would become too long."""
    start = "  " * depth + ("# " if off else "")
    if not comment:
        return start + text
    line = f"{start}{text}  # {comment}"
    return line if len(line) <= _WIDTH else f"{'  ' * depth}## {comment}\n{start}{text}"
