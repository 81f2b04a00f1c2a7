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
