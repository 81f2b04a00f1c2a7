"""Measured speeds: read, held against the roofline, and explained by parameters that were known beforehand."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from edgesim import catalog
from edgesim.calibrate.point import Point
from edgesim.calibrate.points import fit, largest_batch, read_points
from edgesim.cli import main
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
    assert [(p.metric, p.value, p.batch, p.prompt, p.output, p.depth) for p in found] == [
        ("prefill_tok_s", 4000.0, 1, 512, 0, 0),
        ("decode_tok_s", 90.0, 1, 0, 128, 1024),
    ]
    assert found[0].seconds == pytest.approx(512 / 4000)
    assert found[1].seconds == pytest.approx(1 / 90)


def test_all_kinds_of_wrong_rows_are_told_at_once(tmp_path):
    """What is no number, no metric and no whole number, each by its row."""
    path = tmp_path / "points.csv"
    path.write_text(HEAD + "ttft_ms,nan,1,512,0\nttft_s,10,1,512,0\ntpot_ms,5,1.5,512,9\n")
    with pytest.raises(ScenarioError) as caught:
        read_points(path)
    assert [problem.text.partition(":")[0] for problem in caught.value.problems] == [
        "row 1",
        "row 2",
        "row 3",
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (HEAD + "ttft_ms,10,1,512,0\nttft_s,10,1,512,0", "row 2: metric 'ttft_s' is none of prefill_tok_s"),
        (HEAD + "ttft_ms,0,1,512,0", "row 1: ttft_ms 0 at batch 1 and 512 prompt tokens cannot be"),
        (HEAD + "ttft_ms,5,1,0,0", "row 1: ttft_ms 5 at batch 1 and 0 prompt tokens cannot be"),
        (HEAD + "ttft_ms,nan,1,512,0", "row 1: value is nan, which is no measurement"),
        (HEAD + "ttft_ms,-5,1,512,0", "row 1: value is -5, which cannot be negative"),
        ("metric,value,batch,prompt_len\nttft_ms,5,1,512", "the column 'output_len' is missing"),
        (HEAD + "ttft_ms,5,1,512.7,0", "row 1: prompt_len 512.7 is no whole number"),
        (HEAD + "tpot_ms,5,1.5,512,9", "row 1: batch 1.5 is no whole number"),
        (
            HEAD + "ttft_ms,5,1,512,0\ntpot_ms,5,1,512,9\nttft_ms,5.0,1,512,0.0",
            "row 3: the same point as row 1",
        ),
        (HEAD, "the table holds no row"),
        ('[{"n_prompt": 1}]', "entry 1: no n_prompt, n_gen and avg_ts"),
        ('[{"n_prompt": 9, "n_gen": 0, "avg_ts": NaN}]', "entry 1: avg_ts is nan, which is no speed"),
        ('[{"n_prompt": 9, "n_gen": 0, "avg_ts": 0}]', "entry 1: avg_ts is 0, which is no speed"),
        (
            '[{"n_prompt": 9.5, "n_gen": 0, "avg_ts": 1}]',
            "entry 1: n_prompt 9.5, n_gen 0, n_depth 0 cannot be",
        ),
        ("[1]", "entry 1: no n_prompt, n_gen and avg_ts"),
        (
            '[{"n_prompt": 9, "n_gen": 0, "avg_ts": 1}, {"n_prompt": 9, "n_gen": 0, "avg_ts": 2}]',
            "entry 2: the same point as entry 1",
        ),
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


def test_all_wrong_rows_are_told(tmp_path: Path) -> None:
    """Of one kind of fault, and of a broken compression with the file's name."""
    path = tmp_path / "points.csv"
    path.write_text(HEAD + "foo,5,1,512,0\nttft_ms,0,1,512,0\nbar,5,1,512,0")
    with pytest.raises(ScenarioError) as caught:
        read_points(path)
    assert [problem.text[:6] for problem in caught.value.problems] == ["row 1:", "row 2:", "row 3:"]
    broken = tmp_path / "points.csv.gz"
    broken.write_bytes(gzip.compress(path.read_bytes())[:12] + b"garbage" * 9)
    with pytest.raises(ScenarioError, match="its compression is broken"):
        read_points(broken)


def test_several_machines_are_not_one(tmp_path: Path) -> None:
    """Entries of a llama-bench file are those of the wanted accelerator and LLM, or nobody's."""
    gpus = {"NVIDIA GeForce RTX 4090": 4000.0, "NVIDIA GeForce RTX 3060": 1500.0}
    entries = [
        {"gpu_info": gpu, "model_filename": f"models/{model}", "n_prompt": 512, "n_gen": 0, "avg_ts": speed}
        for gpu, speed in gpus.items()
        for model in ("llama-3.1-8b-f16.gguf", "qwen2.5-1.5b-q4.gguf")
    ]
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(entries))
    assert [(p.row, p.value) for p in read_points(path, "rtx-3060", "llama-3.1-8b")] == [(3, 1500.0)]
    with pytest.raises(
        ScenarioError, match="several gpu_info: NVIDIA GeForce RTX 3060, NVIDIA GeForce RTX 4090"
    ):
        read_points(path, "nvidia-l4", "llama-3.1-8b")
    with pytest.raises(
        ScenarioError, match=r"several model_filename: llama-3.1-8b-f16.gguf, qwen2.5-1.5b-q4.gguf"
    ):
        read_points(path, "rtx-4090", "qwen3-32b")


def test_a_prompt_behind_others_takes_longer() -> None:
    """What the cache holds already is compared with every token of the prompt."""
    cost = step_cost(MACHINE, LLM)
    flat = Point("prefill_tok_s", 1.0, 1, 512, 0, 1)
    assert replace(flat, depth=16_384).predicted(cost) == cost.prefill(512, 16_384).ps / 1e12
    assert replace(flat, depth=16_384).predicted(cost) > 1.2 * flat.predicted(cost)


def test_batches_beyond_the_engine_are_told(tmp_path: Path) -> None:
    """Measured with more sequences than the engine is said to take; where it is not said, it takes as many."""
    points = [Point("tpot_ms", 20.0, 400, 100, 10, 7), Point("ttft_ms", 20.0, 900, 100, 10, 8)]
    assert largest_batch(points, tmp_path, None) == 400
    assert largest_batch(points[1:], tmp_path, None) == 256
    with pytest.raises(ScenarioError, match="row 7: batch 400 is more than max_num_seqs 256"):
        largest_batch(points, tmp_path, 256)


def calibrated(folder: Path, text: str, out: str, *more: str) -> Result:
    (folder / "points.csv").write_text(text)
    given = ("--points", str(folder / "points.csv"), "--accelerator", "rtx-4090", "--llm", "llama-3.1-8b")
    return CliRunner().invoke(main, ["calibrate", "costs", *given, "-o", str(folder / out), *more])


def test_what_is_written_says_how_far_to_trust_it(tmp_path: Path) -> None:
    """Each figure is marked as fitted; limits and rejected rows stand there; the band is what the fit leaves."""
    text = (
        HEAD
        + "tpot_ms,19.2,1,512,128\ntpot_ms,20.5,16,512,128\ntpot_ms,19.6,1,128,64\ndecode_tok_s,250,1,512,128\n"
    )
    result = calibrated(tmp_path, text, "mine.yaml")
    assert result.exit_code == 0, result.output
    written = (tmp_path / "mine.yaml").read_text()
    assert "# Rejected: row 4: takes 4 ms where the peaks allow no less than 14.97 ms\n" in written
    assert "# memory_efficiency ended at its limit" in written
    assert "memory_efficiency ended at its limit" in result.output
    group = yaml.safe_load(written)["accelerators"]["my-rtx-4090"]["figures"][0]
    assert group["confidence"] == "fitted"
    machine = catalog.accelerator_from("mine", yaml.safe_load(written)["accelerators"]["my-rtx-4090"])
    assert machine.figures["memory_efficiency"].confidence == "fitted"
    assert machine.figures["memory_efficiency"].source == "points.csv, llama-3.1-8b (bf16) on rtx-4090"
    assert machine.memory_efficiency == 1.0
    found = fit(read_points(tmp_path / "points.csv"), catalog.accelerator("rtx-4090"), LLM, weights="bf16")
    assert machine.decode_band == pytest.approx(
        max(0.1, np.percentile(np.abs(list(found.errors.values())), 90)), rel=1e-3
    )
    assert found.limits == ("memory_efficiency",)
    assert (tmp_path / "mine.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("out", "more", "complaint"),
    [
        ("mine.png", (), "would be overwritten by the picture; name the entry mine.yaml"),
        ("nowhere/mine.yaml", (), "there is no folder"),
        ("mine.yaml", ("--weights", "fp7"), "no number format 'fp7' for weights; known are fp16"),
        (".", (), "is a folder; -o names the file to write"),
    ],
)
def test_what_cannot_be_written_is_told_at_once(
    tmp_path: Path, out: str, more: tuple[str, ...], complaint: str
) -> None:
    """With the next step, and nothing is written."""
    result = calibrated(tmp_path, HEAD + "tpot_ms,18,1,512,128\n", out, *more)
    assert result.exit_code == 2
    assert complaint in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["points.csv"]
