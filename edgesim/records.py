"""What a run records: a row a request, a leg, a decision; all integers where exactness matters."""

from __future__ import annotations

from typing import Final

import numpy as np

STATUS: Final = ("completed", "rejected", "failed", "abandoned", "unfinished")
"""How a request can end; the code is the position."""

OUTCOME: Final = ("completed", "lost", "cancelled", "rejected", "unfinished")
"""How a leg can end; the code is the position."""

LEG_KIND: Final = ("first", "retry", "hedge")
"""Why a leg was sent; the code is the position."""

PHASES: Final = ("decision", "uplink", "queue", "prefill", "decode", "stall", "downlink", "backoff")
"""The phases of a request; their integer picoseconds add up to finished - arrived."""

RESOURCE_KIND: Final = ("replica", "link")
"""What a row of the time series is about; the code is the position."""

MISSING: Final = -1
"""A time or place that does not exist for this row."""

REQUEST_RECORD: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            "request",
            "workload",
            "session",
            "turn",
            "origin",
            "replica",
            "status",
            "reason",
            "prompt",
            "cached",
            "output",
            "arrived",
            "first_scheduled",
            "first_token_server",
            "first_token",
            "finished",
            *PHASES,
            "bytes_up",
            "bytes_down",
            "compute_nj",
            "network_nj",
            "share_ps",
            "legs",
            "preemptions",
            "hops",
        )
    ]
    + [(name, np.float64) for name in ("cost_usd", "carbon_g", "quality")]
)

LEG_RECORD: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            "request",
            "leg",
            "kind",
            "replica",
            "outcome",
            "dispatched",
            "delivered",
            "first_scheduled",
            "first_token",
            "finished",
            "prompt",
            "output",
            "preemptions",
            "compute_nj",
            "network_nj",
            "share_ps",
        )
    ]
)

STEP_RECORD: Final = np.dtype(
    [(name, np.int64) for name in ("replica", "began", "ended", "prefill", "decodes", "compute_nj", "whole")]
)
"""A step of a replica: tokens of prompts that it read, requests that it gave a token; `whole` is 0 if it broke off."""

RESOURCE_RECORD: Final = np.dtype(
    [(name, np.int64) for name in ("at", "kind", "name", "replica")]
    + [
        (name, np.float64)
        for name in (
            "waiting",
            "running",
            "kv_share",
            "utilisation",
            "power_w",
            "bytes",
            "temperature_c",
            "clock",
        )
    ]
)
"""A sample of a replica or link; names are those of the replicas, then those of the links."""

ROLE: Final = ("router", "admission", "scheduler")
"""Whose decisions about requests are recorded; the code is the position."""

ANSWER: Final = ("send", "hedge", "reject", "defer", "accept", "rank")
"""What was decided; the code is the position."""

DECISION_RECORD: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            "request",
            "attempt",
            "role",
            "answer",
            "copy",
            "at",
            "replica",
            "reason",
            "decision_ps",
            "decision_nj",
        )
    ]
    + [(name, np.float64) for name in ("candidates", "until", "rank")]
)
"""A row per decision, of a hedge a row per copy; what does not apply is `MISSING`, of floats NaN."""
