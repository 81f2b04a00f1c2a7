"""Pictures of many runs: curves over what was swept, with intervals, and the front of what cannot be beaten.

Bands and bars are 95 % intervals of the mean over replications (Student's t); one replication has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgesim.errors import ResultsError
from edgesim.report import style
from edgesim.report.axis import measure
from edgesim.report.plots.base import COMPARISON, SWEEP, kind_of, metric_words, picture, told, written
from edgesim.stats import t_interval
from edgesim.stats.pareto import dominators
from edgesim.units import format_joules, format_usd

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

SIZE = (6.4, 4.4)
"""Of a picture [inches]: many lines have many names."""
MOST_LINES = 8
"""Lines in one picture: as many as there are colours and markers."""
NARROWEST = 0.02
"""Half of what an axis spans at least, as a share of its values."""
MOST_NAMES = 12
"""Points of a front that get a number, whose meaning stands beside."""

AREA = (230.0, 190.0)
"""About the width and height of a front's axes [points], to see which numbers would meet."""
APART = 9.0
"""Between the middles of a number and of other numbers or points at least [points]."""
OFFSETS = tuple(
    (float(far * np.cos(np.radians(way))), float(far * np.sin(np.radians(way))))
    for far in (10.0, 16.0)
    for way in (225, 45, 135, 315, 180, 0, 270, 90)
)
"""Where a number may stand beside its point, in the order of preference [points]."""


class Means(NamedTuple):
    """A metric along a line: where, its mean, and how far the true one may lie from it (NaN: unknown)."""

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    half: NDArray[np.float64]


def _finished(sweep: Any) -> pd.DataFrame:
    """The rows of points that were finished."""
    table: pd.DataFrame = sweep.table
    found = table[table["status"] == "finished"] if "status" in table else table
    if not len(found):
        raise ResultsError("no point of this sweep was finished; there is nothing to draw")
    return found


def _is_number(column: pd.Series[Any]) -> bool:
    return column.dtype.kind in "iuf"


def _varies(column: pd.Series[Any]) -> bool:
    """Whether there are different values."""
    return len(column.unique()) > 1


def axis_key(sweep: Any, key: str | None = None) -> str:
    """The swept key along the axis: the one asked for, else a rate, else the first number.

    Raises:
        ResultsError: There is none.
    """
    table = _finished(sweep)
    numbers = [name for name in sweep.keys if _is_number(table[name])]
    if key is not None:
        close = [name for name in sweep.keys if name == key or name.endswith(f".{key}")]
        if not close:
            raise ResultsError(f"{key!r} was not swept; swept were {', '.join(sweep.keys)}")
        return str(close[0])
    rates = [name for name in numbers if name.endswith("rate")]
    several = [name for name in rates + numbers if _varies(table[name])]
    if not several:
        raise ResultsError(
            f"no number was swept, only {', '.join(sweep.keys)}: there is no axis for a curve;"
            " sweep e.g. the rate of a workload"
        )
    return str(several[0])


def short(key: str) -> str:
    """A key without what every reader can do without."""
    parts = [
        part
        for part in key.split(".")
        if part not in ("workloads", "scenario", "topology", "arrivals", "kind", "policies")
    ]
    return " ".join(parts[-2:]).replace("_", " ")


def _lines(sweep: Any, x: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each combination of the other keys, with what they are."""
    table = _finished(sweep)
    others = [key for key in sweep.keys if key != x and _varies(table[key])]
    if not others:
        yield "", table
        return
    for number, (values, rows) in enumerate(table.groupby(others, sort=False, dropna=False)):
        if number == MOST_LINES:
            return
        named = [
            _value(value) if len(others) == 1 else f"{short(key)} {_value(value)}"
            for key, value in zip(others, values, strict=True)
        ]
        yield ", ".join(named), rows


def _value(value: Any) -> str:
    """A swept value for a legend; of a policy with parameters, what it says."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _legend_title(sweep: Any, x: str) -> str:
    table = _finished(sweep)
    others = [key for key in sweep.keys if key != x and _varies(table[key])]
    left_out = table.groupby(others, dropna=False).ngroups - MOST_LINES if others else 0
    more = f"\n(first {MOST_LINES}; {left_out} left out)" if left_out > 0 else ""
    return (short(others[0]) if len(others) == 1 else "") + more


def check_metric(rows: pd.DataFrame, metric: str) -> None:
    """Make sure that a table has numbers of a metric.

    Raises:
        ResultsError: It has not.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only after a slip

    if metric in rows and _is_number(rows[metric]):
        return
    numbers = [str(name) for name in rows if _is_number(rows[name])]
    if close := get_close_matches(metric, numbers, n=1):
        raise ResultsError(f"the sweep has no column of numbers {metric!r}; did you mean {close[0]!r}?")
    others = [name for name in numbers if name.endswith(("_p95", "_mean", "_rps", "_j", "_usd"))]
    raise ResultsError(f"the sweep has no column of numbers {metric!r}; it has {', '.join(others[:12])} ...")


def means_of(rows: pd.DataFrame, x: str, metric: str) -> Means:
    """Average a metric over replications at each value of a key.

    Raises:
        ResultsError: The table has no such metric.
    """
    check_metric(rows, metric)
    known = rows[[x, metric]].dropna()
    groups = [(at, t_interval(group[metric].to_numpy(float))) for at, group in known.groupby(x)]
    return Means(
        np.array([at for at, _ in groups], np.float64),
        np.array([found.mean for _, found in groups]),
        np.array([found.half_width for _, found in groups]),
    )


def _curve(ax: Axes, found: Means, number: int, label: str, **more: Any) -> None:
    """Draw a line with its band."""
    look = style.line(number, len(found.x)) | {"markevery": None} | more
    ax.plot(found.x, found.mean, label=label or None, **look)
    if np.isfinite(found.half).any():
        half = np.nan_to_num(found.half)
        ax.fill_between(
            found.x, found.mean - half, found.mean + half, color=look["color"], alpha=0.16, linewidth=0
        )


def _ends(found: Means, unit: str, at: str) -> str:
    """A curve in words: its first and last value, and the highest between them, with half-widths."""
    if not len(found.x):
        return "has no values"

    def said(place: int) -> str:
        half = found.half[place]
        spread = f" \N{PLUS-MINUS SIGN} {written(half, unit)}" if np.isfinite(half) else ""
        return f"{written(found.mean[place], unit)}{spread} at {found.x[place]:g}{at}"

    places = sorted({0, int(np.argmax(found.mean)), len(found.x) - 1})
    return ", ".join(map(said, places))


def _scale(ax: Axes, values: list[NDArray[np.float64]]) -> None:
    """Let an axis begin at zero, or be logarithmic where curves climb far."""
    everything = np.concatenate([*values, [np.nan]])
    lowest, highest = np.nanmin(everything, initial=np.inf), np.nanmax(everything, initial=0.0)
    if lowest > 0 and highest > 50 * lowest:
        ax.set_yscale("log")
    else:
        ax.set_ylim(0.0, None)


def _unit(sweep: Any, key: str) -> str:
    """Unit of a swept key."""
    return str(getattr(sweep, "units", {}).get(key) or ("1/s" if key.endswith("rate") else ""))


def _along(ax: Axes, sweep: Any, key: str) -> None:
    """Label the axis of a swept number; of whole ones, with whole ticks."""
    measure(ax.xaxis, short(key), _unit(sweep, key), whole=_finished(sweep)[key].dtype.kind in "iu")


def _axis_label(sweep: Any, key: str) -> str:
    unit = _unit(sweep, key)
    return short(key) + (f" [{unit}]" if unit else "")


def _replications(sweep: Any) -> str:
    table = _finished(sweep)
    count = int(table.groupby("point")["replication"].nunique().max()) if "replication" in table else 1
    points = table["point"].nunique()
    band = f", {count} replications each; bands: 95 % intervals" if count > 1 else ", one replication each"
    return f"{points} points{band}"


@picture(
    "response",
    "a metric over what was swept, with intervals",
    fits=(SWEEP,),
    tables=(),
    size=SIZE,
    options=("metric", "x"),
)
def response(sweep: Any, ax: Axes, metric: str = "ttft_p95", x: str | None = None) -> str:
    """Draw how a metric responds to the swept number; a line for each value of the others."""
    key = axis_key(sweep, x)
    words, unit = metric_words(metric)
    if not _is_number(_finished(sweep)[key]):
        return _bars(sweep, ax, key, metric)
    found = {label: means_of(rows, key, metric) for label, rows in _lines(sweep, key)}
    for number, (label, means) in enumerate(found.items()):
        _curve(ax, means, number, label)
    _scale(ax, [means.mean for means in found.values()])
    measure(ax.yaxis, words, unit)
    _along(ax, sweep, key)
    style.legend(ax, title=_legend_title(sweep, key))
    style.title(ax, f"Response to {short(key)}", _replications(sweep))
    said = told({label: _ends(means, unit, _per(sweep, key)) for label, means in found.items()})
    return f"{words[0].upper()}{words[1:]} over {short(key)}. {said}."


def _per(sweep: Any, key: str) -> str:
    """The unit behind a value of a swept key."""
    unit = _unit(sweep, key)
    return "/s" if unit == "1/s" else f" {unit}" if unit else ""


def _bars(sweep: Any, ax: Axes, key: str, metric: str) -> str:
    """Draw a bar for each value of a key that is no number, averaged over everything else."""
    check_metric(_finished(sweep), metric)
    groups = [
        (str(value), t_interval(rows[metric].dropna())) for value, rows in _finished(sweep).groupby(key)
    ]
    half = [0.0 if np.isnan(found.half_width) else found.half_width for _, found in groups]
    ax.barh(
        [name for name, _ in groups], [found.mean for _, found in groups], xerr=half,
        color=style.SKY, edgecolor=style.INK, height=0.6, capsize=3,
    )  # fmt: skip
    words, unit = metric_words(metric)
    measure(ax.xaxis, words, unit)
    ax.set_ylabel(short(key))
    style.title(ax, f"Response to {short(key)}", _replications(sweep))
    said = told({name: written(found.mean, unit) for name, found in groups})
    return f"{words[0].upper()}{words[1:]} by {short(key)}. {said}."


@picture("load", "throughput and goodput against load", fits=(SWEEP,), tables=(), size=SIZE, options=("x",))
def load(sweep: Any, ax: Axes, x: str | None = None) -> str:
    """Draw what comes out over what is asked: all replies, and those that met every limit of the objectives."""
    key = axis_key(sweep, x)
    rows_of, told_of, top = list(_lines(sweep, key)), {}, 0.0
    goods = "goodput_rps" in sweep.table and sweep.table["goodput_rps"].notna().any()
    for number, (label, rows) in enumerate(rows_of):
        for column, name in [
            ("throughput_rps", "throughput"),
            *([("goodput_rps", "goodput")] if goods else []),
        ]:
            found = means_of(rows, key, column)
            good = name == "goodput"
            dots = {"linestyle": (0, (1.2, 1.2)), "markerfacecolor": "white"} if good else {}
            written = f"{label}: {name}" if label else name
            _curve(ax, found, number if len(rows_of) > 1 else int(good), written, **dots)
            top = max(top, (found.mean + np.nan_to_num(found.half)).max(initial=0.0))
            best = int(np.argmax(found.mean)) if len(found.mean) else None
            at = (
                f"{found.mean[best]:.3g}/s at {found.x[best]:g}{_per(sweep, key)}"
                if best is not None
                else "none"
            )
            told_of[written] = f"at most {at}"
    ax.set(ylabel="requests per second [1/s]", ylim=(0.0, 1.05 * top or 1.0))
    ax.set_xlim(0.0, None)
    _along(ax, sweep, key)
    style.legend(ax, title=_legend_title(sweep, key) if len(rows_of) > 1 else None)
    style.title(ax, "Throughput and goodput", _replications(sweep))
    return f"Throughput, and goodput where there are objectives, over {short(key)}. {told(told_of)}."


@picture(
    "latency-throughput", "latency against throughput, along the load",
    fits=(SWEEP,), tables=(), size=SIZE, options=("metric", "x"),
)  # fmt: skip
def latency_throughput(sweep: Any, ax: Axes, metric: str = "ttft_p95", x: str | None = None) -> str:
    """Draw what a higher throughput costs in latency: a point a load, joined in the order of the load."""
    key = axis_key(sweep, x)
    (words, unit), busiest, told_of = metric_words(metric), 0.0, {}
    heights = []
    for number, (label, rows) in enumerate(_lines(sweep, key)):
        across, up = means_of(rows, key, "throughput_rps"), means_of(rows, key, metric)
        both = np.intersect1d(across.x, up.x)
        across, up = (Means(*(part[np.isin(line.x, both)] for part in line)) for line in (across, up))
        look = style.line(number, len(both)) | {"markevery": None}
        ax.errorbar(
            across.mean, up.mean, xerr=np.nan_to_num(across.half), yerr=np.nan_to_num(up.half), label=label or None,
            elinewidth=0.8, capsize=2, **look,
        )  # fmt: skip
        for place in {0, len(both) - 1} if len(both) > 1 else ():
            ax.annotate(
                f"{both[place]:g}", (across.mean[place], up.mean[place]), xytext=(5, 5),
                textcoords="offset points", size=8, color=look["color"],
            )  # fmt: skip
        if len(both):
            heights.append(up.mean)
            busiest = max(busiest, (across.mean + np.nan_to_num(across.half)).max())
            told_of[label] = " to ".join(
                f"{written(up.mean[end], unit)} at {across.mean[end]:.3g}/s" for end in (0, -1)
            )
    _scale(ax, heights)
    ax.set_xlim(0.0, 1.05 * busiest or 1.0)
    measure(ax.xaxis, "throughput", "1/s")
    measure(ax.yaxis, words, unit)
    style.legend(ax, title=_legend_title(sweep, key))
    swept = f"small numbers: {_axis_label(sweep, key)}; {_replications(sweep)}"
    style.title(ax, "Latency against throughput", swept.replace("bands", "bars"))
    return f"{words[0].upper()}{words[1:]} over throughput. {told(told_of)}."


# -- what cannot be beaten --------------------------------------------------------------------------------------


def candidates(result: Any) -> pd.DataFrame:
    """Energy [J] and cost [USD] per completed request, of each point of a sweep or candidate of a comparison."""
    import pandas as pd  # noqa: PLC0415

    if kind_of(result) == SWEEP:
        table = _finished(result)
        done = table["completed"].where(table["completed"] > 0)
        values = pd.DataFrame(
            {"energy": table["energy_j"] / done, "cost": table["cost_usd"] / done, "point": table["point"]}
        )
        found = values.groupby("point").mean()
        swept = [key for key in result.keys if _varies(table[key])]
        first = table.groupby("point")[list(result.keys)].first()
        found["name"] = [
            ", ".join(
                _value(row[key]) if not _is_number(first[key]) else f"{short(key)} {row[key]:g}"
                for key in swept
            )
            for _, row in first.iterrows()
        ]
        return found.dropna().reset_index(drop=True)
    runs = result.runs
    names = list(runs) if hasattr(runs, "keys") else list(result.names)
    summaries = [
        (runs[name] if hasattr(runs, "keys") else run).summary for name, run in zip(names, runs, strict=True)
    ]
    return pd.DataFrame(
        [
            (name, summary["energy_j"]["total"] / done, summary["cost_usd"] / done)
            for name, summary in zip(names, summaries, strict=True)
            if (done := summary["requests"]["completed"])
        ],
        columns=["name", "energy", "cost"],
    )


def unbeaten(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points nobody beats in one coordinate without losing in the other; less is better in both."""
    found: NDArray[np.bool_] = dominators(np.column_stack([x, y])) < 0
    return found


def _number(
    ax: Axes, at: NDArray[np.float64], names: list[str], front: list[int], others: NDArray[np.int64]
) -> None:
    """Number points, and say in the legend what they are: those of the front, and others where there is room."""
    from matplotlib.patheffects import withStroke  # noqa: PLC0415

    ax.autoscale_view()
    places = ax.transLimits.transform(ax.transScale.transform(at)) * AREA
    taken = list(places)
    if len(places) > MOST_NAMES:  # others only where they stand alone
        gaps = [np.sort(np.hypot(*(places - places[index]).T))[1] for index in others]
        others = others[np.array(gaps) > 1.5 * APART]
    number = 0
    for index in (*front, *others):
        free = [
            (min(np.hypot(*(places[index] + way - other)) for other in taken), -rank)
            for rank, way in enumerate(OFFSETS)
        ]
        room, rank = (
            max(free) if max(room for room, _ in free) < APART else next(f for f in free if f[0] >= APART)
        )
        if index not in front and (room < APART or number == MOST_NAMES):
            continue
        number += 1
        taken.append(places[index] + OFFSETS[-rank])
        ax.annotate(
            str(number), tuple(at[index]), xytext=OFFSETS[-rank], textcoords="offset points", ha="center",
            va="center", size=8, weight="bold", zorder=6,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
        ax.plot([], [], linestyle="none", label=f"{number}: {names[index]}")


def _span(ax: Axes) -> None:
    """Let axes span a small share of their values at least: what lies closer together is no difference to look at."""
    for limits, put in ((ax.get_xlim(), ax.set_xlim), (ax.get_ylim(), ax.set_ylim)):
        middle = sum(limits) / 2
        if limits[1] - limits[0] < 2 * NARROWEST * middle:
            put(middle * (1 - NARROWEST), middle * (1 + NARROWEST))


@picture(
    "frontier",
    "energy and cost of a request, and which settings nobody beats in both",
    fits=(SWEEP, COMPARISON),
    tables=(),
    size=SIZE,
)
def frontier(result: Any, ax: Axes) -> str:
    """Draw energy against cost of a request; those that no other one beats in both are joined and named."""
    points = candidates(result)
    if not len(points):
        raise ResultsError("nothing was completed; there is neither an energy nor a cost per request")
    x, y = points["energy"].to_numpy(float), points["cost"].to_numpy(float)
    best = unbeaten(x, y)
    order = np.flatnonzero(best)[np.argsort(x[best], kind="stable")]
    if (~best).any():
        ax.plot(
            x[~best],
            y[~best],
            "o",
            color=style.SKY,
            markeredgecolor=style.INK,
            markeredgewidth=0.5,
            label="beaten",
        )
    ax.plot(
        x[order],
        y[order],
        "-D",
        color=style.BLACK,
        markersize=5.5,
        drawstyle="steps-post",
        label="Pareto front",
    )
    ax.margins(0.12, 0.18)
    _span(ax)
    spread = np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_NAMES)).round().astype(int))
    _number(ax, np.column_stack([x, y]), list(points["name"]), list(order[spread]), np.flatnonzero(~best))
    measure(ax.xaxis, "energy of a request", "J")
    measure(ax.yaxis, "cost of requests", "USD per request")
    style.legend(ax)
    style.title(
        ax,
        "Energy and cost",
        f"{len(points)} settings, {int(best.sum())} unbeaten; of completed requests, idle energy included",
    )
    said = {
        str(points["name"][place]): f"{format_joules(x[place])} and {format_usd(1000 * y[place])}"
        for place in order[:4]
    }
    more = f"; and {len(order) - 4} more" if len(order) > 4 else ""
    return f"Unbeaten in joules per request and dollars per 1,000. {told(said)}{more}."
