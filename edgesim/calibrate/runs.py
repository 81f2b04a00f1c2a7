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

    def at_limit(self, x: float) -> bool:
        """Whether a place is at a bound that says something: no overhead at all is none."""
        low = self.place(self.low) if self.low > 0 else -math.inf
        return x < low + AT_LIMIT or x > self.place(self.high) - AT_LIMIT

    def outside(self, x: float) -> float:
        """How far a place is out of bounds."""
        return max(0.0, self.place(self.low) - x, x - self.place(self.high))


AT_LIMIT: Final = 0.15
"""Places this near to a bound, 5 % for factors, are at it."""

PARAMETERS: Final = {
    "compute_efficiency": Parameter(0.02, 1.0),
    "memory_efficiency": Parameter(0.02, 1.0),
    "time_factor": Parameter(0.4, 2.5),
    "step_overhead": Parameter(0.0, 0.1, 1e-3),
    "sequence_overhead": Parameter(0.0, 1e-3, 1e-5),
}
"""What can be fitted."""

MOST_RUNS: Final = 90
"""Simulations that a fit may take, give or take a few."""

SHARED_BLOCKS: Final = (1, 2)
"""Beginnings that a fit tries where prefixes are cached [KV blocks]: a log does not tell what prompts say, and chat
templates alone begin with some twenty equal tokens."""

SINGLE: Final = 0.1
"""What single requests are worth beside the statistics of all: they tell parameters apart that statistics do not."""

DIFFERENCE: Final = 0.25
"""Change of a parameter over which slopes are taken, in places of the search."""

LARGE: Final = 0.2
"""Errors of single requests beyond this all count as this one: who is preempted when memory is short is chance."""

WORTH: Final = 0.8
"""A shared beginning is believed if it brings the requests, one by one, that much nearer to the measured ones."""

TOO_FAR: Final = 0.2
"""A fit that leaves a larger root mean square of the logarithms has not converged."""

POOR: Final = 0.1
"""One that leaves more than this does not explain the run."""

LEAST_REQUESTS: Final = 20
"""Fewer tell several parameters apart by chance alone."""

LEAST_SHARE: Final = 0.1
"""A time to the first token counts as at least this share of the whole request: what an engine's front end adds to a
short one must not bend the costs of steps."""

PRIOR: Final = 0.03
"""What a factor on measured times is worth: one off by 10 % as much as an error of 0.3 %."""


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
    log: Log,
    replica: Replica,
    trace: Path,
    costs: Mapping[str, Any] | None = None,
    *,
    watched: bool = False,
) -> Simulated:
    """Simulate a log that `write_trace` wrote, without what a run folder has beside the requests.

    Args:
        log: The measured run.
        replica: What serves it.
        trace: Its requests.
        costs: The cost model, instead of the replica's.
        watched: Whether to look at the load every second.

    Raises:
        SimulationError: A request cannot be served there.
    """
    from edgesim.records import STATUS  # noqa: PLC0415 - the engine, once the log is known to be good
    from edgesim.results.writer import MemorySink  # noqa: PLC0415
    from edgesim.scenario import load  # noqa: PLC0415
    from edgesim.simulation import Simulation  # noqa: PLC0415

    seen: list[tuple[float, float, float, float]] = []

    def watch(sim: Any) -> Any:
        while sim.now < log.last[-1] * 3 + 60:
            each = np.array([sim.load(i) for i in range(replica.replicas)])
            seen.append((sim.now, *each[:, :2].sum(axis=0), each[:, 2].mean()))
            yield sim.after(1.0)

    sink = MemorySink(tables=("requests",))
    scenario = load(replica.scenario(str(trace), costs))
    outcome = Simulation(scenario, processes=[watch] if watched else []).run(sink)
    records = np.concatenate(sink.chunks("requests"))
    records = records[np.argsort(records["request"])]
    for record in records[records["status"] != STATUS.index("completed")][:1]:
        why = outcome.info.reasons[record["reason"]] if record["reason"] >= 0 else ""
        how, why = STATUS[record["status"]], why or "no reason"
        raise SimulationError(
            f"request {record['request']} of the log is {how} ({why}); check the engine settings"
        )
    arrived, first, last = (records[name] * 1e-12 for name in ("arrived", "first_token", "finished"))
    load_ = np.array(seen)[: int(last.max()) + 2] if watched else np.zeros((0, 4))
    metrics = metrics_of(arrived, first, last, log.output)
    info = outcome.info
    return Simulated(metrics, load_, info.calibration, info.error_band or 0.0, tuple(info.notes))


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


def apart(log: Log, simulated: Simulated, rows: slice = slice(None)) -> float:
    """Root mean square of the logarithms of simulated over measured statistics."""
    found = distances(compare(log, simulated, rows))
    return float(np.sqrt(np.mean(np.square(found)))) if found else 0.0


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
        self.known: dict[tuple[float, ...], NDArray[np.float64]] = {}

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

    def one_by_one(self, simulated: Simulated) -> NDArray[np.float64]:
        """Relative errors of single requests: of the whole, and of the time per token; large ones count as large."""
        there, here = self.log.metrics, simulated.metrics
        errors = np.concatenate(
            [here[name][self.rows] / there[name][self.rows] - 1 for name in ("e2e", "tpot")]
        )
        clipped: NDArray[np.float64] = np.clip(errors[np.isfinite(errors)], -LARGE, LARGE)
        return clipped

    def residuals(self, point: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """What should be nothing: distances of statistics, errors of single requests, and a prior."""
        key = tuple(float(x) for x in point)
        if key not in self.known:
            simulated = self.simulated(point)
            apart = distances(compare(self.log, simulated, self.rows))
            single = self.one_by_one(simulated)
            prior = [
                PRIOR * math.log(PARAMETERS[name].inside(x))
                for name, x in zip(self.names, key, strict=True)
                if name == "time_factor"
            ]
            weights = (1 / math.sqrt(len(apart)), math.sqrt(SINGLE / max(1, len(single))))
            self.known[key] = np.concatenate([np.array(apart) * weights[0], single * weights[1], prior])
        return self.known[key]

    def slopes(self, point: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Change of the residuals with each parameter, over a change that shows beside chance."""
        here, columns = self.residuals(point), []
        for i, name in enumerate(self.names):
            high = PARAMETERS[name].place(PARAMETERS[name].high)
            step = DIFFERENCE if point[i] + DIFFERENCE <= high else -DIFFERENCE
            moved = [x + step * (i == j) for j, x in enumerate(point)]
            columns.append((self.residuals(moved) - here) / step)
        return np.stack(columns, axis=-1)

    def least(self, begin: Sequence[float], most: int) -> tuple[NDArray[np.float64], float]:
        """Search the place where it is least, and how much: along slopes, then (Nelder and Mead) without them."""
        from scipy.optimize import least_squares, minimize  # noqa: PLC0415 - only fits need it

        self.known.clear()
        start, kinds = self.runs, [PARAMETERS[name] for name in self.names]
        bounds = ([kind.place(kind.low) for kind in kinds], [kind.place(kind.high) for kind in kinds])
        inside = np.clip(begin, np.array(bounds[0]) + 1e-3, np.array(bounds[1]) - 1e-3)
        rounds = max(2, int(0.7 * most) // (len(begin) + 1))
        slid = least_squares(
            self.residuals, inside, self.slopes, bounds, xtol=1e-3, ftol=1e-4, max_nfev=rounds
        )

        def misfit(point: NDArray[np.float64]) -> float:
            outside = sum(kind.outside(float(x)) for kind, x in zip(kinds, point, strict=True))
            return float(np.sum(np.square(self.residuals(point)))) + outside

        corners = [slid.x, *(slid.x + DIFFERENCE * np.eye(len(begin)))]
        options = {
            "maxfev": max(5, most - (self.runs - start)),
            "xatol": 0.02,
            "fatol": 1e-7,
            "initial_simplex": corners,
        }
        found = minimize(misfit, slid.x, method="Nelder-Mead", options=options)
        best: NDArray[np.float64] = found.x
        return best, float(found.fun)


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
    count = len(range(*rows.indices(len(log))))
    if count < LEAST_REQUESTS:
        raise SimulationError(
            f"too few requests ({count}) to fit parameters to; a fit takes {LEAST_REQUESTS} or more, "
            "--no-fit only compares"
        )
    misfit = _Misfit(log, replica, trace, list(start), rows, progress)
    tried = _beginnings(replica)
    begin = [PARAMETERS[name].place(value) for name, value in start.items()]
    best, least = misfit.least(begin, MOST_RUNS // 2 if tried else MOST_RUNS)
    nearest, each = (best, least, replica), MOST_RUNS // 5
    for tokens in tried:
        misfit.replica = replace(replica, shared_prefix=tokens)
        place, value = misfit.least(list(best), each)
        if value < min(WORTH**2 * least, nearest[1]):
            nearest = (place, value, misfit.replica)
    best, least, misfit.replica = nearest
    if misfit.replica is not replica:
        best, _ = misfit.least(list(best), each)
    simulated = misfit.simulated(best)
    left = apart(log, simulated, rows)
    if left > TOO_FAR:
        raise SimulationError(
            f"the fit does not converge: after {misfit.runs} simulations statistics are still a factor of "
            f"{math.exp(min(left, 99.0)):.2g} apart; check accelerator, LLM and engine settings"
        )
    stated = misfit.stated(best)
    ends = [name for name, x in zip(start, best, strict=True) if PARAMETERS[name].at_limit(float(x))]
    shared = misfit.replica.shared_prefix
    more = {} if shared == replica.shared_prefix else {"shared_prefix": shared}
    found = replace(misfit.replica, costs=replica.costs | stated)
    return Fit(found, stated | more, left, misfit.runs, tuple(ends))
