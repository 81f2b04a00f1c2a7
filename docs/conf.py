"""How the documentation is built: `python -m sphinx -W docs docs/_build`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from generate import write_reference

import edgesim

project = "edgesim"
author = "the edgesim developers"
release = edgesim.__version__
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "edgesim"
html_static_path: list[str] = []
exclude_patterns = ["_build"]
smartquotes = False  # an option is --log, not a dash and "log"


def setup(app: object) -> None:
    """Write the pages that come from the code before Sphinx looks for pages."""
    del app
    write_reference(Path(__file__).parent / "reference")
