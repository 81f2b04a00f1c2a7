"""Kernel times of one LLM: three tables become the steps of an engine; what is wrong with them is told."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from edgesim import catalog
from edgesim.calibrate.kernels import profile_of_kernels
from edgesim.costs.profile import Profile, profile_step_cost
from edgesim.costs.step import PS
from edgesim.errors import ScenarioError

LLM = catalog.llm("llama-3.1-8b")
CHUNKS, PASTS, COUNTS, CONTEXTS = (16, 256, 2048), (0, 1024, 4096), (1, 8, 64), (16, 1024, 8192)


def attention(chunk: int, past: int, count: int, context: int) -> float:
    """Time of one layer's attention [us]."""
    return 8 + chunk * (past + chunk / 2) / 2e4 + count * context / 500


def write_tables(folder: Path) -> str:
    """Write tables that follow formulas; answer their prefix."""
    prefix = str(folder / "gpu_")
    dense = ["layer,tokens,time_us"]
    for tokens in (1, 64, 2048):
        dense += [f"qkv_proj,{tokens},{400 + 2 * tokens}", f"layernorm,{tokens},2.5", f"embedding,{tokens},3"]
    heads = [
        "layer,sequences,time_us",
        *(f"lm_head,{n},{700 + n}" for n in (1, 256)),
        "sampler,1,20",
        "sampler,256,200",
    ]
    steps = ["prefill_chunk,kv_prefill,n_decode,kv_decode,time_us"]
    steps += [f"0,0,{n},{c},{attention(0, 0, n, c)}" for n in COUNTS for c in CONTEXTS]
    steps += [f"{s},{p},0,0,{attention(s, p, 0, 0)}" for s in CHUNKS for p in PASTS]
    steps += [
        f"{s},{p},{n},{c},{attention(s, p, n, c)}"
        for s in CHUNKS
        for p in PASTS
        for n in COUNTS
        for c in CONTEXTS
    ]
    Path(f"{prefix}dense.csv").write_text("\n".join(dense))
    Path(f"{prefix}per_sequence.csv").write_text("\n".join(heads))
    with gzip.open(f"{prefix}attention.csv.gz", "wt") as file:
        file.write("\n".join(steps))
    return prefix


def profile(prefix: str) -> Profile:
    return profile_of_kernels(
        prefix,
        LLM,
        "nvidia-a100-80gb-sxm",
        weights="bf16",
        tensor_parallel=1,
        engine="an engine",
        source="a test",
    )


def test_steps_are_sums_of_kernels(tmp_path: Path) -> None:
    """Layers times kernels, norms twice, embedding once; then head, sampler and attention."""
    found = profile(write_tables(tmp_path))
    cost = profile_step_cost(catalog.accelerator("nvidia-a100-80gb-sxm"), LLM, found)
    linear = 32 * (400 + 128 + 2 * 2.5) + 3
    head = np.interp(64, [1, 256], [701 + 20, 956 + 200])
    expected = linear + head + 32 * attention(0, 0, 64, 1024)
    assert cost.decode(64, 64 * 1024).ps / PS == pytest.approx(expected * 1e-6, rel=1e-4)
    tokens = 2048 + 64
    longer = 32 * (400 + 2 * tokens + 2 * 2.5) + 3
    mixed = longer + np.interp(65, [1, 256], [721, 1156]) + 32 * attention(2048, 1024, 64, 1024)
    step = profile_step_cost(
        catalog.accelerator("nvidia-a100-80gb-sxm"), LLM, found, max_batched_tokens=4096
    ).mixed(tokens, decode_context=64 * 1024, sampled=65, chunks=((2048, 1024),))
    assert step.ps / PS == pytest.approx(mixed * 1e-6, rel=1e-3)


def test_gaps_of_the_tables_are_filled(tmp_path: Path) -> None:
    """A crossing that was not measured lies between its neighbours."""
    prefix = write_tables(tmp_path)
    path = Path(f"{prefix}attention.csv.gz")
    with gzip.open(path, "rt") as file:
        kept = [
            line
            for line in file.read().splitlines()
            if not line.startswith(("0,0,8,1024,", "256,1024,8,1024,"))
        ]
    with gzip.open(path, "wt") as file:
        file.write("\n".join(kept))
    found = profile(prefix)
    at = found.decode[found.decode_sequences.index(8)][found.decode_contexts.index(1024)]
    assert at == pytest.approx(32e-6 * attention(0, 0, 8, 1024), rel=1e-3)
    chunk, past = found.chunks.index(256), found.pasts.index(1024)
    inner = found.mixed[chunk][past][found.mixed_sequences.index(8)][found.mixed_contexts.index(1024)]
    assert inner == pytest.approx(32e-6 * attention(256, 1024, 8, 1024), rel=0.02)


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    """Its name, plain or gzipped."""
    with pytest.raises(ScenarioError, match=r"no file '.*gpu_dense\.csv' or '.*gpu_dense\.csv\.gz'"):
        profile(str(tmp_path / "gpu_"))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("qkv_proj,64,528", "qkv_proj,64,", "row 4: time_us '' is not a number"),
        ("qkv_proj,64,528", "qkv_proj,64,inf", "row 4: time_us is inf, which is no measurement"),
        ("qkv_proj,64,528", "qkv_proj,64,-1", "row 4: time_us is -1, which cannot be negative"),
        ("qkv_proj,64,528", "qkv_proj,1,528", "row 4: the same point as row 1"),
        (
            "layer,tokens,time_us",
            "layer,tokens,time_ms",
            "the column 'time_us' is missing; it has layer, tokens, time_ms",
        ),
    ],
)
def test_wrong_rows_are_told(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    """By file and row."""
    prefix = write_tables(tmp_path)
    path = Path(f"{prefix}dense.csv")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ScenarioError) as caught:
        profile(prefix)
    assert [(problem.text, problem.file) for problem in caught.value.problems] == [(complaint, str(path))]


@pytest.mark.parametrize(
    ("gpu", "name", "llm"),
    [
        ("RTX4090", "meta-llama_Llama-3.1-8B", "llama-3.1-8b"),
        ("RTXPRO6000", "meta-llama_Llama-3.1-8B", "llama-3.1-8b"),
    ],
)
def test_measured_kernels_are_kept(data: Path, gpu: str, name: str, llm: str) -> None:
    """Every decode that was profiled is found again in the profile."""
    import csv

    prefix = data / f"kernels/profile_{gpu}_{name}_tp1_"
    found = profile_of_kernels(
        str(prefix), catalog.llm(llm), gpu.lower(), weights="bf16", tensor_parallel=1, engine="", source=""
    )
    with gzip.open(f"{prefix}attention.csv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["prefill_chunk"] == "0"]
    errors = []
    for row in rows:
        i = found.decode_sequences.index(int(row["n_decode"]))
        j = found.decode_contexts.index(int(row["kv_decode"]))
        errors.append(found.decode[i][j] / (32e-6 * float(row["time_us"])) - 1)
    assert len(errors) > 90
    assert np.abs(errors).max() < 1e-4
