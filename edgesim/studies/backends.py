"""Where the points of a sweep run: in this process, in processes beside it, or on a Dask cluster.

A worker runs points and hands back finished folders; only the process that leads the sweep puts them among the
sweep's points. So a worker that dies, or one whose leader died, can lose work but never spoil any.
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
from typing import TYPE_CHECKING, Any, Final, Protocol

from edgesim.errors import (
    EdgesimError,
    MissingExtraError,
    ResultsError,
    ScenarioError,
    SimulationError,
    path_text,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from edgesim.scenario import Scenario

TASK_S: Final = 0.5
"""Points that are shorter than this travel together, about so much work at a time [s]."""
MOST_LOSSES: Final = 3
"""So often may the worker of one point die before the sweep stops."""
ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
"""What keeps the libraries of a worker to one thread: there is a worker for each processor already."""

_ONE_AT_A_TIME: Final = threading.Lock()
_WARM: Final = threading.Event()


@dataclass(frozen=True)
class Job:
    """A point to run.

    Attributes:
        point: Its number.
        scenario: The scenario, pickled.
        fault: Why it cannot run; "" if it can.
        keep_tables: Whether its tables are kept, not its summary only.
        command: How the sweep was asked for.
        version: Version of edgesim that leads the sweep.
        policies: Classes of policies that a worker cannot import, by role and name.
        scratch: Folder for what is unfinished, which the leader sees, too; "" where it does not.
    """

    point: int
    scenario: bytes
    fault: str
    keep_tables: bool
    command: str
    version: str
    policies: tuple[tuple[str, str, type[Any]], ...] = ()
    scratch: str = ""


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


def compute(jobs: Sequence[Job]) -> list[Done]:
    """Run points, one after the other; threads of one process take turns, as policies share their modules."""
    with _ONE_AT_A_TIME, _one_compiler():
        found = [_compute(job) for job in jobs]
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


def _compute(job: Job) -> Done:
    from edgesim import __version__, registry  # noqa: PLC0415 - a worker imports it when it has work

    if job.version != __version__:
        text = (
            f"a worker runs edgesim {__version__}, the sweep {job.version}; install the same version on both"
        )
        raise ResultsError(text)
    started = time.perf_counter()
    scenario: Scenario = pickle.loads(job.scenario)  # noqa: S301 - from the process that leads the sweep
    for plugin in scenario.plugins:
        registry.load_plugin(plugin)
    _register(job)
    if job.scratch:
        Path(job.scratch).mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f"{job.point:04d}-", dir=job.scratch or None))
    try:
        error = _written(job, scenario, place / "point")
        if job.scratch:
            return Done(job.point, str(place / "point"), (), error, time.perf_counter() - started)
        files = tuple(
            (path.relative_to(place / "point").as_posix(), path.read_bytes())
            for path in sorted((place / "point").rglob("*"))
            if path.is_file()
        )
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    shutil.rmtree(place, ignore_errors=True)
    return Done(job.point, "", files, error, time.perf_counter() - started)


def _register(job: Job) -> None:
    """Make policies known that came with the point."""
    if job.policies:
        from edgesim import policies  # noqa: F401, PLC0415 - fills the registries
        from edgesim.registry import registries  # noqa: PLC0415

        for role, name, policy in job.policies:
            registries[role].add(name, policy)


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
    """Workers that take batches of points."""

    lost: tuple[type[Exception], ...]
    """What a batch raises whose worker died."""

    @property
    def workers(self) -> int:
        """How many there are."""

    def submit(self, batch: list[Job]) -> Any:
        """Hand out a batch; answers a future."""

    def first(self, futures: Iterable[Any]) -> Iterable[Any]:
        """Wait until some of the futures are done, and answer them."""

    def close(self, *, hurry: bool) -> None:
        """End the workers; in a hurry, whatever they are doing."""


def serial(jobs: Iterable[Job]) -> Generator[Done]:
    """Run points in this process."""
    for job in jobs:
        yield from compute([job])


def pooled(pool: Pool, jobs: Iterable[Job]) -> Generator[Done]:
    """Run points on workers, short ones several at a time; those of a worker that died run again elsewhere."""
    waiting, running, losses = deque(jobs), dict[Any, list[Job]](), Counter[int]()
    spent, done, hurry = 0.0, 0, True
    try:
        while waiting or running:
            while waiting and len(running) < 2 * pool.workers:
                fair = len(waiting) // (2 * pool.workers)  # towards the end all workers have something
                size = min(int(TASK_S * done / spent), fair) if done else 1
                batch = [waiting.popleft() for _ in range(min(max(size, 1), len(waiting)))]
                running[pool.submit(batch)] = batch
            for future in list(pool.first(running)):
                batch = running.pop(future)
                try:
                    found: list[Done] = future.result()
                except pool.lost as error:
                    losses.update(job.point for job in batch)
                    _check_losses(losses, error)
                    waiting.extendleft(reversed(batch))
                    continue
                except ImportError as error:
                    text = f"a worker cannot import {error.name}; install the same edgesim on all of them"
                    raise SimulationError(text) from error
                spent, done = spent + sum(each.wall_s for each in found), done + len(found)
                yield from found
        hurry = False
    finally:
        pool.close(hurry=hurry)


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

    def submit(self, batch: list[Job]) -> Any:
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

    def submit(self, batch: list[Job]) -> Any:
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
        """Leave the scheduler; what it still runs of this sweep it forgets."""
        with suppress(OSError, TimeoutError):
            self._client.close(timeout=2 if hurry else 10)
