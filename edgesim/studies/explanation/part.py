"""An explanation: parts, each with sentences and the tables that back them."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Part:
    """One question and its answer.

    Attributes:
        title: The question, in a few words.
        sentences: The answer.
        tables: What it rests on, by name; columns carry their unit at the end of their name.
    """

    title: str
    sentences: list[str]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """Why a run came out as it did.

    Attributes:
        subject: What was explained.
        parts: Its parts, the most urgent first.
    """

    subject: str
    parts: list[Part]

    @property
    def sentences(self) -> list[str]:
        """All sentences, in order."""
        return [sentence for part in self.parts for sentence in part.sentences]

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables, by name."""
        return {name: table for part in self.parts for name, table in part.tables.items()}

    def plain(self) -> dict[str, Any]:
        """Answer everything as what JSON knows; missing numbers are None."""
        return {
            "subject": self.subject,
            "sentences": self.sentences,
            "tables": {name: _rows(table) for name, table in self.tables.items()},
        }

    def __str__(self) -> str:
        """Return the sentences, a line each."""
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        """Show sentences and tables in a notebook."""
        pieces = [f"<h3>{html.escape(self.subject)}</h3>"]
        for part in self.parts:
            pieces.append(f"<h4>{html.escape(part.title)}</h4>")
            pieces += [f"<p>{html.escape(sentence)}</p>" for sentence in part.sentences]
            pieces += [
                f"<details><summary>{html.escape(name)}</summary>{table.to_html(index=False)}</details>"
                for name, table in part.tables.items()
            ]
        return "".join(pieces)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries of plain values."""
    return [
        {str(key): _value(value) for key, value in row.items()} for row in table.to_dict(orient="records")
    ]


def _value(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
