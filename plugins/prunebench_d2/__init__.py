"""D2 pruning: difficulty spread over a graph of nearest neighbours, diversity by taking it back at each pick."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl

_DIFFERENCES = (
    "The paper's messages decay with the squared distance, the released code's with the distance: the code is the"
    " default, distance_power = 2 the paper. The code keeps subtracting from scores that have become negative, and so"
    " adds to the neighbours of such a pick; that is kept. Its path for precomputed distances is directed and mixes"
    " filtered with unfiltered indices; here the graph is always symmetric. Features enter at their own scale, so"
    " that messages fade where distances are large: results depend on the scale of the embedding, as in the original."
)
_GRAPH = {
    "k": Param(
        default=5,
        minimum=1,
        doc="nearest neighbours of each sample; an edge joins two samples of which one is a neighbour of the other",
        source="code: 5 for CIFAR; paper: tuned over 1, 5, 10, 15",
    ),
    "distance_power": Param(
        default=1,
        choices=(1, 2),
        doc="1: weights exp(-gamma * distance); 2: exp(-gamma * distance^2)",
        source="code: 1 (our default); paper: 2",
    ),
    "graph_scope": Param(
        default="class",
        choices=("class", "global"),
        doc="class: one graph per class, its picks a prefix of the class; global: one graph (use the selector top)",
        source="code: class for CIFAR",
    ),
}
_MESSAGES = {
    "gamma_f": Param(
        default=1.0,
        minimum=0.0,
        maximum=1e6,
        doc="decay of the weights by which neighbours add to a sample's difficulty",
        source="paper: 1; fixed to 1 in the code",
    ),
    "gamma_r": Param(
        default=0.1,
        minimum=0.0,
        maximum=1e6,
        doc="decay of the weights by which a picked sample takes difficulty from its neighbours",
        source="code: 0.1 for CIFAR; paper: tuned over 0 to 1",
    ),
    "message": Param(
        default="sum",
        choices=("sum", "product"),
        doc="how x and its neighbours' sum m combine: sum = x + m, product = x * m",
        source="code: both, sum for CIFAR; paper: sum",
    ),
    "reverse": Param(
        default="weighted",
        choices=("weighted", "absolute"),
        doc="what a pick takes from its neighbours: its value times the weight, or its whole value",
        source="code: both, weighted for CIFAR; paper: weighted",
    ),
    "clip": Param(
        default=False,
        doc="True: a pick of negative value takes nothing; False: it raises its neighbours",
        source="code and paper: False",
    ),
}
_DIFFICULTY = {
    "score": Param(
        default="forgetting",
        choices=("forgetting", "aum", "el2n", "uniform"),
        doc="difficulty x: forgetting = changes from right to wrong (never right: 0); aum = (1 - mean margin) / 2;"
        " el2n = sum over the first 10 epochs; uniform = 1",
        source="code: forgetting for CIFAR, AUM for ImageNet; (1 - margin) / 2 is ours: hard is high, x >= 0",
    ),
    "mis_ratio": Param(
        default=0.0,
        minimum=0.0,
        maximum=0.99,
        unit="fraction",
        doc="share of all samples, lowest mean margin first, excluded as probably mislabelled",
        source="code: tuned per budget, 0.4 at 10% kept; ours: 0",
    ),
}


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare D2 pruning."""
    return [
        ScorerSpec(
            name="d2",
            family="geometric",
            summary="Difficulty and diversity by message passing on a graph of nearest neighbours.",
            load="prunebench_d2.score:d2",
            needs=frozenset({"features", "labels", "dynamics"}),
            params={**_GRAPH, **_MESSAGES, **_DIFFICULTY},
            stochastic=True,  # the seed breaks ties
            cost="n^2",
            differences=_DIFFERENCES,
            paper="Maharana et al., D2 Pruning, ICLR 2024",
        )
    ]
