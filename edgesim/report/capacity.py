"""A capacity search for people: the answer and its curve in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from edgesim.report.console import console, plain_table
from edgesim.report.plots.capacity import known, mix_text
from edgesim.results.capacity import PRICE
from edgesim.units import format_percent, format_seconds

if TYPE_CHECKING:
    from rich.console import Console

    from edgesim.results.capacity import Capacity
    from edgesim.studies.presets import ReportCard

_STYLES: Final = {"met": "green", "missed": "red", "unstable": "red", "undecided": "yellow"}


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
    numbers = [name for name in numbers if any(known(point.get(name)) for point in found.points)]
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


def _verdict(point: dict[str, Any]) -> str:
    reason = str(point["reason"])
    if point["verdict"] == "unstable":  # the whole sentence is in the table
        reason = reason.partition(":")[0]
    return f"{point['verdict']}: {reason.replace('_', ' ')}" if reason else str(point["verdict"])


def _title(name: str) -> str:
    names = {"rate_rps": "requests/s", PRICE: "$/h", "power_w": "power"}
    return names.get(name, name.replace("_", " "))


def _written(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(point: dict[str, Any], name: str, unit: str) -> str:
    value, low = point.get(name), point.get(f"{name}_low")
    if not known(value):
        return "-"
    assert value is not None
    write = {"s": format_seconds}.get(unit, lambda v: f"{v:.4g}")
    write = format_percent if name.endswith("attainment") else write
    spread = (
        f" ±{write(float(f'{value - low:.2g}'))}" if low is not None and known(low) and low != value else ""
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
