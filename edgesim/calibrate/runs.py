"""A measured serving run, simulated again: side by side, and fitted where costs are not known well enough."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True)
class Parameter:
    """Something that a fit changes.

    Attributes:
        low: Least value.
        high: Greatest value.
        unit: Typical change of it; None for shares and factors, which change by ratios.
    """

    low: float
    high: float
    unit: float | None = None

    def inside(self, x: float) -> float:
        """The value at a place of the search, where 1 is a change that matters; kept within bounds."""
        value = math.exp(0.3 * x) if self.unit is None else x * self.unit
        return min(max(value, self.low), self.high)

    def place(self, value: float) -> float:
        """The place of a value in the search."""
        return math.log(max(value, self.low)) / 0.3 if self.unit is None else value / self.unit

    def outside(self, x: float) -> float:
        """How far a place is out of bounds."""
        return max(0.0, self.place(self.low) - x, x - self.place(self.high))


PARAMETERS: Final = {
    "compute_efficiency": Parameter(0.02, 1.0),
    "memory_efficiency": Parameter(0.02, 1.0),
    "time_factor": Parameter(0.4, 2.5),
    "step_overhead": Parameter(0.0, 0.1, 1e-3),
    "sequence_overhead": Parameter(0.0, 1e-3, 1e-5),
}
"""What can be fitted."""

MOST_RUNS: Final = 90
"""Simulations that a fit may take, about."""

SHARED_BLOCKS: Final = (1, 2)
"""Beginnings that a fit tries where prefixes are cached [KV blocks]: a log does not tell what prompts say, and chat
templates alone begin with some twenty equal tokens."""

WORTH: Final = 0.8
"""A shared beginning is believed if it brings the requests, one by one, that much nearer to the measured ones."""

TOO_FAR: Final = 0.2
"""A fit that leaves a larger root mean square of the logarithms has not converged."""

LEAST_SHARE: Final = 0.1
"""A time to the first token counts as at least this share of the whole request: what an engine's front end adds to a
short one must not bend the costs of steps."""

PRIOR: Final = 0.1
"""What a factor on measured times is worth: one off by 10 % as much as an error of 1 %."""


@dataclass
class Replica:
    """What served the run.

    Attributes:
        accelerator: Name in the catalogue.
        llm: Name in the catalogue.
        deployment: Engine settings, as keys of a deployment.
        costs: The cost model, as in a deployment.
        shared_prefix: Tokens that all prompts begin with, such as those of a chat template.
    """

    accelerator: str
    llm: str
    deployment: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, Any] = field(default_factory=lambda: {"kind": "roofline"})
    shared_prefix: int = 0

    @property
    def replicas(self) -> int:
        """How many there are of it: vLLM's data parallelism."""
        return int(self.deployment.get("replicas", 1))

    def scenario(self, trace: str, costs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The scenario that replays a trace on it."""
        accelerators = int(self.deployment.get("tensor_parallel", 1)) * self.replicas
        deployed = {"llm": self.llm, "on": "server", "watermark": "0 %", **self.deployment}
        content: dict[str, Any] = {
            "scenario": {"name": "replay"},
            "topology": {
                "nodes": {
                    "server": {
                        "tier": "cloud",
                        "accelerator": self.accelerator,
                        "accelerators": accelerators,
                    }
                }
            },
            "deployments": [deployed | {"costs": dict(costs or self.costs)}],
            "workloads": {"log": {"from": "server", "path": trace}},
        }
        if self.shared_prefix:
            content["workloads"]["log"]["shared_prefix"] = self.shared_prefix
        if self.replicas > 1:
            content["policies"] = {"router": "join-shortest-queue"}
        return content


def write_trace(log: Log, path: Path) -> None:
    """Write a log's requests as a trace that workloads read."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arrived_at", "prompt_tokens", "output_tokens"])
        for arrived, prompt, output in zip(log.arrived, log.prompt, log.output, strict=True):
            writer.writerow([f"{arrived:.9f}", prompt, output])


@dataclass(frozen=True)
class Simulated:
    """A log as it was simulated: the same metrics by request, and the load of the replicas over time.

    Attributes:
        metrics: TTFT, TPOT and end-to-end time by request [s].
        load: Time [s], running and waiting requests, and the share of the KV cache in use, a row a second.
        calibration: Which costs it used.
        error_band: Their stated relative error.
        notes: What a report should say about them.
    """

    metrics: dict[str, NDArray[np.float64]]
    load: NDArray[np.float64]
    calibration: str
    error_band: float
    notes: tuple[str, ...] = ()


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
            each = np.array([sim.load(i) for i in range(replica.replicas)])
            load.append((sim.now, *each[:, :2].sum(axis=0), each[:, 2].mean()))
            yield sim.after(1.0)

    run = simulate(replica.scenario(str(trace), costs), processes=[watch])
    table = run.requests.sort_values("request")
    done = table["status"] == "completed"
    if not done.all():
        row = table[~done].iloc[0]
        text = f"request {row['request']} of the log is {row['status']} ({row['reason'] or 'no reason'})"
        raise SimulationError(f"{text}; check the engine settings")
    arrived, first, last = (
        table[name].to_numpy(float) for name in ("arrived_at", "first_token_at", "finished_at")
    )
    engine = run.summary["engine"]
    busy = np.array(load)[: int(last.max()) + 2]
    metrics = metrics_of(arrived, first, last, log.output)
    notes = tuple(run.summary["notes"])
    return Simulated(metrics, busy, engine["calibration"], engine["error_band"], notes)


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


def distances(lines: Sequence[Line]) -> list[float]:
    """Logarithms of simulated over measured statistics; short times to the first token count for less."""
    whole = {line.statistic: line.measured for line in lines if line.metric == "e2e"}
    found = []
    for line in lines:
        least = LEAST_SHARE * whole[line.statistic] if line.metric == "ttft" else 0.0
        short = max(0.0, least - line.measured)
        if line.measured > 0 and line.simulated > 0:
            found.append(math.log((line.simulated + short) / (line.measured + short)))
    return found


@dataclass(frozen=True)
class Fit:
    """What a fit found.

    Attributes:
        replica: What served the run, with the fitted costs.
        fitted: The parameters, as a scenario states them.
        left: Root mean square of the logarithms of simulated over measured statistics.
        runs: Simulations it took.
        limits: Parameters that ended at a limit.
    """

    replica: Replica
    fitted: dict[str, Any]
    left: float
    runs: int
    limits: tuple[str, ...]


def _beginnings(replica: Replica) -> list[int]:
    """Shared beginnings of prompts that a fit tries beside the stated one [tokens]."""
    if not replica.deployment.get("prefix_cache") or replica.shared_prefix:
        return []
    block = int(replica.deployment.get("block_size", 16))
    return [block * blocks for blocks in SHARED_BLOCKS]


class _Misfit:
    """How unlike a simulated run is to the measured one, by parameters of its costs."""

    def __init__(
        self,
        log: Log,
        replica: Replica,
        trace: Path,
        names: Sequence[str],
        rows: slice,
        progress: Callable[[int], None],
    ) -> None:
        self.log, self.replica, self.trace, self.names, self.rows = log, replica, trace, names, rows
        self.progress, self.runs = progress, 0

    def stated(self, point: Sequence[float] | NDArray[np.float64]) -> dict[str, Any]:
        """Parameters at a place of the search, as a deployment states them."""
        values = {n: PARAMETERS[n].inside(float(x)) for n, x in zip(self.names, point, strict=True)}
        return {
            name: f"{value:.6g} s" if name.endswith("overhead") else round(value, 5)
            for name, value in values.items()
        }

    def simulated(self, point: Sequence[float] | NDArray[np.float64]) -> Simulated:
        """The run with parameters at a place of the search."""
        self.runs += 1
        self.progress(self.runs)
        costs = self.replica.costs | self.stated(point)
        return simulate_log(self.log, self.replica, self.trace, costs)

    def one_by_one(self, point: Sequence[float] | NDArray[np.float64]) -> float:
        """How far single requests are from the measured ones, in all and for each token."""
        there, here = self.log.metrics, self.simulated(point).metrics
        whole = np.abs(here["e2e"] - there["e2e"])[self.rows].mean() / there["e2e"][self.rows].mean()
        each = np.abs(here["tpot"] / there["tpot"] - 1)[self.rows]
        each = each[np.isfinite(each)]
        return float(whole + (each.mean() if len(each) else 0.0))

    def __call__(self, point: Sequence[float] | NDArray[np.float64]) -> float:
        lines = compare(self.log, self.simulated(point), self.rows)
        error = float(np.mean(np.square(distances(lines))))
        for name, x in zip(self.names, point, strict=True):
            error += PARAMETERS[name].outside(float(x))
            if name == "time_factor":
                error += (PRIOR * math.log(PARAMETERS[name].inside(float(x)))) ** 2
        return error

    def least(self, begin: Sequence[float], most: int) -> tuple[NDArray[np.float64], float]:
        """Search the place where it is least (Nelder and Mead)."""
        from scipy.optimize import minimize  # noqa: PLC0415 - only fits need it

        corners = [list(begin)] + [[x + (i == j) for j, x in enumerate(begin)] for i in range(len(begin))]
        options = {"maxfev": most, "xatol": 0.02, "fatol": 1e-6, "initial_simplex": corners}
        found = minimize(self, begin, method="Nelder-Mead", options=options)
        return found.x, float(found.fun)


def fit(
    log: Log,
    replica: Replica,
    trace: Path,
    start: Mapping[str, float],
    rows: slice = slice(None),
    progress: Callable[[int], None] = lambda _: None,
) -> Fit:
    """Choose parameters of the costs such that the simulated run is like the measured one.

    The mean square of the logarithms of simulated over measured statistics is made small. Where the engine cached
    prefixes, a beginning that all prompts share is tried, too.

    Args:
        log: The measured run.
        replica: What served it.
        trace: Its requests, as `write_trace` wrote them.
        start: Parameters to fit and where to begin.
        rows: Requests that count.
        progress: Called with the number of simulations so far.

    Raises:
        SimulationError: The fit does not converge; nothing comes of it.
    """
    misfit = _Misfit(log, replica, trace, list(start), rows, progress)
    tried = _beginnings(replica)
    begin = [PARAMETERS[name].place(value) for name, value in start.items()]
    best, least = misfit.least(begin, MOST_RUNS // 2 if tried else MOST_RUNS)
    if tried:
        apart = {replica.shared_prefix: misfit.one_by_one(best)}
        for tokens in tried:
            misfit.replica = replace(replica, shared_prefix=tokens)
            apart[tokens] = misfit.one_by_one(best)
        nearest = min(apart, key=lambda tokens: apart[tokens])
        if apart[nearest] > WORTH * apart[replica.shared_prefix]:
            nearest = replica.shared_prefix
        misfit.replica = replace(replica, shared_prefix=nearest)
        best, least = misfit.least(list(best), MOST_RUNS - misfit.runs)
    left = math.sqrt(least) if math.isfinite(least) else math.inf
    if left > TOO_FAR:
        raise SimulationError(
            f"the fit does not converge: after {misfit.runs} simulations statistics are still a factor of "
            f"{math.exp(min(left, 99.0)):.2g} apart; check accelerator, LLM and engine settings"
        )
    stated = misfit.stated(best)
    ends = [
        name
        for name, x in zip(start, best, strict=True)
        if PARAMETERS[name].inside(float(x)) in {PARAMETERS[name].high, PARAMETERS[name].low or -1.0}
    ]
    shared = misfit.replica.shared_prefix
    more = {} if shared == replica.shared_prefix else {"shared_prefix": shared}
    found = replace(misfit.replica, costs=replica.costs | stated)
    return Fit(found, stated | more, left, misfit.runs, tuple(ends))
