"""Workloads: who asks, when, how much, and what follows a reply."""

from __future__ import annotations

from edgesim.workload.sessions import Continuation
from edgesim.workload.source import NodeTable, Workload, build

__all__ = ["Continuation", "NodeTable", "Workload", "build"]
