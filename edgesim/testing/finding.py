"""What a check finds: something that a policy does wrong, where, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from edgesim.registry import Place  # noqa: TC001 - dataclass fields

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a policy.

    Attributes:
        code: Short fixed name of the kind of fault, such as "wrong-answer".
        text: What the policy does, in words.
        help: What to do about it.
        place: Line that does it, if known.
        scenario: Name of the tiny scenario in which it was seen; empty where that does not matter.
        severity: "error", or "warning" for what only costs time or may break later.
    """

    code: str
    text: str
    help: str
    place: Place | None = None
    scenario: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place is not None else ""
        seen = f" (scenario {self.scenario!r})" if self.scenario else ""
        return f"{where}{self.severity} {self.code}: {self.text}{seen}\n  help: {self.help}"

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "code": self.code,
            "severity": self.severity,
            "text": self.text,
            "help": self.help,
            "file": self.place.path if self.place else None,
            "line": self.place.line if self.place else None,
            "scenario": self.scenario,
        }


@dataclass
class Report:
    """What a check found about one policy.

    Attributes:
        role: Role of the policy.
        name: Name of the policy.
        findings: What is wrong, errors first.
        scenarios: Names of the scenarios that were run.
        decisions: How often the policy was asked while it was watched.
        seconds_per_decision: Processor time of an unwatched decision [s]; None if none was timed.
        notes: What could not be checked, and why.
    """

    role: str
    name: str
    findings: list[Finding] = field(default_factory=list)
    scenarios: list[str] = field(default_factory=list)
    decisions: int = 0
    seconds_per_decision: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Is there nothing wrong but what warnings are about?"""
        return all(finding.severity == "warning" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "role": self.role,
            "name": self.name,
            "fine": self.fine,
            "findings": [finding.as_json() for finding in self.findings],
            "scenarios": self.scenarios,
            "decisions": self.decisions,
            "seconds_per_decision": self.seconds_per_decision,
            "notes": self.notes,
        }
