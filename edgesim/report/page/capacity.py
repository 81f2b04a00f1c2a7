"""The sections of a page about a capacity search: the answer, the curve that shows why, its points, its origin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from edgesim.report.page import markup
from edgesim.report.page.markup import Cell, text
from edgesim.report.page.single import gallery, manifest_table
from edgesim.report.plots.base import metric_words, written
from edgesim.report.plots.capacity import known, mix_text
from edgesim.results.folder import MANIFEST, SCENARIO, read_json
from edgesim.units import format_percent

if TYPE_CHECKING:
    from edgesim.results.capacity import Capacity

Section = tuple[str, str, str]

VERDICTS: Final = {
    "found": ("met", "✓ found"),
    "missed": ("missed", "✗ none"),
    "met": ("met", "✓ met throughout"),
}
"""Class and word of each outcome."""
SEARCHES: Final = {
    "rate": "the largest rate",
    "replicas": "the fewest replicas or nodes",
    "mix": "the best mix of hardware",
}


def capacity(found: Capacity) -> tuple[str, str, list[Section]]:
    """Answer title, a line about it, and sections of a capacity search."""
    asked = found.asked
    parts = [
        ("answer", "Answer", _answer(found)),
        ("pictures", "Why", gallery(found)),
        ("points", "Points", markup.section("points", "What was tried", _points(found))),
        ("origin", "Origin", _origin(found)),
    ]
    about = [SEARCHES[asked.search], f"confidence {format_percent(asked.confidence)}"]
    about += [f"{len(found.points)} points"]
    return f"{found.scenario}: capacity", " · ".join(about), [part for part in parts if part[2]]


def _answer(found: Capacity) -> str:
    """The verdict as a card, what was demanded, and what the reader must know."""
    kind, word = VERDICTS[found.outcome]
    demanded = "; ".join(
        f"{metric_words(one.name)[0]} {'at least' if one.at_least else 'at most'} {_written(one.bound, one)}"
        for one in found.criteria
    )
    more = []
    if found.estimate is not None:
        more.append(f"The mean reaches its bound at about {found.estimate:.4g}/s.")
    if found.limit is not None and found.answer is not None:
        unit = "/s" if found.asked.search == "rate" else ""
        more.append(f"Surely missed at {found.limit:.4g}{unit}, the nearest that was tried.")
    notes = "".join(
        f"<p class=warning role=note>{text(note[:1].upper() + note[1:])}.</p>" for note in found.notes
    )
    card = (
        f"<ul class=cards><li class={kind}><span class=word>{word}</span><strong>{text(_short(found))}</strong>"
        f"<span>{text(demanded)}</span></li></ul>"
    )
    return markup.section(
        "answer", "Answer", f"<p class=lead>{text(found.sentence)}</p>", card, markup.paragraphs(more), notes
    )


def _short(found: Capacity) -> str:
    """The answer in a few words."""
    if found.answer is None:
        return "no answer"
    if isinstance(found.answer, dict):
        return mix_text(found.answer).replace("\n", ", ")
    if found.asked.search == "rate":
        return f"{found.answer:.4g} requests/s"
    return f"{found.answer} \N{MULTIPLICATION SIGN} {found.asked.of}"


def _written(value: float, one: Any) -> str:
    return format_percent(value) if one.at_least else written(value, one.unit)


def _points(found: Capacity) -> str:
    """A row a point: what was varied, what was demanded with its interval, the verdict and its reason."""
    search = found.asked.search
    key = {"rate": "load", "replicas": "replicas", "mix": "mix"}[search]
    rows: list[list[Cell]] = []
    for point in found.points:
        varied: Cell = mix_text(point) if search == "mix" else (f"{point[key]:.4g}", float(point[key]))
        row: list[Cell] = [varied]
        if search == "rate":
            rate = point.get("rate_rps")
            row.append((f"{rate:.4g}/s", rate) if rate is not None and known(rate) else ("-", None))
        row += [_interval(point, one) for one in found.criteria]
        reason = str(point["reason"]).replace("_", " ")
        rows.append(
            [*row, (str(point["replications"]), point["replications"]), str(point["verdict"]), reason]
        )
    head = [key, *(["rate"] if search == "rate" else [])]
    head += [f"{one.name.replace('_', ' ')} (interval)" for one in found.criteria]
    confidence = format_percent(found.asked.confidence)
    caption = f"Points; intervals are one-sided limits of {confidence}, shared among the looks at the data"
    return markup.table([*head, "runs", "verdict", "reason"], rows, caption, hidden=False)


def _interval(point: dict[str, Any], one: Any) -> Cell:
    """A number with the ends of its interval."""
    value = point.get(one.name)
    if value is None or not known(value):
        return "-", None
    low, high = (point.get(f"{one.name}_{end}", math.nan) for end in ("low", "high"))
    ends = f" ({_written(low, one)} to {_written(high, one)})" if known(low) and known(high) else ""
    return f"{_written(value, one)}{ends}", float(value)


def _origin(found: Capacity) -> str:
    """What was asked, of which scenario, and by what."""
    folder = found.folder
    if folder is None or not (folder / MANIFEST).is_file():
        return ""
    content = manifest_table(read_json(folder / MANIFEST), opened=True)
    if (folder / SCENARIO).is_file():
        yaml = text((folder / SCENARIO).read_text(encoding="utf-8"))
        content += markup.details("Scenario, with everything spelled out", f"<pre tabindex=0>{yaml}</pre>")
    return markup.section("origin", "Scenario and origin", content)
