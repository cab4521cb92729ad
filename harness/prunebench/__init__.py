"""prunebench: benchmark harness and tool for pruning training data."""

# fmt: off
# isort: off
from importlib import import_module
from typing import TYPE_CHECKING, Any

from prunebench.contexts import (
    Arch, Backbone, DataContext, Dataset, EmbedContext, Embedding, PictureContext, PictureNetwork,
    ProjectContext, ScoreContext, Scores, SelectContext, Selection, Split, TrainContext, TrainResult,
)
from prunebench.errors import (
    DataError, DatasetMissing, Diverged, NotApplicable, OutOfMemory, PluginContractError, PrunebenchError,
    WeightsMissing,
)
from prunebench.executors import Event, Executor, Settings, Task
from prunebench.executors.worker_process import Worker
from prunebench.hookspecs import hookimpl
from prunebench.records import AgreementRecord, CellRecord
from prunebench.specs import (
    BackboneSpec, DatasetSpec, ExecutorSpec, LearnerSpec, MetricSpec, Param, ProjectorSpec, ScorerSpec,
    SelectorSpec,
)

if TYPE_CHECKING:
    from prunebench.pruning.api import Pruned, prune
    from prunebench.pruning.sample_selector import SampleSelector
    from prunebench.pruning.scoring import Method
    from prunebench.pruning.subset import Subset, SubsetSampler, TarSubset
    from prunebench.suite_run import SuiteRun, load_results, run_suite
    from prunebench.names import (
        backbones, create_method, datasets, learners, methods, metrics, networks, projectors, scorers, selectors,
        suites,
    )

__version__ = "0.1.0"

__all__ = [
    "AgreementRecord",
    "Arch",
    "Backbone",
    "BackboneSpec",
    "CellRecord",
    "DataContext",
    "DataError",
    "Dataset",
    "DatasetMissing",
    "DatasetSpec",
    "Diverged",
    "EmbedContext",
    "Embedding",
    "Event",
    "Executor",
    "ExecutorSpec",
    "LearnerSpec",
    "Method",
    "MetricSpec",
    "NotApplicable",
    "OutOfMemory",
    "Param",
    "PictureContext",
    "PictureNetwork",
    "PluginContractError",
    "ProjectContext",
    "ProjectorSpec",
    "PrunebenchError",
    "Pruned",
    "SampleSelector",
    "ScoreContext",
    "ScorerSpec",
    "Scores",
    "SelectContext",
    "Selection",
    "SelectorSpec",
    "Settings",
    "Split",
    "Subset",
    "SubsetSampler",
    "SuiteRun",
    "TarSubset",
    "Task",
    "TrainContext",
    "TrainResult",
    "WeightsMissing",
    "Worker",
    "__version__",
    "backbones",
    "create_method",
    "datasets",
    "hookimpl",
    "learners",
    "load_results",
    "methods",
    "metrics",
    "networks",
    "projectors",
    "prune",
    "run_suite",
    "scorers",
    "selectors",
    "suites",
]

# Names that need torch, pandas or scikit-learn, or that few programs want: their modules are imported at first use.
_LATER = {
    "prunebench.pruning.api": ("Pruned", "prune"),
    "prunebench.pruning.sample_selector": ("SampleSelector",),
    "prunebench.pruning.scoring": ("Method",),
    "prunebench.pruning.subset": ("Subset", "SubsetSampler", "TarSubset"),
    "prunebench.suite_run": ("SuiteRun", "load_results", "run_suite"),
    "prunebench.names": ("backbones", "create_method", "datasets", "learners", "methods", "metrics", "networks",
                         "projectors", "scorers", "selectors", "suites"),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'prunebench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
