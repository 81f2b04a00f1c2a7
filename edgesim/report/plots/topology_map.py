"""The topology as a map: groups of nodes coloured by how busy they are, links by how full, as wide as their traffic."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.errors import ResultsError
from edgesim.report import style
from edgesim.report.axis import measure
from edgesim.report.plots.base import caption, one_run, picture
from edgesim.results.series import series
from edgesim.topology.links import link_specs
from edgesim.topology.nodes import Group, node_groups, tiers
from edgesim.units import format_bandwidth, format_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from edgesim.results import Run, RunSet
    from edgesim.scenario import Scenario

BOX: Final = (2.3, 0.95)
"""Width and height of a group's box, in units of the map."""
COLUMN, ROW = 4.2, 2.1
"""From one tier to the next, and from one group to the next."""
WIDEST: Final = 9.0
"""Of the arrow with the most traffic [points]."""
_NAME: Final = re.compile(r"(.+?)(?:\[\d+\])?(<->|->)(.+?)(?:\[\d+\])?(?:#(\d+))?")


@dataclass
class Way:
    """One direction of a link of the scenario: how full its fullest member is, and the traffic of all."""

    fullest: float = 0.0
    bytes_per_s: float = 0.0
    members: int = 0


@dataclass
class Use:
    """How a run used its topology.

    Attributes:
        groups: Group -> busy share of its replicas' time, averaged.
        ways: First group, second group, parallel number, "->" or "<->" -> its use.
        partial: Whether only the busiest were told.
    """

    groups: dict[str, float] = field(default_factory=dict)
    ways: dict[tuple[str, str, int, str], Way] = field(default_factory=lambda: defaultdict(Way))
    partial: bool = False


def usage(run: Run) -> Use:
    """Read how busy groups and links were: from `resources` if they were recorded, else from the summary."""
    found = Use()
    duration = run.summary["engine"]["simulated_s"] or 1.0
    try:
        resources = run.resources
    except ResultsError:
        listed = run.summary["listed"]
        found.partial = listed["links"] < listed["of_links"]
        busy = {
            name: group["fleet"]["utilisation"] or 0.0 for name, group in run.summary["by"]["replica"].items()
        }
        links = {name: (link["utilisation"], link["bytes"]) for name, link in run.summary["links"].items()}
    else:
        replica, full = (series(resources, "utilisation", kind) for kind in ("replica", "link"))
        carried = series(resources, "bytes", "link").sum()
        busy = _over_time(replica)
        links = {name: (share, float(carried[name])) for name, share in _over_time(full).items()}
    members: dict[str, list[float]] = defaultdict(list)
    for name, share in busy.items():
        members[re.sub(r"\[\d+\]$", "", name.partition("/")[0])].append(share)
    found.groups = {group: float(np.mean(shares)) for group, shares in members.items()}
    for name, (share, carried_bytes) in links.items():
        if match := _NAME.fullmatch(name):
            first, arrow, second, number = match.groups()
            way = found.ways[first, second, int(number or 1), arrow]
            way.fullest = max(way.fullest, share)
            way.bytes_per_s += carried_bytes / duration
            way.members += 1
    return found


def _over_time(wide: Any) -> dict[str, float]:
    """Mean of each column over time."""
    spans = np.diff(wide.index, prepend=0.0)
    return {name: float((wide[name] * spans).sum() / spans.sum()) for name in wide}


@picture(
    "topology",
    "map of the topology: colour shows how busy, width how much traffic",
    tables=(),
    size=(8.4, 4.2),
)
def topology(result: Run | RunSet, ax: Axes) -> str:
    """Draw groups of nodes from the devices to the cloud, and what their links carried each way."""
    from matplotlib.cm import ScalarMappable  # noqa: PLC0415
    from matplotlib.colors import Normalize  # noqa: PLC0415

    scenario, use = result.scenario, usage(one_run(result))
    colours = ScalarMappable(Normalize(0.0, 1.0), style.HEAT)
    places = _places(scenario)
    most = max((way.bytes_per_s for way in use.ways.values()), default=0.0)
    drawn: set[tuple[str, str]] = set()
    for spec in link_specs(scenario):
        ends = (spec.first, spec.second)
        number = 1 + sum(set(ends) == set(before) for before in drawn)
        drawn.add(ends)
        _draw_ways(ax, ends, number, use, places, colours, most)
    letters = 9.5 if len({x for x, _ in places.values()}) < 4 else 8.5
    for group in node_groups(scenario):
        _draw_group(ax, group, places[group.name], use.groups.get(group.name), colours, letters)
    xs = [x for x, _ in places.values()]
    ys = [y for _, y in places.values()] + [text.get_position()[1] for text in ax.texts]
    for tier in tiers(scenario):
        if there := [places[group.name] for group in node_groups(scenario) if group.tier == tier]:
            ax.text(there[0][0], max(ys) + 0.75, tier, ha="center", size=11, weight="bold")
    width, middle = max(xs) - min(xs) + 2.8, (max(ys) + 0.25 + min(ys)) / 2
    tall = max(max(ys) - min(ys) + 1.9, 0.3 * width)
    ax.set(xlim=(min(xs) - 1.4, max(xs) + 1.4), ylim=(middle - tall / 2, middle + tall / 2))
    ax.axis("off")
    assert ax.figure is not None
    bar = ax.figure.colorbar(
        colours, ax=ax, location="bottom", pad=0.02, shrink=0.6, aspect=40, fraction=0.05
    )
    measure(bar.ax.xaxis, "busy share of the time (boxes: mean; arrows: the fullest)", "share")
    beside = "only the busiest links were told; record `resources` for all" if use.partial else ""
    style.title(ax, "Who is busy, and what flows", caption(result, beside))
    return _told(use)


def _told(use: Use) -> str:
    """How busy groups were, and which links were fullest, in words."""
    busy = ", ".join(f"{group} {format_percent(share)}" for group, share in use.groups.items())
    fullest = sorted(use.ways.items(), key=lambda item: -item[1].fullest)[:3]
    full = ", ".join(f"{a}{arrow}{b} {_share(way.fullest)}" for (a, b, _, arrow), way in fullest)
    return f"Busy share of the time: {busy}. Fullest links: {full or 'none carried anything'}."


def _share(share: float) -> str:
    return format_percent(share) if share >= 0.001 or not share else "< 0.1 %"


def _places(scenario: Scenario) -> dict[str, tuple[float, float]]:
    """Where the groups stand: a column a tier."""
    order = [tier for tier in tiers(scenario) if any(g.tier == tier for g in node_groups(scenario))]
    places = {}
    for column, tier in enumerate(order):
        there = [group for group in node_groups(scenario) if group.tier == tier]
        for row, group in enumerate(there):
            places[group.name] = (COLUMN * column, ROW * ((len(there) - 1) / 2 - row))
    return places


def _draw_group(
    ax: Axes, group: Group, place: tuple[float, float], busy: float | None, colours: Any, letters: float
) -> None:
    """Draw a box, with a second one behind it where the group has several nodes."""
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

    x, y = place[0] - BOX[0] / 2, place[1] - BOX[1] / 2
    fill = "white" if busy is None else colours.to_rgba(busy)
    for shift in (0.09, 0.0) if group.count > 1 else (0.0,):
        ax.add_patch(
            FancyBboxPatch(
                (x + shift, y + shift), *BOX, boxstyle="round,pad=0,rounding_size=0.12",
                facecolor=fill, edgecolor=style.INK, linewidth=1.2, zorder=4 - shift,
            )
        )  # fmt: skip
    ink = "white" if busy is not None and busy > 0.55 else style.INK
    name = group.name if group.count == 1 else f"{group.name} \N{MULTIPLICATION SIGN} {group.count:,}"
    share = "serves nothing" if busy is None else f"{format_percent(busy)} busy"
    ax.text(
        *place,
        f"{style.shortened(name, 22)}\n{share}",
        ha="center",
        va="center",
        size=letters,
        color=ink,
        zorder=5,
        linespacing=1.4,
    )


def _draw_ways(
    ax: Axes,
    ends: tuple[str, str],
    number: int,
    use: Use,
    places: dict[str, tuple[float, float]],
    colours: Any,
    most: float,
) -> None:
    """Draw both directions of a link, or the one medium of a half-duplex one."""
    first, second = ends
    both = use.ways.get((first, second, number, "<->"))
    ways = [(first, second, both)] if both else [
        (a, b, use.ways.get((a, b, number, "->"))) for a, b in ((first, second), (second, first))
    ]  # fmt: skip
    for side, (a, b, way) in enumerate(ways):
        if first == second and side:
            break
        _arrow(
            ax,
            places[a],
            places[b],
            way,
            colours,
            most,
            two_way=both is not None,
            alone=len(ways) == 1,
            shift=number - 1,
        )


Place = tuple[float, float]


def _route(start: Place, end: Place, *, alone: bool, shift: int) -> tuple[Place, Place, Place, Place]:
    """Where an arrow begins, what it aims at (as a quadratic curve), where it ends, and where its label stands."""
    (x, y), (to_x, to_y) = start, end
    half = BOX[1] / 2
    if start == end:  # a loop under the box
        return (x - 0.6, y - half), (x, y - half - 0.9), (x + 0.6, y - half), (x, y - half - 0.75)
    if x == to_x:
        way = 1.0 if to_y > y else -1.0
        aside, middle = (0.0 if alone else 0.25 * way), (y + to_y) / 2
        control, label = (x + 2 * aside, middle), (x + aside + (0.0 if alone else 0.6 * way), middle)
        return (x + aside, y + half * way), control, (x + aside, to_y - half * way), label
    way = 1.0 if to_x > x else -1.0
    side = 1.0 if alone else way  # there above, back below
    if abs(to_x - x) > 1.5 * COLUMN:  # past the tier between
        first, last, peak = (x, y + half * side), (to_x, to_y + half * side), 0.95
    else:
        lift = 0.0 if alone and not shift else 0.17 * side
        first, last = (x + way * BOX[0] / 2, y + lift), (to_x - way * BOX[0] / 2, to_y + lift)
        peak = 0.85 * shift
    across, up = (first[0] + last[0]) / 2, (first[1] + last[1]) / 2
    return first, (across, up + 2 * side * peak), last, (across, up + side * (peak + 0.4))


def _arrow(
    ax: Axes, start: Place, end: Place, way: Way | None, colours: Any, most: float,
    *, two_way: bool, alone: bool, shift: int,
) -> None:  # fmt: skip
    """Draw one direction: dashed and thin if nothing is known of it."""
    from matplotlib.patches import FancyArrowPatch  # noqa: PLC0415
    from matplotlib.path import Path  # noqa: PLC0415
    from matplotlib.patheffects import withStroke  # noqa: PLC0415

    first, control, last, label = _route(start, end, alone=alone, shift=shift)
    look: dict[str, Any] = {"linewidth": 0.8, "color": style.FAINT, "linestyle": "--"}
    text = "not told"
    if way is not None:
        width = 0.8 + (WIDEST - 0.8) * float(np.sqrt(way.bytes_per_s / most if most else 0.0))
        outline = withStroke(linewidth=width + 1.4, foreground=style.INK)
        look = {"linewidth": width, "color": colours.to_rgba(way.fullest), "path_effects": [outline]}
        text = f"{format_bandwidth(way.bytes_per_s)}\n{_share(way.fullest)} full"
    ax.add_patch(
        FancyArrowPatch(
            path=Path([first, control, last], [Path.MOVETO, Path.CURVE3, Path.CURVE3]),
            arrowstyle="<|-|>" if two_way else "-|>", mutation_scale=13, zorder=2,
            joinstyle="miter", capstyle="butt", **look,
        )
    )  # fmt: skip
    ax.text(*label, text, ha="center", va="center", size=8.5, zorder=3, linespacing=1.15, bbox=style.PAPER)
