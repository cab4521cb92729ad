"""Evidence of known samples, and a scorer run with what it declares alone."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import softmax

import prunebench_uncertainty
from prunebench import ScoreContext, Scores

SPECS = {spec.name: spec for spec in prunebench_uncertainty.prunebench_scorers()}
UNCERTAINTIES = ["least-confidence", "entropy", "margin"]
LOGITS = arrays(np.float32, (7, 4), elements=st.floats(-30, 30, width=32))


def run(
    name: str, evidence: Any, *, n_classes: int = 0, seed: int = 0, budget: int | None = None, **params: Any
) -> Any:
    """Run a scorer with the evidence that it declares and nothing else; check what the contract says."""
    for value in evidence.values():
        for array in value if isinstance(value, tuple) else (value,):
            array.setflags(write=False)
    spec = SPECS[name]
    first = next(iter(evidence.values()))
    n = len(evidence["labels"]) if "labels" in evidence else len(first[0] if isinstance(first, tuple) else first)
    context = ScoreContext(
        params=spec.resolve_params(params),
        seed=seed,
        n=n,
        n_classes=n_classes or int(max(evidence.get("labels", [0]))) + 1,
        scorer=name,
        evidence={key: value for key, value in evidence.items() if key in spec.needs},
        budget=budget,
    )
    module, function = spec.load.split(":")
    result = getattr(importlib.import_module(module), function)(context)
    if spec.output == "order":
        assert result.dtype == np.int64
        assert np.array_equal(np.sort(result), np.arange(n))
        return result
    values = result.values if isinstance(result, Scores) else result
    assert values.dtype == np.float64
    assert values.shape == (n,)
    assert np.isfinite(values).all()
    return values


def sample(n: int = 60, d: int = 6, classes: int = 4, epochs: int = 14, seed: int = 3) -> dict[str, Any]:
    """Every kind of evidence: features, a linear head's logits, gradients and dynamics of n samples."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    features = (generator.normal(size=(n, d)) + labels[:, None]).astype(np.float32)
    logits = (features @ generator.normal(size=(d, classes)) + generator.normal(size=classes)).astype(np.float32)
    residual = (softmax(logits, axis=1) - np.eye(classes)[labels]).astype(np.float32)
    dynamics = generator.dirichlet(np.ones(classes), size=(epochs, n)).astype(np.float16)
    return {
        "labels": labels,
        "features": features,
        "logits": logits,
        "gradients": (residual, features.copy()),
        "dynamics": dynamics,
    }


def moved(evidence: dict[str, Any], to: NDArray[np.int64]) -> dict[str, Any]:
    """The same samples in another order."""
    residual, z = evidence["gradients"]
    return {
        **{name: evidence[name][to] for name in ("labels", "features", "logits")},
        "gradients": (residual[to], z[to]),
        "dynamics": evidence["dynamics"][:, to],
    }


def logits_of(*rows: list[float]) -> dict[str, Any]:
    with np.errstate(divide="ignore"):
        log_p = np.log(np.array(rows, dtype=np.float64))
    return {"logits": np.maximum(log_p, -3e4).astype(np.float32), "labels": np.zeros(len(rows), dtype=np.int64)}
