"""Methods without labels, from clusters and coverage of the feature space."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl

_KMEANS = {
    "n_init": Param(
        default=1,
        minimum=1,
        doc="k-means++ starts, of which the best is kept",
        source="released codes: 1",
    ),
    "max_iter": Param(default=100, minimum=1, doc="most iterations of a k-means", source="SemDeDup code: 100"),
    "minibatch_above": Param(
        default=200_000,
        minimum=1,
        unit="samples",
        doc="cluster more samples than this by mini-batch k-means, and fewer by the exact one",
        source="ours",
    ),
}


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare the methods."""
    return [_prototypes(), _semdedup(), _hierarchical(), _zcore()]


def _prototypes() -> ScorerSpec:
    return ScorerSpec(
        name="ssl-prototypes",
        family="geometric",
        summary="Cosine distance to the nearest of the k-means centroids of all samples together.",
        load="prunebench_clusters.prototypes:ssl_prototypes",
        differences="The paper clusters features of a self-supervised network and mixes some class balance into the"
        " choice; here the features are those of the scoring backbone, and balance is the selector's.",
        needs=frozenset({"features"}),
        params={
            "clusters": Param(
                default=0,
                minimum=0,
                doc="k-means centroids; 0 = as many as classes",
                source="paper: the number of classes, and little effect of others",
            ),
            "prefer": Param(
                default="far",
                choices=("far", "near"),
                doc="far: keep hard samples (score = distance); near: keep easy ones (score = -distance)",
                source="paper: far, which is better where much data is left; near where little is",
            ),
            "spherical": Param(
                default=False,
                doc="False: Euclidean k-means on the features; True: k-means of unit vectors by cosine",
                source="paper: k-means; it mentions no normalisation",
            ),
            **_KMEANS,
        },
        stochastic=True,
        cost="n",
        favours="hard",
        paper="Sorscher et al., Beyond neural scaling laws, NeurIPS 2022 (it mixes in class balance, here the"
        " selector's work)",
    )


def _semdedup() -> ScorerSpec:
    return ScorerSpec(
        name="semdedup",
        family="geometric",
        summary="The epsilon at which a sample is removed as a semantic duplicate; the largest first.",
        load="prunebench_clusters.duplicates:semdedup",
        differences="The paper fixes the clusters by the size of the data, 50,000 for 440 million samples; here there"
        " is one for every 1000. A budget takes the place of the threshold epsilon: samples are ranked by the"
        " epsilon that removes them.",
        needs=frozenset({"features"}),
        params={
            "clusters": Param(
                default=0,
                minimum=0,
                doc="k-means clusters, inside which duplicates are sought; 0 = one for every 1000 samples",
                source="paper: 50000 for 440 million samples, and little effect of others; ours: 0",
            ),
            "keep": Param(
                default="hard",
                choices=("hard", "easy", "random"),
                doc="which of a group of duplicates stays: hard = the one least similar to the centroid,"
                " easy = the one most similar, random",
                source="paper and code: hard",
            ),
            "spherical": Param(
                default=True,
                doc="True: k-means of unit vectors by cosine; False: Euclidean k-means on unit vectors",
                source="code: True",
            ),
            **_KMEANS,
        },
        stochastic=True,
        cost="n^2",
        favours="diverse",
        selector="top",
        paper="Abbas et al., SemDeDup, 2023",
    )


def _hierarchical() -> ScorerSpec:
    return ScorerSpec(
        name="hierarchical-kmeans",
        family="geometric",
        summary="A budget shared evenly down a hierarchy of k-means clusters.",
        load="prunebench_clusters.hierarchy:hierarchical_kmeans",
        differences="The paper splits the lowest level in two steps, which millions of clusters need; here it is one."
        " Starts of k-means are sought among a sample.",
        needs=frozenset({"features"}),
        params={
            "levels": Param(default=2, minimum=1, maximum=8, doc="levels of clusters", source="code: 2 for 100000"),
            "top_clusters": Param(
                default=0,
                minimum=0,
                doc="clusters of the highest level, 0 = as many as classes; the levels between the samples and"
                " it shrink by one factor",
                source="ours; paper: 10 million, 500000, 50000 and 10000 clusters for 743 million images",
            ),
            "resamples": Param(
                default=10,
                minimum=0,
                doc="times that a level is clustered anew from the samples nearest to its centroids, half of the"
                " average cluster from each, rounded up",
                source="paper and code: 10",
            ),
            "resample_from": Param(
                default=2,
                minimum=1,
                doc="the lowest level to resample; 1 = all",
                source="code: 2 for web images, to save time, and 1 for its example",
            ),
            "sampling": Param(
                default="random",
                choices=("random", "closest"),
                doc="how a lowest cluster gives its share: at random, or the nearest to its centroid",
                source="code: random",
            ),
            **_KMEANS,
            "max_iter": Param(default=50, minimum=1, doc="most iterations of a k-means", source="code: 50"),
        },
        stochastic=True,
        budget_dependent=True,
        output="order",
        favours="diverse",
        selector="top",
        paper="Vo et al., Automatic Data Curation for Self-Supervised Learning, TMLR 2024",
    )


def _zcore() -> ScorerSpec:
    return ScorerSpec(
        name="zcore",
        family="geometric",
        summary="Coverage of random points in random planes of the features, minus redundancy to neighbours.",
        load="prunebench_clusters.zcore:zcore",
        differences="The released code sorts all distances at each of a million draws, and its sort decides which of"
        " several duplicates is punished; here the neighbours alone are found, and duplicates share the"
        " penalty. It embeds with CLIP and a ResNet-18 together; here it is the scoring backbone. Its training"
        " weighs each batch by the scores; here the recipe is the same for all methods.",
        needs=frozenset({"features"}),
        params={
            "draws": Param(default=1_000_000, minimum=1, doc="random points", source="paper and code: 1e6"),
            "neighbours": Param(
                default=1000,
                minimum=1,
                doc="how many neighbours share the penalty of redundancy; all that tie with the last one count",
                source="paper and code: 1000",
            ),
            "exponent": Param(
                default=4,
                minimum=1,
                maximum=16,
                doc="the penalty falls with this power of the distance; samples at distance 0 share all of it",
                source="paper and code: 4; the code gives it to one of the samples at distance 0, as its sort"
                " has it, and ours to all alike",
            ),
            "random_start": Param(
                default=True,
                doc="True: scores start at random numbers in 0..1; False: at 0",
                source="code: True",
            ),
        },
        stochastic=True,
        cost="n log n",
        favours="diverse",
        selector="top",
        paper="Griffin et al., Zero-Shot Coreset Selection, 2024 (on features of CLIP and a ResNet-18 together)",
    )
