"""A scenario as a notebook shows it: its nodes, links, workloads, policies and objectives as tables."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from edgesim.units import format_bandwidth, format_bytes, format_seconds

if TYPE_CHECKING:
    from edgesim.scenario.schema import Scenario

Json = Mapping[str, Any]

TIMES: Final = "\N{MULTIPLICATION SIGN}"
_WRITERS: Final[dict[str, Callable[[float], str]]] = {
    "s": format_seconds,
    "B": format_bytes,
    "B/s": format_bandwidth,
}
"""Units of the resolved text that read better scaled."""
_LEFT: Final = "text-align: left; vertical-align: top"


def card(scenario: Scenario) -> str:
    """Describe a scenario in HTML: what it says itself, without what the catalogue and defaults add."""
    said = scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    settings = said["scenario"]
    more = ", ".join(f"{key} {_text(value)}" for key, value in settings.items() if key != "name")
    title = f"<b>{html.escape(scenario.name)}</b>" + (f": {html.escape(more)}" if more else "")
    parts = [
        _table(("tier", "nodes", "accelerator", "serves", "asks", ""), _nodes(said, scenario.topology.tiers)),
        _table(("link", "kind", "latency", "bandwidth", ""), _links(said["topology"].get("links", ()))),
        _table(("workload", "from", "arrivals", "prompt tokens", "output tokens", ""), _workloads(said)),
        _table(("policy", "", ""), _policies(scenario)),
        _table(("objective", ""), [(key, _text(value)) for key, value in said.get("slo", {}).items()]),
    ]
    return f"<div>{title}{''.join(parts)}</div>"


def _nodes(said: Json, tiers: Sequence[str]) -> list[Sequence[str]]:
    """A row a group of nodes, from the devices upward."""
    groups = sorted(said["topology"]["nodes"].items(), key=lambda item: tiers.index(item[1]["tier"]))
    return [
        (
            node["tier"],
            name + (f" {TIMES} {node['count']:,}" if "count" in node else ""),
            _many(node.get("accelerators", 1), node.get("accelerator", "")),
            "; ".join(_deployment(one) for one in said["deployments"] if one["on"] == name),
            ", ".join(load for load, one in said["workloads"].items() if one["from"] == name),
            _rest(node, ("tier", "count", "accelerator", "accelerators")),
        )
        for name, node in groups
    ]


def _many(count: int, text: str) -> str:
    return f"{count} {TIMES} {text}" if count > 1 else text


def _deployment(one: Json) -> str:
    """An LLM with what its deployment says about it."""
    names = ("llm", "variant", "adapter", "weights")
    about = [
        " ".join(one[key] for key in names if key in one),
        _rest(one, (*names, "on", "name", "replicas")),
    ]
    return _many(one.get("replicas", 1), ", ".join(filter(None, about)))


def _links(links: Sequence[Json]) -> list[Sequence[str]]:
    """A row a link."""
    known = ("between", "kind", "latency", "bandwidth")
    return [
        (
            " \N{EN DASH} ".join(link["between"]),
            link.get("kind", ""),
            *(_text(link.get(key, "of its kind" if "kind" in link else "")) for key in known[2:]),
            _rest(link, known),
        )
        for link in links
    ]


def _workloads(said: Json) -> list[Sequence[str]]:
    """A row a workload."""
    known = ("from", "arrivals", "prompt_tokens", "output_tokens")
    return [
        (name, *(_text(load.get(key, "")) for key in known), _rest(load, known))
        for name, load in said["workloads"].items()
    ]


def _policies(scenario: Scenario) -> list[Sequence[str]]:
    """A row a role, defaults included: who decides matters even where nobody said it."""
    found = scenario.policies.model_dump(mode="json")
    return [
        (role, rule["kind"], _rest(rule, ("kind",)))
        for role, rule in found.items()
        if isinstance(rule, dict) and "kind" in rule
    ]


def _rest(part: Json, known: Sequence[str]) -> str:
    return _text({key: value for key, value in part.items() if key not in known})


def _text(value: Any) -> str:
    """Write a value for people: the kind of a law first, then its parameters."""
    if isinstance(value, dict):
        if set(value) == {"up", "down"} and value["up"] == value["down"]:
            return _text(value["up"])
        if set(value) == {"value"}:  # the law that always gives the same
            return _text(value["value"])
        parts = [f"{key.replace('_', ' ')} {_text(one)}" for key, one in value.items() if key != "kind"]
        return ", ".join([*([value["kind"]] if "kind" in value else []), *parts])
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | int):
        return f"{value:,g}"
    if found := re.fullmatch(r"([\d.e+-]+) (s|B|B/s)", str(value)):
        return _WRITERS[found[2]](float(found[1]))
    return str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table; without rows there is none."""
    if not rows:
        return ""
    top = "".join(f'<th style="{_LEFT}">{html.escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_LEFT}">{html.escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
