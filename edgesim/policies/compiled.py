"""The compiled tier: policies as machine code, for runs of many millions of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

READABLE: dict[str, str] = {
    "request": "Number of the request.",
    "workload": "Number of its workload.",
    "session": "Number of its session.",
    "origin": "Number of the node where it was asked.",
    "prompt": "Length of its input [tokens].",
    "predicted": "Length of the reply that the workload's predictor expects [tokens].",
    "images": "How many images come with the prompt.",
    "priority": "Urgency; smaller is more urgent.",
    "deadline": "How long after it was asked the reply must be complete [ps]; 0 if any time will do.",
    "arrived": "When it was asked [ps].",
    "attempts": "How many times it was sent to a replica before.",
    "output": "True length of the reply [tokens]. Only with `oracle = True`.",
    "replica": "Number of the replica in the fleet.",
    "up_latency": "One-way propagation delay from the request's origin [ps].",
    "up_hops": "How many links lie between; 0 on the node where it was asked.",
}
"""What a compiled form may read of the rows of requests and candidates -> what it says."""

ARGUMENTS = ("view", "request", "candidates", "parameters", "key")
"""What a compiled form is given; all but routers are given one `candidate`."""


class CompiledFunction:
    """A decision written in the part of Python that numba compiles; still callable as it stands.

    Its signature is (view, request, candidates, parameters, key) -> position of the chosen candidate:

    - view, request, candidates: the numbers behind the views, as arrays laid out by the engine;
    - parameters: the policy's parameters in the order of their declaration, as floats;
    - key: key of the policy's random stream, for `uniform(key, request, index)`.
    """

    def __init__(self, function: Callable[..., int]) -> None:
        self.function = function
        self._compiled: dict[object, Any] = {}

    def __call__(self, *arguments: Any) -> int:
        """Run as plain Python, for tests and debuggers."""
        return self.function(*arguments)

    def compile(self, signature: object) -> Any:
        """Answer the function as machine code for a numba signature; compiled at the first call.

        The result is a first-class function: kernels take it as an argument without being compiled again,
        and an exception inside cannot escape into C.
        """
        if signature not in self._compiled:
            from numba import njit  # noqa: PLC0415 - a second that only compiled runs pay

            self._compiled[signature] = njit(signature)(self.function)
        return self._compiled[signature]


def compiled(function: Callable[..., int]) -> CompiledFunction:
    """Mark a function as the compiled form of a decision; see `CompiledFunction` for its signature."""
    return CompiledFunction(function)
