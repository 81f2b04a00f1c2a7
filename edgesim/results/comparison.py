"""A comparison as its user sees it: differences between runs, which of them are real, and the Pareto front."""

from __future__ import annotations

import html
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import ResultsError
from edgesim.results.folder import manifest_of, read_json
from edgesim.results.quantity import quantity, written
from edgesim.results.run import load_run
from edgesim.units import format_percent, percents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from edgesim.results.run import Run as AnyRun
    from edgesim.results.run import RunSet

Json = dict[str, Any]

KIND: Final = "comparison"
COMPARISON: Final = "comparison.json"
OF_ONE_RUN: Final = "stretches of one run"
"""Part of the kind of a row that rests on the series of one run each, and not on replications."""


@dataclass(frozen=True)
class Row:
    """One quantity of a pair of candidates.

    Attributes:
        a: The first candidate.
        b: The second candidate.
        quantity: What is compared, in one word.
        metric: The same, the metric alone.
        statistic: And its statistic; "" for what exists once.
        unit: Its unit; "" for plain numbers.
        mean_a: Of the first candidate, over its replications.
        mean_b: Of the second candidate.
        difference: The second less the first.
        low: Lower end of the difference's interval; None where one run each does not tell.
        high: Upper end.
        relative: The difference as a share of the first; None if that is 0.
        p: Probability of such a difference if there were none; None where there is no interval.
        p_adjusted: The same for all rows of the comparison at once (Holm).
        real: Whether that lies below 1 - confidence.
        better: Name of the candidate that is really better; "" if neither is.
        kind: How the interval was made.
    """

    a: str
    b: str
    quantity: str
    metric: str
    statistic: str
    unit: str
    mean_a: float
    mean_b: float
    difference: float
    low: float | None
    high: float | None
    relative: float | None
    p: float | None
    p_adjusted: float | None
    real: bool
    better: str
    kind: str

    @property
    def perhaps(self) -> bool:
        """Whether it would be real if it were the only comparison: its own interval leaves 0 out."""
        apart = self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
        return apart and not self.real

    @property
    def label(self) -> str:
        """The quantity in a sentence."""
        return f"{self.metric} {self.statistic}".strip()

    def sentence(self) -> str:
        """Say what differs, by how much, and whether that is real."""
        whose = f"{self.b}'s {self.label}"
        if self.difference == 0 and (self.real or self.low == self.high == 0):
            return f"{whose} equals {self.a}'s"
        if self.low is None or self.high is None:
            few = "so few runs without any spread do" if "all alike" in self.kind else "one run each does"
            return f"{whose} is {self._how()} than {self.a}'s; {few} not tell whether that is real"
        if self.real:
            return f"{whose} is {self._how()} than {self.a}'s ({self._range()}), real"
        more = "-n 10" if OF_ONE_RUN in self.kind else "more replications"
        doubt = f"perhaps; {more} would tell" if self.perhaps else "which may be chance"
        return f"{whose} is {self._how()} than {self.a}'s ({self._range()}), {doubt}"

    def _how(self) -> str:
        word = "lower" if self.difference < 0 else "higher"
        if self.relative is None:
            return f"{written(abs(self.difference), self.unit)} {word}"
        return f"{format_percent(abs(self.relative))} {word}"

    def _range(self) -> str:
        """The interval of the difference, seen from its own side of 0."""
        assert self.low is not None
        assert self.high is not None
        low, high = (-self.high, -self.low) if self.difference < 0 else (self.low, self.high)
        if self.relative is None:
            return f"{written(low, self.unit)} to {written(high, self.unit)}"
        size = abs(self.mean_a)
        return f"{percents(low / size)} to {format_percent(high / size)}"


@dataclass(frozen=True)
class Candidate:
    """What is known of one candidate.

    Attributes:
        name: Its name.
        source: Folder of its run; None for one in memory.
        seed: Seed of its scenario.
        measured: Quantity -> its value in each replication; None where it is missing.
        compared: Places of the replications that its means are over, which all candidates have; None for all.
    """

    name: str
    source: str | None
    seed: int
    measured: dict[str, list[float | None]]
    compared: list[int] | None = None

    @property
    def replications(self) -> int:
        """How many there are."""
        return max(map(len, self.measured.values()), default=0)

    def mean(self, name: str) -> float | None:
        """Mean of a quantity over the replications that are compared and have it."""
        return self.mean_of(self.measured.get(name, ()))

    def mean_of(self, values: Sequence[float | None]) -> float | None:
        """The same of values of another quantity, one a replication."""
        chosen = values if self.compared is None else [values[place] for place in self.compared if values]
        known = [value for value in chosen if value is not None]
        return math.fsum(known) / len(known) if known else None


class Comparison:
    """Candidates, and how they differ.

    Args:
        candidates: What is known of each, in order.
        rows: Their differences.
        confidence: Of the intervals; a difference is real if its adjusted p lies below 1 - confidence (`Row.real`).
        notes: What a reader must know: what could not be paired, which runs were unstable.
        runs: The runs, where they are at hand.
        folder: Where it is stored; None for one in memory.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        rows: Sequence[Row],
        confidence: float,
        notes: Sequence[str] = (),
        runs: Mapping[str, AnyRun | RunSet] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.candidates = list(candidates)
        self.rows = list(rows)
        self.confidence = confidence
        self.notes = list(notes)
        self.folder = folder
        self._runs = dict(runs) if runs is not None else None

    @property
    def names(self) -> list[str]:
        """Names of the candidates."""
        return [each.name for each in self.candidates]

    @cached_property
    def runs(self) -> dict[str, AnyRun | RunSet]:
        """The run behind each name.

        Raises:
            ResultsError: A folder is no longer there.
        """
        if self._runs is not None:
            return self._runs
        assert self.folder is not None
        return {each.name: load_run(self.folder / str(each.source)) for each in self.candidates}

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per pair and quantity; see `Row` for the columns."""
        import pandas as pd  # noqa: PLC0415 - takes a second to import

        return pd.DataFrame([asdict(row) for row in self.rows], columns=list(Row.__dataclass_fields__))

    @property
    def sentences(self) -> list[str]:
        """The differences in words: the real ones, then the others."""
        return [row.sentence() for row in sorted(self.rows, key=lambda row: not row.real)]

    def pareto(self, x: str, y: str, z: str | None = None) -> pd.DataFrame:
        """Find the candidates that no other one beats in two or three quantities.

        Returns:
            A row per candidate, named by the index: its means, `front`, and `dominated_by`, the name of one that
            is at least as good in all of them.
        """
        import pandas as pd  # noqa: PLC0415 - takes a second to import

        from edgesim.results.pareto import pareto  # noqa: PLC0415 - numpy is not for reading a comparison

        names = [name for name in (x, y, z) if name]
        means = {
            quantity(name).name: [self._mean(one, quantity(name).name) for one in self.candidates]
            for name in names
        }
        index = pd.Index(self.names, name="candidate")
        table = pareto(pd.DataFrame(means, index=index, dtype=float), names)
        table["dominated_by"] = ["" if name is None else name for name in table["dominated_by"]]
        return table

    def _mean(self, candidate: Candidate, name: str) -> float:
        """Mean of a quantity; of one that was not compared, from the runs."""
        from edgesim.results.run import Run  # noqa: PLC0415 - that file opens comparisons, too

        if name in candidate.measured:
            found = candidate.mean(name)
        else:
            result = self.runs[candidate.name]
            runs = [result] if isinstance(result, Run) else list(result)
            found = candidate.mean_of([quantity(name).of(run.summary) for run in runs])
        if found is None:
            raise ResultsError(
                f"{candidate.name} has no {name}: nothing to draw a front with; name another one"
            )
        return found

    def as_json(self) -> Json:
        """Everything, as in comparison.json."""
        return {
            "confidence": self.confidence,
            "candidates": [
                asdict(each) | {"means": {name: each.mean(name) for name in each.measured}}
                for each in self.candidates
            ],
            "differences": [asdict(row) for row in self.rows],
            "sentences": self.sentences,
            "notes": self.notes,
        }

    @classmethod
    def open(cls, folder: Path) -> Comparison:
        """Read a stored comparison.

        Raises:
            ResultsError: There is none, or one of another version.
        """
        if (state := manifest_of(folder, KIND)["exit_state"]) != "finished":
            raise ResultsError(
                f"the comparison in '{folder}' did not finish ({state}); run the same `edgesim compare` with --resume"
            )
        content = read_json(folder / COMPARISON)
        try:
            candidates = [
                Candidate(each["name"], each["source"], each["seed"], each["measured"], each.get("compared"))
                for each in content["candidates"]
            ]
            rows = [Row(**each) for each in content["differences"]]
            return cls(candidates, rows, content["confidence"], content["notes"], folder=folder)
        except (KeyError, TypeError) as error:
            raise ResultsError(
                f"'{folder / COMPARISON}' is damaged, or of another version: {error}"
            ) from error

    def __repr__(self) -> str:
        real = sum(row.real for row in self.rows)
        return f"<Comparison of {', '.join(self.names)}: {real} of {len(self.rows)} differences are real>"

    def _repr_html_(self) -> str:
        """Show the differences in a notebook."""
        lines = "".join(
            f"<tr><th>{html.escape(row.label)}</th><td>{html.escape(row.a)}: {written(row.mean_a, row.unit)}</td>"
            f"<td>{html.escape(row.b)}: {written(row.mean_b, row.unit)}</td>"
            f'<td style="text-align: left">{html.escape(row.sentence())}</td></tr>'
            for row in self.rows
        )
        names = ("quantity", "one", "other", "difference")
        head = f"<thead><tr>{''.join(f'<th>{name}</th>' for name in names)}</tr></thead>"
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return (
            f"<table><caption>{html.escape(repr(self))}</caption>{head}<tbody>{lines}</tbody></table>{notes}"
        )
