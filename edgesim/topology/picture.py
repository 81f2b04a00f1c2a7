"""A topology for people: a picture of its tiers, and tables of its nodes and links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from edgesim.topology.links import LinkSpec, link_specs
from edgesim.topology.nodes import Group, node_groups, tiers
from edgesim.units import format_bandwidth, format_seconds

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes

    from edgesim.scenario import Scenario

COLOURS: Final = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")
"""Of the tiers, upward: colours of Okabe and Ito (2008), which colour-blind people can tell apart."""

INK: Final = "#222222"
BOX: Final = (2.6, 1.15)
"""Width and height of a group's box [inches]."""
COLUMN: Final = 4.6
"""From one tier to the next [inches]."""
ROW: Final = 1.9
"""From one group to the next within a tier [inches]."""
FOOT: Final = 1.0
"""Room below the lowest boxes, for what runs underneath them [inches]."""


class NodeRow(NamedTuple):
    """One group of nodes, as `edgesim show` prints it."""

    tier: str
    nodes: str
    accelerators: str
    serves: str
    asks: str


class LinkRow(NamedTuple):
    """One link of the scenario, as `edgesim show` prints it."""

    between: str
    kind: str
    latency: str
    bandwidth: str
    medium: str
    sharing: str


class Table(NamedTuple):
    """Everything in a topology in words."""

    nodes: list[NodeRow]
    links: list[LinkRow]


def table(scenario: Scenario) -> Table:
    """Describe the nodes, tier by tier, and the links of a scenario."""
    groups = sorted(node_groups(scenario), key=lambda group: group.level)
    nodes = [
        NodeRow(
            group.tier,
            _title(group),
            _accelerators(scenario, group),
            _llms(scenario, group),
            _asks(scenario, group),
        )
        for group in groups
    ]
    links = [
        LinkRow(
            f"{spec.first} - {spec.second}" + (f" ({spec.pattern})" if spec.pattern != "spread" else ""),
            spec.kind or "-",
            format_seconds(spec.latency),
            _bandwidth(spec),
            _medium(spec),
            spec.sharing,
        )
        for spec in link_specs(scenario)
    ]
    return Table(nodes, links)


def draw(scenario: Scenario, path: str | PathLike[str]) -> None:
    """Draw the tiers from left to right and write the picture; the name's ending chooses the format."""
    import matplotlib as mpl  # noqa: PLC0415 - over a second that only pictures pay
    from matplotlib.figure import Figure  # noqa: PLC0415

    order = tiers(scenario)
    groups = node_groups(scenario)
    columns = [[group for group in groups if group.tier == tier] for tier in order]
    columns = [column for column in columns if column]
    specs = list(link_specs(scenario))
    width = COLUMN * (len(columns) - 1) + BOX[0] + 0.5
    height = ROW * (max(map(len, columns)) - 1) + BOX[1] + 0.9 + FOOT
    places = _places(columns, (height - 0.9 + FOOT) / 2)
    with mpl.rc_context({"font.family": "sans-serif", "svg.hashsalt": "edgesim", "svg.fonttype": "path"}):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(0.0, width), ylim=(0.0, height))
        axes.axis("off")
        for i, spec in enumerate(specs):
            parallel = sum({other.first, other.second} == {spec.first, spec.second} for other in specs[:i])
            _draw_link(axes, spec, places, parallel)
        for column in columns:
            x = places[column[0].name][0]
            axes.text(
                x, height - 0.4, column[0].tier, ha="center", va="center", size=13, weight="bold", color=INK
            )
            for group in column:
                _draw_group(axes, scenario, group, places[group.name])
        figure.savefig(path, dpi=200, metadata={"Date": None} if str(path).endswith(".svg") else None)


def _places(columns: list[list[Group]], middle: float) -> dict[str, tuple[float, float]]:
    """Centre the groups of each tier around a height [inches]."""
    return {
        group.name: (0.25 + BOX[0] / 2 + COLUMN * i, middle + ROW * ((len(column) - 1) / 2 - j))
        for i, column in enumerate(columns)
        for j, group in enumerate(column)
    }


def _draw_group(axes: Axes, scenario: Scenario, group: Group, place: tuple[float, float]) -> None:
    """Draw a box, with a second one behind it where the group has several nodes."""
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

    colour = COLOURS[group.level % len(COLOURS)]
    x, y = place[0] - BOX[0] / 2, place[1] - BOX[1] / 2
    for shift in (0.08, 0.0) if group.count > 1 else (0.0,):
        axes.add_patch(
            FancyBboxPatch(
                (x + shift, y + shift), *BOX, boxstyle="round,pad=0,rounding_size=0.12",
                facecolor="white", edgecolor=colour, linewidth=2.2, zorder=3 - shift,
            )
        )  # fmt: skip
    lines = [text for text in (_accelerators(scenario, group), _llms(scenario, group)) if text != "-"]
    axes.text(
        place[0], place[1] + 0.16 * len(lines[:2]), _title(group),
        ha="center", va="center", size=11, weight="bold", color=INK, zorder=4,
    )  # fmt: skip
    for i, text in enumerate(lines):
        axes.text(
            place[0], place[1] + 0.16 * len(lines) - 0.3 * (i + 1), _short(text, 38),
            ha="center", va="center", size=8, color=INK, zorder=4,
        )  # fmt: skip


def _draw_link(axes: Axes, spec: LinkSpec, places: dict[str, tuple[float, float]], parallel: int) -> None:
    """Draw a line with its figures, dashed for a shared medium; parallel ones run a little lower."""
    from matplotlib.patches import PathPatch  # noqa: PLC0415
    from matplotlib.path import Path  # noqa: PLC0415

    (ax, ay), (bx, by) = sorted((places[spec.first], places[spec.second]))
    half, drop = BOX[1] / 2, 0.3 * parallel
    figures = [spec.kind, _bandwidth(spec), format_seconds(spec.latency)]
    if spec.sharing != "fair":
        figures.append(spec.sharing)
    if spec.pattern != "spread":
        figures[0] = f"{spec.pattern} {spec.kind}".strip()
    if spec.first == spec.second or bx - ax > 1.5 * COLUMN:  # a loop, or a way past the tier between
        low = ay if ax == bx else min(y for _, y in places.values()) - 0.3
        sag = low - half - 0.4 - drop
        control = (4 * sag - (ay + by) / 2) / 3  # where a cubic curve must aim to pass through the sag
        points = [(ax + 0.6, ay), (ax + 0.6, control), (bx - 0.6, control), (bx - 0.6, by)]
        line = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        at = (ax, sag - 0.12) if ax == bx else ((5 * ax + bx) / 6 + 0.4, (7 * ay + 9 * control) / 16)
        label = ", ".join(filter(None, figures))
    elif ax == bx:
        side = ax - 0.8 * parallel
        line, at = Path([(side, ay), (side, by)]), (side, (ay + by) / 2)
        label = "\n".join(filter(None, figures))
    else:
        line, at = Path([(ax, ay - drop), (bx, by - drop)]), ((ax + bx) / 2, (ay + by) / 2 - drop)
        label = "\n".join(filter(None, figures)).replace(", ", "\n")
    style = "--" if spec.shared else "-"
    axes.add_patch(PathPatch(line, fill=False, edgecolor=INK, linewidth=1.4, linestyle=style, zorder=1))
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axes.text(*at, label, ha="center", va="center", size=8, color=INK, bbox=paper, zorder=2)


def _title(group: Group) -> str:
    return group.name if group.count == 1 else f"{group.name} \N{MULTIPLICATION SIGN} {group.count:,}"


def _accelerators(scenario: Scenario, group: Group) -> str:
    """Name what computes on a node of the group."""
    node = scenario.topology.nodes[group.name]
    if node.accelerator is None:
        return "-"
    many = f"{node.accelerators} \N{MULTIPLICATION SIGN} " if node.accelerators > 1 else ""
    return f"{many}{node.accelerator}"


def _llms(scenario: Scenario, group: Group) -> str:
    """Name what is served on the group."""
    served = [
        f"{item.llm} {item.weights}" if item.weights else item.llm
        for item in scenario.deployments
        if item.on == group.name
    ]
    return ", ".join(served) or "-"


def _asks(scenario: Scenario, group: Group) -> str:
    """Name the workloads whose requests start on the group."""
    return ", ".join(name for name, load in scenario.workloads.items() if load.from_ == group.name) or "-"


def _bandwidth(spec: LinkSpec) -> str:
    up, down = spec.bandwidth
    return format_bandwidth(up) if up == down else f"{format_bandwidth(up)} up, {format_bandwidth(down)} down"


def _medium(spec: LinkSpec) -> str:
    """Say who contends with whom."""
    duplex = "half-duplex" if spec.half_duplex else "full-duplex"
    return f"shared, {duplex}" if spec.shared else duplex


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
