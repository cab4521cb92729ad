"""Pruning as scikit-learn's estimators do it: a selector of samples, beside its selectors of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from prunebench.errors import PrunebenchError
from prunebench.pruning.api import prune
from prunebench.pruning.selecting import Balance


class SampleSelector(BaseEstimator):  # type: ignore[misc]
    """Chooses samples (rows) of features, as the selectors of scikit-learn choose columns.

    keep, params, selector, selector_params, projector, balance, drop_duplicates, clusters, cache: as for
    `prunebench.prune`; without classes and clusters all samples are one class.  scorer: "" is the usual method of own
    data.  random_state: seed of the method, an int for the same choice each time.  After `fit`: `support_` bool [n],
    `sample_indices_` int64 [m], sorted, `scores_` float64 [n], `ledger_`, a DataFrame with the reason for each sample,
    and `n_features_in_`."""

    def __init__(
        self, scorer: str = "", *, keep: float | str = 0.1, params: Mapping[str, Any] | None = None,
        selector: str = "", selector_params: Mapping[str, Any] | None = None, projector: str = "",
        balance: Balance = "", drop_duplicates: float | None = None, clusters: int | None = None,
        random_state: Any = 0, cache: str | None = None,
    ) -> None:  # fmt: skip
        self.scorer = scorer
        self.keep = keep
        self.params = params
        self.selector = selector
        self.selector_params = selector_params
        self.projector = projector
        self.balance = balance
        self.drop_duplicates = drop_duplicates
        self.clusters = clusters
        self.random_state = random_state
        self.cache = cache

    def fit(self, X: Any, y: Any = None) -> SampleSelector:
        """Choose samples of features X [n, d].  y: classes [n] of any type, which methods and `balance` may read;
        targets that are no classes are not read.  Raises ValueError for data or parameters that cannot be used."""
        features = _validated(self, X)
        classes = None
        if y is not None:
            check_consistent_length(X, y)
            if type_of_target(y, input_name="y") in ("binary", "multiclass"):
                classes = [str(one) for one in np.asarray(y).ravel().tolist()]
        given = {name: value for name, value in self.get_params(deep=False).items() if name != "random_state"}
        if classes is None and self.clusters is None:
            given["clusters"] = 1
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        try:
            found = prune(features, classes, seed=int(seed), prove=False, **given)
        except PrunebenchError as error:
            raise ValueError(f"{error.message}: {error.hint}") from error
        self.sample_indices_, self.scores_, self.ledger_ = found.indices, found.scores, found.ledger
        self.support_ = np.zeros(len(features), dtype=np.bool_)
        self.support_[self.sample_indices_] = True
        return self

    def fit_resample(self, X: Any, y: Any = None) -> tuple[Any, Any]:
        """Choose samples, and return the kept rows of X and of y (None where there is none) as they were given."""
        kept = self.fit(X, y).sample_indices_
        return _safe_indexing(X, kept), None if y is None else _safe_indexing(y, kept)

    def get_support(self, indices: bool = False) -> NDArray[Any]:
        """Return the mask of the kept samples, bool [n], or their indices, int64 [m], sorted."""
        check_is_fitted(self)
        return self.sample_indices_ if indices else self.support_


def _validated(estimator: SampleSelector, X: Any) -> NDArray[Any]:
    """Return features [n, d] as numbers that are finite; notes their number and names in the estimator."""
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:  # before scikit-learn 1.6
        return np.asarray(estimator._validate_data(X, dtype="numeric"))
    return np.asarray(validate_data(estimator, X, dtype="numeric"))
