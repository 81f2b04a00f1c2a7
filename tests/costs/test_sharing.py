"""A profile laid over another number of accelerators than it was measured with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgesim import catalog
from edgesim.costs.profile import Profile, profile_step_cost
from edgesim.costs.sharing import WIDER, multiplied, shared

MACHINE, LLM = catalog.accelerator("nvidia-h100-sxm"), catalog.llm("llama-3.1-8b")

ONE = Profile(
    accelerator=MACHINE.name,
    llm=LLM.name,
    weights="bf16",
    engine="made up",
    source="made up",
    tokens=[1, 64, 2048],
    linear=[8e-3, 9e-3, 40e-3],
    sequences=[1, 64],
    head=[0.5e-3, 0.8e-3],
    decode_sequences=[1, 64],
    decode_contexts=[16, 8192],
    decode=[[0.2e-3, 1.0e-3], [0.4e-3, 30e-3]],
    chunks=[16, 2048],
    pasts=[0, 4096],
    mixed_sequences=[0, 64],
    mixed_contexts=[16, 8192],
    mixed=[[[[0.3e-3, 0.3e-3], [0.6e-3, 31e-3]]] * 2, [[[6e-3, 6e-3], [7e-3, 40e-3]]] * 2],
)


def test_times_are_divided_and_joined() -> None:
    """Linear layers: what layers take anyhow stays, the rest halves, two all-reduces a layer are added."""
    two = shared(ONE, MACHINE, LLM, 2)
    kept = LLM.layers * MACHINE.layer_overhead
    tokens = np.array(ONE.tokens)
    moved = tokens * LLM.hidden * 2 / MACHINE.interconnect
    joined = 2 * LLM.layers * (MACHINE.interconnect_latency + moved)
    assert two.linear == pytest.approx(kept + (np.array(ONE.linear) - kept) / 2 + joined, rel=1e-9)
    assert two.tensor_parallel == 2
    assert two.error_band == pytest.approx(ONE.error_band + WIDER)
    least = ONE.decode[0][0]
    assert np.array(two.decode) == pytest.approx(least + (np.array(ONE.decode) - least) / 2)


def test_there_and_back_again() -> None:
    """What was divided for two and is laid over one is what it was."""
    back = shared(shared(ONE, MACHINE, LLM, 2), MACHINE, LLM, 1)
    assert back.linear == pytest.approx(ONE.linear)
    assert np.array(back.mixed) == pytest.approx(np.array(ONE.mixed))
    assert shared(ONE, MACHINE, LLM, 1) is ONE


def test_heads_that_are_copied_are_not_divided() -> None:
    """More accelerators than heads of keys and values: each keeps a whole head."""
    eight, sixteen = (np.array(shared(ONE, MACHINE, LLM, n).decode) for n in (8, 16))
    assert eight[1, 1] < ONE.decode[1][1] / 6
    assert sixteen == pytest.approx(eight)


def test_a_deployment_may_share_a_profile() -> None:
    """Steps are faster, the band is wider, and a note says that nothing of it was measured."""
    one, two = (profile_step_cost(MACHINE, LLM, ONE, tensor_parallel=n) for n in (1, 2))
    assert 0.45 < two.decode_ps(32, 32 * 2048) / one.decode_ps(32, 32 * 2048) < 0.7
    assert two.error_band > one.error_band
    assert not any("divided" in note for note in one.notes)
    assert two.notes[0] == (
        f"profile {MACHINE.name} was measured with tensor_parallel 1; its times are divided for 2, "
        "and all-reduces estimated"
    )
    measured = profile_step_cost(MACHINE, LLM, replace(ONE, tensor_parallel=2), tensor_parallel=2)
    assert not any("divided" in note for note in measured.notes)


def test_a_factor_slows_all_measured_times() -> None:
    """But not what the host adds."""
    slow = multiplied(ONE, 1.5)
    assert np.array(slow.mixed) == pytest.approx(1.5 * np.array(ONE.mixed))
    assert multiplied(ONE, 1) is ONE
    plain, slower = (
        profile_step_cost(MACHINE, LLM, ONE, step_overhead=5e-3, time_factor=factor).decode_ps(8, 8192)
        for factor in (1.0, 1.5)
    )
    assert slower - 5e9 == pytest.approx(1.5 * (plain - 5e9), rel=1e-4)
