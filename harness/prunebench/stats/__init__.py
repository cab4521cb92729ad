"""The statistics of the board, pure: moderated intervals, ranks, agreement of rankings and of scores."""

from prunebench.stats.fidelity import integrated_fidelity
from prunebench.stats.moderated import Gain, Interval, gains, mean_intervals
from prunebench.stats.rank_agreement import RankAgreement, Statistic, rank_agreement, rank_statistic
from prunebench.stats.ranks import Rank, ranks
from prunebench.stats.score_agreement import (
    MeanAgreement,
    ScoreAgreement,
    average_ranks,
    mean_agreement,
    ratio_to_ceiling,
    score_agreement,
)

__all__ = [
    "Gain",
    "Interval",
    "MeanAgreement",
    "Rank",
    "RankAgreement",
    "ScoreAgreement",
    "Statistic",
    "average_ranks",
    "gains",
    "integrated_fidelity",
    "mean_agreement",
    "mean_intervals",
    "rank_agreement",
    "rank_statistic",
    "ranks",
    "ratio_to_ceiling",
    "score_agreement",
]
