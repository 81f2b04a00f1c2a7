"""What an arrival process hands out: a block of arrivals, ascending in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Asked(NamedTuple):
    """A block of arrivals; what a process does not decide is None.

    Attributes:
        at: Times [ps], ascending; empty when no more will come.
        place: Position of the origin within the node group.
        prompt: Prompt lengths [tokens].
        output: Output lengths [tokens].
        first_name: Where the names of their prompts' blocks begin.
        name_count: How many names each prompt has.
    """

    at: NDArray[np.int64]
    place: NDArray[np.int64] | None = None
    prompt: NDArray[np.int64] | None = None
    output: NDArray[np.int64] | None = None
    first_name: NDArray[np.int64] | None = None
    name_count: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Nodes:
    """The node group that asks: the id of its first node, and how many there are."""

    first: int
    count: int


class Arrivals(Protocol):
    """A source of arrival times."""

    def take(self, size: int) -> Asked:
        """Return the next arrivals: about `size` of them, none only when no more will come before the end."""
        ...
