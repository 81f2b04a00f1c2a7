"""The sections of a page about many runs: a comparison of candidates, or a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from edgesim.report.page import markup
from edgesim.report.page.markup import text
from edgesim.report.page.single import gallery, origin
from edgesim.units import format_percent

if TYPE_CHECKING:
    import pandas as pd

Section = tuple[str, str, str]

MOST: Final = 2000
"""Rows of a table that a page carries."""
TOLD: Final = 12
"""Differences that are told in sentences."""


def comparison(found: Any) -> tuple[str, str, list[Section]]:
    """Answer title, a line about it, and sections of a comparison: verdicts of its candidates, differences that are real, all others."""
    names = list(found.names)
    table: pd.DataFrame = found.table
    real = table[table["real"].astype(bool)] if "real" in table.columns else table.iloc[:0]
    sentences = [f"{len(real)} of {len(table)} differences are real, that is, more than chance would give."]
    if not len(real):
        sentences = ["No difference is more than chance would give; more or longer replications may show one."]
    sentences += [_difference(row) for row in real.head(TOLD).to_dict(orient="records")]
    runs = getattr(found, "runs", None) or {}
    parts = [
        ("objectives", "Objectives", _objectives(runs)),
        (
            "differences",
            "Differences",
            markup.section("differences", "Which differences are real", markup.paragraphs(sentences)),
        ),
        ("all", "All", markup.section("all", "All differences", _table(table, "Differences by pair and metric"))),
        ("pictures", "Pictures", gallery(found)),
        ("origin", "Origin", _origins(runs)),
    ]
    about = f"comparison of {len(names)} candidates · {len(table)} differences"
    return " against ".join(names), about, [part for part in parts if part[2]]


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


def _difference(row: dict[Any, Any]) -> str:
    """Tell one real difference."""
    better, relative = row.get("better"), row.get("relative")
    by = "" if relative is None or relative != relative else f" by {format_percent(abs(relative))}"  # noqa: PLR0124 - NaN
    statistic = f" {row['statistic']}" if row.get("statistic") else ""
    unit = f" {row['unit']}" if row.get("unit") else ""
    other = row["b"] if better == row["a"] else row["a"]
    verb = f"{better} is better than {other}" if better else f"{row['a']} differs from {row['b']}"
    return (
        f"{row['metric']}{statistic}: {verb}{by}"
        f" ({row['difference']:+.4g}{unit}, interval {row['low']:.4g} to {row['high']:.4g})."
    )


def _origins(runs: Any) -> str:
    parts = "".join(
        markup.details(str(name), origin(run).replace('id="origin', f'id="origin-{number}').replace(
            'labelledby="origin', f'labelledby="origin-{number}'))
        for number, (name, run) in enumerate(dict(runs).items())
    )
    return markup.section("origin", "Scenarios and origin", parts) if parts else ""


def sweep(found: Any) -> tuple[str, str, list[Section]]:
    """Answer title, a line about it, and sections of a sweep: what was varied, the best points, all of them."""
    table: pd.DataFrame = found.table
    keys = [str(key) for key in found.keys]
    by_point = _by_point(table, keys)
    numbers = [name for name in by_point.columns if name not in {*keys, "point", "replications"}]
    sentences = [
        f"{len(by_point)} points were run; varied were "
        + ", ".join(f"{key} ({by_point[key].nunique()} values)" for key in keys)
        + "."
    ]
    sentences += _best(by_point, keys, numbers)
    manifest = getattr(found, "manifest", None) or {}
    name = str(manifest.get("scenario") or "sweep")
    parts = [
        ("best", "Best points", markup.section("best", "Best points", markup.paragraphs(sentences))),
        ("pictures", "Pictures", gallery(found)),
        (
            "points",
            "Points",
            markup.section("points", "All points", _table(by_point, "Points, means of their replications")),
        ),
        ("origin", "Origin", origin(found) if manifest else ""),
    ]
    about = f"sweep over {', '.join(keys)} · {len(by_point)} points · {len(table)} runs"
    return name, about, [part for part in parts if part[2]]


def _by_point(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Means over the replications of each point."""
    numbers = [name for name in table.select_dtypes("number").columns if name not in {*keys, "point", "replication"}]
    groups = table.groupby("point", sort=True, observed=True)
    means = groups[numbers].mean()
    means.insert(0, "replications", groups.size())
    for key in reversed(keys):
        means.insert(0, key, groups[key].first())
    return means.reset_index()


_AIMS: Final = (
    ("ttft_p95", False),
    ("tpot_p95", False),
    ("e2e_p95", False),
    ("throughput_rps", True),
    ("goodput_rps", True),
    ("energy_j", False),
    ("cost_usd", False),
)
"""Metrics of a sweep, and whether more is better."""


def _best(points: pd.DataFrame, keys: list[str], numbers: list[str]) -> list[str]:
    """Name the best point by each of the usual metrics."""
    sentences = []
    for name, more in _AIMS:
        if name not in numbers or not points[name].notna().any():
            continue
        row = points.loc[points[name].idxmax() if more else points[name].idxmin()]
        at = ", ".join(f"{key} = {row[key]}" for key in keys)
        unit = "_s" if name.startswith(("ttft", "tpot", "e2e")) else ""
        value = markup.quantity(name + unit, float(row[name]))
        sentences.append(f"{'Highest' if more else 'Lowest'} {markup.heading(name)}: {value} at {at}.")
    return sentences


def _table(table: pd.DataFrame, caption: str) -> str:
    """A table that can be sorted and filtered; of very long ones the beginning."""
    said = f"<p>The first {MOST:,} of {len(table):,} rows.</p>" if len(table) > MOST else ""
    box = f'<label>Contains <input type="search" class="filter" aria-label="Filter: {text(caption)}"></label>'
    return f"<div class=filtered><div class=controls>{box}</div>{said}{markup.frame(table.head(MOST), caption)}</div>"
