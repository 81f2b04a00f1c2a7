"""Small scenarios of nothing but nodes and workloads, whose sections the real schema reads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgesim.scenario.workload import Workload as Section
from edgesim.streams import Streams
from edgesim.workload import Workload, build

LOGNORMAL = {"kind": "lognormal", "median": 300, "p95": 2000}


def section(**keys: Any) -> Section:
    """Validate a workload of phones; what a test does not care about is filled in."""
    base: dict[str, Any] = {"from": "phone", "prompt_tokens": 100, "output_tokens": 20}
    if "path" not in keys:
        base["arrivals"] = {"kind": "poisson", "rate": "10/s"}
    return Section.model_validate({**base, **keys})


@pytest.fixture
def make():
    """Build the workloads of a scenario with 20 gateways (nodes 0 to 19) and 10 phones (nodes 20 to 29)."""

    def make(
        workloads: dict[str, dict[str, Any]],
        *,
        duration: float | None = None,
        requests: int | None = None,
        seed: int = 1,
        replication: int = 0,
        phones: int = 10,
    ) -> Workload:
        scenario = SimpleNamespace(
            scenario=SimpleNamespace(duration=duration, requests=requests),
            topology=SimpleNamespace(
                nodes={"gateway": SimpleNamespace(count=20), "phone": SimpleNamespace(count=phones)}
            ),
            workloads={name: section(**keys) for name, keys in workloads.items()},
        )
        return build(scenario, Streams(seed, replication))

    return make


@pytest.fixture
def everything():
    """Join the chunks of a workload."""

    def everything(workload: Workload, size: int = 65_536) -> np.ndarray:
        chunks = list(workload.chunks(size))
        assert all(len(chunk) == size for chunk in chunks[:-1])
        return np.concatenate(chunks) if chunks else np.empty(0)

    return everything
