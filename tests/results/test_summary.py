"""Tests of the summary, against pandas and against worked examples."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim.outcome import LINK_TOTALS, Totals
from edgesim.records import STATUS
from edgesim.results.frames import frame
from edgesim.results.source import FileSource, MemorySource
from edgesim.results.summary import summarise
from edgesim.results.writer import RecordWriter

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import pandas as pd

WARMUP = 20.0


@pytest.fixture
def rows(fakes: ModuleType) -> np.ndarray:
    """Two thousand random requests."""
    return fakes.requests(2000)


def summary(
    fakes: ModuleType, rows: np.ndarray, totals: Totals | None = None, **changes: Any
) -> dict[str, Any]:
    """Summarise records in memory, in uneven chunks."""
    info = fakes.info(warmup_s=WARMUP, **changes)
    source = MemorySource([rows[:700], rows[700:703], rows[703:]], info)
    return summarise(source, info, totals or fakes.totals(rows))


def formulas(table: pd.DataFrame) -> dict[str, pd.Series]:
    """The metrics once more, in pandas."""
    e2e = table.finished_at - table.arrived_at
    return {
        "ttft": table.first_token_at - table.arrived_at,
        "tpot": (table.finished_at - table.first_token_at)
        / (table.output_tokens - 1).where(table.output_tokens > 1),
        "e2e": e2e,
        "normalized_latency": e2e / table.output_tokens,
        "queue_time": table.queue,
        "network_time": table.uplink + table.downlink,
        "energy": table.energy_j,
        "cost": table.cost_usd,
    }


def assert_described(found: dict[str, Any], values: pd.Series) -> None:
    """A described metric says what pandas says."""
    assert found["count"] == values.count()
    expected = {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max()}
    expected |= {f"p{q}": values.quantile(q / 100) for q in (50, 90, 95, 99)}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_metrics_agree_with_pandas(fakes: ModuleType, rows: np.ndarray) -> None:
    """Overall and in every group, metrics are what pandas computes from the table."""
    found = summary(fakes, rows)
    table = frame("requests", rows, fakes.info())
    table = table[(table.status == "completed") & (table.arrived_at >= WARMUP)]
    for name, values in formulas(table).items():
        assert_described(found["metrics"][name], values)
        for by in ("tier", "workload", "replica"):
            assert set(found["by"][by]) == set(table[by])
            for group, part in values.groupby(table[by].astype(str)):
                assert_described(found["by"][by][group]["metrics"][name], part)


def test_tpot_counts_only_replies_that_have_one(fakes: ModuleType, rows: np.ndarray) -> None:
    """Replies of one token are missing from TPOT, and are not taken for 0."""
    found = summary(fakes, rows)["metrics"]
    assert 0 < found["tpot"]["count"] < found["ttft"]["count"]
    assert found["tpot"]["min"] > 0
    rows["output"] = 1
    found = summary(fakes, rows)["metrics"]["tpot"]
    assert (found["count"], found["mean"], found["p95"]) == (0, None, None)


def test_every_request_is_counted_once(fakes: ModuleType, rows: np.ndarray) -> None:
    """Arrived is the sum of all ways to end, warm-up included, overall and over the workloads."""
    rows["status"][100:110] = STATUS.index("failed")
    rows["status"][110:115] = STATUS.index("abandoned")
    found = summary(fakes, rows)
    counts = found["requests"]
    assert counts["arrived"] == len(rows) == sum(counts[name] for name in STATUS)
    assert counts["failed"] == 10
    assert counts["abandoned"] == 5
    for name in counts:
        assert sum(group["requests"][name] for group in found["by"]["workload"].values()) == counts[name]
    placed = sum(group["requests"]["arrived"] for group in found["by"]["replica"].values())
    assert placed == sum(group["requests"]["arrived"] for group in found["by"]["tier"].values())
    assert placed == counts["arrived"] - (rows["replica"] < 0).sum()


def test_warm_up_is_counted_but_not_measured(fakes: ModuleType, rows: np.ndarray) -> None:
    """Requests that arrive before the warm-up ends appear in the counts alone."""
    found = summary(fakes, rows)
    early = int((rows["arrived"] < WARMUP * fakes.S).sum())
    assert found["warmup"] == {"seconds": WARMUP, "requests": early}
    late_completed = int(((rows["status"] == 0) & (rows["arrived"] >= WARMUP * fakes.S)).sum())
    assert found["metrics"]["e2e"]["count"] == late_completed
    assert found["requests"]["completed"] > late_completed


def test_rates_are_over_the_measured_time(fakes: ModuleType, rows: np.ndarray) -> None:
    """Throughput counts what finishes after the warm-up; goodput what of that kept all limits."""
    slo = {"ttft": {"p95": 2.5}, "tpot": {"within": 0.5, "p99": 9.0}, "e2e": {"mean": 1.0}}
    found = summary(fakes, rows, slo=slo)
    table = frame("requests", rows, fakes.info())
    table = table[(table.status == "completed") & (table.finished_at >= WARMUP)]
    values = formulas(table)
    window = 1000.0 - WARMUP
    good = ~(values["ttft"] > 2.5) & ~(values["tpot"] > 0.5)
    assert found["rates"] == pytest.approx(
        {
            "throughput_rps": len(table) / window,
            "goodput_rps": good.sum() / window,
            "input_tokens_per_s": table.prompt_tokens.sum() / window,
            "output_tokens_per_s": table.output_tokens.sum() / window,
        }
    )
    assert found["by"]["workload"]["chat"]["rates"]["goodput_rps"] == pytest.approx(
        good[table.workload == "chat"].sum() / window
    )
    assert summary(fakes, rows)["rates"]["goodput_rps"] is None


def test_energy_and_money_add_up(fakes: ModuleType, rows: np.ndarray) -> None:
    """What requests used, plus idle, is the total; and no term is made from the others."""
    totals = fakes.totals(rows)
    found = summary(fakes, rows, totals)
    parts = found["energy_j"]
    assert parts["idle"] == 6.0
    assert parts["network"] == rows["network_nj"].sum() / 1e9
    assert parts["total"] == pytest.approx(parts["idle"] + parts["dynamic"] + parts["network"], rel=1e-12)
    unplaced = rows["compute_nj"][rows["replica"] < 0].sum() / 1e9
    requests = found["of_requests"]["energy_j"]
    assert requests - unplaced == pytest.approx(parts["dynamic"] + parts["network"], rel=1e-12)
    assert found["cost_usd"] == pytest.approx(rows["cost_usd"].sum() + 1.5)
    tiers = found["by"]["tier"]
    assert tiers["edge"]["energy_j"]["idle"] + tiers["cloud"]["energy_j"]["idle"] == 6.0
    assert sum(t["energy_j"]["dynamic"] for t in tiers.values()) == pytest.approx(parts["dynamic"], rel=1e-12)
    assert tiers["cloud"]["fleet"]["utilisation"] == pytest.approx(0.3)
    assert tiers["cloud"]["fleet"]["peak_kv_share"] == 0.5


def test_an_error_of_one_joule_is_seen(fakes: ModuleType, rows: np.ndarray) -> None:
    """Each term of the energy is told as it is, so that a wrong one shows."""
    before = summary(fakes, rows)["energy_j"]
    for term, column in (("idle", "idle_nj"), ("dynamic", "compute_nj"), ("dynamic", "wasted_nj")):
        totals = fakes.totals(rows)
        totals.replicas[column][1] += 10**9
        after = summary(fakes, rows, totals)["energy_j"]
        changed = {name for name in after if abs(after[name] - before[name]) > 0.5}
        assert changed == {term, "total"}
    totals = fakes.totals(rows)
    after = summary(fakes, rows, replace(totals, network_nj=totals.network_nj + 10**9))["energy_j"]
    assert after["network"] - before["network"] == pytest.approx(1.0)


def test_memory_and_file_give_the_same_summary(tmp_path: Path, fakes: ModuleType, rows: np.ndarray) -> None:
    """A summary does not depend on where the records were kept."""
    info = fakes.info(warmup_s=WARMUP, slo={"ttft": {"p95": 2.0, "within": 1.0, "attainment": 0.9}})
    with RecordWriter(tmp_path, info) as writer:
        for start in range(0, len(rows), 300):
            writer.take("requests", rows[start : start + 300])
    stored = summarise(FileSource(tmp_path / "requests.parquet"), info, fakes.totals(rows))
    kept = summarise(MemorySource([rows[:999], rows[999:]], info), info, fakes.totals(rows))
    assert json.dumps(stored) == json.dumps(kept)


def test_a_summary_is_valid_json_even_of_nothing(fakes: ModuleType) -> None:
    """Without a single request all numbers are missing or zero, never NaN."""
    info = fakes.info(slo={"ttft": {"p95": 1.0}}, duration_s=0.0)
    found = summarise(MemorySource([], info), info, Totals())
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text)["requests"]["arrived"] == 0
    assert found["metrics"]["ttft"]["mean"] is None
    assert found["slo"][0]["met"] is False


def test_one_workload_at_one_place(fakes: ModuleType, rows: np.ndarray) -> None:
    """Where a group is everything, it says the same as the whole."""
    rows["workload"] = 0
    rows["replica"] = 1
    found = summary(fakes, rows)
    for by, name in (("workload", "chat"), ("tier", "cloud"), ("replica", "cloud/0")):
        assert found["by"][by][name]["metrics"] == found["metrics"]
    assert list(found["by"]["replica"]) == ["cloud/0"]
    idle = found["by"]["tier"]["edge"]
    assert idle["requests"]["arrived"] == 0
    assert idle["metrics"]["ttft"]["count"] == 0
    assert idle["energy_j"]["idle"] == 1.0
    assert list(found["by"]["workload"]) == ["chat"]


def test_only_the_busiest_replicas_are_listed(fakes: ModuleType) -> None:
    """Thousands of phones would make a summary that nobody can read."""
    rows = fakes.requests(3000)
    rows["replica"] = np.where(np.arange(3000) < 1000, np.arange(3000), 1000)
    names = [f"phone/{index}" for index in range(2000)]
    info = fakes.info(replica_names=names, replica_tiers=["device"] * 2000, replica_llms=["s"] * 2000)
    found = summarise(MemorySource([rows], info), info, Totals())
    assert len(found["by"]["replica"]) == 100
    assert found["by"]["replica"]["phone/1000"]["requests"]["arrived"] == 2000
    assert found["by"]["tier"]["device"]["metrics"] == found["metrics"]


def test_the_busiest_links_are_listed(fakes: ModuleType, rows: np.ndarray) -> None:
    """Links come in the order of their use."""
    assert list(summary(fakes, rows)["links"]) == ["edge-cloud up", "phone-edge up"]


def test_the_engine_may_call_a_run_unstable(fakes: ModuleType, rows: np.ndarray) -> None:
    """The verdict of the engine comes with its reason."""
    found = summary(fakes, rows)
    assert (found["stable"], found["stability"]) == (True, "stable")
    found = summary(fakes, rows, fakes.totals(rows, stable=False, backlog="cloud/0 falls behind"))
    assert (found["stable"], found["stability"]) == (False, "unstable: cloud/0 falls behind")


def test_reasons_are_counted(fakes: ModuleType, rows: np.ndarray) -> None:
    """Of all requests that were turned away, in memory as on disk, the most frequent reason first."""
    rows["status"][100:110], rows["reason"][100:110] = STATUS.index("failed"), 2
    found = summary(fakes, rows, reasons=["", "no-replica", "replica-failed"])
    turned_away = np.isin(
        rows["status"], [STATUS.index(name) for name in ("rejected", "failed", "abandoned")]
    )
    assert sum(found["reasons"].values()) == turned_away.sum()
    assert list(found["reasons"]) == ["no-replica", "replica-failed"]
    assert found["reasons"]["replica-failed"] == 10
    rows["status"] = 0
    assert summary(fakes, rows)["reasons"] == {}


def test_lists_say_of_how_many_they_are(fakes: ModuleType, rows: np.ndarray) -> None:
    """A reader sees that the busiest replicas and links are not all."""
    names = [f"node/{i}" for i in range(150)]
    rows["replica"] = np.arange(len(rows)) % 150
    wide = {"replica_names": names, "replica_tiers": ["edge"] * 150, "replica_llms": ["small"] * 150}
    links = np.zeros(25, LINK_TOTALS)
    info = fakes.info(**wide, replica_nodes=names, link_names=[f"link {i}" for i in range(25)])
    replicas = np.zeros(150, fakes.totals(rows[:0]).replicas.dtype)
    found = summarise(MemorySource([rows], info), info, fakes.totals(rows, links=links, replicas=replicas))
    assert found["listed"] == {"replicas": 100, "of_replicas": 150, "links": 20, "of_links": 25}
    assert len(found["by"]["replica"]) == 100
    assert len(found["links"]) == 20


def test_carbon_is_missing_where_no_grid_is_known(fakes: ModuleType, rows: np.ndarray) -> None:
    """0 g would be a claim."""
    found = summary(fakes, rows, carbon_stated=False)
    assert found["carbon_g"] is None
    assert found["of_requests"]["carbon_g"] is None
    assert found["metrics"]["carbon"]["count"] == 0
    assert all(group["carbon_g"] is None for group in found["by"]["tier"].values())
    assert summary(fakes, rows)["carbon_g"] > 0


def test_only_answers_have_a_quality(fakes: ModuleType, rows: np.ndarray) -> None:
    """A request that was rejected or is unfinished has none."""
    table = frame("requests", rows, fakes.info())
    assert table.quality[table.status == "completed"].eq(1.0).all()
    assert table.quality[table.status != "completed"].isna().all()
