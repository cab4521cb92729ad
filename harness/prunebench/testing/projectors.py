"""Promises of a projector alone: rows in the order of the data set, neighbours beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from prunebench.plugins import Entry
from prunebench.testing.cases import Case, ordinary_run, run
from prunebench.testing.problems import ordinary, planted, take
from prunebench.testing.promises import promise
from prunebench.testing.results import CheckFailed, DoesNotApply

TRUSTWORTHY = 0.8  # a random layout has about 0.5


@promise("projector")
def check_neighbours_stay_neighbours(entry: Entry[Any]) -> Mapping[str, Any]:
    """On planted clusters the trustworthiness (Venna and Kaski 2001) of ten neighbours is above a low floor."""
    from sklearn.manifold import trustworthiness

    projected = run(entry, Case(problem=planted()))
    found = float(trustworthiness(planted().evidence["features"], projected, n_neighbors=10))
    if found < TRUSTWORTHY:
        raise CheckFailed(f"trustworthiness {found:.2f}, expected at least {TRUSTWORTHY}: do rows keep their order?")
    return {"trustworthiness": round(found, 3)}


@promise("projector")
def check_rows_follow_the_samples(entry: Entry[Any]) -> Mapping[str, Any]:
    """Permuted features give the permuted layout, up to rotation and scale (where the seed does not matter)."""
    from scipy.spatial import procrustes

    if entry.spec.stochastic:
        raise DoesNotApply("stochastic=True: the same draws fall on other samples")
    problem = ordinary()
    order = np.random.default_rng(3).permutation(problem.n)
    plain, moved = ordinary_run(entry)[order], run(entry, Case(problem=take(problem, order)))
    disparity = float(procrustes(plain.astype(np.float64), moved.astype(np.float64))[2])
    if disparity > 1e-3:
        raise CheckFailed(f"another order of the rows gives another layout (Procrustes disparity {disparity:.3f})")
    return {"procrustes_disparity": round(disparity, 6)}
