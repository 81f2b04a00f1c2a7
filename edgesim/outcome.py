"""What a replication hands over: names while it runs, totals when it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NodeNames = Sequence[str] | Callable[[int], str]
"""Node index -> name; a function where large groups would make a long list."""

REPLICA_TOTALS: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            # times [ps]: switched on, computing, on without computing, computing for nobody (lost steps)
            "on_ps",
            "busy_ps",
            "idle_ps",
            "unattributed_ps",
            "steps",
            "tokens",
            "served",
            "preemptions",
            # energies [nJ]: of requests, of nobody's steps, of standing by, of what processes ran on its device
            "compute_nj",
            "wasted_nj",
            "idle_nj",
            "work_nj",
            "peak_kv_blocks",
            "kv_blocks",
            "hit_tokens",
            # times an accelerator was made ready for it, where several LLMs take turns
            "switches",
        )
    ]
    + [
        (name, np.float64)
        for name in (
            # work [MFLOP], memory traffic [KiB], and the shares of the peaks that they are
            "mflop",
            "kib",
            "mfu",
            "mbu",
            # money and carbon that no request pays for
            "idle_cost_usd",
            "idle_carbon_g",
        )
    ]
)
"""A row per replica, in the order of `RunInfo.replica_names`. Columns that are left out count as zero."""

LINK_TOTALS: Final = np.dtype(
    [
        (name, np.float64) for name in ("bytes", "capacity", "utilisation")
    ]  # [B], [B/s], share of capacity x time
)
"""A row per link and direction, in the order of `RunInfo.link_names`. Columns left out count as zero."""


HEAT_TOTALS: Final = np.dtype(
    # row in the fleet, time at less than the full clock [ps]; temperatures [degC]; slowest and mean clock
    [(name, np.int64) for name in ("replica", "throttled_ps")]
    + [(name, np.float64) for name in ("hottest_c", "final_c", "slowest", "mean_clock")]
)
"""A row per replica that warms up; clocks are shares of the full one."""


@dataclass(frozen=True)
class RunInfo:
    """The names behind the numbers of the records, and what a reader must know to judge them.

    Attributes:
        workloads: Name of each workload.
        tenants: Tenant of each workload.
        privacies: Privacy class of each workload.
        node_names: Name of each node.
        replica_names: Name of each replica; may grow while the run goes on.
        replica_tiers: Tier of each replica.
        replica_llms: LLM of each replica.
        replica_nodes: Name of the node that holds each replica.
        reasons: Texts behind the reason codes; may grow while the run goes on.
        duration_s: Simulated time [s]; before the run ends, as far as it is known.
        warmup_s: Requests that arrive before this are counted, not measured [s].
        slo: Metric -> statistic ("mean", "p95" ..., "attainment") -> target.
        seed: Seed of the scenario.
        replication: Which replication.
        engine: Engine that ran, and why if it was not asked for: "kernel".
        calibration: Where the step costs come from.
        error_band: Relative error that those costs are good for.
        replica_versions: Version of the LLM on each replica; empty stands for "1" everywhere.
        link_names: Name of each link and direction.
        notes: What the report has to tell, such as an oracle among the policies.
        carbon_stated: Whether the scenario says how much CO2 electricity causes anywhere.
    """

    workloads: Sequence[str]
    tenants: Sequence[str]
    privacies: Sequence[str]
    node_names: NodeNames
    replica_names: Sequence[str]
    replica_tiers: Sequence[str]
    replica_llms: Sequence[str]
    replica_nodes: Sequence[str]
    reasons: Sequence[str]
    duration_s: float = 0.0
    warmup_s: float = 0.0
    slo: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seed: int = 0
    replication: int = 0
    engine: str = ""
    calibration: str = ""
    error_band: float | None = None
    replica_versions: Sequence[str] = ()
    link_names: Sequence[str] = ()
    notes: Sequence[str] = ()
    carbon_stated: bool = True


@dataclass(frozen=True)
class Totals:
    """Sums over a replication that no single request knows.

    Attributes:
        replicas: Rows of (some columns of) `REPLICA_TOTALS`.
        links: Rows of (some columns of) `LINK_TOTALS`.
        heat: Rows of `HEAT_TOTALS`; none where nothing warms up.
        events: Events of the engine.
        stable: False when the engine saw its backlog grow without end.
        backlog: The engine's reason for that verdict.
        network_nj: Energy of the network [nJ]; None: the sum over the requests.
        decided_nj: Energy of decisions [nJ].
        policy_s: Wall time spent in each policy [s].
    """

    replicas: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, REPLICA_TOTALS))
    links: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, LINK_TOTALS))
    heat: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, HEAT_TOTALS))
    events: int = 0
    stable: bool = True
    backlog: str = ""
    network_nj: int | None = None
    decided_nj: int = 0
    policy_s: Mapping[str, float] = field(default_factory=dict)

    def replica(self, column: str) -> NDArray[np.float64]:
        """One column of the replicas as floats; zeros where the engine does not count it."""
        return _column(self.replicas, column)

    def link(self, column: str) -> NDArray[np.float64]:
        """One column of the links as floats; zeros where the engine does not count it."""
        return _column(self.links, column)


def _column(rows: NDArray[np.void], column: str) -> NDArray[np.float64]:
    """Read a column that may be missing."""
    if column not in (rows.dtype.names or ()):
        return np.zeros(len(rows))
    return rows[column].astype(np.float64)


@dataclass(frozen=True)
class Outcome:
    """How a replication ended.

    Attributes:
        totals: Sums of the fleet and the network.
        info: Names, with everything that only the end of the run knew.
    """

    totals: Totals
    info: RunInfo


class Sink(Protocol):
    """Takes the records of a running replication; the caller may overwrite a chunk afterwards."""

    def take(self, table: str, chunk: NDArray[np.void]) -> None:
        """Take rows of a table, whose record type `results.columns.RECORDS` names."""


Progress = Callable[[float, int], None]
"""Called now and then with the simulated seconds and the number of requests that ended so far."""


class Replication(Protocol):
    """One replication of a scenario, built and ready to run."""

    @property
    def info(self) -> RunInfo:
        """Names; valid from before the run on."""

    def run(self, sink: Sink, progress: Progress | None = None) -> Outcome:
        """Run to the end."""

    def so_far(self, sink: Sink) -> Outcome:
        """After `run` was interrupted or failed: hand over what is finished, and the totals up to there."""
