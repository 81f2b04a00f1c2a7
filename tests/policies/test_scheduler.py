"""In which order the built-in schedulers start waiting requests."""

from __future__ import annotations

import pytest

from edgesim import registry

from .fakes import Replica, Request, System

REQUESTS = [
    Request(id=0, priority=2, predicted_output_tokens=30, deadline_at=None),
    Request(id=1, priority=0, predicted_output_tokens=90, deadline_at=8.0),
    Request(id=2, priority=1, predicted_output_tokens=10, deadline_at=5.0),
    Request(id=3, priority=1, predicted_output_tokens=30, deadline_at=None),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fcfs", [0, 1, 2, 3]),
        ("priority", [1, 2, 3, 0]),
        ("shortest-predicted-first", [2, 0, 3, 1]),
        ("earliest-deadline", [2, 1, 0, 3]),
    ],
)
def test_order(name, expected):
    """Smaller ranks start first, equal ones as they came."""
    policy = registry.build("scheduler", name)
    ranked = sorted(REQUESTS, key=lambda request: policy.rank(request, Replica("edge"), System()))
    assert expected == [request.id for request in ranked]
