"""Kernel times of one LLM: three tables become the steps of an engine; what is wrong with them is told."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgesim import catalog
from edgesim.calibrate.kernels import profile_of_kernels
from edgesim.cli import main
from edgesim.costs.profile import Profile, profile_step_cost
from edgesim.costs.step import PS
from edgesim.errors import ScenarioError

LLM = catalog.llm("llama-3.1-8b")
CHUNKS, PASTS, COUNTS, CONTEXTS = (16, 256, 2048), (0, 1024, 4096), (1, 8, 64), (16, 1024, 8192)


def attention(chunk: int, past: int, count: int, context: int) -> float:
    """Time of one layer's attention [us]."""
    return 8 + chunk * (past + chunk / 2) / 1.5e4 + count * context / 400


PRODUCTS = {"qkv_proj": (30, 0.2), "o_proj": (20, 0.15), "gate_up_proj": (140, 0.9), "down_proj": (70, 0.45)}
"""Time of a layer's products [us], and what each token adds."""


def products(tokens: float) -> float:
    """Time of all of them together [us]."""
    return sum(base + each * tokens for base, each in PRODUCTS.values())


def write_tables(folder: Path) -> str:
    """Write tables that follow formulas; answer their prefix."""
    prefix = str(folder / "gpu_")
    dense = ["layer,tokens,time_us"]
    for tokens in (1, 64, 2048):
        dense += [f"{name},{tokens},{base + each * tokens}" for name, (base, each) in PRODUCTS.items()]
        dense += [f"layernorm,{tokens},2.5", f"embedding,{tokens},3"]
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
    linear = 32 * (products(64) + 2 * 2.5) + 3
    head = np.interp(64, [1, 256], [701 + 20, 956 + 200])
    expected = linear + head + 32 * attention(0, 0, 64, 1024)
    assert cost.decode(64, 64 * 1024).ps / PS == pytest.approx(expected * 1e-6, rel=1e-4)
    tokens = 2048 + 64
    longer = 32 * (products(tokens) + 2 * 2.5) + 3
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
        ("qkv_proj,64,42.8", "qkv_proj,64,", "row 7: time_us '' is not a number"),
        ("qkv_proj,64,42.8", "qkv_proj,64,inf", "row 7: time_us is inf, which is no measurement"),
        ("qkv_proj,64,42.8", "qkv_proj,64,-1", "row 7: time_us is -1, which cannot be negative"),
        ("qkv_proj,64,42.8", "qkv_proj,1,42.8", "row 7: the same point as row 1"),
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
def test_measured_kernels_are_kept(reference_data: Path, gpu: str, name: str, llm: str) -> None:
    """Every decode that was profiled is found again in the profile."""
    import csv

    prefix = reference_data / f"kernels/profile_{gpu}_{name}_tp1_"
    found = profile_of_kernels(
        str(prefix),
        catalog.llm(llm),
        catalog.named("accelerator", gpu) or "",
        weights="bf16",
        tensor_parallel=1,
        engine="",
        source="",
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


def spoilt(folder: Path, kind: str, change: Callable[[str], str]) -> list[str]:
    """What is said of tables of which one is changed; always with its file."""
    prefix = write_tables(folder)
    path = next(folder.glob(f"gpu_{kind}.csv*"))
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    path.unlink()
    path = Path(f"{prefix}{kind}.csv")
    path.write_text(change(text))
    with pytest.raises(ScenarioError) as caught:
        profile(prefix)
    assert {problem.file for problem in caught.value.problems} <= {str(path), f"{prefix}dense.csv"}
    return [problem.text for problem in caught.value.problems]


def without(start: str, inverted: bool = False) -> Callable[[str], str]:
    def change(text: str) -> str:
        head, *rows = text.splitlines()
        return "\n".join([head, *(row for row in rows if row.startswith(tuple(start.split())) is inverted)])

    return change


@pytest.mark.parametrize(
    ("kind", "change", "complaint"),
    [
        ("dense", without("gate_up_proj"), "no kernel gate_up_proj; the table has down_proj, embedding"),
        ("per_sequence", without("lm_head"), "no kernel lm_head; the table has sampler"),
        (
            "dense",
            lambda text: text.replace("down_proj,1,70.45", "down_proj,1,0.07"),
            "row 4: down_proj of 1 tokens takes 0.07 us where the peaks allow no less than 14.4 us",
        ),
        (
            "attention",
            lambda text: text.replace("0,0,64,8192,1318.72", "0,0,64,8192,13.1872"),
            "row 9: attention of a chunk of 0 behind 0 beside 64 decodes of 8192 takes 13.1872 us",
        ),
        (
            "dense",
            lambda text: "\n".join(
                row for row in text.splitlines() if ",64," not in row and ",2048," not in row
            ),
            "down_proj, embedding, gate_up_proj, layernorm, o_proj, qkv_proj: measured at one number of tokens",
        ),
        (
            "attention",
            without("0,0,"),
            "decodes alone (prefill_chunk 0): no row; a profile needs two or more",
        ),
        (
            "attention",
            without("0,0,", inverted=True),
            "prompts alone (n_decode 0): no row; a profile needs two",
        ),
        (
            "dense",
            lambda text: "\n".join(
                [text.splitlines()[0]]
                + [
                    f"{n},{t},{50 * float(u)}"
                    for n, t, u in (row.split(",") for row in text.splitlines()[1:])
                ]
            ),
            "these are hardly kernels of llama-3.1-8b on nvidia-a100-80gb-sxm: lm_head reaches 90%",
        ),
    ],
)
def test_impossible_tables_are_refused(
    tmp_path: Path, kind: str, change: Callable[[str], str], complaint: str
) -> None:
    """Kernels that lack, that beat the peaks, that were measured once, or that are another LLM's."""
    found = spoilt(tmp_path, kind, change)
    assert found[0].startswith(complaint)


def test_slow_kernels_are_another_machine(tmp_path: Path) -> None:
    """All of them at a tenth of what the peaks allow: milliseconds, or another accelerator's."""
    prefix = write_tables(tmp_path)
    for path in (Path(f"{prefix}dense.csv"), Path(f"{prefix}per_sequence.csv")):
        head, *rows = path.read_text().splitlines()
        slower = [f"{n},{t},{10 * float(u)}" for n, t, u in (row.split(",") for row in rows)]
        path.write_text("\n".join([head, *slower]))
    with pytest.raises(ScenarioError, match=r"no large product reaches more than .* of what the peaks"):
        profile(prefix)


def test_the_command_tells_how_it_does_between_points(tmp_path: Path) -> None:
    """On sizes that it leaves out; what nine in ten keep is the profile's band, and a picture shows them."""
    prefix = write_tables(tmp_path)
    with gzip.open(f"{prefix}attention.csv.gz", "at") as file:
        file.writelines(f"\n0,0,{n},{c},{attention(0, 0, n, c)}" for n in COUNTS for c in (64, 256, 4096))
    out = tmp_path / "mine.json"
    given = ("--kernels", prefix, "--accelerator", "nvidia-a100-80gb-sxm", "--llm", "llama-3.1-8b")
    result = CliRunner().invoke(main, ["calibrate", "costs", *given, "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert "decode step" in result.output
    assert (tmp_path / "mine.png").stat().st_size > 1000
    assert json.loads(out.read_text())["error_band"] == 0.1
    wrong = CliRunner().invoke(
        main, ["calibrate", "costs", *given, "--weights", "fp7", "-o", str(tmp_path / "x")]
    )
    assert wrong.exit_code == 2
    assert "no number format 'fp7'" in wrong.output


def test_tables_of_another_machine_are_refused(reference_data: Path) -> None:
    """Real kernels of an RTX 4090 passed off as an H100's, of one LLM as another's."""
    prefix = str(reference_data / "kernels/profile_RTX4090_meta-llama_Llama-3.1-8B_tp1_")
    for machine, llm in (
        ("nvidia-h100-sxm", "qwen3-32b"),
        ("nvidia-h100-sxm", "llama-3.1-8b"),
        ("rtx-4090", "qwen3-8b"),
    ):
        with pytest.raises(ScenarioError, match="peaks"):
            profile_of_kernels(
                prefix, catalog.llm(llm), machine, weights="bf16", tensor_parallel=1, engine="", source=""
            )
