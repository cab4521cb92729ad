"""Features without labels, and a scorer run with what it declares alone."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

import prunebench_clusters
from prunebench import ScoreContext, Scores
from prunebench_clusters.kmeans import Settings

SPECS = {spec.name: spec for spec in prunebench_clusters.prunebench_scorers()}
FAST = {"zcore": {"draws": 500}}
SETTINGS = Settings(n_init=1, max_iter=100, minibatch_above=10_000)


def context(
    name: str,
    features: NDArray[Any],
    *,
    seed: int = 0,
    n_classes: int = 3,
    threads: int = 1,
    budget: int = 1,
    **params: Any,
) -> ScoreContext:
    features.setflags(write=False)
    spec = SPECS[name]
    return ScoreContext(
        params=spec.resolve_params({**FAST.get(name, {}), **params}),
        seed=seed,
        threads=threads,
        n=len(features),
        n_classes=n_classes,
        scorer=name,
        evidence={"features": features},
        budget=budget if spec.budget_dependent else None,
    )


def raw(name: str, ctx: ScoreContext) -> Any:
    module, function = SPECS[name].load.split(":")
    return getattr(importlib.import_module(module), function)(ctx)


def score(name: str, features: NDArray[Any], **options: Any) -> NDArray[Any]:
    """Run a method with the evidence that it declares and nothing else, and check what every method promises."""
    returned = raw(name, context(name, features, **options))
    values: NDArray[Any] = returned.values if isinstance(returned, Scores) else returned
    assert values.shape == (len(features),)
    if SPECS[name].output == "order":
        assert values.dtype == np.int64
        assert np.array_equal(np.sort(values), np.arange(len(features)))
    else:
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
    return values


def blobs(n: int = 90, d: int = 6, k: int = 3, spread: float = 0.3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Well-separated groups, so that any start of k-means finds them, of sizes 1 : 2 : 3 and so on."""
    generator = np.random.default_rng(4)
    group = np.sort(generator.choice(k, n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum()))
    centres = 10 * np.eye(k, d) + 3
    return (centres[group] + spread * generator.normal(size=(n, d))).astype(np.float32), group
