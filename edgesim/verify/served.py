"""Served runs, simulated again: by a kernel profile, by a profile fitted to the first half, by the catalogue alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from edgesim.calibrate import command, logs, pictures, replay, runs
from edgesim.calibrate.table import read_table
from edgesim.errors import EdgesimError
from edgesim.verify import kernels
from edgesim.verify.accuracy import Comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from edgesim.calibrate.command import Subject

# Splits: by the catalogue; by kernel times with nothing fitted; the second half, with overhead fitted to the first.

STATISTICS = ("mean", "p90")
"""What is compared of TTFT, TPOT and end-to-end time."""

BAND = 0.08
"""What is promised of a run with kernel times and nothing fitted."""


def compared(folder: Path, plots: Path | None, progress: Callable[[str], None]) -> Iterator[Comparison]:
    """Simulate every run of a data folder; its settings stand beside it as *_meta.json."""
    for meta in sorted((folder / "replays").glob("*_meta.json")):
        path = meta.with_name(meta.name.replace("_meta.json", ".jsonl"))
        if path.is_file():
            progress(path.stem)
            yield from _run(folder, path, meta, plots)


def _run(folder: Path, path: Path, meta: Path, plots: Path | None) -> Iterator[Comparison]:
    about, log = command.subject(None, None, meta, {}), logs.read_log(path)
    engine = f"vllm {read_version(meta)}".strip()
    with tempfile.TemporaryDirectory() as scratch:
        trace = Path(scratch) / "requests.csv"
        runs.write_trace(log, trace)
        replica = runs.Replica(about.accelerator, about.llm, about.settings, {"kind": "roofline"})
        yield from _lines(path.stem, log, replica, trace, about, engine, "catalogue", slice(None), None)
        profile = _profile(folder, about, Path(scratch))
        if profile is None:
            return
        replica = runs.Replica(about.accelerator, about.llm, about.settings, profile)
        picture = plots / f"{path.stem}.png" if plots else None
        split = "kernels"
        yield from _lines(
            path.stem, log, replica, trace, about, engine, split, slice(None), picture, _curves(path)
        )
        half = slice(len(log) // 2)
        start = {name: replay.BEGIN[name] for name in replay.FITTED["profile"]}
        replica = runs.fit(log, replica, trace, start, half).replica
        rest = slice(len(log) // 2, None)
        yield from _lines(path.stem, log, replica, trace, about, engine, "half fitted", rest, None)


def _curves(path: Path) -> NDArray[np.float64] | None:
    """Running, waiting and KV share as the engine reported them, if it did."""
    series = path.with_name(f"{path.stem}_timeseries.csv")
    if not series.is_file():
        return None
    table = read_table(series, ["t", "running", "waiting", "kv_cache_pct"])
    columns = [np.array(table.numbers(name)) for name in ("t", "running", "waiting", "kv_cache_pct")]
    return np.stack([*columns[:3], columns[3] / 100], axis=1)


def read_version(meta: Path) -> str:
    """Version of the engine, as the settings say."""
    import json

    return str(json.loads(meta.read_text(encoding="utf-8")).get("vllm_version", ""))


def _profile(folder: Path, about: Subject, scratch: Path) -> dict[str, Any] | None:
    """The folder's kernel profile of what was run, as costs."""
    for prefix, hardware, llm, parallel in kernels.found(folder):
        built = kernels.profile(prefix, hardware, llm, parallel)
        if built and (built.accelerator, llm.name, parallel) == (
            about.accelerator,
            about.llm,
            about.tensor_parallel,
        ):
            path = scratch / "profile.json"
            path.write_text(built.text(), encoding="utf-8")
            return {"kind": "profile", "path": str(path)}
    return None


def _lines(
    name: str, log: logs.Log, replica: runs.Replica, trace: Path, about: Subject, engine: str, split: str, rows: slice,
    picture: Path | None, curves: NDArray[np.float64] | None = None,
) -> Iterator[Comparison]:  # fmt: skip
    try:
        simulated = runs.simulate_log(log, replica, trace, watched=picture is not None)
    except EdgesimError as error:
        click.echo(f"note: {name}, {split}, is left out: {error}", err=True)
        return
    if picture is not None:
        pictures.run(log, simulated, picture, curves)
    for line in runs.compare(log, simulated, rows):
        if line.statistic in STATISTICS:
            yield Comparison(
                f"{line.metric} {line.statistic}", about.accelerator, engine, about.llm, split, line.measured,
                line.simulated, BAND,
            )  # fmt: skip
