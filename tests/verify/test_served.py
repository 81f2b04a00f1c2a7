"""A run that cannot be simulated is told by name, not dropped."""

from __future__ import annotations

import numpy as np

from edgesim.calibrate import runs
from edgesim.calibrate.command import Subject
from edgesim.calibrate.logs import Log
from edgesim.errors import SimulationError
from edgesim.verify import served


def test_a_run_that_cannot_be_simulated_is_told(tmp_path, monkeypatch, capsys):
    """On standard error, with the run's name, the split and the reason."""

    def fail(*_, **__):
        raise SimulationError("request 7 of the log is rejected")

    monkeypatch.setattr(runs, "simulate_log", fail)
    times = np.arange(3.0)
    log = Log(times, np.full(3, 9), np.full(3, 9), times + 1, times + 2)
    about = Subject("nvidia-h100-sxm", "llama-3.1-8b", {})
    replica = runs.Replica(about.accelerator, about.llm)
    lines = served._lines(
        "run_of_monday", log, replica, tmp_path / "t.csv", about, "vllm", "catalogue", slice(None), None
    )
    assert list(lines) == []
    told = capsys.readouterr().err
    assert told == "note: run_of_monday, catalogue, is left out: request 7 of the log is rejected\n"
