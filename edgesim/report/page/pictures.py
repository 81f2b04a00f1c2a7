"""Pictures of a page: what the plots draw, as SVG in the file; in the dark the page inverts their lightness."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import EdgesimError
from edgesim.report.page.markup import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST: Final = 250_000
"""A drawing with more characters than this is embedded as pixels instead."""
TOGETHER: Final = 3_500_000
"""Characters that all pictures of a page may take."""


def pictures(found: Any) -> tuple[list[tuple[str, str]], str]:
    """Draw all plots that fit.

    Returns:
        Pairs of what a picture shows and its SVG (an image, where the SVG would be too large), and a sentence about
        pictures that are lacking, if any are.
    """
    from edgesim.report import style  # noqa: PLC0415 - pictures come last
    from edgesim.report.plots.page import drawable, missing  # noqa: PLC0415

    drawn: list[tuple[str, str]] = []
    left = TOGETHER
    for plot in drawable(found):
        with style.styled():
            figure = style.figure(plot.size)
            try:
                plot.draw(found, figure.subplots())
            except EdgesimError:  # it finds nothing to show
                continue
            picture = _picture(figure, plot.name, plot.text)
        if len(picture) > left:
            return drawn, "There are more pictures than fit into this file; `edgesim plot` draws them."
        left -= len(picture)
        drawn.append((plot.text, picture))
    return drawn, missing(found)


def _picture(figure: Figure, name: str, title: str) -> str:
    """Write a figure as SVG with ids of its own, or as pixels if it would be large."""
    import matplotlib as mpl  # noqa: PLC0415 - over a second that only pictures pay

    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    drawing = stream.getvalue()
    if len(drawing) > LARGEST:
        pixels = io.BytesIO()
        figure.savefig(pixels, format="png", dpi=130, facecolor="white")
        coded = base64.b64encode(pixels.getvalue()).decode("ascii")
        return f'<img alt="{text(title)}" src="data:image/png;base64,{coded}">'
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|(?<=>)\s+(?=<)", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", drawing)
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{text(title)}" ', 1)
