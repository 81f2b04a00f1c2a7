"""Running a scenario: one replication or several, in memory or into a run folder, kept whatever happens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edgesim.outcome import Outcome, Progress, Replication, RunInfo, Sink, Totals
from edgesim.results import MemoryRun, Run, RunSet, StoredRun
from edgesim.results import folder as folders
from edgesim.results.certainty import warmup
from edgesim.results.combine import combine
from edgesim.results.folder import MANIFEST, SCENARIO, SUMMARY
from edgesim.results.quantity import quantity
from edgesim.results.source import FileSource, MemorySource
from edgesim.results.summary import Effort, summarise
from edgesim.results.writer import MemorySink, RecordWriter
from edgesim.stats import narrow_enough
from edgesim.units import format_percent, format_seconds

if TYPE_CHECKING:
    import os

    from edgesim.results.slo import Slo
    from edgesim.results.source import Source
    from edgesim.scenario import Scenario
    from edgesim.scenario.settings import Precision
    from edgesim.simulation import Simulation

Build = Callable[["Scenario", int], Replication]
Watch = Callable[[int], AbstractContextManager["Progress | None"]]
"""Number of a replication -> what watches it: entered before it runs, left when it ended."""
Process = Callable[["Simulation"], Generator[Any, Any, Any]]
"""A SimPy process: a generator function of the simulation."""
Json = dict[str, Any]


def simulate(
    scenario: Scenario | str | os.PathLike[str] | Mapping[str, Any],
    *,
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
    seed: int | None = None,
    replications: int | None = None,
    precision: str | None = None,
    engine: str | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    processes: Sequence[Process] = (),
    progress: Progress | None = None,
) -> Run | RunSet:
    """Run a scenario.

    Args:
        scenario: A scenario, a YAML file, the name of a packaged scenario, or the same as a mapping.
        sets: Overrides of the form "key.path=value".
        plugins: Python files with policies.
        seed: Seed, instead of the scenario's.
        replications: Number of repetitions with other random numbers, instead of the scenario's.
        precision: Add replications until intervals are so narrow, e.g. "2 %", instead of the scenario's.
        engine: "kernel", "reference" or "auto", instead of the scenario's.
        out: Folder to write; by default nothing is written and records stay in memory.
        force: Replace an earlier run in that folder.
        processes: SimPy processes of your own: generator functions that take the simulation; start at 0 s.
        progress: Called now and then with the simulated seconds and the requests that ended so far.

    Returns:
        The run; a set of runs if there are several replications.

    Raises:
        EdgesimError: Something is wrong; what was finished until then is kept in `out`.
        KeyboardInterrupt: As usual; what was finished until then is kept in `out`.
    """
    loaded = _prepared(
        scenario, sets, plugins, seed=seed, replications=replications, precision=precision, engine=engine
    )
    plan = Plan(
        loaded,
        None if out is None else Path(out),
        force=force,
        build=partial(build, processes=tuple(processes)),
    )
    found = plan.run(lambda _: nullcontext(progress))
    if found.manifest["exit_state"] == "interrupted":
        raise KeyboardInterrupt
    return found


def _prepared(
    scenario: Scenario | str | os.PathLike[str] | Mapping[str, Any],
    sets: Sequence[str],
    plugins: Sequence[str],
    **settings: Any,
) -> Scenario:
    """Load what is not loaded yet, and change settings that were given beside it."""
    from edgesim.scenario import Scenario as Loaded  # noqa: PLC0415 - runs of a loaded scenario do not need the loader
    from edgesim.scenario import given, load  # noqa: PLC0415

    if isinstance(scenario, Loaded):
        if sets or plugins:
            raise TypeError("sets and plugins belong to load_scenario() when the scenario is loaded already")
        return given.changed(scenario, **settings)
    return load(scenario, [*sets, *given.overrides(**settings)], plugins)


def build(scenario: Scenario, replication: int, processes: Sequence[Process] = ()) -> Replication:
    """Build one replication of a scenario, ready to run."""
    from edgesim.simulation import Simulation  # noqa: PLC0415 - brings numba, which a stored run does not need

    return cast("Replication", Simulation(scenario, replication, processes))


@dataclass
class Plan:
    """The replications of a scenario, about to run one after the other.

    Replication i draws the same random numbers whatever the policies: plans that differ in a policy only can
    be compared pairwise.

    Attributes:
        scenario: What to run.
        folder: Where to write; None keeps records in memory.
        force: Replace an earlier run in that folder.
        command: How it was asked for; by default the command line.
        build: Scenario and number of the replication -> what runs.
        keep_tables: Whether a folder gets the tables, and not the summaries only.
        begun: Whether the folder holds this run, and no earlier one.
    """

    scenario: Scenario
    folder: Path | None = None
    force: bool = False
    command: str = ""
    build: Build = build
    keep_tables: bool = True
    begun: bool = field(default=False, init=False)

    @property
    def replications(self) -> int:
        """How many there are; with a precision, at most."""
        return self.scenario.scenario.most_replications

    def run(self, watch: Watch = lambda _: nullcontext()) -> Run | RunSet:
        """Run all replications.

        Ctrl-C ends the run, not the program: what is finished is kept, and the manifest's `exit_state` says
        so. An error is raised again after the same.
        """
        started = time.perf_counter()
        manifest = self._manifest()
        if self.folder is not None:
            folders.check(self.folder, force=self.force)
        first: Replication | None = self.build(
            self.scenario, 0
        )  # may fail: nothing is replaced or written before
        if self.folder is not None:
            folders.prepare(self.folder, force=self.force)
            (self.folder / SCENARIO).write_text(self.scenario.resolved_yaml(), encoding="utf-8")
            folders.write_json(self.folder / MANIFEST, manifest)
            self.begun = True
        runs: list[Run] = []
        state, failure = "finished", None
        for number in range(self.replications):
            try:
                ended = self._replicate(number, watch, manifest, first)
                first = None  # its memory is free for the next one
            except KeyboardInterrupt:  # between simulating and summarising: the tables are whole
                ended = Ended(None, "interrupted", None)
            if ended.run is not None:
                runs.append(ended.run)
                ended.run.manifest = manifest | {"exit_state": ended.state}
            state, failure = ended.state, ended.failure
            if state != "finished" or enough(self.scenario, runs):
                break
        manifest |= {
            "exit_state": state,
            "error": None if failure is None else str(failure),
            "finished_replications": number if state != "finished" else number + 1,
            "wall_s": time.perf_counter() - started,
            "peak_rss_mib": folders.peak_rss_mib(),
        }
        if self.folder is not None:
            folders.write_json(self.folder / MANIFEST, manifest)
        found = self._gathered(runs, manifest) if runs else None
        if failure is not None:
            raise failure
        if found is None:
            raise KeyboardInterrupt
        return found

    def give_up(self, error: str) -> None:
        """Write down why this run failed; if it had not begun, in place of an earlier one."""
        assert self.folder is not None
        if self.begun:
            found = folders.read_json(self.folder / MANIFEST)
            folders.write_json(self.folder / MANIFEST, found | {"error": error})
            return
        folders.prepare(self.folder, force=self.force)
        (self.folder / SCENARIO).write_text(self.scenario.resolved_yaml(), encoding="utf-8")
        ended = {"exit_state": "failed", "error": error, "finished_replications": 0}
        folders.write_json(self.folder / MANIFEST, self._manifest() | ended)

    def _manifest(self) -> Json:
        settings = self.scenario.scenario
        return folders.manifest(
            scenario=settings.name,
            digest=self.scenario.digest(),
            seed=settings.seed,
            replications=settings.most_replications,
            command=self.command or folders.command_line(),
            engine=self.scenario.engine,
        )

    def _replicate(self, number: int, watch: Watch, manifest: Json, built: Replication | None) -> Ended:
        """Run one replication, built before or now, and summarise it."""
        try:
            simulation = built or self.build(self.scenario, number)
        except Exception as error:  # noqa: BLE001 - raised again once the manifest says so
            return Ended(None, "failed", error)
        tables = self.scenario.output.tables
        place = self._place(number)
        sink: RecordWriter | MemorySink
        if place is not None:
            place.mkdir(exist_ok=True)
        if place is None or not self.keep_tables:
            sink = MemorySink(tables=tables if place is None else ("requests",))
        else:
            sink = RecordWriter(place, simulation.info, ("requests", *tables))
        with watch(number) as progress:
            outcome, state, failure, effort = _run(simulation, sink, progress)
        info, totals = self._told(outcome.info), outcome.totals
        if totals.network_nj is None:
            totals = replace(totals, network_nj=sink.network_nj)
        source: Source
        if isinstance(sink, MemorySink):
            source = MemorySource(sink.chunks("requests"), info)
        else:
            assert place is not None
            source = FileSource(place / "requests.parquet")
        if self.scenario.scenario.find_warmup:
            info = replace(info, warmup_s=warmup(source, info))
        if place is None:
            assert isinstance(sink, MemorySink)
            run: Run = MemoryRun(
                self.scenario,
                manifest,
                sink=sink,
                info=info,
                totals=totals,
                summarise=lambda: summarise(source, info, totals, _with_peak(effort)),
            )
        else:
            found = summarise(source, info, totals, _with_peak(effort))
            if state != "finished":
                found["notes"].append(f"{state} at {format_seconds(info.duration_s)}: not finished")
            folders.write_json(place / SUMMARY, found)
            run = StoredRun(place)
        return Ended(run, state, failure)

    def _place(self, number: int) -> Path | None:
        """Folder of a replication."""
        if self.folder is None or self.replications == 1:
            return self.folder
        return self.folder / f"rep-{number:03d}"

    def _told(self, info: RunInfo) -> RunInfo:
        """Add what the scenario alone decides."""
        settings = self.scenario.scenario
        return replace(info, warmup_s=settings.warmup, slo=slo_of(self.scenario), seed=settings.seed)

    def _gathered(self, runs: Sequence[Run], manifest: Json) -> Run | RunSet:
        """Tell the runs how it ended, and write the summary of all of them if there are several."""
        for run in runs:
            run.manifest = manifest | {"exit_state": run.manifest["exit_state"]}
        if self.replications == 1:
            return runs[0]
        slo = slo_of(self.scenario)
        finished = [run for run in runs if run.finished]
        together = RunSet(
            finished or runs,
            lambda: self._combined(finished, runs, slo),
            lambda: self.scenario,
            manifest,
            self.folder,
        )
        if self.folder is not None:
            folders.write_json(self.folder / SUMMARY, together.summary)
        return together

    def _combined(self, finished: Sequence[Run], runs: Sequence[Run], slo: Slo) -> Json:
        """Combine the finished replications; without any, show how far the first one came."""
        asked = self.scenario.scenario.precision
        reached = None if asked is None else precision(asked, finished)
        planned = len(finished) if reached and reached["enough"] else self.replications
        found = combine([run.summary for run in finished or runs], slo, planned)
        done = found["replications"]["count"] = len(finished)
        if reached is not None:
            found["replications"]["precision"] = reached
            if not reached["enough"] and done == self.replications:
                found["notes"].append(_short_of(reached, done))
        if done < planned:
            numbers = "of these" if done else "of the first one, as far as it came"
            text = f"{done} of {planned} replications were finished; the numbers are those {numbers}"
            found["notes"].append(text)
        return found


@dataclass(frozen=True)
class Ended:
    """A replication that ran, to its end or not; without a run if it was not built or not summarised."""

    run: Run | None
    state: str
    failure: Exception | None


def _run(
    simulation: Replication, sink: RecordWriter | MemorySink, progress: Progress | None
) -> tuple[Outcome, str, Exception | None, Effort]:
    """Run a replication; if it is interrupted or fails, get what is finished."""
    seen = 0.0

    def watched(seconds: float, done: int) -> None:
        nonlocal seen
        seen = seconds
        if progress is not None:
            progress(seconds, done)

    wall, cpu = time.perf_counter(), time.process_time()
    state, failure = "finished", None
    try:
        outcome = simulation.run(sink, watched)
    except KeyboardInterrupt:
        state = "interrupted"
    except Exception as error:  # noqa: BLE001 - raised again once the results so far are safe
        state, failure = "failed", error
    try:
        if state != "finished":
            outcome = _salvaged(simulation, sink, seen)
    finally:
        sink.close()
    return outcome, state, failure, Effort(time.perf_counter() - wall, time.process_time() - cpu)


def _salvaged(simulation: Replication, sink: Sink, seen: float) -> Outcome:
    """Get what an interrupted replication has finished; a broken one may refuse, then the records must do."""
    try:
        return simulation.so_far(sink)
    except Exception:  # noqa: BLE001 - the first error is the one to report
        return Outcome(Totals(), replace(simulation.info, duration_s=seen))


def _with_peak(effort: Effort) -> Effort:
    return replace(effort, peak_rss_mib=folders.peak_rss_mib())


def precision(asked: Precision, runs: Sequence[Run]) -> Json:
    """Say how near the truth some replications have come, number by number, and whether that is near enough."""
    found = {
        name: narrow_enough([quantity(name).of(run.summary) for run in runs], asked.within)
        for name in asked.of
    }
    return {
        "within": asked.within,
        "reached": {name: None if math.isnan(one.reached) else one.reached for name, one in found.items()},
        "enough": all(one.enough for one in found.values()),
    }


def enough(scenario: Scenario, runs: Sequence[Run]) -> bool:
    """Whether no further replication is needed, since those finished come as near the truth as was asked."""
    asked = scenario.scenario.precision
    return asked is not None and len(runs) >= asked.at_least and bool(precision(asked, runs)["enough"])


def _short_of(reached: Json, count: int) -> str:
    """Say which numbers did not come as near the truth as was asked."""
    wanted = reached["within"]
    parts = [
        f"{name} is {'not known at all' if each is None else f'known within {format_percent(each)}'}"
        for name, each in reached["reached"].items()
        if each is None or each > wanted / (1 + wanted)
    ]
    return f"{format_percent(wanted)} was not reached in {count} replications: {', '.join(parts)}"


def slo_of(scenario: Scenario) -> dict[str, dict[str, float]]:
    """Answer the objectives of a scenario: metric -> statistic -> bound."""
    found = {}
    for name, target in scenario.slo.targets():
        found[name] = dict(target.bounds())
        if target.attainment is not None:
            found[name]["attainment"] = target.attainment
    return found


def default_folder(scenario: Scenario) -> Path:
    """Answer the folder that a run of a scenario gets unless another one is named."""
    return folders.default_folder(Path(scenario.output.dir), scenario.scenario.name, scenario.digest())
