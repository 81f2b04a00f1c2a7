"""What engines reach: efficiencies by architecture, fitted to campaigns, with the error on machines left out.

An engine is fitted over all its measurements first, then for each architecture with the former as a prior, so that
few measurements move little. The bands say what accelerators that a fit never saw were off by, four times of five.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim import catalog
from edgesim.catalog.engine import ANY
from edgesim.costs.power import power_of
from edgesim.costs.roofline import Efficiency, machine, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from edgesim.calibrate.campaign import Measurement
    from edgesim.catalog import Accelerator

Values = dict[str, float]

TYPICAL: Final[Mapping[str, tuple[float, float, float]]] = {
    "compute_efficiency": (0.4, 0.005, 1.0),
    "memory_efficiency": (0.7, 0.02, 1.0),
    "attention_efficiency": (0.15, 0.003, 1.0),
    "quantised_efficiency": (0.85, 0.1, 1.0),
    "activation_efficiency": (0.4, 0.02, 1.0),
    "layer_overhead": (30e-6, 1e-6, 5e-3),
    "launch_overhead": (1e-4, 1e-6, 5e-3),
    "step_overhead": (1e-3, 1e-5, 0.1),
    "step_overhead_per_sequence": (2e-5, 1e-6, 1e-3),
    "parallel_overhead": (0.3, 0.01, 3.0),
}
"""What is fitted: where an engine's first fit begins, and bounds."""

BATCHED: Final = ("launch_overhead", "step_overhead", "step_overhead_per_sequence")
"""What only batches tell; without them it is part of what a layer adds."""

BEGIN: Final[Values] = {name: start for name, (start, _, _) in TYPICAL.items()}

ENOUGH: Final = 3
"""Accelerators of an architecture from which on those left out say something about others."""

FREE: Final = 1.5
"""Standard deviation of an engine's own fit about the beginning, as a logarithm."""

NEAR: Final = 0.6
"""That of an architecture about its engine."""

NOISE: Final = 0.1
"""Errors up to this weigh by their square, larger ones by their size."""

COVERED: Final = 0.9
"""Quantile of the errors of left-out machines that becomes a band; a little above the four of five it promises."""

NARROWEST, WIDEST = 0.06, 0.6
"""Bounds of a band."""

UNTESTED: Final = {"prefill": 0.35, "decode": 0.35, "energy": 0.4}
"""Bands of engines that were measured on one accelerator only: nothing tells how they do on another."""

SUPPLY_EFFICIENCY: Final = 0.9
"""What power supplies pass on of what they draw from the wall (80 PLUS Gold at half load)."""

TIMES: Final = ("prefill", "decode")
"""Quantities that efficiencies are fitted to; engines of which only the throughput is known are fitted to that."""


@dataclass
class Fit:
    """Efficiencies of one engine on one architecture.

    Attributes:
        values: Efficiencies and overheads by name.
        bands: Band by quantity.
        accelerators: What was measured.
        rows: How many measurements.
        errors: Median error that the fit leaves, by quantity.
    """

    values: Values
    bands: dict[str, float] = field(default_factory=dict)
    accelerators: tuple[str, ...] = ()
    rows: int = 0
    errors: dict[str, float] = field(default_factory=dict)


def predicted(one: Measurement, accelerator: Accelerator) -> float:
    """What was measured, by the roofline of an accelerator as an engine uses it: a time [s], or joules per token."""
    speed = machine(accelerator, one.weights, one.parallel, Efficiency())
    seconds, flops, traffic = steps(speed, one.llm, "fp16", one.tokens, one.features)
    if one.quantity != "energy":
        return one.time(seconds)
    power = power_of(accelerator, one.weights, one.parallel, host_power=one.host_w)
    if one.wall:  # the highest reading, which prompts cause, over the speed of decodes
        return one.time(seconds * power.cap_w / SUPPLY_EFFICIENCY)
    dynamic = power.joules_per_flop * flops + power.joules_per_byte * traffic
    return one.time(np.minimum(power.base_w * seconds + dynamic, power.cap_w * seconds))


def error(one: Measurement, accelerator: Accelerator) -> float:
    """Logarithm of predicted over measured."""
    return math.log(predicted(one, accelerator) / one.measured)


def fit_engines(found: Iterable[Measurement]) -> dict[str, dict[str, Fit]]:
    """Fit all engines to all their measurements: by engine and architecture; `any` is the engine as a whole."""
    return {engine: _engine(rows) for engine, rows in by_engine(found).items()}


def by_engine(found: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """Measurements by what ran them."""
    parts: dict[str, list[Measurement]] = defaultdict(list)
    for one in found:
        parts[one.engine].append(one)
    return dict(sorted(parts.items()))


def _engine(rows: Sequence[Measurement]) -> dict[str, Fit]:
    """Fit an engine as a whole and on each architecture, with bands from accelerators left out."""
    whole = fitted(rows, BEGIN, FREE)
    parts = _by_architecture(rows)
    fits = {ANY: _told(rows, whole)} | {
        key: _told(part, fitted(part, whole, NEAR)) for key, part in parts.items()
    }
    unseen = [(one, off(one, values)) for one, values in left_out(rows)]
    fits[ANY].bands = UNTESTED | _bands(unseen)
    for key, part in parts.items():
        enough = len(fits[key].accelerators) >= ENOUGH
        fits[key].bands = fits[ANY].bands | (
            _bands([pair for pair in unseen if pair[0] in part]) if enough else {}
        )
    return fits


def _by_architecture(rows: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    parts: dict[str, list[Measurement]] = defaultdict(list)
    for one in rows:
        parts[catalog.accelerator(one.accelerator).architecture].append(one)
    return dict(sorted(parts.items()))


def _told(rows: Sequence[Measurement], values: Values) -> Fit:
    """A fit, with what it leaves."""
    left: dict[str, list[float]] = defaultdict(list)
    for one in rows:
        left[one.quantity].append(off(one, values))
    errors = {quantity: float(np.median(part)) for quantity, part in left.items()}
    return Fit(values, accelerators=_names(rows), rows=len(rows), errors=errors)


def best(fits: Mapping[str, Fit], accelerator: Accelerator) -> Fit | None:
    """The fit that holds on an accelerator, as `Engine.under` chooses it."""
    return next((fits[key] for key in (accelerator.architecture, ANY) if key in fits), None)


def left_out(rows: Sequence[Measurement]) -> list[tuple[Measurement, Values]]:
    """Measurements of one engine, each with the values of a fit that saw nothing of its accelerator.

    The fit of its architecture without it has the fit of all other architectures as its prior; where there is neither,
    nothing can be said, and the measurement is missing.
    """
    found: list[tuple[Measurement, Values]] = []
    for key, part in _by_architecture(rows).items():
        others = [one for one in rows if catalog.accelerator(one.accelerator).architecture != key]
        prior, spread = (fitted(others, BEGIN, FREE), NEAR) if others else (BEGIN, FREE)
        for name in _names(part):
            rest = [one for one in part if one.accelerator != name]
            if rest or others:
                values = fitted(rest, prior, spread) if rest else prior
                found += [(one, values) for one in part if one.accelerator == name]
    return found


def off(one: Measurement, values: Values) -> float:
    """Relative error of some values."""
    return abs(math.expm1(error(one, accelerator_with(one.accelerator, values))))


def accelerator_with(name: str, values: Values) -> Accelerator:
    """An accelerator of the catalogue with other efficiencies."""
    return replace(catalog.accelerator(name), **values)  # type: ignore[arg-type]


def _bands(unseen: Iterable[tuple[Measurement, float]]) -> dict[str, float]:
    """Band by quantity."""
    errors: dict[str, list[float]] = defaultdict(list)
    for one, wrong in unseen:
        errors[one.quantity].append(wrong)
    return {
        quantity: round(float(np.clip(np.quantile(part, COVERED), NARROWEST, WIDEST)), 3)
        for quantity, part in errors.items()
    }


def _names(rows: Sequence[Measurement]) -> tuple[str, ...]:
    return tuple(sorted({one.accelerator for one in rows}))


def fitted(rows: Sequence[Measurement], about: Values = BEGIN, spread: float = FREE) -> Values:
    """Values that explain measurements, as near to others as they allow; what nothing speaks of stays."""
    from scipy.optimize import least_squares  # noqa: PLC0415 - only fits need it

    speeds = [one for one in rows if one.quantity in TIMES]
    rows = speeds or [one for one in rows if one.quantity == "throughput"]
    names = [name for name in TYPICAL if _matters(name, rows)]
    machines = {one.accelerator for one in rows}
    about = about | {name: TYPICAL[name][1] for name in BATCHED if name not in names}
    middle = np.log([about[name] for name in names])

    def values_at(x: NDArray[np.float64]) -> Values:
        return {name: float(math.exp(value)) for name, value in zip(names, x, strict=True)}

    def misfits(x: NDArray[np.float64]) -> NDArray[np.float64]:
        fixed = about | values_at(x)
        used = {name: accelerator_with(name, fixed) for name in machines}
        errors = np.array([error(one, used[one.accelerator]) for one in rows])
        return np.concatenate([_soft(errors / NOISE), (x - middle) / spread])

    low, high = (np.log([TYPICAL[name][side] for name in names]) for side in (1, 2))
    start = np.clip(middle, low + 1e-3, high - 1e-3)
    found = least_squares(
        misfits, start, bounds=(low, high), diff_step=1e-3, max_nfev=40, xtol=1e-4, ftol=1e-5
    )
    return about | values_at(found.x)


def _soft(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square roots of the soft-L1 loss, with the sign of the errors."""
    soft: NDArray[np.float64] = np.sign(errors) * np.sqrt(2 * (np.sqrt(1 + errors * errors) - 1))
    return soft


def _matters(name: str, rows: Sequence[Measurement]) -> bool:
    """Whether measurements can tell anything about a value."""
    tests: dict[str, Callable[[], bool]] = {
        "compute_efficiency": lambda: any(one.quantity != "decode" for one in rows),
        "attention_efficiency": lambda: any(
            one.tokens.sum() > 3000 for one in rows if one.quantity == "prefill"
        ),
        **dict.fromkeys(BATCHED, lambda: any(one.batch > 16 for one in rows)),
        "quantised_efficiency": lambda: len({one.weights in {"fp16", "bf16"} for one in rows}) == 2,
        "parallel_overhead": lambda: len({one.parallel for one in rows}) > 1,
    }
    return tests.get(name, lambda: True)()
