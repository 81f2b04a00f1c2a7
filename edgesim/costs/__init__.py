"""Cost models: what a step of a replica takes in time, energy, work and traffic, and what fits into memory.

`build` turns a deployment into the integer tables the engines read. Names load what they need on first use,
so that checking whether an LLM fits does not import numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edgesim.costs.linear import Coefficients, linear_step_cost
    from edgesim.costs.llm import active_parameters, kv_bytes_per_token, parameters, weights_bytes
    from edgesim.costs.memory import Fit, fit, kv_blocks
    from edgesim.costs.replica import build
    from edgesim.costs.roofline import Efficiency, step_cost
    from edgesim.costs.step import Step, StepCost

_HOMES: Final = {
    "build": "replica",
    "Coefficients": "linear",
    "linear_step_cost": "linear",
    "active_parameters": "llm",
    "kv_bytes_per_token": "llm",
    "parameters": "llm",
    "weights_bytes": "llm",
    "Fit": "memory",
    "fit": "memory",
    "kv_blocks": "memory",
    "Efficiency": "roofline",
    "step_cost": "roofline",
    "Step": "step",
    "StepCost": "step",
}

__all__ = [
    "Coefficients",
    "Efficiency",
    "Fit",
    "Step",
    "StepCost",
    "active_parameters",
    "build",
    "fit",
    "kv_blocks",
    "kv_bytes_per_token",
    "linear_step_cost",
    "parameters",
    "step_cost",
    "weights_bytes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
