"""Trials: one policy in one tiny scenario, watched or left alone."""

from __future__ import annotations

import linecache
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from edgesim.errors import EdgesimError, PolicyError
from edgesim.policies.checks import check_admit, check_cost, check_plan, check_rank, check_route
from edgesim.registry import Place, place_of, raised_at
from edgesim.results.writer import MemorySink
from edgesim.simulation import Simulation
from edgesim.testing import patience
from edgesim.testing.finding import Finding
from edgesim.testing.guards import Post, meant, unguarded
from edgesim.testing.patience import OutOfPatience, patient
from edgesim.testing.scenarios import HedgeTwo, loaded
from edgesim.testing.sources import Spy, line_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgesim.policies import Policy
    from edgesim.testing.scenarios import Story

SLOW = 200e-6
"""Mean processor time of a decision from which on a warning is due [s]; built-in routers take 1 to 10 us."""
ENDLESS = 20_000
"""Decisions in a tiny scenario that must be enough for every policy."""
HOOKS = {
    "router": ("route", "decision_cost"),
    "admission": ("admit",),
    "scheduler": ("rank", "schedule"),
    "cache": ("rank",),
}
"""Role -> hooks that are asked for decisions."""
WARNINGS = ("beyond-contract", "outside")


class Records(NamedTuple):
    """What a run recorded."""

    requests: NDArray[Any]
    legs: NDArray[Any]
    replicas: Sequence[str]

    def digest(self) -> str:
        """Equal for equal runs."""
        return blake2b(self.requests.tobytes() + self.legs.tobytes(), digest_size=16).hexdigest()

    def rows(self) -> list[tuple[int, int, int]]:
        """Request, replica and end of each, in order of the requests; small enough to be sent."""
        order = self.requests["request"].argsort(kind="stable")
        columns = (self.requests[name][order].tolist() for name in ("request", "replica", "finished"))
        return list(zip(*columns, strict=True))

    def told(self) -> dict[str, Any]:
        """The same as plain data."""
        return {"digest": self.digest(), "rows": self.rows(), "replicas": list(self.replicas)}


def parting(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Name the first request with which two runs part."""
    for run_ in (one, other):
        if run_["digest"].startswith("failed"):
            return f"one run ends early, as it {run_['digest']}"
    for mine, theirs in zip(one["rows"], other["rows"], strict=False):
        if list(mine) != list(theirs):
            here, there = (
                run_["replicas"][row[1]] if row[1] >= 0 else "nowhere"
                for run_, row in ((one, mine), (other, theirs))
            )
            if here != there:
                return f"request r{mine[0]} goes to {here} in one run, to {there} in the other"
            ends = [f"{row[2] / 1e12:.6g} s" for row in (mine, theirs)]
            return f"request r{mine[0]} ends at {ends[0]} in one run, at {ends[1]} in the other"
    return "their attempts differ"


class InPython(Simulation):
    """A replication whose policies decide in Python."""

    def _compilable(self) -> Sequence[Policy]:
        return ()


class Compiled(Simulation):
    """A replication whose policies decide in their compiled form, where they have one."""

    def _pays_to_compile(self) -> bool:
        return True


def run(
    policy: Policy,
    story: Story,
    replication: int = 0,
    kind: type[Simulation] = InPython,
    router: Policy | None = None,
) -> Records:
    """Run a policy in a story.

    Args:
        policy: The policy, fresh.
        story: What it is put into.
        replication: Which replication.
        kind: How its decisions are taken.
        router: The router beside another policy; one that hedges, where the story says so.

    Raises:
        EdgesimError: The policy did something that ends the run.
    """
    scenario = loaded(story.name)
    changed: dict[str, Any] = {policy.role: policy}
    if policy.role != "router":
        beside = router if router is not None else HedgeTwo() if story.hedges else None
        changed |= {} if beside is None else {"router": beside}
    policies = scenario.policies.model_copy(update=changed)
    simulation = kind(scenario.model_copy(update={"policies": policies}), replication, story.processes)
    sink = MemorySink(tables=("requests", "legs"))
    simulation.run(sink)
    return Records(sink.records("requests"), sink.records("legs"), simulation.fleet.names)


class Timer:
    """Times the decisions of a policy, in processor time, which a busy machine does not stretch.

    Args:
        policy: The policy; its hooks are replaced by timed ones.
    """

    def __init__(self, policy: Policy) -> None:
        self.calls, self.seconds = 0, 0.0
        for hook in HOOKS.get(policy.role, (policy.hook,)):
            setattr(policy, hook, self._timed(getattr(policy, hook)))

    def _timed(self, asked: Any) -> Any:
        def answer(*arguments: Any) -> Any:
            started = time.thread_time()
            try:
                with patient(lambda: None):
                    return asked(*arguments)
            except OutOfPatience:
                raise PolicyError(f"no answer within {patience.LONGEST:g} s") from None
            finally:
                self.seconds += time.thread_time() - started
                self.calls += 1
                if self.calls > ENDLESS:
                    raise PolicyError(f"more than {ENDLESS} decisions")

        return answer


class Watch:
    """Watches a policy: guards what it is given, and checks what it answers.

    Args:
        policy: The policy; its hooks are replaced by watched ones.
        story: What it is put into.
    """

    def __init__(self, policy: Policy, story: Story) -> None:
        self.policy, self.story = policy, story
        self.found: dict[tuple[str, Place | None], Finding] = {}
        self.calls = 0
        self._hook = ""
        classes = [base for base in type(policy).__mro__ if base not in _bases(policy)]
        self._post = Post({place_of(base).file for base in classes}, self.tell, oracle=policy.oracle)
        self._spy = Spy(self._post)
        for hook in (*HOOKS.get(policy.role, (policy.hook,)), "setup", "on_outcome"):
            if hook in {"setup", "on_outcome"} or getattr(type(policy), hook) is not _unanswered(
                policy, hook
            ):
                self._watch(hook)

    def _watch(self, hook: str) -> None:
        asked, decides = getattr(self.policy, hook), hook not in {"setup", "on_outcome"}

        def watched(*arguments: Any) -> Any:
            self._hook = hook
            self.calls += decides
            if self.calls > ENDLESS:
                self._endless()
            guarded = self._post.begin(arguments)
            try:
                with patient(self._stuck), self._spy.watching():
                    answer = unguarded(asked(*guarded))
            except OutOfPatience:
                raise PolicyError(self._waited()) from None
            except (Exception, SystemExit) as error:
                self._raised(hook, error)
                raise
            if decides:
                self._check(hook, arguments, answer)
            return answer

        setattr(self.policy, hook, watched)

    def tell(self, code: str, text: str, help_: str, place: Place | None = None) -> None:
        """Take note of a fault, once for each line that commits it."""
        where = place or self._post.place()
        if where is None:
            where = place_of(getattr(type(self.policy), self._hook))
            if "numpy's global" in text:
                where = line_in(where, "".join(linecache.getlines(where.file)))
        severity = "warning" if code in WARNINGS else "error"
        self.found.setdefault(
            (code, where),
            Finding(code, text, help_, where, self.story.name, severity),  # type: ignore[arg-type]
        )

    def _endless(self) -> None:
        text = f"was asked more than {ENDLESS:,} times about {self.story.requests} requests"
        self.tell("endless", text, "defer for longer, or reject what has waited long enough")
        raise PolicyError(text)

    def _waited(self) -> str:
        return f"{self._hook}() has not answered after {patience.LONGEST:g} s"

    def _stuck(self) -> None:
        self.tell(
            "endless", self._waited(), "it was stopped at this line: let every loop around it come to an end"
        )

    def _raised(self, hook: str, error: BaseException) -> None:
        place = raised_at(error, place_of(getattr(type(self.policy), hook)))
        if any(known == place for _, known in self.found):
            return  # a consequence of what is known
        what = str(error) if isinstance(error, EdgesimError) else f"{type(error).__name__}: {error}"
        help_ = meant(error) or f"let {hook}() answer whatever it is asked"
        self.tell("raises", f"{hook}() raises {what}", help_, place)

    def _check(self, hook: str, arguments: Sequence[Any], answer: object) -> None:
        """Hold an answer against the contract."""
        policy = self.policy
        now = getattr(arguments[-1], "now", arguments[-1])
        try:
            match hook:
                case "route":
                    check_route(policy, answer, arguments[1], arguments[0], now)
                case "decision_cost":
                    check_cost(policy, answer, arguments[0], now)
                case "admit":
                    check_admit(policy, answer, arguments[0], now)
                case "schedule":
                    check_plan(policy, answer, arguments[0])
                case "rank":
                    check_rank(policy, answer, arguments[0] if policy.role == "scheduler" else None, now)
        except PolicyError as error:
            did, _, rule = str(error).partition("; ")
            strange = "not among the candidates" in did or "not at this replica" in did
            code = "no-candidate" if strange else "wrong-answer"
            self.tell(code, did, rule.rpartition(" (")[0] or rule, place_of(getattr(type(policy), hook)))
            raise


def watch(policy: Policy, story: Story) -> Watch:
    """Run a policy, watched; what it does wrong is in `found`."""
    seen = Watch(policy, story)
    try:
        run(policy, story)
    except EdgesimError as error:
        if all(finding.severity == "warning" for finding in seen.found.values()):
            seen.tell("stops-the-run", str(error), "see what the message says", place_of(type(policy)))
    return seen


def _bases(policy: Policy) -> set[type[Any]]:
    """Classes that are not the policy's own: its role, and what every class has."""
    from edgesim.registry import registries  # noqa: PLC0415 - filled by edgesim.policies

    base = registries[policy.role].base
    return {*base.__mro__}


def _unanswered(policy: Policy, hook: str) -> Any:
    """The role's own form of a hook, which nobody is asked by."""
    from edgesim.registry import registries  # noqa: PLC0415

    return getattr(registries[policy.role].base, hook)
