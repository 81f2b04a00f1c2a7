"""Each metric once: its name, unit, definition, and formula over the columns of requests.parquet.

Definitions follow those of the common serving benchmarks, measured at the client, network included. Metrics
are those of completed requests that arrived after the warm-up. One that does not exist for a request, such as
the time per output token of a single token, is missing (NaN), never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Columns = Mapping[str, Values]


@dataclass(frozen=True)
class Metric:
    """A number that every completed request has, or lacks.

    Attributes:
        name: Name in summaries and in `slo:`.
        unit: Its unit; "" for plain numbers.
        text: What it means.
        columns: Columns of requests.parquet that it is computed from.
        formula: Columns (as floats, NaN where missing) -> values.
        written: The formula, to be read.
    """

    name: str
    unit: str
    text: str
    columns: tuple[str, ...]
    formula: Callable[[Columns], Values]
    written: str


def _difference(name: str, text: str, end: str, *starts: str) -> Metric:
    """A time from a start (and the phases that follow it) to an end."""

    def formula(columns: Columns) -> Values:
        values = columns[end] - columns[starts[0]]
        for start in starts[1:]:
            values -= columns[start]
        return values

    return Metric(name, "s", text, (end, *starts), formula, " - ".join((end, *starts)))


def _sum(name: str, unit: str, text: str, *columns: str) -> Metric:
    """A column, or several added up."""

    def formula(values: Columns) -> Values:
        total = values[columns[0]]
        for column in columns[1:]:
            total = total + values[column]
        return total

    return Metric(name, unit, text, columns, formula, " + ".join(columns))


def _where(condition: NDArray[np.bool_], above: Values, below: Values) -> Values:
    """Divide where the ratio exists; elsewhere it is missing."""
    import numpy as np  # noqa: PLC0415 - the names and units of metrics are needed without numpy, too

    ratio = np.full(len(above), np.nan)
    np.divide(above, below, out=ratio, where=condition)
    return ratio


def _tpot(columns: Columns) -> Values:
    duration = columns["finished_at"] - columns["first_token_at"]
    gaps = columns["output_tokens"] - 1.0
    return _where((gaps > 0) & (duration > 0), duration, gaps)


def _normalized_latency(columns: Columns) -> Values:
    tokens = columns["output_tokens"]
    return _where(tokens > 0, columns["finished_at"] - columns["arrived_at"], tokens)


METRICS: Final = {
    metric.name: metric
    for metric in (
        _difference(
            "ttft",
            "time to first token, from arrival to the client's first token",
            "first_token_at",
            "arrived_at",
        ),
        _difference(
            "ttft_server",
            "time to first token as the replica sees it: queueing and prefill, no network",
            "first_token_server_at",
            "arrived_at",
            "decision",
            "uplink",
            "backoff",
        ),
        Metric(
            "tpot",
            "s",
            "time per output token after the first; missing for replies of one token and for those"
            " that arrive in one piece",
            ("finished_at", "first_token_at", "output_tokens"),
            _tpot,
            "(finished_at - first_token_at) / (output_tokens - 1)",
        ),
        _difference(
            "e2e", "end-to-end latency, from arrival to the client's last token", "finished_at", "arrived_at"
        ),
        Metric(
            "normalized_latency",
            "s",
            "end-to-end latency per output token; missing without output",
            ("finished_at", "arrived_at", "output_tokens"),
            _normalized_latency,
            "(finished_at - arrived_at) / output_tokens",
        ),
        _sum("queue_time", "s", "waiting at the replica for the first step", "queue"),
        _sum(
            "network_time",
            "s",
            "on the way to the replica, and back as far as decoding does not hide it",
            "uplink",
            "downlink",
        ),
        _sum("prefill_time", "s", "in steps that compute the prompt", "prefill"),
        _sum("decode_time", "s", "in steps that produce tokens", "decode"),
        _sum("stall_time", "s", "preempted or otherwise held after the first step", "stall"),
        _sum("decision_time", "s", "waiting for decisions", "decision"),
        _sum("backoff_time", "s", "waiting before retries", "backoff"),
        _sum("prompt_tokens", "tokens", "length of the prompt", "prompt_tokens"),
        _sum(
            "cached_tokens", "tokens", "part of the prompt that was found in a prefix cache", "cached_tokens"
        ),
        _sum("output_tokens", "tokens", "length of the reply", "output_tokens"),
        _sum(
            "energy",
            "J",
            "dynamic energy of decisions, computing and network, all legs; idle energy belongs to nobody",
            "energy_j",
        ),
        _sum("cost", "USD", "accelerator time and traffic, all legs", "cost_usd"),
        _sum("carbon", "gCO2", "emissions of that energy, all legs", "carbon_g"),
        _sum("quality", "", "score of what answered, 0 to 1; 1 if unknown", "quality"),
    )
}
"""Metrics of a request, by name."""

RATES: Final = {
    "throughput_rps": ("1/s", "requests completed per second, after the warm-up"),
    "goodput_rps": ("1/s", "of those, the ones that met every limit of `slo:`; missing without limits"),
    "input_tokens_per_s": ("tokens/s", "prompt tokens of the completed requests per second"),
    "output_tokens_per_s": ("tokens/s", "output tokens of the completed requests per second"),
}
"""Rates of a run: name -> unit and meaning."""

OBJECTIVES: Final = (
    "Objectives (`slo:`) are about the same requests. One that was turned away (rejected, failed, abandoned)"
    " helps no objective: p95 is met if 95 % of the completed and turned-away requests are within the target;"
    " a mean or max is missed when more than half were turned away; attainment counts every request that arrived."
)
"""How objectives are judged, in words."""

STATISTICS: Final = ("count", "mean", "std", "min", "p50", "p90", "p95", "p99", "max")
"""What a summary says about each metric; percentiles are exact, interpolated linearly."""
SHOWN: Final = ("mean", "p50", "p90", "p95", "p99", "max")
"""Those that people are shown, in this order."""


def is_full_quality(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a metric says nothing to people: full quality everywhere."""
    return bool(name == "quality" and values["min"] == values["max"] == 1)
