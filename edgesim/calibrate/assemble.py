"""From a database of measured kernels to the profile of an LLM that nobody profiled.

Each layer is the sum of its kernels on one of the accelerators that share it: products for queries, keys and values,
for the output, for the feed-forward part (or what a mixture of experts takes instead), the small kernels between
them, attention, and under tensor parallelism two all-reduces. LM head and sampling follow once a step. Host time is
not in the tables: engines of 2026 plan a step while the last one runs; a run's log tells what is left of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.calibrate.attention import Attention
from edgesim.calibrate.experts import Experts
from edgesim.calibrate.products import Products
from edgesim.costs.llm import weight_bytes
from edgesim.costs.profile import Profile
from edgesim.errors import EdgesimError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgesim.calibrate.database import Database
    from edgesim.catalog import Accelerator, Llm

    Floats = NDArray[np.float64]

FORMATS: Final = {
    "bf16": (("bfloat16",), "bfloat16"),
    "fp16": (("bfloat16",), "bfloat16"),
    "fp8": (("fp8", "fp8_block"), "bfloat16"),
    "nvfp4": (("nvfp4",), "bfloat16"),
    "int8": (("int8_wo", "fp8"), "bfloat16"),
    "int4": (("int4_wo",), "bfloat16"),
    "mxfp4": (("w4a16_mxfp4",), "bfloat16"),
}
"""Formats of the database for ours: the first that was measured, else the last one with our bytes a weight."""

INPUT_BYTES: Final = {"fp8": 1.0, "fp8_block": 1.0, "nvfp4": 0.5625}
"""Bytes of an input where it is quantised, too; others have two."""

SMALL: Final = 2.4e-6
"""A kernel between products that has next to nothing to do [s]; RTX PRO 6000 and 4090, vLLM under CUDA graphs."""

IN_CACHE: Final = (0.5, 2.5)
"""Share of the second-level cache that such a kernel finds its bytes in, and how much faster than memory that is."""

FROM_MEMORY: Final = 0.8
"""Share of the memory bandwidth that it reaches beyond."""

SAMPLER: Final = 12e-6
"""Sampling one token each for next to no sequence [s]; profiles of RTX PRO 6000 take 12 to 25 us."""

LOGIT_BYTES: Final = 8
"""What sampling moves for each logit: it is read in 16 bits, and written and read in 32 bits or less."""

STEP_OVERHEAD: Final = 1.5e-4
"""What the host adds to a step [s]: kernel times of an RTX 4090 and this explain a run of vLLM 0.19 there, to 2 %."""

LARGEST_STEP: Final = 16_384
CHUNKS: Final = (
    16,
    32,
    64,
    128,
    192,
    256,
    384,
    512,
    768,
    1024,
    1536,
    2048,
    3072,
    4096,
    6144,
    8192,
    12_288,
    16_384,
)
PASTS: Final = (0, 512, 2048, 8192, 32_768, 131_072)
MIXED_SEQUENCES: Final = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
MIXED_CONTEXTS: Final = (16, 128, 512, 1024, 2048, 4096, 8192, 16_384, 65_536)
SEQUENCES: Final = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)

BAND: Final = 0.15
"""Relative error to expect: whole steps of RTX PRO 6000 profiles are met within 5 % (median), linear layers of H100 and
A100 as another engine had them within 8 %, its attention within 20 %."""

FURTHER: Final = 0.1
"""What the band grows by where something stands for what was not measured, or accelerators work together."""


@dataclass(frozen=True)
class Layout:
    """How an LLM is laid over accelerators.

    Attributes:
        tensor: Accelerators that share each layer of a replica.
        data: Replicas of a mixture of experts that share its experts among all their accelerators, as vLLM's
            data parallelism has it.
        whole_experts: Whether each accelerator holds whole experts (expert parallelism), or a part of every one.
    """

    tensor: int = 1
    data: int = 1
    whole_experts: bool = False

    @property
    def accelerators(self) -> int:
        """All of them."""
        return self.tensor * self.data


def profile_of_database(
    database: Database,
    llm: Llm,
    accelerator: Accelerator,
    *,
    weights: str,
    kv: str = "fp16",
    layout: Layout = Layout(),
    engine: str = "",
) -> Profile:
    """Build the profile of an LLM from measured kernels.

    Args:
        database: The kernels of one system.
        llm: What is to be run.
        accelerator: The catalogue's entry of that system; its peaks only scale what is interpolated.
        weights: Number format of the weights.
        kv: Number format of the KV cache.
        layout: How the LLM is laid over accelerators.
        engine: Engine and version; by default those of the tables.

    Raises:
        EdgesimError: The LLM, its format or its layout has kernels that the database knows nothing of.
    """
    _check(llm, layout)
    built = _Layer(database, llm, accelerator, weights, kv, layout)
    tokens = np.array(sorted({*np.unique(database.rows("gemm")["m"]), LARGEST_STEP}))
    tokens = tokens[tokens <= LARGEST_STEP]
    sequences = np.array(SEQUENCES, np.float64)
    attention = built.attention
    decoding = attention.sequences[attention.sequences <= SEQUENCES[-1]]
    contexts = attention.contexts[attention.contexts >= 16]
    axes = (CHUNKS, PASTS, MIXED_SEQUENCES, MIXED_CONTEXTS)
    mixed = attention.mixed(*(np.array(axis, np.float64) for axis in axes))
    notes = [*built.notes, *attention.notes]
    told = f"kernels of {database.told()}" + "".join(f"; {note}" for note in notes)
    wider = bool(notes) + (layout.accelerators > 1)
    return Profile(
        accelerator=accelerator.name,
        llm=llm.name,
        weights=weights,
        tensor_parallel=layout.tensor,
        engine=engine or database.sources["gemm"],
        source=told,
        tokens=[int(value) for value in tokens],
        linear=_listed(built.layers(tokens)),
        sequences=list(SEQUENCES),
        head=_listed(built.head(sequences)),
        decode_sequences=[int(value) for value in decoding],
        decode_contexts=[int(value) for value in contexts],
        decode=_listed(attention.decode(decoding, contexts) * llm.layers),
        chunks=list(CHUNKS),
        pasts=list(PASTS),
        mixed_sequences=list(MIXED_SEQUENCES),
        mixed_contexts=list(MIXED_CONTEXTS),
        mixed=_listed(mixed * llm.layers),
        step_overhead=STEP_OVERHEAD,
        error_band=round(BAND + FURTHER * wider, 3),
    )


def _listed(values: Floats) -> Any:
    return np.vectorize(lambda value: float(f"{value:.6g}"))(values).tolist()


def _check(llm: Llm, layout: Layout) -> None:
    """Refuse what has no kernels in the tables.

    Raises:
        EdgesimError: An architecture or layout that cannot be put together.
    """
    for has, what in (
        (llm.mla, "latent attention"),
        (llm.window, "sliding windows"),
        (llm.encoder_only, "an encoder"),
    ):
        if has:
            raise EdgesimError(
                f"{llm.name} has {what}, which profiles do not know; use costs of kind roofline"
            )
    if llm.heads % layout.tensor or (layout.tensor % llm.kv_heads and llm.kv_heads % layout.tensor):
        raise EdgesimError(
            f"{llm.name} has {llm.heads} heads and {llm.kv_heads} of keys and values, which do not divide among "
            f"{layout.tensor} accelerators"
        )


class _Layer:
    """The kernels of one LLM, on one of its accelerators."""

    def __init__(
        self, database: Database, llm: Llm, accelerator: Accelerator, weights: str, kv: str, layout: Layout
    ) -> None:
        self.database, self.llm, self.layout = database, llm, layout
        self.notes: list[str] = []
        self.bandwidth = accelerator.memory_bandwidth
        self.full = self._products("bf16", accelerator)
        self.products = self._products(weights, accelerator)
        self.weight_bytes = weight_bytes(weights)
        self.heads = llm.heads // layout.tensor
        self.kv_heads = max(1, llm.kv_heads // layout.tensor)
        cache = "fp8" if kv in {"fp8", "int8"} else "bfloat16"
        self.attention = Attention(
            database, self.heads, self.kv_heads, llm.head_dim, cache, accelerator.memory_bandwidth
        )
        self.experts = None
        if llm.moe is not None:
            self.experts = Experts(
                database,
                llm,
                layout.accelerators,
                layout.whole_experts,
                layout.data,
                FORMATS[weights],
                self.products,
            )
            self.notes += self.experts.notes
            if layout.data > 1:
                self._note(
                    f"{layout.data} replicas share the experts, and are taken to hold batches of one size"
                )

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _products(self, weights: str, accelerator: Accelerator) -> Products:
        """The measured products of a format, or what stands for them."""
        if weights not in FORMATS:
            raise EdgesimError(
                f"no database has products of weights in {weights}; known are {', '.join(FORMATS)}"
            )
        wanted, instead = FORMATS[weights]
        measured = set(self.database.rows("gemm")["dtype"])
        dtype = next((name for name in wanted if name in measured), instead)
        if dtype not in wanted:
            self._note(
                f"products of {weights} weights were not measured; {dtype} ones stand for them, with their bytes"
            )
        own = {"bfloat16": "bf16", "fp8_block": "fp8"}.get(dtype, dtype)
        return Products(
            self.database.rows("gemm", dtype=dtype),
            accelerator.peak(own),
            accelerator.memory_bandwidth,
            weight_bytes(own) if own in {"bf16", "fp8", "nvfp4"} else 2.0,
            INPUT_BYTES.get(dtype, 2.0),
        )

    def _product(self, tokens: Floats, outputs: float, inputs: float) -> Floats:
        return self.products.seconds(tokens, outputs, inputs, self.weight_bytes)

    def _small(self, moved: Floats) -> Floats:
        """Time of a kernel that only moves bytes."""
        share, faster = IN_CACHE
        near = np.minimum(moved, share * self.database.chip.cache)
        result: Floats = (
            SMALL + near / (faster * self.bandwidth) + (moved - near) / (FROM_MEMORY * self.bandwidth)
        )
        return result

    def layers(self, tokens: Floats) -> Floats:
        """Time of everything but attention and head in steps of so many tokens [s]."""
        llm, ranks = self.llm, self.layout.tensor
        width = llm.heads // ranks * llm.head_dim
        projections = (self.heads + 2 * self.kv_heads) * llm.head_dim
        each = self._product(tokens, projections, llm.hidden) + self._product(tokens, llm.hidden, width)
        each += 2 * self._small(8.0 * llm.hidden * tokens)  # two norms with their additions
        each += self._small(4.0 * (self.heads + self.kv_heads) * llm.head_dim * tokens)  # rotary embedding
        each += self._small(8.0 * self.kv_heads * llm.head_dim * tokens)  # keys and values into the cache
        each += self._reduced(tokens)
        moe = llm.moe
        dense = llm.layers if moe is None else moe.dense_layers
        total = llm.layers * each
        if dense:
            total = total + dense * (self._feed_forward(tokens, llm.ffn) + self._reduced(tokens))
        if moe is not None and self.experts is not None:
            part = self.full.seconds(tokens, moe.experts, llm.hidden) + self.experts.seconds(tokens)
            if moe.shared:
                part = part + self._feed_forward(tokens, moe.shared * moe.expert_ffn)
            total = total + (llm.layers - dense) * (part + self._exchanged(tokens))
        embedding = self._small(4.0 * llm.hidden * tokens) + self._reduced(tokens)
        result: Floats = total + embedding
        return result

    def _feed_forward(self, tokens: Floats, ffn: int) -> Floats:
        """A dense feed-forward part: up (and gate), activation, down."""
        inner = ffn / self.layout.tensor
        up = (2 if self.llm.gated else 1) * inner
        products = self._product(tokens, up, self.llm.hidden) + self._product(tokens, self.llm.hidden, inner)
        result: Floats = products + self._small(2.0 * (up + inner) * tokens)
        return result

    def _reduced(self, tokens: Floats) -> Floats:
        """An all-reduce of the residual stream."""
        if self.layout.tensor == 1:
            return np.zeros_like(tokens)
        rows = self.database.rows("all_reduce", gpus=self.layout.tensor)
        rows = _of_kernels(rows, "graph")
        if not len(rows["seconds"]):
            rows = self.database.rows("collective", kernel="all_reduce", gpus=self.layout.tensor)
        return self._message(rows, "all_reduce", self.layout.tensor, tokens * self.llm.hidden)

    def _exchanged(self, tokens: Floats) -> Floats:
        """What brings tokens to their experts and back."""
        if self.layout.data == 1:
            return self._reduced(tokens)
        ranks, total = self.layout.accelerators, np.zeros_like(tokens)
        for kernel in ("all_gather", "reduce_scatter"):
            rows = self.database.rows("collective", kernel=kernel, gpus=ranks)
            total = total + self._message(rows, kernel, ranks, tokens * self.layout.data * self.llm.hidden)
        return total

    def _message(self, rows: dict[str, Any], kernel: str, ranks: int, elements: Floats) -> Floats:
        """Time of a collective by its message.

        Raises:
            EdgesimError: It was not measured among so many accelerators.
        """
        if "dtype" in rows:
            rows = _of_kernels(rows, "half", "dtype")
        if not len(rows["seconds"]):
            raise EdgesimError(
                f"this database has no {kernel} of {ranks} accelerators of {self.database.system}; a profile of one "
                f"accelerator may be used with any tensor_parallel, less exactly"
            )
        order = np.argsort(rows["elements"])
        sizes, seconds = rows["elements"][order], rows["seconds"][order]
        at = np.maximum(elements, sizes[0])
        found = np.exp(np.interp(np.log(at), np.log(sizes), np.log(seconds)))
        beyond: Floats = seconds[-1] * at / sizes[-1]
        return np.where(at > sizes[-1], beyond, found)

    def head(self, sequences: Floats) -> Floats:
        """Time of LM head and sampling for so many sequences [s]."""
        llm, ranks = self.llm, self.layout.tensor
        total = self.full.seconds(sequences, llm.vocab / ranks, llm.hidden)
        if ranks > 1:
            rows = self.database.rows("collective", kernel="all_gather", gpus=ranks)
            total = total + self._message(rows, "all_gather", ranks, sequences * llm.vocab)
        result: Floats = total + SAMPLER + self._small(float(LOGIT_BYTES * llm.vocab) * sequences)
        return result


def _of_kernels(rows: dict[str, Any], part: str, column: str = "kernel") -> dict[str, Any]:
    """Rows whose kernel's name has a part; all if none has."""
    named = np.char.find(np.asarray(rows[column], str), part) >= 0
    return {name: values[named] for name, values in rows.items()} if named.any() else rows


__all__: Sequence[str] = ("Layout", "profile_of_database")
