"""The hooks that a plugin may implement; they declare and never compute."""

from __future__ import annotations

# mypy: disable-error-code="empty-body"
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click
import pluggy

from prunebench import specs
from prunebench.records import AgreementRecord, CellRecord

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker("prunebench")
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker("prunebench")


def _declaring(kind: type[specs.PluginSpec], purpose: str) -> Callable[[], Iterable[specs.PluginSpec]]:
    """Return the hook through which plugins declare specs of one kind."""

    def declare() -> Iterable[specs.PluginSpec]: ...

    declare.__doc__, declare.__annotations__["return"] = purpose, f"Iterable[specs.{kind.__name__}]"
    return hookspec(declare)


prunebench_scorers = _declaring(specs.ScorerSpec, "Declare data-pruning methods.")
prunebench_projectors = _declaring(specs.ProjectorSpec, "Declare maps from features to a few dimensions.")
prunebench_selectors = _declaring(specs.SelectorSpec, "Declare ways to pick a budget from scores.")
prunebench_datasets = _declaring(specs.DatasetSpec, "Declare data sets.")
prunebench_backbones = _declaring(specs.BackboneSpec, "Declare providers of networks.")
prunebench_learners = _declaring(specs.LearnerSpec, "Declare training recipes and objectives.")
prunebench_executors = _declaring(specs.ExecutorSpec, "Declare places where tasks can run.")
prunebench_metrics = _declaring(specs.MetricSpec, "Declare extra columns of the board.")


@hookspec
def prunebench_commands(cli: click.Group) -> None:
    """Add commands to the command line."""


@hookspec
def prunebench_cell_finished(record: CellRecord | AgreementRecord) -> None:
    """Observe the record of a cell or comparison that has ended; an exception here is logged and never fatal."""


@hookspec
def prunebench_run_finished(manifest: Mapping[str, Any]) -> None:
    """Observe a finished run by its manifest; an exception here is logged and never fatal."""
