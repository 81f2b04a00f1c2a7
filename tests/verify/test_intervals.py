"""Tests of the coverage of intervals, on few runs; `edgesim verify intervals` takes many."""

from __future__ import annotations

import json

import pytest

from edgesim.verify import intervals
from edgesim.verify.check import Check


@pytest.mark.parametrize("model", ["M/M/1", "M/D/1"])
def test_intervals_hold_the_mean(model: str) -> None:
    """Of 200 runs, 90 to 99 % of the 95 % intervals do."""
    found = list(intervals.coverage(model, 200, (0.90, 0.99)))
    assert [check for check in found if not check.passed] == []


def test_a_wrong_mean_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the truth 10 % longer, most intervals would miss it."""
    monkeypatch.setattr(intervals, "sojourn", lambda _: 0.66)
    first, *_ = intervals.coverage("M/D/1", 30, (0.90, 0.99))
    assert not first.passed


def test_equals_are_called_equal() -> None:
    """Other random numbers alone make no difference that is real."""
    assert intervals.equals(30, 0.93).passed


def test_means_by_hand() -> None:
    """Pollaczek-Khinchine at half load: twice the service of 0.4 s, and one and a half times."""
    assert intervals.sojourn("M/M/1") == pytest.approx(0.8, rel=2e-3)
    assert intervals.sojourn("M/D/1") == pytest.approx(0.6)


def test_the_command_fails_if_a_check_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints all of them and answers 1."""
    lines = [Check("first", "a", "a", "", True), Check("second", "a", "b", "", False)]
    monkeypatch.setattr(intervals, "checks", lambda runs, pairs: iter(lines))
    assert intervals.main(["--json"]) == 1
    assert [each["passed"] for each in json.loads(capsys.readouterr().out)] == [True, False]
    assert intervals.main([]) == 1
    assert "1 of 2 passed" in capsys.readouterr().out
