"""The check finds what is planted, at its line, and nothing in policies that are all right."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgesim import registry
from edgesim.arena.compile import JIT
from edgesim.cli import main
from edgesim.cli.policies import _show_report
from edgesim.errors import EdgesimError
from edgesim.policies import Router, register
from edgesim.testing import STORIES, Report, assert_policy, check_policy, patience, report_on
from edgesim.testing.scenarios import loaded
from edgesim.testing.trial import InPython, Timer, run

PLANTED = {
    "says-a-name": ("wrong-answer", "returned 'box"),
    "says-nothing": ("wrong-answer", "returned None"),
    "no-reason": ("wrong-answer", "returned Reject(reason='')"),
    "twice-the-same": ("wrong-answer", "returned Hedge("),
    "keeps-the-first": ("no-candidate", "which is not among the candidates"),
    "no-cost": ("wrong-answer", "returned 0.1"),
    "raises": ("raises", "route() raises KeyError: 'chat'"),
    "reads-the-future": ("future", "reads request.output_tokens"),
    "hides-the-future": ("future", "reads request.output_tokens"),
    "opens-the-engine": ("internals", "reads request._cells"),
    "beyond-the-contract": ("beyond-contract", "reads replica.bytes_per_ps"),
    "sorts-the-list": ("changes-views", "changes the list that it was given"),
    "sets-a-price": ("changes-views", "sets replica.price"),
    "global-random": ("random", "draws from random.choice()"),
    "builtin-random": ("random", "draws from random.random()"),
    "numpy-random": ("random", "draws from numpy's global random numbers"),
    "unseeded": ("random", "without a seed"),
    "system-random": ("random", "random bytes from the operating system"),
    "wall-clock": ("clock", "asks time.time()"),
    "calendar": ("clock", "asks datetime.now()"),
    "hash-order": ("not-deterministic", "in another process: request r"),
    "class-state": ("leaks", "runs change ClassState.sent"),
    "module-state": ("leaks", "runs change TURN"),
    "hidden-state": ("not-deterministic", "the same replication differs the second time"),
    "numpy-unseeded": ("random", "random numbers from the operating system"),
    "keeps-requests": ("kept-view", "reads request.prompt_tokens that an earlier call was given"),
    "keeps-replicas": ("kept-view", "reads replica.running that an earlier call was given"),
    "estimates-late": ("kept-view", "hands on a request that an earlier call was given"),
    "thinks-of-success": ("raises", "on_outcome() raises ValueError: nobody told me"),
    "exits": ("raises", "route() raises SystemExit: 3"),
    "unmakes-a-price": ("changes-views", "sets replica.price"),
    "copies": ("no-candidate", "which is not among the candidates"),
    "generator-in-setup": ("raises", "'function' object has no attribute 'choice'"),
    "sleeps": ("clock", "sleeps, which makes the run wait"),
    "writes": ("outside", "writes the file '/dev/null'"),
    "runs-a-program": ("outside", "starts a program"),
    "misnamed": ("never-called", "defines on_outcomes(), which nobody calls"),
    "knows-lengths": ("future", "reads request.output in its compiled form"),
    "misreads": ("compiled-form", "have no 'prompt_token'; they have request, workload"),
    "short-of-arguments": ("compiled-form", "it must be (view, request, candidates, parameters, key)"),
    "dawdles": ("slow", "a compiled decision takes"),
    "endless": ("endless", "was asked more than 20,000 times"),
    "slow": ("slow", "us on average, more than 200 us"),
    "two-minds": ("tiers-disagree", "decide differently: request r"),
    "points-outside": ("compiled-form", "it must answer the position of one of the candidates"),
    "perhaps": ("wrong-answer", "returned None"),
    "two-doors": ("tiers-disagree", "decide differently: request r"),
    "in-words": ("wrong-answer", "returned 'first'"),
    "two-orders": ("tiers-disagree", "decide differently: request r"),
    "everybody-decodes": ("wrong-answer", "let r0 decode, which is waiting"),
    "true-lengths": ("future", "reads leg.output_tokens"),
    "forgets-nothing": ("wrong-answer", "returned None"),
    "belady-in-secret": ("future", "reads prefix.next_use"),
}
WARNED = {"beyond-the-contract", "slow", "writes", "runs-a-program", "misnamed", "dawdles"}
COMPILED = {
    "two-minds",
    "points-outside",
    "two-doors",
    "two-orders",
    "knows-lengths",
    "misreads",
    "short-of-arguments",
    "dawdles",
}


@pytest.fixture(scope="module")
def reports(bad_file: Path) -> dict[str, Report]:
    """What the check finds in the file of bad policies."""
    found = [each.split(" ", 1) for each in registry.load_plugin(bad_file)]
    assert {name for _, name in found} == set(PLANTED)
    return {one.name: one for one in report_on([registry.lookup(role, name) for role, name in found])}


def test_what_is_planted_is_found_at_its_line(reports: dict[str, Report], bad_file: Path) -> None:
    """Each fault, and nothing else, is told by its kind, in words, with the line to blame and what to do."""
    source = bad_file.read_text()
    for name, (code, text) in PLANTED.items():
        if name in COMPILED and not JIT:
            continue
        report = reports[name]
        assert [finding.code for finding in report.findings] == [code], name
        (finding,) = report.findings
        assert text in finding.text
        assert finding.help
        assert finding.severity == ("warning" if name in WARNED else "error")
        assert report.fine == (name in WARNED)
        place = finding.place
        assert place is not None
        assert place.file == str(bad_file)
        line = source.splitlines()[place.line - 1]
        assert line.endswith("# BLAME"), (name, place.line, line)
        body = re.search(rf'register\("{name}"\)\nclass (.*?)(\n\n\n|\Z)', source, re.DOTALL)
        assert body is not None
        assert name in COMPILED or line in body[0], name


def test_built_in_policies_are_fine(tmp_path: Path) -> None:
    """Nothing is wrong with what we ship."""
    given = {"recorded": {"path": str(tmp_path), "otherwise": "nearest"}, "queue-limit": {"max_queue": 2}}
    given["token-bucket"] = {"rate": "5/s"}
    found = [
        registry.registries[role][row.name]
        for role in registry.registries
        for row in registry.describe(role)
        if row.source == "built-in"
    ]
    assert len(found) > 20
    reports = report_on([policy for policy in found if policy.kind not in given])
    for name in ("queue-limit", "token-bucket"):
        reports += report_on([name], parameters=given[name], processes=False)
    for report in reports:
        assert report.fine, [str(finding) for finding in report.findings]
        assert not [note for note in report.notes if "another process" in note and report.name not in given]
    asked = {report.name for report in reports if report.decisions > 50}
    assert {"round-robin", "greedy-latency", "multilevel-feedback", "priority", "queue-limit"} <= asked


def test_the_stories_bring_trouble() -> None:
    """Each tiny scenario has in it what it is there for."""
    found = {
        story.name: run(registry.build("scheduler", "priority"), story, kind=InPython) for story in STORIES
    }
    loads = {name: records.requests for name, records in found.items()}
    assert (loads["idle"]["queue"] < 10**12).all()
    assert (loads["overloaded"]["status"] == 3).any()
    assert len(found["one-candidate"].replicas) == 1
    assert (found["failing"].legs["kind"] == 1).any()
    assert (loads["sessions"]["cached"] > 0).any()
    assert (found["hedges"].legs["kind"] == 2).any()
    assert loads["full-links"]["uplink"].max() > 3 * loads["idle"]["uplink"].max()
    assert (loads["little-memory"]["preemptions"] > 0).any()


def test_tiny_scenarios_are_refused_with_words_when_they_are_wrong() -> None:
    """Stories are scenarios like others."""
    assert all(loaded(story.name).scenario.requests == story.requests for story in STORIES)


def test_a_class_of_a_test_is_checked_in_this_process() -> None:
    """A class that no other process can find is still run, and the report says what was left out."""

    @register("local-for-tests")
    class Local(Router):
        """Send each request to the nearest."""

        def route(self, request, candidates, view):
            return candidates[0]

    assert_policy(Local)
    (report,) = report_on([Local])
    assert report.notes == ["not repeated in another process: its class is made inside a function"]


ENDLESS = """
from edgesim.policies import Router, register

@register("loops-{name}")
class Loops(Router):
    def setup(self, system, random):
        self._asked = 0

    def route(self, request, candidates, view):
        self._asked += 1
        while {while_}:
            try:
                self._asked += 0  # HERE
            except Exception:
                pass
        return candidates[0]
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms on this system")
@pytest.mark.parametrize("alarmed", [False, True])
def test_a_loop_without_end_is_stopped_and_told(alarmed: bool, plugin, monkeypatch) -> None:
    """The line is named; somebody else's alarm goes on, and so does what they had set to hear it."""
    monkeypatch.setattr(patience, "LONGEST", 0.3)
    name = f"a{alarmed:d}"
    path = plugin(ENDLESS.format(name=name, while_="self._asked > 5"), f"{name}.py")
    registry.load_plugin(path)
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 500.0 * alarmed)
        (report,) = report_on([f"loops-{name}"])
        assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0) == alarmed
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        own = signal.signal(signal.SIGALRM, before)
    assert getattr(own, "__name__", "") == "<lambda>"
    (finding,) = report.findings
    assert finding.code == "endless"
    assert finding.text == "route() has not answered after 0.3 s"
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines, 1) if "while" in line)
    assert finding.place is not None
    assert first <= finding.place.line <= first + 4
    assert report.scenarios == ["idle"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms on this system")
def test_a_loop_in_a_repeated_run_ends_too(plugin, monkeypatch) -> None:
    """Runs that are repeated are not watched, and still come to an end."""
    monkeypatch.setattr(patience, "LONGEST", 0.3)
    registry.load_plugin(plugin(ENDLESS.format(name="again", while_="self._asked > 5"), "again.py"))
    policy = registry.build("router", "loops-again")
    Timer(policy)
    with pytest.raises(EdgesimError, match=r"no answer within 0\.3 s"):
        run(policy, STORIES[0])


HANGS = """
from edgesim.policies import Router, compiled, register

@compiled
def choose(view, request, candidates, parameters, key):
    i = 0
    while request.prompt > 300:
        i += 1
    return 0

@register("hangs")
class Hangs(Router):
    compiled_route = choose

    def route(self, request, candidates, view):
        return candidates[0]
"""


@pytest.mark.skipif(not JIT, reason="the compiled tier needs the compiler")
def test_a_compiled_loop_without_end_is_ended_and_told(plugin, monkeypatch) -> None:
    """No signal reaches machine code: another process runs it, and is ended."""
    monkeypatch.setattr(patience, "LONGEST", 2.0)
    registry.load_plugin(plugin(HANGS, "hangs.py"))
    (report,) = report_on(["hangs"], processes=False)
    (finding,) = report.findings
    assert (finding.code, finding.severity) == ("endless", "error")
    assert finding.text == "its compiled form has not answered after 2 s"
    assert finding.place is not None
    assert finding.place.line == 4


RIGHT = """
import random
import numpy as np
from edgesim.policies import Router, register

@register("right")
class Right(Router):
    def setup(self, system, random_):
        self._system = system
        self._names, self._last, self._chosen = {}, None, {}
        self._draws = np.random.RandomState(seed=self.replication), random.Random(7), np.random.default_rng(1)

    def route(self, request, candidates, view):
        for replica in candidates:
            self._names[replica.index] = replica
        again = [replica for replica in candidates if replica == self._last and self._last.queue_length < 2]
        best = min(candidates, key=lambda replica: self._system.estimate(request, replica).ttft_s)
        self._last = again[0] if again else best
        self._chosen[self._last] = self._chosen.get(self._last, 0) + self.random(request)
        return self._last if self._draws[0].rand() < 0.5 else candidates[self._draws[1].randrange(len(candidates))]

    def on_outcome(self, decision, outcome):
        self._price = self._names[decision.replica].price
"""


def test_what_looks_wrong_and_is_right_passes(plugin) -> None:
    """Seeded generators, the system, what a replica always says, and a replica that was given again."""
    registry.load_plugin(plugin(RIGHT, "right.py"))
    (report,) = report_on(["right"])
    assert report.findings == []


def test_stories_bring_every_end(plugin) -> None:
    """A policy that listens hears of all of them."""
    heard = set()

    @register("all-ears")
    class AllEars(Router):
        """Send requests to all replicas in turn."""

        def route(self, request, candidates, view):
            return candidates[request.id % len(candidates)]

        def on_outcome(self, decision, outcome):
            heard.add(outcome.status)

    for story in STORIES:
        run(AllEars(), story)
    assert heard == {"completed", "rejected", "failed", "abandoned"}


MISSPELT = """
from edgesim.policies import Router, register

@register("misspelt-{name}")
class Misspelt(Router):
    def route(self, request, candidates, view):
        return min(candidates, key=lambda replica: replica.{name})
"""


@pytest.mark.parametrize(
    ("name", "help_"),
    [("outstanding_token", "did you mean outstanding_tokens?"), ("zzz", "it has free_kv_tokens, index, ")],
)
def test_what_a_view_has_not_is_told_in_the_author_s_words(name: str, help_: str, plugin) -> None:
    """The nearest name helps, or all names do; no class of the engine is named."""
    registry.load_plugin(plugin(MISSPELT.format(name=name), f"{name}.py"))
    (report,) = report_on([f"misspelt-{name}"])
    (finding,) = report.findings
    assert finding.text == f"route() raises AttributeError: replica has no {name!r}"
    assert finding.help.startswith(help_)
    assert report.notes == ["not repeated in another process: because of the errors above"]
    (quick,) = report_on([f"misspelt-{name}"], processes=False)
    assert quick.notes == ["not repeated in another process: not asked for"]


def test_assert_policy_fails_with_the_findings(bad_file: Path) -> None:
    """The assertion says what a reader must know; what is allowed does not fail it."""
    registry.load_plugin(bad_file)
    with pytest.raises(AssertionError, match=r"bad_policies.py:\d+: error raises: route\(\) raises KeyError"):
        assert_policy("raises", processes=False)
    assert_policy("raises", processes=False, allow=["raises"])
    assert_policy("beyond-the-contract", processes=False)
    with pytest.raises(AssertionError, match="bytes_per_ps"):
        assert_policy("beyond-the-contract", processes=False, warnings=False)


def test_parameters_reach_the_policy() -> None:
    """They are written as in a scenario; wrong ones are the author's mistake, not a finding."""
    assert check_policy("threshold-offload", processes=False, max_queue=0) == []
    with pytest.raises(EdgesimError, match="has no parameter 'max_queues'"):
        check_policy("threshold-offload", processes=False, max_queues=0)
    with pytest.raises(EdgesimError, match="needs the parameter 'max_queue'"):
        check_policy("queue-limit", processes=False)


def test_names_that_mean_nothing_or_too_much() -> None:
    """Names are looked up in all roles."""
    with pytest.raises(EdgesimError, match="did you mean 'nearest'"):
        check_policy("nearst")
    with pytest.raises(EdgesimError, match="is no registered policy"):
        check_policy(int)


class TestCommand:
    """`edgesim policies check`."""

    def test_findings_are_told_and_end_with_one(self, bad_file: Path) -> None:
        """Place, kind, text and help are there; exit code 1."""
        done = CliRunner().invoke(main, ["policies", "check", str(bad_file), "hides-the-future"])
        assert done.exit_code == 1, done.output
        assert "router 'hides-the-future': 1 error (8 scenarios" in done.output
        assert re.search(r"bad_policies.py:\d+: error future: reads request.output_tokens", done.output)
        assert "help: read predicted_output_tokens" in done.output

    def test_what_a_policy_prints_is_kept_apart(self, plugin) -> None:
        """The answer alone is on standard output."""
        source = """
from edgesim.policies import Router, register

@register("prints")
class Prints(Router):
    def route(self, request, candidates, view):
        print("asked about", request.id)
        return candidates[0]
"""
        done = CliRunner().invoke(
            main, ["policies", "check", str(plugin(source, "prints.py")), "--json", "--quick"]
        )
        assert json.loads(done.stdout)[0]["fine"]
        assert "asked about 7" in done.stderr

    def test_warnings_alone_are_fine(self, bad_file: Path) -> None:
        """They are shown, and the exit code is 0; as JSON, too."""
        done = CliRunner().invoke(
            main, ["policies", "check", str(bad_file), "beyond-the-contract", "--json", "--quick"]
        )
        assert done.exit_code == 0, done.output
        (report,) = json.loads(done.output)
        assert report["fine"]
        (finding,) = report["findings"]
        assert (finding["code"], finding["severity"]) == ("beyond-contract", "warning")
        assert finding["line"] > 1

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["nobody"], "no policy named 'nobody'"),
            (["raises", "--set", "x"], "--set wants KEY=VALUE"),
            (["raises", "--set", "depth=3"], "router 'raises' has no parameter 'depth'"),
        ],
    )
    def test_bad_input_ends_with_two(self, arguments: list[str], told: str, bad_file: Path) -> None:
        """What the user got wrong is no finding."""
        done = CliRunner().invoke(main, ["policies", "check", str(bad_file), *arguments])
        assert done.exit_code == 2
        assert told in done.output

    def test_a_file_that_is_no_plugin(self, plugin) -> None:
        """It is told by line, with exit code 2."""
        done = CliRunner().invoke(main, ["policies", "check", str(plugin("x = (\n"))])
        assert done.exit_code == 2
        assert "this is not Python" in done.output

    def test_a_policy_is_checked_by_its_name_alone(self) -> None:
        """Built-in ones need no file."""
        done = CliRunner().invoke(main, ["policies", "check", "nearest", "--quick"])
        assert done.exit_code == 0, done.output
        assert "router 'nearest': fine (8 scenarios" in done.output

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["nearst"], "no policy or file named 'nearst'; did you mean 'nearest'?"),
            (["nearest", "fastest"], "'nearest' is a policy, no file; leave out 'fastest'"),
            (["no_such_file.py"], "'no_such_file.py' cannot be read"),
        ],
    )
    def test_what_is_neither_file_nor_policy(self, arguments: list[str], told: str) -> None:
        """It is told so, with exit code 2."""
        done = CliRunner().invoke(main, ["policies", "check", *arguments])
        assert done.exit_code == 2
        assert told in done.output

    def test_one_of_a_thing_is_not_several(self, capsys) -> None:
        """Counts agree with their nouns."""
        _show_report(Report("router", "x", decisions=1, scenarios=["idle"]))
        assert capsys.readouterr().out == "router 'x': fine (1 scenario, 1 decision)\n"

    def test_a_class_that_is_not_decorated_is_pointed_at(self, plugin) -> None:
        """Its line is named, and what to write there; without any class, all roles are."""
        source = "from edgesim.policies import Router\n\n\nclass MyRouter(Router):\n    pass\n"
        done = CliRunner().invoke(main, ["policies", "check", str(plugin(source, "bare.py"))])
        assert done.exit_code == 2
        assert "bare.py:4" in done.output
        assert 'write @register("my-router") above the class MyRouter' in done.output
        done = CliRunner().invoke(main, ["policies", "check", str(plugin("x = 1\n", "empty.py"))])
        assert "derived from Admission, Cache, Router or Scheduler" in " ".join(done.output.split())
