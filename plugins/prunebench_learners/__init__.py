"""Learners: the DeepCore training recipe, also with ECHO's structure loss, and a linear probe on features."""

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
