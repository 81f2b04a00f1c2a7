"""The shape of a workload's requests: how long, how many images, how patient, how urgent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.streams import uniform
from edgesim.workload.distributions import (
    counts,
    duration,
    picoseconds,
    times,
    whole,
    whole_number,
)
from edgesim.workload.laws import Constant, Distribution
from edgesim.workload.prediction import predictor
from edgesim.workload.table import AT, COLUMN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.scenario.workload import Workload as Section
    from edgesim.streams import Streams
    from edgesim.workload.asked import Asked


_ORIGIN: Final = COLUMN["origin"]
_SESSION: Final = COLUMN["session"]
_TURN: Final = COLUMN["turn"]
_PROMPT: Final = COLUMN["prompt"]
_OUTPUT: Final = COLUMN["output"]
_PREDICTED: Final = COLUMN["predicted"]
_IMAGES: Final = COLUMN["images"]
_BYTES_UP: Final = COLUMN["bytes_up"]
_PATIENCE: Final = COLUMN["patience"]
_HASHES: Final = COLUMN["hashes"]
_HASH_COUNT: Final = COLUMN["hash_count"]


class Draws(dict[str, Any]):
    """The generators of one pass over a workload, opened by name when first used."""

    def __init__(self, streams: Streams, workload: str) -> None:
        """Open nothing yet."""
        super().__init__()
        self._streams = streams
        self._workload = workload

    def __missing__(self, purpose: str) -> np.random.Generator:
        """Open the stream `purpose/workload` at its start."""
        self[purpose] = generator = self._streams.generator(f"{purpose}/{self._workload}")
        return generator


class Shape:
    """Draws everything about a request but its time and place.

    Attributes:
        index: The workload's place in the scenario.
        name: The workload's name.
    """

    def __init__(
        self, workload: Section, index: int, name: str, streams: Streams, mean_output: float | None = None
    ) -> None:
        """Prepare the distributions.

        Args:
            workload: The workload's section of the scenario.
            index: Its place in the scenario.
            name: Its name.
            streams: Where randomness comes from.
            mean_output: Mean reply length [tokens] where a trace gives the lengths.
        """
        self.index = index
        self.name = name
        self._streams = streams
        self._keys: dict[str, int] = {}
        traced = mean_output is not None
        self._prompt: Distribution = Constant(1.0) if traced else counts(workload.prompt_tokens)
        self._output: Distribution = Constant(1.0) if traced else counts(workload.output_tokens)
        self._images = counts(workload.images, least=0)
        self._has_images = self._images != Constant(0.0)
        self._patience = times(workload.patience) if workload.patience is not None else None
        self._predictor = predictor(
            workload.prediction, self._output.mean() if mean_output is None else mean_output
        )
        self._bytes_per_token = float(workload.bytes_per_token)
        self._image_bytes = int(workload.image_bytes)
        self._plain = np.zeros(len(COLUMN), np.int64)
        self._plain[COLUMN["workload"]] = index
        self._plain[COLUMN["priority"]] = workload.priority
        if workload.deadline is not None:
            self._plain[COLUMN["deadline"]] = max(1, duration(workload.deadline))
        self._plain_row: list[int] = self._plain.tolist()

    def draws(self) -> Draws:
        """Return fresh generators for one pass over the workload."""
        return Draws(self._streams, self.name)

    def uniform(self, purpose: str, session: int, turn: int) -> float:
        """Return the uniform number that the stream `purpose/workload` has for this turn of this session."""
        key = self._keys.get(purpose)
        if key is None:
            key = self._keys[purpose] = self._streams.key(f"{purpose}/{self.name}")
        return uniform(key, session, turn)

    def many(self, draws: Draws, asked: Asked, origin: NDArray[np.int64], first: int) -> NDArray[np.int64]:
        """Return a table of single requests, each a session of its own.

        Args:
            draws: The generators of this pass.
            asked: Their times, and their lengths where a trace gives them.
            origin: Node ids.
            first: Session number of the first of them.
        """
        size = len(asked.at)
        table = np.empty((size, len(COLUMN)), np.int64)
        table[:] = self._plain
        table[:, AT] = asked.at
        table[:, _ORIGIN] = origin
        table[:, _SESSION] = np.arange(first, first + size)
        prompt, output = asked.prompt, asked.output
        if prompt is None:
            prompt = whole(self._prompt.draw(draws["prompt_tokens"], size))
        if output is None:
            output = whole(self._output.draw(draws["output_tokens"], size))
        table[:, _PROMPT] = prompt
        table[:, _OUTPUT] = output
        if asked.first_name is not None and asked.name_count is not None:
            table[:, _HASHES] = asked.first_name
            table[:, _HASH_COUNT] = asked.name_count
        random = draws["prediction"] if self._predictor.needs_random else None
        table[:, _PREDICTED] = self._predictor.many(output, random)
        table[:, _BYTES_UP] = np.rint(prompt * self._bytes_per_token)
        if self._has_images:
            images = whole(self._images.draw(draws["images"], size), least=0)
            table[:, _IMAGES] = images
            table[:, _BYTES_UP] += images * self._image_bytes
        if self._patience is not None:
            table[:, _PATIENCE] = picoseconds(self._patience.draw(draws["patience"], size), least=1)
        return table

    def drawn(self, law: Distribution, purpose: str, session: int, turn: int) -> float:
        """Return what a law gives for this turn of this session from the stream of that purpose."""
        if isinstance(law, Constant):
            return law.value
        return law.quantile(self.uniform(purpose, session, turn))

    def lengths(self, session: int, turn: int) -> tuple[int, int]:
        """Return the new prompt tokens and the reply tokens of one turn."""
        prompt = self.drawn(self._prompt, "prompt_tokens", session, turn)
        output = self.drawn(self._output, "output_tokens", session, turn)
        return whole_number(prompt), whole_number(output)

    def one(self, at: int, origin: int, session: int, turn: int, history: int) -> list[int]:
        """Return one turn of a session as a row; its prompt repeats `history` tokens.

        Plain integers all the way: a numpy array of one row would cost more than everything else.
        """
        new, output = self.lengths(session, turn)
        prompt = new + history
        row = self._plain_row.copy()
        row[AT] = at
        row[_ORIGIN] = origin
        row[_SESSION] = session
        row[_TURN] = turn
        row[_PROMPT] = prompt
        row[_OUTPUT] = output
        u = self.uniform("prediction", session, turn) if self._predictor.needs_random else 0.0
        row[_PREDICTED] = self._predictor.one(output, u)
        row[_BYTES_UP] = round(prompt * self._bytes_per_token)
        if self._has_images:
            images = whole_number(self._images.quantile(self.uniform("images", session, turn)), least=0)
            row[_IMAGES] = images
            row[_BYTES_UP] += images * self._image_bytes
        if self._patience is not None:
            patience = self._patience.quantile(self.uniform("patience", session, turn))
            row[_PATIENCE] = max(1, duration(patience))
        return row
