"""The hooks that a plugin may implement; they declare and never compute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click
import pluggy

from prunebench.specs import (
    BackboneSpec,
    DatasetSpec,
    ExecutorSpec,
    LearnerSpec,
    MetricSpec,
    ProjectorSpec,
    ScorerSpec,
    SelectorSpec,
)

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker("prunebench")
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker("prunebench")


@hookspec
def prunebench_scorers() -> Iterable[ScorerSpec]:
    """Declare data-pruning methods."""
    raise AssertionError("a specification, never called")


@hookspec
def prunebench_projectors() -> Iterable[ProjectorSpec]:
    """Declare maps from features to a few dimensions."""
    raise AssertionError("a specification, never called")


@hookspec
def prunebench_selectors() -> Iterable[SelectorSpec]:
    """Declare ways to pick a budget from scores."""
    raise AssertionError("a specification, never called")


@hookspec
def prunebench_datasets() -> Iterable[DatasetSpec]:
    """Declare data sets."""
    raise AssertionError("a specification, never called")


@hookspec
def prunebench_backbones() -> Iterable[BackboneSpec]:
    """Declare providers of networks."""
    raise AssertionError("a specification, never called")


@hookspec
def prunebench_learners() -> Iterable[LearnerSpec]:
    """Declare training recipes and objectives."""
    raise AssertionError("a specification, never called")


@hookspec
def prunebench_executors() -> Iterable[ExecutorSpec]:
    """Declare places where tasks can run."""
    raise AssertionError("a specification, never called")


@hookspec
def prunebench_metrics() -> Iterable[MetricSpec]:
    """Declare extra columns of the board."""
    raise AssertionError("a specification, never called")


@hookspec
def prunebench_commands(cli: click.Group) -> None:
    """Add commands to the command line."""


@hookspec
def prunebench_cell_finished(record: Mapping[str, Any]) -> None:
    """Observe a finished cell; an exception here is logged and never fatal."""


@hookspec
def prunebench_run_finished(manifest: Mapping[str, Any]) -> None:
    """Observe a finished run; an exception here is logged and never fatal."""
