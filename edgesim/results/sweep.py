"""A sweep as its user sees it: its points, one long table, and the run behind each point."""

from __future__ import annotations

import shutil
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from edgesim.errors import ResultsError
from edgesim.results import folder as folders
from edgesim.results import points as tables
from edgesim.results.folder import MANIFEST, read_json
from edgesim.results.points import POINTS
from edgesim.results.run import load_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from edgesim.results.run import Run, RunSet

Json = dict[str, Any]

KIND: Final = "sweep"
SWEEP: Final = "sweep.yaml"
FOLDERS: Final = "points"
"""Folder of the points inside that of the sweep."""
MOST_NAMED: Final = 8
"""Points that a note names."""


@dataclass(frozen=True)
class Point:
    """One parameter setting of a sweep.

    Attributes:
        number: Its number, from 0.
        values: Swept key -> value, as it was written.
        label: The values in one line, with short keys.
        status: "finished", "failed", or "missing" where it has not run yet.
        error: Why it failed; "" if it did not.
    """

    number: int
    values: dict[str, Any]
    label: str
    status: str
    error: str = ""


class Sweep:
    """A sweep in a folder.

    Args:
        folder: The folder that `edgesim sweep` named at its end.
        partial: Accept a sweep that was not finished; its table holds the points that are there.

    Attributes:
        folder: The folder.
        manifest: How the sweep came about.

    Raises:
        ResultsError: There is no sweep, an unfinished one, or one of another version.
    """

    def __init__(self, folder: str | Path, *, partial: bool = False) -> None:
        self.folder = Path(folder)
        self.manifest = manifest_of(self.folder)
        if not self.finished and not partial:
            raise ResultsError(
                f"'{folder}' holds {self._done()} of {len(self)} points: the sweep was not finished; run the"
                " same `edgesim sweep` with --resume"
            )

    @classmethod
    def owning(cls, folder: Path) -> Self:
        """Open a sweep in a temporary folder, which goes when the sweep is no longer used."""
        found = cls(folder)
        weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
        return found

    @property
    def finished(self) -> bool:
        """Whether all points ran, those that failed included."""
        return self.manifest.get("exit_state") == "finished" and (self.folder / POINTS).is_file()

    @property
    def keys(self) -> list[str]:
        """The swept keys."""
        return [str(key) for key in self.manifest["keys"]]

    @cached_property
    def points(self) -> list[Point]:
        """The points, in order."""
        labels, values = self.manifest["labels"], self.manifest["values"]
        found = []
        for number, (label, given) in enumerate(zip(labels, values, strict=True)):
            folder = self.folder_of(number)
            manifest = read_json(folder / MANIFEST) if folder.is_dir() else {"exit_state": "missing"}
            status, error = manifest["exit_state"], manifest.get("error") or ""
            found.append(Point(number, dict(zip(self.keys, given, strict=True)), label, status, error))
        return found

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know: which points mean less than they seem to, or were made by other code."""
        there = [folder for folder in map(self.folder_of, range(len(self))) if folder.is_dir()]
        found = folders.mixed(read_json(folder / MANIFEST) for folder in there)
        return [*doubts(self.table), *(f"the points were {text}" for text in found)]

    @property
    def failed(self) -> list[Point]:
        """The points that failed."""
        return [point for point in self.points if point.status == "failed"]

    def __len__(self) -> int:
        return len(self.manifest["labels"])

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per point and replication.

        Columns: `point`, the swept keys (quantities in SI units, policies as text), `replication`, `status`
        ("finished" or "failed"), `error`, counts of requests, each metric with its statistics (`ttft_p95` ...),
        rates, energy [J], cost [USD], carbon [gCO2], and the utilisation of each tier. `units` has their units.
        """
        import pyarrow.parquet as pq  # noqa: PLC0415 - takes half a second to import

        if not (self.folder / POINTS).is_file():
            return self._partial()
        found = _checked(self.folder, self.keys)
        frame: pd.DataFrame = pq.read_table(found).to_pandas()
        return frame

    def as_json(self) -> list[Json]:
        """The rows of the table, as `--json` prints them: to the last digit, and null where a value is missing."""
        frame = self.table.astype(object)
        rows = frame.where(frame.notna(), None).to_dict("records")
        return [{str(name): value for name, value in row.items()} for row in rows]

    def _partial(self) -> pd.DataFrame:
        """Make the table of the points that are there."""
        import pandas as pd  # noqa: PLC0415 - takes a second to import

        columns = self.manifest["columns"]
        found = [
            {"point": number, **{key: columns[key][number] for key in self.keys}, **row}
            for number in range(len(self))
            if self.folder_of(number).is_dir()
            for row in tables.rows(self.folder_of(number))
        ]
        names = [*tables.FIRST, *self.keys, *(name for name in tables.units() if name not in tables.FIRST)]
        return pd.DataFrame(found, columns=[*names, *sorted({n for row in found for n in row} - set(names))])

    @property
    def units(self) -> dict[str, str]:
        """Column of the table -> its unit; "" for plain numbers and text."""
        tiers = {name: "" for name in self.table.columns if name.startswith("utilisation_")}
        return {**tables.units(), **self.manifest["units"], **tiers}

    def folder_of(self, point: int) -> Path:
        """Answer where a point is stored."""
        return self.folder / FOLDERS / folder_name(point)

    def run(self, point: int) -> Run | RunSet:
        """Open the run behind a point; it has tables if the sweep kept them (`keep: requests`).

        Raises:
            ResultsError: The point has not run, or failed.
        """
        if not 0 <= point < len(self):
            raise ResultsError(f"there is no point {point}; the sweep has {len(self)}, from 0")
        found = self.points[point]
        if found.status != "finished":
            text = (
                f"point {point} ({found.label}) {'failed: ' + found.error if found.error else 'has not run'}"
            )
            raise ResultsError(text)
        return load_run(self.folder_of(point))

    def _done(self) -> int:
        return sum(self.folder_of(number).is_dir() for number in range(len(self)))

    def __repr__(self) -> str:
        keys = ", ".join(self.keys)
        return f"<Sweep of {len(self)} points over {keys} in {self.folder}>"

    def _repr_html_(self) -> str:
        """Show the swept keys and the most asked-for columns in a notebook."""
        from edgesim.results.cards import sweep_card  # noqa: PLC0415 - only notebooks ask

        return sweep_card(self, SHOWN)


SHOWN: Final = (
    "status", "ttft_p50", "ttft_p95", "tpot_p50", "e2e_p95", "throughput_rps", "goodput_rps", "energy_j", "cost_usd",
)  # fmt: skip
"""Columns that are shown first."""


def folder_name(point: int) -> str:
    """Name the folder of a point."""
    return f"{point:04d}"


def manifest_of(folder: Path) -> Json:
    """Read how a sweep came about.

    Raises:
        ResultsError: There is none, or one of another version.
    """
    needed = ("keys", "labels", "values", "columns", "units", "exit_state", "versions", "sweep_sha256")
    return folders.manifest_of(folder, KIND, needed)


def _checked(folder: Path, keys: list[str]) -> Path:
    """Make sure that a table has the columns that every reader relies on."""
    import pyarrow as pa  # noqa: PLC0415 - takes half a second to import
    import pyarrow.parquet as pq  # noqa: PLC0415

    path = folder / POINTS
    try:
        names = set(pq.read_schema(path).names)
    except (OSError, pa.ArrowInvalid) as error:
        raise ResultsError(f"cannot read '{path}': {error}; `--resume` writes it again") from error
    if missing := [name for name in (*tables.units(), *keys) if name not in names]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ResultsError(
            f"'{path}' lacks the column '{missing[0]}'{more}: another version wrote it; `edgesim sweep` with"
            " --resume writes it again from its points"
        )
    return path


def doubts(frame: pd.DataFrame) -> list[str]:
    """Say which points mean less than their numbers seem to: unstable ones, and those that measured little."""
    from edgesim.results.certainty import FEW  # noqa: PLC0415 - brings numpy

    done = frame[frame["status"] == "finished"]
    counts = done["e2e_count"].fillna(0)
    kinds = {
        "more arrives than leaves: latencies say how long the run was": ~done["stable"].astype(bool),
        "no completed request was measured": counts == 0,
        f"fewer than {FEW} requests were measured: percentiles are mostly chance": (counts > 0)
        & (counts < FEW),
    }
    return [
        f"{_points(sorted(set(done.loc[rows, 'point'].astype(int))))}: {told}"
        for told, rows in kinds.items()
        if rows.any()
    ]


def _points(numbers: list[int]) -> str:
    """Name points, the first ones if there are many."""
    told = ", ".join(map(str, numbers[:MOST_NAMED]))
    rest = f" and {len(numbers) - MOST_NAMED:,} more" if len(numbers) > MOST_NAMED else ""
    return f"point{'' if len(numbers) == 1 else 's'} {told}{rest}"
