"""Coreset baselines of DeepCore: herding, k-center, submodular functions, CRAIG, GradMatch and GLISTER."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl

_SCOPE = Param(
    default="class",
    choices=("class", "global"),
    doc="class: every class on its own, with its share of the budget; global: the whole set (use the selector top)",
    source="DeepCore runs class by class (balance = True); papers: the whole set",
)
_SOFTMAX = Param(
    default="once",
    choices=("once", "twice"),
    doc="loss behind the gradients: once = cross-entropy of the logits; twice = cross-entropy that takes the"
    " probabilities for logits",
    source="papers: once; DeepCore's code until January 2023, so when its tables were published: twice",
)
_LAM = Param(
    default=1.0,
    minimum=0.0,
    maximum=1e6,
    doc="weight of similarity to the class against similarity among picks",
    source="DeepCore code: 1",
)
_GRADIENTS = frozenset({"gradients", "labels"})
_FEATURES = frozenset({"features", "labels"})
_SUBMODULAR = "Iyer et al., Submodular Combinatorial Information Measures, ALT 2021; Guo et al., DeepCore, 2022"
_DETERMINANT = "Chen et al., Fast Greedy MAP Inference for Determinantal Point Process, NeurIPS 2018"
_ON_FEATURES = (
    "DeepCore measures similarity on last-layer gradients; this variant measures it on features, so that a backbone"
    " that has learnt other classes will do."
)
_STATIC = (
    "Where the gradients are too small for {small} to matter, as on a network that has fitted its training set, the"
    " updates change no pick, and what is left is the order by agreement with the mean gradient: the diagnostic"
    " moved is the share of picks that they changed, of all that they could, and a caveat tells where it is below 1 %."
)


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare the coreset baselines."""
    return [*_of_features(), *_of_similarities(), *_of_embeddings(), *_of_gradients()]


def _of_features() -> list[ScorerSpec]:
    return [
        ScorerSpec(
            name="herding",
            family="geometric",
            summary="Samples whose running mean follows the mean of their class.",
            load="prunebench_coresets.herding:herding",
            differences="DeepCore's code picks the sample that takes the running mean farthest from its target, the"
            " opposite of the papers; its published tables rest on it, and mode = release reproduces it. The"
            " default is the papers'.",
            needs=_FEATURES,
            params={
                "mode": Param(
                    default="paper",
                    choices=("paper", "release"),
                    doc="paper: each pick brings the sum nearest to its target; release: farthest from it",
                    source="DeepCore code takes the maximum (release), which its published tables rest on",
                ),
                "scope": _SCOPE,
            },
            stochastic=True,  # the seed breaks ties
            budget_dependent=True,
            greedy=True,
            cost="n^2",
            paper="Welling, Herding Dynamical Weights to Learn, ICML 2009; Chen et al., Super-Samples, UAI 2010",
        ),
        ScorerSpec(
            name="k-center",
            family="geometric",
            summary="Always the sample farthest from all picks: a 2-approximation of the smallest covering radius.",
            load="prunebench_coresets.kcenter:k_center",
            differences="DeepCore embeds with a ResNet-18 of ImageNet that it then trains for some epochs, and stores"
            " the distances of all picks to all samples; here the features are those of the scoring backbone, and"
            " only the running minimum is stored. The order is the same for the same features and first pick.",
            needs=_FEATURES,
            params={
                "first": Param(
                    default="random",
                    choices=("random", "mean"),
                    doc="first pick: uniform, or the sample nearest to the mean",
                    source="DeepCore code: random; mean is ours",
                ),
                "scope": _SCOPE,
            },
            stochastic=True,
            budget_dependent=True,
            greedy=True,
            cost="n^2",
            favours="diverse",
            paper="Sener and Savarese, Active Learning for Convolutional Neural Networks, ICLR 2018",
        ),
    ]


def _of_similarities() -> list[ScorerSpec]:
    """The three functions on s = 1/2 + cos/2 of last-layer gradients; a zero vector has cosine 0."""
    return [
        ScorerSpec(
            name="facility-location",
            family="submodular",
            summary="Samples to which all others of their class are most similar, by lazy greedy.",
            load="prunebench_coresets.similarity:facility",
            differences="DeepCore measures similarity on gradients of the last layer, class by class; so does this."
            " facility-location-embeddings takes features. Lazy greedy gives the order of naive greedy.",
            needs=_GRADIENTS,
            params={"softmax": _SOFTMAX},
            stochastic=True,  # the seed breaks ties
            budget_dependent=True,
            greedy=True,
            cost="n^2",
            paper=_SUBMODULAR,
        ),
        ScorerSpec(
            name="graph-cut",
            family="submodular",
            summary="Samples similar to their class and not to each other.",
            load="prunebench_coresets.similarity:graph_cut",
            differences="DeepCore measures similarity on gradients of the last layer, class by class; so does this."
            " graph-cut-embeddings takes features.",
            needs=_GRADIENTS,
            params={"softmax": _SOFTMAX, "lam": _LAM},
            stochastic=True,  # the seed breaks ties
            budget_dependent=True,
            greedy=True,
            cost="n^2",
            paper=_SUBMODULAR,
        ),
        ScorerSpec(
            name="log-det",
            family="submodular",
            summary="Samples whose similarity matrix has the largest determinant, class by class.",
            load="prunebench_coresets.similarity:log_det",
            differences="DeepCore's code takes the sample for which S_xA S_A^-1 S_Ax is largest, so the one that adds"
            " least to the determinant; no table of its paper shows it. Here it is the one that adds most, as"
            " in the papers.",
            needs=_GRADIENTS,
            params={"softmax": _SOFTMAX},
            stochastic=True,  # the seed breaks ties
            budget_dependent=True,
            greedy=True,
            cost="n^2",
            favours="diverse",
            paper=_DETERMINANT,
        ),
    ]


def _of_embeddings() -> list[ScorerSpec]:
    """The same three on features, for backbones without predictions of these classes."""
    return [
        ScorerSpec(
            name="facility-location-embeddings",
            family="submodular",
            summary="Facility location on the cosine of features.",
            load="prunebench_coresets.similarity:facility_of_embeddings",
            needs=_FEATURES,
            stochastic=True,  # the seed breaks ties
            budget_dependent=True,
            greedy=True,
            cost="n^2",
            differences=_ON_FEATURES,
            paper=_SUBMODULAR,
        ),
        ScorerSpec(
            name="graph-cut-embeddings",
            family="submodular",
            summary="Graph cut on the cosine of features.",
            load="prunebench_coresets.similarity:graph_cut_of_embeddings",
            needs=_FEATURES,
            params={"lam": _LAM},
            stochastic=True,  # the seed breaks ties
            budget_dependent=True,
            greedy=True,
            cost="n^2",
            differences=_ON_FEATURES,
            paper=_SUBMODULAR,
        ),
        ScorerSpec(
            name="log-det-embeddings",
            family="submodular",
            summary="Log-determinant on the cosine of features.",
            load="prunebench_coresets.similarity:log_det_of_embeddings",
            needs=_FEATURES,
            stochastic=True,  # the seed breaks ties
            budget_dependent=True,
            greedy=True,
            cost="n^2",
            favours="diverse",
            differences=_ON_FEATURES,
            paper=_DETERMINANT,
        ),
    ]


def _of_gradients() -> list[ScorerSpec]:
    return [
        ScorerSpec(
            name="craig",
            family="gradient",
            summary="Medoids of the gradients of each class.",
            load="prunebench_coresets.craig:craig",
            differences="DeepCore's code starts weights at 1 and adds the size of the cluster, one too many; here a"
            " weight is the size. Its gradients are divided by the size of the batch that a sample fell into; here"
            " they are those of single samples.",
            needs=_GRADIENTS,
            params={"softmax": _SOFTMAX},
            stochastic=True,  # the seed breaks ties
            budget_dependent=True,
            greedy=True,
            cost="n^2",
            favours="hard",
            paper="Mirzasoleiman et al., Coresets for Data-efficient Training, ICML 2020",
        ),
        ScorerSpec(
            name="gradmatch",
            family="gradient",
            summary="Samples whose weighted gradients sum to the mean gradient of their class.",
            load="prunebench_coresets.gradmatch:gradmatch",
            differences="DeepCore's code drops picks whose weight the last non-negative fit sets to zero"
            " and returns fewer than the budget; here they are excluded, and return where a class would fall"
            " short. The correlation is signed, as in the authors' code. DeepCore's gradients carry the size of the"
            " batch; here they are those of single samples. " + _STATIC.format(small="the ridge"),
            needs=_GRADIENTS,
            params={
                "softmax": _SOFTMAX,
                "ridge": Param(
                    default=1.0,
                    minimum=1e-6,
                    maximum=1e6,
                    doc="penalty of squared weights; DeepCore leaves the first step without it, here every step has it",
                    source="DeepCore code: 1, on gradients divided by its batch of 256, which is 65,536 on those of"
                    " single samples; CORDS for CIFAR-10: 0.5 on those of single samples",
                ),
            },
            stochastic=True,  # the seed breaks ties
            budget_dependent=True,
            cost="n^2",
            favours="hard",
            paper="Killamsetty et al., GRAD-MATCH, ICML 2021",
        ),
        ScorerSpec(
            name="glister",
            family="gradient",
            summary="Samples whose gradients agree with that of the held-out loss after a step along the picks.",
            load="prunebench_coresets.glister:glister",
            differences="DeepCore misspells the argument that would update the held-out gradient, so that its"
            " Glister, and every table that rests on it, is the order by agreement with the mean gradient: mode ="
            " release. The default updates it after each pick, as in the paper. The held-out set is the class itself. "
            + _STATIC.format(small="the step eta"),
            needs=_GRADIENTS | {"logits"},
            params={
                "mode": Param(
                    default="paper",
                    choices=("paper", "release"),
                    doc="paper: the held-out gradient is computed anew after each pick; release: never",
                    source="release: DeepCore code, whose misspelt update is never called; its tables rest on it",
                ),
                "softmax": _SOFTMAX,
                "eta": Param(
                    default=0.01,
                    minimum=0.0,
                    maximum=1e3,
                    doc="size of the virtual step (mode paper)",
                    source="the learning rate: 0.01 in CORDS for CIFAR-10; 0.1 in DeepCore, where it is never used",
                ),
                "step": Param(
                    default="sum",
                    choices=("sum", "mean"),
                    doc="step along the sum of the picked gradients or along their mean (mode paper)",
                    source="paper and CORDS code: sum; DeepCore code: mean, never used",
                ),
            },
            stochastic=True,  # the seed breaks ties
            budget_dependent=True,
            cost="n^2",
            favours="hard",
            paper="Killamsetty et al., GLISTER, AAAI 2021",
        ),
    ]
