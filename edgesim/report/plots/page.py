"""Several pictures on one page, and files of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgesim.errors import ResultsError
from edgesim.report import style
from edgesim.report.plots.base import PLOTS, RUN, SWEEP, Plot, check_name, kind_of, one_run
from edgesim.report.plots.sweeps import axis_key, check_metric
from edgesim.results import DamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure


def obstacle(plot: Plot, result: Any) -> str:
    """Why a picture cannot be drawn of a result, as far as can be told before; "" if nothing is in its way."""
    kind = kind_of(result)
    if kind not in plot.fits:
        return f"is of a {' or a '.join(plot.fits)}"
    if kind == RUN:
        for table in plot.tables:
            try:
                getattr(one_run(result), table)
            except DamagedError:
                raise
            except ResultsError:
                return f"needs the table {table}"
    return ""


def drawable(result: Any) -> list[Plot]:
    """The pictures that fit a result and whose tables it has; some may still find nothing to show."""
    return [plot for plot in PLOTS.values() if not obstacle(plot, result)]


def missing(result: Any) -> str:
    """What to record for more pictures; "" if there are no more."""
    lacking = [plot for plot in PLOTS.values() if obstacle(plot, result).startswith("needs")]
    if not lacking:
        return ""
    tables = ", ".join(dict.fromkeys(["requests", *(table for plot in lacking for table in plot.tables)]))
    names = ", ".join(plot.name for plot in lacking)
    return f"for {names}, run again with --set 'output.tables=[{tables}]'"


def check_options(result: Any, names: Sequence[str], options: Mapping[str, Any]) -> None:
    """Make sure that options name what is there, so that a slip does not end in pictures left out.

    Args:
        result: A run, a sweep or a comparison.
        names: Of the pictures; none for all that fit.
        options: Such as `metric` and `x`.

    Raises:
        ResultsError: None of the pictures takes an option, or its value is unknown.
    """
    kind = kind_of(result)
    plots = chosen(names) if names else [plot for plot in PLOTS.values() if kind in plot.fits]
    for option in options:
        if not any(option in plot.options for plot in plots):
            takers = [plot.name for plot in PLOTS.values() if option in plot.options]
            what = f"{', '.join(names)} takes" if names else f"no picture of a {kind} takes"
            raise ResultsError(f"{what} {'no ' if names else ''}--{option}; it is for {', '.join(takers)}")
    if kind == SWEEP and "metric" in options:
        check_metric(result.table, options["metric"])
    if kind == SWEEP and "x" in options:
        axis_key(result, options["x"])
    if kind == RUN and "metric" in options:
        check_name(options["metric"])


def chosen(names: Sequence[str]) -> list[Plot]:
    """Look pictures up by name.

    Raises:
        ResultsError: There is no such picture.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only after a slip

    for name in names:
        if name not in PLOTS:
            close = get_close_matches(name, PLOTS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(PLOTS)}"
            raise ResultsError(f"no picture named {name!r}; {hint}")
    return [PLOTS[name] for name in names]


def page(result: Any, names: Sequence[str], *, columns: int = 0, **options: Any) -> Figure:
    """Draw pictures side by side.

    Args:
        result: A run, a sweep or a comparison.
        names: Which ones.
        columns: How many stand side by side; by default up to three.
        options: What some take beside the result, such as `metric`.
    """
    plots = chosen(names)
    across = columns or min(len(plots), 3 if len(plots) % 2 or len(plots) > 4 else 2)
    down = math.ceil(len(plots) / across)
    width, height = (max(plot.size[side] for plot in plots) for side in (0, 1))
    with style.styled():
        figure = style.figure((width * across, height * down))
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for plot, ax in zip(plots, axes, strict=False):
            plot.draw(result, ax, **{name: options[name] for name in plot.options if name in options})
        for ax in axes[len(plots) :]:
            ax.remove()
        style.make_room(figure)
        figure.draw_without_rendering()  # ticks may change with the layout, which then needs a second round
    return figure


def save(result: Any, names: Sequence[str], path: str | Path, **options: Any) -> None:
    """Draw pictures side by side and write them to a file; its ending chooses SVG, PDF or PNG.

    Args:
        result: A run, a sweep or a comparison.
        names: Which ones.
        path: The file.
        options: As for `page`.

    Raises:
        ResultsError: A picture is unknown or does not fit, or the file cannot be written.
    """
    ending = str(path).rpartition(".")[2].lower()
    if ending not in style.FORMATS:
        raise ResultsError(
            f"cannot write '{path}': its name must end in {', '.join('.' + f for f in style.FORMATS)}"
        )
    figure = page(result, names, **options)
    try:
        style.save(figure, path)
    except OSError as error:
        raise ResultsError(f"cannot write '{path}': {error.strerror}") from error
