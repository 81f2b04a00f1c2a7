"""A database of kernels: both layouts read, wrong rows told, and profiles that add up to the kernels' known times."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edgesim import catalog
from edgesim.calibrate import kernels
from edgesim.calibrate.assemble import SAMPLER, SMALL, STEP_OVERHEAD, Layout, profile_of_database
from edgesim.calibrate.attention import Attention
from edgesim.calibrate.database import CHIPS, Database, open_database, system_of
from edgesim.calibrate.products import Products
from edgesim.costs.profile import Profile, profile_step_cost
from edgesim.costs.step import PS
from edgesim.errors import EdgesimError, MissingExtraError, ScenarioError

LLAMA = "llama-3.1-8b"
MIXTURE = "qwen3-30b-a3b"


@pytest.fixture(scope="module")
def database(package: Path) -> Database:
    return open_database(str(package), "h100_sxm")


def profile(database: Database, llm: str = LLAMA, **given: object) -> Profile:
    given = {"weights": "bf16"} | given
    return profile_of_database(database, catalog.llm(llm), catalog.accelerator("nvidia-h100-sxm"), **given)


def test_the_newest_version_of_an_engine_is_read(database: Database) -> None:
    """Old tables lie beside new ones; sources say which were taken."""
    assert database.sources["gemm"] == "vllm 0.24.0"
    assert database.rows("gemm")["seconds"].max() < 10
    assert database.rows("moe", expert=2)["tensor"].tolist() == [1.0] * len(
        database.rows("moe", expert=2)["tensor"]
    )


def test_the_whole_package_may_be_named(package: Path, tmp_path: Path) -> None:
    """Its folder, the one above, or the one above that."""
    above = tmp_path / "somewhere"
    (above / "systems").mkdir(parents=True)
    (above / "systems/data").symlink_to(package)
    for where in (above, above / "systems", above / "systems/data"):
        assert "gemm" in open_database(str(where), "h100_sxm").tables


def test_extracts_give_the_same_as_the_package(package: Path, tmp_path: Path, database: Database) -> None:
    """The same kernels as CSV files with a column `system` make the same profile."""
    _write_extracts(package, tmp_path)
    extract = open_database(str(tmp_path), "h100_sxm")
    ours, theirs = profile(extract), profile(database)
    assert extract.sources["context"] == "vllm 0.24.0"
    assert ours.linear == pytest.approx(theirs.linear, rel=1e-4)
    assert np.array(ours.mixed) == pytest.approx(np.array(theirs.mixed), rel=1e-4)


def _write_extracts(package: Path, folder: Path) -> None:
    """Write tables as CSV, beside measurements of another kind and of another system."""

    def rows(name: str) -> list[dict[str, object]]:
        return pq.read_table(package / f"h100_sxm/{name}.parquet").to_pylist()

    attention = [
        {**row, "phase": phase}
        for phase in ("context", "generation")
        for row in rows(f"attention/vllm/0.24.0/{phase}_attention_perf")
    ]
    for name, found, source in (
        ("gemm", rows("gemm/vllm/0.24.0/gemm_perf"), "gemm/vllm/0.24.0"),
        ("attention", attention, "attention/vllm/0.24.0"),
    ):
        own = [{"system": "h100_sxm", "source": f"h100_sxm/{source}/x", **row} for row in found]
        other = [{**own[0], "system": "l40s", "latency": 77.0}]
        names = list(own[0])
        lines = [",".join(names), *(",".join(str(row[key]) for key in names) for row in [*other, *own])]
        (folder / f"some_{name}.csv").write_text("\n".join(lines))
    (folder / "a_other_attention.csv").write_text("device,median_ms\nh100,1\n")


def test_wrong_rows_are_told_by_file_and_row(package: Path, tmp_path: Path) -> None:
    """Times that are none, counts that cannot be, and a missing column."""
    _write_extracts(package, tmp_path)
    path = tmp_path / "some_gemm.csv"
    lines = path.read_text().splitlines()
    cells = lines[3].split(",")
    lines[3] = ",".join([*cells[:-1], "nan"])
    cells = lines[5].split(",")
    lines[5] = ",".join([*cells[:-1], "-1.0"])
    path.write_text("\n".join(lines))
    with pytest.raises(ScenarioError) as caught:
        open_database(str(tmp_path), "h100_sxm")
    told = [(problem.file, problem.text.split(",")[0]) for problem in caught.value.problems]
    assert told == [(str(path), "row 3: latency is nan"), (str(path), "row 5: latency is -1.0")]
    path.write_text("\n".join(line.replace("gemm_dtype", "type") for line in lines))
    with pytest.raises(ScenarioError, match="the column 'gemm_dtype' is missing"):
        open_database(str(tmp_path), "h100_sxm")


def test_what_is_not_there_is_said(package: Path, tmp_path: Path) -> None:
    """An unknown system, one without tables, and a package that is not installed."""
    with pytest.raises(EdgesimError, match="of 'h999' are not known; known are a100_sxm"):
        open_database(str(package), "h999")
    with pytest.raises(
        EdgesimError, match="has no gemm and no context and no generation measurements of l40s"
    ):
        open_database(str(tmp_path), "l40s")
    if find_spec("aiconfigurator_core") is None:
        with pytest.raises(MissingExtraError, match=r"pip install 'edgesim\[aiconfigurator\]'"):
            open_database("package", "h100_sxm")
    assert system_of("nvidia-h100-sxm") == "h100_sxm"
    assert system_of("raspberry-pi-5") is None


def test_products_between_measured_shapes(database: Database, truth: SimpleNamespace) -> None:
    """Shapes off the grid in all three directions are met within 3 %."""
    found = Products(database.rows("gemm", dtype="bfloat16"), 989e12, 3.35e12, 2.0)
    tokens = np.array([1.0, 3, 17, 100, 300, 700, 3000, 8192])
    for n, k in ((6144, 4096), (4096, 14336), (28672, 4096), (128256, 4096), (1000, 700)):
        expected = [truth.product(m, min(n, 10**9), k) for m in tokens]
        assert found.seconds(tokens, n, k) == pytest.approx(expected, rel=0.03), (n, k)


def test_products_are_never_faster_than_their_weights_stream() -> None:
    """Small matrices that were measured out of the cache are priced from memory; lighter weights stream faster."""
    grid = np.array([(m, n, k) for m in (1, 16, 256) for n in (1024, 16384) for k in (1024, 16384)], float)
    seconds = np.array(
        [2 * n * k / (8e12 if n * k < 2e6 else 3e12) + 2 * m * n * k / 5e14 for m, n, k in grid]
    )
    rows = dict(zip("mnk", grid.T, strict=True)) | {"seconds": seconds}
    found = Products(rows, 989e12, 3.35e12, 2.0)
    streamed = 2 * 16384 * 16384 / seconds[(grid == [1, 16384, 16384]).all(axis=1)][0]
    assert found.streamed == pytest.approx(streamed, rel=0.01)
    assert found.seconds(np.array([1.0]), 1024, 1024)[0] == pytest.approx(
        2 * 1024 * 1024 / streamed, rel=0.01
    )
    light = found.seconds(np.array([1.0]), 16384, 16384, 0.5)[0]
    assert light == pytest.approx(seconds[(grid == [1, 16384, 16384]).all(axis=1)][0] / 4, rel=0.02)


def test_attention_of_prompts_and_batches(database: Database, truth: SimpleNamespace) -> None:
    """Measured ones are met; tokens before a chunk add their pairs; decodes beside a prompt add what they take alone."""
    found = Attention(database, 32, 8, 128, "bfloat16", 3.35e12)
    assert not found.notes
    assert not found.blocks_of_decodes
    sizes = np.array([1024.0, 2048.0])
    assert found.prompt(sizes, np.zeros(2)) == pytest.approx([truth.prompt(s, 32) for s in sizes], rel=1e-6)
    more = found.prompt(sizes, np.full(2, 8192.0)) - found.prompt(sizes, np.zeros(2))
    assert more == pytest.approx([4 * 32 * 128 * s * 8192 / (0.7 * 989e12) for s in sizes], rel=0.05)
    batches = found.decode(np.array([3.0, 64.0]), np.array([100.0, 3000.0]))
    expected = [[truth.batch(n, c, 8) for c in (100, 3000)] for n in (3, 64)]
    assert batches == pytest.approx(np.array(expected), rel=0.02)
    mixed = found.mixed(sizes, np.zeros(1), np.array([0.0, 64.0]), np.array([3000.0]))[:, 0, :, 0]
    assert mixed[:, 0] == pytest.approx([truth.prompt(s, 32) for s in sizes], rel=1e-6)
    assert mixed[:, 1] - mixed[:, 0] == pytest.approx(np.full(2, truth.batch(64, 3000, 8)), rel=0.05)


def test_older_attention_reads_a_context_for_every_head(package: Path) -> None:
    """FlashAttention 2 lets decodes beside a prompt take longer than alone, by heads, not by cached bytes."""
    database = open_database(str(package), "h100_sxm")
    for kind in ("context", "generation"):
        database.tables[kind]["kernel"] = np.full(
            len(database.tables[kind]["seconds"]), "vllm_flash_attn_fa2"
        )
    older = Attention(database, 32, 8, 128, "bfloat16", 3.35e12)
    assert older.blocks_of_decodes
    sizes, contexts = np.array([0.0, 32.0, 64.0]), np.array([2048.0])
    mixed = older.mixed(np.array([2048.0]), np.zeros(1), sizes, contexts)[0, 0, :, 0]
    each = 1.2 * 4 * 64 * 128 / older.rate * 32 * (2048 + 128)
    assert np.diff(mixed) == pytest.approx([32 * each, 32 * each], rel=1e-6)


def test_heads_that_were_not_measured_are_named(database: Database, truth: SimpleNamespace) -> None:
    """The nearest ones stand for them, in proportion, and a note says so."""
    found = Attention(database, 28, 4, 128, "fp8", 3.35e12)
    assert [note.split(" were")[0].split(" was")[0] for note in found.notes] == [
        "attention over an fp8 cache",
        "heads 28, 4 x 128",
    ]
    prompt = found.prompt(np.array([8192.0]), np.zeros(1))[0]
    assert prompt == pytest.approx(truth.prompt(8192, 28), rel=0.02)


@pytest.mark.parametrize("parallel", [1, 2])
def test_steps_add_up_to_their_kernels(database: Database, truth: SimpleNamespace, parallel: int) -> None:
    """A decode step of Llama-3.1-8B is the sum of what the formulas say, layer by layer, plus small kernels."""
    built = profile(database, layout=Layout(parallel))
    assert (built.tensor_parallel, built.llm, built.engine) == (parallel, LLAMA, "vllm 0.24.0")
    n, context, share = 32, 1024, parallel
    layer = (
        truth.product(n, 6144 / share, 4096)
        + truth.product(n, 4096, 4096 / share)
        + truth.product(n, 28672 / share, 4096)
        + truth.product(n, 4096, 14336 / share)
        + truth.batch(n, context, 8 / share)
        + (2 * truth.reduction(n * 4096, share) if share > 1 else 0.0)
    )
    head = truth.product(n, 128256 / share, 4096) + (truth.reduction(n * 128256, share) if share > 1 else 0.0)
    expected = 32 * (layer + 5 * SMALL) + head + SAMPLER + 2 * SMALL + STEP_OVERHEAD
    cost = profile_step_cost(
        catalog.accelerator("nvidia-h100-sxm"), catalog.llm(LLAMA), built, tensor_parallel=parallel
    )
    assert cost.decode_ps(n, n * context) / PS == pytest.approx(expected, rel=0.03)


def test_experts_take_their_measured_times(database: Database, truth: SimpleNamespace) -> None:
    """All tokens of replicas that share experts count; how tokens spread is the measured column."""
    alone, both = (profile(database, MIXTURE, layout=Layout(1, data, data > 1)) for data in (1, 2))
    i, j = alone.tokens.index(256), both.tokens.index(256)
    layers = catalog.llm(MIXTURE).layers
    measured = layers * 1.1 * (truth.experts(512, 2) - truth.experts(256, 1))
    exchanged = layers * 2 * truth.reduction(512 * 2048, 2)
    assert both.linear[j] - alone.linear[i] == pytest.approx(measured + exchanged, rel=0.02)
    assert "power_law_1.01" in alone.source
    assert both.error_band > alone.error_band


def test_experts_that_were_not_measured_come_from_plain_products(database: Database) -> None:
    """Mixtral has no table here: its distinct experts stream at least, and a note says what stands for them."""
    built = profile(database, "mixtral-8x7b")
    assert "experts of this shape were not measured" in built.source
    streaming = 32 * 8 * 3 * 4096 * 14336 * 2 / 3.35e12
    assert streaming < built.linear[built.tokens.index(64)] < 1.6 * streaming


@pytest.mark.parametrize(
    ("llm", "given", "complaint"),
    [
        ("deepseek-v2-lite", {}, "latent attention"),
        ("gemma-2-9b", {}, "sliding windows"),
        (LLAMA, {"layout": Layout(3)}, "do not divide among 3 accelerators"),
        (LLAMA, {"layout": Layout(8)}, "no all_reduce of 8 accelerators of h100_sxm"),
        (LLAMA, {"weights": "q4_0"}, "no database has products of weights in q4_0"),
    ],
)
def test_what_cannot_be_put_together_is_refused(
    database: Database, llm: str, given: dict[str, object], complaint: str
) -> None:
    """In a sentence that says why."""
    with pytest.raises(EdgesimError, match=complaint):
        profile(database, llm, **given)


def test_formats_without_a_table_are_noted(database: Database) -> None:
    """Four-bit weights stream four times faster here, and the band is wider."""
    light, full = profile(database, weights="int4"), profile(database)
    assert "products of int4 weights were not measured" in light.source
    assert light.error_band > full.error_band
    assert 0.25 < light.linear[0] / full.linear[0] < 0.6


@pytest.mark.parametrize(
    ("name", "llm"), [("meta-llama_Llama-3.1-8B", LLAMA), ("Qwen_Qwen3-32B", "qwen3-32b")]
)
def test_a_profile_of_the_database_is_like_the_measured_one(
    reference_data: Path, name: str, llm: str
) -> None:
    """RTX PRO 6000: kernels measured one by one elsewhere add up to steps within 5 % (median) of those profiled."""
    if llm not in catalog.names("llm"):
        pytest.skip(f"{llm} is not in the catalogue")
    architecture, accelerator = catalog.llm(llm), catalog.accelerator("rtx-pro-6000")
    database = open_database(str(reference_data / "kernels"), "rtx_pro_6000_server")
    ours = profile_of_database(database, architecture, accelerator, weights="bf16")
    prefix = str(reference_data / f"kernels/profile_RTXPRO6000_{name}_tp1_")
    theirs = kernels.profile_of_kernels(
        prefix, architecture, "rtx-pro-6000", weights="bf16", tensor_parallel=1, engine="", source=""
    )
    ours = replace(ours, step_overhead=0.0)
    a, b = (profile_step_cost(accelerator, architecture, each) for each in (ours, theirs))
    decodes = [
        a.decode_ps(n, n * c) / b.decode_ps(n, n * c) - 1
        for n in (1, 4, 8, 16, 32, 64, 128, 256)
        for c in (128, 512, 1024, 2048, 4096)
    ]
    prompts = [a.prefill_ps(n) / b.prefill_ps(n) - 1 for n in (32, 64, 128, 256, 512, 1024, 2048)]
    assert np.median(np.abs(decodes)) < 0.05
    assert np.median(np.abs(prompts)) < 0.06
    assert np.abs(decodes + prompts).max() < 0.15


def test_a_repeated_point_keeps_its_best_time(tmp_path: Path, package: Path) -> None:
    """Kernels compete for a shape; an engine takes the fastest."""
    root = tmp_path / "data"
    root.mkdir()
    for path in package.rglob("*.parquet"):
        target = root / path.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        table = pq.read_table(path)
        if "gemm/vllm/0.24" in str(path):
            slower = [{**row, "latency": row["latency"] * 2} for row in table.to_pylist()]
            table = pa.concat_tables([pa.Table.from_pylist(slower).cast(table.schema), table])
        pq.write_table(table, target)
    twice, once = (open_database(str(where), "h100_sxm") for where in (root, package))
    assert profile(twice).linear == profile(once).linear


def test_systems_are_accelerators_of_the_catalogue() -> None:
    """Each of them, and no accelerator is two systems."""
    named = [name for chip in CHIPS.values() for name in chip.accelerators]
    assert len(set(named)) == len(named)
    assert set(named) <= set(catalog.names("accelerator"))
    assert system_of("nvidia-b300-sxm") == "b300_sxm"
    assert system_of("nvidia-gb200") == "gb200"
