"""A run as its user sees it: tables as DataFrames, summary, scenario; from a folder or from memory."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import ResultsError
from edgesim.results.folder import (
    SCENARIO,
    SUMMARY,
    DamagedError,
    is_run,
    manifest_of,
    read_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from edgesim.outcome import RunInfo, Totals
    from edgesim.results.writer import MemorySink
    from edgesim.scenario import Scenario

Json = dict[str, Any]

_SUMMARISED: Final = (
    "requests",
    "warmup",
    "stable",
    "stability",
    "metrics",
    "rates",
    "energy_j",
    "by",
    "notes",
)
"""Parts of a summary that every reader relies on."""


class Result:
    """What runs and sets of runs have in common.

    Args:
        scenario: Answers the scenario.
        manifest: How the run came about; its `exit_state` is finished, interrupted or failed.
        folder: Where it is stored; None for a run in memory.
    """

    def __init__(self, scenario: Callable[[], Scenario], manifest: Json, folder: Path | None) -> None:
        self._scenario = scenario
        self.manifest = manifest
        self.folder = folder

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario, with everything spelled out."""
        return self._scenario()

    @cached_property
    def summary(self) -> Json:
        """Counts, metrics, rates, energy, money and verdicts, as in summary.json."""
        return self._summarise()

    @property
    def finished(self) -> bool:
        """Whether the run reached its end."""
        return self.manifest.get("exit_state") == "finished"

    def _summarise(self) -> Json:
        raise NotImplementedError

    def __repr__(self) -> str:
        counts = self.summary["requests"]
        place = f" in {self.folder}" if self.folder else ""
        return (
            f"<{type(self).__name__} {counts['completed']} of {counts['arrived']} requests completed{place}>"
        )

    def _repr_html_(self) -> str:
        """Show verdicts and metrics in a notebook."""
        from edgesim.results.cards import run_card  # noqa: PLC0415 - only notebooks ask

        return run_card(self, int(self.manifest.get("finished_replications", 1)))


class Run(Result):
    """One replication. `requests`, `legs` and `resources` are read when they are first asked for."""

    @cached_property
    def requests(self) -> pd.DataFrame:
        """A row per request; columns of names are categorical."""
        return self._table("requests")

    @cached_property
    def legs(self) -> pd.DataFrame:
        """A row per attempt of a request."""
        return self._table("legs")

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """A row per decision about a request, if they were recorded: `output: {tables: [requests, decisions]}`."""
        return self._table("decisions")

    @cached_property
    def resources(self) -> pd.DataFrame:
        """Time series of replicas and links, if they were recorded."""
        return self._table("resources")

    @cached_property
    def steps(self) -> pd.DataFrame:
        """A row per engine step, if they were recorded: `output: {tables: [requests, steps]}`."""
        return self._table("steps")

    def _table(self, name: str) -> pd.DataFrame:
        raise NotImplementedError


def _unrecorded(where: str, table: str) -> str:
    """Say what is missing and how to get it."""
    if table == "requests":
        return f"{where} has no table 'requests': it kept its summary only, or has lost it; run it again"
    return (
        f"{where} has no table {table!r}; a run records what `output.tables` names:"
        f" run again with --set 'output.tables=[requests, {table}]'"
    )


class StoredRun(Run):
    """A run in a folder."""

    def __init__(self, folder: Path) -> None:
        whole = folder if is_run(folder) else folder.parent
        super().__init__(lambda: _load_scenario(whole), _manifest(whole, folder), folder)
        self._path = folder

    def _summarise(self) -> Json:
        return _summary(self._path)

    def _table(self, name: str) -> pd.DataFrame:
        import pyarrow as pa  # noqa: PLC0415 - reading a summary needs neither arrow nor pandas
        import pyarrow.parquet as pq  # noqa: PLC0415

        path = self._path / f"{name}.parquet"
        if not path.is_file():
            raise ResultsError(_unrecorded(f"'{self._path}'", name))
        try:
            frame: pd.DataFrame = pq.read_table(path).to_pandas()
        except (OSError, pa.ArrowException) as error:
            raise DamagedError(f"cannot read '{path}': {error}; run it again") from error
        return frame


class MemoryRun(Run):
    """A run whose records are still in memory.

    Attributes:
        sink: The records, as integers.
        info: Names behind their codes.
        totals: Sums over fleet and network.
    """

    def __init__(
        self,
        scenario: Scenario,
        manifest: Json,
        *,
        sink: MemorySink,
        info: RunInfo,
        totals: Totals,
        summarise: Callable[[], Json],
    ) -> None:
        super().__init__(lambda: scenario, manifest, None)
        self.sink = sink
        self.info = info
        self.totals = totals
        self._make_summary = summarise

    def records(self, table: str = "requests") -> NDArray[np.void]:
        """All rows of a table as the engine wrote them: integer picoseconds, nanojoules, codes."""
        return self.sink.records(table)

    def _summarise(self) -> Json:
        return self._make_summary()

    def _table(self, name: str) -> pd.DataFrame:
        from edgesim.results.frames import frame  # noqa: PLC0415 - pandas takes a second to import

        if name not in self.scenario.output.tables and not len(self.sink.records(name)):
            raise ResultsError(_unrecorded("this run", name))
        return frame(name, self.sink.records(name), self.info)


class RunSet(Result):
    """Replications of one scenario: the same system and workload, other random numbers.

    They are those that were finished. One that was interrupted is left out; its folder can be loaded by itself.
    If none was finished, the interrupted one is here.

    Args:
        runs: The replications.
        combined: Answers the summary of all of them.
        scenario: Answers the scenario.
        manifest: How the runs came about.
        folder: Where they are stored; None for runs in memory.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        combined: Callable[[], Json],
        scenario: Callable[[], Scenario],
        manifest: Json,
        folder: Path | None,
    ) -> None:
        super().__init__(scenario, manifest, folder)
        self._runs = list(runs)
        self._combined = combined

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, index: int) -> Run:
        return self._runs[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    @cached_property
    def requests(self) -> pd.DataFrame:
        """A row per request of every replication, with the number of the replication in front."""
        import pandas as pd  # noqa: PLC0415 - takes a second to import

        return pd.concat(
            dict(enumerate(run.requests for run in self)), names=["replication", None]
        ).reset_index(level="replication")

    def _summarise(self) -> Json:
        return self._combined()


def load_run(folder: str | Path) -> Run | RunSet:
    """Open the folder of a run, and of nothing else.

    Raises:
        ResultsError: There is no run there, one of another version, or one that never ended.
    """
    path = Path(folder)
    repetition = path.name.startswith("rep-") and not is_run(path) and is_run(path.parent)
    manifest = _manifest(path.parent if repetition else path, path)
    if manifest["exit_state"] == "running":
        raise ResultsError(
            f"the run in '{path}' has not ended: wait for it, or run it again with --force if it was killed"
        )
    repetitions = sorted(path.glob("rep-*"))
    if repetition or not repetitions:
        return StoredRun(path)
    runs = [StoredRun(each) for each in repetitions if (each / SUMMARY).is_file()]
    return RunSet(
        [run for run in runs if run.finished] or runs,
        lambda: _combined(path, manifest),
        lambda: _load_scenario(path),
        manifest,
        path,
    )


def _manifest(folder: Path, replication: Path) -> Json:
    """Read how a run came about; of a replication, with how that one ended."""
    found = manifest_of(folder, "run", ("seed", "exit_state"))
    if replication != folder and int(replication.name[4:]) < found.get("finished_replications", 0):
        found["exit_state"] = "finished"
    return found


def _summary(folder: Path) -> Json:
    """Read a summary, with the parts that every reader relies on."""
    found = read_json(folder / SUMMARY)
    _lacks_nothing(folder / SUMMARY, found, _SUMMARISED)
    return found


def _combined(folder: Path, manifest: Json) -> Json:
    """Read the summary of several replications; of those that are no longer there it says so."""
    found = _summary(folder)
    done = range(int(manifest.get("finished_replications") or 0))
    if lost := [str(number) for number in done if not (folder / f"rep-{number:03d}" / SUMMARY).is_file()]:
        text = (
            f"replication {', '.join(lost)} of {len(done)} is missing: these numbers count it, tables lack it"
        )
        found["notes"] = [*found["notes"], text]
    return found


def _lacks_nothing(path: Path, found: Json, names: Sequence[str]) -> None:
    """Make sure that a file has what its readers rely on."""
    if missing := [name for name in names if found.get(name) is None]:
        raise DamagedError(f"'{path}' is damaged: it lacks '{missing[0]}'; run it again")


def _load_scenario(folder: Path) -> Scenario:
    from edgesim.scenario import load as load_scenario  # noqa: PLC0415 - most readers only want the tables

    return load_scenario(folder / SCENARIO)
