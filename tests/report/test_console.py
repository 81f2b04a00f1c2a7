"""Tests of the tables that people see."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from edgesim.metrics import SHOWN
from edgesim.report import console
from edgesim.results.combine import combine
from edgesim.results.source import MemorySource
from edgesim.results.summary import Effort, summarise
from edgesim.units import format_joules, format_usd

if TYPE_CHECKING:
    from types import ModuleType

SLO = {"ttft": {"p95": 1.0}, "e2e": {"mean": 10.0}, "tpot": {"within": 0.7, "attainment": 0.5}}


def summary(fakes: ModuleType, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """A summary of random records."""
    rows = fakes.requests(2000, seed)
    info = fakes.info(slo=SLO, warmup_s=20.0, **changes)
    return summarise(MemorySource([rows], info), info, fakes.totals(rows), Effort(2.0, 1.0, 100.0))


def shown(found: dict[str, Any], *, width: int = 100, encoding: str = "utf-8") -> str:
    """What a terminal of that width and encoding shows."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    out = Console(file=stream, width=width, highlight=False, emoji=False)
    console.show(found, "tiny · seed 1", out)
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_verdicts_come_first(fakes: ModuleType) -> None:
    """After the title, the first lines say which objectives were kept."""
    lines = [line for line in shown(summary(fakes)).splitlines() if line.strip()]
    assert lines[0] == "tiny · seed 1"
    assert lines[1].split()[:5] == ["✗", "ttft", "p95", "<=", "1"]
    assert lines[2].startswith("✓  e2e mean <= 10 s")
    assert "of requests within 700 ms" in lines[3]
    assert lines[4].startswith("requests  2,000 arrived, ")


def test_metrics_have_their_units_and_numbers(fakes: ModuleType) -> None:
    """A row reads in the unit that suits its median; brackets survive."""
    found = summary(fakes)
    row = next(line for line in shown(found).splitlines() if line.strip().startswith("queue_time"))
    cells = row.split()
    assert cells[:2] == ["queue_time", "[ms]"]
    expected = [found["metrics"]["queue_time"][name] * 1e3 for name in SHOWN]
    half = found["intervals"]["metrics"]["queue_time"]["half_width"] * 1e3
    numbers = [float(cell.replace(",", "")) for cell in cells[2:] if cell != "±"]
    assert numbers == pytest.approx([expected[0], half, *expected[1:]], rel=2e-3)
    assert "stall_time" not in shown(found)


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_lines_fit_and_survive_any_terminal(fakes: ModuleType, width: int, encoding: str) -> None:
    """Nothing is wider than the terminal, no metric is cut, and an ASCII terminal gets ASCII."""
    text = shown(combine([summary(fakes, seed) for seed in range(3)], SLO), width=width, encoding=encoding)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "normalized_latency" in text
    assert "…" not in text
    assert ("ok" in lines[3]) == (encoding == "ascii")
    assert "3 replications" in text


def test_replications_show_the_interval_beside_the_mean(fakes: ModuleType) -> None:
    """Mean and half-width stand together with the same number of decimals."""
    found = combine([summary(fakes, seed) for seed in range(3)], SLO)
    row = next(line for line in shown(found).splitlines() if line.strip().startswith("queue_time"))
    interval = found["replications"]["metrics"]["queue_time"]["mean"]
    text = " ".join(shown(found).split())
    assert f"energy {format_joules(found['energy_j']['total'])} per replication (" in text
    assert f"cost {format_usd(found['cost_usd'])} per replication" in text
    assert all(isinstance(count, int) for count in found["listed"].values())
    assert "per replication" not in shown(summary(fakes))
    assert f"{interval['mean'] * 1e3:.1f} ± {interval['half_width'] * 1e3:.1f}" in row


def test_uneven_intervals_show_both_ends(fakes: ModuleType) -> None:
    """Where the mean is far from the middle, a half-width would mislead."""
    found = summary(fakes)
    found["intervals"]["metrics"]["e2e"] |= {"mean": 2.0, "half_width": 0.5, "low": 1.7, "high": 2.7}
    found["metrics"]["e2e"] |= {"mean": 2.0, "p50": 1.9}
    row = next(line for line in shown(found).splitlines() if line.strip().startswith("e2e ["))
    assert "2.000 (1.70 to 2.70)" in row
    assert "±" not in row


def test_one_run_says_what_its_intervals_are(fakes: ModuleType) -> None:
    """Their kind stands below; where there is none, the reason does, and no half-width beside the mean."""
    found = summary(fakes)
    assert "spread  one run, 95 % intervals of the means by batch means" in shown(found)
    found["intervals"]["metrics"]["e2e"] |= {"half_width": None, "kind": "none: too alike"}
    assert "by batch means; none of e2e (too alike)" in " ".join(shown(found).split())
    assert "±" not in next(line for line in shown(found).splitlines() if line.strip().startswith("e2e ["))


def test_an_unstable_run_says_so(fakes: ModuleType) -> None:
    """The reason is part of the table."""
    found = summary(fakes) | {"stable": False, "stability": "unstable: the backlog grows without end"}
    assert "unstable  the backlog grows without end" in shown(found)


def test_the_footer_says_what_it_took(fakes: ModuleType) -> None:
    """Simulated time, requests per second of wall and processor time, events, error band."""
    text = " ".join(shown(summary(fakes, notes=["router 'oracle' sees the future"])).split())
    assert "16.7 min simulated in 2 s: 1,000 requests/s of wall time, 2,000 of CPU time; 42 events" in text
    assert "step costs good to ±25 %" in text
    assert "note router 'oracle' sees the future" in text


def test_an_empty_run_can_be_shown(fakes: ModuleType) -> None:
    """No requests, no numbers, no crash."""
    info = fakes.info(duration_s=0.0, slo=SLO)
    rows = fakes.requests(0)
    text = shown(summarise(MemorySource([], info), info, fakes.totals(rows)))
    assert "0 arrived" in text
    assert "not measured" in text
    assert "✗" not in text
    assert "mean" not in text.split("0 arrived")[1]  # no table without a row


def test_a_run_that_broke_off_is_not_judged(fakes: ModuleType) -> None:
    """Neither met nor missed: it says what came out until then, as its page does."""
    stream = io.StringIO()
    console.show(summary(fakes), "tiny", Console(file=stream, width=100), judged=False)
    text = stream.getvalue()
    assert "ttft p95 <= 1 s" in text
    assert not {"✗", "✓", "MISSED"} & set(text.split())


def test_numbers_are_those_of_the_page(fakes: ModuleType) -> None:
    """Rates with four digits, dollars of a thousand requests."""
    found = summary(fakes)
    found["rates"] |= {"throughput_rps": 30.123456, "input_tokens_per_s": 5862.51}
    found["metrics"]["cost"] |= {"p50": 5e-8, "max": 6e-8}
    text = shown(found)
    assert "30.12 requests/s" in text
    assert "5,863 input tokens/s" in text
    assert "cost [USD per 1000]" in text


def test_piped_output_is_plain(fakes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a pipe nor NO_COLOR gets escape codes."""
    out = io.StringIO()
    console.show(summary(fakes), "tiny", console.console(out))
    assert "\x1b" not in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    console.show(summary(fakes), "tiny", console.console(out))
    assert "\x1b[31" not in out.getvalue()
    assert "\x1b[1;31" not in out.getvalue()


def test_reasons_and_cut_lists_are_told(fakes: ModuleType) -> None:
    """Why requests were turned away, and what summary.json leaves out."""
    found = summary(fakes)
    assert "reasons   100 no-replica" in shown(found)
    assert "summary.json lists" not in shown(found)
    found["listed"] = {"replicas": 100, "of_replicas": 2000, "links": 2, "of_links": 2}
    assert "summary.json lists 100 of 2,000 replicas, the busiest" in shown(found)
    found["listed"]["replicas"] = 0  # no replica had anything to do
    assert "summary.json lists" not in shown(found)


def test_a_run_without_answers_says_why(fakes: ModuleType) -> None:
    """If every request was too long, the verdict says that, not merely that nothing was measured."""
    rows = fakes.requests(100)
    rows["status"], rows["reason"] = 1, 1
    info = fakes.info(slo=SLO, reasons=["", "too-long"], carbon_stated=False)
    text = shown(summarise(MemorySource([rows], info), info, fakes.totals(rows), Effort(2.0, 1.0, 100.0)))
    assert "none answered: too-long" in text
    assert "100 too-long (longer than the context or the KV cache of the replica)" in text
    assert "CO2 unknown" in text


def test_an_objective_that_only_the_answered_meet_says_so(fakes: ModuleType) -> None:
    """Fast for a few is not met, and the line says why."""
    rows = fakes.requests(1000)
    rows["status"][:900], rows["reason"][:900] = 1, 1
    info = fakes.info(slo={"ttft": {"p95": 100.0}})
    text = shown(summarise(MemorySource([rows], info), info, fakes.totals(rows), Effort(2.0, 1.0, 100.0)))
    line = next(line for line in text.splitlines() if "ttft p95" in line)
    assert line.startswith("✗")
    assert "% turned away" in line


def test_numbers_of_tiers_are_never_cut(fakes: ModuleType) -> None:
    """In 80 columns a long name of a tier gives way, not its numbers."""
    found = summary(fakes, replica_tiers=["metropolitan-edge-cloud", "a", "a"])
    tier = found["by"]["tier"]["metropolitan-edge-cloud"]
    tier["requests"]["completed"], tier["fleet"]["utilisation"] = 12_345_678, 0.1234
    text = shown(found, width=80)
    assert "…" not in text
    assert "12,345,678" in text
    assert max(map(len, text.splitlines())) <= 80
