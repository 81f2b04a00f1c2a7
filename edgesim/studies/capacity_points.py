"""Points of a capacity search: replications of one variant of a scenario, run until the verdict is clear.

Replication i of every point draws the same random numbers, so that points differ by what was varied alone. Each
replication is written to a journal as soon as it is done; a search that is resumed finds it there.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, cast

from edgesim.errors import ResultsError
from edgesim.experiment import Plan, build
from edgesim.results.capacity import ATTAINMENT, MEASURED
from edgesim.results.folder import mixed, provenance
from edgesim.stats import Interval, t_interval
from edgesim.studies.backends import Work, local_policies, results

if TYPE_CHECKING:
    from pathlib import Path

    from edgesim.outcome import Replication, RunInfo
    from edgesim.results.census import Census
    from edgesim.results.run import MemoryRun
    from edgesim.results.source import Source
    from edgesim.scenario import Scenario
    from edgesim.studies.backends import Pool
    from edgesim.studies.capacity_goal import Goal, Judged

Row = dict[str, Any]
Key = Mapping[str, float | int | str]
Tell = Callable[[str], None]
"""Takes a line about how far the search is."""

JOURNAL: Final = "replications.jsonl"
PS: Final = 1e12


class Unrecorded(Plan):
    """A plan of a study: nobody reads how each of its runs came about, which takes longer to find out than many run."""

    def _manifest(self) -> Row:
        return {"exit_state": "running"}


def _numbered(scenario: Scenario, _: int, *, number: int) -> Replication:
    return build(scenario, number)


def replication(scenario: Scenario, number: int) -> MemoryRun:
    """Run one replication of a scenario in memory; nothing but its requests is recorded.

    Raises:
        KeyboardInterrupt: It was interrupted.
    """
    output = scenario.output.model_copy(update={"tables": ("requests",)})
    settings = scenario.scenario.model_copy(update={"replications": 1, "precision": None})
    alone = scenario.model_copy(update={"scenario": settings, "output": output})
    run = Unrecorded(alone, build=partial(_numbered, number=number)).run()
    if not run.finished:
        raise KeyboardInterrupt
    return cast("MemoryRun", run)  # one replication without a folder


def measure(scenario: Scenario, number: int) -> Row:
    """Run one replication of a scenario and answer what a search wants to know of it."""
    return _row(replication(scenario, number))


@dataclass(frozen=True)
class Measured:
    """What a replication measured."""

    number: int
    row: Row
    wall_s: float


@dataclass(frozen=True, kw_only=True)
class Measurement(Work):
    """A replication to run; its number is that of the point."""

    def run(self) -> Measured:
        """Run it."""
        started = time.perf_counter()
        row = measure(self.opened(), self.point)
        return Measured(self.point, row, time.perf_counter() - started)


def _row(run: MemoryRun) -> Row:
    """Pick the numbers of a replication; None where one cannot be measured."""
    from edgesim.results.census import census  # noqa: PLC0415 - brings numpy
    from edgesim.results.source import MemorySource  # noqa: PLC0415

    summary = run.summary
    source = MemorySource(run.sink.chunks("requests"), run.info)
    found = census(source, run.info)
    arrived = int(found.measured.sum())
    last = max((float(chunk["arrived"].max()) for chunk in run.sink.chunks("requests")), default=0.0) / PS
    hours, rates = summary["engine"]["simulated_s"] / 3600, summary["rates"]
    row: Row = {
        "rate_rps": found.rows / last if last else None,
        ATTAINMENT: _attainment(source, found, run.info),
        "ttft_p95": summary["metrics"]["ttft"]["p95"],
        "tpot_p95": summary["metrics"]["tpot"]["p95"],
        **{name: rates[name] for name in ("throughput_rps", "goodput_rps", "output_tokens_per_s")},
        "cost_usd_per_h": summary["cost_usd"] / hours if hours else None,
        "power_w": summary["energy_j"]["total"] / (hours * 3600) if hours else None,
        "measured": arrived,
        "completed": int(found.selected.sum()),
        "turned_away": int((found.turned_away & found.measured).sum()),
        "stable": summary["stable"],
        "stability": summary["stability"],
    }
    for verdict in summary["slo"]:
        name, statistic = verdict["metric"], verdict["statistic"]
        row[f"{name}_{statistic}"] = _value(verdict, source, found)
    return row


def _attainment(source: Source, found: Census, info: RunInfo) -> float | None:
    """Share of the requests that kept every limit, of those after the warm-up whose outcome is known; None without.

    A request that is still under way at the end counts as one that did not once it has exceeded a limit on ttft
    or e2e; before that, nothing is known of it. (The attainment of a run's summary counts it in any case.)
    """
    import numpy as np  # noqa: PLC0415 - not for stored answers

    from edgesim.results.slo import limits  # noqa: PLC0415

    if found.good is None:
        return None
    bounds = limits(info.slo)
    under_way = ~found.completed & ~found.turned_away & found.measured
    late = np.zeros(found.rows, bool)
    row = 0
    for columns in source.numbers(["arrived_at", "first_token_at"]):
        rows = slice(row, row + len(columns["arrived_at"]))
        age = info.duration_s - columns["arrived_at"]
        first = np.fmin(columns["first_token_at"] - columns["arrived_at"], age)  # NaN: none so far
        late[rows] = (first > bounds.get("ttft", math.inf)) | (age > bounds.get("e2e", math.inf))
        row = rows.stop
    known = int((found.measured & (~under_way | late)).sum())
    return int((found.good & found.selected).sum()) / known if known else None


def _value(verdict: Mapping[str, Any], source: Source, found: Census) -> float | None:
    """The number behind an objective; requests that were turned away count as ones that took for ever.

    Of a percentile they move the rank; a mean or maximum is infinite where more than half were turned away, and
    else that of the others, as in the summary.
    """
    import numpy as np  # noqa: PLC0415 - not for stored answers

    from edgesim.metrics import METRICS  # noqa: PLC0415
    from edgesim.results.slo import MOST_TURNED_AWAY  # noqa: PLC0415

    value, statistic = verdict["value"], str(verdict["statistic"])
    away = verdict["turned_away"] or 0.0
    if value is None or not away or statistic in (ATTAINMENT, "within"):
        return None if value is None else float(value)
    if not statistic.startswith("p"):
        return None if away > MOST_TURNED_AWAY else float(value)
    metric = METRICS[verdict["metric"]]
    values = np.concatenate([metric.formula(columns) for columns in source.numbers(metric.columns)])
    values = values[found.selected]
    values = values[~np.isnan(values)]
    share = float(statistic[1:]) / 100 / (1 - away)
    return float(np.quantile(values, share)) if share <= 1 and len(values) else None


@dataclass(frozen=True)
class Point:
    """One variant of the scenario, and what its replications said.

    Attributes:
        key: What was varied: name -> value.
        rows: What each replication measured.
        goal: What is demanded.
        problem: Why the variant cannot be run at all; "" if it can.
        facts: What is known of it without running: name -> value.
    """

    key: Key
    rows: Sequence[Row]
    goal: Goal
    problem: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def judged(self) -> list[Judged]:
        """Every criterion with its interval and verdict."""
        return self.goal.judge(self.rows) if self.rows else []

    @cached_property
    def verdict(self) -> str:
        """met, missed, unstable, empty (too few requests), impossible, or open: neither met nor missed so far."""
        if self.problem:
            return "impossible"
        if not self.rows or sum(row["measured"] for row in self.rows) < self.goal.needed * len(self.rows):
            return "empty"
        if 2 * self.unstable > len(self.rows):
            return "unstable"
        verdicts = {one.verdict for one in self.judged}
        if "missed" in verdicts:
            return "missed"
        return "open" if "open" in verdicts or self.unstable else "met"

    @property
    def unstable(self) -> int:
        """Replications in which the backlog grew without end: one is enough for doubt, more than half for certainty."""
        return sum(not row["stable"] for row in self.rows)

    @property
    def met(self) -> bool:
        """Whether everything is met, with the confidence that was asked for."""
        return self.verdict == "met"

    @property
    def excess(self) -> float:
        """How far the worst mean lies beyond its bound, relative to it; negative within all bounds."""
        if self.problem or not self.rows:
            return math.inf
        return max(one.criterion.excess(one.mean) for one in self.judged)

    @cached_property
    def reason(self) -> str:
        """Why the verdict is what it is, in words."""
        if self.verdict == "impossible":
            return self.problem
        if self.verdict == "empty":
            return f"fewer than {self.goal.needed} requests a replication"
        if self.verdict == "unstable":
            said = next(row["stability"] for row in self.rows if not row["stable"])
            return str(said).removeprefix("unstable: ")
        reasons = [one.criterion.name for one in self.judged if one.verdict == self.verdict != "met"]
        if self.verdict == "open" and self.unstable:
            reasons.append(f"{self.unstable} of {len(self.rows)} replications unstable")
        return ", ".join(reasons)

    def interval(self, name: str) -> Interval:
        """The mean of a number over the replications, one-sided limits at the goal's confidence on both sides."""
        values = [row[name] for row in self.rows if row.get(name) is not None]
        return t_interval(values, 1 - 2 * self.goal.error)

    def flat(self) -> dict[str, Any]:
        """The point as a row of the table."""
        row: dict[str, Any] = {**self.key, **self.facts}
        for one in self.judged:
            name = one.criterion.name
            row |= {name: one.mean, f"{name}_low": one.low, f"{name}_high": one.high}
        for name in MEASURED:
            if name not in row:
                found = self.interval(name)
                row |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
        for name in (name for name in row if name.endswith((f"{ATTAINMENT}_low", f"{ATTAINMENT}_high"))):
            row[name] = min(max(row[name], 0.0), 1.0)
        share = [row["stable"] for row in self.rows]
        return row | {
            "replications": len(self.rows),
            "stable": sum(share) / len(share) if share else math.nan,
            "verdict": {"open": "undecided", "empty": "too few"}.get(self.verdict, self.verdict),
            "reason": self.reason,
        }


class Points:
    """Evaluates points, each once, and remembers them.

    Args:
        goal: What is demanded.
        pool: Workers that run replications; None for this process.
        tell: Hears about every point.
        journal: What was run before, and where new replications go; None keeps them in memory alone.
    """

    def __init__(
        self,
        goal: Goal,
        *,
        pool: Pool | None = None,
        tell: Tell | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.goal = goal
        self._pool = pool
        self._tell = tell or (lambda _: None)
        self._journal = journal
        self.evaluated: dict[str, Point] = {}

    def at(
        self,
        key: Key,
        scenario: Scenario | None,
        facts: Mapping[str, float] | None = None,
        problem: str = "",
        *,
        whole: bool = False,
    ) -> Point:
        """Evaluate a point: run replications until everything is met or something is missed, or as many as may be.

        Args:
            key: What was varied.
            scenario: The variant; None if it cannot be built.
            facts: What is known of it without running.
            problem: Why it cannot be built.
            whole: Run as many as may be, however clear the verdict is before: an early look that says "met" may
                have been lucky, the more so as the search picks out such points.
        """
        name = json.dumps(dict(key))
        point = self.evaluated.get(name) or Point(key, [], self.goal, problem, facts or {})
        rows = list(point.rows)
        if name in self.evaluated and (not whole or len(rows) == self.goal.looks[-1]):
            return point
        if scenario is not None and not problem:
            for count in self.goal.looks[-1:] if whole else self.goal.looks:
                self._tell(f"{_words(key)}: replications {len(rows) + 1} to {count}")
                rows = [*rows, *self._run(name, scenario, range(len(rows), count))]
                point = Point(key, rows, self.goal, "", facts or {})
                if point.verdict != "open":
                    break
        self.evaluated[name] = point
        self._tell(f"{_words(key)}: {point.flat()['verdict']}")
        return point

    def _run(self, name: str, scenario: Scenario, numbers: Iterable[int]) -> list[Row]:
        """Run some replications; answers their rows in order."""
        known = self._journal.rows.get(name, {}) if self._journal else {}
        rows = {number: known[number] for number in numbers if number in known}
        missing = [number for number in numbers if number not in rows]
        for measured in results(self._pool, self._tasks(scenario, missing)):
            rows[measured.number] = measured.row
            if self._journal:
                self._journal.add(name, measured.number, measured.row)
        return [rows[number] for number in sorted(rows)]

    def _tasks(self, scenario: Scenario, numbers: Sequence[int]) -> list[Measurement]:
        """Make the tasks of some replications."""
        policies = () if self._pool is None else local_policies([scenario])
        packed = pickle.dumps(scenario)
        return [Measurement(point=number, scenario=packed, policies=policies) for number in numbers]


class Journal:
    """Replications on disk, a line each, written as they end.

    Args:
        folder: Where it is.
        question: What was asked, as text: a journal answers one question only.
        resume: Keep what an earlier search has left there.

    Attributes:
        rows: Point -> number of the replication -> what it measured.
        notes: What a reader of the answer must know.

    Raises:
        ResultsError: There is a journal of another question or version.
    """

    def __init__(self, folder: Path, question: str, *, resume: bool = False) -> None:
        self.path = folder / JOURNAL
        self.rows: dict[str, dict[int, Row]] = {}
        digest = hashlib.sha256(question.encode()).hexdigest()
        lines = self._lines() if self.path.exists() and resume else []
        if lines and lines[0].get("question") != digest:
            raise ResultsError(
                f"'{folder}' holds the search for another question; choose another folder, or ask the same again"
            )
        here = {name: provenance()[name] for name in ("versions", "git_commit")}
        made_by = lines[0].get("made_by", []) if lines else []
        made_by = [*made_by, *([] if here in made_by else [here])]
        self.notes = [f"the replications were {text}" for text in mixed(made_by)]
        if len({each["versions"]["edgesim"] for each in made_by}) > 1:
            raise ResultsError(f"cannot resume '{folder}': {self.notes[0]}; --force starts anew")
        for line in lines[1:]:
            self.rows.setdefault(line["point"], {})[line["replication"]] = line["row"]
        self._write([{"question": digest, "made_by": made_by}, *lines[1:]])

    def _lines(self) -> list[Row]:
        """Read what is whole; the last line of a search that was killed may not be."""
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        if not found:
            raise ResultsError(f"cannot read '{self.path}': its beginning is damaged; --force starts anew")
        return found

    def _write(self, lines: Sequence[Row]) -> None:
        scratch = self.path.with_suffix(".tmp")
        scratch.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        scratch.replace(self.path)

    def add(self, point: str, number: int, row: Row) -> None:
        """Write a replication down."""
        self.rows.setdefault(point, {})[number] = row
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"point": point, "replication": number, "row": row}) + "\n")


def _words(key: Key) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in key.items()
    )
