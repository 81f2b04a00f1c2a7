"""The page as a whole: what it is about decides its sections; style and script stand in files beside this one."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from edgesim.errors import ResultsError
from edgesim.report.page import capacity, many, single
from edgesim.report.page.markup import text

if TYPE_CHECKING:
    from pathlib import Path

Section = tuple[str, str, str]
"""Name, title and content."""


def write(found: Any, path: Path) -> int:
    """Write the page of a run, a comparison, a sweep or a capacity search; answer its size [B].

    Raises:
        ResultsError: It cannot be written, or is none of these.
    """
    content = render(found).encode()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ResultsError(f"cannot write '{path}': {error.strerror}; choose another file with -o") from error
    return len(content)


def render(found: Any) -> str:
    """Write the page: it needs no network, no other file, and no script for its text.

    Args:
        found: A `Run` or `RunSet`, a `Comparison` (with `table` and `names`), a `Sweep` (with `table` and `keys`) or
            a `Capacity` (with `points` and `criteria`).

    Raises:
        ResultsError: It is none of these.
    """
    if hasattr(found, "points") and hasattr(found, "criteria"):
        title, about, sections = capacity.capacity(found)
    elif hasattr(found, "summary") and hasattr(found, "requests"):
        title, about, sections = single.sections(found)
    elif hasattr(found, "table") and hasattr(found, "keys"):
        title, about, sections = many.sweep(found)
    elif hasattr(found, "table") and hasattr(found, "names"):
        title, about, sections = many.comparison(found)
    else:
        raise ResultsError(
            "a report is about a run, a comparison, a sweep or a capacity search,"
            f" not about a {type(found).__name__}"
        )
    here = files("edgesim.report.page")
    links = "".join(f'<li><a href="#{name}">{text(short)}</a></li>' for name, short, _ in sections)
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'; img-src data:">
<title>{text(title)}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header><h1>{text(title)}</h1>
<button type="button" id="theme">Dark</button>
<p class="about">{text(about)}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav></header>
<main id="main" tabindex="-1">{"".join(content for _, _, content in sections)}</main>
<footer><p>Written by edgesim. Everything on this page is in this file.</p></footer>
<script>{script}</script>
</body>
</html>
"""
