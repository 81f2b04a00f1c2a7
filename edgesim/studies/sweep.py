"""Running sweeps: many points of one scenario, here, in parallel or on a cluster, resumed where they ended."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import EdgesimError
from edgesim.results import folder as folders
from edgesim.results.sweep import KIND, Point, Sweep
from edgesim.scenario import given
from edgesim.studies.backends import Dask, Job, Processes, at_work, processors, results
from edgesim.studies.sweep_folder import LEFTOVERS, SweepFolder, default_folder
from edgesim.studies.sweep_points import Prepared, prepare

if TYPE_CHECKING:
    import os

    from edgesim.studies.backends import Pool
    from edgesim.studies.sweep_points import Source

BACKENDS: Final = ("serial", "processes", "dask")


@dataclass(frozen=True)
class Step:
    """How far a sweep is, told after each point.

    Attributes:
        point: The point that has just ended; -1 before the first one.
        label: What it set.
        error: Why it failed; "" if it did not.
        wall_s: Wall time of the point [s].
        done: Points that are finished, those of earlier attempts included.
        total: All points.
        left_s: Wall time that the rest will take, as it looks [s]; None until the workers have started up.
    """

    point: int
    label: str
    error: str
    wall_s: float
    done: int
    total: int
    left_s: float | None


Watch = Callable[[Step], None]


class Left:
    """How long the rest of a sweep takes, judged without the first point of each worker: they start up meanwhile.

    Args:
        workers: How many points run side by side.
        points: How many there are to run.
    """

    def __init__(self, workers: int, points: int) -> None:
        self._workers = workers
        self._points = points
        self._ended = 0
        self._since = 0.0

    def after_another(self, now: float) -> float | None:
        """Wall time that the rest will take after another point has ended [s]; None while nothing is known of it."""
        self._ended += 1
        rest, ran = self._points - self._ended, self._ended - self._workers
        if ran == 0:
            self._since = now
        if not rest:
            return 0.0
        return (now - self._since) / ran * rest if ran > 0 else None


def sweep(
    scenario: Source | os.PathLike[str],
    over: Mapping[str, Sequence[Any]] | Sequence[str] = (),
    *,
    sets: Sequence[str] = (),
    plugins: Sequence[str] = (),
    seed: int | None = None,
    replications: int | None = None,
    precision: str | None = None,
    jobs: int = 1,
    backend: str | None = None,
    scheduler: str | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    force: bool = False,
    keep: str | None = None,
    progress: Watch | None = None,
) -> Sweep:
    """Run a scenario at many points.

        found = edgesim.sweep("quickstart", {"workloads.chat.arrivals.rate": ["2/s", "4/s", "8/s"]}, jobs=2)
        found.table.plot(x="workloads.chat.arrivals.rate", y="ttft_p95")

    All points share the scenario's seed, and so its random numbers, unless `scenario.seed` itself is swept: what
    differs between points is what was set.

    Args:
        scenario: A scenario, a YAML file, the name of a packaged scenario, or the same as a mapping.
        over: Key of the scenario -> its values, of which every combination is a point; by default, what the
            scenario's section `sweep` says.
        sets: Overrides of the form "key.path=value", for all points.
        plugins: Python files with policies.
        seed: Seed, instead of the scenario's.
        replications: Repetitions of each point with other random numbers, instead of the scenario's.
        precision: Add replications to each point until intervals are so narrow, e.g. "2 %", instead of the scenario's.
        jobs: How many processes; 0 for as many as there are processors.
        backend: "serial", "processes" or "dask"; by default the first for one job, and the second for more.
        scheduler: Address of the Dask scheduler, such as "tcp://host:8786".
        out: Folder to write; by default a temporary one that lives as long as the answer.
        resume: Continue the sweep in that folder; points that are finished there are not run again.
        force: Replace the sweep in that folder.
        keep: "summary", or "requests" to keep the tables of each point; by default, what the scenario says.
        progress: Called before the first and after each point.

    Returns:
        The sweep; points that failed are marked in its table.

    Raises:
        EdgesimError: Something is wrong; points that were finished until then are kept in `out`.
        KeyboardInterrupt: As usual; the same holds.
    """
    more = given.overrides(seed=seed, replications=replications, precision=precision)
    prepared = prepare(scenario, over=over, sets=[*sets, *more], plugins=plugins, keep=keep)
    plan = SweepPlan(prepared, jobs=jobs, backend=backend, scheduler=scheduler)
    if out is not None:
        return plan.run(Path(out), resume=resume, force=force, progress=progress)
    own = Path(tempfile.mkdtemp(prefix="edgesim-sweep-"))
    try:
        plan.run(own, progress=progress)
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    return Sweep.owning(own)


@dataclass
class SweepPlan:
    """A sweep about to run.

    Attributes:
        sweep: The points.
        jobs: How many processes; 0 for as many as there are processors.
        backend: Where points run; None to choose by `jobs`.
        scheduler: Address of the Dask scheduler.
        command: How it was asked for; by default the command line.
        kept: Points that are finished in the folder.
    """

    sweep: Prepared
    jobs: int = 1
    backend: str | None = None
    scheduler: str | None = None
    command: str = ""
    kept: int = field(default=0, init=False)
    _dask: Dask | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.backend is None:
            self.backend = "dask" if self.scheduler else "serial" if self.jobs == 1 else "processes"
        if self.backend not in BACKENDS:
            raise EdgesimError(f"no backend named {self.backend!r}; there are {', '.join(BACKENDS)}")
        if (self.backend == "dask") != bool(self.scheduler):
            raise EdgesimError(
                "the backend 'dask' and the address of a scheduler belong together; write e.g."
                " --backend dask --scheduler tcp://host:8786"
            )
        if self.backend == "serial" and self.jobs != 1:
            raise EdgesimError(
                "the backend 'serial' runs one point at a time; leave the jobs (-j) away, or use --backend processes"
            )

    @property
    def folder(self) -> Path:
        """Where it is stored unless another folder is named."""
        return default_folder(self.sweep)

    def run(
        self, folder: Path, *, resume: bool = False, force: bool = False, progress: Watch | None = None
    ) -> Sweep:
        """Run the points that are not finished yet."""
        with ExitStack() as stack:
            if self.backend == "dask":  # before anything is made or replaced: there may be no scheduler
                self._dask = stack.enter_context(at_work(Dask(str(self.scheduler))))
            folders.earlier(folder, KIND, LEFTOVERS)
            stack.enter_context(folders.locked(folder))
            store = SweepFolder(folder, self.sweep)
            todo = store.begin(self.command or folders.command_line(), resume=resume, force=force)
            self.kept = len(self.sweep.settings) - len(todo)
            started = time.perf_counter()
            ended: dict[str, Any] = {"state": "interrupted"}
            try:
                self._run(store, todo, progress)
                ended = {"state": "finished"}
            except Exception as error:
                ended = {"state": "failed", "error": str(error)}
                raise
            finally:
                store.end(**ended, wall_s=time.perf_counter() - started)
            return Sweep(folder)

    def _run(self, store: SweepFolder, todo: Sequence[int], progress: Watch | None) -> None:
        """Run some points, and take each one up when it is finished."""
        total = len(self.sweep.settings)
        left = Left(self._workers(len(todo)), len(todo))
        if progress is not None:
            progress(Step(-1, "", "", 0.0, self.kept, total, None))
        shared = "" if self.backend == "dask" else str(store.scratch.absolute())
        with ExitStack() as stack:
            pool: Pool | None = self._dask
            if self.backend == "processes" and todo:
                pool = stack.enter_context(at_work(Processes(self._workers(len(todo)))))
            for found in results(pool, [self._job(number, shared) for number in todo]):
                store.take(found)
                self.kept += 1
                left_s = left.after_another(time.perf_counter())
                if progress is not None:
                    label = self.sweep.settings[found.point].label
                    progress(Step(found.point, label, found.error, found.wall_s, self.kept, total, left_s))

    def _workers(self, points: int) -> int:
        """How many points run side by side."""
        if self.backend == "serial":
            return 1
        if self._dask is not None:
            return self._dask.workers
        return max(1, min(self.jobs or processors(), points))

    def _job(self, number: int, scratch: str) -> Job:
        """Make the job of a point."""
        setting = self.sweep.settings[number]
        return Job(
            point=number,
            scenario=setting.scenario,
            fault=setting.fault,
            keep_tables=self.sweep.keep == "requests",
            command=self.command or folders.command_line(),
            policies=() if self.backend == "serial" else self.sweep.policies,
            scratch=scratch,
        )


__all__ = ["BACKENDS", "Point", "Prepared", "Step", "Sweep", "SweepPlan", "prepare", "sweep"]
