"""The world outside: notices when a policy asks the wall's clock, draws unseeded numbers, or leaves its process."""

from __future__ import annotations

import datetime as dt
import gc
import linecache
import os
import random  # noqa: TID251 - to see whether somebody else uses it
import re
import secrets
import sys
import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.registry import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from edgesim.testing.guards import Post

CLOCKS = {
    getattr(time, name)
    for base in ("time", "perf_counter", "monotonic", "process_time", "thread_time")
    for name in (base, f"{base}_ns")
    if hasattr(time, name)
}
DATES = (dt.datetime, dt.date)
TODAY = {"now", "utcnow", "today"}
SHARED = random._inst  # noqa: SLF001 - whose methods the module's functions are
NUMPY = re.compile(r"\b(np|numpy)\.random\.|from numpy\.random import|from numpy import random")
RANDOM_HELP = (
    "draw with self.random(request, index), or random(number, index) in setup(): the same in every run, and "
    "different in every replication"
)
CLOCK_HELP = "read view.now, the simulated time [s], or what the hook is given as `now`"
WAIT_HELP = "answer Defer(view.now + seconds), or say what deciding takes: `decision_time`, decision_cost()"
OUTSIDE_HELP = (
    "replications run at the same time, perhaps on other machines: keep notes in attributes made by setup(); a run "
    "keeps every decision with `output.tables: [requests, decisions]`"
)
STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile"}
CACHES = ("__pycache__", ".nbi", ".nbc")
"""Parts of the names of files that Python and numba write by themselves."""
SEEDED = re.compile(r"RandomState\(\s*[^)\s]")
"""A generator that asks the operating system and then takes its seed all the same."""


_hearers: list[Callable[[str, tuple[Any, ...]], None]] = []
"""Who hears now of what the interpreter audits."""


@cache
def _listen() -> None:
    """Have the interpreter tell of files, programs and connections; it cannot be asked to stop."""
    sys.addaudithook(lambda event, told: _hearers[-1](event, told) if _hearers else None)


class Spy:
    """Watches what happens while a policy runs.

    Args:
        post: Knows the policy's files, and takes note.
    """

    def __init__(self, post: Post) -> None:
        self._post = post
        _listen()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch; the policy is called within."""
        before, drawn = sys.getprofile(), _numpy_state()
        _hearers.append(self._hear)
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(before)
            _hearers.pop()
        if _numpy_state() != drawn:
            self._post.tell("random", "draws from numpy's global random numbers", RANDOM_HELP)

    def _hear(self, event: str, told: tuple[Any, ...]) -> None:
        """Take note of what leaves the process."""
        if event == "open":
            name, mode, flags = told
            writes = set(mode or "") & set("wax+") or (mode is None and flags & (os.O_WRONLY | os.O_RDWR))
            if writes and not any(part in str(name) for part in CACHES):
                self._post.tell("outside", f"writes the file {str(name)!r}", OUTSIDE_HELP)
        elif event in STARTS:
            self._post.tell("outside", "starts a program", OUTSIDE_HELP)
        elif event == "socket.connect":
            self._post.tell("outside", f"opens a connection to {told[1]!r}", OUTSIDE_HELP)

    def _see(self, frame: FrameType, event: str, what: Any) -> None:
        if event == "c_call":
            if not _collecting(frame):
                self._see_builtin(what)
        elif event == "call" and frame.f_code.co_filename == random.__file__:
            self._see_random(frame)

    def _see_builtin(self, what: Any) -> None:
        owner = getattr(what, "__self__", None)
        if what in CLOCKS:
            self._post.tell("clock", f"asks time.{what.__name__}(), the clock of the wall", CLOCK_HELP)
        elif what is time.sleep:
            self._post.tell(
                "clock", "sleeps, which makes the run wait and takes no simulated time", WAIT_HELP
            )
        elif isinstance(owner, type) and owner in DATES and what.__name__ in TODAY:
            self._post.tell(
                "clock", f"asks {owner.__name__}.{what.__name__}(), the clock of the wall", CLOCK_HELP
            )
        elif owner is SHARED:
            self._post.tell("random", f"draws from random.{what.__name__}(), which all share", RANDOM_HELP)
        elif what is os.urandom:
            self._unseeded("draws random bytes from the operating system")

    def _unseeded(self, text: str) -> None:
        """Take note of numbers from the operating system, but for those that a seed replaces at once."""
        place = self._post.place()
        if place is None or not SEEDED.search(linecache.getline(place.file, place.line)):
            self._post.tell("random", text, RANDOM_HELP)

    def _see_random(self, frame: FrameType) -> None:
        owner, name = frame.f_locals.get("self"), frame.f_code.co_name
        if owner is SHARED:
            self._post.tell("random", f"draws from random.{name}(), which all share", RANDOM_HELP)
        elif isinstance(owner, secrets.SystemRandom):
            self._unseeded("draws random numbers from the operating system")
        elif name == "__init__" and frame.f_locals.get("x") is None:
            self._post.tell("random", "makes a random.Random() without a seed", RANDOM_HELP)


def _collecting(frame: FrameType) -> bool:
    """Whether this is one of the collector's callbacks, which may run wherever memory is asked for."""
    return any(getattr(callback, "__code__", None) is frame.f_code for callback in gc.callbacks)


def _numpy_state() -> tuple[Any, ...]:
    """Where numpy's global generator stands."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - to see whether somebody else uses it
    inner = state["state"]
    return hash(inner["key"].tobytes()), inner["pos"], state["has_gauss"]


@contextmanager
def seeded() -> Iterator[None]:
    """Seed the global generators, so that only a policy's own state tells two runs apart; then put them back."""
    kept, kept_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002, TID251 - what policies must not use is made the same for both runs
    try:
        yield
    finally:
        random.setstate(kept)
        np.random.set_state(kept_numpy)  # noqa: NPY002


def line_in(place: Place, source: str) -> Place:
    """The first line of a policy's file that names numpy's random numbers, or the place itself."""
    for number, line in enumerate(source.splitlines(), 1):
        if NUMPY.search(line) and not line.lstrip().startswith(("import", "from", "#")):
            return Place(place.file, number)
    return place
