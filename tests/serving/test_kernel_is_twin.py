"""The kernel's account of random systems equals the twin's, bit for bit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim.arena import rows
from edgesim.network.fluid import FluidNetwork, Lines
from edgesim.serving.reference import ReferenceEngine
from edgesim.serving.reference_device import TwinDevice
from edgesim.serving.reference_replica import TwinReplica
from edgesim.verify import random_systems

from . import storms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CHUNK = 100

SIGHTS = (
    "preempted to recompute",
    "preempted to swap",
    "swapped back in",
    "victim by rank, not by age",
    "overtaken by rank",
    "hedges",
    "seen before its rivals",
    "seen too late",
    "retries",
    "cancelled in the batch",
    "lost legs",
    "failed",
    "abandoned",
    "rejected",
    "unfinished at the horizon",
    "ended after its replica began to drain",
    "stretched steps",
    "steps at less base power",
    "meters read in mid-step",
    "waited for a shared accelerator",
    "lost a shared accelerator to the next in line",
    "switched to another LLM",
    "crashes in mid-step",
    "windows crossed",
    "chunked prompts",
    "images",
    "throttled streams",
    "contention over several hops",
    "waits in a FIFO line",
    "gives way to the more urgent",
    "streams give way",
    "has what is left, after waiting",
    "arrivals at one instant",
    "clock stops between arrivals",
    "answers of several qualities",
    "decisions that take their time",
    "left while a decision was under way",
    "decisions cut by the horizon",
    "refused after a while",
)
"""What a test of equality must have seen to be worth anything; each chunk of seeds holds all of it."""


class Witness:
    """Looks over the twin's shoulder and counts what it sees."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seen: Counter[str] = Counter()
        self.patch = patch
        self.around(TwinReplica, "_preempt", self.preempted)
        self.around(TwinReplica, "_victim", self.victim)
        self.around(TwinReplica, "_swap_in", self.swapped_in)
        self.around(TwinReplica, "deliver", self.delivered)
        self.around(TwinReplica, "stretch", self.stretched)
        self.around(TwinReplica, "drawn", self.metered)
        self.around(TwinReplica, "abort", self.aborted)
        self.around(TwinDevice, "take", self.took)
        self.around(TwinDevice, "load", self.loaded)
        self.around(TwinReplica, "_start_step", self.started)
        self.around(ReferenceEngine, "close_cancelled", self.left)
        self.around(ReferenceEngine, "_seen", self.was_seen)
        self.around(FluidNetwork, "_solve", self.solved)
        self.around(Lines, "give_way", self.gave_way)

    def around(self, kind: type, name: str, watch: Callable[..., Any]) -> None:
        """Have a method of the twin watched."""
        method = getattr(kind, name)
        self.patch.setattr(kind, name, lambda *arguments: watch(method, *arguments))

    def note(self, what: str, happened: object = True) -> None:
        """Count a sight."""
        assert what in SIGHTS
        self.seen[what] += bool(happened)

    def preempted(self, method: Callable[..., Any], replica: Any, leg: Any) -> Any:
        extra = method(replica, leg)
        self.note("preempted to swap" if leg.state == rows.SWAPPED else "preempted to recompute")
        return extra

    def victim(self, method: Callable[..., Any], replica: Any) -> Any:
        leg = method(replica)
        self.note("victim by rank, not by age", leg is not replica.running[-1])
        return leg

    def swapped_in(self, method: Callable[..., Any], replica: Any, *arguments: Any) -> Any:
        before = len(replica.swapped)
        answer = method(replica, *arguments)
        self.note("swapped back in", len(replica.swapped) < before)
        return answer

    def delivered(self, method: Callable[..., Any], replica: Any, leg: Any) -> None:
        self.note("overtaken by rank", any(other.rank > leg.rank for other in replica.waiting))
        method(replica, leg)

    def stretched(self, method: Callable[..., Any], replica: Any, speed: int, saved_mw: int) -> None:
        self.note("stretched steps", replica.step is not None and speed != replica.speed)
        self.note("steps at less base power", replica.step is not None and saved_mw != replica.saved_mw)
        method(replica, speed, saved_mw)

    def metered(self, method: Callable[..., Any], replica: Any) -> Any:
        self.note("meters read in mid-step", replica.step is not None)
        return method(replica)

    def took(self, method: Callable[..., Any], device: Any, replica: Any) -> Any:
        mine = device.holder is replica
        answer = method(device, replica)
        self.note("waited for a shared accelerator", not answer)
        self.note("lost a shared accelerator to the next in line", mine and not answer)
        return answer

    def loaded(self, method: Callable[..., Any], device: Any, replica: Any) -> Any:
        self.note("switched to another LLM", device.loaded != replica.index)
        return method(device, replica)

    def aborted(self, method: Callable[..., Any], replica: Any, state: int) -> None:
        self.note("crashes in mid-step", replica.step is not None)
        method(replica, state)

    def started(
        self, method: Callable[..., Any], replica: Any, decodes: list[Any], chunks: list[Any], *more: Any
    ) -> None:
        self.note("windows crossed", replica.window and any(leg.stored == replica.window for leg in decodes))
        self.note("chunked prompts", any(leg.prefilled for leg in chunks))
        self.note("images", more[0])
        method(replica, decodes, chunks, *more)

    def left(self, method: Callable[..., Any], engine: Any, leg: Any) -> None:
        self.note("cancelled in the batch")
        method(engine, leg)

    def was_seen(self, method: Callable[..., Any], engine: Any, leg: Any) -> None:
        late = leg.cancelled or leg.state == rows.DONE
        self.note("seen too late" if late else "seen before its rivals")
        method(engine, leg)

    def solved(self, method: Callable[..., Any], network: Any) -> None:
        method(network)
        self.note("throttled streams", any(flow.rate < flow.demand for flow in network.flows))
        crowd = Counter(link for flow in network.flows for link in flow.path)
        narrow = [f for f in network.flows if len(f.path) > 1 and max(crowd[link] for link in f.path) > 1]
        self.note(
            "contention over several hops",
            any(not f.demand and f.rate < min(network.capacities[link] for link in f.path) for f in narrow),
        )

    def gave_way(self, method: Callable[..., Any], lines: Any, flows: set[int]) -> Any:
        rates, waiting, limits = method(lines, flows)
        kinds = {lines.sharing[link] for flow in waiting for link in lines.paths[flow]}
        self.note("waits in a FIFO line", kinds == {rows.FIFO})
        self.note("gives way to the more urgent", kinds == {rows.PRIORITY})
        self.note("streams give way", any(lines.claims[flow].demand for flow in waiting))
        self.note(
            "has what is left, after waiting", any(rates[flow] for flow in rates.keys() & lines.gave_way)
        )
        return rates, waiting, limits

    def read(
        self, account: random_systems.Result, arrivals: NDArray[np.void], story: random_systems.Story
    ) -> None:
        """Count what the records tell."""
        requests, legs = account.requests, account.legs
        if len(legs):
            self.note("hedges", (legs["kind"] == rows.HEDGE).any())
            self.note("retries", (legs["kind"] == rows.RETRY).any())
            self.note("lost legs", (legs["outcome"] == rows.LOST).any())
            for at, replica in story.drains:
                late = (
                    (legs["replica"] == replica)
                    & (legs["finished"] > at)
                    & (legs["outcome"] == rows.COMPLETED)
                )
                self.note("ended after its replica began to drain", late.any())
        if len(requests):
            status = requests["status"]
            self.note("answers of several qualities", len(set(requests["quality"])) > 2)
            self.note("failed", (status == rows.R_FAILED).any())
            self.note("abandoned", (status == rows.R_ABANDONED).any())
            self.note("rejected", (status == rows.R_REJECTED).any())
            self.note("unfinished at the horizon", (status == rows.R_UNFINISHED).any())
            unsent = (requests["decision"] > 0) & (requests["legs"] == 0)
            self.note("decisions that take their time", (requests["decision"] > 0).any())
            self.note("left while a decision was under way", (unsent & (status == rows.R_ABANDONED)).any())
            self.note("decisions cut by the horizon", (unsent & (status == rows.R_UNFINISHED)).any())
            self.note("refused after a while", (unsent & (status == rows.R_REJECTED)).any())
        self.note("arrivals at one instant", (np.diff(arrivals["at"]) == 0).any())
        self.note("clock stops between arrivals", story.ticks)


def compare(seeds: range, patch: pytest.MonkeyPatch) -> tuple[dict[int, list[str]], Counter[str]]:
    """What differs, by seed, and what was seen."""
    witness = Witness(patch)
    differing = {}
    for seed in seeds:
        twin = random_systems.run_reference(seed)
        _, arrivals, story = random_systems.random_system(seed)
        witness.read(twin, arrivals, story)
        found = random_systems.unbalanced(twin)
        found += random_systems.differences(twin, random_systems.run_kernel(seed))
        if found:
            differing[seed] = found
    return differing, witness.seen


@pytest.mark.parametrize("first", range(0, 500, CHUNK))
def test_kernel_equals_twin_on_random_systems(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every integer, view, decision and order of ends is the same, over systems in which everything happens."""
    differing, seen = compare(range(first, first + CHUNK), monkeypatch)
    assert differing == {}
    assert [what for what in SIGHTS if not seen[what]] == []


@pytest.mark.verification
@pytest.mark.parametrize("first", range(500, 10_500, 500))
def test_kernel_equals_twin_on_ten_thousand_random_systems(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same over another 10,000 systems."""
    differing, _ = compare(range(first, first + 500), monkeypatch)
    assert differing == {}


def test_a_request_that_failed_with_its_first_leg_is_sent_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hedge whose first leg meets a replica that is down ends there; ten thousand systems found it once."""
    differing, _ = compare(range(10_150, 10_151), monkeypatch)
    assert differing == {}


def test_a_first_token_on_its_way_is_seen_though_its_rival_was_lost() -> None:
    """A hedge with a long way back, whose rival is lost before its first token comes: it comes before the last one."""
    with storms.brewing(random_systems, storms.crowded):
        twin, kernel = random_systems.run_reference(1793), random_systems.run_kernel(1793)
    assert (kernel.requests["first_token"] < kernel.requests["finished"]).any()
    assert random_systems.differences(twin, kernel) == []


def test_differences_are_seen() -> None:
    """The comparison itself tells accounts apart: in a picosecond, a nanojoule, an order, a view."""
    account = random_systems.run_reference(3)
    for table, column in (("requests", "finished"), ("requests", "compute_nj"), ("legs", "share_ps")):
        other = random_systems.run_reference(3)
        getattr(other, table)[column][0] += 1
        assert any(column in text for text in random_systems.differences(account, other))
    other = random_systems.run_reference(3)
    other.requests["cost_usd"][int(np.argmax(other.requests["cost_usd"]))] *= 1 + 1e-11
    assert any("cost_usd" in text for text in random_systems.differences(account, other))
    other = random_systems.run_reference(3)
    other.ended.reverse()
    assert any("order" in text for text in random_systems.differences(account, other))
    other = random_systems.run_reference(3)
    other.seen.pop()
    assert any("decisions" in text for text in random_systems.differences(account, other))
    other = random_systems.run_reference(3)
    other.totals["busy_ps"][0] += 1
    assert any("busy_ps" in text for text in random_systems.differences(account, other))
