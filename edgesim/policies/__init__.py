"""Decisions: everything needed to write a policy.

    from edgesim.policies import Router, register

    @register("least-loaded")
    class LeastLoaded(Router):
        \"\"\"Send each request to the replica with the fewest outstanding tokens.\"\"\"

        def route(self, request, candidates, view):
            return min(candidates, key=lambda replica: replica.outstanding_tokens)

A scenario then says `router: least-loaded`, and names the file under `plugins:`.
"""

from edgesim.policies.admission import Admission
from edgesim.policies.answers import Accept, Decision, DecisionCost, Defer, Estimate, Hedge, Outcome, Reject
from edgesim.policies.base import Policy
from edgesim.policies.cache import Cache
from edgesim.policies.compiled import CompiledFunction, compiled
from edgesim.policies.multilevel import MultilevelFeedback
from edgesim.policies.recorded import RecordedRouter
from edgesim.policies.router import Router
from edgesim.policies.scheduler import Scheduler
from edgesim.policies.steps import BatchView, LegView, Plan
from edgesim.policies.views import Draw, PrefixView, ReplicaView, RequestView, SystemView
from edgesim.registry import register

__all__ = [
    "Accept",
    "Admission",
    "BatchView",
    "Cache",
    "CompiledFunction",
    "Decision",
    "DecisionCost",
    "Defer",
    "Draw",
    "Estimate",
    "Hedge",
    "LegView",
    "MultilevelFeedback",
    "Outcome",
    "Plan",
    "Policy",
    "PrefixView",
    "RecordedRouter",
    "Reject",
    "ReplicaView",
    "RequestView",
    "Router",
    "Scheduler",
    "SystemView",
    "compiled",
    "register",
]
