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

ELSEWHERE: Final = ("topology",)
"""Pictures whose place on a page a drawing to explore takes."""


def pictures(found: Any) -> tuple[list[tuple[str, str]], str]:
    """Draw all plots that fit.

    Returns:
        Pairs of what a picture shows, in words with its main figures, and its SVG (an image, where the SVG would be
        too large), narrow enough to be read on a phone; and a sentence about pictures that are lacking, if any are.
    """
    from edgesim.report import style  # noqa: PLC0415 - pictures come last
    from edgesim.report.plots.page import drawable, missing  # noqa: PLC0415

    drawn: list[tuple[str, str]] = []
    left = TOGETHER
    for plot in drawable(found):
        if plot.name in ELSEWHERE:
            continue
        with style.styled():
            figure = style.figure(style.narrow(plot.size))
            try:
                ax = plot.draw(found, figure.subplots())
            except EdgesimError:  # it finds nothing to show
                continue
            style.make_room(figure)
            said = style.described(ax)
            picture = _picture(figure, plot.name, f"{plot.text[:1].upper()}{plot.text[1:]}. {said}")
        if len(picture) > left:
            return drawn, "There are more pictures than fit into this file; `edgesim plot` draws them."
        left -= len(picture)
        drawn.append((said, picture))
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
        figure.savefig(pixels, format="png", dpi=170, facecolor="white")
        coded = base64.b64encode(pixels.getvalue()).decode("ascii")
        return f'<img alt="{text(title)}" src="data:image/png;base64,{coded}">'
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|(?<=>)\s+(?=<)", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", drawing)
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{text(title)}" ', 1)
