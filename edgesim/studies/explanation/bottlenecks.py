"""What held requests up in each interval of a run: which phase, at which tier, replica or link.

Every request is laid out in time, its phases one after the other (`SEQUENCE`), and each interval adds up the
request-seconds that fall into it by phase and tier. Divided by its length they are, by Little's law, the mean
number of requests in that phase. Where at least `HELD_UP` of an interval's request-seconds were spent without
computing, the bottleneck is the largest part of that waiting, and stays so until less than `FREED` is; otherwise
nothing is short, and the speed of the phase that takes longest is what a faster system would have to improve.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from edgesim.studies.explanation.causes import IDLE, cause, words
from edgesim.studies.explanation.part import Part
from edgesim.studies.explanation.recorded import Recorded
from edgesim.studies.explanation.subject import SEQUENCE, WAITING, values_of
from edgesim.units import format_percent, format_seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.studies.explanation.subject import Subject

    Values = NDArray[np.float64]

INTERVALS: Final = (10, 20)
"""Fewest and most intervals of a run; so many that 50 requests fall into one, if there are enough."""
ENOUGH: Final = 50
FEW: Final = 20
"""Fewer requests than this show nothing."""
HELD_UP: Final = 0.2
"""Share of the request-seconds spent waiting from which on an interval counts as held up."""
FREED: Final = 0.15
"""... until it is less than this: a share that hovers about one bound would make many short stretches of one."""
MOSTLY: Final = 0.5
"""A replica with this share of what its tier waited is named; else the tier is."""
SLOWED: Final = 0.95
"""Mean clock, as a share of the nominal one, below which heat or a limit of frequency is told."""
SPARE: Final = 0.1
"""Use of the busiest link, over the run, below which bandwidth is not what transfers wait for."""
BUSIEST: Final = 10
"""Links that are listed."""
TOLD: Final = 6
"""Stretches of time that are told in sentences."""
MANY_TRIED: Final = 0.05
"""Share of requests with several attempts from which on their layout in time needs a word."""
LINKS: Final = ("uplink", "downlink", "decision", "backoff")
"""Phases that no replica spends."""

_COLUMNS: Final = (
    "start_s", "end_s", "arrived", "in_system", "waiting_share", "phase", "tier", "place", "share",
    "ttft_p95_s", "bottleneck",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Layout:
    """Requests laid out in time.

    Attributes:
        starts: Phase -> start of it in each request [s]; phases that nobody was in are left out.
        ends: The same for the end.
        tiers: Code of each request's tier in `tier_names`; the last code stands for no tier.
        replicas: The same for replicas.
    """

    starts: dict[str, Values]
    ends: dict[str, Values]
    tiers: NDArray[np.int64]
    tier_names: list[str]
    replicas: NDArray[np.int64]
    replica_names: list[str]

    @classmethod
    def of(cls, requests: pd.DataFrame) -> Layout:
        """Lay out requests."""
        starts, ends = {}, {}
        now = requests["arrived_at"].to_numpy(dtype=np.float64)
        for phase in SEQUENCE:
            length = requests[phase].to_numpy(dtype=np.float64)
            if length.any():
                starts[phase], ends[phase] = now, now + length
                now = ends[phase]
        return cls(starts, ends, *_codes(requests["tier"]), *_codes(requests["replica"]))

    def inside(self, phase: str, start: float, end: float) -> Values:
        """Answer the time that each request spent in a phase within an interval [s]."""
        inside: Values = np.minimum(self.ends[phase], end) - np.maximum(self.starts[phase], start)
        return np.maximum(inside, 0.0)


def _codes(column: pd.Series[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Codes of a column of names, and the names; what has none gets the last, empty name."""
    names = column.astype("category").cat
    codes = names.codes.to_numpy().astype(np.int64)
    return np.where(codes < 0, len(names.categories), codes), [*map(str, names.categories), ""]


def bottlenecks(subject: Subject, count: int | None = None) -> Part:
    """Say what held requests up in each interval.

    Args:
        subject: What to explain.
        count: Number of intervals; by default 10 to 20.
    """
    title = "What held requests up, and when"
    requests = subject.requests
    if len(requests) < FEW or subject.duration_s <= 0:
        came = (
            f"Only {len(requests)} request{'' if len(requests) == 1 else 's'}"
            if len(requests)
            else "No request"
        )
        return Part(
            title,
            [
                (
                    f"{came} arrived: too few to tell a bottleneck from chance; run longer"
                    f" (at least {FEW} requests)."
                )
            ],
        )
    fewest, most = INTERVALS
    number = count or min(max(len(requests) // ENOUGH, fewest), most)
    edges = np.linspace(0.0, subject.duration_s, number + 1).tolist()
    layout = Layout.of(requests)
    arrived = requests["arrived_at"].to_numpy(dtype=np.float64)
    ttft = values_of("ttft", requests)
    recorded = None if subject.resources is None else Recorded(subject.resources)
    rows: list[dict[str, Any]] = []
    for start, end in pairwise(edges):
        held = bool(rows) and rows[-1]["phase"] in WAITING
        row = _interval(layout, start, end, recorded, bound=FREED if held else HELD_UP)
        here = (arrived >= start) & (arrived < end)
        known = ttft[here & ~np.isnan(ttft)]
        row |= {
            "arrived": int(here.sum()),
            "in_system": row["in_system"] / subject.replications,
            "ttft_p95_s": float(np.percentile(known, 95)) if len(known) else float("nan"),
        }
        rows.append(row)
    table = pd.DataFrame(rows)[list(dict.fromkeys([*_COLUMNS, *(key for row in rows for key in row)]))]
    sentences, queues = _sentences(table, subject, layout, recorded)
    tables = {"bottlenecks": table} | ({"queues": pd.DataFrame(queues)} if queues else {})
    if (table["phase"].isin(["uplink", "downlink"])).any() and subject.summary["links"]:
        links = [{"link": name} | each for name, each in subject.summary["links"].items()]
        tables["links"] = pd.DataFrame(links[:BUSIEST])
    return Part(title, sentences, tables)


def _interval(
    layout: Layout, start: float, end: float, recorded: Recorded | None, *, bound: float
) -> dict[str, Any]:
    """Find what dominated one interval."""
    sums = {
        phase: np.bincount(layout.tiers, layout.inside(phase, start, end), len(layout.tier_names))
        for phase in layout.starts
    }
    whole = float(sum(part.sum() for part in sums.values()))
    waited = float(sum(part.sum() for phase, part in sums.items() if phase in WAITING))
    row: dict[str, Any] = {
        "start_s": start,
        "end_s": end,
        "in_system": whole / (end - start),
        "waiting_share": waited / whole if whole else 0.0,
        "phase": "",
        "tier": "",
        "place": "",
        "share": 0.0,
        "bottleneck": "nothing to do",
    }
    if not whole:
        return row
    held = waited / whole >= bound
    amounts = {
        (phase, tier): float(part[tier])
        for phase, part in sums.items()
        for tier in range(len(part))
        if (phase in WAITING) == held
    }
    (phase, tier), most = max(amounts.items(), key=lambda item: item[1])
    place, several = _place(layout, phase, tier, start, end)
    row |= {"phase": phase, "tier": layout.tier_names[tier], "place": place, "share": most / whole}
    seen = _seen(recorded, row) if recorded is not None else {}
    return row | {"bottleneck": _named(row, several, seen)} | seen


def _place(layout: Layout, phase: str, tier: int, start: float, end: float) -> tuple[str, int]:
    """Answer the replica that most of a tier's time in a phase was spent at, if any, and how many there were."""
    inside = np.where(layout.tiers == tier, layout.inside(phase, start, end), 0.0)
    by_replica = np.bincount(layout.replicas, inside, len(layout.replica_names))
    top, several = int(by_replica.argmax()), int(np.count_nonzero(by_replica))
    if phase in ("uplink", "downlink") or by_replica[top] < MOSTLY * by_replica.sum():
        return "", several
    return layout.replica_names[top], several


def _seen(recorded: Recorded, row: dict[str, Any]) -> dict[str, Any]:
    """Answer what was recorded, in an interval, of the replicas or of the busiest link behind its bottleneck."""
    span = (row["start_s"], row["end_s"])
    if row["phase"] in ("uplink", "downlink"):
        links = recorded.within("link", "utilisation", *span)
        if links is None:
            return {}
        means = links.mean()
        return {"busiest_link": str(means.idxmax()), "utilisation": float(means.max())}
    names = {row["place"]} if row["place"] else recorded.of_tier(row["tier"])
    found = {}
    for name, column in (
        ("utilisation", "utilisation"),
        ("queue_length", "waiting"),
        ("peak_kv_share", "kv_share"),
        ("clock", "clock"),
    ):
        values = recorded.within("replica", column, *span, names)
        if values is not None:
            found[name] = float(values.max().max() if name == "peak_kv_share" else values.mean().mean())
    return found


def _named(row: dict[str, Any], several: int, seen: dict[str, Any]) -> str:
    """Write a bottleneck in a few words."""
    phase, tier = row["phase"], row["tier"]
    where = row["place"] or (f"tier {tier}" if tier else "no replica yet")
    many = f"{several} replicas of tier {tier}" if not row["place"] and tier and several > 1 else where
    full = seen.get("peak_kv_share", 0.0) >= 0.99
    slow = (
        f", slowed to {format_percent(seen['clock'])} of the clock" if seen.get("clock", 1.0) < SLOWED else ""
    )
    link = f" (busiest link {seen['busiest_link']})" if "busiest_link" in seen else ""
    return {
        "queue": f"queue{'s' if many != where else ''} at {many}{', its KV cache full' if full else ''}{slow}",
        "stall": f"stalls at {many}{': its KV cache is full' if full else ' (preempted or held)'}",
        "uplink": f"network, up to {where}{link}",
        "downlink": f"network, down from {where}{link}",
        "decision": "decisions of router and admission",
        "backoff": "waiting before retries",
        "prefill": f"prefill speed of {many}{slow}",
        "decode": f"decode speed of {many}{slow}",
    }[phase]


def _sentences(
    table: pd.DataFrame, subject: Subject, layout: Layout, recorded: Recorded | None
) -> tuple[list[str], list[dict[str, Any]]]:
    """Tell stretches of time with one bottleneck, of many those that requests spent most in, and why queues form."""
    key = table["phase"] + "\n" + table["tier"]
    stretches = [part for _, part in table.groupby((key != key.shift()).cumsum(), sort=False)]
    stretches = [part for part in stretches if part["phase"].iloc[0]]
    largest = sorted(stretches, key=lambda part: -float(_spent(part).sum()))
    told = sorted(largest[:TOLD], key=lambda part: float(part["start_s"].iloc[0]))
    sentences: list[str] = []
    queues: list[dict[str, Any]] = []
    for part in told:
        tier = layout.tier_names.index(str(part["tier"].iloc[0]))
        span = float(part["start_s"].iloc[0]), float(part["end_s"].iloc[-1])
        sentences.append(_stretch(part, subject, layout, recorded))
        if part["phase"].iloc[0] == "queue":
            found = cause(subject, layout, tier, *span)
            queues += [found] if found else []
            if why := words(found):
                where = _place(layout, "queue", tier, *span)[0] == found["replica"]
                head = "Requests queue at" if where else "The longest queue is at"
                sentences.append(f"{head} {found['replica']}{'' if where else ','} since {why}.")
            sentences += [each for each in _room(subject, str(part["tier"].iloc[0])) if each not in sentences]
        elif part["phase"].iloc[0] in ("uplink", "downlink"):
            sentences += [] if (why := _links(subject)) in sentences else [why]
    if len(told) < len(stretches):
        share = float(sum(_spent(part).sum() for part in told) / _spent(table).sum())
        sentences.append(
            f"These {len(told)} of {len(stretches)} stretches hold {format_percent(share)} of the time that requests"
            " spent; the table has all."
        )
    if idle := int((table["phase"] == "").sum()):
        sentences.append(f"No request was in the system in {idle} of {len(table)} intervals.")
    requests = subject.requests
    if "legs" in requests.columns and float((requests["legs"] > 1).mean()) > MANY_TRIED:
        sentences.append(
            "Some requests were tried more than once; the times of their attempts are laid one after the other."
        )
    return sentences, queues


def _spent(part: pd.DataFrame) -> pd.Series[Any]:
    """Time that requests spent in the system in each interval [s]."""
    return part["in_system"] * (part["end_s"] - part["start_s"])


def _room(subject: Subject, tier: str) -> list[str]:
    """Name the tiers that computed little while another one had queues."""
    busy = _busy(subject, "", tier)
    uses = {other: _busy(subject, "", other) for other in subject.summary["by"]["tier"] if other != tier}
    return [
        f"Tier {other} had room: it was busy {format_percent(use)} of the run."
        for other, use in uses.items()
        if busy and use is not None and use < IDLE * busy
    ]


def _links(subject: Subject) -> str:
    """Say whether transfers wait for bandwidth, or for what lies between."""
    links = subject.summary["links"]
    if not links:
        return "No link carried anything."
    uses = {name: float(each["utilisation"]) for name, each in links.items()}
    name, use = max(uses.items(), key=lambda pair: pair[1])
    told = f"The busiest link, {name}, was used to {format_percent(use)} of its capacity over the run"
    if use < SPARE:
        return f"{told}: it is latency rather than bandwidth that takes the time."
    others = [
        each
        for other, each in uses.items()
        if other != name and _group(other) == _group(name) and each > use / 2
    ]
    return f"{told}{f', {len(others)} like it to at least {format_percent(min(others))}' if others else ''}."


def _group(link: str) -> str:
    """What links of the same kind have in common: "phone[17]->edge" -> "phone->edge"."""
    return re.sub(r"\[\d+\]", "", link)


def _stretch(part: pd.DataFrame, subject: Subject, layout: Layout, recorded: Recorded | None) -> str:
    """Tell one stretch of time; where its bottleneck lies is found over the whole of it."""
    first = part.iloc[0]
    begin, end = float(first["start_s"]), float(part["end_s"].iloc[-1])
    phase, tier = str(first["phase"]), str(first["tier"])
    place, several = _place(layout, phase, layout.tier_names.index(tier), begin, end)
    row = {"start_s": begin, "end_s": end, "phase": phase, "tier": tier, "place": place}
    seen = {} if recorded is None or phase in LINKS else _seen(recorded, row)
    name = _named(row, several, seen)
    weights = _spent(part)
    share = float((part["share"] * weights).sum() / weights.sum())
    waiting = float((part["waiting_share"] * weights).sum() / weights.sum())
    busy = None if phase in LINKS else _busy(subject, place, tier)
    told = "" if busy is None else f" (busy {format_percent(busy)} of the run)"
    mean = float(part["in_system"].mean())
    count = f"{mean:,.0f}" if mean >= 100 else f"{mean:.3g}"
    little = "" if phase in WAITING else "only "
    return (
        f"{_seconds(begin)} to {_seconds(end)}: {name}{told}, {format_percent(share)} of the time that requests spent;"
        f" waiting and transfers take {little}{format_percent(waiting)}, with {count} requests in the system."
    )


def _busy(subject: Subject, place: str, tier: str) -> float | None:
    """Share of the run that a replica, or a tier, computed, as far as the summary says."""
    groups = subject.summary["by"]
    group = groups["replica"].get(place) if place else groups["tier"].get(tier)
    use: float | None = (group or {}).get("fleet", {}).get("utilisation")
    return use


def _seconds(value: float) -> str:
    return "0 s" if not value else format_seconds(float(value))
