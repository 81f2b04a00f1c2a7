"""Settings that are given beside a scenario: seed, replications, precision, engine.

How often to run is one question: a number of replications that is given replaces the precision of the scenario, and
the other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesim.scenario.schema import Scenario


def overrides(
    *,
    seed: int | None = None,
    replications: int | None = None,
    precision: str | None = None,
    engine: str | None = None,
) -> list[str]:
    """Write what is given (not None) as overrides of the form `key.path=value`."""
    settings = _settings(seed, replications, precision)
    found = [f"scenario.{name}={'null' if value is None else value}" for name, value in settings.items()]
    return found if engine is None else [*found, f"engine={engine}"]


def changed(
    scenario: Scenario,
    *,
    seed: int | None = None,
    replications: int | None = None,
    precision: str | None = None,
    engine: str | None = None,
) -> Scenario:
    """Change a scenario that is loaded already to what is given (not None)."""
    own = scenario.scenario
    settings = own.model_dump(mode="json") | _settings(seed, replications, precision)
    update = {"scenario": type(own).model_validate(settings), "engine": engine or scenario.engine}
    return scenario.model_copy(update=update)


def _settings(
    seed: int | None, replications: int | None, precision: str | None
) -> dict[str, int | str | None]:
    if replications is not None and precision is not None:
        raise TypeError("a precision decides how many replications there are; leave replications out")
    found: dict[str, int | str | None] = {} if seed is None else {"seed": seed}
    if precision is not None:
        return {**found, "replications": 1, "precision": precision}
    return found if replications is None else {**found, "replications": replications, "precision": None}
