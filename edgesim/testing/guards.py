"""Guarded views: they answer like the real ones, and notice who reads or changes what is no policy's business."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable
from copy import copy
from typing import TYPE_CHECKING, Any, NoReturn

from edgesim.policies import Hedge, Plan
from edgesim.policies.contract import ORACLE_ONLY, VIEWS, names
from edgesim.registry import Place
from edgesim.serving.reference_cache import Node
from edgesim.serving.steps import BatchLook, LegLook
from edgesim.serving.views import Looks, ReplicaLook, RequestLook, SystemLook

if TYPE_CHECKING:
    from types import FrameType

Tell = Callable[[str, str, str], None]
"""Takes note of a fault: its code, what was done, what to do instead."""

KINDS: tuple[tuple[type[Any], str], ...] = (
    (LegLook, "leg"),
    (RequestLook, "request"),
    (ReplicaLook, "replica"),
    (SystemLook, "view"),
    (BatchLook, "batch"),
    (Node, "prefix"),
)
ALLOWED = {kind: names(VIEWS[kind]) for _, kind in KINDS}
INSTEAD = {"output_tokens": "predicted_output_tokens", "next_use": "last_used_at"}
"""What no real controller knows -> what it may read."""
LASTING = {
    "replica": ALLOWED["replica"]
    - {"queue_length", "running", "outstanding_requests", "outstanding_tokens", "free_kv_tokens"},
    "batch": frozenset(
        {"index", "name", "token_budget", "max_num_seqs", "total_blocks", "watermark", "whole_prompts"}
    ),
    "view": ALLOWED["view"],
    "prefix": ALLOWED["prefix"],
}
"""What a view still answers rightly after the call that was given it."""


class Guard:
    """Stands before a view.

    Args:
        target: The view.
        kind: What policies call it.
        post: Who makes guards, and takes note.
    """

    __slots__ = ("_call", "_guarded", "_kind", "_post")

    def __init__(self, target: Any, kind: str, post: Post) -> None:
        object.__setattr__(self, "_guarded", target)
        object.__setattr__(self, "_kind", kind)
        object.__setattr__(self, "_post", post)
        object.__setattr__(self, "_call", post.call)

    def __getattr__(self, name: str) -> Any:
        """Let the view answer, if it may be asked that."""
        post, target, kind = self._post, self._guarded, self._kind
        if name not in LASTING.get(kind, ()):
            self._fresh(name)
        if name in ORACLE_ONLY and not post.oracle:
            post.tell(
                "future",
                f"reads {kind}.{name}, which no real controller knows beforehand",
                f"read {INSTEAD[name]}, or set `oracle = True` on the policy, which the report then says",
            )
            name = INSTEAD[name] if name == "output_tokens" else name
        elif name not in ALLOWED[kind]:
            if not hasattr(target, name):
                raise AttributeError(f"{kind} has no {name!r}", name=name, obj=self)
            self._stray(name)
        found = getattr(target, name)
        if callable(found):
            return lambda *arguments, **named: found(
                *map(_handed, arguments), **{key: _handed(value) for key, value in named.items()}
            )
        return post.guarded(found)

    def _lasts(self) -> bool:
        """Whether it may stand for its view in the present call: the engine points one view at all requests."""
        return bool(self._kind != "request" or self._call == self._post.call)

    def _fresh(self, name: str) -> None:
        """Take note if this was given to an earlier call, and not to the present one."""
        post, kind = self._post, self._kind
        if self._lasts() and post.shown.get(id(self._guarded)) == post.call:
            return
        what = f"reads {kind}.{name}" if name else f"hands on a {kind}"
        post.tell(
            "kept-view",
            f"{what} that an earlier call was given; by now it may show something else",
            "keep numbers, such as request.id and replica.index, and read the views of the present call",
        )

    def _stray(self, name: str) -> None:
        """Take note of a look behind the contract."""
        if name.startswith("_"):
            self._post.tell(
                "internals",
                f"reads {self._kind}.{name}, which belongs to the engine",
                "read what the contract of the view names; `edgesim policies new` lists it",
            )
        else:
            self._post.tell(
                "beyond-contract",
                f"reads {self._kind}.{name}, which the contract does not promise",
                "read what the contract of the view names; this may be gone in the next version",
            )

    def __setattr__(self, name: str, value: object) -> None:
        self._post.tell(
            "changes-views",
            f"sets {self._kind}.{name}; views show the simulation and are not the policy's to change",
            "keep notes of your own, in attributes made by setup()",
        )

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Guard) and other._guarded is self._guarded

    def __hash__(self) -> int:
        return hash(self._guarded)

    def __copy__(self) -> Guard:
        return Guard(copy(self._guarded), self._kind, self._post)

    def __deepcopy__(self, _: object) -> Guard:
        return self.__copy__()

    def __repr__(self) -> str:
        return f"<{self._kind}>"


class GuardedList(list[Any]):
    """A list of guards that cannot be changed."""

    _post: Post
    _real: Any

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        self._post.tell(
            "changes-views",
            "changes the list that it was given",
            "make one of your own: sorted(candidates, key=...), list(candidates)",
        )
        raise TypeError("the list cannot be changed; make one of your own, such as list(candidates)")

    append = clear = extend = insert = pop = remove = reverse = sort = _refuse
    __delitem__ = __iadd__ = __imul__ = __setitem__ = _refuse

    def __getattr__(self, name: str) -> Any:
        """Let the real list answer what lists do not, such as whole columns."""
        return getattr(self._real, name)


class Post:
    """Makes guards, always the same for the same view, and knows which files are the policy's.

    Args:
        files: Files whose lines are to blame.
        tell: Takes note of a fault.
        oracle: Whether the policy may know the truth.
    """

    def __init__(self, files: Iterable[str], tell: Tell, *, oracle: bool) -> None:
        self.files, self.tell, self.oracle = frozenset(files), tell, oracle
        self._guards: dict[int, tuple[Any, Guard]] = {}
        self.call = 0
        """Number of the present call."""
        self.shown: dict[int, int] = {}
        """Identity of a view -> the last call that was given it."""

    def begin(self, arguments: Iterable[Any]) -> list[Any]:
        """Put guards before what a new call is given."""
        self.call += 1
        for argument in arguments:
            if isinstance(argument, BatchLook):
                for queue in (argument.waiting, argument.swapped, argument.running):
                    self.shown |= dict.fromkeys(map(id, queue), self.call)
        return [self.guarded(argument) for argument in arguments]

    def guarded(self, value: Any) -> Any:
        """Put a guard before a view, or before each of a list of views; other things stay as they are."""
        if isinstance(value, list) and (
            isinstance(value, Looks) or any(isinstance(item, KINDS[0][0] | ReplicaLook) for item in value)
        ):
            listed = GuardedList(self.guarded(item) for item in value)
            listed._post, listed._real = self, value  # noqa: SLF001 - the list is made here
            return listed
        target, guard = self._guards.get(id(value), (None, None))
        if guard is not None and target is value and guard._lasts():  # noqa: SLF001 - guards are of this module
            self.shown[id(value)] = self.call
            return guard
        for kind, name in KINDS:
            if isinstance(value, kind):
                guard = Guard(value, name, self)
                self._guards[id(value)] = (value, guard)
                self.shown[id(value)] = self.call
                return guard
        return value

    def place(self) -> Place | None:
        """The line of the policy that is running now."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the stack is what is wanted
        while frame is not None:
            if frame.f_code.co_filename in self.files:
                return Place(frame.f_code.co_filename, frame.f_lineno)
            frame = frame.f_back
        return None


def meant(error: BaseException) -> str:
    """What a policy may read in place of what a view has not; nothing if an error is of another kind."""
    if not isinstance(error, AttributeError):
        return ""
    if getattr(error.obj, "__qualname__", "") == "Policy.random":
        return "it is a function: random(number, index) answers a number in [0, 1)"
    if not isinstance(error.obj, Guard):
        return ""
    kind = error.obj._kind  # noqa: SLF001 - guards are of this module
    near = difflib.get_close_matches(error.name or "", sorted(ALLOWED[kind]), n=1)
    return f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(ALLOWED[kind]))}"


def _handed(value: Any) -> Any:
    """What is handed to a method of a view; a view must be one of the present call."""
    if isinstance(value, Guard) and value._kind in {"request", "replica", "leg"}:  # noqa: SLF001 - guards are of this module
        value._fresh("")  # noqa: SLF001
    return unguarded(value)


def unguarded(value: Any) -> Any:
    """Take the guards away again, from views and from what policies answer."""
    if isinstance(value, Guard):
        return value._guarded  # noqa: SLF001 - guards are of this module
    if isinstance(value, Hedge) and isinstance(value.replicas, Iterable):
        return Hedge([unguarded(replica) for replica in value.replicas])
    if isinstance(value, Plan):
        return value._replace(
            **{name: _parts(getattr(value, name)) for name in ("decodes", "chunks", "recompute", "swap")}
        )
    if isinstance(value, GuardedList):
        return value._real  # noqa: SLF001
    if type(value) in {list, tuple}:
        return type(value)(map(unguarded, value))
    return value


def _parts(value: Any) -> Any:
    """Take guards out of a part of a plan, whatever was put there."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    return [unguarded(part) for part in value]
