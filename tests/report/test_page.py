"""Tests of the report page: what it says, in the file and in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgesim.cli import main
from edgesim.errors import ResultsError
from edgesim.experiment import Plan
from edgesim.report.page import render, single, write
from edgesim.scenario import load
from edgesim.units import format_seconds

SCENARIO = {
    "scenario": {"name": "known <b>", "duration": "1000 s"},
    "topology": {
        "nodes": {
            "edge": {"tier": "edge", "accelerator": "nvidia-l4"},
            "cloud": {"tier": "cloud", "accelerator": "nvidia-h100-sxm", "count": 2},
        },
        "links": [{"between": ["edge", "cloud"], "kind": "fibre"}],
    },
    "deployments": [
        {"llm": "llama-3.1-8b", "weights": "int8", "on": "edge"},
        {"llm": "llama-3.1-8b", "on": "cloud"},
    ],
    "workloads": {
        "chat": {
            "from": "edge",
            "arrivals": {"kind": "poisson", "rate": "1/s"},
            "prompt_tokens": 100,
            "output_tokens": 10,
        }
    },
    "slo": {"ttft": {"p95": "1 s"}, "e2e": {"mean": "10 s"}},
}


def run_of(fakes: ModuleType, rows: np.ndarray, **changes: Any) -> Any:
    """A run in memory that consists of these records."""
    names = {
        "replica_names": ["edge/0", "cloud[0]/0", "cloud[1]/0"],
        "replica_nodes": ["edge", "cloud[0]", "cloud[1]"],
        "link_names": ["edge->cloud[0]", "cloud[0]->edge"],
    }
    info = fakes.info(**(names | changes))
    return Plan(load(SCENARIO), build=lambda *_: fakes.FakeSimulation(rows, info=info)).run()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without pictures, which take most of the time."""
    monkeypatch.setattr(single, "pictures", lambda _: ([], ""))


def sections(html: str) -> list[str]:
    """Names of the sections, in order."""
    return re.findall(r'<section id="([a-z]+)"', html)


def data(html: str) -> dict[str, Any]:
    """The requests that a page carries."""
    found = re.search(r'<script type="application/json" id="requests-data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


# --- the file -----------------------------------------------------------------------------------------------


def test_verdicts_come_first_and_everything_follows(page: Path) -> None:
    """The sections are there in their order, and the menu leads to each of them."""
    html = page.read_text(encoding="utf-8")
    names = [name for name in sections(html) if name != "pictures"]
    assert names == ["objectives", "summary", "bottlenecks", "topology", "timeline", "requests", "origin"]
    assert re.findall(r'<a href="#([a-z]+)">', html) == sections(html)
    assert "objectives are missed" in html or "objectives are met" in html
    assert "scenario_sha256" in html
    assert "llm: llama-3.1-70b" in html


def test_pictures_stand_in_the_file(page: Path) -> None:
    """Each plot that fits is there once, with a text for those who cannot see it, and ids of its own."""
    html = page.read_text(encoding="utf-8")
    assert html.count("<figure>") == html.count("<figcaption>") >= 4
    drawn = re.findall(r"<figure>(.*?)<figcaption>", html, re.DOTALL)
    assert all('aria-label="' in each or 'alt="' in each for each in drawn)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert "output.tables=[requests, resources]" in html  # what to record for more


def test_nothing_is_fetched(page: Path) -> None:
    """No address occurs in any place that a browser loads from, and the page forbids it to itself."""
    html = page.read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href|action|data)\s*=\s*"(?!#|data:)[^"]*"', html)
    assert "@import" not in html
    assert "url(" not in re.sub(r"url\(#", "", html)
    assert "default-src 'none'" in html


def test_text_of_the_scenario_cannot_break_the_page(fakes: ModuleType, bare: None) -> None:
    """Names with markup in them are shown as they are."""
    html = render(run_of(fakes, fakes.requests(300), workloads=["</script><b>", "code"]))
    assert "known &lt;b&gt;" in html
    assert "<b>" not in html
    assert "</script><b>" in data(html)["names"]["workload"]


def test_a_large_run_carries_the_worst_and_a_spread(fakes: ModuleType, bare: None) -> None:
    """Of 30,000 requests 2,000 are carried; the 100 slowest are among them, and the page says so."""
    rows = fakes.requests(30_000, every=0.03)
    run = run_of(fakes, rows)
    html = render(run)
    found = data(html)
    carried = set(found["columns"]["request"])
    assert len(carried) == 2000
    done = run.requests[run.requests["status"] == "completed"]
    ttft = (done["first_token_at"] - done["arrived_at"]).to_numpy()
    assert set(done["request"].to_numpy()[np.argsort(-ttft)[:100]]) <= carried
    assert "Shown are 2,000 of 30,000 requests" in found["said"]
    assert f"The bars are a sample. {found['said']}" in html
    arrived = np.array(found["columns"]["arrived"])
    assert np.histogram(arrived, 10, (0, 900))[0].min() > 100


def test_the_phases_of_a_carried_request_add_up(page: Path) -> None:
    """What the timeline draws is as long as the request took."""
    columns = data(page.read_text(encoding="utf-8"))["columns"]
    phases = np.sum([columns[name] for name in data(page.read_text(encoding="utf-8"))["phases"]], axis=0)
    assert phases == pytest.approx(np.array(columns["e2e"]), rel=1e-4, abs=1e-4)
    assert set(columns["replication"]) == {0, 1}


def test_the_topology_shows_who_was_busy(fakes: ModuleType, bare: None) -> None:
    """Boxes carry the utilisation of the summary, links what they carried."""
    html = render(run_of(fakes, fakes.requests(500)))
    lines = re.findall(r'data-lines="([^"]*)"', html)
    (edge,) = [each for each in lines if each.startswith("edge, tier edge")]
    assert "10 % busy" in edge
    (cloud,) = [each for each in lines if each.startswith("cloud \N{MULTIPLICATION SIGN} 2, tier cloud")]
    assert "30 % busy" in cloud
    (link,) = [each for each in lines if each.startswith("edge to cloud, fibre")]
    assert "cloud[0]-&gt;edge: 75 % busy" in link


def test_a_run_without_requests_has_a_page(fakes: ModuleType, bare: None) -> None:
    """Nothing happened: the page says so, and nothing divides by zero."""
    html = render(run_of(fakes, fakes.requests(3)[:0]))
    assert "not measured" in html
    assert "No request arrived." in html
    assert "missed" not in re.sub(r"<style>.*?</style>|<script>.*?</script>", "", html, flags=re.DOTALL)
    assert html.count("<li class=open><span class=word>not measured") == 2


@pytest.mark.parametrize(
    ("state", "said"), [("failed", "The run failed at "), ("interrupted", "The run was interrupted at ")]
)
def test_a_run_that_broke_off_is_not_judged(fakes: ModuleType, bare: None, state: str, said: str) -> None:
    """Its page leads with a warning that says how far it came, and no card is green or red."""
    run = run_of(fakes, fakes.requests(300))
    run.manifest["exit_state"] = state
    (lead,) = re.findall(r'<section id="objectives".*?</section>', render(run), re.DOTALL)
    assert f"{said}{format_seconds(run.summary['engine']['simulated_s'])}; these numbers are those" in lead
    assert lead.index("class=warning") < lead.index("No objective is judged")
    assert lead.count("<li class=open><span class=word>not judged") == 2
    assert "are met" not in lead


def test_a_card_names_whose_share_it_tells(fakes: ModuleType, bare: None) -> None:
    """Of 100 requests 10 are slow and 20 unfinished: 70 % of all keep the limit, 87.5 % of those completed."""
    rows = fakes.requests(100)
    rows["status"], rows["reason"], rows["replica"] = 0, 0, 0
    rows["first_token"] = rows["arrived"] + 10**11
    rows["first_token"][:10] += 10**13
    rows["status"][80:] = 4
    rows["first_token"][80:] = rows["finished"][80:] = -1
    html = render(run_of(fakes, rows))
    assert "70 % of all that arrived, 87.5 % of those completed, keep the limit" in html


def test_warnings_are_given_once(fakes: ModuleType, bare: None) -> None:
    """What a warning says is not among the sentences above it, too."""
    run = run_of(fakes, fakes.requests(300))
    run.summary["notes"] = ["heat slowed down 2 of 3 replicas"]
    run.summary["stable"], run.summary["stability"] = False, "unstable: the backlog grows without end"
    (part,) = re.findall(r'<section id="summary".*?</section>', render(run), re.DOTALL)
    assert part.count("eat slowed down") == part.count("backlog grows") == 1
    assert "<p class=warning role=note>Heat slowed down 2 of 3 replicas.</p>" in part
    assert "<p class=warning role=note>It is unstable: the backlog" in part


def test_one_objective_is_told_as_one(fakes: ModuleType, bare: None) -> None:
    """Not "all 1 objectives"."""
    run = run_of(fakes, fakes.requests(300))
    run.summary["slo"] = run.summary["slo"][:1]
    for met, said in ((True, "The objective is met."), (False, "The objective is missed.")):
        run.summary["slo"][0]["met"] = met
        assert said in render(run)


def test_means_have_their_intervals(fakes: ModuleType, bare: None) -> None:
    """Of a single run, too, as in the terminal: a half-width, both ends where they lie unevenly, or why there is none."""
    run = run_of(fakes, fakes.requests(300))
    low, kind = {"mean": 2.0, "low": 1.5, "high": 3.0, "half_width": 0.75}, "batch means"
    run.summary["intervals"]["metrics"] = {
        "ttft": {"mean": 2.0, "low": 1.5, "high": 2.5, "half_width": 0.5, "kind": kind},
        "e2e": low | {"kind": kind},
        "tpot": {"mean": 2.0, "low": None, "high": None, "half_width": None, "kind": "none: it drifts"},
    }
    html = render(run)
    assert '<button type="button">mean ± 95 %' in html
    assert ">2 ± 0.5 s</td>" in html
    assert ">2 s (1.5 s to 3 s)</td>" in html
    assert "Intervals: one run, 95 % intervals of the means by batch means; none of tpot (it drifts)." in html


def test_the_legend_of_the_timeline_has_what_occurs(fakes: ModuleType, bare: None) -> None:
    """No colours for phases that no request was in."""
    rows = fakes.requests(50)
    rows["backoff"] = 0
    (part,) = re.findall(r'<section id="timeline".*?</section>', render(run_of(fakes, rows)), re.DOTALL)
    assert "data-phase=decode" in part
    assert "data-phase=backoff" not in part


def test_what_is_no_result_is_refused(stored: Path, tmp_path: Path) -> None:
    """A wrong object, a wrong folder, a file that cannot be written: a sentence each."""
    with pytest.raises(ResultsError, match="or a capacity search, not about a SimpleNamespace"):
        render(SimpleNamespace())
    runner = CliRunner()
    assert runner.invoke(main, ["report", str(tmp_path)]).exit_code == 2
    wrong = runner.invoke(main, ["report", str(stored), "-o", str(tmp_path / "no" / "where.html")])
    assert wrong.exit_code == 2
    assert "cannot write" in wrong.stderr


def sweep() -> Any:
    """A sweep over two keys, two replications of each point; one point failed."""
    import pandas as pd

    rows = [
        {
            "point": point,
            "rate": [1.0, 2.0][point % 2],
            "router": ["near", "quick"][point // 2],
            "replication": replication,
            "status": "finished",
            "error": None,
            "slo_met": point == 1,
            "ttft_p95": 0.1 * (point + 1) + 0.01 * replication,
            "throughput_rps": 5.0 - point,
            "energy_j": 1500.0 * (point % 2 + 1),
            "cost_usd": 0.001 * (point + 1),
            "completed": 100 * (point % 2 + 1) if point < 3 else 300,
        }
        for point in range(4)
        for replication in range(2)
    ]
    rows.append(rows[0] | {"point": 4, "status": "failed", "error": "out of <memory>"})
    return SimpleNamespace(
        table=pd.DataFrame(rows),
        keys=["rate", "router"],
        units={"rate": "1/s", "ttft_p95": "s", "throughput_rps": "1/s", "energy_j": "J"},
        manifest={"scenario": "swept", "labels": ["many"], "seed": 3},
    )


def test_a_sweep_names_its_best_points(bare: None) -> None:
    """Means over replications, the best point by metric, failed points, all points as a table."""
    html = render(sweep())
    assert "1 of 4 points meet all objectives" in html
    assert "1 points failed, the first one with: out of &lt;memory&gt;" in html
    assert "Lowest ttft p95: 105 ms at rate = 1/s, router = near." in html
    assert "Highest throughput: 5/s at rate = 1/s, router = near." in html
    said = re.findall(r"<li>(Lowest (?:energy|cost)[^<]*)</li>", html)
    assert said == [  # a point with less load has a lower total, which is no merit
        "Lowest energy per completed request: 10 J at rate = 2/s, router = quick.",
        (
            "Lowest cost per completed request: $0.01 per 1,000"
            " at rate = 1/s, router = near; at rate = 2/s, router = near (2 points alike)."
        ),
    ]
    assert html.count('<th scope="row"') >= 4
    assert "labels" not in html


def test_a_comparison_tells_which_differences_are_real(bare: None) -> None:
    """Real ones in words, all of them in the table."""
    import pandas as pd

    columns = "a b metric statistic unit mean_a mean_b difference low high relative p p_adjusted real better"
    values = [
        ("near", "quick", "ttft", "p95", "s", 2.0, 1.0, -1.0, -1.2, -0.8, -0.5, 0.001, 0.002, True, "quick"),
        ("near", "quick", "energy", "mean", "J", 2.0, 2.1, 0.1, -0.2, 0.4, 0.05, 0.5, 0.5, False, ""),
    ]
    table = pd.DataFrame(values, columns=columns.split())
    said = [
        "quick's ttft p95 is 50 % lower than near's, real",
        "quick's energy mean is 5 % higher, which may be chance",
    ]
    found = SimpleNamespace(
        table=table, names=["near", "quick"], runs={}, sentences=said, notes=["not <paired>"], confidence=0.95
    )
    html = render(found)
    assert "<h1>near against quick</h1>" in html
    assert "1 of 2 differences are real" in html
    assert "quick&#x27;s ttft p95 is 50 % lower" in html
    assert "not &lt;paired&gt;" in html
    assert '<div class="line real" title="ttft p95: -50 % (-60 % to -40 %)">' in html
    assert '<div class="line chance" title="energy mean: 5 % (-10 % to 20 %)">' in html
    row = re.search(r'<th scope="row" class=name>ttft p95</th>.*?</tr>', html)
    assert row is not None
    assert re.findall(r"<td[^>]*>([^<]*)<", row[0]) == [
        "near", "quick", "2 s", "1 s", "-1 s", "-1.2 s", "-800 ms", "-50 %", "0.002", "yes", "quick",
    ]  # fmt: skip


def test_a_run_of_100000_requests_shows_within_2_seconds(
    browser: Any, fakes: ModuleType, tmp_path: Path
) -> None:
    """The file stays under 5 MB, and the browser has painted it, table and timeline included, within 2 s."""
    path = tmp_path / "large.html"
    size = write(run_of(fakes, fakes.requests(100_000, every=0.01)), path)
    assert size < 5_000_000
    browser.look(width=1280)
    took = min(browser.open(path) for _ in range(2))  # others may be busy on this machine
    assert took < 2.0
    assert browser.complaints == []
    assert browser.ask("document.querySelectorAll('#requests-table tbody tr').length") == 50
    assert "2,000 of 100,000" in browser.ask("document.getElementById('requests-said').textContent")
