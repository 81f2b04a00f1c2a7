"""The topology as a drawing to explore: groups of nodes by tier, links between them, how busy each was."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.report.page.markup import text
from edgesim.studies.explanation.subject import values_of
from edgesim.topology.links import LinkSpec, link_specs
from edgesim.topology.nodes import Group, node_groups, tiers
from edgesim.units import format_bandwidth, format_bytes, format_percent, format_seconds

if TYPE_CHECKING:
    from edgesim.scenario import Scenario
    from edgesim.studies.explanation.subject import Subject

BOX: Final = (190, 104)
"""Width and height of a group [px]."""
COLUMN: Final = 300
"""From one tier to the next [px]."""
ROW: Final = 170
"""From one group to the next in a tier [px]."""
HEAD: Final = 44
"""Room for the names of the tiers [px]."""
FOOT: Final = 90
"""Room below, for links that run past a tier [px]."""
TIMES: Final = "\N{MULTIPLICATION SIGN}"
THICK: Final = (1.5, 9.0)
"""Thinnest and thickest line of a link [px]."""


@dataclass(frozen=True)
class Load:
    """What a group of nodes did.

    Attributes:
        utilisation: Share of the time that its replicas computed; None if nothing says so.
        basis: What that share is about.
        lines: What else there is to tell.
    """

    utilisation: float | None
    basis: str
    lines: list[str]


def drawing(scenario: Scenario, subject: Subject) -> str:
    """Draw the topology as SVG; what can be focused carries its figures in `data-lines`."""
    order = tiers(scenario)
    groups = node_groups(scenario)
    columns = [[group for group in groups if group.tier == tier] for tier in order]
    columns = [column for column in columns if column]
    specs = list(link_specs(scenario))
    deepest = max(map(len, columns))
    level = {group.name: i for i, column in enumerate(columns) for group in column}
    past = any(spec.first == spec.second or abs(level[spec.first] - level[spec.second]) > 1 for spec in specs)
    width = COLUMN * (len(columns) - 1) + BOX[0] + 40
    height = HEAD + ROW * (deepest - 1) + BOX[1] + (FOOT if past else 20)
    middle = HEAD + (ROW * (deepest - 1) + BOX[1]) / 2
    places = {
        group.name: (20 + BOX[0] / 2 + COLUMN * i, middle + ROW * (j - (len(column) - 1) / 2))
        for i, column in enumerate(columns)
        for j, group in enumerate(column)
    }
    loads = _loads(scenario, subject)
    most = max((load["bytes"] for load in subject.summary["links"].values()), default=0.0)
    parts = [
        (
            f'<svg id="topology-drawing" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="group" '
            'aria-label="Topology: groups of nodes by tier, with the links between them">'
        )
    ]
    for i, spec in enumerate(specs):
        same = sum({other.first, other.second} == {spec.first, spec.second} for other in specs[:i])
        parts.append(_link(spec, places, same, subject.summary["links"], most))
    for column in columns:
        x = places[column[0].name][0]
        parts.append(f'<text class="tier" x="{x:g}" y="22">{text(column[0].tier)}</text>')
        parts += [_group(scenario, group, places[group.name], loads[group.name]) for group in column]
    return "".join([*parts, "</svg>"])


def _loads(scenario: Scenario, subject: Subject) -> dict[str, Load]:
    """Gather what each group did from the summary and the requests."""
    summary = subject.summary
    listed: dict[str, list[float]] = defaultdict(list)
    for name, entry in summary["by"]["replica"].items():
        if (use := entry.get("fleet", {}).get("utilisation")) is not None:
            listed[_base(name.split("/", 1)[0])].append(use)
    answered = subject.requests["replica"].astype(object).map(_replica_group, na_action="ignore")
    asked = subject.requests["origin"].astype(object).map(_base, na_action="ignore").value_counts()
    ttft = values_of("ttft", subject.requests)
    per_tier = defaultdict(list)
    for group in node_groups(scenario):
        if any(item.on == group.name for item in scenario.deployments):
            per_tier[group.tier].append(group.name)
    loads = {}
    for group in node_groups(scenario):
        here = (answered == group.name).to_numpy()
        known = ttft[here & ~np.isnan(ttft)]
        lines = []
        if group.name in asked.index:
            lines.append(f"{int(asked[group.name]):,} requests arose here")
        if here.any():
            lines.append(f"{int(here.sum()):,} requests were sent here")
        if len(known):
            lines.append(f"TTFT p95 {format_seconds(float(np.percentile(known, 95)))}")
        use, basis = _utilisation(scenario, group, listed[group.name], per_tier[group.tier], summary)
        loads[group.name] = Load(use, basis, lines)
    return loads


def _utilisation(
    scenario: Scenario, group: Group, listed: list[float], beside: list[str], summary: dict[str, Any]
) -> tuple[float | None, str]:
    """Answer how busy a group was: the summary lists the busiest replicas, and knows each tier as a whole."""
    served = sum(item.on == group.name for item in scenario.deployments)
    fleet = summary["by"]["tier"].get(group.tier, {}).get("fleet", {})
    if beside == [group.name] and fleet.get("utilisation") is not None:
        return fleet["utilisation"], "busy"
    if not listed or not served:
        return None, ""
    mean = sum(listed) / len(listed)
    return mean, "busy" if len(
        listed
    ) >= served * group.count else f"busy (the {len(listed)} busiest replicas)"


def _base(node: str) -> str:
    """The group of a node's name: "phone[17]" -> "phone"."""
    return node.split("[", 1)[0]


def _replica_group(replica: str) -> str:
    return _base(replica.split("/", 1)[0])


def _group(scenario: Scenario, group: Group, place: tuple[float, float], load: Load) -> str:
    """Draw a box with its name, hardware, LLMs and a bar as long as it was busy."""
    node = scenario.topology.nodes[group.name]
    served = [item for item in scenario.deployments if item.on == group.name]
    many = f" {TIMES} {group.count:,}" if group.count > 1 else ""
    hardware = "" if node.accelerator is None else f"{node.accelerators} {TIMES} {node.accelerator}"
    hardware = hardware.removeprefix(f"1 {TIMES} ")
    llms = ", ".join(f"{item.llm} {item.weights}" if item.weights else item.llm for item in served)
    use = load.utilisation
    busy = "" if use is None else f"{format_percent(use)} {load.basis}"
    lines = [f"{group.name}{many}, tier {group.tier}", *filter(None, (hardware, llms, busy)), *load.lines]
    x, y = place[0] - BOX[0] / 2, place[1] - BOX[1] / 2
    parts = [f'<g class="node" tabindex="0" role="img" {_told(lines)}>']
    if group.count > 1:
        parts.append(
            f'<rect class="behind" x="{x + 6:g}" y="{y - 6:g}" width="{BOX[0]}" height="{BOX[1]}" rx="10"/>'
        )
    parts.append(f'<rect class="box" x="{x:g}" y="{y:g}" width="{BOX[0]}" height="{BOX[1]}" rx="10"/>')
    rows = [("name", f"{_short(group.name, 20 - len(many))}{many}"), ("", hardware), ("", llms)]
    at = y + 24
    for kind, line in rows:
        if line:
            parts.append(f'<text class="{kind}" x="{place[0]:g}" y="{at:g}">{text(_short(line))}</text>')
            at += 18
    if use is not None:
        wide = BOX[0] - 32
        parts.append(
            f'<rect class="room" x="{x + 16:g}" y="{y + 68:g}" width="{wide}" height="8" rx="4"/>'
            f'<rect class="use" x="{x + 16:g}" y="{y + 68:g}" width="{wide * min(use, 1.0):.1f}" height="8" rx="4"/>'
            f'<text x="{place[0]:g}" y="{y + 93:g}">{text(_share(use))} busy</text>'
        )
    return "".join([*parts, "</g>"])


def _link(
    spec: LinkSpec, places: dict[str, tuple[float, float]], same: int, links: dict[str, Any], most: float
) -> str:
    """Draw a link, as thick as its traffic; parallel ones run a little lower."""
    (ax, ay), (bx, by) = sorted((places[spec.first], places[spec.second]))
    drop = 34 * same
    if spec.first == spec.second or bx - ax > 1.5 * COLUMN:
        low = max(y for _, y in places.values()) + BOX[1] / 2 + 56 + drop
        ends = (ax - 40, bx + 40) if spec.first == spec.second else (ax, bx)
        path = f"M{ends[0]:g},{ay:g} C{ends[0]:g},{low:g} {ends[1]:g},{low:g} {ends[1]:g},{by:g}"
        bottom = (ay + by) / 8 + 0.75 * low  # of a cubic curve half-way
        at = ((ends[0] + ends[1]) / 2, bottom + 18, bottom + 34)
    elif ax == bx:
        path, middle = f"M{ax + drop:g},{ay:g} L{bx + drop:g},{by:g}", (ay + by) / 2
        at = (ax + drop + 48, middle - 3, middle + 13)
    else:
        path, middle = f"M{ax:g},{ay + drop:g} L{bx:g},{by + drop:g}", (ay + by) / 2 + drop
        at = ((ax + bx) / 2, middle - 11, middle + 21)
    carried = {
        name: load
        for name, load in links.items()
        if _ends(name) == {spec.first, spec.second} and _nth(name) == same
    }
    total = sum(load["bytes"] for load in carried.values())
    busiest = max((load["utilisation"] for load in carried.values()), default=None)
    up, down = spec.bandwidth
    rate = format_bandwidth(up) if up == down else f"{format_bandwidth(up)} up, {format_bandwidth(down)} down"
    lines = [
        f"{spec.first} to {spec.second}{f', {spec.kind}' if spec.kind else ''}",
        f"{rate}, {format_seconds(spec.latency)} one way{', shared medium' if spec.shared else ''}",
        *(
            f"{name}: {format_percent(load['utilisation'])} busy, {format_bytes(load['bytes'])}"
            for name, load in list(carried.items())[:6]
        ),
    ]
    if not carried:
        lines.append("not among the busiest links that summary.json lists")
    thin, thick = THICK
    stroke = thin + (thick - thin) * np.sqrt(total / most) if most else thin
    dash = ' stroke-dasharray="8 5"' if spec.shared else ""
    label = "" if busiest is None else f"{_share(busiest)} busy"
    return (
        f'<g class="link" tabindex="0" role="img" {_told(lines)}>'
        f'<path class="reach" d="{path}"/><path class="line" d="{path}" stroke-width="{stroke:.1f}"{dash}/>'
        f'<text class="paper" x="{at[0]:g}" y="{at[1]:g}">{text(spec.kind or "link")}</text>'
        f'<text class="paper" x="{at[0]:g}" y="{at[2]:g}">{text(label)}</text></g>'
    )


def _ends(link: str) -> set[str]:
    """Groups that a link of the summary connects: "phone[17]->edge#2" -> phone and edge."""
    name = link.split("#", 1)[0]
    return {_base(part) for part in (name.split("<->") if "<->" in name else name.split("->"))}


def _nth(link: str) -> int:
    """Which of several parallel links it is, from 0."""
    return int(link.split("#")[1]) - 1 if "#" in link else 0


def _told(lines: list[str]) -> str:
    """Attributes that tell a screen reader and the script the same."""
    joined = "\n".join(lines)
    return f'aria-label="{text("; ".join(lines))}" data-lines="{text(joined)}"'


def _share(value: float) -> str:
    """A share for the drawing, where nobody needs the digits of a small one."""
    return "<0.1 %" if 0 < value < 1e-3 else format_percent(value)


def _short(line: str, longest: int = 28) -> str:
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
