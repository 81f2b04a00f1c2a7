"""The cheapest mix of hardware that is good enough: tried from the cheapest on, or by Optuna where there are many.

By cost, mixes are tried in the order of their price, so that the first good one is the cheapest and dearer ones
need not be run. By energy, all are run, since only a run tells. Where there are more than `MOST`, Optuna's TPE sampler
(Akiba et al., KDD 2019, doi 10.1145/3292500.3330701) proposes which to try, seeded by the scenario's seed; what it
finds is the best of those tried.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from edgesim.errors import MissingExtraError, ScenarioError
from edgesim.results.capacity import PRICE

if TYPE_CHECKING:
    from edgesim.scenario import Scenario
    from edgesim.studies.capacity_levers import Mix
    from edgesim.studies.capacity_points import Key, Point, Points

MOST: Final = 64
"""More mixes than this are not all tried."""


class MixSearch:
    """A search among mixes.

    Args:
        mix: What there is.
        points: Evaluates mixes.
        objective: "cost": price of the accelerators, busy or not [USD/h]; "energy": mean power [W].
    """

    def __init__(self, mix: Mix, points: Points, objective: str) -> None:
        self.mix = mix
        self.objective = objective
        self._points = points
        self.tried: list[Point] = []
        self.notes: list[str] = []

    def enumerate(self) -> Point | None:
        """Try mixes until the best is known."""
        offers = [(key, *self._variant(key)) for key in self.mix.all()]
        unfit = [offer for offer in offers if offer[3]]
        offers = [offer for offer in offers if not offer[3]]
        if self.objective == "cost":
            offers.sort(key=lambda offer: offer[2])
        for number, (key, scenario, price, problem) in enumerate(offers):
            point = self._try(key, scenario, price, problem)
            if self.objective == "cost" and point.met and self._confirmed(point):
                rest = len(offers) - number - 1
                if rest:
                    self.notes.append(f"{rest} mixes of at least the same price were not run")
                break
        for offer in unfit:
            self._try(*offer)
        return self._confirmed_best()

    def optimise(self, trials: int, seed: int) -> Point | None:
        """Let Optuna propose mixes."""
        try:
            import optuna  # noqa: PLC0415 - optional
        except ImportError:
            raise MissingExtraError("optuna", "opt") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed % 2**32, multivariate=False), direction="minimize"
        )
        for _ in range(trials):
            trial = study.ask()
            key: dict[str, str | int] = {}
            for one in self.mix.offered:
                key[one.group] = trial.suggest_categorical(one.group, list(one.accelerators))
                key[f"{one.group} x"] = trial.suggest_int(f"{one.group} x", one.least, one.most)
            study.tell(trial, self._score(key))
        self.notes.append(
            f"{len(self.tried)} of {self.mix.size:,} mixes were tried: a better one may exist among the others"
        )
        return self._confirmed_best()

    def _score(self, key: Key) -> float:
        """What Optuna minimises: the objective where good, and beyond every objective where not.

        A mix that is dearer than a good one is not run: by its price alone it cannot win.
        """
        scenario, price, problem = self._variant(key)
        best = self._best()
        if self.objective == "cost" and best is not None and price >= best.facts[PRICE]:
            return price
        point = self._try(key, scenario, price, problem)
        if point.met:
            return self._worth(point)
        beyond = 10.0 if not math.isfinite(point.excess) else min(max(point.excess, 0.0), 9.0)
        return 1e9 * (1 + beyond)

    def _variant(self, key: Key) -> tuple[Scenario | None, float, str]:
        """The scenario with a mix, its price, and why there is none."""
        try:
            scenario = self.mix.at(key)
        except ScenarioError as error:
            return None, math.inf, error.problems[0].text
        price = self.mix.price(scenario) if self.objective == "cost" else math.nan
        return scenario, price, ""

    def _try(self, key: Key, scenario: Scenario | None, price: float, problem: str) -> Point:
        facts = {PRICE: price} if self.objective == "cost" else {}
        point = self._points.at(key, scenario, facts, problem)
        if point not in self.tried:
            self.tried.append(point)
        return point

    def _confirmed(self, point: Point) -> bool:
        """Whether a point is still good with all replications; it is replaced by what they say."""
        scenario, _, _ = self._variant(point.key)
        again = self._points.at(point.key, scenario, point.facts, whole=True)
        self.tried[self.tried.index(point)] = again
        return again.met

    def _confirmed_best(self) -> Point | None:
        """The best of those that are still good with all replications."""
        while (best := self._best()) is not None:
            # its worth may have changed, too
            if self._confirmed(best) and (again := self._best()) is not None and again.key == best.key:
                return again
        return None

    def _worth(self, point: Point) -> float:
        return point.facts[PRICE] if self.objective == "cost" else point.interval("power_w").mean

    def _best(self) -> Point | None:
        return min((point for point in self.tried if point.met), key=self._worth, default=None)
