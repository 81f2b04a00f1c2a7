"""Puts the requests of several sources into one order of time, holding only a block of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgesim.workload.table import AT, EMPTY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edgesim.workload.open_loop import Source


def merged(sources: Sequence[Source]) -> Iterator[NDArray[np.int64]]:
    """Yield the requests of all sources by (time, source, order in the source), in pieces of any length."""
    if len(sources) == 1:
        while len(block := sources[0].take()):
            yield block
        return
    held = [source.take() for source in sources]
    going = [len(block) > 0 for block in held]
    while any(going):
        # What comes before the end of the block that ends first is complete: nobody can still overtake it.
        late = min(
            (place for place, more in enumerate(going) if more), key=lambda place: held[place][:, AT][-1]
        )
        piece = _split_off(held, int(held[late][:, AT][-1]))
        if len(piece):
            yield piece
        block = sources[late].take()
        going[late] = len(block) > 0
        held[late] = np.concatenate([held[late], block])
    rest = _ordered(held)
    if len(rest):
        yield rest


def _split_off(held: list[NDArray[np.int64]], end: int) -> NDArray[np.int64]:
    """Take what comes before `end` [ps] out of the held blocks and return it in order."""
    ready = []
    for place, block in enumerate(held):
        cut = int(np.searchsorted(block[:, AT], end))
        ready.append(block[:cut])
        held[place] = block[cut:]
    return _ordered(ready)


def _ordered(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    filled = [part for part in parts if len(part)]
    if len(filled) < 2:
        return filled[0] if filled else EMPTY
    joined = np.concatenate(filled)
    return joined.take(np.argsort(joined[:, AT], kind="stable"), axis=0)


def cut_to(
    size: int, pieces: Iterator[NDArray[np.int64]], limit: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """Yield the same rows in pieces of `size` (the last may be shorter), at most `limit` rows in all."""
    waiting: list[NDArray[np.int64]] = []
    length = 0
    left = limit
    for block in pieces:
        piece = block if left is None else block[:left]
        left = None if left is None else left - len(piece)
        waiting.append(piece)
        length += len(piece)
        while length >= size:
            joined = np.concatenate(waiting) if len(waiting) > 1 else waiting[0]
            yield joined[:size]
            waiting = [joined[size:]]
            length -= size
        if left == 0:
            break
    if length:
        yield np.concatenate(waiting)
