"""prunebench: benchmark harness and tool for pruning training data."""

# fmt: off
# isort: off
from prunebench.contexts import (
    Arch, Backbone, DataContext, Dataset, EmbedContext, Embedding, PictureContext, PictureNetwork,
    ProjectContext, ScoreContext, Scores, SelectContext, Selection, Split, TrainContext, TrainResult,
)
from prunebench.errors import (
    DataError, DatasetMissing, Diverged, NotApplicable, OutOfMemory, PluginContractError, PrunebenchError,
    WeightsMissing,
)
from prunebench.executors import Event, Executor, Settings, Task
from prunebench.hookspecs import hookimpl
from prunebench.records import AgreementRecord, CellRecord, read_results as load_results
from prunebench.specs import (
    BackboneSpec, DatasetSpec, ExecutorSpec, LearnerSpec, MetricSpec, Param, ProjectorSpec, ScorerSpec,
    SelectorSpec,
)

__version__ = "0.1.0"

__all__ = [
    "AgreementRecord", "Arch", "Backbone", "BackboneSpec", "CellRecord", "DataContext", "DataError", "Dataset",
    "DatasetMissing", "DatasetSpec", "Diverged", "EmbedContext", "Embedding", "Event", "Executor", "ExecutorSpec",
    "LearnerSpec", "MetricSpec", "NotApplicable", "OutOfMemory", "Param", "PictureContext", "PictureNetwork",
    "PluginContractError", "ProjectContext", "ProjectorSpec", "PrunebenchError", "ScoreContext", "ScorerSpec", "Scores",
    "SelectContext", "Selection", "SelectorSpec", "Settings", "Split", "Task", "TrainContext", "TrainResult",
    "WeightsMissing", "__version__", "hookimpl", "load_results",
]
