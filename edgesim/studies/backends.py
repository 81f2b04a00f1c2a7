"""Where the runs of a study are made: in this process, in processes beside it, or on a Dask cluster.

A worker runs points and hands back finished folders (or numbers); only the process that leads the study puts them among
its results. So a worker that dies, or one whose leader died, can lose work but never spoil any.
"""

from __future__ import annotations

import gc
import os
import pickle
import re
import shutil
import tempfile
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from edgesim import __version__
from edgesim.errors import (
    EdgesimError,
    MissingExtraError,
    ResultsError,
    ScenarioError,
    SimulationError,
    path_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgesim.scenario import Scenario

TASK_S: Final = 0.5
"""Points that are shorter than this travel together, about so much work at a time [s]."""
MOST_LOSSES: Final = 3
"""So often may the worker of one point die before the study stops."""
ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
"""What keeps the libraries of a worker to one thread: there is a worker for each processor already."""

_ONE_AT_A_TIME: Final = threading.Lock()
_WARM: Final = threading.Event()


Policies = tuple[tuple[str, str, type[Any]], ...]
"""Classes of policies by role and name."""


class Ran(Protocol):
    """What a task gives back."""

    @property
    def wall_s(self) -> float:
        """Wall time that it took [s]."""


T = TypeVar("T", bound=Ran)
T_co = TypeVar("T_co", bound=Ran, covariant=True)


class Task(Protocol[T_co]):
    """Work that travels to a worker."""

    @property
    def point(self) -> int:
        """Number of the point that it belongs to."""

    def run(self) -> T_co:
        """Do it; there or here."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every task carries.

    Attributes:
        point: Number of its point.
        scenario: The scenario, pickled.
        version: Version of edgesim that leads the study.
        policies: Classes of policies that a worker cannot import.
    """

    point: int
    scenario: bytes
    version: str = __version__
    policies: Policies = ()

    def opened(self) -> Scenario:
        """Make the scenario ready to run in this process."""
        from edgesim import registry  # noqa: PLC0415 - a worker imports it when it has work

        if self.version != __version__:
            text = f"a worker runs edgesim {__version__}, the study {self.version}"
            raise ResultsError(f"{text}; install the same version on both")
        scenario: Scenario = pickle.loads(self.scenario)  # noqa: S301 - from the process that leads the study
        for plugin in scenario.plugins:
            registry.load_plugin(plugin)
        if self.policies:
            from edgesim import policies  # noqa: F401, PLC0415 - fills the registries

            for role, name, policy in self.policies:
                registry.registries[role].add(name, policy)
        return scenario


def local_policies(scenarios: Iterable[Scenario]) -> Policies:
    """Find the policies that a notebook or the running script defines: they travel with the tasks."""
    from edgesim.registry import registries  # noqa: PLC0415 - filled by the validation, where a policy is named
    from edgesim.scenario.schema import ROLES  # noqa: PLC0415

    found = {}
    for scenario in scenarios:
        for role, registry in registries.items():
            name = getattr(scenario.policies, role)["kind"] if role in ROLES else ""
            if name in registry and not registry[name].__module__.startswith("edgesim"):
                found[role, name] = (role, name, registry[name])
    return tuple(found.values())


@dataclass(frozen=True, kw_only=True)
class Job(Work):
    """A run folder to make.

    Attributes:
        fault: Why it cannot run; "" if it can.
        keep_tables: Whether its tables are kept, not its summary only.
        command: How the study was asked for.
        scratch: Folder for what is unfinished, which the leader sees, too; "" where it does not.
    """

    fault: str = ""
    keep_tables: bool = True
    command: str
    scratch: str = ""

    def run(self) -> Done:
        """Run into a folder."""
        started = time.perf_counter()
        scenario = self.opened()
        if self.scratch:
            Path(self.scratch).mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{self.point:04d}-", dir=self.scratch or None))
        try:
            error = _written(self, scenario, place / "point")
            if self.scratch:
                return Done(self.point, str(place / "point"), (), error, time.perf_counter() - started)
            files = tuple(
                (path.relative_to(place / "point").as_posix(), path.read_bytes())
                for path in sorted((place / "point").rglob("*"))
                if path.is_file()
            )
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        shutil.rmtree(place, ignore_errors=True)
        return Done(self.point, "", files, error, time.perf_counter() - started)


@dataclass(frozen=True)
class Done:
    """A point that ran.

    Attributes:
        point: Its number.
        folder: Its finished folder, to be moved; "" if `files` has it.
        files: Path in the folder -> content.
        error: Why it failed; "" if it did not.
        wall_s: Wall time [s].
    """

    point: int
    folder: str
    files: tuple[tuple[str, bytes], ...]
    error: str
    wall_s: float


def compute(tasks: Sequence[Task[T]]) -> list[T]:
    """Do some tasks, one after the other; threads of one process take turns, as policies share their modules."""
    with _ONE_AT_A_TIME, _one_compiler():
        found = [task.run() for task in tasks]
        if sum(each.wall_s for each in found) > TASK_S / 2:
            gc.collect()  # a run's records hang in cycles; a worker that seems to leak is started anew
        return found


@contextmanager
def _one_compiler() -> Iterator[None]:
    """Let one process compile the engine, where that must be done, while the others wait for it."""
    from edgesim.arena.compile import cache_folder, is_cold  # noqa: PLC0415 - brings numba

    if _WARM.is_set() or not is_cold():
        _WARM.set()
        yield
        return
    with (cache_folder() / ".compiling").open("a") as file:
        with suppress(ImportError):
            import fcntl  # noqa: PLC0415 - POSIX only; elsewhere each compiles for itself

            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield
        _WARM.set()


def _written(job: Job, scenario: Scenario, folder: Path) -> str:
    """Run a point into a folder; answer why it failed, if it did."""
    from edgesim.experiment import Plan  # noqa: PLC0415 - brings numpy and pyarrow

    plan = Plan(scenario, folder, command=job.command, keep_tables=job.keep_tables)
    if job.fault:
        plan.give_up(job.fault)
        return job.fault
    try:
        found = plan.run()
    except (OSError, MemoryError, MissingExtraError, ResultsError):
        raise  # of this machine, not of this point
    except Exception as error:  # noqa: BLE001 - whatever happens to a point is its result
        text = sentence(error)
        plan.give_up(text)
        return text
    if found.manifest["exit_state"] == "interrupted":
        raise KeyboardInterrupt
    return ""


def sentence(error: Exception) -> str:
    """Say in one sentence what went wrong, the same in every process."""
    if isinstance(error, ScenarioError):
        told = [": ".join(part for part in (path_text(p.path), p.text) if part) for p in error.problems]
        text = "; ".join(told)
    elif isinstance(error, EdgesimError):
        text = str(error)
    else:
        text = f"internal error: {type(error).__name__}: {error}"
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool(Protocol):
    """Workers that take batches of tasks."""

    lost: tuple[type[Exception], ...]
    """What a batch raises whose worker died."""

    @property
    def workers(self) -> int:
        """How many there are."""

    def submit(self, batch: list[Any]) -> Any:
        """Hand out a batch of tasks; answers a future."""

    def first(self, futures: Iterable[Any]) -> Iterable[Any]:
        """Wait until some of the futures are done, and answer them."""

    def close(self, *, hurry: bool) -> None:
        """End the workers; in a hurry, whatever they are doing."""


P = TypeVar("P", bound=Pool)


@contextmanager
def at_work(pool: P) -> Iterator[P]:
    """End workers when they are no longer needed: what they are still doing, if something went wrong."""
    try:
        yield pool
    except BaseException:
        pool.close(hurry=True)
        raise
    pool.close(hurry=False)


@contextmanager
def processes(jobs: int, tasks: int) -> Iterator[Processes | None]:
    """Processes for so many tasks at most; None for this one alone.

    Args:
        jobs: How many are asked for; 0 for one a processor.
        tasks: How many tasks there may be at a time.
    """
    count = min(jobs or processors(), tasks)
    if count < 2:
        yield None
        return
    with at_work(Processes(count)) as pool:
        yield pool


def results(pool: Pool | None, tasks: Iterable[Task[T]]) -> Iterator[T]:
    """Do tasks on workers, or in this process; yields each as it ends.

    Short ones travel several at a time; those of a worker that died are done again elsewhere.
    """
    if pool is None:
        for task in tasks:
            yield from compute([task])
        return
    waiting, running, losses = deque(tasks), dict[Any, list[Task[T]]](), Counter[int]()
    spent, ended = 0.0, 0
    while waiting or running:
        while waiting and len(running) < 2 * pool.workers:
            fair = len(waiting) // (2 * pool.workers)  # towards the end all workers have something
            size = min(int(TASK_S * ended / spent), fair) if ended else 1
            batch = [waiting.popleft() for _ in range(min(max(size, 1), len(waiting)))]
            running[pool.submit(batch)] = batch
        for future in list(pool.first(running)):
            batch = running.pop(future)
            try:
                found: list[T] = future.result()
            except pool.lost as error:
                losses.update(task.point for task in batch)
                _check_losses(losses, error)
                waiting.extendleft(reversed(batch))
                continue
            except ImportError as error:
                text = f"a worker cannot import {error.name}; install the same edgesim on all of them"
                raise SimulationError(text) from error
            spent, ended = spent + sum(each.wall_s for each in found), ended + len(found)
            yield from found


def _check_losses(losses: Counter[int], error: Exception) -> None:
    """Stop where workers die again and again."""
    point, times = losses.most_common(1)[0]
    if times >= MOST_LOSSES:
        raise SimulationError(
            f"the worker process of point {point} died {times} times; there may be too little memory: use fewer"
            " workers (-j), then go on with --resume"
        ) from error


class Processes:
    """Processes on this machine (loky, as joblib has it)."""

    def __init__(self, workers: int) -> None:
        from joblib.externals.loky.process_executor import (  # noqa: PLC0415 - only parallel sweeps need it
            BrokenProcessPool,
        )

        self.lost: tuple[type[Exception], ...] = (BrokenProcessPool,)
        self._count = workers
        self._pool: Any = None

    @property
    def workers(self) -> int:
        """How many there are."""
        return self._count

    def submit(self, batch: list[Any]) -> Any:
        """Hand out a batch, to new workers if one of the old ones has died."""
        from joblib.externals.loky.process_executor import (  # noqa: PLC0415
            BrokenProcessPool,
            ProcessPoolExecutor,
        )

        for _ in range(2):
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self._count, initializer=prepare_worker, initargs=(os.getpid(),), env=ONE_THREAD
                )
            try:
                with _deaf():
                    return self._pool.submit(compute, batch)
            except BrokenProcessPool:
                self._pool.shutdown(wait=True, kill_workers=True)
                self._pool = None
        raise SimulationError("worker processes die as soon as they start; use -j 1")

    def first(self, futures: Iterable[Any]) -> Iterable[Any]:
        """Wait until some of the futures are done."""
        from concurrent.futures import FIRST_COMPLETED, wait  # noqa: PLC0415

        return wait(list(futures), return_when=FIRST_COMPLETED).done

    def close(self, *, hurry: bool) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=hurry)


@contextmanager
def _deaf() -> Iterator[None]:
    """Let processes that start here never hear Ctrl-C, even before `prepare_worker`; nor does this one meanwhile."""
    import signal  # noqa: PLC0415

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which is inherited
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def prepare_worker(leader: int) -> None:
    """Make a process a worker: one thread, deaf to Ctrl-C (the leader hears it), gone when its leader is."""
    import signal  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(leader,), daemon=True).start()
    import pyarrow as pa  # noqa: PLC0415 - what the first point would import anyway

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    import_module("edgesim.simulation")
    gc.freeze()  # what was imported stays; the collector need not look at it after each point


def _end_with(leader: int) -> None:
    """End this process when its leader has ended."""
    while os.getppid() == leader:
        time.sleep(1.0)
    os._exit(1)


class Dask:
    """The workers of a Dask scheduler, here or on other machines; they need edgesim and the files of the scenario.

    Args:
        scheduler: Its address, such as "tcp://host:8786".
    """

    def __init__(self, scheduler: str) -> None:
        try:
            import distributed  # noqa: PLC0415 - an extra
        except ImportError:
            raise MissingExtraError("distributed", "dask") from None
        from distributed.scheduler import KilledWorker  # noqa: PLC0415

        self.lost: tuple[type[Exception], ...] = (KilledWorker,)
        self._scheduler = scheduler
        self._seen, self._workers = 0.0, 1
        try:
            self._client = distributed.Client(scheduler, timeout="10 s", set_as_default=False)
        except (OSError, ValueError) as error:
            text = f"no Dask scheduler at '{scheduler}'; start one with `dask scheduler` and workers with"
            raise EdgesimError(f"{text} `dask worker {scheduler}`") from error
        if not self._client.scheduler_info()["workers"]:
            self._client.close()
            text = f"the Dask scheduler at '{scheduler}' has no workers; start some with"
            raise EdgesimError(f"{text} `dask worker {scheduler}`")

    @property
    def workers(self) -> int:
        """How many there are now; asked for once a second."""
        if time.monotonic() - self._seen > 1.0:
            self._workers = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))
            self._seen = time.monotonic()
        return self._workers

    def submit(self, batch: list[Any]) -> Any:
        """Hand out a batch."""
        return self._client.submit(compute, batch, pure=False)

    def first(self, futures: Iterable[Any]) -> Iterable[Any]:
        """Wait until some of the futures are done."""
        from distributed import CancelledError, wait  # noqa: PLC0415

        try:
            with self._client.as_current():
                found: set[Any] = wait(list(futures), return_when="FIRST_COMPLETED").done
        except CancelledError as error:
            text = f"the connection to the Dask scheduler at '{self._scheduler}' was lost"
            raise SimulationError(f"{text}; start it again, then go on with --resume") from error
        return found

    def close(self, *, hurry: bool) -> None:
        """Leave the scheduler; what it still runs of this study it forgets."""
        with suppress(OSError, TimeoutError):
            self._client.close(timeout=2 if hurry else 10)
