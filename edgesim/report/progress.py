"""The progress of a run on a terminal: simulated time, speed-up, requests, time left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from rich.progress import BarColumn, Progress, TextColumn

from edgesim.units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.console import Console

PATIENCE: Final = 2.0
"""Nothing is shown of runs that are done within this time [s]."""
PAUSE: Final = 0.2
"""Least time between two updates [s]."""


class Bar:
    """A bar on a terminal, drawn when it is first told how far things are, and gone at the end.

    Args:
        out: Where to draw, normally on stderr.
        label: What runs.
    """

    def __init__(self, out: Console, label: str) -> None:
        self._out = out
        self._label = label
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def draw(self, done: float, total: float, text: str) -> None:
        """Show how much of a total is done, and say it."""
        if self._bar is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[text]}"),
            )
            self._bar = Progress(*columns, console=self._out, transient=True, auto_refresh=False)
            self._bar.add_task(self._label, total=total, text="")
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, text=text, refresh=True)


class ProgressBar(Bar):
    """A progress bar on a terminal; silent anywhere else.

    Args:
        out: Where to draw, normally on stderr.
        label: What runs.
        duration_s: Simulated time to run for [s]; None if only requests count.
        requests: Requests to run; None if only time counts.
        clock: Wall clock [s].
    """

    def __init__(
        self,
        out: Console,
        label: str,
        *,
        duration_s: float | None,
        requests: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(out, label)
        self._duration = duration_s
        self._requests = requests
        self._clock = clock
        self._begun = self._last = clock()

    def __call__(self, simulated_s: float, done: int) -> None:
        """Take note of where the run is."""
        now = self._clock()
        if not self._out.is_terminal or now - self._begun < PATIENCE or now - self._last < PAUSE:
            return
        self._last = now
        self.draw(self.share(simulated_s, done), 1.0, self.text(simulated_s, done, now - self._begun))

    def share(self, simulated_s: float, done: int) -> float:
        """How much of the run is done, 0 to 1."""
        by_time = simulated_s / self._duration if self._duration else 0.0
        by_count = done / self._requests if self._requests else 0.0
        return min(max(by_time, by_count), 1.0)

    def text(self, simulated_s: float, done: int, elapsed_s: float) -> str:
        """Write where the run is."""
        share = self.share(simulated_s, done)
        parts = [
            f"{format_seconds(simulated_s)} simulated",
            f"{simulated_s / elapsed_s:,.0f}x",
            f"{done:,} requests",
        ]
        if share > 0:
            parts.append(f"{format_seconds(elapsed_s * (1 - share) / share)} left")
        return ", ".join(parts)
