"""What all policies share: parameters, randomness, the start of a run, and feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from edgesim.registry import Registry, registries

if TYPE_CHECKING:
    from edgesim.policies.answers import Decision, Outcome
    from edgesim.policies.views import Draw, RequestView, SystemView


class Policy:
    """Something that decides; derive from a role, such as `Router`, and decorate with `register`.

    Annotated attributes of the class are its parameters. State belongs into `setup`, which is called before
    every replication, so that one replication never leaks into the next.
    """

    role: ClassVar[str]
    """Key in the `policies:` section; a class that sets it opens a role."""
    hook: ClassVar[str]
    """Name of the method that every policy of the role must define."""
    other_hooks: ClassVar[tuple[str, ...]] = ()
    """Names of methods that it may define, too."""
    either_hook: ClassVar[bool] = False
    """Whether one of those makes up for a missing `hook`."""
    kind: ClassVar[str] = ""
    """Name under which the policy is registered."""
    oracle: ClassVar[bool] = False
    """Whether it sees the truth that no real controller has; results then say so."""

    key: int = 0
    """Key of its private stream of random numbers in the present replication."""
    replication: int = 0
    """Number of the present replication."""

    def __init_subclass__(cls) -> None:
        if "role" in vars(cls):
            registries.setdefault(cls.role, Registry(cls.role, cls))

    def start(self, system: SystemView, draw: Draw) -> None:
        """Begin a replication; called by the engine only.

        Args:
            system: The view that the policy may keep.
            draw: Its private stream of random numbers.
        """
        self._draw = draw
        self.setup(system, self.random)

    def setup(self, system: SystemView, random: Draw) -> None:
        """Prepare the state of one replication; the default prepares nothing.

        Args:
            system: What is known about the system; may be kept and read at any later call.
            random: `self.random`, for those who like it handed over.
        """

    def random(self, request: RequestView | int, index: int = 0) -> float:
        """Draw a uniform number in [0, 1) that belongs to this policy, this request and this index.

        The same question gets the same answer; a request that is sent again draws new numbers.
        """
        if isinstance(request, int):
            return self._draw(request, index)
        return self._draw(request.id, index + (request.attempts << 16))

    def on_outcome(self, decision: Decision, outcome: Outcome) -> None:
        """Learn how a request ended that this policy decided on; the default ignores it.

        Called once per decided request, at the simulated time when it ends.
        """
