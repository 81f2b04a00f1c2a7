"""Presets: what they measure on systems whose numbers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgesim.cli import main
from edgesim.errors import ScenarioError
from edgesim.results.folder import write_json
from edgesim.scenario import load
from edgesim.studies.presets import CONSTRAINTS, constraints, rank_above, report_card
from edgesim.verify.capacity import SERVICE, rate_of_quantile, scenario


def box(**sections: Any) -> dict[str, Any]:
    """One request at a time, each in the same time."""
    return scenario({}, 1000) | sections


def test_one_request_after_the_other_takes_the_service_time() -> None:
    card = report_card(box(), ["single-stream"], duration=200.0)
    (grade,) = card.grades
    assert grade.value == pytest.approx(SERVICE, rel=1e-9)
    assert grade.high == pytest.approx(SERVICE, rel=1e-9)
    assert "500 requests" in grade.text or "499 requests" in grade.text
    assert any("shorter than the 600 s" in note for note in grade.notes)


def test_all_requests_at_once_leave_at_the_service_rate() -> None:
    (grade,) = report_card(box(), ["offline"], samples=300).grades
    assert grade.value == pytest.approx(1 / SERVICE, rel=1e-3)
    assert any("fewer than the 24,576" in note for note in grade.notes)


def test_the_server_keeps_its_constraints() -> None:
    """With a TTFT of a step after the wait, M/D/1's wait is what limits."""
    card = report_card(box(), ["server"], slo=["ttft.p90=1 s"], duration=4000.0, looks=(4, 8, 16))
    (grade,) = card.grades
    assert grade.value == pytest.approx(rate_of_quantile(1.0, 0.9), rel=0.04)
    assert card.server is not None
    assert {one.name for one in card.server.criteria} == {"ttft_p90"}
    assert "ttft p90 <= 1 s" in grade.text


def test_constraints_are_those_of_the_llm() -> None:
    made = box()
    made["deployments"] = [{"llm": "llama-3.1-8b", "on": "box"}]
    assert constraints(load(made), "load") == ((2.0, 0.1), [])
    other, notes = constraints(load(box()), "load")
    assert other == CONSTRAINTS["llama-2-70b"]
    assert "llama-3.2-1b is no benchmark" in notes[0]


@pytest.mark.parametrize(("count", "share"), [(50, 0.9), (500, 0.9), (1000, 0.99)])
def test_the_bound_of_a_percentile_holds_as_often_as_it_says(count: int, share: float) -> None:
    rank = rank_above(count, share, 0.99)
    assert rank is not None
    random = np.random.default_rng(1)
    below = (random.random((20_000, count)) < share).sum(axis=1)  # how many lie below the true percentile
    holds = (below < rank).mean()  # the k-th smallest lies above it
    assert holds >= 0.988
    assert (below < rank - 1).mean() < 0.99  # and no smaller rank would do


def test_too_few_values_have_no_bound() -> None:
    assert rank_above(43, 0.9, 0.99) is None  # 0.9^43 = 0.0108
    assert rank_above(44, 0.9, 0.99) == 44


def test_several_workloads_ask_for_a_choice() -> None:
    made = box()
    made["workloads"]["other"] = made["workloads"]["load"]
    with pytest.raises(ScenarioError, match="several workloads"):
        report_card(made, ["offline"], samples=10)
    assert report_card(made, ["offline"], samples=10, workload="other").workload == "other"


def test_a_run_of_no_length_is_refused() -> None:
    """And not replaced by one of 600 s."""
    with pytest.raises(ScenarioError, match="longer than 0 s"):
        report_card(box(), ["server"], duration=0.0)


def test_traces_are_not_asked_one_by_one(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(
        "arrived_at,prompt_tokens,output_tokens\n" + "".join(f"{i},10,400\n" for i in range(100))
    )
    made = box(workloads={"load": {"from": "box", "path": str(trace)}})
    single, offline = report_card(made, ["single-stream", "offline"], samples=50).grades
    assert "not measured" in single.text
    assert offline.value == pytest.approx(1 / SERVICE, rel=1e-3)


def test_the_report_card_is_printed_and_stored(tmp_path: Path) -> None:
    file = tmp_path / "md1.yaml"
    file.write_text(load(box()).resolved_yaml())
    options = ["--preset", "all", "--duration", "400 s", "--samples", "100", "-n", "4", "--tolerance", "30%"]
    shown = CliRunner().invoke(
        main, ["capacity", str(file), *options, "-o", str(tmp_path / "card")], catch_exceptions=False
    )
    assert shown.exit_code == 0
    for word in ("single-stream", "server", "offline", "not a result under its rules"):
        assert word in shown.stdout
    card = json.loads((tmp_path / "card" / "report-card.json").read_text())
    assert [grade["preset"] for grade in card["grades"]] == ["single-stream", "server", "offline"]
    assert (tmp_path / "card" / "server" / "curve.png").stat().st_size > 5000


def test_a_report_card_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it measure before it knows where to."""
    monkeypatch.chdir(tmp_path)
    Path("md1.yaml").write_text(load(box()).resolved_yaml())
    Path("file").touch()
    write_json(Path("manifest.json"), {"format": 1, "kind": "run"})
    command = ["capacity", "md1.yaml", "--preset", "offline", "--samples", "20", "-q", "-o"]
    for out, text in (
        ("file", "'file' is a file"),
        (".", "holds a run, not a report card"),
        ("card", ""),
        ("card", "holds an earlier report card; --force replaces it"),
    ):
        found = CliRunner().invoke(main, [*command, out])
        assert (found.exit_code, text in found.stderr) == (2 if text else 0, True), found.output
    assert CliRunner().invoke(main, [*command, "card", "--force"]).exit_code == 0
