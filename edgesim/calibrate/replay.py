"""`edgesim calibrate costs --log`: a serving run simulated again, laid over the measured one, and fitted to it."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np

from edgesim import catalog
from edgesim.calibrate import logs, pictures, runs
from edgesim.calibrate.command import Subject, milliseconds, profile_of
from edgesim.calibrate.table import read_table
from edgesim.costs.llm import token_weight_bytes
from edgesim.costs.profile import read as read_profile
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edgesim.costs.profile import Profile

FITTED: Final = {
    "roofline": ("memory_efficiency", "compute_efficiency", "step_overhead"),
    "profile": ("time_factor", "step_overhead", "sequence_overhead"),
}
"""What a fit to a log changes, by kind of cost."""

BEGIN: Final = {"time_factor": 1.0, "step_overhead": 1e-4, "sequence_overhead": 0.0}
"""Where it begins, if the accelerator says nothing."""


BELIEVED: Final = (0.8, 1.25)
"""Factors on measured kernel times that a fit may find without a word: clocks and versions of engines differ."""

PACE: Final = (0.9, 1000.0)
"""Typical times a token that are believed, as multiples of what reading the weights once takes."""


@dataclass(frozen=True)
class Wish:
    """What is to be done with a log.

    Attributes:
        fit: Whether to fit the costs.
        train: Requests that count in it: so many from the first one; None for all.
        profile: Profile that prices steps, instead of a roofline.
        database: Or where a database of kernels is that one is put together from.
        system: Its name of the accelerator.
        curves: Measured load over time: a CSV of t [s], running, waiting and kv_cache_pct.
        shared_prefix: Tokens that all prompts begin with.
    """

    fit: bool = True
    train: int | None = None
    profile: Path | None = None
    database: str | None = None
    system: str | None = None
    curves: Path | None = None
    shared_prefix: int = 0


def from_log(path: Path, about: Subject, wish: Wish, out: Path, table: Callable[..., None]) -> str:
    """Simulate a log again, fitted if that is asked for, and write the scenario, its trace and a picture.

    Nothing is written before all of that has worked.
    """
    log = logs.read_log(path)
    check_pace(log, about, path)
    curves = None if wish.curves is None else _curves(wish.curves)
    made = None if wish.database is None else profile_of(wish.database, wish.system, about, "")
    with TemporaryDirectory() as folder:
        trace, profile = Path(folder) / "requests.csv", wish.profile
        runs.write_trace(log, trace)
        if made is not None:
            profile = Path(folder) / "profile.json"
            profile.write_text(made.text(), encoding="utf-8")
        kind = "profile" if profile else "roofline"
        costs: dict[str, Any] = {"kind": kind} | ({"path": str(profile.resolve())} if profile else {})
        replica = runs.Replica(about.accelerator, about.llm, about.settings, costs, wish.shared_prefix)
        found = _fitted(log, replica, trace, wish, kind) if wish.fit else None
        replica = found.replica if found else replica
        simulated = runs.simulate_log(log, replica, trace, watched=True)
    for title, part in _parts(log, wish):
        lines = runs.compare(log, simulated, part)
        rows = [
            (x.metric, x.statistic, milliseconds(x.measured), milliseconds(x.simulated), f"{x.error:+.1%}")
            for x in lines
        ]
        table(("metric", "statistic", "measured", "simulated", "error"), rows, title)
    for note in (*log.notes, *about.notes, *_of_profile(made), *simulated.notes, *_of_fit(found)):
        click.echo(f"note: {note}", err=True)
    left = max(runs.apart(log, simulated, part) for _, part in _parts(log, wish)) if found else 0.0
    band = max(simulated.error_band, math.ceil(left * 100) / 100)
    out.mkdir(parents=True, exist_ok=True)
    runs.write_trace(log, out / "requests.csv")
    final = dict(replica.costs)
    if profile is not None and (made is not None or band > simulated.error_band):
        made = replace(made or read_profile(str(profile)), error_band=band)
        (out / "profile.json").write_text(made.text(), encoding="utf-8")
        final["path"] = str((out / "profile.json").resolve())
    wider = band if profile is None and band > simulated.error_band else None
    _write_scenario(replica, final, path, _remarks(log, path, wish, found), out, wider)
    pictures.run(log, simulated, out / "comparison.png", curves)
    told = simulated.calibration
    for stated in ("overridden in the scenario", "adjusted by the scenario") if found else ():
        told = told.replace(stated, "fitted to this log")
    return f"wrote {out / 'scenario.yaml'}, requests.csv and comparison.png; costs: {told}, expected within {band:.0%}"


def _of_profile(made: Profile | None) -> tuple[str, ...]:
    """What a profile was put together from, and what stands for what was not measured."""
    return () if made is None else (f"profile from {made.source}",)


def check_pace(log: logs.Log, about: Subject, path: Path) -> None:
    """Doubt replies that no such accelerator gives: faster than its memory, or a thousand times slower.

    Raises:
        ScenarioError: The times are in another unit, or something else was measured.
    """
    each = runs.statistic(log.metrics["tpot"], "p50")
    machine, llm = catalog.accelerator(about.accelerator), catalog.llm(about.llm)
    rate = max(machine.memory_bandwidth, machine.sram_bandwidth) * about.tensor_parallel
    least = token_weight_bytes(llm, about.weights) / rate
    if math.isnan(each) or PACE[0] * least <= each <= PACE[1] * least:
        return
    ratio = f"{each / least:,.0f} times" if each > least else f"{each / least:.2g} of"
    text = (
        f"half of the replies take {milliseconds(each)} or {'less' if each < least else 'more'} a token, {ratio} what "
        f"{about.llm} in {about.weights} takes at least on {about.accelerator} ({milliseconds(least)})"
    )
    help_ = (
        "in which unit are these times? say it in the columns' names, as in arrival_ms, ttft_ms and e2e_ms"
    )
    if each < least:
        help_ += "; if it is right, check accelerator, LLM, weights and tensor parallelism"
    raise ScenarioError([Problem((), text, help_, file=str(path))])


def _fitted(log: logs.Log, replica: runs.Replica, trace: Path, wish: Wish, kind: str) -> runs.Fit:
    """Fit what the costs leave open."""
    machine = catalog.accelerator(replica.accelerator)
    start = {name: BEGIN.get(name, getattr(machine, name, 0.0)) for name in FITTED[kind]}
    with click.progressbar(length=runs.MOST_RUNS, label="fitting", file=sys.stderr) as bar:
        return runs.fit(
            log, replica, trace, start, slice(wish.train), lambda done: bar.update(done - bar.pos)
        )


def _of_fit(found: runs.Fit | None) -> tuple[str, ...]:
    """What to know about a fit."""
    if found is None:
        return ()
    told = ", ".join(f"{name} {value}" for name, value in found.fitted.items())
    text = f"fitted in {found.runs} simulations to within {found.left:.1%}: {told}"
    odd = [f"{name} ended at or near its limit" for name in found.limits]
    factor = found.fitted.get("time_factor", 1.0)
    if not BELIEVED[0] <= factor <= BELIEVED[1]:
        odd.append(
            f"kernels of the run took {factor:.2g} times what the profile says; was it made for what ran?"
        )
    if found.left > runs.POOR:
        odd.append(
            f"these costs do not explain the run: {found.left:.1%} is left after the fit; check accelerator, LLM, "
            "number format and engine settings before using them"
        )
    return (text, *odd)


def _parts(log: logs.Log, wish: Wish) -> Sequence[tuple[str, slice]]:
    """Requests that are compared, fitted ones and others apart."""
    last = len(log) if wish.train is None else min(wish.train, len(log))
    if not wish.fit or last == len(log):
        how = "fitted on them" if wish.fit else "nothing fitted"
        return [(f"all {len(log)} requests, {how}", slice(None))]
    return [
        (f"requests 1 to {last}, fitted on them", slice(last)),
        (f"requests {last + 1} to {len(log)}, held out", slice(last, None)),
    ]


def _remarks(log: logs.Log, path: Path, wish: Wish, found: runs.Fit | None) -> list[str]:
    """What the scenario says of where its costs come from."""
    if found is None:
        return []
    last = len(log) if wish.train is None else min(wish.train, len(log))
    limits = [f"{name} ended at or near its limit." for name in found.limits]
    poor = ["These costs do not explain the run."] if found.left > runs.POOR else []
    source = f"confidence: fitted, source: {path.name}, {found.left:.1%} is left"
    return [f"Fitted to requests 1 to {last}: {', '.join(found.fitted)} ({source}).", *limits, *poor]


def _write_scenario(
    replica: runs.Replica,
    costs: dict[str, Any],
    log: Path,
    remarks: list[str],
    out: Path,
    band: float | None,
) -> None:
    """Write the scenario that replays the log, paths relative to it, with a band of its own if there is one."""
    from edgesim.scenario.text import dump  # noqa: PLC0415 - heavy, and only here

    if "path" in costs:
        costs = costs | {"path": os.path.relpath(costs["path"], out.resolve())}
    head = "".join(f"# {line}\n" for line in (f"Replays {log.name}, as it was served.", *remarks))
    content = replica.scenario("requests.csv", costs)
    if band is not None:
        name = f"fitted-{replica.accelerator}"
        content["accelerators"] = {
            name: {"like": replica.accelerator, "prefill_band": band, "decode_band": band}
        }
        content["topology"]["nodes"]["server"]["accelerator"] = name
    text = dump(content)
    (out / "scenario.yaml").write_text(f"{head}\n{text}", encoding="utf-8")


def _curves(path: Path) -> NDArray[np.float64]:
    """Read the measured load: time [s], running, waiting, and the share of the KV cache in use."""
    names = ["t", "running", "waiting", "kv_cache_pct"]
    found = read_table(path, names)
    columns = np.array([found.numbers(name) for name in names])
    curves: NDArray[np.float64] = columns.T / np.array([1.0, 1.0, 1.0, 100.0])
    return curves
