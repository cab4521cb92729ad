"""The projectors against numpy and scikit-learn, repeated, and on input that has no neighbourhoods."""

from __future__ import annotations

import functools
import importlib
import random
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

import prunebench_projectors
from prunebench import DataError, ProjectContext

SPECS = {spec.name: spec for spec in prunebench_projectors.prunebench_projectors()}
# These compile for half a minute each; t-SNE keeps the same promises in the ordinary run.
UMAP, PACMAP = (pytest.param(name, marks=pytest.mark.thorough) for name in ("umap", "pacmap"))
EVERY = [{"umap": UMAP, "pacmap": PACMAP}.get(name, name) for name in SPECS]
LAYOUTS = (UMAP, PACMAP, "tsne")
WITH_COMPONENTS = (*LAYOUTS, "pca")
# UMAP and PaCMAP start from random numbers alone; t-SNE starts from PCA, and its gradient draws none.
SEEDED = (UMAP, PACMAP)


@functools.cache
def keep_compiled(package: str) -> None:
    """Keep what UMAP or PaCMAP compiles for the next run of the tests; they themselves keep little of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap misses what only its parametric form needs
        importlib.import_module(package)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("pynndescent", package):
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    function.enable_caching()


def project(name: str, features: NDArray[Any], seed: int = 0, **params: Any) -> NDArray[np.float32]:
    """Run a projector on read-only features, and check what every one promises."""
    features = features.view()
    features.setflags(write=False)
    before = features.copy()
    if name in ("umap", "pacmap"):
        keep_compiled(name)
    spec = SPECS[name]
    module, function = spec.load.split(":")
    context = ProjectContext(params=spec.resolve_params(params), seed=seed, features=features)
    found: NDArray[np.float32] = getattr(importlib.import_module(module), function)(context)
    assert found.dtype == np.float32
    assert found.shape == (len(features), features.shape[1] if name == "identity" else params.get("n_components", 2))
    assert np.isfinite(found).all()
    assert np.array_equal(features, before, equal_nan=True)
    return found


def blobs(n: int = 150, d: int = 16, centres: int = 5) -> NDArray[np.float32]:
    points, _ = make_blobs(n, d, centers=centres, cluster_std=1.0, center_box=(-4, 4), random_state=3)
    return points.astype(np.float32)


def noise(n: int, d: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


# ------------------------------------------------------------------------------------- PCA and the identity


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize(("n", "d"), [(60, 8), (6, 40), (8, 8)])
def test_principal_components_are_those_of_the_singular_value_decomposition(n: int, d: int, k: int) -> None:
    features = noise(n, d) * np.linspace(3, 1, d, dtype=np.float32)
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    expected = u[:, :k] * s[:k]
    found = project("pca", features, n_components=k)
    signs = np.sign((found * expected).sum(axis=0))
    assert found == pytest.approx(expected * signs, abs=1e-4)


def test_the_largest_loading_of_a_component_is_positive() -> None:
    features = noise(50, 6) * np.array([5, 1, 1, 3, 1, 1], dtype=np.float32)
    found = project("pca", features)
    loadings = np.linalg.lstsq(found.astype(np.float64), features - features.mean(axis=0), rcond=None)[0]
    for loading, reference in zip(loadings, PCA(2).fit(features).components_, strict=True):
        assert loading[np.abs(loading).argmax()] > 0
        assert np.abs(loading) == pytest.approx(np.abs(reference), abs=1e-4)


def test_principal_components_ignore_a_shift_and_keep_distances_when_all_are_kept() -> None:
    features = noise(30, 4)
    assert project("pca", features + 100, n_components=4) == pytest.approx(
        project("pca", features, n_components=4), abs=1e-3
    )
    assert pdist(project("pca", features, n_components=4)) == pytest.approx(pdist(features), abs=1e-4)


@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 8))
@settings(max_examples=40)
def test_components_beyond_the_rank_are_zero(n: int, d: int, k: int) -> None:
    found = project("pca", noise(n, d), n_components=k)
    rank = min(n - 1, d, k)
    assert np.abs(found[:, rank:]).max(initial=0) < 1e-5
    assert (np.ptp(found[:, :rank], axis=0) > 0).all()


def test_the_identity_is_a_copy_in_single_precision() -> None:
    features = noise(7, 5)
    found = project("identity", features)
    assert np.array_equal(found, features)
    assert not np.shares_memory(found, features)


@pytest.mark.parametrize("name", ["pca", "identity"])
def test_projectors_without_random_numbers_ignore_the_seed(name: str) -> None:
    assert not SPECS[name].stochastic
    assert project(name, blobs(), seed=1).tobytes() == project(name, blobs(), seed=2).tobytes()


# ------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    assert project(name, blobs(), seed=4).tobytes() == project(name, blobs(), seed=4).tobytes()


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_gives_another_layout(name: str) -> None:
    assert not np.array_equal(project(name, blobs(), seed=4), project(name, blobs(), seed=5))


@pytest.mark.parametrize("name", LAYOUTS)
def test_seeds_of_any_size_are_taken(name: str) -> None:
    for seed in (2**32 - 1, 2**63):
        assert np.isfinite(project(name, noise(24, 4), seed=seed)).all()


@pytest.mark.parametrize("exponent", [60, -60, 100])
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_scale_of_the_features_decides_nothing(name: str, exponent: int) -> None:
    features = noise(24, 4)
    assert np.array_equal(project(name, np.ldexp(features, exponent), seed=4), project(name, features, seed=4))


@pytest.mark.parametrize("name", LAYOUTS)
def test_neighbourhoods_survive_far_better_than_in_a_random_projection(name: str) -> None:
    features = blobs()
    kept = trustworthiness(features, project(name, features, seed=1), n_neighbors=10)
    by_chance = [trustworthiness(features, features @ noise(16, 2, seed), n_neighbors=10) for seed in range(5)]
    assert kept > 0.85
    assert kept > max(by_chance) + 0.05


@pytest.mark.parametrize("name", LAYOUTS)
def test_blobs_that_are_far_apart_stay_apart(name: str) -> None:
    features, groups = make_blobs(120, 8, centers=20 * np.eye(8)[:4], cluster_std=0.5, random_state=0)
    layout = project(name, features.astype(np.float32), seed=2)
    nearest = np.argsort(np.linalg.norm(layout[:, None] - layout[None], axis=2), axis=1)[:, 1:4]
    assert (groups[nearest] == groups[:, None]).mean() > 0.97


@pytest.mark.thorough
def test_the_metric_of_umap_decides_whether_lengths_count() -> None:
    features = blobs(80)
    lengths = np.random.default_rng(0).uniform(0.5, 50, (80, 1)).astype(np.float32)

    def kept(metric: str) -> float:
        layout = project("umap", features * lengths, metric=metric)
        return float(trustworthiness(features, layout, n_neighbors=8, metric="cosine"))

    assert kept("cosine") > kept("euclidean") + 0.03


# ----------------------------------------------------------------------------------- input of every kind


@pytest.mark.parametrize("name", EVERY)
def test_no_projector_touches_the_global_random_state(name: str) -> None:
    # Two groups without an edge between them send UMAP to its own fall-back.
    apart = np.concatenate([noise(30, 4), noise(30, 4) + 1000]).astype(np.float32)
    for features in (blobs(60), apart):
        before, plain = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002 - it is what is checked
        project(name, features)
        assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
        assert random.getstate() == plain


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_global_random_state_decides_nothing(name: str) -> None:
    apart = np.concatenate([noise(20, 4), noise(20, 4) + 1000, noise(20, 4) - 1000]).astype(np.float32)
    before = np.random.get_state()  # noqa: NPY002
    try:
        found = []
        for seed in (1, 2):
            np.random.seed(seed)  # noqa: NPY002
            found.append(project(name, apart).tobytes())
    finally:
        np.random.set_state(before)  # noqa: NPY002
    assert found[0] == found[1]


KINDS = {
    "noise": lambda n: noise(n, 4),
    "wide": lambda n: noise(n, 40),
    "one feature": lambda n: noise(n, 1),
    "constant": lambda n: np.full((n, 3), 2.5, np.float32),
    "zeros": lambda n: np.zeros((n, 3), np.float32),
    "duplicates": lambda n: np.repeat(noise((n + 1) // 2, 3), 2, axis=0)[:n],
    "one zero vector": lambda n: noise(n, 3) * (np.arange(n) > 0)[:, None].astype(np.float32),
    "far away": lambda n: 1e6 + noise(n, 3),
    "collinear": lambda n: np.arange(1, n + 1, dtype=np.float32)[:, None] * np.array([[1, 2, 3]], np.float32),
}


@pytest.mark.parametrize("name", WITH_COMPONENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_few_and_degenerate_samples_get_finite_repeatable_places(name: str, kind: str) -> None:
    for n in (1, 2, 3, 5, 10, 13):
        features = KINDS[kind](n)
        first = project(name, features, seed=n)
        assert first.tobytes() == project(name, features, seed=n).tobytes(), f"n = {n}"


@pytest.mark.parametrize("name", WITH_COMPONENTS)
@pytest.mark.parametrize("k", [1, 3])
def test_any_number_of_components_may_be_asked_for(name: str, k: int) -> None:
    for features in (noise(12, 1), noise(30, 2), noise(30, 6)):
        assert project(name, features, n_components=k).shape == (len(features), k)


@pytest.mark.parametrize("name", EVERY)
def test_half_precision_is_the_same_as_its_values_in_single_precision(name: str) -> None:
    half = blobs(40).astype(np.float16)
    assert project(name, half).tobytes() == project(name, half.astype(np.float32)).tobytes()


@pytest.mark.parametrize("name", EVERY)
def test_the_layout_in_memory_does_not_matter(name: str) -> None:
    features = blobs(40)
    expected = project(name, features)
    wider = np.zeros((40, 32), np.float32)
    wider[:, ::2] = features
    for same in (np.asfortranarray(features), wider[:, ::2], features[::-1].copy()[::-1]):
        assert project(name, same).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 40])
def test_values_that_are_not_finite_are_refused_with_their_number(name: str, value: float, n: int) -> None:
    features = noise(n, 4)
    features[0, 1] = value
    features[n // 2, :] = value
    bad = 1 if n == 1 else 2
    with pytest.raises(DataError, match=f"{bad} of {n} feature vectors are not finite") as caught:
        project(name, features)
    assert caught.value.hint


@pytest.mark.parametrize("name", LAYOUTS)
def test_projectors_are_silent(name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    project(name, noise(24, 5), n_components=3)
    captured = capfd.readouterr()
    assert (captured.out, captured.err, caplog.text) == ("", "", "")
