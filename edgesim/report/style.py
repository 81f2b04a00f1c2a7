"""The one style of all pictures: colours that colour-blind people tell apart, and that differ in grey, too.

Colours are those of Okabe and Ito (2008, "Color universal design"), ordered so that neighbours differ in lightness;
lines have markers, and areas hatches, so that a picture printed in grey still says which is which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager
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
TIER_COLOURS: Final = (ORANGE, SKY, GREEN, PURPLE)
"""Of tiers from the devices upward, as the picture of the topology has them."""
TIER_LINES: Final = (ORANGE, BLUE, SKY, "#404040")
"""The same for lines and areas, which must differ in grey: light, middle, dark."""
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
PAPER: Final[dict[str, Any]] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
"""Behind text that stands on something."""
LONG: Final = 27
"""Characters of a legend's line that still fit beside the axes."""
SIZE: Final = (5.6, 3.5)
"""Of one picture [inches]."""
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


def styled() -> AbstractContextManager[None]:
    """Let matplotlib draw in this style meanwhile; its settings are back afterwards."""
    import matplotlib as mpl  # noqa: PLC0415 - over a second that only pictures pay

    return mpl.rc_context(RC)  # type: ignore[arg-type]


def figure(size: tuple[float, float] = SIZE) -> Figure:
    """A figure that no window shows; make it and draw on it within `styled`."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    return Figure(figsize=size, layout="constrained")


def save(picture: Figure, path: str | PathLike[str]) -> None:
    """Write a picture; the name's ending chooses the format, and equal pictures give equal bytes."""
    ending = str(path).rpartition(".")[2].lower()
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending, {})
    with styled():
        picture.savefig(path, dpi=200, metadata=metadata)


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


def legend(ax: Axes, **more: Any) -> None:
    """Add a legend outside of the axes, where it hides nothing; below them if its words are long."""
    handles, labels = ax.get_legend_handles_labels()
    if not labels:
        return
    placed: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "borderaxespad": 0.6}
    if max(len(str(label)) for label in labels) > LONG:
        placed = {"loc": "upper left", "bbox_to_anchor": (-0.05, -0.17), "borderaxespad": 0.6, "ncols": 2}
        placed |= {"alignment": "left", "columnspacing": 1.2}
    ax.legend(handles, labels, **(placed | more))


def title(ax: Axes, text: str, beside: str = "") -> None:
    """Set the title, and what it is of under it in smaller letters."""
    ax.set_title(text, loc="left", pad=20 if beside else 8)
    if beside:
        ax.text(0.0, 1.02, beside, transform=ax.transAxes, ha="left", va="bottom", size=8, color="#555555")
