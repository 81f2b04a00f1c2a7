"""Queueing laws: M/M/1, M/D/1, M/M/c and processor sharing, and Little's law on each of them.

The server is a replica with linear step costs. A request of n output tokens takes n steps, its prefill being the
first, so a service time is n steps; means are hundreds of steps, and geometric lengths stand for exponential ones.
An arrival at an idle replica starts at once, one in mid-step waits for the boundary: hence the tolerance of one step
beside the interval of the estimate.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.stats import batch_means
from edgesim.verify.check import PS, Check, close, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

STEP = 0.001
"""Length of a step [s]."""
TOKENS = 400
"""Mean service, in steps."""
BATCHES = 20


def queue(
    name: str, rate: float, requests: int, *, slots: int, lengths: Any, decode: Mapping[str, str]
) -> dict[str, Any]:
    """A scenario with one replica whose step costs are `decode`."""
    prefill = {"per_token" if key == "per_sequence" else key: value for key, value in decode.items()}
    return {
        "scenario": {"name": name, "seed": 11, "requests": requests},
        "topology": {"nodes": {"box": {"tier": "edge", "accelerator": "nvidia-a100-80gb-sxm"}}},
        "deployments": [
            {
                "llm": "llama-3.2-1b",
                "on": "box",
                "max_num_seqs": slots,
                "max_batched_tokens": max(slots, 64),
                "costs": {"kind": "linear", "prefill": prefill, "decode": dict(decode)},
            }
        ],
        "workloads": {
            "load": {
                "from": "box",
                "arrivals": {"kind": "poisson", "rate": f"{rate}/s"},
                "prompt_tokens": 1,
                "output_tokens": lengths,
            }
        },
        "output": {"tables": ["requests"]},
    }


def mean_of(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean, and half-width of its 99 % interval from batch means."""
    warm = values[len(values) // 20 :]
    interval = batch_means(warm, BATCHES, 0.99)
    return interval.mean, interval.half_width


def erlang_c(servers: int, load: float) -> float:
    """Probability that an arrival waits in M/M/c (Erlang 1917); `load` is offered in servers."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


def checks(requests: int = 40_000) -> Iterator[Check]:
    """All of them."""
    service = TOKENS * STEP
    geometric = {"kind": "geometric", "mean": TOKENS}
    fixed = {"base": f"{STEP} s"}
    for rho in (0.5, 0.8):
        rate = rho / service
        yield from _law(
            f"M/M/1 sojourn, load {rho}",
            service / (1 - rho),
            queue("mm1", rate, requests, slots=1, lengths=geometric, decode=fixed),
            rate,
        )
        yield from _law(
            f"M/D/1 sojourn, load {rho}",
            service + rho * service / (2 * (1 - rho)),
            queue("md1", rate, requests, slots=1, lengths=TOKENS, decode=fixed),
            rate,
        )
    servers = 4
    rate = 0.8 * servers / service
    wait = erlang_c(servers, rate * service) * service / (servers - rate * service)
    yield from _law(
        "M/M/4 sojourn, load 0.8",
        service + wait,
        queue("mmc", rate, requests, slots=servers, lengths=geometric, decode=fixed),
        rate,
    )
    rate = 0.7 / service
    shared = {"per_sequence": f"{STEP} s"}
    yield from _law(
        "processor sharing sojourn, load 0.7",
        service / (1 - 0.7),
        queue("ps", rate, requests, slots=256, lengths=geometric, decode=shared),
        rate,
        step=STEP / (1 - 0.7),
    )


def _law(
    name: str, expected: float, scenario: dict[str, Any], rate: float, step: float = STEP
) -> Iterator[Check]:
    """Sojourn time against theory, and Little's law on the same run by sampling the number present."""
    present: list[int] = []

    def watch(simulation: Any) -> Iterator[Any]:
        span = scenario["scenario"]["requests"] / rate
        while simulation.now < 0.95 * span:
            yield simulation.after(span / 20_000)
            control = simulation.engine.control
            present.append(int(control["active_requests"]))

    records, _ = run(scenario, [watch])
    sojourn = (records["finished"] - records["arrived"]) / PS
    mean, half = mean_of(sojourn)
    yield close(name, expected, mean, half + step, "s", "99 % interval + one step")
    done = records["finished"].max() / PS
    throughput = len(records) / done
    number, spread = mean_of(np.array(present, np.float64))
    little = throughput * float(sojourn.mean())
    yield close(
        f"Little's law, {scenario['scenario']['name']}",
        little,
        number,
        spread + 0.02 * little,
        "requests",
        "99 %",
    )
