"""The linear probe of a proof: multinomial logistic regression on standardised frozen features."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

# The variance of a logit before any label is seen: with d standardised features each weight has the variance prior / d,
# whatever the number of samples.  The last serves clean labels, the first noisy ones.
PRIORS = (1.0, 30.0, 1000.0)
MAX_ITERATIONS, TOLERANCE = 300, 1e-4
_ROWS_AT_ONCE = 1 << 14
_SHARED_CLASSES = 64  # products with fewer columns wait for memory, and threads for each other

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Logits features @ weights.T + biases of the classes that it saw.

    classes: int64 [k].  weights: float [k, d].  biases: float [k].  converged: whether the solver reached its
    tolerance."""

    classes: Ints
    weights: NDArray[np.floating]
    biases: NDArray[np.floating]
    converged: bool = True

    def predict(self, features: Floats) -> Ints:
        """Return the class int64 [n] with the largest logit of features float32 [n, d]."""
        found: Ints = self.classes[(features @ self.weights.T + self.biases).argmax(axis=1)]
        return found


def standardised(features: NDArray[np.floating]) -> Floats:
    """Return features of mean 0 and standard deviation 1, float32 [n, d]; 0 where a feature is constant."""
    mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = np.divide(1.0, std, out=np.zeros_like(std), where=std > 1e-12 * np.abs(mean))
    made: Floats = np.subtract(features, mean, dtype=np.float32)
    made *= scale.astype(np.float32)
    return made


def fit(features: Floats, labels: Ints, prior: float = PRIORS[1], max_iterations: int = MAX_ITERATIONS) -> Probe:
    """Minimise the summed cross-entropy + d ||weights||^2 / (2 prior), biases free, by L-BFGS.

    features: float32 [n, d], standardised.  labels: int64 [n].  One class gives a constant, and no sample gives -1."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    d, classes = features.shape[1], np.unique(labels) if len(labels) else np.array([-1])
    if len(classes) == 1:
        return Probe(classes=classes, weights=np.zeros((1, d), dtype=np.float32), biases=np.zeros(1, dtype=np.float32))
    model = LogisticRegression(C=prior / d, tol=TOLERANCE, max_iter=max_iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said by `converged`
        model.fit(features, labels)
    weights, biases = model.coef_, model.intercept_
    if len(classes) == 2:  # one row, the log odds of the second
        weights, biases = np.vstack([0 * weights, weights]), np.append(0 * biases, biases)
    converged = int(model.n_iter_.max()) < max_iterations
    return Probe(classes=classes, weights=weights, biases=biases, converged=converged)


@dataclass(frozen=True)
class Fits:
    """Answers of probes that were fitted before: two proofs on the same samples share those on everything, and those on
    random parts of one size.  Probes follow from what they are fitted on, so no number depends on it."""

    known: dict[bytes, tuple[NDArray[np.bool_], bool]] = field(default_factory=dict)

    def right(
        self, features: Floats, labels: Ints, train: Ints, test: Ints, prior: float
    ) -> tuple[NDArray[np.bool_], bool]:
        """Return which of the samples `test` a probe of the samples `train` is right about, bool [len(test)], and
        whether it converged.  features, labels: the same whenever this is called."""
        key = blake2b(repr((len(train), prior)).encode() + train.tobytes() + test.tobytes(), digest_size=16).digest()
        if key not in self.known:
            probe, right = fit(features[train], labels[train], prior), np.empty(len(test), dtype=np.bool_)
            for start in range(0, len(test), _ROWS_AT_ONCE):
                some = test[start : start + _ROWS_AT_ONCE]
                right[start : start + len(some)] = probe.predict(features[some]) == labels[some]
            self.known[key] = right, probe.converged
        return self.known[key]


def threads_for(n_classes: int) -> contextlib.AbstractContextManager[object]:
    """Return a context in which fits use one thread, or all where there are many classes."""
    import sklearn.linear_model  # noqa: F401  # limits hold for libraries that are loaded
    from threadpoolctl import threadpool_limits

    limits: contextlib.AbstractContextManager[object] = threadpool_limits(None if n_classes >= _SHARED_CLASSES else 1)
    return limits
