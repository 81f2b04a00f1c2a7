"""The catalogue: accelerators, engines, LLMs, variants, links, grids, workload templates; each figure has a source."""

from __future__ import annotations

from edgesim.catalog.accelerator import DTYPES, Accelerator
from edgesim.catalog.engine import Engine
from edgesim.catalog.figures import CONFIDENCE, GIVEN, Figure
from edgesim.catalog.find import named
from edgesim.catalog.host import Host
from edgesim.catalog.llm import Llm, Mla, Moe, Vision, Window
from edgesim.catalog.load import (
    MissingFiguresError,
    accelerator,
    accelerator_from,
    accelerators,
    engine,
    engines,
    family,
    grid,
    link,
    llm,
    llm_from,
    llms,
    names,
    template,
    variant,
    variant_from,
    variants,
)
from edgesim.catalog.mode import PowerMode
from edgesim.catalog.place import Grid, LinkKind, Template
from edgesim.catalog.thermal import Thermal
from edgesim.catalog.variant import Variant, varied

__all__ = [
    "CONFIDENCE",
    "DTYPES",
    "GIVEN",
    "Accelerator",
    "Engine",
    "Figure",
    "Grid",
    "Host",
    "LinkKind",
    "Llm",
    "MissingFiguresError",
    "Mla",
    "Moe",
    "PowerMode",
    "Template",
    "Thermal",
    "Variant",
    "Vision",
    "Window",
    "accelerator",
    "accelerator_from",
    "accelerators",
    "engine",
    "engines",
    "family",
    "grid",
    "link",
    "llm",
    "llm_from",
    "llms",
    "named",
    "names",
    "template",
    "variant",
    "variant_from",
    "variants",
    "varied",
]
