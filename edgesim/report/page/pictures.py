"""Pictures of a page: what the plots draw, as SVG that takes the colours of the page."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import EdgesimError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST: Final = 250_000
"""A drawing with more characters than this is embedded as pixels instead."""
TOGETHER: Final = 3_000_000
"""Characters that all pictures of a page may take."""
SIZE: Final = (6.4, 3.8)
"""Of a picture [inches]."""
INK: Final = re.compile(r"#(?:000000|222222)\b", re.IGNORECASE)
"""Colours that stand for ink: the page replaces them by its own."""


def pictures(found: Any) -> list[tuple[str, str]]:
    """Draw all plots that fit; answer pairs of title and SVG (or an image, where an SVG would be too large)."""
    drawn: list[tuple[str, str]] = []
    total = 0
    for name, title, draw in _fitting(found):
        figure = _figure()
        try:
            draw(found, figure.add_subplot())
        except (EdgesimError, KeyError, ValueError):  # it needs a table that was not recorded
            continue
        picture = _svg(figure, name, title)
        total += len(picture)
        if total > TOGETHER:
            break
        drawn.append((title, picture))
    return drawn


def _fitting(_: Any) -> list[tuple[str, str, Any]]:
    return []


def _figure() -> Figure:
    from matplotlib.figure import Figure as Blank  # noqa: PLC0415 - over a second that only pictures pay

    return Blank(figsize=SIZE, layout="constrained")


def _svg(figure: Figure, name: str, title: str) -> str:
    """Write a figure as SVG with ids of its own, or as pixels if that is smaller by far."""
    import matplotlib as mpl  # noqa: PLC0415

    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    drawing = stream.getvalue()
    if len(drawing) > LARGEST:
        pixels = io.BytesIO()
        figure.savefig(pixels, format="png", dpi=130, facecolor="white")
        coded = base64.b64encode(pixels.getvalue()).decode("ascii")
        return f'<img alt="{title}" src="data:image/png;base64,{coded}">'
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", drawing)
    drawing = INK.sub("currentColor", drawing)
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
