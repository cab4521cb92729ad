"""TopoCore: topology of the projected features and density decide what to keep."""

from collections.abc import Iterable, Mapping

from prunebench import Param, ScorerSpec, hookimpl

_PAPER = "TopoCore (TopoPrune): data pruning by density-aware persistent homology; signed measures as in multipers"
_DENSITY_DIFFERENCES = (
    "The density is called representative in one place of the paper and rare in another: the formula, high = typical,"
    " is the default. Strata are 50 of equal width, as in CCS; the paper gives no number."
)
_DIFFERENCES = (
    "No code was released. The names in the paper's Table 2 are those of multipers' rips_density function and of its"
    " density-preserving optimisation notebook, which gives the step of Adam, 0.01. Equation 1 of the paper is the"
    " transport of the signed measure to zero: its ground cost is not given, and l1 is the default of multipers today."
    " The equation has the sign that would shrink persistence; the text wants it to grow, and so do we. The notebook's"
    " loss, norm_l1, is a lower bound of the l1 transport in which the codensities cancel: the method"
    " topocore-norm-l1 runs it. The text speaks of Vietoris-Rips complexes, Table 2 of weak Delaunay: we follow the"
    " table. Density and displacement are summed without a scale in the paper: here each is brought to [0, 1] within"
    " its class. Points that coincide are one point with more weight in the density. "
)
_STRATA = {"strata": 50, "balanced": True, "cutoff": 0.0}


def _displacement_params() -> Mapping[str, Param]:
    return {
        "complex": Param(
            default="weak_delaunay",
            doc="weak_delaunay: union of the Delaunay triangulations of the codensity sublevel sets, as a flag "
            "complex (Table 2); delaunay_rips: the Delaunay triangulation of the class (the text), near-linear; "
            "rips: all pairs up to the enclosing radius, for small classes.",
            choices=("weak_delaunay", "delaunay_rips", "rips"),
            source="Table 2",
        ),
        "loss": Param(
            default="l1",
            doc="What a step moves along. l1, l2, sqeuclidean: minus the exact transport cost between the positive "
            "and the negative masses, with that ground cost. norm_l1: difference of their l1 norms over their number, "
            "as in multipers' public notebook, a lower bound of l1 transport and faster. In norm_l1 the codensities "
            "cancel: the masses at each codensity add up to 0, so only their order decides what moves, and many points "
            "never do. With delaunay_rips the bound is the transport, and l1 and l2 depend on the order alone as well.",
            choices=("l1", "l2", "sqeuclidean", "norm_l1"),
            source="the paper's equation 1 with the sign that increases persistence",
        ),
        "optimiser": Param(
            default="adam", doc="The paper names none; Adam is the only public recipe.", choices=("adam", "sgd")
        ),
        "learning_rate": Param(
            default=0.01, doc="Step size; the paper names none.", minimum=0, unit="of the projection", source="notebook"
        ),
        "steps": Param(default=6, doc="Optimisation steps.", minimum=0, source="Table 2"),
        "max_class_points": Param(
            default=10_000,
            doc="Classes with more distinct points than this are split at random into chunks whose persistence is "
            "computed apart: the time of the transport grows with more than the square of a chunk. 0: never.",
            minimum=0,
        ),
    }


def _weights(alpha: float, beta: float) -> Mapping[str, Param]:
    return {
        "alpha": Param(default=alpha, doc="Weight of the displacement (persistence).", minimum=0, source="Table 2"),
        "beta": Param(default=beta, doc="Weight of the density.", minimum=0, source="Table 2"),
    }


def _density_params() -> Mapping[str, Param]:
    return {
        "bandwidth": Param(
            default=0.4,
            doc="Bandwidth of the Gaussian kernel, of the density score and of the codensity.",
            minimum=1e-6,
            unit="of the projection",
            source="Table 2",
        ),
        "filter_misclassified": Param(
            default=True,
            doc="Leave out what the backbone misclassifies; such samples return by lowest loss where a class falls "
            "short. False needs projected = all.",
        ),
        "projected": Param(
            default="classified",
            doc="classified: what the backbone misclassifies is filtered out first, and only the rest is projected; "
            "all: all samples are projected, and filtered afterwards.",
            choices=("classified", "all"),
            source="the order of the paper's steps",
        ),
        "density_direction": Param(
            default="density",
            doc="The paper calls the same term representativeness and rarity; density is the literal formula.",
            choices=("density", "rarity"),
        ),
        "normalise": Param(
            default="min_max",
            doc="How a term is brought to [0, 1] within a class; the paper does not say.",
            choices=("min_max", "rank"),
        ),
    }


def _scorer(
    name: str, family: str, summary: str, load: str, differences: str, params: Mapping[str, Param]
) -> ScorerSpec:
    return ScorerSpec(
        name=name,
        family=family,
        summary=summary,
        load=load,
        needs=frozenset({"projection", "logits", "labels"}),
        # Beyond the projection, the seed decides between equal codensities, and how very large classes are split.
        stochastic=False,
        cost="n^2",
        selector="strata",
        selector_params=_STRATA,
        projection_rows="projected",
        paper=_PAPER,
        differences=differences,
        params=params,
    )


def _topological(name: str, summary: str, alpha: float, beta: float) -> ScorerSpec:
    params = {**_displacement_params(), **_density_params(), **_weights(alpha, beta)}
    load = "prunebench_topocore.score:score"
    return _scorer(name, "topological", summary, load, _DIFFERENCES + _DENSITY_DIFFERENCES, params)


@hookimpl
def prunebench_scorers() -> Iterable[ScorerSpec]:
    return [
        _topological("topocore", "How far persistence optimisation moves a sample, plus its density.", 0.5, 0.5),
        _topological("topocore-persistence", "TopoCore's displacement alone, an ablation.", 1.0, 0.0),
        _scorer(
            "topocore-density",
            "geometric",
            "TopoCore's density term alone, an ablation.",
            "prunebench_topocore.density_score:score",
            _DENSITY_DIFFERENCES,
            _density_params(),
        ),
    ]
