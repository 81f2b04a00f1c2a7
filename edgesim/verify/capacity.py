"""Capacity searches against queueing theory, for `edgesim verify capacity`.

The scenario is M/D/1: one replica that answers one request at a time, each in the same time s. Its mean wait is
W = rho s / (2 (1 - rho)) with rho = rate s (Pollaczek 1930, Khinchine 1932), so the largest rate whose mean wait is at
most W is 2 W / (s (s + 2 W)). The distribution of the wait is Erlang's (1909):
P(wait <= t) = (1 - rho) sum_{k=0}^{floor(t/s)} (-rate (t - k s))^k / k! exp(rate (t - k s)).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

from edgesim.studies.capacity import capacity
from edgesim.verify.check import Check, close, exact, print_checks
from edgesim.verify.queues import STEP, TOKENS, queue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgesim.results.capacity import Capacity

SERVICE: Final = TOKENS * STEP
"""Time of a request [s]."""
TOLERANCE: Final = 0.02
"""Relative distance from the analytic limit that is allowed."""


def wait_below(t: float, rate: float, service: float = SERVICE) -> float:
    """Probability that a request of M/D/1 waits at most t [s]."""
    terms = []
    for k in range(math.floor(t / service) + 1):
        x = rate * (t - k * service)
        terms.append((-x) ** k / math.factorial(k) * math.exp(x))
    return (1 - rate * service) * math.fsum(terms)


def rate_of_mean(wait: float, service: float = SERVICE) -> float:
    """Rate at which the mean wait of M/D/1 is that long [1/s]."""
    return 2 * wait / (service * (service + 2 * wait))


def rate_of_quantile(wait: float, share: float, service: float = SERVICE) -> float:
    """Rate at which that share of the requests of M/D/1 waits at most so long [1/s], by bisection."""
    low, high = 1e-6 / service, (1 - 1e-9) / service
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if wait_below(wait, middle, service) > share else (low, middle)
    return low


def scenario(slo: Mapping[str, Mapping[str, str]], requests: int, *, warmup: float = 60.0) -> dict[str, Any]:
    """M/D/1 at 40 % load, with objectives."""
    made = queue("md1", 0.4 / SERVICE, requests, slots=1, lengths=TOKENS, decode={"base": f"{STEP} s"})
    made["scenario"]["warmup"] = f"{warmup} s"
    return made | {"slo": slo}


def found(slo: Mapping[str, Mapping[str, str]], requests: int, **settings: Any) -> Capacity:
    """Search for the largest rate of M/D/1."""
    return capacity(scenario(slo, requests), **settings)


def checks(requests: int = 20_000, jobs: int = 1) -> Iterator[Check]:
    """All of them."""
    for rho in (0.5, 0.7, 0.9):
        wait = rho * SERVICE / (2 * (1 - rho))
        answer = found({"queue_time": {"mean": f"{wait} s"}}, requests, jobs=jobs)
        yield limit(f"M/D/1, mean wait <= {wait:.4g} s", rate_of_mean(wait), answer)
    for wait in (0.8, 2.0):
        answer = found({"queue_time": {"p95": f"{wait} s"}}, requests, jobs=jobs)
        yield limit(f"M/D/1, p95 of the wait <= {wait:.4g} s", rate_of_quantile(wait, 0.95), answer)
    within = {"queue_time": {"within": "1 s", "attainment": "90 %"}}
    answer = found(within, requests, jobs=jobs)
    yield limit("M/D/1, 90 % wait at most 1 s", rate_of_quantile(1.0, 0.9), answer)
    answer = found({"e2e": {"p95": f"{0.9 * SERVICE} s"}}, 2000)
    yield exact(
        "shorter than the service itself: no answer", ("missed", None), (answer.outcome, answer.answer)
    )
    answer = found({"e2e": {"p95": "1000 s"}}, 2000, highest=1.5)
    yield exact("met even at the highest rate tried", "met", answer.outcome)
    answer = found({"e2e": {"mean": "1 d"}}, 10_000, jobs=jobs)
    yield Check(
        "lenient objective: the limit is where the backlog grows",
        f"{1 / SERVICE:.6g} 1/s",
        f"{answer.answer:.6g} 1/s",
        "±6 % (of a finite run)",
        isinstance(answer.answer, float) and abs(answer.answer * SERVICE - 1) <= 0.06,
    )


def limit(name: str, expected: float, answer: Capacity) -> Check:
    """A check that an answer is within the tolerance of the analytic limit, and not above it by more."""
    measured = answer.answer if isinstance(answer.answer, float) else math.nan
    return close(name, expected, measured, TOLERANCE * expected, "1/s", "2 %")


def main(requests: int, jobs: int, *, as_json: bool) -> int:
    """Print the checks; answers 0 if everything passed."""
    started = time.perf_counter()
    made = list(checks(requests, jobs))
    return print_checks(made, started, as_json=as_json)
