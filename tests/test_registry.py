"""Looking policies up, checking their parameters, and running the files of users."""

from __future__ import annotations

import pickle
import subprocess
import sys
from textwrap import dedent

import pytest

from edgesim import registry
from edgesim.errors import Problem, ScenarioError
from edgesim.policies import Router, register


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Write a plugin into the working folder, load it, and forget it after the test."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def load(source, name="mine.py"):
        (tmp_path / name).write_text(dedent(source))
        return registry.load_plugin(name)

    yield load
    for module in set(sys.modules) - before:
        for one in registry.registries.values():
            one.forget(module)
        if module.startswith("edgesim_plugin_"):
            del sys.modules[module]


ROUTE = "route(self, request, candidates, view)"

LEAST_LOADED = '''\
    from edgesim import units
    from edgesim.policies import Router, register

    @register("least-loaded")
    class LeastLoaded(Router):
        """Send each request to the replica with the fewest outstanding tokens.

        More about it.

        Attributes:
            headroom: Share that is left free,
                for what comes unforeseen.
            patience: How long it waits [s].
        """

        headroom: float = 0.1
        patience: units.Seconds = 2.0

        def route(self, request, candidates, view):
            return min(candidates, key=lambda replica: replica.outstanding_tokens)
    '''


class TestNames:
    def test_suggests_the_nearest_name(self):
        """A misspelt name is answered with the one that was probably meant."""
        with pytest.raises(registry.UnknownNameError) as caught:
            registry.lookup("router", "nearst")
        assert str(caught.value) == "no router named 'nearst'; did you mean 'nearest'?"
        assert caught.value.help == "`edgesim policies list` lists all; add yours with --plugin FILE.py"

    def test_does_not_guess_wildly(self):
        """Nothing is suggested for a name that resembles nothing."""
        assert str(registry.UnknownNameError("llm", "qqq", ["llama", "phi"])) == "no llm named 'qqq'"

    def test_lists_what_is_known(self):
        """Without other advice the error lists what could have been written."""
        assert registry.UnknownNameError("grid", "qqq", ["de", "fr"]).help == "known: de, fr"

    def test_survives_a_pickle(self):
        """The error rebuilds from its arguments in another process."""
        error = registry.UnknownNameError("grid", "dee", ["de", "fr"])
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (str(error), error.help) == (str(copy), copy.help)

    def test_unknown_role(self):
        """Roles are names, too."""
        with pytest.raises(registry.UnknownNameError, match="did you mean 'router'"):
            registry.lookup("rooter", "nearest")


class TestCheck:
    @pytest.mark.parametrize(
        ("role", "spec", "path", "text"),
        [
            ("router", "nearst", (), "no router named 'nearst'; did you mean 'nearest'?"),
            ("router", {"kind": "nearst"}, ("kind",), "no router named 'nearst'; did you mean 'nearest'?"),
            (
                "router",
                {"kind": "threshold-offload", "max_quue": 3},
                ("max_quue",),
                "router 'threshold-offload' has no parameter 'max_quue'; did you mean 'max_queue'?",
            ),
            (
                "router",
                {"kind": "threshold-offload", "max_queue": -1},
                ("max_queue",),
                "should be greater than or equal to 0; not -1",
            ),
            (
                "admission",
                {"kind": "token-bucket", "rate": 5},
                ("rate",),
                "5 has no unit; write e.g. '6/s'",
            ),
            ("admission", "queue-limit", (), "admission 'queue-limit' needs the parameter 'max_queue'"),
            ("router", 5, (), "5 names no router; write a name, or a mapping with `kind` and parameters"),
            (
                "router",
                {"max_queue": 5},
                (),
                "{'max_queue': 5} names no router; write a name, or a mapping with `kind` and parameters",
            ),
        ],
    )
    def test_names_key_and_fault(self, role, spec, path, text):
        """Every fault is located relative to the policy and said in the user's words."""
        (problem,) = registry.check(role, spec)
        assert (path, text) == (problem.path, problem.text)

    def test_collects_all_problems(self):
        """Two wrong parameters are two problems."""
        problems = registry.check("admission", {"kind": "token-bucket", "rate": "5 ms", "burst": 0})
        assert [problem.path for problem in problems] == [("rate",), ("burst",)]

    def test_every_built_in_policy_can_be_listed_and_has_a_summary(self):
        """No built-in policy is without a sentence about itself."""
        for role in ("router", "scheduler", "admission"):
            rows = [row for row in registry.describe(role) if row.source == "built-in"]
            assert len(rows) > 1
            assert all(row.summary.endswith(".") for row in rows)


class TestBuild:
    def test_parameters_have_units(self):
        """A rate in a scenario carries its unit and arrives in 1/s."""
        policy = registry.build("admission", {"kind": "token-bucket", "rate": "120/min", "burst": 3})
        assert (policy.rate, policy.burst) == (2.0, 3)

    def test_a_finished_policy_stays_as_it_is(self):
        """From Python a policy may be given as an object."""
        policy = registry.lookup("router", "threshold-offload")(max_queue=9)
        assert registry.build("router", policy) is policy

    def test_a_policy_of_another_role_is_refused(self):
        """A scheduler is no router."""
        with pytest.raises(ScenarioError, match="names no router"):
            registry.build("router", registry.build("scheduler", "fcfs"))

    def test_wrong_parameters_raise_all_problems(self):
        """Building reports what checking would."""
        with pytest.raises(ScenarioError, match="max_quue"):
            registry.build("router", {"kind": "threshold-offload", "max_quue": 3})


class TestRegister:
    def test_makes_keyword_parameters(self, plugin):
        """Annotated attributes become keyword arguments, and nothing else is taken."""
        plugin(LEAST_LOADED)
        policy = registry.lookup("router", "least-loaded")
        assert policy(headroom=0.5).headroom == 0.5
        with pytest.raises(TypeError):
            policy(0.5)

    def test_lists_parameters_and_source(self, plugin):
        """A user's policy is listed with its first sentence, its parameters and its file."""
        plugin(LEAST_LOADED)
        (row,) = [row for row in registry.describe("router") if row.name == "least-loaded"]
        assert row.summary == "Send each request to the replica with the fewest outstanding tokens."
        assert [str(item) for item in row.parameters] == ["headroom = 0.1", "patience = 2 s"]
        assert [item.kind for item in row.parameters] == ["number", "quantity, such as 10 ms"]
        meanings = ["Share that is left free, for what comes unforeseen.", "How long it waits [s]."]
        assert [item.meaning for item in row.parameters] == meanings
        assert registry.prose_of(registry.lookup("router", "least-loaded")).endswith("More about it.")
        assert row.source.startswith("mine.py:")

    def test_state_is_no_parameter(self, plugin):
        """A field with init=False is not offered to scenarios."""
        plugin(
            """\
            from dataclasses import field
            from edgesim.policies import Router, register

            @register("counting")
            class Counting(Router):
                seen: list[int] = field(default_factory=list, init=False)

                def route(self, request, candidates, view):
                    return candidates[0]
            """
        )
        (problem,) = registry.check("router", {"kind": "counting", "seen": []})
        assert "'seen'" in problem.text
        assert registry.build("router", "counting").seen == []

    def test_describes_itself_to_editors(self):
        """The JSON schema knows names, parameters and their bounds."""
        options = {item.get("title"): item for item in registry.json_schema("router")["oneOf"]}
        assert "nearest" in options[None]["enum"]
        offload = options["threshold-offload"]
        assert offload["properties"]["kind"] == {"const": "threshold-offload"}
        assert offload["properties"]["max_queue"]["minimum"] == 0
        assert offload["additionalProperties"] is False

    def test_refuses_the_name_of_a_built_in(self):
        """Nobody replaces a built-in policy by accident."""
        with pytest.raises(
            registry.BrokenPolicyError, match="router 'nearest' exists already, built in"
        ) as caught:

            @register("nearest")
            class Nearest(Router):
                def route(self, request, candidates, view):
                    return candidates[0]

        assert caught.value.help == "register it under another name"


class TestPlugin:
    def test_answers_what_it_registered(self, plugin):
        """Loading tells role and name, and scenarios can use them with units."""
        assert plugin(LEAST_LOADED) == ["router least-loaded"]
        policy = registry.build("router", {"kind": "least-loaded", "patience": "20 ms"})
        assert policy.patience == 0.02

    def test_finds_the_modules_beside_it(self, plugin, tmp_path):
        """As a script does; afterwards the path is as before, and another folder's module is another one."""
        before = list(sys.path)
        for folder, weight in (("one", 1), ("two", 2)):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "helper_of_mine.py").write_text(f"WEIGHT = {weight}\n")
            source = dedent(LEAST_LOADED).replace("least-loaded", f"weighed-{folder}")
            source = f"from helper_of_mine import WEIGHT\n{source}"
            assert plugin(source, f"{folder}/mine.py") == [f"router weighed-{folder}"]
            cls = registry.lookup("router", f"weighed-{folder}")
            assert weight == sys.modules[cls.__module__].WEIGHT
            assert sys.path == before

    def test_same_file_again_is_not_run_again(self, plugin):
        """An unchanged file keeps its class, so that instances stay of it."""
        plugin(LEAST_LOADED)
        first = registry.lookup("router", "least-loaded")
        assert registry.load_plugin("mine.py") == ["router least-loaded"]
        assert registry.lookup("router", "least-loaded") is first

    def test_an_edited_file_replaces_its_policies(self, plugin):
        """What the new text no longer registers is gone."""
        plugin(LEAST_LOADED)
        assert plugin(LEAST_LOADED.replace("least-loaded", "lightest")) == ["router lightest"]
        with pytest.raises(registry.UnknownNameError):
            registry.lookup("router", "least-loaded")

    def test_two_files_cannot_share_a_name(self, plugin):
        """The second file is told where the first one is."""
        plugin(LEAST_LOADED)
        with pytest.raises(
            ScenarioError, match=r"router 'least-loaded' exists already, defined at mine.py:\d+"
        ):
            plugin(LEAST_LOADED, "other.py")

    def test_a_failed_file_leaves_nothing_behind(self, plugin):
        """A policy above the fault is not kept."""
        with pytest.raises(ScenarioError):
            plugin(LEAST_LOADED + "\n    1 / 0\n")
        with pytest.raises(registry.UnknownNameError):
            registry.lookup("router", "least-loaded")

    def test_a_scheduler_may_form_steps_instead_of_ranking(self, plugin):
        """One of both hooks is enough, and either must be callable."""
        head = "from edgesim.policies import Scheduler, register\n\n@register('mine')\nclass Mine(Scheduler):\n    "
        assert plugin(f"{head}def schedule(self, view): ...") == ["scheduler mine"]
        assert plugin(f"{head}def rank(self, request, replica, view): ...") == ["scheduler mine"]
        with pytest.raises(
            ScenarioError, match=r"scheduler 'mine' lacks its hook rank\(self, request, replica, view\)"
        ):
            plugin(f"{head}every_step = True")
        with pytest.raises(
            ScenarioError, match=r"schedule\(\) takes \(self\); it must be schedule\(self, view\)"
        ):
            plugin(f"{head}def schedule(self): ...")

    def test_pickled_policies_find_their_class(self, plugin):
        """A plugin is a module of its own name, so that instances travel within a process pool."""
        plugin(LEAST_LOADED)
        policy = registry.build("router", {"kind": "least-loaded", "headroom": 0.7})
        assert pickle.loads(pickle.dumps(policy)).headroom == 0.7  # noqa: S301

    @pytest.mark.parametrize(
        ("body", "line", "text"),
        [
            (
                "def choose(self, request, candidates, view): ...",
                4,
                f"router 'mine' lacks its hook {ROUTE}",
            ),
            (
                "def route(self, request): ...",
                5,
                f"router 'mine': route() takes (self, request); it must be {ROUTE}",
            ),
            (
                "async def route(self, request, candidates, view): ...",
                5,
                f"router 'mine': route() must answer at once, without async or yield; it must be {ROUTE}",
            ),
            (
                "def route(self, request, candidates, view): ...\n    def setup(self): ...",
                6,
                "router 'mine': setup() takes (self); it must be setup(self, system, random)",
            ),
            (
                "def __init__(self): ...",
                5,
                "router 'mine' has an __init__(); annotate parameters in the class, prepare state in setup()",
            ),
            (
                "def route(self, request, candidates, view): ...\n    kind: str = 'x'",
                4,
                "router 'mine': a parameter cannot be called 'kind'",
            ),
        ],
    )
    def test_broken_hooks_name_line_and_hook(self, plugin, body, line, text):
        """A hook that cannot be called is found when the file is loaded."""
        head = "from edgesim.policies import Router, register\n\n@register('mine')\nclass Mine(Router):\n"
        source = f"{head}    {body}\n"
        with pytest.raises(ScenarioError) as caught:
            plugin(source)
        (problem,) = caught.value.problems
        assert text == problem.text
        assert ("mine.py", line) == (problem.file, problem.line)

    @pytest.mark.parametrize(
        ("source", "line", "text"),
        [
            ("x = (\n", 1, "this is not Python: '(' was never closed"),
            (
                "\n\nimport nonsense_package\n",
                3,
                "this plugin fails with ModuleNotFoundError: No module named 'nonsense_package'",
            ),
            (
                "def f():\n    return 1 / 0\n\nf()\n",
                2,
                "this plugin fails with ZeroDivisionError: division by zero",
            ),
            ("raise SystemExit(3)\n", 1, "this plugin fails with SystemExit: 3"),
            ("x = 1\n", 1, "this plugin registers no policy"),
            (
                "from edgesim.policies import register\n\n@register('mine')\nclass Mine:\n    pass\n",
                4,
                "Mine, registered as 'mine', plays no role; derive it from Admission, Cache, Router or Scheduler",
            ),
        ],
    )
    def test_failing_files_name_line_and_reason(self, plugin, source, line, text):
        """Whatever happens while a plugin runs is told by file and line, without a traceback."""
        with pytest.raises(ScenarioError) as caught:
            plugin(source)
        (problem,) = caught.value.problems
        assert (text, "mine.py", line) == (problem.text, problem.file, problem.line)

    def test_a_parameter_of_unknown_type_is_found_at_once(self, plugin):
        """A type that cannot be validated is told when the file is loaded, not in mid-run."""
        with pytest.raises(
            ScenarioError, match="'least-loaded' has a parameter whose type cannot be checked"
        ):
            plugin(
                "from __future__ import annotations\n"
                + dedent(LEAST_LOADED).replace("headroom: float", "headroom: Nope")
            )

    def test_a_missing_file_is_a_problem(self):
        """There is no traceback for a path that leads nowhere."""
        with pytest.raises(ScenarioError) as caught:
            registry.load_plugin("nowhere.py")
        expected = [Problem((), "plugin 'nowhere.py' cannot be read: No such file or directory")]
        assert expected == caught.value.problems


def test_policies_need_no_numpy():
    """Writing, checking and listing policies works without the heavy packages."""
    code = (
        "import edgesim.policies, sys; from edgesim import registry; registry.check('router', 'nearest');"
        "assert not {'numpy', 'pandas', 'numba', 'networkx', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_of_many_names_the_nearest_are_listed():
    """Those that hold what was written, then those spelt alike; and how to list all."""
    known = [f"nvidia-x{i}" for i in range(40)] + ["nvidia-h100-sxm", "nvidia-h100-pcie"]
    text = registry.UnknownNameError("accelerator", "H100", known).help
    assert (
        text == "nearest: nvidia-h100-sxm, nvidia-h100-pcie; `edgesim catalog list accelerator` lists all 42"
    )
    assert registry.UnknownNameError("accelerator", "qqq", known).help.startswith("`edgesim catalog list")
