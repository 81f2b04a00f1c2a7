"""Schedulers that form steps: what they say happens, and the engine's own way can be said by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import edgesim
from edgesim import registry
from edgesim.arena import rows
from edgesim.errors import PolicyError
from edgesim.policies import MultilevelFeedback, Plan, Scheduler, register
from edgesim.records import PHASES
from edgesim.scenario import load
from edgesim.serving.reference_steps import FormedReplica
from edgesim.simulation import Simulation
from edgesim.verify import random_systems
from edgesim.verify.check import Kept

from . import storms
from .restated import Attentive, Restated
from .whimsical import Whimsical, forgetting

MS = 10**9


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Leave no policy of this file behind for other tests."""
    yield
    registry.registries["scheduler"].forget(__name__)


# -- random systems ------------------------------------------------------------------------------------------------


def caches(seed: int) -> bool:
    """Does a random system keep prefixes?"""
    system = random_systems.random_system(seed)[0]
    return bool(system.replicas["caching"].any())


@pytest.mark.parametrize("kind", [Restated, Attentive])
@pytest.mark.parametrize("storm", [False, True])
def test_the_engines_own_way_can_be_said(kind: type[Restated], storm: bool, monkeypatch: Any) -> None:
    """A scheduler that restates first come, first served, or priority, changes no bit of 260 random systems.

    With prefix caches it may: a plan says before what a request reads that may then find less in the cache.
    """
    if storm:
        calm = random_systems.random_system
        monkeypatch.setattr(random_systems, "random_system", lambda seed: storms.harsher(calm, seed))
    seen: Counter[str] = Counter()
    put_out = FormedReplica.put_out
    monkeypatch.setattr(
        FormedReplica, "put_out", lambda *a, swap: seen.update([f"swap {swap}"]) or put_out(*a, swap=swap)
    )
    for seed in range(260):
        if caches(seed):
            continue
        scheduler = kind(ranked=bool(seed % 2))
        own, said = random_systems.run_reference(seed), random_systems.run_reference(seed, scheduler)
        assert random_systems.differences(own, said) == [], seed
        seen["asked"] += scheduler.asked
        seen["steps"] += int(sum(own.totals["steps"]))
    assert min(seen["swap True"], seen["swap False"]) > 10
    assert (seen["asked"] < 0.8 * seen["steps"]) == (kind is Restated)


@pytest.mark.parametrize("storm", [False, True])
def test_any_steps_keep_the_books(storm: bool, monkeypatch: Any) -> None:
    """Whatever is allowed, every request ends, phases and joules add up, and all memory comes back."""
    if storm:
        calm = random_systems.random_system
        monkeypatch.setattr(random_systems, "random_system", lambda seed: storms.harsher(calm, seed))
    replicas: list[FormedReplica] = []
    made = FormedReplica.__init__
    monkeypatch.setattr(
        FormedReplica, "__init__", lambda self, *a, **k: replicas.append(self) or made(self, *a, **k)
    )
    sights: Counter[str] = Counter()
    for seed in range(150):
        replicas.clear()
        scheduler = Whimsical(seed)
        account = random_systems.run_reference(seed, scheduler)
        sights += scheduler.sights
        _, arrivals, _ = random_systems.random_system(seed)
        records = account.requests
        assert sorted(records["request"]) == list(range(len(records))), seed
        ended = records[records["finished"] >= 0]
        phases = sum(ended[phase] for phase in PHASES)
        assert np.array_equal(phases, ended["finished"] - ended["arrived"]), seed
        assert records["compute_nj"].sum() == sum(account.totals["compute_nj"]) + account.decided_nj, seed
        if len(account.legs) and (account.legs["outcome"] != rows.UNFINISHED).all():
            for replica in replicas:
                assert replica.free_blocks == replica.total_blocks, seed
                assert [*replica.running, *replica.waiting, *replica.swapped] == [], seed
    assert min(sights.values()) > 100, sights


def multilevel(seed: int) -> Scheduler:
    """The built-in one, with short quanta."""
    policy = MultilevelFeedback(quantum=0.005 if seed % 3 else 0.05, starvation=0.3)
    policy.setup(None, None)
    return policy


@pytest.mark.parametrize(
    "make",
    [
        Whimsical,
        multilevel,
        lambda seed: Restated(ranked=bool(seed % 2)),
        lambda seed: Attentive(ranked=bool(seed % 2)),
    ],
    ids=["whimsical", "multilevel", "restated", "attentive"],
)
@pytest.mark.parametrize("storm", [False, True])
def test_the_kernel_forms_the_same_steps(make: Callable[[int], Scheduler], storm: bool) -> None:
    """Bit for bit as the twin: asked at the same times, shown the same, and told the same."""
    with storms.brewing(random_systems) if storm else nullcontext(), forgetting(random_systems):
        for seed in range(45):
            twin = random_systems.run_reference(seed, make(seed))
            assert random_systems.differences(twin, random_systems.run_kernel(seed, make(seed))) == [], seed


# -- one replica -----------------------------------------------------------------------------------------------------

# A prompt takes 20 ms + 2 ms a token in each step that reads some, a step that only decodes 10 ms.
SCENARIO: dict[str, Any] = {
    "scenario": {"name": "steps", "seed": 1},
    "topology": {"nodes": {"box": {"tier": "edge", "accelerator": "nvidia-l4"}}},
    "deployments": [
        {
            "llm": "llama-3.1-8b",
            "weights": "int8",
            "on": "box",
            "costs": {
                "kind": "linear",
                "prefill": {"base": "20 ms", "per_token": "2 ms"},
                "decode": {"base": "10 ms"},
            },
            "max_num_seqs": 2,
            "max_batched_tokens": 64,
        }
    ],
    "workloads": {"trace": {"from": "box", "path": ""}},
}


def served(tmp_path: Any, scheduler: object, asked: list[tuple[int, int, int]], **deployment: Any) -> Any:
    """Records of requests (arrival [ms], prompt, output) under a scheduler, by number, on both engines."""
    kernel, twin = (on_engine(tmp_path, e, scheduler, asked, **deployment) for e in ("kernel", "reference"))
    for name in kernel.dtype.names:
        assert np.allclose(kernel[name], twin[name], rtol=1e-12, atol=0), name
    return kernel


def on_engine(
    tmp_path: Any, engine: str, scheduler: object, asked: list[tuple[int, int, int]], **deployment: Any
) -> Any:
    """Records on one engine."""
    path = tmp_path / "trace.csv"
    lines = ["arrived_at,prompt_tokens,output_tokens", *(f"{at / 1000},{p},{o}" for at, p, o in asked)]
    path.write_text("\n".join(lines) + "\n")
    data = dict(SCENARIO)
    data["deployments"] = [{**SCENARIO["deployments"][0], **deployment}]
    data["workloads"] = {"trace": {"from": "box", "path": str(path)}}
    data["policies"], data["engine"] = {"scheduler": scheduler}, engine
    kept = Kept()
    Simulation(load(data)).run(kept)
    return kept.records


def test_what_a_plan_says_happens(tmp_path: Any) -> None:
    """Chunks, pauses and decodes as said; the time of a pause is a stall."""
    times: list[float] = []

    @register("scripted")
    class Scripted(Scheduler):
        """Read 4 tokens of the first, then the second whole while the first pauses, then finish the first."""

        def schedule(self, view: Any) -> Plan:
            times.append(view.now)
            first = [leg for leg in (*view.running, *view.waiting) if leg.id == 0]
            second = [leg for leg in (*view.running, *view.waiting) if leg.id == 1]
            if first and first[0].unread_tokens == 10:
                return Plan(chunks=[(first[0], 4)])
            if second and second[0].unread_tokens:
                return Plan(chunks=[(second[0], second[0].unread_tokens)])
            if second:
                return Plan(decodes=second)
            if first[0].unread_tokens:
                assert first[0].unread_tokens == 6
                return Plan(chunks=[(first[0], 6)])
            return Plan(decodes=first)

    # 0 - 28 ms: 4 tokens of r0; - 58 ms: 5 tokens of r1; - 78 ms: r1's second and third token;
    # - 110 ms: 6 tokens of r0; - 120 ms: its second token.
    records = served(tmp_path, "scripted", [(0, 10, 2), (5, 5, 3)])
    assert times == pytest.approx([0, 0.028, 0.058, 0.078, 0.110] * 2, abs=1e-12)
    assert records["finished"].tolist() == [120 * MS, 78 * MS]
    assert records["prefill"].tolist() == [(28 + 32) * MS, 30 * MS]
    assert records["stall"].tolist() == [50 * MS, 0]
    assert records["queue"].tolist() == [0, 23 * MS]
    assert records["decode"].tolist() == [10 * MS, 20 * MS]


@pytest.mark.parametrize(
    ("steps", "until", "every_step", "expected"),
    [
        (None, None, False, [0, 40]),
        (2, None, False, [0, 40, 60, 80, 100, 120]),
        (None, 0.025, False, [0, 40, 70, 100, 130]),
        (3, 0.025, False, [0, 40, 70, 100, 130]),
        (None, None, True, [0, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130]),
    ],
)
def test_asked_again(
    steps: int | None, until: float | None, every_step: bool, expected: list[int], tmp_path: Any
) -> None:
    """Without a word at changes of the batch, else after so many steps, or at the first boundary after a time."""
    times: list[float] = []
    class_every_step = every_step

    @register("on-time")
    class OnTime(Scheduler):
        """Read, then decode."""

        every_step = class_every_step

        def schedule(self, view: Any) -> Plan:
            times.append(view.now)
            if view.waiting:
                return Plan(chunks=[(view.waiting[0], 10)])
            return Plan(view.running, steps=steps, until_s=None if until is None else view.now + until)

    records = served(tmp_path, "on-time", [(0, 10, 11)])
    assert times == pytest.approx([t / 1000 for t in expected * 2], abs=1e-12)
    assert records["finished"].tolist() == [140 * MS]


def test_idle_until(tmp_path: Any) -> None:
    """A scheduler may wait for more: until a time, and is asked before if somebody comes."""
    times: list[float] = []

    @register("patient")
    class Patient(Scheduler):
        """Wait for company, 100 ms at most."""

        def schedule(self, view: Any) -> Plan:
            times.append(view.now)
            ready = [*view.running, *view.waiting]
            if len(ready) < 2 and view.waiting and view.now < ready[0].delivered_at + 0.1 - 1e-9:
                return Plan(until_s=ready[0].delivered_at + 0.1)
            return Plan(
                [leg for leg in ready if not leg.unread_tokens],
                [(leg, leg.unread_tokens) for leg in ready if leg.unread_tokens],
            )

    records = served(tmp_path, "patient", [(0, 5, 1), (30, 5, 1), (1000, 5, 1)])
    assert times == pytest.approx([0, 0.03, 1.0, 1.1] * 2, abs=1e-12)
    assert records["finished"].tolist() == [70 * MS, 70 * MS, 1130 * MS]
    assert records["queue"].tolist() == [30 * MS, 0, 100 * MS]


def test_preemption_and_swap(tmp_path: Any) -> None:
    """One that is put out reads its prompt and reply again, or comes back from host memory as it was."""

    @register("rude")
    class Rude(Scheduler):
        """Put the first out as soon as a second waits, and bring it back when that one has gone."""

        swaps: bool

        def schedule(self, view: Any) -> Plan:
            if view.running and view.waiting and view.waiting[0].preemptions == 0:
                (leg,) = view.running
                assert (leg.state, leg.kv_tokens, leg.generated_tokens) == ("decoding", 17, 2)
                assert (leg.blocks, leg.swap_blocks) == (2, 2)
                assert leg.predicted_remaining_tokens == max(0, leg.predicted_output_tokens - 2)
                newcomer = [(view.waiting[0], 4)]
                return (
                    Plan(chunks=newcomer, swap=[leg])
                    if self.swaps
                    else Plan(chunks=newcomer, recompute=[leg])
                )
            if view.running:
                leg = view.running[0]
                return Plan(chunks=[(leg, leg.unread_tokens)]) if leg.unread_tokens else Plan([leg])
            if view.swapped:
                return Plan([view.swapped[0]])
            return Plan(chunks=[(view.waiting[0], view.waiting[0].unread_tokens)])

    more = {"preemption": "swap", "block_size": 16, "swap_space": "1 GiB"}
    swap, recompute = (
        served(tmp_path, {"kind": "rude", "swaps": swaps}, [(0, 16, 3), (55, 4, 1)], **more)
        for swaps in (True, False)
    )
    # r0: 52 ms to read 16, 62 ms second token; r1 reads 4 until 90 ms plus the swap; then r0's third token.
    out = int(swap["finished"][1]) - 90 * MS
    assert 0 < out < MS
    assert (
        int(swap["finished"][0]) == (90 + 22) * MS + 2 * out
    )  # a step with a swap is priced like one that reads
    assert recompute["finished"].tolist() == [90 * MS + (20 + 2 * 18) * MS, 90 * MS]
    assert swap["preemptions"].tolist() == recompute["preemptions"].tolist() == [1, 0]
    assert int(recompute["stall"][0]) == (90 - 62 + 56) * MS


@pytest.mark.parametrize("caches", [False, True])
def test_the_report_says_which_engine_ran(caches: bool, tmp_path: Any) -> None:
    """The kernel, but beside prefix caches the readable one, and why; who is asked is timed."""
    path = tmp_path / "trace.csv"
    path.write_text("arrived_at,prompt_tokens,output_tokens\n0,5,3\n")
    data = {
        **SCENARIO,
        "deployments": [{**SCENARIO["deployments"][0], "prefix_cache": caches}],
        "workloads": {"trace": {"from": "box", "path": str(path)}},
        "policies": {"scheduler": "multilevel-feedback"},
    }
    run = edgesim.simulate(data)
    note = "the scheduler 'multilevel-feedback' forms steps beside prefix caches: the readable engine ran"
    assert (note in run.summary["notes"]) == caches
    assert run.summary["engine"]["engine"] == ("reference" if caches else "kernel")
    assert run.summary["engine"]["policy_s"]["scheduler"] > 0


# -- the multilevel feedback queue -----------------------------------------------------------------------------------


def test_a_short_request_passes_a_long_one(tmp_path: Any) -> None:
    """With one seat: the long one has had its quantum when the short one comes, and pauses until that has gone."""
    asked = [(0, 10, 20), (65, 5, 3)]
    policy = {"kind": "multilevel-feedback", "quantum": "40 ms", "ratio": 2}
    fair = served(tmp_path, policy, asked, max_num_seqs=1)
    fcfs = served(tmp_path, "fcfs", asked, max_num_seqs=1)
    assert fcfs["finished"].tolist() == [230 * MS, 280 * MS]
    # r0 reads until 40 ms, its quantum, and goes down to the 80 ms level; r1 (30 ms to read) joins the top at 65 ms,
    # runs from 70 ms: 100 ms first token, 110 ms its quantum is over: level two, behind r0, which has 50 ms left there,
    # until 160 ms; then r1's third token until 170 ms, and r0's last eleven.
    assert fair["first_token"].tolist() == [40 * MS, 100 * MS]
    assert fair["finished"].tolist() == [280 * MS, 170 * MS]
    assert fair["stall"].tolist() == [50 * MS, 50 * MS]
    assert fair["preemptions"].tolist() == [0, 0]


def test_prompts_join_where_their_reading_fits(tmp_path: Any) -> None:
    """A long prompt skips the levels that it would use up at once; without that it comes first."""
    asked = [(0, 60, 1), (1, 60, 1), (2, 5, 1)]
    kind = {"kind": "multilevel-feedback", "quantum": "40 ms"}
    skips = served(tmp_path, kind, asked, max_num_seqs=1)
    joins = served(tmp_path, {**kind, "skip_join": False}, asked, max_num_seqs=1)
    assert skips["finished"].tolist() == [140 * MS, 310 * MS, 170 * MS]
    assert joins["finished"].tolist() == [140 * MS, 280 * MS, 310 * MS]


def test_nobody_starves(tmp_path: Any) -> None:
    """A long prompt under a stream of short ones is served after the limit, not at the end."""
    asked = [(0, 10, 4), *((20 * i, 5, 1) for i in range(1, 100))]
    kind = {"kind": "multilevel-feedback", "quantum": "35 ms"}
    limits = {
        limit: served(tmp_path, {**kind, "starvation": limit}, asked, max_num_seqs=1)
        for limit in ("1 s", "1 h")
    }
    ends = {limit: int(records["finished"][0]) for limit, records in limits.items()}
    assert ends["1 h"] > 3000 * MS
    assert 1040 * MS < ends["1 s"] < 1110 * MS  # the step that runs at 1.04 s, and then three tokens


def test_memory_goes_to_the_first_in_turn(tmp_path: Any) -> None:
    """With KV memory for one request only, the one that is late in turn gives its blocks up, and all come to an end."""
    asked = [(i, 40, 30) for i in range(6)]
    for preemption in ("recompute", "swap"):
        records = served(
            tmp_path, "multilevel-feedback", asked, max_num_seqs=4, kv_tokens=80, preemption=preemption
        )
        assert (records["status"] == rows.R_COMPLETED).all()
        assert records["preemptions"].sum() > 3


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 7", "returned 7 at t=0 s for replica 'box/llama-3.1-8b'; schedule() must return a Plan"),
        ("return Plan()", "formed an empty step at t=0 s"),
        ("return Plan([view.waiting[0]])", "let r0 decode, which is waiting at t=0 s"),
        ("return Plan(chunks=[(view.waiting[0], 4)] * 2)", "named r0, which is not at this replica or was named before, at t=0 s"),
        ("return Plan(['r0'])", "named 'r0', which is not at this replica"),
        ("return Plan(chunks=[view.waiting[0]])", "chunks (request, tokens)"),
        ("return Plan(chunks=[(view.waiting[0], 11)])", "let r0 read 11 tokens at t=0 s"),
        ("return Plan(chunks=[(view.waiting[0], 0)])", "it can read 1 to 10 tokens, its unread_tokens"),
        ("return Plan(recompute=[view.waiting[0]])", "preempted r0, which is waiting"),
        ("return Plan(until_s=view.now)", "wanted to be asked at 0.0 at t=0 s"),
        ("return Plan(chunks=[(view.waiting[0], 1)], steps=0)", "wanted to be asked after 0 steps"),
        ("return view.wating", "failed"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(body: str, message: str, tmp_path: Any) -> None:
    """The message names policy, answer, moment, replica, rule and line."""
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from edgesim.policies import MultilevelFeedback, Plan, Scheduler, register\n\n\n@register('mine')\nclass Mine(Scheduler):\n"
        f'    """Mistaken."""\n\n    def schedule(self, view):\n        {body}\n'
    )
    registry.load_plugin(plugin)
    try:
        with pytest.raises(PolicyError) as caught:
            served(tmp_path, "mine", [(0, 10, 3), (0, 5, 2)])
    finally:
        registry.registries["scheduler"].forget(registry.lookup("scheduler", "mine").__module__)
    text = str(caught.value)
    if message == "failed":
        assert "scheduler 'mine' raised AttributeError in schedule() at t=0 s: " in text
        assert text.endswith("mine.py:9)")
    else:
        assert message in text
        assert text.startswith("scheduler 'mine' ")
        assert text.endswith("mine.py:8)")


def test_running_requests_that_everybody_forgets(tmp_path: Any) -> None:
    """A plan that lets all pause, and says nothing of until when, is refused."""

    @register("forgetful")
    class Forgetful(Scheduler):
        """Read, and then forget."""

        def schedule(self, view: Any) -> Plan:
            return Plan(chunks=[(leg, leg.unread_tokens) for leg in view.waiting])

    with pytest.raises(
        PolicyError, match=r"formed an empty step at t=0\.04 s .*; let somebody decode or read"
    ):
        served(tmp_path, "forgetful", [(0, 10, 3)])
