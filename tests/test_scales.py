"""Features of any scale and far from the origin: the same order, or the difference that the method documents."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from prunebench.testing.problems import Problem, mapped, ordinary
from test_across_methods import SCORERS, scored

READS_FEATURES = [name for name, entry in SCORERS.items() if entry.spec.needs & {"features", "gradients", "projection"}]

# The distance, or the length beside a bias of 1, or a fixed number is a part of the formula.
DEPENDS_ON_SCALE = {
    "craig", "d2", "elfs", "facility-location", "fdmat", "glister", "gradmatch", "grand", "graph-cut", "log-det",
    "topocore", "topocore-density", "topocore-persistence",
}  # fmt: skip
IGNORES_OFFSETS = [
    "cal", "d2", "herding", "hierarchical-kmeans", "k-center", "moderate", "prototype", "ripsnet-exact", "zcore",
]  # fmt: skip


def changed(problem: Problem, factor: float, offset: float = 0.0) -> Problem:
    """Return the problem with all features and projections times `factor` plus `offset`, in single precision."""

    def change(kind: str, array: Any) -> Any:
        if kind in ("features", "projection") or (kind == "gradients" and array.shape[1] != problem.n_classes):
            return (array.astype(np.float64) * factor + offset).astype(np.float32)
        return array

    return mapped(problem, change)


@cache
def plain(name: str) -> Any:
    return scored(SCORERS[name], ordinary(61)).values


def test_every_method_in_the_lists_is_a_method_that_reads_features() -> None:
    assert DEPENDS_ON_SCALE | set(IGNORES_OFFSETS) <= set(READS_FEATURES)


@pytest.mark.parametrize("exponent", [60, -60])
@pytest.mark.parametrize("name", READS_FEATURES)
def test_a_power_of_two_leaves_the_order_or_is_a_documented_part_of_the_method(name: str, exponent: int) -> None:
    values = scored(SCORERS[name], changed(ordinary(61), 2.0**exponent)).values
    assert np.isfinite(values).all()
    if name not in DEPENDS_ON_SCALE:
        assert np.argsort(values, kind="stable").tolist() == np.argsort(plain(name), kind="stable").tolist()


@pytest.mark.parametrize("name", IGNORES_OFFSETS)
def test_an_offset_of_a_hundred_thousand_spreads_does_not_matter(name: str) -> None:
    far = changed(ordinary(61), 2.0**-7, 1024.0)
    near = changed(far, 1.0, -1024.0)  # exact, and rounded as `far` is
    values = [scored(SCORERS[name], problem).values for problem in (far, near)]
    assert np.argsort(values[0], kind="stable").tolist() == np.argsort(values[1], kind="stable").tolist()
