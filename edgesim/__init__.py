"""edgesim: discrete-event simulation of LLM serving across devices, edge servers and clouds.

    import edgesim

    run = edgesim.simulate("quickstart")
    run.summary["metrics"]["ttft"]["p95"]
    run.requests.groupby("tier").energy_j.mean()

Names are imported when they are first used, so that `import edgesim` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesim import policies
    from edgesim.errors import EdgesimError
    from edgesim.experiment import simulate
    from edgesim.policies import compiled
    from edgesim.results import Run, RunSet, Sweep, load
    from edgesim.results.capacity import Capacity
    from edgesim.scenario import Scenario
    from edgesim.scenario.load import load as load_scenario
    from edgesim.studies.capacity import capacity
    from edgesim.studies.comparison import Comparison, compare
    from edgesim.studies.sweep import sweep

__version__ = "0.1.0"

__all__ = [
    "Capacity",
    "Comparison",
    "EdgesimError",
    "Run",
    "RunSet",
    "Scenario",
    "Sweep",
    "__version__",
    "capacity",
    "compare",
    "compiled",
    "load",
    "load_scenario",
    "policies",
    "simulate",
    "sweep",
]

_HOMES = {
    "Comparison": ("edgesim.results.comparison", "Comparison"),
    "Capacity": ("edgesim.results.capacity", "Capacity"),
    "EdgesimError": ("edgesim.errors", "EdgesimError"),
    "Run": ("edgesim.results", "Run"),
    "RunSet": ("edgesim.results", "RunSet"),
    "Scenario": ("edgesim.scenario", "Scenario"),
    "compare": ("edgesim.studies.comparison", "compare"),
    "capacity": ("edgesim.studies.capacity", "capacity"),
    "Sweep": ("edgesim.results", "Sweep"),
    "compiled": ("edgesim.policies", "compiled"),
    "load": ("edgesim.results", "load"),
    "load_scenario": ("edgesim.scenario", "load"),
    "simulate": ("edgesim.experiment", "simulate"),
    "sweep": ("edgesim.studies.sweep", "sweep"),
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name == "policies":
        return import_module("edgesim.policies")
    if name not in _HOMES:
        raise AttributeError(f"module 'edgesim' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
