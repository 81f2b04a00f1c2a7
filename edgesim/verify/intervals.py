"""Whether intervals hold what they promise: coverage of means of M/M/1 and M/D/1, and comparisons of equals.

The servers are replicas with linear step costs, first come, first served, one request at a time: M/G/1 with services
of whole steps, geometric ones standing for exponential ones. Their mean sojourn is known exactly (Pollaczek-Khinchine).
Each run starts empty, leaves its first requests out as a warm-up, and measures 4,000 more at half the capacity: some
340 times the 12 requests over which such a queue forgets (1 / (1 - sqrt(load))^2), so that batches of 100 to 400 are
nearly independent. All seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from edgesim.stats import t_interval
from edgesim.verify.card import print_table
from edgesim.verify.check import Check
from edgesim.verify.queues import STEP, TOKENS, queue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
REFUSED: Final = 0.03
"""Largest share of runs that may be called too short for an interval."""


def sojourn(model: str) -> float:
    """Mean time in M/G/1 [s], after Pollaczek and Khinchine (Kleinrock: Queueing Systems I, 1975, section 5.6)."""
    service = TOKENS * STEP
    variance = TOKENS * (TOKENS - 1) * STEP**2 if model == "M/M/1" else 0.0  # of a geometric number of steps
    rate = LOAD / service
    return service + rate * (service**2 + variance) / (2 * (1 - LOAD))


def scenario(model: str, requests: int, warm: int) -> Scenario:
    """The queue as a scenario."""
    from edgesim.scenario import load

    lengths: Any = {"kind": "geometric", "mean": TOKENS} if model == "M/M/1" else TOKENS
    rate = LOAD / (TOKENS * STEP)
    found = queue(
        model.replace("/", "").lower(),
        rate,
        requests + warm,
        slots=1,
        lengths=lengths,
        decode={"base": f"{STEP} s"},
    )
    found["scenario"]["warmup"] = f"{warm / rate} s"
    return load(found)


def summary(system: Scenario, replication: int) -> dict[str, Any]:
    """Run one replication and summarise it, as users get it."""
    from edgesim.results.source import MemorySource
    from edgesim.results.summary import summarise
    from edgesim.results.writer import MemorySink
    from edgesim.simulation import Simulation

    sink = MemorySink(tables=("requests",))
    outcome = Simulation(system, replication).run(sink)
    sink.close()
    return summarise(MemorySource(sink.chunks("requests"), outcome.info), outcome.info, outcome.totals)


def coverage(model: str, runs: int, bounds: tuple[float, float]) -> Iterator[Check]:
    """How often intervals of single runs, and of a few runs together, contain the true mean."""
    truth, system = sojourn(model), scenario(model, MEASURED, WARM)
    held = given = 0
    kinds, means = set(), []
    for replication in range(runs):
        found = summary(system, replication)["intervals"]["metrics"]["e2e"]
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


def equals(pairs: int, least: float) -> Check:
    """How often systems that are equal, with other random numbers, are found to be so."""
    from edgesim import simulate
    from edgesim.studies.comparison import compare

    system = scenario("M/M/1", SHORT, WARM // 4)
    agreed = compared = 0
    for pair in range(pairs):
        runs = {
            name: simulate(system, seed=1000 + 2 * pair + side, replications=TOGETHER)
            for side, name in enumerate("AB")
        }
        found = compare(runs)
        compared += len(found.rows)
        agreed += not any(row.real for row in found.rows)
    share = agreed / pairs
    name = f"A/A: no difference is found real ({compared // pairs} quantities, Welch, Holm)"
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
    yield equals(pairs, 0.93)


def main(arguments: Sequence[str] = ()) -> int:
    """Print the checks; answers 0 if all passed."""
    parser = argparse.ArgumentParser(prog="edgesim verify intervals", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="runs of each queue [1000]")
    parser.add_argument("--pairs", type=int, default=300, help="comparisons of equal systems [300]")
    parser.add_argument("--json", action="store_true", help="print a list of checks as JSON")
    given = parser.parse_args(list(arguments))
    if given.runs < TOGETHER or given.pairs < 1:
        parser.error(f"at least {TOGETHER} runs and 1 pair are needed")
    started = time.perf_counter()
    from edgesim.report import console

    errors = console.console(stderr=True)
    with errors.status("running"):
        found = list(checks(given.runs, given.pairs))
    if given.json:
        sys.stdout.write(json.dumps([check._asdict() for check in found], indent=1) + "\n")
    else:
        print_table(found)
        passed = sum(check.passed for check in found)
        sys.stdout.write(f"{passed} of {len(found)} passed in {time.perf_counter() - started:.0f} s\n")
    return 0 if all(check.passed for check in found) else 1
