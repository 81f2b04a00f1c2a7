"""Reads a scenario's own figures: text with a unit, shares, counts, and groups of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from edgesim.catalog.host import PARTS
from edgesim.errors import UnitError
from edgesim.registry import suggestion

_READERS: Final = {
    "memory": "bytes_",
    "runtime_memory": "bytes_",
    "memory_bandwidth": "bytes_per_s",
    "bandwidth_ceiling": "bytes_per_s",
    "sram": "bytes_",
    "sram_bandwidth": "bytes_per_s",
    "storage_bandwidth": "bytes_per_s",
    "interconnect": "bytes_per_s",
    "host_link": "bytes_per_s",
    "idle_w": "watts",
    "tdp_w": "watts",
    "interconnect_latency": "seconds",
    "switch_time": "seconds",
    "layer_overhead": "seconds",
    "launch_overhead": "seconds",
    "step_overhead": "seconds",
    "step_overhead_per_sequence": "seconds",
    "price": "usd_per_hour",
    **dict.fromkeys(("fp16", "fp8", "int8", "int4", "fp4"), "flop_per_s"),
    **dict.fromkeys(
        (
            "compute_efficiency",
            "memory_efficiency",
            "attention_efficiency",
            "quantised_efficiency",
            "activation_efficiency",
            "parallel_overhead",
            "base_power",
            "memory_power",
            "compute_power",
            "power_cap",
            "prefill_band",
            "decode_band",
            "energy_band",
            "depth",
            "width",
            "relative_quality",
        ),
        "percent",
    ),
}
"""Which reader of `edgesim.units` understands the text of a figure."""

_MODE: Final = {
    **dict.fromkeys(("compute", "memory", "host"), "percent"),
    **dict.fromkeys(("tdp_w", "idle_w"), "watts"),
}
_GROUPS: Final = {"power_modes": _MODE}
"""Figures that are mappings of names to small groups, and the readers of what is in them."""

_OPTIONAL: Final = frozenset({"link"})

_GROUP: Final = {
    "host": {
        "compute": "flop_per_s",
        "memory_bandwidth": "bytes_per_s",
        "power_w": "watts",
        "crossing": "seconds",
        "link": "bytes_per_s",
    },
    "thermal": {
        "resistance": "kelvin_per_watt",
        "capacity": "joules_per_kelvin",
        "throttle_at": "celsius",
        "slowest_at": "celsius",
        "slowest": "percent",
    },
}
"""Figures that are one small group, which has to be complete."""

UNITS: Final = {
    "bytes_": "B",
    "bytes_per_s": "B/s",
    "watts": "W",
    "seconds": "s",
    "usd_per_hour": "USD/h",
    "flop_per_s": "FLOP/s",
    "percent": "share",
}
"""Unit of what a reader answers."""

_OTHER_UNITS: Final = {
    "latency": "s",
    "bandwidth_up": "B/s",
    "bandwidth_down": "B/s",
    "overhead": "B",
    "energy_up": "J/B",
    "energy_down": "J/B",
    "attributional": "J/B",
    "carbon": "g/kWh",
    "context": "tokens",
    "positions": "tokens",
    "vocab": "tokens",
    "quality": "share",
}


def unit_of(name: str) -> str:
    """Unit of a figure by its name; empty for counts, flags and words."""
    reader = _READERS.get(name)
    return UNITS[reader] if reader else _OTHER_UNITS.get(name, "")


_POSITIVE: Final = frozenset(
    {"memory", "memory_bandwidth", "tdp_w", "interconnect", "host_link", "frequency_knee"}
)
_COUNTS: Final = frozenset(
    {
        "layers",
        "hidden",
        "heads",
        "kv_heads",
        "head_dim",
        "ffn",
        "vocab",
        "params",
        "active_params",
        "context",
        "positions",
        "shared_by",
        "rank",
    }
)


def si(name: str, value: Any) -> Any:
    """Read a figure of a scenario into SI, and refuse what no hardware or architecture can have.

    Raises:
        UnitError: Text that is not a quantity of the right kind, or a bare number where a unit is needed.
        ValueError: A number out of range, or an unknown key.
        TypeError: No mapping where one is needed.
    """
    reader = _READERS.get(name)
    if reader is not None:
        value = _read(name, reader, value)
        if value < 0 or (value == 0 and name in _POSITIVE):
            raise ValueError(f"{name} must be {'more than 0' if name in _POSITIVE else 'at least 0'}")
        if name.endswith(("_efficiency", "_knee")) and not 0 < value <= 1:
            raise ValueError(f"{name} must be more than 0 % and at most 100 %")
    elif name == "sparse_gain" and (not isinstance(value, int | float) or not 1 <= value <= 2):
        raise ValueError(f"{name} must be between 1 and 2")
    elif name in _GROUPS:
        value = {key: _group(f"{name}.{key}", part, _GROUPS[name]) for key, part in _mapping(name, value)}
    elif name in _GROUP:
        missing = _GROUP[name].keys() - dict(_mapping(name, value)).keys() - _OPTIONAL
        if missing:
            raise ValueError(f"{name} lacks {', '.join(key for key in _GROUP[name] if key in missing)}")
        value = _group(name, value, _GROUP[name])
    elif name == "unsupported":
        value = _shares(name, value)
    elif name == "frequency_exponent" and (not isinstance(value, int | float) or not 1 <= value <= 5):
        raise ValueError("frequency_exponent must be a number from 1 to 5")
    elif name in _COUNTS and (not isinstance(value, int | float) or value != int(value) or value < 0):
        raise ValueError(f"{name} must be a whole number")
    return value


def _read(name: str, reader: str, value: Any) -> Any:
    from edgesim import units  # noqa: PLC0415 - most scenarios define no hardware; quantities load slowly

    try:
        return getattr(units, reader)(value)
    except UnitError as error:
        if "." not in name:
            raise
        raise ValueError(f"{name}: {error.problems[0].text}") from None


def _group(name: str, value: Any, readers: Mapping[str, str]) -> dict[str, float]:
    """Read a mapping of quantities, all of them more than 0."""
    read = {}
    for key, part in _mapping(name, value):
        if key not in readers:
            help_ = suggestion(key, readers) or f"; known: {', '.join(readers)}"
            raise ValueError(f"{name} has no key {key!r}{help_}")
        read[key] = _read(f"{name}.{key}", readers[key], part)
        if read[key] <= 0:
            raise ValueError(f"{name}.{key} must be more than 0")
    return read


def _shares(name: str, value: Any) -> dict[str, float]:
    """Read which shares of the parts of a step are unsupported; one figure stands for all parts."""
    parts = value if isinstance(value, Mapping) else dict.fromkeys(PARTS, value)
    read = {}
    for key, part in _mapping(name, parts):
        if key not in PARTS:
            help_ = suggestion(key, PARTS) or f"; known: {', '.join(PARTS)}"
            raise ValueError(f"{name} has no part {key!r}{help_}")
        read[key] = _read(f"{name}.{key}", "percent", part)
        if not 0 <= read[key] <= 1:
            raise ValueError(f"{name}.{key} must be at least 0 % and at most 100 %")
    return read


def _mapping(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of names to figures")
    return ((str(key), part) for key, part in value.items())
