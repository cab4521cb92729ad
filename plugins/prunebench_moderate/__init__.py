"""Moderate coreset: samples whose distance to the centre of their class is near the median."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare the moderate coreset."""
    return [
        ScorerSpec(
            name="moderate",
            family="geometric",
            summary="Closeness of the distance to the class centre to the median of these distances.",
            load="prunebench_moderate.score:moderate",
            needs=frozenset({"features", "labels"}),
            params={
                "center": Param(
                    default="median",
                    choices=("median", "mean"),
                    doc="centre of a class: coordinate-wise median, or mean",
                    source="code: median (our default); paper: mean",
                ),
                "window": Param(
                    default="rank",
                    choices=("rank", "value"),
                    doc="rank: as many samples on either side of the median; value: distances nearest to the"
                    " median, however many lie on a side",
                    source="code: rank (our default); paper: value",
                ),
                "scope": Param(
                    default="class",
                    choices=("class", "global"),
                    doc="whose distances give ranks and median: the class, as budgets are class-balanced by"
                    " default, or all samples (use with the selector top)",
                    source="code: global; ours: class",
                ),
            },
            cost="n log n",
            paper="Xia et al., Moderate Coreset, ICLR 2023",
            differences="The paper measures distances to the mean of the class and keeps those nearest to the median"
            " distance; the released code takes the coordinate-wise median as the centre, pools the distances of all"
            " classes and keeps a window of ranks about the middle. Centre and window are the code's by default. The"
            " window is taken within each class, because budgets are class-balanced. Sorting is stable and seeded.",
        )
    ]
