"""Tests of explanations: on records whose bottleneck is known, on real runs, and where there is too little."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import edgesim
from edgesim.cli import main
from edgesim.cli.explain import _print
from edgesim.errors import ResultsError
from edgesim.experiment import Plan
from edgesim.scenario import load
from edgesim.studies.explanation import causes, explain
from edgesim.studies.explanation.worst import WIDTH

S = 10**12


def rows_of(fakes: ModuleType, count: int, **phases: Any) -> np.ndarray:
    """Completed requests, one a second, whose phases are given in seconds."""
    rows = fakes.requests(count, every=1.0)
    rows["status"], rows["reason"], rows["replica"] = 0, 0, 0
    names = ("decision", "uplink", "queue", "prefill", "decode", "downlink")
    for name in names:
        rows[name] = (np.asarray(phases.get(name, 0.0)) * S).astype(np.int64)
    rows["output"] = 11
    rows["first_scheduled"] = rows["arrived"] + rows["decision"] + rows["uplink"] + rows["queue"]
    rows["first_token_server"] = rows["first_scheduled"] + rows["prefill"]
    rows["first_token"] = rows["first_token_server"] + rows["downlink"]
    rows["finished"] = rows["first_token"] + rows["decode"]
    return rows


def run_of(fakes: ModuleType, rows: np.ndarray, *, slo: str = "ttft: {p95: 1 s}", **changes: Any) -> Any:
    """A run in memory that consists of these records; `duration_s` is 1000 s unless it is changed."""
    text = {
        "scenario": {"name": "known", "duration": "1000 s"},
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
    }
    if slo:
        metric, target = slo.split(": ", 1)
        text["slo"] = {metric: dict([target.strip("{}").split(": ")])}
    info = fakes.info(**changes)
    return Plan(load(text), build=lambda *_: fakes.FakeSimulation(rows, info=info)).run()


def test_the_bottleneck_of_each_half_is_found(fakes: ModuleType) -> None:
    """A queue at one replica in the first half, the way up in the second: both are named with their share."""
    early = np.arange(1000) < 500
    rows = rows_of(fakes, 1000, queue=np.where(early, 3.0, 0.0), uplink=np.where(early, 0.0, 3.0), decode=1.0)
    table = explain(run_of(fakes, rows), intervals=10).tables["bottlenecks"]
    assert table["bottleneck"].tolist()[:5] == ["queue at edge/0"] * 5
    assert table["bottleneck"].tolist()[6:] == ["network, up to tier edge"] * 4
    assert table["share"].iloc[1:5].to_numpy() == pytest.approx(0.75, abs=0.01)
    assert table["in_system"].iloc[1:5].to_numpy() == pytest.approx(4.0, abs=0.05)
    assert table["waiting_share"].iloc[7] == pytest.approx(0.75, abs=0.01)
    sentences = [each for each in explain(run_of(fakes, rows)).sentences if "queue at edge/0" in each]
    assert len(sentences) == 1
    assert sentences[0].startswith("0 s to ")


def test_without_waiting_the_slowest_phase_is_named(fakes: ModuleType) -> None:
    """Nothing queues: then the speed of what takes longest is what limits latency."""
    rows = rows_of(fakes, 1000, queue=0.1, prefill=3.0, decode=1.0)
    table = explain(run_of(fakes, rows)).tables["bottlenecks"]
    assert set(table["bottleneck"]) == {"prefill speed of edge/0"}
    assert 10 <= len(table) <= 20


def test_recorded_resources_name_the_link_and_the_full_cache(fakes: ModuleType) -> None:
    """With time series the busiest link, and a full KV cache, are part of the answer."""
    import pandas as pd

    times = np.arange(0.0, 1000.0, 10.0)
    resources = pd.concat(
        [
            pd.DataFrame({"t": times, "kind": "link", "name": "wifi", "tier": "", "utilisation": 0.97}),
            pd.DataFrame({"t": times, "kind": "link", "name": "fibre", "tier": "", "utilisation": 0.2}),
            pd.DataFrame(
                {
                    "t": times[:1],  # rows that would repeat the one before are left out
                    "kind": "replica",
                    "name": "edge/0",
                    "tier": "edge",
                    "utilisation": 1.0,
                    "waiting": 7.0,
                    "kv_share": 1.0,
                }
            ),
        ]
    )
    early = np.arange(1000) < 500
    run = run_of(
        fakes, rows_of(fakes, 1000, queue=np.where(early, 3.0, 0.0), uplink=np.where(early, 0.0, 3.0))
    )
    run.__dict__["resources"] = resources
    table = explain(run, intervals=10).tables["bottlenecks"]
    assert table["bottleneck"].iloc[2] == "queue at edge/0, its KV cache full"
    assert table["queue_length"].iloc[2] == 7.0
    assert table["bottleneck"].iloc[8] == "network, up to tier edge (busiest link wifi)"


def crowded(fakes: ModuleType, **phases: Any) -> Any:
    """Explain a run whose requests queue most of the time, one a second."""
    return explain(run_of(fakes, rows_of(fakes, 1000, **{"queue": 3.0, "decode": 1.0} | phases)))


def test_what_keeps_requests_in_the_queue_is_named(fakes: ModuleType) -> None:
    """By construction: prompts are always being read; the batch is always full; or neither, and nothing is said."""
    found = crowded(fakes, prefill=2.0)
    row = found.tables["queues"].iloc[0]
    assert row["reading_share"] == pytest.approx(1.0, abs=0.01)
    assert row["in_batch"] == pytest.approx(3.0, abs=0.05)
    assert row["queueing_share"] == pytest.approx(1.0, abs=0.01)
    assert any("since it is reading prompts 9" in each for each in found.sentences)
    quiet = crowded(fakes, prefill=0.0)
    assert quiet.tables["queues"]["reading_share"].iloc[0] == 0.0
    assert not any("Requests queue" in each for each in quiet.sentences)


@pytest.mark.parametrize(
    ("deployment", "workload", "cause"),
    [
        ({"max_num_seqs": 4}, {}, "its batch is full (4 of 4 sequences"),
        ({"kv_tokens": 3000}, {"rate": "2/s"}, "its KV cache is full"),
        ({}, {"rate": "0.8/s", "prompt_tokens": 8000, "output_tokens": 8}, "it is reading prompts"),
    ],
)
def test_real_queues_have_their_cause(
    deployment: dict[str, Any], workload: dict[str, Any], cause: str, tmp_path: Path
) -> None:
    """A batch limit, a tiny KV cache and long prompts, each on a box that cannot keep up; stored runs say the same."""
    text = {
        "scenario": {"name": "known", "duration": "3 min"},
        "topology": {"nodes": {"edge": {"tier": "edge", "accelerator": "nvidia-l4"}}},
        "deployments": [{"llm": "llama-3.1-8b", "weights": "fp8", "on": "edge"} | deployment],
        "workloads": {
            "chat": {
                "from": "edge",
                "arrivals": {"kind": "poisson", "rate": workload.pop("rate", "1.2/s")},
                "prompt_tokens": 200,
                "output_tokens": 120,
            }
            | workload
        },
    }
    run = edgesim.simulate(text, out=tmp_path / "run")
    found = explain(run)
    (sentence,) = [
        each for each in found.sentences if each.startswith("Requests queue at edge/llama-3.1-8b since")
    ]
    assert cause in sentence
    assert len(found.tables["queues"]) >= 1
    assert explain(edgesim.load(tmp_path / "run")).sentences == found.sentences


def test_replicas_that_could_help_are_told(fakes: ModuleType) -> None:
    """One replica of three is busy 90 % of the run, its peers 10 %; replicas that serve their own node are no help."""
    base = {"replica": "a/x", "batch_full_share": float("nan"), "peak_kv_share": 0.1, "reading_share": 0.0}
    row = base | {"busy_share": 0.9, "peers": 2, "peers_busy_share": 0.1}
    assert causes.words(row) == (
        "its 2 peers were busy 10 % of the run: a router that looks would send them more"
    )
    assert causes.words(row | {"peers_busy_share": 0.8}) == ""
    summary = {
        "by": {
            "replica": {
                f"{n}/x": {"fleet": {"utilisation": u}} for n, u in (("a", 0.9), ("b", 0.1), ("c", 0.3))
            }
        }
    }
    subject = SimpleNamespace(summary=summary, own_only=frozenset())
    assert causes._peers(subject, "a/x") == {"peers": 2, "peers_busy_share": pytest.approx(0.2)}  # type: ignore[arg-type]
    assert causes._peers(SimpleNamespace(summary=summary, own_only={"x"}), "a/x") == {}  # type: ignore[arg-type]


def test_where_nobody_keeps_a_limit_its_parts_are_told(fakes: ModuleType) -> None:
    """There is nothing to compare with: what the metric is made of is said instead."""
    found = explain(run_of(fakes, rows_of(fakes, 1000, queue=3.0, prefill=1.0, decode=1.0)))
    assert (
        "Hardly any keeps it: ttft is 4 s on average, 3 s queue (75 %) and 1 s prefill (25 %)."
        in found.sentences
    )
    assert found.tables["miss_phases"].set_index("phase").loc["queue", "share"] == pytest.approx(0.75)


def test_slow_transfers_name_the_busiest_link_or_the_way(fakes: ModuleType) -> None:
    """A link that is used tells of bandwidth, one that is not of latency."""
    run = run_of(fakes, rows_of(fakes, 1000, uplink=3.0, decode=1.0))
    for use, told in (
        (0.6, "to 60 % of its capacity over the run."),
        (0.01, "it is latency rather than bandwidth"),
    ):
        run.summary["links"] = {"a->b": {"utilisation": use, "bytes": 1.0}}
        (sentence,) = [each for each in explain(run).sentences if each.startswith("The busiest link, a->b")]
        assert told in sentence
        assert explain(run).tables["links"]["link"].tolist() == ["a->b"]


def test_the_phase_that_makes_the_difference_is_named(fakes: ModuleType) -> None:
    """Every tenth request waits 2 s longer: the queue explains the misses, not the longer prefill of all."""
    slow = np.arange(1000) % 10 == 0
    rows = rows_of(fakes, 1000, queue=np.where(slow, 2.0, 0.1), prefill=0.5, decode=1.0)
    found = explain(run_of(fakes, rows))
    table = found.tables["miss_phases"].set_index("phase")
    assert table.loc["queue", "share"] == pytest.approx(1.0)
    assert table.loc["queue", "difference_s"] == pytest.approx(1.9)
    assert table.loc["prefill", "difference_s"] == pytest.approx(0.0)
    counts = found.tables["misses"].iloc[0]
    assert (counts["requests"], counts["missed"]) == (1000, 100)
    assert any(sentence.startswith("The difference is queue: 2 s") for sentence in found.sentences)


@pytest.mark.parametrize("slo", ["tpot: {p95: 80 ms}", "e2e: {p95: 1.5 s}"])
def test_slow_decoding_is_told_from_the_rest(fakes: ModuleType, slo: str) -> None:
    """Per-token time and end-to-end time are divided into their own phases."""
    slow = np.arange(1000) % 5 == 0
    rows = rows_of(fakes, 1000, queue=0.1, decode=np.where(slow, 2.0, 0.5))
    table = explain(run_of(fakes, rows, slo=slo)).tables["miss_phases"].set_index("phase")
    assert table.loc["decode", "share"] == pytest.approx(1.0)


def test_the_worst_requests_come_with_their_bars(fakes: ModuleType) -> None:
    """They are sorted by how far they are beyond a limit, and the longest bar has the full width."""
    queue = np.full(1000, 0.1)
    queue[[17, 600]] = [6.0, 12.0]
    table = explain(run_of(fakes, rows_of(fakes, 1000, queue=queue, decode=4.0))).tables["worst"]
    assert table["request"].tolist()[:2] == [600, 17]
    assert table["times_limit"].iloc[0] == pytest.approx(12.0)
    assert table["timeline"].iloc[0] == "." * (WIDTH * 12 // 16) + "=" * (WIDTH * 4 // 16)
    assert len(table) == 10


def test_waiting_without_end_counts_as_bad(fakes: ModuleType) -> None:
    """A request that still waits when the run ends is among the worst, with the time that has passed."""
    rows = rows_of(fakes, 1000, queue=0.1, decode=1.0)
    rows["status"][500] = 4
    rows["queue"][500] = 480 * S
    rows["decode"][500] = 0
    for name in ("first_scheduled", "first_token_server", "first_token", "finished"):
        rows[name][500] = -1
    worst = explain(run_of(fakes, rows)).tables["worst"].iloc[0]
    assert (worst["request"], worst["status"]) == (500, "unfinished")
    assert worst["e2e_s"] == pytest.approx(480)


def test_time_energy_and_dollars_add_up(fakes: ModuleType) -> None:
    """Shares sum to one by tier, joules and dollars to what the summary says."""
    run = run_of(fakes, fakes.requests(2000))
    found = explain(run)
    time, joules, dollars = (found.tables[name] for name in ("time", "energy", "cost"))
    assert time.groupby("tier")["share"].sum().to_numpy() == pytest.approx(1.0)
    assert set(time["tier"]) == {"all", "edge", "cloud"}
    done = run.requests[run.requests["status"] == "completed"]
    whole = time.loc[time["tier"] == "all", "mean_s"].sum()
    assert whole == pytest.approx((done["finished_at"] - done["arrived_at"]).mean())
    assert joules["total_j"].sum() == pytest.approx(run.summary["energy_j"]["total"])
    assert joules["share"].sum() == pytest.approx(1.0)
    assert dollars["cost_usd"].sum() == pytest.approx(run.summary["cost_usd"])
    assert "(idle)" in dollars["tier"].tolist()


def test_too_little_data_is_said(fakes: ModuleType) -> None:
    """With ten requests there is no bottleneck, no comparison, and a warning."""
    found = explain(run_of(fakes, rows_of(fakes, 10, queue=np.arange(10) * 0.3)))
    assert "bottlenecks" not in found.tables
    text = str(found)
    assert "too few to tell a bottleneck" in text
    assert "Too few requests keep it" in text or "Too few requests exceed it" in text
    assert "mostly chance" in text


def test_a_run_without_answers_is_explained(fakes: ModuleType) -> None:
    """Everything was turned away: no division by zero, and the reason is told."""
    rows = fakes.requests(100)
    rows["status"], rows["reason"] = 1, 1
    for name in ("replica", "first_scheduled", "first_token_server", "first_token"):
        rows[name] = -1
    text = str(explain(run_of(fakes, rows)))
    assert "100 of 100 requests got no answer (100 no-replica)" in text
    assert "0 completed, 100 rejected." in text
    assert "No completed request was measured, so there are no latencies.\n" in text
    assert "No request was completed" in text


def test_without_objectives_nothing_is_missed(fakes: ModuleType) -> None:
    """Then the worst are those that took longest."""
    found = explain(run_of(fakes, fakes.requests(500), slo=""))
    assert any("no objectives" in sentence for sentence in found.sentences)
    worst = found.tables["worst"]
    assert worst["e2e_s"].is_monotonic_decreasing
    assert "times_limit" not in worst.columns


def test_met_objectives_are_not_among_the_missed(fakes: ModuleType) -> None:
    """A limit that two requests exceed, but whose p95 is kept, has no place under "why missed"."""
    slow = np.arange(1000) < 2
    rows = rows_of(fakes, 1000, queue=np.where(slow, 6.0, 0.1), decode=1.0)
    part = explain(run_of(fakes, rows)).parts[1]
    assert (part.sentences, part.tables) == (["No objective was missed."], {})


def test_a_run_without_requests_misses_nothing(fakes: ModuleType) -> None:
    """Nothing was measured, so nothing is said of missed objectives."""
    found = explain(run_of(fakes, fakes.requests(3)[:0]))
    assert "missed" not in f"{found} {[part.title for part in found.parts]}"


def test_replications_tell_what_the_first_recorded(tmp_path: Path) -> None:
    """Time series of a set are those of its first replication, and the explanation says so."""
    sets = ["scenario.duration=10 s", "scenario.warmup=2 s", "output.tables=[requests, resources]"]
    both = edgesim.simulate("quickstart", sets=sets, replications=2, out=tmp_path / "both")
    found = explain(both)
    assert "Queues, memory and links over time are those of the first replication." in found.sentences
    assert not any("not recorded" in sentence for sentence in found.sentences)


def test_lacking_columns_are_named(fakes: ModuleType) -> None:
    """A table of another version gives a sentence, not a KeyError."""
    run = run_of(fakes, fakes.requests(100))
    run.__dict__["requests"] = run.requests.drop(columns=["stall", "queue"])
    with pytest.raises(ResultsError, match="lacks the columns queue, stall"):
        explain(run)
    with pytest.raises(ResultsError, match="holds many runs"):
        explain(SimpleNamespace(table=None))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two replications of the quickstart, stored."""
    folder = tmp_path_factory.mktemp("runs") / "quickstart"
    sets = ["scenario.duration=30 s", "scenario.warmup=5 s", "workloads.chat.arrivals.rate=15/s"]
    edgesim.simulate("quickstart", sets=sets, replications=2, out=folder)
    return folder


def test_replications_are_taken_together(stored: Path) -> None:
    """The set counts the requests of both, and joules agree with the mean of the summaries."""
    both = edgesim.load(stored)
    found = explain(both)
    assert found.subject == "quickstart, 2 replications"
    assert found.tables["bottlenecks"]["arrived"].sum() == len(both.requests)
    assert found.tables["energy"]["total_j"].sum() == pytest.approx(both.summary["energy_j"]["total"])
    singles = [explain(run).tables["bottlenecks"]["in_system"].mean() for run in both]
    assert found.tables["bottlenecks"]["in_system"].mean() == pytest.approx(np.mean(singles))
    assert "replication" in found.tables["worst"].columns
    assert any(
        each.startswith("The system used") and " per replication: " in each for each in found.sentences
    )
    assert any(
        each.startswith("The system cost") and " per replication, " in each for each in found.sentences
    )
    assert "<h4>" in found._repr_html_()


def test_the_command_prints_sentences_or_json(stored: Path) -> None:
    """Sentences for people, everything for machines, and exit code 2 for what is no run."""
    runner = CliRunner()
    shown = runner.invoke(main, ["explain", str(stored)])
    assert shown.exit_code == 0, shown.output
    assert "What held requests up, and when" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100
    found = json.loads(runner.invoke(main, ["explain", str(stored), "--json", "--worst", "3"]).stdout)
    assert len(found["tables"]["worst"]) == 3
    assert found["sentences"]
    wrong = runner.invoke(main, ["explain", str(stored / "nowhere")])
    assert (wrong.exit_code, "is no folder" in wrong.stderr) == (2, True)


def test_tables_of_the_command_can_be_read(
    stored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Narrow, too: no line is too long or cut, no unit alone on a line; numbers stand to the right, with their unit."""
    import pandas as pd

    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(main, ["explain", str(stored)]).stdout
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in shown
    assert not any(re.match(r"  (%|ms|s|min)[ ,;.)]", line) for line in lines)
    assert any(
        re.match(r"ttft +\S+ m?s  all +all ", line.strip()) for line in lines
    )  # the limit has its unit
    table = pd.DataFrame(
        {
            "request": [7124, 15],
            "link": ["a->b", "b->c"],
            "bytes": [3.6e8, 1.0],
            "usd_per_1000": [0.5, 0.25],
            "mean_s": [0.25, 1.0],
        }
    )
    _print("any", table)
    head, *_, first, second, _ = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in (first, second)] == ["7124", "15"]
    assert "360 MB" in first
    assert first.rstrip().endswith("250 ms")
    assert second.index("15") - first.index("7124") == 2
    assert "cost" in head


def test_means_that_are_equal_do_not_differ(fakes: ModuleType) -> None:
    """Rounding is no difference: neither in the table nor as a share of it."""
    slow = np.arange(1000) % 10 == 0
    rows = rows_of(fakes, 1000, queue=np.where(slow, 2.0, 0.1), prefill=0.1 + 0.2, decode=1.0)
    table = explain(run_of(fakes, rows)).tables["miss_phases"].set_index("phase")
    assert table.loc["prefill", "difference_s"] == 0


@pytest.mark.parametrize("command", ["explain", "report"])
def test_unfinished_and_damaged_folders_are_refused(stored: Path, tmp_path: Path, command: str) -> None:
    """No summary, no table, a table of another version: a sentence that names the file, and exit code 2."""
    import pandas as pd

    runner = CliRunner()
    whole = tmp_path / "rep-000"
    shutil.copytree(stored / "rep-000", whole)
    for name in ("manifest.json", "scenario.yaml"):
        shutil.copy(stored / name, whole)
    assert runner.invoke(main, [command, str(whole)]).exit_code == 0
    table = pd.read_parquet(whole / "requests.parquet")
    table.drop(columns="stall").to_parquet(whole / "requests.parquet")
    lacking = runner.invoke(main, [command, str(whole)])
    assert (lacking.exit_code, "stall" in lacking.stderr) == (2, True)
    for name in ("summary.json", "requests.parquet"):
        for kept in ("requests.parquet", "summary.json"):
            shutil.copy(stored / "rep-000" / kept, whole)
        (whole / name).unlink()
        found = runner.invoke(main, [command, str(whole)])
        assert (found.exit_code, name.split(".")[0] in found.stderr) == (2, True), found.output


def test_the_stretch_that_requests_spend_most_time_in_is_told(fakes: ModuleType) -> None:
    """A short rush after hours of nearly nothing is what there is to tell; silence is told in one sentence."""
    rows = rows_of(fakes, 1000, decode=0.1)
    number = np.arange(1000)
    calm = number < 100  # ten stretches of ten requests with silence between; then a rush at the end
    start = np.where(calm, (number // 10) * 80.0 + (number % 10), 950.0 + (number - 100) * 0.01)
    queue, work = np.where(calm, 0.0, 20.0), np.where(calm & (number // 10 % 2 == 0), 2.0, 0.1)
    fresh = rows_of(fakes, 1000, queue=queue, prefill=work, decode=2.1 - work)
    shift = (start * S).astype(np.int64) - rows["arrived"]
    for name in ("arrived", "first_scheduled", "first_token_server", "first_token", "finished"):
        fresh[name] += shift
    found = explain(run_of(fakes, fresh), intervals=40)
    table = found.tables["bottlenecks"]
    told = [each for each in found.sentences if "of the time that requests spent; waiting" in each]
    assert len(told) == 6
    assert sum("queue at edge/0" in each for each in told) == 1
    assert not any("no request was in the system" in each for each in found.sentences)
    idle = int((table["phase"] == "").sum())
    assert idle > 10
    assert f"No request was in the system in {idle} of 40 intervals." in found.sentences
    (rest,) = [each for each in found.sentences if each.startswith("These 6 of ")]
    assert 98 < float(rest.split(" hold ")[1].split(" %")[0]) < 100


def test_a_stretch_counts_its_own_replicas(fakes: ModuleType) -> None:
    """Queues that wander from replica to replica were at all of them, though at few in each interval."""
    number = np.arange(1000)
    rows = rows_of(fakes, 1000, queue=3.0, decode=1.0)
    names = tuple(f"edge/{k}" for k in range(20))
    rows["replica"] = number // 10 % 20
    found = explain(
        run_of(fakes, rows, replica_names=names, replica_tiers=("edge",) * 20, replica_llms=("llama",) * 20),
        intervals=40,
    )
    assert found.tables["bottlenecks"]["bottleneck"].iloc[3].startswith("queues at ")
    (told,) = [each for each in found.sentences if each.startswith("0 s to ")]
    assert "queues at 20 replicas of tier edge" in told


@pytest.mark.parametrize(
    ("count", "said"), [(0, "No request"), (1, "Only 1 request"), (5, "Only 5 requests")]
)
def test_few_requests_are_told_in_words(count: int, said: str, fakes: ModuleType) -> None:
    """None, one and some: each in a sentence that one would say."""
    found = explain(run_of(fakes, rows_of(fakes, count, decode=1.0)))
    assert any(each.startswith(f"{said} arrived: too few") for each in found.sentences)
    assert not any("0 still under way" in each or "Only 0" in each for each in found.sentences)
    assert not any("The 1 worst" in each for each in found.sentences)
    if count == 1:
        assert (
            "The worst, by the ratio of a metric to its limit, spent most of its time in decode: 1 s of 1 s."
            in found.sentences
        )


def test_a_tier_with_room_is_named(fakes: ModuleType) -> None:
    """While requests queue at one tier, another that computed little is told; a busy one is not."""
    run = run_of(fakes, rows_of(fakes, 1000, queue=3.0, decode=1.0))
    run.summary["by"]["tier"]["edge"]["fleet"] = {"utilisation": 0.9}
    for use, told in ((0.1, ["Tier cloud had room: it was busy 10 % of the run."]), (0.8, [])):
        run.summary["by"]["tier"]["cloud"] = run.summary["by"]["tier"]["edge"] | {
            "fleet": {"utilisation": use}
        }
        assert [each for each in explain(run).sentences if "had room" in each] == told


def test_links_like_the_busiest_are_counted(fakes: ModuleType) -> None:
    """Of many cells none stands out: the sentence about the busiest says how many are like it."""
    run = run_of(fakes, rows_of(fakes, 1000, uplink=3.0, decode=1.0))
    uses = {"a->b[0]": 0.6, "a->b[1]": 0.9, "a->b[2]": 0.8, "a->b[3]": 0.1, "b[0]->c": 0.7}
    run.summary["links"] = {name: {"utilisation": use, "bytes": 1.0} for name, use in uses.items()}
    (told,) = [each for each in explain(run).sentences if each.startswith("The busiest link")]
    assert (
        told
        == "The busiest link, a->b[1], was used to 90 % of its capacity over the run, 2 like it to at least 60 %."
    )
