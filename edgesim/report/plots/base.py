"""What all pictures share: how one is registered, what it fits, and the requests that it shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, Protocol

from edgesim.errors import ResultsError
from edgesim.report import style
from edgesim.results import Result, Run, RunSet, needed
from edgesim.units import format_quantity, format_seconds, format_usd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

RUN, SWEEP, COMPARISON, CAPACITY = "run", "sweep", "comparison", "capacity"


class Drawing(Protocol):
    """Draws a picture of a result on given axes, or on new ones (`.figure` is theirs), and answers them."""

    __name__: str

    def __call__(self, result: Any, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw."""


@dataclass(frozen=True)
class Plot:
    """A picture that can be asked for by name.

    Attributes:
        name: Its name.
        text: What it shows.
        draw: Draws it.
        fits: Kinds of results that it can be drawn of: "run", "sweep", "comparison", "capacity".
        tables: Tables that a run must have recorded.
        options: What `draw` takes beside the result.
        size: Of the picture [inches].
    """

    name: str
    text: str
    draw: Drawing
    fits: tuple[str, ...]
    tables: tuple[str, ...]
    options: tuple[str, ...]
    size: tuple[float, float]


PLOTS: Final[dict[str, Plot]] = {}
"""Every picture by its name, in the order in which a report would show them."""


def picture(
    name: str,
    text: str,
    *,
    fits: tuple[str, ...] = (RUN,),
    tables: tuple[str, ...] = ("requests",),
    options: tuple[str, ...] = (),
    size: tuple[float, float] = style.SIZE,
) -> Callable[[Callable[..., str]], Drawing]:
    """Register a function that draws on axes; what comes out may be called without any.

    The function answers in words what the picture shows, with its main figures: the label of the axes.

    Args:
        name: Name of the picture.
        text: What it shows.
        fits: Kinds of results that it can be drawn of.
        tables: Tables that a run must have recorded.
        options: What the function takes beside result and axes.
        size: Of the picture [inches].
    """

    def register(draw: Callable[..., str]) -> Drawing:
        @wraps(draw)
        def drawn(result: Any, ax: Axes | None = None, **options: Any) -> Axes:
            kind = kind_of(result)
            if kind not in fits:
                raise ResultsError(f"the picture {name!r} is of a {' or a '.join(fits)}; this is a {kind}")
            with style.styled():
                axes: Axes = style.figure(size).subplots() if ax is None else ax
                axes.set_label(draw(result, axes, **options))
            return axes

        PLOTS[name] = Plot(name, text, drawn, fits, tables, options, size)
        return drawn

    return register


def kind_of(result: Any) -> str:
    """Tell a run (or several replications of one), a sweep, a comparison and a capacity search apart.

    Raises:
        ResultsError: It is none of them.
    """
    if isinstance(result, Result):
        return RUN
    if hasattr(result, "points") and hasattr(result, "criteria"):
        return CAPACITY
    if hasattr(result, "table") and hasattr(result, "keys"):
        return SWEEP
    if hasattr(result, "table") and hasattr(result, "runs"):
        return COMPARISON
    raise ResultsError(
        f"there are no pictures of a {type(result).__name__}; give a run, a sweep, a comparison or a capacity search"
    )


def one_run(result: Run | RunSet) -> Run:
    """The run whose time series are shown: of several replications the first."""
    return result[0] if isinstance(result, RunSet) else result


def caption(result: Result, beside: str = "") -> str:
    """What a picture is of: scenario, seed, length."""
    settings = result.scenario.scenario
    parts = [settings.name, f"seed {settings.seed}"]
    if isinstance(result, RunSet):
        parts.append(f"{len(result)} replications")
    if settings.duration:
        parts.append(format_seconds(settings.duration))
    return style.DOT.join([*parts, *filter(None, [beside])])


def answered(result: Run | RunSet) -> str:
    """Which requests a picture of `measured` ones shows, for its caption."""
    warmup = float(result.summary["warmup"]["seconds"])
    return "completed requests" + (f" after {format_seconds(warmup)} warm-up" if warmup else "")


def tiers_of(result: Result) -> tuple[str, ...]:
    """Names of the tiers, from the devices upward."""
    return tuple(result.scenario.topology.tiers)


def tier_style(result: Result, tier: str) -> dict[str, Any]:
    """Colour, and hatch for areas, of a tier."""
    place = tiers_of(result).index(tier) if tier in tiers_of(result) else 3
    return {"color": style.TIER_LINES[place % 4], "hatch": style.TIER_HATCHES[place % 4]}


def measured(result: Run | RunSet) -> pd.DataFrame:
    """The requests that metrics are about: completed, and arrived after the warm-up.

    Raises:
        ResultsError: There is none.
    """
    requests = needed.table(result, "requests", ("status", "arrived_at", "tier"))
    warmup = float(result.summary["warmup"]["seconds"])
    kept = (requests["status"] == "completed") & (requests["arrived_at"] >= warmup)
    found = requests[kept]
    if not len(found):
        raise ResultsError("no request was completed after the warm-up; there is nothing to draw")
    return found


def check_name(metric: str) -> None:
    """Make sure that requests have a metric of that name.

    Raises:
        ResultsError: They have not.
    """
    from edgesim.metrics import METRICS  # noqa: PLC0415

    if metric not in METRICS:
        raise ResultsError(f"no metric {metric!r}; there are {', '.join(METRICS)}")


def metric_values(requests: pd.DataFrame, name: str, folder: Path | None = None) -> NDArray[np.float64]:
    """The values of a metric, of those requests that have it; `folder` is where they were read from."""
    import numpy as np  # noqa: PLC0415

    from edgesim.metrics import METRICS  # noqa: PLC0415

    check_name(name)
    metric = METRICS[name]
    needed.check(requests, metric.columns, "requests", folder)
    values = metric.formula({column: requests[column].to_numpy(float) for column in metric.columns})
    found: NDArray[np.float64] = values[np.isfinite(values)]
    return found


LABELS: Final = {
    "ttft": "time to first token",
    "tpot": "time per output token",
    "e2e": "end-to-end latency",
    "queue_time": "time in queue",
    "network_time": "time on the network",
    "energy": "energy of a request",
    "cost": "cost of a request",
    "throughput_rps": "throughput",
    "goodput_rps": "goodput",
    "energy_j": "energy of all",
    "cost_usd": "cost of all",
    "carbon_g": "emissions of all",
}


def metric_words(name: str) -> tuple[str, str]:
    """What an axis says of a metric: in words, with its statistic, and the unit of its values."""
    from edgesim.metrics import METRICS, RATES, STATISTICS  # noqa: PLC0415

    base, _, statistic = name.rpartition("_")
    if name == "attainment":
        return "requests that keep all limits", "share"
    if base not in METRICS or statistic not in STATISTICS:  # energy_j is the run's, energy_mean a request's
        base, statistic = name, ""
    unit = METRICS[base].unit if base in METRICS else RATES.get(base, ("", ""))[0]
    unit = unit or {"energy_j": "J", "cost_usd": "USD", "carbon_g": "gCO2"}.get(base, "")
    unit = "USD per request" if base == "cost" else unit
    words = LABELS.get(base, base.replace("_", " "))
    return words + (f", {statistic}" if statistic else ""), unit


def written(value: float, unit: str) -> str:
    """A value of such a unit in words."""
    if unit == "USD per request":
        return f"{format_usd(1000 * value)} per 1,000"
    return f"{value:.3g}/s" if unit == "1/s" else format_quantity(float(value), unit)


def told(parts: Mapping[str, str]) -> str:
    """Join what is said of each line of a picture: "device: 3 s; edge: 2 s"."""
    return "; ".join(f"{name}: {words}" if name else words for name, words in parts.items())
