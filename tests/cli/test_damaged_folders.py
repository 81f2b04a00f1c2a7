"""Tests of run folders that are damaged or unfinished: every command says which file, and exits with 2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import edgesim
from edgesim.cli import main
from edgesim.errors import ResultsError
from edgesim.results.source import FileSource
from edgesim.verify.queues import queue

COMMANDS = {
    "compare": ["compare", "run", "other", "-m", "ttft"],
    "explain": ["explain", "run"],
    "report": ["report", "run"],
    "plot": ["plot", "run"],
    "trace": ["trace", "run"],
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a queue."""
    folder = tmp_path_factory.mktemp("stored") / "run"
    lengths = {"kind": "geometric", "mean": 400}
    edgesim.simulate(
        queue("mm1", 1.25, 300, slots=1, lengths=lengths, decode={"base": "0.001 s"}), out=folder
    )
    return folder


@pytest.fixture
def here(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two copies of it in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    for name in ("run", "other"):
        shutil.copytree(stored, tmp_path / name)
    return tmp_path


def change(path: Path, key: str, value: object = None) -> None:
    """Set a key of a JSON file, or leave it out."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop(key)
    path.write_text(json.dumps(content | ({} if value is None else {key: value})), encoding="utf-8")


def refused(name: str) -> str:
    """Run a command that must refuse; answers what it says."""
    found: Result = CliRunner().invoke(main, COMMANDS[name])
    assert found.exit_code == 2, found.output
    return found.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_truncated_table_is_named(here: Path, name: str) -> None:
    """The file, and no internal error."""
    path = here / "run" / "requests.parquet"
    path.write_bytes(path.read_bytes()[:500])
    assert "cannot read 'run/requests.parquet'" in refused(name)
    with pytest.raises(ResultsError, match="cannot read"):
        FileSource(path)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_manifest_without_seed_is_named(here: Path, name: str) -> None:
    """The file and the key."""
    change(here / "run" / "manifest.json", "seed")
    assert "'run/manifest.json' is damaged: it lacks 'seed'" in refused(name)


@pytest.mark.parametrize("name", ["compare", "explain", "report"])
@pytest.mark.parametrize("key", ["stable", "metrics"])
def test_a_summary_without_a_part_is_named(here: Path, name: str, key: str) -> None:
    """The file and the key; a comparison does not leave rows out instead."""
    change(here / "run" / "summary.json", key)
    assert f"'run/summary.json' is damaged: it lacks '{key}'" in refused(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_that_never_ended_is_refused(here: Path, name: str) -> None:
    """One that was interrupted is not: what was finished is kept."""
    change(here / "run" / "manifest.json", "exit_state", "running")
    assert "the run in 'run' has not ended" in refused(name)
    change(here / "run" / "manifest.json", "exit_state", "interrupted")
    assert not edgesim.load(here / "run").finished  # type: ignore[union-attr]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_kind_of_results_that_is_not_known_is_told(here: Path, name: str) -> None:
    """And which one it is."""
    change(here / "run" / "manifest.json", "kind", "banana")
    assert "of a kind that this version does not know (banana)" in refused(name)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("sweep", "one of its points"), ("comparison", "one of the runs"), ("capacity", "keeps no runs")],
)
def test_runs_of_other_results_are_pointed_at(here: Path, kind: str, text: str) -> None:
    """By the commands that want a run."""
    change(here / "run" / "manifest.json", "kind", kind)
    for name in ("explain", "trace", "compare"):
        assert text in refused(name)


def test_a_search_that_did_not_finish_or_is_damaged_is_told(here: Path) -> None:
    """By the commands that show one."""
    manifest = here / "run" / "manifest.json"
    change(manifest, "kind", "capacity")
    assert "'run/capacity.json' is missing" in refused("plot")
    (here / "run" / "capacity.json").write_text("{}", encoding="utf-8")
    assert "'run/capacity.json' is damaged, or of another version: 'asked'" in refused("report")
    change(manifest, "exit_state", "interrupted")
    assert "did not finish (interrupted); run the same `edgesim capacity` with --resume" in refused("plot")


def test_a_replication_that_is_gone_is_told(tmp_path: Path) -> None:
    """The summary counts it, the tables do not have it."""
    spec = queue(
        "mm1", 1.25, 300, slots=1, lengths={"kind": "geometric", "mean": 400}, decode={"base": "0.001 s"}
    )
    edgesim.simulate(spec, replications=3, out=tmp_path / "set")
    shutil.rmtree(tmp_path / "set" / "rep-001")
    assert "replication 1 of 3 is missing" in edgesim.load(tmp_path / "set").summary["notes"][-1]  # type: ignore[union-attr]


def test_the_working_folder_is_a_candidate(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called by its name."""
    monkeypatch.chdir(here / "run")
    found = CliRunner().invoke(main, ["compare", ".", "../other", "-m", "ttft", "--json"])
    assert found.exit_code == 0, found.output
    assert [each["name"] for each in json.loads(found.stdout)["candidates"]] == ["run", "other"]
