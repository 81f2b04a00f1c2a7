"""Step costs from coefficients that the scenario states, exactly.

A step that only decodes takes `decode.base + per_sequence * sequences + per_context_token * context`; a
step that holds a prompt takes `prefill.base + per_token * tokens + per_token_squared * tokens^2` for a
prompt read at once. Chunks of a prompt add up to the same squares: a chunk that takes it from a to a + n
tokens counts (a + n)^2 - a^2, which is twice its token pairs less n. In a step that holds both, a decoding
sequence counts as one more token and pays for its context. Times are rounded to the nearest picosecond; a
step takes at least one.

Work and traffic are unknown and counted as nothing: constants do not say how they come about.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from edgesim.costs.memory import UNLIMITED_BLOCKS, block_bytes, kv_blocks
from edgesim.costs.power import Power, columns
from edgesim.costs.roofline import with_stream_rate
from edgesim.costs.stated import Keys, Stated
from edgesim.costs.step import MIXED_FEATURES, PS, StepCost, check_range
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.catalog import Accelerator, Llm


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Coefficients of steps [s]; see the module."""

    prefill_base: float = 0.0
    prefill_per_token: float = 0.0
    prefill_per_token_squared: float = 0.0
    decode_base: float = 0.0
    decode_per_sequence: float = 0.0
    decode_per_context_token: float = 0.0


def linear_step_cost(
    accelerator: Accelerator | None,
    llm: Llm,
    coefficients: Coefficients,
    *,
    power: float | None = None,
    pue: float = 1.0,
    host_power: float = 0.0,
    **stated: Unpack[Keys],
) -> StepCost:
    """Build the step costs of a replica from stated coefficients.

    Args:
        accelerator: Gives memory and power; None for a node without one, whose memory then has no limit.
        llm: What it runs.
        coefficients: Times of steps.
        power: Power of one accelerator while a step runs [W]; by default the accelerator's base power plus
            half of what memory traffic can add.
        pue: Power usage effectiveness of the place.
        host_power: The replica's share of what the host draws [W].
        **stated: See `edgesim.costs.stated.Stated`.
    """
    given = Stated(**stated)
    tensor_parallel = given.tensor_parallel
    drawn = _power(accelerator, power, tensor_parallel, pue, host_power)
    block = block_bytes(llm, given.kv, given.block_size, tensor_parallel)
    blocks = UNLIMITED_BLOCKS if accelerator is None else kv_blocks(accelerator, llm, **stated)
    link = accelerator.host_link if accelerator else math.inf
    decode, mixed = _tables(coefficients, given.max_num_seqs, given.max_batched_tokens)
    features = _features(coefficients)
    coef = _columns(features, drawn)
    cost = StepCost(
        decode_table=_columns(decode, drawn),
        decode_coef=_columns(features[[0, 3]], drawn),
        mixed_table=_columns(mixed, drawn),
        mixed_coef=coef,
        stream_rate=0,
        kv_block_bytes=block,
        kv_blocks=blocks,
        swap_ps_per_block=math.ceil(block / (tensor_parallel * link) * PS),
        base_mw=drawn.base_mw,
        idle_mw=drawn.idle_mw,
        cap_mw=int(drawn.cap_w * 1e3),
        calibration="linear, coefficients of the scenario",
        error_band=0.0,
        window=llm.window.size if llm.window else 0,
        encoder_only=llm.encoder_only,
        tokens_per_image=llm.vision.tokens_per_image if llm.vision else 0,
        work_unit=0,
        notes=_notes(accelerator),
    )
    check_range(cost, given.context or llm.context)
    return with_stream_rate(cost)


def _notes(accelerator: Accelerator | None) -> tuple[str, ...]:
    """What a setting of the accelerator does not change."""
    if accelerator is None or not accelerator.setting:
        return ()
    setting = f"{accelerator.name} at {accelerator.setting}"
    return (f"step times are the scenario's coefficients; {setting} changes power alone",)


def _power(
    accelerator: Accelerator | None, active: float | None, tensor_parallel: int, pue: float, host_power: float
) -> Power:
    """Constant power while steps run; the cap is the same, as nothing is added."""
    idle = accelerator.idle_w if accelerator else 0.0
    if active is None:
        shares = accelerator.base_power + accelerator.memory_power / 2 if accelerator else 0.0
        active = max(idle, min(1.0, shares) * accelerator.tdp_w) if accelerator else 0.0
    base = pue * (tensor_parallel * active + host_power)
    # A stated power below the idle power means that idling costs no more than that.
    return Power(base_w=base, idle_w=min(base, pue * (tensor_parallel * idle + host_power)), cap_w=base)


def _nearest(seconds: object) -> NDArray[np.int64]:
    return np.rint(np.asarray(seconds, dtype=np.float64) * PS).astype(np.int64)


def _tables(
    given: Coefficients, max_num_seqs: int, max_batched_tokens: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Times of the rows [ps]."""
    per_token = int(_nearest(given.prefill_per_token)) - int(_nearest(given.prefill_per_token_squared))
    if per_token < 0:
        raise ScenarioError(
            [
                Problem(
                    ("prefill", "per_token"),
                    "prefill.per_token must be at least prefill.per_token_squared",
                    "a prompt's first token costs both",
                )
            ]
        )
    sequences, tokens = np.arange(max_num_seqs + 1), np.arange(max_batched_tokens + 1)
    decode = int(_nearest(given.decode_base)) + int(_nearest(given.decode_per_sequence)) * sequences
    mixed = int(_nearest(given.prefill_base)) + per_token * tokens
    for table in (decode, mixed):
        np.maximum(table, 1, out=table)
        table[0] = 0
    return decode, mixed


def _features(given: Coefficients) -> NDArray[np.int64]:
    """Times of one unit of each feature [ps]."""
    times = dict.fromkeys(MIXED_FEATURES, 0)
    times["decode_context"] = int(_nearest(given.decode_per_context_token))
    times["prefill_pairs"] = 2 * int(_nearest(given.prefill_per_token_squared))
    return np.array(list(times.values()), dtype=np.int64)


def _columns(ps: NDArray[np.int64], power: Power) -> NDArray[np.int64]:
    nothing = np.zeros(ps.shape)
    table = columns(ps, nothing, nothing, power, 0)
    # Energy and cap are the same product; equal rounding keeps the energy of a step plain power x time.
    table[..., 4:6] = table[..., 2:4]
    return table
