"""Explaining a run: what happened, why objectives were missed, what held requests up, where everything went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgesim.results.certainty import NOTHING, TOO_FEW
from edgesim.studies.explanation.bottlenecks import bottlenecks
from edgesim.studies.explanation.misses import misses
from edgesim.studies.explanation.part import Explanation, Part
from edgesim.studies.explanation.shares import cost, energy, time
from edgesim.studies.explanation.subject import subject_of
from edgesim.studies.explanation.worst import worst
from edgesim.units import format_seconds

if TYPE_CHECKING:
    from edgesim.results import Run, RunSet
    from edgesim.studies.explanation.subject import Subject

AWAY: Final = ("rejected", "failed", "abandoned")
"""How requests end that get no answer."""
FEW: Final = 100
"""Below so many measured requests percentiles are mostly chance."""


def explain(run: Run | RunSet, *, intervals: int | None = None, count: int = 10) -> Explanation:
    """Explain why a run came out as it did.

    Everything is computed from the run's tables and summary; nothing is simulated. Requests of all replications
    are taken together.

    Args:
        run: A run or set of replications, stored or in memory.
        intervals: Intervals in which bottlenecks are looked for; by default 10 to 20, by the number of requests.
        count: How many of the worst requests to list.

    Raises:
        ResultsError: It is no run, or its table of requests lacks columns.
    """
    return explanation_of(subject_of(run), finished=run.finished, intervals=intervals, count=count)


def explanation_of(
    subject: Subject, *, finished: bool = True, intervals: int | None = None, count: int = 10
) -> Explanation:
    """Explain requests that were gathered before."""
    parts = [
        _overview(subject, finished=finished),
        *([misses(subject, finished=finished or subject.whole)] if len(subject.measured) else []),
        bottlenecks(subject, intervals),
        time(subject),
        energy(subject),
        cost(subject),
        worst(subject, count),
    ]
    many = f", {subject.replications} replications" if subject.replications > 1 else ""
    return Explanation(f"{subject.name}{many}", parts)


def _overview(subject: Subject, *, finished: bool) -> Part:
    """Say what happened, and how far it can be trusted."""
    counts, summary = subject.summary["requests"], subject.summary
    away = "".join(f", {counts[name]:,} {name}" for name in AWAY if counts[name])
    left = f", {counts['unfinished']:,} still under way at the end" if counts["unfinished"] else ""
    arrived = f"{counts['arrived']:,} request{'' if counts['arrived'] == 1 else 's'}"
    sentences = [
        (
            f"{arrived} arrived in {format_seconds(subject.duration_s)}: {counts['completed']:,} completed{away}{left}."
        )
    ]
    if not finished:
        sentences.append("The run did not reach its end; this is about the part that it finished.")
    if not summary["stable"]:
        sentences.append(
            f"It is unstable: {summary['stability'].removeprefix('unstable: ')}. Latencies grow with the length of"
            " the run, so they say how long it was rather than how fast the system is."
        )
    elif len(subject.completed) < FEW and NOTHING not in summary["notes"]:
        sentences.append(_few(len(subject.completed), len(subject.measured)))
    sentences += [note[0].upper() + note[1:] + "." for note in summary["notes"] if note != TOO_FEW]
    if subject.resources is None:
        sentences.append(
            "Queues, memory and links were not recorded over time, so bottlenecks are read from the requests alone;"
            " --set output.tables=[requests,legs,resources] records them."
        )
    elif subject.replications > 1:
        sentences.append("Queues, memory and links over time are those of the first replication.")
    return Part("What happened", sentences)


def _few(completed: int, measured: int) -> str:
    """Say how little was measured; more time is no help where whatever came was turned away, or still waits."""
    if not completed:
        said = "No completed request was measured, so there are no latencies"
        return f"{said}." if measured else f"{said}: run longer or with more replications."
    only = f"Only {completed} completed request{' was' if completed == 1 else 's were'} measured"
    return f"{only}, so high percentiles are mostly chance: run longer or with more replications."
