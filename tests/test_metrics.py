"""Tests of the metric definitions."""

from __future__ import annotations

import numpy as np
import pytest

from edgesim.metrics import METRICS
from edgesim.results.columns import REQUEST_COLUMNS

COLUMNS = {
    "arrived_at": np.array([10.0]),
    "first_token_server_at": np.array([10.9]),
    "first_token_at": np.array([11.0]),
    "finished_at": np.array([13.0]),
    "decision": np.array([0.01]),
    "uplink": np.array([0.1]),
    "backoff": np.array([0.2]),
    "queue": np.array([0.25]),
    "prefill": np.array([0.34]),
    "decode": np.array([1.9]),
    "stall": np.array([0.05]),
    "downlink": np.array([0.15]),
    "prompt_tokens": np.array([300.0]),
    "cached_tokens": np.array([100.0]),
    "output_tokens": np.array([5.0]),
    "energy_j": np.array([7.0]),
    "cost_usd": np.array([0.002]),
    "carbon_g": np.array([0.3]),
    "quality": np.array([0.9]),
}

EXPECTED = {
    "ttft": 1.0,
    "ttft_server": 0.59,
    "tpot": 0.5,
    "e2e": 3.0,
    "normalized_latency": 0.6,
    "queue_time": 0.25,
    "network_time": 0.25,
    "prefill_time": 0.34,
    "decode_time": 1.9,
    "stall_time": 0.05,
    "decision_time": 0.01,
    "backoff_time": 0.2,
    "prompt_tokens": 300.0,
    "cached_tokens": 100.0,
    "output_tokens": 5.0,
    "energy": 7.0,
    "cost": 0.002,
    "carbon": 0.3,
    "quality": 0.9,
}


def test_every_metric_has_a_known_answer_here() -> None:
    """A metric that is added needs an example."""
    assert set(EXPECTED) == set(METRICS)


@pytest.mark.parametrize("name", EXPECTED)
def test_formula(name: str) -> None:
    """Each formula gives the worked value, and leaves the columns alone."""
    before = {column: values.copy() for column, values in COLUMNS.items()}
    assert METRICS[name].formula(COLUMNS)[0] == pytest.approx(EXPECTED[name])
    assert all((COLUMNS[column] == values).all() for column, values in before.items())


def test_tpot_of_one_token_is_missing() -> None:
    """There is no gap between the tokens of a reply of one token, nor in a reply of none."""
    columns = {
        "finished_at": np.array([2.0, 2.0, 2.0, 3.0]),
        "first_token_at": np.array([2.0, 1.0, 1.0, 2.0]),
        "output_tokens": np.array([1.0, 0.0, 1.0, 2.0]),
    }
    found = METRICS["tpot"].formula(columns)
    assert np.isnan(found[:3]).all()
    assert found[3] == 1.0


def test_tpot_of_a_reply_in_one_piece_is_missing() -> None:
    """A reply that is not streamed shows the client no gaps: missing, not 0."""
    columns = {
        "finished_at": np.array([2.0]),
        "first_token_at": np.array([2.0]),
        "output_tokens": np.array([50.0]),
    }
    assert np.isnan(METRICS["tpot"].formula(columns)).all()


def test_normalized_latency_without_output_is_missing() -> None:
    """An encoder answers without tokens."""
    columns = {name: np.array([1.0]) for name in ("finished_at", "arrived_at")} | {
        "output_tokens": np.array([0.0])
    }
    assert np.isnan(METRICS["normalized_latency"].formula(columns)).all()


def test_columns_and_units_agree_with_the_table() -> None:
    """Metrics use columns that exist; the ones that copy a column have its unit."""
    units = {column.name: column.unit for column in REQUEST_COLUMNS}
    for metric in METRICS.values():
        assert set(metric.columns) <= set(units), metric.name
        assert metric.text
        assert all(column in metric.written for column in metric.columns)
        if metric.written in units:
            assert metric.unit == units[metric.written]
