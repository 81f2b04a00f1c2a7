"""Running sweeps: what is kept, what fails, what is refused, what the command line says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import edgesim
from edgesim.cli import main
from edgesim.errors import EdgesimError, MissingExtraError, ResultsError
from edgesim.report.page import render as page
from edgesim.report.sweep import SweepProgress
from edgesim.results import load_run
from edgesim.results.folder import locked
from edgesim.results.sweep import doubts
from edgesim.studies import backends
from edgesim.studies.backends import Job, compute
from edgesim.studies.sweep import Left, Step

RATE = "workloads.chat.arrivals.rate"
SCENARIO = """\
scenario: {name: tiny, seed: 3, duration: 5 s}
topology:
  nodes:
    edge: {tier: edge, count: 2, accelerator: nvidia-l4}
deployments:
  - {llm: llama-3.2-1b, on: edge}
workloads:
  chat: {from: edge, arrivals: {kind: poisson, rate: 4/s}, prompt_tokens: 50, output_tokens: 5}
slo: {ttft: {p95: 1 s}}
sweep:
  grid:
    policies.router: [random, join-shortest-queue]
    workloads.chat.arrivals.rate: [4/s, 8/s]
"""
RAISING = """\
from edgesim.policies import Router, register

@register("raising")
class Raising(Router):
    \"\"\"Fail at the third request.\"\"\"

    seen: int = 0

    def route(self, request, candidates, view):
        self.seen += 1
        if self.seen > 2:
            raise ValueError("enough")
        return candidates[0]
"""


OTHER = RAISING.replace('"raising"', '"other"')


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a fresh folder that holds one scenario."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["sweep", *arguments])


def test_the_table_has_a_row_per_point_and_replication() -> None:
    """Swept keys in front, numbers in SI units with their units behind; runs can be opened."""
    found = edgesim.sweep("tiny.yaml", replications=2, out="out")
    table = found.table
    assert table[["point", "replication"]].to_numpy().tolist() == [[p, r] for p in range(4) for r in range(2)]
    assert table[RATE].tolist() == [4.0, 4.0, 8.0, 8.0] * 2
    assert table["policies.router"].tolist() == ["random"] * 4 + ["join-shortest-queue"] * 4
    assert found.units[RATE] == "1/s"
    assert found.units["ttft_p95"] == "s"
    assert found.keys == ["policies.router", RATE]
    assert [dict(point.values)[RATE] for point in found.points] == ["4/s", "8/s"] * 2
    runs = found.run(1)
    assert len(runs) == 2
    for row, each in zip(table[table.point == 1].itertuples(), runs, strict=True):
        assert row.ttft_p95 == each.summary["metrics"]["ttft"]["p95"]
        assert row.arrived == each.summary["requests"]["arrived"]
        assert row.energy_j == each.summary["energy_j"]["total"]
    assert found._repr_html_().count("<tr>") == 5
    assert repr(found).startswith("<Sweep of 4 points over policies.router")


def test_replications_are_added_to_each_point_until_a_precision_is_reached() -> None:
    """As few as are needed, and as many as may be."""
    precision = "scenario.precision={within: 20 %, at_least: 3, at_most: 40}"
    found = run("tiny.yaml", "--over", f"{RATE}=4/s,8/s", "-s", precision, "-o", "out", "--seed", "5", "-q")
    assert found.exit_code == 0, found.output
    counts = edgesim.load("out").table.groupby("point")["replication"].count()  # type: ignore[union-attr]
    assert all(3 <= count < 40 for count in counts)
    short = edgesim.sweep("tiny.yaml", {RATE: ["4/s"]}, precision="20 %", seed=5)
    assert short.run(0).scenario.scenario.seed == 5
    assert len(short.table) >= 10


def test_values_from_python_may_be_an_array_but_no_single_one() -> None:
    """A text is no list of its letters."""
    with pytest.raises(EdgesimError, match="'5/s' is not a list"):
        edgesim.sweep("tiny.yaml", {RATE: "5/s"})
    found = edgesim.sweep("tiny.yaml", {"scenario.seed": np.arange(1, 3)})
    assert found.table["scenario.seed"].tolist() == [1, 2]


def test_points_share_their_random_numbers() -> None:
    """The same requests at both routers; other ones where the seed is swept."""
    found = edgesim.sweep("tiny.yaml", keep="requests")
    first, second = found.run(1).requests, found.run(3).requests
    columns = ["request", "arrived_at", "prompt_tokens", "output_tokens"]
    same = [each.sort_values("request")[columns].reset_index(drop=True) for each in (first, second)]
    pd.testing.assert_frame_equal(*same)
    seeds = edgesim.sweep("tiny.yaml", {"scenario.seed": [1, 2]}).table
    assert seeds.e2e_mean[0] != seeds.e2e_mean[1]


def test_only_summaries_are_kept_unless_asked() -> None:
    """With equal tables of the sweep."""
    small = edgesim.sweep("tiny.yaml", out="small")
    large = edgesim.sweep("tiny.yaml", out="large", sets=["sweep.keep=requests", "output.tables=[requests]"])
    assert not list(Path("small").rglob("requests.parquet"))
    assert len(list(Path("large").rglob("requests.parquet"))) == 4
    assert not list(Path("large").rglob("legs.parquet"))
    pd.testing.assert_frame_equal(small.table, large.table)
    with pytest.raises(ResultsError, match="has no table 'requests'"):
        _ = small.run(0).requests
    assert len(large.run(0).requests) == large.table.arrived[0]


def test_a_point_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one whose LLM does not fit nor one whose policy raises; exit code 2, all rows there."""
    Path("raising.py").write_text(RAISING, encoding="utf-8")
    overs = [
        "--over",
        "deployments.0.llm=llama-3.2-1b,llama-3.1-70b",
        "--over",
        "policies.router=random,raising",
    ]
    done = run("tiny.yaml", "--plugin", "raising.py", *overs, "-n", "2", "-o", "out", "-q")
    assert done.exit_code == 2
    assert "error: 3 of 4 points failed" in done.stderr
    assert "point 1 (llm=llama-3.2-1b, router=raising): router 'raising'" in done.stderr
    found = edgesim.load("out")
    table = found.table
    assert table.point.tolist() == [0, 0, 1, 2, 3]
    assert table.status.tolist() == ["finished", "finished", "failed", "failed", "failed"]
    assert "enough" in table.error[2]
    assert "needs 141.1 GB" in table.error[3]
    assert table.ttft_mean.notna().tolist() == [True, True, False, False, False]
    with pytest.raises(ResultsError, match=r"point 2 .* failed: deployments\[0\]"):
        found.run(2)


def test_nothing_runs_if_one_point_is_wrong() -> None:
    """No folder is made."""
    done = run("tiny.yaml", "--over", "policies.router=random,randm", "-o", "out")
    assert done.exit_code == 2
    assert "no router named 'randm'" in done.stderr
    assert not Path("out").exists()


def test_the_same_sweep_is_not_run_twice_by_mistake() -> None:
    """--resume finds all points finished; --force runs them again."""
    assert run("tiny.yaml", "-q").exit_code == 0
    (folder,) = Path("results/tiny").glob("sweep-*")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("summary.json")}
    again = run("tiny.yaml")
    assert again.exit_code == 2
    assert "holds this sweep already; --resume continues it, --force replaces it" in again.stderr
    resumed = run("tiny.yaml", "--resume")
    assert resumed.exit_code == 0
    assert "4 of 4 points are finished already" in resumed.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert run("tiny.yaml", "--force", "-q").exit_code == 0
    assert all(path.stat().st_mtime_ns > stamp for path, stamp in before.items())
    assert run("tiny.yaml", "--force", "--resume").exit_code == 2


def test_a_sweep_that_is_not_there_is_not_resumed_in_silence() -> None:
    """Who edits a scenario would wonder why everything runs again."""
    assert run("tiny.yaml", "-q").exit_code == 0
    edited = run("tiny.yaml", "--resume", "-s", "scenario.seed=4")
    assert "nothing to resume in results/tiny/sweep-" in edited.stderr
    assert "nothing to resume in new: all points run" in run("tiny.yaml", "--resume", "-o", "new").stderr
    assert "nothing" not in run("tiny.yaml", "--resume", "-o", "new").stderr


def test_a_table_of_many_keys_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are folded rather than numbers cut off."""
    monkeypatch.setenv("COLUMNS", "100")
    long = "policies.router={kind: threshold-offload, max_queue: 2},join-shortest-queue"
    keys = (
        f"{RATE}=4/s,8/s",
        "scenario.seed=1",
        "scenario.warmup=0 s",
        "scenario.duration=10 s",
        "engine=kernel",
    )
    found = run("tiny.yaml", "-o", "out", *(part for key in (long, *keys) for part in ("--over", key)))
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert "ttft p50  ttft p95  tpot p50" in found.stdout
    assert "(max_queue: 2)" in found.stdout


def test_another_sweep_is_not_resumed() -> None:
    """Neither with another scenario, another plugin or another version; the sentence says which."""
    Path("other.py").write_text(OTHER, encoding="utf-8")
    assert run("tiny.yaml", "--plugin", "other.py", "-o", "out", "-q").exit_code == 0
    changed = run("tiny.yaml", "--plugin", "other.py", "-o", "out", "--resume", "-s", "scenario.seed=4")
    assert changed.exit_code == 2
    assert "'out': scenario.seed has changed since; --force starts anew" in changed.stderr
    several = ("-s", "scenario.seed=4", "-s", f"{RATE}=9/s", "--over", "policies.router=random,nearest")
    changed = run("tiny.yaml", "--plugin", "other.py", "-o", "out", "--resume", *several)
    assert f"scenario.seed, {RATE}, sweep.list have changed since" in changed.stderr
    Path("other.py").write_text(f"{OTHER}\n# edited\n", encoding="utf-8")
    edited = run("tiny.yaml", "--plugin", "other.py", "-o", "out", "--resume")
    assert edited.exit_code == 2
    assert "other.py' has changed since" in edited.stderr
    Path("other.py").write_text(OTHER, encoding="utf-8")
    manifest = json.loads(Path("out/manifest.json").read_text())
    manifest["versions"]["edgesim"] = "0.0.1"
    Path("out/manifest.json").write_text(json.dumps(manifest))
    older = run("tiny.yaml", "--plugin", "other.py", "-o", "out", "--resume")
    assert older.exit_code == 2
    assert "was begun by edgesim 0.0.1" in older.stderr


def test_points_of_two_commits_are_told() -> None:
    """By the command that resumes the sweep; it goes on all the same."""
    assert run("tiny.yaml", "-o", "out", "-q").exit_code == 0
    path = Path("out/points/0001/manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"git_commit": 40 * "b"}), encoding="utf-8")
    for number in (0, 2, 3):
        other = Path(f"out/points/000{number}/manifest.json")
        other.write_text(
            json.dumps(json.loads(other.read_text()) | {"git_commit": 40 * "a"}), encoding="utf-8"
        )
    found = run("tiny.yaml", "-o", "out", "--resume")
    assert found.exit_code == 0
    told = "note the points were made by different commits of edgesim: aaaaaaaa, bbbbbbbb"
    assert told in " ".join(found.stdout.split())


def test_other_folders_are_left_alone() -> None:
    """One with somebody's files, one with a run."""
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("dear")
    for more in ((), ("--force",), ("--resume",)):
        done = run("tiny.yaml", "-o", "mine", *more)
        assert done.exit_code == 2
        assert "it is not empty and holds no sweep ('notes.txt')" in done.stderr
    edgesim.simulate("tiny.yaml", out="run")
    done = run("tiny.yaml", "-o", "run", "--force")
    assert done.exit_code == 2
    assert "'run' holds a run, not a sweep" in done.stderr
    assert Path("run/requests.parquet").exists()
    edgesim.sweep("tiny.yaml", out="swept")
    with pytest.raises(ResultsError, match="holds a sweep, not a run"):
        load_run("swept")


def test_two_processes_do_not_write_one_folder() -> None:
    """The second one is told who holds it."""
    with locked(Path("out")):
        done = run("tiny.yaml", "-o", "out", "--resume")
    assert done.exit_code == 2
    assert "'out' is being written by process " in done.stderr
    assert run("tiny.yaml", "-o", "out", "--resume", "-q").exit_code == 0


def interrupted_after(points: int) -> None:
    """Sweep into `out` and press Ctrl-C after so many points."""

    def watch(step: Step) -> None:
        if step.done == points:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edgesim.sweep("tiny.yaml", out="out", progress=watch)


def test_ctrl_c_keeps_what_is_finished() -> None:
    """The folder says so; what is there can be looked at; resuming gives what an unbroken sweep gives."""
    interrupted_after(2)
    assert json.loads(Path("out/manifest.json").read_text())["exit_state"] == "interrupted"
    with pytest.raises(ResultsError, match="holds 2 of 4 points: the sweep was not finished"):
        edgesim.load("out")
    partial = edgesim.Sweep("out", partial=True)
    assert partial.table.point.tolist() == [0, 1]
    assert [point.status for point in partial.points] == ["finished", "finished", "missing", "missing"]
    with pytest.raises(ResultsError, match=r"point 3 .* has not run"):
        partial.run(3)
    whole = edgesim.sweep("tiny.yaml", out="whole")
    resumed = edgesim.sweep("tiny.yaml", out="out", resume=True)
    assert resumed.finished
    assert Path("out/points.parquet").read_bytes() == Path("whole/points.parquet").read_bytes()
    assert list(partial.table.columns) == list(whole.table.columns)


def test_the_command_line_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C, with exit code 130."""

    def interrupt(_: SweepProgress, step: Step) -> None:
        if step.done == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(SweepProgress, "__call__", interrupt)
    done = run("tiny.yaml", "-o", "out")
    assert done.exit_code == 130
    assert "interrupted: finished points are kept in out; --resume continues" in done.stderr


def test_half_a_point_is_run_again() -> None:
    """Whatever is missing of it, or damaged."""
    edgesim.sweep("tiny.yaml", out="out")
    whole = Path("out/points.parquet").read_bytes()
    Path("out/points/0001/summary.json").unlink()
    Path("out/points/0002/manifest.json").unlink()
    Path("out/points/0003/summary.json").write_text("{", encoding="utf-8")
    edgesim.sweep("tiny.yaml", out="out", resume=True)
    assert Path("out/points.parquet").read_bytes() == whole
    assert Path("out/points/0001/summary.json").exists()


def test_damaged_folders_are_told() -> None:
    """A table with a column less, no table at all, a manifest of another version."""
    edgesim.sweep("tiny.yaml", out="out")
    table = pq.read_table("out/points.parquet")
    pq.write_table(table.drop_columns(["ttft_p95"]), "out/points.parquet")
    with pytest.raises(ResultsError, match=r"lacks the column 'ttft_p95'.*--resume writes it again"):
        _ = edgesim.load("out").table
    Path("out/points.parquet").write_bytes(b"no table")
    with pytest.raises(ResultsError, match="--resume"):
        _ = edgesim.load("out").table
    Path("out/points.parquet").unlink()
    with pytest.raises(ResultsError, match="not finished"):
        edgesim.load("out")
    assert edgesim.sweep("tiny.yaml", out="out", resume=True).table.shape[0] == 4
    manifest = json.loads(Path("out/manifest.json").read_text())
    Path("out/manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(ResultsError, match="was written in format 99"):
        edgesim.load("out")


def test_the_written_sweep_can_be_swept_again() -> None:
    """sweep.yaml is a scenario with the points one by one."""
    edgesim.sweep("tiny.yaml", out="out")
    edgesim.sweep("out/sweep.yaml", out="again")
    assert Path("out/points.parquet").read_bytes() == Path("again/points.parquet").read_bytes()


def test_what_the_command_line_prints() -> None:
    """A table on stdout, a line per finished point on stderr; JSON; nothing."""
    plain = run("tiny.yaml", "-o", "plain")
    assert plain.exit_code == 0
    assert "tiny · 4 points" in plain.stdout
    assert "join-shortest-queue" in plain.stdout
    assert "results in plain" in plain.stderr
    lines = [line for line in plain.stderr.splitlines() if line.startswith("point ")]
    assert len(lines) == 4
    assert lines[0].startswith("point 0 (router=random, rate=4/s): ")
    assert "1 of 4" in lines[0]
    assert "left" not in lines[0]  # which started up
    assert lines[1].endswith(" left")
    rows = json.loads(run("tiny.yaml", "-o", "json", "--json").stdout)
    assert [row[RATE] for row in rows] == [4.0, 8.0, 4.0, 8.0]
    told = pd.DataFrame(rows)
    table = edgesim.load("json").table
    assert rows[0]["error"] is None
    assert (told["cost_mean"] == table["cost_mean"]).all()  # to the last digit
    assert told["completed"].tolist() == table["completed"].tolist()
    quiet = run("tiny.yaml", "-o", "quiet", "-q")
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_a_missing_extra_and_wrong_backends_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that helps."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"needs distributed: pip install 'edgesim\[dask\]'"):
        edgesim.sweep("tiny.yaml", backend="dask", scheduler="tcp://127.0.0.1:1")
    for backend, scheduler in (("dask", None), ("serial", "tcp://127.0.0.1:1")):
        with pytest.raises(EdgesimError, match="--backend dask --scheduler tcp://host:8786"):
            edgesim.sweep("tiny.yaml", backend=backend, scheduler=scheduler)
    with pytest.raises(EdgesimError, match="no backend named 'cloud'"):
        edgesim.sweep("tiny.yaml", backend="cloud")


def test_a_loaded_scenario_can_be_swept() -> None:
    """It gives what the file gives."""
    over: dict[str, Any] = {RATE: ["4/s", "8/s"]}
    loaded = edgesim.sweep(edgesim.load_scenario("tiny.yaml"), over, replications=2).table
    pd.testing.assert_frame_equal(loaded, edgesim.sweep("tiny.yaml", over, replications=2).table)


def test_policies_of_a_script_reach_other_processes(tmp_path: Path) -> None:
    """As they are defined there, with no file of their own."""
    text = RAISING.replace("raising", "own").replace("self.seen > 2", "self.seen > 10**9")
    text += """
import edgesim

if __name__ == "__main__":
    tables = [edgesim.sweep("tiny.yaml", {"policies.router": ["own", "random"]}, jobs=jobs).table for jobs in (1, 2)]
    assert tables[0].equals(tables[1])
    print(tables[1].status.tolist())
"""
    Path("script.py").write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['finished', 'finished']"


def test_a_worker_of_another_version_is_refused() -> None:
    """Before it runs anything."""
    with pytest.raises(ResultsError, match=f"a worker runs edgesim {edgesim.__version__}, the study 99.0"):
        compute([Job(point=0, scenario=b"", command="", version="99.0")])


def test_workers_never_hear_ctrl_c_not_even_while_they_start() -> None:
    """Their leader does; half a worker would print a traceback."""
    code = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    before = signal.getsignal(signal.SIGINT)
    with backends._deaf():
        ignores = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ignores.stdout == "True\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_terminal_has_a_bar_with_the_time_left() -> None:
    """And a line for each point that failed."""
    out = Console(file=StringIO(), force_terminal=True, width=100, color_system=None)
    with SweepProgress(out, "tiny") as progress:
        progress(Step(-1, "", "", 0.0, 0, 3, None))
        progress(Step(0, "rate=1/s", "", 1.0, 1, 3, 2.0))
        progress(Step(1, "rate=2/s", "does not fit", 1.0, 2, 3, 1.0))
    text = out.file.getvalue()
    assert "0 of 3 points" in text
    assert "1 of 3 points, 2 s left" in text
    assert "point 1 (rate=2/s) failed: does not fit" in text


def test_a_scheduler_that_is_not_there_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing ran, so nothing is said to be kept, and no folder is made."""

    def absent(address: str) -> None:
        raise EdgesimError(f"no Dask scheduler at '{address}'")

    monkeypatch.setattr("edgesim.studies.sweep.Dask", absent)
    shown = run("tiny.yaml", "-o", "found", "--backend", "dask", "--scheduler", "tcp://127.0.0.1:1")
    assert shown.exit_code == 2
    assert shown.stderr == "error: no Dask scheduler at 'tcp://127.0.0.1:1'\n"
    assert not Path("found").exists()


def test_one_process_takes_no_jobs() -> None:
    shown = run("tiny.yaml", "--backend", "serial", "-j", "2")
    assert shown.exit_code == 2
    assert "'serial' runs one point at a time" in shown.stderr


def test_the_time_left_is_judged_without_the_start() -> None:
    """Two workers need 60 s to start; then a point ends every 2 s."""
    left = Left(2, 6)
    ends = (60.0, 61.0, 63.0, 65.0, 67.0, 69.0)
    assert [left.after_another(end) for end in ends] == [None, None, 6.0, 4.0, 2.0, 0.0]


def test_sweeps_in_processes_say_that_they_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwilling(*_: Any, **__: Any) -> None:
        raise EdgesimError("no")

    monkeypatch.setattr("edgesim.arena.compile.is_cold", lambda: True)
    monkeypatch.setattr("edgesim.studies.sweep.SweepPlan.run", unwilling)
    assert "compiling the engine" in run("tiny.yaml", "-j", "2").stderr
    assert "compiling" not in run("tiny.yaml", "-j", "2", "-q").stderr


def test_notes_are_told_wherever_a_sweep_is_shown() -> None:
    """On a terminal, beside JSON, in a notebook, on a page; not where nothing is to be printed."""
    told = "fewer than 100 requests were measured"
    assert told in run("tiny.yaml", "-o", "out").stdout
    found = edgesim.load("out")
    assert any(told in note for note in found.notes)
    assert told in found._repr_html_()
    assert told in page(found)
    assert f"note: points 0, 1, 2, 3: {told}" in run("tiny.yaml", "-o", "out", "--resume", "--json").stderr
    assert run("tiny.yaml", "-o", "out", "--resume", "-q").stderr == ""


def test_points_that_say_little_are_told() -> None:
    """Unstable points, such as measured little or nothing, each by number; failed ones are told elsewhere."""
    frame = pd.DataFrame(
        {
            "point": [0, 0, 1, 2, 3, *range(4, 14)],
            "status": ["finished"] * 4 + ["failed"] + ["finished"] * 10,
            "stable": [True, False, True, True, None] + [True] * 10,
            "e2e_count": [500.0, 500.0, 0.0, 99.0, None] + [20.0] * 10,
        }
    )
    assert doubts(frame) == [
        "point 0: more arrives than leaves: latencies say how long the run was",
        "point 1: no completed request was measured",
        "points 2, 4, 5, 6, 7, 8, 9, 10 and 3 more: fewer than 100 requests were measured: percentiles are mostly chance",
    ]
    assert doubts(frame[frame["point"] > 99]) == []
