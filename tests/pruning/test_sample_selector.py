"""The selector of samples, as users of scikit-learn meet it."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

import prunebench
from prunebench import SampleSelector


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def samples():
    x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    return x, np.array(["ant", "bee", "cat"])[np.arange(60) % 3]


def test_it_passes_the_checks_of_scikit_learn(cache):
    # Needs SCIPY_ARRAY_API in the environment before scipy is imported; no check is expected to fail.
    found = check_estimator(SampleSelector(cache=cache), on_skip=None)
    assert {one["check_name"] for one in found if one["status"] != "passed"} <= {"check_array_api_input"}
    assert len(found) > 30


def test_it_keeps_what_prune_keeps(cache, samples):
    x, y = samples
    selector = SampleSelector("moderate", keep=np.float32(0.2), random_state=3, cache=cache).fit(x, y)
    pruned = prunebench.prune(x, y, 0.2, scorer="moderate", seed=3, cache=cache, prove=False)
    assert selector.get_support(indices=True).tolist() == pruned.indices.tolist()
    assert selector.get_support().nonzero()[0].tolist() == pruned.indices.tolist()
    assert (selector.scores_ == pruned.scores).all()
    assert selector.ledger_["class"].tolist() == y.tolist()
    assert selector.n_features_in_ == 8


def test_rows_of_frames_and_lists_come_back_as_they_were_given(cache, samples):
    x, y = samples
    frame = pd.DataFrame(x, columns=[f"f{column}" for column in range(8)], index=range(100, 160))
    selector = SampleSelector(keep=np.int64(9), cache=cache)
    kept_x, kept_y = selector.fit_resample(frame, pd.Series(y, index=frame.index))
    assert kept_x.equals(frame[selector.get_support()])
    assert kept_y.index.tolist() == kept_x.index.tolist()
    assert sorted(kept_y) == ["ant"] * 3 + ["bee"] * 3 + ["cat"] * 3
    assert selector.feature_names_in_.tolist() == list(frame.columns)
    rows, labels = SampleSelector(keep=9, cache=cache).fit_resample(x.tolist(), y.tolist())
    assert rows == [x.tolist()[place] for place in selector.sample_indices_]
    assert labels == kept_y.tolist()


def test_targets_that_are_no_classes_are_carried_along(cache, samples):
    x, _ = samples
    target = np.random.default_rng(1).normal(size=60)
    selector = SampleSelector(keep=0.5, cache=cache)
    _, kept = selector.fit_resample(x, target)
    assert kept.tolist() == target[selector.support_].tolist()
    assert selector.sample_indices_.tolist() == SampleSelector(keep=0.5, cache=cache).fit(x).sample_indices_.tolist()
    assert SampleSelector(keep=0.5, cache=cache).fit_resample(x)[1] is None


def test_it_is_cloned_set_and_pickled(cache, samples):
    x, y = samples
    selector = clone(SampleSelector(cache=cache).set_params(keep="0.1", scorer="moderate"))
    assert selector.get_params()["keep"] == "0.1"
    with pytest.raises(NotFittedError):
        selector.get_support()
    restored = pickle.loads(pickle.dumps(selector.fit(x, y)))
    assert restored.sample_indices_.tolist() == selector.sample_indices_.tolist()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"scorer": "no-such"}, "no scorer is named 'no-such'"),
        ({"keep": np.float64(0.0)}, r"keep = 0\.0 is outside"),
        ({"keep": 100}, "keep = 100 is more than there is"),
        ({"params": {"no_such": 1}}, "has no parameter 'no_such'"),
        ({"drop_duplicates": 2.0}, "is no cosine"),
    ],
)
def test_parameters_that_cannot_be_used_raise_value_error(cache, samples, params, message):
    with pytest.raises(ValueError, match=message):
        SampleSelector(cache=cache, **params).fit(*samples)


def test_a_random_state_of_numpy_is_a_seed(cache, samples):
    chosen = [
        SampleSelector("random", random_state=state, cache=cache).fit(*samples).sample_indices_.tolist()
        for state in (np.random.RandomState(5), np.random.RandomState(5), np.int64(7), 7, 8)
    ]
    assert chosen[0] == chosen[1]
    assert chosen[2] == chosen[3] != chosen[4]
