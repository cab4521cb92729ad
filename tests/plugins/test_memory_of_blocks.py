"""Methods that work class by class or in blocks hold less than one copy of what they read, and lose nothing by it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prunebench import ProjectContext, ScoreContext
from prunebench.plugins import load_plugins
from prunebench_projectors import linear
from prunebench_stable.scale import content_order
from prunebench_uncertainty.evidence import require_finite

N, DIMENSIONS, CLASSES = 20_000, 128, 200
CATALOGUE = load_plugins()


@cache
def evidence() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, N)
    odds = generator.random((N, CLASSES), dtype=np.float32) ** 8 + np.float32(1e-4)
    odds[np.arange(N), labels] += 1
    known = odds / odds.sum(axis=1, keepdims=True)
    return {
        "labels": labels,
        "features": generator.standard_normal((N, DIMENSIONS), dtype=np.float32),
        "logits": np.log(known),
        "dynamics": np.stack([known, known[:, ::-1], known]).astype(np.float16),
    }


def peak_bytes(work: Callable[[], Any]) -> int:
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(
    ("name", "params", "largest"),
    [
        ("stable-topocore", {"repeats": 1}, "features"),
        ("whitened-density", {}, "features"),
        ("d2", {"score": "el2n"}, "logits"),
        ("el2n", {}, "logits"),
        ("forgetting", {}, "logits"),
        ("aum", {}, "logits"),
    ],
)
def test_a_scorer_holds_less_than_what_it_reads(name: str, params: dict[str, Any], largest: str) -> None:
    entry, known = CATALOGUE.scorer(name), evidence()

    def context(n: int) -> ScoreContext:
        parts = {need: known[need][:, :n] if need == "dynamics" else known[need][:n] for need in entry.spec.needs}
        params_of = entry.spec.resolve_params(params)
        return ScoreContext(params=params_of, n=n, n_classes=CLASSES, scorer=name, evidence=parts)

    score = entry.load()
    score(context(200))  # imports and compiles
    assert peak_bytes(lambda: score(context(N))) < known[largest].nbytes


def test_the_check_of_logits_takes_them_in_blocks() -> None:
    logits = evidence()["logits"]
    assert peak_bytes(lambda: require_finite(logits, "logits")) < logits.size


def test_principal_components_of_blocks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    features = evidence()["features"] + 3 * evidence()["features"][:, :1]
    context = ProjectContext(params={"n_components": 2}, features=features)
    whole = linear.pca(context)
    monkeypatch.setattr(linear, "_BLOCK_VALUES", 1 << 18)
    assert peak_bytes(lambda: linear.pca(context)) < features.nbytes
    np.testing.assert_allclose(linear.pca(context), whole, atol=1e-4)


@pytest.mark.parametrize("levels", [1, 2, 5])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_order_by_content_is_that_of_sorted_rows(levels: int, dtype: type[np.floating]) -> None:
    features: NDArray[Any] = np.random.default_rng(levels).integers(-levels, levels, (300, 4)).astype(dtype)
    features[features == 0] *= -1  # some negative zeros, which are equal to the others
    order, row = content_order(features)
    expected = sorted(range(300), key=lambda sample: (*features[sample].tolist(), sample))
    assert order.tolist() == expected
    _, ranks = np.unique(features + 0.0, axis=0, return_inverse=True)
    assert row.tolist() == ranks.reshape(-1).tolist()
