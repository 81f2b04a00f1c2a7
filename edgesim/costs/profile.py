"""Step costs from measured kernel times: a profile file of one LLM on one accelerator, interpolated.

A profile holds times of the parts of a step for all layers together: linear layers by tokens, LM head and sampling by
sequences, attention of decodes by sequences and mean context, and attention of steps with prompts by chunk, tokens
before it, decoding sequences and mean context. What an engine's host adds to a step is stated beside them. No step
is priced below its roofline: peak arithmetic, peak bandwidth.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

import numpy as np

from edgesim.costs import llm as work
from edgesim.costs.measured import Measured
from edgesim.costs.memory import block_bytes, kv_blocks
from edgesim.costs.power import power_of
from edgesim.costs.roofline import (
    Efficiency,
    flops_and_bytes,
    ideal_machine,
    image_seconds,
    machine,
    shared_notes,
    with_stream_rate,
)
from edgesim.costs.sharing import multiplied, shared
from edgesim.costs.stated import Keys, Stated
from edgesim.costs.step import MIXED_FEATURES, PS, StepCost, check_range, down, up, work_unit
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.catalog import Accelerator, Llm
    from edgesim.costs.power import Power

FORMAT: Final = "edgesim profile 1"

SAME_CHIP: Final = frozenset({("rtx-pro-6000", "rtx-pro-6000-server")})
"""Accelerators with one chip and memory: a profile of one serves the other."""

FURTHEST: Final = 1 << 17
"""Contexts up to which decode segments are laid out; the last one goes on for ever."""


@dataclass(frozen=True)
class Profile:
    """Measured times of the parts of a step [s], all layers together.

    Attributes:
        accelerator: Name in the catalogue of what it was measured on.
        llm: Name in the catalogue of what was run.
        weights: Number format of the weights.
        tensor_parallel: Accelerators that shared it.
        engine: Engine and version, since times belong to one.
        source: Where the times come from.
        tokens: Steps of so many tokens, ascending ...
        linear: ... take this in everything but attention and head.
        sequences: So many sampled tokens, ascending ...
        head: ... take this in LM head and sampler.
        decode_sequences: So many decoding sequences ...
        decode_contexts: ... of this mean context ...
        decode: ... take this in attention, [sequences][contexts].
        chunks: A chunk of so many tokens ...
        pasts: ... behind so many of its prompt ...
        mixed_sequences: ... beside so many decoding sequences (from 0) ...
        mixed_contexts: ... of this mean context ...
        mixed: ... take this in attention, [chunks][pasts][sequences][contexts].
        step_overhead: What the host adds to a step.
        sequence_overhead: What it adds for each sequence in it.
        fitted: Whether the overheads were fitted to a run of the engine.
        error_band: Relative error to expect of step times.
    """

    accelerator: str
    llm: str
    weights: str
    engine: str
    source: str
    tokens: list[int]
    linear: list[float]
    sequences: list[int]
    head: list[float]
    decode_sequences: list[int]
    decode_contexts: list[int]
    decode: list[list[float]]
    chunks: list[int]
    pasts: list[int]
    mixed_sequences: list[int]
    mixed_contexts: list[int]
    mixed: list[list[list[list[float]]]]
    tensor_parallel: int = 1
    step_overhead: float = 0.0
    sequence_overhead: float = 0.0
    fitted: bool = False
    error_band: float = 0.1
    name: str = field(default="", compare=False)

    def text(self) -> str:
        """The profile as a JSON file."""
        content = {"format": FORMAT} | asdict(self)
        del content["name"]
        lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def problems(self) -> list[str]:
        """What is wrong with its tables."""
        shapes = {
            "linear": (self.linear, [self.tokens]),
            "head": (self.head, [self.sequences]),
            "decode": (self.decode, [self.decode_sequences, self.decode_contexts]),
            "mixed": (self.mixed, [self.chunks, self.pasts, self.mixed_sequences, self.mixed_contexts]),
        }
        found = []
        for name, (table, axes) in shapes.items():
            try:
                values = np.array(table, dtype=np.float64)
            except (TypeError, ValueError):
                found.append(f"'{name}' is no table of numbers")
                continue
            if values.shape != tuple(len(axis) for axis in axes):
                wanted = " x ".join(str(len(axis)) for axis in axes)
                found.append(f"'{name}' must have {wanted} entries")
            elif not (np.isfinite(values) & (values >= 0)).all():
                found.append(f"'{name}' holds an entry that is no time")
            for axis in axes:
                if len(axis) < 2 or any(b <= a for a, b in pairwise(axis)):
                    found.append(f"the axes of '{name}' need two or more ascending entries")
                    break
        return found


@cache
def read(path: str) -> Profile:
    """Read a profile file.

    Raises:
        ScenarioError: The file is missing or holds no profile.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise _refusal(f"profile '{path}' cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise _refusal(f"'{path}' is no profile: not valid JSON: {error}") from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise _refusal(f"'{path}' is no profile; `edgesim calibrate costs` writes one")
    known = {item.name for item in fields(Profile)} - {"name"}
    missing = {item.name for item in fields(Profile) if item.default is item.default_factory} - set(content)
    if set(content) - known or missing:
        odd = min(set(content) - known | missing)
        raise _refusal(f"'{path}' is no profile of this version: check the key '{odd}'")
    profile = Profile(**content, name=Path(path).stem)
    problems = profile.problems()
    if problems:
        raise _refusal(f"'{path}': {problems[0]}")
    return profile


def _refusal(text: str) -> ScenarioError:
    return ScenarioError([Problem(("costs", "path"), text)])


def check(profile: Profile, accelerator: str, llm: Llm, weights: str) -> None:
    """Refuse a profile of something else; another parallelism is made up for.

    Raises:
        ScenarioError: It was measured on another accelerator, LLM or number format.
    """
    full = {"fp16", "bf16"}
    same = (profile.accelerator, accelerator) in SAME_CHIP or (accelerator, profile.accelerator) in SAME_CHIP
    pairs = [
        ("accelerator", profile.accelerator, profile.accelerator if same else accelerator),
        ("llm", profile.llm, llm.name),
    ]
    if not {profile.weights, weights} <= full:
        pairs.append(("weights", profile.weights, weights))
    for what, has, wanted in pairs:
        if has != wanted:
            text = f"the profile was measured with {what} {has!r}, the deployment has {wanted!r}"
            raise _refusal(text)
    if llm.window or llm.encoder_only:
        raise _refusal("profiles know neither sliding windows nor encoders; use kind: roofline")


def profile_step_cost(
    accelerator: Accelerator,
    llm: Llm,
    profile: Profile,
    *,
    pue: float = 1.0,
    host_power: float = 0.0,
    step_overhead: float | None = None,
    sequence_overhead: float | None = None,
    time_factor: float = 1.0,
    **stated: Unpack[Keys],
) -> StepCost:
    """Build the step costs of a replica from a profile.

    Args:
        accelerator: What it runs on.
        llm: What it runs.
        profile: Measured times.
        pue: Power usage effectiveness of the place.
        host_power: The replica's share of what the host draws [W].
        step_overhead: What the host adds to a step [s], instead of the profile's.
        sequence_overhead: What it adds for each sequence [s], instead of the profile's.
        time_factor: What the measured times are multiplied by, host apart.
        **stated: See `edgesim.costs.stated.Stated`.
    """
    given = Stated(**stated)
    weights, kv, tensor_parallel = given.weights or llm.weights, given.kv, given.tensor_parallel
    max_num_seqs, max_batched_tokens = given.max_num_seqs, given.max_batched_tokens
    check(profile, accelerator.name, llm, weights)
    measured_on = profile.tensor_parallel
    adjusted = step_overhead is not None or sequence_overhead is not None or time_factor != 1
    profile = multiplied(shared(profile, accelerator, llm, tensor_parallel), time_factor)
    ideal = ideal_machine(accelerator, weights, tensor_parallel, given.sharers)
    power = power_of(accelerator, weights, tensor_parallel, pue, host_power)
    unit = work_unit(ideal.linear)
    host = _Host(
        profile.step_overhead if step_overhead is None else step_overhead,
        profile.sequence_overhead if sequence_overhead is None else sequence_overhead,
    )
    most = max(max_num_seqs, max_batched_tokens)
    flops, traffic = flops_and_bytes(ideal, llm, kv, most)
    rows = _roof(flops[0], traffic[0], ideal, power, unit)
    rows[0] = 0
    coef = _roof(flops[1], traffic[1], ideal, power, unit)
    reached = machine(accelerator, weights, tensor_parallel, Efficiency())
    image = round(image_seconds(reached, llm) * PS)
    linear = _along(profile.tokens, profile.linear, np.arange(most + 1))
    head = _along(profile.sequences, profile.head, np.arange(max_num_seqs + 1))
    measured = _measured(profile, linear, head, host, max_num_seqs, rows, coef, power, image)
    block = block_bytes(llm, kv, given.block_size, tensor_parallel)
    cost = StepCost(
        decode_table=rows[: max_num_seqs + 1],
        decode_coef=coef[[MIXED_FEATURES.index(f) for f in ("decode_context", "window_decode_context")]],
        mixed_table=rows[: max_batched_tokens + 1],
        mixed_coef=coef,
        stream_rate=0,
        kv_block_bytes=block,
        kv_blocks=kv_blocks(accelerator, llm, **stated),
        swap_ps_per_block=math.ceil(block / (tensor_parallel * accelerator.host_link) * PS),
        base_mw=power.base_mw,
        idle_mw=power.idle_mw,
        cap_mw=int(power.cap_w * 1e3),
        calibration=f"profile {profile.name or profile.accelerator}, {profile.engine}"
        + (", host overhead fitted" if profile.fitted else "")
        + (", adjusted by the scenario" if adjusted else ""),
        error_band=profile.error_band,
        tokens_per_image=llm.vision.tokens_per_image if llm.vision else 0,
        work_unit=unit,
        peak_flops=ideal.linear,
        peak_bandwidth=ideal.stream,
        weights_bytes=work.resident_bytes(llm, weights, given.sharers),
        measured=measured,
        notes=(
            *_chip_notes(profile, accelerator),
            *_shared_notes(profile, measured_on),
            *shared_notes(given.sharers),
            *_notes(profile, max_num_seqs, max_batched_tokens, given.context or llm.context),
        ),
    )
    check_range(cost, given.context or llm.context)
    return with_stream_rate(cost)


@dataclass(frozen=True)
class _Host:
    """What the host adds to a step, and to it for each sequence [s]."""

    step: float
    sequence: float


def _roof(
    flops: NDArray[np.float64], traffic: NDArray[np.float64], ideal: Any, power: Power, unit: int
) -> NDArray[np.int64]:
    """Rows of eight columns that say only what the peaks allow, and what is drawn beside the base power."""
    dynamic = up(1e9 * (power.joules_per_byte * traffic + power.joules_per_flop * flops))
    nothing = np.zeros_like(dynamic)
    arithmetic, streaming = up(flops / ideal.linear * PS), up(traffic / ideal.stream * PS)
    work_done, kib = down(flops / unit), down(traffic / 1024)
    return np.stack([arithmetic, streaming, dynamic, dynamic, nothing, nothing, work_done, kib], axis=-1)


def _along(axis: list[int], values: object, at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Interpolate along the first dimension; constant below, as over the upper half of the axis above.

    The last two entries alone may lie on one step of a staircase, since kernels work in tiles.
    """
    x, y = np.array(axis, np.float64), np.array(values, np.float64)
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    share = np.maximum((at - x[i]) / (x[i + 1] - x[i]), 0.0)
    half = max(0, int(np.searchsorted(x, x[-1] / 2, side="right")) - 1)
    beyond = np.maximum(at - x[-1], 0.0) / (x[-1] - x[half])
    share, beyond = (part.reshape(-1, *[1] * (y.ndim - 1)) for part in (np.minimum(share, 1.0), beyond))
    result: NDArray[np.float64] = y[i] + (y[i + 1] - y[i]) * share + (y[-1] - y[half]) * beyond
    return np.maximum(result, 0.0)


def _nearest(seconds: object) -> NDArray[np.int64]:
    return np.rint(np.asarray(seconds, np.float64) * PS).astype(np.int64)


def _measured(
    profile: Profile,
    linear: NDArray[np.float64],
    head: NDArray[np.float64],
    host: _Host,
    max_num_seqs: int,
    rows: NDArray[np.int64],
    coef: NDArray[np.int64],
    power: Power,
    image: int,
) -> Measured:
    """Lay the measured times out as integers."""
    counts = np.arange(max_num_seqs + 1)
    whole_head = head + host.step + host.sequence * counts
    sampled = MIXED_FEATURES.index("sampled")
    contexts = np.array(profile.decode_contexts)
    attention = _along(profile.decode_sequences, profile.decode, counts)
    times = (linear[: max_num_seqs + 1] + whole_head)[:, None] + attention
    slopes = np.diff(times, axis=1) / (np.diff(contexts) * np.maximum(counts, 1)[:, None])
    bases = times[:, :-1] - slopes * contexts[:-1] * counts[:, None]
    knots = np.concatenate([[0], contexts[1:-1]])
    roof = rows[: max_num_seqs + 1] + counts[:, None] * coef[sampled]
    segments = np.zeros((max_num_seqs + 1, len(knots), 2, 8), np.int64)
    per_token = coef[MIXED_FEATURES.index("decode_context")]
    for part, (time, dynamic) in enumerate(((bases, roof), (slopes, per_token[None, :]))):
        out = segments[:, :, part]
        out[..., 0] = _nearest(time)
        out[..., 1] = dynamic[:, None, 1]
        for column, source in ((2, out[..., 0]), (3, out[..., 1])):
            out[..., column] = dynamic[:, None, column] + up(source * (power.base_mw * 1e-6))
        out[..., 4] = down(out[..., 0] * (power.cap_w * 1e-3))
        out[..., 5] = down(out[..., 1] * (power.cap_w * 1e-3))
        out[..., 6:] = dynamic[:, None, 6:]
    segments[0] = 0
    head_ps = _nearest(whole_head)
    head_ps[0] = _nearest(host.step)
    return Measured(
        knots=knots.astype(np.int64),
        segments=segments,
        linear=_nearest(linear),
        head=head_ps,
        image=image,
        chunks=np.array(profile.chunks, np.int64),
        pasts=np.array(profile.pasts, np.int64),
        sequences=np.array(profile.mixed_sequences, np.int64),
        contexts=np.array(profile.mixed_contexts, np.int64),
        attention=_nearest(profile.mixed),
    )


def _chip_notes(profile: Profile, accelerator: Accelerator) -> tuple[str, ...]:
    """Which accelerator another one with the same chip stands for."""
    if profile.accelerator == accelerator.name:
        return ()
    name = profile.name or profile.accelerator
    text = f"profile {name} was measured on {profile.accelerator}"
    return (f"{text}, which has the chip and memory of {accelerator.name} under another power limit",)


def _shared_notes(profile: Profile, measured_on: int) -> tuple[str, ...]:
    """What a run divided."""
    if profile.tensor_parallel == measured_on:
        return ()
    name = profile.name or profile.accelerator
    text = f"profile {name} was measured with tensor_parallel {measured_on}; its times are divided"
    return (f"{text} for {profile.tensor_parallel}, and all-reduces estimated",)


def _notes(profile: Profile, max_num_seqs: int, max_batched_tokens: int, context: int) -> tuple[str, ...]:
    """What a run would extrapolate."""
    limits = {
        f"steps of more than {profile.tokens[-1]:,} tokens": max_batched_tokens > profile.tokens[-1],
        f"batches of more than {profile.decode_sequences[-1]:,}": max_num_seqs > profile.decode_sequences[-1],
        f"contexts beyond {profile.decode_contexts[-1]:,} tokens": context > profile.decode_contexts[-1],
    }
    beyond = [text for text, so in limits.items() if so]
    if not beyond:
        return ()
    return (f"profile {profile.name or profile.accelerator} extrapolates {', '.join(beyond)}",)
