"""FDMat: closeness of power-transformed features to the class means along an optimal transport plan."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare FDMat."""
    return [
        ScorerSpec(
            name="fdmat",
            family="geometric",
            summary="Transport cost between a sample's features and the class means; cheapest first.",
            load="prunebench_fdmat.score:fdmat",
            differences="The released code reads an argument that does not exist and stops. Past that, it returns"
            " positions among the samples regrouped by class as if they were those of the data set, casts"
            " balanced scores to integers, all of which are then 0, and leaves the costs of a remainder of the"
            " samples at 0. There is no release mode, as its result depends on the order of the file. The"
            " formula, the score and its direction are the code's, with right indices. The paper speaks of"
            " matching distributions; the score is a sample's own cost under the plan.",
            needs=frozenset({"features", "labels"}),
            params={
                "power": Param(
                    default=0.5,
                    minimum=0.05,
                    maximum=1.0,
                    doc="exponent of Tukey's ladder of powers, applied to the features plus 1e-6",
                    source="paper and code: 0.5",
                ),
                "regularisation": Param(
                    default=4.0,
                    minimum=0.01,
                    maximum=1e4,
                    doc="lambda of the Sinkhorn kernel exp(-lambda * cost); larger is nearer to exact transport",
                    source="code: default of the function; the released program reads an argument that it never"
                    " defines, and stops",
                ),
                "iterations": Param(
                    default=1000,
                    minimum=1,
                    doc="most Sinkhorn iterations, each of rows and columns",
                    source="code",
                ),
                "tolerance": Param(
                    default=1e-6,
                    minimum=0.0,
                    doc="stop where no row sum of the plan changes by more in one iteration",
                    source="code",
                ),
                "negative": Param(
                    default="signed",
                    choices=("signed", "refuse"),
                    doc="features below zero, for which the power is not defined: signed = transform the magnitude"
                    " and keep the sign, with a caveat beside the scores; refuse = decline the input. Where no"
                    " feature is negative, as after a ReLU, both are the paper's",
                    source="paper: features after a ReLU; signed is ours",
                ),
            },
            cost="n",
            paper="Xiao et al., Feature Distribution Matching by Optimal Transport for Effective and Robust Coreset"
            " Selection, AAAI 2024",
        )
    ]
