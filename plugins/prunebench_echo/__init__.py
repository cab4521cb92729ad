"""ECHO: even coverage of a 2-D embedding of the raw images, cell by cell, with support samples."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare ECHO."""
    return [
        ScorerSpec(
            name="echo",
            family="geometric",
            summary="Even coverage of a grid over a 2-D embedding of raw images, hubs of the cell graph first.",
            load="prunebench_echo.score:echo",
            needs=frozenset({"pixels", "labels"}),
            stochastic=True,
            gpu=True,
            budget_dependent=True,
            params={**_encoder_params(), **_selection_params()},
            cost="n log n",
            favours="diverse",
            selector="top",
            differences="The paper counts only the picked samples as the budget, while its supports, up to two a cell,"
            " are real labelled images as well: at 0.1 % they are most of the training set. Here they are part of"
            " the budget; accounting = paper trains on them on top of it, and states the true number beside its"
            " result. The encoder"
            " matches each sample's mean distance alone, in batches of 256, as an N x N matrix is out of reach."
            " The published probabilities fall strictly with the distance to the centre of a cell and only their"
            " order is used, so the temperature and epsilon of the paper change nothing. Cells of one degree"
            " abound: larger ones come first. Bridges between components are the edges of a minimum spanning"
            " tree, which is the paper's definition; the group's earlier code takes the first component that it"
            " meets. The structure loss of the training is not part of the selection, but"
            " the learner echo.",
            paper="ECHO, after the paper (code: github.com/Mobile-Intelligence-Lab/ECHO); PC graphs: Diallo and"
            " Patras, Deciphering Clusters With a Deterministic Measure of Clustering Tendency, TKDE 2024",
        )
    ]


def _encoder_params() -> dict[str, Param]:
    return {
        "encoder": Param(
            default="linear",
            choices=("linear", "mlp", "pca"),
            doc="map of raw pixels to 2-D: linear; mlp, one hidden layer of 128 ReLU units; or the first two"
            " principal components, which need no training",
            source="paper: a single linear mapping (complexity) and an MLP (text); width ours; pca ours",
        ),
        "encoder_epochs": Param(default=40, minimum=1, unit="epochs", doc="passes over the images", source="paper: 40"),
        "encoder_batch": Param(
            default=256,
            minimum=2,
            unit="samples",
            doc="mean and maximum distance of the structural loss are taken in batches of this size",
            source="ours; the paper needs all pairs, which do not fit in memory",
        ),
        "encoder_learning_rate": Param(
            default=1e-3, minimum=1e-8, doc="learning rate of Adam", source="ours; the paper gives none"
        ),
    }


def _selection_params() -> dict[str, Param]:
    return {
        "supports": Param(
            default=2,
            minimum=0,
            unit="samples",
            doc="support samples per cell: those farthest from the cell's mean image",
            source="paper: 2, with an augmentation strength of 1, where they are training samples",
        ),
        "accounting": Param(
            default="inside",
            choices=("inside", "paper"),
            doc="inside: supports are part of the budget; a cell brings its supports along, farthest first,"
            " when it is first visited, so a budget below cells * (1 + supports) covers fewer cells, and"
            " a sample that is both is counted once. paper: the budget goes to the picks of the rounds alone,"
            " the supports of all cells are trained on as well, and a caveat states the true number of images"
            " (use with the selector top); no method within the budget compares with it",
            source="paper: on top, up to 20 times the budget at 0.1 % kept; ours: inside",
        ),
        "ties": Param(
            default="population",
            choices=("population", "random"),
            doc="order of cells of one degree: more samples first, then by position; or at random",
            source="ours; the paper has a fixed order and does not give it",
        ),
        "per_class": Param(
            default=False,
            doc="True: run on every class by itself, encoder included, with class-proportional budgets",
            source="paper: labels are not used",
        ),
    }
