"""The report page: one self-contained HTML file for a run, a comparison or a sweep."""

from __future__ import annotations

from edgesim.report.page.document import render, write

__all__ = ["render", "write"]
