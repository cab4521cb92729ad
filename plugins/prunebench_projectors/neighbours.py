"""Projections that keep neighbourhoods; random, and repeatable for a seed on one machine.

None depends on the scale of the features, which is changed where the libraries would leave single precision.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import ProjectContext
from prunebench.toolbox import within_range

from .linear import finite, principal_components

# Below this no neighbourhood graph makes sense, and every layout would be arbitrary.
SMALLEST = 5


def umap(ctx: ProjectContext) -> NDArray[np.float32]:
    """Return a UMAP layout float32 [n, k]; fewer than 5 samples get their principal components."""
    features, k = within_range(finite(ctx.features)), _number(ctx, "n_components")
    if len(features) < SMALLEST:
        return principal_components(features, k)
    with _quiet(), _global_generator(ctx.seed):
        from umap import UMAP

        layout = UMAP(
            n_components=k,
            n_neighbors=min(_number(ctx, "n_neighbors"), len(features) - 1),
            min_dist=float(str(ctx.params["min_dist"])),
            metric=str(ctx.params["metric"]),
            # Spectral initialisation needs more samples than components; random serves the smallest sets.  In
            # one dimension directions are all ties, and the eigenvectors would differ from run to run.
            init="spectral" if len(features) > 4 * k + 4 and features.shape[1] > 1 else "random",
            random_state=ctx.seed % 2**32,
            n_jobs=1,
        ).fit_transform(_spread(features, ctx.rng))
    return _checked(layout, features, k)


def pacmap(ctx: ProjectContext) -> NDArray[np.float32]:
    """Return a PaCMAP layout float32 [n, k]; fewer than 10 samples get their principal components."""
    features, k = within_range(finite(ctx.features)), _number(ctx, "n_components")
    if len(features) < 2 * SMALLEST:
        return principal_components(features, k)
    with _quiet(), _global_generator(ctx.seed):
        from pacmap import PaCMAP

        layout = PaCMAP(
            n_components=k,
            n_neighbors=min(_number(ctx, "n_neighbors"), (len(features) - 1) // 2),
            random_state=ctx.seed % 2**31,
        ).fit_transform(_at_least(k, _spread(features, ctx.rng)), init="pca" if features.shape[1] >= k else "random")
    return _checked(layout, features, k)


def tsne(ctx: ProjectContext) -> NDArray[np.float32]:
    """Return a t-SNE layout float32 [n, k]; fewer than 5 samples get their principal components.

    It starts from principal components with a standard deviation of 1e-4, moved at random by a hundredth of that: the
    seed then tells how much of the layout is chance.
    """
    features, k = within_range(finite(ctx.features)), _number(ctx, "n_components")
    if len(features) < SMALLEST:
        return principal_components(features, k)
    with _quiet():
        from sklearn.manifold import TSNE

        layout = TSNE(
            n_components=k,
            perplexity=min(float(str(ctx.params["perplexity"])), (len(features) - 1) / 3),
            init=_start(features, k, ctx.rng),
            random_state=ctx.seed % 2**32,
            n_jobs=1,
            # scikit-learn's quad tree does not survive points that all coincide.
        ).fit_transform(_spread(features, ctx.rng))
    return _checked(layout, features, k)


def _start(features: NDArray[np.float32], k: int, rng: np.random.Generator) -> NDArray[np.float32]:
    components = principal_components(features, k).astype(np.float64)
    scale = float(components[:, 0].std())
    start = 1e-4 * components / scale if scale > 0 else np.zeros_like(components)
    return (start + rng.normal(0.0, 1e-6, start.shape)).astype(np.float32)


def _number(ctx: ProjectContext, name: str) -> int:
    return int(str(ctx.params[name]))


def _at_least(k: int, features: NDArray[np.float32]) -> NDArray[np.float32]:
    # PaCMAP wants as many features as components; columns of zeros change no distance.
    return np.pad(features, ((0, 0), (0, max(0, k - features.shape[1]))))


def _spread(features: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    # Identical vectors leave neighbour searches without a direction, and cosine distance without a value at 0.
    if float(np.ptp(features, axis=0).max(initial=0.0)) > 0 and not (np.abs(features).sum(axis=1) == 0).any():
        return features
    scale = max(float(np.abs(features).max(initial=0.0)), 1.0)
    jitter = rng.normal(0.0, 1e-6 * scale, features.shape)
    spread: NDArray[np.float32] = (features + jitter).astype(np.float32)
    return spread


def _checked(layout: Any, features: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    # A point without any neighbour in the graph is left without coordinates: it goes to the centre.
    found = np.asarray(layout, dtype=np.float32).reshape(len(features), k)
    bad = ~np.isfinite(found).all(axis=1)
    if bad.all():
        return principal_components(features, k)
    if bad.any():
        found = found.copy()
        found[bad] = found[~bad].mean(axis=0)
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Remarks about threads, seeds, spectral fall-backs and versions: none changes the layout.
    remarks = logging.getLogger("pacmap.pacmap")
    level = remarks.level
    remarks.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        remarks.setLevel(level)


@contextlib.contextmanager
def _global_generator(seed: int) -> Iterator[None]:
    # PaCMAP, and UMAP for a graph in pieces, draw from NumPy's global generator; what is outside must not notice.
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
