"""The books balance, and an error of one millisecond, joule or byte in any term is noticed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgesim.outcome import Outcome
from edgesim.records import PHASES
from edgesim.scenario import load
from edgesim.simulation import Simulation
from edgesim.verify import books, queues, sharing
from edgesim.verify.check import Check, Kept


@pytest.fixture(scope="module")
def run() -> tuple[Simulation, np.ndarray, Outcome]:
    kept = Kept()
    short = books.SETS | {"scenario": {"name": "books", "seed": 4, "duration": "70 s"}}
    simulation = Simulation(load(short), processes=[books.crash])
    outcome = simulation.run(kept)
    return simulation, kept.records, outcome


def failures(simulation: Simulation, records: np.ndarray, outcome: Outcome) -> list[str]:
    found: list[Check] = [*books.audit(records, outcome), books.money(simulation, records, outcome)]
    found += books.transport(simulation, records)
    return [check.name for check in found if not check.passed]


def test_everything_occurs_and_adds_up(run: Any) -> None:
    """A run with a crash, retries and impatient users has balanced books."""
    _, records, _ = run
    assert set(np.unique(records["status"])) >= {0, 3, 4}
    assert (records["legs"] > 1).any()
    assert failures(*run) == []


@pytest.mark.parametrize(
    ("column", "error"),
    [
        *((phase, 10**9) for phase in PHASES),
        ("compute_nj", 10**9),
        ("network_nj", 10**9),
        ("share_ps", 10**9),
        ("bytes_up", 1),
        ("bytes_down", 1),
        ("cost_usd", 1.0),
        ("carbon_g", 1.0),
        ("finished", 10**9),
    ],
)
def test_an_error_in_one_term_of_one_request_is_noticed(run: Any, column: str, error: float) -> None:
    """One millisecond, joule, byte, dollar or gram too much in one row makes a check fail."""
    simulation, records, outcome = run
    wrong = records.copy()
    row = int(np.flatnonzero((wrong["status"] == 0) & (wrong["legs"] == 1))[7])
    wrong[column][row] += error
    assert failures(simulation, wrong, outcome)


@pytest.mark.parametrize("column", ["busy_ps", "idle_ps", "on_ps", "compute_nj", "unattributed_ps"])
def test_an_error_in_the_fleet_s_totals_is_noticed(run: Any, column: str) -> None:
    """So does one in a total of one replica."""
    simulation, records, outcome = run
    kept = outcome.totals.replicas[column][-1]
    outcome.totals.replicas[column][-1] += 10**9
    try:
        assert failures(simulation, records, outcome)
    finally:
        outcome.totals.replicas[column][-1] = kept


def test_overload_serves_half_and_its_backlog_grows_linearly() -> None:
    """At an offered load of 2, exactly."""
    assert [check.name for check in books.overload() if not check.passed] == []


def test_runs_repeat_and_idle_processes_change_nothing() -> None:
    """The same seed gives the same rows, beside an idle process too, and on the twin."""
    assert [check.name for check in books.repeatable() if not check.passed] == []


def test_queueing_laws_hold() -> None:
    """M/M/1, M/D/1, M/M/4 and processor sharing, with Little's law."""
    found = list(queues.checks(requests=12_000))
    assert len(found) == 12
    assert [check for check in found if not check.passed] == []


def test_rates_are_max_min_fair_and_bytes_are_bytes() -> None:
    """On 1,000 random graphs for each way of sharing, over a long fat pipe, and where transfers queue."""
    found = list(sharing.checks())
    assert [check for check in found if not check.passed] == []
