"""Tests of `edgesim plot` and `edgesim trace`: which files they write, and what they say when they cannot."""

from __future__ import annotations

import gzip
import json
import shutil
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import edgesim
from edgesim.cli import main

if TYPE_CHECKING:
    from pathlib import Path

SCENARIO = {
    "scenario": {"name": "tiny", "duration": "20 s"},
    "topology": {
        "nodes": {
            "phone": {"tier": "device", "count": 2},
            "edge": {"tier": "edge", "accelerator": "nvidia-l4"},
        },
        "links": [{"between": ["phone", "edge"], "latency": "5 ms", "bandwidth": "1 Mbps"}],
    },
    "deployments": [{"llm": "llama-3.1-8b", "weights": "int8", "on": "edge"}],
    "workloads": {
        "chat": {
            "from": "phone",
            "arrivals": {"kind": "poisson", "rate": "2/s"},
            "prompt_tokens": 100,
            "output_tokens": 20,
        }
    },
}
RESOURCES = "output.tables=[requests, resources]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored run with time series, and one without beside it."""
    base = tmp_path_factory.mktemp("runs")
    edgesim.simulate(SCENARIO, sets=[RESOURCES], out=base / "full")
    edgesim.simulate(SCENARIO, out=base / "bare")
    edgesim.simulate(SCENARIO, sets=[RESOURCES], replications=2, out=base / "several")
    return base


def call(*arguments: str | Path) -> Result:
    """Run the command line."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_all_that_fit_become_files(folder: Path) -> None:
    """Without names, into the run's own folder; what finds nothing to show is told, not fatal."""
    result = call("plot", folder / "full")
    assert result.exit_code == 0, result.output
    names = {path.stem for path in (folder / "full" / "plots").glob("*.svg")}
    assert {"ttft", "phases", "queue", "power", "utilisation", "links", "topology"} <= names
    assert {"temperature", "cache", "load"} & names == set()
    assert "temperature left out: nothing warms up" in result.stderr
    assert len(result.stdout.splitlines()) == len(names)
    assert edgesim.load(folder / "full").summary["requests"]["arrived"] > 10


def test_what_to_record_for_more_is_told(folder: Path, tmp_path: Path) -> None:
    """A run without time series gets the pictures of its requests, and advice."""
    result = call("plot", folder / "bare", "-o", tmp_path / "here", "--format", "png")
    assert result.exit_code == 0
    assert (tmp_path / "here" / "ttft.png").is_file()
    assert not (tmp_path / "here" / "queue.png").exists()
    assert "run again with --set 'output.tables=[requests, resources]'" in result.stderr


def test_several_names_share_a_page(folder: Path, tmp_path: Path) -> None:
    """One file, whose ending chooses the format; options go to the pictures that take them."""
    page = tmp_path / "page.pdf"
    result = call(
        "plot", folder / "several", "ttft", "distribution", "running", "-o", page, "--metric", "energy"
    )
    assert result.exit_code == 0, result.output
    assert page.read_bytes()[:5] == b"%PDF-"
    one = call("plot", folder / "full", "queue", "-o", tmp_path)
    assert one.stdout.strip().endswith("queue.svg")


def test_pictures_are_listed(folder: Path) -> None:
    """With a folder, also which of them can be drawn."""
    assert "latency-throughput" in call("plot", "--list").stdout
    listed = call("plot", folder / "bare", "--list").stdout
    assert "can be drawn" in listed
    assert "resources" in listed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere",), "'nowhere' is no folder"),
        (("BARE", "queue"), "has no table 'resources'"),
        (("BARE", "ttff"), "did you mean 'ttft'"),
        (("BARE", "load"), "is of a sweep"),
        (("BARE", "ttft", "-o", "a.gif"), "must end in .svg, .pdf or .png"),
        (("BARE", "-o", "a.svg"), "would hold all pictures"),
        (("BARE", "distribution", "--metric", "beauty"), "no metric 'beauty'"),
    ],
)
def test_what_is_wrong_is_told_with_exit_code_2(
    arguments: tuple[str, ...], sentence: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sentence, no traceback, no file."""
    monkeypatch.chdir(tmp_path)
    result = call("plot", *(folder / "bare" if one == "BARE" else one for one in arguments))
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_timeline_is_written(folder: Path, tmp_path: Path) -> None:
    """By default compressed, into the run's folder; -o names another file; a window makes it smaller."""
    result = call("trace", folder / "full")
    assert result.exit_code == 0, result.output
    with gzip.open(folder / "full" / "trace.json.gz") as file:
        events = json.load(file)["traceEvents"]
    assert f"{len(events):,} events" in result.stderr
    small = call("trace", folder / "full", "-o", tmp_path / "t.json", "--from", "5 s", "--to", "6 s")
    assert small.exit_code == 0
    assert 0 < len(json.loads((tmp_path / "t.json").read_text())["traceEvents"]) < len(events) / 4
    turned = call("trace", folder / "full", "--from", "8 s", "--to", "1 s")
    assert turned.exit_code == 2
    assert "from 8 s to 1 s ends before it begins" in turned.stderr
    several = call("trace", folder / "several", "-o", tmp_path / "s.json")
    assert "one of 2 replications; for another give its folder" in several.stderr
    assert call("trace", folder / "full", "--from", "5 bananas").exit_code == 2
    assert call("trace", folder / "full", "-o", tmp_path / "t.txt").exit_code == 2


def test_a_missing_column_is_told(folder: Path, tmp_path: Path) -> None:
    """By name and file, with exit code 2, in pictures and timelines."""
    shutil.copytree(folder / "full", tmp_path / "old")
    for table, column in (("requests", "tier"), ("resources", "utilisation")):
        path = tmp_path / "old" / f"{table}.parquet"
        pq.write_table(pq.read_table(path).drop([column]), path)
    told = [call("plot", tmp_path / "old", name) for name in ("ttft", "phases")]
    assert all(
        f"{tmp_path / 'old' / 'requests.parquet'}' lacks the column tier" in one.stderr for one in told
    )
    links = call("plot", tmp_path / "old", "links")
    assert "resources.parquet' lacks the column utilisation" in links.stderr
    path = tmp_path / "old" / "requests.parquet"
    pq.write_table(pq.read_table(path).drop(["origin", "queue"]), path)
    trace = call("trace", tmp_path / "old")
    assert "lacks the columns origin, queue" in trace.stderr
    assert {one.exit_code for one in (*told, links, trace)} == {2}


def test_a_run_can_be_replaced_after_it_was_drawn(folder: Path) -> None:
    """Pictures and timeline in its folder do not stand in the way of --force."""
    edgesim.simulate(SCENARIO, out=folder / "again")
    assert call("plot", folder / "again", "ttft").exit_code == 0
    assert call("trace", folder / "again").exit_code == 0
    edgesim.simulate(SCENARIO, out=folder / "again", force=True)
    assert edgesim.load(folder / "again").finished
