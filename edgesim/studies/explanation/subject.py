"""What is explained: the requests of a run, or of all its replications, and what its summary says of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.errors import EdgesimError, ResultsError
from edgesim.metrics import METRICS
from edgesim.records import PHASES
from edgesim.results import needed
from edgesim.results.folder import SCENARIO

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from edgesim.results import Run, RunSet

    Values = NDArray[np.float64]

Json = dict[str, Any]

SEQUENCE: Final = ("decision", "backoff", "uplink", "queue", "prefill", "decode", "stall", "downlink")
"""Phases in the order in which a request goes through them; a stall, which interrupts, is told after what it held."""

WAITING: Final = frozenset(PHASES) - {"prefill", "decode"}
"""Phases in which nothing is computed for a request."""

_NEEDED: Final = (
    "request", "workload", "replica", "tier", "status", "prompt_tokens", "output_tokens", "arrived_at",
    "first_scheduled_at", "first_token_server_at", "first_token_at", "finished_at", *PHASES,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Subject:
    """A run, or the replications of a scenario taken together.

    Attributes:
        name: Name of the scenario.
        summary: Its summary.
        requests: A row per request of all replications.
        replications: How many there are.
        whole: Whether every replication that is here reached its end, even if others did not.
        resources: Time series of replicas and links, of replications those of the first; None if there are none.
        legs: A row per attempt; None if they were not recorded.
        deployments: As the scenario spells them out; none if that cannot be read.
    """

    name: str
    summary: Json
    requests: pd.DataFrame
    replications: int = 1
    whole: bool = True
    resources: pd.DataFrame | None = None
    legs: pd.DataFrame | None = None
    deployments: tuple[Json, ...] = ()

    @cached_property
    def most_at_once(self) -> dict[str, int]:
        """Deployment -> sequences that a replica of it serves at once."""
        return {
            each["name"]: int(each["max_num_seqs"]) for each in self.deployments if "max_num_seqs" in each
        }

    @cached_property
    def own_only(self) -> frozenset[str]:
        """Deployments whose replicas answer the requests of their own node alone."""
        return frozenset(each["name"] for each in self.deployments if each.get("serves") == "own")

    @cached_property
    def duration_s(self) -> float:
        """Simulated time [s]."""
        return float(self.summary["engine"]["simulated_s"])

    @cached_property
    def warmup_s(self) -> float:
        """Requests that arrived before this are not measured [s]."""
        return float(self.summary["warmup"]["seconds"])

    @cached_property
    def limits(self) -> dict[str, float]:
        """Metric -> limit for a single request, as the objectives set it."""
        return {row["metric"]: row["limit"] for row in self.summary["slo"] if row["limit"] is not None}

    @cached_property
    def measured(self) -> pd.DataFrame:
        """Requests that arrived after the warm-up."""
        return self.requests[self.requests["arrived_at"] >= self.warmup_s]

    @cached_property
    def completed(self) -> pd.DataFrame:
        """Those of them that were completed: what metrics are about."""
        return self.measured[self.measured["status"] == "completed"]


def subject_of(run: Run | RunSet) -> Subject:
    """Gather what an explanation needs of a run.

    Raises:
        ResultsError: It is no run, or its table lacks columns.
    """
    if not hasattr(run, "requests") or not hasattr(run, "summary"):
        kind = type(run).__name__
        raise ResultsError(
            f"a {kind.lower()} holds many runs; explain one of them, such as the folder points/0000 of a sweep"
        )
    requests = run.requests
    needed.check(requests, _NEEDED, "requests", run.folder)
    name = str(run.manifest.get("scenario") or "run")
    runs = list(run) if hasattr(run, "__iter__") else [run]
    return Subject(
        name,
        run.summary,
        requests,
        len(runs),
        all(each.finished for each in runs),
        _table(runs[0], "resources", {"t", "kind", "name", "utilisation"}),
        _table(run, "legs", {"tier", "network_energy_j"}),
        _deployments(run),
    )


def _deployments(run: Run | RunSet) -> tuple[Json, ...]:
    """Deployments as the scenario spells them out: read as text, since loading it may need plugins and traces."""
    from edgesim.scenario.text import read  # noqa: PLC0415 - stored runs are explained without it, too

    try:
        if run.folder is None:
            found = run.scenario.model_dump(mode="json", exclude_none=True)
        else:
            path = (
                run.folder / SCENARIO if (run.folder / SCENARIO).is_file() else run.folder.parent / SCENARIO
            )
            found = read(path.read_text(encoding="utf-8"), str(path), run.folder).plain()
        return tuple(dict(each) for each in found["deployments"] if each.get("name"))
    except (OSError, KeyError, TypeError, ValueError, AttributeError, EdgesimError):
        return ()


def _table(run: Run | RunSet, name: str, columns: set[str]) -> pd.DataFrame | None:
    """Answer a table that may not have been recorded."""
    try:
        table: pd.DataFrame | None = getattr(run, name, None)
    except (ResultsError, KeyError):
        return None
    return table if table is not None and len(table) and columns <= set(table.columns) else None


def values_of(metric: str, requests: pd.DataFrame) -> Values:
    """Answer a metric of each request; NaN where it does not exist."""
    columns = {
        name: requests[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in METRICS[metric].columns
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(METRICS[metric].formula(columns), np.float64)


def spent(requests: pd.DataFrame) -> Values:
    """Answer how long each request took, of an unfinished one so far [s]."""
    total: Values = requests[list(PHASES)].to_numpy(dtype=np.float64).sum(axis=1)
    return total
