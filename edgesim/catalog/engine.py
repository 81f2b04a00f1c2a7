"""Engines: what serving software reaches of the accelerators it runs on, by their architecture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgesim.catalog.accelerator import Accelerator
    from edgesim.catalog.figures import Figure

ANY = "any"
"""Stands for every architecture that an engine has no figures of its own for."""


@dataclass(frozen=True)
class Engine:
    """Serving software of one era. What it reaches was measured with it, and is never mixed with another's.

    Args:
        name: Key in the catalogue.
        title: Name and versions for people.
        reaches: By architecture, kind of accelerator or "any": the figures of an accelerator that hold under it.
        fitted_on: By the same keys: the accelerators whose measurements were used.
    """

    name: str
    title: str
    reaches: Mapping[str, Mapping[str, Figure]]
    fitted_on: Mapping[str, tuple[str, ...]]

    @property
    def figures(self) -> dict[str, Figure]:
        """All figures, called by what they hold for and what they say."""
        return {
            f"{key} {name}": figure for key, part in self.reaches.items() for name, figure in part.items()
        }

    def key(self, accelerator: Accelerator) -> str:
        """Which of the entries holds on an accelerator; empty if the engine does not run there."""
        tried = (accelerator.architecture, accelerator.kind, ANY)
        return next((key for key in tried if key in self.reaches), "")

    def under(self, accelerator: Accelerator) -> Accelerator:
        """The accelerator as this engine uses it.

        Raises:
            ValueError: The engine does not run there.
        """
        key = self.key(accelerator)
        if not key:
            raise ValueError(f"engine {self.name!r} has no figures for {accelerator.name}")
        own = self.reaches[key]
        values = {name: figure.value for name, figure in own.items()}
        return replace(accelerator, engine=self.name, **values, figures={**accelerator.figures, **own})

    def knows(self, accelerator: str) -> bool:
        """Whether measurements of an accelerator were used in any of its figures."""
        return any(accelerator in names for names in self.fitted_on.values())
