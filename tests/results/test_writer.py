"""Tests of the record tables on disk and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from edgesim.results.columns import REQUEST_COLUMNS, ROW_GROUP
from edgesim.results.frames import frame
from edgesim.results.writer import MemorySink, RecordWriter

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

NAMES = [
    "request",
    "session",
    "workload",
    "tenant",
    "privacy",
    "origin",
    "replica",
    "tier",
    "llm",
    "model_version",
    "status",
    "reason",
    "prompt_tokens",
    "cached_tokens",
    "output_tokens",
    "arrived_at",
    "first_scheduled_at",
    "first_token_server_at",
    "first_token_at",
    "finished_at",
    "decision",
    "uplink",
    "queue",
    "prefill",
    "decode",
    "stall",
    "downlink",
    "backoff",
    "quality",
    "bytes_up",
    "bytes_down",
    "energy_j",
    "cost_usd",
    "carbon_g",
    "legs",
    "preemptions",
    "hops",
]


def write(folder: Path, fakes: ModuleType, rows: np.ndarray, chunk: int = 1000, **names: object) -> Path:
    """Write records chunk by chunk."""
    folder.mkdir(exist_ok=True)
    with RecordWriter(folder, fakes.info(**names)) as writer:
        for start in range(0, len(rows), chunk):
            writer.take("requests", rows[start : start + chunk])
            writer.take("legs", fakes.legs(rows[start : start + chunk]))
    return folder


def test_requests_have_the_promised_columns(tmp_path: Path, fakes: ModuleType) -> None:
    """Names, order and types of requests.parquet are what the outside relies on."""
    write(tmp_path, fakes, fakes.requests(50))
    schema = pq.read_schema(tmp_path / "requests.parquet")
    assert schema.names == NAMES
    types = {c.name: str(schema.field(c.name).type) for c in REQUEST_COLUMNS}
    assert types["output_tokens"] == types["legs"] == types["request"] == "int64"
    assert types["arrived_at"] == types["stall"] == types["energy_j"] == "double"
    assert "string" in types["tier"]
    assert "dictionary" in types["tier"]
    assert schema.field("queue").metadata[b"unit"] == b"s"


def test_values_are_those_of_the_records(tmp_path: Path, fakes: ModuleType) -> None:
    """Picoseconds become seconds, nanojoules joules, codes names; sums of energies keep every term."""
    rows = fakes.requests(200)
    table = pd.read_parquet(write(tmp_path, fakes, rows) / "requests.parquet")
    assert (table.arrived_at == rows["arrived"] / 1e12).all()
    assert (table.energy_j == (rows["compute_nj"] + rows["network_nj"]) / 1e9).all()
    assert (table.prompt_tokens == rows["prompt"]).all()
    names = fakes.info()
    for column, labels in (
        ("workload", names.workloads),
        ("tenant", names.tenants),
        ("privacy", names.privacies),
    ):
        assert table[column].tolist() == [labels[code] for code in rows["workload"]]
    placed = rows["replica"] >= 0
    for column, labels in (
        ("replica", names.replica_names),
        ("tier", names.replica_tiers),
        ("llm", names.replica_llms),
    ):
        assert table[column][placed].tolist() == [labels[code] for code in rows["replica"][placed]]
        assert table[column][~placed].isna().all()
    assert table.origin.tolist() == [fakes.NODES[code] for code in rows["origin"]]
    assert table.reason.tolist() == [names.reasons[code] for code in rows["reason"]]


def test_missing_times_are_null_not_zero(tmp_path: Path, fakes: ModuleType) -> None:
    """A request that never got a token has no time for it, in the file as in pandas."""
    rows = fakes.requests(200)
    table = pq.read_table(write(tmp_path, fakes, rows) / "requests.parquet")
    assert table["first_token_at"].null_count == (rows["first_token"] < 0).sum() > 0
    assert table["arrived_at"].null_count == 0
    assert (table["first_token_at"].to_pandas().isna() == (rows["first_token"] < 0)).all()


def test_equal_records_give_equal_bytes(tmp_path: Path, fakes: ModuleType) -> None:
    """Bytes depend on the records alone, not on the chunks in which they came."""
    rows = fakes.requests(ROW_GROUP + 5000)
    first = write(tmp_path / "a", fakes, rows, chunk=777)
    second = write(tmp_path / "b", fakes, rows, chunk=100_000)
    for name in ("requests.parquet", "legs.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert pq.ParquetFile(first / "requests.parquet").num_row_groups == 2
    rows["queue"][-1] += 10**6
    third = write(tmp_path / "c", fakes, rows)
    assert (third / "requests.parquet").read_bytes() != (first / "requests.parquet").read_bytes()


def test_memory_and_file_give_the_same_table(tmp_path: Path, fakes: ModuleType) -> None:
    """A run in memory shows the table that its file would hold."""
    rows = fakes.requests(300)
    folder = write(tmp_path, fakes, rows)
    for name, records in (("requests", rows), ("legs", fakes.legs(rows))):
        stored = pd.read_parquet(folder / f"{name}.parquet")
        kept = frame(name, records, fakes.info())
        assert list(stored) == list(kept)
        for column in stored:
            if isinstance(stored[column].dtype, pd.CategoricalDtype):
                assert stored[column].astype("str").equals(kept[column].astype("str")), column
            else:
                pd.testing.assert_series_equal(stored[column], kept[column])


def test_names_may_come_from_a_function_and_grow(tmp_path: Path, fakes: ModuleType) -> None:
    """Huge groups name only the nodes that occur; replicas and reasons may appear while the run goes on."""
    rows = fakes.requests(100)
    rows["origin"] = np.arange(100) * 10_000
    reasons, replicas, tiers = (
        ["", "no-replica"],
        ["edge/0", "cloud/0", "cloud/1"],
        ["edge", "cloud", "cloud"],
    )
    names = {
        "node_names": lambda index: f"phone[{index}]",
        "reasons": reasons,
        "replica_names": replicas,
        "replica_tiers": tiers,
        "replica_llms": tiers,
    }
    with RecordWriter(tmp_path, fakes.info(**names), ["requests"]) as writer:
        writer.take("requests", rows[:50])
        reasons.append("late")
        replicas.append("cloud/2")
        tiers.append("cloud")
        rows["reason"][60], rows["replica"][60] = 2, 3
        writer.take("requests", rows[50:])
    table = pd.read_parquet(tmp_path / "requests.parquet")
    assert table.origin[3] == "phone[30000]"
    assert (table.reason[60], table.replica[60], table.tier[60]) == ("late", "cloud/2", "cloud")
    assert not (tmp_path / "legs.parquet").exists()


def test_a_run_without_requests_is_an_empty_table(tmp_path: Path, fakes: ModuleType) -> None:
    """Nothing happened: the file is there, with all columns and no rows."""
    table = pd.read_parquet(write(tmp_path, fakes, fakes.requests(0)) / "requests.parquet")
    assert table.shape == (0, len(NAMES))
    assert frame("requests", fakes.requests(0), fakes.info()).shape == (0, len(NAMES))


def test_memory_keeps_copies(fakes: ModuleType) -> None:
    """The engine may reuse its buffer after handing it over."""
    rows = fakes.requests(10)
    sink = MemorySink()
    sink.take("requests", rows)
    rows["request"] = -1
    assert sink.records("requests")["request"].tolist() == list(range(10))
    dropping = MemorySink(keep=False)
    dropping.take("requests", rows)
    assert len(dropping.records("requests")) == 0


def test_phases_add_up_to_the_end_to_end_time(tmp_path: Path, fakes: ModuleType) -> None:
    """What adds up in picoseconds adds up in the table."""
    table = pd.read_parquet(write(tmp_path, fakes, fakes.requests(500)) / "requests.parquet")
    done = table[table.status == "completed"]
    phases = done[["decision", "uplink", "queue", "prefill", "decode", "stall", "downlink", "backoff"]].sum(
        axis=1
    )
    assert phases.to_numpy() == pytest.approx((done.finished_at - done.arrived_at).to_numpy(), abs=1e-9)
