"""A quantity: one number of a summary, by a name of one word such as `ttft_p95` or `cost_usd`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from edgesim import units
from edgesim.metrics import METRICS, RATES
from edgesim.registry import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]
Better = Literal["lower", "higher", ""]

STATISTICS: Final = ("mean", "p50", "p90", "p95", "p99", "min", "max", "std")
"""Statistics of a metric that are quantities."""
DEFAULT: Final = (
    "ttft_mean",
    "ttft_p95",
    "tpot_mean",
    "e2e_mean",
    "e2e_p95",
    "throughput_rps",
    "goodput_rps",
    "energy_j",
    "cost_usd",
    "carbon_g",
)
"""What systems are compared by unless other quantities are named."""


@dataclass(frozen=True)
class Quantity:
    """One number of a summary.

    Attributes:
        name: Its name in tables: `ttft_p95`.
        metric: What is measured: `ttft`.
        statistic: Of all requests, or "" for what exists once.
        unit: Its unit; "" for plain numbers.
        better: Which way is better; "" if neither is.
        path: Keys that lead to it in a summary.
    """

    name: str
    metric: str
    statistic: str
    unit: str
    better: Better
    path: tuple[str, ...]

    def of(self, summary: Mapping[str, Any]) -> float | None:
        """Read it; None where it is missing."""
        found: Any = summary
        for key in self.path:
            found = found.get(key) if found is not None else None
        return None if found is None else float(found)

    @property
    def label(self) -> str:
        """Its name in a sentence: "ttft p95"."""
        return " ".join(part for part in (self.metric, self.statistic) if part)


def _better(metric: str) -> Better:
    if metric in ("prompt_tokens", "output_tokens"):
        return ""
    return "higher" if metric == "quality" else "lower"


QUANTITIES: Final = {
    each.name: each
    for each in (
        *(
            Quantity(
                f"{metric.name}_{statistic}",
                metric.name,
                statistic,
                metric.unit,
                _better(metric.name),
                ("metrics", metric.name, statistic),
            )
            for metric in METRICS.values()
            for statistic in STATISTICS
        ),
        *(Quantity(name, name, "", unit, "higher", ("rates", name)) for name, (unit, _) in RATES.items()),
        Quantity("energy_j", "energy_j", "", "J", "lower", ("energy_j", "total")),
        Quantity("cost_usd", "cost_usd", "", "USD", "lower", ("cost_usd",)),
        Quantity("carbon_g", "carbon_g", "", "gCO2", "lower", ("carbon_g",)),
        Quantity("completed", "completed", "", "", "higher", ("requests", "completed")),
        *(
            Quantity(name, name, "", "", "lower", ("requests", name))
            for name in ("rejected", "failed", "abandoned")
        ),
    )
}
"""All of them by name."""


def quantity(name: str) -> Quantity:
    """Look a quantity up; "ttft p95" and "ttft.p95" mean `ttft_p95`, and "ttft" its mean.

    Raises:
        UnknownNameError: There is none of that name.
    """
    plain = name.strip().replace(" ", "_").replace(".", "_")
    found = QUANTITIES.get(plain) or QUANTITIES.get(f"{plain}_mean")
    if found is None:
        help_ = "`edgesim metrics` lists metrics; write e.g. ttft_p95, throughput_rps, energy_j or cost_usd"
        raise UnknownNameError("quantity", name, QUANTITIES, help_)
    return found


def written(value: float, unit: str) -> str:
    """Write a number with its unit for people."""
    sign = "-" if value < 0 else ""
    if unit in units.QUANTITIES:
        return sign + units.format_quantity(abs(value), unit)
    return f"{value:.4g}/s" if unit == "1/s" else units.format_quantity(value, unit)
