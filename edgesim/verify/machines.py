"""Published campaigns, predicted from the catalogue and from fits that never saw the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgesim import catalog
from edgesim.calibrate import engines
from edgesim.calibrate.campaign import Measurement, Unused, read_campaign
from edgesim.errors import EdgesimError
from edgesim.verify.accuracy import Comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

FITTED, NEVER, LEFT_OUT = "fitted", "never fitted", "left out"
"""Whether the catalogue's figures were fitted to measurements of the hardware; or a fit made without it."""

BANDS: Final = {
    "prefill": "prefill_band",
    "decode": "decode_band",
    "throughput": "decode_band",
    "energy": "energy_band",
}


def measurements(folder: Path) -> tuple[list[Measurement], list[Unused]]:
    """Read a data folder's campaigns."""
    path = folder / "devices" / "device_points.csv"
    return read_campaign(path) if path.is_file() else ([], [])


def from_catalogue(found: Sequence[Measurement]) -> Iterator[Comparison]:
    """Predict measurements by the catalogue alone."""
    for one in found:
        engine = catalog.engine(one.engine)
        used = engine.under(catalog.accelerator(one.accelerator))
        split = FITTED if engine.knows(one.accelerator) else NEVER
        yield _compared(one, split, engines.predicted(one, used), getattr(used, BANDS[one.quantity]))


def one_by_one(found: Sequence[Measurement], progress: Callable[[str], None]) -> Iterator[Comparison]:
    """Predict each accelerator by fits of its engine that never saw it."""
    for engine, rows in engines.by_engine(found).items():
        progress(engine)
        for one, values in engines.left_out(rows):
            used = engines.accelerator_with(one.accelerator, values)
            band = getattr(catalog.engine(engine).under(used), BANDS[one.quantity])
            yield _compared(one, LEFT_OUT, engines.predicted(one, used), band)


def without(found: Sequence[Measurement], hardware: str) -> Iterator[Comparison]:
    """Fit all engines again without one accelerator, and predict it.

    Raises:
        EdgesimError: Nothing was measured on it.
    """
    name = catalog.named("accelerator", hardware) or hardware
    mine = [one for one in found if name in {one.accelerator, one.hardware}]
    if not mine:
        known = sorted({one.accelerator for one in found})
        raise EdgesimError(f"nothing was measured on {hardware!r}; measured are {', '.join(known)}")
    fits = engines.fit_engines(one for one in found if one not in mine)
    for one in mine:
        fit = engines.best(fits.get(one.engine, {}), catalog.accelerator(one.accelerator))
        if fit is not None:
            used = engines.accelerator_with(one.accelerator, fit.values)
            band = fit.bands.get("decode" if one.quantity == "throughput" else one.quantity, 0.0)
            yield _compared(one, LEFT_OUT, engines.predicted(one, used), band)


def _compared(one: Measurement, split: str, predicted: float, band: float) -> Comparison:
    return Comparison(one.quantity, one.hardware, one.engine, one.model, split, one.measured, predicted, band)
