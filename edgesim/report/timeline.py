"""The timeline of a run as Chrome trace events, which ui.perfetto.dev and chrome://tracing show.

Format: "Trace Event Format" (Duckworth et al., Google, 2016), JSON object form. A process is a node, a thread a place
in the batch of a replica, or a place among the transfers of a node; within a thread slices never overlap. Requests are
asynchronous slices on the node where they arose, with their phases inside; an arrow (flow) leads from each transfer to
what the replica then did. Times are microseconds.

Where `steps` were recorded each replica has a thread of its engine steps; the prefill and decode of a request at a
replica span the steps that it was in. Phases are drawn one after the other in the order in which a request usually goes
through them, whatever is known of it; a stall stands between prefill and decode. What replicas did (threads) has its
true times.
"""

from __future__ import annotations

import gzip
import heapq
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import ResultsError
from edgesim.records import PHASES
from edgesim.report.plots.base import kind_of, one_run
from edgesim.results import needed
from edgesim.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from edgesim.results import Run, RunSet

US: Final = 1e6
"""Microseconds in a second."""
ORDER: Final = ("decision", "backoff", "uplink", "queue", "prefill", "stall", "decode", "downlink")
"""The order in which phases are drawn."""
assert set(ORDER) == set(PHASES)
NETWORK: Final = 1
"""Process of the links."""
COMPRESSION: Final = 3
"""Of gzip: ten times smaller, hardly slower."""


@dataclass
class Told:
    """What was written."""

    requests: int = 0
    steps: int = 0
    events: int = 0
    recorded: bool = False  # whether engine steps were


@dataclass
class Names:
    """Numbers of processes and threads, given out as they come.

    Attributes:
        pids: Node -> process.
        lanes: Process, thread's name -> when each of its places is free again [us].
        tids: Process, thread's name -> thread.
    """

    pids: dict[str, int] = field(default_factory=dict)
    lanes: dict[tuple[int, str], list[tuple[float, int]]] = field(default_factory=dict)
    tids: dict[tuple[int, str], int] = field(default_factory=dict)

    def pid(self, node: str) -> int:
        """Process of a node."""
        return self.pids.setdefault(node, len(self.pids) + NETWORK + 1)

    def place(self, pid: int, name: str, begin: float, end: float) -> int:
        """Thread in which a slice fits: the first place of that name that is free by then; begins must ascend."""
        free = self.lanes.setdefault((pid, name), [])
        number = heapq.heappop(free)[1] if free and free[0][0] <= begin else len(free)
        heapq.heappush(free, (end, number))
        return self.tid(pid, f"{name} #{number + 1}")

    def tid(self, pid: int, name: str) -> int:
        """Thread of that name."""
        return self.tids.setdefault((pid, name), len(self.tids) + 1)


_NEEDED: Final = (
    "request", "workload", "origin", "status", "replica", "prompt_tokens", "output_tokens", "arrived_at",
    "first_scheduled_at", "first_token_server_at", "finished_at", *ORDER,
)  # fmt: skip
"""Columns of `requests` that are shown."""


def write(result: Run | RunSet, path: str | Path, window: tuple[float, float] = (0.0, math.inf)) -> Told:
    """Write a run's timeline; of several replications the first.

    Args:
        result: The run.
        path: File; compressed if its name ends in ".gz".
        window: Requests that ended before or arrived after are left out [s].

    Raises:
        ResultsError: It is no run, its requests were not recorded, or the file cannot be written.
    """
    if kind_of(result) != "run":
        raise ResultsError(f"a timeline is of a run; open one of the runs of this {kind_of(result)}")
    run, path = one_run(result), Path(path)
    if not path.name.endswith((".json", ".json.gz")):
        raise ResultsError(f"cannot write '{path}': its name must end in .json or .json.gz")
    if window[0] > window[1]:
        begin, end = (format_seconds(at) for at in window)
        raise ResultsError(f"a timeline from {begin} to {end} ends before it begins; exchange the two")
    last = float(run.summary["engine"]["simulated_s"])
    if window[0] > last:
        begin, end = (format_seconds(at) for at in (window[0], last))
        raise ResultsError(f"a timeline from {begin} on would be empty: the run ended at {end}")
    requests = _within(needed.table(run, "requests", _NEEDED), window)
    steps, recorded = _steps_within(run, window)
    told = Told(requests=len(requests), steps=len(steps), recorded=recorded)
    events = _events(run, requests, steps, window)
    try:
        with _opened(path) as file:
            put = file.write
            put('{"displayTimeUnit":"ms","otherData":' + json.dumps(_about(run)) + ',"traceEvents":[\n')
            separator = ""
            for event in events:
                put(separator + event)
                separator = ",\n"
                told.events += 1
            put("\n]}\n")
    except OSError as error:
        raise ResultsError(f"cannot write '{path}': {error.strerror}") from error
    return told


def _opened(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path, "wt", encoding="ascii", compresslevel=COMPRESSION)
    return path.open("w", encoding="ascii")


def _about(run: Run) -> dict[str, Any]:
    settings = run.scenario.scenario
    return {"scenario": settings.name, "seed": settings.seed, "made by": "edgesim"}


def _within(requests: pd.DataFrame, window: tuple[float, float]) -> pd.DataFrame:
    """The requests that were about in the window, in the order of arrival."""
    ended = requests["finished_at"].fillna(math.inf)
    kept = requests[(requests["arrived_at"] <= window[1]) & (ended >= window[0])]
    return kept.sort_values(["arrived_at", "request"], kind="stable")


def _steps_within(run: Run, window: tuple[float, float]) -> tuple[pd.DataFrame, bool]:
    """The engine steps of the window, and whether they were recorded at all."""
    try:
        steps = run.steps
    except ResultsError:
        import pandas as pd  # noqa: PLC0415 - takes a second to import

        return pd.DataFrame(columns=list(_STEP)), False
    needed.check(steps, _STEP, "steps", run.folder)
    return steps[(steps["began_at"] <= window[1]) & (steps["ended_at"] >= window[0])], True


def _events(
    run: Run, requests: pd.DataFrame, steps: pd.DataFrame, window: tuple[float, float]
) -> Iterator[str]:
    """All events as JSON."""
    names = Names()
    yield from _requests(requests, names)
    yield from _steps(steps, names)
    yield from _attempts(_legs(run, requests), names)
    yield from _counters(run, names, window)
    yield from _metadata(names)


def _parts(replica: str) -> tuple[str, str]:
    """The node of a replica, and what it is called there."""
    node, _, own = replica.partition("/")
    return node, own


# -- requests ---------------------------------------------------------------------------------------------------


def _lists(frame: pd.DataFrame, columns: Iterable[str]) -> list[list[Any]]:
    """Columns as Python lists, which a loop reads fastest."""
    return [frame[column].astype(object).where(frame[column].notna(), None).tolist() for column in columns]


def _requests(requests: pd.DataFrame, names: Names) -> Iterator[str]:
    """Each request as an asynchronous slice with its phases, on the node where it arose."""
    facts = (
        "request",
        "workload",
        "origin",
        "status",
        "replica",
        "prompt_tokens",
        "output_tokens",
        "arrived_at",
    )
    quoted: dict[Any, str] = {}

    def q(text: Any) -> str:
        """A name as JSON; there are few, so each is quoted once."""
        if text not in quoted:
            quoted[text] = json.dumps(text)
        return quoted[text]

    phases = (requests[list(ORDER)].to_numpy(float) * US).tolist()
    for row, lengths in zip(zip(*_lists(requests, facts), strict=True), phases, strict=True):
        number, workload, origin, status, replica, prompt, output, arrived = row
        begin = arrived * US
        same = f'"cat":"request","id2":{{"local":"{number}"}},"pid":{names.pid(origin)},"tid":0,"ts":'
        yield (
            f'{{"ph":"b","name":{q(workload)},{same}{begin:.3f},"args":{{"request":{number},"status":{q(status)},'
            f'"replica":{q(replica)},"prompt_tokens":{prompt},"output_tokens":{output}}}}}'
        )
        at = begin
        for phase, length in zip(ORDER, lengths, strict=True):
            if length > 0:
                yield f'{{"ph":"b","name":"{phase}",{same}{at:.3f}}}'
                at += length
                yield f'{{"ph":"e","name":"{phase}",{same}{at:.3f}}}'
        yield f'{{"ph":"e","name":{q(workload)},{same}{at:.3f}}}'


# -- engine steps ------------------------------------------------------------------------------------------------

_STEP: Final = ("replica", "began_at", "ended_at", "prefill_tokens", "decodes", "energy_j", "whole")


def _steps(steps: pd.DataFrame, names: Names) -> Iterator[str]:
    """What each replica's engine computed, step by step."""
    for replica, began, ended, prefill, decodes, joules, whole in zip(*_lists(steps, _STEP), strict=True):
        node, own = _parts(replica)
        pid = names.pid(node)
        name = "mixed step" if prefill and decodes else "prefill step" if prefill else "decode step"
        facts = {"prefill_tokens": prefill, "decodes": decodes, "energy_j": joules}
        if not whole:
            facts["broke_off"] = True
        yield _slice(name, "step", pid, names.tid(pid, f"{own} steps"), began * US, ended * US, facts)


# -- what replicas and transfers did ----------------------------------------------------------------------------

_ATTEMPT: Final = (
    "request", "leg", "kind", "outcome", "origin", "replica", "sent", "there", "started", "first", "ended", "tokens",
)  # fmt: skip


def _legs(run: Run, requests: pd.DataFrame) -> pd.DataFrame:
    """Attempts in the order in which they were sent: as recorded, or one a request where they were not.

    What had not ended at the end of the run ends there.
    """
    import pandas as pd  # noqa: PLC0415 - takes a second to import

    try:
        legs = run.legs
    except ResultsError:
        found = requests[requests["replica"].notna()]
        ready = found["arrived_at"] + found["decision"] + found["backoff"]
        there = (ready + found["uplink"]).clip(
            upper=found["first_scheduled_at"]
        )  # retries: as far as is known
        sent = (there - found["uplink"]).clip(lower=found["arrived_at"])
        made = {
            "request": found["request"], "leg": 0, "kind": "first", "outcome": found["status"],
            "replica": found["replica"], "sent": sent, "there": there,
            "started": found["first_scheduled_at"], "first": found["first_token_server_at"],
            "ended": found["finished_at"] - found["downlink"], "tokens": found["output_tokens"],
            "origin": found["origin"],
        }  # fmt: skip
        legs = pd.DataFrame(made)
    else:
        renamed = {
            "dispatched_at": "sent", "delivered_at": "there", "first_scheduled_at": "started",
            "first_token_at": "first", "finished_at": "ended", "output_tokens": "tokens",
        }  # fmt: skip
        origin = requests.set_index("request")["origin"]
        legs = legs[legs["request"].isin(origin.index)].rename(columns=renamed)
        legs = legs.assign(origin=origin.reindex(legs["request"]).to_numpy())
    legs["ended"] = legs["ended"].fillna(run.summary["engine"]["simulated_s"])
    return legs[legs["sent"].notna()].sort_values(["sent", "request", "leg"], kind="stable")[list(_ATTEMPT)]


def _attempts(legs: pd.DataFrame, names: Names) -> Iterator[str]:
    """Transfers to replicas, what these did, and the arrows between; threads are filled in the order of time."""
    rows = list(zip(*_lists(legs, _ATTEMPT), strict=True))
    sent_at: dict[int, tuple[int, int, float]] = {}
    for index, row in enumerate(rows):
        number, leg, kind, _, origin, replica, sent, there, *_ = row
        if there is None or there <= sent or _parts(replica)[0] == origin:
            continue
        pid, begin, end = names.pid(origin), sent * US, there * US
        tid = names.place(pid, "transfers", begin, end)
        sent_at[index] = (pid, tid, begin)
        yield _slice(
            f"to {replica}", "transfer", pid, tid, begin, end, {"request": number, "leg": leg, "kind": kind}
        )
    started = [
        (row[8], index) for index, row in enumerate(rows) if row[8] is not None and row[10] is not None
    ]
    for _, index in sorted(started):
        yield from _served(index, rows[index], names, sent_at.get(index))


def _served(
    index: int,
    row: Sequence[Any],
    names: Names,
    sent: tuple[int, int, float] | None,
) -> Iterator[str]:
    """What a replica did for an attempt: prefill up to its first token, then decode."""
    number, leg, kind, outcome, _, replica, _, _, started, first, ended, tokens = row
    node, own = _parts(replica)
    pid, begin, end = names.pid(node), started * US, max(started, ended) * US
    tid = names.place(pid, own, begin, end)
    middle = end if first is None else min(max(begin, first * US), end)
    facts = {"request": number, "leg": leg, "kind": kind, "outcome": outcome, "tokens": tokens}
    if sent is not None:
        same = f'"cat":"leg","name":"leg","id":{index + 1}'
        yield f'{{"ph":"s",{same},"pid":{sent[0]},"tid":{sent[1]},"ts":{sent[2]:.3f}}}'
        yield f'{{"ph":"f","bp":"e",{same},"pid":{pid},"tid":{tid},"ts":{begin:.3f}}}'
    yield _slice("prefill", "engine", pid, tid, begin, middle, facts)
    if middle < end:
        yield _slice("decode", "engine", pid, tid, middle, end, facts)


def _slice(
    name: str, category: str, pid: int, tid: int, begin: float, end: float, args: Mapping[str, Any]
) -> str:
    start, stop = round(begin, 3), round(end, 3)  # so that neighbours meet to the digit
    return (
        f'{{"ph":"X","name":{json.dumps(name)},"cat":"{category}","pid":{pid},"tid":{tid},"ts":{start:.3f},'
        f'"dur":{stop - start:.3f},"args":{json.dumps(args)}}}'
    )


# -- counters and names -----------------------------------------------------------------------------------------


def _counters(run: Run, names: Names, window: tuple[float, float]) -> Iterator[str]:
    """Queues, batches, KV caches and watts of replicas, and how full links are, if they were recorded."""
    try:
        resources = run.resources
    except ResultsError:
        return
    kept = resources[(resources["t"] >= window[0]) & (resources["t"] <= window[1])]
    columns = (
        "t",
        "kind",
        "name",
        "waiting",
        "running",
        "kv_share",
        "power_w",
        "utilisation",
        "temperature_c",
    )
    for t, kind, name, waiting, running, kv, power, used, warm in zip(*_lists(kept, columns), strict=True):
        if kind == "link":
            yield _counter(name, NETWORK, t, {"utilisation": used})
            continue
        node, own = _parts(name)
        pid = names.pid(node)
        yield _counter(f"{own} requests", pid, t, {"waiting": waiting, "running": running})
        yield _counter(f"{own} KV cache", pid, t, {"share": kv})
        yield _counter(f"{own} power", pid, t, {"W": power})
        if warm is not None:
            yield _counter(f"{own} temperature", pid, t, {"degC": warm})


def _counter(name: str, pid: int, t: float, values: Mapping[str, float]) -> str:
    return f'{{"ph":"C","name":{json.dumps(name)},"pid":{pid},"ts":{t * US:.3f},"args":{json.dumps(values)}}}'


def _metadata(names: Names) -> Iterator[str]:
    """What processes and threads are called."""
    for number, (node, pid) in enumerate([("links", NETWORK), *names.pids.items()]):
        yield _meta("process_name", pid, 0, {"name": node})
        yield _meta("process_sort_index", pid, 0, {"sort_index": number})
    for (pid, name), tid in names.tids.items():
        yield _meta("thread_name", pid, tid, {"name": name})
        yield _meta("thread_sort_index", pid, tid, {"sort_index": tid})
    for pid in names.pids.values():
        yield _meta("thread_name", pid, 0, {"name": "requests"})


def _meta(kind: str, pid: int, tid: int, args: Mapping[str, Any]) -> str:
    return f'{{"ph":"M","name":"{kind}","pid":{pid},"tid":{tid},"args":{json.dumps(args)}}}'
