"""Whether intervals hold what they promise: coverage in M/M/1 and M/D/1, and comparisons of equals.

The servers are replicas with linear step costs, first come, first served, one request at a time: M/G/1 with services
of whole steps, geometric ones standing for exponential ones. Their mean sojourn is known exactly (Pollaczek-Khinchine);
sojourns in M/M/1 are exponential, which gives their percentiles. Each run starts empty, leaves its first requests out
as a warm-up, and measures so many more as the table of `docs/explanation/statistics.md` has. All seeds are fixed.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.stats import quantile_interval, t_interval
from edgesim.verify.check import PS, Check, print_checks
from edgesim.verify.queues import STEP, TOKENS, queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edgesim.scenario import Scenario

LOAD: Final = 0.5
MEASURED: Final = 4000
"""Requests of a run that are measured."""
WARM: Final = 200
"""Requests before them that are not."""
TOGETHER: Final = 5
"""Runs whose means give one interval by Student's t, and replications of each side of a comparison."""
ENOUGH: Final = 100
"""Of fewer intervals, the share that holds the mean says little."""
SHORT: Final = 300
"""Requests of the runs that are compared with their equals."""
ALONE: Final = 1500
"""The same of runs that stand alone."""
REFUSED: Final = 0.03
"""Largest share of runs that may be called too short for an interval."""
LONGER: Final = ((0.8, 5000, 2), (0.9, 20_000, 5))
"""Higher loads, the requests measured there, and the share (one in so many) of the runs that are made of them."""
FEWER: Final = (0.9, 0.985)
"""Between these must lie the share of so many fewer intervals that hold."""
HIGH: Final = 95
"""The percentile that is looked at besides the mean."""


def sojourn(model: str, load: float = LOAD) -> float:
    """Mean time in M/G/1 [s], after Pollaczek and Khinchine (Kleinrock: Queueing Systems I, 1975, section 5.6)."""
    service = TOKENS * STEP
    variance = TOKENS * (TOKENS - 1) * STEP**2 if model == "M/M/1" else 0.0  # of a geometric number of steps
    rate = load / service
    return service + rate * (service**2 + variance) / (2 * (1 - load))


def scenario(model: str, requests: int, warm: int, load: float = LOAD) -> Scenario:
    """The queue as a scenario."""
    from edgesim.scenario import load as loaded

    lengths: Any = {"kind": "geometric", "mean": TOKENS} if model == "M/M/1" else TOKENS
    rate = load / (TOKENS * STEP)
    found = queue(
        model.replace("/", "").lower(),
        rate,
        requests + warm,
        slots=1,
        lengths=lengths,
        decode={"base": f"{STEP} s"},
    )
    found["scenario"]["warmup"] = f"{warm / rate} s"
    return loaded(found)


def summary(system: Scenario, replication: int) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Run one replication; answers its summary, as users get it, and measured sojourns in their order [s]."""
    from edgesim.results.source import MemorySource
    from edgesim.results.summary import summarise
    from edgesim.results.writer import MemorySink
    from edgesim.simulation import Simulation

    sink = MemorySink(tables=("requests",))
    outcome = Simulation(system, replication).run(sink)
    sink.close()
    chunks = list(sink.chunks("requests"))
    rows = np.sort(np.concatenate(chunks), order="request")
    sojourns = (rows["finished"] - rows["arrived"])[rows["arrived"] >= outcome.info.warmup_s * PS] / PS
    return summarise(MemorySource(chunks, outcome.info), outcome.info, outcome.totals), sojourns


def coverage(model: str, runs: int, bounds: tuple[float, float]) -> Iterator[Check]:
    """How often intervals of single runs, and of a few runs together, contain the true mean."""
    truth, system = sojourn(model), scenario(model, MEASURED, WARM)
    held = given = 0
    kinds, means = set(), []
    for replication in range(runs):
        found = summary(system, replication)[0]["intervals"]["metrics"]["e2e"]
        means.append(found["mean"])
        if found["half_width"] is not None:
            given += 1
            held += found["low"] <= truth <= found["high"]
            kinds.add(int(found["kind"].split()[0]))
    low, high = bounds
    share = held / given if given else 0.0
    allowed = f"{low:.1%} to {high:.1%}"
    name = (
        f"{model}: mean sojourn in 95 % intervals of single runs ({min(kinds)} to {max(kinds)} batch means)"
    )
    yield Check(name, allowed, f"{share:.1%} of {given:,}", "fixed seeds", low <= share <= high)
    refused = 1 - given / runs
    name = f"{model}: runs called too short for an interval"
    yield Check(
        name, f"at most {REFUSED:.0%}", f"{refused:.1%} of {runs:,}", "fixed seeds", refused <= REFUSED
    )
    sets = [means[first : first + TOGETHER] for first in range(0, runs - TOGETHER + 1, TOGETHER)]
    if len(sets) < ENOUGH:
        return
    several = [t_interval(each) for each in sets]
    share = sum(each.low <= truth <= each.high for each in several) / len(several)
    name = f"{model}: mean sojourn in 95 % t-intervals of {TOGETHER} replications"
    yield Check(name, "90.0% to 99.0%", f"{share:.1%} of {len(sets):,}", "fixed seeds", 0.9 <= share <= 0.99)


def longer(load: float, measured: int, runs: int, bounds: tuple[float, float] = FEWER) -> Iterator[Check]:
    """How often intervals of single runs of M/M/1 contain the true mean and percentile, where any are given.

    Args:
        load: Of the server.
        measured: Requests of a run.
        runs: How many.
        bounds: Between these must lie the share of the given intervals that hold.
    """
    mean, warm = sojourn("M/M/1", load), int(WARM * measured / MEASURED)
    truths = {"mean sojourn": mean, f"p{HIGH} of the sojourn": -mean * math.log(1 - HIGH / 100)}
    system, held = scenario("M/M/1", measured, warm, load), {name: list[bool]() for name in truths}
    for replication in range(runs):
        found, sojourns = summary(system, replication)
        each = found["intervals"]["metrics"]["e2e"]
        percentile = quantile_interval(sojourns, HIGH / 100, kind="sections")
        ends = ((each["low"], each["high"]), (percentile.low, percentile.high))
        for (name, truth), (low, top) in zip(truths.items(), ends, strict=True):
            if low is not None and not math.isnan(low):
                held[name].append(low <= truth <= top)
    low, high = bounds
    for name, those in held.items():
        share = sum(those) / len(those) if those else 0.0
        title = f"M/M/1 at {load}: {name} in 95 % intervals of runs of {measured:,}"
        told = f"{share:.1%} of {len(those):,}"
        yield Check(title, f"{low:.1%} to {high:.1%}", told, "fixed seeds", low <= share <= high)
        title = f"M/M/1 at {load}: {name}, runs called too short"
        few = 1 - len(those) / runs
        yield Check(title, f"at most {REFUSED:.0%}", f"{few:.1%} of {runs:,}", "fixed seeds", few <= REFUSED)


def equals(pairs: int, least: float, replications: int = TOGETHER) -> Check:
    """How often systems that are equal, with other random numbers, are found to be so.

    Args:
        pairs: How many comparisons.
        least: Share of them that must find no difference.
        replications: Of each side; a single one is a run long enough to be compared by its stretches.
    """
    from edgesim import simulate
    from edgesim.studies.comparison import compare

    system = scenario("M/M/1", SHORT if replications > 1 else ALONE, WARM // 4)
    agreed = compared = 0
    for pair in range(pairs):
        runs = {
            name: simulate(system, seed=1000 + 2 * pair + side, replications=replications)
            for side, name in enumerate("AB")
        }
        found = compare(runs)
        compared += sum(row.p is not None for row in found.rows)
        agreed += not any(row.real for row in found.rows)
    share = agreed / pairs
    of = f"{replications} replications" if replications > 1 else "single runs"
    name = f"A/A, {of}: no difference is found real ({compared // pairs} quantities, Welch, Holm)"
    return Check(name, f"at least {least:.1%}", f"{share:.1%} of {pairs:,}", "fixed seeds", share >= least)


def checks(runs: int, pairs: int, bounds: tuple[float, float] = (0.925, 0.97)) -> Iterator[Check]:
    """All of them.

    Args:
        runs: Runs of each queue.
        pairs: Comparisons of equals.
        bounds: Between these must lie the share of the single runs' intervals that hold the mean.
    """
    for model in ("M/M/1", "M/D/1"):
        yield from coverage(model, runs, bounds)
    for load, measured, share in ((LOAD, MEASURED, LONGER[0][2]), *LONGER):
        yield from longer(load, measured, max(1, runs // share))
    yield equals(pairs, 0.93)
    yield equals(pairs, 0.93, replications=1)


def main(runs: int, pairs: int, *, as_json: bool) -> int:
    """Print the checks; answers 0 if all passed."""
    started = time.perf_counter()
    from edgesim.report import console

    errors = console.console(stderr=True)
    with errors.status("running"):
        found = list(checks(runs, pairs))
    return print_checks(found, started, as_json=as_json)
