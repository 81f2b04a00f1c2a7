"""Comparing: runs, or scenarios that are run for the purpose, under common random numbers."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import PolicyError, ResultsError, ScenarioError, SimulationError
from edgesim.results import folder as folders
from edgesim.results.comparison import COMPARISON, KIND, Comparison
from edgesim.results.folder import MANIFEST, SUMMARY
from edgesim.results.quantity import DEFAULT, quantity
from edgesim.results.run import Run, RunSet, load_run
from edgesim.studies import design
from edgesim.studies.backends import Job, local_policies, processes, results, sentence
from edgesim.studies.differences import Subject, differences, is_total, shared_replications

if TYPE_CHECKING:
    from edgesim.outcome import Progress
    from edgesim.scenario import Scenario

RUNS: Final = "runs"
"""Folder of the runs that were made for a comparison, inside its own."""
SCRATCH: Final = "scratch"
"""What is unfinished, among them."""
REPLICATIONS: Final = 10
"""How often a scenario is run for a comparison unless it, or the user, says otherwise."""

Watch = Callable[[str, int], "AbstractContextManager[Progress | None]"]
"""Name of a candidate and number of the replication -> what watches it."""

__all__ = ["Comparison", "compare"]


def compare(
    candidates: Mapping[str, Any],
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    *,
    seed: int | None = None,
    replications: int | None = None,
    precision: str | None = None,
    jobs: int = 1,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    force: bool = False,
    watch: Watch = lambda _, __: nullcontext(),
    progress: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Compare runs, or scenarios after running them.

        edgesim.compare({"near": edgesim.load("results/a"), "far": edgesim.load("results/b")}).table

    Runs that share seed and workloads are compared pair by pair, replication by replication; if there is one of
    each, stretch by stretch of the same requests. Others are compared unpaired (Welch), and a note says why.

    Args:
        candidates: Name -> a run, a run folder, or a scenario (file, packaged name, mapping) that is run.
        metrics: Quantities such as "ttft_p95", "throughput_rps" or "cost_usd"; by default, the usual ones.
        confidence: Of the intervals, and of all verdicts together (Holm).
        seed: Seed of scenarios, instead of their own.
        replications: How often scenarios are run, instead of what they say (10 where they say nothing).
        precision: Add replications until intervals are so narrow, e.g. "2 %", instead.
        jobs: Processes that run scenarios, one candidate each; 0 for one a processor.
        out: Folder that keeps the comparison, with the runs that were made for it.
        resume: Go on with a comparison that was interrupted in `out`; candidates that were run are not run again.
        force: Replace an earlier comparison in that folder.
        watch: Watches each replication that is run in this process.
        progress: Hears the name of each candidate when it has been run.

    Raises:
        EdgesimError: There is nothing to compare, or a scenario is wrong or fails.
    """
    if not isinstance(candidates, Mapping):
        raise ResultsError("candidates have names; write e.g. compare({'near': ..., 'far': ...})")
    if len(candidates) < 2:
        raise ResultsError("a comparison needs at least two candidates")
    named = metrics is not None
    quantities = list(dict.fromkeys(quantity(name) for name in metrics or DEFAULT))
    folder = Path(out) if out is not None else None
    settings = {"seed": seed, "replications": replications, "precision": precision}
    contenders = {name: _opened(name, each, settings) for name, each in candidates.items()}
    todo = {name: each for name, each in contenders.items() if not isinstance(each, Run | RunSet)}

    def made(place: Path) -> Comparison:
        places = _places(place / RUNS, todo)
        left = {name: each for name, each in todo.items() if not _has(places[name], each)}
        _run_all(left, places, jobs, watch, progress)
        subjects = [
            Subject(name, each if isinstance(each, Run | RunSet) else _finished(name, load_run(places[name])))
            for name, each in contenders.items()
        ]
        return _compared(subjects, quantities, confidence, named=named)

    if folder is None:
        return _passing(made, todo)
    folders.earlier(folder, KIND)
    with folders.locked(folder):
        _begin(folder, contenders, resume=resume, force=force)
        try:
            found = made(folder)
        except BaseException as error:
            _give_up(folder, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        _store(found, folder)
    return found


def _passing(made: Callable[[Path], Comparison], todo: Mapping[str, Scenario]) -> Comparison:
    """Compare without keeping anything: runs that are made for it go when it is no longer used."""
    if not todo:
        return made(Path())
    place = Path(tempfile.mkdtemp(prefix="edgesim-compare-"))
    try:
        found = made(place)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, place, ignore_errors=True)
    found.candidates = [
        replace(each, source=None) if each.name in todo else each for each in found.candidates
    ]
    return found


def variants(
    scenario: str | Path, over: Sequence[str], sets: Sequence[str] = (), plugins: Sequence[str] = ()
) -> dict[str, Scenario]:
    """Make the candidates out of one scenario: every combination of the values of some keys, named after them.

    Args:
        scenario: A file, or the name of a packaged scenario.
        over: Keys with their values, "KEY=V1,V2,..." each.
        sets: Overrides of the form "key.path=value", for all of them.
        plugins: Python files with policies.

    Raises:
        EdgesimError: A key or a value is wrong, or there are not two candidates.
    """
    from edgesim.studies.sweep_points import prepare  # noqa: PLC0415 - runs need no scenario

    prepared = prepare(scenario, over=over, sets=sets, plugins=plugins)
    found: dict[str, Scenario] = {}
    for values, setting in zip(prepared.values, prepared.settings, strict=True):
        name = design.name(dict(zip(prepared.keys, values, strict=True)))
        if name in found:
            raise ResultsError(f"--over says {name} twice")
        if setting.fault:
            raise ResultsError(f"{name} cannot be run: {setting.fault}")
        found[name] = setting.loaded
    if len(found) < 2:
        raise ResultsError("--over names one value; a comparison needs at least two: KEY=VALUE,VALUE")
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
    notes += [f"the runs were {text}" for text in folders.mixed(one.result.manifest for one in subjects)]
    return Comparison(
        [one.candidate(asked, shared) for one in subjects],
        rows,
        confidence,
        notes,
        {one.name: one.result for one in subjects},
    )


def _opened(name: str, candidate: Any, settings: Mapping[str, Any]) -> Run | RunSet | Scenario:
    """Open a run, or load a scenario; a string may be either."""
    from edgesim.scenario import Scenario as Loaded  # noqa: PLC0415 - runs need no scenario
    from edgesim.scenario import given  # noqa: PLC0415
    from edgesim.scenario import load as load_scenario  # noqa: PLC0415

    if isinstance(candidate, Run | RunSet):
        return _finished(name, candidate)
    if isinstance(candidate, str | os.PathLike) and Path(candidate).is_dir():
        return _finished(name, load_run(Path(candidate)))
    scenario = candidate if isinstance(candidate, Loaded) else load_scenario(candidate)
    own = scenario.scenario
    if (
        settings["replications"] is settings["precision"] is None
        and own.replications == 1
        and not own.precision
    ):
        settings = {**settings, "replications": REPLICATIONS}
    return given.changed(scenario, **settings)


def _finished(name: str, found: Run | RunSet) -> Run | RunSet:
    """Make sure that a run can be compared."""
    if found.finished or (isinstance(found, RunSet) and any(run.finished for run in found)):
        return found
    state = found.manifest.get("exit_state", "not finished")
    raise ResultsError(f"{name} was not finished ({state}): its numbers mean something else; run it again")


def _places(runs: Path, todo: Mapping[str, Scenario]) -> dict[str, Path]:
    """Find a folder for each candidate: the one in which it was run before, whatever its number was, or its own."""
    found: dict[str, Path] = {}
    for number, (name, scenario) in enumerate(todo.items()):
        slug = re.sub(r"[^A-Za-z0-9._=+-]+", "-", name).strip("-")[:60]
        before = (place for place in sorted(runs.glob(f"*-{slug}")) if _has(place, scenario))
        fresh = (runs / f"{each:02d}-{slug}" for each in count(number))
        found[name] = next(place for place in chain(before, fresh) if place not in found.values())
    return found


def _has(place: Path, scenario: Scenario) -> bool:
    """Whether a candidate was run already, by a comparison that is resumed."""
    if not folders.is_run(place):
        return False
    found = folders.read_json(place / MANIFEST)
    done = found.get("exit_state") == "finished" and (place / SUMMARY).is_file()
    ours = (scenario.digest(), folders.provenance()["versions"]["edgesim"])
    return done and (found.get("scenario_sha256"), found.get("versions", {}).get("edgesim")) == ours


def _run_all(
    todo: Mapping[str, Scenario],
    places: Mapping[str, Path],
    jobs: int,
    watch: Watch,
    progress: Callable[[str], None],
) -> None:
    """Run scenarios into folders; with several jobs, each one in a process of its own."""
    with processes(jobs, len(todo)) as pool:
        if pool is None:
            for name, scenario in todo.items():
                try:
                    _run(scenario, places[name], lambda number, name=name: watch(name, number))  # type: ignore[misc]
                except (ScenarioError, PolicyError, SimulationError) as error:
                    raise ResultsError(f"{name} failed: {sentence(error)}") from error
                progress(name)
            return
        names = list(todo)
        scratch = str((places[names[0]].parent / SCRATCH).absolute())
        command, policies = folders.command_line(), local_policies(todo.values())
        work = [
            Job(
                point=number, scenario=pickle.dumps(each), command=command, policies=policies, scratch=scratch
            )
            for number, each in enumerate(todo.values())
        ]
        for made in results(pool, work):
            name = names[made.point]
            if made.error:
                raise ResultsError(f"{name} failed: {made.error}")
            shutil.rmtree(places[name], ignore_errors=True)
            Path(made.folder).rename(places[name])
            progress(name)
    shutil.rmtree(scratch, ignore_errors=True)


def _run(scenario: Scenario, place: Path, watch: Callable[[int], Any]) -> None:
    from edgesim.experiment import Plan  # noqa: PLC0415 - brings pyarrow; comparing runs does without

    found = Plan(scenario, place, force=True).run(watch)
    if found.manifest["exit_state"] == "interrupted":
        raise KeyboardInterrupt


def _begin(folder: Path, contenders: Mapping[str, Any], *, resume: bool, force: bool) -> None:
    """Make a folder ready; the files of an earlier comparison go, if they may, and nothing else.

    Its manifest says that a comparison is under way, so that what an interrupted one leaves is known as ours.
    """
    earlier = folders.earlier(folder, KIND)
    if earlier is not None and not (resume or force):
        state = earlier.get("exit_state")
        told = "" if state == "finished" else f" that did not finish ({state}); --resume goes on with it, or"
        raise ResultsError(f"'{folder}' holds an earlier comparison{told or ';'} --force replaces it")
    for name, each in contenders.items():
        place = each.folder if isinstance(each, Run | RunSet) else None
        if place is not None and folder.resolve() in place.resolve().parents:
            raise ResultsError(
                f"{name} lies in '{folder}', where the comparison is to go; choose another folder"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "format": folders.FORMAT,
            "kind": KIND,
            "exit_state": "running",
            "candidates": list(contenders),
        }
        folders.write_json(folder / MANIFEST, content)
        (folder / COMPARISON).unlink(missing_ok=True)
        shutil.rmtree(folder / RUNS / SCRATCH if resume else folder / RUNS, ignore_errors=True)
    except OSError as error:
        raise ResultsError(f"cannot write results to '{folder}': {error.strerror}") from error


def _give_up(folder: Path, state: str) -> None:
    """Write down how a comparison ended early; where it left no runs, the folder is free again."""
    shutil.rmtree(folder / RUNS / SCRATCH, ignore_errors=True)
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
