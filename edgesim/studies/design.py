"""The points of a sweep: from what is written to the values that each point sets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from edgesim import units
from edgesim.errors import UnitError
from edgesim.scenario.sweep import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgesim.scenario.sweep import Asked, Assigned, Sample

Point = tuple["Assigned", ...]


def points(asked: Asked) -> list[Point]:
    """Answer the points: every combination of what the ways of sweeping give, the last one fastest."""
    ways: list[list[Point]] = [[(axis[i],) for i in range(len(axis))] for axis in asked.grid]
    if asked.zipped:
        ways.append([tuple(axis[i] for axis in asked.zipped) for i in range(len(asked.zipped[0]))])
    if asked.listed:
        ways.append(list(asked.listed))
    ways += [list(_sampled(sample)) for sample in asked.samples]
    return [tuple(itertools.chain(*parts)) for parts in itertools.product(*ways)]


def _sampled(sample: Sample) -> Iterator[Point]:
    """Fill the space of some keys.

    Latin hypercube: McKay, Beckman, Conover 1979, doi 10.1080/00401706.1979.10489755. Sobol sequences with
    Owen's scrambling: Owen 1998, doi 10.1006/jcom.1998.0487. Both as scipy has them.
    """
    from scipy.stats import qmc  # noqa: PLC0415 - takes two seconds to import

    kind = qmc.Sobol if sample.kind == "sobol" else qmc.LatinHypercube
    found = kind(len(sample.axes), rng=sample.seed).random(sample.points)
    for shares in found.tolist():
        yield tuple(axis.at(share) for axis, share in zip(sample.axes, shares, strict=True))


def label(values: Mapping[str, Any]) -> str:
    """Write what a point sets in one line, each key as short as it can be told from the others."""
    names = short_names(list(values))
    return ", ".join(f"{names[key]}={written(value)}" for key, value in values.items() if value is not None)


def name(values: Mapping[str, Any]) -> str:
    """Name what a point sets as the candidate of a comparison: policies by what they are, all else by key and value."""
    names = short_names(list(values))
    return ", ".join(
        text(value) if key.startswith("policies.") and not isinstance(value, int | float) and key.count(".") == 1
        else f"{names[key]} {written(value)}"
        for key, value in values.items()
    )  # fmt: skip


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Shorten keys to their last parts, as long as they differ."""
    found = {}
    for key in keys:
        parts = key.split(".")
        shorts = (".".join(parts[-n:]) for n in range(1, len(parts) + 1))
        others = [other for other in keys if other != key]
        found[key] = next(
            (s for s in shorts if not any(other == s or other.endswith(f".{s}") for other in others)), key
        )
    return found


def column(values: Sequence[Any], *, names: bool) -> tuple[list[Any], str]:
    """Turn the values of a swept key into a column of one type.

    Args:
        values: As they were written; None where a point does not set the key.
        names: Whether they are names, even where they look like quantities ("5g").

    Returns:
        Numbers where all values are numbers or quantities (in SI units), texts otherwise; and the unit.
    """
    given = [value for value in values if value is not None]
    if given and all(isinstance(value, bool) for value in given):
        return list(values), ""
    if given and all(isinstance(value, int) and not isinstance(value, bool) for value in given):
        return list(values), ""
    if given and all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        return [None if value is None else float(value) for value in values], ""
    if not names and (found := _quantities(given)) is not None:
        numbers, unit = found
        taken = iter(numbers)
        return [None if value is None else next(taken) for value in values], unit
    return [None if value is None else text(value) for value in values], ""


READERS: Final = (
    (units.seconds, "s"), (units.bytes_, "B"), (units.bytes_per_s, "B/s"), (units.per_s, "1/s"),
    (units.watts, "W"), (units.joules, "J"), (units.joules_per_byte, "J/B"), (units.usd, "USD"),
    (units.usd_per_hour, "USD/h"), (units.usd_per_kwh, "USD/kWh"), (units.usd_per_byte, "USD/B"),
    (units.grams_per_kwh, "g/kWh"), (units.grams, "g"), (units.flop_per_s, "FLOP/s"), (units.celsius, "degC"),
    (units.kelvin_per_watt, "K/W"), (units.joules_per_kelvin, "J/K"), (units.parse_share, ""),
)  # fmt: skip
"""Readers of all kinds of quantities, with the unit of what they answer."""


def _quantities(values: Sequence[Any]) -> tuple[list[float], str] | None:
    """Read all values in the one kind of quantity that they have, if they have one."""
    for reader, unit in READERS:
        try:
            return [float(reader(value)) for value in values], unit
        except UnitError:
            continue
    return None


def text(value: Any) -> str:
    """Write a value as a reader of a table would: a policy by its name, with its parameters in brackets."""
    if isinstance(value, dict) and isinstance(value.get("kind"), str):
        rest = ", ".join(f"{key}: {written(item)}" for key, item in value.items() if key != "kind")
        return f"{value['kind']} ({rest})" if rest else str(value["kind"])
    return written(value)
