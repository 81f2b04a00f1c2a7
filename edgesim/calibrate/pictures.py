"""Pictures of a calibration: a simulated run over the measured one, and what a fit leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgesim.calibrate.logs import Log
    from edgesim.calibrate.points import Fitted
    from edgesim.calibrate.runs import Simulated

MEASURED, SIMULATED = "#333333", "#d55e00"
"""Dark grey and vermillion, which differ in lightness, too (Okabe and Ito's palette)."""

MARKS: Final = (("o", "#0072b2"), ("^", "#d55e00"), ("s", "#56b4e9"), ("v", "#e69f00"))
"""Shapes and colours of groups of points."""

DECADES: Final = 3
"""Axes longer than this have a label a decade."""


def _figure(columns: int, rows: int = 1) -> tuple[Any, Any]:
    """A figure that no window shows."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a while to import

    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def run(log: Log, simulated: Simulated, path: Path, curves: NDArray[np.float64] | None = None) -> None:
    """Draw distributions and load of a run, simulated over measured.

    Args:
        log: The measured run.
        simulated: The same, simulated.
        path: PNG, SVG or PDF.
        curves: Time [s], running, waiting and KV share as measured; by default running and waiting come from the log.
    """
    figure, axes = _figure(3, 2)
    for ax, (name, label) in zip(
        axes[0], (("ttft", "TTFT"), ("tpot", "TPOT"), ("e2e", "end to end")), strict=True
    ):
        for values, colour, what in (
            (log.metrics[name], MEASURED, "measured"),
            (simulated.metrics[name], SIMULATED, "simulated"),
        ):
            known = np.sort(values[~np.isnan(values)])
            ax.plot(known, np.arange(1, len(known) + 1) / max(1, len(known)), color=colour, label=what)
        ax.set(xlabel=f"{label} [s]", ylabel="share of requests", ylim=(0, 1), xlim=(0, None))
    axes[0][0].legend(frameon=False)
    shown = _of_log(log) if curves is None else curves
    for ax, column, label in zip(axes[1], (1, 2, 3), ("running", "waiting", "KV cache in use"), strict=True):
        if column < shown.shape[1]:
            ax.plot(shown[:, 0], shown[:, column], color=MEASURED)
        if len(simulated.load):
            ax.plot(simulated.load[:, 0], simulated.load[:, column], color=SIMULATED)
        ax.set(xlabel="time [s]", ylabel=label, ylim=(0, None))
    figure.savefig(path, dpi=130)


def _of_log(log: Log) -> NDArray[np.float64]:
    """Requests with and without a first token over time: what a log alone tells about the load."""
    at = np.arange(0.0, log.last.max() + 1)
    started = np.searchsorted(np.sort(log.first), at, side="right")
    ended = np.searchsorted(np.sort(log.last), at, side="right")
    arrived = np.searchsorted(log.arrived, at, side="right")
    return np.stack([at, started - ended, arrived - started], axis=1)


def residuals(found: Fitted, path: Path) -> None:
    """Draw fitted over measured times, a mark a metric, and where rejected points were measured."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for point, error in found.errors.items():
        groups.setdefault(point.metric, []).append((point.seconds, point.seconds * (1 + error)))
    scatter(groups, path, [point.seconds for point in found.rejected])


def scatter(
    groups: Mapping[str, Sequence[tuple[float, float]]], path: Path, rejected: Sequence[float] = ()
) -> None:
    """Draw predicted over measured times.

    Args:
        groups: Measured and predicted times [s] by what they are.
        path: PNG, SVG or PDF.
        rejected: Measured times that nothing was fitted to [s]; they stand on the lower edge.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter  # noqa: PLC0415 - as matplotlib itself

    figure, axes = _figure(1)
    figure.set_size_inches(6.4, 4.4)
    ax = axes[0][0]
    times = [*rejected, *(time for group in groups.values() for pair in group for time in pair)]
    ends = [min(times) / 1.3, max(times) * 1.3]
    ax.plot(ends, ends, color=MEASURED, linewidth=1)
    for (name, pairs), (mark, colour) in zip(groups.items(), MARKS, strict=False):
        ax.plot(*zip(*pairs, strict=True), mark, color=colour, alpha=0.7, label=name)
    if rejected:
        ax.plot(rejected, [ends[0]] * len(rejected), "x", color=MEASURED, label="rejected", clip_on=False)
    ax.set(xscale="log", yscale="log", xlabel="measured", ylabel="predicted", xlim=ends, ylim=ends)
    subs = (1.0,) if np.log10(ends[1] / ends[0]) > DECADES else (1.0, 2.0, 5.0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_major_formatter(EngFormatter("s"))
        axis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", labelrotation=45)
    ax.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=130)
