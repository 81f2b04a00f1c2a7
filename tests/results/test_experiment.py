"""Tests of running, keeping and loading, with a simulation that hands out prepared records."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import edgesim
from edgesim.errors import PolicyError, ResultsError, ScenarioError
from edgesim.experiment import Plan, _prepared
from edgesim.outcome import Outcome
from edgesim.results import Run, RunSet
from edgesim.results.quantity import quantity
from edgesim.scenario.settings import ONCE, Slo
from edgesim.stats import t_interval

if TYPE_CHECKING:
    from pathlib import Path

    from edgesim.scenario import Scenario

SCENARIO = {
    "scenario": {"name": "tiny", "seed": 7, "duration": "1000 s", "warmup": "20 s"},
    "topology": {"nodes": {"edge": {"tier": "edge", "accelerator": "nvidia-l4"}}},
    "deployments": [{"llm": "llama-3.1-8b", "weights": "int8", "on": "edge"}],
    "workloads": {
        "chat": {
            "from": "edge",
            "arrivals": {"kind": "poisson", "rate": "1/s"},
            "prompt_tokens": 100,
            "output_tokens": 10,
        }
    },
    "slo": {"ttft": {"p90": "10 s"}},
}


def scenario(**settings: Any) -> Scenario:
    """A small valid scenario."""
    return edgesim.load_scenario(SCENARIO | {"scenario": SCENARIO["scenario"] | settings})


def plan(
    fakes: ModuleType, folder: Path | None = None, *, breaks: Any = None, at: int = 0, **settings: Any
) -> Plan:
    """A plan whose replication `at` breaks; each replication has records of its own."""

    def build(_: Scenario, number: int) -> Any:
        return fakes.FakeSimulation(fakes.requests(400, number), breaks if number == at else None)

    return Plan(scenario(**settings), folder, build=build, command="test")


def test_a_run_writes_its_folder(tmp_path: Path, fakes: ModuleType) -> None:
    """Scenario, manifest, summary and tables are there, and loading them gives the run back."""
    folder = tmp_path / "deep" / "run"
    run = plan(fakes, folder).run()
    names = {"scenario.yaml", "manifest.json", "summary.json", "requests.parquet", "legs.parquet"}
    assert {entry.name for entry in folder.iterdir()} == names
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["exit_state"] == "finished"
    assert manifest["seed"] == 7
    assert manifest["command"] == "test"
    assert manifest["scenario_sha256"] == scenario().digest()
    assert manifest["wall_s"] > 0
    loaded = edgesim.load(folder)
    assert isinstance(loaded, Run)
    assert loaded.summary == run.summary
    assert loaded.scenario == scenario()
    assert len(loaded.requests) == 400
    assert len(loaded.legs) == 380
    assert loaded.summary["slo"][0]["met"] is True
    assert loaded.summary["warmup"]["seconds"] == 20.0


def test_memory_and_folder_give_the_same_run(tmp_path: Path, fakes: ModuleType) -> None:
    """Summaries are equal but for what the machine took."""
    kept, stored = plan(fakes).run().summary, plan(fakes, tmp_path / "run").run().summary
    assert {**kept, "engine": None} == {**stored, "engine": None}


def test_a_run_in_memory_keeps_its_integers(fakes: ModuleType) -> None:
    """Records are there as the engine wrote them; nothing is summarised before it is asked for."""
    run = plan(fakes).run()
    assert (run.records() == fakes.requests(400)).all()
    assert "summary" not in vars(run)
    assert run.requests.shape == (400, 37)
    assert run.info.warmup_s == 20.0


def test_energy_of_the_network_is_added_up_from_the_records(tmp_path: Path, fakes: ModuleType) -> None:
    """An engine that does not total the network leaves it to the sum over the requests."""

    def build(*_: Any) -> Any:
        fake = fakes.FakeSimulation(fakes.requests(400), chunk=1)
        run = fake.run
        fake.run = lambda *a: Outcome(replace(run(*a).totals, network_nj=None), fake.info)
        return fake

    expected = fakes.requests(400)["network_nj"].sum() / 1e9
    for folder in (None, tmp_path / "run"):
        found = Plan(scenario(), folder, build=build).run()
        assert found.summary["energy_j"]["network"] == expected
        assert found.requests.request.tolist() == list(range(400))


def test_replications_get_folders_and_intervals(tmp_path: Path, fakes: ModuleType) -> None:
    """Each replication is a run of its own; the summary above has t-intervals."""
    folder = tmp_path / "run"
    found = plan(fakes, folder, replications=3).run()
    assert isinstance(found, RunSet)
    assert sorted(entry.name for entry in folder.glob("rep-*")) == ["rep-000", "rep-001", "rep-002"]
    loaded = edgesim.load(folder)
    assert isinstance(loaded, RunSet)
    assert len(loaded) == 3
    assert loaded.summary["replications"]["count"] == 3
    assert loaded.summary == found.summary
    assert loaded.requests.replication.value_counts().to_dict() == {0: 400, 1: 400, 2: 400}
    second = edgesim.load(folder / "rep-001")
    assert isinstance(second, Run)
    assert second.scenario.scenario.replications == 3
    assert second.summary["metrics"] == plan(fakes, replications=3).run()[1].summary["metrics"]


def test_replications_are_numbered_for_common_random_numbers(fakes: ModuleType) -> None:
    """Replication i is built with the number i, so that policies meet the same draws."""
    numbers: list[int] = []

    def build(_: Scenario, number: int) -> Any:
        numbers.append(number)
        return fakes.FakeSimulation(fakes.requests(50, number))

    Plan(scenario(replications=3), build=build).run()
    assert numbers == [0, 1, 2]


def test_an_interrupted_run_keeps_what_is_finished(tmp_path: Path, fakes: ModuleType) -> None:
    """Ctrl-C: the records so far are on disk, summarised, and the manifest says so."""
    run = plan(fakes, tmp_path / "run", breaks=KeyboardInterrupt()).run()
    assert run.manifest["exit_state"] == "interrupted"
    loaded = edgesim.load(tmp_path / "run")
    assert not loaded.finished
    assert loaded.manifest["finished_replications"] == 0
    assert len(loaded.requests) == 200
    assert loaded.summary["requests"]["arrived"] == 200


def test_an_interrupted_summary_keeps_the_tables(
    tmp_path: Path, fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the last event: the tables are whole, the manifest says that the run is not."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgesim.experiment.summarise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plan(fakes, tmp_path / "run").run()
    loaded = edgesim.load(tmp_path / "run")
    assert loaded.manifest["exit_state"] == "interrupted"
    assert len(loaded.requests) == 400


def test_interrupted_replications_keep_the_finished_ones(tmp_path: Path, fakes: ModuleType) -> None:
    """The third of five is interrupted: two count, the third is kept half and says so, the others are absent."""
    found = plan(fakes, tmp_path / "run", breaks=KeyboardInterrupt(), at=2, replications=5).run()
    assert found.manifest["finished_replications"] == 2
    loaded = edgesim.load(tmp_path / "run")
    for each in (found, loaded):
        assert not each.finished
        assert [len(run.requests) for run in each] == [400, 400]
        assert all(run.finished for run in each)
        assert each.summary["requests"]["arrived"] == 800
        spread = each.summary["replications"]
        assert (spread["count"], spread["planned"]) == (2, 5)
        assert each.summary["notes"] == ["2 of 5 replications were finished; the numbers are those of these"]
    half = edgesim.load(tmp_path / "run" / "rep-002")
    assert not half.finished
    assert len(half.requests) == 200
    assert half.summary["notes"][-1].startswith("interrupted at ")
    assert edgesim.load(tmp_path / "run" / "rep-001").finished


def test_an_interrupted_first_replication_is_shown_as_what_it_is(tmp_path: Path, fakes: ModuleType) -> None:
    """Nothing was finished: its numbers are there, and no replication is claimed."""
    plan(fakes, tmp_path / "run", breaks=KeyboardInterrupt(), replications=5).run()
    loaded = edgesim.load(tmp_path / "run")
    assert [len(run.requests) for run in loaded] == [200]
    assert loaded.summary["replications"]["count"] == 0
    assert loaded.summary["notes"][-1].startswith("0 of 5 replications were finished")


def test_a_failed_run_keeps_what_is_finished(tmp_path: Path, fakes: ModuleType) -> None:
    """An error in mid-run comes through, after the results so far are safe."""
    with pytest.raises(PolicyError, match="router 'x' returned None"):
        plan(fakes, tmp_path / "run", breaks=PolicyError("router 'x' returned None")).run()
    loaded = edgesim.load(tmp_path / "run")
    assert loaded.manifest["exit_state"] == "failed"
    assert loaded.manifest["error"] == "router 'x' returned None"
    assert len(loaded.requests) == 200


def test_a_broken_engine_does_not_hide_the_first_error(tmp_path: Path, fakes: ModuleType) -> None:
    """If not even the totals can be had, records and error are kept all the same."""

    def build(*_: Any) -> Any:
        fake = fakes.FakeSimulation(fakes.requests(400), ZeroDivisionError("first"))
        fake.so_far = lambda _: 1 / 0
        return fake

    with pytest.raises(ZeroDivisionError, match="first"):
        Plan(scenario(), tmp_path / "run", build=build).run()
    summary = edgesim.load(tmp_path / "run").summary
    assert summary["requests"]["arrived"] == 200
    assert summary["engine"]["simulated_s"] == pytest.approx(20.0)


def test_what_cannot_be_built_writes_nothing(tmp_path: Path) -> None:
    """An error before the first event leaves the folder, and an earlier run in it, as they were."""

    def build(*_: Any) -> Any:
        raise PolicyError("no")

    with pytest.raises(PolicyError):
        Plan(scenario(), tmp_path / "run", build=build).run()
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    with pytest.raises(PolicyError):
        Plan(scenario(), tmp_path / "run", force=True, build=build).run()
    assert (tmp_path / "run" / "manifest.json").read_text() == "{}"


def test_nothing_runs_if_the_folder_cannot_be_written(tmp_path: Path, fakes: ModuleType) -> None:
    """A file in the way is found before anything is simulated."""
    (tmp_path / "file").write_text("")

    def build(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(ResultsError, match="is a file; choose another folder"):
        Plan(scenario(), tmp_path / "file" / "run", build=build).run()


def test_simulate_changes_settings_beside_the_scenario(
    monkeypatch: pytest.MonkeyPatch, fakes: ModuleType
) -> None:
    """Seed, replications and engine may be given beside a mapping as beside a loaded scenario."""
    seen: list[Scenario] = []

    def simulation(loaded: Scenario, number: int, processes: Any) -> Any:
        assert processes == ()
        seen.append(loaded)
        return fakes.FakeSimulation(fakes.requests(50, number))

    monkeypatch.setitem(sys.modules, "edgesim.simulation", SimpleNamespace(Simulation=simulation))
    calls: list[float] = []
    for source in (SCENARIO, scenario()):
        edgesim.simulate(
            source, seed=3, replications=2, engine="reference", progress=lambda t, _: calls.append(t)
        )
    assert [(s.scenario.seed, s.scenario.replications, s.engine) for s in seen] == [(3, 2, "reference")] * 4
    assert calls
    run = edgesim.simulate(SCENARIO, sets=["scenario.seed=9"])
    assert run.scenario.scenario.seed == 9


def test_no_run_is_loaded_from_anywhere_else(tmp_path: Path, fakes: ModuleType) -> None:
    """Messages say what is missing and where runs are."""
    with pytest.raises(ResultsError, match="is no folder; give the one that"):
        edgesim.load(tmp_path / "nowhere")
    plan(fakes, tmp_path / "run-a").run()
    with pytest.raises(
        ResultsError, match=r"holds no run: manifest\.json is missing; give a folder inside it: run-a"
    ):
        edgesim.load(tmp_path)
    with pytest.raises(ResultsError, match="has no table 'resources'"):
        _ = edgesim.load(tmp_path / "run-a").resources
    manifest = json.loads((tmp_path / "run-a" / "manifest.json").read_text())
    (tmp_path / "run-a" / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(ResultsError, match="was written in format 99; this version reads 1"):
        edgesim.load(tmp_path / "run-a")


def test_a_run_shows_itself_in_a_notebook(fakes: ModuleType) -> None:
    """The HTML has the metrics and the verdict."""
    run = plan(fakes).run()
    text = run._repr_html_()
    assert "<th>ttft</th><td>" in text
    assert f"{run.summary['requests']['completed']} of 400 requests completed" in text
    assert "380 of 400" not in repr(run)
    assert f"{run.summary['requests']['completed']} of 400 requests completed" in repr(run)


def test_groups_by_tier_in_pandas(fakes: ModuleType) -> None:
    """The example of the package's front page works."""
    means = plan(fakes).run().requests.groupby("tier", observed=True).energy_j.mean()
    assert isinstance(means, pd.Series)
    assert set(means.index) == {"edge", "cloud"}


def test_replications_are_added_until_the_interval_is_narrow(tmp_path: Path, fakes: ModuleType) -> None:
    """It stops at the first number that is enough, writes as many folders, and says how near it came."""
    precision = {"within": "1 %", "of": ["e2e mean"], "at_least": 4, "at_most": 60}
    runs = plan(fakes, tmp_path / "run", precision=precision).run()
    assert isinstance(runs, RunSet)
    count = len(runs)
    assert 4 < count < 60
    values = [run.summary["metrics"]["e2e"]["mean"] for run in runs]
    assert t_interval(values).relative <= 0.01 / 1.01 < t_interval(values[:-1]).relative
    spread = runs.summary["replications"]
    assert (spread["count"], spread["planned"]) == (count, count)
    assert spread["precision"] == {
        "within": 0.01,
        "reached": {"e2e mean": pytest.approx(t_interval(values).relative)},
        "enough": True,
    }
    assert not any("not reached" in note for note in runs.summary["notes"])
    assert runs.manifest["finished_replications"] == count == len(list((tmp_path / "run").glob("rep-*")))
    loaded = edgesim.load(tmp_path / "run")
    assert isinstance(loaded, RunSet)
    assert len(loaded) == count
    assert loaded.summary == runs.summary
    assert loaded.scenario.scenario.precision == scenario(precision=precision).scenario.precision


def test_a_precision_out_of_reach_is_told(fakes: ModuleType) -> None:
    """After `at_most` replications it says how near it came."""
    runs = plan(fakes, precision={"within": "0.01 %", "of": ["ttft p99"], "at_least": 2, "at_most": 5}).run()
    assert isinstance(runs, RunSet)
    assert len(runs) == 5
    assert runs.summary["replications"]["precision"]["enough"] is False
    note = runs.summary["notes"][-1]
    assert note.startswith("0.01 % was not reached in 5 replications: ttft p99 is known within ")


def test_precision_in_short_and_its_mistakes() -> None:
    """`2 %` alone will do; what cannot be meant is refused with advice."""
    short = scenario(precision="2 %").scenario
    assert short.precision is not None
    assert (short.precision.within, short.precision.of) == (0.02, ("ttft mean", "e2e mean"))
    assert short.most_replications == 100
    for wrong, text in (
        ({"precision": "0 %"}, "no number of replications gives an error of 0"),
        ({"precision": "2 s"}, "is not a share"),
        ({"precision": {"within": "2 %", "of": ["ttft p42"]}}, "'ttft p42' is no number of a run"),
        ({"precision": {"within": "2 %", "at_least": 9, "at_most": 8}}, "'at_most' is less than 'at_least'"),
        ({"precision": {"within": "2 %", "at_least": 1}}, "one replication shows no spread"),
        ({"precision": "2 %", "replications": 3}, "'precision' decides how many replications"),
    ):
        with pytest.raises(ScenarioError, match=text):
            scenario(**wrong)


def test_every_number_that_precision_takes_is_a_quantity() -> None:
    """What the scenario may name, a summary has."""
    for name in ONCE:
        assert quantity(name).name == name
    for metric in Slo.model_fields:
        assert quantity(f"{metric} p95").path == ("metrics", metric, "p95")


def test_settings_given_beside_a_loaded_scenario() -> None:
    """Replications replace a precision, and the other way round; both at once are a mistake."""
    loaded = scenario(precision="2 %")
    assert _prepared(loaded, (), (), replications=3).scenario.precision is None
    assert _prepared(SCENARIO, (), (), precision="5 %").scenario.most_replications == 100
    found = _prepared(scenario(replications=4), (), (), precision="5 %").scenario
    assert found.precision is not None
    assert (found.replications, found.precision.within) == (1, 0.05)
    with pytest.raises(TypeError, match="leave replications out"):
        _prepared(loaded, (), (), replications=3, precision="5 %")


def test_warmup_auto_deletes_the_transient(tmp_path: Path, fakes: ModuleType) -> None:
    """`warmup: auto` is found after the run, in memory and in a folder alike, and written down as found."""
    rows = fakes.requests(2000)
    rows["finished"][:200] += 30 * fakes.S * (rows["finished"][:200] > 0)
    summaries = []
    for folder in (None, tmp_path / "run"):
        found = Plan(scenario(warmup="auto"), folder, build=lambda *_: fakes.FakeSimulation(rows)).run()
        summaries.append(found.summary)
    memory, stored = summaries
    assert memory["warmup"] == stored["warmup"]
    assert 19.9 <= memory["warmup"]["seconds"] <= 30.0  # means of five, and chance, carry it a little further
    assert memory["metrics"]["e2e"]["max"] < 10
    loaded = edgesim.load(tmp_path / "run").scenario.scenario  # type: ignore[union-attr]
    assert (loaded.warmup, loaded.find_warmup) == (0.0, True)
    assert scenario(warmup="auto") == edgesim.load_scenario(
        SCENARIO | {"scenario": SCENARIO["scenario"] | {"warmup": "0 s", "find_warmup": True}}
    )
