"""ELFS: label-free selection by the training dynamics of pseudo-labels."""

from __future__ import annotations

from prunebench import Param, ScorerSpec, hookimpl


@hookimpl
def prunebench_scorers() -> list[ScorerSpec]:
    """Declare the method."""
    return [
        ScorerSpec(
            name="elfs",
            family="dynamics",
            summary="Difficulty of pseudo-labels, clusters of the embeddings, for a network that is trained on them.",
            load="prunebench_elfs.score:elfs",
            labeller="prunebench_elfs.score:pseudo_labels",
            needs=frozenset({"features", "pseudo_labels", "dynamics"}),
            stochastic=True,
            gpu=True,
            cost="n^2",
            selector="double_end",
            selector_params={"drop": 0.4, "balanced": False},
            params={
                "clusters": Param(
                    default=0, minimum=0, doc="pseudo-classes; 0 = as many as classes", source="paper: the classes"
                ),
                "heads": Param(
                    default=50, minimum=1, doc="clustering heads, of which the best is kept", source="paper: 50"
                ),
                "epochs": Param(
                    default=200, minimum=1, unit="epochs", doc="passes that train the heads", source="paper: 200"
                ),
                "warmup_epochs": Param(
                    default=20,
                    minimum=0,
                    unit="epochs",
                    doc="passes in which the learning rate rises from 0",
                    source="code: 20",
                ),
                "batch_size": Param(
                    default=1024,
                    minimum=1,
                    unit="samples",
                    doc="samples of an update, each with one neighbour",
                    source="code: 1024",
                ),
                "learning_rate": Param(
                    default=1e-4,
                    minimum=0.0,
                    doc="of AdamW for batches of 256, in proportion for others",
                    source="code: 1e-4, times 4 at its batch of 1024",
                ),
                "neighbours": Param(
                    default=50,
                    minimum=1,
                    doc="nearest by cosine, from which a partner is drawn at each pass",
                    source="paper: 50",
                ),
                "beta": Param(
                    default=0.6,
                    minimum=0.0,
                    maximum=1.0,
                    doc="power of the probabilities in the mutual information; below 1 it evens out the clusters",
                    source="paper: 0.6",
                ),
                "teacher_momentum": Param(
                    default=0.996,
                    minimum=0.0,
                    maximum=1.0,
                    doc="share of itself that the teacher keeps at an update",
                    source="code: 0.996",
                ),
                "hidden": Param(default=512, minimum=1, doc="width of a head's first layer", source="code: 512"),
                "bottleneck": Param(default=256, minimum=1, doc="width of its second layer", source="code: 256"),
            },
            check_params={"heads": 2, "epochs": 20, "warmup_epochs": 2, "hidden": 32, "bottleneck": 16},
            differences="The released code keeps the checkpoint of TEMI whose clusters match the true labels best, and"
            " so reads the labels that it does without; here it is the last epoch, and the head of the lowest"
            " loss. It embeds with a foundation model (SwAV, DINO, CLIP); here it is the scoring backbone. The share"
            " that is dropped from the hard end is tuned for every budget in the paper; 0.4 is the code's example at"
            " 90 % pruning, and samples return where less is pruned. The proxy run is the suite's, on the"
            " pseudo-labels; the paper's is ResNet-18 for 200 epochs. The code's cut keeps nothing at all where it"
            " would have to drop nothing from the easy end.",
            paper="Zheng et al., ELFS, ICLR 2025; its clusters: Adaloglou et al., Exploring the Limits of Deep Image"
            " Clustering using Pretrained Models, BMVC 2023",
        )
    ]
