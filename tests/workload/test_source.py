"""All workloads together: one order, the same requests for any chunk, streams that leave each other alone."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from edgesim.arena.rows import ARRIVAL
from edgesim.errors import ScenarioError

PS = 10**12
LOGNORMAL = {"kind": "lognormal", "median": 300, "p95": 2000}
SENSORS = {"kind": "periodic", "period": "1 s", "phase": "aligned", "jitter": "300 ms"}
BURSTS = {"kind": "mmpp", "rate_on": "30/s", "rate_off": "1/s", "mean_on": "1 s", "mean_off": "3 s"}
MIX = {
    "chat": {"prompt_tokens": LOGNORMAL, "patience": {"kind": "exponential", "mean": "5 s"}},
    "sensor": {"from": "gateway", "arrivals": SENSORS, "deadline": "2 s", "priority": 1},
    "burst": {"arrivals": BURSTS, "images": {"kind": "uniform", "low": 0, "high": 2}},
    "day": {
        "arrivals": {"kind": "diurnal", "rate": "4/s", "period": "10 min"},
        "prediction": {"error": "50 %"},
    },
    "talk": {
        "arrivals": {"kind": "gamma", "rate": "1/s", "cv": 2},
        "session": {"turns": 3, "think_time": "5 s"},
    },
}


class TestOrder:
    def test_sorted_by_time_then_workload_then_order(self, make, everything) -> None:
        """Ties go by workload, then by the order within it."""
        rows = everything(make(MIX, duration=300.0))
        assert rows.dtype == ARRIVAL
        keys = list(zip(rows["at"], rows["workload"], rows["session"], strict=True))
        assert keys == sorted(keys)
        for workload in range(5):
            own = rows["session"][rows["workload"] == workload]
            assert own.tolist() == list(range(len(own)))

    def test_ties_between_workloads(self, make, everything) -> None:
        """Sensors of two groups that fire at one instant come in the order of the workloads."""
        aligned = {"kind": "periodic", "period": "1 s", "phase": "aligned"}
        both = {"a": {"arrivals": aligned}, "b": {"from": "gateway", "arrivals": aligned}}
        rows = everything(make(both, duration=50.0))
        assert rows["workload"].tolist() == ([0] * 10 + [1] * 20) * 50

    @pytest.mark.parametrize("size", [1, 7, 1000, 4096, 100_000])
    def test_chunks_do_not_change_the_requests(self, make, everything, size: int) -> None:
        """Any chunk size gives the same bytes."""
        workload = make(MIX, requests=3000)
        assert everything(workload, size).tobytes() == everything(workload).tobytes()

    def test_each_pass_starts_anew(self, make, everything) -> None:
        """Asking for the chunks twice gives the same requests twice."""
        workload = make(MIX, requests=2000)
        next(workload.chunks(10))
        assert everything(workload).tobytes() == everything(workload).tobytes()

    def test_requests_limit_all_workloads_together(self, make, everything) -> None:
        """The total is met exactly, by the earliest requests."""
        long = everything(make(MIX, duration=300.0))
        assert everything(make(MIX, requests=1234)).tobytes() == long[:1234].tobytes()

    def test_the_shorter_of_duration_and_requests_counts(self, make, everything) -> None:
        """With both, whichever comes first ends the run."""
        assert len(everything(make(MIX, duration=300.0, requests=5))) == 5
        assert everything(make(MIX, duration=1.0, requests=10**6))["at"].max() < PS


class TestContents:
    def test_fields(self, make, everything) -> None:
        """What a workload states for all its requests stands in each of them."""
        rows = everything(make(MIX, duration=100.0))
        sensor = rows[rows["workload"] == 1]
        assert set(sensor["deadline"].tolist()) == {2 * PS}
        assert set(sensor["priority"].tolist()) == {1}
        assert set(sensor["patience"].tolist()) == {0}
        assert sensor["origin"].min() == 0
        assert sensor["origin"].max() == 19
        chat = rows[rows["workload"] == 0]
        assert chat["patience"].min() >= 1
        assert chat["patience"].mean() / PS == pytest.approx(5, rel=0.15)
        assert set(chat["deadline"].tolist()) == {0}
        assert (rows["turn"] == 0).all()

    def test_bytes_are_those_of_tokens_and_images(self, make, everything) -> None:
        """The payload is prompt tokens and images times their sizes, rounded to whole bytes."""
        keys = {
            "images": {"kind": "uniform", "low": 0, "high": 2},
            "image_bytes": "1 kB",
            "bytes_per_token": 4.25,
        }
        rows = everything(make({"look": {**keys, "prompt_tokens": LOGNORMAL}}, requests=1000))
        assert set(rows["images"].tolist()) == {0, 1, 2}
        assert (rows["bytes_up"] == np.rint(rows["prompt"] * 4.25) + rows["images"] * 1000).all()

    def test_everybody_is_predicted_the_mean(self, make, everything) -> None:
        """Without a stated error a controller knows the mean reply length only."""
        output = {"kind": "geometric", "mean": 40}
        rows = everything(make({"chat": {"output_tokens": output}}, requests=100))
        assert set(rows["predicted"].tolist()) == {40}

    def test_predictions_err_as_stated(self, make, everything) -> None:
        """The ratio of prediction to truth has the stated mean and coefficient of variation."""
        keys = {"output_tokens": {"kind": "uniform", "low": 5000, "high": 9000}}
        prediction = {"error": "50 %", "bias": "20 %"}
        rows = everything(make({"chat": {**keys, "prediction": prediction}}, requests=50_000))
        ratio = rows["predicted"] / rows["output"]
        assert ratio.mean() == pytest.approx(1.2, rel=0.01)
        assert ratio.std() / ratio.mean() == pytest.approx(0.5, rel=0.03)


class TestCommonRandomNumbers:
    def columns(self, rows: np.ndarray, *names: str) -> list[list[int]]:
        return [rows[name].tolist() for name in names]

    def test_another_workload_changes_nothing(self, make, everything) -> None:
        """A workload's requests are the same alone and in company."""
        alone = everything(make({"chat": MIX["chat"]}, duration=300.0))
        rows = everything(make(MIX, duration=300.0))
        assert rows[rows["workload"] == 0].tobytes() == alone.tobytes()

    def test_lengths_do_not_move_arrivals(self, make, everything) -> None:
        """Another length distribution leaves times, origins and patience."""
        names = ("at", "origin", "patience", "output")
        base = everything(make({"chat": MIX["chat"]}, requests=2000))
        other = everything(
            make({"chat": {**MIX["chat"], "prompt_tokens": {"kind": "geometric", "mean": 9}}}, requests=2000)
        )
        assert self.columns(base, *names) == self.columns(other, *names)
        assert base["prompt"].tolist() != other["prompt"].tolist()

    def test_arrivals_do_not_change_lengths(self, make, everything) -> None:
        """The k-th request asks the same, whenever it comes."""
        names = ("prompt", "output", "origin", "patience")
        base = everything(make({"chat": MIX["chat"]}, requests=2000))
        other = everything(make({"chat": {**MIX["chat"], "arrivals": BURSTS}}, requests=2000))
        assert self.columns(base, *names) == self.columns(other, *names)
        assert base["at"].tolist() != other["at"].tolist()

    def test_twice_the_rate_is_the_same_poisson_process_faster(self, make, everything) -> None:
        """Doubling the rate halves every time, up to rounding."""
        slow = everything(make({"chat": {"arrivals": {"kind": "poisson", "rate": "5/s"}}}, requests=1000))
        fast = everything(make({"chat": {"arrivals": {"kind": "poisson", "rate": "10/s"}}}, requests=1000))
        assert np.abs(slow["at"] - 2 * fast["at"]).max() <= 2 * 1000

    @pytest.mark.parametrize("other", [{"seed": 2}, {"replication": 1}])
    def test_seed_and_replication_change_everything(self, make, everything, other) -> None:
        """Another seed or replication draws anew."""
        base, fresh = everything(make(MIX, requests=100)), everything(make(MIX, requests=100, **other))
        assert base["at"].tolist() != fresh["at"].tolist()


class TestCost:
    def test_a_million_requests_are_cheap(self, make) -> None:
        """A million Poisson requests with lognormal lengths take 0.25 CPU seconds; four times that fails."""
        keys = {
            "arrivals": {"kind": "poisson", "rate": "100/s"},
            "prompt_tokens": LOGNORMAL,
            "output_tokens": LOGNORMAL,
        }
        workload = make({"chat": keys}, requests=1_000_000)
        start = time.process_time()
        assert sum(len(chunk) for chunk in workload.chunks()) == 1_000_000
        assert time.process_time() - start < 1.0

    def test_memory_does_not_grow_with_the_run(self, make) -> None:
        """What is held is a few chunks, whatever the number of requests."""

        def peak(requests: int) -> int:
            workload = make(MIX, requests=requests)
            tracemalloc.start()
            for _ in workload.chunks(4096):
                pass
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return most

        peak(100)
        assert peak(60_000) < 1.5 * peak(15_000)


class TestRefusals:
    def test_sensors_hold_no_sessions(self, make) -> None:
        """A session on periodic arrivals is refused at its place."""
        keys = {"arrivals": SENSORS, "session": {"turns": 2, "think_time": "1 s"}}
        with pytest.raises(ScenarioError) as caught:
            make({"sensor": keys}, duration=1.0)
        (problem,) = caught.value.problems
        assert problem.path == ("workloads", "sensor", "session")
        assert (
            problem.text
            == "sensors ask single requests; drop 'session', or take arrivals other than periodic"
        )
