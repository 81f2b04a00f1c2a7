"""Searching along one line: a bracket by doubling, bisection, and a scan where the line turns out not to be monotone.

A point counts as good if everything is met with confidence; one that stays undecided does not. So the answer is on
the safe side of the limit, and how far from it is told by the nearest point that surely misses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.studies.capacity_points import Point


class At(Protocol):
    """Evaluates the point at a place on the line."""

    def __call__(self, place: float, /, *, whole: bool = False) -> Point:
        """Answer the point; with all replications if it is to be whole."""


SCAN: Final = 12
"""Points of a scan."""
EASIER: Final = (0.25, 0.5)
"""Shares of the load found that are tried as well, to see whether the line is monotone."""


@dataclass
class Found:
    """What a search found.

    Attributes:
        place: Where on the line the answer is; None if there is none.
        beyond: The nearest place tried where something is surely missed; None if there is none.
        outcome: "found"; "missed": nowhere met, not even at the easiest place tried; "met": met even at the
            hardest place tried.
        points: Every place that was evaluated, with its point.
        notes: What the reader must know.
    """

    place: float | None
    beyond: float | None
    outcome: str
    points: dict[float, Point]
    notes: list[str] = field(default_factory=list)


class Line:
    """Remembers what was evaluated where."""

    def __init__(self, at: At) -> None:
        self._at = at
        self.points: dict[float, Point] = {}

    def good(self, place: float) -> bool:
        """Whether everything is met there."""
        if place not in self.points:
            self.points[place] = self._at(place)
        return self.points[place].met

    def confirmed(self, place: float) -> bool:
        """Whether everything is still met there with all replications."""
        self.points[place] = self._at(place, whole=True)
        return self.points[place].met

    def empty(self, place: float) -> bool:
        """Whether too little happens there to judge anything."""
        return self.points[place].verdict == "empty"


def largest(at: At, *, lowest: float, highest: float, tolerance: float) -> Found:
    """Find the largest load that is good, where loads get harder as they grow.

    Args:
        at: Evaluates a load, as a factor of the scenario's.
        lowest: Lowest factor to try.
        highest: Highest factor to try.
        tolerance: Relative width of the last bracket.
    """
    line = Line(at)
    good, bad = _bracket(line, min(max(1.0, lowest), highest), lowest, highest)
    if good is not None and bad is not None:
        good = _bisected(line, good, bad, tolerance)
    if good is not None:  # what is easier must be good, too
        for share in EASIER:
            line.good(max(share * good, lowest))
    notes = []
    if reversed_ := reversals(line.points):
        notes += [
            *reversed_,
            "not monotone: scanned instead, and the answer is where all lower loads tried are good",
        ]
        places = sorted(line.points)
        for place in _geometric(places[0], places[-1], SCAN):
            line.good(place)
        place = places[0]
        while place > lowest and not (line.good(place) or line.empty(place)):
            place = max(place / 2, lowest)
        line.good(place)
        good, bad = _first_change(line)
        if good is not None and bad is not None:
            good = _bisected(line, good, bad, tolerance)
            good, _ = _first_change(line)
        if good is not None and (islands := [p for p in line.points if p > good and line.points[p].met]):
            notes.append(
                f"good again at {', '.join(f'{place:.4g}' for place in sorted(islands))} times the load"
            )
    good = _confirmed(line, good, tolerance)
    return _found(line, good, notes, harder_above=True)


def _confirmed(line: Line, good: float | None, tolerance: float) -> float | None:
    """Look at the answer with all replications; step down from one that does not stand that."""
    while good is not None and not line.confirmed(good):
        lost = good
        good = max(
            (place for place, point in line.points.items() if place < lost and point.met), default=None
        )
        if good is not None:
            good = _bisected(line, good, lost, tolerance)
    return good


def _bracket(line: Line, start: float, lowest: float, highest: float) -> tuple[float | None, float | None]:
    """Double or halve from the start until a good and a bad load are neighbours."""
    place = start
    if line.good(place) or line.empty(place):
        good = place if line.good(place) else None
        while place < highest:
            place = min(2 * place, highest)
            if line.good(place):
                good = place
            elif not line.empty(place):
                return good, place
        return good, None
    while place > lowest:
        bad, place = place, max(place / 2, lowest)
        if line.good(place):
            return place, bad
        if line.empty(place):
            break
    return None, start


def _bisected(line: Line, good: float, bad: float, tolerance: float) -> float:
    """Narrow a bracket down; answers its good end."""
    while bad / good > 1 + tolerance:
        middle = math.sqrt(good * bad)
        if line.good(middle):
            good = middle
        else:
            bad = middle
    return good


def smallest(at: At, *, start: int, most: int) -> Found:
    """Find the smallest whole number that is good, where it gets easier as numbers grow.

    Args:
        at: Evaluates a number.
        start: Number to begin with.
        most: Largest number to try.
    """
    line = Line(at)
    good, bad = start, start
    if line.good(start):
        while good > 1 and line.good(bad := good // 2):
            good = bad
        if good == 1:
            bad = 0
    else:
        while good < most and not line.good(good := min(2 * good, most)):
            bad = good
    while line.points[good].met and good - bad > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if line.good(middle) else (good, middle)
    notes: list[str] = []
    answer: float | None = good if line.points[good].met else None
    if answer is not None:  # what is easier must be good, too
        line.good(min(2 * good, most))
    if reversed_ := reversals({-place: point for place, point in line.points.items()}):
        notes += [
            *reversed_,
            "not monotone: scanned instead, and the answer is the smallest number that is good",
        ]
        reach = max(line.points)
        for place in sorted(
            {round(p) for p in _geometric(1, reach, SCAN)} | set(range(1, min(int(reach), 16) + 1))
        ):
            line.good(place)
        answer = min((place for place, point in line.points.items() if point.met), default=None)
    while answer is not None and not line.confirmed(
        answer
    ):  # the next number up, which need not have been tried
        answer = next((place for place in range(int(answer) + 1, most + 1) if line.good(place)), None)
    return _found(line, answer, notes, harder_above=False)


def reversals(points: dict[float, Point]) -> list[str]:
    """Say where a harder place does surely better than an easier one.

    Places are compared with their next neighbour in order: a number that is not surely within its bound gets better
    by more than the intervals, or a surely bad place comes before a good one. What a number does that stays within
    its bound is its own affair.
    """
    found = []
    known = _telling(points)
    for (_, easy), (_, hard) in pairwise(known):
        for before, after in zip(easy.judged, hard.judged, strict=True):
            better = before.high < after.low if before.criterion.at_least else before.low > after.high
            if (
                before.verdict != "met"
                and better
                and math.isfinite(before.mean)
                and "unstable" not in (easy.verdict, hard.verdict)
            ):
                found.append(
                    f"{before.criterion.name} is {before.mean:.4g} at {_at(easy)}, but {after.mean:.4g} at {_at(hard)}"
                )
    bad = next((point for _, point in known if point.verdict in ("missed", "unstable")), None)
    if bad is not None:
        order = [point for _, point in known]
        later = [point for point in order[order.index(bad) :] if point.met]
        found += [f"missed at {_at(bad)}, but met at {_at(point)}" for point in later[:1]]
    return found


def _telling(points: dict[float, Point]) -> list[tuple[float, Point]]:
    """Places in order, with their points, where enough was measured to say anything."""
    known = [(place, points[place]) for place in sorted(points)]
    return [(place, point) for place, point in known if point.judged and point.verdict != "empty"]


def _at(point: Point) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in point.key.items())


def _geometric(low: float, high: float, count: int) -> Sequence[float]:
    step = (high / low) ** (1 / (count - 1))
    return [low * step**i for i in range(count)]


def _first_change(line: Line) -> tuple[float | None, float | None]:
    """The last place before which, and itself, all are good, and the first one that is not."""
    good = None
    for place in sorted(line.points):
        if line.points[place].met:
            good = place
        elif not line.empty(place):
            return good, place
    return good, None


def _found(line: Line, place: float | None, notes: list[str], *, harder_above: bool) -> Found:
    """Put together what was found."""
    surely = [p for p, point in line.points.items() if point.verdict in ("missed", "unstable", "impossible")]
    if place is None:
        return Found(None, min(surely, default=None), "missed", line.points, notes)
    if harder_above:
        beyond = min((p for p in surely if p > place), default=None)
        ended = beyond is None and not any(p > place for p in line.points)
        return Found(place, beyond, "met" if ended else "found", line.points, notes)
    return Found(place, max((p for p in surely if p < place), default=None), "found", line.points, notes)


def crossing(points: dict[float, Point]) -> float | None:
    """Estimate where the worst mean crosses its bound: linear between the neighbours, in logarithms of the place.

    None if it does not, or does so several times.
    """
    known = [(place, point.excess) for place, point in _telling(points)]
    signs = [excess > 0 for _, excess in known]
    changes = [i for i, (a, b) in enumerate(pairwise(signs)) if a != b]
    if len(changes) != 1:
        return None
    (low, before), (high, after) = known[changes[0]], known[changes[0] + 1]
    if not (math.isfinite(before) and math.isfinite(after)):
        return None
    share = before / (before - after)
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
