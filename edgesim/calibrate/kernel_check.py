"""Whether tables of kernel times can be those of an LLM on an accelerator: all kernels there, none beyond the peaks.

A product of m tokens with a matrix takes at least 2 m times its parameters over the peak rate, and reads its bytes
once; what fits into a cache may come from there. Attention compares and reads likewise. Large products of one LLM on
one machine reach about the same share of what these bounds allow, so that shares far apart tell of another LLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgesim.calibrate.table import shortened
from edgesim.costs import llm as work
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.calibrate.table import Table
    from edgesim.catalog import Accelerator, Llm

FASTER: Final = 0.9
"""A kernel may take this much of its bound: boost clocks are above those that peaks are stated for."""

CACHED: Final = 256e6
"""What is larger lies in no cache [B]; the largest second-level caches of 2025 hold half of it."""

FROM_CACHE: Final = 4.0
"""How much faster than memory a cache may be."""

LARGE: Final = 100e6
"""Matrices whose kernels are held against each other [B]."""

APART: Final = 1.35
"""Shares of the bounds that large products may be apart; they are 1.05 apart on RTX 4090 and RTX PRO 6000."""

LEAST_SHARE: Final = 0.3
"""Share of the bounds that the best large product reaches at least; 0.8 to 0.95 is usual."""

SPLIT: Final = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
"""Kernels that engines may run in parts."""


@dataclass(frozen=True)
class Roof:
    """The peaks of what ran the kernels, all accelerators together [FLOP/s, B/s], and bytes of a weight."""

    rate: float
    attention: float
    bandwidth: float
    weight: float

    def reading(self, size: float) -> float:
        """Least time to read so many bytes, which may lie in a cache if they fit [s]."""
        return size / self.bandwidth / (1.0 if size > CACHED else FROM_CACHE)


def roof_of(machine: Accelerator, weights: str, tensor_parallel: int) -> Roof:
    """Peaks of a replica."""
    return Roof(
        rate=tensor_parallel * machine.peak(weights),
        attention=tensor_parallel * machine.peak("fp16"),
        bandwidth=tensor_parallel * machine.memory_bandwidth,
        weight=work.weight_bytes(weights),
    )


def products(llm: Llm) -> dict[str, int]:
    """Parameters of the matrices of a layer, and of the LM head, by kernel; without those it is not known of."""
    found = {"lm_head": llm.vocab * llm.hidden}
    if llm.mla is None:
        query, cached = llm.heads * llm.head_dim, llm.kv_heads * llm.head_dim
        found |= {"qkv_proj": llm.hidden * (query + 2 * cached), "o_proj": llm.hidden * query}
        found |= {"q_proj": llm.hidden * query, "k_proj": llm.hidden * cached, "v_proj": llm.hidden * cached}
    if llm.moe is None:
        each = llm.hidden * llm.ffn
        found |= {"up_proj": each, "down_proj": each}
        found |= {"gate_up_proj": 2 * each, "gate_proj": each} if llm.gated else {}
    return found


def check_set(dense: Table, heads: Table, llm: Llm) -> None:
    """Refuse tables that lack kernels of a layer, or the LM head.

    Raises:
        ScenarioError: Some are missing.
    """
    needed = [] if llm.mla else ["qkv_proj", "o_proj"]
    if llm.moe is None:
        needed += ["gate_up_proj" if llm.gated else "up_proj", "down_proj"]
    problems = []
    for table, wanted in ((dense, needed), (heads, ["lm_head"])):
        has = set(table.words("layer"))
        for name in wanted:
            if name not in has and not (name in SPLIT and has.issuperset(SPLIT[name])):
                text = f"no kernel {name}; the table has {', '.join(sorted(has))}"
                problems.append(Problem((), text, f"a step of {llm.name} takes it", file=str(table.path)))
    if problems:
        raise ScenarioError(problems)


def check_axes(table: Table, axis: str) -> None:
    """Refuse kernels that were measured at one size only.

    Raises:
        ScenarioError: There are any.
    """
    sizes: dict[str, set[float]] = {}
    for kernel, size in zip(table.words("layer"), table.numbers(axis), strict=True):
        sizes.setdefault(kernel, set()).add(size)
    single = sorted(kernel for kernel, found in sizes.items() if len(found) < 2)
    if single:
        text = f"{', '.join(single)}: measured at one number of {axis}; a profile needs two or more"
        raise ScenarioError([Problem((), text, file=str(table.path))])


def check_parts(attention: Table) -> None:
    """Refuse a table of attention without decodes, without prompts, or without both together.

    Raises:
        ScenarioError: A part is missing, or has one size of a dimension only.
    """
    names = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode")
    points = list(zip(*(attention.numbers(name) for name in names), strict=True))
    parts = {
        "decodes alone (prefill_chunk 0)": ([p for p in points if not p[0]], (2, 3)),
        "prompts alone (n_decode 0)": ([p for p in points if p[0] and not p[2]], (0, 1)),
        "prompts beside decodes": ([p for p in points if p[0] and p[2]], (3,)),
    }
    problems = []
    for what, (rows, dimensions) in parts.items():
        few = [names[i] for i in dimensions if len({row[i] for row in rows}) < 2]
        if few:
            text = f"{what}: {'no row' if not rows else 'one ' + ' and one '.join(few)}; a profile needs two or more"
            problems.append(Problem((), text, file=str(attention.path)))
    if problems:
        raise ScenarioError(problems)


def check_roof(dense: Table, heads: Table, attention: Table, llm: Llm, roof: Roof) -> None:
    """Refuse kernels that are faster than the peaks allow, by file and row.

    Raises:
        ScenarioError: There are any.
    """
    sizes, problems = products(llm), []
    for table, axis in ((dense, "tokens"), (heads, "sequences")):
        for row, (kernel, tokens, took) in enumerate(_rows(table, axis), 1):
            if kernel in sizes:
                least = max(
                    2 * tokens * sizes[kernel] / roof.rate,
                    roof.reading(sizes[kernel] * min(roof.weight, work.weight_bytes("fp16"))),
                )
                problems += _faster(table, row, f"{kernel} of {tokens:g} {axis}", took, least)
    if llm.mla is None and llm.window is None:
        problems += _attention(attention, llm, roof)
    if problems:
        raise ScenarioError(shortened(problems))


def _attention(table: Table, llm: Llm, roof: Roof) -> list[Problem]:
    """Attention of a layer that is faster than the peaks allow; the cache may be in 8 bits."""
    cached = 2 * llm.kv_heads * llm.head_dim
    axes = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
    problems = []
    for row, (chunk, past, count, context, took) in enumerate(
        zip(*(table.numbers(name) for name in axes), strict=True), 1
    ):
        pairs = chunk * past + chunk * (chunk + 1) / 2 + count * context
        least = max(
            4 * llm.heads * llm.head_dim * pairs / roof.attention, roof.reading(count * context * cached)
        )
        what = f"attention of a chunk of {chunk:g} behind {past:g} beside {count:g} decodes of {context:g}"
        problems += _faster(table, row, what, took, least)
    return problems


def _rows(table: Table, axis: str) -> list[tuple[str, float, float]]:
    return list(zip(table.words("layer"), table.numbers(axis), table.numbers("time_us"), strict=True))


def _faster(table: Table, row: int, what: str, took: float, least: float) -> list[Problem]:
    if took >= FASTER * least * 1e6:
        return []
    text = f"row {row}: {what} takes {took:g} us where the peaks allow no less than {least * 1e6:.4g} us"
    return [Problem((), text, file=str(table.path), line=row + 1)]


def check_shares(dense: Table, heads: Table, llm: Llm, machine: Accelerator, roof: Roof) -> None:
    """Refuse large products that reach too little of what the peaks allow, or shares that do not go together.

    Raises:
        ScenarioError: The kernels are likely another LLM's or another accelerator's.
    """
    sizes, full = products(llm), roof.weight >= work.weight_bytes("fp16")
    shares: dict[str, float] = {}
    for table, axis in ((dense, "tokens"), (heads, "sequences")):
        for kernel, tokens, took in _rows(table, axis):
            size = sizes.get(kernel, 0) * roof.weight
            # An engine that quantises weights may leave the head as it was.
            if size > LARGE and (full or kernel != "lm_head"):
                bound = max(2 * tokens * sizes[kernel] / roof.rate, size / roof.bandwidth)
                shares[kernel] = max(shares.get(kernel, 0.0), bound * 1e6 / took if took else 0.0)
    if not shares:
        return
    low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    files: Sequence[str] = (str(dense.path),)
    help_ = "check --accelerator, --llm, --weights and --tensor-parallel, and that times are in microseconds"
    if shares[high] < LEAST_SHARE:
        text = (
            f"no large product reaches more than {shares[high]:.0%} of what the peaks of {machine.name} allow"
        )
        raise ScenarioError([Problem((), text, help_, file=files[0])])
    if shares[high] > APART * shares[low]:
        text = (
            f"these are hardly kernels of {llm.name} on {machine.name}: {high} reaches {shares[high]:.0%} of what the "
            f"peaks allow, {low} only {shares[low]:.0%}"
        )
        raise ScenarioError([Problem((), text, help_, file=files[0])])
