"""Tests of what runs, sweeps and comparisons show in a notebook."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import edgesim
from edgesim.results.cards import MOST, sweep_card
from edgesim.units import format_seconds

if TYPE_CHECKING:
    from types import ModuleType


def rows(page: str) -> dict[str, list[str]]:
    """First cell of each row -> the others."""
    cells = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    return {first: rest for first, *rest in cells}


def test_a_run_shows_verdicts_and_scaled_numbers(recorded: ModuleType) -> None:
    """With the same units as everywhere else, and no colours of its own, which a dark theme would hide."""
    run = recorded.run()
    page = run._repr_html_()
    found = rows(page)
    assert found["metric"][1:] == ["p50", "p90", "p95", "p99", "max"]
    assert found["tpot"][1] == format_seconds(run.summary["metrics"]["tpot"]["p50"])
    assert found["cost"][0].endswith(" per 1,000")
    verdict = next(row for row in run.summary["slo"] if row["metric"] == "ttft")
    mark = "\N{CHECK MARK}" if verdict["met"] else "\N{BALLOT X}"
    assert f"{mark} ttft p95 &lt;= 300 ms: {'met' if verdict['met'] else 'missed'}, " in page
    assert "<b>recorded</b>" in page
    assert "color" not in page


def test_replications_show_their_interval() -> None:
    """The mean with its half-width, and how many there are."""
    sets = ["scenario.duration=20 s", "scenario.warmup=2 s", "workloads.chat.arrivals.rate=5/s"]
    page = edgesim.simulate("quickstart", sets=sets, replications=2)._repr_html_()
    assert "2 replications" in page
    assert re.search(r"[\d.]+ k?J per replication; \$[\d.]+ per replication", page)
    assert "mean \N{PLUS-MINUS SIGN} 95 %" in page
    assert re.search(r"\d \N{PLUS-MINUS SIGN} [\d.]+ ms", rows(page)["tpot"][0])


def test_a_run_that_broke_off_is_not_judged(recorded: ModuleType) -> None:
    """Nor are the means of one run without what is known of them."""
    run = recorded.run()
    around = {"mean": 2.0, "low": 1.5, "high": 3.0, "half_width": 0.75, "kind": "batch means"}
    run.summary["intervals"]["metrics"]["e2e"] = around
    run.summary["intervals"]["metrics"]["ttft"] = around | {"high": 2.5, "half_width": 0.5}
    run.manifest["exit_state"] = "interrupted"
    page = run._repr_html_()
    assert "not judged" in page
    assert "\N{CHECK MARK}" not in page
    assert "\N{BALLOT X}" not in page
    found = rows(page)
    assert found["metric"][0] == "mean \N{PLUS-MINUS SIGN} 95 %"
    assert found["e2e"][0].endswith(" (1.5 s to 3 s)")
    assert found["ttft"][0].startswith("2 \N{PLUS-MINUS SIGN} 0.5 s")


@pytest.fixture
def swept() -> Any:
    """A sweep of 25 points with two replications each."""
    table = pd.DataFrame(
        {
            "point": [n // 2 for n in range(50)], "rate": [float(n // 2) for n in range(50)], "status": "finished",
            "ttft_p95": [0.1 if n % 2 else 0.3 for n in range(50)], "nothing": None,
        }
    )  # fmt: skip
    return SimpleNamespace(
        notes=["point <7>: little"], table=table, keys=["rate"], units={"rate": "1/s", "ttft_p95": "s"}
    )


def test_a_sweep_shows_means_of_replications(swept: Any) -> None:
    """Not the first one, in units that read well; columns without values are left out, and many points told."""
    found = rows(page := sweep_card(swept, ("status", "ttft_p95", "nothing")))
    assert found["point"] == ["rate", "status", "ttft_p95"]
    assert found["3"] == ["3/s", "finished", "200 ms"]
    assert len(found) == 1 + MOST
    assert f"The first {MOST} of 25" in page
    assert "point &lt;7&gt;: little" in page
