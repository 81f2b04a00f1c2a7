"""Tests of the progress bar."""

from __future__ import annotations

import io

from rich.console import Console

from edgesim.report.progress import ProgressBar


class Clock:
    """A wall clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def bar(*, terminal: bool = True) -> tuple[ProgressBar, Clock, io.StringIO]:
    """A bar of a run of 100 s, its clock and what it writes."""
    stream, clock = io.StringIO(), Clock()
    out = Console(file=stream, force_terminal=terminal, width=100)
    return ProgressBar(out, "tiny", duration_s=100.0, requests=None, clock=clock), clock, stream


def test_short_runs_show_nothing() -> None:
    """Within the first two seconds there is no bar."""
    progress, clock, stream = bar()
    with progress:
        clock.now = 1.9
        progress(50.0, 10)
    assert stream.getvalue() == ""


def test_long_runs_show_time_speed_requests_and_the_rest() -> None:
    """After 4 s of wall time at half the run: 12 times as fast, 4 s left."""
    progress, clock, stream = bar()
    with progress:
        clock.now = 4.0
        progress(50.0, 1234)
    assert "50 s simulated, 12x, 1,234 requests, 4 s left" in stream.getvalue()


def test_a_pipe_shows_nothing() -> None:
    """Only a terminal gets a bar."""
    progress, clock, stream = bar(terminal=False)
    with progress:
        clock.now = 10.0
        progress(50.0, 10)
    assert stream.getvalue() == ""


def test_whichever_limit_is_nearer_counts() -> None:
    """A run ends at its duration or at its number of requests."""
    progress = ProgressBar(Console(file=io.StringIO()), "tiny", duration_s=100.0, requests=10)
    assert progress.share(10.0, 8) == 0.8
    assert progress.share(90.0, 1) == 0.9
    assert progress.share(200.0, 1) == 1.0
    assert ProgressBar(Console(file=io.StringIO()), "t", duration_s=None).share(5.0, 1) == 0.0
