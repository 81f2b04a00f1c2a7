"""Measured costs: exact at what was measured, between it in between, never below the roofline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgesim import catalog
from edgesim.costs.profile import Profile, profile_step_cost, read
from edgesim.costs.step import PS, StepCost
from edgesim.errors import ScenarioError

MS = 1e-3
CONTEXTS = [16, 1024, 16384]


def made_up(**changes: object) -> Profile:
    """A profile of Llama-3.1-8B on an A100, about as slow as the real thing, with kinks that a line has not."""
    counts, chunks, pasts = [0, 1, 8, 64], [16, 512, 2048], [0, 4096]
    profile = Profile(
        accelerator="nvidia-a100-80gb-sxm",
        llm="llama-3.1-8b",
        weights="fp16",
        engine="made up",
        source="made up",
        tokens=[1, 64, 2048],
        linear=[10 * MS, 11 * MS, 160 * MS],
        sequences=[1, 64],
        head=[0.7 * MS, 1.0 * MS],
        decode_sequences=counts[1:],
        decode_contexts=CONTEXTS,
        decode=[[n * (0.02 + c**0.95 / 7000) * MS for c in CONTEXTS] for n in counts[1:]],
        chunks=chunks,
        pasts=pasts,
        mixed_sequences=counts,
        mixed_contexts=CONTEXTS,
        mixed=[
            [
                [[(0.3 + s * (s + 2 * p) / 4e4 + n * c / 5e3) * MS for c in CONTEXTS] for n in counts]
                for p in pasts
            ]
            for s in chunks
        ],
    )
    return replace(profile, **changes)


def cost_of(profile: Profile, **given: object) -> StepCost:
    """Step costs of a profile on its own hardware."""
    return profile_step_cost(
        catalog.accelerator(profile.accelerator), catalog.llm(profile.llm), profile, **given
    )


@pytest.mark.parametrize("n", [1, 8, 64])
@pytest.mark.parametrize("context", CONTEXTS)
def test_decodes_take_what_was_measured(n: int, context: int) -> None:
    """Linear layers, head and attention add up, at every measured size."""
    profile = made_up(step_overhead=2 * MS, sequence_overhead=0.01 * MS)
    attention = profile.decode[profile.decode_sequences.index(n)][CONTEXTS.index(context)]
    whole = np.interp(n, profile.tokens, profile.linear) + np.interp(n, profile.sequences, profile.head)
    expected = whole + attention + (2 + 0.01 * n) * MS
    assert cost_of(profile).decode(n, n * context).ps / PS == pytest.approx(expected, rel=1e-5)


def test_between_measured_sizes_times_are_interpolated() -> None:
    """Half-way between two contexts lies half-way between two times; beyond the last it goes on."""
    cost = cost_of(made_up())
    times = [cost.decode(8, 8 * context).ps for context in (1024, 8704, 16384, 24064)]
    assert times[1] == pytest.approx((times[0] + times[2]) / 2, rel=1e-5)
    assert times[3] - times[2] == pytest.approx(times[2] - times[1], rel=1e-5)


def test_prompts_take_what_was_measured() -> None:
    """A chunk beside decodes, at measured sizes; a second chunk adds what it takes alone beyond the smallest."""
    profile, cost = made_up(), cost_of(made_up())
    joint, alone, least = profile.mixed[1][1][2][1], profile.mixed[0][1][0][0], profile.mixed[0][0][0][0]
    whole = np.interp(520, profile.tokens, profile.linear) + np.interp(9, profile.sequences, profile.head)
    step = cost.mixed(520, decode_context=8 * 1024, sampled=9, chunks=((512, 4096),))
    assert step.ps / PS == pytest.approx(whole + joint, rel=1e-6)
    more = cost.mixed(536, decode_context=8 * 1024, sampled=9, chunks=((16, 4096), (512, 4096)))
    growth = np.interp(536, profile.tokens, profile.linear) - np.interp(520, profile.tokens, profile.linear)
    assert (more.ps - step.ps) / PS == pytest.approx(growth + alone - least, rel=1e-6)


def test_no_step_beats_the_roofline_and_no_use_exceeds_the_peaks() -> None:
    """A profile that promises too much is held at the peak of arithmetic and of bandwidth."""
    boast = made_up(
        linear=[1e-9] * 3,
        head=[1e-9] * 2,
        decode=[[1e-9] * 3] * 3,
        mixed=(np.ones((3, 2, 4, 3)) * 1e-9).tolist(),
    )
    cost = cost_of(boast)
    for step in (cost.decode(1, 500), cost.decode(64, 64 * 9000), cost.prefill(2000), cost.prefill(64, 9000)):
        seconds = step.ps / PS
        assert step.work * cost.work_unit <= cost.peak_flops * seconds * (1 + 1e-9)
        assert step.kib * 1024 <= cost.peak_bandwidth * seconds * (1 + 1e-9)
    assert cost.decode(1, 500).ps / PS >= 15e9 / 2.04e12


def test_energy_is_base_power_and_what_is_moved_under_a_cap() -> None:
    """A step draws at least its base power and at most the cap, whichever kind it is."""
    cost = cost_of(made_up())
    for step in (cost.decode(1, 500), cost.decode(64, 64 * 9000), cost.prefill(2000), cost.prefill(64, 9000)):
        watts = step.nj * 1e-9 / (step.ps / PS)
        assert cost.base_mw * 0.999e-3 <= watts <= cost.cap_mw * 1.001e-3


def test_a_profile_survives_its_file(tmp_path: Path) -> None:
    """What is written is read."""
    path = tmp_path / "mine.json"
    path.write_text(made_up().text())
    assert read(str(path)) == made_up()
    assert cost_of(read(str(path))).calibration == "profile mine, made up"


def test_extrapolation_is_told() -> None:
    """Costs say what they do not know."""
    (note,) = cost_of(made_up(), max_batched_tokens=4096, context=20_000).notes
    assert note == (
        "profile nvidia-a100-80gb-sxm extrapolates steps of more than 2,048 tokens, batches of more than 64, "
        "contexts beyond 16,384 tokens"
    )
    assert cost_of(made_up(), max_num_seqs=64, context=16_000).notes == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "'p.json' is no profile: not valid JSON: "),
        ("[]", "'p.json' is no profile; `edgesim calibrate costs` writes one"),
        (
            made_up().text().replace('"linear"', '"lineal"'),
            "'p.json' is no profile of this version: check the key 'line",
        ),
        (made_up(linear=[1.0]).text(), "'p.json': 'linear' must have 3 entries"),
        (made_up(head=[1.0, -1.0]).text(), "'p.json': 'head' holds an entry that is no time"),
        (
            made_up(tokens=[1, 1, 2]).text(),
            "'p.json': the axes of 'linear' need two or more ascending entries",
        ),
    ],
)
def test_files_that_are_no_profile(
    text: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is refused in a sentence."""
    monkeypatch.chdir(tmp_path)
    Path("p.json").write_text(text)
    read.cache_clear()
    with pytest.raises(ScenarioError) as caught:
        read("p.json")
    assert caught.value.problems[0].text.startswith(complaint)


@pytest.mark.parametrize(
    ("changes", "given", "complaint"),
    [
        ({"llm": "qwen2.5-7b"}, {}, "llm 'qwen2.5-7b', the deployment has 'llama-3.1-8b'"),
        ({}, {"weights": "int8"}, "weights 'fp16', the deployment has 'int8'"),
    ],
)
def test_a_profile_of_something_else_is_refused(
    changes: dict[str, object], given: dict[str, object], complaint: str
) -> None:
    """It says what it was measured with, and what is deployed."""
    accelerator, llm = catalog.accelerator("nvidia-a100-80gb-sxm"), catalog.llm("llama-3.1-8b")
    with pytest.raises(ScenarioError, match=complaint):
        profile_step_cost(accelerator, llm, made_up(**changes), **given)
