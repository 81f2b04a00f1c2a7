"""A measured serving run, simulated again: side by side, and fitted where costs are not known well enough."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.calibrate.logs import Log, metrics_of
from edgesim.errors import SimulationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

METRICS: Final = ("ttft", "tpot", "e2e")
STATISTICS: Final = ("mean", "p50", "p90")

LIMITS: Final = {
    "compute_efficiency": (0.02, 1.0),
    "memory_efficiency": (0.02, 1.0),
    "step_overhead": (1e-6, 0.1),
    "sequence_overhead": (1e-8, 1e-3),
}
"""Bounds of what is fitted."""

MOST_RUNS: Final = 90
"""Simulations that a fit may take."""

TOO_FAR: Final = 0.5
"""A fit that leaves a larger mean error of the logarithms has not converged."""


@dataclass
class Replica:
    """What served the run.

    Attributes:
        accelerator: Name in the catalogue.
        llm: Name in the catalogue.
        deployment: Engine settings, as keys of a deployment.
        costs: The cost model, as in a deployment.
    """

    accelerator: str
    llm: str
    deployment: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, Any] = field(default_factory=lambda: {"kind": "roofline"})

    def scenario(self, trace: str, costs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The scenario that replays a trace on it."""
        parallel = int(self.deployment.get("tensor_parallel", 1))
        deployed = {"llm": self.llm, "on": "server", "watermark": "0 %", **self.deployment}
        return {
            "scenario": {"name": "replay"},
            "topology": {
                "nodes": {
                    "server": {"tier": "cloud", "accelerator": self.accelerator, "accelerators": parallel}
                }
            },
            "deployments": [deployed | {"costs": dict(costs or self.costs)}],
            "workloads": {"log": {"from": "server", "path": trace}},
        }


def write_trace(log: Log, path: Path) -> None:
    """Write a log's requests as a trace that workloads read."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arrived_at", "prompt_tokens", "output_tokens"])
        for arrived, prompt, output in zip(log.arrived, log.prompt, log.output, strict=True):
            writer.writerow([f"{arrived:.9f}", prompt, output])


@dataclass(frozen=True)
class Simulated:
    """A log as it was simulated: the same metrics by request, and the load of the replica over time.

    Attributes:
        metrics: TTFT, TPOT and end-to-end time by request [s].
        load: Time [s], running and waiting requests, and the share of the KV cache in use, a row a second.
        calibration: Which costs it used.
        error_band: Their stated relative error.
    """

    metrics: dict[str, NDArray[np.float64]]
    load: NDArray[np.float64]
    calibration: str
    error_band: float


def simulate_log(
    log: Log, replica: Replica, trace: Path, costs: Mapping[str, Any] | None = None
) -> Simulated:
    """Simulate a log that `write_trace` wrote.

    Raises:
        SimulationError: A request cannot be served there.
    """
    from edgesim import simulate  # noqa: PLC0415 - the engine, once the log is known to be good

    load: list[tuple[float, float, float, float]] = []

    def watch(sim: Any) -> Any:
        while sim.now < log.last[-1] * 3 + 60:
            load.append((sim.now, *sim.load(0)))
            yield sim.after(1.0)

    run = simulate(replica.scenario(str(trace), costs), processes=[watch])
    table = run.requests.sort_values("request")
    done = table["status"] == "completed"
    if not done.all():
        row = table[~done].iloc[0]
        text = f"request {row['request']} of the log is {row['status']} ({row['reason'] or 'no reason'})"
        raise SimulationError(f"{text}; check the engine settings")
    values = (table[name].to_numpy(float) for name in ("arrived_at", "first_token_at", "finished_at"))
    arrived, first, last = values
    engine = run.summary["engine"]
    busy = np.array(load)[: int(last.max()) + 2]
    metrics = metrics_of(arrived, first, last, log.output)
    return Simulated(metrics, busy, engine["calibration"], engine["error_band"])


def statistic(values: NDArray[np.float64], name: str) -> float:
    """Mean or percentile of the known values."""
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan
    return float(known.mean() if name == "mean" else np.percentile(known, float(name[1:])))


@dataclass(frozen=True)
class Line:
    """One measured statistic beside the simulated one [s]."""

    metric: str
    statistic: str
    measured: float
    simulated: float

    @property
    def error(self) -> float:
        """Relative error."""
        return self.simulated / self.measured - 1 if self.measured else math.nan


def compare(log: Log, simulated: Simulated, rows: slice = slice(None)) -> list[Line]:
    """Lay the statistics of some requests side by side."""
    measured = log.metrics
    return [
        Line(m, s, statistic(measured[m][rows], s), statistic(simulated.metrics[m][rows], s))
        for m in METRICS
        for s in STATISTICS
    ]


def fit(
    log: Log,
    replica: Replica,
    trace: Path,
    start: Mapping[str, float],
    rows: slice = slice(None),
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Choose parameters of the costs such that the simulated run is like the measured one.

    The mean square of the logarithms of simulated over measured statistics is made small (Nelder and Mead).

    Args:
        log: The measured run.
        replica: What served it.
        trace: Its requests, as `write_trace` wrote them.
        start: Parameters to fit and where to begin.
        rows: Requests that count.
        progress: Called with the number of simulations so far.

    Returns:
        The replica's costs with the fitted parameters.

    Raises:
        SimulationError: The fit does not converge; nothing comes of it.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - only fits need it

    names, runs = list(start), 0

    def costs_at(point: Sequence[float]) -> dict[str, Any]:
        values = {}
        for name, x in zip(names, point, strict=True):
            low, high = LIMITS[name]
            value = float(np.clip(math.exp(x), low, high))
            values[name] = f"{value:.6g} s" if name.endswith("overhead") else round(value, 5)
        return replica.costs | values

    def misfit(point: Sequence[float]) -> float:
        nonlocal runs
        runs += 1
        progress(runs)
        lines = compare(log, simulate_log(log, replica, trace, costs_at(point)), rows)
        errors = [
            math.log(line.simulated / line.measured) for line in lines if line.measured and line.simulated
        ]
        outside = sum(
            max(0.0, math.log(LIMITS[n][0]) - x, x - math.log(LIMITS[n][1]))
            for n, x in zip(names, point, strict=True)
        )
        return float(np.mean(np.square(errors))) + outside

    begin = [math.log(max(start[name], LIMITS[name][0])) for name in names]
    corners = [begin] + [
        [x + (0.4 if i == j else 0.0) * (-1 if "eff" in names[i] else 1) for j, x in enumerate(begin)]
        for i in range(len(begin))
    ]
    found = minimize(
        misfit,
        begin,
        method="Nelder-Mead",
        options={"maxfev": MOST_RUNS, "xatol": 0.01, "fatol": 1e-5, "initial_simplex": corners},
    )
    if not math.isfinite(found.fun) or math.sqrt(found.fun) > TOO_FAR:
        raise SimulationError(
            f"the fit does not converge: after {runs} simulations statistics are still a factor of "
            f"{math.exp(math.sqrt(found.fun)):.2g} apart; check accelerator, LLM and engine settings"
        )
    return costs_at(found.x)
