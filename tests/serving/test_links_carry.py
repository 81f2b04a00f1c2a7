"""What links carried are the bytes of the legs that crossed them, whatever became of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim.serving.reference import ReferenceEngine
from edgesim.verify import books, random_systems

if TYPE_CHECKING:
    from edgesim.verify.check import Check


@pytest.mark.parametrize("first", range(0, 80, 20))
def test_links_carry_the_bytes_of_legs(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On random systems, leg by leg and link by link; the kernel carries the same as the twin."""
    sent: dict[int, float] = {}
    ends: dict[int, int] = {}
    close = ReferenceEngine._close

    def count(engine: ReferenceEngine, leg: Any, outcome: int) -> None:
        close(engine, leg, outcome)
        for way, nbytes in (("up", leg.bytes_up), ("down", leg.bytes_down)):
            for link in engine._path(leg.place, way):
                sent[link] = sent.get(link, 0.0) + nbytes
                ends[link] = ends.get(link, 0) + 1

    monkeypatch.setattr(ReferenceEngine, "_close", count)
    for seed in range(first, first + 20):
        if random_systems.random_system(seed)[2].transfers:
            continue
        sent.clear()
        ends.clear()
        for link, carried in enumerate(random_systems.run_reference(seed).carried):
            # a leg that is cut off counts whole bytes, of its stream and of what follows
            assert carried == pytest.approx(sent.get(link, 0.0), abs=2 * ends.get(link, 0) + 1e-3), (
                seed,
                link,
            )


def test_a_missing_byte_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check on the card sees streams that never end, and messages that no link carries."""
    from edgesim.verify.check import run

    found: list[Check] = []
    kept: list[Any] = []
    monkeypatch.setattr(books, "run", lambda *a: kept.append(run(*a)) or kept[-1])
    found += books.carriage()
    assert all(check.passed for check in found)
    for check, (records, outcome) in zip(found, kept, strict=True):
        cut_off = (records["status"] != 0) | (records["legs"] > 1)
        missing = int(np.flatnonzero(~cut_off)[0])
        records["bytes_up"][missing] += 2 * int(records["legs"][cut_off].sum()) + 50
        assert not books.carried_bytes(check.name, records, outcome).passed
