"""RipsNet: influence of a sample on the persistence image of the clouds that contain it."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl

_TOPKD = "Kim et al., Do Topological Characteristics Help in Knowledge Distillation?, ICML 2024 (TopKD)"
_PAPER = (
    f"ours; clouds, images and network from {_TOPKD}, a distillation method without a pruning score, and from"
    " de Surrel et al., RipsNet, TAG-ML 2022"
)
_DIFFERENCES = (
    "TopKD distils networks with these images and scores no samples; the leave-one-out score is ours. Images follow its"
    " released code where that differs from its paper: densities at grid points instead of integrals over pixels, one"
    " bandwidth from the first 200 pairs, all images divided by their common maximum, a quarter of the clouds held out"
    " (the paper says 0.25 %), here drawn at random. In dimension 0 all births are 0, so the 20 columns of an image"
    " are equal. Clouds are drawn within a class, where TopKD mixes classes, and some are one sample short, as the"
    " score compares a cloud with its parts. With the mean operator the influence of a sample is of the order"
    " 1 / cloud_size, often less than the error of the network: hence the gate."
)
_STRATA = {"strata": 50, "balanced": True, "cutoff": 0.0}


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare the leave-one-out scorer with the network, and its exact twin."""
    return [
        ScorerSpec(
            name="ripsnet",
            family="topological",
            summary="Our own score (TopKD has none): change of a RipsNet image when the sample leaves its cloud.",
            load="prunebench_ripsnet.score:ripsnet",
            needs=frozenset({"features", "labels"}),
            stochastic=True,
            gpu=True,
            params={**_cloud_params(), **_network_params()},
            cost="n",
            selector="strata",
            selector_params=_STRATA,
            paper=_PAPER,
            differences=_DIFFERENCES,
        ),
        ScorerSpec(
            name="ripsnet-exact",
            family="topological",
            summary="Our own score: change of the exact persistence image when the sample leaves its cloud.",
            load="prunebench_ripsnet.score:exact",
            needs=frozenset({"features", "labels"}),
            stochastic=True,
            params=_cloud_params(),
            cost="n",
            selector="strata",
            selector_params=_STRATA,
            paper=_PAPER,
            differences=_DIFFERENCES,
        ),
    ]


def _cloud_params() -> dict[str, Param]:
    return {
        "cloud_size": Param(
            default=64,
            minimum=3,
            maximum=1024,
            unit="samples",
            doc="samples in a cloud; a smaller class is one cloud, a class of 1 or 2 scores 0",
            source="TopKD code: 64 (256 for ImageNet)",
        ),
        "clouds": Param(
            default="class",
            choices=("class", "global"),
            doc="class: clouds of one class; global: clouds of all classes mixed",
            source="TopKD: global; ours: class, as the other methods rank within classes",
        ),
        "repeats": Param(
            default=10,
            minimum=1,
            doc="random partitions of the data into clouds; each sample is scored once in each, and where"
            " the last cloud falls short it is filled up with samples that are not scored in it",
            source="ours",
        ),
        "homology": Param(
            default=0,
            choices=(0, 1),
            doc="dimension of the homology; 0 has a closed form (spanning tree), 1 costs milliseconds a cloud",
            source=f"{_TOPKD}: 0 is best (table 5)",
        ),
        "train_clouds": Param(
            default=20_000,
            minimum=8,
            doc="clouds that fix bandwidth, range and maximum of the images (and train the network), half of"
            " them one sample short; never more than 256 passes over the data",
            source="TopKD code: 256 passes",
        ),
    }


def _network_params() -> dict[str, Param]:
    return {
        "mode": Param(
            default="net",
            choices=("net", "exact"),
            doc="net: images by the network; exact: images by computing every diagram",
            source="ours",
        ),
        "operator": Param(
            default="mean",
            choices=("mean", "sum"),
            doc="permutation-invariant pooling of a cloud; with the mean the influence of a sample falls as"
            " 1 / cloud_size, and the sum learns in fewer epochs",
            source="TopKD code offers both; RipsNet: sum; ours: mean",
        ),
        "max_epochs": Param(
            default=10,
            minimum=1,
            unit="epochs",
            doc="most passes over the training clouds; the weights of the best held-out loss are kept. 10 keeps"
            " small runs at seconds and is far from convergence: read gate_spearman before trusting a ranking",
            source="TopKD code: 25,000 with early stopping; ours: 10",
        ),
        "learning_rate": Param(
            default=5e-4,
            minimum=1e-8,
            doc="learning rate of Adamax",
            source="TopKD code and RipsNet: 5e-4",
        ),
        "patience": Param(
            default=50,
            minimum=1,
            unit="epochs",
            doc="stop after this many epochs without a lower held-out loss (by more than 1e-10)",
            source="TopKD code: 50 (RipsNet: 200)",
        ),
        "gate": Param(
            default=0.9,
            minimum=-1.0,
            maximum=1.0,
            doc="least Spearman correlation of network and exact scores; below it the board marks the method",
            source="ours",
        ),
        "gate_samples": Param(
            default=256,
            minimum=0,
            unit="samples",
            doc="samples on which the scores of network and exact images are compared (Spearman, in the"
            " diagnostics as gate_spearman); 0 leaves the comparison out",
            source="ours",
        ),
    }
