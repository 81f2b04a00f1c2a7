"""The sections of a run's page: verdicts first, then numbers, pictures, explanation, topology, requests, origin."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from edgesim.errors import EdgesimError
from edgesim.metrics import METRICS, RATES, SHOWN, is_full_quality
from edgesim.report.page import markup
from edgesim.report.page.markup import Cell, text
from edgesim.report.page.pictures import pictures
from edgesim.report.page.sample import sample
from edgesim.report.page.topology import drawing
from edgesim.results import spread
from edgesim.results.slo import SLACK
from edgesim.results.verdict import demanded, reached
from edgesim.studies.explanation.explain import AWAY, explanation_of
from edgesim.studies.explanation.subject import SEQUENCE, subject_of, values_of
from edgesim.units import (
    format_grams,
    format_joules,
    format_percent,
    format_quantity,
    format_seconds,
    format_usd,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from edgesim.results import Run, RunSet
    from edgesim.studies.explanation import Explanation
    from edgesim.studies.explanation.subject import Subject

Json = dict[str, Any]
Section = tuple[str, str, str]


def sections(run: Run | RunSet) -> tuple[str, str, list[Section]]:
    """Answer the title of a run's page, a line about it, and its sections."""
    subject = subject_of(run)
    explained = explanation_of(subject, finished=run.finished)
    parts = [
        ("objectives", "Objectives", objectives(run, subject)),
        ("summary", "Summary", summary(run, explained)),
        ("bottlenecks", "Why", why(explained)),
        ("pictures", "Pictures", gallery(run)),
        ("topology", "Topology", topology(run, subject)),
        ("timeline", "Timeline", timeline(subject)),
        ("requests", "Requests", requests()),
        ("origin", "Origin", origin(run)),
    ]
    many = f", {subject.replications} replications" if subject.replications > 1 else ""
    manifest = run.manifest
    about = [f"seed {manifest.get('seed')}", f"{format_seconds(subject.duration_s)} simulated{many}"]
    if subject.warmup_s:
        about.append(f"the first {format_seconds(subject.warmup_s)} not measured")
    about.append(str(manifest.get("started_at", ""))[:10])
    return subject.name, " · ".join(filter(None, about)), [part for part in parts if part[2]]


def objectives(run: Run | RunSet, subject: Subject) -> str:
    """Say of each objective whether it was met; of a run that ended early, how far it came."""
    rows = run.summary["slo"]
    broken = _broken_off(run, subject)
    warned = f"<p class=warning role=note>{text(broken)}</p>" if broken else ""
    if not rows:
        nothing = "<p>The scenario states no objectives (<code>slo:</code>).</p>"
        return markup.section("objectives", "Objectives", warned, nothing)
    missed = sum(row["met"] is False for row in rows)
    judged = sum(row["met"] is not None for row in rows)
    word = _unjudged(run, subject)
    lead = f"{missed} of {judged} objectives are missed." if missed else f"All {judged} objectives are met."
    if judged == 1:
        lead = f"The objective is {'missed' if missed else 'met'}."
    if not judged:
        lead = "The objectives set limits for single requests, but no target that could be missed."
    if word:
        lead = f"No objective is judged: {'the run did not reach its end' if broken else 'no request was measured'}."
    cards = "".join(_verdict(row, subject, word) for row in rows)
    return markup.section(
        "objectives", "Objectives", warned, f"<p class=lead>{lead}</p><ul class=cards>{cards}</ul>"
    )


def _broken_off(run: Run | RunSet, subject: Subject) -> str:
    """Warn of a run that did not reach its end; "" if it did."""
    if run.finished:
        return ""
    state = str(run.manifest.get("exit_state"))
    how = {"failed": "The run failed", "interrupted": "The run was interrupted"}.get(
        state, f"The run is in the state '{state}'"
    )
    if subject.whole:
        return f"{how} after {subject.replications} replications; these numbers are of those."
    return f"{how} at {format_seconds(subject.duration_s)}; these numbers are those until then."


def _unjudged(run: Run | RunSet, subject: Subject) -> str:
    """Why no objective can be judged, in two words; "" if they can."""
    if not (run.finished or subject.whole):
        return "not judged"
    return "" if len(subject.measured) else "not measured"


def _kept(row: Json, subject: Subject) -> str:
    """Say how many requests keep the limit, and of how many; those that were not completed do not keep it."""
    share, done = row["attainment"], len(subject.completed)
    said = f"{format_percent(share)} of all that arrived"
    if done and done != len(subject.measured):
        beyond = values_of(row["metric"], subject.completed) > row["limit"] * SLACK
        said += f", {format_percent(1 - beyond.sum() / done)} of those completed,"
    return f"{said} keep the limit"


def _verdict(row: Json, subject: Subject, unjudged: str) -> str:
    kind, word = {True: ("met", "✓ met"), False: ("missed", "✗ missed"), None: ("open", "measured")}[
        row["met"]
    ]
    if unjudged:
        kind, word = "open", unjudged
    value = "-" if unjudged else "not measured"
    if row["value"] is not None:
        value = reached(row)
    notes = []
    if row["attainment"] is not None:
        notes.append(_kept(row, subject))
    if row["turned_away"]:
        notes.append(f"{format_percent(row['turned_away'])} were turned away")
    return (
        f"<li class={kind}><span class=word>{word}</span><strong>{text(value)}</strong>"
        f"<span>{text(demanded(row))}</span><small>{text('; '.join(notes))}</small></li>"
    )


def summary(run: Run | RunSet, explained: Explanation) -> str:
    """Counts, rates, joules and dollars as tiles; metrics, tiers and workloads as tables."""
    found = run.summary
    said = explained.parts[0].sentences
    notes = {note[0].upper() + note[1:] + "." for note in found["notes"]}
    warnings = [each for each in said if each in notes or each.startswith("It is unstable")]
    lead = markup.paragraphs(each for each in said if each not in warnings)
    warned = "".join(f"<p class=warning role=note>{text(warning)}</p>" for warning in warnings)
    tiles = "".join(
        f"<li><strong>{text(value)}</strong><span>{text(name)}</span></li>" for name, value in _tiles(found)
    )
    return markup.section(
        "summary", "Summary", lead, warned, f"<ul class=tiles>{tiles}</ul>", _metrics(found), _groups(found)
    )


def _tiles(found: Json) -> list[tuple[str, str]]:
    counts, rates = found["requests"], found["rates"]
    tiles = [("requests arrived", f"{counts['arrived']:,}"), ("completed", f"{counts['completed']:,}")]
    tiles += [(name, f"{counts[name]:,}") for name in (*AWAY, "unfinished") if counts[name]]
    for name in RATES:
        if rates[name] is not None:
            label = name.removesuffix("_rps").removesuffix("_per_s").replace("_", " ")
            tiles.append((label, f"{markup.number(rates[name])}/s"))
    each = " per replication" if "replications" in found else ""
    tiles.append((f"energy{each}", format_joules(found["energy_j"]["total"])))
    tiles.append((f"cost{each}", format_usd(found["cost_usd"])))
    if found["carbon_g"] is not None:
        tiles.append((f"CO2{each}", format_grams(found["carbon_g"])))
    return tiles


def _metrics(found: Json) -> str:
    """All metrics that are more than zeros, with the intervals of their means and where these come from."""
    rows: list[list[Cell]] = []
    for name, values in found["metrics"].items():
        if not values["count"] or not values["max"] or is_full_quality(name, values):
            continue
        row: list[Cell] = [name]
        for statistic in SHOWN:
            shown = "-" if values[statistic] is None else _written(values[statistic], values["unit"])
            if statistic == "mean" and (interval := spread.interval(found, name)):
                shown = spread.around(interval, partial(_written, unit=values["unit"]))
            row.append((shown, values[statistic]))
        many = "; of 1,000 requests" if values["unit"] == "USD" else ""
        rows.append([*row, f"{METRICS[name].text}{many}"])
    head = ["metric", f"mean{' ± 95 %' if spread.known(found) else ''}", *SHOWN[1:], "meaning"]
    if not rows:
        return ""
    told = spread.origin(found)
    note = f"<p class=note>Intervals: {text(told)}.</p>" if told else ""
    return markup.table(head, rows, "Metrics of the completed requests", hidden=False) + note


def _written(value: float, unit: str) -> str:
    """A value of a metric; dollars are those of 1,000 requests, since those of one are hard to read."""
    if unit == "USD":
        return format_usd(1000 * value)
    return f"{markup.number(value)} {unit}" if unit == "tokens" else format_quantity(value, unit)


def _groups(found: Json) -> str:
    """Tiers and workloads, a row each."""
    tables = []
    for by, title in (("tier", "Tiers"), ("workload", "Workloads")):
        groups: Mapping[str, Json] = found["by"][by]
        if len(groups) < (2 if by == "workload" else 1):
            continue
        rows: list[list[Cell]] = []
        for name, group in groups.items():
            metrics, busy = group["metrics"], group.get("fleet", {}).get("utilisation")
            row: list[Cell] = [name, (f"{group['requests']['completed']:,}", group["requests"]["completed"])]
            for metric, statistic in (("ttft", "p50"), ("ttft", "p95"), ("tpot", "p50"), ("e2e", "p95")):
                value = metrics[metric][statistic]
                row.append(("-" if value is None else format_seconds(value), value))
            if by == "tier":
                row.append(("-" if busy is None else format_percent(busy), busy))
            energy, each = metrics["energy"]["mean"], metrics["cost"]["mean"]
            row += [
                ("-" if energy is None else format_joules(energy), energy),
                ("-" if each is None else format_usd(1000 * each), each),
                (format_usd(group["cost_usd"]), group["cost_usd"]),
            ]
            rows.append(row)
        busy_head = ["busy"] if by == "tier" else []
        head = [
            by,
            "completed",
            "ttft p50",
            "ttft p95",
            "tpot p50",
            "e2e p95",
            *busy_head,
            "energy per request",
            "cost per 1,000",
            "cost",
        ]
        tables.append(markup.table(head, rows, title, hidden=False))
    return "".join(tables)


def why(explained: Explanation) -> str:
    """The explanation: sentences in sight, tables folded away."""
    parts = []
    for part in explained.parts[1:]:
        strip = _strip(part.tables["bottlenecks"]) if "bottlenecks" in part.tables else ""
        folded = "".join(
            markup.details(f"Table: {name.replace('_', ' ')}", markup.frame(table, f"{part.title}: {name}"))
            for name, table in part.tables.items()
            if len(table)
        )
        parts.append(f"<h3>{text(part.title)}</h3>{strip}{markup.paragraphs(part.sentences)}{folded}")
    return markup.section("bottlenecks", "Why it came out like this", *parts)


def _strip(table: pd.DataFrame) -> str:
    """The bottleneck of each interval as a strip of colours, which the sentences below it put into words."""
    whole = float(table["end_s"].max())
    parts = "".join(
        f'<i style="flex:{row["end_s"] - row["start_s"]:g};background:var(--{row["phase"] or "rule"})"'
        f' title="{text(format_seconds(row["start_s"]))} to {text(format_seconds(row["end_s"]))}:'
        f' {text(row["bottleneck"])}"></i>'
        for row in table.to_dict(orient="records")
    )
    phases = [str(phase) for phase in dict.fromkeys(table["phase"]) if phase]
    legend = "".join(f"<li><span class=swatch data-phase={phase}></span>{phase}</li>" for phase in phases)
    label = f"Bottleneck from 0 s to {format_seconds(whole)}: {', then '.join(phases)}; told below"
    return (
        f'<div class=strip role="img" aria-label="{text(label)}">{parts}</div><ul class=legend>{legend}</ul>'
    )


def gallery(found: Any) -> str:
    """Pictures, if there are any."""
    drawn, lacking = pictures(found)
    shown = "".join(
        f"<figure>{picture}<figcaption>{text(caption)}</figcaption></figure>" for caption, picture in drawn
    )
    if not drawn:
        return ""
    note = f"<p class=note>{text(lacking[:1].upper() + lacking[1:])}</p>" if lacking else ""
    return markup.section("pictures", "Pictures", f"<div class=gallery>{shown}</div>{note}")


def topology(run: Run | RunSet, subject: Subject) -> str:
    """The topology to explore, if the scenario can still be read."""
    try:
        content = drawing(run.scenario, subject)
    except EdgesimError as error:
        first = str(error).strip().splitlines()[0]
        content = f"<p>The scenario cannot be read here ({text(first)}), so there is no drawing.</p>"
        return markup.section("topology", "Topology", content)
    hint = (
        "Bars show how much of the time a group computed, lines are as thick as their traffic."
        " Point at a group or link, tap it, or move to it with Tab, to see its figures."
    )
    return markup.section(
        "topology",
        "Topology",
        f"<p>{hint}</p><div class=explore><div class=wide>{content}</div>"
        '<div id="topology-told" class="told" role="status" aria-live="polite">Nothing is selected.</div></div>',
    )


def timeline(subject: Subject) -> str:
    """A canvas on which the script draws the requests, with buttons for all it can do."""
    carried = sample(subject)
    legend = "".join(
        f"<li><span class=swatch data-phase={phase}></span>{phase}</li>"
        for phase in SEQUENCE
        if any(carried["columns"][phase])
    )
    buttons = "".join(
        f'<button type="button" data-does="{does}" aria-label="{label}">{mark}</button>'
        for does, label, mark in (
            ("in", "Zoom in", "+"),
            ("out", "Zoom out", "\N{MINUS SIGN}"),
            ("left", "Earlier", "←"),
            ("right", "Later", "→"),
            ("all", "Show everything", "All"),
        )
    )
    choices = "".join(f"<option value={number}>{number}</option>" for number in range(subject.replications))
    chooser = f"<label>Replication <select id=replication>{choices}</select></label>"
    few = "" if len(carried["columns"]["request"]) == len(subject.requests) else carried["said"]
    return markup.section(
        "timeline",
        "Timeline of the requests",
        f"<p class=warning role=note>The bars are a sample. {text(few)}</p>" if few else "",
        "<p>A bar for each request from arrival to end, in the colours of its phases. Drag to move; with the keyboard:"
        " arrows move, + and - zoom, 0 shows everything. Requests at the same time lie below each other; where there"
        " are many, the picture scrolls up and down. The table below has the same in numbers.</p>",
        f"<ul class=legend>{legend}</ul>",
        f'<div class=controls role="group" aria-label="Timeline">{buttons}{chooser if subject.replications > 1 else ""}'
        '<output id="timeline-span"></output></div>',
        '<div class=lanes><canvas id="timeline-canvas" tabindex="0" role="img" '
        'aria-label="Timeline of the requests; the table below has the same in numbers"></canvas></div>',
        '<p id="timeline-told" class="told" role="status" aria-live="polite">'
        "Point at a bar, or tap it, to see its request.</p>",
        markup.embedded("requests-data", carried),
    )


def requests() -> str:
    """The frame of the table of requests, which the script fills."""
    return markup.section(
        "requests",
        "Requests",
        '<p id="requests-said"></p>',
        "<noscript><p>This table needs the script of this page; requests.parquet has all of it.</p></noscript>",
        '<div class=controls><label>Contains <input id="requests-filter" type="search" '
        'placeholder="e.g. edge, unfinished, 401"></label>'
        '<label>Status <select id="requests-status"><option value="">all</option></select></label>'
        '<label>Tier <select id="requests-tier"><option value="">all</option></select></label>'
        '<output id="requests-count" aria-live="polite"></output></div>',
        '<div class=wide role="region" tabindex="0" aria-label="Table of requests">'
        '<table id="requests-table"><caption class=unseen>Requests</caption><thead></thead><tbody></tbody>'
        "</table></div>",
        '<div class=controls role="group" aria-label="Pages"><button type="button" id="requests-back">Previous</button>'
        '<output id="requests-page"></output><button type="button" id="requests-next">Next</button></div>',
    )


def origin(found: Any) -> str:
    """How to get the same again."""
    return markup.section("origin", "Scenario and origin", provenance(found, opened=True))


def provenance(found: Any, *, opened: bool = False) -> str:
    """The scenario, and how the result came about."""
    content = manifest_table(found.manifest, opened=opened)
    try:
        yaml = found.scenario.resolved_yaml()
    except (EdgesimError, AttributeError):
        yaml = ""
    asked = found.folder / "sweep.yaml" if getattr(found, "folder", None) else None
    if asked and asked.is_file():
        sweep = text(asked.read_text(encoding="utf-8"))
        content += markup.details("Sweep, as it was asked for", f"<pre tabindex=0>{sweep}</pre>")
    if yaml:
        content += markup.details(
            "Scenario, with everything spelled out", f"<pre tabindex=0>{text(yaml)}</pre>"
        )
    return content


def manifest_table(manifest: Json, *, opened: bool = False) -> str:
    """What a manifest says, folded away unless it shall be seen."""
    known = {key: value for key, value in manifest.items() if not isinstance(value, list | dict)}
    rows = [[key, _plain(value)] for key, value in known.items() if value is not None]
    rows += [[f"{name} version", str(version)] for name, version in manifest.get("versions", {}).items()]
    table = markup.table(["what", "value"], rows, "Manifest")
    return markup.details("How it came about", table, opened=opened)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
