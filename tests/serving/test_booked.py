"""Tests of the table of steps: both engines tell the same, and it adds up to what replicas count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import edgesim
from edgesim.arena import rows
from edgesim.serving import booked, engine

SCENARIO: dict[str, Any] = {
    "scenario": {"name": "steps", "seed": 5, "duration": "60 s"},
    "topology": {
        "nodes": {
            "phone": {"tier": "device", "count": 3, "accelerator": "snapdragon-8-gen3", "thermal": True},
            "edge": {"tier": "edge", "accelerator": "nvidia-l4"},
        },
        "links": [{"between": ["phone", "edge"], "kind": "wifi-6"}],
    },
    "deployments": [
        {"llm": "llama-3.2-1b", "weights": "int4", "on": "phone"},
        {"llm": "llama-3.1-8b", "weights": "int8", "on": "edge", "max_num_seqs": 6},
    ],
    "workloads": {
        "chat": {
            "from": "phone",
            "arrivals": {"kind": "poisson", "rate": "2/s"},
            "prompt_tokens": {"kind": "uniform", "low": 20, "high": 900},
            "output_tokens": {"kind": "uniform", "low": 2, "high": 200},
        }
    },
    "policies": {"router": "random"},
    "energy": {"tick": "200 ms"},
    "output": {"tables": ["requests", "steps"]},
}


def steps_of(which: str) -> pd.DataFrame:
    """The steps that an engine tells, in one order."""
    run: Any = edgesim.simulate({**SCENARIO, "engine": which})
    return run.steps.sort_values(["replica", "began_at"], ignore_index=True)


def test_both_engines_tell_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where heat changes speeds again and again, and where rows are handed over often."""
    twin = steps_of("reference")
    assert len(twin) > 2000
    assert (twin.whole == 0).any()
    pd.testing.assert_frame_equal(steps_of("kernel"), twin)
    monkeypatch.setattr(engine, "RECORD_ROWS", 4)
    monkeypatch.setattr(booked, "AT_ONCE", 7)
    pd.testing.assert_frame_equal(steps_of("kernel"), twin)


def test_steps_add_up_to_the_run() -> None:
    """Their energy is that of all requests, the tokens of whole ones are those that were read and made."""
    run: Any = edgesim.simulate(SCENARIO)
    steps, requests = run.steps, run.requests
    assert steps.energy_j.sum() == pytest.approx(run.summary["energy_j"]["dynamic"], rel=1e-9)
    done = requests[requests.status == "completed"]
    assert steps.prefill_tokens.sum() >= done.prompt_tokens.sum()
    assert steps.decodes.sum() >= (done.output_tokens - 1).sum()
    for _, one in steps.groupby("replica", observed=True):
        assert (one.began_at.to_numpy()[1:] >= one.ended_at.to_numpy()[:-1]).all()
        assert (one.ended_at > one.began_at).all()


def test_steps_that_were_booked_together() -> None:
    """Three steps of two tokens, each longer and dearer than the one before, then a part of one that broke off."""
    told = np.zeros(2, rows.BOOKED)
    told[0] = (4, 100, 10, 3, 3, 2, 2, 7, 2, 1)
    told[1] = (4, 139, 5, 0, 1, 2, 2, 4, 0, 0)
    assert np.concatenate(list(booked.single_steps(told))).tolist() == [
        (4, 100, 110, 0, 2, 6, 1),
        (4, 110, 123, 0, 2, 8, 1),
        (4, 123, 139, 0, 2, 10, 1),
        (4, 139, 144, 0, 2, 4, 0),
    ]
    assert list(booked.single_steps(told[:0])) == []
