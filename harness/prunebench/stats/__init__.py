"""The statistics of the board, pure: moderated intervals, ranks, agreement of rankings and of scores."""

from prunebench.stats.gains import Gain, gains
from prunebench.stats.moderated import Interval, mean_intervals
from prunebench.stats.rank_agreement import MIN_CEILING, Statistic, rank_agreement, rank_statistic
from prunebench.stats.ranks import Rank, ranks
from prunebench.stats.score_agreement import mean_agreement, score_agreement
from prunebench.stats.score_measures import agreement_given, distribution_distances

__all__ = [
    "MIN_CEILING", "Gain", "Interval", "Rank", "Statistic", "agreement_given", "distribution_distances", "gains",
    "mean_agreement", "mean_intervals", "rank_agreement", "rank_statistic", "ranks", "score_agreement",
]  # fmt: skip
