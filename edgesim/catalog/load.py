"""Catalogue look-up: packaged YAML read once, on first use, and entries that scenarios add to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from edgesim.catalog.accelerator import Accelerator
from edgesim.catalog.engine import Engine
from edgesim.catalog.figures import GIVEN, Figure, figures_of
from edgesim.catalog.host import Host
from edgesim.catalog.llm import Llm, Mla, Moe, Vision, Window
from edgesim.catalog.mode import PowerMode
from edgesim.catalog.place import Grid, LinkKind, Template
from edgesim.catalog.quantity import si
from edgesim.catalog.thermal import Thermal
from edgesim.catalog.variant import Variant
from edgesim.errors import EdgesimError
from edgesim.registry import UnknownNameError

T = TypeVar("T")

_FILES: Final = {
    "accelerator": "accelerators/*.yaml",
    "engine": "engines.yaml",
    "llm": "llms/*.yaml",
    "variant": "variants.yaml",
    "link kind": "links.yaml",
    "grid": "grids.yaml",
    "workload template": "workloads.yaml",
}
_GROUPS: Final = {"thermal": Thermal, "host": Host}
_PARTS: Final = {"moe": Moe, "mla": Mla, "window": Window, "vision": Vision}
_OF_ONE: Final = frozenset({"title", "aliases", "figures", "teacher"})
"""Keys that an entry does not pass on to those that are `like` it."""

_CALCULATED: Final = frozenset({"name", "title", "figures", "engine", "setting"})
_TEXTS: Final = frozenset({"kind", "architecture", "technique", "of"})
_BY_VARIANTS: Final = frozenset({"sparse", "shared_by", "rank", "beside"})
"""What only variants change in an LLM."""


@cache
def _entries(kind: str) -> dict[str, dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries: dict[str, dict[str, Any]] = {}
    for path in sorted(Path(__file__).parent.glob(_FILES[kind])):
        entries |= yaml.load(path.read_text(encoding="utf-8"), loader) or {}  # noqa: S506 - both are safe loaders
    return entries


def names(kind: str) -> tuple[str, ...]:
    """Everything the catalogue has of a kind: accelerator, engine, llm, variant, link kind, grid, workload template."""
    if kind not in _FILES:
        raise UnknownNameError("catalogue section", kind, tuple(_FILES))
    return tuple(name for name in _entries(kind) if not name.startswith("_"))


def _entry(kind: str, name: str) -> tuple[dict[str, Any], dict[str, Figure]]:
    """Find an entry with everything it inherits: its plain keys, and its figures."""
    entries = _entries(kind)
    if name not in entries:
        raise UnknownNameError(kind, name, names(kind))
    own = entries[name]
    plain, figures = _entry(kind, own["like"]) if "like" in own else ({}, {})
    plain = {key: value for key, value in plain.items() if key not in _OF_ONE}
    return {**plain, **own}, {**figures, **figures_of(own.get("figures", ()), name)}


def described(kind: str, name: str) -> dict[str, Any]:
    """What an entry says of itself beside its figures: title, kind, aliases."""
    return _public(kind, name)[0]


def _public(kind: str, name: str) -> tuple[dict[str, Any], dict[str, Figure]]:
    if name.startswith("_"):
        raise UnknownNameError(kind, name, names(kind))
    return _entry(kind, name)


def _values(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.value for name, figure in figures.items()}


@cache
def accelerator(name: str) -> Accelerator:
    """Look up a packaged accelerator."""
    plain, figures = _public("accelerator", name)
    return _accelerator(name, plain["title"], plain["kind"], plain.get("architecture", ""), figures)


def _accelerator(
    name: str, title: str, kind: str, architecture: str, figures: Mapping[str, Figure]
) -> Accelerator:
    values = _values(figures)
    if "power_modes" in values:
        values["power_modes"] = {mode: PowerMode(**v) for mode, v in values["power_modes"].items()}
    values |= {key: part(**values[key]) for key, part in _GROUPS.items() if key in values}
    return Accelerator(
        name=name, title=title, kind=kind, architecture=architecture, **values, figures=figures
    )


@cache
def engine(name: str) -> Engine:
    """Look up a packaged engine."""
    plain, common = _public("engine", name)
    parts: dict[str, Any] = plain["reaches"]
    return Engine(
        name=name,
        title=plain["title"],
        reaches={key: {**common, **figures_of(part["figures"], name)} for key, part in parts.items()},
        fitted_on={key: tuple(part.get("fitted_on", ())) for key, part in parts.items()},
    )


@cache
def llm(name: str) -> Llm:
    """Look up a packaged LLM."""
    plain, figures = _public("llm", name)
    return _llm(name, plain, figures)


def _llm(name: str, plain: Mapping[str, Any], figures: Mapping[str, Figure]) -> Llm:
    values = {key: plain[key] for key in ("family", "teacher") if key in plain} | _values(figures)
    values |= {
        key: part(**values[key]) for key, part in _PARTS.items() if isinstance(values.get(key), Mapping)
    }
    values |= {key: int(values[key]) for key in ("params", "active_params") if key in values}
    return Llm(name=name, title=str(plain.get("title") or name), **values, figures=figures)


@cache
def variant(name: str, of: str = "") -> Variant:
    """Look up a packaged variant: the one of that name for an LLM, or else the one for any.

    Args:
        name: With an LLM after an @, that one and no other.
        of: LLM that it is for; "" for any.
    """
    full = f"{name}@{of}" if of and f"{name}@{of}" in _entries("variant") else name
    if full not in _entries("variant"):
        raise UnknownNameError("variant", name, names("variant"))
    return _variant(full, *_public("variant", full))


def _variant(name: str, plain: Mapping[str, Any], figures: Mapping[str, Figure]) -> Variant:
    values = _values(figures)
    if "beside" in values:
        values["beside"] = tuple(values["beside"])
    return Variant(
        name=name,
        title=str(plain.get("title") or name),
        technique=plain["technique"],
        of=plain.get("of") or name.partition("@")[2],
        **values,
        figures=figures,
    )


def variants(of: str) -> list[Variant]:
    """All packaged variants that an LLM may have, adapters included."""
    known = dict.fromkeys(name.partition("@")[0] for name in names("variant"))
    return [
        found for found in (variant(name, of) for name in known if _has(name, of)) if found.of in ("", of)
    ]


def _has(name: str, of: str) -> bool:
    return name in _entries("variant") or f"{name}@{of}" in _entries("variant")


@cache
def link(kind: str) -> LinkKind:
    """Look up a kind of link."""
    plain, figures = _public("link kind", kind)
    return LinkKind(name=kind, title=plain["title"], **_values(figures), figures=figures)


@cache
def grid(name: str) -> Grid:
    """Look up an electricity grid."""
    plain, figures = _public("grid", name)
    return Grid(name=name, title=plain["title"], carbon=float(figures["carbon"].value), figures=figures)


@cache
def template(name: str) -> Template:
    """Look up a workload template."""
    plain, figures = _public("workload template", name)
    return Template(name=name, title=plain["title"], workload=plain["workload"], figures=figures)


def _all(kind: str, find: Callable[[str], T]) -> dict[str, T]:
    return {name: find(name) for name in names(kind)}


def engines() -> dict[str, Engine]:
    """All packaged engines by name."""
    return _all("engine", engine)


def accelerators() -> dict[str, Accelerator]:
    """All packaged accelerators by name."""
    return _all("accelerator", accelerator)


def llms() -> dict[str, Llm]:
    """All packaged LLMs by name."""
    return _all("llm", llm)


def family(name: str) -> list[Llm]:
    """All packaged LLMs of a family, the smallest first."""
    return sorted(
        (one for one in llms().values() if one.family == name), key=lambda one: (one.params, one.name)
    )


def _given(
    kind: str, entry: Mapping[str, Any], fields: frozenset[str], base: Mapping[str, Figure]
) -> dict[str, Figure]:
    """Put a scenario's own figures over those of the entry it is like.

    Under `figures` they may stand in groups with source and confidence, as in the catalogue.
    """
    marked = figures_of(entry.get("figures") or (), str(entry.get("like") or kind))
    for key in (*marked, *(key for key in entry if key != "figures")):
        if key not in fields | {"like", "title"} | _TEXTS:
            raise UnknownNameError(f"{kind} figure", key, tuple(sorted(fields)))
    stated = {key: si(key, value) for key, value in entry.items() if key in fields and value is not None}
    return {
        **base,
        **{
            key: dataclasses.replace(figure, value=si(key, figure.value), entry="scenario")
            for key, figure in marked.items()
        },
        **{key: Figure(value, "scenario", GIVEN, "scenario") for key, value in stated.items()},
    }


def accelerator_from(name: str, entry: Mapping[str, Any]) -> Accelerator:
    """Build an accelerator that a scenario defines, `like` a packaged one or from figures alone.

    Quantities are text with a unit, shares text or numbers. Without `like`, what is not given comes from the
    class of its kind (a GPU unless `kind` says otherwise); memory, bandwidth, power and the fp16 peak have to
    be given.
    """
    fields = frozenset(item.name for item in dataclasses.fields(Accelerator)) - _CALCULATED - _TEXTS
    classes = {
        "cpu": "_cpu",
        "npu": "_phone-npu",
        "soc": "_jetson",
        "tpu": "_asic",
        "asic": "_asic",
        "fpga": "_asic",
    }
    like = entry.get("like")
    kind = entry.get("kind") or ("gpu" if like is None else None)
    plain, base = (
        _public("accelerator", like)
        if like
        else _entry("accelerator", classes.get(kind or "", "_datacentre-gpu"))
    )
    figures = {"price": Figure(0.0, "scenario", GIVEN, "scenario")} | _given(
        "accelerator", entry, fields, base
    )
    needed = ("fp16", "memory", "memory_bandwidth", "idle_w", "tdp_w")
    missing = [key for key in needed if key not in figures]
    if "unsupported" in figures and "host" not in figures and any(figures["unsupported"].value.values()):
        missing.append("host")
    if "sram" in figures and "sram_bandwidth" not in figures:
        missing.append("sram_bandwidth")
    if missing:
        raise MissingFiguresError("accelerator", name, tuple(missing))
    title = str(entry.get("title") or name)
    architecture = entry.get("architecture") or plain.get("architecture", "")
    return _accelerator(name, title, kind or plain["kind"], architecture, figures)


def llm_from(name: str, entry: Mapping[str, Any]) -> Llm:
    """Build an LLM that a scenario defines, `like` a packaged one or from architecture numbers alone."""
    fields = frozenset(item.name for item in dataclasses.fields(Llm)) - _CALCULATED - _BY_VARIANTS
    plain, base = _public("llm", entry["like"]) if entry.get("like") else ({}, {})
    figures = _given("llm", entry, fields, base)
    needed = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "params", "context")
    missing = [key for key in needed if key not in figures]
    if missing:
        raise MissingFiguresError("llm", name, tuple(missing))
    for key, part in _PARTS.items():
        if key in figures and isinstance(figures[key].value, Mapping):
            known = tuple(item.name for item in dataclasses.fields(part))
            for word in figures[key].value:
                if word not in known:
                    raise UnknownNameError(f"{key} figure", word, known)
    return _llm(name, {"family": plain.get("family", ""), "title": entry.get("title")}, figures)


def variant_from(name: str, entry: Mapping[str, Any]) -> Variant:
    """Build a variant that a scenario defines, `like` a packaged one or by its technique and figures.

    Raises:
        ValueError: No such technique, or figures that do not go together.
    """
    fields = frozenset(item.name for item in dataclasses.fields(Variant)) - _CALCULATED - _TEXTS
    plain, base = _public("variant", entry["like"]) if entry.get("like") else ({}, {})
    figures = _given("variant", entry, fields, base)
    technique = entry.get("technique", plain.get("technique"))
    missing = () if technique else ("technique",)
    if missing or (technique == "adapter" and "rank" not in figures):
        raise MissingFiguresError("variant", name, missing or ("rank",))
    formats = {variant(known).weights for known in names("variant")} - {""} | {"fp16", "bf16"}
    if "weights" in figures and figures["weights"].value not in formats:
        raise ValueError(f"weights is one of {', '.join(sorted(formats))}")
    of = str(entry.get("like") or "").partition("@")[2]
    own = {key: entry[key] for key in ("title", "technique", "of") if entry.get(key)}
    return _variant(name, {**plain, "title": "", "of": of, **own}, figures)


class MissingFiguresError(EdgesimError):
    """An entry of a scenario that leaves out what nothing else can supply."""

    def __init__(self, kind: str, name: str, missing: tuple[str, ...]) -> None:
        self.kind = kind
        self.name = name
        self.missing = missing
        super().__init__(kind, name, missing)

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} lacks {', '.join(self.missing)}; give them, or start from `like:`"
