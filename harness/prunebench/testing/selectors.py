"""Promises of a selector alone: scores and a budget to exactly that many distinct indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from prunebench.contexts import Selection
from prunebench.plugins import Entry
from prunebench.testing.cases import Case, call, context
from prunebench.testing.inputs import accepts
from prunebench.testing.problems import ordinary
from prunebench.testing.promises import promise
from prunebench.testing.results import CheckFailed


@promise("selector", stage=6)
def check_budget_is_met_exactly(entry: Entry[Any]) -> None:
    """Every budget, from one sample to all, gives that many distinct indices, in rising order."""
    for keep in ("0.001", "0.1", "0.3", "0.9", "1"):
        accepts(entry, ordinary(), keep)


@promise("selector")
def check_excluded_samples_come_last(entry: Entry[Any]) -> None:
    """Samples that the scorer excluded are not taken while every class has others."""
    with context(entry, Case()) as ctx:
        returned = call(entry, ctx)
        chosen = np.asarray(returned.indices if isinstance(returned, Selection) else returned)
        taken = int((~ctx.eligible[chosen]).sum())
    if taken:
        raise CheckFailed(f"{taken} excluded samples were taken although there were enough others")
