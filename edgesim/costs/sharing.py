"""A profile used with another tensor parallelism than it was measured with, or slowed down.

Each accelerator then has another share of every matrix and of the heads, so the measured times change in proportion,
but for what a layer takes however little it has to do; all-reduces come from the accelerator's interconnect. Kernels
are less efficient when they are smaller, which this knows nothing of: the error to expect grows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.costs.llm import kv_copies
from edgesim.costs.roofline import Efficiency, machine, steps
from edgesim.costs.step import MIXED_FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.catalog import Accelerator, Llm
    from edgesim.costs.profile import Profile

WIDER: Final = 0.1
"""What the error band grows by."""


def shared(profile: Profile, accelerator: Accelerator, llm: Llm, tensor_parallel: int) -> Profile:
    """Lay a profile over another number of accelerators.

    Args:
        profile: Times with its own number of them.
        accelerator: What it was measured on.
        llm: What was run.
        tensor_parallel: How many shall share it.
    """
    if tensor_parallel == profile.tensor_parallel:
        return profile
    ratio = tensor_parallel / profile.tensor_parallel
    copies = kv_copies(llm, tensor_parallel) / kv_copies(llm, profile.tensor_parallel)
    tokens = np.array(profile.tokens, np.float64)
    joined = [
        _all_reduces(accelerator, llm, profile.weights, ranks, tokens)
        for ranks in (profile.tensor_parallel, tensor_parallel)
    ]
    alone = np.maximum(np.array(profile.linear) - joined[0], 0.0)
    linear = _divided(alone, ratio, llm.layers * accelerator.layer_overhead) + joined[1]
    return replace(
        profile,
        tensor_parallel=tensor_parallel,
        linear=linear.tolist(),
        head=_divided(profile.head, ratio, accelerator.layer_overhead).tolist(),
        decode=_divided(profile.decode, ratio / copies, float(np.min(profile.decode))).tolist(),
        mixed=_divided(profile.mixed, ratio / copies, float(np.min(profile.mixed))).tolist(),
        error_band=round(profile.error_band + WIDER, 3),
    )


def multiplied(profile: Profile, factor: float) -> Profile:
    """A profile all of whose measured times are so many times as long."""
    if factor == 1:
        return profile
    names = ("linear", "head", "decode", "mixed")
    times: dict[str, Any] = {name: (np.array(getattr(profile, name)) * factor).tolist() for name in names}
    return replace(profile, **times)


def _divided(times: Any, ratio: float, kept: float) -> NDArray[np.float64]:
    """Divide what is more than a part that every accelerator takes."""
    values = np.array(times, np.float64)
    rest = np.maximum(values - kept, 0.0)
    result: NDArray[np.float64] = values - rest + rest / ratio
    return result


def _all_reduces(
    accelerator: Accelerator, llm: Llm, weights: str, ranks: int, tokens: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Time of all all-reduces of steps of so many tokens [s]: what vanishes with an ideal interconnect."""
    nothing = np.zeros((len(tokens), len(MIXED_FEATURES)))
    ideal = replace(accelerator, interconnect=float("inf"), interconnect_latency=0.0)
    machines = (
        replace(machine(each, weights, ranks, Efficiency()), launch_overhead=0.0)
        for each in (accelerator, ideal)
    )
    with_it, without = (steps(each, llm, "fp16", tokens, nothing)[0] for each in machines)
    joined: NDArray[np.float64] = with_it - without
    return joined
