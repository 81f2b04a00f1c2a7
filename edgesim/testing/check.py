"""Checking policies: what one does wrong, found by running it in tiny scenarios, again and again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edgesim import registry
from edgesim.arena.compile import JIT
from edgesim.errors import EdgesimError, PolicyError
from edgesim.registry import Place, place_of
from edgesim.testing.finding import Finding, Report
from edgesim.testing.repeat import ORDERS, Spec, elsewhere, repeated
from edgesim.testing.scenarios import STORIES
from edgesim.testing.trial import Compiled, InPython, run, watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgesim.policies import Policy
    from edgesim.testing.trial import Records

Json = dict[str, Any]

SLOW = 200e-6
"""Mean processor time of a decision from which on a warning is due [s]; built-in routers take 1 to 10 us."""
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
    report.findings = list(found.values())
    if any(finding.code in UNSEEDED for finding in report.findings):
        calm = []  # that explains whatever would differ
    return report, calm


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
        text = f"decides otherwise in another process: {_parting(here, alone)}"
        help_ = "sets of strings, hash() and id() put things in another order in every process: sort them"
        return Finding("not-deterministic", text, help_, place, name)
    return None


def _leak(changed: Sequence[str], runs: tuple[int, Json, Json], story: str, place: Place) -> Finding:
    """Say why a replication is another one after others have run."""
    number, before, after = runs
    parting = _parting(before, after)
    if changed:
        text = (
            f"replication {number} is another one after others: {parting}; runs change {', '.join(changed)}"
        )
        help_ = "make what changes during a run in setup(), as an attribute of self; nothing else starts anew"
        return Finding("leaks", text, help_, place, story)
    text = f"the same replication differs the second time: {parting}"
    help_ = (
        "it keeps hidden state (a closure, a generator, a default argument, another module) or draws unseeded numbers: "
        "make state in setup(), draw with self.random(request)"
    )
    return Finding("not-deterministic", text, help_, place, story)


def _parting(one: Json, other: Json) -> str:
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
    from edgesim.serving.compiled import BUILT_IN, HOOKS  # noqa: PLC0415 - brings numba

    policy_class = registry.registries[spec.role][spec.name]
    form = getattr(policy_class, HOOKS.get(spec.role, ""), None) or BUILT_IN.get(policy_class)
    if form is None:
        return []
    if not JIT:
        report.notes.append("its compiled form was not run: compilation is switched off")
        return []
    place = place_of(getattr(form, "function", policy_class))
    for story in STORIES:
        router = None if spec.role == "router" else registry.build("router", "power-of-two")
        beside = None if spec.role == "router" else registry.build("router", "power-of-two")
        try:
            compiled = run(_built(spec), story, kind=Compiled, router=router)
        except EdgesimError as error:
            help_ = "see edgesim.serving.compiled for what compiled forms may read and answer"
            return [Finding("compiled-form", str(error), help_, place, story.name)]
        python = run(_built(spec), story, kind=InPython, router=beside)
        if not _agree(compiled, python):
            parting = _parting(_as_json(python), _as_json(compiled))
            text = f"the Python form (first) and the compiled form decide differently: {parting}"
            help_ = "both must answer the same for every request, for ties as well: the first of equals"
            return [Finding("tiers-disagree", text, help_, place, story.name)]
    return []


def _agree(one: Records, other: Records) -> bool:
    """Do two runs agree in all but the reasons, which a compiled form cannot choose?"""
    mine, theirs = one.requests.copy(), other.requests.copy()
    mine["reason"] = theirs["reason"] = 0
    return mine.tobytes() == theirs.tobytes()


def _as_json(records: Records) -> Json:
    return {"digest": records.digest(), "rows": records.rows(), "replicas": list(records.replicas)}
