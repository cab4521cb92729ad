"""The hooks that a plugin may implement; they declare and never compute."""

from __future__ import annotations

# mypy: disable-error-code="empty-body"
from collections.abc import Iterable, Mapping
from typing import Any

import click
import pluggy

from prunebench import specs

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker("prunebench")
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker("prunebench")


@hookspec
def prunebench_scorers() -> Iterable[specs.ScorerSpec]:
    """Declare data-pruning methods."""


@hookspec
def prunebench_projectors() -> Iterable[specs.ProjectorSpec]:
    """Declare maps from features to a few dimensions."""


@hookspec
def prunebench_selectors() -> Iterable[specs.SelectorSpec]:
    """Declare ways to pick a budget from scores."""


@hookspec
def prunebench_datasets() -> Iterable[specs.DatasetSpec]:
    """Declare data sets."""


@hookspec
def prunebench_backbones() -> Iterable[specs.BackboneSpec]:
    """Declare providers of networks."""


@hookspec
def prunebench_learners() -> Iterable[specs.LearnerSpec]:
    """Declare training recipes and objectives."""


@hookspec
def prunebench_executors() -> Iterable[specs.ExecutorSpec]:
    """Declare places where tasks can run."""


@hookspec
def prunebench_metrics() -> Iterable[specs.MetricSpec]:
    """Declare extra columns of the board."""


@hookspec
def prunebench_commands(cli: click.Group) -> None:
    """Add commands to the command line."""


@hookspec
def prunebench_cell_finished(record: Mapping[str, Any]) -> None:
    """Observe a finished cell; an exception here is logged and never fatal."""


@hookspec
def prunebench_run_finished(manifest: Mapping[str, Any]) -> None:
    """Observe a finished run; an exception here is logged and never fatal."""
