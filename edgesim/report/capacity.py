"""A capacity search for people: the answer and its curve in a terminal, and as a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from edgesim.report.console import console, plain_table
from edgesim.studies.capacity_mix import PRICE
from edgesim.units import format_percent, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from rich.console import Console

    from edgesim.studies.capacity import Capacity
    from edgesim.studies.capacity_goal import Criterion
    from edgesim.studies.presets import ReportCard

_STYLES: Final = {"met": "green", "missed": "red", "unstable": "red", "undecided": "yellow"}
_MARKS: Final = {
    "met": ("o", "#0072B2"),
    "undecided": ("D", "#999999"),
    "missed": ("x", "#D55E00"),
    "unstable": ("^", "#D55E00"),
}
"""Marker and colour of each verdict (Okabe and Ito's colours, told apart by everybody; shapes differ, too)."""
_ROOM: Final = 3.0
"""A picture shows values up to so many times the bound; what lies higher is drawn at its edge."""
_ABOVE: Final = 1.12
"""Where a picture ends, relative to the highest of what it shows."""


def show(found: Capacity, out: Console | None = None) -> None:
    """Print an answer and the points that show why."""
    target = out or console()
    target.print(Text(found.sentence, style="bold"))
    if found.estimate is not None:
        target.print(f"The mean reaches its bound at about {found.estimate:.4g} requests/s.")
    if found.limit is not None and found.answer is not None:
        unit = " requests/s" if found.asked.search == "rate" else ""
        target.print(f"Surely missed at {found.limit:.4g}{unit}, the nearest tried.")
    for note in found.notes:
        target.print(f"note: {note}")
    target.print()
    target.print(_curve(found))
    confidence = format_percent(found.asked.confidence)
    target.print(
        Text(f"± are one-sided {confidence} limits, shared among the looks at the data", style="dim")
    )


def _curve(found: Capacity) -> Any:
    """The points as a table."""
    mixed = found.asked.search == "mix"
    keys = ["mix"] if mixed else ["load" if found.asked.search == "rate" else "replicas"]
    names = [one.name for one in found.criteria]
    numbers = ["rate_rps" if found.asked.search == "rate" else PRICE, *names]
    numbers += [] if any(name.startswith("ttft") for name in names) else ["ttft_p95"]
    numbers += ["attainment"] if "attainment" not in names and not mixed and len(names) < 3 else []
    numbers += ["power_w"] if found.asked.objective == "energy" and mixed else []
    numbers = [name for name in numbers if any(_known(point.get(name)) for point in found.points)]
    head = [*keys, *(_title(name) for name in numbers), "runs", "verdict"]
    rows = [
        [
            *(Text(mix_text(point) if mixed else _written(point[key])) for key in keys),
            *(Text(_number(point, name, found.units.get(name, ""))) for name in numbers),
            Text(str(point["replications"])),
            Text(_verdict(point), style=_STYLES.get(point["verdict"], "")),
        ]
        for point in found.points
    ]
    table = plain_table(head, rows)
    for column in table.columns[:-1]:
        column.no_wrap = True
    table.columns[-1].min_width = 10
    return table


def mix_text(point: Mapping[str, Any]) -> str:
    """A mix as text, a line a node group."""
    groups = [name.removesuffix(" x") for name in point if name.endswith(" x")]
    return "\n".join(f"{group}: {point[f'{group} x']} x {point[group]}" for group in groups)


def _verdict(point: dict[str, Any]) -> str:
    reason = str(point["reason"])
    if point["verdict"] == "unstable":  # the whole sentence is in the table
        reason = reason.partition(":")[0]
    return f"{point['verdict']}: {reason.replace('_', ' ')}" if reason else str(point["verdict"])


def _title(name: str) -> str:
    names = {"rate_rps": "requests/s", PRICE: "$/h", "power_w": "power"}
    return names.get(name, name.replace("_", " "))


def _known(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)


def _written(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(point: dict[str, Any], name: str, unit: str) -> str:
    value, low = point.get(name), point.get(f"{name}_low")
    if not _known(value):
        return "-"
    assert value is not None
    write = {"s": format_seconds}.get(unit, lambda v: f"{v:.4g}")
    write = format_percent if name.endswith("attainment") else write
    spread = (
        f" ±{write(float(f'{value - low:.2g}'))}" if low is not None and _known(low) and low != value else ""
    )
    return write(value) + spread


def show_card(card: ReportCard, out: Console | None = None) -> None:
    """Print a report card, and the curve behind the preset `server`."""
    target = out or console()
    rows = [[Text(grade.preset), Text(grade.text)] for grade in card.grades]
    target.print(plain_table(["preset", "result"], rows, f"{card.scenario}, requests of '{card.workload}'"))
    for grade in card.grades:
        for note in grade.notes:
            target.print(f"note, {grade.preset}: {note}")
    target.print(Text("in the manner of MLPerf Inference; not a result under its rules", style="dim"))
    if card.server is not None and card.server.points:
        target.print()
        target.print(_curve(card.server))


def binding(found: Capacity) -> Criterion:
    """The criterion that limits: the one by which the nearest point that is not met is not.

    Where no such point names one, because it is unstable, say: the one nearest to its bound where everything is met.
    """
    ran = [point for point in found.points if point["replications"]] or found.points
    met = [point for point in ran if point["verdict"] == "met"]
    named = [(point, [one for one in found.criteria if one.name in _reasons(point)]) for point in ran]
    named = [(point, some) for point, some in named if some]
    if named:
        point, some = min(named, key=lambda each: _distance(found, each[0]))
    else:
        shown = met or ran
        point, some = shown[-1] if found.asked.search == "rate" else shown[0], list(found.criteria)

    def excess(one: Criterion) -> float:
        value = point.get(one.name)
        return one.excess(value) if value is not None and _known(value) else math.inf

    return max(some, key=excess)


def _reasons(point: Mapping[str, Any]) -> list[str]:
    """Names of the criteria that are not met, or not surely, at a point that is not."""
    return str(point["reason"]).split(", ") if point["verdict"] in ("missed", "undecided") else []


def _distance(found: Capacity, point: Mapping[str, Any]) -> float:
    """How far a point lies from the answer, or from the easiest point if there is none; farther on its wrong side."""
    column, _ = _axis(found)
    at: Any = point.get(column)
    if at is None or not _known(at):
        return math.inf
    harder = 1 if found.asked.search == "rate" else -1  # mixes that cost less serve less, as a rule
    answer = found.answer
    if isinstance(answer, dict):
        answer = next(
            each[column] for each in found.points if all(each[key] == value for key, value in answer.items())
        )
    if answer is None:
        return float(harder * at)
    beyond = float(harder * (at - answer))
    return beyond if beyond >= 0 else 1e9 - beyond


def capacity_curve(found: Capacity, ax: Axes | None = None, criterion: str | None = None) -> Axes:
    """Draw what an objective does as the load, or what serves it, grows; with its bound and the answer.

    Args:
        found: The answer of a search.
        ax: Where to draw; by default a new figure.
        criterion: Name of the objective; by default the one that limits.
    """
    import matplotlib.pyplot as plt  # noqa: PLC0415 - takes a second to import

    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    one = next((each for each in found.criteria if each.name == criterion), None) or binding(found)
    column, label = _axis(found)
    scale, unit = (1e3, "ms") if one.unit == "s" and one.bound < 1 else (1.0, one.unit)
    scale, unit = (100.0, "%") if one.at_least else (scale, unit)
    top = math.inf if one.at_least else _ROOM * one.bound * scale
    points = [point for point in found.points if _known(point.get(column)) and point["verdict"] in _MARKS]
    _draw(ax, points, column, one.name, scale, top)
    ax.axhline(one.bound * scale, color="black", linestyle="--", linewidth=1)
    wanted = "at least" if one.at_least else "at most"
    ax.annotate(
        f"{wanted} {one.bound * scale:.4g} {unit}",
        (0.01, one.bound * scale),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3 if not one.at_least else -11),
        textcoords="offset points",
        fontsize=8,
    )
    _mark(ax, found, points, column)
    if math.isfinite(top):
        ax.set_ylim(0, _ABOVE * max(one.bound * scale, *_heights(points, one.name, scale, top)))
    ax.set_xlabel(label)
    ax.set_ylabel(f"{one.name.replace('_', ' ')} ({unit})" if unit else one.name.replace("_", " "))
    ax.set_title(found.scenario, loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="best")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _heights(points: list[dict[str, Any]], name: str, scale: float, top: float) -> list[float]:
    """How high points reach, those that are not known to the edge; two at least."""
    values: list[Any] = [point.get(end) for point in points for end in (name, f"{name}_high")]
    return [0.0, 0.0, *(min(value * scale, top) if _known(value) else top for value in values)]


def _axis(found: Capacity) -> tuple[str, str]:
    """Column along which points are drawn, and its title."""
    if found.asked.search == "rate":
        return "rate_rps", "offered load (requests/s)"
    if found.asked.search == "replicas":
        return "replicas", f"replicas or nodes of {found.asked.of}"
    return (PRICE, "price ($/h)") if found.asked.objective == "cost" else ("power_w", "mean power (W)")


def _draw(ax: Axes, points: list[dict[str, Any]], column: str, name: str, scale: float, top: float) -> None:
    """Draw points by verdict, with intervals; those beyond the edge at the edge."""

    def height(point: dict[str, Any]) -> float:
        value: Any = point.get(name)
        return min(float(value) * scale, top) if _known(value) else top

    inside = [point for point in points if math.isfinite(height(point))]
    if column in ("rate_rps", "replicas"):
        line = [(point[column], height(point)) for point in inside if height(point) < top]
        ax.plot(*zip(*line, strict=True), color="#BBBBBB", linewidth=1, zorder=1) if line else None
    for verdict, (marker, colour) in _MARKS.items():
        some = [point for point in inside if point["verdict"] == verdict]
        if not some:
            continue
        x, y = [point[column] for point in some], [height(point) for point in some]
        ax.scatter(x, y, marker=marker, color=colour, s=28, label=verdict, zorder=3)
        for at, point, mean in zip(x, some, y, strict=True):
            low, high = (point.get(f"{name}_{end}", math.nan) for end in ("low", "high"))
            if mean >= top and column in ("rate_rps", "replicas"):  # beyond the edge: say how far
                value = point.get(name)
                text = f"↑ {value * scale:.3g}" if value is not None and _known(value) else "↑"
                ax.annotate(
                    text, (at, top), xytext=(0, -12), textcoords="offset points", ha="center", fontsize=7
                )
            elif mean < top and _known(low) and _known(high):
                ax.plot([at, at], [low * scale, min(high * scale, top)], color=colour, linewidth=1, zorder=2)


def _mark(ax: Axes, found: Capacity, points: list[dict[str, Any]], column: str) -> None:
    """Mark the answer."""
    if found.answer is None:
        return
    if isinstance(found.answer, dict):
        answer = found.answer
        best = next(point for point in points if all(point[key] == value for key, value in answer.items()))
        at = best[column]
        text = f"\n\n{mix_text(answer)}"  # below what is drawn at the edge
    else:
        at = found.answer
        text = f"{at:.4g}/s" if found.asked.search == "rate" else str(at)
    ax.axvline(at, color="#009E73", linewidth=1.5, zorder=0)
    right = at > sum(ax.get_xlim()) / 2
    ax.annotate(
        text,
        (at, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if right else 4, -2),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        color="#00694D",
        fontweight="bold",
    )
