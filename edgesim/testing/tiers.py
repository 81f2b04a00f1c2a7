"""Two tiers: a policy's Python form against its compiled form, in another process, which can be ended if it hangs.

`main` compares what another process asks for on standard input, as JSON, and answers on standard output, line by line.
"""

from __future__ import annotations

import dis
import faulthandler
import json
import re
import signal
import subprocess
import sys
import time
import types
from typing import TYPE_CHECKING, Any

from edgesim import registry
from edgesim.arena import rows
from edgesim.errors import EdgesimError
from edgesim.policies.compiled import READABLE, CompiledFunction
from edgesim.registry import Place, place_of
from edgesim.testing import patience
from edgesim.testing.finding import Finding
from edgesim.testing.repeat import Spec, another
from edgesim.testing.scenarios import STORIES
from edgesim.testing.trial import SLOW, Compiled, InPython, parting, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgesim.testing.trial import Records

Json = dict[str, Any]

STARTS = 300.0
"""Wall time in which another process must have started and compiled the policy [s]."""
READ_HELP = "see the table of what compiled forms may read in the page on policies"
TIMED = "overloaded"
"""The story in which compiled decisions are timed."""


def form_of(spec: Spec) -> Any:
    """The compiled form of a policy, if it has one; one of its own stands in a file."""
    from edgesim.serving.compiled import BUILT_IN, HOOKS  # noqa: PLC0415 - brings numba

    policy_class = registry.registries[spec.role][spec.name]
    return getattr(policy_class, HOOKS.get(spec.role, ""), None) or BUILT_IN.get(policy_class)


def tiers(spec: Spec, *, apart: bool) -> tuple[list[Finding], str]:
    """Compare the two forms of a policy; answers what is wrong, and what could not be checked.

    Args:
        spec: The policy; it has a compiled form.
        apart: Whether to do it in another process, which can be ended.
    """
    form = form_of(spec)
    place = place_of(getattr(form, "function", registry.registries[spec.role][spec.name]))
    found = list(_read(spec, form, place))
    if any(finding.severity == "error" for finding in found):
        return found, ""
    told: list[Json] = []
    note = ""
    if apart:
        note = _asked_apart(spec, told.append)
    else:
        compare(spec, told.append)
    found += [Finding(**{"place": place, **line}) for line in told if "code" in line]
    return found, note


def _asked_apart(spec: Spec, tell: Callable[[Json], None]) -> str:
    """Compare in another process; what it says is told, and so is how it ended if it did not end well."""
    child = another("from edgesim.testing.tiers import main; main()")
    try:
        out, err = child.communicate(
            json.dumps([patience.LONGEST, *spec]), timeout=STARTS + 2 * len(STORIES) * patience.LONGEST
        )
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    for line in lines:
        tell(line)
    if not child.returncode:
        return ""
    story = next((line["story"] for line in reversed(lines) if "story" in line), "")
    help_ = "NUMBA_DISABLE_JIT=1 runs the Python form instead, where a debugger can look"
    if not story:
        reason = (err.strip().splitlines() or ["no reason given"])[-1]
        return f"its compiled form was not run: {reason}"
    if "Timeout" in err:
        text = f"its compiled form has not answered after {patience.LONGEST:g} s"
        tell(
            {
                "code": "endless",
                "text": text,
                "help": f"let every loop in it come to an end; {help_}",
                "scenario": story,
            }
        )
        return ""
    name = signal.Signals(-child.returncode).name if child.returncode < 0 else f"exit code {child.returncode}"
    text = f"its compiled form brings the whole process down ({name})"
    tell({"code": "compiled-form", "text": text, "help": help_, "scenario": story})
    return ""


def compare(spec: Spec, tell: Callable[[Json], None], guard: Callable[[float], None] | None = None) -> None:
    """Run both forms in every story, until something is wrong.

    Args:
        spec: The policy.
        tell: Takes what is found, as plain data.
        guard: Given a time [s] it ends this process after that, given 0 it does not.
    """
    from edgesim.serving.compiled import address_of  # noqa: PLC0415 - brings numba

    guard = guard or (lambda _: None)
    for story in STORIES:
        routers = [
            None if spec.role == "router" else registry.build("router", "power-of-two") for _ in range(2)
        ]
        try:
            policy = built(spec)
            address_of(policy)  # takes seconds, which are not the policy's
            tell({"story": story.name})
            guard(patience.LONGEST)
            started = time.process_time()
            compiled = run(policy, story, kind=Compiled, router=routers[0])
            taken = time.process_time() - started
        except EdgesimError as error:
            text = re.sub(r" \([^()]*:\d+\)$", "", str(error))  # the place is told anyway
            tell({"code": "compiled-form", "text": text, "help": READ_HELP, "scenario": story.name})
            return
        finally:
            guard(0)
        started = time.process_time()
        python = run(built(spec), story, kind=InPython, router=routers[1])
        taken -= time.process_time() - started
        if not _agree(compiled, python):
            where = parting(python.told(), compiled.told())
            text = f"the Python form (first) and the compiled form decide differently: {where}"
            help_ = "both must answer the same for every request, for ties as well: the first of equals"
            tell({"code": "tiers-disagree", "text": text, "help": help_, "scenario": story.name})
            return
        taken /= len(compiled.legs)
        if story.name == TIMED and taken > SLOW:
            text = (
                f"a compiled decision takes {taken * 1e6:,.0f} us on average, more than {SLOW * 1e6:.0f} us"
            )
            help_ = "a run of a million requests waits for it a million times; look at fewer candidates"
            tell({"code": "slow", "text": text, "help": help_, "severity": "warning"})


def built(spec: Spec) -> Any:
    """The policy, fresh."""
    return registry.build(spec.role, {"kind": spec.name, **spec.parameters})


def _agree(one: Records, other: Records) -> bool:
    """Do two runs agree in all but the reasons, which a compiled form cannot choose?"""
    mine, theirs = one.requests.copy(), other.requests.copy()
    mine["reason"] = theirs["reason"] = 0
    return mine.tobytes() == theirs.tobytes()


def _read(spec: Spec, form: Any, place: Place) -> Iterator[Finding]:
    """Find what a compiled form reads that it should not: nothing watches it while it runs."""
    function = getattr(form, "function", None)
    if function is None or function.__module__.startswith("edgesim."):
        return
    oracle = registry.registries[spec.role][spec.name].oracle
    engine = {*(rows.REQUEST.names or ()), *(rows.CANDIDATE.names or ())}
    seen = set()
    for name, line in _attributes(function, {function}):
        promised = oracle if name == "output" else name in READABLE
        if name not in engine or promised or (name, line) in seen:
            continue
        seen.add((name, line))
        where = Place(place.file, line)
        if name == "output":
            text = "reads request.output in its compiled form, which no real controller knows beforehand"
            help_ = "read request.predicted, or set `oracle = True` on the policy, which the report then says"
            yield Finding("future", text, help_, where)
        else:
            text = f"reads .{name} in its compiled form, which the contract does not promise"
            yield Finding(
                "beyond-contract",
                text,
                f"{READ_HELP}; this may be gone in the next version",
                where,
                severity="warning",
            )


def _attributes(function: Any, known: set[Any]) -> Iterator[tuple[str, int]]:
    """Names of attributes that a function reads, and the functions of the same file that it calls, with their lines."""
    line = function.__code__.co_firstlineno
    for step in dis.get_instructions(function):
        line = (step.positions.lineno if step.positions else None) or line
        if step.opname in {"LOAD_ATTR", "LOAD_METHOD"}:
            yield str(step.argval), line
        elif step.opname == "LOAD_GLOBAL":
            called = function.__globals__.get(step.argval)
            called = (
                called.function
                if isinstance(called, CompiledFunction)
                else getattr(called, "py_func", called)
            )
            near = (
                isinstance(called, types.FunctionType)
                and called.__code__.co_filename == function.__code__.co_filename
            )
            if near and called not in known:
                known.add(called)
                yield from _attributes(called, known)


def main() -> None:
    """Compare what standard input asks for; a form that hangs ends this process, with "Timeout" in its last words."""
    patience.LONGEST, *parts = json.load(sys.stdin)
    spec = Spec(*parts)
    spec.policy_class()

    def guard(after: float) -> None:
        faulthandler.cancel_dump_traceback_later()
        if after:
            faulthandler.dump_traceback_later(after, exit=True)

    def tell(line: Json) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    compare(spec, tell, guard)
