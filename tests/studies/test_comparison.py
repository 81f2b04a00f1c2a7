"""Tests of comparing: pairs, unpaired runs, single runs, folders, sentences, and the command."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats

import edgesim
from edgesim.cli import main
from edgesim.errors import EdgesimError, ResultsError
from edgesim.results import Run, RunSet
from edgesim.results.comparison import Comparison, Row
from edgesim.results.folder import locked
from edgesim.results.quantity import QUANTITIES, quantity
from edgesim.scenario.text import dump
from edgesim.stats import holm, paired
from edgesim.studies import comparison, differences
from edgesim.studies.backends import processors
from edgesim.studies.comparison import compare
from edgesim.verify.queues import queue


def scenario(step: float = 0.001, requests: int = 400, **settings: Any) -> dict[str, Any]:
    """An M/M/1 queue at half its capacity; `step` makes its server slower."""
    lengths = {"kind": "geometric", "mean": 400}
    found = queue("mm1", 1.25, requests, slots=1, lengths=lengths, decode={"base": f"{step} s"})
    found["scenario"] |= settings
    return found


def runs(step: float = 0.001, number: int = 5, **settings: Any) -> Run | RunSet:
    """Replications of it, in memory."""
    return edgesim.simulate(scenario(step, **settings), replications=number)


def row(found: Comparison, name: str) -> Row:
    """The row of a quantity."""
    return next(each for each in found.rows if each.quantity == name)


def test_common_random_numbers_are_paired() -> None:
    """Intervals and p-values are those of scipy's paired test over replications; a slower server is worse."""
    a, b = runs(), runs(0.00105)
    found = compare({"fast": a, "slow": b})
    each = row(found, "ttft_mean")
    values = [[run.summary["metrics"]["ttft"]["mean"] for run in one] for one in (a, b)]  # type: ignore[union-attr]
    test = stats.ttest_rel(values[1], values[0])
    low, high = test.confidence_interval(0.95)
    assert (each.low, each.high, each.p) == pytest.approx((low, high, test.pvalue))
    assert (each.mean_a, each.mean_b) == pytest.approx(tuple(map(np.mean, values)))
    assert each.relative == pytest.approx(each.difference / each.mean_a)
    assert (each.real, each.better) == (True, "fast")
    assert each.kind == "paired t over 5 replications"
    assert each.p_adjusted is not None
    assert each.p is not None
    assert each.p_adjusted > each.p
    assert found.notes == []
    assert found.table.loc[0, "quantity"] == "ttft_mean"
    assert len(found.table) == len(found.rows)
    assert "fast" in found._repr_html_()


def test_energy_that_does_not_differ_equals() -> None:
    """A system compared with itself: nothing is real, and it says equal."""
    found = compare({"a": runs(), "b": runs()})
    assert not any(each.real for each in found.rows)
    assert row(found, "e2e_mean").sentence() == "b's e2e mean equals a's"


def test_other_seeds_are_compared_unpaired() -> None:
    """Welch's test, and a note that says why."""
    a, b = runs(), runs(seed=12)
    found = compare({"a": a, "b": b}, ["e2e_mean"])
    values = [[run.summary["metrics"]["e2e"]["mean"] for run in one] for one in (a, b)]  # type: ignore[union-attr]
    assert row(found, "e2e_mean").p == pytest.approx(stats.ttest_ind(*values, equal_var=False).pvalue)
    assert found.notes[0] == "a and b are compared unpaired: different seeds (11 and 12)"
    several = compare({f"s{seed}": runs(seed=seed, number=5) for seed in (11, 12, 13)})
    assert several.notes == ["3 pairs of s11, s12, s13 are compared unpaired: different seeds"]


def test_other_workloads_and_counts() -> None:
    """Workloads of the same name share their draws, others are unpaired; of the replications common ones are paired."""
    other = scenario()
    other["workloads"]["load"]["arrivals"]["rate"] = "1/s"
    found = compare({"a": runs(), "b": edgesim.simulate(other, replications=5)}, ["e2e"])
    assert found.rows[0].kind == "paired t over 5 replications"
    assert found.notes == []
    other["workloads"]["another"] = other["workloads"].pop("load")
    found = compare({"a": runs(), "b": edgesim.simulate(other, replications=5)}, ["e2e"])
    assert found.notes == ["a and b are compared unpaired: different workloads"]
    found = compare({"a": runs(), "b": runs(number=4)}, ["e2e"])
    assert found.rows[0].kind == "paired t over 4 replications"
    assert found.notes == ["a has 5 replications, b 4: the first 4 of each are compared, pair by pair"]


def test_single_runs_are_compared_stretch_by_stretch() -> None:
    """Means and quantiles have intervals of paired stretches; totals have none, and a note tells."""
    a, b = runs(number=1, requests=3000), runs(0.0011, number=1, requests=3000)
    found = compare({"a": a, "b": b})
    each = row(found, "ttft_mean")
    assert each.kind.endswith("paired stretches of one run")
    assert each.difference == pytest.approx(
        b.summary["metrics"]["ttft"]["mean"] - a.summary["metrics"]["ttft"]["mean"]
    )
    assert each.real
    assert row(found, "e2e_p95").low is not None
    assert row(found, "energy_j").p is None
    assert row(found, "energy_j").sentence().endswith("one run each does not tell whether that is real")
    assert any("-n 10" in note for note in found.notes)
    apart = compare({"a": a, "b": runs(number=1, requests=3000, seed=3)}, ["ttft"])
    assert apart.rows[0].kind.startswith("Welch t over")
    assert not apart.rows[0].real


def waits(draw: np.random.Generator, load: float, count: int) -> tuple[Any, dict[str, Any]]:
    """Arrivals at an M/M/1 queue with services of 1 s, and times of each request (Lindley's recursion)."""
    came, served = np.cumsum(draw.exponential(1 / load, count)), draw.exponential(1.0, count)
    free, waited = 0.0, np.empty(count)
    for place, (arrived, service) in enumerate(zip(came.tolist(), served.tolist(), strict=True)):
        waited[place] = max(free - arrived, 0.0)
        free = arrived + waited[place] + service
    return came, {"ttft": waited, "e2e": waited + served}


def test_equal_single_runs_near_saturation_are_seldom_called_different() -> None:
    """Of 150 pairs of equal queues at 80 % load, no more than 5 % are called different in any quantity.

    Of nearly all there is something to say.
    """
    draw = np.random.default_rng(1)
    quantities = [quantity(name) for name in ("ttft_mean", "ttft_p95", "e2e_mean", "e2e_p95")]
    real = known = 0
    for _ in range(150):
        series = [waits(draw, 0.8, 20_000) for _ in "ab"]
        a, b = (
            SimpleNamespace(name=name, series=lambda metric, one=one: one[1][metric])
            for name, one in zip("ab", series, strict=True)
        )
        found = []
        for each in quantities:
            estimate = differences._estimate(each.statistic)
            means = tuple(estimate(one[1][each.metric]) for one in series)
            found.append((each, *means, differences._within(a, b, each, means, False, 0.95)))  # type: ignore[arg-type]
        adjusted = holm([one[-1].p for one in found])
        rows = [differences._row(a, b, *one, p, 0.05) for one, p in zip(found, adjusted, strict=True)]  # type: ignore[arg-type]
        real += any(each.real for each in rows)
        known += any(each.p_adjusted is not None for each in rows)
    assert known > 140
    assert real / 150 <= 0.05


def test_a_run_is_put_in_order_once_however_many_pairs_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four runs make six pairs."""
    in_order, asked = differences.Subject._in_order, list[tuple[str, str]]()

    def counted(subject: differences.Subject, metric: str) -> Any:
        asked.append((subject.name, metric))
        return in_order(subject, metric)

    monkeypatch.setattr(differences.Subject, "_in_order", counted)
    compare({name: runs(number=1) for name in "abcd"}, ["ttft", "ttft_p95", "e2e"])
    assert sorted(asked) == [(name, metric) for name in "abcd" for metric in ("e2e", "ttft")]


def test_one_run_against_replications() -> None:
    """Replication 0 is the pair of a single run; that one pair does not tell what is chance, in either order."""
    many, one = runs(), runs(0.0011, number=1)
    for given in ({"one": one, "many": many}, {"many": many, "one": one}):
        found = compare(given, ["ttft", "energy_j"])
        each = row(found, "ttft_mean")
        means = {
            name: run.summary["metrics"]["ttft"]["mean"] for name, run in (("one", one), ("many", many[0]))
        }  # type: ignore[index]
        assert (each.mean_a, each.mean_b) == (means[each.a], means[each.b])
        assert (each.p, each.real) == (None, False)
        assert "one pair does not tell what is chance" in found.notes[0]
        assert found.pareto("ttft", "e2e").loc["many", "ttft_mean"] == means["many"]
    apart = compare({"one": runs(number=1, seed=3), "many": many}, ["ttft"])
    assert apart.rows[0].p is None


def test_replications_are_paired_by_number(tmp_path: Path) -> None:
    """A deleted replication leaves a gap that is told; the others keep their partners, in the front as well."""
    whole, torn = edgesim.simulate(scenario(), replications=3, out=tmp_path / "a"), tmp_path / "b"
    edgesim.simulate(scenario(), replications=3, out=torn)
    shutil.rmtree(torn / "rep-001")
    found = compare({"a": whole, "b": edgesim.load(torn)}, ["ttft"])
    assert found.rows[0].difference == 0.0
    assert found.notes[0].startswith("b lacks replication 1 of 3")
    assert found.notes[1] == "a has 3 replications, b 2: replications 0, 2 are compared, pair by pair"
    front = found.pareto("ttft", "throughput_rps")
    assert front.loc["a"].equals(front.loc["b"])
    single = compare({"x": tmp_path / "a" / "rep-000", "y": tmp_path / "a" / "rep-001"}, ["ttft"])
    assert "unpaired: they have no replication of the same number" in single.notes[0]


def test_totals_of_runs_of_other_lengths_are_left_out() -> None:
    """A longer run takes more energy and is none the worse for it; a note says so, means are compared."""
    found = compare({"short": runs(), "long": runs(requests=600)}, ["ttft", "energy_j", "throughput_rps"])
    assert [each.quantity for each in found.rows] == ["ttft_mean", "throughput_rps"]
    assert found.notes == ["short and long are not equally long (requests 400 and 600): totals are left out"]
    with pytest.raises(ResultsError, match="not equally long"):
        compare({"short": runs(), "long": runs(requests=600)}, ["cost_usd", "completed"])
    late = compare({"whole": runs(), "late": runs(warmup="5 s")}, ["ttft", "energy_j"])
    assert "warmup 0 s and 5 s" in late.notes[0]
    assert len(late.rows) == 1


def test_holm_is_over_all_pairs_and_quantities() -> None:
    """The smallest p of a family is multiplied by the size of the family."""
    found = compare({"a": runs(), "b": runs(0.00101), "c": runs(0.00105)}, ["ttft", "e2e", "cost_usd"])
    known = sorted(each.p for each in found.rows if each.p is not None)
    first = min((each for each in found.rows if each.p is not None), key=lambda each: each.p)  # type: ignore[arg-type, return-value]
    assert len(known) == 9
    assert first.p_adjusted == pytest.approx(9 * known[0])


def test_the_front_is_over_the_means() -> None:
    """Slower at the same power loses in both; quantities that were not compared come from the runs."""
    found = compare({"fast": runs(), "slow": runs(0.0011)}, ["ttft"])
    front = found.pareto("e2e_mean", "ttft_p95")
    assert front.loc["fast", "front"]
    assert front.loc["slow", "dominated_by"] == "fast"
    assert list(found.pareto("e2e", "ttft", "throughput_rps").columns[:3]) == [
        "e2e_mean",
        "ttft_mean",
        "throughput_rps",
    ]


SHOWN = Row(
    "A",
    "B",
    "ttft_p95",
    "ttft",
    "p95",
    "s",
    2.0,
    1.76,
    -0.24,
    -0.3,
    -0.18,
    -0.12,
    0.001,
    0.002,
    True,
    "B",
    "t",
)


def test_sentences() -> None:
    """Each kind of verdict in words."""
    assert SHOWN.sentence() == "B's ttft p95 is 12 % lower than A's (9 to 15 %), real"
    doubtful = replace(SHOWN, real=False, high=0.02)
    assert doubtful.sentence() == "B's ttft p95 is 12 % lower than A's (-1 to 15 %), which may be chance"
    single = replace(SHOWN, low=None, high=None, p=None, p_adjusted=None, real=False)
    assert single.sentence() == (
        "B's ttft p95 is 12 % lower than A's; one run each does not tell whether that is real"
    )
    alone = replace(SHOWN, real=False)
    assert alone.sentence().endswith("(9 to 15 %), perhaps; more replications would tell")
    hint = replace(SHOWN, real=False, kind="20 paired stretches of one run")
    assert hint.sentence().endswith("(9 to 15 %), perhaps; -n 10 would tell")
    assert replace(hint, high=0.02).sentence().endswith("which may be chance")
    alike = replace(single, kind=paired([2.0, 2.0], [1.76, 1.76]).kind)
    assert alike.sentence().endswith("so few runs without any spread do not tell whether that is real")
    from_zero = replace(SHOWN, mean_a=0.0, difference=0.5, low=0.25, high=0.75, relative=None)
    assert from_zero.sentence() == "B's ttft p95 is 500 ms higher than A's (250 ms to 750 ms), real"


def test_a_stored_comparison_is_loaded_again(tmp_path: Path) -> None:
    """Runs that were made for it lie in it; it answers the same, even after its folder has moved."""
    out = tmp_path / "first"
    found = compare({"near by": scenario(), "far": scenario(0.0011)}, replications=3, out=out)
    assert json.loads((out / "manifest.json").read_text())["kind"] == "comparison"
    out.rename(tmp_path / "second")
    loaded = edgesim.load(tmp_path / "second")
    assert isinstance(loaded, Comparison)
    assert loaded.rows == found.rows
    assert loaded.as_json() == found.as_json()
    assert [len(run) for run in loaded.runs.values()] == [3, 3]  # type: ignore[arg-type]
    assert loaded.pareto("ttft", "tpot_p50").equals(found.pareto("ttft", "tpot_p50"))
    with pytest.raises(ResultsError, match="--force replaces it"):
        compare({"a": scenario(), "b": scenario()}, replications=2, out=tmp_path / "second")
    again = compare({"a": scenario(), "b": scenario()}, replications=2, out=tmp_path / "second", force=True)
    assert again.names == ["a", "b"]
    assert sorted(p.name for p in (tmp_path / "second" / "runs").iterdir()) == ["00-a", "01-b"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_processes_give_the_same(tmp_path: Path) -> None:
    """Two processes instead of one change nothing; what fails there is told by name."""
    candidates = {"a": scenario(), "b": scenario(0.0011)}
    told: list[str] = []
    one = compare(candidates, replications=3)
    two = compare(
        candidates,
        replications=3,
        jobs=0 if processors() > 1 else 2,
        progress=told.append,
        out=tmp_path / "c",
    )
    assert one.rows == two.rows
    assert sorted(told) == ["a", "b"]
    assert sorted(path.name for path in (tmp_path / "c" / "runs").iterdir()) == ["00-a", "01-b"]


def test_replications_are_added_until_a_precision_is_reached() -> None:
    """To each candidate; the numbers that both have are compared."""
    found = compare({"a": scenario(), "b": scenario(0.0011)}, precision="20 %", seed=3)
    assert all(10 <= each.replications < 100 for each in found.candidates)
    assert {each.seed for each in found.candidates} == {3}
    own = compare({name: scenario(precision="20 %", seed=3) for name in "ab"})
    assert own.candidates[0].replications == found.candidates[0].replications


def test_runs_of_two_commits_are_compared_with_a_note(tmp_path: Path) -> None:
    """Of one version, too."""
    found = {name: edgesim.simulate(scenario(), replications=2, out=tmp_path / name) for name in "ab"}
    for name, run in found.items():
        run.manifest["git_commit"] = 40 * name
    assert any("different commits of edgesim: aaaaaaaa, bbbbbbbb" in note for note in compare(found).notes)
    found["b"].manifest["git_commit"] = None
    assert not any("commits" in note for note in compare(found).notes)


def test_a_comparison_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was run is not run again, unless it says something else now."""
    candidates: dict[str, Any] = {"a": scenario(), "b": scenario(0.0011), "c": scenario(0.0012)}
    whole = compare(candidates, replications=2)
    run_one, ran = comparison._run, list[str]()

    def counted(made: Any, place: Path, *more: Any) -> None:
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(place.name)
        run_one(made, place, *more)

    monkeypatch.setattr(comparison, "_run", counted)
    with pytest.raises(KeyboardInterrupt):
        compare(candidates, replications=2, out=tmp_path / "out")
    ran.clear()
    resumed = compare(
        candidates | {"b": scenario(0.00111)}, replications=2, out=tmp_path / "out", resume=True
    )
    assert ran == ["01-b", "02-c"]
    ran.clear()
    resumed = compare(candidates, replications=2, out=tmp_path / "out", resume=True)
    assert ran == ["01-b"]
    assert resumed.rows == whole.rows
    ran.clear()
    others = {
        "d": scenario(0.0013),
        "c": candidates["c"],
        "a": candidates["a"],
    }  # another order, another number
    compare(others, replications=2, out=tmp_path / "out", resume=True)
    assert ran == ["00-d"]


def test_a_folder_of_a_comparison_has_one_writer_that_spares_its_candidates(tmp_path: Path) -> None:
    """It does not replace what it is to compare."""
    out = tmp_path / "out"
    candidates = {"a": scenario(), "b": scenario(0.0011)}
    compare(candidates, replications=2, out=out)
    with pytest.raises(ResultsError, match=r"a lies in '.*out', where the comparison is to go"):
        compare({"a": out / "runs" / "00-a", "b": out / "runs" / "01-b"}, out=out, force=True)
    assert len(edgesim.load(out).runs) == 2
    with locked(out), pytest.raises(ResultsError, match="is being written by process"):
        compare(candidates, replications=2, out=out, resume=True)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_candidate_that_fails_is_named_and_the_others_are_kept(here: Path, jobs: str) -> None:
    """Left out, the comparison goes on with what was run."""
    Path("breaks.py").write_text(
        "import time\n"
        "from edgesim.policies import Router, register\n\n\n"
        '@register("breaks")\n'
        "class Breaks(Router):\n"
        '    """Break off, after a while."""\n\n'
        "    def route(self, request, candidates, view):\n"
        "        time.sleep(2)\n"
        '        raise ValueError("boom")\n',
        encoding="utf-8",
    )
    over = "policies.router=random,nearest,breaks"
    asked = ("fast.yaml", "--plugin", "breaks.py", "-n", "2", "-m", "ttft", "-o", "out")
    found = command(*asked, "--over", over, "-j", jobs)
    assert found.exit_code == 2
    assert "error: breaks failed: router 'breaks' raised ValueError" in found.stderr
    assert "candidates that were run are kept in out; --resume goes on" in found.stderr
    assert "random has been run" in found.stderr
    again = command(*asked, "--over", "policies.router=nearest,random", "-j", jobs, "--resume")
    assert again.exit_code == 0, again.output
    assert "has been run" not in again.stderr


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    """Located, friendly, and with a next step."""
    with pytest.raises(ResultsError, match="at least two"):
        compare({"a": runs(number=1)})
    with pytest.raises(ResultsError, match="candidates have names"):
        compare([runs(number=1), runs(number=1)])  # type: ignore[arg-type]
    with pytest.raises(EdgesimError, match="no quantity named 'ttft_p42'"):
        compare({"a": runs(number=1), "b": runs(number=1)}, ["ttft_p42"])
    with pytest.raises(ResultsError, match="a, b has no goodput_rps"):
        compare({"a": runs(number=1), "b": runs(number=1)}, ["goodput_rps"])
    with pytest.raises(ResultsError, match="cannot be stored"):
        compare({"a": runs(number=2), "b": runs(number=2)}, out=tmp_path / "x")
    broken = runs(number=1)
    broken.manifest = broken.manifest | {"exit_state": "interrupted"}
    with pytest.raises(ResultsError, match=r"b was not finished \(interrupted\)"):
        compare({"a": runs(number=1), "b": broken})
    lacking = edgesim.simulate(scenario(), out=tmp_path / "run")
    lacking.requests.drop(columns="first_token_at").to_parquet(tmp_path / "run" / "requests.parquet")
    with pytest.raises(ResultsError, match="lack the column 'first_token_at'"):
        compare({"a": runs(number=1), "b": edgesim.load(tmp_path / "run")}, ["ttft"])


def test_every_quantity_is_found_in_a_summary() -> None:
    """Their paths lead somewhere, and names may be written as people do."""
    summary = runs(number=1).summary
    lacking = [name for name, each in QUANTITIES.items() if each.of(summary) is None]
    assert set(lacking) == {
        "goodput_rps",
        "carbon_g",
        *(f"carbon_{statistic}" for statistic in ("mean", "p50", "p90", "p95", "p99", "min", "max", "std")),
    }
    assert quantity("ttft p95") is quantity("ttft.p95") is QUANTITIES["ttft_p95"]
    assert quantity("e2e").name == "e2e_mean"
    assert quantity("e2e").label == "e2e mean"
    assert math.isclose(quantity("completed").of(summary) or 0, 400)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a scenario in it."""
    monkeypatch.chdir(tmp_path)
    Path("slow.yaml").write_text(dump(scenario(0.0011)), encoding="utf-8")
    Path("fast.yaml").write_text(dump(scenario()), encoding="utf-8")
    return tmp_path


def command(*arguments: str) -> Result:
    """Run `edgesim compare`."""
    return CliRunner().invoke(main, ["compare", *arguments])


def test_the_command_runs_scenarios_and_says_what_is_real(here: Path) -> None:
    """Names come from files; tables and sentences go to stdout, the folder to stderr."""
    found = command("fast.yaml", "late=slow.yaml", "-n", "5", "-o", "out", "--pareto", "ttft_p95,e2e")
    assert found.exit_code == 0, found.output
    text = " ".join(found.stdout.split())
    assert "fast, late · 5 replications each" in text
    assert "late against fast (paired t over 5 replications)" in text
    assert "late's tpot mean is 10 % higher than fast's (10 to 10 %), real" in text
    assert "beaten by fast" in text
    assert found.stderr.endswith("comparison in out\n")
    again = command("out/runs/00-fast", "out/runs/01-late", "--json")
    content = json.loads(again.stdout)
    assert content["differences"][0]["a"] == "00-fast"
    assert [each["mean_b"] for each in content["differences"]] == [
        each.mean_b
        for each in edgesim.load("out").rows  # type: ignore[union-attr]
    ]


def test_the_command_varies_a_key(here: Path) -> None:
    """Values are YAML, and combinations of several keys are candidates."""
    found = command(
        "fast.yaml", "--over", "policies.scheduler=fcfs,{kind: fcfs}", "-n", "2", "-m", "ttft", "--json"
    )
    assert found.exit_code == 2
    assert "--over says fcfs twice" in found.stderr
    found = command(
        "fast.yaml", "--over", "scenario.seed=1,2", "--over", "workloads.load.prompt_tokens=1,3", "-n", "2",
        "-m", "ttft", "--json", "-q",
    )  # fmt: skip
    content = json.loads(found.stdout)
    assert [each["name"] for each in content["candidates"]] == [
        "seed 1, prompt_tokens 1",
        "seed 1, prompt_tokens 3",
        "seed 2, prompt_tokens 1",
        "seed 2, prompt_tokens 3",
    ]
    assert len(content["differences"]) == 6


@pytest.mark.parametrize("option", [["-n", "3"], ["--seed", "0"], ["--set", "scenario.requests=5"]])
def test_options_that_change_nothing_are_refused(here: Path, option: list[str]) -> None:
    """Runs that exist are not run again; with a scenario among them the options count."""
    for name in ("a", "b"):
        edgesim.simulate(scenario(), out=here / name)
    found = command("a", "b", *option)
    assert found.exit_code == 2
    assert f"{option[0]} would change nothing" in found.stderr
    mixed = command("a", "fast.yaml", "-n", "2", "-m", "ttft")
    assert mixed.exit_code == 0, mixed.output


def test_an_interrupted_comparison_can_be_replaced(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder says what it is; the same command and a reader say what to do, and --force does it."""
    arguments = ("fast.yaml", "slow.yaml", "-n", "2", "-m", "ttft", "-o", "out", "-q")
    run_one, seen = comparison._run, []

    def interrupted(*given: Any, **named: Any) -> None:
        run_one(*given, **named)
        seen.append(json.loads(Path("out/manifest.json").read_text())["exit_state"])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(comparison, "_run", interrupted)
        assert command(*arguments).exit_code == 130
    assert seen == ["running"]
    assert json.loads(Path("out/manifest.json").read_text())["exit_state"] == "interrupted"
    again = command(*arguments)
    assert again.exit_code == 2
    assert (
        "comparison that did not finish (interrupted); --resume goes on with it, or --force replaces it"
        in again.stderr
    )
    with pytest.raises(ResultsError, match="with --resume"):
        edgesim.load("out")
    assert command(*arguments, "--force").exit_code == 0
    assert isinstance(edgesim.load("out"), Comparison)
    wrong = command("out/runs/00-fast", "out/runs/01-slow", "-m", "goodput_rps", "-o", "other")
    assert wrong.exit_code == 2
    assert command("out/runs/00-fast", "out/runs/01-slow", "-o", "other", "-q").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["fast.yaml"], "at least two candidates"),
        (["fast.yaml", "nowhere.yaml"], "no such file"),
        (["fast.yaml", "fast.yaml"], "two candidates are called 'fast.yaml'"),
        (["fast.yaml", "--over", "scenario.seed=1"], "--over names one value"),
        (["fast.yaml", "--over", "scenario.seed"], "this is not of the form key.path=value,value"),
        (["fast.yaml", "slow.yaml", "--over", "scenario.seed=1,2"], "give a single one"),
        (["fast.yaml", "slow.yaml", "--pareto", "ttft"], "two or three quantities"),
        (["fast.yaml", "slow.yaml", "--confidence", "10 %"], "makes no interval"),
        (["fast.yaml", "slow.yaml", "-m", "ttft_p42"], "no quantity named 'ttft_p42'"),
    ],
)
def test_wrong_input_is_told(here: Path, arguments: list[str], text: str) -> None:
    """A sentence with the next step, and exit code 2."""
    found = command(*arguments)
    assert found.exit_code == 2
    assert text in found.stderr
