"""What all methods without labels hold to."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from prunebench import DataError, PluginContractError, ScoreContext
from unlabelled_problems import SPECS, blobs, context, raw, score


@pytest.mark.parametrize("name", SPECS)
def test_the_same_seed_gives_the_same_bytes_and_no_global_random_state_is_used(name: str) -> None:
    features, _ = blobs()
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is checked
    first, second = (score(name, features, budget=20) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(
    "features",
    [
        np.zeros((1, 3)),
        np.ones((2, 3)),
        np.zeros((7, 1)),
        np.ones((7, 4)),
        np.eye(3),
        np.arange(8.0)[:, None] * np.ones(3),
        np.repeat(np.eye(4), 5, axis=0),
    ],
    ids=["one", "two-alike", "one-feature", "constant", "three", "collinear", "repeated"],
)
def test_degenerate_features_are_accepted(name: str, features: NDArray[np.float64]) -> None:
    for n_classes, dtype in ((1, "f4"), (5, "f2")):
        assert len(score(name, features.astype(dtype), n_classes=n_classes)) == len(features)


@pytest.mark.parametrize("name", SPECS)
def test_values_that_are_not_finite_are_refused_with_their_count(name: str) -> None:
    features, _ = blobs()
    features[[3, 8], 2] = np.nan
    features[8, 3] = np.inf
    with pytest.raises(DataError, match="2 samples"):
        score(name, features)


@pytest.mark.parametrize("name", SPECS)
def test_a_method_reads_only_what_it_declares(name: str) -> None:
    spec = SPECS[name]
    ctx = ScoreContext(params=spec.resolve_params({}), n=3, n_classes=1, scorer=name, evidence={})
    with pytest.raises(PluginContractError, match="did not declare"):
        raw(name, ctx)


@pytest.mark.parametrize("name", SPECS)
def test_memory_grows_with_n_and_not_with_its_square(name: str) -> None:
    n = 6000
    features = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    extra = {"clusters": 1} if name == "semdedup" else {}
    ctx = context(name, features, budget=100, **extra)
    score(name, features[:100])
    tracemalloc.start()
    raw(name, ctx)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * n * 4 / 2
