"""Checking policies: what one does wrong, found by running it in tiny scenarios, again and again."""

from __future__ import annotations

import json
from difflib import get_close_matches
from inspect import isfunction
from typing import TYPE_CHECKING, Any

from edgesim import registry
from edgesim.arena.compile import JIT
from edgesim.errors import PolicyError
from edgesim.registry import Place, place_of
from edgesim.testing.finding import Finding, Report
from edgesim.testing.repeat import ORDERS, Spec, elsewhere, repeated
from edgesim.testing.scenarios import STORIES
from edgesim.testing.tiers import form_of, tiers
from edgesim.testing.trial import HOOKS, SLOW, parting, watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from edgesim.policies import Policy

Json = dict[str, Any]

REPEATED = ("overloaded", "failing", "sessions", "little-memory")
"""Stories that are run again and again: those in which decisions differ most."""
UNSEEDED = ("random", "clock")
"""Findings that explain why two runs would differ."""


def check_policy(
    policy: str | type[Any], *, role: str = "", processes: bool = True, **parameters: Any
) -> list[Finding]:
    """Run a policy in tiny scenarios, and list what it does wrong.

    Args:
        policy: A class decorated with `register`, or the name of a registered one.
        role: Role of a name that several roles know.
        processes: Whether to repeat runs in other processes, too; finds what depends on the order of sets.
        parameters: Parameters of the policy, as a scenario writes them.

    Raises:
        EdgesimError: There is no such policy, or the parameters do not fit.
    """
    return report_on([policy], role=role, processes=processes, parameters=parameters)[0].findings


def assert_policy(
    policy: str | type[Any],
    *,
    role: str = "",
    processes: bool = True,
    allow: Iterable[str] = (),
    warnings: bool = True,
    **parameters: Any,
) -> None:
    """Fail a test if a policy does something wrong.

    Args:
        policy: A class decorated with `register`, or the name of a registered one.
        role: Role of a name that several roles know.
        processes: Whether to repeat runs in other processes, too.
        allow: Codes of findings that are all right.
        warnings: Whether warnings are; then only errors fail the test.
        parameters: Parameters of the policy, as a scenario writes them.
    """
    found = [
        finding
        for finding in check_policy(policy, role=role, processes=processes, **parameters)
        if finding.code not in set(allow) and not (warnings and finding.severity == "warning")
    ]
    if found:
        raise AssertionError("\n".join(map(str, found)))


def report_on(
    policies: Sequence[str | type[Any]],
    *,
    role: str = "",
    processes: bool = True,
    parameters: Mapping[str, Any] | None = None,
) -> list[Report]:
    """Check several policies, with the other processes shared; the arguments are those of `check_policy`."""
    given = dict(parameters or {})
    specs = [_spec(policy, role, given) for policy in policies]
    for spec in specs:
        _built(spec)  # parameters that do not fit are the user's mistake, not the policy's
    reports, calm = [], {}
    for spec in specs:
        report, stories = _watched(spec)
        reports.append(report)
        calm[_key(spec)] = stories
    answers = _answers(specs, calm, processes=processes)
    for spec, report in zip(specs, reports, strict=True):
        key = _key(spec)
        _compare(spec, report, [answer[key] for answer in answers])
        if not any(finding.severity == "error" for finding in report.findings):
            report.findings += _tiers(spec, report)
        report.findings.sort(key=lambda finding: (finding.severity != "error", finding.code))
    return reports


def _key(spec: Spec) -> str:
    return f"{spec.role} {spec.name}"


def _spec(policy: str | type[Any], role: str, parameters: Mapping[str, Any]) -> Spec:
    """Find the class that is meant."""
    found: type[Any]
    if isinstance(policy, str):
        found = _named(policy, role)
    else:
        found = policy
        if not getattr(found, "kind", ""):
            raise PolicyError(
                f"{getattr(found, '__name__', found)!r} is no registered policy; decorate its class with "
                '@register("its-name")'
            )
    return Spec(found.role, found.kind, dict(parameters), found.__module__, place_of(found).file)


def _named(name: str, role: str) -> type[Any]:
    import edgesim.policies  # noqa: F401, PLC0415 - fills the registry

    if role:
        found: type[Any] = registry.lookup(role, name)
        return found
    hits = [known for known in registry.registries if name in registry.registries[known]]
    if not hits:
        registry.describe("router")  # looks into installed packages
        hits = [known for known in registry.registries if name in registry.registries[known]]
    if len(hits) == 1:
        return registry.registries[hits[0]][name]
    if hits:
        raise PolicyError(f"{name!r} is a {' and a '.join(hits)}; say which role")
    known_names = [known for each in registry.registries.values() for known in each.names()]
    raise registry.UnknownNameError("policy", name, known_names, "`edgesim policies list` lists all")


def _built(spec: Spec) -> Policy:
    policy: Policy = registry.build(spec.role, {"kind": spec.name, **spec.parameters})
    return policy


def _watched(spec: Spec) -> tuple[Report, list[str]]:
    """Run a policy in every story, watched; answers those in which it may be run again."""
    report, calm = Report(spec.role, spec.name), []
    found: dict[tuple[str, Place | None], Finding] = {}
    for story in STORIES:
        seen = watch(_built(spec), story)
        report.scenarios.append(story.name)
        report.decisions += seen.calls
        for key, finding in seen.found.items():
            found.setdefault(key, finding)
        if all(finding.severity == "warning" for finding in seen.found.values()):
            calm += [story.name] if story.name in REPEATED else []
        if any(finding.code == "endless" for finding in seen.found.values()):
            break
    report.findings = [*found.values(), *_never_called(spec)]
    if any(finding.code in UNSEEDED for finding in report.findings):
        calm = []  # that explains whatever would differ
    return report, calm


def _never_called(spec: Spec) -> Iterator[Finding]:
    """Find methods whose names are almost those of hooks, and that the policy does not call itself."""
    policy_class = registry.registries[spec.role][spec.name]
    hooks = [*HOOKS.get(spec.role, (policy_class.hook,)), "setup", "on_outcome"]
    methods = {name: item for name, item in vars(policy_class).items() if isfunction(item)}
    called = {name for method in methods.values() for name in method.__code__.co_names}
    for name, method in methods.items():
        meant = get_close_matches(name, hooks, n=1, cutoff=0.85)
        if meant and name not in {*hooks, *called}:
            text = f"defines {name}(), which nobody calls"
            help_ = f"call it {meant[0]}, if that is what it is; another name, if not"
            yield Finding("never-called", text, help_, place_of(method), severity="warning")


def _answers(
    specs: Sequence[Spec], stories: Mapping[str, Sequence[str]], *, processes: bool
) -> list[dict[str, Json]]:
    """Repeat the runs in other processes, or here where that cannot be."""
    far: list[dict[str, Json]] = []
    able = [spec for spec in specs if stories[_key(spec)] and processes and not _tied(spec)]
    if able:
        far = elsewhere(able, {_key(spec): stories[_key(spec)] for spec in able})
    answers: list[dict[str, Json]] = [{}, {}]
    for spec in specs:
        key = _key(spec)
        told = [one.get(key, {"error": ""}) for one in far] or [{"error": ""}] * len(ORDERS)
        if any("error" in one for one in told):
            reason = next((one["error"] for one in told if one.get("error")), "") or _tied(spec)
            reason = reason or (
                "not asked for" if stories[key] or not processes else "because of the errors above"
            )
            wanted = [story for story in STORIES if story.name in stories[key]]
            here = repeated(registry.registries[spec.role][spec.name], spec, wanted, ORDERS[0])
            told = [{**here, "reason": reason}, {}]
        for answer, one in zip(answers, told, strict=True):
            answer[key] = one
    return answers


def _tied(spec: Spec) -> str:
    """Why a policy cannot be taken to another process, if it cannot."""
    known = registry.registries[spec.role]
    if spec.name not in known or "<locals>" in known[spec.name].__qualname__:
        return "its class is made inside a function"
    if spec.file.startswith("<"):
        return "its class stands in no file"
    try:
        json.dumps(dict(spec.parameters))
    except TypeError:
        return "its parameters cannot be written as JSON"
    return ""


def _compare(spec: Spec, report: Report, answers: Sequence[Json]) -> None:
    """Tell what differs between repeated runs."""
    first, other = answers
    place = place_of(registry.registries[spec.role][spec.name])
    if first.get("reason"):
        report.notes.append(f"not repeated in another process: {first['reason']}")
    times = [one["seconds"] for one in answers if one.get("seconds") is not None]
    report.seconds_per_decision = min(times) if times else None
    finding = _unrepeated(first, place) or _elsewhere(first, other, place)
    report.findings += [finding] if finding is not None else []
    _time(report, place)


def _unrepeated(first: Json, place: Place) -> Finding | None:
    """Find a replication that is another one when it is run again."""
    for name, runs in first["stories"].items():
        if runs[0]["digest"] != runs[2]["digest"]:
            return _leak(first["changed"], (1, runs[0], runs[2]), name, place)
    return None


def _elsewhere(first: Json, other: Json, place: Place) -> Finding | None:
    """Find a replication that is another one in another process, where nothing ran before it."""
    for name, (alone,) in (other["stories"] if other else {}).items():
        here = first["stories"][name][1]
        if here["digest"] == alone["digest"]:
            continue
        if first["changed"]:
            return _leak(first["changed"], (0, alone, here), name, place)
        text = f"decides otherwise in another process: {parting(here, alone)}"
        help_ = "sets of strings, hash() and id() put things in another order in every process: sort them"
        return Finding("not-deterministic", text, help_, place, name)
    return None


def _leak(changed: Sequence[str], runs: tuple[int, Json, Json], story: str, place: Place) -> Finding:
    """Say why a replication is another one after others have run."""
    number, before, after = runs
    where = parting(before, after)
    if changed:
        text = f"replication {number} is another one after others: {where}; runs change {', '.join(changed)}"
        help_ = "make what changes during a run in setup(), as an attribute of self; nothing else starts anew"
        return Finding("leaks", text, help_, place, story)
    text = f"the same replication differs the second time: {where}"
    help_ = (
        "it keeps hidden state (a closure, a generator, a default argument, another module) or draws unseeded numbers: "
        "make state in setup(), draw with self.random(request)"
    )
    return Finding("not-deterministic", text, help_, place, story)


def _time(report: Report, place: Place) -> None:
    taken = report.seconds_per_decision
    if taken is not None and taken > SLOW:
        text = f"a decision takes {taken * 1e6:,.0f} us on average, more than {SLOW * 1e6:.0f} us"
        help_ = (
            "a run of a million requests waits for it a million times; keep what does not change (setup()), read fewer "
            "views, or bring a compiled form (`edgesim policies new ... --compiled`)"
        )
        report.findings.append(Finding("slow", text, help_, place, severity="warning"))


def _tiers(spec: Spec, report: Report) -> list[Finding]:
    """Compare a policy's Python form with its compiled form, if it has one."""
    if form_of(spec) is None:
        return []
    if not JIT:
        report.notes.append("its compiled form was not run: compilation is switched off")
        return []
    found, note = tiers(spec, apart=not _tied(spec))
    report.notes += [note] if note else []
    return found
