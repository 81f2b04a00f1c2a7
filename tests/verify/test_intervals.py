"""Tests of the coverage of intervals, on few runs; `edgesim verify intervals` takes many."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from edgesim.cli import main
from edgesim.verify import intervals
from edgesim.verify.check import Check


@pytest.mark.parametrize("model", ["M/M/1", "M/D/1"])
def test_intervals_hold_the_mean(model: str) -> None:
    """Of 200 runs, 90 to 99 % of the 95 % intervals do."""
    found = list(intervals.coverage(model, 200, (0.90, 0.99)))
    assert [check for check in found if not check.passed] == []


def test_longer_queues_hold_mean_and_percentile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 runs at a load of 0.8 most do; with a truth twice as long, few would; short runs give no interval."""
    assert [check for check in intervals.longer(0.8, 5000, 40, (0.85, 1.0)) if not check.passed] == []
    mean, _, high, _ = short = list(intervals.longer(0.8, 120, 3))
    assert [check.measured for check in short] == ["0.0% of 0", "100.0% of 3"] * 2
    assert not mean.passed
    assert not high.passed
    right = intervals.sojourn("M/M/1", 0.8)
    monkeypatch.setattr(intervals, "sojourn", lambda *_: right * 2)
    assert [check.passed for check in intervals.longer(0.8, 5000, 10)][::2] == [False, False]


def test_a_wrong_mean_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the truth 10 % longer, most intervals would miss it."""
    monkeypatch.setattr(intervals, "sojourn", lambda *_: 0.66)
    first, *_ = intervals.coverage("M/D/1", 30, (0.90, 0.99))
    assert not first.passed


def test_equals_are_called_equal() -> None:
    """Other random numbers alone make no difference that is real."""
    assert intervals.equals(30, 0.93).passed
    alone = intervals.equals(15, 0.93, replications=1)
    assert alone.passed
    assert "single runs" in alone.name
    assert "(5 quantities" in alone.name


def test_means_by_hand() -> None:
    """Pollaczek-Khinchine at half load: twice the service of 0.4 s, and one and a half times; at 0.8, 5 times."""
    assert intervals.sojourn("M/M/1") == pytest.approx(0.8, rel=2e-3)
    assert intervals.sojourn("M/D/1") == pytest.approx(0.6)
    assert intervals.sojourn("M/M/1", 0.8) == pytest.approx(2.0, rel=2e-3)


def test_the_command_fails_if_a_check_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints all of them and answers 1."""
    lines = [Check("first", "a", "a", "", True), Check("second", "a", "b", "", False)]
    monkeypatch.setattr(intervals, "checks", lambda runs, pairs: iter(lines))
    found = CliRunner().invoke(main, ["verify", "intervals", "--json"])
    assert found.exit_code == 1
    assert [each["passed"] for each in json.loads(found.stdout)] == [True, False]
    assert "1 of 2 passed" in CliRunner().invoke(main, ["verify", "intervals"]).stdout
