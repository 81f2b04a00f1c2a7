"""The columns of the record tables: names, units, meaning, and how they come from the engine's integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from edgesim.records import (
    ANSWER,
    DECISION_RECORD,
    LEG_KIND,
    LEG_RECORD,
    OUTCOME,
    PHASES,
    REQUEST_RECORD,
    RESOURCE_KIND,
    RESOURCE_RECORD,
    ROLE,
    STATUS,
    STEP_RECORD,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edgesim.outcome import NodeNames, RunInfo

PS_PER_S: Final = 1e12
NJ_PER_J: Final = 1e9
ROW_GROUP: Final = 1 << 16
"""Rows that are written or summarised together: many enough to be fast, few enough to keep memory flat."""

BLOCK: Final = 4096
"""Rows turned into columns at a time: few enough to stay in the processor's cache meanwhile."""

Kind = Literal["int", "float", "optional float", "answered", "seconds", "optional seconds", "joules", "name"]


@dataclass(frozen=True)
class Column:
    """A column of a record table.

    Attributes:
        name: Name in the table.
        kind: How it comes from the record.
        source: Field of the record; of several, separated by "+", the sum.
        unit: Unit of the values; empty for names and plain numbers.
        text: What it says.
        names: For names: which list of the run holds them.
        lookup: For names: the list is per workload or replica, so the field's code leads to the name's code.
    """

    name: str
    kind: Kind
    source: str
    unit: str
    text: str
    names: Callable[[RunInfo], NodeNames] | None = None
    lookup: bool = False

    @property
    def dtype(self) -> type[np.int64 | np.float64 | np.int32]:
        """Type in which the values are collected."""
        if self.kind == "name":
            return np.int32
        return np.int64 if self.kind == "int" else np.float64


def _name(
    name: str, source: str, text: str, names: Callable[[RunInfo], NodeNames], *, lookup: bool = False
) -> Column:
    return Column(name, "name", source, "", text, names, lookup)


def _versions(info: RunInfo) -> Sequence[str]:
    return info.replica_versions or ("1",) * len(info.replica_names)


_PHASE_TEXT: Final = {
    "decision": "waiting for decisions: routing, admission, deferral",
    "uplink": "moving the prompt to the replica",
    "queue": "waiting at the replica for the first step",
    "prefill": "in steps that compute the prompt",
    "decode": "in steps that produce tokens",
    "stall": "preempted or otherwise held after it was first scheduled",
    "downlink": "moving the reply, as far as that is not hidden behind decoding",
    "backoff": "waiting before a retry",
}

REQUEST_COLUMNS: Final = (
    Column("request", "int", "request", "", "number of the request, in the order of arrival"),
    Column("session", "int", "session", "", "session that it belongs to"),
    _name("workload", "workload", "workload that asked", lambda i: i.workloads),
    _name("tenant", "workload", "tenant of the workload", lambda i: i.tenants, lookup=True),
    _name("privacy", "workload", "privacy class of the workload", lambda i: i.privacies, lookup=True),
    _name("origin", "origin", "node where it arose", lambda i: i.node_names),
    _name("replica", "replica", "replica that answered", lambda i: i.replica_names),
    _name("tier", "replica", "tier of that replica", lambda i: i.replica_tiers, lookup=True),
    _name("llm", "replica", "LLM of that replica", lambda i: i.replica_llms, lookup=True),
    _name("model_version", "replica", "version of that LLM", _versions, lookup=True),
    _name("status", "status", "how it ended", lambda _: STATUS),
    _name("reason", "reason", "why it was not completed", lambda i: i.reasons),
    Column("prompt_tokens", "int", "prompt", "tokens", "length of the prompt"),
    Column("cached_tokens", "int", "cached", "tokens", "prompt tokens found in a cache"),
    Column("output_tokens", "int", "output", "tokens", "tokens of the reply"),
    Column("arrived_at", "seconds", "arrived", "s", "when it arose at the client"),
    Column("first_scheduled_at", "optional seconds", "first_scheduled", "s", "start of its first step"),
    Column(
        "first_token_server_at",
        "optional seconds",
        "first_token_server",
        "s",
        "first token made, at the replica",
    ),
    Column("first_token_at", "optional seconds", "first_token", "s", "first token at the client"),
    Column("finished_at", "optional seconds", "finished", "s", "end at the client"),
    *(Column(phase, "seconds", phase, "s", _PHASE_TEXT[phase]) for phase in PHASES),
    Column(
        "quality", "answered", "quality", "", "score of what answered, 0 to 1 (1: unknown), if anything did"
    ),
    Column("bytes_up", "int", "bytes_up", "B", "sent from the client, all legs"),
    Column("bytes_down", "int", "bytes_down", "B", "sent to the client, all legs"),
    Column(
        "energy_j",
        "joules",
        "compute_nj+network_nj",
        "J",
        "dynamic energy of decisions, computing and network, all legs",
    ),
    Column("cost_usd", "float", "cost_usd", "USD", "accelerator time and traffic, all legs"),
    Column("carbon_g", "float", "carbon_g", "gCO2", "emissions of that energy, all legs"),
    Column("legs", "int", "legs", "", "attempts: first, retries, hedges"),
    Column("preemptions", "int", "preemptions", "", "times it was preempted"),
    Column("hops", "int", "hops", "", "links between client and replica; 0 if it was never sent"),
)
"""requests.parquet: a row per request."""

LEG_COLUMNS: Final = (
    Column("request", "int", "request", "", "number of the request"),
    Column("leg", "int", "leg", "", "which attempt, from 0"),
    _name("kind", "kind", "why it was sent", lambda _: LEG_KIND),
    _name("replica", "replica", "replica that it was sent to", lambda i: i.replica_names),
    _name("node", "replica", "node of that replica", lambda i: i.replica_nodes, lookup=True),
    _name("tier", "replica", "tier of that replica", lambda i: i.replica_tiers, lookup=True),
    _name("outcome", "outcome", "how it ended", lambda _: OUTCOME),
    Column("dispatched_at", "optional seconds", "dispatched", "s", "sent from the client"),
    Column("delivered_at", "optional seconds", "delivered", "s", "complete at the replica"),
    Column("first_scheduled_at", "optional seconds", "first_scheduled", "s", "start of its first step"),
    Column("first_token_at", "optional seconds", "first_token", "s", "first token of this leg"),
    Column("finished_at", "optional seconds", "finished", "s", "end of this leg"),
    Column("prompt_tokens", "int", "prompt", "tokens", "length of the prompt"),
    Column("output_tokens", "int", "output", "tokens", "tokens made by this leg"),
    Column("preemptions", "int", "preemptions", "", "times it was preempted"),
    Column("compute_energy_j", "joules", "compute_nj", "J", "its share of the replica's dynamic energy"),
    Column("network_energy_j", "joules", "network_nj", "J", "energy of its transfers"),
    Column("replica_time", "seconds", "share_ps", "s", "its share of the replica's busy time"),
)
"""legs.parquet: a row per attempt of a request."""


def _names(info: RunInfo) -> Sequence[str]:
    """Of replicas, then of links."""
    return [*info.replica_names, *info.link_names]


RESOURCE_COLUMNS: Final = (
    Column(
        "t", "seconds", "at", "s", "when it was sampled; a row that would repeat the one before is left out"
    ),
    _name("kind", "kind", "what it is: a replica or a link", lambda _: RESOURCE_KIND),
    _name("name", "name", "which one", _names),
    _name("tier", "replica", "tier of the replica", lambda i: i.replica_tiers, lookup=True),
    Column("waiting", "optional float", "waiting", "", "requests that wait at the replica"),
    Column("running", "optional float", "running", "", "requests in its batch"),
    Column("kv_share", "optional float", "kv_share", "", "share of its KV cache in use"),
    Column(
        "utilisation",
        "float",
        "utilisation",
        "",
        "since the sample before: share of the time that steps took, or of what the link could have carried",
    ),
    Column("power_w", "optional float", "power_w", "W", "mean power of the replica since the sample before"),
    Column("bytes", "optional float", "bytes", "B", "carried by the link since the sample before"),
    Column("temperature_c", "optional float", "temperature_c", "degC", "of an accelerator that warms up"),
    Column("clock", "optional float", "clock", "", "share of its full clock that heat leaves it"),
)
"""resources.parquet: a row per sample of a replica or link, unless it would repeat the one before.

The first replica has one in every sample."""

STEP_COLUMNS: Final = (
    _name("replica", "replica", "replica that took the step", lambda i: i.replica_names),
    _name("tier", "replica", "tier of that replica", lambda i: i.replica_tiers, lookup=True),
    Column("began_at", "seconds", "began", "s", "when it began"),
    Column("ended_at", "seconds", "ended", "s", "when it ended, or broke off"),
    Column("prefill_tokens", "int", "prefill", "tokens", "tokens of prompts that it computed"),
    Column("decodes", "int", "decodes", "", "requests that it gave their next token"),
    Column("energy_j", "joules", "compute_nj", "J", "dynamic energy that its requests share"),
    Column("whole", "int", "whole", "", "1; 0 if the replica crashed, or the run ended, before it was done"),
)
"""steps.parquet: a row per engine step.

Those of one replica come in the order of time; those of different replicas come interleaved."""

DECISION_COLUMNS: Final = (
    Column("request", "int", "request", "", "number of the request"),
    Column("attempt", "int", "attempt", "", "how many times it was sent to a replica before"),
    _name("role", "role", "who decided", lambda _: ROLE),
    _name("answer", "answer", "what was decided", lambda _: ANSWER),
    Column("copy", "int", "copy", "", "which copy of a hedge, from 0"),
    Column("at", "seconds", "at", "s", "when it was asked"),
    _name("replica", "replica", "replica that it was about, or chose", lambda i: i.replica_names),
    _name("reason", "reason", "why the request was refused", lambda i: i.reasons),
    Column("until", "optional float", "until", "s", "when a deferral ends"),
    Column("rank", "optional float", "rank", "", "rank in the queue of the replica"),
    Column("candidates", "optional float", "candidates", "", "replicas to choose from, if Python decided"),
    Column("decision_time", "optional seconds", "decision_ps", "s", "time that deciding takes"),
    Column("decision_energy_j", "joules", "decision_nj", "J", "energy that deciding takes"),
)
"""decisions.parquet: a row per decision about a request, of a hedge a row per copy."""

RECORDS: Final = {
    "requests": (REQUEST_COLUMNS, REQUEST_RECORD),
    "legs": (LEG_COLUMNS, LEG_RECORD),
    "resources": (RESOURCE_COLUMNS, RESOURCE_RECORD),
    "decisions": (DECISION_COLUMNS, DECISION_RECORD),
    "steps": (STEP_COLUMNS, STEP_RECORD),
}
"""Table -> its columns and the record that they come from."""

Values = NDArray[Any]
"""Floats, integers, or 32-bit codes of names."""


class ColumnBlock:
    """Columns of up to `capacity` rows, filled from records.

    Args:
        columns: Columns to fill.
        info: Names of the run.
        capacity: Rows that fit.
    """

    def __init__(self, columns: Sequence[Column], info: RunInfo, capacity: int) -> None:
        self.columns = columns
        self.capacity = capacity
        self.rows = 0
        self._info = info
        self._values: dict[str, Values] = {
            column.name: np.empty(capacity, column.dtype) for column in columns
        }
        self._lookups: dict[str, Lookup] = {c.name: Lookup() for c in columns if c.lookup}

    def __getitem__(self, name: str) -> Values:
        return self._values[name][: self.rows]

    @property
    def room(self) -> int:
        """Rows that still fit."""
        return self.capacity - self.rows

    def clear(self) -> None:
        """Forget all rows."""
        self.rows = 0

    def fill(self, records: NDArray[np.void]) -> None:
        """Append rows of records; at most `room`."""
        for start in range(0, len(records), BLOCK):
            block = records[start : start + BLOCK]
            end = self.rows + len(block)
            for column in self.columns:
                self._convert(column, block, self._values[column.name][self.rows : end])
            self.rows = end

    def _convert(self, column: Column, block: NDArray[np.void], out: NDArray[np.generic]) -> None:
        """Turn one field (or a sum of fields) of a few records into values of a column."""
        first, *others = column.source.split("+")
        values = block[first]
        for other in others:
            values = values + block[other]
        match column.kind:
            case "seconds":
                np.true_divide(values, PS_PER_S, out=out)
            case "optional seconds":
                np.true_divide(values, PS_PER_S, out=out)
                if (values < 0).any():
                    out[values < 0] = np.nan
            case "answered":
                out[:] = np.where(block["status"] == STATUS.index("completed"), values, np.nan)
            case "joules":
                np.true_divide(values, NJ_PER_J, out=out)
            case "name" if column.lookup:
                np.take(self._lookups[column.name].codes(self.labels(column)), values, out=out, mode="wrap")
            case _:
                out[:] = values

    def labels(self, column: Column) -> NodeNames:
        """Names (still one for each code of the record) of a column of names."""
        assert column.names is not None
        return column.names(self._info)

    def names(self, column: Column) -> tuple[NDArray[np.int32], list[str]]:
        """Codes (-1: none) and the names they point to, for one column of names."""
        codes = self._values[column.name][: self.rows].astype(np.int32, copy=False)
        if column.lookup:
            return codes, self._lookups[column.name].names
        labels = self.labels(column)
        if not callable(labels) and len(labels) <= BLOCK:
            return codes, list(labels)
        used = np.unique(codes)  # a large group: name only the nodes that occur
        used = used[used >= 0]
        names = [labels(int(code)) if callable(labels) else labels[code] for code in used]
        return np.where(codes < 0, -1, np.searchsorted(used, codes)).astype(np.int32), names


class Lookup:
    """Distinct names of a list that says them over and over, such as the tier of each replica."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._known = 0
        self._codes = np.array([-1], np.int32)  # the last place stands for code -1: no such thing

    def codes(self, labels: NodeNames) -> NDArray[np.int32]:
        """Code of each label, and -1 at the end; labels may have been appended since the last call."""
        assert not callable(labels)
        if len(labels) != self._known:
            places = {name: place for place, name in enumerate(self.names)}
            codes = [places.setdefault(label, len(places)) for label in labels]
            self.names = list(places)
            self._codes = np.array([*codes, -1], np.int32)
            self._known = len(labels)
        return self._codes


def blocks(records: NDArray[np.void], block: ColumnBlock) -> Iterator[ColumnBlock]:
    """Fill a block from records again and again; each time it is full it is handed out, then cleared."""
    start = 0
    while start < len(records):
        taken = records[start : start + block.room]
        block.fill(taken)
        start += len(taken)
        if not block.room:
            yield block
            block.clear()
