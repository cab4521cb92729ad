"""Scores from predictions, gradients and training dynamics: uncertainty, contrast, diversity, gradient norm, TDDS."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl

_DEEPCORE = "Guo et al., DeepCore, DEXA 2022"
_PREFER = Param(
    default="uncertain",
    choices=("uncertain", "confident"),
    doc="which samples go first; confident is for reproduction",
    source="papers, and DeepCore where it balances classes (its default): uncertain; DeepCore without balancing"
    " inverts the order",
)


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare the scorers."""
    return [*_uncertainty(), _cal(), _contextual_diversity(), _grand(), _tdds(), _deepfool()]


def _uncertainty() -> list[ScorerSpec]:
    return [
        ScorerSpec(
            name="least-confidence",
            family="uncertainty",
            summary="Probability that the predicted class is wrong, by the network itself; largest first.",
            load="prunebench_uncertainty.predictions:least_confidence",
            differences="DeepCore's code ranks by the largest logit, not the largest probability: mode = release."
            " Where it does not balance classes, DeepCore turns the order round and keeps the most certain: prefer ="
            " confident.",
            needs=frozenset({"logits"}),
            params={
                "mode": Param(
                    default="paper",
                    choices=("paper", "release"),
                    doc="paper: 1 - the largest probability; release: minus the largest logit",
                    source="Lewis and Gale 1994: paper; DeepCore code: release",
                ),
                "prefer": _PREFER,
            },
            cost="n",
            favours="hard",
            paper=f"Lewis and Gale, A Sequential Algorithm for Training Text Classifiers, SIGIR 1994; {_DEEPCORE}",
        ),
        ScorerSpec(
            name="entropy",
            family="uncertainty",
            summary="Entropy of the predicted class probabilities; largest first.",
            load="prunebench_uncertainty.predictions:entropy",
            differences="DeepCore's code adds 1e-6 inside the logarithm: mode = release. Where it does not balance"
            " classes, DeepCore turns the order round and keeps the most certain: prefer = confident.",
            needs=frozenset({"logits"}),
            params={
                "mode": Param(
                    default="paper",
                    choices=("paper", "release"),
                    doc="paper: -sum p log p; release: -sum p log(p + 1e-6), which is below 0 for certain samples",
                    source="Settles 2009: paper; DeepCore code: release",
                ),
                "prefer": _PREFER,
            },
            cost="n",
            favours="hard",
            paper=f"Settles, Active Learning Literature Survey, 2009; {_DEEPCORE}",
        ),
        ScorerSpec(
            name="margin",
            family="uncertainty",
            summary="Difference of the two largest class probabilities; smallest first.",
            load="prunebench_uncertainty.predictions:margin",
            differences="DeepCore's code and the paper agree where classes are balanced. Where they are not, DeepCore"
            " turns the order round and keeps the most certain: prefer = confident.",
            needs=frozenset({"logits"}),
            params={"prefer": _PREFER},
            cost="n",
            favours="hard",
            paper=f"Scheffer et al., Active Hidden Markov Models for Information Extraction, IDA 2001; {_DEEPCORE}",
        ),
    ]


def _cal() -> ScorerSpec:
    return ScorerSpec(
        name="cal",
        family="uncertainty",
        summary="Divergence of a sample's prediction from those of its nearest neighbours; most contrastive first.",
        load="prunebench_uncertainty.contrast:cal",
        differences="The paper takes the most contrastive samples; DeepCore's code sorts the other way and takes the"
        " least, on which published tables rest: mode = release. DeepCore finds neighbours in the features of"
        " a ResNet-18 of ImageNet, within the class, and takes the symmetric divergence; the paper all"
        " labelled samples and one direction.",
        needs=frozenset({"features", "logits", "labels"}),
        params={
            "mode": Param(
                default="paper",
                choices=("paper", "release"),
                doc="paper: most contrastive samples first; release: least contrastive first",
                source="paper: most; DeepCore code: least, on which published tables rest",
            ),
            "k": Param(
                default=10, minimum=1, doc="nearest neighbours, fewer in a smaller class", source="paper and DeepCore"
            ),
            "graph_scope": Param(
                default="class",
                choices=("class", "global"),
                doc="where neighbours come from: the sample's own class, or all samples",
                source="DeepCore code: class; paper: all labelled samples. Features are those of the scoring"
                " backbone, as in the paper, where DeepCore takes an ImageNet ResNet-18",
            ),
            "divergence": Param(
                default="symmetric",
                choices=("symmetric", "neighbour"),
                doc="symmetric: (KL(q||p) + KL(p||q)) / 2 with q of the neighbour, p of the sample;"
                " neighbour: KL(q||p)",
                source="DeepCore code: symmetric; paper and the authors' code: neighbour",
            ),
        },
        cost="n^2",
        favours="hard",
        paper=f"Margatina et al., Active Learning by Acquiring Contrastive Examples, EMNLP 2021; {_DEEPCORE}",
    )


def _contextual_diversity() -> ScorerSpec:
    return ScorerSpec(
        name="contextual-diversity",
        family="geometric",
        summary="K-centre greedy on class probabilities under the symmetric KL divergence.",
        load="prunebench_uncertainty.diversity:contextual_diversity",
        differences="DeepCore's code divides by probabilities of zero and returns no number; here they are clipped.",
        needs=frozenset({"logits", "labels"}),
        params={
            "per_class": Param(
                default=True,
                doc="True: centres of every class by itself, with class-proportional budgets; False: of all samples",
                source="DeepCore balances classes by default; the paper does not use labels. Probabilities are"
                " clipped at 1e-12 (ours), where DeepCore divides by zero",
            )
        },
        stochastic=True,
        budget_dependent=True,
        output="order",
        cost="n^2",
        favours="diverse",
        selector="top",
        paper=f"Agarwal et al., Contextual Diversity for Active Learning, ECCV 2020; {_DEEPCORE}",
    )


def _grand() -> ScorerSpec:
    return ScorerSpec(
        name="grand",
        family="dynamics",
        summary="Norm of a sample's loss gradient in the last layer; largest first.",
        load="prunebench_uncertainty.gradients:grand",
        differences="The paper takes the gradient of all layers at or near the start of training, over ten networks."
        " DeepCore takes the last layer after 40 epochs and divides by the size of the batch, which makes the"
        " last, smaller batch of CIFAR count 3.2 times as much. Here it is the last layer of the scoring"
        " backbone and one sample at a time.",
        needs=frozenset({"gradients"}),
        params={
            "bias": Param(
                default=True,
                doc="True: the gradient of the bias counts as well as that of the weights",
                source="DeepCore code: True. Both last layer alone, where the paper takes all layers early in"
                " training. One network here; DeepCore averages 10 and scales by the size of the batch",
            )
        },
        cost="n",
        favours="hard",
        paper=f"Paul et al., Deep Learning on a Data Diet, NeurIPS 2021; {_DEEPCORE}",
    )


def _tdds() -> ScorerSpec:
    return ScorerSpec(
        name="tdds",
        family="dynamics",
        summary="Spread of a sample's changes of prediction from epoch to epoch, late windows first; largest first.",
        load="prunebench_uncertainty.trajectory:tdds",
        differences="The released code sums |p' (log p' - log p)|, class by class, which is no divergence: published"
        " tables rest on it and it is the default; divergence = kl leaves out the absolute value. The authors'"
        " training weighs the loss of every batch by its scores; here the recipe is the same for all methods."
        " The recorded run is the common proxy, not one of the authors' recipe.",
        needs=frozenset({"dynamics"}),
        params={
            "epochs": Param(
                default=10,
                minimum=3,
                unit="epochs",
                doc="length T of the trajectory, from the first epoch on; a shorter recording is used whole",
                source="code: 10; its example for CIFAR-100: 30",
            ),
            "window": Param(
                default=10,
                minimum=3,
                unit="epochs",
                doc="length J of a window, at most T; with J = T there is a single window",
                source="code: 10",
            ),
            "decay": Param(
                default=0.9,
                minimum=0.01,
                maximum=1.0,
                doc="share of the newest window in the running average over windows",
                source="code: 0.9",
            ),
            "divergence": Param(
                default="absolute",
                choices=("absolute", "kl"),
                doc="change between two epochs: absolute = sum of |p' (log p' - log p)| over classes;"
                " kl = the Kullback-Leibler divergence, without the absolute value",
                source="code, on which published tables rest: absolute; its comments call it KL",
            ),
        },
        cost="n",
        favours="hard",
        selector="top",
        paper="Zhang et al., Spanning Training Progress: Temporal Dual-Depth Scoring, CVPR 2024",
    )


def _deepfool() -> ScorerSpec:
    return ScorerSpec(
        name="deepfool-last-layer",
        family="uncertainty",
        summary="Distance from the features to the nearest decision boundary of the last layer; smallest first."
        " Not DeepFool on pixels, which iterates through the whole network, and not for your own data: their class"
        " predictions are of one head for each fold, and it reads a single one.",
        load="prunebench_uncertainty.boundary:deepfool_last_layer",
        differences="DeepFool moves the pixels step by step, up to 50 times, with a backward pass per class; this is"
        " the exact distance to the boundaries of the last layer, which is DeepFool for a network of one linear"
        " layer on the features.",
        needs=frozenset({"features", "logits"}),
        params={
            "tolerance": Param(
                default=1e-3,
                minimum=0.0,
                maximum=0.1,
                unit="fraction",
                doc="largest root mean square error of the recovered linear head, of the spread of the logits;"
                " above it the method declines the backbone",
                source="ours; single precision leaves below 1e-6, half precision 2e-4 to 3e-3",
            )
        },
        cost="n",
        favours="hard",
        paper="after Moosavi-Dezfooli et al., DeepFool, CVPR 2016, and Ducoffe and Precioso, Adversarial Active"
        f" Learning for Deep Networks, 2018; {_DEEPCORE}",
    )
