"""Baselines: random, full, distance to the class mean, local density, and scores of training dynamics."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl

_DYNAMICS = frozenset({"dynamics", "labels"})


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare the baselines."""
    return [*_trivial(), *_geometric(), *_from_dynamics()]


def _trivial() -> list[ScorerSpec]:
    return [
        ScorerSpec(
            name="random",
            family="random",
            summary="A uniform random number for each sample: the control that every method has to beat.",
            load="prunebench_baselines.trivial:uniform",
            differences="DeepCore seeds all runs of an experiment alike, so that its repetitions may draw one subset;"
            " here each seed draws its own.",
            stochastic=True,
            cost="n",
        ),
        ScorerSpec(
            name="random-after-filter",
            family="random",
            summary="Uniform random numbers after leaving out what the backbone misclassifies.",
            load="prunebench_baselines.trivial:filtered",
            needs=frozenset({"logits", "labels"}),
            stochastic=True,
            cost="n",
            favours="clean",
            paper="the filter is TopoCore's; how much of a method's gain is due to it?",
        ),
        ScorerSpec(
            name="full",
            summary="Every sample alike: the whole set, meant for keep = 1.",
            load="prunebench_baselines.trivial:constant",
            cost="n",
        ),
    ]


def _geometric() -> list[ScorerSpec]:
    return [
        ScorerSpec(
            name="prototype",
            family="geometric",
            summary="Distance to the class mean in the projected space.",
            load="prunebench_baselines.geometric:prototype",
            needs=frozenset({"projection", "labels"}),
            params={
                "prefer": Param(
                    default="near",
                    choices=("near", "far"),
                    doc="near: keep typical samples (score = -distance); far: keep unusual ones (score = distance)",
                    source="ours; Sorscher et al. 2022 find near better for little data, far for much",
                )
            },
            cost="n",
            favours="easy",
            paper="Sorscher et al., Beyond neural scaling laws, NeurIPS 2022 (class means for k-means)",
        ),
        ScorerSpec(
            name="knn-density",
            family="geometric",
            summary="Mean distance to the nearest samples of the same class.",
            load="prunebench_baselines.geometric:knn_density",
            needs=frozenset({"features", "labels"}),
            params={
                "k": Param(default=15, minimum=1, doc="neighbours, fewer in a smaller class", source="ours"),
                "metric": Param(
                    default="cosine",
                    choices=("cosine", "euclidean"),
                    doc="distance between features; cosine is half the squared distance of unit vectors,"
                    " where a zero vector stays zero",
                    source="ours",
                ),
                "prefer": Param(
                    default="dense",
                    choices=("dense", "sparse"),
                    doc="dense: score = -mean distance; sparse: score = mean distance; a sample alone in its"
                    " class counts as the sparsest",
                    source="ours",
                ),
            },
            cost="n^2",
            favours="easy",
        ),
    ]


def _from_dynamics() -> list[ScorerSpec]:
    return [
        ScorerSpec(
            name="el2n",
            family="dynamics",
            summary="Mean L2 norm of the error vector over early epochs of one training run; largest first.",
            load="prunebench_baselines.dynamics:el2n",
            needs=_DYNAMICS,
            params={
                "epochs": Param(
                    default=10,
                    minimum=1,
                    unit="epochs",
                    doc="how early; a shorter recording is used whole",
                    source="CCS code: the first 10",
                ),
                "window": Param(
                    default="first",
                    choices=("first", "single"),
                    doc="first: mean over the first `epochs` epochs; single: epoch number `epochs` alone",
                    source="CCS code: first, as a sum (the same order); paper: single, averaged over 10 runs,"
                    " of which one is recorded here",
                ),
            },
            differences="The paper takes one early epoch and averages over ten networks; CCS sums the first ten"
            " epochs of one network, which is the default here, as one recorded run serves all methods.",
            cost="n",
            favours="hard",
            paper="Paul et al., Deep Learning on a Data Diet, NeurIPS 2021",
        ),
        ScorerSpec(
            name="forgetting",
            family="dynamics",
            summary="How often a sample went from right to wrong during training; most often first.",
            load="prunebench_baselines.dynamics:forgetting",
            needs=_DYNAMICS,
            params={
                "never_learnt": Param(
                    default="most",
                    choices=("most", "zero"),
                    doc="a sample that was never right: most = above every count, zero = never forgotten",
                    source="paper: most (our default); the DeepCore and CCS codes: zero",
                )
            },
            differences="DeepCore and CCS give samples that were never learnt the count 0, that is, keep them last;"
            " the paper counts them among the most forgotten, and so does the default.",
            cost="n",
            favours="hard",
            paper="Toneva et al., An Empirical Study of Example Forgetting, ICLR 2019",
        ),
        ScorerSpec(
            name="aum",
            family="dynamics",
            summary="Mean probability margin of the label over training; smallest margin first.",
            load="prunebench_baselines.dynamics:aum",
            differences="The paper averages margins of logits; CCS sums margins of probabilities over all epochs."
            " Here it is their mean, which has the order of the sum. CCS records in half precision, during training"
            " and with augmentation, as this does.",
            needs=_DYNAMICS,
            params={
                "prefer": Param(
                    default="hard",
                    choices=("hard", "clean"),
                    doc="hard: score = -margin, ambiguous and mislabelled samples first; clean: score = margin",
                    source="ours: hard, as CCS and D2 read a low margin as difficulty; the paper flags it as"
                    " mislabelled. Probabilities, as in the CCS code, where the paper has logits; a mean, as"
                    " in the paper, where CCS sums (same order)",
                )
            },
            cost="n",
            favours="hard",
            paper="Pleiss et al., Identifying Mislabeled Data using the Area Under the Margin, NeurIPS 2020",
        ),
    ]
