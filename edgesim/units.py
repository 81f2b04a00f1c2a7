"""Quantities with units: text such as "20 ms" or "1 Gbps" to plain SI numbers, and numbers back to text.

Functions named after what they return read one quantity (`seconds("20 ms") == 0.02`). The annotated types do
the same inside pydantic models and write the value back without loss. The `format_` functions round it for
people.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError
from quantiphy import QuantiPhyError, Quantity, UnitConversion

from edgesim.errors import Problem, UnitError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Dimension:
    """A kind of quantity.

    Attributes:
        name: What it is, with its article.
        unit: The unit we count it in.
        example: How to write one.
        others: Other units that may be written, and what one of them is worth in `unit`.
    """

    name: str
    unit: str
    example: str
    others: tuple[tuple[str, float], ...] = ()


_SECONDS_IN: Final = (("min minute minutes", 60.0), ("h hour hours", 3600.0), ("d day days", 86400.0))

TIME: Final = Dimension("a time", "s", "10 ms", (("second seconds", 1.0), *_SECONDS_IN))
SIZE: Final = Dimension("a size", "B", "16 GiB", (("byte bytes", 1.0), ("bit bits", 1 / 8)))
BANDWIDTH: Final = Dimension("a bandwidth", "B/s", "100 Mbps", (("byte/s", 1.0), ("bit/s bps b/s", 1 / 8)))
RATE: Final = Dimension(
    "a rate",
    "per_s",
    "6/s",
    (("Hz rps", 1.0), ("per_min rpm", 1 / 60), ("per_h", 1 / 3600), ("per_d", 1 / 86400)),
)
POWER: Final = Dimension("a power", "W", "65 W", (("watt watts", 1.0),))
ENERGY: Final = Dimension("an energy", "J", "5 J", (("Wh", 3600.0),))
TRANSFER_ENERGY: Final = Dimension(
    "an energy per amount of data", "J/B", "0.3 uJ/bit", (("J/byte", 1.0), ("J/bit", 8.0))
)
MONEY: Final = Dimension("an amount of money", "USD", "0.01 USD")
HOURLY_PRICE: Final = Dimension("a price per hour", "USD/h", "2.21 $/h", (("USD/hour", 1.0),))
ENERGY_PRICE: Final = Dimension("a price of electricity", "USD/kWh", "0.12 $/kWh", (("USD/MWh", 1e-3),))
TRANSFER_PRICE: Final = Dimension(
    "a price per amount of data",
    "USD/B",
    "0.09 $/GB",
    (("USD/GB", 1e-9), ("USD/TB", 1e-12), ("USD/GiB", 2.0**-30)),
)
INTENSITY: Final = Dimension(
    "a carbon intensity", "g/kWh", "400 g/kWh", (("gCO2/kWh gCO2e/kWh gCO2eq/kWh kgCO2/MWh kg/MWh", 1.0),)
)
MASS: Final = Dimension("a mass of CO2", "g", "10 g", (("gCO2 gCO2e gCO2eq", 1.0),))
COMPUTE: Final = Dimension("a compute rate", "FLOP/s", "312 TFLOP/s", (("FLOPS OP/s OPS", 1.0),))
TEMPERATURE: Final = Dimension("a temperature", "degC", "25 degC", (("°C", 1.0),))
THERMAL_RESISTANCE: Final = Dimension("a thermal resistance", "K/W", "8 K/W", (("degC/W °C/W", 1.0),))
HEAT_CAPACITY: Final = Dimension("a heat capacity", "J/K", "60 J/K", (("J/degC J/°C", 1.0),))
SHARE: Final = Dimension("a share", "%", "90 %")

_DIMENSIONS: Final = (
    TIME, SIZE, BANDWIDTH, RATE, POWER, ENERGY, TRANSFER_ENERGY, MONEY, HOURLY_PRICE, ENERGY_PRICE,
    TRANSFER_PRICE, INTENSITY, MASS, COMPUTE, TEMPERATURE, THERMAL_RESISTANCE, HEAT_CAPACITY,
)  # fmt: skip


class _Quantity(Quantity):
    """QuantiPhy with our preferences, which leaves those of other users of the package alone."""


# Units that begin like an SI prefix (min is not milli-in, day not deci-ay) must be named, or they are split.
_Quantity.set_prefs(
    known_units="min minute minutes h hour hours d day days per_s per_min per_h per_d rps rpm "
    "kg/MWh kgCO2/MWh byte bytes bit bits byte/s K/W degC degC/W"
)
for _dimension in _DIMENSIONS:
    for _names, _worth in _dimension.others:
        UnitConversion(_dimension.unit, _names, _worth)

_NUMBER: Final = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*)", re.DOTALL)
_MILLI: Final = re.compile(r"m((?:i?[bB]|bits?|bytes?)(?:ps|\s*/\s*s| per s(?:econd)?)?)")
"""Data in thousandths of a bit or byte, which nobody means."""
_DOLLARS: Final = re.compile(r"([-+]?)\$\s*([\d.]\S*?)(\s*/.*)?")
_PER: Final = re.compile(
    r"(?:1|req|requests?|queries|users?)?\s*(?:/|per\s)\s*(s|second|min|minute|h|hour|d|day)"
)


def parse(text: object, dimension: Dimension) -> float:
    """Read a quantity in the unit of its dimension.

    Raises:
        UnitError: It is no number with a fitting unit; the sentence holds an example.
    """
    advice = f"write e.g. '{dimension.example}'"
    written = shown(text)
    if text is None:
        raise _unit_error(f"{dimension.name} is missing; {advice}")
    if isinstance(text, int | float) and not isinstance(text, bool):
        raise _unit_error(f"{written} has no unit; {advice}")
    match = _NUMBER.fullmatch(_plain(text)) if isinstance(text, str) else None
    if match is None:
        raise _unit_error(f"{written} is not {dimension.name}; {advice}")
    number, unit = match.groups()
    if not unit:
        raise _unit_error(f"{written} has no unit; {advice}")
    if dimension is SIZE and re.fullmatch(r"[kKMGTP]i?b", unit):
        raise _unit_error(f"{written} could mean bits or bytes; write '{number} {unit[:-1]}B' for bytes")
    if dimension in (SIZE, BANDWIDTH) and (milli := _MILLI.fullmatch(unit)):
        raise _unit_error(f"{written} counts in thousandths; did you mean '{number} M{milli[1]}'?")
    try:
        value = float(_Quantity(f"{number} {_unit(unit, dimension)}", scale=dimension.unit, binary=True))
    except QuantiPhyError:
        raise _unit_error(f"{written} is not {dimension.name}; {advice}") from None
    if not math.isfinite(value):
        raise _unit_error(f"{written} is too large; {advice}")
    return value


def parse_share(text: object) -> float:
    """Read a share of 1: "90 %", or a bare number from 0 to 1."""
    written = shown(text)
    if isinstance(text, int | float) and not isinstance(text, bool):
        if 0 <= text <= 1:
            return float(text)
        raise _unit_error(f"{written} has no unit; write e.g. '90 %', or a number from 0 to 1")
    match = _NUMBER.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or match[2] not in ("%", "percent"):
        raise _unit_error(f"{written} is not a share; write e.g. '90 %'")
    value = float(Decimal(match[1]) / 100)
    if not math.isfinite(value):
        raise _unit_error(f"{written} is too large; write e.g. '90 %'")
    return value


def shown(value: object) -> str:
    """Write a value as the user did, for messages."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return repr(value)


def _plain(text: str) -> str:
    """Bring currency signs and spaces into the one form that the number's pattern knows."""
    text = text.strip()
    dollars = _DOLLARS.fullmatch(text)
    if dollars:
        text = f"{dollars[1]}{dollars[2]} USD{(dollars[3] or '').strip()}"
    return text.replace("$", "USD").replace("US dollars", "USD")


def _unit(unit: str, dimension: Dimension) -> str:
    """Write a rate's unit as one word, which QuantiPhy can read."""
    unit = " ".join(unit.split()).replace(" /", "/").replace("/ ", "/")
    per = _PER.fullmatch(unit)
    if per and dimension is RATE:
        period = {"second": "s", "minute": "min", "hour": "h", "day": "d"}.get(per[1], per[1])
        return f"per_{period}"
    return unit.replace(" per ", "/")


def _unit_error(text: str) -> UnitError:
    return UnitError([Problem((), text)])


def seconds(text: object) -> float:
    """Read a time [s]."""
    return parse(text, TIME)


def bytes_(text: object) -> int:
    """Read an amount of data, to the nearest byte [B]."""
    value = parse(text, SIZE)
    if 0 < abs(value) < 1:
        raise _unit_error(f"{shown(text)} is less than a byte; write e.g. '{SIZE.example}'")
    return round(value)


def bytes_per_s(text: object) -> float:
    """Read a bandwidth [B/s]."""
    return parse(text, BANDWIDTH)


def per_s(text: object) -> float:
    """Read a rate [1/s]."""
    return parse(text, RATE)


def watts(text: object) -> float:
    """Read a power [W]."""
    return parse(text, POWER)


def joules(text: object) -> float:
    """Read an energy [J]."""
    return parse(text, ENERGY)


def joules_per_byte(text: object) -> float:
    """Read the energy of moving data [J/B]."""
    return parse(text, TRANSFER_ENERGY)


def usd(text: object) -> float:
    """Read an amount of money [USD]."""
    return parse(text, MONEY)


def usd_per_hour(text: object) -> float:
    """Read a price per hour [USD/h]."""
    return parse(text, HOURLY_PRICE)


def usd_per_kwh(text: object) -> float:
    """Read a price of electricity [USD/kWh]."""
    return parse(text, ENERGY_PRICE)


def usd_per_byte(text: object) -> float:
    """Read a price of moving data [USD/B]."""
    return parse(text, TRANSFER_PRICE)


def grams_per_kwh(text: object) -> float:
    """Read a carbon intensity [gCO2/kWh]."""
    return parse(text, INTENSITY)


def grams(text: object) -> float:
    """Read a mass of CO2 [g]."""
    return parse(text, MASS)


def flop_per_s(text: object) -> float:
    """Read a compute rate [FLOP/s]."""
    return parse(text, COMPUTE)


def celsius(text: object) -> float:
    """Read a temperature [degC]."""
    return parse(text, TEMPERATURE)


def kelvin_per_watt(text: object) -> float:
    """Read a thermal resistance [K/W]."""
    return parse(text, THERMAL_RESISTANCE)


def joules_per_kelvin(text: object) -> float:
    """Read a heat capacity [J/K]."""
    return parse(text, HEAT_CAPACITY)


def percent(text: object) -> float:
    """Read a share, as a fraction of 1."""
    return parse_share(text)


def exact(value: float, unit: str) -> str:
    """Write a value with its unit so that reading it back gives the same bits."""
    return f"{repr(value).removesuffix('.0')}{'' if unit.startswith('/') else ' '}{unit}"


def exact_share(value: float) -> str:
    """Write a share in percent so that reading it back gives the same bits."""
    return f"{(Decimal(repr(value)) * 100).normalize():f} %"


MOST_BYTES_PER_S: Final = 1e15
"""Largest bandwidth that is read [B/s]: the network counts whole millibytes a second in 64 bits."""


def _checked(
    read: Callable[[object], float], dimension: Dimension, least: float, *, strict: bool, text: object
) -> float:
    """Read a quantity for pydantic, which collects errors only in its own form."""
    try:
        value = read(text)
    except UnitError as error:
        raise PydanticCustomError(
            "quantity_value_error", "{text}", {"text": error.problems[0].text}
        ) from None
    if value < least or (strict and value == least):
        wrong = f"{shown(text)} is too small; {dimension.name} must be more than {least:g} here"
        if value < 0 == least:
            wrong = f"{shown(text)} is negative, which {dimension.name} cannot be"
        raise PydanticCustomError("quantity_value_error", "{text}", {"text": wrong})
    if dimension is BANDWIDTH and value > MOST_BYTES_PER_S:
        wrong = f"{shown(text)} is too large; {dimension.name} may be up to 1 PB/s"
        raise PydanticCustomError("quantity_value_error", "{text}", {"text": wrong})
    return value


def _annotations(
    read: Callable[[object], float], dimension: Dimension, *, least: float = 0.0, strict: bool = False
) -> tuple[BeforeValidator, PlainSerializer, WithJsonSchema]:
    """Describe to pydantic how a quantity is read, written and documented."""

    def check(text: object) -> float:
        return _checked(read, dimension, least, strict=strict, text=text)

    schema: dict[str, object] = {"type": "string", "examples": [dimension.example]}
    if dimension is SHARE:
        schema = {"anyOf": [{"type": "string"}, {"type": "number"}], "examples": [dimension.example]}
        return BeforeValidator(check), PlainSerializer(exact_share), WithJsonSchema(schema)
    unit = {"per_s": "/s"}.get(dimension.unit, dimension.unit)
    return BeforeValidator(check), PlainSerializer(partial(exact, unit=unit)), WithJsonSchema(schema)


Seconds = Annotated[float, *_annotations(seconds, TIME)]
PositiveSeconds = Annotated[float, *_annotations(seconds, TIME, strict=True)]
Bytes = Annotated[int, *_annotations(bytes_, SIZE)]
BytesPerSecond = Annotated[float, *_annotations(bytes_per_s, BANDWIDTH, strict=True)]
Rate = Annotated[float, *_annotations(per_s, RATE)]
PositiveRate = Annotated[float, *_annotations(per_s, RATE, strict=True)]
Watts = Annotated[float, *_annotations(watts, POWER)]
Joules = Annotated[float, *_annotations(joules, ENERGY)]
JoulesPerByte = Annotated[float, *_annotations(joules_per_byte, TRANSFER_ENERGY)]
Usd = Annotated[float, *_annotations(usd, MONEY)]
UsdPerHour = Annotated[float, *_annotations(usd_per_hour, HOURLY_PRICE)]
UsdPerKwh = Annotated[float, *_annotations(usd_per_kwh, ENERGY_PRICE)]
UsdPerByte = Annotated[float, *_annotations(usd_per_byte, TRANSFER_PRICE)]
GramsPerKwh = Annotated[float, *_annotations(grams_per_kwh, INTENSITY)]
Celsius = Annotated[float, *_annotations(celsius, TEMPERATURE, least=-273.15, strict=True)]
KelvinPerWatt = Annotated[float, *_annotations(kelvin_per_watt, THERMAL_RESISTANCE, strict=True)]
JoulesPerKelvin = Annotated[float, *_annotations(joules_per_kelvin, HEAT_CAPACITY, strict=True)]
Share = Annotated[float, *_annotations(parse_share, SHARE)]
SignedShare = Annotated[float, *_annotations(parse_share, SHARE, least=-math.inf)]


def _scaled(value: float, steps: Sequence[tuple[float, str]]) -> str:
    """Write a value with three significant digits in the largest unit that keeps it at 1 or more."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {next(unit for size, unit in steps if size == 1)}"
    size, unit = next((step for step in steps if abs(value) >= step[0] * 0.9995), steps[-1])
    number = value / size
    digits = max(0, 2 - math.floor(math.log10(abs(number)))) if number else 0
    text = f"{number:.{min(digits, 6)}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


_PREFIXES: Final = "PTGMk munp"


def _prefixed(unit: str, *, least: int = -12) -> tuple[tuple[float, str], ...]:
    """List a unit with its prefixes from 10^15 down to 10^least."""
    powers = range(15, least - 1, -3)
    return tuple(
        (10.0**power, f"{prefix.strip()}{unit}") for power, prefix in zip(powers, _PREFIXES, strict=False)
    )


_TIMES: Final = (
    (86400.0, "d"), (3600.0, "h"), (60.0, "min"),
    (1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"), (1e-12, "ps"),
)  # fmt: skip
_BYTES: Final = _prefixed("B", least=0)
_BITS_PER_S: Final = _prefixed("bit/s", least=0)
_WATTS: Final = _prefixed("W", least=-9)
_JOULES: Final = _prefixed("J", least=-9)


def format_seconds(value: float) -> str:
    """Write a time for people: "12.3 ms"."""
    return _scaled(value, _TIMES)


def format_bytes(value: float) -> str:
    """Write an amount of data (disk, weights, traffic) for people: "16.1 GB"."""
    return _scaled(value, _BYTES)


def format_gigabytes(value: float) -> str:
    """Write an amount of memory as vendors print it, one decimal: "24.0 GB"."""
    return f"{value / 1e9:.1f} GB"


def format_bandwidth(value: float) -> str:
    """Write a bandwidth given in B/s for people, who count links in bits: "1 Gbit/s"."""
    return _scaled(value * 8, _BITS_PER_S)


def format_watts(value: float) -> str:
    """Write a power for people: "350 W"."""
    return _scaled(value, _WATTS)


def format_joules(value: float) -> str:
    """Write an energy for people: "1.2 kJ"."""
    return _scaled(value, _JOULES)


def format_usd(value: float) -> str:
    """Write an amount of money for people: "$1.25", "$0.00213"."""
    sign = "-" if value < 0 else ""
    size = abs(value)
    if size >= 1 or value == 0:
        return f"{sign}${size:,.2f}"
    if size < 1e-9:
        return f"{sign}${size:.3g}"
    written = f"{size:.{2 - math.floor(math.log10(size))}f}"  # three digits, without an exponent
    return f"{sign}${written.rstrip('0')}"


def format_grams(value: float) -> str:
    """Write a mass of CO2 for people: "1.2 kg"."""
    return _scaled(value, _prefixed("g", least=-9)[3:])


def format_percent(value: float) -> str:
    """Write a share of 1 for people: "90 %"."""
    return f"{percents(value)} %"


def percents(value: float, sign: str = "") -> str:
    """Write a share of 1 as a number of percent, with three digits or all before the point; what rounding left is 0.

    Args:
        value: The share.
        sign: "+" for a sign in any case.
    """
    number = value * 100
    if abs(number) < 1e-9:
        return "0"
    return f"{number:{sign}.3g}" if abs(number) < 999.5 else f"{number:{sign},.0f}"


QUANTITIES: Final = {"s": format_seconds, "J": format_joules, "USD": format_usd, "gCO2": format_grams}
"""Units whose size is chosen to read well, and what writes them."""


def format_quantity(value: float, unit: str) -> str:
    """Write a number with its unit for people."""
    written = QUANTITIES.get(unit)
    return written(value) if written else f"{value:.4g} {unit}".rstrip()
