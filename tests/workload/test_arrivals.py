"""Arrival processes have the rates, the burstiness and the times that they promise."""

from __future__ import annotations

import numpy as np
import pytest

PS = 10**12
HOUR = 3600.0


def gaps(rows: np.ndarray) -> np.ndarray:
    return np.diff(rows["at"], prepend=0) / PS


class TestPoisson:
    def test_rate_and_gaps(self, make, everything) -> None:
        """Counts and gaps are those of a Poisson process of the stated rate."""
        rows = everything(make({"chat": {"arrivals": {"kind": "poisson", "rate": "50/s"}}}, duration=HOUR))
        assert len(rows) == pytest.approx(50 * HOUR, abs=4 * np.sqrt(50 * HOUR))
        assert gaps(rows).mean() == pytest.approx(0.02, rel=0.01)
        assert gaps(rows).std() / gaps(rows).mean() == pytest.approx(1.0, abs=0.01)
        assert rows["at"].max() < HOUR * PS

    def test_rate_per_node(self, make, everything) -> None:
        """With `per: node` ten phones make ten times the rate."""
        rate = {"kind": "poisson", "rate": "1/s", "per": "node"}
        assert len(everything(make({"chat": {"arrivals": rate}}, duration=HOUR))) == pytest.approx(
            36_000, rel=0.03
        )

    def test_every_node_of_the_group_asks_and_no_other(self, make, everything) -> None:
        """Origins are uniform over the ids of the group."""
        rows = everything(make({"chat": {}}, requests=20_000))
        nodes, number = np.unique(rows["origin"], return_counts=True)
        assert nodes.tolist() == list(range(20, 30))
        assert number == pytest.approx(np.full(10, 2000), abs=4 * np.sqrt(2000))

    def test_a_rate_too_low_for_the_run_asks_nothing(self, make, everything) -> None:
        """Gaps of centuries neither overflow nor arrive."""
        chat = {"arrivals": {"kind": "poisson", "rate": "1e-12/s"}}
        assert len(everything(make({"chat": chat}, duration=HOUR))) == 0
        assert len(everything(make({"chat": chat}, requests=10))) == 0


@pytest.mark.parametrize("cv", [0.3, 3.0])
def test_gamma_gaps_have_the_stated_cv(make, everything, cv: float) -> None:
    """Rate and coefficient of variation come out."""
    chat = {"arrivals": {"kind": "gamma", "rate": "20/s", "cv": cv}}
    rows = everything(make({"chat": chat}, requests=200_000))
    assert gaps(rows).mean() == pytest.approx(0.05, rel=0.03)
    assert gaps(rows).std() / gaps(rows).mean() == pytest.approx(cv, rel=0.03)


ON_OFF = {"kind": "on-off", "rate_on": "50/s", "mean_on": "2 s", "mean_off": "8 s"}


class TestOnOff:
    def test_mean_rate_and_dispersion(self, make, everything) -> None:
        """The rate is that of the on share; the index of dispersion that of the modulated process.

        For windows much longer than the periods the index tends to 1 + 2 (1-p) r t, with on share p, rate r
        while on and relaxation time t = 1 / (1/on + 1/off) (Fischer, Meier-Hellstern: MMPP cookbook, 1993).
        """
        rows = everything(make({"chat": {"arrivals": ON_OFF}}, duration=20 * HOUR))
        expected = 1 + 2 * 0.8 * 50 * 1.6
        mean = 10 * 20 * HOUR
        assert len(rows) == pytest.approx(mean, abs=4 * np.sqrt(expected * mean))
        number = np.bincount((rows["at"] // (100 * PS)).astype(np.int64))
        assert number.var() / number.mean() == pytest.approx(expected, rel=0.2)

    def test_starts_in_the_stationary_state(self, make, everything) -> None:
        """The first second sees the mean rate over many runs, not always a burst."""
        number = [
            len(everything(make({"chat": {"arrivals": ON_OFF}}, duration=1.0, seed=seed)))
            for seed in range(400)
        ]
        assert np.mean(number) == pytest.approx(10, abs=4 * np.std(number) / 20)
        assert np.mean(np.array(number) == 0) == pytest.approx(0.8 * np.exp(-1 / 8), abs=0.1)

    def test_nothing_arrives_in_silence(self, make, everything) -> None:
        """With no rate between bursts, most seconds are empty."""
        rows = everything(make({"chat": {"arrivals": ON_OFF}}, duration=20 * HOUR))
        busy = len(np.unique(rows["at"] // PS)) / (20 * HOUR)
        assert busy == pytest.approx(
            0.2 + 0.1, abs=0.03
        )  # the on share, and seconds that a burst only touches

    def test_mmpp_is_another_name(self, make, everything) -> None:
        """Both names give the same process."""
        first = everything(make({"chat": {"arrivals": ON_OFF}}, requests=500))
        other = everything(make({"chat": {"arrivals": {**ON_OFF, "kind": "mmpp"}}}, requests=500))
        assert first.tobytes() == other.tobytes()

    def test_two_equal_rates_are_poisson(self, make, everything) -> None:
        """A modulation that changes nothing leaves a Poisson process."""
        keys = {**ON_OFF, "rate_on": "10/s", "rate_off": "10/s"}
        rows = everything(make({"chat": {"arrivals": keys}}, duration=HOUR))
        number = np.bincount((rows["at"] // PS).astype(np.int64), minlength=3600)
        assert number.mean() == pytest.approx(10, rel=0.03)
        assert number.var() / number.mean() == pytest.approx(1, abs=0.1)


class TestDiurnal:
    def test_mean_peak_and_place_of_the_peak(self, make, everything) -> None:
        """The day has the stated mean, the stated peak over mean, and the peak where it was put."""
        keys = {"kind": "diurnal", "rate": "5/s", "peak_to_mean": 3.0, "peak_at": "6 h"}
        rows = everything(make({"chat": {"arrivals": keys}}, duration=24 * HOUR))
        assert len(rows) == pytest.approx(5 * 24 * HOUR, rel=0.01)
        hours = np.histogram(rows["at"] / PS / HOUR, bins=24, range=(0, 24))[0] / HOUR
        near_peak = (hours[5] + hours[6]) / 2
        assert near_peak / 5 == pytest.approx(3.0, rel=0.04)
        assert {int(np.argmax(hours)), int(np.argsort(hours)[-2])} == {5, 6}
        assert hours[18] < 0.5

    def test_a_ratio_of_one_is_flat(self, make, everything) -> None:
        """Peak equal to mean gives a constant rate."""
        keys = {"kind": "diurnal", "rate": "5/s", "peak_to_mean": 1.0, "period": "1 h"}
        rows = everything(make({"chat": {"arrivals": keys}}, duration=HOUR))
        quarters = np.histogram(rows["at"] / PS, bins=4, range=(0, HOUR))[0]
        assert quarters == pytest.approx(np.full(4, 4500), abs=4 * np.sqrt(4500))


class TestPeriodic:
    def sensors(self, **keys):
        return {"sensor": {"arrivals": {"kind": "periodic", "period": "1 s", **keys}}}

    def test_aligned_sensors_fire_together(self, make, everything) -> None:
        """All nodes ask at 0, 1 and 2 s exactly; the end at 3 s is outside."""
        rows = everything(make(self.sensors(phase="aligned"), duration=3.0))
        assert rows["at"].tolist() == [0] * 10 + [PS] * 10 + [2 * PS] * 10
        assert rows["origin"].tolist() == list(range(20, 30)) * 3

    def test_spread_sensors_share_the_period(self, make, everything) -> None:
        """Ten nodes ask every tenth of a second, in order."""
        rows = everything(make(self.sensors(phase="spread"), duration=2.0))
        assert rows["at"].tolist() == [k * PS // 10 for k in range(20)]
        assert rows["origin"].tolist() == list(range(20, 30)) * 2

    def test_random_phases_repeat_every_period(self, make, everything) -> None:
        """Each node keeps its phase."""
        rows = everything(make(self.sensors(phase="random"), duration=100.0))
        phases = {node: set((rows["at"][rows["origin"] == node] % PS).tolist()) for node in range(20, 30)}
        assert all(len(phase) == 1 for phase in phases.values())
        assert len({phase for (phase,) in map(tuple, phases.values())}) == 10
        assert len(rows) == 1000

    def test_the_group_as_one_sensor(self, make, everything) -> None:
        """With `per: total` the group asks once a period, the nodes in turn."""
        rows = everything(make(self.sensors(phase="spread", per="total"), duration=20.0))
        assert rows["at"].tolist() == [k * PS for k in range(20)]
        assert rows["origin"].tolist() == list(range(20, 30)) * 2

    def test_jitter_delays_but_loses_nothing(self, make, everything) -> None:
        """Each node's k-th request comes in [k, k + jitter), all are there, and they are in order."""
        rows = everything(make(self.sensors(phase="aligned", jitter="900 ms"), duration=1000.0))
        assert (np.diff(rows["at"]) >= 0).all()
        assert len(rows) == 10_000
        for node in range(20, 30):
            late = rows["at"][rows["origin"] == node] - np.arange(1000) * PS
            assert late.min() >= 0
            assert late.max() < 9 * PS // 10
        assert ((rows["at"] % PS) / PS).mean() == pytest.approx(0.45, abs=0.02)

    def test_periods_beyond_the_run(self, make, everything) -> None:
        """A sensor that fires once a month fires at most once in an hour, without overflow for many nodes."""
        many = {"kind": "periodic", "period": "30 day", "phase": "spread", "per": "total"}
        rows = everything(make({"sensor": {"arrivals": many}}, duration=HOUR, phones=5000))
        assert rows["at"].tolist() == [0]
