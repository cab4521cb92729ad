"""Stable TopoCore: persistence averaged over small random clouds of a class, in a whitened cosine metric."""

from collections.abc import Iterable

from prunebench import Param, ScorerSpec, hookimpl

_SHRINKAGE = Param(
    default=0.2,
    minimum=0.0,
    maximum=1.0,
    unit="fraction",
    doc="how far the within-class covariance is drawn to a multiple of the identity (whitened)",
    source="ours: .01 to .3 agree alike",
)
_FILTER = Param(
    default=True,
    doc="leave out what the backbone misclassifies; such samples return by lowest loss where a class falls short",
    source="TopoCore",
)

_ALIKE = (
    "stable-topocore and whitened-density, its control without topology, give nearly the same order: Spearman .98"
    " within class on CIFAR-10 (ResNet-20), about what stable-topocore agrees with itself under another seed. It is the"
    " metric that makes both stable, not the topology."
)


@hookimpl
def prunebench_scorers() -> Iterable[ScorerSpec]:
    return [_stable_topocore(), _whitened_density(), _loops("birth"), _loops("death")]


def _stable_topocore() -> ScorerSpec:
    return ScorerSpec(
        name="stable-topocore",
        summary="The height at which a sample joins the bulk of its class, averaged over random clouds.",
        load="prunebench_stable.score:score",
        needs=frozenset({"features", "logits", "labels"}),
        stochastic=True,
        cost="n",
        selector="strata",
        selector_params={"strata": 10, "balanced": True, "cutoff": 0.0},
        favours="easy",
        paper="ours; the clouds are those of RipsNet (de Surrel et al. 2022), the purpose that of TopoCore",
        differences=_ALIKE,
        params={
            "cloud_size": Param(
                default=64,
                minimum=2,
                unit="samples",
                doc="samples of one class in each cloud; a smaller class is one cloud",
                source="RipsNet's clouds; 16 to 256 agree alike across backbones, 64 costs least",
            ),
            "repeats": Param(
                default=20,
                minimum=1,
                doc="random partitions of each class into clouds; the heights of a sample are averaged over them",
                source="ours: seed-to-seed agreement .99 on CIFAR-10",
            ),
            "bulk": Param(
                default=0.125,
                minimum=0.0,
                maximum=1.0,
                unit="fraction of the cloud",
                doc="a component is bulk once it holds this share of the cloud, and at least 2 samples; 0 is the"
                " distance to the nearest sample of the cloud, the lightest edge of its spanning tree",
                source="ours: 1/32 to 1/4 agree alike, the elder rule (death of the younger component) much less",
            ),
            "metric": Param(
                default="whitened",
                choices=("whitened", "centred", "cosine", "euclidean"),
                doc="cosine distance after whitening by the within-class covariance, after centring, or as it is;"
                " or Euclidean distance",
                source="ours: agreement across backbones falls in this order",
            ),
            "shrinkage": _SHRINKAGE,
            "prefer": Param(
                default="bulk",
                choices=("bulk", "fringe"),
                doc="bulk: the lowest height scores 1, samples inside the class first; fringe: the highest does",
                source="ours",
            ),
            "normalise": Param(
                default="rank",
                choices=("rank", "min_max"),
                doc="how heights are brought to [0, 1] within a class: by rank, so that strata of equal width"
                " hold equally many samples, or linearly, so that the fringe is sampled more densely",
                source="ours",
            ),
            "filter_misclassified": _FILTER,
        },
    )


def _whitened_density() -> ScorerSpec:
    return ScorerSpec(
        name="whitened-density",
        summary="Closeness to the nearest samples of its class, in the metric of Stable TopoCore: its control.",
        load="prunebench_stable.control:density",
        needs=frozenset({"features", "logits", "labels"}),
        cost="n^2",
        selector="strata",
        selector_params={"strata": 10, "balanced": True, "cutoff": 0.0},
        favours="easy",
        paper="ours: the same metric, filter and selection as Stable TopoCore, without topology",
        differences=_ALIKE,
        params={
            "k": Param(
                default=15, minimum=1, unit="samples", doc="neighbours, fewer in a smaller class", source="ours"
            ),
            "shrinkage": _SHRINKAGE,
            "filter_misclassified": _FILTER,
        },
    )


def _loops(end: str) -> ScorerSpec:
    edge = "closes a loop" if end == "birth" else "fills a loop: the longest of the triangle that does"
    return ScorerSpec(
        name=f"h1-{end}",
        summary=f"The persistence of loops at whose {end} a sample has part, averaged over random clouds.",
        load=f"prunebench_stable.loops:{end}",
        needs=frozenset({"features", "logits", "labels"}),
        stochastic=True,
        cost="n^2",
        paper="ours: one-dimensional persistence in the metric and on the clouds of Stable TopoCore",
        differences=f"Persistence is credited to both ends of the edge that {edge}.",
        check_params={"cloud_size": 12},
        params={
            "cloud_size": Param(
                default=64,
                minimum=2,
                unit="samples",
                doc="samples of one class in each cloud; a smaller class is one cloud",
                source="as Stable TopoCore",
            ),
            "repeats": Param(
                default=20,
                minimum=1,
                doc="random partitions of each class into clouds; what a sample is credited is averaged over them",
                source="as Stable TopoCore",
            ),
            "shrinkage": _SHRINKAGE,
            "strata": Param(
                default=1,
                minimum=1,
                doc="strata of equal density (15 nearest) in a class; with several, the score is the stratum before the"
                " rank inside it, for a selector that cuts it into as many strata of equal width: what is kept by score"
                " or at random inside them differs in nothing that density says",
                source="ours: persistence and density go together",
            ),
            "filter_misclassified": _FILTER,
        },
    )
