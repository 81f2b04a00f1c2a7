"""Tests of intervals of a single run and of doubts about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim.results.certainty import BEYOND, NOTHING, TOO_FEW, UNSETTLED, warmup
from edgesim.results.combine import combine
from edgesim.results.source import FileSource, MemorySource
from edgesim.results.summary import summarise
from edgesim.results.writer import RecordWriter
from edgesim.stats import run_interval

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def summary(fakes: ModuleType, rows: np.ndarray, **changes: Any) -> dict[str, Any]:
    """A summary of records in memory."""
    info = fakes.info(**changes)
    return summarise(MemorySource([rows[:700], rows[700:]], info), info, fakes.totals(rows))


def test_the_interval_is_that_of_the_series_in_the_order_of_arrival(fakes: ModuleType) -> None:
    """Records come as requests end; batches are stretches of arrivals, whatever was turned away."""
    rows = fakes.requests(3000)
    shuffled = rows[np.random.default_rng(1).permutation(len(rows))]
    found = summary(fakes, shuffled)["intervals"]
    done = rows["status"] == 0
    series = np.where(done, (rows["finished"] - rows["arrived"]) / 1e12, np.nan)
    expected = run_interval(series, delete=False)
    e2e = found["metrics"]["e2e"]
    assert (e2e["mean"], e2e["half_width"]) == pytest.approx((expected.mean, expected.half_width))
    assert e2e["mean"] == pytest.approx(summary(fakes, rows)["metrics"]["e2e"]["mean"])
    assert e2e["kind"] == expected.kind
    assert e2e["low"] < e2e["mean"] < e2e["high"]
    assert found["kind"] == "batch means"


def test_the_warm_up_is_no_part_of_it(fakes: ModuleType) -> None:
    """A slow start before the warm-up ends changes nothing."""
    rows = fakes.requests(3000)
    rows["finished"][:200] += 10**15 * (rows["finished"][:200] > 0)
    found = summary(fakes, rows, warmup_s=20.0)
    assert found["intervals"]["metrics"]["e2e"]["mean"] == pytest.approx(found["metrics"]["e2e"]["mean"])
    assert found["metrics"]["e2e"]["max"] < 1000


def test_file_and_memory_agree(tmp_path: Path, fakes: ModuleType) -> None:
    """The summary is the same, whichever it is made from."""
    rows = fakes.requests(3000)
    writer = RecordWriter(tmp_path, fakes.info(), ("requests",))
    writer.take("requests", rows)
    writer.close()
    info = fakes.info()
    stored = summarise(FileSource(tmp_path / "requests.parquet"), info, fakes.totals(rows))
    assert stored["intervals"] == summary(fakes, rows)["intervals"]


def test_few_requests_are_told(fakes: ModuleType) -> None:
    """Below a hundred there is a note and no interval; without any there is neither."""
    found = summary(fakes, fakes.requests(90))
    assert found["notes"] == [TOO_FEW]
    assert found["intervals"]["metrics"]["e2e"]["half_width"] is None
    assert found["intervals"]["metrics"]["e2e"]["kind"] == "none: fewer than 100 values"
    nothing = summary(fakes, fakes.requests(0))
    assert (nothing["notes"], nothing["intervals"]["metrics"]) == ([], {})


def test_a_run_that_never_settles_is_told(fakes: ModuleType) -> None:
    """Latency that falls to the very end is no steady state; over replications it is said once."""
    rows = fakes.requests(1000)
    assert summary(fakes, rows)["notes"] == []
    later = rows["finished"] > 0
    rows["finished"][later] += (np.linspace(30, 0, 1000) * fakes.S).astype(np.int64)[later]
    found = summary(fakes, rows)
    assert found["notes"] == [UNSETTLED]
    info = fakes.info()
    backed_up = fakes.totals(rows, stable=False, backlog="it grows")
    assert summarise(MemorySource([rows], info), info, backed_up)["notes"] == []  # said already
    together = combine([found, found], {})
    assert together["notes"] == [UNSETTLED]
    assert "intervals" not in together
    steady = summary(fakes, fakes.requests(1000, 1))
    assert combine([steady, found, steady], {})["notes"] == []


def test_a_warm_up_beyond_the_run_is_told(fakes: ModuleType) -> None:
    """Nothing was measured: the note says so, and not that too little was."""
    found = summary(fakes, fakes.requests(300), warmup_s=900.0)
    assert found["notes"] == [NOTHING]
    assert found["metrics"]["e2e"]["count"] == 0


def test_an_unstable_run_has_no_intervals(fakes: ModuleType) -> None:
    """Its means depend on its length."""
    rows = fakes.requests(3000)
    info = fakes.info()
    grows = fakes.totals(rows, stable=False, backlog="it grows")
    found = summarise(MemorySource([rows], info), info, grows)["intervals"]["metrics"]
    assert {each["kind"] for each in found.values()} == {BEYOND}
    assert all(each["half_width"] is None for each in found.values())


def test_the_warm_up_is_found_where_the_start_differs(fakes: ModuleType) -> None:
    """The first 20 s are slow: about there the warm-up ends; an even run needs none to speak of."""
    rows = fakes.requests(3000)
    slow = (np.arange(3000) < 200) & (rows["finished"] > 0)
    rows["finished"][slow] += 30 * fakes.S
    info = fakes.info()
    assert (
        19.9 <= warmup(MemorySource([rows[::-1]], info), info) <= 30.0
    )  # chance carries it a little further
    even = fakes.requests(3000)
    assert warmup(MemorySource([even], info), info) < 20.0
    later = fakes.info(warmup_s=100.0)
    assert warmup(MemorySource([rows], later), later) >= 100.0
    nothing = fakes.requests(0)
    assert warmup(MemorySource([nothing], info), info) == 0.0
