"""What the tests of coresets share: evidence, a call as by the harness, and naive greedy to compare with."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import prunebench_coresets
from prunebench import ScoreContext, Scores, SelectContext
from prunebench.toolbox import class_quotas, preference_order
from prunebench_coresets.kernels import softmax
from prunebench_selectors.ranked import class_top

SPECS = {spec.name: spec for spec in prunebench_coresets.prunebench_scorers()}


Array = NDArray[Any]


# every method in every variant that changes what it picks
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("herding", {}),
    ("herding", {"mode": "release"}),
    ("k-center", {"first": "mean"}),
    ("facility-location", {}),
    ("facility-location-embeddings", {}),
    ("graph-cut", {"softmax": "twice"}),
    ("graph-cut-embeddings", {"lam": 0.5}),
    ("log-det-embeddings", {}),
    ("log-det", {}),
    ("craig", {"softmax": "twice"}),
    ("gradmatch", {}),
    ("glister", {}),
    ("glister", {"mode": "release"}),
    ("glister", {"step": "mean", "softmax": "twice"}),
]


EVERY = pytest.mark.parametrize(("name", "params"), VARIANTS, ids=lambda value: str(value))


def problem(n: int = 90, classes: int = 3, d: int = 6, seed: int = 0) -> dict[str, Any]:
    """Evidence of classes of unequal size, in no order."""
    generator = np.random.default_rng([seed, n])
    labels = np.minimum(generator.integers(0, classes + 1, n), classes - 1)
    features = (generator.normal(size=(n, d)) + 2 * np.eye(classes, d)[labels] + 1).astype(np.float32)
    weights, bias = generator.normal(size=(classes, d)) / 2, generator.normal(size=classes)
    return evidence_of(features, (features @ weights.T + bias).astype(np.float32), labels)


def evidence_of(features: Array, logits: Array, labels: Array) -> dict[str, Any]:
    residual = softmax(logits.astype(np.float64))
    residual[np.arange(len(labels)), labels] -= 1
    return {
        "features": features,
        "logits": logits,
        "labels": labels,
        "gradients": (residual.astype(features.dtype), features),
    }


def taken(evidence: dict[str, Any], rows: Array) -> dict[str, Any]:
    return {
        name: tuple(part[rows] for part in value) if isinstance(value, tuple) else value[rows]
        for name, value in evidence.items()
    }


def run(
    name: str, evidence: dict[str, Any], budget: int, n_classes: int = 3, seed: int = 0, **params: Any
) -> Array | Scores:
    """Run a scorer with read-only evidence that it declares and nothing else."""
    for value in evidence.values():
        for array in value if isinstance(value, tuple) else (value,):
            array.setflags(write=False)
    spec = SPECS[name]
    context = ScoreContext(
        params=spec.resolve_params(params),
        seed=seed,
        n=len(evidence["labels"]),
        n_classes=n_classes,
        scorer=name,
        evidence={key: value for key, value in evidence.items() if key in spec.needs},
        budget=budget,
    )
    module, function = spec.load.split(":")
    result: Array | Scores = getattr(importlib.import_module(module), function)(context)
    values = values_of(result)
    assert values.dtype == np.float64
    assert values.shape == (context.n,)
    assert np.isfinite(values).all()
    return result


def values_of(result: Array | Scores) -> Array:
    return result.values if isinstance(result, Scores) else result


def selected(
    result: Array | Scores, labels: Array, budget: int, n_classes: int = 3, select: Callable[..., Any] = class_top
) -> Any:
    """What the selector keeps, as the harness would call it."""
    values = values_of(result)
    excluded = result.excluded if isinstance(result, Scores) else None
    refill = result.refill if isinstance(result, Scores) else None
    eligible = np.ones(len(values), dtype=np.bool_) if excluded is None else ~excluded
    return select(
        SelectContext(
            scores=values,
            labels=labels,
            n_classes=n_classes,
            n_keep=budget,
            order=preference_order(values, np.random.default_rng(3), eligible, refill),
            eligible=eligible,
        )
    )


def picks_of(result: Array | Scores) -> Array:
    """The greedy picks: positive scores, ascending indices."""
    return np.flatnonzero(values_of(result) > 0)


def material(evidence: dict[str, Any], rows: Array) -> Array:
    """Last-layer gradients float64 [m, c * (d + 1)], written out."""
    residual, features = (part[rows].astype(np.float64) for part in evidence["gradients"])
    return np.stack([np.outer(r, np.append(z, 1.0)).ravel() for r, z in zip(residual, features, strict=True)])


def cosine(vectors: Array) -> Array:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity: Array = 0.5 + 0.5 * unit @ unit.T
    return similarity


def naive(value: Callable[[list[int]], float], n: int, n_picks: int) -> list[int]:
    """Greedy by evaluating the set function for every candidate; ties to the best single sample, then position."""
    picks: list[int] = []
    single = np.array([value([e]) for e in range(n)])
    for _ in range(n_picks):
        values = np.array([-np.inf if e in picks else value([*picks, e]) for e in range(n)])
        picks.append(int(np.argmax(np.where(values >= values.max() - 1e-6, single, -np.inf))))
    return picks


def naive_by_class(evidence: dict[str, Any], budget: int, value: Callable[[Array, list[int]], float]) -> list[int]:
    """Greedy in every class; value(positions of the class, picks)."""
    quotas, chosen = class_quotas(evidence["labels"], 3, budget), []
    for label, quota in enumerate(quotas):
        members = np.flatnonzero(evidence["labels"] == label)
        picks = naive(lambda a, members=members: value(members, a), len(members), int(quota))
        chosen += members[picks].tolist()
    return sorted(chosen)


def cover(similarity: Array, picks: list[int]) -> float:
    return float(similarity[picks].max(axis=0).sum())
