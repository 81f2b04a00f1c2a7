"""Why requests queue at a replica: its batch is full, its KV cache is, prompts are read before theirs, or others idle.

Of the replica that most of a stretch's queueing is spent at, the requests in its batch are counted over the time in
which somebody queues. Where as many as it may serve at once are in it most of that time, the batch is full; else a full
KV cache keeps requests out; else a prompt that is being read all the time does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.units import format_percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgesim.studies.explanation.bottlenecks import Layout
    from edgesim.studies.explanation.subject import Subject

    Values = NDArray[np.float64]

MOSTLY: Final = 0.5
"""Share of the time in which requests queue from which on what happens then is their cause."""
FULL: Final = 0.97
"""Share of a KV cache from which on it is full: a watermark stays free."""
IDLE: Final = 0.5
"""Replicas that are less busy than this share of their busy peer could have helped it."""
SERVED: Final = ("prefill", "decode", "stall")
"""Phases in which a request is in the batch, or holds its place there."""


def cause(subject: Subject, layout: Layout, tier: int, start: float, end: float) -> dict[str, Any]:
    """Answer what keeps requests in the queue of a tier's worst replica, in numbers and in words.

    Args:
        subject: What to explain.
        layout: Its requests, laid out in time.
        tier: Code of the tier.
        start: Start of the stretch of time [s].
        end: End of it [s].
    """
    queued = np.where(layout.tiers == tier, layout.inside("queue", start, end), 0.0)
    by_replica = np.bincount(layout.replicas, queued, len(layout.replica_names))
    top = int(by_replica.argmax())
    here = layout.replicas == top
    if "replication" in subject.requests.columns:
        numbers = subject.requests["replication"].to_numpy()
        here &= numbers == numbers.min()
    name = layout.replica_names[top]
    queue = _present(layout, ("queue",), here, start, end)
    if not queue[1].any():
        return {}
    served = [phase for phase in SERVED if phase in layout.starts]
    batch = _present(layout, served, here, start, end)
    reading = _present(layout, ("prefill",) if "prefill" in layout.starts else (), here, start, end)
    times = np.unique(np.concatenate([queue[0], batch[0], reading[0], [end]]))
    lengths = np.where(_at(queue, times[:-1]) > 0, np.diff(times), 0.0)
    whole = float(lengths.sum())
    running, read = _at(batch, times[:-1]), _at(reading, times[:-1])
    limit = subject.most_at_once.get(name.rpartition("/")[2])
    fleet = subject.summary["by"]["replica"].get(name, {}).get("fleet", {})
    row = {
        "start_s": start,
        "end_s": end,
        "replica": name,
        "queueing_share": whole / (end - start),
        "in_batch": float((lengths * running).sum()) / whole,
        "at_most": limit,
        "batch_full_share": float(lengths[running >= limit].sum()) / whole if limit else float("nan"),
        "reading_share": float(lengths[read > 0].sum()) / whole,
        "peak_kv_share": fleet.get("peak_kv_share"),
        "preemptions": fleet.get("preemptions"),
        "busy_share": fleet.get("utilisation"),
        "peers": 0,
        "peers_busy_share": float("nan"),
    }
    return row | _peers(subject, name)


def _peers(subject: Subject, name: str) -> dict[str, Any]:
    """How many replicas there are of the same deployment that serve everybody, too, and how busy they were."""
    node, _, deployment = name.rpartition("/")
    if not node or deployment in subject.own_only:
        return {}
    others = [
        group["fleet"]["utilisation"]
        for other, group in subject.summary["by"]["replica"].items()
        if other != name and other.rpartition("/")[2] == deployment
    ]
    return {"peers": len(others), "peers_busy_share": sum(others) / len(others)} if others else {}


def words(row: dict[str, Any]) -> str:
    """Say why requests queue, and what would help; "" if nothing stands out."""
    if not row:
        return ""
    told = _held(row)
    busy = row["busy_share"]
    if row["peers"] and busy and row["peers_busy_share"] < IDLE * busy:
        peers = f"its {row['peers']:,} peers were" if row["peers"] > 1 else "its peer was"
        told.append(
            f"{peers} busy {format_percent(row['peers_busy_share'])} of the run: a router that looks would send them"
            " more"
        )
    return "; ".join(told)


def _held(row: dict[str, Any]) -> list[str]:
    """Say what keeps requests out of the batch."""
    if row["batch_full_share"] >= MOSTLY:
        share = format_percent(row["batch_full_share"])
        full = f"{row['at_most']:,} of {row['at_most']:,} sequences"
        told = f"its batch is full ({full} {share} of the time that requests queue)"
        return [f"{told}: a larger max_num_seqs or more replicas would help"]
    if (row["peak_kv_share"] or 0.0) >= FULL:
        again = f", {row['preemptions']:,} preemptions" if row["preemptions"] else ""
        told = f"its KV cache is full ({row['in_batch']:.3g} sequences at once on average{again})"
        return [f"{told}: more memory for KV, smaller KV types or more replicas would help"]
    if row["reading_share"] >= MOSTLY:
        share = format_percent(row["reading_share"])
        told = f"it is reading prompts {share} of the time that requests queue, with {row['in_batch']:.3g} in its batch"
        return [f"{told}: faster prefill, cached prefixes or more replicas would help"]
    return []


def _present(
    layout: Layout, phases: Sequence[str], here: NDArray[np.bool_], start: float, end: float
) -> tuple[Values, Values]:
    """Times at which the number of requests in some phases changes, and the number from then on."""
    begins = np.concatenate([np.zeros(0), *(layout.starts[phase][here] for phase in phases)])
    ends = np.concatenate([np.zeros(0), *(layout.ends[phase][here] for phase in phases)])
    inside = (ends > begins) & (ends > start) & (begins < end)
    begins, ends = np.maximum(begins[inside], start), np.minimum(ends[inside], end)
    times = np.concatenate([begins, ends])
    order = np.argsort(times, kind="stable")
    steps = np.concatenate([np.ones(len(begins)), -np.ones(len(ends))])[order]
    return times[order], np.cumsum(steps)


def _at(present: tuple[Values, Values], times: Values) -> Values:
    """How many there are at (just after) each of some times."""
    changes, numbers = present
    places = np.searchsorted(changes, times, side="right") - 1
    return np.where(places >= 0, np.append(numbers, 0.0)[places], 0.0)
