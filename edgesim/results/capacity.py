"""A capacity search as its user sees it: the question, the answer, and the points that show why."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import Problem, ResultsError, ScenarioError
from edgesim.results.folder import manifest_of, read_json
from edgesim.results.slo import SLACK

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]

KIND: Final = "capacity"
SEARCHES: Final = ("rate", "replicas", "mix")
"""What can be searched for."""
ANSWER: Final = "capacity.json"
TABLE: Final = "points.parquet"
PRICE: Final = "price_usd_per_h"
"""Column of what a mix costs."""
ATTAINMENT: Final = "attainment"
"""Share of the requests after the warm-up, as far as their outcome is known, that were completed within every limit."""

FEW: Final = 20
"""Fewer measured requests in a replication than this say nothing about a load."""
BEYOND: Final = 2
"""Requests of a replication that must be expected beyond a percentile for it to say anything."""

MEASURED: Final = {
    "rate_rps": "1/s",
    ATTAINMENT: "",
    "ttft_p95": "s",
    "tpot_p95": "s",
    "throughput_rps": "1/s",
    "goodput_rps": "1/s",
    "output_tokens_per_s": "tokens/s",
    "cost_usd_per_h": "USD/h",
    "power_w": "W",
}
"""Numbers of every replication, whatever is demanded: name -> unit."""


@dataclass(frozen=True)
class Criterion:
    """A bound on one number of a replication.

    Attributes:
        name: Its name: metric and statistic ("ttft_p95"), or "attainment".
        bound: The bound, in SI.
        unit: Its unit.
        at_least: Whether the number must not fall below the bound; otherwise it must not exceed it.
    """

    name: str
    bound: float
    unit: str = "s"
    at_least: bool = False

    @property
    def worst(self) -> float:
        """The value of a replication in which nothing can be measured, because nothing was answered."""
        return 0.0 if self.at_least else math.inf

    @property
    def skewed(self) -> bool:
        """Whether its values are skewed near a limit, so that few of them say little of their spread."""
        return self.name.rpartition("_")[2][0] == "p" or self.name.endswith("_max")

    @property
    def needed(self) -> int:
        """Requests that a replication must measure for this number to say anything."""
        statistic = self.name.rpartition("_")[2]
        share = self.bound if self.at_least else float(statistic[1:]) / 100 if statistic[0] == "p" else 0.0
        return max(FEW, round(BEYOND / max(1 - share, 1e-9)))

    def keeps(self, value: float) -> bool:
        """Whether a value is within the bound, up to rounding."""
        return value >= self.bound / SLACK if self.at_least else value <= self.bound * SLACK

    def excess(self, value: float) -> float:
        """How far a value is beyond the bound, relative to what the bound allows; negative within it."""
        if self.at_least:
            return (self.bound - value) / max(1 - self.bound, 1e-3)
        return value / self.bound - 1 if self.bound else value


@dataclass(frozen=True)
class Asked:
    """A question.

    Attributes:
        search: "rate", "replicas" or "mix".
        of: Whose replicas, or which mixes, as text.
        confidence: With which confidence everything must be met.
        attainment: Share of requests that must keep all limits; None demands the objectives as they are written.
        tolerance: Relative width at which the search for a rate ends.
        objective: What a mix should cost least of: "cost" or "energy".
        lowest: Lowest factor of the load to try.
        highest: Highest factor of the load to try.
        most: Most replicas to try.
        looks: Numbers of replications after which a verdict is tried; of percentiles, not before the eighth.
            The answer is confirmed by the largest number.
        trials: Mixes that Optuna tries, if there are too many to try all.
    """

    search: str = "rate"
    of: str = ""
    confidence: float = 0.95
    attainment: float | None = None
    tolerance: float = 0.01
    objective: str = "cost"
    lowest: float = 2.0**-10
    highest: float = 2.0**10
    most: int = 1024
    looks: tuple[int, ...] = (4, 8, 16, 32)
    trials: int = 60

    def checked(self) -> Asked:
        """Raise an error that says everything that is wrong with the question."""
        wrong = {
            "search": (self.search in SEARCHES, f"must be {', '.join(SEARCHES[:-1])} or {SEARCHES[-1]}"),
            "of": (self.search not in SEARCHES[1:] or bool(self.of), f"must say which {self.search}"),
            "confidence": (0.5 <= self.confidence < 1, "must lie between 50 % and 100 %"),
            "attainment": (
                self.attainment is None or 0 < self.attainment < 1,
                "must lie between 0 % and 100 %",
            ),
            "tolerance": (0 < self.tolerance < 1, "must lie between 0 % and 100 %"),
            "objective": (self.objective in ("cost", "energy"), "must be 'cost' or 'energy'"),
            "lowest": (0 < self.lowest <= self.highest < math.inf, "must be positive and at most 'highest'"),
            "most": (self.most >= 1, "must be at least 1"),
            "looks": (
                bool(self.looks) and self.looks[0] >= 2 and list(self.looks) == sorted(set(self.looks)),
                "must begin with at least 2 replications and ascend",
            ),
            "trials": (self.trials >= 1, "must be at least 1"),
        }
        problems = [
            Problem((), f"'{name}' is {getattr(self, name)!r}, but {rule}")
            for name, (fine, rule) in wrong.items()
            if not fine
        ]
        if problems:
            raise ScenarioError(problems)
        return self


@dataclass
class Capacity:
    """An answer, and the points that show why.

    Attributes:
        asked: The question.
        scenario: Name of the scenario.
        answer: The answer: requests/s, a number, or a mix; None if there is none.
        sentence: The answer in words.
        outcome: "found", "missed" (nowhere met), "met" (met even at the highest load tried).
        estimate: Where the worst mean crosses its bound: a best guess, where `answer` is on the safe side [1/s].
        limit: The nearest rate or number tried at which something is surely missed.
        points: Everything that was evaluated, in the order of `table`.
        criteria: What was demanded.
        notes: What the reader must know.
        folder: Where it is stored; None if it is not.
    """

    asked: Asked
    scenario: str
    answer: float | int | Json | None
    sentence: str
    outcome: str
    points: list[Json]
    criteria: tuple[Criterion, ...]
    estimate: float | None = None
    limit: float | None = None
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a point: what was varied, every number with the ends of its interval (`_low`, `_high`), verdict.

        Units are those of `units`. Intervals are one-sided limits at the error of a single look, on both sides.
        """
        import pandas as pd  # noqa: PLC0415 - takes a second to import

        return pd.DataFrame(self.points)

    @property
    def units(self) -> dict[str, str]:
        """Units of the columns of `table`."""
        found = MEASURED | {one.name: one.unit for one in self.criteria} | {PRICE: "USD/h"}
        both = {name + end: unit for name, unit in found.items() for end in ("", "_low", "_high")}
        return {name: unit for name, unit in both.items() if any(name in point for point in self.points)}

    def as_json(self) -> Json:
        """Everything, as `--json` prints it; numbers that do not exist, or are infinite, are null."""
        asked = {name: getattr(self.asked, name) for name in Asked.__dataclass_fields__}
        return {
            "kind": KIND,
            "scenario": self.scenario,
            "asked": asked | {"looks": list(self.asked.looks)},
            "criteria": [vars(one) for one in self.criteria],
            "outcome": self.outcome,
            "answer": self.answer,
            "estimate": self.estimate,
            "limit": self.limit,
            "sentence": self.sentence,
            "notes": self.notes,
            "units": self.units,
            "points": [{name: _finite(value) for name, value in point.items()} for point in self.points],
        }

    @classmethod
    def load(cls, folder: str | Path) -> Capacity:
        """Open a stored answer.

        Raises:
            ResultsError: There is none, or the search was not finished.
        """
        path = Path(folder)
        state = manifest_of(path, KIND)["exit_state"]
        if state != "finished":
            raise ResultsError(
                f"the capacity search in '{path}' did not finish ({state}); run the same `edgesim capacity` with"
                " --resume"
            )
        found = read_json(path / ANSWER)
        same = ("scenario", "answer", "sentence", "outcome", "points", "estimate", "limit", "notes")
        try:
            asked = Asked(**found["asked"] | {"looks": tuple(found["asked"]["looks"])})
            demanded = tuple(Criterion(**one) for one in found["criteria"])
            return cls(asked=asked, criteria=demanded, folder=path, **{name: found[name] for name in same})
        except (KeyError, TypeError) as error:
            raise ResultsError(f"'{path / ANSWER}' is damaged, or of another version: {error}") from error

    def __repr__(self) -> str:
        return f"<Capacity {self.sentence}>"

    def _repr_html_(self) -> str:
        """Show the answer and its points in a notebook."""
        shown = [name for name in self.table.columns if not name.endswith(("_low", "_high"))]
        rows = self.table[shown].to_html(index=False, float_format=lambda value: f"{value:.4g}", na_rep="")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p><b>{html.escape(self.sentence)}</b></p>{f'<ul>{notes}</ul>' if notes else ''}{rows}"


def _finite(value: Any) -> Any:
    """JSON knows no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
