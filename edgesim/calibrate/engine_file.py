"""The catalogue's file of engines, written from fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgesim.catalog.engine import ANY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgesim.calibrate.engines import Fit

TITLES: Final = {
    "genie": "Qualcomm Genie and QNN, 4-bit weights and 16-bit activations (AI Hub, 2025)",
    "genie-w4": "Qualcomm Genie, 4-bit weights and float activations (AI Hub, 2025)",
    "llama.cpp": "llama.cpp with the native back end: CUDA, Metal, HIP, CPU (builds of 2023 to 2026)",
    "llama.cpp-vulkan": "llama.cpp with its Vulkan back end (builds of 2024 and 2025)",
    "llamafile": "llamafile as LocalScore runs it (0.9, 2025)",
    "rknn-llm": "Rockchip rknn-llm (1.2, 2025)",
    "tensorrt-llm": "TensorRT-LLM (1.0, 2025)",
    "vllm-2023": "vLLM of 2023, as Splitwise profiled it: every kernel launched by the host",
    "vllm-2024": "vLLM of 2024, as the ML.ENERGY leaderboard v2 ran it",
}
"""Name and era of what was measured."""

SOURCES: Final = {
    "genie": "Qualcomm AI Hub Models perf.yaml",
    "genie-w4": "Qualcomm AI Hub Models perf.yaml",
    "llama.cpp": "llama.cpp scoreboards, XiongjieDai/GPU-Benchmarks, mac-llm-bench, geerlingguy/ai-benchmarks",
    "llama.cpp-vulkan": "llama.cpp Vulkan scoreboard (GitHub discussions)",
    "llamafile": "LocalScore community results (smoothyy3/willitrun)",
    "rknn-llm": "airockchip/rknn-llm benchmark.md",
    "tensorrt-llm": "TensorRT-LLM 1.0 performance overview",
    "vllm-2023": "Mutinifni/splitwise-sim data/perf_model.csv (8f99e7dc)",
    "vllm-2024": "ML.ENERGY leaderboard v2 (2024)",
}

BANDS: Final = {"prefill": "prefill_band", "decode": "decode_band", "energy": "energy_band"}

HEAD: Final = """\
# Engines by name: what serving software reaches of the accelerators it runs on, by architecture or kind.
# Figures stand in groups with their source and confidence, as in accelerators.yaml, and take the place of the
# accelerator's own. `fitted_on` lists the accelerators whose measurements were used. Bands are relative errors that
# accelerators which a fit never saw stayed within, four times of five.
# Written by `edgesim calibrate engines`; the fits are described in edgesim/calibrate/engines.py.
"""


def text(fits: Mapping[str, Mapping[str, Fit]]) -> str:
    """The whole file."""
    return HEAD + "\n".join(line for engine in sorted(fits) for line in _engine(engine, fits[engine])) + "\n"


def _engine(name: str, fits: Mapping[str, Fit]) -> Iterator[str]:
    yield ""
    yield f"{name}:"
    yield f"  title: '{TITLES.get(name, name)}'"
    yield "  figures: []"
    yield "  reaches:"
    for key in sorted(fits, key=lambda key: (key == ANY, key)):
        if key:
            yield from _entry(key, fits[key], SOURCES.get(name, "measurements of one's own"))


def _entry(key: str, fit: Fit, source: str) -> Iterator[str]:
    what = "all architectures together" if key == ANY else f"{fit.rows} points"
    left = ", ".join(f"{quantity} {share:.0%}" for quantity, share in sorted(fit.errors.items()))
    values = {name: float(f"{value:.4g}") for name, value in fit.values.items()}
    values |= {BANDS[name]: value for name, value in sorted(fit.bands.items()) if name in BANDS}
    yield f"    {key}:"
    yield from _wrapped(f"      fitted_on: [{', '.join(fit.accelerators)}]", "        ")
    yield "      figures:"
    yield f"        - source: '{source}; {what}, median error {left}'"
    yield "          confidence: fitted"
    yield from _wrapped(
        f"          values: {{{', '.join(f'{n}: {_number(v)}' for n, v in values.items())}}}", " " * 12
    )


def _number(value: float) -> str:
    """A number as YAML reads it: times of microseconds with their exponent, and always a point."""
    if value >= 1e-3:
        return f"{value:.4g}" if "." in f"{value:.4g}" else f"{value:.1f}"
    micro = f"{value * 1e6:.4g}"
    return f"{micro if '.' in micro else micro + '.0'}e-6"


def _wrapped(line: str, indent: str, width: int = 118) -> Iterator[str]:
    """A long line of YAML over several ones."""
    while len(line) > width:
        at = line.rfind(", ", 0, width) + 1
        yield line[:at]
        line = indent + line[at + 1 :]
    yield line
