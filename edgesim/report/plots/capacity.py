"""A capacity search: what an objective does as the load, or what serves it, grows, with its bound and the answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from edgesim.registry import UnknownNameError
from edgesim.report import style
from edgesim.report.axis import measure
from edgesim.report.plots.base import CAPACITY, metric_words, picture, written
from edgesim.results.capacity import PRICE
from edgesim.units import format_percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from edgesim.results.capacity import Capacity, Criterion

MARKS: Final = {
    "met": ("o", style.BLUE),
    "undecided": ("D", "#999999"),
    "missed": ("X", style.VERMILLION),
    "unstable": ("^", style.VERMILLION),
}
"""Marker and colour of each verdict."""
ROOM: Final = 3.0
"""A picture shows values up to so many times the bound; what lies higher is drawn at its edge."""
ABOVE: Final = 1.12
"""Where a picture ends, relative to the highest of what it shows."""


def mix_text(point: Mapping[str, Any]) -> str:
    """A mix as text, a line a node group."""
    groups = [name.removesuffix(" x") for name in point if name.endswith(" x")]
    return "\n".join(f"{group}: {point[f'{group} x']} x {point[group]}" for group in groups)


def known(value: Any) -> bool:
    """Whether a value is a number that can be drawn."""
    return isinstance(value, float | int) and math.isfinite(value)


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
        return one.excess(value) if value is not None and known(value) else math.inf

    return max(some, key=excess)


def _reasons(point: Mapping[str, Any]) -> list[str]:
    """Names of the criteria that are not met, or not surely, at a point that is not."""
    return str(point["reason"]).split(", ") if point["verdict"] in ("missed", "undecided") else []


def _distance(found: Capacity, point: Mapping[str, Any]) -> float:
    """How far a point lies from the answer, or from the easiest point if there is none; farther on its wrong side."""
    column, _, _ = _axis(found)
    at: Any = point.get(column)
    if at is None or not known(at):
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


@picture(
    "capacity",
    "what limits a capacity search: an objective over the load, or over what serves it",
    fits=(CAPACITY,),
    tables=(),
    size=(6.4, 4.0),
    options=("metric",),
)
def capacity_curve(found: Capacity, ax: Axes, metric: str | None = None) -> str:
    """Draw what an objective does as the load, or what serves it, grows; with its bound and the answer.

    Args:
        found: The answer of a search.
        ax: Where to draw; by default a new figure.
        metric: Name of the objective; by default the one that limits.

    Raises:
        UnknownNameError: The search had no such objective.
    """
    named = {each.name: each for each in found.criteria}
    if metric is not None and metric not in named:
        raise UnknownNameError("objective", metric, named)
    one = binding(found) if metric is None else named[metric]
    column, label, per = _axis(found)
    top = math.inf if one.at_least else ROOM * one.bound
    points = [point for point in found.points if known(point.get(column)) and point["verdict"] in MARKS]
    _draw(ax, points, column, one, top)
    wanted = f"{'at least' if one.at_least else 'at most'} {_value(one, one.bound)}"
    ax.axhline(one.bound, color=style.INK, linestyle="--", linewidth=1, label=wanted)
    if found.answer is not None:
        at = _place(found, column)
        ax.axvline(at, color=style.GREEN, linewidth=1.5, zorder=0, label=f"answer: {_answer(found)}")
    if math.isfinite(top):
        ax.set_ylim(0, ABOVE * max(one.bound, *_heights(points, one.name, top)))
    words, unit = metric_words(one.name) if not one.at_least else ("requests that keep all limits", "share")
    measure(ax.yaxis, words, unit)
    measure(ax.xaxis, label, per, whole=column == "replicas")
    style.legend(ax)
    style.title(ax, "What limits the capacity", f"{found.scenario} \N{MIDDLE DOT} {_confidence(found)}")
    return f"{found.sentence.rstrip('.')}. What limits: {words} {wanted}."


def _confidence(found: Capacity) -> str:
    return f"bars: one-sided limits of {format_percent(found.asked.confidence)}"


def _value(one: Criterion, value: float) -> str:
    return format_percent(value) if one.at_least else written(value, one.unit)


def _answer(found: Capacity) -> str:
    """The answer in a few words."""
    if isinstance(found.answer, dict):
        return mix_text(found.answer).replace("\n", ", ")
    return f"{found.answer:.4g}/s" if found.asked.search == "rate" else str(found.answer)


def _place(found: Capacity, column: str) -> float:
    """Where the answer lies along the axis."""
    if not isinstance(found.answer, dict):
        assert found.answer is not None
        return float(found.answer)
    answer = found.answer
    return float(
        next(p[column] for p in found.points if all(p[key] == value for key, value in answer.items()))
    )


def _heights(points: list[dict[str, Any]], name: str, top: float) -> list[float]:
    """How high points reach, those that are not known to the edge; two at least."""
    values: list[Any] = [point.get(end) for point in points for end in (name, f"{name}_high")]
    return [0.0, 0.0, *(min(value, top) if known(value) else top for value in values)]


def _axis(found: Capacity) -> tuple[str, str, str]:
    """Column along which points are drawn, what it is, and its unit."""
    if found.asked.search == "rate":
        return "rate_rps", "offered load", "1/s"
    if found.asked.search == "replicas":
        return "replicas", f"replicas or nodes of {found.asked.of}", ""
    return (PRICE, "price", "USD/h") if found.asked.objective == "cost" else ("power_w", "mean power", "W")


def _draw(ax: Axes, points: list[dict[str, Any]], column: str, one: Criterion, top: float) -> None:
    """Draw points by verdict, with intervals; those beyond the edge at the edge."""

    def height(point: dict[str, Any]) -> float:
        value: Any = point.get(one.name)
        return min(float(value), top) if known(value) else top

    inside = sorted((p for p in points if math.isfinite(height(p))), key=lambda point: float(point[column]))
    ordered = column in ("rate_rps", "replicas")
    line = [(point[column], height(point)) for point in inside if height(point) < top] if ordered else []
    if line:
        ax.plot(*zip(*line, strict=True), color="#BBBBBB", linewidth=1, zorder=1)
    last = inside[-1][column] if inside else math.nan  # whose words would cross the frame
    for verdict, (marker, colour) in MARKS.items():
        some = [point for point in inside if point["verdict"] == verdict]
        if not some:
            continue
        x, y = [point[column] for point in some], [height(point) for point in some]
        ax.scatter(x, y, marker=marker, color=colour, s=32, label=verdict, zorder=3)
        for at, point, mean in zip(x, some, y, strict=True):
            low, high = (point.get(f"{one.name}_{end}", math.nan) for end in ("low", "high"))
            if mean >= top and ordered:  # beyond the edge: say how far
                value = point.get(one.name)
                far = f" {_value(one, value)}" if value is not None and known(value) else ""
                text = f"\N{UPWARDS ARROW}{far}"
                side, shift = ("right", 8) if at == last else ("center", 0)
                ax.annotate(text, (at, top), xytext=(shift, -13), textcoords="offset points", ha=side, size=8)
            elif mean < top and known(low) and known(high):
                ax.plot([at, at], [low, min(high, top)], color=colour, linewidth=1.2, zorder=2)
