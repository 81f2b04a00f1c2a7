"""The summary of a run as tables in a terminal: verdicts, counts, metrics, tiers, costs, footer."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Final

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from edgesim.metrics import SHOWN, is_full_quality
from edgesim.results import spread
from edgesim.results.verdict import demanded, reached, unit_of
from edgesim.units import (
    format_grams,
    format_joules,
    format_percent,
    format_quantity,
    format_seconds,
    format_usd,
)

Json = Mapping[str, Any]

WIDTHS: Final = (80, 120)
"""Narrowest and widest output [columns]."""

_ALWAYS: Final = ("ttft", "tpot", "e2e")
_SCALES: Final = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "J": ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ")),
    "USD": ((1e-3, "USD per 1000"),),
    "gCO2": ((1.0, "gCO2"), (1e-3, "mgCO2"), (1e-6, "ugCO2")),
}
_EXPLAINED: Final = {"too-long": "longer than the context or the KV cache of the replica"}
"""What reasons mean whose name does not say it."""
_BAD: Final = ("rejected", "failed", "abandoned")


def console(stream: IO[str] | None = None, *, stderr: bool = False) -> Console:
    """Make a console as wide as is readable; plain where the output is piped or NO_COLOR is set."""
    narrow, wide = WIDTHS
    width = min(max(shutil.get_terminal_size((100, 24)).columns, narrow), wide)
    return Console(file=stream, stderr=stderr, width=width, highlight=False, emoji=False)


def plain_table(head: Sequence[str], rows: Sequence[Sequence[Text]], title: str = "") -> Table:
    """Make a table of texts; the first column is never broken."""
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left", title_style="bold"
    )
    for position, name in enumerate(head):
        table.add_column(name, no_wrap=position == 0)
    for row in rows:
        table.add_row(*row)
    return table


def show(summary: Json, title: str, out: Console | None = None, *, judged: bool = True) -> None:
    """Print a summary; objectives are `judged` unless the run did not reach its end."""
    target = out or console()
    plain = target.options.ascii_only
    target.print(Text(_plain(title) if plain else title, style="bold"))
    for part in _parts(summary, judged=judged, plain=plain):
        target.print()
        target.print(part)


def _parts(summary: Json, *, judged: bool, plain: bool) -> Iterator[RenderableType]:
    if summary["slo"]:
        measured = summary["requests"]["arrived"] > summary["warmup"]["requests"]
        yield _objectives(summary["slo"], _verdict(summary), judged=judged and measured, plain=plain)
    yield _counts(summary)
    if any(values["count"] for values in summary["metrics"].values()):
        yield _metrics(summary, plain=plain)
    if summary["by"]["tier"]:
        yield _tiers(summary["by"]["tier"])
    yield _footer(summary, plain=plain)


def _plain(text: str) -> str:
    """Replace what an ASCII terminal cannot show."""
    return text.replace(" · ", ", ").replace("±", "+-")


def _verdict(summary: Json) -> str:
    """Say why nothing was measured, if one reason explains it."""
    requests, reasons = summary["requests"], summary["reasons"]
    if len(reasons) == 1 and requests["arrived"] - requests["unfinished"] == sum(reasons.values()):
        return f"none answered: {next(iter(reasons))}"
    return "not measured"


def _reason(name: str) -> str:
    """A reason in words."""
    return f"{name} ({_EXPLAINED[name]})" if name in _EXPLAINED else name


def _objectives(rows: Sequence[Json], unmeasured: str, *, judged: bool, plain: bool) -> Table:
    """One line for each objective: kept or not (if that can be judged), what was asked, what came out."""
    marks = {
        True: Text("ok" if plain else "✓", "green"),
        False: Text("MISSED" if plain else "✗", "bold red"),
        None: Text("-", "dim"),
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for row in rows:
        share = row["attainment"]
        within = ""
        if share is not None:
            within = (
                f"{format_percent(share)} of requests within {format_quantity(row['limit'], unit_of(row))}"
            )
        if row["met"] is False and row["value"] is not None and row["value"] <= row["target"]:
            within = f"{within}, {format_percent(row['turned_away'])} turned away".removeprefix(", ")
        value = unmeasured if row["value"] is None else reached(row)
        table.add_row(
            marks[row["met"] if judged else None], demanded(row), Text(value, "bold"), Text(within, "dim")
        )
    return table


def _counts(summary: Json) -> Table:
    """How requests ended, how fast, and whether the system keeps up."""
    requests, rates, warm = summary["requests"], summary["rates"], summary["warmup"]
    ended = Text(f"{requests['arrived']:,} arrived, {requests['completed']:,} completed")
    for name in (*_BAD, "unfinished"):
        style = "yellow" if name in _BAD and requests[name] else ""
        ended.append(", ").append(f"{requests[name]:,} {name}", style)
    if warm["requests"]:
        ended.append(f" ({warm['requests']:,} arrived in the warm-up: not measured)", "dim")
    rows = [("requests", ended)]
    if summary["reasons"]:
        told = ", ".join(f"{count:,} {_reason(name)}" for name, count in summary["reasons"].items())
        rows.append(("reasons", Text(told, "yellow")))
    if rates["throughput_rps"] is not None:
        parts = [f"{_number(rates['throughput_rps'], 1.0)} requests/s"]
        if rates["goodput_rps"] is not None:
            parts.append(f"{_number(rates['goodput_rps'], 1.0)}/s within the objectives")
        parts += [
            f"{_number(rates[f'{side}_tokens_per_s'], 1.0)} {side} tokens/s" for side in ("input", "output")
        ]
        rows.append(("rates", Text(", ".join(parts))))
    if not summary["stable"]:
        rows.append(("unstable", Text(summary["stability"].removeprefix("unstable: "), "bold red")))
    rows += [("note", Text(note, "yellow")) for note in summary["notes"]]
    return _labelled(rows)


def _labelled(rows: Sequence[tuple[str, Text]]) -> Table:
    """Lines of text, each behind its label."""
    table = Table.grid(padding=(0, 2))
    for label, text in rows:
        table.add_row(Text(label, "bold"), text)
    return table


def _metrics(summary: Json, *, plain: bool) -> Table:
    """Metrics x statistics; those that are nothing but zeros are left out."""
    intervals = spread.known(summary)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("metric", no_wrap=True)
    for name in SHOWN:
        table.add_column(
            f"mean {'+-' if plain else '±'} 95 %" if name == "mean" and intervals else name, justify="right"
        )
    for name, values in summary["metrics"].items():
        if (
            not values["count"]
            or (not values["max"] and name not in _ALWAYS)
            or is_full_quality(name, values)
        ):
            continue
        size, unit = scale(values)
        cells = [_number(values[column], size) for column in SHOWN]
        cells[0] += _spread(spread.interval(summary, name), size, plain=plain)
        label = Text(f"{name} [{unit}]" if unit and not name.endswith(unit) else name)
        table.add_row(label, *cells, style="bold" if name in _ALWAYS else "")
    return table


def _spread(interval: Json, size: float, *, plain: bool) -> str:
    """Write what stands behind a mean: its half-width, or both ends where they lie unevenly about it."""
    if not interval:
        return ""
    if spread.even(interval):
        return f" {'+-' if plain else '±'} {_number(interval['half_width'], size, like=interval['mean'])}"
    ends = (_number(interval[end], size, like=10 * interval[end]) for end in ("low", "high"))  # three digits
    return f" ({' to '.join(ends)})"


def scale(values: Json) -> tuple[float, str]:
    """Answer the unit in which a metric's median (or else its maximum) reads best, and its size."""
    steps = _SCALES.get(values["unit"])
    if steps is None:
        return 1.0, values["unit"]
    typical = values["p50"] or values["max"] or 1.0
    return next((step for step in steps if typical >= step[0]), steps[-1])


def _number(value: float | None, size: float, *, like: float | None = None) -> str:
    """Write a number with four significant digits, or with as many decimals as another one has."""
    if value is None:
        return "-"
    number, pattern = value / size, abs((like or value) / size)
    if number == 0:
        return "0"
    digits = 3 - math.floor(math.log10(pattern))
    if not -9 < digits < 8:
        return f"{number:.3g}"
    return f"{number:,.{min(max(digits, 0), 6)}f}"


def _tiers(tiers: Json) -> Table:
    """What each tier did."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("\ntier", overflow="fold")  # the one to give way in a narrow terminal
    for name in (
        "\ncompleted",
        "ttft\np50",
        "ttft\np95",
        "tpot\np50",
        "e2e\np95",
        "\nbusy",
        "J per\nrequest",
        "$ per\n1000",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for name, tier in tiers.items():
        metrics = tier["metrics"]
        times = [
            metrics["ttft"]["p50"],
            metrics["ttft"]["p95"],
            metrics["tpot"]["p50"],
            metrics["e2e"]["p95"],
        ]
        busy = tier.get("fleet", {}).get("utilisation")
        energy, cost = metrics["energy"]["mean"], metrics["cost"]["mean"]
        table.add_row(
            Text(name),
            f"{tier['requests']['completed']:,}",
            *("-" if time is None else format_seconds(time) for time in times),
            "-" if busy is None else format_percent(busy),
            _number(energy, 1.0),
            _number(cost, 1e-3),
        )
    return table


def _footer(summary: Json, *, plain: bool) -> Table:
    """What it cost, in the simulated world and in this one."""
    joules, engine = summary["energy_j"], summary["engine"]
    shares = [
        f"{format_joules(joules[name])} {word}"
        for name, word in (("dynamic", "computing"), ("idle", "idle"), ("network", "network"))
        if joules[name] is not None
    ]
    each = " per replication" if "replications" in summary else ""
    world = f"{format_joules(joules['total'])}{each} ({', '.join(shares)})"
    carbon = summary["carbon_g"]
    costs = f"{format_usd(summary['cost_usd'])}{each}"
    costs += "; CO2 unknown: no node names its grid" if carbon is None else f", {format_grams(carbon)} CO2"
    done, wall, cpu = summary["requests"]["arrived"], engine["wall_s"], engine["cpu_s"]
    speed = f"{format_seconds(engine['simulated_s'])} simulated in {format_seconds(wall)}"
    if wall and cpu:
        speed += (
            f": {_number(done / wall, 1.0)} requests/s of wall time, {_number(done / cpu, 1.0)} of CPU time"
        )
    speed += f"; {engine['events']:,.7g} events"
    band = engine["error_band"]
    basis = [engine["engine"] and f"engine {engine['engine']}", engine["calibration"]]
    basis.append("" if band is None else f"step costs good to {'+-' if plain else '±'}{band * 100:.3g} %")
    rows = [("energy", Text(world)), ("cost", Text(costs)), ("speed", Text(speed, "dim"))]
    if text := spread.origin(summary):
        rows.append(("spread", Text(text, "dim")))
    if cut := _cut(summary["listed"]):
        rows.append(("lists", Text(cut, "dim")))
    rows.append(("basis", Text("; ".join(part for part in basis if part), "dim")))
    return _labelled(rows)


def _cut(listed: Json) -> str:
    """Say what summary.json leaves out, if it does."""
    parts = [
        f"{listed[name]:,} of {listed[f'of_{name}']:,} {name}, the busiest"
        for name in ("replicas", "links")
        if 0 < listed[name] < listed[f"of_{name}"]
    ]
    return f"summary.json lists {'; '.join(parts)}" if parts else ""
