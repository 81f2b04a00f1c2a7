"""Accelerators: what runs an LLM, from a phone's NPU to a data-centre GPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgesim.catalog.figures import Figure
    from edgesim.catalog.host import Host
    from edgesim.catalog.mode import PowerMode
    from edgesim.catalog.thermal import Thermal


DTYPES: Final = ("fp16", "fp8", "int8", "int4", "fp4")
"""Number formats an accelerator may have arithmetic for; bf16 runs at the rate of fp16."""

ARITHMETIC: Final = {"nvfp4": "fp4", "mxfp4": "fp4", "q8_0": "int8", "q4_k_m": "int8", "q4_0": "int8"}
"""Arithmetic of weight formats that are not called by it; llama.cpp multiplies its blocks in 8-bit integers."""


@dataclass(frozen=True)
class Accelerator:
    """One accelerator: its peaks, how much of them is reached, its overheads, power and price.

    Args:
        name: Key in the catalogue or the scenario.
        title: Full name for people.
        kind: gpu, npu, tpu, cpu, soc, fpga or asic.
        memory: Capacity that weights and KV cache may use together with the runtime [B].
        memory_bandwidth: Peak [B/s].
        idle_w: Power when nothing runs [W].
        tdp_w: Sustained power limit [W].
        fp16: Peak dense rate [FLOP/s]; 0 where there is no such arithmetic. Likewise fp8, int8, int4, fp4.
        compute_efficiency: Reached share of the peak in large matrix products.
        memory_efficiency: Reached share of the bandwidth when weights or KV cache stream.
        attention_efficiency: Reached share of the peak in attention over prompts.
        quantised_efficiency: Further factor where weights are not stored in fp16 or bf16.
        activation_efficiency: Share of the streaming rate that the small operations between products reach.
        sparse_gain: How much faster products with 2:4 sparse weights run than with dense ones; 1 without such units.
        layer_overhead: Time a layer adds that overlaps with nothing [s].
        launch_overhead: Host time it takes to launch a layer's kernels one by one, behind which the device may be at
            work [s]; 0 where whole steps are captured and replayed.
        step_overhead: Host time a step adds: scheduling, sampling, launching [s].
        step_overhead_per_sequence: Host time each sequence that emits a token adds [s].
        parallel_overhead: Relative growth of both overheads each time tensor parallelism doubles.
        runtime_memory: Kept by drivers, graphs, libraries and, on devices, the operating system [B].
        base_power: Share of the TDP drawn as soon as a step runs.
        memory_power: Share of the TDP added at full memory bandwidth.
        compute_power: Share of the TDP added at full arithmetic rate.
        power_cap: Share of the TDP that is never exceeded.
        interconnect: Effective bandwidth between the accelerators of a node [B/s].
        interconnect_latency: Time of a tiny all-reduce of two accelerators [s].
        host_link: Bandwidth to host memory, for swapping [B/s].
        price: [USD/h]; 0 for hardware that its user owns.
        architecture: Family of chips that engines treat alike; empty if unknown.
        engine: Whose efficiencies these are; empty for the accelerator's own.
        prefill_band: Relative error that times of prompts are within, four times of five; 0 if not known.
        decode_band: The same of decode steps.
        energy_band: The same of energy per token.
        power_modes: What the clocks can be set to, by name.
        frequency_exponent: Exponent with which power beyond idle and traffic follows the frequency.
        frequency_knee: Share of the frequency below which memory slows down, too.
        bandwidth_ceiling: Most of the memory's bandwidth that it can draw, where several units share the memory
            of a system on a chip [B/s]; 0 if all.
        sram: Memory on the chip that holds weights, besides `memory` [B]; 0 if it holds none.
        sram_bandwidth: Peak of that [B/s].
        storage_bandwidth: Rate at which weights that fit nowhere else are read from storage [B/s]; 0 if unknown.
        switch_time: Time to get ready for another LLM, where deployments take turns on it [s]; None if they cannot.
        unsupported: Shares of the parts of a step (linear, attention, head) that it leaves to its host.
        host: The processor that runs those; None if it leaves nothing.
        thermal: How it warms up, and when it slows down for that; None if nothing is known.
        setting: What it was set to, in words; empty for its nominal figures.
        figures: Source and confidence by field name.
    """

    name: str
    title: str
    kind: str
    memory: float
    memory_bandwidth: float
    idle_w: float
    tdp_w: float
    fp16: float
    compute_efficiency: float
    memory_efficiency: float
    attention_efficiency: float
    quantised_efficiency: float
    layer_overhead: float
    step_overhead: float
    step_overhead_per_sequence: float
    parallel_overhead: float
    runtime_memory: float
    base_power: float
    memory_power: float
    compute_power: float
    power_cap: float
    interconnect: float
    interconnect_latency: float
    host_link: float
    price: float
    fp8: float = 0.0
    int8: float = 0.0
    int4: float = 0.0
    fp4: float = 0.0
    sparse_gain: float = 1.0
    activation_efficiency: float = 1.0
    launch_overhead: float = 0.0
    architecture: str = ""
    engine: str = ""
    prefill_band: float = 0.0
    decode_band: float = 0.0
    energy_band: float = 0.0
    power_modes: Mapping[str, PowerMode] = field(default_factory=dict, hash=False)
    frequency_exponent: float = 2.5
    frequency_knee: float = 0.6
    bandwidth_ceiling: float = 0.0
    sram: float = 0.0
    sram_bandwidth: float = 0.0
    storage_bandwidth: float = 0.0
    switch_time: float | None = None
    unsupported: Mapping[str, float] = field(default_factory=dict, hash=False)
    host: Host | None = None
    thermal: Thermal | None = None
    setting: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict, compare=False, repr=False)

    def peak(self, weights: str) -> float:
        """Peak rate at which products with such weights run [FLOP/s].

        Weights in a format without arithmetic of its own are expanded on the fly: to fp16 where there is
        fp16, else to int8.
        """
        own: float = getattr(self, ARITHMETIC.get(weights, weights), 0.0)
        return own or self.fp16 or self.int8

    @property
    def drawable_bandwidth(self) -> float:
        """Most bandwidth of the memory that it can draw [B/s]."""
        return min(self.memory_bandwidth, self.bandwidth_ceiling or self.memory_bandwidth)

    @property
    def flops(self) -> dict[str, float]:
        """Peak rate by number format [FLOP/s]."""
        return {dtype: getattr(self, dtype) for dtype in DTYPES if getattr(self, dtype)}

    @property
    def confidence(self) -> str:
        """Whether its efficiencies were fitted to measurements or are class guesses."""
        keys = ("compute_efficiency", "memory_efficiency")
        marks = {self.figures[key].confidence for key in keys if key in self.figures}
        return "fitted" if marks and marks <= {"fitted", "measured", "given"} else "unverified"
