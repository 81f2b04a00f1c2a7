"""The catalogue for browsers: lists to choose from, everything about one entry, and a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgesim import catalog, units
from edgesim.catalog.find import called
from edgesim.catalog.quantity import unit_of
from edgesim.costs import llm as work
from edgesim.costs.memory import fit
from edgesim.registry import UnknownNameError
from edgesim.report import variants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

KINDS: Final = ("accelerator", "engine", "llm", "variant", "link kind", "grid", "workload template")

FORMATS: Final = ("bf16", "fp8", "int8", "int4")
"""Number formats of weights, the most precise first."""

_FIND: Final[Mapping[str, Callable[[str], Any]]] = {
    "accelerator": catalog.accelerator,
    "engine": catalog.engine,
    "llm": catalog.llm,
    "variant": catalog.variant,
    "link kind": catalog.link,
    "grid": catalog.grid,
    "workload template": catalog.template,
}
_WORST_FIRST: Final = ("unverified", "datasheet", "fitted", "measured")


def entry(kind: str, name: str) -> Any:
    """Look up an entry of any kind."""
    return _FIND[kind](name)


def kind_of(name: str) -> str:
    """Kind of the entry of a name; of several, the first.

    Raises:
        UnknownNameError: The catalogue has no such entry.
    """
    for kind in KINDS:
        if name in catalog.names(kind):
            return kind
    everything = [each for kind in KINDS for each in catalog.names(kind)]
    try:
        meant = list(dict.fromkeys(row[1] for row in found(name)))[:6]
    except UnknownNameError:
        meant = []
    known = (
        f"`edgesim catalog find {name}` knows {', '.join(meant)}; `edgesim catalog list` lists all"
        if meant
        else ""
    )
    raise UnknownNameError("catalogue entry", name, everything, known)


def kinds(kind: str | None, filters: Filters) -> tuple[str, ...]:
    """Which kinds to list: the one that is named, or all that the filters can be about.

    Raises:
        UnknownNameError: The kind, type, family, mark or entry does not exist.
    """
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of entry", kind, KINDS)
    filters.check()
    if kind is not None:
        return (kind,)
    about = set(KINDS)
    if filters.memory is not None:
        about &= {"accelerator", "llm"}
    if filters.type is not None:
        about &= {"accelerator"}
    if filters.family is not None:
        about &= {"llm"}
    if filters.fits is not None:
        about &= {"accelerator", "llm"} - {kind_of(filters.fits)}
    return tuple(each for each in KINDS if each in about)


def trust(kind: str, item: Any) -> str:
    """How far the figures that decide about an entry can be trusted.

    Those are the efficiencies of an accelerator ("class fit" if they were fitted for its class, not for itself),
    the score of an LLM, and of anything else the figure that is trusted least.
    """
    if kind == "accelerator":
        own = {item.figures[key].entry for key in ("compute_efficiency", "memory_efficiency")} <= {item.name}
        return item.confidence if own or item.confidence != "fitted" else "class fit"
    if kind == "llm":
        return item.figures["quality"].confidence if "quality" in item.figures else "-"
    marks = {figure.confidence for figure in item.figures.values()}
    return next((mark for mark in _WORST_FIRST if mark in marks), "-")


@dataclass(frozen=True)
class Column:
    """A column of a list: its head, the plain value, and how to write that."""

    head: str
    value: Callable[[Any], Any]
    write: Callable[[Any], str] = str


def _tera(value: float) -> str:
    return f"{value / 1e12:,.0f}" if value >= 1e12 else f"{value / 1e12:.2g}" if value else "-"


def _price(value: float) -> str:
    return f"{value:.2f}" if value else "-"


def _count(value: float) -> str:
    return f"{value / 1e9:.3g} B" if value >= 1e9 else f"{value / 1e6:.3g} M"


def _size(counts: tuple[float, float]) -> str:
    whole, active = counts
    return f"{_count(whole)} ({_count(active)})" if active else _count(whole)


def _tokens(value: float) -> str:
    return f"{value / 1024:.0f} Ki" if value >= 1024 else f"{value}"


def _per_second(value: float) -> str:
    return units.format_bytes(value) + "/s"


def _score(llm: catalog.Llm) -> float | None:
    return llm.quality if "quality" in llm.figures else None


def _share(variant: catalog.Variant, field: str) -> float:
    """Bytes or FLOPs of a variant over those of the LLM, or of an example."""
    plain = catalog.llm(variant.of or variants.EXAMPLE)
    whole = {
        "weights_bytes": work.weights_bytes(plain),
        "flops": work.token_flops(plain) + work.head_flops(plain),
    }
    return float(getattr(variants.effect(plain, variant), field) / whole[field])


COLUMNS: Final[Mapping[str, Sequence[Column]]] = {
    "accelerator": (
        Column("type", lambda a: a.kind),
        Column("memory", lambda a: a.memory, units.format_bytes),
        Column("bandwidth", lambda a: a.memory_bandwidth, _per_second),
        Column("TFLOP/s", lambda a: a.fp16 or a.int8, _tera),
        Column("TDP", lambda a: a.tdp_w, units.format_watts),
        Column("USD/h", lambda a: a.price, _price),
    ),
    "llm": (
        Column("size (active)", lambda m: (m.params, m.active_params), _size),
        Column("context", lambda m: m.context, _tokens),
        Column("weights", work.weights_bytes, units.format_bytes),
        Column("KV/token", work.kv_bytes_per_token, lambda v: units.format_bytes(v) if v else "-"),
        Column("quality", _score, lambda v: "-" if v is None else f"{v:.3f}"),
    ),
    "variant": (
        Column("technique", lambda v: v.technique),
        Column("weights", lambda v: _share(v, "weights_bytes"), "{:.2f} x".format),
        Column("FLOPs", lambda v: _share(v, "flops"), "{:.2f} x".format),
        Column("decode by bytes", lambda v: variants.example(v).decode, "{:.2f} x".format),
        Column("quality", lambda v: v.relative_quality, "{:.3f} x".format),
    ),
    "link kind": (
        Column("latency", lambda k: k.latency, units.format_seconds),
        Column("up", lambda k: k.bandwidth_up, units.format_bandwidth),
        Column("down", lambda k: k.bandwidth_down, units.format_bandwidth),
        Column("shared", lambda k: k.shared, lambda v: "yes" if v else "no"),
    ),
    "engine": (
        Column("what it is", lambda e: e.title),
        Column("knows", lambda e: list(e.reaches), ", ".join),
    ),
    "grid": (Column("gCO2/kWh", lambda g: g.carbon, "{:g}".format),),
    "workload template": (Column("what it is", lambda t: t.title),),
}
"""What helps to choose among the entries of a kind."""


@dataclass(frozen=True)
class Filters:
    """Which entries are wanted.

    Attributes:
        memory: Accelerators with at least so much, LLMs whose weights take at most so much [B].
        type: Accelerators of this kind.
        family: LLMs of this family.
        confidence: Entries whose `trust` is this.
        fits: LLMs that fit on this accelerator, or accelerators that hold this LLM.
    """

    memory: float | None = None
    type: str | None = None
    family: str | None = None
    confidence: str | None = None
    fits: str | None = None

    def check(self) -> None:
        """Refuse words that no entry bears."""
        if self.type is not None:
            _known("type", self.type, {one.kind for one in catalog.accelerators().values()})
        if self.family is not None:
            _known("family", self.family, {one.family for one in catalog.llms().values()})
        if self.confidence is not None:
            _known("mark", self.confidence, {*catalog.CONFIDENCE, "class fit"})
        if self.fits is not None:
            kind_of(self.fits)

    def takes(self, kind: str, item: Any) -> bool:
        """Whether an entry is wanted."""
        if self.memory is not None and not self._room(kind, item):
            return False
        if self.type is not None and (kind != "accelerator" or item.kind != self.type):
            return False
        if self.family is not None and (kind != "llm" or item.family != self.family):
            return False
        if self.confidence is not None and trust(kind, item) != self.confidence:
            return False
        return self.fits is None or self.format_for(kind, item) is not None

    def _room(self, kind: str, item: Any) -> bool:
        assert self.memory is not None
        if kind == "accelerator":
            return bool(item.memory >= self.memory)
        return kind == "llm" and work.weights_bytes(item) <= self.memory

    def format_for(self, kind: str, item: Any) -> str | None:
        """Most precise format of the weights in which one sequence of the LLM fits on one accelerator."""
        assert self.fits is not None
        other = kind_of(self.fits)
        if {kind, other} != {"accelerator", "llm"}:
            return None
        accelerator, llm = (
            (item, entry(other, self.fits)) if kind == "accelerator" else (entry(other, self.fits), item)
        )
        for weights in FORMATS:
            if work.weights_bytes(llm, weights) < accelerator.memory and (
                fit(accelerator, llm, weights=weights, max_num_seqs=1, suggest=False).fits
            ):
                return weights
        return None


def _known(what: str, word: str, words: set[str]) -> None:
    if word not in words:
        raise UnknownNameError(what, word, sorted(words))


def listed(kind: str, filters: Filters) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Answer head and rows of a list."""
    columns = COLUMNS[kind]
    if filters.fits is not None:
        columns = [column for column in columns if column.head != "KV/token"]
    head = [kind, *(column.head for column in columns), "trust"]
    if filters.fits is not None:
        head.append("in")
    rows = []
    for item in _wanted(kind, filters):
        cells = [item.name, *(column.write(column.value(item)) for column in columns), trust(kind, item)]
        if filters.fits is not None:
            cells.append(filters.format_for(kind, item) or "")
        rows.append(tuple(cells))
    return tuple(head), rows


def _wanted(kind: str, filters: Filters) -> Iterator[Any]:
    for name in catalog.names(kind):
        item = entry(kind, name)
        if filters.takes(kind, item):
            yield item


def listed_plain(kind: str, filters: Filters) -> list[dict[str, Any]]:
    """Answer the entries of a list with their figures as plain SI numbers."""
    found = []
    for item in _wanted(kind, filters):
        plain = {"kind": kind, "name": item.name, "title": item.title, "trust": trust(kind, item)}
        plain |= {name: figure.value for name, figure in item.figures.items()}
        if kind == "accelerator":
            plain["type"] = item.kind
        if kind == "variant":
            plain |= {"technique": item.technique, "of": item.of or None}
        if kind == "llm":
            plain |= {"family": item.family, "teacher": item.teacher or None} | _works_out(item)
        if filters.fits is not None:
            plain["fits_in"] = filters.format_for(kind, item)
        found.append(plain)
    return found


def _part(key: str, inner: Any) -> str:
    """A part of a figure, such as one of several power modes."""
    if isinstance(inner, dict):
        return f"{key} ({written(key, inner)})" if inner else key
    return f"{key} {inner:g}"


def written(name: str, value: Any) -> str:
    """Write the value of a figure with its unit."""
    unit = unit_of(name.rpartition(" ")[2])
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(_part(str(key), inner) for key, inner in value.items()) or "none"
    if not isinstance(value, int | float):
        return "none" if value is None else str(value)
    writers: dict[str, Callable[[float], str]] = {
        "B": units.format_bytes,
        "B/s": _per_second,
        "s": units.format_seconds,
        "W": units.format_watts,
        "share": units.format_percent,
        "J/B": lambda v: f"{units.format_joules(v)}/B",
        "FLOP/s": lambda v: f"{v / 1e12:g} TFLOP/s",
    }
    if unit in writers:
        return writers[unit](value) if value else f"0 {unit}".removesuffix(" share")
    plain = f"{value:,.0f}" if value == int(value) else f"{value:g}"
    return f"{plain} {unit}".strip()


Rows = list[tuple[str, ...]]


def figures(name: str) -> tuple[Rows, Rows]:
    """All figures of an entry, and their sources.

    Returns:
        Rows of name, value with unit, mark and number of the source; rows of that number, the source, and the
        entry that states it, if it is not this one.
    """
    item = entry(kind_of(name), name)
    numbers: dict[tuple[str, str], str] = {}
    rows = [
        (
            field,
            written(field, f.value),
            f.confidence,
            numbers.setdefault((f.source, f.entry), f"{len(numbers) + 1}"),
        )
        for field, f in item.figures.items()
    ]
    sources = [(number, source, "" if of == name else of) for (source, of), number in numbers.items()]
    return list(rows), list(sources)


def about(name: str) -> list[tuple[str, str]]:
    """What else is to be said of an entry: other names, family, what its figures come to."""
    kind = kind_of(name)
    item = entry(kind, name)
    said = [("is a", item.kind if kind == "accelerator" else kind)]
    said += [("also called", ", ".join(aliases))] if (aliases := called(kind, name)[2:]) else []
    if kind == "llm":
        said += [("made from", item.teacher)] if item.teacher else []
        students = [_sibling(one) for one in catalog.llms().values() if one.teacher == name]
        said += [("students", ", ".join(students))] if students else []
        said += (
            [("family", ", ".join(_sibling(one) for one in catalog.family(item.family)))]
            if item.family
            else []
        )
        sizes = ", ".join(f"{units.format_bytes(work.weights_bytes(item, w))} in {w}" for w in FORMATS)
        said.append(("weights", sizes))
        flops = work.token_flops(item) + work.head_flops(item)
        said.append(
            (
                "a token",
                f"{flops / 1e9:.3g} GFLOP and {units.format_bytes(work.kv_bytes_per_token(item))} of KV cache",
            )
        )
    if kind == "variant":
        llm = item.of or variants.EXAMPLE
        made = variants.row(variants.example(item))
        said += [(f"{llm}: {head}", text) for head, text in zip(variants.HEAD[2:-1], made[2:-1], strict=True)]
    return said


def varied(name: str) -> Rows:
    """Rows under `variants.HEAD`: what the variants of an LLM come to; none for other entries."""
    return (
        [variants.row(one) for one in variants.effects(entry("llm", name))] if kind_of(name) == "llm" else []
    )


def _sibling(llm: catalog.Llm) -> str:
    return f"{llm.name} ({llm.quality:g})" if "quality" in llm.figures else llm.name


def _works_out(llm: catalog.Llm) -> dict[str, Any]:
    """What an LLM's figures come to, as plain numbers."""
    return {
        "weights_bytes": {w: work.weights_bytes(llm, w) for w in FORMATS},
        "kv_bytes_per_token": work.kv_bytes_per_token(llm),
        "flops_per_token": work.token_flops(llm) + work.head_flops(llm),
    }


def shown_plain(name: str) -> dict[str, Any]:
    """Everything about an entry as plain SI numbers, each figure with unit, mark, source and where it stands."""
    kind = kind_of(name)
    item = entry(kind, name)
    plain: dict[str, Any] = {
        "kind": kind,
        "name": name,
        "title": item.title,
        "aliases": called(kind, name)[2:],
    }
    if kind == "llm":
        family = [one.name for one in catalog.family(item.family)]
        plain |= {
            "family": item.family,
            "siblings": family,
            "teacher": item.teacher or None,
            "students": [one.name for one in catalog.llms().values() if one.teacher == name],
            "variants": [variants.plain(one) for one in variants.effects(item)],
            **_works_out(item),
        }
    if kind == "variant":
        plain |= {"technique": item.technique, "of": item.of or None}
        plain |= {"example": {"llm": item.of or variants.EXAMPLE, **variants.plain(variants.example(item))}}
    plain["figures"] = {
        field: {
            "value": f.value,
            "unit": unit_of(field.rpartition(" ")[2]),
            "confidence": f.confidence,
            "source": f.source,
            "entry": f.entry,
        }
        for field, f in item.figures.items()
    }
    return plain


def found(text: str) -> list[tuple[str, str, str]]:
    """Entries that are called so, exactly or in part: kind, name, title.

    Raises:
        UnknownNameError: Nothing is.
    """
    words = text.lower().split()
    rows = []
    for kind in KINDS:
        exact = catalog.named(kind, text) if kind in {"accelerator", "llm"} else None
        names = [exact] if exact else []
        names += [
            name
            for name in catalog.names(kind)
            if name != exact and all(word in " ".join(called(kind, name)).lower() for word in words)
        ]
        rows += [(kind, name, entry(kind, name).title) for name in names]
    if not rows:
        raise UnknownNameError(
            "catalogue entry", text, [name for kind in KINDS for name in catalog.names(kind)]
        )
    return rows
