"""Results: records become tables, tables become summaries, and a run folder keeps all of it."""

from __future__ import annotations

from edgesim.results.folder import DamagedError
from edgesim.results.opening import load
from edgesim.results.run import MemoryRun, Result, Run, RunSet, StoredRun, load_run
from edgesim.results.sweep import Sweep

__all__ = ["DamagedError", "MemoryRun", "Result", "Run", "RunSet", "StoredRun", "Sweep", "load", "load_run"]
