"""Comparing: runs, or scenarios that are run for the purpose, under common random numbers."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import EdgesimError, ResultsError
from edgesim.results import folder as folders
from edgesim.results import load as load_results
from edgesim.results.comparison import COMPARISON, KIND, Comparison
from edgesim.results.folder import MANIFEST
from edgesim.results.quantity import DEFAULT, quantity
from edgesim.results.run import Run, RunSet
from edgesim.studies.differences import Subject, differences, is_total, shared_replications

if TYPE_CHECKING:
    from edgesim.outcome import Progress
    from edgesim.scenario import Scenario

RUNS: Final = "runs"
"""Folder of the runs that were made for a comparison, inside its own."""
REPLICATIONS: Final = 10
"""How often a scenario is run for a comparison unless it, or the user, says otherwise."""

Contender = "Run | RunSet | Scenario | str | os.PathLike[str] | Mapping[str, Any]"
Watch = Callable[[str, int], "AbstractContextManager[Progress | None]"]
"""Name of a candidate and number of the replication -> what watches it."""

__all__ = ["Comparison", "compare"]


def compare(
    candidates: Mapping[str, Any],
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    *,
    replications: int | None = None,
    jobs: int = 1,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    watch: Watch = lambda _, __: nullcontext(),
) -> Comparison:
    """Compare runs, or scenarios after running them.

        edgesim.compare({"near": edgesim.load("results/a"), "far": edgesim.load("results/b")}).table

    Runs that share seed and workloads are compared pair by pair, replication by replication; if there is one of
    each, stretch by stretch of the same requests. Others are compared unpaired (Welch), and a note says why.

    Args:
        candidates: Name -> a run, a run folder, or a scenario (file, packaged name, mapping) that is run.
        metrics: Quantities such as "ttft_p95", "throughput_rps" or "cost_usd"; by default, the usual ones.
        confidence: Of the intervals, and of all verdicts together (Holm).
        replications: How often scenarios are run, instead of what they say (10 where they say nothing).
        jobs: Processes that run scenarios; one candidate each.
        out: Folder that keeps the comparison, with the runs that were made for it.
        force: Replace an earlier comparison in that folder.
        watch: Watches each replication that is run in this process.

    Raises:
        EdgesimError: There is nothing to compare, or a scenario is wrong or fails.
    """
    if len(candidates) < 2:
        raise ResultsError("a comparison needs at least two candidates")
    named = metrics is not None
    quantities = list(dict.fromkeys(quantity(name) for name in metrics or DEFAULT))
    folder = Path(out) if out is not None else None
    contenders = {name: _opened(name, each, replications) for name, each in candidates.items()}
    todo = {name: each for name, each in contenders.items() if not isinstance(each, Run | RunSet)}
    if folder is not None:
        _check(folder, force=force)
        _clear(folder, list(contenders))
    place = folder or (Path(tempfile.mkdtemp(prefix="edgesim-compare-")) if todo else Path())
    places = {name: place / RUNS / _slug(number, name) for number, name in enumerate(todo)}
    try:
        _run_all(todo, places, jobs, watch)
        subjects = [
            Subject(
                name, each if isinstance(each, Run | RunSet) else _finished(name, load_results(places[name]))
            )
            for name, each in contenders.items()
        ]
        found = _compared(subjects, quantities, confidence, named=named)
    except BaseException as error:
        if folder is not None:
            _give_up(folder, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        elif todo:
            shutil.rmtree(place, ignore_errors=True)
        raise
    if folder is not None:
        _store(found, folder)
    elif todo:
        weakref.finalize(found, shutil.rmtree, place, ignore_errors=True)
    return found


def _compared(
    subjects: Sequence[Subject], quantities: Sequence[Any], confidence: float, *, named: bool
) -> Comparison:
    """Compare what has been run."""
    asked = [
        each for each in quantities if named or any(each.of(s.result.summary) is not None for s in subjects)
    ]
    for each in asked if named else ():
        lacking = [one.name for one in subjects if each.of(one.result.summary) is None]
        if lacking:
            raise ResultsError(f"{', '.join(lacking)} has no {each.name}; name another quantity")
    rows, notes = differences(subjects, asked, confidence)
    shared = shared_replications(subjects)
    if not rows and all(map(is_total, asked)):
        raise ResultsError(
            f"nothing can be compared: {'; '.join(notes)}; name a mean or a rate, or run them equally long"
        )
    if not rows:
        told = [f"{one.name}: {note}" for one in subjects for note in one.result.summary["notes"]]
        why = "; ".join(told) or "were any requests completed?"
        raise ResultsError(f"no quantity is known of two candidates: {why}")
    for one in subjects:
        summary = one.result.summary
        doubts = [] if summary["stable"] else [summary["stability"]]
        notes += [f"{one.name}: {text}" for text in (*doubts, *summary["notes"])]
    versions = {str(one.result.manifest.get("versions", {}).get("edgesim")) for one in subjects}
    if len(versions) > 1:
        notes.append(f"the runs were made by different versions of edgesim: {', '.join(sorted(versions))}")
    return Comparison(
        [one.candidate(asked, shared) for one in subjects],
        rows,
        confidence,
        notes,
        {one.name: one.result for one in subjects},
    )


def _opened(name: str, given: Any, replications: int | None) -> Run | RunSet | Scenario:
    """Open a run, or load a scenario; a string may be either."""
    from edgesim.scenario import Scenario as Loaded  # noqa: PLC0415 - runs need no scenario
    from edgesim.scenario import load as load_scenario  # noqa: PLC0415

    if isinstance(given, Run | RunSet):
        return _finished(name, given)
    if isinstance(given, str | os.PathLike) and Path(given).is_dir():
        return _finished(name, load_results(Path(given)))
    scenario = given if isinstance(given, Loaded) else load_scenario(given)
    settings = scenario.scenario
    if replications is None and (settings.replications > 1 or settings.precision is not None):
        return scenario
    changed = settings.model_copy(update={"replications": replications or REPLICATIONS, "precision": None})
    return scenario.model_copy(update={"scenario": changed})


def _finished(name: str, found: Any) -> Run | RunSet:
    """Make sure that a run can be compared."""
    if not isinstance(found, Run | RunSet):
        kind = found.manifest.get("kind", "comparison") if hasattr(found, "manifest") else "comparison"
        raise ResultsError(f"{name} is a {kind}, not a run; give the folders of runs inside it")
    if found.finished or (isinstance(found, RunSet) and any(run.finished for run in found)):
        return found
    state = found.manifest.get("exit_state", "not finished")
    raise ResultsError(f"{name} was not finished ({state}): its numbers mean something else; run it again")


def _slug(number: int, name: str) -> str:
    """Name the folder of a candidate."""
    return f"{number:02d}-{re.sub(r'[^A-Za-z0-9._=+-]+', '-', name).strip('-')[:60]}"


def _run_all(todo: Mapping[str, Any], places: Mapping[str, Path], jobs: int, watch: Watch) -> None:
    """Run scenarios into folders; with several jobs, each one in a process of its own."""
    if jobs == 1 or len(todo) == 1:
        for name, scenario in todo.items():
            _run(scenario, places[name], lambda number, name=name: watch(name, number))  # type: ignore[misc]
        return
    from joblib import Parallel, delayed  # noqa: PLC0415 - only parallel runs need it

    command = folders.command_line()
    work = [
        delayed(_run_elsewhere)(each.resolved_yaml(), str(places[name]), command)
        for name, each in todo.items()
    ]
    for error in Parallel(n_jobs=min(jobs, len(todo)))(work):
        if error is not None:
            raise error


def _run(scenario: Scenario, place: Path, watch: Callable[[int], Any], command: str = "") -> None:
    from edgesim.experiment import Plan  # noqa: PLC0415 - brings pyarrow; comparing runs does without

    found = Plan(scenario, place, command=command).run(watch)
    if found.manifest["exit_state"] == "interrupted":
        raise KeyboardInterrupt


def _run_elsewhere(text: str, place: str, command: str) -> EdgesimError | None:
    """Run a resolved scenario in a process of its own; errors of the user's making come back as they are."""
    from edgesim.scenario import load as load_scenario  # noqa: PLC0415 - a worker imports it when it has work
    from edgesim.scenario.text import read  # noqa: PLC0415

    try:
        scenario = load_scenario(read(text, "scenario.yaml", Path.cwd()).plain())
        _run(scenario, Path(place), lambda _: nullcontext(), command)
    except EdgesimError as error:
        return error
    return None


def _check(folder: Path, *, force: bool) -> None:
    """Make sure that a comparison can be written, without touching anything."""
    if folders.is_run(folder):
        earlier = folders.read_json(folder / MANIFEST)
        if earlier.get("kind") != KIND:
            raise ResultsError(f"'{folder}' holds a run, not a comparison; choose another folder")
        if not force and (state := earlier.get("exit_state")) != "finished":
            raise ResultsError(
                f"'{folder}' holds a comparison that did not finish ({state}); --force replaces it"
            )
    folders.check(folder, force=force)


def _clear(folder: Path, names: list[str]) -> None:
    """Make an empty folder; the files of an earlier comparison go, and nothing else.

    Its manifest says that a comparison is under way, so that what an interrupted one leaves is known as ours.
    """
    if folders.is_run(folder):
        for name in (MANIFEST, COMPARISON):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / RUNS, ignore_errors=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        told = {"format": folders.FORMAT, "kind": KIND, "exit_state": "running", "candidates": names}
        folders.write_json(folder / MANIFEST, told)
    except OSError as error:
        raise ResultsError(f"cannot write results to '{folder}': {error.strerror}") from error


def _give_up(folder: Path, state: str) -> None:
    """Write down how a comparison ended early; where it left no runs, the folder is free again."""
    if (folder / RUNS).is_dir():
        told = folders.read_json(folder / MANIFEST)
        folders.write_json(folder / MANIFEST, told | {"exit_state": state})
    else:
        (folder / MANIFEST).unlink(missing_ok=True)


def _store(found: Comparison, folder: Path) -> None:
    """Write a comparison; runs made elsewhere are named by the way to them."""
    if any(each.source is None for each in found.candidates):
        raise ResultsError("runs in memory cannot be stored in a comparison; run them with `out=`")
    found.candidates = [
        replace(each, source=os.path.relpath(str(each.source), folder)) for each in found.candidates
    ]
    found.folder = folder
    folders.write_json(folder / COMPARISON, found.as_json())
    told = folders.manifest(
        scenario=", ".join(found.names),
        digest="",
        seed=found.candidates[0].seed,
        replications=max(each.replications for each in found.candidates),
        command=folders.command_line(),
        engine="",
    )
    del told["scenario_sha256"], told["engine"]
    names = {"kind": KIND, "exit_state": "finished", "candidates": found.names}
    folders.write_json(folder / MANIFEST, told | names)
