"""Why objectives were missed: how many requests exceed a limit, where, and which phase made the difference.

For each limit the completed requests that exceed it are laid beside those that keep it. A metric is divided into
the parts it is made of (a TTFT into everything before the first token, a TPOT into decoding and stalls per token);
the part whose mean differs most between the two made the difference.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from edgesim.metrics import METRICS
from edgesim.results.slo import SLACK
from edgesim.studies.explanation.part import Part
from edgesim.studies.explanation.subject import SEQUENCE, values_of
from edgesim.units import format_percent, format_seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.studies.explanation.subject import Subject

    Values = NDArray[np.float64]

FEW: Final = 10
"""Fewer requests on one side than this give no means worth comparing."""
WORTH_TELLING: Final = 0.05
"""Smaller shares of a metric are left to the table."""
ROUNDING: Final = 1e-9
"""Means that differ by less, relatively, are the same."""
MATTERS: Final = 1.25
"""A group whose share of misses is this much above the common one is named."""


def misses(subject: Subject, *, finished: bool = True) -> Part:
    """Say which requests missed which limit, and why; objectives that were met are left out.

    Args:
        subject: What to explain.
        finished: Whether it reached its end; otherwise no objective is judged, and all limits are told.
    """
    title = "Why objectives were missed" if finished else "Which requests exceed a limit"
    if not subject.summary["slo"]:
        return Part(title, ["The scenario states no objectives (`slo:`), so none can be missed."])
    sentences: list[str] = []
    groups: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for metric, limit in subject.limits.items():
        states = [row["met"] for row in subject.summary["slo"] if row["metric"] == metric]
        verdict = "missed" if False in states else "met" if True in states else "no target"
        if not finished or verdict != "met":
            word = verdict if finished else "not judged"
            sentences += _one(subject, metric, limit, word, groups, parts)
    for row in subject.summary["slo"]:
        if row["limit"] is None and row["met"] is False and finished:
            sentences.append(
                f"{row['metric']} {row['statistic']} missed its target; it sets no limit for single requests."
            )
    away = _turned_away(subject)
    if not sentences:
        sentences = ["No objective was missed." if finished else "No objective is judged."]
    columns = ["metric", "limit", "by", "group", "requests", "missed", "missed_share"]
    unit = "limit_s" if all(METRICS[metric].unit == "s" for metric in subject.limits) else "limit"
    tables = {
        "misses": pd.DataFrame(groups, columns=columns).rename(columns={"limit": unit}),
        "miss_phases": pd.DataFrame(
            parts, columns=["metric", "phase", "kept_mean_s", "missed_mean_s", "difference_s", "share"]
        ),
    }
    return Part(title, away + sentences, {name: table for name, table in tables.items() if len(table)})


def _one(
    subject: Subject,
    metric: str,
    limit: float,
    verdict: str,
    groups: list[dict[str, Any]],
    parts: list[dict[str, Any]],
) -> list[str]:
    """Explain one limit; append to the tables of groups and parts."""
    done = subject.completed
    values = values_of(metric, done)
    known = ~np.isnan(values)
    done, values = done[known], values[known]
    missed = values > limit * SLACK
    unit = METRICS[metric].unit
    named = f"{metric} <= {format_seconds(limit) if unit == 's' else f'{limit:g} {unit}'.strip()}"
    if not len(done):
        return [f"{named}: no completed request has a {metric}, so nothing can be said."]
    groups += _groups(done, missed, metric, limit)
    count = int(missed.sum())
    head = (
        f"{named} ({verdict}): {count:,} of {len(done):,} completed requests exceed it "
        f"({format_percent(count / len(done))})"
    )
    if not count:
        return [f"{head}."]
    sentences = [f"{head}{_where(groups, metric)}."]
    if unit != "s":
        return sentences
    if count < FEW:
        return [*sentences, "Too few requests exceed it to compare what made the difference."]
    if len(done) - count < FEW:
        return sentences + _composition(done, missed, metric, parts)
    return sentences + _difference(done, missed, metric, parts)


def _groups(done: pd.DataFrame, missed: NDArray[np.bool_], metric: str, limit: float) -> list[dict[str, Any]]:
    """Count the misses overall and by tier, workload and origin's group."""
    rows = [_counted(metric, limit, "all", "all", missed)]
    for by in ("tier", "workload", "llm"):
        if by not in done.columns or done[by].nunique() < 2:
            continue
        names = done[by].astype(object).to_numpy()
        rows += [_counted(metric, limit, by, str(name), missed[names == name]) for name in sorted(set(names))]
    return rows


def _counted(metric: str, limit: float, by: str, group: str, missed: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "metric": metric,
        "limit": limit,
        "by": by,
        "group": group,
        "requests": len(missed),
        "missed": int(missed.sum()),
        "missed_share": float(missed.mean()),
    }


def _where(groups: list[dict[str, Any]], metric: str) -> str:
    """Name the tier and the workload that miss most, if they stand out."""
    rows = [row for row in groups if row["metric"] == metric]
    common = next(row["missed_share"] for row in rows if row["by"] == "all")
    total = next(row["missed"] for row in rows if row["by"] == "all")
    told = []
    for by in ("tier", "workload"):
        of_kind = [row for row in rows if row["by"] == by]
        if not of_kind:
            continue
        top = max(of_kind, key=lambda row: row["missed"])
        if top["missed"] >= total / 2 or top["missed_share"] >= MATTERS * common:
            told.append(
                f"{top['missed']:,} of them on {by} {top['group']}, which misses"
                f" {format_percent(top['missed_share'])} of its own"
            )
    return f"; {'; '.join(told)}" if told else ""


def _difference(
    done: pd.DataFrame, missed: NDArray[np.bool_], metric: str, parts: list[dict[str, Any]]
) -> list[str]:
    """Compare the parts of a metric between those that exceed a limit and those that keep it."""
    rows: list[dict[str, Any]] = []
    for phase, values in _parts_of(metric, done).items():
        kept_mean, missed_mean = float(np.nanmean(values[~missed])), float(np.nanmean(values[missed]))
        same = math.isclose(kept_mean, missed_mean, rel_tol=ROUNDING)
        rows.append(
            {
                "metric": metric,
                "phase": phase,
                "kept_mean_s": kept_mean,
                "missed_mean_s": missed_mean,
                "difference_s": 0.0 if same else missed_mean - kept_mean,
            }
        )
    whole = sum(row["difference_s"] for row in rows)
    rows = [
        row | {"share": row["difference_s"] / whole if whole else 0.0}
        for row in rows
        if row["kept_mean_s"] or row["missed_mean_s"]
    ]
    parts += rows
    top = max(rows, key=lambda row: row["difference_s"])
    sentences = [
        (
            f"The difference is {top['phase']}: {format_seconds(top['missed_mean_s'])} on average for those that"
            f" exceed it, {format_seconds(top['kept_mean_s'])} for those that keep it"
            f" ({format_percent(top['share'])} of the difference in {metric})."
        )
    ]
    prompts = done["prompt_tokens"].to_numpy(dtype=np.float64)
    longer = prompts[missed].mean() / max(prompts[~missed].mean(), 1.0)
    if longer >= 1.5:
        sentences.append(
            f"Those that exceed it have longer prompts: {prompts[missed].mean():,.0f} tokens on average against"
            f" {prompts[~missed].mean():,.0f}."
        )
    return sentences


def _composition(
    done: pd.DataFrame, missed: NDArray[np.bool_], metric: str, parts: list[dict[str, Any]]
) -> list[str]:
    """Say what a metric is made of where hardly any request keeps its limit, so that there is nothing to compare."""
    means = {phase: float(np.nanmean(values[missed])) for phase, values in _parts_of(metric, done).items()}
    whole = sum(means.values())
    parts += [
        {"metric": metric, "phase": phase, "missed_mean_s": mean, "share": mean / whole if whole else 0.0}
        for phase, mean in means.items()
        if mean
    ]
    top = sorted(means, key=lambda phase: -means[phase])[:2]
    told = " and ".join(
        f"{format_seconds(means[phase])} {phase} ({format_percent(means[phase] / whole)})"
        for phase in top
        if means[phase] >= WORTH_TELLING * whole
    )
    return [f"Hardly any keeps it: {metric} is {format_seconds(whole)} on average, {told}."] if told else []


def _parts_of(metric: str, done: pd.DataFrame) -> dict[str, Values]:
    """Divide a metric into parts, each named after its phase; what they leave is `other`."""

    def column(name: str) -> Values:
        return done[name].to_numpy(dtype=np.float64)

    phases = {phase: column(phase) for phase in SEQUENCE}
    if metric in ("ttft", "ttft_server"):
        found = {phase: phases[phase] for phase in ("decision", "backoff", "uplink", "queue")}
        found["prefill"] = column("first_token_server_at") - column("first_scheduled_at")
        if metric == "ttft":
            found["downlink"] = column("first_token_at") - column("first_token_server_at")
    elif metric == "tpot":
        gaps = np.maximum(column("output_tokens") - 1, 1)
        found = {phase: phases[phase] / gaps for phase in ("decode", "stall", "downlink")}
    elif metric == "normalized_latency":
        tokens = np.maximum(column("output_tokens"), 1)
        found = {phase: values / tokens for phase, values in phases.items()}
    else:
        own = [phase for phase in SEQUENCE if phase in METRICS[metric].columns]
        found = {phase: phases[phase] for phase in own or SEQUENCE}
    other = values_of(metric, done) - sum(found.values())
    if np.nanmax(np.abs(other)) > 1e-6:
        found["other"] = other
    return found


def _turned_away(subject: Subject) -> list[str]:
    """Say how many requests got no answer, since that, too, misses objectives."""
    counts, reasons = subject.summary["requests"], subject.summary["reasons"]
    away = sum(counts[name] for name in ("rejected", "failed", "abandoned"))
    if not away:
        return []
    why = ", ".join(f"{number:,} {reason}" for reason, number in list(reasons.items())[:3])
    return [
        (
            f"{away:,} of {counts['arrived']:,} requests got no answer{f' ({why})' if why else ''};"
            " they count against every percentile and attainment."
        )
    ]
