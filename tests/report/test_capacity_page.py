"""Tests of the picture and the page of a capacity search."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

import edgesim
from edgesim.registry import UnknownNameError
from edgesim.report import plots, style
from edgesim.report.page import render
from edgesim.results.capacity import Asked, Criterion
from edgesim.results.folder import MANIFEST, SCENARIO, write_json

TTFT, SHARE = Criterion("ttft_p95", 0.5), Criterion("attainment", 0.9, "", at_least=True)


def point(rate: float, ttft: float, verdict: str, reason: str = "") -> dict[str, Any]:
    """A point of a search for a rate."""
    return {
        "load": rate / 4, "rate_rps": rate, "ttft_p95": ttft, "ttft_p95_low": 0.9 * ttft, "ttft_p95_high": 1.1 * ttft,
        "attainment": 0.95, "attainment_low": 0.94, "attainment_high": 0.96, "replications": 8, "verdict": verdict,
        "reason": reason,
    }  # fmt: skip


@pytest.fixture
def found(tmp_path: Path) -> Any:
    """A search that ended, with a folder."""
    write_json(tmp_path / MANIFEST, {"kind": "capacity", "seed": 7, "versions": {"edgesim": "1.2"}})
    (tmp_path / SCENARIO).write_text("scenario: {name: <i>two</i>}\n")
    points = [
        point(4.0, 0.2, "met"),
        point(5.0, 0.4, "met"),
        point(6.0, 0.7, "missed", "ttft_p95"),
        point(9.0, 30.0, "unstable", "the backlog grows without end: much"),
    ]
    return edgesim.Capacity(
        Asked(), "two", 5.0, "Up to 5 requests/s.", "found", points, (TTFT, SHARE), estimate=5.4, limit=6.0,
        notes=["some < others"], folder=tmp_path,
    )  # fmt: skip


def test_the_page_says_answer_reason_and_origin(found: Any) -> None:
    """The verdict comes first; every point is a row that sorts by number; nothing of it is markup."""
    html = render(found)
    assert re.findall(r'<section id="([a-z]+)"', html) == ["answer", "pictures", "points", "origin"]
    assert "<strong>5 requests/s</strong>" in html
    assert "time to first token, p95 at most 500 ms; requests that keep all limits at least 90 %" in html
    assert "The mean reaches its bound at about 5.4/s." in html
    assert "Surely missed at 6/s, the nearest that was tried." in html
    assert "Some &lt; others." in html
    assert "400 ms (360 ms to 440 ms)" in html
    assert "95 % (94 % to 96 %)" in html
    assert html.count("<td class=name>missed</td>") == html.count("<td class=name>unstable</td>") == 1
    assert "scenario: {name: &lt;i&gt;two" in html
    assert "edgesim version" in html
    assert 'aria-label="What limits a capacity search' in html


def test_the_page_says_that_there_is_no_answer(found: Any) -> None:
    """Nor is a folder needed."""
    nothing = dataclasses.replace(
        found, answer=None, outcome="missed", sentence="No answer.", limit=4.0, folder=None
    )
    html = render(nothing)
    assert "✗ none" in html
    assert "<strong>no answer</strong>" in html
    assert "Surely missed" not in html
    assert 'id="origin"' not in html


def test_the_picture_is_one_of_all(found: Any) -> None:
    """It has its name, says what it shows, and draws what lies beyond the edge with its value."""
    assert [plot.name for plot in plots.drawable(found)] == ["capacity"]
    axes = plots.page(found, ["capacity"]).axes[0]
    assert axes.get_ylabel() == "time to first token, p95 [s]"
    assert "\N{UPWARDS ARROW} 30 s" in [text.get_text() for text in axes.texts]
    assert (
        style.described(axes) == "Up to 5 requests/s. What limits: time to first token, p95 at most 500 ms."
    )
    share = plots.capacity_curve(found, metric="attainment")
    with pytest.raises(UnknownNameError, match="did you mean 'attainment'"):
        plots.capacity_curve(found, metric="atainment")
    assert share.get_ylabel() == "requests that keep all limits [%]"
