"""The requests that a page carries: all of a small run, of a large one the worst and some spread over the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.studies.explanation.subject import SEQUENCE, spent, values_of
from edgesim.studies.explanation.worst import badness

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from edgesim.studies.explanation.subject import Subject

MOST: Final = (1000, 1000)
"""Worst requests, and others, that a page carries."""

_NAMES: Final = ("workload", "status", "tier", "replica", "reason")
_COUNTS: Final = ("request", "prompt_tokens", "output_tokens")
_DIGITS: Final = 6


def sample(subject: Subject) -> dict[str, Any]:
    """Choose requests and pack them by column.

    Returns:
        `said`: which ones they are. `names`: column -> names. `columns`: column -> numbers (codes where there
        are names), None where one is missing. `phases`: names of the phases, whose columns are seconds.
    """
    everyone = subject.requests
    chosen, said = _chosen(subject)
    rows = everyone.iloc[chosen]
    columns: dict[str, list[Any]] = {name: rows[name].astype(int).tolist() for name in _COUNTS}
    names: dict[str, list[str]] = {}
    for name in _NAMES:
        if name in rows.columns:
            codes = rows[name].astype("category").cat.remove_unused_categories().cat
            names[name] = [*map(str, codes.categories), ""]
            columns[name] = [int(code) if code >= 0 else len(codes.categories) for code in codes.codes]
    columns["replication"] = (
        rows["replication"].astype(int).tolist() if "replication" in rows.columns else [0] * len(rows)
    )
    columns["arrived"] = [round(float(value), 6) for value in rows["arrived_at"]]
    score = _scores(subject, rows)[0]
    columns["times_limit"] = _rounded(
        np.where(score < 0, np.nan, score) if subject.limits else score * np.nan
    )
    for name in ("ttft", "tpot"):
        columns[name] = _rounded(values_of(name, rows))
    columns["e2e"] = _rounded(spent(rows))
    columns["energy"] = _rounded(rows["energy_j"].to_numpy(dtype=np.float64))
    columns["cost"] = _rounded(rows["cost_usd"].to_numpy(dtype=np.float64))
    for phase in SEQUENCE:
        columns[phase] = _rounded(rows[phase].to_numpy(dtype=np.float64))
    return {
        "said": said,
        "names": names,
        "columns": columns,
        "phases": list(SEQUENCE),
        "duration": subject.duration_s,
        "limits": subject.limits,
        "replications": subject.replications,
    }


def _chosen(subject: Subject) -> tuple[NDArray[np.int64], str]:
    """Answer the places of the requests to carry, in the table's order, and say which they are."""
    count = len(subject.requests)
    worst, others = MOST
    if not count:
        return np.arange(0), "No request arrived."
    if count <= worst + others:
        return np.arange(count), f"All {count:,} requests are shown."
    score, by = _scores(subject, subject.requests)
    order = np.argsort(-score, kind="stable")
    rest = np.sort(order[worst:])
    spread = rest[np.linspace(0, len(rest) - 1, others).round().astype(np.int64)]
    said = (
        f"Shown are {worst + others:,} of {count:,} requests: the {worst:,} worst, by {by}, and {others:,} spread"
        " evenly over the others. requests.parquet has all."
    )
    return np.sort(np.concatenate([order[:worst], spread])), said


def _scores(subject: Subject, requests: pd.DataFrame) -> tuple[NDArray[np.float64], str]:
    """Answer how bad each request is; what was turned away comes after all that was answered."""
    score, by = badness(subject, requests)
    alive = requests["status"].isin(["completed", "unfinished"]).to_numpy()
    return np.where(alive, np.nan_to_num(score, nan=-1.0), -2.0), by


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    """Numbers with six digits, which no picture shows more of; None where one is missing."""
    return [
        None if value != value else (int(value) if value == int(value) else float(f"{value:.{_DIGITS}g}"))  # noqa: PLR0124 - NaN
        for value in values.tolist()
    ]
