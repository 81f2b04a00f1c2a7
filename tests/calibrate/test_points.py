"""Measured speeds: read, held against the roofline, and explained by parameters that were known beforehand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgesim import catalog
from edgesim.calibrate.points import Point, fit, read_points
from edgesim.costs.roofline import Efficiency, step_cost
from edgesim.errors import ScenarioError, SimulationError

MACHINE = catalog.accelerator("nvidia-a100-80gb-sxm")
LLM = catalog.llm("llama-3.1-8b")
HEAD = "metric,value,batch,prompt_len,output_len\n"


def points_of(noise: float = 0.0, **truth: float) -> list[Point]:
    """Speeds of a machine with known parameters, with alternating errors."""
    share = MACHINE.attention_efficiency / MACHINE.compute_efficiency
    given = Efficiency(**truth, attention_efficiency=truth["compute_efficiency"] * share)
    cost = step_cost(MACHINE, LLM, efficiency=given)
    wanted = [("ttft_ms", 1, prompt, 1) for prompt in (128, 512, 2048, 8192)]
    wanted += [("tpot_ms", batch, context, 100) for batch in (1, 8, 64) for context in (200, 2000)]
    found = []
    for row, (metric, batch, prompt, output) in enumerate(wanted, 1):
        blank = Point(metric, 1.0, batch, prompt, output, row)
        found.append(replace(blank, value=1e3 * blank.predicted(cost) * (1 + noise * (-1) ** row)))
    return found


def test_known_parameters_are_found() -> None:
    """Efficiencies and overhead of a made-up machine, exactly, and within what errors of 3 % allow."""
    truth = {"compute_efficiency": 0.41, "memory_efficiency": 0.66, "step_overhead": 3e-3}
    found = fit(points_of(**truth), MACHINE, LLM)
    assert found.values == pytest.approx(truth, rel=0.01)
    assert max(abs(error) for error in found.errors.values()) < 1e-3
    assert not found.rejected
    near = fit(points_of(0.03, **truth), MACHINE, LLM).values
    assert near.pop("step_overhead") == pytest.approx(truth.pop("step_overhead"), abs=2e-3)
    assert near == pytest.approx(truth, rel=0.15)


def test_an_outlier_does_not_bend_the_fit() -> None:
    """One measurement that is three times too slow among ten."""
    truth = {"compute_efficiency": 0.5, "memory_efficiency": 0.7, "step_overhead": 2e-3}
    points = points_of(**truth)
    points[6] = replace(points[6], value=points[6].value * 3)
    near = fit(points, MACHINE, LLM).values
    assert near.pop("step_overhead") == pytest.approx(truth.pop("step_overhead"), abs=1e-3)
    assert near == pytest.approx(truth, rel=0.1)


def test_points_beyond_the_roof_are_rejected_and_named() -> None:
    """A speed that no efficiency explains is left out, and the others decide."""
    truth = {"compute_efficiency": 0.5, "memory_efficiency": 0.7, "step_overhead": 1e-3}
    points = points_of(**truth)
    wrong = Point("decode_tok_s", 5000.0, 1, 100, 100, 99)
    found = fit([*points, wrong], MACHINE, LLM)
    assert list(found.rejected) == [wrong]
    assert found.rejected[wrong].startswith("row 99: takes 0.2 ms where the peaks allow no less than")
    assert found.values == pytest.approx(truth, rel=0.02)
    with pytest.raises(SimulationError, match="no point is left to fit; row 99"):
        fit([wrong], MACHINE, LLM)


def test_a_fit_that_explains_nothing_is_refused() -> None:
    """Speeds of another machine altogether: fast for batches, slow for one."""
    points = [
        Point("tpot_ms", 1000.0, 1, 100, 10, 1),
        Point("tpot_ms", 12.0, 64, 100, 10, 2),
        Point("tpot_ms", 4000.0, 2, 100, 10, 3),
        Point("tpot_ms", 13.0, 32, 100, 10, 4),
    ]
    with pytest.raises(SimulationError, match="does not converge"):
        fit(points, MACHINE, LLM)


def test_llama_bench(tmp_path: Path) -> None:
    """Prompts and replies apart; both together say nothing about either."""
    entries = [
        {"n_prompt": 512, "n_gen": 0, "avg_ts": 4000.0},
        {"n_prompt": 0, "n_gen": 128, "avg_ts": 90.0, "n_depth": 1024},
        {"n_prompt": 512, "n_gen": 128, "avg_ts": 500.0},
    ]
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(entries))
    found = read_points(path)
    assert [(p.metric, p.value, p.batch, p.prompt, p.output) for p in found] == [
        ("prefill_tok_s", 4000.0, 1, 512, 0),
        ("decode_tok_s", 90.0, 1, 1024, 128),
    ]
    assert found[0].seconds == pytest.approx(512 / 4000)
    assert found[1].seconds == pytest.approx(1 / 90)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (HEAD + "ttft_ms,10,1,512,0\nttft_s,10,1,512,0", "row 2: metric 'ttft_s' is none of prefill_tok_s"),
        (HEAD + "ttft_ms,0,1,512,0", "row 1: ttft_ms 0 at batch 1 and 512 prompt tokens cannot be"),
        (HEAD + "ttft_ms,5,1,0,0", "row 1: ttft_ms 5 at batch 1 and 0 prompt tokens cannot be"),
        (HEAD + "ttft_ms,nan,1,512,0", "row 1: value is nan, which is no measurement"),
        (HEAD + "ttft_ms,-5,1,512,0", "row 1: value is -5, which cannot be negative"),
        ("metric,value,batch,prompt_len\nttft_ms,5,1,512", "the column 'output_len' is missing"),
        (HEAD, "the table holds no row"),
        ('[{"n_prompt": 1}]', "entry 1: no n_prompt, n_gen and avg_ts"),
        ("[]", "the file holds no measurement"),
        ("[", "not valid JSON"),
    ],
)
def test_wrong_points_are_told(tmp_path: Path, content: str, complaint: str) -> None:
    """By file and row."""
    path = tmp_path / "points"
    path.write_text(content)
    with pytest.raises(ScenarioError) as caught:
        read_points(path)
    problem: Any = caught.value.problems[0]
    assert problem.text.startswith(complaint)
    assert problem.file == str(path)
