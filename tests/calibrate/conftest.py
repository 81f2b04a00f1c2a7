"""Measurements with known truth: a database of kernels that follow formulas, and logs of simulated runs."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PEAK, BANDWIDTH, LAUNCH = 989e12, 3.35e12, 4e-6
"""Of an H100, as the catalogue has it, and what any kernel takes."""

REACHED, STREAMED = 0.7, 0.85
"""Shares of the two that every kernel reaches."""


def product(m: float, n: float, k: float) -> float:
    """Time of a product [s]."""
    traffic = 2 * (n * k + m * (n + k)) / (STREAMED * BANDWIDTH)
    return float(np.hypot(2 * m * n * k / (REACHED * PEAK), traffic)) + LAUNCH


def prompt(tokens: float, heads: int) -> float:
    """Time of a prompt's attention [s]."""
    return LAUNCH + 4 * heads * 128 * tokens * (tokens + 1) / 2 / (REACHED * PEAK)


def batch(sequences: float, context: float, kv_heads: int) -> float:
    """Time of a decoding batch's attention [s]."""
    return LAUNCH + sequences * context * kv_heads * 128 * 4 / (STREAMED * BANDWIDTH)


def reduction(elements: float, gpus: int) -> float:
    """Time of an all-reduce [s]."""
    return LAUNCH * gpus + 2 * elements / 200e9


def experts(tokens: float, share: int) -> float:
    """Time of the experts of a layer of Qwen3-30B-A3B [s]."""
    distinct = 128 * (1 - (1 - 8 / 128) ** tokens)
    return (LAUNCH * 3 + distinct * 3 * 2048 * 768 * 2 / (STREAMED * BANDWIDTH)) / share


SIZES = [2**i for i in range(15)]
WIDTHS = [256, 512, 1024, 2048, 4096, 8192, 16384, 65536]
HEADS = [(32, 8), (16, 4), (32, 4), (16, 2)]


def tables() -> dict[str, list[dict[str, object]]]:
    """Rows of each table, times in milliseconds."""
    gemm = [
        {"gemm_dtype": "bfloat16", "m": m, "n": n, "k": k, "latency": 1e3 * product(m, n, k)}
        for m, n, k in itertools.product(SIZES, WIDTHS, WIDTHS)
    ]
    shared = {
        "head_dim": 128,
        "kv_cache_dtype": "bfloat16",
        "window_size": 0,
        "kernel_source": "flash_attn_fa3",
    }
    context = [
        {"batch_size": 1, "isl": s, "num_heads": h, "num_key_value_heads": kv, "step": 0, **shared}
        | {"latency": 1e3 * prompt(s, h)}
        for s, (h, kv) in itertools.product(SIZES, HEADS)
    ]
    generation = [
        {"batch_size": b, "isl": 1, "num_heads": h, "num_key_value_heads": kv, "step": s - 1, **shared}
        | {"latency": 1e3 * batch(b, s, kv)}
        for b, s, (h, kv) in itertools.product(SIZES[:10], SIZES[1:], HEADS)
        if b * s <= 1 << 20
    ]
    reduce = [
        {
            "kernel_source": f"custom_{how}",
            "num_gpus": g,
            "message_size": e,
            "latency": slower * 1e3 * reduction(e, g),
        }
        for e, g, (how, slower) in itertools.product(
            [2**i for i in range(7, 28)], [2, 4], [("graph", 1.0), ("eager", 3.0)]
        )
    ]
    collective = [
        {
            "op_name": op,
            "nccl_dtype": "half",
            "num_gpus": g,
            "message_size": e,
            "latency": 1e3 * reduction(e, g),
        }
        for e, g, op in itertools.product(
            [2**i for i in range(8, 28)], [2, 4], ["all_gather", "reduce_scatter", "all_reduce"]
        )
    ]
    moe = [
        {
            "moe_dtype": "bfloat16",
            "num_tokens": t,
            "hidden_size": 2048,
            "inter_size": 768,
            "topk": 8,
            "num_experts": 128,
            "moe_tp_size": tensor,
            "moe_ep_size": whole,
            "distribution": spread,
            "latency": slower * 1e3 * experts(t, tensor * whole),
        }
        for t, (tensor, whole), (spread, slower) in itertools.product(
            SIZES, [(1, 1), (2, 1), (1, 2)], [("balanced", 1.0), ("power_law_1.01", 1.1)]
        )
    ]
    return {
        "gemm/vllm/0.24.0/gemm_perf": gemm,
        "attention/vllm/0.24.0/context_attention_perf": context,
        "attention/vllm/0.24.0/generation_attention_perf": generation,
        "comm/vllm/0.24.0/custom_allreduce_perf": reduce,
        "comm/nccl/2.29.2/nccl_perf": collective,
        "moe/vllm/0.24.0/moe_perf": moe,
    }


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the package's systems/data, with one system whose kernels follow the formulas."""
    root = tmp_path_factory.mktemp("data")
    for name, rows in tables().items():
        path = root / "h100_sxm" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
    old = root / "h100_sxm/gemm/vllm/0.9.0/gemm_perf.parquet"
    old.parent.mkdir(parents=True)
    row = {"gemm_dtype": "bfloat16", "m": 1, "n": 1, "k": 1, "latency": 1e9}
    pq.write_table(pa.Table.from_pylist([row]), old)
    return root


@pytest.fixture(scope="session")
def truth() -> SimpleNamespace:
    """The formulas that the database follows."""
    return SimpleNamespace(product=product, prompt=prompt, batch=batch, reduction=reduction, experts=experts)
