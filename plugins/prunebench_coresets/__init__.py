"""Coreset baselines of DeepCore: herding, k-center, submodular functions, CRAIG, GradMatch and GLISTER."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl

_SCOPE = Param(
    default="class",
    choices=("class", "global"),
    doc="class: every class on its own, with its share of the budget; global: the whole set (use the selector top)",
    source="DeepCore runs class by class (balance = True); papers: the whole set",
)
_SIMILARITY = Param(
    default="gradients",
    choices=("gradients", "embeddings"),
    doc="s = 1/2 + cos/2 of last-layer gradients, or of penultimate features; a zero vector has cosine 0",
    source="DeepCore code: gradients",
)
_SOFTMAX = Param(
    default="once",
    choices=("once", "twice"),
    doc="loss behind the gradients: once = cross-entropy of the logits; twice = cross-entropy that takes the"
    " probabilities for logits",
    source="papers: once; DeepCore's code until January 2023, so when its tables were published: twice",
)
_GRADIENTS = frozenset({"gradients", "labels"})


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare the coreset baselines."""
    return [*_of_features(), *_of_similarities(), *_of_gradients()]


def _of_features() -> list[ScorerSpec]:
    needs = frozenset({"features", "labels"})
    return [
        ScorerSpec(
            name="herding",
            summary="Samples whose running mean follows the mean of their class.",
            load="prunebench_coresets.herding:herding",
            needs=needs,
            params={
                "mode": Param(
                    default="paper",
                    choices=("paper", "release"),
                    doc="paper: each pick brings the sum nearest to its target; release: farthest from it",
                    source="DeepCore code takes the maximum (release), which its published tables rest on",
                ),
                "scope": _SCOPE,
            },
            budget_dependent=True,
            cost="n^2",
            paper="Welling, Herding Dynamical Weights to Learn, ICML 2009; Chen et al., Super-Samples, UAI 2010",
        ),
        ScorerSpec(
            name="k-center",
            summary="Always the sample farthest from all picks: a 2-approximation of the smallest covering radius.",
            load="prunebench_coresets.kcenter:k_center",
            needs=needs,
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
            cost="n^2",
            favours="diverse",
            paper="Sener and Savarese, Active Learning for Convolutional Neural Networks, ICLR 2018",
        ),
    ]


def _of_similarities() -> list[ScorerSpec]:
    return [
        ScorerSpec(
            name="facility-location",
            summary="Samples to which all others of their class are most similar, by lazy greedy.",
            load="prunebench_coresets.similarity:facility",
            needs=_GRADIENTS,
            stochastic=True,
            params={"similarity": _SIMILARITY, "softmax": _SOFTMAX},
            budget_dependent=True,
            cost="n^2",
            paper="Iyer et al., Submodular Combinatorial Information Measures, ALT 2021; Guo et al., DeepCore, 2022",
        ),
        ScorerSpec(
            name="graph-cut",
            summary="Samples similar to their class and not to each other.",
            load="prunebench_coresets.similarity:graph_cut",
            needs=_GRADIENTS,
            params={
                "similarity": _SIMILARITY,
                "softmax": _SOFTMAX,
                "lam": Param(
                    default=1.0,
                    minimum=0.0,
                    maximum=1e6,
                    doc="weight of similarity to the class against similarity among picks",
                    source="DeepCore code: 1",
                ),
            },
            budget_dependent=True,
            cost="n^2",
            paper="Iyer et al., Submodular Combinatorial Information Measures, ALT 2021; Guo et al., DeepCore, 2022",
        ),
        ScorerSpec(
            name="log-det",
            summary="Samples whose similarity matrix has the largest determinant, class by class.",
            load="prunebench_coresets.similarity:log_det",
            needs=_GRADIENTS,
            params={"similarity": _SIMILARITY, "softmax": _SOFTMAX},
            budget_dependent=True,
            cost="n^2",
            favours="diverse",
            paper="Chen et al., Fast Greedy MAP Inference for Determinantal Point Process, NeurIPS 2018. (DeepCore's"
            " code takes the sample that adds least; no table of its paper shows it)",
        ),
    ]


def _of_gradients() -> list[ScorerSpec]:
    return [
        ScorerSpec(
            name="craig",
            summary="Medoids of the gradients of each class.",
            load="prunebench_coresets.craig:craig",
            needs=_GRADIENTS,
            params={"softmax": _SOFTMAX},
            budget_dependent=True,
            cost="n^2",
            favours="hard",
            paper="Mirzasoleiman et al., Coresets for Data-efficient Training, ICML 2020",
        ),
        ScorerSpec(
            name="gradmatch",
            summary="Samples whose weighted gradients sum to the mean gradient of their class.",
            load="prunebench_coresets.gradmatch:gradmatch",
            needs=_GRADIENTS,
            params={
                "softmax": _SOFTMAX,
                "ridge": Param(
                    default=1.0,
                    minimum=1e-6,
                    maximum=1e6,
                    doc="penalty of squared weights; DeepCore leaves the first step without it, here every step has it",
                    source="DeepCore code: 1",
                ),
            },
            budget_dependent=True,
            cost="n^2",
            favours="hard",
            paper="Killamsetty et al., GRAD-MATCH, ICML 2021. (Signed correlation, as in the authors' code)",
        ),
        ScorerSpec(
            name="glister",
            summary="Samples whose gradients agree with that of the held-out loss after a step along the picks.",
            load="prunebench_coresets.glister:glister",
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
            budget_dependent=True,
            cost="n^2",
            favours="hard",
            paper="Killamsetty et al., GLISTER, AAAI 2021",
        ),
    ]
