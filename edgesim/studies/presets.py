"""Presets in the manner of MLPerf Inference: single stream, server, offline, and a report card of all three.

Rules: MLPerf Inference Rules, github.com/mlcommons/inference_policies, inference_rules.adoc, commit 848b9ab, section
"Scenarios". Single stream sends the next query when the previous one is answered, and reports the 90th percentile
of the latency; server sends queries as a Poisson process and reports the largest rate at which 99 % keep the
latency constraint; offline sends all at once, at least 24,576, and reports the throughput. Each lasts at least 600 s.

What comes out is no MLPerf result, which only a real system under the rules can have.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import Problem, ScenarioError
from edgesim.experiment import slo_of
from edgesim.metrics import METRICS
from edgesim.stats import t_interval
from edgesim.studies.capacity import capacity, with_slo
from edgesim.studies.capacity_points import replication

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgesim.results import Run
    from edgesim.results.capacity import Capacity
    from edgesim.scenario import Scenario
    from edgesim.scenario.workload import Workload
    from edgesim.studies.capacity_points import Tell

PRESETS: Final = ("single-stream", "server", "offline")

CONSTRAINTS: Final = {
    "llama-2-70b": (2.0, 0.2),
    "llama-3.1-8b": (2.0, 0.1),
    "llama-3.1-405b": (6.0, 0.175),
    "mixtral-8x7b": (2.0, 0.2),
    "deepseek-r1": (2.0, 0.08),
    "gpt-oss-120b": (3.0, 0.08),
}
"""LLM -> 99th percentiles of TTFT and TPOT that its server (conversational) scenario allows [s].

As quoted from the same rules at commit ff7edba (August 2026); taken from a quotation, not read in the original.
"""
OTHERWISE: Final = "llama-2-70b"
"""Whose constraints hold for LLMs without any."""

SECONDS: Final = 600.0
"""Least length of a run [s]."""
SAMPLES: Final = 24_576
"""Least number of samples of an offline run."""
CERTAINTY: Final = 0.99
"""Confidence of the percentile in a single stream, as in the rules."""
AT_ONCE: Final = 1e9
"""Rate of arrivals that counts as all at once [1/s]: 24,576 within 25 us."""


@dataclass(frozen=True)
class Grade:
    """One line of a report card.

    Attributes:
        preset: Which preset.
        metric: What was measured.
        value: The result; NaN if there is none.
        unit: Its unit.
        low: Lower end of its interval; NaN if there is none.
        high: Upper end of its interval; NaN if there is none.
        text: The result in words, with what was demanded.
        notes: Where it departs from the rules, and what else the reader must know.
    """

    preset: str
    metric: str
    value: float
    unit: str
    text: str
    low: float = math.nan
    high: float = math.nan
    notes: tuple[str, ...] = ()


@dataclass
class ReportCard:
    """What a system is worth under the presets.

    Attributes:
        scenario: Name of the scenario.
        workload: The workload whose prompts and replies were asked.
        grades: A line a preset.
        server: The search behind the preset "server"; None if that was not asked for.
    """

    scenario: str
    workload: str
    grades: list[Grade] = field(default_factory=list)
    server: Capacity | None = None

    @cached_property
    def table(self) -> Any:
        """A row a preset, as a DataFrame."""
        import pandas as pd  # noqa: PLC0415 - takes a second to import

        return pd.DataFrame([vars(grade) | {"notes": "; ".join(grade.notes)} for grade in self.grades])

    def as_json(self) -> dict[str, Any]:
        """Everything; numbers that do not exist are null."""

        def row(grade: Grade) -> dict[str, Any]:
            return {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in vars(grade).items()
            } | {"notes": list(grade.notes)}

        return {
            "kind": "report-card",
            "scenario": self.scenario,
            "workload": self.workload,
            "grades": [row(grade) for grade in self.grades],
            "server": None if self.server is None else self.server.as_json(),
        }

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        rows = "".join(
            f"<tr><th>{grade.preset}</th><td>{html.escape(grade.text)}</td>"
            f"<td>{html.escape('; '.join(grade.notes))}</td></tr>"
            for grade in self.grades
        )
        return f"<table><caption>{html.escape(self.scenario)}</caption>{rows}</table>"


def report_card(
    scenario: Scenario | str | os.PathLike[str] | Mapping[str, Any],
    presets: Sequence[str] = PRESETS,
    *,
    workload: str | None = None,
    slo: Mapping[str, str] | Sequence[str] = (),
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
    seed: int | None = None,
    duration: float | None = None,
    samples: int | None = None,
    jobs: int = 1,
    progress: Tell | None = None,
    **settings: Any,
) -> ReportCard:
    """Measure a system under presets.

    Args:
        scenario: A scenario, a YAML file, the name of a packaged scenario, or the same as a mapping.
        presets: Which: "single-stream", "server", "offline".
        workload: Whose prompts and replies are asked; may be left out if there is only one.
        slo: Latency constraints of the server preset, instead of those of the rules.
        sets: Overrides of the form "key.path=value".
        plugins: Python files with policies.
        seed: Seed, instead of the scenario's.
        duration: Length of the runs of single stream and server [s]; by default 600.
        samples: Requests of the offline run; by default 24,576.
        jobs: Processes that run the replications of a search side by side, 0 for one a processor.
        progress: Hears how far it is, a line at a time.
        **settings: Settings of the server's search, as for `capacity`.

    Raises:
        EdgesimError: Something is wrong with the scenario.
    """
    loaded = with_slo(scenario, slo, sets, plugins, seed)
    name = _chosen(loaded, workload)
    alone = _alone(loaded, name)
    card = ReportCard(loaded.scenario.name, name)
    tell = progress or (lambda _: None)
    length = SECONDS if duration is None else duration
    if length <= 0:
        raise ScenarioError([Problem((), "a run must last longer than 0 s", file="--duration")])
    for preset in presets:
        tell(f"{preset} ...")
        if preset == "single-stream":
            card.grades.append(_single_stream(alone, name, length))
        elif preset == "offline":
            card.grades.append(_offline(alone, name, samples or SAMPLES))
        elif preset == "server":
            grade, card.server = _server(
                alone, name, length, given=bool(slo), jobs=jobs, progress=progress, **settings
            )
            card.grades.append(grade)
        else:
            raise ScenarioError(f"no preset named {preset!r}; known: {', '.join(PRESETS)}")
    return card


def _chosen(scenario: Scenario, workload: str | None) -> str:
    """The workload that is asked."""
    names = list(scenario.workloads)
    if workload is None and len(names) == 1:
        return names[0]
    if workload not in names:
        text = (
            "several workloads: say which one is asked" if workload is None else f"no workload {workload!r}"
        )
        raise ScenarioError([Problem(("workloads",), text, f"--workload: one of {', '.join(names)}")])
    return workload


def _alone(scenario: Scenario, name: str) -> Scenario:
    """The scenario with one workload of single requests, and nothing that cuts them short."""
    single = {"session": None, "patience": None, "deadline": None}
    workload = scenario.workloads[name].model_copy(update=single)
    settings = scenario.scenario.model_copy(update={"replications": 1, "precision": None, "warmup": 0.0})
    return scenario.model_copy(update={"scenario": settings, "workloads": {name: workload}, "capacity": None})


def _asking(
    scenario: Scenario, name: str, changed: Mapping[str, Any], *, duration: float | None, requests: int | None
) -> Scenario:
    workload = scenario.workloads[name].model_copy(update=dict(changed))
    settings = scenario.scenario.model_copy(update={"duration": duration, "requests": requests})
    return scenario.model_copy(update={"scenario": settings, "workloads": {name: workload}})


def _no_trace(workload: Workload, preset: str) -> Grade | None:
    """The line of a preset that a trace cannot serve."""
    if not workload.is_trace:
        return None
    text = "not measured: a trace says itself when requests come"
    note = "give the workload arrivals and lengths (kind: empirical takes a trace's) for this preset"
    return Grade(preset, "", math.nan, "", text, notes=(note,))


def _single_stream(scenario: Scenario, name: str, duration: float) -> Grade:
    """One request after the other: 90th percentile of the end-to-end latency."""
    from edgesim.scenario.arrivals import ClosedLoop  # noqa: PLC0415 - pydantic is not for --help
    from edgesim.units import format_seconds  # noqa: PLC0415

    preset, metric = "single-stream", "p90 end-to-end latency"
    if grade := _no_trace(scenario.workloads[name], preset):
        return grade
    user = ClosedLoop.model_validate({"kind": "closed-loop", "users": 1, "think_time": "0 s"})
    run = replication(_asking(scenario, name, {"arrivals": user}, duration=duration, requests=None), 0)
    latencies = _sorted_latencies(run)
    if not len(latencies):
        return Grade(
            preset, metric, math.nan, "s", f"no request was answered within {format_seconds(duration)}"
        )
    rank = rank_above(len(latencies), 0.9, CERTAINTY)
    value = float(latencies[max(math.ceil(0.9 * len(latencies)) - 1, 0)])
    notes = [*_short(duration), *_turned_away(run)]
    if rank is None:
        notes.append(f"{len(latencies)} requests are too few for a bound at {CERTAINTY:.0%}")
    high = math.nan if rank is None else float(latencies[rank - 1])
    surely = (
        "" if rank is None else f", at most {format_seconds(high)} with {CERTAINTY * 100:.0f} % confidence"
    )
    text = f"p90 latency {format_seconds(value)}{surely} ({len(latencies):,} requests)"
    return Grade(preset, metric, value, "s", text, high=high, notes=tuple(notes))


def rank_above(count: int, share: float, confidence: float) -> int | None:
    """Rank of the smallest value, of so many sorted ones, that lies above a quantile with some confidence.

    The k-th smallest of n independent values is below the quantile q with the probability that at least k of
    them are: 1 - B(k - 1; n, q), B being the binomial distribution. So k is the least with B(k - 1; n, q) >=
    confidence; None where n is too small (Hahn, Meeker: Statistical Intervals, 1991, section 5.2.3).
    """
    import numpy as np  # noqa: PLC0415 - not for --help
    from scipy.special import bdtr  # noqa: PLC0415

    ranks = np.arange(1, count + 1)
    enough = bdtr(ranks - 1, count, share) >= confidence
    return int(ranks[enough.argmax()]) if enough.any() else None


def _offline(scenario: Scenario, name: str, samples: int) -> Grade:
    """All requests at once: what is completed per second until the last one is."""
    from edgesim.scenario.arrivals import Poisson  # noqa: PLC0415 - pydantic is not for --help

    workload = scenario.workloads[name]
    if workload.is_trace:
        changed: dict[str, Any] = {"time_scale": 1e-12, "limit": min(workload.limit or samples, samples)}
    else:
        changed = {"arrivals": Poisson.model_validate({"kind": "poisson", "rate": f"{AT_ONCE}/s"})}
    asked = _asking(scenario, name, changed, duration=None, requests=samples)
    rates, tokens, notes = [], [], list[str]()
    for number in range(3):
        run = replication(asked, number)
        seconds = run.summary["engine"]["simulated_s"]
        done = run.summary["requests"]["completed"]
        rates.append(done / seconds)
        tokens.append(run.summary["rates"]["output_tokens_per_s"] or 0.0)
        notes = [*_turned_away(run), *([] if seconds >= SECONDS else _short(seconds))]
    found, written = t_interval(rates), t_interval(tokens)
    if samples < SAMPLES:
        notes.append(f"{samples:,} requests are fewer than the {SAMPLES:,} of the rules")
    text = f"{found.mean:.4g} requests/s, {written.mean:.4g} output tokens/s"
    return Grade(
        "offline", "throughput", found.mean, "1/s", text, low=found.low, high=found.high, notes=tuple(notes)
    )


def _server(
    scenario: Scenario, name: str, duration: float, *, given: bool, **search: Any
) -> tuple[Grade, Capacity | None]:
    """Poisson arrivals: the largest rate that keeps the latency constraints."""
    from edgesim.scenario.arrivals import Poisson  # noqa: PLC0415 - pydantic is not for --help
    from edgesim.scenario.settings import Slo  # noqa: PLC0415
    from edgesim.studies.capacity_levers import Load  # noqa: PLC0415

    preset, metric = "server", "largest rate"
    if grade := _no_trace(scenario.workloads[name], preset):
        return grade, None
    notes = list(_short(duration))
    try:
        rate = Load(scenario).rate()
    except ScenarioError:  # users who wait for answers: there is no rate to begin with
        rate = None
    asking = Poisson.model_validate({"kind": "poisson", "rate": f"{rate or 1.0}/s"})
    asked = _asking(scenario, name, {"arrivals": asking}, duration=duration, requests=None)
    if not given:
        (ttft, tpot), note = constraints(scenario, name)
        notes += note
        demands = {"ttft": {"p99": f"{ttft} s"}, "tpot": {"p99": f"{tpot} s"}}
        asked = asked.model_copy(update={"slo": Slo.model_validate(demands)})
    found = capacity(asked, **search)
    demanded = ", ".join(
        f"{key} {statistic} <= {bound:g} {METRICS[key].unit}".strip()
        for key, bounds in slo_of(asked).items()
        for statistic, bound in bounds.items()
    )
    value = math.nan if found.answer is None else float(found.answer)  # type: ignore[arg-type]  # a rate
    text = f"{found.sentence} Demanded: {demanded}."
    high = math.nan if found.limit is None else found.limit
    return Grade(preset, metric, value, "1/s", text, high=high, notes=(*notes, *found.notes)), found


def constraints(scenario: Scenario, name: str) -> tuple[tuple[float, float], list[str]]:
    """99th percentiles of TTFT and TPOT that a server must keep [s], and what is to be said about them."""
    asked = scenario.workloads[name].llm
    llms = {asked} if asked else {one.llm for one in scenario.deployments}
    llm = next(iter(llms))
    if len(llms) == 1 and llm in CONSTRAINTS:
        return CONSTRAINTS[llm], []
    what = llm if len(llms) == 1 else "a system of several LLMs"
    note = f"{what} is no benchmark of the rules: the constraints are those of {OTHERWISE}"
    return CONSTRAINTS[OTHERWISE], [note]


def _sorted_latencies(run: Any) -> NDArray[np.float64]:
    """End-to-end latencies of the completed requests, ascending [s]."""
    import numpy as np  # noqa: PLC0415 - not for --help

    records = run.records()
    from edgesim.records import STATUS  # noqa: PLC0415

    done = records[records["status"] == STATUS.index("completed")]
    latencies: NDArray[np.float64] = np.sort((done["finished"] - done["arrived"]) / 1e12)
    return latencies


def _short(duration: float) -> list[str]:
    return (
        [] if duration >= SECONDS else [f"{duration:.4g} s are shorter than the {SECONDS:.0f} s of the rules"]
    )


def _turned_away(run: Run) -> list[str]:
    counts = run.summary["requests"]
    away = counts["rejected"] + counts["failed"] + counts["abandoned"]
    return [f"{away:,} of {counts['arrived']:,} requests were turned away"] if away else []
