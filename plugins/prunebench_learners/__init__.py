"""Learners: the DeepCore training recipe, also with ECHO's structure loss or a teacher, and a linear probe."""

from __future__ import annotations

from prunebench import LearnerSpec, Param, hookimpl

_DEEPCORE = "Guo et al. 2022, DeepCore, arXiv:2204.08499"
_CCS = "Zheng et al. 2023, Coverage-centric Coreset Selection, ICLR, arXiv:2210.15809"

_LENGTH = {
    "epochs": Param(default=200, minimum=1, doc="passes over the subset", unit="epochs", source=_DEEPCORE),
    "iterations": Param(
        default=0,
        minimum=0,
        doc="train exactly this many iterations whatever the subset size (CCS, D2: 40,000); 0: use epochs",
        unit="iterations",
        source=_CCS,
    ),
    "batch_size": Param(
        default=256,
        minimum=2,
        doc="samples per update; a lone last sample joins the batch before it (DeepCore's code keeps it)",
        unit="samples",
        source=_DEEPCORE,
    ),
}

_FIXED = {
    **{name: param for name, param in _LENGTH.items() if name != "epochs"},
    "iterations": Param(
        default=40_000,
        minimum=1,
        doc="updates, whatever the subset size; the last pass over it may be partial",
        unit="iterations",
        source=_CCS,
    ),
}

_OPTIMISATION = {
    "optimiser": Param(
        default="sgd",
        choices=("sgd", "adamw"),
        doc="AdamW keeps its usual moments (.9, .999) and wants a learning rate near .001",
        source=_DEEPCORE,
    ),
    "learning_rate": Param(default=0.1, minimum=0.0, doc="learning rate of the first iteration", source=_DEEPCORE),
    "eta_min": Param(
        default=1e-4,
        minimum=0.0,
        doc="floor of the cosine, which falls at every iteration (a default of the code, not in the paper)",
        source=_DEEPCORE,
    ),
    "momentum": Param(default=0.9, minimum=0.0, maximum=1.0, doc="momentum of SGD", source=_DEEPCORE),
    "nesterov": Param(
        default=True,
        doc="Nesterov momentum for SGD, where momentum > 0 (a default of the code; papers omit it)",
        source=_DEEPCORE,
    ),
    "weight_decay": Param(default=5e-4, minimum=0.0, doc="decay of all weights", source=_DEEPCORE),
    "label_smoothing": Param(
        default=0.0,
        minimum=0.0,
        maximum=1.0,
        doc="share of the target spread over all classes",
        unit="fraction",
    ),
}

_INPUT = {
    "augment": Param(
        default="none",
        choices=("none", "crop_flip"),
        doc="crop_flip: random crop of the padded image and horizontal flip, in DeepCore for CIFAR alone",
        source=_DEEPCORE,
    ),
    "crop_padding": Param(
        default=4,
        minimum=0,
        doc="reflected border from which crops are taken",
        unit="pixels",
        source=_DEEPCORE,
    ),
    "image_size": Param(
        default=0,
        minimum=0,
        doc="resize once to so many pixels a side; 0: the size of the arch, else the native size",
        unit="pixels",
    ),
}

_STRUCTURE = {
    "structure_weight": Param(
        default=0.5,
        minimum=0.0,
        doc="lambda, weight of the structure loss against the mean cross-entropy; 0: deepcore",
        source="paper: 0.5",
    ),
    "structure_margin": Param(
        default=1.0,
        minimum=0.0,
        doc="Euclidean distance of outputs below which two samples of different labels are pushed apart",
        unit="logits",
        source="paper: 1",
    ),
}

_TOPKD = "Kim et al. 2024, Do Topological Characteristics Help in Knowledge Distillation?, ICML (TopKD)"

_TEACHING = {
    "kd_weight": Param(
        default=2.0,
        minimum=0.0,
        doc="weight of the distillation loss against the mean cross-entropy",
        source="TopKD code: 2 (its alpha; the paper's beta)",
    ),
    "topology_weight": Param(
        default=5.0,
        minimum=0.0,
        doc="weight of the topology loss; 0: plain distillation, and with kd_weight 0 as well: deepcore",
        source="TopKD code: 5 (its delta; the paper's gamma)",
    ),
    "temperature": Param(
        default=4.0,
        minimum=1e-3,
        doc="what logits are divided by before the softmax in the distillation loss",
        source="TopKD code: 4",
    ),
    "cloud_size": Param(
        default=64,
        minimum=2,
        maximum=1024,
        unit="samples",
        doc="points in a cloud: a batch is cut into near-equal clouds of so many, at most one more",
        source="TopKD code: 64, the whole batch",
    ),
    "clouds": Param(
        default=4000,
        minimum=8,
        unit="clouds",
        doc="clouds of the teacher that RipsNet learns from; never more than 256 passes over the subset",
        source="TopKD code: 199,936, that is 256 passes; ours: 4,000",
    ),
    "image_epochs": Param(
        default=50,
        minimum=1,
        unit="epochs",
        doc="most passes of RipsNet over the clouds; it stops earlier where the held-out loss rests",
        source="TopKD code: 25,000 with early stopping; ours: 50",
    ),
    "operator": Param(
        default="mean",
        choices=("mean", "sum"),
        doc="permutation-invariant pooling of a cloud in RipsNet",
        source="TopKD code: mean (sum for one pair of networks)",
    ),
}

_RUNNING = {
    "amp": Param(default=True, doc="mixed precision on a CUDA device (bfloat16, else float16 with scaled loss)"),
    "evaluate_every": Param(
        default=0,
        minimum=0,
        doc="test accuracy every so many epochs and at the end; 0: about ten times in all",
        unit="epochs",
    ),
}


@hookimpl
def prunebench_learners() -> list[LearnerSpec]:
    """Declare the learners of this package."""
    return [
        LearnerSpec(
            name="deepcore",
            summary="Train a network from scratch: SGD, cosine per iteration, mean cross-entropy.",
            load="prunebench_learners.deepcore:train",
            needs=frozenset({"pixels"}),
            params={**_LENGTH, **_OPTIMISATION, **_INPUT, **_RUNNING},
            paper=_DEEPCORE,
        ),
        LearnerSpec(
            name="iterations",
            summary="Train as deepcore does, for 40,000 updates whatever the subset size.",
            load="prunebench_learners.deepcore:train",
            needs=frozenset({"pixels"}),
            params={**_FIXED, **_OPTIMISATION, **_INPUT, **_RUNNING},
            check_params={"iterations": 60},
            paper=_CCS,
            differences="CCS and D2 report the best of their tests, every 800 updates; here the last update counts.",
        ),
        LearnerSpec(
            name="echo",
            summary="Train as deepcore does, with ECHO's structure loss on the outputs of each batch.",
            load="prunebench_learners.echo:train",
            needs=frozenset({"pixels"}),
            params={**_STRUCTURE, **_LENGTH, **_OPTIMISATION, **_INPUT, **_RUNNING},
            paper="ECHO, after the paper (code: github.com/Mobile-Intelligence-Lab/ECHO)",
            differences="The paper joins support samples to every batch by an operator that it leaves open, and does"
            " not say how many. Here supports are samples of the subset like all others and a batch is as in"
            " DeepCore's recipe. The hinge is not squared, as printed. The loss changes the training, not the"
            " choice: compare methods under one learner.",
        ),
        LearnerSpec(
            name="topkd",
            summary="Train as deepcore does, taught by a network of the whole set: distillation and topology loss.",
            load="prunebench_learners.topkd:train",
            uses="prunebench_ripsnet.frozen:learn_images",
            needs=frozenset({"pixels", "teacher"}),
            params={**_TEACHING, **_LENGTH, **_OPTIMISATION, **_INPUT, **_RUNNING},
            check_params={"epochs": 40, "clouds": 32, "image_epochs": 4, "cloud_size": 16},
            paper=_TOPKD,
            differences="The loss is that of the released code: the distillation loss has the factor T^2, and the"
            " topology loss is the mean squared difference of a pixel of one image for each cloud. The schedule is"
            " DeepCore's (the code: 240 epochs in batches of 64 at .05, a tenth of it after 150, 180 and 210), and the"
            " last epoch counts, where the code takes the best test accuracy. A batch of more than 64 is cut into"
            " clouds of 64. RipsNet learns from clouds of the pruned set, of the teacher in eval mode as it is used"
            " (the code: in train mode), with a quarter held out at random, and points are divided by their mean"
            " distance. Student and teacher must have penultimate features of one width: the code's 1x1 convolution for"
            " others is left out. The teacher has seen the pruned samples: compare with its two controls, never with"
            " rows that had no teacher.",
        ),
        LearnerSpec(
            name="probe",
            summary="Fit multinomial logistic regression on standardised frozen features.",
            load="prunebench_learners.probe:train",
            needs=frozenset({"features"}),
            stochastic=False,
            params={
                "C": Param(default=1.0, minimum=1e-12, doc="inverse strength of the L2 penalty on the weights"),
                "tolerance": Param(
                    default=1e-4,
                    minimum=1e-12,
                    doc="largest absolute gradient of the mean loss at which to stop",
                ),
                "max_iter": Param(
                    default=1000,
                    minimum=1,
                    doc="L-BFGS iterations; where they do not suffice the tolerance rises tenfold",
                    unit="iterations",
                ),
            },
            paper="Alain and Bengio 2016, Understanding intermediate layers using linear classifier probes, "
            "arXiv:1610.01644",
        ),
    ]
