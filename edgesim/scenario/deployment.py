"""Which LLM runs where, under which engine settings and cost model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgesim.scenario.base import Count, Name, Section, fault, short, whole
from edgesim.units import Bytes, Seconds, Share, Watts

Dtype = Literal["fp16", "bf16", "fp8", "int8", "int4"]
"""How a KV cache is stored."""

WeightDtype = Literal["fp16", "bf16", "fp8", "int8", "int4", "q8_0", "q4_k_m", "q4_0", "nvfp4", "mxfp4"]
"""How weights are stored."""


class Roofline(Section):
    """Step times from the accelerator's peaks; what is not given comes from the catalogue."""

    kind: Literal["roofline"] = Field(
        default="roofline", description="Step times from the accelerator's peaks."
    )
    compute_efficiency: Share | None = Field(
        default=None, description="Reached share of the peak arithmetic rate."
    )
    memory_efficiency: Share | None = Field(
        default=None, description="Reached share of the peak memory bandwidth."
    )
    attention_efficiency: Share | None = Field(
        default=None, description="Reached share of the peak in attention."
    )
    layer_overhead: Seconds | None = Field(default=None, description="Time added by each layer.")
    step_overhead: Seconds | None = Field(default=None, description="Host time added by each step.")

    @model_validator(mode="after")
    def _below_the_roof(self) -> Self:
        for key in ("compute_efficiency", "memory_efficiency", "attention_efficiency"):
            share = getattr(self, key)
            if share is not None and not 0 < share <= 1:
                raise fault(f"'{key}' must be more than 0 % and at most 100 %", key=key)
        return self


class LinearPrefill(Section):
    """Time of prefilling a prompt: base + per_token n + per_token_squared n^2."""

    base: Seconds = Field(default=0.0, description="Time of a step whatever it holds.")
    per_token: Seconds = Field(default=0.0, description="Time of each prompt token.")
    per_token_squared: Seconds = Field(default=0.0, description="Time of each pair of prompt tokens.")


class LinearDecode(Section):
    """Time of a decode step: base + per_sequence b + per_context_token c."""

    base: Seconds = Field(default=0.0, description="Time of a step whatever it holds.")
    per_sequence: Seconds = Field(default=0.0, description="Time of each sequence in the batch.")
    per_context_token: Seconds = Field(default=0.0, description="Time of each token of context in the batch.")


class Linear(Section):
    """Step times from given coefficients."""

    kind: Literal["linear"] = Field(description="Step times from given coefficients.")
    prefill: LinearPrefill = Field(description="Coefficients of prefill.")
    decode: LinearDecode = Field(description="Coefficients of decode.")
    power: Watts | None = Field(
        default=None, description="Power while a step runs; by default the accelerator's TDP."
    )

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        for key in ("prefill", "decode"):
            if not any(value for _, value in getattr(self, key)):
                raise fault(f"'{key}' takes no time; give it at least one coefficient", key=key)
        return self


class Profile(Section):
    """Step times from measured kernel times, interpolated."""

    kind: Literal["profile"] = Field(description="Step times from measured kernel times.")
    path: str = Field(
        description="Profile file, as `edgesim calibrate costs` writes it.", examples=["a100-llama.json"]
    )
    step_overhead: Seconds | None = Field(
        default=None, description="Host time added by each step; by default the profile's."
    )
    sequence_overhead: Seconds | None = Field(
        default=None,
        description="Host time added by each sequence of a step that emits a token; by default the profile's.",
    )
    time_factor: float = Field(
        default=1.0, gt=0, description="What measured times are multiplied by, as a run of the engine told."
    )


Costs = Annotated[
    Roofline | Linear | Profile, Field(discriminator="kind"), *short({"enum": ["roofline"]}, "kind")
]


class Deployment(Section):
    """One LLM on every node of a group."""

    llm: str = Field(description="LLM of the catalogue, or of the section 'llms'.")
    on: Name = Field(description="Node group that runs it.")
    name: Name = Field(
        default="",
        description="Name in results: its replicas are node/name; by default node/llm.",
        examples=["assistant"],
        validate_default=False,
    )
    engine: str | None = Field(
        default=None,
        description="Serving software whose measured efficiencies hold; by default the accelerator's own figures.",
        examples=["llama.cpp"],
    )
    weights: WeightDtype | None = Field(
        default=None, description="How weights are stored; by default as published."
    )
    variant: str | None = Field(
        default=None,
        description="Smaller build of the LLM: a variant of the catalogue, or of the section 'variants'.",
        examples=["pruned-2-4"],
    )
    adapter: str | None = Field(
        default=None, description="Adapter beside its weights, unmerged.", examples=["lora-16"]
    )
    kv: Dtype = Field(default="fp16", description="How the KV cache is stored.")
    replicas: Count = Field(default=1, description="Replicas on each node of the group.")
    tensor_parallel: Count = Field(default=1, description="Accelerators that share each replica.")
    expert_parallel: Count = Field(
        default=1,
        description="Accelerators, of all replicas on a node together, that whole experts are spread over;"
        " by default each replica has its own.",
    )
    max_num_seqs: Annotated[int, *whole(1, 4096)] = Field(
        default=256, description="Sequences in a step; by default 1 on devices, else 256."
    )
    max_batched_tokens: Count = Field(
        default=2048, description="Token budget of a step, shared by decodes and prefill chunks."
    )
    block_size: Count = Field(default=16, description="Tokens of a KV block.")
    watermark: Share = Field(
        default=0.01, description="Share of KV blocks that stays free when a request is admitted."
    )
    preemption: Literal["recompute", "swap"] = Field(
        default="recompute", description="What happens to KV when memory runs out."
    )
    swap_space: Bytes = Field(default=4 * 2**30, description="Host memory for swapped KV.")
    prefix_cache: bool = Field(
        default=False,
        description="Whether KV blocks of ended requests serve prompts that begin alike.",
        strict=True,
    )
    memory_utilisation: Share = Field(
        default=0.9, description="Share of the accelerator's memory that may be used."
    )
    paging: bool = Field(
        default=False,
        description="Whether weights that do not fit into memory are read from storage in each step.",
        strict=True,
    )
    kv_tokens: Count | None = Field(
        default=None,
        description="Size of the KV cache, as the engine reports it; by default what memory leaves.",
        examples=[41_408],
    )
    context: Count | None = Field(
        default=None, description="Longest sequence in tokens; by default the LLM's.", examples=[8192]
    )
    start_time: Seconds = Field(default=0.0, description="Time a replica takes to start.")
    serves: Literal["own", "all"] = Field(
        default="all",
        description="Whose requests it answers: those of its own node, or everybody's; own on devices.",
    )
    costs: Costs = Field(default=Roofline(), description="How long steps take.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_batched_tokens < self.max_num_seqs:
            budget, sequences = self.max_batched_tokens, self.max_num_seqs
            text = f"max_batched_tokens ({budget}) is less than max_num_seqs ({sequences})"
            help_ = "every running sequence needs a token of each step"
            raise fault(
                text,
                help_,
                key="max_batched_tokens" if "max_batched_tokens" in self.model_fields_set else "max_num_seqs",
            )
        if not 0 < self.memory_utilisation <= 1:
            raise fault(
                "'memory_utilisation' must be more than 0 % and at most 100 %", key="memory_utilisation"
            )
        if self.watermark >= 1:
            raise fault("'watermark' must be less than 100 %", key="watermark")
        return self
