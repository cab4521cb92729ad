"""TopoCore: topology of the projected features and density decide what to keep."""

from collections.abc import Iterable, Mapping

from prunebench import Param, ScorerSpec, hookimpl

_PAPER = "TopoCore (TopoPrune): data pruning by density-aware persistent homology; signed measures as in multipers"
_DIFFERENCES = (
    "No code was released. The names in the paper's Table 2 are those of multipers' rips_density function and of its"
    " density-preserving optimisation notebook, which fills the gaps: Adam with step 0.01, and a loss that is a lower"
    " bound of l1 transport. The equation of the loss has the sign that would shrink persistence; the text wants it to"
    " grow, and so do we. The text speaks of Vietoris-Rips complexes, Table 2 of weak Delaunay: we follow the table."
    " Density and displacement are summed without a scale in the paper: here each is brought to [0, 1] within its"
    " class. The density is called representative in one place and rare in another: the formula, high = typical, is"
    " the default. Strata are 50 of equal width, as in CCS; the paper gives no number. With norm_l1 many points never"
    " move at all: the fraction is in the diagnostics, and their ties are broken at random."
)
_STRATA = {"strata": 50, "balanced": True, "cutoff": 0.0}


def _params(alpha: float, beta: float) -> Mapping[str, Param]:
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
            default="norm_l1",
            doc="What a step moves along. norm_l1: difference of the l1 norms of positive and negative masses over "
            "their number, a lower bound of transport, as in multipers' public notebook; l1, l2, sqeuclidean: minus "
            "the exact transport cost with that ground cost. The paper does not say which cost.",
            choices=("norm_l1", "l1", "l2", "sqeuclidean"),
            source="the paper's equation 1 with the sign that increases persistence",
        ),
        "optimiser": Param(
            default="adam", doc="The paper names none; Adam is the only public recipe.", choices=("adam", "sgd")
        ),
        "learning_rate": Param(
            default=0.01, doc="Step size; the paper names none.", minimum=0, unit="of the projection", source="notebook"
        ),
        "steps": Param(default=6, doc="Optimisation steps.", minimum=0, source="Table 2"),
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
            "short.",
        ),
        "alpha": Param(default=alpha, doc="Weight of the displacement (persistence).", minimum=0, source="Table 2"),
        "beta": Param(default=beta, doc="Weight of the density.", minimum=0, source="Table 2"),
        "density_direction": Param(
            default="density",
            doc="The paper calls the same term representativeness and rarity; density is the literal formula.",
            choices=("density", "rarity"),
        ),
        "normalise": Param(
            default="min_max",
            doc="How both terms are brought to [0, 1] within a class; the paper does not say.",
            choices=("min_max", "rank"),
        ),
        "max_class_points": Param(
            default=0,
            doc="Classes above this size are split at random into chunks whose persistence is computed apart; "
            "0: never.",
            minimum=0,
        ),
    }


def _scorer(name: str, summary: str, alpha: float, beta: float) -> ScorerSpec:
    return ScorerSpec(
        name=name,
        summary=summary,
        load="prunebench_topocore.score:score",
        needs=frozenset({"projection", "logits", "labels"}),
        # The displacement draws random numbers for chunks and for coinciding points only, but it draws them.
        stochastic=alpha > 0,
        cost="n^2",
        selector="strata",
        selector_params=_STRATA,
        paper=_PAPER,
        differences=_DIFFERENCES,
        params=_params(alpha, beta),
    )


@hookimpl
def prunebench_scorers() -> Iterable[ScorerSpec]:
    return [
        _scorer("topocore", "How far persistence optimisation moves a sample, plus its density.", 0.5, 0.5),
        _scorer("topocore-density", "TopoCore's density term alone, an ablation.", 0.0, 1.0),
        _scorer("topocore-persistence", "TopoCore's displacement alone, an ablation.", 1.0, 0.0),
    ]
