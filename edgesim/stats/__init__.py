"""Statistics of simulation output: descriptions, confidence intervals, initial transients, differences."""

from edgesim.stats.batches import Batches, batch_means, run_interval, section_interval
from edgesim.stats.describe import PERCENTILES, Distribution, describe, numbers_of, percentiles
from edgesim.stats.intervals import Interval, quantile_interval, ratio_interval, t_interval
from edgesim.stats.pairs import Difference, holm, paired, welch
from edgesim.stats.rounds import rounds
from edgesim.stats.stopping import Precision, narrow_enough
from edgesim.stats.transients import Transient, mser5, transient

__all__ = [
    "PERCENTILES",
    "Batches",
    "Difference",
    "Distribution",
    "Interval",
    "Precision",
    "Transient",
    "batch_means",
    "describe",
    "holm",
    "mser5",
    "narrow_enough",
    "numbers_of",
    "paired",
    "percentiles",
    "quantile_interval",
    "ratio_interval",
    "rounds",
    "run_interval",
    "section_interval",
    "t_interval",
    "transient",
    "welch",
]
