"""Promises of a projector: features float [n, d] to float32 [n, k], rows in the order of the data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import NotApplicable, PrunebenchError
from prunebench.plugins import Entry
from prunebench.testing.problems import (
    Problem,
    constant,
    duplicated,
    half_precision,
    ordinary,
    planted,
    take,
    with_nan,
)
from prunebench.testing.results import CheckFailed, DoesNotApply
from prunebench.testing.trial import Trial, run

Array = NDArray[Any]
TRUSTWORTHY = 0.8  # a random layout has about 0.5


def check_projection_has_the_promised_shape_and_type(entry: Entry[Any]) -> None:
    """The result is float32 [n, k], with k = n_components where there is such a parameter."""
    trial = Trial()
    if problem := _misfit(entry, run(entry, trial), trial.problem.n):
        raise CheckFailed(problem)


def check_projection_is_finite(entry: Entry[Any]) -> None:
    """No coordinate is NaN or infinite."""
    _finite(run(entry))


def check_projection_is_finite_for_duplicates(entry: Entry[Any]) -> None:
    """A set in which every sample occurs twice is projected."""
    _valid(entry, duplicated(ordinary()))


def check_projection_is_finite_for_constant_features(entry: Entry[Any]) -> None:
    """A set in which all samples look the same is projected."""
    _valid(entry, constant(ordinary()))


def check_projection_is_finite_for_half_precision(entry: Entry[Any]) -> None:
    """Features in float16 are accepted."""
    _valid(entry, half_precision(ordinary()))


def check_few_samples_are_projected_or_declined(entry: Entry[Any]) -> Mapping[str, Any] | None:
    """From `min_samples` on, one to six samples are projected, or declined with NotApplicable."""
    declined = []
    for n in [n for n in (1, 2, 3, 6) if n >= entry.spec.min_samples] or [entry.spec.min_samples]:
        try:
            _valid(entry, take(ordinary(max(12, n)), np.arange(n)))
        except NotApplicable:
            declined.append(n)
    return {"declined": declined} if declined else None


def check_nan_is_refused(entry: Entry[Any]) -> None:
    """NaN in the features ends in a PrunebenchError that says so, or in finite coordinates."""
    try:
        _finite(run(entry, Trial(problem=with_nan(ordinary()))))
    except PrunebenchError:
        return
    except CheckFailed:
        raise CheckFailed("NaN in the features gives coordinates that are not finite: raise DataError") from None
    except Exception as error:
        raise CheckFailed(f"NaN in the features gives {type(error).__name__}: {error}; raise DataError") from error


def check_neighbours_stay_neighbours(entry: Entry[Any]) -> Mapping[str, Any]:
    """On planted clusters the trustworthiness (Venna and Kaski 2001) of ten neighbours is above a low floor."""
    from sklearn.manifold import trustworthiness

    features = planted().evidence["features"]
    projected = run(entry, Trial(problem=planted()))
    found = float(trustworthiness(features, projected, n_neighbors=10))
    if found < TRUSTWORTHY:
        raise CheckFailed(f"trustworthiness {found:.2f}, expected at least {TRUSTWORTHY}: do rows keep their order?")
    return {"trustworthiness": round(found, 3)}


def check_row_order_does_not_matter(entry: Entry[Any]) -> Mapping[str, Any]:
    """Permuted features give the permuted layout, up to rotation and scale (where the seed does not matter)."""
    from scipy.spatial import procrustes

    if entry.spec.stochastic:
        raise DoesNotApply("stochastic=True: the same draws fall on other samples")
    problem = ordinary()
    order = np.random.default_rng(3).permutation(problem.n)
    plain = run(entry, Trial(problem=problem))[order]
    moved = run(entry, Trial(problem=take(problem, order)))
    disparity = float(procrustes(plain.astype(np.float64), moved.astype(np.float64))[2])
    if disparity > 1e-3:
        raise CheckFailed(f"another order of the rows gives another layout (Procrustes disparity {disparity:.3f})")
    return {"procrustes_disparity": round(disparity, 6)}


def _valid(entry: Entry[Any], problem: Problem) -> None:
    projected = run(entry, Trial(problem=problem))
    if misfit := _misfit(entry, projected, problem.n):
        raise CheckFailed(misfit)
    _finite(projected)


def _misfit(entry: Entry[Any], projected: Any, n: int) -> str:
    if not isinstance(projected, np.ndarray):
        return f"expected an array, got {type(projected).__name__}"
    components = entry.spec.resolve_params({}).get("n_components")
    is_fit = projected.ndim == 2 and len(projected) == n and components in (None, projected.shape[-1])
    if not is_fit or projected.dtype != np.float32:
        return f"expected float32 [{n}, {components or 'k'}], got {projected.dtype} {list(projected.shape)}"
    return ""


def _finite(projected: Array) -> None:
    if bad := int((~np.isfinite(projected)).sum()):
        raise CheckFailed(f"{bad} of {projected.size} coordinates are not finite")
