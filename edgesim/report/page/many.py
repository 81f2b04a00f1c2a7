"""The sections of a page about many runs: a comparison of candidates, or a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.errors import EdgesimError
from edgesim.report.page import markup
from edgesim.report.page.forest import forest
from edgesim.report.page.markup import text
from edgesim.report.page.single import gallery, origin, provenance
from edgesim.results.quantity import written
from edgesim.units import QUANTITIES, format_percent

if TYPE_CHECKING:
    import pandas as pd

Section = tuple[str, str, str]

MOST: Final = 2000
"""Rows of a table that a page carries."""
ALIKE: Final = 1e-9
"""Values whose ratio differs from one by less than this are the same."""
TIES: Final = 3
"""Points with the same best value that are named."""
TOLD: Final = 12
"""Differences that are told in sentences."""


def comparison(found: Any) -> tuple[str, str, list[Section]]:
    """Answer title, a line about it, and sections of a comparison: verdicts, differences that are real, all of them."""
    names = list(found.names)
    table: pd.DataFrame = found.table
    real = int(table["real"].astype(bool).sum())
    sentences = [f"{real} of {len(table)} differences are real, that is, more than chance would give."]
    if not real:
        sentences = [
            "No difference is more than chance would give; more or longer replications may show one."
        ]
    told = list(found.sentences)
    sentences += told[:TOLD]
    more = (
        markup.details(f"{len(told) - TOLD} more", markup.paragraphs(told[TOLD:])) if len(told) > TOLD else ""
    )
    try:
        runs = dict(found.runs)
    except EdgesimError:  # a comparison outlives the folders of its runs
        runs = {}
    parts = [
        ("objectives", "Objectives", _objectives(runs)),
        (
            "differences",
            "Differences",
            markup.section(
                "differences", "Which differences are real", _notes(found), markup.paragraphs(sentences), more
            ),
        ),
        (
            "numbers",
            "Numbers",
            markup.section(
                "numbers",
                "All differences",
                _drawn(table, names),
                _filtered(_differences(table), "differences"),
            ),
        ),
        ("pictures", "Pictures", gallery(found) if runs else ""),
        ("origin", "Origin", _origins(runs)),
    ]
    about = f"comparison of {len(names)} candidates · intervals of {format_percent(found.confidence)}"
    return " against ".join(names), about, [part for part in parts if part[2]]


def _notes(found: Any) -> str:
    """What a reader must know beside the numbers."""
    return "".join(f"<p class=warning role=note>{text(note)}</p>" for note in getattr(found, "notes", ()))


def _drawn(table: pd.DataFrame, names: list[str]) -> str:
    """The forest under a sentence that says how to read it."""
    several = len(names) > 2
    drawing = forest(table.to_dict(orient="records"), several=several)
    which = "the second candidate less the first" if several else f"{names[1]} less {names[0]}"
    hint = f"Relative differences ({which}) and their intervals; filled dots are real differences."
    return f"<p>{text(hint)}</p>{drawing}" if drawing else ""


def _differences(table: pd.DataFrame) -> str:
    """A row per pair and quantity, numbers in the unit of their row."""
    rows: list[list[markup.Cell]] = []
    for row in table.to_dict(orient="records"):
        unit = str(row["unit"] or "")
        rows.append(
            [
                f"{row['metric']} {row['statistic'] or ''}".strip(),
                str(row["a"]),
                str(row["b"]),
                *(_cell(row[name], unit) for name in ("mean_a", "mean_b", "difference", "low", "high")),
                _share(row["relative"]),
                _cell(row["p_adjusted"], ""),
                "yes" if row["real"] else "no",
                str(row["better"] or "-"),
            ]
        )
    head = [
        "quantity",
        "a",
        "b",
        "mean of a",
        "mean of b",
        "b less a",
        "low",
        "high",
        "relative",
        "p, adjusted",
    ]
    said = f"<p>The first {MOST:,} of {len(rows):,} rows.</p>" if len(rows) > MOST else ""
    return said + markup.table([*head, "real", "better"], rows[:MOST], "Differences by pair and quantity")


def _share(value: Any) -> markup.Cell:
    known = value is not None and value == value  # noqa: PLR0124 - NaN
    return (format_percent(value), float(value)) if known else ("-", None)


def _objectives(runs: Any) -> str:
    """A row per candidate: which objectives it meets."""
    rows: list[list[markup.Cell]] = []
    for name, run in dict(runs).items():
        slo = run.summary["slo"]
        missed = [f"{row['metric']} {row['statistic']}" for row in slo if row["met"] is False]
        verdict = "no objectives" if not slo else f"✗ misses {', '.join(missed)}" if missed else "✓ meets all"
        share = min((row["attainment"] for row in slo if row["attainment"] is not None), default=None)
        rows.append([str(name), verdict, ("-" if share is None else format_percent(share), share)])
    if not rows:
        return ""
    head = ["candidate", "objectives", "least share within a limit"]
    return markup.section("objectives", "Objectives", markup.table(head, rows, "Objectives by candidate"))


def _origins(runs: Any) -> str:
    parts = "".join(markup.details(str(name), provenance(run)) for name, run in dict(runs).items())
    return markup.section("origin", "Scenarios and origin", parts) if parts else ""


def sweep(found: Any) -> tuple[str, str, list[Section]]:
    """Answer title, a line about it, and sections of a sweep: its best points, pictures, all points."""
    table: pd.DataFrame = found.table
    keys = [str(key) for key in found.keys]
    units = _units(found, table)
    points = _by_point(table, keys)
    shown = [*keys, *(name for name in SHOWN if name in points.columns and points[name].notna().any())]
    rows = [
        [_cell(row[name], units.get(name, "")) for name in ["point", *shown]]
        for row in points.head(MOST).to_dict(orient="records")
    ]
    said = f"<p>The first {MOST:,} of {len(points):,} points.</p>" if len(points) > MOST else ""
    listed = markup.table(["point", *shown], rows, "Points, means of their replications", hidden=False)
    manifest = getattr(found, "manifest", None) or {}
    parts = [
        ("objectives", "Objectives", _met(points, table)),
        (
            "best",
            "Best points",
            markup.section(
                "best", "Best points", _notes(found), markup.paragraphs(_best(points, keys, units))
            ),
        ),
        ("pictures", "Pictures", gallery(found)),
        ("points", "Points", markup.section("points", "All points", _filtered(said + listed, "points"))),
        ("origin", "Origin", origin(found) if manifest else ""),
    ]
    about = f"sweep over {', '.join(keys)} · {len(points)} points · {len(table)} runs"
    return str(manifest.get("scenario") or "sweep"), about, [part for part in parts if part[2]]


SHOWN: Final = (
    "replications", "ttft_p50", "ttft_p95", "tpot_p50", "tpot_p95", "e2e_p95", "throughput_rps", "goodput_rps",
    "energy_j", "cost_usd", "carbon_g", "completed", "rejected", "slo_met",
)  # fmt: skip
"""Columns of a sweep that its page shows; points.parquet has all."""

AIMS: Final = (
    ("ttft_p95", False),
    ("tpot_p95", False),
    ("e2e_p95", False),
    ("throughput_rps", True),
    ("goodput_rps", True),
    ("energy_per_request_j", False),
    ("cost_per_request_usd", False),
)
"""Metrics of a sweep, and whether more is better."""
SHARED: Final = {"energy_per_request_j": ("energy_j", "J"), "cost_per_request_usd": ("cost_usd", "USD")}
"""Totals that are told per completed request: over a sweep of load, they would only say where the load is low."""


def _units(found: Any, table: pd.DataFrame) -> dict[str, str]:
    """Unit of each column, as the sweep knows it or as its name says."""
    known: dict[str, str] = dict(getattr(found, "units", None) or {})
    guessed = {"_s": "s", "_j": "J", "_usd": "USD", "_rps": "1/s"}
    for name in map(str, table.columns):
        if name not in known:
            known[name] = next((unit for ending, unit in guessed.items() if name.endswith(ending)), "")
            if name.startswith(("ttft_", "tpot_", "e2e_")):
                known[name] = "s"
    return known | {"slo_met": "share"}


def _cell(value: Any, unit: str) -> markup.Cell:
    """Write a value with its unit."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or value != value:  # noqa: PLR0124 - NaN: missing
        return "-", None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return markup.cell("", value)
    if unit == "share":
        return format_percent(value), float(value)
    if unit in QUANTITIES:  # the unit is chosen by size
        return written(float(value), unit), float(value)
    return f"{markup.number(value)}{'/s' if unit == '1/s' else f' {unit}' if unit else ''}", float(value)


def _by_point(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Means over the finished replications of each point."""
    if "status" in table.columns:
        table = table[table["status"] == "finished"]
    aside = {*keys, "point", "replication"}
    numbers = [name for name in table.select_dtypes(["number", "bool"]).columns if name not in aside]
    groups = table.groupby("point", sort=True, observed=True)
    means = groups[numbers].mean()
    means.insert(0, "replications", groups.size())
    for key in reversed(keys):
        means.insert(0, key, groups[key].first())
    return means.reset_index()


def _met(points: pd.DataFrame, table: pd.DataFrame) -> str:
    """Say how many points meet their objectives, and how many failed."""
    sentences = []
    if "slo_met" in points.columns and points["slo_met"].notna().any():
        judged = points["slo_met"].dropna().astype(float)
        sentences.append(
            f"{int((judged == 1).sum())} of {len(judged)} points meet all objectives in every replication."
        )
    if "status" in table.columns and (table["status"] == "failed").any():
        failed = table[table["status"] == "failed"]
        number = failed["point"].nunique()
        sentences.append(f"{number} points failed, the first one with: {failed['error'].iloc[0]}")
    return markup.section("objectives", "Objectives", markup.paragraphs(sentences)) if sentences else ""


def _best(points: pd.DataFrame, keys: list[str], units: dict[str, str]) -> list[str]:
    """Say what was varied, and name the best point by each of the usual metrics."""
    varied = ", ".join(f"{key} ({points[key].nunique()} values)" for key in keys)
    sentences = [f"{len(points)} points were run; varied were {varied}."]
    for name, more in AIMS:
        total, unit = SHARED.get(name, (name, units.get(name, "")))
        if not {total, "completed" if name in SHARED else total} <= set(points.columns):
            continue
        values = points[total].to_numpy(dtype=float)
        if name in SHARED:
            done = points["completed"].to_numpy(dtype=float)
            values = values / np.where(done > 0, done, np.nan)
        if np.isnan(values).all():
            continue
        best = float(np.nanmax(values) if more else np.nanmin(values))
        named = markup.heading(name).replace("per request", "per completed request")
        shown = f"{written(1000 * best, unit)} per 1,000" if unit == "USD" else _text(_cell(best, unit))
        alike = points[np.isclose(values, best, rtol=ALIKE, atol=0.0)]
        where = _where(alike, points, keys, units)
        sentences.append(f"{'Highest' if more else 'Lowest'} {named}: {shown} {where}.")
    return sentences


def _where(alike: pd.DataFrame, points: pd.DataFrame, keys: list[str], units: dict[str, str]) -> str:
    """Name the points that share a value, the first ones if there are many."""
    if len(alike) == len(points) > 1:
        return f"at all {len(points)} points alike"
    places = [
        ", ".join(f"{key} = {_text(_cell(row[key], units.get(key, '')))}" for key in keys)
        for _, row in alike.head(TIES).iterrows()
    ]
    more = f"; and at {len(alike) - TIES} more" if len(alike) > TIES else ""
    tie = f" ({len(alike)} points alike)" if len(alike) > 1 else ""
    return f"at {'; at '.join(places)}{more}{tie}"


def _text(cell: markup.Cell) -> str:
    return cell[0] if isinstance(cell, tuple) else cell


def _filtered(content: str, what: str) -> str:
    """A table under a box that filters its rows."""
    box = f'<label>Contains <input type="search" class="filter" aria-label="Filter: {text(what)}"></label>'
    return f"<div class=filtered><div class=controls>{box}</div>{content}</div>"
