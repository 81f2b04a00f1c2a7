"""Prefix caching: hits are what the prompts say, memory is never exceeded, and better orders forget less."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgesim
from edgesim.policies import Cache, Plan, Scheduler, register
from edgesim.registry import registries

BLOCK, NAMED = 16, 512


def scenario(
    trace: Path, *, tokens: int, cache: object = "lru", on: bool = True, seqs: int = 64
) -> dict[str, Any]:
    """One replica with so much KV cache that replays a trace."""
    return {
        "scenario": {"name": "prefixes", "seed": 1},
        "topology": {"nodes": {"box": {"tier": "cloud", "accelerator": "nvidia-a100-80gb-sxm"}}},
        "deployments": [
            {
                "llm": "llama-3.1-8b",
                "on": "box",
                "prefix_cache": on,
                "kv_tokens": tokens,
                "max_num_seqs": seqs,
                "watermark": "0 %",
            }
        ],
        "policies": {"cache": cache},
        "workloads": {"trace": {"from": "box", "path": str(trace)}},
    }


def written(path: Path, prompts: Sequence[Sequence[int]], gap_ms: int, output: int = 2) -> Path:
    """A trace whose prompts are whole blocks with these names, so many milliseconds apart."""
    with path.open("w") as file:
        for i, names in enumerate(prompts):
            row = {"timestamp": i * gap_ms, "input_length": NAMED * len(names), "output_length": output}
            file.write(json.dumps(row | {"hash_ids": list(names)}) + "\n")
    return path


def chains(seed: int, count: int, depth: int, width: int) -> list[tuple[int, ...]]:
    """Prompts that begin alike and then part; popular beginnings come often."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        path, names = 0, []
        for _ in range(int(random.integers(1, depth + 1))):
            path = path * width + min(int(random.geometric(0.5)), width)
            names.append(path)
        made.append(tuple(names))
    return made


def counted(prompts: Sequence[Sequence[int]], lengths: Sequence[int] | None = None) -> int:
    """Tokens that an endless cache serves one request after the other: whole blocks, the last token excepted."""
    seen: set[tuple[int, ...]] = set()
    hits = 0
    for i, names in enumerate(prompts):
        length = NAMED * len(names) if lengths is None else lengths[i]
        known = 0
        while known < len(names) and tuple(names[: known + 1]) in seen:
            known += 1
        hits += min(known * NAMED, length - 1) // BLOCK * BLOCK
        seen |= {tuple(names[: k + 1]) for k in range(len(names))}
    return hits


def test_one_at_a_time_hits_are_those_of_the_names(tmp_path: Path) -> None:
    """With room for everything, the cached tokens are what counting the names gives, request by request."""
    prompts = chains(1, 200, 5, 3)
    run = edgesim.simulate(scenario(written(tmp_path / "t.jsonl", prompts, 5000), tokens=10_000_000))
    assert run.requests["cached_tokens"].sum() == counted(prompts) > 100_000
    off = edgesim.simulate(scenario(tmp_path / "t.jsonl", tokens=10_000_000, on=False))
    assert off.requests["cached_tokens"].sum() == 0
    assert run.requests["prefill"].sum() < 0.7 * off.requests["prefill"].sum()


@pytest.mark.parametrize("tokens", [4096, 20_000, 10_000_000])
@pytest.mark.parametrize("gap_ms", [5000, 5])
def test_hits_and_computed_tokens_make_up_all_prompts(tokens: int, gap_ms: int, tmp_path: Path) -> None:
    """To the token, one at a time and in a crowd; blocks in use never exceed the memory."""
    prompts = chains(2, 150, 6, 3)
    run = edgesim.simulate(scenario(written(tmp_path / "t.jsonl", prompts, gap_ms), tokens=tokens))
    work = run.summary["by"]["replica"]["box/llama-3.1-8b"]["fleet"]
    frame = run.requests
    prompt, output = frame["prompt_tokens"].sum(), frame["output_tokens"].sum()
    if not frame["preemptions"].sum():
        assert work["tokens"] + work["cached_tokens"] == prompt + output - len(frame)
        assert work["cached_tokens"] == frame["cached_tokens"].sum()
    assert work["tokens"] + work["cached_tokens"] >= prompt + output - len(frame)
    assert work["peak_kv_share"] <= 1
    assert (frame["status"] == "completed").all()


def hits(tmp_path: Path, prompts: Sequence[Sequence[int]], cache: object, tokens: int) -> int:
    """Cached tokens under a policy."""
    path = written(tmp_path / "t.jsonl", prompts, 5000)
    return int(edgesim.simulate(scenario(path, tokens=tokens, cache=cache)).requests["cached_tokens"].sum())


@pytest.mark.parametrize("seed", range(3))
def test_belady_is_never_beaten(seed: int, tmp_path: Path) -> None:
    """On equal blocks and a fixed order of requests, knowing the future serves most."""
    random = np.random.default_rng(seed)
    prompts = [(min(int(random.zipf(1.3)), 40),) for _ in range(300)]
    best = hits(tmp_path, prompts, "belady", 8 * NAMED)
    others = {cache: hits(tmp_path, prompts, cache, 8 * NAMED) for cache in ("lru", "fifo", "lfu", "gdsf")}
    assert max(others.values()) <= best
    assert len(set(others.values())) > 1
    assert best <= counted(prompts)


def test_lru_forgets_what_was_not_used(tmp_path: Path) -> None:
    """With room for two prompts and four blocks, the third pushes out 29 of the 32 blocks of one of them."""
    prompts = [(1,), (2,), (1,), (3,), (1,), (2,)]
    whole, rest = NAMED - BLOCK, 3 * BLOCK
    assert hits(tmp_path, prompts, "lru", 2 * NAMED + 4 * BLOCK) == 2 * whole + rest
    assert hits(tmp_path, prompts, "fifo", 2 * NAMED + 4 * BLOCK) == whole + 2 * rest


def test_sessions_and_shared_beginnings_are_served() -> None:
    """A later turn finds its history, and every prompt the workload's shared beginning."""
    base = scenario(Path("unused"), tokens=400_000)
    chat = {
        "from": "box",
        "arrivals": {"kind": "poisson", "rate": "0.5/s"},
        "prompt_tokens": 400,
        "output_tokens": 64,
        "shared_prefix": 300,
        "session": {"turns": 3, "think_time": "5 s"},
    }
    run = edgesim.simulate(base | {"scenario": {"name": "s", "requests": 120}, "workloads": {"chat": chat}})
    frame = run.requests.sort_values("arrived_at")
    first = frame[frame["prompt_tokens"] == 400]
    later = frame[frame["prompt_tokens"] > 400]
    assert set(first["cached_tokens"][1:]) == {300 // BLOCK * BLOCK}
    held = later["prompt_tokens"] - 400 - 1  # the reply's last token was never read
    assert (later["cached_tokens"] == held // BLOCK * BLOCK).all()


def sized(path: Path, prompts: Sequence[tuple[Sequence[int], int, int]], gap_ms: int = 60_000) -> Path:
    """A trace of prompts: names, tokens and output of each."""
    with path.open("w") as file:
        for i, (names, tokens, output) in enumerate(prompts):
            row = {"timestamp": i * gap_ms, "input_length": tokens, "output_length": output}
            file.write(json.dumps(row | {"hash_ids": list(names)}) + "\n")
    return path


def kv_of(tokens: int, output: int) -> int:
    """KV tokens of the whole blocks that a request takes alone; its last token is never stored."""
    return -(-(tokens + output - 1) // BLOCK) * BLOCK


@pytest.mark.parametrize("engine", ["kernel", "reference"])
@pytest.mark.parametrize(
    ("prompts", "hits"),
    [
        # The prompt fills the memory and is cached as a whole: its last block is wanted once more.
        ([((1,), NAMED, 1), ((1,), NAMED, 1)], NAMED - BLOCK),
        # The prompt is shorter than what is cached, and its reply wants the rest of the memory.
        ([((1,), NAMED, 1), ((1,), 100, NAMED - 99)], 96),
        # The same, behind a prompt that is longer by far: what follows the part in use is forgotten first.
        ([((1, 2), 2 * NAMED, 1), ((1,), 100, 2 * NAMED - 99)], 96),
        # Many blocks are wanted at once: the prompt parts from what is cached.
        ([((1, 2), 2 * NAMED, 1), ((1, 3), 2 * NAMED, 1)], NAMED),
    ],
)
def test_what_fits_alone_is_served_whatever_is_cached(
    prompts: list[tuple[tuple[int, ...], int, int]], hits: int, engine: str, tmp_path: Path
) -> None:
    """Only the blocks that serve a prompt are kept for it; the rest of a prefix gives way like all that is idle."""
    tokens = max(kv_of(prompt, output) for _, prompt, output in prompts)
    told = scenario(sized(tmp_path / "t.jsonl", prompts), tokens=tokens)
    frame = edgesim.simulate(told | {"engine": engine}).requests
    assert list(frame["status"]) == ["completed"] * len(prompts)
    assert list(frame["preemptions"]) == [0] * len(prompts)
    assert list(frame["cached_tokens"]) == [0, hits]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("order", ["lru", "gdsf"])
def test_one_at_a_time_all_that_fits_is_served(seed: int, order: str, tmp_path: Path) -> None:
    """Prompts that part and end anywhere, each of which fills the memory with its reply; both engines agree."""
    random = np.random.default_rng(seed)
    prompts = []
    for names in chains(seed, 60, 4, 2):
        prompt = NAMED * len(names) - int(random.choice([0, random.integers(0, NAMED)]))
        prompts.append((names, prompt, 4 * NAMED - prompt + 1))
    told = scenario(sized(tmp_path / "t.jsonl", prompts), tokens=4 * NAMED, cache=order)
    frames = [edgesim.simulate(told | {"engine": engine}).requests for engine in ("kernel", "reference")]
    assert frames[0].equals(frames[1])
    assert (frames[0]["status"] == "completed").all()
    assert not frames[0]["preemptions"].any()
    assert frames[0]["cached_tokens"].sum() > 10 * NAMED


@pytest.fixture
def forget() -> Iterator[None]:
    """Leave no policy of this file behind for other tests."""
    yield
    for role in ("cache", "scheduler"):
        registries[role].forget(__name__)


def test_a_policy_of_ones_own_runs_on_the_readable_engine(forget: None, tmp_path: Path) -> None:
    """It decides as the built-in one that it describes, and the run says which engine ran, and why."""

    @register("my-lfu")
    class Mine(Cache):
        """Forget what was used least often."""

        def rank(self, prefix: Any, now: float) -> float:
            assert prefix.blocks > 0
            assert prefix.last_used_at <= now
            return prefix.hits

    prompts = chains(3, 60, 4, 3)
    path = written(tmp_path / "t.jsonl", prompts, 50)
    mine = edgesim.simulate(scenario(path, tokens=4096, cache="my-lfu"))
    built_in = edgesim.simulate(scenario(path, tokens=4096, cache="lfu"))
    assert "the cache policy 'my-lfu' is Python: the readable engine ran" in mine.summary["notes"]
    assert (mine.summary["engine"]["engine"], built_in.summary["engine"]["engine"]) == ("reference", "kernel")
    assert mine.requests.equals(built_in.requests)


def test_caches_that_found_nothing_are_told(tmp_path: Path) -> None:
    """Prompts that have nothing in common: the run says so, and only where a cache was there to find something."""
    said = "prefix caches are on, but no prompt was found in one"
    path = written(tmp_path / "t.jsonl", [[10 * n, 10 * n + 1] for n in range(20)], 500)
    for on in (True, False):
        run = edgesim.simulate(scenario(path, tokens=100_000, on=on))
        assert (said in run.summary["notes"]) is on
        assert run.summary["metrics"]["cached_tokens"]["max"] == 0
    same = edgesim.simulate(scenario(written(path, [[1, 2]] * 20, 500), tokens=100_000))
    assert said not in same.summary["notes"]
    assert same.summary["metrics"]["cached_tokens"]["max"] > NAMED


def test_formed_steps_have_the_memory_they_were_promised(forget: None, tmp_path: Path) -> None:
    """Who starts may push out what two behind it were to share; the blocks that are told to be left are there."""

    @register("all-that-fit")
    class AllThatFit(Scheduler):
        """Start all that fit, first come, first served."""

        def schedule(self, view: Any) -> Plan:
            chunks: list[tuple[Any, int]] = [(leg, leg.unread_tokens) for leg in view.running]
            for leg in view.waiting:
                if view.free_blocks_after((), [*(other for other, _ in chunks), leg]) >= 0:
                    chunks.append((leg, min(leg.unread_tokens, NAMED + 1)))
            return Plan(chunks=chunks)

    path = tmp_path / "t.jsonl"
    prompts = [((1,), NAMED), ((2,), NAMED), ((3,), NAMED), ((1, 4), NAMED + 1), ((1, 5), NAMED + 1)]
    with path.open("w") as file:
        for (names, tokens), at in zip(prompts, (0, 60_000, 120_000, 120_000, 120_000), strict=True):
            row = {"timestamp": at, "input_length": tokens, "output_length": 1, "hash_ids": list(names)}
            file.write(json.dumps(row) + "\n")
    told = scenario(path, tokens=2 * NAMED + 2 * BLOCK)
    told["policies"]["scheduler"] = "all-that-fit"
    frame = edgesim.simulate(told).requests
    assert list(frame["status"]) == ["completed"] * len(prompts)
    assert not frame["preemptions"].any()


def test_a_real_trace_one_at_a_time(tmp_path: Path, reference_data: Path) -> None:
    """Token hits equal those counted directly from the trace's block names."""
    packed = (reference_data / "traces" / "mooncake_synthetic.jsonl.gz").read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(packed).splitlines()[:1000]]
    rows = [row for row in rows if row["input_length"] + row["output_length"] <= 131_072]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(r | {"timestamp": i * 200_000}) + "\n" for i, r in enumerate(rows)))
    run = edgesim.simulate(scenario(path, tokens=2_000_000_000))
    done = run.requests[run.requests["status"] == "completed"]
    assert len(done) == len(rows)
    expected = counted([r["hash_ids"] for r in rows], [r["input_length"] for r in rows])
    assert done["cached_tokens"].sum() == expected > 1_000_000
