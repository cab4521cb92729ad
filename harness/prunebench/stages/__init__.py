"""The stages of the pipeline, in the order in which data flow; one table for all."""

from collections.abc import Mapping
from typing import NamedTuple


class Stage(NamedTuple):
    """How a stage is computed.  version: raised when the meaning of the stage's artefact changes; every key of the
    stage changes with it. function: "module:function", called with (bench, task, inputs) and imported when it is first
    needed. expand: "module:function" that names further inputs, once the content of the others is known; or empty.
    gpu: whether it is quicker on a GPU; None: as the spec of its plugin says."""

    version: int
    function: str
    expand: str = ""
    gpu: bool | None = True


STAGES: Mapping[str, Stage] = {
    "pretrain": Stage(2, "prunebench.stages.train:pretrain"),
    "features": Stage(2, "prunebench.stages.embed:features"),
    "noise": Stage(1, "prunebench.stages.embed:noisy_features", gpu=False),
    "projection": Stage(2, "prunebench.stages.embed:projection", gpu=None),
    "pseudo_labels": Stage(2, "prunebench.stages.score:pseudo_labels", gpu=None),
    "scores": Stage(3, "prunebench.stages.score:scores", gpu=None),
    "subset": Stage(1, "prunebench.stages.select:subset", gpu=False),
    "training": Stage(2, "prunebench.stages.train:training"),
    "cell": Stage(2, "prunebench.stages.train:cell", expand="prunebench.stages.train:training_of"),
    "agreement": Stage(2, "prunebench.stages.score:agreement", gpu=False),
}
STAGE_ORDER = tuple(STAGES)
