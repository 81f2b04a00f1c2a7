"""The one style of all pictures: colours that colour-blind people tell apart, and that differ in grey, too.

Colours are those of Okabe and Ito (2008, "Color universal design"), ordered so that neighbours differ in lightness;
lines have markers, and areas hatches, so that a picture printed in grey still says which is which.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#222222"
FAINT: Final = "#8a8a8a"
BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000",
)  # fmt: skip
COLOURS: Final = (BLUE, ORANGE, BLACK, SKY, VERMILLION, PURPLE, GREEN, YELLOW)
"""In the order in which they are given out: dark and light by turns."""
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
TIER_LINES: Final = (ORANGE, BLUE, SKY, "#404040")
"""Of tiers from the devices upward, for lines and areas, which must differ in grey: light, middle, dark."""
TIER_HATCHES: Final = ("", "//", "..", "xx")
TIER_DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
TIER_MARKERS: Final = ("o", "s", "^", "D")
PHASE_STYLE: Final = {
    "decision": (YELLOW, "oo"),
    "uplink": (SKY, ".."),
    "queue": (VERMILLION, "//"),
    "prefill": (BLUE, ""),
    "decode": (ORANGE, ""),
    "stall": (BLACK, ""),
    "downlink": (GREEN, "\\\\"),
    "backoff": (PURPLE, "xx"),
}
"""Colour and hatch of each phase of a request."""
HEAT: Final = "YlGnBu"
"""Colours of shares, from light to dark; colour-blind people can read them (ColorBrewer; Harrower and Brewer 2003)."""
DOT: Final = " \N{MIDDLE DOT} "
"""Between parts of what stands under a title."""
PAPER: Final[dict[str, Any]] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
"""Behind text that stands on something."""
LONG: Final = 27
"""Characters of a legend's line that still fit beside the axes."""
SIZE: Final = (5.6, 3.5)
"""Of one picture [inches]."""
ROOMY: Final = 4.8
"""From this width on a picture has its legend beside the axes, below it under them [inches]."""
NARROW: Final = 4.3
"""Width of pictures that can be read on a phone [inches]."""
LEGEND: Final = 0.35
"""Height of a legend for which every picture has room [inches]."""
LETTER: Final = 4.6
"""About the width of a small letter of a legend [points]."""
FORMATS: Final = ("svg", "pdf", "png")

RC: Final[dict[str, Any]] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.hashsalt": "edgesim",
    "svg.fonttype": "path",
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
}


@contextmanager
def styled() -> Iterator[None]:
    """Let matplotlib draw in this style meanwhile; its settings are back afterwards."""
    import matplotlib as mpl  # noqa: PLC0415 - over a second that only pictures pay

    with mpl.rc_context(RC), warnings.catch_warnings():  # type: ignore[arg-type]
        # names in letters that the font lacks: boxes in pixels, on pages the browser has them
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        yield


def shortened(name: str, longest: int = 26) -> str:
    """A name for a label: of a long one its beginning and its end, where the numbers are."""
    kept = longest // 2
    return name if len(name) <= longest else f"{name[: longest - kept]}…{name[1 - kept :]}"


def figure(size: tuple[float, float] = SIZE) -> Figure:
    """A figure that no window shows; make it and draw on it within `styled`."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    return Figure(figsize=size, layout="constrained")


def save(picture: Figure, path: str | PathLike[str]) -> None:
    """Write a picture; the name's ending chooses the format, and equal pictures give equal bytes."""
    ending = str(path).rpartition(".")[2].lower()
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending, {})
    if told := " ".join(filter(None, map(described, picture.axes))):
        metadata |= {"Subject" if ending == "pdf" else "Description": told}
    with styled():
        picture.savefig(path, dpi=200, metadata=metadata)


def described(ax: Axes) -> str:
    """What a picture shows in words, with its main figures; "" if nobody has said it."""
    label = str(ax.get_label())
    return "" if label.startswith("<") else label  # matplotlib's own, such as <colorbar>


def line(number: int, points: int = 0) -> dict[str, Any]:
    """How the n-th line is drawn: colour, dashes, and about eight markers on it.

    Args:
        number: Which one, from 0.
        points: Points of the line; 0 for no markers.
    """
    found: dict[str, Any] = {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[(number // 2 + number) % len(DASHES)],
    }
    if points:
        every = max(1, points // 8)
        found |= {
            "marker": MARKERS[number % len(MARKERS)],
            "markevery": (min(number * every // 4, max(0, points - 1)), every),
        }
    return found


def tiers_in_order(present: Iterable[str], order: Sequence[str]) -> list[str]:
    """The tiers that occur, from the devices upward."""
    found = {str(tier) for tier in present}
    return [tier for tier in order if tier in found] + sorted(found - set(order))


def narrow(size: tuple[float, float]) -> tuple[float, float]:
    """The size of a picture for a narrow column: what stood beside the axes comes below them."""
    return NARROW, size[1] + 0.25


def width(ax: Axes) -> float:
    """About how wide the part of the figure is that belongs to axes [inches]."""
    figure, place = ax.get_figure(root=True), ax.get_subplotspec()
    assert figure is not None
    across = place.get_gridspec().ncols if place is not None else 1.0 / max(ax.get_position().width, 0.1)
    return float(figure.get_figwidth() / across)


def legend(ax: Axes, **more: Any) -> None:
    """Add a legend outside of the axes, where it hides nothing: beside them, or below if there is no room."""
    from matplotlib.transforms import ScaledTranslation  # noqa: PLC0415

    handles, labels = ax.get_legend_handles_labels()
    if not labels:
        return
    longest, room = max(len(str(label)) for label in labels), width(ax)
    placed: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "borderaxespad": 0.6}
    if longest > LONG or room < ROOMY:
        assert ax.figure is not None
        under = ScaledTranslation(
            -32 / 72, -34 / 72, ax.figure.dpi_scale_trans
        )  # ticks and label of the axis
        columns = int(room * 72 // ((longest + 7) * LETTER))
        placed = {
            "loc": "upper left", "bbox_to_anchor": (0.0, 0.0), "bbox_transform": ax.transAxes + under,
            "borderaxespad": 0.0, "ncols": min(max(columns, 1), 4, len(labels)), "alignment": "left",
            "columnspacing": 1.2,
        }  # fmt: skip
    ax.legend(handles, labels, **(placed | more))


def make_room(picture: Figure) -> None:
    """Let a figure grow by what legends below axes need, so that long ones do not squeeze the axes."""
    below = [found for ax in picture.axes if (found := ax.get_legend()) and len(found.get_texts()) > 1]
    if not below:
        return
    picture.draw_without_rendering()
    below = [found for found in below if found.get_window_extent().y1 < found.axes.bbox.y0]
    tallest = max((found.get_window_extent().height for found in below), default=0.0) / picture.dpi
    spec = picture.axes[0].get_subplotspec() if picture.axes else None
    rows = spec.get_gridspec().nrows if spec is not None else 1
    picture.set_figheight(picture.get_figheight() + rows * max(0.0, tallest - LEGEND))


def title(ax: Axes, text: str, beside: str = "", aside: float = 45.0) -> None:
    """Set the title, and what it is of under it in smaller letters, in as many lines as it takes.

    Args:
        ax: The axes.
        text: The title.
        beside: What the picture is of.
        aside: About how much of the width stands left and right of the axes [points].
    """
    beside = _lines(beside, max(20, int((width(ax) * 72 - aside) / (0.93 * LETTER))))
    ax.set_title(text, loc="left", pad=20 + 10 * beside.count("\n") if beside else 8)
    if beside:
        ax.text(
            0.0, 1.02, beside, transform=ax.transAxes, ha="left", va="bottom", size=8, color="#555555",
            linespacing=1.15,
        )  # fmt: skip


def _lines(words: str, room: int) -> str:
    """Break words into lines, between their parts where that is possible."""
    from textwrap import fill  # noqa: PLC0415

    lines = [""]
    for part in words.split(DOT):
        longer = f"{lines[-1]}{DOT}{part}" if lines[-1] else part
        lines = [*lines[:-1], longer] if len(longer) <= room or not lines[-1] else [*lines, part]
    return "\n".join(fill(each, room) for each in lines)
