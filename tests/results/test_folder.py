"""Tests of the run folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from edgesim.errors import ResultsError
from edgesim.results import folder as folders

if TYPE_CHECKING:
    from pathlib import Path


def test_folders_are_named_by_time_and_digest(tmp_path: Path) -> None:
    """Two runs of the same second get different folders."""
    first = folders.default_folder(tmp_path, "quickstart", "abcdef0123456789")
    assert first.parent == tmp_path / "quickstart"
    assert first.name.endswith("Z-abcdef01")
    first.mkdir(parents=True)
    second = folders.default_folder(tmp_path, "quickstart", "abcdef0123456789")
    assert not second.exists()


def test_a_path_under_a_file_is_refused(tmp_path: Path) -> None:
    """The message names the folder that was asked for and the file in its way."""
    file = tmp_path / "notes"
    file.write_text("")
    for wanted in (file, file / "run", file / "a" / "run"):
        with pytest.raises(ResultsError) as caught:
            folders.prepare(wanted)
        assert str(caught.value) == (
            f"cannot write results to '{wanted}': '{file}' is a file; choose another folder"
        )


def test_foreign_files_are_never_touched(tmp_path: Path) -> None:
    """A folder that holds no run is refused, with --force, too."""
    (tmp_path / "thesis.tex").write_text("")
    for force in (False, True):
        with pytest.raises(
            ResultsError, match=r"it is not empty and holds no run (.+); choose another folder"
        ):
            folders.prepare(tmp_path, force=force)
    assert (tmp_path / "thesis.tex").exists()


def test_an_earlier_run_is_replaced_only_by_force(tmp_path: Path) -> None:
    """With force, the files of the run go; others stay."""
    for name in ("manifest.json", "summary.json", "requests.parquet", "my-plot.png"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "rep-000").mkdir()
    with pytest.raises(ResultsError, match="holds an earlier run; --force replaces it"):
        folders.prepare(tmp_path)
    folders.prepare(tmp_path, force=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["my-plot.png"]


def test_json_is_written_at_once_and_read_back(tmp_path: Path) -> None:
    """Nothing but the finished file is left, and damage is reported with the file's name."""
    path = tmp_path / "summary.json"
    folders.write_json(path, {"a": 1.5, "b": None})
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]
    assert folders.read_json(path) == {"a": 1.5, "b": None}
    path.write_text("{")
    with pytest.raises(ResultsError, match=r"cannot read .*summary\.json"):
        folders.read_json(path)
    with pytest.raises(ResultsError, match=r"is missing; is .* the folder of a finished run\?"):
        folders.read_json(tmp_path / "no.json")


def test_the_manifest_says_how_a_run_came_about() -> None:
    """Seed, digest, versions and command are there, and it is JSON."""
    found = folders.manifest(
        scenario="q", digest="d" * 64, seed=3, replications=2, command="edgesim run q.yaml", engine="auto"
    )
    assert json.loads(json.dumps(found)) == found
    assert found["seed"] == 3
    assert found["scenario_sha256"] == "d" * 64
    assert found["versions"]["numpy"]
    assert found["exit_state"] == "running"


def test_peak_memory_is_plausible() -> None:
    """A Python with numpy takes between 20 MiB and 20 GiB."""
    assert 20 < folders.peak_rss_mib() < 20_000


@pytest.mark.parametrize("kind", ["sweep", "comparison", "capacity"])
def test_no_run_replaces_results_of_another_kind(tmp_path: Path, kind: str) -> None:
    """Not even by force: nothing of them is touched."""
    folders.write_json(tmp_path / folders.MANIFEST, {"format": 1, "kind": kind, "exit_state": "finished"})
    (tmp_path / "points.parquet").write_text("mine", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(
            ResultsError, match=f"holds a {folders.name_of(kind)}, not a run; choose another folder"
        ):
            folders.prepare(tmp_path, force=force)
    assert (tmp_path / "points.parquet").read_text(encoding="utf-8") == "mine"


def test_other_code_is_told_where_it_is_known() -> None:
    """Versions before commits; "+" stands for changes that are in no commit."""
    one = {"versions": {"edgesim": "0.1.0"}, "git_commit": 40 * "a"}
    assert folders.mixed([one, one, one | {"git_commit": None}]) == []
    (text,) = folders.mixed([one, one | {"git_commit": 40 * "b" + "+"}])
    assert "different commits of edgesim: aaaaaaaa, bbbbbbbb+ " in text
    (text,) = folders.mixed([one, {"versions": {"edgesim": "0.2.0"}, "git_commit": 40 * "b"}])
    assert "different versions of edgesim: 0.1.0, 0.2.0" in text
