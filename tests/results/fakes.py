"""Records with known answers, and a simulation that hands them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgesim.outcome import LINK_TOTALS, REPLICA_TOTALS, Outcome, RunInfo, Totals
from edgesim.records import LEG_RECORD, OUTCOME, REQUEST_RECORD, STATUS

S = 10**12
"""Picoseconds in a second."""

NODES = ["phone[0]", "phone[1]", "edge", "cloud"]


def info(**changes: Any) -> RunInfo:
    """Names of a run with two workloads and three replicas in two tiers."""
    values: dict[str, Any] = {
        "workloads": ["chat", "code"],
        "tenants": ["default", "acme"],
        "privacies": ["public", "personal"],
        "node_names": NODES,
        "replica_names": ["edge/0", "cloud/0", "cloud/1"],
        "replica_tiers": ["edge", "cloud", "cloud"],
        "replica_llms": ["small", "large", "large"],
        "replica_nodes": ["edge", "cloud", "cloud"],
        "reasons": ["", "no-replica"],
        "duration_s": 1000.0,
        "engine": "fake",
        "calibration": "none",
        "error_band": 0.25,
        "link_names": ["phone-edge up", "edge-cloud up"],
    }
    return RunInfo(**(values | changes))


def requests(count: int, seed: int = 0, *, every: float = 0.1) -> np.ndarray:
    """Random requests, 10 per second; one of twenty is rejected, the last three are unfinished."""
    draw = np.random.default_rng(seed)
    rows = np.zeros(count, REQUEST_RECORD)
    rows["request"] = rows["session"] = np.arange(count)
    rows["workload"] = draw.integers(0, 2, count)
    rows["origin"] = draw.integers(0, 2, count)
    rows["replica"] = draw.integers(0, 3, count)
    rows["prompt"] = draw.integers(1, 2000, count)
    rows["output"] = draw.integers(1, 5, count)
    rows["arrived"] = (np.arange(count) * every * S).astype(np.int64)
    for phase in ("decision", "uplink", "queue", "prefill", "decode", "downlink"):
        rows[phase] = draw.integers(1, S, count)
    rows["first_scheduled"] = rows["arrived"] + rows["decision"] + rows["uplink"] + rows["queue"]
    rows["first_token_server"] = rows["first_scheduled"] + rows["prefill"]
    rows["first_token"] = rows["first_token_server"] + rows["downlink"]
    rows["finished"] = rows["first_token"] + rows["decode"]
    rows["bytes_up"] = rows["prompt"] * 4
    rows["compute_nj"] = draw.integers(1, 10**12, count)
    rows["network_nj"] = draw.integers(1, 10**9, count)
    rows["cost_usd"] = draw.random(count)
    rows["carbon_g"] = draw.random(count)
    rows["quality"] = 1.0
    rows["legs"] = 1
    rejected = np.arange(count) % 20 == 7
    rows["status"][rejected] = STATUS.index("rejected")
    rows["reason"][rejected] = 1
    for name in ("replica", "first_scheduled", "first_token_server", "first_token"):
        rows[name][rejected] = -1
    unfinished = np.arange(count) >= count - 3
    rows["status"][unfinished] = STATUS.index("unfinished")
    for name in ("first_token_server", "first_token", "finished"):
        rows[name][unfinished] = -1
    return rows


def legs(rows: np.ndarray) -> np.ndarray:
    """One leg for each request that has a replica."""
    kept = rows[rows["replica"] >= 0]
    found = np.zeros(len(kept), LEG_RECORD)
    for name in set(LEG_RECORD.names) & set(REQUEST_RECORD.names):
        found[name] = kept[name]
    found["outcome"] = np.where(kept["finished"] < 0, OUTCOME.index("unfinished"), 0)
    found["dispatched"] = kept["arrived"] + kept["decision"]
    found["delivered"] = found["dispatched"] + kept["uplink"]
    return found


def totals(rows: np.ndarray, **changes: Any) -> Totals:
    """Totals that agree with the records; idle energy and money beside them."""
    replicas = np.zeros(3, REPLICA_TOTALS)
    for replica in range(3):
        replicas["compute_nj"][replica] = rows["compute_nj"][rows["replica"] == replica].sum()
    replicas["idle_nj"] = [10**9, 2 * 10**9, 3 * 10**9]
    replicas["on_ps"] = 1000 * S
    replicas["busy_ps"] = [100 * S, 200 * S, 400 * S]
    replicas["idle_cost_usd"] = 0.5
    replicas["kv_blocks"] = 10
    replicas["peak_kv_blocks"] = 5
    links = np.zeros(2, LINK_TOTALS)
    links["utilisation"] = [0.25, 0.75]
    network = int(rows["network_nj"].sum())
    return Totals(**({"replicas": replicas, "links": links, "events": 42, "network_nj": network} | changes))


@dataclass
class FakeSimulation:
    """Hands out records chunk by chunk, and stops where it is told to."""

    rows: np.ndarray
    breaks: BaseException | None = None
    """Raised after the first half of the rows."""
    info: RunInfo = field(default_factory=info)
    chunk: int = 64
    handed: int = 0

    def run(self, sink: Any, progress: Any = None) -> Outcome:
        """Hand out everything, or half of it."""
        end = len(self.rows) // 2 if self.breaks else len(self.rows)
        while self.handed < end:
            buffer = self.rows[self.handed : min(self.handed + self.chunk, end)].copy()
            sink.take("requests", buffer)
            sink.take("legs", legs(buffer))
            self.handed += len(buffer)
            buffer["request"] = -99  # an engine reuses its buffers
            if progress:
                progress(self.handed * 0.1, self.handed)
        if self.breaks:
            raise self.breaks
        return Outcome(totals(self.rows), self.info)

    def so_far(self, _: Any) -> Outcome:
        """Totals of what was handed out."""
        return Outcome(totals(self.rows[: self.handed]), self.info)
