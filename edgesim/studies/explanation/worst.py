"""The worst requests of a run, each with its phases as a bar of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.studies.explanation.part import Part
from edgesim.studies.explanation.subject import SEQUENCE, spent, values_of
from edgesim.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from edgesim.studies.explanation.subject import Subject

    Values = NDArray[np.float64]

MARKS: Final = {
    "decision": "?",
    "backoff": "z",
    "uplink": ">",
    "queue": ".",
    "prefill": "#",
    "decode": "=",
    "stall": "~",
    "downlink": "<",
}
"""Phase -> letter of its part of a bar."""

WIDTH: Final = 32
"""Letters of the longest bar."""


def worst(subject: Subject, count: int = 10) -> Part:
    """List the worst requests that arrived after the warm-up, also such as are still under way."""
    title = "The worst requests"
    alive = subject.measured[subject.measured["status"].isin(["completed", "unfinished"])]
    if not len(alive):
        return Part(title, ["No request was answered or is under way, so none can be shown."])
    score, by = badness(subject, alive)
    order = np.argsort(-np.nan_to_num(score, nan=-1.0), kind="stable")[:count]
    rows = alive.iloc[order]
    took = spent(rows)
    longest = float(took.max()) or 1.0
    names = [
        name for name in ("replication", "request", "workload", "status", "replica") if name in rows.columns
    ]
    table = rows[names].reset_index(drop=True)
    table["arrived_at_s"] = rows["arrived_at"].to_numpy()
    table["ttft_s"] = values_of("ttft", rows)
    table["e2e_s"] = took
    table["times_limit"] = score[order] if subject.limits else np.nan
    for phase in SEQUENCE:
        if rows[phase].any():
            table[f"{phase}_s"] = rows[phase].to_numpy()
    table["timeline"] = [
        bar([float(row[phase]) for phase in SEQUENCE], longest) for _, row in rows[list(SEQUENCE)].iterrows()
    ]
    if not subject.limits:
        table = table.drop(columns="times_limit")
    return Part(title, _sentences(table, rows, alive, by), {"worst": table})


def badness(subject: Subject, requests: pd.DataFrame) -> tuple[Values, str]:
    """Answer how bad each request is, and by what.

    With limits it is the largest ratio of a metric to its limit; without, the end-to-end latency [s]. What has
    not come yet counts with the time that has passed.
    """
    so_far = spent(requests)
    if not subject.limits:
        return so_far, "end-to-end latency"
    ratios = []
    for metric, limit in subject.limits.items():
        values = values_of(metric, requests)
        if metric in ("ttft", "e2e", "ttft_server"):
            values = np.where(np.isnan(values), so_far, values)
        ratios.append(values / limit if limit > 0 else values)
    known = np.nan_to_num(np.stack(ratios), nan=-1.0)
    return known.max(axis=0), "the ratio of a metric to its limit"


def bar(lengths: Sequence[float], longest: float) -> str:
    """Draw phases, given in the order of `SEQUENCE`, as letters; a phase that rounds to nothing gets none."""
    edges = np.rint(np.cumsum([0.0, *lengths]) / longest * WIDTH).astype(int).tolist()
    return "".join(
        MARKS[phase] * (end - start)
        for phase, start, end in zip(SEQUENCE, edges[:-1], edges[1:], strict=True)
    )


def _sentences(table: pd.DataFrame, rows: pd.DataFrame, everyone: pd.DataFrame, by: str) -> list[str]:
    means = {phase: float(rows[phase].mean()) for phase in SEQUENCE}
    top = max(means, key=lambda phase: means[phase])
    longest = float(table["e2e_s"].max())
    used = [phase for phase in SEQUENCE if any(MARKS[phase] in line for line in table["timeline"])]
    legend = ", ".join(f"{MARKS[phase]} {phase}" for phase in used)
    several = len(table) > 1
    sentences = [
        f"The {len(table)} worst, by {by}, spent most of their time in {top}"
        f" ({format_seconds(means[top])} on average); the longest took {format_seconds(longest)}."
        if several
        else f"The worst, by {by}, spent most of its time in {top}: {format_seconds(means[top])}"
        f" of {format_seconds(longest)}."
    ]
    where = _common(table, "replica", everyone) or _common(table, "workload", everyone)
    if where and several:
        sentences.append(where)
    if legend:
        sentences.append(f"Bars run from arrival, {WIDTH} letters for {format_seconds(longest)}: {legend}.")
    return sentences


def _common(table: pd.DataFrame, column: str, everyone: pd.DataFrame) -> str:
    """Say what most of the worst have in common, if not everyone has it."""
    counts: Any = table[column].astype(object).value_counts()
    if not len(counts) or counts.iloc[0] < 0.6 * len(table) or everyone[column].nunique() < 2:
        return ""
    word = {"replica": "were answered by", "workload": "belong to workload"}[column]
    most = "All" if counts.iloc[0] == len(table) else f"{counts.iloc[0]} of them"
    return f"{most} {word} {counts.index[0]}."
